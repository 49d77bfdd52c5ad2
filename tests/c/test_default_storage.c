/* The default storage is a private directory under TMPDIR. If its name belongs to something else, calls fail. No
 * operation takes NULL as its storage. */
#define _DEFAULT_SOURCE /* chown */
#include "check.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Another user planted a directory in the place of the default storage, or it is open to others. Calls with a handle
 * from before fail too, and nothing is written there. */
static void test_planted_directory(const char *path)
{
    ibt_storage *storage, *before;
    ibt_error *err;

    CHECK_INT(told(ibt_storage_open_default(&before, &err), &err), IBT_OK);
    make_dir(path);
    CHECK_INT(chmod(path, 0711), 0);
    CHECK_INT(ibt_storage_open_default(&storage, &err), IBT_ERR_IO);
    CHECK(storage == NULL);
    CHECK_HAS(ibt_error_message(err), "it is open to other users");
    ibt_error_free(err);
    CHECK_INT(chmod(path, 0700), 0);
    if (chown(path, 12345, (gid_t)-1) == 0) {
        CHECK_INT(ibt_storage_open_default(&storage, &err), IBT_ERR_IO);
        CHECK(storage == NULL);
        CHECK_HAS(ibt_error_message(err), "it belongs to another user");
        ibt_error_free(err);
        CHECK_INT(ibt_full_backup(before, "src", NULL, NULL, &err), IBT_ERR_IO);
        CHECK_HAS(ibt_error_message(err), "it belongs to another user");
        ibt_error_free(err);
        CHECK_INT(ibt_list_snapshots(before, NULL, NULL, NULL, NULL), IBT_ERR_IO);
        CHECK_INT(chown(path, getuid(), (gid_t)-1), 0);
    } else {
        puts("skipped: only root gives a directory to another user");
    }
    CHECK_INT(count_entries(path), 0);
    CHECK_INT(told(ibt_full_backup(before, "src", NULL, NULL, &err), &err), IBT_OK);
    ibt_storage_free(before);
}

int main(void)
{
    char path[64];
    struct stat status;
    ibt_storage *storage;
    ibt_report *report;
    ibt_error *err;

    check_begin();
    snprintf(path, sizeof path, "tmp/ibt-%lu", (unsigned long)getuid());
    make_dir("src");
    write_file("src/a", "one");

    CHECK_INT(ibt_full_backup(NULL, "src", NULL, &report, &err), IBT_ERR_INVALID_ARG);
    CHECK(report == NULL);
    CHECK_HAS(ibt_error_message(err), "storage is NULL");
    CHECK_HAS(ibt_error_message(err), "ibt_storage_open_dir");
    ibt_error_free(err);
    CHECK_INT(count_entries("tmp"), 0);

    CHECK_INT(told(ibt_storage_open_default(&storage, &err), &err), IBT_OK);
    CHECK_INT(count_entries("tmp"), 0);
    CHECK_INT(told(ibt_full_backup(storage, "src", NULL, &report, &err), &err), IBT_OK);
    CHECK(stat(path, &status) == 0 && (status.st_mode & 07777) == 0700);
    ibt_report_free(report);
    CHECK_INT(told(ibt_restore(storage, "src", "dest", NULL, &report, &err), &err), IBT_OK);
    CHECK(same_trees("src", "dest"));
    ibt_report_free(report);

    remove_tree(path);
    make_dir("trap");
    if (symlink("../trap", path) != 0)
        perror("test");
    CHECK(ibt_full_backup(storage, "src", NULL, NULL, NULL) < 0);
    ibt_storage_free(storage);
    CHECK_INT(ibt_storage_open_default(&storage, &err), IBT_ERR_IO);
    CHECK(storage == NULL);
    CHECK_HAS(ibt_error_message(err), "it is a symbolic link");
    ibt_error_free(err);
    CHECK_INT(count_entries("trap"), 0);
    CHECK_INT(unlink(path), 0);
    test_planted_directory(path);
    return check_end();
}
