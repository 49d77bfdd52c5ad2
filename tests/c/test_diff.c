/* Entries one at a time, accessors of a snapshot, the differences of two snapshots, keys, and notes. */
#include "check.h"

#include <stdio.h>
#include <string.h>

static ibt_snapshot *open_snapshot(ibt_storage *storage, const char *key, const char *stamp)
{
    ibt_options *options = ibt_options_new();
    ibt_snapshot *snapshot;
    ibt_error *err;

    ibt_options_set_snapshot(options, stamp);
    CHECK_INT(told(ibt_snapshot_open(storage, key, options, &snapshot, &err), &err), IBT_OK);
    ibt_options_free(options);
    return snapshot;
}

static void back_up(ibt_storage *storage, const char *key, int full, char stamp[64])
{
    ibt_options *options = ibt_options_new();
    ibt_report *report;
    ibt_error *err;

    ibt_options_set_key(options, key);
    ibt_options_set_label(options, "tag", "one");
    ibt_options_set_cache_dir(options, "");
    CHECK_INT(told(full ? ibt_full_backup(storage, "src", options, &report, &err)
                        : ibt_incremental_backup(storage, "src", options, &report, &err), &err), IBT_OK);
    snprintf(stamp, 64, "%s", ibt_report_snapshot(report));
    ibt_report_free(report);
    ibt_options_free(options);
}

static void test_accessors(ibt_snapshot *snapshot, const char *stamp)
{
    CHECK_TEXT(ibt_snapshot_stamp(snapshot), stamp);
    CHECK_TEXT(ibt_snapshot_key(snapshot), "k");
    CHECK_TEXT(ibt_snapshot_kind(snapshot), "full");
    CHECK(strncmp(ibt_snapshot_digest(snapshot), "blake3:", 7) == 0);
    CHECK_HAS(ibt_snapshot_source(snapshot), "/src");
    CHECK(ibt_snapshot_date(snapshot) > 0);
    CHECK_INT(ibt_snapshot_counter(snapshot, IBT_COUNT_ENTRIES), 5);
    CHECK_INT(ibt_snapshot_counter(snapshot, IBT_COUNT_PROBLEMS), 0);
    CHECK_INT(ibt_snapshot_counter(snapshot, -1), 0);
    CHECK_INT(ibt_snapshot_label_count(snapshot), 1);
    CHECK_TEXT(ibt_snapshot_label_name(snapshot, 0), "tag");
    CHECK_TEXT(ibt_snapshot_label_value(snapshot, 0), "one");
    CHECK(ibt_snapshot_label_name(snapshot, 1) == NULL && ibt_snapshot_label_value(snapshot, (size_t)-1) == NULL);
}

static void test_next(ibt_snapshot *snapshot)
{
    static const char *const paths[] = { "", "a", "d", "d/x", "z" };
    const ibt_entry *entry;
    ibt_error *err;
    size_t round, i;

    for (round = 0; round < 2; round++) {
        for (i = 0; i < sizeof paths / sizeof paths[0]; i++) {
            CHECK_INT(told(ibt_snapshot_next(snapshot, &entry, &err), &err), IBT_OK);
            CHECK_TEXT(ibt_entry_path(entry), paths[i]);
            CHECK_TEXT(ibt_entry_path(entry), paths[i]);
        }
        for (i = 0; i < 2; i++) {
            CHECK_INT(ibt_snapshot_next(snapshot, &entry, NULL), IBT_OK);
            CHECK(entry == NULL);
        }
        CHECK_INT(ibt_snapshot_rewind(snapshot, NULL), IBT_OK);
    }
    CHECK_INT(ibt_snapshot_next(snapshot, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_snapshot_next(snapshot, &entry, NULL), IBT_OK);
    CHECK_TEXT(ibt_entry_path(entry), "");
}

/* The changes as text, such as "created:x ". */
struct seen {
    char text[256];
    ibt_snapshot *busy; /* used in the callback, if not NULL */
};

static int32_t see(void *ud, uint32_t what, const ibt_entry *before, const ibt_entry *after)
{
    struct seen *seen = ud;
    const char *path = ibt_entry_path(after != NULL ? after : before);
    size_t length = strlen(seen->text);
    const ibt_entry *entry;

    CHECK((before == NULL) == ((what & IBT_CHANGE_CREATED) != 0));
    CHECK((after == NULL) == ((what & IBT_CHANGE_DELETED) != 0));
    snprintf(seen->text + length, sizeof seen->text - length, "%u:%s ", (unsigned)what, path);
    if (seen->busy != NULL)
        CHECK_INT(ibt_snapshot_next(seen->busy, &entry, NULL), IBT_ERR_BUSY);
    return IBT_CALLBACK_OK;
}

static void test_diff(ibt_storage *storage, const char *first, const char *second)
{
    ibt_snapshot *before = open_snapshot(storage, "k", first), *after = open_snapshot(storage, "k", second);
    ibt_storage *elsewhere;
    ibt_options *options = ibt_options_new();
    struct seen seen;
    ibt_report *report;
    ibt_error *err;

    memset(&seen, 0, sizeof seen);
    seen.busy = after;
    ibt_options_set_change(options, see, &seen, NULL);
    CHECK_INT(told(ibt_diff(before, after, options, &report, &err), &err), IBT_OK);
    CHECK_TEXT(seen.text, "8: 12:a 1:n 2:z ");
    CHECK_INT(ibt_report_counter(report, IBT_COUNT_CREATED), 1);
    CHECK_INT(ibt_report_counter(report, IBT_COUNT_DELETED), 1);
    CHECK_INT(ibt_report_counter(report, IBT_COUNT_MODIFIED), 1);
    CHECK_INT(ibt_report_counter(report, IBT_COUNT_METADATA), 1);
    CHECK_INT(ibt_report_counter(report, IBT_COUNT_UNCHANGED), 2);
    CHECK_TEXT(ibt_report_snapshot(report), second);
    CHECK_TEXT(ibt_report_snapshot_stamp(report, 0), first);
    ibt_report_free(report);

    CHECK_INT(ibt_diff(before, NULL, NULL, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_diff(before, before, NULL, NULL, &err), IBT_ERR_BUSY);
    ibt_error_free(err);
    ibt_options_add_path(options, "nowhere");
    CHECK_INT(ibt_diff(before, after, options, NULL, NULL), IBT_ERR_NOT_FOUND);
    ibt_options_set_dry_run(options, 1);
    CHECK_INT(ibt_diff(before, after, options, NULL, NULL), IBT_ERR_INVALID_ARG);
    ibt_options_free(options);

    /* Two snapshots of two storages, both of which are gone. */
    ibt_snapshot_free(after);
    CHECK_INT(ibt_storage_open_default(&elsewhere, NULL), IBT_OK);
    after = open_snapshot(elsewhere, "l", NULL);
    ibt_storage_free(elsewhere);
    CHECK_INT(ibt_diff(before, after, NULL, &report, NULL), IBT_OK);
    CHECK_TEXT(ibt_report_key(report), "l");
    CHECK_INT(ibt_report_counter(report, IBT_COUNT_DELETED), 1);
    ibt_report_free(report);
    ibt_snapshot_free(before);
    ibt_snapshot_free(after);
}

struct keys {
    char text[64];
    int32_t answer;
};

static int32_t add_key(void *ud, const char *key, uint64_t snapshots)
{
    struct keys *keys = ud;
    size_t length = strlen(keys->text);

    snprintf(keys->text + length, sizeof keys->text - length, "%s:%d ", key, (int)snapshots);
    return keys->answer;
}

static void test_keys(ibt_storage *storage)
{
    struct keys keys = { "", IBT_CALLBACK_OK }, stopped = { "", IBT_CALLBACK_STOP }, failed = { "", 0 };
    ibt_error *err;

    CHECK_INT(told(ibt_list_keys(storage, add_key, &keys, &err), &err), IBT_OK);
    CHECK_TEXT(keys.text, "k:2 m:1 ");
    CHECK_INT(ibt_list_keys(storage, add_key, &stopped, NULL), IBT_OK);
    CHECK_TEXT(stopped.text, "k:2 ");
    CHECK_INT(ibt_list_keys(storage, add_key, &failed, NULL), IBT_ERR_CANCELLED);
    CHECK_INT(ibt_list_keys(storage, NULL, NULL, &err), IBT_ERR_INVALID_ARG);
    CHECK_TEXT(ibt_error_message(err), "cannot list keys: key is NULL");
    ibt_error_free(err);
    storage = open_storage("absent");
    CHECK_INT(ibt_list_keys(storage, add_key, &keys, NULL), IBT_ERR_NOT_FOUND);
    ibt_storage_free(storage);
}

/* The store inside of the source is left out with a note; a state that was lost is no note. */
static void test_notes(void)
{
    ibt_storage *storage = open_storage("src/inside");
    ibt_report *report;
    ibt_error *err;

    CHECK_INT(told(ibt_full_backup(storage, "src", NULL, &report, &err), &err), IBT_OK);
    CHECK_INT(ibt_report_problem_count(report), 1);
    CHECK_INT(ibt_report_problem_kind(report, 0), IBT_PROBLEM_SKIPPED);
    CHECK_INT(ibt_report_problem_is_note(report, 0), 1);
    CHECK_INT(ibt_report_problem_is_note(report, 1), 0);
    CHECK_HAS(ibt_report_json(report), "\"note\":true");
    ibt_report_free(report);
    write_file("src/inside/src.state.20200101T000000.000000Z.json.zst", "damaged");
    CHECK_INT(ibt_list_snapshots(storage, "src", NULL, &report, NULL), IBT_PARTIAL);
    CHECK_INT(ibt_report_problem_is_note(report, 0), 0);
    ibt_report_free(report);
    ibt_storage_free(storage);
}

int main(void)
{
    char first[64], second[64], other[64];
    ibt_storage *storage, *elsewhere;
    ibt_snapshot *snapshot;

    check_begin();
    make_dir("src");
    make_dir("src/d");
    write_file("src/a", "a");
    write_file("src/d/x", "x");
    write_file("src/z", "z");
    storage = open_storage("store");
    back_up(storage, "k", 1, first);
    snapshot = open_snapshot(storage, "k", first);
    test_accessors(snapshot, first);
    test_next(snapshot);
    remove_tree("src/z");
    write_file("src/n", "n");
    write_file("src/a", "other");
    back_up(storage, "k", 0, second);
    back_up(storage, "m", 1, other);
    CHECK_INT(ibt_storage_open_default(&elsewhere, NULL), IBT_OK);
    back_up(elsewhere, "l", 1, other);
    ibt_storage_free(elsewhere);
    test_diff(storage, first, second);
    test_keys(storage);
    ibt_snapshot_free(snapshot);
    ibt_storage_free(storage);
    CHECK(!exists("cache") || count_entries("cache") <= 0);
    test_notes();
    return check_end();
}
