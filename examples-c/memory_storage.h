/*
 * memory_storage.h - backup files in memory: an example of a storage of one's own.
 */
#ifndef MEMORY_STORAGE_H
#define MEMORY_STORAGE_H

#include <ibt.h>

/* A storage that holds nothing yet; NULL without memory. ibt_storage_free() frees it and all it holds. */
ibt_storage *memory_storage_new(void);

#endif
