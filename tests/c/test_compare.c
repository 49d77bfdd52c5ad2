/* Compares a snapshot with its source, first unchanged and then changed, and makes calls that are refused. */
#include "check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Changes as text: "PATH:BITS " for each. */
struct told {
    char text[256];
    int32_t answer;
};

static int32_t hear(void *ud, uint32_t what, const ibt_entry *before, const ibt_entry *after)
{
    struct told *told = ud;
    size_t end = strlen(told->text);
    const char *path = ibt_entry_path(after != NULL ? after : before);

    snprintf(told->text + end, sizeof told->text - end, "%s:%u ", path, (unsigned)what);
    CHECK((what == IBT_CHANGE_CREATED) == (before == NULL));
    CHECK((what == IBT_CHANGE_DELETED) == (after == NULL));
    if (before != NULL && ibt_entry_type(before) == IBT_TYPE_FILE)
        CHECK(ibt_entry_hash(before) != NULL);
    if (what == IBT_CHANGE_CREATED)
        CHECK_TEXT(ibt_entry_hash(after), NULL); /* it was not read */
    return told->answer;
}

static ibt_options *listening(struct told *told)
{
    ibt_options *options = ibt_options_new();

    memset(told, 0, sizeof *told);
    told->answer = IBT_CALLBACK_OK;
    ibt_options_set_change(options, hear, told, NULL);
    return options;
}

static void compare(ibt_storage *storage, const char *path, const char *wanted)
{
    struct told told;
    ibt_options *options = listening(&told);
    ibt_report *report;
    ibt_error *err;

    if (path != NULL)
        ibt_options_add_path(options, path);
    CHECK_INT(told.text[0], 0);
    CHECK_INT(ibt_compare(storage, "src", "src", options, &report, &err), IBT_OK);
    CHECK(err == NULL);
    CHECK_TEXT(told.text, wanted);
    CHECK_TEXT(ibt_report_key(report), "src");
    CHECK(ibt_report_snapshot(report) != NULL && ibt_report_digest(report) != NULL);
    ibt_report_free(report);
    ibt_options_free(options);
}

static void refuse(ibt_storage *storage, ibt_options *options, const char *key, const char *tree,
                   ibt_status status, int os_code)
{
    ibt_report *report;
    ibt_error *err;

    CHECK_INT(ibt_compare(storage, key, tree, options, &report, &err), status);
    CHECK_INT(ibt_error_status(err), status);
    CHECK_INT(ibt_error_os_code(err), os_code);
    ibt_error_free(err);
    ibt_report_free(report);
    ibt_options_free(options);
}

static void test_refusals(ibt_storage *storage)
{
    struct told told;
    ibt_options *options;

    refuse(storage, NULL, NULL, "src", IBT_ERR_INVALID_ARG, 0);
    refuse(storage, NULL, "src", NULL, IBT_ERR_INVALID_ARG, 0);
    refuse(storage, NULL, "src", "", IBT_ERR_INVALID_ARG, 0);
    refuse(storage, NULL, "other", "src", IBT_ERR_NOT_FOUND, 0);
    refuse(storage, NULL, "src", "absent", IBT_ERR_IO, ENOENT);
    refuse(storage, NULL, "src", "src/a", IBT_ERR_IO, ENOTDIR);
    options = ibt_options_new();
    ibt_options_set_root(options, "dir");
    refuse(storage, options, "src", "src", IBT_ERR_INVALID_ARG, 0);
    options = ibt_options_new();
    ibt_options_set_dry_run(options, 1);
    refuse(storage, options, "src", "src", IBT_ERR_INVALID_ARG, 0);
    options = ibt_options_new();
    ibt_options_add_include(options, "*.none");
    refuse(storage, options, "src", "src", IBT_ERR_NOT_FOUND, 0);
    options = listening(&told);
    told.answer = IBT_CALLBACK_FAILED;
    refuse(storage, options, "src", "src", IBT_ERR_CANCELLED, 0);
}

int main(void)
{
    ibt_storage *storage;

    check_begin();
    make_dir("src");
    make_dir("src/dir");
    write_file("src/a", "one");
    write_file("src/dir/b", "two");
    storage = open_storage("store");
    CHECK_INT(ibt_full_backup(storage, "src", NULL, NULL, NULL), IBT_OK);
    compare(storage, NULL, "");
    write_file("src/a", "longer");
    write_file("src/dir/new", "three");
    remove_tree("src/dir/b");
    compare(storage, NULL, "a:12 dir:8 dir/b:2 dir/new:1 ");
    compare(storage, "dir/b", "dir/b:2 ");
    compare(storage, "/dir/new/", "dir/new:1 ");
    test_refusals(storage);
    ibt_storage_free(storage);
    return check_end();
}
