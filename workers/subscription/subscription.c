/* Subscription: tiers, and what is used of them. */
#include "subscription/subscription.h"

static const struct st_operation operations[] = {
    {"getSubscription", subscription_get},
    {"getUsage", subscription_get_usage},
    {0},
};

static const struct st_subscription subscriptions[] = {
    {"UserRegistered", subscription_on_user_registered},
    {"UserDeleted", subscription_on_user_deleted},
    {"StoryCreated", subscription_on_story_created},
    {"CollaborationCreated", subscription_on_collaboration_created},
    {"CollaborationInvited", subscription_on_collaboration_invited},
    {"NarrationGenerated", subscription_on_narration_generated},
    {"VideoGenerated", subscription_on_video_generated},
    {0},
};

static const struct st_service service = {
    .name = "subscription",
    .operations = operations,
    .subscriptions = subscriptions,
    .start = subscription_start,
};

ST_SERVICE_MAIN(service)
