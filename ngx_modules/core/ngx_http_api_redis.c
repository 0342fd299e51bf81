/*
 * The Redis link of each worker: hiredis on nginx's event loop.
 *
 * A timer drives the connection: it connects, with backoff, asks whether Redis is there (a Redis that loads its data,
 * or is stopped, accepts connections too), and drops it when answers stay away. Nothing is freed inside a callback of
 * hiredis: callbacks leave a mark, the timer acts on it. Calls are malloc'ed, because they outlive their requests.
 */
#include "ngx_http_api_redis.h"

#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <ngx_sha1.h>

enum {
    WAITING_MAX = 1024, /* commands without an answer yet */
    ARGS_MAX = 52,
    TICK_MS = 1000,
    PING_MS = 500, /* an answer to PING that takes longer: Redis is away */
    HANDSHAKE_MS = 1000,
    SILENCE_MS = 2000, /* of a connection that should answer: it is dropped */
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 2000,
};

/* A command that waits for its answer. */
typedef struct {
    ngx_queue_t queue;
    ngx_event_t timer;
    ngx_http_api_redis_pt *answer; /* NULL: nobody listens any more */
    void *data;
    ngx_msec_t asked;
    const ngx_http_api_script_t *script; /* whose text has not been sent; NULL for other commands */
    int argc;                            /* of a script: kept for its text */
    size_t lens[ARGS_MAX];
    char args[];
} call_t;

static struct {
    const ngx_http_api_main_conf_t *amcf;
    ngx_http_api_redis_connection_t conn;
    void (*turned)(bool up);
    ngx_event_t timer;
    ngx_queue_t calls; /* call_t */
    ngx_uint_t waiting;
    ngx_msec_t backoff, heard;
    time_t logged;
    unsigned fresh : 1; /* the worker's first attempt: Redis may well be there, a reload should not go around it */
    unsigned up : 1;    /* Redis has answered on this connection */
    unsigned mute : 1;  /* and does not any more */
    unsigned broken : 1;
    unsigned stopping : 1;
} link_state;

/* nginx keeps a timer that is set when the new time is near the old one; this does not. */
static void wake(ngx_event_t *timer, ngx_msec_t ms)
{
    if (timer->timer_set)
        ngx_del_timer(timer);
    ngx_add_timer(timer, ms);
}

static void break_link(void)
{
    link_state.broken = 1;
    if (!link_state.stopping)
        wake(&link_state.timer, 1);
}

/* --- hiredis on nginx's event loop --- */

static void on_readable(ngx_event_t *ev)
{
    ngx_connection_t *c = ev->data;
    ngx_http_api_redis_connection_t *conn = c->data;
    if (conn->ac)
        redisAsyncHandleRead(conn->ac);
}

static void on_writable(ngx_event_t *ev)
{
    ngx_connection_t *c = ev->data;
    ngx_http_api_redis_connection_t *conn = c->data;
    if (conn->ac)
        redisAsyncHandleWrite(conn->ac);
}

/* Level-triggered: hiredis reads 16 KiB at a time and comes back for the rest. */
static void set_event(ngx_http_api_redis_connection_t *conn, ngx_event_t *ev, ngx_int_t kind, bool on)
{
    if (on && !ev->active) {
        if (ngx_add_event(ev, kind, NGX_LEVEL_EVENT) != NGX_OK)
            conn->lost();
    } else if (!on && ev->active) {
        ngx_del_event(ev, kind, 0);
    }
}

static void add_read(void *data)
{
    ngx_http_api_redis_connection_t *conn = data;
    set_event(conn, conn->connection->read, NGX_READ_EVENT, true);
}

static void del_read(void *data)
{
    ngx_http_api_redis_connection_t *conn = data;
    set_event(conn, conn->connection->read, NGX_READ_EVENT, false);
}

static void add_write(void *data)
{
    ngx_http_api_redis_connection_t *conn = data;
    set_event(conn, conn->connection->write, NGX_WRITE_EVENT, true);
}

static void del_write(void *data)
{
    ngx_http_api_redis_connection_t *conn = data;
    set_event(conn, conn->connection->write, NGX_WRITE_EVENT, false);
}

/* hiredis is about to free its context, and closes the descriptor itself. */
static void detach(void *data)
{
    ngx_http_api_redis_connection_t *conn = data;
    ngx_connection_t *c = conn->connection;
    conn->ac = NULL;
    conn->connection = NULL;
    if (!c)
        return;
    if (c->read->active)
        ngx_del_event(c->read, NGX_READ_EVENT, 0);
    if (c->write->active)
        ngx_del_event(c->write, NGX_WRITE_EVENT, 0);
    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }
    if (c->write->posted) {
        ngx_delete_posted_event(c->write);
    }
    ngx_free_connection(c);
    c->fd = (ngx_socket_t)-1;
}

static void on_connect(const redisAsyncContext *ac, int status)
{
    if (status != REDIS_OK)
        ((ngx_http_api_redis_connection_t *)ac->data)->lost();
}

static void on_disconnect(const redisAsyncContext *ac, int status)
{
    ((ngx_http_api_redis_connection_t *)ac->data)->lost();
}

ngx_int_t ngx_http_api_redis_open(ngx_http_api_redis_connection_t *conn, const ngx_http_api_main_conf_t *amcf)
{
    const char *where = (const char *)amcf->redis.data;
    redisAsyncContext *ac =
        amcf->redis_port ? redisAsyncConnect(where, amcf->redis_port) : redisAsyncConnectUnix(where);
    ngx_connection_t *c = ac && !ac->err ? ngx_get_connection(ac->c.fd, ngx_cycle->log) : NULL;
    if (!c) {
        if (ac)
            redisAsyncFree(ac);
        return NGX_ERROR;
    }
    if (amcf->redis_port) /* without it a connection whose other end has vanished would stand for ever */
        redisEnableKeepAlive(&ac->c);
    c->data = conn;
    c->log = ngx_cycle->log;
    c->read->handler = on_readable;
    c->write->handler = on_writable;
    c->read->log = c->write->log = ngx_cycle->log;
    conn->ac = ac;
    conn->connection = c;
    ac->data = ac->ev.data = conn;
    ac->ev.addRead = add_read;
    ac->ev.delRead = del_read;
    ac->ev.addWrite = add_write;
    ac->ev.delWrite = del_write;
    ac->ev.cleanup = detach;
    redisAsyncSetConnectCallback(ac, on_connect);
    redisAsyncSetDisconnectCallback(ac, on_disconnect);
    return NGX_OK;
}

void ngx_http_api_redis_close(ngx_http_api_redis_connection_t *conn)
{
    if (conn->ac)
        redisAsyncFree(conn->ac);
}

/* --- calls --- */

static void count(enum ngx_http_api_counter_e c)
{
    ngx_http_api_count(&link_state.amcf->zones[NGX_HTTP_API_ZONE_STATE], c);
}

/* The call goes before its answer is given: whoever gets it may ask again. */
static void finish(call_t *call, const redisReply *reply)
{
    ngx_http_api_redis_pt *answer = call->answer;
    void *data = call->data;
    if (call->timer.timer_set)
        ngx_del_timer(&call->timer);
    ngx_queue_remove(&call->queue);
    link_state.waiting--;
    free(call);
    if (!answer || link_state.stopping)
        return;
    if (!reply)
        count(NGX_HTTP_API_N_REDIS_UNANSWERED);
    answer(data, reply);
}

static void on_answer(redisAsyncContext *ac, void *reply, void *privdata);

/* Redis has forgotten the script (SCRIPT FLUSH; another Redis). */
static bool send_text(call_t *call)
{
    const char *argv[ARGS_MAX] = {"EVAL", call->script->text}, *at = call->args;
    size_t lens[ARGS_MAX] = {4, strlen(call->script->text)};
    for (int i = 2; i < call->argc; i++) {
        argv[i] = at;
        lens[i] = call->lens[i];
        at += lens[i];
    }
    call->script = NULL;
    return redisAsyncCommandArgv(link_state.conn.ac, on_answer, call, call->argc, argv, lens) == REDIS_OK;
}

/* LOADING, OOM, MISCONF: it will pass, and one line a second is enough to tell. */
static void log_error(const redisReply *r)
{
    if (link_state.logged == ngx_time())
        return;
    link_state.logged = ngx_time();
    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0, "api: Redis answers: %s", r->str);
}

static void on_answer(redisAsyncContext *ac, void *reply, void *privdata)
{
    const redisReply *r = reply;
    call_t *call = privdata;
    if (r) {
        link_state.heard = ngx_current_msec;
        link_state.mute = 0;
    } else {
        link_state.up = link_state.fresh = 0;
    }
    if (r && r->type == REDIS_REPLY_ERROR) {
        if (call->script && strncmp(r->str, "NOSCRIPT", 8) == 0 && send_text(call))
            return;
        log_error(r);
        r = NULL;
    }
    finish(call, r);
}

/* The answer may still come: hiredis knows the call until then. */
static void on_timeout(ngx_event_t *ev)
{
    call_t *call = ev->data;
    ngx_http_api_redis_pt *answer = call->answer;
    if ((ngx_msec_int_t)(call->asked - link_state.heard) >= 0)
        link_state.mute = 1;
    call->answer = NULL;
    if (answer) {
        count(NGX_HTTP_API_N_REDIS_UNANSWERED);
        answer(call->data, NULL);
    }
}

static size_t total(int from, int argc, const char **argv, const size_t *lens)
{
    size_t n = 0;
    for (int i = from; i < argc; i++)
        n += lens ? lens[i] : strlen(argv[i]);
    return n;
}

static ngx_int_t send_call(ngx_msec_t timeout, ngx_http_api_redis_pt *answer, void *data,
                           const ngx_http_api_script_t *script, int argc, const char **argv, const size_t *lens)
{
    if (!link_state.conn.ac || link_state.broken || link_state.waiting >= WAITING_MAX)
        return NGX_DECLINED;
    call_t *call = calloc(1, sizeof(*call) + (script ? total(2, argc, argv, lens) : 0));
    if (!call)
        return NGX_DECLINED;
    char *at = call->args;
    for (int i = 2; script && i < argc; i++) {
        call->lens[i] = lens ? lens[i] : strlen(argv[i]);
        at = (char *)ngx_cpymem(at, argv[i], call->lens[i]);
    }
    call->script = script;
    call->argc = argc;
    call->answer = answer;
    call->data = data;
    call->asked = ngx_current_msec;
    call->timer.handler = on_timeout;
    call->timer.data = call;
    call->timer.log = ngx_cycle->log;
    if (redisAsyncCommandArgv(link_state.conn.ac, on_answer, call, argc, argv, lens) != REDIS_OK) {
        free(call);
        break_link();
        return NGX_DECLINED;
    }
    ngx_queue_insert_tail(&link_state.calls, &call->queue);
    link_state.waiting++;
    ngx_add_timer(&call->timer, timeout);
    return NGX_OK;
}

bool ngx_http_api_redis_up(void)
{
    return link_state.conn.ac && (link_state.up || link_state.fresh) && !link_state.mute && !link_state.broken;
}

ngx_int_t ngx_http_api_redis_call(ngx_msec_t timeout, ngx_http_api_redis_pt *answer, void *data, int argc,
                                  const char **argv, const size_t *lens)
{
    if (!ngx_http_api_redis_up())
        return NGX_DECLINED;
    return send_call(timeout, answer, data, NULL, argc, argv, lens);
}

ngx_int_t ngx_http_api_redis_eval(ngx_msec_t timeout, ngx_http_api_redis_pt *answer, void *data,
                                  ngx_http_api_script_t *script, int argc, const char **argv, const size_t *lens)
{
    const char *all[ARGS_MAX] = {"EVALSHA", script->sha};
    size_t all_lens[ARGS_MAX] = {7, 40};
    if (!ngx_http_api_redis_up() || argc + 2 > ARGS_MAX)
        return NGX_DECLINED;
    if (!script->sha[0]) {
        u_char digest[20];
        ngx_sha1_t sha;
        ngx_sha1_init(&sha);
        ngx_sha1_update(&sha, script->text, strlen(script->text));
        ngx_sha1_final(digest, &sha);
        ngx_hex_dump((u_char *)script->sha, digest, sizeof(digest));
    }
    for (int i = 0; i < argc; i++) {
        all[i + 2] = argv[i];
        all_lens[i + 2] = lens ? lens[i] : strlen(argv[i]);
    }
    return send_call(timeout, answer, data, script, argc + 2, all, all_lens);
}

void ngx_http_api_redis_forget(const void *data)
{
    if (!link_state.amcf)
        return;
    for (ngx_queue_t *q = ngx_queue_head(&link_state.calls); q != ngx_queue_sentinel(&link_state.calls);
         q = ngx_queue_next(q)) {
        call_t *call = ngx_queue_data(q, call_t, queue);
        if (call->data == data)
            call->answer = NULL;
    }
}

ngx_int_t ngx_http_api_suspend(ngx_http_request_t *r)
{
    r->read_event_handler = ngx_http_test_reading; /* notices a client that hangs up */
    r->write_event_handler = ngx_http_request_empty_handler;
    return NGX_AGAIN;
}

void ngx_http_api_resume(ngx_http_request_t *r)
{
    ngx_connection_t *c = r->connection;
    ngx_http_set_log_request(c->log, r);
    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}

ngx_int_t ngx_http_api_redis_integers(const struct redisReply *reply, int64_t *ret, size_t n)
{
    if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements != n)
        return NGX_DECLINED;
    for (size_t i = 0; i < n; i++) {
        if (reply->element[i]->type != REDIS_REPLY_INTEGER)
            return NGX_DECLINED;
        ret[i] = reply->element[i]->integer;
    }
    return NGX_OK;
}

ngx_int_t ngx_http_api_redis_string(const struct redisReply *reply, ngx_str_t *ret)
{
    if (!reply || reply->type != REDIS_REPLY_STRING)
        return NGX_DECLINED;
    ret->data = (u_char *)reply->str;
    ret->len = (size_t)reply->len;
    return NGX_OK;
}

/* --- the connection --- */

static void drop_link(void)
{
    link_state.up = link_state.fresh = link_state.mute = 0;
    link_state.broken = 1; /* who is told that no answer comes may not ask again */
    ngx_http_api_redis_close(&link_state.conn);
    link_state.broken = 0;
    if (link_state.turned && !link_state.stopping)
        link_state.turned(false);
}

static void on_pong(void *data, const redisReply *reply)
{
    if (!reply || link_state.up)
        return;
    link_state.up = 1;
    link_state.fresh = 0;
    link_state.backoff = 0;
    wake(&link_state.timer, TICK_MS);
    if (link_state.turned)
        link_state.turned(true);
}

static bool ping(ngx_msec_t timeout)
{
    const char *argv[] = {"PING"};
    return send_call(timeout, on_pong, NULL, NULL, 1, argv, NULL) == NGX_OK;
}

static void on_timer(ngx_event_t *ev)
{
    ngx_msec_t next = TICK_MS;
    bool silent = link_state.mute && ngx_current_msec - link_state.heard > SILENCE_MS;
    if (link_state.conn.ac && link_state.up && !link_state.broken && !silent) {
        (void)ping(PING_MS);
    } else if (link_state.conn.ac || link_state.broken) {
        drop_link();
        next = link_state.backoff = ngx_min(ngx_max(link_state.backoff * 2, BACKOFF_MIN_MS), BACKOFF_MAX_MS);
    } else if (ngx_http_api_redis_open(&link_state.conn, link_state.amcf) == NGX_OK && ping(HANDSHAKE_MS)) {
        next = HANDSHAKE_MS;
    } else {
        next = 1; /* to be dropped */
        link_state.broken = 1;
    }
    wake(ev, next);
}

void ngx_http_api_redis_start(ngx_http_api_main_conf_t *amcf, void (*turned)(bool up))
{
    static ngx_connection_t dummy = {.fd = (ngx_socket_t)-1}; /* the timer's debug log asks for a descriptor */
    link_state.amcf = amcf;
    link_state.turned = turned;
    link_state.conn.lost = break_link;
    ngx_queue_init(&link_state.calls);
    link_state.timer.handler = on_timer;
    link_state.timer.data = &dummy;
    link_state.timer.log = ngx_cycle->log;
    link_state.timer.cancelable = 1; /* a worker that is leaving does not wait for it */
    link_state.fresh = 1;
    on_timer(&link_state.timer);
}

void ngx_http_api_redis_stop(void)
{
    if (!link_state.amcf)
        return;
    link_state.stopping = 1;
    if (link_state.timer.timer_set)
        ngx_del_timer(&link_state.timer);
    drop_link();
    link_state.amcf = NULL;
}
