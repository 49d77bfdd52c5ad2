/*
 * ibt.c - a command line for libibt, written only against ibt.h.
 *
 * This file has the commands and main(); ibt_tool.h lists the other files.
 * `ibt --help` and `ibt COMMAND --help` explain the use.
 *
 *   cc -Iinclude examples-c/ibt*.c -libt -o ibt
 */
#include "ibt_tool.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first steps of both kinds of backups. */
static ibt_status begin_backup(struct run *run)
{
    if (run->dry_run && !run->json && !run->quiet)
        ibt_options_set_change(run->options, print_backed_up, run, NULL);
    return add_files_from(run);
}

static ibt_status do_full(struct run *run)
{
    ibt_status status = begin_backup(run);

    if (status < 0)
        return status;
    run->heals = 0; /* a full needs nothing of the store */
    return ibt_full_backup(run->storage, run->operands[0], run->options, &run->report, &run->err);
}

static ibt_status do_incr(struct run *run)
{
    ibt_status status = begin_backup(run);

    if (status < 0)
        return status;
    return ibt_incremental_backup(run->storage, run->operands[0], run->options, &run->report, &run->err);
}

static ibt_status do_restore(struct run *run)
{
    if (run->dry_run && !run->json && !run->quiet)
        ibt_options_set_change(run->options, print_restored, run, NULL);
    return ibt_restore(run->storage, run->operands[0], run->operands[1], run->options, &run->report,
                       &run->err);
}

static ibt_status do_list(struct run *run)
{
    return ibt_list_snapshots(run->storage, run->operands[0], run->options, &run->report, &run->err);
}

static ibt_status do_verify(struct run *run)
{
    return ibt_verify(run->storage, run->operands[0], run->options, &run->report, &run->err);
}

static ibt_status do_compare(struct run *run)
{
    if (!run->json && !run->quiet)
        ibt_options_set_change(run->options, print_difference, run, NULL);
    return ibt_compare(run->storage, run->operands[0], run->operands[1], run->options, &run->report,
                       &run->err);
}

static ibt_status do_import(struct run *run)
{
    ibt_storage *from = NULL;
    ibt_status status = IBT_OK;

    if (run->from != NULL)
        status = ibt_storage_open_dir(run->from, IBT_DIR_READ_ONLY, &from, &run->err);
    if (status >= 0)
        status = ibt_import(run->storage, from, run->operands[0], run->options, &run->report, &run->err);
    ibt_storage_free(from);
    return status;
}

static ibt_status do_consolidate(struct run *run)
{
    return ibt_consolidate(run->storage, run->operands[0], run->options, &run->report, &run->err);
}

static ibt_status do_rebuild(struct run *run)
{
    return ibt_rebuild_cache(run->storage, run->operands[0], run->options, &run->report, &run->err);
}

/* The signs have the same meaning in both commands that print them. */
#define SIGNS \
    "  +  only in the snapshot: a restore creates it\n" \
    "  -  only in the directory: a restore with --delete removes it\n" \
    "  M  the content (or the type) differs: a restore replaces it\n" \
    "  m  only the metadata differs: a restore sets it\n" \
    "  =  stays as it is (printed by a dry run only)\n"

#define STORED \
    "With --dry-run, stores nothing and prints\n" \
    "one line for each change: + created, - deleted, M with other content or type, m with other metadata,\n" \
    "> moved here, = unreadable (the last version stays)."

const struct command commands[] = {
    { "full", BACKUP, 1, 1, "make a full backup",
      "full SOURCE\n\nMakes a full backup of the directory SOURCE. " STORED,
      do_full, print_backup },
    { "incr", BACKUP, 1, 1, "store what changed since the last backup",
      "incr SOURCE\n\nStores what changed in SOURCE since the last backup. " STORED,
      do_incr, print_backup },
    { "restore", RESTORE, 2, 2, "write a snapshot, or a part of it, to a directory",
      "restore KEY DEST\n\nRestores the newest snapshot of KEY, or the one that --at selects, to the directory\n"
      "DEST. Without --overwrite, DEST must be absent or empty. With --dry-run, changes nothing and\n"
      "prints one line for each entry:\n" SIGNS,
      do_restore, print_restore },
    { "list", LIST, 0, 1, "list the snapshots",
      "list [KEY]\n\nLists the snapshots of KEY, or of all keys: each increment below the snapshot that\n"
      "it continues. With --at, lists one snapshot and every backup file that it needs.", do_list, print_list },
    { "files", FILES, 1, 2, "list a directory of a snapshot",
      "files KEY [PATH]\n\nLists the directory PATH of a snapshot, or its root. With --json, prints one object\n"
      "in each line.",
      do_files, NULL },
    { "cat", CAT, 2, 2, "print a file of a snapshot",
      "cat KEY PATH\n\nWrites a file of a snapshot to the standard output. The hash is checked at the end, so\n"
      "trust the output only if the exit status is 0.", do_cat, NULL },
    { "find", FIND, 2, 2, "find entries in all snapshots",
      "find KEY PATTERN\n\nPrints the entries of every snapshot of KEY, or of the one that --at selects, whose name matches\n"
      "PATTERN, such as '*.conf'. A PATTERN with a slash is compared with the whole path. With --json,\nprints one object in each line.",
      do_find, NULL },
    { "stats", STATS, 1, 1, "sum up the snapshots of a key and what they take in the store",
      "stats KEY\n\nPrints the number and the size of the snapshots of KEY, and how much the store holds for them.\n"
      "A dry run of a prune says what the removal of one snapshot would free.",
      do_stats, NULL },
    { "verify", VERIFY, 0, 1, "read and check all backup files that snapshots need",
      "verify [KEY]\n\nReads all backup files that the snapshots of KEY, or of all keys, need, and checks\n"
      "their hashes. The exit status is 3 if anything is damaged or missing, and 1 if there is\n"
      "nothing to verify.",
      do_verify, print_verify },
    { "compare", COMPARE, 2, 2, "list the differences of a directory from a snapshot",
      "compare KEY TREE\n\nLists the differences of the directory TREE from a snapshot, one line for each entry:\n"
      SIGNS "Differences are not an error: the exit status is 0.", do_compare, print_compare },
    { "diff", DIFF, 2, 3, "list the differences of two snapshots",
      "diff KEY FROM [TO]\n\nLists the differences of the snapshot TO, or the newest one, from the snapshot FROM, one line\n"
      "for each entry: + created, - deleted, M with other content or type, m with other metadata. FROM and\n"
      "TO are stamps, or times as for --at. Reads no contents. Differences are not an error.", do_diff, print_diff },
    { "keys", KEYS, 0, 0, "list the keys", "keys\n\nLists the keys of all snapshots, without reading them.",
      do_keys, NULL },
    { "prune", PRUNE, 1, 1, "remove snapshots, and the backup files that only they need",
      "prune KEY --keep-... N | --snapshot STAMP | --at WHEN\n\nRemoves the snapshots of KEY that no --keep-... option "
      "keeps, or those that\n--snapshot and --at select, and then the backup files that no other snapshot needs. If WHEN is a time,\n"
      "exactly one snapshot must be of that day or minute, or of the second that ends at that moment.", do_prune, print_prune },
    { "import", IMPORT, 1, 1, "import the backups of incremental-backups-tools 0.1",
      "import KEY\n\nMakes a snapshot of each backup that incremental-backups-tools 0.1, the Python ancestor of\n"
      "libibt, made of the directory KEY, with the date of that backup. Its files, such as\n"
      "KEY.full.2013-12-01T10:30:00.123456.tgz, are only read. The next import adds those that are new.",
      do_import, print_import },
    { "consolidate", CONSOLIDATE, 1, 1, "make a full snapshot with the contents of the newest one",
      "consolidate KEY\n\nMakes a new full snapshot with the contents of the newest snapshot of KEY. Reads\n"
      "only the store, not the source.",
      do_consolidate, print_consolidate },
    { "rebuild-cache", REBUILD, 1, 1, "complete the cache from the store",
      "rebuild-cache KEY\n\nCompletes the cache of KEY from the store. The next increment then reads no "
      "signatures\nfrom the store.", do_rebuild, print_rebuild },
    { NULL, 0, 0, 0, NULL, NULL, NULL, NULL },
};

/* Returns `status` if the standard output was written completely. Else prints a message and returns EXIT_ERROR. */
int all_is_written(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    perror("ibt: cannot write the output");
    return EXIT_ERROR;
}

/* Turns a verify that found neither a snapshot nor a problem into an error: nothing was verified. */
static ibt_status judge(const struct command *command, struct run *run, ibt_status status)
{
    FILE *out;

    /* With a problem that is not only a note, the status is IBT_PARTIAL. */
    if (command->group != VERIFY || status != IBT_OK || ibt_report_snapshot_count(run->report) > 0)
        return status;
    out = begin_message(run);
    if (out != NULL)
        fputs("verify: nothing was verified, because the store has no snapshot", out);
    end_message(run, out);
    return IBT_ERR_NOT_FOUND;
}

static int exit_status(ibt_status status)
{
    switch (status) {
    case IBT_PARTIAL: return EXIT_PARTIAL;
    case IBT_ERR_BUSY: return EXIT_BUSY;
    case IBT_ERR_CORRUPT: case IBT_ERR_FORMAT: case IBT_ERR_MISSING: return EXIT_DAMAGED;
    default: return status < 0 ? EXIT_ERROR : EXIT_OK;
    }
}

static int finish(const struct command *command, const struct run *run, ibt_status status)
{
    if (run->json && run->report != NULL && run->message == NULL)
        puts(ibt_report_json(run->report));
    else if (run->json && status < 0)
        print_json_error(status, error_text(run, status));
    else if (status >= 0 && !run->quiet && command->print != NULL)
        command->print(run);
    fflush(stdout); /* before the messages on stderr, because both streams may go to one file */
    print_problems(run);
    if (status < 0 && !ferror(stdout)) { /* a failed output cancels the operation; all_is_written() reports it */
        fputs("ibt: ", stderr);
        print_text(stderr, error_text(run, status));
        fputc('\n', stderr);
    }
    print_cure(run, command);
    return all_is_written(exit_status(status));
}

static int perform(const struct command *command, struct run *run)
{
    ibt_status status;
    int result, number;

    clock_gettime(CLOCK_MONOTONIC, &run->begin);
    run->cancel = ibt_cancel_new();
    catch_interrupts(run->cancel);
    ibt_options_set_cancel(run->options, run->cancel);
    ibt_options_set_log(run->options, IBT_LOG_WARN, print_at_once, run, NULL);
    run->drawing = wants_progress(run);
    if (run->drawing)
        ibt_options_set_progress(run->options, draw, NULL, NULL);
    status = open_store(command, run);
    if (status >= 0)
        status = command->work(run);
    erase_progress(run);
    if (status == IBT_ERR_CANCELLED && ferror(stdout) && interrupted_by() != 0) {
        /* The signal came while the program waited for the reader of its output. Flushing the rest of the output would
         * wait again. */
        fputs("ibt: cancelled\n", stderr);
        _exit(128 + interrupted_by());
    }
    status = judge(command, run, status);
    result = finish(command, run, status);

    number = release_interrupts();
    ibt_cancel_free(run->cancel);
    /* The exit status that a shell shows for a program ended by a signal. */
    return status == IBT_ERR_CANCELLED && number != 0 ? 128 + number : result;
}

/* Answers --version, help, --help and completion, which need no command. Returns -1 for any other arguments. */
static int answer(char **argv)
{
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("ibt %s\n", ibt_version());
        return all_is_written(EXIT_OK);
    }
    if (strcmp(argv[1], "help") == 0)
        return help_on(argv[2]);
    if (strcmp(argv[1], "completion") == 0 && !asks_for_help(argv + 1))
        return print_completion(argv[2]);
    return asks_for_help(argv + 1) ? help(find_command(argv[1])) : -1;
}

/* Opens a directory in the place of each standard stream that is closed. Otherwise a file of the store could get the
 * number of the stream, and messages would be written into that file. Reading and writing a directory fails, as it
 * does with a closed stream. */
static void occupy_closed_streams(void)
{
    int number;

    do
        number = open("/", O_RDONLY);
    while (number >= 0 && number <= STDERR_FILENO);
    if (number >= 0)
        close(number);
}

int main(int argc, char **argv)
{
    const struct command *command;
    struct run run;
    int status;

    occupy_closed_streams();
    look_for_json(argv);
    if (argc < 2)
        return wrong_usage(NULL, "a command is missing", NULL);
    status = answer(argv);
    if (status >= 0)
        return status;
    command = find_command(argv[1]);
    if (command == NULL)
        return wrong_usage(NULL, "unknown command", argv[1]);

    memset(&run, 0, sizeof run);
    run.options = ibt_options_new();
    ibt_options_set_local_time(run.options, 1); /* as in the tables; --utc sets it back */
    status = read_arguments(command, &run, argv + 2);
    if (status == EXIT_OK)
        status = perform(command, &run);

    free(run.message);
    free(run.names[0]);
    free(run.names[1]);
    free(run.names[2]);
    ibt_error_free(run.err);
    ibt_report_free(run.report);
    ibt_options_free(run.options);
    ibt_storage_free(run.storage);
    return status;
}
