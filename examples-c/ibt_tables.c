/* ibt_tables.c - reports with many snapshots: list, prune, verify. */
#include "ibt_tool.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { STAMP_WIDTH = 23, DEEPEST = 4 };

static const char *key_of(const struct run *run, size_t i)
{
    return or_dash(ibt_report_snapshot_key(run->report, i));
}

static size_t key_width(const struct run *run)
{
    size_t widest = strlen("KEY"), i;

    for (i = 0; i < ibt_report_snapshot_count(run->report); i++) {
        size_t width = name_width(key_of(run, i));

        widest = width > widest ? width : widest;
    }
    return widest;
}

/* ------------------------------------------------------------ the tree of a list */

/* Where a snapshot stands in the tree. */
struct node {
    size_t root;    /* the snapshot that its chain begins with: itself, if nothing listed is its parent */
    int level;      /* 0 for that one, 1 for what continues it, more for a second continuation */
    int has_child;
};

/* The snapshot that i continues: parents are older and listed before. i itself if that is not there, or if i is
 * a full one, which begins a chain even where it was made of another. */
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

/* A chain is drawn as one branch below its root, not ever deeper: only where a snapshot is continued twice,
 * the second chain begins a level of its own. */
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

static void print_snapshot(const struct run *run, size_t i, int level, int is_last, size_t widths[2])
{
    const ibt_report *report = run->report;
    char when[32], size[32];
    int used;

    format_time(ibt_report_snapshot_date(report, i), when, sizeof when);
    format_size(ibt_report_snapshot_counter(report, i, IBT_COUNT_BYTES), size, sizeof size);
    print_cell(key_of(run, i), widths[0]);
    used = level == 0 ? 0 : 3 * level;
    printf("  %*s%s", used > 0 ? used - 3 : 0, "", level == 0 ? "" : is_last ? "`- " : "|- ");
    printf("%-*s  %-19s  %-11s  %10" PRIu64 "  %10s\n", (int)widths[1] - used,
           or_dash(ibt_report_snapshot_stamp(report, i)), when, or_dash(ibt_report_snapshot_kind(report, i)),
           ibt_report_snapshot_counter(report, i, IBT_COUNT_ENTRIES), size);
}

/* The chain that begins with `root`. */
static void print_chain(const struct run *run, const struct node *nodes, size_t count, size_t root,
                        size_t widths[2])
{
    size_t at = root, next;

    for (; at < count; at = next) {
        for (next = at + 1; next < count && nodes[next].root != root; next++)
            ;
        print_snapshot(run, at, nodes[at].level, next == count || nodes[next].level < nodes[at].level, widths);
    }
}

/* With --at: what the snapshot needs. */
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
    size_t widths[2];
    struct node *nodes = malloc((count + 1) * sizeof *nodes);

    if (count == 0 || nodes == NULL) {
        puts(count == 0 ? "no snapshots" : "too many snapshots");
        free(nodes);
        return;
    }
    plant(run, nodes, count);
    widths[0] = key_width(run);
    widths[1] = STAMP_WIDTH;
    for (i = 0; i < count; i++)
        if (widths[1] < STAMP_WIDTH + 3 * (size_t)nodes[i].level)
            widths[1] = STAMP_WIDTH + 3 * (size_t)nodes[i].level;
    printf("%-*s  %-*s  %-19s  %-11s  %10s  %10s\n", (int)widths[0], "KEY", (int)widths[1], "SNAPSHOT",
           "LOCAL TIME", "KIND", "ENTRIES", "SIZE");
    for (i = 0; i < count; i++)
        if (nodes[i].root == i)
            print_chain(run, nodes, count, i, widths);
    free(nodes);
    print_needed(run);
}

/* ----------------------------------------------------------------- what was decided */

void print_prune(const struct run *run)
{
    const ibt_report *report = run->report;
    size_t count = ibt_report_snapshot_count(report), i;
    size_t files = ibt_report_file_count(report);
    uint64_t removed = count_of(run, IBT_COUNT_DELETED);
    char when[32], size[32];

    printf("%-7s  %-23s  %-19s  %-11s  %s\n", "", "SNAPSHOT", "LOCAL TIME", "KIND", "WHY");
    for (i = 0; i < count; i++) {
        int goes = ibt_report_snapshot_action(report, i) == IBT_ACTION_REMOVED;

        format_time(ibt_report_snapshot_date(report, i), when, sizeof when);
        printf("%-7s  %-23s  %-19s  %-11s  ", goes ? "removed" : "kept",
               or_dash(ibt_report_snapshot_stamp(report, i)), when, or_dash(ibt_report_snapshot_kind(report, i)));
        print_text(stdout, or_dash(ibt_report_snapshot_reason(report, i)));
        putchar('\n');
    }
    format_size(ibt_report_total_size(report), size, sizeof size);
    printf("%s%" PRIu64 " of %zu snapshot%s removed: %s in %zu file%s\n",
           run->dry_run ? "dry run, nothing was touched: " : "", removed, count, plural(count), size, files,
           plural(files));
}

static uint64_t losses(const struct run *run)
{
    size_t count = ibt_report_problem_count(run->report), i;
    uint64_t notes = 0;

    for (i = 0; i < count; i++)
        notes += ibt_report_problem_kind(run->report, i) == IBT_PROBLEM_LEFTOVER;
    return count_of(run, IBT_COUNT_PROBLEMS) - notes;
}

void print_verify(const struct run *run)
{
    const ibt_report *report = run->report;
    size_t count = ibt_report_snapshot_count(report), i;
    size_t width = key_width(run);
    uint64_t lost = losses(run);
    char when[32], size[32];

    if (count > 0)
        printf("%-*s  %-23s  %-19s  %10s  %10s  RESULT\n", (int)width, "KEY", "SNAPSHOT", "LOCAL TIME",
               "ENTRIES", "SIZE");
    for (i = 0; i < count; i++) {
        const char *reason = ibt_report_snapshot_reason(report, i);

        format_time(ibt_report_snapshot_date(report, i), when, sizeof when);
        format_size(ibt_report_snapshot_counter(report, i, IBT_COUNT_BYTES), size, sizeof size);
        print_cell(key_of(run, i), width);
        printf("  %-23s  %-19s  %10" PRIu64 "  %10s  ", or_dash(ibt_report_snapshot_stamp(report, i)), when,
               ibt_report_snapshot_counter(report, i, IBT_COUNT_ENTRIES), size);
        print_text(stdout, reason == NULL || *reason == '\0' ? "whole" : reason);
        putchar('\n');
    }
    format_size(count_of(run, IBT_COUNT_BYTES_READ), size, sizeof size);
    printf("%zu snapshot%s, %s read: ", count, plural(count), size);
    if (lost == 0)
        puts("all is as it was written");
    else
        printf("%" PRIu64 " loss%s\n", lost, lost == 1 ? "" : "es");
}
