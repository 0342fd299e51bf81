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
    ngx_uint_t on;   /* for what, as nginx's bits */
    ngx_msec_t started;
    ngx_http_upstream_conf_t *conf; /* of this request alone, with x-retry */
    void *data;
    ngx_event_get_peer_pt get;
    ngx_event_free_peer_pt free;
#if (NGX_SSL || NGX_COMPAT)
    ngx_event_set_peer_session_pt set_session;
    ngx_event_save_peer_session_pt save_session;
#endif
} peer_t;

/*
 * The time of one attempt: all that x-timeout has left, but when a timeout is worth another attempt, only this one's
 * part of it.
 */
static void set_time(peer_t *p)
{
    const struct st_api_operation *op = p->ctx->match.operation;
    ngx_msec_t gone = ngx_current_msec - p->started, all = (ngx_msec_t)op->timeout_ms;
    ngx_msec_t time = all > gone ? all - gone : 1;
    if (op->retry_on & ST_RETRY_TIMEOUT)
        time = ngx_max(time / p->left, 1);
    p->conf->read_timeout = time;
    p->conf->connect_timeout = ngx_min(p->conf->connect_timeout, time);
}

static ngx_int_t get_peer(ngx_peer_connection_t *pc, void *data)
{
    peer_t *p = data;
    if (p->left)
        set_time(p);
    ngx_int_t rc = p->get(pc, p->data);
    if (rc == NGX_BUSY) /* each server is down or was tried: no connection is attempted, and nobody will call free */
        ngx_http_api_breaker_result(p->service, p->ctx, NGX_HTTP_API_FAILURE);
    return rc;
}

/* The answer's body broke off. */
static bool cut(const ngx_event_pipe_t *pipe)
{
    return pipe && (pipe->upstream_error || (pipe->upstream_eof && !pipe->upstream_done && pipe->length != -1));
}

static enum ngx_http_api_result_e result_of(const peer_t *p, ngx_uint_t state)
{
    const ngx_http_upstream_t *u = p->request->upstream;
    ngx_uint_t status = u->headers_in.status_n;
    if (state & NGX_PEER_FAILED || cut(u->pipe) || p->ctx->unusable || status == NGX_HTTP_BAD_GATEWAY ||
        status == NGX_HTTP_SERVICE_UNAVAILABLE || status == NGX_HTTP_GATEWAY_TIME_OUT)
        return NGX_HTTP_API_FAILURE;
    return status ? NGX_HTTP_API_SUCCESS : NGX_HTTP_API_UNKNOWN;
}

/* Balancers count servers, and give up after the last one: how often an operation may try is told here. */
static void set_tries(peer_t *p, ngx_peer_connection_t *pc, bool stale)
{
    const ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(p->request, ngx_http_api_core_module);
    pc->tries = p->left - 1; /* nginx adds one for a stale connection */
    p->conf->next_upstream = p->on | (stale ? NGX_HTTP_UPSTREAM_FT_ERROR : 0);
    if (stale)
        return;
    p->left--;
    if (p->service->breaker->state == NGX_HTTP_API_OPEN)
        pc->tries = 0;
    if (pc->tries)
        ngx_http_api_count(&amcf->zones[NGX_HTTP_API_ZONE_STATE], NGX_HTTP_API_N_RETRIES);
}

static void free_peer(ngx_peer_connection_t *pc, void *data, ngx_uint_t state)
{
    peer_t *p = data;
    bool failed = state & NGX_PEER_FAILED;
    /* A kept connection that the service has closed meanwhile says nothing of the service. */
    bool stale = failed && pc->cached && pc->connection && !pc->connection->read->timedout &&
                 !p->request->upstream->headers_in.status_n;
    ngx_http_api_breaker_result(p->service, p->ctx, stale ? NGX_HTTP_API_UNKNOWN : result_of(p, state));
    p->free(pc, p->data, state);
    if (p->left && failed)
        set_tries(p, pc, stale);
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

static ngx_int_t allow_retries(peer_t *p, ngx_http_upstream_t *u)
{
    static const struct {
        unsigned bit;
        ngx_uint_t next;
    } reasons[] = {
        {ST_RETRY_ERROR, NGX_HTTP_UPSTREAM_FT_ERROR | NGX_HTTP_UPSTREAM_FT_INVALID_HEADER},
        {ST_RETRY_TIMEOUT, NGX_HTTP_UPSTREAM_FT_TIMEOUT},
        {ST_RETRY_502, NGX_HTTP_UPSTREAM_FT_HTTP_502},
        {ST_RETRY_503, NGX_HTTP_UPSTREAM_FT_HTTP_503},
        {ST_RETRY_504, NGX_HTTP_UPSTREAM_FT_HTTP_504},
    };
    const struct st_api_operation *op = p->ctx->match.operation;
    if (!(p->conf = ngx_palloc(p->request->pool, sizeof(*p->conf))))
        return NGX_ERROR;
    *p->conf = *u->conf;
    p->on = NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT; /* the contract's reader has seen to it */
    for (size_t i = 0; i < ST_COUNT(reasons); i++)
        if (op->retry_on & reasons[i].bit)
            p->on |= reasons[i].next;
    p->conf->next_upstream = p->on;
    p->conf->next_upstream_timeout = (ngx_msec_t)op->timeout_ms;
    p->conf->next_upstream_tries = 0;
    p->started = ngx_current_msec;
    p->left = (ngx_uint_t)op->attempts;
    u->conf = p->conf;
    u->peer.tries = p->left;
    return NGX_OK;
}

/* nginx takes what is not HTTP for HTTP/0.9 and hands it on byte by byte, and any status below 200 as it is. */
bool ngx_http_api_unusable_answer(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    const ngx_http_upstream_t *u = r->upstream;
    bool raw = u && r->http_version == NGX_HTTP_VERSION_9;
    bool interim = u && r->headers_out.status < NGX_HTTP_OK && !u->upgrade;
    if (!raw && !interim)
        return false;
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "api: the service of %s sent what is no answer",
                  ctx->match.operation->id);
    if (raw)
        r->http_version = NGX_HTTP_VERSION_11; /* the route module lets nothing older in than HTTP/1.0 */
    r->keepalive = 0;
    ctx->unusable = 1;
    return true;
}

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
    return ctx->match.operation->attempts > 1 ? allow_retries(p, r->upstream) : NGX_OK;
}
