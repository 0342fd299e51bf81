#ifndef ST_COLLABORATION_H
#define ST_COLLABORATION_H
/* Collaboration: rooms (collaboration_room.c), invitations (collaboration_invitation.c, …_saga.c), others' events
 * (…_events.c).
 */
#include "svc/service.h"

/* collaboration_room.c */
int collaboration_create(struct st_call *call);
int collaboration_list(struct st_call *call);
int collaboration_get(struct st_call *call);

/* collaboration_invitation.c */
int collaboration_invite(struct st_call *call);
int collaboration_list_invitations(struct st_call *call);
int collaboration_accept(struct st_call *call);

/* collaboration_invitation_saga.c */
#define COLLABORATION_SEND "notification.sendInvite" /* the step from which on the mail may have arrived */
extern const struct st_saga collaboration_sagas[];

/* collaboration_events.c */
int collaboration_on_person(struct st_call *call); /* UserRegistered, UserProfileUpdated */
int collaboration_on_subscription_changed(struct st_call *call);
int collaboration_on_story(struct st_call *call); /* StoryCreated, StoryUpdated */
int collaboration_on_story_deleted(struct st_call *call);

#endif
