/*
 * storyctl events replay: events of the past to one service, from the logs and archives of those who published them.
 *
 * They are put among the service's parked events, due now, in the order of the log; its consumer takes them from there
 * as it takes a retry. So nothing new has to keep the rules: one that was handled before is a duplicate by the inbox;
 * of each aggregate one comes after the other, and what arrives meanwhile waits behind them; one that fails is retried
 * and in the end a dead letter. A stream of their own would have had its own positions, leases and order beside the
 * live ones. (What waits for a retry already comes first: it was delivered first.)
 *
 * A page is one transaction: parked events, and how far the replay is (table `replays`). Killed, the same command goes
 * on there. It holds each publisher's archiver off (archive.c takes the same lock), so that nothing moves from the log
 * into a file that was not read.
 *
 * --again forgets that the events were handled, and so repeats their effects: the reason is kept with the replay.
 */
#include "storyctl/ctl_events.h"

#include "io/crypto.h"
#include "io/gzip.h"
#include "io/store.h"
#include "svc/bus.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 500, DEPTH = ST_JSON_DEPTH + 4 };

struct replay {
    struct ctl *c;
    const char *target, *from, *until, *reason, *id;
    int64_t from_us, until_us; /* half-open */
    bool again, dry, terminal;
    const json_t *types; /* names */
    struct st_pg *pg;    /* the target's database */

    const char *publisher;
    struct st_pg *log; /* the publisher's */
    int64_t after;     /* its events up to here are done */
    json_t *page;      /* [{seq, stream, event}] */
    struct st_arena arena;
    int64_t done, total, queued, handled;
};

/* --- the target --- */

static const char sql_lock[] = "select from stream_positions where stream = any (array(select $1 || ':' || p from "
                               "generate_series(0, $2::int - 1) p)) order by stream for update";

/* What of the page is new to the target: neither handled nor parked. */
#define PAGE_SQL                                                                                                       \
    "with page as materialized (select (x->'event'->>'eventId')::uuid as id, x->>'stream' as stream, "                 \
    "x->'event'->>'aggregateId' as aggregate, x->'event' as event, at "                                                \
    "from jsonb_array_elements($1::jsonb) with ordinality t(x, at)), "                                                 \
    "fresh as materialized (select p.*, row_number() over (partition by stream, aggregate order by at) as nth "        \
    "from page p where not exists (select from parked_events q where q.event_id = p.id) "                              \
    "and ($2::boolean or not exists (select from inbox i where i.event_id = p.id))) "

static const char sql_count[] = PAGE_SQL "select count(*) from fresh";

static const char sql_park[] = PAGE_SQL
    ", parked as (insert into parked_events (event_id, stream, aggregate_id, event_type, correlation_id, envelope, "
    "run_at) select id, stream, aggregate, event->>'eventType', event->'metadata'->>'correlationId', event, "
    "case when nth > 1 or exists (select from parked_events q where q.stream = f.stream "
    "and q.aggregate_id = f.aggregate and q.state = 'waiting') then 'infinity' else clock_timestamp() end "
    "from fresh f order by at on conflict do nothing returning 1), "
    /* What is to be handled again was not handled: in this transaction, so that it is in one place or the other. */
    "forgotten as (delete from inbox where $2::boolean and event_id in (select id from fresh)) "
    "select count(*) from parked";

static int sent(struct replay *r, int e)
{
    return e < 0 ? ctl_error("%s: %s", r->target, st_pg_error(r->pg)) : 0;
}

static int count_page(struct replay *r, const char *text, int64_t *ret_new)
{
    struct st_rows *rows;
    int e = st_pg_query(r->pg, &r->arena, sql_count, ST_PARAMS(text, r->again ? "t" : "f"), &rows);
    if (e == 0)
        *ret_new = st_cell_int(rows, 0, 0);
    return sent(r, e);
}

/* The positions are held, so that no consumer takes or wakes an event of these aggregates meanwhile. */
static int park_page(struct replay *r, const char *text, int64_t last_seq, int64_t *ret_new)
{
    struct st_rows *rows;
    st_pg_begin(r->pg);
    st_pg_exec(r->pg, sql_lock, ST_PARAMS(r->publisher, st_i64(&r->arena, ST_BUS_PARTITIONS)));
    int e = st_pg_query(r->pg, &r->arena, sql_park, ST_PARAMS(text, r->again ? "t" : "f"), &rows);
    if (e == 0) {
        *ret_new = st_cell_int(rows, 0, 0);
        st_pg_exec(r->pg,
                   "update replays set progress = progress || jsonb_build_object($2::text, $3::bigint), "
                   "queued = queued + $4::bigint where replay_id = $1",
                   ST_PARAMS(r->id, r->publisher, st_i64(&r->arena, last_seq), st_cell(rows, 0, 0)));
        e = st_pg_commit(r->pg);
    } else {
        st_pg_rollback(r->pg);
    }
    return sent(r, e);
}

static int flush(struct replay *r)
{
    size_t n = json_array_size(r->page);
    int64_t fresh = 0, last = n ? st_json_int(json_array_get(r->page, n - 1), "seq", 0) : 0;
    if (n == 0)
        return 0;
    const char *text = st_json_text(&r->arena, r->page);
    int code = r->dry ? count_page(r, text, &fresh) : park_page(r, text, last, &fresh);
    r->done += (int64_t)n;
    r->queued += fresh;
    r->handled += (int64_t)n - fresh;
    json_array_clear(r->page);
    st_arena_reset(&r->arena);
    if (r->terminal)
        ctl_bar(r->publisher, r->done, r->total);
    return code;
}

/* --- the publisher --- */

static bool is_wanted(const struct replay *r, const json_t *event)
{
    const char *type = st_json_str(event, "eventType", ""), *name;
    int64_t at;
    size_t i;
    json_t *one;
    if (!st_time_parse(st_json_str(event, "timestamp", ""), &at) || at < r->from_us || at >= r->until_us)
        return false;
    json_array_foreach (r->types, i, one)
        if ((name = json_string_value(one)) && st_streq(name, type))
            return true;
    return false;
}

static int add(struct replay *r, int64_t seq, json_t *event)
{
    if (seq <= r->after || !is_wanted(r, event))
        return 0;
    int part = st_bus_partition(st_json_str(event, "aggregateId", ""));
    char stream[128];
    snprintf(stream, sizeof(stream), "%s:%d", r->publisher, part);
    json_array_append_new(r->page,
                          json_pack("{s:I, s:s, s:O}", "seq", (json_int_t)seq, "stream", stream, "event", event));
    return json_array_size(r->page) == PAGE ? flush(r) : 0;
}

static int read_file(struct replay *r, const char *key, const char *path, const char *sha256)
{
    char found[2 * ST_SHA256_LEN + 1];
    struct st_gzip *g;
    struct st_buf line = ST_BUF(ST_ARCHIVE_LINE_MAX);
    struct st_arena a = {0};
    int code = 0, more;
    if (st_sha256_file(path, found) < 0 || !st_streq(found, sha256) || st_gzip_open(path, &g) < 0)
        return ctl_error("%s is missing or was changed; restore it (SHA-256 %s)", key, sha256);
    while (code == 0 && (more = st_gzip_line(g, &line)) == 1) {
        json_t *j = NULL;
        const char *why;
        if (st_json_parse(&a, line.data, line.len, DEPTH, &j, &why) < 0)
            code = ctl_error("%s: %s", key, why);
        else
            code = add(r, st_json_int(j, "seq", 0), json_object_get(j, "event"));
        st_arena_reset(&a);
    }
    if (code == 0 && more < 0)
        code = ctl_error("%s is damaged", key);
    st_gzip_free(g);
    st_buf_release(&line);
    st_arena_release(&a);
    return code;
}

/* A file of the publisher's object store. */
static int read_archive(struct replay *r, const char *key, const char *sha256)
{
    const char *set[5];
    static const char *const names[] = {"ST_STORE", "ST_S3_URL", "ST_S3_REGION", "ST_S3_KEY_ID", "ST_S3_SECRET"};
    for (size_t i = 0; i < ST_COUNT(names); i++)
        set[i] = ctl_env(r->c, r->publisher, names[i]);
    const char *why, *dir = ctl_env(r->c, r->publisher, "ST_OBJECT_DIR");
    const struct st_store store = {.kind = set[0] ? set[0] : "local",
                                   .dir = dir ? dir : ".",
                                   .url = set[1],
                                   .region = set[2] ? set[2] : "us-east-1",
                                   .key_id = set[3],
                                   .secret = set[4]};
    const char *file = st_printf(r->c->arena, "%s/.part/%s", store.dir, st_new_id(r->c->arena));
    if (st_store_check(&store, &why) < 0)
        return ctl_error("the object store: %s", why);
    (void)mkdir(st_printf(r->c->arena, "%s/.part", store.dir), 0750);
    int got = st_store_get(&store, r->c->arena, key, file, &why);
    if (got == ST_E_UNAVAILABLE)
        return ctl_error("%s: %s", key, why);
    int code = read_file(r, key, file, sha256);
    (void)unlink(file);
    return code;
}

/* The times are in $1 and $2. A file's rows have the span of what it holds. */
#define OVERLAPS "state = 'done' and last_at >= $1::timestamptz and first_at < $2::timestamptz"

static int read_archives(struct replay *r)
{
    struct st_rows *rows;
    if (st_pg_query(r->log, r->c->arena,
                    "select path, sha256 from archives where " OVERLAPS " and last_seq > $3::bigint order by first_seq",
                    ST_PARAMS(r->from, r->until, st_i64(r->c->arena, r->after)), &rows) < 0)
        return ctl_error("%s: %s", r->publisher, st_pg_error(r->log));
    for (int i = 0; i < st_rows_count(rows); i++) {
        int code = read_archive(r, st_cell(rows, i, 0), st_cell(rows, i, 1));
        if (code)
            return code;
    }
    return 0;
}

/* What no archive has yet. */
#define BEHIND_ARCHIVES "seq > (select coalesce(max(last_seq), 0) from archives where state = 'done')"

static int read_log(struct replay *r)
{
    struct st_arena a = {0};
    const char *types = st_json_text(r->c->arena, r->types);
    int64_t after = r->after;
    int code = 0, n = PAGE;
    while (code == 0 && n == PAGE) {
        struct st_rows *rows;
        if (st_pg_query(r->log, &a,
                        "select seq, " ST_ENVELOPE_SQL " from events where seq > $1::bigint and " BEHIND_ARCHIVES
                        " and recorded_at >= $2::timestamptz and recorded_at < $3::timestamptz "
                        "and $4::jsonb ? event_type order by seq limit $5::bigint",
                        ST_PARAMS(st_i64(&a, after), r->from, r->until, types, st_i64(&a, PAGE)), &rows) < 0)
            code = ctl_error("%s: %s", r->publisher, st_pg_error(r->log));
        n = code ? 0 : st_rows_count(rows);
        for (int i = 0; code == 0 && i < n; i++) {
            json_t *event;
            const char *why, *text = st_cell(rows, i, 1);
            after = st_cell_int(rows, i, 0);
            code = st_json_parse(&a, text, strlen(text), DEPTH, &event, &why) < 0
                       ? ctl_error("%s: event %lld: %s", r->publisher, (long long)after, why)
                       : add(r, after, event);
        }
        st_arena_reset(&a);
    }
    st_arena_release(&a);
    return code;
}

/* How much there may be, for the bar; and the archiver waits until we are gone. */
static int open_publisher(struct replay *r, const char *name)
{
    struct st_rows *rows;
    r->publisher = name;
    r->after = 0;
    if (!(r->log = ctl_database(r->c, name)))
        return 1;
    if (st_pg_query(r->log, r->c->arena, "select pg_advisory_lock(820149618)", ST_PARAMS(), &rows) < 0 ||
        st_pg_query(r->log, r->c->arena,
                    "select (select count(*) from events where recorded_at >= $1::timestamptz and recorded_at < "
                    "$2::timestamptz and $3::jsonb ? event_type and " BEHIND_ARCHIVES ") + "
                    "(select coalesce(sum(events), 0)::bigint from archives where " OVERLAPS ")",
                    ST_PARAMS(r->from, r->until, st_json_text(r->c->arena, r->types)), &rows) < 0)
        return ctl_error("%s: %s", name, st_pg_error(r->log));
    r->total += st_cell_int(rows, 0, 0);
    if (r->dry)
        return 0;
    if (st_pg_query(r->pg, r->c->arena, "select coalesce((progress->>$2)::bigint, 0) from replays where replay_id = $1",
                    ST_PARAMS(r->id, name), &rows) < 0)
        return sent(r, ST_E_INTERNAL);
    r->after = st_cell_int(rows, 0, 0);
    return 0;
}

static int replay_one(struct replay *r, const char *publisher)
{
    struct st_rows *rows;
    int code = open_publisher(r, publisher);
    if (code == 0)
        code = read_archives(r);
    if (code == 0)
        code = read_log(r);
    if (code == 0)
        code = flush(r);
    if (r->log && st_pg_query(r->log, r->c->arena, "select pg_advisory_unlock(820149618)", ST_PARAMS(), &rows) < 0)
        code = ctl_error("%s: %s", publisher, st_pg_error(r->log));
    return code;
}

/* --- the whole --- */

/* The types to replay: what the target subscribes to, or the one that was asked for. */
static int find_types(struct replay *r, const char *type, const char *bin, const char *dir)
{
    json_t *said = ctl_describe(r->c, st_printf(r->c->arena, "%s/%sd", bin, r->target)), *one;
    json_t *types = st_json_keep(r->c->arena, json_array()), *schema;
    const json_t *registry = said ? ctl_registry(r->c, dir) : NULL;
    size_t i, k;
    if (!registry)
        return 1;
    json_array_foreach (registry, k, schema) {
        const char *name = st_json_str(schema, "title", "");
        bool wanted = false;
        json_array_foreach (json_object_get(said, "subscriptions"), i, one)
            wanted |= st_streq(json_string_value(one), name) || st_streq(json_string_value(one), "*");
        if (wanted && (!type || st_streq(type, name)))
            json_array_append_new(types, json_string(name));
    }
    if (json_array_size(types) == 0)
        return ctl_error("%s does not subscribe to %s; storyctl events catalog says who does", r->target,
                         type ? type : "anything");
    r->types = types;
    return 0;
}

static const char *operator_name(struct ctl *c)
{
    const char *name = getenv("SUDO_USER");
    const struct passwd *pw = name && *name ? NULL : getpwuid(getuid());
    return name && *name ? name : pw ? st_strdup(c->arena, pw->pw_name) : "unknown";
}

/* The replay's row: one that was begun with the same words and not finished, else a new one. */
static int begin(struct replay *r, const char *until_given, const char *type)
{
    struct st_rows *rows;
    const char *asked = st_json_text(
        r->c->arena, st_json_keep(r->c->arena, json_pack("{s:s, s:s?, s:s?, s:b}", "from", r->from, "until",
                                                         until_given, "type", type, "again", r->again)));
    st_pg_begin(r->pg);
    st_pg_exec(r->pg, "select pg_advisory_xact_lock(820149619)", ST_PARAMS());
    int e =
        st_pg_query(r->pg, r->c->arena,
                    "with begun as (select replay_id, started_at from replays where finished_at is null "
                    "and asked = $2::jsonb and reason is not distinct from $3 order by started_at desc limit 1), "
                    "made as (insert into replays (replay_id, asked, reason, operator) select $1, $2::jsonb, $3, $4 "
                    "where not exists (select from begun) returning replay_id, started_at) "
                    "select replay_id, to_char(started_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') "
                    "from begun union all select replay_id, to_char(started_at at time zone 'UTC', "
                    "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') from made",
                    ST_PARAMS(st_new_id(r->c->arena), asked, r->reason, operator_name(r->c)), &rows);
    if (e == 0)
        e = st_pg_commit(r->pg);
    else
        st_pg_rollback(r->pg);
    if (e < 0)
        return sent(r, e);
    r->id = st_cell(rows, 0, 0);
    if (!until_given) /* what came later is not of the past */
        r->until = st_cell(rows, 0, 1);
    return 0;
}

static int finish(struct replay *r)
{
    struct st_rows *rows;
    struct st_bus *bus = ctl_bus(r->c, r->target);
    if (st_pg_query(r->pg, r->c->arena, "update replays set finished_at = now() where replay_id = $1", ST_PARAMS(r->id),
                    &rows) < 0)
        return sent(r, ST_E_INTERNAL);
    if (bus && r->queued) /* else they are found at the next look, within seconds */
        (void)bus->ops->ring(bus, r->c->arena, st_printf(r->c->arena, "jobs:%s", r->target));
    st_bus_free(bus);
    return 0;
}

static void report(const struct replay *r)
{
    if (r->c->json)
        ctl_print_json(r->c, json_pack("{s:s, s:b, s:I, s:I, s:I, s:s?}", "service", r->target, "dryRun", r->dry,
                                       "events", (json_int_t)r->done, "queued", (json_int_t)r->queued, "handledBefore",
                                       (json_int_t)r->handled, "replayId", r->id));
    else
        printf("%lld events; %lld %s to %s, %lld were there already\n", (long long)r->done, (long long)r->queued,
               r->dry ? "would go" : "are on their way", r->target, (long long)r->handled);
}

/* A day, or a moment of RFC 3339. */
static const char *moment(struct ctl *c, const char *text, int64_t *ret_us)
{
    const char *full = strlen(text) == strlen("2026-01-31") ? st_printf(c->arena, "%sT00:00:00Z", text) : text;
    return st_time_parse(full, ret_us) ? full : NULL;
}

static int run(struct replay *r, const char *until_given, const char *type)
{
    const char *names[CTL_SERVICES_MAX];
    int n = ctl_services(r->c, names), code = n > 0 ? 0 : 1;
    if (code == 0 && !(r->pg = ctl_database(r->c, r->target)))
        code = 1;
    if (code == 0 && !r->dry)
        code = begin(r, until_given, type);
    if (code == 0 && (!r->until || !st_time_parse(r->until, &r->until_us)))
        code = ctl_error("%s is no time", r->until ? r->until : "");
    for (int i = 0; code == 0 && i < n; i++)
        code = replay_one(r, names[i]);
    if (r->terminal)
        ctl_bar(NULL, 0, 0);
    if (code == 0 && !r->dry)
        code = finish(r);
    if (code == 0)
        report(r);
    return code;
}

int ctl_events_replay(struct ctl *c)
{
    struct replay r = {.c = c, .terminal = isatty(STDERR_FILENO), .target = ctl_option(c, "--to-service")};
    const char *from = ctl_option(c, "--from"), *until = ctl_option(c, "--until"), *type = ctl_option(c, "--type");
    const char *bin = ctl_option(c, "--bin"), *dir = ctl_registry_dir(c);
    r.again = ctl_flag(c, "--again");
    r.dry = ctl_flag(c, "--dry-run");
    r.reason = ctl_option(c, "--reason");
    if (c->argc != 1 || !from || !r.target)
        return ctl_usage("expected: events replay --from TIME --to-service SERVICE");
    if (!(r.from = moment(c, from, &r.from_us)) || (until && !(r.until = moment(c, until, &r.until_us))))
        return ctl_usage("%s is no time; write 2026-01-31 or 2026-01-31T09:05:07Z", r.from ? until : from);
    if (until && r.until_us <= r.from_us)
        return ctl_usage("--until must be later than --from");
    if (r.again && (!r.reason || !*r.reason))
        return ctl_usage("--again repeats what the events have done, mails too; say why with --reason TEXT");
    char now[ST_TIME_LEN];
    if (!until)
        r.until = st_strdup(c->arena, st_time_format(st_now(), now));
    r.page = json_array();
    int code = find_types(&r, type, bin ? bin : ctl_daemons(c), dir);
    if (code == 0)
        code = run(&r, until ? r.until : NULL, type);
    json_decref(r.page);
    st_arena_release(&r.arena);
    return code;
}
