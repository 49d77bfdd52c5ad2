/* Opens the store of a run. A command line for another storage needs another version of this file only: see
 * encrypted_ibt.c and command_ibt.c. */
#include "ibt_tool.h"

ibt_status open_store(const struct command *command, struct run *run)
{
    (void)command;
    if (run->store == NULL)
        return ibt_storage_open_default(&run->storage, &run->err);
    return ibt_storage_open_dir(run->store, 0, &run->storage, &run->err);
}
