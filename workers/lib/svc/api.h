#ifndef ST_SVC_API_H
#define ST_SVC_API_H
/* The daemon's HTTP side: from a request of the edge to a handler and back. Not for services. */
#include "io/http_server.h"
#include "svc/run.h"

struct st_api_server;

/* Binds handlers to the contract: ST_E_INVALID with *ret_why when an operation has no handler or a handler no
 * operation. */
ST_MUSTCHECK int st_api_bind(struct st_run *run, const char **ret_why);
ST_MUSTCHECK int st_api_start(struct st_run *run, int threads, struct st_api_server **ret);
void st_api_stop(struct st_api_server *s, int deadline_ms);

/* {"status", "version", "dependencies"} of this daemon, in the document's shape. *ret_status: 200 or 503. */
char *st_health_json(struct st_run *run, struct st_arena *a, int *ret_status);
/* Prometheus text. What it says of queues is read from the database; when that is away, those lines are missing. */
char *st_metrics_text(struct st_worker *w, struct st_arena *a);

#endif
