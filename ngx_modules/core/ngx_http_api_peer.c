/*
 * What happens between nginx and a service: each attempt's result for the breaker, and how often and how long an
 * operation may try (x-retry).
 *
 * This runs around the upstream's own functions (balancer, keepalive), whichever they are.
 */
#include "ngx_http_api.h"

typedef struct {
    ngx_http_request_t *request;
    ngx_http_api_ctx_t *ctx;
    const ngx_http_api_service_t *service;
    ngx_uint_t left; /* attempts, this one included; 0: nginx's own rules hold */
    void *data;
    ngx_event_get_peer_pt get;
    ngx_event_free_peer_pt free;
#if (NGX_SSL || NGX_COMPAT)
    ngx_event_set_peer_session_pt set_session;
    ngx_event_save_peer_session_pt save_session;
#endif
} peer_t;

/*
 * Several servers, each of them tried before or down: no connection is attempted, and nginx would not call free.
 */
static ngx_int_t get_peer(ngx_peer_connection_t *pc, void *data)
{
    peer_t *p = data;
    ngx_int_t rc = p->get(pc, p->data);
    if (rc == NGX_BUSY)
        ngx_http_api_breaker_result(p->service, p->ctx, NGX_HTTP_API_FAILURE);
    return rc;
}

/* The answer's body broke off. */
static bool cut(const ngx_event_pipe_t *pipe)
{
    return pipe && (pipe->upstream_error || (pipe->upstream_eof && !pipe->upstream_done && pipe->length != -1));
}

static enum ngx_http_api_result_e result_of(const peer_t *p, const ngx_peer_connection_t *pc, ngx_uint_t state)
{
    const ngx_http_upstream_t *u = p->request->upstream;
    ngx_uint_t status = u->headers_in.status_n;
    bool broken = state & NGX_PEER_FAILED || cut(u->pipe);
    /* A kept connection that the service has closed meanwhile: nothing has been asked yet. */
    if (state & NGX_PEER_FAILED && pc->cached && pc->connection && !pc->connection->read->timedout)
        return NGX_HTTP_API_UNKNOWN;
    if (broken || status == NGX_HTTP_BAD_GATEWAY || status == NGX_HTTP_SERVICE_UNAVAILABLE ||
        status == NGX_HTTP_GATEWAY_TIME_OUT)
        return NGX_HTTP_API_FAILURE;
    return status ? NGX_HTTP_API_SUCCESS : NGX_HTTP_API_UNKNOWN;
}

static void free_peer(ngx_peer_connection_t *pc, void *data, ngx_uint_t state)
{
    peer_t *p = data;
    ngx_http_api_breaker_result(p->service, p->ctx, result_of(p, pc, state));
    p->free(pc, p->data, state);
}

#if (NGX_SSL || NGX_COMPAT)
static ngx_int_t set_session(ngx_peer_connection_t *pc, void *data)
{
    peer_t *p = data;
    return p->set_session(pc, p->data);
}

static void save_session(ngx_peer_connection_t *pc, void *data)
{
    peer_t *p = data;
    p->save_session(pc, p->data);
}
#endif

ngx_int_t ngx_http_api_peer_init(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx, const ngx_http_api_service_t *service)
{
    ngx_peer_connection_t *pc = &r->upstream->peer;
    peer_t *p = ngx_palloc(r->pool, sizeof(*p));
    if (!p)
        return NGX_ERROR;
    *p = (peer_t){.request = r, .ctx = ctx, .service = service, .data = pc->data, .get = pc->get, .free = pc->free};
    pc->data = p;
    pc->get = get_peer;
    pc->free = free_peer;
#if (NGX_SSL || NGX_COMPAT)
    p->set_session = pc->set_session;
    p->save_session = pc->save_session;
    pc->set_session = pc->set_session ? set_session : NULL;
    pc->save_session = pc->save_session ? save_session : NULL;
#endif
    return NGX_OK;
}
