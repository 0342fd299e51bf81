/*
 * One version of the API served by another's handler: x-operation-of, x-request-transform, x-response-transform.
 *
 * The request is changed when every step has passed, so that all of them look at what the client sent. A JSON answer
 * is held until it is whole, then patched and sent with its new length.
 */
#include "ngx_http_api_shape.h"

enum state_e { HEADER, BODY, DONE, FAILING, FAILED };

/* Of a request whose answer is transformed, or whose path is another's. Lost by an internal redirect, as it should. */
typedef struct {
    struct st_arena arena;
    json_t *params;
    enum state_e state;
    ngx_http_api_held_t held;
} shape_ctx_t;

static ngx_http_output_header_filter_pt next_header_filter;
static ngx_http_output_body_filter_pt next_body_filter;

static void release_arena(void *data)
{
    st_arena_release(data);
}

static shape_ctx_t *new_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t *cln = ngx_pool_cleanup_add(r->pool, sizeof(shape_ctx_t));
    if (!cln)
        return NULL;
    shape_ctx_t *sc = cln->data;
    ngx_memzero(sc, sizeof(*sc));
    cln->handler = release_arena; /* the arena is the first member */
    ngx_http_set_ctx(r, sc, ngx_http_api_shape_module);
    return sc;
}

/* Text of the arena, or a constant, for a header: it lives as long as the request. */
static ngx_str_t as_header_value(struct st_arena *a, const char *text)
{
    char *copy = st_strdup(a, text);
    for (char *p = copy; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    return ngx_http_api_str(copy);
}

static bool is_named(const ngx_str_t *key, const char *name)
{
    return key->len == strlen(name) && ngx_strncasecmp(key->data, (u_char *)name, key->len) == 0;
}

/* Is a header removed, or replaced? */
static bool goes(const struct st_api_transform *t, const ngx_str_t *key)
{
    for (int i = 0; i < t->n_removed; i++)
        if (is_named(key, t->removed[i]))
            return true;
    for (int i = 0; i < t->headers.n; i++)
        if (is_named(key, t->headers.list[i].name))
            return true;
    return false;
}

/* --- the request --- */

static ngx_int_t push_request_header(ngx_http_request_t *r, struct st_arena *a, const char *name, ngx_str_t value)
{
    ngx_table_elt_t *h = ngx_list_push(&r->headers_in.headers);
    if (!h)
        return NGX_ERROR;
    h->key = ngx_http_api_str(name);
    h->value = value;
    h->lowcase_key = (u_char *)st_strdup(a, name);
    h->hash = ngx_hash_strlow(h->lowcase_key, h->key.data, h->key.len);
    return NGX_OK;
}

static bool stays(const void *data, const ngx_str_t *key)
{
    return !goes(data, key);
}

typedef struct {
    const char *const *names;
    size_t n;
} names_t;

static bool is_no_name(const void *data, const ngx_str_t *key)
{
    const names_t *names = data;
    for (size_t i = 0; i < names->n; i++)
        if (is_named(key, names->names[i]))
            return false;
    return true;
}

ngx_int_t ngx_http_api_without_headers(ngx_http_request_t *r, const char *const *names, size_t n)
{
    return ngx_http_api_keep_headers(r, is_no_name, &(names_t){names, n});
}

static ngx_int_t request_headers(ngx_http_request_t *r, shape_ctx_t *sc, const struct st_api_transform *t)
{
    if ((t->n_removed || t->headers.n) && ngx_http_api_keep_headers(r, stays, t) != NGX_OK)
        return NGX_ERROR;
    for (int i = 0; i < t->headers.n; i++) {
        const char *text = st_api_value_text(&t->headers.list[i], sc->params, &sc->arena);
        if (text &&
            push_request_header(r, &sc->arena, t->headers.list[i].name, as_header_value(&sc->arena, text)) != NGX_OK)
            return NGX_ERROR;
    }
    return NGX_OK;
}

/* What the service is asked for. Everything that forwards or signs looks at unparsed_uri. */
static ngx_int_t request_target(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx, shape_ctx_t *sc)
{
    const char *target =
        st_api_target(ctx->match.operation, sc->params, (const char *)r->args.data, r->args.len, &sc->arena);
    size_t path_len = target ? strcspn(target, "?") : 0;
    const char *fault = target ? st_path_fault(target, path_len) : "is too long";
    if (fault)
        return ngx_http_api_refuse(r, ST_E_INVALID, NULL, "The path that these parameters lead to %s.", fault);
    r->unparsed_uri = ngx_http_api_str(target);
    r->valid_unparsed_uri = 1;
    ctx->served_path = (ngx_str_t){path_len, r->unparsed_uri.data};
    return NGX_OK;
}

static ngx_int_t replace_body(ngx_http_request_t *r, shape_ctx_t *sc, const char *text)
{
    ngx_http_request_body_t *body = ngx_pcalloc(r->pool, sizeof(*body));
    ngx_chain_t *cl = ngx_alloc_chain_link(r->pool);
    ngx_buf_t *b = ngx_calloc_buf(r->pool);
    size_t len = strlen(text);
    if (!body || !cl || !b)
        return NGX_ERROR;
    b->pos = b->start = (u_char *)text;
    b->last = b->end = b->pos + len;
    b->memory = len > 0;
    b->last_buf = 1;
    cl->buf = b;
    cl->next = NULL;
    body->bufs = len ? cl : NULL;
    r->request_body = body;
    r->headers_in.content_length_n = (off_t)len;
    r->headers_in.chunked = 0;
    r->reading_body = 0;
    if (!len || r->headers_in.content_type)
        return NGX_OK;
    return push_request_header(r, &sc->arena, "Content-Type", (ngx_str_t)ngx_string("application/json"));
}

/* The body, which is in memory: body_step has seen to it. */
static const char *request_body(const ngx_http_request_t *r, struct st_arena *a, size_t *ret_len)
{
    const ngx_chain_t *bufs = r->request_body ? r->request_body->bufs : NULL;
    size_t len = 0;
    for (const ngx_chain_t *cl = bufs; cl; cl = cl->next)
        len += (size_t)(cl->buf->last - cl->buf->pos);
    char *all = st_alloc(a, len + 1), *p = all;
    for (const ngx_chain_t *cl = bufs; cl; cl = cl->next)
        if (cl->buf->last > cl->buf->pos)
            p = (char *)ngx_cpymem(p, cl->buf->pos, cl->buf->last - cl->buf->pos);
    *ret_len = len;
    return all;
}

/* Without a body the patch begins with an empty object. */
static ngx_int_t patch_request(ngx_http_request_t *r, shape_ctx_t *sc, const struct st_patch *patch)
{
    struct st_arena *a = &sc->arena;
    const char *why = NULL;
    json_t *json;
    size_t len;
    const char *text = request_body(r, a, &len);
    if (!len) {
        text = "{}";
        len = 2;
    }
    if (st_json_parse(a, text, len, ST_JSON_DEPTH, &json, &why) < 0)
        return ngx_http_api_refuse(r, ST_E_INVALID, NULL, "The body %s.", why);
    if (st_patch_apply(patch, sc->params, a, json, &json, &why) < 0)
        return ngx_http_api_refuse(r, ST_E_UNPROCESSABLE, NULL, "The body cannot be brought into today's form: %s.",
                                   why);
    return replace_body(r, sc, st_json_text(a, json)) == NGX_OK ? NGX_OK : NGX_HTTP_INTERNAL_SERVER_ERROR;
}

ngx_int_t ngx_http_api_shape_step(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    const struct st_api_operation *op = ctx->match.operation;
    static const char *const range[] = {"range", "if-range"}; /* a part of an answer is of no use to a patch */
    struct st_schema_errors errors = {.count = 0};
    if ((!op->of && !op->request && !op->response) || ctx->upstream.len)
        return NGX_OK;
    shape_ctx_t *sc = new_ctx(r);
    if (!sc)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    if (ngx_http_api_params(r, ctx, &sc->arena, &sc->params, &errors) < 0)
        return ngx_http_api_refuse(r, ST_E_INVALID, &errors, "The parameters are not as this operation wants them.");
    if (op->request && request_headers(r, sc, op->request) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    if (op->response && op->response->patch && ngx_http_api_without_headers(r, range, ST_COUNT(range)) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    if (op->request && op->request->patch) {
        ngx_int_t rc = patch_request(r, sc, op->request->patch);
        if (rc != NGX_OK)
            return rc;
    } else if (op->of && !op->of->n_bodies && r->headers_in.content_length_n > 0) {
        if (replace_body(r, sc, "") != NGX_OK)
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return op->of ? request_target(r, ctx, sc) : NGX_OK;
}

/* --- the answer --- */

/* nginx keeps pointers to some headers besides the list. */
static void forget_known_header(ngx_http_request_t *r, const ngx_table_elt_t *h)
{
    ngx_table_elt_t **known[] = {&r->headers_out.location, &r->headers_out.last_modified, &r->headers_out.expires,
                                 &r->headers_out.accept_ranges, &r->headers_out.www_authenticate};
    if (h == r->headers_out.last_modified)
        r->headers_out.last_modified_time = -1;
    for (size_t i = 0; i < ST_COUNT(known); i++)
        if (*known[i] == h)
            *known[i] = NULL;
}

static ngx_int_t answer_headers(ngx_http_request_t *r, shape_ctx_t *sc, const struct st_api_transform *t)
{
    for (ngx_list_part_t *part = &r->headers_out.headers.part; part; part = part->next) {
        ngx_table_elt_t *h = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (!h[i].hash || !goes(t, &h[i].key))
                continue;
            forget_known_header(r, &h[i]);
            h[i].hash = 0;
        }
    }
    for (int i = 0; i < t->headers.n; i++) {
        const char *text = st_api_value_text(&t->headers.list[i], sc->params, &sc->arena);
        if (!text)
            continue;
        ngx_str_t value = as_header_value(&sc->arena, text);
        if (ngx_http_api_add_header(r, t->headers.list[i].name, &value) != NGX_OK)
            return NGX_ERROR;
    }
    return NGX_OK;
}

/* RFC 5829: the version that will stay. */
static ngx_int_t successor_link(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx)
{
    ngx_str_t value = {ctx->served_path.len + sizeof("<>; rel=\"successor-version\"") - 1, NULL};
    if (!ctx->match.operation->deprecated_since || !ctx->served_path.len)
        return NGX_OK;
    if (!(value.data = ngx_pnalloc(r->pool, value.len)))
        return NGX_ERROR;
    (void)ngx_sprintf(value.data, "<%V>; rel=\"successor-version\"", &ctx->served_path);
    return ngx_http_api_add_header(r, "Link", &value);
}

/* The answer becomes a 502; gives what a filter returns. What the service still says is not heard. */
static ngx_int_t fail(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx, shape_ctx_t *sc, const char *why)
{
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "api: the answer to %s cannot be transformed: %s",
                  ctx->match.operation->id, why);
    sc->state = FAILING;
    ngx_http_clean_header(r);
    ngx_int_t rc = ngx_http_api_send_problem(r, ST_E_BAD_GATEWAY, NGX_HTTP_BAD_GATEWAY, NULL, NULL);
    sc->state = FAILED;
    return rc;
}

static bool is_success(const ngx_http_request_t *r)
{
    return r->headers_out.status >= NGX_HTTP_OK && r->headers_out.status < NGX_HTTP_SPECIAL_RESPONSE;
}

/* The header of an answer whose body will be patched: held until that is done. */
static ngx_int_t begin_patch(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx, shape_ctx_t *sc)
{
    ngx_http_weak_etag(r);
    ngx_http_clear_accept_ranges(r);
    r->allow_ranges = 0;
    if (r->method == NGX_HTTP_HEAD) {
        ngx_http_clear_content_length(r);
        return next_header_filter(r);
    }
    if (r->headers_out.content_encoding && r->headers_out.content_encoding->value.len)
        return fail(r, ctx, sc, "it is encoded");
    if (r->headers_out.content_length_n > NGX_HTTP_API_SHAPE_MAX)
        return fail(r, ctx, sc, "it is too large");
    r->disable_not_modified = 0; /* nginx leaves conditions to the service, which has answered */
    if (r->upstream)
        r->upstream->buffering = 0; /* every byte is taken at once: nothing may go to a file meanwhile */
    sc->state = BODY;
    return NGX_OK;
}

static ngx_int_t header_filter(ngx_http_request_t *r)
{
    shape_ctx_t *sc = r == r->main ? ngx_http_get_module_ctx(r, ngx_http_api_shape_module) : NULL;
    if (!sc || sc->state != HEADER)
        return next_header_filter(r);
    const ngx_http_api_ctx_t *ctx = ngx_http_api_get_ctx(r);
    const struct st_api_transform *t = ctx->match.operation->response;
    sc->state = DONE;
    if (successor_link(r, ctx) != NGX_OK)
        return NGX_ERROR;
    if (!t || !is_success(r))
        return next_header_filter(r);
    if (answer_headers(r, sc, t) != NGX_OK)
        return NGX_ERROR;
    if (!t->patch || r->headers_out.status == NGX_HTTP_NO_CONTENT || !ngx_http_api_is_json(r))
        return next_header_filter(r);
    return begin_patch(r, ctx, sc);
}

static ngx_int_t send_patched(ngx_http_request_t *r, const char *text)
{
    ngx_buf_t *b = ngx_calloc_buf(r->pool);
    if (!b)
        return NGX_ERROR;
    b->pos = b->start = (u_char *)text;
    b->last = b->end = b->pos + strlen(text);
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;
    ngx_http_clear_content_length(r);
    r->headers_out.content_length_n = b->last - b->pos;
    ngx_int_t rc = next_header_filter(r);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only)
        return rc;
    ngx_chain_t out = {.buf = b, .next = NULL};
    return next_body_filter(r, &out);
}

static ngx_int_t finish(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx, shape_ctx_t *sc)
{
    const char *why;
    json_t *json;
    if (st_json_parse(&sc->arena, sc->held.len ? (char *)sc->held.data : "", sc->held.len, ST_JSON_DEPTH, &json, &why) <
            0 ||
        st_patch_apply(ctx->match.operation->response->patch, sc->params, &sc->arena, json, &json, &why) < 0)
        return fail(r, ctx, sc, why);
    sc->state = DONE;
    return send_patched(r, st_json_text(&sc->arena, json));
}

static ngx_int_t body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    shape_ctx_t *sc = r == r->main ? ngx_http_get_module_ctx(r, ngx_http_api_shape_module) : NULL;
    if (!sc || sc->state == HEADER || sc->state == DONE || sc->state == FAILING)
        return next_body_filter(r, in);
    const ngx_http_api_ctx_t *ctx = ngx_http_api_get_ctx(r);
    bool last = false;
    ngx_int_t rc = sc->state == BODY ? ngx_http_api_hold(r, &sc->held, in, NGX_HTTP_API_SHAPE_MAX) : NGX_OK;
    for (ngx_chain_t *cl = in; cl; cl = cl->next) {
        last = last || cl->buf->last_buf;
        cl->buf->pos = cl->buf->last;
    }
    if (sc->state == FAILED)
        return NGX_OK;
    if (rc != NGX_OK)
        return rc == NGX_DECLINED ? fail(r, ctx, sc, "it is too large") : NGX_ERROR;
    if (last)
        return finish(r, ctx, sc);
    if (r->upstream && !r->upstream->peer.connection) /* nginx flushes what it has of an answer that broke off */
        return fail(r, ctx, sc, "it broke off");
    return NGX_OK;
}

void ngx_http_api_transform_filter(void)
{
    next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = header_filter;
    next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = body_filter;
}
