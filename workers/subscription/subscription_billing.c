/*
 * Paid tiers: up at once, for a share of the price; down, or out, at the end of what is paid; renewed then, tried again
 * some days when the payment is refused, and given up. Whatever changes is decided under the user's lock and told by
 * events, which make the rows. An outage is caught up with one period after the other.
 */
#include "subscription/subscription.h"

enum { TRIES = 4, RETRY_DAYS = 1 };

#define STANDING                                                                                                       \
    "select s.subscription_id, s.user_id, s.tier, s.next_tier, s.failures, s.anchor, s.paid_until, t.price_value, "    \
    "n.tier as to_tier, n.price_value as to_price, n.price_currency as currency, n.interval, n.limits, m.token "
#define TABLES                                                                                                         \
    "from user_subscriptions s join subscription_tiers t using (tier) left join payment_methods m using (user_id) "

/* The test processor: refuses the token that says so, as that of Stripe's test mode does. */
static bool charge_refused(const json_t *s)
{
    const char *token = st_str(s, "token");
    return !token || strstr(token, "Declined");
}

static json_t *copy_of(const json_t *s, const char *member)
{
    return json_incref(json_object_get(s, member));
}

static json_t *about(const json_t *s)
{
    return json_pack("{s:O, s:O}", "userId", json_object_get(s, "user_id"), "subscriptionId",
                     json_object_get(s, "subscription_id"));
}

/* Emits with the members of `more` besides; steals it. */
static void tell(struct st_call *call, const json_t *s, const char *type, json_t *more)
{
    json_t *payload = about(s);
    json_object_update(payload, more);
    json_decref(more);
    st_emit(call, type, st_str(s, "subscription_id"), payload);
}

static void tell_payment(struct st_call *call, const json_t *s, const char *payment_id, const char *retry_at)
{
    bool failed = charge_refused(s);
    json_t *more =
        json_pack("{s:s, s:{s:O, s:O}, s:s}", "paymentId", payment_id, "amount", "value", json_object_get(s, "amount"),
                  "currency", json_object_get(s, "currency"), "status", failed ? "failed" : "succeeded");
    if (failed)
        json_object_set_new(more, "reason", json_string("The payment method was declined."));
    if (retry_at)
        json_object_set_new(more, "retryAt", json_string(retry_at));
    tell(call, s, failed ? "PaymentFailed" : "PaymentProcessed", more);
}

/* SubscriptionChanged, and what it means for limits: those that are reached now, and those that are no more. */
static int tell_changed(struct st_call *call, const json_t *s, const char *reason)
{
    const char *user_id = st_str(s, "user_id"), *metric;
    json_t *reached, *limit;
    int r = st_row(call, &reached,
                   "select coalesce(jsonb_object_agg(metric, true), '{}') as metrics from limits_reached "
                   "where user_id = $1 and resets_at > now()",
                   user_id);
    if (r < 0)
        return r;
    st_emit(call, "SubscriptionChanged", st_str(s, "subscription_id"),
            json_pack("{s:s, s:O, s:O, s:s, s:O}", "userId", user_id, "fromTier", json_object_get(s, "tier"), "toTier",
                      json_object_get(s, "to_tier"), "reason", reason, "limits", json_object_get(s, "limits")));
    json_object_foreach (json_object_get(s, "limits"), metric, limit) {
        if ((r = subscription_announce_limit(call, user_id, metric)) < 0)
            return r;
        if (r == 0 && json_object_get(json_object_get(reached, "metrics"), metric))
            st_emit(call, "UsageLimitLifted", st_str(s, "subscription_id"),
                    json_pack("{s:s, s:s}", "userId", user_id, "metric", metric));
    }
    return 0;
}

/* --- what its owner asks for --- */

/* Another tier: a dearer one is paid by a job and then holds; another follows when what is paid has ended. */
int subscription_change(struct st_call *call)
{
    const char *to = st_str(call->body, "tier"), *token = st_str(call->body, "paymentToken");
    json_t *s;
    subscription_lock_user(call, call->user_id);
    int r = st_row(call, &s, STANDING TABLES "join subscription_tiers n on n.tier = $2 where user_id = $1",
                   call->user_id, to);
    if (r == ST_E_NOT_FOUND)
        return st_absent(call, call->user_id, "The subscription of a new account is there in a moment.");
    if (r < 0)
        return r;
    bool same = st_streq(st_str(s, "tier"), to);
    if (same && !st_str(s, "next_tier"))
        return st_fail(call, ST_E_CONFLICT, "This is the tier you are on.");
    if (same || st_json_int(s, "to_price", 0) <= st_json_int(s, "price_value", 0)) {
        if (!same && st_json_int(s, "to_price", 0) == 0)
            return subscription_cancel(call);
        tell(call, s, "SubscriptionChangeScheduled",
             json_pack("{s:s, s:o}", "toTier", to, "effectiveAt", copy_of(s, "paid_until")));
        return st_reply(call, 202, NULL);
    }
    if (!token && !st_str(s, "token"))
        return st_fail(call, ST_E_UNPROCESSABLE, "A tier with a price needs a paymentToken.");
    if (token)
        st_exec(call,
                "insert into payment_methods (user_id, token) values ($1, $2) "
                "on conflict (user_id) do update set token = excluded.token",
                call->user_id, token);
    st_enqueue(
        call, "charge", call->user_id, 0,
        json_pack("{s:s, s:s, s:s}", "userId", call->user_id, "toTier", to, "paymentId", st_new_id(call->arena)));
    return st_reply(call, 202, NULL);
}

int subscription_cancel(struct st_call *call)
{
    json_t *s;
    subscription_lock_user(call, call->user_id);
    int r = st_row(call, &s,
                   "select subscription_id, user_id, paid_until, next_tier from user_subscriptions where user_id = $1",
                   call->user_id);
    if (r == ST_E_NOT_FOUND)
        return st_absent(call, call->user_id, "The subscription of a new account is there in a moment.");
    if (r < 0)
        return r;
    if (!st_str(s, "paid_until"))
        return st_fail(call, ST_E_CONFLICT, "There is nothing that is paid for.");
    if (!st_streq(st_str(s, "next_tier"), "free"))
        tell(call, s, "SubscriptionCancelled", json_pack("{s:o}", "periodEnd", copy_of(s, "paid_until")));
    return st_reply(call, 202, NULL);
}

/* --- what the jobs do --- */

/* Pays for a dearer tier, in full for a first period, else the share of the difference; the payment's id is known
 * before, so that a second run finds it. */
int subscription_charge(struct st_call *call)
{
    const char *user_id = st_str(call->body, "userId"), *payment_id = st_str(call->body, "paymentId");
    json_t *s;
    subscription_lock_user(call, user_id);
    int r = st_row(
        call, &s,
        STANDING
        ", case when s.paid_until is null then n.price_value else prorated(n.price_value - t.price_value, "
        "period_start(s.anchor, t.interval, now()), s.paid_until, now()) end as amount, "
        "date_trunc('milliseconds', now()) as at, "
        "case when s.paid_until is null then date_trunc('milliseconds', now()) else s.anchor end as starts, "
        "coalesce(s.paid_until, period_end(date_trunc('milliseconds', now()), n.interval, now())) as ends " TABLES
        "join subscription_tiers n on n.tier = $2 where user_id = $1 "
        "and n.price_value > t.price_value and not exists "
        "(select from payment_history where payment_id = $3::uuid)",
        user_id, st_str(call->body, "toTier"), payment_id);
    if (r < 0)
        return r == ST_E_NOT_FOUND ? 0 : r;
    tell_payment(call, s, payment_id, NULL);
    if (charge_refused(s))
        return 0;
    tell(call, s, "SubscriptionUpgraded",
         json_pack("{s:o, s:o, s:o, s:o, s:o}", "fromTier", copy_of(s, "tier"), "toTier", copy_of(s, "to_tier"),
                   "effectiveAt", copy_of(s, "at"), "anchor", copy_of(s, "starts"), "periodEnd", copy_of(s, "ends")));
    return tell_changed(call, s, "upgraded");
}

static int expire(struct st_call *call, const json_t *s)
{
    json_t *to;
    int r = st_row(call, &to, "select tier, limits from subscription_tiers where tier = 'free'");
    if (r < 0)
        return r;
    json_t *free = st_json_keep(call->arena, json_copy((json_t *)s));
    json_object_set(free, "to_tier", json_object_get(to, "tier"));
    json_object_set(free, "limits", json_object_get(to, "limits"));
    tell(call, free, "SubscriptionExpired",
         json_pack("{s:o, s:o, s:o}", "fromTier", copy_of(free, "tier"), "toTier", copy_of(free, "to_tier"),
                   "effectiveAt", copy_of(free, "paid_until")));
    return tell_changed(call, free, "expired");
}

/* What is paid has ended: pay for the next period, or go. */
int subscription_bill(struct st_call *call)
{
    const char *user_id = st_str(call->body, "userId");
    char retry_at[ST_TIME_LEN];
    json_t *s;
    subscription_lock_user(call, user_id);
    int r = st_row(call, &s,
                   STANDING ", n.price_value as amount, period_end(s.anchor, n.interval, s.paid_until) as ends " TABLES
                            "join subscription_tiers n on n.tier = coalesce(s.next_tier, s.tier) "
                            "where user_id = $1 and coalesce(s.retry_at, s.paid_until) <= now()",
                   user_id);
    if (r < 0)
        return r == ST_E_NOT_FOUND ? 0 : r;
    if (st_json_int(s, "to_price", 0) == 0)
        return expire(call, s);
    bool last = st_json_int(s, "failures", 0) + 1 >= TRIES, refused = charge_refused(s);
    st_time_format(st_now() + RETRY_DAYS * 24 * 3600 * (int64_t)ST_SECOND, retry_at);
    tell_payment(call, s, st_new_id(call->arena), refused && !last ? retry_at : NULL);
    if (refused)
        return last ? expire(call, s) : 0;
    if (st_streq(st_str(s, "tier"), st_str(s, "to_tier"))) {
        tell(call, s, "SubscriptionRenewed", json_pack("{s:o}", "periodEnd", copy_of(s, "ends")));
        return tell_changed(call, s, "renewed");
    }
    tell(call, s, "SubscriptionDowngraded",
         json_pack("{s:o, s:o, s:o, s:o}", "fromTier", copy_of(s, "tier"), "toTier", copy_of(s, "to_tier"),
                   "effectiveAt", copy_of(s, "paid_until"), "periodEnd", copy_of(s, "ends")));
    return tell_changed(call, s, "downgraded");
}

/* A job for each whose period has ended. */
int subscription_find_due(struct st_call *call)
{
    json_t *due, *one;
    size_t i;
    int r = st_list(call, &due,
                    "select user_id from user_subscriptions where paid_until is not null "
                    "and coalesce(retry_at, paid_until) <= now() limit 1000");
    if (r < 0)
        return r;
    json_array_foreach (due, i, one)
        st_enqueue(call, "bill", st_str(one, "user_id"), 0, json_pack("{s:s}", "userId", st_str(one, "user_id")));
    return 0;
}
