#ifndef ST_SUBSCRIPTION_H
#define ST_SUBSCRIPTION_H
/*
 * Subscription: tiers and who is on them (subscription_tier.c), paid ones (subscription_billing.c), what has been used
 * (subscription_usage.c). But for the tiers themselves, the tables are projections of the log (subscription_project.c):
 * they change by emitting alone.
 */
#include "svc/service.h"

/* subscription_tier.c */
int subscription_start(struct st_call *call); /* writes config/tiers.yaml to the database */
int subscription_get(struct st_call *call);
int subscription_on_user_registered(struct st_call *call);
int subscription_on_user_deleted(struct st_call *call);
/* What concerns one user goes one after the other: whoever decides for them by what the tables say calls this first. */
void subscription_lock_user(struct st_call *call, const char *user_id);

/* subscription_project.c */
st_handler subscription_project_created, subscription_project_usage, subscription_project_limit_reached;
st_handler subscription_project_upgraded, subscription_project_next_period, subscription_project_scheduled;
st_handler subscription_project_changed, subscription_project_payment;
st_handler subscription_project_reserved, subscription_project_released, subscription_project_settled;

/* subscription_billing.c */
int subscription_change(struct st_call *call);
int subscription_cancel(struct st_call *call);
int subscription_charge(struct st_call *call);   /* job: pays for a dearer tier */
int subscription_bill(struct st_call *call);     /* job: a period has ended */
int subscription_find_due(struct st_call *call); /* schedule */

/* subscription_quota.c */
st_handler subscription_reserve_invitation, subscription_release_invitation;
st_handler subscription_reserve_filming, subscription_release_filming, subscription_settle_filming;

/* subscription_usage.c */
/* Counts what the event that is handled says was used, and announces the limit if that is reached. */
int subscription_count_usage(struct st_call *call, const char *user_id, const char *metric, int64_t amount);
int subscription_get_usage(struct st_call *call);
/* Says that a metric is used up, once per period and tier: 1. 0: it is not, or was said before. */
int subscription_announce_limit(struct st_call *call, const char *user_id, const char *metric);
int subscription_on_story_created(struct st_call *call);
int subscription_on_collaboration_created(struct st_call *call);
int subscription_on_narration_spoken(struct st_call *call);
int subscription_on_video_generated(struct st_call *call);

#endif
