/* Signature keys by OpenSSL: the table of algorithms, PEM, secrets, and which keys are too weak. */
#include "io/crypto_impl.h"
#include "io/json.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

enum { RSA_BITS_MIN = 2048, RSA_BITS_MAX = 8192, SECRET_MAX = 1024 };

const char *const st_alg_names[ST_ALGS] = {"ES256", "ES384", "ES512", "EdDSA", "RS256", "RS384", "RS512",
                                           "PS256", "PS384", "PS512", "HS256", "HS384", "HS512"};

const struct st_alg_parts st_alg_parts[ST_ALGS] = {
    [ST_ES256] = {.kty = "EC", .curve = "P-256", .hash = EVP_sha256, .coordinate = 32},
    [ST_ES384] = {.kty = "EC", .curve = "P-384", .hash = EVP_sha384, .coordinate = 48},
    [ST_ES512] = {.kty = "EC", .curve = "P-521", .hash = EVP_sha512, .coordinate = 66},
    [ST_EDDSA] = {.kty = "OKP", .curve = "Ed25519"},
    [ST_RS256] = {.kty = "RSA", .hash = EVP_sha256},
    [ST_RS384] = {.kty = "RSA", .hash = EVP_sha384},
    [ST_RS512] = {.kty = "RSA", .hash = EVP_sha512},
    [ST_PS256] = {.kty = "RSA", .hash = EVP_sha256, .pss = true},
    [ST_PS384] = {.kty = "RSA", .hash = EVP_sha384, .pss = true},
    [ST_PS512] = {.kty = "RSA", .hash = EVP_sha512, .pss = true},
    [ST_HS256] = {.kty = "oct", .hash = EVP_sha256},
    [ST_HS384] = {.kty = "oct", .hash = EVP_sha384},
    [ST_HS512] = {.kty = "oct", .hash = EVP_sha512},
};

int st_alg_find(const char *name)
{
    for (int i = 0; i < ST_ALGS; i++)
        if (st_streq(st_alg_names[i], name))
            return i;
    return -1;
}

static void key_free(void *ptr)
{
    struct st_key *k = ptr;
    EVP_MD_CTX_free(k->ready);
    EVP_PKEY_free(k->pkey);
}

static void secret_free(void *ptr)
{
    struct st_key *k = ptr;
    OPENSSL_cleanse((unsigned char *)k->secret, k->secret_len);
}

/* --- what a key is ------------------------------------------------------------------------------------------------ */

/* A big-endian parameter of the key as base64url, padded to `width` bytes when width is not 0. */
static char *bn_param(struct st_arena *a, EVP_PKEY *pkey, const char *name, int width)
{
    BIGNUM *n = NULL;
    if (!EVP_PKEY_get_bn_param(pkey, name, &n))
        return NULL;
    int len = width ? width : BN_num_bytes(n);
    unsigned char *bytes = st_alloc(a, (size_t)len);
    char *out = BN_bn2binpad(n, bytes, len) < 0 ? NULL : st_b64url(a, bytes, (size_t)len);
    BN_free(n);
    return out;
}

/* The usual algorithm of a key; -1 when it is of no kind that is supported. */
static int usual_alg(EVP_PKEY *pkey)
{
    char group[32] = "";
    if (EVP_PKEY_is_a(pkey, "RSA"))
        return ST_RS256;
    if (EVP_PKEY_is_a(pkey, "ED25519"))
        return ST_EDDSA;
    if (!EVP_PKEY_is_a(pkey, "EC"))
        return -1;
    EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), NULL);
    return st_streq(group, "prime256v1")  ? ST_ES256
           : st_streq(group, "secp384r1") ? ST_ES384
           : st_streq(group, "secp521r1") ? ST_ES512
                                          : -1;
}

/*
 * Moduli of a flawed chip (CVE-2017-15361, "ROCA") are powers of 65537 modulo every small prime; others are so with a
 * probability of less than 2^-27. They can be factored.
 */
static bool is_roca(const BIGNUM *modulus)
{
    static const unsigned char primes[] = {3,   5,   7,   11,  13,  17,  19,  23,  29,  31,  37,  41,  43,
                                           47,  53,  59,  61,  67,  71,  73,  79,  83,  89,  97,  101, 103,
                                           107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167};
    for (size_t i = 0; i < ST_COUNT(primes); i++) {
        unsigned p = primes[i], rest = (unsigned)BN_mod_word(modulus, p), power = 1;
        bool found = false;
        for (unsigned k = 0; !found && k < p; k++) {
            found = power == rest;
            power = power * (65537 % p) % p;
        }
        if (!found)
            return false;
    }
    return true;
}

/* RFC 8017 wants an odd exponent of at least 3; OpenSSL's own limit for large keys, 64 bits, holds for all here. */
static const char *rsa_weakness(EVP_PKEY *pkey)
{
    BIGNUM *n = NULL, *e = NULL;
    const char *why = NULL;
    if (!EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) ||
        !EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e))
        why = "an RSA key needs n and e";
    else if (BN_num_bits(n) < RSA_BITS_MIN || BN_num_bits(n) > RSA_BITS_MAX)
        why = "an RSA key must have 2048 to 8192 bits";
    else if (!BN_is_odd(n))
        why = "the modulus is even";
    else if (!BN_is_odd(e) || BN_is_one(e) || BN_num_bits(e) > 64)
        why = "the exponent must be odd, 3 or more, and of at most 64 bits";
    else if (is_roca(n))
        why = "the key comes from a flawed generator (CVE-2017-15361)";
    BN_free(n);
    BN_free(e);
    return why;
}

/* RFC 7638: the required members in lexical order. */
static const char *thumbprint_text(struct st_arena *a, EVP_PKEY *pkey, const struct st_alg_parts *alg)
{
    if (alg->coordinate) {
        const char *x = bn_param(a, pkey, OSSL_PKEY_PARAM_EC_PUB_X, alg->coordinate);
        const char *y = bn_param(a, pkey, OSSL_PKEY_PARAM_EC_PUB_Y, alg->coordinate);
        return x && y ? st_printf(a, "{\"crv\":\"%s\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", alg->curve, x, y)
                      : NULL;
    }
    if (alg->curve) {
        unsigned char raw[32];
        size_t n = sizeof(raw);
        if (!EVP_PKEY_get_raw_public_key(pkey, raw, &n))
            return NULL;
        return st_printf(a, "{\"crv\":\"%s\",\"kty\":\"OKP\",\"x\":\"%s\"}", alg->curve, st_b64url(a, raw, n));
    }
    const char *n = bn_param(a, pkey, OSSL_PKEY_PARAM_RSA_N, 0), *e = bn_param(a, pkey, OSSL_PKEY_PARAM_RSA_E, 0);
    return n && e ? st_printf(a, "{\"e\":\"%s\",\"kty\":\"RSA\",\"n\":\"%s\"}", e, n) : NULL;
}

static void describe(struct st_arena *a, struct st_key *k, const char *thumb)
{
    unsigned char digest[ST_SHA256_LEN];
    st_sha256(thumb, strlen(thumb), digest);
    k->id = st_b64url(a, digest, sizeof(digest));
    k->jwk = st_printf(a, "{%.*s,\"kid\":\"%s\",\"alg\":\"%s\",\"use\":\"sig\"}", (int)strlen(thumb) - 2, thumb + 1,
                       k->id, st_alg_names[k->alg]);
}

static bool prepare(struct st_key *k)
{
    if (st_alg_parts[k->alg].hash)
        return st_key_verifier(k) != NULL;
    k->ready = EVP_MD_CTX_new();
    return k->ready && EVP_DigestVerifyInit(k->ready, NULL, NULL, NULL, k->pkey) == 1;
}

struct st_key *st_key_adopt(struct st_arena *a, EVP_PKEY *pkey, int alg, bool is_private, const char **ret_why)
{
    struct st_key *k = st_new(a, struct st_key);
    int usual = usual_alg(pkey);
    const char *thumb = NULL, *why = NULL;
    k->pkey = pkey;
    k->is_private = is_private;
    st_defer(a, key_free, k);
    if (usual < 0) {
        *ret_why = "the key is none of EC P-256, P-384, P-521, Ed25519, RSA";
        return NULL;
    }
    k->alg = alg < 0 ? (enum st_alg)usual : (enum st_alg)alg;
    const struct st_alg_parts *parts = &st_alg_parts[k->alg];
    if (!st_streq(parts->kty, st_alg_parts[usual].kty) || !st_streq(parts->curve, st_alg_parts[usual].curve))
        why = st_printf(a, "the key is not for %s", st_alg_names[k->alg]);
    else if (usual == ST_RS256)
        why = rsa_weakness(pkey);
    if (!why && (!(thumb = thumbprint_text(a, pkey, parts)) || !prepare(k)))
        why = "OpenSSL cannot use the key";
    ERR_clear_error();
    if (why) {
        *ret_why = why;
        return NULL;
    }
    describe(a, k, thumb);
    return k;
}

struct st_key *st_key_of_secret(struct st_arena *a, const void *secret, size_t len, int alg, const char **ret_why)
{
    alg = alg < 0 ? ST_HS256 : alg;
    if (!st_streq(st_alg_parts[alg].kty, "oct")) {
        *ret_why = st_printf(a, "a secret is not for %s", st_alg_names[alg]);
        return NULL;
    }
    if (len < (size_t)EVP_MD_get_size(st_alg_parts[alg].hash()) || len > SECRET_MAX) {
        *ret_why = st_printf(a, "the secret of %s must have %d to %d bytes", st_alg_names[alg],
                             EVP_MD_get_size(st_alg_parts[alg].hash()), SECRET_MAX);
        return NULL;
    }
    struct st_key *k = st_new(a, struct st_key);
    unsigned char *copy = st_alloc(a, len);
    memcpy(copy, secret, len);
    *k = (struct st_key){.secret = copy, .secret_len = len, .alg = (enum st_alg)alg, .is_private = true, .id = ""};
    st_defer(a, secret_free, k);
    return k;
}

enum st_alg st_key_alg(const struct st_key *k)
{
    return k->alg;
}

const char *st_key_id(const struct st_key *k)
{
    return k->id;
}

const char *st_key_jwk(const struct st_key *k)
{
    return k->jwk;
}

bool st_key_is_private(const struct st_key *k)
{
    return k->is_private;
}

bool st_key_is_secret(const struct st_key *k)
{
    return k->secret != NULL;
}

void st_key_digest(const struct st_key *k, unsigned char out[ST_SHA256_LEN])
{
    struct st_arena a = {0};
    unsigned char secret[ST_SHA256_LEN];
    st_hmac_sha256(k->secret, k->secret_len, "digest", strlen("digest"), secret);
    const char *text = st_printf(&a, "%s\n%s\n%s\n%s", st_alg_names[k->alg], k->id, k->jwk ? k->jwk : "",
                                 k->secret ? st_hex(&a, secret, sizeof(secret)) : "");
    st_sha256(text, strlen(text), out);
    st_arena_release(&a);
}

/* --- PEM ------------------------------------------------------------------------------------------------------------
 */

static EVP_PKEY *certified_key(BIO *bio)
{
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    EVP_PKEY *pkey = certificate ? X509_get_pubkey(certificate) : NULL;
    X509_free(certificate);
    return pkey;
}

/* What the text holds; NULL when it is no PEM. */
static EVP_PKEY *read_pem(const char *pem, size_t len, bool *ret_private)
{
    static const char private_mark[] = "PRIVATE KEY-----", certificate_mark[] = "-----BEGIN CERTIFICATE-----";
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    if (!bio)
        abort();
    *ret_private = memmem(pem, len, private_mark, sizeof(private_mark) - 1) != NULL;
    EVP_PKEY *pkey = *ret_private ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"")
                     : memmem(pem, len, certificate_mark, sizeof(certificate_mark) - 1)
                         ? certified_key(bio)
                         : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
    ERR_clear_error();
    return pkey;
}

int st_key_parse(struct st_arena *a, const char *pem, size_t len, struct st_key **ret, const char **ret_why)
{
    bool is_private;
    EVP_PKEY *pkey = len <= ST_KEYS_TEXT_MAX ? read_pem(pem, len, &is_private) : NULL;
    if (!pkey) {
        *ret_why = "not a PEM key";
        return ST_E_INVALID;
    }
    struct st_key *k = st_key_adopt(a, pkey, -1, is_private, ret_why);
    if (!k)
        return ST_E_INVALID;
    *ret = k;
    return 0;
}

/* --- files ----------------------------------------------------------------------------------------------------------
 */

/* Reads what may be secret: not through the arena, which would keep it. */
static int read_file(struct st_arena *a, const char *path, char text[ST_KEYS_TEXT_MAX + 1], size_t *ret_len,
                     const char **ret_why)
{
    FILE *f = fopen(path, "re");
    if (!f) {
        *ret_why = st_printf(a, "cannot open %s: %m", path);
        return ST_E_INVALID;
    }
    *ret_len = fread(text, 1, ST_KEYS_TEXT_MAX + 1, f);
    bool failed = ferror(f) != 0;
    fclose(f);
    if (failed || *ret_len > ST_KEYS_TEXT_MAX) {
        *ret_why = st_printf(a, "%s: %s", path, failed ? "cannot be read" : "is larger than 64 KiB");
        return ST_E_INVALID;
    }
    return 0;
}

static int named(struct st_arena *a, const char *path, int r, const char *why, const char **ret_why)
{
    if (r < 0)
        *ret_why = st_printf(a, "%s: %s", path, why);
    return r;
}

int st_key_load(struct st_arena *a, const char *path, struct st_key **ret, const char **ret_why)
{
    char text[ST_KEYS_TEXT_MAX + 1];
    size_t n = 0;
    const char *why = NULL;
    int r = read_file(a, path, text, &n, ret_why);
    if (r < 0)
        return r;
    r = st_key_parse(a, text, n, ret, &why);
    OPENSSL_cleanse(text, n);
    return named(a, path, r, why, ret_why);
}

int st_keys_parse(struct st_arena *a, const char *text, size_t len, int alg, struct st_keys *ret, const char **ret_why)
{
    struct st_keys keys = {.left_out = ""};
    const char *why = NULL;
    size_t blank = 0;
    bool is_private;
    while (blank < len && strchr(" \t\r\n", text[blank]) && text[blank])
        blank++;
    if (blank < len && text[blank] == '{')
        return st_jwks_parse(a, text, len, alg, ret, ret_why);
    EVP_PKEY *pkey = len <= ST_KEYS_TEXT_MAX ? read_pem(text, len, &is_private) : NULL;
    if (!pkey) {
        *ret_why = "not a PEM key, JWK or JWKS";
        return ST_E_INVALID;
    }
    const struct st_key *k = st_key_adopt(a, pkey, alg, is_private, &why);
    if (k)
        keys.list[keys.n++] = k;
    else
        keys.left_out = why;
    *ret = keys;
    return 0;
}

int st_keys_load(struct st_arena *a, const char *path, int alg, struct st_keys *ret, const char **ret_why)
{
    char text[ST_KEYS_TEXT_MAX + 1];
    size_t n = 0;
    const char *why = NULL;
    int r = read_file(a, path, text, &n, ret_why);
    if (r < 0)
        return r;
    r = st_keys_parse(a, text, n, alg, ret, &why);
    OPENSSL_cleanse(text, n);
    return named(a, path, r, why, ret_why);
}

int st_keys_load_secret(struct st_arena *a, const char *path, int alg, struct st_keys *ret, const char **ret_why)
{
    char text[ST_KEYS_TEXT_MAX + 1];
    size_t n = 0;
    struct st_keys keys = {.left_out = ""};
    const char *why = NULL;
    int r = read_file(a, path, text, &n, ret_why);
    if (r < 0)
        return r;
    const struct st_key *k = st_key_of_secret(a, text, n && text[n - 1] == '\n' ? n - 1 : n, alg, &why);
    OPENSSL_cleanse(text, n);
    if (k)
        keys.list[keys.n++] = k;
    else
        keys.left_out = why;
    *ret = keys;
    return 0;
}
