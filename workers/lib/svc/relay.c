/*
 * The relay: from the log of this service's database onto the bus, nothing lost, each aggregate in order.
 *
 * One relay of a database is active: it holds an advisory lock on the connection it works with. Each turn takes a
 * snapshot s2 and reads what s2 sees and the last batch's snapshot s1 did not, in order of seq (relay_cut). (batch_no,
 * s1, s2) is committed before anything is sent: it is the cursor, and from it the same entries with the same ids can be
 * made again at any time. That commit does not wait for the disk: what a crash of the database forgets is cut again,
 * and sent again under later ids, and those who have had it know it by its events' ids. (What is read is on the disk:
 * who writes events waits for it.)
 *
 * The bus adds a page of entries only when the partitions end where we believe they end (st_bus_ops.publish). So
 * whatever happened (we died, the bus lost data, another relay was at work), nothing is added in the wrong place; the
 * relay asks where the partitions end, and goes on from there. Safety rests on this, not on the lock.
 */
#include "svc/bus.h"
#include "svc/run.h"

enum {
    PAGE_BYTES = 4 << 20,    /* of one publish, about */
    ENVELOPE_MAX = 16 << 20, /* bytes */
    HISTORY_PAGE = 100,      /* batches */
    MARKS = 16,
    POLL_FIRST_MS = 2,        /* after work was found */
    POLL_LAST_MS = 1000,      /* when idle */
    CHECK_EVERY_US = 1000000, /* does an idle bus still hold all? */
    TRIM_EVERY_US = 60000000,
    ERROR_PAUSE_FIRST_MS = 50,
    ERROR_PAUSE_LAST_MS = 1000
};

struct batch {
    int64_t no;
    const char *s1, *s2, *after_seq, *upto_seq; /* as the database writes them */
};

/* Ids of entries that were sent, at even distances: where a partition's last so many entries begin. */
struct marks {
    struct st_bus_id list[MARKS]; /* a ring; all zero: not passed yet */
    int at;
    int64_t since; /* entries since the last */
};

struct relay {
    struct st_run *run;
    struct st_worker w;   /* its arena lasts for a turn */
    struct st_arena page; /* lasts for a page of events */
    struct st_bus *bus;
    const char *service;
    int64_t session; /* the server process that holds our lock; 0: we stand by */
    bool tails_known;
    bool contested; /* another wrote where we were about to: that the bus goes so far does not say that we got there */
    struct st_bus_id tails[ST_BUS_PARTITIONS]; /* where the bus ends */
    struct st_bus_id sent[ST_BUS_PARTITIONS];  /* where it must end */
    struct st_bus_id kept[ST_BUS_PARTITIONS];  /* what lies before was handled by every group */
    struct marks marks[ST_BUS_PARTITIONS];
    struct st_pace pace;
    int64_t next_check, next_trim;
    int told; /* the error that was logged last, 0 when all is well */
};

/* --- talking to both sides; each tells the health check how it went --- */

static int query_(struct relay *r, struct st_arena *a, struct st_rows **ret, const char *sql, int n,
                  const char *const *params)
{
    int e = st_pg_query(r->w.pg, a, sql, n, params, ret);
    atomic_store(&r->run->database_ok, e != ST_E_UNAVAILABLE);
    return e;
}
#define query(r, a, ret, sql, ...) query_((r), (a), (ret), (sql), ST_PARAMS(__VA_ARGS__))

static int bus_said(struct relay *r, int e)
{
    atomic_store(&r->run->bus_ok, e != ST_E_UNAVAILABLE);
    if (e < 0)
        r->tails_known = false;
    return e;
}

static const char *num(struct relay *r, int64_t n)
{
    return st_i64(&r->w.arena, n);
}

/* --- publishing a batch --- */

#define EVENT_COLUMNS                                                                                                  \
    "e.seq, e.event_id, e.event_type, e.aggregate_id, e.aggregate_type, to_char(e.recorded_at at time zone 'UTC', "    \
    "'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), e.version, e.metadata, e.payload"
enum { SEQ, EVENT_ID, TYPE, AGGREGATE_ID, AGGREGATE_TYPE, RECORDED_AT, VERSION, METADATA, PAYLOAD, EVENT_END };
/* What relay_cut gives behind them. */
enum { BATCH_NO = EVENT_END, S1, S2, AFTER_SEQ, SESSION, UNSENT };

/*
 * $1 s1, $2 s2, $3 after seq, $4 up to seq. What s1 did not see are the transactions that began after it and those that
 * ran in it: one arm for each, so that both go by the index on (tx, seq). "offset 0" keeps the planner from joining by
 * a walk through the whole log.
 */
#define BEGAN_LATER "tx >= pg_snapshot_xmax($1::pg_snapshot) and tx < pg_snapshot_xmax($2::pg_snapshot)"
#define RAN         "tx = any (array(select pg_snapshot_xip($1::pg_snapshot)))"
#define ARM(which)                                                                                                     \
    "select seq from events where " which " and pg_visible_in_snapshot(tx, $2::pg_snapshot) "                          \
    "and seq > $3::bigint and seq <= $4::bigint"
#define FOUND "with found as materialized (" ARM(BEGAN_LATER) " union all " ARM(RAN) ") "
#define ROWS  ", lateral (select * from events where seq = f.seq offset 0) e order by f.seq"

_Static_assert(ST_BUS_PAGE == 500, "the page size in the statements");
static const char sql_page[] =
    FOUND "select " EVENT_COLUMNS " from (select seq from found order by seq limit 500) f" ROWS;
static const char sql_rest[] = "declare rest no scroll cursor for " FOUND "select " EVENT_COLUMNS
                               " from (select seq from found order by seq) f" ROWS;
static const char sql_fetch[] = "fetch 500 from rest";

static void json_member(struct st_buf *b, const char *name, const char *value)
{
    st_buf_printf(b, "\"%s\":", name);
    st_buf_json(b, value, strlen(value));
    st_buf_char(b, ',');
}

static char *envelope(struct st_arena *a, struct st_buf *b, const struct st_rows *rows, int i)
{
    st_buf_clear(b);
    st_buf_char(b, '{');
    json_member(b, "eventId", st_cell(rows, i, EVENT_ID));
    json_member(b, "eventType", st_cell(rows, i, TYPE));
    json_member(b, "aggregateId", st_cell(rows, i, AGGREGATE_ID));
    json_member(b, "aggregateType", st_cell(rows, i, AGGREGATE_TYPE));
    json_member(b, "timestamp", st_cell(rows, i, RECORDED_AT));
    json_member(b, "version", st_cell(rows, i, VERSION));
    st_buf_str(b, "\"metadata\":");
    st_buf_str(b, st_cell(rows, i, METADATA));
    st_buf_str(b, ",\"payload\":");
    st_buf_str(b, st_cell(rows, i, PAYLOAD));
    st_buf_char(b, '}');
    return b->failed ? NULL : st_strndup(a, b->data, b->len);
}

/* What is about to be published. */
struct outgoing {
    struct st_bus_entry entries[ST_BUS_PAGE];
    const char *topics[ST_BUS_PAGE];
    size_t n, n_topics, bytes;
};

static void mark(struct marks *m, struct st_bus_id id)
{
    if (++m->since <= st_option_int("bus_retention_entries") / (MARKS - 1))
        return;
    m->list[m->at] = id;
    m->at = (m->at + 1) % MARKS;
    m->since = 0;
}

static int flush(struct relay *r, struct outgoing *out)
{
    if (out->n == 0)
        return 0;
    int e = bus_said(r, r->bus->ops->publish(r->bus, &r->page, r->service, r->tails, out->entries, out->n, out->topics,
                                             out->n_topics));
    r->contested |= e == ST_E_PRECONDITION;
    if (e < 0)
        return e;
    for (size_t i = 0; i < out->n; i++) {
        r->tails[out->entries[i].partition] = out->entries[i].id;
        mark(&r->marks[out->entries[i].partition], out->entries[i].id);
    }
    out->n = out->n_topics = out->bytes = 0;
    return 0;
}

static void add_topic(struct relay *r, struct outgoing *out, const char *type)
{
    const struct st_event_type *t = st_run_event_type(r->run, type);
    if (!t)
        return; /* of an older registry: who waits for it polls */
    for (size_t i = 0; i < out->n_topics; i++)
        if (out->topics[i] == t->topic)
            return;
    out->topics[out->n_topics++] = t->topic;
}

/* Sends those of the rows that the bus does not have. *n counts the events of the batch, `counter` those that were
 * sent.
 */
static int publish_rows(struct relay *r, const struct batch *b, const struct st_rows *rows, int64_t *n,
                        enum st_counter counter)
{
    int e = 0;
    int64_t added = 0;
    struct outgoing *out = st_new(&r->page, struct outgoing);
    struct st_buf text = ST_BUF(ENVELOPE_MAX);
    for (int i = 0; e == 0 && i < st_rows_count(rows); i++) {
        const struct st_bus_id id = {b->no, (*n)++};
        int p = st_bus_partition(st_cell(rows, i, AGGREGATE_ID));
        if (st_bus_id_cmp(id, r->tails[p]) <= 0 || st_bus_id_cmp(id, r->kept[p]) < 0)
            continue;
        char *json = envelope(&r->page, &text, rows, i);
        if (!json) {
            e = ST_E_TOO_LARGE;
            break;
        }
        out->entries[out->n++] = (struct st_bus_entry){.partition = p, .id = id, .text = json};
        out->bytes += text.len;
        add_topic(r, out, st_cell(rows, i, TYPE));
        added++;
        if (out->bytes >= PAGE_BYTES)
            e = flush(r, out);
    }
    st_buf_release(&text);
    if (e == 0 && (e = flush(r, out)) == 0)
        st_count(counter, added);
    return e;
}

/* The pages of a batch behind the first: a cursor, so that a large batch is sorted once. */
static int publish_rest(struct relay *r, const struct batch *b, const char *after_seq, int64_t *n,
                        enum st_counter counter)
{
    struct st_rows *rows;
    const char *after = st_strdup(&r->w.arena, after_seq);
    int e;
    st_pg_begin(r->w.pg);
    st_pg_exec(r->w.pg, sql_rest, ST_PARAMS(b->s1, b->s2, after, b->upto_seq));
    do {
        st_arena_reset(&r->page);
        e = query(r, &r->page, &rows, sql_fetch);
        if (e == 0)
            e = publish_rows(r, b, rows, n, counter);
        st_pace(&r->pace, "relay", e == 0 ? st_rows_count(rows) : 0, true);
    } while (e == 0 && st_rows_count(rows) == ST_BUS_PAGE && !atomic_load(&r->run->stopping));
    st_pg_rollback(r->w.pg);
    return e < 0 ? e : atomic_load(&r->run->stopping) ? ST_E_CANCELLED : 0;
}

/* first: the first page, in r->page. */
static int publish_batch(struct relay *r, const struct batch *b, const struct st_rows *first, enum st_counter counter)
{
    int64_t n = 0;
    int count = st_rows_count(first);
    int e = publish_rows(r, b, first, &n, counter);
    if (e == 0 && count == ST_BUS_PAGE)
        e = publish_rest(r, b, st_cell(first, count - 1, SEQ), &n, counter);
    return e;
}

static int first_page(struct relay *r, const struct batch *b, struct st_rows **ret)
{
    st_arena_reset(&r->page);
    return query(r, &r->page, ret, sql_page, b->s1, b->s2, b->after_seq, b->upto_seq);
}

/* --- the record of what was sent --- */

static int mark_sent(struct relay *r, int64_t batch_no)
{
    struct st_arena *a = &r->w.arena;
    char *batches = st_strdup(a, "{"), *ns = st_strdup(a, "{");
    for (int p = 0; p < ST_BUS_PARTITIONS; p++) {
        const char *end = p + 1 < ST_BUS_PARTITIONS ? "," : "}";
        batches = st_printf(a, "%s%lld%s", batches, (long long)r->tails[p].batch, end);
        ns = st_printf(a, "%s%lld%s", ns, (long long)r->tails[p].n, end);
    }
    st_pg_begin(r->w.pg);
    st_pg_exec(r->w.pg, "update relay_batches set sent_at = now() where batch_no = $1", ST_PARAMS(num(r, batch_no)));
    st_pg_exec(r->w.pg,
               "insert into relay_partitions (partition, sent_batch, sent_n) "
               "select p - 1, b, n from unnest($1::bigint[], $2::bigint[]) with ordinality as t(b, n, p) "
               "on conflict (partition) do update set sent_batch = excluded.sent_batch, sent_n = excluded.sent_n",
               ST_PARAMS(batches, ns));
    int e = st_pg_commit(r->w.pg);
    if (e == 0)
        memcpy(r->sent, r->tails, sizeof(r->sent));
    return e;
}

static int64_t max_tail(const struct relay *r)
{
    int64_t max = 0;
    for (int p = 0; p < ST_BUS_PARTITIONS; p++)
        if (r->tails[p].batch > max)
            max = r->tails[p].batch;
    return max;
}

static struct batch batch_of(struct st_arena *a, const struct st_rows *rows, int i)
{
    return (struct batch){
        .no = st_cell_int(rows, i, 0),
        .s1 = st_strdup(a, st_cell(rows, i, 1)),
        .s2 = st_strdup(a, st_cell(rows, i, 2)),
        .after_seq = st_strdup(a, st_cell(rows, i, 3)),
        .upto_seq = st_strdup(a, st_cell(rows, i, 4)),
    };
}

/* Batches that were recorded, but perhaps not sent: at most a few. */
static int send_unsent(struct relay *r)
{
    struct st_rows *rows, *first;
    /* The bus is ahead of the last record (the database was set back), or goes as far by somebody else's doing: the ids
     * would be taken for old ones. */
    int e = query(r, &r->w.arena, &rows,
                  "update relay_batches set batch_no = batch_no + 1 + greatest($1::bigint, last) - first from "
                  "(select max(batch_no) as last, min(batch_no) filter (where sent_at is null) as first "
                  "from relay_batches) ends "
                  "where sent_at is null and $1::bigint >= case when $2 then first else last + 1 end",
                  num(r, max_tail(r)), r->contested ? "t" : "f");
    if (e == 0)
        r->contested = false;
    if (e == 0)
        e = query(r, &r->w.arena, &rows,
                  "select batch_no, s1, s2, after_seq, upto_seq from relay_batches where sent_at is null "
                  "order by batch_no");
    for (int i = 0; e == 0 && i < st_rows_count(rows); i++) {
        struct batch b = batch_of(&r->w.arena, rows, i);
        if ((e = first_page(r, &b, &first)) == 0 && (e = publish_batch(r, &b, first, ST_N_RELAYED)) == 0)
            e = mark_sent(r, b.no);
    }
    return e;
}

/* --- a bus that holds less than was sent --- */

/* Did the bus lose entries of this partition that someone may still need? */
static bool is_lost(const struct relay *r, int p)
{
    return st_bus_id_cmp(r->tails[p], r->sent[p]) < 0 && st_bus_id_cmp(r->kept[p], r->sent[p]) <= 0;
}

static int publish_history(struct relay *r, int64_t from)
{
    struct st_rows *rows, *first;
    int e = 0, n;
    memset(r->marks, 0, sizeof(r->marks));
    do {
        st_arena_reset(&r->w.arena);
        e = query(r, &r->w.arena, &rows,
                  "select batch_no, s1, s2, after_seq, upto_seq from relay_batches "
                  "where batch_no >= $1 and sent_at is not null order by batch_no limit $2",
                  num(r, from), num(r, HISTORY_PAGE));
        n = e == 0 ? st_rows_count(rows) : 0;
        for (int i = 0; e == 0 && i < n; i++) {
            struct batch b = batch_of(&r->w.arena, rows, i);
            if (atomic_load(&r->run->stopping))
                return ST_E_CANCELLED;
            if ((e = first_page(r, &b, &first)) == 0)
                e = publish_batch(r, &b, first, ST_N_REPUBLISHED);
            from = b.no + 1;
        }
    } while (e == 0 && n == HISTORY_PAGE);
    return e;
}

/* Asks where the partitions end, and publishes again what is missing. */
static int verify(struct relay *r)
{
    int64_t from = INT64_MAX;
    int e = bus_said(r, r->bus->ops->tails(r->bus, &r->w.arena, r->service, r->tails));
    if (e < 0)
        return e;
    r->tails_known = true;
    r->next_check = st_mono() + CHECK_EVERY_US;
    for (int p = 0; p < ST_BUS_PARTITIONS; p++)
        if (is_lost(r, p)) {
            struct st_bus_id first = st_bus_id_cmp(r->tails[p], r->kept[p]) > 0 ? r->tails[p] : r->kept[p];
            from = first.batch < from ? first.batch : from;
        }
    if (from == INT64_MAX)
        return 0;
    st_log(ST_LOG_WARNING, "The bus holds less than was sent; publishing again", ST_I("fromBatch", from));
    if ((e = publish_history(r, from)) < 0)
        return e;
    for (int p = 0; p < ST_BUS_PARTITIONS; p++)
        if (is_lost(r, p)) {
            st_log(ST_LOG_ERROR, "The log no longer holds what the bus has lost", ST_I("partition", p));
            r->sent[p] = r->tails[p];
        }
    return 0;
}

/* --- leading --- */

static void load_partitions(struct relay *r, const struct st_rows *rows)
{
    memset(r->sent, 0, sizeof(r->sent));
    memset(r->kept, 0, sizeof(r->kept));
    for (int i = 0; i < st_rows_count(rows); i++) {
        int64_t p = st_cell_int(rows, i, 0);
        if (p < 0 || p >= ST_BUS_PARTITIONS)
            continue;
        r->sent[p] = (struct st_bus_id){st_cell_int(rows, i, 1), st_cell_int(rows, i, 2)};
        r->kept[p] = (struct st_bus_id){st_cell_int(rows, i, 3), st_cell_int(rows, i, 4)};
    }
}

/*
 * The database was dumped and restored into another cluster, whose transaction ids start anew: the cursor means
 * nothing here. All events are one batch again (who had them knows them by their ids), and the log goes on behind
 * them. The lock keeps writers out, so that no event with a lower seq is still under way.
 */
static int start_over(struct relay *r)
{
    const char *now_ms = num(r, st_now() / 1000);
    st_pg_begin(r->w.pg);
    st_pg_exec(r->w.pg, "lock table events in share row exclusive mode", ST_PARAMS());
    st_pg_exec(r->w.pg, "update relay_batches set sent_at = now() where sent_at is null", ST_PARAMS());
    st_pg_exec(r->w.pg,
               "with at as (select greatest((select max(batch_no) from relay_batches) + 1, $1::bigint) as no, "
               "coalesce((select max(seq) from events), 0) as seq, "
               "(select system_identifier::text from pg_control_system()) as id, pg_current_snapshot() as s) "
               "insert into relay_batches (batch_no, system_identifier, s1, s2, after_seq, upto_seq) "
               "select no, id, '1:1:', '9223372036854775807:9223372036854775807:', 0, seq from at union all "
               "select no + 1, id, s, s, seq, 9223372036854775807 from at",
               ST_PARAMS(now_ms));
    return st_pg_commit(r->w.pg);
}

/*
 * A leader that lives asks the database something every second or two, also when the bus is away. One that is stopped
 * or hangs keeps its lock; it loses its session, and with it the lock. (Safety does not rest on that: see above.)
 */
static int unseat(struct relay *r)
{
    struct st_rows *rows;
    int e = query(r, &r->w.arena, &rows,
                  "select pg_terminate_backend(a.pid) from pg_locks l join pg_stat_activity a on a.pid = l.pid "
                  "where l.locktype = 'advisory' and l.classid = 0 and l.objid = 820149617 and l.objsubid = 1 "
                  "and l.granted and a.datname = current_database() and l.database = a.datid "
                  "and (a.state <> 'active' or a.wait_event_type = 'Client') "
                  "and a.state_change < clock_timestamp() - interval '15 seconds'");
    if (e == 0 && st_rows_count(rows))
        st_log(ST_LOG_WARNING, "The relay that led has not moved; another takes over");
    return e;
}

/* Takes the lock, or finds out that another has it (0, and session stays 0). */
static int lead(struct relay *r)
{
    struct st_rows *rows;
    int e = query(r, &r->w.arena, &rows,
                  "select pg_try_advisory_lock(820149617), pg_backend_pid(), "
                  "set_config('plan_cache_mode', 'force_custom_plan', false), " /* snapshots choose the plan */
                  "set_config('synchronous_commit', 'off', false), "
                  "(select system_identifier from relay_batches order by batch_no desc limit 1) <> "
                  "(select system_identifier::text from pg_control_system())");
    if (e < 0)
        return e;
    if (!st_streq(st_cell(rows, 0, 0), "t"))
        return unseat(r);
    int64_t session = st_cell_int(rows, 0, 1);
    if (st_streq(st_cell(rows, 0, 4), "t")) {
        st_log(ST_LOG_WARNING, "The database was restored elsewhere; all its events are published again");
        if ((e = start_over(r)) < 0)
            return e;
    }
    if ((e = query(r, &r->w.arena, &rows,
                   "select partition, sent_batch, sent_n, kept_batch, kept_n from relay_partitions")) < 0)
        return e;
    load_partitions(r, rows);
    r->tails_known = false;
    r->session = session;
    atomic_store(&r->run->relay_leads, true);
    return 0;
}

static void resign(struct relay *r)
{
    r->session = 0;
    atomic_store(&r->run->relay_leads, false);
}

/* --- a turn --- */

static int trim_partition(struct relay *r, int p)
{
    struct st_bus_group *groups;
    size_t n;
    struct st_rows *rows;
    struct st_arena *a = &r->w.arena;
    int e = bus_said(r, r->bus->ops->groups(r->bus, a, r->service, p, &groups, &n));
    if (e < 0 || n == 0)
        return e;
    json_t *names = st_json_keep(a, json_array());
    struct st_bus_id from = groups[0].needs;
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(names, json_string(groups[i].name));
        if (st_bus_id_cmp(groups[i].needs, from) < 0)
            from = groups[i].needs;
    }
    /* Batches are numbered by the clock in milliseconds: what is young stays for operators and for new groups, but not
     * without end. */
    struct st_bus_id old = {st_now() / 1000 - st_option_int("bus_retention_hours") * 3600 * 1000, 0};
    const struct st_bus_id *many = &r->marks[p].list[r->marks[p].at]; /* the oldest mark */
    if (st_bus_id_cmp(old, *many) < 0)
        old = *many;
    if (st_bus_id_cmp(old, from) < 0)
        from = old;
    e = query(
        r, a, &rows,
        "insert into relay_groups (group_name) select jsonb_array_elements_text($1::jsonb) on conflict do nothing",
        st_json_text(a, names));
    if (e == 0)
        e = query(r, a, &rows, "select from relay_groups where not $1::jsonb ? group_name limit 1",
                  st_json_text(a, names));
    if (e < 0 || st_rows_count(rows) || st_bus_id_cmp(from, r->kept[p]) <= 0)
        return e;
    e = query(r, a, &rows, "update relay_partitions set kept_batch = $2, kept_n = $3 where partition = $1", num(r, p),
              num(r, from.batch), num(r, from.n));
    if (e < 0)
        return e;
    r->kept[p] = from;
    return bus_said(r, r->bus->ops->trim(r->bus, a, r->service, p, from));
}

/* Forgets what every group has handled and is old enough: on the bus, and the history from which it would be published
 * again. */
static int trim(struct relay *r)
{
    struct st_rows *rows;
    int64_t before = INT64_MAX;
    for (int p = 0; p < ST_BUS_PARTITIONS; p++) {
        int e = trim_partition(r, p);
        if (e < 0)
            return e;
        if (st_bus_id_cmp(r->kept[p], r->sent[p]) <= 0 && r->sent[p].batch > 0 && r->kept[p].batch < before)
            before = r->kept[p].batch;
    }
    r->next_trim = st_mono() + TRIM_EVERY_US;
    return query(r, &r->w.arena, &rows,
                 "delete from relay_batches where batch_no < $1 and sent_at < now() - interval '1 day' "
                 "and batch_no < (select max(batch_no) from relay_batches)",
                 num(r, before));
}

/* What an idle relay does now and then. */
static int keep_house(struct relay *r)
{
    int e = st_mono() >= r->next_check ? verify(r) : 0;
    return e == 0 && st_mono() >= r->next_trim ? trim(r) : e;
}

/* *ret_busy: there was work, so there may be more. */
static int turn(struct relay *r, bool *ret_busy)
{
    struct st_rows *rows;
    int e = r->session ? 0 : lead(r);
    if (e < 0 || !r->session)
        return e;
    if (!r->tails_known && (e = verify(r)) < 0)
        return e;
    int64_t least = st_now() / 1000; /* batches are numbered by the clock */
    if (least <= max_tail(r))
        least = max_tail(r) + 1;
    e = query(r, &r->page, &rows, "select * from relay_cut($1, $2)", num(r, least), num(r, ST_BUS_PAGE));
    if (e < 0)
        return e;
    if (st_cell_int(rows, 0, SESSION) != r->session) { /* a new connection: the lock went with the old one */
        resign(r);
        *ret_busy = true;
        return 0;
    }
    if (st_streq(st_cell(rows, 0, UNSENT), "t")) {
        *ret_busy = true;
        return send_unsent(r);
    }
    if (!st_cell(rows, 0, SEQ)) {
        st_pace(&r->pace, "relay", 0, false);
        return keep_house(r);
    }
    *ret_busy = true;
    const struct batch b = {st_cell_int(rows, 0, BATCH_NO), st_strdup(&r->w.arena, st_cell(rows, 0, S1)),
                            st_strdup(&r->w.arena, st_cell(rows, 0, S2)),
                            st_strdup(&r->w.arena, st_cell(rows, 0, AFTER_SEQ)), "9223372036854775807"};
    if ((e = publish_batch(r, &b, rows, ST_N_RELAYED)) == 0 && (e = mark_sent(r, b.no)) == 0 &&
        st_mono() >= r->next_trim)
        e = trim(r);
    return e;
}

/* Logs when trouble begins, changes and ends. */
static void tell(struct relay *r, int e)
{
    if (e == r->told || e == ST_E_CANCELLED) /* cancelled: we are stopping */
        return;
    r->told = e;
    if (e == 0)
        st_log(ST_LOG_INFO, "The relay works again");
    else
        st_log(ST_LOG_WARNING, "The relay waits", ST_S("error", st_err_code(e)), ST_S("database", st_pg_error(r->w.pg)),
               ST_S("bus", r->bus->ops->error(r->bus)));
}

/* After a turn without work. A ring is for whoever leads: if that is not us, it goes on to the bus. */
static void rest(struct relay *r, uint64_t seen, int *wait_ms)
{
    st_bell_wait(&r->run->relay_bell, seen, *wait_ms);
    bool rung = st_bell_rings(&r->run->relay_bell) != seen;
    if (!r->session) {
        *wait_ms = POLL_LAST_MS;
        if (rung)
            (void)bus_said(r, r->bus->ops->ring(r->bus, &r->page, st_printf(&r->page, "relay:%s", r->service)));
    } else {
        *wait_ms = rung ? POLL_FIRST_MS : *wait_ms * 2 < POLL_LAST_MS ? *wait_ms * 2 : POLL_LAST_MS;
    }
}

void *st_relay_main(void *ctx)
{
    struct st_run *run = ctx;
    struct relay r = {.run = run, .service = run->service->name, .next_trim = st_mono() + TRIM_EVERY_US};
    int wait_ms = POLL_FIRST_MS, pause_ms = ERROR_PAUSE_FIRST_MS;
    st_worker_init(&r.w, run, "relay");
    r.bus = st_bus_open();
    while (!atomic_load(&run->stopping)) {
        uint64_t seen = st_bell_rings(&run->relay_bell);
        bool busy = false;
        int e = turn(&r, &busy);
        if (e == ST_E_PRECONDITION) { /* the bus ends elsewhere than we thought: look, and go on from there */
            busy = true;
            e = 0;
        }
        tell(&r, e);
        st_arena_reset(&r.w.arena);
        st_arena_reset(&r.page);
        if (e < 0) {
            if (r.session && st_pg_ping(r.w.pg) < 0) /* a sign of life: see unseat */
                resign(&r);
            st_run_pause(run, pause_ms);
            pause_ms = pause_ms * 2 < ERROR_PAUSE_LAST_MS ? pause_ms * 2 : ERROR_PAUSE_LAST_MS;
            continue;
        }
        pause_ms = ERROR_PAUSE_FIRST_MS;
        if (busy)
            wait_ms = POLL_FIRST_MS;
        else
            rest(&r, seen, &wait_ms);
    }
    resign(&r);
    r.bus = st_bus_free(r.bus);
    st_worker_release(&r.w);
    st_arena_release(&r.page);
    return NULL;
}
