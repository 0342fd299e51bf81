/* What narration knows of stories, from others' events. */
#include "narration/narration.h"

int narration_on_story_created(struct st_call *call)
{
    st_exec(call, "insert into stories (story_id, author_id, title) values ($1, $2, $3) on conflict do nothing",
            st_str(call->body, "storyId"), st_str(call->body, "authorId"), st_str(call->body, "title"));
    return 0;
}

int narration_on_story_updated(struct st_call *call)
{
    st_exec(call,
            "update stories set title = $2, audience = case when audience is not null then $3 end where story_id = $1",
            st_str(call->body, "storyId"), st_str(call->body, "title"), st_str(call->body, "visibility"));
    return 0;
}

/* Comes before StoryAnalyzed. */
int narration_on_characters(struct st_call *call)
{
    st_exec(call, "update stories set characters = $2 where story_id = $1", st_str(call->body, "storyId"),
            st_json_text(call->arena, json_object_get(call->body, "characters")));
    return 0;
}

int narration_on_story_analyzed(struct st_call *call)
{
    const json_t *b = call->body, *segments = json_object_get(b, "segments");
    const char *id = st_new_id(call->arena), *story_id = st_str(b, "storyId");
    struct st_rows *rows;
    int r = st_rows(
        call, &rows,
        "insert into narrations (narration_id, story_id, analysis_id, language, characters, segments, text_ref) "
        "select $1, story_id, $3, $4, characters, $5, $6 from stories where story_id = $2 "
        "on conflict (analysis_id) do nothing",
        id, story_id, st_str(b, "analysisId"), st_str(b, "language"),
        segments ? st_json_text(call->arena, segments) : NULL, st_str(b, "textRef"));
    if (r < 0 || st_rows_affected(rows) == 0)
        return r;
    st_enqueue(call, "speak", id, 0, json_pack("{s:s}", "narrationId", id));
    return 0;
}

int narration_on_story_published(struct st_call *call)
{
    st_exec(call, "update stories set audience = $2 where story_id = $1", st_str(call->body, "storyId"),
            st_str(call->body, "audience"));
    return 0;
}

int narration_on_participant_joined(struct st_call *call)
{
    st_exec(call,
            "insert into story_readers select story_id, $2 from stories where story_id = $1 on conflict do nothing",
            st_str(call->body, "storyId"), st_str(call->body, "userId"));
    return 0;
}

int narration_on_story_deleted(struct st_call *call)
{
    json_t *narrations, *one;
    size_t i;
    const char *story_id = st_str(call->body, "storyId");
    int r = st_list(call, &narrations, "select narration_id from narrations where story_id = $1", story_id);
    if (r < 0)
        return r;
    json_array_foreach (narrations, i, one)
        st_enqueue(call, "remove_files", st_str(one, "narration_id"), 0,
                   json_pack("{s:s}", "narrationId", st_str(one, "narration_id")));
    st_exec(call, "delete from stories where story_id = $1", story_id);
    return 0;
}
