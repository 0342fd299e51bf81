/* Calls to providers: what each answer stands for, tries, pauses, places, the breaker, what is recorded. */
#include "../lib/backbone.h"
#include "../lib/stand_in.h"

#include "svc/provider.h"

static struct st_pg *db;

/* --- the provider --- */

static const struct st_option options[] = {{"test_url", ""}, {"test_key_file", ""}, {0}};

/* As providers tell a used-up account from haste, and a request from its content: by a word in the body. */
static enum st_outcome classify(struct st_arena *a, const struct st_http_answer *answer, const char **ret_why)
{
    if (answer->body && strstr(answer->body, "insufficient_quota")) {
        *ret_why = st_printf(a, "no credit");
        return ST_OUTCOME_QUOTA;
    }
    if (answer->body && strstr(answer->body, "invalid_parameter"))
        return ST_OUTCOME_REQUEST;
    return st_outcome_of_status(answer);
}
static void meter(const struct st_http_answer *answer, int64_t *units, int64_t *micros)
{
    *units = (int64_t)answer->len;
    *micros = *units * 7;
}
static const struct st_provider plain = {.name = "plain",
                                         .url_option = "test_url",
                                         .key_option = "test_key_file",
                                         .key_header = "Authorization: Bearer %s",
                                         .concurrency = 2,
                                         .timeout_ms = 30000,
                                         .attempts = 3,
                                         .price_micros = 15};

static struct st_provider_answer answer;
static int try_call(const struct st_provider *p, const struct st_provider_call *given)
{
    struct st_provider_call c = *given;
    if (!c.path && !c.url)
        c.path = "/speech";
    c.answer_max = 1 << 20;
    c.units = 10;
    return st_provider_do(p, &c, &arena, &answer);
}
#define try_with(p, ...) try_call(&(p), &(struct st_provider_call){__VA_ARGS__})
#define call_plain()     try_call(&plain, &(struct st_provider_call){0})

static const char *recorded(void)
{
    return ask(db, "select string_agg(outcome, ' ' order by call_id) from provider_calls");
}

static int begin(void **state)
{
    (void)state;
    db = stand_in_begin("provider", "test", "/v1");
    return 0;
}

static int setup(void **state)
{
    (void)state;
    stand_in_setup(db, "provider", options, "test");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    st_arena_release(&arena);
    return 0;
}

static int end(void **state)
{
    (void)state;
    stand_in_stop();
    db = st_pg_free(db);
    return 0;
}

/* --- a call --- */

static void test_a_call(void **state)
{
    (void)state;
    answers(reply("200 OK", "X-Request-Id: r-1\r\n", "sound"));
    json_t *body = st_json_keep(&arena, json_pack("{s:s}", "input", "Hello"));
    const char *const headers[] = {"Idempotency-Key: k-1", NULL};
    assert_int_equal(try_with(plain, .json = body, .headers = headers, .reference = "n-1"), 0);
    assert_string_equal(answer.http.body, "sound");
    assert_string_equal(st_http_answer_header(&answer.http, "x-request-id"), "r-1");
    assert_null(answer.why);
    assert_non_null(strstr(stand_in.last, "POST /v1/speech HTTP/1.1\r\n"));
    assert_non_null(strstr(stand_in.last, "Authorization: Bearer " STAND_IN_KEY "\r\n"));
    assert_non_null(strstr(stand_in.last, "Idempotency-Key: k-1\r\n"));
    assert_non_null(strstr(stand_in.last, "{\"input\":\"Hello\"}"));
    assert_string_equal(ask(db, "select concat_ws(' ', provider, reference, outcome, status, units, price_micros) "
                                "from provider_calls"),
                        "plain n-1 ok 200 10 150");
    assert_string_equal(ask(db, "select concat_ws(' ', outcome, calls, units, price_micros) from provider_totals"),
                        "ok 1 10 150");
    struct st_provider metered = plain;
    metered.meter = meter;
    assert_int_equal(try_with(metered), 0);
    assert_string_equal(ask(db, "select concat_ws(' ', units, price_micros) from provider_totals"), "15 185");
    assert_null(ask(db,
                    "select 1 from provider_calls c, providers p, provider_totals t "
                    "where concat(c, p, t) like '%' || $1 || '%'",
                    STAND_IN_KEY));
}

static void test_public_addresses(void **state)
{
    (void)state;
    static const char *const open[] = {"8.8.8.8", "172.15.255.255", "172.32.0.0", "100.128.0.0", "2606:4700::1"};
    static const char *const closed[] = {
        "127.0.0.1",   "10.1.2.3",      "172.16.0.1",      "172.31.255.255",  "192.168.1.1",  "169.254.169.254",
        "100.64.0.1",  "0.0.0.0",       "224.0.0.1",       "255.255.255.255", "::1",          "::",
        "fd00::1",     "fe80::1",       "::ffff:10.0.0.1", "64:ff9b::a00:1",  "2002:a00:1::", "ff02::1",
        "2001:db8::1", "::ffff:8.8.8.8"};
    unsigned char address[16];
    for (size_t i = 0; i < ST_COUNT(open) + ST_COUNT(closed); i++) {
        const char *text = i < ST_COUNT(open) ? open[i] : closed[i - ST_COUNT(open)];
        bool six = strchr(text, ':') != NULL;
        assert_int_equal(inet_pton(six ? AF_INET6 : AF_INET, text, address), 1);
        if (st_address_is_public(address, six ? 16 : 4) != (i < ST_COUNT(open)))
            fail_msg("%s", text);
    }
    /* By whatever name. */
    answers(reply("200 OK", "", "film"));
    struct st_provider once = plain;
    once.attempts = 1;
    const char *base = st_option("test_url"), *port = strrchr(base, ':') + 1;
    const char *named = st_printf(&arena, "http://localhost:%.*s/film", (int)strcspn(port, "/"), port);
    assert_int_equal(try_with(once, .url = st_printf(&arena, "%s/film", base), .public_only = true), ST_E_UNAVAILABLE);
    assert_int_equal(try_with(once, .url = named, .public_only = true), ST_E_UNAVAILABLE);
    assert_int_equal(atomic_load(&stand_in.requests), 0);
    assert_int_equal(try_with(once, .url = named), 0);
    assert_int_equal(atomic_load(&stand_in.requests), 1);
}

static void test_parts_and_files(void **state)
{
    (void)state;
    const char *path = st_printf(&arena, "%s/saved", getenv("ST_TEST_DIR")), *why;
    const struct st_http_part parts[] = {
        {.name = "name", .data = "Ada", .len = 3},
        {.name = "files", .path = st_option("test_key_file"), .filename = "a.mp3", .content_type = "audio/mpeg"}};
    answers(reply("200 OK", "", "a whole video"));
    assert_int_equal(try_with(plain, .parts = parts, .n_parts = 2, .save_to = path), 0);
    assert_non_null(strstr(stand_in.last, "name=\"name\"\r\n\r\nAda\r\n"));
    assert_non_null(
        strstr(stand_in.last, "name=\"files\"; filename=\"a.mp3\"\r\nContent-Type: audio/mpeg\r\n\r\n" STAND_IN_KEY));
    char *text;
    size_t len;
    assert_int_equal(st_file_read(&arena, path, &text, &len, &why), 0);
    assert_string_equal(text, "a whole video");
    /* a refusal is read, and does not become the video; an address of theirs gets no key */
    answers(reply("404 Not Found", "", "no such thing"));
    const char *url = st_printf(&arena, "%s/signed", st_option("test_url"));
    assert_int_equal(try_with(plain, .method = "GET", .url = url, .save_to = path), ST_E_BAD_GATEWAY);
    assert_string_equal(answer.http.body, "no such thing");
    assert_null(strstr(stand_in.last, STAND_IN_KEY));
    assert_int_equal(st_file_read(&arena, path, &text, &len, &why), 0);
    assert_string_equal(text, "");
}

/* However often: nobody else's calls are kept from it because our disk is full. */
static void test_no_room_for_what_comes(void **state)
{
    (void)state;
    const char *path = st_printf(&arena, "%s/none/saved", getenv("ST_TEST_DIR"));
    answers(reply("200 OK", "", "a whole video"));
    for (int i = 0; i < 6; i++)
        assert_int_equal(try_with(plain, .method = "GET", .look_up = true, .save_to = path), ST_E_INTERNAL);
    assert_non_null(answer.why);
    assert_int_equal(call_plain(), 0);
}

static void test_no_key(void **state)
{
    (void)state;
    const char *why;
    assert_true(st_provider_ready(&plain));
    answers(reply("200 OK", "", ""));
    assert_int_equal(truncate(st_option("test_key_file"), 0), 0);
    assert_int_equal(call_plain(), ST_E_BAD_GATEWAY);
    FILE *f = fopen(st_option("test_key_file"), "we");
    assert_true(f && fputs("two\r\nX-Header: words", f) >= 0 && fclose(f) == 0); /* would be a header of its own */
    assert_int_equal(call_plain(), ST_E_BAD_GATEWAY);
    assert_int_equal(atomic_load(&stand_in.requests), 0);
    setenv("ST_TEST_KEY_FILE", "", 1);
    assert_int_equal(st_options_load(options, &why), 0);
    assert_false(st_provider_ready(&plain));
}

/* --- what answers stand for --- */

static void test_outcomes(void **state)
{
    (void)state;
    static const struct {
        const char *status, *headers, *body;
        int error;
        const char *outcome;
        int requests;
    } cases[] = {
        {"400 Bad", "", "", ST_E_UNPROCESSABLE, "content", 1},
        {"422 Bad", "", "", ST_E_UNPROCESSABLE, "content", 1},
        {"400 Bad", "", "invalid_parameter", ST_E_BAD_GATEWAY, "request", 1},
        {"401 No", "", "", ST_E_BAD_GATEWAY, "permanent", 1},
        {"404 No", "", "", ST_E_BAD_GATEWAY, "permanent", 1},
        {"302 Go", "Location: http://127.0.0.1:1/\r\n", "", ST_E_BAD_GATEWAY, "permanent", 1},
        {"402 Pay", "", "", ST_E_PAYMENT, "quota", 1},
        {"429 Slow", "Retry-After: 0\r\n", "insufficient_quota", ST_E_PAYMENT, "quota", 1},
        {"429 Slow", "Retry-After: 0\r\n", "", ST_E_LIMITED, "limited", 3},
        {"503 Busy", "retry-after-ms: 1\r\nRetry-After: 99999\r\n", "", ST_E_UNAVAILABLE, "transient", 3},
        {"500 Oops", "Retry-After: Thu, 01 Jan 1998 00:00:00 GMT\r\n", "", ST_E_UNAVAILABLE, "transient", 3},
        {"500 Oops", "x-should-retry: false\r\n", "", ST_E_UNAVAILABLE, "transient", 1},
        {"400 Bad", "x-should-retry: true\r\nRetry-After: 0\r\n", "", ST_E_UNPROCESSABLE, "content", 3},
    };
    struct st_provider p = plain;
    p.classify = classify;
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        change(db, "truncate providers, provider_calls, provider_totals");
        answers(reply(cases[i].status, cases[i].headers, cases[i].body));
        if (try_with(p) != cases[i].error || atomic_load(&stand_in.requests) != cases[i].requests)
            fail_msg("case %zu: %s after %d", i, answer.why, atomic_load(&stand_in.requests));
        assert_string_equal(ask(db, "select outcome from provider_calls order by call_id desc limit 1"),
                            cases[i].outcome);
        assert_true(answer.why && *answer.why);
    }
}

static void test_tried_again(void **state)
{
    (void)state;
    answers(reply("503 Busy", "Retry-After: 0\r\n", ""), HANG_UP, reply("200 OK", "", "sound"));
    assert_int_equal(call_plain(), 0);
    assert_string_equal(recorded(), "transient unknown ok");
    /* nobody listens: nothing was sent, so even what may happen only once is tried again */
    const char *why;
    setenv("ST_TEST_KEEP", getenv("ST_TEST_URL"), 1);
    setenv("ST_TEST_URL", "http://127.0.0.1:1", 1);
    assert_int_equal(st_options_load(options, &why), 0);
    change(db, "truncate provider_calls");
    struct st_provider twice = plain;
    twice.attempts = 2;
    int r = try_with(twice, .once = true);
    setenv("ST_TEST_URL", getenv("ST_TEST_KEEP"), 1);
    assert_int_equal(r, ST_E_UNAVAILABLE);
    assert_string_equal(recorded(), "transient transient");
}

static void test_once(void **state)
{
    (void)state;
    struct st_provider p = plain;
    answers(HANG_UP);
    assert_int_equal(try_with(p, .once = true), ST_E_TIMEOUT);
    answers(reply("502 Bad", "Retry-After: 0\r\n", ""));
    assert_int_equal(try_with(p, .once = true), ST_E_TIMEOUT);
    p.timeout_ms = 2000; /* long enough for it to be sent */
    answers(SILENCE);
    assert_int_equal(try_with(p, .once = true), ST_E_TIMEOUT);
    assert_string_equal(recorded(), "unknown unknown unknown");
    answers(reply("429 Slow", "Retry-After: 0\r\n", ""), reply("200 OK", "", ""));
    assert_int_equal(call_plain(), 0); /* a refusal to begin is no unknown fate */
}

/* A poll's connection is kept, and ends when something is begun over it: libcurl would begin it again. */
static void test_once_over_kept_connections(void **state)
{
    (void)state;
    const char *begun = reply("200 OK", "", "begun twice");
    answers(kept_reply("{}"), HANG_UP, begun);
    assert_int_equal(try_with(plain, .method = "GET", .look_up = true), 0);
    assert_int_equal(try_with(plain, .attempts = 1), 0);
    assert_int_equal(atomic_load(&stand_in.requests), 3);
    answers(kept_reply("{}"), HANG_UP, begun);
    assert_int_equal(try_with(plain, .method = "GET", .look_up = true), 0);
    assert_int_equal(try_with(plain, .once = true), ST_E_TIMEOUT);
    assert_int_equal(atomic_load(&stand_in.requests), 2);
}

static void test_a_long_pause_is_the_callers(void **state)
{
    (void)state;
    answers(reply("429 Slow", "Retry-After: 600\r\n", ""));
    assert_int_equal(call_plain(), ST_E_LIMITED);
    assert_int_equal(answer.wait_ms, 600000);
    assert_int_equal(call_plain(), ST_E_LIMITED); /* and of all others: the provider is not asked again */
    assert_true(answer.wait_ms > 500000);
    assert_int_equal(atomic_load(&stand_in.requests), 1);
}

static bool is_set(void *flag)
{
    return atomic_load((atomic_bool *)flag);
}
static bool set_when_asked(void *flag)
{
    return atomic_load(&stand_in.requests) > 0 && !atomic_load((atomic_bool *)flag);
}

static void test_cancelled(void **state)
{
    (void)state;
    atomic_bool stop = true;
    answers(SILENCE);
    assert_int_equal(try_with(plain, .cancelled = is_set, .ctx = &stop), ST_E_CANCELLED);
    assert_int_equal(atomic_load(&stand_in.requests), 0);
    stop = false;
    assert_int_equal(try_with(plain, .cancelled = set_when_asked, .ctx = &stop), ST_E_CANCELLED); /* while it is sent */
    assert_string_equal(recorded(), "cancelled");
}

/* --- places --- */

struct caller {
    pthread_t thread;
    struct st_arena arena;
    int result;
};
static void *call_in_thread(void *arg)
{
    struct caller *c = arg;
    struct st_provider_answer ignored;
    c->result =
        st_provider_do(&plain, &(struct st_provider_call){.path = "/speech", .answer_max = 1024}, &c->arena, &ignored);
    st_arena_release(&c->arena);
    return NULL;
}

static void test_places(void **state)
{
    (void)state;
    struct caller callers[5] = {0};
    answers(reply("200 OK", "", ""));
    /* one place is a dead daemon's until its lease ends, the other is free */
    change(db, "insert into providers (provider) values ('plain')");
    change(db, "insert into provider_calls (provider, lease_until) values ('plain', now() + '1 hour')");
    atomic_store(&stand_in.held, true);
    for (size_t i = 0; i < ST_COUNT(callers); i++)
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call_in_thread, &callers[i]), 0);
    assert_true(wait_for(atomic_load(&stand_in.requests) == 1));
    assert_string_equal(ask(db, "select count(*) from provider_calls where outcome is null"), "2");
    change(db, "update provider_calls set lease_until = now() - interval '1 s' where call_id = "
               "(select min(call_id) from provider_calls)");
    assert_true(wait_for(atomic_load(&stand_in.requests) >= 2));
    atomic_store(&stand_in.held, false);
    for (size_t i = 0; i < ST_COUNT(callers); i++) {
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].result, 0);
    }
    assert_string_equal(ask(db, "select string_agg(concat(outcome, ' ', calls), ', ' order by outcome) "
                                "from provider_totals"),
                        "ok 5, unknown 1");
}

/* --- the breaker --- */

static void break_it(void)
{
    struct st_provider p = plain;
    p.attempts = 1;
    answers(reply("500 Oops", "", ""));
    for (int i = 0; i < 5; i++)
        assert_int_equal(try_with(p), ST_E_UNAVAILABLE);
}

static void test_breaker(void **state)
{
    (void)state;
    break_it();
    answers(reply("200 OK", "", ""));
    assert_int_equal(call_plain(), ST_E_UNAVAILABLE);
    assert_true(answer.wait_ms > 1000);
    assert_int_equal(atomic_load(&stand_in.requests), 0);
    change(db, "update providers set open_until = now()");
    assert_int_equal(call_plain(), 0);
    assert_string_equal(ask(db, "select concat_ws(' ', failures, opened, open_until) from providers"), "0 0");
}

/* What is wrong with a request neither opens the breaker nor closes it; a wrong key is everybody's. */
static void test_requests_do_not_break(void **state)
{
    (void)state;
    const char *failures = "select failures || coalesce(' open ' || open_until, '') from providers";
    struct st_provider p = plain;
    p.classify = classify;
    answers(reply("401 No", "", ""));
    assert_int_equal(try_with(p), ST_E_BAD_GATEWAY);
    answers(reply("422 Bad", "", "invalid_parameter"));
    for (int i = 0; i < 6; i++)
        assert_int_equal(try_with(p), ST_E_BAD_GATEWAY);
    assert_string_equal(ask(db, failures), "1");
    answers(reply("401 No", "", ""));
    for (int i = 0; i < 4; i++)
        assert_int_equal(try_with(p), ST_E_BAD_GATEWAY);
    assert_non_null(strstr(ask(db, failures), "5 open "));
}

static void test_a_probe_fails(void **state)
{
    (void)state;
    break_it();
    change(db, "update providers set open_until = now()");
    assert_int_equal(call_plain(), ST_E_UNAVAILABLE);
    assert_int_equal(atomic_load(&stand_in.requests), 6); /* one probe, though it may try three times */
    assert_string_equal(ask(db, "select opened from providers"), "2");
    assert_non_null(ask(db, "select 1 from providers where open_until > now() + interval '40 s'"));
}

static void test_one_probe_at_a_time(void **state)
{
    (void)state;
    struct caller probe = {.result = 1};
    break_it();
    change(db, "update providers set open_until = now()");
    answers(reply("400 Bad", "", "")); /* a refusal shows that it lives */
    atomic_store(&stand_in.held, true);
    assert_int_equal(pthread_create(&probe.thread, NULL, call_in_thread, &probe), 0);
    assert_true(wait_for(atomic_load(&stand_in.requests) == 1));
    assert_int_equal(call_plain(), ST_E_UNAVAILABLE);
    assert_int_equal(atomic_load(&stand_in.requests), 1);
    atomic_store(&stand_in.held, false);
    pthread_join(probe.thread, NULL);
    assert_int_equal(probe.result, ST_E_UNPROCESSABLE);
    answers(reply("200 OK", "", ""));
    assert_int_equal(call_plain(), 0);
}

static void test_look_ups(void **state)
{
    (void)state;
    answers(reply("200 OK", "", "{}"));
    change(db, "insert into providers (provider) values ('plain')");
    change(db, "insert into provider_calls (provider, lease_until) select 'plain', now() + '1 hour' "
               "from generate_series(1, 2)");
    assert_int_equal(try_with(plain, .method = "GET", .look_up = true), 0); /* though all places are taken */
    assert_string_equal(ask(db, "select count(*) from provider_calls"), "2");
    assert_string_equal(ask(db, "select calls from provider_totals where outcome = 'ok'"), "1");
}

int main(int argc, char **argv)
{
    (void)argc;
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_call),
        TEST(test_public_addresses),
        TEST(test_parts_and_files),
        TEST(test_no_room_for_what_comes),
        TEST(test_no_key),
        TEST(test_outcomes),
        TEST(test_tried_again),
        TEST(test_once),
        TEST(test_once_over_kept_connections),
        TEST(test_a_long_pause_is_the_callers),
        TEST(test_cancelled),
        TEST(test_places),
        TEST(test_breaker),
        TEST(test_requests_do_not_break),
        TEST(test_a_probe_fails),
        TEST(test_one_probe_at_a_time),
        TEST(test_look_ups),
    };
    world_start(argv);
    return cmocka_run_group_tests(tests, begin, end);
}
