/*
 * Bodies that are too large for memory: checked by a filter while nginx reads them, on their way to the service or to
 * nginx's temporary file (`proxy_request_buffering`). What breaks the contract ends the request with the status of its
 * error; the service has seen the beginning of a body at most, never its end.
 */
#include "ngx_http_api_route.h"

enum { STRIDE = 1 << 20 }; /* bytes that must arrive within api_body_timeout, again and again */

struct ngx_http_api_stream_s {
    struct st_arena arena;
    struct st_api_stream *check;
    int64_t max, read;
    int err; /* ST_E_*: it was refused */
    struct st_schema_errors errors;
};

static ngx_http_request_body_filter_pt next_body_filter;

static void release(void *data)
{
    ngx_http_api_stream_t *s = data;
    st_arena_release(&s->arena);
}

ngx_int_t ngx_http_api_stream_begin(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx, const struct st_api_body *body)
{
    ngx_pool_cleanup_t *cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_api_stream_t));
    if (!cln)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    ngx_http_api_stream_t *s = cln->data;
    ngx_memzero(s, sizeof(*s));
    cln->handler = release;
    s->max = body->max;
    if (st_api_stream_new(&s->arena, body, (char *)r->headers_in.content_type->value.data, &s->check) < 0)
        return ngx_http_api_refuse(r, ST_E_MEDIA_TYPE, NULL, "The Content-Type needs a boundary.");
    ctx->stream = s;
    ngx_http_api_body_deadline(r, ctx);
    return NGX_OK;
}

/* The parts of what nginx has read, and whether that was the last. */
static int feed(ngx_http_api_stream_t *s, const ngx_chain_t *in, bool *ret_last)
{
    int err = 0;
    *ret_last = false;
    for (; in && err == 0; in = in->next) {
        size_t len = ngx_buf_in_memory(in->buf) ? (size_t)(in->buf->last - in->buf->pos) : 0;
        if (len)
            err = st_api_stream_feed(s->check, (const char *)in->buf->pos, len, &s->errors);
        s->read += (int64_t)len;
        *ret_last = *ret_last || in->buf->last_buf;
    }
    return err == 0 && *ret_last ? st_api_stream_end(s->check, &s->errors) : err;
}

static ngx_int_t body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_api_ctx_t *ctx = r == r->main ? ngx_http_api_get_ctx(r) : NULL;
    ngx_http_api_stream_t *s = ctx ? ctx->stream : NULL;
    if (!s || !in)
        return next_body_filter(r, in);
    int64_t stride = s->read / STRIDE;
    bool last = false;
    if (s->err == 0)
        s->err = feed(s, in, &last);
    if (s->err < 0) {
        /* The rest of the body is nobody's: the connection ends with the answer, after what lingers was read. */
        r->keepalive = 0;
        r->lingering_close = 1;
        ctx->cause = s->err == ST_E_INVALID ? NGX_HTTP_API_BY_BODY : ngx_http_api_cause_of(s->err);
        ngx_http_api_body_in_time(ctx);
        return st_err_status(s->err);
    }
    if (last)
        ngx_http_api_body_in_time(ctx);
    else if (s->read / STRIDE != stride)
        ngx_http_api_body_deadline(r, ctx);
    return next_body_filter(r, in);
}

int ngx_http_api_stream_refusal(ngx_http_request_t *r, const char **ret_detail,
                                const struct st_schema_errors **ret_errors)
{
    const ngx_http_api_ctx_t *ctx = ngx_http_api_get_ctx(r);
    ngx_http_api_stream_t *s = ctx ? ctx->stream : NULL;
    if (!s || s->err == 0)
        return 0;
    *ret_detail = ngx_http_api_body_detail(&s->arena, s->err, s->max);
    *ret_errors = &s->errors;
    return s->err;
}

ngx_int_t ngx_http_api_stream_init(ngx_conf_t *cf)
{
    next_body_filter = ngx_http_top_request_body_filter;
    ngx_http_top_request_body_filter = body_filter;
    return NGX_OK;
}
