/* Redis by hiredis, synchronous, with deadlines. */
#include "io/redis.h"

#include <hiredis/hiredis.h>
#include <poll.h>

enum {
    RECONNECT_US = 200000, /* pause between attempts to connect */
    SUBSCRIBE_TIMEOUT_MS = 2000,
    ERROR_LEN = 256,
    WORDS_MAX = 64 /* of st_redis_cmd */
};

struct st_redis {
    char *path;
    int timeout_ms;
    redisContext *conn;
    int64_t next_connect; /* monotonic; no attempt before */
    unsigned generation;
    size_t pending; /* answers still to be read */
    char error[ERROR_LEN];
};

struct st_redis *st_redis_new(const char *socket_path, int timeout_ms)
{
    struct st_redis *r = calloc(1, sizeof(*r));
    if (!r || !(r->path = strdup(socket_path)))
        abort();
    r->timeout_ms = timeout_ms;
    return r;
}

static void disconnect(struct st_redis *r)
{
    if (r->conn)
        redisFree(r->conn);
    r->conn = NULL;
    r->pending = 0;
}

struct st_redis *st_redis_free(struct st_redis *r)
{
    if (r) {
        disconnect(r);
        free(r->path);
        free(r);
    }
    return NULL;
}

static redisContext *open_conn(const char *path, int timeout_ms, char error[ERROR_LEN])
{
    const struct timeval timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
    redisContext *c = redisConnectUnixWithTimeout(path, timeout);
    if (!c)
        abort();
    if (c->err || redisSetTimeout(c, timeout) != REDIS_OK) {
        snprintf(error, ERROR_LEN, "%s", c->errstr);
        redisFree(c);
        return NULL;
    }
    return c;
}

static int ensure(struct st_redis *r)
{
    if (r->conn)
        return 0;
    if (st_mono() < r->next_connect)
        return ST_E_UNAVAILABLE;
    r->next_connect = st_mono() + RECONNECT_US;
    r->conn = open_conn(r->path, r->timeout_ms, r->error);
    if (!r->conn)
        return ST_E_UNAVAILABLE;
    r->generation++;
    return 0;
}

/* The connection is of no use any more: what was queued, and the answers under way, go with it. */
static int lost(struct st_redis *r)
{
    snprintf(r->error, sizeof(r->error), "%s", r->conn->errstr);
    disconnect(r);
    return ST_E_UNAVAILABLE;
}

/* hiredis bounds the depth of a tree. */
static void convert(struct st_arena *a, const redisReply *from, struct st_reply *to)
{
    *to = (struct st_reply){.kind = ST_REPLY_NIL};
    switch (from->type) {
    case REDIS_REPLY_INTEGER:
        to->kind = ST_REPLY_INTEGER;
        to->num = from->integer;
        break;
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
    case REDIS_REPLY_ERROR:
        to->kind = from->type == REDIS_REPLY_ERROR ? ST_REPLY_ERROR : ST_REPLY_STRING;
        to->str = st_strndup(a, from->str, from->len);
        to->len = from->len;
        break;
    case REDIS_REPLY_ARRAY:
        to->kind = ST_REPLY_ARRAY;
        to->n_items = from->elements;
        to->items = st_new_n(a, struct st_reply, from->elements);
        for (size_t i = 0; i < from->elements; i++)
            convert(a, from->element[i], &to->items[i]);
        break;
    default: break;
    }
}

/* Is it the server's state that refuses, and not the command? Then the same command can succeed later. */
static bool is_passing(const char *error)
{
    static const char *const codes[] = {"LOADING", "MISCONF", "OOM", "READONLY", "MASTERDOWN", "BUSY"};
    size_t len = strcspn(error, " ");
    for (size_t i = 0; i < ST_COUNT(codes); i++)
        if (strlen(codes[i]) == len && memcmp(codes[i], error, len) == 0)
            return true;
    return false;
}

int st_redis_queue(struct st_redis *r, int argc, const char *const *argv)
{
    int e = ensure(r);
    if (e < 0)
        return e;
    if (redisAppendCommandArgv(r->conn, argc, (const char **)argv, NULL) != REDIS_OK)
        return lost(r);
    r->pending++;
    return 0;
}

int st_redis_read(struct st_redis *r, struct st_arena *a, struct st_reply *ret)
{
    void *reply = NULL;
    if (r->pending == 0)
        return ST_E_UNAVAILABLE; /* the connection broke while answers were under way */
    if (redisGetReply(r->conn, &reply) != REDIS_OK)
        return lost(r);
    r->pending--;
    convert(a, reply, ret);
    freeReplyObject(reply);
    return 0;
}

int st_redis_verdict(struct st_redis *r, const struct st_reply *reply)
{
    if (reply->kind != ST_REPLY_ERROR)
        return 0;
    snprintf(r->error, sizeof(r->error), "%s", reply->str);
    return is_passing(reply->str) ? ST_E_UNAVAILABLE : ST_E_INTERNAL;
}

int st_redis_cmdv(struct st_redis *r, struct st_arena *a, struct st_reply *ret, int argc, const char *const *argv)
{
    struct st_reply reply;
    if (r->pending)
        abort(); /* a pipeline was not read to its end: this would read its answer */
    int e = st_redis_queue(r, argc, argv);
    if (e < 0 || (e = st_redis_read(r, a, &reply)) < 0)
        return e;
    if ((e = st_redis_verdict(r, &reply)) == 0)
        *ret = reply;
    return e;
}

int st_redis_cmd(struct st_redis *r, struct st_arena *a, struct st_reply *ret, ...)
{
    const char *argv[WORDS_MAX];
    int argc = 0;
    va_list ap;
    va_start(ap, ret);
    for (const char *word; (word = va_arg(ap, const char *));) {
        if (argc == WORDS_MAX)
            abort();
        argv[argc++] = word;
    }
    va_end(ap);
    return st_redis_cmdv(r, a, ret, argc, argv);
}

const char *st_redis_error(const struct st_redis *r)
{
    return r->error;
}

unsigned st_redis_generation(const struct st_redis *r)
{
    return r->generation;
}

/* --- subscriber --- */

struct st_redis_sub {
    char *path;
    char **words; /* SUBSCRIBE and the channels */
    int n_words;
    redisContext *conn;
    redisReply *last; /* holds what the last poll gave */
    int64_t next_connect;
};

struct st_redis_sub *st_redis_sub_new(const char *socket_path, const char *const *channels, int n_channels)
{
    struct st_redis_sub *s = calloc(1, sizeof(*s));
    if (!s || !(s->path = strdup(socket_path)) || !(s->words = calloc((size_t)n_channels + 1, sizeof(*s->words))))
        abort();
    for (int i = 0; i <= n_channels; i++)
        if (!(s->words[s->n_words++] = strdup(i == 0 ? "SUBSCRIBE" : channels[i - 1])))
            abort();
    return s;
}

static int sub_lost(struct st_redis_sub *s)
{
    if (s->last)
        freeReplyObject(s->last);
    s->last = NULL;
    if (s->conn)
        redisFree(s->conn);
    s->conn = NULL;
    return ST_E_UNAVAILABLE;
}

struct st_redis_sub *st_redis_sub_free(struct st_redis_sub *s)
{
    if (s) {
        (void)sub_lost(s);
        for (int i = 0; i < s->n_words; i++)
            free(s->words[i]);
        free(s->words);
        free(s->path);
        free(s);
    }
    return NULL;
}

/* Waits for all confirmations: after a poll that succeeded, no message of these channels is missed. */
static int sub_connect(struct st_redis_sub *s)
{
    char error[ERROR_LEN];
    if (st_mono() < s->next_connect)
        return ST_E_UNAVAILABLE;
    s->next_connect = st_mono() + RECONNECT_US;
    s->conn = open_conn(s->path, SUBSCRIBE_TIMEOUT_MS, error);
    if (!s->conn || redisAppendCommandArgv(s->conn, s->n_words, (const char **)s->words, NULL) != REDIS_OK)
        return sub_lost(s);
    for (int i = 1; i < s->n_words; i++) {
        redisReply *reply = NULL;
        if (redisGetReply(s->conn, (void **)&reply) != REDIS_OK)
            return sub_lost(s);
        bool confirmed = reply->type == REDIS_REPLY_ARRAY;
        freeReplyObject(reply);
        if (!confirmed) /* LOADING */
            return sub_lost(s);
    }
    return 0;
}

static bool is_message(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 && reply->element[0]->type == REDIS_REPLY_STRING &&
           st_streq(reply->element[0]->str, "message") && reply->element[1]->type == REDIS_REPLY_STRING &&
           reply->element[2]->type == REDIS_REPLY_STRING;
}

/* The next message that has arrived whole; *ret NULL when there is none. */
static int sub_take(struct st_redis_sub *s, redisReply **ret)
{
    for (;;) {
        redisReply *reply = NULL;
        if (redisGetReplyFromReader(s->conn, (void **)&reply) != REDIS_OK)
            return ST_E_UNAVAILABLE;
        *ret = reply;
        if (!reply || is_message(reply))
            return 0;
        freeReplyObject(reply);
    }
}

int st_redis_sub_poll(struct st_redis_sub *s, int timeout_ms, const char **ret_channel, const char **ret_message)
{
    int64_t until = st_mono() + (int64_t)timeout_ms * 1000;
    if (s->last)
        freeReplyObject(s->last);
    s->last = NULL;
    if (!s->conn && sub_connect(s) < 0)
        return ST_E_UNAVAILABLE;
    for (;;) {
        if (sub_take(s, &s->last) < 0)
            return sub_lost(s);
        if (s->last) {
            *ret_channel = s->last->element[1]->str;
            *ret_message = s->last->element[2]->str;
            return 1;
        }
        int64_t left_us = until - st_mono();
        struct pollfd p = {.fd = s->conn->fd, .events = POLLIN};
        int n = poll(&p, 1, left_us > 0 ? (int)((left_us + 999) / 1000) : 0);
        if (n == 0)
            return 0;
        if (n > 0 && redisBufferRead(s->conn) != REDIS_OK)
            return sub_lost(s);
    }
}
