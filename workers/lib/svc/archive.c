/* Retention: events of the log into files, and out of the log; and objects that nothing refers to. */
#include "svc/archive.h"

#include "io/crypto.h"
#include "io/gzip.h"
#include "svc/call.h"
#include "svc/object.h"

#include <errno.h>
#include <sys/stat.h>

enum {
    LOOK_EVERY_MS = 3600 * 1000,
    FAILED_PAUSE_MS = 60 * 1000,
    FILE_EVENTS = 10000, /* of one file, about */
    PAGE = 500,
    DELETE_AT_ONCE = 1000
};

/* A row of `archives`. */
struct archive {
    const char *first, *last, *path, *sha256;
    int64_t events;
    bool rewritable; /* the log still has all of it */
};

#define query(w, ret, sql, ...) st_pg_query((w)->pg, &(w)->arena, sql, ST_PARAMS(__VA_ARGS__), ret)

static int complain(const char *what, const struct archive *a, int r, const char *why)
{
    st_log(ST_LOG_ERROR, what, ST_S("path", a->path), ST_S("error", why));
    return r;
}

/* --- choosing a range --- */

/*
 * Up to where nothing can appear any more: whoever had drawn a smaller number when the lock was taken has finished. It
 * is not waited for long, and writers wait as long as we do; then it is tried again later.
 */
static int settled_seq(struct st_worker *w, const char **ret)
{
    struct st_rows *rows;
    st_pg_begin(w->pg);
    st_pg_exec(w->pg, "set local lock_timeout = '200ms'", ST_PARAMS());
    st_pg_exec(w->pg, "lock table events in share mode", ST_PARAMS());
    int r = query(w, &rows, "select coalesce(max(seq), 0) from events");
    if (r == 0)
        *ret = st_cell(rows, 0, 0);
    st_pg_rollback(w->pg);
    return r;
}

/* Records the range of the next file. Only the next rows are looked at, so a young log costs little. */
static int choose(struct st_worker *w, bool *ret_chosen)
{
    struct st_rows *rows;
    const char *settled = NULL;
    int r = query(w, &rows,
                  "select from events where seq = (select min(seq) from events where seq > "
                  "(select coalesce(max(last_seq), 0) from archives)) and recorded_at < "
                  "(date_trunc('day', now() at time zone 'UTC') - interval '7 days') at time zone 'UTC'");
    *ret_chosen = false;
    if (r < 0 || st_rows_count(rows) == 0)
        return r;
    if ((r = settled_seq(w, &settled)) < 0)
        return r;
    r = query(w, &rows,
              "with done as (select coalesce(max(last_seq), 0) as seq from archives), "
              "page as (select e.seq, e.recorded_at from events e, done where e.seq > done.seq and e.seq <= $1::bigint "
              "order by e.seq limit $2::bigint), "
              "upto as (select max(seq) as seq from page where recorded_at < "
              "(date_trunc('day', now() at time zone 'UTC') - interval '7 days') at time zone 'UTC') "
              "insert into archives (first_seq, last_seq, events, first_at, last_at, path) "
              "select min(p.seq), max(p.seq), count(*), min(p.recorded_at), max(p.recorded_at), "
              "format('archive/%s/%s/%s-%s.ndjson.gz', $3::text, "
              "to_char(min(p.recorded_at) at time zone 'UTC', 'YYYY/MM/DD'), min(p.seq), max(p.seq)) "
              "from page p, upto where p.seq <= upto.seq having count(*) > 0 on conflict do nothing",
              settled, st_i64(&w->arena, FILE_EVENTS), w->run->service->name);
    if (r == 0)
        *ret_chosen = st_rows_affected(rows) > 0;
    return r;
}

/* --- writing a file --- */

/* All lines of the range; *ret_n how many. */
static int add_lines(struct st_worker *w, const struct archive *a, struct st_gzip *g, int64_t *ret_n)
{
    struct st_arena page = {0};
    struct st_rows *rows;
    char after[24];
    int r = 0, n;
    int64_t total = 0, first = 0;
    if (!st_parse_i64(a->first, 0, INT64_MAX, &first))
        return ST_E_INTERNAL;
    snprintf(after, sizeof(after), "%lld", (long long)first - 1);
    do {
        r = st_pg_query(w->pg, &page,
                        "select seq, " ST_ARCHIVE_LINE " from events where seq > $1::bigint and seq <= $2::bigint "
                        "order by seq limit $3::bigint",
                        ST_PARAMS(after, a->last, st_i64(&page, PAGE)), &rows);
        n = r == 0 ? st_rows_count(rows) : 0;
        for (int i = 0; r == 0 && i < n; i++) {
            const char *line = st_cell(rows, i, 1);
            r = st_gzip_add(g, line, strlen(line));
        }
        if (n)
            snprintf(after, sizeof(after), "%s", st_cell(rows, n - 1, 0));
        total += n;
        st_arena_reset(&page);
        if (r == 0 && atomic_load(&w->run->stopping))
            r = ST_E_CANCELLED;
    } while (r == 0 && n == PAGE);
    st_arena_release(&page);
    *ret_n = total;
    return r;
}

/*
 * Gives the part its name, while the row is held: what another archiver has named is what its row says. 1: done. 0:
 * somebody else has done it.
 */
static int publish(struct st_call *call, const struct archive *a, const char *part, const char *sha256, int64_t bytes)
{
    struct st_worker *w = call->p->worker;
    struct st_rows *rows;
    st_pg_begin(w->pg);
    int r = query(w, &rows, "select from archives where first_seq = $1 and state = 'writing' for update", a->first);
    bool ours = r == 0 && st_rows_count(rows) == 1;
    if (ours && (r = st_object_put_file(call, a->path, part)) < 0)
        (void)complain("An archive cannot be written", a, r, st_call_error(call, r));
    if (ours && r == 0)
        st_pg_exec(w->pg,
                   "update archives set state = 'done', sha256 = $2, bytes = $3, written_at = now() "
                   "where first_seq = $1",
                   ST_PARAMS(a->first, sha256, st_i64(&w->arena, bytes)));
    if (r < 0 || !ours)
        st_pg_rollback(w->pg);
    else
        r = st_pg_commit(w->pg);
    return r < 0 ? r : ours;
}

static int write_part(struct st_worker *w, const struct archive *a, const char *part)
{
    struct st_gzip *g;
    int64_t n = 0;
    if (st_gzip_create(part, &g) < 0)
        return complain("An archive cannot be written", a, ST_E_UNAVAILABLE, strerror(errno));
    int r = add_lines(w, a, g, &n);
    if (r < 0) {
        st_gzip_free(g);
        return r;
    }
    if (st_gzip_finish(g) < 0)
        return complain("An archive cannot be written", a, ST_E_UNAVAILABLE, strerror(errno));
    /* Fewer: another archiver has finished it meanwhile, and the log has lost some. The row will tell. */
    return n == a->events ? 0 : ST_E_CONFLICT;
}

static int write_archive(struct st_worker *w, const struct archive *a)
{
    char sha256[2 * ST_SHA256_LEN + 1];
    struct stat st;
    struct st_call call;
    st_call_init(&call, w, "archive");
    const char *part = st_printf(&w->arena, "%s/%s", st_scratch(&call), st_new_id(&w->arena));
    int r = write_part(w, a, part);
    if (r == 0 && (st_sha256_file(part, sha256) < 0 || stat(part, &st)))
        r = complain("An archive cannot be read back", a, ST_E_UNAVAILABLE, strerror(errno));
    if (r == 0 && (r = publish(&call, a, part, sha256, st.st_size)) == 1)
        st_log(ST_LOG_INFO, "Events were archived", ST_S("path", a->path), ST_I("events", a->events),
               ST_I("bytes", st.st_size));
    if (r == ST_E_CONFLICT) {
        struct st_rows *rows;
        r = query(w, &rows, "select from archives where first_seq = $1 and state = 'writing'", a->first);
        if (r == 0 && st_rows_count(rows))
            r = complain("The log lacks events that were to be archived", a, ST_E_INTERNAL, "");
    }
    return r < 0 ? r : 0;
}

/* --- out of the log --- */

/* Is the file what it was? If not, and the log still has all, it is written again. */
static int verify(struct st_worker *w, const struct archive *a)
{
    char sha256[2 * ST_SHA256_LEN + 1];
    const char *file;
    struct st_rows *rows;
    struct st_call call;
    st_call_init(&call, w, "archive");
    int r = st_object_get(&call, a->path, &file);
    if (r == ST_E_UNAVAILABLE)
        return complain("An archive cannot be looked at", a, r, st_call_error(&call, r));
    if (r == 0 && st_sha256_file(file, sha256) == 0 && st_streq(sha256, a->sha256))
        return 0;
    (void)complain("An archive is missing or damaged; nothing more of it is deleted from the log", a, ST_E_INVALID, "");
    if (!a->rewritable)
        return ST_E_INVALID;
    r = query(w, &rows, "update archives set state = 'writing' where first_seq = $1 and not shrinks", a->first);
    return r < 0 ? r : ST_E_RETRY;
}

/* What a projection reads is never deleted; of the rest, operational types go first. */
static void types_of(struct st_worker *w, const char **ret_operational, const char **ret_projected)
{
    json_t *operational = st_json_keep(&w->arena, json_array()), *projected = st_json_keep(&w->arena, json_array());
    for (int i = 0; i < w->run->n_types; i++) {
        const struct st_event_type *t = &w->run->types[i];
        if (st_run_projection(w->run, t->type))
            json_array_append_new(projected, json_string(t->type));
        else if (!t->audit)
            json_array_append_new(operational, json_string(t->type));
    }
    *ret_operational = st_json_text(&w->arena, operational);
    *ret_projected = st_json_text(&w->arena, projected);
}

/* Deletes what is old enough in steps; then the row says so. */
static int delete_range(struct st_worker *w, const struct archive *a, bool all)
{
    struct st_rows *rows;
    const char *operational, *projected, *at_once = st_i64(&w->arena, DELETE_AT_ONCE);
    types_of(w, &operational, &projected);
    int n, r = query(w, &rows, "update archives set shrinks = true where first_seq = $1", a->first);
    if (r < 0)
        return r;
    do {
        r = query(w, &rows,
                  "delete from events where seq in (select seq from events where seq between $1 and $2 "
                  "and case when $3::boolean then not $5::jsonb ? event_type else $4::jsonb ? event_type end "
                  "order by seq limit $6::bigint)",
                  a->first, a->last, all ? "t" : "f", operational, projected, at_once);
        n = r == 0 ? st_rows_affected(rows) : 0;
        if (r == 0 && atomic_load(&w->run->stopping))
            return ST_E_CANCELLED;
    } while (r == 0 && n == DELETE_AT_ONCE);
    if (r == 0)
        r = query(w, &rows,
                  "update archives set operational_gone_at = coalesce(operational_gone_at, now()), "
                  "all_gone_at = case when $2::boolean then now() end where first_seq = $1",
                  a->first, all ? "t" : "f");
    return r;
}

/* --- what is due --- */

static struct archive archive_of(const struct st_rows *rows)
{
    return (struct archive){.first = st_cell(rows, 0, 0),
                            .last = st_cell(rows, 0, 1),
                            .events = st_cell_int(rows, 0, 2),
                            .path = st_cell(rows, 0, 3),
                            .sha256 = st_cell(rows, 0, 4),
                            .rewritable = st_streq(st_cell(rows, 0, 5), "t")};
}
#define ARCHIVE_COLUMNS "first_seq, last_seq, events, path, sha256, not shrinks"

/* A file: one that was begun, else a new one. */
static int next_file(struct st_worker *w, bool *ret_busy)
{
    struct st_rows *rows;
    bool chosen = false;
    int r =
        query(w, &rows, "select " ARCHIVE_COLUMNS " from archives where state = 'writing' order by first_seq limit 1");
    if (r == 0 && st_rows_count(rows) == 0) {
        r = choose(w, &chosen);
        *ret_busy = chosen;
        return r;
    }
    if (r < 0)
        return r;
    *ret_busy = true;
    const struct archive a = archive_of(rows);
    return write_archive(w, &a);
}

/*
 * The first archive that has events of which it is time, and none that the relay may need. Where one is damaged, those
 * behind it wait for the operator.
 */
static int next_deletion(struct st_worker *w, bool *ret_busy)
{
    struct st_rows *rows;
    int r = query(w, &rows,
                  "select " ARCHIVE_COLUMNS ", last_at < now() - interval '30 days' from archives a "
                  "where state = 'done' and all_gone_at is null "
                  "and (operational_gone_at is null or last_at < now() - interval '30 days') "
                  "and not exists (select from events e, relay_needs_from() n where e.seq between a.first_seq and "
                  "a.last_seq and e.tx >= n.tx and e.seq > n.seq) order by first_seq limit 1");
    if (r < 0 || st_rows_count(rows) == 0)
        return r;
    const struct archive a = archive_of(rows);
    bool all = st_streq(st_cell(rows, 0, 6), "t");
    if ((r = verify(w, &a)) == 0)
        r = delete_range(w, &a, all);
    *ret_busy = r == 0 || r == ST_E_RETRY;
    return r == ST_E_RETRY ? 0 : r;
}

int st_archive_work(struct st_worker *w)
{
    int r = 0;
    for (bool busy = true; r == 0 && busy && !atomic_load(&w->run->stopping); st_arena_reset(&w->arena)) {
        busy = false;
        r = next_file(w, &busy);
        if (r == 0 && !busy)
            r = next_deletion(w, &busy);
    }
    return r;
}

/* The lock is the connection's; should it break, the rows and the files still keep two from harm. */
static int work_alone(struct st_worker *w)
{
    struct st_rows *rows;
    int r = query(w, &rows, "select pg_try_advisory_lock(820149618)");
    if (r < 0 || !st_streq(st_cell(rows, 0, 0), "t"))
        return r;
    r = st_archive_work(w);
    if (r == 0)
        r = st_objects_collect(w);
    int e = query(w, &rows, "select pg_advisory_unlock(820149618)");
    return r < 0 ? r : e;
}

void *st_archive_main(void *ctx)
{
    struct st_run *run = ctx;
    struct st_worker w;
    st_worker_init(&w, run, "archive");
    while (!atomic_load(&run->stopping)) {
        int r = work_alone(&w);
        if (r < 0 && r != ST_E_CANCELLED)
            st_log(ST_LOG_WARNING, "Archiving waits", ST_S("error", st_err_code(r)),
                   ST_S("database", st_pg_error(w.pg)));
        st_arena_reset(&w.arena);
        st_run_pause(run, r < 0 ? FAILED_PAUSE_MS : LOOK_EVERY_MS);
    }
    st_worker_release(&w);
    return NULL;
}
