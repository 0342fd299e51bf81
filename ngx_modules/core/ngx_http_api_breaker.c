/* Circuit breakers: when a service is spared, and when it is tried again. */
#include "ngx_http_api_redis.h"

enum {
    TELL_MS = 1000,
    RETRY_HALF_OPEN_S = 1,
    PROBES_MAX = 100,
    WINDOW_MIN_MS = 100,
};

const char *const ngx_http_api_breaker_names[] = {
    [NGX_HTTP_API_CLOSED] = "closed", [NGX_HTTP_API_HALF_OPEN] = "half-open", [NGX_HTTP_API_OPEN] = "open"};

static const ngx_http_api_zone_t *zone(void)
{
    const ngx_http_api_main_conf_t *amcf = ngx_http_cycle_get_module_main_conf(ngx_cycle, ngx_http_api_core_module);
    return &amcf->zones[NGX_HTTP_API_ZONE_STATE];
}

/* --- the window --- */

static ngx_atomic_uint_t epoch_of(const ngx_http_api_breaker_conf_t *conf)
{
    return ngx_current_msec / (conf->window / NGX_HTTP_API_WINDOW);
}

static void count(const ngx_http_api_service_t *s, bool failed)
{
    ngx_http_api_breaker_t *b = s->breaker;
    ngx_atomic_uint_t epoch = epoch_of(s->conf);
    ngx_http_api_window_t *cell = &b->cells[ngx_worker % b->n_cells];
    typeof(cell->parts[0]) *part = &cell->parts[epoch % NGX_HTTP_API_WINDOW];
    if (part->epoch != epoch) {
        part->epoch = epoch;
        part->total = part->failed = 0;
    }
    (void)ngx_atomic_fetch_add(&part->total, 1);
    if (failed)
        (void)ngx_atomic_fetch_add(&part->failed, 1);
}

static void sum(const ngx_http_api_service_t *s, uint64_t *ret_total, uint64_t *ret_failed)
{
    const ngx_http_api_breaker_t *b = s->breaker;
    ngx_atomic_uint_t epoch = epoch_of(s->conf);
    *ret_total = *ret_failed = 0;
    for (ngx_uint_t n = 0; n < b->n_cells; n++) {
        for (int i = 0; i < NGX_HTTP_API_WINDOW; i++) {
            if (epoch - b->cells[n].parts[i].epoch >= NGX_HTTP_API_WINDOW)
                continue;
            *ret_total += b->cells[n].parts[i].total;
            *ret_failed += b->cells[n].parts[i].failed;
        }
    }
}

/* --- changes --- */

static void on_told(void *data, const struct redisReply *reply)
{
}

/* To the other nodes. What cannot be told they find out themselves. */
static void tell(const ngx_http_api_service_t *s, enum ngx_http_api_breaker_state_e state)
{
    const ngx_time_t *now = ngx_timeofday();
    int64_t until = (int64_t)now->sec * 1000 + (int64_t)now->msec + (int64_t)s->conf->open;
    struct st_arena a = {0};
    const char *argv[] = {
        "PUBLISH", "st:edge",
        st_printf(&a, "{\"kind\":\"breaker\",\"service\":\"%s\",\"state\":\"%s\",\"until\":%lld,\"node\":\"%s\"}",
                  s->name, ngx_http_api_breaker_names[state], (long long)until, ngx_http_api_state(zone())->node)};
    (void)ngx_http_api_redis_call(TELL_MS, on_told, NULL, ST_COUNT(argv), argv, NULL);
    st_arena_release(&a);
}

static void turn_locked(const ngx_http_api_service_t *s, enum ngx_http_api_breaker_state_e state, ngx_msec_t open)
{
    ngx_http_api_breaker_t *b = s->breaker;
    b->until = ngx_current_msec + open;
    b->flying = b->successes = 0;
    if (state == NGX_HTTP_API_OPEN)
        b->opened++;
    if (state == NGX_HTTP_API_CLOSED)
        ngx_memzero(b->cells, b->n_cells * sizeof(b->cells[0]));
    b->state = state;
}

static void log_turn(const ngx_http_api_service_t *s, enum ngx_http_api_breaker_state_e state, const char *why)
{
    ngx_uint_t level = state == NGX_HTTP_API_OPEN ? NGX_LOG_ERR : NGX_LOG_WARN;
    ngx_log_error(level, ngx_cycle->log, 0, "api: the breaker of %s is %s: %s", s->name,
                  ngx_http_api_breaker_names[state], why);
}

/* --- the steps --- */

static ngx_int_t spare(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx, ngx_msec_int_t left)
{
    int64_t seconds = left > 0 ? (left + 999) / 1000 : RETRY_HALF_OPEN_S;
    ctx->cause = NGX_HTTP_API_BY_BREAKER;
    ngx_http_api_retry_after(r, seconds);
    return ngx_http_api_refuse(r, ST_E_UNAVAILABLE, NULL, "The service behind this operation is having trouble.");
}

ngx_int_t ngx_http_api_breaker_step(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    return ngx_http_api_migrates(r, ctx) ? NGX_OK : ngx_http_api_breaker_check(r, ctx);
}

ngx_int_t ngx_http_api_breaker_check(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    const ngx_http_api_service_t *s = ctx->operation->service;
    const ngx_http_api_breaker_t *b = s->breaker;
    if (!s->conf->share)
        return NGX_OK;
    ctx->breaker = ngx_http_api_breaker_names[b->state];
    ngx_msec_int_t left = (ngx_msec_int_t)(b->until - ngx_current_msec);
    /* Where an answer may be kept, the cache is asked first: the probe step refuses what it does not have. */
    return b->state == NGX_HTTP_API_OPEN && left > 0 && !ctx->match.operation->cache ? spare(r, ctx, left) : NGX_OK;
}

ngx_int_t ngx_http_api_probe_step(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    const ngx_http_api_service_t *s = ctx->operation->service;
    ngx_http_api_breaker_t *b = s->breaker;
    bool passes = true, turned = false;
    if (!s->conf->share || b->state == NGX_HTTP_API_CLOSED || ctx->probing || ctx->upstream.len)
        return NGX_OK;
    ngx_shmtx_lock(&zone()->shpool->mutex);
    ngx_msec_int_t left = (ngx_msec_int_t)(b->until - ngx_current_msec);
    if (b->state == NGX_HTTP_API_OPEN && left <= 0) {
        turn_locked(s, NGX_HTTP_API_HALF_OPEN, s->conf->open);
        turned = true;
    }
    if (b->state == NGX_HTTP_API_HALF_OPEN) {
        if (left <= 0 && !turned) { /* the probes of this turn were lost, with a worker perhaps */
            b->flying = 0;
            b->until = ngx_current_msec + s->conf->open;
        }
        left = 0;
        passes = b->flying < s->conf->probes;
        ctx->probing = passes;
        b->flying += passes;
    } else {
        passes = b->state == NGX_HTTP_API_CLOSED;
    }
    ctx->breaker = ngx_http_api_breaker_names[b->state];
    ngx_shmtx_unlock(&zone()->shpool->mutex);
    if (turned)
        log_turn(s, NGX_HTTP_API_HALF_OPEN, "it is tried again");
    return passes ? NGX_OK : spare(r, ctx, left);
}

/* --- results --- */

static void failed(const ngx_http_api_service_t *s, bool probing)
{
    ngx_http_api_breaker_t *b = s->breaker;
    struct st_arena a = {0};
    const char *why = NULL;
    uint64_t total, bad;
    count(s, true);
    sum(s, &total, &bad);
    ngx_shmtx_lock(&zone()->shpool->mutex);
    if (b->state == NGX_HTTP_API_HALF_OPEN && probing)
        why = "a probe failed";
    else if (b->state == NGX_HTTP_API_CLOSED && total >= s->conf->min && bad * 100 >= total * s->conf->share)
        why =
            st_printf(&a, "%llu of the last %llu requests failed", (unsigned long long)bad, (unsigned long long)total);
    if (why)
        turn_locked(s, NGX_HTTP_API_OPEN, s->conf->open);
    ngx_shmtx_unlock(&zone()->shpool->mutex);
    if (why) {
        log_turn(s, NGX_HTTP_API_OPEN, why);
        tell(s, NGX_HTTP_API_OPEN);
    }
    st_arena_release(&a);
}

static void probed(const ngx_http_api_service_t *s, bool success)
{
    ngx_http_api_breaker_t *b = s->breaker;
    bool closed = false;
    ngx_shmtx_lock(&zone()->shpool->mutex);
    if (b->state == NGX_HTTP_API_HALF_OPEN) {
        b->flying -= b->flying > 0;
        b->successes += success;
        closed = b->successes >= s->conf->probes;
        if (closed)
            turn_locked(s, NGX_HTTP_API_CLOSED, 0);
    }
    ngx_shmtx_unlock(&zone()->shpool->mutex);
    if (closed) {
        log_turn(s, NGX_HTTP_API_CLOSED, "its probes succeeded");
        tell(s, NGX_HTTP_API_CLOSED);
    }
}

void ngx_http_api_breaker_result(const ngx_http_api_service_t *s, ngx_http_api_ctx_t *ctx,
                                 enum ngx_http_api_result_e result)
{
    bool probing = ctx->probing && ctx->operation->service == s;
    if (!s->conf->share)
        return;
    if (probing)
        ctx->probing = 0;
    if (result == NGX_HTTP_API_FAILURE)
        failed(s, probing);
    else if (probing)
        probed(s, result == NGX_HTTP_API_SUCCESS);
    else if (result == NGX_HTTP_API_SUCCESS)
        count(s, false);
}

void ngx_http_api_breaker_told(ngx_http_api_main_conf_t *amcf, const char *service, const char *state, int64_t until)
{
    const ngx_time_t *now = ngx_timeofday();
    int64_t left = until - ((int64_t)now->sec * 1000 + (int64_t)now->msec);
    bool open = st_streq(state, "open"), turned = false;
    const ngx_http_api_service_t *s = NULL;
    for (int i = 0; i < amcf->api->n_services; i++)
        if (st_streq(amcf->services[i].name, service))
            s = &amcf->services[i];
    if (!s || !s->conf->share)
        return;
    ngx_shmtx_lock(&zone()->shpool->mutex);
    if (open && left > 0 && s->breaker->state != NGX_HTTP_API_OPEN) {
        turn_locked(s, NGX_HTTP_API_OPEN, (ngx_msec_t)ngx_min(left, (int64_t)s->conf->open));
        turned = true;
    } else if (!open && s->breaker->state == NGX_HTTP_API_OPEN) {
        s->breaker->until = ngx_current_msec; /* to be tried now */
    }
    ngx_shmtx_unlock(&zone()->shpool->mutex);
    if (turned)
        log_turn(s, NGX_HTTP_API_OPEN, "another node says so");
}

/* --- configuration --- */

void ngx_http_api_breaker_default(ngx_http_api_breaker_conf_t *conf)
{
    *conf = (ngx_http_api_breaker_conf_t){.share = 50, .min = 20, .probes = 3, .window = 10000, .open = 5000};
}

/* share=50% and the like; false when it makes no sense. */
static bool set_part(ngx_http_api_breaker_conf_t *conf, const ngx_str_t *part)
{
    static const struct {
        const char *name;
        enum { NUMBER, PERCENT, TIME } kind;
        size_t offset;
        ngx_int_t min, max;
    } parts[] = {
        {"share=", PERCENT, offsetof(ngx_http_api_breaker_conf_t, share), 1, 100},
        {"min=", NUMBER, offsetof(ngx_http_api_breaker_conf_t, min), 1, 1000000},
        {"probes=", NUMBER, offsetof(ngx_http_api_breaker_conf_t, probes), 1, PROBES_MAX},
        {"window=", TIME, offsetof(ngx_http_api_breaker_conf_t, window), WINDOW_MIN_MS, 3600 * 1000},
        {"open=", TIME, offsetof(ngx_http_api_breaker_conf_t, open), 1, 3600 * 1000},
    };
    for (size_t i = 0; i < ST_COUNT(parts); i++) {
        size_t len = strlen(parts[i].name);
        if (part->len <= len || ngx_strncmp(part->data, parts[i].name, len) != 0)
            continue;
        ngx_str_t value = {part->len - len, part->data + len};
        if (parts[i].kind == PERCENT && value.data[value.len - 1] != '%')
            return false;
        value.len -= parts[i].kind == PERCENT;
        ngx_int_t n = parts[i].kind == TIME ? ngx_parse_time(&value, 0) : ngx_atoi(value.data, value.len);
        if (n < parts[i].min || n > parts[i].max)
            return false;
        *(ngx_uint_t *)((u_char *)conf + parts[i].offset) = (ngx_uint_t)n;
        return true;
    }
    return false;
}

char *ngx_http_api_breaker_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_api_breaker_conf_t *bcf = &((ngx_http_api_srv_conf_t *)conf)->breaker;
    const ngx_str_t *value = cf->args->elts;
    if (bcf->share != NGX_CONF_UNSET_UINT)
        return "is duplicate";
    ngx_http_api_breaker_default(bcf);
    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        bcf->share = 0;
        return NGX_CONF_OK;
    }
    for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {
        if (set_part(bcf, &value[i]))
            continue;
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is not of off, share=1..100%%, min=, window=, open= and probes=1..100", &value[i]);
        return NGX_CONF_ERROR;
    }
    return NGX_CONF_OK;
}
