/* A small tree is backed up, changed, backed up again, and restored from both snapshots. The reports are complete. */
#include "check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void make_source(void)
{
    make_dir("src");
    make_dir("src/dir");
    make_dir("src/empty");
    write_file("src/a.txt", "one\n");
    write_file("src/nothing", "");
    write_random("src/dir/big", 300000, 7);
    write_file("src/dir/name\nwith\377bytes", "odd");
    write_file("src/gone", "soon");
    if (symlink("../a.txt", "src/dir/link") != 0 || link("src/a.txt", "src/same") != 0
        || chmod("src/a.txt", 0640) != 0)
        perror("test");
}

static void change_source(void)
{
    write_file("src/a.txt", "two, and longer\n");
    write_file("src/new", "new\n");
    remove_tree("src/gone");
}

/* The number of changes that a callback saw, by kind. */
struct seen {
    int calls, created, deleted, content, files, hashes;
};

static int32_t see(void *ud, uint32_t what, const ibt_entry *before, const ibt_entry *after)
{
    struct seen *seen = ud;
    const ibt_entry *entry = after != NULL ? after : before;

    seen->calls++;
    seen->created += (what & IBT_CHANGE_CREATED) != 0 && before == NULL;
    seen->deleted += (what & IBT_CHANGE_DELETED) != 0 && after == NULL;
    seen->content += (what & IBT_CHANGE_CONTENT) != 0 && before != NULL && after != NULL;
    seen->files += ibt_entry_type(entry) == IBT_TYPE_FILE;
    seen->hashes += ibt_entry_hash(entry) != NULL && strncmp(ibt_entry_hash(entry), "blake3:", 7) == 0;
    CHECK(ibt_entry_path(entry) != NULL && ibt_entry_mtime(entry) != 0);
    return IBT_CALLBACK_OK;
}

static int32_t stop_at_once(void *ud, uint32_t what, const ibt_entry *before, const ibt_entry *after)
{
    (void)what;
    (void)before;
    (void)after;
    ++*(int *)ud;
    return IBT_CALLBACK_STOP;
}

static void check_files(const ibt_report *report)
{
    uint64_t total = 0;
    size_t i;

    for (i = 0; i < ibt_report_file_count(report); i++) {
        struct stat status;
        const char *path = ibt_report_file_path(report, i);

        CHECK(path != NULL && stat(path, &status) == 0);
        if (path == NULL || stat(path, &status) != 0)
            continue;
        CHECK_HAS(path, ibt_report_file_name(report, i));
        CHECK(strncmp(ibt_report_file_name(report, i), "src.", 4) == 0);
        CHECK_HAS(ibt_report_file_name(report, i), ibt_report_file_kind(report, i));
        CHECK_INT(status.st_size, ibt_report_file_size(report, i));
        total += ibt_report_file_size(report, i);
    }
    CHECK_INT(ibt_report_total_size(report), total);
    CHECK(ibt_report_file_name(report, i) == NULL);
}

/* Backs up and returns the report. */
static ibt_report *full(ibt_storage *storage)
{
    struct seen seen;
    ibt_options *options = ibt_options_new();
    ibt_report *report;
    ibt_error *err;

    memset(&seen, 0, sizeof seen);
    ibt_options_set_change(options, see, &seen, NULL);
    CHECK_INT(told(ibt_full_backup(storage, "src", options, &report, &err), &err), IBT_OK);
    ibt_options_free(options);
    CHECK_INT(ibt_report_status(report), IBT_OK);
    CHECK_TEXT(ibt_report_key(report), "src");
    CHECK(ibt_report_snapshot(report) != NULL && strlen(ibt_report_snapshot(report)) == 23);
    CHECK(ibt_report_digest(report) != NULL && strncmp(ibt_report_digest(report), "blake3:", 7) == 0);
    CHECK(ibt_report_date(report) > 0);
    CHECK_INT(ibt_report_file_count(report), 3);
    check_files(report);
    CHECK_INT(ibt_report_counter(report, IBT_COUNT_ENTRIES), 10);
    CHECK_INT(ibt_report_counter(report, 9999), 0);
    CHECK_INT(seen.calls, ibt_report_counter(report, IBT_COUNT_CREATED));
    CHECK_INT(seen.created, seen.calls);
    CHECK(seen.files == 6 && seen.hashes == 6);
    CHECK_INT(ibt_report_problem_count(report), 0);
    CHECK_HAS(ibt_report_json(report), "\"status\":0");
    CHECK_HAS(ibt_report_json(report), ibt_report_digest(report));
    return report;
}

static ibt_report *increment(ibt_storage *storage)
{
    struct seen seen;
    ibt_options *options = ibt_options_new();
    ibt_report *report;
    ibt_error *err;

    memset(&seen, 0, sizeof seen);
    ibt_options_set_change(options, see, &seen, NULL);
    ibt_options_set_compression(options, IBT_COMPRESSION_NONE, 0);
    CHECK_INT(told(ibt_incremental_backup(storage, "src", options, &report, &err), &err), IBT_OK);
    ibt_options_free(options);
    check_files(report);
    CHECK_INT(ibt_report_counter(report, IBT_COUNT_CREATED), 1);
    CHECK_INT(ibt_report_counter(report, IBT_COUNT_DELETED), 1);
    CHECK(seen.created == 1 && seen.deleted == 1 && seen.content >= 1);
    return report;
}

static void restore_as(ibt_storage *storage, const char *dest, const ibt_options *options)
{
    ibt_report *report;
    ibt_error *err;

    CHECK_INT(told(ibt_restore(storage, "src", dest, options, &report, &err), &err), IBT_OK);
    CHECK_INT(ibt_report_counter(report, IBT_COUNT_RESTORED), 10);
    ibt_report_free(report);
}

static void test_restore_selected(ibt_storage *storage, const ibt_report *first)
{
    ibt_options *options = ibt_options_new();
    ibt_report *listed;

    ibt_options_set_snapshot(options, ibt_report_snapshot(first));
    ibt_options_set_expected_digest(options, ibt_report_digest(first));
    restore_as(storage, "first", options);
    CHECK(same_trees("first", "before"));
    CHECK(same_trees("before", "first"));

    CHECK_INT(ibt_list_snapshots(storage, "src", NULL, &listed, NULL), IBT_OK);
    ibt_options_set_as_of(options, ibt_report_snapshot_date(listed, 0));
    restore_as(storage, "as-of", options);
    CHECK(same_trees("as-of", "before"));
    ibt_options_set_snapshot(options, NULL); /* the newest has another digest */
    CHECK_INT(ibt_restore(storage, "src", "other", options, NULL, NULL), IBT_ERR_MISMATCH);
    CHECK(!exists("other"));
    ibt_report_free(listed);
    ibt_options_free(options);
}

static void test_list(ibt_storage *storage, const ibt_report *first, const ibt_report *second)
{
    ibt_options *options = ibt_options_new();
    ibt_report *report;
    ibt_error *err;

    CHECK_INT(told(ibt_list_snapshots(storage, NULL, NULL, &report, &err), &err), IBT_OK);
    CHECK_INT(ibt_report_snapshot_count(report), 2);
    CHECK_TEXT(ibt_report_snapshot_stamp(report, 0), ibt_report_snapshot(first));
    CHECK_TEXT(ibt_report_snapshot_stamp(report, 1), ibt_report_snapshot(second));
    CHECK_TEXT(ibt_report_snapshot_key(report, 0), "src");
    CHECK_TEXT(ibt_report_snapshot_kind(report, 0), "full");
    CHECK_TEXT(ibt_report_snapshot_kind(report, 1), "incremental");
    CHECK_TEXT(ibt_report_snapshot_digest(report, 1), ibt_report_digest(second));
    CHECK_TEXT(ibt_report_snapshot_parent(report, 0), NULL);
    CHECK_TEXT(ibt_report_snapshot_parent(report, 1), ibt_report_snapshot(first));
    CHECK(ibt_report_snapshot_source(report, 0) != NULL && ibt_report_snapshot_source(report, 0)[0] == '/');
    CHECK(ibt_report_snapshot_date(report, 0) < ibt_report_snapshot_date(report, 1));
    CHECK_INT(ibt_report_snapshot_action(report, 0), IBT_ACTION_KEPT);
    CHECK_INT(ibt_report_snapshot_counter(report, 0, IBT_COUNT_ENTRIES), 10);
    CHECK(ibt_report_snapshot_reason(report, 0) != NULL && ibt_report_snapshot_stamp(report, 2) == NULL);
    ibt_report_free(report);

    ibt_options_set_snapshot(options, ibt_report_snapshot(second));
    CHECK_INT(told(ibt_list_snapshots(storage, "src", options, &report, &err), &err), IBT_OK);
    CHECK_INT(ibt_report_snapshot_count(report), 1);
    CHECK(ibt_report_file_count(report) >= 4);
    check_files(report);
    ibt_report_free(report);
    ibt_options_free(options);
}

static void test_refusals(ibt_storage *storage)
{
    ibt_options *options = ibt_options_new();
    ibt_report *report;
    ibt_error *err;

    CHECK_INT(ibt_restore(storage, "src", "newest", NULL, &report, &err), IBT_ERR_EXISTS);
    CHECK_INT(ibt_error_status(err), IBT_ERR_EXISTS);
    CHECK_HAS(ibt_error_message(err), "newest");
    CHECK(report == NULL || ibt_report_status(report) == IBT_ERR_EXISTS);
    ibt_report_free(report);
    ibt_error_free(err);
    CHECK_INT(ibt_restore(storage, "other", "dest", NULL, NULL, NULL), IBT_ERR_NOT_FOUND);
    CHECK_INT(ibt_list_snapshots(storage, "other", NULL, NULL, NULL), IBT_ERR_NOT_FOUND);
    ibt_options_set_snapshot(options, "19990101T000000.000000Z");
    CHECK_INT(ibt_restore(storage, "src", "dest", options, NULL, NULL), IBT_ERR_NOT_FOUND);
    ibt_options_set_as_of(options, 0);
    CHECK_INT(ibt_restore(storage, "src", "dest", options, NULL, NULL), IBT_ERR_NOT_FOUND);
    CHECK_INT(ibt_full_backup(storage, "absent", NULL, NULL, &err), IBT_ERR_IO);
    CHECK_INT(ibt_error_os_code(err), ENOENT);
    CHECK_HAS(ibt_error_path(err), "absent");
    ibt_error_free(err);
    CHECK(!exists("dest"));
    ibt_options_free(options);
}

static void test_enough_changes(ibt_storage *storage)
{
    int calls = 0;
    ibt_options *options = ibt_options_new();

    ibt_options_set_change(options, stop_at_once, &calls, NULL);
    CHECK_INT(ibt_full_backup(storage, "src", options, NULL, NULL), IBT_OK);
    CHECK_INT(calls, 1);
    ibt_options_free(options);
}

/* Counts the changes. */
static int32_t count_change(void *ud, uint32_t what, const ibt_entry *before, const ibt_entry *after)
{
    int *changes = ud;

    CHECK(what == IBT_CHANGE_CREATED ? before == NULL : before != NULL);
    CHECK(after == NULL || ibt_entry_data_size(after) <= ibt_entry_size(after));
    ++*changes;
    return IBT_CALLBACK_OK;
}

/* Backups that make no snapshot: dry runs, and increments without changes. */
static void test_no_snapshot(ibt_storage *storage)
{
    ibt_options *options = ibt_options_new();
    ibt_report *made, *report;
    int changes = 0, files;

    ibt_options_set_skip_unchanged(options, 1);
    CHECK_INT(ibt_incremental_backup(storage, "src", NULL, &made, NULL), IBT_OK);
    files = count_entries("store");
    CHECK_INT(ibt_incremental_backup(storage, "src", options, &report, NULL), IBT_OK);
    CHECK_INT(ibt_report_file_count(report), 0);
    CHECK_TEXT(ibt_report_snapshot(report), ibt_report_snapshot(made));
    CHECK_TEXT(ibt_report_digest(report), ibt_report_digest(made));
    ibt_report_free(report);
    ibt_report_free(made);

    write_file("src/later", "more");
    ibt_options_set_dry_run(options, 1);
    ibt_options_set_change(options, count_change, &changes, NULL);
    CHECK_INT(ibt_incremental_backup(storage, "src", options, &report, NULL), IBT_OK);
    CHECK_INT(changes, 2); /* the file and the directory */
    CHECK_INT(ibt_report_counter(report, IBT_COUNT_CREATED), 1);
    CHECK_INT(ibt_report_file_count(report), 2);
    CHECK_TEXT(ibt_report_file_kind(report, 0), "created");
    CHECK_TEXT(ibt_report_file_path(report, 0), NULL);
    CHECK(ibt_report_file_size(report, 0) > 0);
    CHECK_INT(ibt_report_counter(report, IBT_COUNT_BYTES_WRITTEN), ibt_report_total_size(report));
    CHECK_TEXT(ibt_report_snapshot(report), NULL);
    CHECK_TEXT(ibt_report_digest(report), NULL);
    ibt_report_free(report);
    CHECK_INT(ibt_full_backup(storage, "src", options, NULL, NULL), IBT_OK);
    CHECK_INT(count_entries("store"), files);
    ibt_options_free(options);
}

int main(void)
{
    ibt_storage *storage;
    ibt_report *first, *second;

    check_begin();
    make_source();
    storage = open_storage("store");
    CHECK(!exists("store"));
    CHECK_INT(ibt_incremental_backup(storage, "src", NULL, NULL, NULL), IBT_ERR_NOT_FOUND);
    first = full(storage);
    restore_as(storage, "before", NULL);
    CHECK(same_trees("before", "src") && same_trees("src", "before"));
    change_source();
    second = increment(storage);
    restore_as(storage, "newest", NULL);
    CHECK(same_trees("newest", "src") && same_trees("src", "newest"));
    test_restore_selected(storage, first);
    test_list(storage, first, second);
    test_refusals(storage);
    test_enough_changes(storage);
    test_no_snapshot(storage);
    ibt_storage_free(storage);
    CHECK(strlen(ibt_report_json(second)) > 2); /* a report outlives its storage */
    ibt_report_free(first);
    ibt_report_free(second);
    return check_end();
}
