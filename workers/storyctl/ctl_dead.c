/* storyctl dead: events and jobs that were given up. */
#include "storyctl/storyctl.h"

#include "svc/bus.h"

static void print(struct ctl *c, const json_t *row)
{
    (void)c;
    printf("%-14s %-10s %-24s %-38s %2d attempts  %s\n", st_json_str(row, "service", ""), st_json_str(row, "id", ""),
           st_json_str(row, "name", ""), st_json_str(row, "subject", ""), (int)st_json_int(row, "attempts", 0),
           st_json_str(row, "error", ""));
}

static const struct ctl_list letters = {
    .sql = "select 'event-' || position as id, event_type as name, aggregate_id as subject, attempts, error, "
           "parked_at as at from parked_events where state = 'dead' union all "
           "select 'job-' || job_id, name, coalesce(unique_key, ''), attempts, error, created_at "
           "from jobs where ended = 'dead' order by at",
    .print = print,
    .none = "no dead letters",
};

char ctl_id(const char *id, int64_t *ret)
{
    const char *dash = strchr(id, '-');
    if (!dash || !st_parse_i64(dash + 1, 1, INT64_MAX, ret))
        return 0;
    return st_starts(id, "event-") ? 'e' : st_starts(id, "job-") ? 'j' : 0;
}

static int show(struct ctl *c, const char *service, const char *id)
{
    int64_t number;
    char kind = ctl_id(id, &number);
    if (!kind)
        return ctl_usage("%s is no id (event-N or job-N)", id);
    return ctl_show(c, service,
                    kind == 'e' ? "select * from parked_events where position = $1 and state = 'dead'"
                                : "select * from jobs where job_id = $1 and ended = 'dead'",
                    st_i64(c->arena, number), st_printf(c->arena, "dead letter %s", id));
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
    return ctl_changed(c, service, n, "retried", st_printf(c->arena, "%d will be tried again", n));
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
        return ctl_list(c, ctl_option(c, "--service"), &letters, ST_PARAMS());
    if (c->argc == 3 && st_streq(c->argv[0], "show"))
        return show(c, c->argv[1], c->argv[2]);
    if (c->argc == 3 && st_streq(c->argv[0], "retry"))
        return retry(c, c->argv[1], c->argv[2]);
    if (c->argc == 3 && st_streq(c->argv[0], "drop"))
        return drop(c, c->argv[1], c->argv[2]);
    return ctl_usage("expected: dead list, or dead show, retry or drop SERVICE ID");
}
