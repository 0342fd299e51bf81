#ifndef ST_IO_TOKEN_H
#define ST_IO_TOKEN_H
/*
 * Access tokens (JWT, RFC 9068 profile), and the signature of the edge on the identity it hands to a service.
 *
 * Verification is strict: three parts of strict base64url, header and claims without duplicate names, `alg` equal to
 * the key's algorithm, `typ` at+jwt, no `crit`, no b64: false, numeric exp / nbf / iat, exact issuer and audience. What
 * needs no cryptography is refused before any.
 */
#include "io/crypto.h"
#include "io/value.h"

enum { ST_TOKEN_MAX = 8 * 1024 };

/* The token names a key that is not there: a newer key set may have it. */
#define ST_TOKEN_UNKNOWN_KEY "unknown key"
#define ST_TOKEN_EXPIRED     "the token has expired"

/*
 * The key is the one that has the token's kid and alg. A token without a kid is taken when exactly one key has its alg.
 * Secrets from a file have no name and fit every kid.
 */
struct st_token_rule {
    const struct st_key *const *keys;
    int n_keys;
    bool any_kid;                  /* the keys were not named by who made the tokens: their kid says nothing */
    const char *type;              /* of the header, "application/" may stand before it; NULL: at+jwt, "*": any */
    const char *issuer, *audience; /* NULL: not checked */
    int leeway_s;                  /* for exp and nbf */
    const char *user, *session, *roles,
        *tier;           /* where the claims are, as for st_token_claim; NULL: sub, sid, roles, tier */
    bool signature_only; /* claims and typ are not looked at */
};

struct st_token_claims {
    const char *user, *session, *token_id; /* usually sub, sid, jti */
    const char *roles;                     /* comma-separated */
    const char *tier;
    int64_t expires;            /* seconds since 1970 */
    const struct st_value *all; /* NULL: they are not JSON, under signature_only */
    const char *text;           /* as they were signed */
};

/* 0, or ST_E_UNAUTHENTICATED and *ret_why (static, fit for WWW-Authenticate's error_description). */
ST_MUSTCHECK int st_token_verify(const struct st_token_rule *rule, const char *token, size_t len, int64_t now_s,
                                 struct st_arena *a, struct st_token_claims *ret, const char **ret_why);

/*
 * A claim as text: a string, a number, a boolean, or strings of an array joined by commas; "" for everything else.
 * path: the claim's name, or a JSON pointer ("/realm_access/roles").
 */
const char *st_token_claim(struct st_arena *a, const struct st_value *claims, const char *path);

/*
 * Signs claims with a private key. By OpenSSL too: libjwt 1.10 overwrites `typ`, so it cannot write an at+jwt; the unit
 * tests use it as the other implementation.
 */
ST_MUSTCHECK int st_token_issue(const struct st_key *key, const json_t *claims, struct st_arena *a, const char **ret);

/*
 * What the edge tells a service about a request, in X-Api-* headers, signed so that nobody else can say it.
 * All strings, "" when there is none.
 */
struct st_edge_identity {
    const char *method, *uri; /* uri as it is forwarded, with the query */
    const char *operation, *user, *session, *roles, *tier, *correlation_id, *address;
    const char *time; /* seconds since 1970, decimal */
};
enum { ST_EDGE_SIGNATURE_LEN = 65, ST_EDGE_TOLERANCE_S = 60 };
/* HMAC-SHA256 over the values, each ended by a line feed, as hex with a NUL. */
void st_edge_sign(const void *key, size_t key_len, const struct st_edge_identity *id, char out[ST_EDGE_SIGNATURE_LEN]);

#endif
