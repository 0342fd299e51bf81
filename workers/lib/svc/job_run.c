/* Runs of jobs, one by one or many in a transaction: their calls, progress, outcome. */
#include "svc/jobs.h"

enum {
    ERROR_MAX = 2000,
    RELEASE_TRIES = 3,
    DATABASE_PAUSE_MS = 500,
    ENDINGS = 6,
    AWAY_MAX_MS = 24 * 3600 * 1000, /* since it was added: then what is away counts like any failure */
};

/* --- what a handler calls --- */

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

int st_job_renew(struct st_call *call, int64_t *ret_until)
{
    const struct st_leased_job *job = call->p->job;
    struct st_rows *rows;
    if (!job)
        return 0;
    int64_t lease = st_job_lease_us(job->kind);
    *ret_until = st_mono() + lease;
    int r = st_rows(call, &rows,
                    "update jobs set lease_until = clock_timestamp() + $3::int * interval '1 second' "
                    "where job_id = $1 and lease_token = $2 and ended is null returning job_id",
                    job->id, job->take->token, st_i64(call->arena, lease / ST_SECOND));
    if (r < 0)
        return r;
    return st_rows_count(rows) == 1 ? 0 : ST_E_FENCED;
}

int st_job_renewed(struct st_call *call, int64_t until)
{
    struct st_leased_job *job = call->p->job;
    if (!job)
        return 0;
    if (until)
        atomic_store(&job->lease_until, until);
    return atomic_load(&job->lease_until) - st_mono() > st_job_lease_us(job->kind) / 2 ? 0 : ST_E_FENCED;
}

/* --- the calls --- */

/* Gives a call the job's payload, and the identity of who has asked for it. */
static void call_set(struct st_call *call, struct st_leased_job *job)
{
    json_t *meta = NULL;
    const char *why, *parent = "";
    call->p->job = job;
    call->job = &job->pub;
    if (st_json_parse(call->arena, job->payload, strlen(job->payload), ST_JSON_DEPTH, &call->body, &why) < 0)
        call->body = NULL;
    if (st_json_parse(call->arena, job->metadata, strlen(job->metadata), ST_JSON_DEPTH, &meta, &why) == 0) {
        call->correlation_id = st_json_str(meta, "correlationId", "");
        call->causation_id = st_json_str(meta, "causationId", "");
        call->user_id = st_json_str(meta, "userId", "");
        parent = st_json_str(meta, "traceparent", "");
    }
    st_work_begin(call, ST_WORK_JOB, parent);
    st_log_context(call->correlation_id, call->user_id);
}

/* The ids, tokens and earlier attempts of jobs as arrays of the database. */
struct lists {
    const char *ids, *tokens, *attempts;
};
static struct lists lists_of(struct st_arena *a, struct st_leased_job *const *jobs, int n)
{
    enum { ITEM = ST_UUID_LEN + 1 };
    size_t size = (size_t)n * ITEM + 2;
    char *ids = st_alloc(a, size), *tokens = st_alloc(a, size), *attempts = st_alloc(a, size);
    size_t i_at = 0, t_at = 0, a_at = 0;
    for (int i = 0; i < n; i++) {
        char before = i ? ',' : '{';
        i_at += (size_t)snprintf(ids + i_at, size - i_at, "%c%s", before, jobs[i]->id);
        t_at += (size_t)snprintf(tokens + t_at, size - t_at, "%c%s", before, jobs[i]->take->token);
        a_at += (size_t)snprintf(attempts + a_at, size - a_at, "%c%d", before, jobs[i]->pub.attempt - 1);
    }
    ids[i_at] = tokens[t_at] = attempts[a_at] = '}';
    return (struct lists){ids, tokens, attempts};
}

/* Queued: it fails the transaction with ST_E_FENCED when a lease is not ours any more. */
static void write_done(struct st_call *call, struct st_leased_job *const *jobs, int n)
{
    struct lists l = lists_of(call->arena, jobs, n);
    st_exec(call, "select jobs_done($1::bigint[], $2::uuid[], $3)", l.ids, l.tokens, jobs[0]->kind->batch ? "f" : "t");
}

static int run_body(struct st_call *call, void *ctx)
{
    struct st_leased_job *job = ctx;
    int r = job->kind->handler(call);
    if (r >= 0)
        write_done(call, &job, 1);
    return r < 0 ? r : 0;
}

struct group {
    struct st_leased_job *const *jobs;
    struct st_call *calls; /* of each */
    int n;
};

static int group_body(struct st_call *leader, void *ctx)
{
    const struct group *g = ctx;
    for (int i = 0; i < g->n; i++) {
        struct st_call *item = &g->calls[i];
        st_call_init_within(item, leader, g->jobs[i]->kind->name);
        call_set(item, g->jobs[i]);
        int r = st_call_end_within(item, g->jobs[i]->kind->handler(item));
        if (r < 0)
            return r;
    }
    write_done(leader, g->jobs, g->n);
    return 0;
}

/* --- other ends than done --- */

struct burial {
    struct st_leased_job *job;
    const char *how, *error;
};

static int bury_body(struct st_call *call, void *ctx)
{
    const struct burial *b = ctx;
    st_exec(call, "select job_fail($1, $2, $3, $4)", b->job->id, b->job->take->token, b->how, b->error);
    return b->job->kind->failed ? b->job->kind->failed(call) : 0;
}

/* Runs a statement that gives jobs back until the database answers, or the rows are another's anyway; but a daemon that
 * ends does not wait for it. */
static int release(struct st_leased_job *const *jobs, struct st_worker *w, const char *sql, int n_params,
                   const char *const *params)
{
    struct st_rows *rows;
    int r;
    for (int tries = 1;; tries++) {
        r = st_pg_query(w->pg, &w->arena, sql, n_params, params, &rows);
        if (r == ST_E_UNIQUE && tries < RELEASE_TRIES)
            continue; /* an equal job was added at this moment */
        if (r != ST_E_UNAVAILABLE || st_mono() > atomic_load(&jobs[0]->lease_until) || atomic_load(&w->run->stopping))
            break;
        st_sleep_ms(DATABASE_PAUSE_MS);
    }
    return r == 0 && st_streq(st_cell(rows, 0, 0), "fenced") ? ST_E_FENCED : r;
}

/* attempts: that count so far. */
static int release_one(struct st_leased_job *job, struct st_worker *w, int attempts, int64_t delay_ms,
                       const char *error)
{
    struct st_arena *a = &w->arena;
    return release(&job, w, "select job_release($1, $2, $3, $4, $5)",
                   ST_PARAMS(job->id, job->take->token, st_i64(a, attempts), st_i64(a, delay_ms), error));
}

int st_leased_jobs_hand_back(struct st_leased_job *const *jobs, int n, struct st_worker *w)
{
    struct lists l = lists_of(&w->arena, jobs, n);
    return release(jobs, w,
                   "select case when count(*) filter (where r = 'ok') = 0 then 'fenced' end from (select "
                   "job_release(l.id, l.token, l.attempts, 0, null) as r "
                   "from unnest($1::bigint[], $2::uuid[], $3::int[]) as l(id, token, attempts)) as released",
                   ST_PARAMS(l.ids, l.tokens, l.attempts));
}

static void log_run(const struct st_leased_job *job, enum st_log_level level, const char *message, const char *error)
{
    st_log(level, message, ST_S("job", job->kind->name), ST_S("jobId", job->id), ST_I("attempt", job->pub.attempt),
           ST_S("key", job->pub.key), ST_S("error", error));
}

/* Ends it as dead, or as cancelled because of what it waited for. When even that fails it is tried again later: then an
 * attempt beyond the last comes straight here. */
static void bury(struct st_leased_job *job, struct st_worker *w, const char *how, const char *error)
{
    struct st_call call;
    struct burial b = {job, how, error};
    st_call_init(&call, w, job->kind->name);
    call_set(&call, job);
    int r = st_call_transact(&call, bury_body, &b);
    if (r >= 0) {
        if (job->doomed) {
            log_run(job, ST_LOG_WARNING, "Job was cancelled", error);
        } else {
            st_count(ST_N_DEAD, 1);
            log_run(job, ST_LOG_ERROR, "Job is a dead letter", error);
        }
    } else if (r != ST_E_FENCED) {
        log_run(job, ST_LOG_ERROR, "Job could not be buried and will be tried again", st_call_error(&call, r));
        (void)release_one(job, w, job->pub.attempt, st_backoff_ms(job->pub.attempt), error);
    }
}

static void failed(struct st_leased_job *job, struct st_worker *w, const char *error)
{
    st_count(ST_N_JOBS_FAILED, 1);
    if (job->pub.attempt >= job->pub.max_attempts) {
        bury(job, w, "dead", error);
        return;
    }
    log_run(job, ST_LOG_WARNING, "Job failed and will be tried again", error);
    if (release_one(job, w, job->pub.attempt, st_backoff_ms(job->pub.attempt), error) == ST_E_FENCED)
        log_run(job, ST_LOG_WARNING, "Job is not ours any more", "");
}

/* Since it was added; -1 when the database does not say. */
static int64_t age_ms(const struct st_leased_job *job, struct st_worker *w)
{
    struct st_rows *rows;
    int r = st_pg_query(w->pg, &w->arena,
                        "select (extract(epoch from clock_timestamp() - created_at) * 1000)::bigint from jobs "
                        "where job_id = $1",
                        ST_PARAMS(job->id), &rows);
    return r == 0 && st_rows_count(rows) ? st_cell_int(rows, 0, 0) : -1;
}

/* What it needs is away. Its row has an error now (is_spent), and so attempts are left whatever ended others. */
static void put_off(struct st_leased_job *job, struct st_worker *w, const char *error)
{
    int64_t age = age_ms(job, w);
    int counted = job->pub.attempt < job->pub.max_attempts ? job->pub.attempt : job->pub.max_attempts;
    if (age >= AWAY_MAX_MS) {
        failed(job, w, error);
        return;
    }
    st_count(ST_N_JOBS_FAILED, 1);
    log_run(job, ST_LOG_WARNING, "Job waits for what is away", error);
    if (release_one(job, w, counted - 1, st_backoff_since_ms(age), error) == ST_E_FENCED)
        log_run(job, ST_LOG_WARNING, "Job is not ours any more", "");
}

static void hand_back(struct st_leased_job *const *jobs, int n, struct st_worker *w)
{
    if (st_leased_jobs_hand_back(jobs, n, w) == 0)
        for (int i = 0; i < n; i++)
            log_run(jobs[i], ST_LOG_INFO, "Job was handed back", "");
    st_arena_reset(&w->arena);
}

static void stopped(struct st_leased_job *job, struct st_worker *w, struct st_call *call, int err)
{
    enum st_job_stop why = st_leased_job_stop(job, ST_JOB_GOES_ON);
    if (why == ST_JOB_CANCELLED) {
        log_run(job, ST_LOG_INFO, "Job was cancelled", "");
    } else if (why == ST_JOB_LOST || err == ST_E_FENCED) {
        log_run(job, ST_LOG_WARNING, "Job is not ours any more", "");
    } else if ((why == ST_JOB_SHUTDOWN && err == ST_E_CANCELLED) || call->p->away) {
        hand_back(&job, 1, w); /* the job has not failed */
    } else if (why == ST_JOB_TIMED_OUT && err == ST_E_CANCELLED) {
        failed(job, w, st_printf(&w->arena, "It took longer than %d s", job->kind->timeout_s));
    } else {
        const char *error = st_call_error(call, err);
        error = st_storable(&w->arena, error, strlen(error), ERROR_MAX);
        if (call->p->lacks && err == ST_E_UNAVAILABLE)
            put_off(job, w, error);
        else
            failed(job, w, error);
    }
}

/* --- the runs --- */

/*
 * No attempt is left. One that never failed by itself was only in the hands of processes that ended, most often for
 * another reason: it gets some more before it counts as what ends them.
 */
static bool is_spent(const struct st_leased_job *job)
{
    return job->pub.attempt > job->pub.max_attempts + (job->last_error ? 0 : ENDINGS);
}

static bool run_one(struct st_leased_job *job, struct st_worker *w)
{
    struct st_call call;
    int r;
    st_call_init(&call, w, job->kind->name);
    call_set(&call, job);
    if (job->doomed) {
        bury(job, w, "cancelled", job->doomed);
    } else if (is_spent(job)) {
        bury(job, w, "dead", job->last_error ? job->last_error : "The process that ran it ended");
    } else {
        r = st_call_transact(&call, run_body, job);
        st_work_end(&call, r);
        if (r < 0)
            stopped(job, w, &call, r);
        else
            st_count(ST_N_JOBS_DONE, 1);
        return r >= 0;
    }
    return false;
}

static bool run_some(struct st_leased_job *const *jobs, int n, struct st_worker *w);

/* Many in one transaction; when that fails, its halves, down to the one that fails. */
static bool run_group(struct st_leased_job *const *jobs, int n, struct st_worker *w)
{
    struct st_call leader;
    struct group g = {jobs, st_new_n(&w->arena, struct st_call, (size_t)n), n};
    st_call_init(&leader, w, jobs[0]->kind->name);
    int r = st_call_transact(&leader, group_body, &g);
    for (int i = 0; i < n && r >= 0; i++)
        st_work_end(&g.calls[i], 0);
    bool away = leader.p->away;
    st_log_context(NULL, NULL);
    st_arena_reset(&w->arena);
    if (r >= 0) {
        st_count(ST_N_JOBS_DONE, n);
        return true;
    }
    if (away) { /* none of them is to blame */
        hand_back(jobs, n, w);
        return false;
    }
    bool first = run_some(jobs, n / 2, w), second = run_some(jobs + n / 2, n - n / 2, w);
    return first && second;
}

static bool run_some(struct st_leased_job *const *jobs, int n, struct st_worker *w)
{
    if (atomic_load(&w->run->stopping)) {
        hand_back(jobs, n, w);
        return false;
    }
    if (n > 1)
        return run_group(jobs, n, w);
    bool done = run_one(jobs[0], w);
    st_log_context(NULL, NULL);
    st_arena_reset(&w->arena);
    return done;
}

static void shuffle(struct st_leased_job **jobs, int n)
{
    for (int i = n - 1; i > 0; i--) {
        uint32_t chance;
        st_random(&chance, sizeof(chance));
        int j = (int)(chance % (uint32_t)(i + 1));
        struct st_leased_job *other = jobs[j];
        jobs[j] = jobs[i];
        jobs[i] = other;
    }
}

/*
 * Those that were tried before run alone, behind the others, and in an order of chance: one of them may be what ends
 * the process or the connection, and must not take the same ones with it each time.
 */
bool st_leased_jobs_run(struct st_leased_job *const *jobs, int n, struct st_worker *w)
{
    struct st_leased_job *usual[ST_JOB_BATCH_MAX], *tried[ST_JOB_BATCH_MAX];
    int n_usual = 0, n_tried = 0;
    bool done = true;
    for (int i = 0; i < n; i++)
        if (jobs[i]->doomed || jobs[i]->pub.attempt > 1)
            tried[n_tried++] = jobs[i];
        else
            usual[n_usual++] = jobs[i];
    if (n_usual)
        done = run_some(usual, n_usual, w);
    shuffle(tried, n_tried);
    for (int i = 0; i < n_tried; i++)
        done = run_some(&tried[i], 1, w) && done;
    return done;
}
