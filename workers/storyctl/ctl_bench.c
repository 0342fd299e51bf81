/* storyctl bench: how fast the parts of a running instance answer here and now, without leaving anything behind. */
#include "storyctl/storyctl.h"

#include "io/http_client.h"
#include "io/redis.h"
#include "svc/bus.h"

#include <unistd.h>

enum { SECONDS_MAX = 600, SAMPLES_MAX = 200000, PROBE_MS = 5000, BAR = 30 };

struct bench {
    struct ctl *c;
    const char *service;
    struct st_pg *pg;
    struct st_redis *redis;
    struct st_bus *bus, *ear; /* one rings, the other listens */
    struct st_http_client *http;
    int64_t *us;
    const char *why;
};

/* --- one try of each; 0 or an error that b->why explains --- */

static int database_read(struct bench *b)
{
    b->why = st_pg_error(b->pg);
    return st_pg_ping(b->pg);
}

/* A record of its own in the write-ahead log: as durable as any commit, and no row. */
static int database_commit(struct bench *b)
{
    struct st_rows *rows;
    b->why = st_pg_error(b->pg);
    return st_pg_query(b->pg, b->c->arena, "select pg_logical_emit_message(true, 'storyctl', 'bench')", ST_PARAMS(),
                       &rows);
}

static int redis_ping(struct bench *b)
{
    struct st_reply reply;
    b->why = st_redis_error(b->redis);
    return st_redis_cmd(b->redis, b->c->arena, &reply, "PING", NULL);
}

static const char *const bell[] = {"storyctl-bench"};

/* From the ring until who listens has it. */
static int doorbell(struct bench *b)
{
    const char *topic;
    int r = b->bus->ops->ring(b->bus, b->c->arena, bell[0]);
    b->why = b->bus->ops->error(b->bus);
    if (r == 0 && (r = b->ear->ops->listen(b->ear, bell, 1, PROBE_MS, &topic)) == 0)
        r = ST_E_TIMEOUT;
    return r < 0 ? r : 0;
}

static int request(struct bench *b)
{
    struct st_http_answer answer = {0};
    const struct st_http_call call = {.method = "GET",
                                      .url = st_printf(b->c->arena, "http://%s/health/live", b->service),
                                      .timeout_ms = PROBE_MS,
                                      .answer_max = 1 << 16};
    return st_http_client_do(b->http, &call, b->c->arena, &answer, &b->why);
}

static const struct {
    const char *name, *what;
    int (*once)(struct bench *b);
} probes[] = {
    {"database read", "a round trip to PostgreSQL", database_read},
    {"database commit", "a durable commit", database_commit},
    {"redis", "a round trip to Redis", redis_ping},
    {"doorbell", "from a ring of the bus to who listens", doorbell},
    {"service", "a request to the daemon's socket", request},
};

/* --- figures --- */

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void progress(size_t probe, int64_t done, int64_t all)
{
    char bar[BAR + 1];
    size_t full = (size_t)(done * BAR / all);
    if (!isatty(STDERR_FILENO))
        return;
    for (size_t i = 0; i < BAR; i++)
        bar[i] = i < full ? '#' : '.';
    bar[BAR] = '\0';
    fprintf(stderr, "\r%-16s [%s]", probes[probe].name, bar);
}

static int measure(struct bench *b, size_t probe, int64_t span_us, json_t *figures)
{
    struct st_arena *outer = b->c->arena, each = {0};
    size_t n = 0;
    int r = 0;
    const int64_t from = st_mono();
    b->c->arena = &each;
    for (int64_t now = from; r == 0 && n < SAMPLES_MAX && now - from < span_us; n++) {
        r = probes[probe].once(b);
        int64_t end = st_mono();
        b->us[n] = end - now;
        if (n % 64 == 0)
            progress(probe, end - from, span_us);
        now = end;
        st_arena_reset(&each);
    }
    b->c->arena = outer;
    const double seconds = (double)(st_mono() - from) / ST_SECOND;
    st_arena_release(&each);
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    if (r < 0)
        return ctl_error("%s: %s", probes[probe].name, *b->why ? b->why : st_err_title(r));
    qsort(b->us, n, sizeof(*b->us), by_size);
    const long long p50 = b->us[n / 2], p99 = b->us[n * 99 / 100];
    json_array_append_new(figures, json_pack("{s:s, s:I, s:I, s:I, s:f}", "probe", probes[probe].name, "p50Us",
                                             (json_int_t)p50, "p99Us", (json_int_t)p99, "samples", (json_int_t)n,
                                             "perSecond", (double)n / seconds));
    if (!b->c->json)
        printf("%-16s p50 %8.3f ms   p99 %8.3f ms   %8.0f a second   %s\n", probes[probe].name, (double)p50 / 1000,
               (double)p99 / 1000, (double)n / seconds, probes[probe].what);
    return 0;
}

int ctl_bench(struct ctl *c)
{
    const char *only = ctl_option(c, "--service"), *seconds = ctl_option(c, "--seconds");
    const char *names[CTL_SERVICES_MAX];
    int64_t span_s = 2;
    if (c->argc || (seconds && !st_parse_i64(seconds, 1, SECONDS_MAX, &span_s)))
        return ctl_usage("expected: bench, with --seconds of 1 to %d", SECONDS_MAX);
    if (!only && ctl_services(c, names) <= 0)
        return 1;
    struct bench b = {.c = c, .service = only ? only : names[0], .why = ""};
    if (!(b.pg = ctl_database(c, b.service)) || !(b.bus = ctl_bus(c, b.service)))
        return 1;
    b.ear = ctl_bus(c, b.service);
    const char *redis = ctl_env(c, b.service, "ST_REDIS"), *run = ctl_env(c, b.service, "ST_RUN_DIR");
    b.redis = st_redis_new(redis ? redis : "", PROBE_MS);
    b.http = st_http_client_new(NULL, st_printf(c->arena, "%s/%s.sock", run ? run : "", b.service));
    b.us = st_new_n(c->arena, int64_t, SAMPLES_MAX);
    const char *ignored;
    (void)b.ear->ops->listen(b.ear, bell, 1, 0, &ignored); /* connects; from here on no ring is missed */
    json_t *figures = st_json_keep(c->arena, json_array());
    int code = 0;
    for (size_t i = 0; code == 0 && i < ST_COUNT(probes); i++)
        code = measure(&b, i, span_s * ST_SECOND, figures);
    if (code == 0 && c->json)
        ctl_print_json(c, json_incref(figures));
    st_http_client_free(b.http);
    st_bus_free(b.ear);
    st_bus_free(b.bus);
    st_redis_free(b.redis);
    return code;
}
