/* The tables of subscription, as its events make them. */
#include "subscription/subscription.h"

int subscription_project_created(struct st_call *call)
{
    st_exec(call,
            "insert into user_subscriptions (subscription_id, user_id, tier, status, anchor, created_at) "
            "values ($1, $2, $3, 'active', $4, event_time($5))",
            call->event->aggregate_id, st_str(call->body, "userId"), st_str(call->body, "toTier"),
            st_str(call->body, "effectiveAt"), call->event->id);
    return 0;
}

int subscription_project_usage(struct st_call *call)
{
    st_exec(call,
            "insert into usage_tracking (source_event, user_id, metric, amount, used_at) values ($1, $2, $3, $4, $5) "
            "on conflict (source_event) do nothing",
            st_str(call->body, "sourceEventId"), st_str(call->body, "userId"), st_str(call->body, "metric"),
            st_i64(call->arena, st_json_int(call->body, "amount", 0)), st_str(call->body, "usedAt"));
    return 0;
}

int subscription_project_limit_reached(struct st_call *call)
{
    st_exec(call, "insert into limits_reached (user_id, metric, resets_at) values ($1, $2, $3) on conflict do nothing",
            st_str(call->body, "userId"), st_str(call->body, "metric"), st_str(call->body, "resetsAt"));
    return 0;
}
