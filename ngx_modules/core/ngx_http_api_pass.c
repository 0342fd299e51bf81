/*
 * api_pass: to the service of the operation, as `proxy_pass http://$api_service` does it, without looking for the
 * upstream by its name in each request. The location gets one configuration of the proxy module for each service, made
 * by that module itself from its own directive and merged with what the location says.
 */
#include "ngx_http_api.h"

static const ngx_str_t proxy_pass = ngx_string("proxy_pass");

/* A module is known by its name alone: nginx declares none of them. */
static const ngx_module_t *proxy_module(const ngx_conf_t *cf)
{
    for (ngx_uint_t i = 0; cf->cycle->modules[i]; i++)
        if (ngx_strcmp(cf->cycle->modules[i]->name, "ngx_http_proxy_module") == 0)
            return cf->cycle->modules[i];
    return NULL;
}

/* The directive `proxy_pass <url>`, for the location of cf. NULL, or what is wrong. */
static char *pass_to(ngx_conf_t *cf, const ngx_module_t *proxy, const char *url, void *conf)
{
    ngx_array_t *args = cf->args, mine;
    char *said = "cannot be used: this nginx has no proxy_pass";
    ngx_str_t *value = ngx_array_init(&mine, cf->pool, 2, sizeof(ngx_str_t)) == NGX_OK ? ngx_array_push_n(&mine, 2) : 0;
    if (!value)
        return NGX_CONF_ERROR;
    value[0] = proxy_pass;
    value[1] = ngx_http_api_str(url);
    cf->args = &mine;
    for (ngx_command_t *cmd = proxy->commands; cmd->name.len; cmd++)
        if (ngx_strcmp(cmd->name.data, proxy_pass.data) == 0)
            said = cmd->set(cf, cmd, conf);
    cf->args = args;
    return said;
}

char *ngx_http_api_set_pass(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_api_loc_conf_t *alcf = conf;
    const ngx_module_t *proxy = proxy_module(cf);
    const ngx_http_conf_ctx_t *ctx = cf->ctx;
    if (alcf->pass)
        return "is duplicate";
    if (!proxy)
        return "cannot be used: this nginx has no proxy_pass";
    alcf->pass = 1;
    return pass_to(cf, proxy, "http://$api_service", ctx->loc_conf[proxy->ctx_index]);
}

/* The configurations of the location of cf where `service` is passed to. NULL: a mistake, which has been logged. */
static void **configurations(ngx_conf_t *cf, const ngx_module_t *proxy, const char *service, struct st_arena *a)
{
    const ngx_http_conf_ctx_t *ctx = cf->ctx;
    const ngx_http_module_t *functions = proxy->ctx;
    void **all = ngx_palloc(cf->pool, ngx_http_max_module * sizeof(void *)), *conf = functions->create_loc_conf(cf);
    if (!all || !conf)
        return NULL;
    if (pass_to(cf, proxy, st_printf(a, "http://%s", service), conf) != NGX_CONF_OK ||
        functions->merge_loc_conf(cf, ctx->loc_conf[proxy->ctx_index], conf) != NGX_CONF_OK)
        return NULL;
    ngx_memcpy(all, ctx->loc_conf, ngx_http_max_module * sizeof(void *));
    all[proxy->ctx_index] = conf;
    return all;
}

ngx_int_t ngx_http_api_note_pass(ngx_conf_t *cf, ngx_http_api_main_conf_t *amcf, ngx_http_api_loc_conf_t *alcf)
{
    ngx_http_api_pass_t *pass = ngx_array_push(&amcf->passes);
    if (!pass)
        return NGX_ERROR;
    *pass = (ngx_http_api_pass_t){.alcf = alcf, .ctx = *(const ngx_http_conf_ctx_t *)cf->ctx};
    return NGX_OK;
}

/* After all modules have merged what the locations say, and upstreams are known. */
ngx_int_t ngx_http_api_make_passes(ngx_conf_t *cf, ngx_http_api_main_conf_t *amcf)
{
    ngx_http_api_pass_t *passes = amcf->passes.elts;
    const ngx_module_t *proxy = proxy_module(cf);
    void *outer = cf->ctx;
    ngx_int_t rc = NGX_OK;
    for (ngx_uint_t i = 0; rc == NGX_OK && i < amcf->passes.nelts; i++) {
        void ***to = ngx_pcalloc(cf->pool, ((size_t)amcf->api->n_services + 1) * sizeof(*to));
        cf->ctx = &passes[i].ctx;
        for (int s = 0; to && s < amcf->api->n_services; s++)
            if (!(to[s] = configurations(cf, proxy, amcf->api->services[s], &amcf->arena)))
                rc = NGX_ERROR;
        passes[i].alcf->passes = to;
        rc = to ? rc : NGX_ERROR;
    }
    cf->ctx = outer;
    return rc;
}
