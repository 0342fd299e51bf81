/* What a service consists of, for documents and operators: its tables as JSON. */
#include "svc/run.h"

#define NAMES(list, table, member)                                                                                     \
    json_t *list = json_array();                                                                                       \
    for (size_t i = 0; (table) && (table)[i].member; i++)                                                              \
    json_array_append_new(list, json_string((table)[i].member))

char *st_describe(const struct st_service *s, struct st_arena *a)
{
    NAMES(operations, s->operations, id);
    NAMES(subscriptions, s->subscriptions, type);
    if (!st_service_subscription(s, "UserDeleted")) /* every service has it: erase.c */
        json_array_append_new(subscriptions, json_string("UserDeleted"));
    NAMES(jobs, s->jobs, name);
    NAMES(schedules, s->schedules, name);
    NAMES(projections, s->projections, type);
    return st_json_text(a, st_json_keep(a, json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "service", s->name, "operations",
                                                     operations, "subscriptions", subscriptions, "jobs", jobs,
                                                     "schedules", schedules, "projections", projections)));
}
