/* What the edge must know of roles, in Redis: a snapshot, and a message for each change. */
#include "authorization/authorization.h"
#include "io/redis.h"

/* Longer than any token lives, with room for identity to learn of the change. */
#define OVERRIDE_FOR "interval '1 day'"

void authorization_override(struct st_call *call, const char *user_id)
{
    st_exec(call,
            "insert into role_overrides (user_id, until) values ($1, now() + " OVERRIDE_FOR ") "
            "on conflict (user_id) do update set until = excluded.until",
            user_id);
    st_enqueue(call, "publish_user", user_id, 0, json_pack("{s:s}", "userId", user_id));
}

static int tell(struct st_call *call, json_t *message)
{
    struct st_reply reply;
    const char *text = st_json_text(call->arena, st_json_keep(call->arena, message));
    return st_redis_cmd(st_call_redis(call), call->arena, &reply, "PUBLISH", "st:edge", text, NULL);
}

int authorization_publish_roles(struct st_call *call)
{
    struct st_rows *rows;
    struct st_reply reply;
    int r =
        st_rows(call, &rows,
                "select json_build_object('version', (extract(epoch from clock_timestamp()) * 1000)::bigint, 'roles', "
                "json_object_agg(role, array(select permissions_of(array[role]) order by 1))) from roles");
    if (r < 0 || (r = st_commit(call)) < 0)
        return r;
    r = st_redis_cmd(st_call_redis(call), call->arena, &reply, "SET", "st:edge:roles", st_cell(rows, 0, 0), NULL);
    return r < 0 ? r : tell(call, json_pack("{s:s}", "kind", "roles"));
}

/* Overrides that still count, of one user or (NULL) of all: user_id, roles as JSON, until. */
static int overrides(struct st_call *call, const char *user_id, struct st_rows **ret)
{
    return st_rows(
        call, ret,
        "select o.user_id, to_json(array(select role from user_roles u where u.user_id = o.user_id order by 1)), "
        "extract(epoch from o.until)::bigint from role_overrides o "
        "where o.until > now() and ($1::uuid is null or o.user_id = $1::uuid)",
        user_id);
}

static const char *override_text(struct st_call *call, const struct st_rows *rows, int i)
{
    return st_printf(call->arena, "{\"roles\":%s,\"until\":%s}", st_cell(rows, i, 1), st_cell(rows, i, 2));
}

/* One command for a user's override; a failed one fails the job, which runs again. */
static int write_override(struct st_call *call, const struct st_rows *rows, int i)
{
    struct st_reply reply;
    return st_redis_cmd(st_call_redis(call), call->arena, &reply, "HSET", "st:edge:users", st_cell(rows, i, 0),
                        override_text(call, rows, i), NULL);
}

/* Heals Redis after a loss, and forgets what has expired. */
static int publish_all_users(struct st_call *call)
{
    struct st_rows *rows, *expired;
    struct st_reply reply;
    int r;
    if ((r = overrides(call, NULL, &rows)) < 0 ||
        (r = st_rows(call, &expired, "delete from role_overrides where until <= now() returning user_id")) < 0 ||
        (r = st_commit(call)) < 0)
        return r;
    for (int i = 0; r == 0 && i < st_rows_count(rows); i++)
        r = write_override(call, rows, i);
    for (int i = 0; r == 0 && i < st_rows_count(expired); i++)
        r = st_redis_cmd(st_call_redis(call), call->arena, &reply, "HDEL", "st:edge:users", st_cell(expired, i, 0),
                         NULL);
    return r;
}

/* Jobs of this kind run one after the other, so that an older state never overwrites a newer one. */
int authorization_publish_user(struct st_call *call)
{
    struct st_rows *rows;
    const char *user_id = st_str(call->body, "userId");
    if (!user_id)
        return publish_all_users(call);
    int r = overrides(call, user_id, &rows);
    if (r < 0 || (r = st_commit(call)) < 0 || st_rows_count(rows) == 0)
        return r;
    if ((r = write_override(call, rows, 0)) < 0)
        return r;
    return tell(call,
                json_pack("{s:s, s:s, s:o, s:I}", "kind", "user", "userId", user_id, "roles",
                          json_loads(st_cell(rows, 0, 1), 0, NULL), "until", (json_int_t)st_cell_int(rows, 0, 2)));
}

int authorization_publish_all(struct st_call *call)
{
    st_enqueue(call, "publish_roles", "all", 0, json_object());
    st_enqueue(call, "publish_user", "all", 0, json_object());
    return 0;
}
