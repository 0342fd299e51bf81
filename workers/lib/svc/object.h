#ifndef ST_SVC_OBJECT_H
#define ST_SVC_OBJECT_H
/* The object store inside the library; services have service.h. */
#include "io/store.h"
#include "svc/run.h"

struct st_store st_store_of_options(void);

/*
 * Removes objects that the service's table of objects says nothing refers to, when they are older than the option
 * object_grace_hours, and scratch folders of processes that died. Runs where the archiver does, under its lock.
 */
ST_MUSTCHECK int st_objects_collect(struct st_worker *w);

#endif
