/* ibt_tables.c - prints reports with many snapshots: list, prune, verify. */
#include "ibt_tool.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 4 };

static const char *key_of(const struct run *run, size_t i)
{
    return or_dash(ibt_report_snapshot_key(run->report, i));
}

static void add_size(struct table *table, uint64_t bytes)
{
    char size[32];

    format_size(bytes, size, sizeof size);
    add_cell(table, strdup(size));
}

static void add_count(struct table *table, uint64_t count)
{
    char text[32];

    snprintf(text, sizeof text, "%" PRIu64, count);
    add_cell(table, strdup(text));
}

/* ---------------------------------------------------------------- times that identify a snapshot */

/* A snapshot of the report, for sorting by key and time. */
struct dated {
    size_t index;
    const char *key;
    int64_t date;
};

static int by_key_and_date(const void *a, const void *b)
{
    const struct dated *one = a, *other = b;
    int order = strcmp(one->key, other->key);

    return order != 0 ? order : (one->date > other->date) - (one->date < other->date);
}

/* True if `text` as the argument of --at selects this snapshot and no other: the snapshots before and after it lie
 * outside of that time. */
static int tells_apart(const struct dated *at, const struct dated *all, size_t count, const char *text)
{
    struct span span;

    if (!read_time(text, &span) || at->date < span.first || at->date > span.last)
        return 0;
    if (at > all && strcmp(at[-1].key, at->key) == 0 && at[-1].date >= span.first)
        return 0;
    return at + 1 == all + count || strcmp(at[1].key, at->key) != 0 || at[1].date > span.last;
}

typedef char time_text[TIME_SIZE];

/* The local time of every snapshot of the report: to the second if --at with that text selects exactly this snapshot,
 * else more exactly. NULL if memory ran out. The caller frees it. */
static time_text *times_of(const struct run *run)
{
    size_t count = ibt_report_snapshot_count(run->report), i;
    struct dated *sorted = malloc((count + 1) * sizeof *sorted);
    time_text *times = calloc(count + 1, sizeof *times);

    for (i = 0; sorted != NULL && times != NULL && i < count; i++) {
        sorted[i].index = i;
        sorted[i].key = key_of(run, i);
        sorted[i].date = ibt_report_snapshot_date(run->report, i);
    }
    if (sorted != NULL && times != NULL)
        qsort(sorted, count, sizeof *sorted, by_key_and_date);
    for (i = 0; sorted != NULL && times != NULL && i < count; i++) {
        char *text = times[sorted[i].index];
        int how;

        for (how = TO_SECOND; how <= TO_MICROSECOND_IN_ZONE; how++) {
            format_snapshot_time(sorted[i].date, (enum exactness)how, text, TIME_SIZE);
            if (tells_apart(&sorted[i], sorted, count, text))
                break;
        }
    }
    free(sorted);
    return times;
}

static void add_time(struct table *table, time_text *times, size_t i)
{
    add_cell(table, strdup(times != NULL ? times[i] : "?"));
}

/* ------------------------------------------------------------ the tree of a list */

/* The place of a snapshot in the tree. */
struct node {
    size_t root;    /* the first snapshot of its chain: itself, if its parent is not listed */
    int level;      /* 0 for the root, 1 for the chain after it, more for a second chain after one snapshot */
    int has_child;
};

/* The parent of snapshot i. Parents are older, so they are listed before. Returns i itself if the parent is not
 * listed, or if i is a full snapshot: a full snapshot begins a chain, also if a consolidation made it from another
 * one. */
static size_t parent_of(const struct run *run, size_t i)
{
    const char *parent = ibt_report_snapshot_parent(run->report, i);
    size_t at;

    if (strcmp(or_dash(ibt_report_snapshot_kind(run->report, i)), "full") == 0)
        return i;
    for (at = i; parent != NULL && at-- > 0 && strcmp(key_of(run, at), key_of(run, i)) == 0;)
        if (strcmp(or_dash(ibt_report_snapshot_stamp(run->report, at)), parent) == 0)
            return at;
    return i;
}

/* Sets the level of every snapshot. A chain is one branch below its root and does not get deeper with each snapshot.
 * Only if a snapshot has two children, the second one begins a deeper level. */
static void plant(const struct run *run, struct node *nodes, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        size_t parent = parent_of(run, i);
        struct node *above = &nodes[parent];

        nodes[i].root = i;
        nodes[i].level = nodes[i].has_child = 0;
        if (parent == i)
            continue;
        nodes[i].root = above->root;
        nodes[i].level = above->level + (above->level == 0 || above->has_child);
        if (nodes[i].level > DEEPEST)
            nodes[i].level = DEEPEST;
        above->has_child = 1;
    }
}

static const struct column list_columns[] = {
    { "KEY", 0, 0 },  { "SNAPSHOT", 0, 0 }, { "LOCAL TIME", 0, 4 },
    { "KIND", 0, 2 }, { "ENTRIES", 1, 1 },  { "SIZE", 1, 3 },
    { "LABELS", 0, 0 },
};

/* The labels of snapshot i, for example "reason=before the update, pin=". NULL if memory ran out. */
static char *labels_of(const ibt_report *report, size_t i)
{
    size_t count = ibt_report_snapshot_label_count(report, i), j, size;
    char *text = NULL, *printed;
    FILE *out = open_memstream(&text, &size);

    if (out == NULL)
        return NULL;
    for (j = 0; j < count; j++)
        fprintf(out, "%s%s=%s", j > 0 ? ", " : "", or_dash(ibt_report_snapshot_label_name(report, i, j)),
                or_dash(ibt_report_snapshot_label_value(report, i, j)));
    if (fclose(out) != 0)
        return NULL;
    printed = name_as_text(text);
    free(text);
    return printed;
}

static int has_labels(const ibt_report *report)
{
    size_t i;

    for (i = 0; i < ibt_report_snapshot_count(report); i++)
        if (ibt_report_snapshot_label_count(report, i) > 0)
            return 1;
    return 0;
}

static void add_snapshot(struct table *table, const struct run *run, size_t i, int level, int is_last,
                         time_text *times)
{
    const ibt_report *report = run->report;
    char stamp[64];

    snprintf(stamp, sizeof stamp, "%*s%s%s", level > 0 ? 3 * (level - 1) : 0, "",
             level == 0 ? "" : is_last ? "`- " : "|- ", or_dash(ibt_report_snapshot_stamp(report, i)));
    add_cell(table, name_as_text(key_of(run, i)));
    add_cell(table, strdup(stamp));
    add_time(table, times, i);
    add_cell(table, strdup(or_dash(ibt_report_snapshot_kind(report, i))));
    add_count(table, ibt_report_snapshot_counter(report, i, IBT_COUNT_ENTRIES));
    add_size(table, ibt_report_snapshot_counter(report, i, IBT_COUNT_BYTES));
    if (table->column_count == 7)
        add_cell(table, labels_of(report, i));
}

/* Adds the chain that begins with `root`. */
static void add_chain(struct table *table, const struct run *run, const struct node *nodes, size_t count,
                      size_t root, time_text *times)
{
    size_t at = root, next;

    for (; at < count; at = next) {
        for (next = at + 1; next < count && nodes[next].root != root; next++)
            ;
        add_snapshot(table, run, at, nodes[at].level, next == count || nodes[next].level < nodes[at].level, times);
    }
}

/* With --at, prints the backup files that the snapshot needs. */
static void print_needed(const struct run *run)
{
    size_t count = ibt_report_file_count(run->report), i;
    char size[32];

    if (count == 0)
        return;
    putchar('\n');
    for (i = 0; i < count; i++) {
        format_size(ibt_report_file_size(run->report, i), size, sizeof size);
        printf("%10s  %-8s  ", size, or_dash(ibt_report_file_kind(run->report, i)));
        print_name(stdout, or_dash(ibt_report_file_name(run->report, i)));
        putchar('\n');
    }
    format_size(ibt_report_total_size(run->report), size, sizeof size);
    printf("%10s  in %zu file%s\n", size, count, plural(count));
}

void print_list(const struct run *run)
{
    size_t count = ibt_report_snapshot_count(run->report), i;
    struct table table = { list_columns, 6, 0, NULL, 0, 0 };
    struct node *nodes = malloc((count + 1) * sizeof *nodes);
    time_text *times = times_of(run);

    if (count == 0 || nodes == NULL) {
        puts(count == 0 ? "no snapshots" : "too many snapshots");
        free(nodes);
        free(times);
        return;
    }
    if (has_labels(run->report))
        table.column_count = 7, table.wraps = 1;
    plant(run, nodes, count);
    for (i = 0; i < count; i++)
        if (nodes[i].root == i)
            add_chain(&table, run, nodes, count, i, times);
    print_table(&table);
    free(nodes);
    free(times);
    print_needed(run);
}

/* ----------------------------------------------------------------- prune and verify */

static const struct column prune_columns[] = {
    { "", 0, 0 }, { "SNAPSHOT", 0, 0 }, { "LOCAL TIME", 0, 2 }, { "KIND", 0, 1 }, { "WHY", 0, 0 },
};

/* Number of files of this kind among the removed files. */
static size_t files_removed(const struct run *run, const char *kind)
{
    size_t count = ibt_report_file_count(run->report), files = 0, i;

    for (i = 0; i < count; i++)
        files += strcmp(or_dash(ibt_report_file_kind(run->report, i)), kind) == 0;
    return files;
}

/* Number of removed snapshots that cannot be read. They have no row in the report, but their states are among the
 * files. A state with a mark is not of a snapshot: an earlier prune removed that snapshot, and the mark goes with the
 * state. */
static size_t unreadable_removed(const struct run *run)
{
    size_t states = files_removed(run, "state"), others = (size_t)count_of(run, IBT_COUNT_DELETED);

    others += files_removed(run, "retired");
    return states > others ? states - others : 0;
}

static void print_pruned(const struct run *run)
{
    size_t listed = ibt_report_snapshot_count(run->report), files = ibt_report_file_count(run->report);
    size_t removed = (size_t)count_of(run, IBT_COUNT_DELETED), unreadable = unreadable_removed(run);
    const char *would = run->dry_run ? "would be " : "";
    char size[32];

    format_size(ibt_report_total_size(run->report), size, sizeof size);
    printf("%s%zu of %zu snapshot%s %sremoved", run->dry_run ? "dry run: " : "",
           removed + unreadable, listed + unreadable, plural(listed + unreadable), would);
    if (unreadable > 0)
        printf(" (%zu of them unreadable)", unreadable);
    printf(": %s in %zu file%s\n", size, files, plural(files));
}

void print_prune(const struct run *run)
{
    const ibt_report *report = run->report;
    size_t count = ibt_report_snapshot_count(report), i;
    struct table table = { prune_columns, 5, 1, NULL, 0, 0 };
    time_text *times = times_of(run);

    for (i = 0; i < count; i++) {
        int goes = ibt_report_snapshot_action(report, i) == IBT_ACTION_REMOVED;

        add_cell(&table, strdup(!goes ? "kept" : run->dry_run ? "would be removed" : "removed"));
        add_cell(&table, strdup(or_dash(ibt_report_snapshot_stamp(report, i))));
        add_time(&table, times, i);
        add_cell(&table, strdup(or_dash(ibt_report_snapshot_kind(report, i))));
        add_cell(&table, message_as_text(or_dash(ibt_report_snapshot_reason(report, i))));
    }
    if (count > 0)
        print_table(&table);
    free(times);
    print_pruned(run);
}

static uint64_t losses(const struct run *run)
{
    size_t count = ibt_report_problem_count(run->report), i;
    uint64_t notes = 0;

    for (i = 0; i < count; i++)
        notes += (uint64_t)ibt_report_problem_is_note(run->report, i);
    return count_of(run, IBT_COUNT_PROBLEMS) - notes;
}

static const struct column verify_columns[] = {
    { "KEY", 0, 0 },     { "SNAPSHOT", 0, 0 }, { "LOCAL TIME", 0, 3 },
    { "ENTRIES", 1, 1 }, { "SIZE", 1, 2 },     { "RESULT", 0, 0 },
};

void print_verify(const struct run *run)
{
    const ibt_report *report = run->report;
    size_t count = ibt_report_snapshot_count(report), i;
    struct table table = { verify_columns, 6, 1, NULL, 0, 0 };
    time_text *times = times_of(run);
    uint64_t lost = losses(run);
    const char *sound = run->sound == NULL ? "whole" : run->sound;
    char size[32];

    for (i = 0; i < count; i++) {
        const char *reason = ibt_report_snapshot_reason(report, i);

        add_cell(&table, name_as_text(key_of(run, i)));
        add_cell(&table, strdup(or_dash(ibt_report_snapshot_stamp(report, i))));
        add_time(&table, times, i);
        add_count(&table, ibt_report_snapshot_counter(report, i, IBT_COUNT_ENTRIES));
        add_size(&table, ibt_report_snapshot_counter(report, i, IBT_COUNT_BYTES));
        add_cell(&table, message_as_text(reason == NULL || *reason == '\0' ? sound : reason));
    }
    if (count > 0)
        print_table(&table);
    free(times);
    format_size(count_of(run, IBT_COUNT_BYTES_READ), size, sizeof size);
    printf("%zu snapshot%s, %s read: ", count, plural(count), size);
    if (lost == 0)
        puts("no losses");
    else
        printf("%" PRIu64 " loss%s\n", lost, lost == 1 ? "" : "es");
}
