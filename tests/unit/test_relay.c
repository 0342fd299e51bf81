/* The relay, on a real PostgreSQL and Redis: nothing lost, nothing twice, each aggregate in order, whatever happens. */
#include "../lib/backbone.h"

#include "svc/relay.c" /* trimming comes about once a minute: it is called directly */

enum { WRITERS = 8, AGGREGATES = 5, TRANSACTIONS = 60 };

static const struct st_service alpha = {.name = "alpha"};
static struct st_pg *db;
static struct daemon *relay;

static void start(void)
{
    relay = daemon_new(&alpha);
    daemon_loop(relay, st_relay_main);
}

static void stop(void)
{
    daemon_stop(relay, 0);
    relay = NULL;
}

static int setup(void **state)
{
    (void)state;
    redis_do("FLUSHALL");
    db = database_new("alpha");
    use_database("alpha");
    start();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (relay)
        stop();
    db = st_pg_free(db);
    st_arena_release(&arena);
    return 0;
}

static void ring(void)
{
    st_bell_ring(&relay->run.relay_bell);
}

static int64_t number(const char *sql)
{
    int64_t n = 0;
    const char *text = ask_(db, sql, 0, NULL);
    assert_true(st_parse_i64(text, INT64_MIN, INT64_MAX, &n));
    return n;
}

static bool arrived(int64_t n)
{
    ring();
    return stream_length() >= n && number("select count(*) from relay_batches where sent_at is null") == 0;
}

/* All events of the log are on the bus, those of each aggregate in the order of their versions, each once. */
static void check_complete(void)
{
    json_t *next = st_json_keep(&arena, json_object());
    int64_t total = 0;
    for (int p = 0; p < ST_BUS_PARTITIONS; p++) {
        struct stored *list = st_new_n(&arena, struct stored, STORED_MAX);
        size_t n = stream_read(p, list);
        for (size_t i = 0; i < n; i++) {
            const char *aggregate = st_str(list[i].event, "aggregateId"), *id = st_str(list[i].event, "eventId");
            int64_t want = st_json_int(next, aggregate, 0) + 1, have = 0;
            assert_int_equal(st_bus_partition(aggregate), p);
            assert_true(st_parse_i64(ask(db, "select aggregate_version from events where event_id = $1", id), 1,
                                     INT64_MAX, &have));
            assert_int_equal(have, want);
            json_object_set_new(next, aggregate, json_integer(want));
            total++;
        }
    }
    assert_int_equal(total, number("select count(*) from events"));
}

static void test_envelope(void **state)
{
    (void)state;
    emit_one(db, "e1", 7);
    assert_true(wait_for(arrived(1)));
    struct stored list[STORED_MAX];
    assert_int_equal(stream_read(st_bus_partition("e1"), list), 1);
    const json_t *e = list[0].event;
    int64_t us;
    assert_int_equal(json_object_size(e), 8);
    assert_true(st_is_uuid(st_str(e, "eventId")));
    assert_string_equal(st_str(e, "eventType"), "ThingHappened");
    assert_string_equal(st_str(e, "aggregateId"), "e1");
    assert_string_equal(st_str(e, "aggregateType"), "thing");
    assert_string_equal(st_str(e, "version"), "1.0.0");
    assert_int_equal(strlen(st_str(e, "timestamp")), strlen("2026-01-31T09:05:07.042Z"));
    assert_true(st_time_parse(st_str(e, "timestamp"), &us));
    assert_true(us > st_now() - 60 * ST_SECOND && us <= st_now() + ST_SECOND);
    assert_string_equal(st_str(json_object_get(e, "metadata"), "correlationId"), "c-1");
    assert_int_equal(st_json_int(json_object_get(e, "payload"), "n", 0), 7);
    assert_string_equal(st_str(json_object_get(e, "payload"), "text"), "café \" \\");
}

static void test_doorbell(void **state)
{
    (void)state;
    const char *const channels[] = {"st:bell:thing.happened"};
    const char *channel, *message;
    struct st_redis_sub *s = st_redis_sub_new(getenv("ST_REDIS"), channels, 1);
    assert_int_equal(st_redis_sub_poll(s, 0, &channel, &message), 0);
    st_pg_begin(db);
    for (int i = 0; i < 3; i++)
        emit(db, "e1", i);
    must(db, st_pg_commit(db));
    ring();
    assert_int_equal(st_redis_sub_poll(s, 3000, &channel, &message), 1);
    assert_int_equal(st_redis_sub_poll(s, 100, &channel, &message), 0); /* once for the batch */
    st_redis_sub_free(s);
}

/* The first to begin is the last to commit: no event may be skipped, and none may wait for another. */
static void test_interleaved_transactions(void **state)
{
    (void)state;
    struct st_pg *t1 = st_pg_new(conninfo("alpha"), "t1"), *t2 = st_pg_new(conninfo("alpha"), "t2"),
                 *t3 = st_pg_new(conninfo("alpha"), "t3");
    st_pg_begin(t1);
    emit(t1, "a", 1);
    must(t1, st_pg_flush(t1));
    st_pg_begin(t2);
    emit(t2, "b", 1);
    must(t2, st_pg_flush(t2));
    st_pg_begin(t3);
    emit(t3, "c", 1);
    emit(t3, "c", 2);
    must(t3, st_pg_commit(t3));
    assert_true(wait_for(arrived(2))); /* does not wait for t1 and t2 */
    must(t2, st_pg_commit(t2));
    assert_true(wait_for(arrived(3)));
    st_pg_begin(t3);
    emit(t3, "b", 2);
    must(t3, st_pg_commit(t3));
    assert_true(wait_for(arrived(4)));
    emit(t1, "a", 2);
    must(t1, st_pg_commit(t1));
    assert_true(wait_for(arrived(6)));
    check_complete();
    st_pg_free(t1);
    st_pg_free(t2);
    st_pg_free(t3);
}

struct writer {
    pthread_t thread;
    unsigned seed;
    int failed;
};

/* Transactions over one to three aggregates, taken in one order so that they do not deadlock; some are rolled back. */
static void *writer_main(void *ctx)
{
    struct writer *w = ctx;
    struct st_arena a = {0};
    struct st_pg *pg = st_pg_new(getenv("ST_DATABASE"), "writer");
    for (int i = 0; i < TRANSACTIONS; i++) {
        st_pg_begin(pg);
        for (int g = 0; g < AGGREGATES; g++) {
            if (rand_r(&w->seed) % 3)
                continue;
            st_pg_exec(pg,
                       "with a as (insert into aggregates (aggregate_type, aggregate_id, version) "
                       "values ('thing', $1, 1) on conflict (aggregate_type, aggregate_id) do update "
                       "set version = aggregates.version + 1 returning version) "
                       "insert into events (event_id, event_type, aggregate_type, aggregate_id, aggregate_version, "
                       "version, metadata, payload) select gen_random_uuid(), 'ThingHappened', 'thing', $1, "
                       "a.version, '1.0.0', '{\"correlationId\": \"c\"}', '{\"n\": 1}' from a",
                       ST_PARAMS(st_printf(&a, "g%d", g)));
            if (rand_r(&w->seed) % 4 == 0 && st_pg_flush(pg) < 0)
                w->failed++;
        }
        if (rand_r(&w->seed) % 8 == 0)
            st_pg_rollback(pg);
        else if (st_pg_commit(pg) < 0)
            w->failed++;
        ring();
    }
    st_pg_free(pg);
    st_arena_release(&a);
    return NULL;
}

static void test_many_writers_beside_a_long_transaction(void **state)
{
    (void)state;
    struct writer writers[WRITERS];
    /* An open write transaction anywhere in the cluster holds pg_snapshot_xmin back; the relay must not care. */
    struct st_pg *other = database_new("other");
    st_pg_begin(other);
    st_pg_exec(other, "create table held (x int)", ST_PARAMS());
    must(other, st_pg_flush(other));
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.seed = i + 1};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, writer_main, &writers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
        assert_int_equal(writers[i].failed, 0);
    }
    int64_t n = number("select count(*) from events");
    assert_true(n > WRITERS * TRANSACTIONS / 2);
    assert_true(wait_for(arrived(n)));
    check_complete();
    assert_true(number("select count(*) from relay_batches") > 3);
    st_pg_rollback(other);
    st_pg_free(other);
}

/* One transaction of more than a page, with another's events in between. */
static void emit_bulk(const char *aggregates, int n)
{
    struct st_rows *rows;
    must(db, st_pg_query(db, &arena,
                         "insert into events (event_id, event_type, aggregate_type, aggregate_id, aggregate_version, "
                         "version, metadata, payload) select gen_random_uuid(), 'ThingHappened', 'thing', "
                         "$1 || i % 7, 1 + i / 7, '1.0.0', '{\"correlationId\": \"c\"}', "
                         "json_build_object('n', i, 'text', repeat('x', 200)) from generate_series(0, $2::int - 1) i",
                         ST_PARAMS(aggregates, st_i64(&arena, n)), &rows));
}

static void test_a_batch_of_many_pages(void **state)
{
    (void)state;
    emit_bulk("x", 2300);
    assert_true(wait_for(arrived(2300)));
    check_complete();
    assert_int_equal(number("select count(*) from relay_batches"), 1);
    emit_bulk("y", 1000); /* a page that ends exactly */
    assert_true(wait_for(arrived(3300)));
    check_complete();
}

static void test_a_relay_that_died_before_it_recorded(void **state)
{
    (void)state;
    emit_bulk("x", 700);
    assert_true(wait_for(arrived(700)));
    stop();
    change(db, "update relay_batches set sent_at = null");
    change(db, "delete from relay_partitions");
    /* And one that had sent a part only. */
    for (int p = 0; p < ST_BUS_PARTITIONS; p++) {
        const char *key = st_printf(&arena, "st:events:alpha:%d", p);
        struct st_reply all = redis_do("XRANGE", key, "-", "+");
        if (p % 2 || all.n_items == 0)
            continue;
        redis_do("DEL", key);
        redis_do("XADD", key, all.items[0].items[0].str, "e", all.items[0].items[1].items[1].str);
    }
    start();
    assert_true(wait_for(arrived(700)));
    check_complete();
}

static void test_a_bus_that_lost_everything(void **state)
{
    (void)state;
    emit_bulk("x", 600);
    for (int i = 0; i < 20; i++)
        emit_one(db, st_printf(&arena, "y%d", i % 3), i);
    assert_true(wait_for(arrived(620)));
    struct stored *before = st_new_n(&arena, struct stored, STORED_MAX);
    size_t n = stream_read(1, before);
    assert_true(n > 0);
    redis_do("FLUSHALL");
    assert_true(wait_for(stream_length() == 620)); /* an idle relay notices */
    check_complete();
    struct stored *after = st_new_n(&arena, struct stored, STORED_MAX);
    assert_int_equal(stream_read(1, after), n);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(after[i].id, before[i].id);
    emit_one(db, "y0", 21);
    assert_true(wait_for(arrived(621)));
    check_complete();
}

/* The loss is followed at once by new events: the stream's end alone looks as if nothing had happened. */
static void test_a_loss_under_load(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        emit_one(db, st_printf(&arena, "a%d", i % 9), i);
        ring();
        if (i % 40 == 20)
            redis_do("FLUSHALL");
        if (i % 40 == 35)
            redis_do("DEL", st_printf(&arena, "st:events:alpha:%d", i % ST_BUS_PARTITIONS));
    }
    assert_true(wait_for(arrived(200)));
    check_complete();
}

static void test_a_bus_that_is_away(void **state)
{
    (void)state;
    emit_one(db, "a", 1);
    assert_true(wait_for(arrived(1)));
    redis_do("CONFIG", "SET", "maxmemory", "1"); /* refuses writes */
    for (int i = 0; i < 10; i++)
        emit_one(db, "a", i);
    ring();
    assert_true(wait_for(!atomic_load(&relay->run.bus_ok)));
    assert_int_equal(stream_length(), 1);
    redis_do("CONFIG", "SET", "maxmemory", "0");
    redis_do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    assert_true(wait_for(arrived(11)));
    assert_true(atomic_load(&relay->run.bus_ok));
    check_complete();
}

static void test_a_database_that_drops_us(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        emit_one(db, "a", i);
        ring();
        if (i % 10 == 5)
            (void)ask(db, "select count(pg_terminate_backend(pid)) from pg_stat_activity "
                          "where application_name = 'alpha/relay'");
    }
    assert_true(wait_for(arrived(30)));
    check_complete();
}

static void test_the_second_relay_stands_by(void **state)
{
    (void)state;
    struct daemon *second = daemon_new(&alpha);
    emit_one(db, "a", 1);
    assert_true(wait_for(arrived(1)));
    assert_true(atomic_load(&relay->run.relay_leads));
    daemon_loop(second, st_relay_main);
    for (int i = 0; i < 50; i++)
        emit_one(db, st_printf(&arena, "a%d", i % 3), i);
    assert_true(wait_for(arrived(51)));
    assert_false(atomic_load(&second->run.relay_leads));
    stop();
    assert_true(wait_for(atomic_load(&second->run.relay_leads)));
    relay = second;
    for (int i = 0; i < 10; i++)
        emit_one(db, "a", i);
    assert_true(wait_for(arrived(61)));
    check_complete();
}

static void test_a_ring_reaches_the_relay_of_another_process(void **state)
{
    (void)state;
    struct daemon *second = daemon_new(&alpha);
    const char *const channels[] = {"st:bell:relay:alpha"};
    const char *channel, *message;
    struct st_redis_sub *s = st_redis_sub_new(getenv("ST_REDIS"), channels, 1);
    daemon_loop(relay, st_doorbell_main);
    emit_one(db, "a", 0);
    assert_true(wait_for(arrived(1)));
    daemon_loop(second, st_relay_main);
    assert_int_equal(st_redis_sub_poll(s, 0, &channel, &message), 0);
    st_sleep_ms(1500); /* until the first relay is in its long sleep */
    emit_one(db, "a", 1);
    st_bell_ring(&second->run.relay_bell);
    assert_int_equal(st_redis_sub_poll(s, 60000, &channel, &message), 1);
    assert_true(wait_for(stream_length() == 2));
    assert_int_equal(st_redis_sub_poll(s, 100, &channel, &message), 0); /* and does not go round */
    st_redis_sub_free(s);
    daemon_stop(second, 0);
}

static const char *const streams[] = {"st:events:alpha:0", "st:events:alpha:1", "st:events:alpha:2",
                                      "st:events:alpha:3"};

/* The group has done all but the last `left` entries of each partition. */
static void read_as(const char *group, size_t left)
{
    for (size_t p = 0; p < ST_COUNT(streams); p++) {
        struct st_reply r = redis_do("XRANGE", streams[p], "-", "+");
        if (r.n_items > left)
            redis_do("XGROUP", "SETID", streams[p], group, r.items[r.n_items - 1 - left].items[0].str);
    }
}

static void trim_now(void)
{
    struct relay r = {.run = &relay->run, .service = "alpha"};
    st_worker_init(&r.w, &relay->run, "relay");
    r.bus = st_bus_open();
    assert_true(wait_for(lead(&r) == 0 && r.session)); /* the session before may take a moment to end */
    assert_int_equal(verify(&r), 0);
    assert_int_equal(trim(&r), 0);
    st_bus_free(r.bus);
    st_worker_release(&r.w);
    st_arena_release(&r.page);
}

static void test_trimming(void **state)
{
    (void)state;
    emit_bulk("x", 1400);
    assert_true(wait_for(arrived(1400)));
    stop();
    relay = daemon_new(&alpha);
    trim_now();
    assert_int_equal(stream_length(), 1400); /* nobody reads: nobody has read it */
    for (size_t p = 0; p < ST_COUNT(streams); p++) {
        redis_do("XGROUP", "CREATE", streams[p], "one", "0");
        redis_do("XGROUP", "CREATE", streams[p], "two", "0");
    }
    read_as("one", 0);
    trim_now();
    assert_int_equal(stream_length(), 1400); /* the other group has not */
    read_as("two", 150);
    const char *first[ST_BUS_PARTITIONS], *last[ST_BUS_PARTITIONS];
    for (size_t p = 0; p < ST_COUNT(streams); p++) {
        struct st_reply r = redis_do("XREVRANGE", streams[p], "+", "-", "COUNT", "150");
        first[p] = r.items[149].items[0].str;
        last[p] = r.items[0].items[0].str;
    }
    trim_now();
    assert_true(stream_length() < 1400);
    for (size_t p = 0; p < ST_COUNT(streams); p++) /* what it has not done is there */
        assert_int_equal(redis_do("XRANGE", streams[p], first[p], last[p]).n_items, 150);
    assert_int_equal(number("select count(*) from relay_groups"), 2);
}

/* What everybody has done is kept for long, but not without end; what somebody has not done stays whatever it is. */
static void test_trimming_by_number(void **state)
{
    (void)state;
    stop();
    setenv("ST_BUS_RETENTION_ENTRIES", "60", 1);
    use_database("alpha");
    setenv("ST_BUS_RETENTION_HOURS", "168", 1);
    const char *why;
    assert_int_equal(st_options_load(NULL, &why), 0);
    relay = daemon_new(&alpha);
    struct relay r = {.run = &relay->run, .service = "alpha"};
    bool busy = true;
    st_worker_init(&r.w, &relay->run, "relay");
    r.bus = st_bus_open();
    assert_true(wait_for(lead(&r) == 0 && r.session));
    for (int i = 0; i < 4; i++)
        emit_bulk(st_printf(&arena, "x%d-", i), 700);
    while (busy) {
        busy = false;
        assert_int_equal(turn(&r, &busy), 0);
    }
    assert_int_equal(stream_length(), 2800);
    for (size_t p = 0; p < ST_COUNT(streams); p++) {
        redis_do("XGROUP", "CREATE", streams[p], "one", "0");
        redis_do("XGROUP", "CREATE", streams[p], "two", "0");
    }
    read_as("one", 0);
    assert_int_equal(trim(&r), 0);
    assert_int_equal(stream_length(), 2800);
    read_as("two", 0);
    assert_int_equal(trim(&r), 0);
    assert_true(stream_length() < 1400 && stream_length() >= 60 * ST_BUS_PARTITIONS);
    unsetenv("ST_BUS_RETENTION_ENTRIES");
    st_bus_free(r.bus);
    st_worker_release(&r.w);
    st_arena_release(&r.page);
}

/* How far a group is behind, wherever it stands and whatever was trimmed: the bus tells the number and the entry. */
static void test_lag(void **state)
{
    (void)state;
    struct st_bus *bus = st_bus_open();
    struct st_bus_part part = {.service = "alpha", .partition = 0};
    struct st_bus_group *list;
    size_t n;
    emit_bulk("x", 1400);
    assert_true(wait_for(arrived(1400)));
    struct st_reply all = redis_do("XRANGE", streams[0], "-", "+");
    int64_t total = (int64_t)all.n_items;
    struct st_bus_id ids[STORED_MAX];
    for (int64_t i = 0; i < total; i++) {
        const char *id = all.items[i].items[0].str, *dash = strchr(id, '-');
        assert_true(st_parse_i64(st_strndup(&arena, id, (size_t)(dash - id)), 0, INT64_MAX, &ids[i].batch));
        assert_true(st_parse_i64(dash + 1, 0, INT64_MAX, &ids[i].n));
    }
    assert_int_equal(bus->ops->attach(bus, &arena, "one", &part, ids[9]), 0); /* a new group, in the middle */
    assert_int_equal(bus->ops->groups(bus, &arena, "alpha", 0, &list, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(list[0].lag, total - 10);
    assert_int_equal(st_bus_id_cmp(list[0].next, ids[10]), 0);
    assert_int_equal(bus->ops->ack(bus, &arena, "one", &part, ids[149], 140), 0);
    assert_int_equal(bus->ops->trim(bus, &arena, "alpha", 0, ids[120]), 0);
    assert_int_equal(bus->ops->groups(bus, &arena, "alpha", 0, &list, &n), 0);
    assert_int_equal(list[0].lag, total - 150);
    assert_int_equal(bus->ops->attach(bus, &arena, "one", &part, ids[159]), 0); /* another reader, a little further */
    assert_int_equal(bus->ops->attach(bus, &arena, "two", &part, ids[total - 1]), 0);
    assert_int_equal(bus->ops->groups(bus, &arena, "alpha", 0, &list, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(list[0].lag, total - 160);
    assert_int_equal(list[1].lag, 0);
    assert_int_equal(list[1].next.batch, 0);
    st_bus_free(bus);
}

static void test_kinds_of_bus(void **state)
{
    (void)state;
    assert_null(st_bus_new("kafka", "localhost"));
    assert_string_equal(st_bus_kinds(&arena), "redis");
}

/* A bus that comes back empty has only the groups of those who are up: the others must find their events all the same.
 */
static void test_trimming_waits_for_groups_that_are_missing(void **state)
{
    (void)state;
    emit_bulk("x", 1400);
    assert_true(wait_for(arrived(1400)));
    stop();
    relay = daemon_new(&alpha);
    for (size_t p = 0; p < ST_COUNT(streams); p++) {
        redis_do("XGROUP", "CREATE", streams[p], "one", "0");
        redis_do("XGROUP", "CREATE", streams[p], "two", "0");
    }
    read_as("one", 0);
    read_as("two", 30);
    trim_now(); /* what lies before is done with */
    int64_t kept = 0;
    redis_do("FLUSHALL");
    for (size_t p = 0; p < ST_COUNT(streams); p++)
        redis_do("XGROUP", "CREATE", streams[p], "one", "0", "MKSTREAM");
    trim_now(); /* publishes again what "two" needs */
    assert_true((kept = stream_length()) > 0 && kept < 1400);
    read_as("one", 0);
    trim_now();
    assert_int_equal(stream_length(), kept);
}

static void test_a_database_restored_elsewhere(void **state)
{
    (void)state;
    emit_bulk("x", 40);
    for (int i = 0; i < 5; i++)
        emit_one(db, "y", i);
    assert_true(wait_for(arrived(45)));
    stop();
    /* As after a restore: another identifier, and transaction ids far beyond those of this cluster. */
    change(db, "update relay_batches set system_identifier = '1'");
    change(db, "update events set tx = (tx::text::bigint + 1000000000)::text::xid8");
    emit_one(db, "y", 6);
    start();
    assert_true(wait_for(arrived(45 + 46))); /* all again: consumers know them by their ids */
    for (int i = 7; i < 12; i++) {
        emit_one(db, "y", i);
        ring();
    }
    assert_true(wait_for(arrived(45 + 51)));
    st_sleep_ms(100);
    assert_int_equal(stream_length(), 45 + 51); /* the old ones not a third time */
    /* The second time around is complete and in order. */
    struct stored list[STORED_MAX];
    size_t n = stream_read(st_bus_partition("y"), list);
    int64_t last = 0;
    for (size_t i = 0; i < n; i++)
        if (st_streq(st_str(list[i].event, "aggregateId"), "y")) {
            int64_t at = st_json_int(json_object_get(list[i].event, "payload"), "n", -1);
            assert_true(at == last || at == last + 1 || at == 0 || (last == 4 && at == 6));
            last = at;
        }
    assert_int_equal(last, 11);
}

/* Point-in-time recovery: the same identifier, but the bus has seen batches that this database knows nothing of. */
static void test_a_database_set_back(void **state)
{
    (void)state;
    emit_one(db, "a", 1);
    emit_one(db, "b", 1);
    assert_true(wait_for(arrived(2)));
    stop();
    for (int p = 0; p < ST_BUS_PARTITIONS; p++)
        redis_do("XADD", st_printf(&arena, "st:events:alpha:%d", p), "99999999999999-5", "e", "{}");
    emit_one(db, "a", 2);
    change(db, "insert into relay_batches (batch_no, system_identifier, s1, s2) " /* recorded, not sent */
               "select batch_no + 1, system_identifier, s2, pg_current_snapshot() from relay_batches "
               "order by batch_no desc limit 1");
    start();
    assert_true(wait_for(arrived(2 + ST_BUS_PARTITIONS + 1)));
    emit_one(db, "b", 2);
    assert_true(wait_for(arrived(2 + ST_BUS_PARTITIONS + 2)));
}

/* Somebody else adds an entry under the very number that the next batch will have. */
static void test_an_entry_of_somebody_else(void **state)
{
    (void)state;
    emit_one(db, "a", 1);
    assert_true(wait_for(arrived(1)));
    change(db, "update relay_batches set batch_no = 88888888888888 " /* so the next is known */
               "where batch_no = (select max(batch_no) from relay_batches)");
    for (int p = 0; p < ST_BUS_PARTITIONS; p++)
        redis_do("XADD", st_printf(&arena, "st:events:alpha:%d", p), "88888888888889-7", "e", "{}");
    emit_one(db, "a", 2);
    assert_true(wait_for(arrived(1 + ST_BUS_PARTITIONS + 1)));
}

int main(int argc, char **argv)
{
    (void)argc;
    world_start(argv);
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_envelope),
        TEST(test_doorbell),
        TEST(test_interleaved_transactions),
        TEST(test_many_writers_beside_a_long_transaction),
        TEST(test_a_batch_of_many_pages),
        TEST(test_a_relay_that_died_before_it_recorded),
        TEST(test_a_bus_that_lost_everything),
        TEST(test_a_loss_under_load),
        TEST(test_a_bus_that_is_away),
        TEST(test_a_database_that_drops_us),
        TEST(test_the_second_relay_stands_by),
        TEST(test_a_ring_reaches_the_relay_of_another_process),
        TEST(test_trimming),
        TEST(test_trimming_by_number),
        TEST(test_lag),
        TEST(test_kinds_of_bus),
        TEST(test_trimming_waits_for_groups_that_are_missing),
        TEST(test_a_database_restored_elsewhere),
        TEST(test_a_database_set_back),
        TEST(test_an_entry_of_somebody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
