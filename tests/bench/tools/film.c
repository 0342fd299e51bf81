/* Makes a film of a sound and a script, as videod does: film SOUND SCRIPT.json FOLDER WIDTHxHEIGHT */
#include "io/json.h"
#include "video/render.h"

#include <sys/stat.h>

static struct st_arena arena;

static const char *in(const char *folder, const char *name)
{
    return st_printf(&arena, "%s/%s", folder, name);
}

static struct st_video_segment *segments_of(const json_t *list)
{
    struct st_video_segment *all = st_new_n(&arena, struct st_video_segment, json_array_size(list) + 1);
    size_t i;
    json_t *one;
    json_array_foreach (list, i, one)
        all[i] = (struct st_video_segment){.text = st_json_str(one, "text", ""),
                                           .speaker = st_json_str(one, "speaker", NULL),
                                           .emotion = st_json_str(one, "emotion", "neutral"),
                                           .intensity = st_json_num(one, "intensity", 1),
                                           .start_ms = st_json_int(one, "startMs", 0),
                                           .end_ms = st_json_int(one, "endMs", 0)};
    return all;
}

int main(int argc, char **argv)
{
    json_t *script;
    const char *why = "", *voices[] = {"Ada Lovelace", "Ben", "Mara", NULL};
    int w, h;
    if (argc != 5 || sscanf(argv[4], "%dx%d", &w, &h) != 2 || st_json_load(&arena, argv[2], &script, &why) < 0) {
        fprintf(stderr, "usage: film SOUND SCRIPT.json FOLDER WIDTHxHEIGHT (absolute paths)\n%s\n", why);
        return 2;
    }
    const json_t *list = json_object_get(script, "segments");
    (void)mkdir(in(argv[3], "work"), 0700);
    struct st_video_job job = {.title = st_json_str(script, "title", "Untitled"),
                               .language = st_json_str(script, "language", "en"),
                               .segments = segments_of(list),
                               .segment_count = json_array_size(list),
                               .width = w,
                               .height = h,
                               .voices = voices,
                               .audio_path = argv[1],
                               .work_dir = in(argv[3], "work"),
                               .output_path = in(argv[3], "video.mp4"),
                               .vtt_path = in(argv[3], "captions.vtt"),
                               .poster_path = in(argv[3], "poster.jpg")};
    struct st_buf reason = ST_BUF(4096);
    struct st_video_info info;
    int64_t from = st_mono();
    int r = st_video_render(&job, &reason, &info);
    if (r < 0) {
        fprintf(stderr, "%s: %s\n", st_err_code(r), reason.len ? reason.data : "");
        return 1;
    }
    double seconds = (double)(st_mono() - from) / ST_SECOND;
    printf("{\"seconds\": %.2f, \"filmSeconds\": %.2f, \"bytes\": %lld}\n", seconds, (double)info.duration_ms / 1000,
           (long long)info.bytes);
    st_arena_release(&arena);
    return 0;
}
