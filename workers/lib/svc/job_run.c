/* One run of a job: its call, its progress, its outcome; and adding jobs. */
#include "svc/jobs.h"

enum { ERROR_MAX = 2000, RELEASE_TRIES = 3, DATABASE_PAUSE_MS = 500 };

/* --- what a handler calls --- */

void st_enqueue(struct st_call *call, const char *job, const char *key, int64_t delay_ms, json_t *payload)
{
    const struct st_service *service = call->p->worker->run->service;
    const struct st_job_kind *kind = service->jobs;
    st_json_keep(call->arena, payload);
    while (kind && kind->name && !st_streq(kind->name, job))
        kind++;
    if (!kind || !kind->name) {
        st_call_doom(call, st_fail(call, ST_E_INTERNAL, "%s is not a job of %s", job, service->name));
        return;
    }
    st_exec(call,
            "insert into jobs (name, unique_key, payload, metadata, run_at) "
            "values ($1, $2, $3, $4, clock_timestamp() + $5 * interval '1 millisecond') "
            "on conflict (name, unique_key) where state = 'waiting' and unique_key is not null do nothing",
            job, key, st_json_text(call->arena, payload), st_json_text(call->arena, st_call_metadata(call)),
            st_i64(call->arena, delay_ms));
    st_call_top(call)->enqueued = true;
}

enum st_job_stop st_leased_job_stop(struct st_leased_job *job, enum st_job_stop why)
{
    int none = ST_JOB_GOES_ON;
    if (why != ST_JOB_GOES_ON)
        (void)atomic_compare_exchange_strong(&job->stop, &none, (int)why);
    return (enum st_job_stop)atomic_load(&job->stop);
}

/* The dispatcher writes the figures to the database and finds out whether the lease holds: this costs next to nothing.
 */
int st_progress(struct st_call *call, int64_t done, int64_t total)
{
    struct st_leased_job *job = call->p->job;
    if (!job)
        return 0;
    atomic_store(&job->total, total);
    atomic_store(&job->done, done);
    int64_t now = st_mono();
    enum st_job_stop why = ST_JOB_GOES_ON;
    if (now > atomic_load(&job->lease_until))
        why = ST_JOB_LOST;
    else if (now > job->deadline)
        why = ST_JOB_TIMED_OUT;
    else if (atomic_load(&call->p->worker->run->stopping))
        why = ST_JOB_SHUTDOWN;
    switch (st_leased_job_stop(job, why)) {
    case ST_JOB_GOES_ON: return 0;
    case ST_JOB_LOST: return ST_E_FENCED;
    default: return ST_E_CANCELLED;
    }
}

int st_job_fence(struct st_call *call)
{
    const struct st_leased_job *job = call->p->job;
    struct st_rows *rows;
    if (!job)
        return 0;
    int r =
        st_rows(call, &rows, "select from jobs where job_id = $1 and lease_token = $2 and state = 'running' for update",
                job->id, job->token);
    if (r < 0)
        return r;
    return st_rows_count(rows) == 1 ? 0 : ST_E_FENCED;
}

/* --- the run --- */

static void call_init(struct st_call *call, struct st_leased_job *job, struct st_worker *w)
{
    json_t *meta = NULL;
    const char *why;
    st_call_init(call, w, job->kind->name);
    call->p->job = job;
    call->job = &job->pub;
    if (st_json_parse(&w->arena, job->payload, strlen(job->payload), ST_JSON_DEPTH, &call->body, &why) < 0)
        call->body = NULL;
    if (st_json_parse(&w->arena, job->metadata, strlen(job->metadata), ST_JSON_DEPTH, &meta, &why) < 0)
        return;
    call->correlation_id = st_json_str(meta, "correlationId", "");
    call->causation_id = st_json_str(meta, "causationId", "");
    call->user_id = st_json_str(meta, "userId", "");
    st_work_begin(call, ST_WORK_JOB, st_json_str(meta, "traceparent", ""));
}

static int run_body(struct st_call *call, void *ctx)
{
    struct st_leased_job *job = ctx;
    int r = job->kind->handler(call);
    if (r < 0)
        return r;
    return st_exec_one(call, ST_E_FENCED,
                       "update jobs set state = 'done', finished_at = clock_timestamp(), lease_until = null, "
                       "error = null where job_id = $1 and lease_token = $2 and state = 'running'",
                       job->id, job->token);
}

struct burial {
    struct st_leased_job *job;
    const char *error;
};

static int bury_body(struct st_call *call, void *ctx)
{
    const struct burial *b = ctx;
    int r = st_exec_one(call, ST_E_FENCED,
                        "update jobs set state = 'dead', finished_at = clock_timestamp(), lease_until = null, "
                        "error = $3 where job_id = $1 and lease_token = $2 and state = 'running'",
                        b->job->id, b->job->token, b->error);
    return r == 0 && b->job->kind->failed ? b->job->kind->failed(call) : r;
}

/* Tries until the database answers, or the row is another's anyway; but a daemon that ends does not wait for it. */
static int release(struct st_leased_job *job, struct st_worker *w, int attempts, int64_t delay_ms, const char *error)
{
    struct st_rows *rows;
    int r;
    for (int tries = 1;; tries++) {
        r = st_pg_query(w->pg, &w->arena, "select job_release($1, $2, $3, $4, $5)",
                        ST_PARAMS(job->id, job->token, st_i64(&w->arena, attempts), st_i64(&w->arena, delay_ms), error),
                        &rows);
        if (r == ST_E_UNIQUE && tries < RELEASE_TRIES)
            continue; /* an equal job was added at this moment */
        if (r != ST_E_UNAVAILABLE || st_mono() > atomic_load(&job->lease_until) || atomic_load(&w->run->stopping))
            break;
        st_sleep_ms(DATABASE_PAUSE_MS);
    }
    return r == 0 && st_streq(st_cell(rows, 0, 0), "fenced") ? ST_E_FENCED : r;
}

int st_leased_job_hand_back(struct st_leased_job *job, struct st_worker *w)
{
    return release(job, w, job->pub.attempt - 1, 0, job->last_error);
}

static void log_run(const struct st_leased_job *job, enum st_log_level level, const char *message, const char *error)
{
    st_log(level, message, ST_S("job", job->kind->name), ST_S("jobId", job->id), ST_I("attempt", job->pub.attempt),
           ST_S("key", job->pub.key), ST_S("error", error));
}

/* A dead letter. When even that fails it is tried again later: an attempt beyond the last comes straight here. */
static void bury(struct st_leased_job *job, struct st_worker *w, const char *error)
{
    struct st_call call;
    struct burial b = {job, error};
    call_init(&call, job, w);
    int r = st_call_transact(&call, bury_body, &b);
    if (r >= 0) {
        st_count(ST_N_DEAD, 1);
        log_run(job, ST_LOG_ERROR, "Job is a dead letter", error);
    } else if (r != ST_E_FENCED) {
        log_run(job, ST_LOG_ERROR, "Job could not be buried and will be tried again", st_call_error(&call, r));
        (void)release(job, w, job->pub.attempt, st_backoff_ms(job->pub.attempt), error);
    }
}

static void failed(struct st_leased_job *job, struct st_worker *w, const char *error)
{
    st_count(ST_N_JOBS_FAILED, 1);
    if (job->pub.attempt >= job->pub.max_attempts) {
        bury(job, w, error);
        return;
    }
    log_run(job, ST_LOG_WARNING, "Job failed and will be tried again", error);
    if (release(job, w, job->pub.attempt, st_backoff_ms(job->pub.attempt), error) == ST_E_FENCED)
        log_run(job, ST_LOG_WARNING, "Job is not ours any more", "");
}

static void hand_back(struct st_leased_job *job, struct st_worker *w)
{
    if (st_leased_job_hand_back(job, w) == 0)
        log_run(job, ST_LOG_INFO, "Job was handed back", "");
}

static void stopped(struct st_leased_job *job, struct st_worker *w, struct st_call *call, int err)
{
    enum st_job_stop why = st_leased_job_stop(job, ST_JOB_GOES_ON);
    if (why == ST_JOB_CANCELLED) {
        log_run(job, ST_LOG_INFO, "Job was cancelled", "");
    } else if (why == ST_JOB_LOST || err == ST_E_FENCED) {
        log_run(job, ST_LOG_WARNING, "Job is not ours any more", "");
    } else if (why == ST_JOB_SHUTDOWN && err == ST_E_CANCELLED) {
        hand_back(job, w);
    } else if (why == ST_JOB_TIMED_OUT && err == ST_E_CANCELLED) {
        failed(job, w, st_printf(&w->arena, "It took longer than %d s", job->kind->timeout_s));
    } else {
        const char *error = st_call_error(call, err);
        failed(job, w, st_storable(&w->arena, error, strlen(error), ERROR_MAX));
    }
}

void st_leased_job_run(struct st_leased_job *job, struct st_worker *w)
{
    struct st_call call;
    call_init(&call, job, w);
    st_log_context(call.correlation_id, call.user_id);
    if (atomic_load(&w->run->stopping)) {
        hand_back(job, w);
    } else if (job->pub.attempt > job->pub.max_attempts) {
        bury(job, w, job->last_error ? job->last_error : "The process that ran it ended");
    } else {
        int r = st_call_transact(&call, run_body, job);
        st_work_end(&call, r);
        if (r < 0)
            stopped(job, w, &call, r);
        else
            st_count(ST_N_JOBS_DONE, 1);
    }
    st_log_context(NULL, NULL);
    st_arena_reset(&w->arena);
}
