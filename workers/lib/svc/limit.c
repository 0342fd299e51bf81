/* Limits of tiers. */
#include "svc/limit.h"

int st_limit_reached(struct st_call *call, const char *metric)
{
    if (!st_streq(st_str(call->body, "metric"), metric))
        return 0;
    st_exec(call,
            "insert into blocks select $1, $2 where not exists (select from erased_users where user_id = $1) "
            "on conflict (user_id) do update set until = $2",
            st_str(call->body, "userId"), st_str(call->body, "resetsAt"));
    return 0;
}

int st_limit_lifted(struct st_call *call, const char *metric)
{
    if (!metric || st_streq(st_str(call->body, "metric"), metric))
        st_exec(call, "delete from blocks where user_id = $1", st_str(call->body, "userId"));
    return 0;
}

int st_limit_used_up(struct st_call *call, const char *user_id, const char *what, const char **ret_why)
{
    struct st_rows *rows;
    int r = st_rows(call, &rows, "select until from blocks where user_id = $1 and until > now()", user_id);
    *ret_why = r == 0 && st_rows_count(rows)
                   ? st_printf(call->arena, "Your tier's number of %s is used up until %s.", what, st_cell(rows, 0, 0))
                   : NULL;
    return r;
}
