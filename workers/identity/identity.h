#ifndef ST_IDENTITY_H
#define ST_IDENTITY_H
/*
 * Identity: accounts (identity_account.c), sessions and tokens (identity_session.c), API keys (identity_key.c), the
 * keys that seal what events hold of users (identity_secret.c), events of others (identity_events.c).
 *
 * The table users is a projection of identity's log (identity_project.c): it is changed by emitting alone. What is
 * secret is in no event, and in no projection: credentials, sessions, email_tokens, api_keys, user_keys.
 */
#include "svc/service.h"

/* identity_account.c */
int identity_register(struct st_call *call);
int identity_verify_email(struct st_call *call);
int identity_create_user(struct st_call *call);
int identity_get_me(struct st_call *call);
int identity_update_me(struct st_call *call);
int identity_delete_me(struct st_call *call);

/* identity_project.c */
st_handler identity_project_registered, identity_project_verification_requested, identity_project_verified;
st_handler identity_project_profile_updated, identity_project_role_changed, identity_project_deleted;

/* identity_session.c */
int identity_start(struct st_call *call); /* reads the signing key */
int identity_login(struct st_call *call);
int identity_refresh(struct st_call *call);
int identity_logout(struct st_call *call);
int identity_get_jwks(struct st_call *call);
int identity_publish_revocation(struct st_call *call); /* job: tells the edge */
int identity_sweep(struct st_call *call);              /* schedule: removes what has expired */
/* Ends the user's sessions (all, or the one given) and has the edge refuse their tokens. */
int identity_end_sessions(struct st_call *call, const char *user_id, const char *session_id, const char *reason);

/* identity_key.c */
int identity_create_api_key(struct st_call *call);
int identity_list_api_keys(struct st_call *call);
int identity_delete_api_key(struct st_call *call);
int identity_publish_key(struct st_call *call);  /* job: tells the edge */
int identity_publish_keys(struct st_call *call); /* schedule: all of them again, should Redis have lost any */
/* Revokes the user's keys (all, or the one given). */
int identity_revoke_api_keys(struct st_call *call, const char *user_id, const char *key_id, int *ret_n);

/* identity_secret.c */
int identity_load_masters(struct st_call *call); /* reads the master keys */
st_user_key identity_user_key;
int identity_rewrap_keys(struct st_call *call); /* job: after a rotation of the master key */

/* identity_erasure.c */
void identity_open_erasure(struct st_call *call, const char *user_id);
int identity_on_data_erased(struct st_call *call);
int identity_watch_erasures(struct st_call *call); /* schedule: an alarm for those that are overdue */

/* identity_events.c */
int identity_on_role_assigned(struct st_call *call);
int identity_on_role_unassigned(struct st_call *call);
int identity_on_subscription_changed(struct st_call *call);

#endif
