/* What video knows of stories, from others' events. */
#include "svc/limit.h"
#include "video/video.h"

/*
 * Events of different services overtake each other. 1: the story is known here. 0: it was deleted. ST_E_NOT_FOUND: it
 * is still to come, so that the event is tried again.
 */
static int know_story(struct st_call *call)
{
    struct st_rows *rows;
    int r = st_rows(call, &rows,
                    "select exists (select from stories where story_id = $1), "
                    "exists (select from deleted_stories where story_id = $1)",
                    st_str(call->body, "storyId"));
    if (r < 0)
        return r;
    if (st_streq(st_cell(rows, 0, 0), "t"))
        return 1;
    return st_streq(st_cell(rows, 0, 1), "t") ? 0 : st_fail(call, ST_E_NOT_FOUND, "The story is not known here yet.");
}

/* What is being filmed and rendered of the story is out of date, but for one film (or NULL). */
static int stop_rendering(struct st_call *call, const char *story_id, const char *but)
{
    static const char why[] = "The story has changed.";
    json_t *videos, *one;
    size_t i;
    int r = st_list(call, &videos,
                    "update video_jobs set status = 'failed', reason = $3, finished_at = now() where story_id = $1 "
                    "and status = 'pending' and video_id is distinct from $2 returning video_id",
                    story_id, but, why);
    if (r < 0)
        return r;
    json_array_foreach (videos, i, one) {
        st_cancel(call, "render", st_str(one, "video_id"));
        if ((r = video_end_filming(call, st_str(one, "video_id"), why)) < 0)
            return r;
    }
    return 0;
}

int video_on_story_created(struct st_call *call)
{
    st_exec(call,
            "insert into stories (story_id, author_id, title) select $1, $2, $3 "
            "where not exists (select from deleted_stories where story_id = $1) "
            "and not exists (select from erased_users where user_id = $2) on conflict do nothing",
            st_str(call->body, "storyId"), st_str(call->body, "authorId"), st_str(call->body, "title"));
    return 0;
}

/* The scenes wait for the sound track. */
int video_on_story_analyzed(struct st_call *call)
{
    const char *story_id = st_str(call->body, "storyId"), *id = st_str(call->body, "analysisId");
    const json_t *segments = json_object_get(call->body, "segments");
    st_exec(call,
            "insert into stories (story_id, author_id, analysis_id, title) "
            "select $1, $2, $3, $4 where not exists (select from deleted_stories where story_id = $1) "
            "and not exists (select from erased_users where user_id = $2) "
            "on conflict (story_id) do update set analysis_id = $3, title = $4",
            story_id, st_str(call->body, "authorId"), id, st_str(call->body, "title"));
    st_exec(call,
            "insert into analyses (analysis_id, story_id, language, segments, text_ref) "
            "select $2, story_id, $3, $4, $5 from stories where story_id = $1 on conflict do nothing",
            story_id, id, st_str(call->body, "language"), segments ? st_json_text(call->arena, segments) : NULL,
            st_str(call->body, "textRef"));
    return 0;
}

int video_on_story_published(struct st_call *call)
{
    st_exec(call, "update stories set audience = $2 where story_id = $1", st_str(call->body, "storyId"),
            st_str(call->body, "audience"));
    return 0;
}

int video_on_story_updated(struct st_call *call)
{
    st_exec(call,
            "update stories set title = $2, audience = case when audience is not null then $3 end where story_id = $1",
            st_str(call->body, "storyId"), st_str(call->body, "title"), st_str(call->body, "visibility"));
    return 0;
}

int video_on_story_unpublished(struct st_call *call)
{
    st_exec(call, "update stories set audience = null where story_id = $1", st_str(call->body, "storyId"));
    return 0;
}

/* It was deleted, and is as new. */
int video_on_story_restored(struct st_call *call)
{
    st_exec(call, "delete from deleted_stories where story_id = $1", st_str(call->body, "storyId"));
    return video_on_story_created(call);
}

int video_on_participant_joined(struct st_call *call)
{
    int r = know_story(call);
    if (r == 1)
        st_exec(call,
                "insert into story_readers (story_id, user_id, \"character\", collaboration_id, role) "
                "select $1, $2, $3, $4, $5 where not exists (select from erased_users where user_id = $2) "
                "on conflict (story_id, user_id, collaboration_id) do update set role = $5, "
                "\"character\" = coalesce($3, story_readers.\"character\")",
                st_str(call->body, "storyId"), st_str(call->body, "userId"), st_str(call->body, "character"),
                call->event->aggregate_id, st_str(call->body, "role"));
    return r < 0 ? r : 0;
}

/* Whom they speak stands beside their names on the end card. */
int video_on_characters_assigned(struct st_call *call)
{
    st_exec(call,
            "update story_readers set \"character\" = (select string_agg(value, ', ') from "
            "jsonb_array_elements_text($4::jsonb)) where story_id = $1 and user_id = $2 and collaboration_id = $3",
            st_str(call->body, "storyId"), st_str(call->body, "userId"), call->event->aggregate_id,
            st_json_text(call->arena, json_object_get(call->body, "characters")));
    return 0;
}

int video_on_participant_left(struct st_call *call)
{
    st_exec(call,
            "delete from story_readers where story_id = $1 and user_id = $2 and coalesce(collaboration_id, $3) = $3",
            st_str(call->body, "storyId"), st_str(call->body, "userId"), call->event->aggregate_id);
    return 0;
}

/* As if all had left. */
int video_on_collaboration_cancelled(struct st_call *call)
{
    st_exec(call,
            "delete from story_readers where story_id = $1 and (collaboration_id = $2 or (collaboration_id is null "
            "and user_id in (select value::uuid from jsonb_array_elements_text($3::jsonb))))",
            st_str(call->body, "storyId"), call->event->aggregate_id,
            st_json_text(call->arena, json_object_get(call->body, "participants")));
    return 0;
}

int video_on_author_named(struct st_call *call)
{
    st_exec(call,
            "insert into people select $1, $2 where not exists (select from erased_users where user_id = $1) "
            "on conflict (user_id) do update set display_name = $2",
            st_str(call->body, "authorId"), st_str(call->body, "displayName"));
    return 0;
}

static int forget_story(struct st_call *call, const char *story_id)
{
    json_t *videos, *one;
    size_t i;
    int r = stop_rendering(call, story_id, NULL);
    if (r < 0)
        return r;
    r = st_list(call, &videos, "select video_id from video_jobs where story_id = $1", story_id);
    if (r < 0)
        return r;
    json_array_foreach (videos, i, one) {
        if ((r = video_cancel_clips(call, st_str(one, "video_id"))) < 0)
            return r;
        st_enqueue(call, "remove_files", st_str(one, "video_id"), 0,
                   json_pack("{s:s}", "videoId", st_str(one, "video_id")));
    }
    st_exec(call, "delete from stories where story_id = $1", story_id);
    st_exec(call, "insert into deleted_stories values ($1) on conflict do nothing", story_id);
    return 0;
}

int video_on_story_deleted(struct st_call *call)
{
    return forget_story(call, st_str(call->body, "storyId"));
}

/*
 * Others' films that name them are made anew; what stands in the row of one goes with what else is erased. One that is
 * being made sees by that, at its end, that it is to be made anew.
 */
int video_on_user_deleted(struct st_call *call)
{
    const char *user_id = st_str(call->body, "userId");
    json_t *stories, *films, *one;
    size_t i;
    int r = st_list(call, &stories, "select story_id from stories where author_id = $1", user_id);
    if (r < 0)
        return r;
    json_array_foreach (stories, i, one)
        if ((r = forget_story(call, st_str(one, "story_id"))) < 0)
            return r;
    r = st_list(call, &films,
                "update video_jobs set again = (status = 'ready') where named @> array[$1::uuid] "
                "returning video_id, again",
                user_id);
    if (r < 0)
        return r;
    json_array_foreach (films, i, one)
        if (st_json_bool(one, "again", false))
            video_render_again(call, st_str(one, "video_id"));
    return 0;
}

int video_on_limit_reached(struct st_call *call)
{
    return st_limit_reached(call, "videos");
}

int video_on_limit_lifted(struct st_call *call)
{
    return st_limit_lifted(call, "videos");
}

int video_on_subscription_changed(struct st_call *call)
{
    return st_limit_lifted(call, NULL);
}

/* The rest comes by itself. */
void video_begin(struct st_call *call, const char *video_id, const char *story_id, const char *author_id)
{
    st_enqueue(call, "render", video_id, 0, json_pack("{s:s}", "videoId", video_id));
    st_emit(call, "VideoProcessing", video_id,
            json_pack("{s:s, s:s, s:s, s:s, s:f}", "videoId", video_id, "storyId", story_id, "authorId", author_id,
                      "provider", "ffmpeg", "progress", 0.0));
}

int video_begin_if_any_left(struct st_call *call, const char *video_id, const char *story_id, const char *author_id)
{
    const char *why;
    int r = st_limit_used_up(call, author_id, "videos", &why);
    if (r < 0 || why)
        return r < 0 ? r : video_give_up(call, video_id, why);
    video_begin(call, video_id, story_id, author_id);
    return 0;
}

/*
 * The collaborative film: that of the newest narration, in the format that was asked for last, with those named who
 * took part. A story without a narration gets it with that; one whose collaborators have all left needs none.
 */
int video_on_collaboration_completed(struct st_call *call)
{
    const char *id = st_new_id(call->arena), *story_id = st_str(call->body, "storyId");
    json_t *v;
    int r = know_story(call);
    if (r <= 0 || json_array_size(json_object_get(call->body, "participants")) == 0)
        return r;
    st_exec(call, "update stories set collaboration_id = $2 where story_id = $1", story_id, call->event->aggregate_id);
    r = st_row(
        call, &v,
        "insert into video_jobs (video_id, story_id, narration_id, ordinal, analysis_id, audio_ref, timing_ref, "
        "aspect_ratio, resolution, captions, pictures, collaboration_id) select $2, v.story_id, v.narration_id, "
        "v.ordinal, v.analysis_id, v.audio_ref, v.timing_ref, v.aspect_ratio, v.resolution, v.captions, v.pictures, $3 "
        "from video_jobs v "
        "where v.story_id = $1 order by ordinal desc, asked_at desc, video_id desc limit 1 on conflict do nothing "
        "returning (select author_id from stories where story_id = $1)",
        story_id, id, call->event->aggregate_id);
    if (r < 0)
        return r == ST_E_NOT_FOUND ? 0 : r;
    if ((r = stop_rendering(call, story_id, id)) < 0)
        return r;
    return video_begin_if_any_left(call, id, story_id, st_str(v, "author_id"));
}

/* Of the narration that the event tells of; 0: of before they were told. */
static const char *ordinal_of(struct st_call *call)
{
    return st_i64(call->arena, st_json_int(call->body, "ordinal", 0));
}

/*
 * One that comes late, behind a newer one, needs no film: nobody else finds out which is the newest at the same time.
 * One that has overtaken its analysis is tried again; an analysis older than that of the story comes no more.
 */
int video_on_narration_generated(struct st_call *call)
{
    const json_t *b = call->body;
    const char *id = st_new_id(call->arena), *story_id = st_str(b, "storyId"), *ordinal = ordinal_of(call);
    struct st_rows *rows;
    int r = know_story(call);
    if (r <= 0)
        return r;
    r = st_rows(call, &rows,
                "select coalesce($2 <= analysis_id or exists (select from analyses where analysis_id = $2), "
                "$2::uuid is null) from stories where story_id = $1 for update",
                story_id, st_str(b, "analysisId"));
    if (r < 0 || st_rows_count(rows) == 0)
        return r;
    if (!st_streq(st_cell(rows, 0, 0), "t"))
        return st_fail(call, ST_E_NOT_FOUND, "What was narrated is not known here yet.");
    st_exec(call, "delete from narration_failures where story_id = $1 and ordinal <= $2", story_id, ordinal);
    r = st_rows(call, &rows,
                "insert into video_jobs (video_id, story_id, narration_id, ordinal, audio_ref, timing_ref, "
                "analysis_id, collaboration_id) select $1, story_id, $3, $7, $4, $5, coalesce($6, analysis_id), "
                "collaboration_id from stories where story_id = $2 and not exists "
                "(select from video_jobs where story_id = $2 and ordinal > $7) on conflict do nothing",
                id, story_id, st_str(b, "narrationId"), st_str(b, "audioRef"), st_str(b, "timingRef"),
                st_str(b, "analysisId"), ordinal);
    if (r < 0 || st_rows_affected(rows) == 0)
        return r;
    if ((r = stop_rendering(call, story_id, id)) < 0)
        return r;
    return video_begin_if_any_left(call, id, story_id, st_str(b, "authorId"));
}

/* What there is to be seen stays so. */
int video_on_narration_failed(struct st_call *call)
{
    int r = know_story(call);
    if (r == 1)
        st_exec(call,
                "insert into narration_failures as old (story_id, narration_id, ordinal, reason) "
                "values ($1, $2, $3, $4) on conflict (story_id) do update set narration_id = $2, ordinal = $3, "
                "reason = $4, failed_at = now() where old.ordinal <= $3",
                st_str(call->body, "storyId"), st_str(call->body, "narrationId"), ordinal_of(call),
                st_str(call->body, "reason"));
    return r < 0 ? r : 0;
}

static void drop(struct st_call *call, const json_t *videos)
{
    json_t *one;
    size_t i;
    json_array_foreach (videos, i, one) {
        st_cancel(call, "render", st_str(one, "video_id"));
        st_enqueue(call, "remove_files", st_str(one, "video_id"), 0,
                   json_pack("{s:O}", "videoId", json_object_get(one, "video_id")));
    }
}

/* Its films have the same voices. */
int video_on_narration_withdrawn(struct st_call *call)
{
    const char *id = st_str(call->body, "narrationId");
    json_t *gone, *one;
    size_t i;
    int r = st_list(call, &gone, "select video_id from video_jobs where narration_id = $1", id);
    if (r < 0)
        return r;
    json_array_foreach (gone, i, one)
        if ((r = video_end_filming(call, st_str(one, "video_id"), "Its narration was withdrawn.")) < 0 ||
            (r = video_cancel_clips(call, st_str(one, "video_id"))) < 0)
            return r;
    st_exec(call, "delete from video_jobs where narration_id = $1", id);
    drop(call, gone);
    return 0;
}

/*
 * With filmed passages, the rows stay, for passages that are as they were are taken from them; the films go (video.c),
 * and can be asked for anew. Analyses go that no film is made of any more.
 */
int video_drop_superseded(struct st_call *call)
{
    json_t *gone;
    int r =
        st_list(call, &gone,
                "delete from video_jobs where video_id in (select video_id from superseded where pictures = 'drawn' "
                "limit 1000) returning video_id");
    if (r < 0)
        return r;
    drop(call, gone);
    st_exec(call, "update video_jobs set status = 'failed', reason = 'A newer narration has taken its place.' "
                  "where video_id in (select video_id from superseded) and status = 'ready'");
    st_exec(call,
            "delete from analyses a where told_at < now() - interval '1 day' and not exists (select from stories s "
            "where s.story_id = a.story_id and s.analysis_id = a.analysis_id) and not exists (select from video_jobs v "
            "where v.story_id = a.story_id and v.analysis_id = a.analysis_id)");
    return 0;
}
