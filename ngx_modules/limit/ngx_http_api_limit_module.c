/*
 * The limit module: how often? GCRA for each (limit, key) in shared memory; this node counts for itself.
 *
 * A limit by address is charged in PREACCESS, before anything costs more than that; a limit by user in ACCESS, when
 * the identity has been verified. All limits of one kind are looked at first and charged only if none refuses.
 */
#include "../core/ngx_http_api.h"

enum {
    NAME_MAX_LEN = 64, /* names are cut there */
    KEY_MAX = 2 * (NAME_MAX_LEN + 1) + NGX_HTTP_API_ID_MAX,
};

typedef struct {
    ngx_flag_t dry_run;
} loc_conf_t;

/* What one limit says: times in microseconds of the monotonic clock. */
typedef struct {
    const struct st_api_limit *limit;
    const struct st_api_rate *rate;
    u_char key_buf[KEY_MAX];
    ngx_str_t key;
    int64_t interval; /* between two requests at the steady rate */
    int64_t tat;      /* theoretical arrival time, if this request is charged */
} verdict_t;

static void *create_loc_conf(ngx_conf_t *cf);
static char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
static ngx_int_t init(ngx_conf_t *cf);
static ngx_int_t preaccess_handler(ngx_http_request_t *r);

static ngx_command_t commands[] = {
    {ngx_string("api_limit_dry_run"), NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_FLAG,
     ngx_conf_set_flag_slot, NGX_HTTP_LOC_CONF_OFFSET, offsetof(loc_conf_t, dry_run), NULL},
    ngx_null_command,
};

static ngx_http_module_t module_ctx = {NULL, init, NULL, NULL, NULL, NULL, create_loc_conf, merge_loc_conf};

ngx_module_t ngx_http_api_limit_module = {
    NGX_MODULE_V1, &module_ctx, commands, NGX_HTTP_MODULE,       NULL, NULL, NULL, NULL,
    NULL,          NULL,        NULL,     NGX_MODULE_V1_PADDING,
};

/* --- keys --- */

/* An IPv6 site has 2^64 addresses at hand: its /64 counts as one. */
static size_t address_key(const ngx_http_request_t *r, u_char *out)
{
    const struct sockaddr *sa = r->connection->sockaddr;
    const u_char *from = (const u_char *)"";
    size_t len = 0;
    if (sa->sa_family == AF_INET) {
        from = (const u_char *)&((const struct sockaddr_in *)sa)->sin_addr;
        len = 4;
    } else if (sa->sa_family == AF_INET6) {
        from = ((const struct sockaddr_in6 *)sa)->sin6_addr.s6_addr;
        len = 8;
    }
    ngx_memcpy(out, from, len);
    return len;
}

static u_char *add_name(u_char *p, const char *name)
{
    p = ngx_cpymem(p, name, ngx_min(strlen(name), NAME_MAX_LEN));
    *p++ = '\0';
    return p;
}

/* With the tier whose rate holds: who changes the tier starts anew, and does not carry a debt into another scale. */
static void make_key(const ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx, verdict_t *v)
{
    u_char *p = add_name(v->key_buf, v->limit->name);
    p = add_name(p, v->rate->tier ? v->rate->tier : "");
    if (v->limit->by == ST_BY_ADDRESS)
        p += address_key(r, p);
    else
        p = ngx_cpymem(p, ctx->identity.user.data, ngx_min(ctx->identity.user.len, NGX_HTTP_API_ID_MAX));
    v->key.data = v->key_buf;
    v->key.len = (size_t)(p - v->key_buf);
}

static const struct st_api_rate *rate_for(const struct st_api_limit *limit, const ngx_str_t *tier)
{
    for (int i = 1; i < limit->n_rates; i++)
        if (strlen(limit->rates[i].tier) == tier->len && memcmp(limit->rates[i].tier, tier->data, tier->len) == 0)
            return &limit->rates[i];
    return &limit->rates[0];
}

/* --- GCRA --- */

static int64_t wait_us(const verdict_t *v, int64_t now)
{
    return v->tat - v->rate->burst * v->interval - now;
}

static void look_locked(ngx_http_api_table_t *t, verdict_t *v, int64_t now)
{
    const ngx_http_api_entry_t *e = ngx_http_api_table_find_locked(t, v->key.data, v->key.len);
    int64_t tat = now;
    if (e && e->expires > now)
        tat = e->expires;
    v->interval = ngx_max(v->rate->period_us / v->rate->count, 1);
    /* A rate that was lowered meanwhile must not look at a debt made under the old one for longer than its own. */
    tat = ngx_min(tat, now + v->rate->burst * v->interval);
    v->tat = tat + v->interval;
}

/* An entry is its expiry: the TAT. One that has expired says nothing, so it may go at any time. */
static void charge_locked(const ngx_http_api_dict_t *d, const verdict_t *v, int64_t now)
{
    ngx_str_t nothing = ngx_null_string;
    (void)ngx_http_api_table_put_locked(d, &v->key, &nothing, v->tat, now);
}

static void note(ngx_http_api_ctx_t *ctx, const verdict_t *v, int64_t now, bool charged)
{
    if (ctx->n_charges == NGX_HTTP_API_LIMITS)
        return;
    int64_t tat = charged ? v->tat : v->tat - v->interval, left = v->rate->burst * v->interval - (tat - now);
    ctx->charges[ctx->n_charges++] = (ngx_http_api_charge_t){
        .name = v->limit->name,
        .quota = v->rate->count,
        .window_s = v->rate->period_us / ST_SECOND,
        .remaining = ngx_max(left, 0) / v->interval,
        .reset_s = (ngx_max(tat - now, 0) + ST_SECOND - 1) / ST_SECOND,
    };
}

static ngx_int_t refuse(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx, const verdict_t *v, int64_t now)
{
    const loc_conf_t *conf = ngx_http_get_module_loc_conf(r, ngx_http_api_limit_module);
    (void)ngx_atomic_fetch_add(&ctx->operation->slot->limited, 1);
    if (conf->dry_run) {
        ngx_str_set(&ctx->limit_status, "REJECTED_DRY_RUN");
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0, "api: dry run: over the limit %s", v->limit->name);
        return NGX_OK;
    }
    ngx_str_set(&ctx->limit_status, "REJECTED");
    int64_t seconds = (wait_us(v, now) + ST_SECOND - 1) / ST_SECOND;
    ngx_http_api_retry_after(r, seconds);
    return ngx_http_api_refuse(r, ST_E_LIMITED, NULL, "The limit %s of %lld requests in %lld seconds is used up.",
                               v->limit->name, (long long)v->rate->count, (long long)(v->rate->period_us / ST_SECOND));
}

static ngx_int_t charge(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx, int by)
{
    ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_api_core_module);
    const ngx_http_api_zone_t *z = &amcf->zones[NGX_HTTP_API_ZONE_LIMITS];
    const ngx_http_api_dict_t d = {.shpool = z->shpool, .table = z->sh, .evict = 1};
    const struct st_api_operation *op = ctx->match.operation;
    verdict_t verdicts[NGX_HTTP_API_LIMITS], *over = NULL;
    int n = 0;
    for (int i = 0; i < op->n_limits; i++) {
        if ((int)op->limits[i].by != by)
            continue;
        verdict_t *v = &verdicts[n++];
        v->limit = &op->limits[i];
        v->rate = rate_for(v->limit, &ctx->identity.tier);
        make_key(r, ctx, v);
    }
    if (!n)
        return NGX_OK;
    int64_t now = st_mono();
    ngx_shmtx_lock(&z->shpool->mutex);
    for (int i = 0; i < n; i++) {
        look_locked(d.table, &verdicts[i], now);
        if (wait_us(&verdicts[i], now) > 0 && (!over || wait_us(&verdicts[i], now) > wait_us(over, now)))
            over = &verdicts[i];
    }
    for (int i = 0; !over && i < n; i++)
        charge_locked(&d, &verdicts[i], now);
    ngx_shmtx_unlock(&z->shpool->mutex);
    for (int i = 0; i < n; i++)
        note(ctx, &verdicts[i], now, !over);
    if (over)
        return refuse(r, ctx, over, now);
    if (!ctx->limit_status.len)
        ngx_str_set(&ctx->limit_status, "PASSED");
    return NGX_OK;
}

static ngx_int_t preaccess_handler(ngx_http_request_t *r)
{
    const ngx_http_api_loc_conf_t *alcf = ngx_http_get_module_loc_conf(r, ngx_http_api_core_module);
    ngx_http_api_ctx_t *ctx = ngx_http_api_get_ctx(r);
    if (r != r->main || !alcf->enable || !ctx || !ctx->operation || ctx->address_charged)
        return NGX_DECLINED;
    ctx->address_charged = 1;
    ngx_int_t rc = charge(r, ctx, ST_BY_ADDRESS);
    return rc == NGX_OK ? NGX_DECLINED : rc;
}

ngx_int_t ngx_http_api_limit_step(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    if (ctx->user_charged)
        return NGX_OK;
    ctx->user_charged = 1;
    return charge(r, ctx, ST_BY_USER);
}

/* --- the zone --- */

static ngx_int_t init_limits(ngx_http_api_zone_t *z)
{
    z->shpool->log_nomem = 0; /* full is normal: the oldest entry goes */
    if (!(z->sh = ngx_slab_alloc(z->shpool, sizeof(ngx_http_api_table_t))))
        return NGX_ERROR;
    ngx_http_api_table_init(z->sh);
    return NGX_OK;
}

static void limits_use(const ngx_http_api_zone_t *z, ngx_http_api_zone_use_t *ret)
{
    const ngx_http_api_table_t *t = z->sh;
    *ret = (ngx_http_api_zone_use_t){.entries = t->count, .evicted = t->evicted};
}

const ngx_http_api_zone_kind_t ngx_http_api_limits = {init_limits, limits_use};

/* --- configuration --- */

ngx_int_t ngx_http_api_limit_check(ngx_conf_t *cf, const struct st_api *api)
{
    for (int i = 0; i < api->n_operations; i++) {
        const struct st_api_operation *op = &api->operations[i];
        if (op->n_limits <= NGX_HTTP_API_LIMITS)
            continue;
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "%s:%d: %s has more than %d limits", op->file, op->line, op->id,
                      NGX_HTTP_API_LIMITS);
        return NGX_ERROR;
    }
    return NGX_OK;
}

static void *create_loc_conf(ngx_conf_t *cf)
{
    loc_conf_t *conf = ngx_pcalloc(cf->pool, sizeof(*conf));
    if (conf)
        conf->dry_run = NGX_CONF_UNSET;
    return conf;
}

static char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    const loc_conf_t *prev = parent;
    loc_conf_t *conf = child;
    ngx_conf_merge_value(conf->dry_run, prev->dry_run, 0);
    return NGX_CONF_OK;
}

static ngx_int_t init(ngx_conf_t *cf)
{
    ngx_http_core_main_conf_t *cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    ngx_http_handler_pt *h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (!h)
        return NGX_ERROR;
    *h = preaccess_handler;
    return NGX_OK;
}
