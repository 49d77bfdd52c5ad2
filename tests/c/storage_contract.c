#include "storage_contract.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RULE(condition, words) check_that((condition) != 0, words, __FILE__, __LINE__)

/* The objects have names of states of this key, so that ibt_list_snapshots() shows what the storage lists. */
#define KEY "contract"
#define NAME_MAX_LEN 80
#define LARGE ((size_t)5 << 20)

static void name_of(char *name, const char *key, unsigned number)
{
    snprintf(name, NAME_MAX_LEN, "%s.state.20260101T00%02u%02u.000000Z.json", key, number / 60 % 60,
             number % 60);
}

/* `size` bytes that depend on `seed`. Ends the program if there is no memory. */
static uint8_t *bytes_of(unsigned seed, size_t size)
{
    uint8_t *bytes = malloc(size + 1);
    size_t i;

    if (bytes == NULL)
        exit(99);
    for (i = 0; i < size; i++) {
        seed = seed * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(seed >> 24);
    }
    return bytes;
}

static void *begin(struct contract_storage *with, const char *name)
{
    void *stream = NULL;

    RULE(with->create(with->ud, name, &stream) > 0, "a stream can be created");
    return stream;
}

/* Writes in pieces of `piece` bytes. */
static void append(struct contract_storage *with, void *stream, const uint8_t *bytes, size_t size,
                   size_t piece)
{
    while (size > 0) {
        size_t len = size < piece ? size : piece;

        RULE(with->write(with->ud, stream, bytes, len) > 0, "a write takes all it is given");
        bytes += len;
        size -= len;
    }
}

/* Makes an object. Returns the answer of its commit. */
static int32_t put(struct contract_storage *with, const char *name, unsigned seed, size_t size, size_t piece)
{
    uint8_t *bytes = bytes_of(seed, size);
    void *stream = begin(with, name);
    int32_t answer;

    append(with, stream, bytes, size, piece);
    answer = with->commit(with->ud, stream);
    free(bytes);
    return answer;
}

/* Reads `len` bytes as libibt does: again and again, until they are read or the object ends. Returns the number of
 * bytes, or the negative status of a failure. */
static long long get(struct contract_storage *with, const char *name, uint64_t offset, uint8_t *buf,
                     size_t len)
{
    size_t done = 0;

    while (done < len) {
        size_t got = 0;
        int32_t answer = with->read_at(with->ud, name, offset + done, buf + done, len - done, &got);

        if (answer <= 0)
            return answer < 0 ? answer : IBT_ERR_STORAGE;
        if (got > len - done) {
            RULE(0, "a read never gives more than it was asked for");
            return IBT_ERR_STORAGE;
        }
        if (got == 0)
            break;
        done += got;
    }
    return (long long)done;
}

static int absent(struct contract_storage *with, const char *name)
{
    uint8_t byte;

    return get(with, name, 0, &byte, 1) == IBT_ERR_NOT_FOUND;
}

/* Whether an object holds just these bytes. */
static int holds(struct contract_storage *with, const char *name, unsigned seed, size_t size)
{
    uint8_t *wanted = bytes_of(seed, size), *found = malloc(size + 10);
    int same = found != NULL && get(with, name, 0, found, size + 10) == (long long)size
               && memcmp(wanted, found, size) == 0;

    free(wanted);
    free(found);
    return same;
}

/* How often `name` is listed. The objects here are not really states, so libibt lists each of them as a problem. */
static int listed(struct contract_storage *with, const char *key, const char *name)
{
    ibt_report *report;
    ibt_error *err;
    ibt_status status = ibt_list_snapshots(with->storage, key, NULL, &report, &err);
    int found = 0;
    size_t i;

    RULE(status == IBT_PARTIAL || status == IBT_ERR_NOT_FOUND, "a storage lists what it holds");
    for (i = 0; i < ibt_report_problem_count(report); i++)
        found += strcmp(ibt_report_problem_file(report, i), name) == 0;
    ibt_report_free(report);
    ibt_error_free(err);
    return found;
}

static void test_objects(struct contract_storage *with)
{
    static const size_t sizes[] = {0, 1, 2, 511, 4096, 4097, 65537, 300001};
    char name[NAME_MAX_LEN];
    unsigned i;

    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        name_of(name, KEY, i);
        RULE(absent(with, name), "an absent object is IBT_ERR_NOT_FOUND");
        RULE(put(with, name, i, sizes[i], i * 1000 + 7) > 0, "an object of any size can be committed");
        RULE(holds(with, name, i, sizes[i]), "an object holds what was written, and no more");
        RULE(listed(with, KEY, name) == 1, "an object is listed as soon as it is committed");
    }
    name_of(name, KEY, 1);
    name[strlen(name) - 1] = '\0';
    RULE(absent(with, name), "a part of a name is not a name");
    name_of(name, KEY, 1);
    strcat(name, ".zst");
    RULE(absent(with, name), "more than a name is not a name");
}

static void test_ranges(struct contract_storage *with)
{
    enum { SIZE = 10007 };
    uint8_t *wanted = bytes_of(9, SIZE), found[SIZE];
    char name[NAME_MAX_LEN];
    size_t offset, len;

    name_of(name, KEY, 100);
    RULE(put(with, name, 9, SIZE, 999) > 0, "an object can be committed");
    for (offset = 0; offset < SIZE + 3000; offset += 769) {
        for (len = 1; len < SIZE; len = len * 5 + 2) {
            size_t there = offset >= SIZE ? 0 : SIZE - offset;
            size_t right = len < there ? len : there;

            RULE(get(with, name, offset, found, len) == (long long)right,
                 "a read ends at the object's end, and at or past it gives 0 bytes with IBT_CALLBACK_OK");
            RULE(memcmp(found, wanted + (right > 0 ? offset : 0), right) == 0,
                 "a range holds the object's bytes from its offset");
        }
    }
    RULE(get(with, name, SIZE, found, 1) == 0, "a read at the end gives 0 bytes with IBT_CALLBACK_OK");
    RULE(get(with, name, UINT64_MAX / 2, found, 1) == 0, "a read far past the end gives 0 bytes");
    free(wanted);
}

static void test_visibility(struct contract_storage *with)
{
    uint8_t *bytes = bytes_of(1, 1000);
    char name[NAME_MAX_LEN];
    void *stream;

    name_of(name, KEY, 200);
    stream = begin(with, name);
    append(with, stream, bytes, 1000, 300);
    RULE(absent(with, name), "nobody reads an object before its commit");
    RULE(listed(with, KEY, name) == 0, "nobody sees an object before its commit");
    with->abort(with->ud, stream);
    RULE(absent(with, name) && listed(with, KEY, name) == 0, "an abort leaves nothing");
    with->abort(with->ud, begin(with, name)); /* nothing was written to this one */
    RULE(absent(with, name) && listed(with, KEY, name) == 0, "an abort leaves nothing");
    RULE(put(with, name, 2, 10, 10) > 0, "an aborted name is free");
    RULE(holds(with, name, 2, 10), "an aborted stream's bytes are gone");
    free(bytes);
}

static void test_no_replace(struct contract_storage *with)
{
    char name[NAME_MAX_LEN];
    void *first, *second;

    name_of(name, KEY, 300);
    RULE(put(with, name, 1, 1000, 100) > 0, "an object can be committed");
    RULE(put(with, name, 2, 500, 100) == IBT_ERR_EXISTS, "a commit to a taken name is IBT_ERR_EXISTS");
    RULE(holds(with, name, 1, 1000), "a commit never replaces an object");
    name_of(name, KEY, 301);
    first = begin(with, name);
    second = begin(with, name);
    append(with, second, (const uint8_t *)"second", 6, 6);
    RULE(with->commit(with->ud, second) > 0, "the first commit of a name succeeds");
    RULE(with->commit(with->ud, first) == IBT_ERR_EXISTS, "a commit to a taken name is IBT_ERR_EXISTS");
    RULE(listed(with, KEY, name) == 1 && !absent(with, name), "a commit never replaces an object");
}

/* Four streams, written to in turn; the third is aborted, the others are committed in another order. */
static void test_streams(struct contract_storage *with)
{
    static const unsigned order[] = {3, 0, 1};
    char names[4][NAME_MAX_LEN];
    uint8_t *bytes[4];
    void *streams[4];
    unsigned i, round;

    for (i = 0; i < 4; i++) {
        name_of(names[i], KEY, 400 + i);
        bytes[i] = bytes_of(i, 100 * (i + 1) * 20);
        streams[i] = begin(with, names[i]);
    }
    for (round = 0; round < 20; round++)
        for (i = 0; i < 4; i++) {
            size_t len = 100 * (i + 1);

            append(with, streams[i], bytes[i] + round * len, len, len);
        }
    with->abort(with->ud, streams[2]);
    for (i = 0; i < 3; i++)
        RULE(with->commit(with->ud, streams[order[i]]) > 0, "streams are committed in any order");
    for (i = 0; i < 4; i++) {
        if (i != 2)
            RULE(holds(with, names[i], i, 100 * (i + 1) * 20), "four streams do not mix");
        free(bytes[i]);
    }
    RULE(absent(with, names[2]), "an abort leaves nothing");
}

static void test_large(struct contract_storage *with)
{
    char name[NAME_MAX_LEN];

    name_of(name, KEY, 500);
    RULE(put(with, name, 5, LARGE, 100003) > 0, "a large object can be committed");
    RULE(holds(with, name, 5, LARGE), "a large object holds what was written");
}

static void test_listing(struct contract_storage *with)
{
    char name[NAME_MAX_LEN];
    unsigned i;

    for (i = 0; i < 50; i++) {
        name_of(name, i % 2 ? "odd.key" : "odd", 600 + i);
        RULE(put(with, name, i, i, 10) > 0, "an object can be committed");
    }
    for (i = 0; i < 50; i++) {
        name_of(name, i % 2 ? "odd.key" : "odd", 600 + i);
        RULE(listed(with, i % 2 ? "odd.key" : "odd", name) == 1, "every object is listed under its prefix");
    }
    name_of(name, "od", 600);
    RULE(listed(with, "od", name) == 0, "a prefix that nothing has lists nothing");
}

static void test_delete(struct contract_storage *with)
{
    char gone[NAME_MAX_LEN], kept[NAME_MAX_LEN];

    name_of(gone, KEY, 700);
    name_of(kept, KEY, 701);
    RULE(with->remove(with->ud, gone) > 0, "deleting an absent object succeeds");
    RULE(put(with, gone, 1, 100, 100) > 0 && put(with, kept, 2, 100, 100) > 0, "objects can be committed");
    RULE(with->remove(with->ud, gone) > 0, "an object can be deleted");
    RULE(absent(with, gone) && listed(with, KEY, gone) == 0, "a deleted object is gone");
    RULE(holds(with, kept, 2, 100) && listed(with, KEY, kept) == 1, "a delete leaves the others alone");
    RULE(put(with, gone, 3, 50, 50) > 0 && holds(with, gone, 3, 50), "a deleted name is free");
}

static void test_locks(struct contract_storage *with)
{
    ibt_options *options = ibt_options_new();

    RULE(with->lock(with->ud, "one") > 0, "a lock that nobody has is granted");
    RULE(with->lock(with->ud, "one") == IBT_ERR_BUSY, "a lock that somebody has is IBT_ERR_BUSY");
    RULE(with->lock(with->ud, "another") > 0, "each key has a lock of its own");
    ibt_options_set_key(options, "one");
    RULE(ibt_full_backup(with->storage, "contract-src", options, NULL, NULL) == IBT_ERR_BUSY,
         "a lock keeps a backup of its key out");
    with->unlock(with->ud, "one");
    RULE(with->lock(with->ud, "another") == IBT_ERR_BUSY, "an unlock gives up its own key only");
    RULE(with->lock(with->ud, "one") > 0, "a lock that was given up is granted again");
    with->unlock(with->ud, "another");
    with->unlock(with->ud, "one");
    ibt_options_free(options);
}

static void backed_up(ibt_status status, ibt_report **report, ibt_error **err)
{
    RULE(told(status, err) == IBT_OK, "a backup succeeds");
    RULE(ibt_report_file_path(*report, 0) == NULL, "objects have no path");
}

static void check_restored(struct contract_storage *with, const char *stamp, const char *dest,
                           const char *tree)
{
    ibt_options *options = ibt_options_new();
    ibt_error *err;

    ibt_options_set_snapshot(options, stamp);
    RULE(told(ibt_restore(with->storage, KEY, dest, options, NULL, &err), &err) == IBT_OK,
         "a restore succeeds");
    RULE(exists(dest) && same_trees(tree, dest), "a restored tree is what was backed up");
    ibt_options_free(options);
}

/* A full backup, an increment, and both restored. */
static void test_backups(struct contract_storage *with)
{
    ibt_options *options = ibt_options_new();
    ibt_report *full, *increment, *report;
    ibt_error *err;

    ibt_options_set_key(options, KEY);
    backed_up(ibt_full_backup(with->storage, "contract-src", options, &full, &err), &full, &err);
    check_restored(with, ibt_report_snapshot(full), "contract-first", "contract-src");
    write_random("contract-src/dir/large", 400000, 2);
    write_file("contract-src/new", "new");
    remove_tree("contract-src/gone");
    backed_up(ibt_incremental_backup(with->storage, "contract-src", options, &increment, &err), &increment,
              &err);
    check_restored(with, ibt_report_snapshot(increment), "contract-second", "contract-src");
    check_restored(with, ibt_report_snapshot(full), "contract-again", "contract-first");
    RULE(told(ibt_list_snapshots(with->storage, KEY, NULL, &report, &err), &err) == IBT_OK,
         "a list succeeds");
    RULE(ibt_report_snapshot_count(report) == 2, "both snapshots are listed");
    ibt_report_free(report);
    ibt_report_free(increment);
    ibt_report_free(full);
    ibt_options_free(options);
}

static void make_source(void)
{
    make_dir("contract-src");
    make_dir("contract-src/dir");
    write_file("contract-src/gone", "soon");
    write_file("contract-src/empty", "");
    write_random("contract-src/dir/large", 400000, 1);
    write_random("contract-src/kept", 100000, 3);
}

void storage_contract(contract_make_fn make)
{
    typedef void (*part)(struct contract_storage *);
    static const part parts[] = {test_objects, test_ranges, test_visibility, test_no_replace, test_streams,
                                 test_large, test_listing, test_delete, test_locks, test_backups};
    size_t i;

    make_source();
    for (i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct contract_storage made;

        memset(&made, 0, sizeof made);
        make(&made);
        if ((parts[i] != test_delete || made.remove != NULL) && (parts[i] != test_locks || made.lock != NULL))
            parts[i](&made);
        ibt_storage_free(made.storage);
    }
}
