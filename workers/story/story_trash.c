/* Deleted stories: thirty days in which their author can have them back. */
#include "story/story.h"

#define KEPT_FOR "interval '30 days'"

int story_list_deleted(struct st_call *call)
{
    return st_page(call, "storyId",
                   "select story_id as \"storyId\", title, deleted_at as \"deletedAt\", deleted_at + " KEPT_FOR
                   " as \"purgedAt\" from stories where author_id = $3 and deleted_at is not null "
                   "and ($1::uuid is null or story_id < $1::uuid) order by story_id desc limit $2::int",
                   call->user_id);
}

/*
 * Text, title and revisions are as they were, and the story is its author's alone again. Those who forgot it when it
 * was deleted learn of it anew; it is analysed, narrated and filmed again, but for a draft.
 */
int story_restore(struct st_call *call)
{
    const char *id = st_param(call, "storyId");
    json_t *story;
    int r = st_row(call, &story,
                   "update stories s set deleted_at = null, visibility = 'private', version = version + 1, "
                   "updated_at = now() where s.story_id = $1 and s.author_id = $2 and s.deleted_at > now() - " KEPT_FOR
                   " returning " STORY_COLUMNS ", s.content_hash",
                   id, call->user_id);
    if (r == ST_E_NOT_FOUND)
        return st_fail(call, r, "There is no such story among those that you have deleted.");
    if (r < 0)
        return r;
    st_emit(call, "StoryRestored", id,
            json_pack("{s:s, s:s, s:O, s:O, s:O, s:O}", "storyId", id, "authorId", call->user_id, "title",
                      json_object_get(story, "title"), "contentHash", json_object_get(story, "content_hash"),
                      "visibility", json_object_get(story, "visibility"), "version",
                      json_object_get(story, "version")));
    json_object_del(story, "content_hash");
    if (!st_streq(st_str(story, "state"), "draft"))
        story_start_analysis(call, id, call->tier);
    return story_reply(call, 200, story);
}

/* Nobody hears of it: to all others they are gone since they were deleted. */
int story_purge(struct st_call *call)
{
    st_exec(call, "delete from stories where story_id in (select story_id from stories "
                  "where deleted_at < now() - " KEPT_FOR " order by deleted_at limit 200)");
    st_exec(call, "delete from story_mails where mailed_at < now() - interval '1 day'");
    st_exec(call, "delete from story_imports where created_at < now() - " KEPT_FOR);
    return 0;
}
