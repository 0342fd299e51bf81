/* What the edge answers itself: /openapi.json, and nginx's own errors as problem+json. */
#include "ngx_http_api.h"

ngx_int_t ngx_http_api_send_buf(ngx_http_request_t *r, ngx_uint_t status, const char *type, struct st_buf *b)
{
    ngx_str_t body = {b->len, b->failed ? NULL : ngx_pnalloc(r->pool, b->len)};
    if (body.data)
        ngx_memcpy(body.data, b->data, b->len);
    st_buf_release(b);
    return body.data ? ngx_http_api_send(r, status, type, &body) : NGX_HTTP_INTERNAL_SERVER_ERROR;
}

ngx_int_t ngx_http_api_only_get(ngx_http_request_t *r)
{
    ngx_str_t allow = ngx_string("GET, HEAD");
    if (r->method & (NGX_HTTP_GET | NGX_HTTP_HEAD))
        return NGX_DECLINED;
    if (ngx_http_api_add_header(r, "Allow", &allow) != NGX_OK)
        return NGX_ERROR;
    return ngx_http_api_send_problem(r, ST_E_METHOD, NGX_HTTP_NOT_ALLOWED, NULL, NULL);
}

static ngx_int_t openapi_handler(ngx_http_request_t *r)
{
    const ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_api_core_module);
    ngx_str_t cache = ngx_string("no-cache");
    ngx_int_t rc = ngx_http_api_only_get(r);
    if (rc != NGX_DECLINED)
        return rc;
    ngx_table_elt_t *etag = ngx_list_push(&r->headers_out.headers);
    if (!etag || ngx_http_api_add_header(r, "Cache-Control", &cache) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    etag->hash = 1;
    ngx_str_set(&etag->key, "ETag");
    etag->value = amcf->openapi_etag;
    r->headers_out.etag = etag;
    return ngx_http_api_send(r, NGX_HTTP_OK, "application/json", &amcf->openapi);
}

/* --- nginx's own errors --- */

static const struct {
    ngx_uint_t status;
    int err;
    ngx_uint_t sent;
    const char *detail;
} problems[] = {
    {400, ST_E_INVALID, 400, "This is not a well-formed HTTP request, or it came without TLS to an HTTPS port."},
    {403, ST_E_FORBIDDEN, 403, NULL},
    {404, ST_E_NOT_FOUND, 404, NULL},
    {405, ST_E_METHOD, 405, NULL},
    {408, ST_E_INVALID, 408, "The request took too long to arrive."},
    {413, ST_E_TOO_LARGE, 413, "The body is larger than this server accepts."},
    {414, ST_E_TOO_LARGE, 414, "The request line is too long."},
    {416, ST_E_RANGE, 416, NULL},
    {421, ST_E_INVALID, 421, "This host is not served on this connection."},
    {429, ST_E_LIMITED, 429, "There are too many requests from your address."},
    {431, ST_E_TOO_LARGE, 431, "The header is too large."},
    {500, ST_E_INTERNAL, 500, NULL},
    {501, ST_E_INVALID, 501, "The transfer encoding is not supported."},
    {502, ST_E_UNAVAILABLE, 503, "The service behind this operation does not answer."},
    {503, ST_E_UNAVAILABLE, 503, NULL},
    {504, ST_E_UNAVAILABLE, 503, "The service behind this operation took too long."},
};

static ngx_int_t problem_handler(ngx_http_request_t *r)
{
    ngx_uint_t status = r->err_status ? r->err_status : NGX_HTTP_NOT_FOUND;
    ngx_http_api_ctx_t *ctx = ngx_http_api_get_ctx(r);
    const struct st_schema_errors *errors;
    const char *detail;
    size_t i = 0;
    if (ctx && !ctx->cause)
        ctx->cause = ngx_http_api_cause_of_status(status);
    int err = ngx_http_api_stream_refusal(r, &detail, &errors);
    if (err < 0)
        return ngx_http_api_send_problem(r, err, status, detail, errors);
    while (i < ST_COUNT(problems) && problems[i].status != status)
        i++;
    if (i == ST_COUNT(problems))
        return ngx_http_api_send_problem(r, st_err_from_status((int)status), status, NULL, NULL);
    if (problems[i].sent == 503 || problems[i].sent == 429)
        ngx_http_api_retry_after(r, NGX_HTTP_API_RETRY_AFTER_S);
    return ngx_http_api_send_problem(r, problems[i].err, problems[i].sent, problems[i].detail, NULL);
}

char *ngx_http_api_page(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    static const struct {
        const char *directive;
        ngx_http_handler_pt handler;
    } pages[] = {
        {"api_health", ngx_http_api_health_handler},
        {"api_metrics", ngx_http_api_metrics_handler},
        {"api_openapi", openapi_handler},
        {"api_problem", problem_handler},
        {"api_status", ngx_http_api_status_handler},
    };
    ngx_http_api_main_conf_t *amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_api_core_module);
    ngx_http_core_loc_conf_t *clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    ngx_http_api_loc_conf_t *alcf = conf;
    if (!amcf->files.nelts)
        return "needs \"api_contracts\" before it";
    for (size_t i = 0; i < ST_COUNT(pages); i++)
        if (strcmp((char *)cmd->name.data, pages[i].directive) == 0)
            clcf->handler = pages[i].handler;
    /* These take no body, and the answer to one that is too large must not be refused for its size again. */
    clcf->client_max_body_size = 0;
    alcf->enable = 0;
    return cf->args->nelts > 1 ? ngx_http_api_health_kind(cf, alcf) : NGX_CONF_OK;
}
