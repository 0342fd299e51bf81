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
