#ifndef ST_IO_CRYPTO_IMPL_H
#define ST_IO_CRYPTO_IMPL_H
/* Inside of crypto.h: crypto.c hashes, signs and verifies; crypto_key.c reads keys; crypto_jwk.c reads JWK and JWKS. */
#include "io/crypto.h"

#include <openssl/evp.h>

/* What a JOSE algorithm is made of: a row each. */
struct st_alg_parts {
    const char *kty, *curve;     /* as in a JWK; curve NULL for RSA and secrets */
    const EVP_MD *(*hash)(void); /* NULL: the algorithm has its own */
    int coordinate;              /* ECDSA: bytes of r, of s, and of a coordinate */
    bool pss;                    /* RSASSA-PSS, its salt as long as the hash */
};
extern const struct st_alg_parts st_alg_parts[ST_ALGS];
enum { ST_COORDINATE_MAX = 66 };

struct st_key {
    EVP_PKEY *pkey;    /* NULL for a secret */
    EVP_MD_CTX *ready; /* where the algorithm has a hash of its own: prepared once, copied for each signature */
    const unsigned char *secret;
    size_t secret_len;
    enum st_alg alg;
    bool is_private;
    const char *id, *jwk;
};

/* This thread's context to verify with, of a key whose algorithm says what to hash with; NULL: OpenSSL cannot. */
EVP_PKEY_CTX *st_key_verifier(const struct st_key *k);

/*
 * Takes pkey into a key of the arena: decides the algorithm (alg: -1 for the usual one), refuses weak keys, fills id
 * and jwk. NULL and *ret_why when it is not fit.
 */
struct st_key *st_key_adopt(struct st_arena *a, EVP_PKEY *pkey, int alg, bool is_private, const char **ret_why);
struct st_key *st_key_of_secret(struct st_arena *a, const void *secret, size_t len, int alg, const char **ret_why);

/* JWK and JWKS. */
int st_jwks_parse(struct st_arena *a, const char *text, size_t len, int alg, struct st_keys *ret, const char **ret_why);

#endif
