/* Schedules by the clock: their texts, their dates, and the moments that a time zone makes of them. */
#include "svc/cron.h"

#include <ctype.h>

enum { DAYS_MAX = 366 * 9 }; /* the 29th of February may be that far away */

/* --- the text --- */

struct field {
    int least, most;
    const char *names; /* three letters each, the first is `least` (or 0) */
};
static const struct field fields[] = {
    {0, 59, NULL},
    {0, 23, NULL},
    {1, 31, NULL},
    {1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
    {0, 7, "sunmontuewedthufrisat"},
};

/* A number or a name at *text, moved behind it; -1 when it is neither. */
static int read_value(const struct field *f, const char **text)
{
    int n = 0, len = 0;
    while (len < 3 && isdigit((unsigned char)(*text)[len]))
        n = n * 10 + (*text)[len++] - '0';
    if (len == 0 && f->names) {
        for (int i = 0; f->names[i * 3] && len == 0; i++)
            if (strncasecmp(*text, f->names + i * 3, 3) == 0) {
                n = f->least + i;
                len = 3;
            }
    }
    *text += len;
    return len && n >= f->least && n <= f->most ? n : -1;
}

/* One item of a list. */
static int read_item(const struct field *f, const char **text, uint64_t *bits)
{
    int from = f->least, to = f->most, step = 1;
    bool star = **text == '*';
    if (star) {
        ++*text;
    } else {
        if ((from = to = read_value(f, text)) < 0)
            return ST_E_INVALID;
        if (**text == '-') {
            ++*text;
            if ((to = read_value(f, text)) < from)
                return ST_E_INVALID;
        } else if (**text == '/') {
            to = f->most;
        }
    }
    if (**text == '/') {
        static const struct field steps = {1, 999, NULL};
        ++*text;
        if ((step = read_value(&steps, text)) < 0)
            return ST_E_INVALID;
    }
    for (int n = from; n <= to; n += step)
        *bits |= (uint64_t)1 << n;
    return 0;
}

static int read_field(const struct field *f, const char **text, uint64_t *ret_bits, bool *ret_any)
{
    uint64_t bits = 0;
    *text += strspn(*text, " ");
    const char *from = *text;
    int r;
    while ((r = read_item(f, text, &bits)) == 0 && **text == ',')
        ++*text;
    if (r < 0 || (**text && **text != ' '))
        return ST_E_INVALID;
    *ret_bits = bits;
    *ret_any = *text == from + 1 && *from == '*';
    return 0;
}

/* --- dates, as days since 1970 --- */

struct date {
    int year, month, day, weekday;
};

/* Howard Hinnant's civil_from_days, for dates after 1970. */
static struct date date_of(int64_t days)
{
    int64_t z = days + 719468, era = z / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153, month = mp < 10 ? mp + 3 : mp - 9;
    return (struct date){
        .year = (int)(yoe + era * 400 + (month <= 2)),
        .month = (int)month,
        .day = (int)(doy - (153 * mp + 2) / 5 + 1),
        .weekday = (int)((days + 4) % 7),
    };
}

static bool fits(const struct st_cron *c, int64_t days)
{
    struct date d = date_of(days);
    bool day = c->days >> d.day & 1, weekday = c->weekdays >> d.weekday & 1;
    if (!(c->months >> d.month & 1))
        return false;
    return c->any_day ? weekday : c->any_weekday ? day : day || weekday;
}

int st_cron_parse(const char *text, struct st_cron *ret)
{
    struct st_cron c = {0};
    uint64_t bits[ST_COUNT(fields)];
    bool any[ST_COUNT(fields)];
    for (size_t i = 0; i < ST_COUNT(fields); i++)
        if (read_field(&fields[i], &text, &bits[i], &any[i]) < 0)
            return ST_E_INVALID;
    if (text[strspn(text, " ")])
        return ST_E_INVALID;
    c.minutes = bits[0];
    c.hours = (uint32_t)bits[1];
    c.days = (uint32_t)bits[2];
    c.months = (uint32_t)bits[3];
    c.weekdays = (uint32_t)(bits[4] | bits[4] >> 7); /* 7 is Sunday, too */
    c.any_hour = any[1];
    c.any_day = any[2];
    c.any_weekday = any[4];
    int64_t day = 0;
    while (day < DAYS_MAX && !fits(&c, day))
        day++;
    if (day == DAYS_MAX)
        return ST_E_INVALID;
    *ret = c;
    return 0;
}

/* --- moments --- */

static const char *array_of(struct st_arena *a, uint64_t bits)
{
    const char *text = "{";
    for (int n = 0; n < 64; n++)
        if (bits >> n & 1)
            text = st_printf(a, "%s%s%d", text, text[1] ? "," : "", n);
    return st_printf(a, "%s}", text);
}

/* Of the moments of one date: the first after $3, and the last of those that is not after now. All minutes of the day
 * are looked at, as the zone's clock shows them. */
static const char sql_moments[] =
    "with m as materialized (select at, at at time zone $1 as local from generate_series("
    "$2::timestamp at time zone $1, ($2::date + 1)::timestamp at time zone $1 - interval '1 minute', "
    "interval '1 minute') as at), "
    "due as (select at from m where $5::int[] is null and extract(minute from local)::int = any ($4::int[]) "
    "union select (select min(at) from m where local >= $2::timestamp + make_interval(hours => h, mins => n)) "
    "from unnest($5::int[]) as h, unnest($4::int[]) as n) "
    "select min(at), max(at) filter (where at <= now()) from due where at > $3::timestamptz";

struct moments {
    const char *next, *last; /* NULL: none */
};
static int moments_of(struct st_pg *pg, struct st_arena *a, const struct st_cron *cron, const char *zone, int64_t day,
                      const char *after, struct moments *ret)
{
    struct st_rows *rows;
    struct date d = date_of(day);
    const char *date = st_printf(a, "%04d-%02d-%02d", d.year, d.month, d.day);
    int r = st_pg_query(
        pg, a, sql_moments,
        ST_PARAMS(zone, date, after, array_of(a, cron->minutes), cron->any_hour ? NULL : array_of(a, cron->hours)),
        &rows);
    if (r == 0)
        *ret = (struct moments){st_cell(rows, 0, 0), st_cell(rows, 0, 1)};
    return r;
}

/* The dates that the zone's calendar shows at `after` and now. */
static int days_of(struct st_pg *pg, struct st_arena *a, const char *zone, const char *after, int64_t *ret_after,
                   int64_t *ret_now)
{
    struct st_rows *rows;
    int r = st_pg_query(pg, a,
                        "select ($2::timestamptz at time zone $1)::date - date '1970-01-01', "
                        "(now() at time zone $1)::date - date '1970-01-01'",
                        ST_PARAMS(zone, after), &rows);
    if (r == 0) {
        *ret_after = st_cell_int(rows, 0, 0);
        *ret_now = st_cell_int(rows, 0, 1);
    }
    return r;
}

int st_cron_next(struct st_pg *pg, struct st_arena *a, const struct st_cron *cron, const char *zone, const char *after,
                 const char **ret_next)
{
    struct moments m = {0};
    int64_t from, now;
    int r = days_of(pg, a, zone, after, &from, &now);
    for (int64_t day = from; r == 0 && !m.next && day < from + 2 * DAYS_MAX; day++)
        if (fits(cron, day))
            r = moments_of(pg, a, cron, zone, day, after, &m);
    *ret_next = m.next;
    return r < 0 ? r : m.next ? 0 : ST_E_NOT_FOUND;
}

int st_cron_last(struct st_pg *pg, struct st_arena *a, const struct st_cron *cron, const char *zone, const char *after,
                 const char **ret_last)
{
    struct moments m = {0};
    int64_t from, now;
    int r = days_of(pg, a, zone, after, &from, &now);
    for (int64_t day = now; r == 0 && !m.last && day >= from; day--)
        if (fits(cron, day))
            r = moments_of(pg, a, cron, zone, day, after, &m);
    *ret_last = m.last;
    return r;
}

int st_schedules_check(struct st_run *run, const char **ret_why)
{
    struct st_cron cron;
    for (const struct st_schedule *s = run->service->schedules; s && s->name; s++)
        if (s->cron ? s->every_s || st_cron_parse(s->cron, &cron) < 0 : s->every_s <= 0) {
            *ret_why = st_printf(&run->arena, "the schedule %s needs either every_s or a cron text that some day fits",
                                 s->name);
            return ST_E_INVALID;
        }
    return 0;
}
