/* The in-app inbox. */
#include "notification/notification.h"

int notification_list(struct st_call *call)
{
    const char *after;
    json_t *list;
    int r = st_cursor(call, &after);
    if (r < 0)
        return r;
    r = st_list(call, &list,
                "select notification_id as \"notificationId\", campaign, text, link, created_at as \"createdAt\", "
                "read_at as \"readAt\" from inbox_messages where user_id = $1 "
                "and ($2::uuid is null or notification_id < $2::uuid) order by notification_id desc limit $3::int",
                call->user_id, after, st_limit_plus_one(call));
    return r < 0 ? r : st_reply_page(call, list, "notificationId");
}

int notification_mark_read(struct st_call *call)
{
    int r = st_exec_one(call, ST_E_NOT_FOUND,
                        "update inbox_messages set read_at = coalesce(read_at, now()) "
                        "where notification_id = $1 and user_id = $2",
                        st_param(call, "notificationId"), call->user_id);
    if (r == ST_E_NOT_FOUND)
        return st_fail(call, r, "There is no such notification of yours.");
    return r < 0 ? r : st_reply(call, 204, NULL);
}
