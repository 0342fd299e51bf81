#ifndef NGX_HTTP_API_SHAPE_H
#define NGX_HTTP_API_SHAPE_H
/* Parts of the shape module. */
#include "../core/ngx_http_api.h"

enum { NGX_HTTP_API_SHAPE_MAX = 1024 * 1024 }; /* bytes of an answer that is held to be changed */

typedef struct {
    ngx_array_t *origins; /* const char *: api_cors_origin; NULL: none */
    bool any_origin;      /* it is * */
    ngx_flag_t credentials;
    ngx_str_t fallback;                             /* api_fallback: the legacy upstream; empty: none */
    size_t cache_answer, cache_memory, cache_redis; /* api_cache_*, bytes: of an answer, of a worker, a minute */
} ngx_http_api_shape_loc_conf_t;

/* Each adds a filter of answers. */
void ngx_http_api_transform_filter(void);
void ngx_http_api_cors_filter(void);
void ngx_http_api_cache_filter(void);

/* Removes headers of the request, by names in lower case. */
ngx_int_t ngx_http_api_without_headers(ngx_http_request_t *r, const char *const *names, size_t n);

void ngx_http_api_shadow_filter(void);

/* Migration: its part of the configuration, its directives, and what they mean for the contracts' operations. */
void *ngx_http_api_migrate_conf(ngx_conf_t *cf);
char *ngx_http_api_set_fallback(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_api_set_migrate(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_api_set_shadow(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_api_plan(ngx_conf_t *cf, const struct st_api *api);
bool ngx_http_api_shadows(ngx_conf_t *cf); /* is anything in shadow? */

char *ngx_http_api_cors_origin(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* Answers held in memory: a buffer in the request's pool that grows as far as it is let. */
typedef struct {
    u_char *data;
    size_t len, cap;
} ngx_http_api_held_t;

/* Adds the buffers' bytes. NGX_DECLINED: more than max; NGX_ERROR: no memory, or a buffer that lies in a file. */
ngx_int_t ngx_http_api_hold(ngx_http_request_t *r, ngx_http_api_held_t *held, const ngx_chain_t *in, size_t max);

/* Is the answer JSON? */
bool ngx_http_api_is_json(const ngx_http_request_t *r);

#endif
