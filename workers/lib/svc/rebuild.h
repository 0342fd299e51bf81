#ifndef ST_SVC_REBUILD_H
#define ST_SVC_REBUILD_H
/* `<service>d --rebuild`: the tables of projections made anew from the log. Not for services. */
#include "svc/call.h"

/*
 * Builds the tables in the schema `rebuild` and puts them in the place of the served ones, while the service goes on;
 * or, with check, compares the two and leaves the served ones alone. Prints to `out` lines of JSON: some times a second
 * {"phase", "done", "total"}; with check, of rows that differ the first of each table, {"result": "example", "table",
 * "in": "table" | "log", "row": text}; at the end {"result": "rebuilt" | "checked", "service", "events", "same",
 * "tables": [{"table", "rows", "onlyInTable", "onlyInLog"}]}, the last two with check.
 *
 * ST_E_CONFLICT: the tables are never free. ST_E_FENCED: another rebuild has begun. Else what a projection or the
 * database has met. *ret_why says it; the served tables are then as they were. Events per pass are read by pages, so
 * memory does not grow with the log.
 */
ST_MUSTCHECK int st_rebuild(struct st_run *run, bool check, FILE *out, const char **ret_why);

#endif
