/* Schedules: each runs at most once in its span, or for its moment, however many processes there are. */
#include "svc/call.h"
#include "svc/cron.h"

enum {
    LOOK_AGAIN_MS = 30000,
    FAILED_PAUSE_MS = 10000,
    HOUSE_EVERY_S = 3600,
    ATTEMPTS = 10,
    ERROR_MAX = 2000,
    MISSED_MS = 60000 /* a moment that is later than that was missed */
};

/* What every service forgets in time. Never the inbox: a publisher that was restored sends its whole log again, and
 * archives can be replayed. */
static int keep_house(struct st_call *call)
{
    st_exec(call, "delete from idempotency_keys where created_at < now() - interval '1 day'");
    return 0;
}

/* The library's schedules and the service's, one list. */
static const struct st_schedule *all_schedules(struct st_arena *a, const struct st_schedule *own)
{
    size_t n = 0;
    while (own && own[n].name)
        n++;
    struct st_schedule *list = st_new_n(a, struct st_schedule, n + 2);
    list[0] = (struct st_schedule){.name = "keep_house", .every_s = HOUSE_EVERY_S, .handler = keep_house};
    if (n)
        memcpy(list + 1, own, n * sizeof(*own));
    return list;
}

/* A schedule that is due. */
struct turn {
    const struct st_schedule *schedule;
    const char *moment;   /* by the clock: what the run is for, as PostgreSQL writes it */
    const char *last_run; /* of the row, or NULL */
    int attempts;         /* that have failed */
};

/* The row says when it ran last. Whoever moves it on, in the transaction of the run, has the run: others wait for that
 * row and then find it moved. */
static int body(struct st_call *call, void *ctx)
{
    const struct turn *turn = ctx;
    const char *name = turn->schedule->name, *moment = turn->moment;
    struct st_rows *rows;
    int r;
    if (moment) {
        r = st_rows(call, &rows,
                    "update schedules set last_run = $2::timestamptz, attempts = 0, retry_at = null, error = null "
                    "where name = $1 and last_run < $2::timestamptz",
                    name, moment);
        const char *rfc3339 = st_printf(call->arena, "%.10sT%.8sZ", moment, moment + 11);
        call->params = st_json_keep(call->arena, json_pack("{s:s}", "scheduledAt", rfc3339));
    } else {
        r = st_rows(call, &rows,
                    "update schedules set last_run = now(), attempts = 0, retry_at = null, error = null "
                    "where name = $1 and last_run <= now() - $2 * interval '1 second'",
                    name, st_i64(call->arena, turn->schedule->every_s));
    }
    if (r < 0 || st_rows_affected(rows) == 0)
        return r;
    return turn->schedule->handler(call);
}

/* Notes the attempt, and when the next would be due, while there is somebody to do so: what a run that ends its process
 * leaves behind. *ret: it is ours; else another process was here meanwhile. */
static int begin(struct st_worker *w, const struct turn *turn, bool *ret)
{
    struct st_rows *rows;
    int r = st_pg_query(w->pg, &w->arena, "select schedule_begin($1, $2::timestamptz, $3, $4)",
                        ST_PARAMS(turn->schedule->name, turn->last_run, st_i64(&w->arena, turn->attempts),
                                  st_i64(&w->arena, st_backoff_ms(turn->attempts + 1))),
                        &rows);
    *ret = r == 0 && st_streq(st_cell(rows, 0, 0), "t");
    return r;
}

/* Tried again later; after its attempts not until the next time. */
static int failed(struct st_worker *w, const struct turn *turn, const char *error)
{
    struct st_rows *rows;
    const char *name = turn->schedule->name;
    error = st_storable(&w->arena, error, strlen(error), ERROR_MAX);
    if (turn->attempts + 1 < ATTEMPTS) {
        st_log(ST_LOG_WARNING, "Schedule failed and will be tried again", ST_S("schedule", name), ST_S("error", error));
        return st_pg_query(w->pg, &w->arena, "update schedules set error = $2 where name = $1 and attempts > 0",
                           ST_PARAMS(name, error), &rows);
    }
    st_count(ST_N_DEAD, 1);
    st_log(ST_LOG_ERROR, "Schedule was given up until its next time", ST_S("schedule", name), ST_S("error", error));
    return st_pg_query(
        w->pg, &w->arena,
        "update schedules set last_run = coalesce($2::timestamptz, now()), attempts = 0, "
        "retry_at = null, error = $3 where name = $1 and ($2::timestamptz is null or last_run < $2::timestamptz)",
        ST_PARAMS(name, turn->moment, error), &rows);
}

static int run_turn(struct st_worker *w, const struct turn *turn)
{
    char id[ST_UUID_LEN];
    struct st_call call;
    bool begun;
    if (turn->attempts >= ATTEMPTS)
        return failed(w, turn, "each process that ran it has ended");
    int r = begin(w, turn, &begun);
    if (r < 0 || !begun)
        return r;
    st_call_init(&call, w, turn->schedule->name);
    call.correlation_id = st_uuid(id);
    st_work_begin(&call, ST_WORK_SCHEDULE, "");
    st_log_context(call.correlation_id, NULL);
    r = st_call_transact(&call, body, (void *)turn);
    st_work_end(&call, r);
    if (r < 0)
        r = failed(w, turn, st_call_error(&call, r));
    st_log_context(NULL, NULL);
    return r;
}

/* What the row of a schedule says; one by the clock begins with now. */
struct row {
    const char *last_run, *retry_at;
    int attempts;
    int64_t due_ms; /* of last_run + every_s and retry_at, the later one */
};
static int read_row(struct st_worker *w, const struct st_schedule *s, struct row *ret)
{
    struct st_rows *rows;
    int r = st_pg_query(w->pg, &w->arena,
                        "select last_run, retry_at, attempts, ceil(extract(epoch from greatest(case "
                        "when last_run > '-infinity' then last_run + $2 * interval '1 second' end, retry_at) - now()) "
                        "* 1000)::bigint from schedules where name = $1",
                        ST_PARAMS(s->name, st_i64(&w->arena, s->every_s)), &rows);
    if (r == 0 && st_rows_count(rows) == 0 && s->cron)
        r = st_pg_query(w->pg, &w->arena,
                        "insert into schedules as s (name, last_run) values ($1, now()) "
                        "on conflict (name) do update set last_run = s.last_run "
                        "returning last_run, retry_at, attempts, 0",
                        ST_PARAMS(s->name), &rows);
    *ret = (struct row){0};
    if (r == 0 && st_rows_count(rows))
        *ret = (struct row){st_cell(rows, 0, 0), st_cell(rows, 0, 1), (int)st_cell_int(rows, 0, 2),
                            st_cell_int(rows, 0, 3)};
    return r;
}

/* Milliseconds until a moment and no attempt is due before `retry_at`. */
static int wait_for(struct st_worker *w, const char *moment, const char *retry_at, int64_t *ret_ms)
{
    struct st_rows *rows;
    int r = st_pg_query(w->pg, &w->arena,
                        "select ceil(extract(epoch from greatest($1::timestamptz, $2::timestamptz) - now()) * "
                        "1000)::bigint",
                        ST_PARAMS(moment, retry_at), &rows);
    if (r == 0)
        *ret_ms = st_cell_int(rows, 0, 0);
    return r;
}

/* By the clock: when it is due, what the run is for, by the rule for what was missed. */
static int clock_turn(struct st_worker *w, const struct row *row, struct turn *turn, int64_t *ret_ms)
{
    const struct st_schedule *s = turn->schedule;
    const char *zone = s->zone ? s->zone : "UTC", *last = NULL;
    struct st_rows *rows;
    struct st_cron cron;
    int64_t late_ms = 0;
    int r = st_cron_parse(s->cron, &cron);
    if (r < 0 || (r = st_cron_next(w->pg, &w->arena, &cron, zone, row->last_run, &turn->moment)) < 0 ||
        (r = wait_for(w, turn->moment, row->retry_at, ret_ms)) < 0 || *ret_ms > 0)
        return r;
    if (s->catch_up == ST_CATCH_UP_ALL)
        return 0;
    if ((r = st_cron_last(w->pg, &w->arena, &cron, zone, row->last_run, &last)) < 0 || !last)
        return r;
    turn->moment = last;
    if (s->catch_up == ST_CATCH_UP_ONE || (r = wait_for(w, last, NULL, &late_ms)) < 0 || late_ms > -MISSED_MS ||
        row->attempts)
        return r;
    st_log(ST_LOG_WARNING, "Schedule was missed", ST_S("schedule", s->name), ST_S("moment", last));
    *ret_ms = 1; /* look again, from there */
    return st_pg_query(w->pg, &w->arena,
                       "update schedules set last_run = $2::timestamptz where name = $1 and last_run < $2::timestamptz",
                       ST_PARAMS(s->name, last), &rows);
}

/* Runs a schedule when it is due; *ret_ms: how long until it is to be looked at again. */
static int look(struct st_worker *w, const struct st_schedule *s, int64_t *ret_ms)
{
    struct turn turn = {.schedule = s};
    struct row row;
    int r = read_row(w, s, &row);
    if (r < 0)
        return r;
    turn.attempts = row.attempts;
    turn.last_run = row.last_run;
    *ret_ms = row.due_ms;
    if (s->cron && (r = clock_turn(w, &row, &turn, ret_ms)) < 0)
        return r;
    if (*ret_ms > 0)
        return 0;
    *ret_ms = 1; /* its next time is known when it has run */
    return run_turn(w, &turn);
}

void *st_cron_main(void *ctx)
{
    struct st_run *run = ctx;
    struct st_arena lists = {0};
    const struct st_schedule *list = all_schedules(&lists, run->service->schedules);
    struct st_worker w;
    st_worker_init(&w, run, "cron");
    while (!atomic_load(&run->stopping)) {
        int64_t wait_ms = LOOK_AGAIN_MS;
        for (const struct st_schedule *s = list; s->name && !atomic_load(&run->stopping); s++) {
            int64_t ms = 0;
            int r = look(&w, s, &ms);
            if (r < 0 && r != ST_E_UNAVAILABLE)
                st_log(ST_LOG_WARNING, "Schedule cannot be looked at", ST_S("schedule", s->name),
                       ST_S("error", st_pg_error(w.pg)));
            if (r < 0)
                ms = FAILED_PAUSE_MS;
            st_arena_reset(&w.arena);
            wait_ms = ms < wait_ms ? ms : wait_ms;
        }
        st_run_pause(run, (int)wait_ms);
    }
    st_worker_release(&w);
    st_arena_release(&lists);
    return NULL;
}
