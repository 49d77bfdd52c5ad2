/* The storage of examples-c that runs commands: it keeps the contract of storages. Whatever command fails, the caller
 * gets its last words, the older snapshots are whole, and the next backup works.
 *   test_command_storage .../tests/c/rclone.sh [STRIDE]: with a stride, only one of so many commands fails. */
#include "../../examples-c/command_storage.c" /* first: it selects the interfaces of the system */

#include "storage_contract.h"

#include <sys/stat.h>

#define KEY "src"

static const char *program;
static unsigned stride = 1;
static ibt_options *options;

static struct commands *open_commands(const char *directory, int create)
{
    char why[300];
    struct commands *storage = open_place(program, directory, create, why, sizeof why);

    if (storage == NULL) {
        fprintf(stderr, "%s: %s\n", directory, why);
        exit(99);
    }
    make_storage(storage);
    return storage;
}

static void make(struct contract_storage *made)
{
    static unsigned number;
    char directory[32];
    struct commands *storage;

    snprintf(directory, sizeof directory, "contract-%u", number++);
    storage = open_commands(directory, 1);
    memset(made, 0, sizeof *made);
    made->storage = storage->handle;
    made->ud = storage;
    made->create = command_create;
    made->write = command_write;
    made->commit = command_commit;
    made->abort = command_abort;
    made->read_at = command_read_at;
    made->remove = command_delete;
}

/* ---- Commands that fail ---- */

/* A way to fail. */
struct fault {
    const char *kind;  /* for rclone.sh */
    const char *verbs; /* the commands that can fail so */
    const char *words; /* in the error */
};

static const struct fault faults[] = {
    {"fail", "lsf cat rcat moveto", "exit status 7: Failed to "},
    {"kill", "lsf cat rcat moveto", "ended by signal 9"},
    {"late", "rcat moveto", "exit status 7: Failed to "},
    {"short", "rcat", " bytes after "},
};

enum { FAULTS = sizeof faults / sizeof *faults };

/* From now on, command number `number` of those that can fail so fails. */
static void arm(unsigned number, const struct fault *fault)
{
    char text[40];

    unlink("count");
    snprintf(text, sizeof text, "%u %s", number, fault->kind);
    setenv("FAULT", text, 1);
    setenv("FAULT_COUNT", "count", 1);
    setenv("FAULT_VERBS", fault->verbs, 1);
}

static void disarm(void)
{
    setenv("FAULT_VERBS", "", 1);
}

/* The number of commands since arm(). */
static unsigned commands_run(void)
{
    FILE *file = fopen("count", "r");
    unsigned lines = 0;
    int letter;

    while (file != NULL && (letter = getc(file)) != EOF)
        lines += letter == '\n';
    if (file != NULL)
        fclose(file);
    return lines;
}

static ibt_status restore(ibt_storage *storage, const char *stamp, const char *dest, ibt_error **err)
{
    ibt_options *choice = ibt_options_new();
    ibt_status status;

    ibt_options_set_snapshot(choice, stamp);
    status = ibt_restore(storage, KEY, dest, choice, NULL, err);
    ibt_options_free(choice);
    return status;
}

/* The plain directory, without a command between, has the older snapshot, and nothing that does not verify. */
static void check_older(const char *stamp)
{
    ibt_storage *plain = open_storage("store");
    ibt_error *err;

    CHECK_INT(told(ibt_verify(plain, KEY, NULL, NULL, &err), &err), IBT_OK);
    CHECK_INT(told(restore(plain, stamp, "older", &err), &err), IBT_OK);
    CHECK(same_trees("first", "older"));
    remove_tree("older");
    ibt_storage_free(plain);
}

/* A new backup works, without any help, and restores exactly. */
static void check_next(void)
{
    struct commands *storage = open_commands("store", 1);
    ibt_error *err;

    CHECK_INT(told(ibt_incremental_backup(storage->handle, KEY, options, NULL, &err), &err), IBT_OK);
    CHECK_INT(told(restore(storage->handle, NULL, "newest", &err), &err), IBT_OK);
    CHECK(same_trees(KEY, "newest"));
    remove_tree("newest");
    ibt_storage_free(storage->handle);
}

/* An operation failed because of a command: the error has the command's last words. */
static void check_words(ibt_status status, const struct fault *fault, ibt_error *err)
{
    CHECK(status < 0);
    CHECK_HAS(ibt_error_message(err), fault->words);
    ibt_error_free(err);
}

/* The store as it was after the full backup. */
static void reset_store(void)
{
    if (exists("store"))
        remove_tree("store");
    CHECK_INT(system("cp -a full store"), 0);
}

/* The first command of an increment fails, then the second, and so on, until no command is left. Returns the number of
 * commands. */
static unsigned sweep_increment(const struct fault *fault, const char *stamp)
{
    unsigned number;

    for (number = 1;; number += stride) {
        struct commands *storage;
        ibt_error *err;
        ibt_status status;

        reset_store();
        storage = open_commands("store", 0);
        arm(number, fault);
        status = ibt_incremental_backup(storage->handle, KEY, options, NULL, &err);
        ibt_storage_free(storage->handle);
        disarm();
        if (commands_run() < number) {
            CHECK_INT(told(status, &err), IBT_OK);
            return number / stride;
        }
        check_words(status, fault, err);
        check_older(stamp);
        if (strcmp(fault->kind, "kill") != 0)
            CHECK_INT(count_prefixed("store", DRAFT_PREFIX), 0);
        check_next();
    }
}

/* The same for the restore of the newest snapshot. A failed restore leaves nothing. */
static unsigned sweep_restore(const struct fault *fault)
{
    unsigned number;

    for (number = 1;; number += stride) {
        struct commands *storage = open_commands("store", 0);
        ibt_error *err;
        ibt_status status;

        arm(number, fault);
        status = restore(storage->handle, NULL, "dest", &err);
        ibt_storage_free(storage->handle);
        disarm();
        CHECK_INT(exists("dest"), status >= 0);
        if (commands_run() < number) {
            CHECK_INT(told(status, &err), IBT_OK);
            CHECK(same_trees(KEY, "dest"));
            remove_tree("dest");
            return number / stride;
        }
        check_words(status, fault, err);
    }
}

static void test_faults(void)
{
    struct commands *storage = open_commands("full", 1);
    ibt_report *report;
    ibt_error *err;
    char stamp[64];
    unsigned i, count = 0;

    make_dir(KEY);
    write_file(KEY "/kept", "kept");
    write_random(KEY "/large", 40000, 1);
    CHECK_INT(told(ibt_full_backup(storage->handle, KEY, options, &report, &err), &err), IBT_OK);
    snprintf(stamp, sizeof stamp, "%s", ibt_report_snapshot(report));
    ibt_report_free(report);
    ibt_storage_free(storage->handle);
    CHECK_INT(system("cp -a src first"), 0);
    write_random(KEY "/large", 50000, 2);
    write_file(KEY "/new", "new");
    for (i = 0; i < FAULTS; i++)
        count += sweep_increment(&faults[i], stamp);
    for (i = 0; i < 2; i++)
        count += sweep_restore(&faults[i]);
    printf("%u commands failed\n", count);
    CHECK(count > 50 / stride);
}

/* ---- Programs and places that are not there ---- */

static void fails_with(const char *with, const char *directory, ibt_status wanted, const char *reason)
{
    char why[300] = "";
    ibt_storage *storage = command_storage_open(with, directory, 0, why, sizeof why);
    ibt_error *err;

    CHECK_INT(ibt_list_snapshots(storage, KEY, NULL, NULL, &err), wanted);
    CHECK_HAS(ibt_error_message(err), reason);
    ibt_error_free(err);
    ibt_storage_free(storage);
}

static void test_absent(void)
{
    char why[300] = "", name[] = "object";
    struct commands *storage;
    uint8_t byte;
    size_t got = 0;

    CHECK(command_storage_open("./absent-program", "store", 1, why, sizeof why) == NULL);
    /* The reason of the system follows, but not under valgrind, which has its own way to start a program. */
    CHECK_HAS(why, "cannot run ./absent-program");
    fails_with("./absent-program", "store", IBT_ERR_STORAGE, "cannot run ./absent-program");
    fails_with(program, "absent", IBT_ERR_NOT_FOUND, "lsf: exit status 3: Failed to lsf: directory not found");
    CHECK(!exists("absent"));

    /* An object that is gone is lost. If all is gone, nothing is known to be lost. */
    storage = open_commands("place", 1);
    CHECK_INT(command_read_at(storage, name, 0, &byte, 1, &got), IBT_ERR_NOT_FOUND);
    CHECK_INT(rmdir("place"), 0);
    CHECK_INT(command_read_at(storage, name, 0, &byte, 1, &got), IBT_CALLBACK_FAILED);
    ibt_storage_free(storage->handle);
}

/* A name that is taken between the look and the rename keeps its object. */
static void test_race(void)
{
    struct commands *storage = open_commands("race", 1);
    struct draft *draft;
    void *stream;

    CHECK_INT(command_create(storage, "object", &stream), IBT_CALLBACK_OK);
    CHECK_INT(command_write(storage, stream, (const uint8_t *)"mine", 4), IBT_CALLBACK_OK);
    draft = stream;
    CHECK_INT(finish(storage, &draft->command), 0);
    write_file("race/object", "theirs, and longer");
    CHECK_INT(rename_draft(storage, draft), 1);
    CHECK_INT(has_size(storage, "object", 4), 0);
    CHECK_HAS(storage->why, "the object has 18 bytes after 4 were written");
    CHECK_INT(has_size(storage, "object", 18), 1);
    free(draft);
    ibt_storage_free(storage->handle);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    program = argv[1];
    if (argc > 2)
        stride = (unsigned)atoi(argv[2]);
    check_begin();
    options = ibt_options_new();
    ibt_options_set_threads(options, 1);
    storage_contract(make);
    test_faults();
    test_absent();
    test_race();
    ibt_options_free(options);
    return check_end();
}
