/*
 * The body: read whole into memory after everything else has passed, checked against the contract, then left for the
 * upstream. nginx bounds the time between two reads; the time of the whole body is bounded here.
 */
#include "ngx_http_api_route.h"

static void on_body(ngx_http_request_t *r)
{
    ngx_http_api_ctx_t *ctx = ngx_http_api_get_ctx(r);
    if (ctx->body_timer.timer_set)
        ngx_del_timer(&ctx->body_timer);
    ctx->body_read = 1;
    r->preserve_body = 1; /* an internal redirect must not lose what was read */
    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
}

static void on_deadline(ngx_event_t *ev)
{
    ngx_http_request_t *r = ev->data;
    ngx_connection_t *c = r->connection;
    ngx_log_error(NGX_LOG_INFO, c->log, 0, "api: the body took too long to arrive");
    c->timedout = 1;
    ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
    ngx_http_run_posted_requests(c);
}

static ngx_int_t ask_for_body(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    const ngx_http_api_route_conf_t *conf = ngx_http_get_module_loc_conf(r, ngx_http_api_route_module);
    ctx->body_asked = 1;
    r->request_body_in_single_buf = 1;
    ngx_int_t rc = ngx_http_read_client_request_body(r, on_body);
    if (rc >= NGX_HTTP_SPECIAL_RESPONSE)
        return rc;
    if (rc == NGX_AGAIN && !ctx->body_read) {
        ctx->body_timer.handler = on_deadline;
        ctx->body_timer.data = r;
        ctx->body_timer.log = r->connection->log;
        ngx_add_timer(&ctx->body_timer, conf->body_timeout);
    }
    ngx_http_finalize_request(r, NGX_DONE);
    return NGX_DONE;
}

/* The body as one run of bytes. NULL when memory is out, or nginx has put it into a file: then it is too large. */
static const char *collect(ngx_http_request_t *r, struct st_arena *a, size_t *ret_len)
{
    size_t len = 0;
    const ngx_chain_t *bufs = r->request_body ? r->request_body->bufs : NULL;
    for (const ngx_chain_t *cl = bufs; cl; cl = cl->next) {
        if (cl->buf->in_file)
            return NULL;
        len += (size_t)(cl->buf->last - cl->buf->pos);
    }
    *ret_len = len;
    if (bufs && !bufs->next)
        return (const char *)bufs->buf->pos;
    char *all = st_alloc(a, len + 1), *p = all;
    for (const ngx_chain_t *cl = bufs; cl; cl = cl->next)
        if (cl->buf->last > cl->buf->pos) /* the last one may be a mark without memory */
            p = (char *)ngx_cpymem(p, cl->buf->pos, cl->buf->last - cl->buf->pos);
    return all;
}

static ngx_int_t check_body(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    const ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_api_core_module);
    const struct st_api_operation *op = ctx->match.operation;
    const ngx_table_elt_t *type = r->headers_in.content_type;
    struct st_arena *a = ngx_http_api_scratch();
    struct st_schema_errors errors = {.count = 0};
    json_t *body;
    size_t len;
    const char *data = collect(r, a, &len);
    int err = data ? st_api_body(op, type ? (const char *)type->value.data : NULL, data, len, a, &body, &errors)
                   : ST_E_TOO_LARGE;
    if (err == 0)
        return NGX_OK;
    ngx_http_api_count(&amcf->zones[NGX_HTTP_API_ZONE_STATE], NGX_HTTP_API_N_INVALID);
    switch (err) {
    case ST_E_TOO_LARGE:
        return ngx_http_api_refuse(r, err, NULL, "The body may have at most %lld bytes.", (long long)op->body_max);
    case ST_E_MEDIA_TYPE: return ngx_http_api_refuse(r, err, NULL, "Send application/json in UTF-8.");
    case ST_E_UNPROCESSABLE: return ngx_http_api_refuse(r, err, &errors, "The body is not what this operation wants.");
    default: return ngx_http_api_refuse(r, err, &errors, "The body cannot be read.");
    }
}

ngx_int_t ngx_http_api_body_step(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    bool comes = r->headers_in.content_length_n > 0 || r->headers_in.chunked;
    if (!comes && !ctx->match.operation->body)
        return NGX_OK;
    if (comes && !ctx->body_asked)
        return ask_for_body(r, ctx);
    if (comes && !ctx->body_read)
        return NGX_DONE;
    return check_body(r, ctx);
}
