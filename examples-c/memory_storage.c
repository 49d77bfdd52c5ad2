/*
 * memory_storage.c - an example of a caller's own storage, in memory.
 *
 * A storage is a table of names and bytes. libibt calls its functions to write an object, read ranges of an
 * object, list names, delete, and lock. ibt.h describes for each function type the task of the function. To
 * back up to an object store, a database or a tape, replace the bodies of these functions by calls of that
 * system.
 */
#include "memory_storage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct object {
    char *name;
    uint8_t *bytes;
    size_t size, room;
};

struct lock {
    struct lock *next;
    char key[]; /* ended by NUL */
};

/* Every function gets this as `ud`. */
struct memory {
    ibt_storage *handle;     /* to say why a function failed */
    struct object **objects; /* committed objects, in the order of their names */
    size_t count, room;
    struct lock *locks;      /* the locked keys */
};

/* Reports why a function fails. The operation then returns IBT_ERR_STORAGE with the system's text for `code`. */
static int32_t fail(struct memory *memory, int code)
{
    ibt_storage_fail(memory->handle, code, NULL);
    return IBT_CALLBACK_FAILED;
}

static void free_object(struct object *object)
{
    if (object == NULL)
        return;
    free(object->name);
    free(object->bytes);
    free(object);
}

/* Index of the object with this name, or the index where it belongs. */
static size_t find(const struct memory *memory, const char *name)
{
    size_t low = 0, high = memory->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(memory->objects[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct object *get(const struct memory *memory, const char *name)
{
    size_t at = find(memory, name);

    return at < memory->count && strcmp(memory->objects[at]->name, name) == 0 ? memory->objects[at] : NULL;
}

/* ---- Writing: an object grows outside of the table, and its commit adds it to the table. ---- */

static int32_t memory_create(void *ud, const char *name, void **stream)
{
    struct object *object = calloc(1, sizeof *object);

    if (object == NULL)
        return fail(ud, ENOMEM);
    object->name = malloc(strlen(name) + 1);
    if (object->name == NULL) {
        free_object(object);
        return fail(ud, ENOMEM);
    }
    strcpy(object->name, name);
    *stream = object;
    return IBT_CALLBACK_OK;
}

static int32_t memory_write(void *ud, void *stream, const uint8_t *data, size_t len)
{
    struct object *object = stream;

    if (len > object->room - object->size) {
        size_t room = object->room + object->room / 2 + len;
        uint8_t *bytes = room > object->room ? realloc(object->bytes, room) : NULL;

        if (bytes == NULL)
            return fail(ud, ENOMEM);
        object->bytes = bytes;
        object->room = room;
    }
    memcpy(object->bytes + object->size, data, len);
    object->size += len;
    return IBT_CALLBACK_OK;
}

static void memory_abort(void *ud, void *stream)
{
    (void)ud;
    free_object(stream);
}

/* Makes room for one more object in the table. */
static int grow(struct memory *memory)
{
    size_t room = memory->room * 2 + 8;
    struct object **objects;

    if (memory->count < memory->room)
        return 1;
    objects = realloc(memory->objects, room * sizeof *objects);
    if (objects == NULL)
        return 0;
    memory->objects = objects;
    memory->room = room;
    return 1;
}

/* A commit ends the stream, whether it succeeds or fails. An existing object is never replaced. */
static int32_t memory_commit(void *ud, void *stream)
{
    struct memory *memory = ud;
    struct object *object = stream;
    size_t at = find(memory, object->name);

    if (get(memory, object->name) != NULL) {
        free_object(object);
        return IBT_ERR_EXISTS;
    }
    if (!grow(memory)) {
        free_object(object);
        return fail(memory, ENOMEM);
    }
    memmove(memory->objects + at + 1, memory->objects + at, (memory->count - at) * sizeof *memory->objects);
    memory->objects[at] = object;
    memory->count++;
    return IBT_CALLBACK_OK;
}

/* ---- Reading ---- */

static int32_t memory_read_at(void *ud, const char *name, uint64_t offset, uint8_t *buf, size_t len,
                              size_t *got)
{
    const struct object *object = get(ud, name);

    if (object == NULL)
        return IBT_ERR_NOT_FOUND;
    if (offset >= object->size)
        return IBT_CALLBACK_OK; /* *got is 0: the end */
    if (len > object->size - offset)
        len = (size_t)(object->size - offset);
    memcpy(buf, object->bytes + offset, len);
    *got = len;
    return IBT_CALLBACK_OK;
}

/* The objects are sorted, so names with the same prefix are neighbours. */
static int32_t memory_list(void *ud, const char *prefix, ibt_list *out)
{
    const struct memory *memory = ud;
    size_t length = strlen(prefix), at;

    for (at = find(memory, prefix); at < memory->count; at++) {
        const struct object *object = memory->objects[at];

        if (strncmp(object->name, prefix, length) != 0)
            break;
        ibt_list_add(out, object->name, object->size);
    }
    return IBT_CALLBACK_OK;
}

/* ---- Deleting ---- */

static int32_t memory_delete(void *ud, const char *name)
{
    struct memory *memory = ud;
    size_t at = find(memory, name);

    if (get(memory, name) == NULL)
        return IBT_CALLBACK_OK; /* deleting an absent object is success */
    free_object(memory->objects[at]);
    memory->count--;
    memmove(memory->objects + at, memory->objects + at + 1, (memory->count - at) * sizeof *memory->objects);
    return IBT_CALLBACK_OK;
}

/* ---- Locking: needed if several programs share a storage. Here it is only an example. ---- */

/* The link to the lock of `key`, or the last link, which is NULL, if `key` is not locked. */
static struct lock **find_lock(struct memory *memory, const char *key)
{
    struct lock **link = &memory->locks;

    while (*link != NULL && strcmp((*link)->key, key) != 0)
        link = &(*link)->next;
    return link;
}

static int32_t memory_lock(void *ud, const char *key)
{
    struct lock **link = find_lock(ud, key);
    struct lock *made;

    if (*link != NULL)
        return IBT_ERR_BUSY;
    made = malloc(sizeof *made + strlen(key) + 1);
    if (made == NULL)
        return fail(ud, ENOMEM);
    made->next = NULL;
    strcpy(made->key, key);
    *link = made;
    return IBT_CALLBACK_OK;
}

static void memory_unlock(void *ud, const char *key)
{
    struct lock **link = find_lock(ud, key);
    struct lock *held = *link;

    if (held == NULL)
        return;
    *link = held->next;
    free(held);
}

/* ---- Making and freeing the storage ---- */

/* libibt calls this once, after the storage was freed and when nothing uses it any more. */
static void memory_destroy(void *ud)
{
    struct memory *memory = ud;
    size_t at;

    for (at = 0; at < memory->count; at++)
        free_object(memory->objects[at]);
    free(memory->objects);
    free(memory);
}

ibt_storage *memory_storage_new(void)
{
    struct memory *memory = calloc(1, sizeof *memory);

    if (memory == NULL)
        return NULL;
    memory->handle = ibt_storage_new(memory, memory_destroy);
    ibt_storage_set_writer(memory->handle, memory_create, memory_write, memory_commit, memory_abort);
    ibt_storage_set_reader(memory->handle, memory_read_at);
    ibt_storage_set_list(memory->handle, memory_list);
    ibt_storage_set_delete(memory->handle, memory_delete);
    ibt_storage_set_lock(memory->handle, memory_lock, memory_unlock);
    return memory->handle;
}
