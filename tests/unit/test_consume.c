/* The consumer, on a real PostgreSQL and Redis: effects once and in order, failures apart, leases fenced. */
#include "../lib/backbone.h"

static struct st_pg *db;
static struct daemon *publisher, *consumer;
static _Atomic(const char *) failing; /* the aggregate whose events fail */
static atomic_bool hold;              /* the handler waits while this is set */
static atomic_int holding;
static atomic_bool asks;   /* the handler needs an answer of the database first */
static atomic_int slow_ms; /* each handler takes so long */

/* What handlers do not survive. */
enum { BREAKS_A_STATEMENT = 1000001, BREAKS_A_SCHEMA };

static int thing_happened(struct st_call *call)
{
    const char *aggregate = call->event->aggregate_id, *n = st_i64(call->arena, st_json_int(call->body, "n", -1));
    assert_string_equal(call->correlation_id, "c-1");
    assert_string_equal(call->causation_id, call->event->id);
    assert_string_equal(call->user_id, "");
    struct st_rows *rows;
    int r = atomic_load(&asks) ? st_rows(call, &rows, "select 1") : 0;
    if (r < 0)
        return r;
    st_exec(call, "insert into effects (aggregate, n) values ($1, $2)", aggregate, n);
    st_emit(call, "BetaDone", aggregate, json_pack("{s:i}", "n", 1));
    atomic_fetch_add(&holding, 1);
    if (atomic_load(&slow_ms))
        st_sleep_ms(atomic_load(&slow_ms));
    while (atomic_load(&hold))
        st_sleep_ms(2);
    if (st_streq(atomic_load(&failing), aggregate))
        return st_fail(call, ST_E_BAD_GATEWAY, "it does not work \xff");
    if (st_json_int(call->body, "n", -1) == BREAKS_A_STATEMENT)
        st_exec(call, "insert into effects (n) values (1 / (select 0))");
    if (st_json_int(call->body, "n", -1) == BREAKS_A_SCHEMA)
        st_emit(call, "BetaDone", aggregate, json_pack("{s:s}", "n", "one"));
    return 0;
}

static const struct st_subscription subscriptions[] = {{"ThingHappened", thing_happened}, {0}};
static const struct st_service alpha = {.name = "alpha"}, beta = {.name = "beta", .subscriptions = subscriptions};

static struct daemon *start_consumer(void)
{
    struct daemon *d = daemon_new(&beta);
    daemon_loop(d, st_doorbell_main);
    daemon_loop(d, st_consume_main);
    return d;
}

static int setup(void **state)
{
    (void)state;
    redis_do("FLUSHALL");
    atomic_store(&failing, NULL);
    atomic_store(&hold, false);
    atomic_store(&asks, false);
    atomic_store(&slow_ms, 0);
    atomic_store(&holding, 0);
    db = database_new("alpha");
    must(db, st_pg_script(db, "create table effects (at serial, aggregate text, n int)"));
    use_database("alpha");
    publisher = daemon_new(&alpha);
    daemon_loop(publisher, st_relay_main);
    consumer = start_consumer();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    atomic_store(&hold, false);
    if (consumer)
        daemon_stop(consumer, 0);
    daemon_stop(publisher, 0);
    consumer = publisher = NULL;
    db = st_pg_free(db);
    st_arena_release(&arena);
    return 0;
}

static void publish(const char *aggregate, int n)
{
    emit_one(db, aggregate, n);
    st_bell_ring(&publisher->run.relay_bell);
}

static int64_t number(const char *sql)
{
    int64_t n = 0;
    const char *text = ask_(db, sql, 0, NULL);
    assert_true(st_parse_i64(text, INT64_MIN, INT64_MAX, &n));
    return n;
}

static int64_t effects(void)
{
    return number("select count(*) from effects");
}

/* The aggregate's events had their effects once each, in order. */
static void check_effects(const char *aggregate, const char *want)
{
    const char *have =
        ask(db, "select string_agg(n::text, ' ' order by at) from effects where aggregate = $1", aggregate);
    assert_string_equal(have ? have : "", want);
}

/* The group stands at the end of every stream: every entry was acknowledged. */
static bool all_acknowledged(void)
{
    for (int p = 0; p < ST_BUS_PARTITIONS; p++) {
        const char *key = st_printf(&arena, "st:events:alpha:%d", p);
        struct st_reply last = redis_do("XREVRANGE", key, "+", "-", "COUNT", "1");
        struct st_reply groups = redis_do("XINFO", "GROUPS", key);
        if (groups.n_items != 1)
            return false;
        const struct st_reply *group = &groups.items[0];
        for (size_t i = 0; last.n_items && i + 1 < group->n_items; i += 2)
            if (st_streq(group->items[i].str, "last-delivered-id") &&
                !st_streq(group->items[i + 1].str, last.items[0].items[0].str))
                return false;
    }
    return true;
}

static void test_effects_once_and_in_order(void **state)
{
    (void)state;
    for (int i = 0; i < 60; i++)
        publish(i % 3 ? "a" : "b", i);
    assert_true(wait_for(effects() == 60));
    check_effects("b", "0 3 6 9 12 15 18 21 24 27 30 33 36 39 42 45 48 51 54 57");
    assert_true(wait_for(all_acknowledged()));
    assert_int_equal(number("select count(*) from inbox"), 60);
    assert_int_equal(number("select count(*) from events where event_type = 'BetaDone'"), 60);
    /* An emitted event names what caused it. */
    assert_int_equal(number("select count(*) from events b join events t on b.metadata->>'causationId' = "
                            "t.event_id::text where b.event_type = 'BetaDone'"),
                     60);
}

static void test_a_bus_that_lost_everything(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        publish("a", i);
    assert_true(wait_for(effects() == 20));
    redis_do("FLUSHALL");
    for (int i = 20; i < 40; i++)
        publish("a", i);
    assert_true(wait_for(effects() == 40));
    assert_true(wait_for(stream_length() == 80)); /* with those that were emitted; all are there again */
    assert_true(wait_for(all_acknowledged()));
    assert_int_equal(effects(), 40);
    check_effects("a", "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 "
                       "35 36 37 38 39");
}

/* Makes everything that waits for a retry due, until the condition holds. */
static bool hurry(void)
{
    struct st_rows *rows;
    must(db, st_pg_query(db, &arena,
                         "update parked_events set run_at = now() where state = 'waiting' and run_at < 'infinity'",
                         ST_PARAMS(), &rows));
    st_bell_ring(&consumer->run.events_bell);
    return true;
}

static void test_a_failure_holds_back_its_aggregate_only(void **state)
{
    (void)state;
    atomic_store(&failing, "bad");
    publish("bad", 1);
    publish("good", 1);
    publish("bad", 2);
    publish("bad", 3);
    publish("good", 2);
    assert_true(wait_for(effects() == 2 && number("select count(*) from parked_events") == 3));
    check_effects("good", "1 2");
    assert_true(wait_for(all_acknowledged()));
    assert_int_equal(number("select count(*) from parked_events where run_at = 'infinity'"), 2);
    assert_string_equal(ask(db, "select error from parked_events where attempts > 0"), "it does not work ?");
    assert_string_equal(ask(db, "select correlation_id from parked_events limit 1"), "c-1");
    assert_int_equal(number("select count(*) from events where event_type = 'BetaDone'"), 2);
    publish("good", 3);
    assert_true(wait_for(effects() == 3));
    atomic_store(&failing, NULL);
    assert_true(wait_for(effects() == 6)); /* by itself, after a second or so */
    check_effects("bad", "1 2 3");
    assert_int_equal(number("select count(*) from parked_events"), 0);
    publish("bad", 4);
    assert_true(wait_for(effects() == 7));
    check_effects("bad", "1 2 3 4");
}

static void test_a_dead_letter_lets_the_others_pass(void **state)
{
    (void)state;
    atomic_store(&failing, "bad");
    publish("bad", 1);
    assert_true(wait_for(number("select count(*) from parked_events") == 1));
    publish("bad", 2);
    assert_true(wait_for(number("select count(*) from parked_events") == 2));
    assert_true(wait_for(hurry() && number("select count(*) from parked_events where state = 'dead'") == 1));
    assert_int_equal(number("select attempts from parked_events where state = 'dead'"), 12);
    assert_int_equal(number("select envelope->'payload'->>'n' from parked_events where state = 'dead'"), 1);
    assert_int_equal(effects(), 0);
    atomic_store(&failing, NULL);
    assert_true(wait_for(hurry() && effects() == 1));
    check_effects("bad", "2");
    /* What was given up is not taken for new when it comes again, until the operator says so. */
    redis_do("FLUSHALL");
    publish("bad", 3);
    assert_true(wait_for(effects() == 2));
    assert_true(wait_for(all_acknowledged()));
    check_effects("bad", "2 3");
    change(db, "update parked_events set state = 'waiting', attempts = 0, run_at = now()");
    st_bell_ring(&consumer->run.events_bell);
    assert_true(wait_for(effects() == 3));
    check_effects("bad", "2 3 1");
    assert_int_equal(number("select count(*) from parked_events"), 0);
}

/* Ids beyond those of the relay, which has to find its way behind them. */
static void add_raw(int n, const char *envelope)
{
    redis_do("XADD", "st:events:alpha:1", st_printf(&arena, "8888888888888-%d", n), "e", envelope);
}

static const char *envelope(const char *type, const char *id, const char *payload)
{
    return st_printf(&arena,
                     "{\"eventId\":\"%s\",\"eventType\":\"%s\",\"aggregateId\":\"z\",\"aggregateType\":\"thing\","
                     "\"timestamp\":\"2026-01-31T09:05:07.042Z\",\"version\":\"1.0.0\","
                     "\"metadata\":{\"correlationId\":\"c-1\"},\"payload\":%s}",
                     id, type, payload);
}

static void test_poison(void **state)
{
    (void)state;
    char deep[4096];
    memset(deep, '[', sizeof(deep) - 1);
    deep[sizeof(deep) - 1] = '\0';
    publish("a", 1);
    assert_true(wait_for(effects() == 1));
    const char *id = st_new_id(&arena);
    int n = 1;
    add_raw(n++, "");
    add_raw(n++, "not json");
    add_raw(n++, "{\"eventType\":\"ThingHappened\"}");
    add_raw(n++, "\xff\xfe{\"a\":1}");
    add_raw(n++, "{\"eventType\":\"ThingHappened\",\"x\":\"\\u0000\"}");
    add_raw(n++, deep);
    add_raw(n++, "[1]");
    add_raw(n++, envelope("ThingHappened", "not-a-uuid", "{\"n\":1}"));
    add_raw(n++, envelope("ThingHappened", id, "{\"n\":\"one\"}"));
    add_raw(n++, envelope("ThingHappened", st_new_id(&arena), "7"));
    int poison = n - 1;
    redis_do("XADD", "st:events:alpha:1", st_printf(&arena, "8888888888888-%d", n++), "other", "field");
    poison++;
    add_raw(n++, envelope("SomethingElse", st_new_id(&arena), "{}"));
    poison++;
    add_raw(n++, envelope("BetaDone", st_new_id(&arena), "{}")); /* not for us: no dead letter */
    add_raw(n++, envelope("ThingHappened", st_new_id(&arena), "{\"n\":5}"));
    st_bell_ring(&consumer->run.events_bell);
    assert_true(wait_for(effects() == 2));
    check_effects("z", "5");
    assert_int_equal(number("select count(*) from parked_events where state = 'dead'"), poison);
    assert_int_equal(number("select count(*) from parked_events where error is null"), 0);
    assert_non_null(strstr(ask(db, "select error from parked_events where event_id = $1", id), "/n"));
    assert_true(wait_for(all_acknowledged()));
    publish("a", 2);
    assert_true(wait_for(effects() == 3));
}

/* --- batches --- */

/* Nobody reads while many are published, so that they come at once. */
static void publish_at_once(int n, const char *const *aggregates, int n_aggregates)
{
    daemon_stop(consumer, 0);
    consumer = NULL;
    int64_t before = number("select count(*) from events");
    st_pg_begin(db);
    for (int i = 0; i < n; i++)
        emit(db, aggregates[i % n_aggregates], i);
    must(db, st_pg_commit(db));
    st_bell_ring(&publisher->run.relay_bell);
    assert_true(wait_for(stream_length() == before + n));
}

/* Transactions that the effects came in. */
static int64_t transactions(void)
{
    return number("select count(distinct xmin::text) from effects");
}

static void test_a_backlog_is_handled_in_few_transactions(void **state)
{
    (void)state;
    static const char *const some[] = {"a", "b", "c", "d", "e", "f", "g"};
    publish_at_once(700, some, ST_COUNT(some));
    consumer = start_consumer();
    assert_true(wait_for(effects() == 700));
    assert_true(transactions() < 100);
    assert_true(wait_for(all_acknowledged()));
    assert_int_equal(number("select count(*) from inbox"), 700);
    assert_int_equal(number("select count(*) from events where event_type = 'BetaDone'"), 700);
    /* Each aggregate in order, and each emitted event names what caused it and whose chain it is in. */
    assert_int_equal(
        number("select count(*) from (select n, lag(n) over (partition by aggregate order by at) as before "
               "from effects) t where before >= n"),
        0);
    assert_int_equal(number("select count(*) from events b join events t on b.metadata->>'causationId' = "
                            "t.event_id::text and b.aggregate_id = t.aggregate_id where b.event_type = 'BetaDone'"),
                     700);
    publish("a", 700); /* one that comes alone */
    assert_true(wait_for(effects() == 701));
}

static void test_poison_in_a_batch_costs_only_itself(void **state)
{
    (void)state;
    static const char *const some[] = {"a", "b", "bad", "c", "d", "e", "f", "g"};
    atomic_store(&failing, "bad");
    publish_at_once(160, some, ST_COUNT(some));
    consumer = start_consumer();
    assert_true(wait_for(effects() == 140 && number("select count(*) from parked_events") == 20));
    assert_int_equal(number("select count(*) from effects where aggregate = 'bad'"), 0);
    assert_int_equal(number("select count(*) from (select distinct aggregate, n from effects) t"), 140);
    assert_int_equal(
        number("select count(*) from (select n, lag(n) over (partition by aggregate order by at) as before "
               "from effects) t where before >= n"),
        0);
    /* One has failed; those of its aggregate that came in the same batch wait behind it. */
    assert_int_equal(number("select count(*) from parked_events where attempts > 0"), 1);
    assert_int_equal(number("select count(*) from parked_events where run_at = 'infinity'"), 19);
    assert_int_equal(number("select count(*) from events where event_type = 'BetaDone'"), 140);
    assert_true(wait_for(all_acknowledged()));
    atomic_store(&failing, NULL);
    assert_true(wait_for(hurry() && effects() == 160));
    check_effects("bad", "2 10 18 26 34 42 50 58 66 74 82 90 98 106 114 122 130 138 146 154");
}

/* As a replay parks them: all at once, in order, the first of each aggregate due. */
static void park_all_again(void)
{
    must(db, st_pg_script(db, "truncate effects; delete from inbox;"
                              "insert into parked_events (event_id, stream, aggregate_id, event_type, correlation_id, "
                              "envelope, run_at) select event_id, 'alpha:0', aggregate_id, event_type, 'c-1', "
                              "jsonb_build_object('eventId', event_id, 'eventType', event_type, 'aggregateId', "
                              "aggregate_id, 'aggregateType', aggregate_type, 'timestamp', '2026-01-31T09:05:07.042Z', "
                              "'version', version, 'metadata', metadata, 'payload', payload), "
                              "case when row_number() over (partition by aggregate_id order by seq) = 1 then now() "
                              "else 'infinity' end from events where event_type = 'ThingHappened' order by seq"));
    if (consumer)
        st_bell_ring(&consumer->run.events_bell);
}

static void test_parked_events_go_by_the_batch(void **state)
{
    (void)state;
    static const char *const some[] = {"a", "b", "bad", "c"};
    publish_at_once(400, some, ST_COUNT(some));
    consumer = start_consumer();
    assert_true(wait_for(effects() == 400));
    atomic_store(&failing, "bad");
    park_all_again();
    assert_true(wait_for(effects() == 300 && number("select count(*) from parked_events") == 100));
    assert_true(transactions() < 150);
    const char *swapped = "select count(*) from (select n, lag(n) over (partition by aggregate order by at) as before "
                          "from effects) t where before >= n";
    assert_int_equal(number(swapped), 0);
    assert_true(wait_for(number("select count(*) from parked_events where attempts > 0") == 1));
    assert_int_equal(number("select count(*) from parked_events where run_at = 'infinity' and tried_by is null"), 99);
    atomic_store(&failing, NULL);
    assert_true(wait_for(hurry() && effects() == 400));
    assert_int_equal(number(swapped), 0);
    assert_int_equal(number("select count(*) from parked_events"), 0);
    assert_int_equal(number("select count(*) from inbox"), 400);
}

/* Who ended in the midst of several is not known to have died of this one or that: each is tried alone. */
static void test_parked_events_that_were_begun_are_tried_alone(void **state)
{
    (void)state;
    static const char *const some[] = {"a", "b", "c"};
    publish_at_once(30, some, ST_COUNT(some));
    consumer = start_consumer();
    assert_true(wait_for(effects() == 30));
    daemon_stop(consumer, 0);
    consumer = NULL;
    park_all_again();
    change(db, "update parked_events set tried_by = gen_random_uuid()");
    consumer = start_consumer();
    assert_true(wait_for(effects() == 30));
    assert_int_equal(transactions(), 30);
}

/* What fails only when the batch commits, or in the event that a handler emits, is found all the same. */
static void test_poison_that_shows_late(void **state)
{
    (void)state;
    daemon_stop(consumer, 0);
    consumer = NULL;
    st_pg_begin(db);
    for (int i = 0; i < 40; i++)
        emit(db, st_printf(&arena, "a%d", i), i == 11 ? BREAKS_A_STATEMENT : i == 29 ? BREAKS_A_SCHEMA : i);
    must(db, st_pg_commit(db));
    st_bell_ring(&publisher->run.relay_bell);
    assert_true(wait_for(stream_length() == 40));
    consumer = start_consumer();
    assert_true(wait_for(effects() == 38 && number("select count(*) from parked_events") == 2));
    assert_int_equal(number("select count(*) from inbox"), 38);
    assert_non_null(strstr(ask(db, "select error from parked_events where aggregate_id = 'a11'"), "division by zero"));
    assert_non_null(strstr(ask(db, "select error from parked_events where aggregate_id = 'a29'"), "schema"));
    assert_true(wait_for(all_acknowledged()));
}

/* A stream of its own order, with everything in it several times. */
static void test_shuffled_events_and_duplicates(void **state)
{
    (void)state;
    enum { EVENTS = 1000, AGGREGATES = 7, COPIES = 50 };
    char key[64];
    unsigned seed = 7;
    int order[EVENTS];
    static char ids[EVENTS][ST_UUID_LEN];
    daemon_stop(consumer, 0);
    consumer = NULL;
    for (int i = 0; i < EVENTS; i++) {
        order[i] = i;
        st_uuid(ids[i]);
    }
    for (int i = EVENTS - 1; i > 0; i--) {
        int j = rand_r(&seed) % (i + 1), other = order[i];
        order[i] = order[j];
        order[j] = other;
    }
    int at = 1;
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < EVENTS; i++) {
            int n = order[round ? EVENTS - 1 - i : i];
            int copies = round == 0 && i == EVENTS / 2 ? COPIES : 1;
            const char *aggregate = st_printf(&arena, "s%d", n % AGGREGATES);
            snprintf(key, sizeof(key), "st:events:alpha:%d", st_bus_partition(aggregate));
            for (int c = 0; c < copies; c++)
                redis_do("XADD", key, st_printf(&arena, "8888888888888-%d", at++), "e",
                         st_printf(&arena,
                                   "{\"eventId\":\"%s\",\"eventType\":\"ThingHappened\",\"aggregateId\":\"%s\","
                                   "\"aggregateType\":\"thing\",\"timestamp\":\"2026-01-31T09:05:07.042Z\","
                                   "\"version\":\"1.0.0\",\"metadata\":{\"correlationId\":\"c-1\"},"
                                   "\"payload\":{\"n\":%d}}",
                                   ids[n], aggregate, n));
        }
    consumer = start_consumer();
    assert_true(wait_for(effects() >= EVENTS && all_acknowledged()));
    assert_int_equal(effects(), EVENTS);
    assert_int_equal(number("select count(distinct n) from effects"), EVENTS);
    assert_int_equal(number("select count(*) from parked_events"), 0);
    for (int g = 0; g < AGGREGATES; g++) { /* as they stood in the stream the first time */
        const char *want = "";
        for (int i = 0; i < EVENTS; i++)
            if (order[i] % AGGREGATES == g)
                want = st_printf(&arena, "%s%s%d", want, *want ? " " : "", order[i]);
        check_effects(st_printf(&arena, "s%d", g), want);
    }
}

/* Batches of one: each has its transaction, and only the last of a delivery waits for the disk. */
static void test_one_by_one(void **state)
{
    (void)state;
    static const char *const some[] = {"a", "b", "bad", "c"};
    atomic_store(&failing, "bad");
    publish_at_once(200, some, ST_COUNT(some));
    setenv("ST_EVENT_BATCH", "1", 1);
    use_database("alpha");
    consumer = start_consumer();
    bool came = wait_for(effects() == 150 && number("select count(*) from parked_events") == 50);
    unsetenv("ST_EVENT_BATCH");
    assert_true(came);
    assert_int_equal(transactions(), 150);
    assert_true(wait_for(all_acknowledged()));
    atomic_store(&failing, NULL);
    assert_true(wait_for(hurry() && effects() == 200));
    assert_int_equal(
        number("select count(*) from (select n, lag(n) over (partition by aggregate order by at) as before "
               "from effects) t where before >= n"),
        0);
}

/* Slow handlers get small transactions, so that locks and leases are not held for long. */
static void test_slow_handlers(void **state)
{
    (void)state;
    static const char *const some[] = {"a"};
    publish_at_once(60, some, 1);
    atomic_store(&slow_ms, 100);
    consumer = start_consumer();
    assert_true(wait_for(effects() == 60));
    check_effects("a", "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 "
                       "35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59");
    assert_true(transactions() > 10);
}

/* The slow poll finds what no doorbell has told. */
static void test_a_doorbell_that_is_never_heard(void **state)
{
    (void)state;
    daemon_stop(consumer, 0);
    consumer = daemon_new(&beta);
    daemon_loop(consumer, st_consume_main);
    assert_true(wait_for(number("select count(*) from stream_positions") == ST_BUS_PARTITIONS));
    publish("a", 1);
    assert_true(wait_for(effects() == 1));
}

static const struct st_subscription to_all[] = {{"*", thing_happened}, {0}};
static const struct st_service gamma_service = {.name = "gamma", .subscriptions = to_all};

static void test_a_subscriber_to_all_buries_unknown_types(void **state)
{
    (void)state;
    daemon_stop(consumer, 0);
    consumer = daemon_new(&gamma_service);
    daemon_loop(consumer, st_consume_main);
    /* Reads the streams of all services of the registry. */
    assert_true(wait_for(number("select count(*) from stream_positions where stream like 'beta:%'") == 4));
    add_raw(1, envelope("FromTheFuture", st_new_id(&arena), "{\"n\":5}"));
    st_bell_ring(&consumer->run.events_bell);
    assert_true(wait_for(number("select count(*) from parked_events where state = 'dead'") == 1));
    assert_non_null(strstr(ask(db, "select error from parked_events"), "registry"));
}

static void test_the_same_event_under_another_id(void **state)
{
    (void)state;
    publish("a", 1);
    assert_true(wait_for(effects() == 1));
    struct stored list[STORED_MAX];
    assert_true(stream_read(st_bus_partition("a"), list) >= 1);
    redis_do("XADD", st_printf(&arena, "st:events:alpha:%d", st_bus_partition("a")), "8888888888888-1", "e",
             st_json_text(&arena, list[0].event));
    publish("a", 2);
    assert_true(wait_for(effects() == 2));
    assert_true(wait_for(all_acknowledged()));
    check_effects("a", "1 2");
}

static void test_takeover_after_a_stop(void **state)
{
    (void)state;
    struct daemon *second;
    publish("a", 1);
    assert_true(wait_for(effects() == 1));
    second = start_consumer();
    publish("a", 2);
    assert_true(wait_for(effects() == 2));
    daemon_stop(consumer, 0);
    consumer = second;
    publish("a", 3);
    assert_true(wait_for(effects() == 3));
    check_effects("a", "1 2 3");
}

/* A consumer is paused in the middle of a handler; its lease ends and another takes the partition over. */
static struct daemon *taken_over(void)
{
    publish("a", 1);
    assert_true(wait_for(effects() == 1));
    atomic_store(&holding, 0);
    atomic_store(&hold, true);
    publish("a", 2);
    publish("a", 3);
    assert_true(wait_for(atomic_load(&holding) == 1));
    for (int p = 0; p < ST_BUS_PARTITIONS; p++)
        redis_do("DEL", st_printf(&arena, "st:lease:beta:alpha:%d", p));
    return start_consumer();
}

static void goes_on(struct daemon *second)
{
    atomic_store(&hold, false);
    assert_true(wait_for(effects() == 3));
    check_effects("a", "1 2 3");
    publish("a", 4);
    assert_true(wait_for(effects() == 4));
    check_effects("a", "1 2 3 4");
    assert_true(wait_for(all_acknowledged()));
    daemon_stop(second, 0);
}

/* Its claim has not been sent yet: the second does not wait for it, and both have begun with the same event. */
static void test_a_stale_consumer_is_fenced(void **state)
{
    (void)state;
    struct daemon *second = taken_over();
    assert_true(wait_for(atomic_load(&holding) == 2));
    goes_on(second);
}

/* It has its claim: the second, which raises the fence, has to wait for that transaction, which is then the last. */
static void test_a_claim_holds_off_the_next(void **state)
{
    (void)state;
    atomic_store(&asks, true);
    struct daemon *second = taken_over();
    assert_true(wait_for(number("select count(*) from pg_stat_activity where application_name = 'beta/events' and "
                                "wait_event_type = 'Lock'") == 1));
    goes_on(second);
}

static void test_a_raised_fence_keeps_the_old_holder_out(void **state)
{
    (void)state;
    publish("a", 1);
    assert_true(wait_for(effects() == 1));
    struct st_rows *rows;
    /* As another process would; this one still has the lease, notices, and attaches again. */
    must(db, st_pg_query(db, &arena, "update stream_positions set fence = fence + 1", ST_PARAMS(), &rows));
    publish("a", 2);
    publish("a", 3);
    assert_true(wait_for(effects() == 3));
    check_effects("a", "1 2 3");
    assert_int_equal(number("select count(*) from parked_events"), 0);
    assert_int_equal(number("select max(fence) from stream_positions"), 2);
}

static void test_servers_that_go_away(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) {
        publish("a", i);
        if (i % 10 == 5)
            (void)ask(db, "select count(pg_terminate_backend(pid)) from pg_stat_activity "
                          "where application_name like 'beta/%'");
        if (i % 10 == 8)
            redis_do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    }
    assert_true(wait_for(hurry() && effects() == 40));
    assert_int_equal(number("select count(distinct n) from effects"), 40);
    assert_string_equal(ask(db, "select bool_and(n = at_n)::text from (select n, row_number() over (order by at) - 1 "
                                "as at_n from effects) t"),
                        "true");
    assert_true(wait_for(all_acknowledged()));
}

/* The database goes in the middle of what one poll has delivered, of several partitions, and stays away for a while. */
static void test_a_database_that_stays_away(void **state)
{
    (void)state;
    struct st_pg *admin = st_pg_new(conninfo("postgres"), "admin");
    daemon_stop(consumer, 0);
    for (int i = 0; i < 24; i++)
        emit_one(db, st_printf(&arena, "a%d", i % 8), i);
    assert_true(wait_for(stream_length() == 24));
    atomic_store(&hold, true);
    consumer = start_consumer();
    assert_true(wait_for(atomic_load(&holding) == 1));
    must(admin, st_pg_script(admin, "alter database alpha allow_connections false"));
    (void)ask(db, "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name like 'beta/%'");
    atomic_store(&hold, false);
    assert_true(wait_for(!atomic_load(&consumer->run.database_ok)));
    st_sleep_ms(300);
    must(admin, st_pg_script(admin, "alter database alpha allow_connections true"));
    st_pg_free(admin);
    assert_true(wait_for(effects() == 24));
    check_effects("a0", "0 8 16");
    check_effects("a7", "7 15 23");
    assert_int_equal(number("select count(*) from parked_events"), 0);
    assert_true(wait_for(all_acknowledged()));
}

/* A handler that cannot finish leaves nothing, and the stop does not wait for what has not begun. */
static void test_stop_in_the_middle(void **state)
{
    (void)state;
    atomic_store(&hold, true);
    for (int i = 0; i < 10; i++)
        publish("a", i);
    assert_true(wait_for(atomic_load(&holding) == 1));
    atomic_store(&consumer->run.stopping, true);
    atomic_store(&hold, false);
    daemon_stop(consumer, 0);
    assert_true(effects() < 10);
    consumer = start_consumer();
    assert_true(wait_for(effects() == 10));
    check_effects("a", "0 1 2 3 4 5 6 7 8 9");
}

int main(int argc, char **argv)
{
    (void)argc;
    world_start(argv);
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_effects_once_and_in_order),
        TEST(test_a_bus_that_lost_everything),
        TEST(test_a_failure_holds_back_its_aggregate_only),
        TEST(test_a_dead_letter_lets_the_others_pass),
        TEST(test_poison),
        TEST(test_a_backlog_is_handled_in_few_transactions),
        TEST(test_poison_in_a_batch_costs_only_itself),
        TEST(test_parked_events_go_by_the_batch),
        TEST(test_parked_events_that_were_begun_are_tried_alone),
        TEST(test_poison_that_shows_late),
        TEST(test_shuffled_events_and_duplicates),
        TEST(test_one_by_one),
        TEST(test_slow_handlers),
        TEST(test_a_doorbell_that_is_never_heard),
        TEST(test_a_subscriber_to_all_buries_unknown_types),
        TEST(test_the_same_event_under_another_id),
        TEST(test_takeover_after_a_stop),
        TEST(test_a_stale_consumer_is_fenced),
        TEST(test_a_claim_holds_off_the_next),
        TEST(test_a_raised_fence_keeps_the_old_holder_out),
        TEST(test_servers_that_go_away),
        TEST(test_a_database_that_stays_away),
        TEST(test_stop_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
