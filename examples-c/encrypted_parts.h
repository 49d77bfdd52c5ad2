/*
 * encrypted_parts.h - shared declarations of the encrypting storage.
 *
 *   encrypted_storage.c  names, chunks, and the functions that libibt calls
 *   encrypted_key.c      the master key, and the file that holds it
 *   encrypted_files.c    files that appear whole, under their final names
 */
#ifndef ENCRYPTED_PARTS_H
#define ENCRYPTED_PARTS_H

#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700 /* openat, linkat, fdopendir, pread */
#endif
/* Sizes and offsets of 64 bits, also on machines of 32 bits. */
#define _FILE_OFFSET_BITS 64
#define _TIME_BITS 64

#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    KEY_SIZE = 32,       /* of every key */
    FILE_NAME_SIZE = 256 /* of the longest name of a file, with NUL */
};

/* encrypted_files.c. Functions that fail set errno. */

/* Numbers as 8 bytes, the lowest first. */
void put_u64(unsigned char *out, uint64_t number);
uint64_t get_u64(const unsigned char *in);
/* Writes everything. Returns 0 if that fails. */
int write_all(int fd, const unsigned char *bytes, size_t size);
/* Reads `size` bytes, or up to the end of the file. Returns their number, or -1. */
ssize_t read_all(int fd, unsigned char *bytes, size_t size, uint64_t offset);
/* Opens a directory for readdir(); NULL if that fails. */
DIR *begin_listing(int dir);
/* Makes an empty file under the name of a draft, which is stored in `file`. Returns the descriptor, or -1. */
int make_draft(int dir, char *file);
int is_draft(const char *file);
/* Gives a complete draft its final name, if nothing has that name (else EEXIST). Both the file and its name survive a
 * power cut then. Returns 0, or -1. */
int publish_draft(int dir, int fd, const char *draft, const char *file);
/* Removes the drafts of killed programs. */
void remove_old_drafts(int dir);

/* encrypted_key.c */

/* Reads the master key of a directory. With `create`, makes one if the directory is empty. Returns NULL, or why that
 * failed. */
const char *get_master_key(int dir, unsigned char *master, const char *passphrase, size_t length, int create);

#endif
