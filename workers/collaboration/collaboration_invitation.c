/* Invitations: begin, list, and every way in which they end. */
#include "collaboration/collaboration.h"
#include "io/crypto.h"

#define EXPIRES_MS (INT64_C(7) * 24 * 3600 * 1000)

/* An invitation as its host sees it. */
#define INVITATION_COLUMNS                                                                                             \
    "invitation_id as \"invitationId\", collaboration_id as \"collaborationId\", email, role, "                        \
    "case when status = 'sending' then 'pending' when status = 'sent' and expires_at <= now() then 'expired' "         \
    "else status end as status, reason, "                                                                              \
    "expires_at as \"expiresAt\", created_at as \"createdAt\""

/* --- the host's part --- */

/* That the quota is used up is said at once when it is known here; the saga asks subscription, whose word counts. */
static int check_quota(struct st_call *call)
{
    struct st_rows *used_up;
    int r = st_rows(call, &used_up,
                    "select from people where user_id = $1 and invitation_limit <= (select count(*) from invitations i "
                    "where i.host_id = $1 and i.created_at > now() - interval '1 month' and i.reason is null)",
                    call->user_id);
    if (r == 0 && st_rows_count(used_up))
        return st_fail(call, ST_E_PAYMENT, "Your tier's invitations of this month are used up.");
    return r;
}

int collaboration_invite(struct st_call *call)
{
    const char *room_id = st_param(call, "collaborationId"), *id = st_new_id(call->arena), *saga_id;
    char expires[ST_TIME_LEN];
    json_t *room, *invitation;
    int r = collaboration_lock_active(call, room_id, call->user_id, &room);
    if (r < 0 || (r = check_quota(call)) < 0)
        return r;
    st_time_format(st_now() + EXPIRES_MS * 1000, expires);
    r = st_saga_start(call, collaboration_sagas[0].name, id,
                      json_pack("{s:s, s:s, s:s, s:O, s:s}", "invitationId", id, "collaborationId", room_id, "hostId",
                                call->user_id, "storyId", json_object_get(room, "story_id"), "expiresAt", expires),
                      &saga_id);
    if (r < 0)
        return r;
    st_enqueue(call, "expire_invitation", id, EXPIRES_MS,
               json_pack("{s:s, s:s}", "invitationId", id, "collaborationId", room_id));
    r = st_row(call, &invitation, "select " INVITATION_COLUMNS " from invitations where invitation_id = $1", id);
    return r < 0 ? r : st_reply_keep(call, 201, invitation);
}

int collaboration_list_invitations(struct st_call *call)
{
    const char *room_id = st_param(call, "collaborationId");
    struct st_rows *own;
    int r = st_rows(call, &own, "select from collaborations where collaboration_id = $1 and host_id = $2", room_id,
                    call->user_id);
    if (r == 0 && st_rows_count(own) == 0)
        return st_fail(call, ST_E_NOT_FOUND, "There is no such collaboration of yours.");
    if (r < 0)
        return r;
    return st_page(call, "invitationId",
                   "select " INVITATION_COLUMNS " from invitations where collaboration_id = $3 "
                   "and ($1::uuid is null or invitation_id < $1::uuid) order by invitation_id desc limit $2::int",
                   room_id);
}

/* What each of its ends says of an invitation. */
static json_t *about(const json_t *room, const char *invitation_id)
{
    return json_pack("{s:s, s:O, s:O}", "invitationId", invitation_id, "collaborationId",
                     json_object_get(room, "collaboration_id"), "hostId", json_object_get(room, "host_id"));
}

static json_t *about_story(const json_t *room, const char *invitation_id)
{
    json_t *all = about(room, invitation_id);
    json_object_set(all, "storyTitle", json_object_get(room, "title"));
    return all;
}

/* The saga, if it is still under way, finds out at its next step, and gives back what was reserved. */
int collaboration_cancel_invitation(struct st_call *call)
{
    const char *room_id = st_param(call, "collaborationId"), *id = st_param(call, "invitationId");
    json_t *room, *invitation;
    int r = collaboration_lock(call, room_id, call->user_id, &room);
    if (r < 0)
        return r;
    r = st_row(call, &invitation, "select status from invitations where invitation_id = $1 and collaboration_id = $2",
               id, room_id);
    if (r == ST_E_NOT_FOUND)
        return st_fail(call, r, "There is no such invitation.");
    if (r < 0)
        return r;
    const char *status = st_str(invitation, "status");
    if (!st_streq(status, "pending") && !st_streq(status, "sending") && !st_streq(status, "sent"))
        return st_fail(call, ST_E_CONFLICT, "The invitation is %s.", status);
    st_emit(call, "InvitationCancelled", room_id, about(room, id));
    return st_reply(call, 204, NULL);
}

/* Job, at the end of its time. An invitation that has come to another end by then stays as it is. */
int collaboration_expire(struct st_call *call)
{
    const char *room_id = st_str(call->body, "collaborationId"), *id = st_str(call->body, "invitationId");
    struct st_rows *open;
    json_t *room;
    int r = collaboration_lock(call, room_id, NULL, &room);
    if (r < 0)
        return r;
    r = st_rows(call, &open, "select from invitations where invitation_id = $1 and status in ('sending', 'sent')", id);
    if (r == 0 && st_rows_count(open))
        st_emit(call, "InvitationExpired", room_id, about_story(room, id));
    return r;
}

/* --- the guest's part --- */

static int unknown_code(struct st_call *call)
{
    return st_fail(call, ST_E_NOT_FOUND, "The code is unknown, used or expired.");
}

/*
 * The invitation that a code stands for, and its room, locked: of any number of parallel tries one finds it open. What
 * is unknown, used, expired, cancelled or of a room that has ended looks alike.
 */
static int find_by_code(struct st_call *call, json_t **ret_room, json_t **ret)
{
    static const char open[] = "select invitation_id, collaboration_id, role, saga_id from invitations "
                               "where token_hash = $1 and status in ('sending', 'sent') and expires_at > now()";
    const char *token = st_str(call->body, "token"), *hash = st_sha256_hex(call->arena, token, strlen(token));
    int r = st_row(call, ret, open, hash);
    if (r == 0)
        r = collaboration_lock_active(call, st_str(*ret, "collaboration_id"), NULL, ret_room);
    if (r == 0)
        r = st_row(call, ret, open, hash);
    if (r == ST_E_NOT_FOUND || r == ST_E_CONFLICT)
        return unknown_code(call);
    if (r == 0 && st_streq(st_str(*ret_room, "host_id"), call->user_id))
        return st_fail(call, ST_E_CONFLICT, "You are the host of this collaboration already.");
    /* Who has the code has the mail, whatever notification is still to say. */
    if (r == 0 && st_str(*ret, "saga_id") &&
        (r = st_saga_settle(call, st_str(*ret, "saga_id"), COLLABORATION_SEND)) < 0)
        return unknown_code(call);
    return r;
}

/* Who the guest is: their name, whether they take part already. */
static int look_at_guest(struct st_call *call, const json_t *room, json_t **ret)
{
    return st_row(call, ret,
                  "select coalesce((select display_name from people where user_id = $2), '') as name, "
                  "exists (select from participants where collaboration_id = $1 and user_id = $2) as there, "
                  "exists (select from erased_users where user_id = $2) as erased",
                  st_str(room, "collaboration_id"), call->user_id);
}

int collaboration_accept(struct st_call *call)
{
    json_t *room, *i, *guest;
    collaboration_lock_user(call, call->user_id);
    int r = find_by_code(call, &room, &i);
    if (r < 0 || (r = look_at_guest(call, room, &guest)) < 0)
        return r;
    if (st_json_bool(guest, "erased", false))
        return unknown_code(call);
    const char *room_id = st_str(room, "collaboration_id"), *role = st_str(i, "role");
    json_t *accepted = about_story(room, st_str(i, "invitation_id"));
    json_object_set(accepted, "participantName", json_object_get(guest, "name"));
    st_emit(call, "InvitationAccepted", room_id, accepted);
    if (!st_json_bool(guest, "there", false))
        st_emit(call, "ParticipantJoined", room_id,
                json_pack("{s:s, s:s, s:s, s:s}", "collaborationId", room_id, "storyId", st_str(room, "story_id"),
                          "userId", call->user_id, "role", role));
    return st_reply(
        call, 200,
        json_pack("{s:s, s:s, s:s}", "collaborationId", room_id, "storyId", st_str(room, "story_id"), "role", role));
}

int collaboration_decline(struct st_call *call)
{
    json_t *room, *i;
    int r = find_by_code(call, &room, &i);
    if (r < 0)
        return r;
    st_emit(call, "InvitationDeclined", st_str(room, "collaboration_id"),
            about_story(room, st_str(i, "invitation_id")));
    return st_reply(call, 204, NULL);
}
