#ifndef ST_SVC_CRON_H
#define ST_SVC_CRON_H
/*
 * When schedules by the clock are due. Their dates are found here; what the clock of a time zone shows when is known to
 * PostgreSQL alone (AT TIME ZONE).
 *
 * A text has five fields: minute (0-59), hour (0-23), day (1-31), month (1-12 or jan-dec), weekday (0-7 or sun-sat; 0
 * and 7 are Sunday). A field is * or a list of values and ranges ("1,15-20"); a range, and *, may have a step
 * ("0-30/10"). When day and weekday are both given, a date needs to fit one of them.
 *
 * When clocks are changed: a time that a day does not have (02:30 when they go forward) is due at the first minute that
 * follows (03:00); one that it has twice, the first time only. With * as the hour it is due by each real hour.
 */
#include "svc/run.h"

struct st_cron {
    uint64_t minutes;
    uint32_t hours, days, months, weekdays; /* bit n: the value n */
    bool any_hour, any_day, any_weekday;
};

/* ST_E_INVALID when it is none, or no date fits it. */
ST_MUSTCHECK int st_cron_parse(const char *text, struct st_cron *ret);

/* The first time that is later than `after`; times are texts of PostgreSQL. */
ST_MUSTCHECK int st_cron_next(struct st_pg *pg, struct st_arena *a, const struct st_cron *cron, const char *zone,
                              const char *after, const char **ret_next);

/* The last time that is not later than now, but later than `after`; NULL when there is none. */
ST_MUSTCHECK int st_cron_last(struct st_pg *pg, struct st_arena *a, const struct st_cron *cron, const char *zone,
                              const char *after, const char **ret_last);

/* ST_E_INVALID, and *ret_why names the schedule of the service that is wrong. */
ST_MUSTCHECK int st_schedules_check(struct st_run *run, const char **ret_why);

#endif
