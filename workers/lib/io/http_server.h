#ifndef ST_IO_HTTP_SERVER_H
#define ST_IO_HTTP_SERVER_H
/*
 * HTTP/1.1 server on a unix socket, by libmicrohttpd, with a pool of threads. The handler runs on a pool thread once
 * the whole request is there, and answers before it returns.
 *
 * Where `piece` says so, a body is handed over while it comes, so that none of it is held for long and what has come of
 * one that breaks off is not lost: the handler runs with each piece, `more` set, and with what is left at the end. Only
 * its last answer is sent, or its first that is an error: then the rest is read and dropped. When the client goes away
 * before the end, it runs with what is left and `cut` set, and nobody reads the answer.
 */
#include "base/base.h"

struct st_http_request {
    const char *method;
    const char *path;  /* as sent, without the query, still percent-encoded */
    const char *query; /* "" when none */
    const char *uri;   /* path and query as sent */
    const char *body;  /* NUL behind it */
    size_t body_len;
    size_t body_at;         /* of a body in pieces: where in it this one begins */
    bool more, cut;         /* see above */
    int64_t came_at;        /* when its headers were there, us since 1970 */
    struct st_arena *arena; /* lives until the answer is sent */
    void *connection;       /* the library's, for st_http_header */
};

struct st_http_response {
    int status;
    struct st_http_field {
        const char *name, *value;
    } headers[16];
    int n_headers;
    const char *body; /* in the request's arena, or static */
    size_t body_len;
};

/* Value of a request header, NULL when absent. The name is compared without case. */
const char *st_http_header(const struct st_http_request *req, const char *name);
/* Adds a header; the strings must live as long as the arena. Over 16 are a bug and abort. */
void st_http_add(struct st_http_response *res, const char *name, const char *value);

typedef void st_http_handler(void *ctx, int thread, struct st_http_request *req, struct st_http_response *res);

struct st_http_options {
    const char *socket_path; /* replaced if it exists; mode 0660 */
    int threads;             /* handler gets 0 … threads-1 as `thread`, so that it can keep a connection for each */
    size_t body_max;         /* larger bodies are drained and answered with 413, but for those in pieces */
    /* Bytes of a piece, or 0: whole. Asked when the headers are there; NULL: always 0. */
    size_t (*piece)(void *ctx, const struct st_http_request *req);
    st_http_handler *handler;
    void *ctx;
};
struct st_http_server;
ST_MUSTCHECK int st_http_server_start(const struct st_http_options *options, struct st_http_server **ret);

/*
 * Drains: stops accepting, answers what is under way with Connection: close, waits up to deadline_ms for connections
 * to end, then frees the server.
 */
void st_http_server_stop(struct st_http_server *s, int deadline_ms);

#endif
