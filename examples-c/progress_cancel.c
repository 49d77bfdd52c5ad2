/*
 * progress_cancel.c - a backup with a progress bar that Ctrl-C stops cleanly.
 *
 *     progress_cancel SOURCE STORE
 *
 * A backup that is stopped leaves the store as it was: without a new snapshot and without temporary files.
 */
#include <ibt.h>
#include <signal.h>
#include <stdio.h>

/* For the signal handler. Set before the handler is installed, and never changed. */
static ibt_cancel *cancel;

static void on_interrupt(int number)
{
    (void)number;
    ibt_cancel_request(cancel); /* safe in a signal handler */
}

/* Draws "[#####     ]  50%  path" over the previous line. */
static int32_t draw(void *ud, const ibt_progress *now)
{
    uint64_t done = ibt_progress_done_bytes(now);
    uint64_t total = ibt_progress_total_bytes(now);
    int tenths = total ? (int)((double)done / (double)total * 10.0) : 0;
    int i;

    (void)ud;
    if (tenths > 10)
        tenths = 10;
    fputs("\r[", stderr);
    for (i = 0; i < 10; i++)
        fputc(i < tenths ? '#' : ' ', stderr);
    fprintf(stderr, "] %3d%%  %-50.50s", tenths * 10, ibt_progress_path(now));
    return IBT_CALLBACK_OK;
}

int main(int argc, char **argv)
{
    ibt_storage *storage = NULL;
    ibt_options *options;
    ibt_report *report = NULL;
    ibt_error *err = NULL;
    ibt_status status;

    if (argc != 3) {
        fprintf(stderr, "usage: progress_cancel SOURCE STORE\n");
        return 2;
    }
    cancel = ibt_cancel_new();
    signal(SIGINT, on_interrupt);

    options = ibt_options_new();
    ibt_options_set_progress(options, draw, NULL, NULL);
    ibt_options_set_cancel(options, cancel);

    status = ibt_storage_open_dir(argv[2], 0, &storage, &err);
    if (status >= 0)
        status = ibt_full_backup(storage, argv[1], options, &report, &err);
    fputc('\n', stderr);

    if (status == IBT_ERR_CANCELLED)
        fprintf(stderr, "cancelled: nothing was stored\n");
    else if (status < 0)
        fprintf(stderr, "%s\n", ibt_error_message(err));
    else
        printf("snapshot %s\n", ibt_report_snapshot(report));

    signal(SIGINT, SIG_DFL); /* before ibt_cancel_free(): the handler uses `cancel` */
    ibt_error_free(err);
    ibt_report_free(report);
    ibt_options_free(options);
    ibt_storage_free(storage);
    ibt_cancel_free(cancel);
    return status < 0 ? 1 : 0;
}
