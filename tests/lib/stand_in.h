#ifndef TESTS_LIB_STAND_IN_H
#define TESTS_LIB_STAND_IN_H
/*
 * A stand-in for a provider: answers each request with the next text of a list. For one test program, behind
 * backbone.h.
 *
 *   int port = stand_in_start();
 *   answers(reply("503 Busy", "Retry-After: 0\r\n", ""), HANG_UP, kept_reply("{}"), reply("200 OK", "", "sound"));
 *   ... stand_in.requests, stand_in.last: what came
 *
 * What tests of providers do before the first of them, and before each:
 *
 *   db = stand_in_begin("remote", "openai", "/v1");      a database; ST_OPENAI_URL leads here
 *   stand_in_setup(db, "remote", options, "openai");     ST_OPENAI_KEY_FILE has STAND_IN_KEY; nothing is on record
 */
#include <arpa/inet.h>
#include <sys/socket.h>

enum { ANSWERS = 16, REQUEST_MAX = 64 << 10 };
ST_UNUSED static const char HANG_UP[] = "", SILENCE[] = "-";

static struct {
    pthread_mutex_t lock;
    const char *answers[ANSWERS]; /* the last one is given again */
    int n, at;
    char last[REQUEST_MAX]; /* request */
    int listener;
    atomic_bool held; /* answers wait while this is set */
    atomic_int requests;
} stand_in = {.lock = PTHREAD_MUTEX_INITIALIZER, .listener = -1};

static void answer_with(int n, const char *const *answers)
{
    pthread_mutex_lock(&stand_in.lock);
    stand_in.n = n;
    stand_in.at = 0;
    for (int i = 0; i < n; i++)
        stand_in.answers[i] = answers[i];
    pthread_mutex_unlock(&stand_in.lock);
    atomic_store(&stand_in.requests, 0);
}
#define answers(...) answer_with(ST_COUNT(((const char *const[]){__VA_ARGS__})), (const char *const[]){__VA_ARGS__})

ST_UNUSED static const char *reply(const char *status, const char *headers, const char *body)
{
    return st_printf(&arena, "HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n%s", status,
                     strlen(body), headers, body);
}

/* One behind which the connection is kept for the next request. */
ST_UNUSED static const char *kept_reply(const char *body)
{
    return st_printf(&arena, "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: %zu\r\n\r\n%s", strlen(body),
                     body);
}

/* Reads a whole request: head, then as many bytes as it says. */
static size_t read_request(int fd, char *buf)
{
    size_t len = 0, whole = 0;
    while (len < REQUEST_MAX - 1 && (!whole || len < whole)) {
        ssize_t n = read(fd, buf + len, REQUEST_MAX - 1 - len);
        if (n <= 0)
            break;
        buf[len += (size_t)n] = '\0';
        const char *end = strstr(buf, "\r\n\r\n"), *length = strcasestr(buf, "content-length:");
        if (end)
            whole = (size_t)(end - buf) + 4 + (length ? strtoul(length + 15, NULL, 10) : 0);
    }
    buf[len] = '\0';
    return len;
}

/* Whether the connection is kept. */
static bool serve_request(int fd, char *buf)
{
    if (read_request(fd, buf) == 0)
        return false;
    atomic_fetch_add(&stand_in.requests, 1);
    while (atomic_load(&stand_in.held))
        st_sleep_ms(2);
    pthread_mutex_lock(&stand_in.lock);
    const char *text = stand_in.answers[stand_in.at];
    stand_in.at += stand_in.at + 1 < stand_in.n;
    memcpy(stand_in.last, buf, REQUEST_MAX);
    pthread_mutex_unlock(&stand_in.lock);
    if (text == SILENCE)
        (void)!read(fd, buf, 1); /* until the other side gives up */
    else if (*text)
        (void)!write(fd, text, strlen(text));
    return strstr(text, "Connection: keep-alive") != NULL;
}

static void *serve_one(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char *buf = malloc(REQUEST_MAX);
    if (!buf)
        abort();
    while (serve_request(fd, buf))
        ;
    shutdown(fd, SHUT_WR);
    (void)!read(fd, buf, 1);
    close(fd);
    free(buf);
    return NULL;
}

static void *serve(void *arg)
{
    for (int fd; (fd = accept4(*(int *)arg, NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
        pthread_t t;
        if (pthread_create(&t, NULL, serve_one, (void *)(intptr_t)fd))
            abort();
        pthread_detach(t);
    }
    return NULL;
}

/* Gives its port. */
static int stand_in_start(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    pthread_t t;
    stand_in.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(stand_in.listener, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(stand_in.listener, 64), 0);
    assert_int_equal(getsockname(stand_in.listener, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(pthread_create(&t, NULL, serve, &stand_in.listener), 0);
    pthread_detach(t);
    return ntohs(at.sin_port);
}

#define STAND_IN_KEY "key-that-nobody-may-see"

/* Names of providers, with blanks between them, as their options begin; sets ST_<NAME>_<option>. */
static void stand_in_point(const char *names, const char *option, const char *value)
{
    while (*names) {
        size_t n = strcspn(names, " ");
        char *variable = st_printf(&arena, "ST_%.*s_%s", (int)n, names, option);
        for (char *c = variable; *c; c++)
            *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
        setenv(variable, value, 1);
        names += n + (names[n] == ' ');
    }
}

static struct st_pg *stand_in_begin(const char *database, const char *names, const char *path)
{
    struct st_pg *db = database_new(database);
    stand_in_point(names, "URL", st_printf(&arena, "http://127.0.0.1:%d%s", stand_in_start(), path));
    return db;
}

static void stand_in_setup(struct st_pg *db, const char *database, const struct st_option *options, const char *names)
{
    const char *why, *path = st_printf(&arena, "%s/%s.key", getenv("ST_TEST_DIR"), database);
    FILE *f = fopen(path, "we");
    assert_true(f && fputs(STAND_IN_KEY "\n", f) >= 0 && fclose(f) == 0);
    stand_in_point(names, "KEY_FILE", path);
    use_database(database);
    assert_int_equal(st_options_load(options, &why), 0);
    change(db, "truncate providers, provider_calls, provider_totals");
}

static void stand_in_stop(void)
{
    shutdown(stand_in.listener, SHUT_RDWR);
    close(stand_in.listener);
}

#endif
