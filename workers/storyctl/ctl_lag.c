/* storyctl lag: what is under way between the logs, the bus and those who read it, and what holds it up. */
#include "storyctl/storyctl.h"

#include "svc/bus.h"

struct lag {
    struct ctl *c;
    bool why;
    json_t *services; /* the answer */
};

static json_t *ask(struct ctl *c, const char *service, const char *sql)
{
    struct st_pg *pg = ctl_database(c, service);
    struct st_rows *rows;
    if (!pg)
        return NULL;
    if (st_pg_query(pg, c->arena, sql, ST_PARAMS(), &rows) == 0)
        return st_rows_json(rows, c->arena);
    ctl_error("%s: %s", service, st_pg_error(pg));
    return NULL;
}

/* --- a service's log --- */

static const char sql_log[] =
    "select events as unpublished, oldest_seconds as \"oldestSeconds\" from log_unpublished()";

/* Entries of all partitions that each group has not acknowledged. */
static int add_groups(struct lag *l, const char *service, json_t *entry)
{
    struct st_bus *bus = ctl_bus(l->c, service);
    json_t *groups = json_object();
    int r = bus ? 0 : ST_E_INVALID;
    json_object_set_new(entry, "groups", groups);
    for (int p = 0; r == 0 && p < ST_BUS_PARTITIONS; p++) {
        struct st_bus_group *list;
        size_t n;
        r = bus->ops->groups(bus, l->c->arena, service, p, &list, &n);
        for (size_t i = 0; r == 0 && i < n; i++) {
            int64_t before = st_json_int(groups, list[i].name, 0);
            json_object_set_new(groups, list[i].name,
                                json_integer(list[i].lag < 0 || before < 0 ? -1 : before + list[i].lag));
        }
    }
    if (r < 0 && bus)
        ctl_error("the bus: %s", bus->ops->error(bus));
    st_bus_free(bus);
    return r < 0 ? 1 : 0;
}

/* --- what holds it up: each query gives lines for people --- */

#define SESSION                                                                                                        \
    "'session ' || a.pid || ' (' || coalesce(nullif(a.application_name, ''), a.usename, '?') || ', ' || "              \
    "coalesce(a.state, '?') || coalesce(', waits for ' || a.wait_event, '') || ', transaction open for ' || "          \
    "coalesce(round(extract(epoch from clock_timestamp() - a.xact_start))::text, '0') || ' s): ' || "                  \
    "left(regexp_replace(coalesce(a.query, ''), '\\s+', ' ', 'g'), 160)"

static const struct {
    const char *what, *sql;
} reasons[] = {
    {"relay", "select 'no relay leads: is the daemon running, with the role events?' as line where not exists "
              "(select from pg_locks where locktype = 'advisory' and objid = 820149617 and granted and database = "
              "(select oid from pg_database where datname = current_database()))"},
    {"relay",
     "select 'a batch waits to be sent since ' || min(created_at) || ': is the bus away?' as line from relay_batches "
     "where sent_at is null and created_at < now() - interval '5 seconds' having count(*) > 0"},
    {"blocked session", "select " SESSION " || ' | blocked by ' || (select string_agg(" SESSION
                        ", '; ') from pg_stat_activity a where a.pid = any (pg_blocking_pids(b.pid))) as line from "
                        "pg_stat_activity b, lateral (select b.*) a where a.datname = current_database() and "
                        "cardinality(pg_blocking_pids(b.pid)) > 0"},
    {"long transaction", "select " SESSION " as line from pg_stat_activity a where a.datname = current_database() and "
                         "a.pid <> pg_backend_pid() and a.xact_start < clock_timestamp() - interval '5 seconds' "
                         "order by a.xact_start limit 20"},
    {"blocked aggregate",
     "select aggregate_id || ': event ' || event_id || ' (' || event_type || ') from ' || stream || ' failed ' || "
     "attempts || ' times, the next try is at ' || to_char(run_at at time zone 'UTC', 'HH24:MI:SS') || ' UTC, ' || "
     "(select count(*) from parked_events o where o.stream = p.stream and o.aggregate_id = p.aggregate_id and "
     "o.state = 'waiting' and o.run_at = 'infinity') || ' wait behind it: ' || coalesce(left(error, 200), '') as line "
     "from parked_events p where state = 'waiting' and run_at < 'infinity' order by run_at limit 20"},
    {"dead letter",
     "select 'event-' || position || ': ' || event_type || ' ' || event_id || ' of ' || aggregate_id || ': ' || "
     "coalesce(left(error, 200), '') as line from parked_events where state = 'dead' order by position limit 20"},
    {"dead letter", "select 'job-' || job_id || ': ' || name || ': ' || coalesce(left(error, 200), '') as line from "
                    "jobs where state = 'dead' order by job_id limit 20"},
    {"late job",
     "select name || ': ' || count(*) || ' wait, the first for ' || "
     "round(extract(epoch from clock_timestamp() - min(run_at))) || ' s; ' || (select count(*) from jobs r where "
     "r.name = j.name and r.state = 'running') || ' run' as line from jobs j where state = 'waiting' and "
     "run_at < clock_timestamp() - interval '5 seconds' group by name"},
};

static int add_reasons(struct lag *l, const char *service, json_t *entry)
{
    json_t *list = json_array(), *row;
    size_t k;
    json_object_set_new(entry, "why", list);
    for (size_t i = 0; i < ST_COUNT(reasons); i++) {
        json_t *rows = ask(l->c, service, reasons[i].sql);
        if (!rows)
            return 1;
        json_array_foreach (rows, k, row)
            json_array_append_new(
                list, json_pack("{s:s, s:O}", "what", reasons[i].what, "line", json_object_get(row, "line")));
    }
    return 0;
}

/* --- all of it --- */

static int add_service(struct lag *l, const char *service)
{
    json_t *log = ask(l->c, service, sql_log);
    if (!log)
        return 1;
    json_t *entry = json_copy(json_array_get(log, 0));
    json_object_set_new(entry, "service", json_string(service));
    json_array_append_new(l->services, entry);
    int code = add_groups(l, service, entry);
    return code || !l->why ? code : add_reasons(l, service, entry);
}

static void print(const struct lag *l)
{
    size_t i, k;
    json_t *entry, *reason, *lag;
    const char *group;
    json_array_foreach (l->services, i, entry) {
        long long unpublished = (long long)st_json_int(entry, "unpublished", 0), behind = 0;
        bool unknown = false;
        printf("%-14s %lld not on the bus", st_json_str(entry, "service", ""), unpublished);
        if (unpublished)
            printf(", the first for %.1f s", st_json_num(entry, "oldestSeconds", 0));
        json_object_foreach (json_object_get(entry, "groups"), group, lag) {
            if (json_integer_value(lag) > 0)
                printf("; %s is %lld behind", group, (long long)json_integer_value(lag));
            unknown |= json_integer_value(lag) < 0;
            behind += json_integer_value(lag);
        }
        puts(behind || unpublished ? "" : unknown ? "; how far its readers are, the bus cannot tell" : "; all is read");
        json_array_foreach (json_object_get(entry, "why"), k, reason)
            printf("  %s: %s\n", st_json_str(reason, "what", ""), st_json_str(reason, "line", ""));
    }
}

int ctl_lag(struct ctl *c)
{
    const char *only = ctl_option(c, "--service"), *names[CTL_SERVICES_MAX];
    struct lag l = {.c = c, .why = ctl_flag(c, "--why"), .services = st_json_keep(c->arena, json_array())};
    int code = 0;
    if (c->argc)
        return ctl_usage("expected: lag");
    int n = ctl_chosen(c, only, names);
    if (n <= 0)
        return 1;
    for (int i = 0; code == 0 && i < n; i++)
        code = add_service(&l, names[i]);
    if (code == 0 && c->json)
        ctl_print_json(c, json_incref(l.services));
    else if (code == 0)
        print(&l);
    return code;
}
