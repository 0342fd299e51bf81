#ifndef ST_SVC_RUN_H
#define ST_SVC_RUN_H
/*
 * What the parts of the library share inside one daemon. Not for services.
 *
 * Threads: main (signals, watchdog, health), the HTTP pool (api.c), relay (relay.c), consumer (consume.c), job workers
 * with their dispatcher (jobs.c), schedules (cron.c), doorbell (bell of Redis, doorbell.c). Each thread that works for
 * calls owns one st_worker; nothing in a worker is shared.
 */
#include "base/bell.h"
#include "io/openapi.h"
#include "io/redis.h"
#include "svc/service.h"
#include "svc/work.h"

#include <stdatomic.h>

/* The event registry: config/events/<type>.v<major>.json. */
struct st_event_type {
    const char *type, *topic, *aggregate_type, *version, *service;
    int major;  /* of version */
    bool audit; /* retention class */
    const struct st_schema *payload;
    const char *const *sensitive;   /* names of members, NULL-ended; NULL: none (secret.h) */
    const char *subject;            /* the member that names the user whose key seals them; NULL: as secret.h says */
    const struct st_schema *sealed; /* what a payload on the bus must be like; NULL: as `payload` says */
};

struct st_run {
    const struct st_service *service;
    struct st_arena arena;           /* lives as long as the process */
    struct st_api *api;              /* this service's contract */
    struct st_work_figures *figures; /* of all work; NULL before st_work_start */
    const char *const *services;     /* that have a contract, NULL-ended; NULL: only those of the registry */
    const struct st_event_type *types;
    int n_types; /* sorted by type, then the newest version first */
    char edge_key[129];
    size_t edge_key_len;
    atomic_bool stopping;            /* no new work is taken */
    atomic_bool relay_leads;         /* the relay of this process is the active one; else rings go to the bus */
    struct st_jobs *jobs;            /* dispatcher and pool (jobs.c); NULL unless started */
    struct st_bell relay_bell;       /* events were committed here */
    struct st_bell jobs_bell;        /* jobs were committed here, or ended */
    struct st_bell events_bell;      /* events may have arrived in Redis */
    atomic_bool database_ok, bus_ok; /* the last thing each told; for health */
    const char *checks_sql;          /* health.c */
    atomic_ullong degraded;          /* by which checks: one bit each, as they were looked at last */
};

/* The newest version of a type, which is what st_emit writes; NULL when the registry does not know the type. */
const struct st_event_type *st_run_event_type(const struct st_run *run, const char *type);
/* The one whose major version an event has; NULL when the registry has no such. */
const struct st_event_type *st_run_event_version(const struct st_run *run, const char *type, const char *version);
/* A service's own subscription to a type, else the one to "*", else NULL. */
const struct st_subscription *st_service_subscription(const struct st_service *service, const char *type);
/* Who handles events of this type here, or NULL: the library itself for UserDeleted, else the service. */
const struct st_subscription *st_run_subscription(const struct st_run *run, const char *type);
/* Loads all of config/events. ST_E_INVALID and *ret_why = "file: reason". */
ST_MUSTCHECK int st_registry_load(struct st_arena *a, const char *dir, const struct st_event_type **ret, int *ret_n,
                                  const char **ret_why);

struct st_worker {
    struct st_run *run;
    struct st_pg *pg;
    struct st_redis *redis;
    struct st_http_client *identity; /* secret.c: where keys are; NULL until one is asked for */
    struct st_arena arena;           /* reset after each call */
    int64_t job_id, job_id_end;      /* ids for jobs that are left of a block (job_add.c) */
};
void st_worker_init(struct st_worker *w, struct st_run *run, const char *name);
void st_worker_release(struct st_worker *w);

/* A call on this worker's arena and connection; identity and inputs are then set by whoever makes it. */
void st_call_init(struct st_call *call, struct st_worker *w, const char *name);

/*
 * A call that works inside the transaction of `leader`, which has one for many: statements, events and jobs of the item
 * go there, and the leader's commit commits all of them. Identity, error detail and reply are the item's own; arena and
 * connection are those of the leader's worker. To be used in the body of the leader's st_call_transact, once for each
 * item and attempt. When an item fails, or ends with an error that its queued work has met (st_call_end_within), the
 * body returns that error; then nothing of any item remains, and the caller repeats them one by one, so that only the
 * one that fails is set aside. There are no savepoints: a statement that fails has failed for all. What only an item of
 * its own can have (st_commit, the wait of st_absent) fails it here.
 */
void st_call_init_within(struct st_call *item, struct st_call *leader, const char *name);

/* r, as the item's handler gave it, or what its queued work has met. */
ST_MUSTCHECK int st_call_end_within(const struct st_call *item, int r);

/*
 * Runs `body` in a transaction and commits; on ST_E_RETRY again, at most 5 times. After the commit it rings the bells
 * of what was written. Gives body's error, or the commit's; then everything is rolled back.
 */
ST_MUSTCHECK int st_call_transact(struct st_call *call, int (*body)(struct st_call *call, void *ctx), void *ctx);

/* The sentence st_fail left, else what the database said, else the error's title: for logs, dead letters and
 * jobs.error. */
const char *st_call_error(struct st_call *call, int err);

/* The handler of UserDeleted in every service, and the projection of UserDataErased (erase.c). */
int st_erase_user(struct st_call *call);
int st_erase_project(struct st_call *call);

/* metadata of an event or job that this call writes: correlation, causation, user, trace. Kept by the arena. */
json_t *st_call_metadata(struct st_call *call);

/*
 * Runs the projection of an event that was just written, or is read from the log, in the transaction of `call`, of
 * which it sees nothing else. payload: what is sensitive is in clear; stored: what of it the log has. 0 when there is
 * no such projection.
 */
ST_MUSTCHECK int st_project(struct st_call *call, const struct st_event *event, json_t *payload, const json_t *stored);
const struct st_projection *st_run_projection(const struct st_run *run, const char *type); /* or NULL */
/* Are the service's projections of its own events? ST_E_INVALID and *ret_why. */
ST_MUSTCHECK int st_projections_check(const struct st_run *run, const char **ret_why);

/* Loops of the daemon; each returns soon after run->stopping is set (and its bell rung). ctx is the struct st_run. */
void *st_relay_main(void *ctx);
void *st_consume_main(void *ctx);
void *st_cron_main(void *ctx);
void *st_archive_main(void *ctx);
void *st_doorbell_main(void *ctx);

/* Dispatcher and pool of jobs; stop waits up to deadline_ms, then hands back what still runs. */
ST_MUSTCHECK int st_jobs_start(struct st_run *run);
void st_jobs_stop(struct st_run *run, int deadline_ms);
/* In a process without them: tells those of other processes, by the bus, that jobs were committed here. */
void *st_jobs_forward_main(void *ctx);

/*
 * For st_commit. In the transaction of a job: its lease is renewed, until then by our clock, or ST_E_FENCED when it is
 * not ours any more. That locks the job's row until the transaction ends, so that nobody takes the job over meanwhile.
 */
ST_MUSTCHECK int st_job_renew(struct st_call *call, int64_t *ret_until);
/* That is committed (0: nothing was renewed). ST_E_FENCED when it has taken so long that less than half a lease is
 * left: another may soon have the job. */
ST_MUSTCHECK int st_job_renewed(struct st_call *call, int64_t until);

/*
 * Sagas (saga.c) live by jobs, subscriptions and a schedule like those of a service. Gives the service with the
 * library's added to its lists; `service` itself when it has no sagas.
 */
const struct st_service *st_sagas_join(struct st_arena *a, const struct st_service *service);
/* Are the tables of sagas fit to run? ST_E_INVALID and *ret_why. */
ST_MUSTCHECK int st_sagas_check(struct st_run *run, const char **ret_why);

/* Looks at all that degrades the health of this service: the library's checks, and its own. */
ST_MUSTCHECK int st_checks_run(struct st_worker *w);

/* How long work that has failed `failures` times waits: 1 s, 2 s, 4 s … 5 min, a quarter more or less by chance. */
int64_t st_backoff_ms(int failures);
/* For who does not count: as long again as it has failed, within the same bounds. */
int64_t st_backoff_since_ms(int64_t ms);

/* A text as the database takes it: at most max bytes, what is not UTF-8 shown as ?. */
char *st_storable(struct st_arena *a, const char *s, size_t len, size_t max);

/* Names of a service's operations, subscriptions, jobs and schedules, as JSON text. */
char *st_describe(const struct st_service *service, struct st_arena *a);

/* How fast a loop works off a backlog: an info line every few seconds while it is behind, and one when it has caught
 * up. All zero at first. */
struct st_pace {
    int64_t began, told; /* monotonic; 0 while there is no backlog, or none worth a line */
    int64_t done, done_told;
};
void st_pace(struct st_pace *p, const char *who, int64_t done, bool behind); /* done since the last call */

/* Waits, but not longer than until run->stopping. */
void st_run_pause(struct st_run *run, int ms);

/* Counters for /metrics and the log; see metrics.c. Thread-safe. */
enum st_counter {
    ST_N_REQUESTS,
    ST_N_REQUEST_ERRORS,
    ST_N_EMITTED,
    ST_N_RELAYED,
    ST_N_REPUBLISHED,
    ST_N_CONSUMED,
    ST_N_DUPLICATES,
    ST_N_RETRIES,
    ST_N_DEAD,
    ST_N_JOBS_DONE,
    ST_N_JOBS_FAILED,
    ST_N_SAGAS_DONE,
    ST_N_SAGAS_COMPENSATED,
    ST_N_SAGAS_PARKED,
    ST_COUNTERS
};
void st_count(enum st_counter c, int64_t n);

#endif
