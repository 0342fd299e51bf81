#ifndef ST_SVC_BUS_H
#define ST_SVC_BUS_H
/*
 * The event bus as the relay, the consumer and the doorbell see it: one contract, an adapter file for each kind of bus.
 * To add a kind: an adapter that fills st_bus_ops, and a row in bus.c; nothing else knows what the bus is.
 *
 * Each publishing service has ST_BUS_PARTITIONS partitions; entries of a partition are kept in order of their ids,
 * which the publisher chooses. Each consuming service is a group; a partition of a group is read by the holder of its
 * lease. Where a group has got to is told by one id, up to which all is done: what failed is set aside by the consumer,
 * in its database. The bus keeps that id only to know what it may forget, and for the operator; the truth, with which a
 * reader begins, is in the consumer's database.
 *
 * A bus belongs to one thread. Errors: ST_E_UNAVAILABLE (it is away; try again), ST_E_INTERNAL (a bug or a damaged
 * bus; error() has the text), and those named below.
 */
#include "base/base.h"

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

/* A group that reads a partition. */
struct st_bus_group {
    const char *name;
    struct st_bus_id needs; /* the first entry that it may still need is not before this */
    struct st_bus_id next;  /* the first that it has not acknowledged; all zero: it has all */
    int64_t lag;            /* how many it has not acknowledged; -1: the bus cannot tell */
};

/* A partition of a publisher, as a consumer holds it. */
struct st_bus_part {
    const char *service;
    int partition;
    bool held;           /* set by lease */
    bool attached;       /* kept by the caller: poll reads the parts that are held and attached */
    struct st_bus_id at; /* what poll gives next lies behind; set by attach, moved by poll */
    int64_t count;       /* for the adapter */
};

/* An entry that poll gave. */
struct st_bus_delivery {
    size_t part; /* index */
    struct st_bus_id id;
    const char *text; /* NUL-terminated; NULL when the entry is not one of ours */
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

    /* May forget the entries before `from`. */
    int (*trim)(struct st_bus *bus, struct st_arena *a, const char *service, int partition, struct st_bus_id from);

    /* --- consumer --- */

    /* Takes or renews the lease of each part for ST_BUS_LEASE_MS and sets `held`. holder names this process. */
    int (*lease)(struct st_bus *bus, struct st_arena *a, const char *group, const char *holder,
                 struct st_bus_part *parts, size_t n);

    /* Gives back the leases that are held. */
    int (*release)(struct st_bus *bus, struct st_arena *a, const char *group, const char *holder,
                   struct st_bus_part *parts, size_t n);

    /* The group, made when it is missing, has done everything up to `after`, and reads on behind it. */
    int (*attach)(struct st_bus *bus, struct st_arena *a, const char *group, struct st_bus_part *part,
                  struct st_bus_id after);

    /*
     * The next entries of the parts that are held and attached, in order and those of a part together, at most `max` of
     * each; does not wait. A part whose lease is no longer the holder's gives none, and `held` becomes false. With
     * holder NULL, all are read without a lease: for operators. After an error nothing has moved.
     */
    int (*poll)(struct st_bus *bus, struct st_arena *a, const char *group, const char *holder,
                struct st_bus_part *parts, size_t n, int max, struct st_bus_delivery **ret, size_t *ret_n);

    /* Of this part everything up to `upto` is done; `n` entries more than the last time. */
    int (*ack)(struct st_bus *bus, struct st_arena *a, const char *group, struct st_bus_part *part,
               struct st_bus_id upto, size_t n);

    /* --- doorbell --- */

    /* Rings the doorbell of a topic: whoever listens hears it, once. It is lost when nobody does. */
    int (*ring)(struct st_bus *bus, struct st_arena *a, const char *topic);

    /*
     * Waits up to timeout_ms for a ring of one of the topics: 1 and the topic (until the next call), 0 for none in
     * time. ST_E_UNAVAILABLE: it does not listen; what rings meanwhile is lost. Call it again, it takes up listening by
     * itself. After the first answer that is not an error, no ring is missed. The topics are those of the first call.
     */
    int (*listen)(struct st_bus *bus, const char *const *topics, size_t n, int timeout_ms, const char **ret_topic);
};

/* First member of each adapter's struct. */
struct st_bus {
    const struct st_bus_ops *ops;
};

/* The bus of that kind at that address, with a connection of its own, which is made when it is needed. NULL: there is
 * no such kind. */
struct st_bus *st_bus_new(const char *kind, const char *address);

/* The one that the options tell, which were checked at the start: `bus`, and where that kind is. */
struct st_bus *st_bus_open(void);

/* The kinds there are, with ", " between them. */
const char *st_bus_kinds(struct st_arena *a);

static inline struct st_bus *st_bus_free(struct st_bus *bus) /* NULL-safe, gives NULL */
{
    if (bus)
        bus->ops->free(bus);
    return NULL;
}

/* --- the adapters --- */
struct st_bus *st_bus_redis_new(const char *socket_path);

#endif
