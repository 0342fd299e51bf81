/* storyctl sagas: work over several services, and how far it has come. */
#include "storyctl/storyctl.h"

enum { LIST_MAX = 1000 };

static int list_of(struct ctl *c, const char *service, const char *state, json_t *all)
{
    struct st_pg *pg = ctl_database(c, service);
    struct st_rows *rows;
    size_t i;
    json_t *row;
    if (!pg)
        return 1;
    if (st_pg_query(pg, c->arena,
                    "select saga_id as id, name, key, state, step, case when backward then 'backward' else 'forward' "
                    "end as direction, waiting, deadline, error, created_at as at, finished_at as \"finishedAt\" "
                    "from sagas where case when $1::text is null then finished_at is null else state = $1 end "
                    "order by created_at limit $2",
                    ST_PARAMS(state, st_i64(c->arena, LIST_MAX)), &rows) < 0)
        return ctl_error("%s: %s", service, st_pg_error(pg));
    json_array_foreach (st_rows_json(rows, c->arena), i, row) {
        json_object_set_new(row, "service", json_string(service));
        json_array_append(all, row);
    }
    return 0;
}

static void print_list(const json_t *all)
{
    size_t i;
    const json_t *row;
    json_array_foreach (all, i, row)
        printf("%-14s %-36s %-16s %-12s %-8s %-32s %s\n", st_json_str(row, "service", ""), st_json_str(row, "id", ""),
               st_json_str(row, "name", ""), st_json_str(row, "state", ""), st_json_str(row, "direction", ""),
               st_json_str(row, "step", ""), st_json_str(row, "error", ""));
    if (json_array_size(all) == 0)
        puts("no sagas");
}

static int list(struct ctl *c)
{
    const char *only = ctl_option(c, "--service"), *state = ctl_option(c, "--state"), *names[CTL_SERVICES_MAX];
    int n = 1, code = 0;
    if (only)
        names[0] = only;
    else if ((n = ctl_services(c, names)) < 0)
        return 1;
    json_t *all = st_json_keep(c->arena, json_array());
    for (int i = 0; code == 0 && i < n; i++)
        code = list_of(c, names[i], state, all);
    if (code == 0 && c->json)
        ctl_print_json(c, json_incref(all));
    else if (code == 0)
        print_list(all);
    return code;
}

static int show(struct ctl *c, const char *service, const char *id)
{
    struct st_pg *pg = ctl_database(c, service);
    struct st_rows *rows;
    if (!pg)
        return 1;
    if (!st_is_uuid(id))
        return ctl_usage("%s is no id of a saga", id);
    if (st_pg_query(pg, c->arena, "select * from sagas where saga_id = $1", ST_PARAMS(id), &rows) < 0)
        return ctl_error("%s: %s", service, st_pg_error(pg));
    if (st_rows_count(rows) == 0)
        return ctl_error("%s has no saga %s", service, id);
    char *text = json_dumps(st_row_json(rows, 0, c->arena), c->json ? JSON_COMPACT : JSON_INDENT(2));
    puts(text);
    free(text);
    return 0;
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
    ctl_ring_jobs(c, service);
    if (c->json)
        ctl_print_json(c, json_pack("{s:i}", "retried", n));
    else
        printf("%d will go on\n", n);
    return 0;
}

int ctl_sagas(struct ctl *c)
{
    if (c->argc >= 1 && st_streq(c->argv[0], "list"))
        return list(c);
    if (c->argc == 3 && st_streq(c->argv[0], "show"))
        return show(c, c->argv[1], c->argv[2]);
    if (c->argc == 3 && st_streq(c->argv[0], "retry"))
        return retry(c, c->argv[1], c->argv[2]);
    return ctl_usage("expected: sagas list, sagas show SERVICE ID or sagas retry SERVICE ID");
}
