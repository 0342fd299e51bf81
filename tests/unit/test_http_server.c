/* The HTTP server of services: bodies whole, and in pieces while they come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/base.h"
#include "io/http_server.h"

enum { PIECE = 10, WAIT_MS = 60000 };

static struct st_arena arena;
static char dir[] = "/tmp/st-http-XXXXXX";
static struct st_http_server *server;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct st_buf journal; /* what the handler was given */

static size_t piece_of(void *ctx, const struct st_http_request *req)
{
    (void)ctx;
    return st_streq(req->path, "/pieces") && st_streq(req->query, "a=1") ? PIECE : 0;
}

static void handle(void *ctx, int thread, struct st_http_request *req, struct st_http_response *res)
{
    (void)ctx;
    (void)thread;
    pthread_mutex_lock(&lock);
    st_buf_printf(&journal, "[%zu %s%s%s]", req->body_at, req->body, req->more ? " more" : "", req->cut ? " cut" : "");
    pthread_mutex_unlock(&lock);
    res->status = strchr(req->body, '!') ? 409 : 200;
    res->body = st_printf(req->arena, "at %zu", req->body_at);
    res->body_len = strlen(res->body);
}

static const char *told(void)
{
    pthread_mutex_lock(&lock);
    const char *text = st_strdup(&arena, journal.data ? journal.data : "");
    pthread_mutex_unlock(&lock);
    return text;
}

static void wait_for(const char *text)
{
    for (int waited = 0; !st_streq(told(), text); waited++) {
        if (waited == WAIT_MS)
            fail_msg("%s, not %s", told(), text);
        st_sleep_ms(1);
    }
}

static int setup(void **state)
{
    (void)state;
    const struct st_http_options options = {.socket_path = st_printf(&arena, "%s/s", dir),
                                            .threads = 2,
                                            .body_max = 50,
                                            .piece = piece_of,
                                            .handler = handle};
    journal = ST_BUF(10000);
    return st_http_server_start(&options, &server);
}

static int teardown(void **state)
{
    (void)state;
    if (server)
        st_http_server_stop(server, 1000);
    server = NULL;
    st_buf_release(&journal);
    st_arena_release(&arena);
    return 0;
}

static int dial(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof(at.sun_path), "%s/s", dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static int begin(const char *target, size_t length)
{
    int fd = dial();
    say(fd, st_printf(&arena, "PATCH %s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", target, length));
    return fd;
}

/* Its status, and a space, and its body. */
static const char *answer(int fd)
{
    char *buf = st_alloc(&arena, 4096);
    size_t len = 0;
    for (ssize_t n; len < 4095 && (n = read(fd, buf + len, 4095 - len)) > 0;) {
        buf[len += (size_t)n] = '\0';
        const char *end = strstr(buf, "\r\n\r\n"), *length = strcasestr(buf, "content-length:");
        if (end && length && strlen(end + 4) >= strtoul(length + 15, NULL, 10)) {
            close(fd);
            return st_printf(&arena, "%.3s %s", buf + 9, end + 4);
        }
    }
    close(fd);
    return "";
}

static void test_whole(void **state)
{
    (void)state;
    int fd = begin("/whole?a=1", 26);
    say(fd, "abcdefghijklm");
    say(fd, "nopqrstuvwxyz");
    assert_string_equal(answer(fd), "200 at 0");
    assert_string_equal(told(), "[0 abcdefghijklmnopqrstuvwxyz]");
    fd = begin("/whole", 60);
    say(fd, "012345678901234567890123456789012345678901234567890123456789");
    assert_true(st_starts(answer(fd), "413"));
}

static void test_pieces(void **state)
{
    (void)state;
    int fd = begin("/pieces?a=1", 26);
    say(fd, "abcdefghijklm");
    wait_for("[0 abcdefghij more]"); /* while the rest has not come */
    say(fd, "nopqrstuvwxyz");
    assert_string_equal(answer(fd), "200 at 20");
    assert_string_equal(told(), "[0 abcdefghij more][10 klmnopqrst more][20 uvwxyz]");
}

static void test_no_rest(void **state)
{
    (void)state;
    int fd = begin("/pieces?a=1", 10);
    say(fd, "abcdefghij");
    assert_string_equal(answer(fd), "200 at 10");
    assert_string_equal(told(), "[0 abcdefghij more][10 ]");
}

static void test_refused(void **state)
{
    (void)state;
    int fd = begin("/pieces?a=1", 32);
    say(fd, "abcdefghijklmno!pqrstuvwxyzabcde");
    assert_string_equal(answer(fd), "409 at 10");
    assert_string_equal(told(), "[0 abcdefghij more][10 klmno!pqrs more]");
}

static void test_cut(void **state)
{
    (void)state;
    int fd = begin("/pieces?a=1", 100);
    say(fd, "abcdefghijklm");
    wait_for("[0 abcdefghij more]");
    close(fd);
    wait_for("[0 abcdefghij more][10 klm cut]");
    fd = begin("/pieces?a=1", 100); /* nothing of it has come that is not handed over */
    say(fd, "abcdefghij");
    wait_for("[0 abcdefghij more][10 klm cut][0 abcdefghij more]");
    close(fd);
    fd = begin("/whole", 20);
    say(fd, "abc");
    close(fd);
    st_http_server_stop(server, 1000);
    server = NULL;
    assert_string_equal(told(), "[0 abcdefghij more][10 klm cut][0 abcdefghij more]");
}

static void test_stopped(void **state)
{
    (void)state;
    int fd = begin("/pieces?a=1", 100);
    say(fd, "abcdefghijklm");
    wait_for("[0 abcdefghij more]");
    st_http_server_stop(server, 0);
    server = NULL;
    assert_string_equal(told(), "[0 abcdefghij more][10 klm cut]");
    close(fd);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (!mkdtemp(dir))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_rest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stopped, setup, teardown),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(st_printf(&arena, "%s/s", dir));
    (void)rmdir(dir);
    st_arena_release(&arena);
    return failed;
}
