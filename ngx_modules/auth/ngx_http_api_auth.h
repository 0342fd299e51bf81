#ifndef NGX_HTTP_API_AUTH_H
#define NGX_HTTP_API_AUTH_H
/* The auth module's configuration, and its caches of tokens. */
#include "../core/ngx_http_api.h"

typedef struct {
    struct st_arena arena; /* lives as long as the cycle */
    ngx_array_t keys;      /* struct st_key * */
    ngx_str_t issuer, audience;
    time_t leeway;
    struct st_token_rule rule;
    unsigned char rule_digest[ST_SHA256_LEN];
} ngx_http_api_auth_conf_t;

/* What a verified token says. */
typedef struct {
    ngx_str_t user, session, roles, tier;
    int64_t expires; /* unix seconds, leeway included */
} ngx_http_api_claims_t;

/*
 * An entry of this worker's cache: the claims, and their join with the shared state. The join holds while the state's
 * marks for this user and session stand where they stood, and until join_again.
 */
typedef struct {
    ngx_str_t token; /* len 0: free */
    ngx_http_api_claims_t claims;
    uint16_t user_mark, session_mark;
    ngx_atomic_uint_t marks; /* 0: not joined yet */
    int64_t join_again;      /* unix seconds */
    ngx_str_t roles, tier;   /* as they hold now: the claims', or what overrides them */
    u_char *override;        /* memory of the latter, or NULL */
    uint64_t permissions[NGX_HTTP_API_WORDS];
    unsigned revoked : 1;
    unsigned permitted : 1; /* permissions are those of roles */
    size_t room;            /* for the texts behind this structure */
} ngx_http_api_cached_t;

/* The key of the shared cache and of the refused tokens: SHA-256 over the rule and the token. */
void ngx_http_api_auth_digest(const ngx_http_api_auth_conf_t *conf, const ngx_str_t *token,
                              unsigned char out[ST_SHA256_LEN]);

/* This worker's cache. An entry is good until the next put. put gives NULL when memory is out. */
ngx_http_api_cached_t *ngx_http_api_auth_l1_find(const ngx_str_t *token);
ngx_http_api_cached_t *ngx_http_api_auth_l1_put(const ngx_str_t *token, const ngx_http_api_claims_t *claims);

/*
 * The cache that all workers share, made in a zone that is all its own. *ret_marks are the marks under which the claims
 * were found to hold as they are, with nothing in the state that overrides them until *ret_join_again; 0 when that has
 * not been looked at, or was otherwise. Claims too long for a slot are not kept here.
 */
bool ngx_http_api_auth_l2_find(const ngx_http_api_zone_t *z, const unsigned char digest[ST_SHA256_LEN],
                               struct st_arena *a, ngx_http_api_claims_t *ret, ngx_atomic_uint_t *ret_marks,
                               int64_t *ret_join_again);
void ngx_http_api_auth_l2_put(const ngx_http_api_zone_t *z, const unsigned char digest[ST_SHA256_LEN],
                              const ngx_http_api_claims_t *claims, ngx_atomic_uint_t marks, int64_t join_again);

/* The texts of claims that the caches keep, in the order in which they lie in memory. */
enum { NGX_HTTP_API_CLAIM_TEXTS = 4 };
ngx_str_t *ngx_http_api_claim_text(ngx_http_api_claims_t *claims, ngx_uint_t i);

/* Why this worker refused the token lately; NULL when it did not. `why` is static text. */
const char *ngx_http_api_auth_refused(const unsigned char digest[ST_SHA256_LEN]);
void ngx_http_api_auth_refuse_again(const unsigned char digest[ST_SHA256_LEN], const char *why);

#endif
