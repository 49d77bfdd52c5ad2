/*
 * memory_backup.c - backs up a directory twice into memory, lists the snapshots, and restores one.
 *
 *     memory_backup SOURCE RESTORED
 *
 * The backup files are lost when the program ends. The interesting part is memory_storage.c.
 */
#include "memory_storage.h"

#include <stdio.h>

/* The key of both backups. */
#define KEY "memory"

/* Prints and frees the report and the error of a call. Returns 1 if the call succeeded. */
static int done(const char *what, ibt_status status, ibt_report *report, ibt_error *err)
{
    size_t i;

    if (status < 0)
        fprintf(stderr, "%s: %s\n", what, ibt_error_message(err));
    else
        printf("%s: %s\n", what, status == IBT_PARTIAL ? "not everything, see the problems" : "done");
    for (i = 0; i < ibt_report_problem_count(report); i++)
        fprintf(stderr, "    %s\n", ibt_report_problem_message(report, i));
    for (i = 0; i < ibt_report_snapshot_count(report); i++)
        printf("    snapshot %s (%s)\n", ibt_report_snapshot_stamp(report, i),
               ibt_report_snapshot_kind(report, i));
    for (i = 0; i < ibt_report_file_count(report); i++)
        printf("    %s, %llu bytes\n", ibt_report_file_name(report, i),
               (unsigned long long)ibt_report_file_size(report, i));
    ibt_report_free(report);
    ibt_error_free(err);
    return status >= 0;
}

int main(int argc, char **argv)
{
    ibt_storage *storage;
    ibt_options *options;
    ibt_report *report;
    ibt_error *err;
    ibt_status status;
    int good;

    if (argc != 3) {
        fprintf(stderr, "usage: memory_backup SOURCE RESTORED\n");
        return 2;
    }
    storage = memory_storage_new();
    if (storage == NULL) {
        fprintf(stderr, "out of memory\n");
        return 1;
    }
    options = ibt_options_new();
    ibt_options_set_key(options, KEY);

    status = ibt_full_backup(storage, argv[1], options, &report, &err);
    good = done("full backup", status, report, err);
    if (good) {
        status = ibt_incremental_backup(storage, argv[1], options, &report, &err);
        good = done("increment", status, report, err);
    }
    if (good) {
        status = ibt_list_snapshots(storage, KEY, NULL, &report, &err);
        good = done("list", status, report, err);
    }
    if (good) {
        status = ibt_restore(storage, KEY, argv[2], NULL, &report, &err);
        good = done("restore", status, report, err);
    }

    ibt_options_free(options);
    ibt_storage_free(storage);
    return good ? 0 : 1;
}
