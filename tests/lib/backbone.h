#ifndef TESTS_LIB_BACKBONE_H
#define TESTS_LIB_BACKBONE_H
/*
 * Shared by the tests of relay, consumer and jobs: servers, databases with the common tables, and daemons in a thread.
 * Each test program includes it once; main() begins with world_start.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "svc/bus.h"
#include "svc/call.h"
#include "svc/migrate.h"
#include "svc/options.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

enum { WAIT_S = 300, DAEMON_THREADS = 6, STORED_MAX = 4000 };

static struct st_arena arena; /* lasts for a test */
static struct st_redis *redis;

static void world_end(void)
{
    redis = st_redis_free(redis);
}

/* The test programs run as daemons of a service would: runs itself again beside servers when there are none. */
ST_UNUSED static void world_start(char **argv)
{
    if (!getenv("ST_TEST_DIR")) {
        const char *const again[] = {"tests/lib/with_servers", argv[0], NULL};
        execv(again[0], (char *const *)again);
        fprintf(stderr, "%s: run it in the project's root\n", argv[0]);
        _exit(1);
    }
    signal(SIGPIPE, SIG_IGN);
    st_log_setup("test", getenv("ST_TEST_VERBOSE") ? ST_LOG_DEBUG : (enum st_log_level)(ST_LOG_ERROR + 1));
    cmocka_set_message_output(CM_OUTPUT_TAP);
    redis = st_redis_new(getenv("ST_REDIS"), 2000);
    atexit(world_end);
}

/* --- databases --- */

static const char *conninfo(const char *database)
{
    return st_printf(&arena, "%s dbname=%s", getenv("ST_TEST_PG"), database);
}

ST_UNUSED static void must(struct st_pg *pg, int r)
{
    if (r < 0)
        fail_msg("%s: %s", st_err_code(r), st_pg_error(pg));
}

/* One value. */
#define ask(pg, sql, ...) ask_((pg), (sql), ST_PARAMS(__VA_ARGS__))
ST_UNUSED static const char *ask_(struct st_pg *pg, const char *sql, int n, const char *const *params)
{
    struct st_rows *rows = NULL;
    must(pg, st_pg_query(pg, &arena, sql, n, params, &rows));
    return st_rows_count(rows) ? st_cell(rows, 0, 0) : NULL;
}

ST_UNUSED static void change(struct st_pg *pg, const char *sql)
{
    struct st_rows *rows;
    must(pg, st_pg_query(pg, &arena, sql, 0, NULL, &rows));
}

/* A new database of that name, with the common tables and those of a service. */
ST_UNUSED static struct st_pg *database_of(const char *service, const char *name)
{
    int applied;
    const char *why = "";
    struct st_pg *admin = st_pg_new(conninfo("postgres"), "test");
    if (ask(admin, "select datname from pg_database where datname = $1", name))
        must(admin, st_pg_script(admin, st_printf(&arena, "drop database %s with (force)", name)));
    must(admin, st_pg_script(admin, st_printf(&arena, "create database %s", name)));
    st_pg_free(admin);
    struct st_pg *pg = st_pg_new(conninfo(name), "test");
    if (st_migrate(pg, &arena, "sql", service, &applied, &why) < 0)
        fail_msg("%s", why);
    return pg;
}

/* The same with the common tables alone; then ST_DATABASE for what starts from now on. */
ST_UNUSED static struct st_pg *database_new(const char *name)
{
    return database_of("none", name);
}

ST_UNUSED static void use_database(const char *name)
{
    const char *why = "";
    char *dir = getenv("ST_TEST_DIR");
    setenv("ST_CONFIG_DIR", dir, 1);
    setenv("ST_RUN_DIR", dir, 1);
    setenv("ST_OBJECT_DIR", dir, 1);
    setenv("ST_EDGE_KEY_FILE", "none", 1);
    setenv("ST_BUS_RETENTION_HOURS", "0", 1);
    setenv("ST_DATABASE", conninfo(name), 1);
    FILE *f = fopen(st_printf(&arena, "%s/storytelling.conf", dir), "we");
    assert_non_null(f);
    fclose(f);
    if (st_options_load(NULL, &why) < 0)
        fail_msg("%s", why);
}

/* Waits for a condition; gives whether it came true. */
#define wait_for(condition)                                                                                            \
    __extension__({                                                                                                    \
        int64_t until_ = st_mono() + WAIT_S * ST_SECOND;                                                               \
        bool came_;                                                                                                    \
        while (!(came_ = (condition)) && st_mono() < until_)                                                           \
            st_sleep_ms(20);                                                                                           \
        came_;                                                                                                         \
    })

/* --- a daemon in this process: the loops of one service on one database --- */

struct daemon {
    struct st_run run;
    pthread_t threads[DAEMON_THREADS];
    int n_threads;
};

/* The registry of the tests: two services. */
static struct st_event_type types[] = {
    {.type = "BetaDone",
     .topic = "beta.done",
     .aggregate_type = "thing",
     .version = "1.0.0",
     .major = 1,
     .service = "beta"},
    {.type = "ThingHappened",
     .topic = "thing.happened",
     .aggregate_type = "thing",
     .version = "1.0.0",
     .major = 1,
     .service = "alpha"},
};

ST_UNUSED static void registry_start(void)
{
    static struct st_arena forever;
    const char *pointer, *why;
    json_t *schema = st_json_keep(&forever, json_pack("{s:s, s:[s], s:{s:{s:s}}}", "type", "object", "required", "n",
                                                      "properties", "n", "type", "integer"));
    for (size_t i = 0; i < ST_COUNT(types); i++)
        if (!types[i].payload && st_schema_compile(&forever, schema, "", &types[i].payload, &pointer, &why) < 0)
            abort();
}

ST_UNUSED static struct daemon *daemon_new(const struct st_service *service)
{
    struct daemon *d = calloc(1, sizeof(*d));
    registry_start();
    d->run.service = service;
    d->run.types = types;
    d->run.n_types = (int)ST_COUNT(types);
    st_bell_init(&d->run.relay_bell);
    st_bell_init(&d->run.jobs_bell);
    st_bell_init(&d->run.events_bell);
    return d;
}

ST_UNUSED static void daemon_loop(struct daemon *d, void *(*loop)(void *))
{
    assert_int_equal(pthread_create(&d->threads[d->n_threads++], NULL, loop, &d->run), 0);
}

/* As main.c stops. */
ST_UNUSED static void daemon_stop(struct daemon *d, int deadline_ms)
{
    atomic_store(&d->run.stopping, true);
    st_bell_ring(&d->run.relay_bell);
    st_bell_ring(&d->run.jobs_bell);
    st_bell_ring(&d->run.events_bell);
    st_jobs_stop(&d->run, deadline_ms);
    for (int i = 0; i < d->n_threads; i++)
        pthread_join(d->threads[i], NULL);
    st_arena_release(&d->run.arena);
    free(d);
}

/* --- events --- */

/* As st_emit writes them, in the transaction that is open. */
ST_UNUSED static void emit(struct st_pg *pg, const char *aggregate, int n)
{
    const char *payload = st_printf(&arena, "{\"n\": %d, \"text\": \"caf\\u00e9 \\\" \\\\\"}", n);
    st_pg_exec(pg,
               "with a as (insert into aggregates (aggregate_type, aggregate_id, version) values ('thing', $1, 1) "
               "on conflict (aggregate_type, aggregate_id) do update set version = aggregates.version + 1 "
               "returning version) "
               "insert into events (event_id, event_type, aggregate_type, aggregate_id, aggregate_version, version, "
               "metadata, payload) select $2::uuid, 'ThingHappened', 'thing', $1, a.version, '1.0.0', "
               "'{\"correlationId\": \"c-1\", \"userId\": \"u-1\"}', $3::jsonb from a",
               ST_PARAMS(aggregate, st_new_id(&arena), payload));
}

ST_UNUSED static void emit_one(struct st_pg *pg, const char *aggregate, int n)
{
    st_pg_begin(pg);
    emit(pg, aggregate, n);
    must(pg, st_pg_commit(pg));
}

/* --- Redis --- */

#define redis_do(...)                                                                                                  \
    __extension__({                                                                                                    \
        struct st_reply reply_;                                                                                        \
        int r_ = st_redis_cmd(redis, &arena, &reply_, __VA_ARGS__, NULL);                                              \
        if (r_ < 0)                                                                                                    \
            fail_msg("redis: %s", st_redis_error(redis));                                                              \
        reply_;                                                                                                        \
    })

/* Entries in all partitions of alpha. */
ST_UNUSED static int64_t stream_length(void)
{
    int64_t n = 0;
    for (int p = 0; p < ST_BUS_PARTITIONS; p++)
        n += redis_do("XLEN", st_printf(&arena, "st:events:alpha:%d", p)).num;
    return n;
}

/* What a stream holds, in its order. */
struct stored {
    const char *id;
    json_t *event;
};
ST_UNUSED static size_t stream_read(int partition, struct stored list[STORED_MAX])
{
    struct st_reply all = redis_do("XRANGE", st_printf(&arena, "st:events:alpha:%d", partition), "-", "+");
    assert_true(all.n_items <= STORED_MAX);
    for (size_t i = 0; i < all.n_items; i++) {
        const struct st_reply *fields = &all.items[i].items[1];
        const char *why = "";
        assert_int_equal(fields->n_items, 2);
        assert_string_equal(fields->items[0].str, "e");
        list[i].id = all.items[i].items[0].str;
        if (st_json_parse(&arena, fields->items[1].str, fields->items[1].len, 8, &list[i].event, &why) < 0)
            fail_msg("%s", why);
    }
    return all.n_items;
}

#endif
