#ifndef ST_IO_STORE_H
#define ST_IO_STORE_H
/*
 * The object store: keys ("video/<id>/video.mp4") and their bytes, in local files or in S3. Blocks; thread-safe.
 *
 * An object is there whole or not at all, whoever is killed when: its bytes are on the disk before its name is. Their
 * SHA-256 is kept beside them, and compared whenever they are read here. A key gets its bytes once; only a job that
 * runs again puts it again, and who reads meanwhile may be told that it is damaged.
 *
 * Not for services, which have svc/service.h.
 */
#include "base/base.h"

struct st_store {
    const char *kind; /* "local", "s3" */
    const char *dir;  /* of the local store */
    /* Of S3, and servers that speak its protocol: the bucket's address in either style, such as
     * https://s3.eu-west-1.amazonaws.com/bucket or https://bucket.s3.eu-west-1.amazonaws.com */
    const char *url, *region, *key_id, *secret;
    const char *ca_file; /* PEM to trust; NULL: the system's */
    int stall_s;         /* a transfer that stands still for so long is begun again; 0: 30 */
    int pause_ms;        /* before what failed is tried again, then twice as long each time; 0: 400 */
};

/* Does it have all that its kind needs? ST_E_INVALID and *ret_why. */
ST_MUSTCHECK int st_store_check(const struct st_store *s, const char **ret_why);

/*
 * Keys are segments of A-Z a-z 0-9 . _ - that do not begin with a dot, with slashes between them; a prefix ends with a
 * slash. A key that is not so is ST_E_INVALID everywhere.
 */
enum { ST_STORE_KEY_MAX = 400 };
bool st_store_is_key(const char *key);
bool st_store_is_prefix(const char *key);

/*
 * All give ST_E_UNAVAILABLE when the store cannot be used now, and then *ret_why (arena) says why, for the log. What S3
 * cannot do now (SlowDown, a broken connection, a transfer that stands still) has been tried 5 times in 6 seconds then.
 */

/* The file at path becomes the object, and may be gone from there. */
ST_MUSTCHECK int st_store_put(const struct st_store *s, struct st_arena *a, const char *key, const char *path,
                              const char **ret_why);

/*
 * The object as a new file at path, to be read only: it may be the store's own. ST_E_NOT_FOUND: there is none.
 * ST_E_CONFLICT: it is damaged.
 */
ST_MUSTCHECK int st_store_get(const struct st_store *s, struct st_arena *a, const char *key, const char *path,
                              const char **ret_why);

/* 0 also when there was none. Who is reading it reads on. */
ST_MUSTCHECK int st_store_remove(const struct st_store *s, struct st_arena *a, const char *key, const char **ret_why);

/*
 * Objects below a prefix, in no order, and keys of which a part was left when somebody was killed: with no object, but
 * to be removed. fn may remove what it is shown. What it gives below 0 ends it.
 */
struct st_store_entry {
    const char *key;       /* until fn returns */
    int64_t bytes, put_at; /* us since 1970 */
};
typedef int st_store_seen(void *ctx, const struct st_store_entry *entry);
ST_MUSTCHECK int st_store_list(const struct st_store *s, struct st_arena *a, const char *prefix, st_store_seen *fn,
                               void *ctx, const char **ret_why);

/*
 * An address that anyone may GET the object from for ttl_s seconds (of S3: at most a week), with Range; what comes is
 * said to be of the content type. NULL: this kind of store has none.
 */
const char *st_store_link(const struct st_store *s, struct st_arena *a, const char *key, const char *content_type,
                          int ttl_s);

#endif
