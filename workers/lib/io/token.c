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

static const struct st_key *key_for(const struct st_token_rule *rule, const json_t *header)
{
    const json_t *kid = json_object_get(header, "kid");
    if (!kid)
        return rule->n_keys == 1 ? rule->keys[0] : NULL;
    for (int i = 0; i < rule->n_keys; i++)
        if (st_streq(json_string_value(kid), st_key_id(rule->keys[i])))
            return rule->keys[i];
    return NULL;
}

static int check_header(const struct st_token_rule *rule, const json_t *header, const struct st_key **ret_key,
                        const char **ret_why)
{
    const struct st_key *key = key_for(rule, header);
    if (!key)
        return refuse("unknown key", ret_why);
    if (!st_streq(json_string_value(json_object_get(header, "alg")), st_alg_names[st_key_alg(key)]))
        return refuse("the algorithm is not the key's", ret_why);
    if (json_object_get(header, "crit"))
        return refuse("critical header extensions are not supported", ret_why);
    const char *typ = json_string_value(json_object_get(header, "typ"));
    if (!rule->signature_only && (!typ || (strcasecmp(typ, "at+jwt") && strcasecmp(typ, "application/at+jwt"))))
        return refuse("not an access token", ret_why);
    *ret_key = key;
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
        return refuse("the token has expired", ret_why);
    if (nbf > now + rule->leeway_s)
        return refuse("the token is not valid yet", ret_why);
    if (rule->issuer && !st_streq(json_string_value(json_object_get(claims, "iss")), rule->issuer))
        return refuse("unknown issuer", ret_why);
    if (rule->audience && !audience_has(json_object_get(claims, "aud"), rule->audience))
        return refuse("the token is for somebody else", ret_why);
    if (!*st_json_str(claims, "sub", "") || !*st_json_str(claims, "sid", ""))
        return refuse("sub or sid is missing", ret_why);
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

int st_token_verify(const struct st_token_rule *rule, const char *token, size_t len, int64_t now_s, struct st_arena *a,
                    struct st_token_claims *ret, const char **ret_why)
{
    if (len > ST_TOKEN_MAX)
        return refuse("the token is too long", ret_why);
    const char *dot1 = memchr(token, '.', len);
    const char *dot2 = dot1 ? memchr(dot1 + 1, '.', len - (size_t)(dot1 + 1 - token)) : NULL;
    if (!dot2 || memchr(dot2 + 1, '.', len - (size_t)(dot2 + 1 - token)))
        return refuse("not a token", ret_why);
    json_t *header = part(a, token, (size_t)(dot1 - token), HEADER_DEPTH);
    if (!header)
        return refuse("not a token", ret_why);
    const struct st_key *key;
    int r = check_header(rule, header, &key, ret_why);
    if (r < 0)
        return r;
    size_t sig_len;
    const unsigned char *sig = st_b64url_decode(a, dot2 + 1, len - (size_t)(dot2 + 1 - token), &sig_len);
    if (!sig || !st_key_verify(key, token, (size_t)(dot2 - token), sig, sig_len))
        return refuse("the signature is not right", ret_why);
    json_t *claims = part(a, dot1 + 1, (size_t)(dot2 - dot1 - 1), CLAIMS_DEPTH);
    if (!claims)
        return refuse("the claims are not JSON", ret_why);
    int64_t expires = 0;
    if (!rule->signature_only && (r = check_claims(rule, claims, now_s, &expires, ret_why)) < 0)
        return r;
    *ret = (struct st_token_claims){
        .user = st_json_str(claims, "sub", ""),
        .session = st_json_str(claims, "sid", ""),
        .token_id = st_json_str(claims, "jti", ""),
        .roles = join(a, json_object_get(claims, "roles")),
        .tier = st_json_str(claims, "tier", ""),
        .expires = expires,
        .all = claims,
    };
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
