/*
 * command_storage.c - an example of a caller's own storage: each function runs a command, rclone.
 *
 * No shell is used, so names need no quoting. The input of a command is one end of a pair of sockets, not a pipe: so a
 * write to a command that has ended is an error, and no signal that would end this program. command_storage.h lists the
 * command lines, and the limits of the storage.
 *
 *     cc mine.c command_storage.c $(pkg-config --cflags --libs ibt)
 */
#define _GNU_SOURCE /* memfd_create, pipe2 */
#define _FILE_OFFSET_BITS 64

#include "command_storage.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DRAFT_PREFIX ".ibt-draft-"

enum {
    DRAFT_NAME_SIZE = sizeof DRAFT_PREFIX + 16,
    ARGS_MAX = 12,      /* of a command line, with the program and the NULL at the end */
    WHY_SIZE = 400,     /* of the reason of a failure */
    NOT_FOUND = 3,      /* the exit status of rclone if there is no such directory, and of most services, no such file */
    FILE_NOT_FOUND = 4, /* the exit status of rclone if there is no such file */
    READ_LEAST = 1 << 20,
    READ_MOST = 4 << 20 /* a command reads between these numbers of bytes */
};

/* Every function gets this as `ud`. libibt calls one function at a time, so they can share the buffer. */
struct commands {
    ibt_storage *handle; /* to say why a function failed */
    char *program, *remote;
    int is_made;           /* this program made the place of the objects */
    char why[WHY_SIZE];    /* why the last command failed */
    char *read_name;       /* the object in `bytes`; NULL if there is none */
    uint64_t read_offset;  /* of the first of the bytes in the object */
    size_t read_size;      /* number of bytes */
    int read_to_end;       /* the object ends after them */
    uint8_t bytes[READ_MOST];
};

/* A command that runs. */
struct command {
    const char *verb;
    pid_t pid;
    int input;  /* -1 if the command has no input */
    int output; /* -1 if the output is thrown away */
    int errors; /* a file in memory */
};

/* An object while it is written. */
struct draft {
    struct command command;
    int is_running;
    uint64_t size;
    char draft[DRAFT_NAME_SIZE];
    char name[]; /* of the object, ended by NUL */
};

static int32_t fail(struct commands *storage)
{
    ibt_storage_fail(storage->handle, 0, storage->why);
    return IBT_CALLBACK_FAILED;
}

static int32_t fail_code(struct commands *storage, int code)
{
    ibt_storage_fail(storage->handle, code, NULL);
    return IBT_CALLBACK_FAILED;
}

/* ---- Commands ---- */

enum streams { NONE, INPUT, OUTPUT };

/* The file descriptors and the signals of a new program. It gets a process group of its own, so that Ctrl-C reaches
 * this program only: it decides how the commands end. */
static int spawn(const char *program, char **args, int input, int output, int errors, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, pipe_signal;
    int code;

    sigemptyset(&none);
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &pipe_signal);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    if (input >= 0)
        posix_spawn_file_actions_adddup2(&files, input, 0);
    else
        posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    if (output >= 0)
        posix_spawn_file_actions_adddup2(&files, output, 1);
    else
        posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&files, errors, 2);
    code = posix_spawnp(pid, program, &files, &attributes, args, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return code;
}

static void close_if_open(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Starts a command. `args` are the words after the verb, ended by NULL. Returns 0 and sets storage->why if that
 * fails. */
static int start(struct commands *storage, struct command *command, enum streams streams, const char *verb,
                 const char *const *args)
{
    const char *words[ARGS_MAX] = {storage->program, verb, "--ask-password=false"};
    int ends[2] = {-1, -1}, code = 0, i;

    for (i = 0; args[i] != NULL; i++)
        words[3 + i] = args[i];
    memset(command, 0, sizeof *command);
    command->verb = verb;
    command->input = command->output = -1;
    command->errors = memfd_create("errors", MFD_CLOEXEC);
    if (command->errors < 0 || (streams == INPUT && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        || (streams == OUTPUT && pipe2(ends, O_CLOEXEC) != 0))
        code = errno;
    else
        code = spawn(storage->program, (char **)words, streams == INPUT ? ends[1] : -1,
                     streams == OUTPUT ? ends[1] : -1, command->errors, &command->pid);
    close_if_open(&ends[1]);
    if (code == 0) {
        *(streams == INPUT ? &command->input : &command->output) = ends[0];
        return 1;
    }
    close_if_open(&ends[0]);
    close_if_open(&command->errors);
    snprintf(storage->why, sizeof storage->why, "cannot run %s: %s", storage->program, strerror(code));
    return 0;
}

/* Copies the last line that a command wrote to its errors, without the time before it, as text that fits a message. */
static void last_words(int errors, char *words, size_t size)
{
    char text[1024];
    off_t end = lseek(errors, 0, SEEK_END), from = end > (off_t)sizeof text ? end - (off_t)sizeof text : 0;
    ssize_t length = pread(errors, text, sizeof text, from), begin, i;
    int year, used = 0;

    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
        length--;
    for (begin = length < 0 ? 0 : length; begin > 0 && text[begin - 1] != '\n'; begin--)
        ;
    for (i = 0; begin + i < length && (size_t)i + 1 < size; i++) {
        unsigned char letter = (unsigned char)text[begin + i];

        words[i] = letter < ' ' || letter == 127 ? '?' : (char)letter;
    }
    words[i] = '\0';
    if (sscanf(words, "%d/%*d/%*d %*d:%*d:%*d %n", &year, &used) == 1 && used > 0)
        memmove(words, words + used, strlen(words + used) + 1);
}

/* Waits until a command ends. Returns its exit status, or -1 if it was killed. If that is not 0, sets storage->why. */
static int finish(struct commands *storage, struct command *command)
{
    char words[WHY_SIZE / 2];
    int status = 0, code;
    pid_t ended;

    close_if_open(&command->input);
    close_if_open(&command->output);
    while ((ended = waitpid(command->pid, &status, 0)) < 0 && errno == EINTR)
        ;
    code = ended < 0 || !WIFEXITED(status) ? -1 : WEXITSTATUS(status);
    if (code != 0) {
        last_words(command->errors, words, sizeof words);
        if (ended < 0)
            snprintf(words, sizeof words, "its exit status is unknown: %s", strerror(errno));
        snprintf(storage->why, sizeof storage->why, "%s %s: %s %d%s%s", storage->program, command->verb,
                 code >= 0 ? "exit status" : "ended by signal", code >= 0 ? code : WTERMSIG(status),
                 *words == '\0' ? "" : ": ", words);
        /* Where the system starts a program with fork(), posix_spawnp() does not know that there is no program. */
        if (code == 127 && *words == '\0')
            snprintf(storage->why, sizeof storage->why, "cannot run %s", storage->program);
    }
    close_if_open(&command->errors);
    return code;
}

/* Runs a command without input and output. Returns its exit status, or -1 if it did not run or was killed. */
static int run(struct commands *storage, const char *verb, const char *const *args)
{
    struct command command;

    return start(storage, &command, NONE, verb, args) ? finish(storage, &command) : -1;
}

/* The place of an object as rclone writes it, or NULL if memory ran out. Freed by the caller. */
static char *place_of(const struct commands *storage, const char *name)
{
    size_t length = strlen(storage->remote), size = length + strlen(name) + 2;
    char last = length == 0 ? ':' : storage->remote[length - 1];
    char *place = malloc(size);

    if (place != NULL)
        snprintf(place, size, "%s%s%s", storage->remote, last == ':' || last == '/' ? "" : "/", name);
    return place;
}

/* ---- Listing ---- */

/* Receives an object of a listing. */
typedef void (*found_fn)(void *data, const char *name, uint64_t size);

/* Reads the lines SIZE;NAME that a command writes. A size below 0 is unknown: no object of libibt. */
static void read_listing(FILE *listing, found_fn found, void *data)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;

    while ((length = getline(&line, &room, listing)) > 0) {
        char *end;
        long long size = strtoll(line, &end, 10);

        if (line[length - 1] == '\n')
            line[length - 1] = '\0';
        if (end != line && *end == ';' && size >= 0)
            found(data, end + 1, (uint64_t)size);
    }
    free(line);
}

/* Lists the objects at a place. Returns the exit status of the command, or -1. */
static int list_place(struct commands *storage, const char *place, found_fn found, void *data)
{
    const char *const args[] = {"--files-only", "--format", "sp", "--", place, NULL};
    struct command command;
    FILE *listing;
    int code;

    if (!start(storage, &command, OUTPUT, "lsf", args))
        return -1;
    listing = fdopen(command.output, "r");
    if (listing != NULL) {
        read_listing(listing, found, data);
        fclose(listing);
        command.output = -1;
    }
    code = finish(storage, &command);
    return listing == NULL ? -1 : code;
}

struct sought {
    const char *name;
    int is_there;
    uint64_t size;
};

static void compare_name(void *data, const char *name, uint64_t size)
{
    struct sought *sought = data;

    if (strcmp(name, sought->name) == 0) {
        sought->is_there = 1;
        sought->size = size;
    }
}

/* Looks for an object. Returns 0 and sets storage->why if the command failed. */
static int look(struct commands *storage, struct sought *sought)
{
    char *place = place_of(storage, sought->name);
    int code;

    sought->is_there = 0;
    if (place == NULL) {
        snprintf(storage->why, sizeof storage->why, "%s", strerror(ENOMEM));
        return 0;
    }
    code = list_place(storage, place, compare_name, sought);
    free(place);
    return code == 0 || code == NOT_FOUND || code == FILE_NOT_FOUND;
}

struct listing {
    const char *prefix;
    ibt_list *out;
};

static void list_object(void *data, const char *name, uint64_t size)
{
    struct listing *listing = data;

    if (strncmp(name, listing->prefix, strlen(listing->prefix)) == 0
        && strncmp(name, DRAFT_PREFIX, strlen(DRAFT_PREFIX)) != 0)
        ibt_list_add(listing->out, name, size);
}

/* Some services have no empty directories: the place that was made may still not be found. */
static int32_t command_list(void *ud, const char *prefix, ibt_list *out)
{
    struct commands *storage = ud;
    struct listing listing = {prefix, out};
    int code = list_place(storage, storage->remote, list_object, &listing);

    if (code == 0 || (code == NOT_FOUND && storage->is_made))
        return IBT_CALLBACK_OK;
    fail(storage);
    return code == NOT_FOUND ? IBT_ERR_NOT_FOUND : IBT_CALLBACK_FAILED;
}

/* ---- Writing: an object grows under the name of a draft, and its commit renames it. ---- */

static int32_t command_create(void *ud, const char *name, void **stream)
{
    struct commands *storage = ud;
    struct draft *draft = calloc(1, sizeof *draft + strlen(name) + 1);
    unsigned char random[8];
    char *place;
    size_t i;

    if (draft == NULL)
        return fail_code(storage, ENOMEM);
    strcpy(draft->name, name);
    strcpy(draft->draft, DRAFT_PREFIX);
    if (getrandom(random, sizeof random, 0) != sizeof random) {
        free(draft);
        return fail_code(storage, EAGAIN);
    }
    for (i = 0; i < sizeof random; i++)
        sprintf(draft->draft + strlen(DRAFT_PREFIX) + 2 * i, "%02x", random[i]);
    place = place_of(storage, draft->draft);
    if (place != NULL) {
        const char *const args[] = {"--", place, NULL};

        draft->is_running = start(storage, &draft->command, INPUT, "rcat", args);
    }
    free(place);
    if (!draft->is_running) {
        free(draft);
        return place == NULL ? fail_code(storage, ENOMEM) : fail(storage);
    }
    *stream = draft;
    return IBT_CALLBACK_OK;
}

/* If the command has ended already, its last words are the reason of the failure. */
static int32_t command_write(void *ud, void *stream, const uint8_t *data, size_t len)
{
    struct commands *storage = ud;
    struct draft *draft = stream;

    while (len > 0) {
        ssize_t done = send(draft->command.input, data, len, MSG_NOSIGNAL);

        if (done < 0 && errno != EINTR) {
            int code = errno;

            if (code != EPIPE && code != ECONNRESET)
                return fail_code(storage, code);
            draft->is_running = 0;
            if (finish(storage, &draft->command) == 0)
                snprintf(storage->why, sizeof storage->why, "%s rcat: it ended before it read all of its input",
                         storage->program);
            return fail(storage);
        }
        if (done > 0) {
            data += done;
            len -= (size_t)done;
            draft->size += (uint64_t)done;
        }
    }
    return IBT_CALLBACK_OK;
}

/* Removes an object. Returns 0 and sets storage->why if it is still there. */
static int remove_object(struct commands *storage, const char *name)
{
    struct sought sought = {name, 0, 0};
    char *place = place_of(storage, name), why[WHY_SIZE];
    const char *const args[] = {"--", place, NULL};
    int code;

    if (place == NULL) {
        snprintf(storage->why, sizeof storage->why, "%s", strerror(ENOMEM));
        return 0;
    }
    code = run(storage, "deletefile", args);
    free(place);
    if (code == 0)
        return 1;
    strcpy(why, storage->why);
    if (look(storage, &sought) && !sought.is_there)
        return 1; /* deleting an absent object is success */
    strcpy(storage->why, why);
    return 0;
}

/* Removes the draft; storage->why stays the reason of an earlier failure. If the draft cannot be removed, it stays: it
 * has no name of a backup file. */
static void drop_draft(struct commands *storage, struct draft *draft)
{
    char why[WHY_SIZE];

    strcpy(why, storage->why);
    remove_object(storage, draft->draft);
    strcpy(storage->why, why);
    free(draft);
}

static void command_abort(void *ud, void *stream)
{
    struct commands *storage = ud;
    struct draft *draft = stream;

    if (draft->is_running) {
        kill(draft->command.pid, SIGKILL); /* before its input ends, so that it does not take the object for complete */
        finish(storage, &draft->command);
    }
    drop_draft(storage, draft);
}

/* Whether the object `name` has `size` bytes. If not, sets storage->why. */
static int has_size(struct commands *storage, const char *name, uint64_t size)
{
    struct sought sought = {name, 0, 0};

    if (!look(storage, &sought))
        return 0;
    if (!sought.is_there)
        snprintf(storage->why, sizeof storage->why, "%s: the object is not there after it was written",
                 storage->program);
    else if (sought.size != size)
        snprintf(storage->why, sizeof storage->why, "%s: the object has %llu bytes after %llu were written",
                 storage->program, (unsigned long long)sought.size, (unsigned long long)size);
    return sought.is_there && sought.size == size;
}

static int rename_draft(struct commands *storage, const struct draft *draft)
{
    char *from = place_of(storage, draft->draft), *to = place_of(storage, draft->name);
    const char *const args[] = {"--ignore-existing", "--", from, to, NULL};
    int code = -1;

    if (from != NULL && to != NULL)
        code = run(storage, "moveto", args);
    else
        snprintf(storage->why, sizeof storage->why, "%s", strerror(ENOMEM));
    free(from);
    free(to);
    return code == 0;
}

/* A commit ends the stream, whether it succeeds or fails. An existing object is never replaced. */
static int32_t command_commit(void *ud, void *stream)
{
    struct commands *storage = ud;
    struct draft *draft = stream;
    struct sought taken = {draft->name, 0, 0};
    int32_t answer = IBT_CALLBACK_FAILED;

    draft->is_running = 0;
    if (finish(storage, &draft->command) == 0 && has_size(storage, draft->draft, draft->size)
        && look(storage, &taken)) {
        if (taken.is_there)
            answer = IBT_ERR_EXISTS;
        else if (rename_draft(storage, draft) && has_size(storage, draft->name, draft->size))
            answer = IBT_CALLBACK_OK;
    }
    if (answer == IBT_CALLBACK_OK) {
        free(draft);
        return answer;
    }
    drop_draft(storage, draft);
    return answer == IBT_ERR_EXISTS ? answer : fail(storage);
}

/* ---- Reading ---- */

static void forget_bytes(struct commands *storage)
{
    free(storage->read_name);
    storage->read_name = NULL;
}

/* Reads from the output of a command to its end. Returns the number of bytes. */
static size_t read_output(int output, uint8_t *bytes, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t got = read(output, bytes + done, size - done);

        if (got == 0 || (got < 0 && errno != EINTR))
            break;
        if (got > 0)
            done += (size_t)got;
    }
    return done;
}

/* Reads a range into storage->bytes. Returns the exit status of the command, or -1. */
static int fetch(struct commands *storage, const char *name, uint64_t offset, size_t size)
{
    char *place = place_of(storage, name), from[24], count[24];
    const char *const args[] = {"--offset", from, "--count", count, "--", place, NULL};
    struct command command;
    int code = -1;

    forget_bytes(storage);
    snprintf(from, sizeof from, "%llu", (unsigned long long)offset);
    snprintf(count, sizeof count, "%llu", (unsigned long long)size);
    if (place == NULL)
        snprintf(storage->why, sizeof storage->why, "%s", strerror(ENOMEM));
    else if (start(storage, &command, OUTPUT, "cat", args)) {
        storage->read_size = read_output(command.output, storage->bytes, size);
        storage->read_offset = offset;
        storage->read_to_end = storage->read_size < size;
        code = finish(storage, &command);
    }
    free(place);
    if (code == 0)
        storage->read_name = strdup(name);
    return code;
}

static void ignore_object(void *data, const char *name, uint64_t size)
{
    (void)data;
    (void)name;
    (void)size;
}

/* A command read no bytes. The reason may be that the range begins at or past the end, which some services refuse, or
 * that there is no object. If the whole place is gone, that is a failure: its objects are not lost one by one. */
static int32_t explain_no_bytes(struct commands *storage, int code, const char *name, uint64_t offset)
{
    struct sought sought = {name, 0, 0};
    char why[WHY_SIZE];

    strcpy(why, storage->why);
    if (!look(storage, &sought))
        return fail(storage);
    if (!sought.is_there) {
        if (list_place(storage, storage->remote, ignore_object, NULL) != 0)
            return fail(storage);
        return IBT_ERR_NOT_FOUND;
    }
    if (sought.size <= offset)
        return IBT_CALLBACK_OK; /* *got is 0: the end */
    if (code == 0)
        snprintf(why, sizeof why, "%s cat: it wrote no bytes", storage->program);
    strcpy(storage->why, why);
    return fail(storage);
}

/* A command takes longer than its bytes, so it reads more than libibt asked for: the next range is often the next. */
static int32_t command_read_at(void *ud, const char *name, uint64_t offset, uint8_t *buf, size_t len, size_t *got)
{
    struct commands *storage = ud;
    int is_here = storage->read_name != NULL && strcmp(storage->read_name, name) == 0
                  && offset >= storage->read_offset && offset - storage->read_offset <= storage->read_size;
    size_t begin = is_here ? (size_t)(offset - storage->read_offset) : 0;

    if (!is_here || (begin == storage->read_size && !storage->read_to_end)) {
        size_t size = len < READ_LEAST ? READ_LEAST : len > READ_MOST ? READ_MOST : len;
        int code = fetch(storage, name, offset, size);

        if (code != 0 || storage->read_size == 0)
            return explain_no_bytes(storage, code, name, offset);
        begin = 0;
    }
    *got = storage->read_size - begin < len ? storage->read_size - begin : len;
    memcpy(buf, storage->bytes + begin, *got);
    return IBT_CALLBACK_OK;
}

/* ---- Deleting ---- */

static int32_t command_delete(void *ud, const char *name)
{
    struct commands *storage = ud;

    forget_bytes(storage);
    return remove_object(storage, name) ? IBT_CALLBACK_OK : fail(storage);
}

/* ---- Opening and freeing the storage ---- */

/* libibt calls this once, after the storage was freed and when nothing uses it any more. */
static void command_destroy(void *ud)
{
    struct commands *storage = ud;

    forget_bytes(storage);
    free(storage->program);
    free(storage->remote);
    free(storage);
}

/* Opens a place. Returns NULL and writes the reason into `why` if that fails. */
static struct commands *open_place(const char *program, const char *remote, int create, char *why, size_t size)
{
    struct commands *storage = calloc(1, sizeof *storage);
    const char *const args[] = {"--", remote, NULL};

    if (storage != NULL) {
        storage->program = strdup(program);
        storage->remote = strdup(remote);
    }
    if (storage == NULL || storage->program == NULL || storage->remote == NULL)
        snprintf(why, size, "%s", strerror(ENOMEM));
    else if (create && run(storage, "mkdir", args) != 0)
        snprintf(why, size, "%s", storage->why);
    else {
        storage->is_made = create;
        return storage;
    }
    if (storage != NULL)
        command_destroy(storage);
    return NULL;
}

static ibt_storage *make_storage(struct commands *storage)
{
    storage->handle = ibt_storage_new(storage, command_destroy);
    ibt_storage_set_writer(storage->handle, command_create, command_write, command_commit, command_abort);
    ibt_storage_set_reader(storage->handle, command_read_at);
    ibt_storage_set_list(storage->handle, command_list);
    ibt_storage_set_delete(storage->handle, command_delete);
    return storage->handle;
}

ibt_storage *command_storage_open(const char *program, const char *remote, int create, char *why, size_t size)
{
    struct commands *storage = open_place(program, remote, create, why, size);

    return storage == NULL ? NULL : make_storage(storage);
}
