/* Makes a film of a narrated story with ffmpeg: checks, prepares, encodes, and looks at what came out. */
#include "video/render.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/spawn.h"
#include "video/render_internal.h"

#define MEMORY_MAX (UINT64_C(4) << 30) /* address space, most of it mapped fonts and stacks that are never touched */
#define FADE_S     0.6                 /* of clips; shorter ones fade for half of their length */

enum {
    PROBE_S = 30,
    OFF_MS = 500,             /* how far the film's length may be from the sound's */
    FILE_BASE = 64 << 20,     /* a film may be so large, */
    FILE_PER_SECOND = 600000, /* and so much for each second of it: twice of what the busiest one takes */
    TITLE_CHARS = 160,        /* in the film's metadata */
    DONE = 1000,
};

/* Long films take fewer pictures a second: they would cost hours. Captions are rounded to the nearest picture. */
static const struct quality {
    int64_t up_to_ms;
    int fps;
    const char *crf, *audio_rate, *audio_bits;
} qualities[] = {
    {30 * 60 * 1000, 24, "25", "48000", "96k"},
    {8 * 3600 * 1000, 12, "26", "48000", "80k"},
    {ST_VIDEO_MAX_MS, 6, "28", "24000", "48k"},
};

struct render {
    const struct st_video_job *job;
    struct st_buf *reason;
    struct st_arena arena;
    int64_t sound_ms, film_ms;
    int w, h;
    const struct quality *quality;
    struct st_scene *scenes;
    size_t scene_count;
    struct st_cue *cues;
    size_t cue_count;
    int permille;
    struct st_feed feed;
    char *pipe_path, *still_path, *ass_path, *title_path;
};

/* What ffprobe says of a file. */
struct probe {
    size_t video, audio, text, others;
    const char *video_codec, *audio_codec;
    int64_t duration_ms, shortest_ms; /* of the file; of its video and audio */
};

static int fail(struct render *r, int rc, const char *what, const char *detail)
{
    st_buf_printf(r->reason, "%s%s%.*s", what, *detail ? ": " : "", (int)strcspn(detail, "\n"), detail);
    return rc;
}

static char *in_work_dir(struct render *r, const char *name)
{
    return st_printf(&r->arena, "%s/%s", r->job->work_dir, name);
}

static bool is_cancelled(const struct st_video_job *job)
{
    return job->cancelled && job->cancelled(job->arg);
}

/* --- the job ----------------------------------------------------------------------------------------------------- */

static bool is_absolute(const char *path)
{
    return path && path[0] == '/';
}

/* The length of a text that is there and is UTF-8. */
static bool measure(const char *s, size_t *total)
{
    size_t len = s ? strlen(s) : 0;
    *total += len;
    return s && st_utf8_valid(s, len);
}

static int check_job(struct render *r)
{
    const struct st_video_job *job = r->job;
    const char *paths[] = {job->audio_path, job->work_dir, job->output_path, job->vtt_path, job->poster_path};
    for (size_t i = 0; i < ST_COUNT(paths); i++)
        if (!is_absolute(paths[i]))
            return fail(r, ST_E_INVALID, "a path is missing or relative", "");
    int wide = r->w > r->h ? r->w : r->h, high = r->w > r->h ? r->h : r->w;
    if (!(wide == 1280 && high == 720) && !(wide == 1920 && high == 1080))
        return fail(r, ST_E_INVALID, "no such size of a film", "");
    if (job->clip_count > ST_VIDEO_MAX_CLIPS)
        return fail(r, ST_E_TOO_LARGE, "too many clips", "");
    if (job->segment_count > ST_VIDEO_MAX_SEGMENTS)
        return fail(r, ST_E_TOO_LARGE, "too many segments", "");
    size_t total = 0, voices = 0;
    bool valid = measure(job->title, &total);
    for (; valid && job->voices && job->voices[voices]; voices++)
        valid = measure(job->voices[voices], &total);
    for (size_t i = 0; valid && i < job->segment_count; i++)
        valid = measure(job->segments[i].text, &total) &&
                (!job->segments[i].speaker || measure(job->segments[i].speaker, &total));
    if (!valid)
        return fail(r, ST_E_INVALID, "a text is missing or not UTF-8", "");
    if (voices > ST_VIDEO_MAX_VOICES)
        return fail(r, ST_E_TOO_LARGE, "too many voices", "");
    return total > ST_VIDEO_MAX_TEXT ? fail(r, ST_E_TOO_LARGE, "too much text", "") : 0;
}

/* --- probing ----------------------------------------------------------------------------------------------------- */

static int64_t parse_ms(const char *s)
{
    double seconds;
    return st_parse_double(s, &seconds) && seconds > 0 && seconds < 1e9 ? (int64_t)(seconds * 1000 + 0.5) : -1;
}

/* "stream,opus,audio,4.2" or "format,4.2" */
static void parse_probe_line(struct probe *p, char *line)
{
    char *state, *kind = strtok_r(line, ",", &state), *codec = NULL, *type = NULL;
    if (st_streq(kind, "stream")) {
        codec = strtok_r(NULL, ",", &state);
        type = strtok_r(NULL, ",", &state);
    }
    int64_t ms = parse_ms(strtok_r(NULL, ",", &state));
    if (st_streq(kind, "format")) {
        p->duration_ms = ms;
        return;
    }
    bool video = st_streq(type, "video"), audio = st_streq(type, "audio"), text = st_streq(type, "subtitle");
    if (video)
        p->video_codec = codec;
    if (audio)
        p->audio_codec = codec;
    p->video += video;
    p->audio += audio;
    p->text += text;
    p->others += !video && !audio && !text;
    if ((video || audio) && ms < p->shortest_ms)
        p->shortest_ms = ms;
}

static int probe_file(struct render *r, const char *format, const char *path, struct probe *ret_probe)
{
    const char *argv[] = {"ffprobe",
                          "-v",
                          "error",
                          "-f",
                          format,
                          "-show_entries",
                          "stream=codec_name,codec_type,duration:format=duration",
                          "-of",
                          "csv",
                          st_printf(&r->arena, "file:%s", path),
                          NULL};
    struct st_spawn_result result;
    int rc = st_spawn(&r->arena,
                      &(struct st_spawn){.argv = argv,
                                         .timeout_us = PROBE_S * ST_SECOND,
                                         .max_memory = MEMORY_MAX,
                                         .max_file = 1, /* it writes none */
                                         .max_cpu_s = PROBE_S,
                                         .cancelled = r->job->cancelled,
                                         .arg = r->job->arg},
                      &result);
    if (rc == ST_E_NOT_FOUND)
        return fail(r, ST_E_UNAVAILABLE, "ffprobe is not installed", "");
    if (rc == ST_E_CANCELLED || rc == ST_E_TIMEOUT || rc == ST_E_UNAVAILABLE)
        return fail(r, rc, "ffprobe", st_err_code(rc));
    if (rc != 0)
        return fail(r, ST_E_UNPROCESSABLE, "ffprobe", result.err);
    *ret_probe = (struct probe){.duration_ms = -1, .shortest_ms = INT64_MAX};
    char *state;
    for (char *line = strtok_r(result.out, "\r\n", &state); line; line = strtok_r(NULL, "\r\n", &state))
        parse_probe_line(ret_probe, line);
    return 0;
}

static int probe_sound(struct render *r)
{
    struct probe p;
    int rc = probe_file(r, "ogg", r->job->audio_path, &p);
    if (rc < 0)
        return rc;
    if (p.audio != 1 || p.video || p.text || p.others || !st_streq(p.audio_codec, "opus") || p.duration_ms < 1 ||
        p.duration_ms > ST_VIDEO_MAX_MS)
        return fail(r, ST_E_UNPROCESSABLE, "the sound is not one stream of Opus of 1 ms to 24 h", "");
    r->sound_ms = p.duration_ms;
    r->film_ms = r->sound_ms + st_end_card(r->job, r->sound_ms);
    r->quality = &qualities[0];
    while (r->sound_ms > r->quality->up_to_ms)
        r->quality++;
    return 0;
}

static int64_t distance(int64_t a, int64_t b)
{
    return a < b ? b - a : a - b;
}

static int check_film(struct render *r, struct st_video_info *ret_info)
{
    struct probe p;
    struct stat st;
    int rc = probe_file(r, "mp4", r->job->output_path, &p);
    if (rc < 0)
        return rc == ST_E_UNPROCESSABLE ? ST_E_INTERNAL : rc;
    if (p.video != 1 || p.audio != 1 || p.others || !st_streq(p.video_codec, "h264") || !st_streq(p.audio_codec, "aac"))
        return fail(r, ST_E_INTERNAL, "the film has other streams than it should", "");
    if (distance(p.duration_ms, r->film_ms) > OFF_MS || distance(p.shortest_ms, r->film_ms) > 2 * OFF_MS)
        return fail(r, ST_E_INTERNAL, "the film is not as long as it should be", "");
    if (stat(r->job->output_path, &st) < 0)
        return fail(r, ST_E_INTERNAL, "the film is gone", strerror(errno));
    *ret_info = (struct st_video_info){.duration_ms = p.duration_ms, .bytes = st.st_size};
    return 0;
}

/* --- preparing --------------------------------------------------------------------------------------------------- */

static int prepare(struct render *r)
{
    const struct st_video_job *job = r->job;
    r->scenes = st_scenes_plan(&r->arena, job, r->sound_ms, &r->scene_count);
    r->scenes[r->scene_count - 1].end_ms = r->film_ms; /* behind the end card too */
    r->cues = st_cues_plan(&r->arena, job, r->sound_ms, &r->cue_count);
    r->feed = (struct st_feed){.scenes = r->scenes,
                               .count = r->scene_count,
                               .title = job->title,
                               .w = r->w,
                               .h = r->h,
                               .fps = r->quality->fps,
                               .film_ms = r->film_ms,
                               .pipe = r->pipe_path};
    if (is_cancelled(job))
        return ST_E_CANCELLED;
    int64_t frame_ms = 1000 / r->quality->fps;
    if (st_vtt_write(job->vtt_path, r->cues, r->cue_count) < 0 ||
        st_ass_write(r->ass_path, job, r->cues, job->no_captions ? 0 : r->cue_count, r->sound_ms, frame_ms, false) <
            0 ||
        st_ass_write(r->title_path, job, NULL, 0, r->sound_ms, frame_ms, true) < 0 ||
        st_feed_still(&r->feed, st_title_end(r->sound_ms) / 2, r->still_path) < 0)
        return fail(r, ST_E_UNAVAILABLE, "cannot write the captions", strerror(errno));
    return 0;
}

/* --- encoding ---------------------------------------------------------------------------------------------------- */

static void report(struct render *r, int permille)
{
    if (permille <= r->permille)
        return;
    r->permille = permille;
    if (r->job->progress)
        r->job->progress(r->job->arg, permille);
}

static void on_line(void *arg, const char *line)
{
    static const char key[] = "out_time_us=";
    struct render *r = arg;
    int64_t us;
    if (st_starts(line, key) && st_parse_i64(line + strlen(key), 0, INT64_MAX, &us) && us / 1000 < r->film_ms)
        report(r, (int)(us / r->film_ms)); /* us / ms: already thousandths */
}

static bool on_tick(void *arg)
{
    struct render *r = arg;
    return is_cancelled(r->job);
}

/* Runs ffmpeg in the work directory, so that no path ever stands in a filter, where it would need escaping. */
static int run_ffmpeg(struct render *r, const char *const *argv)
{
    int64_t timeout_s = 60 + r->film_ms / 1000;
    struct st_spawn_result result;
    int rc = st_spawn(&r->arena,
                      &(struct st_spawn){.argv = argv,
                                         .dir = r->job->work_dir,
                                         .timeout_us = timeout_s * ST_SECOND,
                                         .max_memory = MEMORY_MAX,
                                         .max_file = (uint64_t)(FILE_BASE + r->film_ms / 1000 * FILE_PER_SECOND),
                                         .max_cpu_s = (uint64_t)timeout_s * 2,
                                         .on_line = on_line,
                                         .cancelled = on_tick,
                                         .arg = r},
                      &result);
    if (rc == 0)
        return 0;
    if (rc == ST_E_NOT_FOUND)
        return fail(r, ST_E_UNAVAILABLE, "ffmpeg is not installed, or there is no work directory", "");
    if (rc < 0 && !result.signal)
        return fail(r, rc, "ffmpeg", st_err_code(rc));
    bool full = st_spawn_verdict(rc, &result) == ST_E_UNAVAILABLE;
    return fail(r,
                rc == ST_E_CANCELLED || rc == ST_E_TIMEOUT ? rc
                : full                                     ? ST_E_UNAVAILABLE
                                                           : ST_E_INTERNAL,
                "ffmpeg", *result.err ? result.err : st_printf(&r->arena, "ended by signal %d", result.signal));
}

#define ADD(...)                                                                                                       \
    do {                                                                                                               \
        const char *const more[] = {__VA_ARGS__};                                                                      \
        memcpy(argv + n, more, sizeof(more));                                                                          \
        n += ST_COUNT(more);                                                                                           \
    } while (0)

static size_t add_inputs(struct render *r, const char **argv)
{
    struct st_arena *a = &r->arena;
    size_t n = 0;
    ADD("ffmpeg", "-v", "error", "-nostdin", "-y", "-progress", "pipe:1", "-stats_period", "0.5");
    ADD("-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", st_printf(a, "%dx%d", r->w, r->h), "-framerate",
        st_printf(a, "%d", r->quality->fps), "-i", "frames");
    ADD("-f", "ogg", "-i", st_printf(a, "file:%s", r->job->audio_path));
    if (r->cue_count)
        ADD("-f", "webvtt", "-i", st_printf(a, "file:%s", r->job->vtt_path));
    for (size_t i = 0; i < r->job->clip_count; i++)
        ADD("-f", "mov", "-i", st_printf(a, "file:%s", r->job->clips[i].path));
    return n;
}

/* Clips lie over the frames while they last, and fade in and out; the script lies over all. */
static const char *filter_of(struct render *r)
{
    struct st_arena *a = &r->arena;
    size_t first = r->cue_count ? 3 : 2;
    const char *filter = "", *below = "[0:v]";
    for (size_t i = 0; i < r->job->clip_count; i++) {
        const struct st_video_clip *c = &r->job->clips[i];
        double start = (double)c->start_ms / 1000, end = (double)c->end_ms / 1000;
        double fade = end - start < 2 * FADE_S ? (end - start) / 2 : FADE_S;
        filter = st_printf(a,
                           "%s[%zu:v]setpts=PTS-STARTPTS+%.3f/TB,format=yuva420p,fade=in:st=%.3f:d=%.3f:alpha=1,"
                           "fade=out:st=%.3f:d=%.3f:alpha=1[c%zu];%s[c%zu]overlay=eof_action=pass:format=yuv420:"
                           "enable='between(t,%.3f,%.3f)'[v%zu];",
                           filter, first + i, start, start, fade, end - fade, fade, i, below, i, start, end, i);
        below = st_printf(a, "[v%zu]", i);
    }
    return st_printf(a, "%s%sass=captions.ass[film]", filter, below);
}

static int encode(struct render *r)
{
    struct st_arena *a = &r->arena;
    const struct quality *q = r->quality;
    const char *language = st_printf(a, "language=%s", st_language_find(r->job->language)->iso);
    const char *title = st_printf(a, "title=%s", st_text_clean(a, r->job->title, TITLE_CHARS));
    const char *argv[128];
    size_t n = add_inputs(r, argv);
    ADD("-filter_complex", filter_of(r), "-map", "[film]", "-map", "1:a:0", "-map_metadata", "-1", "-metadata", title);
    ADD("-c:v", "libx264", "-preset", "ultrafast", "-crf", q->crf, "-threads", "2", "-g", "96", "-bf", "0");
    ADD("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv");
    /* The default coder takes 2.5 times as long, and a recogniser hears no difference. */
    ADD("-c:a", "aac", "-aac_coder", "fast", "-ac", "1", "-ar", q->audio_rate, "-b:a", q->audio_bits, "-af", "apad");
    ADD("-metadata:s:a:0", language);
    if (r->cue_count)
        ADD("-map", "2:s:0", "-c:s", "mov_text", "-metadata:s:s:0", language, "-disposition:s:0",
            r->job->no_captions ? "default" : "0");
    ADD("-t", st_printf(a, "%d.%03d", (int)(r->film_ms / 1000), (int)(r->film_ms % 1000)));
    ADD("-movflags", "+faststart", "-f", "mp4", st_printf(a, "file:%s", r->job->output_path), NULL);
    return run_ffmpeg(r, argv);
}
#undef ADD

static int make_film(struct render *r)
{
    struct st_feeding *feeding;
    int rc = st_feed_start(&r->feed, &feeding);
    if (rc < 0)
        return fail(r, rc, "cannot make a pipe", strerror(errno));
    rc = encode(r);
    st_feed_stop(feeding);
    return rc;
}

/* The title card without captions, drawn anew rather than taken from the film. */
static int make_poster(struct render *r)
{
    const char *size = st_printf(&r->arena, "%dx%d", r->w, r->h);
    const char *output = st_printf(&r->arena, "file:%s", r->job->poster_path);
    const char *argv[] = {
        "ffmpeg",    "-v",       "error",    "-nostdin", "-y",
        "-f",        "rawvideo", "-pix_fmt", "yuv420p",  "-video_size",
        size,        "-i",       "still",    "-vf",      "ass=title.ass,scale=out_range=pc,format=yuvj420p",
        "-frames:v", "1",        "-c:v",     "mjpeg",    "-q:v",
        "3",         "-f",       "image2",   "-update",  "1",
        output,      NULL};
    return run_ffmpeg(r, argv);
}

/* --- the whole --------------------------------------------------------------------------------------------------- */

static int render(struct render *r, struct st_video_info *ret_info)
{
    int rc = check_job(r);
    if (rc == 0)
        rc = probe_sound(r);
    if (rc == 0)
        rc = prepare(r);
    if (rc == 0)
        rc = make_film(r);
    if (rc == 0)
        rc = make_poster(r);
    if (rc == 0)
        rc = check_film(r, ret_info);
    if (rc == 0)
        report(r, DONE);
    return rc;
}

static void remove_scratch(struct render *r)
{
    unlink(r->pipe_path);
    unlink(r->still_path);
    unlink(r->ass_path);
    unlink(r->title_path);
}

static void remove_output(const struct st_video_job *job)
{
    const char *paths[] = {job->output_path, job->vtt_path, job->poster_path};
    for (size_t i = 0; i < ST_COUNT(paths); i++)
        if (is_absolute(paths[i]))
            unlink(paths[i]);
}

int st_video_render(const struct st_video_job *job, struct st_buf *reason, struct st_video_info *ret_info)
{
    struct render r = {.job = job, .reason = reason};
    r.w = job->width ? job->width : 1280;
    r.h = job->height ? job->height : 720;
    r.pipe_path = in_work_dir(&r, "frames");
    r.still_path = in_work_dir(&r, "still");
    r.ass_path = in_work_dir(&r, "captions.ass");
    r.title_path = in_work_dir(&r, "title.ass");
    int rc = render(&r, ret_info);
    if (is_absolute(job->work_dir))
        remove_scratch(&r);
    if (rc < 0)
        remove_output(job);
    st_arena_release(&r.arena);
    return rc;
}
