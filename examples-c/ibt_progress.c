/* ibt_progress.c - the progress bar, and Ctrl-C. */
#include "ibt_tool.h"
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ibt_cancel *on_request;

static void on_interrupt(int number)
{
    (void)number;
    ibt_cancel_request(on_request);
}

/* A second Ctrl-C ends the program at once: SA_RESETHAND. */
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
}

/* To be called before what the handler uses goes away. */
void release_interrupts(void)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
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
int32_t draw(void *ud, const ibt_progress *now)
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

int wants_progress(const struct run *run)
{
    const char *terminal = getenv("TERM");

    return !run->quiet && isatty(STDERR_FILENO) && terminal != NULL && strcmp(terminal, "dumb") != 0;
}

/* Clears the line, so that others can be printed. */
void erase_progress(const struct run *run)
{
    if (run->drawing)
        fputs("\r\033[K", stderr);
}
