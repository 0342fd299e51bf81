/*
 * The Redis link: one worker hears of changes and keeps the shared state up to date.
 *
 * Two connections, one for commands and one that subscribes; they live and die together. A timer drives everything:
 * it connects, with backoff, reads the whole state after every (re)connection and every 30 s, asks for the services'
 * health, writes the state file, and drops the link when answers stay away. Nothing is freed inside a callback of
 * hiredis: callbacks leave a mark, the timer acts on it.
 */
#include "ngx_http_api.h"

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

enum {
    TICK_MS = 1000,
    QUICK_TICK_MS = 200, /* while something is missing: a start should not wait for us */
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 2000,
    SILENCE_MS = 5000, /* an answer that takes longer will not come */
    RESYNC_MS = 30000,
    DELTA_DEPTH = 4,
    STATE_DEPTH = 8,
};

typedef struct {
    redisAsyncContext *ac;
    ngx_connection_t *connection;
} endpoint_t;

static struct {
    ngx_http_api_main_conf_t *amcf;
    endpoint_t commands, subscription;
    ngx_event_t timer;
    ngx_msec_t backoff, asked, resynced;
    ngx_uint_t waiting;  /* answers under way */
    uint64_t stamp;      /* of the resync under way */
    int64_t save_again;  /* not before (monotonic, us) */
    unsigned broken : 1; /* to be dropped by the timer */
    unsigned subscribed : 1;
    unsigned resync_due : 1;
    unsigned whole : 1;  /* the resync under way has found roles: this Redis holds the state */
    unsigned logged : 1; /* one line when it goes, one when it comes back */
} link_state;

static ngx_http_api_zone_t *state_zone(void)
{
    return &link_state.amcf->zones[NGX_HTTP_API_ZONE_STATE];
}

static void break_link(void)
{
    link_state.broken = 1;
    ngx_add_timer(&link_state.timer, 1);
}

/* --- hiredis on nginx's event loop --- */

static void on_readable(ngx_event_t *ev)
{
    ngx_connection_t *c = ev->data;
    endpoint_t *e = c->data;
    if (e->ac)
        redisAsyncHandleRead(e->ac);
}

static void on_writable(ngx_event_t *ev)
{
    ngx_connection_t *c = ev->data;
    endpoint_t *e = c->data;
    if (e->ac)
        redisAsyncHandleWrite(e->ac);
}

/* Level-triggered: hiredis reads 16 KiB at a time and comes back for the rest. */
static void set_event(ngx_event_t *ev, ngx_int_t kind, bool on)
{
    if (on && !ev->active) {
        if (ngx_add_event(ev, kind, NGX_LEVEL_EVENT) != NGX_OK)
            break_link();
    } else if (!on && ev->active) {
        ngx_del_event(ev, kind, 0);
    }
}

static void add_read(void *data)
{
    set_event(((endpoint_t *)data)->connection->read, NGX_READ_EVENT, true);
}

static void del_read(void *data)
{
    set_event(((endpoint_t *)data)->connection->read, NGX_READ_EVENT, false);
}

static void add_write(void *data)
{
    set_event(((endpoint_t *)data)->connection->write, NGX_WRITE_EVENT, true);
}

static void del_write(void *data)
{
    set_event(((endpoint_t *)data)->connection->write, NGX_WRITE_EVENT, false);
}

/* hiredis is about to free its context, and closes the descriptor itself. */
static void detach(void *data)
{
    endpoint_t *e = data;
    ngx_connection_t *c = e->connection;
    e->ac = NULL;
    e->connection = NULL;
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
        break_link();
}

static void on_disconnect(const redisAsyncContext *ac, int status)
{
    break_link();
}

static ngx_int_t attach(endpoint_t *e)
{
    redisAsyncContext *ac = redisAsyncConnectUnix((const char *)link_state.amcf->redis.data);
    ngx_connection_t *c = ac && !ac->err ? ngx_get_connection(ac->c.fd, ngx_cycle->log) : NULL;
    if (!c) {
        if (ac)
            redisAsyncFree(ac);
        return NGX_ERROR;
    }
    c->data = e;
    c->log = ngx_cycle->log;
    c->read->handler = on_readable;
    c->write->handler = on_writable;
    c->read->log = c->write->log = ngx_cycle->log;
    e->ac = ac;
    e->connection = c;
    ac->ev.data = e;
    ac->ev.addRead = add_read;
    ac->ev.delRead = del_read;
    ac->ev.addWrite = add_write;
    ac->ev.delWrite = del_write;
    ac->ev.cleanup = detach;
    redisAsyncSetConnectCallback(ac, on_connect);
    redisAsyncSetDisconnectCallback(ac, on_disconnect);
    return NGX_OK;
}

/* --- what Redis says --- */

static void dropped(const char *what, const char *why)
{
    ngx_http_api_count(state_zone(), NGX_HTTP_API_N_DROPPED);
    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "api: %s from Redis is left out: %s", what, why);
}

/* False when there is no room: no need to go on. An entry without sense is passed over. */
static bool put(enum ngx_http_api_kind_e kind, const char *key, size_t key_len, const char *value, int64_t until,
                uint64_t stamp)
{
    ngx_str_t k = {key_len, (u_char *)key}, v = {value ? strlen(value) : 0, (u_char *)value};
    ngx_int_t rc = value ? ngx_http_api_state_put(state_zone(), kind, &k, &v, until, stamp) : NGX_DECLINED;
    if (rc != NGX_OK)
        dropped("an entry", rc == NGX_ERROR ? "there is no room" : "it makes no sense");
    return rc != NGX_ERROR;
}

/* A JSON array of role names as the text that the state keeps; NULL when it is longer than the state takes. */
static const char *join_roles(struct st_arena *a, const json_t *list)
{
    struct st_buf b = ST_BUF(NGX_HTTP_API_ROLES_MAX);
    size_t i;
    json_t *one;
    json_array_foreach (list, i, one)
        if (json_is_string(one) && !strchr(json_string_value(one), ','))
            st_buf_printf(&b, "%s%s", b.len ? "," : "", json_string_value(one));
    const char *all = b.failed ? NULL : st_strndup(a, b.len ? b.data : "", b.len);
    st_buf_release(&b);
    return all;
}

static bool put_json(enum ngx_http_api_kind_e kind, const char *key, size_t key_len, const json_t *value,
                     struct st_arena *a, uint64_t stamp)
{
    int64_t until = st_json_int(value, "until", 0);
    const char *text = kind == NGX_HTTP_API_USERS   ? join_roles(a, json_object_get(value, "roles"))
                       : kind == NGX_HTTP_API_TIERS ? st_json_str(value, "tier", "")
                                                    : "";
    return put(kind, key, key_len, text, until, stamp);
}

static void ask(void);
static void resync(void);

/* Every answer passes here first. NULL: nothing usable came. */
static redisReply *answer(void *reply, int type)
{
    redisReply *r = reply;
    link_state.waiting--;
    link_state.asked = ngx_current_msec;
    if (!r) /* the link is going down */
        return NULL;
    ngx_http_api_state_t *s = ngx_http_api_state(state_zone());
    s->heard = (ngx_atomic_uint_t)ngx_time();
    s->redis_up = 1;
    if (r->type == type || r->type == REDIS_REPLY_NIL)
        return r;
    /* LOADING after a restart, OOM: it will pass. */
    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0, "api: Redis answers: %s",
                  r->type == REDIS_REPLY_ERROR ? r->str : "another type than expected");
    link_state.resync_due = 1;
    return NULL;
}

static void on_roles(redisAsyncContext *ac, void *reply, void *privdata)
{
    const redisReply *r = answer(reply, REDIS_REPLY_STRING);
    struct st_arena a = {0};
    json_t *doc;
    const char *why = NULL;
    if (!r || r->type == REDIS_REPLY_NIL)
        return;
    if (st_json_parse(&a, r->str, (size_t)r->len, STATE_DEPTH, &doc, &why) < 0)
        dropped("st:edge:roles", why);
    else if (!json_is_object(json_object_get(doc, "roles")))
        dropped("st:edge:roles", "it has no member \"roles\"");
    else if (ngx_http_api_state_set_roles(state_zone(), r->str, (size_t)r->len) != NGX_OK)
        dropped("st:edge:roles", "there is no room");
    else
        link_state.whole = 1;
    st_arena_release(&a);
}

/* HGETALL: user, JSON, user, JSON … The roles were asked for before: without them this Redis has lost its state. */
static void on_hash(redisAsyncContext *ac, void *reply, void *privdata)
{
    enum ngx_http_api_kind_e kind = (enum ngx_http_api_kind_e)(uintptr_t)privdata;
    const redisReply *r = answer(reply, REDIS_REPLY_ARRAY);
    bool complete = true;
    if (!r || !link_state.whole)
        return;
    for (size_t i = 0; complete && i + 1 < r->elements; i += 2) {
        const redisReply *key = r->element[i], *value = r->element[i + 1];
        struct st_arena a = {0};
        json_t *doc;
        const char *why = NULL;
        if (st_json_parse(&a, value->str, (size_t)value->len, DELTA_DEPTH, &doc, &why) < 0)
            dropped("an override", why);
        else
            complete = put_json(kind, key->str, (size_t)key->len, doc, &a, link_state.stamp);
        st_arena_release(&a);
    }
    if (complete)
        ngx_http_api_state_sweep(state_zone(), kind, link_state.stamp);
}

/* The last answer of a resync. A session that was revoked stays so until its last token ends: nothing is swept. */
static void on_revoked(redisAsyncContext *ac, void *reply, void *privdata)
{
    const redisReply *r = answer(reply, REDIS_REPLY_ARRAY);
    double until;
    if (!r)
        return;
    for (size_t i = 0; i + 1 < r->elements; i += 2) {
        const redisReply *key = r->element[i], *score = r->element[i + 1];
        if (!st_parse_double(score->str, &until) || !put(NGX_HTTP_API_REVOKED, key->str, (size_t)key->len, "",
                                                         (int64_t)ngx_min(until, 1e15) + 1, link_state.stamp))
            break;
    }
    if (!link_state.whole) { /* empty, or being filled: look again */
        link_state.resync_due = 1;
        return;
    }
    ngx_http_api_state(state_zone())->synced = (ngx_atomic_uint_t)ngx_time();
    ngx_http_api_count(state_zone(), NGX_HTTP_API_N_RESYNCS);
}

static enum ngx_http_api_health_e health_of(const json_t *object, const char *name)
{
    const char *text = st_json_str(object, name, "healthy");
    return st_streq(text, "healthy")    ? NGX_HTTP_API_HEALTHY
           : st_streq(text, "degraded") ? NGX_HTTP_API_DEGRADED
                                        : NGX_HTTP_API_UNHEALTHY;
}

static void set_health(const char *service, const redisReply *r, struct st_arena *a)
{
    ngx_http_api_health_t h = {
        .status = NGX_HTTP_API_UNHEALTHY, .database = NGX_HTTP_API_HEALTHY, .bus = NGX_HTTP_API_HEALTHY};
    json_t *doc;
    const char *why;
    ngx_cpystrn((u_char *)h.service, (u_char *)service, sizeof(h.service));
    if (r->type == REDIS_REPLY_STRING && st_json_parse(a, r->str, (size_t)r->len, STATE_DEPTH, &doc, &why) == 0) {
        const json_t *dependencies = json_object_get(doc, "dependencies");
        h.status = health_of(doc, "status");
        h.database = health_of(dependencies, "database");
        h.bus = health_of(dependencies, "eventBus");
    }
    ngx_http_api_state_set_health(state_zone(), &h);
}

static void on_health(redisAsyncContext *ac, void *reply, void *privdata)
{
    const struct st_api *api = link_state.amcf->api;
    const redisReply *r = answer(reply, REDIS_REPLY_ARRAY);
    struct st_arena a = {0};
    for (int i = 0; r && i < api->n_services && (size_t)i < r->elements; i++)
        set_health(api->services[i], r->element[i], &a);
    st_arena_release(&a);
}

/* {"kind":"session","sessionId":…,"until":…} and the like. */
static void apply_delta(const json_t *delta, struct st_arena *a)
{
    static const struct {
        const char *kind, *key;
        enum ngx_http_api_kind_e table;
    } kinds[] = {
        {"user", "userId", NGX_HTTP_API_USERS},
        {"tier", "userId", NGX_HTTP_API_TIERS},
        {"session", "sessionId", NGX_HTTP_API_REVOKED},
    };
    const char *kind = st_json_str(delta, "kind", "");
    if (st_streq(kind, "roles")) {
        if (link_state.commands.ac &&
            redisAsyncCommand(link_state.commands.ac, on_roles, NULL, "GET st:edge:roles") == REDIS_OK)
            ask();
        return;
    }
    for (size_t i = 0; i < ST_COUNT(kinds); i++) {
        if (!st_streq(kind, kinds[i].kind))
            continue;
        const char *key = st_json_str(delta, kinds[i].key, "");
        (void)put_json(kinds[i].table, key, strlen(key), delta, a, 0);
        return;
    }
    dropped("a change", "of an unknown kind");
}

static void on_message(redisAsyncContext *ac, void *reply, void *privdata)
{
    const redisReply *r = reply;
    if (!r || r->type != REDIS_REPLY_ARRAY || r->elements != 3)
        return;
    if (strcmp(r->element[0]->str, "subscribe") == 0) {
        link_state.subscribed = 1;
        link_state.waiting--;
        resync();
        return;
    }
    struct st_arena a = {0};
    json_t *delta;
    const char *why = NULL;
    ngx_http_api_count(state_zone(), NGX_HTTP_API_N_DELTAS);
    if (r->element[2]->type == REDIS_REPLY_STRING &&
        st_json_parse(&a, r->element[2]->str, (size_t)r->element[2]->len, DELTA_DEPTH, &delta, &why) == 0)
        apply_delta(delta, &a);
    else
        dropped("a change", why ? why : "it is not text");
    st_arena_release(&a);
}

/* --- asking --- */

/* Another answer is awaited. */
static void ask(void)
{
    if (!link_state.waiting++)
        link_state.asked = ngx_current_msec;
}

/*
 * Reads everything. The subscription stands already: what changes meanwhile arrives as a delta, and counts as newer
 * than the snapshot.
 */
static void resync(void)
{
    redisAsyncContext *ac = link_state.commands.ac;
    if (!ac || !link_state.subscribed || link_state.waiting) {
        link_state.resync_due = 1;
        return;
    }
    link_state.stamp = ngx_http_api_state_stamp(state_zone());
    link_state.resynced = ngx_current_msec;
    link_state.resync_due = link_state.whole = 0;
    for (int i = 0; i < 4; i++)
        ask();
    int failed = redisAsyncCommand(ac, on_roles, NULL, "GET st:edge:roles") |
                 redisAsyncCommand(ac, on_hash, (void *)(uintptr_t)NGX_HTTP_API_USERS, "HGETALL st:edge:users") |
                 redisAsyncCommand(ac, on_hash, (void *)(uintptr_t)NGX_HTTP_API_TIERS, "HGETALL st:edge:tiers") |
                 redisAsyncCommand(ac, on_revoked, NULL, "ZRANGEBYSCORE st:edge:revoked %lld +inf WITHSCORES",
                                   (long long)ngx_time());
    if (failed)
        break_link();
}

static void ask_health(void)
{
    const struct st_api *api = link_state.amcf->api;
    struct st_arena a = {0};
    const char *argv[NGX_HTTP_API_SERVICES + 1] = {"MGET"};
    if (!link_state.commands.ac || !api->n_services)
        return;
    for (int i = 0; i < api->n_services; i++)
        argv[i + 1] = st_printf(&a, "st:health:%s", api->services[i]);
    ask();
    if (redisAsyncCommandArgv(link_state.commands.ac, on_health, NULL, api->n_services + 1, argv, NULL) != REDIS_OK)
        break_link();
    st_arena_release(&a);
}

/* --- the timer --- */

static void drop_link(void)
{
    link_state.subscribed = 0;
    if (link_state.commands.ac)
        redisAsyncFree(link_state.commands.ac);
    if (link_state.subscription.ac)
        redisAsyncFree(link_state.subscription.ac);
    link_state.waiting = 0;
    link_state.broken = 0;
}

/* Up or down: told to /health, and once to the log. */
static void turned(bool up)
{
    if (!up)
        ngx_http_api_state(state_zone())->redis_up = 0;
    if (up == !link_state.logged)
        return;
    link_state.logged = !up;
    ngx_uint_t level = up ? NGX_LOG_NOTICE : NGX_LOG_ERR;
    ngx_log_error(level, ngx_cycle->log, 0, "api: Redis at %V %s", &link_state.amcf->redis,
                  up ? "is back" : "does not answer; the last known state goes on");
}

static void connect_link(void)
{
    bool ok = attach(&link_state.commands) == NGX_OK && attach(&link_state.subscription) == NGX_OK &&
              redisAsyncCommand(link_state.subscription.ac, on_message, NULL, "SUBSCRIBE st:edge") == REDIS_OK;
    link_state.backoff = ngx_min(ngx_max(link_state.backoff * 2, BACKOFF_MIN_MS), BACKOFF_MAX_MS);
    if (ok) {
        ask();
    } else {
        drop_link();
        turned(false);
    }
}

/* Everything is known and well: no need to hurry. */
static bool settled(void)
{
    ngx_http_api_state_t *s = ngx_http_api_state(state_zone());
    if (!s->ready || s->n_health < (ngx_uint_t)link_state.amcf->api->n_services)
        return false;
    for (ngx_uint_t i = 0; i < s->n_health; i++)
        if (s->health[i].status != NGX_HTTP_API_HEALTHY)
            return false;
    return true;
}

/* At most a hundredth of this worker's time goes into writing the file. */
static void save_state(void)
{
    const ngx_http_api_main_conf_t *amcf = link_state.amcf;
    struct st_arena a = {0};
    int64_t from = st_mono();
    if (!amcf->state_file.len || from < link_state.save_again)
        return;
    const char *why = ngx_http_api_state_save(state_zone(), (const char *)amcf->state_file.data, &a);
    if (why)
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "api: the state was not kept: %s", why);
    link_state.save_again = from + (st_mono() - from) * 100;
    st_arena_release(&a);
}

static void on_timer(ngx_event_t *ev)
{
    ngx_msec_t next = TICK_MS;
    bool silent = link_state.waiting && ngx_current_msec - link_state.asked > SILENCE_MS;
    if (link_state.broken || silent) {
        drop_link();
        turned(false);
    }
    if (!link_state.commands.ac) {
        connect_link();
        next = link_state.backoff;
    } else if (link_state.subscribed) {
        link_state.backoff = 0;
        turned(true);
        if (link_state.resync_due || !ngx_http_api_state(state_zone())->ready ||
            ngx_current_msec - link_state.resynced > RESYNC_MS)
            resync();
        ask_health();
        save_state();
        if (!settled())
            next = QUICK_TICK_MS;
    }
    if (!link_state.broken)
        ngx_add_timer(ev, next);
}

void ngx_http_api_redis_start(ngx_http_api_main_conf_t *amcf)
{
    static ngx_connection_t dummy = {.fd = (ngx_socket_t)-1}; /* the timer's debug log asks for a descriptor */
    link_state.amcf = amcf;
    link_state.timer.handler = on_timer;
    link_state.timer.data = &dummy;
    link_state.timer.log = ngx_cycle->log;
    link_state.timer.cancelable = 1; /* a worker that is leaving does not wait for it */
    ngx_add_timer(&link_state.timer, 1);
}

void ngx_http_api_redis_stop(void)
{
    if (!link_state.amcf)
        return;
    if (link_state.timer.timer_set)
        ngx_del_timer(&link_state.timer);
    link_state.save_again = 0;
    save_state();
    drop_link();
    link_state.amcf = NULL;
}
