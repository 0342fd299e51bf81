/* Access tokens issued by libjwt. Apart from token.c so that the edge, which only verifies, does not link libjwt. */
#include "io/token.h"

#include <jwt.h>

int st_token_issue(const struct st_key *key, const json_t *claims, struct st_arena *a, const char **ret)
{
    static const jwt_alg_t algs[] = {[ST_ES256] = JWT_ALG_ES256, [ST_RS256] = JWT_ALG_RS256};
    enum st_alg alg = st_key_alg(key);
    const char *pem = st_key_pem(key);
    jwt_t *jwt = NULL;
    if (alg == ST_EDDSA || !pem) /* libjwt 1.10 does not know EdDSA */
        return ST_E_INVALID;
    if (jwt_new(&jwt))
        abort();
    char *text = st_json_text(a, claims), *encoded = NULL;
    if (jwt_add_grants_json(jwt, text) == 0 && jwt_add_header(jwt, "kid", st_key_id(key)) == 0 &&
        jwt_add_header(jwt, "typ", "at+jwt") == 0 &&
        jwt_set_alg(jwt, algs[alg], (const unsigned char *)pem, (int)strlen(pem)) == 0)
        encoded = jwt_encode_str(jwt);
    if (encoded) {
        *ret = st_strdup(a, encoded);
        free(encoded);
    }
    jwt_free(jwt);
    return encoded ? 0 : ST_E_INTERNAL;
}
