/* What identity learns from others: roles and tiers, which new tokens then carry. */
#include "identity/identity.h"

/* Roles in new tokens. Nothing is said when nothing changed. */
static int set_roles(struct st_call *call, bool add)
{
    json_t *change;
    const char *user_id = st_str(call->body, "userId");
    int r = st_row(call, &change,
                   "select to_json(roles) as from_roles, to_json(case when $3 = 'add' then array_append(roles, $2) "
                   "else array_remove(roles, $2) end) as to_roles from users where user_id = $1 "
                   "and state <> 'deleted' and ($3 = 'add') <> ($2 = any(roles)) for update",
                   user_id, st_str(call->body, "roleId"), add ? "add" : "remove");
    if (r == ST_E_NOT_FOUND)
        return 0;
    if (r < 0)
        return r;
    st_emit(call, "UserRoleChanged", user_id,
            json_pack("{s:s, s:O, s:O}", "userId", user_id, "from", json_object_get(change, "from_roles"), "to",
                      json_object_get(change, "to_roles")));
    return 0;
}

int identity_on_role_assigned(struct st_call *call)
{
    return set_roles(call, true);
}

int identity_on_role_unassigned(struct st_call *call)
{
    return set_roles(call, false);
}

int identity_on_subscription_changed(struct st_call *call)
{
    st_exec(call,
            "insert into user_tiers (user_id, tier) select user_id, $2 from users "
            "where user_id = $1 and state <> 'deleted' on conflict (user_id) do update set tier = excluded.tier",
            st_str(call->body, "userId"), st_str(call->body, "toTier"));
    return 0;
}
