/* ibt_choose.c - chooses the entries of a backup: sizes, and the list of --files-from. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "ibt_tool.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Reads a size such as 500, 64k, 10M, 2G or 1T, in units of 1024. Returns 0 if the text is no such size. */
int read_size(const char *text, uint64_t *size)
{
    static const char units[] = "kMGT";
    unsigned long long number;
    const char *unit;
    char *end;
    int shift;

    errno = 0;
    number = strtoull(text, &end, 10);
    if (end == text || errno != 0 || strchr("0123456789", *text) == NULL)
        return 0;
    unit = *end != '\0' ? strchr(units, *end == 'K' ? 'k' : *end) : NULL;
    shift = unit != NULL ? 10 * (int)(unit - units + 1) : 0;
    if (end[unit != NULL] != '\0' || number > UINT64_MAX >> shift)
        return 0;
    *size = (uint64_t)number << shift;
    return 1;
}

/* The absolute path of the source, by which absolute paths of a list are found to be below it. */
struct source {
    char *given; /* as the user wrote it, symbolic links included; NULL if the current directory is unknown */
    char *real;  /* without symbolic links; NULL if there is no such directory */
};

/* Removes repeated slashes, "." and a slash at the end from an absolute path. The root becomes "". */
static char *tidy(char *path)
{
    char *from = path, *to = path;

    while (*from != '\0') {
        size_t length;

        from += strspn(from, "/");
        length = strcspn(from, "/");
        if (length > 0 && !(length == 1 && *from == '.')) {
            *to++ = '/';
            memmove(to, from, length);
            to += length;
        }
        from += length;
    }
    *to = '\0';
    return path;
}

static char *copy_of(const char *text)
{
    char *copy = strdup(text);

    if (copy == NULL)
        abort();
    return copy;
}

/* "DIRECTORY/NAME", tidied. */
static char *joined(const char *directory, const char *name)
{
    size_t size = strlen(directory) + strlen(name) + 2;
    char *path = malloc(size);

    if (path == NULL)
        abort();
    snprintf(path, size, "%s/%s", directory, name);
    return tidy(path);
}

static struct source find_source(const char *path)
{
    char *here = *path == '/' ? copy_of("") : getcwd(NULL, 0);
    struct source source;

    source.given = here != NULL ? joined(here, path) : NULL;
    source.real = realpath(path, NULL);
    if (source.real != NULL)
        tidy(source.real);
    free(here);
    return source;
}

/* The end of `path` behind the directory `root`, "" for the directory itself. NULL if the path is not below it. */
static const char *below(const char *path, const char *root)
{
    size_t length = root != NULL ? strlen(root) : 0;

    if (root == NULL || strncmp(path, root, length) != 0 || (path[length] != '/' && path[length] != '\0'))
        return NULL;
    return path[length] == '/' ? path + length + 1 : "";
}

/* The path below the source that an absolute path leads to. A link at its end counts as itself. NULL if the path is
 * not below the source. */
static char *absolute_listed(const char *line, const struct source *source)
{
    char *path = tidy(copy_of(line)), *slash = strrchr(path, '/'), *real = NULL, *found;
    const char *rest = below(path, source->given);

    if (rest == NULL)
        rest = below(path, source->real);
    if (rest == NULL && slash != NULL) {
        char *directory;

        *slash = '\0';
        directory = realpath(slash == path ? "/" : path, NULL);
        *slash = '/';
        real = directory != NULL ? joined(directory, slash + 1) : NULL;
        rest = real != NULL ? below(real, source->real) : NULL;
        free(directory);
    }
    found = rest != NULL ? copy_of(rest) : NULL;
    free(real);
    free(path);
    return found;
}

/* The path below the source that a line of the list names, as `find` prints it: "" for the source itself. NULL for an
 * absolute path that is not below the source. */
static char *listed_path(const char *line, const struct source *source)
{
    if (line[0] == '/')
        return absolute_listed(line, source);
    while (line[0] == '.' && line[1] == '/')
        line += 1 + strspn(line + 1, "/");
    return copy_of(strcmp(line, ".") == 0 ? "" : line);
}

/* Makes the error message for an absolute path of the list that is not below the source. */
static void refuse_path(struct run *run, const char *line)
{
    FILE *out = begin_message(run);

    if (out != NULL)
        fprintf(out, "the list of --files-from, %s, has %s, which is not below %s", run->files_from, line,
                run->operands[0]);
    end_message(run, out);
}

/* Reads the list and adds its paths to the options. A refusal marks the options, and the backup names the path. If the
 * list names the source itself, it limits nothing. Returns the number of paths, or -1 if the list cannot be read or
 * has a path that is not below the source. */
static long read_list(struct run *run, FILE *list)
{
    struct source source = find_source(run->operands[0]);
    char *line = NULL, **paths = NULL;
    size_t room = 0;
    long count = 0, i, names_all = 0;
    ssize_t length;

    while ((length = getdelim(&line, &room, run->ends_in_nul ? '\0' : '\n', list)) > 0) {
        char **more;

        if (!run->ends_in_nul && line[length - 1] == '\n')
            line[--length] = '\0';
        if (length == 0 || line[0] == '\0')
            continue;
        more = realloc(paths, (size_t)(count + 1) * sizeof *paths);
        if (more == NULL)
            abort();
        paths = more;
        paths[count] = listed_path(line, &source);
        if (paths[count] == NULL) {
            refuse_path(run, line);
            break;
        }
        names_all |= paths[count++][0] == '\0';
    }
    free(source.given);
    free(source.real);
    for (i = 0; i < count; i++) {
        if (!names_all)
            ibt_options_add_source_path(run->options, paths[i]);
        free(paths[i]);
    }
    free(paths);
    free(line);
    return ferror(list) || run->message != NULL ? -1 : count;
}

/* Applies --files-from, if it was given. */
ibt_status add_files_from(struct run *run)
{
    int is_input = run->files_from != NULL && strcmp(run->files_from, "-") == 0;
    FILE *list, *out;
    const char *why;
    long count = -1;

    if (run->files_from == NULL)
        return IBT_OK;
    errno = 0;
    list = is_input ? stdin : fopen(run->files_from, "r");
    if (list != NULL)
        count = read_list(run, list);
    why = count == 0 ? "it names no path" : strerror(errno);
    if (list != NULL && !is_input)
        fclose(list);
    if (ibt_cancel_requested(run->cancel)) /* the signal ended the reading, too */
        return IBT_ERR_CANCELLED;
    if (run->message != NULL)
        return IBT_ERR_INVALID_ARG;
    if (count <= 0) {
        out = begin_message(run);
        if (out != NULL)
            fprintf(out, "cannot read the list of --files-from, %s: %s", run->files_from, why);
        end_message(run, out);
    }
    return count > 0 ? IBT_OK : count == 0 ? IBT_ERR_INVALID_ARG : IBT_ERR_IO;
}
