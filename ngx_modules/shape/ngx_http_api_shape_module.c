/*
 * The shape module: what a request looks like to the service, and an answer to the client, when the contract wants them
 * otherwise than they came.
 */
#include "ngx_http_api_shape.h"

static void *create_loc_conf(ngx_conf_t *cf);
static char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
static ngx_int_t init(ngx_conf_t *cf);

enum { ANYWHERE = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF };

static ngx_command_t commands[] = {
    {ngx_string("api_cors_origin"), ANYWHERE | NGX_CONF_1MORE, ngx_http_api_cors_origin, NGX_HTTP_LOC_CONF_OFFSET, 0,
     NULL},
    {ngx_string("api_cors_credentials"), ANYWHERE | NGX_CONF_FLAG, ngx_conf_set_flag_slot, NGX_HTTP_LOC_CONF_OFFSET,
     offsetof(ngx_http_api_shape_loc_conf_t, credentials), NULL},
    {ngx_string("api_cache_answer"), ANYWHERE | NGX_CONF_TAKE1, ngx_conf_set_size_slot, NGX_HTTP_LOC_CONF_OFFSET,
     offsetof(ngx_http_api_shape_loc_conf_t, cache_answer), NULL},
    {ngx_string("api_cache_memory"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, ngx_conf_set_size_slot,
     NGX_HTTP_LOC_CONF_OFFSET, offsetof(ngx_http_api_shape_loc_conf_t, cache_memory), NULL},
    {ngx_string("api_cache_redis"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, ngx_conf_set_size_slot,
     NGX_HTTP_LOC_CONF_OFFSET, offsetof(ngx_http_api_shape_loc_conf_t, cache_redis), NULL},
    {ngx_string("api_fallback"), ANYWHERE | NGX_CONF_TAKE1, ngx_http_api_set_fallback, NGX_HTTP_LOC_CONF_OFFSET, 0,
     NULL},
    {ngx_string("api_migrate"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE2, ngx_http_api_set_migrate,
     NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL},
    {ngx_string("api_shadow"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE12, ngx_http_api_set_shadow, NGX_HTTP_MAIN_CONF_OFFSET,
     0, NULL},
    ngx_null_command,
};

static ngx_http_module_t module_ctx = {NULL, init, ngx_http_api_migrate_conf, NULL,
                                       NULL, NULL, create_loc_conf,           merge_loc_conf};

ngx_module_t ngx_http_api_shape_module = {
    NGX_MODULE_V1, &module_ctx, commands, NGX_HTTP_MODULE,       NULL, NULL, NULL, NULL,
    NULL,          NULL,        NULL,     NGX_MODULE_V1_PADDING,
};

ngx_int_t ngx_http_api_hold(ngx_http_request_t *r, ngx_http_api_held_t *held, const ngx_chain_t *in, size_t max)
{
    for (const ngx_chain_t *cl = in; cl; cl = cl->next) {
        const ngx_buf_t *b = cl->buf;
        size_t n = ngx_buf_in_memory(b) ? (size_t)(b->last - b->pos) : 0;
        if (!ngx_buf_in_memory(b) && b->in_file)
            return NGX_ERROR;
        if (held->len + n > max)
            return NGX_DECLINED;
        if (held->len + n > held->cap) {
            size_t cap = ngx_max(2 * held->cap, ngx_max(held->len + n, 4096));
            u_char *data = ngx_pnalloc(r->pool, cap);
            if (!data)
                return NGX_ERROR;
            if (held->len)
                ngx_memcpy(data, held->data, held->len);
            if (held->data)
                (void)ngx_pfree(r->pool, held->data); /* only large blocks go back */
            held->data = data;
            held->cap = cap;
        }
        if (n)
            ngx_memcpy(held->data + held->len, b->pos, n);
        held->len += n;
    }
    return NGX_OK;
}

bool ngx_http_api_is_json(const ngx_http_request_t *r)
{
    static const char json[] = "application/json";
    const ngx_str_t *type = &r->headers_out.content_type;
    size_t len = sizeof(json) - 1;
    return type->len >= len && ngx_strncasecmp(type->data, (u_char *)json, len) == 0 &&
           (type->len == len || type->data[len] == ';' || type->data[len] == ' ');
}

static void *create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_api_shape_loc_conf_t *conf = ngx_pcalloc(cf->pool, sizeof(*conf));
    if (!conf)
        return NULL;
    conf->credentials = NGX_CONF_UNSET;
    conf->cache_answer = conf->cache_memory = conf->cache_redis = NGX_CONF_UNSET_SIZE;
    return conf;
}

static char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    const ngx_http_api_shape_loc_conf_t *prev = parent;
    ngx_http_api_shape_loc_conf_t *conf = child;
    ngx_conf_merge_value(conf->credentials, prev->credentials, 0);
    ngx_conf_merge_size_value(conf->cache_answer, prev->cache_answer, 2 * 1024 * 1024);
    ngx_conf_merge_size_value(conf->cache_memory, prev->cache_memory, 32 * 1024 * 1024);
    ngx_conf_merge_size_value(conf->cache_redis, prev->cache_redis, 128 * 1024 * 1024);
    if (!conf->fallback.data)
        conf->fallback = prev->fallback;
    if (!conf->origins) {
        conf->origins = prev->origins;
        conf->any_origin = prev->any_origin;
    }
    if (conf->any_origin && conf->credentials)
        return "api_cors_credentials needs origins by name";
    return NGX_CONF_OK;
}

static ngx_int_t init(ngx_conf_t *cf)
{
    const ngx_http_api_main_conf_t *amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_api_core_module);
    bool caches = false, transforms = false;
    if (!amcf->api)
        return NGX_OK;
    if (ngx_http_api_plan(cf, amcf->api) != NGX_CONF_OK)
        return NGX_ERROR;
    for (int i = 0; i < amcf->api->n_operations; i++) {
        const struct st_api_operation *op = &amcf->api->operations[i];
        caches |= op->cache != NULL;
        transforms |= op->of || op->request || op->response;
    }
    /* The last one that is added runs first, and only what is used is added: they see every answer. */
    ngx_http_api_cors_filter();
    if (caches)
        ngx_http_api_cache_filter();
    if (transforms)
        ngx_http_api_transform_filter();
    if (ngx_http_api_shadows(cf))
        ngx_http_api_shadow_filter();
    return NGX_OK;
}
