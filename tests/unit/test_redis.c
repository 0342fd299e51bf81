/* The Redis adapter, against a real server: answers, errors by kind, pipelines, loss of the connection, subscribers. */
#include "../lib/backbone.h"

static int setup(void **state)
{
    (void)state;
    redis_do("FLUSHALL");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    st_arena_release(&arena);
    return 0;
}

static void kill_connections(void)
{
    redis_do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    redis_do("CLIENT", "KILL", "TYPE", "pubsub");
}

static void test_answers(void **state)
{
    (void)state;
    assert_string_equal(redis_do("SET", "k", "value with spaces \"and\" \r\n lines").str, "OK");
    struct st_reply r = redis_do("GET", "k");
    assert_int_equal(r.kind, ST_REPLY_STRING);
    assert_int_equal(r.len, strlen(r.str));
    assert_string_equal(r.str, "value with spaces \"and\" \r\n lines");
    assert_int_equal(redis_do("GET", "absent").kind, ST_REPLY_NIL);
    r = redis_do("INCRBY", "n", "-9223372036854775808");
    assert_int_equal(r.kind, ST_REPLY_INTEGER);
    assert_true(r.num == INT64_MIN);
    assert_string_equal(redis_do("SET", "empty", "").str, "OK");
    assert_int_equal(redis_do("GET", "empty").len, 0);
}

static void test_trees_and_binary_answers(void **state)
{
    (void)state;
    redis_do("EVAL", "redis.call('SET', 'bin', 'a\\0b')", "0");
    struct st_reply r = redis_do("GET", "bin");
    assert_int_equal(r.len, 3);
    assert_memory_equal(r.str, "a\0b", 4); /* and a NUL behind it */
    r = redis_do("EVAL", "return {1, {'x', {}, false}, 'y'}", "0");
    assert_int_equal(r.n_items, 3);
    assert_int_equal(r.items[1].n_items, 3);
    assert_string_equal(r.items[1].items[0].str, "x");
    assert_int_equal(r.items[1].items[1].kind, ST_REPLY_ARRAY);
    assert_int_equal(r.items[1].items[1].n_items, 0);
    assert_int_equal(r.items[1].items[2].kind, ST_REPLY_NIL);
}

static void test_errors_tell_whether_to_try_again(void **state)
{
    (void)state;
    struct st_reply r;
    redis_do("SET", "text", "x");
    assert_int_equal(st_redis_cmd(redis, &arena, &r, "INCR", "text", NULL), ST_E_INTERNAL);
    assert_non_null(strstr(st_redis_error(redis), "not an integer"));
    assert_int_equal(st_redis_cmd(redis, &arena, &r, "XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">", NULL),
                     ST_E_INTERNAL);
    redis_do("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM");
    assert_int_equal(st_redis_cmd(redis, &arena, &r, "XGROUP", "CREATE", "s", "g", "0", NULL), ST_E_INTERNAL);
    assert_true(st_starts(st_redis_error(redis), "BUSYGROUP"));
    redis_do("CONFIG", "SET", "maxmemory", "1");
    assert_int_equal(st_redis_cmd(redis, &arena, &r, "SET", "k", "v", NULL), ST_E_UNAVAILABLE);
    redis_do("CONFIG", "SET", "maxmemory", "0");
    redis_do("REPLICAOF", "127.0.0.1", "1");
    assert_int_equal(st_redis_cmd(redis, &arena, &r, "SET", "k", "v", NULL), ST_E_UNAVAILABLE);
    redis_do("REPLICAOF", "NO", "ONE");
    redis_do("SET", "k", "v");
}

static void test_pipeline_keeps_order_and_errors(void **state)
{
    (void)state;
    struct st_reply r;
    for (int i = 0; i < 1000; i++) {
        const char *const set[] = {"RPUSH", "list", st_i64(&arena, i)};
        const char *const bad[] = {"INCR", "list"};
        assert_int_equal(st_redis_queue(redis, i == 500 ? 2 : 3, i == 500 ? bad : set), 0);
    }
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(st_redis_read(redis, &arena, &r), 0);
        assert_int_equal(r.kind, i == 500 ? ST_REPLY_ERROR : ST_REPLY_INTEGER);
        if (i != 500)
            assert_int_equal(r.num, i < 500 ? i + 1 : i);
    }
}

static void test_a_lost_connection_loses_the_whole_pipeline(void **state)
{
    (void)state;
    struct st_reply r;
    struct st_redis *other = st_redis_new(getenv("ST_REDIS"), 2000);
    const char *const push[] = {"RPUSH", "half", "x"};
    assert_int_equal(st_redis_cmd(other, &arena, &r, "PING", NULL), 0);
    assert_int_equal(st_redis_generation(other), 1);
    kill_connections();
    for (int i = 0; i < 10; i++)
        assert_int_equal(st_redis_queue(other, 3, push), 0);
    for (int i = 0; i < 10; i++) /* no later part of it may arrive on a new connection */
        assert_int_equal(st_redis_read(other, &arena, &r), ST_E_UNAVAILABLE);
    assert_true(wait_for(st_redis_cmd(other, &arena, &r, "PING", NULL) == 0));
    assert_int_equal(st_redis_generation(other), 2);
    assert_int_equal(redis_do("LLEN", "half").num, 0);
    st_redis_free(other);
}

static void test_no_server(void **state)
{
    (void)state;
    struct st_reply r;
    struct st_redis *none = st_redis_new("/nonexistent/redis.sock", 2000);
    int64_t from = st_mono();
    for (int i = 0; i < 1000; i++)
        assert_int_equal(st_redis_cmd(none, &arena, &r, "PING", NULL), ST_E_UNAVAILABLE);
    assert_true(st_mono() - from < 60 * ST_SECOND); /* nor does one wait its 2 s */
    assert_true(*st_redis_error(none));
    assert_int_equal(st_redis_generation(none), 0);
    assert_null(st_redis_free(none));
    assert_null(st_redis_free(NULL));
}

static void test_a_server_that_hangs_is_a_timeout(void **state)
{
    (void)state;
    struct st_reply r;
    struct st_redis *quick = st_redis_new(getenv("ST_REDIS"), 100);
    assert_int_equal(st_redis_cmd(quick, &arena, &r, "PING", NULL), 0);
    int64_t from = st_mono();
    assert_int_equal(st_redis_cmd(quick, &arena, &r, "BLPOP", "nothing", "600", NULL), ST_E_UNAVAILABLE);
    assert_true(st_mono() - from < 60 * ST_SECOND);
    assert_true(wait_for(st_redis_cmd(quick, &arena, &r, "GET", "nothing", NULL) == 0));
    assert_int_equal(r.kind, ST_REPLY_NIL); /* not the late answer to the first command */
    st_redis_free(quick);
}

static void test_subscriber(void **state)
{
    (void)state;
    const char *const channels[] = {"st:one", "st:two"};
    const char *channel, *message;
    struct st_redis_sub *s = st_redis_sub_new(getenv("ST_REDIS"), channels, 2);
    assert_int_equal(st_redis_sub_poll(s, 0, &channel, &message), 0); /* subscribed once this returns */
    redis_do("PUBLISH", "st:two", "a");
    redis_do("PUBLISH", "st:other", "b");
    redis_do("PUBLISH", "st:one", "");
    assert_int_equal(st_redis_sub_poll(s, 1000, &channel, &message), 1);
    assert_string_equal(channel, "st:two");
    assert_string_equal(message, "a");
    assert_int_equal(st_redis_sub_poll(s, 1000, &channel, &message), 1);
    assert_string_equal(channel, "st:one");
    assert_string_equal(message, "");
    int64_t from = st_mono();
    assert_int_equal(st_redis_sub_poll(s, 50, &channel, &message), 0);
    assert_true(st_mono() - from >= 45000);
    kill_connections();
    assert_int_equal(st_redis_sub_poll(s, 1000, &channel, &message), ST_E_UNAVAILABLE);
    assert_true(wait_for(st_redis_sub_poll(s, 0, &channel, &message) == 0));
    redis_do("PUBLISH", "st:one", "again");
    assert_int_equal(st_redis_sub_poll(s, 1000, &channel, &message), 1);
    assert_string_equal(message, "again");
    assert_null(st_redis_sub_free(s));
    assert_null(st_redis_sub_free(NULL));
}

int main(int argc, char **argv)
{
    (void)argc;
    world_start(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_trees_and_binary_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors_tell_whether_to_try_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pipeline_keeps_order_and_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_lost_connection_loses_the_whole_pipeline, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_server, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_server_that_hangs_is_a_timeout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_subscriber, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
