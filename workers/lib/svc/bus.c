/* The kinds of bus. */
#include "svc/bus.h"

#include "svc/service.h"

static const struct {
    const char *name;
    const char *address; /* the option that has it */
    struct st_bus *(*make)(const char *address);
} kinds[] = {
    {"redis", "redis", st_bus_redis_new},
};

struct st_bus *st_bus_new(const char *kind, const char *address)
{
    for (size_t i = 0; i < ST_COUNT(kinds); i++)
        if (st_streq(kinds[i].name, kind))
            return kinds[i].make(address);
    return NULL;
}

struct st_bus *st_bus_open(void)
{
    for (size_t i = 0; i < ST_COUNT(kinds); i++)
        if (st_streq(kinds[i].name, st_option("bus")))
            return kinds[i].make(st_option(kinds[i].address));
    return NULL;
}

const char *st_bus_kinds(struct st_arena *a)
{
    const char *all = kinds[0].name;
    for (size_t i = 1; i < ST_COUNT(kinds); i++)
        all = st_printf(a, "%s, %s", all, kinds[i].name);
    return all;
}
