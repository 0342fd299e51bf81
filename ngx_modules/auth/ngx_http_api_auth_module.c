/*
 * The auth module: who? A bearer token, verified once for each node and remembered until it expires.
 *
 * Three places, cheapest first: this worker's cache (the whole token is compared), the shared one (SHA-256 of the
 * rule and the token), the signature. An identity found there is joined with what the state says of its user and
 * session; the join is remembered with the state's marks, so that a revocation holds for cached tokens at once.
 */
#include "ngx_http_api_auth.h"

enum {
    LEEWAY_MAX_S = 60,
    WAIT_MS = 5000, /* for keys that are being fetched: a request whose token names a new one */
    WAIT_TICK_MS = 10,
    WAITING_MAX = 256, /* requests of this worker */
};

static void *create_main_conf(ngx_conf_t *cf);
static char *init_main_conf(ngx_conf_t *cf, void *conf);
static ngx_int_t init_process(ngx_cycle_t *cycle);
static void exit_process(ngx_cycle_t *cycle);

static ngx_command_t commands[] = {
    {ngx_string("api_jwt_key_file"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE12, ngx_http_api_auth_set_key_file,
     NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL},
    {ngx_string("api_jwt_secret_file"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE12, ngx_http_api_auth_set_secret_file,
     NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL},
    {ngx_string("api_jwt_jwks"), NGX_HTTP_MAIN_CONF | NGX_CONF_1MORE, ngx_http_api_auth_set_jwks,
     NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL},
    {ngx_string("api_jwt_claim"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE2, ngx_http_api_auth_set_claim,
     NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL},
    {ngx_string("api_jwt_type"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, ngx_conf_set_str_slot, NGX_HTTP_MAIN_CONF_OFFSET,
     offsetof(ngx_http_api_auth_conf_t, type), NULL},
    {ngx_string("api_realm"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, ngx_conf_set_str_slot, NGX_HTTP_MAIN_CONF_OFFSET,
     offsetof(ngx_http_api_auth_conf_t, realm), NULL},
    {ngx_string("api_jwt_issuer"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, ngx_conf_set_str_slot,
     NGX_HTTP_MAIN_CONF_OFFSET, offsetof(ngx_http_api_auth_conf_t, issuer), NULL},
    {ngx_string("api_jwt_audience"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, ngx_conf_set_str_slot,
     NGX_HTTP_MAIN_CONF_OFFSET, offsetof(ngx_http_api_auth_conf_t, audience), NULL},
    {ngx_string("api_jwt_leeway"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, ngx_conf_set_sec_slot,
     NGX_HTTP_MAIN_CONF_OFFSET, offsetof(ngx_http_api_auth_conf_t, leeway), NULL},
    ngx_null_command,
};

static ngx_http_module_t module_ctx = {
    NULL, ngx_http_api_auth_watch_streams, create_main_conf, init_main_conf, NULL, NULL, NULL, NULL};

ngx_module_t ngx_http_api_auth_module = {
    NGX_MODULE_V1, &module_ctx, commands, NGX_HTTP_MODULE, NULL, NULL,
    init_process,  NULL,        NULL,     exit_process,    NULL, NGX_MODULE_V1_PADDING,
};

/* --- refusing --- */

/* error: invalid_token or the like, NULL when nothing was sent; description is a literal without quotes. */
static ngx_int_t refuse(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx, int err, const char *error,
                        const char *description)
{
    if (ngx_http_api_challenge(r, ctx, error, description, NULL) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    return ngx_http_api_refuse(r, err, NULL, "%s", description);
}

static ngx_int_t unavailable(ngx_http_request_t *r)
{
    ngx_http_api_retry_after(r, NGX_HTTP_API_RETRY_AFTER_S);
    return ngx_http_api_refuse(r, ST_E_UNAVAILABLE, NULL, "Permissions are not known yet.");
}

/* --- the token --- */

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
        .values = ngx_http_api_auth_claim_values(conf, claims.all, a),
        .expires = claims.expires + conf->rule.leeway_s,
    };
    return NGX_OK;
}

/* Joins the claims with what the state says now. */
static ngx_int_t join(ngx_http_api_main_conf_t *amcf, ngx_http_api_cached_t *c)
{
    ngx_http_api_override_t o;
    ngx_http_api_state_lookup(&amcf->zones[NGX_HTTP_API_ZONE_STATE], &c->own.session, &c->own.user, ngx_time(), &o);
    free(c->override);
    c->override = NULL;
    c->now = c->own;
    if (o.has_roles || o.has_tier) {
        ngx_http_api_claims_t other = c->own;
        other.roles = o.has_roles ? o.roles : other.roles;
        other.tier = o.has_tier ? o.tier : other.tier;
        if (!(c->override = malloc(ngx_http_api_claims_size(&other))))
            return NGX_ERROR;
        (void)ngx_http_api_claims_lay(c->override, &other, &c->now);
    }
    c->revoked = o.revoked;
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
static ngx_int_t refresh(ngx_http_api_main_conf_t *amcf, ngx_http_api_cached_t *c, uint64_t place,
                         const unsigned char *digest)
{
    if (!joined(amcf, c)) {
        if (join(amcf, c) != NGX_OK)
            return NGX_ERROR;
        if (digest)
            ngx_http_api_auth_l2_put(&amcf->zones[NGX_HTTP_API_ZONE_TOKENS], place, digest, &c->own,
                                     c->revoked || c->override ? 0 : c->marks, c->join_again);
    } else if (c->permitted) {
        return NGX_OK;
    }
    c->permitted = ngx_http_api_permissions(amcf, &c->now.roles, c->permissions) == NGX_OK;
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
    if (c && c->now.expires > ngx_time()) {
        ngx_http_api_count(counters, NGX_HTTP_API_N_TOKEN_L1);
        *ret = c;
        return refresh(amcf, c, 0, NULL);
    }
    if (token->len > ST_TOKEN_MAX) {
        *ret_why = "the token is too long";
        return NGX_DECLINED;
    }
    struct st_arena *a = ngx_http_api_scratch();
    uint64_t place = ngx_http_api_auth_l2_place(shared, conf, token);
    ngx_http_api_auth_l2_expect(shared, place);
    ngx_http_api_auth_digest(conf, token, digest);
    if ((*ret_why = ngx_http_api_auth_refused(digest)) != NULL) {
        ngx_http_api_count(counters, NGX_HTTP_API_N_TOKEN_REFUSED);
        return NGX_DECLINED;
    }
    if (ngx_http_api_auth_l2_find(shared, place, digest, a, &claims, &marks, &join_again)) {
        ngx_http_api_count(counters, NGX_HTTP_API_N_TOKEN_L2);
    } else if (verify(conf, token, a, &claims, ret_why) == NGX_OK) {
        ngx_http_api_count(counters, NGX_HTTP_API_N_TOKEN_VERIFIED);
        *ret_why = NULL;
    } else {
        ngx_http_api_count(counters, NGX_HTTP_API_N_TOKEN_REFUSED);
        if (!st_streq(*ret_why, ST_TOKEN_UNKNOWN_KEY)) /* that may change at any time, and is found out at once */
            ngx_http_api_auth_refuse_again(digest, *ret_why);
        return NGX_DECLINED;
    }
    if (!(*ret = c = ngx_http_api_auth_l1_put(token, &claims)))
        return NGX_ERROR;
    c->marks = marks;
    c->join_again = join_again;
    return refresh(amcf, c, place, digest);
}

/* --- the identity --- */

/* The cache may be overwritten while the request waits for its body, so the request keeps a copy: in one piece. */
static ngx_int_t remember(ngx_http_request_t *r, const ngx_http_api_main_conf_t *amcf, ngx_http_api_ctx_t *ctx,
                          const ngx_http_api_cached_t *c)
{
    const u_char *from = c->now.user.data;
    size_t size = ngx_http_api_claims_size(&c->now);
    u_char *to = ngx_pnalloc(r->pool, size);
    if (!to)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    ngx_memcpy(to, from, size);
    ngx_http_api_identity_t *id = &ctx->identity;
    id->user = (ngx_str_t){c->now.user.len, to};
    id->session = (ngx_str_t){c->now.session.len, to + (c->now.session.data - from)};
    id->roles = (ngx_str_t){c->now.roles.len, to + (c->now.roles.data - from)};
    id->tier = (ngx_str_t){c->now.tier.len, to + (c->now.tier.data - from)};
    id->values = (ngx_str_t){c->now.values.len, to + (c->now.values.data - from)};
    id->expires = c->now.expires;
    ngx_memcpy(id->permissions, c->permissions, amcf->words * sizeof(uint64_t));
    return NGX_OK;
}

/* --- waiting for keys --- */

static ngx_uint_t waiting;

static void stop_waiting(void *data)
{
    ngx_http_api_ctx_t *ctx = data;
    waiting--;
    if (ctx->keys_timer.timer_set)
        ngx_del_timer(&ctx->keys_timer);
}

static void look_again(ngx_event_t *ev)
{
    ngx_http_request_t *r = ev->data;
    ngx_connection_t *c = r->connection;
    r->read_event_handler = ngx_http_block_reading;
    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}

/*
 * The token names a key that is not known. When newer keys can be had, the request waits until they are here: a key
 * that has just been published fails nobody. NGX_DECLINED: there is nothing to wait for, or not any more.
 */
static ngx_int_t wait_for_keys(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx, const ngx_http_api_main_conf_t *amcf,
                               const ngx_http_api_auth_conf_t *conf)
{
    if (!ctx->keys_ticket) {
        ngx_pool_cleanup_t *cln;
        if (waiting == WAITING_MAX || !(ctx->keys_ticket = ngx_http_api_auth_want_keys(amcf, conf)))
            return NGX_DECLINED;
        if (!(cln = ngx_pool_cleanup_add(r->pool, 0)))
            return NGX_DECLINED;
        cln->handler = stop_waiting;
        cln->data = ctx;
        waiting++;
        ctx->keys_until = ngx_current_msec + WAIT_MS;
        ngx_memzero(&ctx->keys_timer, sizeof(ctx->keys_timer));
        ctx->keys_timer.handler = look_again;
        ctx->keys_timer.data = r;
        ctx->keys_timer.log = r->connection->log;
    }
    if (ngx_http_api_auth_answered(amcf, ctx->keys_ticket) || (ngx_msec_int_t)(ngx_current_msec - ctx->keys_until) >= 0)
        return NGX_DECLINED;
    r->read_event_handler = ngx_http_test_reading; /* who hangs up does not wait on */
    if (!ctx->keys_timer.timer_set)
        ngx_add_timer(&ctx->keys_timer, WAIT_TICK_MS);
    return NGX_AGAIN;
}

/* --- the step --- */

/* The token of "Authorization: Bearer <token>"; len 0 when there is none, or another scheme. */
static ngx_str_t bearer(const ngx_http_request_t *r)
{
    static const char scheme[] = "Bearer ";
    static const size_t len = sizeof(scheme) - 1;
    const ngx_table_elt_t *h = r->headers_in.authorization;
    if (!h || h->value.len < len ||
        (memcmp(h->value.data, scheme, len) != 0 && ngx_strncasecmp(h->value.data, (u_char *)scheme, len) != 0))
        return (ngx_str_t)ngx_null_string;
    ngx_str_t token = {h->value.len - len, h->value.data + len};
    for (; token.len && token.data[0] == ' '; token.len--)
        token.data++;
    return token;
}

static ngx_int_t by_token(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx, const ngx_str_t *token)
{
    ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_api_core_module);
    ngx_http_api_auth_conf_t *conf = ngx_http_get_module_main_conf(r, ngx_http_api_auth_module);
    const char *why = NULL;
    ngx_http_api_cached_t *c;
    ngx_http_api_auth_learn_keys(amcf, conf);
    ngx_int_t rc = find(amcf, conf, token, &c, &why);
    if (rc == NGX_DECLINED && st_streq(why, ST_TOKEN_UNKNOWN_KEY) && wait_for_keys(r, ctx, amcf, conf) == NGX_AGAIN)
        return NGX_AGAIN;
    if (rc == NGX_DECLINED && !why)
        return unavailable(r);
    if (rc == NGX_DECLINED) {
        ctx->cause = st_streq(why, ST_TOKEN_EXPIRED) ? NGX_HTTP_API_BY_EXPIRED : NGX_HTTP_API_BY_TOKEN;
        return refuse(r, ctx, ST_E_UNAUTHENTICATED, "invalid_token", why);
    }
    if (rc != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    if (c->revoked) {
        ctx->cause = NGX_HTTP_API_BY_REVOKED;
        return refuse(r, ctx, ST_E_UNAUTHENTICATED, "invalid_token", "the session has ended");
    }
    return remember(r, amcf, ctx, c);
}

static ngx_int_t by_key(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    const char *why;
    if (ctx->key.n > 1) {
        ctx->cause = NGX_HTTP_API_BY_CREDENTIALS;
        return refuse(r, ctx, ST_E_INVALID, "invalid_request", "the key came more than once");
    }
    ngx_int_t rc = ngx_http_api_auth_key(r, ctx, &why);
    if (rc == NGX_DECLINED && !why)
        return unavailable(r);
    if (rc == NGX_DECLINED) {
        ctx->cause = NGX_HTTP_API_BY_KEY;
        return refuse(r, ctx, ST_E_UNAUTHENTICATED, "invalid_token", why);
    }
    return rc == NGX_OK ? NGX_OK : NGX_HTTP_INTERNAL_SERVER_ERROR;
}

static ngx_int_t by_cookie(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    if (ctx->cookie.n > 1) {
        ctx->cause = NGX_HTTP_API_BY_CREDENTIALS;
        return refuse(r, ctx, ST_E_INVALID, "invalid_request", "the session cookie came more than once");
    }
    if (ngx_http_api_auth_forged(r)) {
        ctx->cause = NGX_HTTP_API_BY_CSRF;
        return refuse(r, ctx, ST_E_CSRF, "invalid_request", "the request does not come from a page of this site");
    }
    return by_token(r, ctx, &ctx->cookie.value);
}

void ngx_http_api_auth_expect(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    const ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_api_core_module);
    const ngx_http_api_auth_conf_t *conf = ngx_http_get_module_main_conf(r, ngx_http_api_auth_module);
    ctx->bearer = bearer(r);
    if (ctx->bearer.len && !ngx_http_api_auth_l1_expect(&ctx->bearer))
        (void)ngx_http_api_auth_l2_place(&amcf->zones[NGX_HTTP_API_ZONE_TOKENS], conf, &ctx->bearer);
}

/* One credential after the other: all that the alternative asks for must be good. */
ngx_int_t ngx_http_api_auth_step(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    ngx_int_t rc = NGX_OK;
    if (!ctx->match.operation->n_alternatives || ctx->identified)
        return NGX_OK;
    const struct st_api_alternative *alt = ngx_http_api_auth_choose(ctx);
    if (!alt) {
        ctx->cause = NGX_HTTP_API_BY_CREDENTIALS;
        return refuse(r, ctx, ST_E_UNAUTHENTICATED, NULL, "Send what this operation asks for: see WWW-Authenticate.");
    }
    for (int kind = 0; rc == NGX_OK && kind < ST_SCHEME_KINDS; kind++) { /* a key last: it adds to a token */
        for (int i = 0; rc == NGX_OK && i < alt->n_schemes; i++) {
            if ((int)alt->schemes[i]->kind != kind)
                continue;
            if (kind == ST_SCHEME_BEARER)
                rc = by_token(r, ctx, &ctx->bearer);
            else if (kind == ST_SCHEME_COOKIE)
                rc = by_cookie(r, ctx);
            else
                rc = by_key(r, ctx);
        }
    }
    if (rc != NGX_OK) /* the request may have gone with its refusal */
        return rc;
    ctx->identified = alt->n_schemes > 0;
    if (ctx->identified)
        ngx_http_api_limit_expect(r, ctx);
    return NGX_OK;
}

/* --- configuration --- */

static void release_arenas(void *data)
{
    ngx_http_api_auth_conf_t *conf = data;
    st_arena_release(&conf->fetched);
    st_arena_release(&conf->arena);
}

static void *create_main_conf(ngx_conf_t *cf)
{
    ngx_http_api_auth_conf_t *conf = ngx_pcalloc(cf->pool, sizeof(*conf));
    ngx_pool_cleanup_t *cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (!conf || !cln || ngx_array_init(&conf->keys, cf->pool, 4, sizeof(struct st_key *)) != NGX_OK ||
        ngx_array_init(&conf->sources, cf->pool, 2, sizeof(ngx_http_api_key_source_t)) != NGX_OK ||
        ngx_array_init(&conf->variables, cf->pool, 4, sizeof(const char *)) != NGX_OK)
        return NULL;
    cln->handler = release_arenas;
    cln->data = conf;
    conf->leeway = NGX_CONF_UNSET;
    return conf;
}

/* What an operation needs that is protected by tokens; NULL when it is all there. */
static const char *missing(const ngx_http_api_auth_conf_t *conf)
{
    if (!conf->keys.nelts && !conf->sources.nelts)
        return "\"api_jwt_key_file\", \"api_jwt_secret_file\" or \"api_jwt_jwks\"";
    return !conf->issuer.len ? "\"api_jwt_issuer\"" : !conf->audience.len ? "\"api_jwt_audience\"" : NULL;
}

static bool wants_token(const struct st_api_operation *op)
{
    for (int i = 0; i < op->n_alternatives; i++)
        for (int k = 0; k < op->alternatives[i].n_schemes; k++)
            if (op->alternatives[i].schemes[k]->kind != ST_SCHEME_KEY)
                return true;
    return false;
}

static char *init_main_conf(ngx_conf_t *cf, void *data)
{
    ngx_http_api_auth_conf_t *conf = data;
    const ngx_http_api_main_conf_t *amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_api_core_module);
    ngx_conf_init_value(conf->leeway, 0);
    if (!conf->realm.data)
        conf->realm = ngx_http_api_str("api");
    if (conf->leeway > LEEWAY_MAX_S) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"api_jwt_leeway\" is more than %d seconds", LEEWAY_MAX_S);
        return NGX_CONF_ERROR;
    }
    if (strpbrk((const char *)conf->realm.data, "\"\\\r\n")) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"api_realm\" stands in a header, in quotes: it may not have any");
        return NGX_CONF_ERROR;
    }
    conf->rule.issuer = conf->issuer.len ? (const char *)conf->issuer.data : NULL;
    conf->rule.audience = conf->audience.len ? (const char *)conf->audience.data : NULL;
    conf->rule.type = conf->type.len ? (const char *)conf->type.data : NULL;
    conf->rule.leeway_s = (int)conf->leeway;
    for (int i = 0; amcf->api && i < amcf->api->n_operations && missing(conf); i++) {
        const struct st_api_operation *op = &amcf->api->operations[i];
        if (!wants_token(op))
            continue;
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "%s:%d: %s needs %s", op->file, op->line, op->id, missing(conf));
        return NGX_CONF_ERROR;
    }
    return NGX_CONF_OK;
}

static ngx_int_t init_process(ngx_cycle_t *cycle)
{
    if (!cycle->conf_ctx[ngx_http_module.index] ||
        (ngx_process != NGX_PROCESS_SINGLE && ngx_process != NGX_PROCESS_WORKER))
        return NGX_OK;
    const ngx_http_api_main_conf_t *amcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_api_core_module);
    const ngx_http_api_auth_conf_t *conf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_api_auth_module);
    if (amcf->api && (ngx_process == NGX_PROCESS_SINGLE || ngx_worker == 0))
        ngx_http_api_auth_fetch_start(amcf, conf);
    return NGX_OK;
}

static void exit_process(ngx_cycle_t *cycle)
{
    ngx_http_api_auth_fetch_stop();
}
