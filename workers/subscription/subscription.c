/* Subscription: tiers, and what is used of them. */
#include "subscription/subscription.h"

static const struct st_operation operations[] = {
    {"getSubscription", subscription_get},
    {"getUsage", subscription_get_usage},
    {"changeSubscription", subscription_change},
    {"cancelSubscription", subscription_cancel},
    {0},
};

static const struct st_subscription subscriptions[] = {
    {"UserRegistered", subscription_on_user_registered},
    {"UserDeleted", subscription_on_user_deleted},
    {"StoryCreated", subscription_on_story_created},
    {"CollaborationCreated", subscription_on_collaboration_created},
    {"CollaborationInvited", subscription_reserve_invitation},
    {"InvitationWithdrawn", subscription_release_invitation},
    {"FilmingRequested", subscription_reserve_filming},
    {"FilmingWithdrawn", subscription_release_filming},
    {"FilmingCompleted", subscription_settle_filming},
    {"NarrationGenerated", subscription_on_narration_spoken},
    {"NarrationFailed", subscription_on_narration_spoken},
    {"NarrationAbandoned", subscription_on_narration_spoken},
    {"VideoGenerated", subscription_on_video_generated},
    {0},
};

static const struct st_job_kind jobs[] = {
    {.name = "charge", .handler = subscription_charge, .concurrency = 2, .timeout_s = 60, .attempts = 10},
    {.name = "bill", .handler = subscription_bill, .concurrency = 2, .timeout_s = 60, .attempts = 10},
    {0},
};

static const struct st_schedule schedules[] = {
    {"find_due", 10, subscription_find_due},
    {0},
};

static const struct st_erasure erasures[] = {
    {"usage_tracking", ST_ERASED, "delete from usage_tracking where user_id = $1"},
    {"limits_reached", ST_ERASED, "delete from limits_reached where user_id = $1"},
    {"user_subscriptions", ST_ERASED, "delete from user_subscriptions where user_id = $1"},
    {"payment_methods", ST_ERASED, "delete from payment_methods where user_id = $1"},
    {"payment_history", ST_KEPT, .reason = "the law asks for payments; the id says nothing about the person"},
    {0},
};

static const struct st_projection projections[] = {
    {"SubscriptionCreated", subscription_project_created},
    {"UsageRecorded", subscription_project_usage},
    {"UsageLimitReached", subscription_project_limit_reached},
    {"SubscriptionUpgraded", subscription_project_upgraded},
    {"SubscriptionDowngraded", subscription_project_next_period},
    {"SubscriptionRenewed", subscription_project_next_period},
    {"SubscriptionExpired", subscription_project_next_period},
    {"SubscriptionCancelled", subscription_project_scheduled},
    {"SubscriptionChangeScheduled", subscription_project_scheduled},
    {"SubscriptionChanged", subscription_project_changed},
    {"PaymentProcessed", subscription_project_payment},
    {"PaymentFailed", subscription_project_payment},
    {"QuotaReserved", subscription_project_reserved},
    {"QuotaReleased", subscription_project_released},
    {"QuotaSettled", subscription_project_settled},
    {0},
};
static const char *const tables[] = {"user_subscriptions", "usage_tracking", "limits_reached", "payment_history", NULL};

static const struct st_service service = {
    .name = "subscription",
    .operations = operations,
    .subscriptions = subscriptions,
    .jobs = jobs,
    .schedules = schedules,
    .erasures = erasures,
    .projections = projections,
    .tables = tables,
    .start = subscription_start,
};

ST_SERVICE_MAIN(service)
