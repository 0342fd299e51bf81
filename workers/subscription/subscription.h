#ifndef ST_SUBSCRIPTION_H
#define ST_SUBSCRIPTION_H
/* Subscription: tiers and who is on them (subscription_tier.c), what has been used (subscription_usage.c). */
#include "svc/service.h"

/* subscription_tier.c */
int subscription_start(struct st_call *call); /* writes config/tiers.yaml to the database */
int subscription_get(struct st_call *call);
int subscription_on_user_registered(struct st_call *call);

/* subscription_usage.c */
int subscription_get_usage(struct st_call *call);
int subscription_on_story_created(struct st_call *call);
int subscription_on_collaboration_created(struct st_call *call);
int subscription_on_collaboration_invited(struct st_call *call);
int subscription_on_narration_generated(struct st_call *call);
int subscription_on_video_generated(struct st_call *call);

#endif
