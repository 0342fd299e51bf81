/* The doorbell: one subscription to the bus wakes whoever waits in this process. A lost ring costs one slow poll. */
#include "svc/run.h"

enum { POLL_MS = 250, RECONNECT_MS = 300 }; /* a stop waits that long */

static const char prefix[] = "st:bell:";

static void ring_all(struct st_run *run)
{
    st_bell_ring(&run->events_bell);
    st_bell_ring(&run->jobs_bell);
    st_bell_ring(&run->relay_bell);
}

static void ring_one(struct st_run *run, const char *channel)
{
    const char *topic = channel + sizeof(prefix) - 1;
    if (st_starts(topic, "jobs:"))
        st_bell_ring(&run->jobs_bell);
    else if (!st_starts(topic, "relay:"))
        st_bell_ring(&run->events_bell);
    else if (atomic_load(&run->relay_leads)) /* a relay that stands by would send it back to the bus, for ever */
        st_bell_ring(&run->relay_bell);
}

static struct st_redis_sub *subscribe(struct st_run *run)
{
    struct st_arena a = {0};
    const char **channels = st_new_n(&a, const char *, (size_t)run->n_types + 2);
    int n = 0;
    channels[n++] = st_printf(&a, "%sjobs:%s", prefix, run->service->name);
    channels[n++] = st_printf(&a, "%srelay:%s", prefix, run->service->name);
    for (int i = 0; i < run->n_types; i++)
        if (st_run_subscription(run, run->types[i].type))
            channels[n++] = st_printf(&a, "%s%s", prefix, run->types[i].topic);
    struct st_redis_sub *sub = st_redis_sub_new(st_option("redis"), channels, n);
    st_arena_release(&a);
    return sub;
}

void *st_doorbell_main(void *ctx)
{
    struct st_run *run = ctx;
    struct st_redis_sub *sub = subscribe(run);
    bool connected = false;
    while (!atomic_load(&run->stopping)) {
        const char *channel, *message;
        int r = st_redis_sub_poll(sub, connected ? POLL_MS : 0, &channel, &message);
        if (r >= 0 && !connected)
            ring_all(run); /* what rang before we listened */
        else if (r == 1)
            ring_one(run, channel);
        connected = r >= 0;
        if (!connected)
            st_run_pause(run, RECONNECT_MS);
    }
    st_redis_sub_free(sub);
    return NULL;
}
