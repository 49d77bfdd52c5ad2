/*
 * encrypted_ibt.c - the command line `ibt` for encrypted backups. It takes the place of ibt_store.c:
 *
 *     sources=$(ls ibt*.c | grep -v ibt_store.c)
 *     cc -o ibt-encrypted $sources encrypted_*.c $(pkg-config --cflags --libs ibt libsodium)
 *
 * The passphrase is the content of the file that IBT_PASSPHRASE_FILE names, without a newline at its end. The options
 * and commands are those of ibt, but there is no default store.
 */
#include "ibt_tool.h" /* first: it selects the interfaces of the system */

#include "encrypted_storage.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { PASSPHRASE_MAX = 4096 };

static ibt_status fail(struct run *run, const char *what, const char *why)
{
    FILE *out = begin_message(run);

    if (out != NULL)
        fprintf(out, "%s%s", what, why);
    end_message(run, out);
    return IBT_ERR_INVALID_ARG;
}

/* Reads the passphrase. Returns its length, or 0 if there is none. */
static size_t read_passphrase(const char *path, char *passphrase)
{
    FILE *file = path == NULL ? NULL : fopen(path, "rb");
    size_t length = 0;

    if (file == NULL)
        return 0;
    length = fread(passphrase, 1, PASSPHRASE_MAX, file);
    if (ferror(file))
        length = 0;
    fclose(file);
    return length > 0 && passphrase[length - 1] == '\n' ? length - 1 : length;
}

ibt_status open_store(const struct command *command, struct run *run)
{
    const char *path = getenv("IBT_PASSPHRASE_FILE");
    char passphrase[PASSPHRASE_MAX], why[512];
    size_t length;
    int create;

    if (run->store == NULL)
        return fail(run, "choose a directory for the encrypted backups with --store", "");
    errno = 0;
    length = read_passphrase(path, passphrase);
    if (length == 0)
        return fail(run, "there is no passphrase in the file that IBT_PASSPHRASE_FILE names: ",
                    path == NULL ? "it is not set" : errno != 0 ? strerror(errno) : path);
    create = command->group == BACKUP && !run->dry_run;
    run->storage = encrypted_storage_open(run->store, passphrase, length, create, why, sizeof why);
    sodium_memzero(passphrase, sizeof passphrase);
    if (run->storage == NULL)
        return fail(run, why, "");
    /* A backup leaves out the store, and a restore does not touch it. libibt does not know where it is. */
    ibt_options_add_protected_path(run->options, run->store);
    return IBT_OK;
}
