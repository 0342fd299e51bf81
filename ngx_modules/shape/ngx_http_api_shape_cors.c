/*
 * Cross-origin requests (CORS): pages of the origins that a contract (x-cors) or the configuration (api_cors_origin)
 * names may call the API from a browser. The edge answers preflights itself, without credentials and at no service's
 * cost; what a service says in Access-Control-* is dropped. Without an origin named nothing of this is sent.
 */
#include "../route/ngx_http_api_route.h"
#include "ngx_http_api_shape.h"

static ngx_http_output_header_filter_pt next_header_filter;

/* Headers that a page may always send, besides the operation's header parameters; and may read. */
static const char allowed_headers[] = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Range, "
                                      "X-Correlation-Id";
static const char exposed_headers[] =
    "Accept-Ranges, Age, Content-Range, Deprecation, ETag, Idempotent-Replayed, Link, Location, RateLimit, "
    "RateLimit-Policy, Retry-After, Sunset, Tus-Resumable, Upload-Expires, Upload-Length, Upload-Offset, "
    "WWW-Authenticate, X-Correlation-Id";

typedef struct {
    const char *const *origins;
    ngx_uint_t n_origins;
    bool any, credentials;
} rule_t;

/* What holds for an operation (NULL: none) here. false: nothing is shared. */
static bool rule_of(const ngx_http_request_t *r, const struct st_api_operation *op, rule_t *ret)
{
    const ngx_http_api_shape_loc_conf_t *conf = ngx_http_get_module_loc_conf(r, ngx_http_api_shape_module);
    if (op && op->cors)
        *ret = (rule_t){op->cors->origins, (ngx_uint_t)op->cors->n_origins, op->cors->any, op->cors->credentials};
    else if (conf->origins)
        *ret = (rule_t){conf->origins->elts, conf->origins->nelts, conf->any_origin, conf->credentials == 1};
    else
        return false;
    return true;
}

/* The origin to name in the answer: the request's own, or "*"; NULL when it may not. */
static const ngx_str_t *allowed_origin(const ngx_http_request_t *r, const rule_t *rule)
{
    static const ngx_str_t any = ngx_string("*");
    ngx_uint_t count;
    const ngx_str_t *origin = ngx_http_api_header(r, "origin", &count);
    if (rule->any)
        return &any;
    if (!origin || count != 1)
        return NULL;
    for (ngx_uint_t i = 0; i < rule->n_origins; i++)
        if (origin->len == strlen(rule->origins[i]) &&
            ngx_strncmp(origin->data, (u_char *)rule->origins[i], origin->len) == 0)
            return origin;
    return NULL;
}

static ngx_int_t add(ngx_http_request_t *r, const char *name, const char *value)
{
    ngx_str_t text = ngx_http_api_str(value);
    return ngx_http_api_add_header(r, name, &text);
}

/* Which origins may differs by the request's origin, so caches must keep answers apart. */
static ngx_int_t add_origin(ngx_http_request_t *r, const rule_t *rule, const ngx_str_t *origin)
{
    if (!rule->any && add(r, "Vary", "Origin") != NGX_OK)
        return NGX_ERROR;
    if (!origin)
        return NGX_OK;
    if (ngx_http_api_add_header(r, "Access-Control-Allow-Origin", origin) != NGX_OK)
        return NGX_ERROR;
    return rule->credentials ? add(r, "Access-Control-Allow-Credentials", "true") : NGX_OK;
}

/* The operation that a preflight asks for: NULL when it is no preflight, or there is no such operation. */
static const struct st_api_operation *wanted(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx)
{
    const ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_api_core_module);
    const ngx_str_t *method = ngx_http_api_header(r, "access-control-request-method", NULL);
    struct st_api_match match;
    if (!method)
        return NULL;
    int m = method->len == 4 && ngx_strncmp(method->data, "HEAD", 4) == 0
                ? ST_GET
                : st_api_method((const char *)method->data, method->len);
    st_api_find(amcf->api, m, (const char *)ctx->path.data, ctx->path.len, &match);
    return match.operation;
}

static ngx_int_t add_allowed_headers(ngx_http_request_t *r, const struct st_api_operation *op)
{
    size_t len = sizeof(allowed_headers) - 1;
    for (int i = 0; i < op->n_params; i++)
        len += op->params[i].in == ST_IN_HEADER ? 2 + strlen(op->params[i].name) : 0;
    u_char *p = ngx_pnalloc(r->pool, len);
    if (!p)
        return NGX_ERROR;
    ngx_str_t value = {len, p};
    p = ngx_cpymem(p, allowed_headers, sizeof(allowed_headers) - 1);
    for (int i = 0; i < op->n_params; i++)
        if (op->params[i].in == ST_IN_HEADER)
            p = ngx_sprintf(p, ", %s", op->params[i].name);
    return ngx_http_api_add_header(r, "Access-Control-Allow-Headers", &value);
}

ngx_int_t ngx_http_api_preflight(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx, const ngx_str_t *methods)
{
    const struct st_api_operation *op = wanted(r, ctx);
    rule_t rule;
    if (!op || !rule_of(r, op, &rule))
        return NGX_OK;
    const ngx_str_t *origin = allowed_origin(r, &rule);
    if (add_origin(r, &rule, origin) != NGX_OK ||
        add(r, "Vary", "Access-Control-Request-Method, Access-Control-Request-Headers") != NGX_OK)
        return NGX_ERROR;
    if (!origin)
        return NGX_OK;
    if (ngx_http_api_add_header(r, "Access-Control-Allow-Methods", methods) != NGX_OK ||
        add_allowed_headers(r, op) != NGX_OK)
        return NGX_ERROR;
    return add(r, "Access-Control-Max-Age", "600");
}

/* What a page may read is not for a service to say. */
static void drop_inner_headers(ngx_http_request_t *r)
{
    static const char inner[] = "access-control-";
    for (ngx_list_part_t *part = &r->headers_out.headers.part; part; part = part->next) {
        ngx_table_elt_t *h = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++)
            if (h[i].key.len >= sizeof(inner) - 1 &&
                ngx_strncasecmp(h[i].key.data, (u_char *)inner, sizeof(inner) - 1) == 0)
                h[i].hash = 0;
    }
}

static ngx_int_t header_filter(ngx_http_request_t *r)
{
    const ngx_http_api_ctx_t *ctx = r == r->main ? ngx_http_api_get_ctx(r) : NULL;
    rule_t rule;
    if (!ctx)
        return next_header_filter(r);
    if (r->upstream)
        drop_inner_headers(r);
    if (r->method == NGX_HTTP_OPTIONS || !rule_of(r, ctx->match.operation, &rule))
        return next_header_filter(r);
    const ngx_str_t *origin = allowed_origin(r, &rule);
    if (add_origin(r, &rule, origin) != NGX_OK ||
        (origin && add(r, "Access-Control-Expose-Headers", exposed_headers) != NGX_OK))
        return NGX_ERROR;
    return next_header_filter(r);
}

/* --- configuration --- */

char *ngx_http_api_cors_origin(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_api_shape_loc_conf_t *slcf = conf;
    const ngx_str_t *value = cf->args->elts;
    if (!slcf->origins && !(slcf->origins = ngx_array_create(cf->pool, 4, sizeof(const char *))))
        return NGX_CONF_ERROR;
    for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {
        const char *text = (const char *)value[i].data, **origin = ngx_array_push(slcf->origins);
        if (!origin)
            return NGX_CONF_ERROR;
        *origin = text;
        slcf->any_origin = slcf->any_origin || strcmp(text, "*") == 0;
        if (strcmp(text, "*") != 0 && !st_api_is_origin(text)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%s\" is no origin such as https://app.example.com, nor *",
                               text);
            return NGX_CONF_ERROR;
        }
    }
    return slcf->any_origin && slcf->origins->nelts > 1 ? "has * beside another origin" : NGX_CONF_OK;
}

void ngx_http_api_cors_filter(void)
{
    next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = header_filter;
}
