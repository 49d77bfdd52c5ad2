/* ibt_prune.c - finds the snapshot that a prune with --at removes: the only snapshot within that time, and never an
 * earlier snapshot. */
#include "ibt_tool.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The stamps of snapshots made within the time of --at, and the stamp of the last snapshot before it. */
struct found {
    char stamps[8][32]; /* the first eight; count has all */
    size_t count;
    char before[32];
    int64_t before_date;
};

static void look_at(struct found *found, const struct span *span, const char *stamp, int64_t date)
{
    if (date < span->first && (found->before[0] == '\0' || date >= found->before_date)) {
        snprintf(found->before, sizeof found->before, "%s", stamp);
        found->before_date = date;
    }
    if (date < span->first || date > span->last)
        return;
    if (found->count < sizeof found->stamps / sizeof found->stamps[0])
        snprintf(found->stamps[found->count], sizeof found->stamps[0], "%s", stamp);
    found->count++;
}

/* Looks at all snapshots, and at states that cannot be read: for these the report has only a problem with the
 * stamp. */
static void look_through(struct found *found, const struct span *span, const ibt_report *report)
{
    size_t i;

    for (i = 0; i < ibt_report_snapshot_count(report); i++)
        look_at(found, span, ibt_report_snapshot_stamp(report, i), ibt_report_snapshot_date(report, i));
    for (i = 0; i < ibt_report_problem_count(report); i++) {
        const char *stamp = ibt_report_problem_snapshot(report, i);
        int64_t date;

        if (stamp != NULL && read_stamp(stamp, &date))
            look_at(found, span, stamp, date);
    }
}

/* Makes the error message for a time of --at that does not select exactly one snapshot. */
static ibt_status refuse(struct run *run, const struct found *found)
{
    const size_t shown = sizeof found->stamps / sizeof found->stamps[0];
    FILE *out = begin_message(run);
    size_t i;

    if (out != NULL && found->count == 0) {
        fprintf(out, "prune: no snapshot of key '%s' was made at the time '%s'", run->operands[0], run->at);
        if (found->before[0] != '\0')
            fprintf(out, ", the last before it is %s", found->before);
        fputs("; nothing was removed", out);
    } else if (out != NULL) {
        fprintf(out, "prune: %zu snapshots of key '%s' were made at the time '%s'; nothing was removed; name one by its "
                "stamp:", found->count, run->operands[0], run->at);
        for (i = 0; i < found->count && i < shown; i++)
            fprintf(out, " %s", found->stamps[i]);
        if (found->count > shown)
            fprintf(out, " and %zu more", found->count - shown);
    }
    end_message(run, out);
    return found->count == 0 ? IBT_ERR_NOT_FOUND : IBT_ERR_INVALID_ARG;
}

/* Replaces the time of --at by the stamp of the only snapshot made within that time. */
static ibt_status settle_on_one(struct run *run)
{
    ibt_options *options = ibt_options_new();
    ibt_report *report = NULL;
    struct found found;
    ibt_status status;

    memset(&found, 0, sizeof found);
    ibt_options_set_cancel(options, run->cancel);
    status = ibt_list_snapshots(run->storage, run->operands[0], options, &report, &run->err);
    if (status >= 0) {
        look_through(&found, &run->span, report);
        status = found.count == 1 ? ibt_options_set_snapshot(run->options, found.stamps[0]) : refuse(run, &found);
    }
    ibt_report_free(report);
    ibt_options_free(options);
    return status;
}

ibt_status do_prune(struct run *run)
{
    ibt_status status = run->at_is_time ? settle_on_one(run) : IBT_OK;

    if (status < 0)
        return status;
    return ibt_prune(run->storage, run->operands[0], run->options, &run->report, &run->err);
}
