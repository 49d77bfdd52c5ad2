/* Labels: refused names and values, labels of a backup in reports, rules and filters. */
#include "check.h"

#include <stdio.h>
#include <string.h>

/* A storage without backups, for operations that never get as far as making one. */
static ibt_storage *empty;

typedef ibt_status (*label_setter)(ibt_options *, const char *, const char *);

/* Each setter checks names and values in the same way. After a refusal, an operation names the setter. */
static void test_refused(label_setter setter, const char *name)
{
    static char long_text[4097];
    static const char *const names[] = { NULL, "", "a=b", "a\nb", "\177", "\377", long_text };
    ibt_options *options;
    ibt_error *err;
    size_t i;

    memset(long_text, 'x', sizeof long_text - 1);
    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        options = ibt_options_new();
        CHECK_INT(setter(options, names[i], "value"), IBT_ERR_INVALID_ARG);
        CHECK_INT(ibt_list_snapshots(empty, NULL, options, NULL, &err), IBT_ERR_INVALID_ARG);
        CHECK_HAS(ibt_error_message(err), name);
        ibt_error_free(err);
        ibt_options_free(options);
    }
    options = ibt_options_new();
    CHECK_INT(setter(options, "a", long_text), IBT_ERR_INVALID_ARG);
    ibt_options_free(options);
    options = ibt_options_new();
    CHECK_INT(setter(options, "a", "\303"), IBT_ERR_INVALID_ARG);
    ibt_options_free(options);
    options = ibt_options_new();
    CHECK_INT(setter(options, "a", long_text + 1), IBT_OK);
    CHECK_INT(setter(options, "a b-\303\251", "\n\001\303\251"), IBT_OK);
    for (i = 2; i < 64; i++) {
        char text[16];

        snprintf(text, sizeof text, "%d", (int)i);
        CHECK_INT(setter(options, text, ""), IBT_OK);
    }
    CHECK_INT(setter(options, "one more", ""), IBT_ERR_INVALID_ARG);
    ibt_options_free(options);
}

static void test_where_labels_are_of_use(void)
{
    ibt_options *labelling = ibt_options_new(), *filtering = ibt_options_new(), *keeping = ibt_options_new();

    ibt_options_set_label(labelling, "a", "b");
    ibt_options_add_label_filter(filtering, "a", NULL);
    ibt_options_add_keep_label(keeping, "a", NULL);
    CHECK_INT(ibt_list_snapshots(empty, "key", labelling, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_restore(empty, "key", "dest", labelling, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_consolidate(empty, "key", labelling, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_full_backup(empty, "absent", filtering, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_verify(empty, "key", filtering, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_prune(empty, "key", filtering, NULL, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_prune(empty, "key", keeping, NULL, NULL), IBT_ERR_NOT_FOUND);
    CHECK_INT(ibt_options_set_label(labelling, "a", NULL), IBT_OK);
    CHECK_INT(ibt_options_set_label(labelling, "never set", NULL), IBT_OK);
    CHECK_INT(ibt_list_snapshots(empty, "key", labelling, NULL, NULL), IBT_ERR_NOT_FOUND);
    ibt_options_free(labelling);
    ibt_options_free(filtering);
    ibt_options_free(keeping);
}

static void back_up(ibt_storage *storage, int full, const char *name, const char *value)
{
    ibt_options *options = ibt_options_new();
    ibt_error *err;

    if (name != NULL)
        ibt_options_set_label(options, name, value);
    CHECK_INT(told(full ? ibt_full_backup(storage, "src", options, NULL, &err)
                        : ibt_incremental_backup(storage, "src", options, NULL, &err), &err), IBT_OK);
    ibt_options_free(options);
}

static size_t listed(ibt_storage *storage, const char *name, const char *value)
{
    ibt_options *options = ibt_options_new();
    ibt_report *report;
    ibt_error *err;
    size_t count;

    ibt_options_add_label_filter(options, name, value);
    CHECK_INT(told(ibt_list_snapshots(storage, "src", options, &report, &err), &err), IBT_OK);
    count = ibt_report_snapshot_count(report);
    ibt_report_free(report);
    ibt_options_free(options);
    return count;
}

static void test_labels_of_snapshots(void)
{
    ibt_storage *storage = open_storage("store");
    ibt_options *options = ibt_options_new();
    ibt_report *report;
    ibt_error *err;

    make_dir("src");
    write_file("src/a", "one");
    back_up(storage, 1, "pin", "for ever");
    back_up(storage, 0, "tag", "");
    back_up(storage, 0, NULL, NULL);
    CHECK_INT(told(ibt_list_snapshots(storage, "src", NULL, &report, &err), &err), IBT_OK);
    CHECK_INT(ibt_report_snapshot_label_count(report, 0), 1);
    CHECK_TEXT(ibt_report_snapshot_label_name(report, 0, 0), "pin");
    CHECK_TEXT(ibt_report_snapshot_label_value(report, 0, 0), "for ever");
    CHECK_TEXT(ibt_report_snapshot_label_value(report, 1, 0), "");
    CHECK_TEXT(ibt_report_snapshot_label_name(report, 0, 1), NULL);
    CHECK_TEXT(ibt_report_snapshot_label_value(report, 0, (size_t)-1), NULL);
    CHECK_INT(ibt_report_snapshot_label_count(report, 2), 0);
    CHECK_INT(ibt_report_snapshot_label_count(report, 3), 0);
    CHECK_HAS(ibt_report_json(report), "\"labels\":{\"pin\":\"for ever\"}");
    ibt_report_free(report);
    CHECK_INT(listed(storage, "pin", NULL), 1);
    CHECK_INT(listed(storage, "pin", "for now"), 0);
    CHECK_INT(listed(storage, "tag", ""), 1);

    ibt_options_add_keep_label(options, "pin", NULL);
    CHECK_INT(told(ibt_prune(storage, "src", options, &report, &err), &err), IBT_OK);
    CHECK_TEXT(ibt_report_snapshot_reason(report, 0), "label pin");
    CHECK_INT(ibt_report_snapshot_action(report, 1), IBT_ACTION_REMOVED);
    CHECK_TEXT(ibt_report_snapshot_reason(report, 2), "newest");
    ibt_report_free(report);
    ibt_options_free(options);
    ibt_storage_free(storage);
}

int main(void)
{
    check_begin();
    CHECK_INT(ibt_storage_open_default(&empty, NULL), IBT_OK);
    test_refused(ibt_options_set_label, "ibt_options_set_label");
    test_refused(ibt_options_add_keep_label, "ibt_options_add_keep_label");
    test_refused(ibt_options_add_label_filter, "ibt_options_add_label_filter");
    test_where_labels_are_of_use();
    ibt_storage_free(empty);
    test_labels_of_snapshots();
    return check_end();
}
