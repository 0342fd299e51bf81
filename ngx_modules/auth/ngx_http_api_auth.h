#ifndef NGX_HTTP_API_AUTH_H
#define NGX_HTTP_API_AUTH_H
/* The auth module's configuration, its keys, and its caches of tokens. */
#include "../core/ngx_http_api.h"

enum { NGX_HTTP_API_CLAIM_VARIABLES = 16, NGX_HTTP_API_CLAIMS_MAX = 1024 };

/* Keys that are fetched: api_jwt_jwks. */
typedef struct {
    const char *shown; /* of the URL, in the log: what is no secret */
    char source[2 * ST_SHA256_LEN + 1];
    const char *target, *unix_socket, *ca_file; /* what the HTTP client is told; NULL for none */
    int alg;                                    /* enum st_alg; -1: each key's own */
    time_t interval;
    ngx_msec_t timeout;
} ngx_http_api_key_source_t;

typedef struct {
    struct st_arena arena; /* lives as long as the cycle */
    ngx_array_t keys;      /* const struct st_key *: of files */
    ngx_array_t sources;   /* ngx_http_api_key_source_t */
    ngx_array_t variables; /* const char *: the claim behind each variable of api_jwt_claim */
    ngx_str_t issuer, audience, type, realm;
    time_t leeway;

    /* This worker's: the keys of files and the fetched ones, as they are known under keys_generation. */
    struct st_token_rule rule;
    unsigned char rule_digest[ST_SHA256_LEN];
    struct st_arena fetched;
    ngx_atomic_uint_t keys_generation;
} ngx_http_api_auth_conf_t;

/* What a verified token says. */
typedef struct {
    ngx_str_t user, session, roles, tier;
    ngx_str_t values; /* of api_jwt_claim's variables, each ended by NUL */
    int64_t expires;  /* unix seconds, leeway included */
} ngx_http_api_claims_t;

/*
 * An entry of this worker's cache: the claims, and their join with the shared state. The join holds while the state's
 * marks for this user and session stand where they stood, and until join_again. What a request looks at comes first,
 * and in as few cache lines as may be: a thousand of these are more than a processor's cache holds.
 */
typedef struct {
    ngx_str_t token;
    ngx_http_api_claims_t now; /* as they hold: the token's, or with what overrides roles and tier; laid out */
    ngx_atomic_uint_t marks;   /* 0: not joined yet */
    int64_t join_again;        /* unix seconds */
    uint16_t user_mark, session_mark;
    unsigned revoked : 1;
    unsigned permitted : 1;                   /* permissions are those of roles */
    uint64_t permissions[NGX_HTTP_API_WORDS]; /* amcf->words of them */
    ngx_http_api_claims_t own;                /* the token's */
    u_char *override; /* memory of those that hold, when they are not the token's own; or NULL */
    size_t room;      /* for the texts behind this structure: the token's own, and the token */
} ngx_http_api_cached_t;

/* --- keys: ngx_http_api_auth_keys.c --- */

char *ngx_http_api_auth_set_key_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_api_auth_set_secret_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_api_auth_set_jwks(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* Brings the worker's keys up to date, which costs a comparison while nothing has changed. */
void ngx_http_api_auth_learn_keys(const ngx_http_api_main_conf_t *amcf, ngx_http_api_auth_conf_t *conf);

/*
 * A token names a key that is not known: asks for newer ones. Gives a ticket, or 0 when that is in vain: nothing is
 * fetched, or it was lately. answered: what was asked for with the ticket has been done, with or without success.
 */
ngx_atomic_uint_t ngx_http_api_auth_want_keys(const ngx_http_api_main_conf_t *amcf,
                                              const ngx_http_api_auth_conf_t *conf);
bool ngx_http_api_auth_answered(const ngx_http_api_main_conf_t *amcf, ngx_atomic_uint_t ticket);

/* --- claims: ngx_http_api_auth_claims.c --- */
char *ngx_http_api_auth_set_claim(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
ngx_str_t ngx_http_api_auth_claim_values(const ngx_http_api_auth_conf_t *conf, const struct st_value *claims,
                                         struct st_arena *a);

/* --- credentials: ngx_http_api_auth_scheme.c --- */

/*
 * The alternative that decides, noted in the record: the first whose schemes were all sent; that for anybody only when
 * there is no such one. NULL: none.
 */
const struct st_api_alternative *ngx_http_api_auth_choose(ngx_http_api_ctx_t *ctx);
/* Could another site have made the browser send this, with its cookies? */
bool ngx_http_api_auth_forged(const ngx_http_request_t *r);
/* Identifies by the API key that was sent. NGX_DECLINED: refused, and why; without a reason no roles are known. */
ngx_int_t ngx_http_api_auth_key(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx, const char **ret_why);
/* The key's SHA-256 as hex; false when it cannot be a key. */
bool ngx_http_api_auth_key_hash(const ngx_http_api_ctx_t *ctx, u_char out[2 * ST_SHA256_LEN]);

/* Ends streams with their credentials: ngx_http_api_auth_stream.c. */
ngx_int_t ngx_http_api_auth_watch_streams(ngx_conf_t *cf);

/* --- fetching, by worker 0: ngx_http_api_auth_fetch.c --- */
void ngx_http_api_auth_fetch_start(const ngx_http_api_main_conf_t *amcf, const ngx_http_api_auth_conf_t *conf);
void ngx_http_api_auth_fetch_stop(void);

/* --- caches --- */

/* The key of the shared cache and of the refused tokens: SHA-256 over the rule and the token. */
void ngx_http_api_auth_digest(const ngx_http_api_auth_conf_t *conf, const ngx_str_t *token,
                              unsigned char out[ST_SHA256_LEN]);

/*
 * This worker's cache. An entry is good until the next put. put gives NULL when memory is out. expect asks for the
 * memory of an entry that will be looked for; false: there is none.
 */
bool ngx_http_api_auth_l1_expect(const ngx_str_t *token);
ngx_http_api_cached_t *ngx_http_api_auth_l1_find(const ngx_str_t *token);
ngx_http_api_cached_t *ngx_http_api_auth_l1_put(const ngx_str_t *token, const ngx_http_api_claims_t *claims);
void ngx_http_api_auth_l1_clear(void);

/*
 * The cache that all workers share, made in a zone that is all its own. place: that of a token; asks for the memory
 * that tells where it is in there. expect: asks for the token's own, which comes while the digest is made.
 */
uint64_t ngx_http_api_auth_l2_place(const ngx_http_api_zone_t *z, const ngx_http_api_auth_conf_t *conf,
                                    const ngx_str_t *token);
void ngx_http_api_auth_l2_expect(const ngx_http_api_zone_t *z, uint64_t place);
/*
 * *ret_marks are the marks under which the claims were found to hold as they are, with nothing in the state that
 * overrides them until *ret_join_again; 0 when that has not been looked at, or was otherwise. Claims too long for a
 * slot are not kept here.
 */
bool ngx_http_api_auth_l2_find(const ngx_http_api_zone_t *z, uint64_t place, const unsigned char digest[ST_SHA256_LEN],
                               struct st_arena *a, ngx_http_api_claims_t *ret, ngx_atomic_uint_t *ret_marks,
                               int64_t *ret_join_again);
void ngx_http_api_auth_l2_put(const ngx_http_api_zone_t *z, uint64_t place, const unsigned char digest[ST_SHA256_LEN],
                              const ngx_http_api_claims_t *claims, ngx_atomic_uint_t marks, int64_t join_again);

/* The texts of claims that the caches keep, in the order in which they lie in memory. */
enum { NGX_HTTP_API_CLAIM_TEXTS = 5 };
ngx_str_t *ngx_http_api_claim_text(ngx_http_api_claims_t *claims, ngx_uint_t i);

/* Texts that are laid out follow each other, with a NUL behind each; how many bytes that makes. */
size_t ngx_http_api_claims_size(const ngx_http_api_claims_t *claims);
/* Lays `from` out at p; gives the place behind. */
u_char *ngx_http_api_claims_lay(u_char *p, const ngx_http_api_claims_t *from, ngx_http_api_claims_t *ret);

/* Why this worker refused the token lately; NULL when it did not. `why` is static text. */
const char *ngx_http_api_auth_refused(const unsigned char digest[ST_SHA256_LEN]);
void ngx_http_api_auth_refuse_again(const unsigned char digest[ST_SHA256_LEN], const char *why);

#endif
