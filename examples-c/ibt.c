/*
 * ibt.c - a command line for libibt, written only against ibt.h.
 *
 * Here are the commands and main(); ibt_tool.h says where the rest is.
 * `ibt --help` and `ibt COMMAND --help` explain the use.
 *
 *   cc -Iinclude examples-c/ibt*.c -libt -o ibt
 */
#include "ibt_tool.h"
#include <stdlib.h>
#include <string.h>

static ibt_status do_full(struct run *run)
{
    return ibt_full_backup(run->storage, run->operands[0], run->options, &run->report, &run->err);
}

static ibt_status do_incr(struct run *run)
{
    return ibt_incremental_backup(run->storage, run->operands[0], run->options, &run->report, &run->err);
}

static ibt_status do_restore(struct run *run)
{
    if (run->dry_run && !run->json && !run->quiet)
        ibt_options_set_change(run->options, print_change, run, NULL);
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
        ibt_options_set_change(run->options, print_change, run, NULL);
    return ibt_compare(run->storage, run->operands[0], run->operands[1], run->options, &run->report,
                       &run->err);
}

static ibt_status do_consolidate(struct run *run)
{
    return ibt_consolidate(run->storage, run->operands[0], run->options, &run->report, &run->err);
}

static ibt_status do_rebuild(struct run *run)
{
    return ibt_rebuild_cache(run->storage, run->operands[0], run->options, &run->report, &run->err);
}

const struct command commands[] = {
    { "full", BACKUP, 1, 1, "full SOURCE\n\nMakes a full backup of the directory SOURCE.",
      do_full, print_backup },
    { "incr", BACKUP, 1, 1, "incr SOURCE\n\nStores what changed in SOURCE since the last backup.",
      do_incr, print_backup },
    { "restore", RESTORE, 2, 2,
      "restore KEY DEST\n\nRestores the newest snapshot of KEY, or that of --at, as the directory DEST, which\n"
      "must be absent or empty unless --overwrite says what to do with what is there.",
      do_restore, print_restore },
    { "list", LIST, 0, 1,
      "list [KEY]\n\nLists the snapshots of KEY, or all: increments below what they continue. With --at,\n"
      "one snapshot and every backup file it needs.", do_list, print_list },
    { "files", FILES, 1, 2,
      "files KEY [PATH]\n\nLists a directory of a snapshot, its root or PATH. With --json, an object a line.",
      do_files, NULL },
    { "cat", CAT, 2, 2,
      "cat KEY PATH\n\nWrites a file of a snapshot to the standard output. Trust it when the exit status is 0:\n"
      "its hash is known to be right at the end only.", do_cat, NULL },
    { "verify", VERIFY, 0, 1,
      "verify [KEY]\n\nReads everything that the snapshots of KEY, or all, need, and compares it with its\n"
      "hashes. Exit status 3 if anything is damaged or missing.", do_verify, print_verify },
    { "compare", COMPARE, 2, 2,
      "compare KEY TREE\n\nTells how the directory TREE differs from a snapshot: + only in TREE, - only in the\n"
      "snapshot, M other content, m other metadata. Differences are no error.", do_compare, print_compare },
    { "prune", PRUNE, 1, 1,
      "prune KEY --keep-... N | --at WHEN\n\nRemoves the snapshots of KEY that no --keep-... keeps, or exactly "
      "the one of --at (if\nthat is a time, the only one of that day, minute or second), and the backup files that\nnothing "
      "needs then.", do_prune, print_prune },
    { "consolidate", CONSOLIDATE, 1, 1,
      "consolidate KEY\n\nMakes a full snapshot of the newest one of KEY, from the store alone.",
      do_consolidate, print_consolidate },
    { "rebuild-cache", REBUILD, 1, 1,
      "rebuild-cache KEY\n\nMakes the cache of KEY whole again, so that an increment need not fetch from the "
      "store.", do_rebuild, print_rebuild },
    { NULL, 0, 0, 0, NULL, NULL, NULL },
};

static int finish(const struct command *command, const struct run *run, ibt_status status)
{
    if (run->json && run->report != NULL)
        puts(ibt_report_json(run->report));
    else if (run->json && status < 0)
        print_json_error(status, error_text(run, status));
    else if (status >= 0 && !run->quiet && command->print != NULL)
        command->print(run);
    print_problems(run);
    if (status < 0 && !ferror(stdout)) { /* a full disk reads as cancelled */
        fputs("ibt: ", stderr);
        print_text(stderr, error_text(run, status));
        fputc('\n', stderr);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("ibt: cannot write the output");
        return EXIT_ERROR;
    }
    return status < 0 ? EXIT_ERROR : status == IBT_PARTIAL ? EXIT_PARTIAL : EXIT_OK;
}

static int perform(const struct command *command, struct run *run)
{
    ibt_status status = IBT_OK;
    int result;

    run->cancel = ibt_cancel_new();
    catch_interrupts(run->cancel);
    ibt_options_set_cancel(run->options, run->cancel);
    run->drawing = wants_progress(run);
    if (run->drawing)
        ibt_options_set_progress(run->options, draw, NULL, NULL);
    if (run->store != NULL)
        status = ibt_storage_open_dir(run->store, &run->storage, &run->err);
    if (status >= 0)
        status = command->work(run);
    erase_progress(run);
    result = finish(command, run, status);

    release_interrupts();
    ibt_cancel_free(run->cancel);
    return result;
}

int main(int argc, char **argv)
{
    const struct command *command;
    struct run run;
    int status;

    if (argc < 2)
        return wrong_usage(NULL, "a command is missing", NULL);
    if (strcmp(argv[1], "--version") == 0)
        return printf("ibt %s\n", ibt_version()) < 0 ? EXIT_ERROR : EXIT_OK;
    command = find_command(argv[1]);
    if (asks_for_help(argv + 1))
        return help(command);
    if (command == NULL)
        return wrong_usage(NULL, "unknown command", argv[1]);

    memset(&run, 0, sizeof run);
    run.options = ibt_options_new();
    status = read_arguments(command, &run, argv + 2);
    if (status == EXIT_OK)
        status = perform(command, &run);

    free(run.message);
    ibt_error_free(run.err);
    ibt_report_free(run.report);
    ibt_options_free(run.options);
    ibt_storage_free(run.storage);
    return status;
}
