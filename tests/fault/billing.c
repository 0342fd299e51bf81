/*
 * Billing: the consumer of the fault suite. It books each order, and has it charged by a stand-in for an outside
 * service, in the way that such calls are made: the key is fixed and committed before the first try, and a try whose
 * answer is unknown is looked up before anything is repeated.
 */
#include "fault.h"

#include "io/http_client.h"

enum { CALL_MS = 5000, ANSWER_MAX = 4096 };

static int count_bookings(struct st_call *call)
{
    json_t *row;
    int r = st_row(call, &row, "select count(*) as bookings from bookings");
    return r < 0 ? r : st_reply_keep(call, 200, row);
}

static int book(struct st_call *call)
{
    const char *id = st_str(call->body, "orderId"), *basket = st_str(call->body, "basket");
    json_int_t n = st_json_int(call->body, "n", 0);
    const char *number = st_i64(call->arena, n), *manner = st_json_str(call->body, "manner", "plain");
    st_exec(call, "insert into bookings (order_id, basket, n) values ($1, $2, $3)", id, basket, number);
    if (st_streq(manner, "crash"))
        abort();
    if (st_streq(manner, "fail"))
        return st_fail(call, ST_E_UNPROCESSABLE, "This order is made to fail.");
    st_exec(call, "insert into charges (order_id, charge_key, basket, n) values ($1, $2, $3, $4)", id,
            st_new_id(call->arena), basket, number);
    st_enqueue(call, "charge", id, 0, json_pack("{s:s}", "orderId", id));
    st_emit(call, "OrderBooked", basket, json_pack("{s:s, s:s, s:I}", "orderId", id, "basket", basket, "n", n));
    fault_point("event");
    return 0;
}

/* One request to the stand-in: gives the status, and the text of the answer in *ret. */
static int ask(struct st_call *call, const char *method, const char *key, const char *order, const char **ret)
{
    struct st_http_client *client = st_http_client_new(NULL, st_option("outside"));
    struct st_http_answer answer;
    const char *why = "", *url = st_printf(call->arena, "http://outside/charges/%s/%s", key, order);
    const struct st_http_call request = {.method = method, .url = url, .timeout_ms = CALL_MS, .answer_max = ANSWER_MAX};
    int r = st_http_client_do(client, &request, call->arena, &answer, &why);
    st_http_client_free(client);
    if (r < 0)
        return st_fail(call, r, "The outside gave no answer: %s", why);
    *ret = st_strndup(call->arena, answer.body ? answer.body : "", answer.len);
    return answer.status;
}

static int charge(struct st_call *call)
{
    json_t *row;
    const char *order = st_str(call->body, "orderId"), *answer = "";
    int r = st_row(call, &row, "select charge_key, basket, n, tried from charges where order_id = $1", order);
    if (r < 0)
        return r;
    const char *key = st_str(row, "charge_key"), *basket = st_str(row, "basket");
    bool done = false;
    if (json_is_true(json_object_get(row, "tried"))) {
        if ((r = st_commit(call)) < 0 || (r = ask(call, "GET", key, order, &answer)) < 0)
            return r;
        done = r == 200;
    } else {
        st_exec(call, "update charges set tried = true where order_id = $1", order);
        if ((r = st_commit(call)) < 0)
            return r;
    }
    fault_point("before-call");
    if (!done && (r = ask(call, "PUT", key, order, &answer)) != 200)
        return r < 0 ? r : st_fail(call, ST_E_BAD_GATEWAY, "The outside answered %d.", r);
    fault_point("after-call");
    fault_point(st_printf(call->arena, "after-call-%s", basket));
    st_exec(call, "insert into charged (order_id, process, answer) values ($1, $2, $3)", order,
            st_i64(call->arena, getpid()), answer);
    st_emit(call, "OrderCharged", basket,
            json_pack("{s:s, s:s, s:I}", "orderId", order, "basket", basket, "n", st_json_int(row, "n", 0)));
    return 0;
}

static const struct st_operation operations[] = {
    {"countBookings", count_bookings},
    {0},
};

static const struct st_subscription subscriptions[] = {
    {"OrderPlaced", book},
    {0},
};

static const struct st_job_kind jobs[] = {
    {.name = "charge", .handler = charge, .concurrency = 4, .timeout_s = 60, .attempts = 12, .lease_s = 5},
    {0},
};

static const struct st_option options[] = {
    {"outside", NULL}, /* socket of the stand-in */
    {0},
};

static const struct st_service service = {
    .name = "billing",
    .options = options,
    .operations = operations,
    .subscriptions = subscriptions,
    .jobs = jobs,
};

ST_SERVICE_MAIN(service)
