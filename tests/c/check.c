#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int failures;
static char root[4096];

static void fatal(const char *what, const char *path)
{
    fprintf(stderr, "test: cannot %s %s: %s\n", what, path, strerror(errno));
    exit(99);
}

void check_that(int holds, const char *what, const char *file, int line)
{
    if (holds)
        return;
    failures++;
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
}

void check_int(long long got, long long wanted, const char *what, const char *file, int line)
{
    if (got == wanted)
        return;
    failures++;
    fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", file, line, what, got, wanted);
}

void check_text(const char *got, const char *wanted, const char *what, const char *file, int line)
{
    if (got == wanted || (got != NULL && wanted != NULL && strcmp(got, wanted) == 0))
        return;
    failures++;
    fprintf(stderr, "%s:%d: %s is %s, not %s\n", file, line, what, got ? got : "NULL",
            wanted ? wanted : "NULL");
}

void check_has(const char *text, const char *part, const char *what, const char *file, int line)
{
    if (text != NULL && strstr(text, part) != NULL)
        return;
    failures++;
    fprintf(stderr, "%s:%d: %s is \"%s\", without \"%s\"\n", file, line, what, text ? text : "NULL", part);
}

void check_begin(void)
{
    const char *base = getenv("TMPDIR");

    snprintf(root, sizeof root, "%s/ibt-test-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(root) == NULL || chdir(root) != 0)
        fatal("make", root);
    make_dir("tmp");
    make_dir("cache");
    setenv("HOME", root, 1);
    if (chdir("tmp") != 0 || getcwd(root, sizeof root) == NULL)
        fatal("enter", root);
    setenv("TMPDIR", root, 1);
    if (chdir("../cache") != 0 || getcwd(root, sizeof root) == NULL)
        fatal("enter", root);
    setenv("XDG_CACHE_HOME", root, 1);
    if (chdir("..") != 0 || getcwd(root, sizeof root) == NULL)
        fatal("enter", root);
}

int check_end(void)
{
    remove_tree(root);
    if (failures != 0)
        fprintf(stderr, "%d checks failed\n", failures);
    return failures != 0;
}

void make_dir(const char *path)
{
    if (mkdir(path, 0755) != 0)
        fatal("make", path);
}

static void write_bytes(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");

    if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
        fatal("write", path);
}

void write_file(const char *path, const char *text)
{
    write_bytes(path, text, strlen(text));
}

void write_random(const char *path, size_t size, unsigned seed)
{
    unsigned char *bytes = malloc(size + 1);
    size_t i;

    if (bytes == NULL)
        fatal("allocate", path);
    for (i = 0; i < size; i++) {
        seed = seed * 1664525u + 1013904223u; /* Numerical Recipes, "Quick and dirty generators" */
        bytes[i] = (unsigned char)(seed >> 24);
    }
    write_bytes(path, bytes, size);
    free(bytes);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

void remove_tree(const char *path)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        fatal("remove", path);
}

int exists(const char *path)
{
    struct stat status;

    return lstat(path, &status) == 0;
}

static int is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

int count_entries(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    int count = 0;

    if (dir == NULL)
        return -1;
    while ((entry = readdir(dir)) != NULL)
        count += !is_dots(entry->d_name);
    closedir(dir);
    return count;
}

/* nftw() passes no argument of the caller to its callback, so these values are global. */
static const char *wanted_prefix;
static int prefixed;

static int count_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    prefixed += strncmp(path + where->base, wanted_prefix, strlen(wanted_prefix)) == 0;
    return 0;
}

int count_prefixed(const char *path, const char *prefix)
{
    wanted_prefix = prefix;
    prefixed = 0;
    nftw(path, count_one, 16, FTW_PHYS);
    return prefixed;
}

static int same_bytes(const char *a, const char *b)
{
    FILE *first = fopen(a, "rb"), *second = fopen(b, "rb");
    int x = 0, y = 0;

    if (first == NULL || second == NULL)
        fatal("read", first == NULL ? a : b);
    while (x == y && x != EOF) {
        x = getc(first);
        y = getc(second);
    }
    fclose(first);
    fclose(second);
    return x == y;
}

static int same_links(const char *a, const char *b)
{
    char first[1024], second[1024];
    ssize_t x = readlink(a, first, sizeof first), y = readlink(b, second, sizeof second);

    return x == y && x >= 0 && memcmp(first, second, (size_t)x) == 0;
}

static const char *other_tree;
static size_t tree_length;

static int compare_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    char other[8192];
    struct stat with;

    (void)type;
    (void)where;
    snprintf(other, sizeof other, "%s%s", other_tree, path + tree_length);
    if (lstat(other, &with) != 0 || status->st_mode != with.st_mode)
        return 1;
    if (S_ISLNK(status->st_mode))
        return !same_links(path, other);
    if (status->st_mtim.tv_sec != with.st_mtim.tv_sec || status->st_mtim.tv_nsec != with.st_mtim.tv_nsec)
        return 1;
    if (S_ISDIR(status->st_mode))
        return count_entries(path) != count_entries(other);
    return S_ISREG(status->st_mode) && !same_bytes(path, other);
}

int same_trees(const char *a, const char *b)
{
    other_tree = b;
    tree_length = strlen(a);
    return nftw(a, compare_one, 16, FTW_PHYS) == 0;
}

ibt_storage *open_storage(const char *path)
{
    ibt_storage *storage;
    ibt_error *err;

    if (ibt_storage_open_dir(path, 0, &storage, &err) != IBT_OK) {
        fprintf(stderr, "test: %s\n", ibt_error_message(err));
        exit(99);
    }
    return storage;
}

ibt_status told(ibt_status status, ibt_error **err)
{
    if (*err != NULL)
        fprintf(stderr, "%s: %s\n", ibt_status_name(status), ibt_error_message(*err));
    ibt_error_free(*err);
    *err = NULL;
    return status;
}
