#ifndef TESTS_LIB_FILMING_H
#define TESTS_LIB_FILMING_H
/*
 * Shared by the tests of filmed passages: a database of video's, the stand-in for its providers (Films.pm), and a film
 * whose passages are planned and stepped through, whatever delays their jobs would have. Each test program includes it
 * once: begin, end for its group, setup, teardown for each test.
 */
#include "backbone.h"
#include "child.h"
#include "files.h"

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

ST_UNUSED static int begin(void **state)
{
    (void)state;
    const char *dir = getenv("ST_TEST_DIR");
    db = database_of("video", "video");
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

ST_UNUSED static int end(void **state)
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
ST_UNUSED static void use(const char *names)
{
    static const char *const all[][2] = {
        {"luma", "ST_LUMA_KEY_FILE"}, {"pika", "ST_FAL_KEY_FILE"}, {"runway", "ST_RUNWAY_KEY_FILE"}};
    const char *why;
    use_database("video");
    for (size_t i = 0; i < ST_COUNT(all); i++)
        setenv(all[i][1], strstr(names, all[i][0]) ? in_dir("key") : "", 1);
    assert_int_equal(st_options_load(options, &why), 0);
}

ST_UNUSED static int setup(void **state)
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
    write_file("others", "0");
    return 0;
}

ST_UNUSED static int teardown(void **state)
{
    (void)state;
    st_arena_reset(&worker.arena);
    st_arena_reset(&edge.arena);
    st_arena_release(&arena);
    return 0;
}

static int passage_ms = 4200; /* of a film of one */

/* Plans the film of one passage, or two; gives the first clip's id. */
ST_UNUSED static const char *plan_film(size_t passages, bool animated)
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

ST_UNUSED static const char *plan(size_t passages)
{
    return plan_film(passages, false);
}

ST_UNUSED static int run_clip(struct st_call *call, void *ctx)
{
    (void)ctx;
    return video_clip(call);
}

/* One run of the clip's job, for its author; told: because the provider has called back. */
ST_UNUSED static int step_as(const char *clip, bool told)
{
    const struct st_job job = {.attempt = 1, .max_attempts = 1, .key = clip};
    struct st_call call;
    st_call_init(&call, &worker, "clip");
    call.job = &job;
    call.user_id = STORY;
    call.body = st_json_keep(&arena, json_pack("{s:s, s:b}", "clipId", clip, "told", told));
    int r = st_call_transact(&call, run_clip, NULL);
    st_arena_reset(&worker.arena);
    return r;
}

ST_UNUSED static int step(const char *clip)
{
    return step_as(clip, false);
}

/* As step, but for the test's arena, which belongs to its thread. */
ST_UNUSED static void *told_step(void *body)
{
    struct st_call call;
    st_call_init(&call, &worker, "clip");
    call.body = body;
    return (void *)(intptr_t)st_call_transact(&call, run_clip, NULL);
}

ST_UNUSED static const char *state_of(const char *clip)
{
    return ask(db, "select state || coalesce(' ' || provider, '') from clips where clip_id = $1", clip);
}

ST_UNUSED static int run_film(struct st_call *call, void *ctx)
{
    (void)ctx;
    return video_sagas[0].steps[1].action(call);
}

/* The film is asked for once more, and what it takes is reserved. */
ST_UNUSED static void film_again(void)
{
    struct st_call call;
    st_call_init(&call, &edge, "video.film");
    const struct st_saga_run saga = {.id = ask(db, "select filming from video_jobs where video_id = '" VIDEO "'")};
    call.saga = &saga;
    call.body = st_json_keep(&arena, json_pack("{s:s}", "videoId", VIDEO));
    assert_int_equal(st_call_transact(&call, run_film, NULL), 0);
    st_arena_reset(&edge.arena);
}

/* Another clip of the same passage, that much later in the film; longer_ms: than it. */
ST_UNUSED static const char *same_passage(int later_ms, int longer_ms)
{
    return ask(db,
               "insert into clips (clip_id, video_id, start_ms, end_ms, prompt, seed, cache_key) "
               "select gen_random_uuid(), video_id, start_ms + $1::int, end_ms + $1::int + $2::int, prompt, seed, '' "
               "from clips order by start_ms limit 1 returning clip_id",
               st_i64(&arena, later_ms), st_i64(&arena, longer_ms));
}

/* Until it has come to its end, whatever delays its jobs would have. */
ST_UNUSED static const char *finish(const char *clip)
{
    for (int i = 0; i < STEPS_MAX && !st_starts(state_of(clip), "done") && !st_starts(state_of(clip), "failed"); i++)
        assert_int_equal(step(clip), 0);
    return state_of(clip);
}

ST_UNUSED static int submissions(void)
{
    int n = 0;
    for (const char *s = text_of("log"); (s = strstr(s, "POST ")); s++)
        n++;
    return n;
}

/* seconds: as ffprobe has them */
ST_UNUSED static bool is_made_of(const char *clip, const char *seconds)
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

ST_UNUSED static bool is_made(const char *clip)
{
    return is_made_of(clip, "4.2"); /* 3 s, slowed */
}

/* Nobody may ask it for an hour. */
ST_UNUSED static void leave_alone(const char *provider)
{
    assert_non_null(ask(db,
                        "insert into providers (provider, open_until) values ($1, now() + interval '1 hour') "
                        "on conflict (provider) do update set open_until = excluded.open_until returning ''",
                        provider));
}

/* One that was sent long ago, and whose provider was not there whenever it was looked for. */
ST_UNUSED static const char *lose_at_luma(void)
{
    use("luma");
    const char *clip = plan(1);
    write_file("faults", "reset\n");
    assert_int_equal(step(clip), 0);
    change(db, "update clips set sent_at = now() - interval '7 hours'");
    leave_alone("luma");
    assert_string_equal(finish(clip), "failed luma");
    change(db, "update providers set open_until = null");
    return clip;
}

#endif
