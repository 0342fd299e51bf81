/* What loops have in common: how long to wait before another try, how to note why, how fast they are. */
#include "svc/run.h"

enum { BACKOFF_FIRST_MS = 1000, BACKOFF_LAST_MS = 300000, PACE_EVERY_US = 5000000 };

int64_t st_backoff_since_ms(int64_t ms)
{
    uint16_t chance;
    if (ms < BACKOFF_FIRST_MS)
        ms = BACKOFF_FIRST_MS;
    if (ms > BACKOFF_LAST_MS)
        ms = BACKOFF_LAST_MS;
    st_random(&chance, sizeof(chance));
    return ms * 3 / 4 + ms / 2 * chance / UINT16_MAX;
}

int64_t st_backoff_ms(int failures)
{
    int64_t ms = BACKOFF_FIRST_MS;
    while (--failures > 0 && ms < BACKOFF_LAST_MS)
        ms *= 2;
    return st_backoff_since_ms(ms);
}

void st_run_pause(struct st_run *run, int ms)
{
    int64_t until = st_mono() + (int64_t)ms * 1000, left;
    while (!atomic_load(&run->stopping) && (left = until - st_mono()) > 0) {
        uint64_t seen = st_bell_rings(&run->events_bell);
        if (!atomic_load(&run->stopping))
            st_bell_wait(&run->events_bell, seen, (int)(left / 1000 + 1));
    }
}

char *st_storable(struct st_arena *a, const char *s, size_t len, size_t max)
{
    if (len > max)
        for (len = max; len && ((unsigned char)s[len] & 0xc0) == 0x80;) /* do not cut inside a character */
            len--;
    char *copy = st_strndup(a, s, len);
    if (!st_utf8_valid(copy, len))
        for (size_t i = 0; i < len; i++)
            if ((unsigned char)copy[i] >= 0x80 || copy[i] == '\0')
                copy[i] = '?';
    return copy;
}

static void tell_pace(const char *who, const char *what, int64_t n, int64_t us)
{
    st_log(ST_LOG_INFO, what, ST_S("who", who), ST_I("events", n), ST_I("perSecond", us > 0 ? n * ST_SECOND / us : 0));
}

void st_pace(struct st_pace *p, const char *who, int64_t done, bool behind)
{
    int64_t now = st_mono();
    if (behind && p->began == 0) {
        *p = (struct st_pace){.began = now};
        return; /* what was done until now came as it came */
    }
    p->done += done;
    if (!behind) {
        if (p->told)
            tell_pace(who, "Caught up", p->done, now - p->began);
        *p = (struct st_pace){.began = 0};
    } else if (now - (p->told ? p->told : p->began) >= PACE_EVERY_US) {
        tell_pace(who, "Catching up", p->done - p->done_told, now - (p->told ? p->told : p->began));
        p->told = now;
        p->done_told = p->done;
    }
}
