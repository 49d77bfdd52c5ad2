/*
 * command_storage.h - an example of a caller's own storage: each function runs a command, rclone. So every service that
 * rclone knows can hold the backup files.
 *
 * Another program can take the place of rclone, for example a script. It has to understand these command lines, and to
 * end with 0 if and only if it did its work:
 *
 *   rcat --ask-password=false -- REMOTE/NAME       makes an object of the bytes of its input
 *   cat --ask-password=false --offset N --count N -- REMOTE/NAME
 *                                                  writes a range of an object to its output
 *   lsf --ask-password=false --files-only --format sp -- REMOTE
 *                                                  writes a line SIZE;NAME for each object
 *   lsf --ask-password=false --files-only --format sp -- REMOTE/NAME
 *                                                  writes one such line; ends with 3, or writes nothing, if there is
 *                                                  no such object
 *   moveto --ask-password=false --ignore-existing -- REMOTE/OLD REMOTE/NEW
 *                                                  gives an object another name
 *   deletefile --ask-password=false -- REMOTE/NAME removes an object
 *   mkdir --ask-password=false -- REMOTE           makes the place of the objects, if there is none
 *
 * rclone cannot do everything that libibt asks of a storage:
 *
 * - No command makes an object only if the name is free. The storage looks for the name first. If two programs give the
 *   same name in the same moment, one object wins. The names of libibt contain the microsecond and the key, so this
 *   needs two backups of one key at once.
 * - There are no locks. The caller must prevent two backups, consolidations or prunes of one key at the same time.
 * - An object is written under the name of a draft, `.ibt-draft-` and random letters, and renamed when it is complete:
 *   a program that is killed leaves a draft, never a part of a backup. Where a service cannot rename, rclone copies the
 *   object within the service and deletes the draft. Drafts of killed programs stay. Nothing tells them from the drafts
 *   of a backup that runs, except their age:
 *       rclone delete --min-age 2d --include '.ibt-draft-*' REMOTE
 * - An object is as durable as the service makes it. For a directory of this machine rclone does not flush the disk's
 *   caches: use ibt_storage_open_dir() there.
 */
#ifndef COMMAND_STORAGE_H
#define COMMAND_STORAGE_H

#include <ibt.h>

/*
 * Opens a place for objects. `program` is a name in PATH or a path, normally "rclone"; no shell reads it. `remote` is a
 * place as rclone writes it, for example "mybucket:backups/laptop". The configuration and the passwords of rclone are
 * its own: RCLONE_CONFIG and the other variables of the environment work. rclone never asks for a password. With
 * `create`, the place is made if it does not exist.
 *
 * Returns the storage, which the caller frees with ibt_storage_free(). If that fails, returns NULL and writes the
 * reason into `why`: one line, of at most `size` bytes with NUL.
 */
ibt_storage *command_storage_open(const char *program, const char *remote, int create, char *why, size_t size);

#endif
