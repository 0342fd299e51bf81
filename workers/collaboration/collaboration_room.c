/* Collaborations: open, list, look at. */
#include "collaboration/collaboration.h"

/* A collaboration as the API shows it; c is the row. */
#define ROOM_COLUMNS                                                                                                   \
    "c.collaboration_id as \"collaborationId\", c.story_id as \"storyId\", c.story_title as \"storyTitle\", "          \
    "c.host_id as \"hostId\", c.mode, c.status, c.created_at as \"createdAt\", "                                       \
    "coalesce((select json_agg(json_build_object('userId', p.user_id, 'displayName', coalesce(u.display_name, ''), "   \
    "'role', p.role, 'joinedAt', to_char(p.joined_at, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')) order by p.joined_at) "    \
    "from participants p left join people u using (user_id) "                                                          \
    "where p.collaboration_id = c.collaboration_id), '[]') as participants"

int collaboration_create(struct st_call *call)
{
    const char *id = st_new_id(call->arena), *story_id = st_str(call->body, "storyId");
    json_t *room;
    int r = st_row(call, &room,
                   "insert into collaborations as c (collaboration_id, story_id, story_title, host_id) "
                   "select $1, story_id, title, author_id from stories where story_id = $2 and author_id = $3 "
                   "returning " ROOM_COLUMNS,
                   id, story_id, call->user_id);
    if (r == ST_E_NOT_FOUND)
        return st_absent(call, story_id, "There is no such story of yours.");
    if (r < 0)
        return r;
    st_emit(call, "CollaborationCreated", id,
            json_pack("{s:s, s:s, s:s, s:s}", "collaborationId", id, "storyId", story_id, "hostId", call->user_id,
                      "mode", "async"));
    st_header(call, "Location", st_printf(call->arena, "/v1/collaborations/%s", id));
    return st_reply_keep(call, 201, room);
}

/* Those one hosts and those one takes part in, newest first. */
int collaboration_list(struct st_call *call)
{
    const char *after;
    json_t *rooms;
    int r = st_cursor(call, &after);
    if (r < 0)
        return r;
    r = st_list(call, &rooms,
                "select " ROOM_COLUMNS
                " from collaborations c where ($2::uuid is null or c.collaboration_id < $2::uuid) "
                "and c.collaboration_id in ((select collaboration_id from collaborations where host_id = $1 "
                "and ($2::uuid is null or collaboration_id < $2::uuid) order by collaboration_id desc limit $3::int) "
                "union all (select collaboration_id from participants where user_id = $1 "
                "and ($2::uuid is null or collaboration_id < $2::uuid) order by collaboration_id desc limit $3::int)) "
                "order by c.collaboration_id desc limit $3::int",
                call->user_id, after, st_limit_plus_one(call));
    return r < 0 ? r : st_reply_page(call, rooms, "collaborationId");
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
