#include "encrypted_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define DRAFT_PREFIX ".draft-"

void put_u64(unsigned char *out, uint64_t number)
{
    int i;

    for (i = 0; i < 8; i++)
        out[i] = (unsigned char)(number >> 8 * i);
}

uint64_t get_u64(const unsigned char *in)
{
    uint64_t number = 0;
    int i;

    for (i = 7; i >= 0; i--)
        number = number << 8 | in[i];
    return number;
}

int write_all(int fd, const unsigned char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t done = write(fd, bytes, size);

        if (done < 0 && errno != EINTR)
            return 0;
        if (done > 0) {
            bytes += done;
            size -= (size_t)done;
        }
    }
    return 1;
}

ssize_t read_all(int fd, unsigned char *bytes, size_t size, uint64_t offset)
{
    size_t done = 0;

    while (done < size) {
        ssize_t got = pread(fd, bytes + done, size - done, (off_t)(offset + done));

        if (got == 0)
            break;
        if (got < 0 && errno != EINTR)
            return -1;
        if (got > 0)
            done += (size_t)got;
    }
    return (ssize_t)done;
}

DIR *begin_listing(int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = fd < 0 ? NULL : fdopendir(fd);

    if (listing == NULL && fd >= 0)
        close(fd);
    return listing;
}

int is_draft(const char *file)
{
    return strncmp(file, DRAFT_PREFIX, strlen(DRAFT_PREFIX)) == 0;
}

/* The file stays locked as long as it is open: the lock says that its writer lives. */
int make_draft(int dir, char *file)
{
    for (;;) {
        unsigned char random[12];
        struct stat now;
        int fd;

        randombytes_buf(random, sizeof random);
        strcpy(file, DRAFT_PREFIX);
        sodium_bin2base64(file + strlen(file), FILE_NAME_SIZE - sizeof DRAFT_PREFIX, random, sizeof random,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        fd = openat(dir, file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
            return -1;
        /* Another program may have removed the file as an old draft before it was locked. */
        if (flock(fd, LOCK_EX) != 0 || fstat(fd, &now) != 0 || now.st_nlink > 0)
            return fd;
        close(fd);
    }
}

int publish_draft(int dir, int fd, const char *draft, const char *file)
{
    if (fsync(fd) != 0 || linkat(dir, draft, dir, file, 0) != 0)
        return -1;
    unlinkat(dir, draft, 0); /* if the name stays, remove_old_drafts() removes it later */
    return fsync(dir);
}

/* A draft that can be locked has no writer any more. */
void remove_old_drafts(int dir)
{
    DIR *listing = begin_listing(dir);
    const struct dirent *entry;

    while (listing != NULL && (entry = readdir(listing)) != NULL) {
        int fd;

        if (!is_draft(entry->d_name))
            continue;
        fd = openat(dir, entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
            unlinkat(dir, entry->d_name, 0);
        if (fd >= 0)
            close(fd);
    }
    if (listing != NULL)
        closedir(listing);
}
