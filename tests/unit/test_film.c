/* Passages filmed by providers: sent once, whatever breaks; who is asked; what is taken of what comes. */
#include "../lib/backbone.h"
#include "../lib/child.h"
#include "../lib/files.h"

#include "base/spawn.h"
#include "io/crypto.h"
#include "svc/object.h"
#include "video/film.h"
#include "video/render.h"
#include "video/video.h"

enum { STEPS_MAX = 40, POLLS = 60 /* that a passage is waited for */ };

#define STORY "0193c7e2-1111-7111-8111-111111111111"
#define VIDEO "0193c7e2-2222-7111-8111-111111111111"

static const struct st_option options[] = {{"film_tiers", "premium,family"},
                                           {"runway_key_file", ""},
                                           {"runway_url", ""},
                                           {"luma_key_file", ""},
                                           {"luma_url", ""},
                                           {"fal_key_file", ""},
                                           {"fal_url", ""},
                                           {"fal_keys_url", ""},
                                           {0}};
static const struct st_job_kind jobs[] = {{.name = "clip", .handler = video_clip},
                                          {.name = "cancel_clip", .handler = video_cancel_clip},
                                          {.name = "remove_files"},
                                          {.name = "film_keys", .handler = video_fetch_keys},
                                          {.name = "render"},
                                          {0}};
static const struct st_service service = {.name = "video", .jobs = jobs};

static struct st_pg *db;
static struct daemon *video;
static struct st_worker worker, edge; /* of jobs; of requests */
static pid_t server;

static int begin(void **state)
{
    (void)state;
    int applied;
    const char *why = "";
    const char *dir = getenv("ST_TEST_DIR");
    db = database_new("video");
    if (st_migrate(db, &arena, "sql", "video", &applied, &why) < 0)
        fail_msg("%s", why);
    const char *url = st_printf(&arena, "http://127.0.0.1:%d", child_start_stand_in(&server, "Films", dir));
    setenv("ST_RUNWAY_URL", url, 1);
    setenv("ST_LUMA_URL", url, 1);
    setenv("ST_FAL_URL", url, 1);
    setenv("ST_FAL_KEYS_URL", st_printf(&arena, "%s/.well-known/jwks.json", url), 1);
    write_file("key", "secret-key\n");
    const char *const argv[] = {"ffmpeg",
                                "-v",
                                "error",
                                "-y",
                                "-f",
                                "lavfi",
                                "-i",
                                "testsrc=d=3:s=320x180:r=10",
                                "-c:v",
                                "libx264",
                                "-preset",
                                "ultrafast",
                                in_dir("film.mp4"),
                                NULL};
    struct st_spawn_result made;
    assert_int_equal(st_spawn(&arena, &(struct st_spawn){.argv = argv, .timeout_us = 60 * ST_SECOND}, &made), 0);
    use_database("video");
    video = daemon_new(&service);
    memset(video->run.edge_key, 'k', video->run.edge_key_len = 32);
    st_worker_init(&worker, &video->run, "test");
    st_worker_init(&edge, &video->run, "edge");
    return 0;
}

static int end(void **state)
{
    (void)state;
    child_stop(&server);
    st_worker_release(&worker);
    st_worker_release(&edge);
    daemon_stop(video, 0);
    db = st_pg_free(db);
    return 0;
}

/* Which providers have a key. */
static void use(const char *names)
{
    static const char *const all[][2] = {
        {"luma", "ST_LUMA_KEY_FILE"}, {"pika", "ST_FAL_KEY_FILE"}, {"runway", "ST_RUNWAY_KEY_FILE"}};
    const char *why;
    use_database("video");
    for (size_t i = 0; i < ST_COUNT(all); i++)
        setenv(all[i][1], strstr(names, all[i][0]) ? in_dir("key") : "", 1);
    assert_int_equal(st_options_load(options, &why), 0);
}

static int setup(void **state)
{
    (void)state;
    change(db, "truncate stories cascade");
    change(db, "truncate film_keys");
    change(db, "truncate jobs, providers, provider_calls, provider_totals cascade");
    change(db, "insert into stories (story_id, author_id) values ('" STORY "', '" STORY "')");
    change(db, "insert into video_jobs (video_id, story_id, narration_id, audio_ref, timing_ref, pictures, filming) "
               "values ('" VIDEO "', '" STORY "', '" STORY "', 'a', 't', 'filmed', gen_random_uuid())");
    write_file("faults", "");
    write_file("log", "");
    write_file("bodies", "");
    write_file("callbacks", "");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    st_arena_reset(&worker.arena);
    st_arena_reset(&edge.arena);
    st_arena_release(&arena);
    return 0;
}

static int passage_ms = 4200; /* of a film of one */

/* Plans the film of one passage, or two; gives the first clip's id. */
static const char *plan_film(size_t passages, bool animated)
{
    const struct st_video_segment list[] = {
        {"The ship left the harbour at dawn.", NULL, "joy", 1, 0, passages > 1 ? 5500 : passage_ms},
        {"In the forest it was dark.", NULL, "fear", 1, 5500, 10600}};
    struct st_call call;
    st_call_init(&call, &worker, "render");
    const struct st_video_job job = {
        .title = "The ship", .segments = list, .segment_count = passages, .width = 1280, .height = 720};
    assert_int_equal(video_plan_clips(&call, VIDEO, &job, animated), (int)passages);
    int r = st_commit(&call);
    if (r < 0)
        fail_msg("%s", st_call_error(&call, r));
    return ask(db, "select clip_id from clips order by start_ms limit 1");
}

static const char *plan(size_t passages)
{
    return plan_film(passages, false);
}

static int run_clip(struct st_call *call, void *ctx)
{
    (void)ctx;
    return video_clip(call);
}

/* One run of the clip's job; told: because the provider has called back. */
static int step_as(const char *clip, bool told)
{
    struct st_call call;
    st_call_init(&call, &worker, "clip");
    call.body = st_json_keep(&arena, json_pack("{s:s, s:b}", "clipId", clip, "told", told));
    int r = st_call_transact(&call, run_clip, NULL);
    st_arena_reset(&worker.arena);
    return r;
}

static int step(const char *clip)
{
    return step_as(clip, false);
}

/* As step, but for the test's arena, which belongs to its thread. */
static void *told_step(void *body)
{
    struct st_call call;
    st_call_init(&call, &worker, "clip");
    call.body = body;
    return (void *)(intptr_t)st_call_transact(&call, run_clip, NULL);
}

static const char *state_of(const char *clip)
{
    return ask(db, "select state || coalesce(' ' || provider, '') from clips where clip_id = $1", clip);
}

/* Until it has come to its end, whatever delays its jobs would have. */
static const char *finish(const char *clip)
{
    for (int i = 0; i < STEPS_MAX && !st_starts(state_of(clip), "done") && !st_starts(state_of(clip), "failed"); i++)
        assert_int_equal(step(clip), 0);
    return state_of(clip);
}

static int submissions(void)
{
    int n = 0;
    for (const char *s = text_of("log"); (s = strstr(s, "POST ")); s++)
        n++;
    return n;
}

/* seconds: as ffprobe has them */
static bool is_made_of(const char *clip, const char *seconds)
{
    struct st_call call;
    const char *path;
    st_call_init(&call, &worker, "look");
    const char *key = ask(db, "select object_key from clips where clip_id = $1", clip);
    if (!key || st_object_get(&call, key, &path) < 0)
        return false;
    const char *const argv[] = {
        "ffprobe", "-v", "error", "-show_entries", "stream=codec_name,width,height,duration", "-of",
        "csv=p=0", path, NULL};
    struct st_spawn_result r;
    assert_int_equal(st_spawn(&arena, &(struct st_spawn){.argv = argv, .timeout_us = 60 * ST_SECOND}, &r), 0);
    st_arena_reset(&worker.arena);
    return st_starts(r.out, st_printf(&arena, "h264,1280,720,%s", seconds));
}

static bool is_made(const char *clip)
{
    return is_made_of(clip, "4.2"); /* 3 s, slowed */
}

static void test_each_provider(void **state)
{
    (void)state;
    static const char *const names[] = {"runway", "luma", "pika"};
    for (size_t i = 0; i < ST_COUNT(names); i++) {
        setup(NULL);
        use(names[i]);
        const char *clip = plan(1);
        assert_string_equal(finish(clip), st_printf(&arena, "done %s", names[i]));
        assert_true(is_made(clip));
        assert_int_equal(submissions(), 1);
        assert_non_null(strstr(text_of("bodies"), "The ship left the harbour"));
        assert_string_equal(ask(db, "select count(*) from jobs where name = 'render'"), "1");
        assert_string_equal(ask(db, "select outcome from provider_calls"), "ok");
    }
}

/* Each is given the address of the drawn picture, in its own way. */
static void test_animated(void **state)
{
    (void)state;
    static const char *const names[][2] = {{"runway", "\"promptImage\":\""},
                                           {"luma", "\"frame0\":{\"type\":\"image\",\"url\":\""},
                                           {"pika", "\"image_url\":\""}};
    for (size_t i = 0; i < ST_COUNT(names); i++) {
        setup(NULL);
        use(names[i][0]);
        const char *clip = plan_film(1, true), *path;
        assert_string_equal(finish(clip), st_printf(&arena, "done %s", names[i][0]));
        const char *at = strstr(text_of("bodies"), names[i][1]);
        assert_non_null(at);
        const char *start = st_printf(&arena, "https://localhost:8443/v1/videos/clips/%s/picture?expires=", clip);
        assert_true(st_starts(at + strlen(names[i][1]), start));
        assert_non_null(strstr(text_of("log"), st_streq(names[i][0], "luma") ? "/generations" : "image"));
        struct st_call call;
        st_call_init(&call, &worker, "look");
        assert_int_equal(st_object_get(&call, ask(db, "select picture from clips"), &path), 0);
        const char *const argv[] = {"ffprobe", "-v", "error", "-show_entries", "stream=codec_name,width,height", "-of",
                                    "csv=p=0", path, NULL};
        struct st_spawn_result r;
        assert_int_equal(st_spawn(&arena, &(struct st_spawn){.argv = argv, .timeout_us = 60 * ST_SECOND}, &r), 0);
        assert_string_equal(r.out, "mjpeg,1280,720\n");
        const char *drawn = ask(db, "select cache_key from clips");
        change(db, "delete from clips");
        assert_string_equal(finish(plan(1)), st_printf(&arena, "done %s", names[i][0]));
        assert_string_not_equal(ask(db, "select cache_key from clips"), drawn); /* another film */
        st_arena_reset(&worker.arena);
    }
}

static void test_the_cheapest_that_can(void **state)
{
    (void)state;
    use("luma runway pika");
    const char *clip = plan(1);
    assert_string_equal(finish(clip), "done pika");
    assert_string_equal(ask(db, "select units from provider_calls where units > 0"), "5");
    change(db, "delete from clips");
    passage_ms = 1200; /* of which Pika would charge five */
    clip = plan(1);
    passage_ms = 4200;
    assert_string_equal(finish(clip), "done runway");
    change(db, "delete from clips");
    change(db, "update providers set open_until = now() + interval '1 hour' where provider = 'pika'");
    clip = plan(1);
    change(db, "update clips set prompt = 'another'");
    assert_string_equal(finish(clip), "done runway");
    change(db, "delete from clips");
    change(db, "update video_jobs set resolution = '1080p'");
    clip = plan(1);
    assert_int_equal(step(clip), 0);
    assert_string_equal(state_of(clip), "sent luma"); /* Runway has no 1080p */
}

/* The only one, away for a while, is waited for; not for ever. */
static void test_away(void **state)
{
    (void)state;
    use("pika");
    change(db, "insert into providers (provider, open_until) values ('pika', now() + interval '1 hour')");
    const char *clip = plan(1);
    for (int i = 0; i < 3; i++) {
        change(db, "truncate jobs");
        assert_int_equal(step(clip), 0);
    }
    assert_string_equal(ask(db, "select state || waits from clips"), "wanted3");
    const char *delay =
        "select extract(epoch from max(run_at) - now())::int between 200 and 250 from jobs where name = 'clip'";
    assert_string_equal(ask(db, delay), "t");
    change(db, "update providers set open_until = null");
    assert_string_equal(finish(clip), "done pika");
    assert_int_equal(submissions(), 1);
    change(db, "delete from clips");
    change(db, "update providers set open_until = now() + interval '1 hour'");
    assert_string_equal(finish(plan(1)), "failed");
    assert_string_equal(ask(db, "select reason from clips"), "No provider can film it now.");
    assert_int_equal(submissions(), 1);
}

static void test_filmed_once(void **state)
{
    (void)state;
    use("runway");
    const char *clip = plan(1);
    assert_string_equal(finish(clip), "done runway");
    change(db,
           "insert into clips (clip_id, video_id, start_ms, end_ms, prompt, seed, cache_key) select gen_random_uuid(), "
           "video_id, start_ms + 10000, end_ms + 10000, prompt, seed, '' from clips");
    clip = ask(db, "select clip_id from clips where state = 'wanted'");
    assert_int_equal(step(clip), 0);
    assert_string_equal(ask(db, "select state from clips where clip_id = $1", clip), "done");
    assert_true(is_made(clip));
    assert_int_equal(submissions(), 1);
    /* Longer, but not by so much that another would be made: it is cut anew. */
    change(db,
           "insert into clips (clip_id, video_id, start_ms, end_ms, prompt, seed, cache_key) select gen_random_uuid(), "
           "video_id, start_ms + 20000, end_ms + 20400, prompt, seed, '' from clips where start_ms < 10000");
    clip = ask(db, "select clip_id from clips where state = 'wanted'");
    assert_int_equal(step(clip), 0);
    assert_string_equal(ask(db, "select state from clips where clip_id = $1", clip), "done");
    assert_int_equal(submissions(), 1);
    assert_true(is_made_of(clip, "4.58"));
}

/* Behind it the drawn picture is seen again. */
static void test_shorter_than_its_passage(void **state)
{
    (void)state;
    use("pika");
    passage_ms = 8000;
    const char *clip = plan(1);
    passage_ms = 4200;
    assert_string_equal(finish(clip), "done pika");
    assert_true(is_made_of(clip, "3.0"));
    struct st_call call;
    struct st_video_job job = {0};
    st_call_init(&call, &worker, "render");
    assert_int_equal(video_load_clips(&call, VIDEO, &job), 0);
    assert_int_equal(job.clip_count, 1);
    assert_int_equal(job.clips[0].start_ms, 0);
    assert_int_equal(job.clips[0].end_ms, 3000);
}

/* A film was stopped; the next one has the same passage. */
static void test_what_was_sent_goes_on(void **state)
{
    (void)state;
    use("pika runway");
    const char *first = plan(1);
    assert_int_equal(step(first), 0);
    assert_string_equal(state_of(first), "sent pika");
    change(db, "update video_jobs set filming = null");
    const char *unsent = "insert into clips (clip_id, video_id, start_ms, end_ms, prompt, seed, cache_key) "
                         "select gen_random_uuid(), video_id, start_ms + 9000, end_ms + 9000, $1, seed, '' from clips "
                         "where start_ms = 0 limit 1 returning clip_id";
    const char *other = ask(db, unsent, "Another passage");
    assert_int_equal(step(other), 0);
    assert_string_equal(state_of(other), "wanted"); /* nobody wants it now */
    change(db, "insert into video_jobs (video_id, story_id, narration_id, audio_ref, timing_ref, pictures, filming) "
               "values ('" STORY "', '" STORY "', '" VIDEO "', 'a', 't', 'filmed', gen_random_uuid())");
    const char *next = ask(db, unsent, ask(db, "select prompt from clips where clip_id = $1", first));
    assert_non_null(ask(db, "update clips set video_id = '" STORY "' where clip_id = $1 returning ''", next));
    /* Wherever it would be sent to now. */
    change(db, "update providers set open_until = now() + interval '1 hour' where provider = 'pika'");
    assert_int_equal(step(next), 0);
    assert_string_equal(state_of(next), "wanted");
    assert_non_null(ask(db, "select 1 from jobs where name = 'clip' and unique_key = $1", next));
    change(db, "update providers set open_until = null");
    assert_string_equal(finish(first), "done pika");
    assert_null(ask(db, "select 1 from jobs where name = 'render'"));
    assert_string_equal(finish(next), "done pika");
    assert_true(is_made(next));
    assert_string_equal(ask(db, "select string_agg(unique_key, ' ') from jobs where name = 'render'"), STORY);
    assert_int_equal(submissions(), 1);
}

static int delete_story(struct st_call *call, void *ctx)
{
    (void)ctx;
    return video_on_story_deleted(call);
}

static int run_cancel(struct st_call *call, void *ctx)
{
    (void)ctx;
    return video_cancel_clip(call);
}

/* The story is deleted, as its event tells. */
static void forget(void)
{
    struct st_call call;
    st_call_init(&call, &edge, "StoryDeleted");
    call.body = st_json_keep(&arena, json_pack("{s:s}", "storyId", STORY));
    assert_int_equal(st_call_transact(&call, delete_story, NULL), 0);
    st_arena_reset(&edge.arena);
}

/* What the job that was asked for does; it may be told that it comes too late. */
static void is_cancelled_as(const char *request)
{
    struct st_call call;
    json_t *payload;
    const char *why, *text = ask(db, "select payload from jobs where name = 'cancel_clip'");
    assert_non_null(text);
    assert_int_equal(st_json_parse(&arena, text, strlen(text), ST_JSON_DEPTH, &payload, &why), 0);
    for (int i = 0; i < 3; i++) {
        st_call_init(&call, &worker, "cancel_clip");
        call.body = payload;
        assert_int_equal(st_call_transact(&call, run_cancel, NULL), 0);
        st_arena_reset(&worker.arena);
    }
    assert_non_null(strstr(text_of("log"), request));
}

static void test_what_nobody_needs_is_cancelled(void **state)
{
    (void)state;
    static const char *const names[][2] = {{"runway", "DELETE /v1/tasks/0193c7e2-"},
                                           {"luma", "DELETE /generations/0193c7e2-"},
                                           {"pika", "PUT /fal-ai/pika/requests/0193c7e2-"}};
    for (size_t i = 0; i < ST_COUNT(names); i++) {
        setup(NULL);
        change(db, "truncate deleted_stories");
        use(names[i][0]);
        assert_int_equal(step(plan(1)), 0);
        change(db, "update video_jobs set filming = null");
        forget();
        is_cancelled_as(names[i][1]);
    }
    /* The story goes while its passage is being sent. */
    setup(NULL);
    change(db, "truncate deleted_stories");
    use("luma");
    pthread_t sending;
    void *r, *body = st_json_keep(&arena, json_pack("{s:s}", "clipId", plan(1)));
    write_file("faults", "late\n");
    write_file("held", "");
    assert_int_equal(pthread_create(&sending, NULL, told_step, body), 0);
    assert_true(wait_for(strstr(text_of("callbacks"), "token=") != NULL));
    change(db, "update video_jobs set filming = null");
    forget();
    assert_int_equal(unlink(in_dir("held")), 0);
    assert_int_equal(pthread_join(sending, &r), 0);
    assert_null(r);
    st_arena_reset(&worker.arena);
    is_cancelled_as(names[1][1]);
    /* It is waited for so long, and no longer. */
    setup(NULL);
    change(db, "truncate deleted_stories");
    use("runway luma");
    write_file("slow", "");
    const char *clip = plan(1);
    assert_int_equal(step(clip), 0);
    assert_string_equal(state_of(clip), "sent runway");
    for (int i = 0; i < POLLS; i++)
        assert_int_equal(step(clip), 0);
    assert_string_equal(state_of(clip), "sent runway");
    assert_int_equal(step(clip), 0);
    assert_int_equal(unlink(in_dir("slow")), 0);
    is_cancelled_as(names[0][1]);
    assert_string_equal(finish(clip), "done luma");
}

static void test_what_is_not_known_is_not_sent_again(void **state)
{
    (void)state;
    /* Luma has a list of what was begun. */
    use("luma");
    const char *clip = plan(1);
    write_file("faults", "reset\n");
    assert_int_equal(step(clip), 0);
    assert_string_equal(state_of(clip), "unknown luma");
    assert_string_equal(finish(clip), "done luma");
    assert_int_equal(submissions(), 1);
    /* Killed between the intent and the answer. */
    setup(NULL);
    clip = plan(1);
    assert_int_equal(step(clip), 0);
    change(db, "update clips set state = 'sending', provider_ref = null");
    assert_string_equal(finish(clip), "done luma");
    assert_int_equal(submissions(), 1);
    /* Runway has none: nobody will know. */
    setup(NULL);
    use("runway");
    clip = plan(1);
    write_file("faults", "reset\n");
    assert_string_equal(finish(clip), "failed runway");
    assert_int_equal(submissions(), 1);
}

static void test_failures(void **state)
{
    (void)state;
    static const struct {
        const char *whom, *faults, *becomes;
        int submissions;
    } cases[] = {
        {"pika runway", "422\n", "failed pika", 1},     /* content: nobody else is asked */
        {"pika runway", "content\n", "failed pika", 1}, /* the same, found out later */
        {"runway luma", "content\n", "failed runway", 1},
        {"luma", "content\n", "failed luma", 1},
        {"pika runway", "quota\n", "done runway", 2},    /* the next one */
        {"pika runway", "runner\n", "done runway", 2},   /* fal could not run it */
        {"pika runway", "401\n", "done runway", 2},      /* a wrong key */
        {"pika runway", "429\n", "done pika", 2},        /* asked to wait, and asked again */
        {"runway", "503\n", "done runway", 2},           /* the same, in its words */
        {"pika runway", "503\n", "failed pika", 1},      /* which others do not use: it may have been taken */
        {"runway", "500\n", "failed runway", 1},         /* the same */
        {"luma", "503\n", "failed luma", 1},             /* and it is not in its list */
        {"pika runway", "internal\n", "done runway", 2}, /* it has failed there */
        {"runway luma", "internal\n", "done luma", 2},
        /* What was sent is waited for, whatever ails the provider. */
        {"pika runway", "ok\n401\n403\ngarbage\nstrange\n422\n402\n", "done pika", 1},
        {"pika runway", "ok\nok\nok\n401\nok\n502\nok\ngarbage\n", "done pika", 1},
        {"runway luma", "ok\n401\n403\ngarbage\nstrange\n400\n503\n", "done runway", 1},
        {"luma", "ok\n401\n403\ngarbage\nstrange\n422\n402\n", "done luma", 1},
        {"pika runway", "ok\nok\nok\nok\ncut\n", "done pika", 1},    /* so is a download */
        {"pika runway", "ok\nok\nok\nok\nhtml\n", "done runway", 2}, /* what came is no film */
        {"pika runway", "ok\n404\n", "done runway", 2},              /* it does not know it any more */
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        setup(NULL);
        use(cases[i].whom);
        const char *clip = plan(1);
        write_file("faults", cases[i].faults);
        const char *became = finish(clip);
        if (!st_streq(became, cases[i].becomes) || submissions() != cases[i].submissions || *text_of("faults"))
            fail_msg("case %zu: %s, %d submissions:\n%s", i, became, submissions(), text_of("log"));
        if (strstr(cases[i].faults, "content"))
            assert_string_equal(ask(db, "select reason from clips"), "The provider does not film this passage.");
    }
}

/* Nobody outside makes us look into our own network, but where the provider's own address is there. */
static void test_where_films_are_fetched(void **state)
{
    (void)state;
    const char *home = st_strdup(&arena, getenv("ST_RUNWAY_URL"));
    const struct {
        const char *base, *url;
        enum film_place place;
    } cases[] = {
        {home, st_printf(&arena, "%s/files/film.mp4", home), FILM_AT_HOME},
        {home, st_printf(&arena, "%s1/files/film.mp4", home), FILM_NOWHERE},
        {home, st_printf(&arena, "%s@a.example/film.mp4", home), FILM_NOWHERE},
        {home, "http://127.0.0.1:1/film.mp4", FILM_NOWHERE},
        {home, "http://a.example/film.mp4", FILM_NOWHERE},
        {home, "file:///etc/passwd", FILM_NOWHERE},
        {home, "", FILM_NOWHERE},
        {home, "https://a.example/film.mp4", FILM_OUTSIDE},
        {"https://api.example/v1", "https://api.example/film.mp4", FILM_AT_HOME},
        {"https://api.example/v1", "https://api.example.org/film.mp4", FILM_OUTSIDE},
        {"https://api.example/v1", "http://127.0.0.1:80/film.mp4", FILM_NOWHERE},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        setenv("ST_RUNWAY_URL", cases[i].base, 1);
        use("runway");
        if (film_place_of(film_api_find("runway"), cases[i].url) != cases[i].place)
            fail_msg("%s: %s", cases[i].base, cases[i].url);
    }
    setenv("ST_RUNWAY_URL", home, 1);
}

static void test_the_film_waits_for_all(void **state)
{
    (void)state;
    use("pika");
    const char *clip = plan(2);
    write_file("faults", "422\n");
    assert_string_equal(finish(clip), "failed pika");
    assert_string_equal(ask(db, "select count(*) from jobs where name = 'render'"), "0");
    assert_string_equal(finish(ask(db, "select clip_id from clips where state = 'wanted'")), "done pika");
    assert_string_equal(ask(db, "select count(*) from jobs where name = 'render'"), "1");
}

static void test_who_may(void **state)
{
    (void)state;
    use("");
    assert_false(video_can_film("premium", "720p"));
    use("luma");
    assert_true(video_can_film("premium", "720p"));
    assert_true(video_can_film("family", "1080p"));
    assert_false(video_can_film("free", "720p"));
    assert_false(video_can_film("", "720p"));
    assert_false(video_can_film("prem", "720p"));
    use("runway"); /* which makes none that are larger */
    assert_true(video_can_film("premium", "720p"));
    assert_false(video_can_film("premium", "1080p"));
}

/* --- calls back -------------------------------------------------------------------------------------------------- */

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

/* Both of its jobs look at it, and the one that comes second has seen what is true no more. */
static void test_looked_at_twice_at_a_time(void **state)
{
    (void)state;
    use("pika runway");
    const char *clip = plan(1);
    write_file("faults", "internal\n");
    assert_int_equal(step(clip), 0);
    assert_int_equal(step(clip), 0);
    assert_string_equal(state_of(clip), "sent pika");
    write_file("log", "");
    st_pg_begin(db);
    change(db, "update clips set provider = 'runway', provider_ref = 'r', tried = '{pika}'");
    pthread_t other;
    void *r, *body = st_json_keep(&arena, json_pack("{s:s, s:b}", "clipId", clip, "told", true));
    assert_int_equal(pthread_create(&other, NULL, told_step, body), 0);
    assert_true(wait_for(strstr(text_of("log"), "GET ") != NULL)); /* it has read the row */
    must(db, st_pg_commit(db));
    assert_int_equal(pthread_join(other, &r), 0);
    assert_null(r);
    assert_string_equal(state_of(clip), "sent runway");
    assert_string_equal(ask(db, "select tried from clips"), "{pika}");
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

/* --- whom the film names ----------------------------------------------------------------------------------------- */

static int join(struct st_call *call, void *ctx)
{
    (void)ctx;
    return video_on_participant_joined(call);
}

/* Somebody of that name, who is the n-th. */
static void joins(int n, const char *name, const char *role, const char *character)
{
    const char *id = st_printf(&arena, "0193c7e2-3333-7111-8111-%012d", n);
    const struct st_event event = {.aggregate_id = VIDEO};
    struct st_call call;
    assert_non_null(ask(db,
                        "insert into people (user_id, display_name) values ($1, $2) "
                        "on conflict (user_id) do update set display_name = $2 returning ''",
                        id, name));
    st_call_init(&call, &edge, "ParticipantJoined");
    call.event = &event;
    call.body = st_json_keep(&arena, json_pack("{s:s, s:s, s:s, s:s*}", "storyId", STORY, "userId", id, "role", role,
                                               "character", character));
    assert_int_equal(st_call_transact(&call, join, NULL), 0);
    st_arena_reset(&edge.arena);
}

static const char *named(void)
{
    struct st_call call;
    const char *const *names, *all = "";
    st_call_init(&call, &worker, "render");
    assert_int_equal(video_load_voices(&call, STORY, &names), 0);
    for (; names && *names; names++)
        all = st_printf(&arena, "%s[%s]", all, *names);
    st_arena_reset(&worker.arena);
    return all;
}

static void test_who_is_named(void **state)
{
    (void)state;
    assert_string_equal(named(), "");
    joins(1, "Lea", "listener", NULL);
    joins(2, "Edo", "editor", NULL);
    assert_string_equal(named(), "");
    joins(3, "Ben", "voice", NULL);
    joins(4, "Cara", "collaborator", NULL);
    assert_string_equal(named(), "[Ben][Cara]");
    joins(4, "Cara", "collaborator", "Mary");
    joins(5, "Edda", "editor", "The wolf");
    assert_string_equal(named(), "[Cara – Mary][Edda – The wolf]");
}

int main(int argc, char **argv)
{
    (void)argc;
    world_start(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_provider, setup, teardown),
        cmocka_unit_test_setup_teardown(test_animated, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_cheapest_that_can, setup, teardown),
        cmocka_unit_test_setup_teardown(test_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_filmed_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shorter_than_its_passage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_was_sent_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_nobody_needs_is_cancelled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_known_is_not_sent_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_where_films_are_fetched, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_film_waits_for_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_may, setup, teardown),
        cmocka_unit_test_setup_teardown(test_call_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_looked_at_twice_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signed_call_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys_change, setup, teardown),
        cmocka_unit_test_setup_teardown(test_call_back_while_sending, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_is_named, setup, teardown),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
