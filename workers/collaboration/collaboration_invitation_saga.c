/*
 * What it takes to invite somebody: a unit of the host's quota, a valid invitation, a mail, and its place in the
 * figures. In the end an invitation is sent and one unit is used, or it is cancelled and none is.
 */
#include "collaboration/collaboration.h"
#include "io/crypto.h"

enum { TOKEN_BYTES = 16 /* 128 bits */, ANSWER_S = 300, MAIL_S = 3600, FIGURES_S = 24 * 3600 };

/* The invitation with what its events say; ST_E_CONFLICT when it is not in `status` any more. */
static int invitation(struct st_call *call, const char *status, json_t **ret)
{
    int r =
        st_row(call, ret,
               "select i.invitation_id, i.collaboration_id, i.host_id, i.email, i.status, i.expires_at, c.story_id, "
               "c.story_title, coalesce(p.display_name, '') as name, coalesce(p.locale, 'en') as locale "
               "from invitations i join collaborations c using (collaboration_id) "
               "left join people p on p.user_id = i.host_id where i.invitation_id = $1 for update of i",
               st_str(call->body, "invitationId"));
    if (r == 0 && !st_streq(st_str(*ret, "status"), status))
        return st_fail(call, ST_E_CONFLICT, "The invitation is %s.", st_str(*ret, "status"));
    return r;
}

/* --- subscription.checkLimit --- */

static int reserve(struct st_call *call)
{
    json_t *i;
    int r = invitation(call, "pending", &i);
    if (r < 0)
        return r;
    st_emit(call, "CollaborationInvited", st_str(i, "collaboration_id"),
            json_pack("{s:O, s:O, s:O, s:O, s:O, s:O, s:s}", "invitationId", json_object_get(i, "invitation_id"),
                      "collaborationId", json_object_get(i, "collaboration_id"), "storyId",
                      json_object_get(i, "story_id"), "inviterId", json_object_get(i, "host_id"), "inviteeEmail",
                      json_object_get(i, "email"), "expiresAt", json_object_get(i, "expires_at"), "sagaId",
                      call->saga->id));
    return 0;
}

/* Subscription gives back what it has reserved, or will not reserve what it has not. */
static int give_back(struct st_call *call)
{
    const json_t *b = call->body;
    st_emit(call, "InvitationWithdrawn", st_str(b, "collaborationId"),
            json_pack("{s:O, s:O, s:O, s:s}", "invitationId", json_object_get(b, "invitationId"), "collaborationId",
                      json_object_get(b, "collaborationId"), "hostId", json_object_get(b, "hostId"), "sagaId",
                      call->saga->id));
    return 0;
}

/* --- collaboration.createInvitation --- */

static int create(struct st_call *call)
{
    json_t *i;
    int r = invitation(call, "pending", &i);
    if (r < 0)
        return r;
    st_exec(call, "update invitations set status = 'sending' where invitation_id = $1", st_str(i, "invitation_id"));
    return 0;
}

static int cancel(struct st_call *call)
{
    st_exec(call,
            "update invitations set status = 'cancelled', reason = coalesce(reason, $2) "
            "where invitation_id = $1 and status <> 'accepted'",
            st_str(call->body, "invitationId"), call->saga->error);
    return 0;
}

/* --- notification.sendInvite --- */

/* The code is in this event alone (sealed) and in the mail; here is its hash. */
static int send_invite(struct st_call *call)
{
    const char *token = st_secret(call->arena, TOKEN_BYTES);
    json_t *i;
    int r = invitation(call, "sending", &i);
    if (r < 0)
        return r;
    st_exec(call, "update invitations set token_hash = $2 where invitation_id = $1", st_str(i, "invitation_id"),
            st_sha256_hex(call->arena, token, strlen(token)));
    st_emit(call, "InvitationSent", st_str(i, "collaboration_id"),
            json_pack("{s:O, s:O, s:O, s:O, s:s, s:s, s:O, s:O, s:O, s:s}", "invitationId",
                      json_object_get(i, "invitation_id"), "collaborationId", json_object_get(i, "collaboration_id"),
                      "inviterId", json_object_get(i, "host_id"), "inviteeEmail", json_object_get(i, "email"), "link",
                      st_printf(call->arena, "%s/docs#acceptInvitation", st_option("public_url")), "token", token,
                      "inviterName", json_object_get(i, "name"), "storyTitle", json_object_get(i, "story_title"),
                      "locale", json_object_get(i, "locale"), "sagaId", call->saga->id));
    return 0;
}

/* --- analytics.trackInvite --- */

static int track(struct st_call *call)
{
    const json_t *b = call->body;
    st_exec(call, "update invitations set status = 'sent' where invitation_id = $1 and status = 'sending'",
            st_str(b, "invitationId"));
    st_emit(call, "InvitationDispatched", st_str(b, "collaborationId"),
            json_pack("{s:O, s:O, s:O, s:s}", "invitationId", json_object_get(b, "invitationId"), "collaborationId",
                      json_object_get(b, "collaborationId"), "hostId", json_object_get(b, "hostId"), "sagaId",
                      call->saga->id));
    return 0;
}

static int ended(struct st_call *call)
{
    return call->saga->backward ? cancel(call) : 0;
}

static const struct st_saga_step steps[] = {
    {.name = "subscription.checkLimit",
     .action = reserve,
     .compensation = give_back,
     .done = "QuotaReserved",
     .failed = "QuotaRejected",
     .undone = "QuotaReleased",
     .deadline_s = ANSWER_S},
    {.name = "collaboration.createInvitation", .action = create, .compensation = cancel, .deadline_s = ANSWER_S},
    {.name = COLLABORATION_SEND,
     .action = send_invite,
     .done = "NotificationSent",
     .failed = "NotificationFailed",
     .deadline_s = MAIL_S,
     .pivot = true},
    {.name = "analytics.trackInvite", .action = track, .done = "InvitationTracked", .deadline_s = FIGURES_S},
    {0},
};
const struct st_saga collaboration_sagas[] = {{.name = "invitation", .steps = steps, .ended = ended}, {0}};
