#ifndef ST_SVC_JOBS_H
#define ST_SVC_JOBS_H
/* What the pool (jobs.c), the heartbeat (job_beat.c) and the runs (job_run.c) share; nobody else includes it. */
#include "svc/call.h"

enum { ST_JOB_LEASE_S = 30, ST_JOB_BATCH_MAX = 1000 };

/* Why a run has to stop; the first reason stays. */
enum st_job_stop {
    ST_JOB_GOES_ON,
    ST_JOB_LOST,      /* the lease ended, or another took it */
    ST_JOB_CANCELLED, /* somebody cancelled it */
    ST_JOB_TIMED_OUT,
    ST_JOB_SHUTDOWN,
};

/* What one take gave: memory and token of all its jobs, which ends with the last of them. */
struct st_job_take {
    struct st_arena arena;
    int left;
    char token[ST_UUID_LEN];
};

/* A job this process has leased. The dispatcher and the thread that runs it share only the atomics. */
struct st_leased_job {
    struct st_job pub; /* what the handler sees */
    struct st_leased_job *next_queued, *next, *prev;
    const struct st_job_kind *kind;
    struct st_job_take *take;
    const char *id, *payload, *metadata, *last_error;
    const char *doomed;       /* it must not run, why; or NULL */
    int64_t deadline;         /* monotonic; 0 until it runs */
    atomic_llong lease_until; /* monotonic, on the safe side */
    atomic_llong done, total; /* progress; total -1 while unknown */
    atomic_int stop;          /* enum st_job_stop */
    int64_t written_done, written_at;
    int beat; /* its number in the heartbeat that is under way, or -1 */
};

/* How long a lease of that kind lasts, us. */
static inline int64_t st_job_lease_us(const struct st_job_kind *kind)
{
    return (int64_t)(kind->lease_s ? kind->lease_s : ST_JOB_LEASE_S) * ST_SECOND;
}

/*
 * A place for a job that is being added in this process, to begin here as soon as that is committed, without the pool
 * having to look for it. NULL: there is no pool, no room, a backlog, or a limit over all daemons. The job has a token,
 * a lease from now on and an arena of its own; what it is, the caller fills in.
 */
struct st_leased_job *st_jobs_reserve(struct st_run *run, const char *name);
/* It is committed, leased: it begins. Or it is not: the place is free again. Either ends the reservation. */
void st_jobs_begin(struct st_run *run, struct st_leased_job *job);
void st_jobs_release(struct st_run *run, struct st_leased_job *job);

/* Runs jobs of one kind to their end, and writes the outcome. Gives whether all of them are done. */
bool st_leased_jobs_run(struct st_leased_job *const *jobs, int n, struct st_worker *w);

/* Gives jobs back unstarted or unfinished; the attempt does not count. */
ST_MUSTCHECK int st_leased_jobs_hand_back(struct st_leased_job *const *jobs, int n, struct st_worker *w);

/* Sets the reason to stop unless there is one; gives the one that holds. */
enum st_job_stop st_leased_job_stop(struct st_leased_job *job, enum st_job_stop why);

/*
 * The heartbeat of the leases in a list, which `lock` guards: writes progress, renews what needs it, and tells those
 * that are lost or cancelled.
 */
ST_MUSTCHECK int st_leased_jobs_beat(struct st_leased_job *const *list, pthread_mutex_t *lock, struct st_worker *w);

#endif
