#ifndef ST_IO_HTTP_CLIENT_H
#define ST_IO_HTTP_CLIENT_H
/* HTTP client by libcurl, synchronous. A client belongs to one thread and keeps its connections. */
#include "base/base.h"

struct st_http_client;
/* ca_file: PEM to trust, NULL for the system's. unix_socket: NULL for TCP. */
struct st_http_client *st_http_client_new(const char *ca_file, const char *unix_socket);
struct st_http_client *st_http_client_free(struct st_http_client *c);

struct st_http_call {
    const char *method, *url;
    const char *const *headers; /* "Name: value", NULL-ended; NULL for none */
    const char *body;
    size_t body_len;
    int timeout_ms;
    size_t answer_max;   /* a longer answer fails with ST_E_TOO_LARGE */
    const char *save_to; /* write the answer's body to this file instead of memory, or NULL */
    const int *stop;     /* another thread sets it (atomically) to end the call within about a second, or NULL */
};
struct st_http_answer {
    int status;
    char *body;
    size_t len;
    const char *location, *etag, *content_type, *retry_after; /* NULL when absent */
};
/* 0 with any HTTP status; ST_E_UNAVAILABLE / ST_E_TIMEOUT when there was none (*ret_why says why). */
ST_MUSTCHECK int st_http_client_do(struct st_http_client *c, const struct st_http_call *call, struct st_arena *a,
                                   struct st_http_answer *ret, const char **ret_why);
#endif
