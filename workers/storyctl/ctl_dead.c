/* storyctl dead: events and jobs that were given up. */
#include "storyctl/storyctl.h"

#include "svc/bus.h"

static int list_of(struct ctl *c, const char *service, json_t *all)
{
    struct st_pg *pg = ctl_database(c, service);
    struct st_rows *rows;
    size_t i;
    json_t *row;
    if (!pg)
        return 1;
    if (st_pg_query(pg, c->arena,
                    "select 'event-' || position as id, event_type as name, aggregate_id as subject, attempts, error, "
                    "parked_at as at from parked_events where state = 'dead' union all "
                    "select 'job-' || job_id, name, coalesce(unique_key, ''), attempts, error, created_at "
                    "from jobs where ended = 'dead' order by at",
                    ST_PARAMS(), &rows) < 0)
        return ctl_error("%s: %s", service, st_pg_error(pg));
    json_array_foreach (st_rows_json(rows, c->arena), i, row) {
        json_object_set_new(row, "service", json_string(service));
        json_array_append(all, row);
        if (!c->json)
            printf("%-14s %-10s %-24s %-38s %2d attempts  %s\n", service, st_json_str(row, "id", ""),
                   st_json_str(row, "name", ""), st_json_str(row, "subject", ""), (int)st_json_int(row, "attempts", 0),
                   st_json_str(row, "error", ""));
    }
    return 0;
}

static int list(struct ctl *c)
{
    const char *only = ctl_option(c, "--service"), *names[CTL_SERVICES_MAX];
    int n = 1, code = 0;
    if (only)
        names[0] = only;
    else if ((n = ctl_services(c, names)) < 0)
        return 1;
    json_t *all = st_json_keep(c->arena, json_array());
    for (int i = 0; code == 0 && i < n; i++)
        code = list_of(c, names[i], all);
    if (code == 0 && c->json)
        ctl_print_json(c, json_incref(all));
    else if (code == 0 && json_array_size(all) == 0)
        puts("no dead letters");
    return code;
}

char ctl_id(const char *id, int64_t *ret)
{
    const char *dash = strchr(id, '-');
    if (!dash || !st_parse_i64(dash + 1, 1, INT64_MAX, ret))
        return 0;
    return st_starts(id, "event-") ? 'e' : st_starts(id, "job-") ? 'j' : 0;
}

static int show(struct ctl *c, const char *service, const char *id)
{
    struct st_pg *pg = ctl_database(c, service);
    struct st_rows *rows;
    int64_t number;
    char kind = ctl_id(id, &number);
    if (!pg)
        return 1;
    if (!kind)
        return ctl_usage("%s is no id (event-N or job-N)", id);
    int r = kind == 'e'
                ? st_pg_query(pg, c->arena, "select * from parked_events where position = $1 and state = 'dead'",
                              ST_PARAMS(st_i64(c->arena, number)), &rows)
                : st_pg_query(pg, c->arena, "select * from jobs where job_id = $1 and ended = 'dead'",
                              ST_PARAMS(st_i64(c->arena, number)), &rows);
    if (r < 0)
        return ctl_error("%s: %s", service, st_pg_error(pg));
    if (st_rows_count(rows) == 0)
        return ctl_error("%s has no dead letter %s", service, id);
    json_t *row = st_row_json(rows, 0, c->arena);
    char *text = json_dumps(row, c->json ? JSON_COMPACT : JSON_INDENT(2));
    puts(text);
    free(text);
    return 0;
}

void ctl_ring_jobs(struct ctl *c, const char *service)
{
    struct st_bus *bus = ctl_bus(c, service);
    if (bus && bus->ops->ring(bus, c->arena, st_printf(c->arena, "jobs:%s", service)) < 0)
        fprintf(stderr, "storyctl: the bus is away: %s\n", bus->ops->error(bus));
    st_bus_free(bus);
}

static int retry(struct ctl *c, const char *service, const char *id)
{
    struct st_pg *pg = ctl_database(c, service);
    struct st_rows *events, *jobs;
    int64_t number = 0;
    char kind = st_streq(id, "all") ? 'a' : ctl_id(id, &number);
    if (!pg)
        return 1;
    if (!kind)
        return ctl_usage("%s is no id (event-N, job-N or all)", id);
    const char *event = kind == 'j' ? "0" : kind == 'e' ? st_i64(c->arena, number) : NULL;
    const char *job = kind == 'e' ? "0" : kind == 'j' ? st_i64(c->arena, number) : NULL;
    if (st_pg_query(pg, c->arena,
                    "update parked_events set state = 'waiting', attempts = 0, run_at = now() "
                    "where state = 'dead' and ($1::bigint is null or position = $1::bigint)",
                    ST_PARAMS(event), &events) < 0 ||
        st_pg_query(pg, c->arena,
                    "select jobs_retry($1::bigint) where $1::bigint is null or exists (select from jobs where job_id = "
                    "$1::bigint and ended = 'dead')",
                    ST_PARAMS(job), &jobs) < 0)
        return ctl_error("%s: %s", service, st_pg_error(pg));
    int n = st_rows_affected(events) + (st_rows_count(jobs) ? (int)st_cell_int(jobs, 0, 0) : 0);
    if (n == 0 && kind != 'a')
        return ctl_error("%s has no dead letter %s", service, id);
    ctl_ring_jobs(c, service);
    if (c->json)
        ctl_print_json(c, json_pack("{s:i}", "retried", n));
    else
        printf("%d will be tried again\n", n);
    return 0;
}

/* Gives one up for good: what it was is printed. An event counts as handled from then on, so that the bus does not
 * bring it back. */
static int drop(struct ctl *c, const char *service, const char *id)
{
    struct st_pg *pg = ctl_database(c, service);
    struct st_rows *rows;
    int64_t number;
    char kind = ctl_id(id, &number);
    if (!pg)
        return 1;
    if (!kind)
        return ctl_usage("%s is no id (event-N or job-N)", id);
    const char *text = st_i64(c->arena, number);
    int r = kind == 'e' ? st_pg_query(pg, c->arena,
                                      "with gone as (delete from parked_events where position = $1 and state = 'dead' "
                                      "returning *), seen as (insert into inbox (event_id) select event_id from gone "
                                      "on conflict do nothing) select * from gone",
                                      ST_PARAMS(text), &rows)
                        : st_pg_query(pg, c->arena,
                                      "update jobs set ended = 'cancelled', finished_at = now() "
                                      "where job_id = $1 and ended = 'dead' returning *",
                                      ST_PARAMS(text), &rows);
    if (r < 0)
        return ctl_error("%s: %s", service, st_pg_error(pg));
    if (st_rows_count(rows) == 0)
        return ctl_error("%s has no dead letter %s", service, id);
    json_t *row = st_row_json(rows, 0, c->arena);
    if (c->json)
        ctl_print_json(c, json_incref(row));
    else
        printf("dropped: %s\n", st_json_text(c->arena, row));
    return 0;
}

int ctl_dead(struct ctl *c)
{
    if (c->argc >= 1 && st_streq(c->argv[0], "list"))
        return list(c);
    if (c->argc == 3 && st_streq(c->argv[0], "show"))
        return show(c, c->argv[1], c->argv[2]);
    if (c->argc == 3 && st_streq(c->argv[0], "retry"))
        return retry(c, c->argv[1], c->argv[2]);
    if (c->argc == 3 && st_streq(c->argv[0], "drop"))
        return drop(c, c->argv[1], c->argv[2]);
    return ctl_usage("expected: dead list, or dead show, retry or drop SERVICE ID");
}
