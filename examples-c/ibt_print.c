/* ibt_print.c - what is printed: changes, problems, and the reports that are a few lines. */
#include "ibt_tool.h"
#include <inttypes.h>
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

static char letter(uint32_t what)
{
    if (what & IBT_CHANGE_CREATED)
        return '+';
    if (what & IBT_CHANGE_DELETED)
        return '-';
    if (what & IBT_CHANGE_CONTENT)
        return 'M';
    return what & IBT_CHANGE_METADATA ? 'm' : '=';
}

/* "+ path": an ibt_change_fn whose userdata is the run. */
int32_t print_change(void *ud, uint32_t what, const ibt_entry *before, const ibt_entry *after)
{
    const char *path = ibt_entry_path(after != NULL ? after : before);

    erase_progress(ud);
    printf("%c ", letter(what));
    print_name(stdout, path == NULL || *path == '\0' ? "." : path);
    putchar('\n');
    return ferror(stdout) ? IBT_CALLBACK_FAILED : IBT_CALLBACK_OK;
}

/* Begins an error message of the program's own; NULL if there is no memory. */
FILE *begin_message(struct run *run)
{
    return open_memstream(&run->message, &run->message_size);
}

void end_message(struct run *run, FILE *out)
{
    if (out == NULL || fclose(out) != 0)
        run->message = NULL;
}

/* Why the run failed, in a sentence. */
const char *error_text(const struct run *run, ibt_status status)
{
    if (status == IBT_ERR_CANCELLED)
        return "cancelled";
    return run->message != NULL ? run->message : ibt_error_message(run->err);
}

/* An error before there is a report, in the members that a report has too. */
void print_json_error(ibt_status status, const char *message)
{
    printf("{\"status\":%d,\"error\":", (int)status);
    print_json_message(message);
    puts("}");
}

/* Good to know, but nothing went wrong. */
static int is_note(int32_t problem)
{
    return problem == IBT_PROBLEM_SKIPPED || problem == IBT_PROBLEM_LEFTOVER;
}

/* Adds what the message does not say itself. */
static void print_where(const char *label, const char *where, const char *message)
{
    if (where == NULL || strstr(message, where) != NULL)
        return;
    fprintf(stderr, " (%s ", label);
    print_name(stderr, where);
    fputc(')', stderr);
}

void print_problems(const struct run *run)
{
    size_t count = ibt_report_problem_count(run->report);
    uint64_t all = count_of(run, IBT_COUNT_PROBLEMS);
    size_t i;

    for (i = 0; i < count; i++) {
        int32_t kind = ibt_report_problem_kind(run->report, i);
        const char *message = ibt_report_problem_message(run->report, i);

        if (run->quiet && is_note(kind))
            continue;
        fprintf(stderr, "ibt: %s: ", or_dash(ibt_problem_name(kind)));
        print_text(stderr, message);
        print_where("snapshot", ibt_report_problem_snapshot(run->report, i), message);
        print_where("in", ibt_report_problem_file(run->report, i), message);
        fputc('\n', stderr);
    }
    if (all > count)
        fprintf(stderr, "ibt: and %" PRIu64 " more problem%s\n", all - count, plural(all - count));
}

/* "docs  20261122T220530.123456Z  " */
static void print_subject(const struct run *run)
{
    print_name(stdout, or_dash(ibt_report_key(run->report)));
    printf("  %s  ", or_dash(ibt_report_snapshot(run->report)));
}

static void print_files_made(const struct run *run)
{
    size_t files = ibt_report_file_count(run->report);
    char size[32];

    format_size(ibt_report_total_size(run->report), size, sizeof size);
    printf("%s in %zu file%s\n", size, files, plural(files));
}

void print_backup(const struct run *run)
{
    print_subject(run);
    print_files_made(run);
    printf("%" PRIu64 " entries: %" PRIu64 " created, %" PRIu64 " modified, %" PRIu64 " metadata only, "
           "%" PRIu64 " moved, %" PRIu64 " unchanged; %" PRIu64 " deleted\n",
           count_of(run, IBT_COUNT_ENTRIES), count_of(run, IBT_COUNT_CREATED),
           count_of(run, IBT_COUNT_MODIFIED), count_of(run, IBT_COUNT_METADATA),
           count_of(run, IBT_COUNT_MOVED), count_of(run, IBT_COUNT_UNCHANGED),
           count_of(run, IBT_COUNT_DELETED));
}

void print_restore(const struct run *run)
{
    uint64_t entries = count_of(run, IBT_COUNT_RESTORED);
    uint64_t deleted = count_of(run, IBT_COUNT_DELETED);
    char size[32];

    format_size(count_of(run, IBT_COUNT_BYTES_WRITTEN), size, sizeof size);
    print_subject(run);
    printf("%" PRIu64 " entr%s", entries, entries == 1 ? "y" : "ies");
    if (run->dry_run)
        fputs(" would be restored", stdout);
    else
        printf(", %s restored", size);
    if (deleted > 0)
        printf("; %" PRIu64 " deleted", deleted);
    putchar('\n');
}

void print_compare(const struct run *run)
{
    uint64_t created = count_of(run, IBT_COUNT_CREATED), deleted = count_of(run, IBT_COUNT_DELETED);
    uint64_t modified = count_of(run, IBT_COUNT_MODIFIED), metadata = count_of(run, IBT_COUNT_METADATA);

    print_subject(run);
    if (created + deleted + modified + metadata == 0)
        puts("no differences");
    else
        printf("%" PRIu64 " created, %" PRIu64 " deleted, %" PRIu64 " modified, %" PRIu64 " metadata only\n",
               created, deleted, modified, metadata);
}

void print_consolidate(const struct run *run)
{
    print_subject(run);
    if (ibt_report_file_count(run->report) == 0)
        puts("is a full snapshot already");
    else
        print_files_made(run);
}

void print_rebuild(const struct run *run)
{
    print_subject(run);
    if (ibt_report_file_count(run->report) == 0)
        puts("the cache was whole");
    else
        print_files_made(run);
}
