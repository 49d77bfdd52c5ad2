/*
 * encrypted_key.c - the master key of a directory of encrypted files.
 *
 * The key is random. The file encrypted.key holds it, encrypted with a key that Argon2id makes of the passphrase, and
 * the cost and the salt of Argon2id. The file is written once. Who lost it cannot read the backups any more, also with
 * the passphrase: keep a copy of it elsewhere.
 */
#include "encrypted_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

/* The cost of each guess of the passphrase of a new directory: the passes of Argon2id, and its memory in bytes. */
#ifndef ENCRYPTED_PASSES
#define ENCRYPTED_PASSES crypto_pwhash_OPSLIMIT_MODERATE
#define ENCRYPTED_MEMORY crypto_pwhash_MEMLIMIT_MODERATE
#endif
/* The most that an existing directory may ask for. */
#define PASSES_LIMIT 16
#define MEMORY_LIMIT crypto_pwhash_MEMLIMIT_SENSITIVE

#define KEY_FILE "encrypted.key"
#define MAGIC "ibt-key1"

/* The file: MAGIC, passes, memory, salt, nonce, and the encrypted master key. All that precedes that key is
 * authenticated with it. */
enum {
    PASSES_AT = 8,
    MEMORY_AT = PASSES_AT + 8,
    SALT_AT = MEMORY_AT + 8,
    NONCE_AT = SALT_AT + crypto_pwhash_SALTBYTES,
    MASTER_AT = NONCE_AT + crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    SEALED_KEY_SIZE = KEY_SIZE + crypto_aead_xchacha20poly1305_ietf_ABYTES,
    KEY_FILE_SIZE = MASTER_AT + SEALED_KEY_SIZE
};

/* The key that encrypts the master key. Returns NULL, or why it could not be made. */
static const char *stretch(const unsigned char *file, unsigned char *key, const char *passphrase, size_t length)
{
    uint64_t passes = get_u64(file + PASSES_AT), memory = get_u64(file + MEMORY_AT);

    if (passes > PASSES_LIMIT || memory > MEMORY_LIMIT)
        return KEY_FILE " is damaged or forged: it asks for too much work";
    if (crypto_pwhash(key, KEY_SIZE, passphrase, length, file + SALT_AT, passes, (size_t)memory,
                      crypto_pwhash_ALG_ARGON2ID13)
        != 0)
        return "the passphrase cannot be used: there is too little memory, or " KEY_FILE " is damaged";
    return NULL;
}

/* Fills in a key file with a new master key. */
static const char *fill(unsigned char *file, const char *passphrase, size_t length)
{
    unsigned char key[KEY_SIZE], master[KEY_SIZE];
    const char *why;

    memcpy(file, MAGIC, PASSES_AT);
    put_u64(file + PASSES_AT, ENCRYPTED_PASSES);
    put_u64(file + MEMORY_AT, ENCRYPTED_MEMORY);
    randombytes_buf(file + SALT_AT, MASTER_AT - SALT_AT); /* salt and nonce */
    why = stretch(file, key, passphrase, length);
    if (why != NULL)
        return why;
    randombytes_buf(master, KEY_SIZE);
    crypto_aead_xchacha20poly1305_ietf_encrypt(file + MASTER_AT, NULL, master, KEY_SIZE, file, MASTER_AT, NULL,
                                               file + NONCE_AT, key);
    sodium_memzero(master, KEY_SIZE);
    sodium_memzero(key, KEY_SIZE);
    return NULL;
}

/* 1 if the directory has nothing but drafts, 0 if it has more; -1 with errno if it cannot be listed. */
static int is_unused(int dir)
{
    DIR *listing = begin_listing(dir);
    const struct dirent *entry;
    int unused = 1, code;

    if (listing == NULL)
        return -1;
    while (errno = 0, (entry = readdir(listing)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && !is_draft(entry->d_name))
            unused = 0;
    code = errno;
    closedir(listing);
    errno = code;
    return code == 0 ? unused : -1;
}

/* Makes the directory's own name durable: it may be new. */
static int sync_parent(int dir)
{
    int parent = openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC), done;

    if (parent < 0)
        return errno == EACCES; /* the directory was made by somebody who may list its parent */
    done = fsync(parent) == 0;
    close(parent);
    return done;
}

/* Makes a key file. If another program makes one at the same time, the first one counts. Returns NULL, or why it
 * failed. */
static const char *make_key_file(int dir, const char *passphrase, size_t length)
{
    unsigned char file[KEY_FILE_SIZE];
    char draft[FILE_NAME_SIZE];
    const char *why = fill(file, passphrase, length);
    int fd;

    if (why != NULL)
        return why;
    fd = make_draft(dir, draft);
    if (fd < 0)
        return strerror(errno);
    if (!write_all(fd, file, KEY_FILE_SIZE) || (publish_draft(dir, fd, draft, KEY_FILE) != 0 && errno != EEXIST)
        || !sync_parent(dir))
        why = strerror(errno);
    unlinkat(dir, draft, 0);
    close(fd);
    return why;
}

/* Makes a key file in a directory that has none, if it is new. A new key would not open the files of an older one, and
 * nobody would see that they are there. */
static const char *begin_directory(int dir, const char *passphrase, size_t length, int create)
{
    int unused = is_unused(dir);

    if (unused < 0)
        return strerror(errno);
    if (!unused)
        return "the directory is not empty and has no file " KEY_FILE;
    return create ? make_key_file(dir, passphrase, length) : "there is no file " KEY_FILE;
}

const char *get_master_key(int dir, unsigned char *master, const char *passphrase, size_t length, int create)
{
    unsigned char file[KEY_FILE_SIZE], key[KEY_SIZE];
    const char *why = NULL;
    ssize_t got;
    int fd = openat(dir, KEY_FILE, O_RDONLY | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT) {
        why = begin_directory(dir, passphrase, length, create);
        if (why != NULL)
            return why;
        fd = openat(dir, KEY_FILE, O_RDONLY | O_CLOEXEC);
    }
    if (fd < 0)
        return strerror(errno);
    got = read_all(fd, file, KEY_FILE_SIZE, 0);
    if (got < 0)
        why = strerror(errno);
    else if (got < KEY_FILE_SIZE || memcmp(file, MAGIC, PASSES_AT) != 0)
        why = KEY_FILE " is damaged, or belongs to another program";
    close(fd);
    if (why == NULL)
        why = stretch(file, key, passphrase, length);
    if (why == NULL
        && crypto_aead_xchacha20poly1305_ietf_decrypt(master, NULL, NULL, file + MASTER_AT, SEALED_KEY_SIZE, file,
                                                      MASTER_AT, file + NONCE_AT, key)
               != 0)
        why = "the passphrase is wrong, or " KEY_FILE " is damaged";
    sodium_memzero(key, KEY_SIZE);
    return why;
}
