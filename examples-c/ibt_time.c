/* ibt_time.c - times and sizes as people write and read them. */
#include "ibt_tool.h"
#include <string.h>
#include <time.h>

/* Days since 1970-01-01 of a date of the Gregorian calendar: Howard Hinnant,
 * "chrono-Compatible Low-Level Date Algorithms". timegm() is not everywhere. */
static int64_t days_from_date(int64_t year, int month, int day)
{
    int64_t era, year_of_era, day_of_year;

    year -= month <= 2;
    era = (year + 400) / 400 - 1; /* rounded down: January of the year 0 belongs to -1 */
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

/* A date and a time of day as they were written. */
struct moment {
    int year, month, day, hour, minute, second, fraction;
};

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

/* Where summer time makes an hour twice or never, the system's choice. Returns 0 if it has none. */
static int in_local_time(const struct moment *m, int64_t *seconds)
{
    struct tm local;

    memset(&local, 0, sizeof local);
    local.tm_year = m->year - 1900;
    local.tm_mon = m->month - 1;
    local.tm_mday = m->day;
    local.tm_hour = m->hour;
    local.tm_min = m->minute;
    local.tm_sec = m->second;
    local.tm_isdst = -1;
    local.tm_wday = -1; /* stays so only if mktime() fails: it may return -1 for a time, too */
    *seconds = (int64_t)mktime(&local);
    return local.tm_wday != -1;
}

/* 64 bits of nanoseconds end in 1677 and 2262: a time beyond is the first or the last there is. */
static int64_t in_nanoseconds(int64_t seconds, int fraction)
{
    if (seconds >= INT64_MAX / 1000000000)
        return INT64_MAX;
    if (seconds < INT64_MIN / 1000000000)
        return INT64_MIN;
    return seconds * 1000000000 + fraction;
}

/* Reads "2026-11-22T22:05:30[.123](Z|+02:00)", or in local time "2026-11-22 22:05[:30[.123]]".
 * Returns 0 if it is anything else. */
int read_time(const char *text, int64_t *nanoseconds)
{
    const char *at = text;
    struct moment m;
    int64_t zone, seconds;
    int spaced;

    m.year = read_digits(&at, 4);
    m.month = skip(&at, "-") ? read_digits(&at, 2) : -1;
    m.day = skip(&at, "-") ? read_digits(&at, 2) : -1;
    spaced = *at == ' ';
    m.hour = skip(&at, "Tt ") ? read_digits(&at, 2) : -1;
    m.minute = skip(&at, ":") ? read_digits(&at, 2) : -1;
    m.second = spaced && *at == '\0' ? 0 : skip(&at, ":") ? read_digits(&at, 2) : -1;
    m.fraction = read_fraction(&at);
    if (!is_possible(&m))
        return 0;
    if (spaced && *at == '\0') {
        if (!in_local_time(&m, &seconds))
            return 0;
    } else if (read_zone(&at, &zone) && *at == '\0') {
        seconds = in_utc(&m) - zone;
    } else {
        return 0;
    }
    *nanoseconds = in_nanoseconds(seconds, m.fraction);
    return 1;
}

/* "2026-11-22 23:05:30" in local time. */
void format_time(int64_t nanoseconds, char *out, size_t size)
{
    int64_t whole = nanoseconds / 1000000000 - (nanoseconds % 1000000000 < 0);
    time_t seconds = (time_t)whole;
    struct tm local;

    if (localtime_r(&seconds, &local) == NULL || strftime(out, size, "%Y-%m-%d %H:%M:%S", &local) == 0)
        snprintf(out, size, "?");
}

/* "1.5 MiB" */
void format_size(uint64_t bytes, char *out, size_t size)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    double amount = (double)bytes;
    int unit = 0;

    for (; amount >= 1023.95 && unit < 6; unit++)
        amount /= 1024;
    snprintf(out, size, unit == 0 ? "%.0f %s" : "%.1f %s", amount, units[unit]);
}
