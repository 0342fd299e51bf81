#ifndef ST_SVC_WORK_H
#define ST_SVC_WORK_H
/*
 * Every piece of work (a request, an event, a job, a schedule) is a span of a trace and a figure of the metrics.
 *
 *   st_work_begin(&call, ST_WORK_EVENT, parent);     call->traceparent is now its own
 *   ...                                              and goes with all events and jobs that it writes
 *   st_work_end(&call, r);
 *
 * Traces follow W3C Trace Context: the edge begins one for each request, or goes on with the client's; events and jobs
 * carry it, so that one trace leads from the request to the last notification. With the option trace_endpoint spans go
 * to a collector by OTLP over HTTP (JSON), in batches; when it is slow or away they are dropped and counted. A trace
 * whose sampled flag is 0 is passed on but not exported.
 *
 * Not for services. Thread-safe.
 */
#include "svc/service.h"

enum st_work { ST_WORK_REQUEST, ST_WORK_EVENT, ST_WORK_JOB, ST_WORK_SCHEDULE, ST_WORK_KINDS };
enum { ST_TRACEPARENT_LEN = 56 }; /* with its NUL */

/* What a call keeps of its work. */
struct st_work_span {
    enum st_work kind;
    int64_t from, from_wall; /* us; from is 0 before the work begins */
    char traceparent[ST_TRACEPARENT_LEN];
    char parent[17]; /* span id, "" at the root of a trace */
};

/* `parent` is a traceparent; what is none begins a new trace. */
void st_work_begin(struct st_call *call, enum st_work kind, const char *parent);
/* err: 0, or why it failed. */
void st_work_end(struct st_call *call, int err);

struct st_run;
/* Makes room for the figures of everything in the service's tables. Once, before any work begins. */
void st_work_start(struct st_run *run);
/* Appends the histograms in the form of Prometheus. */
void st_work_metrics(const struct st_run *run, struct st_buf *b);

/* --- export (trace.c) --- */

/* Keeps a finished span for the exporter; next to nothing when there is none. */
void st_trace_add(const struct st_call *call, const struct st_work_span *span, int64_t us, int err);
/* Sends spans until run->stopping, then the rest. A thread of its own; ends at once without trace_endpoint. */
void *st_trace_main(void *ctx);
int64_t st_trace_dropped(void);

#endif
