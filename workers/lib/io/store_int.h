#ifndef ST_IO_STORE_INT_H
#define ST_IO_STORE_INT_H
/* A kind of store. Not for others than store*.c. Keys and prefixes have been looked at. */
#include "io/crypto.h"
#include "io/store.h"

struct st_store_ops {
    const char *kind;
    int (*check)(const struct st_store *s, const char **ret_why);
    /* sha256: of the file, 64 hex digits. */
    int (*put)(const struct st_store *s, struct st_arena *a, const char *key, const char *path, const char *sha256,
               const char **ret_why);
    /* The file is there when it gives 0. ret_sha256: what is kept beside it, "" when nothing is. */
    int (*get)(const struct st_store *s, struct st_arena *a, const char *key, const char *path,
               char ret_sha256[2 * ST_SHA256_LEN + 1], const char **ret_why);
    int (*remove)(const struct st_store *s, struct st_arena *a, const char *key, const char **ret_why);
    int (*list)(const struct st_store *s, struct st_arena *a, const char *prefix, st_store_seen *fn, void *ctx,
                const char **ret_why);
    const char *(*link)(const struct st_store *s, struct st_arena *a, const char *key, const char *content_type,
                        int ttl_s); /* NULL: none */
};
extern const struct st_store_ops st_store_local, st_store_s3;

/* The query that signs a GET of `path` at `host` from now (us since 1970) on, by SigV4; `more` goes with it, encoded
 * and in order. For st_store_s3 and its test. */
char *st_s3_presign(struct st_arena *a, const struct st_store *s, const char *host, const char *path, const char *more,
                    int64_t now, int ttl_s);

#endif
