/* Identity: who somebody is. Registration, sessions, tokens. */
#include "identity/identity.h"

static const struct st_option options[] = {
    {"token_key_file", NULL},
    {"master_key_file", NULL},
    {"token_issuer", "https://storytelling.local"},
    {"token_audience", "storytelling"},
    {"erasure_deadline_hours", "72"},
    {0},
};

static const struct st_operation operations[] = {
    {"register", identity_register},
    {"verifyEmail", identity_verify_email},
    {"login", identity_login},
    {"refresh", identity_refresh},
    {"logout", identity_logout},
    {"getJwks", identity_get_jwks},
    {"getMe", identity_get_me},
    {"updateMe", identity_update_me},
    {"deleteMe", identity_delete_me},
    {"createUser", identity_create_user},
    {"createApiKey", identity_create_api_key},
    {"listApiKeys", identity_list_api_keys},
    {"deleteApiKey", identity_delete_api_key},
    {0},
};

static const struct st_subscription subscriptions[] = {
    {"RoleAssigned", identity_on_role_assigned},
    {"RoleUnassigned", identity_on_role_unassigned},
    {"SubscriptionChanged", identity_on_subscription_changed},
    {"UserDataErased", identity_on_data_erased},
    {0},
};

static const struct st_job_kind jobs[] = {
    {.name = "publish_revocation",
     .handler = identity_publish_revocation,
     .concurrency = 1,
     .timeout_s = 10,
     .attempts = 50},
    {.name = "publish_key", .handler = identity_publish_key, .concurrency = 1, .timeout_s = 10, .attempts = 50},
    {.name = "rewrap_keys", .handler = identity_rewrap_keys, .concurrency = 1, .timeout_s = 3600, .attempts = 5},
    {0},
};

static const struct st_schedule schedules[] = {
    {.name = "sweep", .every_s = 3600, .handler = identity_sweep},
    {.name = "publish_keys", .every_s = 30, .handler = identity_publish_keys},
    {.name = "watch_erasures", .every_s = 60, .handler = identity_watch_erasures},
    {0},
};

/* What must hold at once is done with the request: identity_delete_me. */
static const struct st_erasure erasures[] = {
    {"users", ST_ANONYMISED},
    {"credentials", ST_ERASED},
    {"user_keys", ST_ERASED},
    {"user_tiers", ST_ERASED, "delete from user_tiers where user_id = $1"},
    {"email_tokens", ST_ERASED, "delete from email_tokens where user_id = $1"},
    {"sessions", ST_ANONYMISED, "update sessions set address = '' where user_id = $1"},
    {"api_keys", ST_ANONYMISED, "update api_keys set name = '', prefix = '' where user_id = $1"},
    {"erasures", ST_KEPT, .reason = "they prove the erasure"},
    {"erasure_answers", ST_KEPT, .reason = "they prove the erasure"},
    {0},
};

static const struct st_projection projections[] = {
    {"UserRegistered", identity_project_registered, .sensitive = true},
    {"EmailVerificationRequested", identity_project_verification_requested},
    {"EmailVerified", identity_project_verified},
    {"UserProfileUpdated", identity_project_profile_updated, .sensitive = true},
    {"UserRoleChanged", identity_project_role_changed},
    {"UserDeleted", identity_project_deleted},
    {0},
};
static const char *const tables[] = {"users", NULL};

static const struct st_check checks[] = {
    {"erasures", "exists (select from erasures where closed_at is null and deadline_at < now())"},
    {0},
};

static const struct st_service service = {
    .name = "identity",
    .options = options,
    .operations = operations,
    .subscriptions = subscriptions,
    .jobs = jobs,
    .schedules = schedules,
    .start = identity_start,
    .erasures = erasures,
    .projections = projections,
    .tables = tables,
    .checks = checks,
    .user_key = identity_user_key,
};

ST_SERVICE_MAIN(service)
