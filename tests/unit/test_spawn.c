/* st_spawn: what a child gets, what comes back, and that nothing is left of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "base/spawn.h"

static struct st_arena arena;

static int run_sh(const char *script, struct st_spawn s, struct st_spawn_result *result)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    s.argv = argv;
    if (!s.timeout_us)
        s.timeout_us = 20 * ST_SECOND;
    return st_spawn(&arena, &s, result);
}

static int release(void **state)
{
    (void)state;
    st_arena_release(&arena);
    /* No test may leave a child behind, living or dead. */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    return 0;
}

static void test_output_and_status(void **state)
{
    (void)state;
    struct st_spawn_result r;
    assert_int_equal(run_sh("echo out; echo err >&2; exit 3", (struct st_spawn){0}, &r), 3);
    assert_string_equal(r.out, "out\n");
    assert_int_equal(r.out_len, 4);
    assert_string_equal(r.err, "err\n");
    assert_int_equal(r.signal, 0);
    assert_int_equal(run_sh("kill -9 $$", (struct st_spawn){0}, &r), ST_E_INTERNAL);
    assert_int_equal(r.signal, SIGKILL);
    assert_string_equal(r.out, "");
}

static void test_arguments_meet_no_shell(void **state)
{
    (void)state;
    const char *argv[] = {"printf", "%s|", "a b", "$(id)", "'\"", "", NULL};
    struct st_spawn_result r;
    assert_int_equal(st_spawn(&arena, &(struct st_spawn){.argv = argv, .timeout_us = ST_SECOND}, &r), 0);
    assert_string_equal(r.out, "a b|$(id)|'\"||");
}

static void test_cannot_start(void **state)
{
    (void)state;
    struct st_spawn_result r;
    const char *missing[] = {"no-such-program-here", NULL}, *no_exec[] = {"/etc/passwd", NULL}, *none[] = {NULL};
    assert_int_equal(st_spawn(&arena, &(struct st_spawn){.argv = missing, .timeout_us = 1}, &r), ST_E_NOT_FOUND);
    assert_int_equal(st_spawn(&arena, &(struct st_spawn){.argv = no_exec, .timeout_us = 1}, &r), ST_E_NOT_FOUND);
    assert_int_equal(st_spawn(&arena, &(struct st_spawn){.argv = none, .timeout_us = 1}, &r), ST_E_INVALID);
    assert_int_equal(st_spawn(&arena, &(struct st_spawn){.argv = missing}, &r), ST_E_INVALID);
    assert_int_equal(run_sh("true", (struct st_spawn){.dir = "/no/such/dir"}, &r), ST_E_NOT_FOUND);
    assert_string_equal(r.err, "");
}

static void test_input(void **state)
{
    (void)state;
    struct st_spawn_result r;
    assert_int_equal(run_sh("cat", (struct st_spawn){0}, &r), 0);
    assert_string_equal(r.out, "");
    size_t size = 3 << 20;
    char *big = st_alloc(&arena, size);
    memset(big, 'x', size);
    assert_int_equal(run_sh("cat", (struct st_spawn){.input = big, .input_len = size, .max_out = size}, &r), 0);
    assert_int_equal(r.out_len, size);
    assert_memory_equal(r.out, big, size);
    /* A child that does not read it is no trouble. */
    assert_int_equal(run_sh("exit 0", (struct st_spawn){.input = big, .input_len = size}, &r), 0);
}

static void test_environment(void **state)
{
    (void)state;
    setenv("DATABASE_PASSWORD", "secret", 1);
    const char *const env[] = {"COLOR=blue", NULL};
    struct st_spawn_result r;
    assert_int_equal(run_sh("env", (struct st_spawn){.env = env, .dir = "/"}, &r), 0);
    assert_null(strstr(r.out, "secret"));
    assert_non_null(strstr(r.out, "COLOR=blue\n"));
    assert_non_null(strstr(r.out, "PATH="));
    assert_int_equal(run_sh("pwd", (struct st_spawn){.dir = "/usr"}, &r), 0);
    assert_string_equal(r.out, "/usr\n");
}

static void test_descriptors_and_signals(void **state)
{
    (void)state;
    int leak = open("/etc/passwd", O_RDONLY); /* no O_CLOEXEC, as a library might do */
    assert_true(leak > 2);
    assert_true(dup2(leak, 200) == 200);
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, &old);
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    struct st_spawn_result r;
    int rc = run_sh("for i in $(seq 3 255); do [ -e /proc/$$/fd/$i ] && readlink /proc/$$/fd/$i; done;"
                    "exec grep -E '^Sig(Blk|Ign)' /proc/self/status",
                    (struct st_spawn){0}, &r);
    signal(SIGPIPE, before);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    close(leak);
    close(200);
    assert_int_equal(rc, 0);
    /* 32 and 33 are libc's own: nobody may set them, and make has its children ignore them. */
    const char *ignored = strstr(r.out, "SigIgn:\t");
    assert_non_null(ignored);
    assert_memory_equal(r.out, "SigBlk:\t0000000000000000\n", strlen("SigBlk:\t0000000000000000\n"));
    assert_true((strtoull(ignored + strlen("SigIgn:\t"), NULL, 16) & ~0x180000000ull) == 0);
}

static void test_closed_stdio(void **state)
{
    (void)state;
    int saved[3];
    for (int fd = 0; fd < 3; fd++) {
        saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 50);
        close(fd);
    }
    struct st_spawn_result r;
    int rc = run_sh("cat; echo err >&2", (struct st_spawn){.input = "in", .input_len = 2}, &r);
    for (int fd = 0; fd < 3; fd++) {
        if (saved[fd] >= 0)
            dup2(saved[fd], fd);
        close(saved[fd]);
    }
    assert_int_equal(rc, 0);
    assert_string_equal(r.out, "in");
    assert_string_equal(r.err, "err\n");
}

/* The group's members are killed with it; init needs a moment to bury them. */
static void assert_dies(const char *pid_text)
{
    int64_t pid;
    char *text = st_strndup(&arena, pid_text, strcspn(pid_text, "\n"));
    assert_true(st_parse_i64(text, 2, INT32_MAX, &pid));
    for (int i = 0; i < 6000; i++) {
        char *path = st_printf(&arena, "/proc/%d/stat", (int)pid), line[256] = "";
        FILE *f = fopen(path, "re");
        if (!f)
            return;
        bool zombie = fgets(line, sizeof(line), f) && strstr(line, ") Z ");
        fclose(f);
        if (zombie)
            return;
        st_sleep_ms(10);
    }
    fail_msg("process %d is still there", (int)pid);
}

static void test_timeout_kills_the_group(void **state)
{
    (void)state;
    struct st_spawn_result r;
    int64_t from = st_mono();
    assert_int_equal(
        run_sh("trap '' TERM; sleep 600 & echo $! >&2; sleep 601", (struct st_spawn){.timeout_us = 200000}, &r),
        ST_E_TIMEOUT);
    assert_true(st_mono() - from < 60 * ST_SECOND);
    assert_int_equal(r.signal, SIGKILL);
    assert_dies(r.err);
}

static void test_end_kills_the_group(void **state)
{
    (void)state;
    struct st_spawn_result r;
    int64_t from = st_mono();
    assert_int_equal(run_sh("sleep 600 & echo $!", (struct st_spawn){0}, &r), 0);
    assert_true(st_mono() - from < 60 * ST_SECOND);
    assert_dies(r.out);
}

static bool cancel_third_time(void *arg)
{
    return ++*(int *)arg >= 3;
}

static void test_cancel(void **state)
{
    (void)state;
    int asked = 0;
    struct st_spawn_result r;
    int64_t from = st_mono();
    assert_int_equal(run_sh("sleep 600", (struct st_spawn){.cancelled = cancel_third_time, .arg = &asked}, &r),
                     ST_E_CANCELLED);
    assert_true(st_mono() - from < 60 * ST_SECOND);
    assert_int_equal(asked, 3);
}

static void test_output_is_bounded(void **state)
{
    (void)state;
    struct st_spawn_result r;
    assert_int_equal(run_sh("yes", (struct st_spawn){.max_out = 1000}, &r), ST_E_TOO_LARGE);
    assert_int_equal(run_sh("head -c 1000 /dev/zero", (struct st_spawn){.max_out = 1000}, &r), 0);
    assert_int_equal(r.out_len, 1000);
    assert_int_equal(run_sh("head -c 1001 /dev/zero", (struct st_spawn){.max_out = 1000}, &r), ST_E_TOO_LARGE);
    assert_int_equal(run_sh("seq 1 100000 >&2; echo last >&2; exit 1", (struct st_spawn){0}, &r), 1);
    assert_int_equal(strlen(r.err), ST_SPAWN_ERR);
    assert_true(st_ends(r.err, "99999\n100000\nlast\n"));
}

static void collect(void *arg, const char *line)
{
    st_buf_printf(arg, "[%.20s %zu]", line, strlen(line));
}

static void test_lines(void **state)
{
    (void)state;
    struct st_buf lines = ST_BUF(10000);
    struct st_spawn_result r;
    int rc =
        run_sh("printf 'one\\n\\ntw'; sleep 0.05; printf 'o\\n'; head -c 9000 /dev/zero | tr '\\0' x; printf '\\nend'",
               (struct st_spawn){.on_line = collect, .arg = &lines}, &r);
    assert_int_equal(rc, 0);
    assert_string_equal(lines.data, "[one 3][ 0][two 3][xxxxxxxxxxxxxxxxxxxx 4095][end 3]");
    assert_string_equal(r.out, "");
    st_buf_release(&lines);
}

static void test_limits(void **state)
{
    (void)state;
    struct st_spawn_result r;
    assert_true(run_sh("exec dd if=/dev/zero of=/dev/null bs=300M count=1", (struct st_spawn){.max_memory = 100 << 20},
                       &r) > 0);
    char file[] = "/tmp/st-test-spawn-XXXXXX";
    assert_true(close(mkstemp(file)) == 0);
    char *script = st_printf(&arena, "exec head -c 100000 /dev/zero > %s", file);
    assert_int_not_equal(run_sh(script, (struct st_spawn){.max_file = 5000}, &r), 0);
    FILE *f = fopen(file, "re");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    assert_int_equal(ftell(f), 5000);
    fclose(f);
    unlink(file);
    assert_int_equal(run_sh("while :; do :; done", (struct st_spawn){.max_cpu_s = 1}, &r), ST_E_INTERNAL);
    assert_true(r.signal == SIGKILL || r.signal == SIGXCPU);
}

/* Whose fault it was. */
static void test_verdicts(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        int verdict;
    } cases[] = {
        {"exit 0", 0},
        {"exit 3", ST_E_UNPROCESSABLE},
        {"kill -SEGV $$", ST_E_UNPROCESSABLE},
        {"kill -KILL $$", ST_E_TIMEOUT},
        {"exec sleep 100", ST_E_TIMEOUT},
        {"echo 'a.mp4: No space left on device' >&2; exit 228", ST_E_UNAVAILABLE},
        {"echo 'a.mp4: Disk quota exceeded' >&2; exit 1", ST_E_UNAVAILABLE},
    };
    struct st_spawn_result r;
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        struct st_spawn s = {.timeout_us = st_starts(cases[i].script, "exec sleep") ? ST_SECOND / 10 : 0};
        int rc = run_sh(cases[i].script, s, &r);
        if (st_spawn_verdict(rc, &r) != cases[i].verdict)
            fail_msg("%s: %d", cases[i].script, rc);
    }
    const char *missing[] = {"no-such-program-here", NULL};
    int rc = st_spawn(&arena, &(struct st_spawn){.argv = missing, .timeout_us = 1}, &r);
    assert_int_equal(st_spawn_verdict(rc, &r), ST_E_UNAVAILABLE);
}

static void *spawn_many(void *arg)
{
    struct st_arena a = {0};
    for (int i = 0; i < 25; i++) {
        const char *word = st_printf(&a, "%d-%d", *(int *)arg, i), *argv[] = {"cat", NULL};
        struct st_spawn_result r;
        int rc = st_spawn(
            &a,
            &(struct st_spawn){.argv = argv, .input = word, .input_len = strlen(word), .timeout_us = 20 * ST_SECOND},
            &r);
        if (rc != 0 || !st_streq(r.out, word))
            *(int *)arg = -1;
    }
    st_arena_release(&a);
    return NULL;
}

static int count_descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void test_threads(void **state)
{
    (void)state;
    int before = count_descriptors();
    pthread_t threads[6];
    int ids[6];
    for (int i = 0; i < 6; i++) {
        ids[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, spawn_many, &ids[i]), 0);
    }
    for (int i = 0; i < 6; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(ids[i], i);
    }
    assert_int_equal(count_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_output_and_status, release),
        cmocka_unit_test_teardown(test_arguments_meet_no_shell, release),
        cmocka_unit_test_teardown(test_cannot_start, release),
        cmocka_unit_test_teardown(test_input, release),
        cmocka_unit_test_teardown(test_environment, release),
        cmocka_unit_test_teardown(test_descriptors_and_signals, release),
        cmocka_unit_test_teardown(test_closed_stdio, release),
        cmocka_unit_test_teardown(test_timeout_kills_the_group, release),
        cmocka_unit_test_teardown(test_end_kills_the_group, release),
        cmocka_unit_test_teardown(test_cancel, release),
        cmocka_unit_test_teardown(test_output_is_bounded, release),
        cmocka_unit_test_teardown(test_lines, release),
        cmocka_unit_test_teardown(test_limits, release),
        cmocka_unit_test_teardown(test_verdicts, release),
        cmocka_unit_test_teardown(test_threads, release),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
