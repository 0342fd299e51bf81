#ifndef ST_IO_HTTP_CLIENT_H
#define ST_IO_HTTP_CLIENT_H
/* HTTP client by libcurl, synchronous. A client belongs to one thread and keeps its connections. */
#include "base/base.h"

struct st_http_client;
/* ca_file: PEM to trust, NULL for the system's. unix_socket: NULL for TCP. */
struct st_http_client *st_http_client_new(const char *ca_file, const char *unix_socket);
struct st_http_client *st_http_client_free(struct st_http_client *c);

struct st_http_part { /* of a multipart/form-data body */
    const char *name;
    const char *data; /* len bytes; NULL: the file at `path` is sent as it is read */
    size_t len;
    const char *path;
    const char *filename, *content_type; /* or NULL */
};
struct st_http_call {
    const char *method, *url;
    const char *const *headers; /* "Name: value", NULL-ended; NULL for none */
    const char *body;
    size_t body_len;
    const struct st_http_part *parts; /* instead of body */
    size_t n_parts;
    const char *upload; /* instead of body: the file is sent as it is read */
    const char *sigv4;  /* "aws:amz:<region>:s3": signed by user and password; NULL: not */
    const char *user, *password;
    int stall_s; /* a transfer that stands still for so long has timed out; 0: never */
    int timeout_ms;
    size_t answer_max; /* a longer answer fails with ST_E_TOO_LARGE */
    bool public_only;  /* whatever its name leads to, no address of a network of our own is connected to */
    /*
     * Sent at most once, over a new connection. On one that was kept, and ends before the first byte of an answer, the
     * request is sent again over another without a word, also a POST that the server had begun to carry out.
     */
    bool once;
    const char *save_to; /* write the body of a 2xx answer to this file instead of memory, as it comes; or NULL */
    /* Either ends the call within about a second, with ST_E_CANCELLED: */
    const int *stop;              /* another thread sets it (atomically), or NULL */
    bool (*cancelled)(void *ctx); /* asked some times a second, on this thread; or NULL */
    void *ctx;
};
struct st_http_header {
    const struct st_http_header *next;
    const char *name, *value;
};
struct st_http_answer {
    int status;
    char *body;
    size_t len;
    const char *location, *etag, *content_type, *retry_after; /* NULL when absent */
    const struct st_http_header *headers;                     /* all of them, the last one first */
};
/*
 * 0 with any HTTP status. Else there was no answer, and *ret_why says why:
 *   ST_E_UNAVAILABLE   nothing was sent: no connection
 *   ST_E_BAD_GATEWAY   the connection broke; whether the request has had its effect is unknown
 *   ST_E_TIMEOUT       the same, for want of an answer in time
 *   ST_E_TOO_LARGE, ST_E_CANCELLED; ST_E_INTERNAL: save_to cannot be written
 */
ST_MUSTCHECK int st_http_client_do(struct st_http_client *c, const struct st_http_call *call, struct st_arena *a,
                                   struct st_http_answer *ret, const char **ret_why);

/* Is it one of the Internet, and not of somebody's own network? 4 or 16 bytes, as the network has them. */
bool st_address_is_public(const void *address, size_t len);

/* Value of a header of the answer, NULL when absent. The name is compared without case. */
const char *st_http_answer_header(const struct st_http_answer *answer, const char *name);

/*
 * How long the answer asks to wait, by retry-after-ms or Retry-After (seconds, or a date as RFC 9110 has it); -1 when
 * it does not say. Never more than a day.
 */
int64_t st_http_answer_wait_ms(const struct st_http_answer *answer);
#endif
