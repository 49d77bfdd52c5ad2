/* The first call of a storage fails, then its second, and so on, until the operation succeeds. Each time the caller
 * gets the reason, nothing is half done, and the next run works. */
#include "check.h"

#include "../../examples-c/memory_storage.c"

#include <stdio.h>

enum { CREATE = 1, WRITE = 2, COMMIT = 4, READ = 8, LIST = 16, DELETE = 32, LOCK = 64, ANY = 127 };

/* How a call fails. */
struct fault {
    int32_t answer;
    int os_code; /* 0: the call gives no reason */
    int belied;  /* a commit does its work and then fails */
};

/* A storage in memory in which one call fails. */
struct faulty {
    struct memory *memory;
    ibt_storage *handle;
    struct fault fault;
    int which;          /* the functions whose calls are counted */
    int left;           /* number of calls up to the one that fails; 0 if none fails */
    int streams, locks; /* begun and not ended yet */
};

static struct faulty faulty;

static int fails(int function)
{
    if ((faulty.which & function) == 0 || faulty.left == 0 || --faulty.left > 0)
        return 0;
    if (faulty.fault.os_code != 0)
        ibt_storage_fail(faulty.handle, faulty.fault.os_code, "the tape tore");
    return 1;
}

static int32_t create(void *ud, const char *name, void **stream)
{
    int32_t answer;

    if (fails(CREATE))
        return faulty.fault.answer;
    answer = memory_create(ud, name, stream);
    faulty.streams += answer > 0;
    CHECK(faulty.streams <= 4);
    return answer;
}

static int32_t append(void *ud, void *stream, const uint8_t *data, size_t len)
{
    CHECK(len > 0);
    return fails(WRITE) ? faulty.fault.answer : memory_write(ud, stream, data, len);
}

static int32_t commit(void *ud, void *stream)
{
    faulty.streams--;
    if (!fails(COMMIT))
        return memory_commit(ud, stream);
    if (faulty.fault.belied)
        memory_commit(ud, stream);
    else
        memory_abort(ud, stream);
    return faulty.fault.answer;
}

static void forget(void *ud, void *stream)
{
    faulty.streams--;
    memory_abort(ud, stream);
}

static int32_t read_at(void *ud, const char *name, uint64_t offset, uint8_t *buf, size_t len, size_t *got)
{
    CHECK(*got == 0 && len > 0);
    return fails(READ) ? faulty.fault.answer : memory_read_at(ud, name, offset, buf, len, got);
}

static int32_t list(void *ud, const char *prefix, ibt_list *out)
{
    return fails(LIST) ? faulty.fault.answer : memory_list(ud, prefix, out);
}

static int32_t discard(void *ud, const char *name)
{
    return fails(DELETE) ? faulty.fault.answer : memory_delete(ud, name);
}

static int32_t lock(void *ud, const char *key)
{
    int32_t answer = fails(LOCK) ? faulty.fault.answer : memory_lock(ud, key);

    faulty.locks += answer > 0;
    return answer;
}

static void unlock(void *ud, const char *key)
{
    faulty.locks--;
    memory_unlock(ud, key);
}

static void open_faulty(void)
{
    memset(&faulty, 0, sizeof faulty);
    faulty.memory = calloc(1, sizeof *faulty.memory);
    faulty.handle = faulty.memory->handle = ibt_storage_new(faulty.memory, memory_destroy);
    CHECK_INT(ibt_storage_set_writer(faulty.handle, create, append, commit, forget), IBT_OK);
    CHECK_INT(ibt_storage_set_reader(faulty.handle, read_at), IBT_OK);
    CHECK_INT(ibt_storage_set_list(faulty.handle, list), IBT_OK);
    CHECK_INT(ibt_storage_set_delete(faulty.handle, discard), IBT_OK);
    CHECK_INT(ibt_storage_set_lock(faulty.handle, lock, unlock), IBT_OK);
}

/* The call number `nth` of the functions `which` will fail. */
static void arm(int nth, int which, struct fault fault)
{
    faulty.left = nth;
    faulty.which = which;
    faulty.fault = fault;
}

static ibt_options *options; /* one thread: valgrind is slow */

typedef ibt_status (*operation)(ibt_report **, ibt_error **);

static ibt_status full(ibt_report **report, ibt_error **err)
{
    return ibt_full_backup(faulty.handle, "src", options, report, err);
}

static ibt_status incr(ibt_report **report, ibt_error **err)
{
    return ibt_incremental_backup(faulty.handle, "src", options, report, err);
}

static ibt_status rest(ibt_report **report, ibt_error **err)
{
    ibt_status status = ibt_restore(faulty.handle, "src", "dest", options, report, err);

    CHECK_INT(exists("dest"), status >= 0);
    if (status >= 0)
        remove_tree("dest");
    return status;
}

static ibt_status enumerate(ibt_report **report, ibt_error **err)
{
    return ibt_list_snapshots(faulty.handle, "src", options, report, err);
}

/* Runs an operation that must succeed without problems. */
static void must_work(operation run)
{
    ibt_report *report;
    ibt_error *err;

    CHECK_INT(told(run(&report, &err), &err), IBT_OK);
    CHECK_INT(ibt_report_problem_count(report), 0);
    ibt_report_free(report);
}

/* Checks that the report has no problem but notes: a run that was interrupted leaves archives without a state. */
static void check_only_notes(const ibt_report *report)
{
    size_t i;

    for (i = 0; i < ibt_report_problem_count(report); i++)
        CHECK(ibt_report_problem_is_note(report, i));
}

/* Checks that `first` is the oldest snapshot and restores as the tree `before`, and that the newest restores whole. */
static void check_whole(const char *first)
{
    ibt_options *selects = ibt_options_new();
    ibt_report *report;
    ibt_error *err;

    CHECK_INT(told(enumerate(&report, &err), &err), IBT_OK);
    check_only_notes(report);
    CHECK_TEXT(ibt_report_snapshot_stamp(report, 0), first);
    ibt_options_set_snapshot(selects, first);
    CHECK_INT(told(ibt_restore(faulty.handle, "src", "dest", selects, NULL, &err), &err), IBT_OK);
    CHECK(same_trees("before", "dest"));
    remove_tree("dest");
    must_work(rest);
    ibt_report_free(report);
    ibt_options_free(selects);
}

/* Makes a full backup and restores it to `before`. Then changes the source. Writes the stamp to `first`. */
static void begin(char *first, size_t size)
{
    ibt_report *report;
    ibt_error *err;

    open_faulty();
    make_dir("src");
    write_random("src/a", 50000, 1);
    write_file("src/b", "small");
    CHECK_INT(told(full(&report, &err), &err), IBT_OK);
    snprintf(first, size, "%s", ibt_report_snapshot(report));
    ibt_report_free(report);
    CHECK_INT(told(ibt_restore(faulty.handle, "src", "before", NULL, NULL, &err), &err), IBT_OK);
    write_random("src/new", 30000, 2);
    write_file("src/b", "changed");
}

static void end(void)
{
    ibt_storage_free(faulty.handle);
    remove_tree("src");
    remove_tree("before");
}

static void sweep(operation run, struct fault fault)
{
    char first[64];
    int nth;

    begin(first, sizeof first);
    for (nth = 1; nth < 300; nth++) {
        ibt_report *report;
        ibt_error *err;
        ibt_status status;

        arm(nth, ANY, fault);
        status = run(&report, &err);
        ibt_report_free(report);
        CHECK_INT(faulty.streams, 0);
        CHECK_INT(faulty.locks, 0);
        if (faulty.left > 0) {
            CHECK_INT(told(status, &err), IBT_OK);
            break;
        }
        CHECK_INT(status, IBT_ERR_STORAGE);
        CHECK_INT(ibt_error_status(err), IBT_ERR_STORAGE);
        CHECK_INT(ibt_error_os_code(err), fault.os_code);
        CHECK_HAS(ibt_error_message(err), fault.os_code != 0 ? ": the tape tore" : "its answer is");
        ibt_error_free(err);
        arm(0, ANY, fault);
        check_whole(first);
    }
    CHECK(nth > 2 && nth < 300);
    arm(0, ANY, fault);
    must_work(incr);
    check_whole(first);
    end();
}

/* Checks that `run` returns `expected` if the first call of `function` returns `answer`. */
static void passes(operation run, int function, int32_t answer, ibt_status expected)
{
    struct fault fault = {0, 0, 0};
    ibt_report *report;
    ibt_error *err;

    fault.answer = answer;
    arm(1, function, fault);
    CHECK_INT(run(&report, &err), expected);
    CHECK_INT(ibt_error_status(err), expected);
    CHECK_INT(ibt_error_os_code(err), 0);
    CHECK_INT(faulty.streams + faulty.locks, 0);
    ibt_report_free(report);
    ibt_error_free(err);
    arm(0, ANY, fault);
}

static void test_answers(void)
{
    static const int32_t passed_on[] = {IBT_ERR_NOT_FOUND, IBT_ERR_EXISTS, IBT_ERR_BUSY, IBT_ERR_CANCELLED,
                                        IBT_ERR_UNSUPPORTED};
    static const int32_t others[] = {0, -77, IBT_ERR_STORAGE, IBT_ERR_CORRUPT, IBT_ERR_IO, IBT_ERR_PANIC, INT32_MIN};
    static const int functions[] = {CREATE, WRITE, COMMIT, LIST, LOCK};
    char first[64];
    size_t i, k;

    begin(first, sizeof first);
    for (k = 0; k < sizeof functions / sizeof *functions; k++) {
        for (i = 0; i < sizeof passed_on / sizeof *passed_on; i++)
            passes(full, functions[k], passed_on[i], passed_on[i]);
        for (i = 0; i < sizeof others / sizeof *others; i++)
            passes(full, functions[k], others[i], IBT_ERR_STORAGE);
    }
    for (i = 0; i < sizeof passed_on / sizeof *passed_on; i++)
        passes(rest, READ, passed_on[i], passed_on[i]);
    passes(rest, READ, 0, IBT_ERR_STORAGE);
    passes(rest, READ, IBT_ERR_CORRUPT, IBT_ERR_CORRUPT);
    check_whole(first);
    end();
}

/* Without a delete function, the objects that a failed run committed stay. They do no harm. */
static void test_no_delete(void)
{
    struct fault fault = {-77, 0, 0};
    ibt_storage *storage;
    size_t before;

    open_faulty();
    storage = ibt_storage_new(faulty.memory, NULL);
    ibt_storage_set_writer(storage, create, append, commit, forget);
    ibt_storage_set_reader(storage, read_at);
    ibt_storage_set_list(storage, list);
    make_dir("src");
    write_file("src/a", "text");
    before = faulty.memory->count;
    arm(2, COMMIT, fault);
    CHECK_INT(ibt_full_backup(storage, "src", options, NULL, NULL), IBT_ERR_STORAGE);
    CHECK_INT(faulty.memory->count, before + 1);
    CHECK_INT(ibt_list_snapshots(storage, "src", NULL, NULL, NULL), IBT_ERR_NOT_FOUND);
    CHECK_INT(ibt_full_backup(storage, "src", options, NULL, NULL), IBT_OK);
    CHECK_INT(faulty.streams + faulty.locks, 0);
    must_work(rest);
    ibt_storage_free(storage);
    ibt_storage_free(faulty.handle);
    remove_tree("src");
}

int main(void)
{
    static const struct fault faults[] = {
        {-77, EIO, 0}, {IBT_CALLBACK_FAILED, ENOSPC, 0}, {IBT_ERR_STORAGE, 0, 0}, {0, 0, 1}};
    size_t i;

    check_begin();
    options = ibt_options_new();
    ibt_options_set_threads(options, 1);
    for (i = 0; i < sizeof faults / sizeof *faults; i++) {
        sweep(full, faults[i]);
        sweep(incr, faults[i]);
    }
    sweep(rest, faults[0]);
    sweep(enumerate, faults[0]);
    test_answers();
    test_no_delete();
    ibt_options_free(options);
    return check_end();
}
