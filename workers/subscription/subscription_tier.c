/* Tiers, and who is on them. */
#include "io/yaml.h"
#include "subscription/subscription.h"

int subscription_start(struct st_call *call)
{
    struct st_yaml file;
    const char *why = "", *name;
    json_t *tier;
    int r = st_yaml_load(call->arena, st_printf(call->arena, "%s/tiers.yaml", st_option("config_dir")), &file, &why);
    if (r < 0)
        return st_fail(call, r, "%s", why);
    json_object_foreach (json_object_get(file.root, "tiers"), name, tier) {
        const json_t *price = json_object_get(tier, "price");
        st_exec(call,
                "insert into subscription_tiers values ($1, $2, $3, $4, $5) on conflict (tier) do update set "
                "price_value = $2, price_currency = $3, interval = $4, limits = $5",
                name, st_i64(call->arena, st_json_int(price, "value", 0)), st_str(price, "currency"),
                st_str(tier, "interval"), st_json_text(call->arena, json_object_get(tier, "limits")));
    }
    return 0;
}

int subscription_get(struct st_call *call)
{
    json_t *s;
    int r = st_row(call, &s,
                   "select subscription_id as \"subscriptionId\", tier, status, "
                   "json_build_object('value', price_value, 'currency', price_currency) as price, interval, "
                   "period_start(anchor, interval, now()) as \"periodStart\", "
                   "period_end(anchor, interval, now()) as \"periodEnd\", limits, created_at as \"createdAt\", "
                   "next_tier as \"nextTier\" "
                   "from user_subscriptions join subscription_tiers using (tier) where user_id = $1",
                   call->user_id);
    if (r == ST_E_NOT_FOUND)
        return st_absent(call, call->user_id, "The subscription of a new account is there in a moment.");
    if (r < 0)
        return r;
    if (!st_str(s, "nextTier"))
        json_object_del(s, "nextTier");
    return st_reply_keep(call, 200, s);
}

void subscription_lock_user(struct st_call *call, const char *user_id)
{
    st_exec(call, "select pg_advisory_xact_lock(hashtextextended('user ' || $1, 0))", user_id);
}

/* Everybody starts on the free tier. */
int subscription_on_user_registered(struct st_call *call)
{
    const char *user_id = st_str(call->body, "userId"), *id = st_new_id(call->arena);
    char now[ST_TIME_LEN];
    json_t *tier;
    subscription_lock_user(call, user_id);
    int r = st_row(call, &tier,
                   "select limits from subscription_tiers where tier = 'free' "
                   "and not exists (select from erased_users where user_id = $1) "
                   "and not exists (select from user_subscriptions where user_id = $1)",
                   user_id);
    if (r == ST_E_NOT_FOUND)
        return 0;
    if (r < 0)
        return r;
    st_emit(call, "SubscriptionCreated", id,
            json_pack("{s:s, s:s, s:n, s:s, s:s}", "userId", user_id, "subscriptionId", id, "fromTier", "toTier",
                      "free", "effectiveAt", st_time_format(st_now(), now)));
    st_emit(call, "SubscriptionChanged", id,
            json_pack("{s:s, s:n, s:s, s:s, s:O}", "userId", user_id, "fromTier", "toTier", "free", "reason", "created",
                      "limits", json_object_get(tier, "limits")));
    return 0;
}

/* What happens to the tables is in the service's erasures; nobody is counting meanwhile. */
int subscription_on_user_deleted(struct st_call *call)
{
    subscription_lock_user(call, st_str(call->body, "userId"));
    return 0;
}
