/* ibt_problems.c - prints problems: the first ones as they happen, the others at the end, grouped by cause. */
#include "ibt_tool.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Most problems of each kind that are printed as they happen, and most paths that are printed of a group at the
 * end. */
enum { SHOWN_AT_ONCE = 5, PATHS_SHOWN = 3 };

/* A note: it informs the user, but nothing failed. */
static int is_note(int32_t problem)
{
    return problem == IBT_PROBLEM_SKIPPED || problem == IBT_PROBLEM_LEFTOVER || problem == IBT_PROBLEM_UNLOCKED
        || problem == IBT_PROBLEM_HEALED || problem == IBT_PROBLEM_UNNEEDED;
}

/* -------------------------------------------------------------- as they happen */

/* The number of the kind that a log line such as "unreadable: ..." begins with; 0 for a line without a kind. */
static int32_t kind_of_line(const char *line)
{
    size_t length = strcspn(line, ":");
    int32_t kind;

    for (kind = 1; kind < KINDS_MAX; kind++) {
        const char *name = ibt_problem_name(kind);

        if (name != NULL && strlen(name) == length && strncmp(name, line, length) == 0)
            return kind;
    }
    return 0;
}

/* Prints a log line: an ibt_log_fn whose userdata is the run. */
void print_at_once(void *ud, int32_t level, const char *line)
{
    struct run *run = ud;
    int32_t kind = kind_of_line(line);

    (void)level;
    if (kind != 0 && run->shown[kind] == SHOWN_AT_ONCE)
        return;
    if (kind != 0)
        run->shown[kind]++;
    erase_progress(run);
    fputs("ibt: ", stderr);
    print_text(stderr, line);
    fputc('\n', stderr);
}

/* -------------------------------------------------------------------- at the end */

/* Problems of one kind in one file of the store. Without a file: problems of one kind with one error of the
 * system. */
struct group {
    size_t first; /* the index of the first problem in the report */
    size_t count;
    size_t paths[PATHS_SHOWN];
    size_t path_count;
};

static int is_same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static int is_same_cause(const ibt_report *report, size_t a, size_t b)
{
    if (ibt_report_problem_kind(report, a) != ibt_report_problem_kind(report, b)
        || !is_same_text(ibt_report_problem_file(report, a), ibt_report_problem_file(report, b)))
        return 0;
    return ibt_report_problem_file(report, a) != NULL
        || (ibt_report_problem_path(report, a) != NULL && ibt_report_problem_path(report, b) != NULL
            && ibt_report_problem_os_code(report, a) == ibt_report_problem_os_code(report, b)
            && ibt_report_problem_status(report, a) == ibt_report_problem_status(report, b));
}

/* Adds problem i to its group, or to a new group. Returns the number of groups after that. */
static size_t add_to_group(const ibt_report *report, size_t i, struct group *groups, size_t count)
{
    struct group *group;
    size_t at = 0;

    while (at < count && !is_same_cause(report, groups[at].first, i))
        at++;
    group = &groups[at];
    if (at == count) {
        memset(group, 0, sizeof *group);
        group->first = i;
        count++;
    }
    group->count++;
    if (group->path_count < PATHS_SHOWN && ibt_report_problem_path(report, i) != NULL && group->count > 1)
        group->paths[group->path_count++] = i;
    return count;
}

/* Prints a snapshot or file that the message does not name itself. */
static void print_where(const char *label, const char *where, const char *message)
{
    if (where == NULL || strstr(message, where) != NULL)
        return;
    fprintf(stderr, " (%s ", label);
    print_name(stderr, where);
    fputc(')', stderr);
}

static void print_problem(const ibt_report *report, size_t i)
{
    const char *message = ibt_report_problem_message(report, i);

    fprintf(stderr, "ibt: %s: ", or_dash(ibt_problem_name(ibt_report_problem_kind(report, i))));
    print_text(stderr, message);
    print_where("snapshot", ibt_report_problem_snapshot(report, i), message);
    print_where("in", ibt_report_problem_file(report, i), message);
    fputc('\n', stderr);
}

/* Prints the rest of a group, for example "ibt: missing: 311 more of this cause, in docs.full.X: a/b, c/d, e/f and
 * 308 more". */
static void print_more(const ibt_report *report, const struct group *group)
{
    const char *file = ibt_report_problem_file(report, group->first);
    size_t more = group->count - 1, i;

    fprintf(stderr, "ibt: %s: %zu more of this cause",
            or_dash(ibt_problem_name(ibt_report_problem_kind(report, group->first))), more);
    if (file != NULL) {
        fputs(", in ", stderr);
        print_name(stderr, file);
    }
    for (i = 0; i < group->path_count; i++) {
        fputs(i == 0 ? ": " : ", ", stderr);
        print_name(stderr, ibt_report_problem_path(report, group->paths[i]));
    }
    if (group->path_count > 0 && more > group->path_count)
        fprintf(stderr, " and %zu more", more - group->path_count);
    fputc('\n', stderr);
}

/* True if problem i was printed as it happened. These are the first problems of each kind, in the order of the
 * report. `passed` counts the problems of each kind so far. */
static int was_shown(const struct run *run, size_t i, size_t *passed)
{
    int32_t kind = ibt_report_problem_kind(run->report, i);

    return kind > 0 && kind < KINDS_MAX && passed[kind]++ < run->shown[kind];
}

static void print_group(const struct run *run, const struct group *group)
{
    if (run->quiet && is_note(ibt_report_problem_kind(run->report, group->first)))
        return;
    print_problem(run->report, group->first);
    if (group->count > 1)
        print_more(run->report, group);
}

/* Prints the problems that were not printed as they happened. */
void print_problems(const struct run *run)
{
    size_t count = ibt_report_problem_count(run->report), group_count = 0, i;
    uint64_t all = count_of(run, IBT_COUNT_PROBLEMS);
    size_t passed[KINDS_MAX] = { 0 };
    struct group *groups = malloc((count + 1) * sizeof *groups);

    for (i = 0; groups != NULL && i < count; i++)
        if (!was_shown(run, i, passed))
            group_count = add_to_group(run->report, i, groups, group_count);
    for (i = 0; i < group_count; i++)
        print_group(run, &groups[i]);
    free(groups);
    if (all > count)
        fprintf(stderr, "ibt: and %" PRIu64 " more problem%s\n", all - count, plural(all - count));
}

/* True unless the report lists a later snapshot of the same key than the one with this stamp. Without a stamp, the
 * problem concerns the snapshot that a backup continues. */
static int is_of_newest(const ibt_report *report, const char *stamp)
{
    size_t count = ibt_report_snapshot_count(report), i;

    if (stamp == NULL)
        return 1;
    for (i = 0; i + 1 < count; i++)
        if (strcmp(ibt_report_snapshot_stamp(report, i), stamp) == 0
            && strcmp(ibt_report_snapshot_key(report, i), ibt_report_snapshot_key(report, i + 1)) == 0)
            return 0;
    return 1;
}

/* The stored bytes that the problems of a report list as damaged or missing. */
enum losses { NO_LOSS, ONLY_OLDER, OF_NEWEST };

static enum losses losses_of(const ibt_report *report)
{
    enum losses found = NO_LOSS;
    size_t count = ibt_report_problem_count(report), i;

    for (i = 0; i < count; i++) {
        int32_t kind = ibt_report_problem_kind(report, i);

        if (kind != IBT_PROBLEM_DAMAGED && kind != IBT_PROBLEM_MISSING)
            continue;
        if (is_of_newest(report, ibt_report_problem_snapshot(report, i)))
            return OF_NEWEST;
        found = ONLY_OLDER;
    }
    /* Problems that the report does not list may be of the newest snapshot. */
    return found == ONLY_OLDER && ibt_report_counter(report, IBT_COUNT_PROBLEMS) > count ? OF_NEWEST : found;
}

/* After damage, advises an increment that stores the lost bytes again, if the newest snapshot needs them. */
void print_cure(const struct run *run, const struct command *command)
{
    int reads_store = (command->group & (BACKUP | VERIFY | LIST)) != 0;
    enum losses losses = reads_store && !run->heals ? losses_of(run->report) : NO_LOSS;

    if (losses == ONLY_OLDER)
        fputs("ibt: the newest snapshots lack nothing; older ones get the lost bytes back from another copy of the store "
              "only\n", stderr);
    if (losses == OF_NEWEST)
        fputs("ibt: next: 'ibt incr --heal SOURCE' stores again what SOURCE still has of the lost bytes; later increments "
              "need\n     no more of them. Older snapshots get them back from another copy of the store only.\n", stderr);
    if (ibt_error_status(run->err) == IBT_ERR_BUSY)
        fputs("ibt: --lock-wait SECONDS waits for the other operation\n", stderr);
    if (command->group == BACKUP && ibt_error_status(run->err) == IBT_ERR_MISMATCH)
        fputs("ibt: --host and --source-name name host and source otherwise, --allow-source-change continues the series from "
              "others,\n     --allow-empty backs up an empty source\n", stderr);
}

/* Prints the problems of a list that was an intermediate step, and frees it. The command prints its own result, so the
 * report is not kept. */
void list_problems(struct run *run, ibt_report *list)
{
    run->report = list;
    fflush(stdout);
    print_problems(run);
    ibt_report_free(list);
    run->report = NULL;
}

/* For a command that looks into one snapshot after the other: prints the error and returns 1 if the snapshot is lost,
 * or was removed meanwhile, so that the command can go on with the next one. */
int skip_lost(struct run *run, ibt_status status)
{
    int is_lost = status == IBT_ERR_CORRUPT || status == IBT_ERR_FORMAT || status == IBT_ERR_MISSING;

    if (!is_lost && status != IBT_ERR_NOT_FOUND)
        return 0;
    fflush(stdout);
    fputs("ibt: ", stderr);
    print_text(stderr, error_text(run, status));
    fputc('\n', stderr);
    ibt_error_free(run->err);
    run->err = NULL;
    return 1;
}
