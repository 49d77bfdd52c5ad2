/* Cancels an operation at its first callback, then at its second, and so on, until it succeeds. A cancelled operation
 * leaves nothing behind. */
#include "check.h"

#include <stdio.h>
#include <string.h>

enum how { BY_ZERO, BY_NEGATIVE, BY_REQUEST };

/* Stops the operation at call number `last`. */
struct trigger {
    int calls, last;
    enum how how;
    ibt_cancel *cancel;
    ibt_storage *storage; /* in use: re-entry must be refused */
    ibt_options *options; /* freed at the first call: the operation has its copy */
    int destroyed;
};

static int32_t answer(struct trigger *trigger)
{
    if (++trigger->calls < trigger->last)
        return IBT_CALLBACK_OK;
    if (trigger->how == BY_REQUEST)
        ibt_cancel_request(trigger->cancel);
    return trigger->how == BY_REQUEST ? IBT_CALLBACK_OK : trigger->how == BY_ZERO ? IBT_CALLBACK_FAILED : -7;
}

static int32_t on_progress(void *ud, const ibt_progress *now)
{
    struct trigger *trigger = ud;

    CHECK(ibt_progress_phase(now) >= IBT_PHASE_SCAN && ibt_progress_path(now) != NULL);
    CHECK_INT(ibt_list_snapshots(trigger->storage, NULL, NULL, NULL, NULL), IBT_ERR_BUSY);
    ibt_options_free(trigger->options);
    trigger->options = NULL;
    CHECK_INT(trigger->destroyed, 0);
    return answer(trigger);
}

static int32_t on_change(void *ud, uint32_t what, const ibt_entry *before, const ibt_entry *after)
{
    CHECK(what != 0 && (before != NULL || after != NULL));
    return answer(ud);
}

static void on_destroy(void *ud)
{
    ((struct trigger *)ud)->destroyed++;
}

static ibt_options *watched_by(struct trigger *trigger)
{
    ibt_options *options = ibt_options_new();

    ibt_options_set_progress(options, on_progress, trigger, on_destroy);
    ibt_options_set_change(options, on_change, trigger, on_destroy);
    ibt_options_set_cancel(options, trigger->cancel);
    trigger->options = options;
    return options;
}

typedef ibt_status (*operation)(ibt_storage *, const ibt_options *, ibt_report **, ibt_error **);

static ibt_status full(ibt_storage *storage, const ibt_options *options, ibt_report **report, ibt_error **err)
{
    return ibt_full_backup(storage, "src", options, report, err);
}

static ibt_status incr(ibt_storage *storage, const ibt_options *options, ibt_report **report, ibt_error **err)
{
    write_file("src/a", "changed");
    return ibt_incremental_backup(storage, "src", options, report, err);
}

static ibt_status rest(ibt_storage *storage, const ibt_options *options, ibt_report **report, ibt_error **err)
{
    return ibt_restore(storage, "src", "dest", options, report, err);
}

static size_t snapshots(ibt_storage *storage)
{
    ibt_report *report;
    size_t count;

    /* The list fails if the store does not exist yet. The report then has no snapshots. */
    ibt_list_snapshots(storage, NULL, NULL, &report, NULL);
    count = ibt_report_snapshot_count(report);
    ibt_report_free(report);
    return count;
}

/* One run that is stopped at call n. Returns its status. */
static ibt_status attempt(ibt_storage *storage, operation work, enum how how, int n)
{
    struct trigger trigger;
    size_t before = snapshots(storage);
    ibt_report *report;
    ibt_error *err;
    ibt_status status;

    memset(&trigger, 0, sizeof trigger);
    trigger.last = n;
    trigger.how = how;
    trigger.cancel = ibt_cancel_new();
    trigger.storage = storage;
    status = work(storage, watched_by(&trigger), &report, &err);
    CHECK_INT(trigger.destroyed, 2);
    CHECK_INT(ibt_error_status(err), status < 0 ? status : IBT_OK);
    CHECK(report != NULL);
    CHECK_INT(ibt_report_status(report), status);
    if (status == IBT_ERR_CANCELLED) {
        CHECK_INT(snapshots(storage), before);
        CHECK_INT(count_prefixed("store", ".ibt-tmp"), 0);
        CHECK(!exists("dest"));
    } else {
        CHECK_INT(told(status, &err), IBT_OK);
    }
    ibt_report_free(report);
    ibt_error_free(err);
    ibt_options_free(trigger.options);
    ibt_cancel_free(trigger.cancel);
    return status;
}

/* Stops the operation at later and later calls, until it ends before it is stopped. A request after the commit comes
 * too late. */
static void sweep(ibt_storage *storage, operation work, enum how how)
{
    int n = 1;

    while (n < 1000 && attempt(storage, work, how, n) == IBT_ERR_CANCELLED)
        n++;
    CHECK(n > 2 && n < 1000);
    remove_tree("dest");
}

static int32_t free_storage(void *ud, const ibt_progress *now)
{
    ibt_storage **storage = ud;

    (void)now;
    ibt_storage_free(*storage);
    *storage = NULL;
    return IBT_CALLBACK_OK;
}

/* A storage that is freed while an operation uses it goes when the operation ends. */
static void test_storage_freed_in_callback(void)
{
    ibt_storage *storage = open_storage("store");
    ibt_options *options = ibt_options_new();

    ibt_options_set_progress(options, free_storage, &storage, NULL);
    CHECK_INT(ibt_full_backup(storage, "src", options, NULL, NULL), IBT_OK);
    CHECK(storage == NULL);
    ibt_options_free(options);
}

int main(void)
{
    ibt_storage *storage;
    int i;

    check_begin();
    make_dir("src");
    for (i = 0; i < 8; i++) {
        char path[32];

        snprintf(path, sizeof path, "src/%c", 'a' + i);
        write_random(path, 5000, (unsigned)i);
    }
    storage = open_storage("store");
    sweep(storage, full, BY_ZERO);
    sweep(storage, full, BY_NEGATIVE);
    sweep(storage, full, BY_REQUEST);
    sweep(storage, incr, BY_ZERO);
    sweep(storage, incr, BY_REQUEST);
    sweep(storage, rest, BY_ZERO);
    sweep(storage, rest, BY_REQUEST);
    ibt_storage_free(storage);
    test_storage_freed_in_callback();
    return check_end();
}
