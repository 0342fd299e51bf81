/* Projections: rows beside their events, and the same rows again from the log. */
#include "../lib/backbone.h"

static struct st_pg *db;
static struct daemon *beta;
static struct st_worker worker;

static int unused(struct st_call *call)
{
    (void)call;
    return 0;
}

/* The state: of each thing the sum of n, and its last event. n -1, -2, -3: what a projection must not do. */
static int project_done(struct st_call *call)
{
    int64_t n = st_json_int(call->body, "n", 0);
    assert_string_equal(call->user_id, "");
    if (n == -1)
        st_emit(call, "BetaDone", "x", json_pack("{s:i}", "n", 1));
    if (n == -2)
        st_enqueue(call, "work", NULL, 0, json_object());
    if (n == -3)
        return st_fail(call, ST_E_CONFLICT, "not this one");
    if (n == -4)
        st_exec(call, "insert into things values (null)");
    st_exec(call,
            "insert into things values ($1, $2, event_version($3), $3, event_time($3), $4, $5) "
            "on conflict (thing_id) do update set total = things.total + excluded.total, version = excluded.version, "
            "last_event = excluded.last_event, at = excluded.at, who = excluded.who, secret = excluded.secret",
            call->event->aggregate_id, st_i64(call->arena, n), call->event->id, call->event->user_id,
            st_str(call->body, "secret"));
    return 0;
}

static const struct st_job_kind jobs[] = {{"work", unused, 1, 10, 3, NULL}, {0}};
static const struct st_projection projections[] = {{"BetaDone", project_done, false}, {0}};
static const char *const tables[] = {"things", NULL};
static const struct st_service service = {.name = "beta", .jobs = jobs, .projections = projections, .tables = tables};

static const char *const schema = "create table things (thing_id text primary key, total bigint not null, "
                                  "version bigint not null, last_event uuid not null unique, at timestamptz not null, "
                                  "who text, secret text, constraint positive check (version > 0));"
                                  "create index things_at on things (at) where total > 0";

static int setup(void **state)
{
    (void)state;
    db = database_new("beta");
    must(db, st_pg_script(db, schema));
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

static int64_t number(const char *sql)
{
    int64_t n = 0;
    assert_true(st_parse_i64(ask_(db, sql, 0, NULL), INT64_MIN, INT64_MAX, &n));
    return n;
}

struct event {
    const char *thing;
    int n;
};

static int emit_body(struct st_call *call, void *ctx)
{
    const struct event *e = ctx;
    st_emit(call, "BetaDone", e->thing, json_pack("{s:i, s:s}", "n", e->n, "secret", "s"));
    return 0;
}

/* In a transaction of its own; gives why it failed, NULL when it did not. */
static const char *done(const char *thing, int n)
{
    struct st_call call;
    st_call_init(&call, &worker, "test");
    call.user_id = "u-1";
    call.correlation_id = "c-1";
    int r = st_call_transact(&call, emit_body, &(struct event){thing, n});
    const char *why = r < 0 ? st_strdup(&arena, st_call_error(&call, r)) : NULL;
    st_arena_reset(&worker.arena);
    return why;
}

static void test_row_beside_event(void **state)
{
    (void)state;
    assert_null(done("a", 3));
    assert_null(done("a", 4));
    assert_null(done("b", 5));
    assert_int_equal(number("select count(*) from things"), 2);
    assert_int_equal(number("select count(*) from things t join events e on e.event_id = t.last_event "
                            "where t.version = e.aggregate_version and t.at = e.recorded_at and who = 'u-1'"),
                     2);
    assert_int_equal(number("select total * 10 + version from things where thing_id = 'a'"), 72);
}

static void test_all_or_nothing(void **state)
{
    (void)state;
    assert_string_equal(done("a", -3), "not this one");
    assert_non_null(done("a", -4));
    assert_int_equal(number("select count(*) from events"), 0);
    assert_int_equal(number("select count(*) from things"), 0);
}

static void test_decides_nothing(void **state)
{
    (void)state;
    assert_string_equal(done("a", -1), "a projection emits BetaDone; only handlers may");
    assert_string_equal(done("a", -2), "the projection of BetaDone adds a job; only handlers may");
    assert_int_equal(number("select count(*) from events"), 0);
    assert_int_equal(number("select count(*) from jobs"), 0);
    assert_null(done("a", 1));
}

/* What is sealed in the log is not for a projection that does not ask for it: it could not have it again for sure. */
static void test_without_sensitive_members(void **state)
{
    (void)state;
    static const char *const sensitive[] = {"secret", NULL};
    assert_null(done("a", 1));
    assert_string_equal(ask(db, "select secret from things where thing_id = 'a'"), "s");
    struct st_call call;
    const struct st_event event = {.id = ask(db, "select event_id::text from events"),
                                   .type = "BetaDone",
                                   .aggregate_id = "a",
                                   .version = "1.0.0"};
    json_t *payload = st_json_keep(&arena, json_pack("{s:i, s:s}", "n", 1, "secret", "s"));
    types[0].sensitive = sensitive;
    st_call_init(&call, &worker, "test");
    st_pg_begin(worker.pg);
    call.p->open = true;
    must(worker.pg, st_project(&call, &event, payload, payload));
    must(worker.pg, st_pg_commit(worker.pg));
    types[0].sensitive = NULL;
    assert_null(ask(db, "select secret from things where thing_id = 'a'"));
    assert_string_equal(st_str(payload, "secret"), "s");
}

static void test_tables_of_projections(void **state)
{
    (void)state;
    static const struct st_projection unknown[] = {{"NoSuch", unused, false}, {0}};
    static const struct st_projection others[] = {{"ThingHappened", unused, false}, {0}};
    static const struct st_projection twice[] = {{"BetaDone", unused, false}, {"BetaDone", unused, false}, {0}};
    static const struct st_projection *const wrong[] = {unknown, others, twice};
    const char *why = "";
    assert_int_equal(st_projections_check(&beta->run, &why), 0);
    for (size_t i = 0; i < ST_COUNT(wrong); i++) {
        struct st_service s = {.name = "beta", .projections = wrong[i]};
        struct st_run run = {.service = &s, .types = types, .n_types = (int)ST_COUNT(types)};
        assert_int_equal(st_projections_check(&run, &why), ST_E_INVALID);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
int main(int argc, char **argv)
{
    (void)argc;
    world_start(argv);
    const struct CMUnitTest tests[] = {
        T(row_beside_event),          T(all_or_nothing),        T(decides_nothing),
        T(without_sensitive_members), T(tables_of_projections),
    };
    int failed = cmocka_run_group_tests_name("project", tests, NULL, NULL);
    st_redis_free(redis);
    st_arena_release(&arena);
    return failed;
}
