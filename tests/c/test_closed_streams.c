/* A program that has closed its standard streams, and still writes to them: its text gets into no file of libibt. */
#include "check.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int kept[3];
static int are_open = 1;

/* The callback of an operation. The first call closes the streams, so that the files that the operation opens from
 * then on could get their numbers. The next calls write to these numbers. */
static int32_t write_text(void)
{
    int number;

    for (number = 0; number <= 2; number++) {
        if (are_open)
            close(number);
        else if (write(number, "a message", 9) < 0)
            continue; /* as expected: there is no such file, or it is a directory */
    }
    are_open = 0;
    return IBT_CALLBACK_OK;
}

static int32_t on_progress(void *ud, const ibt_progress *now)
{
    (void)ud;
    (void)now;
    return write_text();
}

static int32_t on_change(void *ud, uint32_t what, const ibt_entry *before, const ibt_entry *after)
{
    (void)ud;
    (void)what;
    (void)before;
    (void)after;
    return write_text();
}

/* Opens the streams again, so that failed checks can be told. */
static void open_streams(void)
{
    int number;

    for (number = 0; number <= 2; number++)
        dup2(kept[number], number);
    are_open = 1;
}

int main(void)
{
    ibt_storage *storage;
    ibt_options *options = ibt_options_new();
    ibt_report *report;
    ibt_status status;
    int number;

    for (number = 0; number <= 2; number++)
        kept[number] = fcntl(number, F_DUPFD, 10);
    check_begin();
    make_dir("src");
    write_random("src/a", 3000000, 1);
    write_random("src/b", 40000, 2);
    storage = open_storage("store");
    ibt_options_set_progress(options, on_progress, NULL, NULL);
    ibt_options_set_change(options, on_change, NULL, NULL);
    status = ibt_full_backup(storage, "src", options, &report, NULL);
    open_streams();
    CHECK_INT(status, IBT_OK);
    ibt_report_free(report);

    write_random("src/b", 50000, 3);
    status = ibt_incremental_backup(storage, "src", options, &report, NULL);
    open_streams();
    CHECK_INT(status, IBT_OK);
    ibt_report_free(report);

    status = ibt_restore(storage, "src", "dest", options, &report, NULL);
    open_streams();
    CHECK_INT(status, IBT_OK);
    ibt_report_free(report);
    CHECK(same_trees("src", "dest"));
    CHECK_INT(ibt_verify(storage, NULL, NULL, &report, NULL), IBT_OK);
    ibt_report_free(report);
    ibt_options_free(options);
    ibt_storage_free(storage);
    return check_end();
}
