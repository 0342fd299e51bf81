/*
 * Figures of the events' path, one JSON line for each:
 *
 *   DURABLE=1 tests/lib/with_servers build/bench/events MODE [COUNT]
 *
 *   relay     COUNT events from the log to the streams
 *   consume   COUNT events from the streams, one row of effect each, in batches
 *   consume1  the same with a transaction for each event
 *   latency   from the commit of an event to the start of its handler, at RATE events a second for COUNT events
 *   write     a handler with its event, with the least of an outbox, and without either, in turn: the smallest handler
 *             that there could be, and one of ours, createStory
 *   backlog   COUNT events from the log to their effects, relay and consumer at once; memory beside it
 *
 * One process holds a publisher ("story") and a consumer ("subscription"), each with its database, as the daemons do.
 * What was done is counted in the databases before a figure is printed; a wrong count is an error.
 */
#include "svc/call.h"
#include "svc/bus.h"
#include "svc/migrate.h"
#include "svc/options.h"
#include "story/story.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

enum { RATE = 200, BULK = 5000, LOOPS = 4, WRITE_MS = 400, WRITE_ROUNDS = 9, COUNT_MAX = 10000000, IDLE_MS = 2 };

static const char type[] = "StoryCreated";
static const char author[] = "01890000-0000-7000-8000-000000000001";
static const char hash[] = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

static struct st_arena arena; /* lasts as long as the program */
static int64_t count;
static atomic_int_fast64_t handled;
static int64_t *committed_at, *started_at; /* latency: of each event */

static ST_NORETURN void die(const char *what, const char *why)
{
    fprintf(stderr, "events: %s: %s\n", what, why);
    exit(1);
}

/* --- the two services --- */

static int take(struct st_call *call)
{
    int64_t n = 0;
    if (started_at) {
        int64_t now = st_mono();
        if (!st_parse_i64(st_str(call->body, "title"), 0, count - 1, &n))
            return st_fail(call, ST_E_INTERNAL, "a title that is no number");
        started_at[n] = now;
    }
    st_exec(call, "insert into effects (story_id, author_id) values ($1, $2)", st_str(call->body, "storyId"),
            st_str(call->body, "authorId"));
    atomic_fetch_add(&handled, 1);
    return 0;
}

static const struct st_subscription subscriptions[] = {{type, take}, {0}};
static const struct st_job_kind jobs[] = {{.name = "analyse", .handler = story_analyse, .timeout_s = 120},
                                          {.name = "ask", .handler = story_chat, .timeout_s = 3600},
                                          {0}};
static const struct st_service story = {.name = "story"},
                               subscription = {.name = "subscription", .subscriptions = subscriptions},
                               stories = {.name = "story", .jobs = jobs};

struct service {
    const char *name; /* of its database */
    struct st_pg *pg;
    struct st_run run;
    pthread_t loops[LOOPS];
    int n_loops;
};
static struct service publisher, consumer, ours; /* ours: story with the tables and handlers that it has */

static const char *conninfo(const char *database)
{
    return st_printf(&arena, "%s dbname=%s", getenv("ST_TEST_PG"), database);
}

static void must(struct st_pg *pg, int r)
{
    if (r < 0)
        die(st_err_code(r), st_pg_error(pg));
}

static int64_t number(struct st_pg *pg, const char *sql)
{
    struct st_arena a = {0};
    struct st_rows *rows = NULL;
    must(pg, st_pg_query(pg, &a, sql, ST_PARAMS(), &rows));
    int64_t n = st_cell_int(rows, 0, 0);
    st_arena_release(&a);
    return n;
}

/* Options are read when a thread starts its connection: those of one service at a time. They are loaded only when it is
 * another's turn, for a thread of the one before may still be reading them. */
static void use(const struct service *s)
{
    static const struct service *user;
    const char *why = "";
    if (s == user)
        return;
    user = s;
    setenv("ST_DATABASE", conninfo(s->name), 1);
    if (st_options_load(NULL, &why) < 0)
        die("options", why);
}

/* `of`: whose tables the database has besides those that all have, or "none". */
static void service_new(struct service *s, const char *database, const struct st_service *service, const char *of)
{
    int applied;
    const char *why = "";
    *s = (struct service){.name = database, .run.service = service};
    struct st_pg *admin = st_pg_new(conninfo("postgres"), "bench");
    must(admin, st_pg_script(admin, st_printf(&arena, "create database %s", s->name)));
    st_pg_free(admin);
    s->pg = st_pg_new(conninfo(s->name), "bench");
    if (st_migrate(s->pg, &arena, "sql", of, &applied, &why) < 0)
        die("migrations", why);
    must(s->pg, st_pg_script(s->pg, "create table effects (story_id uuid primary key, author_id uuid not null)"));
    use(s);
    if (st_registry_load(&s->run.arena, "config/events", &s->run.types, &s->run.n_types, &why) < 0)
        die("registry", why);
    st_bell_init(&s->run.relay_bell);
    st_bell_init(&s->run.jobs_bell);
    st_bell_init(&s->run.events_bell);
    atomic_store(&s->run.bus_ok, true);
}

static void start(struct service *s, void *(*loop)(void *))
{
    use(s);
    if (pthread_create(&s->loops[s->n_loops++], NULL, loop, &s->run))
        die("a thread", "cannot be made");
}

/* The options are the relay's until it leads. */
static void start_relay(void)
{
    start(&publisher, st_relay_main);
    while (!atomic_load(&publisher.run.relay_leads))
        st_sleep_ms(1);
}

static void start_consumer(void)
{
    start(&consumer, st_doorbell_main);
    start(&consumer, st_consume_main);
}

static void stop(struct service *s)
{
    atomic_store(&s->run.stopping, true);
    st_bell_ring(&s->run.relay_bell);
    st_bell_ring(&s->run.jobs_bell);
    st_bell_ring(&s->run.events_bell);
    for (int i = 0; i < s->n_loops; i++)
        pthread_join(s->loops[i], NULL);
    s->n_loops = 0;
    atomic_store(&s->run.stopping, false);
}

/* --- CPU: of a loop's thread, of its session in the database, of Redis; us --- */

struct cpu {
    int64_t thread, database, redis;
};

static int64_t process_cpu(int64_t pid)
{
    char line[128] = "";
    int64_t ns = 0;
    FILE *f = fopen(st_printf(&arena, "/proc/%lld/schedstat", (long long)pid), "re");
    if (f && fgets(line, sizeof(line), f)) {
        line[strcspn(line, " ")] = '\0';
        (void)st_parse_i64(line, 0, INT64_MAX, &ns);
    }
    if (f)
        fclose(f);
    return ns / 1000;
}

static int64_t redis_pid(void)
{
    struct st_redis *redis = st_redis_new(getenv("ST_REDIS"), 10000);
    struct st_reply reply;
    int64_t pid = 0;
    if (st_redis_cmd(redis, &arena, &reply, "INFO", "server", NULL) < 0)
        die("Redis", st_redis_error(redis));
    char *at = strstr(st_strdup(&arena, reply.str), "process_id:");
    if (at) {
        at += strlen("process_id:");
        at[strspn(at, "0123456789")] = '\0';
        (void)st_parse_i64(at, 0, INT64_MAX, &pid);
    }
    st_redis_free(redis);
    return pid;
}

static struct cpu cpu_of(struct service *s, int loop, const char *session)
{
    clockid_t clock;
    struct timespec t;
    struct st_rows *rows;
    static int64_t redis;
    if (!redis)
        redis = redis_pid();
    if (pthread_getcpuclockid(s->loops[loop], &clock) || clock_gettime(clock, &t))
        die("a thread", "has no clock");
    must(s->pg, st_pg_query(s->pg, &arena, "select pid from pg_stat_activity where application_name = $1",
                            ST_PARAMS(session), &rows));
    return (struct cpu){.thread = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000,
                        .database = st_rows_count(rows) ? process_cpu(st_cell_int(rows, 0, 0)) : 0,
                        .redis = process_cpu(redis)};
}

static void print_speed(const char *mode, double s, struct cpu before, struct cpu after)
{
    printf("{\"mode\":\"%s\",\"events\":%lld,\"seconds\":%.3f,\"perSecond\":%.0f,\"cpuUsPerEvent\":"
           "{\"thread\":%.2f,\"database\":%.2f,\"redis\":%.2f}}\n",
           mode, (long long)count, s, (double)count / s, (double)(after.thread - before.thread) / (double)count,
           (double)(after.database - before.database) / (double)count,
           (double)(after.redis - before.redis) / (double)count);
}

/* --- the log --- */

/* COUNT events as st_emit would have written them, in transactions of many; ids of the time, as st_new_id makes them.
 */
static void fill_log(void)
{
    static const char sql[] =
        "insert into events (event_id, event_type, aggregate_type, aggregate_id, aggregate_version, version, metadata, "
        "payload) select gen_id(n), 'StoryCreated', 'story', id, 1, '1.0.0', "
        "jsonb_build_object('correlationId', gen_id(n), 'userId', $3::text), "
        "jsonb_build_object('storyId', id, 'authorId', $3::text, 'title', 'Story ' || n, 'contentHash', $4::text, "
        "'visibility', 'private') from (select n, gen_id(n) as id from generate_series($1::int, $2::int) n offset 0) s";
    must(publisher.pg,
         st_pg_script(publisher.pg, "create function gen_id(n int) returns uuid language sql volatile as $$ select "
                                    "(lpad(to_hex(1700000000000 + n), 12, '0') || '7' || "
                                    "substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid $$"));
    for (int64_t at = 0; at < count; at += BULK) {
        struct st_arena a = {0};
        struct st_rows *rows;
        const char *last = st_i64(&a, (at + BULK < count ? at + BULK : count) - 1);
        must(publisher.pg, st_pg_query(publisher.pg, &a, sql, ST_PARAMS(st_i64(&a, at), last, author, hash), &rows));
        st_arena_release(&a);
    }
}

static int64_t stream_length(struct st_redis *redis)
{
    int64_t n = 0;
    for (int p = 0; p < ST_BUS_PARTITIONS; p++) {
        struct st_arena a = {0};
        struct st_reply reply = {.num = 0};
        if (st_redis_cmd(redis, &a, &reply, "XLEN", st_printf(&a, "st:events:story:%d", p), NULL) < 0)
            die("Redis", st_redis_error(redis));
        n += reply.num;
        st_arena_release(&a);
    }
    return n;
}

static void wait_relayed(void)
{
    struct st_redis *redis = st_redis_new(getenv("ST_REDIS"), 10000);
    while (stream_length(redis) < count)
        st_sleep_ms(IDLE_MS);
    st_redis_free(redis);
}

static void wait_handled(void)
{
    while (atomic_load(&handled) < count)
        st_sleep_ms(IDLE_MS);
    while (number(consumer.pg, "select count(*) from effects") < count)
        st_sleep_ms(IDLE_MS);
}

static void check_effects(void)
{
    if (number(consumer.pg, "select count(*) from effects") != count ||
        number(consumer.pg, "select count(*) from inbox") != count)
        die("effects", "not as many as events");
}

static double seconds(int64_t from)
{
    return (double)(st_mono() - from) / 1e6;
}

/* What is measured starts now; told to who profiles it. */
static int64_t begin(void)
{
    if (getenv("VERBOSE")) {
        fprintf(stderr, "begin\n");
        st_sleep_ms(500);
    }
    return st_mono();
}

/* --- the modes --- */

static void relay(void)
{
    fill_log();
    must(publisher.pg, st_pg_script(publisher.pg, "vacuum analyze events"));
    int64_t redis = process_cpu(redis_pid()), from = begin();
    start_relay();
    wait_relayed();
    print_speed("relay", seconds(from), (struct cpu){.redis = redis}, cpu_of(&publisher, 0, "story/relay"));
    stop(&publisher);
}

static void consume(const char *mode)
{
    fill_log();
    start_relay();
    wait_relayed();
    stop(&publisher);
    int64_t redis = process_cpu(redis_pid()), from = begin();
    start_consumer();
    wait_handled();
    double s = seconds(from);
    check_effects();
    print_speed(mode, s, (struct cpu){.redis = redis}, cpu_of(&consumer, 1, "subscription/events"));
    stop(&consumer);
}

/* What a handler writes: a row; beside it, in the same trip, what any outbox has at the least (a row of one index that
 * holds the event as text); or a row of the log itself, with a version out of the air: nothing locked, nothing checked;
 * or the event. And createStory as the service has it, without its event and with it; its read model, which is
 * written in the same transaction, is left out of both. */
enum subject { ROW, OUTBOX, LOG, EVENT, STORY, STORY_EVENT, SUBJECTS };

struct written {
    int64_t n;
    enum subject what;
};

static int write_story(struct st_call *call, void *ctx)
{
    const struct written *w = ctx;
    const char *id = st_new_id(call->arena);
    st_exec(call, "insert into effects (story_id, author_id) values ($1, $2)", id, author);
    if (w->what == ROW)
        return 0;
    json_t *payload = json_pack("{s:s, s:s, s:s, s:s, s:s}", "storyId", id, "authorId", author, "title",
                                st_i64(call->arena, w->n), "contentHash", hash, "visibility", "private");
    if (w->what == EVENT) {
        st_emit(call, type, id, payload);
        return 0;
    }
    if (w->what == LOG) {
        st_json_keep(call->arena, payload);
        st_exec(call,
                "insert into events (event_id, event_type, aggregate_type, aggregate_id, aggregate_version, version, "
                "metadata, payload) values ($1, $2, 'Story', $3, 1, '1.0.0', $4, $5)",
                st_new_id(call->arena), type, id, st_json_text(call->arena, st_call_metadata(call)),
                st_json_text(call->arena, payload));
        return 0;
    }
    json_t *event = json_pack("{s:s, s:s, s:s, s:o, s:o}", "eventId", st_new_id(call->arena), "eventType", type,
                              "aggregateId", id, "metadata", json_incref(st_call_metadata(call)), "payload", payload);
    st_exec(call, "insert into outbox (event) values ($1)",
            st_json_text(call->arena, st_json_keep(call->arena, event)));
    return 0;
}

static bool silent;

void __real_st_emit(struct st_call *call, const char *event_type, const char *aggregate_id, json_t *payload);
void __wrap_st_emit(struct st_call *call, const char *event_type, const char *aggregate_id, json_t *payload);

/* The linker puts this before st_emit. */
void __wrap_st_emit(struct st_call *call, const char *event_type, const char *aggregate_id, json_t *payload)
{
    if (silent)
        st_json_keep(call->arena, payload);
    else
        __real_st_emit(call, event_type, aggregate_id, payload);
}

static int create_story(struct st_call *call, void *ctx)
{
    const struct written *w = ctx;
    char text[1001];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    call->tier = "free";
    call->body =
        st_json_keep(call->arena, json_pack("{s:s, s:s}", "title", st_i64(call->arena, w->n), "content", text));
    silent = w->what == STORY;
    int r = story_create(call);
    silent = false;
    return r;
}

static void write_one(struct st_worker *w, struct written *written)
{
    struct st_call call;
    st_call_init(&call, w, "createStory");
    call.user_id = author;
    call.correlation_id = author;
    int r = st_call_transact(&call, written->what < STORY ? write_story : create_story, written);
    if (r < 0)
        die(st_err_code(r), call.p->detail ? call.p->detail : st_pg_error(w->pg));
    st_arena_reset(&w->arena);
}

static int by_value(const void *x, const void *y)
{
    const int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return (a > b) - (a < b);
}

static void latency(void)
{
    struct st_worker w;
    committed_at = st_new_n(&arena, int64_t, (size_t)count);
    started_at = st_new_n(&arena, int64_t, (size_t)count);
    start_relay();
    st_worker_init(&w, &publisher.run, "bench");
    start_consumer();
    while (number(consumer.pg, "select count(*) from stream_positions") < ST_BUS_PARTITIONS)
        st_sleep_ms(IDLE_MS);
    int64_t from = st_mono();
    for (int64_t n = 0; n < count; n++) {
        int64_t left = from + n * 1000000 / RATE - st_mono();
        if (left > 0)
            nanosleep(&(struct timespec){left / 1000000, left % 1000000 * 1000}, NULL);
        write_one(&w, &(struct written){.n = n, .what = EVENT});
        committed_at[n] = st_mono();
    }
    wait_handled();
    check_effects();
    for (int64_t n = 0; n < count; n++)
        committed_at[n] = started_at[n] > committed_at[n] ? started_at[n] - committed_at[n] : 0;
    qsort(committed_at, (size_t)count, sizeof(*committed_at), by_value);
    printf("{\"mode\":\"latency\",\"events\":%lld,\"rate\":%d,\"p50Ms\":%.3f,\"p99Ms\":%.3f,\"maxMs\":%.3f}\n",
           (long long)count, RATE, (double)committed_at[count / 2] / 1000,
           (double)committed_at[count * 99 / 100] / 1000, (double)committed_at[count - 1] / 1000);
    st_worker_release(&w);
    stop(&publisher);
    stop(&consumer);
}

/* CPU of the session that writes and of this thread, us a write: the last round's. */
static double write_cpu[SUBJECTS][2];

static double writes_per_second(struct st_worker *w, enum subject what)
{
    struct timespec t0, t1;
    int64_t pid = number(w->pg, "select pg_backend_pid()"), cpu = process_cpu(pid);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t0);
    int64_t n = 0, from = st_mono();
    while (st_mono() - from < WRITE_MS * 1000)
        write_one(w, &(struct written){.n = n++, .what = what});
    double s = seconds(from);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t1);
    write_cpu[what][0] = (double)(process_cpu(pid) - cpu) / (double)n;
    write_cpu[what][1] = ((double)(t1.tv_sec - t0.tv_sec) * 1e6 + (double)(t1.tv_nsec - t0.tv_nsec) / 1e3) / (double)n;
    return (double)n / s;
}

static int by_double(const void *x, const void *y)
{
    const double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static void write_cost(void)
{
    static const char *const names[SUBJECTS] = {"row", "outbox", "log", "event", "story", "storyEvent"};
    struct st_worker smallest, real;
    double speed[SUBJECTS][WRITE_ROUNDS], ratio[SUBJECTS][WRITE_ROUNDS];
    use(&publisher);
    must(publisher.pg, st_pg_script(publisher.pg, "create table outbox (seq bigint generated always as identity "
                                                  "primary key, event text not null)"));
    st_worker_init(&smallest, &publisher.run, "bench");
    service_new(&ours, "ours", &stories, "story");
    st_worker_init(&real, &ours.run, "bench");
    for (int i = -1; i < WRITE_ROUNDS; i++) { /* the first does not count */
        for (int k = 0; k < SUBJECTS; k++) {  /* forwards, then backwards */
            int what = i % 2 ? SUBJECTS - 1 - k : k;
            double is = writes_per_second(what < STORY ? &smallest : &real, (enum subject)what);
            if (i >= 0)
                speed[what][i] = is;
        }
        for (int k = 0; k < SUBJECTS && i >= 0; k++)
            ratio[k][i] = speed[k][i] / speed[k < STORY ? ROW : STORY][i];
    }
    printf("{\"mode\":\"write\",\"rounds\":%d", WRITE_ROUNDS);
    for (int k = 0; k < SUBJECTS; k++) {
        qsort(speed[k], WRITE_ROUNDS, sizeof(*speed[k]), by_double);
        qsort(ratio[k], WRITE_ROUNDS, sizeof(*ratio[k]), by_double);
        printf(",\"%s\":{\"perSecond\":%.0f,\"ratio\":%.3f,\"ratioLeast\":%.3f,\"ratioMost\":%.3f,"
               "\"databaseUs\":%.1f,\"threadUs\":%.1f}",
               names[k], speed[k][WRITE_ROUNDS / 2], ratio[k][WRITE_ROUNDS / 2], ratio[k][0],
               ratio[k][WRITE_ROUNDS - 1], write_cpu[k][0], write_cpu[k][1]);
    }
    printf("}\n");
    st_worker_release(&smallest);
    st_worker_release(&real);
    ours.pg = st_pg_free(ours.pg);
    st_arena_release(&ours.run.arena);
}

/* Memory of this process that is its own, MiB. */
static double resident(void)
{
    char line[256];
    int64_t kb = 0;
    FILE *f = fopen("/proc/self/smaps_rollup", "re");
    while (f && fgets(line, sizeof(line), f))
        if (st_starts(line, "Private_Dirty:")) {
            char *p = line + strcspn(line, "0123456789");
            p[strspn(p, "0123456789")] = '\0';
            (void)st_parse_i64(p, 0, INT64_MAX, &kb);
        }
    if (f)
        fclose(f);
    return (double)kb / 1024;
}

static void backlog(void)
{
    fill_log();
    must(publisher.pg, st_pg_script(publisher.pg, "vacuum analyze events"));
    double early = 0, most = 0;
    int64_t redis = process_cpu(redis_pid()), from = begin();
    start_relay();
    start_consumer();
    while (atomic_load(&handled) < count) {
        double now = resident();
        if (atomic_load(&handled) < count / 10)
            early = now > early ? now : early;
        most = now > most ? now : most;
        st_sleep_ms(100);
    }
    wait_handled();
    double s = seconds(from);
    check_effects();
    struct cpu r = cpu_of(&publisher, 0, "story/relay"), c = cpu_of(&consumer, 1, "subscription/events");
    printf("{\"mode\":\"backlog\",\"events\":%lld,\"seconds\":%.3f,\"perSecond\":%.0f,\"firstTenthMib\":%.1f,"
           "\"mostMib\":%.1f,\"cpuUsPerEvent\":{\"relay\":%.2f,\"relayDatabase\":%.2f,\"consumer\":%.2f,"
           "\"consumerDatabase\":%.2f,\"redis\":%.2f}}\n",
           (long long)count, s, (double)count / s, early, most, (double)r.thread / (double)count,
           (double)r.database / (double)count, (double)c.thread / (double)count, (double)c.database / (double)count,
           (double)(c.redis - redis) / (double)count);
    stop(&publisher);
    stop(&consumer);
}

static void environment(bool one_by_one)
{
    const char *dir = getenv("ST_TEST_DIR");
    if (!dir || !getenv("ST_REDIS"))
        die("servers", "run it by tests/lib/with_servers");
    setenv("ST_CONFIG_DIR", "config", 1);
    setenv("ST_RUN_DIR", dir, 1);
    setenv("ST_OBJECT_DIR", dir, 1);
    setenv("ST_EDGE_KEY_FILE", "none", 1);
    if (one_by_one)
        setenv("ST_EVENT_BATCH", "1", 1);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int64_t count;
    } modes[] = {{"relay", 100000}, {"consume", 100000}, {"consume1", 20000},
                 {"latency", 2000}, {"write", 1},        {"backlog", 1000000}};
    const char *mode = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < ST_COUNT(modes); i++)
        if (st_streq(mode, modes[i].name))
            count = modes[i].count;
    if (!count || (argc > 2 && !st_parse_i64(argv[2], 1, COUNT_MAX, &count)))
        die("usage", "relay|consume|consume1|latency|write|backlog [COUNT]");
    signal(SIGPIPE, SIG_IGN);
    st_log_setup("bench", getenv("VERBOSE") ? ST_LOG_INFO : ST_LOG_WARNING);
    environment(st_streq(mode, "consume1"));
    service_new(&publisher, "story", &story, "none");
    service_new(&consumer, "subscription", &subscription, "none");
    switch (mode[0]) {
    case 'r': relay(); break;
    case 'c': consume(mode); break;
    case 'l': latency(); break;
    case 'w': write_cost(); break;
    default: backlog(); break;
    }
    st_pg_free(publisher.pg);
    st_pg_free(consumer.pg);
    st_arena_release(&publisher.run.arena);
    st_arena_release(&consumer.run.arena);
    st_arena_release(&arena);
    return 0;
}
