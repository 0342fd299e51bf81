/* Projections: rows beside their events, and the same rows again from the log. */
#include "../lib/backbone.h"

#include "svc/rebuild.h"

#include <sys/wait.h>

static struct st_pg *db;
static struct daemon *beta;
static struct st_worker worker;

static int unused(struct st_call *call)
{
    (void)call;
    return 0;
}

static int64_t stops_at; /* the event with this n takes until the process is killed */

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
    while (stops_at && n == stops_at)
        pause();
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

/* --- rebuild --- */

static char said[64 * 1024]; /* by the last rebuild */
static const char *failure;

static int rebuild_(bool check)
{
    memset(said, 0, sizeof(said));
    FILE *f = fmemopen(said, sizeof(said) - 1, "w");
    assert_non_null(f);
    failure = NULL;
    int r = st_rebuild(&beta->run, check, f, &failure);
    fclose(f);
    return r;
}

/* A member of the last line. */
static json_t *result(const char *member)
{
    const char *last = strrchr(said, '\n'), *why = "";
    json_t *line;
    assert_non_null(last);
    while (last > said && last[-1] != '\n')
        last--;
    if (st_json_parse(&arena, last, strlen(last), 8, &line, &why) < 0)
        fail_msg("%s: %s", why, last);
    return json_object_get(line, member);
}

static const char *dump(void)
{
    return ask(db, "select string_agg(to_jsonb(t)::text, chr(10) order by thing_id) from things t");
}

static const char *shape(void)
{
    return ask(db, "select string_agg(d, chr(10) order by d) from ("
                   "select pg_get_indexdef(indexrelid) d from pg_index where indrelid = 'public.things'::regclass "
                   "union all select conname || pg_get_constraintdef(oid) from pg_constraint "
                   "where conrelid = 'public.things'::regclass union all select attname || attnotnull || "
                   "format_type(atttypid, atttypmod) from pg_attribute "
                   "where attrelid = 'public.things'::regclass and attnum > 0 and not attisdropped) x");
}

static void test_same_rows_again(void **state)
{
    (void)state;
    for (int i = 0; i < 250; i++)
        assert_null(done(st_printf(&arena, "t-%d", i % 7), i));
    const char *before = dump(), *before_shape = shape();
    int64_t oid = number("select 'public.things'::regclass::oid::int8");
    assert_int_equal(rebuild_(true), 0);
    assert_true(json_is_true(result("same")));
    assert_int_equal(number("select 'public.things'::regclass::oid::int8"), oid);
    assert_int_equal(rebuild_(false), 0);
    assert_int_equal(json_integer_value(result("events")), 250);
    assert_string_equal(dump(), before);
    assert_string_equal(shape(), before_shape);
    assert_int_not_equal(number("select 'public.things'::regclass::oid::int8"), oid);
    assert_int_equal(number("select count(*) from pg_namespace where nspname = 'rebuild'"), 0);
    assert_null(done("t-1", 1)); /* statements that were prepared before find the new table */
    assert_int_equal(number("select total from things where thing_id = 't-1'"), 4447);
}

static void test_check_says_what_differs(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        assert_null(done(st_printf(&arena, "t-%d", i), i));
    change(db, "update things set total = 77 where thing_id = 't-3'");
    change(db, "delete from things where thing_id = 't-4'");
    assert_int_equal(rebuild_(true), 0);
    assert_true(json_is_false(result("same")));
    const json_t *table = json_array_get(result("tables"), 0);
    assert_string_equal(st_str(table, "table"), "things");
    assert_int_equal(st_json_int(table, "rows", 0), 19);
    assert_int_equal(st_json_int(table, "onlyInTable", 0), 1);
    assert_int_equal(st_json_int(table, "onlyInLog", 0), 2);
    assert_non_null(strstr(said, "\\\"total\\\": 77"));
    assert_int_equal(number("select total from things where thing_id = 't-3'"), 77);
    assert_int_equal(rebuild_(false), 0);
    assert_int_equal(number("select total from things where thing_id = 't-3'"), 3);
    assert_int_equal(rebuild_(true), 0);
    assert_true(json_is_true(result("same")));
}

/* Writers in several transactions, with aggregates of their own and shared ones, until told to stop. */
static atomic_bool writing;
static atomic_int written, refused;

static bool connected(struct st_worker *w)
{
    st_pg_exec(w->pg, "select", ST_PARAMS());
    return st_pg_flush(w->pg) == 0;
}

static void *writer(void *ctx)
{
    struct st_worker w;
    st_worker_init(&w, &beta->run, "writer");
    while (!connected(&w) && atomic_load(&writing)) /* a slow machine may take its time */
        st_sleep_ms(100);
    for (int i = 0; atomic_load(&writing); i++, st_sleep_ms(1)) {
        struct st_call call;
        char thing[32];
        snprintf(thing, sizeof(thing), "%s-%d-%d", i % 2 ? "shared" : "own", i % 2 ? 0 : (int)(intptr_t)ctx, i % 50);
        st_call_init(&call, &w, "writer");
        int r = st_call_transact(&call, emit_body, &(struct event){thing, 1});
        atomic_fetch_add(r < 0 ? &refused : &written, 1);
        st_arena_reset(&w.arena);
    }
    st_worker_release(&w);
    return NULL;
}

static void test_while_writers_go_on(void **state)
{
    (void)state;
    enum { WRITERS = 4, REBUILDS = 3 };
    pthread_t threads[WRITERS];
    atomic_store(&writing, true);
    atomic_store(&written, 0);
    atomic_store(&refused, 0);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, writer, (void *)(intptr_t)i), 0);
    int r = 0;
    for (int i = 0; r == 0 && i < REBUILDS; i++) {
        int64_t next = atomic_load(&written) + 100;
        assert_true(wait_for(atomic_load(&written) >= next));
        r = rebuild_(i % 3 == 2);
        if (r == 0 && i % 3 == 2 && !json_is_true(result("same")))
            r = ST_E_CONFLICT;
    }
    atomic_store(&writing, false);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    if (r < 0)
        fail_msg("%s: %s %s", st_err_code(r), failure ? failure : "", said);
    assert_int_equal(atomic_load(&refused), 0);
    assert_int_equal(number("select sum(total) from things"), atomic_load(&written));
    assert_int_equal(
        number("select count(*) from things t join (select aggregate_id, max(aggregate_version) as v from "
               "events group by 1) e on e.aggregate_id = t.thing_id where e.v = t.total and e.v = version"),
        number("select count(*) from things"));
    assert_int_equal(rebuild_(true), 0);
    assert_true(json_is_true(result("same")));
}

/* In another process, which is killed on its way: the old tables serve as if nothing had been. */
static void test_killed_on_its_way(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++)
        assert_null(done(st_printf(&arena, "t-%d", i), i));
    const char *before = dump();
    pid_t pid = fork();
    if (pid == 0) {
        stops_at = 250; /* in the second page */
        _exit(rebuild_(false) < 0);
    }
    assert_true(wait_for(number("select count(*) from pg_class c join pg_namespace n on n.oid = relnamespace "
                                "where nspname = 'rebuild' and relname = 'things'") == 1 &&
                         number("select count(*) from rebuild.things") > 100));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_string_equal(dump(), before);
    assert_null(done("t-1", 1));
    assert_int_equal(rebuild_(false), 0);
    assert_int_equal(number("select total from things where thing_id = 't-1'"), 2);
    assert_int_equal(number("select count(*) from things"), 300);
    assert_int_equal(number("select count(*) from pg_namespace where nspname = 'rebuild'"), 0);
}

static int rebuild_to(FILE *f)
{
    const char *why = "";
    assert_non_null(f);
    int r = st_rebuild(&beta->run, false, f, &why);
    fclose(f);
    return r;
}

/* The output of a rebuild that stops itself, or lets another process go on, at the first that it tells. */
static ssize_t stops_or_continues(void *ctx, const char *text, size_t n)
{
    (void)text;
    const pid_t *other = ctx;
    kill(other ? *other : getpid(), other ? SIGCONT : SIGSTOP);
    return (ssize_t)n;
}

static const cookie_io_functions_t telling = {.write = stops_or_continues};

/* The later one wins; the earlier says so and leaves everything to it. */
static void test_a_later_one_takes_over(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++)
        assert_null(done(st_printf(&arena, "t-%d", i), i));
    int status;
    pid_t earlier = fork();
    if (earlier == 0)
        _exit(rebuild_to(fopencookie(NULL, "w", telling)) == ST_E_FENCED ? 0 : 1);
    assert_int_equal(waitpid(earlier, &status, WUNTRACED), earlier);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(number("select count(*) from rebuild_run"), 1);
    assert_int_equal(rebuild_to(fopencookie(&earlier, "w", telling)), 0);
    assert_int_equal(waitpid(earlier, &status, 0), earlier);
    assert_int_equal(status, 0);
    assert_int_equal(rebuild_(true), 0);
    assert_true(json_is_true(result("same")));
}

/* A projection that refuses an event, and a table that cannot be one: said, and nothing is changed. */
static void test_says_why_not(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        assert_null(done("a", i));
    const char *before = dump();
    change(db, "update events set payload = '{\"n\": -3}' where aggregate_version = 6");
    assert_int_equal(rebuild_(false), ST_E_CONFLICT);
    assert_non_null(strstr(failure, ask(db, "select event_id::text from events where aggregate_version = 6")));
    assert_non_null(strstr(failure, "BetaDone: not this one"));
    change(db, "update events set payload = '{\"n\": -4}' where aggregate_version = 6");
    assert_int_equal(rebuild_(false), ST_E_CONFLICT);
    assert_non_null(strstr(failure, ask(db, "select event_id::text from events where aggregate_version = 6")));
    assert_string_equal(dump(), before);
    change(db, "update events set payload = '{\"n\": 5}' where aggregate_version = 6");
    change(db, "create table others (thing_id text references things)");
    assert_int_equal(rebuild_(false), ST_E_INTERNAL);
    assert_non_null(strstr(failure, "foreign keys"));
    assert_string_equal(dump(), before);
    assert_int_equal(number("select count(*) from pg_namespace where nspname = 'rebuild'"), 0);
}

static void *rebuild_in_thread(void *ctx)
{
    static char lines[64 * 1024];
    (void)ctx;
    return (void *)(intptr_t)rebuild_to(fmemopen(lines, sizeof(lines), "w"));
}

/* The relay's lesson: what commits late has an early seq. */
static void test_a_transaction_that_was_open(void **state)
{
    (void)state;
    struct st_call call;
    assert_null(done("a", 1));
    st_call_init(&call, &worker, "late");
    st_emit(&call, "BetaDone", "late", json_pack("{s:i}", "n", 5));
    must(worker.pg, st_pg_flush(worker.pg));
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, rebuild_in_thread, NULL), 0);
    assert_true(wait_for(number("select count(*) from pg_class c join pg_namespace n on n.oid = relnamespace "
                                "where nspname = 'rebuild' and relname = 'things'") == 1));
    assert_null(done("b", 1)); /* later in the log, seen by an earlier pass perhaps */
    st_sleep_ms(300);
    must(worker.pg, st_pg_commit(worker.pg));
    void *r;
    pthread_join(thread, &r);
    assert_int_equal((intptr_t)r, 0);
    assert_int_equal(number("select total from things where thing_id = 'late'"), 5);
    assert_int_equal(number("select count(*) from things"), 3);
    assert_int_equal(rebuild_(true), 0);
    assert_true(json_is_true(result("same")));
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
int main(int argc, char **argv)
{
    (void)argc;
    world_start(argv);
    const struct CMUnitTest tests[] = {
        T(row_beside_event),          T(all_or_nothing),        T(decides_nothing),
        T(without_sensitive_members), T(tables_of_projections), T(same_rows_again),
        T(check_says_what_differs),   T(while_writers_go_on),   T(killed_on_its_way),
        T(a_later_one_takes_over),    T(says_why_not),          T(a_transaction_that_was_open),
    };
    int failed = cmocka_run_group_tests_name("project", tests, NULL, NULL);
    st_arena_release(&arena);
    return failed;
}
