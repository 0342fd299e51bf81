/* Passages filmed by providers: sent once, whatever breaks; who is asked; what is taken of what comes. */
#include "../lib/filming.h"

#include <errno.h>
#include <sys/stat.h>

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

/* Each is given the address of the drawn picture, in its own way, and does not learn whose film it is. */
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
        assert_null(strstr(text_of("bodies"), STORY)); /* the author's id, too */
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
    clip = same_passage(10000, 0);
    assert_int_equal(step(clip), 0);
    assert_string_equal(ask(db, "select state from clips where clip_id = $1", clip), "done");
    assert_true(is_made(clip));
    assert_int_equal(submissions(), 1);
    /* Longer, but not by so much that another would be made: it is cut anew. */
    clip = same_passage(20000, 400);
    assert_int_equal(step(clip), 0);
    assert_string_equal(ask(db, "select state from clips where clip_id = $1", clip), "done");
    assert_int_equal(submissions(), 1);
    assert_true(is_made_of(clip, "4.58"));
}

/* Where the object is, of the local store. */
static const char *file_of(const char *clip)
{
    return in_dir(ask(db, "select object_key from clips where clip_id = $1", clip));
}

/* A folder in its place: the store cannot say that it is there, nor that it is not. */
static void hide(const char *file)
{
    assert_int_equal(rename(file, in_dir("hidden")), 0);
    assert_int_equal(mkdir(file, 0700), 0);
}

static void show(const char *file)
{
    assert_int_equal(rmdir(file), 0);
    assert_int_equal(rename(in_dir("hidden"), file), 0);
}

static int load_clips(struct st_video_job *ret)
{
    struct st_call call;
    *ret = (struct st_video_job){0};
    st_call_init(&call, &worker, "render");
    int r = video_load_clips(&call, VIDEO, ret);
    st_arena_reset(&worker.arena);
    return r;
}

/* Nothing that was paid is left out, or bought again, because it cannot be read now. */
static void test_the_store_is_away(void **state)
{
    (void)state;
    struct st_video_job job;
    use("runway");
    const char *first = plan(1), *file;
    assert_string_equal(finish(first), "done runway");
    hide(file = file_of(first));
    assert_int_equal(load_clips(&job), ST_E_UNAVAILABLE);
    const char *next = same_passage(10000, 0);
    assert_int_equal(step(next), ST_E_UNAVAILABLE);
    assert_string_equal(state_of(next), "wanted");
    show(file);
    assert_string_equal(finish(next), "done runway");
    assert_int_equal(load_clips(&job), 0);
    assert_int_equal(job.clip_count, 2);
    assert_int_equal(submissions(), 1);
}

/* A file in the place of one of the store's folders: nothing can be written there. */
static void block(const char *folder)
{
    assert_true(rename(in_dir(folder), in_dir("blocked")) == 0 || errno == ENOENT);
    write_file(folder, "");
}

static void unblock(const char *folder)
{
    assert_int_equal(unlink(in_dir(folder)), 0);
    assert_true(rename(in_dir("blocked"), in_dir(folder)) == 0 || errno == ENOENT);
}

static int is_done(struct st_call *call)
{
    (void)call;
    return 0;
}

static const struct st_job_kind pooled[] = {{.name = "clip",
                                             .handler = video_clip,
                                             .concurrency = 1,
                                             .timeout_s = 900,
                                             .attempts = 2,
                                             .failed = video_clip_failed},
                                            {.name = "render", .handler = is_done, .concurrency = 1, .attempts = 1},
                                            {0}};
static const struct st_service pool_service = {.name = "video", .jobs = pooled};

/* Whatever their delays: jobs run now. */
static bool hurry(struct daemon *pool)
{
    change(db, "update jobs set run_at = now() where state = 'waiting'");
    st_bell_ring(&pool->run.jobs_bell);
    return true;
}

/* It is put as soon as it can be, after more runs than its job has attempts. */
static void test_the_store_stays_away(void **state)
{
    (void)state;
    use("runway");
    const char *clip = plan(1);
    assert_int_equal(step(clip), 0);
    block(".part");
    struct daemon *pool = daemon_new(&pool_service);
    assert_int_equal(st_jobs_start(&pool->run), 0);
    assert_true(wait_for(hurry(pool) && (count("log", "GET /files/") > 3 || !st_starts(state_of(clip), "sent"))));
    daemon_stop(pool, 60000);
    assert_string_equal(state_of(clip), "sent runway");
    assert_string_equal(ask(db, "select string_agg(state || attempts, ' ') from jobs where ended is null"), "waiting0");
    unblock(".part");
    assert_string_equal(finish(clip), "done runway");
    assert_int_equal(submissions(), 1);
}

/* Nor is it the provider's fault, however often, that what comes cannot be written. */
static void test_no_room_for_what_comes(void **state)
{
    (void)state;
    use("runway luma");
    const char *clip = plan(1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(step(clip), 0);
    block(".scratch");
    for (int i = 0; i < 6; i++)
        assert_int_equal(step(clip), ST_E_UNAVAILABLE);
    assert_string_equal(ask(db, "select state || polls from clips"), "sent1");
    assert_null(ask(db, "select 1 from providers where failures > 0"));
    unblock(".scratch");
    assert_string_equal(finish(clip), "done runway");
    assert_int_equal(submissions(), 1);
}

/* Of a film nothing is known while it cannot be looked at. */
static void test_a_machine_that_cannot_convert(void **state)
{
    (void)state;
    static const struct {
        const char *ffmpeg;
        int error;
    } cases[] = {{"kill -9 $$", ST_E_TIMEOUT}, {"echo 'No space left on device' >&2; exit 228", ST_E_UNAVAILABLE}};
    const char *path = st_strdup(&arena, getenv("PATH"));
    use("runway luma");
    const char *clip = plan(1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(step(clip), 0);
    assert_int_equal(mkdir(in_dir("bin"), 0700), 0);
    setenv("PATH", st_printf(&arena, "%s:%s", in_dir("bin"), path), 1);
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        write_file("bin/ffmpeg", st_printf(&arena, "#!/bin/sh\n%s\n", cases[i].ffmpeg));
        assert_int_equal(chmod(in_dir("bin/ffmpeg"), 0700), 0);
        assert_int_equal(step(clip), cases[i].error);
    }
    setenv("PATH", path, 1);
    assert_string_equal(finish(clip), "done runway");
    assert_int_equal(submissions(), 1);
}

/* It is bought anew, once, and nobody is told that the film shows it. */
static void test_what_was_filmed_is_gone(void **state)
{
    (void)state;
    struct st_video_job job;
    use("runway");
    const char *first = plan(1);
    assert_string_equal(finish(first), "done runway");
    assert_int_equal(unlink(file_of(first)), 0);
    const char *second = same_passage(10000, 0), *third = same_passage(20000, 0);
    assert_int_equal(step(second), 0);
    assert_string_equal(state_of(second), "sent runway");
    assert_int_equal(step(third), 0);
    assert_string_equal(state_of(third), "wanted");
    assert_string_equal(finish(second), "done runway");
    assert_string_equal(finish(third), "done runway");
    assert_int_equal(submissions(), 2);
    assert_int_equal(unlink(file_of(third)), 0);
    FILE *f = fopen(file_of(third), "we"); /* damaged */
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(load_clips(&job), 0);
    assert_int_equal(job.clip_count, 1);
    assert_string_equal(state_of(second), "done runway");
    assert_string_equal(ask(db, "select string_agg(distinct reason, '') from clips where state = 'failed'"),
                        "What was filmed is gone.");
    assert_string_equal(ask(db, "select count(*) from clips where state = 'failed'"), "2");
}

/* What another model has filmed is another film. */
static void test_filmed_by_that_model(void **state)
{
    (void)state;
    use("runway");
    assert_string_equal(finish(plan(1)), "done runway");
    const struct film_api *f = film_api_find("runway");
    assert_non_null(strstr(text_of("bodies"), st_printf(&arena, "\"model\":\"%s\"", f->model)));
    const char *all = st_printf(&arena, "runway %s\n5 0 0 %s \n%s", f->model, ask(db, "select seed from clips"),
                                ask(db, "select prompt from clips"));
    assert_string_equal(ask(db, "select cache_key from clips"), st_sha256_hex(&arena, all, strlen(all)));
}

/* In how many ms from now the clip is looked at again. */
static int64_t next_look(const char *clip)
{
    const char *ms = ask(db,
                         "select (extract(epoch from run_at - now()) * 1000)::int from jobs "
                         "where name = 'clip' and unique_key = $1",
                         clip);
    int64_t n = 0;
    assert_true(ms && st_parse_i64(ms, INT32_MIN, INT32_MAX, &n));
    return n;
}

/* Ever more rarely, and what fails is not asked again before its time: nobody is asked more often than he wants. */
static void test_looks_are_rarer_and_rarer(void **state)
{
    (void)state;
    static const char *const names[] = {"runway", "luma", "pika"};
    static const int64_t about[] = {6000, 6000, 7800, 10140, 13182, 17136, 22277, 28961, 37649, 48943, 60000, 60000};
    for (size_t i = 0; i < ST_COUNT(names); i++) {
        setup(NULL);
        use(names[i]);
        const char *clip = plan(1);
        write_file("slow", "");
        write_file("faults", "ok\n500\n429\nreset\n");
        for (size_t k = 0; k < ST_COUNT(about); k++) {
            change(db, "truncate jobs cascade");
            assert_int_equal(step(clip), 0);
            int64_t ms = next_look(clip);
            if (ms > about[k] || ms < about[k] - 900)
                fail_msg("%s, look %zu: in %lld ms", names[i], k, (long long)ms);
        }
        assert_int_equal(count("log", "GET "), ST_COUNT(about) - 1);
        assert_int_equal(unlink(in_dir("slow")), 0);
    }
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
    /* Which also has what it has failed to film before. */
    setup(NULL);
    clip = plan(1);
    write_file("faults", "internal\n");
    assert_string_equal(finish(clip), "failed luma");
    film_again();
    write_file("faults", "reset\n");
    assert_string_equal(finish(clip), "done luma");
    assert_int_equal(submissions(), 2);
    /* Which may be long. */
    setup(NULL);
    write_file("others", "250");
    clip = plan(1);
    write_file("faults", "reset\n");
    assert_int_equal(step(clip), 0);
    assert_int_equal(step(clip), 0);
    assert_string_equal(state_of(clip), "sent luma");
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

/*
 * For a day: neither when its film is asked for again, nor when another film has the same passage, whoever could film
 * it now.
 */
static void test_what_is_lost_is_not_sent_again(void **state)
{
    (void)state;
    use("runway");
    const char *clip = plan(1);
    write_file("faults", "reset\n");
    assert_string_equal(finish(clip), "failed runway");
    use("runway pika luma");
    film_again();
    assert_string_equal(state_of(clip), "unknown runway");
    assert_string_equal(finish(clip), "failed runway");
    const char *other = same_passage(10000, 0);
    assert_string_equal(finish(other), "failed");
    film_again();
    assert_int_equal(step(other), 0);
    assert_string_equal(state_of(other), "wanted"); /* it waits for what is looked for */
    assert_string_equal(finish(clip), "failed runway");
    assert_string_equal(finish(other), "failed");
    assert_int_equal(submissions(), 1);
    /* Its list can be read again when the film is asked for again. */
    setup(NULL);
    lose_at_luma();
    film_again();
    assert_string_equal(finish(ask(db, "select clip_id from clips")), "done luma");
    assert_int_equal(submissions(), 1);
}

/* The other film has that passage, or has it again. */
static const char *once_more(void)
{
    return ask(db, "update clips set video_id = '" STORY "' where clip_id = $1 returning clip_id", same_passage(0, 0));
}

/* The film is ready, and another has its passage. */
static const char *in_another_film(void)
{
    change(db, "update video_jobs set status = 'ready', filming = null");
    change(db, "insert into video_jobs (video_id, story_id, narration_id, audio_ref, timing_ref, pictures, filming) "
               "values ('" STORY "', '" STORY "', '" VIDEO "', 'a', 't', 'filmed', gen_random_uuid())");
    return once_more();
}

/* Another film finds what the one that it was sent for had to be made without. */
static void test_what_is_lost_is_looked_for(void **state)
{
    (void)state;
    /* By its list, which can be read again. */
    const char *clip = lose_at_luma(), *next = in_another_film();
    assert_int_equal(step(next), 0);
    assert_string_equal(state_of(clip), "sent luma");
    assert_string_equal(state_of(next), "wanted");
    assert_string_equal(finish(clip), "done luma");
    assert_string_equal(finish(next), "done luma");
    assert_int_equal(submissions(), 1);
    /* Its list cannot be read: the other film waits for that, and the one that it was sent for does not. */
    setup(NULL);
    clip = lose_at_luma();
    next = in_another_film();
    change(db, "update clips set sent_at = now()");
    write_file("faults", "500\ngarbage\n");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(step(next), 0);
        assert_string_equal(state_of(clip), "failed luma");
        assert_string_equal(state_of(next), "wanted");
    }
    leave_alone("luma");
    assert_string_equal(finish(next), "failed");
    assert_string_equal(state_of(clip), "failed luma");
    assert_int_equal(submissions(), 1);
    /* By its name. */
    setup(NULL);
    use("runway");
    clip = plan(1);
    assert_int_equal(step(clip), 0);
    change(db, "update clips set state = 'failed', lost = true");
    next = in_another_film();
    assert_int_equal(step(next), 0);
    assert_string_equal(finish(clip), "done runway");
    assert_string_equal(finish(next), "done runway");
    assert_int_equal(submissions(), 1);
}

static int run_failed(struct st_call *call, void *ctx)
{
    (void)ctx;
    return video_clip_failed(call);
}

/* Its job has used up its attempts. */
static void give_up(const char *clip)
{
    struct st_call call;
    st_call_init(&call, &worker, "clip");
    call.body = st_json_keep(&arena, json_pack("{s:s}", "clipId", clip));
    assert_int_equal(st_call_transact(&call, run_failed, NULL), 0);
    st_arena_reset(&worker.arena);
}

/* What comes cannot be converted, whoever wants it: no film waits for that twice. */
static void test_what_is_lost_again(void **state)
{
    (void)state;
    use("runway");
    const char *clip = plan(1), *next;
    assert_int_equal(step(clip), 0);
    give_up(clip);
    assert_string_equal(state_of(clip), "failed runway");
    next = in_another_film();
    assert_int_equal(step(next), 0);
    assert_string_equal(state_of(clip), "sent runway");
    assert_int_equal(step(next), 0);
    give_up(clip);
    assert_string_equal(finish(next), "failed");
    assert_string_equal(state_of(clip), "failed runway");
    assert_int_equal(submissions(), 1);
    /* A day later it is paid anew, when it is still so. */
    change(db, "update clips set sent_at = now() - interval '25 hours' where sent_at is not null");
    next = once_more();
    assert_int_equal(step(next), 0);
    assert_string_equal(state_of(clip), "sent runway");
    give_up(clip);
    assert_string_equal(finish(next), "done runway");
    assert_int_equal(submissions(), 2);
}

/* Whom it was sent to has ended it by then; so it is not drawn for ever, in this film or another. */
static void test_what_is_lost_for_a_day_is_sent_anew(void **state)
{
    (void)state;
    static const char a_day[] = "update clips set sent_at = now() - interval '25 hours'";
    use("runway");
    const char *clip = plan(1);
    write_file("faults", "reset\n");
    assert_string_equal(finish(clip), "failed runway");
    change(db, a_day);
    assert_string_equal(finish(in_another_film()), "done runway");
    assert_string_equal(state_of(clip), "failed runway"); /* its film is ready */
    assert_null(ask(db, "select 1 from clips where lost"));
    assert_int_equal(submissions(), 2);
    setup(NULL);
    clip = plan(1);
    write_file("faults", "reset\n");
    assert_string_equal(finish(clip), "failed runway");
    change(db, a_day);
    film_again();
    assert_string_equal(finish(clip), "done runway");
    assert_int_equal(submissions(), 2);
    /* Also when its list cannot be read for long. */
    setup(NULL);
    lose_at_luma();
    change(db, a_day);
    use("luma runway");
    leave_alone("luma");
    assert_string_equal(finish(in_another_film()), "done runway");
    assert_int_equal(submissions(), 2);
    /* But what is there after all is taken, whatever the first look has come to. */
    setup(NULL);
    clip = lose_at_luma();
    change(db, a_day);
    const char *next = in_another_film();
    write_file("faults", "500\n");
    assert_int_equal(step(next), 0);
    assert_string_equal(state_of(next), "wanted");
    assert_int_equal(step(next), 0);
    assert_string_equal(finish(clip), "done luma");
    assert_string_equal(finish(next), "done luma");
    assert_int_equal(submissions(), 1);
    static const char *const ages[] = {"7", "25"};
    for (size_t i = 0; i < ST_COUNT(ages); i++) {
        setup(NULL);
        clip = lose_at_luma();
        ask(db, "update clips set sent_at = now() - $1 * interval '1 hour'", ages[i]);
        film_again();
        write_file("faults", "500\n");
        assert_string_equal(finish(clip), "done luma");
        assert_int_equal(submissions(), 1);
    }
}

/* While its provider is away nobody can know; then it is there. */
static void test_an_outage_is_waited_for(void **state)
{
    (void)state;
    /* Its list cannot be read: it fails, the breaker is open, what comes is no list. */
    use("luma");
    const char *clip = plan(1);
    write_file("faults", "reset\n500\n500\n500\n500\n");
    for (int i = 0; i < 20; i++)
        assert_int_equal(step(clip), 0);
    assert_string_equal(text_of("faults"), "");
    assert_string_equal(ask(db, "select state || polls from clips"), "unknown0");
    assert_non_null(ask(db, "select 1 from providers where open_until > now()"));
    for (int i = 0; i < 11; i++) {
        change(db, "truncate providers cascade");
        write_file("faults", i % 2 ? "garbage\n" : "404\n");
        assert_int_equal(step(clip), 0);
    }
    write_file("faults", "");
    change(db, "truncate providers cascade");
    assert_string_equal(finish(clip), "done luma");
    assert_int_equal(submissions(), 1);
    /* Nor is one asked for that was surely sent. */
    setup(NULL);
    use("runway luma");
    clip = plan(1);
    assert_int_equal(step(clip), 0);
    change(db, "update providers set open_until = now() + interval '1 hour'");
    for (int i = 0; i < POLLS + 5; i++)
        assert_int_equal(step(clip), 0);
    assert_string_equal(ask(db, "select state || polls from clips"), "sent0");
    change(db, "update providers set open_until = null");
    assert_string_equal(finish(clip), "done runway");
    assert_int_equal(submissions(), 1);
    /* But not for ever. */
    setup(NULL);
    clip = plan(1);
    assert_int_equal(step(clip), 0);
    change(db, "update providers set open_until = now() + interval '1 hour'");
    change(db, "update clips set sent_at = now() - interval '7 hours'");
    for (int i = 0; i < POLLS; i++)
        assert_int_equal(step(clip), 0);
    assert_string_equal(state_of(clip), "sent runway"); /* it may be there again by now */
    assert_string_equal(finish(clip), "done luma");
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
        {"pika runway", "ok\nok\nok\nok\n403\n", "done pika", 1},    /* the address of the film has expired */
        /* It is done, and there is nothing yet. */
        {"runway luma", "ok\nthrottled\nempty\n", "done runway", 1},
        {"luma", "ok\nok\nempty\n", "done luma", 1},
        {"pika runway", "ok\nok\nok\nempty\n", "done pika", 1},
        /* The next one may. */
        {"runway luma", "daily\n", "done luma", 2},
        {"runway luma", "wrong\n", "done luma", 2},
        {"pika runway", "wrong\n", "done runway", 2},
        {"luma", "wrong\n", "failed luma", 1},
        {"runway luma", "cancelled\n", "done luma", 2},
        {"runway luma", "asset\n", "done luma", 2},
        {"runway luma", "preprocessing\n", "done luma", 2},
        {"pika runway", "timeout\n", "done runway", 2},
        {"pika runway", "client\n", "done runway", 2},
        {"pika runway", "retryable\n", "done runway", 2},
        {"pika runway", "invalid\n", "done runway", 2},
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

/* Requests of one film that a provider cannot do are no reason to leave it alone with those of others. */
static void test_requests_that_it_cannot_do(void **state)
{
    (void)state;
    use("pika");
    for (int i = 0; i < 6; i++) {
        change(db, "delete from clips");
        write_file("faults", "wrong\n");
        assert_string_equal(finish(plan(1)), "failed pika");
    }
    change(db, "delete from clips");
    assert_string_equal(finish(plan(1)), "done pika");
    assert_int_equal(submissions(), 7);
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
        cmocka_unit_test_setup_teardown(test_the_store_is_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_store_stays_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_room_for_what_comes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_machine_that_cannot_convert, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_was_filmed_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_filmed_by_that_model, setup, teardown),
        cmocka_unit_test_setup_teardown(test_looks_are_rarer_and_rarer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shorter_than_its_passage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_was_sent_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_nobody_needs_is_cancelled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_known_is_not_sent_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_lost_is_not_sent_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_lost_is_looked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_lost_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_lost_for_a_day_is_sent_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_outage_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_requests_that_it_cannot_do, setup, teardown),
        cmocka_unit_test_setup_teardown(test_where_films_are_fetched, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_film_waits_for_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_may, setup, teardown),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
