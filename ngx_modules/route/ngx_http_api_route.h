#ifndef NGX_HTTP_API_ROUTE_H
#define NGX_HTTP_API_ROUTE_H
/* Parts of the route module. */
#include "../core/ngx_http_api.h"

typedef struct {
    ngx_msec_t body_timeout;
} ngx_http_api_route_conf_t;

/* What one pass over a request's headers finds. */
typedef struct {
    const char *repeated;                          /* a header that may come once and came more often, or NULL */
    ngx_uint_t reserved;                           /* headers that only the edge may set */
    const ngx_str_t *correlation_id, *traceparent; /* NULL when absent or repeated */
} ngx_http_api_headers_t;

void ngx_http_api_index_headers(void); /* once, before requests come */
void ngx_http_api_read_headers(const ngx_http_request_t *r, ngx_http_api_headers_t *ret);
/* Removes the headers that only the edge may set. */
ngx_int_t ngx_http_api_strip_headers(ngx_http_request_t *r);
/* Makes the entity tags of If-Match strong. Before headers are copied. */
ngx_int_t ngx_http_api_strengthen(ngx_http_request_t *r);
/* The first value of a header, NULL when absent; *ret_count (may be NULL): how often it came. */
const ngx_str_t *ngx_http_api_header(const ngx_http_request_t *r, const char *name, ngx_uint_t *ret_count);

/* Correlation id and traceparent: the client's when they are well-formed, else new ones. Before headers go. */
ngx_int_t ngx_http_api_trace(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx, const ngx_http_api_headers_t *headers);

/* The time for a body (or the next stretch of a streamed one) begins; it has come in time. */
void ngx_http_api_body_deadline(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx);
void ngx_http_api_body_in_time(ngx_http_api_ctx_t *ctx);
/* What a client is told of an error of st_api_body, which had room for max bytes. */
const char *ngx_http_api_body_detail(struct st_arena *a, int err, int64_t max);

/* A body that is checked while it passes. NGX_OK: go on, to where it is read. */
ngx_int_t ngx_http_api_stream_begin(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx, const struct st_api_body *body);
ngx_int_t ngx_http_api_stream_init(ngx_conf_t *cf);

#endif
