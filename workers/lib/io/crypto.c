/* Hashes, MACs, signatures by OpenSSL. */
#include "io/crypto_impl.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <pthread.h>

enum { VERIFIERS = 4, DER_MAX = 2 * (3 + ST_COORDINATE_MAX) + 3 };

/*
 * What each thread keeps: fetching a digest and making a context for it cost several times what the digest of a
 * request's few hundred bytes does. The MAC's context remembers its key, which is nearly always the same one; those
 * that verify belong to the keys seen last, and hold on to them.
 */
struct tools {
    EVP_MD_CTX *digest;
    EVP_MD *sha256;
    EVP_MAC_CTX *mac;
    unsigned char key[128];
    size_t key_len; /* 0: none yet */
    struct verifier {
        EVP_PKEY_CTX *ctx;
        enum st_alg alg;
    } verifiers[VERIFIERS];
    unsigned next; /* to be replaced */
};

static pthread_key_t tools_key;

static void tools_free(void *data)
{
    struct tools *t = data;
    EVP_MD_CTX_free(t->digest);
    EVP_MD_free(t->sha256);
    EVP_MAC_CTX_free(t->mac);
    for (int i = 0; i < VERIFIERS; i++)
        EVP_PKEY_CTX_free(t->verifiers[i].ctx);
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

int st_sha256_file(const char *path, char ret[2 * ST_SHA256_LEN + 1])
{
    const struct tools *t = tools_here();
    unsigned char digest[ST_SHA256_LEN], block[32 * 1024];
    FILE *f = fopen(path, "re");
    if (!f)
        return ST_E_UNAVAILABLE;
    bool ok = EVP_DigestInit_ex2(t->digest, t->sha256, NULL);
    for (size_t n; ok && (n = fread(block, 1, sizeof(block), f)) > 0;)
        ok = EVP_DigestUpdate(t->digest, block, n);
    ok &= !ferror(f);
    fclose(f);
    if (!ok || !EVP_DigestFinal_ex(t->digest, digest, NULL))
        return ST_E_UNAVAILABLE;
    *st_hex_put(ret, digest, sizeof(digest)) = '\0';
    return 0;
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

/* --- signatures --- */

/* JOSE carries ECDSA signatures as r || s; OpenSSL wants DER. OpenSSL itself refuses r, s outside 1 … n-1. */
static size_t ecdsa_to_der(const unsigned char *sig, size_t coordinate, unsigned char out[DER_MAX])
{
    enum { SEQUENCE = 0x30, INTEGER = 2, LONG_FORM = 0x81, SHORT_MAX = 127, SIGN = 0x80 };
    unsigned char integers[DER_MAX], *p = integers;
    for (int i = 0; i < 2; i++, sig += coordinate) {
        size_t zeros = 0;
        while (zeros + 1 < coordinate && !sig[zeros])
            zeros++;
        bool negative = sig[zeros] & SIGN;
        *p++ = INTEGER;
        *p++ = (unsigned char)(coordinate - zeros + negative);
        if (negative)
            *p++ = 0;
        p = mempcpy(p, sig + zeros, coordinate - zeros);
    }
    size_t len = (size_t)(p - integers);
    p = out;
    *p++ = SEQUENCE;
    if (len > SHORT_MAX)
        *p++ = LONG_FORM;
    *p++ = (unsigned char)len;
    return (size_t)((unsigned char *)mempcpy(p, integers, len) - out);
}

static bool mac(const struct st_key *k, const void *data, size_t len, unsigned char out[EVP_MAX_MD_SIZE],
                unsigned *ret_len)
{
    return HMAC(st_alg_parts[k->alg].hash(), k->secret, (int)k->secret_len, data, len, out, ret_len) != NULL;
}

static bool verify_mac(const struct st_key *k, const void *data, size_t len, const void *sig, size_t sig_len)
{
    unsigned char expected[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    return mac(k, data, len, expected, &n) && sig_len == n && st_equal_secret(expected, sig, n);
}

EVP_PKEY_CTX *st_key_verifier(const struct st_key *k)
{
    const struct st_alg_parts *alg = &st_alg_parts[k->alg];
    struct tools *t = tools_here();
    for (int i = 0; i < VERIFIERS; i++)
        if (t->verifiers[i].ctx && t->verifiers[i].alg == k->alg &&
            EVP_PKEY_CTX_get0_pkey(t->verifiers[i].ctx) == k->pkey)
            return t->verifiers[i].ctx;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
    bool ok = ctx && EVP_PKEY_verify_init(ctx) == 1 && EVP_PKEY_CTX_set_signature_md(ctx, alg->hash()) == 1 &&
              (!alg->pss || (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
                             EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1));
    if (!ok) {
        EVP_PKEY_CTX_free(ctx);
        return NULL;
    }
    struct verifier *v = &t->verifiers[t->next++ % VERIFIERS];
    EVP_PKEY_CTX_free(v->ctx);
    *v = (struct verifier){ctx, k->alg};
    return ctx;
}

/* Of an algorithm that has a hash of its own. */
static bool verify_whole(const struct st_key *k, const void *data, size_t len, const void *sig, size_t sig_len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_MD_CTX_copy_ex(ctx, k->ready) == 1 && EVP_DigestVerify(ctx, sig, sig_len, data, len) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static bool verify_hash(const struct st_key *k, const void *data, size_t len, const void *sig, size_t sig_len)
{
    const EVP_MD *md = st_alg_parts[k->alg].hash();
    EVP_PKEY_CTX *ctx = st_key_verifier(k);
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned hash_len = ST_SHA256_LEN;
    if (EVP_MD_get_type(md) == NID_sha256)
        st_sha256(data, len, hash);
    else if (!EVP_Digest(data, len, hash, &hash_len, md, NULL))
        return false;
    return ctx && EVP_PKEY_verify(ctx, sig, sig_len, hash, hash_len) == 1;
}

bool st_key_verify(const struct st_key *k, const void *data, size_t len, const void *sig, size_t sig_len)
{
    const struct st_alg_parts *alg = &st_alg_parts[k->alg];
    unsigned char der[DER_MAX];
    if (k->secret)
        return verify_mac(k, data, len, sig, sig_len);
    if (alg->coordinate) {
        if (sig_len != 2 * (size_t)alg->coordinate)
            return false;
        sig_len = ecdsa_to_der(sig, (size_t)alg->coordinate, der);
        sig = der;
    }
    bool ok = (alg->hash ? verify_hash : verify_whole)(k, data, len, sig, sig_len);
    if (!ok)
        ERR_clear_error();
    return ok;
}

/* DER to r || s, each padded to the coordinate. */
static bool ecdsa_from_der(const unsigned char *der, size_t len, int coordinate, unsigned char *out)
{
    const unsigned char *at = der;
    ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &at, (long)len);
    bool ok = s && BN_bn2binpad(ECDSA_SIG_get0_r(s), out, coordinate) == coordinate &&
              BN_bn2binpad(ECDSA_SIG_get0_s(s), out + coordinate, coordinate) == coordinate;
    ECDSA_SIG_free(s);
    return ok;
}

int st_key_sign(const struct st_key *k, struct st_arena *a, const void *data, size_t len, const unsigned char **ret_sig,
                size_t *ret_len)
{
    const struct st_alg_parts *alg = &st_alg_parts[k->alg];
    size_t n = 0;
    unsigned char *sig = NULL;
    if (!k->is_private || !k->pkey)
        return ST_E_INVALID;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestSignInit(ctx, NULL, alg->hash ? alg->hash() : NULL, NULL, k->pkey) == 1 &&
              EVP_DigestSign(ctx, NULL, &n, data, len) == 1;
    if (ok) {
        sig = st_alloc(a, n);
        ok = EVP_DigestSign(ctx, sig, &n, data, len) == 1;
    }
    EVP_MD_CTX_free(ctx);
    if (ok && alg->coordinate) {
        unsigned char *raw = st_alloc(a, 2 * (size_t)alg->coordinate);
        ok = ecdsa_from_der(sig, n, alg->coordinate, raw);
        sig = raw;
        n = 2 * (size_t)alg->coordinate;
    }
    if (!ok) {
        ERR_clear_error();
        return ST_E_INTERNAL;
    }
    *ret_sig = sig;
    *ret_len = n;
    return 0;
}
