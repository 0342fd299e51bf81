/* UUIDv7 and randomness. */
#include "base/id.h"

#include "base/clock.h"

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

/*
 * 48 bits of milliseconds, then a 12-bit counter, then 62 random bits. The counter starts at random below half its
 * range in each millisecond and counts on; when it is spent, or the clock stands or goes back, time is borrowed from
 * the next millisecond.
 */
char *st_uuid(char out[ST_UUID_LEN])
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static int64_t last_ms;
    static unsigned counter;
    unsigned char r[10];
    st_random(r, sizeof(r));
    pthread_mutex_lock(&lock);
    int64_t ms = st_now() / 1000;
    if (ms > last_ms) {
        last_ms = ms;
        counter = (unsigned)(r[8] << 8 | r[9]) & 0x7ff;
    } else if (++counter > 0xfff) {
        last_ms++;
        counter = 0;
    }
    ms = last_ms;
    unsigned c = counter;
    pthread_mutex_unlock(&lock);
    snprintf(out, ST_UUID_LEN, "%08x-%04x-7%03x-%02x%02x-%02x%02x%02x%02x%02x%02x", (unsigned)(ms >> 16),
             (unsigned)(ms & 0xffff), c, (r[0] & 0x3f) | 0x80, r[1], r[2], r[3], r[4], r[5], r[6], r[7]);
    return out;
}

char *st_new_id(struct st_arena *a)
{
    return st_uuid(st_alloc(a, ST_UUID_LEN));
}

bool st_is_uuid(const char *s)
{
    for (int i = 0; i < 36; i++) {
        char c = s[i];
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (c != '-')
                return false;
        } else if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))) {
            return false;
        }
    }
    return s[36] == '\0';
}

int64_t st_uuid_time(const char *s)
{
    if (!st_is_uuid(s) || s[14] != '7')
        return 0;
    char digits[13];
    snprintf(digits, sizeof(digits), "%.8s%.4s", s, s + 9);
    return (int64_t)strtoull(digits, NULL, 16) * 1000;
}
