/* HTTP client by libcurl, synchronous. */
#include "io/http_client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <strings.h>
#include <sys/stat.h>

enum { CONNECT_TIMEOUT_MS = 5000, HEADERS_MAX = 100, REFUSAL_MAX = 64 << 10, DAY_MS = 86400000 };

struct st_http_client {
    CURL *curl;
    char *ca_file, *unix_socket;
};

/* Where the body of one answer goes. */
struct sink {
    CURL *curl;
    struct st_buf buf;
    FILE *file;
    size_t left;
    int n_headers;
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

/* What a server says against a request is read, and not saved in place of what was asked for. */
static bool is_saved(const struct sink *s)
{
    long status = 0;
    curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);
    return s->file && status / 100 == 2;
}

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
    struct sink *s = ctx;
    size_t len = size * n;
    bool saved = is_saved(s);
    if (len > s->left || (s->file && !saved && s->buf.len + len > REFUSAL_MAX)) {
        s->too_large = true;
        return 0;
    }
    s->left -= len;
    if (saved)
        return fwrite(data, 1, len, s->file);
    st_buf_add(&s->buf, data, len);
    return len;
}

static const char *trimmed(struct st_arena *a, const char *s, const char *end)
{
    while (s < end && (*s == ' ' || *s == '\t'))
        s++;
    while (end > s && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
        end--;
    return st_strndup(a, s, (size_t)(end - s));
}

static size_t on_header(char *data, size_t size, size_t n, void *ctx)
{
    struct sink *s = ctx;
    size_t len = size * n;
    const char *colon = memchr(data, ':', len);
    if (len > 5 && memcmp(data, "HTTP/", 5) == 0) { /* what came before was an interim answer's */
        s->answer->headers = NULL;
        s->n_headers = 0;
    } else if (colon && s->n_headers++ < HEADERS_MAX) {
        struct st_http_header *h = st_new(s->arena, struct st_http_header);
        *h = (struct st_http_header){s->answer->headers, st_strndup(s->arena, data, (size_t)(colon - data)),
                                     trimmed(s->arena, colon + 1, data + len)};
        s->answer->headers = h;
    }
    return len;
}

const char *st_http_answer_header(const struct st_http_answer *answer, const char *name)
{
    for (const struct st_http_header *h = answer->headers; h; h = h->next)
        if (strcasecmp(h->name, name) == 0)
            return h->value;
    return NULL;
}

int64_t st_http_answer_wait_ms(const struct st_http_answer *answer)
{
    const char *ms = st_http_answer_header(answer, "retry-after-ms"), *after = answer->retry_after;
    int64_t n;
    double exact;
    if (ms && st_parse_double(ms, &exact) && exact >= 0)
        return exact < DAY_MS ? (int64_t)exact : DAY_MS;
    if (!after)
        return -1;
    if (st_parse_i64(after, 0, INT64_MAX, &n))
        return n < DAY_MS / 1000 ? n * 1000 : DAY_MS;
    time_t at = curl_getdate(after, NULL);
    if (at < 0)
        return -1;
    n = (int64_t)at * 1000 - st_now() / 1000;
    return n < 0 ? 0 : n < DAY_MS ? n : DAY_MS;
}

static int on_progress(void *ctx, curl_off_t a ST_UNUSED, curl_off_t b ST_UNUSED, curl_off_t c ST_UNUSED,
                       curl_off_t d ST_UNUSED)
{
    const struct st_http_call *call = ctx;
    return (call->stop && __atomic_load_n(call->stop, __ATOMIC_RELAXED)) ||
           (call->cancelled && call->cancelled(call->ctx));
}

static curl_mime *mime_of(CURL *curl, const struct st_http_call *call)
{
    curl_mime *mime = call->n_parts ? curl_mime_init(curl) : NULL;
    for (size_t i = 0; i < call->n_parts; i++) {
        const struct st_http_part *p = &call->parts[i];
        curl_mimepart *part = curl_mime_addpart(mime);
        curl_mime_name(part, p->name);
        if (p->data)
            curl_mime_data(part, p->data, p->len);
        else
            curl_mime_filedata(part, p->path);
        if (p->filename)
            curl_mime_filename(part, p->filename);
        if (p->content_type)
            curl_mime_type(part, p->content_type);
    }
    return mime;
}

static void sign(CURL *curl, const struct st_http_call *call)
{
    curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, call->sigv4);
    curl_easy_setopt(curl, CURLOPT_USERNAME, call->user);
    curl_easy_setopt(curl, CURLOPT_PASSWORD, call->password);
}

static void send_file(CURL *curl, FILE *file)
{
    struct stat st;
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_READDATA, file);
    curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE,
                     fstat(fileno(file), &st) ? (curl_off_t)-1 : (curl_off_t)st.st_size);
}

/* What is not of the Internet (RFC 6890), or leads elsewhere than it says; of IPv6 that is all outside 2000::/3. */
static const struct network {
    const char *first;
    unsigned bits;
} closed[] = {
    {"0.0.0.0", 8},     {"10.0.0.0", 8},      {"100.64.0.0", 10},  {"127.0.0.0", 8},    {"169.254.0.0", 16},
    {"172.16.0.0", 12}, {"192.0.0.0", 24},    {"192.0.2.0", 24},   {"192.88.99.0", 24}, {"192.168.0.0", 16},
    {"198.18.0.0", 15}, {"198.51.100.0", 24}, {"203.0.113.0", 24}, {"224.0.0.0", 3},    {"::", 3},
    {"4000::", 2},      {"8000::", 1},        {"2001::", 23},      {"2001:db8::", 32},  {"2002::", 16},
};

bool st_address_is_public(const void *address, size_t len)
{
    const unsigned char *a = address;
    for (size_t i = 0; i < ST_COUNT(closed); i++) {
        unsigned char n[sizeof(struct in6_addr)];
        unsigned whole = closed[i].bits / 8, rest = closed[i].bits % 8;
        bool six = strchr(closed[i].first, ':') != NULL;
        if (six != (len == sizeof(n)) || inet_pton(six ? AF_INET6 : AF_INET, closed[i].first, n) != 1)
            continue;
        if (memcmp(a, n, whole) == 0 && (rest == 0 || (a[whole] ^ n[whole]) >> (8 - rest) == 0))
            return false;
    }
    return true;
}

static curl_socket_t open_public(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
    (void)arg;
    (void)purpose;
    bool six = to->family == AF_INET6;
    size_t at = six ? offsetof(struct sockaddr_in6, sin6_addr) : offsetof(struct sockaddr_in, sin_addr);
    size_t len = six ? sizeof(struct in6_addr) : sizeof(struct in_addr);
    if ((!six && to->family != AF_INET) || !st_address_is_public((const char *)&to->addr + at, len))
        return CURL_SOCKET_BAD;
    return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
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
    curl_mime *mime = mime_of(c->curl, call);
    if (mime)
        curl_easy_setopt(c->curl, CURLOPT_MIMEPOST, mime);
    if (call->sigv4)
        sign(c->curl, call);
    FILE *file = call->upload ? fopen(call->upload, "re") : NULL;
    if (file)
        send_file(c->curl, file);
    if (call->stall_s) {
        curl_easy_setopt(c->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(c->curl, CURLOPT_LOW_SPEED_TIME, (long)call->stall_s);
    }
    if (call->public_only)
        curl_easy_setopt(c->curl, CURLOPT_OPENSOCKETFUNCTION, open_public);
    if (call->once)
        curl_easy_setopt(c->curl, CURLOPT_FRESH_CONNECT, 1L);
    if (call->stop || call->cancelled) {
        curl_easy_setopt(c->curl, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(c->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
        curl_easy_setopt(c->curl, CURLOPT_XFERINFODATA, call);
    }
    curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, call->method);
    if (st_streq(call->method, "HEAD"))
        curl_easy_setopt(c->curl, CURLOPT_NOBODY, 1L);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, s);
    curl_easy_setopt(c->curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c->curl, CURLOPT_HEADERDATA, s);
    CURLcode code = call->upload && !file ? CURLE_READ_ERROR : curl_easy_perform(c->curl);
    if (file)
        fclose(file);
    curl_slist_free_all(headers);
    curl_mime_free(mime);
    return code;
}

static int error_of(struct st_http_client *c, CURLcode code, const struct sink *s)
{
    long sent = 0;
    curl_easy_getinfo(c->curl, CURLINFO_REQUEST_SIZE, &sent);
    if (s->too_large)
        return ST_E_TOO_LARGE;
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return ST_E_CANCELLED;
    if (code == CURLE_WRITE_ERROR || code == CURLE_READ_ERROR)
        return ST_E_INTERNAL;
    if (code == CURLE_OPERATION_TIMEDOUT && sent > 0)
        return ST_E_TIMEOUT;
    return sent > 0 ? ST_E_BAD_GATEWAY : ST_E_UNAVAILABLE;
}

int st_http_client_do(struct st_http_client *c, const struct st_http_call *call, struct st_arena *a,
                      struct st_http_answer *ret, const char **ret_why)
{
    struct st_http_answer answer = {0};
    struct sink s = {
        .curl = c->curl, .buf = ST_BUF(call->answer_max), .left = call->answer_max, .arena = a, .answer = &answer};
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
        answer.location = st_http_answer_header(&answer, "location");
        answer.etag = st_http_answer_header(&answer, "etag");
        answer.content_type = st_http_answer_header(&answer, "content-type");
        answer.retry_after = st_http_answer_header(&answer, "retry-after");
        *ret = answer;
    } else {
        *ret_why = s.too_large ? "the answer is too large" : curl_easy_strerror(code);
    }
    st_buf_release(&s.buf);
    return code == CURLE_OK ? 0 : error_of(c, code, &s);
}
