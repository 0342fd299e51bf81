/* Sagas, on a real PostgreSQL: to the end or back to the start, whatever fails, repeats, comes late or is killed. */
#include "../lib/backbone.h"
#include "svc/api.h"

#include <sys/prctl.h>
#include <sys/wait.h>

enum { STEPS = 4, ROUNDS_MAX = 200 };
enum trouble { NONE, REFUSES, BREAKS, ANSWERS_NO, NEVER_ANSWERS };

static struct st_pg *db;
static struct daemon *alpha;
static struct st_worker worker;
static enum trouble trouble; /* of the step `bad`, on the way forward */
static int bad = -1;
static int stuck = -1;    /* the compensation of this step fails */
static bool end_fails;    /* and so does the last handler */
static int transactions;  /* begun by the test so far */
static int crash_at = -1; /* this one of them is not committed */
static bool crashed;

/* --- the service: four steps; those with an even number wait for answers of their compensations --- */

static int note(struct st_call *call, const char *what)
{
    assert_string_equal(call->user_id, "u-1");
    assert_string_equal(call->correlation_id, "c-1");
    assert_int_equal(st_json_int(call->body, "n", 0), 7);
    st_exec(call, "insert into effects (saga_id, what) values ($1, $2)", call->saga->id,
            st_printf(call->arena, "%s %s", what, call->saga->step));
    st_emit(call, "Asked", call->saga->id, json_pack("{s:s}", "sagaId", call->saga->id));
    return 0;
}

static int go(struct st_call *call)
{
    int step = call->saga->step[1] - '0';
    assert_false(call->saga->backward);
    note(call, "do");
    if (step == bad && trouble == REFUSES)
        return st_fail(call, ST_E_CONFLICT, "it is refused");
    if (step == bad && trouble == BREAKS)
        return st_fail(call, ST_E_BAD_GATEWAY, "it is broken");
    return 0;
}

static int undo(struct st_call *call)
{
    assert_true(call->saga->backward);
    note(call, "undo");
    return call->saga->step[1] - '0' == stuck ? st_fail(call, ST_E_CONFLICT, "it cannot be undone") : 0;
}

static int ended(struct st_call *call)
{
    note(call, call->saga->backward ? "was undone" : "is done");
    return end_fails ? st_fail(call, ST_E_CONFLICT, "it cannot be ended") : 0;
}

static const struct st_saga_step trip[] = {
    {"s0", go, undo, "Done0", "Failed0", "Undone0", 60, false},
    {"s1", go, undo, "Done1", "Failed1", NULL, 60, false},
    {"s2", go, undo, "Done2", "Failed2", "Undone2", 60, false},
    {"s3", go, undo, "Done3", "Failed3", NULL, 60, false},
    {0},
};
/* As an invitation: what is sent cannot be called back. */
static const struct st_saga_step mail[] = {
    {"s0", go, undo, "Done0", "Failed0", "Undone0", 60, false},
    {"s1", go, undo, NULL, NULL, NULL, 60, false},
    {"s2", go, NULL, "Done2", "Failed2", NULL, 60, true},
    {"s3", go, NULL, NULL, NULL, NULL, 60, false},
    {0},
};
static const struct st_saga sagas[] = {
    {.name = "trip", .steps = trip}, {.name = "mail", .steps = mail, .ended = ended}, {0}};

static int own_done(struct st_call *call)
{
    st_exec(call, "insert into effects (saga_id, what) values ($1, 'own')", st_str(call->body, "sagaId"));
    return 0;
}
static const struct st_subscription subscriptions[] = {{.type = "Done3", .handler = own_done}, {0}};
static const struct st_service service = {.name = "alpha", .sagas = sagas, .subscriptions = subscriptions};

static const char *const type_names[] = {"Asked",   "Done0",   "Done1",   "Done2",   "Done3",  "Failed0",
                                         "Failed1", "Failed2", "Failed3", "Undone0", "Undone2"};
static struct st_event_type saga_types[ST_COUNT(type_names)];

static struct daemon *service_new(void)
{
    struct daemon *d = daemon_new(st_sagas_join(&arena, &service));
    for (size_t i = 0; i < ST_COUNT(type_names); i++)
        saga_types[i] = (struct st_event_type){.type = type_names[i],
                                               .topic = "t",
                                               .aggregate_type = "thing",
                                               .version = "1.0.0",
                                               .major = 1,
                                               .service = "*",
                                               .payload = saga_types[i].payload};
    const char *pointer, *why;
    static struct st_arena forever;
    json_t *schema = st_json_keep(&forever, json_pack("{s:s, s:[s]}", "type", "object", "required", "sagaId"));
    for (size_t i = 0; i < ST_COUNT(type_names); i++)
        if (!saga_types[i].payload && st_schema_compile(&forever, schema, "", &saga_types[i].payload, &pointer, &why))
            abort();
    d->run.types = saga_types;
    d->run.n_types = (int)ST_COUNT(type_names);
    return d;
}

static int database_setup(void **state)
{
    (void)state;
    db = database_new("alpha");
    must(db, st_pg_script(db, "create table effects (at serial, saga_id uuid, what text); "
                              "create function of_saga(name_ text, expression text) returns text language plpgsql as "
                              "$$ declare ret text; begin execute format('select (%s)::text from sagas where name = "
                              "%L', expression, name_) into ret; return ret; end $$"));
    use_database("alpha");
    return 0;
}

static int database_teardown(void **state)
{
    (void)state;
    db = st_pg_free(db);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    trouble = NONE;
    bad = stuck = crash_at = -1;
    crashed = end_fails = false;
    transactions = 0;
    change(db, "truncate sagas, effects, jobs, events, aggregates");
    alpha = service_new();
    st_worker_init(&worker, &alpha->run, "test");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    st_worker_release(&worker);
    daemon_stop(alpha, 3000);
    st_arena_release(&arena);
    return 0;
}

/* --- a process that may die before any commit --- */

struct work {
    st_handler *handler;
    int (*body)(struct st_call *call);
};

static int work_body(struct st_call *call, void *ctx)
{
    const struct work *w = ctx;
    int r = w->handler ? w->handler(call) : 0;
    if (r >= 0 && w->body)
        r = w->body(call);
    if (r >= 0 && transactions++ == crash_at) {
        crashed = true;
        return ST_E_CANCELLED;
    }
    return r;
}

static int transact(struct st_call *call, st_handler *handler, int (*body)(struct st_call *call))
{
    struct work w = {handler, body};
    return st_call_transact(call, work_body, &w);
}

static const char *started_id;
static const char *saga_name = "trip";
static int start_body(struct st_call *call)
{
    const char *id = NULL;
    int r = st_saga_start(call, saga_name, "key", json_pack("{s:i}", "n", 7), &id);
    if (r == 0)
        started_id = st_strdup(&arena, id);
    return r;
}

static int start(const char *name)
{
    struct st_call call;
    saga_name = name;
    st_call_init(&call, &worker, "start");
    call.user_id = "u-1";
    call.correlation_id = "c-1";
    int r = transact(&call, NULL, start_body);
    st_arena_reset(&worker.arena);
    return r;
}

/* An event of another service arrives. */
static int deliver_to(const char *id, const char *type)
{
    struct st_call call;
    const struct st_event event = {.id = "e", .type = type};
    const struct st_subscription *to = st_run_subscription(&alpha->run, type);
    assert_non_null(to);
    st_call_init(&call, &worker, type);
    call.correlation_id = "of the event";
    call.event = &event;
    call.body = st_json_keep(&worker.arena, json_pack("{s:s*, s:s}", "sagaId", id, "reason", "they said no"));
    int r = transact(&call, to->handler, NULL);
    st_arena_reset(&worker.arena);
    return r;
}

static int deliver(const char *type)
{
    return deliver_to(started_id, type);
}

static int job_done(struct st_call *call)
{
    return st_exec_one(call, ST_E_FENCED, "update jobs set ended = 'done' where job_id = $1 and state = 'running'",
                       st_i64(call->arena, call->job->id));
}

/* Runs one job that waits, as the pool does; false when there is none. */
static bool run_job(const char *name)
{
    struct st_rows *rows;
    const struct st_job_kind *kind = alpha->run.service->jobs;
    struct st_call call;
    const char *why;
    must(db, st_pg_query(db, &worker.arena,
                         "update jobs set lease_token = gen_random_uuid(), attempts = attempts + 1 where job_id = "
                         "(select min(job_id) "
                         "from jobs where name = $1 and state = 'waiting') "
                         "returning job_id, attempts, payload, metadata->>'correlationId'",
                         ST_PARAMS(name), &rows));
    while (!st_streq(kind->name, name))
        kind++;
    if (st_rows_count(rows) == 0)
        return false;
    struct st_job job = {
        .id = st_cell_int(rows, 0, 0), .attempt = (int)st_cell_int(rows, 0, 1), .max_attempts = kind->attempts};
    const char *payload = st_cell(rows, 0, 2);
    st_call_init(&call, &worker, name);
    call.job = &job;
    call.correlation_id = st_cell(rows, 0, 3);
    assert_int_equal(st_json_parse(&worker.arena, payload, strlen(payload), 8, &call.body, &why), 0);
    int r = transact(&call, kind->handler, job_done);
    /* The last attempt does not fail, but says so in the saga. A crash is not held against it here. */
    assert_true(r >= 0 || crashed || job.attempt < job.max_attempts);
    if (r < 0)
        must(db, st_pg_query(db, &worker.arena,
                             "update jobs set lease_token = null, attempts = attempts - $2::int where job_id = $1",
                             ST_PARAMS(st_i64(&worker.arena, job.id), crashed ? "1" : "0"), &rows));
    crashed = false;
    st_arena_reset(&worker.arena);
    return true;
}

/* Of the saga that was started last: columns, or an expression of them. */
static const char *field(const char *expression)
{
    return ask(db, "select of_saga($1, $2)", saga_name, expression);
}

static void check_state(const char *want)
{
    const char *have = ask(db, "select state from sagas where saga_id = $1", started_id);
    assert_string_equal(have, want);
}

/* Nothing that is not awaited moves it. */
static void deliver_strangers(const char *awaited)
{
    const char *before = field("history");
    for (size_t i = 1; i < ST_COUNT(type_names); i++) {
        bool other_answer = st_streq(type_names[i] + strlen(type_names[i]) - 1, awaited + strlen(awaited) - 1);
        if (!other_answer && !st_streq(type_names[i], "Done3"))
            assert_int_equal(deliver(type_names[i]), 0);
    }
    assert_string_equal(field("history"), before);
}

/* The other service answers what the saga waits for; false when it waits for nothing, or gets no answer. */
static bool answer(void)
{
    const char *step = field("step");
    bool backward = st_streq(field("backward"), "true"), no = false;
    if (!st_streq(field("waiting"), "true"))
        return false;
    if (!backward && step[1] - '0' == bad) {
        if (trouble == NEVER_ANSWERS)
            return false;
        no = trouble == ANSWERS_NO;
    }
    const char *type = st_printf(&arena, "%s%s", backward ? "Undone" : no ? "Failed" : "Done", step + 1);
    if (crash_at < 0)
        deliver_strangers(type);
    for (int times = 0; times < 3; times++) {
        int r = deliver(type);
        if (r == ST_E_CANCELLED)
            crashed = false;
        else
            assert_int_equal(r, 0);
    }
    return true;
}

/* All deadlines pass. */
static bool time_passes(void)
{
    change(db, "update sagas set deadline = now() - interval '1 second' where deadline is not null and waiting");
    bool any = false;
    while (run_job("saga_deadline"))
        any = true;
    return any;
}

/* Until nothing happens any more. */
static void run_all(void)
{
    for (int i = 0; i < ROUNDS_MAX; i++)
        if (!run_job("saga") && !answer() && !(trouble == NEVER_ANSWERS && time_passes()))
            return;
    fail_msg("it does not end");
}

static const char *effects(void)
{
    return ask(db, "select coalesce(string_agg(what, ', ' order by at), '') from effects "
                   "where what <> 'own'");
}

/* What happens when `bad` has trouble: steps before it are done, and undone in the reverse order, once each. */
static const char *expected(int last_done, int last_undone)
{
    const char *text = "";
    for (int i = 0; i <= last_done; i++)
        text = st_printf(&arena, "%s%sdo s%d", text, *text ? ", " : "", i);
    for (int i = last_undone; i >= 0; i--)
        text = st_printf(&arena, "%s%sundo s%d", text, *text ? ", " : "", i);
    return text;
}

/* --- straight --- */

static void test_a_saga_goes_to_its_end(void **state)
{
    (void)state;
    assert_int_equal(start("trip"), 0);
    check_state("running");
    run_all();
    check_state("done");
    assert_string_equal(effects(), expected(STEPS - 1, -1));
    assert_null(field("error"));
    assert_non_null(field("finished_at"));
    /* The service's own handler of an answer has run, too: once for each delivery, which the inbox makes one. */
    assert_string_equal(ask(db, "select count(*) from effects where what = 'own'"), "3");
    assert_string_equal(ask(db, "select string_agg(h->>'step' || ' ' || (h->>'did'), ', ') from sagas, "
                                "jsonb_array_elements(history) h"),
                        "s0 asked for, s0 done, s1 asked for, s1 done, s2 asked for, s2 done, s3 asked for, s3 done, "
                        " done");
    /* What the steps emit is the doing of who has started it. */
    assert_string_equal(ask(db, "select string_agg(distinct metadata->>'userId', ' ') from events"), "u-1");
}

static void test_a_key_starts_it_once(void **state)
{
    (void)state;
    assert_int_equal(start("trip"), 0);
    const char *first = started_id;
    assert_int_equal(start("trip"), 0);
    assert_string_equal(started_id, first);
    assert_string_equal(ask(db, "select count(*) from sagas"), "1");
    assert_string_equal(effects(), "do s0");
    run_all();
    check_state("done");
    assert_int_equal(start("trip"), 0);
    assert_string_equal(started_id, first);
    assert_false(run_job("saga"));
}

static void test_an_unknown_saga_fails_the_call(void **state)
{
    (void)state;
    assert_int_equal(start("nothing"), ST_E_INTERNAL);
    assert_string_equal(ask(db, "select count(*) from sagas"), "0");
}

/* --- every step, every trouble --- */

static void check_trouble(enum trouble t, int step)
{
    change(db, "truncate sagas, effects, jobs");
    trouble = t;
    bad = step;
    int r = start("trip");
    if (step == 0 && (t == REFUSES || t == BREAKS)) { /* the caller's own transaction */
        assert_int_equal(r, t == REFUSES ? ST_E_CONFLICT : ST_E_BAD_GATEWAY);
        assert_string_equal(ask(db, "select count(*) from sagas"), "0");
        assert_string_equal(effects(), "");
        return;
    }
    assert_int_equal(r, 0);
    run_all();
    check_state("compensated");
    int done = t == REFUSES || t == BREAKS ? step - 1 : step;
    assert_string_equal(effects(), expected(done, t == NEVER_ANSWERS ? step : step - 1));
    const char *why[] = {"", "it is refused", "it is broken", "they said no", "no answer within 60 s"};
    assert_non_null(strstr(field("error"), why[t]));
    assert_false(run_job("saga"));
    (void)time_passes();
    check_state("compensated");
}

static void test_each_step_fails_in_each_way(void **state)
{
    (void)state;
    for (int step = 0; step < STEPS; step++)
        for (enum trouble t = REFUSES; t <= NEVER_ANSWERS; t++)
            check_trouble(t, step);
}

static void test_a_failing_step_is_tried_again(void **state)
{
    (void)state;
    trouble = BREAKS;
    bad = 1;
    assert_int_equal(start("trip"), 0);
    assert_int_equal(deliver("Done0"), 0);
    for (int i = 1; i < 6; i++) {
        assert_true(run_job("saga"));
        check_state("running");
    }
    trouble = NONE; /* the last time it works */
    run_all();
    check_state("done");
    assert_string_equal(effects(), expected(STEPS - 1, -1));
}

/* --- late and repeated answers --- */

static void test_answers_after_the_deadline(void **state)
{
    (void)state;
    trouble = NEVER_ANSWERS;
    bad = 0;
    assert_int_equal(start("trip"), 0);
    assert_true(time_passes());
    check_state("compensating");
    assert_int_equal(deliver("Done0"), 0); /* too late: it is being undone */
    assert_true(run_job("saga"));
    assert_int_equal(deliver("Done0"), 0);
    assert_int_equal(deliver("Failed0"), 0);
    check_state("compensating");
    assert_int_equal(deliver("Undone0"), 0);
    assert_true(run_job("saga"));
    check_state("compensated");
    assert_int_equal(deliver("Done0"), 0);
    assert_int_equal(deliver("Undone0"), 0);
    check_state("compensated");
    assert_string_equal(effects(), "do s0, undo s0");
}

static void test_a_deadline_that_comes_early_or_late(void **state)
{
    (void)state;
    assert_int_equal(start("trip"), 0);
    assert_true(run_job("saga_deadline")); /* a clock that was set: it is put off */
    check_state("running");
    assert_string_equal(ask(db, "select count(*) from jobs where name = 'saga_deadline' and state = 'waiting' "
                                "and run_at > now() + interval '30 seconds'"),
                        "1");
    assert_int_equal(deliver("Done0"), 0);
    change(db, "update sagas set deadline = now() - interval '1 second'");
    assert_true(run_job("saga_deadline")); /* of a step that is done */
    check_state("running");
    run_all();
    check_state("done");
}

static void test_answers_for_others_are_left_alone(void **state)
{
    (void)state;
    assert_int_equal(start("trip"), 0);
    assert_int_equal(deliver_to("01890000-0000-7000-8000-000000000000", "Done0"), 0);
    assert_int_equal(deliver_to("no id", "Done0"), 0);
    assert_int_equal(deliver_to(NULL, "Done0"), 0); /* of the same type, but nobody's answer */
    assert_string_equal(field("waiting"), "true");
    assert_int_equal(deliver("Done1"), 0);
    assert_string_equal(field("step"), "s0");
}

/* --- killed before any commit --- */

static void check_crashes(enum trouble t, int step, const char *state)
{
    for (int n = 0;; n++) {
        change(db, "truncate sagas, effects, jobs, events, aggregates");
        trouble = t;
        bad = step;
        transactions = 0;
        crash_at = n;
        crashed = false;
        if (start("trip") == ST_E_CANCELLED) { /* the client asks again */
            crashed = false;
            assert_int_equal(start("trip"), 0);
        }
        run_all();
        check_state(state);
        int undone = t == NONE ? -1 : t == NEVER_ANSWERS ? step : step - 1;
        assert_string_equal(effects(), expected(t == NONE ? STEPS - 1 : t == REFUSES ? step - 1 : step, undone));
        if (transactions <= n)
            return;
    }
}

static void test_killed_between_any_two_steps(void **state)
{
    (void)state;
    check_crashes(NONE, -1, "done");
    check_crashes(ANSWERS_NO, 3, "compensated");
    check_crashes(REFUSES, 2, "compensated");
    check_crashes(NEVER_ANSWERS, 2, "compensated");
}

/* Real processes with the real pool, killed at any moment. */
static pid_t start_process(void)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct daemon *d = service_new();
    if (st_jobs_start(&d->run) < 0)
        _exit(1);
    for (;;)
        pause();
}

static int start_many_body(struct st_call *call)
{
    const char *id;
    int r = 0;
    for (int i = 0; r == 0 && i < 20; i++)
        r = st_saga_start(call, i % 2 ? "trip" : "mail", st_printf(call->arena, "%d", i), json_pack("{s:i}", "n", 7),
                          &id);
    return r;
}

static bool all_ended(void)
{
    struct st_rows *rows;
    must(db, st_pg_query(db, &arena,
                         "select saga_id, case when backward then 'Undone' else 'Done' end || right(step, 1) "
                         "from sagas where waiting",
                         ST_PARAMS(), &rows));
    for (int i = 0; i < st_rows_count(rows); i++)
        assert_int_equal(deliver_to(st_cell(rows, i, 0), st_cell(rows, i, 1)), 0);
    return st_streq(ask(db, "select count(*) from sagas where state <> 'done'"), "0");
}

static void test_processes_are_killed(void **state)
{
    (void)state;
    struct st_call call;
    st_call_init(&call, &worker, "start");
    call.user_id = "u-1";
    call.correlation_id = "c-1";
    assert_int_equal(transact(&call, NULL, start_many_body), 0);
    st_arena_reset(&worker.arena);
    bool ended_all = false;
    for (int lives = 0; lives < 40 && !ended_all; lives++) {
        pid_t pid = start_process();
        int64_t until = st_mono() + (lives < 30 ? 20000 + (lives * 7919) % 60000 : 2000000);
        while (!(ended_all = all_ended()) && st_mono() < until)
            st_sleep_ms(2);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        /* Its leases end; an attempt that was killed counts, but here there are many more kills than a job has. */
        change(db, "update jobs set lease_until = now() - interval '1 second', attempts = 0 where state = 'running'");
        change(db, "update jobs set run_at = now() where state = 'waiting' and name = 'saga'");
    }
    assert_true(ended_all);
    assert_string_equal(ask(db, "select count(*) from effects where what like 'do %'"), "80");
    assert_string_equal(ask(db, "select count(*) from (select saga_id, what from effects where what <> 'own' "
                                "group by 1, 2 having count(*) > 1) twice"),
                        "0");
    assert_string_equal(ask(db, "select count(*) from effects where what like 'is done%'"), "10");
    assert_string_equal(ask(db, "select count(*) from jobs where state = 'dead'"), "0");
}

/* --- parked --- */

static void check_retry(void)
{
    assert_string_equal(ask(db, "select saga_retry($1)", started_id), "t");
    assert_string_equal(ask(db, "select saga_retry($1)", started_id), "f");
}

static void test_a_compensation_that_fails_is_parked(void **state)
{
    (void)state;
    trouble = REFUSES;
    bad = 3;
    stuck = 1;
    assert_int_equal(start("trip"), 0);
    run_all();
    check_state("parked");
    assert_string_equal(field("step || ' ' || backward || ' ' || error"), "s1 true it cannot be undone");
    assert_string_equal(effects(), "do s0, do s1, do s2, undo s2");
    assert_int_equal(st_checks_run(&worker), 0);
    int status;
    assert_non_null(strstr(st_health_json(&alpha->run, &arena, &status), "{\"status\":\"degraded\""));
    assert_non_null(strstr(st_health_json(&alpha->run, &arena, &status), "\"sagas\":\"degraded\""));
    assert_int_equal(status, 200);
    assert_non_null(
        strstr(st_metrics_text(&worker, &arena), "sagas{service=\"alpha\",name=\"trip\",state=\"parked\"} 1\n"));
    /* It stays so, until somebody mends it. */
    run_all();
    check_state("parked");
    check_retry();
    run_all();
    check_state("parked");
    stuck = -1;
    check_retry();
    run_all();
    check_state("compensated");
    assert_string_equal(effects(), "do s0, do s1, do s2, undo s2, undo s1, undo s0");
    assert_int_equal(st_checks_run(&worker), 0);
    assert_non_null(strstr(st_health_json(&alpha->run, &arena, &status), "\"sagas\":\"healthy\""));
}

static void test_a_compensation_without_an_answer_is_parked(void **state)
{
    (void)state;
    trouble = REFUSES;
    bad = 1;
    assert_int_equal(start("trip"), 0);
    assert_int_equal(deliver("Done0"), 0);
    assert_true(run_job("saga"));
    assert_true(run_job("saga"));
    assert_string_equal(field("step || backward || waiting"), "s0truetrue");
    assert_true(time_passes());
    check_state("parked");
    /* The operator waits on: it is asked for once. */
    check_retry();
    assert_true(run_job("saga"));
    check_state("compensating");
    assert_string_equal(field("deadline > now()"), "true");
    assert_true(time_passes());
    check_state("parked");
    /* The answer comes at last. */
    assert_int_equal(deliver("Undone0"), 0);
    run_all();
    check_state("compensated");
    assert_string_equal(effects(), "do s0, undo s0");
}

/* Runs "mail" up to the answer of its pivot. */
static void up_to_the_pivot(void)
{
    assert_int_equal(start("mail"), 0);
    assert_int_equal(deliver("Done0"), 0);
    assert_true(run_job("saga"));
    assert_true(run_job("saga"));
    assert_string_equal(field("step || waiting"), "s2true");
}

static void test_nothing_is_decided_without_the_answer_of_a_pivot(void **state)
{
    (void)state;
    up_to_the_pivot();
    assert_true(time_passes());
    check_state("parked");
    assert_string_equal(effects(), "do s0, do s1, do s2");
    assert_int_equal(deliver("Done2"), 0);
    check_state("running");
    run_all();
    check_state("done");
    assert_string_equal(effects(), "do s0, do s1, do s2, do s3, is done ");
}

static void test_a_pivot_that_fails_turns_back(void **state)
{
    (void)state;
    up_to_the_pivot();
    assert_true(time_passes());
    assert_int_equal(deliver("Failed2"), 0); /* even late */
    run_all();
    check_state("compensated");
    assert_string_equal(effects(), "do s0, do s1, do s2, undo s1, undo s0, was undone ");
}

static void test_behind_the_pivot_nothing_turns_back(void **state)
{
    (void)state;
    trouble = REFUSES;
    bad = 3;
    up_to_the_pivot();
    assert_int_equal(deliver("Done2"), 0);
    run_all();
    check_state("parked");
    assert_string_equal(effects(), "do s0, do s1, do s2");
    bad = -1;
    end_fails = true;
    check_retry();
    run_all();
    check_state("parked");
    assert_string_equal(field("error"), "it cannot be ended");
    end_fails = false;
    check_retry();
    run_all();
    check_state("done");
    assert_string_equal(effects(), "do s0, do s1, do s2, do s3, is done ");
}

static const char *settled_step;
static int settle_body(struct st_call *call)
{
    return st_saga_settle(call, started_id, settled_step);
}

static int settle(const char *step)
{
    struct st_call call;
    settled_step = step;
    st_call_init(&call, &worker, "settle");
    int r = transact(&call, NULL, settle_body);
    st_arena_reset(&worker.arena);
    return r;
}

static void test_an_answer_known_otherwise(void **state)
{
    (void)state;
    up_to_the_pivot();
    assert_int_equal(settle("s0"), 0);
    assert_string_equal(field("step || waiting"), "s2true");
    assert_int_equal(settle("s2"), 0);
    assert_string_equal(field("step || waiting"), "s3false");
    assert_int_equal(deliver("Failed2"), 0);
    run_all();
    check_state("done");
    assert_int_equal(settle("s2"), 0);
    change(db, "truncate sagas, effects, jobs");
    assert_int_equal(settle("s2"), 0); /* forgotten since */
    up_to_the_pivot();
    assert_int_equal(deliver("Failed2"), 0);
    assert_int_equal(settle("s2"), ST_E_CONFLICT);
}

/* --- tables that cannot work --- */

static void refused(const struct st_saga_step *steps, const char *like)
{
    const struct st_saga list[] = {{.name = "odd", .steps = steps}, {0}};
    const struct st_service odd = {.name = "alpha", .sagas = list};
    const char *why = "";
    alpha->run.service = &odd;
    assert_int_equal(st_sagas_check(&alpha->run, &why), ST_E_INVALID);
    if (!strstr(why, like))
        fail_msg("it says \"%s\", not \"%s\"", why, like);
    alpha->run.service = st_sagas_join(&arena, &service);
}

static void test_tables_are_checked(void **state)
{
    (void)state;
    const char *why = "";
    assert_int_equal(st_sagas_check(&alpha->run, &why), 0);
    refused((const struct st_saga_step[]){{"a", go, .deadline_s = 1}, {"a", go, .deadline_s = 1}, {0}}, "of that name");
    refused((const struct st_saga_step[]){{"a", go, .done = "Gone", .deadline_s = 1}, {0}}, "Gone is not in the");
    refused((const struct st_saga_step[]){{"a", .action = go}, {0}}, "a deadline");
    refused((const struct st_saga_step[]){{"a", .deadline_s = 1}, {0}}, "needs an action");
    refused((const struct st_saga_step[]){{"a", go, .pivot = true, .deadline_s = 1}, {0}}, "nor be a pivot");
    refused((const struct st_saga_step[]){{"a", go, .undone = "Undone0", .deadline_s = 1}, {0}}, "but none");
    refused((const struct st_saga_step[]){{"a", go, .done = "Done0", .deadline_s = 1},
                                          {"b", go, .done = "Done0", .deadline_s = 1},
                                          {0}},
            "an answer already");
}

static void test_a_step_that_this_version_does_not_have(void **state)
{
    (void)state;
    assert_int_equal(start("trip"), 0);
    change(db, "update sagas set step = 'older', waiting = false");
    st_pg_exec(db,
               "insert into jobs (name, payload, metadata) select 'saga', jsonb_build_object('sagaId', saga_id), "
               "metadata from sagas",
               ST_PARAMS());
    must(db, st_pg_flush(db));
    assert_true(run_job("saga"));
    check_state("parked");
    assert_string_equal(field("step"), "older");
}

int main(int argc, char **argv)
{
    (void)argc;
    world_start(argv);
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_saga_goes_to_its_end),
        TEST(test_a_key_starts_it_once),
        TEST(test_an_unknown_saga_fails_the_call),
        TEST(test_each_step_fails_in_each_way),
        TEST(test_a_failing_step_is_tried_again),
        TEST(test_answers_after_the_deadline),
        TEST(test_a_deadline_that_comes_early_or_late),
        TEST(test_answers_for_others_are_left_alone),
        TEST(test_killed_between_any_two_steps),
        TEST(test_processes_are_killed),
        TEST(test_a_compensation_that_fails_is_parked),
        TEST(test_a_compensation_without_an_answer_is_parked),
        TEST(test_nothing_is_decided_without_the_answer_of_a_pivot),
        TEST(test_a_pivot_that_fails_turns_back),
        TEST(test_behind_the_pivot_nothing_turns_back),
        TEST(test_an_answer_known_otherwise),
        TEST(test_tables_are_checked),
        TEST(test_a_step_that_this_version_does_not_have),
    };
    return cmocka_run_group_tests(tests, database_setup, database_teardown);
}
