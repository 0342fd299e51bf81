/* What providers of films tell by calling back, and who may; whom a film names. */
#include "../lib/filming.h"

/* What a call back consists of; NULL: it is not there. */
struct caller {
    const char *token, *body, *request, *user, *time, *signature;
};

static void add(json_t *params, const char *name, const char *value)
{
    if (value)
        json_object_set_new(params, name, json_string(value));
}

/* The status that it is answered with. */
static int call_back(const char *clip, const struct caller *c)
{
    struct st_call call;
    const struct st_bytes bytes = {c->body, strlen(c->body), "application/json"};
    const char *why;
    st_call_init(&call, &edge, "clipProgressed");
    call.params = st_json_keep(&arena, json_pack("{s:s, s:s}", "clipId", clip, "token", c->token));
    add(call.params, "X-Fal-Webhook-Request-Id", c->request);
    add(call.params, "X-Fal-Webhook-User-Id", c->user);
    add(call.params, "X-Fal-Webhook-Timestamp", c->time);
    add(call.params, "X-Fal-Webhook-Signature", c->signature);
    call.bytes = &bytes;
    assert_int_equal(st_json_parse(&arena, c->body, bytes.len, ST_JSON_DEPTH, &call.body, &why), 0);
    int r = video_clip_progress(&call);
    if (r == 0)
        assert_int_equal(st_commit(&call), 0);
    else
        st_call_reset(&call);
    int status = r < 0 ? st_err_status(r) : call.p->refused ? st_err_status(call.p->refused) : 200;
    st_arena_reset(&edge.arena);
    return status;
}

/* Where the provider was told to call. */
static const char *token_given(void)
{
    const char *at = strstr(text_of("callbacks"), "token="), *next;
    assert_non_null(at);
    while ((next = strstr(at + 1, "token=")))
        at = next;
    return st_strndup(&arena, at + strlen("token="), 32);
}

/* Does the clip's job run again because of what was told? Then it has run. */
static bool is_looked_at(void)
{
    const char *told = ask(db, "select payload->>'told' from jobs where unique_key like '%/told'");
    change(db, "delete from jobs where unique_key like '%/told'");
    return told && st_streq(told, "true");
}

static void test_call_back(void **state)
{
    (void)state;
    use("luma");
    const char *clip = plan(1);
    assert_int_equal(step(clip), 0);
    struct caller luma = {.token = "0123456789abcdef0123456789abcdef",
                          .body = "{\"id\": \"g-1\", \"state\": \"dreaming\"}"};
    assert_int_equal(call_back(clip, &luma), 404);
    luma.token = token_given();
    assert_int_equal(call_back(STORY, &luma), 404);
    assert_int_equal(call_back(clip, &luma), 200);
    assert_true(is_looked_at());
    assert_int_equal(call_back(clip, &luma), 200); /* a second delivery */
    assert_false(is_looked_at());
    luma.body = "{\"id\": \"g-1\", \"state\": \"completed\", \"assets\": {\"video\": \"https://a.example/f.mp4\"}}";
    assert_int_equal(call_back(clip, &luma), 200);
    assert_true(is_looked_at());
    luma.body = "{\"id\": \"g-2\", \"state\": \"a new word\"}"; /* makes no more rows than there are states */
    assert_int_equal(call_back(clip, &luma), 200);
    luma.body = "{\"id\": \"g-3\", \"state\": \"another\"}";
    assert_int_equal(call_back(clip, &luma), 200);
    assert_string_equal(ask(db, "select count(*) from clip_calls"), "2");
    const char *name = "select provider_ref like '0193c7e2-%' from clips";
    assert_string_equal(ask(db, name), "t"); /* the name that we were given counts */
    assert_string_equal(finish(clip), "done luma");
}

/* The provider tells at last, when the film has long been made without it. */
static void test_call_back_of_what_was_lost(void **state)
{
    (void)state;
    const char *clip = lose_at_luma();
    struct caller luma = {.token = token_given(), .body = "{\"id\": \"g-1\", \"state\": \"completed\"}"};
    assert_int_equal(call_back(clip, &luma), 200);
    assert_true(is_looked_at());
    assert_int_equal(step_as(clip, true), 0);
    assert_string_equal(state_of(clip), "sent luma");
    assert_string_equal(ask(db, "select provider_ref from clips where not lost"), "g-1");
}

/* Its film is asked for again: what comes of the first request is not what comes of the second. */
static void test_sent_again(void **state)
{
    (void)state;
    use("luma");
    const char *clip = plan(1);
    write_file("faults", "internal\n");
    assert_int_equal(step(clip), 0);
    struct caller first = {.token = token_given(), .body = "{\"id\": \"g-1\", \"state\": \"dreaming\"}"};
    assert_int_equal(call_back(clip, &first), 200);
    assert_true(is_looked_at());
    assert_string_equal(finish(clip), "failed luma");
    film_again();
    write_file("faults", "reset\n");
    assert_int_equal(step(clip), 0);
    assert_string_equal(state_of(clip), "unknown luma");
    assert_int_equal(call_back(clip, &first), 404);
    struct caller second = {.token = token_given(), .body = "{\"id\": \"g-2\", \"state\": \"dreaming\"}"};
    assert_int_equal(call_back(clip, &second), 200);
    assert_true(is_looked_at());
    assert_string_equal(ask(db, "select provider_ref from clips"), "g-2");
}

/* While a job of the clip's asks the provider, something else becomes of it: what the job has seen is true no more. */
static void look_meanwhile(const char *clip, bool told, const char *becomes)
{
    pthread_t looking;
    void *r, *body = st_json_keep(&arena, json_pack("{s:s, s:b}", "clipId", clip, "told", told));
    write_file("log", "");
    st_pg_begin(db);
    assert_non_null(ask(db, becomes));
    assert_int_equal(pthread_create(&looking, NULL, told_step, body), 0);
    assert_true(wait_for(strstr(text_of("log"), "GET ") != NULL)); /* it has read the row */
    must(db, st_pg_commit(db));
    assert_int_equal(pthread_join(looking, &r), 0);
    assert_null(r);
    st_arena_reset(&worker.arena);
}

static void test_looked_at_twice_at_a_time(void **state)
{
    (void)state;
    use("pika runway");
    const char *clip = plan(1);
    write_file("faults", "internal\n");
    assert_int_equal(step(clip), 0);
    assert_int_equal(step(clip), 0);
    assert_string_equal(state_of(clip), "sent pika");
    look_meanwhile(clip, true,
                   "update clips set provider = 'runway', provider_ref = 'r', tried = '{pika}' returning ''");
    assert_string_equal(state_of(clip), "sent runway");
    assert_string_equal(ask(db, "select tried from clips"), "{pika}");
}

/* Two look for what is lost, in vain, and the other has found that it may be sent anew. */
static void test_looked_for_twice_at_a_time(void **state)
{
    (void)state;
    const char *clip = lose_at_luma(), *next = same_passage(10000, 0);
    change(db, "update clips set sends = sends + 1"); /* its list does not have it */
    look_meanwhile(next, false, "update clips set lost = false where lost returning ''");
    assert_string_equal(state_of(clip), "failed luma");
    assert_string_equal(state_of(next), "sent luma");
}

/* It has called back, and its film is here, before its list is read; which has it, or cannot be read. */
static void test_told_while_it_is_looked_for(void **state)
{
    (void)state;
    static const char *const lists[] = {"", "garbage\n"};
    for (size_t i = 0; i < ST_COUNT(lists); i++) {
        setup(NULL);
        use("luma");
        const char *clip = plan(1);
        write_file("faults", "reset\n");
        assert_int_equal(step(clip), 0);
        assert_string_equal(state_of(clip), "unknown luma");
        write_file("faults", lists[i]);
        look_meanwhile(clip, false, "update clips set state = 'done', provider_ref = 'g-1' returning ''");
        assert_string_equal(state_of(clip), "done luma");
        assert_string_equal(ask(db, "select provider_ref || polls from clips"), "g-10");
    }
    /* Or has only named it; whose job would leave that to the one that is looking, since it was killed when it sent. */
    setup(NULL);
    const char *clip = plan(1);
    assert_int_equal(step(clip), 0);
    change(db, "truncate jobs cascade");
    change(db, "update clips set state = 'sending', provider_ref = null");
    write_file("faults", "garbage\n");
    look_meanwhile(clip, false, "update clips set provider_ref = 'g-1' returning ''");
    assert_non_null(ask(db, "select 1 from jobs where name = 'clip' and unique_key = $1 and run_at <= now()", clip));
    assert_int_equal(step(clip), 0);
    assert_string_equal(state_of(clip), "sent luma");
}

/* A new key of fal's, which its address has from now on. */
static const struct st_key *fal_key_new(void)
{
    static struct st_arena forever;
    const char *const argv[] = {"openssl", "genpkey", "-algorithm", "ed25519", "-out", in_dir("fal.pem"), NULL};
    struct st_spawn_result made;
    struct st_key *key;
    const char *why;
    assert_int_equal(st_spawn(&arena, &(struct st_spawn){.argv = argv, .timeout_us = 60 * ST_SECOND}, &made), 0);
    assert_int_equal(st_key_load(&forever, in_dir("fal.pem"), &key, &why), 0);
    json_t *jwk = json_loads(st_key_jwk(key), 0, NULL);
    json_t *bare =
        json_pack("{s:[{s:s, s:s, s:O}]}", "keys", "kty", "OKP", "crv", "Ed25519", "x", json_object_get(jwk, "x"));
    write_file("jwks.json", st_json_text(&arena, st_json_keep(&arena, bare)));
    json_decref(jwk);
    return key;
}

static struct caller signed_by(const struct st_key *key, const char *token, const char *body, int64_t seconds_from_now)
{
    const char *at = st_i64(&arena, st_now() / ST_SECOND + seconds_from_now);
    const char *text = st_printf(&arena, "r-1\nu-1\n%s\n%s", at, st_sha256_hex(&arena, body, strlen(body)));
    const unsigned char *signature;
    size_t len;
    assert_int_equal(st_key_sign(key, &arena, text, strlen(text), &signature, &len), 0);
    return (struct caller){token, body, "r-1", "u-1", at, st_hex(&arena, signature, len)};
}

static int run_keys(struct st_call *call, void *ctx)
{
    (void)ctx;
    return video_fetch_keys(call);
}

/* What the job that was asked for does; false: it was not asked for. */
static bool keys_are_fetched(void)
{
    struct st_call call;
    if (!ask(db, "select 1 from jobs where name = 'film_keys'"))
        return false;
    change(db, "delete from jobs where name = 'film_keys'");
    st_call_init(&call, &edge, "film_keys");
    call.body = st_json_keep(&arena, json_pack("{s:s}", "provider", "pika"));
    int r = st_call_transact(&call, run_keys, NULL);
    if (r < 0)
        fail_msg("%s", st_call_error(&call, r));
    st_arena_reset(&edge.arena);
    return true;
}

#define OF_FAL "{\"request_id\": \"r-1\", \"status\": \"OK\", \"payload\": {\"video\": {\"url\": \"https://f/x\"}}}"

#define OF_FAL_UNSAID                                                                                                  \
    "{\"request_id\": \"r-1\", \"status\": \"OK\", \"payload\": null, \"payload_error\": \"not serialisable\"}"

static void test_signed_call_back(void **state)
{
    (void)state;
    const struct st_key *other = fal_key_new(), *key = fal_key_new();
    use("pika");
    const char *clip = plan(1);
    assert_int_equal(step(clip), 0);
    const char *token = token_given();
    struct caller right = signed_by(key, token, OF_FAL, -200);
    assert_int_equal(call_back(clip, &right), 503); /* it will call again */
    assert_true(keys_are_fetched());
    struct caller forged[] = {
        {.token = token, .body = OF_FAL},
        signed_by(other, token, OF_FAL, 0),
        signed_by(key, token, OF_FAL, -310),
        signed_by(key, token, OF_FAL, 310),
        right,
        right,
        right,
        right,
        right,
        right,
    };
    forged[4].body =
        "{\"request_id\": \"r-1\", \"status\": \"OK\", \"payload\": {\"video\": {\"url\": \"https://e/x\"}}}";
    forged[5].user = "u-2";
    forged[6].request = "r-2";
    forged[7].time = st_printf(&arena, "%s ", right.time);
    forged[8].signature = st_strndup(&arena, right.signature, 126);
    forged[9].signature = "x";
    for (size_t i = 0; i < ST_COUNT(forged); i++)
        if (call_back(clip, &forged[i]) != 403)
            fail_msg("forgery %zu was believed", i);
    assert_false(is_looked_at());
    assert_false(keys_are_fetched()); /* those that are here have just come */
    assert_int_equal(call_back(clip, &right), 200);
    assert_true(is_looked_at());
    assert_int_equal(call_back(clip, &right), 200); /* replayed */
    struct caller again = signed_by(key, token, OF_FAL, 0);
    assert_int_equal(call_back(clip, &again), 200); /* delivered again */
    assert_false(is_looked_at());
    change(db, "truncate clip_calls");
    struct caller unsaid = signed_by(key, token, OF_FAL_UNSAID, 0);
    assert_int_equal(call_back(clip, &unsaid), 200);
    assert_true(is_looked_at());
    change(db, "update clips set provider = 'luma'"); /* who has turned to somebody else is not disturbed */
    assert_int_equal(call_back(clip, &again), 404);
}

static void test_keys_change(void **state)
{
    (void)state;
    fal_key_new();
    use("pika");
    const char *clip = plan(1);
    assert_int_equal(step(clip), 0);
    assert_true(keys_are_fetched());
    struct caller fresh = signed_by(fal_key_new(), token_given(), OF_FAL, 0);
    assert_int_equal(call_back(clip, &fresh), 403);
    assert_false(keys_are_fetched());
    change(db, "update film_keys set fetched_at = now() - interval '2 minutes'");
    assert_int_equal(call_back(clip, &fresh), 403);
    assert_true(keys_are_fetched());
    assert_int_equal(call_back(clip, &fresh), 200);
    change(db, "truncate clip_calls");
    change(db, "update film_keys set fetched_at = now() - interval '25 hours'");
    assert_int_equal(call_back(clip, &fresh), 503); /* they are kept for a day */
    assert_true(keys_are_fetched());
    assert_int_equal(call_back(clip, &fresh), 200);
    change(db, "delete from clips");
    plan(1);
    assert_int_equal(step(ask(db, "select clip_id from clips")), 0);
    assert_false(keys_are_fetched()); /* half a day old at most */
}

/* It calls back, by its name, before its answer is there; which then is lost. */
static void test_call_back_while_sending(void **state)
{
    (void)state;
    const struct st_key *key = fal_key_new();
    pthread_t sending;
    void *r;
    use("pika runway");
    const char *clip = plan(1), *keys = text_of("jwks.json");
    assert_non_null(ask(db, "insert into film_keys (provider, keys) values ('pika', $1) returning provider", keys));
    write_file("faults", "held\n");
    write_file("held", "");
    void *body = st_json_keep(&arena, json_pack("{s:s}", "clipId", clip));
    assert_int_equal(pthread_create(&sending, NULL, told_step, body), 0);
    assert_true(wait_for(strstr(text_of("callbacks"), "token=") != NULL));
    struct caller fal = signed_by(key, token_given(), OF_FAL, 0);
    assert_int_equal(call_back(clip, &fal), 200);
    assert_true(is_looked_at());
    assert_int_equal(unlink(in_dir("held")), 0);
    assert_int_equal(pthread_join(sending, &r), 0);
    assert_null(r);
    st_arena_reset(&worker.arena);
    assert_int_equal(step(clip), 0);
    assert_string_equal(state_of(clip), "sent pika");
    assert_string_equal(ask(db, "select provider_ref from clips"), "r-1");
    assert_int_equal(submissions(), 1);
    /* The same, but the daemon is killed before there is an answer. */
    change(db, "update clips set state = 'sending'");
    assert_int_equal(step(clip), 0);
    assert_string_equal(state_of(clip), "sent pika");
    /* Or the answer is lost first. */
    change(db, "update clips set state = 'unknown', provider_ref = null");
    change(db, "truncate clip_calls");
    assert_int_equal(step(clip), 0);
    assert_string_equal(state_of(clip), "unknown pika");
    assert_int_equal(call_back(clip, &fal), 200);
    assert_true(is_looked_at());
    assert_int_equal(step_as(clip, true), 0);
    assert_string_equal(state_of(clip), "sent pika");
    assert_int_equal(submissions(), 1);
}

int main(int argc, char **argv)
{
    (void)argc;
    world_start(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_call_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_call_back_of_what_was_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sent_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_looked_at_twice_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_looked_for_twice_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_told_while_it_is_looked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signed_call_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys_change, setup, teardown),
        cmocka_unit_test_setup_teardown(test_call_back_while_sending, setup, teardown),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
