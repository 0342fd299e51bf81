/*
 * The shape module: what a request looks like to the service, and an answer to the client, when the contract wants them
 * otherwise than they came.
 */
#include "ngx_http_api_shape.h"

static ngx_int_t init(ngx_conf_t *cf);

static ngx_command_t commands[] = {
    ngx_null_command,
};

static ngx_http_module_t module_ctx = {NULL, init, NULL, NULL, NULL, NULL, NULL, NULL};

ngx_module_t ngx_http_api_shape_module = {
    NGX_MODULE_V1, &module_ctx, commands, NGX_HTTP_MODULE,       NULL, NULL, NULL, NULL,
    NULL,          NULL,        NULL,     NGX_MODULE_V1_PADDING,
};

ngx_int_t ngx_http_api_hold(ngx_http_request_t *r, ngx_http_api_held_t *held, const ngx_chain_t *in)
{
    for (const ngx_chain_t *cl = in; cl; cl = cl->next) {
        const ngx_buf_t *b = cl->buf;
        size_t n = ngx_buf_in_memory(b) ? (size_t)(b->last - b->pos) : 0;
        if (!ngx_buf_in_memory(b) && b->in_file)
            return NGX_ERROR;
        if (held->len + n > NGX_HTTP_API_SHAPE_MAX)
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

static ngx_int_t init(ngx_conf_t *cf)
{
    const ngx_http_api_main_conf_t *amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_api_core_module);
    if (amcf->api)
        ngx_http_api_transform_filter();
    return NGX_OK;
}
