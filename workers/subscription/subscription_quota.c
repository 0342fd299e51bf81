/*
 * Quota that a saga of another service reserves, gives back when it is undone, and settles when it is known what was
 * used. What is reserved is used meanwhile.
 */
#include "subscription/subscription.h"

/* What a saga wants of a tier. */
struct wish {
    const char *user_id, *saga_id, *metric;
    int64_t amount;
};

/* Whether there is so much; the answer is an event of the saga's. */
static int verdict(struct st_call *call, const struct wish *w, const char **ret_reason)
{
    json_t *row;
    int r = st_row(call, &row,
                   "select exists (select from usage_tracking where source_event = $3) as ours, "
                   "exists (select from events where aggregate_id = $4 and event_type = 'QuotaReleased' "
                   "and payload->>'sagaId' = $5) as withdrawn, "
                   "exists (select from erased_users where user_id = $1) as erased, "
                   "(select (t.limits->>$2)::bigint is not null and (t.limits->>$2)::bigint < $6::bigint + "
                   "(select coalesce(sum(amount), 0) from usage_tracking u where u.user_id = $1 and u.metric = $2 "
                   "and u.used_at >= period_start(s.anchor, t.interval, now())) "
                   "from user_subscriptions s join subscription_tiers t using (tier) where s.user_id = $1) as used_up",
                   w->user_id, w->metric, w->saga_id, w->user_id, w->saga_id, st_i64(call->arena, w->amount));
    if (r < 0)
        return r;
    *ret_reason = NULL;
    if (st_json_bool(row, "erased", false))
        *ret_reason = "The account was deleted.";
    else if (st_json_bool(row, "withdrawn", false)) /* a dead letter that was tried again */
        *ret_reason = "It was withdrawn.";
    else if (json_is_null(json_object_get(row, "used_up")))
        return st_fail(call, ST_E_NOT_FOUND, "The subscription of %s is not known here yet.", w->user_id);
    else if (st_json_bool(row, "used_up", false) && !st_json_bool(row, "ours", false))
        *ret_reason = st_printf(call->arena, "Your tier's %s of this month are used up.", w->metric);
    return 0;
}

static json_t *about(const struct wish *w)
{
    return json_pack("{s:s, s:s, s:s}", "sagaId", w->saga_id, "userId", w->user_id, "metric", w->metric);
}

static int reserve(struct st_call *call, const struct wish *w)
{
    const char *reason;
    subscription_lock_user(call, w->user_id);
    int r = verdict(call, w, &reason);
    if (r < 0)
        return r;
    json_t *answer = about(w);
    if (reason) {
        json_object_set_new(answer, "reason", json_string(reason));
        st_emit(call, "QuotaRejected", w->user_id, answer);
        return 0;
    }
    if (w->amount != 1)
        json_object_set_new(answer, "amount", json_integer(w->amount));
    json_object_set_new(answer, "usedAt", json_string(call->event->timestamp));
    st_emit(call, "QuotaReserved", w->user_id, answer);
    r = subscription_announce_limit(call, w->user_id, w->metric);
    return r < 0 ? r : 0;
}

static int release(struct st_call *call, const struct wish *w)
{
    subscription_lock_user(call, w->user_id);
    st_emit(call, "QuotaReleased", w->user_id, about(w));
    return 0;
}

/* --- invitations --- */

static struct wish invitation(struct st_call *call, const char *who)
{
    return (struct wish){st_str(call->body, who), st_str(call->body, "sagaId"), "invitations", 1};
}

int subscription_reserve_invitation(struct st_call *call)
{
    const struct wish w = invitation(call, "inviterId");
    if (!w.saga_id) /* of before there was a saga */
        return subscription_count_usage(call, w.user_id, w.metric, w.amount);
    return reserve(call, &w);
}

int subscription_release_invitation(struct st_call *call)
{
    const struct wish w = invitation(call, "hostId");
    return release(call, &w);
}

/* --- films with filmed passages --- */

static struct wish filming(struct st_call *call)
{
    return (struct wish){st_str(call->body, "userId"), st_str(call->body, "sagaId"), "videos",
                         st_json_int(call->body, "amount", 1)};
}

int subscription_reserve_filming(struct st_call *call)
{
    const struct wish w = filming(call);
    return reserve(call, &w);
}

int subscription_release_filming(struct st_call *call)
{
    const struct wish w = filming(call);
    return release(call, &w);
}

/* What was reserved is replaced, also when it had been given back meanwhile: the film is there. */
int subscription_settle_filming(struct st_call *call)
{
    const struct wish w = filming(call);
    struct st_rows *erased;
    subscription_lock_user(call, w.user_id);
    int r = st_rows(call, &erased, "select from erased_users where user_id = $1", w.user_id);
    if (r < 0 || st_rows_count(erased))
        return r;
    json_t *settled = about(&w);
    json_object_set_new(settled, "amount", json_integer(w.amount));
    json_object_set_new(settled, "usedAt", json_string(call->event->timestamp));
    st_emit(call, "QuotaSettled", w.user_id, settled);
    r = subscription_announce_limit(call, w.user_id, w.metric);
    return r < 0 ? r : 0;
}
