#ifndef ST_SVC_JOBS_H
#define ST_SVC_JOBS_H
/* What the pool (jobs.c) and the run of one job (job_run.c) share; nobody else includes it. */
#include "svc/call.h"

enum { ST_JOB_LEASE_S = 30 };

/* Why a run has to stop; the first reason stays. */
enum st_job_stop {
    ST_JOB_GOES_ON,
    ST_JOB_LOST,      /* the lease ended, or another took it */
    ST_JOB_CANCELLED, /* somebody set the state */
    ST_JOB_TIMED_OUT,
    ST_JOB_SHUTDOWN,
};

/* A job this process has leased. The dispatcher and the thread that runs it share only the atomics. */
struct st_leased_job {
    struct st_job pub; /* what the handler sees */
    struct st_leased_job *next_queued, *next, *prev;
    const struct st_job_kind *kind;
    struct st_arena arena; /* lasts as long as the lease */
    const char *id, *token, *payload, *metadata, *last_error;
    int64_t deadline;         /* monotonic; 0 until it runs */
    atomic_llong lease_until; /* monotonic, on the safe side */
    atomic_llong done, total; /* progress; total -1 while unknown */
    atomic_int stop;          /* enum st_job_stop */
    int64_t written_done, written_at;
};

/* Runs it to its end, and writes the outcome. */
void st_leased_job_run(struct st_leased_job *job, struct st_worker *w);

/* Gives it back unstarted or unfinished; the attempt does not count. */
ST_MUSTCHECK int st_leased_job_hand_back(struct st_leased_job *job, struct st_worker *w);

/* Sets the reason to stop unless there is one; gives the one that holds. */
enum st_job_stop st_leased_job_stop(struct st_leased_job *job, enum st_job_stop why);

#endif
