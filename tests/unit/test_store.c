/* The object store: whole or not at all, checked, listed, collected. */
#include "../lib/backbone.h"

#include "io/crypto.h"
#include "svc/object.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { KILLS = 40, LARGE = 300 * 1000 };

static struct st_pg *db;
static struct daemon *alpha;
static struct st_worker worker;
static struct st_call call;

static const struct st_objects objects[] = {
    {"alpha/", "select k from jsonb_array_elements_text($1::jsonb) k join things on name = split_part(k, '/', 2)"},
    {0},
};
static const struct st_service alpha_service = {.name = "alpha", .objects = objects};

static int begin(void **state)
{
    (void)state;
    db = database_new("alpha");
    change(db, "create table things (name text)");
    use_database("alpha");
    alpha = daemon_new(&alpha_service);
    memset(alpha->run.edge_key, 'k', alpha->run.edge_key_len = 32);
    st_worker_init(&worker, &alpha->run, "test");
    return 0;
}

static int end(void **state)
{
    (void)state;
    st_worker_release(&worker);
    daemon_stop(alpha, 0);
    db = st_pg_free(db);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    st_call_init(&call, &worker, "test");
    change(db, "truncate things");
    return st_object_remove(&call, "alpha/");
}

static int teardown(void **state)
{
    (void)state;
    st_arena_reset(&worker.arena);
    st_arena_release(&arena);
    return 0;
}

static const char *place(const char *key)
{
    return st_printf(&arena, "%s/%s", getenv("ST_TEST_DIR"), key);
}

static void put(const char *key, const char *text)
{
    assert_int_equal(st_object_put(&call, key, text, strlen(text)), 0);
}

static const char *get(const char *key)
{
    const char *path, *why;
    char *text;
    size_t len;
    assert_int_equal(st_object_get(&call, key, &path), 0);
    assert_int_equal(st_file_read(&arena, path, &text, &len, &why), 0);
    return text;
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int count_one(void *ctx, const struct st_store_entry *e)
{
    assert_true(st_store_is_key(e->key) && e->put_at > 0);
    ++*(int *)ctx;
    return 0;
}

static int count(const char *prefix)
{
    const struct st_store s = st_store_of_options();
    const char *why;
    int n = 0;
    assert_int_equal(st_store_list(&s, &arena, prefix, count_one, &n, &why), 0);
    return n;
}

static void test_keys(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "video/0193-x/video.mp4", "a/b_c/D.E-f"};
    static const char *const bad[] = {"",     "/a",  "a//b", "../a",  "a/../b", "a/.b", ".sha256/a",
                                      "a/b/", "a b", "a\nb", "a/%2e", "a/b?c",  "ä",    "a\\b"};
    for (size_t i = 0; i < ST_COUNT(good); i++)
        assert_true(st_store_is_key(good[i]));
    for (size_t i = 0; i < ST_COUNT(bad); i++)
        assert_false(st_store_is_key(bad[i]));
    assert_true(st_store_is_prefix("a/b/"));
    assert_false(st_store_is_prefix("a/b"));
    assert_false(st_store_is_prefix("/"));
    const char *path;
    assert_int_equal(st_object_put(&call, "../x", "x", 1), ST_E_INVALID);
    assert_int_equal(st_object_get(&call, "alpha/../../x", &path), ST_E_INVALID);
    assert_int_equal(st_object_remove(&call, "/"), ST_E_INVALID);
}

static void test_what_was_put_is_got(void **state)
{
    (void)state;
    const char *path, *mine = st_printf(&arena, "%s/film", st_scratch(&call));
    put("alpha/a/text.json", "[1, 2]");
    assert_string_equal(get("alpha/a/text.json"), "[1, 2]");
    json_t *j;
    assert_int_equal(st_object_json(&call, "alpha/a/text.json", &j), 0);
    assert_int_equal(json_array_size(j), 2);
    write_file(mine, "moving");
    assert_int_equal(st_object_put_file(&call, "alpha/a/film.mp4", mine), 0);
    assert_true(access(mine, F_OK) < 0);
    assert_string_equal(get("alpha/a/film.mp4"), "moving");
    put("alpha/a/film.mp4", "again"); /* by a job that runs again */
    assert_string_equal(get("alpha/a/film.mp4"), "again");
    put("alpha/empty", "");
    assert_string_equal(get("alpha/empty"), "");
    assert_int_equal(count("alpha/"), 3);
    assert_int_equal(count("alpha/a/"), 2);
    assert_int_equal(count("alpha/b/"), 0);
    assert_int_equal(st_object_get(&call, "alpha/a/film.mp4", &path), 0);
    assert_int_equal(st_object_remove(&call, "alpha/a/"), 0);
    assert_int_equal(access(path, R_OK), 0); /* who reads it reads on */
    assert_int_equal(count("alpha/"), 1);
    assert_true(access(place("alpha/a"), F_OK) < 0);
    assert_int_equal(st_object_get(&call, "alpha/a/film.mp4", &path), ST_E_NOT_FOUND);
    assert_int_equal(st_object_remove(&call, "alpha/a/film.mp4"), 0);
    assert_int_equal(st_object_get(&call, "alpha", &path), ST_E_UNAVAILABLE); /* a folder */
}

static void test_scratch_goes_with_the_call(void **state)
{
    (void)state;
    char *mine = strdup(st_scratch(&call));
    assert_string_equal(mine, st_scratch(&call));
    assert_int_equal(mkdir(st_printf(&arena, "%s/sub", mine), 0700), 0);
    write_file(st_printf(&arena, "%s/sub/file", mine), "x");
    st_arena_reset(&worker.arena);
    assert_true(access(mine, F_OK) < 0);
    free(mine);
}

static void test_what_is_damaged_is_not_handed_out(void **state)
{
    (void)state;
    const char *path;
    put("alpha/a", "as it was");
    write_file(place("alpha/a"), "not as it was");
    assert_int_equal(st_object_get(&call, "alpha/a", &path), ST_E_CONFLICT);
    put("alpha/a", "as it was");
    assert_string_equal(get("alpha/a"), "as it was");
    write_file(place(".sha256/alpha/a"), "");
    assert_int_equal(st_object_get(&call, "alpha/a", &path), ST_E_CONFLICT);
    assert_int_equal(unlink(place(".sha256/alpha/a")), 0); /* of a time before there were any */
    assert_string_equal(get("alpha/a"), "as it was");
}

/* Puts two texts under one key by turns, until it is killed. */
static pid_t writer(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        char *text = malloc(LARGE);
        struct st_store s = st_store_of_options();
        struct st_arena a = {0};
        const char *why;
        for (int i = 0;; i++) {
            const char *path = st_printf(&a, "%s/part-%d-%d", getenv("ST_TEST_DIR"), (int)getpid(), i % 4);
            memset(text, 'a' + i % 2, LARGE);
            FILE *f = fopen(path, "we");
            if (!f || fwrite(text, 1, LARGE, f) != LARGE || fclose(f) || st_store_put(&s, &a, "alpha/x/y", path, &why))
                _exit(1);
            st_arena_reset(&a);
        }
    }
    return pid;
}

/* What is served is whole at every moment; so it is when nobody looks after a kill, and the next put mends the rest. */
static void test_killed_at_any_moment(void **state)
{
    (void)state;
    uint32_t chance = 4711;
    char *text = malloc(LARGE + 1);
    assert_non_null(text);
    for (int i = 0; i < KILLS; i++) {
        pid_t pid = writer();
        int status;
        chance = chance * 1664525 + 1013904223;
        st_sleep_ms(1 + (int)(chance >> 16) % 12);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        int fd = open(place("alpha/x/y"), O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        assert_int_equal(read(fd, text, LARGE + 1), LARGE);
        for (int k = 1; k < LARGE; k++)
            assert_int_equal(text[k], text[0]);
        close(fd);
    }
    free(text);
    assert_true(count("alpha/") <= 1);
    put("alpha/x/y", "mended");
    assert_string_equal(get("alpha/x/y"), "mended");
}

static void make_old(const char *path)
{
    const struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* Somebody was killed between an object and its checksum. */
static void test_checksums_do_not_stay_alone(void **state)
{
    (void)state;
    static const char *const keys[] = {"alpha/lost/a", "alpha/young/a", "alpha/kept/a"};
    const char *path;
    put("alpha/lost/b", "whole");
    for (size_t i = 0; i < ST_COUNT(keys); i++) {
        put(keys[i], "x");
        assert_int_equal(unlink(place(keys[i])), 0);
    }
    change(db, "insert into things values ('kept')");
    make_old(place(".sha256/alpha/lost/a"));
    make_old(place(".sha256/alpha/kept/a"));
    assert_int_equal(count("alpha/"), 4);
    assert_int_equal(st_object_get(&call, "alpha/lost/a", &path), ST_E_NOT_FOUND);
    assert_int_equal(st_objects_collect(&worker), 0);
    assert_true(access(place(".sha256/alpha/lost/a"), F_OK) < 0);
    assert_int_equal(access(place(".sha256/alpha/young/a"), F_OK), 0); /* the object may be about to come */
    assert_int_equal(access(place(".sha256/alpha/kept/a"), F_OK), 0);
    assert_string_equal(get("alpha/lost/b"), "whole");
    assert_int_equal(st_object_remove(&call, "alpha/"), 0);
    assert_true(access(place(".sha256/alpha"), F_OK) < 0);
}

static void test_what_nothing_refers_to_is_collected(void **state)
{
    (void)state;
    const char *left = place(".scratch/01890000-0000-7000-8000-000000000000"); /* of 2023 */
    put("alpha/kept/a", "referred to");
    put("alpha/lost/a", "not referred to, and old");
    put("alpha/young/a", "not referred to yet");
    put("beta/lost/a", "another service's");
    change(db, "insert into things values ('kept')");
    make_old(place("alpha/kept/a"));
    make_old(place("alpha/lost/a"));
    make_old(place("beta/lost/a"));
    assert_int_equal(mkdir(left, 0700), 0);
    write_file(st_printf(&arena, "%s/half", left), "x");
    assert_int_equal(st_objects_collect(&worker), 0);
    assert_int_equal(count("alpha/"), 2);
    assert_true(access(place("alpha/lost"), F_OK) < 0);
    assert_string_equal(get("alpha/kept/a"), "referred to");
    assert_string_equal(get("alpha/young/a"), "not referred to yet");
    assert_string_equal(get("beta/lost/a"), "another service's");
    assert_true(access(left, F_OK) < 0);
    assert_int_equal(access(st_scratch(&call), F_OK), 0);
}

/* What somebody without a token gets by a link, and who they are then. */
static int opens(const char *key, const char *link, const char **ret_viewer)
{
    char signature[100], viewer[100] = "";
    long long expires;
    const char *query = strpbrk(link, "?&");
    if (!query || (sscanf(query + 1, "expires=%lld&viewer=%99[^&]&signature=%99s", &expires, viewer, signature) != 3 &&
                   sscanf(query + 1, "expires=%lld&signature=%99s", &expires, signature) != 2))
        return ST_E_INVALID;
    call.user_id = "";
    call.params = st_json_keep(&arena, json_pack("{s:I, s:s, s:s*}", "expires", (json_int_t)expires, "signature",
                                                 signature, "viewer", *viewer ? viewer : NULL));
    int r = st_object_admit(&call, key);
    *ret_viewer = st_strdup(&arena, call.user_id);
    return r;
}

static void test_links(void **state)
{
    (void)state;
    const char *viewer;
    call.user_id = "u-1";
    const char *link = st_object_link(&call, "/v1/a", "alpha/a");
    assert_true(st_starts(link, "/v1/a?expires="));
    assert_true(st_starts(st_object_link(&call, "/v1/a?b=c", "alpha/a"), "/v1/a?b=c&expires="));
    assert_int_equal(opens("alpha/a", link, &viewer), 0);
    assert_string_equal(viewer, "u-1");
    assert_int_equal(opens("alpha/b", link, &viewer), ST_E_UNAUTHENTICATED);
    assert_string_equal(viewer, "");
    const struct st_job job = {0};
    call.user_id = "u-1"; /* for whom it is */
    call.job = &job;
    assert_int_equal(opens("alpha/a", st_object_link(&call, "/v1/a", "alpha/a"), &viewer), 0);
    assert_string_equal(viewer, "");
    call.job = NULL;
    char *other = st_strdup(&arena, link), *number = strstr(other, "expires=") + strlen("expires=");
    strstr(other, "u-1")[2] = '2'; /* another's */
    assert_int_equal(opens("alpha/a", other, &viewer), ST_E_UNAUTHENTICATED);
    strstr(other, "u-2")[2] = '1';
    *number = '9'; /* a century or two more */
    assert_int_equal(opens("alpha/a", other, &viewer), ST_E_UNAUTHENTICATED);
    *number = '1';
    number[1] = '0'; /* the past */
    assert_int_equal(opens("alpha/a", other, &viewer), ST_E_UNAUTHENTICATED);
    call.params = st_json_keep(&arena, json_object());
    assert_int_equal(st_object_admit(&call, "alpha/a"), ST_E_UNAUTHENTICATED);
    call.user_id = "u-1";
    assert_int_equal(st_object_admit(&call, "alpha/a"), 0); /* to be judged by the operation */
}

int main(int argc, char **argv)
{
    (void)argc;
    world_start(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_was_put_is_got, setup, teardown),
        cmocka_unit_test_setup_teardown(test_scratch_goes_with_the_call, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_damaged_is_not_handed_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_at_any_moment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_checksums_do_not_stay_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_nothing_refers_to_is_collected, setup, teardown),
        cmocka_unit_test_setup_teardown(test_links, setup, teardown),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
