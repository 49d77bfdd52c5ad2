/*
 * Makes every kind of call in a thread with the smallest stack that the header allows. The
 * argument is another size, in KiB.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

#include "check.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define NEEDED_KIB 96

static void make_source(void)
{
    int i;

    make_dir("src");
    make_dir("src/dir");
    write_file("src/.leave-out", "*.o\n/**/x/**/y/**\n[a-f]*?.tmp\n");
    write_random("src/big", 3000000, 1);
    write_random("src/dir/middle", 300000, 2);
    for (i = 0; i < 50; i++) {
        char path[40];

        snprintf(path, sizeof path, "src/dir/small%d", i);
        write_random(path, 2000, 10 + i);
    }
}

static void change_source(void)
{
    write_random("src/dir/middle", 310000, 2);
    write_random("src/big", 3000100, 1);
    write_file("src/new", "new\n");
}

static void make_backups(ibt_storage *storage)
{
    ibt_options *options = ibt_options_new();
    ibt_error *err;

    ibt_options_set_exclude_file(options, ".leave-out");
    CHECK_INT(told(ibt_full_backup(storage, "src", options, NULL, &err), &err), IBT_OK);
    change_source();
    CHECK_INT(told(ibt_incremental_backup(storage, "src", options, NULL, &err), &err), IBT_OK);
    ibt_options_free(options);
}

static int32_t take(void *ud, uint32_t what, const ibt_entry *before, const ibt_entry *after)
{
    (void)ud;
    (void)what;
    (void)before;
    (void)after;
    return IBT_CALLBACK_OK;
}

/* Globs are compiled on this stack too. The braces of this one are nested as deeply as libibt allows. */
static void restore_some(ibt_storage *storage)
{
    ibt_options *options = ibt_options_new();
    ibt_error *err;

    CHECK_INT(ibt_options_add_include(options, "{{{{{{{{{{{{{{{{b*,**/zz},y},x},w},v},u},t},s},r},q},p},o},n},m},l},k}"),
              IBT_OK);
    CHECK_INT(told(ibt_restore(storage, "src", "some", options, NULL, &err), &err), IBT_OK);
    CHECK(exists("some/big") && !exists("some/new"));
    ibt_options_free(options);
}

static void use_backups(ibt_storage *storage)
{
    ibt_options *options = ibt_options_new();
    ibt_error *err;

    ibt_options_set_change(options, take, NULL, NULL);
    CHECK_INT(told(ibt_restore(storage, "src", "out", NULL, NULL, &err), &err), IBT_OK);
    CHECK(same_trees("src", "out"));
    restore_some(storage);
    CHECK_INT(told(ibt_verify(storage, "src", NULL, NULL, &err), &err), IBT_OK);
    CHECK_INT(told(ibt_list_snapshots(storage, NULL, NULL, NULL, &err), &err), IBT_OK);
    CHECK_INT(told(ibt_compare(storage, "src", "src", options, NULL, &err), &err), IBT_OK);
    CHECK_INT(told(ibt_consolidate(storage, "src", NULL, NULL, &err), &err), IBT_OK);
    CHECK_INT(told(ibt_rebuild_cache(storage, "src", NULL, NULL, &err), &err), IBT_OK);
    ibt_options_free(options);
    options = ibt_options_new();
    ibt_options_set_keep_last(options, 1);
    CHECK_INT(told(ibt_prune(storage, "src", options, NULL, &err), &err), IBT_OK);
    ibt_options_free(options);
}

static void *call_everything(void *unused)
{
    ibt_storage *storage = open_storage("store");

    (void)unused;
    make_backups(storage);
    use_backups(storage);
    ibt_storage_free(storage);
    return NULL;
}

/* The memory below the stack cannot be accessed, so that an overflow ends the program. */
static void run_with_stack(size_t size)
{
    const size_t guard = 65536;
    pthread_attr_t attributes;
    pthread_t thread;
    char *memory = mmap(NULL, guard + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED || mprotect(memory, guard, PROT_NONE) != 0)
        abort();
    CHECK_INT(pthread_attr_init(&attributes), 0);
    CHECK_INT(pthread_attr_setstack(&attributes, memory + guard, size), 0);
    CHECK_INT(pthread_create(&thread, &attributes, call_everything, NULL), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attributes);
    munmap(memory, guard + size);
}

int main(int argc, char **argv)
{
    size_t kib = argc > 1 ? strtoul(argv[1], NULL, 10) : NEEDED_KIB;

    check_begin();
    make_source();
    run_with_stack(kib * 1024);
    return check_end();
}
