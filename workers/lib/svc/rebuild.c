/*
 * Building the tables of projections anew from the log, while they serve.
 *
 * The projections run with `rebuild, public` as search path, so they write tables of the same names in the schema
 * rebuild. The log is read in passes: the first takes what a snapshot sees, each further one what a new snapshot sees
 * besides; each is shorter than the one before. The last runs while the served tables are locked: whoever has written
 * an event and its rows has committed by then, so the pass sees the event; whoever has written an event and waits with
 * the rows will write them into the new tables. Then the tables change places, in that same transaction.
 *
 * Nothing is kept of a rebuild that ends before: it starts from the beginning, and fences whatever is left of an
 * earlier one (rebuild_run).
 */
#include "svc/rebuild.h"

#include "svc/secret.h"

enum {
    SHORT_PASS = 200, /* events: so few may be left for the time of the lock */
    LOCK_MS = 400,    /* less than PostgreSQL's deadlock_timeout, so that it is we who give way */
    LOCK_TRIES = 200,
    LOCK_PAUSE_MS = 100,
    TELL_EVERY_US = 200000,
    SEQ_LEN = 24,
    EXAMPLES = 5 /* of each side of a table that differs */
};

/* What a pass sees: the log up to a seq, without what was being written when the snapshot was taken. */
struct view {
    const char *snapshot, *upto; /* as the database writes them */
};

struct rebuild {
    struct st_run *run;
    struct st_worker w; /* its arena lasts for a page */
    struct st_arena lasting;
    const char *run_id, *tables, *types; /* the lists as arrays of PostgreSQL */
    struct view before, now;             /* of the last pass, of this one */
    char cursor[SEQ_LEN];                /* seq of the last event of this pass that is done with */
    int64_t done, total, told_at;
    bool busy;        /* the tables could not be locked in time */
    bool careful;     /* a page has failed: event by event, to find out which */
    const char *at;   /* careful: the event that is projected */
    json_t *compared; /* by check */
    const char *ret_why;
    FILE *out;
};

/* --- reading the log --- */

/*
 * A page of what this pass sees and the one before did not: $2 cursor, $3 and $4 the view before, $5 and $6 the view
 * now. That is what is behind the end of the one before, and what was being written then. A transaction that began
 * after a snapshot writes behind the highest seq in it, so tx is compared with those that were running alone: that
 * holds in a database that was restored, too, whose events have tx of another cluster.
 */
#define NOW                                                                                                            \
    "event_type = any($1::text[]) and tx <> all (array(select pg_snapshot_xip($5::pg_snapshot))) and seq > "           \
    "$2::bigint "
static const char sql_page[] =
    "with found as materialized ("
    "(select seq from events where " NOW "and seq > $4::bigint and seq <= $6::bigint order by seq limit 200) union all "
    "(select seq from events where " NOW "and seq <= $4::bigint "
    "and tx = any (array(select pg_snapshot_xip($3::pg_snapshot))) order by seq limit 200)) "
    "select e.event_id, e.event_type, e.aggregate_type, e.aggregate_id, e.version, e.metadata->>'userId', e.payload, "
    "e.seq from (select seq from found order by seq limit 200) f, "
    "lateral (select * from events where seq = f.seq offset 0) e order by f.seq";
enum { EVENT_ID, TYPE, AGGREGATE_TYPE, AGGREGATE_ID, VERSION, USER_ID, PAYLOAD, SEQ };

static int read_page(struct rebuild *r, struct st_call *call, struct st_rows **ret)
{
    return st_rows(call, ret, sql_page, r->types, r->cursor, r->before.snapshot, r->before.upto, r->now.snapshot,
                   r->now.upto);
}

static int look(struct rebuild *r, struct st_call *call)
{
    struct st_rows *rows;
    int e = st_rows(call, &rows, "select pg_current_snapshot()::text, coalesce(max(seq), 0)::text from events");
    if (e < 0)
        return e;
    r->now.snapshot = st_strdup(&r->lasting, st_cell(rows, 0, 0));
    r->now.upto = st_strdup(&r->lasting, st_cell(rows, 0, 1));
    snprintf(r->cursor, sizeof(r->cursor), "0");
    return 0;
}

/* --- projecting --- */

static int project_event(struct st_call *call, const struct st_rows *rows, int i)
{
    const char *text = st_cell(rows, i, PAYLOAD), *why = "";
    const struct st_event event = {.id = st_cell(rows, i, EVENT_ID),
                                   .type = st_cell(rows, i, TYPE),
                                   .topic = "",
                                   .aggregate_type = st_cell(rows, i, AGGREGATE_TYPE),
                                   .aggregate_id = st_cell(rows, i, AGGREGATE_ID),
                                   .timestamp = "",
                                   .version = st_cell(rows, i, VERSION),
                                   .user_id = st_cell(rows, i, USER_ID) ? st_cell(rows, i, USER_ID) : ""};
    const struct st_run *run = call->p->worker->run;
    const struct st_event_type *type = st_run_event_version(run, event.type, event.version);
    json_t *payload;
    int e = st_json_parse(call->arena, text, strlen(text), ST_JSON_DEPTH, &payload, &why);
    if (e < 0)
        return st_fail(call, e, "its payload is no JSON: %s", why);
    if (!type)
        return st_fail(call, ST_E_INVALID, "version %s is not in the registry", event.version);
    if (type->sensitive && st_run_projection(run, event.type)->sensitive &&
        (e = st_secret_open_payload(call, type, event.id, payload)) < 0)
        return e;
    return st_project(call, &event, payload, payload);
}

static int project_page(struct rebuild *r, struct st_call *call, const struct st_rows *rows)
{
    int e = 0;
    for (int i = 0; e == 0 && i < st_rows_count(rows); i++) {
        if (r->careful)
            r->at = st_strdup(&r->lasting, st_cell(rows, i, EVENT_ID));
        e = project_event(call, rows, i);
        if (e == 0 && r->careful)
            e = st_pg_flush(r->w.pg);
        if (e < 0)
            e = st_fail(call, e, "%s: %s", st_cell(rows, i, TYPE), st_call_error(call, e));
    }
    return e;
}

/* The first statements of every transaction that writes: where to, and whether we still may. */
static int begin_writing(struct rebuild *r, struct st_call *call)
{
    st_exec(call, "set local search_path = rebuild, public");
    st_exec(call, "set local statement_timeout = 0");
    int e = st_exec_one(call, ST_E_FENCED, "select from rebuild_run where run_id = $1 for share", r->run_id);
    return e == ST_E_FENCED ? st_fail(call, e, "another rebuild has taken over") : e;
}

static void tell(struct rebuild *r, const char *phase, bool now)
{
    if (!now && st_mono() < r->told_at + TELL_EVERY_US)
        return;
    r->told_at = st_mono();
    fprintf(r->out, "{\"phase\":\"%s\",\"done\":%lld,\"total\":%lld}\n", phase, (long long)r->done,
            (long long)(r->total > r->done ? r->total : r->done));
    fflush(r->out);
}

/* A transaction. */
static int write_in(struct rebuild *r, int (*body)(struct st_call *call, void *ctx), void *ctx)
{
    struct st_call call;
    st_call_init(&call, &r->w, "rebuild");
    call.correlation_id = r->run_id;
    int e = st_call_transact(&call, body, ctx);
    if (e < 0 && !r->busy)
        r->ret_why = st_strdup(&r->lasting, st_call_error(&call, e));
    st_arena_reset(&r->w.arena);
    return e;
}

struct page {
    struct rebuild *r;
    int n;
    char last[SEQ_LEN]; /* seq */
};

static int write_page(struct st_call *call, void *ctx)
{
    struct page *p = ctx;
    struct st_rows *rows;
    st_exec(call, "set local synchronous_commit = off"); /* a rebuild that is cut off starts again */
    int e = begin_writing(p->r, call);
    if (e < 0 || (e = read_page(p->r, call, &rows)) < 0)
        return e;
    p->n = st_rows_count(rows);
    snprintf(p->last, sizeof(p->last), "%s", p->n ? st_cell(rows, p->n - 1, SEQ) : "");
    return project_page(p->r, call, rows);
}

static int write_page_or_tell(struct rebuild *r, struct page *p)
{
    int e = write_in(r, write_page, p);
    if (e < 0 && e != ST_E_FENCED && e != ST_E_UNAVAILABLE) {
        r->careful = true;
        if (write_in(r, write_page, p) < 0)
            r->ret_why = st_printf(&r->lasting, "event %s, %s", r->at, r->ret_why);
    }
    return e;
}

static int look_now(struct st_call *call, void *ctx)
{
    return look(ctx, call);
}

/* What is new since the last pass, a transaction for each page. */
static int pass(struct rebuild *r, int64_t *ret_n)
{
    struct page p = {.r = r};
    int64_t before = r->done;
    int e = write_in(r, look_now, r);
    while (e == 0 && (e = write_page_or_tell(r, &p)) == 0 && p.n) {
        memcpy(r->cursor, p.last, sizeof(r->cursor));
        r->done += p.n;
        tell(r, "project", false);
    }
    r->before = r->now;
    *ret_n = r->done - before;
    return e;
}

/*
 * The whole log, but for little. Each pass is shorter than the one before, unless the service writes about as fast as
 * the projections can: then no pass would be the last, and the lock holds it back for the time of one.
 */
static int passes(struct rebuild *r)
{
    int64_t n = INT64_MAX, before;
    int e;
    do {
        before = n;
        e = pass(r, &n);
    } while (e == 0 && n > SHORT_PASS && n < before / 4 * 3);
    return e;
}

/* --- the two ends --- */

static int begin(struct st_call *call, void *ctx)
{
    struct rebuild *r = ctx;
    st_exec(call, "select rebuild_begin($1, $2::text[])", r->run_id, r->tables);
    return 0;
}

static int end(struct st_call *call, void *ctx)
{
    int e = begin_writing(ctx, call);
    st_exec(call, "select rebuild_end()");
    return e;
}

static int analyze(struct st_call *call, void *ctx)
{
    struct rebuild *r = ctx;
    int e = begin_writing(r, call);
    st_exec(call, "select rebuild_analyze($1::text[])", r->tables);
    return e;
}

static bool locked(const struct st_rows *rows)
{
    return st_streq(st_cell(rows, 0, 0), "t");
}

/* The last pass and the exchange, in one transaction. */
static int swap(struct st_call *call, void *ctx)
{
    struct rebuild *r = ctx;
    struct st_rows *rows;
    int e = begin_writing(r, call);
    if (e < 0 || (e = st_rows(call, &rows, "select rebuild_lock($1::text[], 'access exclusive', $2)", r->tables,
                              st_i64(call->arena, LOCK_MS))) < 0)
        return e;
    r->busy = !locked(rows);
    if (r->busy)
        return ST_E_CONFLICT;
    int64_t n = 0;
    e = look(r, call);
    while (e == 0 && (e = read_page(r, call, &rows)) == 0 && st_rows_count(rows)) {
        n += st_rows_count(rows);
        snprintf(r->cursor, sizeof(r->cursor), "%s", st_cell(rows, st_rows_count(rows) - 1, SEQ));
        e = project_page(r, call, rows);
    }
    st_exec(call, "select rebuild_swap($1::text[])", r->tables);
    r->done += n;
    return e;
}

/* Whoever holds a table for long is waited for between two tries, not in them. */
static int try_to(struct rebuild *r, int (*once)(struct rebuild *r))
{
    int e = 0;
    for (int i = 0; i < LOCK_TRIES; i++) {
        int64_t done = r->done;
        r->busy = false;
        e = once(r);
        if (!r->busy)
            return e;
        r->done = done;
        st_sleep_ms(LOCK_PAUSE_MS);
        if ((e = passes(r)) < 0)
            return e;
    }
    r->ret_why = "the tables could not be locked, for a transaction holds them all the time; try again later";
    return ST_E_CONFLICT;
}

static int swap_once(struct rebuild *r)
{
    return write_in(r, swap, r);
}

/* --- comparing --- */

static int compare(struct st_call *call, void *ctx)
{
    struct rebuild *r = ctx;
    struct st_rows *rows;
    json_t *all = json_array(), *one;
    const char *why;
    int e = 0;
    for (const char *const *table = r->run->service->tables; e == 0 && *table; table++) {
        e = st_rows(call, &rows, "select rebuild_compare($1, $2)", *table, st_i64(call->arena, EXAMPLES));
        if (e == 0 && (e = st_json_parse(call->arena, st_cell(rows, 0, 0), strlen(st_cell(rows, 0, 0)), ST_JSON_DEPTH,
                                         &one, &why)) == 0)
            json_array_append(all, one);
    }
    r->compared = st_json_keep(&r->lasting, all);
    return e;
}

/* While nobody writes the tables, the last pass is made and a snapshot taken; compared is after they go on. */
static int check_once(struct rebuild *r)
{
    struct st_worker lock;
    struct st_rows *rows;
    int64_t n;
    st_worker_init(&lock, r->run, "rebuild lock");
    st_pg_begin(lock.pg);
    int e = st_pg_query(lock.pg, &lock.arena, "select rebuild_lock($1::text[], 'share', $2)",
                        ST_PARAMS(r->tables, st_i64(&lock.arena, LOCK_MS)), &rows);
    r->busy = e == 0 && !locked(rows);
    if (e < 0)
        r->ret_why = st_strdup(&r->lasting, st_pg_error(lock.pg));
    if (e == 0 && !r->busy && (e = pass(r, &n)) == 0) {
        struct st_call call;
        st_call_init(&call, &r->w, "rebuild");
        st_exec(&call, "set transaction isolation level repeatable read");
        e = begin_writing(r, &call);
        st_pg_rollback(lock.pg);
        tell(r, "compare", true);
        if (e == 0)
            e = compare(&call, r);
        if (e < 0)
            r->ret_why = st_strdup(&r->lasting, st_call_error(&call, e));
        st_call_reset(&call);
    }
    st_pg_rollback(lock.pg);
    st_worker_release(&lock);
    st_arena_reset(&r->w.arena);
    return e;
}

/* --- all of it --- */

static const char *array_of(struct st_arena *a, const char *list, const char *name)
{
    return *list ? st_printf(a, "%.*s,%s}", (int)strlen(list) - 1, list, name) : st_printf(a, "{%s}", name);
}

static int count_events(struct st_call *call, void *ctx)
{
    struct rebuild *r = ctx;
    struct st_rows *rows;
    st_exec(call, "set local statement_timeout = 0"); /* a long log takes its time */
    int e = st_rows(call, &rows, "select count(*) from events where event_type = any($1::text[])", r->types);
    if (e == 0)
        r->total = st_cell_int(rows, 0, 0);
    return e;
}

static int work(struct rebuild *r, bool check)
{
    int e = write_in(r, begin, r);
    if (e < 0 || (e = write_in(r, count_events, r)) < 0)
        return e;
    tell(r, "project", true);
    if ((e = passes(r)) < 0)
        return e;
    if (check)
        return try_to(r, check_once);
    tell(r, "swap", true);
    e = write_in(r, analyze, r);
    return e < 0 ? e : try_to(r, swap_once);
}

static void say(struct rebuild *r, json_t *line)
{
    fprintf(r->out, "%s\n", st_json_text(&r->lasting, st_json_keep(&r->lasting, line)));
}

static void report(struct rebuild *r, bool check)
{
    bool same = true;
    json_t *table, *example;
    size_t i, k;
    json_array_foreach (r->compared, i, table) {
        same &= !st_json_int(table, "onlyInTable", 0) && !st_json_int(table, "onlyInLog", 0);
        json_array_foreach (json_object_get(table, "examples"), k, example)
            say(r, json_pack("{s:s, s:O, s:O, s:O}", "result", "example", "table", json_object_get(table, "table"),
                             "in", json_object_get(example, "in"), "row", json_object_get(example, "row")));
        json_object_del(table, "examples");
    }
    say(r, json_pack("{s:s, s:s, s:I, s:b, s:O*}", "result", check ? "checked" : "rebuilt", "service",
                     r->run->service->name, "events", (json_int_t)r->done, "same", same, "tables", r->compared));
}

int st_rebuild(struct st_run *run, bool check, FILE *out, const char **ret_why)
{
    static struct rebuild r;
    r = (struct rebuild){.run = run, .tables = "", .types = "", .before = {"1:1:", "0"}, .ret_why = "", .out = out};
    const struct st_service *s = run->service;
    if (!s->projections || !s->tables) {
        *ret_why = st_printf(&run->arena, "%s keeps no tables that are projections of its log", s->name);
        return ST_E_INVALID;
    }
    for (const char *const *table = s->tables; *table; table++)
        r.tables = array_of(&r.lasting, r.tables, *table);
    for (const struct st_projection *p = s->projections; p->type; p++)
        r.types = array_of(&r.lasting, r.types, p->type);
    if (s->erasures)
        r.types = array_of(&r.lasting, r.types, "UserDataErased");
    r.run_id = st_new_id(&r.lasting);
    st_worker_init(&r.w, run, "rebuild");
    int e = work(&r, check);
    const char *why = r.ret_why;
    if (e < 0 || check)
        (void)write_in(&r, end, &r);
    if (e == 0)
        report(&r, check);
    else
        *ret_why = st_strdup(&run->arena, why);
    st_worker_release(&r.w);
    st_arena_release(&r.lasting);
    return e;
}
