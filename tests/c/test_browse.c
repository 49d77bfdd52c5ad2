/* Opens a snapshot and looks into it: lists, parts of files, callbacks that end a call, handles freed early. */
#include "check.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void make_source(void)
{
    make_dir("src");
    make_dir("src/dir");
    make_dir("src/dir/deep");
    make_dir("src/empty");
    write_file("src/a.txt", "0123456789");
    write_file("src/dir/b", "b");
    write_file("src/dir/deep/c", "c");
    write_random("src/large", 9000000, 5);
    if (symlink("a.txt", "src/link") != 0)
        perror("test");
}

/* The arguments that callbacks were called with, and their answer. */
struct seen {
    int32_t answer;
    int calls;
    char paths[256];
    char bytes[64];
    size_t length;
    ibt_snapshot *snapshot; /* to be called from the callback, if not NULL */
    ibt_storage *storage;
    ibt_status list, read, storage_status;
};

static struct seen answering(int32_t answer)
{
    struct seen seen;

    memset(&seen, 0, sizeof seen);
    seen.answer = answer;
    return seen;
}

static int32_t no_entry(void *ud, const ibt_entry *entry)
{
    (void)ud;
    CHECK(entry == NULL);
    return IBT_CALLBACK_FAILED;
}

static int32_t no_bytes(void *ud, const uint8_t *data, size_t len)
{
    (void)ud;
    (void)data;
    CHECK_INT(len, 0);
    return IBT_CALLBACK_FAILED;
}

static void call_back(struct seen *seen)
{
    if (seen->snapshot == NULL)
        return;
    seen->list = ibt_snapshot_list(seen->snapshot, "", 0, no_entry, NULL, NULL);
    seen->read = ibt_snapshot_read(seen->snapshot, "a.txt", 0, 1, no_bytes, NULL, NULL);
    seen->storage_status = ibt_list_snapshots(seen->storage, NULL, NULL, NULL, NULL);
}

static int32_t see_entry(void *ud, const ibt_entry *entry)
{
    struct seen *seen = ud;

    seen->calls++;
    strncat(seen->paths, ibt_entry_path(entry), sizeof seen->paths - strlen(seen->paths) - 2);
    strcat(seen->paths, "|");
    call_back(seen);
    return seen->answer;
}

static int32_t see_bytes(void *ud, const uint8_t *data, size_t len)
{
    struct seen *seen = ud;

    seen->calls++;
    CHECK(len > 0);
    if (seen->length + len < sizeof seen->bytes)
        memcpy(seen->bytes + seen->length, data, len);
    seen->length += len;
    call_back(seen);
    return seen->answer;
}

static ibt_snapshot *open_newest(ibt_storage *storage)
{
    ibt_snapshot *snapshot;
    ibt_error *err;

    CHECK_INT(told(ibt_snapshot_open(storage, "src", NULL, &snapshot, &err), &err), IBT_OK);
    CHECK(snapshot != NULL);
    return snapshot;
}

static void test_list(ibt_snapshot *snapshot)
{
    static const struct { const char *path; uint32_t depth; const char *wanted; } lists[] = {
        { "", 0, "|" },
        { "", 1, "|a.txt|dir|empty|large|link|" },
        { "/dir/", 1, "dir|dir/b|dir/deep|" },
        { "dir", UINT32_MAX, "dir|dir/b|dir/deep|dir/deep/c|" },
        { "a.txt", 5, "a.txt|" },
        { "//", UINT32_MAX, "|a.txt|dir|dir/b|dir/deep|dir/deep/c|empty|large|link|" },
    };
    size_t i;

    for (i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct seen seen = answering(IBT_CALLBACK_OK);
        ibt_error *err;

        CHECK_INT(told(ibt_snapshot_list(snapshot, lists[i].path, lists[i].depth, see_entry, &seen, &err),
                       &err), IBT_OK);
        CHECK_TEXT(seen.paths, lists[i].wanted);
    }
}

static void read_text(ibt_snapshot *snapshot, const char *path, uint64_t offset, uint64_t len,
                      const char *wanted)
{
    struct seen seen = answering(IBT_CALLBACK_OK);
    ibt_error *err;

    CHECK_INT(told(ibt_snapshot_read(snapshot, path, offset, len, see_bytes, &seen, &err), &err), IBT_OK);
    CHECK_INT(seen.length, strlen(wanted));
    CHECK_TEXT(seen.bytes, wanted);
}

static void test_read(ibt_snapshot *snapshot)
{
    struct seen seen = answering(IBT_CALLBACK_OK);

    read_text(snapshot, "a.txt", 0, UINT64_MAX, "0123456789");
    read_text(snapshot, "/a.txt", 3, 4, "3456");
    read_text(snapshot, "a.txt", 8, UINT64_MAX, "89");
    read_text(snapshot, "a.txt", 10, 1, "");
    read_text(snapshot, "a.txt", UINT64_MAX, UINT64_MAX, "");
    read_text(snapshot, "a.txt", 5, 0, "");
    CHECK_INT(ibt_snapshot_read(snapshot, "large", 0, UINT64_MAX, see_bytes, &seen, NULL), IBT_OK);
    CHECK_INT(seen.length, 9000000);
}

static void test_answers(ibt_snapshot *snapshot)
{
    static const int32_t answers[] = { IBT_CALLBACK_STOP, IBT_CALLBACK_FAILED, -5 };
    size_t i;

    for (i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct seen seen = answering(answers[i]);
        ibt_status wanted = answers[i] == IBT_CALLBACK_STOP ? IBT_OK : IBT_ERR_CANCELLED;
        ibt_error *err;

        CHECK_INT(ibt_snapshot_list(snapshot, "", 1, see_entry, &seen, &err), wanted);
        CHECK_INT(ibt_error_status(err), wanted);
        ibt_error_free(err);
        CHECK_INT(ibt_snapshot_read(snapshot, "large", 0, UINT64_MAX, see_bytes, &seen, NULL), wanted);
        CHECK_INT(seen.calls, 2);
    }
}

static void test_refusals(ibt_storage *storage, ibt_snapshot *snapshot)
{
    static const char *const odd[] = { ".", "..", "dir/../a.txt", "dir//b", "./a.txt" };
    struct seen seen = answering(IBT_CALLBACK_OK);
    ibt_snapshot *none = snapshot;
    ibt_error *err;
    size_t i;

    CHECK_INT(ibt_snapshot_open(storage, NULL, NULL, &none, NULL), IBT_ERR_INVALID_ARG);
    CHECK(none == NULL);
    CHECK_INT(ibt_snapshot_open(storage, "src", NULL, NULL, &err), IBT_ERR_INVALID_ARG);
    CHECK_HAS(ibt_error_message(err), "out is NULL");
    ibt_error_free(err);
    none = snapshot;
    CHECK_INT(ibt_snapshot_open(storage, "other", NULL, &none, NULL), IBT_ERR_NOT_FOUND);
    CHECK(none == NULL);
    CHECK_INT(ibt_snapshot_open(storage, "a/b", NULL, &none, NULL), IBT_ERR_INVALID_ARG);
    for (i = 0; i < sizeof odd / sizeof *odd; i++) {
        CHECK_INT(ibt_snapshot_list(snapshot, odd[i], 0, see_entry, &seen, NULL), IBT_ERR_INVALID_ARG);
        CHECK_INT(ibt_snapshot_read(snapshot, odd[i], 0, 1, see_bytes, &seen, NULL), IBT_ERR_INVALID_ARG);
    }
    CHECK_INT(ibt_snapshot_list(snapshot, NULL, 0, see_entry, &seen, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_snapshot_list(snapshot, "", 0, NULL, &seen, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_snapshot_read(snapshot, NULL, 0, 1, see_bytes, &seen, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_snapshot_read(snapshot, "a.txt", 0, 1, NULL, &seen, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_snapshot_read(snapshot, "dir", 0, 1, see_bytes, &seen, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_snapshot_read(snapshot, "", 0, 1, see_bytes, &seen, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_snapshot_read(snapshot, "absent", 0, 1, see_bytes, &seen, NULL), IBT_ERR_NOT_FOUND);
    CHECK_INT(ibt_snapshot_list(snapshot, "dir/absent", 0, see_entry, &seen, &err), IBT_ERR_NOT_FOUND);
    CHECK_TEXT(ibt_error_path(err), "dir/absent");
    ibt_error_free(err);
    CHECK_INT(seen.calls, 0);
}

/* Opening uses the selector and the expected digest, and refuses options that it does not use. */
static void test_options(ibt_storage *storage, const char *first, const char *second)
{
    static const char zeros[] = "blake3:0000000000000000000000000000000000000000000000000000000000000000";
    ibt_options *options = ibt_options_new();
    ibt_snapshot *snapshot;

    ibt_options_set_snapshot(options, first);
    CHECK_INT(ibt_snapshot_open(storage, "src", options, &snapshot, NULL), IBT_OK);
    CHECK_TEXT(ibt_snapshot_stamp(snapshot), first);
    CHECK(strcmp(first, second) != 0);
    ibt_snapshot_free(snapshot);
    ibt_options_set_expected_digest(options, zeros);
    CHECK_INT(ibt_snapshot_open(storage, "src", options, &snapshot, NULL), IBT_ERR_MISMATCH);
    CHECK(snapshot == NULL);
    ibt_options_free(options);

    options = ibt_options_new();
    ibt_options_add_path(options, "dir");
    CHECK_INT(ibt_snapshot_open(storage, "src", options, &snapshot, NULL), IBT_ERR_INVALID_ARG);
    ibt_options_free(options);
    options = ibt_options_new();
    ibt_options_set_dry_run(options, 1);
    CHECK_INT(ibt_snapshot_open(storage, "src", options, &snapshot, NULL), IBT_ERR_INVALID_ARG);
    ibt_options_free(options);
}

/* A list does not use the storage, but a read does. During both, another call with the snapshot is refused. */
static void test_re_entry(ibt_storage *storage, ibt_snapshot *snapshot)
{
    struct seen seen = answering(IBT_CALLBACK_OK);

    seen.snapshot = snapshot;
    seen.storage = storage;
    CHECK_INT(ibt_snapshot_list(snapshot, "", 0, see_entry, &seen, NULL), IBT_OK);
    CHECK_INT(seen.list, IBT_ERR_BUSY);
    CHECK_INT(seen.read, IBT_ERR_BUSY);
    CHECK_INT(seen.storage_status, IBT_OK);
    CHECK_INT(ibt_snapshot_read(snapshot, "a.txt", 0, 1, see_bytes, &seen, NULL), IBT_OK);
    CHECK_INT(seen.list, IBT_ERR_BUSY);
    CHECK_INT(seen.read, IBT_ERR_BUSY);
    CHECK_INT(seen.storage_status, IBT_ERR_BUSY);
    CHECK_INT(seen.calls, 2);
}

static int32_t free_it(void *ud, const ibt_entry *entry)
{
    ibt_snapshot **snapshot = ud;

    ibt_snapshot_free(*snapshot);
    *snapshot = NULL;
    CHECK(ibt_entry_path(entry) != NULL);
    return IBT_CALLBACK_OK;
}

static int32_t free_it_too(void *ud, const uint8_t *data, size_t len)
{
    ibt_snapshot **snapshot = ud;

    ibt_snapshot_free(*snapshot);
    *snapshot = NULL;
    CHECK(data[len - 1] == data[len - 1]);
    return IBT_CALLBACK_OK;
}

static int32_t read_while_storage_is_busy(void *ud, const ibt_progress *now)
{
    struct seen seen = answering(IBT_CALLBACK_OK);
    ibt_snapshot *snapshot = ud;

    (void)now;
    CHECK_INT(ibt_snapshot_list(snapshot, "", 0, see_entry, &seen, NULL), IBT_OK);
    CHECK_INT(ibt_snapshot_read(snapshot, "a.txt", 0, 1, see_bytes, &seen, NULL), IBT_ERR_BUSY);
    return IBT_CALLBACK_OK;
}

static void test_lifetimes(ibt_storage *storage)
{
    ibt_snapshot *snapshot = open_newest(storage);
    ibt_snapshot *second = open_newest(storage);
    ibt_snapshot *third = open_newest(storage);
    ibt_options *options = ibt_options_new();

    ibt_options_set_progress(options, read_while_storage_is_busy, third, NULL);
    CHECK_INT(ibt_restore(storage, "src", "restored", options, NULL, NULL), IBT_OK);
    ibt_options_free(options);
    ibt_storage_free(storage);
    CHECK_INT(ibt_snapshot_list(snapshot, "", UINT32_MAX, free_it, &snapshot, NULL), IBT_OK);
    CHECK(snapshot == NULL);
    CHECK_INT(ibt_snapshot_read(second, "a.txt", 0, 4, free_it_too, &second, NULL), IBT_OK);
    CHECK(second == NULL);
    read_text(third, "dir/deep/c", 0, UINT64_MAX, "c");
    ibt_snapshot_free(third);
}

static void test_default_storage(void)
{
    ibt_snapshot *snapshot;
    ibt_storage *storage;

    CHECK_INT(ibt_storage_open_default(&storage, NULL), IBT_OK);
    CHECK_INT(ibt_full_backup(storage, "src", NULL, NULL, NULL), IBT_OK);
    snapshot = open_newest(storage);
    ibt_storage_free(storage);
    read_text(snapshot, "dir/b", 0, UINT64_MAX, "b");
    ibt_snapshot_free(snapshot);
}

static void test_lost_files(void)
{
    ibt_storage *storage = open_storage("lost");
    struct seen seen = answering(IBT_CALLBACK_OK);
    ibt_report *report;
    ibt_snapshot *snapshot;
    ibt_error *err;
    size_t i;

    CHECK_INT(ibt_full_backup(storage, "src", NULL, &report, NULL), IBT_OK);
    for (i = 0; i < ibt_report_file_count(report); i++)
        if (strcmp(ibt_report_file_kind(report, i), "full") == 0)
            remove_tree(ibt_report_file_path(report, i));
    ibt_report_free(report);
    snapshot = open_newest(storage);
    CHECK_INT(ibt_snapshot_read(snapshot, "a.txt", 0, 1, see_bytes, &seen, &err), IBT_ERR_MISSING);
    CHECK_HAS(ibt_error_path(err), "src.full.");
    ibt_error_free(err);
    CHECK_INT(ibt_snapshot_list(snapshot, "", 1, see_entry, &seen, NULL), IBT_OK);
    ibt_snapshot_free(snapshot);
    ibt_storage_free(storage);
}

int main(void)
{
    ibt_storage *storage;
    ibt_report *first, *second;
    ibt_snapshot *snapshot;

    check_begin();
    make_source();
    storage = open_storage("store");
    CHECK_INT(ibt_full_backup(storage, "src", NULL, &first, NULL), IBT_OK);
    write_random("src/large", 9000000, 6);
    CHECK_INT(ibt_incremental_backup(storage, "src", NULL, &second, NULL), IBT_OK);
    snapshot = open_newest(storage);
    CHECK_TEXT(ibt_snapshot_stamp(snapshot), ibt_report_snapshot(second));
    test_list(snapshot);
    test_read(snapshot);
    test_answers(snapshot);
    test_refusals(storage, snapshot);
    test_options(storage, ibt_report_snapshot(first), ibt_report_snapshot(second));
    test_re_entry(storage, snapshot);
    ibt_snapshot_free(snapshot);
    test_lifetimes(storage);
    ibt_report_free(first);
    ibt_report_free(second);
    test_default_storage();
    test_lost_files();
    return check_end();
}
