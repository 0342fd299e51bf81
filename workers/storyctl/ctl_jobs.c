/* storyctl jobs: what waits, runs and has ended; cancelling, and running again. */
#include "storyctl/storyctl.h"

#include "io/pg.h"

#define COLUMNS                                                                                                        \
    "'job-' || job_id as id, name, state, coalesce(unique_key, '') as key, priority, attempts, "                       \
    "run_at as \"runAt\", finished_at as \"finishedAt\", progress_done as \"progressDone\", "                          \
    "progress_total as \"progressTotal\", coalesce(doomed, error) as error "

/* Percent done, "" while unknown. */
static const char *progress_of(struct ctl *c, const json_t *row)
{
    int64_t done = st_json_int(row, "progressDone", 0), total = st_json_int(row, "progressTotal", 0);
    return total > 0 ? st_printf(c->arena, "%lld %%", (long long)(100 * done / total)) : "";
}

static int list_of(struct ctl *c, const char *service, const char *name, const char *state, const char *limit,
                   json_t *all)
{
    struct st_pg *pg = ctl_database(c, service);
    struct st_rows *rows;
    size_t i;
    json_t *row;
    if (!pg)
        return 1;
    if (st_pg_query(pg, c->arena,
                    "select " COLUMNS "from jobs where ($1::text is null or name = $1) "
                    "and case when $2::text is null then ended is null or ended = 'dead' else state = $2 end "
                    "order by coalesce(finished_at, run_at), job_id limit $3::int",
                    ST_PARAMS(name, state, limit), &rows) < 0)
        return ctl_error("%s: %s", service, st_pg_error(pg));
    json_array_foreach (st_rows_json(rows, c->arena), i, row) {
        json_object_set_new(row, "service", json_string(service));
        json_array_append(all, row);
        if (!c->json)
            printf("%-14s %-12s %-20s %-9s %-38s %2d attempts  %-24s %5s  %s\n", service, st_json_str(row, "id", ""),
                   st_json_str(row, "name", ""), st_json_str(row, "state", ""), st_json_str(row, "key", ""),
                   (int)st_json_int(row, "attempts", 0), st_json_str(row, "finishedAt", st_json_str(row, "runAt", "")),
                   progress_of(c, row), st_json_str(row, "error", ""));
    }
    return 0;
}

static int list(struct ctl *c)
{
    static const char *const states[] = {"waiting", "blocked", "running", "done", "dead", "cancelled"};
    const char *only = ctl_option(c, "--service"), *name = ctl_option(c, "--name"), *state = ctl_option(c, "--state");
    const char *limit = ctl_option(c, "--limit"), *names[CTL_SERVICES_MAX];
    int64_t number = 100;
    int n = 1, code = 0;
    bool known = !state;
    for (size_t i = 0; i < ST_COUNT(states); i++)
        known |= st_streq(state, states[i]);
    if (c->argc != 1 || !known || (limit && !st_parse_i64(limit, 1, 100000, &number)))
        return ctl_usage(known ? "expected: jobs list, and --limit from 1 to 100000"
                               : "a state is one of waiting, blocked, running, done, dead and cancelled");
    if (only)
        names[0] = only;
    else if ((n = ctl_services(c, names)) < 0)
        return 1;
    json_t *all = st_json_keep(c->arena, json_array());
    for (int i = 0; code == 0 && i < n; i++)
        code = list_of(c, names[i], name, state, st_i64(c->arena, number), all);
    if (code == 0 && c->json)
        ctl_print_json(c, json_incref(all));
    else if (code == 0 && json_array_size(all) == 0)
        puts("no jobs");
    return code;
}

static int show(struct ctl *c, const char *service, const char *id)
{
    struct st_pg *pg = ctl_database(c, service);
    struct st_rows *rows;
    int64_t number;
    if (!pg)
        return 1;
    if (ctl_id(id, &number) != 'j')
        return ctl_usage("%s is no id of a job (job-N)", id);
    if (st_pg_query(pg, c->arena,
                    "select j.*, (select coalesce(jsonb_agg('job-' || w.job_id order by w.job_id), '[]') "
                    "from job_waits w where w.waiter_id = j.job_id) as waits_for from jobs j where job_id = $1",
                    ST_PARAMS(st_i64(c->arena, number)), &rows) < 0)
        return ctl_error("%s: %s", service, st_pg_error(pg));
    if (st_rows_count(rows) == 0)
        return ctl_error("%s has no job %s; those that are done go after a day, those of groups at once", service, id);
    char *text = json_dumps(st_row_json(rows, 0, c->arena), c->json ? JSON_COMPACT : JSON_INDENT(2));
    puts(text);
    free(text);
    return 0;
}

/* Cancels one or runs it again: `sql` gives how many it has changed. */
static int change(struct ctl *c, const char *service, const char *id, const char *sql, const char *member,
                  const char *refusal)
{
    struct st_pg *pg = ctl_database(c, service);
    struct st_rows *rows;
    int64_t number;
    if (!pg)
        return 1;
    if (ctl_id(id, &number) != 'j')
        return ctl_usage("%s is no id of a job (job-N)", id);
    if (st_pg_query(pg, c->arena, sql, ST_PARAMS(st_i64(c->arena, number)), &rows) < 0)
        return ctl_error("%s: %s", service, st_pg_error(pg));
    if (st_cell_int(rows, 0, 0) == 0)
        return ctl_error("%s %s %s", service, refusal, id);
    ctl_ring_jobs(c, service);
    if (c->json)
        ctl_print_json(c, json_pack("{s:i}", member, 1));
    else
        printf("%s is %s\n", id, member);
    return 0;
}

int ctl_jobs(struct ctl *c)
{
    if (c->argc >= 1 && st_streq(c->argv[0], "list"))
        return list(c);
    if (c->argc == 3 && st_streq(c->argv[0], "show"))
        return show(c, c->argv[1], c->argv[2]);
    if (c->argc == 3 && st_streq(c->argv[0], "cancel"))
        return change(c, c->argv[1], c->argv[2], "select jobs_cancel(array[$1::bigint], 'cancelled by the operator')",
                      "cancelled", "has no job that waits or runs,");
    if (c->argc == 3 && st_streq(c->argv[0], "retry"))
        return change(c, c->argv[1], c->argv[2], "select jobs_retry($1::bigint)", "retried",
                      "has no job that is dead or cancelled, without an equal one that waits,");
    return ctl_usage("expected: jobs list, or jobs show, cancel or retry SERVICE ID");
}
