/* Caches of tokens that belong to one worker: of those that were verified, and of those that were refused. */
#include "ngx_http_api_auth.h"

enum {
    L1_ENTRIES = 8192, /* of about 1 KiB each */
    L1_HASHED = 32,
    L1_LONG = 2048,
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

ngx_str_t *ngx_http_api_claim_text(ngx_http_api_claims_t *claims, ngx_uint_t i)
{
    ngx_str_t *const texts[NGX_HTTP_API_CLAIM_TEXTS] = {&claims->user, &claims->session, &claims->roles, &claims->tier,
                                                        &claims->values};
    return texts[i];
}

/* --- this worker's --- */

/*
 * Sets of two, so that a few thousand tokens in use do not push each other out. What tells tokens apart best is their
 * end, a part of the signature. Long tokens share one entry: memory stays below ENTRIES times LONG.
 */
static ngx_http_api_cached_t *l1_entries[L1_ENTRIES], *l1_large[2];

static ngx_http_api_cached_t **l1_set(const ngx_str_t *token)
{
    size_t n = ngx_min(token->len, L1_HASHED);
    if (token->len > L1_LONG)
        return l1_large;
    return &l1_entries[ngx_murmur_hash2(token->data + token->len - n, n) % (L1_ENTRIES / 2) * 2];
}

static bool holds(const ngx_http_api_cached_t *c, const ngx_str_t *token)
{
    return c && c->token.len == token->len && memcmp(c->token.data, token->data, token->len) == 0;
}

ngx_http_api_cached_t *ngx_http_api_auth_l1_find(const ngx_str_t *token)
{
    ngx_http_api_cached_t **set = l1_set(token);
    return holds(set[0], token) ? set[0] : holds(set[1], token) ? set[1] : NULL;
}

static void drop(ngx_http_api_cached_t **slot)
{
    if (*slot)
        free((*slot)->override);
    free(*slot);
    *slot = NULL;
}

/* For a change of the rule: what was verified under another is worth nothing. */
void ngx_http_api_auth_l1_clear(void)
{
    for (size_t i = 0; i < ST_COUNT(l1_entries); i++)
        drop(&l1_entries[i]);
    for (size_t i = 0; i < ST_COUNT(l1_large); i++)
        drop(&l1_large[i]);
}

static ngx_str_t place(u_char **p, const ngx_str_t *s)
{
    ngx_str_t out = {s->len, *p};
    *p = ngx_cpymem(*p, s->data, s->len);
    return out;
}

/* The entry that goes: the token's own of before, else the set's older one. The newer one stands first. */
static ngx_http_api_cached_t **l1_victim(const ngx_str_t *token)
{
    ngx_http_api_cached_t **set = l1_set(token);
    if (!holds(set[0], token)) {
        ngx_http_api_cached_t *older = set[1];
        set[1] = set[0];
        set[0] = older;
    }
    return &set[0];
}

ngx_http_api_cached_t *ngx_http_api_auth_l1_put(const ngx_str_t *token, const ngx_http_api_claims_t *claims)
{
    ngx_http_api_cached_t **slot = l1_victim(token), *c = *slot;
    ngx_http_api_claims_t from = *claims;
    size_t need = token->len;
    for (ngx_uint_t i = 0; i < NGX_HTTP_API_CLAIM_TEXTS; i++)
        need += ngx_http_api_claim_text(&from, i)->len;
    if (c)
        free(c->override);
    if (!c || c->room < need || c->room > need + L1_LONG) {
        free(c);
        if (!(c = *slot = malloc(sizeof(*c) + need)))
            return NULL;
        c->room = need;
    }
    size_t room = c->room;
    u_char *p = (u_char *)(c + 1);
    ngx_memzero(c, sizeof(*c));
    c->room = room;
    c->token = place(&p, token);
    c->claims.expires = claims->expires;
    for (ngx_uint_t i = 0; i < NGX_HTTP_API_CLAIM_TEXTS; i++)
        *ngx_http_api_claim_text(&c->claims, i) = place(&p, ngx_http_api_claim_text(&from, i));
    c->user_mark = ngx_http_api_mark(&c->claims.user);
    c->session_mark = ngx_http_api_mark(&c->claims.session);
    return c;
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
