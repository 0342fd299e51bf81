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

static const struct st_erasure erasures[] = {
    {"usage_tracking", ST_ERASED, "delete from usage_tracking where user_id = $1"},
    {"limits_reached", ST_ERASED, "delete from limits_reached where user_id = $1"},
    {"user_subscriptions", ST_ERASED, "delete from user_subscriptions where user_id = $1"},
    {"payment_history", ST_KEPT, .reason = "the law asks for payments; the id says nothing about the person"},
    {0},
};

static const struct st_projection projections[] = {
    {"SubscriptionCreated", subscription_project_created},
    {"UsageRecorded", subscription_project_usage},
    {"UsageLimitReached", subscription_project_limit_reached},
    {0},
};
static const char *const tables[] = {"user_subscriptions", "usage_tracking", "limits_reached", NULL};

static const struct st_service service = {
    .name = "subscription",
    .operations = operations,
    .subscriptions = subscriptions,
    .erasures = erasures,
    .projections = projections,
    .tables = tables,
    .start = subscription_start,
};

ST_SERVICE_MAIN(service)
