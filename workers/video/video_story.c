/* What video knows of stories, from others' events. */
#include "video/video.h"

int video_on_story_created(struct st_call *call)
{
    st_exec(call, "insert into stories (story_id, author_id, title) values ($1, $2, $3) on conflict do nothing",
            st_str(call->body, "storyId"), st_str(call->body, "authorId"), st_str(call->body, "title"));
    return 0;
}

/* The scenes wait for the sound track. */
int video_on_story_analyzed(struct st_call *call)
{
    const json_t *segments = json_object_get(call->body, "segments");
    st_exec(call,
            "insert into stories (story_id, author_id, analysis_id, title, language, segments, text_ref) "
            "values ($1, $2, $3, $4, $5, $6, $7) on conflict (story_id) do update set analysis_id = $3, title = $4, "
            "language = $5, segments = $6, text_ref = $7",
            st_str(call->body, "storyId"), st_str(call->body, "authorId"), st_str(call->body, "analysisId"),
            st_str(call->body, "title"), st_str(call->body, "language"),
            segments ? st_json_text(call->arena, segments) : NULL, st_str(call->body, "textRef"));
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

int video_on_participant_joined(struct st_call *call)
{
    st_exec(call,
            "insert into story_readers select story_id, $2 from stories where story_id = $1 on conflict do nothing",
            st_str(call->body, "storyId"), st_str(call->body, "userId"));
    return 0;
}

int video_on_story_deleted(struct st_call *call)
{
    json_t *videos, *one;
    size_t i;
    const char *story_id = st_str(call->body, "storyId");
    int r = st_list(call, &videos, "select video_id from video_jobs where story_id = $1", story_id);
    if (r < 0)
        return r;
    json_array_foreach (videos, i, one)
        st_enqueue(call, "remove_files", st_str(one, "video_id"), 0,
                   json_pack("{s:s}", "videoId", st_str(one, "video_id")));
    st_exec(call, "delete from stories where story_id = $1", story_id);
    return 0;
}

int video_on_narration_generated(struct st_call *call)
{
    const json_t *b = call->body;
    const char *id = st_new_id(call->arena), *story_id = st_str(b, "storyId");
    struct st_rows *rows;
    int r = st_rows(
        call, &rows,
        "insert into video_jobs (video_id, story_id, narration_id, audio_ref, timing_ref) "
        "select $1, story_id, $3, $4, $5 from stories where story_id = $2 on conflict (narration_id) do nothing",
        id, story_id, st_str(b, "narrationId"), st_str(b, "audioRef"), st_str(b, "timingRef"));
    if (r < 0 || st_rows_affected(rows) == 0)
        return r;
    st_exec(call, "delete from narration_failures where story_id = $1", story_id);
    st_enqueue(call, "render", story_id, 0, json_pack("{s:s}", "videoId", id));
    st_emit(call, "VideoProcessing", id,
            json_pack("{s:s, s:s, s:s, s:s, s:f}", "videoId", id, "storyId", story_id, "authorId",
                      st_str(b, "authorId"), "provider", "ffmpeg", "progress", 0.0));
    return 0;
}

int video_on_narration_failed(struct st_call *call)
{
    st_exec(call,
            "insert into narration_failures select story_id, $2 from stories where story_id = $1 "
            "on conflict (story_id) do update set reason = $2",
            st_str(call->body, "storyId"), st_str(call->body, "reason"));
    return 0;
}
