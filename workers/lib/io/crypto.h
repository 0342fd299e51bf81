#ifndef ST_IO_CRYPTO_H
#define ST_IO_CRYPTO_H
/* Hashes, MACs and keys by OpenSSL. All functions are thread-safe; keys are immutable and may be shared. */
#include "base/base.h"

enum { ST_SHA256_LEN = 32 };
void st_sha256(const void *data, size_t len, unsigned char out[ST_SHA256_LEN]);
char *st_sha256_hex(struct st_arena *a, const void *data, size_t len);
/* Of a file, as 64 hex digits and a NUL; ST_E_UNAVAILABLE and errno when it cannot be read. */
ST_MUSTCHECK int st_sha256_file(const char *path, char ret[2 * ST_SHA256_LEN + 1]);
void st_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len, unsigned char out[ST_SHA256_LEN]);

/* n random bytes as base64url: secrets and tokens for people and links. 16 bytes are 128 bits. */
char *st_secret(struct st_arena *a, size_t n);

/*
 * AES-256-GCM under a nonce made for each message: at most 2^32 messages for a key, of at most ST_SEAL_MAX bytes.
 * Sealed is nonce, ciphertext and tag as base64url. aad is authenticated, but not in it: only who knows it can open.
 */
enum { ST_SEAL_KEY = 32, ST_SEAL_MAX = 16 << 20 };
char *st_seal(struct st_arena *a, const unsigned char key[ST_SEAL_KEY], const char *aad, const void *text, size_t len);
/* The text, with a NUL behind it. NULL: it was not sealed by this key and aad, or has been changed since. */
char *st_unseal(struct st_arena *a, const unsigned char key[ST_SEAL_KEY], const char *aad, const char *sealed,
                size_t sealed_len, size_t *ret_len);

/*
 * Signature keys. A key has exactly one algorithm, which is never taken from a token: the one it was read for, else the
 * one that its JWK names, else the usual one of its kind (the first of each kind here). Curve and hash go together;
 * RSA keys have 2048 to 8192 bits; a secret has at least as many bits as its hash.
 */
struct st_key;
enum st_alg {
    ST_ES256,
    ST_ES384,
    ST_ES512,
    ST_EDDSA, /* Ed25519 */
    ST_RS256,
    ST_RS384,
    ST_RS512,
    ST_PS256,
    ST_PS384,
    ST_PS512,
    ST_HS256,
    ST_HS384,
    ST_HS512,
    ST_ALGS
};
extern const char *const st_alg_names[ST_ALGS]; /* as in a JOSE header */
/* The algorithm of that name, exactly; -1 when it is none of ours. */
int st_alg_find(const char *name);

/*
 * Reads a PEM file that holds a private or a public key. The key is released with the arena. ST_E_INVALID with the
 * reason in *ret_why.
 */
ST_MUSTCHECK int st_key_load(struct st_arena *a, const char *path, struct st_key **ret, const char **ret_why);
/* The same from memory. */
ST_MUSTCHECK int st_key_parse(struct st_arena *a, const char *pem, size_t len, struct st_key **ret,
                              const char **ret_why);

enum st_alg st_key_alg(const struct st_key *k);
const char *st_key_id(const struct st_key *k);  /* kid of its JWK, else the RFC 7638 thumbprint, base64url */
const char *st_key_jwk(const struct st_key *k); /* of a PEM: the public part as a JWK (JSON text) with kid, alg, use */
bool st_key_is_private(const struct st_key *k); /* the text it was read from held more than a public key */
bool st_key_is_secret(const struct st_key *k);  /* HS*: who can verify can sign */
/* SHA-256 over all that decides what the key accepts: its kind, numbers, algorithm and id. */
void st_key_digest(const struct st_key *k, unsigned char out[ST_SHA256_LEN]);

/*
 * Keys to verify with, from a text of any of these kinds: PEM (public or private key, certificate), JWK, JWKS.
 * alg: the algorithm that the caller wants (enum st_alg), -1 for each key's own. Keys that are not fit for it, or not
 * fit at all, are left out, as RFC 7517 section 5 wants; `left_out` says why, for people. So are secrets among public
 * keys, keys that share their kid and algorithm (which is meant could only be guessed), and those whose x5c certifies
 * another key.
 */
enum { ST_KEYS_MAX = 64, ST_KEYS_TEXT_MAX = 64 * 1024 };
struct st_keys {
    const struct st_key *list[ST_KEYS_MAX];
    int n;
    bool named;           /* it was a JWK or JWKS: the kid of a token selects; a PEM has no kid */
    const char *left_out; /* "" when all are here */
};
/* ST_E_INVALID: the text is none of these, too long, or not readable. Keys that are all left out give 0 and n = 0. */
ST_MUSTCHECK int st_keys_parse(struct st_arena *a, const char *text, size_t len, int alg, struct st_keys *ret,
                               const char **ret_why);
ST_MUSTCHECK int st_keys_load(struct st_arena *a, const char *path, int alg, struct st_keys *ret, const char **ret_why);
/* The bytes of a file as the secret of HS256, HS384 or HS512; a line feed at its end is not part of it. */
ST_MUSTCHECK int st_keys_load_secret(struct st_arena *a, const char *path, int alg, struct st_keys *ret,
                                     const char **ret_why);

/* sig is in JOSE form (ES*: raw r || s of exactly the curve's size, with 0 < r, s < n). */
bool st_key_verify(const struct st_key *k, const void *data, size_t len, const void *sig, size_t sig_len);

/* Signs with a private key, in JOSE form. ST_E_INVALID for a public key. */
ST_MUSTCHECK int st_key_sign(const struct st_key *k, struct st_arena *a, const void *data, size_t len,
                             const unsigned char **ret_sig, size_t *ret_len);

#endif
