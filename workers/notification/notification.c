/* Notification: everyone concerned is told. */
#include "notification/notification.h"

static const struct st_option options[] = {
    {"outbox_dir", NULL},
    {"mail_from", "stories@storytelling.local"},
    {"mail_from_name", "Storytelling"},
    {0},
};

static const struct st_operation operations[] = {
    {"listNotifications", notification_list},
    {"markNotificationRead", notification_mark_read},
    {0},
};

/* All of them: which event has a message is decided by the folders of config/templates. */
static const struct st_subscription subscriptions[] = {
    {"*", notification_on_event, .sensitive = true},
    {0},
};

static const struct st_job_kind jobs[] = {
    {.name = "send_mail",
     .handler = notification_send_mail,
     .concurrency = 2,
     .timeout_s = 60,
     .attempts = 8,
     .failed = notification_mail_failed},
    {0},
};

static const struct st_erasure erasures[] = {
    {"contacts", ST_ERASED, "delete from contacts where user_id = $1"},
    {"jobs", ST_ERASED,
     "delete from jobs where name = 'send_mail' and $1 in (payload->>'userId', payload->>'inviterId')"},
    {"notification_deliveries", ST_ERASED, "delete from notification_deliveries where user_id = $1 or inviter_id = $1"},
    {"inbox_messages", ST_ERASED}, /* with the deliveries */
    {0},
};

static const struct st_service service = {
    .name = "notification",
    .options = options,
    .operations = operations,
    .subscriptions = subscriptions,
    .jobs = jobs,
    .erasures = erasures,
};

ST_SERVICE_MAIN(service)
