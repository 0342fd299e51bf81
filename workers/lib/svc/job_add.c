/* Adding and cancelling jobs, as handlers do it. */
#include "svc/jobs.h"

enum { ID_BLOCK = 100, AFTER_MAX = 10000, ADD_MAX = 100 }; /* ID_BLOCK: the increment of jobs.job_id */

static bool is_job(const struct st_service *service, const char *name)
{
    const struct st_job_kind *kind = service->jobs;
    while (kind && kind->name && !st_streq(kind->name, name))
        kind++;
    return kind && kind->name;
}

/* False: the call has failed. */
static bool check_name(struct st_call *call, const char *job)
{
    const struct st_service *service = call->p->worker->run->service;
    if (is_job(service, job))
        return true;
    st_call_doom(call, st_fail(call, ST_E_INTERNAL, "%s is not a job of %s", job, service->name));
    return false;
}

/* Nothing is added, and yet the row is locked until the commit, as an update locks also what its condition leaves out:
 * a take passes the equal one over so long, so that it does not begin with what was true before. */
#define CONFLICT                                                                                                       \
    "on conflict (name, waiting_key) where waiting_key is not null do update set payload = jobs.payload where false "

static const char sql_add[] =
    "insert into jobs (name, unique_key, payload, metadata, run_at, delayed) "
    "values ($1, $2, $3, $4, clock_timestamp() + $5::bigint * interval '1 millisecond', $5::bigint > 0) " CONFLICT;

static const char sql_add_many[] =
    "insert into jobs (name, unique_key, payload, metadata, run_at, delayed) "
    "select name, key, payload, metadata, clock_timestamp() + delay * interval '1 millisecond', delay > 0 "
    "from unnest($1::text[], $2::text[], $3::jsonb[], $4::jsonb[], $5::bigint[]) as j(name, key, payload, metadata, "
    "delay) " CONFLICT;

static const char sql_add_with[] =
    "insert into jobs (job_id, name, unique_key, payload, metadata, run_at, delayed, priority) "
    "values ($6, $1, $2, $3, $4, clock_timestamp() + $5::bigint * interval '1 millisecond', $5::bigint > 0, "
    "$7) " CONFLICT;

/* As jobs_take does it. */
static const char sql_add_leased[] =
    "insert into jobs (job_id, name, payload, metadata, attempts, lease_token, lease_until) "
    "values ($1, $4, $5, $6, 1, $2, clock_timestamp() + $3::int * interval '1 second')";

/* Behind sql_add_with: not when that has added nothing, nor while an equal one runs. */
static const char sql_lease[] =
    "update jobs j set lease_token = $2, lease_until = clock_timestamp() + $3::int * interval '1 second', attempts = 1 "
    "where j.job_id = $1 and not exists (select from jobs o "
    "where o.name = j.name and o.unique_key = j.unique_key and o.ended is null and o.lease_token is not null)";

/* The rows of those it waits for are locked: one that ends at this moment has either ended before, which is seen here,
 * or will see that it is awaited. */
static const char sql_add_after[] =
    "with deps as materialized (select job_id, name, ended from jobs where job_id = any ($8::bigint[]) "
    "order by job_id for update), "
    "marked as (update jobs j set awaited = true from deps d where j.job_id = d.job_id and d.ended is null "
    "returning j.job_id), "
    "failed as (select format('job-%s (%s), which it waited for, is %s', job_id, name, ended) as why from deps "
    "where ended in ('dead', 'cancelled') order by job_id limit 1), "
    "added as (insert into jobs (job_id, name, unique_key, payload, metadata, run_at, delayed, priority, pending, "
    "doomed) select $6::bigint, $1::text, $2::text, $3::jsonb, $4::jsonb, clock_timestamp() + $5::bigint * interval '1 "
    "millisecond', "
    "$5::bigint > 0 and not exists (select from failed), $7::int, "
    "case when exists (select from failed) then 0 else (select count(*) from marked) end, (select why from "
    "failed) " CONFLICT "returning job_id) "
    "insert into job_waits (job_id, waiter_id) select m.job_id, a.job_id from marked m, added a";

enum { NAME, KEY, PAYLOAD, METADATA, DELAY, COLUMNS };

/* One statement for all jobs that a handler adds in a row. In the arena of its call. */
struct st_added {
    const char *columns[COLUMNS][ADD_MAX];
    size_t n;
};

/* Ids come in blocks, so that most cost no round trip. */
static int next_id(struct st_call *call, int64_t *ret)
{
    struct st_worker *w = call->p->worker;
    if (w->job_id == w->job_id_end) {
        struct st_rows *rows;
        int r = st_rows(call, &rows, "select nextval(pg_get_serial_sequence('jobs', 'job_id'))");
        if (r < 0)
            return r;
        w->job_id = st_cell_int(rows, 0, 0);
        w->job_id_end = w->job_id + ID_BLOCK;
    }
    *ret = w->job_id++;
    return 0;
}

/* It begins here, if this is committed and the database agrees; false: it goes the usual way. */
static bool hand_over(struct st_call *call, const struct st_added *added)
{
    struct st_call_private *top = st_call_top(call);
    const char *key = added->columns[KEY][0];
    int64_t id;
    if (added->n > 1 || top->handed || top->autocommit || !st_streq(added->columns[DELAY][0], "0"))
        return false;
    struct st_leased_job *job = st_jobs_reserve(top->worker->run, added->columns[NAME][0]);
    if (!job)
        return false;
    if (next_id(call, &id) < 0) {
        st_jobs_release(top->worker->run, job);
        return false;
    }
    struct st_arena *a = &job->take->arena;
    job->pub = (struct st_job){.id = id, .attempt = 1, .max_attempts = job->kind->attempts, .key = st_strdup(a, key)};
    job->id = st_i64(a, id);
    job->payload = st_strdup(a, added->columns[PAYLOAD][0]);
    job->metadata = st_strdup(a, added->columns[METADATA][0]);
    const char *lease_s = st_i64(a, st_job_lease_us(job->kind) / ST_SECOND);
    struct st_pg *pg = st_call_open(call);
    top->handed = job;
    top->handed_taken = 0;
    if (!key) {
        st_pg_exec_counted(pg, sql_add_leased,
                           ST_PARAMS(job->id, job->take->token, lease_s, job->kind->name, job->payload, job->metadata),
                           &top->handed_taken);
        return true;
    }
    st_pg_exec(pg, sql_add_with, ST_PARAMS(job->kind->name, key, job->payload, job->metadata, "0", job->id, "0"));
    st_pg_exec_counted(pg, sql_lease, ST_PARAMS(job->id, job->take->token, lease_s), &top->handed_taken);
    return true;
}

void st_jobs_added(struct st_call_private *top, bool committed)
{
    struct st_leased_job *job = top->handed;
    top->handed = NULL;
    if (job && committed && top->handed_taken == 1)
        st_jobs_begin(top->worker->run, job);
    else if (job)
        st_jobs_release(top->worker->run, job);
}

void st_jobs_add(struct st_call *call)
{
    struct st_call_private *top = st_call_top(call);
    const struct st_added *added = top->added;
    const char *params[COLUMNS];
    if (!added)
        return;
    top->added = NULL;
    if (hand_over(call, added))
        return;
    for (int k = 0; k < COLUMNS; k++)
        params[k] = added->n > 1 ? st_pg_array(call->arena, added->columns[k], added->n) : added->columns[k][0];
    st_pg_exec(st_call_open(call), added->n > 1 ? sql_add_many : sql_add, COLUMNS, params);
}

static bool is_added(const struct st_added *added, const char *job, const char *key)
{
    for (size_t i = 0; i < added->n; i++)
        if (st_streq(added->columns[NAME][i], job) && st_streq(added->columns[KEY][i], key))
            return true;
    return false;
}

void st_enqueue(struct st_call *call, const char *job, const char *key, int64_t delay_ms, json_t *payload)
{
    struct st_call_private *top = st_call_top(call);
    st_json_keep(call->arena, payload);
    if (!check_name(call, job))
        return;
    (void)st_call_open(call);
    if (!top->added)
        top->added = st_new(call->arena, struct st_added);
    struct st_added *added = top->added;
    top->enqueued = true;
    if (key && is_added(added, job, key)) /* the database locks no row that the same statement has made */
        return;
    added->columns[NAME][added->n] = job;
    added->columns[KEY][added->n] = key ? st_strdup(call->arena, key) : NULL;
    added->columns[PAYLOAD][added->n] = st_json_text(call->arena, payload);
    added->columns[METADATA][added->n] = st_json_text(call->arena, st_call_metadata(call));
    added->columns[DELAY][added->n] = st_i64(call->arena, delay_ms);
    if (++added->n == ADD_MAX)
        st_jobs_add(call);
}

/* {1,2,3}; NULL when one of them is no id. */
static const char *id_array(struct st_arena *a, const char *const *ids, size_t n)
{
    struct st_buf b = ST_BUF(AFTER_MAX * 24);
    int64_t number;
    for (size_t i = 0; i < n && !b.failed; i++) {
        if (!st_parse_i64(ids[i], 0, INT64_MAX, &number))
            b.failed = true;
        st_buf_printf(&b, "%c%s", i ? ',' : '{', ids[i]);
    }
    st_buf_char(&b, '}');
    const char *text = b.failed ? NULL : st_strndup(a, b.data, b.len);
    st_buf_release(&b);
    return text;
}

const char *st_enqueue_with(struct st_call *call, const struct st_enqueue *how, json_t *payload)
{
    struct st_arena *a = call->arena;
    int64_t number = 0;
    st_json_keep(a, payload);
    if (!check_name(call, how->job))
        return NULL;
    int r = next_id(call, &number);
    const char *after = how->n_after ? id_array(a, how->after, how->n_after) : NULL;
    if (r == 0 && how->n_after && !after)
        r = st_fail(call, ST_E_INTERNAL, "%s waits for what is no id of a job, or for too many", how->job);
    if (r < 0) {
        st_call_doom(call, r);
        return NULL;
    }
    const char *id = st_i64(a, number), *metadata = st_json_text(a, st_call_metadata(call));
    const char *delay = st_i64(a, how->delay_ms), *priority = st_i64(a, how->priority);
    if (after)
        st_exec(call, sql_add_after, how->job, how->key, st_json_text(a, payload), metadata, delay, id, priority,
                after);
    else
        st_exec(call, sql_add_with, how->job, how->key, st_json_text(a, payload), metadata, delay, id, priority);
    st_call_top(call)->enqueued = true;
    return id;
}

void st_cancel(struct st_call *call, const char *job, const char *key)
{
    if (!check_name(call, job))
        return;
    st_exec(call,
            "select jobs_cancel(array(select job_id from jobs where name = $1 and unique_key = $2 and ended is null), "
            "'cancelled by ' || $3)",
            job, key, call->name);
    st_call_top(call)->enqueued = true; /* those that waited for it are to be ended */
}
