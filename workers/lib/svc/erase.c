/*
 * UserDeleted, in every service: its own handler, then UserDataErased, which tells what is done with each table, and
 * whose projection does it: so a table that is made again of the log is erased again.
 */
#include "svc/secret.h"

/* What the library keeps for every service. */
static const struct st_erasure common[] = {
    {.table = "idempotency_keys", .rule = ST_ERASED, .sql = "delete from idempotency_keys where user_id = $1"},
    {.table = "events", .rule = ST_KEPT, .reason = "what is sensitive in them can be read by nobody any more"},
    {.table = "parked_events", .rule = ST_KEPT, .reason = "what is sensitive in them can be read by nobody any more"},
    {.table = "erased_users", .rule = ST_KEPT, .reason = "so that what comes late brings nothing back"},
    {0},
};

const struct st_subscription *st_service_subscription(const struct st_service *service, const char *type)
{
    const struct st_subscription *any = NULL;
    for (const struct st_subscription *s = service->subscriptions; s && s->type; s++) {
        if (st_streq(s->type, type))
            return s;
        if (st_streq(s->type, "*"))
            any = s;
    }
    return any;
}

const struct st_subscription *st_run_subscription(const struct st_run *run, const char *type)
{
    static const struct st_subscription erasing = {"UserDeleted", st_erase_user};
    return st_streq(type, erasing.type) ? &erasing : st_service_subscription(run->service, type);
}

const char *const *st_services(const struct st_call *call)
{
    return call->p->worker->run->services;
}

static const char *const rules[] = {[ST_ERASED] = "erased", [ST_ANONYMISED] = "anonymised", [ST_KEPT] = "kept"};

int st_erase_project(struct st_call *call)
{
    const char *user_id = st_str(call->body, "userId");
    for (const struct st_erasure *e = call->p->worker->run->service->erasures; e && e->table; e++)
        if (e->sql)
            st_exec(call, e->sql, user_id);
    return 0;
}

static void add_tables(json_t *list, const struct st_erasure *e)
{
    for (; e && e->table; e++)
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s*}", "table", e->table, "rule", rules[e->rule], "reason", e->reason));
}

int st_erase_user(struct st_call *call)
{
    const struct st_service *service = call->p->worker->run->service;
    const struct st_subscription *own = st_service_subscription(service, call->event->type);
    const char *user_id = st_str(call->body, "userId");
    int r = own ? own->handler(call) : 0;
    if (r < 0)
        return r;
    for (const struct st_erasure *e = common; e->table; e++)
        if (e->sql)
            st_exec(call, e->sql, user_id);
    st_exec(call, "insert into erased_users (user_id) values ($1) on conflict do nothing", user_id);
    json_t *tables = json_array();
    add_tables(tables, service->erasures);
    add_tables(tables, common);
    st_emit(call, "UserDataErased", user_id,
            json_pack("{s:s, s:s, s:o}", "userId", user_id, "service", service->name, "tables", tables));
    st_secret_forget(user_id);
    return 0;
}
