/* Calls that share a transaction: all of them, or none. */
#include "../lib/backbone.h"

static struct st_pg *db;
static struct daemon *beta;
static struct st_worker worker;

static int unused(struct st_call *call)
{
    (void)call;
    return 0;
}
static const struct st_job_kind jobs[] = {
    {.name = "work", .handler = unused, .concurrency = 1, .timeout_s = 10, .attempts = 3}, {0}};
static const struct st_service service = {.name = "beta", .jobs = jobs};

enum { ITEMS = 5 };
enum trouble { NONE, RETURNS_ERROR, BREAKS_SCHEMA, FAILS_LATE, COMMITS, WAITS_FOR_ABSENT, COLLIDES_ONCE };

struct batch {
    int bad; /* this item has the trouble, or -1 */
    enum trouble trouble;
    int runs;           /* of the body */
    const char *detail; /* st_call_error of the item that failed */
};

static int work(struct st_call *call, int i, const struct batch *b)
{
    const char *id = st_printf(call->arena, "item-%d", i);
    enum trouble trouble = i == b->bad ? b->trouble : NONE;
    st_exec(call, "insert into done (n, correlation) values ($1, $2)", st_i64(call->arena, i), call->correlation_id);
    if (trouble == BREAKS_SCHEMA)
        st_emit(call, "BetaDone", id, json_pack("{s:s}", "n", "one"));
    else
        st_emit(call, "BetaDone", id, json_pack("{s:i}", "n", i));
    st_enqueue(call, "work", NULL, 0, json_pack("{s:i}", "n", i));
    if (trouble == FAILS_LATE)
        st_exec(call, "insert into done (n) values (1 / 0)");
    if (trouble == COMMITS)
        return st_commit(call);
    if (trouble == WAITS_FOR_ABSENT)
        return st_absent(call, st_new_id(call->arena), "No such thing.");
    if (trouble == COLLIDES_ONCE && b->runs == 1)
        return ST_E_RETRY;
    return trouble == RETURNS_ERROR ? st_fail(call, ST_E_BAD_GATEWAY, "item %d does not work", i) : 0;
}

static int body(struct st_call *leader, void *ctx)
{
    struct batch *b = ctx;
    b->runs++;
    for (int i = 0; i < ITEMS; i++) {
        struct st_call item;
        st_call_init_within(&item, leader, "item");
        item.correlation_id = st_printf(leader->arena, "c-%d", i);
        int r = st_call_end_within(&item, work(&item, i, b));
        if (r < 0) {
            b->detail = st_call_error(&item, r);
            return r;
        }
    }
    return 0;
}

static int run(struct batch *b)
{
    struct st_call leader;
    st_call_init(&leader, &worker, "batch");
    return st_call_transact(&leader, body, b);
}

static int setup(void **state)
{
    (void)state;
    db = database_new("beta");
    must(db, st_pg_script(db, "create table done (n int, correlation text)"));
    use_database("beta");
    beta = daemon_new(&service);
    st_worker_init(&worker, &beta->run, "test");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    st_worker_release(&worker);
    daemon_stop(beta, 0);
    db = st_pg_free(db);
    st_arena_release(&arena);
    return 0;
}

/* Rows, events and jobs there are: "5 5 5". */
static const char *written(void)
{
    return ask(db, "select concat_ws(' ', (select count(*) from done), (select count(*) from events), "
                   "(select count(*) from jobs))");
}

static void test_all_of_them_commit_together(void **state)
{
    (void)state;
    struct batch b = {.bad = -1};
    uint64_t events = st_bell_rings(&beta->run.relay_bell), work_bell = st_bell_rings(&beta->run.jobs_bell);
    assert_int_equal(run(&b), 0);
    assert_int_equal(b.runs, 1);
    assert_string_equal(written(), "5 5 5");
    assert_string_equal(ask(db, "select count(distinct tx) from events"), "1");
    assert_true(st_bell_rings(&beta->run.relay_bell) > events);
    assert_true(st_bell_rings(&beta->run.jobs_bell) > work_bell);
    /* Each item kept its own identity. */
    assert_string_equal(ask(db, "select string_agg(correlation, ' ' order by n) from done"), "c-0 c-1 c-2 c-3 c-4");
    assert_string_equal(ask(db, "select string_agg(metadata->>'correlationId', ' ' order by seq) from events"),
                        "c-0 c-1 c-2 c-3 c-4");
    assert_string_equal(ask(db, "select string_agg(metadata->>'correlationId', ' ' order by job_id) from jobs"),
                        "c-0 c-1 c-2 c-3 c-4");
}

static void check_nothing(enum trouble trouble, int bad, int want, const char *detail)
{
    struct batch b = {.bad = bad, .trouble = trouble};
    uint64_t rings = st_bell_rings(&beta->run.relay_bell);
    assert_int_equal(run(&b), want);
    assert_string_equal(written(), "0 0 0");
    assert_int_equal(st_bell_rings(&beta->run.relay_bell), rings);
    if (detail)
        assert_non_null(strstr(b.detail, detail));
    /* What failed in one batch does not cling to the next call of the worker. */
    b = (struct batch){.bad = -1};
    assert_int_equal(run(&b), 0);
    assert_string_equal(written(), "5 5 5");
    change(db, "truncate done, events, jobs");
}

static void test_one_that_fails_takes_all_with_it(void **state)
{
    (void)state;
    check_nothing(RETURNS_ERROR, 2, ST_E_BAD_GATEWAY, "item 2 does not work");
    check_nothing(RETURNS_ERROR, 0, ST_E_BAD_GATEWAY, "item 0 does not work");
    check_nothing(BREAKS_SCHEMA, 3, ST_E_INTERNAL, "rejected by its schema");
    check_nothing(BREAKS_SCHEMA, ITEMS - 1, ST_E_INTERNAL, "rejected by its schema");
    check_nothing(FAILS_LATE, 1, ST_E_INTERNAL, NULL);
    check_nothing(FAILS_LATE, ITEMS - 1, ST_E_INTERNAL, NULL); /* found by the commit */
}

static void test_what_needs_a_transaction_of_its_own(void **state)
{
    (void)state;
    check_nothing(COMMITS, 2, ST_E_INTERNAL, "st_commit");
    check_nothing(WAITS_FOR_ABSENT, 2, ST_E_NOT_FOUND, "No such thing.");
}

static void test_a_collision_runs_all_of_them_again(void **state)
{
    (void)state;
    struct batch b = {.bad = 3, .trouble = COLLIDES_ONCE};
    assert_int_equal(run(&b), 0);
    assert_int_equal(b.runs, 2);
    assert_string_equal(written(), "5 5 5");
}

int main(int argc, char **argv)
{
    (void)argc;
    world_start(argv);
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_all_of_them_commit_together),
        TEST(test_one_that_fails_takes_all_with_it),
        TEST(test_what_needs_a_transaction_of_its_own),
        TEST(test_a_collision_runs_all_of_them_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
