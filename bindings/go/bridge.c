/*
 * bridge.c - the callbacks that libibt calls. Each passes its arguments on to a function of Go.
 */
#include "_cgo_export.h"

static int32_t progress(void *ud, const ibt_progress *now)
{
    return ibtGoProgress((uintptr_t)ud, (ibt_progress *)now);
}

static int32_t change(void *ud, uint32_t what, const ibt_entry *before, const ibt_entry *after)
{
    return ibtGoChange((uintptr_t)ud, what, (ibt_entry *)before, (ibt_entry *)after);
}

static int32_t filter(void *ud, const ibt_entry *entry)
{
    return ibtGoFilter((uintptr_t)ud, (ibt_entry *)entry);
}

static void tell(void *ud, int32_t level, const char *message)
{
    ibtGoLog((uintptr_t)ud, level, (char *)message);
}

ibt_status ibt_go_set_progress(ibt_options *options, uintptr_t call)
{
    return ibt_options_set_progress(options, progress, (void *)call, NULL);
}

ibt_status ibt_go_set_change(ibt_options *options, uintptr_t call)
{
    return ibt_options_set_change(options, change, (void *)call, NULL);
}

ibt_status ibt_go_set_filter(ibt_options *options, uintptr_t call)
{
    return ibt_options_set_filter(options, filter, (void *)call, NULL);
}

ibt_status ibt_go_set_log(ibt_options *options, int32_t level, uintptr_t call)
{
    return ibt_options_set_log(options, level, tell, (void *)call, NULL);
}

/* ---- A storage ---- */

static int32_t create(void *ud, const char *name, void **stream)
{
    uintptr_t writer = 0;
    int32_t answer = ibtGoCreate((uintptr_t)ud, (char *)name, &writer);

    *stream = (void *)writer;
    return answer;
}

static int32_t append(void *ud, void *stream, const uint8_t *data, size_t len)
{
    return ibtGoWrite((uintptr_t)ud, (uintptr_t)stream, (uint8_t *)data, len);
}

static int32_t commit(void *ud, void *stream)
{
    return ibtGoCommit((uintptr_t)ud, (uintptr_t)stream);
}

static void discard(void *ud, void *stream)
{
    ibtGoAbort((uintptr_t)ud, (uintptr_t)stream);
}

static int32_t read_at(void *ud, const char *name, uint64_t offset, uint8_t *buf, size_t len, size_t *got)
{
    return ibtGoReadAt((uintptr_t)ud, (char *)name, offset, buf, len, got);
}

static int32_t list(void *ud, const char *prefix, ibt_list *out)
{
    return ibtGoList((uintptr_t)ud, (char *)prefix, out);
}

static int32_t delete_object(void *ud, const char *name)
{
    return ibtGoDelete((uintptr_t)ud, (char *)name);
}

static int32_t lock(void *ud, const char *key)
{
    return ibtGoLock((uintptr_t)ud, (char *)key);
}

static void unlock(void *ud, const char *key)
{
    ibtGoUnlock((uintptr_t)ud, (char *)key);
}

static void release(void *ud)
{
    ibtGoRelease((uintptr_t)ud);
}

ibt_storage *ibt_go_storage_new(uintptr_t state, uint32_t has)
{
    ibt_storage *storage = ibt_storage_new((void *)state, release);

    ibt_storage_set_reader(storage, read_at);
    ibt_storage_set_list(storage, list);
    if (has & IBT_GO_HAS_WRITER)
        ibt_storage_set_writer(storage, create, append, commit, discard);
    if (has & IBT_GO_HAS_DELETE)
        ibt_storage_set_delete(storage, delete_object);
    if (has & IBT_GO_HAS_LOCK)
        ibt_storage_set_lock(storage, lock, unlock);
    return storage;
}

/* ---- Calls with a callback ---- */

static int32_t take_key(void *ud, const char *key, uint64_t snapshots)
{
    return ibtGoKey((uintptr_t)ud, (char *)key, snapshots);
}

ibt_status ibt_go_list_keys(ibt_storage *storage, uintptr_t call, ibt_error **err)
{
    return ibt_list_keys(storage, take_key, (void *)call, err);
}

static int32_t take_entry(void *ud, const ibt_entry *entry)
{
    return ibtGoEntry((uintptr_t)ud, (ibt_entry *)entry);
}

ibt_status ibt_go_snapshot_list(ibt_snapshot *snapshot, const char *path, uint32_t depth, uintptr_t call,
                                ibt_error **err)
{
    return ibt_snapshot_list(snapshot, path, depth, take_entry, (void *)call, err);
}

static int32_t take_bytes(void *ud, const uint8_t *data, size_t len)
{
    return ibtGoBytes((uintptr_t)ud, (uint8_t *)data, len);
}

ibt_status ibt_go_snapshot_read(ibt_snapshot *snapshot, const char *path, uint64_t offset, uint64_t len,
                                uintptr_t call, ibt_error **err)
{
    return ibt_snapshot_read(snapshot, path, offset, len, take_bytes, (void *)call, err);
}

/* ---- Entries ---- */

void ibt_go_read_entry(const ibt_entry *entry, struct ibt_go_entry *facts)
{
    facts->path = ibt_entry_path(entry);
    facts->target = ibt_entry_target(entry);
    facts->hash = ibt_entry_hash(entry);
    facts->user = ibt_entry_user(entry);
    facts->group = ibt_entry_group(entry);
    facts->link = ibt_entry_link(entry);
    facts->size = ibt_entry_size(entry);
    facts->rdev = ibt_entry_rdev(entry);
    facts->mtime = ibt_entry_mtime(entry);
    facts->ctime = ibt_entry_ctime(entry);
    facts->data_size = ibt_entry_data_size(entry);
    facts->project = ibt_entry_project(entry);
    facts->flags = ibt_entry_flags(entry);
    facts->btime = ibt_entry_btime(entry);
    facts->xattrs = ibt_entry_xattr_count(entry);
    facts->type = ibt_entry_type(entry);
    facts->mode = ibt_entry_mode(entry);
    facts->uid = ibt_entry_uid(entry);
    facts->gid = ibt_entry_gid(entry);
}
