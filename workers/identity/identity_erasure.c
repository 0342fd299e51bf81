/* Requests for erasure: opened with UserDeleted, closed when every service has answered, an alarm when one does not. */
#include "identity/identity.h"

void identity_open_erasure(struct st_call *call, const char *user_id)
{
    st_exec(call,
            "insert into erasures (user_id, deadline_at) values ($1, now() + $2 * interval '1 hour') "
            "on conflict do nothing",
            user_id, st_option("erasure_deadline_hours"));
}

/* The names of all services, as a JSON array. */
static const char *all_services(struct st_call *call)
{
    json_t *names = st_json_keep(call->arena, json_array());
    for (const char *const *s = st_services(call); *s; s++)
        json_array_append_new(names, json_string(*s));
    return st_json_text(call->arena, names);
}

int identity_on_data_erased(struct st_call *call)
{
    const char *user_id = st_str(call->body, "userId");
    struct st_rows *rows;
    /* The lock makes two that answer at once wait for each other: the second sees both answers. */
    int r = st_rows(call, &rows, "select from erasures where user_id = $1 for update", user_id);
    if (r < 0 || st_rows_count(rows) == 0)
        return r;
    st_exec(call,
            "insert into erasure_answers (user_id, service, tables) values ($1, $2, $3::jsonb) on conflict do nothing",
            user_id, st_str(call->body, "service"), st_json_text(call->arena, json_object_get(call->body, "tables")));
    st_exec(call,
            "update erasures set closed_at = now() where user_id = $1 and closed_at is null and not exists "
            "(select from jsonb_array_elements_text($2::jsonb) s(name) where not exists "
            "(select from erasure_answers a where a.user_id = $1 and a.service = s.name))",
            user_id, all_services(call));
    return 0;
}

/* Once an hour for each that is overdue. */
int identity_watch_erasures(struct st_call *call)
{
    json_t *overdue, *one;
    size_t i;
    int r = st_list(call, &overdue,
                    "update erasures e set alarmed_at = now() where closed_at is null and deadline_at < now() "
                    "and (alarmed_at is null or alarmed_at < now() - interval '1 hour') "
                    "returning user_id, requested_at, (select string_agg(s.name, ', ' order by s.name) from "
                    "jsonb_array_elements_text($1::jsonb) s(name) where not exists "
                    "(select from erasure_answers a where a.user_id = e.user_id and a.service = s.name)) as missing",
                    all_services(call));
    if (r < 0)
        return r;
    json_array_foreach (overdue, i, one)
        st_log(ST_LOG_ERROR, "An erasure is overdue", ST_S("userId", st_str(one, "user_id")),
               ST_S("requestedAt", st_str(one, "requested_at")), ST_S("missing", st_json_str(one, "missing", "")));
    return 0;
}
