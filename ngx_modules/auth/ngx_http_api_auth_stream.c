/*
 * Answers that outlive their credentials: a stream of events is ended when the token or key behind it expires, is
 * revoked, or is removed.
 */
#include "ngx_http_api_auth.h"

enum { LOOK_MS = 1000 };

static ngx_http_output_header_filter_pt next_header_filter;

static bool still_valid(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx)
{
    const ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_api_core_module);
    const ngx_http_api_zone_t *z = &amcf->zones[NGX_HTTP_API_ZONE_STATE];
    ngx_http_api_override_t o;
    u_char hash[2 * ST_SHA256_LEN], buf[NGX_HTTP_API_KEY_MAX];
    ngx_str_t key = {sizeof(hash), hash}, value;
    int64_t until;
    if (ctx->identity.expires <= ngx_time())
        return false;
    if (ctx->identity.key.len && (!ngx_http_api_auth_key_hash(ctx, hash) ||
                                  !ngx_http_api_state_api_key(z, &key, ngx_time(), buf, &value, &until)))
        return false;
    ngx_http_api_state_lookup(z, &ctx->identity.session, &ctx->identity.user, ngx_time(), &o);
    return !o.revoked;
}

/*
 * As if the client had hung up, which is what an upstream's reader looks for: finalising a request around its upstream
 * would free it twice. What was sent has no proper end, so nothing may follow on the connection.
 */
static void end(ngx_http_request_t *r)
{
    ngx_connection_t *c = r->connection;
    r->keepalive = 0;
    r->lingering_close = 0;
    c->error = 1;
    if (r->upstream)
        r->read_event_handler(r);
    else
        ngx_http_finalize_request(r, NGX_ERROR);
    ngx_http_run_posted_requests(c);
}

static void look(ngx_event_t *ev)
{
    ngx_http_request_t *r = ev->data;
    if (still_valid(r, ngx_http_api_get_ctx(r))) {
        ngx_add_timer(ev, LOOK_MS);
        return;
    }
    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0, "api: a stream ends with its credentials");
    end(r);
}

static void stop(void *data)
{
    ngx_event_t *ev = data;
    if (ev->timer_set)
        ngx_del_timer(ev);
}

static bool is_stream(const ngx_http_request_t *r)
{
    static const char type[] = "text/event-stream";
    const ngx_str_t *t = &r->headers_out.content_type;
    return t->len >= sizeof(type) - 1 && ngx_strncasecmp(t->data, (u_char *)type, sizeof(type) - 1) == 0;
}

static ngx_int_t header_filter(ngx_http_request_t *r)
{
    const ngx_http_api_ctx_t *ctx = r == r->main && !r->header_only && is_stream(r) ? ngx_http_api_get_ctx(r) : NULL;
    if (ctx && ctx->identified) {
        ngx_pool_cleanup_t *cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_event_t));
        if (!cln)
            return NGX_ERROR;
        ngx_event_t *ev = cln->data;
        ngx_memzero(ev, sizeof(*ev));
        ev->handler = look;
        ev->data = r;
        ev->log = r->connection->log;
        ev->cancelable = 1;
        cln->handler = stop;
        ngx_add_timer(ev, LOOK_MS);
    }
    return next_header_filter(r);
}

ngx_int_t ngx_http_api_auth_watch_streams(ngx_conf_t *cf)
{
    next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = header_filter;
    return NGX_OK;
}
