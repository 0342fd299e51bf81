/* Jobs and schedules, on a real PostgreSQL: run once, retried, fenced, cancelled, handed back. */
#include "../lib/backbone.h"

#include <sys/wait.h>
#include <unistd.h>

static struct st_pg *db;
static struct daemon *pool, *volatile abandoned;
static atomic_bool hold; /* handlers wait while this is set */
static atomic_int runs, running, most_running;
static _Atomic(int64_t) last_progress, last_commit;

static void note_running(int change)
{
    int now = atomic_fetch_add(&running, change) + change;
    if (now > atomic_load(&most_running))
        atomic_store(&most_running, now);
}

static int write_effect(struct st_call *call, const char *what)
{
    st_exec(call, "insert into effects (job_id, what, attempt) values ($1, $2, $3)", st_i64(call->arena, call->job->id),
            what, st_i64(call->arena, call->job->attempt));
    return 0;
}

/* Waits as long as hold is set, and stops when it is told to. */
static int work(struct st_call *call)
{
    int r = 0;
    atomic_fetch_add(&runs, 1);
    note_running(1);
    while (r == 0 && atomic_load(&hold)) {
        r = st_progress(call, 3, 10);
        st_sleep_ms(2);
    }
    atomic_store(&last_progress, r);
    note_running(-1);
    if (r < 0)
        return r;
    st_emit(call, "ThingHappened", "x", json_pack("{s:i}", "n", 1));
    return write_effect(call, st_str(call->body, "what"));
}

/* Deaf: never asks whether it should stop. */
static int deaf(struct st_call *call)
{
    atomic_fetch_add(&runs, 1);
    while (atomic_load(&hold))
        st_sleep_ms(2);
    return write_effect(call, "deaf");
}

static int fails(struct st_call *call)
{
    write_effect(call, "must be rolled back");
    atomic_fetch_add(&runs, 1);
    return st_fail(call, ST_E_BAD_GATEWAY, "the provider said no to %s", call->user_id);
}

static int lacks(struct st_call *call)
{
    atomic_fetch_add(&runs, 1);
    (void)st_fail_here(call, ST_E_UNAVAILABLE, "No space left on device");
    return st_fail(call, ST_E_UNAVAILABLE, "the disk of %s is full", call->user_id);
}

static int failed(struct st_call *call)
{
    return write_effect(call, "failed");
}

static int failed_badly(struct st_call *call)
{
    write_effect(call, "failed");
    return atomic_load(&hold) ? ST_E_CONFLICT : 0;
}

static int in_steps(struct st_call *call)
{
    json_t *row;
    write_effect(call, "first step");
    int r = st_commit(call);
    if (r < 0)
        return r;
    if (call->job->attempt == 1)
        return ST_E_BAD_GATEWAY;
    if ((r = st_row(call, &row, "select count(*) as n from effects")) < 0)
        return r;
    return write_effect(call, "second step");
}

/* Its first commit takes long (slow_commits); only who holds the lease for sure goes on to the outside. */
static int slow(struct st_call *call)
{
    json_t *row;
    int r = st_row(call, &row, "select count(*) as n from effects");
    if (r < 0)
        return r;
    if (st_json_int(row, "n", 0) == 0)
        write_effect(call, "slow");
    if ((r = st_commit(call)) < 0) {
        atomic_store(&last_commit, r);
        return r;
    }
    atomic_fetch_add(&runs, 1);
    return 0;
}

/* A job of a group; "poison" fails wherever it is. */
static int in_group(struct st_call *call)
{
    atomic_fetch_add(&runs, 1);
    while (atomic_load(&hold) && st_streq(st_str(call->body, "what"), "held"))
        st_sleep_ms(2);
    write_effect(call, call->correlation_id);
    return st_streq(st_str(call->body, "what"), "poison") ? st_fail(call, ST_E_CONFLICT, "poison") : 0;
}

static int commits_in_group(struct st_call *call)
{
    write_effect(call, "before");
    int r = st_commit(call);
    return r < 0 ? r : write_effect(call, "after");
}

static const struct st_job_kind kinds[] = {
    {.name = "work", .handler = work, .concurrency = 3, .timeout_s = 60, .attempts = 3},
    {.name = "short", .handler = work, .concurrency = 1, .timeout_s = 1, .attempts = 1, .failed = failed},
    {.name = "deaf", .handler = deaf, .concurrency = 2, .timeout_s = 60, .attempts = 3},
    {.name = "fails", .handler = fails, .concurrency = 1, .timeout_s = 60, .attempts = 3, .failed = failed},
    {.name = "lacks", .handler = lacks, .concurrency = 1, .timeout_s = 60, .attempts = 2, .failed = failed},
    {.name = "fails_badly", .handler = fails, .concurrency = 1, .timeout_s = 60, .attempts = 1, .failed = failed_badly},
    {.name = "in_steps", .handler = in_steps, .concurrency = 1, .timeout_s = 60, .attempts = 3},
    {.name = "in_group", .handler = in_group, .concurrency = 2, .timeout_s = 60, .attempts = 1, .batch = 50},
    {.name = "commits_in_group",
     .handler = commits_in_group,
     .concurrency = 1,
     .timeout_s = 60,
     .attempts = 1,
     .batch = 10},
    {.name = "everywhere", .handler = work, .concurrency = 3, .timeout_s = 60, .attempts = 3, .everywhere = 2},
    {.name = "rated", .handler = work, .concurrency = 9, .timeout_s = 60, .attempts = 3, .rate = 3, .rate_per_s = 2},
    {.name = "slow", .handler = slow, .concurrency = 2, .timeout_s = 60, .attempts = 3, .lease_s = 2},
    {.name = "brief", .handler = deaf, .concurrency = 1, .timeout_s = 60, .attempts = 3, .lease_s = 2},
    {0},
};
static atomic_int scheduled;
static int schedule(struct st_call *call)
{
    atomic_fetch_add(&scheduled, 1);
    return st_is_uuid(call->correlation_id) ? 0 : ST_E_INTERNAL;
}
static const struct st_schedule schedules[] = {{.name = "tick", .every_s = 1, .handler = schedule}, {0}};
static const struct st_service alpha = {.name = "alpha", .jobs = kinds, .schedules = schedules};

static struct daemon *start_pool(void)
{
    struct daemon *d = daemon_new(&alpha);
    assert_int_equal(st_jobs_start(&d->run), 0);
    return d;
}

static int setup(void **state)
{
    (void)state;
    atomic_store(&hold, false);
    atomic_store(&runs, 0);
    atomic_store(&running, 0);
    atomic_store(&most_running, 0);
    db = database_new("alpha");
    must(db, st_pg_script(db, "create table effects (at serial, job_id bigint, what text, attempt int)"));
    use_database("alpha");
    pool = start_pool();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    atomic_store(&hold, false);
    if (pool)
        daemon_stop(pool, 3000);
    pool = NULL;
    db = st_pg_free(db);
    st_arena_release(&arena);
    return 0;
}

/* What the transaction in which jobs are added needs to know. */
struct order {
    const char *job, *key;
    int64_t delay_ms;
};
static int add_body(struct st_call *call, void *ctx)
{
    const struct order *o = ctx;
    st_enqueue(call, o->job, o->key, o->delay_ms, json_pack("{s:s}", "what", o->job));
    return 0;
}

/* As a handler does it. */
static int transact(int (*body)(struct st_call *call, void *ctx), void *ctx)
{
    struct st_worker w;
    struct st_call call;
    st_worker_init(&w, &pool->run, "test");
    st_call_init(&call, &w, "test");
    call.correlation_id = "c-7";
    call.causation_id = "cause";
    call.user_id = "u-7";
    int r = st_call_transact(&call, body, ctx);
    st_worker_release(&w);
    return r;
}

static int add(const char *job, const char *key, int64_t delay_ms)
{
    return transact(add_body, &(struct order){job, key, delay_ms});
}

/* The same with what st_enqueue_with knows; payloads name the job's kind, or poison. */
struct orders {
    struct st_enqueue list[8];
    int n, poison; /* the poison's number, or -1 */
    const char *ids[8];
    const char *cancel; /* a key of "work" */
};
static int add_with_body(struct st_call *call, void *ctx)
{
    struct orders *o = ctx;
    for (int i = 0; i < o->n; i++) {
        json_t *payload = json_pack("{s:s}", "what", i == o->poison ? "poison" : o->list[i].job);
        o->ids[i] = st_strdup(&arena, st_enqueue_with(call, &o->list[i], payload));
    }
    if (o->cancel)
        st_cancel(call, "work", o->cancel);
    return 0;
}
static int add_with(struct orders *o)
{
    return transact(add_with_body, o);
}

static int64_t number(const char *sql)
{
    int64_t n = 0;
    const char *text = ask_(db, sql, 0, NULL);
    assert_true(st_parse_i64(text, INT64_MIN, INT64_MAX, &n));
    return n;
}

static bool states(const char *want)
{
    const char *have = ask(db, "select string_agg(state, ' ' order by job_id) from jobs");
    return st_streq(have, want);
}

static int64_t effects(void)
{
    return number("select count(*) from effects");
}

/* What waits for a retry is due now. */
static bool hurry(void)
{
    must(db, st_pg_script(db, "update jobs set run_at = now() where state = 'waiting'"));
    st_bell_ring(&pool->run.jobs_bell);
    return true;
}

static void test_a_job_runs_once(void **state)
{
    (void)state;
    assert_int_equal(add("work", NULL, 0), 0);
    assert_true(wait_for(states("done")));
    assert_int_equal(effects(), 1);
    assert_string_equal(ask(db, "select what from effects"), "work");
    assert_int_equal(number("select attempts from jobs"), 1);
    /* What the job emits belongs to the request that asked for it. */
    assert_string_equal(ask(db, "select (metadata->>'correlationId') || (metadata->>'userId') || "
                                "(metadata->>'causationId') from events"),
                        "c-7u-7cause");
}

static void test_an_unknown_job_fails_the_call(void **state)
{
    (void)state;
    assert_int_equal(add("no_such_job", NULL, 0), ST_E_INTERNAL);
    assert_int_equal(number("select count(*) from jobs"), 0);
}

static void test_concurrency_and_threads_at_need(void **state)
{
    (void)state;
    atomic_store(&hold, true);
    for (int i = 0; i < 10; i++)
        assert_int_equal(add("work", NULL, 0), 0);
    assert_true(wait_for(atomic_load(&running) == 3));
    st_sleep_ms(100);
    atomic_store(&hold, false);
    assert_true(wait_for(number("select count(*) from jobs where state = 'done'") == 10));
    assert_int_equal(atomic_load(&most_running), 3);
    assert_int_equal(effects(), 10);
}

static void test_delay(void **state)
{
    (void)state;
    int64_t from = st_mono();
    assert_int_equal(add("work", NULL, 700), 0);
    assert_true(wait_for(states("done")));
    assert_true(st_mono() - from >= 650000);
}

static void test_keys(void **state)
{
    (void)state;
    atomic_store(&hold, true);
    assert_int_equal(add("work", "k", 0), 0);
    assert_true(wait_for(atomic_load(&running) == 1));
    for (int i = 0; i < 3; i++)
        assert_int_equal(add("work", "k", 0), 0);
    assert_int_equal(add("work", "other", 0), 0);
    assert_true(wait_for(atomic_load(&running) == 2));
    assert_true(states("running waiting running"));
    st_sleep_ms(100);
    assert_int_equal(atomic_load(&running), 2);
    atomic_store(&hold, false);
    assert_true(wait_for(states("done done done")));
}

/* The one that waits stands for the one that is added, and so it must not begin before what that is about is there. */
static int add_slowly_body(struct st_call *call, void *ctx)
{
    struct st_rows *rows;
    st_enqueue(call, "work", "k", 0, json_pack("{s:s}", "what", "again"));
    int r = st_rows(call, &rows, "select count(*) from jobs");
    atomic_store(&hold, false);
    assert_true(wait_for(atomic_load(&running) == 0));
    st_sleep_ms(200);
    *(bool *)ctx = states("done waiting");
    return r;
}
static void test_an_equal_one_waits_for_the_commit(void **state)
{
    (void)state;
    bool waited = false;
    atomic_store(&hold, true);
    assert_int_equal(add("work", "k", 0), 0);
    assert_true(wait_for(atomic_load(&running) == 1));
    assert_int_equal(add("work", "k", 0), 0);
    assert_int_equal(transact(add_slowly_body, &waited), 0);
    assert_true(waited);
    assert_true(wait_for(states("done done")));
}

/* A handler that adds many in a row, some of them under a key that one before has, and then reads them. */
enum { MANY = 250 };
static int add_many_body(struct st_call *call, void *ctx)
{
    struct st_rows *rows;
    int64_t *seen = ctx;
    for (int i = 0; i < MANY; i++) {
        const char *key = i % 5 ? NULL : st_printf(call->arena, "key \"%d\", \\", i % 10);
        st_enqueue(call, "work", key, i == 7 ? 3600000 : 0, json_pack("{s:s, s:i}", "what", "\"{\\'é", "i", i));
    }
    int r = st_rows(call, &rows, "select count(*) from jobs");
    *seen = r == 0 ? st_cell_int(rows, 0, 0) : r;
    return r;
}
static void test_many_in_a_row(void **state)
{
    (void)state;
    int64_t seen = 0;
    atomic_store(&hold, true);
    assert_int_equal(transact(add_many_body, &seen), 0);
    assert_int_equal(seen, MANY - MANY / 5 + 2);
    assert_int_equal(number("select count(*) from jobs where delayed"), 1);
    assert_string_equal(ask(db, "select string_agg(distinct unique_key, ' ' order by unique_key) from jobs"),
                        "key \"0\", \\ key \"5\", \\");
    assert_string_equal(ask(db, "select bool_and(i > last)::text from (select (payload->>'i')::int as i, "
                                "lag((payload->>'i')::int, 1, -1) over (order by job_id) as last from jobs) t"),
                        "true");
    atomic_store(&hold, false);
    assert_true(wait_for(effects() == seen - 1));
}

/* It is committed as running, so that nobody has to look for it; unless there is no room, or an equal one runs. */
static void test_a_job_begins_where_it_is_added(void **state)
{
    (void)state;
    atomic_store(&hold, true);
    assert_int_equal(add("work", "k", 0), 0);
    assert_true(states("running"));
    assert_int_equal(add("work", NULL, 0), 0);
    assert_true(states("running running"));
    assert_int_equal(add("work", "k", 0), 0);
    assert_true(states("running running waiting"));
    assert_int_equal(add("work", "other", 0), 0);
    assert_true(wait_for(states("running running waiting running"))); /* who had the last place gives it back */
    assert_int_equal(add("work", NULL, 0), 0);
    assert_true(states("running running waiting running waiting"));
    assert_int_equal(add("everywhere", NULL, 0), 0);
    assert_true(wait_for(atomic_load(&running) == 4));
    atomic_store(&hold, false);
    assert_true(wait_for(states("done done done done done done")));
    assert_int_equal(atomic_load(&runs), 6);
}

static int add_and_fail(struct st_call *call, void *ctx)
{
    struct st_rows *rows;
    int *r = ctx;
    st_enqueue(call, "work", NULL, 0, json_pack("{s:s}", "what", "nothing"));
    *r = st_rows(call, &rows, "select 1");
    return *r < 0 ? *r : st_fail(call, ST_E_CONFLICT, "no");
}

/* What is rolled back leaves no job, and its place to others. */
static void test_a_job_that_was_not_to_be(void **state)
{
    (void)state;
    int r;
    for (int i = 0; i < 10; i++)
        assert_true(transact(add_and_fail, &r) == ST_E_CONFLICT && r == 0);
    assert_int_equal(number("select count(*) from jobs"), 0);
    atomic_store(&hold, true);
    for (int i = 0; i < 4; i++)
        assert_int_equal(add("work", NULL, 0), 0);
    assert_true(wait_for(states("running running running waiting")));
    atomic_store(&hold, false);
    assert_true(wait_for(states("done done done done")));
}

static void test_failures_end_in_a_dead_letter(void **state)
{
    (void)state;
    assert_int_equal(add("fails", "k", 0), 0);
    assert_true(wait_for(atomic_load(&runs) == 1 && states("waiting")));
    assert_string_equal(ask(db, "select error from jobs"), "the provider said no to u-7");
    assert_string_equal(ask(db, "select (run_at between now() and now() + interval '2 seconds')::text from jobs"),
                        "true");
    assert_true(wait_for(hurry() && states("dead")));
    assert_int_equal(atomic_load(&runs), 3);
    assert_int_equal(number("select attempts from jobs"), 3);
    assert_string_equal(ask(db, "select error from jobs"), "the provider said no to u-7");
    assert_int_equal(effects(), 1);
    assert_string_equal(ask(db, "select what from effects"), "failed");
}

/* However often, with pauses that grow, and after processes that ended; after a day it is a failure like others. */
static void test_what_is_away_is_waited_for(void **state)
{
    (void)state;
    assert_int_equal(add("lacks", NULL, 0), 0);
    assert_true(wait_for(hurry() && (atomic_load(&runs) > 5 || states("dead"))));
    assert_false(states("dead"));
    change(db, "update jobs set created_at = now() - interval '2 minutes', attempts = 5, error = null");
    assert_true(hurry());
    assert_true(wait_for(ask(db, "select 1 from jobs where run_at > now() + interval '80 seconds'")));
    assert_string_equal(ask(db, "select attempts || error from jobs"), "1the disk of u-7 is full");
    assert_int_equal(effects(), 0);
    change(db, "update jobs set created_at = now() - interval '25 hours'");
    assert_true(wait_for(hurry() && states("dead")));
    assert_int_equal(number("select attempts from jobs"), 2);
    assert_string_equal(ask(db, "select what from effects"), "failed");
}

static void test_a_burial_that_fails_is_tried_again(void **state)
{
    (void)state;
    atomic_store(&hold, true);
    assert_int_equal(add("fails_badly", NULL, 0), 0);
    assert_true(wait_for(atomic_load(&runs) == 1 && states("waiting")));
    assert_int_equal(effects(), 0);
    atomic_store(&hold, false);
    assert_true(wait_for(hurry() && states("dead")));
    assert_int_equal(atomic_load(&runs), 1);
    assert_int_equal(effects(), 1);
    assert_string_equal(ask(db, "select error from jobs"), "the provider said no to u-7");
}

static void test_steps_stay_committed(void **state)
{
    (void)state;
    assert_int_equal(add("in_steps", NULL, 0), 0);
    assert_true(wait_for(hurry() && states("done")));
    assert_string_equal(ask(db, "select string_agg(what || attempt, ', ' order by at) from effects"),
                        "first step1, first step2, second step2");
}

static void test_a_retry_makes_way_for_an_equal_job(void **state)
{
    (void)state;
    atomic_store(&hold, true);
    assert_int_equal(add("work", "k", 0), 0);
    assert_true(wait_for(atomic_load(&running) == 1));
    assert_int_equal(add("work", "k", 60000), 0);
    atomic_store(&pool->run.stopping, true); /* the first is handed back: it may not wait beside the second */
    daemon_stop(pool, 3000);
    pool = NULL;
    assert_true(states("cancelled waiting"));
}

static void test_progress(void **state)
{
    (void)state;
    atomic_store(&hold, true);
    assert_int_equal(add("work", NULL, 0), 0);
    assert_true(wait_for(number("select coalesce(sum(progress_done), 0) from jobs") == 3));
    assert_int_equal(number("select progress_total from jobs"), 10);
}

static void test_cancel(void **state)
{
    (void)state;
    atomic_store(&hold, true);
    assert_int_equal(add("work", NULL, 0), 0);
    assert_true(wait_for(atomic_load(&running) == 1));
    change(db, "select jobs_cancel(array(select job_id from jobs), 'by hand')");
    assert_true(wait_for(atomic_load(&running) == 0));
    assert_int_equal(atomic_load(&last_progress), ST_E_CANCELLED);
    atomic_store(&hold, false);
    assert_int_equal(add("work", NULL, 0), 0);
    assert_true(wait_for(states("cancelled done")));
    assert_int_equal(effects(), 1);
}

static void test_timeout(void **state)
{
    (void)state;
    atomic_store(&hold, true);
    assert_int_equal(add("short", NULL, 0), 0);
    assert_true(wait_for(states("dead")));
    assert_string_equal(ask(db, "select error from jobs"), "It took longer than 1 s");
    assert_string_equal(ask(db, "select what from effects"), "failed");
}

static void test_hand_back_at_a_stop(void **state)
{
    (void)state;
    atomic_store(&hold, true);
    assert_int_equal(add("work", NULL, 0), 0);
    assert_true(wait_for(atomic_load(&running) == 1));
    int64_t from = st_mono();
    daemon_stop(pool, 60000);
    pool = NULL;
    assert_true(st_mono() - from < 30 * ST_SECOND); /* it is not waited for */
    assert_true(states("waiting"));
    assert_int_equal(number("select attempts from jobs"), 0);
    atomic_store(&hold, false);
    pool = start_pool();
    assert_true(wait_for(states("done")));
    assert_int_equal(number("select attempts from jobs"), 1);
}

/* The lease ends while the handler, which hears nothing, still works: another takes over, the first can commit nothing.
 */
static void test_takeover_is_fenced(void **state)
{
    (void)state;
    atomic_store(&hold, true);
    assert_int_equal(add("deaf", "k", 0), 0);
    assert_true(wait_for(atomic_load(&runs) == 1));
    change(db, "update jobs set lease_until = now() - interval '1 second'");
    struct daemon *second = start_pool();
    assert_true(wait_for(atomic_load(&runs) == 2));
    assert_int_equal(number("select attempts from jobs"), 2);
    atomic_store(&hold, false);
    assert_true(wait_for(states("done")));
    daemon_stop(pool, 3000);
    pool = second;
    assert_int_equal(effects(), 1);
    assert_int_equal(number("select attempt from effects"), 2);
}

/* While its commit takes longer than its lease is safe, another may have taken the job: the first must begin nothing.
 */
static void test_a_commit_that_outlasts_the_lease(void **state)
{
    (void)state;
    must(db, st_pg_script(db, "create function slow_commit() returns trigger language plpgsql as "
                              "$$ begin perform pg_sleep(1.5); return null; end $$;"
                              "create constraint trigger slow_commit after insert on effects "
                              "deferrable initially deferred for each row execute function slow_commit()"));
    assert_int_equal(add("slow", NULL, 0), 0);
    assert_true(wait_for(states("done")));
    assert_int_equal(atomic_load(&last_commit), ST_E_FENCED);
    assert_int_equal(effects(), 1);
    assert_int_equal(atomic_load(&runs), 1);
}

static void test_a_lost_lease_is_noticed(void **state)
{
    (void)state;
    atomic_store(&hold, true);
    assert_int_equal(add("work", NULL, 0), 0);
    assert_true(wait_for(atomic_load(&running) == 1));
    change(db, "update jobs set lease_token = gen_random_uuid()"); /* by another process */
    assert_true(wait_for(atomic_load(&running) == 0));
    assert_int_equal(atomic_load(&last_progress), ST_E_FENCED);
    assert_true(states("running"));
    assert_int_equal(effects(), 0);
}

/* A job whose process has ended so often: nobody has said so, the lease has ended. */
static void leave_behind(int attempts)
{
    static const char sql[] =
        "insert into jobs (name, payload, metadata, attempts, lease_token, lease_until) values "
        "('fails', '{}', '{\"correlationId\": \"c\"}', %d, gen_random_uuid(), now() - interval '1 second')";
    must(db, st_pg_script(db, st_printf(&arena, sql, attempts)));
}

static void test_a_worker_that_dies_every_time(void **state)
{
    (void)state;
    daemon_stop(pool, 0);
    leave_behind(3 + 6);
    pool = start_pool();
    assert_true(wait_for(states("dead")));
    assert_int_equal(atomic_load(&runs), 0);
    assert_string_equal(ask(db, "select what from effects"), "failed");
    assert_non_null(ask(db, "select error from jobs"));
}

/* Most processes end for another reason: then the job still has its chance. */
static void test_a_worker_that_is_killed_at_its_last_attempt(void **state)
{
    (void)state;
    daemon_stop(pool, 0);
    leave_behind(3);
    pool = start_pool();
    assert_true(wait_for(states("dead")));
    assert_int_equal(atomic_load(&runs), 1);
    assert_string_equal(ask(db, "select what from effects"), "failed");
}

static void test_a_job_that_does_not_hear_is_handed_back_at_the_deadline(void **state)
{
    (void)state;
    atomic_store(&hold, true);
    assert_int_equal(add("deaf", NULL, 0), 0);
    assert_true(wait_for(atomic_load(&runs) == 1));
    atomic_store(&pool->run.stopping, true);
    st_bell_ring(&pool->run.jobs_bell);
    st_jobs_stop(&pool->run, 200);
    assert_true(states("waiting"));
    assert_int_equal(number("select attempts from jobs"), 0);
    abandoned = pool; /* its thread still uses it */
    pool = start_pool();
    assert_true(wait_for(atomic_load(&runs) == 2));
    atomic_store(&hold, false);
    assert_true(wait_for(states("done")));
    st_sleep_ms(200);
    assert_int_equal(effects(), 1);
}

static void test_a_database_that_drops_us(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        assert_int_equal(add("work", NULL, 0), 0);
        if (i % 10 == 5)
            (void)ask(db, "select count(pg_terminate_backend(pid)) from pg_stat_activity "
                          "where application_name like 'alpha/job%'");
    }
    /* A job whose commit was cut off was rolled back or done; its lease tells who may go on. */
    assert_true(wait_for(hurry() && number("select count(*) from jobs where state = 'done'") == 30));
    assert_int_equal(effects(), 30);
}

/* --- groups --- */

static void stop_pool(void)
{
    daemon_stop(pool, 3000);
    pool = NULL;
}

/* 120 jobs and a poison among them, waiting: the poison alone fails, and nothing is done twice. */
static void test_a_poison_in_a_group_costs_only_itself(void **state)
{
    (void)state;
    stop_pool();
    change(db, "insert into jobs (name, payload, metadata) select 'in_group', jsonb_build_object('what', "
               "case when n = 70 then 'poison' else 'x' end), jsonb_build_object('correlationId', 'c-' || n) "
               "from generate_series(1, 120) as n");
    pool = start_pool();
    assert_true(wait_for(number("select count(*) from jobs where ended is null") == 0));
    assert_string_equal(ask(db, "select string_agg(error || attempts, ' ') from jobs"), "poison1");
    assert_int_equal(effects(), 119);
    assert_int_equal(number("select count(distinct what) from effects where what <> 'c-70'"), 119);
    assert_true(number("select count(distinct xmin::text) from effects") < 15); /* in few transactions */
    assert_true(atomic_load(&runs) < 400);
}

static void test_a_job_of_a_group_cannot_commit_the_others(void **state)
{
    (void)state;
    stop_pool();
    change(db, "insert into jobs (name, payload, metadata) select 'commits_in_group', '{}', '{}' "
               "from generate_series(1, 4)");
    pool = start_pool();
    assert_true(wait_for(number("select count(*) from jobs where ended is null") == 0));
    assert_int_equal(effects(), 8); /* each alone, then, where it may */
}

/* One lease of a group is taken over while it runs: that job is another's, the rest are done. */
static void test_a_group_is_fenced_one_by_one(void **state)
{
    (void)state;
    stop_pool();
    atomic_store(&hold, true);
    change(db, "insert into jobs (name, payload, metadata) select 'in_group', '{\"what\": \"held\"}', "
               "jsonb_build_object('correlationId', 'c-' || n) from generate_series(1, 20) as n");
    pool = start_pool();
    assert_true(wait_for(atomic_load(&runs) == 1));
    change(db, "update jobs set lease_token = gen_random_uuid(), lease_until = now() + interval '2 seconds', "
               "attempts = 7 where metadata->>'correlationId' = 'c-7'");
    atomic_store(&hold, false);
    assert_true(wait_for(number("select count(*) from jobs where ended is null") == 1));
    assert_int_equal(effects(), 19);
    assert_int_equal(number("select count(*) from effects where what = 'c-7'"), 0);
    /* The other does not come back; that was the last attempt that ends so. */
    assert_true(wait_for(states("dead")));
    assert_int_equal(effects(), 19);
}

/* --- order and limits --- */

static void test_priority(void **state)
{
    (void)state;
    stop_pool();
    change(db, "insert into jobs (name, priority, payload, metadata) select 'short', n % 5, "
               "jsonb_build_object('what', 'p' || n % 5), '{}' from generate_series(0, 9) as n");
    pool = start_pool();
    assert_true(wait_for(effects() == 10));
    assert_string_equal(ask(db, "select string_agg(what, ' ' order by at) from effects"),
                        "p4 p4 p3 p3 p2 p2 p1 p1 p0 p0");
}

static void test_a_limit_over_all_daemons(void **state)
{
    (void)state;
    atomic_store(&hold, true);
    struct daemon *second = start_pool();
    for (int i = 0; i < 8; i++)
        assert_int_equal(add("everywhere", NULL, 0), 0);
    st_bell_ring(&second->run.jobs_bell);
    assert_true(wait_for(atomic_load(&running) == 2));
    for (int i = 0; i < 20; i++) { /* both look again and again */
        st_bell_ring(&pool->run.jobs_bell);
        st_bell_ring(&second->run.jobs_bell);
        st_sleep_ms(20);
    }
    assert_int_equal(number("select count(*) from jobs where state = 'running'"), 2);
    atomic_store(&hold, false);
    assert_true(wait_for(number("select count(*) from jobs where ended = 'done'") == 8));
    assert_int_equal(atomic_load(&most_running), 2);
    daemon_stop(second, 3000);
}

/* Who takes no more jobs leaves its slot to others, and tells them. */
static void test_a_slot_that_is_left_is_told_of(void **state)
{
    (void)state;
    static const char *const topics[] = {"jobs:alpha"};
    struct st_bus *ear = st_bus_new("redis", getenv("ST_REDIS"));
    const char *topic;
    assert_true(wait_for(ear->ops->listen(ear, topics, 1, 100, &topic) == 0));
    atomic_store(&hold, true);
    assert_int_equal(add("everywhere", NULL, 0), 0);
    assert_true(wait_for(atomic_load(&running) == 1));
    atomic_store(&pool->run.stopping, true);
    atomic_store(&hold, false);
    assert_int_equal(ear->ops->listen(ear, topics, 1, 30000, &topic), 1);
    st_bus_free(ear);
}

static void test_a_rate_over_all_daemons(void **state)
{
    (void)state;
    struct daemon *second = start_pool();
    must(db, st_pg_script(db, "create table started (at timestamptz default clock_timestamp());"
                              "create function note() returns trigger language plpgsql as $$ begin "
                              "insert into started select from generate_series(1, 1); return new; end $$;"
                              "create trigger note after insert on job_starts for each row execute function note()"));
    for (int i = 0; i < 8; i++) {
        assert_int_equal(add("rated", NULL, 0), 0);
        st_bell_ring(&second->run.jobs_bell);
    }
    assert_true(wait_for(number("select count(*) from jobs where ended = 'done'") == 8));
    assert_int_equal(number("select count(*) from started"), 8);
    /* Three in two seconds; half of one lies between a start and its note at the most. */
    assert_int_equal(number("select max(n) from (select count(*) over (order by at range between "
                            "interval '1.5 seconds' preceding and current row) as n from started) as windows"),
                     3);
    daemon_stop(second, 3000);
}

static void test_leases_of_a_kind_of_their_own_length(void **state)
{
    (void)state;
    atomic_store(&hold, true);
    assert_int_equal(add("brief", NULL, 0), 0);
    assert_true(wait_for(atomic_load(&running) == 0 && atomic_load(&runs) == 1));
    assert_int_equal(number("select count(*) from jobs where lease_until <= now() + interval '2 seconds'"), 1);
    const char *first = st_strdup(&arena, ask(db, "select lease_until::text from jobs"));
    assert_true(wait_for(st_streq(ask(db, "select (lease_until > $1)::text from jobs", first), "true")));
    atomic_store(&hold, false);
    assert_true(wait_for(states("done")));
    assert_int_equal(number("select attempts from jobs"), 1);
}

/* --- jobs that wait for others --- */

static void test_when_all_of_these_are_done(void **state)
{
    (void)state;
    atomic_store(&hold, true);
    struct orders o = {.list = {{.job = "work"}, {.job = "in_group"}, {.job = "work"}}, .n = 3, .poison = -1};
    assert_int_equal(add_with(&o), 0);
    struct orders after = {.list = {{.job = "work", .after = o.ids, .n_after = 3}}, .n = 1, .poison = -1};
    assert_int_equal(add_with(&after), 0);
    assert_true(wait_for(atomic_load(&running) == 2 && effects() == 1));
    assert_string_equal(ask(db, "select state || pending from jobs where job_id = $1", after.ids[0]), "blocked2");
    atomic_store(&hold, false);
    assert_true(wait_for(effects() == 4));
    assert_string_equal(ask(db, "select job_id::text from effects order by at desc limit 1"), after.ids[0]);
    assert_int_equal(number("select count(*) from job_waits"), 0);
    /* All of them are done, and the row of one is gone: nothing to wait for. */
    assert_int_equal(add_with(&after), 0);
    assert_true(wait_for(effects() == 5));
}

static void test_what_waits_for_a_dead_job_is_cancelled(void **state)
{
    (void)state;
    atomic_store(&hold, true);
    struct orders o = {.list = {{.job = "in_group"}, {.job = "work"}}, .n = 2, .poison = -1};
    assert_int_equal(add_with(&o), 0);
    struct orders poison = {.list = {{.job = "in_group", .delay_ms = 60000}}, .n = 1, .poison = 0};
    assert_int_equal(add_with(&poison), 0);
    const char *const both[] = {o.ids[1], poison.ids[0]};
    struct orders second = {.list = {{.job = "fails", .after = both, .n_after = 2}}, .n = 1, .poison = -1};
    assert_int_equal(add_with(&second), 0);
    struct orders third = {.list = {{.job = "fails_badly", .after = second.ids, .n_after = 1}}, .n = 1, .poison = -1};
    atomic_store(&hold, false);
    assert_int_equal(add_with(&third), 0);
    assert_true(hurry());
    assert_true(wait_for(number("select count(*) from jobs where ended = 'cancelled'") == 2));
    assert_string_equal(ask(db, "select error from jobs where job_id = $1", second.ids[0]),
                        st_printf(&arena, "job-%s (in_group), which it waited for, is dead", poison.ids[0]));
    assert_string_equal(ask(db, "select error from jobs where job_id = $1", third.ids[0]),
                        st_printf(&arena, "job-%s (fails), which it waited for, is cancelled", second.ids[0]));
    assert_int_equal(number("select count(*) from effects where what = 'failed'"), 2); /* both kinds were told */
    /* Too late is the same. */
    struct orders late = {.list = {{.job = "fails", .after = poison.ids, .n_after = 1}}, .n = 1, .poison = -1};
    assert_int_equal(add_with(&late), 0);
    assert_true(wait_for(number("select count(*) from jobs where ended = 'cancelled'") == 3));
    assert_int_equal(number("select count(*) from effects where what = 'must be rolled back'"), 0);
}

static void test_enqueueing_what_is_wrong(void **state)
{
    (void)state;
    static const char *const no_id[] = {"1; drop table jobs"};
    struct orders unknown = {.list = {{.job = "no_such_job"}}, .n = 1, .poison = -1};
    struct orders odd = {.list = {{.job = "work", .after = no_id, .n_after = 1}}, .n = 1, .poison = -1};
    assert_int_equal(add_with(&unknown), ST_E_INTERNAL);
    assert_int_equal(add_with(&odd), ST_E_INTERNAL);
    assert_int_equal(number("select count(*) from jobs"), 0);
}

static void test_a_handler_cancels_by_key(void **state)
{
    (void)state;
    atomic_store(&hold, true);
    assert_int_equal(add("work", "k", 0), 0);
    assert_true(wait_for(atomic_load(&running) == 1));
    assert_int_equal(add("work", "k", 0), 0);
    assert_int_equal(add("work", "other", 60000), 0);
    struct orders o = {.poison = -1, .cancel = "k"};
    assert_int_equal(add_with(&o), 0);
    assert_true(states("cancelled cancelled waiting"));
    assert_true(wait_for(atomic_load(&running) == 0));
    assert_int_equal(atomic_load(&last_progress), ST_E_CANCELLED);
    assert_int_equal(effects(), 0);
}

static void test_the_operator_takes_up_the_dead(void **state)
{
    (void)state;
    atomic_store(&hold, true);
    assert_int_equal(add("short", "k", 0), 0);
    assert_true(wait_for(states("dead")));
    atomic_store(&hold, false);
    assert_int_equal(number("select jobs_retry(null)"), 1);
    st_bell_ring(&pool->run.jobs_bell);
    assert_true(wait_for(states("done")));
    assert_int_equal(number("select attempts from jobs"), 1);
}

static void test_schedules_run_once_for_all_processes(void **state)
{
    (void)state;
    struct daemon *second = daemon_new(&alpha);
    atomic_store(&scheduled, 0);
    int64_t from = st_mono();
    daemon_loop(pool, st_cron_main);
    daemon_loop(second, st_cron_main);
    assert_true(wait_for(atomic_load(&scheduled) >= 4));
    assert_true(atomic_load(&scheduled) <= (st_mono() - from) / ST_SECOND + 2); /* a second lies between any two */
    daemon_stop(second, 0);
}

static int ends_the_process(struct st_call *call)
{
    (void)call;
    _exit(7);
}

static void test_a_schedule_that_ends_its_process_leaves_a_mark(void **state)
{
    (void)state;
    static const struct st_schedule deadly[] = {{.name = "tick", .every_s = 1, .handler = ends_the_process}, {0}};
    static const struct st_service of_the_dead = {.name = "alpha", .schedules = deadly};
    int status;
    pid_t child = fork();
    if (child == 0) {
        st_cron_main(&daemon_new(&of_the_dead)->run);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 7);
    assert_string_equal(ask(db, "select attempts || ' ' || error from schedules where name = 'tick' and retry_at > "
                                "last_run"),
                        "1 its process has ended");
    /* The last attempt has ended so: it is given up until its next time, and then runs. */
    change(db, "update schedules set attempts = 10, retry_at = now() where name = 'tick'");
    atomic_store(&scheduled, 0);
    daemon_loop(pool, st_cron_main);
    assert_true(wait_for(number("select count(*) from schedules where name = 'tick' and attempts = 0 and last_run > "
                                "'-infinity'") == 1));
    assert_true(wait_for(atomic_load(&scheduled) > 0));
    assert_true(wait_for(number("select count(*) from schedules where name = 'tick' and error is null") == 1));
}

int main(int argc, char **argv)
{
    (void)argc;
    world_start(argv);
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_job_runs_once),
        TEST(test_an_unknown_job_fails_the_call),
        TEST(test_concurrency_and_threads_at_need),
        TEST(test_delay),
        TEST(test_keys),
        TEST(test_an_equal_one_waits_for_the_commit),
        TEST(test_many_in_a_row),
        TEST(test_a_job_begins_where_it_is_added),
        TEST(test_a_job_that_was_not_to_be),
        TEST(test_failures_end_in_a_dead_letter),
        TEST(test_what_is_away_is_waited_for),
        TEST(test_a_burial_that_fails_is_tried_again),
        TEST(test_steps_stay_committed),
        TEST(test_a_retry_makes_way_for_an_equal_job),
        TEST(test_progress),
        TEST(test_cancel),
        TEST(test_timeout),
        TEST(test_hand_back_at_a_stop),
        TEST(test_takeover_is_fenced),
        TEST(test_a_commit_that_outlasts_the_lease),
        TEST(test_a_lost_lease_is_noticed),
        TEST(test_a_worker_that_dies_every_time),
        TEST(test_a_worker_that_is_killed_at_its_last_attempt),
        TEST(test_a_job_that_does_not_hear_is_handed_back_at_the_deadline),
        TEST(test_a_database_that_drops_us),
        TEST(test_a_poison_in_a_group_costs_only_itself),
        TEST(test_a_job_of_a_group_cannot_commit_the_others),
        TEST(test_a_group_is_fenced_one_by_one),
        TEST(test_priority),
        TEST(test_a_limit_over_all_daemons),
        TEST(test_a_slot_that_is_left_is_told_of),
        TEST(test_a_rate_over_all_daemons),
        TEST(test_leases_of_a_kind_of_their_own_length),
        TEST(test_when_all_of_these_are_done),
        TEST(test_what_waits_for_a_dead_job_is_cancelled),
        TEST(test_enqueueing_what_is_wrong),
        TEST(test_a_handler_cancels_by_key),
        TEST(test_the_operator_takes_up_the_dead),
        TEST(test_schedules_run_once_for_all_processes),
        TEST(test_a_schedule_that_ends_its_process_leaves_a_mark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
