/* What nginx looks for in the shared object: the modules in it. No order matters between them. */
#include "ngx_http_api.h"

#define EXPORTED __attribute__((visibility("default")))

extern ngx_module_t *ngx_modules[];
extern char *ngx_module_names[], *ngx_module_order[];

EXPORTED ngx_module_t *ngx_modules[] = {
    &ngx_http_api_core_module,
    &ngx_http_api_route_module,
    &ngx_http_api_auth_module,
    &ngx_http_api_limit_module,
    &ngx_http_api_rbac_module,
    &ngx_http_api_shape_module,
    NULL,
};

EXPORTED char *ngx_module_names[] = {
    "ngx_http_api_core_module",
    "ngx_http_api_route_module",
    "ngx_http_api_auth_module",
    "ngx_http_api_limit_module",
    "ngx_http_api_rbac_module",
    "ngx_http_api_shape_module",
    NULL,
};

EXPORTED char *ngx_module_order[] = {NULL};
