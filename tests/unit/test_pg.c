/* PostgreSQL in pipeline mode: what an error, a lost connection and a restarted server do to the work around them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <pthread.h>

#include "../lib/pg_server.h"

static struct st_arena arena;
static struct st_pg *pg, *other; /* two connections */

static int connect_two(void **state)
{
    (void)state;
    pg = st_pg_new(server_conninfo, "unit");
    other = st_pg_new(server_conninfo, "other");
    return st_pg_script(other, "drop table if exists t, u, wide; create table t (k int primary key, v text); "
                               "create table u (k int references t, n int check (n > 0))");
}

static int disconnect_two(void **state)
{
    (void)state;
    st_arena_release(&arena); /* rows may outlive the connection */
    pg = st_pg_free(pg);
    other = st_pg_free(other);
    return 0;
}

/* Rows of t as "k=v k=v", seen by another connection. */
static const char *stored(void)
{
    struct st_rows *rows;
    int r = st_pg_query(other, &arena,
                        "select coalesce(string_agg(k || '=' || coalesce(v, 'null'), ' ' order by k), '') from t",
                        ST_PARAMS(), &rows);
    return r < 0 ? st_err_code(r) : st_cell(rows, 0, 0);
}

static void put(const char *k, const char *v)
{
    st_pg_exec(pg, "insert into t values ($1, $2)", ST_PARAMS(k, v));
}

static int count(struct st_pg *on, int *ret)
{
    struct st_rows *rows;
    int r = st_pg_query(on, &arena, "select count(*) from t", ST_PARAMS(), &rows);
    if (r == 0)
        *ret = (int)st_cell_int(rows, 0, 0);
    return r;
}

/* --- values ---------------------------------------------------------------------------------------------------------
 */

static void test_values_keep_their_types(void **state)
{
    (void)state;
    struct st_rows *rows;
    const char *sql =
        "select 7::int as i, -9223372036854775808 as b, 3::smallint as s, 1.5::float8 as f, 0.1::numeric as n, "
        "true as t, false as x, null::int as z, 'Zoë \"漢\" 🦉' as u, '' as e, '{\"a\":[1,null]}'::jsonb as j, "
        "timestamptz '2026-01-31 10:05:07.042+01' as at, timestamptz '2026-01-31 09:05:07+00' as at2, "
        "'0193c7e2-1111-7111-8111-111111111111'::uuid as id, to_json(array['a','b']) as list";
    assert_int_equal(st_pg_query(pg, &arena, sql, ST_PARAMS(), &rows), 0);
    assert_int_equal(st_rows_count(rows), 1);
    json_t *row = st_row_json(rows, 0, &arena), *list = st_rows_json(rows, &arena);
    assert_string_equal(
        st_json_text(&arena, row),
        "{\"i\":7,\"b\":-9223372036854775808,\"s\":3,\"f\":1.5,\"n\":0.1,\"t\":true,\"x\":false,\"z\":null,"
        "\"u\":\"Zoë \\\"漢\\\" 🦉\",\"e\":\"\",\"j\":{\"a\":[1,null]},\"at\":\"2026-01-31T09:05:07.042Z\","
        "\"at2\":\"2026-01-31T09:05:07.000Z\",\"id\":\"0193c7e2-1111-7111-8111-111111111111\","
        "\"list\":[\"a\",\"b\"]}");
    assert_int_equal(json_array_size(list), 1);
    assert_null(st_cell(rows, 0, 7));
    assert_int_equal(st_cell_int(rows, 0, 7), 0);
    assert_string_equal(st_cell(rows, 0, 9), "");
}

static void test_parameters_are_never_sql(void **state)
{
    (void)state;
    static const char *const texts[] = {"'; drop table t; --", "$1",         "\\", "%s", "",
                                        "Robert'); --",        "漢字\n\t\"", NULL};
    struct st_rows *rows;
    for (int i = 0; i < (int)ST_COUNT(texts); i++)
        put(st_i64(&arena, i), texts[i]);
    assert_int_equal(st_pg_query(pg, &arena, "select v from t order by k", ST_PARAMS(), &rows), 0);
    assert_int_equal(st_rows_count(rows), ST_COUNT(texts));
    for (int i = 0; i < (int)ST_COUNT(texts); i++)
        assert_true(st_streq(st_cell(rows, i, 0), texts[i]));
    assert_int_equal(st_pg_query(pg, &arena, "update t set v = 'x' where k < $1", ST_PARAMS("3"), &rows), 0);
    assert_int_equal(st_rows_affected(rows), 3);
    assert_int_equal(st_rows_count(rows), 0);
}

/* --- transactions ---------------------------------------------------------------------------------------------------
 */

static void test_commit_and_rollback(void **state)
{
    (void)state;
    int n = -1;
    st_pg_begin(pg);
    assert_true(st_pg_in_transaction(pg));
    put("1", "one");
    put("2", NULL);
    assert_int_equal(count(pg, &n), 0);
    assert_int_equal(n, 2);
    assert_string_equal(stored(), "");
    assert_int_equal(st_pg_commit(pg), 0);
    assert_false(st_pg_in_transaction(pg));
    assert_string_equal(stored(), "1=one 2=null");
    st_pg_begin(pg);
    put("3", "three");
    assert_int_equal(count(pg, &n), 0);
    st_pg_rollback(pg);
    assert_false(st_pg_in_transaction(pg));
    st_pg_rollback(pg); /* harmless outside */
    assert_string_equal(stored(), "1=one 2=null");
    st_pg_begin(pg);
    assert_int_equal(st_pg_commit(pg), 0); /* nothing in it */
}

static void test_error_in_the_middle_undoes_all(void **state)
{
    (void)state;
    st_pg_begin(pg);
    put("1", "one");
    put("1", "again");
    put("2", "two");
    assert_int_equal(st_pg_commit(pg), ST_E_UNIQUE);
    assert_non_null(strstr(st_pg_error(pg), "t_pkey"));
    assert_false(st_pg_in_transaction(pg));
    assert_string_equal(stored(), "");
    st_pg_begin(pg);
    put("2", "two");
    assert_int_equal(st_pg_commit(pg), 0);
    assert_string_equal(stored(), "2=two");
}

static void test_error_sticks_until_the_transaction_ends(void **state)
{
    (void)state;
    int n = -1;
    struct st_rows *rows = NULL;
    st_pg_begin(pg);
    put("1", "one");
    assert_int_equal(st_pg_query(pg, &arena, "select 1/0", ST_PARAMS(), &rows), ST_E_INTERNAL);
    assert_string_equal(st_pg_error(pg), "ERROR:  division by zero");
    assert_int_equal(count(pg, &n), ST_E_INTERNAL);
    assert_int_equal(st_pg_flush(pg), ST_E_INTERNAL);
    put("2", "two");
    assert_int_equal(st_pg_commit(pg), ST_E_INTERNAL);
    assert_int_equal(n, -1);
    assert_null(rows); /* out parameters only on success */
    assert_string_equal(stored(), "");
    assert_int_equal(count(pg, &n), 0);
    /* begin forgets, too: a caller that gave up without rollback. */
    st_pg_begin(pg);
    assert_int_equal(st_pg_query(pg, &arena, "select 1/0", ST_PARAMS(), &rows), ST_E_INTERNAL);
    st_pg_rollback(pg);
    st_pg_begin(pg);
    put("3", "three");
    assert_int_equal(st_pg_commit(pg), 0);
    assert_string_equal(stored(), "3=three");
}

static void test_flush_tells_of_queued_errors(void **state)
{
    (void)state;
    st_pg_begin(pg);
    put("1", "one");
    assert_int_equal(st_pg_flush(pg), 0);
    put("1", "again");
    assert_int_equal(st_pg_flush(pg), ST_E_UNIQUE);
    st_pg_rollback(pg);
    assert_int_equal(st_pg_flush(pg), 0);
    assert_string_equal(stored(), "");
}

/* Outside a transaction each statement stands alone. */
static void test_without_a_transaction(void **state)
{
    (void)state;
    int n;
    put("1", "one");
    assert_string_equal(stored(), "1=one");
    put("1", "again");
    assert_int_equal(st_pg_flush(pg), ST_E_UNIQUE);
    put("2", "two");
    assert_string_equal(stored(), "1=one 2=two");
    struct st_rows *rows;
    assert_int_equal(st_pg_query(pg, &arena, "select 1/0", ST_PARAMS(), &rows), ST_E_INTERNAL);
    assert_int_equal(count(pg, &n), 0);
    assert_int_equal(n, 2);
}

static void test_error_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        int err;
    } cases[] = {
        {"insert into t values (1), (1)", ST_E_UNIQUE},
        {"insert into u values (99, 1)", ST_E_CONFLICT},
        {"insert into u values (null, -1)", ST_E_CONFLICT},
        {"insert into t values (null)", ST_E_CONFLICT},
        {"do $$ begin raise exception 'x' using errcode = '40001'; end $$", ST_E_RETRY},
        {"do $$ begin raise exception 'x' using errcode = '40P01'; end $$", ST_E_RETRY},
        {"do $$ begin raise exception 'x' using errcode = '53100'; end $$", ST_E_UNAVAILABLE},
        {"do $$ begin raise exception 'x' using errcode = '57014'; end $$", ST_E_UNAVAILABLE},
        {"do $$ begin raise exception 'x'; end $$", ST_E_INTERNAL},
        {"selec 1", ST_E_INTERNAL},
        {"select * from no_such_table", ST_E_INTERNAL},
        {"select 'x'::int", ST_E_INTERNAL},
    };
    struct st_rows *rows;
    int n;
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        st_pg_begin(pg);
        assert_int_equal(st_pg_query(pg, &arena, cases[i].sql, ST_PARAMS(), &rows), cases[i].err);
        assert_int_equal(st_pg_commit(pg), cases[i].err);
        assert_int_equal(count(pg, &n), 0);
    }
}

/* Who waits for a lock or a server too long is told so, and goes on with a connection that works. */
static void test_patience(void **state)
{
    (void)state;
    struct st_pg *hasty = st_pg_new(server_conninfo, "hasty");
    struct st_rows *rows;
    st_pg_set_patience(hasty, 200);
    assert_int_equal(st_pg_query(hasty, &arena, "select pg_sleep(30)", ST_PARAMS(), &rows), ST_E_UNAVAILABLE);
    assert_int_equal(st_pg_ping(hasty), 0);
    st_pg_begin(hasty);
    assert_int_equal(st_pg_query(hasty, &arena, "select 1", ST_PARAMS(), &rows), 0);
    st_sleep_ms(1000);
    assert_int_equal(st_pg_query(hasty, &arena, "select 2", ST_PARAMS(), &rows), ST_E_UNAVAILABLE);
    st_pg_rollback(hasty);
    assert_int_equal(st_pg_ping(hasty), 0);
    st_pg_free(hasty);
}

/* --- prepared statements --------------------------------------------------------------------------------------------
 */

static const char first_used_behind_an_error[] = "insert into t values ($1, 'late')";
static const char first_used_before_an_error[] = "insert into t values ($1, 'early')";

/* The server has skipped one PREPARE and rolled back behind the other; both statements must work afterwards. */
static void test_statements_survive_a_failed_pipeline(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        st_pg_begin(pg);
        st_pg_exec(pg, first_used_before_an_error, ST_PARAMS("1"));
        st_pg_exec(pg, "select 1/0", ST_PARAMS());
        st_pg_exec(pg, first_used_behind_an_error, ST_PARAMS("2"));
        assert_int_equal(st_pg_commit(pg), ST_E_INTERNAL);
    }
    st_pg_begin(pg);
    st_pg_exec(pg, first_used_before_an_error, ST_PARAMS("1"));
    st_pg_exec(pg, first_used_behind_an_error, ST_PARAMS("2"));
    assert_int_equal(st_pg_commit(pg), 0);
    assert_string_equal(stored(), "1=early 2=late");
}

static void test_each_statement_is_prepared_once(void **state)
{
    (void)state;
    struct st_rows *rows;
    int n;
    for (int i = 0; i < 50; i++) {
        st_pg_begin(pg);
        assert_int_equal(count(pg, &n), 0);
        if (i % 3 == 0)
            st_pg_exec(pg, "select 1/0", ST_PARAMS());
        (void)!st_pg_commit(pg);
    }
    assert_int_equal(st_pg_query(pg, &arena, "select count(*) from pg_prepared_statements", ST_PARAMS(), &rows), 0);
    assert_int_equal(st_cell_int(rows, 0, 0), 6); /* begin, count, select 1/0, commit, rollback, this one */
}

/* Texts that are no literals fill the table; the connection says so and goes on with those it has. */
static void test_too_many_statements(void **state)
{
    (void)state;
    char *texts = st_alloc(&arena, 400 * 32);
    int refused = 0, n = 0;
    assert_int_equal(count(pg, &n), 0);
    for (int i = 0; i < 400; i++) {
        struct st_rows *rows;
        char *sql = texts + i * 32;
        snprintf(sql, 32, "select %d", i);
        int r = st_pg_query(pg, &arena, sql, ST_PARAMS(), &rows);
        assert_true(r == 0 || r == ST_E_INTERNAL);
        refused += r < 0;
    }
    assert_in_range(refused, 100, 399);
    assert_non_null(strstr(st_pg_error(pg), "too many different statements"));
    assert_int_equal(count(pg, &n), 0);
}

/* A migration beside running daemons: the plan no longer fits, and a second try must succeed. */
static void test_changed_table(void **state)
{
    (void)state;
    struct st_rows *rows;
    static const char sql[] = "select * from wide";
    assert_int_equal(st_pg_script(other, "create table wide (a int)"), 0);
    st_pg_begin(pg);
    assert_int_equal(st_pg_query(pg, &arena, sql, ST_PARAMS(), &rows), 0);
    assert_int_equal(st_pg_commit(pg), 0);
    assert_int_equal(st_pg_script(other, "alter table wide add b int"), 0);
    st_pg_begin(pg);
    assert_int_equal(st_pg_query(pg, &arena, sql, ST_PARAMS(), &rows), ST_E_RETRY);
    assert_int_equal(st_pg_commit(pg), ST_E_RETRY);
    st_pg_begin(pg);
    assert_int_equal(st_pg_query(pg, &arena, sql, ST_PARAMS(), &rows), 0);
    assert_int_equal(st_pg_commit(pg), 0);
}

/* --- size -----------------------------------------------------------------------------------------------------------
 */

static void test_many_queued_statements(void **state)
{
    (void)state;
    int n = 0;
    st_pg_begin(pg);
    for (int i = 0; i < 3000; i++)
        put(st_i64(&arena, i), "x");
    assert_int_equal(count(pg, &n), 0);
    assert_int_equal(n, 3000);
    put("7", "twice");
    for (int i = 3000; i < 4000; i++)
        put(st_i64(&arena, i), "x");
    assert_int_equal(st_pg_commit(pg), ST_E_UNIQUE);
    assert_string_equal(stored(), "");
}

/* Both directions are full at once: neither side may wait for the other for ever. */
static void test_large_values_both_ways(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20, TIMES = 5 };
    struct st_rows *rows;
    char *big = st_alloc(&arena, SIZE + 1);
    memset(big, 'x', SIZE);
    st_pg_begin(pg);
    for (int i = 0; i < TIMES; i++)
        st_pg_exec(pg, "select $1::text || $2", ST_PARAMS(big, big));
    assert_int_equal(st_pg_query(pg, &arena, "select $1::text || $2", ST_PARAMS(big, "y"), &rows), 0);
    assert_int_equal(strlen(st_cell(rows, 0, 0)), SIZE + 1);
    assert_int_equal(st_pg_commit(pg), 0);
}

/* --- lost connections -----------------------------------------------------------------------------------------------
 */

static void terminate(void)
{
    struct st_rows *rows;
    assert_int_equal(
        st_pg_query(other, &arena,
                    "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'unit'",
                    ST_PARAMS(), &rows),
        0);
    assert_int_equal(st_rows_count(rows), 1);
}

static void test_idle_connection_that_was_closed(void **state)
{
    (void)state;
    int n = -1;
    put("1", "one");
    for (int i = 0; i < 3; i++) {
        terminate();
        if (i % 2)
            st_pg_begin(pg);
        assert_int_equal(count(pg, &n), 0); /* nobody notices */
        assert_int_equal(n, 1);
        if (i % 2)
            assert_int_equal(st_pg_commit(pg), 0);
    }
}

static void test_connection_lost_in_a_transaction(void **state)
{
    (void)state;
    int n = -1;
    st_pg_begin(pg);
    put("1", "one");
    assert_int_equal(st_pg_flush(pg), 0);
    terminate();
    put("2", "two"); /* must not reach a new connection on its own */
    assert_int_equal(count(pg, &n), ST_E_UNAVAILABLE);
    put("3", "three");
    assert_int_equal(st_pg_commit(pg), ST_E_UNAVAILABLE);
    assert_false(st_pg_in_transaction(pg));
    assert_string_equal(stored(), "");
    st_pg_begin(pg);
    put("4", "four");
    assert_int_equal(st_pg_commit(pg), 0);
    assert_string_equal(stored(), "4=four");
    st_pg_begin(pg);
    put("5", "five");
    assert_int_equal(st_pg_flush(pg), 0);
    terminate();
    assert_int_equal(st_pg_commit(pg), ST_E_UNAVAILABLE);
    st_pg_begin(pg);
    assert_int_equal(st_pg_flush(pg), 0);
    terminate();
    st_pg_rollback(pg);
    put("6", "six");
    assert_string_equal(stored(), "4=four 6=six");
}

static void check_restart(int sig)
{
    int n = -1;
    assert_int_equal(count(pg, &n), 0);
    server_stop(sig);
    for (int i = 0; i < 3; i++) {
        int64_t from = st_mono();
        st_pg_begin(pg);
        put("9", "nine");
        assert_int_equal(st_pg_commit(pg), ST_E_UNAVAILABLE);
        assert_int_equal(st_pg_ping(pg), ST_E_UNAVAILABLE);
        assert_true(st_mono() - from < 30 * ST_SECOND); /* nothing is waited for */
        assert_true(*st_pg_error(pg) != '\0');
    }
    server_start();
    st_sleep_ms(250); /* the pause between attempts to connect */
    assert_int_equal(count(pg, &n), 0);
    st_pg_begin(pg);
    st_pg_exec(pg, "delete from t", ST_PARAMS());
    put("1", "one");
    assert_int_equal(st_pg_commit(pg), 0);
    assert_string_equal(stored(), "1=one");
}

static void test_server_restarted(void **state)
{
    (void)state;
    check_restart(SIGINT);
    check_restart(SIGQUIT);
}

static void test_no_server(void **state)
{
    (void)state;
    static const char *const nowhere[] = {"host=/nonexistent dbname=x password=secret", "this is no conninfo",
                                          "host=127.0.0.1 port=1 dbname=x connect_timeout=2"};
    for (size_t i = 0; i < ST_COUNT(nowhere); i++) {
        struct st_pg *lost = st_pg_new(nowhere[i], "nowhere");
        assert_int_equal(st_pg_ping(lost), ST_E_UNAVAILABLE);
        assert_true(*st_pg_error(lost) != '\0');
        assert_null(strstr(st_pg_error(lost), "secret"));
        st_pg_begin(lost);
        st_pg_exec(lost, "select 1", ST_PARAMS());
        assert_int_equal(st_pg_commit(lost), ST_E_UNAVAILABLE);
        st_pg_rollback(lost);
        assert_null(st_pg_free(lost));
    }
    assert_null(st_pg_free(NULL));
}

/* --- scripts --------------------------------------------------------------------------------------------------------
 */

/* The session of pg: its backend, and what it has set. */
static const char *session(void)
{
    struct st_rows *rows;
    int r = st_pg_query(pg, &arena,
                        "select pg_backend_pid() || ' ' || current_setting('search_path') || ' ' || "
                        "current_setting('timezone') || ' ' || current_setting('statement_timeout')",
                        ST_PARAMS(), &rows);
    return r < 0 ? st_err_code(r) : st_cell(rows, 0, 0);
}

/* What a script sets ends with it, and statements that it has changed are prepared anew, in the same session. */
static void test_session_after_a_script(void **state)
{
    (void)state;
    const char *before = session();
    put("1", "text");
    assert_int_equal(st_pg_script(pg, "set search_path = nowhere; set timezone = 'Asia/Tokyo'; "
                                      "set statement_timeout = 1; prepare mine as select 1"),
                     0);
    assert_string_equal(session(), before);
    assert_int_equal(st_pg_script(pg, "prepare mine as select 2"), 0);
    assert_int_equal(st_pg_script(pg, "begin; set timezone = 'Asia/Tokyo'"), 0); /* left open: undone */
    assert_non_null(strstr(session(), " UTC "));
    assert_int_equal(st_pg_script(pg, "alter table t alter v type varchar(9) using 'new'"), 0);
    put("2", "3");
    assert_string_equal(stored(), "1=new 2=3");
}

static void test_scripts(void **state)
{
    (void)state;
    int n;
    put("0", "before");
    assert_int_equal(st_pg_script(pg, "insert into t values (1, 'a;b'); insert into t values (2, 'c');"), 0);
    assert_string_equal(stored(), "0=before 1=a;b 2=c");
    assert_int_equal(st_pg_script(pg, "insert into t values (3); insert into t values (3)"), ST_E_UNIQUE);
    assert_int_equal(st_pg_script(pg, "begin; insert into t values (4); selec;"), ST_E_INTERNAL);
    assert_non_null(strstr(st_pg_error(pg), "syntax error"));
    assert_string_equal(stored(), "0=before 1=a;b 2=c");
    assert_int_equal(count(pg, &n), 0);
    assert_int_equal(n, 3);
}

/* --- nothing is left behind -----------------------------------------------------------------------------------------
 */

static int open_files(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void test_nothing_leaks(void **state)
{
    (void)state;
    struct st_rows *rows;
    int n, before = open_files();
    for (int i = 0; i < 20; i++) {
        struct st_pg *one = st_pg_new(server_conninfo, "leak");
        st_pg_begin(one);
        assert_int_equal(count(one, &n), 0);
        if (i % 2)
            st_pg_exec(one, "select 1/0", ST_PARAMS());
        if (i % 3)
            (void)!st_pg_commit(one);
        st_pg_free(one); /* also in the middle of a transaction, with work queued */
    }
    assert_int_equal(open_files(), before);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(st_pg_query(other, &arena,
                                     "select count(*) from pg_stat_activity where application_name = 'leak'",
                                     ST_PARAMS(), &rows),
                         0);
        if (st_cell_int(rows, 0, 0) == 0)
            return;
        st_sleep_ms(20);
    }
    fail_msg("sessions are left on the server");
}

/* --- threads --------------------------------------------------------------------------------------------------------
 */

static void *work(void *ctx)
{
    struct st_arena a = {0};
    struct st_pg *mine = st_pg_new(server_conninfo, "thread");
    int *failures = ctx;
    for (int i = 0; i < 200; i++) {
        struct st_rows *rows;
        st_pg_begin(mine);
        st_pg_exec(mine, "insert into t values (1, '0') on conflict do nothing", ST_PARAMS());
        int r = st_pg_query(mine, &a, "update t set v = v::int + 1 where k = 1 returning v", ST_PARAMS(), &rows);
        *failures += r < 0 || st_pg_commit(mine) < 0;
        st_arena_reset(&a);
    }
    st_arena_release(&a);
    st_pg_free(mine);
    return NULL;
}

static void test_connections_in_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    int failures[4] = {0};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &failures[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(failures[i], 0);
    }
    assert_string_equal(stored(), "1=800");
}

#define ON_SERVER(name) cmocka_unit_test_setup_teardown(name, connect_two, disconnect_two)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_SERVER(test_values_keep_their_types),
        ON_SERVER(test_parameters_are_never_sql),
        ON_SERVER(test_commit_and_rollback),
        ON_SERVER(test_error_in_the_middle_undoes_all),
        ON_SERVER(test_error_sticks_until_the_transaction_ends),
        ON_SERVER(test_flush_tells_of_queued_errors),
        ON_SERVER(test_without_a_transaction),
        ON_SERVER(test_error_kinds),
        ON_SERVER(test_patience),
        ON_SERVER(test_statements_survive_a_failed_pipeline),
        ON_SERVER(test_each_statement_is_prepared_once),
        ON_SERVER(test_too_many_statements),
        ON_SERVER(test_changed_table),
        ON_SERVER(test_many_queued_statements),
        ON_SERVER(test_large_values_both_ways),
        ON_SERVER(test_idle_connection_that_was_closed),
        ON_SERVER(test_connection_lost_in_a_transaction),
        ON_SERVER(test_server_restarted),
        ON_SERVER(test_no_server),
        ON_SERVER(test_scripts),
        ON_SERVER(test_session_after_a_script),
        ON_SERVER(test_nothing_leaks),
        ON_SERVER(test_connections_in_threads),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, server_setup, server_teardown);
}
