#ifndef ST_BASE_CLOCK_H
#define ST_BASE_CLOCK_H
/* Time. Wall-clock times are microseconds since 1970 UTC, spans and deadlines microseconds of the monotonic clock. */
#include "base/arena.h"

#define ST_SECOND INT64_C(1000000)

int64_t st_now(void);  /* wall clock, us */
int64_t st_mono(void); /* monotonic, us */

enum { ST_TIME_LEN = 25 };
/* RFC 3339 UTC with milliseconds: 2026-01-31T09:05:07.042Z. out has room for ST_TIME_LEN bytes; gives out. */
char *st_time_format(int64_t us, char out[ST_TIME_LEN]);
/* Strict RFC 3339 with any offset and up to 9 fraction digits; leap second 60 is taken as 59. */
bool st_time_parse(const char *s, int64_t *ret_us);

void st_sleep_ms(int ms); /* whole span, signals notwithstanding */

#endif
