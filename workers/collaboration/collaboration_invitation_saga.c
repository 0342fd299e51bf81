/*
 * What it takes to invite somebody: a unit of the host's quota, a valid invitation, a mail, and its place in the
 * figures. In the end an invitation is sent and one unit is used, or it is cancelled and none is.
 */
#include "collaboration/collaboration.h"
#include "io/crypto.h"

enum { TOKEN_BYTES = 16 /* 128 bits */, ANSWER_S = 300, MAIL_S = 3600, FIGURES_S = 24 * 3600 };

/* What the data of the saga says of the invitation, as an event has it. */
static json_t *about(struct st_call *call)
{
    const json_t *b = call->body;
    return json_pack("{s:O, s:O, s:O}", "invitationId", json_object_get(b, "invitationId"), "collaborationId",
                     json_object_get(b, "collaborationId"), "hostId", json_object_get(b, "hostId"));
}

static json_t *about_for_saga(struct st_call *call)
{
    json_t *all = about(call);
    json_object_set_new(all, "sagaId", json_string(call->saga->id));
    return all;
}

/* The invitation, its room locked. */
static int invitation(struct st_call *call, json_t **ret)
{
    json_t *room;
    int r = collaboration_lock(call, st_str(call->body, "collaborationId"), NULL, &room);
    if (r == 0)
        r = st_row(call, ret,
                   "select i.email, i.status, i.reason, coalesce(p.display_name, '') as name, "
                   "coalesce(p.locale, 'en') as locale from invitations i left join people p on p.user_id = i.host_id "
                   "where i.invitation_id = $1",
                   st_str(call->body, "invitationId"));
    if (r == 0)
        json_object_set(*ret, "title", json_object_get(room, "title"));
    return r;
}

static int invitation_that_is(struct st_call *call, const char *status, json_t **ret)
{
    int r = invitation(call, ret);
    if (r == 0 && !st_streq(st_str(*ret, "status"), status))
        return st_fail(call, ST_E_CONFLICT, "The invitation is %s.", st_str(*ret, "status"));
    return r;
}

/* --- subscription.checkLimit --- */

/* Whom and what for is in the request alone; from here on it is in this event, and in the row that it makes. */
static int reserve(struct st_call *call)
{
    const json_t *b = call->body, *asked = call->saga->asked;
    st_emit(call, "CollaborationInvited", st_str(b, "collaborationId"),
            json_pack("{s:O, s:O, s:O, s:O, s:O, s:O, s:O, s:s}", "invitationId", json_object_get(b, "invitationId"),
                      "collaborationId", json_object_get(b, "collaborationId"), "storyId",
                      json_object_get(b, "storyId"), "inviterId", json_object_get(b, "hostId"), "inviteeEmail",
                      json_object_get(asked, "email"), "role", json_object_get(asked, "role"), "expiresAt",
                      json_object_get(b, "expiresAt"), "sagaId", call->saga->id));
    return 0;
}

/* Subscription gives back what it has reserved, or will not reserve what it has not. */
static int give_back(struct st_call *call)
{
    st_emit(call, "InvitationWithdrawn", st_str(call->body, "collaborationId"), about_for_saga(call));
    return 0;
}

/* --- collaboration.createInvitation --- */

static int create(struct st_call *call)
{
    json_t *i;
    int r = invitation_that_is(call, "pending", &i);
    if (r < 0)
        return r;
    st_emit(call, "InvitationCreated", st_str(call->body, "collaborationId"), about(call));
    return 0;
}

/* Also of one that was cancelled otherwise: it has not used anything, which is known by the reason. */
static int cancel(struct st_call *call)
{
    json_t *i;
    int r = invitation(call, &i);
    if (r < 0)
        return r;
    const char *status = st_str(i, "status"), *reason = call->saga->error ? call->saga->error : "It was withdrawn.";
    static const char *const cancellable[] = {"pending", "sending", "sent", "cancelled"};
    for (size_t k = 0; k < ST_COUNT(cancellable); k++)
        if (st_streq(status, cancellable[k]) && !st_str(i, "reason")) {
            json_t *cancelled = about(call);
            json_object_set_new(cancelled, "reason", json_string(reason));
            st_emit(call, "InvitationCancelled", st_str(call->body, "collaborationId"), cancelled);
        }
    return 0;
}

/* --- notification.sendInvite --- */

/* The code is in this event alone (sealed) and in the mail; here is its hash. */
static int send_invite(struct st_call *call)
{
    const json_t *b = call->body;
    json_t *i;
    int r = invitation_that_is(call, "sending", &i);
    if (r < 0)
        return r;
    st_emit(call, "InvitationSent", st_str(b, "collaborationId"),
            json_pack("{s:O, s:O, s:O, s:O, s:s, s:s, s:O, s:O, s:O, s:s}", "invitationId",
                      json_object_get(b, "invitationId"), "collaborationId", json_object_get(b, "collaborationId"),
                      "inviterId", json_object_get(b, "hostId"), "inviteeEmail", json_object_get(i, "email"), "link",
                      st_printf(call->arena, "%s/docs#acceptInvitation", st_option("public_url")), "token",
                      st_secret(call->arena, TOKEN_BYTES), "inviterName", json_object_get(i, "name"), "storyTitle",
                      json_object_get(i, "title"), "locale", json_object_get(i, "locale"), "sagaId", call->saga->id));
    return 0;
}

/* --- analytics.trackInvite --- */

static int track(struct st_call *call)
{
    st_emit(call, "InvitationDispatched", st_str(call->body, "collaborationId"), about_for_saga(call));
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
