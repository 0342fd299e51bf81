/* Schedules: each runs at most once in its span, however many processes there are. */
#include "svc/call.h"

enum { LOOK_AGAIN_MS = 30000, FAILED_PAUSE_MS = 10000, HOUSE_EVERY_S = 3600 };

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
    list[0] = (struct st_schedule){"keep_house", HOUSE_EVERY_S, keep_house};
    if (n)
        memcpy(list + 1, own, n * sizeof(*own));
    return list;
}

/* The row says when it ran last. Whoever moves it on, in the transaction of the run, has the run: others wait for that
 * row and then find it moved. */
static int body(struct st_call *call, void *ctx)
{
    const struct st_schedule *schedule = ctx;
    struct st_rows *rows;
    st_exec(call, "insert into schedules (name, last_run) values ($1, '-infinity') on conflict do nothing",
            schedule->name);
    int r = st_rows(call, &rows,
                    "update schedules set last_run = now() "
                    "where name = $1 and last_run <= now() - $2 * interval '1 second'",
                    schedule->name, st_i64(call->arena, schedule->every_s));
    if (r < 0 || st_rows_affected(rows) == 0)
        return r;
    return schedule->handler(call);
}

static int run_schedule(struct st_worker *w, const struct st_schedule *schedule)
{
    char id[ST_UUID_LEN];
    struct st_call call;
    st_call_init(&call, w, schedule->name);
    call.correlation_id = st_uuid(id);
    st_work_begin(&call, ST_WORK_SCHEDULE, "");
    st_log_context(call.correlation_id, NULL);
    int r = st_call_transact(&call, body, (void *)schedule);
    st_work_end(&call, r);
    if (r < 0)
        st_log(ST_LOG_WARNING, "Schedule failed and will be tried again", ST_S("schedule", schedule->name),
               ST_S("error", st_call_error(&call, r)));
    st_log_context(NULL, NULL);
    st_arena_reset(&w->arena);
    return r < 0 ? r : 0;
}

/* How long until the schedule is due; 0 when it is. */
static int due_in(struct st_worker *w, const struct st_schedule *schedule, int64_t *ret_ms)
{
    struct st_rows *rows;
    int r = st_pg_query(w->pg, &w->arena,
                        "select ceil(extract(epoch from last_run + $2 * interval '1 second' - now()) * 1000)::bigint "
                        "from schedules where name = $1 and last_run > '-infinity'",
                        ST_PARAMS(schedule->name, st_i64(&w->arena, schedule->every_s)), &rows);
    if (r == 0) {
        int64_t ms = st_rows_count(rows) ? st_cell_int(rows, 0, 0) : 0;
        *ret_ms = ms > 0 ? ms : 0;
    }
    st_arena_reset(&w->arena);
    return r;
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
            int r = due_in(&w, s, &ms);
            if (r == 0 && ms == 0 && (r = run_schedule(&w, s)) == 0)
                ms = (int64_t)s->every_s * 1000;
            if (r < 0)
                ms = FAILED_PAUSE_MS;
            wait_ms = ms < wait_ms ? ms : wait_ms;
        }
        st_run_pause(run, (int)wait_ms);
    }
    st_worker_release(&w);
    st_arena_release(&lists);
    return NULL;
}
