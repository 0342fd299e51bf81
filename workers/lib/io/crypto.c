/* Hashes, MACs and keys by OpenSSL. */
#include "io/crypto.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pthread.h>

const char *const st_alg_names[] = {"ES256", "EdDSA", "RS256"};

struct st_key {
    EVP_PKEY *pkey;
    enum st_alg alg;
    bool is_private;
    const char *id, *jwk;
};

enum { PEM_MAX = 64 * 1024, P256_LEN = 32 };

/*
 * What each thread keeps: fetching a digest and making a context for it cost several times what the digest of a
 * request's few hundred bytes does. The MAC's context remembers its key, which is nearly always the same one.
 */
struct tools {
    EVP_MD_CTX *digest;
    EVP_MD *sha256;
    EVP_MAC_CTX *mac;
    unsigned char key[128];
    size_t key_len; /* 0: none yet */
};

static pthread_key_t tools_key;

static void tools_free(void *data)
{
    struct tools *t = data;
    EVP_MD_CTX_free(t->digest);
    EVP_MD_free(t->sha256);
    EVP_MAC_CTX_free(t->mac);
    OPENSSL_cleanse(t, sizeof(*t));
    free(t);
}

static void tools_init(void)
{
    if (pthread_key_create(&tools_key, tools_free) != 0)
        abort();
}

static struct tools *tools_here(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, tools_init);
    struct tools *t = pthread_getspecific(tools_key);
    if (t)
        return t;
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (!(t = calloc(1, sizeof(*t))) || !(t->digest = EVP_MD_CTX_new()) ||
        !(t->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL)) || !hmac || !(t->mac = EVP_MAC_CTX_new(hmac)) ||
        pthread_setspecific(tools_key, t) != 0)
        abort();
    EVP_MAC_free(hmac);
    return t;
}

void st_sha256(const void *data, size_t len, unsigned char out[ST_SHA256_LEN])
{
    const struct tools *t = tools_here();
    if (!EVP_DigestInit_ex2(t->digest, t->sha256, NULL) || !EVP_DigestUpdate(t->digest, data, len) ||
        !EVP_DigestFinal_ex(t->digest, out, NULL))
        abort();
}

char *st_sha256_hex(struct st_arena *a, const void *data, size_t len)
{
    unsigned char digest[ST_SHA256_LEN];
    st_sha256(data, len, digest);
    return st_hex(a, digest, sizeof(digest));
}

static void use_key(struct tools *t, const void *key, size_t len)
{
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                 OSSL_PARAM_construct_end()};
    static const unsigned char none[1];
    if (!EVP_MAC_init(t->mac, len ? key : none, len, params))
        abort();
    t->key_len = len <= sizeof(t->key) ? len : 0;
    if (t->key_len)
        memcpy(t->key, key, t->key_len);
}

void st_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len, unsigned char out[ST_SHA256_LEN])
{
    struct tools *t = tools_here();
    size_t n;
    if (!key_len || t->key_len != key_len || memcmp(t->key, key, key_len) != 0)
        use_key(t, key, key_len);
    else if (!EVP_MAC_init(t->mac, NULL, 0, NULL))
        abort();
    if (!EVP_MAC_update(t->mac, data, len) || !EVP_MAC_final(t->mac, out, &n, ST_SHA256_LEN))
        abort();
}

char *st_secret(struct st_arena *a, size_t n)
{
    unsigned char *bytes = st_alloc(a, n);
    st_random(bytes, n);
    return st_b64url(a, bytes, n);
}

static void key_free(void *ptr)
{
    EVP_PKEY_free(((struct st_key *)ptr)->pkey);
}

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

/* Fills alg, id and jwk from the key itself. RFC 7638: the required members in lexical order. */
static int describe(struct st_arena *a, struct st_key *k, const char **ret_why)
{
    const char *thumb = NULL, *members = NULL;
    if (EVP_PKEY_is_a(k->pkey, "EC")) {
        char group[32] = "";
        EVP_PKEY_get_utf8_string_param(k->pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), NULL);
        const char *x = bn_param(a, k->pkey, OSSL_PKEY_PARAM_EC_PUB_X, P256_LEN);
        const char *y = bn_param(a, k->pkey, OSSL_PKEY_PARAM_EC_PUB_Y, P256_LEN);
        if (st_streq(group, "prime256v1") && x && y) {
            k->alg = ST_ES256;
            thumb = st_printf(a, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", x, y);
        }
    } else if (EVP_PKEY_is_a(k->pkey, "ED25519")) {
        unsigned char raw[32];
        size_t n = sizeof(raw);
        if (EVP_PKEY_get_raw_public_key(k->pkey, raw, &n)) {
            k->alg = ST_EDDSA;
            thumb = st_printf(a, "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%s\"}", st_b64url(a, raw, n));
        }
    } else if (EVP_PKEY_is_a(k->pkey, "RSA") && EVP_PKEY_get_bits(k->pkey) >= 2048) {
        const char *n = bn_param(a, k->pkey, OSSL_PKEY_PARAM_RSA_N, 0),
                   *e = bn_param(a, k->pkey, OSSL_PKEY_PARAM_RSA_E, 0);
        k->alg = ST_RS256;
        if (n && e)
            thumb = st_printf(a, "{\"e\":\"%s\",\"kty\":\"RSA\",\"n\":\"%s\"}", e, n);
    }
    if (!thumb) {
        *ret_why = "the key is none of EC P-256, Ed25519, RSA with 2048 bits or more";
        return ST_E_INVALID;
    }
    unsigned char digest[ST_SHA256_LEN];
    st_sha256(thumb, strlen(thumb), digest);
    k->id = st_b64url(a, digest, sizeof(digest));
    members = st_strndup(a, thumb + 1, strlen(thumb) - 2);
    k->jwk = st_printf(a, "{%s,\"kid\":\"%s\",\"alg\":\"%s\",\"use\":\"sig\"}", members, k->id, st_alg_names[k->alg]);
    return 0;
}

int st_key_parse(struct st_arena *a, const char *pem, size_t len, struct st_key **ret, const char **ret_why)
{
    struct st_key *k = st_new(a, struct st_key);
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    if (!bio)
        abort();
    k->is_private = memmem(pem, len, "PRIVATE KEY-----", 16) != NULL;
    k->pkey = k->is_private ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"")
                            : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (!k->pkey) {
        ERR_clear_error();
        *ret_why = "not a PEM key";
        return ST_E_INVALID;
    }
    st_defer(a, key_free, k);
    int r = describe(a, k, ret_why);
    if (r == 0)
        *ret = k;
    return r;
}

int st_key_load(struct st_arena *a, const char *path, struct st_key **ret, const char **ret_why)
{
    char pem[PEM_MAX];
    FILE *f = fopen(path, "re");
    if (!f) {
        *ret_why = st_printf(a, "cannot open %s: %m", path);
        return ST_E_INVALID;
    }
    size_t n = fread(pem, 1, sizeof(pem), f);
    fclose(f);
    const char *why = NULL;
    int r = st_key_parse(a, pem, n, ret, &why);
    OPENSSL_cleanse(pem, n);
    if (r < 0)
        *ret_why = st_printf(a, "%s: %s", path, why);
    return r;
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

/* JOSE carries ES256 signatures as r || s; OpenSSL wants DER. OpenSSL itself refuses r, s outside 1 … n-1. */
static int es256_to_der(const unsigned char *sig, unsigned char **ret)
{
    ECDSA_SIG *s = ECDSA_SIG_new();
    int len = -1;
    if (s && ECDSA_SIG_set0(s, BN_bin2bn(sig, P256_LEN, NULL), BN_bin2bn(sig + P256_LEN, P256_LEN, NULL)))
        len = i2d_ECDSA_SIG(s, ret);
    ECDSA_SIG_free(s);
    return len;
}

bool st_key_verify(const struct st_key *k, const void *data, size_t len, const void *sig, size_t sig_len)
{
    unsigned char *der = NULL;
    if (k->alg == ST_ES256) {
        int n = sig_len == 2 * P256_LEN ? es256_to_der(sig, &der) : -1;
        if (n < 0)
            return false;
        sig = der;
        sig_len = (size_t)n;
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, k->alg == ST_EDDSA ? NULL : EVP_sha256(), NULL, k->pkey) == 1 &&
              EVP_DigestVerify(ctx, sig, sig_len, data, len) == 1;
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    if (!ok)
        ERR_clear_error();
    return ok;
}

/* DER to r || s, each padded to 32 bytes. */
static bool es256_from_der(const unsigned char *der, size_t len, unsigned char out[2 * P256_LEN])
{
    const unsigned char *at = der;
    ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &at, (long)len);
    bool ok = s && BN_bn2binpad(ECDSA_SIG_get0_r(s), out, P256_LEN) == P256_LEN &&
              BN_bn2binpad(ECDSA_SIG_get0_s(s), out + P256_LEN, P256_LEN) == P256_LEN;
    ECDSA_SIG_free(s);
    return ok;
}

int st_key_sign(const struct st_key *k, struct st_arena *a, const void *data, size_t len, const unsigned char **ret_sig,
                size_t *ret_len)
{
    size_t n = 0;
    unsigned char *sig = NULL;
    if (!k->is_private)
        return ST_E_INVALID;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestSignInit(ctx, NULL, k->alg == ST_EDDSA ? NULL : EVP_sha256(), NULL, k->pkey) == 1 &&
              EVP_DigestSign(ctx, NULL, &n, data, len) == 1;
    if (ok) {
        sig = st_alloc(a, n);
        ok = EVP_DigestSign(ctx, sig, &n, data, len) == 1;
    }
    EVP_MD_CTX_free(ctx);
    if (ok && k->alg == ST_ES256) {
        unsigned char *raw = st_alloc(a, 2 * P256_LEN);
        ok = es256_from_der(sig, n, raw);
        sig = raw;
        n = 2 * P256_LEN;
    }
    if (!ok) {
        ERR_clear_error();
        return ST_E_INTERNAL;
    }
    *ret_sig = sig;
    *ret_len = n;
    return 0;
}
