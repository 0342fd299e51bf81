/*
 * The job pool: a dispatcher leases jobs, as many as there is room for, and keeps the leases alive; threads run them.
 *
 * A job that is added in this process while there is room for it is committed as leased already, and a thread begins
 * with it as soon as it is committed; the dispatcher finds all others.
 *
 * Threads are made when there is work, and end when there has been none for a while, so an idle daemon has only the
 * dispatcher. Its connection is the heartbeat: about once a second while jobs run.
 *
 * A kind without batch has room for as many jobs as may run. One with batch has room for two groups for each that may
 * run, and is filled up when half of it is free, so that the threads do not wait for the dispatcher, nor the other way
 * round.
 */
#include "svc/jobs.h"

#include "svc/bus.h"

enum {
    STACK = 1 << 20,
    BEAT_MS = 1000,
    SLOW_POLL_MS = 4000, /* when no doorbell rings; leases of a daemon that died are found by it */
    TAKE_MAX = 1000,     /* of a kind at a time */
    IDLE_THREAD_S = 10,
    PRUNE_US = 600000000,
    PRUNE_FIRST_US = 60000000,
    PRUNE_ROWS = 10000,
    ERROR_WAIT_FIRST_MS = 100,
    ERROR_WAIT_LAST_MS = 5000,
    FORWARD_POLL_MS = 60000
};

/* A kind, and what of it is here. */
struct kind {
    const struct st_job_kind *kind;
    struct st_leased_job *queue, **queue_end;
    int n_queued, n_leased;
    int runs;   /* of which each has up to batch jobs */
    bool more;  /* the last take found as many as it was asked for: look again when there is room */
    bool freed; /* one that counts over all daemons has ended here, and no take has come behind it */
};

struct st_jobs {
    struct st_run *run;
    pthread_t dispatcher;
    struct st_worker w; /* of the dispatcher */
    struct st_bus *bus; /* likewise */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t work, changed;
    struct st_leased_job *leased; /* all of them */
    struct kind *kinds;
    int n_kinds, next_kind; /* whose turn it is */
    int n_leased, n_threads, n_idle;
    bool blocked; /* jobs wait for others: look again after each end */
    bool ended;   /* the dispatcher is gone: threads end when they are free */

    /* the dispatcher's own */
    int64_t next_beat, next_prune;
    int told;
};

static int batch_of(const struct st_job_kind *kind)
{
    return kind->batch < 1 ? 1 : kind->batch < ST_JOB_BATCH_MAX ? kind->batch : ST_JOB_BATCH_MAX;
}

/* --- threads --- */

/* The next jobs to run together; 0 when there are none. */
static int pop_locked(struct st_jobs *jobs, struct st_leased_job **ret)
{
    struct kind *k = NULL;
    int n = 0;
    for (int i = 0; i < jobs->n_kinds && !k; i++) {
        struct kind *next = &jobs->kinds[(jobs->next_kind + i) % jobs->n_kinds];
        if (next->queue && next->runs < next->kind->concurrency)
            k = next;
    }
    if (!k)
        return 0;
    jobs->next_kind = (int)(k - jobs->kinds) + 1;
    int64_t deadline = st_mono() + (int64_t)k->kind->timeout_s * ST_SECOND;
    for (int max = batch_of(k->kind); n < max && k->queue; n++) {
        ret[n] = k->queue;
        ret[n]->deadline = deadline;
        k->queue = k->queue->next_queued;
    }
    if (!k->queue)
        k->queue_end = &k->queue;
    k->n_queued -= n;
    k->runs++;
    return n;
}

/* Waits for jobs; 0 when there were none for a while, or there will be no more. */
static int take_queued_locked(struct st_jobs *jobs, struct st_leased_job **ret)
{
    struct timespec until;
    int n;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += IDLE_THREAD_S;
    jobs->n_idle++;
    while (!jobs->ended && !(n = pop_locked(jobs, ret)))
        if (pthread_cond_timedwait(&jobs->work, &jobs->lock, &until)) {
            n = jobs->ended ? 0 : pop_locked(jobs, ret);
            break;
        }
    jobs->n_idle--;
    return jobs->ended ? 0 : n;
}

static void remove_locked(struct st_jobs *jobs, struct st_leased_job *job)
{
    struct kind *k = &jobs->kinds[job->kind - jobs->run->service->jobs];
    struct st_job_take *take = job->take;
    *(job->prev ? &job->prev->next : &jobs->leased) = job->next;
    if (job->next)
        job->next->prev = job->prev;
    k->n_leased--;
    jobs->n_leased--;
    if (--take->left == 0) {
        struct st_arena arena = take->arena; /* it holds the take, too */
        st_arena_release(&arena);
    }
}

/* Ends a run. Gives whether that may have made another job ready. */
static bool run_ended_locked(struct st_jobs *jobs, struct st_leased_job **list, int n, bool done)
{
    struct kind *k = &jobs->kinds[list[0]->kind - jobs->run->service->jobs];
    bool look = !done || k->more || jobs->blocked || k->kind->everywhere;
    for (int i = 0; i < n; i++) {
        look |= list[i]->pub.key != NULL;
        remove_locked(jobs, list[i]);
    }
    k->runs--;
    k->freed |= k->kind->everywhere > 0;
    if (jobs->n_leased == 0)
        pthread_cond_broadcast(&jobs->changed);
    return look;
}

static void *thread_main(void *ctx)
{
    struct st_jobs *jobs = ctx;
    struct st_leased_job *list[ST_JOB_BATCH_MAX];
    struct st_worker w;
    st_worker_init(&w, jobs->run, "job");
    pthread_mutex_lock(&jobs->lock);
    for (int n; (n = take_queued_locked(jobs, list));) {
        pthread_mutex_unlock(&jobs->lock);
        bool done = st_leased_jobs_run(list, n, &w);
        pthread_mutex_lock(&jobs->lock);
        if (run_ended_locked(jobs, list, n, done))
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

/* Wakes, or makes, a thread for each run that can begin; false when there is none at all. */
static bool wake_threads_locked(struct st_jobs *jobs)
{
    int runs = 0;
    for (int i = 0; i < jobs->n_kinds; i++) {
        const struct kind *k = &jobs->kinds[i];
        int groups = (k->n_queued + batch_of(k->kind) - 1) / batch_of(k->kind), room = k->kind->concurrency - k->runs;
        runs += groups < room ? groups : room;
    }
    for (int i = 0; i < runs; i++)
        if (i < jobs->n_idle)
            pthread_cond_signal(&jobs->work);
        else if (!start_thread_locked(jobs))
            break;
    return jobs->n_threads > 0;
}

/* --- taking --- */

/* How many jobs of a kind to ask for. */
static int room_locked(const struct kind *k)
{
    int batch = batch_of(k->kind), all = k->kind->concurrency * (k->kind->batch ? 2 * batch : 1);
    int room = all - k->n_leased;
    if (k->kind->batch && k->n_leased && room * 2 < all)
        return 0;
    return room < TAKE_MAX ? room : TAKE_MAX;
}

/* What there is room for, as the database reads it; NULL when there is none. */
static const char *describe_room(struct st_jobs *jobs, int *room)
{
    struct st_arena *a = &jobs->w.arena;
    json_t *list = st_json_keep(a, json_array());
    pthread_mutex_lock(&jobs->lock);
    for (int i = 0; i < jobs->n_kinds; i++) {
        const struct st_job_kind *kind = jobs->kinds[i].kind;
        room[i] = room_locked(&jobs->kinds[i]);
        if (room[i] > 0)
            json_array_append_new(list, json_pack("{s:s, s:i, s:I, s:i, s:i, s:i}", "name", kind->name, "slots",
                                                  room[i], "lease_s", (json_int_t)(st_job_lease_us(kind) / ST_SECOND),
                                                  "everywhere", kind->everywhere, "rate", kind->rate, "rate_s",
                                                  kind->rate_per_s ? kind->rate_per_s : 1));
    }
    pthread_mutex_unlock(&jobs->lock);
    return json_array_size(list) ? st_json_text(a, list) : NULL;
}

/* A lease begins. */
static void lease_set(struct st_leased_job *job, const struct st_job_kind *kind, struct st_job_take *take, int64_t now)
{
    job->kind = kind;
    job->take = take;
    job->written_at = now;
    job->written_done = -1;
    job->beat = -1;
    atomic_store(&job->lease_until, now + st_job_lease_us(kind));
    atomic_store(&job->total, -1);
}

static void job_set(struct st_leased_job *job, const struct st_jobs *jobs, struct st_job_take *take,
                    const struct st_rows *rows, int i, int64_t now)
{
    const struct st_job_kind *kind = jobs->run->service->jobs;
    while (!st_streq(kind->name, st_cell(rows, i, 1)))
        kind++; /* the names that were asked for */
    lease_set(job, kind, take, now);
    job->pub = (struct st_job){
        .id = st_cell_int(rows, i, 0),
        .attempt = (int)st_cell_int(rows, i, 3),
        .max_attempts = job->kind->attempts,
        .key = st_cell(rows, i, 2),
    };
    job->id = st_cell(rows, i, 0);
    job->payload = st_cell(rows, i, 4);
    job->metadata = st_cell(rows, i, 5);
    job->last_error = st_cell(rows, i, 6);
    job->doomed = st_cell(rows, i, 7);
}

static void add_locked(struct st_jobs *jobs, struct st_leased_job *job)
{
    struct kind *k = &jobs->kinds[job->kind - jobs->run->service->jobs];
    job->next = jobs->leased;
    if (job->next)
        job->next->prev = job;
    jobs->leased = job;
    *k->queue_end = job;
    k->queue_end = &job->next_queued;
    k->n_queued++;
    k->n_leased++;
    jobs->n_leased++;
}

/* Nobody can run them: their leases end, and another daemon, or a later turn, takes them. */
static void drop_queue_locked(struct st_jobs *jobs)
{
    for (int i = 0; i < jobs->n_kinds; i++) {
        struct kind *k = &jobs->kinds[i];
        for (struct st_leased_job *job; (job = k->queue);) {
            k->queue = job->next_queued;
            remove_locked(jobs, job);
        }
        k->queue_end = &k->queue;
        k->n_queued = 0;
    }
}

/* *ret_more: there may be more that is ready now. */
static int take(struct st_jobs *jobs, const char *kinds, const int *room, bool *ret_more)
{
    struct st_arena arena = {0};
    struct st_job_take *take = st_new(&arena, struct st_job_take);
    struct st_rows *rows;
    int64_t now = st_mono();
    *ret_more = false;
    int r = st_pg_query(jobs->w.pg, &arena,
                        "select job_id, name, unique_key, attempts, payload, metadata, error, doomed "
                        "from jobs_take($1, $2)",
                        ST_PARAMS(kinds, st_uuid(take->token)), &rows);
    int n = r == 0 ? st_rows_count(rows) : 0;
    struct st_leased_job *list = st_new_n(&arena, struct st_leased_job, (size_t)n);
    for (int i = 0; i < n; i++)
        job_set(&list[i], jobs, take, rows, i, now);
    take->left = n;
    take->arena = arena;
    pthread_mutex_lock(&jobs->lock);
    for (int i = 0; i < n; i++)
        add_locked(jobs, &list[i]);
    for (int i = 0; i < jobs->n_kinds && r == 0; i++)
        if (room[i] > 0) {
            int got = 0;
            for (int j = 0; j < n; j++)
                got += list[j].kind == jobs->kinds[i].kind;
            jobs->kinds[i].more = got >= room[i];
            *ret_more |= jobs->kinds[i].more;
        }
    if (n && !wake_threads_locked(jobs))
        drop_queue_locked(jobs);
    pthread_mutex_unlock(&jobs->lock);
    if (n == 0)
        st_arena_release(&arena);
    return r;
}

/* --- jobs that begin where they are added --- */

static bool has_place_locked(const struct kind *k)
{
    return !k->more && !k->kind->everywhere && !k->kind->rate &&
           k->n_leased < (k->kind->batch ? 1 : k->kind->concurrency); /* groups form only behind a job that runs */
}

struct st_leased_job *st_jobs_reserve(struct st_run *run, const char *name)
{
    struct st_jobs *jobs = run->jobs;
    struct kind *k = jobs ? jobs->kinds : NULL;
    if (!jobs || atomic_load(&run->stopping))
        return NULL;
    while (!st_streq(k->kind->name, name))
        k++;
    pthread_mutex_lock(&jobs->lock);
    bool has_place = has_place_locked(k);
    if (has_place) {
        k->n_leased++;
        jobs->n_leased++;
        k->more = k->n_leased == k->kind->concurrency; /* nobody looks for what is added behind it before it ends */
    }
    pthread_mutex_unlock(&jobs->lock);
    if (!has_place)
        return NULL;
    struct st_arena arena = {0};
    struct st_job_take *take = st_new(&arena, struct st_job_take);
    struct st_leased_job *job = st_new(&arena, struct st_leased_job);
    st_uuid(take->token);
    lease_set(job, k->kind, take, st_mono());
    take->left = 1;
    take->arena = arena;
    return job;
}

void st_jobs_begin(struct st_run *run, struct st_leased_job *job)
{
    struct st_jobs *jobs = run->jobs;
    pthread_mutex_lock(&jobs->lock);
    jobs->kinds[job->kind - run->service->jobs].n_leased--;
    jobs->n_leased--;
    add_locked(jobs, job);
    if (!wake_threads_locked(jobs))
        drop_queue_locked(jobs);
    pthread_mutex_unlock(&jobs->lock);
}

void st_jobs_release(struct st_run *run, struct st_leased_job *job)
{
    struct st_jobs *jobs = run->jobs;
    struct st_arena arena = job->take->arena; /* it holds the job, too */
    pthread_mutex_lock(&jobs->lock);
    jobs->kinds[job->kind - run->service->jobs].n_leased--;
    if (--jobs->n_leased == 0)
        pthread_cond_broadcast(&jobs->changed);
    pthread_mutex_unlock(&jobs->lock);
    st_arena_release(&arena);
    st_bell_ring(&run->jobs_bell); /* who was added meanwhile may have found no room */
}

/* --- when to look again --- */

/* How long nothing will be ready unless a bell rings. */
static int next_due(struct st_jobs *jobs, const char *kinds, int *ret_ms)
{
    struct st_rows *rows;
    int r =
        st_pg_query(jobs->w.pg, &jobs->w.arena, "select wait_ms, blocked from jobs_next($1)", ST_PARAMS(kinds), &rows);
    if (r < 0)
        return r;
    int64_t ms = st_cell(rows, 0, 0) ? st_cell_int(rows, 0, 0) : SLOW_POLL_MS;
    *ret_ms = ms < 1 ? 1 : ms < SLOW_POLL_MS ? (int)ms : SLOW_POLL_MS;
    pthread_mutex_lock(&jobs->lock);
    jobs->blocked = st_streq(st_cell(rows, 0, 1), "t");
    pthread_mutex_unlock(&jobs->lock);
    return 0;
}

/* What there is room for here is taken here; other daemons hear of the slots that are left. room: of each kind, NULL:
 * there is none. */
static void tell_of_free_slots(struct st_jobs *jobs, const int *room)
{
    bool others = false;
    pthread_mutex_lock(&jobs->lock);
    for (int i = 0; i < jobs->n_kinds; i++) {
        others |= jobs->kinds[i].freed && (!room || room[i] <= 0);
        jobs->kinds[i].freed = false;
    }
    pthread_mutex_unlock(&jobs->lock);
    if (others) /* a ring that is lost costs them a slow poll */
        (void)jobs->bus->ops->ring(jobs->bus, &jobs->w.arena,
                                   st_printf(&jobs->w.arena, "jobs:%s", jobs->run->service->name));
}

/* What is over and done with for a day goes, some rows at a time. */
static int prune(struct st_jobs *jobs)
{
    struct st_rows *rows;
    int r =
        st_pg_query(jobs->w.pg, &jobs->w.arena,
                    "delete from jobs where job_id in (select job_id from jobs where ended in ('done', 'cancelled') "
                    "and finished_at < now() - interval '1 day' order by finished_at limit $1)",
                    ST_PARAMS(st_i64(&jobs->w.arena, PRUNE_ROWS)), &rows);
    if (r == 0 && st_rows_affected(rows) < PRUNE_ROWS)
        jobs->next_prune = st_mono() + PRUNE_US;
    return r;
}

/* Looks for work; *ret_wait_ms: how long there will be none. */
static int dispatch(struct st_jobs *jobs, int *ret_wait_ms)
{
    int *room = st_new_n(&jobs->w.arena, int, (size_t)jobs->n_kinds);
    const char *kinds = describe_room(jobs, room);
    bool more;
    tell_of_free_slots(jobs, room);
    if (kinds) {
        int r = take(jobs, kinds, room, &more);
        if (r < 0 || (r = more ? 0 : next_due(jobs, kinds, ret_wait_ms)) < 0)
            return r;
    }
    return st_mono() >= jobs->next_prune ? prune(jobs) : 0;
}

/* --- the dispatcher --- */

static int count_leased(struct st_jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    int n = jobs->n_leased;
    pthread_mutex_unlock(&jobs->lock);
    return n;
}

static int beat(struct st_jobs *jobs)
{
    if (st_mono() < jobs->next_beat)
        return 0;
    jobs->next_beat = st_mono() + BEAT_MS * 1000;
    return st_leased_jobs_beat(&jobs->leased, &jobs->lock, &jobs->w);
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
        bool stopping = atomic_load(&run->stopping);
        int r = stopping ? 0 : dispatch(jobs, &wait_ms);
        if (stopping)
            tell_of_free_slots(jobs, NULL);
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
    tell_of_free_slots(jobs, NULL);
    return NULL;
}

/* --- a process without a pool --- */

void *st_jobs_forward_main(void *ctx)
{
    struct st_run *run = ctx;
    struct st_arena a = {0};
    struct st_bus *bus = st_bus_open();
    const char *topic = st_printf(&run->arena, "jobs:%s", run->service->name);
    uint64_t seen = st_bell_rings(&run->jobs_bell);
    while (!atomic_load(&run->stopping)) {
        st_bell_wait(&run->jobs_bell, seen, FORWARD_POLL_MS);
        uint64_t now = st_bell_rings(&run->jobs_bell);
        if (now != seen)
            (void)bus->ops->ring(bus, &a, topic); /* a ring that is lost costs a slow poll */
        seen = now;
        st_arena_reset(&a);
    }
    st_bus_free(bus);
    st_arena_release(&a);
    return NULL;
}

/* --- start and stop --- */

int st_jobs_start(struct st_run *run)
{
    pthread_condattr_t attr;
    const struct st_job_kind *kinds = run->service->jobs;
    if (!kinds || !kinds->name)
        return 0;
    struct st_jobs *jobs = st_new(&run->arena, struct st_jobs);
    jobs->run = run;
    while (kinds[jobs->n_kinds].name)
        jobs->n_kinds++;
    jobs->kinds = st_new_n(&run->arena, struct kind, (size_t)jobs->n_kinds);
    for (int i = 0; i < jobs->n_kinds; i++)
        jobs->kinds[i] = (struct kind){.kind = &kinds[i], .queue_end = &jobs->kinds[i].queue};
    jobs->next_prune = st_mono() + PRUNE_FIRST_US;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_cond_init(&jobs->work, &attr);
    pthread_cond_init(&jobs->changed, &attr);
    pthread_condattr_destroy(&attr);
    st_worker_init(&jobs->w, run, "jobs");
    jobs->bus = st_bus_open();
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
    pthread_cond_broadcast(&jobs->work);
    pthread_mutex_unlock(&jobs->lock);
    st_bell_ring(&run->jobs_bell);
    pthread_join(jobs->dispatcher, NULL);

    pthread_mutex_lock(&jobs->lock);
    /* What does not hear goes to another process; this one can no longer commit it. */
    for (struct st_leased_job *job = jobs->leased; job; job = job->next) {
        (void)st_leased_job_stop(job, ST_JOB_LOST);
        if (st_leased_jobs_hand_back(&job, 1, &jobs->w) == 0)
            st_log(ST_LOG_WARNING, "Job did not stop in time and was handed back", ST_S("job", job->kind->name),
                   ST_S("jobId", job->id));
    }
    wait_zero_locked(jobs, &jobs->n_threads, THREADS_END_MS);
    pthread_mutex_unlock(&jobs->lock);
    jobs->bus = st_bus_free(jobs->bus);
    st_worker_release(&jobs->w);
}
