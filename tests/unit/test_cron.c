/* Schedules by the clock: texts, dates, changes of clocks, what was missed, what fails. */
#include "../lib/backbone.h"

#include "svc/cron.h"

static struct st_pg *db;

static int setup(void **state)
{
    (void)state;
    db = database_new("alpha");
    use_database("alpha");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    db = st_pg_free(db);
    st_arena_release(&arena);
    return 0;
}

static void test_texts(void **state)
{
    (void)state;
    static const char *const good[] = {
        "* * * * *",     "0 3 * * *", "*/15 9-17 * * mon-fri", "0,30 0-6/2 1 jan,jul *", "5/10 * * * *",
        " 0  0 29 2 * ", "0 0 * * 7", "0 0 31 * sun"};
    static const char *const bad[] = {
        "",           "* * * *",    "* * * * * *", "60 * * * *",  "* 24 * * *",  "* * 0 * *",
        "* * 32 * *", "* * * 13 *", "* * * * 8",   "5-3 * * * *", "*/0 * * * *", "a * * * *",
        "1, * * * *", "-1 * * * *", "1- * * * *",  "0 0 30 2 *",  "* * * foo *", "0 3 * * *x"};
    struct st_cron c;
    for (size_t i = 0; i < ST_COUNT(good); i++)
        if (st_cron_parse(good[i], &c) < 0)
            fail_msg("\"%s\" is refused", good[i]);
    for (size_t i = 0; i < ST_COUNT(bad); i++)
        if (st_cron_parse(bad[i], &c) == 0)
            fail_msg("\"%s\" is accepted", bad[i]);
}

/* In 2026 Berlin's clocks go forward on 29 March (02:00 to 03:00) and back on 25 October (03:00 to 02:00). */
static void test_moments(void **state)
{
    (void)state;
    static const struct {
        const char *cron, *zone, *after, *next;
    } cases[] = {
        {"0 3 * * *", "UTC", "2026-01-31 02:59:59+00", "2026-01-31 03:00:00+00"},
        {"0 3 * * *", "UTC", "2026-01-31 03:00:00+00", "2026-02-01 03:00:00+00"},
        {"0 3 * * *", "Europe/Berlin", "2026-01-31 03:00:00+00", "2026-02-01 02:00:00+00"},
        {"0 3 * * *", "Europe/Berlin", "2026-07-01 03:00:00+00", "2026-07-02 01:00:00+00"},
        {"30 23 31 12 *", "America/New_York", "2026-12-31 12:00:00+00", "2027-01-01 04:30:00+00"},
        {"0 0 29 2 *", "UTC", "2026-03-01 00:00:00+00", "2028-02-29 00:00:00+00"},
        {"0 9 * * mon", "UTC", "2026-11-27 12:00:00+00", "2026-11-30 09:00:00+00"},
        {"0 9 1 * mon", "UTC", "2026-11-30 09:00:00+00", "2026-12-01 09:00:00+00"}, /* either fits */
        {"*/20 9-10 * * *", "UTC", "2026-11-27 10:40:00+00", "2026-11-28 09:00:00+00"},
        /* 02:30 is not there: the first minute that follows, once */
        {"30 2 * * *", "Europe/Berlin", "2026-03-28 12:00:00+00", "2026-03-29 01:00:00+00"},
        {"30 2 * * *", "Europe/Berlin", "2026-03-29 01:00:00+00", "2026-03-30 00:30:00+00"},
        {"0,30 2 * * *", "Europe/Berlin", "2026-03-29 01:00:00+00", "2026-03-30 00:00:00+00"},
        {"0 3 * * *", "Europe/Berlin", "2026-03-28 12:00:00+00", "2026-03-29 01:00:00+00"},
        /* 02:30 is there twice: the first time only */
        {"30 2 * * *", "Europe/Berlin", "2026-10-24 12:00:00+00", "2026-10-25 00:30:00+00"},
        {"30 2 * * *", "Europe/Berlin", "2026-10-25 00:30:00+00", "2026-10-26 01:30:00+00"},
        {"0 3 * * *", "Europe/Berlin", "2026-10-25 00:00:00+00", "2026-10-25 02:00:00+00"},
        /* each hour: each real hour */
        {"30 * * * *", "Europe/Berlin", "2026-10-25 00:30:00+00", "2026-10-25 01:30:00+00"},
        {"30 * * * *", "Europe/Berlin", "2026-10-25 01:30:00+00", "2026-10-25 02:30:00+00"},
        {"30 * * * *", "Europe/Berlin", "2026-03-29 00:30:00+00", "2026-03-29 01:30:00+00"},
        /* a zone that changes by half an hour: Lord Howe, 02:00 to 01:30 on 5 April */
        {"45 1 * * *", "Australia/Lord_Howe", "2026-04-04 12:00:00+00", "2026-04-04 14:45:00+00"},
        {"45 1 * * *", "Australia/Lord_Howe", "2026-04-04 14:45:00+00", "2026-04-05 15:15:00+00"},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        struct st_cron c;
        const char *next = NULL;
        assert_int_equal(st_cron_parse(cases[i].cron, &c), 0);
        must(db, st_cron_next(db, &arena, &c, cases[i].zone, cases[i].after, &next));
        if (!st_streq(next, cases[i].next))
            fail_msg("\"%s\" %s after %s: %s, not %s", cases[i].cron, cases[i].zone, cases[i].after, next,
                     cases[i].next);
    }
    struct st_cron c;
    const char *next;
    assert_int_equal(st_cron_parse("0 0 * * *", &c), 0);
    assert_int_equal(st_cron_next(db, &arena, &c, "Europe/Atlantis", "2026-01-01 00:00:00+00", &next), ST_E_INTERNAL);
}

/* --- running --- */

static int note(struct st_call *call)
{
    st_exec(call, "insert into ran (name, moment) values ($1, $2)", call->name, st_param(call, "scheduledAt"));
    return 0;
}
static int fails(struct st_call *call)
{
    note(call);
    return st_fail(call, ST_E_BAD_GATEWAY, "it does not work");
}

static const struct st_schedule schedules[] = {
    {.name = "one", .handler = note, .cron = "0 3 * * *", .zone = "Europe/Berlin"},
    {.name = "all", .handler = note, .cron = "0 3 * * *", .zone = "Europe/Berlin", .catch_up = ST_CATCH_UP_ALL},
    {.name = "none", .handler = note, .cron = "0 3 * * *", .zone = "Europe/Berlin", .catch_up = ST_CATCH_UP_NONE},
    {.name = "new", .handler = note, .cron = "0 3 * * *"},
    {.name = "fails", .every_s = 3600, .handler = fails},
    {0},
};
static const struct st_service alpha = {.name = "alpha", .schedules = schedules};

static int64_t number(const char *sql)
{
    int64_t n = 0;
    assert_true(st_parse_i64(ask_(db, sql, 0, NULL), INT64_MIN, INT64_MAX, &n));
    return n;
}

/* Two processes come back after some days; what they missed is counted by another way. */
static void test_what_was_missed(void **state)
{
    (void)state;
    must(db, st_pg_script(db, "create table ran (name text, moment timestamptz, unique (name, moment));"
                              "insert into schedules (name, last_run) select name, "
                              "date_trunc('hour', now()) - interval '100 hours 1 minute' "
                              "from unnest(array['one', 'all', 'none']) as name;"
                              "create view missed as select at from generate_series("
                              "date_trunc('hour', now()) - interval '100 hours', now(), interval '1 hour') as at "
                              "where extract(hour from at at time zone 'Europe/Berlin') = 3 "
                              "and at < now() - interval '2 minutes'"));
    struct daemon *first = daemon_new(&alpha), *second = daemon_new(&alpha);
    daemon_loop(first, st_cron_main);
    daemon_loop(second, st_cron_main);
    assert_true(wait_for(number("select count(*) from schedules where name in ('one', 'all', 'none') and last_run >= "
                                "(select max(at) from missed)") == 3 &&
                         number("select count(*) from schedules") == 6));
    assert_string_equal(ask(db, "select count(*) from ran where name = 'all' and moment in (select at from missed)"),
                        ask(db, "select count(*) from missed"));
    assert_true(number("select count(*) from missed") >= 4);
    assert_string_equal(ask(db, "select string_agg(moment::text, ' ') from ran where name = 'one' "
                                "and moment in (select at from missed)"),
                        ask(db, "select max(at)::text from missed"));
    assert_int_equal(number("select count(*) from ran where name = 'none' and moment in (select at from missed)"), 0);
    assert_int_equal(number("select count(*) from ran where name = 'new'"), 0);
    daemon_stop(first, 0);
    daemon_stop(second, 0);
}

static void test_a_run_that_fails(void **state)
{
    (void)state;
    must(db, st_pg_script(db, "create table ran (name text, moment timestamptz)"));
    struct daemon *d = daemon_new(&alpha);
    daemon_loop(d, st_cron_main);
    assert_true(wait_for(number("select count(*) from schedules where name = 'fails' and attempts = 1 "
                                "and error = 'it does not work' and retry_at > last_run") == 1));
    change(db, "update schedules set attempts = 9, retry_at = now() where name = 'fails'");
    assert_true(
        wait_for(number("select count(*) from schedules where name = 'fails' and attempts = 0 "
                        "and error = 'it does not work' and retry_at is null and last_run > '-infinity'") == 1));
    assert_int_equal(number("select count(*) from ran"), 0);
    daemon_stop(d, 0);
}

static void test_tables_are_checked(void **state)
{
    (void)state;
    static const struct st_schedule wrong[][2] = {
        {{.name = "neither", .handler = note}},
        {{.name = "both", .every_s = 1, .handler = note, .cron = "* * * * *"}},
        {{.name = "never", .handler = note, .cron = "0 0 31 4 *"}},
    };
    struct st_run run = {.service = &alpha};
    const char *why = "";
    assert_int_equal(st_schedules_check(&run, &why), 0);
    for (size_t i = 0; i < ST_COUNT(wrong); i++) {
        struct st_service service = {.name = "alpha", .schedules = wrong[i]};
        run.service = &service;
        assert_int_equal(st_schedules_check(&run, &why), ST_E_INVALID);
        assert_non_null(strstr(why, wrong[i][0].name));
    }
    st_arena_release(&run.arena);
}

int main(int argc, char **argv)
{
    (void)argc;
    world_start(argv);
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_texts),
        TEST(test_moments),
        TEST(test_what_was_missed),
        TEST(test_a_run_that_fails),
        TEST(test_tables_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
