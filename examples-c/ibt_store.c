/* Opens the store of a run. A command line for another storage needs another version of this file only: see
 * encrypted_ibt.c and command_ibt.c. */
#include "ibt_tool.h"

#include <string.h>

/* True if `text` begins with SCHEME://, so that it is no path. */
static int is_url(const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");

    return length > 0 && strncmp(text + length, "://", 3) == 0;
}

ibt_status open_store(const struct command *command, struct run *run)
{
    (void)command;
    if (run->store == NULL)
        return ibt_storage_open_default(&run->storage, &run->err);
    if (is_url(run->store))
        return ibt_storage_open_url(run->store, &run->storage, &run->err);
    return ibt_storage_open_dir(run->store, 0, &run->storage, &run->err);
}
