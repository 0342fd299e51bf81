/*
 * The tables of collaboration, as its events make them. Events from before the log was the source of truth say less;
 * what they lack is in the CollaborationImported behind them.
 */
#include "collaboration/collaboration.h"
#include "io/crypto.h"

int collaboration_project_created(struct st_call *call)
{
    st_exec(call,
            "insert into collaborations (collaboration_id, story_id, host_id, mode, status, created_at) "
            "values ($1, $2, $3, $4, 'active', event_time($5))",
            call->event->aggregate_id, st_str(call->body, "storyId"), st_str(call->body, "hostId"),
            st_str(call->body, "mode"), call->event->id);
    return 0;
}

/* Of CollaborationCompleted and CollaborationCancelled. */
int collaboration_project_ended(struct st_call *call)
{
    st_exec(call, "update collaborations set status = $2 where collaboration_id = $1", call->event->aggregate_id,
            st_streq(call->event->type, "CollaborationCompleted") ? "completed" : "cancelled");
    return 0;
}

/* --- invitations --- */

/* Without the address when the host is gone since. */
int collaboration_project_invited(struct st_call *call)
{
    st_exec(call,
            "insert into invitations (invitation_id, collaboration_id, host_id, email, role, status, expires_at, "
            "created_at, saga_id) values ($1, $2, $3, coalesce($4, ''), coalesce($5, 'collaborator'), 'pending', $6, "
            "event_time($7), $8)",
            st_str(call->body, "invitationId"), call->event->aggregate_id, st_str(call->body, "inviterId"),
            st_str(call->body, "inviteeEmail"), st_str(call->body, "role"), st_str(call->body, "expiresAt"),
            call->event->id, st_str(call->body, "sagaId"));
    return 0;
}

/* The code itself is nowhere but in the event, sealed. */
int collaboration_project_sent(struct st_call *call)
{
    const char *token = st_str(call->body, "token");
    st_exec(call, "update invitations set token_hash = $2 where invitation_id = $1", st_str(call->body, "invitationId"),
            token ? st_sha256_hex(call->arena, token, strlen(token)) : NULL);
    return 0;
}

/* What an event makes of an invitation, and of which only. */
static const struct {
    const char *type, *to, *from;
} moves[] = {
    {"InvitationCreated", "sending", "{pending}"},
    {"InvitationDispatched", "sent", "{sending}"},
    {"InvitationAccepted", "accepted", "{sending,sent}"},
    {"InvitationDeclined", "declined", "{sending,sent}"},
    {"InvitationExpired", "expired", "{sending,sent}"},
    {"InvitationCancelled", "cancelled", "{pending,sending,sent,cancelled}"},
};

int collaboration_project_moved(struct st_call *call)
{
    for (size_t i = 0; i < ST_COUNT(moves); i++)
        if (st_streq(call->event->type, moves[i].type))
            st_exec(call,
                    "update invitations set status = $2, reason = coalesce(reason, $4) "
                    "where invitation_id = $1 and status = any ($3::text[])",
                    st_str(call->body, "invitationId"), moves[i].to, moves[i].from, st_str(call->body, "reason"));
    return 0;
}

/* --- participants --- */

int collaboration_project_joined(struct st_call *call)
{
    st_exec(call,
            "insert into participants (collaboration_id, user_id, role, joined_at) values ($1, $2, $3, event_time($4)) "
            "on conflict do nothing",
            call->event->aggregate_id, st_str(call->body, "userId"), st_str(call->body, "role"), call->event->id);
    return 0;
}

int collaboration_project_left(struct st_call *call)
{
    st_exec(call, "delete from participants where collaboration_id = $1 and user_id = $2", call->event->aggregate_id,
            st_str(call->body, "userId"));
    return 0;
}

int collaboration_project_submitted(struct st_call *call)
{
    st_exec(call, "update participants set submitted_at = event_time($3) where collaboration_id = $1 and user_id = $2",
            call->event->aggregate_id, st_str(call->body, "userId"), call->event->id);
    return 0;
}

int collaboration_project_assigned(struct st_call *call)
{
    st_exec(call, "update participants set characters = $3 where collaboration_id = $1 and user_id = $2",
            call->event->aggregate_id, st_str(call->body, "userId"),
            st_json_text(call->arena, json_object_get(call->body, "characters")));
    return 0;
}

/* --- what was there before --- */

/* All of one, as the migration has found it; but addresses are those of CollaborationInvited, where the log has it. */
int collaboration_project_imported(struct st_call *call)
{
    const char *id = call->event->aggregate_id, *all = st_json_text(call->arena, call->body);
    st_exec(call,
            "insert into collaborations as c (collaboration_id, story_id, host_id, mode, status, created_at) "
            "values ($1, $2, $3, $4, $5, $6) on conflict (collaboration_id) do update set status = excluded.status, "
            "created_at = excluded.created_at",
            id, st_str(call->body, "storyId"), st_str(call->body, "hostId"), st_str(call->body, "mode"),
            st_str(call->body, "status"), st_str(call->body, "createdAt"));
    st_exec(call, "delete from participants where collaboration_id = $1", id);
    st_exec(call,
            "insert into participants (collaboration_id, user_id, role, joined_at) "
            "select $1::uuid, \"userId\", role, \"joinedAt\" from jsonb_to_recordset($2::jsonb->'participants') "
            "as p(\"userId\" uuid, role text, \"joinedAt\" timestamptz)",
            id, all);
    st_exec(call,
            "insert into invitations (invitation_id, collaboration_id, host_id, email, role, status, expires_at, "
            "created_at, token_hash, reason, saga_id) select \"invitationId\", $1::uuid, $3::uuid, '', role, status, "
            "\"expiresAt\", \"createdAt\", \"tokenHash\", reason, \"sagaId\" "
            "from jsonb_to_recordset($2::jsonb->'invitations') as i(\"invitationId\" uuid, role text, status text, "
            "\"expiresAt\" timestamptz, \"createdAt\" timestamptz, \"tokenHash\" text, reason text, \"sagaId\" uuid) "
            "on conflict (invitation_id) do update set role = excluded.role, status = excluded.status, expires_at = "
            "excluded.expires_at, created_at = excluded.created_at, token_hash = excluded.token_hash, reason = "
            "excluded.reason, saga_id = excluded.saga_id",
            id, all, st_str(call->body, "hostId"));
    return 0;
}
