/* Which of a story's films is shown, what is told of those behind it, and whom they name. */
#include "../lib/backbone.h"

#include <malloc.h>
#include <sys/stat.h>

#include "base/spawn.h"
#include "video/video.h"

#define STORY  "0193c7e2-1111-7111-8111-111111111111"
#define AUTHOR "0193c7e2-2222-7111-8111-111111111111"
#define SPOKEN "0193c7e2-3333-7111-8111-" /* and twelve digits */
#define FILM   "0193c7e2-4444-7111-8111-"

static const struct st_job_kind jobs[] = {{.name = "render"}, {.name = "remove_files"}, {.name = "cancel_clip"}, {0}};
static const struct st_service service = {.name = "video", .jobs = jobs};

/* What is told of films, by name; with any payload. */
static struct st_event_type told[] = {
    {.type = "FilmingCompleted",
     .topic = "FilmingCompleted",
     .aggregate_type = "video",
     .version = "1.0.0",
     .major = 1,
     .service = "video"},
    {.type = "VideoGenerated",
     .topic = "VideoGenerated",
     .aggregate_type = "video",
     .version = "1.0.0",
     .major = 1,
     .service = "video"},
    {.type = "VideoGenerationFailed",
     .topic = "VideoGenerationFailed",
     .aggregate_type = "video",
     .version = "1.0.0",
     .major = 1,
     .service = "video"},
    {.type = "VideoProcessing",
     .topic = "VideoProcessing",
     .aggregate_type = "video",
     .version = "1.0.0",
     .major = 1,
     .service = "video"},
};

static struct st_pg *db;
static struct daemon *video;
static struct st_worker worker;

static int begin(void **state)
{
    (void)state;
    const char *why = "";
    db = database_of("video", "video");
    use_database("video");
    video = daemon_new(&service);
    static struct st_arena forever;
    const char *pointer;
    for (size_t i = 0; i < ST_COUNT(told); i++)
        if (st_schema_compile(&forever, json_true(), "", &told[i].payload, &pointer, &why) < 0)
            fail_msg("%s", why);
    video->run.types = told;
    video->run.n_types = ST_COUNT(told);
    memset(video->run.edge_key, 'k', video->run.edge_key_len = 32);
    st_worker_init(&worker, &video->run, "test");
    return 0;
}

static int end(void **state)
{
    (void)state;
    st_worker_release(&worker);
    daemon_stop(video, 0);
    db = st_pg_free(db);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    change(db, "truncate stories cascade");
    change(db, "truncate jobs, events, aggregates");
    change(db, "insert into stories (story_id, author_id, title) values ('" STORY "', '" AUTHOR "', 'Night')");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    st_arena_reset(&worker.arena);
    st_arena_release(&arena);
    return 0;
}

static const char *nth(const char *kind, int n)
{
    return st_printf(&arena, "%s%012d", kind, n);
}

/* The n-th narration: the newer, the lower its id, for the clock of whoever begins them goes back. */
static const char *spoken(int n)
{
    return nth(SPOKEN, 100 - n);
}

/* The n-th film of the story, of a narration; it was asked for so many seconds ago. */
static void film(int n, int narration, int seconds, const char *status)
{
    assert_non_null(
        ask(db,
            "insert into video_jobs (video_id, story_id, narration_id, audio_ref, timing_ref, status, reason, "
            "asked_at, resolution, aspect_ratio, captions, ordinal) values ($1, $2, $3, 'a', 't', $4, 'Why ' || $5, "
            "now() - $6 * interval '1 second', case $5::int & 1 when 0 then '720p' else '1080p' end, "
            "case $5::int & 2 when 0 then '16:9' else '9:16' end, "
            "case $5::int & 4 when 0 then 'burned' else 'track' end, $7) returning ''",
            nth(FILM, n), STORY, spoken(narration), status, st_i64(&arena, n), st_i64(&arena, seconds),
            st_i64(&arena, narration)));
}

static int narration_fails(struct st_call *call, void *ctx)
{
    (void)ctx;
    return video_on_narration_failed(call);
}

static int narration_is_there(struct st_call *call, void *ctx)
{
    (void)ctx;
    return video_on_narration_generated(call);
}

static int narration_goes(struct st_call *call, void *ctx)
{
    (void)ctx;
    return video_on_narration_withdrawn(call);
}

static int get(struct st_call *call, void *ctx)
{
    (void)ctx;
    return video_get(call);
}

/* An event of a narration arrives: what the handler makes of it. */
static int arrives(int (*handler)(struct st_call *, void *), int narration, const char *analysis)
{
    struct st_call call;
    st_call_init(&call, &worker, "event");
    call.body = st_json_keep(&arena, json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:s*}", "storyId", STORY,
                                               "authorId", AUTHOR, "narrationId", spoken(narration), "ordinal",
                                               narration, "reason", st_printf(&arena, "Unspoken %d", narration),
                                               "audioRef", "a", "timingRef", "t", "analysisId", analysis));
    int r = st_call_transact(&call, handler, NULL);
    st_arena_reset(&worker.arena);
    return r;
}

static void hear(int (*handler)(struct st_call *, void *), int narration)
{
    assert_int_equal(arrives(handler, narration, NULL), 0);
}

/* "ready 1", "failed - Why", …: status, number of the film, reason. */
static const char *said(const json_t *v)
{
    const char *id = st_str(v, "videoId"), *reason = st_str(v, "reason");
    return st_printf(&arena, "%s %s%s%s", st_str(v, "status"),
                     id ? id + strlen(FILM) + strspn(id + strlen(FILM), "0") : "-", reason ? " " : "",
                     reason ? reason : "");
}

/* What getVideo says, and behind a comma what it says is next. */
static const char *shown(void)
{
    struct st_call call;
    st_call_init(&call, &worker, "getVideo");
    call.params = st_json_keep(&arena, json_pack("{s:s}", "storyId", STORY));
    call.user_id = AUTHOR;
    int r = st_call_transact(&call, get, NULL);
    if (r < 0)
        fail_msg("%s", st_call_error(&call, r));
    const json_t *v = call.p->reply, *next = json_object_get(v, "next");
    assert_int_equal(json_is_string(json_object_get(v, "url")), st_streq(st_str(v, "status"), "ready"));
    const char *all = st_printf(&arena, "%s%s%s", said(v), next ? ", " : "", next ? said(next) : "");
    st_arena_reset(&worker.arena);
    return all;
}

static void test_the_newest_film(void **state)
{
    (void)state;
    assert_string_equal(shown(), "pending -");
    film(1, 1, 100, "pending");
    assert_string_equal(shown(), "pending 1");
    change(db, "update video_jobs set status = 'failed'");
    assert_string_equal(shown(), "failed 1 Why 1");
    change(db, "update video_jobs set status = 'ready'");
    assert_string_equal(shown(), "ready 1");
    film(2, 1, 90, "pending"); /* another format */
    assert_string_equal(shown(), "ready 1, pending 2");
    change(db, "update video_jobs set status = 'failed' where status = 'pending'");
    assert_string_equal(shown(), "ready 1, failed 2 Why 2");
    change(db, "update video_jobs set status = 'ready'");
    assert_string_equal(shown(), "ready 2");
    film(3, 2, 80, "pending"); /* another narration */
    assert_string_equal(shown(), "ready 2, pending 3");
    change(db, "update video_jobs set asked_at = now() where video_id = '" FILM "000000000001'"); /* the first again */
    assert_string_equal(shown(), "ready 1, pending 3");
    change(db, "update video_jobs set status = 'ready'");
    assert_string_equal(shown(), "ready 3");
}

static void test_a_narration_fails(void **state)
{
    (void)state;
    hear(narration_fails, 1);
    assert_string_equal(shown(), "failed - Unspoken 1");
    film(1, 2, 100, "ready");
    assert_string_equal(shown(), "ready 1"); /* of a newer one */
    hear(narration_fails, 3);
    assert_string_equal(shown(), "ready 1, failed - Unspoken 3");
    hear(narration_fails, 1); /* late */
    assert_string_equal(shown(), "ready 1, failed - Unspoken 3");
    film(2, 2, -10, "pending"); /* asked for since */
    assert_string_equal(shown(), "ready 1, pending 2");
    change(db, "update video_jobs set status = 'ready'");
    assert_string_equal(shown(), "ready 2");
    film(3, 4, 0, "ready");
    hear(narration_fails, 3);
    assert_string_equal(shown(), "ready 3");
}

/* Late, behind the film of a newer one; and taken back. */
static void test_narrations_come_and_go(void **state)
{
    (void)state;
    film(1, 1, 100, "ready");
    film(2, 2, 90, "pending");
    hear(narration_is_there, 1);
    assert_string_equal(ask(db, "select count(*) from video_jobs"), "2");
    assert_string_equal(shown(), "ready 1, pending 2");
    hear(narration_fails, 3);
    hear(narration_goes, 2);
    assert_string_equal(shown(), "ready 1, failed - Unspoken 3");
    hear(narration_goes, 1);
    assert_string_equal(shown(), "failed - Unspoken 3");
}

/* One that was begun before narrations were counted comes only now. */
static void test_a_narration_of_before(void **state)
{
    (void)state;
    film(1, -1, 100, "ready");
    hear(narration_is_there, 0);
    assert_string_equal(ask(db, "select string_agg(ordinal::text, ' ' order by ordinal) from video_jobs"), "-1 0");
    film(2, 1, 90, "ready");
    change(db, "delete from video_jobs where ordinal = 0");
    hear(narration_is_there, 0);
    assert_string_equal(shown(), "ready 2");
}

#define ANALYSIS "0193c7e2-6666-7111-8111-"

/* It overtakes its analysis; and one comes whose analysis was dropped long ago. */
static void test_what_was_narrated(void **state)
{
    (void)state;
    assert_int_equal(arrives(narration_is_there, 1, nth(ANALYSIS, 1)), ST_E_NOT_FOUND);
    change(db, "insert into analyses (analysis_id, story_id) values ('" ANALYSIS "000000000001', '" STORY "')");
    assert_int_equal(arrives(narration_is_there, 1, nth(ANALYSIS, 1)), 0);
    change(db, "update stories set analysis_id = '" ANALYSIS "000000000003'");
    assert_int_equal(arrives(narration_is_there, 2, nth(ANALYSIS, 2)), 0);
    assert_int_equal(arrives(narration_is_there, 3, nth(ANALYSIS, 4)), ST_E_NOT_FOUND);
    assert_string_equal(ask(db, "select count(*) from video_jobs"), "2");
}

struct arrival {
    pthread_t thread;
    struct st_call call;
    struct st_worker worker;
    int r;
};

static void *arrive(void *arg)
{
    struct arrival *a = arg;
    a->r = st_call_transact(&a->call, narration_is_there, NULL);
    return NULL;
}

/* Of two at the same time, the newer one has a film. */
static void test_two_narrations(void **state)
{
    (void)state;
    struct arrival a = {0};
    struct st_pg *other = st_pg_new(conninfo("video"), "other");
    st_pg_begin(other);
    change(other, "update stories set title = 'Day'");
    change(other,
           "insert into video_jobs (video_id, story_id, narration_id, ordinal, audio_ref, timing_ref) values ('" FILM
           "000000000002', '" STORY "', '" SPOKEN "000000000098', 2, 'a', 't')");
    st_worker_init(&a.worker, &video->run, "other");
    st_call_init(&a.call, &a.worker, "event");
    a.call.body =
        st_json_keep(&arena, json_pack("{s:s, s:s, s:s, s:i, s:s, s:s}", "storyId", STORY, "authorId", AUTHOR,
                                       "narrationId", spoken(1), "ordinal", 1, "audioRef", "a", "timingRef", "t"));
    assert_int_equal(pthread_create(&a.thread, NULL, arrive, &a), 0);
    assert_true(wait_for(!st_streq(ask(db, "select count(*) from pg_locks where not granted"), "0")));
    must(other, st_pg_commit(other));
    assert_int_equal(pthread_join(a.thread, NULL), 0);
    assert_int_equal(a.r, 0);
    assert_string_equal(ask(db, "select string_agg(ordinal::text, '') from video_jobs"), "2");
    st_worker_release(&a.worker);
    st_pg_free(other);
}

/* A film of an older narration, asked for later, does not supersede the newer ones. */
static void test_what_is_superseded(void **state)
{
    (void)state;
    film(1, 2, 100, "ready");
    film(2, 1, 90, "ready");
    change(db, "update video_jobs set finished_at = now() - interval '2 days'");
    assert_string_equal(ask(db, "select string_agg(right(video_id::text, 1), '') from superseded"), "2");
}

/* --- filmed passages --------------------------------------------------------------------------------------------- */

/* The n-th passage of the first film, as it stands at a provider, which has named it. */
static void passage(int n, const char *state)
{
    assert_non_null(ask(
        db,
        "insert into clips (clip_id, video_id, start_ms, end_ms, prompt, seed, cache_key, state, "
        "provider, provider_ref, object_key) values ($1, $2, $3::text::int, $3::text::int + 1000, 'Night', 1, 'key', "
        "$4, 'luma', $3::text, case $4 when 'done' then 'k' end) returning ''",
        nth(ANALYSIS, n), nth(FILM, 1), st_i64(&arena, n), state));
}

/* Who has called back for one whose fate was not known has named it. */
static void test_what_is_cancelled(void **state)
{
    (void)state;
    static const char *const states[] = {"wanted", "sending", "unknown", "sent", "done", "failed"};
    film(1, 1, 0, "pending");
    for (int i = 0; i < (int)ST_COUNT(states); i++)
        passage(i + 1, states[i]);
    hear(narration_goes, 1);
    assert_string_equal(ask(db, "select string_agg(payload->>'ref', ' ' order by payload->>'ref') from jobs "
                                "where name = 'cancel_clip'"),
                        "2 3 4");
}

static int fail_to_film(struct st_call *call, void *ctx)
{
    (void)ctx;
    return video_clip_failed(call);
}

/* A clip has two jobs at times: what one has brought to its end, the other does not undo. */
static void test_a_late_failure(void **state)
{
    (void)state;
    static const char *const states[] = {"done", "failed", "sent"};
    film(1, 1, 0, "pending");
    for (int i = 0; i < (int)ST_COUNT(states); i++) {
        struct st_call call;
        passage(i + 1, states[i]);
        st_call_init(&call, &worker, "clip");
        call.body = st_json_keep(&arena, json_pack("{s:s}", "clipId", nth(ANALYSIS, i + 1)));
        assert_int_equal(st_call_transact(&call, fail_to_film, NULL), 0);
        st_arena_reset(&worker.arena);
    }
    assert_string_equal(ask(db,
                            "select string_agg(concat_ws(' ', state, lost::text, object_key), ', ' order by clip_id) "
                            "from clips"),
                        "done false k, failed false, failed true");
}

/* What its author is told of the passages of the film. */
static const char *passages(void)
{
    struct st_call call;
    const char *all = "";
    const json_t *one;
    size_t i;
    st_call_init(&call, &worker, "getVideo");
    call.params = st_json_keep(&arena, json_pack("{s:s}", "storyId", STORY));
    call.user_id = AUTHOR;
    assert_int_equal(st_call_transact(&call, get, NULL), 0);
    json_array_foreach (json_object_get(call.p->reply, "passages"), i, one)
        all = st_printf(&arena, "%s[%s %s]", all, st_str(one, "state"), st_json_str(one, "provider", "-"));
    st_arena_reset(&worker.arena);
    return all;
}

/* What was given up comes when the film is there, which does not have it. */
static void test_a_late_passage(void **state)
{
    (void)state;
    film(1, 1, 0, "pending");
    change(db, "update video_jobs set pictures = 'filmed'");
    passage(1, "done");
    passage(2, "sent");
    passage(3, "failed");
    assert_string_equal(passages(), "[filmed luma][waiting -][drawn -]");
    change(db, "update video_jobs set status = 'ready'");
    change(db, "update clips set shown = true where state = 'done'");
    assert_string_equal(passages(), "[filmed luma][drawn -][drawn -]");
    change(db, "update clips set state = 'done'");
    assert_string_equal(passages(), "[filmed luma][drawn -][drawn -]");
}

/* --- whom the film names ----------------------------------------------------------------------------------------- */

static int join(struct st_call *call, void *ctx)
{
    (void)ctx;
    return video_on_participant_joined(call);
}

#define NAMING  FILM "000000000001" /* the film that names them */
#define ROOM    "0193c7e2-5555-7111-8111-111111111111"
#define ANOTHER "0193c7e2-5555-7111-8111-222222222222"

/* Somebody of that name, who is the n-th, in a room. */
static void joins(const char *room, int n, const char *name, const char *role, const char *character)
{
    const char *id = st_printf(&arena, "0193c7e2-3333-7111-8111-%012d", n);
    const struct st_event event = {.aggregate_id = room};
    struct st_call call;
    assert_non_null(ask(db,
                        "insert into people (user_id, display_name) values ($1, $2) "
                        "on conflict (user_id) do update set display_name = $2 returning ''",
                        id, name));
    st_call_init(&call, &worker, "ParticipantJoined");
    call.event = &event;
    call.body = st_json_keep(&arena, json_pack("{s:s, s:s, s:s, s:s*}", "storyId", STORY, "userId", id, "role", role,
                                               "character", character));
    assert_int_equal(st_call_transact(&call, join, NULL), 0);
    st_arena_reset(&worker.arena);
}

static const char *named(void)
{
    struct st_call call;
    const char *const *names, *ids, *all = "";
    st_call_init(&call, &worker, "render");
    assert_int_equal(video_load_voices(&call, NAMING, &names, &ids), 0);
    for (; names && *names; names++)
        all = st_printf(&arena, "%s[%s]", all, *names);
    st_arena_reset(&worker.arena);
    return all;
}

static void test_who_is_named(void **state)
{
    (void)state;
    film(1, 1, 0, "pending");
    assert_string_equal(named(), "");
    joins(ROOM, 1, "Lea", "listener", NULL);
    joins(ROOM, 2, "Edo", "editor", NULL);
    assert_string_equal(named(), "");
    joins(ROOM, 3, "Ben", "voice", NULL);
    joins(ROOM, 4, "Cara", "collaborator", NULL);
    assert_string_equal(named(), "[Ben][Cara]");
    joins(ROOM, 4, "Cara", "collaborator", "Mary");
    joins(ROOM, 5, "Edda", "editor", "The wolf");
    joins(ANOTHER, 6, "Zoe", "voice", "Mary");
    assert_string_equal(named(), "[Cara – Mary][Edda – The wolf][Zoe – Mary][Ben]"); /* parts first */
    change(db, "update video_jobs set collaboration_id = '" ROOM "'");
    assert_string_equal(named(), "[Cara – Mary][Edda – The wolf][Ben]"); /* who took part in that one */
    joins(ROOM, 6, "Zoe", "collaborator", NULL);
    assert_string_equal(named(), "[Cara – Mary][Edda – The wolf][Ben][Zoe]");
}

static size_t heap(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

/* However many have come: as many as a collaboration tells of; and whose names they are is told once. */
static void test_all_are_named(void **state)
{
    (void)state;
    struct st_call call;
    const char *const *names, *ids;
    film(1, 1, 0, "pending");
    change(db, "with one as (insert into story_readers (story_id, user_id, role, collaboration_id) select '" STORY
               "', gen_random_uuid(), 'voice', '" ROOM "' from generate_series(1, 1000) returning user_id) "
               "insert into people (user_id, display_name) select user_id, user_id::text from one");
    assert_int_equal(strlen(named()), 1000 * strlen("[" STORY "]"));
    assert_string_equal(ask(db, "select cardinality(named) from video_jobs"), "1000");
    size_t before = heap();
    st_call_init(&call, &worker, "render");
    assert_int_equal(video_load_voices(&call, NAMING, &names, &ids), 0);
    assert_string_equal(ids, ask(db, "select named from video_jobs"));
    assert_in_range(heap() - before, 0, 4 << 20);
    st_arena_reset(&worker.arena);
}

static int delete_user(struct st_call *call, void *ctx)
{
    (void)ctx;
    return video_on_user_deleted(call);
}

/* The account of the n-th goes, with what is erased of it. */
static void goes(int n)
{
    const char *id = st_printf(&arena, "0193c7e2-3333-7111-8111-%012d", n);
    struct st_call call;
    st_call_init(&call, &worker, "UserDeleted");
    call.body = st_json_keep(&arena, json_pack("{s:s}", "userId", id));
    assert_int_equal(st_call_transact(&call, delete_user, NULL), 0);
    st_arena_reset(&worker.arena);
    ask(db, "delete from people where user_id = $1", id);
    ask(db, "delete from story_readers where user_id = $1", id);
    ask(db, "update video_jobs set named = array_remove(named, $1)", id);
}

/* "ready", "ready again 1": status of the film, whether it is to be made anew, how many jobs are there for it. */
static const char *stands(void)
{
    return ask(db, "select concat_ws(' ', status, case when again then 'again' end, (select nullif(count(*), 0) from "
                   "jobs where name = 'render' and priority < 0 and unique_key = video_id::text)) from video_jobs");
}

/* What the film is made of. */
static void put_sound(void)
{
    static const char times[] = "[{\"segmentId\": \"1\", \"startMs\": 0, \"endMs\": 2000}]";
    const char *sound = st_printf(&arena, "%s/sound.opus", getenv("ST_TEST_DIR"));
    const char *argv[] = {"ffmpeg",          "-v",   "error",   "-y",  "-f", "lavfi", "-i",
                          "sine=duration=2", "-c:a", "libopus", sound, NULL};
    struct st_spawn_result result;
    struct st_call call;
    assert_int_equal(
        st_spawn(&arena, &(struct st_spawn){.argv = argv, .timeout_us = 60 * ST_SECOND, .max_out = 100}, &result), 0);
    st_call_init(&call, &worker, "render");
    assert_int_equal(st_object_put_file(&call, "narration/a", sound), 0);
    assert_int_equal(st_object_put(&call, "narration/t", times, strlen(times)), 0);
    st_arena_reset(&worker.arena);
    change(db, "insert into analyses (analysis_id, story_id, segments) values ('" ROOM "', '" STORY
               "', '[{\"segmentId\": \"1\", \"text\": \"The moon rose.\"}]')");
    change(db, "update stories set analysis_id = '" ROOM "'");
    change(db, "update video_jobs set audio_ref = 'narration/a', timing_ref = 'narration/t'");
}

struct made {
    pthread_t thread;
    json_t *body;
    int r;
};

/* The job, in a thread of its own. */
static void *make(void *arg)
{
    struct made *m = arg;
    struct st_worker own;
    struct st_call call;
    st_worker_init(&own, &video->run, "maker");
    st_call_init(&call, &own, "render");
    call.body = m->body;
    m->r = video_render(&call);
    if (m->r == 0)
        m->r = st_commit(&call);
    st_worker_release(&own);
    return NULL;
}

static void make_begins(struct made *m)
{
    m->body = st_json_keep(&arena, json_pack("{s:s}", "videoId", NAMING));
    assert_int_equal(pthread_create(&m->thread, NULL, make, m), 0);
}

static int make_ends(struct made *m)
{
    assert_int_equal(pthread_join(m->thread, NULL), 0);
    return m->r;
}

/* Another film has it looked for, and it comes while the first is made without it: that is told and charged so. */
static void test_a_passage_that_comes_meanwhile(void **state)
{
    (void)state;
    struct made m;
    film(1, 1, 0, "pending");
    put_sound();
    change(db, "update video_jobs set pictures = 'filmed', filming = video_id");
    passage(1, "failed");
    joins(ROOM, 1, "Ben", "voice", NULL);
    make_begins(&m);
    assert_true(wait_for(st_streq(ask(db, "select cardinality(named)::text from video_jobs"), "1")));
    change(db, "update clips set state = 'done'");
    assert_int_equal(make_ends(&m), 0);
    assert_string_equal(ask(db,
                            "select string_agg(concat_ws(' ', event_type, payload->>'amount', payload->>'provider', "
                            "payload->>'filmedPassages'), ', ' order by event_type) from events"),
                        "FilmingCompleted 1, VideoGenerated ffmpeg 0");
    assert_string_equal(passages(), "[drawn -]");
}

static atomic_int renderings;

static int counted(struct st_call *call)
{
    atomic_fetch_add(&renderings, 1);
    return video_render(call);
}

static const struct st_job_kind pooled[] = {{.name = "render",
                                             .handler = counted,
                                             .concurrency = 1,
                                             .timeout_s = 900,
                                             .attempts = 2,
                                             .failed = video_render_failed},
                                            {0}};
static const struct st_service pool_service = {.name = "video", .jobs = pooled};

/* Whatever their delays: jobs run now. */
static bool hurry(struct daemon *pool)
{
    change(db, "update jobs set run_at = now() where state = 'waiting'");
    st_bell_ring(&pool->run.jobs_bell);
    return true;
}

/* The film's job runs as often as it may, and more. */
static void make_often(void)
{
    struct st_call call;
    struct daemon *pool = daemon_new(&pool_service);
    pool->run.types = told;
    pool->run.n_types = ST_COUNT(told);
    st_call_init(&call, &worker, "again");
    video_render_again(&call, NAMING);
    assert_int_equal(st_commit(&call), 0);
    st_arena_reset(&worker.arena);
    atomic_store(&renderings, 0);
    assert_int_equal(st_jobs_start(&pool->run), 0);
    assert_true(
        wait_for(hurry(pool) && (atomic_load(&renderings) > 3 || ask(db, "select 1 from jobs where ended = 'dead'"))));
    daemon_stop(pool, 60000);
}

/* Nothing is given up, or shown no more, because our disk is full. */
static void test_no_room_for_a_film(void **state)
{
    (void)state;
    static const char full[] = "#!/bin/sh\necho 'No space left on device' >&2\nexit 228\n";
    const char *path = st_strdup(&arena, getenv("PATH")), *bin = st_printf(&arena, "%s/bin", getenv("ST_TEST_DIR"));
    const char *ffmpeg = st_printf(&arena, "%s/ffmpeg", bin);
    struct made m;
    film(1, 1, 0, "ready");
    put_sound();
    change(db, "update video_jobs set again = true");
    assert_int_equal(mkdir(bin, 0700), 0);
    FILE *f = fopen(ffmpeg, "we");
    assert_true(f && fputs(full, f) >= 0 && fclose(f) == 0);
    assert_int_equal(chmod(ffmpeg, 0700), 0);
    setenv("PATH", st_printf(&arena, "%s:%s", bin, path), 1);
    make_often();
    setenv("PATH", path, 1);
    assert_string_equal(stands(), "ready again 1");
    assert_non_null(strstr(ask(db, "select error from jobs"), "No space left on device"));
    make_begins(&m);
    assert_int_equal(make_ends(&m), 0);
    assert_string_equal(stands(), "ready 1");
}

/* Who is named by a film when the account goes: it is made anew. */
static void test_who_is_named_no_more(void **state)
{
    (void)state;
    struct made m;
    film(1, 1, 0, "pending");
    put_sound();
    joins(ROOM, 1, "Lea", "listener", NULL);
    joins(ROOM, 2, "Ada", "voice", NULL);
    joins(ROOM, 3, "Ben", "voice", NULL);
    joins(ROOM, 4, "Cara", "voice", NULL);
    assert_string_equal(named(), "[Ada][Ben][Cara]");
    goes(2); /* it is made with the names of then */
    assert_string_equal(stands(), "pending");
    change(db, "update video_jobs set status = 'failed'");
    goes(2);
    assert_string_equal(stands(), "failed");

    change(db, "update video_jobs set status = 'ready'");
    goes(1);
    assert_string_equal(stands(), "ready");
    change(db, "update video_jobs set analysis_id = '" ANOTHER "'"); /* which is gone: the newest must do */
    make_begins(&m);                                                 /* there is nothing to do */
    assert_int_equal(make_ends(&m), 0);
    assert_string_equal(named(), "[Ben][Cara]");
    goes(3);
    assert_string_equal(stands(), "ready again 1");
    change(db, "delete from jobs");

    change(db, "update video_jobs set named = named || named"); /* until they are read */
    make_begins(&m);
    assert_true(wait_for(st_streq(ask(db, "select cardinality(named)::text from video_jobs"), "1")));
    goes(4); /* in the middle of it */
    assert_int_equal(make_ends(&m), 0);
    assert_string_equal(stands(), "ready again 1");
    make_begins(&m);
    assert_int_equal(make_ends(&m), 0);
    assert_string_equal(stands(), "ready 1");
    assert_string_equal(named(), "");
    assert_string_equal(ask(db, "select count(*) from events"), "0");
}

/* One that is made anew is of those it was made of. */
static void test_who_is_still_named(void **state)
{
    (void)state;
    film(1, 1, 0, "pending");
    joins(ROOM, 1, "Ada", "voice", NULL);
    joins(ROOM, 2, "Ben", "voice", "Mary");
    joins(ROOM, 3, "Cara", "voice", NULL);
    assert_string_equal(named(), "[Ben – Mary][Ada][Cara]");
    change(db, "update video_jobs set status = 'ready'");
    joins(ROOM, 4, "Dora", "voice", "The wolf");
    change(db, "delete from story_readers where user_id = '0193c7e2-3333-7111-8111-000000000003'"); /* she has left */
    goes(1);
    assert_string_equal(stands(), "ready again 1");
    assert_string_equal(named(), "[Ben – Mary][Cara]");
    change(db, "update video_jobs set status = 'pending'"); /* it is asked for again */
    assert_string_equal(named(), "[Ben – Mary][Dora – The wolf]");
}

static int fail_to_make(struct st_call *call, void *ctx)
{
    (void)ctx;
    return video_render_failed(call);
}

/* All attempts of the job were in vain. */
static void dies(void)
{
    struct st_call call;
    st_call_init(&call, &worker, "render");
    call.body = st_json_keep(&arena, json_pack("{s:s}", "videoId", NAMING));
    assert_int_equal(st_call_transact(&call, fail_to_make, NULL), 0);
    st_arena_reset(&worker.arena);
}

/* The first time, and of one that cannot be made anew for its sound is gone: then it is not shown with the name. */
static void test_nobody_sees_the_name(void **state)
{
    (void)state;
    struct made m;
    film(1, 1, 0, "pending");
    put_sound();
    joins(ROOM, 2, "Ben", "voice", NULL);
    joins(ROOM, 3, "Cara", "voice", NULL);
    make_begins(&m);
    assert_true(wait_for(st_streq(ask(db, "select cardinality(named)::text from video_jobs"), "2")));
    goes(2); /* in the middle of it */
    assert_int_equal(make_ends(&m), 0);
    assert_string_equal(stands(), "ready again 1");
    make_begins(&m);
    assert_int_equal(make_ends(&m), 0);
    dies();
    assert_string_equal(stands(), "ready 1");
    assert_string_equal(ask(db, "select string_agg(event_type, ' ') from events"), "VideoGenerated");

    change(db, "update video_jobs set audio_ref = 'narration/gone'");
    goes(3);
    assert_string_equal(stands(), "ready again 1");
    make_begins(&m);
    assert_int_equal(make_ends(&m), ST_E_NOT_FOUND);
    dies();
    assert_string_equal(stands(), "failed 1");
    assert_string_equal(shown(), "failed 1 It named somebody who is gone, and could not be made anew.");
    assert_string_equal(ask(db, "select string_agg(event_type, ' ' order by event_type) from events"),
                        "VideoGenerated VideoGenerationFailed");
}

int main(int argc, char **argv)
{
    (void)argc;
    world_start(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_newest_film, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_narration_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_narrations_come_and_go, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_narration_of_before, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_was_narrated, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_narrations, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_superseded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_cancelled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_late_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_late_passage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_passage_that_comes_meanwhile, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_room_for_a_film, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_is_named_no_more, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_is_still_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_sees_the_name, setup, teardown),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
