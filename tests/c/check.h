/*
 * check.h - for every test program: assertions that print file and line, and trees of
 * files in a directory that is removed at the end.
 *
 * A program calls check_begin() first and returns check_end().
 */
#ifndef CHECK_H
#define CHECK_H

#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700 /* nftw, mkdtemp */
#endif
/* Without 64 bits, stat() and readdir() fail on machines of 32 bits for files with long inode numbers. */
#define _FILE_OFFSET_BITS 64
#define _TIME_BITS 64

#include <ibt.h>

/* A failed check is printed and counted, and the program goes on, so that one run shows all failures. */
#define CHECK(condition) check_that((condition) != 0, #condition, __FILE__, __LINE__)
#define CHECK_INT(got, wanted) check_int((long long)(got), (long long)(wanted), #got, __FILE__, __LINE__)
/* Strings; either may be NULL. */
#define CHECK_TEXT(got, wanted) check_text((got), (wanted), #got, __FILE__, __LINE__)
#define CHECK_HAS(text, part) check_has((text), (part), #text, __FILE__, __LINE__)

void check_that(int holds, const char *what, const char *file, int line);
void check_int(long long got, long long wanted, const char *what, const char *file, int line);
void check_text(const char *got, const char *wanted, const char *what, const char *file, int line);
void check_has(const char *text, const char *part, const char *what, const char *file, int line);

/* Makes a fresh directory and enters it; TMPDIR, XDG_CACHE_HOME and HOME point into it. */
void check_begin(void);
/* Removes that directory. Returns the exit status of the program: 1 if a check failed, 0 if none did. */
int check_end(void);

/* Trees. Paths are relative to the fresh directory; a failure ends the program. */
void make_dir(const char *path);
void write_file(const char *path, const char *text);
/* Writes a file of `size` bytes that look random and depend on `seed` only. */
void write_random(const char *path, size_t size, unsigned seed);
void remove_tree(const char *path);
int exists(const char *path);
/* The number of entries in a directory; -1 if it does not exist. */
int count_entries(const char *path);
/* The number of files and directories below `path` whose name begins with `prefix`. */
int count_prefixed(const char *path, const char *prefix);
/* 1 if both trees hold the same names, types, contents, modes and mtimes. */
int same_trees(const char *a, const char *b);

/* Opens a storage; ends the program if that fails. */
ibt_storage *open_storage(const char *path);
/* Prints and frees the error, if there is one; returns the status. */
ibt_status told(ibt_status status, ibt_error **err);

#endif
