/* What collaboration learns from others. */
#include "collaboration/collaboration.h"

int collaboration_on_person(struct st_call *call)
{
    st_exec(call,
            "insert into people (user_id, display_name, locale) select $1, coalesce($2, ''), coalesce($3, 'en') "
            "where not exists (select from erased_users where user_id = $1) "
            "on conflict (user_id) do update set display_name = coalesce($2, people.display_name), "
            "locale = coalesce($3, people.locale)",
            st_str(call->body, "userId"), st_str(call->body, "displayName"), st_str(call->body, "locale"));
    return 0;
}

int collaboration_on_subscription_changed(struct st_call *call)
{
    const json_t *limit = json_object_get(json_object_get(call->body, "limits"), "invitations");
    st_exec(call,
            "insert into people (user_id, display_name, locale, invitation_limit) select $1, '', 'en', $2 "
            "where not exists (select from erased_users where user_id = $1) "
            "on conflict (user_id) do update set invitation_limit = $2",
            st_str(call->body, "userId"),
            json_is_integer(limit) ? st_i64(call->arena, json_integer_value(limit)) : NULL);
    return 0;
}

int collaboration_on_story(struct st_call *call)
{
    st_exec(call,
            "insert into stories select $1, $2, $3 where not exists (select from erased_users where user_id = $2) "
            "on conflict (story_id) do update set title = $3",
            st_str(call->body, "storyId"), st_str(call->body, "authorId"), st_str(call->body, "title"));
    st_exec(call, "update collaborations set story_title = $2 where story_id = $1", st_str(call->body, "storyId"),
            st_str(call->body, "title"));
    return 0;
}

int collaboration_on_story_deleted(struct st_call *call)
{
    const char *story_id = st_str(call->body, "storyId");
    st_exec(call, "delete from stories where story_id = $1", story_id);
    st_exec(call, "update collaborations set status = 'cancelled' where story_id = $1 and status = 'active'", story_id);
    st_exec(call,
            "update invitations i set status = 'cancelled' from collaborations c where c.story_id = $1 "
            "and i.collaboration_id = c.collaboration_id and i.status in ('pending', 'sending', 'sent')",
            story_id);
    return 0;
}
