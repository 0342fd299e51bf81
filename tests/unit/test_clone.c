/* Voices that a provider learns: sent once, whatever breaks; found again; forgotten; what its refusals stand for. */
#include "../lib/backbone.h"
#include "../lib/child.h"
#include "../lib/files.h"

#include "narration/narration.h"
#include "narration/remote.h"

#define USER    "0193c7e2-1111-7111-8111-111111111111"
#define SAMPLE  "0193c7e2-2222-7111-8111-111111111111"
#define PROFILE "0193c7e2-3333-7111-8111-111111111111"

enum { LOOKS = 5 };

static const struct st_option options[] = {{"elevenlabs_url", ""},
                                           {"elevenlabs_key_file", ""},
                                           {"elevenlabs_speech_price", "180"},
                                           {"speech_tiers", "free:embedded,elevenlabs"},
                                           {0}};
static const struct st_job_kind jobs[] = {{.name = "keep_voice", .handler = narration_keep_voice}, {0}};
static const struct st_service service = {.name = "narration", .jobs = jobs};

static struct st_pg *db;
static struct daemon *narration;
static struct st_worker worker;
static pid_t server;

#define submissions() count("log", "POST /v1/voices/add\n")
#define voices()      count("voices", "\n")

static void with_key(bool there)
{
    const char *why;
    use_database("clone");
    setenv("ST_ELEVENLABS_KEY_FILE", there ? in_dir("key") : "", 1);
    assert_int_equal(st_options_load(options, &why), 0);
}

static int put_sample(struct st_call *call, void *ctx)
{
    (void)ctx;
    return st_object_put(call, "narration/" SAMPLE "/sample.mp3", "\xff\xfb sound", 8);
}

static int begin(void **state)
{
    (void)state;
    static struct st_arena forever;
    const char *why = "";
    const char *dir = getenv("ST_TEST_DIR");
    db = database_of("narration", "clone");
    write_file("key", "secret-key\n");
    setenv("ST_ELEVENLABS_URL",
           st_printf(&arena, "http://127.0.0.1:%d", child_start_stand_in(&server, "ElevenLabs", dir)), 1);
    with_key(true);
    narration = daemon_new(&service);
    if (st_registry_load(&forever, "config/events", &narration->run.types, &narration->run.n_types, &why) < 0)
        fail_msg("%s", why);
    st_worker_init(&worker, &narration->run, "test");
    struct st_call call;
    st_call_init(&call, &worker, "put");
    assert_int_equal(st_call_transact(&call, put_sample, NULL), 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    child_stop(&server);
    st_worker_release(&worker);
    daemon_stop(narration, 0);
    db = st_pg_free(db);
    return 0;
}

static int run(struct st_call *call, void *ctx)
{
    (void)ctx;
    return narration_keep_voice(call);
}

/* One run of the voice's job; voice: what the payload knows of it. */
static int step_with(const char *voice)
{
    struct st_call call;
    st_call_init(&call, &worker, "keep_voice");
    call.body = st_json_keep(&arena, json_pack("{s:s, s:s*}", "profileId", PROFILE, "voice", voice));
    int r = st_call_transact(&call, run, NULL);
    st_arena_reset(&worker.arena);
    return r;
}
#define step() assert_int_equal(step_with(NULL), 0)

static const char *status(void)
{
    return ask(db, "select status from voice_profiles");
}

static void set(const char *what)
{
    (void)ask(db, "update voice_profiles set status = $1", what);
}

static int setup(void **state)
{
    (void)state;
    with_key(true);
    change(db, "truncate voice_profiles, withdrawn_voices, jobs, events, aggregates, providers, provider_calls, "
               "provider_totals cascade");
    change(db, "insert into voice_profiles (profile_id, user_id, sample_id, name, scope, consent_version, "
               "consent_sha256) values ('" PROFILE "', '" USER "', '" SAMPLE "', 'Mine', 'own', '1', '')");
    write_file("faults", "");
    write_file("log", "");
    write_file("slots", "9");
    return 0;
}

static int run_schedule(struct st_call *call, void *ctx)
{
    (void)ctx;
    return narration_schedule_voices(call);
}

/* Of the jobs that the schedule adds: for whom they are. */
static const char *scheduled(void)
{
    struct st_call call;
    change(db, "truncate jobs");
    st_call_init(&call, &worker, "keep_voices");
    assert_int_equal(st_call_transact(&call, run_schedule, NULL), 0);
    st_arena_reset(&worker.arena);
    return ask(db,
               "select string_agg((payload->>'profileId') || coalesce(' ' || (payload->>'voice'), ''), ',') from jobs");
}

/* The provider keeps nothing from one test to the next. */
static int teardown(void **state)
{
    (void)state;
    with_key(true);
    write_file("faults", "");
    set("withdrawn");
    step();
    assert_int_equal(voices(), 0);
    st_arena_reset(&worker.arena);
    st_arena_release(&arena);
    return 0;
}

static void test_learnt(void **state)
{
    (void)state;
    step();
    assert_string_equal(status(), "ready");
    assert_int_equal(submissions(), 1);
    assert_int_equal(count("voices", "storytelling-" PROFILE), 1);
    assert_string_equal(ask(db, "select payload->>'providerVoiceId' from events where event_type = 'VoiceCloned'"),
                        ask(db, "select provider_voice from voice_profiles"));
    step();
    assert_int_equal(submissions(), 1);
}

static void test_the_answer_is_lost(void **state)
{
    (void)state;
    static const char *const faults[] = {"reset", "garbage"};
    for (size_t i = 0; i < ST_COUNT(faults); i++) {
        setup(state);
        write_file("faults", faults[i]);
        step();
        assert_string_equal(status(), "sent");
        assert_string_equal(ask(db, "select count(*) from jobs where name = 'keep_voice'"), "1");
        step();
        assert_string_equal(status(), "ready");
        assert_int_equal(submissions(), 1);
        set("withdrawn");
        step();
    }
}

static void test_it_was_not_done(void **state)
{
    (void)state;
    write_file("faults", "drop");
    step();
    for (int i = 0; i < LOOKS; i++) {
        assert_string_equal(status(), "sent");
        step();
    }
    assert_string_equal(status(), "waiting");
    assert_int_equal(submissions(), 1);
    step();
    assert_string_equal(status(), "ready");
    assert_int_equal(submissions(), 2);
}

static void test_it_was_done_after_all(void **state)
{
    (void)state;
    write_file("faults", "reset");
    step();
    set("waiting"); /* it came too late to be found */
    step();
    assert_string_equal(status(), "ready");
    assert_int_equal(voices(), 2);
    set("sent"); /* and by the next look there are two */
    step();
    assert_string_equal(status(), "ready");
    assert_int_equal(voices(), 1);
}

static void test_killed_before_it_was_sent(void **state)
{
    (void)state;
    set("sent");
    step();
    assert_string_equal(status(), "sent");
    assert_int_equal(submissions(), 0);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *faults, *status;
    } cases[] = {{"401\n", "waiting"}, {"403\n", "waiting"}, {"422\n", "refused"}, {"400\n", "refused"},
                 {"402\n", "waiting"}, {"500\n", "sent"},    {"503\n", "sent"},    {"429\n429\n429\n", "waiting"}};
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        setup(state);
        write_file("faults", cases[i].faults);
        step();
        if (!st_streq(status(), cases[i].status))
            fail_msg("%s: %s", cases[i].faults, status());
        bool told = ask(db, "select reason from voice_profiles where status <> 'sent'") != NULL;
        assert_int_equal(told, !st_streq(cases[i].status, "sent"));
        assert_int_equal(voices(), 0);
    }
}

static void test_no_place(void **state)
{
    (void)state;
    write_file("slots", "0");
    step();
    assert_string_equal(status(), "waiting");
    assert_non_null(strstr(ask(db, "select reason from voice_profiles"), "no place"));
    write_file("slots", "1");
    step();
    assert_string_equal(status(), "ready");
}

static void test_taken_back(void **state)
{
    (void)state;
    write_file("faults", "reset"); /* before the answer */
    step();
    set("withdrawn");
    write_file("faults", "ok\n500\n500\n500\n");
    assert_int_equal(step_with(NULL), ST_E_UNAVAILABLE);
    assert_int_equal(voices(), 1);
    step();
    assert_int_equal(voices(), 0);
    step(); /* again, it is no error */
    setup(state);
    step();
    const char *voice = ask(db, "select provider_voice from voice_profiles");
    change(db, "delete from voice_profiles"); /* with the account */
    assert_int_equal(step_with(voice), 0);
    assert_int_equal(voices(), 0);
}

/* A request that was on its way is carried out late, and there is no account any more: it is looked for again. */
static void test_taken_back_for_good(void **state)
{
    (void)state;
    assert_string_equal(scheduled(), PROFILE);
    write_file("faults", "reset"); /* before the answer: the voice is there */
    step();
    assert_int_equal(voices(), 1);
    change(db, "insert into withdrawn_voices values ('" PROFILE "', 'gone')");
    change(db, "delete from voice_profiles");
    assert_string_equal(scheduled(), PROFILE " gone");
    assert_int_equal(step_with("gone"), 0);
    assert_int_equal(voices(), 0);
    assert_string_equal(scheduled(), PROFILE " gone"); /* it may be on its way yet */
    change(db, "update withdrawn_voices set withdrawn_at = now() - interval '16 minutes'");
    assert_int_equal(step_with("gone"), 0);
    assert_null(scheduled());
}

/* Only a voice that the provider does not have is gone, and none that it lists; of others any refusal says so. */
static void test_not_forgotten(void **state)
{
    static const struct {
        const char *faults;
        int error;
        const char *gone; /* the next time, when it does not list it any more */
    } cases[] = {{"ok\n400\n", ST_E_UNPROCESSABLE, ""},
                 {"ok\n400:invalid_parameters\n", ST_E_UNPROCESSABLE, "ok\n400\n"},
                 {"ok\n404\n", ST_E_BAD_GATEWAY, "ok\n404\n"},
                 {"ok\n400:voice_not_found\n", 0, "ok\n404:not_found\n"},
                 {"ok\n404:voice_not_found\n", 0, "ok\n400:voice_not_found\n"}};
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        setup(state);
        step();
        set("withdrawn");
        change(db, "insert into withdrawn_voices select profile_id, provider_voice, now() - interval '16 minutes' "
                   "from voice_profiles");
        write_file("faults", cases[i].faults);
        if (step_with(NULL) != cases[i].error)
            fail_msg("%s", cases[i].faults);
        assert_int_equal(voices(), 1);
        assert_non_null(ask(db, "select provider_voice from voice_profiles"));
        assert_non_null(scheduled());
        step();
        assert_int_equal(voices(), 0);
        assert_non_null(scheduled());
        write_file("faults", "ok\n401\n");
        assert_int_equal(step_with(NULL), ST_E_BAD_GATEWAY); /* it lists none, and does not say whether there is one */
        assert_non_null(ask(db, "select provider_voice from voice_profiles"));
        write_file("faults", cases[i].gone);
        step();
        assert_null(ask(db, "select provider_voice from voice_profiles"));
        assert_null(scheduled());
    }
}

static void test_no_provider(void **state)
{
    (void)state;
    with_key(false);
    step();
    assert_string_equal(status(), "waiting");
    assert_int_equal(step_with("somevoice"), 0);
    set("withdrawn");
    step();
    assert_int_equal(step_with("somevoice"), ST_E_UNAVAILABLE); /* somebody has it, and cannot be asked */
}

int main(int argc, char **argv)
{
    (void)argc;
    world_start(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_learnt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_answer_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_it_was_not_done, setup, teardown),
        cmocka_unit_test_setup_teardown(test_it_was_done_after_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_before_it_was_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_taken_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_taken_back_for_good, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_provider, setup, teardown),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
