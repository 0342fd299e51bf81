/* Migrations: each once, in order, whole or not at all; and those of the house build every database. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>

#include "../lib/pg_server.h"
#include "svc/migrate.h"

static struct st_arena arena;
static char folder[] = "/tmp/test_migrate.XXXXXX";
static struct st_pg *pg;

static void put(const char *name, const char *sql)
{
    FILE *f = fopen(st_printf(&arena, "%s/%s", folder, name), "we");
    assert_non_null(f);
    assert_true(fputs(sql, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
    assert_non_null(mkdtemp(folder));
    assert_int_equal(mkdir(st_printf(&arena, "%s/common", folder), 0700), 0);
    assert_int_equal(mkdir(st_printf(&arena, "%s/one", folder), 0700), 0);
    return server_setup(state);
}

static int teardown(void **state)
{
    st_arena_release(&arena);
    (void)nftw(folder, server_remove, 16, FTW_DEPTH | FTW_PHYS);
    return server_teardown(state);
}

/* Each test: an empty database, and two migrations. */
static int begin(void **state)
{
    (void)state;
    pg = st_pg_new(server_conninfo, "migrate");
    assert_int_equal(st_pg_script(pg, "drop schema public cascade; create schema public"), 0);
    put("common/0001_first.sql", "create table steps (n int);\ninsert into steps values (1);");
    put("one/0001_second.sql", "insert into steps values (2); -- a comment at the end");
    return 0;
}

static int end(void **state)
{
    (void)state;
    pg = st_pg_free(pg);
    (void)unlink(st_printf(&arena, "%s/one/0002_more.sql", folder));
    (void)unlink(st_printf(&arena, "%s/one/0010_last.sql", folder));
    st_arena_release(&arena);
    return 0;
}

static const char *why;

/* Files applied, or the error. */
static int migrate(void)
{
    int applied = -1, r = st_migrate(pg, &arena, folder, "one", &applied, &why);
    return r < 0 ? r : applied;
}

static const char *steps(void)
{
    struct st_rows *rows;
    assert_int_equal(st_pg_query(pg, &arena, "select string_agg(n::text, ' ') from steps", ST_PARAMS(), &rows), 0);
    return st_cell(rows, 0, 0);
}

static void test_each_once_in_order(void **state)
{
    (void)state;
    put("one/0010_last.sql", "insert into steps values (10)");
    put("one/0002_more.sql", "insert into steps values (3)");
    put("one/notes.txt", "no migration");
    assert_int_equal(migrate(), 4);
    assert_string_equal(steps(), "1 2 3 10");
    assert_int_equal(migrate(), 0);
    assert_string_equal(steps(), "1 2 3 10");
}

static void test_service_without_tables(void **state)
{
    (void)state;
    int applied = -1;
    assert_int_equal(st_migrate(pg, &arena, folder, "nothing", &applied, &why), 0);
    assert_int_equal(applied, 1);
}

static void test_applied_file_may_not_change(void **state)
{
    (void)state;
    assert_int_equal(migrate(), 2);
    put("one/0001_second.sql", "insert into steps values (99);");
    assert_int_equal(migrate(), ST_E_CONFLICT);
    assert_non_null(strstr(why, "one/0001_second.sql has changed"));
    assert_string_equal(steps(), "1 2");
}

static void test_failing_file_leaves_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *sql, *says;
        int err;
    } bad[] = {
        {"insert into steps values (3); selec 1;", "syntax error", ST_E_INTERNAL},
        {"insert into steps values (3); insert into nothing values (1);", "nothing", ST_E_INTERNAL},
        {"insert into steps values (3), (3); create unique index on steps (n);", "unique index", ST_E_UNIQUE},
        {"insert into steps values (3); select 1/0;", "division by zero", ST_E_INTERNAL},
    };
    put("one/0010_last.sql", "insert into steps values (10)");
    for (size_t i = 0; i < ST_COUNT(bad); i++) {
        put("one/0002_more.sql", bad[i].sql);
        assert_int_equal(migrate(), bad[i].err);
        if (!strstr(why, "one/0002_more.sql") || (!strstr(why, bad[i].says)))
            fail_msg("%s", why);
        assert_string_equal(steps(), "1 2");
    }
    put("one/0002_more.sql", "insert into steps values (3)");
    assert_int_equal(migrate(), 2);
    assert_string_equal(steps(), "1 2 3 10");
}

static void *migrate_beside(void *ctx)
{
    struct st_arena a = {0};
    struct st_pg *mine = st_pg_new(server_conninfo, "beside");
    const char *reason;
    int *result = ctx, applied = 0;
    *result = st_migrate(mine, &a, folder, "one", &applied, &reason);
    if (*result == 0)
        *result = applied;
    st_pg_free(mine);
    st_arena_release(&a);
    return NULL;
}

static void test_several_at_once(void **state)
{
    (void)state;
    pthread_t threads[4];
    int results[4], sum = 0;
    put("one/0002_more.sql", "insert into steps values (3); select pg_sleep(0.05)");
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, migrate_beside, &results[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_in_range(results[i], 0, 3);
        sum += results[i];
    }
    assert_int_equal(sum, 3);
    assert_string_equal(steps(), "1 2 3");
}

static void test_no_database(void **state)
{
    (void)state;
    struct st_pg *lost = st_pg_new("host=/nonexistent dbname=x", "lost");
    int applied;
    assert_int_equal(st_migrate(lost, &arena, folder, "one", &applied, &why), ST_E_UNAVAILABLE);
    assert_true(*why != '\0');
    st_pg_free(lost);
}

/* Owned by a role without rights beyond its database, as in operation. */
static void test_migrations_of_the_house(void **state)
{
    (void)state;
    glob_t found;
    int services = 0;
    assert_int_equal(glob("sql/*/", 0, NULL, &found), 0);
    assert_int_equal(st_pg_script(pg, "create role plain login"), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char *name = st_strndup(&arena, found.gl_pathv[i] + 4, strlen(found.gl_pathv[i]) - 5);
        int applied = 0;
        if (st_streq(name, "common"))
            continue;
        services++;
        assert_int_equal(st_pg_script(pg, st_printf(&arena, "create database \"%s\" owner plain", name)), 0);
        struct st_pg *own = st_pg_new(st_printf(&arena, "host=%s dbname=%s user=plain", server_dir, name), "migrate");
        if (st_migrate(own, &arena, "sql", name, &applied, &why) < 0)
            fail_msg("%s", why);
        assert_in_range(applied, 2, 1000);
        assert_int_equal(st_migrate(own, &arena, "sql", name, &applied, &why), 0);
        assert_int_equal(applied, 0);
        st_pg_free(own);
    }
    globfree(&found);
    assert_in_range(services, 9, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_once_in_order, begin, end),
        cmocka_unit_test_setup_teardown(test_service_without_tables, begin, end),
        cmocka_unit_test_setup_teardown(test_applied_file_may_not_change, begin, end),
        cmocka_unit_test_setup_teardown(test_failing_file_leaves_nothing, begin, end),
        cmocka_unit_test_setup_teardown(test_several_at_once, begin, end),
        cmocka_unit_test_setup_teardown(test_no_database, begin, end),
        cmocka_unit_test_setup_teardown(test_migrations_of_the_house, begin, end),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, setup, teardown);
}
