/* Roles, and giving them to users. */
#include "authorization/authorization.h"
#include "io/yaml.h"

static void audit(struct st_call *call, const char *action, const char *user_id, const char *role)
{
    st_exec(call,
            "insert into audit_logs (actor, action, subject, detail) values ($1, $2, $3, jsonb_build_object('role', "
            "$4::text))",
            *call->user_id ? call->user_id : "platform", action, user_id, role);
}

/* Adds a default role; one that exists belongs to the operator and stays as it is. */
static int add_default_role(struct st_call *call, const char *name, json_t *role)
{
    struct st_rows *rows;
    json_t *permissions = json_object_get(role, "permissions");
    const char *inherits = st_json_text(call->arena, json_object_get(role, "inherits"));
    int r = st_rows(call, &rows,
                    "insert into roles (role, description, inherits) "
                    "values ($1, $2, array(select jsonb_array_elements_text($3::jsonb))) on conflict do nothing",
                    name, st_json_str(role, "description", ""), inherits);
    if (r < 0 || st_rows_affected(rows) == 0)
        return r;
    const char *list = st_json_text(call->arena, permissions);
    st_exec(call, "insert into permissions select jsonb_array_elements_text($1::jsonb) on conflict do nothing", list);
    st_exec(call, "insert into role_permissions select $1, jsonb_array_elements_text($2::jsonb)", name, list);
    st_emit(call, "RoleCreated", name,
            json_pack("{s:s, s:s, s:O}", "roleId", name, "name", name, "permissions", permissions));
    return 0;
}

int authorization_start(struct st_call *call)
{
    struct st_yaml file;
    const char *why = "", *name;
    json_t *role;
    int r = st_yaml_load(call->arena, st_printf(call->arena, "%s/roles.yaml", st_option("config_dir")), &file, &why);
    if (r < 0)
        return st_fail(call, r, "%s", why);
    json_object_foreach (json_object_get(file.root, "roles"), name, role)
        if ((r = add_default_role(call, name, role)) < 0)
            return r;
    st_enqueue(call, "publish_roles", "all", 0, json_object());
    return 0;
}

int authorization_list_roles(struct st_call *call)
{
    json_t *roles;
    int r = st_list(
        call, &roles,
        "select role, description, to_json(inherits) as inherits, "
        "to_json(array(select permissions_of(array[role]) order by 1)) as permissions from roles order by role");
    return r < 0 ? r : st_reply(call, 200, json_pack("{s:O}", "items", roles));
}

static int require_role(struct st_call *call, const char *role)
{
    struct st_rows *rows;
    int r = st_rows(call, &rows, "select from roles where role = $1 for update", role);
    if (r == 0 && st_rows_count(rows) == 0)
        return st_fail(call, ST_E_NOT_FOUND, "There is no role %s.", role);
    return r;
}

/* Nobody gives away what they do not hold. */
static int require_holding(struct st_call *call, const char *role)
{
    struct st_rows *rows;
    int r = st_rows(call, &rows,
                    "select wanted from permissions_of(array[$1::text]) wanted where not exists (select from "
                    "permissions_of(string_to_array($2, ',')) held where permission_covers(held, wanted)) limit 1",
                    role, call->roles);
    if (r == 0 && st_rows_count(rows))
        return st_fail(call, ST_E_FORBIDDEN, "The role %s may %s, and you may not.", role, st_cell(rows, 0, 0));
    return r;
}

/* *ret_new: the user did not have it before. */
static int grant(struct st_call *call, const char *user_id, const char *role, bool *ret_new)
{
    const char *by = *call->user_id ? call->user_id : NULL;
    struct st_rows *rows;
    int r = st_rows(call, &rows,
                    "insert into user_roles (user_id, role, granted_by) select $1, $2, $3 "
                    "where not exists (select from erased_users where user_id = $1) on conflict do nothing",
                    user_id, role, by);
    if (r < 0)
        return r;
    *ret_new = st_rows_affected(rows) == 1;
    if (*ret_new) {
        audit(call, "role.assigned", user_id, role);
        st_emit(call, "RoleAssigned", user_id,
                json_pack("{s:s, s:s, s:s?}", "userId", user_id, "roleId", role, "grantedBy", by));
    }
    return 0;
}

int authorization_assign_role(struct st_call *call)
{
    const char *user_id = st_param(call, "userId"), *role = st_param(call, "role");
    bool is_new;
    int r;
    if ((r = require_role(call, role)) < 0 || (r = require_holding(call, role)) < 0 ||
        (r = grant(call, user_id, role, &is_new)) < 0)
        return r;
    if (is_new)
        authorization_override(call, user_id);
    return st_reply(call, 204, NULL);
}

/* The lock of require_role makes two who take away the last two admins wait for each other. */
static int keep_one_admin(struct st_call *call, const char *user_id, const char *role)
{
    struct st_rows *rows;
    if (!st_streq(role, "admin"))
        return 0;
    int r = st_rows(call, &rows, "select from user_roles where role = 'admin' and user_id <> $1 limit 1", user_id);
    if (r == 0 && st_rows_count(rows) == 0)
        return st_fail(call, ST_E_CONFLICT, "This is the last admin; give the role to somebody else first.");
    return r;
}

int authorization_unassign_role(struct st_call *call)
{
    const char *user_id = st_param(call, "userId"), *role = st_param(call, "role");
    struct st_rows *rows;
    int r;
    if ((r = require_role(call, role)) < 0 || (r = require_holding(call, role)) < 0)
        return r;
    if ((r = st_rows(call, &rows, "delete from user_roles where user_id = $1 and role = $2", user_id, role)) < 0)
        return r;
    if (st_rows_affected(rows)) {
        if ((r = keep_one_admin(call, user_id, role)) < 0)
            return r;
        audit(call, "role.unassigned", user_id, role);
        st_emit(call, "RoleUnassigned", user_id,
                json_pack("{s:s, s:s, s:s?}", "userId", user_id, "roleId", role, "grantedBy",
                          *call->user_id ? call->user_id : NULL));
        authorization_override(call, user_id);
    }
    return st_reply(call, 204, NULL);
}

int authorization_on_user_registered(struct st_call *call)
{
    bool is_new;
    return grant(call, st_str(call->body, "userId"), st_str(call->body, "role"), &is_new);
}
