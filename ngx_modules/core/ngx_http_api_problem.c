/* Answers that the edge gives itself: problem+json (RFC 9457), and whole pages from memory. */
#include "ngx_http_api.h"

enum {
    PROBLEM_MAX = 64 * 1024,
    PROBLEM_USUAL = 768,
    DETAIL_USUAL = 256,
};

/* name: with what stands before and behind it. Formats would take longer than all the rest of a refusal. */
static void add_member(struct st_buf *b, const char *name, const char *value, size_t len)
{
    st_buf_str(b, name);
    st_buf_json(b, value, len);
}

/* The same for texts of our own, in which nothing needs an escape. */
static void add_plain(struct st_buf *b, const char *name, const char *value, size_t len)
{
    st_buf_str(b, name);
    st_buf_char(b, '"');
    st_buf_add(b, value, len);
    st_buf_char(b, '"');
}

static void add_errors(struct st_buf *b, const struct st_schema_errors *errors)
{
    st_buf_str(b, ",\"errors\":[");
    for (int i = 0; i < errors->count; i++) {
        const struct st_schema_error *e = &errors->list[i];
        st_buf_str(b, i ? ",{\"pointer\":" : "{\"pointer\":");
        st_buf_json(b, e->pointer, strlen(e->pointer));
        st_buf_str(b, ",\"message\":");
        st_buf_json(b, e->message, strlen(e->message));
        st_buf_char(b, '}');
    }
    st_buf_char(b, ']');
}

/* The title of an HTTP status that no error of the table stands for would only confuse. */
static const char *title_of(int err, ngx_uint_t status)
{
    return st_err_status(err) == (int)status ? st_err_title(err) : "The request cannot be answered";
}

ngx_int_t ngx_http_api_send_problem(ngx_http_request_t *r, int err, ngx_uint_t status, const char *detail,
                                    const struct st_schema_errors *errors)
{
    const ngx_http_api_ctx_t *ctx = ngx_http_api_get_ctx(r);
    struct st_buf b = ST_BUF(PROBLEM_MAX);
    const char *code = st_err_code(err), *title = title_of(err, status);
    st_buf_reserve(&b, PROBLEM_USUAL);
    add_plain(&b, "{\"type\":\"about:blank\",\"title\":", title, strlen(title));
    const char digits[] = {(char)('0' + status / 100 % 10), (char)('0' + status / 10 % 10), (char)('0' + status % 10)};
    st_buf_str(&b, ",\"status\":");
    st_buf_add(&b, digits, sizeof(digits));
    if (detail && *detail)
        add_member(&b, ",\"detail\":", detail, strlen(detail));
    if (ctx) {
        const char *path = (const char *)ctx->path.data;
        if (ctx->path.len && st_utf8_valid(path, ctx->path.len))
            add_member(&b, ",\"instance\":", path, ctx->path.len);
        add_plain(&b, ",\"correlationId\":", (const char *)ctx->correlation_id.data, ctx->correlation_id.len);
    }
    add_plain(&b, ",\"code\":", code, strlen(code));
    if (errors && errors->count)
        add_errors(&b, errors);
    st_buf_str(&b, "}\n");

    ngx_str_t body = {b.len, b.failed ? NULL : ngx_pnalloc(r->pool, b.len)}, none = ngx_string("no-store");
    if (body.data)
        ngx_memcpy(body.data, b.data, b.len);
    st_buf_release(&b);
    if (!body.data || ngx_http_api_add_header(r, "Cache-Control", &none) != NGX_OK)
        return NGX_ERROR;
    return ngx_http_api_send(r, status, "application/problem+json", &body);
}

ngx_int_t ngx_http_api_refuse(ngx_http_request_t *r, int err, const struct st_schema_errors *errors, const char *fmt,
                              ...)
{
    ngx_http_api_ctx_t *ctx = ngx_http_api_get_ctx(r);
    struct st_arena a = {0};
    va_list ap;
    if (ctx && !ctx->cause)
        ctx->cause = ngx_http_api_cause_of(err);
    char usual[DETAIL_USUAL];
    const char *detail = usual;
    int len = 0;
    if (!strchr(fmt, '%')) {
        detail = fmt;
    } else {
        va_start(ap, fmt);
        len = vsnprintf(usual, sizeof(usual), fmt, ap);
        va_end(ap);
    }
    if (len >= (int)sizeof(usual)) {
        va_start(ap, fmt);
        detail = st_vprintf(&a, fmt, ap);
        va_end(ap);
    }
    ngx_http_finalize_request(r, ngx_http_api_send_problem(r, err, (ngx_uint_t)st_err_status(err), detail, errors));
    st_arena_release(&a);
    return NGX_DONE;
}

ngx_int_t ngx_http_api_send(ngx_http_request_t *r, ngx_uint_t status, const char *type, const ngx_str_t *body)
{
    r->expect_tested = 1; /* the answer comes instead of "100 Continue" */
    ngx_int_t rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK && rc != NGX_AGAIN)
        r->keepalive = 0;
    r->err_status = 0;
    r->headers_out.status = status;
    r->headers_out.status_line.len = 0; /* of a service whose answer this takes the place of */
    r->headers_out.content_length_n = (off_t)body->len;
    r->headers_out.content_type = ngx_http_api_str(type);
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    rc = ngx_http_send_header(r);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only)
        return rc;
    ngx_buf_t *buf = ngx_calloc_buf(r->pool);
    if (!buf)
        return NGX_ERROR;
    buf->pos = buf->start = body->data;
    buf->last = buf->end = body->data + body->len;
    buf->memory = body->len > 0;
    buf->last_buf = 1;
    buf->last_in_chain = 1;
    ngx_chain_t out = {.buf = buf, .next = NULL};
    return ngx_http_output_filter(r, &out);
}

ngx_int_t ngx_http_api_add_header(ngx_http_request_t *r, const char *name, const ngx_str_t *value)
{
    ngx_table_elt_t *h = ngx_list_push(&r->headers_out.headers);
    if (!h)
        return NGX_ERROR;
    h->hash = 1;
    h->key = ngx_http_api_str(name);
    h->value = *value;
    return NGX_OK;
}

void ngx_http_api_retry_after(ngx_http_request_t *r, int64_t seconds)
{
    ngx_str_t value = {0, ngx_pnalloc(r->pool, NGX_INT64_LEN)};
    if (value.data) {
        value.len = (size_t)(ngx_sprintf(value.data, "%L", seconds) - value.data);
        (void)ngx_http_api_add_header(r, "Retry-After", &value);
    }
}
