/*
 * Access tokens in any number, and what verifying them costs at the least.
 *
 *   tokens sign KEYFILE COUNT [FIRST]      tokens of the users FIRST, FIRST + 1 …, one a line; a PEM file, or
 *                                          "hs256:<secret>"
 *   tokens verify PEMFILE MS <FILE         us of CPU for each token of the file, verified in turn by OpenSSL alone:
 *                                          signatures are decoded beforehand, the key is parsed once, the context kept
 */
#include "io/token.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

enum { LIFETIME_S = 12 * 3600, LINE_MAX_LEN = ST_TOKEN_MAX, JOSE_P256 = 32 };

static ST_NORETURN void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static int64_t number(const char *s)
{
    int64_t n;
    if (!st_parse_i64(s, 0, 100000000, &n))
        die(s, "not a number");
    return n;
}

/* --- signing --- */

/* Every user has a session of the same number. `scope` and `role` are for gateways that want no array. */
static json_t *claims_of(int64_t n, int64_t now)
{
    char user[64], session[64];
    snprintf(user, sizeof(user), "00000000-0000-4000-8000-%012lld", (long long)n);
    snprintf(session, sizeof(session), "11111111-0000-4000-8000-%012lld", (long long)n);
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:[s],s:s,s:i,s:s}", "iss", "https://storytelling.local", "aud",
                     "storytelling", "sub", user, "sid", session, "jti", session, "iat", (json_int_t)now, "nbf",
                     (json_int_t)now, "exp", (json_int_t)(now + LIFETIME_S), "roles", "author", "tier", "free", "sv", 1,
                     "scope", "thing:read");
}

static const char *sign_hs256(struct st_arena *a, const char *secret, const json_t *claims)
{
    static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
    const char *body = st_json_text(a, claims);
    const char *text = st_printf(a, "%s.%s", st_b64url(a, header, strlen(header)), st_b64url(a, body, strlen(body)));
    unsigned char mac[ST_SHA256_LEN];
    st_hmac_sha256(secret, strlen(secret), text, strlen(text), mac);
    return st_printf(a, "%s.%s", text, st_b64url(a, mac, sizeof(mac)));
}

static void sign(const char *name, int64_t count, int64_t first)
{
    struct st_arena keys = {0};
    struct st_key *key = NULL;
    const char *why = NULL, *secret = st_starts(name, "hs256:") ? name + 6 : NULL;
    int64_t now = st_now() / ST_SECOND;
    if (!secret && st_key_load(&keys, name, &key, &why) < 0)
        die(name, why);
    for (int64_t n = first; n < first + count; n++) {
        struct st_arena a = {0};
        json_t *claims = claims_of(n, now);
        const char *token = NULL;
        if (secret)
            token = sign_hs256(&a, secret, claims);
        else if (st_token_issue(key, claims, &a, &token) < 0)
            die(name, "does not sign");
        puts(token);
        json_decref(claims);
        st_arena_release(&a);
    }
    st_arena_release(&keys);
}

/* --- verifying --- */

struct signed_text {
    const char *text;
    size_t text_len;
    const unsigned char *sig;
    size_t sig_len;
};

/* r || s of JOSE as the DER that OpenSSL takes. */
static void to_der(struct st_arena *a, struct signed_text *t)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    unsigned char *der = NULL;
    if (!sig ||
        !ECDSA_SIG_set0(sig, BN_bin2bn(t->sig, JOSE_P256, NULL), BN_bin2bn(t->sig + JOSE_P256, JOSE_P256, NULL)))
        die("ECDSA", "no memory");
    int len = i2d_ECDSA_SIG(sig, &der);
    t->sig_len = (size_t)len;
    t->sig = memcpy(st_alloc(a, t->sig_len), der, t->sig_len);
    OPENSSL_free(der);
    ECDSA_SIG_free(sig);
}

static size_t read_tokens(struct st_arena *a, bool ecdsa, struct signed_text **ret)
{
    struct signed_text *all = NULL;
    size_t n = 0, cap = 0;
    char line[LINE_MAX_LEN];
    while (fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = '\0';
        const char *dot = strrchr(line, '.');
        if (!dot)
            die(line, "not a token");
        if (n == cap && !(all = reallocarray(all, cap = cap ? 2 * cap : 1024, sizeof(*all))))
            die("tokens", "no memory");
        struct signed_text *t = &all[n++];
        t->text_len = (size_t)(dot - line);
        t->text = st_strndup(a, line, t->text_len);
        t->sig = st_b64url_decode(a, dot + 1, strlen(dot + 1), &t->sig_len);
        if (ecdsa)
            to_der(a, t);
    }
    *ret = all;
    return n;
}

/* What this process has used. */
static int64_t cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * ST_SECOND + t.tv_nsec / 1000;
}

static void verify(const char *name, int64_t ms)
{
    struct st_arena a = {0};
    FILE *in = fopen(name, "r");
    EVP_PKEY *key = in ? PEM_read_PUBKEY(in, NULL, NULL, NULL) : NULL;
    if (!key)
        die(name, "not a public key");
    fclose(in);
    struct signed_text *tokens;
    size_t n = read_tokens(&a, EVP_PKEY_is_a(key, "EC"), &tokens);
    EVP_MD_CTX *ready = EVP_MD_CTX_new(), *ctx = EVP_MD_CTX_new();
    const EVP_MD *hash = EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256();
    if (!n || EVP_DigestVerifyInit(ready, NULL, hash, NULL, key) != 1)
        die(name, "nothing to verify");
    int64_t done = 0, from = cpu_us(), now = from;
    for (; now < from + ms * 1000; now = cpu_us()) {
        const struct signed_text *t = &tokens[(size_t)done++ % n];
        if (EVP_MD_CTX_copy_ex(ctx, ready) != 1 ||
            EVP_DigestVerify(ctx, t->sig, t->sig_len, (const unsigned char *)t->text, t->text_len) != 1)
            die(name, "a signature is not right");
    }
    printf("%.3f\n", (double)(now - from) / (double)done);
}

int main(int argc, char **argv)
{
    if (argc >= 4 && st_streq(argv[1], "sign"))
        sign(argv[2], number(argv[3]), argc > 4 ? number(argv[4]) : 0);
    else if (argc == 4 && st_streq(argv[1], "verify"))
        verify(argv[2], number(argv[3]));
    else
        die("usage", "tokens sign KEYFILE COUNT [FIRST] | tokens verify PEMFILE MILLISECONDS <FILE");
    return 0;
}
