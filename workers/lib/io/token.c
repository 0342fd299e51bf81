/* Access tokens, written and verified by OpenSSL on parsed keys (libjwt verifies too little); the edge's signature. */
#include "io/token.h"

enum { HEADER_DEPTH = 4, CLAIMS_DEPTH = 16 };

static int refuse(const char *why, const char **ret_why)
{
    *ret_why = why;
    return ST_E_UNAUTHENTICATED;
}

/* One base64url part as a JSON object. */
static const struct st_value *part(struct st_arena *a, const char *s, size_t len, int depth, const char **ret_text)
{
    size_t n;
    unsigned char *text = st_b64url_decode(a, s, len, &n);
    const struct st_value *v;
    const char *why;
    *ret_text = (const char *)text;
    if (!text || st_value_parse(a, *ret_text, n, depth, false, &v, &why) < 0 || v->type != JSON_OBJECT)
        return NULL;
    return v;
}

/* The one key that has the token's kid (any, when it has none) and its alg. */
static const struct st_key *key_for(const struct st_token_rule *rule, const struct st_value *header,
                                    const char **ret_why)
{
    const struct st_value *kid = rule->any_kid ? NULL : st_value_get(header, "kid");
    const char *alg = st_value_string(st_value_get(header, "alg"));
    const struct st_key *found = NULL;
    bool named = false, several = false;
    for (int i = 0; i < rule->n_keys; i++) {
        const struct st_key *k = rule->keys[i];
        if (kid && *st_key_id(k) && !st_streq(st_value_string(kid), st_key_id(k)))
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

static bool is_type(const struct st_token_rule *rule, const struct st_value *typ)
{
    static const char prefix[] = "application/";
    const char *wanted = rule->type ? rule->type : "at+jwt", *s = st_value_string(typ);
    if (st_streq(wanted, "*"))
        return true;
    if (s && strncasecmp(s, prefix, sizeof(prefix) - 1) == 0)
        s += sizeof(prefix) - 1;
    return s && strcasecmp(s, wanted) == 0;
}

static int check_header(const struct st_token_rule *rule, const struct st_value *header, const struct st_key **ret_key,
                        const char **ret_why)
{
    const struct st_value *b64 = st_value_get(header, "b64");
    if (!(*ret_key = key_for(rule, header, ret_why)))
        return ST_E_UNAUTHENTICATED;
    if (st_value_get(header, "crit"))
        return refuse("critical header extensions are not supported", ret_why);
    if (b64 && b64->type != JSON_TRUE)
        return refuse("a payload that is not encoded is not supported", ret_why);
    if (!rule->signature_only && !is_type(rule, st_value_get(header, "typ")))
        return refuse("not an access token: its typ is another", ret_why);
    return 0;
}

static bool audience_has(const struct st_value *aud, const char *wanted)
{
    if (aud && aud->type == JSON_ARRAY) {
        for (const struct st_value *one = aud->first; one; one = one->next)
            if (st_streq(st_value_string(one), wanted))
                return true;
        return false;
    }
    return st_streq(st_value_string(aud), wanted);
}

/* A numeric date that is absent is 0; one that is not a sane number is refused. */
static bool date_claim(const struct st_value *claims, const char *name, int64_t *ret)
{
    const struct st_value *v = st_value_get(claims, name);
    *ret = 0;
    if (!v)
        return true;
    if (v->type != JSON_INTEGER && v->type != JSON_REAL)
        return false;
    double date = v->type == JSON_INTEGER ? (double)v->integer : strtod(v->text, NULL);
    if (!(date >= 0 && date < 1e11))
        return false;
    *ret = (int64_t)date;
    return true;
}

static int check_claims(const struct st_token_rule *rule, const struct st_value *claims, int64_t now,
                        int64_t *ret_expires, const char **ret_why)
{
    int64_t exp, nbf, iat;
    if (!date_claim(claims, "exp", &exp) || !date_claim(claims, "nbf", &nbf) || !date_claim(claims, "iat", &iat) ||
        !exp)
        return refuse("exp, nbf or iat is not a date", ret_why);
    if (exp + rule->leeway_s <= now)
        return refuse(ST_TOKEN_EXPIRED, ret_why);
    if (nbf > now + rule->leeway_s)
        return refuse("the token is not valid yet", ret_why);
    if (rule->issuer && !st_streq(st_value_string(st_value_get(claims, "iss")), rule->issuer))
        return refuse("unknown issuer", ret_why);
    if (rule->audience && !audience_has(st_value_get(claims, "aud"), rule->audience))
        return refuse("the token is for somebody else", ret_why);
    *ret_expires = exp;
    return 0;
}

/* Strings that could not be told apart again in a list are no part of one. */
static bool joins(const struct st_value *one)
{
    return one->type == JSON_STRING && one->len && !strpbrk(one->text, ", \r\n");
}

/* The array of strings as "a,b". */
static const char *join(struct st_arena *a, const struct st_value *list)
{
    size_t room = 1;
    if (!list || list->type != JSON_ARRAY)
        return "";
    for (const struct st_value *one = list->first; one; one = one->next)
        room += joins(one) ? one->len + 1 : 0;
    char *out = st_alloc(a, room), *p = out;
    for (const struct st_value *one = list->first; one; one = one->next) {
        if (!joins(one))
            continue;
        if (p > out)
            *p++ = ',';
        p = mempcpy(p, one->text, one->len);
    }
    return out;
}

static const struct st_value *claim_at(const struct st_value *claims, const char *path)
{
    return *path == '/' ? st_value_at(claims, path) : st_value_get(claims, path);
}

const char *st_token_claim(struct st_arena *a, const struct st_value *claims, const char *path)
{
    const struct st_value *v = claim_at(claims, path);
    switch (v ? v->type : JSON_NULL) {
    case JSON_STRING: return v->text;
    case JSON_REAL: return st_strndup(a, v->text, v->len);
    case JSON_INTEGER: return st_printf(a, "%lld", (long long)v->integer);
    case JSON_TRUE: return "true";
    case JSON_FALSE: return "false";
    case JSON_ARRAY: return join(a, v);
    default: return "";
    }
}

/* A text that is not a string is none: who somebody is, is not guessed. */
static const char *text_at(const struct st_value *claims, const char *path, const char *usual)
{
    const char *s = st_value_string(claim_at(claims, path ? path : usual));
    return s ? s : "";
}

static struct st_token_claims read_claims(const struct st_token_rule *rule, const struct st_value *claims,
                                          const char *text, struct st_arena *a)
{
    return (struct st_token_claims){
        .user = text_at(claims, rule->user, "sub"),
        .session = text_at(claims, rule->session, "sid"),
        .token_id = text_at(claims, "jti", NULL),
        .roles = join(a, claim_at(claims, rule->roles ? rule->roles : "roles")),
        .tier = text_at(claims, rule->tier, "tier"),
        .all = claims,
        .text = text,
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
    const char *text;
    size_t sig_len;
    int64_t expires = 0;
    if (len > ST_TOKEN_MAX)
        return refuse("the token is too long", ret_why);
    const struct st_value *header = split(token, len, &p) ? part(a, p.header, p.header_len, HEADER_DEPTH, &text) : NULL;
    if (!header)
        return refuse("not a token", ret_why);
    int r = check_header(rule, header, &key, ret_why);
    if (r < 0)
        return r;
    const struct st_value *claims = part(a, p.claims, p.claims_len, CLAIMS_DEPTH, &text);
    if (!claims && (!rule->signature_only || !text))
        return refuse("the claims are not JSON", ret_why);
    const unsigned char *sig = st_b64url_decode(a, p.signature, p.signature_len, &sig_len);
    if (!sig || !st_key_verify(key, token, (size_t)(p.signature - 1 - token), sig, sig_len))
        return refuse("the signature is not right", ret_why);
    if (!rule->signature_only && (r = check_claims(rule, claims, now_s, &expires, ret_why)) < 0)
        return r;
    struct st_token_claims seen = read_claims(rule, claims, text, a);
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
