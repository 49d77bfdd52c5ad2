/* ibt_stats.c - the command stats: the sizes of the snapshots of a key, and the space that they take in the store. */
#include "ibt_tool.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The kinds of backup files, as reports name them. */
static const char *const kinds[] = { "full", "created", "updated", "sigvault", "state", "retired" };
enum { KIND_COUNT = sizeof kinds / sizeof kinds[0] };

/* A backup file that a snapshot needs. */
struct backup_file {
    char *name;
    int kind;
    uint64_t size;
};

struct stats {
    size_t snapshots;
    uint64_t entries, bytes;  /* of the newest snapshot */
    uint64_t all_bytes;       /* of all snapshots, as if each were restored */
    int64_t first, last;      /* times of the oldest and the newest snapshot */
    struct backup_file *files;
    size_t count, room;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct backup_file *)a)->name, ((const struct backup_file *)b)->name);
}

/* Sorts the files and removes those that are there more than once. */
static void unite(struct stats *stats)
{
    size_t i, kept = 0;

    if (stats->count > 0)
        qsort(stats->files, stats->count, sizeof *stats->files, by_name);
    for (i = 0; i < stats->count; i++)
        if (kept > 0 && strcmp(stats->files[kept - 1].name, stats->files[i].name) == 0)
            free(stats->files[i].name);
        else
            stats->files[kept++] = stats->files[i];
    stats->count = kept;
}

/* Adds file i of the report. Returns 0 if memory ran out. */
static int add_file(struct stats *stats, const ibt_report *report, size_t i)
{
    struct backup_file *file;
    int kind;

    if (stats->count == stats->room) {
        unite(stats);
        if (stats->count * 2 >= stats->room) {
            size_t room = stats->room * 2 + 64;
            void *files = realloc(stats->files, room * sizeof *stats->files);

            if (files == NULL)
                return 0;
            stats->files = files;
            stats->room = room;
        }
    }
    for (kind = 0; kind < KIND_COUNT && strcmp(kinds[kind], or_dash(ibt_report_file_kind(report, i))) != 0;)
        kind++;
    file = &stats->files[stats->count];
    file->name = strdup(or_dash(ibt_report_file_name(report, i)));
    file->kind = kind;
    file->size = ibt_report_file_size(report, i);
    return file->name != NULL && ++stats->count > 0;
}

/* Adds the backup files that the snapshot needs. */
static ibt_status add_files(struct run *run, struct stats *stats, const char *stamp)
{
    ibt_report *one;
    ibt_status status;
    size_t i;

    ibt_options_set_snapshot(run->options, stamp);
    status = ibt_list_snapshots(run->storage, run->operands[0], run->options, &one, &run->err);
    for (i = 0; status >= 0 && i < ibt_report_file_count(one); i++)
        if (!add_file(stats, one, i))
            status = IBT_ERR_LIMIT;
    ibt_report_free(one);
    return status;
}

/* Counts the files of one kind and sums up their sizes; of every kind if `kind` is negative. */
static size_t sum(const struct stats *stats, int kind, uint64_t *bytes)
{
    size_t i, count = 0;

    for (*bytes = 0, i = 0; i < stats->count; i++)
        if (kind < 0 || stats->files[i].kind == kind) {
            *bytes += stats->files[i].size;
            count++;
        }
    return count;
}

static void print_stored(const struct stats *stats, const char *title, int kind)
{
    uint64_t bytes;
    size_t count = sum(stats, kind, &bytes);
    char size[32];

    if (count == 0)
        return;
    format_size(bytes, size, sizeof size);
    printf("%-14s %11s  in %zu file%s\n", title, size, count, plural(count));
}

static void print_stats(const struct run *run, const struct stats *stats)
{
    char first[TIME_SIZE], last[TIME_SIZE], size[32], title[16];
    int kind;

    format_snapshot_time(stats->first, TO_SECOND, first, sizeof first);
    format_snapshot_time(stats->last, TO_SECOND, last, sizeof last);
    print_name(stdout, run->operands[0]);
    printf(": %zu snapshot%s, from %s to %s\n", stats->snapshots, plural(stats->snapshots), first, last);
    format_size(stats->bytes, size, sizeof size);
    printf("%-14s %11s  in %" PRIu64 " entr%s\n", "newest", size, stats->entries, stats->entries == 1 ? "y" : "ies");
    format_size(stats->all_bytes, size, sizeof size);
    printf("%-14s %11s  if each were restored\n", "all snapshots", size);
    print_stored(stats, "stored", -1);
    for (kind = 0; kind < KIND_COUNT; kind++) {
        snprintf(title, sizeof title, "  %s", kinds[kind]);
        print_stored(stats, title, kind);
    }
}

static void print_json_stats(const struct stats *stats)
{
    const char *between = "";
    uint64_t bytes;
    size_t count = sum(stats, -1, &bytes);
    int kind;

    printf("{\"snapshots\":%zu,\"entries\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"all_bytes\":%" PRIu64
           ",\"stored_files\":%zu,\"stored_bytes\":%" PRIu64 ",\"stored\":{",
           stats->snapshots, stats->entries, stats->bytes, stats->all_bytes, count, bytes);
    for (kind = 0; kind < KIND_COUNT; kind++)
        if ((count = sum(stats, kind, &bytes)) > 0) {
            printf("%s\"%s\":{\"files\":%zu,\"bytes\":%" PRIu64 "}", between, kinds[kind], count, bytes);
            between = ",";
        }
    puts("}}");
}

ibt_status do_stats(struct run *run)
{
    struct stats stats = { 0, 0, 0, 0, 0, 0, NULL, 0, 0 };
    ibt_report *list;
    ibt_status listed = ibt_list_snapshots(run->storage, run->operands[0], run->options, &list, &run->err);
    ibt_status status = listed;
    size_t i;

    stats.snapshots = ibt_report_snapshot_count(list);
    for (i = 0; status >= 0 && i < stats.snapshots; i++) {
        stats.last = ibt_report_snapshot_date(list, i);
        stats.first = i == 0 ? stats.last : stats.first;
        stats.entries = ibt_report_snapshot_counter(list, i, IBT_COUNT_ENTRIES);
        stats.bytes = ibt_report_snapshot_counter(list, i, IBT_COUNT_BYTES);
        stats.all_bytes += stats.bytes;
        status = add_files(run, &stats, ibt_report_snapshot_stamp(list, i));
        if (skip_lost(run, status)) {
            listed = IBT_PARTIAL;
            status = IBT_OK;
        }
    }
    unite(&stats);
    erase_progress(run);
    if (status >= 0 && run->json)
        print_json_stats(&stats);
    else if (status >= 0)
        print_stats(run, &stats);
    list_problems(run, list);
    while (stats.count > 0)
        free(stats.files[--stats.count].name);
    free(stats.files);
    return status < 0 ? status : listed;
}
