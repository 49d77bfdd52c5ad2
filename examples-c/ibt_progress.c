/* ibt_progress.c - the progress bar, and Ctrl-C. */
#include "ibt_tool.h"
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ibt_cancel *on_request;
static volatile sig_atomic_t caught;

static void on_interrupt(int number)
{
    caught = number;
    ibt_cancel_request(on_request);
}

/* True if a signal is ignored. Under nohup(1) SIGHUP is ignored, and must stay so when the terminal closes. */
static int is_ignored(int number)
{
    struct sigaction action;

    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

/* The first Ctrl-C cancels the operation. A second one ends the program at once, because of SA_RESETHAND. A file that
 * grows beyond the limit of `ulimit -f` is an error and no signal, so that the operation can remove its drafts. */
void catch_interrupts(ibt_cancel *cancel)
{
    struct sigaction action;

    on_request = cancel;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt;
    action.sa_flags = SA_RESETHAND;
    sigaction(SIGINT, &action, NULL);
    action.sa_flags = 0;
    sigaction(SIGTERM, &action, NULL);
    if (!is_ignored(SIGHUP))
        sigaction(SIGHUP, &action, NULL);
    signal(SIGXFSZ, SIG_IGN);
}

/* The signal that came last, 0 for none. */
int interrupted_by(void)
{
    return caught;
}

/* Removes the handlers; call it before freeing the ibt_cancel, which the handlers use. Returns the signal that came
 * last, 0 for none. */
int release_interrupts(void)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    if (!is_ignored(SIGHUP))
        signal(SIGHUP, SIG_DFL);
    return caught;
}

static const char *phase_name(int32_t phase)
{
    switch (phase) {
    case IBT_PHASE_SCAN: return "scanning";
    case IBT_PHASE_READ: return "reading";
    case IBT_PHASE_COMMIT: return "committing";
    case IBT_PHASE_RESTORE: return "restoring";
    case IBT_PHASE_VERIFY: return "verifying";
    case IBT_PHASE_DELETE: return "removing";
    default: return "working";
    }
}

/* The end of a name, at most `most` bytes. It does not begin in the middle of a character. */
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

/* Prints as much of the end of a name as fits into `most` characters. One byte may need three characters (%XX). */
static void print_end_of_name(const char *name, size_t most)
{
    size_t bytes;

    for (bytes = most; bytes > 0 && name_width(end_of(name, bytes)) > most; bytes--)
        ;
    if (bytes > 0)
        print_name(stderr, end_of(name, bytes));
}

enum { LINE_MAX_WIDTH = 79, BAR_WIDTH = 20, WIDTH_WITH_BAR = 60 };

/* Draws one line over the previous one. The line is narrower than the terminal, because a wrapped line could not be
 * drawn over. For example "reading    [##########..........]  50%    1.5 GiB  path", or, while the total is unknown,
 * "scanning   1234 entries  path". */
int32_t draw(void *ud, const ibt_progress *now)
{
    static const char bar[] = "####################....................";
    uint64_t done = ibt_progress_done_bytes(now), total = ibt_progress_total_bytes(now);
    uint64_t entries = ibt_progress_done_entries(now);
    double part = total == 0 ? 0.0 : (double)done / (double)total;
    size_t width = terminal_width(STDERR_FILENO), used;
    char size[32], line[LINE_MAX_WIDTH + 1], graph[BAR_WIDTH + 4] = "";

    (void)ud;
    width = width == 0 || width > LINE_MAX_WIDTH ? LINE_MAX_WIDTH : width - 1;
    part = part > 1.0 ? 1.0 : part;
    format_size(done, size, sizeof size);
    if (width >= WIDTH_WITH_BAR)
        snprintf(graph, sizeof graph, "[%.20s] ", bar + BAR_WIDTH - (int)(part * BAR_WIDTH));
    if (total > 0)
        snprintf(line, sizeof line, "%-10s %s%3d%% %10s  ", phase_name(ibt_progress_phase(now)), graph,
                 (int)(part * 100), size);
    else if (entries > 0)
        snprintf(line, sizeof line, "%-10s %" PRIu64 " %s  ", phase_name(ibt_progress_phase(now)), entries,
                 entries == 1 ? "entry" : "entries");
    else
        snprintf(line, sizeof line, "%-10s ", phase_name(ibt_progress_phase(now)));
    used = strlen(line);
    fprintf(stderr, "\r%.*s", (int)width, line);
    if (used + 4 <= width)
        print_end_of_name(ibt_progress_path(now), width - used);
    fputs("\033[K", stderr);
    return IBT_CALLBACK_OK;
}

int wants_progress(const struct run *run)
{
    const char *terminal = getenv("TERM");

    return !run->quiet && isatty(STDERR_FILENO) && terminal != NULL && strcmp(terminal, "dumb") != 0;
}

/* Clears the line of the progress bar before another line is printed. */
void erase_progress(const struct run *run)
{
    if (run->drawing)
        fputs("\r\033[K", stderr);
}
