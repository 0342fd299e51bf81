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
            "on conflict (story_id) do update set title = $3, gone = false",
            st_str(call->body, "storyId"), st_str(call->body, "authorId"), st_str(call->body, "title"));
    return 0;
}

int collaboration_on_characters(struct st_call *call)
{
    st_exec(call,
            "update stories set characters = (select coalesce(jsonb_agg(c->'name'), '[]') "
            "from jsonb_array_elements($2::jsonb) c) where story_id = $1",
            st_str(call->body, "storyId"), st_json_text(call->arena, json_object_get(call->body, "characters")));
    return 0;
}

/* --- voices --- */

int collaboration_on_sample(struct st_call *call)
{
    st_exec(call,
            "insert into voices (user_id, state) select $1, 'recorded' "
            "where not exists (select from erased_users where user_id = $1) on conflict do nothing",
            st_str(call->body, "userId"));
    return 0;
}

/* One that was lent to collaborations speaks, from now on, those whom its owner was given. */
int collaboration_on_voice(struct st_call *call)
{
    const char *user_id = st_str(call->body, "userId");
    json_t *rooms, *room, *one;
    size_t i;
    if (!st_streq(st_str(call->body, "scope"), "collaborations"))
        return 0;
    collaboration_lock_user(call, user_id);
    st_exec(call,
            "insert into voices (user_id, state, profile_id) select $1, 'ready', $2 "
            "where not exists (select from erased_users where user_id = $1) "
            "on conflict (user_id) do update set state = 'ready', profile_id = excluded.profile_id",
            user_id, st_str(call->body, "profileId"));
    int r =
        st_list(call, &rooms, "select collaboration_id as id from participants where user_id = $1 order by 1", user_id);
    json_array_foreach (r < 0 ? NULL : rooms, i, one) {
        const char *id = st_str(one, "id");
        r = collaboration_lock_active(call, id, NULL, &room);
        if (r == 0)
            r = collaboration_tell_voice(call, id, st_str(room, "story_id"), user_id);
        if (r < 0 && r != ST_E_CONFLICT)
            return r;
    }
    return r == ST_E_CONFLICT ? 0 : r;
}

int collaboration_on_voice_withdrawn(struct st_call *call)
{
    st_exec(call, "delete from voices where profile_id = $1", st_str(call->body, "profileId"));
    return 0;
}

/* --- the end of stories and people --- */

/* Cancels what is active of these rooms, each locked in its turn. */
static int cancel_all(struct st_call *call, const json_t *ids)
{
    json_t *room;
    const json_t *one;
    size_t i;
    int r = 0;
    json_array_foreach (ids, i, one) {
        r = collaboration_lock_active(call, st_str(one, "id"), NULL, &room);
        if (r == 0)
            r = collaboration_end(call, room, "CollaborationCancelled");
        if (r < 0 && r != ST_E_CONFLICT)
            return r;
    }
    return 0;
}

/* The title stays, for those who look back at what they took part in. */
int collaboration_on_story_deleted(struct st_call *call)
{
    const char *story_id = st_str(call->body, "storyId");
    json_t *ids;
    st_exec(call, "update stories set gone = true where story_id = $1", story_id);
    int r = st_list(call, &ids,
                    "select collaboration_id as id from collaborations where story_id = $1 and status = 'active' "
                    "order by 1",
                    story_id);
    return r < 0 ? r : cancel_all(call, ids);
}

/* What they host ends; the rest is erased by the rules of the tables, while nobody makes them take part in anything. */
int collaboration_on_user_deleted(struct st_call *call)
{
    const char *user_id = st_str(call->body, "userId");
    json_t *ids;
    collaboration_lock_user(call, user_id);
    int r = st_list(call, &ids,
                    "select collaboration_id as id from collaborations where host_id = $1 and status = 'active' "
                    "order by 1",
                    user_id);
    return r < 0 ? r : cancel_all(call, ids);
}
