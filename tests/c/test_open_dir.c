/* The flags of ibt_storage_open_dir(). */
#include "check.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static ibt_storage *open_with(const char *path, uint32_t flags)
{
    ibt_storage *storage;
    ibt_error *err;

    CHECK_INT(told(ibt_storage_open_dir(path, flags, &storage, &err), &err), IBT_OK);
    return storage;
}

static int mode_of(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 ? (int)(status.st_mode & 07777) : -1;
}

/* Checks an operation on a storage that was opened for reading only. */
static void is_refused(ibt_status status, ibt_error **err)
{
    CHECK_INT(status, IBT_ERR_UNSUPPORTED);
    CHECK_HAS(ibt_error_message(*err), "the storage was opened for reading only");
    CHECK_HAS(ibt_error_path(*err), "/parent/store");
    ibt_error_free(*err);
}

static void test_values(void)
{
    ibt_storage *storage;
    ibt_error *err;
    uint32_t bit;

    for (bit = 8; bit != 0; bit <<= 1)
        CHECK_INT(ibt_storage_open_dir("src", bit, &storage, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_open_dir("src", 9, &storage, &err), IBT_ERR_INVALID_ARG);
    CHECK_HAS(ibt_error_message(err), "unknown bits 0x8");
    ibt_error_free(err);
    CHECK_INT(ibt_storage_open_dir("src", IBT_DIR_MUST_EXIST | IBT_DIR_CREATE_PARENTS, &storage, NULL),
              IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_open_dir("src", IBT_DIR_READ_ONLY | IBT_DIR_CREATE_PARENTS, &storage, NULL),
              IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_open_dir("src", 7, &storage, NULL), IBT_ERR_INVALID_ARG);
    CHECK(storage == NULL);
    CHECK_INT(ibt_storage_open_dir("nowhere", IBT_DIR_READ_ONLY, &storage, NULL), IBT_ERR_NOT_FOUND);
    CHECK_INT(ibt_storage_open_dir("nowhere", IBT_DIR_MUST_EXIST, &storage, &err), IBT_ERR_NOT_FOUND);
    CHECK(storage == NULL);
    CHECK_HAS(ibt_error_path(err), "/nowhere");
    ibt_error_free(err);
    CHECK_INT(ibt_storage_open_dir("src/a", IBT_DIR_MUST_EXIST, &storage, NULL), IBT_ERR_IO);
}

static void test_create_parents(void)
{
    ibt_storage *storage = open_with("parent/store", 0);

    CHECK_INT(ibt_full_backup(storage, "src", NULL, NULL, NULL), IBT_ERR_IO);
    CHECK(!exists("parent"));
    ibt_storage_free(storage);

    storage = open_with("parent/store", IBT_DIR_CREATE_PARENTS);
    CHECK(!exists("parent"));
    CHECK_INT(ibt_full_backup(storage, "absent", NULL, NULL, NULL), IBT_ERR_IO);
    CHECK_INT(ibt_full_backup(storage, "hollow", NULL, NULL, NULL), IBT_OK);
    CHECK_INT(mode_of("parent"), 0700);
    CHECK_INT(mode_of("parent/store"), 0700);
    ibt_storage_free(storage);
}

static int stop(void *ud, const ibt_progress *progress)
{
    (void)ud, (void)progress;
    return IBT_CALLBACK_FAILED;
}

/* A backup that stores nothing leaves only the directories that were there before. */
static void test_nothing_is_left(void)
{
    ibt_storage *storage = open_with("one/two/store", IBT_DIR_CREATE_PARENTS);
    ibt_options *options = ibt_options_new();

    make_dir("one");
    CHECK_INT(ibt_options_set_progress(options, stop, NULL, NULL), IBT_OK);
    CHECK_INT(ibt_full_backup(storage, "src", options, NULL, NULL), IBT_ERR_CANCELLED);
    CHECK_INT(count_entries("one"), 0);
    CHECK_INT(ibt_full_backup(storage, "src", NULL, NULL, NULL), IBT_OK);
    CHECK(exists("one/two/store"));
    ibt_options_free(options);
    ibt_storage_free(storage);
}

static void test_read_only(void)
{
    ibt_storage *storage = open_with("parent/store", 0);
    ibt_options *options = ibt_options_new();
    ibt_report *report;
    ibt_error *err;
    int files;

    CHECK_INT(ibt_full_backup(storage, "src", NULL, NULL, NULL), IBT_OK);
    CHECK_INT(ibt_incremental_backup(storage, "src", NULL, NULL, NULL), IBT_OK);
    ibt_storage_free(storage);
    remove_tree("parent/store/src.lock");
    files = count_entries("parent/store");

    storage = open_with("parent/store", IBT_DIR_READ_ONLY);
    CHECK_INT(ibt_options_set_keep_last(options, 1), IBT_OK);
    is_refused(ibt_full_backup(storage, "src", NULL, NULL, &err), &err);
    is_refused(ibt_incremental_backup(storage, "src", NULL, NULL, &err), &err);
    is_refused(ibt_consolidate(storage, "src", NULL, NULL, &err), &err);
    is_refused(ibt_prune(storage, "src", options, NULL, &err), &err);

    CHECK_INT(ibt_options_set_dry_run(options, 1), IBT_OK);
    CHECK_INT(told(ibt_prune(storage, "src", options, NULL, &err), &err), IBT_OK);
    CHECK_INT(told(ibt_restore(storage, "src", "copy", NULL, &report, &err), &err), IBT_OK);
    CHECK(same_trees("src", "copy"));
    CHECK_INT(ibt_report_problem_count(report), 1); /* a note: nothing keeps a prune out */
    CHECK_INT(ibt_report_problem_kind(report, 0), IBT_PROBLEM_UNLOCKED);
    ibt_report_free(report);
    CHECK_INT(told(ibt_verify(storage, NULL, NULL, NULL, &err), &err), IBT_OK);
    CHECK_INT(told(ibt_list_snapshots(storage, "src", NULL, NULL, &err), &err), IBT_OK);
    CHECK_INT(count_entries("parent/store"), files);
    CHECK(!exists("parent/store/src.lock"));

    /* Once a writer has created the lock file, readers use it. */
    ibt_storage_free(storage);
    storage = open_with("parent/store", 0);
    CHECK_INT(ibt_incremental_backup(storage, "src", NULL, NULL, NULL), IBT_OK);
    ibt_storage_free(storage);
    storage = open_with("parent/store", IBT_DIR_READ_ONLY | IBT_DIR_MUST_EXIST);
    CHECK_INT(ibt_verify(storage, "src", NULL, &report, NULL), IBT_OK);
    CHECK_INT(ibt_report_problem_count(report), 0);
    ibt_report_free(report);
    ibt_storage_free(storage);
    ibt_options_free(options);
}

static void test_must_exist(void)
{
    ibt_storage *storage = open_with("parent/store", IBT_DIR_MUST_EXIST);

    CHECK_INT(ibt_full_backup(storage, "src", NULL, NULL, NULL), IBT_OK);
    remove_tree("parent/store");
    CHECK_INT(ibt_full_backup(storage, "src", NULL, NULL, NULL), IBT_ERR_NOT_FOUND);
    CHECK_INT(count_entries("parent"), 0);
    ibt_storage_free(storage);
}

/* The path is fixed when the storage opens. */
static void test_chdir(void)
{
    static const uint32_t flags[] = {0, IBT_DIR_CREATE_PARENTS};
    ibt_storage *nowhere;
    size_t i;

    for (i = 0; i < sizeof flags / sizeof *flags; i++) {
        ibt_storage *storage = open_with("moved", flags[i]);

        CHECK_INT(chdir("elsewhere"), 0);
        CHECK_INT(ibt_full_backup(storage, "../src", NULL, NULL, NULL), IBT_OK);
        CHECK_INT(count_entries("."), 0);
        CHECK_INT(chdir(".."), 0);
        CHECK(exists("moved"));
        remove_tree("moved");
        ibt_storage_free(storage);
    }
    make_dir("gone");
    CHECK_INT(chdir("gone"), 0);
    CHECK_INT(rmdir("../gone"), 0);
    CHECK_INT(ibt_storage_open_dir("relative", 0, &nowhere, NULL), IBT_ERR_IO);
    CHECK(nowhere == NULL);
    CHECK_INT(chdir("/"), 0);
}

int main(void)
{
    check_begin();
    make_dir("src");
    make_dir("hollow");
    make_dir("elsewhere");
    write_file("src/a", "one");
    test_values();
    test_create_parents();
    test_nothing_is_left();
    test_read_only();
    test_must_exist();
    test_chdir();
    return check_end();
}
