/* api_jwt_claim: claims of a verified token as variables, and other places for the four that make an identity. */
#include "ngx_http_api_auth.h"

/* The values one after the other, each ended by NUL; one that no header could carry, or that finds no room, is "". */
ngx_str_t ngx_http_api_auth_claim_values(const ngx_http_api_auth_conf_t *conf, const struct st_value *claims,
                                         struct st_arena *a)
{
    const char *const *paths = conf->variables.elts;
    u_char *all = st_alloc(a, NGX_HTTP_API_CLAIMS_MAX + conf->variables.nelts), *p = all;
    for (ngx_uint_t i = 0; i < conf->variables.nelts; i++) {
        const u_char *value = (const u_char *)st_token_claim(a, claims, paths[i]);
        size_t len = ngx_strlen(value), room = (size_t)(all + NGX_HTTP_API_CLAIMS_MAX - p) + i;
        bool fits = len <= room;
        for (size_t k = 0; fits && k < len; k++)
            fits = value[k] >= 0x20 && value[k] != 0x7f;
        if (fits)
            p = ngx_cpymem(p, value, len);
        *p++ = '\0';
    }
    return (ngx_str_t){(size_t)(p - all), all};
}

/* data: which of the values. Before the token is verified there are none. */
static ngx_int_t get_claim(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    const ngx_http_api_ctx_t *ctx = ngx_http_api_get_ctx(r);
    const u_char *p = ctx ? ctx->identity.values.data : NULL, *end = p ? p + ctx->identity.values.len : NULL;
    for (; p && p < end && data; data--)
        p += ngx_strlen(p) + 1;
    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = !p || p >= end;
    v->len = v->not_found ? 0 : (unsigned)ngx_strlen(p);
    v->data = (u_char *)p;
    return NGX_OK;
}

char *ngx_http_api_auth_set_claim(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    ngx_http_api_auth_conf_t *conf = data;
    ngx_str_t *value = cf->args->elts, name = {value[1].len - 1, value[1].data + 1};
    const char *path = (const char *)value[2].data, **slot;
    const struct {
        const char *name, **path;
    } identity[] = {{"$api_user", &conf->rule.user},
                    {"$api_session", &conf->rule.session},
                    {"$api_roles", &conf->rule.roles},
                    {"$api_tier", &conf->rule.tier}};
    for (size_t i = 0; i < ST_COUNT(identity); i++) {
        if (!st_streq((const char *)value[1].data, identity[i].name))
            continue;
        if (*identity[i].path)
            return "is duplicate";
        *identity[i].path = path;
        return NGX_CONF_OK;
    }
    if (!st_starts((const char *)value[1].data, "$api_claim_") || !value[2].len)
        return "wants $api_user, $api_session, $api_roles, $api_tier or $api_claim_<name>, and the claim's name or "
               "pointer";
    if (conf->variables.nelts == NGX_HTTP_API_CLAIM_VARIABLES)
        return "is there too often: 16 variables are possible";
    ngx_http_variable_t *v = ngx_http_add_variable(cf, &name, NGX_HTTP_VAR_NOCACHEABLE);
    if (!v || !(slot = ngx_array_push(&conf->variables)))
        return NGX_CONF_ERROR;
    *slot = path;
    v->get_handler = get_claim;
    v->data = conf->variables.nelts - 1;
    return NGX_CONF_OK;
}
