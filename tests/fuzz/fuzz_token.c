/* Hostile tokens and key sets: "keys NUL token". A token that is accepted has a key of the set behind it. */
#include "io/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_token(struct st_arena *a, const struct st_keys *keys, bool signature_only, const char *token,
                        size_t len)
{
    const struct st_token_rule rule = {.keys = keys->list,
                                       .n_keys = keys->n,
                                       .any_kid = !keys->named,
                                       .issuer = signature_only ? NULL : "issuer",
                                       .signature_only = signature_only};
    struct st_token_claims claims;
    const char *why = NULL;
    int r = st_token_verify(&rule, token, len, 1800000000, a, &claims, &why);
    if (r < 0 && (r != ST_E_UNAUTHENTICATED || !why || strpbrk(why, "\"\\\r\n")))
        abort();
    if (r == 0 &&
        (!keys->n || (!signature_only && (!*claims.user || !*claims.session || claims.expires <= 1800000000))))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct st_arena a = {0};
    const char *text = (const char *)data, *nul = size ? memchr(text, 0, size) : NULL, *why = NULL;
    size_t keys_len = nul ? (size_t)(nul - text) : size;
    struct st_keys keys = {.left_out = ""};
    if (st_keys_parse(&a, text, keys_len, -1, &keys, &why) < 0) {
        if (!why)
            abort();
        keys = (struct st_keys){.left_out = ""};
    }
    for (int i = 0; i < keys.n; i++)
        if (!st_key_id(keys.list[i]) || (unsigned)st_key_alg(keys.list[i]) >= ST_ALGS)
            abort();
    const char *token = nul ? nul + 1 : text;
    size_t len = nul ? size - keys_len - 1 : size;
    check_token(&a, &keys, true, token, len);
    check_token(&a, &keys, false, token, len);
    st_arena_release(&a);
    return 0;
}
