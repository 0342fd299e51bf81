/* What story learns from others. */
#include "story/story.h"

int story_on_user_registered(struct st_call *call)
{
    st_exec(call,
            "insert into authors select $1, $2 where not exists (select from erased_users where user_id = $1) "
            "on conflict (author_id) do update set display_name = $2",
            st_str(call->body, "userId"), st_str(call->body, "displayName"));
    return 0;
}

int story_on_profile_updated(struct st_call *call)
{
    const char *name = st_str(call->body, "displayName");
    return name ? story_on_user_registered(call) : 0;
}

/* The stories go with their author; each says so, so that narrations and videos go too. */
int story_on_user_deleted(struct st_call *call)
{
    const char *user_id = st_str(call->body, "userId");
    json_t *deleted, *one;
    size_t i;
    int r = st_list(call, &deleted,
                    "delete from stories where author_id = $1 returning story_id, version + 1 as version, "
                    "deleted_at is not null as known",
                    user_id);
    if (r < 0)
        return r;
    json_array_foreach (deleted, i, one) {
        if (st_json_bool(one, "known", false)) /* said when it was deleted */
            continue;
        story_forget_files(call, st_str(one, "story_id"));
        st_emit(call, "StoryDeleted", st_str(one, "story_id"),
                json_pack("{s:s, s:s, s:O}", "storyId", st_str(one, "story_id"), "authorId", user_id, "version",
                          json_object_get(one, "version")));
    }
    return 0;
}

/* Who takes part in several collaborations on a story counts once. */
int story_on_participant_joined(struct st_call *call)
{
    const char *story_id = st_str(call->body, "storyId"), *user_id = st_str(call->body, "userId");
    st_exec(call,
            "insert into story_participations select $1, $2, story_id from stories where story_id = $3 "
            "and not exists (select from erased_users where user_id = $2) on conflict do nothing",
            call->event->aggregate_id, user_id, story_id);
    st_exec(call,
            "with joined as (insert into story_collaborators select story_id, $2 from stories where story_id = $1 "
            "and deleted_at is null "
            "and not exists (select from erased_users where user_id = $2) "
            "on conflict do nothing returning story_id) "
            "update stories set collaborator_count = collaborator_count + 1 from joined where stories.story_id = "
            "joined.story_id",
            story_id, user_id);
    return 0;
}

int story_on_participant_left(struct st_call *call)
{
    const char *story_id = st_str(call->body, "storyId"), *user_id = st_str(call->body, "userId");
    st_exec(call, "delete from story_participations where collaboration_id = $1 and user_id = $2",
            call->event->aggregate_id, user_id);
    st_exec(call,
            "with gone as (delete from story_collaborators where story_id = $1 and user_id = $2 and not exists "
            "(select from story_participations where story_id = $1 and user_id = $2) returning story_id) "
            "update stories set collaborator_count = collaborator_count - 1 from gone where stories.story_id = "
            "gone.story_id",
            story_id, user_id);
    return 0;
}

int story_on_limit_reached(struct st_call *call)
{
    if (!st_streq(st_str(call->body, "metric"), "stories"))
        return 0;
    st_exec(call,
            "insert into blocks select $1, $2 where not exists (select from erased_users where user_id = $1) "
            "on conflict (user_id) do update set until = $2",
            st_str(call->body, "userId"), st_str(call->body, "resetsAt"));
    return 0;
}

int story_on_limit_lifted(struct st_call *call)
{
    return st_streq(st_str(call->body, "metric"), "stories") ? story_on_subscription_changed(call) : 0;
}

/* A new tier starts with new limits; if those are reached too, subscription says so again. */
int story_on_subscription_changed(struct st_call *call)
{
    st_exec(call, "delete from blocks where user_id = $1", st_str(call->body, "userId"));
    return 0;
}

int story_on_narration_progressed(struct st_call *call)
{
    st_exec(call, "update stories set state = 'narrating' where story_id = $1 and state = 'ready'",
            st_str(call->body, "storyId"));
    return 0;
}

int story_on_narration_done(struct st_call *call)
{
    st_exec(call, "update stories set state = 'ready' where story_id = $1 and state = 'narrating'",
            st_str(call->body, "storyId"));
    return 0;
}
