/*
 * The route module: which operation? It makes the request's record, refuses what is not canonical, strips headers that
 * only the edge may set, and finds the operation; the rest of it are steps of the ACCESS phase.
 */
#include "ngx_http_api_route.h"

static void *create_loc_conf(ngx_conf_t *cf);
static char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
static ngx_int_t init(ngx_conf_t *cf);
static ngx_int_t server_rewrite_handler(ngx_http_request_t *r);

static ngx_command_t commands[] = {
    {ngx_string("api_body_timeout"), NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1,
     ngx_conf_set_msec_slot, NGX_HTTP_LOC_CONF_OFFSET, offsetof(ngx_http_api_route_conf_t, body_timeout), NULL},
    ngx_null_command,
};

static ngx_http_module_t module_ctx = {NULL, init, NULL, NULL, NULL, NULL, create_loc_conf, merge_loc_conf};

ngx_module_t ngx_http_api_route_module = {
    NGX_MODULE_V1, &module_ctx, commands, NGX_HTTP_MODULE,       NULL, NULL, NULL, NULL,
    NULL,          NULL,        NULL,     NGX_MODULE_V1_PADDING,
};

/* The raw path, without the query: what is matched, and what is forwarded. None when the request line was broken. */
static ngx_str_t raw_path(const ngx_http_request_t *r)
{
    ngx_str_t path = r->unparsed_uri;
    const u_char *query = path.len ? memchr(path.data, '?', path.len) : NULL;
    if (query)
        path.len = (size_t)(query - path.data);
    return path;
}

static void find_operation(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    const ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_api_core_module);
    int method =
        r->method == NGX_HTTP_HEAD ? ST_GET : st_api_method((const char *)r->method_name.data, r->method_name.len);
    st_api_find(amcf->api, method, (const char *)ctx->path.data, ctx->path.len, &ctx->match);
    if (ctx->match.operation)
        ctx->operation = &amcf->operations[ctx->match.operation->index];
}

static ngx_int_t server_rewrite_handler(ngx_http_request_t *r)
{
    const ngx_http_api_loc_conf_t *alcf = ngx_http_get_module_loc_conf(r, ngx_http_api_core_module);
    if (!alcf->enable || r != r->main || ngx_http_api_get_ctx(r))
        return NGX_DECLINED;
    ngx_http_api_ctx_t *ctx = ngx_http_api_new_ctx(r);
    if (!ctx)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    ctx->method = r->method_name;
    ctx->path = raw_path(r);
    ngx_http_api_headers_t headers;
    ngx_http_api_auth_expect(r, ctx);
    ngx_http_api_read_headers(r, &headers);
    if (ngx_http_api_trace(r, ctx, &headers) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    if (r->internal) /* an error page for a request that was broken before it came here */
        return NGX_DECLINED;
    const char *fault = st_path_fault((const char *)ctx->path.data, ctx->path.len);
    ctx->cause = fault                                   ? NGX_HTTP_API_BY_PATH
                 : r->http_version < NGX_HTTP_VERSION_10 ? NGX_HTTP_API_BY_MALFORMED
                 : headers.repeated                      ? NGX_HTTP_API_BY_HEADER
                                                         : NGX_HTTP_API_BY_NONE;
    if (fault)
        return ngx_http_api_refuse(r, ST_E_INVALID, NULL, "The path %s.", fault);
    if (r->http_version < NGX_HTTP_VERSION_10)
        return ngx_http_api_refuse(r, ST_E_INVALID, NULL, "HTTP/1.0 or later is needed.");
    if (headers.repeated)
        return ngx_http_api_refuse(r, ST_E_INVALID, NULL, "The header %s came more than once.", headers.repeated);
    find_operation(r, ctx);
    ngx_http_api_take_credentials(r, ctx);
    if (ngx_http_api_strengthen(r) != NGX_OK || (headers.reserved && ngx_http_api_strip_headers(r) != NGX_OK))
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    return NGX_DECLINED;
}

/* --- steps --- */

static ngx_int_t add_allow(ngx_http_request_t *r, unsigned allow, ngx_str_t *ret)
{
    ngx_str_t value = {0, ngx_pnalloc(r->pool, sizeof("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"))};
    if (!value.data)
        return NGX_ERROR;
    u_char *p = value.data;
    for (int m = 0; m < ST_METHODS; m++) {
        if (!(allow & 1u << m))
            continue;
        p = ngx_sprintf(p, "%s, ", st_api_method_names[m]);
        if (m == ST_GET)
            p = ngx_sprintf(p, "HEAD, ");
    }
    p = ngx_sprintf(p, "OPTIONS");
    value.len = (size_t)(p - value.data);
    *ret = value;
    return ngx_http_api_add_header(r, "Allow", &value);
}

/* 404, 405, the answer to OPTIONS, and bodies that are too large by their own announcement. */
ngx_int_t ngx_http_api_route_step(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    const struct st_api_operation *op = ctx->match.operation;
    if (!op && !ctx->match.allow)
        return ngx_http_api_refuse(r, ST_E_NOT_FOUND, NULL, "No operation has this path.");
    if (!op) {
        ngx_str_t methods, empty = ngx_string("");
        if (add_allow(r, ctx->match.allow, &methods) != NGX_OK)
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        if (r->method != NGX_HTTP_OPTIONS)
            return ngx_http_api_refuse(r, ST_E_METHOD, NULL, "This path has other methods: see Allow.");
        if (ngx_http_api_preflight(r, ctx, &methods) != NGX_OK)
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        ngx_http_finalize_request(r, ngx_http_api_send(r, NGX_HTTP_NO_CONTENT, "", &empty));
        return NGX_DONE;
    }
    if (r->headers_in.content_length_n > op->body_max)
        return ngx_http_api_refuse(r, ST_E_TOO_LARGE, NULL, "The body may have at most %lld bytes.",
                                   (long long)op->body_max);
    return NGX_OK;
}

static const char *param_header(void *data, const char *name)
{
    const ngx_http_request_t *r = data;
    const ngx_str_t *value = ngx_http_api_header(r, name, NULL);
    return value ? (const char *)value->data : NULL; /* nginx ends values with NUL */
}

int ngx_http_api_params(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx, struct st_arena *a, json_t **ret_params,
                        struct st_schema_errors *ret_errors)
{
    return st_api_params(&ctx->match, (const char *)r->args.data, r->args.len, param_header, r, a, ret_params,
                         ret_errors);
}

/* A header parameter that came more than once, of which the service might take another than was checked; or NULL. */
static const char *repeated(const ngx_http_request_t *r, const struct st_api_operation *op)
{
    for (int i = 0; i < op->n_params; i++) {
        ngx_uint_t count = 0;
        if (op->params[i].in == ST_IN_HEADER)
            (void)ngx_http_api_header(r, op->params[i].name, &count);
        if (count > 1)
            return op->params[i].name;
    }
    return NULL;
}

ngx_int_t ngx_http_api_params_step(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    struct st_schema_errors errors = {.count = 0};
    const struct st_api_operation *op = ctx->match.operation;
    if (op->idempotency_required && !ngx_http_api_header(r, "idempotency-key", NULL))
        return ngx_http_api_refuse(r, ST_E_INVALID, NULL, "An Idempotency-Key header is required.");
    if (!op->n_params && !r->args.len)
        return NGX_OK;
    const char *name = repeated(r, op);
    if (name) {
        ctx->cause = NGX_HTTP_API_BY_HEADER;
        return ngx_http_api_refuse(r, ST_E_INVALID, NULL, "The header %s came more than once.", name);
    }
    if (ngx_http_api_params(r, ctx, ngx_http_api_scratch(), NULL, &errors) == 0)
        return NGX_OK;
    return ngx_http_api_refuse(r, ST_E_INVALID, &errors, "The parameters are not as this operation wants them.");
}

/* --- configuration --- */

static void *create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_api_route_conf_t *conf = ngx_pcalloc(cf->pool, sizeof(*conf));
    if (conf)
        conf->body_timeout = NGX_CONF_UNSET_MSEC;
    return conf;
}

static char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    const ngx_http_api_route_conf_t *prev = parent;
    ngx_http_api_route_conf_t *conf = child;
    ngx_conf_merge_msec_value(conf->body_timeout, prev->body_timeout, 30000);
    return NGX_CONF_OK;
}

static ngx_int_t init(ngx_conf_t *cf)
{
    ngx_http_core_main_conf_t *cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    ngx_http_handler_pt *h = ngx_array_push(&cmcf->phases[NGX_HTTP_SERVER_REWRITE_PHASE].handlers);
    if (!h)
        return NGX_ERROR;
    *h = server_rewrite_handler;
    ngx_http_api_index_headers();
    return ngx_http_api_stream_init(cf);
}
