/* storyctl sagas: work over several services, and how far it has come. */
#include "storyctl/storyctl.h"

static void print(struct ctl *c, const json_t *row)
{
    (void)c;
    printf("%-14s %-36s %-16s %-12s %-8s %-32s %s\n", st_json_str(row, "service", ""), st_json_str(row, "id", ""),
           st_json_str(row, "name", ""), st_json_str(row, "state", ""), st_json_str(row, "direction", ""),
           st_json_str(row, "step", ""), st_json_str(row, "error", ""));
}

static const struct ctl_list sagas = {
    .sql = "select saga_id as id, name, key, state, step, case when backward then 'backward' else 'forward' "
           "end as direction, waiting, deadline, error, created_at as at, finished_at as \"finishedAt\" "
           "from sagas where case when $1::text is null then finished_at is null else state = $1 end "
           "order by created_at limit 1000",
    .print = print,
    .none = "no sagas",
};

static int show(struct ctl *c, const char *service, const char *id)
{
    if (!st_is_uuid(id))
        return ctl_usage("%s is no id of a saga", id);
    return ctl_show(c, service, "select * from sagas where saga_id = $1", id, st_printf(c->arena, "saga %s", id));
}

static int retry(struct ctl *c, const char *service, const char *id)
{
    struct st_pg *pg = ctl_database(c, service);
    struct st_rows *rows;
    bool all = st_streq(id, "all");
    if (!pg)
        return 1;
    if (!all && !st_is_uuid(id))
        return ctl_usage("%s is no id of a saga (nor all)", id);
    if (st_pg_query(pg, c->arena,
                    "select count(*) from (select saga_id from sagas where state = 'parked' "
                    "and ($1::uuid is null or saga_id = $1::uuid)) p where saga_retry(p.saga_id)",
                    ST_PARAMS(all ? NULL : id), &rows) < 0)
        return ctl_error("%s: %s", service, st_pg_error(pg));
    int n = (int)st_cell_int(rows, 0, 0);
    if (n == 0 && !all)
        return ctl_error("%s has no parked saga %s", service, id);
    return ctl_changed(c, service, n, "retried", st_printf(c->arena, "%d will go on", n));
}

int ctl_sagas(struct ctl *c)
{
    if (c->argc >= 1 && st_streq(c->argv[0], "list"))
        return ctl_list(c, ctl_option(c, "--service"), &sagas, ST_PARAMS(ctl_option(c, "--state")));
    if (c->argc == 3 && st_streq(c->argv[0], "show"))
        return show(c, c->argv[1], c->argv[2]);
    if (c->argc == 3 && st_streq(c->argv[0], "retry"))
        return retry(c, c->argv[1], c->argv[2]);
    return ctl_usage("expected: sagas list, sagas show SERVICE ID or sagas retry SERVICE ID");
}
