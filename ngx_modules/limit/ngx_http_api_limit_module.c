/*
 * The limit module: how often? GCRA for each (limit, key).
 *
 * Limits by address are charged in PREACCESS, before anything costs more than that; all others in ACCESS, when the
 * identity has been verified. They are charged in order; when one refuses, the request gives back what it has been
 * charged before, so a refused request costs nothing elsewhere.
 */
#include "ngx_http_api_limit.h"

typedef struct {
    ngx_flag_t dry_run;
} loc_conf_t;

static void *create_main_conf(ngx_conf_t *cf);
static char *init_main_conf(ngx_conf_t *cf, void *data);
static void *create_loc_conf(ngx_conf_t *cf);
static char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
static ngx_int_t post_configuration(ngx_conf_t *cf);
static ngx_int_t init_module(ngx_cycle_t *cycle);
static ngx_int_t preaccess_handler(ngx_http_request_t *r);

static ngx_command_t commands[] = {
    {ngx_string("api_limit_share"), NGX_HTTP_MAIN_CONF | NGX_CONF_FLAG, ngx_conf_set_flag_slot,
     NGX_HTTP_MAIN_CONF_OFFSET, offsetof(ngx_http_api_limit_conf_t, share), NULL},
    {ngx_string("api_limit_timeout"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, ngx_conf_set_msec_slot,
     NGX_HTTP_MAIN_CONF_OFFSET, offsetof(ngx_http_api_limit_conf_t, timeout), NULL},
    {ngx_string("api_limit_dry_run"), NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_FLAG,
     ngx_conf_set_flag_slot, NGX_HTTP_LOC_CONF_OFFSET, offsetof(loc_conf_t, dry_run), NULL},
    ngx_null_command,
};

static ngx_http_module_t module_ctx = {NULL, post_configuration, create_main_conf, init_main_conf, NULL,
                                       NULL, create_loc_conf,    merge_loc_conf};

ngx_module_t ngx_http_api_limit_module = {
    NGX_MODULE_V1, &module_ctx, commands, NGX_HTTP_MODULE,       NULL, init_module, NULL, NULL,
    NULL,          NULL,        NULL,     NGX_MODULE_V1_PADDING,
};

/* --- keys --- */

/* An IPv6 site has 2^64 addresses at hand: its /64 counts as one. */
static ngx_str_t address_key(const ngx_http_request_t *r)
{
    struct sockaddr *sa = r->connection->sockaddr;
    if (sa->sa_family == AF_INET)
        return (ngx_str_t){4, (u_char *)&((struct sockaddr_in *)sa)->sin_addr};
    if (sa->sa_family != AF_INET6)
        return (ngx_str_t)ngx_null_string;
    u_char *bytes = ((struct sockaddr_in6 *)sa)->sin6_addr.s6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&((struct sockaddr_in6 *)sa)->sin6_addr))
        return (ngx_str_t){4, bytes + 12};
    return (ngx_str_t){8, bytes};
}

/* The address and who shares it. */
static ngx_str_t fair_key(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx)
{
    ngx_str_t address = address_key(r), key = {address.len + ctx->identity.user.len, NULL};
    key.data = ngx_pnalloc(r->pool, key.len);
    if (!key.data)
        return ctx->identity.user;
    ngx_memcpy(ngx_cpymem(key.data, address.data, address.len), ctx->identity.user.data, ctx->identity.user.len);
    return key;
}

/* What is missing has a bucket of its own: it is one more value, not a way around the limit. */
static ngx_str_t variable_key(ngx_http_request_t *r, const ngx_http_api_limit_t *l)
{
    const ngx_http_variable_value_t *v = ngx_http_get_flushed_variable(r, (ngx_uint_t)l->variable);
    return v && !v->not_found ? (ngx_str_t){v->len, v->data} : (ngx_str_t)ngx_null_string;
}

static ngx_str_t key_of(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx, const ngx_http_api_limit_t *l)
{
    if (l->fair)
        return fair_key(r, ctx);
    switch (l->limit->by) {
    case ST_BY_USER: return ctx->identity.user;
    case ST_BY_ADDRESS: return address_key(r);
    case ST_BY_KEY: return ctx->identity.key;
    case ST_BY_TIER: return ctx->identity.tier;
    default: return variable_key(r, l);
    }
}

static const ngx_http_api_rule_t *rule_for(const ngx_http_api_limit_t *l, const ngx_str_t *tier)
{
    const struct st_api_limit *limit = l->limit;
    for (int i = 1; i < limit->n_rates; i++)
        if (strlen(limit->rates[i].tier) == tier->len && memcmp(limit->rates[i].tier, tier->data, tier->len) == 0)
            return &l->rules[i];
    return &l->rules[0];
}

/* --- the bill --- */

static ngx_http_api_bill_t *bill_of(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx,
                                    const ngx_http_api_limit_list_t *list)
{
    ngx_http_api_bill_t *bill = ctx->bill;
    if (bill)
        return bill;
    bill = ngx_palloc(r->pool, sizeof(*bill) + list->n * sizeof(ngx_http_api_debit_t));
    if (!bill)
        return NULL;
    *bill = (ngx_http_api_bill_t){
        .request = r,
        .conf = ngx_http_get_module_main_conf(r, ngx_http_api_limit_module),
    };
    return ctx->bill = bill;
}

static ngx_int_t refuse(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx, const ngx_http_api_debit_t *d)
{
    const loc_conf_t *conf = ngx_http_get_module_loc_conf(r, ngx_http_api_limit_module);
    (void)ngx_atomic_fetch_add(&ctx->operation->slot->limited, 1);
    if (conf->dry_run) {
        ngx_http_api_limit_count(d->limit, NGX_HTTP_API_LIMIT_DRY_RUN);
        ctx->limit_status = ngx_http_api_str("REJECTED_DRY_RUN");
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0, "api: dry run: over the limit %s", d->limit->name);
        return NGX_OK;
    }
    ngx_http_api_limit_count(d->limit, NGX_HTTP_API_LIMIT_REJECTED);
    ctx->limit_status = ngx_http_api_str("REJECTED");
    ngx_http_api_retry_after(r, ngx_max((d->wait + ST_SECOND - 1) / ST_SECOND, 1));
    return ngx_http_api_refuse(r, ST_E_LIMITED, NULL, "The limit %s of %lld requests in %lld seconds is used up.",
                               d->limit->name, (long long)d->rule->count, (long long)d->rule->window_s);
}

/* Every limit of this phase has decided. */
static ngx_int_t conclude(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx, ngx_http_api_bill_t *bill, int64_t now)
{
    ngx_http_api_debit_t *over = bill->over;
    for (ngx_uint_t i = 0; over && i < bill->n; i++)
        ngx_http_api_share_refund(bill->conf, &bill->debits[i], now);
    bill->over = NULL;
    if (over)
        return refuse(r, ctx, over);
    for (ngx_uint_t i = bill->n_before; i < bill->n; i++)
        ngx_http_api_limit_count(bill->debits[i].limit, NGX_HTTP_API_LIMIT_PASSED);
    if (!ctx->limit_status.len)
        ctx->limit_status = ngx_http_api_str("PASSED");
    return NGX_OK;
}

/*
 * The first limit by user is nearly always the next to be charged when it is known who asks, and of many users' keys
 * none lies in the processor's cache: what stands between gives the memory time to come.
 */
void ngx_http_api_limit_expect(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    const ngx_http_api_limit_conf_t *conf = ngx_http_get_module_main_conf(r, ngx_http_api_limit_module);
    const struct st_api_operation *op = ctx->match.operation;
    const ngx_http_api_limit_list_t *list = ctx->operation ? &conf->operations[op->index] : NULL;
    if (!list || list->n == list->n_by_address || ctx->identity_charged)
        return;
    const ngx_http_api_limit_t *l = &list->list[list->n_by_address];
    ngx_http_api_bill_t *bill = l->limit->by == ST_BY_USER && !l->fair ? bill_of(r, ctx, list) : NULL;
    const ngx_str_t *user = &ctx->identity.user;
    if (!bill || !user->len)
        return;
    bill->expected = st_gcra_hash(conf->table, rule_for(l, &ctx->identity.tier)->id, user->data, user->len);
    st_gcra_expect(conf->table, bill->expected);
}

/* Charges one limit here, and of what this node holds. NGX_AGAIN: Redis must be asked. NGX_BUSY: it refuses. */
static ngx_int_t charge(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx, ngx_http_api_bill_t *bill,
                        const ngx_http_api_limit_t *limit, int64_t now, ngx_http_api_debit_t *d)
{
    struct st_gcra *table = bill->conf->table;
    struct st_gcra_verdict v;
    *d = (ngx_http_api_debit_t){.limit = limit, .rule = rule_for(limit, &ctx->identity.tier)};
    d->key = key_of(r, ctx, limit);
    if (!d->key.data)
        d->key = ngx_http_api_str("");
    d->hash = bill->expected ? bill->expected : st_gcra_hash(table, d->rule->id, d->key.data, d->key.len);
    bill->expected = 0;
    st_gcra_charge(table, d->hash, &d->rule->gcra, limit->limit->cost, now, &v);
    d->tat = v.tat;
    d->wait = v.wait;
    if (v.wait > 0)
        return NGX_BUSY;
    d->paid = NGX_HTTP_API_PAID_HERE;
    return bill->conf->share ? ngx_http_api_share_pay(bill->conf, d, now) : NGX_OK;
}

/* The time is asked for once in a turn of nginx's loop. */
static int64_t now_of(ngx_http_api_bill_t *bill)
{
    if (!bill->now || bill->turn != ngx_current_msec) {
        bill->now = st_mono();
        bill->turn = ngx_current_msec;
    }
    return bill->now;
}

static ngx_int_t charge_all(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx, ngx_uint_t from, ngx_uint_t to)
{
    const ngx_http_api_limit_conf_t *conf = ngx_http_get_module_main_conf(r, ngx_http_api_limit_module);
    const ngx_http_api_limit_list_t *list = &conf->operations[ctx->match.operation->index];
    ngx_http_api_bill_t *bill = bill_of(r, ctx, list);
    bool ask = false;
    if (!bill)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    int64_t now = now_of(bill);
    if (bill->waiting && !bill->answered)
        return NGX_AGAIN;
    if (!bill->waiting) {
        bill->n_before = bill->n;
        for (ngx_uint_t i = from; i < to && !bill->over; i++) {
            if (list->list[i].fair && !ctx->identity.user.len)
                continue;
            ngx_http_api_debit_t *d = &bill->debits[bill->n++];
            ngx_int_t rc = charge(r, ctx, bill, &list->list[i], now, d);
            ask = ask || rc == NGX_AGAIN;
            if (rc == NGX_BUSY)
                bill->over = d;
        }
        if (ask && !bill->over && ngx_http_api_share_ask(bill) == NGX_AGAIN) {
            bill->waiting = 1;
            return NGX_AGAIN;
        }
    }
    bill->waiting = 0;
    return conclude(r, ctx, bill, now);
}

static ngx_int_t preaccess_handler(ngx_http_request_t *r)
{
    const ngx_http_api_loc_conf_t *alcf = ngx_http_get_module_loc_conf(r, ngx_http_api_core_module);
    const ngx_http_api_limit_conf_t *conf = ngx_http_get_module_main_conf(r, ngx_http_api_limit_module);
    ngx_http_api_ctx_t *ctx = ngx_http_api_get_ctx(r);
    if (r != r->main || !alcf->enable || !ctx || !ctx->operation || ctx->address_charged)
        return NGX_DECLINED;
    ngx_uint_t n = conf->operations[ctx->match.operation->index].n_by_address;
    ctx->address_charged = 1; /* now: a request that is refused is gone when this comes back */
    ngx_int_t rc = n ? charge_all(r, ctx, 0, n) : NGX_OK;
    if (rc == NGX_AGAIN)
        ctx->address_charged = 0;
    return rc == NGX_OK ? NGX_DECLINED : rc;
}

ngx_int_t ngx_http_api_limit_step(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    const ngx_http_api_limit_conf_t *conf = ngx_http_get_module_main_conf(r, ngx_http_api_limit_module);
    const ngx_http_api_limit_list_t *list = &conf->operations[ctx->match.operation->index];
    if (ctx->identity_charged || list->n == list->n_by_address)
        return NGX_OK;
    ctx->identity_charged = 1;
    ngx_int_t rc = charge_all(r, ctx, list->n_by_address, list->n);
    if (rc == NGX_AGAIN)
        ctx->identity_charged = 0;
    return rc;
}

/* --- headers --- */

/* What could be asked for at the time of the bill, and seconds until all of it has come back. */
typedef struct {
    const ngx_http_api_debit_t *debit;
    int64_t remaining, reset_s;
} charge_t;

static charge_t charge_of(const ngx_http_api_debit_t *d, int64_t now)
{
    int64_t ahead = ngx_max(d->tat - now, 0);
    return (charge_t){
        .debit = d,
        .remaining = ngx_max(d->rule->gcra.tolerance - ahead, 0) / d->rule->gcra.interval,
        .reset_s = (ahead + ST_SECOND - 1) / ST_SECOND,
    };
}

static u_char *parameter(u_char *p, u_char name, int64_t value)
{
    *p++ = ';';
    *p++ = name;
    *p++ = '=';
    return ngx_http_api_decimal(p, value);
}

/* IETF httpapi draft: one list member for each limit that was charged, the tightest first. */
ngx_int_t ngx_http_api_limit_headers(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx)
{
    enum { COMMA = 2, ROOM = COMMA + 2 * (3 + NGX_INT64_LEN) }; /* two parameters */
    const ngx_http_api_bill_t *bill = ctx->bill;
    charge_t charges[NGX_HTTP_API_LIMITS];
    size_t policies = 0, states = 0;
    if (!bill || !bill->n)
        return NGX_OK;
    for (ngx_uint_t i = 0, at; i < bill->n; i++) {
        const ngx_http_api_debit_t *d = &bill->debits[i];
        charge_t c = charge_of(d, bill->now);
        policies += COMMA + d->rule->policy.len;
        states += ROOM + d->limit->quoted.len;
        for (at = i; at > 0 && charges[at - 1].remaining > c.remaining; at--)
            charges[at] = charges[at - 1];
        charges[at] = c;
    }
    u_char *policy = ngx_pnalloc(r->pool, policies + states), *state = policy + policies, *p = policy, *s = state;
    if (!policy)
        return NGX_ERROR;
    for (ngx_uint_t i = 0; i < bill->n; i++) {
        const charge_t *c = &charges[i];
        if (i) {
            p = ngx_cpymem(p, ", ", COMMA);
            s = ngx_cpymem(s, ", ", COMMA);
        }
        p = ngx_cpymem(p, c->debit->rule->policy.data, c->debit->rule->policy.len);
        s = ngx_cpymem(s, c->debit->limit->quoted.data, c->debit->limit->quoted.len);
        s = parameter(parameter(s, 'r', c->remaining), 't', c->reset_s);
    }
    ngx_str_t values[] = {{(size_t)(p - policy), policy}, {(size_t)(s - state), state}};
    if (ngx_http_api_add_header(r, "RateLimit-Policy", &values[0]) != NGX_OK)
        return NGX_ERROR;
    return ngx_http_api_add_header(r, "RateLimit", &values[1]);
}

/* --- the zone, and what is counted --- */

/* The whole zone, but for what the slab allocator itself needs. */
static ngx_int_t init_zone(ngx_http_api_zone_t *z)
{
    size_t room = z->shpool->pfree * ngx_pagesize;
    void *memory = ngx_slab_alloc(z->shpool, room);
    z->sh = memory ? st_gcra_init(memory, room) : NULL;
    return z->sh ? NGX_OK : NGX_ERROR;
}

static void zone_use(const ngx_http_api_zone_t *z, ngx_http_api_zone_use_t *ret)
{
    *ret = (ngx_http_api_zone_use_t){
        .entries = st_gcra_used(z->sh, st_mono()),
        .evicted = st_gcra_evicted(z->sh),
    };
}

const ngx_http_api_zone_kind_t ngx_http_api_limits = {init_zone, zone_use};

/* The counters of a limit, made when they are not there yet; NULL when the zone is full. */
static ngx_http_api_limit_counts_t *counts_of(const ngx_http_api_zone_t *z, const char *name, ngx_uint_t n_cells)
{
    ngx_queue_t *all = &ngx_http_api_state(z)->limits;
    ngx_http_api_limit_counts_t *found = NULL;
    ngx_shmtx_lock(&z->shpool->mutex);
    for (ngx_queue_t *q = ngx_queue_head(all); !found && q != ngx_queue_sentinel(all); q = ngx_queue_next(q)) {
        ngx_http_api_limit_counts_t *c = ngx_queue_data(q, ngx_http_api_limit_counts_t, queue);
        if (strcmp(c->name, name) == 0)
            found = c;
    }
    if (!found &&
        (found = ngx_slab_calloc_locked(z->shpool, sizeof(*found) + n_cells * sizeof(found->cells[0]))) != NULL) {
        found->n_cells = n_cells;
        ngx_cpystrn((u_char *)found->name, (u_char *)name, sizeof(found->name));
        ngx_queue_insert_tail(all, &found->queue);
    }
    ngx_shmtx_unlock(&z->shpool->mutex);
    return found;
}

static uint64_t counted(const ngx_http_api_limit_counts_t *c, enum ngx_http_api_limit_count_e what)
{
    uint64_t sum = 0;
    for (ngx_uint_t i = 0; i < c->n_cells; i++)
        sum += c->cells[i].n[what];
    return sum;
}

void ngx_http_api_limit_metrics(const ngx_http_api_main_conf_t *amcf, struct st_buf *b)
{
    static const struct {
        const char *name, *help;
    } families[NGX_HTTP_API_LIMIT_COUNTS] = {
        [NGX_HTTP_API_LIMIT_PASSED] = {"passed", "Requests that a limit has let pass."},
        [NGX_HTTP_API_LIMIT_REJECTED] = {"rejected", "Requests that a limit has refused."},
        [NGX_HTTP_API_LIMIT_DRY_RUN] = {"rejected_dry_run", "Requests that a limit would have refused."},
        [NGX_HTTP_API_LIMIT_EXACT] = {"exact", "Requests that waited for Redis to decide."},
        [NGX_HTTP_API_LIMIT_LEASES] = {"leases", "Questions to Redis while no request waited."},
        [NGX_HTTP_API_LIMIT_FALLBACK] = {"fallback", "Requests for which this node decided alone."},
    };
    ngx_queue_t *all = &ngx_http_api_state(&amcf->zones[NGX_HTTP_API_ZONE_STATE])->limits;
    for (int what = 0; what < NGX_HTTP_API_LIMIT_COUNTS; what++) {
        const char *name = families[what].name;
        st_buf_printf(b, "# HELP api_edge_limit_%s_total %s\n# TYPE api_edge_limit_%s_total counter\n", name,
                      families[what].help, name);
        for (ngx_queue_t *q = ngx_queue_head(all); q != ngx_queue_sentinel(all); q = ngx_queue_next(q)) {
            const ngx_http_api_limit_counts_t *c = ngx_queue_data(q, ngx_http_api_limit_counts_t, queue);
            st_buf_printf(b, "api_edge_limit_%s_total{limit=\"%s\"} %llu\n", name, c->name,
                          (unsigned long long)counted(c, what));
        }
    }
}

/* --- configuration --- */

static void *create_main_conf(ngx_conf_t *cf)
{
    ngx_http_api_limit_conf_t *conf = ngx_pcalloc(cf->pool, sizeof(*conf));
    if (!conf)
        return NULL;
    conf->share = NGX_CONF_UNSET;
    conf->timeout = NGX_CONF_UNSET_MSEC;
    return conf;
}

static char *init_main_conf(ngx_conf_t *cf, void *data)
{
    ngx_http_api_limit_conf_t *conf = data;
    const ngx_http_api_main_conf_t *amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_api_core_module);
    if (conf->share == 1 && !amcf->redis.len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"api_limit_share\" needs \"api_redis\"");
        return NGX_CONF_ERROR;
    }
    ngx_conf_init_value(conf->share, amcf->redis.len > 0);
    ngx_conf_init_msec_value(conf->timeout, 100);
    conf->secret = amcf->signing_key;
    return NGX_CONF_OK;
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

static ngx_int_t post_configuration(ngx_conf_t *cf)
{
    ngx_http_core_main_conf_t *cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    ngx_http_api_main_conf_t *amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_api_core_module);
    ngx_http_handler_pt *h = amcf->api ? ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers) : NULL;
    if (!amcf->api)
        return NGX_OK;
    if (!h)
        return NGX_ERROR;
    *h = preaccess_handler;
    return ngx_http_api_limit_compile(cf, amcf, ngx_http_conf_get_module_main_conf(cf, ngx_http_api_limit_module));
}

/* The shared memory is there: the counters of every limit are found or made. */
static ngx_int_t init_module(ngx_cycle_t *cycle)
{
    if (!cycle->conf_ctx[ngx_http_module.index])
        return NGX_OK;
    const ngx_http_api_main_conf_t *amcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_api_core_module);
    ngx_http_api_limit_conf_t *conf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_api_limit_module);
    const ngx_core_conf_t *ccf = (const ngx_core_conf_t *)ngx_get_conf(cycle->conf_ctx, ngx_core_module);
    ngx_uint_t n_cells = ngx_min(ngx_max((ngx_uint_t)ccf->worker_processes, 1), NGX_HTTP_API_SHARDS);
    if (!amcf->api)
        return NGX_OK;
    conf->table = amcf->zones[NGX_HTTP_API_ZONE_LIMITS].sh;
    for (int i = 0; i < amcf->api->n_operations; i++) {
        for (ngx_uint_t k = 0; k < conf->operations[i].n; k++) {
            ngx_http_api_limit_t *l = &conf->operations[i].list[k];
            l->counts = counts_of(&amcf->zones[NGX_HTTP_API_ZONE_STATE], l->name, n_cells);
            if (!l->counts) {
                ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                              "\"api_zone state\" has no room for the counters of limits");
                return NGX_ERROR;
            }
        }
    }
    return NGX_OK;
}
