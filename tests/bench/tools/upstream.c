/*
 * The least a service can do: answers every HTTP/1.1 request at once with a small JSON object, on connections that
 * stay.
 *
 *   upstream ADDRESS...        a path of a unix socket, or a port of 127.0.0.1
 *
 * It trusts what it reads, for a gateway stands before it: bodies have a Content-Length, heads fit into BUFFER.
 */
#include "base/base.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BUFFER = 32 * 1024, EVENTS = 128, BACKLOG = 511 };

static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 38\r\n\r\n"
                             "{\"id\":\"1\",\"title\":\"A thing\",\"count\":1}";

struct peer {
    int fd;
    bool listening;
    bool in_body;
    size_t len;  /* bytes in the buffer */
    size_t body; /* bytes of the body that are still to come */
    char buffer[BUFFER];
};

static ST_NORETURN void die(const char *what)
{
    perror(what);
    exit(1);
}

static int listen_on(const char *address)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int64_t port;
    bool tcp = st_parse_i64(address, 1, 65535, &port);
    int fd = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    in.sin_port = htons((uint16_t)port);
    snprintf(un.sun_path, sizeof(un.sun_path), "%s", address);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    int r = tcp ? bind(fd, (struct sockaddr *)&in, sizeof(in)) : bind(fd, (struct sockaddr *)&un, sizeof(un));
    if (r < 0 || listen(fd, BACKLOG) < 0)
        die(address);
    return fd;
}

static struct peer *watch(int epoll, int fd, bool listening)
{
    struct peer *p = calloc(1, listening ? offsetof(struct peer, buffer) : sizeof(*p));
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = p};
    if (!p || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
        die("epoll");
    p->fd = fd;
    p->listening = listening;
    return p;
}

static void welcome(int epoll, const struct peer *listener)
{
    int fd, one = 1;
    while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        watch(epoll, fd, false);
    }
}

static size_t body_length(const char *head)
{
    const char *at = strcasestr(head, "\r\ncontent-length:");
    return at ? strtoul(at + sizeof("\r\ncontent-length:") - 1, NULL, 10) : 0;
}

/* How many requests end in the buffer; what they take is removed. */
static int take_requests(struct peer *p)
{
    char *at = p->buffer, *end = p->buffer + p->len, *stop;
    int n = 0;
    for (*end = '\0'; at < end;) {
        if (p->in_body) {
            size_t part = p->body < (size_t)(end - at) ? p->body : (size_t)(end - at);
            at += part;
            p->body -= part;
        } else if ((stop = strstr(at, "\r\n\r\n")) != NULL) {
            *stop = '\0';
            p->body = body_length(at);
            at = stop + 4;
            p->in_body = true;
        } else {
            break;
        }
        if (!p->body) {
            p->in_body = false;
            n++;
        }
    }
    p->len = (size_t)(end - at);
    memmove(p->buffer, at, p->len);
    return n;
}

static bool serve(struct peer *p)
{
    ssize_t got = read(p->fd, p->buffer + p->len, sizeof(p->buffer) - 1 - p->len);
    if (got < 0 && errno == EAGAIN)
        return true;
    if (got <= 0)
        return false;
    p->len += (size_t)got;
    for (int n = take_requests(p); n > 0; n--)
        if (write(p->fd, ANSWER, sizeof(ANSWER) - 1) != sizeof(ANSWER) - 1)
            return false;
    return p->len < sizeof(p->buffer) - 1;
}

int main(int argc, char **argv)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[EVENTS];
    signal(SIGPIPE, SIG_IGN);
    for (int i = 1; i < argc; i++)
        watch(epoll, listen_on(argv[i]), true);
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct peer *p = events[i].data.ptr;
            if (p->listening) {
                welcome(epoll, p);
            } else if (!serve(p)) {
                close(p->fd);
                free(p);
            }
        }
    }
}
