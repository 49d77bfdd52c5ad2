/*
 * memory_storage.h - an example of a caller's own storage, which holds the backup files in memory.
 */
#ifndef MEMORY_STORAGE_H
#define MEMORY_STORAGE_H

#include <ibt.h>

/* Makes an empty storage; NULL if memory ran out. ibt_storage_free() frees the storage and everything in it. */
ibt_storage *memory_storage_new(void);

#endif
