/*
 * The sync of worker 0: hears of changes, and keeps the shared state up to date.
 *
 * Changes come by a connection that subscribes, which stands only while the worker's link does. A timer reads the whole
 * state after every (re)subscription and every 30 s, asks for the services' health, and writes the state file.
 */
#include "ngx_http_api_redis.h"

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

enum {
    TICK_MS = 1000,
    QUICK_TICK_MS = 200, /* while something is missing: a start should not wait for us */
    ANSWER_MS = 5000,    /* an answer that takes longer will not come */
    RESYNC_MS = 30000,
    DELTA_DEPTH = 4,
    STATE_DEPTH = 8,
    GONE_S = 60, /* so long it is remembered that a key has gone: until a snapshot cannot have it any more */
};

static const int64_t FAR_AWAY = INT64_C(253402300799); /* the end of the year 9999 */

static struct {
    ngx_http_api_main_conf_t *amcf;
    ngx_http_api_redis_connection_t subscription;
    ngx_event_t timer;
    ngx_msec_t asked, resynced; /* when the subscription was asked for, when the last resync began */
    ngx_uint_t waiting;         /* answers under way */
    uint64_t stamp;             /* of the resync under way */
    int64_t pinged;             /* when the health was asked for (monotonic, us); 0: it has been answered */
    int64_t save_again;         /* not before (monotonic, us) */
    unsigned lost : 1;          /* the subscription; to be closed by the timer */
    unsigned subscribed : 1;
    unsigned resync_due : 1;
    unsigned whole : 1;  /* the resync under way has found roles: this Redis holds the state */
    unsigned full : 1;   /* something of it found no room */
    unsigned logged : 1; /* one line when it goes, one when it comes back */
} sync_state;

static ngx_http_api_zone_t *state_zone(void)
{
    return &sync_state.amcf->zones[NGX_HTTP_API_ZONE_STATE];
}

/* The timer acts on what has happened, soon. */
static void wake(void)
{
    if (sync_state.timer.timer_set)
        ngx_del_timer(&sync_state.timer);
    ngx_add_timer(&sync_state.timer, 1);
}

static void on_lost(void)
{
    sync_state.lost = 1;
    wake();
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
        dropped("an entry", rc == NGX_ERROR ? "there is no room: enlarge \"api_zone state\"" : "it makes no sense");
    if (rc == NGX_ERROR) { /* whose session has ended is not known any more */
        sync_state.full = 1;
        ngx_http_api_state_set_ready(state_zone(), false);
    }
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

/*
 * {"keyId","userId","roles","tier","scopes"} as the text that the state keeps. No scopes: all that the owner may do;
 * but scopes that are no list, or an end that is no time, make no key at all.
 */
static const char *join_key(struct st_arena *a, const json_t *key)
{
    const json_t *scopes = json_object_get(key, "scopes"), *until = json_object_get(key, "until");
    if ((scopes && !json_is_array(scopes)) || (until && st_json_int(key, "until", 0) <= 0))
        return NULL;
    const char *parts[] = {st_json_str(key, "keyId", ""), st_json_str(key, "userId", ""),
                           join_roles(a, json_object_get(key, "roles")), st_json_str(key, "tier", ""),
                           scopes ? join_roles(a, scopes) : "*:*"};
    for (size_t i = 0; i < ST_COUNT(parts); i++)
        if (!parts[i] || strchr(parts[i], '|') || (i < 2 && (!*parts[i] || strlen(parts[i]) > NGX_HTTP_API_ID_MAX)))
            return NULL;
    return st_printf(a, "%s|%s|%s|%s|%s", parts[0], parts[1], parts[2], parts[3], parts[4]);
}

static bool put_json(enum ngx_http_api_kind_e kind, const char *key, size_t key_len, const json_t *value,
                     struct st_arena *a, uint64_t stamp)
{
    int64_t until = st_json_int(value, "until", kind == NGX_HTTP_API_KEYS ? FAR_AWAY : 0);
    const char *text = kind == NGX_HTTP_API_USERS   ? join_roles(a, json_object_get(value, "roles"))
                       : kind == NGX_HTTP_API_TIERS ? st_json_str(value, "tier", "")
                       : kind == NGX_HTTP_API_KEYS  ? join_key(a, value)
                                                    : "";
    return put(kind, key, key_len, text, until, stamp);
}

static void ask(ngx_http_api_redis_pt *answer, void *data, int argc, const char **argv);
static void resync(void);

/* Every answer passes here first. NULL: nothing usable came. */
static const redisReply *heard(const redisReply *r, int type)
{
    ngx_http_api_state_t *s = ngx_http_api_state(state_zone());
    sync_state.waiting--;
    if (!r) {
        s->redis_up = 0;
        sync_state.resync_due = 1;
        return NULL;
    }
    s->heard = (ngx_atomic_uint_t)ngx_time();
    s->redis_up = 1;
    if (r->type == type || r->type == REDIS_REPLY_NIL)
        return r;
    dropped("an answer", "it has another type than expected");
    sync_state.resync_due = 1;
    return NULL;
}

static void on_roles(void *data, const redisReply *reply)
{
    const redisReply *r = heard(reply, REDIS_REPLY_STRING);
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
        sync_state.whole = 1;
    st_arena_release(&a);
}

static bool is_text(const redisReply *r)
{
    return r->type == REDIS_REPLY_STRING;
}

/* HGETALL: user, JSON, user, JSON … The roles were asked for before: without them this Redis has lost its state. */
static void on_hash(void *data, const redisReply *reply)
{
    enum ngx_http_api_kind_e kind = (enum ngx_http_api_kind_e)(uintptr_t)data;
    const redisReply *r = heard(reply, REDIS_REPLY_ARRAY);
    bool complete = true;
    if (!r || !sync_state.whole)
        return;
    for (size_t i = 0; complete && i + 1 < r->elements; i += 2) {
        const redisReply *key = r->element[i], *value = r->element[i + 1];
        struct st_arena a = {0};
        json_t *doc;
        const char *why = NULL;
        complete = is_text(key) && is_text(value);
        if (!complete || st_json_parse(&a, value->str, (size_t)value->len, DELTA_DEPTH, &doc, &why) < 0)
            dropped("an override", why ? why : "it is not text");
        else
            complete = put_json(kind, key->str, (size_t)key->len, doc, &a, sync_state.stamp);
        st_arena_release(&a);
    }
    if (complete)
        ngx_http_api_state_sweep(state_zone(), kind, sync_state.stamp);
}

/* The last answer of a resync. A session that was revoked stays so until its last token ends: nothing is swept. */
static void on_revoked(void *data, const redisReply *reply)
{
    const redisReply *r = heard(reply, REDIS_REPLY_ARRAY);
    double until;
    if (!r)
        return;
    for (size_t i = 0; i + 1 < r->elements; i += 2) {
        const redisReply *key = r->element[i], *score = r->element[i + 1];
        if (!is_text(key) || !is_text(score) || !st_parse_double(score->str, &until) ||
            !put(NGX_HTTP_API_REVOKED, key->str, (size_t)key->len, "", (int64_t)ngx_min(until, 1e15) + 1,
                 sync_state.stamp))
            break;
    }
    if (!sync_state.whole) { /* empty, or being filled: look again */
        sync_state.resync_due = 1;
        return;
    }
    if (!sync_state.full)
        ngx_http_api_state_set_ready(state_zone(), true);
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

static void on_health(void *data, const redisReply *reply)
{
    const struct st_api *api = sync_state.amcf->api;
    const redisReply *r = heard(reply, REDIS_REPLY_ARRAY);
    struct st_arena a = {0};
    if (r)
        ngx_http_api_state(state_zone())->round_trip_us = (ngx_atomic_uint_t)(st_mono() - sync_state.pinged);
    sync_state.pinged = 0;
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
        {"key", "hash", NGX_HTTP_API_KEYS},
    };
    const char *kind = st_json_str(delta, "kind", "");
    if (st_streq(kind, "roles")) {
        const char *argv[] = {"GET", "st:edge:roles"};
        ask(on_roles, NULL, 2, argv);
        return;
    }
    if (st_streq(kind, "breaker")) {
        if (!st_streq(st_json_str(delta, "node", ""), ngx_http_api_state(state_zone())->node))
            ngx_http_api_breaker_told(sync_state.amcf, st_json_str(delta, "service", ""),
                                      st_json_str(delta, "state", ""), st_json_int(delta, "until", 0));
        return;
    }
    if (st_streq(kind, "key-gone")) {
        const char *hash = st_json_str(delta, "hash", "");
        (void)put(NGX_HTTP_API_KEYS, hash, strlen(hash), "-", ngx_time() + GONE_S, 0);
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
        sync_state.subscribed = sync_state.resync_due = 1;
        wake();
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

static void ask(ngx_http_api_redis_pt *answer, void *data, int argc, const char **argv)
{
    sync_state.waiting++;
    if (ngx_http_api_redis_call(ANSWER_MS, answer, data, argc, argv, NULL) != NGX_OK)
        answer(data, NULL);
}

/*
 * Reads everything. The subscription stands already: what changes meanwhile arrives as a delta, and counts as newer
 * than the snapshot.
 */
static void resync(void)
{
    struct st_arena a = {0};
    const char *now = st_i64(&a, ngx_time());
    const char *roles[] = {"GET", "st:edge:roles"}, *users[] = {"HGETALL", "st:edge:users"};
    const char *tiers[] = {"HGETALL", "st:edge:tiers"}, *keys[] = {"HGETALL", "st:edge:keys"};
    const char *revoked[] = {"ZRANGEBYSCORE", "st:edge:revoked", now, "+inf", "WITHSCORES"};
    if (sync_state.waiting)
        return;
    sync_state.stamp = ngx_http_api_state_stamp(state_zone());
    sync_state.resynced = ngx_current_msec;
    sync_state.resync_due = sync_state.whole = sync_state.full = 0;
    ask(on_roles, NULL, 2, roles);
    ask(on_hash, (void *)(uintptr_t)NGX_HTTP_API_USERS, 2, users);
    ask(on_hash, (void *)(uintptr_t)NGX_HTTP_API_TIERS, 2, tiers);
    ask(on_hash, (void *)(uintptr_t)NGX_HTTP_API_KEYS, 2, keys);
    ask(on_revoked, NULL, 5, revoked);
    st_arena_release(&a);
}

static void ask_health(void)
{
    const struct st_api *api = sync_state.amcf->api;
    struct st_arena a = {0};
    const char *argv[NGX_HTTP_API_SERVICES + 1] = {"MGET"};
    if (!api->n_services)
        return;
    for (int i = 0; i < api->n_services; i++)
        argv[i + 1] = st_printf(&a, "st:health:%s", api->services[i]);
    sync_state.pinged = sync_state.pinged ? sync_state.pinged : st_mono();
    ask(on_health, NULL, api->n_services + 1, argv);
    st_arena_release(&a);
}

/* --- the timer --- */

static void unsubscribe(void)
{
    ngx_http_api_redis_close(&sync_state.subscription);
    sync_state.subscribed = sync_state.lost = 0;
}

/* Up or down: told to /health, and once to the log. */
static void turned(bool up)
{
    if (!up)
        ngx_http_api_state(state_zone())->redis_up = 0;
    if (up == !sync_state.logged)
        return;
    sync_state.logged = !up;
    ngx_uint_t level = up ? NGX_LOG_NOTICE : NGX_LOG_ERR;
    ngx_log_error(level, ngx_cycle->log, 0, "api: Redis at %V %s", &sync_state.amcf->redis,
                  up ? "is back" : "does not answer; the last known state goes on");
}

static void subscribe(void)
{
    if (ngx_http_api_redis_open(&sync_state.subscription, sync_state.amcf) == NGX_OK &&
        redisAsyncCommand(sync_state.subscription.ac, on_message, NULL, "SUBSCRIBE st:edge") == REDIS_OK)
        sync_state.asked = ngx_current_msec;
    else
        unsubscribe();
}

/* Everything is known and well: no need to hurry. */
static bool settled(void)
{
    ngx_http_api_state_t *s = ngx_http_api_state(state_zone());
    if (!s->ready || s->n_health < (ngx_uint_t)sync_state.amcf->api->n_services)
        return false;
    for (ngx_uint_t i = 0; i < s->n_health; i++)
        if (s->health[i].status != NGX_HTTP_API_HEALTHY)
            return false;
    return true;
}

/* At most a hundredth of this worker's time goes into writing the file. */
static void save_state(void)
{
    const ngx_http_api_main_conf_t *amcf = sync_state.amcf;
    struct st_arena a = {0};
    int64_t from = st_mono();
    if (!amcf->state_file.len || from < sync_state.save_again)
        return;
    const char *why = ngx_http_api_state_save(state_zone(), (const char *)amcf->state_file.data, &a);
    if (why)
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "api: the state was not kept: %s", why);
    sync_state.save_again = from + (st_mono() - from) * 100;
    st_arena_release(&a);
}

static void on_timer(ngx_event_t *ev)
{
    ngx_msec_t next = QUICK_TICK_MS;
    bool late = sync_state.subscription.ac && !sync_state.subscribed && ngx_current_msec - sync_state.asked > ANSWER_MS;
    if (sync_state.lost || late)
        unsubscribe();
    if (!sync_state.subscription.ac) {
        subscribe();
    } else if (sync_state.subscribed) {
        turned(ngx_http_api_redis_up());
        if (sync_state.resync_due || !ngx_http_api_state(state_zone())->ready ||
            ngx_current_msec - sync_state.resynced > RESYNC_MS)
            resync();
        ask_health();
        save_state();
        if (settled())
            next = TICK_MS;
    }
    if (!ev->timer_set)
        ngx_add_timer(ev, next);
}

/* With the link goes the subscription: whatever made the one fail, the other may have missed something. */
static void on_turned(bool up)
{
    if (up) {
        wake();
        return;
    }
    unsubscribe();
    if (sync_state.timer.timer_set)
        ngx_del_timer(&sync_state.timer);
    turned(false);
}

void ngx_http_api_sync_start(ngx_http_api_main_conf_t *amcf)
{
    static ngx_connection_t dummy = {.fd = (ngx_socket_t)-1}; /* the timer's debug log asks for a descriptor */
    sync_state.amcf = amcf;
    sync_state.subscription.lost = on_lost;
    sync_state.timer.handler = on_timer;
    sync_state.timer.data = &dummy;
    sync_state.timer.log = ngx_cycle->log;
    sync_state.timer.cancelable = 1; /* a worker that is leaving does not wait for it */
    ngx_http_api_redis_start(amcf, on_turned);
}

void ngx_http_api_sync_stop(void)
{
    if (!sync_state.amcf)
        return;
    unsubscribe();
    if (sync_state.timer.timer_set)
        ngx_del_timer(&sync_state.timer);
    sync_state.save_again = 0;
    save_state();
    sync_state.amcf = NULL;
}
