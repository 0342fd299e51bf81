/* Ties the contracts to nginx's upstreams: every x-service has one, and every operation its own timeout. */
#include "ngx_http_api.h"

/*
 * Runs around the upstream's own function. A configuration that has another timeout (that of proxy_pass: api_pass knows
 * better) is shared by other requests, so this one gets a copy.
 */
static ngx_int_t init_peer(ngx_http_request_t *r, ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_api_srv_conf_t *ascf = ngx_http_conf_upstream_srv_conf(us, ngx_http_api_core_module);
    ngx_http_api_ctx_t *ctx = ngx_http_api_get_ctx(r);
    ngx_http_upstream_conf_t *copy;
    if (ctx && ctx->admitted && r->upstream->conf->read_timeout != (ngx_msec_t)ctx->match.operation->timeout_ms) {
        if (!(copy = ngx_palloc(r->pool, sizeof(*copy))))
            return NGX_ERROR;
        *copy = *r->upstream->conf;
        copy->read_timeout = (ngx_msec_t)ctx->match.operation->timeout_ms;
        r->upstream->conf = copy;
    }
    if (ascf->init_peer(r, us) != NGX_OK)
        return NGX_ERROR;
    return ctx && ctx->admitted ? ngx_http_api_peer_init(r, ctx, ascf->service) : NGX_OK;
}

ngx_http_upstream_srv_conf_t *ngx_http_api_find_upstream(ngx_conf_t *cf, const char *name)
{
    const ngx_http_upstream_main_conf_t *umcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_upstream_module);
    ngx_http_upstream_srv_conf_t **all = umcf->upstreams.elts;
    for (ngx_uint_t i = 0; i < umcf->upstreams.nelts; i++)
        if (all[i]->srv_conf && all[i]->host.len == strlen(name) &&
            ngx_strncmp(all[i]->host.data, name, all[i]->host.len) == 0)
            return all[i];
    return NULL;
}

ngx_int_t ngx_http_api_wrap_upstreams(ngx_conf_t *cf, ngx_http_api_main_conf_t *amcf)
{
    const struct st_api *api = amcf->api;
    ngx_http_api_srv_conf_t *everywhere = ngx_http_conf_get_module_srv_conf(cf, ngx_http_api_core_module);
    if (everywhere->breaker.share == NGX_CONF_UNSET_UINT)
        ngx_http_api_breaker_default(&everywhere->breaker);
    for (int i = 0; i < api->n_operations; i++) {
        const struct st_api_operation *op = &api->operations[i];
        ngx_http_upstream_srv_conf_t *us = ngx_http_api_find_upstream(cf, op->service);
        if (!us) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "%s:%d: there is no upstream for the service \"%s\"", op->file,
                          op->line, op->service);
            return NGX_ERROR;
        }
        ngx_http_api_srv_conf_t *ascf = ngx_http_conf_upstream_srv_conf(us, ngx_http_api_core_module);
        ngx_http_api_service_t *service = amcf->operations[i].service;
        if (!ascf->init_peer) {
            ascf->service = service;
            service->conf = ascf->breaker.share == NGX_CONF_UNSET_UINT ? &everywhere->breaker : &ascf->breaker;
            ascf->init_peer = us->peer.init;
            us->peer.init = init_peer;
        }
    }
    return NGX_OK;
}
