#ifndef ST_BASE_BELL_H
#define ST_BASE_BELL_H
/*
 * A doorbell between threads: ringing wakes those who wait; a ring while nobody waits is kept for the next wait.
 *
 *   uint64_t seen = st_bell_rings(&bell);      before looking for work
 *   ... no work found ...
 *   st_bell_wait(&bell, seen, 1000);           returns at once if it rang since
 */
#include "base/compiler.h"

#include <pthread.h>

struct st_bell {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    uint64_t rings;
};
void st_bell_init(struct st_bell *b);
void st_bell_ring(struct st_bell *b); /* wakes all waiters */
uint64_t st_bell_rings(struct st_bell *b);
/* Until it has rung more often than `seen`, or timeout_ms has passed. */
void st_bell_wait(struct st_bell *b, uint64_t seen, int timeout_ms);

#endif
