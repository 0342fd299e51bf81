/*
 * api_pass: to the service of the operation, as `proxy_pass http://$api_service` does it, without looking for the
 * upstream by its name in each request. The location gets one configuration of the proxy module for each service and
 * timeout, made by that module itself from its own directives and merged with what the location says.
 */
#include "ngx_http_api.h"

static const char PROXY_PASS[] = "proxy_pass", READ_TIMEOUT[] = "proxy_read_timeout";

/* A module is known by its name alone: nginx declares none of them. */
static const ngx_module_t *proxy_module(const ngx_conf_t *cf)
{
    for (ngx_uint_t i = 0; cf->cycle->modules[i]; i++)
        if (ngx_strcmp(cf->cycle->modules[i]->name, "ngx_http_proxy_module") == 0)
            return cf->cycle->modules[i];
    return NULL;
}

/* The directive `<name> <value>`, for the location of cf. NULL, or what is wrong. */
static char *say(ngx_conf_t *cf, const ngx_module_t *proxy, const char *name, const char *value, void *conf)
{
    ngx_array_t *args = cf->args, mine;
    char *said = "cannot be used: this nginx has no proxy_pass";
    ngx_str_t *words = ngx_array_init(&mine, cf->pool, 2, sizeof(ngx_str_t)) == NGX_OK ? ngx_array_push_n(&mine, 2) : 0;
    if (!words)
        return NGX_CONF_ERROR;
    words[0] = ngx_http_api_str(name);
    words[1] = ngx_http_api_str(value);
    cf->args = &mine;
    for (ngx_command_t *cmd = proxy->commands; cmd->name.len; cmd++)
        if (ngx_strcmp(cmd->name.data, name) == 0)
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
    return say(cf, proxy, PROXY_PASS, "http://$api_service", ctx->loc_conf[proxy->ctx_index]);
}

/* The configurations of the location of cf where the operation is passed on. NULL: a mistake, which has been logged. */
static void **configurations(ngx_conf_t *cf, const ngx_module_t *proxy, const struct st_api_operation *op,
                             struct st_arena *a)
{
    const ngx_http_conf_ctx_t *ctx = cf->ctx;
    const ngx_http_module_t *functions = proxy->ctx;
    void **all = ngx_palloc(cf->pool, ngx_http_max_module * sizeof(void *)), *conf = functions->create_loc_conf(cf);
    if (!all || !conf)
        return NULL;
    if (say(cf, proxy, PROXY_PASS, st_printf(a, "http://%s", op->service), conf) != NGX_CONF_OK ||
        say(cf, proxy, READ_TIMEOUT, st_printf(a, "%dms", op->timeout_ms), conf) != NGX_CONF_OK ||
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

/* Operations of one service with one timeout have their configurations in common. */
static ngx_int_t make_pass(ngx_conf_t *cf, const struct st_api *api, void ***to, struct st_arena *a)
{
    const ngx_module_t *proxy = proxy_module(cf);
    for (int i = 0; i < api->n_operations; i++) {
        const struct st_api_operation *op = &api->operations[i], *other = api->operations;
        while (!st_streq(other->service, op->service) || other->timeout_ms != op->timeout_ms)
            other++;
        to[i] = other < op ? to[other - api->operations] : configurations(cf, proxy, op, a);
        if (!to[i])
            return NGX_ERROR;
    }
    return NGX_OK;
}

/* After all modules have merged what the locations say, and upstreams are known. */
ngx_int_t ngx_http_api_make_passes(ngx_conf_t *cf, ngx_http_api_main_conf_t *amcf)
{
    ngx_http_api_pass_t *passes = amcf->passes.elts;
    void *outer = cf->ctx;
    ngx_int_t rc = NGX_OK;
    for (ngx_uint_t i = 0; rc == NGX_OK && i < amcf->passes.nelts; i++) {
        passes[i].alcf->passes = ngx_pcalloc(cf->pool, ((size_t)amcf->api->n_operations + 1) * sizeof(void **));
        cf->ctx = &passes[i].ctx;
        rc = passes[i].alcf->passes ? make_pass(cf, amcf->api, passes[i].alcf->passes, &amcf->arena) : NGX_ERROR;
    }
    cf->ctx = outer;
    return rc;
}
