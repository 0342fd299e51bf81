/* Analytics: every event, counted. */
#include "svc/service.h"

enum { DAYS_MAX = 366 };

static int count_event(struct st_call *call)
{
    st_exec(call,
            "insert into daily_counts values (($2::timestamptz at time zone 'UTC')::date, $1, 1, $2::timestamptz) "
            "on conflict (day, event_type) do update set events = daily_counts.events + 1, "
            "newest = greatest(daily_counts.newest, excluded.newest)",
            call->event->type, call->event->timestamp);
    return 0;
}

/* The last step of an invitation's saga, which waits for the answer. */
static int track_invitation(struct st_call *call)
{
    st_emit(call, "InvitationTracked", st_str(call->body, "invitationId"),
            json_pack("{s:O, s:O}", "invitationId", json_object_get(call->body, "invitationId"), "sagaId",
                      json_object_get(call->body, "sagaId")));
    return count_event(call);
}

static int get_daily(struct st_call *call)
{
    const char *from = st_param(call, "from"), *to = st_param(call, "to");
    json_t *range, *answer;
    int r = st_row(call, &range,
                   "select coalesce($1::date, coalesce($2::date, (now() at time zone 'UTC')::date) - 6) as a, "
                   "coalesce($2::date, (now() at time zone 'UTC')::date) as b, "
                   "coalesce($2::date, (now() at time zone 'UTC')::date) - coalesce($1::date, current_date) as span",
                   from, to);
    if (r < 0)
        return r;
    if (from && (st_json_int(range, "span", 0) < 0 || st_json_int(range, "span", 0) >= DAYS_MAX))
        return st_fail(call, ST_E_INVALID, "`from` must not lie behind `to`, and at most %d days are given at once.",
                       DAYS_MAX);
    r = st_row(
        call, &answer,
        "select $1::text as \"from\", $2::text as \"to\", (select max(newest) from daily_counts) as watermark, "
        "coalesce((select json_agg(json_build_object('date', day, 'total', total, 'counts', counts) order by day) "
        "from (select day, sum(events) as total, json_object_agg(event_type, events order by event_type) as counts "
        "from daily_counts where day between $1::text::date and $2::text::date group by day) d), '[]') as days",
        st_str(range, "a"), st_str(range, "b"));
    return r < 0 ? r : st_reply_keep(call, 200, answer);
}

static const struct st_operation operations[] = {
    {"getDailyAnalytics", get_daily},
    {0},
};

static const struct st_subscription subscriptions[] = {
    {"InvitationDispatched", track_invitation},
    {"*", count_event},
    {0},
};

static const struct st_service service = {
    .name = "analytics",
    .operations = operations,
    .subscriptions = subscriptions,
};

ST_SERVICE_MAIN(service)
