/* A storage of the caller's functions: refused setters, missing functions, ownership, functions that call libibt. */
#include "check.h"

#include "../../examples-c/memory_storage.c"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

static void test_setters_refuse(void)
{
    ibt_storage *own = ibt_storage_new(NULL, NULL), *dir = open_storage("dir");

    CHECK_INT(ibt_storage_set_writer(own, NULL, memory_write, memory_commit, memory_abort),
              IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_writer(own, memory_create, NULL, memory_commit, memory_abort),
              IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_writer(own, memory_create, memory_write, NULL, memory_abort),
              IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_writer(own, memory_create, memory_write, memory_commit, NULL),
              IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_reader(own, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_list(own, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_delete(own, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_lock(own, memory_lock, NULL), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_lock(own, NULL, memory_unlock), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_traits(own, 4), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_traits(own, IBT_STORAGE_READS_CHEAPLY | IBT_STORAGE_THREAD_SAFE), IBT_OK);
    CHECK_INT(ibt_storage_set_traits(own, IBT_STORAGE_READS_CHEAPLY), IBT_OK);
    CHECK_INT(ibt_storage_set_traits(own, 0), IBT_OK);
    CHECK_INT(ibt_storage_fail(own, 5, "nobody listens"), IBT_OK);

    CHECK_INT(ibt_storage_set_writer(dir, memory_create, memory_write, memory_commit, memory_abort),
              IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_reader(dir, memory_read_at), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_list(dir, memory_list), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_delete(dir, memory_delete), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_lock(dir, memory_lock, memory_unlock), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_set_traits(dir, IBT_STORAGE_READS_CHEAPLY), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_storage_fail(dir, 5, "nobody listens"), IBT_ERR_INVALID_ARG);
    ibt_storage_free(own);
    ibt_storage_free(dir);
}

static int32_t unexpected(void)
{
    CHECK(!"this function is not to be called");
    return IBT_CALLBACK_FAILED;
}

static int32_t no_list(void *ud, const char *prefix, ibt_list *out)
{
    (void)ud, (void)prefix, (void)out;
    return unexpected();
}

static int32_t no_read(void *ud, const char *name, uint64_t offset, uint8_t *buf, size_t len, size_t *got)
{
    (void)ud, (void)name, (void)offset, (void)buf, (void)len, (void)got;
    return unexpected();
}

static int32_t no_lock(void *ud, const char *key)
{
    (void)ud, (void)key;
    return unexpected();
}

/* Checks that a call failed with an error that names the setter of the missing function. Frees the error. */
static void check_names(ibt_status status, ibt_error **err, const char *setter)
{
    CHECK_INT(status, IBT_ERR_UNSUPPORTED);
    CHECK_HAS(ibt_error_message(*err), setter);
    ibt_error_free(*err);
}

static void test_missing_functions(void)
{
    ibt_storage *storage = ibt_storage_new(NULL, NULL);
    ibt_error *err;

    ibt_storage_set_lock(storage, no_lock, memory_unlock);
    check_names(ibt_list_snapshots(storage, NULL, NULL, NULL, &err), &err, "ibt_storage_set_reader()");
    check_names(ibt_compare(storage, "src", ".", NULL, NULL, &err), &err, "ibt_storage_set_reader()");
    ibt_storage_set_reader(storage, no_read);
    check_names(ibt_list_snapshots(storage, "src", NULL, NULL, &err), &err, "ibt_storage_set_list()");
    check_names(ibt_restore(storage, "src", "dest", NULL, NULL, &err), &err, "ibt_storage_set_list()");
    ibt_storage_set_list(storage, no_list);
    check_names(ibt_full_backup(storage, "src", NULL, NULL, &err), &err, "ibt_storage_set_writer()");
    check_names(ibt_incremental_backup(storage, "src", NULL, NULL, &err), &err, "ibt_storage_set_writer()");
    CHECK(!exists("dest"));
    ibt_storage_free(storage);
}

/* A storage in memory, its handle, and counts of some calls of its functions. */
static struct {
    struct memory *memory;
    ibt_storage *handle;
    int destroyed, entered;
} watched;

static void destroyed(void *ud)
{
    CHECK(ud == watched.memory);
    watched.destroyed++;
    memory_destroy(ud);
}

static ibt_storage *watch(void)
{
    ibt_storage *storage;

    memset(&watched, 0, sizeof watched);
    watched.memory = calloc(1, sizeof *watched.memory);
    storage = watched.handle = watched.memory->handle = ibt_storage_new(watched.memory, destroyed);
    ibt_storage_set_writer(storage, memory_create, memory_write, memory_commit, memory_abort);
    ibt_storage_set_reader(storage, memory_read_at);
    ibt_storage_set_list(storage, memory_list);
    ibt_storage_set_delete(storage, memory_delete);
    ibt_storage_set_lock(storage, memory_lock, memory_unlock);
    return storage;
}

/* Makes calls with the storage that is in use. */
static int32_t entering_list(void *ud, const char *prefix, ibt_list *out)
{
    watched.entered++;
    CHECK_INT(ibt_list_snapshots(watched.handle, NULL, NULL, NULL, NULL), IBT_ERR_BUSY);
    CHECK_INT(ibt_full_backup(watched.handle, "src", NULL, NULL, NULL), IBT_ERR_BUSY);
    CHECK_INT(ibt_storage_set_list(watched.handle, memory_list), IBT_ERR_BUSY);
    CHECK_INT(ibt_storage_set_reader(watched.handle, memory_read_at), IBT_ERR_BUSY);
    /* A reason for a failure, but this function succeeds. */
    CHECK_INT(ibt_storage_fail(watched.handle, ENOENT, "never seen"), IBT_OK);
    CHECK_INT(ibt_list_add(NULL, "name", 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_list_add(out, NULL, 1), IBT_ERR_INVALID_ARG);
    CHECK_INT(ibt_list_add(out, "src.state.\377\376.json", 1), IBT_OK);
    CHECK_INT(ibt_list_add(out, "", UINT64_MAX), IBT_OK);
    CHECK_INT(ibt_list_add(out, "another program's", 1), IBT_OK);
    memory_list(ud, "", out);
    memory_list(ud, prefix, out);
    return 17; /* every positive number is success */
}

static int32_t silent_create(void *ud, const char *name, void **stream)
{
    (void)ud, (void)name, (void)stream;
    return IBT_CALLBACK_FAILED;
}

static void test_reentry(void)
{
    ibt_storage *storage = watch();
    ibt_error *err;

    ibt_storage_set_list(storage, entering_list);
    CHECK_INT(told(ibt_full_backup(storage, "src", NULL, NULL, &err), &err), IBT_OK);
    CHECK_INT(told(ibt_incremental_backup(storage, "src", NULL, NULL, &err), &err), IBT_OK);
    CHECK_INT(told(ibt_list_snapshots(storage, NULL, NULL, NULL, &err), &err), IBT_OK);
    CHECK(watched.entered >= 5);
    /* The reason from a function that succeeded is not used for the next function that fails. */
    ibt_storage_set_writer(storage, silent_create, memory_write, memory_commit, memory_abort);
    CHECK_INT(ibt_full_backup(storage, "src", NULL, NULL, &err), IBT_ERR_STORAGE);
    CHECK_INT(ibt_error_os_code(err), 0);
    CHECK_HAS(ibt_error_message(err), "(its answer is 0)");
    ibt_error_free(err);
    CHECK_INT(ibt_storage_set_list(storage, memory_list), IBT_OK);
    CHECK_INT(watched.destroyed, 0);
    ibt_storage_free(storage);
    CHECK_INT(watched.destroyed, 1);
}

/* Frees the storage that is in use, and then gives a reason for its failure through it. */
static int32_t freeing_create(void *ud, const char *name, void **stream)
{
    (void)ud, (void)name, (void)stream;
    ibt_storage_free(watched.handle);
    CHECK_INT(watched.destroyed, 0);
    ibt_storage_fail(watched.handle, ENOSPC, "an earlier try");
    ibt_storage_fail(NULL, EDQUOT, "the last\nwords");
    return IBT_CALLBACK_FAILED;
}

/* Fails, and gives the reason without its storage. */
static int32_t failing_list(void *ud, const char *prefix, ibt_list *out)
{
    (void)ud, (void)prefix, (void)out;
    CHECK_INT(ibt_storage_fail(NULL, EIO, "the inner storage"), IBT_OK);
    return IBT_CALLBACK_FAILED;
}

/* Uses another storage, which fails, and then fails for another reason. `ud` is the other storage. */
static int32_t nesting_list(void *ud, const char *prefix, ibt_list *out)
{
    ibt_error *err;

    (void)prefix, (void)out;
    CHECK_INT(ibt_storage_fail(NULL, ENOSPC, "too early"), IBT_OK);
    CHECK_INT(ibt_list_snapshots(ud, NULL, NULL, NULL, &err), IBT_ERR_STORAGE);
    CHECK_INT(ibt_error_os_code(err), EIO);
    CHECK_HAS(ibt_error_message(err), ": the inner storage");
    ibt_error_free(err);
    CHECK_INT(ibt_storage_fail(NULL, EDQUOT, "the outer storage"), IBT_OK);
    return IBT_CALLBACK_FAILED;
}

/* A reason goes to the storage whose function runs on the thread. */
static void test_reason_without_storage(void)
{
    ibt_storage *inner = ibt_storage_new(NULL, NULL);
    ibt_storage *outer = ibt_storage_new(inner, NULL);
    ibt_error *err;

    CHECK_INT(ibt_storage_fail(NULL, EIO, "nobody listens"), IBT_ERR_INVALID_ARG);
    ibt_storage_set_list(inner, failing_list);
    ibt_storage_set_reader(inner, memory_read_at);
    ibt_storage_set_list(outer, nesting_list);
    ibt_storage_set_reader(outer, memory_read_at);
    CHECK_INT(ibt_list_snapshots(outer, NULL, NULL, NULL, &err), IBT_ERR_STORAGE);
    CHECK_INT(ibt_error_os_code(err), EDQUOT);
    CHECK_HAS(ibt_error_message(err), ": the outer storage");
    ibt_error_free(err);
    CHECK_INT(ibt_storage_fail(NULL, EIO, "nobody listens"), IBT_ERR_INVALID_ARG);
    ibt_storage_free(outer);
    ibt_storage_free(inner);
}

static void test_freed_while_in_use(void)
{
    ibt_storage *storage = watch();
    ibt_error *err;

    ibt_storage_set_writer(storage, freeing_create, memory_write, memory_commit, memory_abort);
    CHECK_INT(ibt_full_backup(storage, "src", NULL, NULL, &err), IBT_ERR_STORAGE);
    CHECK_INT(watched.destroyed, 1);
    CHECK_INT(ibt_error_os_code(err), EDQUOT);
    CHECK_HAS(ibt_error_message(err), ": the last words");
    CHECK(strncmp(ibt_error_path(err), "src.", 4) == 0);
    ibt_error_free(err);
}

/* Claims to have read more than there was room for. */
static int32_t boasting_read(void *ud, const char *name, uint64_t offset, uint8_t *buf, size_t len,
                             size_t *got)
{
    int32_t answer = memory_read_at(ud, name, offset, buf, len, got);

    *got = offset % 2 ? SIZE_MAX : len + 1;
    return answer;
}

static void test_claims(void)
{
    ibt_storage *storage = watch();
    ibt_error *err;

    CHECK_INT(ibt_full_backup(storage, "src", NULL, NULL, NULL), IBT_OK);
    ibt_storage_set_reader(storage, boasting_read);
    CHECK_INT(ibt_restore(storage, "src", "dest", NULL, NULL, &err), IBT_ERR_STORAGE);
    CHECK_HAS(ibt_error_message(err), "where");
    CHECK(!exists("dest"));
    ibt_error_free(err);
    CHECK_INT(ibt_list_snapshots(storage, "src", NULL, NULL, NULL), IBT_ERR_STORAGE);
    ibt_storage_free(storage);
}

/* Another program holds the lock of the key. */
static void test_lock_wait(void)
{
    ibt_storage *storage = watch();
    ibt_options *options = ibt_options_new();

    memory_lock(watched.memory, "src");
    ibt_options_set_lock_wait(options, 50);
    CHECK_INT(ibt_full_backup(storage, "src", options, NULL, NULL), IBT_ERR_BUSY);
    CHECK_INT(ibt_list_snapshots(storage, NULL, options, NULL, NULL), IBT_OK);
    memory_unlock(watched.memory, "src");
    CHECK_INT(ibt_full_backup(storage, "src", options, NULL, NULL), IBT_OK);
    CHECK(watched.memory->locks == NULL);
    ibt_options_free(options);
    ibt_storage_free(storage);
}

/* ---- Functions on several threads ---- */

static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;
static pthread_t caller;
static int running, most_running, on_other_threads;

static void count_running(int change)
{
    pthread_mutex_lock(&counting);
    running += change;
    most_running = running > most_running ? running : most_running;
    on_other_threads += change > 0 && !pthread_equal(pthread_self(), caller);
    pthread_mutex_unlock(&counting);
}

/* Takes as long as a read over a network. */
static int32_t slow_read(void *ud, const char *name, uint64_t offset, uint8_t *buf, size_t len, size_t *got)
{
    struct timespec pause = {0, 20 * 1000 * 1000};
    int32_t answer;

    count_running(1);
    nanosleep(&pause, NULL);
    answer = memory_read_at(ud, name, offset, buf, len, got);
    count_running(-1);
    return answer;
}

/* Fails in the middle of archives, with the offset as the reason; the other reads run meanwhile. */
static int32_t slow_failing_read(void *ud, const char *name, uint64_t offset, uint8_t *buf, size_t len,
                                 size_t *got)
{
    int32_t answer = slow_read(ud, name, offset, buf, len, got);
    char reason[64];

    if (strstr(name, ".full.") == NULL || offset < (8 << 20) || len < (1 << 20))
        return answer;
    snprintf(reason, sizeof reason, "no line for %llu", (unsigned long long)offset);
    CHECK_INT(ibt_storage_fail(watched.handle, EIO, reason), IBT_OK);
    return IBT_CALLBACK_FAILED;
}

static void test_concurrent_reads(void)
{
    ibt_storage *storage = watch();
    ibt_error *err;

    make_dir("large");
    write_random("large/a", 20 << 20, 7);
    write_random("large/b", 3 << 20, 8);
    CHECK_INT(told(ibt_full_backup(storage, "large", NULL, NULL, &err), &err), IBT_OK);
    caller = pthread_self();
    ibt_storage_set_reader(storage, slow_read);

    /* Without the trait every call comes from this thread. */
    CHECK_INT(told(ibt_restore(storage, "large", "dest", NULL, NULL, &err), &err), IBT_OK);
    CHECK(same_trees("large", "dest"));
    CHECK_INT(most_running, 1);
    CHECK_INT(on_other_threads, 0);
    remove_tree("dest");

    CHECK_INT(ibt_storage_set_traits(storage, IBT_STORAGE_THREAD_SAFE), IBT_OK);
    CHECK_INT(told(ibt_restore(storage, "large", "dest", NULL, NULL, &err), &err), IBT_OK);
    CHECK(same_trees("large", "dest"));
    CHECK(most_running > 1);
    CHECK(on_other_threads > 1);
    remove_tree("dest");
    most_running = 0;
    CHECK_INT(told(ibt_verify(storage, NULL, NULL, NULL, &err), &err), IBT_OK);
    CHECK(most_running > 1);

    ibt_storage_set_reader(storage, slow_failing_read);
    CHECK_INT(ibt_restore(storage, "large", "dest", NULL, NULL, &err), IBT_ERR_STORAGE);
    CHECK_INT(ibt_error_os_code(err), EIO);
    CHECK_HAS(ibt_error_message(err), ": no line for ");
    CHECK(!exists("dest"));
    CHECK_INT(running, 0);
    ibt_error_free(err);
    ibt_storage_free(storage);
    CHECK_INT(watched.destroyed, 1);
}

int main(void)
{
    check_begin();
    make_dir("src");
    write_random("src/a", 30000, 1);
    test_setters_refuse();
    test_missing_functions();
    test_reentry();
    test_reason_without_storage();
    test_freed_while_in_use();
    test_claims();
    test_lock_wait();
    test_concurrent_reads();
    ibt_storage_free(memory_storage_new());
    return check_end();
}
