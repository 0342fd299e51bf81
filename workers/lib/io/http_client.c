/* HTTP client by libcurl, synchronous. */
#include "io/http_client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <strings.h>

enum { CONNECT_TIMEOUT_MS = 5000 };

struct st_http_client {
    CURL *curl;
    char *ca_file, *unix_socket;
};

/* Where the body of one answer goes. */
struct sink {
    struct st_buf buf;
    FILE *file;
    size_t left;
    bool too_large;
    struct st_arena *arena;
    struct st_http_answer *answer;
};

static void global_init(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct st_http_client *st_http_client_new(const char *ca_file, const char *unix_socket)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, global_init);
    struct st_http_client *c = calloc(1, sizeof(*c));
    if (!c || !(c->curl = curl_easy_init()))
        abort();
    c->ca_file = ca_file ? strdup(ca_file) : NULL;
    c->unix_socket = unix_socket ? strdup(unix_socket) : NULL;
    return c;
}

struct st_http_client *st_http_client_free(struct st_http_client *c)
{
    if (c) {
        curl_easy_cleanup(c->curl);
        free(c->ca_file);
        free(c->unix_socket);
        free(c);
    }
    return NULL;
}

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
    struct sink *s = ctx;
    size_t len = size * n;
    if (len > s->left) {
        s->too_large = true;
        return 0;
    }
    s->left -= len;
    if (s->file)
        return fwrite(data, 1, len, s->file);
    st_buf_add(&s->buf, data, len);
    return len;
}

static size_t on_header(char *data, size_t size, size_t n, void *ctx)
{
    struct sink *s = ctx;
    const struct {
        const char *name;
        const char **value;
    } wanted[] = {{"location:", &s->answer->location},
                  {"etag:", &s->answer->etag},
                  {"content-type:", &s->answer->content_type},
                  {"retry-after:", &s->answer->retry_after}};
    size_t len = size * n;
    for (size_t i = 0; i < ST_COUNT(wanted); i++) {
        size_t name = strlen(wanted[i].name);
        if (len <= name || strncasecmp(data, wanted[i].name, name))
            continue;
        size_t from = name, to = len;
        while (from < to && (data[from] == ' ' || data[from] == '\t'))
            from++;
        while (to > from && (data[to - 1] == '\r' || data[to - 1] == '\n' || data[to - 1] == ' '))
            to--;
        *wanted[i].value = st_strndup(s->arena, data + from, to - from);
    }
    return len;
}

static int on_progress(void *ctx, curl_off_t a ST_UNUSED, curl_off_t b ST_UNUSED, curl_off_t c ST_UNUSED,
                       curl_off_t d ST_UNUSED)
{
    return __atomic_load_n((const int *)ctx, __ATOMIC_RELAXED);
}

static CURLcode perform(struct st_http_client *c, const struct st_http_call *call, struct sink *s)
{
    struct curl_slist *headers = NULL;
    for (const char *const *h = call->headers; h && *h; h++)
        headers = curl_slist_append(headers, *h);
    curl_easy_reset(c->curl);
    curl_easy_setopt(c->curl, CURLOPT_URL, call->url);
    curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c->curl, CURLOPT_PROXY, ""); /* services are reached directly, whatever the environment says */
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    if (c->ca_file)
        curl_easy_setopt(c->curl, CURLOPT_CAINFO, c->ca_file);
    if (c->unix_socket)
        curl_easy_setopt(c->curl, CURLOPT_UNIX_SOCKET_PATH, c->unix_socket);
    if (call->body) {
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_len);
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, call->body);
    }
    if (call->stop) {
        curl_easy_setopt(c->curl, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(c->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
        curl_easy_setopt(c->curl, CURLOPT_XFERINFODATA, call->stop);
    }
    curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, call->method);
    if (st_streq(call->method, "HEAD"))
        curl_easy_setopt(c->curl, CURLOPT_NOBODY, 1L);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, s);
    curl_easy_setopt(c->curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c->curl, CURLOPT_HEADERDATA, s);
    CURLcode code = curl_easy_perform(c->curl);
    curl_slist_free_all(headers);
    return code;
}

int st_http_client_do(struct st_http_client *c, const struct st_http_call *call, struct st_arena *a,
                      struct st_http_answer *ret, const char **ret_why)
{
    struct st_http_answer answer = {0};
    struct sink s = {.buf = ST_BUF(call->answer_max), .left = call->answer_max, .arena = a, .answer = &answer};
    if (call->save_to && !(s.file = fopen(call->save_to, "we"))) {
        *ret_why = st_printf(a, "cannot write %s: %m", call->save_to);
        return ST_E_INTERNAL;
    }
    CURLcode code = perform(c, call, &s);
    if (s.file && fclose(s.file) && code == CURLE_OK)
        code = CURLE_WRITE_ERROR;
    if (code == CURLE_OK) {
        long status = 0;
        curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
        answer.status = (int)status;
        answer.body = st_strndup(a, s.buf.data ? s.buf.data : "", s.buf.len);
        answer.len = s.buf.len;
        *ret = answer;
    } else {
        *ret_why = s.too_large ? "the answer is too large" : curl_easy_strerror(code);
    }
    st_buf_release(&s.buf);
    if (code == CURLE_OK)
        return 0;
    return s.too_large ? ST_E_TOO_LARGE : code == CURLE_OPERATION_TIMEDOUT ? ST_E_TIMEOUT : ST_E_UNAVAILABLE;
}
