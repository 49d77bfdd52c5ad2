/* ibt_choose.c - chooses the entries of a backup: sizes, and the list of --files-from. */
#include "ibt_tool.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

/* The path below the source that a line of the list names, as `find` prints it: "" for the source itself. */
static const char *listed_path(const char *line)
{
    while (line[0] == '.' && line[1] == '/')
        line += 1 + strspn(line + 1, "/");
    return strcmp(line, ".") == 0 ? "" : line;
}

/* Reads the list and adds its paths to the options. A refusal marks the options, and the backup names the path. If the
 * list names the source itself, it limits nothing. Returns the number of paths, or -1 if the list cannot be read. */
static long read_list(struct run *run, FILE *list)
{
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
        if (more == NULL || (more[count] = strdup(listed_path(line))) == NULL)
            abort();
        paths = more;
        names_all |= paths[count++][0] == '\0';
    }
    for (i = 0; i < count; i++) {
        if (!names_all)
            ibt_options_add_source_path(run->options, paths[i]);
        free(paths[i]);
    }
    free(paths);
    free(line);
    return ferror(list) ? -1 : count;
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
    if (count <= 0) {
        out = begin_message(run);
        if (out != NULL)
            fprintf(out, "cannot read the list of --files-from, %s: %s", run->files_from, why);
        end_message(run, out);
    }
    return count > 0 ? IBT_OK : count == 0 ? IBT_ERR_INVALID_ARG : IBT_ERR_IO;
}
