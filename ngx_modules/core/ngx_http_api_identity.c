/*
 * What a service is told of an admitted request: who asks for what, signed by the edge when it has a key. It is put
 * among the request's own headers, so that whatever forwards them carries it and no configuration can leave a part out.
 * Credentials stay here.
 */
#include "ngx_http_api.h"

enum header_e { OPERATION, USER, SESSION, ROLES, TIER, CORRELATION_ID, ADDRESS, TIME, SIGNATURE, TRACEPARENT, HEADERS };

#define HEADER(name)                                                                                                   \
    {                                                                                                                  \
        .key = ngx_string(name), .line = ngx_string(CRLF name ": "), .lowcase = name                                   \
    }

static struct {
    ngx_str_t key, line; /* line: how it stands in a request of HTTP/1, behind another one */
    u_char lowcase[24];
    ngx_uint_t hash;
} names[HEADERS] = {
    [OPERATION] = HEADER("X-Api-Operation"), [USER] = HEADER("X-Api-User"),
    [SESSION] = HEADER("X-Api-Session"),     [ROLES] = HEADER("X-Api-Roles"),
    [TIER] = HEADER("X-Api-Tier"),           [CORRELATION_ID] = HEADER("X-Api-Correlation-Id"),
    [ADDRESS] = HEADER("X-Api-Address"),     [TIME] = HEADER("X-Api-Time"),
    [SIGNATURE] = HEADER("X-Api-Signature"), [TRACEPARENT] = HEADER("traceparent"),
};

void ngx_http_api_identity_init(void)
{
    for (int i = 0; i < HEADERS; i++)
        names[i].hash = ngx_hash_strlow(names[i].lowcase, names[i].key.data, names[i].key.len);
}

static const char *c_string(struct st_arena *a, const ngx_str_t *s)
{
    return st_strndup(a, s->len ? (const char *)s->data : "", s->len);
}

/* Of texts that have a NUL behind them where they lie. */
static const char *as_is(const ngx_str_t *s)
{
    return s->len ? (const char *)s->data : "";
}

/* Without a key nothing is signed, and a service that wants a signature refuses the request. */
static ngx_int_t sign(ngx_http_request_t *r, ngx_str_t values[HEADERS])
{
    const ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_api_core_module);
    if (!amcf->signing_key.len)
        return NGX_OK;
    const ngx_http_api_ctx_t *ctx = ngx_http_api_get_ctx(r);
    struct st_arena *a = ngx_http_api_scratch();
    u_char *room = ngx_pnalloc(r->pool, ST_EDGE_SIGNATURE_LEN + NGX_INT64_LEN + 1), *time;
    if (!room)
        return NGX_ERROR;
    time = room + ST_EDGE_SIGNATURE_LEN;
    u_char *end = ngx_http_api_decimal(time, ngx_time());
    *end = '\0';
    values[TIME] = (ngx_str_t){(size_t)(end - time), time};
    const struct st_edge_identity id = {
        .method = ctx->fallback && r->method != NGX_HTTP_HEAD ? c_string(a, &ctx->method)
                                                              : st_api_method_names[ngx_http_api_served(ctx)->method],
        .uri = c_string(a, &r->unparsed_uri),
        .operation = as_is(&values[OPERATION]),
        .user = as_is(&values[USER]),
        .session = as_is(&values[SESSION]),
        .roles = as_is(&values[ROLES]),
        .tier = as_is(&values[TIER]),
        .correlation_id = as_is(&values[CORRELATION_ID]),
        .address = c_string(a, &values[ADDRESS]),
        .time = as_is(&values[TIME]),
    };
    st_edge_sign(amcf->signing_key.data, amcf->signing_key.len, &id, (char *)room);
    values[SIGNATURE] = (ngx_str_t){ST_EDGE_SIGNATURE_LEN - 1, room};
    return NGX_OK;
}

/*
 * The element of the client's credentials: the operation's name takes its place, for a list of nginx has no way to
 * remove one. It may be a copy of the one that nginx points to, so it is known by where its text lies.
 */
static ngx_table_elt_t *credentials(ngx_http_request_t *r)
{
    const ngx_table_elt_t *known = r->headers_in.authorization;
    for (const ngx_list_part_t *part = &r->headers_in.headers.part; known && part; part = part->next) {
        ngx_table_elt_t *h = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++)
            if (h[i].value.data == known->value.data)
                return &h[i];
    }
    return NULL;
}

/*
 * All of it as one element: the first header's value goes on, line by line, with the others. nginx copies it as it is
 * into a request of HTTP/1, which is what api_pass makes; a dozen elements take several times as long.
 */
static ngx_int_t put_together(ngx_http_request_t *r, ngx_table_elt_t *h, const ngx_str_t values[HEADERS])
{
    size_t len = 0;
    for (int i = 0; i < HEADERS; i++)
        len += names[i].line.len + values[i].len;
    u_char *text = ngx_pnalloc(r->pool, len), *p = text;
    if (!text)
        return NGX_ERROR;
    p = ngx_cpymem(p, values[OPERATION].data, values[OPERATION].len);
    for (int i = OPERATION + 1; i < HEADERS; i++) {
        if (!values[i].len)
            continue;
        p = ngx_cpymem(p, names[i].line.data, names[i].line.len);
        p = ngx_cpymem(p, values[i].data, values[i].len);
    }
    *h = (ngx_table_elt_t){.hash = names[OPERATION].hash,
                           .key = names[OPERATION].key,
                           .value = {(size_t)(p - text), text},
                           .lowcase_key = names[OPERATION].lowcase};
    return NGX_OK;
}

ngx_int_t ngx_http_api_identity_step(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    const ngx_http_api_identity_t *id = &ctx->identity;
    ngx_str_t values[HEADERS] = {
        [OPERATION] = ngx_http_api_str(ngx_http_api_served(ctx)->id),
        [USER] = id->user,
        [SESSION] = id->session,
        [ROLES] = id->roles,
        [TIER] = id->tier,
        [CORRELATION_ID] = ctx->correlation_id,
        [ADDRESS] = r->connection->addr_text,
        [TRACEPARENT] = ctx->traceparent,
    };
    ngx_table_elt_t *place = ctx->upstream.len ? NULL : credentials(r);
    if (sign(r, values) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    if (place)
        r->headers_in.authorization = NULL;
    const ngx_http_api_loc_conf_t *alcf = ngx_http_get_module_loc_conf(r, ngx_http_api_core_module);
    if (alcf->passes && !ctx->upstream.len && !ctx->shadow) {
        ngx_table_elt_t *h = place ? place : ngx_list_push(&r->headers_in.headers);
        return h && put_together(r, h, values) == NGX_OK ? NGX_OK : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    for (int i = 0; i < HEADERS; i++) {
        if (!values[i].len)
            continue;
        ngx_table_elt_t *h = i == OPERATION && place ? place : ngx_list_push(&r->headers_in.headers);
        if (!h)
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        *h = (ngx_table_elt_t){
            .hash = names[i].hash, .key = names[i].key, .value = values[i], .lowcase_key = names[i].lowcase};
    }
    return NGX_OK;
}
