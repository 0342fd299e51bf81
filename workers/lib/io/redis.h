#ifndef ST_IO_REDIS_H
#define ST_IO_REDIS_H
/*
 * Redis by hiredis, synchronous, with deadlines. A connection belongs to one thread; it connects on first use and
 * again after a loss (at most one attempt per 200 ms; in between calls fail at once). The process must ignore SIGPIPE.
 *
 * Errors: ST_E_UNAVAILABLE (no connection, timeout, LOADING, MISCONF, OOM, READONLY), ST_E_INTERNAL (any other error
 * answer; st_redis_error has its text).
 */
#include "base/base.h"

struct st_redis;
struct st_redis *st_redis_new(const char *socket_path, int timeout_ms);
struct st_redis *st_redis_free(struct st_redis *r); /* NULL-safe, gives NULL */

/* An answer; a tree of these, in the arena. */
struct st_reply {
    enum { ST_REPLY_NIL, ST_REPLY_STRING, ST_REPLY_INTEGER, ST_REPLY_ARRAY, ST_REPLY_ERROR } kind;
    const char *str; /* STRING, ERROR; NUL behind len */
    size_t len;
    int64_t num;
    struct st_reply *items; /* ARRAY */
    size_t n_items;
};

/* One command given as words, ended by NULL: st_redis_cmd(r, a, &reply, "SET", key, value, "EX", "15", NULL). */
ST_MUSTCHECK int st_redis_cmd(struct st_redis *r, struct st_arena *a, struct st_reply *ret, ...)
    __attribute__((sentinel));
ST_MUSTCHECK int st_redis_cmdv(struct st_redis *r, struct st_arena *a, struct st_reply *ret, int argc,
                               const char *const *argv);

/*
 * Pipelining: queue any number, then read the answers in order. An error answer is returned as ST_REPLY_ERROR here, so
 * that one refused command does not hide the others. When the connection breaks, all answers that were still to come
 * are ST_E_UNAVAILABLE: no later part of a pipeline is ever sent on a new connection. Read a pipeline to its end before
 * the next st_redis_cmd.
 */
ST_MUSTCHECK int st_redis_queue(struct st_redis *r, int argc, const char *const *argv);
ST_MUSTCHECK int st_redis_read(struct st_redis *r, struct st_arena *a, struct st_reply *ret);
/* What st_redis_cmd gives when this is the answer: 0, or the error that it tells. */
ST_MUSTCHECK int st_redis_verdict(struct st_redis *r, const struct st_reply *reply);

const char *st_redis_error(const struct st_redis *r);
/* Grows by one with each new connection; a changed value means that subscriptions, scripts and leases may be gone. */
unsigned st_redis_generation(const struct st_redis *r);

/*
 * Subscriber: a connection of its own. poll waits up to timeout_ms for one message on the channels: 1 and the message,
 * 0 for none in time, negative when the connection is lost (call again: it reconnects and subscribes again).
 * *ret_channel and *ret_message live until the next poll.
 */
struct st_redis_sub;
struct st_redis_sub *st_redis_sub_new(const char *socket_path, const char *const *channels, int n_channels);
struct st_redis_sub *st_redis_sub_free(struct st_redis_sub *s);
int st_redis_sub_poll(struct st_redis_sub *s, int timeout_ms, const char **ret_channel, const char **ret_message);

#endif
