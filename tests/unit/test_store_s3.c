/* Objects in S3: against a stand-in that fails in every way, and a server of npm's; both check every signature. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "../lib/child.h"

#include "base/base.h"
#include "io/http_client.h"
#include "io/store_int.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LARGE = 3 << 20 };

static struct st_arena arena;
static char dir[] = "/tmp/storytelling-s3.XXXXXX";
static struct st_store store;
static char modules[PATH_MAX]; /* of npm's; "": there are none */
static pid_t server;
static const char *why;

static const char *in_dir(const char *name)
{
    return st_printf(&arena, "%s/%s", dir, name);
}

static void write_file(const char *path, const void *data, size_t len)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static int stop(void **state)
{
    (void)state;
    child_stop(&server);
    st_arena_release(&arena);
    return 0;
}

static int start_stand_in(void **state)
{
    (void)state;
    static char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/stories", child_start_stand_in(&server, "S3", dir));
    store = (struct st_store){.kind = "s3",
                              .url = url,
                              .region = "eu-test-1",
                              .key_id = "AKIDTEST",
                              .secret = "a secret/of+some kind",
                              .stall_s = 1,
                              .pause_ms = 10};
    assert_int_equal(st_store_check(&store, &why), 0);
    return 0;
}

static void faults(const char *list)
{
    write_file(in_dir("faults"), list, strlen(list));
}

static int put(const char *key, const void *data, size_t len)
{
    const char *path = in_dir("put");
    write_file(path, data, len);
    return st_store_put(&store, &arena, key, path, &why);
}

static int get(const char *key, char **ret, size_t *ret_len)
{
    const char *path = in_dir("got");
    int r = st_store_get(&store, &arena, key, path, &why);
    if (r < 0)
        return access(path, F_OK) < 0 ? r : ST_E_INTERNAL; /* nothing half may be left */
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    *ret = st_alloc(&arena, LARGE + 1);
    *ret_len = fread(*ret, 1, LARGE + 1, f);
    fclose(f);
    return 0;
}

static int note(void *ctx, const struct st_store_entry *e)
{
    char *all = ctx;
    assert_true(e->put_at > 1500000000 * ST_SECOND);
    snprintf(all + strlen(all), 1000 - strlen(all), "%s:%lld ", e->key, (long long)e->bytes);
    return 0;
}

static const char *list(const char *prefix)
{
    char *all = st_alloc(&arena, 1000);
    int r = st_store_list(&store, &arena, prefix, note, all, &why);
    return r < 0 ? st_err_code(r) : all;
}

/* What every server of this kind must do for us. */
static void check_server(void)
{
    char *large = st_alloc(&arena, LARGE), *found;
    size_t len;
    for (int i = 0; i < LARGE; i++)
        large[i] = (char)(i ^ i >> 9);
    assert_int_equal(put("video/1/video.mp4", large, LARGE), 0);
    assert_true(access(in_dir("put"), F_OK) < 0);
    assert_int_equal(get("video/1/video.mp4", &found, &len), 0);
    assert_int_equal(len, LARGE);
    assert_memory_equal(found, large, LARGE);
    assert_int_equal(put("video/1/captions.vtt", "one", 3), 0);
    assert_int_equal(put("video/1/captions.vtt", "other", 5), 0);
    assert_int_equal(put("video/2/empty", "", 0), 0);
    assert_int_equal(put("story/2.json", "[]", 2), 0);
    assert_int_equal(get("video/2/empty", &found, &len), 0);
    assert_int_equal(len, 0);
    assert_string_equal(list("video/"), "video/1/captions.vtt:5 video/1/video.mp4:3145728 video/2/empty:0 ");
    assert_string_equal(list("video/3/"), "");
    assert_int_equal(get("video/3/none", &found, &len), ST_E_NOT_FOUND);
    assert_int_equal(st_store_remove(&store, &arena, "video/1/video.mp4", &why), 0);
    assert_int_equal(st_store_remove(&store, &arena, "video/1/video.mp4", &why), 0);
    assert_int_equal(get("video/1/video.mp4", &found, &len), ST_E_NOT_FOUND);

    struct st_http_client *client = st_http_client_new(NULL, NULL);
    const char *const range[] = {"Range: bytes=1-2", NULL};
    struct st_http_call call = {
        .method = "GET",
        .url = st_store_link(&store, &arena, "video/1/captions.vtt", "text/vtt; charset=utf-8", 60),
        .headers = range,
        .timeout_ms = 30000,
        .answer_max = 1000};
    struct st_http_answer answer;
    assert_int_equal(st_http_client_do(client, &call, &arena, &answer, &why), 0);
    assert_int_equal(answer.status, 206);
    assert_string_equal(answer.body, "th");
    assert_string_equal(answer.content_type, "text/vtt; charset=utf-8");
    st_http_client_free(client);
}

static void test_stand_in(void **state)
{
    (void)state;
    check_server();
    store.secret = "another";
    assert_string_equal(list("video/"), "unavailable");
    assert_string_equal(why, "S3 answers 403 SignatureDoesNotMatch");
}

static void test_what_passes_is_tried_again(void **state)
{
    (void)state;
    char *found;
    size_t len;
    faults("500\nreset\nok\n");
    assert_int_equal(put("a/b", "whole and right", 15), 0);
    faults("503\ncut\nstall\nok\n");
    assert_int_equal(get("a/b", &found, &len), 0);
    assert_string_equal(found, "whole and right");
    faults("reset\n429\n");
    assert_string_equal(list("a/"), "a/b:15 ");
    faults("reset\n");
    assert_int_equal(st_store_remove(&store, &arena, "a/b", &why), 0);
    assert_string_equal(list("a/"), "");
}

static void test_what_does_not_pass(void **state)
{
    (void)state;
    char *found;
    size_t len;
    assert_int_equal(put("a/b", "whole and right", 15), 0);
    faults("500\n500\n500\n500\n500\n");
    assert_int_equal(put("a/b", "other", 5), ST_E_UNAVAILABLE);
    assert_string_equal(why, "S3 answers 500 SlowDown");
    assert_int_equal(access(in_dir("put"), F_OK), 0); /* for another attempt */
    faults("flip\n");
    assert_int_equal(get("a/b", &found, &len), ST_E_CONFLICT);
    faults("cut\ncut\ncut\ncut\ncut\n");
    assert_int_equal(get("a/b", &found, &len), ST_E_UNAVAILABLE);
    faults("list\n");
    assert_string_equal(list("a/"), "");
    faults("403\n");
    assert_int_equal(st_store_remove(&store, &arena, "a/b", &why), ST_E_UNAVAILABLE);
    faults("");
    assert_int_equal(get("a/b", &found, &len), 0);
    stop(NULL);
    assert_int_equal(get("a/b", &found, &len), ST_E_UNAVAILABLE);
}

/* The example of Amazon's documentation of presigned addresses. */
static void test_link_of_the_documentation(void **state)
{
    (void)state;
    const struct st_store s = {
        .region = "us-east-1", .key_id = "AKIAIOSFODNN7EXAMPLE", .secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};
    const char *query =
        st_s3_presign(&arena, &s, "examplebucket.s3.amazonaws.com", "/test.txt", "", 1369353600 * ST_SECOND, 86400);
    assert_true(st_ends(query, "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"));
}

static void test_settings(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "s3.example", "ftp://x/b", "https://x/b/", "https://u@x/b", "https://x/b?c"};
    struct st_store s = {.kind = "s3", .region = "r", .key_id = "i", .secret = "s"};
    for (size_t i = 0; i < ST_COUNT(bad); i++) {
        s.url = bad[i];
        assert_int_equal(st_store_check(&s, &why), ST_E_INVALID);
    }
    s.url = "https://s3.eu-west-1.amazonaws.com/bucket";
    assert_int_equal(st_store_check(&s, &why), 0);
    s.secret = "";
    assert_int_equal(st_store_check(&s, &why), ST_E_INVALID);
    s.kind = "tape";
    assert_int_equal(st_store_check(&s, &why), ST_E_INVALID);
}

/* npm's s3rver, where every signature must be the one that Amazon's own SDK would make. */
static void test_a_real_server(void **state)
{
    (void)state;
    if (!*modules)
        return; /* as the name says then */
    setenv("NODE_PATH", modules, 1);
    const char *const argv[] = {"node", "tests/lib/s3rver/serve.js", in_dir("s3rver"), NULL};
    static char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/stories", child_start(&server, argv));
    store = (struct st_store){.kind = "s3", .url = url, .region = "us-east-1", .key_id = "S3RVER", .secret = "S3RVER"};
    check_server();
    store.secret = "another";
    assert_string_equal(list("video/"), "unavailable");
    assert_string_equal(why, "S3 answers 403 SignatureDoesNotMatch");
    struct st_http_client *client = st_http_client_new(NULL, NULL);
    struct st_http_call call = {.method = "GET",
                                .url = st_store_link(&store, &arena, "video/1/captions.vtt", "text/vtt", 60),
                                .timeout_ms = 30000,
                                .answer_max = 1000};
    struct st_http_answer answer;
    assert_int_equal(st_http_client_do(client, &call, &arena, &answer, &why), 0);
    assert_int_equal(answer.status, 403);
    st_http_client_free(client);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int end(void **state)
{
    (void)state;
    return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(int argc, char **argv)
{
    (void)argc;
    char *slash = strrchr(argv[0], '/');
    const char *bin = slash ? st_strndup(&arena, argv[0], (size_t)(slash - argv[0])) : ".";
    if (!realpath(st_printf(&arena, "%s/s3rver/node_modules", bin), modules))
        *modules = '\0';
    signal(SIGPIPE, SIG_IGN);
    if (!mkdtemp(dir))
        return 1;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_stand_in, start_stand_in, stop),
        cmocka_unit_test_setup_teardown(test_what_passes_is_tried_again, start_stand_in, stop),
        cmocka_unit_test_setup_teardown(test_what_does_not_pass, start_stand_in, stop),
        cmocka_unit_test_teardown(test_link_of_the_documentation, stop),
        cmocka_unit_test_teardown(test_settings, stop),
        {*modules ? "test_a_real_server"
                  : "test_a_real_server # SKIP npm's registry was not there when s3rver was to be fetched",
         test_a_real_server, NULL, stop, NULL},
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
