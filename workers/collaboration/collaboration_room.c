/* Collaborations: open, list, look at, end. */
#include "collaboration/collaboration.h"

/* A collaboration as the API shows it; c is the row. The title is gone with the author. */
#define ROOM_COLUMNS                                                                                                   \
    "c.collaboration_id as \"collaborationId\", c.story_id as \"storyId\", "                                           \
    "coalesce((select s.title from stories s where s.story_id = c.story_id), '') as \"storyTitle\", "                  \
    "c.host_id as \"hostId\", c.mode, c.status, c.created_at as \"createdAt\", "                                       \
    "coalesce((select json_agg(json_build_object('userId', p.user_id, 'displayName', coalesce(u.display_name, ''), "   \
    "'role', p.role, 'joinedAt', to_char(p.joined_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), "       \
    "'submittedAt', to_char(p.submitted_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), "                 \
    "'characters', coalesce(p.characters, '[]'), 'voice', coalesce(v.state, 'none')) order by p.joined_at) "           \
    "from participants p left join people u using (user_id) left join voices v using (user_id) "                       \
    "where p.collaboration_id = c.collaboration_id), '[]') as participants"

/* --- locks --- */

void collaboration_lock_user(struct st_call *call, const char *user_id)
{
    st_exec(call, "select pg_advisory_xact_lock(hashtextextended('user ' || $1, 0))", user_id);
}

int collaboration_lock(struct st_call *call, const char *id, const char *host_id, json_t **ret)
{
    int r = st_row(call, ret,
                   "select c.collaboration_id, c.story_id, c.host_id, c.status, coalesce(s.title, '') as title "
                   "from collaborations c left join stories s using (story_id) "
                   "where c.collaboration_id = $1 and ($2::uuid is null or c.host_id = $2::uuid) for update of c",
                   id, host_id);
    if (r == ST_E_NOT_FOUND)
        return st_fail(call, r, "There is no such collaboration%s.", host_id ? " of yours" : "");
    return r;
}

int collaboration_lock_active(struct st_call *call, const char *id, const char *host_id, json_t **ret)
{
    int r = collaboration_lock(call, id, host_id, ret);
    if (r == 0 && !st_streq(st_str(*ret, "status"), "active"))
        return st_fail(call, ST_E_CONFLICT, "The collaboration is %s.", st_str(*ret, "status"));
    return r;
}

/* --- open, list, look at --- */

int collaboration_reply(struct st_call *call, int status, const char *id)
{
    json_t *room;
    int r = st_row(call, &room, "select " ROOM_COLUMNS " from collaborations c where c.collaboration_id = $1", id);
    return r < 0 ? r : st_reply_keep(call, status, room);
}

int collaboration_create(struct st_call *call)
{
    const char *id = st_new_id(call->arena), *story_id = st_str(call->body, "storyId");
    struct st_rows *own;
    collaboration_lock_user(call, call->user_id);
    int r = st_rows(call, &own,
                    "select from stories where story_id = $1 and author_id = $2 and not gone "
                    "and not exists (select from erased_users where user_id = $2)",
                    story_id, call->user_id);
    if (r == 0 && st_rows_count(own) == 0)
        return st_absent(call, story_id, "There is no such story of yours.");
    if (r < 0)
        return r;
    st_emit(call, "CollaborationCreated", id,
            json_pack("{s:s, s:s, s:s, s:s}", "collaborationId", id, "storyId", story_id, "hostId", call->user_id,
                      "mode", "async"));
    st_header(call, "Location", st_printf(call->arena, "/v1/collaborations/%s", id));
    return collaboration_reply(call, 201, id);
}

/* Those one hosts and those one takes part in, newest first. */
int collaboration_list(struct st_call *call)
{
    return st_page(
        call, "collaborationId",
        "select " ROOM_COLUMNS " from collaborations c where ($1::uuid is null or c.collaboration_id < $1::uuid) "
        "and c.collaboration_id in ((select collaboration_id from collaborations where host_id = $3 "
        "and ($1::uuid is null or collaboration_id < $1::uuid) order by collaboration_id desc limit $2::int) "
        "union all (select collaboration_id from participants where user_id = $3 "
        "and ($1::uuid is null or collaboration_id < $1::uuid) order by collaboration_id desc limit $2::int)) "
        "order by c.collaboration_id desc limit $2::int",
        call->user_id);
}

int collaboration_get(struct st_call *call)
{
    json_t *room;
    int r = st_row(call, &room,
                   "select " ROOM_COLUMNS " from collaborations c where c.collaboration_id = $1 and (c.host_id = $2 or "
                   "exists (select from participants p where p.collaboration_id = $1 and p.user_id = $2))",
                   st_param(call, "collaborationId"), call->user_id);
    if (r == ST_E_NOT_FOUND)
        return st_fail(call, r, "There is no such collaboration, or you do not take part in it.");
    return r < 0 ? r : st_reply_keep(call, 200, room);
}

/* --- the end --- */

/* What is still under way of its invitations goes with it. */
static int cancel_invitations(struct st_call *call, const json_t *room)
{
    const char *id = st_str(room, "collaboration_id");
    json_t *open, *one;
    size_t i;
    int r = st_list(call, &open,
                    "select invitation_id from invitations where collaboration_id = $1 "
                    "and status in ('pending', 'sending', 'sent') order by invitation_id",
                    id);
    json_array_foreach (r < 0 ? NULL : open, i, one)
        st_emit(call, "InvitationCancelled", id,
                json_pack("{s:O, s:s, s:O}", "invitationId", json_object_get(one, "invitation_id"), "collaborationId",
                          id, "hostId", json_object_get(room, "host_id")));
    return r;
}

int collaboration_participants(struct st_call *call, const char *id, json_t **ret)
{
    json_t *row;
    int r = st_row(call, &row,
                   "select coalesce(json_agg(user_id order by joined_at, user_id), '[]') as participants "
                   "from participants where collaboration_id = $1",
                   id);
    if (r == 0)
        *ret = json_object_get(row, "participants");
    return r;
}

int collaboration_end(struct st_call *call, const json_t *room, const char *type)
{
    const char *id = st_str(room, "collaboration_id");
    json_t *participants = NULL;
    int r = collaboration_participants(call, id, &participants);
    if (r < 0 || (r = cancel_invitations(call, room)) < 0)
        return r;
    json_t *end = json_pack("{s:s, s:O, s:O, s:O}", "collaborationId", id, "storyId", json_object_get(room, "story_id"),
                            "hostId", json_object_get(room, "host_id"), "participants", participants);
    if (st_streq(type, "CollaborationCompleted")) /* else its author may be gone, and the title with them */
        json_object_set(end, "storyTitle", json_object_get(room, "title"));
    st_emit(call, type, id, end);
    return 0;
}

static int end_own(struct st_call *call, const char *type)
{
    const char *id = st_param(call, "collaborationId");
    json_t *room;
    int r = collaboration_lock_active(call, id, call->user_id, &room);
    if (r < 0 || (r = collaboration_end(call, room, type)) < 0)
        return r;
    return collaboration_reply(call, 200, id);
}

int collaboration_complete(struct st_call *call)
{
    return end_own(call, "CollaborationCompleted");
}

int collaboration_cancel(struct st_call *call)
{
    return end_own(call, "CollaborationCancelled");
}
