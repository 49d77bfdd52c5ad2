/* ibt_diff.c - the commands diff and keys. */
#include "ibt_tool.h"
#include <inttypes.h>
#include <string.h>

/* Opens the snapshot of `when`, a stamp or a time; NULL is the newest. */
static ibt_status open_at(struct run *run, const char *when, ibt_snapshot **snapshot)
{
    ibt_options *options = ibt_options_new();
    ibt_status status = IBT_OK;
    struct span span;
    int64_t stamp;
    FILE *out;

    ibt_options_set_cancel(options, run->cancel);
    if (when == NULL) {
        ibt_options_set_snapshot(options, NULL);
    } else if (read_stamp(when, &stamp)) {
        ibt_options_set_snapshot(options, when);
    } else if (read_time(when, &span)) {
        ibt_options_set_as_of(options, span.last);
    } else {
        status = IBT_ERR_INVALID_ARG;
        out = begin_message(run);
        if (out != NULL)
            fprintf(out, "diff: '%s' is neither a stamp as ibt list shows it nor a time", when);
        end_message(run, out);
    }
    if (status >= 0)
        status = ibt_snapshot_open(run->storage, run->operands[0], options, snapshot, &run->err);
    ibt_options_free(options);
    return status;
}

ibt_status do_diff(struct run *run)
{
    ibt_snapshot *before = NULL, *after = NULL;
    ibt_status status = open_at(run, run->operands[1], &before);

    if (status >= 0)
        status = open_at(run, run->operands[2], &after);
    if (status >= 0 && !run->json && !run->quiet)
        ibt_options_set_change(run->options, print_change, run, NULL);
    if (status >= 0)
        status = ibt_diff(before, after, run->options, &run->report, &run->err);
    ibt_snapshot_free(before);
    ibt_snapshot_free(after);
    return status;
}

/* The report counts from the first snapshot to the second. */
void print_diff(const struct run *run)
{
    uint64_t created = count_of(run, IBT_COUNT_CREATED), deleted = count_of(run, IBT_COUNT_DELETED);
    uint64_t modified = count_of(run, IBT_COUNT_MODIFIED), metadata = count_of(run, IBT_COUNT_METADATA);

    print_name(stdout, or_dash(ibt_report_key(run->report)));
    printf("  %s to %s  ", or_dash(ibt_report_snapshot_stamp(run->report, 0)),
           or_dash(ibt_report_snapshot_stamp(run->report, 1)));
    if (created + deleted + modified + metadata == 0)
        puts("no differences");
    else
        printf("%" PRIu64 " created (+), %" PRIu64 " deleted (-), %" PRIu64 " with other content (M), %" PRIu64
               " with other metadata (m)\n", created, deleted, modified, metadata);
}

static int32_t print_key(void *ud, const char *key, uint64_t snapshots)
{
    const struct run *run = ud;

    if (run->json) {
        fputs("{\"key\":", stdout);
        print_json_text(key);
        printf(",\"snapshots\":%" PRIu64 "}\n", snapshots);
    } else {
        print_name(stdout, key);
        putchar('\n');
    }
    return ferror(stdout) ? IBT_CALLBACK_FAILED : IBT_CALLBACK_OK;
}

ibt_status do_keys(struct run *run)
{
    return ibt_list_keys(run->storage, print_key, run, &run->err);
}
