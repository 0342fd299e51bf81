/* A doorbell between threads. */
#include "base/bell.h"

void st_bell_init(struct st_bell *b)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->cond, &attr);
    pthread_condattr_destroy(&attr);
    b->rings = 0;
}

void st_bell_ring(struct st_bell *b)
{
    pthread_mutex_lock(&b->lock);
    b->rings++;
    pthread_cond_broadcast(&b->cond);
    pthread_mutex_unlock(&b->lock);
}

uint64_t st_bell_rings(struct st_bell *b)
{
    pthread_mutex_lock(&b->lock);
    uint64_t n = b->rings;
    pthread_mutex_unlock(&b->lock);
    return n;
}

void st_bell_wait(struct st_bell *b, uint64_t seen, int timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&b->lock);
    while (b->rings == seen)
        if (pthread_cond_timedwait(&b->cond, &b->lock, &until))
            break;
    pthread_mutex_unlock(&b->lock);
}
