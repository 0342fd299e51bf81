/* The list view, as the events make it. */
#include "story/story.h"

/* Of StoryCreated, StoryUpdated and StoryRestored: each has title and author as they are then. */
int story_project_text(struct st_call *call)
{
    st_exec(call,
            "insert into story_list_view (story_id, author_id, title, collaborator_count, last_updated) "
            "values ($1, $2, $3, 0, event_time($4)) "
            "on conflict (story_id) do update set title = excluded.title, last_updated = excluded.last_updated",
            call->event->aggregate_id, st_str(call->body, "authorId"), st_str(call->body, "title"), call->event->id);
    return 0;
}

/* Of StoryPublished and StoryUnpublished. */
int story_project_touched(struct st_call *call)
{
    st_exec(call, "update story_list_view set last_updated = event_time($2) where story_id = $1",
            call->event->aggregate_id, call->event->id);
    return 0;
}

int story_project_collaborators(struct st_call *call)
{
    st_exec(call, "update story_list_view set collaborator_count = $2 where story_id = $1", call->event->aggregate_id,
            st_i64(call->arena, st_json_int(call->body, "collaborators", 0)));
    return 0;
}

int story_project_deleted(struct st_call *call)
{
    st_exec(call, "delete from story_list_view where story_id = $1", call->event->aggregate_id);
    return 0;
}

int story_project_named(struct st_call *call)
{
    st_exec(call,
            "insert into authors (author_id, display_name) values ($1, $2) "
            "on conflict (author_id) do update set display_name = excluded.display_name",
            call->event->aggregate_id, st_str(call->body, "displayName"));
    return 0;
}
