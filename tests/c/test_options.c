/* Setters check their arguments. After a refusal, every operation refuses the options. Userdata is released exactly
 * once. */
#include "check.h"

#include <stdio.h>
#include <string.h>

/* A storage that does not exist. */
static ibt_storage *no_backups;

static const char digest[] = "blake3:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static const char stamp[] = "20261122T220530.123456Z";

#define REFUSED(call) check_refused((call), options, #call, __LINE__)

/* After a refused setter, every operation fails and names this setter. Frees the options. */
static void check_refused(ibt_status status, ibt_options *options, const char *call, int line)
{
    char setter[64];
    ibt_report *report;
    ibt_error *err;

    snprintf(setter, sizeof setter, "cannot restore: %.*s: ", (int)strcspn(call, "("), call);
    check_int(status, IBT_ERR_INVALID_ARG, call, __FILE__, line);
    check_int(ibt_restore(no_backups, "key", "dest", options, &report, &err), IBT_ERR_INVALID_ARG, call, __FILE__,
              line);
    check_has(ibt_error_message(err), setter, call, __FILE__, line);
    check_that(report == NULL, call, __FILE__, line);
    ibt_error_free(err);
    check_int(ibt_full_backup(no_backups, "src", options, NULL, NULL), IBT_ERR_INVALID_ARG, call, __FILE__, line);
    check_int(ibt_incremental_backup(no_backups, "src", options, NULL, NULL), IBT_ERR_INVALID_ARG, call, __FILE__,
              line);
    check_int(ibt_list_snapshots(no_backups, NULL, options, NULL, NULL), IBT_ERR_INVALID_ARG, call, __FILE__, line);
    ibt_options_free(options);
}

static void test_refused_texts(void)
{
    static const char *const bad_keys[] = { "", ".", ".a", "-a", "a/b", "a\nb", "\377" };
    static const char *const bad_hosts[] = { NULL, "", "a\nb", "\177", "\377" };
    char long_key[130], long_name[4098];
    ibt_options *options;
    size_t i;

    for (i = 0; i < sizeof bad_keys / sizeof bad_keys[0]; i++) {
        options = ibt_options_new();
        REFUSED(ibt_options_set_key(options, bad_keys[i]));
    }
    memset(long_key, 'a', 129);
    long_key[129] = '\0';
    options = ibt_options_new();
    REFUSED(ibt_options_set_key(options, long_key));
    options = ibt_options_new();
    REFUSED(ibt_options_set_key(options, NULL));
    for (i = 0; i < sizeof bad_hosts / sizeof bad_hosts[0]; i++) {
        options = ibt_options_new();
        REFUSED(ibt_options_set_host(options, bad_hosts[i]));
    }
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    options = ibt_options_new();
    REFUSED(ibt_options_set_host(options, long_name + sizeof long_name - 257));
    options = ibt_options_new();
    REFUSED(ibt_options_set_source_name(options, long_name));
    options = ibt_options_new();
    REFUSED(ibt_options_set_source_name(options, ""));
    options = ibt_options_new();
    REFUSED(ibt_options_set_source_name(options, NULL));
    options = ibt_options_new();
    REFUSED(ibt_options_set_cache_dir(options, NULL));
    options = ibt_options_new();
    REFUSED(ibt_options_add_exclude(options, ""));
    options = ibt_options_new();
    REFUSED(ibt_options_add_exclude(options, "a\nb"));
    options = ibt_options_new();
    REFUSED(ibt_options_add_exclude(options, NULL));
    options = ibt_options_new();
    REFUSED(ibt_options_set_exclude_file(options, "a/b"));
    options = ibt_options_new();
    REFUSED(ibt_options_set_exclude_file(options, ".."));
    options = ibt_options_new();
    REFUSED(ibt_options_set_exclude_file(options, NULL));
    options = ibt_options_new();
    REFUSED(ibt_options_set_snapshot(options, "20261122T220530Z"));
    options = ibt_options_new();
    REFUSED(ibt_options_set_snapshot(options, "\377"));
    options = ibt_options_new();
    REFUSED(ibt_options_add_removed(options, NULL));
    options = ibt_options_new();
    REFUSED(ibt_options_add_removed(options, "2026-11-22"));
    options = ibt_options_new();
    REFUSED(ibt_options_add_removed(options, "\377"));
    options = ibt_options_new();
    REFUSED(ibt_options_set_expected_digest(options, "sha256:00"));
    options = ibt_options_new();
    REFUSED(ibt_options_set_expected_digest(options, digest + 7));
    options = ibt_options_new();
    REFUSED(ibt_options_set_expected_digest(options, NULL));
    options = ibt_options_new();
    REFUSED(ibt_options_set_verify(options, 2));
    options = ibt_options_new();
    REFUSED(ibt_options_set_verify(options, -1));
    options = ibt_options_new();
    REFUSED(ibt_options_set_verify_part(options, 0, 7));
    options = ibt_options_new();
    REFUSED(ibt_options_set_verify_part(options, 8, 7));
    options = ibt_options_new();
    REFUSED(ibt_options_set_verify_part(options, 0, 0));
}

/* A setter refuses a value that no operation could use. */
static void test_refused_excludes(void)
{
    static const char *const bad[] = { "[a", "a\\", "\377*", "[[:nonsense:]]" };
    ibt_options *options;
    size_t i;

    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        options = ibt_options_new();
        REFUSED(ibt_options_add_exclude(options, bad[i]));
    }
    options = ibt_options_new();
    for (i = 0; i < 10000; i++)
        CHECK_INT(ibt_options_add_exclude(options, "*.o"), IBT_OK);
    REFUSED(ibt_options_add_exclude(options, "*.o"));
    options = ibt_options_new();
    for (i = 0; i < 10000; i++)
        CHECK_INT(ibt_options_add_path(options, "a"), IBT_OK);
    REFUSED(ibt_options_add_include(options, "*"));
    options = ibt_options_new();
    REFUSED(ibt_options_add_protected_path(options, NULL));
    options = ibt_options_new();
    REFUSED(ibt_options_add_protected_path(options, ""));
    options = ibt_options_new();
    for (i = 0; i < 10000; i++)
        CHECK_INT(ibt_options_add_protected_path(options, "a"), IBT_OK);
    REFUSED(ibt_options_add_protected_path(options, "a"));
}

static void test_refused_filters(void)
{
    static const char *const bad_globs[] = { NULL, "", "/", "[", "{a", "\377" };
    static const char *const bad_markers[] = { NULL, "", ".", "..", "a/b" };
    static const char *const bad_paths[] = { NULL, "", "/", "..", "a/../b", "a//b", "./a" };
    ibt_options *options;
    size_t i;

    for (i = 0; i < sizeof bad_globs / sizeof bad_globs[0]; i++) {
        options = ibt_options_new();
        REFUSED(ibt_options_add_include(options, bad_globs[i]));
    }
    for (i = 0; i < sizeof bad_paths / sizeof bad_paths[0]; i++) {
        options = ibt_options_new();
        REFUSED(ibt_options_add_path(options, bad_paths[i]));
        options = ibt_options_new();
        REFUSED(ibt_options_add_source_path(options, bad_paths[i]));
    }
    for (i = 0; i < sizeof bad_markers / sizeof bad_markers[0]; i++) {
        options = ibt_options_new();
        REFUSED(ibt_options_add_exclude_if_present(options, bad_markers[i]));
    }
    options = ibt_options_new();
    for (i = 0; i < 100; i++)
        CHECK_INT(ibt_options_add_exclude_if_present(options, ".nobackup"), IBT_OK);
    REFUSED(ibt_options_add_exclude_if_present(options, ".nobackup"));
    options = ibt_options_new();
    REFUSED(ibt_options_set_root(options, NULL));
    options = ibt_options_new();
    REFUSED(ibt_options_set_root(options, "a/.."));
    options = ibt_options_new();
    REFUSED(ibt_options_set_overwrite(options, 5));
    options = ibt_options_new();
    REFUSED(ibt_options_set_overwrite(options, -1));
}

/* An operation that would ignore filters, delete_extra or dry_run refuses them. Backups have dry runs. */
static void test_useless_filters(void)
{
    enum { INCLUDE, PATH, ROOT, DELETE_EXTRA, DRY_RUN, KINDS };
    ibt_options *options;
    int kind;

    for (kind = 0; kind < KINDS; kind++) {
        options = ibt_options_new();
        if (kind == INCLUDE)
            ibt_options_add_include(options, "*");
        else if (kind == PATH)
            ibt_options_add_path(options, "a");
        else if (kind == ROOT)
            ibt_options_set_root(options, "a");
        else if (kind == DELETE_EXTRA)
            ibt_options_set_delete_extra(options, 1);
        else
            ibt_options_set_dry_run(options, 1);
        CHECK_INT(ibt_full_backup(no_backups, "absent", options, NULL, NULL),
                  kind == DRY_RUN ? IBT_ERR_IO : IBT_ERR_INVALID_ARG);
        CHECK_INT(ibt_incremental_backup(no_backups, "absent", options, NULL, NULL),
                  kind == DRY_RUN ? IBT_ERR_IO : IBT_ERR_INVALID_ARG);
        CHECK_INT(ibt_list_snapshots(no_backups, "key", options, NULL, NULL), IBT_ERR_INVALID_ARG);
        CHECK_INT(ibt_verify(no_backups, "key", options, NULL, NULL), IBT_ERR_INVALID_ARG);
        CHECK_INT(ibt_consolidate(no_backups, "key", options, NULL, NULL), IBT_ERR_INVALID_ARG);
        CHECK_INT(ibt_rebuild_cache(no_backups, "key", options, NULL, NULL), IBT_ERR_INVALID_ARG);
        if (kind != INCLUDE && kind != PATH)
            CHECK_INT(ibt_compare(no_backups, "key", "absent", options, NULL, NULL), IBT_ERR_INVALID_ARG);
        ibt_options_set_keep_last(options, 1);
        CHECK_INT(ibt_prune(no_backups, "key", options, NULL, NULL),
                  kind == DRY_RUN ? IBT_ERR_NOT_FOUND : IBT_ERR_INVALID_ARG);
        CHECK_INT(ibt_restore(no_backups, "key", "dest", options, NULL, NULL), IBT_ERR_NOT_FOUND);
        ibt_options_free(options);
    }
}

static int32_t include_all(void *ud, const ibt_entry *entry)
{
    (void)ud;
    (void)entry;
    return IBT_FILTER_INCLUDE;
}

/* A filter and listed paths are refused by everything but backups. */
static void test_useless_choice(void)
{
    int kind;

    for (kind = 0; kind < 2; kind++) {
        ibt_options *options = ibt_options_new();

        if (kind == 0)
            ibt_options_set_filter(options, include_all, NULL, NULL);
        else
            ibt_options_add_source_path(options, "a");
        CHECK_INT(ibt_full_backup(no_backups, "absent", options, NULL, NULL), IBT_ERR_IO);
        CHECK_INT(ibt_restore(no_backups, "key", "dest", options, NULL, NULL), IBT_ERR_INVALID_ARG);
        CHECK_INT(ibt_compare(no_backups, "key", "absent", options, NULL, NULL), IBT_ERR_INVALID_ARG);
        CHECK_INT(ibt_list_snapshots(no_backups, "key", options, NULL, NULL), IBT_ERR_INVALID_ARG);
        CHECK_INT(ibt_verify(no_backups, "key", options, NULL, NULL), IBT_ERR_INVALID_ARG);
        CHECK_INT(ibt_consolidate(no_backups, "key", options, NULL, NULL), IBT_ERR_INVALID_ARG);
        CHECK_INT(ibt_rebuild_cache(no_backups, "key", options, NULL, NULL), IBT_ERR_INVALID_ARG);
        CHECK(ibt_snapshot_open(no_backups, "key", options, NULL, NULL) < 0);
        ibt_options_free(options);
    }
}

static void ignore_log(void *ud, int32_t level, const char *message)
{
    (void)ud;
    (void)level;
    (void)message;
}

static void test_refused_numbers(void)
{
    ibt_options *options = ibt_options_new();

    REFUSED(ibt_options_set_compression(options, 2, 3));
    options = ibt_options_new();
    REFUSED(ibt_options_set_compression(options, -1, 3));
    options = ibt_options_new();
    REFUSED(ibt_options_set_compression(options, IBT_COMPRESSION_ZSTD, 20));
    options = ibt_options_new();
    REFUSED(ibt_options_set_compression(options, IBT_COMPRESSION_ZSTD, -1));
    options = ibt_options_new();
    REFUSED(ibt_options_set_part_size(options, 1));
    options = ibt_options_new();
    REFUSED(ibt_options_set_part_size(options, IBT_PART_SIZE_MIN - 1));
    options = ibt_options_new();
    REFUSED(ibt_options_set_threads(options, 1025));
    options = ibt_options_new();
    REFUSED(ibt_options_set_change_detection(options, 2));
    options = ibt_options_new();
    REFUSED(ibt_options_set_delta(options, 3));
    options = ibt_options_new();
    REFUSED(ibt_options_set_delta(options, -1));
    options = ibt_options_new();
    REFUSED(ibt_options_set_on_file_error(options, -1));
    options = ibt_options_new();
    REFUSED(ibt_options_set_restore_metadata(options, 256));
    options = ibt_options_new();
    REFUSED(ibt_options_set_lock_wait(options, -2));
    options = ibt_options_new();
    REFUSED(ibt_options_set_log(options, 0, ignore_log, NULL, NULL));
    options = ibt_options_new();
    REFUSED(ibt_options_set_log(options, 5, ignore_log, NULL, NULL));
}

static void test_accepted(void)
{
    ibt_options *options = ibt_options_new();

    CHECK_INT(ibt_options_set_key(options, "a b.c-\303\251"), IBT_OK);
    CHECK_INT(ibt_options_set_host(options, "b\303\251-1.example"), IBT_OK);
    CHECK_INT(ibt_options_set_source_name(options, "laptop:\377"), IBT_OK);
    CHECK_INT(ibt_options_set_cache_dir(options, ""), IBT_OK);
    CHECK_INT(ibt_options_set_cache_dir(options, "cache"), IBT_OK);
    CHECK_INT(ibt_options_add_exclude(options, "!keep*"), IBT_OK);
    CHECK_INT(ibt_options_set_exclude_file(options, ""), IBT_OK);
    CHECK_INT(ibt_options_set_exclude_file(options, ".ignore"), IBT_OK);
    CHECK_INT(ibt_options_set_snapshot(options, stamp), IBT_OK);
    CHECK_INT(ibt_options_set_snapshot(options, NULL), IBT_OK);
    CHECK_INT(ibt_options_set_as_of(options, INT64_MIN), IBT_OK);
    CHECK_INT(ibt_options_set_compression(options, IBT_COMPRESSION_NONE, 0), IBT_OK);
    CHECK_INT(ibt_options_set_compression(options, IBT_COMPRESSION_ZSTD, 0), IBT_OK);
    CHECK_INT(ibt_options_set_compression(options, IBT_COMPRESSION_ZSTD, 19), IBT_OK);
    CHECK_INT(ibt_options_set_part_size(options, IBT_PART_SIZE_MIN), IBT_OK);
    CHECK_INT(ibt_options_set_part_size(options, UINT64_MAX), IBT_OK);
    CHECK_INT(ibt_options_set_part_size(options, 0), IBT_OK);
    CHECK_INT(ibt_options_set_checkpoint(options, 0), IBT_OK);
    CHECK_INT(ibt_options_set_checkpoint(options, 1), IBT_OK);
    CHECK_INT(ibt_options_set_checkpoint(options, UINT64_MAX), IBT_OK);
    CHECK_INT(ibt_options_set_threads(options, 1024), IBT_OK);
    CHECK_INT(ibt_options_set_change_detection(options, IBT_DETECT_CONTENT), IBT_OK);
    CHECK_INT(ibt_options_set_delta(options, IBT_DELTA_SIGNATURES), IBT_OK);
    CHECK_INT(ibt_options_set_delta(options, IBT_DELTA_CONTENTS), IBT_OK);
    CHECK_INT(ibt_options_set_delta(options, IBT_DELTA_AUTO), IBT_OK);
    CHECK_INT(ibt_options_set_heal(options, 1), IBT_OK);
    CHECK_INT(ibt_options_set_heal(options, -3), IBT_OK);
    CHECK_INT(ibt_options_set_heal(options, 0), IBT_OK);
    CHECK_INT(ibt_options_set_one_file_system(options, 1), IBT_OK);
    CHECK_INT(ibt_options_set_skip_cache_dirs(options, -5), IBT_OK);
    CHECK_INT(ibt_options_set_on_file_error(options, IBT_ON_ERROR_STOP), IBT_OK);
    CHECK_INT(ibt_options_set_allow_source_change(options, 0), IBT_OK);
    CHECK_INT(ibt_options_set_allow_empty(options, 1), IBT_OK);
    CHECK_INT(ibt_options_set_restore_metadata(options, 255), IBT_OK);
    CHECK_INT(ibt_options_set_expected_digest(options, digest), IBT_OK);
    CHECK_INT(ibt_options_set_lock_wait(options, -1), IBT_OK);
    CHECK_INT(ibt_options_set_allow_unlocked(options, 1), IBT_OK);
    CHECK_INT(ibt_options_set_allow_unlocked(options, -7), IBT_OK);
    CHECK_INT(ibt_options_set_allow_unlocked(options, 0), IBT_OK);
    CHECK_INT(ibt_options_add_include(options, "/d/**/*.{c,h}"), IBT_OK);
    CHECK_INT(ibt_options_add_path(options, "/d/\377/"), IBT_OK);
    CHECK_INT(ibt_options_add_protected_path(options, "/a/../\377"), IBT_OK);
    CHECK_INT(ibt_options_add_source_path(options, "/d/\377/"), IBT_OK);
    CHECK_INT(ibt_options_add_exclude_if_present(options, "\377"), IBT_OK);
    CHECK_INT(ibt_options_set_exclude_larger_than(options, 0), IBT_OK);
    CHECK_INT(ibt_options_set_exclude_larger_than(options, UINT64_MAX), IBT_OK);
    CHECK_INT(ibt_options_set_exclude_nodump(options, -1), IBT_OK);
    CHECK_INT(ibt_options_set_root(options, ""), IBT_OK);
    CHECK_INT(ibt_options_set_overwrite(options, IBT_OVERWRITE_IF_OLDER), IBT_OK);
    CHECK_INT(ibt_options_set_delete_extra(options, 1), IBT_OK);
    CHECK_INT(ibt_options_set_leave_partial(options, -3), IBT_OK);
    CHECK_INT(ibt_options_set_map_owners(options, -3), IBT_OK);
    CHECK_INT(ibt_options_set_dry_run(options, 1), IBT_OK);
    CHECK_INT(ibt_options_set_skip_unchanged(options, 1), IBT_OK);
    CHECK_INT(ibt_options_set_skip_unchanged(options, -7), IBT_OK);
    CHECK_INT(ibt_options_set_skip_unchanged(options, 0), IBT_OK);
    CHECK_INT(ibt_options_set_keep_yearly(options, UINT32_MAX), IBT_OK);
    CHECK_INT(ibt_options_set_keep_hourly(options, UINT32_MAX), IBT_OK);
    CHECK_INT(ibt_options_set_keep_within(options, UINT64_MAX), IBT_OK);
    CHECK_INT(ibt_options_set_local_time(options, -1), IBT_OK);
    CHECK_INT(ibt_options_set_verify(options, IBT_VERIFY_PRESENCE), IBT_OK);
    CHECK_INT(ibt_options_set_verify_part(options, UINT32_MAX, UINT32_MAX), IBT_OK);
    CHECK_INT(ibt_options_set_metadata_only(options, -1), IBT_OK);
    CHECK_INT(ibt_options_add_removed(options, stamp), IBT_OK);
    CHECK_INT(ibt_options_add_removed(options, stamp), IBT_OK);
    CHECK_INT(ibt_options_set_log(options, IBT_LOG_DEBUG, ignore_log, NULL, NULL), IBT_OK);
    ibt_options_free(options);
}

/* Operations report the first refusal, even if the same value is set right afterwards. */
static void test_a_refusal_stays(void)
{
    ibt_options *options = ibt_options_new();
    ibt_error *err;

    ibt_options_set_threads(options, 5000);
    ibt_options_set_lock_wait(options, -7);
    CHECK_INT(ibt_options_set_threads(options, 2), IBT_OK);
    CHECK_INT(ibt_list_snapshots(no_backups, NULL, options, NULL, &err), IBT_ERR_INVALID_ARG);
    CHECK_TEXT(ibt_error_message(err),
               "cannot list snapshots: ibt_options_set_threads: 5000 threads are more than 1024");
    CHECK_INT(ibt_error_os_code(err), 0);
    CHECK_TEXT(ibt_error_path(err), NULL);
    ibt_error_free(err);
    ibt_options_free(options);
}

/* An operation refuses options that it does not use, before it touches anything. */
static void test_useless_options(void)
{
    ibt_options *selecting = ibt_options_new();
    ibt_options *excluding = ibt_options_new();
    ibt_options *expecting = ibt_options_new();
    ibt_error *err;

    ibt_options_set_as_of(selecting, 5);
    ibt_options_add_exclude(excluding, "*");
    ibt_options_set_expected_digest(expecting, digest);
    CHECK_INT(ibt_full_backup(no_backups, "absent", selecting, NULL, &err), IBT_ERR_INVALID_ARG);
    CHECK_HAS(ibt_error_message(err), "a snapshot");
    ibt_error_free(err);
    ibt_options_set_snapshot(selecting, stamp);
    CHECK_INT(ibt_incremental_backup(no_backups, "absent", selecting, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_full_backup(no_backups, "absent", expecting, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_list_snapshots(no_backups, NULL, expecting, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_list_snapshots(no_backups, NULL, excluding, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_restore(no_backups, "key", "dest", excluding, NULL, NULL), IBT_ERR_NOT_FOUND);
    CHECK_INT(ibt_verify(no_backups, "key", excluding, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_consolidate(no_backups, "key", selecting, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_consolidate(no_backups, "key", expecting, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_consolidate(no_backups, "key", excluding, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_rebuild_cache(no_backups, "key", selecting, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_rebuild_cache(no_backups, "key", expecting, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_rebuild_cache(no_backups, "key", excluding, NULL, NULL), IBT_ERR_INVALID_ARG);
    ibt_options_free(selecting);
    selecting = ibt_options_new();
    ibt_options_add_removed(selecting, stamp);
    CHECK_INT(ibt_full_backup(no_backups, "absent", selecting, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_restore(no_backups, "key", "dest", selecting, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_list_snapshots(no_backups, "key", selecting, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_prune(no_backups, "key", selecting, NULL, NULL), IBT_ERR_NOT_FOUND);
    ibt_options_set_keep_hourly(selecting, 1);
    CHECK_INT(ibt_prune(no_backups, "key", selecting, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(count_entries("tmp"), 0);
    ibt_options_free(selecting);
    ibt_options_free(excluding);
    ibt_options_free(expecting);
}

static void count_destroy(void *ud)
{
    ++*(int *)ud;
}

static int32_t go_on(void *ud, const ibt_progress *now)
{
    (void)ud;
    (void)now;
    return IBT_CALLBACK_OK;
}

static int32_t go_on_change(void *ud, uint32_t what, const ibt_entry *before, const ibt_entry *after)
{
    (void)ud;
    (void)what;
    (void)before;
    (void)after;
    return IBT_CALLBACK_OK;
}

static void test_userdata_is_let_go_once(void)
{
    int first = 0, second = 0, third = 0, fourth = 0, refused = 0, none = 0;
    ibt_options *options = ibt_options_new();

    CHECK_INT(ibt_options_set_filter(options, include_all, &first, count_destroy), IBT_OK);
    CHECK_INT(ibt_options_set_filter(options, NULL, &second, count_destroy), IBT_OK);
    CHECK(first == 1 && second == 1);
    first = second = 0;

    CHECK_INT(ibt_options_set_progress(options, go_on, &first, count_destroy), IBT_OK);
    CHECK_INT(ibt_options_set_change(options, go_on_change, &second, count_destroy), IBT_OK);
    CHECK_INT(ibt_options_set_log(options, IBT_LOG_WARN, ignore_log, &third, count_destroy), IBT_OK);
    CHECK_INT(first + second + third, 0);
    CHECK_INT(ibt_options_set_progress(options, go_on, &fourth, count_destroy), IBT_OK);
    CHECK_INT(first, 1);
    CHECK(ibt_options_set_log(options, 99, ignore_log, &refused, count_destroy) < 0);
    CHECK(ibt_options_set_progress(NULL, go_on, &refused, count_destroy) < 0);
    CHECK_INT(refused, 0);
    CHECK_INT(third, 0);
    CHECK_INT(ibt_options_set_change(options, NULL, &none, count_destroy), IBT_OK);
    CHECK_INT(none, 1);
    CHECK_INT(second, 1);
    ibt_list_snapshots(no_backups, NULL, options, NULL, NULL); /* its copy of the options is freed when it returns */
    CHECK_INT(third + fourth, 0);
    ibt_options_free(options);
    CHECK(first == 1 && second == 1 && third == 1 && fourth == 1 && none == 1 && refused == 0);
}

static ibt_options *held;

/* Uses the same options that release its userdata at this moment. */
static void reentering_destroy(void *ud)
{
    ++*(int *)ud;
    CHECK_INT(ibt_options_set_progress(held, NULL, NULL, NULL), IBT_OK);
    CHECK_INT(ibt_options_set_threads(held, 1), IBT_OK);
}

static void test_a_destroy_function_may_use_its_options(void)
{
    int first = 0, second = 0;

    held = ibt_options_new();
    CHECK_INT(ibt_options_set_progress(held, go_on, &first, reentering_destroy), IBT_OK);
    CHECK_INT(ibt_options_set_progress(held, go_on, &second, count_destroy), IBT_OK);
    CHECK_INT(first, 1);
    CHECK_INT(second, 1); /* the destroy function of the first one removed it */
    ibt_options_free(held);
}

static int installed;

/* Sets new callbacks in the options that release its userdata at this moment. */
static void installing_destroy(void *ud)
{
    ++*(int *)ud;
    CHECK_INT(ibt_options_set_progress(held, go_on, &installed, count_destroy), IBT_OK);
    CHECK_INT(ibt_options_set_change(held, go_on_change, &installed, count_destroy), IBT_OK);
    CHECK_INT(ibt_options_set_log(held, IBT_LOG_WARN, ignore_log, &installed, count_destroy), IBT_OK);
}

/* Userdata without a callback function is released at once, at the very end of the call. So the callbacks that its
 * destroy function sets stay. */
static void test_userdata_without_a_function_is_let_go_of_last(void)
{
    int round;

    for (round = 0; round < 3; round++) {
        int gone = 0;

        held = ibt_options_new();
        installed = 0;
        if (round == 0)
            CHECK_INT(ibt_options_set_progress(held, NULL, &gone, installing_destroy), IBT_OK);
        else if (round == 1)
            CHECK_INT(ibt_options_set_change(held, NULL, &gone, installing_destroy), IBT_OK);
        else
            CHECK_INT(ibt_options_set_log(held, IBT_LOG_WARN, NULL, &gone, installing_destroy), IBT_OK);
        CHECK_INT(gone, 1);
        CHECK_INT(installed, 0);
        ibt_options_free(held);
        CHECK_INT(installed, 3);
    }
}

int main(void)
{
    check_begin();
    CHECK_INT(ibt_storage_open_dir("no-backups", 0, &no_backups, NULL), IBT_OK);
    test_refused_texts();
    test_refused_numbers();
    test_refused_excludes();
    test_a_destroy_function_may_use_its_options();
    test_userdata_without_a_function_is_let_go_of_last();
    test_refused_filters();
    test_accepted();
    test_a_refusal_stays();
    test_useless_options();
    test_useless_filters();
    test_useless_choice();
    test_userdata_is_let_go_once();
    ibt_storage_free(no_backups);
    return check_end();
}
