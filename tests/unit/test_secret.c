/* Sealed members of events: what is stored, who can read it, what happens without the key or without identity. */
#include "../lib/backbone.h"

#include "identity/identity.h"
#include "io/crypto.h"
#include "io/http_client.h"
#include "io/token.h"
#include "svc/secret.h"

#define EDGE_KEY "0123456789abcdef0123456789abcdef"
#define ADDRESS  "ada@example.org"
#define MASTER_1 "1111111111111111111111111111111111111111111111111111111111111111"
#define MASTER_2 "22222222222222222222222222222222222222222222222222222222222222Ff"

static struct st_pg *db;
static struct daemon *identity, *alpha;
static struct st_worker keeper, worker; /* of identity's socket, and of the daemon that asks */
static struct st_http_server *server;
static const char *user, *masters;

/* --- the cipher --- */

static void test_sealing(void **state)
{
    (void)state;
    unsigned char key[ST_SEAL_KEY], other[ST_SEAL_KEY];
    size_t len = 99;
    st_random(key, sizeof(key));
    memcpy(other, key, sizeof(key));
    other[31] ^= 1;
    const char *text = "\"" ADDRESS "\"", *sealed = st_seal(&arena, key, "event\nemail", text, strlen(text));
    const size_t n = strlen(sealed);
    assert_null(strstr(sealed, "ada"));
    assert_string_equal(st_unseal(&arena, key, "event\nemail", sealed, n, &len), text);
    assert_int_equal(len, strlen(text));
    assert_string_not_equal(st_seal(&arena, key, "event\nemail", text, strlen(text)), sealed); /* a nonce each */
    assert_null(st_unseal(&arena, other, "event\nemail", sealed, n, &len));
    assert_null(st_unseal(&arena, key, "event\nphone", sealed, n, &len));
    assert_null(st_unseal(&arena, key, "", sealed, n, &len));
    for (size_t cut = 0; cut < n; cut++)
        assert_null(st_unseal(&arena, key, "event\nemail", sealed, cut, &len));
    unsigned char *raw = st_b64url_decode(&arena, sealed, n, &len);
    for (size_t bit = 0; bit < len * 8; bit++) {
        raw[bit / 8] ^= (unsigned char)(1 << bit % 8);
        const char *changed = st_b64url(&arena, raw, len);
        size_t ignored;
        assert_null(st_unseal(&arena, key, "event\nemail", changed, strlen(changed), &ignored));
        raw[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    sealed = st_seal(&arena, key, "", "", 0);
    assert_string_equal(st_unseal(&arena, key, "", sealed, strlen(sealed), &len), "");
    assert_int_equal(len, 0);
}

/* --- the world: identity on its socket, and a daemon that emits and handles --- */

static const char *const sensitive[] = {"email", "phone", NULL};
static struct st_event_type told[] = {
    {.type = "PersonTold",
     .topic = "person.told",
     .aggregate_type = "person",
     .version = "1.0.0",
     .major = 1,
     .service = "alpha",
     .sensitive = sensitive},
    {.type = "PersonTold2",
     .topic = "person.told2",
     .aggregate_type = "person",
     .version = "1.0.0",
     .major = 1,
     .service = "alpha",
     .sensitive = sensitive,
     .subject = "hostId"},
};
static const struct st_option options[] = {{"master_key_file", NULL}, {0}};
static const struct st_job_kind jobs[] = {{.name = "rewrap_keys", .handler = identity_rewrap_keys}, {0}};
static const struct st_service identity_service = {.name = "identity", .jobs = jobs, .user_key = identity_user_key};
static const struct st_service alpha_service = {.name = "alpha"};
static const struct st_subscription clear = {.type = "PersonTold", .sensitive = true}, veiled = {.type = "PersonTold"};

static void serve(void *ctx, int thread, struct st_http_request *req, struct st_http_response *res)
{
    (void)ctx, (void)thread;
    if (!st_secret_serve(&keeper, req, res))
        res->status = 404;
    st_arena_reset(&keeper.arena);
}

static void identity_up(void)
{
    const struct st_http_options http = {.socket_path = st_printf(&arena, "%s/identity.sock", getenv("ST_TEST_DIR")),
                                         .threads = 1,
                                         .body_max = 1024,
                                         .handler = serve};
    assert_int_equal(st_http_server_start(&http, &server), 0);
}

static void identity_down(void)
{
    if (server)
        st_http_server_stop(server, 1000);
    server = NULL;
}

static int load_masters_body(struct st_call *call, void *ctx)
{
    (void)ctx;
    return identity_load_masters(call);
}

/* As identity does at its start. */
static int load_masters(const char *text, const char **ret_why)
{
    struct st_call call;
    FILE *f = fopen(masters, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    st_call_init(&call, &keeper, "start");
    int r = st_call_transact(&call, load_masters_body, NULL);
    *ret_why = r < 0 ? st_strdup(&arena, st_call_error(&call, r)) : "";
    st_arena_reset(&keeper.arena);
    return r;
}

static void use_masters(const char *text)
{
    const char *why;
    if (load_masters(text, &why) < 0)
        fail_msg("%s", why);
    st_secret_forget(NULL);
}

static struct daemon *daemon_of(const struct st_service *service)
{
    struct daemon *d = daemon_new(service);
    d->run.types = told;
    d->run.n_types = (int)ST_COUNT(told);
    d->run.edge_key_len = strlen(EDGE_KEY);
    memcpy(d->run.edge_key, EDGE_KEY, strlen(EDGE_KEY));
    return d;
}

static void schema_start(void)
{
    static struct st_arena forever;
    const char *pointer, *why;
    json_t *schema = st_json_keep(&forever, json_pack("{s:s, s:[s]}", "type", "object", "required", "email"));
    for (size_t i = 0; i < ST_COUNT(told); i++)
        if (!told[i].payload && st_schema_compile(&forever, schema, "", &told[i].payload, &pointer, &why) < 0)
            abort();
}

static int begin(void **state)
{
    (void)state;
    schema_start();
    db = database_of("identity", "alpha");
    return 0;
}

static int end(void **state)
{
    (void)state;
    db = st_pg_free(db);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    const char *why = "";
    change(db, "truncate events, aggregates, user_keys, jobs");
    change(db, "truncate credentials");
    masters = st_printf(&arena, "%s/master.key", getenv("ST_TEST_DIR"));
    setenv("ST_MASTER_KEY_FILE", masters, 1);
    use_database("alpha");
    if (st_options_load(options, &why) < 0)
        fail_msg("%s", why);
    identity = daemon_of(&identity_service);
    alpha = daemon_of(&alpha_service);
    st_worker_init(&keeper, &identity->run, "keeper");
    st_worker_init(&worker, &alpha->run, "worker");
    use_masters(MASTER_1 "\n");
    identity_up();
    user = st_new_id(&arena);
    (void)ask(db, "insert into credentials (user_id, password_hash) values ($1, '')", user);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    st_worker_release(&worker);
    identity_down();
    st_worker_release(&keeper);
    daemon_stop(identity, 0);
    daemon_stop(alpha, 0);
    st_arena_release(&arena);
    return 0;
}

/* --- emitting and reading back --- */

static int emit_body(struct st_call *call, void *ctx)
{
    st_emit(call, call->name, "thing", json_deep_copy(ctx));
    return 0;
}

static const char *last_error;

static int tell(const char *type, json_t *payload)
{
    struct st_call call;
    st_json_keep(&arena, payload);
    st_call_init(&call, &worker, type);
    call.correlation_id = "c-1";
    int r = st_call_transact(&call, emit_body, payload);
    last_error = r < 0 ? st_strdup(&arena, st_call_error(&call, r)) : "";
    st_arena_reset(&worker.arena);
    return r;
}

static json_t *person(const char *id)
{
    return json_pack("{s:s, s:s, s:s}", "userId", id, "email", ADDRESS, "name", "Ada");
}

struct seen {
    int r;
    bool gone;
    json_t *body;
};

/* The newest event, as a handler gets it; its id and the place of its sealed member can be told otherwise. */
static struct seen read_back(const struct st_subscription *s, const char *event_id, const char *from, const char *to)
{
    struct st_call call;
    json_t *body;
    const char *why, *text = ask(db, "select payload from events order by seq desc limit 1");
    if (st_json_parse(&arena, text, strlen(text), 8, &body, &why) < 0)
        fail_msg("%s", why);
    if (from) {
        json_object_set(body, to, json_object_get(body, from));
        json_object_del(body, from);
    }
    const struct st_event event = {.id = event_id ? event_id : ask(db, "select event_id from events order by seq desc"),
                                   .type = "PersonTold",
                                   .version = "1.0.0"};
    st_call_init(&call, &worker, "PersonTold");
    call.event = &event;
    call.body = body;
    int r = st_secret_open(&call, s);
    last_error = r < 0 ? st_strdup(&arena, st_call_error(&call, r)) : "";
    return (struct seen){r, call.user_gone, body};
}

static void check_reads(const char *want)
{
    struct seen s = read_back(&clear, NULL, NULL, NULL);
    if (s.r < 0)
        fail_msg("%s", last_error);
    const char *email = st_str(s.body, "email");
    assert_string_equal(email ? email : "none", want ? want : "none");
    assert_string_equal(st_str(s.body, "name"), "Ada");
    assert_int_equal(s.gone, want == NULL);
}

static void test_what_is_stored(void **state)
{
    (void)state;
    assert_int_equal(tell("PersonTold", person(user)), 0);
    const char *text = ask(db, "select payload from events");
    assert_null(strstr(text, "ada"));
    assert_non_null(strstr(text, "\"name\": \"Ada\""));
    assert_string_equal(ask(db,
                            "select (payload->>'email') like 'enc:1:' || (select key_id from user_keys "
                            "where user_id = $1) || ':%' from events",
                            user),
                        "t");
    check_reads(ADDRESS);
    struct seen s = read_back(&veiled, NULL, NULL, NULL);
    assert_int_equal(s.r, 0);
    assert_null(json_object_get(s.body, "email")); /* who did not ask does not get it */
    assert_string_equal(st_str(s.body, "name"), "Ada");
    assert_false(s.gone);
}

static void test_a_sealed_member_stays_where_it_is(void **state)
{
    (void)state;
    assert_int_equal(tell("PersonTold", person(user)), 0);
    assert_int_equal(read_back(&clear, st_new_id(&arena), NULL, NULL).r, ST_E_INVALID);
    assert_int_equal(read_back(&clear, NULL, "email", "phone").r, ST_E_INVALID);
    assert_non_null(strstr(last_error, "phone"));
    change(db, "update events set payload = payload || '{\"email\": \"enc:1:nonsense\"}'");
    assert_int_equal(read_back(&clear, NULL, NULL, NULL).r, ST_E_INVALID);
    change(db, "update events set payload = payload || '{\"email\": \"ada@example.org\"}'"); /* of before */
    check_reads(ADDRESS);
}

static void test_whose_key_it_is(void **state)
{
    (void)state;
    const char *host = st_new_id(&arena);
    (void)ask(db, "insert into credentials (user_id, password_hash) values ($1, '')", host);
    json_t *about = json_pack("{s:s, s:s, s:s, s:[i]}", "hostId", host, "userId", user, "email", ADDRESS, "phone", 1);
    assert_int_equal(tell("PersonTold2", about), 0);
    assert_string_equal(ask(db, "select string_agg(user_id::text, ' ') from user_keys"), host);
    struct seen s = read_back(&clear, NULL, NULL, NULL);
    assert_int_equal(s.r, 0);
    assert_true(json_is_array(json_object_get(s.body, "phone"))); /* any value can be sealed */
    assert_int_equal(tell("PersonTold", json_pack("{s:s}", "email", ADDRESS)), ST_E_INTERNAL);
    assert_int_equal(tell("PersonTold", json_pack("{s:s, s:s}", "userId", "me", "email", ADDRESS)), ST_E_INTERNAL);
    assert_string_equal(ask(db, "select count(*) from events"), "1");
}

static void test_a_destroyed_key(void **state)
{
    (void)state;
    assert_int_equal(tell("PersonTold", person(user)), 0);
    change(db, "truncate credentials");
    change(db, "delete from user_keys");
    check_reads(ADDRESS); /* for minutes, where it was not told yet */
    st_secret_forget(user);
    check_reads(NULL);
    assert_int_equal(tell("PersonTold", person(user)), 0); /* and nobody makes another */
    assert_string_equal(ask(db, "select payload ? 'email' from events order by seq desc limit 1"), "f");
    assert_string_equal(ask(db, "select count(*) from user_keys"), "0");
}

static void test_identity_is_away(void **state)
{
    (void)state;
    assert_int_equal(tell("PersonTold", person(user)), 0);
    worker.identity = st_http_client_free(worker.identity);
    identity_down();
    assert_int_equal(tell("PersonTold", person(user)), 0); /* the key is at hand */
    check_reads(ADDRESS);
    st_secret_forget(NULL);
    atomic_store(&alpha->run.database_ok, true);
    assert_int_equal(tell("PersonTold", person(user)), ST_E_UNAVAILABLE);
    assert_non_null(strstr(last_error, "Identity"));
    assert_true(atomic_load(&alpha->run.database_ok));
    struct seen s = read_back(&clear, NULL, NULL, NULL);
    assert_int_equal(s.r, ST_E_UNAVAILABLE);
    assert_false(s.gone);
    assert_int_equal(read_back(&veiled, NULL, NULL, NULL).r, 0);
    assert_string_equal(ask(db, "select count(*) from events"), "2");
    identity_up();
    check_reads(ADDRESS);
}

static void test_rotation(void **state)
{
    (void)state;
    const char *why;
    struct st_call call;
    assert_int_equal(tell("PersonTold", person(user)), 0);
    const char *before = ask(db, "select key_id || wrapped_by || wrapped from user_keys");
    use_masters(MASTER_2 "\n" MASTER_1 "\n");
    check_reads(ADDRESS);
    st_call_init(&call, &keeper, "rewrap_keys");
    assert_int_equal(identity_rewrap_keys(&call), 0);
    st_arena_reset(&keeper.arena);
    assert_string_not_equal(ask(db, "select key_id || wrapped_by || wrapped from user_keys"), before);
    assert_string_equal(ask(db, "select count(*) from user_keys where rewrapped_at is null"), "0");
    use_masters(MASTER_2 "\n");
    check_reads(ADDRESS);
    use_masters(MASTER_1); /* the wrong one: that is trouble, and no destroyed key */
    struct seen s = read_back(&clear, NULL, NULL, NULL);
    assert_int_equal(s.r, ST_E_UNAVAILABLE);
    assert_non_null(st_str(s.body, "email"));
    assert_int_equal(tell("PersonTold", person(user)), ST_E_UNAVAILABLE);
    static const char *const bad[] = {"", "\n", "abc\n", MASTER_1 "0\n", MASTER_1 "\n" MASTER_2 "x\n", " " MASTER_1};
    for (size_t i = 0; i < ST_COUNT(bad); i++)
        assert_int_equal(load_masters(bad[i], &why), ST_E_INVALID);
}

/* Who may ask. */
static int status_of(const char *operation, const char *path, const char *key, int64_t age)
{
    char sig[ST_EDGE_SIGNATURE_LEN];
    const char *why, *time = st_i64(&arena, st_now() / ST_SECOND - age);
    const struct st_edge_identity id = {.method = "GET",
                                        .uri = path,
                                        .operation = operation,
                                        .user = "",
                                        .session = "",
                                        .roles = "",
                                        .tier = "",
                                        .correlation_id = "c",
                                        .address = "",
                                        .time = time};
    st_edge_sign(key, strlen(key), &id, sig);
    const char *const headers[] = {st_printf(&arena, "X-Api-Operation: %s", operation), "X-Api-Correlation-Id: c",
                                   st_printf(&arena, "X-Api-Time: %s", time),
                                   st_printf(&arena, "X-Api-Signature: %s", sig), NULL};
    const struct st_http_call request = {.method = "GET",
                                         .url = st_printf(&arena, "http://identity%s", path),
                                         .headers = *key ? headers : NULL,
                                         .timeout_ms = 30000,
                                         .answer_max = 4096};
    struct st_http_answer answer;
    struct st_http_client *client =
        st_http_client_new(NULL, st_printf(&arena, "%s/identity.sock", getenv("ST_TEST_DIR")));
    int r = st_http_client_do(client, &request, &arena, &answer, &why);
    st_http_client_free(client);
    assert_int_equal(r, 0);
    return answer.status;
}

static void test_who_may_ask(void **state)
{
    (void)state;
    const char *path = st_printf(&arena, "/internal/user-keys/of/%s", user);
    assert_int_equal(status_of("internal", path, "", 0), 401);
    assert_int_equal(status_of("internal", path, "fedcba9876543210fedcba9876543210", 0), 401);
    assert_int_equal(status_of("getMe", path, EDGE_KEY, 0), 401);
    assert_int_equal(status_of("internal", path, EDGE_KEY, 3600), 401);
    assert_int_equal(status_of("internal", path, EDGE_KEY, 0), 200);
    assert_int_equal(status_of("internal", "/internal/user-keys/of/x", EDGE_KEY, 0), 400);
    assert_int_equal(
        status_of("internal", st_printf(&arena, "/internal/user-keys/of/%s", st_new_id(&arena)), EDGE_KEY, 0), 410);
    assert_int_equal(status_of("internal", st_printf(&arena, "/internal/user-keys/%s", st_new_id(&arena)), EDGE_KEY, 0),
                     410);
}

int main(int argc, char **argv)
{
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sealing),
        cmocka_unit_test_setup_teardown(test_what_is_stored, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_sealed_member_stays_where_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(test_whose_key_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_destroyed_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_identity_is_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_may_ask, setup, teardown),
    };
    world_start(argv);
    return cmocka_run_group_tests(tests, begin, end);
}
