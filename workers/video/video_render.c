/* Rendering a video, as a job. */
#include "video/render.h"
#include "video/video.h"

static const char *const files[] = {"video.mp4", "captions.vtt", "poster.jpg"};

static int load_analysis(struct st_call *call, const json_t *a, json_t **ret)
{
    *ret = json_object_get(a, "segments");
    if (!json_is_object(a))
        return ST_E_NOT_FOUND;
    return json_is_array(*ret) ? 0 : st_object_json(call, st_json_str(a, "text_ref", ""), ret);
}

/* Long texts of analyses before the newest are kept for days (story_analysis.c); behind these, the newest must do. */
static int load_segments(struct st_call *call, const json_t *v, json_t **ret)
{
    int r = load_analysis(call, json_object_get(v, "spoken"), ret);
    if (r == ST_E_NOT_FOUND)
        r = load_analysis(call, json_object_get(v, "newest"), ret);
    return r == 0 && json_is_array(*ret) ? 0
                                         : st_fail(call, ST_E_UNAVAILABLE, "The scenes of the story cannot be read.");
}

/*
 * Scenes of the analysis with the times of the narration that was made of it, joined by segment id. What was not spoken
 * has no time, and is not shown.
 */
static size_t join_timing(struct st_call *call, const json_t *segments, const json_t *timing,
                          struct st_video_segment **ret)
{
    json_t *times = st_json_keep(call->arena, json_object()), *one;
    size_t i, n = 0;
    json_array_foreach (timing, i, one)
        json_object_set(times, st_json_str(one, "segmentId", ""), one);
    struct st_video_segment *list = st_new_n(call->arena, struct st_video_segment, json_array_size(segments) + 1);
    json_array_foreach (segments, i, one) {
        const json_t *time = json_object_get(times, st_json_str(one, "segmentId", ""));
        if (!time)
            continue;
        list[n++] = (struct st_video_segment){
            .text = st_str(one, "text"),
            .speaker = st_str(one, "speaker"),
            .emotion = st_json_str(one, "emotion", "neutral"),
            .intensity = st_json_num(one, "intensity", 0),
            .start_ms = st_json_int(time, "startMs", 0),
            .end_ms = st_json_int(time, "endMs", 0),
        };
    }
    *ret = list;
    return n;
}

/* What the renderer's callbacks share with the job. */
struct rendering {
    struct st_call *call;
    int permille;
    int stop; /* ST_E_FENCED, ST_E_CANCELLED: why to stop; 0 to go on */
};

static void on_progress(void *arg, int permille)
{
    ((struct rendering *)arg)->permille = permille;
}

static bool on_cancel_check(void *arg)
{
    struct rendering *r = arg;
    if (r->stop == 0)
        r->stop = st_progress(r->call, r->permille, 1000);
    return r->stop < 0;
}

/*
 * Whom the end card names: who has a part, with it, and then who joined to speak; not who only listens, or edits. Of a
 * collaborative film those of its collaboration (and those from before that was kept), else of all. One that is made
 * anew names whom it has named, but for those who are gone: also who has left since. NULL: nobody.
 */
int video_load_voices(struct st_call *call, const char *video_id, const char *const **ret, const char **ret_named)
{
    struct st_rows *rows;
    int r = st_rows(call, &rows,
                    "with one as (select r.user_id from video_jobs v join story_readers r using (story_id) "
                    "where v.video_id = $1 and v.status <> 'ready' and "
                    "coalesce(r.collaboration_id = v.collaboration_id, true) and "
                    "(r.\"character\" is not null or coalesce(r.role, 'voice') in ('voice', 'collaborator')) "
                    "union select unnest(named) from video_jobs where video_id = $1 and status = 'ready'), "
                    "named as (select p.user_id, p.display_name || coalesce(' – ' || string_agg(distinct "
                    "r.\"character\", ', '), '') as name, count(r.\"character\") = 0 as other from video_jobs v "
                    "cross join one join people p using (user_id) left join story_readers r on r.story_id = v.story_id "
                    "and r.user_id = p.user_id and coalesce(r.collaboration_id = v.collaboration_id, true) "
                    "where v.video_id = $1 and p.display_name <> '' "
                    "group by p.user_id, p.display_name order by other, name, user_id limit $2), "
                    "kept as (update video_jobs set named = array(select user_id from named) where video_id = $1 "
                    "returning named) select name, case row_number() over (order by other, name, user_id) when 1 then "
                    "(select named from kept) end from named order by other, name, user_id",
                    video_id, st_i64(call->arena, ST_VIDEO_MAX_VOICES));
    if (r < 0)
        return r;
    int n = st_rows_count(rows);
    const char **names = st_new_n(call->arena, const char *, (size_t)n + 1);
    for (int i = 0; i < n; i++)
        names[i] = st_cell(rows, i, 0);
    *ret = n ? names : NULL;
    *ret_named = n ? st_cell(rows, 0, 1) : "{}";
    return st_commit(call);
}

enum { FILMED_FIRST = 1 }; /* the job comes again when its passages have been filmed */

/* One that was given up has its plan already. */
static int plan(struct st_call *call, const json_t *v, const char *id, const struct st_video_job *job)
{
    int passages = (int)st_json_int(v, "planned", 0);
    if (passages == 0)
        passages = video_plan_clips(call, id, job, st_streq(st_str(v, "pictures"), "animated"));
    if (passages <= 0)
        return passages;
    int r = video_begin_filming(call, id, st_str(v, "author_id"), passages);
    return r < 0 ? r : FILMED_FIRST;
}

/* It is made anew, and shown as it is until then. */
static bool is_ready(const json_t *v)
{
    return st_streq(st_str(v, "status"), "ready");
}

/* *ret_named: whom it names at its end. */
static int render(struct st_call *call, const json_t *v, const char *id, struct st_video_info *ret,
                  const char **ret_named)
{
    const char *key = st_printf(call->arena, "video/%s", id);
    json_t *timing, *segments;
    const char *audio, *folder = st_scratch(call);
    int r;
    if ((r = load_segments(call, v, &segments)) < 0 ||
        (r = st_object_json(call, st_str(v, "timing_ref"), &timing)) < 0 ||
        (r = st_object_get(call, st_str(v, "audio_ref"), &audio)) < 0)
        return r;
    struct rendering state = {.call = call};
    bool upright = st_streq(st_str(v, "aspect_ratio"), "9:16"), large = st_streq(st_str(v, "resolution"), "1080p");
    int side = large ? 1920 : 1280, other = large ? 1080 : 720;
    struct st_video_job job = {
        .width = upright ? other : side,
        .height = upright ? side : other,
        .no_captions = st_streq(st_str(v, "captions"), "track"),
        .title = st_json_str(v, "title", ""),
        .language = st_str(v, "language"),
        .audio_path = audio,
        .work_dir = folder,
        .output_path = st_printf(call->arena, "%s/%s", folder, files[0]),
        .vtt_path = st_printf(call->arena, "%s/%s", folder, files[1]),
        .poster_path = st_printf(call->arena, "%s/%s", folder, files[2]),
        .progress = on_progress,
        .cancelled = on_cancel_check,
        .arg = &state,
    };
    struct st_video_segment *list;
    job.segment_count = join_timing(call, segments, timing, &list);
    job.segments = list;
    if (!st_streq(st_str(v, "pictures"), "drawn")) {
        if (!is_ready(v) && !st_str(v, "filming") && (r = plan(call, v, id, &job)) != 0)
            return r;
        if (st_str(v, "filming") && st_json_bool(v, "unfinished", false))
            return FILMED_FIRST;
        if ((r = video_load_clips(call, id, &job)) < 0)
            return r;
    }
    if ((r = video_load_voices(call, id, &job.voices, ret_named)) < 0)
        return r;
    struct st_buf reason = ST_BUF(4096);
    r = st_video_render(&job, &reason, ret);
    if (r < 0)
        r = st_fail_here(call, state.stop < 0 ? state.stop : r, "%s",
                         reason.len ? reason.data : "The renderer failed.");
    st_buf_release(&reason);
    for (size_t i = 0; r == 0 && i < ST_COUNT(files); i++)
        r = st_object_put_file(call, st_printf(call->arena, "%s/%s", key, files[i]),
                               st_printf(call->arena, "%s/%s", folder, files[i]));
    return r;
}

/* It is there. ffmpeg has put it together; it is named where nobody has filmed anything. */
static int tell(struct st_call *call, const json_t *v, const char *id, const struct st_video_info *info)
{
    json_t *by;
    int r = st_row(call, &by,
                   "select coalesce(string_agg(distinct provider, ',') filter (where shown), 'ffmpeg') "
                   "as provider, count(*) as passages, count(*) filter (where shown) as filmed from clips "
                   "where video_id = $1",
                   id);
    if (r < 0)
        return r;
    const char *provider = st_str(by, "provider");
    st_exec(call,
            "update video_jobs set status = 'ready', duration_ms = $2, object_key = $3, provider = $4, "
            "finished_at = now() where video_id = $1",
            id, st_i64(call->arena, info->duration_ms), st_printf(call->arena, "video/%s", id), provider);
    json_t *generated =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I}", "videoId", id, "storyId", st_str(v, "story_id"), "authorId",
                  st_str(v, "author_id"), "title", st_str(v, "title"), "provider", provider, "videoUrl",
                  st_printf(call->arena, "/v1/videos/%s/file", id), "durationMs", (json_int_t)info->duration_ms);
    if (st_json_int(by, "passages", 0)) {
        json_object_set(generated, "passages", json_object_get(by, "passages"));
        json_object_set(generated, "filmedPassages", json_object_get(by, "filmed"));
    }
    r = video_end_filming(call, id, NULL);
    if (r > 0)
        json_object_set_new(generated, "pictures", json_string("filmed"));
    st_emit(call, "VideoGenerated", id, generated);
    return r < 0 ? r : 0;
}

void video_render_again(struct st_call *call, const char *video_id)
{
    st_enqueue_with(call, &(struct st_enqueue){.job = "render", .key = video_id, .priority = -1},
                    json_pack("{s:s}", "videoId", video_id));
}

/* Who went while it was made is not in its row any more, but in the film. */
static int compare_names(struct st_call *call, const char *id, const char *named)
{
    struct st_rows *rows;
    int r = st_rows(call, &rows, "update video_jobs set again = named <> $2 where video_id = $1 returning again", id,
                    named);
    if (r == 0 && st_rows_count(rows) && st_streq(st_cell(rows, 0, 0), "t"))
        video_render_again(call, id);
    return r;
}

/* Whether there is anything to do is for the row alone to say: jobs of one film take each other's place. */
int video_render(struct st_call *call)
{
    const char *id = st_str(call->body, "videoId"), *named;
    json_t *v;
    int r = st_row(
        call, &v,
        "select v.status, v.story_id, s.author_id, s.title, coalesce(a.language, n.language) as language, "
        "to_jsonb(a) as spoken, to_jsonb(n) as newest, v.audio_ref, v.timing_ref, "
        "v.aspect_ratio, v.resolution, v.captions, v.pictures, v.filming, "
        "(select count(*) from clips c where c.video_id = v.video_id) as planned, exists (select from clips c "
        "where c.video_id = v.video_id and c.state not in ('done', 'failed')) as unfinished "
        "from video_jobs v join stories s using (story_id) left join analyses n on n.analysis_id = s.analysis_id "
        "left join analyses a on a.analysis_id = coalesce(v.analysis_id, s.analysis_id) where v.video_id = $1 and "
        "(v.status <> 'ready' or v.again)",
        id);
    if (r == ST_E_NOT_FOUND)
        return 0; /* the story was deleted, or the video is there */
    if (r < 0 || (r = st_commit(call)) < 0)
        return r;
    struct st_video_info info;
    if ((r = render(call, v, id, &info, &named)) != 0)
        return r < 0 ? r : 0;
    if (!is_ready(v) && (r = tell(call, v, id, &info)) < 0)
        return r;
    return compare_names(call, id, named);
}

int video_give_up(struct st_call *call, const char *video_id, const char *reason)
{
    json_t *v;
    int r = st_row(
        call, &v,
        "update video_jobs v set status = 'failed', reason = $2, again = false, finished_at = now() from stories s "
        "where v.video_id = $1 and s.story_id = v.story_id returning s.story_id, s.author_id, s.title",
        video_id, reason);
    if (r < 0)
        return r == ST_E_NOT_FOUND ? 0 : r;
    st_emit(call, "VideoGenerationFailed", video_id,
            json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "videoId", video_id, "storyId", st_str(v, "story_id"),
                      "authorId", st_str(v, "author_id"), "title", st_str(v, "title"), "provider", "ffmpeg", "reason",
                      reason));
    return 0;
}

/* Runs when the attempts are used up. A film that names whom it must not name is not shown any more. */
int video_render_failed(struct st_call *call)
{
    const char *id = st_str(call->body, "videoId"), *reason;
    struct st_rows *rows;
    int r = st_rows(call, &rows,
                    "select case status when 'ready' then 'It named somebody who is gone, and could not be made anew.' "
                    "else 'The video could not be made.' end from video_jobs where video_id = $1 and "
                    "(status <> 'ready' or again)",
                    id);
    if (r < 0 || st_rows_count(rows) == 0)
        return r;
    reason = st_cell(rows, 0, 0);
    r = video_end_filming(call, id, reason);
    return r < 0 ? r : video_give_up(call, id, reason);
}

int video_remove_files(struct st_call *call)
{
    return st_object_remove(call, st_printf(call->arena, "video/%s/", st_str(call->body, "videoId")));
}
