/* ibt_files.c - looks into snapshots: the commands files, cat and find. */
#include "ibt_tool.h"
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* The widths of the columns in characters, and the run with the listed path. */
struct listing {
    const struct run *run;
    size_t owner, group, size;
    const char *stamp; /* the snapshot, if entries of several snapshots are printed */
};

/* The calls of a snapshot have no options, so their callbacks check for Ctrl-C and for a failed output. */
static int32_t go_on(const struct run *run)
{
    return ferror(stdout) || ibt_cancel_requested(run->cancel) ? IBT_CALLBACK_FAILED : IBT_CALLBACK_OK;
}

static const char *type_name(const ibt_entry *entry)
{
    static const char *const names[] = { "?", "file", "dir", "symlink", "fifo", "char", "block", "unknown" };
    int32_t type = ibt_entry_type(entry);

    return names[type >= 1 && type <= 7 ? type : 0];
}

/* Writes type and mode as ls does, for example "-rw-r--r--". */
static void format_mode(const ibt_entry *entry, char out[11])
{
    static const char types[] = "?-dlpcb", letters[] = "rwxrwxrwx";
    int32_t type = ibt_entry_type(entry);
    uint32_t mode = ibt_entry_mode(entry);
    int i;

    out[0] = types[type >= 1 && type <= 6 ? type : 0];
    for (i = 0; i < 9; i++)
        out[i + 1] = mode == UINT32_MAX ? '?' : mode & (0400u >> i) ? letters[i] : '-';
    mode = mode == UINT32_MAX ? 0 : mode;
    if (mode & 04000)
        out[3] = mode & 0100 ? 's' : 'S';
    if (mode & 02000)
        out[6] = mode & 0010 ? 's' : 'S';
    if (mode & 01000)
        out[9] = mode & 0001 ? 't' : 'T';
    out[10] = '\0';
}

/* The name of an owner or group, its number if it has no name, or "-" if it has no number either. */
static const char *owner(const char *name, uint32_t number, char *out)
{
    if (name != NULL)
        return name;
    if (number == UINT32_MAX)
        return "-";
    snprintf(out, 16, "%" PRIu32, number);
    return out;
}

/* True for the listed directory itself: the list shows only the entries in it. */
static int is_left_out(const ibt_entry *entry, const struct run *run)
{
    const char *path = ibt_entry_path(entry), *listed = run->operands[1];
    size_t length;

    if (ibt_entry_type(entry) != IBT_TYPE_DIR)
        return 0;
    for (listed = listed != NULL ? listed : ""; *listed == '/';)
        listed++;
    for (length = strlen(listed); length > 0 && listed[length - 1] == '/';)
        length--;
    return strlen(path) == length && strncmp(path, listed, length) == 0;
}

static void format_entry_size(const ibt_entry *entry, char out[32])
{
    if (ibt_entry_type(entry) == IBT_TYPE_FILE)
        format_size(ibt_entry_size(entry), out, 32);
    else
        snprintf(out, 32, "-");
}

static size_t widest(size_t a, size_t b)
{
    return a > b ? a : b;
}

static int32_t measure(void *ud, const ibt_entry *entry)
{
    struct listing *listing = ud;
    char text[32];

    if (is_left_out(entry, listing->run))
        return IBT_CALLBACK_OK;
    listing->owner = widest(listing->owner,
                            name_width(owner(ibt_entry_user(entry), ibt_entry_uid(entry), text)));
    listing->group = widest(listing->group,
                            name_width(owner(ibt_entry_group(entry), ibt_entry_gid(entry), text)));
    format_entry_size(entry, text);
    listing->size = widest(listing->size, strlen(text));
    return IBT_CALLBACK_OK;
}

/* Prints an entry, for example "-rw-r--r--  me  users  1.5 KiB  2026-11-22 23:05:30  dir/name -> target". */
static int32_t print_entry(void *ud, const ibt_entry *entry)
{
    const struct listing *listing = ud;
    const char *path = ibt_entry_path(entry), *target = ibt_entry_target(entry);
    char mode[11], text[TIME_SIZE];

    if (is_left_out(entry, listing->run))
        return IBT_CALLBACK_OK;
    format_mode(entry, mode);
    printf("%s  ", mode);
    print_cell(owner(ibt_entry_user(entry), ibt_entry_uid(entry), text), listing->owner);
    fputs("  ", stdout);
    print_cell(owner(ibt_entry_group(entry), ibt_entry_gid(entry), text), listing->group);
    format_entry_size(entry, text);
    printf("  %*s  ", (int)listing->size, text);
    format_time(ibt_entry_mtime(entry), TO_SECOND, text, sizeof text);
    printf("%s  ", text);
    print_name(stdout, path);
    if (target != NULL) {
        fputs(" -> ", stdout);
        print_name(stdout, target);
    }
    putchar('\n');
    return go_on(listing->run);
}

static void print_member(const char *name, const char *value)
{
    if (value == NULL)
        return;
    printf(",\"%s\":", name);
    print_json_text(value);
}

static void print_number(const char *name, uint32_t number)
{
    if (number != UINT32_MAX)
        printf(",\"%s\":%" PRIu32, name, number);
}

/* Prints a time as "SECONDS.NNNNNNNNN", as the report does. The fraction is added to the seconds, also before 1970:
 * half a second before 1970 is "-1.500000000". */
static void print_json_time(const char *name, int64_t nanoseconds)
{
    int64_t seconds = nanoseconds / 1000000000, fraction = nanoseconds % 1000000000;

    if (fraction < 0) {
        seconds--;
        fraction += 1000000000;
    }
    printf(",\"%s\":\"%" PRId64 ".%09" PRId64 "\"", name, seconds, fraction);
}

/* Prints the flags, words with commas between them, as a list. Their letters need no escapes. */
static void print_flags(const char *words)
{
    if (words == NULL)
        return;
    fputs(",\"flags\":[\"", stdout);
    for (; *words != '\0'; words++)
        fputs(*words == ',' ? "\",\"" : (char[]){ *words, '\0' }, stdout);
    fputs("\"]", stdout);
}

/* Prints an entry as one line of JSON, with the members of docs/format.md. */
static int32_t print_json_entry(void *ud, const ibt_entry *entry)
{
    const struct listing *listing = ud;

    if (is_left_out(entry, listing->run))
        return IBT_CALLBACK_OK;
    putchar('{');
    if (listing->stamp != NULL)
        printf("\"snapshot\":\"%s\",", listing->stamp);
    fputs("\"path\":", stdout);
    print_json_text(ibt_entry_path(entry));
    printf(",\"type\":\"%s\"", type_name(entry));
    if (ibt_entry_mode(entry) != UINT32_MAX)
        printf(",\"mode\":\"%04" PRIo32 "\"", ibt_entry_mode(entry));
    print_number("uid", ibt_entry_uid(entry));
    print_number("gid", ibt_entry_gid(entry));
    print_member("user", ibt_entry_user(entry));
    print_member("group", ibt_entry_group(entry));
    print_json_time("mtime", ibt_entry_mtime(entry));
    if (ibt_entry_type(entry) == IBT_TYPE_FILE)
        printf(",\"size\":%" PRIu64, ibt_entry_size(entry));
    print_flags(ibt_entry_flags(entry));
    if (ibt_entry_project(entry) != 0)
        printf(",\"project\":%" PRIu32, ibt_entry_project(entry));
    print_member("hash", ibt_entry_hash(entry));
    print_member("target", ibt_entry_target(entry));
    if (ibt_entry_type(entry) == IBT_TYPE_CHAR || ibt_entry_type(entry) == IBT_TYPE_BLOCK)
        printf(",\"rdev\":\"%" PRIu64 "\"", ibt_entry_rdev(entry));
    print_member("link", ibt_entry_link(entry));
    if (ibt_entry_btime(entry) != INT64_MIN)
        print_json_time("btime", ibt_entry_btime(entry));
    puts("}");
    return go_on(listing->run);
}

static ibt_status open_snapshot(struct run *run, ibt_snapshot **snapshot)
{
    ibt_status status = ibt_snapshot_open(run->storage, run->operands[0], run->options, snapshot, &run->err);

    erase_progress(run);
    return status;
}

ibt_status do_files(struct run *run)
{
    const char *path = run->operands[1] != NULL ? run->operands[1] : "";
    uint32_t depth = run->recursive ? UINT32_MAX : 1;
    struct listing listing = { run, 0, 0, 0, NULL };
    ibt_snapshot *snapshot;
    ibt_status status = open_snapshot(run, &snapshot);

    if (status >= 0 && !run->json)
        status = ibt_snapshot_list(snapshot, path, depth, measure, &listing, &run->err);
    if (status >= 0)
        status = ibt_snapshot_list(snapshot, path, depth, run->json ? print_json_entry : print_entry, &listing,
                                   &run->err);
    ibt_snapshot_free(snapshot);
    return status;
}

/* Writes a piece of a file. fwrite() would go on after a signal if the pipe had taken a part of the piece, and would
 * then wait for a reader that does not read any more. */
static int32_t write_out(void *ud, const uint8_t *data, size_t length)
{
    const struct run *run = ud;

    while (length > 0 && go_on(run) == IBT_CALLBACK_OK) {
        ssize_t written = write(STDOUT_FILENO, data, length);

        if (written < 0 && errno != EINTR)
            written = fwrite(data, 1, length, stdout) == length && fflush(stdout) == 0 ? (ssize_t)length : 0;
        data += written > 0 ? written : 0;
        length -= written > 0 ? (size_t)written : 0;
    }
    return go_on(run);
}

ibt_status do_cat(struct run *run)
{
    ibt_snapshot *snapshot;
    ibt_status status = open_snapshot(run, &snapshot);

    if (status >= 0)
        status = ibt_snapshot_read(snapshot, run->operands[1], 0, UINT64_MAX, write_out, run, &run->err);
    ibt_snapshot_free(snapshot);
    return status;
}

/* True if the pattern matches. A pattern without a slash is compared with the last component of the path, one with a
 * slash with the whole path from the root of the snapshot. */
static int is_found(const char *pattern, const char *path)
{
    const char *name = strrchr(path, '/');

    if (strchr(pattern, '/') == NULL)
        return *path != '\0' && fnmatch(pattern, name != NULL ? name + 1 : path, 0) == 0;
    return fnmatch(pattern + (*pattern == '/'), path, FNM_PATHNAME) == 0;
}

/* Prints an entry below the line of its snapshot:  "  -rw-r--r--    1.5 KiB  2026-11-22 23:05:30  dir/name". */
static void print_found(const ibt_entry *entry)
{
    char mode[11], size[32], time[TIME_SIZE];

    format_mode(entry, mode);
    format_entry_size(entry, size);
    format_time(ibt_entry_mtime(entry), TO_SECOND, time, sizeof time);
    printf("  %s  %10s  %s  ", mode, size, time);
    print_name(stdout, ibt_entry_path(entry));
    putchar('\n');
}

/* Prints the entries of one snapshot that match. The first one is preceded by a line with the stamp and the time. */
static ibt_status find_in(struct run *run, const char *stamp, int64_t date)
{
    struct listing listing = { run, 0, 0, 0, stamp };
    const ibt_entry *entry = NULL;
    ibt_snapshot *snapshot;
    char time[TIME_SIZE];
    int found = 0;
    ibt_status status;

    ibt_options_set_snapshot(run->options, stamp);
    status = open_snapshot(run, &snapshot);
    while (status >= 0 && (status = ibt_snapshot_next(snapshot, &entry, &run->err)) >= 0 && entry != NULL) {
        if (go_on(run) != IBT_CALLBACK_OK) {
            status = IBT_ERR_CANCELLED;
        } else if (is_found(run->operands[1], ibt_entry_path(entry))) {
            format_snapshot_time(date, TO_SECOND, time, sizeof time);
            if (!found++ && !run->json)
                printf("%s  %s\n", stamp, time);
            if (run->json)
                print_json_entry(&listing, entry);
            else
                print_found(entry);
        }
    }
    ibt_snapshot_free(snapshot);
    return status;
}

ibt_status do_find(struct run *run)
{
    ibt_report *list;
    ibt_status listed = ibt_list_snapshots(run->storage, run->operands[0], run->options, &list, &run->err);
    ibt_status status = listed;
    size_t i;

    for (i = 0; status >= 0 && i < ibt_report_snapshot_count(list); i++) {
        status = find_in(run, ibt_report_snapshot_stamp(list, i), ibt_report_snapshot_date(list, i));
        if (skip_lost(run, status)) {
            listed = IBT_PARTIAL;
            status = IBT_OK;
        }
    }
    list_problems(run, list);
    return status < 0 ? status : listed;
}
