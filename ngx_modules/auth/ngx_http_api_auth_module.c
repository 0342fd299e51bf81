/*
 * The auth module: who? A bearer token, verified once for each node and remembered until it expires.
 *
 * Three places, cheapest first: this worker's cache (the whole token is compared), the shared one (SHA-256 of the
 * rule and the token), the signature. An identity found there is joined with what the state says of its user and
 * session; the join is remembered with the state's marks, so that a revocation holds for cached tokens at once.
 */
#include "ngx_http_api_auth.h"

enum { LEEWAY_MAX_S = 60 };

static void *create_main_conf(ngx_conf_t *cf);
static char *init_main_conf(ngx_conf_t *cf, void *conf);
static char *set_key_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

static ngx_command_t commands[] = {
    {ngx_string("api_jwt_key_file"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, set_key_file, NGX_HTTP_MAIN_CONF_OFFSET, 0,
     NULL},
    {ngx_string("api_jwt_issuer"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, ngx_conf_set_str_slot,
     NGX_HTTP_MAIN_CONF_OFFSET, offsetof(ngx_http_api_auth_conf_t, issuer), NULL},
    {ngx_string("api_jwt_audience"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, ngx_conf_set_str_slot,
     NGX_HTTP_MAIN_CONF_OFFSET, offsetof(ngx_http_api_auth_conf_t, audience), NULL},
    {ngx_string("api_jwt_leeway"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, ngx_conf_set_sec_slot,
     NGX_HTTP_MAIN_CONF_OFFSET, offsetof(ngx_http_api_auth_conf_t, leeway), NULL},
    ngx_null_command,
};

static ngx_http_module_t module_ctx = {NULL, NULL, create_main_conf, init_main_conf, NULL, NULL, NULL, NULL};

ngx_module_t ngx_http_api_auth_module = {
    NGX_MODULE_V1, &module_ctx, commands, NGX_HTTP_MODULE,       NULL, NULL, NULL, NULL,
    NULL,          NULL,        NULL,     NGX_MODULE_V1_PADDING,
};

/* --- refusing --- */

/* RFC 6750: no error code when no token was sent. description is a literal without quotes, or NULL. */
static ngx_int_t unauthenticated(ngx_http_request_t *r, const char *description)
{
    struct st_arena a = {0};
    const char *text = "Bearer realm=\"storytelling\"";
    if (description)
        text = st_printf(&a, "%s, error=\"invalid_token\", error_description=\"%s\"", text, description);
    ngx_str_t value = ngx_http_api_str(text);
    value.data = ngx_pstrdup(r->pool, &value);
    st_arena_release(&a);
    if (!value.data || ngx_http_api_add_header(r, "WWW-Authenticate", &value) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    return ngx_http_api_refuse(r, ST_E_UNAUTHENTICATED, NULL, "%s",
                               description ? description : "Send an access token: Authorization: Bearer <token>.");
}

static ngx_int_t unavailable(ngx_http_request_t *r)
{
    ngx_http_api_retry_after(r, NGX_HTTP_API_RETRY_AFTER_S);
    return ngx_http_api_refuse(r, ST_E_UNAVAILABLE, NULL, "Permissions are not known yet.");
}

/* --- the token --- */

/* The token of "Authorization: Bearer <token>"; false when there is none, or another scheme. */
static bool bearer(const ngx_http_request_t *r, ngx_str_t *ret)
{
    const ngx_table_elt_t *h = r->headers_in.authorization;
    static const size_t scheme = sizeof("Bearer ") - 1;
    if (!h || h->value.len < scheme || ngx_strncasecmp(h->value.data, (u_char *)"Bearer ", scheme) != 0)
        return false;
    ret->data = h->value.data + scheme;
    ret->len = h->value.len - scheme;
    while (ret->len && ret->data[0] == ' ') {
        ret->data++;
        ret->len--;
    }
    return ret->len > 0;
}

/* Claims go into header values and keys: what could not be carried there is not accepted. */
static bool fits(const char *s, size_t max)
{
    size_t len = strlen(s);
    return len <= max && ngx_http_api_plain((const u_char *)s, len);
}

static ngx_int_t verify(const ngx_http_api_auth_conf_t *conf, const ngx_str_t *token, struct st_arena *a,
                        ngx_http_api_claims_t *ret, const char **ret_why)
{
    struct st_token_claims claims;
    if (st_token_verify(&conf->rule, (const char *)token->data, token->len, ngx_time(), a, &claims, ret_why) < 0)
        return NGX_DECLINED;
    if (!fits(claims.user, NGX_HTTP_API_ID_MAX) || !fits(claims.session, NGX_HTTP_API_ID_MAX) ||
        !fits(claims.roles, NGX_HTTP_API_ROLES_MAX) || !fits(claims.tier, NGX_HTTP_API_TIER_MAX)) {
        *ret_why = "the claims are not usable";
        return NGX_DECLINED;
    }
    *ret = (ngx_http_api_claims_t){
        .user = ngx_http_api_str(claims.user),
        .session = ngx_http_api_str(claims.session),
        .roles = ngx_http_api_str(claims.roles),
        .tier = ngx_http_api_str(claims.tier),
        .expires = claims.expires + conf->rule.leeway_s,
    };
    return NGX_OK;
}

/* Joins the claims with what the state says now. Gives whether they hold as they are. */
static ngx_int_t join(ngx_http_api_main_conf_t *amcf, ngx_http_api_cached_t *c)
{
    ngx_http_api_override_t o;
    ngx_http_api_state_lookup(&amcf->zones[NGX_HTTP_API_ZONE_STATE], &c->claims.session, &c->claims.user, ngx_time(),
                              &o);
    c->revoked = o.revoked;
    c->roles = o.has_roles ? o.roles : c->claims.roles;
    c->tier = o.has_tier ? o.tier : c->claims.tier;
    free(c->override);
    c->override = NULL;
    if (o.has_roles || o.has_tier) {
        u_char *p = c->override = malloc(c->roles.len + c->tier.len + 1);
        if (!p)
            return NGX_ERROR;
        c->roles.data = ngx_cpymem(p, c->roles.data, c->roles.len) - c->roles.len;
        c->tier.data = ngx_cpymem(p + c->roles.len, c->tier.data, c->tier.len) - c->tier.len;
    }
    c->marks = o.marks;
    c->join_again = o.until;
    return NGX_OK;
}

static bool joined(const ngx_http_api_main_conf_t *amcf, const ngx_http_api_cached_t *c)
{
    return c->marks == ngx_http_api_marks(&amcf->zones[NGX_HTTP_API_ZONE_STATE], c->user_mark, c->session_mark) &&
           ngx_time() < c->join_again;
}

/*
 * Brings the entry up to date. digest: of a token that comes from the shared cache, or goes there: the others shall
 * know that nothing overrides its claims. NGX_DECLINED while no roles are known.
 */
static ngx_int_t refresh(ngx_http_api_main_conf_t *amcf, ngx_http_api_cached_t *c, const unsigned char *digest)
{
    if (!joined(amcf, c)) {
        if (join(amcf, c) != NGX_OK)
            return NGX_ERROR;
        if (digest)
            ngx_http_api_auth_l2_put(&amcf->zones[NGX_HTTP_API_ZONE_TOKENS], digest, &c->claims,
                                     c->revoked || c->override ? 0 : c->marks, c->join_again);
    } else if (c->permitted) {
        return NGX_OK;
    }
    c->permitted = ngx_http_api_permissions(amcf, &c->roles, c->permissions) == NGX_OK;
    if (!c->permitted)
        c->marks = 0;
    return c->permitted ? NGX_OK : NGX_DECLINED;
}

/*
 * The entry of this worker's cache for the token, from wherever it comes. NGX_DECLINED: refused, and why; without a
 * reason no roles are known.
 */
static ngx_int_t find(ngx_http_api_main_conf_t *amcf, const ngx_http_api_auth_conf_t *conf, const ngx_str_t *token,
                      ngx_http_api_cached_t **ret, const char **ret_why)
{
    const ngx_http_api_zone_t *counters = &amcf->zones[NGX_HTTP_API_ZONE_STATE];
    const ngx_http_api_zone_t *shared = &amcf->zones[NGX_HTTP_API_ZONE_TOKENS];
    unsigned char digest[ST_SHA256_LEN];
    ngx_http_api_claims_t claims;
    ngx_atomic_uint_t marks = 0;
    int64_t join_again = 0;
    ngx_http_api_cached_t *c = ngx_http_api_auth_l1_find(token);
    *ret_why = NULL;
    if (c && c->claims.expires > ngx_time()) {
        ngx_http_api_count(counters, NGX_HTTP_API_N_TOKEN_L1);
        *ret = c;
        return refresh(amcf, c, NULL);
    }
    if (token->len > ST_TOKEN_MAX) {
        *ret_why = "the token is too long";
        return NGX_DECLINED;
    }
    struct st_arena *a = ngx_http_api_scratch();
    ngx_http_api_auth_digest(conf, token, digest);
    if ((*ret_why = ngx_http_api_auth_refused(digest)) != NULL) {
        ngx_http_api_count(counters, NGX_HTTP_API_N_TOKEN_REFUSED);
        return NGX_DECLINED;
    }
    if (ngx_http_api_auth_l2_find(shared, digest, a, &claims, &marks, &join_again)) {
        ngx_http_api_count(counters, NGX_HTTP_API_N_TOKEN_L2);
    } else if (verify(conf, token, a, &claims, ret_why) == NGX_OK) {
        ngx_http_api_count(counters, NGX_HTTP_API_N_TOKEN_VERIFIED);
        *ret_why = NULL;
    } else {
        ngx_http_api_count(counters, NGX_HTTP_API_N_TOKEN_REFUSED);
        ngx_http_api_auth_refuse_again(digest, *ret_why);
        return NGX_DECLINED;
    }
    if (!(*ret = c = ngx_http_api_auth_l1_put(token, &claims)))
        return NGX_ERROR;
    c->roles = c->claims.roles;
    c->tier = c->claims.tier;
    c->marks = marks;
    c->join_again = join_again;
    return refresh(amcf, c, digest);
}

/* --- the identity --- */

/* The cache may be overwritten while the request waits for its body, so the request keeps a copy. */
static ngx_int_t remember(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx, const ngx_http_api_cached_t *c)
{
    const ngx_str_t *from[] = {&c->claims.user, &c->claims.session, &c->roles, &c->tier};
    ngx_str_t *to[] = {&ctx->identity.user, &ctx->identity.session, &ctx->identity.roles, &ctx->identity.tier};
    size_t total = 0;
    for (size_t i = 0; i < ST_COUNT(from); i++)
        total += from[i]->len + 1;
    u_char *p = ngx_pnalloc(r->pool, total);
    if (!p)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    for (size_t i = 0; i < ST_COUNT(from); i++) {
        to[i]->data = p;
        to[i]->len = from[i]->len;
        p = ngx_cpymem(p, from[i]->data, from[i]->len);
        *p++ = '\0';
    }
    ngx_memcpy(ctx->identity.permissions, c->permissions, sizeof(c->permissions));
    ctx->identified = 1;
    return NGX_OK;
}

ngx_int_t ngx_http_api_auth_step(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_api_core_module);
    const ngx_http_api_auth_conf_t *conf = ngx_http_get_module_main_conf(r, ngx_http_api_auth_module);
    const char *why = NULL;
    ngx_str_t token;
    if (!ctx->match.operation->authenticated || ctx->identified)
        return NGX_OK;
    if (!bearer(r, &token)) {
        ctx->cause = NGX_HTTP_API_BY_CREDENTIALS;
        return unauthenticated(r, NULL);
    }
    ngx_http_api_cached_t *c;
    ngx_int_t rc = find(amcf, conf, &token, &c, &why);
    if (rc == NGX_DECLINED)
        return why ? unauthenticated(r, why) : unavailable(r);
    if (rc != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    if (c->revoked) {
        ctx->cause = NGX_HTTP_API_BY_REVOKED;
        return unauthenticated(r, "the session has ended");
    }
    return remember(r, ctx, c);
}

/* --- configuration --- */

static void release_arena(void *data)
{
    st_arena_release(data);
}

static void *create_main_conf(ngx_conf_t *cf)
{
    ngx_http_api_auth_conf_t *conf = ngx_pcalloc(cf->pool, sizeof(*conf));
    ngx_pool_cleanup_t *cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (!conf || !cln || ngx_array_init(&conf->keys, cf->pool, 4, sizeof(struct st_key *)) != NGX_OK)
        return NULL;
    cln->handler = release_arena;
    cln->data = &conf->arena;
    conf->leeway = NGX_CONF_UNSET;
    return conf;
}

/* What a token is verified under: in the key of every cache, so that no other rule's verdict is ever taken. */
static void name_rule(ngx_http_api_auth_conf_t *conf)
{
    const char *text = st_printf(&conf->arena, "%s\n%s\n%d", conf->rule.issuer ? conf->rule.issuer : "",
                                 conf->rule.audience ? conf->rule.audience : "", conf->rule.leeway_s);
    for (int i = 0; i < conf->rule.n_keys; i++)
        text = st_printf(&conf->arena, "%s\n%s %s", text, st_alg_names[st_key_alg(conf->rule.keys[i])],
                         st_key_id(conf->rule.keys[i]));
    st_sha256(text, strlen(text), conf->rule_digest);
}

static char *init_main_conf(ngx_conf_t *cf, void *data)
{
    ngx_http_api_auth_conf_t *conf = data;
    ngx_http_api_main_conf_t *amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_api_core_module);
    ngx_conf_init_value(conf->leeway, 0);
    if (conf->leeway > LEEWAY_MAX_S) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "\"api_jwt_leeway\" is more than %d seconds", LEEWAY_MAX_S);
        return NGX_CONF_ERROR;
    }
    conf->rule = (struct st_token_rule){
        .keys = conf->keys.elts,
        .n_keys = (int)conf->keys.nelts,
        .issuer = conf->issuer.len ? (const char *)conf->issuer.data : NULL,
        .audience = conf->audience.len ? (const char *)conf->audience.data : NULL,
        .leeway_s = (int)conf->leeway,
    };
    for (int i = 0; amcf->api && i < amcf->api->n_operations; i++) {
        const struct st_api_operation *op = &amcf->api->operations[i];
        if (!op->authenticated || (conf->rule.n_keys && conf->rule.issuer && conf->rule.audience))
            continue;
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "%s:%d: %s needs \"api_jwt_key_file\", \"api_jwt_issuer\" and \"api_jwt_audience\"", op->file,
                      op->line, op->id);
        return NGX_CONF_ERROR;
    }
    name_rule(conf);
    return NGX_CONF_OK;
}

static char *set_key_file(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    ngx_http_api_auth_conf_t *conf = data;
    ngx_str_t *value = cf->args->elts;
    const char *why = NULL;
    struct st_key *key, **slot;
    if (ngx_conf_full_name(cf->cycle, &value[1], 1) != NGX_OK)
        return NGX_CONF_ERROR;
    if (st_key_load(&conf->arena, (char *)value[1].data, &key, &why) < 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", why);
        return NGX_CONF_ERROR;
    }
    if (st_key_is_private(key)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" is a private key: the edge only needs the public one",
                           &value[1]);
        return NGX_CONF_ERROR;
    }
    if (!(slot = ngx_array_push(&conf->keys)))
        return NGX_CONF_ERROR;
    *slot = key;
    return NGX_CONF_OK;
}
