#ifndef ST_SVC_LIMIT_H
#define ST_SVC_LIMIT_H
/*
 * What a tier has only so many of, kept to by what subscription tells: the service has a table blocks (user_id uuid
 * primary key, until timestamptz not null), an erasure of it, and a subscription for each of three events.
 */
#include "svc/service.h"

int st_limit_reached(struct st_call *call, const char *metric); /* UsageLimitReached, of that metric */
/* UsageLimitLifted, of that metric; NULL: SubscriptionChanged, for a new tier starts with new limits. If those are
 * reached too, subscription says so again. */
int st_limit_lifted(struct st_call *call, const char *metric);

/* *ret_why: that the user's number of `what` is used up, for people, in the call's arena; NULL while it is not. */
ST_MUSTCHECK int st_limit_used_up(struct st_call *call, const char *user_id, const char *what, const char **ret_why);

#endif
