/* Invitations: begin, list, accept. */
#include "collaboration/collaboration.h"
#include "io/crypto.h"

enum { EXPIRES_DAYS = 7 };

/* An invitation as its host sees it. */
#define INVITATION_COLUMNS                                                                                             \
    "invitation_id as \"invitationId\", collaboration_id as \"collaborationId\", email, role, "                        \
    "case when status = 'sending' then 'pending' when status = 'sent' and expires_at <= now() then 'expired' "         \
    "else status end as status, reason, "                                                                              \
    "expires_at as \"expiresAt\", created_at as \"createdAt\""

/*
 * The caller's own active collaboration. That the quota is used up is said at once when it is known here; the saga asks
 * subscription, whose word counts.
 */
static int check_room(struct st_call *call, const char *id)
{
    json_t *room;
    int r = st_row(call, &room,
                   "select c.status, p.invitation_limit is not null and p.invitation_limit <= (select count(*) from "
                   "invitations i where i.host_id = $2 and i.created_at > now() - interval '1 month' "
                   "and i.reason is null) as used_up "
                   "from collaborations c left join people p on p.user_id = c.host_id "
                   "where c.collaboration_id = $1 and c.host_id = $2 for update of c",
                   id, call->user_id);
    if (r == ST_E_NOT_FOUND)
        return st_fail(call, r, "There is no such collaboration of yours.");
    if (r == 0 && !st_streq(st_str(room, "status"), "active"))
        return st_fail(call, ST_E_CONFLICT, "The collaboration is %s.", st_str(room, "status"));
    if (r == 0 && st_json_bool(room, "used_up", false))
        return st_fail(call, ST_E_PAYMENT, "Your tier's invitations of this month are used up.");
    return r;
}

int collaboration_invite(struct st_call *call)
{
    const char *room_id = st_param(call, "collaborationId"), *id = st_new_id(call->arena), *saga_id;
    json_t *invitation;
    int r = check_room(call, room_id);
    if (r < 0)
        return r;
    r = st_row(
        call, &invitation,
        "insert into invitations (invitation_id, collaboration_id, host_id, email, role, status, expires_at) "
        "values ($1, $2, $3, $4, $5, 'pending', now() + make_interval(days => $6)) returning " INVITATION_COLUMNS,
        id, room_id, call->user_id, st_str(call->body, "email"), st_str(call->body, "role"),
        st_i64(call->arena, EXPIRES_DAYS));
    if (r == 0)
        r = st_saga_start(
            call, collaboration_sagas[0].name, id,
            json_pack("{s:s, s:s, s:s}", "invitationId", id, "collaborationId", room_id, "hostId", call->user_id),
            &saga_id);
    if (r < 0)
        return r;
    st_exec(call, "update invitations set saga_id = $2 where invitation_id = $1", id, saga_id);
    return st_reply_keep(call, 201, invitation);
}

int collaboration_list_invitations(struct st_call *call)
{
    const char *after, *room_id = st_param(call, "collaborationId");
    struct st_rows *own;
    json_t *list;
    int r = st_cursor(call, &after);
    if (r < 0)
        return r;
    r = st_rows(call, &own, "select from collaborations where collaboration_id = $1 and host_id = $2", room_id,
                call->user_id);
    if (r == 0 && st_rows_count(own) == 0)
        return st_fail(call, ST_E_NOT_FOUND, "There is no such collaboration of yours.");
    if (r < 0)
        return r;
    r = st_list(call, &list,
                "select " INVITATION_COLUMNS " from invitations where collaboration_id = $1 "
                "and ($2::uuid is null or invitation_id < $2::uuid) order by invitation_id desc limit $3::int",
                room_id, after, st_limit_plus_one(call));
    return r < 0 ? r : st_reply_page(call, list, "invitationId");
}

/* One statement claims the token, so that any number of parallel tries make one participant. */
static int claim(struct st_call *call, json_t **ret)
{
    const char *token = st_str(call->body, "token");
    int r = st_row(
        call, ret,
        "update invitations i set status = 'accepted' from collaborations c left join people p on p.user_id = $2 "
        "where i.token_hash = $1 and i.status in ('sending', 'sent') and i.expires_at > now() "
        "and c.collaboration_id = i.collaboration_id and c.status = 'active' "
        "returning i.invitation_id, i.saga_id, i.collaboration_id, i.role, c.story_id, c.story_title, c.host_id, "
        "coalesce(p.display_name, '') as name",
        st_sha256_hex(call->arena, token, strlen(token)), call->user_id);
    if (r == ST_E_NOT_FOUND)
        return st_fail(call, r, "The code is unknown, used or expired.");
    if (r == 0 && st_streq(st_str(*ret, "host_id"), call->user_id))
        return st_fail(call, ST_E_CONFLICT, "You are the host of this collaboration already.");
    /* Who has the code has the mail, whatever notification is still to say. */
    if (r == 0 && st_str(*ret, "saga_id") &&
        (r = st_saga_settle(call, st_str(*ret, "saga_id"), COLLABORATION_SEND)) < 0)
        return st_fail(call, ST_E_NOT_FOUND, "The code is unknown, used or expired.");
    return r;
}

int collaboration_accept(struct st_call *call)
{
    json_t *i;
    int r = claim(call, &i);
    if (r < 0)
        return r;
    const char *room_id = st_str(i, "collaboration_id"), *role = st_str(i, "role");
    st_exec(call,
            "insert into participants (collaboration_id, user_id, role) values ($1, $2, $3) on conflict do nothing",
            room_id, call->user_id, role);
    st_emit(call, "InvitationAccepted", room_id,
            json_pack("{s:s, s:s, s:s, s:s, s:s}", "invitationId", st_str(i, "invitation_id"), "collaborationId",
                      room_id, "hostId", st_str(i, "host_id"), "storyTitle", st_str(i, "story_title"),
                      "participantName", st_str(i, "name")));
    st_emit(call, "ParticipantJoined", room_id,
            json_pack("{s:s, s:s, s:s, s:s}", "collaborationId", room_id, "storyId", st_str(i, "story_id"), "userId",
                      call->user_id, "role", role));
    return st_reply(
        call, 200,
        json_pack("{s:s, s:s, s:s}", "collaborationId", room_id, "storyId", st_str(i, "story_id"), "role", role));
}
