/* Showing videos. */
#include "svc/limit.h"
#include "video/video.h"

/* May the caller ($2) see the videos of story s? As story itself decides. */
#define READABLE                                                                                                       \
    "(s.author_id = $2 or s.audience in ('link', 'public') or "                                                        \
    "exists (select from story_readers r where r.story_id = s.story_id and r.user_id = $2))"

static const char *key_of(struct st_call *call, const char *id, const char *file)
{
    return st_printf(call->arena, "video/%s/%s", id, file);
}

static const char *link_to(struct st_call *call, const char *id, const char *part, const char *file)
{
    return st_object_link(call, st_printf(call->arena, "/v1/videos/%s/%s", id, part), key_of(call, id, file));
}

static json_t *ready(struct st_call *call, const json_t *v)
{
    const char *id = st_str(v, "video_id");
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:O}", "status", "ready", "videoId", id, "url",
                     link_to(call, id, "file", "video.mp4"), "captionsUrl",
                     link_to(call, id, "captions", "captions.vtt"), "posterUrl",
                     link_to(call, id, "poster", "poster.jpg"), "durationMs", json_object_get(v, "duration_ms"));
}

/* What it looks like, where that is known. */
static json_t *with_format(json_t *answer, const json_t *v)
{
    static const char *const members[][2] = {{"aspectRatio", "aspect_ratio"},
                                             {"resolution", "resolution"},
                                             {"captions", "captions"},
                                             {"pictures", "pictures"}};
    for (size_t i = 0; i < ST_COUNT(members); i++) {
        json_t *value = json_object_get(v, members[i][1]);
        if (json_is_string(value))
            json_object_set(answer, members[i][0], value);
    }
    return answer;
}

/*
 * What can be told of one that cannot be seen, or not yet; why, to its author alone: it tells of tier and voices. Where
 * its narration has failed it has no id.
 */
static json_t *unseen(const json_t *v, bool mine)
{
    const json_t *done = json_object_get(v, "progress_done"), *total = json_object_get(v, "progress_total");
    const char *status = st_json_str(v, "status", "pending");
    json_t *answer = json_pack("{s:s, s:s?}", "status", status, "videoId", st_str(v, "video_id"));
    bool failed = st_streq(status, "failed");
    if (failed && mine)
        json_object_set_new(answer, "reason", json_string(st_json_str(v, "reason", "")));
    if (!failed && json_integer_value(total) > 0)
        json_object_set_new(answer, "progress",
                            json_real((double)json_integer_value(done) / (double)json_integer_value(total)));
    return with_format(answer, v);
}

/* The same as an answer of its own. */
static json_t *alone(json_t *answer)
{
    json_object_update_new(answer, json_pack("{s:n, s:n, s:n, s:n}", "url", "captionsUrl", "posterUrl", "durationMs"));
    return answer;
}

/*
 * Of a film that was to have filmed passages: what has become of each, for its author. What comes when the film is
 * ready is not in it.
 */
static int add_passages(struct st_call *call, json_t *answer, const json_t *v)
{
    json_t *passages;
    if (st_streq(st_json_str(v, "pictures", "drawn"), "drawn") || st_streq(st_str(v, "status"), "failed"))
        return 0;
    int r =
        st_list(call, &passages,
                "select start_ms as \"startMs\", case when what = 'filmed' then coalesce(start_ms + filmed_ms, end_ms) "
                "else end_ms end as \"endMs\", what as state, case what when 'filmed' then provider end as provider, "
                "case what when 'drawn' then reason end as reason from clips cross join lateral (select case when "
                "$2 = 'ready' then case when shown then 'filmed' else 'drawn' end when state = 'done' then "
                "'filmed' when state = 'failed' then 'drawn' else 'waiting' end as what) c "
                "where video_id = $1 order by start_ms",
                st_str(v, "video_id"), st_str(v, "status"));
    if (r == 0)
        json_object_set(answer, "passages", passages);
    return r;
}

/*
 * The newest that can be seen: of the newest narration, and of its films the one that was asked for last. And what has
 * come behind it and cannot be seen, or not yet: a film, or a narration that has failed.
 */
static int find_newest(struct st_call *call, json_t **ret)
{
    return st_row(
        call, ret,
        "select h.video_id, h.status, h.duration_ms, h.aspect_ratio, h.resolution, h.captions, h.pictures, "
        "s.author_id = $2 as mine, case when f.story_id is not null then jsonb_build_object('status', 'failed', "
        "'reason', f.reason) when u.video_id is not null then jsonb_build_object('video_id', u.video_id, 'status', "
        "u.status, 'reason', u.reason, 'aspect_ratio', u.aspect_ratio, 'resolution', u.resolution, 'captions', "
        "u.captions, 'pictures', u.pictures, 'progress_done', j.progress_done, 'progress_total', j.progress_total) end "
        "as next from stories s "
        "left join lateral (select * from video_jobs where story_id = s.story_id and status = 'ready' "
        "order by ordinal desc, asked_at desc, video_id desc limit 1) h on true "
        "left join lateral (select * from video_jobs where story_id = s.story_id and status <> 'ready' "
        "and (h.video_id is null or (ordinal, asked_at, video_id) > (h.ordinal, h.asked_at, h.video_id)) "
        "order by ordinal desc, asked_at desc, video_id desc limit 1) u on true "
        "left join narration_failures f on f.story_id = s.story_id and coalesce(f.ordinal > "
        "coalesce(u.ordinal, h.ordinal) and f.failed_at > coalesce(u.asked_at, h.asked_at), true) "
        "left join jobs j on j.name = 'render' and j.unique_key = u.video_id::text and j.state = 'running' "
        "where s.story_id = $1 and " READABLE,
        st_param(call, "storyId"), call->user_id);
}

int video_get(struct st_call *call)
{
    json_t *v, *answer;
    int r = find_newest(call, &v);
    if (r == ST_E_NOT_FOUND)
        return st_absent(call, st_param(call, "storyId"), "There is no such story, or it is not yours to see.");
    if (r < 0)
        return r;
    const json_t *next = json_object_get(v, "next");
    bool seen = st_str(v, "video_id"), mine = st_json_bool(v, "mine", false);
    json_t *newer = json_is_object(next) || !seen ? unseen(next, mine) : NULL;
    answer = seen ? with_format(ready(call, v), v) : alone(newer);
    if (seen && newer)
        json_object_set_new(answer, "next", newer);
    if (mine && newer)
        r = add_passages(call, newer, next);
    if (mine && seen && r == 0)
        r = add_passages(call, answer, v);
    if (r < 0) {
        json_decref(answer);
        return r;
    }
    return st_reply(call, 200, answer);
}

/* Another film of the newest narration that has one. */
int video_make(struct st_call *call)
{
    const char *story_id = st_param(call, "storyId"), *pictures = st_json_str(call->body, "pictures", "drawn");
    const char *resolution = st_json_str(call->body, "resolution", "720p"), *used_up;
    json_t *s, *v;
    int r =
        st_row(call, &s,
               "select s.author_id, s.collaboration_id, v.narration_id, v.ordinal, v.analysis_id, v.audio_ref, "
               "v.timing_ref from stories s left join lateral (select * from video_jobs where story_id = s.story_id "
               "order by ordinal desc limit 1) v on true "
               "where s.story_id = $1 and s.author_id = $2",
               story_id, call->user_id);
    if (r == ST_E_NOT_FOUND)
        return st_absent(call, story_id, "There is no such story, or it is not yours.");
    if (r < 0)
        return r;
    if (!st_str(s, "narration_id"))
        return st_fail(call, ST_E_CONFLICT, "The story has no narration yet.");
    if (!st_streq(pictures, "drawn") && !video_can_film(call->tier, resolution))
        return st_fail(call, ST_E_FORBIDDEN,
                       "Your tier has no filmed pictures, or no provider of them, of this size, is set up.");
    r = st_row(
        call, &v,
        "insert into video_jobs as old (video_id, story_id, narration_id, audio_ref, timing_ref, aspect_ratio, "
        "resolution, captions, pictures, collaboration_id, analysis_id, ordinal) values ($1, $2, $3, $4, $5, $6, $7, "
        "$8, $9, $10, $11, $12) on conflict (narration_id, aspect_ratio, resolution, captions, pictures, "
        "collaboration_id) "
        "do update set asked_at = now(), status = case old.status when 'failed' then 'pending' else old.status end, "
        "reason = null "
        "returning video_id, status, duration_ms, aspect_ratio, resolution, captions, pictures",
        st_new_id(call->arena), story_id, st_str(s, "narration_id"), st_str(s, "audio_ref"), st_str(s, "timing_ref"),
        st_json_str(call->body, "aspectRatio", "16:9"), resolution, st_json_str(call->body, "captions", "burned"),
        pictures, st_str(s, "collaboration_id"), st_str(s, "analysis_id"),
        st_i64(call->arena, st_json_int(s, "ordinal", 0)));
    if (r < 0)
        return r;
    if (st_streq(st_str(v, "status"), "ready"))
        return st_reply(call, 202, with_format(ready(call, v), v));
    if ((r = st_limit_used_up(call, call->user_id, "videos", &used_up)) < 0)
        return r;
    if (used_up)
        return st_fail(call, ST_E_PAYMENT, "%s", used_up);
    video_begin(call, st_str(v, "video_id"), story_id, call->user_id);
    return st_reply(call, 202, alone(unseen(v, true)));
}

static int reply_part(struct st_call *call, const char *file, const char *content_type)
{
    const char *id = st_param(call, "videoId"), *key = key_of(call, id, file);
    struct st_rows *rows;
    int r = st_object_admit(call, key);
    if (r < 0)
        return r;
    r = st_rows(call, &rows,
                "select from video_jobs v join stories s using (story_id) "
                "where v.video_id = $1 and v.status = 'ready' and " READABLE,
                id, call->user_id);
    if (r == 0 && st_rows_count(rows) == 0)
        return st_fail(call, ST_E_NOT_FOUND, "There is no such video, or it is not yours to see.");
    return r < 0 ? r : st_reply_object(call, content_type, key);
}

int video_get_file(struct st_call *call)
{
    return reply_part(call, "video.mp4", "video/mp4");
}

int video_get_captions(struct st_call *call)
{
    return reply_part(call, "captions.vtt", "text/vtt; charset=utf-8");
}

int video_get_poster(struct st_call *call)
{
    return reply_part(call, "poster.jpg", "image/jpeg");
}

/* For the provider that is to begin with it; it has a link. */
int video_get_clip_picture(struct st_call *call)
{
    struct st_rows *rows;
    int r = st_rows(call, &rows, "select picture from clips where clip_id = $1", st_param(call, "clipId"));
    if (r < 0)
        return r;
    const char *key = st_rows_count(rows) && st_cell(rows, 0, 0) ? st_cell(rows, 0, 0) : "";
    r = st_object_admit(call, key);
    return r < 0 ? r : st_reply_object(call, "image/jpeg", key);
}
