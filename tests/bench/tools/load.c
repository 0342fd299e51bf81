/*
 * Load on an HTTP/1.1 server of this machine, on connections that are kept.
 *
 *   load PORT REQUEST [connections=64] [ms=1000] [rate=N] [lines=FILE] [from=N] [count=N]
 *
 * REQUEST is a file with the bytes of one request; @LINE@ in it is replaced by the lines of FILE in turn, beginning
 * with line `from`. Without `rate` every connection asks again as soon as it is answered. With it requests are due at
 * that constant rate, whatever the server does, and their latency counts from the moment they were due: a server that
 * stalls is not spared the requests that would have come meanwhile. Load ends after `ms`, or when `count` requests
 * have been sent, or with SIGTERM; what is under way is awaited.
 *
 * A connection that the server closes between an answer and the next request, or before the first byte of an answer, is
 * opened anew and the request is sent again, as HTTP clients do (`retried`). One that breaks off within an answer, is
 * refused, or does not answer in PATIENCE_MS is an error.
 *
 * Prints one line: seconds= done= rate= errors= retried= status_NNN= ... mean_us= p50_us= p99_us= p999_us= max_us=
 */
#include "base/base.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 1024,
    IN_MAX = 16 * 1024,
    OUT_MAX = 24 * 1024,
    STATUS_MAX = 600,
    RETRIES_MAX = 5,
    PATIENCE_MS = 10000,
    SUB_BITS = 6, /* buckets of latency: 64 for each power of two, so they are exact to 1.6 % */
    BUCKETS = 40 << SUB_BITS,
};

struct client {
    int fd;
    bool busy;
    int retries;
    int64_t due; /* us, when its request should have been sent */
    size_t in_len, out_len;
    char in[IN_MAX], out[OUT_MAX];
};

static struct {
    int port;
    int64_t connections, ms, rate, from, count;
    const char *lines;
} option = {.connections = 64, .ms = 1000, .count = INT64_MAX};

static struct {
    char *head, *tail; /* of the request, around the line */
    size_t head_len, tail_len;
    char **lines;
    size_t n_lines;
} request;

static volatile sig_atomic_t stopped;
static struct client *clients;
static int epoll;
static int64_t sent, done, errors, retried, statuses[STATUS_MAX], latency[BUCKETS], latency_sum, latency_max;

static ST_NORETURN void die(const char *what, const char *why)
{
    fprintf(stderr, "load: %s: %s\n", what, why);
    exit(1);
}

/* --- latency --- */

static size_t bucket_of(int64_t us)
{
    uint64_t v = us > 0 ? (uint64_t)us : 0;
    int shift = v >> SUB_BITS ? 63 - __builtin_clzll(v) - SUB_BITS : 0;
    return ((size_t)shift << SUB_BITS) + (size_t)(v >> shift);
}

static int64_t bucket_end(size_t b)
{
    int shift = b >> (SUB_BITS + 1) ? (int)(b >> SUB_BITS) - 1 : 0;
    return (int64_t)((b - ((size_t)shift << SUB_BITS)) << shift);
}

static void note_latency(int64_t us)
{
    size_t b = bucket_of(us);
    latency[b < BUCKETS ? b : BUCKETS - 1]++;
    latency_sum += us;
    if (us > latency_max)
        latency_max = us;
}

static int64_t latency_at(double share)
{
    int64_t left = (int64_t)(share * (double)done);
    for (size_t b = 0; b < BUCKETS; b++)
        if ((left -= latency[b]) < 0)
            return bucket_end(b);
    return latency_max;
}

/* --- connections --- */

static void open_connection(struct client *c)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    int one = 1;
    in.sin_port = htons((uint16_t)option.port);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&in, sizeof(in)) < 0)
        die("connect", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &ev) < 0)
        die("epoll", strerror(errno));
    c->in_len = 0;
}

/* A request is small beside a socket's buffer: it goes out at once, or the connection has gone. */
static bool put(struct client *c)
{
    return send(c->fd, c->out, c->out_len, MSG_NOSIGNAL) == (ssize_t)c->out_len;
}

static void fail(struct client *c)
{
    errors++;
    c->busy = false;
    close(c->fd);
    open_connection(c);
}

/* The server has closed the connection, cleanly as far as this request is concerned. */
static void try_again(struct client *c)
{
    do {
        if (c->retries++ == RETRIES_MAX) {
            fail(c);
            return;
        }
        retried++;
        close(c->fd);
        open_connection(c);
    } while (!put(c));
}

static void ask(struct client *c, int64_t due)
{
    size_t at = (size_t)(option.from + sent);
    const char *line = request.n_lines && request.tail_len ? request.lines[at % request.n_lines] : "";
    size_t len = strlen(line);
    if (request.head_len + len + request.tail_len > OUT_MAX)
        die("request", "too long");
    char *p = mempcpy(c->out, request.head, request.head_len);
    p = mempcpy(p, line, len);
    p = mempcpy(p, request.tail, request.tail_len);
    c->out_len = (size_t)(p - c->out);
    c->due = due;
    c->busy = true;
    c->retries = 0;
    sent++;
    if (!put(c))
        try_again(c);
}

/* --- answers --- */

/* Length of the whole answer in the buffer, 0 when more must come. */
static size_t whole_answer(struct client *c)
{
    c->in[c->in_len] = '\0';
    char *end = strstr(c->in, "\r\n\r\n");
    if (!end)
        return 0;
    *end = '\0';
    const char *at = strcasestr(c->in, "\r\ncontent-length:");
    if (!at)
        die("an answer has no Content-Length", c->in);
    size_t length = (size_t)(end + 4 - c->in) + strtoul(at + sizeof("\r\ncontent-length:") - 1, NULL, 10);
    *end = '\r';
    if (length >= IN_MAX)
        die("an answer is too long", c->in);
    return length <= c->in_len ? length : 0;
}

/* False when the answer is not whole yet. */
static bool take_answer(struct client *c, int64_t now)
{
    size_t length = whole_answer(c);
    if (!length)
        return false;
    unsigned long status = strtoul(c->in + sizeof("HTTP/1.1 ") - 1, NULL, 10);
    if (status < STATUS_MAX)
        statuses[status]++;
    done++;
    note_latency(now - c->due);
    c->in_len -= length;
    memmove(c->in, c->in + length, c->in_len);
    c->busy = false;
    return true;
}

static void on_readable(struct client *c)
{
    ssize_t got = read(c->fd, c->in + c->in_len, sizeof(c->in) - 1 - c->in_len);
    if (got > 0) {
        c->in_len += (size_t)got;
        if (!c->busy)
            die("an answer nobody asked for", c->in);
        (void)take_answer(c, st_mono());
    } else if (!c->busy) {
        close(c->fd);
        open_connection(c);
    } else if (!c->in_len) {
        try_again(c);
    } else {
        fail(c);
    }
}

/* --- the run --- */

static void stop(int sig ST_UNUSED)
{
    stopped = 1;
}

static bool wait_for_answers(int64_t us)
{
    struct epoll_event events[CONNECTIONS_MAX];
    struct timespec timeout = {.tv_sec = us / ST_SECOND, .tv_nsec = us % ST_SECOND * 1000};
    int n = epoll_pwait2(epoll, events, CONNECTIONS_MAX, &timeout, NULL);
    for (int i = 0; i < n; i++)
        on_readable(events[i].data.ptr);
    return n > 0;
}

static struct client *idle_client(void)
{
    static int64_t at;
    for (int64_t i = 0; i < option.connections; i++) {
        struct client *c = &clients[at++ % option.connections];
        if (!c->busy)
            return c;
    }
    return NULL;
}

static bool under_way(void)
{
    for (int64_t i = 0; i < option.connections; i++)
        if (clients[i].busy)
            return true;
    return false;
}

static void run_closed(int64_t end)
{
    for (int64_t now = st_mono(); !stopped && now < end && sent < option.count; now = st_mono()) {
        for (int64_t i = 0; i < option.connections && sent < option.count; i++)
            if (!clients[i].busy)
                ask(&clients[i], st_mono());
        wait_for_answers(end - now);
    }
}

static void run_at_rate(int64_t from, int64_t end)
{
    int64_t due = from;
    while (!stopped && due < end && sent < option.count) {
        int64_t now = st_mono();
        struct client *c = NULL;
        while (due <= now && sent < option.count && (c = idle_client()) != NULL) {
            ask(c, due);
            due = from + sent * ST_SECOND / option.rate;
        }
        wait_for_answers(due > now ? due - now : PATIENCE_MS * 1000);
    }
}

static void await_the_rest(void)
{
    while (under_way())
        if (!wait_for_answers(PATIENCE_MS * INT64_C(1000)))
            for (int64_t i = 0; i < option.connections; i++)
                if (clients[i].busy)
                    fail(&clients[i]);
}

/* --- what is asked for --- */

static char *slurp(const char *path, size_t *ret_len)
{
    struct st_buf b = ST_BUF(SIZE_MAX / 2);
    char part[64 * 1024];
    FILE *in = fopen(path, "r");
    if (!in)
        die(path, strerror(errno));
    for (size_t n; (n = fread(part, 1, sizeof(part), in)) > 0;)
        st_buf_add(&b, part, n);
    fclose(in);
    *ret_len = b.len;
    return b.data;
}

static void read_request(const char *path)
{
    static const char mark[] = "@LINE@";
    size_t len;
    char *text = slurp(path, &len), *at = text ? strstr(text, mark) : NULL;
    request.head = text;
    request.head_len = at ? (size_t)(at - text) : len;
    request.tail = at ? at + sizeof(mark) - 1 : text + len;
    request.tail_len = len - (size_t)(request.tail - text);
}

static void read_lines(const char *path)
{
    size_t len, cap = 0;
    char *text = slurp(path, &len), *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (request.n_lines == cap) {
            request.lines = reallocarray(request.lines, cap = cap ? 2 * cap : 1024, sizeof(char *));
            if (!request.lines)
                die(path, "no memory");
        }
        request.lines[request.n_lines++] = line;
    }
}

static void read_option(char *text)
{
    static const struct {
        const char *name;
        int64_t *value, least, most;
    } numbers[] = {
        {"connections", &option.connections, 1, CONNECTIONS_MAX},
        {"ms", &option.ms, 1, 3600000},
        {"rate", &option.rate, 1, 10000000},
        {"from", &option.from, 0, INT32_MAX},
        {"count", &option.count, 1, INT64_MAX},
    };
    char *value = strchr(text, '=');
    if (!value)
        die(text, "not name=value");
    *value++ = '\0';
    if (st_streq(text, "lines")) {
        read_lines(value);
        return;
    }
    for (size_t i = 0; i < ST_COUNT(numbers); i++)
        if (st_streq(text, numbers[i].name) && st_parse_i64(value, numbers[i].least, numbers[i].most, numbers[i].value))
            return;
    die(text, "not an option, or not a value of it");
}

int main(int argc, char **argv)
{
    int64_t port;
    if (argc < 3 || !st_parse_i64(argv[1], 1, 65535, &port))
        die("usage", "load PORT REQUEST [name=value...]");
    option.port = (int)port;
    read_request(argv[2]);
    for (int i = 3; i < argc; i++)
        read_option(argv[i]);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, stop);
    prctl(PR_SET_TIMERSLACK, 1UL);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!(clients = calloc((size_t)option.connections, sizeof(*clients))))
        die("clients", "no memory");
    for (int64_t i = 0; i < option.connections; i++)
        open_connection(&clients[i]);
    int64_t from = st_mono(), end = from + option.ms * 1000;
    if (option.rate)
        run_at_rate(from, end);
    else
        run_closed(end);
    await_the_rest();
    double seconds = (double)(st_mono() - from) / (double)ST_SECOND;
    printf("seconds=%.4f done=%lld rate=%.1f errors=%lld retried=%lld", seconds, (long long)done,
           (double)done / seconds, (long long)errors, (long long)retried);
    for (int i = 0; i < STATUS_MAX; i++)
        if (statuses[i])
            printf(" status_%d=%lld", i, (long long)statuses[i]);
    printf(" mean_us=%.1f p50_us=%lld p99_us=%lld p999_us=%lld max_us=%lld\n",
           done ? (double)latency_sum / (double)done : 0, (long long)latency_at(0.5), (long long)latency_at(0.99),
           (long long)latency_at(0.999), (long long)latency_max);
    return 0;
}
