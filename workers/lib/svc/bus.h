#ifndef ST_SVC_BUS_H
#define ST_SVC_BUS_H
/*
 * The event bus as the relay and the consumer see it: one contract, an adapter file for each kind of bus.
 *
 * Each publishing service has ST_BUS_PARTITIONS partitions; entries of a partition are kept in order of their ids,
 * which the publisher chooses. Each consuming service is a group; a partition of a group is read by the holder of its
 * lease.
 *
 * A bus belongs to one thread. Errors: ST_E_UNAVAILABLE (it is away; try again), ST_E_INTERNAL (a bug or a damaged
 * bus; st_bus_error has the text), and those named below.
 */
#include "io/redis.h"

enum {
    ST_BUS_PARTITIONS = 4,
    ST_BUS_PAGE = 500,      /* entries of one publish, at most */
    ST_BUS_LEASE_MS = 6000, /* renew well before */
};

/* Id of an entry, "<batch>-<n>"; all zero comes before every entry. */
struct st_bus_id {
    int64_t batch, n;
};
static inline int st_bus_id_cmp(struct st_bus_id a, struct st_bus_id b)
{
    if (a.batch != b.batch)
        return a.batch < b.batch ? -1 : 1;
    return a.n < b.n ? -1 : a.n > b.n;
}

/* Where the events of an aggregate go (FNV-1a). Never change it: order would be lost. */
static inline int st_bus_partition(const char *aggregate_id)
{
    uint32_t h = 2166136261u;
    for (; *aggregate_id; aggregate_id++)
        h = (h ^ (unsigned char)*aggregate_id) * 16777619u;
    return (int)(h % ST_BUS_PARTITIONS);
}

struct st_bus_entry {
    int partition;
    struct st_bus_id id;
    const char *text; /* the envelope */
};

/* A group that reads a partition, and the first entry it may still need. */
struct st_bus_group {
    const char *name;
    struct st_bus_id needs;
};

/* A partition of a publisher, as a consumer holds it. */
struct st_bus_part {
    const char *service;
    int partition;
    bool held;     /* set by lease */
    bool attached; /* kept by the caller: poll reads the parts that are held and attached */
};

/* An entry that poll gave. */
struct st_bus_delivery {
    size_t part; /* index */
    struct st_bus_id id;
    const char *text; /* NUL-terminated; NULL when the entry is not one of ours or its content is gone */
    size_t len;
};

struct st_bus;
struct st_bus_ops {
    void (*free)(struct st_bus *bus);
    const char *(*error)(const struct st_bus *bus);

    /* --- publisher --- */

    /* The id of the last entry ever added to each partition; all zero when there was none, or the bus has lost it. */
    int (*tails)(struct st_bus *bus, struct st_arena *a, const char *service,
                 struct st_bus_id ret_tails[ST_BUS_PARTITIONS]);

    /*
     * Adds all entries (at most ST_BUS_PAGE, in order) and rings the doorbell of each topic; or none of them and
     * ST_E_PRECONDITION, when a partition that gets an entry does not end in tails[partition]: the bus has lost
     * entries, or another relay is at work. After ST_E_UNAVAILABLE it is unknown whether they were added; tails tells.
     */
    int (*publish)(struct st_bus *bus, struct st_arena *a, const char *service,
                   const struct st_bus_id tails[ST_BUS_PARTITIONS], const struct st_bus_entry *entries, size_t n,
                   const char *const *topics, size_t n_topics);

    int (*groups)(struct st_bus *bus, struct st_arena *a, const char *service, int partition, struct st_bus_group **ret,
                  size_t *ret_n);

    /* Rings the doorbell of a topic. */
    int (*ring)(struct st_bus *bus, struct st_arena *a, const char *topic);

    /* May forget the entries before `from`. */
    int (*trim)(struct st_bus *bus, struct st_arena *a, const char *service, int partition, struct st_bus_id from);

    /* --- consumer --- */

    /* Takes or renews the lease of each part for ST_BUS_LEASE_MS and sets `held`. holder names this process. */
    int (*lease)(struct st_bus *bus, struct st_arena *a, const char *group, const char *holder,
                 struct st_bus_part *parts, size_t n);

    /* Gives back the leases that are held. */
    int (*release)(struct st_bus *bus, struct st_arena *a, const char *group, const char *holder,
                   struct st_bus_part *parts, size_t n);

    /*
     * The group, made when it is missing, reads on behind `after`; what was delivered up to there is acknowledged, and
     * what was delivered beyond is delivered again.
     */
    int (*attach)(struct st_bus *bus, struct st_arena *a, const char *group, const struct st_bus_part *part,
                  struct st_bus_id after);

    /*
     * New entries, at most `max` of each part; does not wait. A part whose lease is no longer the holder's gives none,
     * and `held` becomes false. ST_E_NOT_FOUND when a group is missing: attach again. After any other error it is
     * unknown what counts as delivered: attach again.
     */
    int (*poll)(struct st_bus *bus, struct st_arena *a, const char *group, const char *holder,
                struct st_bus_part *parts, size_t n, int max, struct st_bus_delivery **ret, size_t *ret_n);

    int (*ack)(struct st_bus *bus, struct st_arena *a, const char *group, const struct st_bus_part *part,
               const struct st_bus_id *ids, size_t n);
};

/* First member of each adapter's struct. */
struct st_bus {
    const struct st_bus_ops *ops;
};

/* Redis Streams, on a connection that the caller keeps alive as long as the bus. */
struct st_bus *st_bus_redis_new(struct st_redis *redis);

static inline struct st_bus *st_bus_free(struct st_bus *bus) /* NULL-safe, gives NULL */
{
    if (bus)
        bus->ops->free(bus);
    return NULL;
}

#endif
