#ifndef NGX_HTTP_API_ROUTE_H
#define NGX_HTTP_API_ROUTE_H
/* Parts of the route module. */
#include "../core/ngx_http_api.h"

typedef struct {
    ngx_msec_t body_timeout;
} ngx_http_api_route_conf_t;

/* Removes the headers that only the edge may set. */
ngx_int_t ngx_http_api_strip_headers(ngx_http_request_t *r);
/* Makes the entity tags of If-Match strong. Before headers are copied. */
ngx_int_t ngx_http_api_strengthen(ngx_http_request_t *r);
/* The name of a header that may come once and came more often, or NULL. */
const char *ngx_http_api_duplicate_header(const ngx_http_request_t *r);
/* The first value of a header, NULL when absent; *ret_count (may be NULL): how often it came. */
const ngx_str_t *ngx_http_api_header(const ngx_http_request_t *r, const char *name, ngx_uint_t *ret_count);

/* Correlation id and traceparent: the client's when they are well-formed, else new ones. Before headers go. */
ngx_int_t ngx_http_api_trace(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx);

#endif
