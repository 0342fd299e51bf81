#ifndef ST_SVC_SERVICE_H
#define ST_SVC_SERVICE_H
/*
 * The service framework: a service is a file of const tables over this library, which owns main().
 *
 *   static int create_story(struct st_call *call)
 *   {
 *       const char *id = st_new_id(call->arena);
 *       st_exec(call, "insert into stories (story_id, author_id, title) values ($1, $2, $3)", id, call->user_id,
 *               st_str(call->body, "title"));
 *       st_emit(call, "StoryCreated", id, json_pack("{s:s, s:s}", "storyId", id, "authorId", call->user_id));
 *       return st_reply(call, 201, json_pack("{s:s}", "storyId", id));
 *   }
 *
 * One kind of function handles everything: a request, an event, a job, a schedule. Before it runs the library has
 * authenticated, validated and decoded; it opens the transaction around it, commits rows, events, jobs and the reply
 * kept for the idempotency key together when it returns 0, and rolls all back when it returns an error. A collision
 * with another transaction (ST_E_RETRY) runs the handler again. The handler frees nothing: call->arena ends with it.
 *
 * Errors: return one of ST_E_*, best through st_fail, which adds a sentence for the client.
 */
#include "base/base.h"
#include "io/json.h"
#include "io/pg.h"

enum { ST_USER_KEY_LEN = 32 };

struct st_call {
    struct st_arena *arena;
    const char *name;                                        /* operationId, event type, job name or schedule name */
    const char *correlation_id, *causation_id, *traceparent; /* "" when there is none */

    /* who: "" outside a request (but for user_id in jobs: who has asked), and in public operations without a token */
    const char *user_id, *session_id, *roles, *tier, *address;

    json_t *params;               /* requests: parameters by name, typed, defaults filled in */
    const struct st_bytes *bytes; /* a request's body as it came: what is no JSON, or signed; NULL when there is none */
    json_t *body;                 /* request body (JSON, form), event payload, job payload; NULL when there is none */
    const struct st_event *event; /* in event handlers */
    bool user_gone;           /* in event handlers: the account is deleted, and body lacks what was sensitive in it */
    const struct st_job *job; /* in job handlers */
    const struct st_saga_run *saga; /* in actions and compensations of a saga, whose data is the body */

    struct st_call_private *p;
};

typedef int st_handler(struct st_call *call);

/* --- what a call was given ------------------------------------------------------------------------------------- */
const char *st_param(struct st_call *call, const char *name); /* text of a parameter, NULL when absent */
int64_t st_param_int(struct st_call *call, const char *name); /* 0 when absent */
#define st_str(object, name) st_json_str((object), (name), NULL)
bool st_has_role(const struct st_call *call, const char *role);

struct st_bytes {
    const char *data; /* len bytes, and a NUL */
    size_t len;
    const char *type; /* Content-Type as sent */
    /* Of a body that comes in pieces (st_operation): where in it this one begins; that more follows it; that the client
     * went away behind it, and nobody reads the answer. */
    size_t at;
    bool more, cut;
    int64_t announced; /* bytes of the whole of it, as its sender says; -1: they do not */
};
struct st_event {
    const char *id, *type, *topic, *aggregate_type, *aggregate_id, *timestamp, *version, *user_id;
};
struct st_job {
    int64_t id;
    int attempt; /* from 1 */
    int max_attempts;
    const char *key; /* unique key, or NULL */
};

/* --- database: text parameters (NULL is SQL NULL); sql must be a string literal -------------------------------- */

/* Queued; a failure surfaces at the next read or at the commit. */
#define st_exec(call, sql, ...) st_exec_((call), (sql), ST_PARAMS(__VA_ARGS__))

/* Waits. Exactly one row must be affected, else `err` is returned. */
#define st_exec_one(call, err, sql, ...) st_exec_one_((call), (err), (sql), ST_PARAMS(__VA_ARGS__))

/* The first row as an object; ST_E_NOT_FOUND when there is none. SQL aliases name the members: select a as "storyId".
 */
#define st_row(call, ret, sql, ...) st_row_((call), (ret), (sql), ST_PARAMS(__VA_ARGS__))
/* All rows as an array of objects. */
#define st_list(call, ret, sql, ...) st_list_((call), (ret), (sql), ST_PARAMS(__VA_ARGS__))
/* Raw cells, for what is not JSON. */
#define st_rows(call, ret, sql, ...) st_rows_((call), (ret), (sql), ST_PARAMS(__VA_ARGS__))

void st_exec_(struct st_call *call, const char *sql, int n, const char *const *params);
ST_MUSTCHECK int st_exec_one_(struct st_call *call, int err, const char *sql, int n, const char *const *params);
ST_MUSTCHECK int st_row_(struct st_call *call, json_t **ret, const char *sql, int n, const char *const *params);
ST_MUSTCHECK int st_list_(struct st_call *call, json_t **ret, const char *sql, int n, const char *const *params);
ST_MUSTCHECK int st_rows_(struct st_call *call, struct st_rows **ret, const char *sql, int n,
                          const char *const *params);

/*
 * Only in jobs: commits what was done so far and leaves the transaction, so that outside work never runs inside one;
 * the next statement opens another. The job must be able to start again from what it has committed. Outside work that
 * follows has a lease of its own: ST_E_FENCED, also behind a commit that took so long that another may have the job by
 * now, tells it to begin nothing.
 */
ST_MUSTCHECK int st_commit(struct st_call *call);

/* --- events, jobs ------------------------------------------------------------------------------------------------ */

/*
 * Writes an event of the registry (config/events/<type>.v1.json) to the log, in this transaction. Steals the payload.
 * A payload that its schema rejects fails the call with ST_E_INTERNAL. The aggregate's row in `aggregates` is locked,
 * so that its events are numbered and ordered. Sensitive members are stored and sent sealed by their user's key (of a
 * user who is gone: not at all); when the key cannot be had, the call fails with ST_E_UNAVAILABLE. The projection of
 * the type, if the service has one, runs at once.
 */
void st_emit(struct st_call *call, const char *type, const char *aggregate_id, json_t *payload);

/*
 * Adds a job of this service, in this transaction. Steals the payload. With a key, an equal one that still waits stands
 * for it, and does not begin before the transaction ends, so that it sees what this one has written; jobs of one key
 * never run at the same time. delay_ms 0: as soon as the transaction commits.
 */
void st_enqueue(struct st_call *call, const char *job, const char *key, int64_t delay_ms, json_t *payload);

/*
 * The same with all there is to choose. Gives the job's id as text, chosen here, so that others can wait for it in the
 * same transaction; whether an equal one that waits has made it a no-op is not known here, so a job that others wait
 * for should have no key. NULL after a failure, which fails the call.
 *
 * after: ids of jobs of this service that must all be done first; until then it is "blocked". Jobs that are done long
 * since count, and so does an id that is unknown. When one of them dies or is cancelled, this one is cancelled, with
 * that reason, and the `failed` of its kind runs.
 */
struct st_enqueue {
    const char *job, *key;
    int64_t delay_ms;
    int priority; /* of its kind, higher ones first; 0 is usual */
    const char *const *after;
    size_t n_after;
};
const char *st_enqueue_with(struct st_call *call, const struct st_enqueue *how, json_t *payload);

/* Cancels the jobs of a kind and key that wait or run, in this transaction. A running one hears it from st_progress and
 * commits nothing more. */
void st_cancel(struct st_call *call, const char *job, const char *key);

/* In jobs: done of total, for the live view and the log; also finds out whether the lease still holds: ST_E_FENCED or
 * ST_E_CANCELLED (also while shutting down) tell the job to stop and return that. Call often; it limits its own cost.
 * Thread-safe for one call at a time. */
ST_MUSTCHECK int st_progress(struct st_call *call, int64_t done, int64_t total);

/*
 * Starts a saga of the service's table, in this transaction, and runs the action of its first step at once: when that
 * fails, so does this, and there is no saga. Everything after that comes by itself. `data` (stolen; no secrets, no
 * addresses: it is kept) is what its actions and compensations find in call->body; the first action finds this call's
 * own body in call->saga->asked, too. At most one saga has a name and key: if there is one already, this only tells its
 * id.
 */
ST_MUSTCHECK int st_saga_start(struct st_call *call, const char *name, const char *key, json_t *data,
                               const char **ret_id);

/*
 * The step is done, which is known otherwise than by the event that it waits for. 0 also when the saga was past it, or
 * is not known any more; ST_E_CONFLICT when it has turned back: then this must not have happened.
 */
ST_MUSTCHECK int st_saga_settle(struct st_call *call, const char *saga_id, const char *step);

/* --- answers ----------------------------------------------------------------------------------------------------- */
int st_reply(struct st_call *call, int status, json_t *body);      /* steals body; NULL for none; gives 0 */
int st_reply_keep(struct st_call *call, int status, json_t *body); /* as st_reply, for a body the arena keeps */
int st_reply_text(struct st_call *call, int status, const char *content_type, const char *text);
/* Bytes of any kind; they must live as long as the arena. */
int st_reply_bytes(struct st_call *call, int status, const char *content_type, const void *data, size_t len);
void st_header(struct st_call *call, const char *name, const char *value); /* value is copied */

/* Gives err; the sentence becomes `detail` of the problem and must not hold secrets. */
int st_fail(struct st_call *call, int err, const char *fmt, ...) ST_PRINTF(3, 4);
/*
 * As st_fail, for what a job needs of this platform: the object store, room on the disk, a program. When that is not
 * there now (ST_E_UNAVAILABLE), the job is not to blame: for a day from when it was added this counts as no attempt,
 * and it comes again, after as long as it is old (1 s to 5 min). Behind that day it is a failure like others. A later
 * st_fail of the same error only says it in other words.
 */
int st_fail_here(struct st_call *call, int err, const char *fmt, ...) ST_PRINTF(3, 4);
/*
 * ST_E_NOT_FOUND with its sentence, for a thing that another service's event makes known here. When its id was made
 * only now, the event may be under way: then the handler runs again for up to a second before the client is told, so
 * that who has just made a thing finds it everywhere.
 */
int st_absent(struct st_call *call, const char *id, const char *fmt, ...) ST_PRINTF(3, 4);

/*
 * As st_fail, but gives 0: what the handler did is committed, and the client still gets the problem. For what must be
 * remembered although it failed: a stolen refresh token, a failed login.
 */
int st_refuse(struct st_call *call, int err, const char *fmt, ...) ST_PRINTF(3, 4);
/* Adds an entry to errors[] of the problem: a JSON pointer into the body ("/title"), and what to mend. */
void st_fail_at(struct st_call *call, const char *pointer, const char *message);

/* Sets ETag: "<version>". */
void st_etag(struct st_call *call, int64_t version);
/* Compares If-Match with the version: ST_E_PRECONDITION, or ST_E_PRECONDITION_REQUIRED when there is none. "*" fits. */
ST_MUSTCHECK int st_if_match(struct st_call *call, int64_t version);

/*
 * Answers with a keyset page, {"items": [...], "nextCursor": text or absent}, by the parameters `cursor` and `limit` of
 * the request. sql gives rows ordered by a unique key, which is in each of them as `member` (one called "cursor" is not
 * shown to the client). $1 is the key behind which the page begins, NULL on the first; $2 how many rows to give: one
 * more than the page has, so that it is known whether another follows; the further parameters come from $3 on. A forged
 * cursor is ST_E_INVALID.
 */
#define st_page(call, member, sql, ...) st_page_((call), (member), (sql), ST_PARAMS(__VA_ARGS__))
ST_MUSTCHECK int st_page_(struct st_call *call, const char *member, const char *sql, int n, const char *const *params);

/* HMAC of a value under the platform's key and a purpose, as 64 hex digits: to recognise what must not be stored. */
const char *st_keyed_hash(struct st_call *call, const char *purpose, const char *value);

/* --- object store ------------------------------------------------------------------------------------------------ */
/*
 * Objects are files that outlive the call: sound, films, what is too large for an event. Their keys begin with the
 * service that puts them ("video/<id>/video.mp4"; io/store.h says what a key may be); any service may get what an event
 * names. An object is there whole or not at all, and what is damaged is not handed out. Where they are kept, the option
 * `store` says. Only in jobs, and not inside a transaction (st_commit), but for the replies.
 *
 * Failures have their sentence: ST_E_UNAVAILABLE the store is away (st_fail_here); ST_E_NOT_FOUND; ST_E_CONFLICT it is
 * damaged.
 */

/* A folder of this call's own on this machine; it goes with the call. Files made in it are put without a copy. */
const char *st_scratch(struct st_call *call);
/* A folder of this service on this machine, for what can be made again and is trimmed by whoever fills it. */
const char *st_cache_dir(struct st_call *call);

/* The file becomes the object, and is gone from its path. */
ST_MUSTCHECK int st_object_put_file(struct st_call *call, const char *key, const char *path);
ST_MUSTCHECK int st_object_put(struct st_call *call, const char *key, const void *data, size_t len);
/* A file with the object's bytes, to be read only; it goes with the call. */
ST_MUSTCHECK int st_object_get(struct st_call *call, const char *key, const char **ret_path);
ST_MUSTCHECK int st_object_json(struct st_call *call, const char *key, json_t **ret);
/* An object, or all below a prefix ("video/<id>/"). 0 also when there is none. */
ST_MUSTCHECK int st_object_remove(struct st_call *call, const char *key);

/* The edge sends the object, with Range and an entity tag. */
int st_reply_object(struct st_call *call, const char *content_type, const char *key);

/*
 * Links that need no token, for players and downloads: `path` with a query that is good for half a day at least, and
 * says whom it was given to: call->user_id, or in a job, whose links are for somebody outside, nobody. The path is that
 * of an operation that has the parameters `expires`, `viewer` and `signature`, and admits anybody.
 */
const char *st_object_link(struct st_call *call, const char *path, const char *key);
/*
 * In that operation, first of all. Who has not sent a token needs such a link, and is from here on whom it was given to
 * (nobody, when a job has made it): so it ends when that one may not read any more. Else ST_E_UNAUTHENTICATED.
 */
ST_MUSTCHECK int st_object_admit(struct st_call *call, const char *key);

/* --- the tables ----------------------------------------------------------------------------------------------------
 */
struct st_operation {
    const char *id; /* operationId of the contract; a missing or extra one stops the start */
    st_handler *handler;
    /*
     * 0: the handler runs once the whole body is there (at most 10 MiB). N: it runs with every N bytes of it while it
     * comes, each time in a transaction of its own, and once more at the end, with what is left, which may be nothing
     * (call->bytes has where that is). What it answers at the end is sent, or its first error, behind which it is not
     * run again. For a body that is neither JSON nor a form.
     */
    size_t piece;
};
struct st_subscription {
    const char *type; /* event type, or "*" for all */
    /*
     * May begin with an event that was handled before, for whether it is new is asked together with what the handler
     * writes; then nothing of that remains. What it does outside of its transaction must not care.
     */
    st_handler *handler;
    /*
     * The handler needs the event's sensitive members (x-sensitive of the registry): body has them in clear, or without
     * them when their user is gone, whatever the schema requires. Else they are left out, and no key is asked for.
     */
    bool sensitive;
};
struct st_job_kind {
    const char *name;
    st_handler *handler;
    int concurrency; /* of this process */
    int timeout_s;   /* a run that takes longer is told to stop (st_progress) and counts as failed */
    int attempts;    /* then it is a dead letter; between attempts backoff 1 s, 2 s, 4 s … 5 min with jitter; one that
                        never failed itself has six more, for processes that ended; st_fail_here says what is none */
    st_handler *failed; /* runs in the transaction that buries the job, or NULL: to set a failed state, emit */
    /*
     * 0: alone, which is right for outside work. N: up to N that are due share a transaction, for short jobs that only
     * touch the database (no st_commit): many times as many a second. When one fails, all are rolled back and it is
     * found by halves, so handlers must leave nothing but rows. Those that are done leave no row behind. `concurrency`
     * is then in such groups.
     */
    int batch;
    int everywhere;       /* most that run at a time over all daemons, or 0 */
    int rate, rate_per_s; /* most that start in any span of so many seconds over all daemons, or 0; retries count */
    int lease_s;          /* how long after its daemon died another takes it over; 0: 30 */
};
/*
 * Runs in one transaction, once over all processes, and never beside itself. A run that fails is tried again, ten times
 * in all, with the backoff of jobs; then it is given up until the next time.
 *
 * By the clock: `cron` is "minute hour day month weekday" ("0 3 * * *"; svc/cron.h has all of it, and what happens when
 * clocks are changed), `zone` a name of the time zone database (NULL: UTC). st_param(call, "scheduledAt") is the moment
 * that the run is for. catch_up says what happens to moments that passed while no process was up: one run for the last
 * of them, one for each, or none (a moment counts as missed after a minute).
 */
enum st_catch_up { ST_CATCH_UP_ONE, ST_CATCH_UP_ALL, ST_CATCH_UP_NONE };
struct st_schedule {
    const char *name;
    int every_s; /* at most once per span over all processes; 0 with cron */
    st_handler *handler;
    const char *cron, *zone;
    enum st_catch_up catch_up;
};
/*
 * What an event makes of the state tables of an event-sourced aggregate. st_emit runs it in the same transaction, right
 * after the event is written, and nothing else writes those tables; so they can be built again from the log, to the
 * same rows (`storyctl rebuild SERVICE`). It is a function of the event alone:
 *   - call->event: id, type, aggregate_id, version, user_id (who did it); call->body: the payload. In SQL
 * event_time($n) and event_version($n), by the event's id, are when it was recorded and its number within its
 * aggregate: the database knows them only then. What else it needs, a time of day, a new id, a price, belongs into the
 * payload;
 *   - it may read and change rows of `tables`, each of which belongs to one aggregate: the order between aggregates is
 *     not kept. It names tables without schema;
 *   - it decides nothing: the handler has checked before it emits. It emits nothing and adds no jobs.
 * Events of an older version stay in the log: a projection copes with all that were ever written.
 */
struct st_projection {
    const char *type; /* of this service's own events */
    st_handler *handler;
    bool sensitive; /* as of st_subscription: body has these members in clear, but for those of users who are gone */
};

/*
 * A saga is work over several services that comes to its end as a whole, or is undone as a whole. Its row in `sagas`
 * says how far it has come; between two of its transactions everything may be killed.
 *
 * Actions and compensations are ordinary handlers, each in one transaction with the move of the row. What other
 * services do is asked for by an event; the step then waits for the event that answers, whose payload has the same
 * `sagaId` (call->saga->id). An answer that comes twice, or for another step, is left alone.
 *
 *   action gives an error of the client's kind (4xx), or `failed` comes: known not to have happened. The compensations
 *       of the steps before it run, the last one first.
 *   any other error: tried again, 6 times in all with growing pauses, then as above.
 *   no answer within deadline_s: it may have happened, or happen later, so its own compensation runs first. A service
 *       gets the command and then its withdrawal, in that order, if both are events of one aggregate.
 *   pivot: what its command asks for can neither be undone nor called off (a mail). Without an answer nothing is
 *       decided: the saga is parked, and goes on by itself when the answer comes. Steps behind a pivot cannot turn
 * back. a compensation fails 6 times, or has no answer within deadline_s; a step behind the pivot fails: the saga is
 * parked.
 *
 * A parked saga is an alarm: an error in the log, a gauge in /metrics, `degraded` in /health. The answer that it waits
 * for, or the operator (storyctl sagas retry), makes it go on.
 */
struct st_saga_run {
    const char *id, *name, *key, *step;
    bool backward;       /* steps are being undone; in `ended`: they were */
    const char *error;   /* why, or NULL */
    const json_t *asked; /* in the first action: the body of the call that starts the saga; it is not kept; else NULL */
};
struct st_saga_step {
    const char *name; /* "<service>.<what it does>", once in its saga; a row names its step by it */
    st_handler *action;
    st_handler *compensation;  /* NULL: there is nothing to undo */
    const char *done, *failed; /* types of the events that answer the action; NULL: it is done when it has run. The
                                  member `reason` of the one that failed says why. */
    const char *undone;        /* type of the event that answers the compensation; NULL: it is done when it has run */
    int deadline_s;            /* for each of the answers */
    bool pivot;
};
struct st_saga {
    const char *name;
    const struct st_saga_step *steps; /* ends with an all-zero entry */
    st_handler *ended;                /* runs in the transaction that ends it, either way; or NULL */
};

/*
 * What a service puts into the object store. Objects below the prefix that no row refers to are removed some time after
 * they were put (option object_grace_hours). A row that says that an object will be put refers to it.
 */
struct st_objects {
    const char *prefix;     /* "<service>/" */
    const char *referenced; /* SQL: of the keys in $1, a jsonb array of texts, those that rows refer to */
};

struct st_option {
    const char *name;     /* in config/storytelling.conf; ST_<NAME> in the environment overrides */
    const char *fallback; /* NULL: required */
};

/*
 * What happens to a table that holds something of users when an account is deleted. Behind the service's own
 * handler of UserDeleted (if any) the library emits UserDataErased, which tells identity what was done, and runs the
 * statements as the projection of that; no subscription is needed. Every table with a column that names a user has a
 * row here; a test looks.
 */
enum st_erasure_rule { ST_ERASED, ST_ANONYMISED, ST_KEPT };
struct st_erasure {
    const char *table;
    enum st_erasure_rule rule;
    const char *sql;    /* a literal; $1 is the user's id, and it uses nothing else; NULL: the handler has done it */
    const char *reason; /* why it is kept */
};

/*
 * What the operator has to look at: while it is so, /health says "degraded", and names it. The library has checks of
 * its own: deadLetters, sagas (parked ones), providers (whose breaker is open).
 */
struct st_check {
    const char *name; /* in camel case */
    const char *sql;  /* an expression of type boolean: true when it is so; asked every two seconds */
};

/*
 * The key that seals the sensitive members of a user's events: that of the user (made when there is none), or, where
 * key_id is not NULL, the one of that id. ST_E_GONE: the user is, and the key with them.
 */
struct st_user_key {
    char key_id[ST_UUID_LEN], user_id[ST_UUID_LEN];
    unsigned char key[ST_USER_KEY_LEN];
};
typedef int st_user_key(struct st_call *call, const char *user_id, const char *key_id, struct st_user_key *ret);

struct st_service {
    const char *name;                /* also: database, socket, stream, consumer group */
    const struct st_option *options; /* each list ends with an all-zero entry; NULL for none */
    const struct st_operation *operations;
    const struct st_subscription *subscriptions;
    const struct st_job_kind *jobs;
    const struct st_schedule *schedules;
    const struct st_saga *sagas;
    int (*start)(struct st_call *call); /* runs once in a transaction before anything else, or NULL */
    const struct st_erasure *erasures;  /* ends with an all-zero entry; NULL: it holds nothing of users */
    st_user_key *user_key;              /* of the service that keeps the users' keys; NULL in all others */
    const struct st_projection *projections;
    const char *const *tables;     /* that the projections write, NULL-ended; without foreign keys, triggers, serials */
    const struct st_check *checks; /* at most 32 */
    const struct st_objects *objects;
};

/* Names of all services of the platform, NULL-ended: those that have a contract in config/api. */
const char *const *st_services(const struct st_call *call);

/* Value of an option of the service or of the library. */
const char *st_option(const char *name);
int64_t st_option_int(const char *name);

/* Redis for jobs that publish to the edge: one command; see io/redis.h. The connection belongs to the calling thread.
 */
struct st_redis *st_call_redis(struct st_call *call);

/*
 * The edge forgets the answers that it keeps under a tag (x-cache of the contract). For a job that the handler of the
 * change has enqueued, so that it happens after the commit and is tried until it has; else the answers go by themselves
 * after the time that x-cache gives them.
 */
ST_MUSTCHECK int st_cache_drop(struct st_call *call, const char *tag);

int st_service_main(const struct st_service *service, int argc, char **argv);
#define ST_SERVICE_MAIN(service_)                                                                                      \
    int main(int argc, char **argv)                                                                                    \
    {                                                                                                                  \
        return st_service_main(&service_, argc, argv);                                                                 \
    }

#endif
