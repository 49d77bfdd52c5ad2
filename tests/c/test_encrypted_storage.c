/* The encrypting storage of examples-c: it keeps the contract of storages, hides names and contents, and notices every
 * change of its files. */
#include "storage_contract.h"

#include "../../examples-c/encrypted_storage.c"

#define SECRET "correct horse"
#define KEY "household"
#define MARK_NAME "diary-of-1984"
#define MARK_TEXT "It was a bright cold day in April"

static struct encrypted *open_encrypted(const char *directory)
{
    const char *why;
    struct encrypted *storage = open_directory(directory, SECRET, strlen(SECRET), 1, &why);

    if (storage == NULL) {
        fprintf(stderr, "%s: %s\n", directory, why);
        exit(99);
    }
    make_storage(storage);
    return storage;
}

/* ---- The contract ---- */

static void make(struct contract_storage *made)
{
    static unsigned number;
    char directory[32];
    struct encrypted *storage;

    snprintf(directory, sizeof directory, "contract-%u", number++);
    storage = open_encrypted(directory);
    made->storage = storage->handle;
    made->ud = storage;
    made->create = encrypted_create;
    made->write = encrypted_write;
    made->commit = encrypted_commit;
    made->abort = encrypted_abort;
    made->read_at = encrypted_read_at;
    made->remove = encrypted_delete;
    made->lock = encrypted_lock;
    made->unlock = encrypted_unlock;
}

/* ---- Objects ---- */

static unsigned char byte_at(unsigned seed, uint64_t at)
{
    return (unsigned char)((at * 2654435761u + seed) >> 11);
}

static void put_object(struct encrypted *storage, const char *name, unsigned seed, size_t size, size_t piece)
{
    unsigned char bytes[1000];
    void *stream = NULL;
    size_t done, i;

    CHECK_INT(encrypted_create(storage, name, &stream), IBT_CALLBACK_OK);
    for (done = 0; done < size; done += i) {
        for (i = 0; i < piece && done + i < size; i++)
            bytes[i] = byte_at(seed, done + i);
        CHECK_INT(encrypted_write(storage, stream, bytes, i), IBT_CALLBACK_OK);
    }
    CHECK_INT(encrypted_commit(storage, stream), IBT_CALLBACK_OK);
}

/* Reads an object from `offset` to its end, in pieces. Returns the number of bytes, or the failure of a read. Wrong
 * bytes are a failed check. */
static long long read_object(struct encrypted *storage, const char *name, unsigned seed, uint64_t offset)
{
    static unsigned char bytes[50000];
    uint64_t at = offset;

    for (;;) {
        size_t got = 0, i;
        int32_t answer = encrypted_read_at(storage, name, at, bytes, sizeof bytes, &got);

        if (answer != IBT_CALLBACK_OK)
            return answer;
        if (got == 0)
            return (long long)(at - offset);
        for (i = 0; i < got; i++)
            if (bytes[i] != byte_at(seed, at + i))
                break;
        CHECK_INT(i, got);
        at += got;
    }
}

static uint64_t file_size_of(const struct encrypted *storage, const char *file)
{
    struct stat found;

    CHECK_INT(fstatat(storage->dir, file, &found, AT_SYMLINK_NOFOLLOW), 0);
    return (uint64_t)found.st_size;
}

static void test_sizes(void)
{
    static const size_t sizes[] = {0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 2 * CHUNK_SIZE, 150000};
    struct encrypted *storage = open_encrypted("sizes");
    char name[20], file[FILE_NAME_SIZE];
    struct object object;
    size_t i;

    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint64_t offset;

        snprintf(name, sizeof name, "object%u", (unsigned)i);
        put_object(storage, name, (unsigned)i, sizes[i], 1 + i * 160);
        CHECK_INT(to_file_name(storage, file, name), 1);
        measure(&object, file_size_of(storage, file));
        CHECK_INT(object.size, sizes[i]);
        for (offset = 0; offset < sizes[i] + 3; offset += 1 + sizes[i] / 7)
            CHECK_INT(read_object(storage, name, (unsigned)i, offset),
                      offset < sizes[i] ? (long long)(sizes[i] - offset) : 0);
    }
    ibt_storage_free(storage->handle);
}

static void test_names(void)
{
    struct encrypted *storage = open_encrypted("names");
    char name[NAME_SIZE + 2], file[FILE_NAME_SIZE], back[NAME_SIZE + 1];
    void *stream;
    size_t length;

    for (length = 1; length <= NAME_SIZE; length++) {
        memset(name, 'n', length);
        name[length] = '\0';
        CHECK_INT(to_file_name(storage, file, name), 1);
        CHECK(strlen(file) <= 255);
        CHECK_INT(to_name(storage, back, file), 1);
        CHECK_TEXT(back, name);
        file[length % strlen(file)] ^= 1;
        CHECK_INT(to_name(storage, back, file), 0);
    }
    memset(name, 'n', NAME_SIZE + 1);
    name[NAME_SIZE + 1] = '\0';
    CHECK_INT(encrypted_create(storage, name, &stream), IBT_CALLBACK_FAILED);
    CHECK_INT(encrypted_delete(storage, name), IBT_CALLBACK_OK);
    ibt_storage_free(storage->handle);
}

/* ---- Changed files ---- */

enum { THREE_CHUNKS = 2 * CHUNK_SIZE + 1000 };

static unsigned char *load(const struct encrypted *storage, const char *file, size_t *size)
{
    unsigned char *bytes;
    int fd = openat(storage->dir, file, O_RDONLY | O_CLOEXEC);

    *size = (size_t)file_size_of(storage, file);
    bytes = malloc(*size + 1);
    if (fd < 0 || bytes == NULL || read_all(fd, bytes, *size, 0) != (ssize_t)*size)
        exit(99);
    close(fd);
    return bytes;
}

static void store(const struct encrypted *storage, const char *file, const unsigned char *bytes, size_t size)
{
    int fd = openat(storage->dir, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || !write_all(fd, bytes, size))
        exit(99);
    close(fd);
}

/* An object whose file has these bytes cannot be read to its end. The bytes that are read are right. */
static void is_damaged(struct encrypted *storage, const char *file, const unsigned char *bytes, size_t size)
{
    store(storage, file, bytes, size);
    CHECK_INT(read_object(storage, "three", 3, 0), IBT_ERR_CORRUPT);
}

static void test_changed_bytes(struct encrypted *storage, const char *file, unsigned char *bytes, size_t size)
{
    size_t at;

    for (at = 0; at < size; at += at < HEADER_SIZE ? 1 : 1999) {
        bytes[at] ^= 0x10;
        is_damaged(storage, file, bytes, size);
        bytes[at] ^= 0x10;
    }
}

static void test_cuts(struct encrypted *storage, const char *file, const unsigned char *bytes, size_t size)
{
    static const size_t ends[] = {0, HEADER_SIZE, HEADER_SIZE + SEALED_SIZE, HEADER_SIZE + 2 * SEALED_SIZE};
    unsigned char *longer = calloc(1, size + SEALED_SIZE);
    size_t i, less;

    if (longer == NULL)
        exit(99);
    for (less = 1; less < size; less += 1 + less / 2)
        is_damaged(storage, file, bytes, size - less);
    for (i = 0; i < sizeof ends / sizeof *ends; i++)
        for (less = 0; less < 40; less++)
            is_damaged(storage, file, bytes, ends[i] + less);
    memcpy(longer, bytes, size);
    for (less = 1; less < SEALED_SIZE; less += 1 + less / 2)
        is_damaged(storage, file, longer, size + less);
    free(longer);
}

/* Chunks of the same file in another order, and a whole file under another name. */
static void test_swaps(struct encrypted *storage, const char *file, const unsigned char *bytes, size_t size)
{
    unsigned char *other;
    char other_file[FILE_NAME_SIZE];
    size_t other_size;

    put_object(storage, "other", 3, THREE_CHUNKS, 1000); /* with the same bytes */
    CHECK_INT(to_file_name(storage, other_file, "other"), 1);
    other = load(storage, other_file, &other_size);
    CHECK_INT(other_size, size);
    is_damaged(storage, file, other, size);
    memcpy(other, bytes, size);
    memcpy(other + HEADER_SIZE, bytes + HEADER_SIZE + SEALED_SIZE, SEALED_SIZE);
    memcpy(other + HEADER_SIZE + SEALED_SIZE, bytes + HEADER_SIZE, SEALED_SIZE);
    is_damaged(storage, file, other, size);
    free(other);
}

static void test_changes(void)
{
    struct encrypted *storage = open_encrypted("changes");
    char file[FILE_NAME_SIZE];
    unsigned char *bytes;
    size_t size;

    put_object(storage, "three", 3, THREE_CHUNKS, 1000);
    CHECK_INT(to_file_name(storage, file, "three"), 1);
    bytes = load(storage, file, &size);
    test_changed_bytes(storage, file, bytes, size);
    test_cuts(storage, file, bytes, size);
    test_swaps(storage, file, bytes, size);
    /* A chunk that is whole is read, whatever was done to the others. */
    bytes[size - 1] ^= 1;
    store(storage, file, bytes, size);
    CHECK_INT(read_object(storage, "three", 3, THREE_CHUNKS), IBT_ERR_CORRUPT);
    bytes[size - 1] ^= 1;
    store(storage, file, bytes, size);
    CHECK_INT(read_object(storage, "three", 3, 0), THREE_CHUNKS);
    free(bytes);
    ibt_storage_free(storage->handle);
}

/* ---- Backups ---- */

static ibt_options *plain; /* without compression, which would hide the text of a plain store */

static void plant(void)
{
    make_dir("src");
    make_dir("src/" MARK_NAME);
    write_file("src/" MARK_NAME "/page", MARK_TEXT);
    write_random("src/large", 300000, 7);
    write_random("src/small", 20000, 8);
}

/* A full backup and two increments: their stamps. */
static void back_up(ibt_storage *storage, char stamps[3][64])
{
    ibt_report *report;
    ibt_error *err;
    int i;

    for (i = 0; i < 3; i++) {
        if (i > 0)
            write_random(i == 1 ? "src/small" : "src/large", 25000, (unsigned)i);
        CHECK_INT(told((i == 0 ? ibt_full_backup : ibt_incremental_backup)(storage, "src", plain, &report, &err), &err),
                  IBT_OK);
        snprintf(stamps[i], 64, "%s", ibt_report_snapshot(report));
        ibt_report_free(report);
    }
}

static ibt_status restore(ibt_storage *storage, const char *stamp, const char *dest, ibt_report **report)
{
    ibt_options *options = ibt_options_new();
    ibt_status status;

    ibt_options_set_snapshot(options, stamp);
    status = ibt_restore(storage, KEY, dest, options, report, NULL);
    ibt_options_free(options);
    return status;
}

static void test_round_trip(void)
{
    ibt_storage *storage = open_encrypted("trip")->handle;
    ibt_options *keep = ibt_options_new();
    ibt_error *err;
    char stamps[3][64];

    plant();
    back_up(storage, stamps);
    CHECK_INT(restore(storage, stamps[2], "newest", NULL), IBT_OK);
    CHECK(same_trees("src", "newest"));
    CHECK_INT(restore(storage, stamps[0], "oldest", NULL), IBT_OK);
    CHECK_INT(told(ibt_verify(storage, KEY, NULL, NULL, &err), &err), IBT_OK);
    ibt_storage_free(storage);

    /* Another program, later. */
    storage = open_encrypted("trip")->handle;
    ibt_options_set_keep_last(keep, 1);
    CHECK_INT(told(ibt_prune(storage, KEY, keep, NULL, &err), &err), IBT_OK);
    CHECK_INT(restore(storage, stamps[0], "gone", NULL), IBT_ERR_NOT_FOUND);
    CHECK_INT(told(ibt_verify(storage, KEY, NULL, NULL, &err), &err), IBT_OK);
    CHECK_INT(restore(storage, stamps[2], "again", NULL), IBT_OK);
    CHECK(same_trees("src", "again"));
    CHECK_INT(told(ibt_consolidate(storage, KEY, NULL, NULL, &err), &err), IBT_OK);
    CHECK_INT(told(ibt_verify(storage, KEY, NULL, NULL, &err), &err), IBT_OK);
    ibt_options_free(keep);
    ibt_storage_free(storage);
    remove_tree("newest");
    remove_tree("oldest");
    remove_tree("again");
    remove_tree("src");
}

static int contains(const unsigned char *bytes, size_t size, const char *text)
{
    size_t length = strlen(text), at;

    for (at = 0; at + length <= size; at++)
        if (memcmp(bytes + at, text, length) == 0)
            return 1;
    return 0;
}

/* Whether the name of a file has `text`, as it is or behind base64. */
static int is_named(const char *file, const char *text)
{
    unsigned char bytes[FILE_NAME_SIZE];
    size_t length;

    if (sodium_base642bin(bytes, sizeof bytes, file, strlen(file), NULL, &length, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING)
        != 0)
        length = 0;
    return strstr(file, text) != NULL || contains(bytes, length, text);
}

/* How many files of a directory have `text` in their name or in their bytes. */
static int files_with(const char *directory, const char *text)
{
    struct encrypted at;
    DIR *listing = opendir(directory);
    const struct dirent *entry;
    int found = 0;

    at.dir = open(directory, O_RDONLY | O_DIRECTORY);
    while (listing != NULL && (entry = readdir(listing)) != NULL) {
        unsigned char *bytes;
        size_t size;

        if (entry->d_name[0] == '.')
            continue;
        bytes = load(&at, entry->d_name, &size);
        found += is_named(entry->d_name, text) || contains(bytes, size, text);
        free(bytes);
    }
    CHECK(listing != NULL);
    closedir(listing);
    close(at.dir);
    return found;
}

static void test_secrecy(void)
{
    static const char *const secrets[] = {KEY, MARK_NAME, MARK_TEXT, "large", "blake3:", "state", "tar", SECRET};
    ibt_storage *hidden = open_encrypted("hidden")->handle, *open = open_storage("plain");
    char stamps[3][64];
    size_t i;

    plant();
    back_up(open, stamps);
    back_up(hidden, stamps);
    for (i = 0; i < sizeof secrets / sizeof *secrets; i++) {
        check_int(files_with("hidden", secrets[i]), 0, secrets[i], __FILE__, __LINE__);
        if (strcmp(secrets[i], SECRET) != 0) /* the check finds what is there */
            check_that(files_with("plain", secrets[i]) > 0, secrets[i], __FILE__, __LINE__);
    }
    ibt_storage_free(open);
    ibt_storage_free(hidden);
    remove_tree("src");
}

/* What is wrong in the report of a verify or restore of a damaged storage is damage, and nothing else. */
static void lists_damage(const ibt_report *report)
{
    size_t i;

    CHECK(ibt_report_problem_count(report) > 0);
    for (i = 0; i < ibt_report_problem_count(report); i++)
        CHECK_INT(ibt_report_problem_kind(report, i), IBT_PROBLEM_DAMAGED);
}

/* Verifies and restores a storage with one damaged object. */
static void check_damage(ibt_storage *storage, const char *stamp)
{
    ibt_report *report;
    ibt_status status = ibt_verify(storage, KEY, NULL, &report, NULL);

    CHECK_INT(status, IBT_PARTIAL);
    lists_damage(report);
    ibt_report_free(report);
    status = restore(storage, stamp, "restored", &report);
    if (status == IBT_PARTIAL)
        lists_damage(report);
    else if (status == IBT_OK) /* the restore does not need the damaged bytes */
        CHECK(same_trees("src", "restored"));
    else
        CHECK_INT(status, IBT_ERR_CORRUPT);
    ibt_report_free(report);
    if (exists("restored"))
        remove_tree("restored");
}

/* Changes a file in each way, and puts it back. The last way: the file has the bytes of another object's file. */
static void damage_file(struct encrypted *storage, const char *file, const char *another, const char *stamp)
{
    size_t size, other_size;
    unsigned char *bytes = load(storage, file, &size), *other = load(storage, another, &other_size);

    bytes[size / 2] ^= 1;
    store(storage, file, bytes, size);
    check_damage(storage->handle, stamp);
    bytes[size / 2] ^= 1;
    store(storage, file, bytes, size - 1);
    check_damage(storage->handle, stamp);
    store(storage, file, bytes, HEADER_SIZE + (size - HEADER_SIZE) / SEALED_SIZE * SEALED_SIZE);
    check_damage(storage->handle, stamp);
    store(storage, file, other, other_size);
    check_damage(storage->handle, stamp);
    store(storage, file, bytes, size);
    free(other);
    free(bytes);
}

static void test_damage(void)
{
    struct encrypted *storage = open_encrypted("damage");
    char stamps[3][64], names[20][NAME_SIZE + 1], file[FILE_NAME_SIZE], another[FILE_NAME_SIZE];
    const struct dirent *entry;
    DIR *listing;
    size_t count = 0, i;

    plant();
    back_up(storage->handle, stamps);
    listing = begin_listing(storage->dir);
    while (listing != NULL && count < 20 && (entry = readdir(listing)) != NULL)
        count += (size_t)(to_name(storage, names[count], entry->d_name) && strchr(names[count], '/') == NULL);
    closedir(listing);
    CHECK(count > 6);
    for (i = 0; i < count; i++) {
        to_file_name(storage, file, names[i]);
        to_file_name(storage, another, names[(i + 1) % count]);
        damage_file(storage, file, another, stamps[2]);
    }
    CHECK_INT(ibt_verify(storage->handle, KEY, NULL, NULL, NULL), IBT_OK);
    ibt_storage_free(storage->handle);
    remove_tree("src");
}

/* ---- Passphrases ---- */

static void refuses(const char *directory, const char *passphrase, int create, const char *reason)
{
    char why[300] = "";

    CHECK(encrypted_storage_open(directory, passphrase, strlen(passphrase), create, why, sizeof why) == NULL);
    CHECK_HAS(why, reason);
    CHECK_HAS(why, directory);
}

static void test_passphrases(void)
{
    struct encrypted *storage = open_encrypted("secret");
    unsigned char *key;
    size_t size, at;

    refuses("secret", "correct horsf", 1, "the passphrase is wrong");
    refuses("secret", "correct hors", 0, "the passphrase is wrong");
    refuses("secret", "", 0, "the passphrase is empty");
    refuses("absent", SECRET, 0, "No such file");
    CHECK(!exists("absent"));
    make_dir("empty");
    refuses("empty", SECRET, 0, "there is no file encrypted.key");
    make_dir("used");
    write_file("used/letter", "text");
    refuses("used", SECRET, 1, "the directory is not empty");
    CHECK_INT(count_entries("used"), 1);
    write_file("file", "text");
    refuses("file", SECRET, 1, "Not a directory");

    key = load(storage, "encrypted.key", &size);
    for (at = 0; at < size; at++) {
        key[at] ^= 1;
        store(storage, "encrypted.key", key, size);
        refuses("secret", SECRET, 1, "encrypted.key");
        key[at] ^= 1;
        store(storage, "encrypted.key", key, at);
        refuses("secret", SECRET, 1, "encrypted.key is damaged");
    }
    store(storage, "encrypted.key", key, size);
    ibt_storage_free(open_encrypted("secret")->handle);
    free(key);
    ibt_storage_free(storage->handle);
}

/* ---- Drafts ---- */

static void test_drafts(void)
{
    struct encrypted *storage = open_encrypted("drafts");
    void *stream = NULL;

    CHECK_INT(encrypted_create(storage, "object", &stream), IBT_CALLBACK_OK);
    write_file("drafts/.draft-of-a-killed-program", "rest");
    CHECK_INT(count_prefixed("drafts", ".draft-"), 2);
    CHECK_INT(encrypted_lock(storage, KEY), IBT_CALLBACK_OK);
    CHECK_INT(count_prefixed("drafts", ".draft-"), 1);
    encrypted_unlock(storage, KEY);
    CHECK_INT(encrypted_commit(storage, stream), IBT_CALLBACK_OK);
    CHECK_INT(count_prefixed("drafts", ".draft-"), 0);
    CHECK_INT(read_object(storage, "object", 0, 0), 0);
    ibt_storage_free(storage->handle);
}

int main(void)
{
    check_begin();
    plain = ibt_options_new();
    ibt_options_set_key(plain, KEY);
    ibt_options_set_compression(plain, IBT_COMPRESSION_NONE, 0);
    ibt_options_set_threads(plain, 1);
    storage_contract(make);
    test_sizes();
    test_names();
    test_changes();
    test_round_trip();
    test_secrecy();
    test_damage();
    test_passphrases();
    test_drafts();
    ibt_options_free(plain);
    return check_end();
}
