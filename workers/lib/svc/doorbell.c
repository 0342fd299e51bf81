/*
 * The doorbell: one thread listens to the bus for all that this process waits for. A lost ring costs one slow poll.
 * Whether the bus can be heard is also how a process that neither relays nor consumes knows whether it is there.
 */
#include "svc/bus.h"
#include "svc/options.h"
#include "svc/run.h"

enum { POLL_MS = 250, RECONNECT_MS = 300 }; /* a stop waits that long */

static void ring_all(struct st_run *run)
{
    st_bell_ring(&run->events_bell);
    st_bell_ring(&run->jobs_bell);
    st_bell_ring(&run->relay_bell);
}

/* rung: somebody wants to read in the log what came of it. */
static void read_options(bool rung)
{
    struct st_arena a = {0};
    const char *others = "", *why = "";
    if (st_options_reload(&a, &others, &why) < 0)
        st_log(ST_LOG_WARNING, "The options cannot be read again", ST_S("error", why));
    else if (rung)
        st_log(ST_LOG_INFO, "The options were read again", ST_S("countFromTheNextStart", others));
    st_arena_release(&a);
}

static void ring_one(struct st_run *run, const char *topic)
{
    if (st_starts(topic, "config:")) {
        read_options(true);
    } else if (st_starts(topic, "jobs:")) {
        if (run->jobs) /* else it is what this process has told the others */
            st_bell_ring(&run->jobs_bell);
    } else if (!st_starts(topic, "relay:")) {
        st_bell_ring(&run->events_bell);
    } else if (atomic_load(&run->relay_leads)) { /* a relay that stands by would send it back to the bus, for ever */
        st_bell_ring(&run->relay_bell);
    }
}

static size_t topics_of(const struct st_run *run, struct st_arena *a, const char *const **ret)
{
    const char **topics = st_new_n(a, const char *, (size_t)run->n_types + 3);
    size_t n = 0;
    topics[n++] = st_printf(a, "jobs:%s", run->service->name);
    topics[n++] = st_printf(a, "relay:%s", run->service->name);
    topics[n++] = st_printf(a, "config:%s", run->service->name);
    for (int i = 0; i < run->n_types; i++)
        if (st_run_subscription(run, run->types[i].type))
            topics[n++] = run->types[i].topic;
    *ret = topics;
    return n;
}

void *st_doorbell_main(void *ctx)
{
    struct st_run *run = ctx;
    struct st_arena a = {0};
    const char *const *topics, *topic;
    size_t n = topics_of(run, &a, &topics);
    struct st_bus *bus = st_bus_open();
    bool listens = false;
    while (!atomic_load(&run->stopping)) {
        int r = bus->ops->listen(bus, topics, n, listens ? POLL_MS : 0, &topic);
        if (r < 0 || !listens)
            atomic_store(&run->bus_ok, r >= 0);
        if (r >= 0 && !listens) { /* what rang before we listened */
            ring_all(run);
            read_options(false);
        } else if (r == 1) {
            ring_one(run, topic);
        }
        listens = r >= 0;
        if (!listens)
            st_run_pause(run, RECONNECT_MS);
    }
    st_bus_free(bus);
    st_arena_release(&a);
    return NULL;
}
