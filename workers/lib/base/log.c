/* JSON log lines. */
#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

enum {
    VALUE_MAX = 2000,
    LINE_FULL = 32 * 1024, /* no further member from here on; the one before can escape to six times VALUE_MAX */
    LINE_MAX_LEN = 64 * 1024
};

static const char *service_name = "-";
static atomic_int lowest_level = ST_LOG_INFO;
static const char *const names[] = {"debug", "info", "warning", "error"};
static __thread const char *context_correlation, *context_user;

void st_log_setup(const char *service, enum st_log_level lowest)
{
    service_name = service;
    atomic_store(&lowest_level, (int)lowest);
}

bool st_log_level(const char *name)
{
    for (size_t i = 0; i < ST_COUNT(names); i++)
        if (st_streq(names[i], name)) {
            atomic_store(&lowest_level, (int)i);
            return true;
        }
    return false;
}

void st_log_context(const char *correlation_id, const char *user_id)
{
    context_correlation = correlation_id;
    context_user = user_id;
}

/* A member with its comma; what is not UTF-8 is shown as ?. */
static void member(struct st_buf *b, const char *key, const char *value)
{
    char clean[VALUE_MAX + 1];
    size_t n = strnlen(value, VALUE_MAX);
    if (n == VALUE_MAX)
        while (n && ((unsigned char)value[n] & 0xc0) == 0x80) /* do not cut inside a character */
            n--;
    memcpy(clean, value, n);
    clean[n] = '\0';
    if (!st_utf8_valid(clean, n))
        for (size_t i = 0; i < n; i++)
            if ((unsigned char)clean[i] >= 0x80)
                clean[i] = '?';
    st_buf_json(b, key, strlen(key));
    st_buf_char(b, ':');
    st_buf_json(b, clean, n);
    st_buf_char(b, ',');
}

void st_log_kv(enum st_log_level level, const char *message, const struct st_kv *kv)
{
    if ((int)level < atomic_load_explicit(&lowest_level, memory_order_relaxed))
        return;
    int saved = errno;
    char time[ST_TIME_LEN];
    struct st_buf b = ST_BUF(LINE_MAX_LEN);
    st_buf_char(&b, '{');
    member(&b, "timestamp", st_time_format(st_now(), time));
    member(&b, "service", service_name);
    member(&b, "level", names[level]);
    if (context_correlation)
        member(&b, "correlationId", context_correlation);
    if (context_user && *context_user)
        member(&b, "userId", context_user);
    member(&b, "message", message);
    st_buf_str(&b, "\"metadata\":{");
    for (; kv->key && b.len < LINE_FULL; kv++) {
        if (kv->str) {
            member(&b, kv->key, kv->str);
        } else {
            st_buf_json(&b, kv->key, strlen(kv->key));
            st_buf_printf(&b, ":%lld,", (long long)kv->num);
        }
    }
    if (b.len && b.data[b.len - 1] == ',')
        b.len--;
    st_buf_str(&b, "}}\n");
    if (!b.failed) {
        ssize_t w = write(STDERR_FILENO, b.data, b.len);
        (void)w; /* nowhere to tell it */
    }
    st_buf_release(&b);
    errno = saved;
}
