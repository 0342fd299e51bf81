/* Wall clock, monotonic clock and RFC 3339. */
#include "base/clock.h"

#include <errno.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * ST_SECOND + ts.tv_nsec / 1000;
}

int64_t st_now(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t st_mono(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

char *st_time_format(int64_t us, char out[ST_TIME_LEN])
{
    time_t s = (time_t)(us / ST_SECOND);
    struct tm tm;
    gmtime_r(&s, &tm);
    size_t n = strftime(out, ST_TIME_LEN, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, ST_TIME_LEN - n, ".%03dZ", (int)(us % ST_SECOND / 1000) % 1000);
    return out;
}

/* Reads exactly n digits; -1 if they are not there. */
static int digits(const char **s, int n)
{
    int v = 0;
    for (int i = 0; i < n; i++, (*s)++) {
        if (**s < '0' || **s > '9')
            return -1;
        v = v * 10 + (**s - '0');
    }
    return v;
}

static bool literal(const char **s, const char *any)
{
    if (!**s || !strchr(any, **s))
        return false;
    (*s)++;
    return true;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

bool st_time_parse(const char *s, int64_t *ret_us)
{
    struct tm tm = {0};
    int year = digits(&s, 4);
    if (year < 0 || !literal(&s, "-"))
        return false;
    int month = digits(&s, 2);
    if (month < 1 || month > 12 || !literal(&s, "-"))
        return false;
    int day = digits(&s, 2);
    if (day < 1 || day > days_in_month(year, month) || !literal(&s, "Tt "))
        return false;
    int h = digits(&s, 2);
    if (h < 0 || h > 23 || !literal(&s, ":"))
        return false;
    int m = digits(&s, 2);
    if (m < 0 || m > 59 || !literal(&s, ":"))
        return false;
    int sec = digits(&s, 2);
    if (sec < 0 || sec > 60)
        return false;
    int64_t frac = 0;
    if (*s == '.') {
        s++;
        int n = 0;
        for (; *s >= '0' && *s <= '9'; s++, n++)
            if (n < 6)
                frac = frac * 10 + (*s - '0');
        if (n == 0)
            return false;
        for (; n < 6; n++)
            frac *= 10;
    }
    int offset = 0;
    if (*s == 'Z' || *s == 'z') {
        s++;
    } else {
        int sign = *s == '-' ? -1 : 1;
        if (!literal(&s, "+-"))
            return false;
        int oh = digits(&s, 2);
        if (oh < 0 || oh > 23 || !literal(&s, ":"))
            return false;
        int om = digits(&s, 2);
        if (om < 0 || om > 59)
            return false;
        offset = sign * (oh * 3600 + om * 60);
    }
    if (*s)
        return false;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    tm.tm_mday = day;
    tm.tm_hour = h;
    tm.tm_min = m;
    tm.tm_sec = sec == 60 ? 59 : sec;
    *ret_us = ((int64_t)timegm(&tm) - offset) * ST_SECOND + frac;
    return true;
}

void st_sleep_ms(int ms)
{
    struct timespec ts = {ms / 1000, (long)(ms % 1000) * 1000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts) == EINTR)
        ;
}
