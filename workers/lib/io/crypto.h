#ifndef ST_IO_CRYPTO_H
#define ST_IO_CRYPTO_H
/* Hashes, MACs and keys by OpenSSL. All functions are thread-safe; keys are immutable and may be shared. */
#include "base/base.h"

enum { ST_SHA256_LEN = 32 };
void st_sha256(const void *data, size_t len, unsigned char out[ST_SHA256_LEN]);
char *st_sha256_hex(struct st_arena *a, const void *data, size_t len);
void st_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len, unsigned char out[ST_SHA256_LEN]);

/* n random bytes as base64url: secrets and tokens for people and links. 16 bytes are 128 bits. */
char *st_secret(struct st_arena *a, size_t n);

/* A signature key: EC P-256 (ES256), Ed25519 (EdDSA) or RSA of 2048 bits and more (RS256). */
struct st_key;
enum st_alg { ST_ES256, ST_EDDSA, ST_RS256 };
extern const char *const st_alg_names[]; /* as in a JOSE header */

/*
 * Reads a PEM file that holds a private or a public key. The algorithm belongs to the key, never to a token. The key
 * is released with the arena. ST_E_INVALID with the reason in *ret_why.
 */
ST_MUSTCHECK int st_key_load(struct st_arena *a, const char *path, struct st_key **ret, const char **ret_why);
/* The same from memory. */
ST_MUSTCHECK int st_key_parse(struct st_arena *a, const char *pem, size_t len, struct st_key **ret,
                              const char **ret_why);

enum st_alg st_key_alg(const struct st_key *k);
const char *st_key_id(const struct st_key *k);  /* RFC 7638 thumbprint, base64url */
const char *st_key_jwk(const struct st_key *k); /* the public part as a JWK (JSON text) with kid, alg, use */
bool st_key_is_private(const struct st_key *k);

/* sig is in JOSE form (ES256: raw r || s, 64 bytes, with 0 < r, s < n). */
bool st_key_verify(const struct st_key *k, const void *data, size_t len, const void *sig, size_t sig_len);

/* Signs with a private key, in JOSE form. ST_E_INVALID for a public key. */
ST_MUSTCHECK int st_key_sign(const struct st_key *k, struct st_arena *a, const void *data, size_t len,
                             const unsigned char **ret_sig, size_t *ret_len);

#endif
