/* Which passages of a film a provider is to film, what it is told of them, and what it is shown. */
#include "base/spawn.h"
#include "io/crypto.h"
#include "video/render_internal.h"
#include "video/video.h"

enum {
    CLIPS_MAX = 6, /* of a film: what they cost is known beforehand */
    PROMPT_CHARS = 600,
    INTO_SCENE_MS = 1000, /* when it has faded in */
    CONVERT_S = 60,
    PICTURE_BYTES = 16 << 20,
};
#define MEMORY_MAX (UINT64_C(2) << 30)

static const char *prompt_of(struct st_call *call, const struct st_video_job *job, const struct st_scene *scene)
{
    struct st_buf text = ST_BUF(1 << 20);
    const char *mood = "neutral";
    for (size_t i = 0; i < job->segment_count && text.len < PROMPT_CHARS * 4; i++) {
        const struct st_video_segment *s = &job->segments[i];
        if (s->start_ms < scene->start_ms || s->start_ms >= scene->end_ms)
            continue;
        st_buf_printf(&text, "%s ", s->text);
        if (st_mood_find(s->emotion) == scene->mood)
            mood = s->emotion;
    }
    const char *passage = st_text_clean(call->arena, text.len ? text.data : "", PROMPT_CHARS);
    st_buf_release(&text);
    return st_printf(call->arena, "A cinematic shot for a story, without any writing in the picture. Mood: %s. %s",
                     mood, passage);
}

/* The drawn picture of a scene as an object, whose name is its hash. */
static int put_picture(struct st_call *call, const char *video_id, const struct st_feed *feed,
                       const struct st_scene *scene, const char **ret_key)
{
    struct st_arena *a = call->arena;
    int64_t half = (scene->end_ms - scene->start_ms) / 2;
    const char *raw = st_printf(a, "%s/still", st_scratch(call)),
               *jpeg = st_printf(a, "%s/still.jpg", st_scratch(call));
    const char *size = st_printf(a, "%dx%d", feed->w, feed->h), *output = st_printf(a, "file:%s", jpeg);
    const char *argv[] = {"ffmpeg",    "-v",       "error",    "-nostdin", "-y",
                          "-f",        "rawvideo", "-pix_fmt", "yuv420p",  "-video_size",
                          size,        "-i",       raw,        "-vf",      "scale=out_range=pc,format=yuvj420p",
                          "-frames:v", "1",        "-c:v",     "mjpeg",    "-q:v",
                          "3",         "-f",       "image2",   "-update",  "1",
                          output,      NULL};
    struct st_spawn_result result;
    char sha256[2 * ST_SHA256_LEN + 1];
    if (st_feed_still(feed, scene->start_ms + (half < INTO_SCENE_MS ? half : INTO_SCENE_MS), raw) < 0)
        return st_fail_here(call, ST_E_UNAVAILABLE, "A picture cannot be written.");
    int r = st_spawn(a,
                     &(struct st_spawn){.argv = argv,
                                        .timeout_us = CONVERT_S * ST_SECOND,
                                        .max_memory = MEMORY_MAX,
                                        .max_file = PICTURE_BYTES,
                                        .max_cpu_s = CONVERT_S},
                     &result);
    r = st_spawn_verdict(r, &result);
    if (r < 0 || st_sha256_file(jpeg, sha256) < 0)
        return st_fail_here(call, r < 0 ? r : ST_E_UNAVAILABLE, "A picture cannot be made: %s", result.err);
    *ret_key = st_printf(a, "video/%s/clips/%s.jpg", video_id, sha256);
    return st_object_put_file(call, *ret_key, jpeg);
}

/* Scenes spread evenly over the film. What outside the database is done is done before the first statement. */
int video_plan_clips(struct st_call *call, const char *video_id, const struct st_video_job *job, bool animated)
{
    int64_t end = job->segment_count ? job->segments[job->segment_count - 1].end_ms : 0;
    const char *pictures[CLIPS_MAX] = {NULL};
    size_t count;
    int r = 0;
    if (end < 1 || end > ST_VIDEO_MAX_MS)
        return 0;
    const struct st_scene *scenes = st_scenes_plan(call->arena, job, end, &count);
    const struct st_feed feed = {.scenes = scenes,
                                 .count = count,
                                 .title = job->title,
                                 .w = job->width,
                                 .h = job->height,
                                 .fps = 24,
                                 .film_ms = end};
    size_t wanted = count < CLIPS_MAX ? count : CLIPS_MAX;
    for (size_t i = 0; animated && r == 0 && i < wanted; i++)
        r = put_picture(call, video_id, &feed, &scenes[i * count / wanted], &pictures[i]);
    for (size_t i = 0; r == 0 && i < wanted; i++) {
        const struct st_scene *s = &scenes[i * count / wanted];
        st_exec(call,
                "insert into clips (clip_id, video_id, start_ms, end_ms, prompt, seed, picture, cache_key) "
                "values ($1, $2, $3, $4, $5, $6, $7, '')",
                st_new_id(call->arena), video_id, st_i64(call->arena, s->start_ms), st_i64(call->arena, s->end_ms),
                prompt_of(call, job, s), st_i64(call->arena, s->variant + 1), pictures[i]);
    }
    return r < 0 ? r : (int)wanted;
}
