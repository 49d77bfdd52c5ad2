/*
 * ibt.c - a command line for libibt, written only against ibt.h.
 *
 * It reads from the top: what commands there are, their options, what they print,
 * how they run. `ibt --help` and `ibt COMMAND --help` explain the use.
 */
#define _POSIX_C_SOURCE 200809L /* sigaction, isatty, localtime_r */

#include <ibt.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_OK = 0, EXIT_ERROR = 1, EXIT_USAGE = 2, EXIT_PARTIAL = 3 };

/* -------------------------------------------------------------- the command line */

/* One run of the program: what was asked for, and what the answer goes through. */
struct run {
    const char *operands[2];
    int operand_count;
    const char *store;
    int json;
    int quiet;
    ibt_storage *storage;
    ibt_options *options;
    ibt_report *report;
    ibt_error *err;
};

/* Which commands an option belongs to. */
enum { BACKUP = 1, RESTORE = 2, LIST = 4, EVERY = 7 };

struct command {
    const char *name;
    int group;
    int operands_min, operands_max;
    const char *use;
    ibt_status (*work)(struct run *run);
    void (*print)(const struct run *run);
};

static ibt_status do_full(struct run *run);
static ibt_status do_incr(struct run *run);
static ibt_status do_restore(struct run *run);
static ibt_status do_list(struct run *run);
static void print_backup(const struct run *run);
static void print_restore(const struct run *run);
static void print_list(const struct run *run);

static const struct command commands[] = {
    { "full", BACKUP, 1, 1, "full SOURCE\n\nMakes a full backup of the directory SOURCE.",
      do_full, print_backup },
    { "incr", BACKUP, 1, 1, "incr SOURCE\n\nStores what changed in SOURCE since the last backup.",
      do_incr, print_backup },
    { "restore", RESTORE, 2, 2,
      "restore KEY DEST\n\nRestores the newest snapshot of KEY, or that of --at, as the new directory DEST.",
      do_restore, print_restore },
    { "list", LIST, 0, 1, "list [KEY]\n\nLists the snapshots of KEY, or all.", do_list, print_list },
};

enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

/* An option: how it is written, who takes it, and what it does with its argument.
 * apply returns 0 if the argument makes no sense. */
struct option {
    const char *name;
    const char *argument; /* NULL if it takes none */
    int groups;
    const char *help;
    int (*apply)(struct run *run, const char *argument);
};

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
    return accepted(ibt_options_set_cache_dir(run->options, argument));
}

static int apply_key(struct run *run, const char *argument)
{
    return accepted(ibt_options_set_key(run->options, argument));
}

static int apply_exclude(struct run *run, const char *argument)
{
    return accepted(ibt_options_add_exclude(run->options, argument));
}

/* Reads a whole decimal number from 0 to max. Returns 0 if it is none. */
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

static int apply_level(struct run *run, const char *argument)
{
    long level;

    if (!read_number(argument, INT_MAX, &level))
        return 0;
    return accepted(level == 0
        ? ibt_options_set_compression(run->options, IBT_COMPRESSION_NONE, 0)
        : ibt_options_set_compression(run->options, IBT_COMPRESSION_ZSTD, (int32_t)level));
}

static int read_rfc3339(const char *text, int64_t *nanoseconds);

/* A stamp as `ibt list` shows it, or a time: then the newest snapshot not after it. */
static int apply_at(struct run *run, const char *argument)
{
    int64_t nanoseconds;

    if (read_rfc3339(argument, &nanoseconds))
        return accepted(ibt_options_set_as_of(run->options, nanoseconds));
    return accepted(ibt_options_set_snapshot(run->options, argument));
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

static const struct option options[] = {
    { "--store", "DIR", EVERY, "where the backup files are (default: a private directory in $TMPDIR)",
      apply_store },
    { "--cache", "DIR", EVERY, "where copies of states are kept (default: ~/.cache/ibt)", apply_cache },
    { "--key", "K", BACKUP, "the name of the series (default: the last component of SOURCE)", apply_key },
    { "--exclude", "P", BACKUP, "leave out what matches P, as in .gitignore; may be repeated",
      apply_exclude },
    { "--threads", "N", BACKUP | RESTORE, "worker threads (default 0: one for each core)", apply_threads },
    { "--level", "N", BACKUP, "compression, 1 (fast) to 19 (small), 0 for none (default 3)", apply_level },
    { "--at", "WHEN", RESTORE,
      "a snapshot's stamp, or a time such as 2026-11-22T22:05:30Z: the last one before it", apply_at },
    { "--json", NULL, EVERY, "print the report as JSON", apply_json },
    { "--quiet", NULL, EVERY, "print what went wrong only", apply_quiet },
};

enum { OPTION_COUNT = sizeof options / sizeof options[0] };

/* ------------------------------------------------------------------------- times */

/* Days since 1970-01-01 of a date of the Gregorian calendar: Howard Hinnant,
 * "chrono-Compatible Low-Level Date Algorithms". timegm() is not everywhere. */
static int64_t days_from_date(int64_t year, int month, int day)
{
    int64_t era, year_of_era, day_of_year;

    year -= month <= 2;
    era = year / 400; /* years are 0 to 9999 here, and 0 is not before March */
    year_of_era = year - era * 400;
    day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

/* Reads exactly `count` digits at *at and moves on. Returns -1 if there are fewer. */
static int read_digits(const char **at, int count)
{
    int number = 0;

    for (; count > 0; count--, (*at)++) {
        if (**at < '0' || **at > '9')
            return -1;
        number = number * 10 + (**at - '0');
    }
    return number;
}

static int skip(const char **at, const char *any_of)
{
    return **at != '\0' && strchr(any_of, **at) != NULL && (*at)++ != NULL;
}

/* Reads ".123" as nanoseconds, however many digits; nothing is 0. */
static int read_fraction(const char **at)
{
    int nanoseconds = 0, unit = 100000000;

    if (!skip(at, "."))
        return 0;
    if (**at < '0' || **at > '9')
        return -1;
    for (; **at >= '0' && **at <= '9'; (*at)++, unit /= 10)
        nanoseconds += (**at - '0') * unit;
    return nanoseconds;
}

/* Reads "Z" or "+02:00" as seconds to subtract. Returns 0 if it is neither. */
static int read_zone(const char **at, int64_t *seconds)
{
    int sign = **at == '-' ? -1 : 1;
    int hours, minutes;

    *seconds = 0;
    if (skip(at, "Zz"))
        return 1;
    if (!skip(at, "+-"))
        return 0;
    hours = read_digits(at, 2);
    minutes = skip(at, ":") ? read_digits(at, 2) : -1;
    *seconds = sign * (hours * 3600 + minutes * 60);
    return hours >= 0 && hours <= 23 && minutes >= 0 && minutes <= 59;
}

/* Reads "2026-11-22T22:05:30[.123](Z|+02:00)". Returns 0 if it is anything else. */
static int read_rfc3339(const char *text, int64_t *nanoseconds)
{
    const char *at = text;
    int year, month, day, hour, minute, second, fraction;
    int64_t zone, seconds;

    year = read_digits(&at, 4);
    month = skip(&at, "-") ? read_digits(&at, 2) : -1;
    day = skip(&at, "-") ? read_digits(&at, 2) : -1;
    hour = skip(&at, "Tt ") ? read_digits(&at, 2) : -1;
    minute = skip(&at, ":") ? read_digits(&at, 2) : -1;
    second = skip(&at, ":") ? read_digits(&at, 2) : -1;
    fraction = read_fraction(&at);
    if (year < 1678 || year > 2261 || month < 1 || month > 12 || day < 1 || day > 31)
        return 0; /* 64 bits of nanoseconds end in 1677 and 2262 */
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 || fraction < 0)
        return 0;
    if (!read_zone(&at, &zone) || *at != '\0')
        return 0;
    seconds = ((days_from_date(year, month, day) * 24 + hour) * 60 + minute) * 60 + second - zone;
    *nanoseconds = seconds * 1000000000 + fraction;
    return 1;
}

/* "2026-11-22 23:05:30" in local time. */
static void format_time(int64_t nanoseconds, char *out, size_t size)
{
    int64_t whole = nanoseconds / 1000000000 - (nanoseconds % 1000000000 < 0);
    time_t seconds = (time_t)whole;
    struct tm local;

    if (localtime_r(&seconds, &local) == NULL || strftime(out, size, "%Y-%m-%d %H:%M:%S", &local) == 0)
        snprintf(out, size, "?");
}

/* "1.5 MiB" */
static void format_size(uint64_t bytes, char *out, size_t size)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    double amount = (double)bytes;
    int unit = 0;

    for (; amount >= 1023.95 && unit < 6; unit++)
        amount /= 1024;
    snprintf(out, size, unit == 0 ? "%.0f %s" : "%.1f %s", amount, units[unit]);
}

/* -------------------------------------------------------------------- the output */

/* Names are bytes: what a terminal could take as a command is shown as '?'. */
static void print_name(FILE *out, const char *name)
{
    for (; *name != '\0'; name++)
        fputc((unsigned char)*name < 0x20 || *name == 0x7f ? '?' : *name, out);
}

/* Good to know, but nothing went wrong. */
static int is_note(int32_t problem)
{
    return problem == IBT_PROBLEM_SKIPPED || problem == IBT_PROBLEM_LEFTOVER || problem == IBT_PROBLEM_CLOCK;
}

static void print_problems(const struct run *run)
{
    size_t count = ibt_report_problem_count(run->report);
    uint64_t all = ibt_report_counter(run->report, IBT_COUNT_PROBLEMS);
    size_t i;

    for (i = 0; i < count; i++) {
        int32_t kind = ibt_report_problem_kind(run->report, i);

        if (run->quiet && is_note(kind))
            continue;
        fprintf(stderr, "ibt: %s: ", ibt_problem_name(kind));
        print_name(stderr, ibt_report_problem_message(run->report, i));
        fputc('\n', stderr);
    }
    if (all > count)
        fprintf(stderr, "ibt: and %" PRIu64 " more problems\n", all - count);
}

static const char *or_dash(const char *text)
{
    return text != NULL ? text : "-";
}

static uint64_t count_of(const struct run *run, int32_t which)
{
    return ibt_report_counter(run->report, which);
}

static void print_backup(const struct run *run)
{
    size_t files = ibt_report_file_count(run->report);
    char size[32];

    format_size(ibt_report_total_size(run->report), size, sizeof size);
    printf("%s  %s  %s in %lu file%s\n", or_dash(ibt_report_key(run->report)),
           or_dash(ibt_report_snapshot(run->report)), size, (unsigned long)files, files == 1 ? "" : "s");
    printf("%" PRIu64 " entries: %" PRIu64 " created, %" PRIu64 " modified, %" PRIu64 " metadata only, "
           "%" PRIu64 " moved, %" PRIu64 " unchanged; %" PRIu64 " deleted\n",
           count_of(run, IBT_COUNT_ENTRIES), count_of(run, IBT_COUNT_CREATED),
           count_of(run, IBT_COUNT_MODIFIED), count_of(run, IBT_COUNT_METADATA),
           count_of(run, IBT_COUNT_MOVED), count_of(run, IBT_COUNT_UNCHANGED),
           count_of(run, IBT_COUNT_DELETED));
}

static void print_restore(const struct run *run)
{
    char size[32];

    format_size(count_of(run, IBT_COUNT_BYTES_WRITTEN), size, sizeof size);
    printf("%s  %s  %" PRIu64 " entries, %s restored\n", or_dash(ibt_report_key(run->report)),
           or_dash(ibt_report_snapshot(run->report)), count_of(run, IBT_COUNT_RESTORED), size);
}

static void print_list(const struct run *run)
{
    size_t count = ibt_report_snapshot_count(run->report);
    size_t i;

    if (count == 0) {
        puts("no snapshots");
        return;
    }
    printf("%-20s %-23s %-19s %-11s %10s %10s\n", "KEY", "SNAPSHOT", "LOCAL TIME", "KIND", "ENTRIES",
           "SIZE");
    for (i = 0; i < count; i++) {
        char when[32], size[32];

        format_time(ibt_report_snapshot_date(run->report, i), when, sizeof when);
        format_size(ibt_report_snapshot_counter(run->report, i, IBT_COUNT_BYTES), size, sizeof size);
        printf("%-20s %-23s %-19s %-11s %10" PRIu64 " %10s\n", ibt_report_snapshot_key(run->report, i),
               ibt_report_snapshot_stamp(run->report, i), when, ibt_report_snapshot_kind(run->report, i),
               ibt_report_snapshot_counter(run->report, i, IBT_COUNT_ENTRIES), size);
    }
}

/* ------------------------------------------------------------ progress and Ctrl-C */

static ibt_cancel *cancel;

static void on_interrupt(int number)
{
    (void)number;
    ibt_cancel_request(cancel);
}

/* A second Ctrl-C ends the program at once: SA_RESETHAND. */
static void catch_interrupts(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt;
    action.sa_flags = SA_RESETHAND;
    sigaction(SIGINT, &action, NULL);
    action.sa_flags = 0;
    sigaction(SIGTERM, &action, NULL);
}

static const char *phase_name(int32_t phase)
{
    switch (phase) {
    case IBT_PHASE_SCAN: return "scanning";
    case IBT_PHASE_READ: return "reading";
    case IBT_PHASE_COMMIT: return "committing";
    case IBT_PHASE_RESTORE: return "restoring";
    default: return "working";
    }
}

/* The end of a name, `most` bytes or fewer, not beginning within a character. */
static const char *end_of(const char *name, size_t most)
{
    size_t length = strlen(name);

    if (length <= most)
        return name;
    name += length - most;
    while (((unsigned char)*name & 0xC0) == 0x80)
        name++;
    return name;
}

/* One line that is drawn over and over, so it must not be wrapped: less than 80 columns.
 * "reading    [##########..........]  50%    1.5 GiB  path", or while the total is unknown
 * "scanning   1234 entries  path". */
static int32_t draw(void *ud, const ibt_progress *now)
{
    static const char bar[] = "####################....................";
    uint64_t done = ibt_progress_done_bytes(now), total = ibt_progress_total_bytes(now);
    uint64_t entries = ibt_progress_done_entries(now);
    double part = total == 0 ? 0.0 : (double)done / (double)total;
    char size[32];

    (void)ud;
    part = part > 1.0 ? 1.0 : part;
    format_size(done, size, sizeof size);
    fprintf(stderr, "\r%-10s ", phase_name(ibt_progress_phase(now)));
    if (total > 0)
        fprintf(stderr, "[%.20s] %3d%% %10s  ", bar + 20 - (int)(part * 20), (int)(part * 100), size);
    else if (entries > 0)
        fprintf(stderr, "%" PRIu64 " entries  ", entries);
    print_name(stderr, end_of(ibt_progress_path(now), 28));
    fputs("\033[K", stderr);
    return IBT_CALLBACK_OK;
}

static int wants_progress(const struct run *run)
{
    const char *terminal = getenv("TERM");

    return !run->quiet && isatty(STDERR_FILENO) && terminal != NULL && strcmp(terminal, "dumb") != 0;
}

/* ------------------------------------------------------------------ the commands */

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
    return ibt_restore(run->storage, run->operands[0], run->operands[1], run->options, &run->report,
                       &run->err);
}

static ibt_status do_list(struct run *run)
{
    return ibt_list_snapshots(run->storage, run->operands[0], run->options, &run->report, &run->err);
}

static int finish(const struct command *command, const struct run *run, ibt_status status)
{
    if (run->json && run->report != NULL)
        puts(ibt_report_json(run->report));
    else if (status >= 0 && !run->quiet)
        command->print(run);
    print_problems(run);
    if (status < 0)
        fprintf(stderr, "ibt: %s\n", status == IBT_ERR_CANCELLED ? "cancelled" : ibt_error_message(run->err));
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("ibt: cannot write the output");
        return EXIT_ERROR;
    }
    return status < 0 ? EXIT_ERROR : status == IBT_PARTIAL ? EXIT_PARTIAL : EXIT_OK;
}

static int perform(const struct command *command, struct run *run)
{
    int drawing = wants_progress(run);
    ibt_status status = IBT_OK;

    catch_interrupts();
    ibt_options_set_cancel(run->options, cancel);
    if (drawing)
        ibt_options_set_progress(run->options, draw, NULL, NULL);
    if (run->store != NULL)
        status = ibt_storage_open_dir(run->store, &run->storage, &run->err);
    if (status >= 0)
        status = command->work(run);
    if (drawing)
        fputs("\r\033[K", stderr);
    return finish(command, run, status);
}

/* -------------------------------------------------------- reading the command line */

static void print_options(FILE *out, int group)
{
    int i;

    for (i = 0; i < OPTION_COUNT; i++) {
        char form[40];

        if ((options[i].groups & group) == 0)
            continue;
        snprintf(form, sizeof form, "%s %s", options[i].name,
                 options[i].argument != NULL ? options[i].argument : "");
        fprintf(out, "  %-16s %s\n", form, options[i].help);
    }
}

static int help(const struct command *command)
{
    int i;

    if (command != NULL) {
        printf("usage: ibt %s\n\n", command->use);
        print_options(stdout, command->group);
        return EXIT_OK;
    }
    printf("usage: ibt COMMAND ...\n\n"
           "Incremental backups. Each command explains itself: ibt COMMAND --help\n\n");
    for (i = 0; i < COMMAND_COUNT; i++)
        printf("  ibt %.*s\n", (int)strcspn(commands[i].use, "\n"), commands[i].use);
    printf("\nExit status: 0 done, 3 done but not everything (see the messages), 1 error, 2 wrong usage.\n");
    return EXIT_OK;
}

/* Says what is wrong with which argument. Both command and argument may be NULL. */
static int wrong_usage(const struct command *command, const char *what, const char *which)
{
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

static const struct command *find_command(const char *name)
{
    int i;

    for (i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* The option that an argument begins with, as in "--key=K" or "--key". */
static const struct option *find_option(const char *argument, int group)
{
    size_t length = strcspn(argument, "=");
    int i;

    for (i = 0; i < OPTION_COUNT; i++)
        if (strlen(options[i].name) == length && strncmp(options[i].name, argument, length) == 0
            && (options[i].groups & group) != 0)
            return &options[i];
    return NULL;
}

/* Takes the option at argv[0]. Returns how many arguments it took, 0 after a message. */
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
    if (!option->apply(run, argument))
        return wrong_usage(command, what, argument), 0;
    return option->argument == NULL || equals != NULL ? 1 : 2;
}

/* Fills `run` from the arguments after the command. Returns EXIT_OK if they are right. */
static int read_arguments(const struct command *command, struct run *run, char **argv)
{
    int only_operands = 0;

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
    if (run->operand_count < command->operands_min)
        return wrong_usage(command, "arguments are missing", NULL);
    return EXIT_OK;
}

static int asks_for_help(char **argv)
{
    for (; *argv != NULL && strcmp(*argv, "--") != 0; argv++)
        if (strcmp(*argv, "--help") == 0 || strcmp(*argv, "-h") == 0)
            return 1;
    return 0;
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
    cancel = ibt_cancel_new();
    status = read_arguments(command, &run, argv + 2);
    if (status == EXIT_OK)
        status = perform(command, &run);

    signal(SIGINT, SIG_DFL); /* before what the handler uses goes away */
    signal(SIGTERM, SIG_DFL);
    ibt_error_free(run.err);
    ibt_report_free(run.report);
    ibt_options_free(run.options);
    ibt_storage_free(run.storage);
    ibt_cancel_free(cancel);
    return status;
}
