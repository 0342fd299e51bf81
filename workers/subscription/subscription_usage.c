/* What has been used of a tier, counted from events. */
#include "subscription/subscription.h"

/* Every metric of the tier, used or not. */
int subscription_get_usage(struct st_call *call)
{
    json_t *row;
    int r = st_row(
        call, &row,
        "select s.tier, p.from_at, period_end(s.anchor, t.interval, now()) as till, "
        "(select json_agg(json_build_object('metric', l.key, 'used', coalesce(u.used, 0), 'limit', l.value) "
        "order by l.key) from jsonb_each(t.limits) l left join (select metric, sum(amount) as used "
        "from usage_tracking where user_id = $1 and used_at >= p.from_at group by metric) u on u.metric = l.key) "
        "as metrics from user_subscriptions s join subscription_tiers t using (tier), "
        "lateral (select period_start(s.anchor, t.interval, now()) as from_at) p where s.user_id = $1",
        call->user_id);
    if (r == ST_E_NOT_FOUND)
        return st_absent(call, call->user_id, "The subscription of a new account is there in a moment.");
    if (r < 0)
        return r;
    return st_reply(call, 200,
                    json_pack("{s:O, s:{s:O, s:O}, s:O}", "tier", json_object_get(row, "tier"), "period", "start",
                              json_object_get(row, "from_at"), "end", json_object_get(row, "till"), "metrics",
                              json_object_get(row, "metrics")));
}

int subscription_announce_limit(struct st_call *call, const char *user_id, const char *metric)
{
    json_t *reached;
    int r = st_row(call, &reached,
                   "with s as (select s.subscription_id, (t.limits->>$2)::bigint as most, "
                   "period_start(s.anchor, t.interval, now()) as from_at, "
                   "period_end(s.anchor, t.interval, now()) as resets from user_subscriptions s "
                   "join subscription_tiers t using (tier) where s.user_id = $1), "
                   "u as (select coalesce(sum(amount), 0)::bigint as used from usage_tracking, s "
                   "where user_id = $1 and metric = $2 and used_at >= s.from_at) "
                   "select s.subscription_id, s.most, u.used, s.resets from s, u where used >= most and not exists "
                   "(select from limits_reached where user_id = $1 and metric = $2 and resets_at = s.resets)",
                   user_id, metric);
    if (r == ST_E_NOT_FOUND)
        return 0;
    if (r < 0)
        return r;
    st_emit(call, "UsageLimitReached", st_str(reached, "subscription_id"),
            json_pack("{s:s, s:s, s:O, s:O, s:O}", "userId", user_id, "metric", metric, "limit",
                      json_object_get(reached, "most"), "used", json_object_get(reached, "used"), "resetsAt",
                      json_object_get(reached, "resets")));
    return 1;
}

int subscription_count_usage(struct st_call *call, const char *user_id, const char *metric, int64_t amount)
{
    struct st_rows *erased;
    if (amount <= 0)
        return 0;
    subscription_lock_user(call, user_id);
    int r = st_rows(call, &erased, "select from erased_users where user_id = $1", user_id);
    if (r < 0 || st_rows_count(erased))
        return r;
    st_emit(call, "UsageRecorded", user_id,
            json_pack("{s:s, s:s, s:I, s:s, s:s}", "userId", user_id, "metric", metric, "amount", (json_int_t)amount,
                      "sourceEventId", call->event->id, "usedAt", call->event->timestamp));
    return subscription_announce_limit(call, user_id, metric);
}

int subscription_on_story_created(struct st_call *call)
{
    return subscription_count_usage(call, st_str(call->body, "authorId"), "stories", 1);
}

int subscription_on_collaboration_created(struct st_call *call)
{
    return subscription_count_usage(call, st_str(call->body, "hostId"), "collaborations", 1);
}

/* Of a narration that has come to its end, whatever that is. */
int subscription_on_narration_spoken(struct st_call *call)
{
    return subscription_count_usage(call, st_str(call->body, "authorId"), "narrationCharacters",
                                    st_json_int(call->body, "narrationCharacters", 0));
}

/* What a filmed one takes is reserved before, and settled by FilmingCompleted. */
int subscription_on_video_generated(struct st_call *call)
{
    if (st_str(call->body, "pictures"))
        return 0;
    return subscription_count_usage(call, st_str(call->body, "authorId"), "videos", 1);
}
