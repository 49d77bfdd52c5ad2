/*
 * encrypted_storage.c - an example of a caller's own storage: a directory of encrypted files, made with libsodium.
 *
 * A file holds one object. It begins with 8 bytes that name the format, and 16 random bytes: the file's id. Then come
 * the chunks of the object, of 64 KiB each; the last one may be shorter. Each chunk is encrypted and authenticated by
 * itself (XChaCha20-Poly1305), so that a range is read without the rest of the object. The nonce of a chunk is the
 * file's id and the number of the chunk. Its associated data are its number, the mark of the last chunk, and the name
 * of the object. So a chunk verifies only in its place: not if chunks or files were swapped, and not as the end of a
 * file that was cut or extended.
 *
 * The name of a file is the encrypted name of its object: a MAC of the name (BLAKE2b), and the name XORed with a key
 * stream (XChaCha20) whose nonce is the MAC, both in base64. An object always has the same file name, so no table is
 * needed to find it, and the system refuses a second object of the name.
 *
 * The empty files are locks of keys. encrypted_key.c describes the file encrypted.key.
 *
 *     cc mine.c encrypted_*.c $(pkg-config --cflags --libs ibt libsodium)
 */
#include "encrypted_parts.h"
#include "encrypted_storage.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "ibt-enc1"

enum {
    MAGIC_SIZE = 8,
    ID_SIZE = 16,
    HEADER_SIZE = MAGIC_SIZE + ID_SIZE,
    CHUNK_SIZE = 65536,
    TAG_SIZE = crypto_aead_xchacha20poly1305_ietf_ABYTES,
    SEALED_SIZE = CHUNK_SIZE + TAG_SIZE,
    MAC_SIZE = 16,
    /* The longest name whose file name has at most 255 bytes. The names of libibt 0.1 have at most 175 bytes too. */
    NAME_SIZE = 175
};

/* A held lock: an open and locked file. */
struct lock {
    struct lock *next;
    int fd;
    char key[]; /* ended by NUL */
};

/* Every function gets this as `ud`. libibt calls one function at a time, so they can share the buffers. */
struct encrypted {
    ibt_storage *handle; /* to say why a function failed */
    int dir;
    unsigned char chunk_key[KEY_SIZE], mac_key[KEY_SIZE], name_key[KEY_SIZE];
    struct lock *locks;
    unsigned char chunk[CHUNK_SIZE]; /* that was read last */
    unsigned char sealed[SEALED_SIZE];
};

/* An object while it is written. */
struct draft {
    int fd;
    char file[FILE_NAME_SIZE]; /* its name until the commit */
    char name[NAME_SIZE + 1];  /* of the object */
    unsigned char id[ID_SIZE];
    uint64_t chunks; /* number of chunks that were written */
    size_t filled;
    unsigned char chunk[CHUNK_SIZE];
};

/* An object while it is read. */
struct object {
    int fd;
    unsigned char id[ID_SIZE];
    uint64_t size, chunks; /* as the length of the file says; the last chunk proves it */
};

static int32_t fail(struct encrypted *storage, int code)
{
    ibt_storage_fail(storage->handle, code, NULL);
    return IBT_CALLBACK_FAILED;
}

static int32_t damaged(struct encrypted *storage, const char *reason)
{
    ibt_storage_fail(storage->handle, 0, reason);
    return IBT_ERR_CORRUPT;
}

/* ---- Names ---- */

/* XORs the name with the key stream that belongs to its MAC. */
static void xor_name(const struct encrypted *storage, unsigned char *out, const unsigned char *in, size_t length,
                     const unsigned char *mac)
{
    unsigned char nonce[crypto_stream_xchacha20_NONCEBYTES] = {0};

    memcpy(nonce, mac, MAC_SIZE);
    crypto_stream_xchacha20_xor(out, in, length, nonce, storage->name_key);
}

/* The name of the file of an object. Returns 0 with errno if the name is too long. */
static int to_file_name(const struct encrypted *storage, char *file, const char *name)
{
    unsigned char sealed[MAC_SIZE + NAME_SIZE];
    size_t length = strlen(name);

    if (length > NAME_SIZE) {
        errno = ENAMETOOLONG;
        return 0;
    }
    crypto_generichash(sealed, MAC_SIZE, (const unsigned char *)name, length, storage->mac_key, KEY_SIZE);
    xor_name(storage, sealed + MAC_SIZE, (const unsigned char *)name, length, sealed);
    sodium_bin2base64(file, FILE_NAME_SIZE, sealed, MAC_SIZE + length, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    return 1;
}

/* The name of the object in a file. Returns 0 if it is no file of this storage. */
static int to_name(const struct encrypted *storage, char *name, const char *file)
{
    unsigned char sealed[MAC_SIZE + NAME_SIZE], mac[MAC_SIZE];
    size_t length;

    if (sodium_base642bin(sealed, sizeof sealed, file, strlen(file), NULL, &length, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0
        || length <= MAC_SIZE)
        return 0;
    length -= MAC_SIZE;
    xor_name(storage, (unsigned char *)name, sealed + MAC_SIZE, length, sealed);
    name[length] = '\0';
    crypto_generichash(mac, MAC_SIZE, (const unsigned char *)name, length, storage->mac_key, KEY_SIZE);
    return sodium_memcmp(mac, sealed, MAC_SIZE) == 0;
}

/* ---- Chunks ---- */

/* The bytes that bind a chunk to its place. */
struct place {
    unsigned char nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];
    unsigned char data[8 + 1 + NAME_SIZE]; /* the associated data */
    size_t length;                         /* of data */
};

static struct place place_of(const char *name, const unsigned char *id, uint64_t number, int is_last)
{
    struct place place;
    size_t length = strlen(name); /* at most NAME_SIZE, because the object has a file name */

    memcpy(place.nonce, id, ID_SIZE);
    put_u64(place.nonce + ID_SIZE, number);
    put_u64(place.data, number);
    place.data[8] = (unsigned char)is_last;
    memcpy(place.data + 9, name, length);
    place.length = 9 + length;
    return place;
}

/* Encrypts and writes the chunk of a draft. Returns 0 with errno if that fails. */
static int put_chunk(struct encrypted *storage, struct draft *draft, int is_last)
{
    struct place place = place_of(draft->name, draft->id, draft->chunks, is_last);
    unsigned long long length;

    crypto_aead_xchacha20poly1305_ietf_encrypt(storage->sealed, &length, draft->chunk, draft->filled, place.data,
                                               place.length, NULL, place.nonce, storage->chunk_key);
    draft->chunks++;
    draft->filled = 0;
    return write_all(draft->fd, storage->sealed, (size_t)length);
}

/* Reads a chunk into storage->chunk. *length becomes its size. */
static int32_t get_chunk(struct encrypted *storage, const struct object *object, const char *name, uint64_t number,
                         size_t *length)
{
    struct place place = place_of(name, object->id, number, number + 1 == object->chunks);
    ssize_t got = read_all(object->fd, storage->sealed, SEALED_SIZE, HEADER_SIZE + number * SEALED_SIZE);
    unsigned long long plain;
    char reason[100];

    if (got < 0)
        return fail(storage, errno);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(storage->chunk, &plain, NULL, storage->sealed,
                                                   (unsigned long long)got, place.data, place.length, place.nonce,
                                                   storage->chunk_key)
        != 0) {
        snprintf(reason, sizeof reason, "the encrypted file is damaged: chunk %llu of %llu does not verify",
                 (unsigned long long)number + 1, (unsigned long long)object->chunks);
        return damaged(storage, reason);
    }
    *length = (size_t)plain;
    return IBT_CALLBACK_OK;
}

/* Computes the size and the number of chunks of an object from the length of its file. There is always a chunk: an
 * empty object has one without bytes. If the file was cut or extended, its last chunk does not verify. */
static void measure(struct object *object, uint64_t file_size)
{
    uint64_t body = file_size < HEADER_SIZE ? 0 : file_size - HEADER_SIZE;
    uint64_t whole = body / SEALED_SIZE, rest = body % SEALED_SIZE;

    object->chunks = whole + (rest > 0 || whole == 0);
    object->size = whole * CHUNK_SIZE + (rest > TAG_SIZE ? rest - TAG_SIZE : 0);
}

/* ---- Writing: an object grows in a file with a name of a draft, and its commit gives the file its own name. ---- */

static void free_draft(struct draft *draft)
{
    sodium_memzero(draft->chunk, sizeof draft->chunk);
    close(draft->fd);
    free(draft);
}

static int32_t encrypted_create(void *ud, const char *name, void **stream)
{
    struct encrypted *storage = ud;
    unsigned char header[HEADER_SIZE];
    char file[FILE_NAME_SIZE];
    struct draft *draft;

    if (!to_file_name(storage, file, name))
        return fail(storage, errno);
    draft = calloc(1, sizeof *draft);
    if (draft == NULL)
        return fail(storage, ENOMEM);
    strcpy(draft->name, name);
    draft->fd = make_draft(storage->dir, draft->file);
    if (draft->fd < 0) {
        free(draft);
        return fail(storage, errno);
    }
    randombytes_buf(draft->id, ID_SIZE);
    memcpy(header, MAGIC, MAGIC_SIZE);
    memcpy(header + MAGIC_SIZE, draft->id, ID_SIZE);
    if (!write_all(draft->fd, header, HEADER_SIZE)) {
        int code = errno;

        unlinkat(storage->dir, draft->file, 0);
        free_draft(draft);
        return fail(storage, code);
    }
    *stream = draft;
    return IBT_CALLBACK_OK;
}

/* A full chunk is written only when more bytes come: the last chunk has a mark. */
static int32_t encrypted_write(void *ud, void *stream, const uint8_t *data, size_t len)
{
    struct encrypted *storage = ud;
    struct draft *draft = stream;

    while (len > 0) {
        size_t room = CHUNK_SIZE - draft->filled, part = len < room ? len : room;

        if (room == 0) {
            if (!put_chunk(storage, draft, 0))
                return fail(storage, errno);
            continue;
        }
        memcpy(draft->chunk + draft->filled, data, part);
        draft->filled += part;
        data += part;
        len -= part;
    }
    return IBT_CALLBACK_OK;
}

static void encrypted_abort(void *ud, void *stream)
{
    struct encrypted *storage = ud;
    struct draft *draft = stream;

    unlinkat(storage->dir, draft->file, 0);
    free_draft(draft);
}

/* A commit ends the stream, whether it succeeds or fails. An existing object is never replaced. */
static int32_t encrypted_commit(void *ud, void *stream)
{
    struct encrypted *storage = ud;
    struct draft *draft = stream;
    char file[FILE_NAME_SIZE];
    int code;

    if (to_file_name(storage, file, draft->name) && put_chunk(storage, draft, 1)
        && publish_draft(storage->dir, draft->fd, draft->file, file) == 0) {
        free_draft(draft);
        return IBT_CALLBACK_OK;
    }
    code = errno;
    encrypted_abort(storage, draft);
    return code == EEXIST ? IBT_ERR_EXISTS : fail(storage, code);
}

/* ---- Reading ---- */

/* Opens the file of an object and reads its header. */
static int32_t open_object(struct encrypted *storage, const char *name, struct object *object)
{
    unsigned char header[HEADER_SIZE];
    char file[FILE_NAME_SIZE];
    struct stat found;
    ssize_t got;

    if (!to_file_name(storage, file, name))
        return IBT_ERR_NOT_FOUND; /* no object has a longer name */
    object->fd = openat(storage->dir, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (object->fd < 0)
        return errno == ENOENT ? IBT_ERR_NOT_FOUND : fail(storage, errno);
    if (fstat(object->fd, &found) != 0)
        return fail(storage, errno);
    if (!S_ISREG(found.st_mode))
        return damaged(storage, "it is not a regular file");
    got = read_all(object->fd, header, HEADER_SIZE, 0);
    if (got < 0)
        return fail(storage, errno);
    if (got < HEADER_SIZE || memcmp(header, MAGIC, MAGIC_SIZE) != 0)
        return damaged(storage, "the encrypted file is damaged: its beginning is that of another file");
    memcpy(object->id, header + MAGIC_SIZE, ID_SIZE);
    measure(object, (uint64_t)found.st_size);
    return IBT_CALLBACK_OK;
}

/* Reads at most one chunk; libibt calls again for the rest. At or past the end, the last chunk must verify: only it has
 * the mark that the object ends there. */
static int32_t encrypted_read_at(void *ud, const char *name, uint64_t offset, uint8_t *buf, size_t len, size_t *got)
{
    struct encrypted *storage = ud;
    struct object object = {-1, {0}, 0, 0};
    size_t length = 0, begin = (size_t)(offset % CHUNK_SIZE);
    int32_t answer = open_object(storage, name, &object);

    if (answer == IBT_CALLBACK_OK) {
        uint64_t number = offset < object.size ? offset / CHUNK_SIZE : object.chunks - 1;

        answer = get_chunk(storage, &object, name, number, &length);
    }
    if (answer == IBT_CALLBACK_OK && offset < object.size && begin < length) {
        *got = length - begin < len ? length - begin : len;
        memcpy(buf, storage->chunk + begin, *got);
    }
    if (object.fd >= 0)
        close(object.fd);
    return answer;
}

/* Adds the object in a file to a listing, if it is one. Returns 0 with errno if it cannot be examined. */
static int list_file(const struct encrypted *storage, const char *file, const char *prefix, ibt_list *out)
{
    char name[NAME_SIZE + 1];
    struct object object;
    struct stat found;

    if (!to_name(storage, name, file) || strncmp(name, prefix, strlen(prefix)) != 0)
        return 1;
    if (fstatat(storage->dir, file, &found, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT; /* deleted a moment ago */
    if (S_ISREG(found.st_mode)) {
        measure(&object, (uint64_t)found.st_size);
        ibt_list_add(out, name, object.size);
    }
    return 1;
}

static int32_t encrypted_list(void *ud, const char *prefix, ibt_list *out)
{
    struct encrypted *storage = ud;
    DIR *listing = begin_listing(storage->dir);
    const struct dirent *entry;
    int code;

    if (listing == NULL)
        return fail(storage, errno);
    while (errno = 0, (entry = readdir(listing)) != NULL)
        if (!list_file(storage, entry->d_name, prefix, out))
            break;
    code = errno;
    closedir(listing);
    return code == 0 ? IBT_CALLBACK_OK : fail(storage, code);
}

/* ---- Deleting ---- */

/* libibt deletes files in an order that leaves whole snapshots. Each delete is durable before the next, so that the
 * order holds after a power cut too. */
static int32_t encrypted_delete(void *ud, const char *name)
{
    struct encrypted *storage = ud;
    char file[FILE_NAME_SIZE];

    if (!to_file_name(storage, file, name))
        return IBT_CALLBACK_OK; /* no object has a longer name */
    if (unlinkat(storage->dir, file, 0) != 0)
        return errno == ENOENT ? IBT_CALLBACK_OK : fail(storage, errno);
    return fsync(storage->dir) == 0 ? IBT_CALLBACK_OK : fail(storage, errno);
}

/* ---- Locking: by empty files, which stay. The system unlocks the file of a killed program. ---- */

/* The file of a lock has the name of an object that cannot exist: no name of an object contains '/'. */
static int open_lock_file(const struct encrypted *storage, const char *key)
{
    char name[NAME_SIZE + 1], file[FILE_NAME_SIZE];
    int length = snprintf(name, sizeof name, "lock/%s", key);

    if (length < 0 || length > NAME_SIZE || !to_file_name(storage, file, name)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return openat(storage->dir, file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static int32_t encrypted_lock(void *ud, const char *key)
{
    struct encrypted *storage = ud;
    int fd = open_lock_file(storage, key);
    struct lock *held;

    if (fd < 0)
        return fail(storage, errno);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int code = errno;

        close(fd);
        return code == EWOULDBLOCK ? IBT_ERR_BUSY : fail(storage, code);
    }
    held = malloc(sizeof *held + strlen(key) + 1);
    if (held == NULL) {
        close(fd);
        return fail(storage, ENOMEM);
    }
    held->fd = fd;
    held->next = storage->locks;
    strcpy(held->key, key);
    storage->locks = held;
    remove_old_drafts(storage->dir);
    return IBT_CALLBACK_OK;
}

static void encrypted_unlock(void *ud, const char *key)
{
    struct encrypted *storage = ud;
    struct lock **link = &storage->locks, *held;

    while (*link != NULL && strcmp((*link)->key, key) != 0)
        link = &(*link)->next;
    held = *link;
    if (held == NULL)
        return;
    *link = held->next;
    close(held->fd); /* unlocks the file */
    free(held);
}

/* ---- Opening and freeing the storage ---- */

/* libibt calls this once, after the storage was freed and when nothing uses it any more. */
static void encrypted_destroy(void *ud)
{
    struct encrypted *storage = ud;

    close(storage->dir);
    sodium_memzero(storage, sizeof *storage);
    free(storage);
}

static void derive_keys(struct encrypted *storage, const unsigned char *master)
{
    crypto_kdf_derive_from_key(storage->chunk_key, KEY_SIZE, 1, MAGIC, master);
    crypto_kdf_derive_from_key(storage->mac_key, KEY_SIZE, 2, MAGIC, master);
    crypto_kdf_derive_from_key(storage->name_key, KEY_SIZE, 3, MAGIC, master);
}

/* Opens a directory. Returns NULL and sets *why if that fails. */
static struct encrypted *open_directory(const char *directory, const char *passphrase, size_t length, int create,
                                        const char **why)
{
    struct encrypted *storage = calloc(1, sizeof *storage);
    unsigned char master[KEY_SIZE];

    *why = NULL;
    if (storage == NULL)
        *why = strerror(ENOMEM);
    else if (length == 0)
        *why = "the passphrase is empty";
    else if (sodium_init() < 0)
        *why = "libsodium does not work on this system";
    else if (create && mkdir(directory, 0700) != 0 && errno != EEXIST)
        *why = strerror(errno);
    else if ((storage->dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        *why = strerror(errno);
    else if ((*why = get_master_key(storage->dir, master, passphrase, length, create)) != NULL)
        close(storage->dir);
    if (*why != NULL) {
        free(storage);
        return NULL;
    }
    derive_keys(storage, master);
    sodium_memzero(master, sizeof master);
    return storage;
}

static ibt_storage *make_storage(struct encrypted *storage)
{
    storage->handle = ibt_storage_new(storage, encrypted_destroy);
    ibt_storage_set_writer(storage->handle, encrypted_create, encrypted_write, encrypted_commit, encrypted_abort);
    ibt_storage_set_reader(storage->handle, encrypted_read_at);
    ibt_storage_set_list(storage->handle, encrypted_list);
    ibt_storage_set_delete(storage->handle, encrypted_delete);
    ibt_storage_set_lock(storage->handle, encrypted_lock, encrypted_unlock);
    ibt_storage_set_traits(storage->handle, IBT_STORAGE_READS_CHEAPLY);
    return storage->handle;
}

ibt_storage *encrypted_storage_open(const char *directory, const char *passphrase, size_t length, int create,
                                    char *why, size_t size)
{
    const char *reason;
    struct encrypted *storage = open_directory(directory, passphrase, length, create, &reason);

    if (storage != NULL)
        return make_storage(storage);
    snprintf(why, size, "cannot open %s: %s", directory, reason);
    return NULL;
}
