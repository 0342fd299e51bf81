/* Authorization: who may do what. */
#include "authorization/authorization.h"

static const struct st_operation operations[] = {
    {"listRoles", authorization_list_roles},
    {"assignRole", authorization_assign_role},
    {"unassignRole", authorization_unassign_role},
    {0},
};

static const struct st_subscription subscriptions[] = {
    {"UserRegistered", authorization_on_user_registered},
    {0},
};

static const struct st_job_kind jobs[] = {
    {.name = "publish_roles",
     .handler = authorization_publish_roles,
     .concurrency = 1,
     .timeout_s = 10,
     .attempts = 50},
    {.name = "publish_user", .handler = authorization_publish_user, .concurrency = 1, .timeout_s = 10, .attempts = 50},
    {0},
};

static const struct st_schedule schedules[] = {
    {.name = "publish_all", .every_s = 30, .handler = authorization_publish_all},
    {0},
};

static const struct st_erasure erasures[] = {
    {"user_roles", ST_ERASED,
     "with granted as (update user_roles set granted_by = null where granted_by = $1 and user_id <> $1) "
     "delete from user_roles where user_id = $1"},
    {"role_overrides", ST_ERASED, "delete from role_overrides where user_id = $1"},
    {"audit_logs", ST_KEPT, .reason = "who was allowed what stays accountable; the id says nothing about the person"},
    {0},
};

static const struct st_service service = {
    .name = "authorization",
    .operations = operations,
    .subscriptions = subscriptions,
    .jobs = jobs,
    .schedules = schedules,
    .erasures = erasures,
    .start = authorization_start,
};

ST_SERVICE_MAIN(service)
