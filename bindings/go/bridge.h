/*
 * bridge.h - functions for tasks that Go cannot do with ibt.h alone: pass a number as userdata, pass a C
 * function as a callback, and read an entry in one call. Only for the files of this package.
 *
 * The userdata of every callback is a runtime/cgo.Handle, which is a number. Go must not turn a number into a
 * pointer; C may.
 */
#ifndef IBT_GO_BRIDGE_H
#define IBT_GO_BRIDGE_H

#include <ibt.h>
#include <stdlib.h>

ibt_status ibt_go_set_progress(ibt_options *options, uintptr_t call);
ibt_status ibt_go_set_change(ibt_options *options, uintptr_t call);
ibt_status ibt_go_set_filter(ibt_options *options, uintptr_t call);
ibt_status ibt_go_set_log(ibt_options *options, int32_t level, uintptr_t call);

/* A storage with the functions that `has` names. */
#define IBT_GO_HAS_WRITER 1
#define IBT_GO_HAS_DELETE 2
#define IBT_GO_HAS_LOCK 4
ibt_storage *ibt_go_storage_new(uintptr_t state, uint32_t has);

ibt_status ibt_go_list_keys(ibt_storage *storage, uintptr_t call, ibt_error **err);
ibt_status ibt_go_snapshot_list(ibt_snapshot *snapshot, const char *path, uint32_t depth, uintptr_t call,
                                ibt_error **err);
ibt_status ibt_go_snapshot_read(ibt_snapshot *snapshot, const char *path, uint64_t offset, uint64_t len,
                                uintptr_t call, ibt_error **err);

/* The facts of an entry, without its extended attributes. Strings are borrowed from the entry. */
struct ibt_go_entry {
    const char *path, *target, *hash, *user, *group, *link;
    uint64_t size, rdev;
    int64_t mtime, ctime;
    uint64_t data_size;
    uint32_t project;
    const char *flags;
    int64_t btime;
    size_t xattrs;
    int32_t type;
    uint32_t mode, uid, gid;
};
void ibt_go_read_entry(const ibt_entry *entry, struct ibt_go_entry *facts);

#endif
