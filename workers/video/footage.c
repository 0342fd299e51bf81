/* Takes films of somebody else's, by ffprobe and ffmpeg. */
#include "video/footage.h"

#include <unistd.h>

#include "base/spawn.h"

enum { PROBE_S = 30, CONVERT_S = 300 };
#define MEMORY_MAX (UINT64_C(2) << 30) /* address space */

/* What both programs are told before the file; a decoder gives up when a picture is larger than the container says. */
#define CONFINED                                                                                                       \
    "-v", "error", "-protocol_whitelist", "file", "-codec_whitelist",                                                  \
        "h264,hevc,vp9,libdav1d,libaom-av1,av1,mpeg4,aac,mp3float,opus,pcm_s16le", "-max_pixels", "16777216", "-f",    \
        "mov"

static int run(struct st_arena *a, const struct st_footage *f, const char *const *argv, int seconds,
               struct st_spawn_result *result)
{
    return st_spawn(a,
                    &(struct st_spawn){.argv = argv,
                                       .timeout_us = seconds * ST_SECOND,
                                       .max_memory = MEMORY_MAX,
                                       .max_file = ST_FOOTAGE_BYTES,
                                       .max_cpu_s = (uint64_t)seconds,
                                       .cancelled = f->cancelled,
                                       .arg = f->arg},
                    result);
}

/* What the outcome of a program says of the file. */
static int verdict(struct st_arena *a, int r, const struct st_spawn_result *result, const char *program,
                   const char **ret_why)
{
    int of_file = st_spawn_verdict(r, result);
    *ret_why = st_printf(a, "%s: %.*s", program, (int)strcspn(result->err, "\n"),
                         *result->err ? result->err
                         : r < 0      ? st_err_code(r)
                                      : "it failed");
    return of_file;
}

static bool next_number(char **state, double *ret)
{
    const char *word = strtok_r(NULL, ",\r\n", state);
    return word && st_parse_double(word, ret);
}

/* One moving picture of a fit size and length? Only then is it decoded. */
static int look(struct st_arena *a, const struct st_footage *f, int64_t *ret_ms, const char **ret_why)
{
    const char *argv[] = {"ffprobe", CONFINED,        "-select_streams",
                          "v",       "-show_entries", "stream=codec_type,width,height:format=duration",
                          "-of",     "csv=p=0",       st_printf(a, "file:%s", f->path),
                          NULL};
    struct st_spawn_result result;
    double w, h, seconds;
    char *state;
    int r = verdict(a, run(a, f, argv, PROBE_S, &result), &result, "ffprobe", ret_why);
    if (r < 0)
        return r;
    *ret_why = "it is not one moving picture";
    if (!st_streq(strtok_r(result.out, ",\r\n", &state), "video") || !next_number(&state, &w) ||
        !next_number(&state, &h) || !next_number(&state, &seconds) || strtok_r(NULL, ",\r\n", &state))
        return ST_E_UNPROCESSABLE;
    *ret_why = st_printf(a, "it is of %.0fx%.0f pixels", w, h);
    if (!(w >= ST_FOOTAGE_SIDE_MIN && w <= ST_FOOTAGE_SIDE_MAX && h >= ST_FOOTAGE_SIDE_MIN && h <= ST_FOOTAGE_SIDE_MAX))
        return ST_E_UNPROCESSABLE;
    *ret_why = st_printf(a, "it lasts %.1f s", seconds);
    if (!(seconds * 1000 >= ST_FOOTAGE_MIN_MS && seconds * 1000 <= ST_FOOTAGE_MAX_MS))
        return ST_E_UNPROCESSABLE;
    *ret_ms = (int64_t)(seconds * 1000);
    return 0;
}

/* film_ms: how long it lasts; ms: the clip. */
static int convert(struct st_arena *a, const struct st_footage *f, int64_t film_ms, int64_t ms, const char **ret_why)
{
    double slower = film_ms < ms ? (double)ms / (double)film_ms : 1;
    const char *size = st_printf(a, "%d:%d", f->width, f->height);
    const char *filter = st_printf(
        a, "setpts=PTS*%.6f,scale=%s:force_original_aspect_ratio=increase,crop=%s,setsar=1,fps=%d,format=yuv420p",
        slower, size, size, ST_FOOTAGE_FPS);
    const char *length = st_printf(a, "%lld.%03d", (long long)(ms / 1000), (int)(ms % 1000));
    const char *argv[] = {"ffmpeg",
                          "-nostdin",
                          "-y",
                          "-xerror",
                          "-threads",
                          "2",
                          CONFINED,
                          "-i",
                          st_printf(a, "file:%s", f->path),
                          "-map",
                          "0:v:0",
                          "-map_metadata",
                          "-1",
                          "-map_chapters",
                          "-1",
                          "-t",
                          length,
                          "-vf",
                          filter,
                          "-c:v",
                          "libx264",
                          "-preset",
                          "veryfast",
                          "-crf",
                          "20",
                          "-threads",
                          "2",
                          "-f",
                          "mp4",
                          st_printf(a, "file:%s", f->clip),
                          NULL};
    struct st_spawn_result result;
    int r = verdict(a, run(a, f, argv, CONVERT_S, &result), &result, "ffmpeg", ret_why);
    if (r < 0)
        (void)unlink(f->clip);
    return r;
}

int st_footage_take(struct st_arena *a, const struct st_footage *f, int64_t *ret_ms, const char **ret_why)
{
    int64_t film_ms = 0;
    int r = look(a, f, &film_ms, ret_why);
    int64_t ms = film_ms + film_ms / 2 < f->ms ? film_ms : f->ms;
    if (r == 0)
        r = convert(a, f, film_ms, ms, ret_why);
    if (r == 0)
        *ret_ms = ms;
    return r;
}
