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
    {"UserDeleted", authorization_on_user_deleted},
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
    {"publish_all", 30, authorization_publish_all},
    {0},
};

static const struct st_service service = {
    .name = "authorization",
    .operations = operations,
    .subscriptions = subscriptions,
    .jobs = jobs,
    .schedules = schedules,
    .start = authorization_start,
};

ST_SERVICE_MAIN(service)
