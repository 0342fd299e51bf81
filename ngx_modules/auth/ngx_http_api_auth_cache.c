/* Caches of tokens: one for each worker, one that they share, and one of tokens that were refused. */
#include "ngx_http_api_auth.h"

enum {
    L1_SIZE = 1024, /* entries, of about 2 KiB each */
    REFUSED_SIZE = 256,
    REFUSED_S = 2, /* so long a refusal stands: a token may become valid yet */
};

void ngx_http_api_auth_digest(const ngx_http_api_auth_conf_t *conf, const ngx_str_t *token,
                              unsigned char out[ST_SHA256_LEN])
{
    unsigned char all[ST_SHA256_LEN + ST_TOKEN_MAX];
    ngx_memcpy(all, conf->rule_digest, ST_SHA256_LEN);
    ngx_memcpy(all + ST_SHA256_LEN, token->data, token->len);
    st_sha256(all, ST_SHA256_LEN + token->len, out);
}

/* --- this worker's --- */

static ngx_http_api_cached_t **l1_slot(const ngx_str_t *token)
{
    static ngx_http_api_cached_t *entries[L1_SIZE];
    return &entries[ngx_murmur_hash2(token->data, token->len) % L1_SIZE];
}

ngx_http_api_cached_t *ngx_http_api_auth_l1_find(const ngx_str_t *token)
{
    ngx_http_api_cached_t *c = *l1_slot(token);
    if (!c || c->token.len != token->len || memcmp(c->token.data, token->data, token->len) != 0)
        return NULL;
    return c;
}

static ngx_str_t place(u_char **p, const ngx_str_t *s)
{
    ngx_str_t out = {s->len, *p};
    *p = ngx_cpymem(*p, s->data, s->len);
    return out;
}

ngx_http_api_cached_t *ngx_http_api_auth_l1_put(const ngx_str_t *token, const ngx_http_api_claims_t *claims)
{
    ngx_http_api_cached_t **slot = l1_slot(token), *c;
    size_t room = token->len + claims->user.len + claims->session.len + claims->roles.len + claims->tier.len +
                  NGX_HTTP_API_ROLES_MAX + NGX_HTTP_API_TIER_MAX;
    if (!(c = calloc(1, sizeof(*c) + room)))
        return NULL;
    u_char *p = (u_char *)(c + 1);
    c->token = place(&p, token);
    c->claims.user = place(&p, &claims->user);
    c->claims.session = place(&p, &claims->session);
    c->claims.roles = place(&p, &claims->roles);
    c->claims.tier = place(&p, &claims->tier);
    c->claims.expires = claims->expires;
    c->roles.data = p;
    c->tier.data = p + NGX_HTTP_API_ROLES_MAX;
    free(*slot);
    *slot = c;
    return c;
}

/* --- shared --- */

/* The value: four texts, each ended by NUL. */
bool ngx_http_api_auth_l2_find(const ngx_http_api_zone_t *z, const unsigned char digest[ST_SHA256_LEN],
                               struct st_arena *a, ngx_http_api_claims_t *ret)
{
    ngx_http_api_table_t *t = z->sh;
    char *copy = NULL;
    size_t len = 0;
    ngx_shmtx_lock(&z->shpool->mutex);
    ngx_http_api_entry_t *e = ngx_http_api_table_find_locked(t, digest, ST_SHA256_LEN);
    if (e && e->expires > ngx_time()) {
        ngx_http_api_table_touch_locked(t, e);
        len = e->value_len;
        copy = st_strndup(a, (const char *)e->data, len);
        ret->expires = e->expires;
    }
    ngx_shmtx_unlock(&z->shpool->mutex);
    if (!copy)
        return false;
    ngx_str_t *to[] = {&ret->user, &ret->session, &ret->roles, &ret->tier};
    for (size_t i = 0; i < ST_COUNT(to); i++) {
        *to[i] = ngx_http_api_str(copy);
        copy += to[i]->len + 1;
    }
    return true;
}

void ngx_http_api_auth_l2_put(const ngx_http_api_zone_t *z, const unsigned char digest[ST_SHA256_LEN],
                              const ngx_http_api_claims_t *claims)
{
    u_char value[2 * NGX_HTTP_API_ID_MAX + NGX_HTTP_API_ROLES_MAX + NGX_HTTP_API_TIER_MAX + 4], *p = value;
    const ngx_str_t *from[] = {&claims->user, &claims->session, &claims->roles, &claims->tier};
    for (size_t i = 0; i < ST_COUNT(from); i++) {
        p = ngx_cpymem(p, from[i]->data, from[i]->len);
        *p++ = '\0';
    }
    const ngx_http_api_dict_t d = {.shpool = z->shpool, .table = z->sh, .evict = 1};
    ngx_str_t key = {ST_SHA256_LEN, (u_char *)digest}, text = {(size_t)(p - value), value};
    ngx_shmtx_lock(&z->shpool->mutex);
    (void)ngx_http_api_table_put_locked(&d, &key, &text, claims->expires, ngx_time());
    ngx_shmtx_unlock(&z->shpool->mutex);
}

/* --- refused --- */

static struct refusal {
    unsigned char digest[ST_SHA256_LEN];
    const char *why;
    time_t until;
} refusals[REFUSED_SIZE];

static struct refusal *refusal_slot(const unsigned char digest[ST_SHA256_LEN])
{
    return &refusals[(digest[0] | (unsigned)digest[1] << 8) % REFUSED_SIZE];
}

const char *ngx_http_api_auth_refused(const unsigned char digest[ST_SHA256_LEN])
{
    const struct refusal *f = refusal_slot(digest);
    return f->until > ngx_time() && memcmp(f->digest, digest, ST_SHA256_LEN) == 0 ? f->why : NULL;
}

void ngx_http_api_auth_refuse_again(const unsigned char digest[ST_SHA256_LEN], const char *why)
{
    struct refusal *f = refusal_slot(digest);
    ngx_memcpy(f->digest, digest, ST_SHA256_LEN);
    f->why = why;
    f->until = ngx_time() + REFUSED_S;
}
