/* Caches of tokens that belong to one worker: of those that were verified, and of those that were refused. */
#include "ngx_http_api_auth.h"

enum {
    L1_SETS = 4096,
    L1_WAYS = 2, /* of about 1 KiB each */
    L1_HASHED = 32,
    L1_TEXTS = 128, /* as long as the texts of claims mostly are */
    L1_LONG = 2048, /* longer tokens are not kept: memory stays below SETS * WAYS * LONG */
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

size_t ngx_http_api_claims_size(const ngx_http_api_claims_t *c)
{
    return c->user.len + c->session.len + c->roles.len + c->tier.len + c->values.len + NGX_HTTP_API_CLAIM_TEXTS;
}

u_char *ngx_http_api_claims_lay(u_char *p, const ngx_http_api_claims_t *from, ngx_http_api_claims_t *ret)
{
    ngx_http_api_claims_t texts = *from;
    *ret = texts;
    for (ngx_uint_t i = 0; i < NGX_HTTP_API_CLAIM_TEXTS; i++) {
        const ngx_str_t *text = ngx_http_api_claim_text(&texts, i);
        ngx_http_api_claim_text(ret, i)->data = p;
        p = ngx_cpymem(p, text->data, text->len);
        *p++ = '\0';
    }
    return p;
}

/* --- this worker's --- */

/*
 * Tags tell whether an entry is worth looking at: memory that is not in the processor's caches costs more than all else
 * here. For the same reason a full set is not disturbed by a token that comes once: it is a visitor, and let in when it
 * is the next of its set to come again.
 */
static struct set {
    uint32_t tags[L1_WAYS];
    uint32_t visited; /* the tag of the last visitor */
    ngx_http_api_cached_t *entries[L1_WAYS];
} l1_sets[L1_SETS];
static ngx_http_api_cached_t *l1_visitor;

/* What tells tokens apart best is their end, a part of the signature. */
static struct set *l1_set(const ngx_str_t *token, uint32_t *ret_tag)
{
    size_t n = ngx_min(token->len, L1_HASHED);
    *ret_tag = ngx_murmur_hash2(token->data + token->len - n, n);
    return &l1_sets[*ret_tag % L1_SETS];
}

static bool holds(const struct set *set, size_t way, uint32_t tag, const ngx_str_t *token)
{
    const ngx_http_api_cached_t *c = set->entries[way];
    return c && set->tags[way] == tag && c->token.len == token->len &&
           memcmp(c->token.data, token->data, token->len) == 0;
}

/* Lines of memory are asked for together: one after the other they would take ten times as long to come. */
bool ngx_http_api_auth_l1_expect(const ngx_str_t *token)
{
    uint32_t tag;
    const struct set *set = l1_set(token, &tag);
    bool likely = false;
    for (size_t way = 0; way < L1_WAYS; way++) {
        const ngx_http_api_cached_t *c = set->tags[way] == tag ? set->entries[way] : NULL;
        for (size_t at = 0; c && at <= offsetof(ngx_http_api_cached_t, permissions); at += NGX_HTTP_API_LINE)
            __builtin_prefetch((const u_char *)c + at);
        for (size_t at = 0; c && at < L1_TEXTS + token->len; at += NGX_HTTP_API_LINE)
            __builtin_prefetch((const u_char *)(c + 1) + at);
        likely = likely || c;
    }
    return likely;
}

ngx_http_api_cached_t *ngx_http_api_auth_l1_find(const ngx_str_t *token)
{
    uint32_t tag;
    const struct set *set = l1_set(token, &tag);
    for (size_t way = 0; way < L1_WAYS; way++)
        if (holds(set, way, tag, token))
            return set->entries[way];
    return NULL;
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
    for (size_t i = 0; i < L1_SETS; i++)
        for (size_t way = 0; way < L1_WAYS; way++)
            drop(&l1_sets[i].entries[way]);
    drop(&l1_visitor);
}

/* The token's own entry of before, a free one, the set's older one, or the visitor's. The newest stands first. */
static ngx_http_api_cached_t **l1_place(const ngx_str_t *token)
{
    uint32_t tag;
    struct set *set = l1_set(token, &tag);
    if (token->len > L1_LONG)
        return &l1_visitor;
    size_t way = 0;
    while (way < L1_WAYS - 1 && set->entries[way] && !holds(set, way, tag, token))
        way++;
    if (set->entries[way] && !holds(set, way, tag, token) && set->visited != tag) {
        set->visited = tag;
        return &l1_visitor;
    }
    ngx_http_api_cached_t *c = set->entries[way];
    for (; way > 0; way--) {
        set->entries[way] = set->entries[way - 1];
        set->tags[way] = set->tags[way - 1];
    }
    set->entries[0] = c;
    set->tags[0] = tag;
    return &set->entries[0];
}

ngx_http_api_cached_t *ngx_http_api_auth_l1_put(const ngx_str_t *token, const ngx_http_api_claims_t *claims)
{
    ngx_http_api_cached_t **slot = l1_place(token), *c = *slot;
    size_t need = ngx_http_api_claims_size(claims) + token->len;
    if (c)
        free(c->override);
    if (!c || c->room < need || c->room > need + L1_LONG) {
        free(c);
        if (!(c = *slot = malloc(sizeof(*c) + need)))
            return NULL;
        c->room = need;
    }
    u_char *p = ngx_http_api_claims_lay((u_char *)(c + 1), claims, &c->own);
    ngx_memcpy(p, token->data, token->len);
    c->token = (ngx_str_t){token->len, p};
    c->now = c->own;
    c->marks = 0;
    c->join_again = 0;
    c->revoked = c->permitted = 0;
    c->override = NULL;
    c->user_mark = ngx_http_api_mark(&c->own.user);
    c->session_mark = ngx_http_api_mark(&c->own.session);
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
