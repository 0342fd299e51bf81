/* storyctl token verify: what the edge would say of a token. */
#include "storyctl/storyctl.h"

#include "io/token.h"

#include <errno.h>

enum { REFUSED = 1, UNUSABLE = 2 };

static int verdict(struct ctl *c, const char *why, const struct st_token_claims *claims)
{
    json_t *all = NULL; /* the arena's; NULL: they are not JSON */
    const char *unused;
    if (c->json && !why && claims->all &&
        st_json_parse(c->arena, claims->text, strlen(claims->text), ST_JSON_DEPTH, &all, &unused) < 0)
        all = NULL;
    if (c->json)
        ctl_print_json(c, why ? json_pack("{s:b, s:s}", "accepted", 0, "reason", why)
                              : json_pack("{s:b, s:O*}", "accepted", 1, "claims", all));
    else if (why)
        printf("refused: %s\n", why);
    else if (*claims->user)
        printf("accepted: user %s, session %s, roles %s\n", claims->user, claims->session, claims->roles);
    else
        printf("accepted\n");
    return why ? REFUSED : 0;
}

/* The whole file ("-" for standard input) without the line's end; NULL when it cannot be read. */
static const char *read_token(struct ctl *c, const char *path, size_t *ret_len)
{
    const size_t max = ST_TOKEN_MAX + 3; /* one byte more than a token and its CRLF: then it is too long */
    char *text = st_alloc(c->arena, max);
    FILE *f = st_streq(path, "-") ? stdin : fopen(path, "re");
    size_t len = f ? fread(text, 1, max, f) : 0;
    bool ok = f && !ferror(f);
    int error = errno;
    if (f && f != stdin)
        fclose(f);
    if (!ok) {
        ctl_error("%s: %s", path, strerror(error));
        return NULL;
    }
    if (len && len < max && text[len - 1] == '\n')
        len -= len > 1 && text[len - 2] == '\r' ? 2 : 1;
    *ret_len = len;
    return text;
}

static int load_keys(struct ctl *c, const char *jwks, const char *pem, const char *secret, int alg, struct st_keys *ret)
{
    const char *why = NULL;
    int r = secret ? st_keys_load_secret(c->arena, secret, alg, ret, &why)
                   : st_keys_load(c->arena, jwks ? jwks : pem, alg, ret, &why);
    if (r == 0 && !secret && ret->named != (jwks != NULL)) {
        why = st_printf(c->arena, "%s: not a %s", jwks ? jwks : pem, jwks ? "JWK or JWKS" : "PEM key");
        r = ST_E_INVALID;
    }
    if (r < 0)
        ctl_error("%s", why);
    return r;
}

int ctl_token(struct ctl *c)
{
    const char *jwks = ctl_option(c, "--jwks"), *pem = ctl_option(c, "--pem"), *secret = ctl_option(c, "--secret");
    const char *name = ctl_option(c, "--alg"), *iss = ctl_option(c, "--iss"), *aud = ctl_option(c, "--aud");
    const char *typ = ctl_option(c, "--typ"), *why = NULL;
    bool signature_only = ctl_flag(c, "--signature-only");
    int alg = name ? st_alg_find(name) : -1;
    struct st_keys keys;
    struct st_token_claims claims = {.user = ""};
    size_t len = 0;
    if (c->argc != 2 || !st_streq(c->argv[0], "verify") || !jwks + !pem + !secret != 2)
        return ctl_usage("expected: token verify --jwks KEYS|--pem KEY|--secret SECRET FILE");
    if (name && alg < 0)
        return verdict(c, st_printf(c->arena, "the algorithm %s is not supported", name), &claims);
    if (load_keys(c, jwks, pem, secret, alg, &keys) < 0)
        return UNUSABLE;
    const char *token = read_token(c, c->argv[1], &len);
    if (!token)
        return UNUSABLE;
    const struct st_token_rule rule = {.keys = keys.list,
                                       .n_keys = keys.n,
                                       .any_kid = !keys.named,
                                       .type = typ,
                                       .issuer = iss,
                                       .audience = aud,
                                       .signature_only = signature_only};
    if (st_token_verify(&rule, token, len, st_now() / ST_SECOND, c->arena, &claims, &why) == 0)
        why = NULL;
    else if (*keys.left_out)
        why = st_printf(c->arena, "%s (%s)", why, keys.left_out);
    return verdict(c, why, &claims);
}
