/* The storage in memory of examples-c keeps the contract. With an argument, the program makes the mistake of this name,
 * which an author of a storage might make. The contract test must find it. */
#include "storage_contract.h"

#include "../../examples-c/memory_storage.c"

static const char *mistake = "";

static int is(const char *name)
{
    return strcmp(mistake, name) == 0;
}

/* The stream that was created last. */
static void *newest;

static int32_t create(void *ud, const char *name, void **stream)
{
    int32_t answer = memory_create(ud, name, stream);

    newest = *stream;
    return answer;
}

static int32_t mixing_write(void *ud, void *stream, const uint8_t *data, size_t len)
{
    return memory_write(ud, is("mixes") && newest != NULL ? newest : stream, data, len);
}

static int32_t commit(void *ud, void *stream)
{
    newest = NULL;
    if (is("replaces"))
        memory_delete(ud, ((struct object *)stream)->name);
    return memory_commit(ud, stream);
}

static void keeping_abort(void *ud, void *stream)
{
    newest = NULL;
    if (is("keeps"))
        memory_commit(ud, stream);
    else
        memory_abort(ud, stream);
}

static int32_t read_at(void *ud, const char *name, uint64_t offset, uint8_t *buf, size_t len, size_t *got)
{
    int32_t answer = memory_read_at(ud, name, offset, buf, len, got);

    if (is("confuses") && answer == IBT_ERR_NOT_FOUND)
        return IBT_CALLBACK_OK;
    if (is("stumbles") && answer > 0 && *got == 0)
        return IBT_CALLBACK_FAILED;
    if (is("boasts") && answer > 0 && *got > 0 && offset + *got == get(ud, name)->size)
        *got += 1;
    return answer;
}

static int32_t list(void *ud, const char *prefix, ibt_list *out)
{
    const struct memory *memory = ud;
    size_t at;

    if (is("zero"))
        return memory_list(ud, prefix, out), IBT_OK;
    if (!is("forgets") && !is("mismeasures"))
        return memory_list(ud, prefix, out);
    for (at = 0; at + is("forgets") < memory->count; at++)
        ibt_list_add(out, memory->objects[at]->name, memory->objects[at]->size + is("mismeasures"));
    return IBT_CALLBACK_OK;
}

static int32_t discard(void *ud, const char *name)
{
    if (is("insists") && get(ud, name) == NULL)
        return IBT_ERR_NOT_FOUND;
    return memory_delete(ud, name);
}

static int32_t lock(void *ud, const char *key)
{
    if (is("grants"))
        memory_unlock(ud, key);
    return memory_lock(ud, key);
}

static void make(struct contract_storage *made)
{
    struct contract_storage all = {NULL,          NULL,    create,  mixing_write, commit,
                                   keeping_abort, read_at, discard, lock,         memory_unlock};
    struct memory *memory = calloc(1, sizeof *memory);

    if (memory == NULL)
        exit(99);
    all.ud = memory;
    all.storage = memory->handle = ibt_storage_new(memory, memory_destroy);
    ibt_storage_set_writer(all.storage, create, mixing_write, commit, keeping_abort);
    ibt_storage_set_reader(all.storage, read_at);
    ibt_storage_set_list(all.storage, list);
    ibt_storage_set_delete(all.storage, discard);
    ibt_storage_set_lock(all.storage, lock, memory_unlock);
    *made = all;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        mistake = argv[1];
    check_begin();
    storage_contract(make);
    return check_end();
}
