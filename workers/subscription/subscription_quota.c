/* Quota that a saga of another service reserves, and gives back when it is undone. A unit is used while it is reserved.
 */
#include "subscription/subscription.h"

static const char metric[] = "invitations";

/* Whether there is one more; the answer is an event of the saga's. */
static int verdict(struct st_call *call, const char *user_id, const char *saga_id, const char **ret_reason)
{
    json_t *row;
    int r = st_row(call, &row,
                   "select exists (select from usage_tracking where source_event = $3) as ours, "
                   "exists (select from events where aggregate_id = $4 and event_type = 'QuotaReleased' "
                   "and payload->>'sagaId' = $5) as withdrawn, "
                   "exists (select from erased_users where user_id = $1) as erased, "
                   "(select (t.limits->>$2)::bigint is not null and (t.limits->>$2)::bigint <= "
                   "(select coalesce(sum(amount), 0) from usage_tracking u where u.user_id = $1 and u.metric = $2 "
                   "and u.used_at >= period_start(s.anchor, t.interval, now())) "
                   "from user_subscriptions s join subscription_tiers t using (tier) where s.user_id = $1) as used_up",
                   user_id, metric, saga_id, user_id, saga_id);
    if (r < 0)
        return r;
    *ret_reason = NULL;
    if (st_json_bool(row, "erased", false))
        *ret_reason = "The account was deleted.";
    else if (st_json_bool(row, "withdrawn", false)) /* a dead letter that was tried again */
        *ret_reason = "It was withdrawn.";
    else if (json_is_null(json_object_get(row, "used_up")))
        return st_fail(call, ST_E_NOT_FOUND, "The subscription of %s is not known here yet.", user_id);
    else if (st_json_bool(row, "used_up", false) && !st_json_bool(row, "ours", false))
        *ret_reason = "Your tier's invitations of this month are used up.";
    return 0;
}

int subscription_reserve(struct st_call *call)
{
    const char *user_id = st_str(call->body, "inviterId"), *saga_id = st_str(call->body, "sagaId"), *reason;
    if (!saga_id) /* of before there was a saga */
        return subscription_count_usage(call, user_id, metric, 1);
    subscription_lock_user(call, user_id);
    int r = verdict(call, user_id, saga_id, &reason);
    if (r < 0)
        return r;
    json_t *answer = json_pack("{s:s, s:s, s:s}", "sagaId", saga_id, "userId", user_id, "metric", metric);
    if (reason) {
        json_object_set_new(answer, "reason", json_string(reason));
        st_emit(call, "QuotaRejected", user_id, answer);
        return 0;
    }
    json_object_set_new(answer, "usedAt", json_string(call->event->timestamp));
    st_emit(call, "QuotaReserved", user_id, answer);
    r = subscription_announce_limit(call, user_id, metric);
    return r < 0 ? r : 0;
}

int subscription_release(struct st_call *call)
{
    const char *user_id = st_str(call->body, "hostId");
    subscription_lock_user(call, user_id);
    st_emit(call, "QuotaReleased", user_id,
            json_pack("{s:O, s:s, s:s}", "sagaId", json_object_get(call->body, "sagaId"), "userId", user_id, "metric",
                      metric));
    return 0;
}
