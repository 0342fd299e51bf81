/* The record that goes with a request, and what reads it: variables, the header filter. */
#include "ngx_http_api.h"

static ngx_http_output_header_filter_pt next_header_filter;

/* --- the record --- */

/* An internal redirect forgets the module's context; the pool's cleanup list does not. It also marks the record. */
static void ctx_cleanup(void *data)
{
    ngx_http_api_ctx_t *ctx = data;
    if (ctx->body_timed && ctx->body_timer.timer_set)
        ngx_del_timer(&ctx->body_timer);
}

ngx_http_api_ctx_t *ngx_http_api_get_ctx(ngx_http_request_t *r)
{
    ngx_http_api_ctx_t *ctx = ngx_http_get_module_ctx(r, ngx_http_api_core_module);
    if (ctx || !r->internal)
        return ctx;
    for (ngx_pool_cleanup_t *cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ctx_cleanup) {
            ngx_http_set_ctx(r, cln->data, ngx_http_api_core_module);
            return cln->data;
        }
    }
    return NULL;
}

ngx_http_api_ctx_t *ngx_http_api_new_ctx(ngx_http_request_t *r)
{
    const ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_api_core_module);
    ngx_pool_cleanup_t *cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_api_ctx_t));
    if (!cln)
        return NULL;
    ngx_http_api_ctx_t *ctx = cln->data;
    ngx_memzero(ctx, offsetof(ngx_http_api_ctx_t, match));
    ctx->match.operation = NULL;
    ctx->match.allow = 0;
    ngx_memzero(&ctx->identity, offsetof(ngx_http_api_identity_t, permissions));
    ngx_memzero(ctx->identity.permissions, amcf->words * sizeof(uint64_t));
    cln->handler = ctx_cleanup;
    ctx->request = r;
    ngx_http_set_ctx(r, ctx, ngx_http_api_core_module);
    return ctx;
}

/* --- variables --- */

enum variable_e {
    VAR_OPERATION,
    VAR_SERVICE,
    VAR_VERSION,
    VAR_METHOD,
    VAR_PATH,
    VAR_USER,
    VAR_SESSION,
    VAR_ROLES,
    VAR_TIER,
    VAR_KEY,
    VAR_LIMIT_STATUS,
    VAR_CORRELATION_ID,
    VAR_TRACEPARENT,
    VAR_ADDRESS,
    VAR_TIMESTAMP,
    VAR_DURATION_MS,
    VAR_REFUSED,
    VAR_BREAKER,
    VAR_CACHE,
    VAR_SHADOW,
    VAR_DECISION,
    VAR_SCHEME,
};

static const struct {
    ngx_str_t name;
    enum variable_e what;
} variables[] = {
    {ngx_string("api_operation"), VAR_OPERATION},
    {ngx_string("api_service"), VAR_SERVICE},
    {ngx_string("api_version"), VAR_VERSION},
    {ngx_string("api_method"), VAR_METHOD},
    {ngx_string("api_path"), VAR_PATH},
    {ngx_string("api_user"), VAR_USER},
    {ngx_string("api_session"), VAR_SESSION},
    {ngx_string("api_roles"), VAR_ROLES},
    {ngx_string("api_tier"), VAR_TIER},
    {ngx_string("api_key"), VAR_KEY},
    {ngx_string("api_limit_status"), VAR_LIMIT_STATUS},
    {ngx_string("api_correlation_id"), VAR_CORRELATION_ID},
    {ngx_string("api_traceparent"), VAR_TRACEPARENT},
    {ngx_string("api_address"), VAR_ADDRESS},
    {ngx_string("api_timestamp"), VAR_TIMESTAMP},
    {ngx_string("api_duration_ms"), VAR_DURATION_MS},
    {ngx_string("api_refused"), VAR_REFUSED},
    {ngx_string("api_breaker"), VAR_BREAKER},
    {ngx_string("api_cache"), VAR_CACHE},
    {ngx_string("api_shadow"), VAR_SHADOW},
    {ngx_string("api_decision"), VAR_DECISION},
    {ngx_string("api_scheme"), VAR_SCHEME},
};

u_char *ngx_http_api_decimal(u_char *p, int64_t n)
{
    u_char digits[NGX_INT64_LEN], *d = digits + sizeof(digits);
    uint64_t rest = (uint64_t)ngx_max(n, 0);
    do
        *--d = (u_char)('0' + rest % 10);
    while (rest /= 10);
    return ngx_cpymem(p, d, (size_t)(digits + sizeof(digits) - d));
}

static ngx_str_t number(ngx_http_request_t *r, int64_t n)
{
    u_char *p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    return (ngx_str_t){p ? (size_t)(ngx_http_api_decimal(p, n) - p) : 0, p};
}

static ngx_str_t timestamp(ngx_http_request_t *r)
{
    const ngx_time_t *now = ngx_timeofday();
    u_char *p = ngx_pnalloc(r->pool, ST_TIME_LEN);
    if (!p)
        return (ngx_str_t)ngx_null_string;
    st_time_format((int64_t)now->sec * ST_SECOND + (int64_t)now->msec * 1000, (char *)p);
    return (ngx_str_t){ST_TIME_LEN - 1, p};
}

/* The names of the schemes by which somebody was identified, with "+" between them. */
static ngx_str_t scheme(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx)
{
    const struct st_api_operation *op = ctx->match.operation;
    if (!op || !ctx->identified || (int)ctx->alternative >= op->n_alternatives)
        return (ngx_str_t)ngx_null_string;
    const struct st_api_alternative *alt = &op->alternatives[ctx->alternative];
    if (alt->n_schemes < 2)
        return ngx_http_api_str(alt->n_schemes ? alt->schemes[0]->name : "");
    const char *first = alt->schemes[0]->name, *second = alt->schemes[1]->name;
    u_char *p = ngx_pnalloc(r->pool, strlen(first) + strlen(second) + 1);
    return (ngx_str_t){p ? (size_t)(ngx_sprintf(p, "%s+%s", first, second) - p) : 0, p};
}

/* What of the record may be told before the request is admitted: names for the log, nothing a service would trust. */
static ngx_str_t value_of(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx, enum variable_e what)
{
    const struct st_api_operation *op = ctx->match.operation;
    switch (what) {
    case VAR_OPERATION: return ngx_http_api_str(op ? op->id : "");
    case VAR_VERSION: return ngx_http_api_str(op ? op->version : "");
    case VAR_METHOD: return ctx->method;
    case VAR_PATH: return ctx->path;
    case VAR_USER: return ctx->identity.user;
    case VAR_SESSION: return ctx->identity.session;
    case VAR_ROLES: return ctx->identity.roles;
    case VAR_TIER: return ctx->identity.tier;
    case VAR_KEY: return ctx->identity.key;
    case VAR_LIMIT_STATUS: return ctx->limit_status;
    case VAR_SCHEME: return scheme(r, ctx);
    case VAR_DECISION: return ngx_http_api_str(ctx->decision ? ctx->decision : "");
    case VAR_CACHE: return ngx_http_api_cache_verdict(ctx);
    case VAR_BREAKER: return ngx_http_api_str(ctx->breaker ? ctx->breaker : "");
    case VAR_REFUSED: return ngx_http_api_str(ngx_http_api_cause_names[ctx->cause]);
    case VAR_CORRELATION_ID: return ctx->correlation_id;
    case VAR_TRACEPARENT: return ctx->traceparent;
    case VAR_SERVICE:
        if (!ctx->admitted || (r != r->main && !ngx_http_api_is_shadow(r, ctx)))
            return (ngx_str_t)ngx_null_string;
        return r == r->main && ctx->upstream.len ? ctx->upstream : ngx_http_api_str(op->service);
    case VAR_SHADOW: return ngx_http_api_shadow_verdict(r, ctx);
    default: return (ngx_str_t)ngx_null_string;
    }
}

static ngx_int_t get_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    const ngx_http_api_ctx_t *ctx = ngx_http_api_get_ctx(r);
    ngx_str_t value = ngx_null_string;
    switch (data) {
    case VAR_ADDRESS: value = r->connection->addr_text; break;
    case VAR_TIMESTAMP: value = timestamp(r); break;
    case VAR_DURATION_MS: value = number(r, ngx_http_api_duration_ms(r)); break;
    default:
        if (ctx)
            value = value_of(r, ctx, (enum variable_e)data);
    }
    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = 0;
    v->len = (unsigned)value.len;
    v->data = value.data;
    return NGX_OK;
}

ngx_int_t ngx_http_api_add_variables(ngx_conf_t *cf)
{
    for (size_t i = 0; i < ST_COUNT(variables); i++) {
        ngx_str_t name = variables[i].name;
        ngx_http_variable_t *v = ngx_http_add_variable(cf, &name, NGX_HTTP_VAR_NOCACHEABLE);
        if (!v)
            return NGX_ERROR;
        v->get_handler = get_variable;
        v->data = variables[i].what;
    }
    return NGX_OK;
}

/* --- headers that every answer carries --- */

/* What a service says of these is not for the client: the id is ours to give. */
static void drop_inner_headers(ngx_http_request_t *r)
{
    static const ngx_str_t inner[] = {ngx_string("x-correlation-id"), ngx_string("x-api-")};
    for (ngx_list_part_t *part = &r->headers_out.headers.part; part; part = part->next) {
        ngx_table_elt_t *h = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (h[i].key.len < 2 || (h[i].key.data[0] | 0x20) != 'x' || h[i].key.data[1] != '-')
                continue;
            for (size_t k = 0; k < ST_COUNT(inner); k++)
                if (h[i].key.len >= inner[k].len && ngx_strncasecmp(h[i].key.data, inner[k].data, inner[k].len) == 0)
                    h[i].hash = 0;
        }
    }
}

static ngx_int_t header_filter(ngx_http_request_t *r)
{
    ngx_http_api_ctx_t *ctx = r == r->main ? ngx_http_api_get_ctx(r) : NULL;
    if (!ctx)
        return next_header_filter(r);
    if (ctx->admitted && ngx_http_api_unusable_answer(r, ctx))
        return NGX_HTTP_BAD_GATEWAY;
    drop_inner_headers(r);
    if (ctx->correlation_id.len && ngx_http_api_add_header(r, "X-Correlation-Id", &ctx->correlation_id) != NGX_OK)
        return NGX_ERROR;
    if (ngx_http_api_limit_headers(r, ctx) != NGX_OK)
        return NGX_ERROR;
    const ngx_http_api_operation_t *o = ctx->operation;
    if (o && o->deprecation.len && ngx_http_api_add_header(r, "Deprecation", &o->deprecation) != NGX_OK)
        return NGX_ERROR;
    if (o && o->sunset.len && ngx_http_api_add_header(r, "Sunset", &o->sunset) != NGX_OK)
        return NGX_ERROR;
    return next_header_filter(r);
}

ngx_int_t ngx_http_api_init_filter(ngx_conf_t *cf)
{
    next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = header_filter;
    return NGX_OK;
}
