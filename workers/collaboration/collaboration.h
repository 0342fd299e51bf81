#ifndef ST_COLLABORATION_H
#define ST_COLLABORATION_H
/*
 * Collaboration: rooms (collaboration_room.c) and who takes part in them (…_participant.c), invitations
 * (…_invitation.c, …_invitation_saga.c), others' events (…_events.c). Its tables are made by its own events
 * (…_project.c).
 *
 * Whoever changes anything of a room locks the room first, then finds out what is so: that orders its events. What
 * makes or ends somebody's part in a room locks that user before, as the erasure of an account does.
 */
#include "svc/service.h"

/* --- collaboration_room.c --- */
int collaboration_create(struct st_call *call);
int collaboration_list(struct st_call *call);
int collaboration_get(struct st_call *call);
int collaboration_complete(struct st_call *call);
int collaboration_cancel(struct st_call *call);

/*
 * Locks a room and gives collaboration_id, story_id, host_id, status and title (of the story). ST_E_NOT_FOUND, which
 * the client is told, when it is not there, or `host_id` (NULL: whoever) is not its host.
 */
int collaboration_lock(struct st_call *call, const char *id, const char *host_id, json_t **ret);
/* The same, ST_E_CONFLICT unless it is active. */
int collaboration_lock_active(struct st_call *call, const char *id, const char *host_id, json_t **ret);
/* Nobody else locks this user until the transaction ends. */
void collaboration_lock_user(struct st_call *call, const char *user_id);
/* The ids of those who take part, the host apart. */
int collaboration_participants(struct st_call *call, const char *id, json_t **ret);
/* Ends a room that is locked and active: `type` is CollaborationCompleted or CollaborationCancelled. */
int collaboration_end(struct st_call *call, const json_t *room, const char *type);
int collaboration_reply(struct st_call *call, int status, const char *id);

/* --- collaboration_participant.c --- */
int collaboration_remove_participant(struct st_call *call);
int collaboration_submit(struct st_call *call);
int collaboration_assign(struct st_call *call);
/* Tells narration of the voice that speaks somebody's characters in a room, if there is one. */
int collaboration_tell_voice(struct st_call *call, const char *id, const char *story_id, const char *user_id);

/* --- collaboration_invitation.c --- */
int collaboration_invite(struct st_call *call);
int collaboration_list_invitations(struct st_call *call);
int collaboration_cancel_invitation(struct st_call *call);
int collaboration_accept(struct st_call *call);
int collaboration_decline(struct st_call *call);
int collaboration_expire(struct st_call *call); /* job */

/* --- collaboration_invitation_saga.c --- */
#define COLLABORATION_SEND "notification.sendInvite" /* the step from which on the mail may have arrived */
extern const struct st_saga collaboration_sagas[];

/* --- collaboration_events.c --- */
int collaboration_on_person(struct st_call *call); /* UserRegistered, UserProfileUpdated */
int collaboration_on_user_deleted(struct st_call *call);
int collaboration_on_subscription_changed(struct st_call *call);
int collaboration_on_story(struct st_call *call); /* StoryCreated, StoryUpdated, StoryRestored */
int collaboration_on_story_deleted(struct st_call *call);
int collaboration_on_characters(struct st_call *call);
int collaboration_on_sample(struct st_call *call);
int collaboration_on_voice(struct st_call *call);
int collaboration_on_voice_withdrawn(struct st_call *call);

/* --- collaboration_project.c --- */
int collaboration_project_created(struct st_call *call);
int collaboration_project_ended(struct st_call *call);
int collaboration_project_invited(struct st_call *call);
int collaboration_project_sent(struct st_call *call);
int collaboration_project_moved(struct st_call *call); /* Invitation…: Created, Dispatched, Accepted, … */
int collaboration_project_imported(struct st_call *call);
int collaboration_project_joined(struct st_call *call);
int collaboration_project_left(struct st_call *call);
int collaboration_project_submitted(struct st_call *call);
int collaboration_project_assigned(struct st_call *call);

#endif
