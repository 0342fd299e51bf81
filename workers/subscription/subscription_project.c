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

/* Once for each source: the event that was counted, or the saga that has reserved. */
static int add_usage(struct st_call *call, const char *source, int64_t amount)
{
    st_exec(call,
            "insert into usage_tracking (source_event, user_id, metric, amount, used_at) values ($1, $2, $3, $4, $5) "
            "on conflict (source_event) do nothing",
            source, st_str(call->body, "userId"), st_str(call->body, "metric"), st_i64(call->arena, amount),
            st_str(call->body, "usedAt"));
    return 0;
}

int subscription_project_usage(struct st_call *call)
{
    return add_usage(call, st_str(call->body, "sourceEventId"), st_json_int(call->body, "amount", 0));
}

int subscription_project_limit_reached(struct st_call *call)
{
    st_exec(call, "insert into limits_reached (user_id, metric, resets_at) values ($1, $2, $3) on conflict do nothing",
            st_str(call->body, "userId"), st_str(call->body, "metric"), st_str(call->body, "resetsAt"));
    return 0;
}

/* --- paid tiers: what is known of the period is in the events --- */

int subscription_project_upgraded(struct st_call *call)
{
    st_exec(call,
            "update user_subscriptions set tier = $2, anchor = $3, paid_until = $4, next_tier = null, "
            "status = 'active', failures = 0, retry_at = null where subscription_id = $1",
            call->event->aggregate_id, st_str(call->body, "toTier"), st_str(call->body, "anchor"),
            st_str(call->body, "periodEnd"));
    return 0;
}

/* Of SubscriptionDowngraded, SubscriptionRenewed (no toTier) and SubscriptionExpired (no periodEnd). */
int subscription_project_next_period(struct st_call *call)
{
    st_exec(call,
            "update user_subscriptions set tier = coalesce($2, tier), paid_until = $3, next_tier = null, "
            "status = 'active', failures = 0, retry_at = null where subscription_id = $1",
            call->event->aggregate_id, st_str(call->body, "toTier"), st_str(call->body, "periodEnd"));
    return 0;
}

/* Of SubscriptionChangeScheduled and SubscriptionCancelled (no toTier). */
int subscription_project_scheduled(struct st_call *call)
{
    st_exec(call,
            "update user_subscriptions set next_tier = nullif(coalesce($2, 'free'), tier) where subscription_id = $1",
            call->event->aggregate_id, st_str(call->body, "toTier"));
    return 0;
}

/* Limits are told anew, those that are still reached by the event behind. */
int subscription_project_changed(struct st_call *call)
{
    st_exec(call, "delete from limits_reached where user_id = $1", st_str(call->body, "userId"));
    return 0;
}

int subscription_project_payment(struct st_call *call)
{
    const json_t *amount = json_object_get(call->body, "amount");
    st_exec(call,
            "insert into payment_history (payment_id, user_id, amount_value, amount_currency, status, created_at) "
            "values ($1, $2, $3, $4, $5, event_time($6))",
            st_str(call->body, "paymentId"), st_str(call->body, "userId"),
            st_i64(call->arena, st_json_int(amount, "value", 0)), st_str(amount, "currency"),
            st_str(call->body, "status"), call->event->id);
    if (st_str(call->body, "retryAt"))
        st_exec(call,
                "update user_subscriptions set status = 'past_due', failures = failures + 1, retry_at = $2 "
                "where subscription_id = $1",
                call->event->aggregate_id, st_str(call->body, "retryAt"));
    return 0;
}

/* What is reserved is used. */
int subscription_project_reserved(struct st_call *call)
{
    return add_usage(call, st_str(call->body, "sagaId"), st_json_int(call->body, "amount", 1));
}

int subscription_project_released(struct st_call *call)
{
    st_exec(call, "delete from usage_tracking where source_event = $1", st_str(call->body, "sagaId"));
    return 0;
}

int subscription_project_settled(struct st_call *call)
{
    subscription_project_released(call);
    return subscription_project_reserved(call);
}
