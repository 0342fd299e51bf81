/* Orders: the publisher of the fault suite. Counts come from its tables, so nothing in them hides a double. */
#include "fault.h"

static int place_order(struct st_call *call)
{
    const char *id = st_new_id(call->arena), *basket = st_str(call->body, "basket");
    json_t *row;
    fault_point("request");
    int r = st_row(call, &row,
                   "insert into baskets (basket, n) values ($1, 1) on conflict (basket) do update "
                   "set n = baskets.n + 1 returning n",
                   basket);
    if (r < 0)
        return r;
    json_int_t n = st_json_int(row, "n", 0);
    st_exec(call, "insert into orders (order_id, client_key, basket, n) values ($1, $2, $3, $4)", id,
            st_str(call->body, "clientKey"), basket, st_i64(call->arena, n));
    st_emit(call, "OrderPlaced", basket,
            json_pack("{s:s, s:s, s:I, s:s}", "orderId", id, "basket", basket, "n", n, "manner",
                      st_json_str(call->body, "manner", "plain")));
    return st_reply(call, 201, json_pack("{s:s}", "orderId", id));
}

/* Locks two rows in the order that the client names: two that name them the other way round meet in a deadlock. */
static int transfer(struct st_call *call)
{
    const char *from = st_str(call->body, "from"), *to = st_str(call->body, "to");
    int r = st_exec_one(call, ST_E_NOT_FOUND, "update baskets set units = units - 1 where basket = $1", from);
    if (r < 0)
        return r;
    st_exec(call, "select pg_sleep(0.02)");
    r = st_exec_one(call, ST_E_NOT_FOUND, "update baskets set units = units + 1 where basket = $1", to);
    if (r < 0)
        return r;
    st_exec(call, "insert into transfers (client_key, giver, taker) values ($1, $2, $3)",
            st_str(call->body, "clientKey"), from, to);
    return st_reply(call, 201, json_pack("{s:s}", "orderId", st_new_id(call->arena)));
}

static int confirm(struct st_call *call)
{
    fault_point("confirm");
    st_exec(call, "insert into confirmations (order_id, what, basket, n) values ($1, $2, $3, $4)",
            st_str(call->body, "orderId"), call->event->type, st_str(call->body, "basket"),
            st_i64(call->arena, st_json_int(call->body, "n", 0)));
    return 0;
}

static const struct st_operation operations[] = {
    {"placeOrder", place_order},
    {"transfer", transfer},
    {0},
};

static const struct st_subscription subscriptions[] = {
    {"OrderBooked", confirm},
    {"OrderCharged", confirm},
    {0},
};

static const struct st_service service = {
    .name = "orders",
    .operations = operations,
    .subscriptions = subscriptions,
};

ST_SERVICE_MAIN(service)
