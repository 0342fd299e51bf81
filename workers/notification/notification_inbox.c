/* The in-app inbox. */
#include "notification/notification.h"

int notification_list(struct st_call *call)
{
    return st_page(call, "notificationId",
                   "select notification_id as \"notificationId\", campaign, text, link, created_at as \"createdAt\", "
                   "read_at as \"readAt\" from inbox_messages where user_id = $3 "
                   "and ($1::uuid is null or notification_id < $1::uuid) order by notification_id desc limit $2::int",
                   call->user_id);
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
