/* storyctl jobs: what waits, runs and has ended; cancelling, and running again. */
#include "storyctl/storyctl.h"

#include "io/pg.h"

/* Percent done, "" while unknown. */
static const char *progress_of(struct ctl *c, const json_t *row)
{
    int64_t done = st_json_int(row, "progressDone", 0), total = st_json_int(row, "progressTotal", 0);
    return total > 0 ? st_printf(c->arena, "%lld %%", (long long)(100 * done / total)) : "";
}

static void print(struct ctl *c, const json_t *row)
{
    printf("%-14s %-12s %-20s %-9s %-38s %2d attempts  %-24s %5s  %s\n", st_json_str(row, "service", ""),
           st_json_str(row, "id", ""), st_json_str(row, "name", ""), st_json_str(row, "state", ""),
           st_json_str(row, "key", ""), (int)st_json_int(row, "attempts", 0),
           st_json_str(row, "finishedAt", st_json_str(row, "runAt", "")), progress_of(c, row),
           st_json_str(row, "error", ""));
}

static const struct ctl_list jobs = {
    .sql = "select 'job-' || job_id as id, name, state, coalesce(unique_key, '') as key, priority, attempts, "
           "run_at as \"runAt\", finished_at as \"finishedAt\", progress_done as \"progressDone\", "
           "progress_total as \"progressTotal\", coalesce(doomed, error) as error "
           "from jobs where ($1::text is null or name = $1) "
           "and case when $2::text is null then ended is null or ended = 'dead' else state = $2 end "
           "order by coalesce(finished_at, run_at), job_id limit $3::int",
    .print = print,
    .none = "no jobs",
};

static int list(struct ctl *c)
{
    static const char *const states[] = {"waiting", "blocked", "running", "done", "dead", "cancelled"};
    const char *service = ctl_option(c, "--service"), *name = ctl_option(c, "--name");
    const char *state = ctl_option(c, "--state"), *limit = ctl_option(c, "--limit");
    int64_t number = 100;
    bool known = !state;
    for (size_t i = 0; i < ST_COUNT(states); i++)
        known |= st_streq(state, states[i]);
    if (c->argc != 1 || !known || (limit && !st_parse_i64(limit, 1, 100000, &number)))
        return ctl_usage(known ? "expected: jobs list, and --limit from 1 to 100000"
                               : "a state is one of waiting, blocked, running, done, dead and cancelled");
    return ctl_list(c, service, &jobs, ST_PARAMS(name, state, st_i64(c->arena, number)));
}

static int show(struct ctl *c, const char *service, const char *id)
{
    int64_t number;
    if (ctl_id(id, &number) != 'j')
        return ctl_usage("%s is no id of a job (job-N)", id);
    return ctl_show(c, service,
                    "select j.*, (select coalesce(jsonb_agg('job-' || w.job_id order by w.job_id), '[]') "
                    "from job_waits w where w.waiter_id = j.job_id) as waits_for from jobs j where job_id = $1",
                    st_i64(c->arena, number),
                    st_printf(c->arena, "job %s; those that are done go after a day, those of groups at once", id));
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
    return ctl_changed(c, service, 1, member, st_printf(c->arena, "%s is %s", id, member));
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
