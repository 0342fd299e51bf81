/* storyctl events tail: the events of the logs, as they are committed. */
#include "storyctl/ctl_events.h"

enum { FOLLOW_MS = 500, LAST_MAX = 10000 };

/* A service's log, read up to a snapshot: what commits late, behind events with higher numbers, is not missed. */
struct log {
    const char *service;
    struct st_pg *pg;
    char *snapshot;
};

struct tail {
    struct ctl *c;
    const char *type; /* NULL for all */
    bool cloud_events;
    const json_t *registry; /* for CloudEvents */
    struct log logs[CTL_SERVICES_MAX];
    int n_logs;
};

struct entry {
    const char *timestamp, *service;
    const json_t *event;
};

static int by_time(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->timestamp, ((const struct entry *)b)->timestamp);
}

static void print(struct tail *t, const struct entry *entry)
{
    const json_t *e = entry->event;
    if (t->cloud_events)
        e = ctl_cloud_event(t->c, t->registry, entry->service, e);
    if (t->c->json || t->cloud_events)
        puts(st_json_text(t->c->arena, e));
    else
        printf("%s  %-26s %s/%s  %s\n", st_json_str(e, "timestamp", ""), st_json_str(e, "eventType", ""),
               st_json_str(e, "aggregateType", ""), st_json_str(e, "aggregateId", ""),
               st_json_str(json_object_get(e, "metadata"), "correlationId", ""));
}

#define SELECT "select " ST_ENVELOPE_SQL " from events where ($1::text is null or event_type = $1) "
static const char sql_last[] = SELECT "order by seq desc limit $2::bigint";
static const char sql_since[] =
    SELECT "and tx >= pg_snapshot_xmin($3::pg_snapshot) and not pg_visible_in_snapshot(tx, $3::pg_snapshot) "
           "order by seq limit $2::bigint";

/* The events of a log behind its snapshot, or the last; and the snapshot of this moment. */
static int read_log(struct tail *t, struct log *log, int64_t last, struct st_rows **ret)
{
    struct st_arena *a = t->c->arena;
    struct st_rows *now;
    const char *count = st_i64(a, last);
    st_pg_begin(log->pg);
    st_pg_exec(log->pg, "set transaction isolation level repeatable read, read only", ST_PARAMS());
    int r = st_pg_query(log->pg, a, "select pg_current_snapshot()::text", ST_PARAMS(), &now);
    if (r == 0)
        r = log->snapshot ? st_pg_query(log->pg, a, sql_since, ST_PARAMS(t->type, count, log->snapshot), ret)
                          : st_pg_query(log->pg, a, sql_last, ST_PARAMS(t->type, count), ret);
    if (r == 0)
        r = st_pg_commit(log->pg);
    else
        st_pg_rollback(log->pg);
    if (r < 0)
        return ctl_error("%s: %s", log->service, st_pg_error(log->pg));
    free(log->snapshot);
    log->snapshot = strdup(st_cell(now, 0, 0));
    return log->snapshot ? 0 : 1;
}

/* Prints what is new in all logs, in order of time; at first the last `last`. */
static int turn(struct tail *t, int64_t last)
{
    struct st_arena *a = t->c->arena;
    struct st_rows *rows[CTL_SERVICES_MAX];
    size_t total = 0, n = 0;
    bool first = t->n_logs && !t->logs[0].snapshot;
    for (int i = 0; i < t->n_logs; i++) {
        if (read_log(t, &t->logs[i], first ? last : INT32_MAX, &rows[i]))
            return 1;
        total += (size_t)st_rows_count(rows[i]);
    }
    struct entry *found = st_new_n(a, struct entry, total + 1);
    for (int i = 0; i < t->n_logs; i++)
        for (int k = 0; k < st_rows_count(rows[i]); k++) {
            json_t *event = ctl_envelope(t->c, rows[i], k);
            found[n++] = (struct entry){st_json_str(event, "timestamp", ""), t->logs[i].service, event};
        }
    qsort(found, n, sizeof(*found), by_time);
    for (size_t i = first && n > (size_t)last ? n - (size_t)last : 0; i < n; i++)
        print(t, &found[i]);
    fflush(stdout);
    return 0;
}

static int open_logs(struct tail *t, const char *only)
{
    const char *names[CTL_SERVICES_MAX];
    int n = ctl_chosen(t->c, only, names);
    if (n <= 0)
        return 1;
    for (int i = 0; i < n; i++) {
        struct st_pg *pg = ctl_database(t->c, names[i]);
        if (!pg)
            return 1;
        t->logs[t->n_logs++] = (struct log){.service = names[i], .pg = pg};
    }
    return 0;
}

int ctl_events_tail(struct ctl *c)
{
    const char *only = ctl_option(c, "--service"), *count = ctl_option(c, "--last");
    struct tail t = {.c = c, .type = ctl_option(c, "--type"), .cloud_events = ctl_flag(c, "--cloudevents")};
    bool follow = ctl_flag(c, "--follow");
    const char *dir = ctl_registry_dir(c);
    int64_t last = 20;
    if (c->argc != 1 || (count && !st_parse_i64(count, 1, LAST_MAX, &last)))
        return ctl_usage("expected: events tail, with --last of at most %d", LAST_MAX);
    if ((t.cloud_events && !(t.registry = ctl_registry(c, dir))) || open_logs(&t, only))
        return 1;
    struct st_arena *outer = c->arena, each = {0};
    int code;
    do { /* each turn's memory goes with it */
        c->arena = &each;
        code = turn(&t, last);
        st_arena_reset(&each);
        c->arena = outer;
        if (code == 0 && follow)
            st_sleep_ms(FOLLOW_MS);
    } while (code == 0 && follow);
    st_arena_release(&each);
    for (int i = 0; i < t.n_logs; i++)
        free(t.logs[i].snapshot);
    return code;
}
