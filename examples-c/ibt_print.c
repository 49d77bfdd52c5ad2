/* ibt_print.c - prints changes, errors, and the reports of a few lines. */
#include "ibt_tool.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *or_dash(const char *text)
{
    return text != NULL ? text : "-";
}

const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

uint64_t count_of(const struct run *run, int32_t which)
{
    return ibt_report_counter(run->report, which);
}

static char letter(uint32_t what, uint32_t plus, uint32_t minus)
{
    if (what & plus)
        return '+';
    if (what & minus)
        return '-';
    if (what & IBT_CHANGE_CONTENT)
        return 'M';
    return what & IBT_CHANGE_METADATA ? 'm' : '=';
}

static int32_t print_sign(struct run *run, char sign, const ibt_entry *before, const ibt_entry *after)
{
    const char *path = ibt_entry_path(after != NULL ? after : before);

    erase_progress(run);
    printf("%c ", sign);
    print_name(stdout, path == NULL || *path == '\0' ? "." : path);
    putchar('\n');
    return ferror(stdout) ? IBT_CALLBACK_FAILED : IBT_CALLBACK_OK;
}

/* Prints a change such as "+ path": an ibt_change_fn whose userdata is the run. A sign has the same meaning in
 * compare and in the dry run of a restore: + means that only the snapshot has the entry, - that only the tree has
 * it. */
int32_t print_restored(void *ud, uint32_t what, const ibt_entry *before, const ibt_entry *after)
{
    return print_sign(ud, letter(what, IBT_CHANGE_CREATED, IBT_CHANGE_DELETED), before, after);
}

/* Like print_restored(), for a comparison: there a created entry is only in the tree, and a deleted entry only in the
 * snapshot. */
int32_t print_difference(void *ud, uint32_t what, const ibt_entry *before, const ibt_entry *after)
{
    return print_sign(ud, letter(what, IBT_CHANGE_DELETED, IBT_CHANGE_CREATED), before, after);
}

/* The same for two snapshots: a created entry is only in the second one, a deleted entry only in the first one. */
int32_t print_change(void *ud, uint32_t what, const ibt_entry *before, const ibt_entry *after)
{
    return print_sign(ud, letter(what, IBT_CHANGE_CREATED, IBT_CHANGE_DELETED), before, after);
}

/* The same for the dry run of a backup: there an entry may also be moved. */
int32_t print_backed_up(void *ud, uint32_t what, const ibt_entry *before, const ibt_entry *after)
{
    if (what & IBT_CHANGE_MOVED)
        return print_sign(ud, '>', before, after);
    return print_change(ud, what, before, after);
}

/* Begins an error message of the program itself; NULL if memory ran out. end_message() ends it. */
FILE *begin_message(struct run *run)
{
    return open_memstream(&run->message, &run->message_size);
}

void end_message(struct run *run, FILE *out)
{
    if (out == NULL || fclose(out) != 0)
        run->message = NULL;
}

/* The reason for the failure of the run, as one sentence. */
const char *error_text(const struct run *run, ibt_status status)
{
    if (status == IBT_ERR_CANCELLED)
        return "cancelled";
    return run->message != NULL ? run->message : ibt_error_message(run->err);
}

/* Prints an error of a run without a report, with the members `status` and `error` that a report has, too. */
void print_json_error(ibt_status status, const char *message)
{
    printf("{\"status\":%d,\"error\":", (int)status);
    print_json_message(message);
    puts("}");
}

/* Prints key and stamp, for example "docs  20261122T220530.123456Z  ". */
static void print_subject(const struct run *run)
{
    print_name(stdout, or_dash(ibt_report_key(run->report)));
    printf("  %s  ", or_dash(ibt_report_snapshot(run->report)));
}

static const char *entries_word(uint64_t count)
{
    return count == 1 ? "entry" : "entries";
}

static void print_files_made(const struct run *run)
{
    size_t files = ibt_report_file_count(run->report);
    char size[32];

    format_size(ibt_report_total_size(run->report), size, sizeof size);
    printf("%s in %zu file%s\n", size, files, plural(files));
}

/* Prints the time since the operation began, for example " in 4.1 s", and ends the line. */
static void print_elapsed(const struct run *run)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    printf(" in %.1f s\n", (double)(now.tv_sec - run->begin.tv_sec) + (double)(now.tv_nsec - run->begin.tv_nsec) / 1e9);
}

/* Prints the place of the backup, because a user who gave no --store would not know it. */
static void print_store(const struct run *run)
{
    const char *path = ibt_report_file_count(run->report) > 0 ? ibt_report_file_path(run->report, 0) : NULL;
    const char *end = path != NULL ? strrchr(path, '/') : NULL;
    char *directory;

    if (run->store != NULL) {
        fputs("stored in ", stdout);
        print_name(stdout, run->store);
        putchar('\n');
    } else if (end != NULL && (directory = strndup(path, (size_t)(end - path))) != NULL) {
        fputs("stored in ", stdout);
        print_name(stdout, directory);
        puts(", a temporary directory, for experiments only: choose another one with --store");
        free(directory);
    }
}

static void print_healed(const struct run *run)
{
    uint64_t healed = count_of(run, IBT_COUNT_HEALED), lost = count_of(run, IBT_COUNT_LOST);

    if (healed + lost > 0)
        printf("lost in the store: %" PRIu64 " healed, %" PRIu64 " still lost\n", healed, lost);
    else if (run->heals)
        puts("nothing is lost in the store");
}

void print_backup(const struct run *run)
{
    uint64_t entries = count_of(run, IBT_COUNT_ENTRIES);
    char read[32], all[32];

    print_subject(run);
    if (run->dry_run)
        fputs("dry run: would store ", stdout);
    if (ibt_report_file_count(run->report) > 0)
        print_files_made(run);
    else
        puts(run->dry_run ? "nothing" : "nothing changed: no new snapshot");
    printf("%" PRIu64 " %s: %" PRIu64 " created, %" PRIu64 " modified, %" PRIu64 " metadata only, "
           "%" PRIu64 " moved, %" PRIu64 " unchanged; %" PRIu64 " deleted\n",
           entries, entries_word(entries), count_of(run, IBT_COUNT_CREATED),
           count_of(run, IBT_COUNT_MODIFIED), count_of(run, IBT_COUNT_METADATA),
           count_of(run, IBT_COUNT_MOVED), count_of(run, IBT_COUNT_UNCHANGED),
           count_of(run, IBT_COUNT_DELETED));
    format_size(count_of(run, IBT_COUNT_BYTES_READ), read, sizeof read);
    format_size(count_of(run, IBT_COUNT_BYTES), all, sizeof all);
    printf("%s of %s read", read, all);
    print_elapsed(run);
    print_healed(run);
    if (!run->dry_run)
        print_store(run);
}

void print_restore(const struct run *run)
{
    uint64_t entries = count_of(run, IBT_COUNT_RESTORED);
    uint64_t deleted = count_of(run, IBT_COUNT_DELETED);
    char size[32];

    format_size(count_of(run, IBT_COUNT_BYTES_WRITTEN), size, sizeof size);
    print_subject(run);
    printf("%" PRIu64 " %s", entries, entries_word(entries));
    if (run->dry_run)
        fputs(" would be restored", stdout);
    else
        printf(", %s restored", size);
    if (deleted > 0)
        printf("; %" PRIu64 " %s", deleted, run->dry_run ? "would be deleted" : "deleted");
    print_elapsed(run);
}

/* The signs are those of print_difference(). The report counts from the snapshot to the tree: a created entry is only
 * in the tree. */
void print_compare(const struct run *run)
{
    uint64_t created = count_of(run, IBT_COUNT_CREATED), deleted = count_of(run, IBT_COUNT_DELETED);
    uint64_t modified = count_of(run, IBT_COUNT_MODIFIED), metadata = count_of(run, IBT_COUNT_METADATA);

    print_subject(run);
    if (created + deleted + modified + metadata == 0)
        puts("no differences");
    else
        printf("%" PRIu64 " only in the snapshot (+), %" PRIu64 " only in the tree (-), %" PRIu64
               " with other content (M), %" PRIu64 " with other metadata (m)\n",
               deleted, created, modified, metadata);
}

void print_import(const struct run *run)
{
    size_t i, count = ibt_report_snapshot_count(run->report);

    for (i = 0; i < count; i++)
        printf("imported %s %s\n", ibt_report_snapshot_stamp(run->report, i),
               ibt_report_snapshot_kind(run->report, i));
    if (count == 0)
        puts("every backup is imported already");
    else
        print_store(run);
}

void print_consolidate(const struct run *run)
{
    print_subject(run);
    if (ibt_report_file_count(run->report) == 0)
        puts("it is a full snapshot already");
    else
        print_files_made(run);
}

void print_rebuild(const struct run *run)
{
    print_subject(run);
    if (ibt_report_file_count(run->report) == 0)
        puts("the cache was complete");
    else
        print_files_made(run);
}
