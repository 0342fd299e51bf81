/*
 * The job pool: a dispatcher leases jobs, as many as there are free slots, and keeps the leases alive; threads run
 * them.
 *
 * Threads are made when there is work, and end when there has been none for a while, so an idle daemon has only the
 * dispatcher. Its connection is the heartbeat: about once a second while jobs run it writes their progress, renews the
 * leases that need it, and finds out which were cancelled or taken over.
 */
#include "svc/jobs.h"

#include <limits.h>

enum {
    STACK = 1 << 20,
    BEAT_MS = 1000,
    RENEW_US = 10000000,  /* a third of the lease */
    SLOW_POLL_MS = 5000,  /* when no doorbell rings */
    EXPIRED_US = 5000000, /* how often to look for leases that have ended */
    IDLE_THREAD_S = 10,
    PRUNE_US = 600000000,
    PRUNE_FIRST_US = 60000000,
    ERROR_WAIT_FIRST_MS = 100,
    ERROR_WAIT_LAST_MS = 5000,
    OVERTIME_US = 60000000 /* a run that does not hear that it should stop loses its lease */
};

struct st_jobs {
    struct st_run *run;
    const struct st_job_kind *kinds;
    int n_kinds;
    pthread_t dispatcher;
    struct st_worker w; /* of the dispatcher */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    struct st_leased_job *leased; /* all of them */
    struct st_leased_job *queue, **queue_end;
    int *running; /* of each kind */
    int n_leased, n_queued, n_threads, n_idle;
    bool ended; /* the dispatcher is gone: threads end when they are free */

    /* the dispatcher's own */
    int64_t next_beat, next_expired, next_prune;
    int told;
};

static int kind_index(const struct st_jobs *jobs, const struct st_leased_job *job)
{
    return (int)(job->kind - jobs->kinds);
}

/* --- threads --- */

static void remove_locked(struct st_jobs *jobs, struct st_leased_job *job)
{
    *(job->prev ? &job->prev->next : &jobs->leased) = job->next;
    if (job->next)
        job->next->prev = job->prev;
    jobs->running[kind_index(jobs, job)]--;
    jobs->n_leased--;
    pthread_cond_broadcast(&jobs->changed);
}

static void job_free(struct st_leased_job *job)
{
    st_arena_release(&job->arena);
    free(job);
}

/* The next job, or NULL when there was none for a while, or there will be no more. */
static struct st_leased_job *take_queued_locked(struct st_jobs *jobs)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += IDLE_THREAD_S;
    jobs->n_idle++;
    while (!jobs->queue && !jobs->ended)
        if (pthread_cond_timedwait(&jobs->changed, &jobs->lock, &until))
            break;
    jobs->n_idle--;
    struct st_leased_job *job = jobs->ended ? NULL : jobs->queue;
    if (job) {
        jobs->queue = job->next_queued;
        if (!jobs->queue)
            jobs->queue_end = &jobs->queue;
        jobs->n_queued--;
        job->deadline = st_mono() + (int64_t)job->kind->timeout_s * ST_SECOND;
    }
    return job;
}

static void *thread_main(void *ctx)
{
    struct st_jobs *jobs = ctx;
    struct st_worker w;
    st_worker_init(&w, jobs->run, "job");
    pthread_mutex_lock(&jobs->lock);
    for (struct st_leased_job *job; (job = take_queued_locked(jobs));) {
        pthread_mutex_unlock(&jobs->lock);
        st_leased_job_run(job, &w);
        pthread_mutex_lock(&jobs->lock);
        remove_locked(jobs, job);
        job_free(job);
        st_bell_ring(&jobs->run->jobs_bell);
    }
    jobs->n_threads--;
    pthread_cond_broadcast(&jobs->changed);
    pthread_mutex_unlock(&jobs->lock);
    st_worker_release(&w);
    return NULL;
}

static bool start_thread_locked(struct st_jobs *jobs)
{
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    bool started = pthread_create(&thread, &attr, thread_main, jobs) == 0;
    pthread_attr_destroy(&attr);
    jobs->n_threads += started;
    return started;
}

/* --- taking --- */

/* $1: [{name, slots}]. */
#define TAKE(which)                                                                                                    \
    "with picked as materialized (select t.job_id from jsonb_to_recordset($1::jsonb) as k(name text, slots int), "     \
    "lateral (select j.job_id from jobs j where j.name = k.name and " which                                            \
    " limit k.slots for update of j skip locked) t) "                                                                  \
    "update jobs j set state = 'running', attempts = j.attempts + 1, lease_token = gen_random_uuid(), "                \
    "lease_until = clock_timestamp() + interval '30 seconds', progress_done = null, progress_total = null "            \
    "from picked p where j.job_id = p.job_id "                                                                         \
    "returning j.job_id, j.name, j.unique_key, j.attempts, j.lease_token, j.payload, j.metadata, j.error"
_Static_assert(ST_JOB_LEASE_S == 30, "the lease in the statements");

static const char sql_take_waiting[] =
    TAKE("j.state = 'waiting' and j.run_at <= clock_timestamp() and not exists (select from jobs o "
         "where o.name = j.name and o.unique_key = j.unique_key and o.state = 'running') "
         "order by j.priority desc, j.run_at, j.job_id");
static const char sql_take_expired[] =
    TAKE("j.state = 'running' and j.lease_until < clock_timestamp() order by j.lease_until");

/* Free slots of each kind as JSON; NULL when there are none. */
static const char *free_slots(struct st_jobs *jobs)
{
    struct st_arena *a = &jobs->w.arena;
    json_t *list = st_json_keep(a, json_array());
    pthread_mutex_lock(&jobs->lock);
    for (int k = 0; k < jobs->n_kinds; k++) {
        int slots = jobs->kinds[k].concurrency - jobs->running[k];
        if (slots > 0)
            json_array_append_new(list, json_pack("{s:s, s:i}", "name", jobs->kinds[k].name, "slots", slots));
    }
    pthread_mutex_unlock(&jobs->lock);
    return json_array_size(list) ? st_json_text(a, list) : NULL;
}

static struct st_leased_job *job_new(struct st_jobs *jobs, const struct st_rows *rows, int i, int64_t lease_until)
{
    struct st_leased_job *job = calloc(1, sizeof(*job));
    if (!job)
        abort();
    struct st_arena *a = &job->arena;
    job->kind = jobs->kinds;
    while (!st_streq(job->kind->name, st_cell(rows, i, 1)))
        job->kind++; /* the names that were asked for */
    job->pub = (struct st_job){
        .id = st_cell_int(rows, i, 0),
        .attempt = (int)st_cell_int(rows, i, 3),
        .max_attempts = job->kind->attempts,
        .key = st_strdup(a, st_cell(rows, i, 2)),
    };
    job->id = st_strdup(a, st_cell(rows, i, 0));
    job->token = st_strdup(a, st_cell(rows, i, 4));
    job->payload = st_strdup(a, st_cell(rows, i, 5));
    job->metadata = st_strdup(a, st_cell(rows, i, 6));
    job->last_error = st_strdup(a, st_cell(rows, i, 7));
    job->written_at = st_mono();
    job->written_done = -1;
    atomic_store(&job->lease_until, lease_until);
    atomic_store(&job->total, -1);
    return job;
}

/* Puts it on the queue; false when there is no thread to run it. */
static bool enqueue_locked(struct st_jobs *jobs, struct st_leased_job *job)
{
    if (jobs->n_idle <= jobs->n_queued && !start_thread_locked(jobs) && jobs->n_threads == 0)
        return false;
    job->next = jobs->leased;
    if (job->next)
        job->next->prev = job;
    jobs->leased = job;
    *jobs->queue_end = job;
    jobs->queue_end = &job->next_queued;
    jobs->n_queued++;
    jobs->n_leased++;
    jobs->running[kind_index(jobs, job)]++;
    pthread_cond_broadcast(&jobs->changed);
    return true;
}

static int take(struct st_jobs *jobs, const char *sql)
{
    struct st_rows *rows;
    const char *slots = free_slots(jobs);
    int64_t lease_until = st_mono() + (int64_t)ST_JOB_LEASE_S * ST_SECOND;
    if (!slots)
        return 0;
    int r = st_pg_query(jobs->w.pg, &jobs->w.arena, sql, ST_PARAMS(slots), &rows);
    for (int i = 0; r == 0 && i < st_rows_count(rows); i++) {
        struct st_leased_job *job = job_new(jobs, rows, i, lease_until);
        pthread_mutex_lock(&jobs->lock);
        bool queued = enqueue_locked(jobs, job);
        pthread_mutex_unlock(&jobs->lock);
        if (!queued) {
            r = st_leased_job_hand_back(job, &jobs->w);
            job_free(job);
        }
    }
    return r;
}

/* How long until the next waiting job is due. */
static int next_due(struct st_jobs *jobs, int *ret_ms)
{
    struct st_rows *rows;
    int r = st_pg_query(jobs->w.pg, &jobs->w.arena,
                        "select ceil(extract(epoch from run_at - clock_timestamp()) * 1000)::bigint from jobs "
                        "where state = 'waiting' and run_at > clock_timestamp() order by run_at limit 1",
                        ST_PARAMS(), &rows);
    if (r < 0)
        return r;
    int64_t ms = st_rows_count(rows) ? st_cell_int(rows, 0, 0) : SLOW_POLL_MS;
    *ret_ms = ms < 1 ? 1 : ms < SLOW_POLL_MS ? (int)ms : SLOW_POLL_MS;
    return 0;
}

static int prune(struct st_jobs *jobs)
{
    struct st_rows *rows;
    jobs->next_prune = st_mono() + PRUNE_US;
    return st_pg_query(
        jobs->w.pg, &jobs->w.arena,
        "delete from jobs where state in ('done', 'cancelled') and finished_at < now() - interval '1 day'", ST_PARAMS(),
        &rows);
}

/* Looks for work; *ret_wait_ms: how long there will be none. */
static int dispatch(struct st_jobs *jobs, int *ret_wait_ms)
{
    int r = 0;
    if (st_mono() >= jobs->next_expired) {
        if ((r = take(jobs, sql_take_expired)) < 0)
            return r;
        jobs->next_expired = st_mono() + EXPIRED_US;
    }
    if ((r = take(jobs, sql_take_waiting)) < 0 || (r = next_due(jobs, ret_wait_ms)) < 0)
        return r;
    return st_mono() >= jobs->next_prune ? prune(jobs) : 0;
}

/* --- heartbeat --- */

/* All leases, and those of them that have something to write, as JSON for the database. */
static void describe_leases(struct st_jobs *jobs, json_t *all, json_t *dirty, int64_t now)
{
    pthread_mutex_lock(&jobs->lock);
    for (struct st_leased_job *job = jobs->leased; job; job = job->next) {
        int64_t done = atomic_load(&job->done), total = atomic_load(&job->total);
        json_t *item = json_pack("{s:I, s:s}", "id", (json_int_t)job->pub.id, "token", job->token);
        json_array_append_new(all, item);
        bool overtime = job->deadline && now > job->deadline + OVERTIME_US;
        if (overtime || (now < job->written_at + RENEW_US && (total < 0 || done == job->written_done)))
            continue;
        if (total >= 0) {
            json_object_set_new(item, "done", json_integer(done));
            json_object_set_new(item, "total", json_integer(total));
        }
        json_array_append(dirty, item);
        job->written_done = done;
    }
    pthread_mutex_unlock(&jobs->lock);
}

/* states: rows (token, state); renewed: these are the answers to a renewal at `now`. */
static void apply_states(struct st_jobs *jobs, const struct st_rows *states, bool renewed, int64_t now)
{
    pthread_mutex_lock(&jobs->lock);
    for (int i = 0; i < st_rows_count(states); i++) {
        const char *state = st_cell(states, i, 1);
        struct st_leased_job *job = jobs->leased;
        while (job && !st_streq(job->token, st_cell(states, i, 0)))
            job = job->next;
        if (!job)
            continue;
        if (st_streq(state, "cancelled")) {
            (void)st_leased_job_stop(job, ST_JOB_CANCELLED);
        } else if (!st_streq(state, "running")) {
            (void)st_leased_job_stop(job, ST_JOB_LOST);
        } else if (renewed) {
            job->written_at = now;
            atomic_store(&job->lease_until, now + (int64_t)ST_JOB_LEASE_S * ST_SECOND);
        }
    }
    pthread_mutex_unlock(&jobs->lock);
}

static int beat(struct st_jobs *jobs)
{
    struct st_arena *a = &jobs->w.arena;
    struct st_rows *rows;
    int64_t now = st_mono();
    json_t *all = st_json_keep(a, json_array()), *dirty = st_json_keep(a, json_array());
    if (now < jobs->next_beat)
        return 0;
    jobs->next_beat = now + BEAT_MS * 1000;
    describe_leases(jobs, all, dirty, now);
    if (json_array_size(dirty)) {
        int r = st_pg_query(jobs->w.pg, a,
                            "update jobs j set lease_until = clock_timestamp() + interval '30 seconds', "
                            "progress_done = coalesce(b.done, j.progress_done), "
                            "progress_total = coalesce(b.total, j.progress_total) "
                            "from jsonb_to_recordset($1::jsonb) as b(id bigint, token uuid, done bigint, total bigint) "
                            "where j.job_id = b.id and j.lease_token = b.token and j.state = 'running' "
                            "returning j.lease_token, j.state",
                            ST_PARAMS(st_json_text(a, dirty)), &rows);
        if (r < 0)
            return r;
        apply_states(jobs, rows, true, now);
    }
    int r = st_pg_query(jobs->w.pg, a,
                        "select b.token, coalesce(j.state, 'lost') from jsonb_to_recordset($1::jsonb) "
                        "as b(id bigint, token uuid) left join jobs j on j.job_id = b.id and j.lease_token = b.token",
                        ST_PARAMS(st_json_text(a, all)), &rows);
    if (r == 0)
        apply_states(jobs, rows, false, now);
    return r;
}

/* --- the dispatcher --- */

static int count_leased(struct st_jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    int n = jobs->n_leased;
    pthread_mutex_unlock(&jobs->lock);
    return n;
}

static void tell(struct st_jobs *jobs, int r)
{
    if (r == jobs->told)
        return;
    jobs->told = r;
    if (r == 0)
        st_log(ST_LOG_INFO, "The job dispatcher works again");
    else
        st_log(ST_LOG_WARNING, "The job dispatcher waits", ST_S("error", st_err_code(r)),
               ST_S("database", st_pg_error(jobs->w.pg)));
}

static bool has_ended(struct st_jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    bool ended = jobs->ended;
    pthread_mutex_unlock(&jobs->lock);
    return ended;
}

/* Until st_jobs_stop ends it; while stopping it takes nothing, but keeps the leases of what still runs. */
static void *dispatcher_main(void *ctx)
{
    struct st_jobs *jobs = ctx;
    struct st_run *run = jobs->run;
    int error_wait_ms = ERROR_WAIT_FIRST_MS;
    while (!has_ended(jobs)) {
        uint64_t seen = st_bell_rings(&run->jobs_bell);
        int wait_ms = SLOW_POLL_MS;
        int r = atomic_load(&run->stopping) ? 0 : dispatch(jobs, &wait_ms);
        if (count_leased(jobs)) {
            r = r < 0 ? r : beat(jobs);
            wait_ms = wait_ms < BEAT_MS ? wait_ms : BEAT_MS;
        }
        tell(jobs, r);
        st_arena_reset(&jobs->w.arena);
        if (r < 0) {
            wait_ms = error_wait_ms;
            error_wait_ms = error_wait_ms * 2 < ERROR_WAIT_LAST_MS ? error_wait_ms * 2 : ERROR_WAIT_LAST_MS;
        } else {
            error_wait_ms = ERROR_WAIT_FIRST_MS;
        }
        st_bell_wait(&run->jobs_bell, seen, wait_ms);
    }
    return NULL;
}

/* --- start and stop --- */

int st_jobs_start(struct st_run *run)
{
    pthread_condattr_t attr;
    struct st_jobs *jobs;
    const struct st_job_kind *kinds = run->service->jobs;
    if (!kinds || !kinds->name)
        return 0;
    jobs = st_new(&run->arena, struct st_jobs);
    jobs->run = run;
    jobs->kinds = kinds;
    while (kinds[jobs->n_kinds].name)
        jobs->n_kinds++;
    jobs->running = st_new_n(&run->arena, int, (size_t)jobs->n_kinds);
    jobs->queue_end = &jobs->queue;
    jobs->next_prune = st_mono() + PRUNE_FIRST_US;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_cond_init(&jobs->changed, &attr);
    pthread_condattr_destroy(&attr);
    st_worker_init(&jobs->w, run, "jobs");
    if (pthread_create(&jobs->dispatcher, NULL, dispatcher_main, jobs))
        return ST_E_INTERNAL;
    run->jobs = jobs;
    return 0;
}

/* Waits for `count` to reach zero. */
static void wait_zero_locked(struct st_jobs *jobs, const int *count, int ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (*count)
        if (pthread_cond_timedwait(&jobs->changed, &jobs->lock, &until))
            break;
}

void st_jobs_stop(struct st_run *run, int deadline_ms)
{
    enum { THREADS_END_MS = 1000 };
    struct st_jobs *jobs = run->jobs;
    if (!jobs)
        return;
    pthread_mutex_lock(&jobs->lock);
    wait_zero_locked(jobs, &jobs->n_leased, deadline_ms);
    jobs->ended = true;
    pthread_cond_broadcast(&jobs->changed);
    pthread_mutex_unlock(&jobs->lock);
    st_bell_ring(&run->jobs_bell);
    pthread_join(jobs->dispatcher, NULL);

    pthread_mutex_lock(&jobs->lock);
    /* What does not hear goes to another process; this one can no longer commit it. */
    for (struct st_leased_job *job = jobs->leased; job; job = job->next) {
        (void)st_leased_job_stop(job, ST_JOB_LOST);
        if (st_leased_job_hand_back(job, &jobs->w) == 0)
            st_log(ST_LOG_WARNING, "Job did not stop in time and was handed back", ST_S("job", job->kind->name),
                   ST_S("jobId", job->id));
    }
    wait_zero_locked(jobs, &jobs->n_threads, THREADS_END_MS);
    pthread_mutex_unlock(&jobs->lock);
    st_worker_release(&jobs->w);
}
