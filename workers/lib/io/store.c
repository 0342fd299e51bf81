/* The object store, whatever its kind: keys, checksums. */
#include "io/store.h"

#include <errno.h>
#include <unistd.h>

#include "io/store_int.h"

static const struct st_store_ops *const kinds[] = {&st_store_local, &st_store_s3};

static const struct st_store_ops *ops_of(const struct st_store *s)
{
    for (size_t i = 0; i < ST_COUNT(kinds); i++)
        if (st_streq(kinds[i]->kind, s->kind))
            return kinds[i];
    return NULL;
}

int st_store_check(const struct st_store *s, const char **ret_why)
{
    const struct st_store_ops *ops = ops_of(s);
    *ret_why = "there is no such kind of store";
    return ops ? ops->check(s, ret_why) : ST_E_INVALID;
}

/* How many bytes of whole, allowed segments it begins with, with the slashes behind them; -1: there is a bad one. */
static int segments(const char *key)
{
    size_t len = 0;
    bool begins = true;
    for (; key[len]; len++) {
        char c = key[len];
        if (len == ST_STORE_KEY_MAX || (begins && (c == '/' || c == '.')))
            return -1;
        if (!st_is_alnum(c) && c != '.' && c != '_' && c != '-' && c != '/')
            return -1;
        begins = c == '/';
    }
    return (int)len;
}

bool st_store_is_key(const char *key)
{
    int len = segments(key);
    return len > 0 && key[len - 1] != '/';
}

bool st_store_is_prefix(const char *key)
{
    int len = segments(key);
    return len > 0 && key[len - 1] == '/';
}

int st_store_put(const struct st_store *s, struct st_arena *a, const char *key, const char *path, const char **ret_why)
{
    char sha256[2 * ST_SHA256_LEN + 1];
    if (!st_store_is_key(key)) {
        *ret_why = "that is not a key";
        return ST_E_INVALID;
    }
    if (st_sha256_file(path, sha256) < 0) {
        *ret_why = st_printf(a, "cannot read %s: %s", path, strerror(errno));
        return ST_E_UNAVAILABLE;
    }
    return ops_of(s)->put(s, a, key, path, sha256, ret_why);
}

int st_store_get(const struct st_store *s, struct st_arena *a, const char *key, const char *path, const char **ret_why)
{
    char kept[2 * ST_SHA256_LEN + 1] = "", found[2 * ST_SHA256_LEN + 1];
    *ret_why = "there is no such object";
    if (!st_store_is_key(key))
        return ST_E_INVALID;
    int r = ops_of(s)->get(s, a, key, path, kept, ret_why);
    if (r == 0 && *kept && (st_sha256_file(path, found) < 0 || !st_streq(kept, found))) {
        *ret_why = "it is damaged";
        r = ST_E_CONFLICT;
    }
    if (r < 0)
        (void)unlink(path);
    return r;
}

int st_store_remove(const struct st_store *s, struct st_arena *a, const char *key, const char **ret_why)
{
    *ret_why = "that is not a key";
    return st_store_is_key(key) ? ops_of(s)->remove(s, a, key, ret_why) : ST_E_INVALID;
}

int st_store_list(const struct st_store *s, struct st_arena *a, const char *prefix, st_store_seen *fn, void *ctx,
                  const char **ret_why)
{
    *ret_why = "that is not a prefix";
    return st_store_is_prefix(prefix) ? ops_of(s)->list(s, a, prefix, fn, ctx, ret_why) : ST_E_INVALID;
}

const char *st_store_link(const struct st_store *s, struct st_arena *a, const char *key, const char *content_type,
                          int ttl_s)
{
    const struct st_store_ops *ops = ops_of(s);
    return ops->link && st_store_is_key(key) ? ops->link(s, a, key, content_type, ttl_s) : NULL;
}
