/*
 * The body. JSON and forms are read whole into memory after everything else has passed, checked against the contract,
 * then left for the upstream; what is streamed is checked while it passes (_stream.c). nginx bounds the time between
 * two reads; the time of the whole body is bounded here.
 */
#include "ngx_http_api_route.h"

static void on_body(ngx_http_request_t *r)
{
    ngx_http_api_ctx_t *ctx = ngx_http_api_get_ctx(r);
    ngx_http_api_body_in_time(ctx);
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

void ngx_http_api_body_deadline(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    const ngx_http_api_route_conf_t *conf = ngx_http_get_module_loc_conf(r, ngx_http_api_route_module);
    if (!ctx->body_timed)
        ngx_memzero(&ctx->body_timer, sizeof(ctx->body_timer));
    ctx->body_timed = 1;
    ctx->body_timer.handler = on_deadline;
    ctx->body_timer.data = r;
    ctx->body_timer.log = r->connection->log;
    ngx_add_timer(&ctx->body_timer, conf->body_timeout);
}

void ngx_http_api_body_in_time(ngx_http_api_ctx_t *ctx)
{
    if (ctx->body_timed && ctx->body_timer.timer_set) {
        ngx_del_timer(&ctx->body_timer);
    }
}

static ngx_int_t ask_for_body(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    ctx->body_asked = 1;
    r->request_body_in_single_buf = 1;
    ngx_int_t rc = ngx_http_read_client_request_body(r, on_body);
    if (rc >= NGX_HTTP_SPECIAL_RESPONSE)
        return rc;
    if (rc == NGX_AGAIN && !ctx->body_read)
        ngx_http_api_body_deadline(r, ctx);
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

const char *ngx_http_api_body_detail(struct st_arena *a, int err, int64_t max)
{
    switch (err) {
    case ST_E_TOO_LARGE: return st_printf(a, "The body may have at most %lld bytes.", (long long)max);
    case ST_E_UNPROCESSABLE: return "The body is not what this operation wants.";
    default: return "The body cannot be read.";
    }
}

static ngx_int_t refuse(ngx_http_request_t *r, int err, int64_t max, const struct st_schema_errors *errors)
{
    struct st_arena a = {0};
    if (err == ST_E_INVALID)
        ngx_http_api_get_ctx(r)->cause = NGX_HTTP_API_BY_BODY;
    ngx_int_t rc = ngx_http_api_refuse(r, err, errors, "%s", ngx_http_api_body_detail(&a, err, max));
    st_arena_release(&a);
    return rc;
}

/* "Send application/json or audio/mpeg." */
static ngx_int_t refuse_type(ngx_http_request_t *r, const struct st_api_operation *op)
{
    struct st_buf list = ST_BUF(1024);
    for (int i = 0; i < op->n_bodies; i++)
        st_buf_printf(&list, "%s%s", i ? " or " : "", op->bodies[i].type);
    ngx_int_t rc = ngx_http_api_refuse(r, ST_E_MEDIA_TYPE, NULL, "Send %s%s.", list.failed ? "another type" : list.data,
                                       op->body_memory ? ", in UTF-8" : "");
    st_buf_release(&list);
    return rc;
}

static const char *content_type(const ngx_http_request_t *r)
{
    const ngx_table_elt_t *type = r->headers_in.content_type;
    return type ? (const char *)type->value.data : NULL; /* nginx ends values with NUL */
}

/* A body is on its way. What its headers say is decided before any of it is read. */
static ngx_int_t begin(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    const struct st_api_operation *op = ctx->match.operation;
    struct st_schema_errors unwanted = {.list = {{"", "this operation takes no request body"}}, .count = 1};
    const struct st_api_body *body = st_api_body_of(op, content_type(r));
    if (!op->n_bodies)
        return refuse(r, ST_E_INVALID, 0, &unwanted);
    if (!body)
        return refuse_type(r, op);
    const ngx_str_t *encoding = ngx_http_api_header(r, "content-encoding", NULL);
    if (encoding && !(encoding->len == 8 && ngx_strncasecmp(encoding->data, (u_char *)"identity", 8) == 0))
        return ngx_http_api_refuse(r, ST_E_MEDIA_TYPE, NULL, "A body may not be compressed.");
    if (r->headers_in.content_length_n > body->max)
        return refuse(r, ST_E_TOO_LARGE, body->max, NULL);
    ctx->body_max = body->max;
    return body->streamed ? ngx_http_api_stream_begin(r, ctx, body) : ask_for_body(r, ctx);
}

static ngx_int_t check_body(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    struct st_arena *a = ngx_http_api_scratch();
    struct st_schema_errors errors = {.count = 0};
    size_t len = 0;
    const char *data = collect(r, a, &len);
    int err = data ? st_api_body(ctx->match.operation, content_type(r), data, len, a, NULL, &errors) : ST_E_TOO_LARGE;
    return err < 0 ? refuse(r, err, ctx->body_max, &errors) : NGX_OK;
}

ngx_int_t ngx_http_api_body_step(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    bool comes = r->headers_in.content_length_n > 0 || r->headers_in.chunked;
    if (!comes && !ctx->match.operation->body_required)
        return NGX_OK;
    if (comes && !ctx->body_asked)
        return begin(r, ctx);
    if (comes && !ctx->body_read)
        return NGX_DONE;
    return check_body(r, ctx);
}

/* --- configuration --- */

/* Errors that nginx must answer with a page of ours: those of a body that is being streamed. */
static ngx_int_t check_pages(ngx_conf_t *cf, const ngx_http_core_loc_conf_t *clcf, const struct st_api_operation *op)
{
    static const ngx_int_t statuses[] = {400, 413, 422};
    const ngx_http_err_page_t *pages = clcf->error_pages ? clcf->error_pages->elts : NULL;
    ngx_uint_t n = clcf->error_pages ? clcf->error_pages->nelts : 0;
    for (size_t i = 0; i < ST_COUNT(statuses); i++) {
        ngx_uint_t k = 0;
        while (k < n && pages[k].status != statuses[i])
            k++;
        if (k < n)
            continue;
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"error_page %i\" is needed, with \"api_problem\", for the streamed "
                           "bodies of %s, %s:%d",
                           statuses[i], op->id, op->file, op->line);
        return NGX_ERROR;
    }
    return NGX_OK;
}

ngx_int_t ngx_http_api_body_check(ngx_conf_t *cf, const struct st_api *api)
{
    const ngx_http_core_loc_conf_t *clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    for (int i = 0; i < api->n_operations; i++) {
        const struct st_api_operation *op = &api->operations[i];
        if (!op->n_bodies)
            continue;
        if (clcf->client_max_body_size && clcf->client_max_body_size < op->body_max) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"client_max_body_size\" is less than the %L bytes of %s, %s:%d",
                               op->body_max, op->id, op->file, op->line);
            return NGX_ERROR;
        }
        if ((int64_t)clcf->client_body_buffer_size < op->body_memory) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"client_body_buffer_size\" is less than the %L bytes of %s, %s:%d: bodies are checked "
                               "in memory",
                               op->body_memory, op->id, op->file, op->line);
            return NGX_ERROR;
        }
        for (int b = 0; b < op->n_bodies; b++)
            if (op->bodies[b].streamed && check_pages(cf, clcf, op) != NGX_OK)
                return NGX_ERROR;
    }
    return NGX_OK;
}
