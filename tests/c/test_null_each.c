/* Calls each function that has several pointers with NULL for one of them, and valid arguments for all others. */
#include "check.h"

#include <stdio.h>
#include <string.h>

#define STAMP "20261122T220530.123456Z"
#define DIGEST "blake3:0000000000000000000000000000000000000000000000000000000000000000"

static ibt_storage *storage;
/* Options that fit every operation. */
static ibt_options *settings;

/* The call is refused, and its error says which argument is NULL. */
#define REFUSED(call, words) \
    do { \
        ibt_error *err = NULL; \
        CHECK_INT((call), IBT_ERR_INVALID_ARG); \
        CHECK_HAS(ibt_error_message(err), words); \
        ibt_error_free(err); \
    } while (0)

/* A setter with NULL in place of a value that must be there. Options with a failed setter are refused later, so that
 * each call has options of its own. */
#define NO_VALUE(call) \
    do { \
        ibt_options *options = ibt_options_new(); \
        CHECK_INT((call), IBT_ERR_INVALID_ARG); \
        ibt_options_free(options); \
    } while (0)

/* A setter for which NULL has a meaning. */
#define NO_VALUE_IS_GOOD(call) \
    do { \
        ibt_options *options = ibt_options_new(); \
        CHECK_INT((call), IBT_OK); \
        ibt_options_free(options); \
    } while (0)

static int32_t on_progress(void *ud, const ibt_progress *now)
{
    (void)ud;
    (void)now;
    return IBT_CALLBACK_OK;
}

static int32_t on_change(void *ud, uint32_t what, const ibt_entry *before, const ibt_entry *after)
{
    (void)ud;
    (void)what;
    (void)before;
    (void)after;
    return IBT_CALLBACK_OK;
}

static int32_t on_filter(void *ud, const ibt_entry *entry)
{
    (void)ud;
    (void)entry;
    return IBT_FILTER_INCLUDE;
}

static void on_log(void *ud, int32_t level, const char *message)
{
    (void)ud;
    (void)level;
    (void)message;
}

static void on_destroy(void *ud)
{
    ++*(int *)ud;
}

static int32_t on_key(void *ud, const char *key, uint64_t snapshots)
{
    (void)ud;
    (void)key;
    (void)snapshots;
    return IBT_CALLBACK_OK;
}

static int32_t on_entry(void *ud, const ibt_entry *entry)
{
    (void)ud;
    (void)entry;
    return IBT_CALLBACK_OK;
}

static int32_t on_bytes(void *ud, const uint8_t *data, size_t len)
{
    (void)ud;
    (void)data;
    (void)len;
    return IBT_CALLBACK_OK;
}

static void test_values(void)
{
    NO_VALUE(ibt_options_set_key(options, NULL));
    NO_VALUE(ibt_options_set_host(options, NULL));
    NO_VALUE(ibt_options_set_source_name(options, NULL));
    NO_VALUE(ibt_options_set_cache_dir(options, NULL));
    NO_VALUE(ibt_options_add_exclude(options, NULL));
    NO_VALUE(ibt_options_set_exclude_file(options, NULL));
    NO_VALUE(ibt_options_add_exclude_if_present(options, NULL));
    NO_VALUE(ibt_options_add_source_path(options, NULL));
    NO_VALUE(ibt_options_add_include(options, NULL));
    NO_VALUE(ibt_options_add_path(options, NULL));
    NO_VALUE(ibt_options_add_protected_path(options, NULL));
    NO_VALUE(ibt_options_set_root(options, NULL));
    NO_VALUE(ibt_options_set_expected_digest(options, NULL));
    NO_VALUE(ibt_options_add_removed(options, NULL));
    NO_VALUE(ibt_options_set_label(options, NULL, "value"));
    NO_VALUE(ibt_options_add_keep_label(options, NULL, "value"));
    NO_VALUE(ibt_options_add_label_filter(options, NULL, "value"));
    NO_VALUE_IS_GOOD(ibt_options_set_label(options, "name", NULL));
    NO_VALUE_IS_GOOD(ibt_options_add_keep_label(options, "name", NULL));
    NO_VALUE_IS_GOOD(ibt_options_add_label_filter(options, "name", NULL));
    NO_VALUE_IS_GOOD(ibt_options_set_snapshot(options, NULL));
    NO_VALUE_IS_GOOD(ibt_options_set_cancel(options, NULL));
}

/* Options that are NULL take nothing over. The caller keeps the userdata: a setter that failed does not destroy it. */
static void test_no_options(void)
{
    ibt_cancel *cancel = ibt_cancel_new();
    int destroyed = 0;

    CHECK_INT(ibt_options_set_snapshot(NULL, STAMP), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_expected_digest(NULL, DIGEST), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_exclude_file(NULL, "names"), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_add_keep_label(NULL, "n", "v"), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_add_label_filter(NULL, "n", "v"), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_cancel(NULL, cancel), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_progress(NULL, on_progress, &destroyed, on_destroy), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_change(NULL, on_change, &destroyed, on_destroy), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_filter(NULL, on_filter, &destroyed, on_destroy), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_options_set_log(NULL, IBT_LOG_WARN, on_log, &destroyed, on_destroy), IBT_ERR_INVALID_ARG);
    CHECK_INT(destroyed, 0);
    ibt_cancel_free(cancel);
}

/* Each callback without its function, its userdata or its destructor. The operation works. */
static void test_callbacks(void)
{
    ibt_options *some = ibt_options_new();
    int destroyed = 0;

    CHECK_INT(ibt_options_set_cache_dir(some, ""), IBT_OK);
    CHECK_INT(ibt_options_set_progress(some, NULL, &destroyed, on_destroy), IBT_OK);
    CHECK_INT(ibt_options_set_change(some, NULL, &destroyed, on_destroy), IBT_OK);
    CHECK_INT(ibt_options_set_filter(some, NULL, &destroyed, on_destroy), IBT_OK);
    CHECK_INT(ibt_options_set_log(some, IBT_LOG_INFO, NULL, &destroyed, on_destroy), IBT_OK);
    CHECK_INT(ibt_incremental_backup(storage, "src", some, NULL, NULL), IBT_OK);
    CHECK_INT(ibt_options_set_progress(some, on_progress, NULL, NULL), IBT_OK);
    CHECK_INT(ibt_options_set_change(some, on_change, NULL, NULL), IBT_OK);
    CHECK_INT(ibt_options_set_filter(some, on_filter, NULL, NULL), IBT_OK);
    CHECK_INT(ibt_options_set_log(some, IBT_LOG_INFO, on_log, NULL, NULL), IBT_OK);
    CHECK_INT(ibt_incremental_backup(storage, "src", some, NULL, NULL), IBT_OK);
    ibt_options_free(some);
    CHECK_INT(destroyed, 4);
}

/* An operation that works, with NULL for its settings, its report and its error in turn. */
#define OPERATION(function, ...) \
    do { \
        ibt_report *report = NULL; \
        ibt_error *err = NULL; \
        CHECK_INT(function(__VA_ARGS__, settings, NULL, &err), IBT_OK); \
        CHECK(err == NULL); \
        CHECK_INT(function(__VA_ARGS__, settings, &report, NULL), IBT_OK); \
        CHECK(report != NULL); \
        ibt_report_free(report); \
    } while (0)

static void test_operations(void)
{
    ibt_report *report = NULL;
    ibt_error *err = NULL;

    OPERATION(ibt_full_backup, storage, "src");
    OPERATION(ibt_incremental_backup, storage, "src");
    OPERATION(ibt_restore, storage, "src", "dest");
    OPERATION(ibt_compare, storage, "src", "src");
    OPERATION(ibt_list_snapshots, storage, "src");
    OPERATION(ibt_verify, storage, "src");
    OPERATION(ibt_consolidate, storage, "src");
    CHECK_INT(ibt_options_set_cache_dir(settings, "cache"), IBT_OK);
    OPERATION(ibt_rebuild_cache, storage, "src");
    CHECK_INT(ibt_options_set_cache_dir(settings, ""), IBT_OK);
    CHECK_INT(ibt_options_set_keep_last(settings, 3), IBT_OK);
    OPERATION(ibt_prune, storage, "src");
    CHECK_INT(ibt_options_set_keep_last(settings, 0), IBT_OK);

    /* Without options. The cache is in HOME, which belongs to this test. */
    CHECK_INT(told(ibt_full_backup(storage, "src", NULL, &report, &err), &err), IBT_OK);
    ibt_report_free(report);
    CHECK_INT(told(ibt_restore(storage, "src", "dest too", NULL, &report, &err), &err), IBT_OK);
    ibt_report_free(report);

    REFUSED(ibt_full_backup(storage, NULL, settings, NULL, &err), "source is NULL");
    REFUSED(ibt_incremental_backup(storage, NULL, settings, NULL, &err), "source is NULL");
    REFUSED(ibt_restore(storage, NULL, "dest", settings, NULL, &err), "key is NULL");
    REFUSED(ibt_restore(storage, "src", NULL, settings, NULL, &err), "dest is NULL");
    REFUSED(ibt_compare(storage, NULL, "src", settings, NULL, &err), "key is NULL");
    REFUSED(ibt_compare(storage, "src", NULL, settings, NULL, &err), "tree is NULL");
    REFUSED(ibt_consolidate(storage, NULL, settings, NULL, &err), "key is NULL");
    REFUSED(ibt_rebuild_cache(storage, NULL, settings, NULL, &err), "key is NULL");
    REFUSED(ibt_prune(storage, NULL, settings, NULL, &err), "key is NULL");
    /* NULL in place of the storage with the old backups means the storage itself, which has none. */
    CHECK_INT(ibt_import(storage, NULL, "src", settings, NULL, NULL), IBT_ERR_NOT_FOUND);
    REFUSED(ibt_import(NULL, storage, "src", settings, NULL, &err), "storage is NULL");
    REFUSED(ibt_import(storage, storage, NULL, settings, NULL, &err), "key is NULL");
    REFUSED(ibt_list_keys(NULL, on_key, NULL, &err), "storage is NULL");
    REFUSED(ibt_list_keys(storage, NULL, NULL, &err), "key is NULL");
    CHECK_INT(ibt_list_keys(storage, on_key, NULL, NULL), IBT_OK);
    /* NULL as the key of these means every key. */
    CHECK_INT(ibt_list_snapshots(storage, NULL, settings, NULL, NULL), IBT_OK);
    CHECK_INT(ibt_verify(storage, NULL, settings, NULL, NULL), IBT_OK);
}

static void test_snapshot(void)
{
    ibt_snapshot *snapshot = NULL, *same = NULL;
    const ibt_entry *entry = NULL;
    ibt_error *err = NULL;

    REFUSED(ibt_snapshot_open(NULL, "src", settings, &snapshot, &err), "storage is NULL");
    REFUSED(ibt_snapshot_open(storage, NULL, settings, &snapshot, &err), "key is NULL");
    REFUSED(ibt_snapshot_open(storage, "src", settings, NULL, &err), "out is NULL");
    CHECK(snapshot == NULL);
    CHECK_INT(told(ibt_snapshot_open(storage, "src", NULL, &snapshot, &err), &err), IBT_OK);
    REFUSED(ibt_snapshot_next(NULL, &entry, &err), "snapshot is NULL");
    REFUSED(ibt_snapshot_next(snapshot, NULL, &err), "entry is NULL");
    CHECK_INT(ibt_snapshot_next(snapshot, &entry, NULL), IBT_OK);
    CHECK(entry != NULL);
    REFUSED(ibt_snapshot_rewind(NULL, &err), "snapshot is NULL");
    CHECK_INT(ibt_snapshot_rewind(snapshot, NULL), IBT_OK);
    REFUSED(ibt_snapshot_list(NULL, "", 0, on_entry, NULL, &err), "snapshot is NULL");
    REFUSED(ibt_snapshot_list(snapshot, NULL, 0, on_entry, NULL, &err), "path is NULL");
    REFUSED(ibt_snapshot_list(snapshot, "", 0, NULL, NULL, &err), "entry is NULL");
    CHECK_INT(ibt_snapshot_list(snapshot, "", 0, on_entry, NULL, NULL), IBT_OK);
    REFUSED(ibt_snapshot_read(NULL, "a", 0, 1, on_bytes, NULL, &err), "snapshot is NULL");
    REFUSED(ibt_snapshot_read(snapshot, NULL, 0, 1, on_bytes, NULL, &err), "path is NULL");
    REFUSED(ibt_snapshot_read(snapshot, "a", 0, 1, NULL, NULL, &err), "sink is NULL");
    CHECK_INT(ibt_snapshot_read(snapshot, "a", 0, 1, on_bytes, NULL, NULL), IBT_OK);
    REFUSED(ibt_diff(NULL, snapshot, settings, NULL, &err), "snapshot is NULL");
    REFUSED(ibt_diff(snapshot, NULL, settings, NULL, &err), "snapshot is NULL");
    CHECK_INT(told(ibt_snapshot_open(storage, "src", settings, &same, &err), &err), IBT_OK);
    CHECK_INT(ibt_diff(snapshot, same, NULL, NULL, NULL), IBT_OK);
    ibt_snapshot_free(same);
    ibt_snapshot_free(snapshot);
}

static int32_t on_create(void *ud, const char *name, void **stream)
{
    (void)ud;
    (void)name;
    (void)stream;
    return IBT_CALLBACK_FAILED;
}

static int32_t on_write(void *ud, void *stream, const uint8_t *data, size_t len)
{
    (void)ud;
    (void)stream;
    (void)data;
    (void)len;
    return IBT_CALLBACK_FAILED;
}

static int32_t on_commit(void *ud, void *stream)
{
    (void)ud;
    (void)stream;
    return IBT_CALLBACK_FAILED;
}

static void on_abort(void *ud, void *stream)
{
    (void)ud;
    (void)stream;
}

static int32_t on_read(void *ud, const char *name, uint64_t offset, uint8_t *buf, size_t len, size_t *got)
{
    (void)ud;
    (void)name;
    (void)offset;
    (void)buf;
    (void)len;
    (void)got;
    return IBT_CALLBACK_FAILED;
}

/* Fills in nothing by wrong calls, and succeeds. */
static int32_t on_list(void *ud, const char *prefix, ibt_list *out)
{
    (void)ud;
    (void)prefix;
    CHECK_INT(ibt_list_add(NULL, "name", 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_list_add(out, NULL, 1), IBT_ERR_INVALID_ARG);
    return IBT_CALLBACK_OK;
}

static int32_t on_delete(void *ud, const char *name)
{
    (void)ud;
    (void)name;
    return IBT_CALLBACK_FAILED;
}

static int32_t on_lock(void *ud, const char *key)
{
    (void)ud;
    (void)key;
    return IBT_CALLBACK_OK;
}

static void on_unlock(void *ud, const char *key)
{
    (void)ud;
    (void)key;
}

static void test_storage(void)
{
    ibt_storage *opened = NULL;
    int destroyed = 0;

    REFUSED(ibt_storage_open_dir(NULL, 0, &opened, &err), "path is NULL");
    REFUSED(ibt_storage_open_dir("store", 0, NULL, &err), "out is NULL");
    REFUSED(ibt_storage_open_url(NULL, &opened, &err), "url is NULL");
    REFUSED(ibt_storage_open_url("file:///tmp", NULL, &err), "out is NULL");
    REFUSED(ibt_storage_open_default(NULL, &err), "out is NULL");
    CHECK(opened == NULL);

    opened = ibt_storage_new(&destroyed, on_destroy);
    CHECK_INT(ibt_storage_set_writer(opened, NULL, on_write, on_commit, on_abort), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_writer(opened, on_create, NULL, on_commit, on_abort), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_writer(opened, on_create, on_write, NULL, on_abort), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_writer(opened, on_create, on_write, on_commit, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_writer(NULL, on_create, on_write, on_commit, on_abort), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_reader(opened, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_reader(NULL, on_read), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_list(opened, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_list(NULL, on_list), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_delete(opened, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_delete(NULL, on_delete), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_lock(opened, NULL, on_unlock), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_lock(opened, on_lock, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_lock(NULL, on_lock, on_unlock), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_fail(NULL, 5, "no function of a storage runs"), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_fail(opened, 5, NULL), IBT_OK);
    CHECK_INT(ibt_storage_set_list(opened, on_list), IBT_OK);
    CHECK_INT(ibt_storage_set_reader(opened, on_read), IBT_OK);
    CHECK_INT(ibt_list_keys(opened, on_key, NULL, NULL), IBT_OK);
    ibt_storage_free(opened);
    CHECK_INT(destroyed, 1);
    opened = ibt_storage_new(&destroyed, NULL);
    ibt_storage_free(opened);
    CHECK_INT(destroyed, 1);
}

int main(void)
{
    check_begin();
    make_dir("src");
    write_file("src/a", "one");
    storage = open_storage("store");
    settings = ibt_options_new();
    CHECK_INT(ibt_options_set_cache_dir(settings, ""), IBT_OK);
    CHECK_INT(ibt_options_set_overwrite(settings, IBT_OVERWRITE_ALWAYS), IBT_OK);
    CHECK_INT(ibt_full_backup(storage, "src", settings, NULL, NULL), IBT_OK);
    test_values();
    test_no_options();
    test_callbacks();
    test_operations();
    test_snapshot();
    test_storage();
    ibt_options_free(settings);
    ibt_storage_free(storage);
    return check_end();
}
