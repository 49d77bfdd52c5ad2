/* The paths of a storage and of options keep their meaning when the current directory changes. */
#include "check.h"

#include <stdio.h>
#include <unistd.h>

static void enter(const char *path)
{
    if (chdir(path) != 0)
        perror(path);
}

int main(void)
{
    ibt_storage *storage;
    ibt_options *options;
    ibt_report *report;
    ibt_error *err;

    check_begin();
    make_dir("src");
    make_dir("elsewhere");
    write_random("src/a", 40000, 1);
    storage = open_storage("store");
    options = ibt_options_new();
    CHECK_INT(ibt_options_set_cache_dir(options, "copies"), IBT_OK);
    enter("elsewhere");
    CHECK_INT(told(ibt_full_backup(storage, "../src", options, &report, &err), &err), IBT_OK);
    ibt_report_free(report);
    CHECK_INT(count_entries("."), 0);
    enter("..");
    CHECK_INT(count_entries("store"), 4); /* archive, signatures, state, lock */
    CHECK_INT(count_entries("copies"), 1);
    enter("elsewhere");
    CHECK_INT(told(ibt_incremental_backup(storage, "../src", options, &report, &err), &err), IBT_OK);
    ibt_report_free(report);
    CHECK_INT(told(ibt_verify(storage, NULL, NULL, &report, &err), &err), IBT_OK);
    CHECK_INT(ibt_report_snapshot_count(report), 2);
    ibt_report_free(report);
    enter("..");
    ibt_options_free(options);
    ibt_storage_free(storage);

    /* A storage that does not exist has nothing to verify or to list. */
    storage = open_storage("nowhere");
    CHECK_INT(ibt_verify(storage, NULL, NULL, NULL, &err), IBT_ERR_NOT_FOUND);
    CHECK_HAS(ibt_error_path(err), "/nowhere");
    ibt_error_free(err);
    CHECK_INT(ibt_list_snapshots(storage, NULL, NULL, NULL, NULL), IBT_ERR_NOT_FOUND);
    CHECK_INT(ibt_restore(storage, "src", "dest", NULL, NULL, NULL), IBT_ERR_NOT_FOUND);
    CHECK(!exists("nowhere") && !exists("dest"));
    ibt_storage_free(storage);
    return check_end();
}
