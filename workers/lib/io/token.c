/* Access tokens, written and verified by OpenSSL on parsed keys (libjwt verifies too little); the edge's signature. */
#include "io/token.h"

enum { HEADER_DEPTH = 4, CLAIMS_DEPTH = 16 };

static int refuse(const char *why, const char **ret_why)
{
    *ret_why = why;
    return ST_E_UNAUTHENTICATED;
}

/* One base64url part as a JSON object. */
static json_t *part(struct st_arena *a, const char *s, size_t len, int depth)
{
    size_t n;
    unsigned char *text = st_b64url_decode(a, s, len, &n);
    json_t *j;
    const char *why;
    if (!text || st_json_parse(a, (char *)text, n, depth, &j, &why) < 0 || !json_is_object(j))
        return NULL;
    return j;
}

/* The one key that has the token's kid (any, when it has none) and its alg. */
static const struct st_key *key_for(const struct st_token_rule *rule, const json_t *header, const char **ret_why)
{
    const json_t *kid = rule->any_kid ? NULL : json_object_get(header, "kid");
    const char *alg = json_string_value(json_object_get(header, "alg"));
    const struct st_key *found = NULL;
    bool named = false, several = false;
    for (int i = 0; i < rule->n_keys; i++) {
        const struct st_key *k = rule->keys[i];
        if (kid && *st_key_id(k) && !st_streq(json_string_value(kid), st_key_id(k)))
            continue;
        named = true;
        if (!st_streq(alg, st_alg_names[st_key_alg(k)]))
            continue;
        several = found != NULL;
        found = k;
    }
    *ret_why = !named   ? ST_TOKEN_UNKNOWN_KEY
               : !found ? "the algorithm is not the key's"
                        : "several keys fit: the token needs a kid";
    return several ? NULL : found;
}

static bool is_type(const struct st_token_rule *rule, const json_t *typ)
{
    static const char prefix[] = "application/";
    const char *wanted = rule->type ? rule->type : "at+jwt", *s = json_string_value(typ);
    if (st_streq(wanted, "*"))
        return true;
    if (s && strncasecmp(s, prefix, sizeof(prefix) - 1) == 0)
        s += sizeof(prefix) - 1;
    return s && strcasecmp(s, wanted) == 0;
}

static int check_header(const struct st_token_rule *rule, const json_t *header, const struct st_key **ret_key,
                        const char **ret_why)
{
    const json_t *b64 = json_object_get(header, "b64");
    if (!(*ret_key = key_for(rule, header, ret_why)))
        return ST_E_UNAUTHENTICATED;
    if (json_object_get(header, "crit"))
        return refuse("critical header extensions are not supported", ret_why);
    if (b64 && !json_is_true(b64))
        return refuse("a payload that is not encoded is not supported", ret_why);
    if (!rule->signature_only && !is_type(rule, json_object_get(header, "typ")))
        return refuse("not an access token", ret_why);
    return 0;
}

static bool audience_has(const json_t *aud, const char *wanted)
{
    size_t i;
    json_t *one;
    if (json_is_string(aud))
        return st_streq(json_string_value(aud), wanted);
    json_array_foreach (aud, i, one)
        if (st_streq(json_string_value(one), wanted))
            return true;
    return false;
}

/* A numeric date that is absent is 0; one that is not a sane number is refused. */
static bool date_claim(const json_t *claims, const char *name, int64_t *ret)
{
    const json_t *j = json_object_get(claims, name);
    *ret = 0;
    if (!j)
        return true;
    if (!json_is_number(j))
        return false;
    double v = json_number_value(j);
    if (!(v >= 0 && v < 1e11))
        return false;
    *ret = (int64_t)v;
    return true;
}

static int check_claims(const struct st_token_rule *rule, const json_t *claims, int64_t now, int64_t *ret_expires,
                        const char **ret_why)
{
    int64_t exp, nbf, iat;
    if (!date_claim(claims, "exp", &exp) || !date_claim(claims, "nbf", &nbf) || !date_claim(claims, "iat", &iat) ||
        !exp)
        return refuse("exp, nbf or iat is not a date", ret_why);
    if (exp + rule->leeway_s <= now)
        return refuse(ST_TOKEN_EXPIRED, ret_why);
    if (nbf > now + rule->leeway_s)
        return refuse("the token is not valid yet", ret_why);
    if (rule->issuer && !st_streq(json_string_value(json_object_get(claims, "iss")), rule->issuer))
        return refuse("unknown issuer", ret_why);
    if (rule->audience && !audience_has(json_object_get(claims, "aud"), rule->audience))
        return refuse("the token is for somebody else", ret_why);
    *ret_expires = exp;
    return 0;
}

/* The array of strings as "a,b"; entries that could not be told apart again are left out. */
static const char *join(struct st_arena *a, const json_t *list)
{
    struct st_buf b = ST_BUF(4096);
    size_t i;
    json_t *one;
    json_array_foreach (list, i, one) {
        const char *s = json_string_value(one);
        if (!s || !*s || strpbrk(s, ", \r\n"))
            continue;
        st_buf_printf(&b, "%s%s", b.len ? "," : "", s);
    }
    char *out = st_strndup(a, b.len ? b.data : "", b.len);
    st_buf_release(&b);
    return out;
}

static const json_t *claim_at(const json_t *claims, const char *path)
{
    return *path == '/' ? st_json_at(claims, path) : json_object_get(claims, path);
}

const char *st_token_claim(struct st_arena *a, const json_t *claims, const char *path)
{
    const json_t *j = claim_at(claims, path);
    if (json_is_string(j))
        return json_string_value(j);
    if (json_is_array(j))
        return join(a, j);
    return json_is_number(j) || json_is_boolean(j) ? st_json_text(a, j) : "";
}

/* A text that is not a string is none: who somebody is, is not guessed. */
static const char *text_at(const json_t *claims, const char *path, const char *usual)
{
    const char *s = json_string_value(claim_at(claims, path ? path : usual));
    return s ? s : "";
}

static struct st_token_claims read_claims(const struct st_token_rule *rule, const json_t *claims, struct st_arena *a)
{
    return (struct st_token_claims){
        .user = text_at(claims, rule->user, "sub"),
        .session = text_at(claims, rule->session, "sid"),
        .token_id = text_at(claims, "jti", NULL),
        .roles = join(a, claim_at(claims, rule->roles ? rule->roles : "roles")),
        .tier = text_at(claims, rule->tier, "tier"),
        .all = claims,
    };
}

/* The three parts of a compact token. */
struct parts {
    const char *header, *claims, *signature;
    size_t header_len, claims_len, signature_len;
};

static bool split(const char *token, size_t len, struct parts *ret)
{
    const char *end = token + len, *dot1 = memchr(token, '.', len);
    const char *dot2 = dot1 ? memchr(dot1 + 1, '.', (size_t)(end - dot1 - 1)) : NULL;
    if (!dot2 || memchr(dot2 + 1, '.', (size_t)(end - dot2 - 1)))
        return false;
    *ret = (struct parts){.header = token,
                          .claims = dot1 + 1,
                          .signature = dot2 + 1,
                          .header_len = (size_t)(dot1 - token),
                          .claims_len = (size_t)(dot2 - dot1 - 1),
                          .signature_len = (size_t)(end - dot2 - 1)};
    return true;
}

/* Whatever can be refused without cryptography is, before it. */
int st_token_verify(const struct st_token_rule *rule, const char *token, size_t len, int64_t now_s, struct st_arena *a,
                    struct st_token_claims *ret, const char **ret_why)
{
    struct parts p;
    const struct st_key *key;
    size_t sig_len, unused;
    int64_t expires = 0;
    if (len > ST_TOKEN_MAX)
        return refuse("the token is too long", ret_why);
    json_t *header = split(token, len, &p) ? part(a, p.header, p.header_len, HEADER_DEPTH) : NULL;
    if (!header)
        return refuse("not a token", ret_why);
    int r = check_header(rule, header, &key, ret_why);
    if (r < 0)
        return r;
    json_t *claims = part(a, p.claims, p.claims_len, CLAIMS_DEPTH);
    if (!claims && (!rule->signature_only || !st_b64url_decode(a, p.claims, p.claims_len, &unused)))
        return refuse("the claims are not JSON", ret_why);
    const unsigned char *sig = st_b64url_decode(a, p.signature, p.signature_len, &sig_len);
    if (!sig || !st_key_verify(key, token, (size_t)(p.signature - 1 - token), sig, sig_len))
        return refuse("the signature is not right", ret_why);
    if (!rule->signature_only && (r = check_claims(rule, claims, now_s, &expires, ret_why)) < 0)
        return r;
    struct st_token_claims seen = read_claims(rule, claims, a);
    if (!rule->signature_only && (!*seen.user || !*seen.session))
        return refuse("sub or sid is missing", ret_why);
    seen.expires = expires;
    *ret = seen;
    return 0;
}

int st_token_issue(const struct st_key *key, const json_t *claims, struct st_arena *a, const char **ret)
{
    const char *header = st_printf(a, "{\"alg\":\"%s\",\"typ\":\"at+jwt\",\"kid\":\"%s\"}",
                                   st_alg_names[st_key_alg(key)], st_key_id(key));
    const char *body = st_json_text(a, claims);
    const char *text = st_printf(a, "%s.%s", st_b64url(a, header, strlen(header)), st_b64url(a, body, strlen(body)));
    const unsigned char *sig;
    size_t len;
    int r = st_key_sign(key, a, text, strlen(text), &sig, &len);
    if (r == 0)
        *ret = st_printf(a, "%s.%s", text, st_b64url(a, sig, len));
    return r;
}

void st_edge_sign(const void *key, size_t key_len, const struct st_edge_identity *id, char out[ST_EDGE_SIGNATURE_LEN])
{
    const char *const values[] = {id->method, id->uri,  id->operation,      id->user,    id->session,
                                  id->roles,  id->tier, id->correlation_id, id->address, id->time};
    size_t lens[ST_COUNT(values)], total = 0;
    for (size_t i = 0; i < ST_COUNT(values); i++)
        total += (lens[i] = strlen(values[i])) + 1;
    char few[2048], *text = total <= sizeof(few) ? few : malloc(total), *p = text;
    if (!text)
        abort();
    for (size_t i = 0; i < ST_COUNT(values); i++) {
        p = mempcpy(p, values[i], lens[i]);
        *p++ = '\n';
    }
    unsigned char mac[ST_SHA256_LEN];
    st_hmac_sha256(key, key_len, text, total, mac);
    if (text != few)
        free(text);
    *st_hex_put(out, mac, sizeof(mac)) = '\0';
}
