/* Participants: what they do in a collaboration, and how they leave it. They come in by invitations. */
#include "collaboration/collaboration.h"

/* Does the user take part in a room that is locked? ST_E_NOT_FOUND. */
static int check_participant(struct st_call *call, const json_t *room, const char *user_id)
{
    struct st_rows *found;
    int r = st_rows(call, &found, "select from participants where collaboration_id = $1 and user_id = $2",
                    st_str(room, "collaboration_id"), user_id);
    if (r == 0 && st_rows_count(found) == 0)
        return st_fail(call, ST_E_NOT_FOUND, "There is no such participant, or no such collaboration.");
    return r;
}

/* By the participant, or by the host. Others learn nothing, not even that there is such a collaboration. */
int collaboration_remove_participant(struct st_call *call)
{
    const char *id = st_param(call, "collaborationId"), *user_id = st_param(call, "userId");
    bool own = st_streq(user_id, call->user_id);
    json_t *room;
    collaboration_lock_user(call, user_id);
    int r = collaboration_lock(call, id, own ? NULL : call->user_id, &room);
    if (r < 0 || (r = check_participant(call, room, user_id)) < 0)
        return r;
    st_emit(call, "ParticipantLeft", id,
            json_pack("{s:s, s:O, s:O, s:s, s:s}", "collaborationId", id, "storyId", json_object_get(room, "story_id"),
                      "hostId", json_object_get(room, "host_id"), "userId", user_id, "reason",
                      own ? "left" : "removed"));
    return st_reply(call, 204, NULL);
}

static int submitted(struct st_call *call, const json_t *room)
{
    const char *id = st_str(room, "collaboration_id");
    json_t *participants = NULL, *own;
    int r = collaboration_participants(call, id, &participants);
    if (r == 0)
        r = st_row(call, &own, "select coalesce((select display_name from people where user_id = $1), '') as name",
                   call->user_id);
    if (r == 0)
        st_emit(call, "SubmissionCompleted", id,
                json_pack("{s:s, s:O, s:O, s:s, s:O, s:O, s:O}", "collaborationId", id, "storyId",
                          json_object_get(room, "story_id"), "hostId", json_object_get(room, "host_id"), "userId",
                          call->user_id, "participantName", json_object_get(own, "name"), "storyTitle",
                          json_object_get(room, "title"), "participants", participants));
    return r;
}

/* Said again, it stays as it is. */
int collaboration_submit(struct st_call *call)
{
    const char *id = st_param(call, "collaborationId");
    struct st_rows *before;
    json_t *room;
    int r = collaboration_lock(call, id, NULL, &room);
    if (r < 0 || (r = check_participant(call, room, call->user_id)) < 0)
        return r;
    if (!st_streq(st_str(room, "status"), "active"))
        return st_fail(call, ST_E_CONFLICT, "The collaboration is %s.", st_str(room, "status"));
    r = st_rows(call, &before,
                "select from participants where collaboration_id = $1 and user_id = $2 and submitted_at is not null",
                id, call->user_id);
    if (r == 0 && st_rows_count(before) == 0)
        r = submitted(call, room);
    return r < 0 ? r : collaboration_reply(call, 200, id);
}

/* --- whom they speak --- */

int collaboration_tell_voice(struct st_call *call, const char *id, const char *story_id, const char *user_id)
{
    json_t *spoken, *one;
    size_t i;
    int r = st_list(call, &spoken,
                    "select v.profile_id, c as character from participants p join voices v using (user_id), "
                    "jsonb_array_elements_text(p.characters) c where p.collaboration_id = $1 and p.user_id = $2 "
                    "and v.state = 'ready'",
                    id, user_id);
    json_array_foreach (r < 0 ? NULL : spoken, i, one)
        st_emit(call, "CollaboratorVoiceReady", id,
                json_pack("{s:s, s:s, s:s, s:O, s:O}", "collaborationId", id, "storyId", story_id, "userId", user_id,
                          "profileId", json_object_get(one, "profile_id"), "character",
                          json_object_get(one, "character")));
    return r;
}

/* Are they characters of the story, as far as is known, whom nobody else speaks? */
static int check_characters(struct st_call *call, const json_t *room, const char *user_id)
{
    const char *names = st_json_text(call->arena, json_object_get(call->body, "characters"));
    struct st_rows *unknown, *taken = NULL;
    int r = st_rows(call, &unknown,
                    "select c from jsonb_array_elements_text($2::jsonb) c, stories s where s.story_id = $1 "
                    "and s.characters is not null and not jsonb_exists(s.characters, c) limit 1",
                    st_str(room, "story_id"), names);
    if (r == 0)
        r = st_rows(call, &taken,
                    "select c from jsonb_array_elements_text($3::jsonb) c, participants p where "
                    "p.collaboration_id = $1 and p.user_id <> $2 and jsonb_exists(p.characters, c) limit 1",
                    st_str(room, "collaboration_id"), user_id, names);
    if (r == 0 && st_rows_count(unknown)) {
        st_fail_at(call, "/characters", "names somebody who is not in the story");
        return st_fail(call, ST_E_UNPROCESSABLE, "The story has no such character.");
    }
    return r == 0 && st_rows_count(taken) ? st_fail(call, ST_E_CONFLICT, "Somebody else speaks one of them.") : r;
}

int collaboration_assign(struct st_call *call)
{
    const char *id = st_param(call, "collaborationId"), *user_id = st_param(call, "userId"), *story_id;
    json_t *room;
    collaboration_lock_user(call, user_id); /* as collaboration_on_voice does: one of the two sees both */
    int r = collaboration_lock_active(call, id, call->user_id, &room);
    if (r < 0 || (r = check_participant(call, room, user_id)) < 0 || (r = check_characters(call, room, user_id)) < 0)
        return r;
    story_id = st_str(room, "story_id");
    st_emit(call, "CharactersAssigned", id,
            json_pack("{s:s, s:s, s:O, s:s, s:O}", "collaborationId", id, "storyId", story_id, "hostId",
                      json_object_get(room, "host_id"), "userId", user_id, "characters",
                      json_object_get(call->body, "characters")));
    r = collaboration_tell_voice(call, id, story_id, user_id);
    return r < 0 ? r : collaboration_reply(call, 200, id);
}
