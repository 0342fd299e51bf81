/* Hashes, keys, access tokens and the edge's signature: every known way to get a forged token accepted is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <jwt.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <unistd.h>

#include "io/token.h"

enum { NOW = 1800000000 };
#define ISSUER   "https://storytelling.local"
#define AUDIENCE "storytelling"

/* Keys that stay for all tests; `pkey` is OpenSSL's, to forge with. */
static struct key {
    EVP_PKEY *pkey;
    const char *private_pem, *public_pem;
    struct st_key *own, *public;
} es, foreign, rsa, ed;

static struct st_arena forever, arena;

static int release(void **state)
{
    (void)state;
    st_arena_release(&arena);
    return 0;
}

/* --- keys -----------------------------------------------------------------------------------------------------------
 */

static const char *pem_of(EVP_PKEY *pkey, bool private)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    int ok = private ? PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) : PEM_write_bio_PUBKEY(bio, pkey);
    assert_int_equal(ok, 1);
    long n = BIO_get_mem_data(bio, &text);
    const char *copy = st_strndup(&forever, text, (size_t)n);
    BIO_free(bio);
    return copy;
}

static struct st_key *parsed(const char *pem)
{
    struct st_key *key = NULL;
    const char *why = "";
    if (st_key_parse(&forever, pem, strlen(pem), &key, &why) < 0)
        fail_msg("%s", why);
    return key;
}

static struct key key_of(EVP_PKEY *pkey)
{
    assert_non_null(pkey);
    struct key k = {.pkey = pkey, .private_pem = pem_of(pkey, true), .public_pem = pem_of(pkey, false)};
    k.own = parsed(k.private_pem);
    k.public = parsed(k.public_pem);
    return k;
}

static int make_keys(void **state)
{
    (void)state;
    es = key_of(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"));
    foreign = key_of(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"));
    rsa = key_of(EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048));
    ed = key_of(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    struct key *all[] = {&es, &foreign, &rsa, &ed};
    for (size_t i = 0; i < ST_COUNT(all); i++)
        EVP_PKEY_free(all[i]->pkey);
    st_arena_release(&forever);
    return 0;
}

/* A public key from its numbers, as published in RFCs. */
static struct st_key *key_from(const char *type, OSSL_PARAM_BLD *build)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY *pkey = NULL;
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params), 1);
    struct st_key *key = parsed(pem_of(pkey, false));
    EVP_PKEY_free(pkey);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static const unsigned char *raw(const char *b64, size_t *ret_len)
{
    const unsigned char *bytes = st_b64url_decode(&arena, b64, strlen(b64), ret_len);
    assert_non_null(bytes);
    return bytes;
}

/* --- forging tokens -------------------------------------------------------------------------------------------------
 */

static const char *b64(const char *text)
{
    return st_b64url(&arena, text, strlen(text));
}

/* JOSE form of a signature over text by any key; DER for ES256 when raw_der. */
static const char *sign(const struct key *k, const char *text, const char *digest, bool raw_der)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char out[1024], jose[64];
    size_t len = sizeof(out);
    const EVP_MD *md = digest ? EVP_get_digestbyname(digest) : NULL;
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, md, NULL, k->pkey), 1);
    assert_int_equal(EVP_DigestSign(ctx, out, &len, (const unsigned char *)text, strlen(text)), 1);
    EVP_MD_CTX_free(ctx);
    if (!EVP_PKEY_is_a(k->pkey, "EC") || raw_der)
        return st_b64url(&arena, out, len);
    const unsigned char *at = out;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(sig), jose, 32), 32);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(sig), jose + 32, 32), 32);
    ECDSA_SIG_free(sig);
    return st_b64url(&arena, jose, sizeof(jose));
}

/* header and claims as JSON text, signed as ES256 by k. */
static const char *forge(const struct key *k, const char *header, const char *claims)
{
    const char *text = st_printf(&arena, "%s.%s", b64(header), b64(claims));
    return st_printf(&arena, "%s.%s", text, sign(k, text, "SHA256", false));
}

static const char *header_of(const char *alg, const char *more)
{
    return st_printf(&arena, "{\"alg\":\"%s\",\"typ\":\"at+jwt\",\"kid\":\"%s\"%s}", alg, st_key_id(es.own), more);
}

#define CLAIMS_BUT(member)                                                                                             \
    "{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE "\",\"sub\":\"u1\",\"sid\":\"s1\",\"jti\":\"j1\"," member "}"
#define CLAIMS                                                                                                         \
    CLAIMS_BUT("\"iat\":1799999990,\"nbf\":1799999990,\"exp\":1800000500,\"roles\":[\"author\"],\"tier\":\"free\"")

static const char *good(const char *claims)
{
    return forge(&es, header_of("ES256", ""), claims);
}

static struct st_token_claims claims_seen;

/* NULL when the token is accepted by a rule of one key, else why not. */
static const char *refusal_by(const struct st_key *key, const char *token, size_t len)
{
    const struct st_key *keys[] = {key};
    const struct st_token_rule rule = {.keys = keys, .n_keys = 1, .issuer = ISSUER, .audience = AUDIENCE};
    const char *why = NULL;
    int r = st_token_verify(&rule, token, len, NOW, &arena, &claims_seen, &why);
    if (r == 0)
        return NULL;
    assert_int_equal(r, ST_E_UNAUTHENTICATED);
    assert_non_null(why);
    assert_null(strpbrk(why, "\"\\\r\n")); /* it stands in a header, in quotes */
    return why;
}
static const char *refusal(const char *token)
{
    return refusal_by(es.public, token, strlen(token));
}

#define assert_accepted(token)                                                                                         \
    do {                                                                                                               \
        const char *why_ = refusal(token);                                                                             \
        if (why_)                                                                                                      \
            fail_msg("refused: %s", why_);                                                                             \
    } while (0)
#define assert_refused(token, reason) assert_string_equal(refusal(token) ?: "accepted", (reason))

/* --- hashes ---------------------------------------------------------------------------------------------------------
 */

static void test_hashes(void **state)
{
    (void)state;
    assert_string_equal(st_sha256_hex(&arena, "abc", 3),
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_string_equal(st_sha256_hex(&arena, "", 0),
                        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    /* RFC 4231, test cases 2 and 6 (a key longer than a block). */
    unsigned char mac[ST_SHA256_LEN], long_key[131];
    st_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, mac);
    assert_string_equal(st_hex(&arena, mac, sizeof(mac)),
                        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(long_key, 0xaa, sizeof(long_key));
    st_hmac_sha256(long_key, sizeof(long_key), "Test Using Larger Than Block-Size Key - Hash Key First", 54, mac);
    assert_string_equal(st_hex(&arena, mac, sizeof(mac)),
                        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void test_secrets(void **state)
{
    (void)state;
    size_t n;
    const char *one = st_secret(&arena, 16), *other = st_secret(&arena, 16);
    assert_int_equal(strlen(one), 22);
    assert_string_not_equal(one, other);
    (void)raw(one, &n);
    assert_int_equal(n, 16);
}

/* --- reading keys ---------------------------------------------------------------------------------------------------
 */

static void test_key_kinds(void **state)
{
    (void)state;
    assert_int_equal(st_key_alg(es.own), ST_ES256);
    assert_int_equal(st_key_alg(rsa.own), ST_RS256);
    assert_int_equal(st_key_alg(ed.own), ST_EDDSA);
    struct key *all[] = {&es, &rsa, &ed};
    for (size_t i = 0; i < ST_COUNT(all); i++) {
        assert_true(st_key_is_private(all[i]->own));
        assert_false(st_key_is_private(all[i]->public));
        assert_string_equal(st_key_id(all[i]->own), st_key_id(all[i]->public));
        assert_string_equal(st_key_jwk(all[i]->own), st_key_jwk(all[i]->public));
        json_t *jwk;
        const char *why;
        assert_int_equal(st_json_parse(&arena, st_key_jwk(all[i]->own), strlen(st_key_jwk(all[i]->own)), 2, &jwk, &why),
                         0);
        assert_string_equal(st_json_str(jwk, "kid", ""), st_key_id(all[i]->own));
        assert_string_equal(st_json_str(jwk, "alg", ""), st_alg_names[st_key_alg(all[i]->own)]);
        static const char *const secrets[] = {"d", "p", "q", "dp", "dq", "qi"};
        for (size_t k = 0; k < ST_COUNT(secrets); k++)
            assert_null(json_object_get(jwk, secrets[k]));
    }
}

static void test_keys_that_are_refused(void **state)
{
    (void)state;
    EVP_PKEY *bad[] = {EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-224"), EVP_PKEY_Q_keygen(NULL, NULL, "EC", "secp256k1"),
                       EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024), EVP_PKEY_Q_keygen(NULL, NULL, "X25519")};
    struct st_key *key = NULL;
    const char *why = NULL;
    for (size_t i = 0; i < ST_COUNT(bad); i++) {
        const char *pem = pem_of(bad[i], true);
        assert_int_equal(st_key_parse(&arena, pem, strlen(pem), &key, &why), ST_E_INVALID);
        assert_string_equal(why, i == 2 ? "an RSA key must have 2048 to 8192 bits"
                                        : "the key is none of EC P-256, P-384, P-521, Ed25519, RSA");
        EVP_PKEY_free(bad[i]);
    }
    const char *cut = st_strndup(&arena, es.private_pem, strlen(es.private_pem) / 2);
    const char *const texts[] = {"", "hello", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", cut};
    for (size_t i = 0; i < ST_COUNT(texts); i++)
        assert_int_equal(st_key_parse(&arena, texts[i], strlen(texts[i]), &key, &why), ST_E_INVALID);
    assert_int_equal(st_key_load(&arena, "/no/such/key.pem", &key, &why), ST_E_INVALID);
    assert_non_null(strstr(why, "/no/such/key.pem"));
    assert_int_equal(st_key_load(&arena, "/etc/passwd", &key, &why), ST_E_INVALID);
    assert_string_equal(why, "/etc/passwd: not a PEM key");
    assert_null(key);
}

static void test_key_file(void **state)
{
    (void)state;
    char path[] = "/tmp/test_token.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, es.private_pem, strlen(es.private_pem)), strlen(es.private_pem));
    close(fd);
    struct st_key *key = NULL;
    const char *why = "";
    int r = st_key_load(&arena, path, &key, &why);
    unlink(path);
    assert_int_equal(r, 0);
    assert_string_equal(st_key_id(key), st_key_id(es.own));
}

/* RFC 7638 section 3.1, RFC 8037 appendix A. */
static void test_thumbprints(void **state)
{
    (void)state;
    size_t n;
    const unsigned char *bytes = raw(
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n"
        "3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0"
        "zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-"
        "csFCur-kEgU8awapJzKnqDKgw",
        &n);
    BIGNUM *modulus = BN_bin2bn(bytes, (int)n, NULL), *exponent = BN_new();
    BN_set_word(exponent, 65537);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus);
    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent);
    assert_string_equal(st_key_id(key_from("RSA", build)), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    BN_free(modulus);
    BN_free(exponent);
    build = OSSL_PARAM_BLD_new();
    bytes = raw("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", &n);
    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, bytes, n);
    struct st_key *key = key_from("ED25519", build);
    assert_string_equal(st_key_id(key), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    static const char text[] = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    bytes = raw("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg", &n);
    assert_true(st_key_verify(key, text, strlen(text), bytes, n));
    assert_false(st_key_verify(key, text, strlen(text) - 1, bytes, n));
}

/* RFC 7515 appendix A.3: a token that others have signed. */
static void test_published_es256_token(void **state)
{
    (void)state;
    size_t n;
    unsigned char point[65] = {4};
    memcpy(point + 1, raw("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", &n), 32);
    memcpy(point + 33, raw("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0", &n), 32);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0);
    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point));
    const struct st_key *keys[] = {key_from("EC", build)};
    const char *token =
        "eyJhbGciOiJFUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    const struct st_token_rule rule = {.keys = keys, .n_keys = 1, .signature_only = true};
    const char *why = "";
    assert_int_equal(st_token_verify(&rule, token, strlen(token), NOW, &arena, &claims_seen, &why), 0);
    assert_string_equal(st_value_string(st_value_get(claims_seen.all, "iss")), "joe");
}

/* --- tokens that are accepted ---------------------------------------------------------------------------------------
 */

static void test_accepted_token(void **state)
{
    (void)state;
    assert_accepted(good(CLAIMS));
    assert_string_equal(claims_seen.user, "u1");
    assert_string_equal(claims_seen.session, "s1");
    assert_string_equal(claims_seen.token_id, "j1");
    assert_string_equal(claims_seen.roles, "author");
    assert_string_equal(claims_seen.tier, "free");
    assert_int_equal(claims_seen.expires, 1800000500);
    assert_accepted(good(CLAIMS_BUT("\"exp\":1800000500.75")));
    assert_int_equal(claims_seen.expires, 1800000500);
    assert_string_equal(claims_seen.roles, "");
    assert_string_equal(claims_seen.tier, "");
    assert_accepted(
        forge(&es, "{\"alg\":\"ES256\",\"typ\":\"application/AT+jwt\"}", CLAIMS)); /* one key: no kid needed */
    assert_accepted(good("{\"iss\":\"" ISSUER "\",\"aud\":[\"x\",\"" AUDIENCE
                         "\"],\"sub\":\"u\",\"sid\":\"s\",\"exp\":1800000001}"));
}

/* A role that could be read as two, or end a header, is left out. */
static void test_roles_cannot_smuggle(void **state)
{
    (void)state;
    assert_accepted(good(CLAIMS_BUT(
        "\"exp\":1800000500,\"roles\":[\"author\",\"a,admin\",\"x y\",\"n\\nadmin\",5,null,\"\",\"voice\"]")));
    assert_string_equal(claims_seen.roles, "author,voice");
    assert_accepted(good(CLAIMS_BUT("\"exp\":1800000500,\"roles\":\"admin\",\"tier\":7")));
    assert_string_equal(claims_seen.roles, "");
    assert_string_equal(claims_seen.tier, "");
}

static void test_issued_token_is_accepted(void **state)
{
    (void)state;
    const char *why = "", *token = NULL;
    json_t *claims;
    assert_int_equal(st_json_parse(&arena, CLAIMS, strlen(CLAIMS), 4, &claims, &why), 0);
    const struct key *keys[] = {&es, &rsa, &ed};
    for (size_t i = 0; i < ST_COUNT(keys); i++) {
        assert_int_equal(st_token_issue(keys[i]->own, claims, &arena, &token), 0);
        assert_null(refusal_by(keys[i]->public, token, strlen(token)));
        assert_true(st_value_equal(claims_seen.all, st_value_from_json(&arena, claims)));
        assert_int_equal(st_token_issue(keys[i]->public, claims, &arena, &token), ST_E_INVALID);
    }
}

/* One signature in 256 has a number that starts with a zero byte. */
static void test_signatures_with_short_numbers(void **state)
{
    (void)state;
    for (int i = 0; i < 600; i++) {
        const unsigned char *sig;
        size_t len;
        assert_int_equal(st_key_sign(es.own, &arena, &i, sizeof(i), &sig, &len), 0);
        assert_int_equal(len, 64);
        assert_true(st_key_verify(es.public, &i, sizeof(i), sig, len));
    }
}

/* The other implementation: what libjwt signs we accept, and what we sign libjwt accepts. */
static void test_agrees_with_libjwt(void **state)
{
    (void)state;
    static const jwt_alg_t algs[] = {JWT_ALG_ES256, JWT_ALG_RS256};
    const struct key *keys[] = {&es, &rsa};
    for (size_t i = 0; i < ST_COUNT(keys); i++) {
        const struct key *k = keys[i];
        const unsigned char *sig;
        size_t len;
        const char *why = "", *pem = k->private_pem, *public_pem = k->public_pem;
        jwt_t *jwt = NULL;
        assert_int_equal(jwt_new(&jwt), 0);
        assert_int_equal(jwt_add_grant(jwt, "sub", "u1"), 0);
        assert_int_equal(jwt_set_alg(jwt, algs[i], (const unsigned char *)pem, (int)strlen(pem)), 0);
        char *theirs = jwt_encode_str(jwt);
        jwt_free(jwt);
        const struct st_key *public = k->public;
        const struct st_token_rule rule = {.keys = &public, .n_keys = 1, .signature_only = true};
        assert_int_equal(st_token_verify(&rule, theirs, strlen(theirs), NOW, &arena, &claims_seen, &why), 0);
        assert_string_equal(claims_seen.user, "u1");
        free(theirs);
        const char *header = st_printf(&arena, "{\"typ\":\"JWT\",\"alg\":\"%s\"}", st_alg_names[st_key_alg(k->own)]);
        const char *text = st_printf(&arena, "%s.%s", b64(header), b64(CLAIMS));
        assert_int_equal(st_key_sign(k->own, &arena, text, strlen(text), &sig, &len), 0);
        const char *ours = st_printf(&arena, "%s.%s", text, st_b64url(&arena, sig, len));
        assert_int_equal(jwt_decode(&jwt, ours, (const unsigned char *)public_pem, (int)strlen(public_pem)), 0);
        jwt_free(jwt);
    }
}

/* --- the key and the algorithm --------------------------------------------------------------------------------------
 */

static void test_algorithm_belongs_to_the_key(void **state)
{
    (void)state;
    static const char *const algs[] = {"none",  "None",  "",      "es256", "ES256K",
                                       "ES384", "HS256", "RS256", "PS256", "EdDSA"};
    for (size_t i = 0; i < ST_COUNT(algs); i++)
        assert_refused(forge(&es, header_of(algs[i], ""), CLAIMS), "the algorithm is not the key's");
    /* No signature at all. */
    const char *none = st_printf(&arena, "%s.%s.", b64(header_of("none", "")), b64(CLAIMS));
    assert_refused(none, "the algorithm is not the key's");
    none = st_printf(&arena, "%s.%s.", b64(header_of("ES256", "")), b64(CLAIMS));
    assert_refused(none, "the signature is not right");
    assert_refused(forge(&es, st_printf(&arena, "{\"typ\":\"at+jwt\",\"kid\":\"%s\"}", st_key_id(es.own)), CLAIMS),
                   "the algorithm is not the key's");
    assert_refused(forge(&es, "{\"alg\":5,\"typ\":\"at+jwt\"}", CLAIMS), "the algorithm is not the key's");
    assert_refused(forge(&es, "{\"alg\":[\"ES256\"],\"typ\":\"at+jwt\"}", CLAIMS), "the algorithm is not the key's");
}

/* HMAC with what everybody knows, the public key, as the secret. */
static void test_public_key_is_no_secret(void **state)
{
    (void)state;
    const struct key *keys[] = {&es, &rsa};
    for (size_t i = 0; i < ST_COUNT(keys); i++) {
        const char *header =
            st_printf(&arena, "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"%s\"}", st_key_id(keys[i]->own));
        const char *text = st_printf(&arena, "%s.%s", b64(header), b64(CLAIMS)), *pem = keys[i]->public_pem;
        unsigned char mac[ST_SHA256_LEN];
        st_hmac_sha256(pem, strlen(pem), text, strlen(text), mac);
        const char *token = st_printf(&arena, "%s.%s", text, st_b64url(&arena, mac, sizeof(mac)));
        assert_string_equal(refusal_by(keys[i]->public, token, strlen(token)), "the algorithm is not the key's");
    }
}

/* RS512 says another hash than the key is for. */
static void test_rs512_does_not_pass_as_rs256(void **state)
{
    (void)state;
    const char *header = st_printf(&arena, "{\"alg\":\"RS512\",\"typ\":\"at+jwt\",\"kid\":\"%s\"}", st_key_id(rsa.own));
    const char *text = st_printf(&arena, "%s.%s", b64(header), b64(CLAIMS));
    const char *token = st_printf(&arena, "%s.%s", text, sign(&rsa, text, "SHA512", false));
    assert_string_equal(refusal_by(rsa.public, token, strlen(token)), "the algorithm is not the key's");
    header = st_printf(&arena, "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"%s\"}", st_key_id(rsa.own));
    text = st_printf(&arena, "%s.%s", b64(header), b64(CLAIMS));
    token = st_printf(&arena, "%s.%s", text, sign(&rsa, text, "SHA512", false));
    assert_string_equal(refusal_by(rsa.public, token, strlen(token)), "the signature is not right");
    token = st_printf(&arena, "%s.%s", text, sign(&rsa, text, "SHA256", false));
    assert_null(refusal_by(rsa.public, token, strlen(token)));
}

static void test_unknown_and_missing_keys(void **state)
{
    (void)state;
    assert_refused(forge(&es, "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"other\"}", CLAIMS), "unknown key");
    assert_refused(forge(&es, "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"\"}", CLAIMS), "unknown key");
    assert_refused(forge(&es, "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":null}", CLAIMS), "unknown key");
    assert_refused(forge(&es, "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":7}", CLAIMS), "unknown key");
    assert_refused(forge(&foreign, header_of("ES256", ""), CLAIMS), "the signature is not right");
    /* The token's own key is not asked for. */
    assert_refused(
        forge(&foreign, header_of("ES256", st_printf(&arena, ",\"jwk\":%s", st_key_jwk(foreign.own))), CLAIMS),
        "the signature is not right");
    const char *token = good(CLAIMS), *why = NULL;
    const struct st_token_rule none = {.issuer = ISSUER, .audience = AUDIENCE};
    assert_int_equal(st_token_verify(&none, token, strlen(token), NOW, &arena, &claims_seen, &why),
                     ST_E_UNAUTHENTICATED);
    assert_string_equal(why, "unknown key");
    const struct st_key *both[] = {foreign.public, es.public};
    const struct st_token_rule two = {.keys = both, .n_keys = 2, .issuer = ISSUER, .audience = AUDIENCE};
    assert_int_equal(st_token_verify(&two, token, strlen(token), NOW, &arena, &claims_seen, &why), 0);
    token = forge(&es, "{\"alg\":\"ES256\",\"typ\":\"at+jwt\"}", CLAIMS); /* which of two is not guessed */
    assert_int_equal(st_token_verify(&two, token, strlen(token), NOW, &arena, &claims_seen, &why),
                     ST_E_UNAUTHENTICATED);
}

static void test_header_extensions(void **state)
{
    (void)state;
    assert_refused(forge(&es, header_of("ES256", ",\"crit\":[\"b64\"],\"b64\":false"), CLAIMS),
                   "critical header extensions are not supported");
    assert_refused(forge(&es, header_of("ES256", ",\"crit\":[]"), CLAIMS),
                   "critical header extensions are not supported");
    assert_refused(forge(&es, "{\"alg\":\"ES256\"}", CLAIMS), "not an access token: its typ is another");
    assert_refused(forge(&es, "{\"alg\":\"ES256\",\"typ\":\"JWT\"}", CLAIMS),
                   "not an access token: its typ is another");
    assert_refused(forge(&es, "{\"alg\":\"ES256\",\"typ\":\"id+jwt\"}", CLAIMS),
                   "not an access token: its typ is another");
    assert_refused(forge(&es, "{\"alg\":\"ES256\",\"typ\":[\"at+jwt\"]}", CLAIMS),
                   "not an access token: its typ is another");
}

/* --- the signature --------------------------------------------------------------------------------------------------
 */

static void test_signature_numbers_out_of_range(void **state)
{
    (void)state;
    const char *text = st_printf(&arena, "%s.%s", b64(header_of("ES256", "")), b64(CLAIMS));
    static const char order[] = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    unsigned char zero[64] = {0}, n[64], one[64] = {0}, all[64];
    BIGNUM *bn = NULL;
    BN_hex2bn(&bn, order);
    BN_bn2binpad(bn, n, 32);
    memcpy(n + 32, n, 32);
    BN_free(bn);
    one[31] = 1; /* r = 1, s = 0 */
    memset(all, 0xff, sizeof(all));
    const unsigned char *const bad[] = {zero, n, one, all};
    for (size_t i = 0; i < ST_COUNT(bad); i++)
        assert_refused(st_printf(&arena, "%s.%s", text, st_b64url(&arena, bad[i], 64)), "the signature is not right");
    /* DER instead of r || s, a byte too few, a byte too many. */
    assert_refused(st_printf(&arena, "%s.%s", text, sign(&es, text, "SHA256", true)), "the signature is not right");
    size_t len;
    const unsigned char *right = raw(sign(&es, text, "SHA256", false), &len);
    assert_refused(st_printf(&arena, "%s.%s", text, st_b64url(&arena, right, 63)), "the signature is not right");
    unsigned char more[65] = {0};
    memcpy(more, right, 64);
    assert_refused(st_printf(&arena, "%s.%s", text, st_b64url(&arena, more, 65)), "the signature is not right");
    assert_accepted(st_printf(&arena, "%s.%s", text, st_b64url(&arena, right, 64)));
}

static void test_every_changed_character_is_noticed(void **state)
{
    (void)state;
    char *token = st_strdup(&arena, good(CLAIMS));
    for (size_t i = 0; token[i]; i++) {
        char was = token[i];
        token[i] = was == 'A' ? 'B' : 'A';
        assert_non_null(refusal(token));
        token[i] = was;
    }
    assert_accepted(token);
}

/* --- one spelling of a token only -----------------------------------------------------------------------------------
 */

static void test_other_spellings(void **state)
{
    (void)state;
    const char *token = good(CLAIMS);
    size_t len = strlen(token);
    static const char *const around[][2] = {{"", "="}, {"", "=="}, {"", "."},  {"", ".x"}, {"", " "},
                                            {" ", ""}, {"\t", ""}, {"", "\n"}, {".", ""},  {"", "\r\n"}};
    for (size_t i = 0; i < ST_COUNT(around); i++)
        assert_non_null(refusal(st_printf(&arena, "%s%s%s", around[i][0], token, around[i][1])));
    assert_non_null(refusal_by(es.public, token, len + 1)); /* with its NUL */
    /* Stray bits in the last character: the same bytes to a lax decoder. */
    char *twin = st_strdup(&arena, token);
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *last = strchr(alphabet, twin[len - 1]);
    for (int i = 1; i < 16; i++) {
        twin[len - 1] = alphabet[(last - alphabet) ^ i];
        assert_non_null(refusal(twin));
    }
    /* The other alphabet. */
    const char *tricky = NULL;
    for (int i = 0; !tricky || !strpbrk(tricky, "-_"); i++)
        tricky = good(CLAIMS);
    assert_accepted(tricky);
    char *plus = st_strdup(&arena, tricky);
    for (char *p = plus; *p; p++)
        *p = *p == '-' ? '+' : *p == '_' ? '/' : *p;
    assert_non_null(refusal(plus));
}

static void test_not_tokens(void **state)
{
    (void)state;
    static const char *const bad[] = {"",        ".",           "..",           "...",           "a", "a.b", "a.b.c",
                                      "a.b.c.d", "e30.e30.e30", "Bearer x.y.z", "\xff.\xff.\xff"};
    for (size_t i = 0; i < ST_COUNT(bad); i++)
        assert_non_null(refusal(bad[i]));
    assert_refused(forge(&es, "[]", CLAIMS), "not a token");
    assert_refused(forge(&es, "\"ES256\"", CLAIMS), "not a token");
    assert_refused(forge(&es, "", CLAIMS), "not a token");
    /* Duplicate names and bytes after the JSON: two readers could see two tokens. */
    assert_refused(forge(&es, header_of("none", ",\"alg\":\"ES256\""), CLAIMS), "not a token");
    assert_refused(forge(&es, st_printf(&arena, "%s{}", header_of("ES256", "")), CLAIMS), "not a token");
    assert_refused(good(CLAIMS_BUT("\"exp\":1,\"exp\":1800000500")), "the claims are not JSON");
    assert_refused(good(CLAIMS " "
                               "x"),
                   "the claims are not JSON");
    assert_refused(good("[]"), "the claims are not JSON");
    assert_refused(good("null"), "the claims are not JSON");
    assert_refused(good(CLAIMS_BUT("\"exp\":1800000500,\"x\":\"\\u0000\"")), "the claims are not JSON");
    assert_refused(good(CLAIMS_BUT("\"exp\":1800000500,\"x\":[[[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]]]")),
                   "the claims are not JSON");
}

static void test_size(void **state)
{
    (void)state;
    char *big = st_alloc(&arena, (1 << 20) + 1);
    memset(big, 'A', 1 << 20);
    assert_refused(big, "the token is too long");
    big[100] = big[200] = '.';
    assert_refused(big, "the token is too long");
    big[ST_TOKEN_MAX] = '\0'; /* the longest that is looked at */
    assert_refused(big, "not a token");
    const char *fat = good(st_printf(&arena, CLAIMS_BUT("\"exp\":1800000500,\"x\":\"%05500d\""), 0));
    assert_true(strlen(fat) < ST_TOKEN_MAX);
    assert_accepted(fat);
}

/* --- the claims -----------------------------------------------------------------------------------------------------
 */

static void test_dates(void **state)
{
    (void)state;
    static const char *const wrong[] = {"\"x\":1",
                                        "\"exp\":\"1800000500\"",
                                        "\"exp\":null",
                                        "\"exp\":true",
                                        "\"exp\":[1800000500]",
                                        "\"exp\":{}",
                                        "\"exp\":0",
                                        "\"exp\":-1",
                                        "\"exp\":1e300",
                                        "\"exp\":100000000000",
                                        "\"exp\":1800000500,\"nbf\":\"0\"",
                                        "\"exp\":1800000500,\"nbf\":null",
                                        "\"exp\":1800000500,\"iat\":\"now\"",
                                        "\"exp\":1800000500,\"iat\":-5"};
    for (size_t i = 0; i < ST_COUNT(wrong); i++)
        assert_refused(good(st_printf(&arena, CLAIMS_BUT("%s"), wrong[i])), "exp, nbf or iat is not a date");
    assert_refused(good(CLAIMS_BUT("\"exp\":1800000000")), "the token has expired");
    assert_refused(good(CLAIMS_BUT("\"exp\":1799999999.9")), "the token has expired");
    assert_refused(good(CLAIMS_BUT("\"exp\":1")), "the token has expired");
    assert_accepted(good(CLAIMS_BUT("\"exp\":1800000001")));
    assert_refused(good(CLAIMS_BUT("\"exp\":1800000500,\"nbf\":1800000001")), "the token is not valid yet");
    assert_accepted(good(CLAIMS_BUT("\"exp\":1800000500,\"nbf\":1800000000")));
}

static void test_leeway(void **state)
{
    (void)state;
    const struct st_key *keys[] = {es.public};
    const struct st_token_rule rule = {.keys = keys, .n_keys = 1, .leeway_s = 5};
    const struct {
        const char *claims;
        int result;
    } cases[] = {
        {CLAIMS_BUT("\"exp\":1799999996"), 0},
        {CLAIMS_BUT("\"exp\":1799999995"), ST_E_UNAUTHENTICATED},
        {CLAIMS_BUT("\"exp\":1800000500,\"nbf\":1800000005"), 0},
        {CLAIMS_BUT("\"exp\":1800000500,\"nbf\":1800000006"), ST_E_UNAUTHENTICATED},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        const char *token = good(cases[i].claims), *why;
        assert_int_equal(st_token_verify(&rule, token, strlen(token), NOW, &arena, &claims_seen, &why),
                         cases[i].result);
    }
}

static void test_who_and_for_whom(void **state)
{
    (void)state;
#define REST ",\"sub\":\"u\",\"sid\":\"s\",\"exp\":1800000500}"
    static const char *const issuers[] = {"{\"aud\":\"" AUDIENCE "\"" REST,
                                          "{\"iss\":\"evil\",\"aud\":\"" AUDIENCE "\"" REST,
                                          "{\"iss\":[\"" ISSUER "\"],\"aud\":\"" AUDIENCE "\"" REST,
                                          "{\"iss\":\"" ISSUER "/\",\"aud\":\"" AUDIENCE "\"" REST};
    for (size_t i = 0; i < ST_COUNT(issuers); i++)
        assert_refused(good(issuers[i]), "unknown issuer");
    static const char *const audiences[] = {
        "{\"iss\":\"" ISSUER "\"" REST, "{\"iss\":\"" ISSUER "\",\"aud\":\"else\"" REST,
        "{\"iss\":\"" ISSUER "\",\"aud\":[]" REST, "{\"iss\":\"" ISSUER "\",\"aud\":[\"else\",7]" REST,
        "{\"iss\":\"" ISSUER "\",\"aud\":{\"" AUDIENCE "\":1}" REST};
    for (size_t i = 0; i < ST_COUNT(audiences); i++)
        assert_refused(good(audiences[i]), "the token is for somebody else");
#undef REST
#define REST ",\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE "\",\"exp\":1800000500}"
    static const char *const people[] = {"{\"sid\":\"s\"" REST, "{\"sub\":\"u\"" REST,
                                         "{\"sub\":\"\",\"sid\":\"s\"" REST, "{\"sub\":7,\"sid\":\"s\"" REST,
                                         "{\"sub\":\"u\",\"sid\":null" REST};
    for (size_t i = 0; i < ST_COUNT(people); i++)
        assert_refused(good(people[i]), "sub or sid is missing");
#undef REST
}

/* --- the edge's signature -------------------------------------------------------------------------------------------
 */

static const struct st_edge_identity identity = {.method = "POST",
                                                 .uri = "/v1/stories?limit=1",
                                                 .operation = "createStory",
                                                 .user = "u",
                                                 .session = "s",
                                                 .roles = "author,voice",
                                                 .tier = "free",
                                                 .correlation_id = "c",
                                                 .address = "127.0.0.1",
                                                 .time = "1800000000"};

static void test_edge_signature(void **state)
{
    (void)state;
    static const char text[] =
        "POST\n/v1/stories?limit=1\ncreateStory\nu\ns\nauthor,voice\nfree\nc\n127.0.0.1\n1800000000\n";
    char out[ST_EDGE_SIGNATURE_LEN], other[ST_EDGE_SIGNATURE_LEN];
    unsigned char mac[ST_SHA256_LEN];
    st_edge_sign("key", 3, &identity, out);
    st_hmac_sha256("key", 3, text, strlen(text), mac);
    assert_string_equal(out, st_hex(&arena, mac, sizeof(mac)));
    st_edge_sign("kez", 3, &identity, other);
    assert_string_not_equal(out, other);
    struct st_edge_identity changed = identity;
    const char **members[] = {&changed.method,  &changed.uri,   &changed.operation, &changed.user,
                              &changed.session, &changed.roles, &changed.tier,      &changed.correlation_id,
                              &changed.address, &changed.time};
    for (size_t i = 0; i < ST_COUNT(members); i++) {
        changed = identity;
        *members[i] = "other";
        st_edge_sign("key", 3, &changed, other);
        assert_string_not_equal(out, other);
    }
    changed = identity; /* a value that moves over to its neighbour */
    changed.user = "us";
    changed.session = "";
    st_edge_sign("key", 3, &changed, other);
    assert_string_not_equal(out, other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_hashes, release),
        cmocka_unit_test_teardown(test_secrets, release),
        cmocka_unit_test_teardown(test_key_kinds, release),
        cmocka_unit_test_teardown(test_keys_that_are_refused, release),
        cmocka_unit_test_teardown(test_key_file, release),
        cmocka_unit_test_teardown(test_thumbprints, release),
        cmocka_unit_test_teardown(test_published_es256_token, release),
        cmocka_unit_test_teardown(test_accepted_token, release),
        cmocka_unit_test_teardown(test_roles_cannot_smuggle, release),
        cmocka_unit_test_teardown(test_issued_token_is_accepted, release),
        cmocka_unit_test_teardown(test_signatures_with_short_numbers, release),
        cmocka_unit_test_teardown(test_agrees_with_libjwt, release),
        cmocka_unit_test_teardown(test_algorithm_belongs_to_the_key, release),
        cmocka_unit_test_teardown(test_public_key_is_no_secret, release),
        cmocka_unit_test_teardown(test_rs512_does_not_pass_as_rs256, release),
        cmocka_unit_test_teardown(test_unknown_and_missing_keys, release),
        cmocka_unit_test_teardown(test_header_extensions, release),
        cmocka_unit_test_teardown(test_signature_numbers_out_of_range, release),
        cmocka_unit_test_teardown(test_every_changed_character_is_noticed, release),
        cmocka_unit_test_teardown(test_other_spellings, release),
        cmocka_unit_test_teardown(test_not_tokens, release),
        cmocka_unit_test_teardown(test_size, release),
        cmocka_unit_test_teardown(test_dates, release),
        cmocka_unit_test_teardown(test_leeway, release),
        cmocka_unit_test_teardown(test_who_and_for_whom, release),
        cmocka_unit_test_teardown(test_edge_signature, release),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
