/* ibt_time.c - reads and writes times and sizes as people do. */
#include "ibt_tool.h"
#include <string.h>
#include <time.h>

/* Days from 1970-01-01 to a date of the Gregorian calendar: Howard Hinnant,
 * "chrono-Compatible Low-Level Date Algorithms". Not all systems have timegm(). */
static int64_t days_from_date(int64_t year, int month, int day)
{
    int64_t era, year_of_era, day_of_year;

    year -= month <= 2;
    era = (year + 400) / 400 - 1; /* rounded down: January of the year 0 belongs to -1 */
    year_of_era = year - era * 400;
    day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

/* Reads exactly `count` digits at *at and moves *at behind them. Returns -1 if there are fewer digits. */
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

/* Reads a fraction such as ".123", of any number of digits, as nanoseconds. Sets *unit to the value of the last digit
 * in nanoseconds, at least 1. Without a fraction it returns 0 and leaves *unit unchanged; -1 for a lone dot. */
static int read_fraction(const char **at, int64_t *unit)
{
    int nanoseconds = 0;
    int64_t worth = 1000000000;

    if (!skip(at, "."))
        return 0;
    if (**at < '0' || **at > '9')
        return -1;
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        worth /= 10;
        nanoseconds += (int)((**at - '0') * worth);
    }
    *unit = worth > 0 ? worth : 1;
    return nanoseconds;
}

/* Reads "Z", "+02:00" or "+0200" as seconds to subtract. Returns 0 for any other text. */
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
    skip(at, ":");
    minutes = read_digits(at, 2);
    *seconds = sign * (hours * 3600 + minutes * 60);
    return hours >= 0 && hours <= 23 && minutes >= 0 && minutes <= 59;
}

/* A date and a time of day as they were written. `unit` is the length of the last part in nanoseconds, for example
 * that of a minute for "22:05". */
struct moment {
    int year, month, day, hour, minute, second, fraction;
    int64_t unit;
};

static const int64_t SECOND = 1000000000;

static int64_t first_day_after(const struct moment *m)
{
    return m->month == 12 ? days_from_date(m->year + 1, 1, 1) : days_from_date(m->year, m->month + 1, 1);
}

static int is_possible(const struct moment *m)
{
    if (m->year < 0 || m->month < 1 || m->month > 12 || m->day < 1)
        return 0;
    if (days_from_date(m->year, m->month, m->day) >= first_day_after(m))
        return 0;
    return m->hour >= 0 && m->hour <= 23 && m->minute >= 0 && m->minute <= 59 && m->second >= 0
        && m->second <= 60 && m->fraction >= 0;
}

static int64_t in_utc(const struct moment *m)
{
    return ((days_from_date(m->year, m->month, m->day) * 24 + m->hour) * 60 + m->minute) * 60 + m->second;
}

/* 64 bits of nanoseconds reach from 1677 to 2262. A time beyond becomes the first or the last possible one. */
static int64_t in_nanoseconds(int64_t seconds, int64_t fraction)
{
    if (seconds >= INT64_MAX / SECOND)
        return INT64_MAX;
    if (seconds < INT64_MIN / SECOND)
        return INT64_MIN;
    return seconds * SECOND + fraction;
}

/* A time with seconds is a moment: its span ends there, so that no later snapshot is selected, and begins after the
 * moment before it that can be written as exactly. A minute is the span of its seconds. */
static void set_span(struct span *span, int64_t first, int64_t last, const struct moment *m)
{
    if (m->unit <= SECOND) {
        span->first = in_nanoseconds(first, m->fraction);
        span->first -= span->first < INT64_MIN + SECOND ? 0 : m->unit - 1;
        span->last = in_nanoseconds(last, m->fraction);
        return;
    }
    span->first = in_nanoseconds(first, m->fraction);
    span->last = in_nanoseconds(last + (m->unit - 1) / SECOND, m->fraction + (m->unit - 1) % SECOND);
}

static void local_fields(const struct moment *m, int day, struct tm *local)
{
    memset(local, 0, sizeof *local);
    local->tm_year = m->year - 1900;
    local->tm_mon = m->month - 1;
    local->tm_mday = day;
    local->tm_hour = m->hour;
    local->tm_min = m->minute;
    local->tm_sec = m->second;
    local->tm_isdst = -1;
    local->tm_wday = -1; /* stays -1 only if mktime() fails, which may return -1 for a valid time, too */
}

/* Sets *seconds to the seconds since 1970 of a local time, on the `day` of its month instead of its own day.
 * Returns 0 if the system cannot convert it. */
static int in_local_time(const struct moment *m, int day, int64_t *seconds)
{
    struct tm local;

    local_fields(m, day, &local);
    *seconds = (int64_t)mktime(&local);
    return local.tm_wday != -1;
}

/* True if local clocks show the time of day `m` at the moment `seconds`. */
static int is_shown(const struct moment *m, int64_t seconds)
{
    time_t then = (time_t)seconds;
    struct tm local;

    return localtime_r(&then, &local) != NULL && local.tm_hour == m->hour && local.tm_min == m->minute
        && local.tm_sec == m->second;
}

/* The span of a local time. If local clocks show the time twice, because they are set back, the span reaches from the
 * first moment to the last one. For a time that the clocks skip, the system chooses. */
static int local_span(const struct moment *m, struct span *span)
{
    static const int shifts[] = { 1800, 3600, 7200 };
    int64_t middle, first, last;
    size_t i;

    if (!in_local_time(m, m->day, &middle))
        return 0;
    first = last = middle;
    for (i = 0; is_shown(m, middle) && i < sizeof shifts / sizeof shifts[0]; i++) {
        if (is_shown(m, middle - shifts[i]))
            first = middle - shifts[i];
        if (is_shown(m, middle + shifts[i]))
            last = middle + shifts[i];
    }
    set_span(span, first, last, m);
    return 1;
}

/* The local day that begins `days` days after `m`, which is a midnight. A day may have 23 or 25 hours. */
static int day_span(const struct moment *m, int days, struct span *span)
{
    int64_t first, next;

    if (!in_local_time(m, m->day + days, &first) || !in_local_time(m, m->day + days + 1, &next))
        return 0;
    span->first = in_nanoseconds(first, 0);
    span->last = in_nanoseconds(next - 1, SECOND - 1);
    return 1;
}

/* The current time, in seconds since 1970 and as local clocks show it. */
static int read_clock(struct moment *m, int64_t *seconds)
{
    struct timespec now;
    struct tm local;

    if (clock_gettime(CLOCK_REALTIME, &now) != 0 || localtime_r(&now.tv_sec, &local) == NULL)
        return 0;
    *seconds = (int64_t)now.tv_sec;
    m->year = local.tm_year + 1900;
    m->month = local.tm_mon + 1;
    m->day = local.tm_mday;
    m->hour = local.tm_hour;
    m->minute = local.tm_min;
    m->second = local.tm_sec;
    m->fraction = (int)now.tv_nsec;
    m->unit = 1;
    return 1;
}

/* Reads "now", "today" or "yesterday". */
static int read_word(const char *text, struct span *span)
{
    struct moment m;
    int64_t now;

    if (!read_clock(&m, &now))
        return 0;
    if (strcmp(text, "now") == 0) {
        set_span(span, now, now, &m);
        return 1;
    }
    m.hour = m.minute = m.second = 0;
    if (strcmp(text, "today") == 0)
        return day_span(&m, 0, span);
    return strcmp(text, "yesterday") == 0 && day_span(&m, -1, span);
}

/* Reads an age such as "90s", "15min", "6h", "2d" or "3w", with or without " ago", as the moment that long before
 * now. Days and weeks are those of the calendar, so a day may have 23 or 25 hours. */
static int read_age(const char *text, struct span *span)
{
    static const struct { const char *name; int seconds, days; } units[] = {
        { "s", 1, 0 }, { "min", 60, 0 }, { "h", 3600, 0 }, { "d", 0, 1 }, { "w", 0, 7 },
    };
    const char *at = text;
    size_t length, i;
    int64_t count = 0, then;
    struct moment m;

    for (; *at >= '0' && *at <= '9' && at - text < 7; at++)
        count = count * 10 + (*at - '0');
    length = strcspn(at, " ");
    if (at == text || (at[length] != '\0' && strcmp(at + length, " ago") != 0) || !read_clock(&m, &then))
        return 0;
    for (i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strlen(units[i].name) == length && strncmp(units[i].name, at, length) == 0) {
            if (units[i].days > 0 && !in_local_time(&m, m.day - (int)count * units[i].days, &then))
                return 0;
            then -= count * units[i].seconds;
            set_span(span, then, then, &m);
            return 1;
        }
    return 0;
}

/* Reads "2026-11-22" or "2026-11-22 22:05[:30[.123]][ZONE]", also with a "T" between date and time. */
static int read_date(const char *text, struct span *span)
{
    const char *at = text;
    struct moment m = { 0, 0, 0, 0, 0, 0, 0, 0 };
    int64_t zone;

    m.year = read_digits(&at, 4);
    m.month = skip(&at, "-") ? read_digits(&at, 2) : -1;
    m.day = skip(&at, "-") ? read_digits(&at, 2) : -1;
    if (*at == '\0')
        return is_possible(&m) && day_span(&m, 0, span);
    m.hour = skip(&at, "Tt ") ? read_digits(&at, 2) : -1;
    m.minute = skip(&at, ":") ? read_digits(&at, 2) : -1;
    m.unit = 60 * SECOND;
    if (skip(&at, ":")) {
        m.second = read_digits(&at, 2);
        m.unit = SECOND;
        m.fraction = read_fraction(&at, &m.unit);
    }
    if (!is_possible(&m))
        return 0;
    if (*at == '\0')
        return local_span(&m, span);
    skip(&at, " ");
    if (!read_zone(&at, &zone) || *at != '\0')
        return 0;
    set_span(span, in_utc(&m) - zone, in_utc(&m) - zone, &m);
    return 1;
}

/* Reads a stamp as `ibt list` shows it, such as 20261122T220530.123456Z. Returns 0 for any other text. */
int read_stamp(const char *text, int64_t *nanoseconds)
{
    const char *at = text;
    struct moment m = { 0, 0, 0, 0, 0, 0, 0, 0 };

    m.year = read_digits(&at, 4);
    m.month = m.year < 0 ? -1 : read_digits(&at, 2);
    m.day = m.month < 0 ? -1 : read_digits(&at, 2);
    m.hour = skip(&at, "T") ? read_digits(&at, 2) : -1;
    m.minute = m.hour < 0 ? -1 : read_digits(&at, 2);
    m.second = m.minute < 0 ? -1 : read_digits(&at, 2);
    m.fraction = read_fraction(&at, &m.unit);
    if (!is_possible(&m) || m.unit != 1000 || strcmp(at, "Z") != 0)
        return 0;
    *nanoseconds = in_nanoseconds(in_utc(&m), m.fraction);
    return 1;
}

/* Reads a time in any form that TIME_FORMS lists, as the span from its first to its last nanosecond. Returns 0 for
 * any other text. */
int read_time(const char *text, struct span *span)
{
    return read_date(text, span) || read_word(text, span) || read_age(text, span);
}

/* Writes a time such as "2026-11-22 23:05:30" in local time. `how` adds the microseconds, the offset of the zone, or
 * both. */
void format_time(int64_t nanoseconds, enum exactness how, char *out, size_t size)
{
    int64_t whole = nanoseconds / SECOND - (nanoseconds % SECOND < 0);
    time_t seconds = (time_t)whole;
    char date[32] = "", zone[16] = "", fraction[16] = "";
    struct tm local;

    if (localtime_r(&seconds, &local) == NULL || strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &local) == 0) {
        snprintf(out, size, "?");
        return;
    }
    if (how == TO_MICROSECOND || how == TO_MICROSECOND_IN_ZONE)
        snprintf(fraction, sizeof fraction, ".%06d", (int)((nanoseconds - whole * SECOND) / 1000));
    if (how == TO_SECOND_IN_ZONE || how == TO_MICROSECOND_IN_ZONE)
        strftime(zone, sizeof zone, "%z", &local);
    snprintf(out, size, "%s%s%s", date, fraction, zone);
}

/* Writes the time of a snapshot. Seconds are rounded up: the snapshot exists at the time that is written, and --at with
 * that time selects it. */
void format_snapshot_time(int64_t nanoseconds, enum exactness how, char *out, size_t size)
{
    if ((how == TO_SECOND || how == TO_SECOND_IN_ZONE) && nanoseconds <= INT64_MAX - SECOND)
        nanoseconds += SECOND - 1;
    format_time(nanoseconds, how, out, size);
}

/* Writes a size, for example "1.5 MiB". */
void format_size(uint64_t bytes, char *out, size_t size)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    double amount = (double)bytes;
    int unit = 0;

    for (; amount >= 1023.95 && unit < 6; unit++)
        amount /= 1024;
    snprintf(out, size, unit == 0 ? "%.0f %s" : "%.1f %s", amount, units[unit]);
}
