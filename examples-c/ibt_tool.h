/*
 * ibt_tool.h - shared declarations of the command line tool.
 *
 *   ibt.c           the commands, and main()
 *   ibt_args.c      the options of each command; reads the command line and the environment
 *   ibt_store.c     opens the store; encrypted_ibt.c and command_ibt.c do it in another way
 *   ibt_complete.c  prints completions for shells
 *   ibt_choose.c    chooses the entries of a backup: sizes, lists of paths
 *   ibt_names.c     writes names as text that is safe to print
 *   ibt_print.c     prints changes, errors and short reports
 *   ibt_problems.c  prints problems, as they happen and at the end
 *   ibt_tables.c    prints reports with many snapshots: list, prune, verify
 *   ibt_columns.c   prints text in columns, as wide as the terminal allows
 *   ibt_prune.c     finds the snapshot that a prune with --at removes
 *   ibt_files.c     looks into snapshots: files, cat, find
 *   ibt_stats.c     sums up snapshots and stored files: stats
 *   ibt_diff.c      compares two snapshots, lists keys: diff, keys
 *   ibt_progress.c  the progress bar and Ctrl-C
 *   ibt_time.c      reads and writes times and sizes
 */
#ifndef IBT_TOOL_H
#define IBT_TOOL_H

#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L /* sigaction, isatty, localtime_r */
#endif
/* Sizes of files and times of 64 bits, also on machines of 32 bits, whose times would end in 2038. */
#define _FILE_OFFSET_BITS 64
#define _TIME_BITS 64

#include <ibt.h>
#include <stdio.h>
#include <time.h>

/* The exit statuses of the program. A script can tell them apart: after EXIT_BUSY it tries again later. */
enum {
    EXIT_OK = 0,
    EXIT_ERROR = 1,
    EXIT_USAGE = 2,
    EXIT_PARTIAL = 3,
    EXIT_BUSY = 4,
    EXIT_DAMAGED = 5
};

/* A time that a user wrote, from its first to its last nanosecond since 1970. A day or a minute is all of it. A time
 * with seconds is the second that ends there: "22:05:30" is from 22:05:29.000000001 to 22:05:30. */
struct span {
    int64_t first, last;
};

/* The precision with which a time is written. */
enum exactness { TO_SECOND, TO_MICROSECOND, TO_SECOND_IN_ZONE, TO_MICROSECOND_IN_ZONE };
enum { TIME_SIZE = 48 };

#define TIME_FORMS \
    "2026-11-22 or \"2026-11-22 22:05\" (all of that day or minute), \"2026-11-22 22:05:30\" (that moment; in\n" \
    "                   local time; UTC with Z, others with +01:00), today, yesterday, now, 90s, 15min, 6h, 2d or 3w\n" \
    "                   (that long ago)"

/* Larger than the number of every kind of problem (IBT_PROBLEM_*). */
enum { KINDS_MAX = 32 };

/* One run of the program: its arguments, and the objects that it uses. */
struct run {
    const char *operands[3];
    int operand_count;
    const char *store;
    const char *from; /* the directory of --from; NULL if it is not given */
    int json;
    int quiet;
    int dry_run;
    int recursive;
    struct timespec begin; /* when the operation began */
    const char *at; /* the argument of --at; NULL if it is not given */
    int at_is_time; /* the argument of --at is a time, not a stamp */
    const char *files_from; /* the list of --files-from, NULL without */
    int ends_in_nul; /* each path of that list ends in NUL */
    struct span span; /* the time of --at */
    const char *sound; /* the text that verify prints for a snapshot without losses; NULL means "whole" */
    int keeps;   /* a --keep-... rule was given */
    int removes; /* --snapshot was given */
    int heals;   /* --heal was given */
    int drawing; /* a progress bar is drawn */
    ibt_cancel *cancel;
    ibt_storage *storage;
    ibt_options *options;
    ibt_report *report;
    ibt_error *err;
    char *message; /* an error that the program itself found; NULL if there is none */
    size_t message_size;
    size_t shown[KINDS_MAX]; /* number of problems of each kind that were printed as they happened */
    char *names[3]; /* decoded operands, for those that were written as the tool prints them */
};

/* The groups of commands. An option has the set of groups that accept it. */
enum {
    BACKUP = 1,
    RESTORE = 2,
    LIST = 4,
    FILES = 8,
    CAT = 16,
    VERIFY = 32,
    COMPARE = 64,
    PRUNE = 128,
    CONSOLIDATE = 256,
    REBUILD = 512,
    DIFF = 1024,
    KEYS = 2048,
    FIND = 4096,
    STATS = 8192,
    IMPORT = 16384,
    EVERY = 32767
};

struct command {
    const char *name; /* NULL ends the table */
    int group;
    int operands_min, operands_max;
    const char *word; /* one line for the list of commands */
    const char *use;
    ibt_status (*work)(struct run *run);
    void (*print)(const struct run *run); /* NULL if work itself prints */
};

/* An option: its name and argument, the commands that accept it, and a function that applies it.
 * apply returns 0 if the argument is not valid. */
struct option {
    const char *name; /* NULL ends the table */
    const char *argument; /* the argument's name in the help, NULL if the option takes none */
    int groups;
    const char *help;
    int (*apply)(struct run *run, const char *argument);
};

/* A word that an option takes as its argument, and the number of the library that it stands for. */
struct word {
    const char *text; /* NULL ends the table */
    int32_t number;
};

/* ibt.c */
extern const struct command commands[];

/* ibt_args.c */
extern const struct option options[];
const struct word *words_of(const struct option *option);
const struct command *find_command(const char *name);
int help(const struct command *command);
int help_on(const char *name);
int all_is_written(int status);
void look_for_json(char **argv);
int asks_for_help(char **argv);
int wrong_usage(const struct command *command, const char *what, const char *which);
int read_arguments(const struct command *command, struct run *run, char **argv);

/* ibt_store.c */
ibt_status open_store(const struct command *command, struct run *run);

/* ibt_complete.c */
int print_completion(const char *shell);

/* ibt_choose.c */
int read_size(const char *text, uint64_t *size);
ibt_status add_files_from(struct run *run);

/* ibt_names.c */
void print_name(FILE *out, const char *name);
void print_text(FILE *out, const char *text);
void print_json_text(const char *name);
void print_json_message(const char *message);
char *name_of_text(const char *text);
char *name_as_text(const char *name);
char *message_as_text(const char *message);
size_t name_width(const char *name);
void print_cell(const char *name, size_t width);

/* ibt_print.c */
const char *or_dash(const char *text);
uint64_t count_of(const struct run *run, int32_t which);
const char *plural(uint64_t count);
int32_t print_restored(void *ud, uint32_t what, const ibt_entry *before, const ibt_entry *after);
int32_t print_backed_up(void *ud, uint32_t what, const ibt_entry *before, const ibt_entry *after);
int32_t print_change(void *ud, uint32_t what, const ibt_entry *before, const ibt_entry *after);
int32_t print_difference(void *ud, uint32_t what, const ibt_entry *before, const ibt_entry *after);
FILE *begin_message(struct run *run);
void end_message(struct run *run, FILE *out);
const char *error_text(const struct run *run, ibt_status status);
void print_json_error(ibt_status status, const char *message);
void print_backup(const struct run *run);
void print_restore(const struct run *run);
void print_compare(const struct run *run);
void print_import(const struct run *run);
void print_consolidate(const struct run *run);
void print_rebuild(const struct run *run);

/* ibt_problems.c */
void print_at_once(void *ud, int32_t level, const char *line);
void print_problems(const struct run *run);
void print_cure(const struct run *run, const struct command *command);
void list_problems(struct run *run, ibt_report *list);
int skip_lost(struct run *run, ibt_status status);

/* ibt_tables.c */
void print_list(const struct run *run);
void print_prune(const struct run *run);
void print_verify(const struct run *run);

/* ibt_columns.c */
enum { COLUMNS_MAX = 8 };

struct column {
    const char *title;
    int is_number;   /* aligned to the right */
    int dispensable; /* if the terminal is too narrow: 1 is left out first; 0 never */
};

/* A table to print. The caller sets columns, column_count and wraps (the last column is wrapped); the rest is zero.
 * add_cell() fills it. */
struct table {
    const struct column *columns;
    int column_count;
    int wraps;
    char **cells;
    size_t count, room;
};

size_t terminal_width(int stream);
void add_cell(struct table *table, char *text);
void print_table(struct table *table);

/* ibt_prune.c */
ibt_status do_prune(struct run *run);

/* ibt_diff.c */
ibt_status do_diff(struct run *run);
void print_diff(const struct run *run);
ibt_status do_keys(struct run *run);

/* ibt_files.c */
ibt_status do_files(struct run *run);
ibt_status do_cat(struct run *run);
ibt_status do_find(struct run *run);

/* ibt_stats.c */
ibt_status do_stats(struct run *run);

/* ibt_progress.c */
void catch_interrupts(ibt_cancel *cancel);
int interrupted_by(void);
int release_interrupts(void);
int wants_progress(const struct run *run);
int32_t draw(void *ud, const ibt_progress *now);
void erase_progress(const struct run *run);

/* ibt_time.c */
int read_stamp(const char *text, int64_t *nanoseconds);
int read_time(const char *text, struct span *span);
void format_time(int64_t nanoseconds, enum exactness how, char *out, size_t size);
void format_snapshot_time(int64_t nanoseconds, enum exactness how, char *out, size_t size);
void format_size(uint64_t bytes, char *out, size_t size);

#endif
