#ifndef ST_AUTHORIZATION_H
#define ST_AUTHORIZATION_H
/* Authorization: roles and grants (authorization_roles.c), the edge's snapshot of them (authorization_edge.c). */
#include "svc/service.h"

/* authorization_roles.c */
int authorization_start(struct st_call *call); /* the default roles of config/roles.yaml that are not there yet */
int authorization_list_roles(struct st_call *call);
int authorization_assign_role(struct st_call *call);
int authorization_unassign_role(struct st_call *call);
int authorization_on_user_registered(struct st_call *call);

/* authorization_edge.c: jobs and a schedule that write st:edge:roles and st:edge:users in Redis and tell the edge. */
int authorization_publish_roles(struct st_call *call);
int authorization_publish_user(struct st_call *call);
int authorization_publish_all(struct st_call *call);
/* The user's tokens carry the wrong roles now: has the edge override them. */
void authorization_override(struct st_call *call, const char *user_id);

#endif
