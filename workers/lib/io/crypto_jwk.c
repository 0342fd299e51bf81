/* JWK and JWKS (RFC 7517, 7518, 8037): keys from JSON. A key that is not understood is left out, and said why. */
#include "io/crypto_impl.h"
#include "io/json.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

enum { JWKS_DEPTH = 8, KID_MAX = 256, POINT_MAX = 1 + 2 * 66, WHY_MAX = 4096 };

/* A member in base64url; NULL when it is absent or not strict. */
static const unsigned char *bytes_of(struct st_arena *a, const json_t *jwk, const char *name, size_t *ret_len)
{
    const json_t *j = json_object_get(jwk, name);
    const char *s = json_string_value(j);
    return s ? st_b64url_decode(a, s, json_string_length(j), ret_len) : NULL;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *build)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    OSSL_PARAM *params = build ? OSSL_PARAM_BLD_to_param(build) : NULL;
    EVP_PKEY *pkey = NULL;
    if (!ctx || !params || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
        pkey = NULL;
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

/* OpenSSL refuses points that are not on the curve. */
static EVP_PKEY *ec_key(struct st_arena *a, const json_t *jwk, const struct st_alg_parts *alg, const char **ret_why)
{
    size_t n = (size_t)alg->coordinate, x_len = 0, y_len = 0;
    const unsigned char *x = bytes_of(a, jwk, "x", &x_len), *y = bytes_of(a, jwk, "y", &y_len);
    unsigned char point[POINT_MAX] = {4}; /* uncompressed */
    if (!x || !y || x_len != n || y_len != n) {
        *ret_why = "x and y must be coordinates of the curve's size";
        return NULL;
    }
    memcpy(point + 1, x, n);
    memcpy(point + 1 + n, y, n);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *pkey = NULL;
    if (build && OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, alg->curve, 0) &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * n))
        pkey = from_params("EC", build);
    OSSL_PARAM_BLD_free(build);
    if (!pkey)
        *ret_why = "the point is not on the curve";
    return pkey;
}

static EVP_PKEY *rsa_key(struct st_arena *a, const json_t *jwk, const char **ret_why)
{
    size_t n_len = 0, e_len = 0;
    const unsigned char *n = bytes_of(a, jwk, "n", &n_len), *e = bytes_of(a, jwk, "e", &e_len);
    if (!n || !e || !n_len || !e_len) {
        *ret_why = "n and e must be base64url";
        return NULL;
    }
    BIGNUM *modulus = BN_bin2bn(n, (int)n_len, NULL), *exponent = BN_bin2bn(e, (int)e_len, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *pkey = NULL;
    if (build && modulus && exponent && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent))
        pkey = from_params("RSA", build);
    OSSL_PARAM_BLD_free(build);
    BN_free(modulus);
    BN_free(exponent);
    if (!pkey)
        *ret_why = "OpenSSL cannot use the key";
    return pkey;
}

static EVP_PKEY *ed_key(struct st_arena *a, const json_t *jwk, const char **ret_why)
{
    size_t len = 0;
    const unsigned char *x = bytes_of(a, jwk, "x", &len);
    EVP_PKEY *pkey = x && len == 32 ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, len) : NULL;
    if (!pkey)
        *ret_why = "x must be an Ed25519 public key";
    return pkey;
}

/* RFC 7517 sections 4.2 and 4.3: what the key may be used for. */
static const char *wrong_use(const json_t *jwk)
{
    const json_t *use = json_object_get(jwk, "use"), *ops = json_object_get(jwk, "key_ops");
    bool verifies = false;
    size_t i;
    json_t *op;
    if (use && !st_streq(json_string_value(use), "sig"))
        return "its use is not sig";
    if (!ops)
        return NULL;
    json_array_foreach ((json_t *)ops, i, op) {
        if (!json_is_string(op))
            return "key_ops must be a list of names";
        verifies = verifies || st_streq(json_string_value(op), "verify");
        for (size_t k = 0; k < i; k++)
            if (json_equal(json_array_get(ops, k), op))
                return "key_ops names an operation twice";
    }
    return verifies ? NULL : "its key_ops do not have verify";
}

/* The algorithm the key is for: *ret stays -1 when neither the caller nor the JWK says one. */
static const char *find_alg(struct st_arena *a, const json_t *jwk, int wanted, int *ret)
{
    const json_t *own = json_object_get(jwk, "alg");
    *ret = wanted;
    if (!own)
        return NULL;
    int alg = st_alg_find(json_string_value(own));
    if (alg < 0)
        return "its alg is not supported";
    if (wanted >= 0 && alg != wanted)
        return st_printf(a, "it is for %s", st_alg_names[alg]);
    *ret = alg;
    return NULL;
}

/* The row of the table for kty and crv (when the kind has curves); -1: none. */
static int kind_of(const json_t *jwk)
{
    const char *kty = st_json_str(jwk, "kty", ""), *crv = st_json_str(jwk, "crv", "");
    for (int i = 0; i < ST_ALGS; i++)
        if (st_streq(st_alg_parts[i].kty, kty) && (!st_alg_parts[i].curve || st_streq(st_alg_parts[i].curve, crv)))
            return i;
    return -1;
}

/*
 * RFC 7517 section 4.7: the first certificate of x5c, DER in base64 that is not base64url, holds the same key. Whether
 * anybody trusts it is not asked: the key set itself is what is trusted.
 */
static const char *wrong_certificate(struct st_arena *a, const json_t *jwk, const EVP_PKEY *pkey)
{
    const json_t *chain = json_object_get(jwk, "x5c"), *first = json_array_get(chain, 0);
    size_t len = json_string_length(first);
    if (!chain)
        return NULL;
    unsigned char *der = st_alloc(a, len / 4 * 3 + 1);
    int n = len && len % 4 == 0 ? EVP_DecodeBlock(der, (const unsigned char *)json_string_value(first), (int)len) : -1;
    const unsigned char *at = der;
    X509 *certificate = n > 0 ? d2i_X509(NULL, &at, n) : NULL;
    const EVP_PKEY *its = certificate ? X509_get0_pubkey(certificate) : NULL;
    const char *why = !its                          ? "its x5c is no certificate"
                      : EVP_PKEY_eq(its, pkey) != 1 ? "its x5c has another key"
                                                    : NULL;
    X509_free(certificate);
    return why;
}

static struct st_key *build_key(struct st_arena *a, const json_t *jwk, int kind, int alg, const char **ret_why)
{
    if (kind >= ST_HS256) {
        size_t len = 0;
        const unsigned char *k = bytes_of(a, jwk, "k", &len);
        if (k)
            return st_key_of_secret(a, k, len, alg, ret_why);
        *ret_why = "k must be base64url";
        return NULL;
    }
    EVP_PKEY *pkey = st_alg_parts[kind].coordinate ? ec_key(a, jwk, &st_alg_parts[kind], ret_why)
                     : kind == ST_EDDSA            ? ed_key(a, jwk, ret_why)
                                                   : rsa_key(a, jwk, ret_why);
    if (pkey && (*ret_why = wrong_certificate(a, jwk, pkey))) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    ERR_clear_error();
    return pkey ? st_key_adopt(a, pkey, alg, json_object_get(jwk, "d") != NULL, ret_why) : NULL;
}

static const struct st_key *read_jwk(struct st_arena *a, const json_t *jwk, int wanted, const char **ret_why)
{
    const json_t *kid = json_object_get(jwk, "kid");
    int alg, kind = kind_of(jwk);
    if (!json_is_object(jwk))
        *ret_why = "it is not an object";
    else if (kid && (!json_is_string(kid) || json_string_length(kid) > KID_MAX))
        *ret_why = "its kid is not a text of at most 256 bytes";
    else if (kind < 0)
        *ret_why = "its kty or crv is not supported";
    else if (!(*ret_why = wrong_use(jwk)) && !(*ret_why = find_alg(a, jwk, wanted, &alg))) {
        struct st_key *k = build_key(a, jwk, kind, alg, ret_why);
        if (k && kid)
            k->id = st_strdup(a, json_string_value(kid));
        return k;
    }
    return NULL;
}

static void leave_out(struct st_buf *why, size_t i, const char *reason)
{
    st_buf_printf(why, "%skey %zu: %s", why->len ? "; " : "", i + 1, reason);
}

/* The algorithm that a JWK would have, if it is for signatures; -1: none. */
static int alg_of(const json_t *jwk, int wanted)
{
    const json_t *own = json_object_get(jwk, "alg");
    int kind = kind_of(jwk);
    if (kind < 0 || wrong_use(jwk))
        return -1;
    return own ? st_alg_find(json_string_value(own)) : wanted >= 0 ? wanted : kind;
}

/*
 * What its neighbours make of a key. Two of one algorithm with one kid: which is meant could only be guessed, or tried.
 * A secret among public keys: whoever reads the set could sign.
 */
static const char *wrong_company(const json_t *list, const json_t *jwk, int wanted)
{
    bool is_secret = st_streq(st_json_str(jwk, "kty", ""), "oct");
    int alg = alg_of(jwk, wanted);
    size_t i;
    json_t *other;
    json_array_foreach ((json_t *)list, i, other) {
        if (is_secret && !json_equal(json_object_get(other, "kty"), json_object_get(jwk, "kty")))
            return "a secret among public keys";
        if (other != jwk && alg >= 0 && alg == alg_of(other, wanted) && json_object_get(jwk, "kid") &&
            json_equal(json_object_get(other, "kid"), json_object_get(jwk, "kid")))
            return "another key has its kid and algorithm";
    }
    return NULL;
}

int st_jwks_parse(struct st_arena *a, const char *text, size_t len, int alg, struct st_keys *ret, const char **ret_why)
{
    struct st_keys keys = {.named = true};
    struct st_buf why = ST_BUF(WHY_MAX);
    struct st_arena scratch = {0}; /* of the JSON, which may hold secrets and is not needed later */
    json_t *doc;
    const char *reason = NULL;
    if (len > ST_KEYS_TEXT_MAX || st_json_parse(&scratch, text, len, JWKS_DEPTH, &doc, &reason) < 0) {
        *ret_why = reason ? st_strdup(a, reason) : "is larger than 64 KiB";
        st_arena_release(&scratch);
        return ST_E_INVALID;
    }
    const json_t *list = json_object_get(doc, "keys"), *jwk;
    size_t n = list ? json_array_size(list) : 1;
    if ((list && !json_is_array(list)) || n > ST_KEYS_MAX || (!list && !json_object_get(doc, "kty"))) {
        *ret_why = "is neither a JWK nor a JWKS of at most 64 keys";
        st_arena_release(&scratch);
        return ST_E_INVALID;
    }
    for (size_t i = 0; i < n; i++) {
        jwk = list ? json_array_get(list, i) : doc;
        reason = wrong_company(list, jwk, alg);
        const struct st_key *k = reason ? NULL : read_jwk(a, jwk, alg, &reason);
        if (k)
            keys.list[keys.n++] = k;
        else
            leave_out(&why, i, reason);
    }
    keys.left_out = why.len ? st_strndup(a, why.data, why.len) : "";
    st_buf_release(&why);
    st_arena_release(&scratch);
    *ret = keys;
    return 0;
}
