/* HTTP/1.1 server on a unix socket, by libmicrohttpd. */
#include "io/http_server.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    CONNECTIONS = 512,
    IDLE_TIMEOUT_S = 75, /* longer than the edge keeps a connection (30 s), or its POSTs meet a closing one */
    STACK = 512 * 1024,
    BACKLOG = 511,
    HEADERS_MAX = sizeof(((struct st_http_response *)0)->headers) / sizeof(struct st_http_field)
};

struct st_http_server {
    struct MHD_Daemon *daemon;
    struct st_http_options options;
    int fd;
    dev_t socket_dev; /* what the path named when it was ours */
    ino_t socket_ino;
    atomic_int next_thread;
    unsigned generation; /* tells the threads of one server from those of another */
    atomic_bool draining;
};

/* One request on its way in. */
struct incoming {
    struct st_arena arena;
    struct st_buf body;
    size_t piece;                /* bytes; 0: the body is handed over whole */
    struct st_http_response res; /* of the last piece, or of the one that was refused */
    struct st_arena piece_arena; /* of the answer to it */
    bool ended;                  /* nothing more is handed over */
    struct st_http_request req;
};

const char *st_http_header(const struct st_http_request *req, const char *name)
{
    return MHD_lookup_connection_value(req->connection, MHD_HEADER_KIND, name);
}

void st_http_add(struct st_http_response *res, const char *name, const char *value)
{
    if (res->n_headers == HEADERS_MAX)
        abort();
    res->headers[res->n_headers++] = (struct st_http_field){name, value};
}

/* Keeps the target as it was sent: MHD hands out a decoded one. */
static void *on_uri(void *cls, const char *uri, struct MHD_Connection *connection)
{
    (void)cls;
    (void)connection;
    struct incoming *in = calloc(1, sizeof(*in));
    if (!in)
        abort();
    in->req.uri = st_strdup(&in->arena, uri);
    return in;
}

static int thread_index(struct st_http_server *s)
{
    static __thread int index;
    static __thread unsigned generation;
    if (generation != s->generation) {
        generation = s->generation;
        index = atomic_fetch_add(&s->next_thread, 1);
    }
    return index;
}

/* Hands over what has come since the piece before. */
static void hand_over(struct st_http_server *s, struct incoming *in)
{
    in->req.body = in->body.len ? in->body.data : "";
    in->req.body_len = in->body.len;
    in->res = (struct st_http_response){.status = 500};
    st_arena_reset(&in->piece_arena);
    s->options.handler(s->options.ctx, thread_index(s), &in->req, &in->res);
    in->ended = !in->req.more || in->res.status >= 400;
    in->req.body_at += in->body.len;
    st_buf_clear(&in->body);
}

static void on_done(void *cls, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode why)
{
    (void)connection;
    (void)why;
    struct incoming *in = *state;
    if (in) {
        if (in->piece && !in->ended && in->body.len) {
            in->req.more = false;
            in->req.cut = true;
            hand_over(cls, in);
        }
        st_buf_release(&in->body);
        st_arena_release(&in->piece_arena);
        st_arena_release(&in->arena);
        free(in);
    }
    *state = NULL;
}

static enum MHD_Result answer(struct st_http_server *s, struct MHD_Connection *connection,
                              const struct st_http_response *res)
{
    struct MHD_Response *r =
        MHD_create_response_from_buffer(res->body_len, (void *)(uintptr_t)res->body, MHD_RESPMEM_MUST_COPY);
    if (!r)
        return MHD_NO;
    for (int i = 0; i < res->n_headers; i++)
        MHD_add_response_header(r, res->headers[i].name, res->headers[i].value);
    if (atomic_load(&s->draining))
        MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close");
    enum MHD_Result ok = MHD_queue_response(connection, (unsigned)res->status, r);
    MHD_destroy_response(r);
    return ok;
}

/* The first call brings the headers. */
static void begin(struct st_http_server *s, struct incoming *in, struct MHD_Connection *connection, const char *method)
{
    const char *uri = in->req.uri, *query = strchr(uri, '?');
    in->req.arena = &in->arena;
    in->req.connection = connection;
    in->req.method = st_strdup(&in->arena, method);
    in->req.path = st_strndup(&in->arena, uri, query ? (size_t)(query - uri) : strlen(uri));
    in->req.query = query ? query + 1 : "";
    in->req.came_at = st_now();
    in->piece = s->options.piece ? s->options.piece(s->options.ctx, &in->req) : 0;
    in->req.more = in->piece > 0;
    in->req.arena = in->piece ? &in->piece_arena : &in->arena;
    in->body = ST_BUF(in->piece ? in->piece : s->options.body_max);
}

/* What has come of the body: into the buffer, and each time that makes a piece, on. */
static void take(struct st_http_server *s, struct incoming *in, const char *data, size_t len)
{
    if (!in->piece) { /* too large a body is drained, not cut off: the client must be able to read the answer */
        st_buf_add(&in->body, data, len);
        return;
    }
    while (len && !in->ended) {
        size_t room = in->piece - in->body.len, n = len < room ? len : room;
        st_buf_add(&in->body, data, n);
        data += n;
        len -= n;
        if (in->body.len == in->piece)
            hand_over(s, in);
    }
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *data, size_t *data_len, void **state)
{
    (void)url;
    (void)version;
    struct st_http_server *s = cls;
    struct incoming *in = *state;
    if (!in->req.arena) {
        begin(s, in, connection, method);
        return MHD_YES;
    }
    if (*data_len) {
        take(s, in, data, *data_len);
        *data_len = 0;
        return MHD_YES;
    }
    if (in->body.failed) {
        in->res.status = 413;
    } else if (!in->ended) {
        in->req.more = false;
        hand_over(s, in);
    }
    return answer(s, connection, &in->res);
}

/*
 * The path names either the socket of a process before us or ours, never nothing: a newer binary takes over while
 * requests come in.
 */
static int listen_on(struct st_http_server *s, const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct stat st;
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash - path) + 1 : 0;
    int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%.*s.%x", folder, path, (unsigned)getpid());
    if (strlen(path) >= sizeof(addr.sun_path) || n < 0 || (size_t)n >= sizeof(addr.sun_path))
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    (void)unlink(addr.sun_path);
    mode_t old = umask(0117);
    int bad = bind(fd, (struct sockaddr *)&addr, sizeof(addr));
    umask(old);
    if (bad || listen(fd, BACKLOG) || stat(addr.sun_path, &st) || rename(addr.sun_path, path)) {
        (void)unlink(addr.sun_path);
        close(fd);
        return -1;
    }
    s->socket_dev = st.st_dev;
    s->socket_ino = st.st_ino;
    return fd;
}

/* Nobody new comes to us; whoever has taken our place keeps the path. */
static void leave_path(const struct st_http_server *s)
{
    struct stat st;
    const char *path = s->options.socket_path;
    if (stat(path, &st) == 0 && st.st_dev == s->socket_dev && st.st_ino == s->socket_ino)
        (void)unlink(path);
}

/* Those that have connected and were not accepted yet are not turned away. */
static void accept_last(const struct st_http_server *s, int deadline_ms)
{
    struct pollfd p = {.fd = s->fd, .events = POLLIN};
    for (int waited = 0; waited < deadline_ms && poll(&p, 1, 0) > 0; waited++)
        st_sleep_ms(1);
}

int st_http_server_start(const struct st_http_options *options, struct st_http_server **ret)
{
    static atomic_uint generations;
    struct st_http_server *s = calloc(1, sizeof(*s));
    if (!s)
        abort();
    s->options = *options;
    s->generation = atomic_fetch_add(&generations, 1) + 1;
    s->fd = listen_on(s, options->socket_path);
    if (s->fd < 0) {
        free(s);
        return ST_E_UNAVAILABLE;
    }
    s->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, on_request, s, MHD_OPTION_LISTEN_SOCKET, s->fd,
        MHD_OPTION_THREAD_POOL_SIZE, (unsigned)options->threads, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S, MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK,
        MHD_OPTION_URI_LOG_CALLBACK, on_uri, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_done, s, MHD_OPTION_END);
    if (!s->daemon) {
        close(s->fd);
        free(s);
        return ST_E_UNAVAILABLE;
    }
    *ret = s;
    return 0;
}

void st_http_server_stop(struct st_http_server *s, int deadline_ms)
{
    leave_path(s);
    accept_last(s, deadline_ms);
    MHD_socket fd = MHD_quiesce_daemon(s->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
    atomic_store(&s->draining, true);
    /* A kept connection ends with its next answer; the edge closes idle ones itself once the socket is gone. */
    for (int waited = 0; waited < deadline_ms; waited += 10) {
        const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
        if (!info || info->num_connections == 0)
            break;
        st_sleep_ms(10);
    }
    MHD_stop_daemon(s->daemon);
    free(s);
}
