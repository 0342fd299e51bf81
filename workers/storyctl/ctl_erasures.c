/* storyctl erasures: deleted accounts, and what each service has done about them. */
#include "storyctl/storyctl.h"

/* A row each, with the services that have not answered; the newest first. */
static const char sql_list[] =
    "select e.user_id as \"userId\", e.requested_at as \"requestedAt\", e.deadline_at as \"deadlineAt\", "
    "e.closed_at as \"closedAt\", case when e.closed_at is not null then 'closed' "
    "when e.deadline_at < now() then 'overdue' else 'open' end as state, "
    "coalesce((select json_agg(s.name order by s.name) from jsonb_array_elements_text($1::jsonb) s(name) "
    "where e.closed_at is null and not exists (select from erasure_answers a where a.user_id = e.user_id "
    "and a.service = s.name)), '[]') as missing from erasures e "
    "where ($2::uuid is null or e.user_id = $2::uuid) and (not $3::boolean or e.closed_at is null) "
    "order by e.requested_at desc limit 1000";

static int query(struct ctl *c, const char *user_id, bool open, struct st_pg **ret_pg, json_t **ret)
{
    const char *names[CTL_SERVICES_MAX];
    struct st_rows *rows;
    int n = ctl_services(c, names);
    struct st_pg *pg = n > 0 ? ctl_database(c, "identity") : NULL;
    if (!pg)
        return 1;
    json_t *all = st_json_keep(c->arena, json_array());
    for (int i = 0; i < n; i++)
        json_array_append_new(all, json_string(names[i]));
    if (st_pg_query(pg, c->arena, sql_list, ST_PARAMS(st_json_text(c->arena, all), user_id, open ? "t" : "f"), &rows) <
        0)
        return ctl_error("identity: %s", st_pg_error(pg));
    *ret_pg = pg;
    *ret = st_rows_json(rows, c->arena);
    return 0;
}

static const char *joined(struct ctl *c, const json_t *names)
{
    const char *all = "";
    const json_t *name;
    size_t i;
    json_array_foreach (names, i, name)
        all = st_printf(c->arena, "%s%s%s", all, *all ? ", " : "", json_string_value(name));
    return all;
}

static void print(struct ctl *c, const json_t *e)
{
    const char *missing = joined(c, json_object_get(e, "missing"));
    printf("%s  %-7s  requested %s  %s%s\n", st_json_str(e, "userId", ""), st_json_str(e, "state", ""),
           st_json_str(e, "requestedAt", ""), *missing ? "missing " : "closed ",
           *missing ? missing : st_json_str(e, "closedAt", ""));
}

static int list(struct ctl *c)
{
    struct st_pg *pg;
    json_t *all, *e;
    size_t i;
    bool open = ctl_flag(c, "--open");
    int code = c->argc == 1 ? query(c, NULL, open, &pg, &all) : ctl_usage("expected: erasures list");
    if (code)
        return code;
    if (c->json) {
        ctl_print_json(c, json_incref(all));
        return 0;
    }
    json_array_foreach (all, i, e)
        print(c, e);
    if (i == 0)
        puts(open ? "no erasure is open" : "no erasures");
    return 0;
}

static void print_answers(const json_t *answers)
{
    const json_t *a, *t;
    size_t i, k;
    json_array_foreach (answers, i, a)
        json_array_foreach (json_object_get(a, "tables"), k, t)
            printf("  %-14s %-24s %-10s  %s\n", k ? "" : st_json_str(a, "service", ""), st_json_str(t, "table", ""),
                   st_json_str(t, "rule", ""), st_json_str(t, "reason", ""));
}

static int show(struct ctl *c, const char *user_id)
{
    struct st_pg *pg;
    struct st_rows *rows;
    json_t *all;
    if (!st_is_uuid(user_id))
        return ctl_usage("%s is no user id", user_id);
    int code = query(c, user_id, false, &pg, &all);
    if (code)
        return code;
    json_t *e = json_array_get(all, 0);
    if (!e)
        return ctl_error("nobody has asked for the erasure of %s", user_id);
    if (st_pg_query(pg, c->arena,
                    "select service, tables, answered_at as \"answeredAt\" from erasure_answers where user_id = $1 "
                    "order by service",
                    ST_PARAMS(user_id), &rows) < 0)
        return ctl_error("identity: %s", st_pg_error(pg));
    json_object_set(e, "answers", st_rows_json(rows, c->arena));
    if (c->json) {
        ctl_print_json(c, json_incref(e));
    } else {
        print(c, e);
        print_answers(json_object_get(e, "answers"));
    }
    return 0;
}

int ctl_erasures(struct ctl *c)
{
    if (c->argc >= 1 && st_streq(c->argv[0], "list"))
        return list(c);
    if (c->argc == 2 && st_streq(c->argv[0], "show"))
        return show(c, c->argv[1]);
    return ctl_usage("expected: erasures list or erasures show USER-ID");
}
