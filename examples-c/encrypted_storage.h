/*
 * encrypted_storage.h - an example of a caller's own storage: a directory of encrypted files.
 *
 * Who has the directory without the passphrase sees the number, the sizes and the times of the files, but no name and
 * no content. Who changes, cuts or swaps files makes them unreadable: libibt reports the damage. It reports missing
 * files too. Only an older state of the whole directory looks right: to notice it, keep the digest of the newest
 * snapshot elsewhere (ibt_report_digest(), ibt_options_set_expected_digest()).
 *
 * The cache that libibt keeps on the machine of the source is not encrypted: see ibt_options_set_cache_dir().
 */
#ifndef ENCRYPTED_STORAGE_H
#define ENCRYPTED_STORAGE_H

#include <ibt.h>

/*
 * Opens a directory of encrypted files. With `create`, an absent or empty directory becomes one with this passphrase;
 * the directories above it must exist. The passphrase is any sequence of bytes, but not empty; it may be the content of
 * a key file. The call takes about a second, so that each guess of a passphrase takes as long.
 *
 * Returns the storage, which the caller frees with ibt_storage_free(). If that fails, returns NULL and writes the
 * reason into `why`: one line, of at most `size` bytes with NUL.
 */
ibt_storage *encrypted_storage_open(const char *directory, const char *passphrase, size_t length, int create,
                                    char *why, size_t size);

#endif
