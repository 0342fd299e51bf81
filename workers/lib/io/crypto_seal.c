/* Sealing by AES-256-GCM. */
#include "io/crypto_impl.h"

#include <openssl/err.h>

enum { NONCE = 12, TAG = 16 };

/* A context for one message; aborts only where OpenSSL itself has nothing left to give. */
static EVP_CIPHER_CTX *begin(const unsigned char key[ST_SEAL_KEY], const unsigned char *nonce, bool seal,
                             const char *aad)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n;
    if (!ctx || !EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce, seal) ||
        !EVP_CipherUpdate(ctx, NULL, &n, (const unsigned char *)aad, (int)strlen(aad)))
        abort();
    return ctx;
}

char *st_seal(struct st_arena *a, const unsigned char key[ST_SEAL_KEY], const char *aad, const void *text, size_t len)
{
    unsigned char *out = st_alloc(a, NONCE + len + TAG);
    int n, end;
    if (len > ST_SEAL_MAX)
        abort();
    st_random(out, NONCE);
    EVP_CIPHER_CTX *ctx = begin(key, out, true, aad);
    if (!EVP_CipherUpdate(ctx, out + NONCE, &n, text, (int)len) || !EVP_CipherFinal_ex(ctx, out + NONCE + n, &end) ||
        !EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG, out + NONCE + len))
        abort();
    EVP_CIPHER_CTX_free(ctx);
    return st_b64url(a, out, NONCE + len + TAG);
}

char *st_unseal(struct st_arena *a, const unsigned char key[ST_SEAL_KEY], const char *aad, const char *sealed,
                size_t sealed_len, size_t *ret_len)
{
    size_t len;
    int n, end;
    unsigned char *in = st_b64url_decode(a, sealed, sealed_len, &len);
    if (!in || len < NONCE + TAG || len > ST_SEAL_MAX)
        return NULL;
    len -= NONCE + TAG;
    unsigned char *out = st_alloc(a, len + 1);
    EVP_CIPHER_CTX *ctx = begin(key, in, false, aad);
    bool ok = EVP_CipherUpdate(ctx, out, &n, in + NONCE, (int)len) &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG, in + NONCE + len) &&
              EVP_CipherFinal_ex(ctx, out + n, &end);
    EVP_CIPHER_CTX_free(ctx);
    if (!ok) {
        ERR_clear_error();
        memset(out, 0, len); /* what could not be proved is not handed on */
        return NULL;
    }
    *ret_len = len;
    return (char *)out;
}
