/*
 * Which of a story's narrations is the newest, whoever begins them, and by whatever clock; and in which order rows are
 * locked.
 */
#include "../lib/backbone.h"

#include "narration/narration.h"

#define STORY  "0193c7e2-1111-7111-8111-111111111111"
#define AUTHOR "0193c7e2-2222-7111-8111-111111111111"
#define TEXT   "0193c7e2-3333-7111-8111-111111111111" /* analyses: of the story as it was, */
#define EDIT   "0193c7e2-3333-7111-8111-222222222222" /* and as it is */
#define READER "0193c7e2-5555-7111-8111-111111111111"
#define OTHER  "0193c7e2-0000-7111-8111-111111111111" /* a story of the same author */
#define AHEAD  "ffffffff-0000-7000-8000-000000000000" /* a narration that was begun where the clock is ahead */

static const struct st_job_kind jobs[] = {{.name = "speak"}, {.name = "speak_long"}, {.name = "remove_files"}, {0}};
static const struct st_service service = {.name = "narration", .jobs = jobs};

static struct st_pg *db;
static struct daemon *narration;
static struct st_worker worker;

static int begin(void **state)
{
    (void)state;
    static struct st_arena forever;
    const char *why = "";
    db = database_of("narration", "narration");
    use_database("narration");
    narration = daemon_new(&service);
    if (st_registry_load(&forever, "config/events", &narration->run.types, &narration->run.n_types, &why) < 0)
        fail_msg("%s", why);
    memset(narration->run.edge_key, 'k', narration->run.edge_key_len = 32);
    st_worker_init(&worker, &narration->run, "test");
    return 0;
}

static int end(void **state)
{
    (void)state;
    st_worker_release(&worker);
    daemon_stop(narration, 0);
    db = st_pg_free(db);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    change(db, "truncate stories cascade");
    change(db, "truncate jobs, events, aggregates, blocks");
    change(db, "insert into stories (story_id, author_id, title) values ('" STORY "', '" AUTHOR "', 'Night')");
    change(db, "insert into narrations (narration_id, story_id, analysis_id, language, characters, segments) values "
               "('0193c7e2-4444-7111-8111-111111111111', '" STORY "', '" TEXT "', 'en', '[]', '[]')");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    st_arena_reset(&worker.arena);
    st_arena_release(&arena);
    return 0;
}

/* --- a narration is begun, in a thread of its own ---------------------------------------------------------------- */

static const struct st_event cancelled = {.aggregate_id = "0193c7e2-6666-7111-8111-111111111111"}; /* a collaboration */

struct start {
    st_handler *handler;
    const char *user; /* of whom the event tells */
    bool ahead;       /* where the clock is */
    pthread_t thread;
    struct st_worker worker;
    struct st_call call;
    atomic_bool begun, may_commit, over;
    int r;
};

static int begin_it(struct st_call *call, void *ctx)
{
    struct start *s = ctx;
    struct st_rows *rows;
    int r = s->handler(call);
    if (s->ahead) {
        st_exec(call,
                "update jobs set unique_key = $1, payload = jsonb_build_object('narrationId', $1::text) "
                "where unique_key = (select narration_id::text from narrations where created_at = now())",
                AHEAD);
        st_exec(call, "update narrations set narration_id = $1 where created_at = now()", AHEAD);
    }
    if (r == 0)
        r = st_rows(call, &rows, "select"); /* all of that was done */
    atomic_store(&s->begun, true);
    if (!wait_for(atomic_load(&s->may_commit)))
        abort();
    return r;
}

static void *start_run(void *arg)
{
    struct start *s = arg;
    s->r = st_call_transact(&s->call, begin_it, s);
    atomic_store(&s->over, true);
    return NULL;
}

/* Somebody asks for it, or the story was edited. */
static void start_begin(struct start *s)
{
    st_worker_init(&s->worker, &narration->run, "other");
    st_call_init(&s->call, &s->worker, "start");
    s->call.user_id = AUTHOR;
    s->call.params = st_json_keep(&arena, json_pack("{s:s}", "storyId", STORY));
    s->call.body =
        st_json_keep(&arena, json_pack("{s:s, s:s*, s:s, s:s, s:[], s:[s]}", "storyId", STORY, "userId", s->user,
                                       "analysisId", EDIT, "language", "en", "segments", "participants", READER));
    s->call.event = &cancelled;
    assert_int_equal(pthread_create(&s->thread, NULL, start_run, s), 0);
}

static void start_end(struct start *s)
{
    atomic_store(&s->may_commit, true);
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    assert_int_equal(s->r, 0);
    st_worker_release(&s->worker);
}

/* The second comes when the first has not committed yet. */
static void start_both(struct start *first, struct start *second)
{
    atomic_store(&second->may_commit, true);
    start_begin(first);
    assert_true(wait_for(atomic_load(&first->begun)));
    start_begin(second);
    assert_true(wait_for(atomic_load(&second->over) ||
                         !st_streq(ask(db, "select count(*) from pg_locks where not granted"), "0")));
    start_end(first);
    start_end(second);
}

/* --- what comes of it -------------------------------------------------------------------------------------------- */

static int speak(struct st_call *call, void *ctx)
{
    (void)ctx;
    return narration_speak(call);
}

static int get(struct st_call *call, void *ctx)
{
    (void)ctx;
    return narration_get(call);
}

/* The one job that there is does its work: it finds that nothing more may be spoken, and says so of its narration. */
static const char *spoken(void)
{
    struct st_call call;
    assert_string_equal(ask(db, "select count(*) from jobs where ended is null"), "1");
    const char *id = ask(db, "select unique_key from jobs where ended is null");
    change(db, "insert into blocks values ('" AUTHOR "', now() + interval '1 day')");
    st_call_init(&call, &worker, "speak");
    call.body = st_json_keep(&arena, json_pack("{s:s}", "narrationId", id));
    assert_int_equal(st_call_transact(&call, speak, NULL), 0);
    st_arena_reset(&worker.arena);
    change(db, "truncate jobs, blocks");
    return id;
}

/* "failed <id>": what getNarration tells of the newest. */
static const char *told(void)
{
    struct st_call call;
    st_call_init(&call, &worker, "getNarration");
    call.params = st_json_keep(&arena, json_pack("{s:s}", "storyId", STORY));
    call.user_id = AUTHOR;
    assert_int_equal(st_call_transact(&call, get, NULL), 0);
    const json_t *n = call.p->reply ? call.p->reply : st_json_keep(&arena, json_loads(call.p->text, 0, NULL));
    const json_t *next = json_object_get(n, "next");
    const json_t *newest = next ? next : n;
    const char *ret = st_printf(&arena, "%s %s", st_str(newest, "status"), st_str(newest, "narrationId"));
    st_arena_reset(&worker.arena);
    return ret;
}

static void check_newest(const char *analysis)
{
    const char *id = spoken();
    assert_string_equal(told(), st_printf(&arena, "failed %s", id));
    assert_string_equal(ask(db, "select analysis_id from narrations where narration_id = $1", id), analysis);
}

static void test_two_at_once(void **state)
{
    for (int ahead = 0; ahead < 2; ahead++) {
        struct start first = {.handler = narration_again, .ahead = ahead}, second = {.handler = narration_again};
        setup(state);
        start_both(&first, &second);
        check_newest(TEXT);
    }
}

/* It is asked for while an edit arrives: the edit is narrated, and is what is narrated from then on. */
static void test_an_edit(void **state)
{
    for (int ahead = 0; ahead < 2; ahead++) {
        struct start edit = {.handler = narration_on_story_analyzed}, later = {.handler = narration_again};
        struct start asked = {.handler = narration_again, .ahead = ahead};
        setup(state);
        if (ahead)
            start_both(&asked, &edit);
        else
            start_both(&edit, &asked);
        check_newest(EDIT);
        start_begin(&later);
        start_end(&later);
        check_newest(EDIT);
    }
}

/* There is one of before the clock was set back; others are told, too, which is newer. */
static void test_the_clock_goes_back(void **state)
{
    (void)state;
    struct start start = {.handler = narration_again};
    change(db, "update narrations set narration_id = '" AHEAD "', status = 'ready', duration_ms = 1, timing = '[]', "
               "object_key = 'narration/" AHEAD "', finished_at = now() - interval '2 days'");
    start_begin(&start);
    start_end(&start);
    check_newest(TEXT);
    assert_string_equal(ask(db,
                            "select count(*) from events e join narrations n on n.narration_id::text = aggregate_id "
                            "where event_type = 'NarrationFailed' and (payload->>'ordinal')::bigint = n.ordinal"),
                        "1");
}

/* --- a story goes, or who takes part in it ----------------------------------------------------------------------- */

static void test_a_story_is_deleted(void **state)
{
    (void)state;
    struct start asked = {.handler = narration_again}, deleted = {.handler = narration_on_story_deleted};
    start_both(&asked, &deleted);
    assert_string_equal(ask(db, "select count(*) from jobs where name = 'remove_files'"), "2");
    assert_string_equal(ask(db, "select count(*) from narrations"), "0");
}

/* Whoever waits for a story holds nothing else of it: `free` can be locked. */
static void check_waits(st_handler *handler, const char *user, const char *story, const char *free)
{
    struct start s = {.handler = handler, .user = user};
    change(db, "begin");
    change(db, st_printf(&arena, "select from stories where story_id = '%s' for update", story));
    start_begin(&s);
    assert_true(
        wait_for(atomic_load(&s.begun) || !st_streq(ask(db, "select count(*) from pg_locks where not granted"), "0")));
    change(db, st_printf(&arena, "select from %s for update nowait", free));
    change(db, "commit");
    start_end(&s);
}

static void test_the_story_is_locked_first(void **state)
{
    (void)state;
    change(db, "insert into story_readers values ('" STORY "', '" READER "')");
    check_waits(narration_on_participant_left, READER, STORY, "story_readers");
    assert_string_equal(ask(db, "select count(*) from story_readers"), "0");
    change(db, "insert into story_readers values ('" STORY "', '" READER "')");
    check_waits(narration_on_collaboration_cancelled, READER, STORY, "story_readers");
    assert_string_equal(ask(db, "select count(*) from story_readers"), "0");
    change(db, "insert into stories (story_id, author_id, title) values ('" OTHER "', '" AUTHOR "', 'Day')");
    check_waits(narration_on_user_deleted, AUTHOR, OTHER, "stories where story_id = '" STORY "'");
    assert_string_equal(ask(db, "select count(*) from stories"), "0");
}

int main(int argc, char **argv)
{
    (void)argc;
    world_start(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_two_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_edit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_clock_goes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_story_is_deleted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_story_is_locked_first, setup, teardown),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
