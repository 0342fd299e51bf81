#ifndef ST_SVC_CALL_H
#define ST_SVC_CALL_H
/* The private half of struct st_call. Not for services. */
#include "svc/run.h"

enum { ST_REPLY_HEADERS = 12, ST_FIELD_ERRORS = ST_SCHEMA_ERRORS };

struct st_call_private {
    struct st_worker *worker;
    struct st_call *leader; /* whose transaction this call works in; NULL: its own */
    bool autocommit;        /* read-only calls: each statement stands alone */
    bool open;              /* a transaction was begun */
    bool emitted, enqueued;
    struct st_added *added;       /* job_add.c: jobs that go with the next statement, or NULL */
    struct st_leased_job *handed; /* job_add.c: one that begins here when all of this is committed, or NULL; */
    int handed_taken;             /* 1: if the database has agreed to it */
    int64_t await_until;          /* st_absent: when to believe that a thing is not there; 0 before the first time */
    bool awaits;                  /* ST_E_RETRY was st_absent's */
    bool away;                    /* ST_E_UNAVAILABLE was because the database is not there, */
    bool lacks;                   /* or something else of this platform: st_fail_here has said so */
    bool projects;                /* a projection runs: it may emit and enqueue nothing */
    int error;                    /* a failure that queued work has met: commit gives it */
    int refused;                  /* by st_refuse: the problem to answer after the commit, or 0 */
    const char *detail;
    struct st_schema_errors fields;

    /* the reply */
    int status;
    json_t *reply;
    const char *text, *content_type; /* instead of JSON */
    size_t text_len;
    struct {
        const char *name, *value;
    } headers[ST_REPLY_HEADERS];
    int n_headers;

    struct st_work_span span;
    const char *if_match; /* request header, NULL when absent */
    void *job;            /* jobs.c: the slot that runs this call */
    const char *scratch;  /* object.c: its folder, or NULL */
};

/* Forgets what a failed attempt left: reply, errors, flags. Rolls an open transaction back. */
void st_call_reset(struct st_call *call);

/* The call that holds the transaction which `call` works in; what belongs to the transaction is kept there. */
static inline struct st_call_private *st_call_top(const struct st_call *call)
{
    return call->p->leader ? call->p->leader->p : call->p;
}

/* Opens the transaction with the first statement, so that work without the database costs none. */
struct st_pg *st_call_open(struct st_call *call);

/* Writes the jobs that were added since the last statement. */
void st_jobs_add(struct st_call *call);

/* The transaction is over: what was to begin here begins, or not. */
void st_jobs_added(struct st_call_private *top, bool committed);

/* Queued work of this call has failed: the transaction cannot be committed any more. */
void st_call_doom(struct st_call *call, int err);

#endif
