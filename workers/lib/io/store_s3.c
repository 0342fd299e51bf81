/* Objects in S3. Calls are signed by libcurl, links by us; the SHA-256 is kept among the object's metadata. */
#include "io/store_int.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/http_client.h"

enum {
    TRIES = 5,
    PAUSE_MS = 400,
    PAUSE_MAX_MS = 5000,
    STALL_S = 30,
    CALL_MS = 60 * 1000,
    TRANSFER_MS = 6 * 3600 * 1000, /* it ends before that when nothing comes any more */
    ANSWER_MAX = 4 << 20,
    DATE_LEN = 17, /* 20130524T000000Z */
};
#define OBJECT_MAX   (INT64_C(5) << 30) /* of a PUT */
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static int check(const struct st_store *s, const char **ret_why)
{
    *ret_why = "s3_url must be http(s)://host[:port][/path], without a slash at its end";
    if (!s->url || (!st_starts(s->url, "https://") && !st_starts(s->url, "http://")) || st_ends(s->url, "/") ||
        strpbrk(s->url, "?#@ "))
        return ST_E_INVALID;
    *ret_why = "s3_region, s3_key_id and s3_secret must be given";
    return s->region && *s->region && s->key_id && *s->key_id && s->secret && *s->secret ? 0 : ST_E_INVALID;
}

/* --- calls --- */

/* "404 NoSuchKey" */
static const char *refusal(struct st_arena *a, const struct st_http_answer *answer)
{
    const char *code = strstr(answer->body, "<Code>");
    code = code ? code + strlen("<Code>") : "";
    return st_printf(a, "S3 answers %d %.*s", answer->status, (int)strcspn(code, "<\n"), code);
}

static bool may_pass(int r, const struct st_http_answer *answer)
{
    if (r < 0)
        return r == ST_E_UNAVAILABLE || r == ST_E_BAD_GATEWAY || r == ST_E_TIMEOUT;
    return answer->status >= 500 || answer->status == 429 || answer->status == 408;
}

/* 0 with a status of 2xx, ST_E_NOT_FOUND with 404; whatever the call does may be done twice. */
static int do_call(const struct st_store *s, struct st_arena *a, const struct st_http_call *call,
                   struct st_http_answer *ret, const char **ret_why)
{
    struct st_http_client *client = st_http_client_new(s->ca_file, NULL);
    int r = 0;
    for (int i = 0, pause = s->pause_ms ? s->pause_ms : PAUSE_MS; i < TRIES; i++, pause *= 2) {
        r = st_http_client_do(client, call, a, ret, ret_why);
        if (!may_pass(r, ret) || i == TRIES - 1)
            break;
        int64_t asked = r == 0 ? st_http_answer_wait_ms(ret) : -1;
        st_sleep_ms(asked > pause ? (asked < PAUSE_MAX_MS ? (int)asked : PAUSE_MAX_MS) : pause);
    }
    st_http_client_free(client);
    if (r < 0)
        return r == ST_E_TOO_LARGE ? r : ST_E_UNAVAILABLE;
    if (ret->status / 100 == 2)
        return 0;
    *ret_why = refusal(a, ret);
    return ret->status == 404 && !strstr(ret->body, "NoSuchBucket") ? ST_E_NOT_FOUND : ST_E_UNAVAILABLE;
}

static struct st_http_call call_of(const struct st_store *s, struct st_arena *a, const char *method, const char *url)
{
    static const char *const nothing[] = {"x-amz-content-sha256: " EMPTY_SHA256, NULL};
    return (struct st_http_call){
        .method = method,
        .url = url,
        .headers = nothing,
        .sigv4 = st_printf(a, "aws:amz:%s:s3", s->region),
        .user = s->key_id,
        .password = s->secret,
        .stall_s = s->stall_s ? s->stall_s : STALL_S,
        .timeout_ms = CALL_MS,
        .answer_max = ANSWER_MAX,
    };
}

static const char *url_of(const struct st_store *s, struct st_arena *a, const char *key)
{
    return st_printf(a, "%s/%s", s->url, key); /* no character of a key needs an escape */
}

static int put(const struct st_store *s, struct st_arena *a, const char *key, const char *path, const char *sha256,
               const char **ret_why)
{
    struct st_http_answer answer;
    struct st_http_call call = call_of(s, a, "PUT", url_of(s, a, key));
    struct stat st;
    /* S3 compares what arrives with the first of these before the object is there. */
    const char *headers[] = {st_printf(a, "x-amz-content-sha256: %s", sha256),
                             st_printf(a, "x-amz-meta-sha256: %s", sha256), "Content-Type: application/octet-stream",
                             NULL};
    *ret_why = "it is larger than S3 takes at once";
    if (stat(path, &st) == 0 && st.st_size > OBJECT_MAX)
        return ST_E_TOO_LARGE;
    call.headers = headers;
    call.upload = path;
    call.timeout_ms = TRANSFER_MS;
    int r = do_call(s, a, &call, &answer, ret_why);
    if (r == 0)
        (void)unlink(path);
    return r == ST_E_NOT_FOUND ? ST_E_UNAVAILABLE : r;
}

static int get(const struct st_store *s, struct st_arena *a, const char *key, const char *path,
               char ret_sha256[2 * ST_SHA256_LEN + 1], const char **ret_why)
{
    struct st_http_answer answer;
    struct st_http_call call = call_of(s, a, "GET", url_of(s, a, key));
    call.save_to = path;
    call.timeout_ms = TRANSFER_MS;
    call.answer_max = OBJECT_MAX;
    int r = do_call(s, a, &call, &answer, ret_why);
    const char *kept = r == 0 ? st_http_answer_header(&answer, "x-amz-meta-sha256") : NULL;
    snprintf(ret_sha256, 2 * ST_SHA256_LEN + 1, "%s", kept ? kept : "");
    return r;
}

static int remove_object(const struct st_store *s, struct st_arena *a, const char *key, const char **ret_why)
{
    struct st_http_answer answer;
    struct st_http_call call = call_of(s, a, "DELETE", url_of(s, a, key));
    int r = do_call(s, a, &call, &answer, ret_why);
    return r == ST_E_NOT_FOUND ? 0 : r;
}

/* --- listing --- */

/* The text of the next element of that name between *at and end, without its entities; *at moves behind it. */
static const char *element(struct st_arena *a, const char **at, const char *end, const char *name)
{
    const char *open = st_printf(a, "<%s>", name), *from = strstr(*at, open);
    const char *to = from ? strchr(from + 1, '<') : NULL;
    if (!to || to > end)
        return NULL;
    from += strlen(open);
    *at = to;
    return st_strndup(a, from, (size_t)(to - from));
}

static int show(struct st_arena *a, const char *from, const char *end, st_store_seen *fn, void *ctx)
{
    struct st_store_entry e = {0};
    const char *at = from, *key = element(a, &at, end, "Key");
    at = from;
    const char *modified = element(a, &at, end, "LastModified");
    at = from;
    const char *size = element(a, &at, end, "Size");
    if (!key || !st_store_is_key(key)) /* somebody else's */
        return 0;
    if (!modified || !st_time_parse(modified, &e.put_at) || !size || !st_parse_i64(size, 0, INT64_MAX, &e.bytes))
        return ST_E_UNAVAILABLE;
    e.key = key;
    return fn(ctx, &e);
}

static int list_page(const struct st_store *s, struct st_arena *a, const char *url, st_store_seen *fn, void *ctx,
                     const char **ret_token, const char **ret_why)
{
    struct st_http_answer answer;
    struct st_http_call call = call_of(s, a, "GET", url);
    int r = do_call(s, a, &call, &answer, ret_why);
    if (r < 0)
        return r == ST_E_NOT_FOUND ? ST_E_UNAVAILABLE : r;
    const char *at = answer.body, *whole = answer.body + answer.len;
    *ret_why = "S3's list cannot be read";
    while (r == 0 && (at = strstr(at, "<Contents>"))) {
        const char *end = strstr(at, "</Contents>");
        if (!end)
            return ST_E_UNAVAILABLE;
        r = show(a, at, end, fn, ctx);
        at = end;
    }
    at = answer.body;
    const char *more = element(a, &at, whole, "IsTruncated");
    at = answer.body;
    *ret_token = st_streq(more, "true") ? element(a, &at, whole, "NextContinuationToken") : NULL;
    return r == 0 && st_streq(more, "true") && !*ret_token ? ST_E_UNAVAILABLE : r;
}

static int list(const struct st_store *s, struct st_arena *a, const char *prefix, st_store_seen *fn, void *ctx,
                const char **ret_why)
{
    const char *slash = strchr(strstr(s->url, "://") + 3, '/') ? "" : "/";
    char *token = NULL;
    int r;
    do {
        struct st_arena page = {0};
        const char *next = NULL, *why = "";
        const char *after = token ? st_printf(&page, "continuation-token=%s&", st_url_encode(&page, token)) : "";
        r = list_page(
            s, &page,
            st_printf(&page, "%s%s?%slist-type=2&prefix=%s", s->url, slash, after, st_url_encode(&page, prefix)), fn,
            ctx, &next, &why);
        if (r < 0)
            *ret_why = st_strdup(a, why);
        free(token);
        token = r == 0 && next ? strdup(next) : NULL;
        st_arena_release(&page);
    } while (token);
    return r;
}

/* --- links --- */

static void mac(const void *key, size_t len, const char *text, unsigned char out[ST_SHA256_LEN])
{
    st_hmac_sha256(key, len, text, strlen(text), out);
}

char *st_s3_presign(struct st_arena *a, const struct st_store *s, const char *host, const char *path, const char *more,
                    int64_t now, int ttl_s)
{
    char at[ST_TIME_LEN], date[DATE_LEN];
    unsigned char key[ST_SHA256_LEN];
    st_time_format(now, at); /* 2013-05-24T00:00:00.000Z */
    snprintf(date, sizeof(date), "%.4s%.2s%.2sT%.2s%.2s%.2sZ", at, at + 5, at + 8, at + 11, at + 14, at + 17);
    const char *scope = st_printf(a, "%.8s/%s/s3/aws4_request", date, s->region);
    char *query =
        st_printf(a,
                  "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=%s&X-Amz-Date=%s&X-Amz-Expires=%d"
                  "&X-Amz-SignedHeaders=host%s%s",
                  st_url_encode(a, st_printf(a, "%s/%s", s->key_id, scope)), date, ttl_s, *more ? "&" : "", more);
    const char *request = st_printf(a, "GET\n%s\n%s\nhost:%s\n\nhost\nUNSIGNED-PAYLOAD", path, query, host);
    const char *text =
        st_printf(a, "AWS4-HMAC-SHA256\n%s\n%s\n%s", date, scope, st_sha256_hex(a, request, strlen(request)));
    const char *secret = st_printf(a, "AWS4%s", s->secret);
    mac(secret, strlen(secret), st_strndup(a, date, 8), key);
    mac(key, sizeof(key), s->region, key);
    mac(key, sizeof(key), "s3", key);
    mac(key, sizeof(key), "aws4_request", key);
    mac(key, sizeof(key), text, key);
    return st_printf(a, "%s&X-Amz-Signature=%s", query, st_hex(a, key, sizeof(key)));
}

static const char *link_of(const struct st_store *s, struct st_arena *a, const char *key, const char *content_type,
                           int ttl_s)
{
    const char *url = url_of(s, a, key), *authority = strstr(url, "://") + 3, *path = strchr(authority, '/');
    const char *host = st_strndup(a, authority, (size_t)(path - authority));
    const char *more = st_printf(a, "response-content-type=%s", st_url_encode(a, content_type));
    return st_printf(a, "%s?%s", url, st_s3_presign(a, s, host, path, more, st_now(), ttl_s));
}

const struct st_store_ops st_store_s3 = {"s3", check, put, get, remove_object, list, link_of};
