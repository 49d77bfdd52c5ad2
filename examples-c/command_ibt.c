/*
 * command_ibt.c - the command line `ibt` for backups in every place that rclone knows. It takes the place of
 * ibt_store.c:
 *
 *     sources=$(ls ibt*.c | grep -v ibt_store.c)
 *     cc -o ibt-rclone $sources command_ibt.c command_storage.c $(pkg-config --cflags --libs ibt)
 *
 * --store is a place as rclone writes it, for example mybucket:backups/laptop. IBT_RCLONE names another program than
 * rclone. The options and commands are those of ibt, but there is no default store. command_storage.h has the limits of
 * this storage: above all, nothing prevents two backups of one key at the same time.
 */
#include "ibt_tool.h" /* first: it selects the interfaces of the system */

#include "command_storage.h"

#include <stdlib.h>
#include <string.h>

static ibt_status fail(struct run *run, const char *what, const char *why)
{
    FILE *out = begin_message(run);

    if (out != NULL)
        fprintf(out, "%s%s", what, why);
    end_message(run, out);
    return IBT_ERR_INVALID_ARG;
}

/* A place without a name of a service is a path of this machine. */
static int is_path(const char *place)
{
    return strcspn(place, ":") >= strcspn(place, "/");
}

ibt_status open_store(const struct command *command, struct run *run)
{
    const char *program = getenv("IBT_RCLONE");
    char why[512];

    if (run->store == NULL)
        return fail(run, "choose a place of rclone with --store, for example mybucket:backups", "");
    run->storage = command_storage_open(program == NULL ? "rclone" : program, run->store,
                                        command->group == BACKUP && !run->dry_run, why, sizeof why);
    if (run->storage == NULL)
        return fail(run, "cannot open the store: ", why);
    /* A backup leaves out the store, and a restore does not touch it. libibt does not know where it is. */
    if (is_path(run->store))
        ibt_options_add_protected_path(run->options, run->store);
    return IBT_OK;
}
