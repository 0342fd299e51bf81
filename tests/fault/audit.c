/* Audit: a consumer of every event there is, so that one of an unknown type is its business, too. */
#include "fault.h"

static int count_seen(struct st_call *call)
{
    json_t *row;
    int r = st_row(call, &row, "select count(*) as seen from seen");
    return r < 0 ? r : st_reply_keep(call, 200, row);
}

static int see(struct st_call *call)
{
    st_exec(call, "insert into seen (event_id, event_type) values ($1, $2)", call->event->id, call->event->type);
    return 0;
}

static const struct st_operation operations[] = {
    {"countSeen", count_seen},
    {0},
};

static const struct st_subscription subscriptions[] = {
    {"*", see},
    {0},
};

static const struct st_service service = {
    .name = "audit",
    .operations = operations,
    .subscriptions = subscriptions,
};

ST_SERVICE_MAIN(service)
