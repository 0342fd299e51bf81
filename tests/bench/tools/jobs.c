/*
 * Figures of the jobs, one JSON line for each:
 *
 *   DURABLE=1 tests/lib/with_servers build/bench/jobs MODE [COUNT]
 *
 *   noop      COUNT jobs that do nothing, enqueued, then drained
 *   effect    the same with one row of effect each
 *   latency   COUNT jobs at RATE a second: from before the transaction that enqueues it, and from its commit, to the
 *             start; and that transaction alone
 *   recovery  COUNT jobs in flight in a daemon that is killed; until another has done them all
 *
 * What was done is counted in the database before a figure is printed; a wrong count is an error.
 */
#include "svc/call.h"
#include "svc/migrate.h"
#include "svc/options.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RATE = 200, BULK = 1000, COUNT_MAX = 10000000, LEASE_S = 5, WARM = 50 };

static struct st_arena arena; /* lasts as long as the program */
static int64_t count;
static atomic_int_fast64_t handled;
static atomic_bool hold;
static int64_t *began_at, *committed_at, *started_at; /* latency: of each job */
static struct st_pg *db;
static struct st_run run;

static ST_NORETURN void die(const char *what, const char *why)
{
    fprintf(stderr, "jobs: %s: %s\n", what, why);
    exit(1);
}

static void must(struct st_pg *pg, int r)
{
    if (r < 0)
        die(st_err_code(r), st_pg_error(pg));
}

/* --- the service --- */

static int noop(struct st_call *call)
{
    (void)call;
    atomic_fetch_add(&handled, 1);
    return 0;
}

static int effect(struct st_call *call)
{
    st_exec(call, "insert into effects (n, job_id) values ($1, $2)",
            st_i64(call->arena, st_json_int(call->body, "n", -1)), st_i64(call->arena, call->job->id));
    atomic_fetch_add(&handled, 1);
    return 0;
}

static int stamp(struct st_call *call)
{
    int64_t now = st_mono(), n = st_json_int(call->body, "n", -1);
    if (n < 0 || n >= count)
        return st_fail(call, ST_E_INTERNAL, "a number that is none");
    started_at[n] = now;
    atomic_fetch_add(&handled, 1);
    return 0;
}

static int flight(struct st_call *call)
{
    while (atomic_load(&hold))
        st_sleep_ms(10);
    return effect(call);
}

static const struct st_job_kind kinds[] = {
    {.name = "noop", .handler = noop, .concurrency = 2, .timeout_s = 60, .attempts = 3, .batch = 500},
    {.name = "effect", .handler = effect, .concurrency = 2, .timeout_s = 60, .attempts = 3, .batch = 500},
    {.name = "latency", .handler = stamp, .concurrency = 4, .timeout_s = 60, .attempts = 3},
    {.name = "recovery",
     .handler = flight,
     .concurrency = 1,
     .timeout_s = 600,
     .attempts = 3,
     .batch = 500,
     .lease_s = LEASE_S},
    {0},
};
static const struct st_service service = {.name = "bench", .jobs = kinds};

static int64_t number(const char *sql)
{
    struct st_arena a = {0};
    struct st_rows *rows = NULL;
    must(db, st_pg_query(db, &a, sql, ST_PARAMS(), &rows));
    int64_t n = st_cell_int(rows, 0, 0);
    st_arena_release(&a);
    return n;
}

static void set_up(void)
{
    int applied;
    const char *why = "", *dir = getenv("ST_TEST_DIR");
    if (!dir)
        die("servers", "run it by tests/lib/with_servers");
    struct st_pg *admin = st_pg_new(st_printf(&arena, "%s dbname=postgres", getenv("ST_TEST_PG")), "bench");
    must(admin, st_pg_script(admin, "create database bench"));
    st_pg_free(admin);
    setenv("ST_CONFIG_DIR", "config", 1);
    setenv("ST_RUN_DIR", dir, 1);
    setenv("ST_OBJECT_DIR", dir, 1);
    setenv("ST_EDGE_KEY_FILE", "none", 1);
    setenv("ST_DATABASE", st_printf(&arena, "%s dbname=bench", getenv("ST_TEST_PG")), 1);
    if (st_options_load(NULL, &why) < 0)
        die("options", why);
    db = st_pg_new(st_option("database"), "bench");
    if (st_migrate(db, &arena, "sql", "none", &applied, &why) < 0)
        die("migrations", why);
    must(db, st_pg_script(db, "create table effects (n bigint not null, job_id bigint not null)"));
    run.service = &service;
    st_bell_init(&run.relay_bell);
    st_bell_init(&run.jobs_bell);
    st_bell_init(&run.events_bell);
}

/* --- enqueueing --- */

struct order {
    const char *job;
    int64_t first, n;
};
static int add_body(struct st_call *call, void *ctx)
{
    const struct order *o = ctx;
    for (int64_t i = o->first; i < o->first + o->n; i++)
        st_enqueue(call, o->job, NULL, 0, json_pack("{s:I}", "n", (json_int_t)i));
    return 0;
}

static void add(struct st_worker *w, const char *job, int64_t first, int64_t n)
{
    struct st_call call;
    struct order o = {job, first, n};
    st_call_init(&call, w, "bench");
    call.correlation_id = "01890000-0000-7000-8000-000000000001";
    must(w->pg, st_call_transact(&call, add_body, &o));
    st_arena_reset(&w->arena);
}

static void add_all(const char *job)
{
    struct st_worker w;
    st_worker_init(&w, &run, "bench");
    for (int64_t n = 0; n < count; n += BULK)
        add(&w, job, n, count - n < BULK ? count - n : BULK);
    st_worker_release(&w);
}

static double seconds(int64_t from)
{
    return (double)(st_mono() - from) / 1e6;
}

static void start_pool(void)
{
    if (st_jobs_start(&run) < 0)
        die("the pool", "cannot be started");
}

static void stop_pool(void)
{
    atomic_store(&run.stopping, true);
    st_bell_ring(&run.jobs_bell);
    st_jobs_stop(&run, 5000);
}

static void wait_done(void)
{
    while (atomic_load(&handled) < count)
        st_sleep_ms(1);
    while (number("select count(*) from jobs where ended is null"))
        st_sleep_ms(1);
}

static void check_effects(void)
{
    if (number("select count(*) from effects") != count || number("select count(distinct n) from effects") != count)
        die("effects", "not one for each job");
}

/* --- the modes --- */

static void drain(const char *mode)
{
    int64_t from = st_mono();
    add_all(mode);
    double enqueued = seconds(from);
    from = st_mono();
    start_pool();
    wait_done();
    double s = seconds(from);
    if (st_streq(mode, "effect"))
        check_effects();
    printf("{\"mode\":\"%s\",\"jobs\":%lld,\"enqueueSeconds\":%.3f,\"enqueuedPerSecond\":%.0f,\"seconds\":%.3f,"
           "\"perSecond\":%.0f}\n",
           mode, (long long)count, enqueued, (double)count / enqueued, s, (double)count / s);
    stop_pool();
}

static int by_value(const void *x, const void *y)
{
    const int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return (a > b) - (a < b);
}

static void sort_waits(int64_t *from)
{
    for (int64_t n = 0; n < count; n++)
        from[n] = started_at[n] > from[n] ? started_at[n] - from[n] : 0;
    qsort(from + WARM, (size_t)(count - WARM), sizeof(*from), by_value);
}

/* p is of a hundred; the first jobs warm up. */
static double percentile_ms(const int64_t *waits, int p)
{
    return (double)waits[WARM + (count - WARM - 1) * p / 100] / 1000;
}

static void latency(void)
{
    struct st_worker w;
    count = count > 2 * WARM ? count : 2 * WARM;
    began_at = st_new_n(&arena, int64_t, (size_t)count);
    committed_at = st_new_n(&arena, int64_t, (size_t)count);
    started_at = st_new_n(&arena, int64_t, (size_t)count);
    start_pool();
    st_worker_init(&w, &run, "bench");
    int64_t from = st_mono();
    for (int64_t n = 0; n < count; n++) {
        int64_t left = from + n * 1000000 / RATE - st_mono();
        if (left > 0)
            nanosleep(&(struct timespec){left / 1000000, left % 1000000 * 1000}, NULL);
        began_at[n] = st_mono();
        add(&w, "latency", n, 1);
        committed_at[n] = st_mono();
    }
    wait_done();
    int64_t *transaction = st_new_n(&arena, int64_t, (size_t)count);
    for (int64_t n = 0; n < count; n++)
        transaction[n] = started_at[n] - (committed_at[n] - began_at[n]);
    sort_waits(transaction);
    sort_waits(began_at);
    sort_waits(committed_at);
    printf("{\"mode\":\"latency\",\"jobs\":%lld,\"rate\":%d,\"p50Ms\":%.3f,\"p99Ms\":%.3f,\"maxMs\":%.3f,"
           "\"fromCommitP50Ms\":%.3f,\"fromCommitP99Ms\":%.3f,\"transactionP50Ms\":%.3f}\n",
           (long long)count, RATE, percentile_ms(began_at, 50), percentile_ms(began_at, 99),
           percentile_ms(began_at, 100), percentile_ms(committed_at, 50), percentile_ms(committed_at, 99),
           percentile_ms(transaction, 50));
    st_worker_release(&w);
    stop_pool();
}

static void recovery(void)
{
    add_all("recovery");
    fflush(stdout);
    pid_t child = fork(); /* before there are threads; its connections are its own */
    if (child == 0) {
        atomic_store(&hold, true);
        start_pool();
        for (;;)
            pause();
    }
    if (child < 0)
        die("fork", "failed");
    while (number("select count(*) from jobs where state = 'running'") < count)
        st_sleep_ms(5);
    start_pool();
    int64_t from = st_mono();
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    wait_done();
    double s = seconds(from);
    check_effects();
    printf("{\"mode\":\"recovery\",\"jobs\":%lld,\"leaseSeconds\":%d,\"seconds\":%.3f,\"beyondLease\":%.3f}\n",
           (long long)count, LEASE_S, s, s - LEASE_S);
    stop_pool();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int64_t count;
    } modes[] = {{"noop", 50000}, {"effect", 50000}, {"latency", 2000}, {"recovery", 1000}};
    const char *mode = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < ST_COUNT(modes); i++)
        if (st_streq(mode, modes[i].name))
            count = modes[i].count;
    if (!count || (argc > 2 && !st_parse_i64(argv[2], 1, COUNT_MAX, &count)))
        die("usage", "noop|effect|latency|recovery [COUNT]");
    signal(SIGPIPE, SIG_IGN);
    st_log_setup("bench", getenv("VERBOSE") ? ST_LOG_INFO : ST_LOG_WARNING);
    set_up();
    switch (mode[0]) {
    case 'l': latency(); break;
    case 'r': recovery(); break;
    default: drain(mode); break;
    }
    st_pg_free(db);
    st_arena_release(&run.arena);
    st_arena_release(&arena);
    return 0;
}
