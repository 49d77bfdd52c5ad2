/* ibt_args.c - the options of each command; reads the command line and the environment. */
#include "ibt_tool.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static int accepted(ibt_status status)
{
    return status >= 0;
}

static int apply_store(struct run *run, const char *argument)
{
    run->store = argument;
    return *argument != '\0';
}

static int apply_cache(struct run *run, const char *argument)
{
    return *argument != '\0' && accepted(ibt_options_set_cache_dir(run->options, argument));
}

static int apply_no_cache(struct run *run, const char *argument)
{
    (void)argument;
    return accepted(ibt_options_set_cache_dir(run->options, ""));
}

static int apply_key(struct run *run, const char *argument)
{
    return accepted(ibt_options_set_key(run->options, argument));
}

static int apply_host(struct run *run, const char *argument)
{
    return accepted(ibt_options_set_host(run->options, argument));
}

static int apply_source_name(struct run *run, const char *argument)
{
    return accepted(ibt_options_set_source_name(run->options, argument));
}

static int apply_source_change(struct run *run, const char *argument)
{
    (void)argument;
    return accepted(ibt_options_set_allow_source_change(run->options, 1));
}

static int apply_allow_empty(struct run *run, const char *argument)
{
    (void)argument;
    return accepted(ibt_options_set_allow_empty(run->options, 1));
}

static int apply_heal(struct run *run, const char *argument)
{
    (void)argument;
    run->heals = 1;
    return accepted(ibt_options_set_heal(run->options, 1));
}

static int apply_exclude(struct run *run, const char *argument)
{
    return accepted(ibt_options_add_exclude(run->options, argument));
}

/* Adds each line of the file that is not empty as a pattern. As in .gitignore, a line that begins with # matches
 * nothing. */
static int apply_exclude_from(struct run *run, const char *argument)
{
    FILE *file = strcmp(argument, "-") == 0 ? stdin : fopen(argument, "r");
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    int valid = file != NULL;

    while (valid && (length = getline(&line, &room, file)) >= 0) {
        if (length > 0 && line[length - 1] == '\n')
            line[--length] = '\0';
        if (strlen(line) != (size_t)length)
            valid = 0; /* a NUL would end the pattern too early */
        else if (length > 0)
            valid = apply_exclude(run, line);
    }
    valid = valid && !ferror(file);
    free(line);
    if (file != NULL && file != stdin)
        fclose(file);
    return valid;
}

static int apply_if_present(struct run *run, const char *argument)
{
    return accepted(ibt_options_add_exclude_if_present(run->options, argument));
}

static int apply_larger_than(struct run *run, const char *argument)
{
    uint64_t size;

    return read_size(argument, &size) && accepted(ibt_options_set_exclude_larger_than(run->options, size));
}

static int apply_nodump(struct run *run, const char *argument)
{
    (void)argument;
    return accepted(ibt_options_set_exclude_nodump(run->options, 1));
}

static int apply_skip_caches(struct run *run, const char *argument)
{
    (void)argument;
    return accepted(ibt_options_set_skip_cache_dirs(run->options, 1));
}

static int apply_one_file_system(struct run *run, const char *argument)
{
    (void)argument;
    return accepted(ibt_options_set_one_file_system(run->options, 1));
}

static int apply_files_from(struct run *run, const char *argument)
{
    run->files_from = argument;
    return *argument != '\0';
}

static int apply_null(struct run *run, const char *argument)
{
    (void)argument;
    return run->ends_in_nul = 1;
}

/* Reads a decimal number from 0 to max. Returns 0 if the text is no such number. */
static int read_number(const char *text, long max, long *number)
{
    char *end;

    errno = 0;
    *number = strtol(text, &end, 10);
    return end != text && *end == '\0' && errno == 0 && *number >= 0 && *number <= max;
}

static int apply_threads(struct run *run, const char *argument)
{
    long n;

    return read_number(argument, INT_MAX, &n)
        && accepted(ibt_options_set_threads(run->options, (uint32_t)n));
}

static int apply_presence(struct run *run, const char *argument)
{
    (void)argument;
    run->sound = "present";
    return accepted(ibt_options_set_verify(run->options, IBT_VERIFY_PRESENCE));
}

static int apply_part(struct run *run, const char *argument)
{
    char first[16];
    size_t digits = strcspn(argument, "/");
    long part, parts;

    snprintf(first, sizeof first, "%.*s", (int)digits, argument);
    if (digits >= sizeof first || argument[digits] != '/' || !read_number(first, INT_MAX, &part)
        || !read_number(argument + digits + 1, INT_MAX, &parts) || part == 0 || part > parts)
        return 0;
    run->sound = "whole in this part";
    return accepted(ibt_options_set_verify_part(run->options, (uint32_t)part, (uint32_t)parts));
}

static int apply_metadata_only(struct run *run, const char *argument)
{
    (void)argument;
    return accepted(ibt_options_set_metadata_only(run->options, 1));
}

static int apply_level(struct run *run, const char *argument)
{
    long level;

    if (!read_number(argument, INT_MAX, &level))
        return 0;
    return accepted(level == 0
        ? ibt_options_set_compression(run->options, IBT_COMPRESSION_NONE, 0)
        : ibt_options_set_compression(run->options, IBT_COMPRESSION_ZSTD, (int32_t)level));
}

static int apply_part_size(struct run *run, const char *argument)
{
    uint64_t size;

    return read_size(argument, &size) && accepted(ibt_options_set_part_size(run->options, size));
}

static int apply_checkpoint(struct run *run, const char *argument)
{
    uint64_t size;

    return read_size(argument, &size) && accepted(ibt_options_set_checkpoint(run->options, size));
}

static const struct word delta_words[] = {
    { "auto", IBT_DELTA_AUTO },
    { "signatures", IBT_DELTA_SIGNATURES },
    { "contents", IBT_DELTA_CONTENTS },
    { NULL, 0 },
};

static const struct word overwrite_words[] = {
    { "never", IBT_OVERWRITE_NEVER },
    { "always", IBT_OVERWRITE_ALWAYS },
    { "different", IBT_OVERWRITE_IF_DIFFERENT },
    { "older", IBT_OVERWRITE_IF_OLDER },
    { "keep", IBT_OVERWRITE_KEEP },
    { NULL, 0 },
};

/* Calls `set` with the number of the word. Returns 0 if the table does not have the word. */
static int apply_word(struct run *run, const struct word *words, const char *argument,
                      ibt_status (*set)(ibt_options *, int32_t))
{
    for (; words->text != NULL; words++)
        if (strcmp(argument, words->text) == 0)
            return accepted(set(run->options, words->number));
    return 0;
}

static int apply_delta(struct run *run, const char *argument)
{
    return apply_word(run, delta_words, argument, ibt_options_set_delta);
}

static int apply_skip_unchanged(struct run *run, const char *argument)
{
    (void)argument;
    return accepted(ibt_options_set_skip_unchanged(run->options, 1));
}

static int apply_overwrite(struct run *run, const char *argument)
{
    return apply_word(run, overwrite_words, argument, ibt_options_set_overwrite);
}

/* --at: a stamp as `ibt list` shows it, or a time. A time selects the newest snapshot until the end of that time.
 * Only for a prune it selects the one snapshot within that time: see do_prune(). */
static int apply_at(struct run *run, const char *argument)
{
    run->at = argument;
    run->at_is_time = !read_stamp(argument, &run->span.first);
    if (!run->at_is_time) {
        run->span.last = run->span.first;
        return accepted(ibt_options_set_snapshot(run->options, argument));
    }
    if (!read_time(argument, &run->span))
        return 0;
    return accepted(ibt_options_set_as_of(run->options, run->span.last));
}

static int apply_include(struct run *run, const char *argument)
{
    return accepted(ibt_options_add_include(run->options, argument));
}

/* A path of the snapshot may be written as the tool prints it. */
static int apply_root(struct run *run, const char *argument)
{
    char *name = name_of_text(argument);
    ibt_status status = ibt_options_set_root(run->options, name != NULL ? name : argument);

    free(name);
    return accepted(status);
}

static int apply_delete(struct run *run, const char *argument)
{
    (void)argument;
    return accepted(ibt_options_set_delete_extra(run->options, 1));
}

static int apply_leave_partial(struct run *run, const char *argument)
{
    (void)argument;
    return accepted(ibt_options_set_leave_partial(run->options, 1));
}

static int apply_map_owners(struct run *run, const char *argument)
{
    (void)argument;
    return accepted(ibt_options_set_map_owners(run->options, 1));
}

static int apply_protect(struct run *run, const char *argument)
{
    return accepted(ibt_options_add_protected_path(run->options, argument));
}

static int apply_dry_run(struct run *run, const char *argument)
{
    (void)argument;
    run->dry_run = 1;
    return accepted(ibt_options_set_dry_run(run->options, 1));
}

/* A rule with the number 0 counts as not given. */
static int apply_keep(struct run *run, const char *argument, ibt_status (*set)(ibt_options *, uint32_t))
{
    long n;

    if (!read_number(argument, INT_MAX, &n))
        return 0;
    run->keeps |= n > 0;
    return accepted(set(run->options, (uint32_t)n));
}

static int apply_last(struct run *run, const char *argument)
{
    return apply_keep(run, argument, ibt_options_set_keep_last);
}

static int apply_hourly(struct run *run, const char *argument)
{
    return apply_keep(run, argument, ibt_options_set_keep_hourly);
}

/* A number and a unit, such as 90s, 15min, 6h, 2d or 3w. A day has 24 hours here. */
static int apply_within(struct run *run, const char *argument)
{
    static const struct { const char *unit; uint64_t seconds; } units[] = {
        { "s", 1 }, { "min", 60 }, { "h", 3600 }, { "d", 86400 }, { "w", 7 * 86400 },
    };
    char number[16];
    size_t digits = strspn(argument, "0123456789"), i;
    long n;

    snprintf(number, sizeof number, "%.*s", (int)digits, argument);
    if (digits >= sizeof number || !read_number(number, INT_MAX, &n))
        return 0;
    for (i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(argument + digits, units[i].unit) == 0) {
            run->keeps |= n > 0;
            return accepted(ibt_options_set_keep_within(run->options, (uint64_t)n * units[i].seconds));
        }
    return 0;
}

static int apply_utc(struct run *run, const char *argument)
{
    (void)argument;
    return accepted(ibt_options_set_local_time(run->options, 0));
}

static int apply_snapshot(struct run *run, const char *argument)
{
    run->removes = 1;
    return accepted(ibt_options_add_removed(run->options, argument));
}

static int apply_daily(struct run *run, const char *argument)
{
    return apply_keep(run, argument, ibt_options_set_keep_daily);
}

static int apply_weekly(struct run *run, const char *argument)
{
    return apply_keep(run, argument, ibt_options_set_keep_weekly);
}

static int apply_monthly(struct run *run, const char *argument)
{
    return apply_keep(run, argument, ibt_options_set_keep_monthly);
}

static int apply_yearly(struct run *run, const char *argument)
{
    return apply_keep(run, argument, ibt_options_set_keep_yearly);
}

/* Splits NAME=VALUE at the first '='. Without '=' the value is NULL. */
static int apply_label_with(struct run *run, const char *argument,
                            ibt_status (*set)(ibt_options *, const char *, const char *))
{
    const char *equals = strchr(argument, '=');
    char *name = strndup(argument, strcspn(argument, "="));
    int taken = name != NULL && accepted(set(run->options, name, equals != NULL ? equals + 1 : NULL));

    free(name);
    return taken;
}

static int apply_label(struct run *run, const char *argument)
{
    return strchr(argument, '=') != NULL && apply_label_with(run, argument, ibt_options_set_label);
}

static int apply_label_filter(struct run *run, const char *argument)
{
    return apply_label_with(run, argument, ibt_options_add_label_filter);
}

static int apply_keep_label(struct run *run, const char *argument)
{
    run->keeps = 1;
    return apply_label_with(run, argument, ibt_options_add_keep_label);
}

static int apply_recursive(struct run *run, const char *argument)
{
    (void)argument;
    return run->recursive = 1;
}

/* --lock-wait: -1 waits without a limit. */
static int apply_lock_wait(struct run *run, const char *argument)
{
    long seconds;

    if (strcmp(argument, "-1") == 0)
        return accepted(ibt_options_set_lock_wait(run->options, -1));
    return read_number(argument, INT_MAX / 1000, &seconds)
        && accepted(ibt_options_set_lock_wait(run->options, (int32_t)seconds * 1000));
}

static int apply_no_lock(struct run *run, const char *argument)
{
    (void)argument;
    return accepted(ibt_options_set_allow_unlocked(run->options, 1));
}

static int apply_from(struct run *run, const char *argument)
{
    run->from = argument;
    return *argument != '\0';
}

static int apply_json(struct run *run, const char *argument)
{
    (void)argument;
    return run->json = 1;
}

static int apply_quiet(struct run *run, const char *argument)
{
    (void)argument;
    return run->quiet = 1;
}

enum { AT = RESTORE | LIST | FILES | CAT | FIND | VERIFY | COMPARE | PRUNE };
enum { REPORTS = EVERY & ~CAT };
enum { WORKERS = EVERY & ~KEYS };

const struct option options[] = {
    { "--store", "DIR", EVERY,
      "where the backup files are (default: a private directory in $TMPDIR), or a URL:\n"
      "                   s3://BUCKET/PREFIX, gs://..., az://..., file:///DIR",
      apply_store },
    { "--cache", "DIR", EVERY, "where copies of states and signatures are kept (default: ~/.cache/ibt)", apply_cache },
    { "--no-cache", NULL, EVERY, "keep and use no such copies", apply_no_cache },
    { "--from", "DIR", IMPORT, "where the files to import are (default: in the store)", apply_from },
    { "--key", "K", IMPORT, "the key of the new snapshots (default: KEY)", apply_key },
    { "--key", "K", BACKUP, "the name of the series (default: the last component of SOURCE)", apply_key },
    { "--host", "NAME", BACKUP | IMPORT, "the name of this host in the snapshot (default: the system's)", apply_host },
    { "--source-name", "NAME", BACKUP, "the name of SOURCE in the snapshot (default: its path)", apply_source_name },
    { "--source-name", "NAME", IMPORT, "the name of the source in the snapshots (default: its path)",
      apply_source_name },
    { "--allow-source-change", NULL, BACKUP | IMPORT, "continue the series from another source or host",
      apply_source_change },
    { "--allow-empty", NULL, BACKUP, "back up an empty SOURCE although the newest snapshot has entries",
      apply_allow_empty },
    { "--exclude", "P", BACKUP | RESTORE | COMPARE | DIFF,
      "leave out entries that match P, as in .gitignore; may be repeated", apply_exclude },
    { "--exclude-from", "FILE", BACKUP | COMPARE | RESTORE,
      "the same for each line of FILE (- for the standard input); may be repeated", apply_exclude_from },
    { "--exclude-if-present", "NAME", BACKUP | COMPARE,
      "of a directory with a file NAME, store only that file; may be repeated", apply_if_present },
    { "--exclude-larger-than", "SIZE", BACKUP | COMPARE, "leave out larger files: 500, 64k, 10M, 2G",
      apply_larger_than },
    { "--exclude-nodump", NULL, BACKUP | COMPARE, "leave out entries with the flag of chattr +d", apply_nodump },
    { "--exclude-caches", NULL, BACKUP | COMPARE, "of a directory with a CACHEDIR.TAG, store only that file",
      apply_skip_caches },
    { "--one-file-system", NULL, BACKUP | COMPARE, "do not enter file systems that are mounted in the directory",
      apply_one_file_system },
    { "--files-from", "FILE", BACKUP,
      "only these paths below SOURCE, one in each line of FILE (- for the standard input)", apply_files_from },
    { "--null", NULL, BACKUP, "the paths of --files-from end in NUL, as find -print0 writes them", apply_null },
    { "--at", "WHEN", AT,
      "select the snapshot with this stamp, or the last one made until the end of this time:\n"
      "                   " TIME_FORMS, apply_at },
    { "--label", "NAME=VALUE", BACKUP | IMPORT, "give the snapshot a label; may be repeated", apply_label },
    { "--label", "NAME", LIST | RESTORE | FILES | CAT | FIND | STATS | COMPARE | PRUNE,
      "only snapshots with this label, or NAME=VALUE; may be repeated", apply_label_filter },
    { "--include", "GLOB", RESTORE | COMPARE | DIFF,
      "only entries that match, from the snapshot's root: 'src/**/*.c'; may be repeated", apply_include },
    { "--root", "PATH", RESTORE, "restore only this directory of the snapshot: it becomes DEST", apply_root },
    { "--overwrite", "HOW", RESTORE,
      "when to replace existing entries: never (default; DEST must be empty), always,\n"
      "                   different (size or time), older, keep", apply_overwrite },
    { "--delete", NULL, RESTORE, "remove entries from DEST that the snapshot does not have", apply_delete },
    { "--leave-partial", NULL, RESTORE, "if an error ends the restore, keep the part of a new DEST that is done",
      apply_leave_partial },
    { "--map-owners", NULL, RESTORE, "give files to the owners of the recorded names, not of the recorded numbers",
      apply_map_owners },
    { "--protect", "PATH", BACKUP | RESTORE | COMPARE,
      "leave out PATH and everything below it, and change nothing there; may be repeated", apply_protect },
    { "--keep-last", "N", PRUNE, "keep the newest N snapshots", apply_last },
    { "--keep-within", "TIME", PRUNE, "keep the snapshots of this time before the newest: 90s, 15min, 6h, 2d, 3w",
      apply_within },
    { "--keep-hourly", "N", PRUNE, "keep the newest snapshot of each of the last N hours with snapshots",
      apply_hourly },
    { "--keep-daily", "N", PRUNE, "the same for days",
      apply_daily },
    { "--keep-weekly", "N", PRUNE, "the same for weeks", apply_weekly },
    { "--keep-monthly", "N", PRUNE, "the same for months", apply_monthly },
    { "--keep-yearly", "N", PRUNE, "the same for years", apply_yearly },
    { "--keep-label", "NAME", PRUNE, "keep the snapshots with this label, or NAME=VALUE; may be repeated",
      apply_keep_label },
    { "--utc", NULL, PRUNE, "the hours, days, weeks, months and years of the rules are those of UTC, not of local time",
      apply_utc },
    { "--snapshot", "STAMP", PRUNE, "remove this snapshot; may be repeated: all of them or none", apply_snapshot },
    { "--dry-run", NULL, BACKUP | RESTORE | PRUNE, "print what would be done, and change nothing", apply_dry_run },
    { "--presence", NULL, VERIFY, "read the states only, and look whether the other backup files are there",
      apply_presence },
    { "--part", "N/M", VERIFY, "read part N of M, for example 3/7 on each third day of a week", apply_part },
    { "--metadata-only", NULL, COMPARE, "read no file: another size or modification time is another content",
      apply_metadata_only },
    { "--recursive", NULL, FILES, "list everything below PATH", apply_recursive },
    { "--threads", "N", WORKERS, "worker threads (default 0: one for each core)", apply_threads },
    { "--level", "N", BACKUP | CONSOLIDATE | IMPORT, "compression, 1 (fast) to 19 (small), 0 for none (default 3)",
      apply_level },
    { "--part-size", "SIZE", BACKUP | CONSOLIDATE | IMPORT,
      "store a longer archive in parts of at most SIZE: 4095M, 100G (default 0: in one file)", apply_part_size },
    { "--checkpoint", "SIZE", BACKUP | PRUNE,
      "a full that is killed or fails loses at most about SIZE of its work: the next full goes\n"
      "                   on from there (default 4G; 0: from zero, and a prune removes what it would need)",
      apply_checkpoint },
    { "--delta", "HOW", BACKUP,
      "increments find what is the same: signatures (blocks), contents (bytes, reads the\n"
      "                   store), auto (default: contents if the store is cheap to read)", apply_delta },
    { "--heal", NULL, BACKUP,
      "an increment reads everything that it takes over, and stores again what the store has lost", apply_heal },
    { "--skip-unchanged", NULL, BACKUP, "an increment makes no snapshot if nothing changed", apply_skip_unchanged },
    { "--no-lock", NULL, BACKUP | PRUNE | CONSOLIDATE | IMPORT,
      "go on if the store cannot be locked: nobody else may write to KEY meanwhile", apply_no_lock },
    { "--lock-wait", "SECONDS", EVERY, "wait so long for another operation that uses KEY (default 0; -1 for ever)",
      apply_lock_wait },
    { "--json", NULL, REPORTS, "print the report as JSON", apply_json },
    { "--quiet", NULL, EVERY, "print only errors and problems", apply_quiet },
    { NULL, NULL, 0, NULL, NULL },
};

/* The words that the option takes as its argument, NULL if it takes any text. */
const struct word *words_of(const struct option *option)
{
    if (option->apply == apply_delta)
        return delta_words;
    return option->apply == apply_overwrite ? overwrite_words : NULL;
}

static void print_options(FILE *out, int group)
{
    const struct option *option;

    for (option = options; option->name != NULL; option++) {
        char form[40];

        if ((option->groups & group) == 0)
            continue;
        snprintf(form, sizeof form, "%s %s", option->name, option->argument != NULL ? option->argument : "");
        fprintf(out, "  %-16s %s\n", form, option->help);
    }
}

int help(const struct command *command)
{
    int i;

    if (command != NULL) {
        printf("usage: ibt %s\n\n", command->use);
        print_options(stdout, command->group);
        return all_is_written(EXIT_OK);
    }
    printf("usage: ibt COMMAND ...\n\nIncremental backups. The commands:\n\n");
    for (i = 0; commands[i].name != NULL; i++)
        printf("  %-13s  %s\n", commands[i].name, commands[i].word);
    printf("\nTheir arguments; ibt COMMAND --help and ibt help COMMAND explain them:\n\n");
    for (i = 0; commands[i].name != NULL; i++)
        printf("  ibt %.*s\n", (int)strcspn(commands[i].use, "\n"), commands[i].use);
    printf("\nibt --help and ibt help print this, ibt --version and -V the version, ibt completion SHELL a\n"
           "completion script for bash, zsh or fish.\n"
           "\nEnvironment: IBT_STORE, IBT_CACHE and IBT_KEY have the values of --store, --cache and --key if these\n"
           "are not given. IBT_KEY is also the KEY of commands that need one and get one argument less.\n"
           "\nExit status: 0 done, 3 done but not everything (see the messages), 1 error, 2 wrong usage,\n"
           "4 another operation is running (try again later), 5 stored bytes are damaged or missing and nothing\n"
           "was done, 130 Ctrl-C (128 and the signal's number).\n");
    return all_is_written(EXIT_OK);
}

/* "ibt help [COMMAND]" */
int help_on(const char *name)
{
    const struct command *command = name != NULL ? find_command(name) : NULL;

    if (name != NULL && command == NULL)
        return wrong_usage(NULL, "unknown command", name);
    return help(command);
}

/* --json is among the arguments, so errors are also printed as JSON. */
static int json_is_wanted;

/* Looks for --json before any argument is checked. */
void look_for_json(char **argv)
{
    for (; *argv != NULL && strcmp(*argv, "--") != 0; argv++)
        json_is_wanted |= strcmp(*argv, "--json") == 0;
}

static void print_json_usage(const char *what, const char *which)
{
    char *argument = which != NULL ? name_as_text(which) : NULL;
    char message[512];

    snprintf(message, sizeof message, "%s%s%s", what, argument != NULL ? ": " : "", argument != NULL ? argument : "");
    print_json_error(IBT_ERR_INVALID_ARG, message);
    free(argument);
}

/* Prints the fault `what` of the argument `which`. `command` and `which` may be NULL. */
int wrong_usage(const struct command *command, const char *what, const char *which)
{
    if (json_is_wanted)
        print_json_usage(what, which);
    fprintf(stderr, "ibt: %s", what);
    if (which != NULL) {
        fputs(": ", stderr);
        print_name(stderr, which);
    }
    if (command != NULL)
        fprintf(stderr, "; see ibt %s --help\n", command->name);
    else
        fputs("; see ibt --help\n", stderr);
    return EXIT_USAGE;
}

const struct command *find_command(const char *name)
{
    int i;

    for (i = 0; commands[i].name != NULL; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* The option that an argument such as "--key=K" or "--key" begins with. NULL if the group has no such option. */
static const struct option *find_option(const char *argument, int group)
{
    size_t length = strcspn(argument, "=");
    const struct option *option;

    for (option = options; option->name != NULL; option++)
        if (strlen(option->name) == length && strncmp(option->name, argument, length) == 0
            && (option->groups & group) != 0)
            return option;
    return NULL;
}

/* Applies the option at argv[0]. Returns the number of arguments used, or 0 after an error message. */
static int take_option(const struct command *command, struct run *run, char **argv)
{
    const struct option *option = find_option(argv[0], command->group);
    const char *equals = strchr(argv[0], '=');
    const char *argument = equals != NULL ? equals + 1 : argv[1];
    char what[64];

    if (option == NULL)
        return wrong_usage(command, "unknown option", argv[0]), 0;
    if (option->argument == NULL && equals != NULL)
        return wrong_usage(command, "this option takes no argument", argv[0]), 0;
    if (option->argument != NULL && argument == NULL)
        return wrong_usage(command, "this option needs an argument", argv[0]), 0;
    snprintf(what, sizeof what, "not a valid %s for %s", option->argument != NULL ? option->argument : "",
             option->name);
    if (!option->apply(run, argument)) {
        wrong_usage(command, what, argument);
        if (option->apply == apply_at)
            fputs("WHEN is a stamp as ibt list shows it, or a time:\n"
                  "                   " TIME_FORMS "\n", stderr);
        return 0;
    }
    return option->argument == NULL || equals != NULL ? 1 : 2;
}

/* Checks the rules that concern several arguments together. */
static int check_together(const struct command *command, const struct run *run)
{
    if (run->at != NULL && run->operand_count == 0)
        return wrong_usage(command, "--at needs a KEY", NULL);
    if (command->group == PRUNE && (run->at != NULL || run->removes) && run->keeps)
        return wrong_usage(command, "either --keep-..., or --at and --snapshot, not both", NULL);
    if (command->group == PRUNE && run->at == NULL && !run->removes && !run->keeps)
        return wrong_usage(command, "name what to keep (--keep-...), or the snapshots to remove (--snapshot, --at)",
                           NULL);
    return EXIT_OK;
}

/* Decodes keys and paths of a snapshot that are written as the tool prints them. SOURCE, DEST and TREE are paths of
 * the system and stay unchanged. */
static void take_names(const struct command *command, struct run *run)
{
    int i;

    for (i = 0; i < run->operand_count; i++) {
        int is_printed = i == 0 ? command->group != BACKUP : (command->group & (FILES | CAT)) != 0;

        run->names[i] = is_printed ? name_of_text(run->operands[i]) : NULL;
        if (run->names[i] != NULL)
            run->operands[i] = run->names[i];
    }
}

/* The value of an environment variable. NULL if it is not set or empty. */
static const char *environment(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && *value != '\0' ? value : NULL;
}

/* Applies the environment. Options of the command line follow and replace these values. */
static int take_environment(const struct command *command, struct run *run)
{
    const char *cache = environment("IBT_CACHE"), *key = environment("IBT_KEY");

    run->store = environment("IBT_STORE");
    if (cache != NULL && !apply_cache(run, cache))
        return wrong_usage(command, "IBT_CACHE is not a valid directory", cache);
    if (key != NULL && (command->group & BACKUP) != 0 && !apply_key(run, key))
        return wrong_usage(command, "IBT_KEY is not a valid key", key);
    return EXIT_OK;
}

/* Inserts IBT_KEY as the first operand of a command that needs a KEY and has one operand less than it needs. */
static void take_key(const struct command *command, struct run *run)
{
    const char *key = environment("IBT_KEY");

    if (key == NULL || (command->group & BACKUP) != 0 || run->operand_count + 1 != command->operands_min)
        return;
    memmove(&run->operands[1], &run->operands[0], (size_t)run->operand_count * sizeof run->operands[0]);
    run->operands[0] = key;
    run->operand_count++;
}

/* Fills `run` from the arguments after the command. Returns EXIT_OK, or EXIT_USAGE after an error message. */
int read_arguments(const struct command *command, struct run *run, char **argv)
{
    int only_operands = 0;

    if (take_environment(command, run) != EXIT_OK)
        return EXIT_USAGE;
    while (*argv != NULL) {
        if (!only_operands && strcmp(*argv, "--") == 0) {
            only_operands = 1;
            argv++;
        } else if (!only_operands && argv[0][0] == '-' && argv[0][1] != '\0') {
            int taken = take_option(command, run, argv);

            if (taken == 0)
                return EXIT_USAGE;
            argv += taken;
        } else if (run->operand_count == command->operands_max) {
            return wrong_usage(command, "too many arguments", *argv);
        } else {
            run->operands[run->operand_count++] = *argv++;
        }
    }
    take_key(command, run);
    if (run->operand_count < command->operands_min)
        return wrong_usage(command, "arguments are missing", NULL);
    take_names(command, run);
    return check_together(command, run);
}

int asks_for_help(char **argv)
{
    for (; *argv != NULL && strcmp(*argv, "--") != 0; argv++)
        if (strcmp(*argv, "--help") == 0 || strcmp(*argv, "-h") == 0)
            return 1;
    return 0;
}
