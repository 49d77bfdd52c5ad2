/* Calls every function with NULL, with indices out of range and with unknown numbers. No call crashes, and each returns
 * the value that the header promises. Objects may be freed in any order. */
#include "check.h"

#include <stdio.h>
#include <string.h>

/* A storage that does not exist. */
static ibt_storage *no_backups;

static void test_library(void)
{
    int32_t i;

    CHECK_TEXT(ibt_version(), IBT_VERSION);
    CHECK_INT(ibt_version_number(), IBT_VERSION_NUMBER);
    CHECK_TEXT(ibt_status_name(IBT_OK), "IBT_OK");
    CHECK_TEXT(ibt_status_name(IBT_PARTIAL), "IBT_PARTIAL");
    CHECK_TEXT(ibt_status_name(IBT_ERR_PANIC), "IBT_ERR_PANIC");
    CHECK_TEXT(ibt_status_name(17), "IBT_ERR_UNKNOWN");
    for (i = IBT_ERR_MISMATCH; i <= IBT_ERR_INVALID_ARG; i++)
        CHECK(strcmp(ibt_status_name(i), "IBT_ERR_UNKNOWN") != 0);
    for (i = 1; ibt_counter_name(i) != NULL; i++)
        ;
    CHECK(i > IBT_COUNT_BYTES);
    CHECK_TEXT(ibt_counter_name(IBT_COUNT_BYTES_READ), "bytes_read");
    CHECK_TEXT(ibt_problem_name(IBT_PROBLEM_CLOCK), "clock");
    for (i = -2; i <= 0; i++)
        CHECK(ibt_counter_name(i) == NULL && ibt_problem_name(i) == NULL);
    CHECK(ibt_counter_name(INT32_MIN) == NULL && ibt_problem_name(INT32_MAX) == NULL);
}

static void test_error(void)
{
    CHECK_INT(ibt_error_status(NULL), IBT_OK);
    CHECK_INT(ibt_error_os_code(NULL), 0);
    CHECK_TEXT(ibt_error_message(NULL), "");
    CHECK_TEXT(ibt_error_path(NULL), NULL);
    ibt_error_free(NULL);
}

static void test_options(void)
{
    CHECK_INT(ibt_options_set_key(NULL, "k"), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_host(NULL, "h"), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_source_name(NULL, "n"), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_cache_dir(NULL, "c"), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_add_exclude(NULL, "*"), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_exclude_file(NULL, ""), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_add_exclude_if_present(NULL, "m"), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_exclude_larger_than(NULL, 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_exclude_nodump(NULL, 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_add_source_path(NULL, "p"), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_filter(NULL, NULL, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_snapshot(NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_as_of(NULL, 0), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_compression(NULL, IBT_COMPRESSION_ZSTD, 3), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_part_size(NULL, 0), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_checkpoint(NULL, 0), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_threads(NULL, 0), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_change_detection(NULL, IBT_DETECT_CONTENT), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_delta(NULL, IBT_DELTA_CONTENTS), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_heal(NULL, 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_one_file_system(NULL, 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_skip_cache_dirs(NULL, 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_on_file_error(NULL, IBT_ON_ERROR_STOP), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_allow_source_change(NULL, 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_allow_empty(NULL, 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_restore_metadata(NULL, 0), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_expected_digest(NULL, ""), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_add_include(NULL, "*"), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_add_path(NULL, "p"), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_add_protected_path(NULL, "p"), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_root(NULL, "p"), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_overwrite(NULL, IBT_OVERWRITE_KEEP), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_leave_partial(NULL, 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_map_owners(NULL, 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_delete_extra(NULL, 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_dry_run(NULL, 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_skip_unchanged(NULL, 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_keep_last(NULL, 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_keep_daily(NULL, 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_keep_weekly(NULL, 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_keep_monthly(NULL, 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_keep_yearly(NULL, 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_keep_hourly(NULL, 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_keep_within(NULL, 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_local_time(NULL, 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_add_removed(NULL, "20261122T220530.123456Z"), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_label(NULL, "n", "v"), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_add_keep_label(NULL, "n", NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_add_label_filter(NULL, "n", NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_verify(NULL, IBT_VERIFY_PRESENCE), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_verify_part(NULL, 1, 2), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_metadata_only(NULL, 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_lock_wait(NULL, 0), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_allow_unlocked(NULL, 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_progress(NULL, NULL, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_change(NULL, NULL, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_log(NULL, IBT_LOG_INFO, NULL, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_cancel(NULL, NULL), IBT_ERR_INVALID_ARG);
    ibt_options_free(NULL);
}

static void test_cancel(void)
{
    ibt_cancel *cancel = ibt_cancel_new();
    ibt_options *options = ibt_options_new();

    ibt_cancel_request(NULL);
    CHECK_INT(ibt_cancel_requested(NULL), 0);
    ibt_cancel_free(NULL);
    CHECK_INT(ibt_cancel_requested(cancel), 0);
    ibt_cancel_request(cancel);
    ibt_cancel_request(cancel);
    CHECK_INT(ibt_cancel_requested(cancel), 1);
    CHECK_INT(ibt_options_set_cancel(options, cancel), IBT_OK);
    ibt_cancel_free(cancel); /* the options still share the request */
    CHECK_INT(ibt_full_backup(no_backups, "absent", options, NULL, NULL), IBT_ERR_CANCELLED);
    CHECK_INT(ibt_options_set_cancel(options, NULL), IBT_OK);
    CHECK(ibt_full_backup(no_backups, "absent", options, NULL, NULL) != IBT_ERR_CANCELLED);
    ibt_options_free(options);
}

static void test_progress_and_entry(void)
{
    size_t len = 99;

    CHECK_INT(ibt_progress_phase(NULL), 0);
    CHECK_TEXT(ibt_progress_path(NULL), "");
    CHECK(ibt_progress_done_bytes(NULL) + ibt_progress_total_bytes(NULL) == 0);
    CHECK(ibt_progress_done_entries(NULL) + ibt_progress_total_entries(NULL) == 0);
    CHECK_TEXT(ibt_entry_path(NULL), NULL);
    CHECK_TEXT(ibt_entry_target(NULL), NULL);
    CHECK_TEXT(ibt_entry_hash(NULL), NULL);
    CHECK_TEXT(ibt_entry_user(NULL), NULL);
    CHECK_TEXT(ibt_entry_group(NULL), NULL);
    CHECK_INT(ibt_entry_type(NULL), 0);
    CHECK(ibt_entry_size(NULL) + ibt_entry_data_size(NULL) + ibt_entry_rdev(NULL) == 0);
    CHECK_TEXT(ibt_entry_link(NULL), NULL);
    CHECK(ibt_entry_mode(NULL) + ibt_entry_uid(NULL) + ibt_entry_gid(NULL) == 0);
    CHECK(ibt_entry_mtime(NULL) == 0 && ibt_entry_ctime(NULL) == 0 && ibt_entry_btime(NULL) == INT64_MIN);
    CHECK(ibt_entry_flags(NULL) == NULL && ibt_entry_project(NULL) == 0);
    CHECK_INT(ibt_entry_xattr_count(NULL), 0);
    CHECK_TEXT(ibt_entry_xattr_name(NULL, 0), NULL);
    CHECK(ibt_entry_xattr_value(NULL, 0, &len) == NULL && len == 0);
    CHECK(ibt_entry_xattr_value(NULL, 0, NULL) == NULL);
}

static void test_report(void)
{
    const size_t far = (size_t)-1;

    CHECK_INT(ibt_report_status(NULL), IBT_OK);
    CHECK(!ibt_report_key(NULL) && !ibt_report_snapshot(NULL) && !ibt_report_digest(NULL));
    CHECK(ibt_report_date(NULL) == 0 && ibt_report_total_size(NULL) == 0);
    CHECK_INT(ibt_report_file_count(NULL), 0);
    CHECK(!ibt_report_file_name(NULL, 0) && !ibt_report_file_kind(NULL, far));
    CHECK(!ibt_report_file_path(NULL, 0) && ibt_report_file_size(NULL, far) == 0);
    CHECK(ibt_report_counter(NULL, IBT_COUNT_ENTRIES) == 0 && ibt_report_counter(NULL, -1) == 0);
    CHECK_INT(ibt_report_snapshot_count(NULL), 0);
    CHECK(!ibt_report_snapshot_stamp(NULL, 0) && !ibt_report_snapshot_key(NULL, far));
    CHECK(!ibt_report_snapshot_kind(NULL, 0) && !ibt_report_snapshot_digest(NULL, far));
    CHECK(!ibt_report_snapshot_host(NULL, 0) && !ibt_report_snapshot_host(NULL, far));
    CHECK(!ibt_report_snapshot_source(NULL, 0) && !ibt_report_snapshot_parent(NULL, far));
    CHECK(!ibt_report_snapshot_reason(NULL, 0) && ibt_report_snapshot_date(NULL, far) == 0);
    CHECK(ibt_report_snapshot_action(NULL, 0) == 0);
    CHECK(ibt_report_snapshot_label_count(NULL, 0) == 0);
    CHECK(!ibt_report_snapshot_label_name(NULL, far, 0) && !ibt_report_snapshot_label_value(NULL, 0, far));
    CHECK(ibt_report_snapshot_counter(NULL, far, IBT_COUNT_ENTRIES) == 0);
    CHECK_INT(ibt_report_problem_count(NULL), 0);
    CHECK(!ibt_report_problem_path(NULL, 0) && !ibt_report_problem_message(NULL, far));
    CHECK(!ibt_report_problem_snapshot(NULL, 0) && !ibt_report_problem_file(NULL, far));
    CHECK(ibt_report_problem_status(NULL, 0) == IBT_OK && ibt_report_problem_kind(NULL, far) == 0);
    CHECK_INT(ibt_report_problem_os_code(NULL, 0), 0);
    CHECK_INT(ibt_report_problem_is_note(NULL, far), 0);
    CHECK_TEXT(ibt_report_json(NULL), "");
    ibt_report_free(NULL);
}

/* An out argument may hold any value before a call. The call never reads it. */
#define GARBAGE ((void *)1)

static void test_operations(void)
{
    ibt_report *report = GARBAGE;
    ibt_error *err = GARBAGE;

    CHECK_INT(ibt_full_backup(no_backups, NULL, NULL, &report, &err), IBT_ERR_INVALID_ARG);
    CHECK(report == NULL && err != NULL);
    CHECK_TEXT(ibt_error_message(err), "cannot back up: source is NULL");
    CHECK_INT(ibt_error_status(err), IBT_ERR_INVALID_ARG);
    ibt_error_free(err);

    report = GARBAGE;
    CHECK_INT(ibt_incremental_backup(no_backups, NULL, NULL, &report, NULL), IBT_ERR_INVALID_ARG);
    CHECK(report == NULL);
    report = GARBAGE;
    CHECK_INT(ibt_restore(no_backups, NULL, "dest", NULL, &report, NULL), IBT_ERR_INVALID_ARG);
    CHECK(report == NULL);
    CHECK_INT(ibt_restore(no_backups, "key", NULL, NULL, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_restore(no_backups, "key", "", NULL, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_restore(no_backups, "\377", "dest", NULL, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_list_snapshots(no_backups, "\377", NULL, NULL, NULL), IBT_ERR_INVALID_ARG);
    report = GARBAGE;
    CHECK_INT(ibt_import(no_backups, NULL, NULL, NULL, &report, NULL), IBT_ERR_INVALID_ARG);
    CHECK(report == NULL);
    CHECK_INT(ibt_import(no_backups, no_backups, "\377", NULL, NULL, NULL), IBT_ERR_INVALID_ARG);
    report = GARBAGE;
    CHECK_INT(ibt_consolidate(no_backups, NULL, NULL, &report, NULL), IBT_ERR_INVALID_ARG);
    CHECK(report == NULL);
    CHECK_INT(ibt_consolidate(no_backups, "", NULL, NULL, NULL), IBT_ERR_INVALID_ARG);
    report = GARBAGE;
    CHECK_INT(ibt_rebuild_cache(no_backups, NULL, NULL, &report, NULL), IBT_ERR_INVALID_ARG);
    CHECK(report == NULL);
    CHECK_INT(ibt_rebuild_cache(no_backups, "", NULL, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_compare(no_backups, NULL, "tree", NULL, &report, NULL), IBT_ERR_INVALID_ARG);
    CHECK(report == NULL);
    CHECK_INT(ibt_compare(no_backups, "key", NULL, NULL, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_full_backup(no_backups, "", NULL, NULL, NULL), IBT_ERR_INVALID_ARG);
}

static void test_maintenance(void)
{
    ibt_options *options = ibt_options_new();
    ibt_report *report = GARBAGE;
    ibt_error *err = GARBAGE;

    CHECK_INT(ibt_prune(no_backups, NULL, NULL, &report, &err), IBT_ERR_INVALID_ARG);
    CHECK(report == NULL);
    CHECK_TEXT(ibt_error_message(err), "cannot prune: key is NULL");
    ibt_error_free(err);
    CHECK_INT(ibt_prune(no_backups, "\377", NULL, NULL, NULL), IBT_ERR_INVALID_ARG);
    /* Neither rules nor a snapshot; then a rule for a key that does not exist. */
    CHECK_INT(ibt_prune(no_backups, "absent", NULL, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_keep_last(options, 1), IBT_OK);
    CHECK_INT(ibt_prune(no_backups, "absent", options, NULL, NULL), IBT_ERR_NOT_FOUND);
    CHECK_INT(ibt_options_set_root(options, "dir"), IBT_OK);
    CHECK_INT(ibt_prune(no_backups, "absent", options, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_verify(no_backups, "absent", options, NULL, NULL), IBT_ERR_INVALID_ARG);
    ibt_options_free(options);

    report = GARBAGE;
    CHECK_INT(ibt_verify(no_backups, "\377", NULL, &report, &err), IBT_ERR_INVALID_ARG);
    CHECK(report == NULL);
    ibt_error_free(err);
    CHECK_INT(ibt_verify(no_backups, "absent", NULL, NULL, NULL), IBT_ERR_NOT_FOUND);
    /* Every key of a storage that does not exist; then a selector, which needs a key. */
    CHECK_INT(ibt_verify(no_backups, NULL, NULL, &report, NULL), IBT_ERR_NOT_FOUND);
    CHECK_INT(ibt_report_snapshot_count(report), 0);
    ibt_report_free(report);
    options = ibt_options_new();
    CHECK_INT(ibt_options_set_as_of(options, 0), IBT_OK);
    CHECK_INT(ibt_verify(no_backups, NULL, options, NULL, NULL), IBT_ERR_INVALID_ARG);
    ibt_options_free(options);
}

/* An operation without a storage is refused, and its error names the functions that open one. */
#define NO_STORAGE(call) \
    do { \
        ibt_error *err = GARBAGE; \
        CHECK_INT((call), IBT_ERR_INVALID_ARG); \
        CHECK_HAS(ibt_error_message(err), "storage is NULL"); \
        CHECK_HAS(ibt_error_message(err), "ibt_storage_open_dir()"); \
        CHECK_HAS(ibt_error_message(err), "ibt_storage_open_default()"); \
        ibt_error_free(err); \
    } while (0)

static void test_no_storage(void)
{
    ibt_options *options = ibt_options_new();
    ibt_snapshot *snapshot = GARBAGE;
    ibt_storage *storage = GARBAGE;

    CHECK_INT(ibt_options_set_keep_last(options, 1), IBT_OK);
    make_dir("source");
    NO_STORAGE(ibt_full_backup(NULL, "source", NULL, NULL, &err));
    NO_STORAGE(ibt_incremental_backup(NULL, "source", NULL, NULL, &err));
    NO_STORAGE(ibt_restore(NULL, "key", "dest", NULL, NULL, &err));
    NO_STORAGE(ibt_compare(NULL, "key", "source", NULL, NULL, &err));
    NO_STORAGE(ibt_list_snapshots(NULL, NULL, NULL, NULL, &err));
    NO_STORAGE(ibt_verify(NULL, NULL, NULL, NULL, &err));
    NO_STORAGE(ibt_prune(NULL, "key", options, NULL, &err));
    NO_STORAGE(ibt_import(NULL, NULL, "key", NULL, NULL, &err));
    NO_STORAGE(ibt_consolidate(NULL, "key", NULL, NULL, &err));
    NO_STORAGE(ibt_rebuild_cache(NULL, "key", NULL, NULL, &err));
    NO_STORAGE(ibt_snapshot_open(NULL, "key", NULL, &snapshot, &err));
    CHECK(snapshot == NULL);
    ibt_options_free(options);
    CHECK_INT(ibt_storage_open_default(NULL, NULL), IBT_ERR_INVALID_ARG);
    storage = GARBAGE;
    CHECK_INT(ibt_storage_open_url(NULL, &storage, NULL), IBT_ERR_INVALID_ARG);
    CHECK(storage == NULL);
    CHECK_INT(ibt_storage_open_url("s3://bucket", NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_open_url("\xff", &storage, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_open_default(&storage, NULL), IBT_OK);
    ibt_storage_free(storage);
}

static void test_storage(void)
{
    ibt_storage *storage = GARBAGE;
    ibt_error *err = GARBAGE;

    CHECK_INT(ibt_storage_open_dir(NULL, 0, &storage, &err), IBT_ERR_INVALID_ARG);
    CHECK(storage == NULL);
    CHECK_TEXT(ibt_error_message(err), "cannot open a storage: path is NULL");
    ibt_error_free(err);
    storage = GARBAGE;
    CHECK_INT(ibt_storage_open_dir("", 0, &storage, NULL), IBT_ERR_INVALID_ARG);
    CHECK(storage == NULL);
    CHECK_INT(ibt_storage_open_dir("store", 0, NULL, NULL), IBT_ERR_INVALID_ARG);
    ibt_storage_free(NULL);
    CHECK_INT(ibt_storage_set_writer(NULL, NULL, NULL, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_reader(NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_list(NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_delete(NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_lock(NULL, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_traits(NULL, 0), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_fail(NULL, 0, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_list_add(NULL, NULL, 0), IBT_ERR_INVALID_ARG);
    storage = ibt_storage_new(NULL, NULL);
    CHECK(storage != NULL);
    CHECK_INT(ibt_storage_fail(storage, 0, NULL), IBT_OK);
    CHECK_INT(ibt_full_backup(storage, "src", NULL, NULL, NULL), IBT_ERR_UNSUPPORTED);
    ibt_storage_free(storage);
}

static void test_snapshot(void)
{
    ibt_snapshot *snapshot = GARBAGE;
    const ibt_entry *entry = GARBAGE;
    ibt_report *report = GARBAGE;
    ibt_error *err = GARBAGE;

    CHECK_INT(ibt_snapshot_open(no_backups, NULL, NULL, &snapshot, &err), IBT_ERR_INVALID_ARG);
    CHECK(snapshot == NULL);
    CHECK_TEXT(ibt_error_message(err), "cannot open a snapshot: key is NULL");
    ibt_error_free(err);
    CHECK_INT(ibt_snapshot_open(no_backups, "key", NULL, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_TEXT(ibt_snapshot_stamp(NULL), NULL);
    CHECK(!ibt_snapshot_key(NULL) && !ibt_snapshot_kind(NULL) && !ibt_snapshot_digest(NULL));
    CHECK(!ibt_snapshot_source(NULL) && ibt_snapshot_date(NULL) == 0);
    CHECK(ibt_snapshot_counter(NULL, IBT_COUNT_ENTRIES) == 0 && ibt_snapshot_label_count(NULL) == 0);
    CHECK(!ibt_snapshot_label_name(NULL, 0) && !ibt_snapshot_label_value(NULL, 0));
    CHECK_INT(ibt_snapshot_next(NULL, &entry, &err), IBT_ERR_INVALID_ARG);
    CHECK(entry == NULL);
    ibt_error_free(err);
    CHECK_INT(ibt_snapshot_next(NULL, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_snapshot_rewind(NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_diff(NULL, NULL, NULL, &report, &err), IBT_ERR_INVALID_ARG);
    CHECK(report == NULL);
    CHECK_TEXT(ibt_error_message(err), "cannot compare snapshots: snapshot is NULL");
    ibt_error_free(err);
    CHECK_INT(ibt_list_keys(NULL, NULL, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_snapshot_list(NULL, NULL, 0, NULL, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_snapshot_read(NULL, NULL, 0, 0, NULL, NULL, NULL), IBT_ERR_INVALID_ARG);
    ibt_snapshot_free(NULL);
}

int main(void)
{
    check_begin();
    CHECK_INT(ibt_storage_open_dir("no-backups", 0, &no_backups, NULL), IBT_OK);
    test_library();
    test_error();
    test_options();
    test_cancel();
    test_progress_and_entry();
    test_report();
    test_operations();
    test_maintenance();
    test_no_storage();
    test_storage();
    test_snapshot();
    ibt_storage_free(no_backups);
    return check_end();
}
