/* Keys to verify with: JWK, JWKS, PEM and secrets, each algorithm, and every key that is left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <unistd.h>

#include "io/token.h"

static struct st_arena arena;
static EVP_PKEY *rsa, *p256, *p384, *p521, *ed;

static int make_keys(void **state)
{
    (void)state;
    rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    p256 = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    p384 = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
    p521 = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-521");
    ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    EVP_PKEY *all[] = {rsa, p256, p384, p521, ed};
    for (size_t i = 0; i < ST_COUNT(all); i++)
        EVP_PKEY_free(all[i]);
    return 0;
}

static int release(void **state)
{
    (void)state;
    st_arena_release(&arena);
    return 0;
}

static const char *text_of(BIO *bio)
{
    char *text;
    long n = BIO_get_mem_data(bio, &text);
    const char *copy = st_strndup(&arena, text, (size_t)n);
    BIO_free(bio);
    return copy;
}

static const char *public_pem(EVP_PKEY *pkey)
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PUBKEY(bio, pkey), 1);
    return text_of(bio);
}

static const char *private_pem(EVP_PKEY *pkey)
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL), 1);
    return text_of(bio);
}

static struct st_keys parsed(const char *text, int alg)
{
    struct st_keys keys;
    const char *why = "";
    if (st_keys_parse(&arena, text, strlen(text), alg, &keys, &why) < 0)
        fail_msg("%s", why);
    return keys;
}

/* Its JWK without the closing brace and the members that this library adds. */
static const char *jwk_of(EVP_PKEY *pkey)
{
    const char *pem = public_pem(pkey), *why = "";
    struct st_key *k;
    assert_int_equal(st_key_parse(&arena, pem, strlen(pem), &k, &why), 0);
    const char *jwk = st_key_jwk(k);
    return st_strndup(&arena, jwk, (size_t)(strstr(jwk, ",\"kid\"") - jwk));
}

static const char *left_out(const char *text, int alg)
{
    struct st_keys keys = parsed(text, alg);
    assert_int_equal(keys.n, 0);
    return keys.left_out;
}
#define assert_left_out(text, alg, why) assert_string_equal(left_out((text), (alg)), (why))

/* --- each algorithm -------------------------------------------------------------------------------------------------
 */

static size_t sign(EVP_PKEY *pkey, int alg, const char *text, unsigned char out[1024])
{
    static const char *const hashes[] = {"SHA256", "SHA384", "SHA512"};
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    size_t len = 1024;
    int first = alg >= ST_PS256 ? ST_PS256 : alg >= ST_RS256 ? ST_RS256 : ST_ES256;
    const EVP_MD *md = alg == ST_EDDSA ? NULL : EVP_get_digestbyname(hashes[alg - first]);
    assert_int_equal(EVP_DigestSignInit(ctx, &pctx, md, NULL, pkey), 1);
    if (alg >= ST_PS256) {
        EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST);
    }
    assert_int_equal(EVP_DigestSign(ctx, out, &len, (const unsigned char *)text, strlen(text)), 1);
    EVP_MD_CTX_free(ctx);
    return len;
}

/* Signed by OpenSSL (ECDSA: by this library, as only that gives r || s), and verified under that algorithm alone. */
static void test_every_algorithm(void **state)
{
    (void)state;
    EVP_PKEY *const keys[] = {p256, p384, p521, ed, rsa, rsa, rsa, rsa, rsa, rsa};
    static const char text[] = "header.claims";
    for (int alg = 0; alg < ST_HS256; alg++) {
        unsigned char buf[1024];
        const unsigned char *sig = buf;
        size_t len = 0;
        const char *pem = private_pem(keys[alg]), *why = "";
        if (alg < ST_EDDSA) {
            struct st_key *k;
            assert_int_equal(st_key_parse(&arena, pem, strlen(pem), &k, &why), 0);
            assert_int_equal(st_key_sign(k, &arena, text, strlen(text), &sig, &len), 0);
        } else {
            len = sign(keys[alg], alg, text, buf);
        }
        for (int other = 0; other < ST_HS256; other++) {
            if (keys[other] != keys[alg])
                continue;
            struct st_keys k = parsed(public_pem(keys[other]), other);
            assert_int_equal(k.n, 1);
            assert_int_equal(st_key_alg(k.list[0]), other);
            assert_int_equal(st_key_verify(k.list[0], text, strlen(text), sig, len), other == alg);
            assert_false(st_key_verify(k.list[0], text, strlen(text) - 1, sig, len));
            assert_false(st_key_verify(k.list[0], text, strlen(text), sig, len - 1));
        }
    }
}

/* Of so many signatures some have numbers that begin with zeros, or with a bit that DER would take for a sign. */
static void test_numbers_of_every_length(void **state)
{
    (void)state;
    EVP_PKEY *const keys[] = {p256, p384, p521};
    static const int rounds[] = {400, 20, 20};
    for (size_t i = 0; i < ST_COUNT(keys); i++) {
        const char *pem = private_pem(keys[i]), *why = "";
        struct st_key *k;
        assert_int_equal(st_key_parse(&arena, pem, strlen(pem), &k, &why), 0);
        for (int n = 0; n < rounds[i]; n++) {
            const unsigned char *sig = NULL;
            size_t len = 0;
            assert_int_equal(st_key_sign(k, &arena, &n, sizeof(n), &sig, &len), 0);
            assert_true(st_key_verify(k, &n, sizeof(n), sig, len));
            int other = n + 1;
            assert_false(st_key_verify(k, &other, sizeof(other), sig, len));
        }
    }
}

/* RFC 7518 section 3.5: the salt is as long as the hash. */
static void test_pss_salt(void **state)
{
    (void)state;
    static const int salts[] = {0, 20, 31, 33, 64, RSA_PSS_SALTLEN_MAX};
    struct st_keys k = parsed(public_pem(rsa), ST_PS256);
    for (size_t i = 0; i < ST_COUNT(salts); i++) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        EVP_PKEY_CTX *pctx = NULL;
        unsigned char sig[512];
        size_t len = sizeof(sig);
        assert_int_equal(EVP_DigestSignInit(ctx, &pctx, EVP_sha256(), NULL, rsa), 1);
        EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, salts[i]);
        assert_int_equal(EVP_DigestSign(ctx, sig, &len, (const unsigned char *)"x", 1), 1);
        EVP_MD_CTX_free(ctx);
        assert_false(st_key_verify(k.list[0], "x", 1, sig, len));
    }
}

/* RFC 7515 appendix A.1. */
static void test_published_hs256_token(void **state)
{
    (void)state;
    struct st_keys k =
        parsed("{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0i"
               "PS4hcgUuTwjAzZr1Z9CAow\"}",
               -1);
    const char *token =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const struct st_token_rule rule = {.keys = k.list, .n_keys = k.n, .signature_only = true};
    struct st_token_claims claims;
    const char *why = "";
    assert_int_equal(k.n, 1);
    assert_true(st_key_is_secret(k.list[0]));
    assert_int_equal(st_token_verify(&rule, token, strlen(token), 0, &arena, &claims, &why), 0);
    const char *changed = st_printf(&arena, "%.*sg", (int)strlen(token) - 1, token);
    assert_int_equal(st_token_verify(&rule, changed, strlen(token), 0, &arena, &claims, &why), ST_E_UNAUTHENTICATED);
}

/* --- JWK ------------------------------------------------------------------------------------------------------------
 */

static void test_jwk(void **state)
{
    (void)state;
    EVP_PKEY *const keys[] = {p256, p384, p521, ed, rsa};
    static const int algs[] = {ST_ES256, ST_ES384, ST_ES512, ST_EDDSA, ST_RS256};
    for (size_t i = 0; i < ST_COUNT(keys); i++) {
        const char *jwk = jwk_of(keys[i]);
        struct st_keys k = parsed(st_printf(&arena, "%s}", jwk), -1), pem = parsed(public_pem(keys[i]), -1);
        assert_int_equal(k.n, 1);
        assert_int_equal(st_key_alg(k.list[0]), algs[i]);
        assert_true(k.named);
        assert_false(pem.named);
        assert_false(st_key_is_private(k.list[0]));
        assert_string_equal(st_key_id(k.list[0]), st_key_id(pem.list[0]));
        k = parsed(st_printf(&arena, "%s,\"kid\":\"k-1\",\"use\":\"sig\",\"key_ops\":[\"verify\"],\"x5t\":\"x\"}", jwk),
                   -1);
        assert_string_equal(st_key_id(k.list[0]), "k-1");
        assert_true(st_key_is_private(parsed(st_printf(&arena, "%s,\"d\":\"AA\"}", jwk), -1).list[0]));
    }
    assert_int_equal(st_key_alg(parsed(st_printf(&arena, "%s,\"alg\":\"PS384\"}", jwk_of(rsa)), -1).list[0]), ST_PS384);
    assert_int_equal(st_key_alg(parsed(st_printf(&arena, "%s}", jwk_of(rsa)), ST_PS512).list[0]), ST_PS512);
}

static void test_jwk_that_is_left_out(void **state)
{
    (void)state;
    static const struct {
        const char *more, *why;
    } cases[] = {
        {",\"use\":\"enc\"", "key 1: its use is not sig"},
        {",\"use\":7", "key 1: its use is not sig"},
        {",\"key_ops\":[\"encrypt\"]", "key 1: its key_ops do not have verify"},
        {",\"key_ops\":[]", "key 1: its key_ops do not have verify"},
        {",\"key_ops\":\"verify\"", "key 1: its key_ops do not have verify"},
        {",\"key_ops\":[\"verify\",\"verify\"]", "key 1: key_ops names an operation twice"},
        {",\"key_ops\":[1]", "key 1: key_ops must be a list of names"},
        {",\"alg\":\"ES384\"", "key 1: the key is not for ES384"},
        {",\"alg\":\"HS256\"", "key 1: the key is not for HS256"},
        {",\"alg\":\"ES256K\"", "key 1: its alg is not supported"},
        {",\"alg\":null", "key 1: its alg is not supported"},
        {",\"kid\":7", "key 1: its kid is not a text of at most 256 bytes"},
    };
    const char *jwk = jwk_of(p256);
    for (size_t i = 0; i < ST_COUNT(cases); i++)
        assert_left_out(st_printf(&arena, "%s%s}", jwk, cases[i].more), -1, cases[i].why);
    assert_left_out(st_printf(&arena, "%s,\"alg\":\"ES256\"}", jwk), ST_RS256, "key 1: it is for ES256");
    assert_left_out(st_printf(&arena, "%s}", jwk), ST_RS256, "key 1: the key is not for RS256");
    assert_left_out("{\"kty\":\"RSA\",\"n\":\"AQAB\"}", -1, "key 1: n and e must be base64url");
    assert_left_out("{\"kty\":\"RSA\",\"n\":\"AQAB=\",\"e\":\"AQAB\"}", -1, "key 1: n and e must be base64url");
    assert_left_out("{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", -1,
                    "key 1: an RSA key must have 2048 to 8192 bits");
    assert_left_out("{\"kty\":\"EC\",\"crv\":\"secp256k1\"}", -1, "key 1: its kty or crv is not supported");
    assert_left_out("{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}", -1, "key 1: its kty or crv is not supported");
    assert_left_out("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}", -1, "key 1: x must be an Ed25519 public key");
    assert_left_out("{\"kty\":\"unknown\"}", -1, "key 1: its kty or crv is not supported");
    assert_left_out("{\"keys\":[7]}", -1, "key 1: it is not an object");
    assert_left_out("{\"kty\":\"oct\",\"k\":\"AA\"}", -1, "key 1: the secret of HS256 must have 32 to 1024 bytes");
    assert_left_out("{\"kty\":\"oct\"}", -1, "key 1: k must be base64url");
}

static const char *rsa_jwk(const unsigned char *modulus, size_t n, const char *e)
{
    return st_printf(&arena, "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"}", st_b64url(&arena, modulus, n), e);
}

static void test_weak_rsa(void **state)
{
    (void)state;
    unsigned char modulus[256];
    memset(modulus, 0xab, sizeof(modulus));
    static const char *const exponents[] = {"AQ", "AA", "Ag", "AQAA", "AQAAAAAAAAAB"};
    for (size_t i = 0; i < ST_COUNT(exponents); i++)
        assert_left_out(rsa_jwk(modulus, sizeof(modulus), exponents[i]), -1,
                        "key 1: the exponent must be odd, 3 or more, and of at most 64 bits");
    assert_int_equal(parsed(rsa_jwk(modulus, sizeof(modulus), "Aw"), -1).n, 1);
    modulus[255] = 0xaa;
    assert_left_out(rsa_jwk(modulus, sizeof(modulus), "AQAB"), -1, "key 1: the modulus is even");
    modulus[0] = 0x2b; /* 2046 bits */
    assert_left_out(rsa_jwk(modulus, sizeof(modulus), "AQAB"), -1, "key 1: an RSA key must have 2048 to 8192 bits");
}

/* A power of 65537 modulo every prime looks like the flawed generator's moduli: 65537^128 has 2049 bits. */
static void test_flawed_generator(void **state)
{
    (void)state;
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *base = BN_new(), *exponent = BN_new(), *power = BN_new();
    unsigned char bytes[512];
    BN_set_word(base, 65537);
    BN_set_word(exponent, 128);
    assert_int_equal(BN_exp(power, base, exponent, ctx), 1);
    int n = BN_bn2bin(power, bytes);
    assert_left_out(rsa_jwk(bytes, (size_t)n, "AQAB"), -1,
                    "key 1: the key comes from a flawed generator (CVE-2017-15361)");
    BN_free(base);
    BN_free(exponent);
    BN_free(power);
    BN_CTX_free(ctx);
}

static void test_points(void **state)
{
    (void)state;
    json_t *doc;
    const char *why = "", *text = st_printf(&arena, "%s}", jwk_of(p256));
    assert_int_equal(st_json_parse(&arena, text, strlen(text), 2, &doc, &why), 0);
    size_t n;
    unsigned char *x = st_b64url_decode(&arena, st_json_str(doc, "x", ""), 43, &n);
    x[5] ^= 1;
    json_object_set_new(doc, "x", json_string(st_b64url(&arena, x, n)));
    assert_left_out(st_json_text(&arena, doc), -1, "key 1: the point is not on the curve");
    json_object_set_new(doc, "x", json_string(st_b64url(&arena, x, n - 1)));
    assert_left_out(st_json_text(&arena, doc), -1, "key 1: x and y must be coordinates of the curve's size");
    json_object_set_new(
        doc, "x",
        json_string(st_b64url(&arena, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32)));
    json_object_set(doc, "y", json_object_get(doc, "x"));
    assert_left_out(st_json_text(&arena, doc), -1, "key 1: the point is not on the curve");
}

/* A certificate that the key signs itself, in base64. */
static const char *certificate_of(EVP_PKEY *pkey)
{
    X509 *x = X509_new();
    unsigned char *der = NULL;
    assert_true(X509_set_pubkey(x, pkey) && X509_gmtime_adj(X509_getm_notBefore(x), 0) &&
                X509_gmtime_adj(X509_getm_notAfter(x), 3600) &&
                X509_sign(x, pkey, EVP_PKEY_is_a(pkey, "ED25519") ? NULL : EVP_sha256()));
    int len = i2d_X509(x, &der);
    char *text = st_alloc(&arena, (size_t)len * 4 / 3 + 4);
    EVP_EncodeBlock((unsigned char *)text, der, len);
    OPENSSL_free(der);
    X509_free(x);
    return text;
}

static void test_jwk_certificate(void **state)
{
    (void)state;
    EVP_PKEY *all[] = {rsa, p256, p521, ed};
    for (size_t i = 0; i < ST_COUNT(all); i++) {
        const char *jwk = jwk_of(all[i]), *own = certificate_of(all[i]), *other = certificate_of(p384);
        assert_int_equal(parsed(st_printf(&arena, "%s,\"x5c\":[\"%s\",\"%s\"]}", jwk, own, other), -1).n, 1);
        assert_left_out(st_printf(&arena, "%s,\"x5c\":[\"%s\",\"%s\"]}", jwk, other, own), -1,
                        "key 1: its x5c has another key");
    }
    static const char *const none[] = {"[]",         "\"AAAA\"",       "[1]", "[\"\"]", "[\"AAA\"]",
                                       "[\"AAAA\"]", "[\"MIIB-_==\"]", "{}"};
    for (size_t i = 0; i < ST_COUNT(none); i++)
        assert_left_out(st_printf(&arena, "%s,\"x5c\":%s}", jwk_of(p256), none[i]), -1,
                        "key 1: its x5c is no certificate");
}

/* --- JWKS -----------------------------------------------------------------------------------------------------------
 */

#define SECRET "\"kty\":\"oct\",\"k\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\""

static void test_jwks(void **state)
{
    (void)state;
    struct st_keys k =
        parsed(st_printf(&arena,
                         "{\"keys\":[{\"kty\":\"new\"},%s,\"kid\":\"a\"},%s,\"kid\":\"b\",\"use\":\"enc\"},"
                         "%s,\"kid\":\"a\",\"alg\":\"PS256\"}],\"more\":1}",
                         jwk_of(p256), jwk_of(ed), jwk_of(rsa)),
               -1);
    assert_int_equal(k.n, 2);
    assert_int_equal(st_key_alg(k.list[0]), ST_ES256);
    assert_int_equal(st_key_alg(k.list[1]), ST_PS256);
    assert_string_equal(k.left_out, "key 1: its kty or crv is not supported; key 3: its use is not sig");
    assert_int_equal(parsed("{\"keys\":[]}", -1).n, 0);
    k = parsed("{\"keys\":[{" SECRET ",\"kid\":\"a\"},{" SECRET ",\"kid\":\"b\"}]}", -1);
    assert_int_equal(k.n, 2);
    assert_string_equal(st_key_id(k.list[1]), "b");
}

static void test_company(void **state)
{
    (void)state;
    struct st_keys k =
        parsed(st_printf(&arena, "{\"keys\":[%s,\"kid\":\"a\"},{" SECRET ",\"kid\":\"b\"}]}", jwk_of(p256)), -1);
    assert_int_equal(k.n, 1);
    assert_string_equal(k.left_out, "key 2: a secret among public keys");
    assert_left_out(st_printf(&arena, "{\"keys\":[%s,\"kid\":\"a\"},%s,\"kid\":\"a\",\"alg\":\"ES256\"}]}",
                              jwk_of(p256), jwk_of(p256)),
                    -1, "key 1: another key has its kid and algorithm; key 2: another key has its kid and algorithm");
    /* Keys of one name for several algorithms, or for other uses, can be told apart. */
    k = parsed(st_printf(&arena,
                         "{\"keys\":[%s,\"kid\":\"a\"},%s,\"kid\":\"a\"},%s,\"kid\":\"a\",\"alg\":\"PS256\"},"
                         "%s,\"kid\":\"a\"},%s,\"kid\":\"a\",\"use\":\"enc\"}]}",
                         jwk_of(p256), jwk_of(p384), jwk_of(rsa), jwk_of(rsa), jwk_of(rsa)),
               -1);
    assert_int_equal(k.n, 4);
    assert_string_equal(k.left_out, "key 5: its use is not sig");
    /* Also when the other is of no use. */
    assert_left_out("{\"keys\":[{" SECRET ",\"kid\":\"a\"},{\"kty\":\"oct\",\"kid\":\"a\"}]}", -1,
                    "key 1: another key has its kid and algorithm; key 2: another key has its kid and algorithm");
}

static void test_texts_that_are_no_keys(void **state)
{
    (void)state;
    char *many = st_alloc(&arena, 70000);
    memset(many, ' ', 69999);
    many[0] = '{';
    const char *list = "{\"kty\":\"x\"}";
    for (int i = 0; i < ST_KEYS_MAX; i++)
        list = st_printf(&arena, "%s,{}", list);
    const char *const texts[] = {
        "",
        " ",
        "{",
        "{}",
        "[]",
        "{\"keys\":7}",
        "{\"keys\":{}}",
        "{\"kty\":\"oct\",\"kty\":\"oct\"}",
        "hello",
        "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}}}},\"kty\":\"oct\"}",
        many,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        st_printf(&arena, "{\"keys\":[%s]}", list),
    };
    struct st_keys keys;
    for (size_t i = 0; i < ST_COUNT(texts); i++) {
        const char *why = NULL;
        assert_int_equal(st_keys_parse(&arena, texts[i], strlen(texts[i]), -1, &keys, &why), ST_E_INVALID);
        assert_non_null(why);
    }
}

/* --- PEM and secrets -------------------------------------------------------------------------------------------------
 */

static void test_certificate(void **state)
{
    (void)state;
    X509 *x = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    assert_int_equal(X509_set_pubkey(x, p256), 1);
    assert_true(X509_sign(x, p256, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_X509(bio, x), 1);
    X509_free(x);
    struct st_keys k = parsed(text_of(bio), -1);
    assert_int_equal(k.n, 1);
    assert_string_equal(st_key_id(k.list[0]), st_key_id(parsed(public_pem(p256), -1).list[0]));
    assert_left_out(public_pem(p256), ST_EDDSA, "the key is not for EdDSA");
    assert_left_out(public_pem(rsa), ST_HS256, "the key is not for HS256");
}

static struct st_keys secret_of(const char *bytes, size_t len, int alg)
{
    char path[] = "/tmp/test_keys.XXXXXX";
    int fd = mkstemp(path);
    struct st_keys keys;
    const char *why = "";
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
    assert_int_equal(st_keys_load_secret(&arena, path, alg, &keys, &why), 0);
    unlink(path);
    return keys;
}

static void test_secret_files(void **state)
{
    (void)state;
    const char *bytes = "0123456789abcdef0123456789abcdef\n", *why = NULL;
    struct st_keys keys = secret_of(bytes, 33, -1);
    assert_int_equal(keys.n, 1);
    assert_int_equal(st_key_alg(keys.list[0]), ST_HS256);
    unsigned char mac[ST_SHA256_LEN];
    st_hmac_sha256(bytes, 32, "x", 1, mac);
    assert_true(st_key_verify(keys.list[0], "x", 1, mac, sizeof(mac)));
    assert_false(st_key_verify(keys.list[0], "x", 1, mac, sizeof(mac) - 1));
    assert_false(st_key_verify(keys.list[0], "x", 1, mac, 0));
    assert_string_equal(secret_of(bytes, 31, -1).left_out, "the secret of HS256 must have 32 to 1024 bytes");
    assert_string_equal(secret_of(bytes, 32, ST_HS512).left_out, "the secret of HS512 must have 64 to 1024 bytes");
    assert_string_equal(secret_of(bytes, 32, ST_ES256).left_out, "a secret is not for ES256");
    assert_int_equal(st_keys_load_secret(&arena, "/no/such/file", -1, &keys, &why), ST_E_INVALID);
    assert_non_null(strstr(why, "/no/such/file"));
}

/* --- choosing -------------------------------------------------------------------------------------------------------
 */

static const char *choose(const struct st_keys *k, bool any_kid, const char *header)
{
    const char *why = "accepted", *text = st_printf(&arena, "%s.e30", st_b64url(&arena, header, strlen(header)));
    unsigned char mac[ST_SHA256_LEN];
    st_hmac_sha256("0123456789abcdef0123456789abcdef", 32, text, strlen(text), mac);
    const char *token = st_printf(&arena, "%s.%s", text, st_b64url(&arena, mac, sizeof(mac)));
    const struct st_token_rule rule = {.keys = k->list, .n_keys = k->n, .any_kid = any_kid, .signature_only = true};
    struct st_token_claims claims;
    return st_token_verify(&rule, token, strlen(token), 0, &arena, &claims, &why) < 0 ? why : "accepted";
}

static void test_choosing(void **state)
{
    (void)state;
    const char *good = st_b64url(&arena, "0123456789abcdef0123456789abcdef", 32);
    struct st_keys k = parsed(st_printf(&arena,
                                        "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"%s\"},{" SECRET
                                        ",\"kid\":\"b\"},{" SECRET ",\"kid\":\"c\",\"alg\":\"HS256\"}]}",
                                        good),
                              -1);
    assert_int_equal(k.n, 3);
    assert_string_equal(choose(&k, false, "{\"alg\":\"HS256\",\"kid\":\"a\"}"), "accepted");
    assert_string_equal(choose(&k, false, "{\"alg\":\"HS256\",\"kid\":\"b\"}"), "the signature is not right");
    assert_string_equal(choose(&k, false, "{\"alg\":\"HS256\",\"kid\":\"d\"}"), ST_TOKEN_UNKNOWN_KEY);
    assert_string_equal(choose(&k, false, "{\"alg\":\"HS384\",\"kid\":\"a\"}"), "the algorithm is not the key's");
    assert_string_equal(choose(&k, false, "{\"alg\":\"HS256\"}"), "several keys fit: the token needs a kid");
    struct st_keys one = {.list = {k.list[0]}, .n = 1},
                   nameless = secret_of("0123456789abcdef0123456789abcdef", 32, -1);
    assert_string_equal(choose(&one, false, "{\"alg\":\"HS256\"}"), "accepted");
    assert_string_equal(choose(&one, false, "{\"alg\":\"HS256\",\"kid\":\"x\"}"), ST_TOKEN_UNKNOWN_KEY);
    assert_string_equal(choose(&one, true, "{\"alg\":\"HS256\",\"kid\":\"x\"}"), "accepted");
    assert_string_equal(choose(&nameless, false, "{\"alg\":\"HS256\",\"kid\":\"x\"}"), "accepted");
    assert_string_equal(choose(&one, false, "{\"alg\":\"HS256\",\"b64\":false}"),
                        "a payload that is not encoded is not supported");
    assert_string_equal(choose(&one, false, "{\"alg\":\"HS256\",\"b64\":true}"), "accepted");
    assert_string_equal(choose(&one, false, "{\"alg\":\"HS256\",\"crit\":[]}"),
                        "critical header extensions are not supported");
    assert_string_equal(choose(&one, false, "{\"alg\":\"HS256\",\"alg\":\"HS256\"}"), "not a token");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_every_algorithm, release),
        cmocka_unit_test_teardown(test_numbers_of_every_length, release),
        cmocka_unit_test_teardown(test_pss_salt, release),
        cmocka_unit_test_teardown(test_published_hs256_token, release),
        cmocka_unit_test_teardown(test_jwk, release),
        cmocka_unit_test_teardown(test_jwk_that_is_left_out, release),
        cmocka_unit_test_teardown(test_weak_rsa, release),
        cmocka_unit_test_teardown(test_flawed_generator, release),
        cmocka_unit_test_teardown(test_points, release),
        cmocka_unit_test_teardown(test_jwk_certificate, release),
        cmocka_unit_test_teardown(test_jwks, release),
        cmocka_unit_test_teardown(test_company, release),
        cmocka_unit_test_teardown(test_texts_that_are_no_keys, release),
        cmocka_unit_test_teardown(test_certificate, release),
        cmocka_unit_test_teardown(test_secret_files, release),
        cmocka_unit_test_teardown(test_choosing, release),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
