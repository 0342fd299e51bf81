/* UUIDv7 and randomness. */
#include "base/id.h"

#include "base/clock.h"
#include "base/str.h"

#include <pthread.h>
#include <sys/random.h>

void st_random(void *out, size_t len)
{
    unsigned char *p = out;
    while (len) {
        ssize_t n = getrandom(p, len, 0);
        if (n <= 0)
            abort();
        p += n;
        len -= (size_t)n;
    }
}

/* A child must not draw what its parent draws: the pools of before the fork are thrown away in it. */
static unsigned forks;

static void on_fork(void)
{
    forks++;
}

__attribute__((constructor)) static void watch_forks(void)
{
    if (pthread_atfork(NULL, NULL, on_fork) != 0)
        abort();
}

void st_random_id(void *out, size_t len)
{
    static _Thread_local struct {
        unsigned char bytes[1024];
        size_t left;
        unsigned forks;
    } pool;
    if (len > sizeof(pool.bytes)) {
        st_random(out, len);
        return;
    }
    if (pool.left < len || pool.forks != forks) {
        st_random(pool.bytes, sizeof(pool.bytes));
        pool.left = sizeof(pool.bytes);
        pool.forks = forks;
    }
    pool.left -= len;
    memcpy(out, pool.bytes + pool.left, len);
}

/*
 * 48 bits of milliseconds, then a 12-bit counter, then 62 random bits. The counter starts at random below half its
 * range in each millisecond and counts on; when it is spent, or the clock stands or goes back, time is borrowed from
 * the next millisecond.
 */
char *st_uuid(char out[ST_UUID_LEN])
{
    enum { COUNTER_BITS = 12, COUNTER_START = 0x7ff };
    static uint64_t last; /* time and counter of the newest one */
    unsigned char r[10];
    st_random_id(r, sizeof(r));
    uint64_t ms = (uint64_t)st_now() / 1000, seen = __atomic_load_n(&last, __ATOMIC_RELAXED), mine;
    do
        mine =
            ms > seen >> COUNTER_BITS ? ms << COUNTER_BITS | ((unsigned)(r[8] << 8 | r[9]) & COUNTER_START) : seen + 1;
    while (!__atomic_compare_exchange_n(&last, &seen, mine, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    const unsigned char id[16] = {(unsigned char)(mine >> 52),
                                  (unsigned char)(mine >> 44),
                                  (unsigned char)(mine >> 36),
                                  (unsigned char)(mine >> 28),
                                  (unsigned char)(mine >> 20),
                                  (unsigned char)(mine >> 12),
                                  (unsigned char)(0x70 | (mine >> 8 & 0xf)),
                                  (unsigned char)mine,
                                  (r[0] & 0x3f) | 0x80,
                                  r[1],
                                  r[2],
                                  r[3],
                                  r[4],
                                  r[5],
                                  r[6],
                                  r[7]};
    char hex[2 * sizeof(id)];
    st_hex_put(hex, id, sizeof(id));
    memcpy(out, hex, 8);
    memcpy(out + 9, hex + 8, 4);
    memcpy(out + 14, hex + 12, 4);
    memcpy(out + 19, hex + 16, 4);
    memcpy(out + 24, hex + 20, 12);
    out[8] = out[13] = out[18] = out[23] = '-';
    out[36] = '\0';
    return out;
}

char *st_new_id(struct st_arena *a)
{
    return st_uuid(st_alloc(a, ST_UUID_LEN));
}

bool st_is_uuid(const char *s)
{
    static const bool hex[256] = {['0' ... '9'] = true, ['a' ... 'f'] = true, ['A' ... 'F'] = true};
    static const unsigned char runs[] = {8, 4, 4, 4, 12};
    for (size_t n = 0; n < sizeof(runs); n++) {
        for (unsigned i = 0; i < runs[n]; i++, s++)
            if (!hex[(unsigned char)*s])
                return false;
        if (*s++ != (n + 1 < sizeof(runs) ? '-' : '\0'))
            return false;
    }
    return true;
}

int64_t st_uuid_time(const char *s)
{
    if (!st_is_uuid(s) || s[14] != '7')
        return 0;
    char digits[13];
    snprintf(digits, sizeof(digits), "%.8s%.4s", s, s + 9);
    return (int64_t)strtoull(digits, NULL, 16) * 1000;
}
