/* Health in the document's shape, and counters for Prometheus. */
#include "svc/api.h"

#include "svc/bus.h"
#include "svc/call.h"

enum { METRICS_MAX = 4 << 20 };

static atomic_llong counters[ST_COUNTERS];

void st_count(enum st_counter c, int64_t n)
{
    atomic_fetch_add_explicit(&counters[c], n, memory_order_relaxed);
}

/* Of every service. */
static const struct st_check common[] = {
    {"deadLetters", "exists (select from parked_events where state = 'dead') or "
                    "exists (select from jobs where ended = 'dead')"},
    {"sagas", "exists (select from sagas where state = 'parked')"},
    {"providers", "exists (select from providers where open_until is not null)"},
};

/* The n-th of the library's and the service's; NULL behind the last. */
static const struct st_check *check_at(const struct st_run *run, size_t n)
{
    const struct st_check *own = run->service->checks;
    if (n < ST_COUNT(common))
        return &common[n];
    for (n -= ST_COUNT(common); own && own->name && n > 0; n--)
        own++;
    return own && own->name ? own : NULL;
}

int st_checks_run(struct st_worker *w)
{
    struct st_run *run = w->run;
    struct st_rows *rows;
    const struct st_check *check;
    if (!run->checks_sql) {
        const char *sql = "select";
        for (size_t i = 0; (check = check_at(run, i)); i++)
            sql = st_printf(&run->arena, "%s%s %s", sql, i ? "," : "", check->sql);
        run->checks_sql = sql;
    }
    int r = st_pg_query(w->pg, &w->arena, run->checks_sql, ST_PARAMS(), &rows);
    if (r < 0)
        return r;
    unsigned long long degraded = 0;
    for (size_t i = 0; check_at(run, i); i++)
        degraded |= st_streq(st_cell(rows, 0, (int)i), "t") ? 1ULL << i : 0;
    atomic_store(&run->degraded, degraded);
    return 0;
}

char *st_health_json(struct st_run *run, struct st_arena *a, int *ret_status)
{
    bool database = atomic_load(&run->database_ok), bus = atomic_load(&run->bus_ok);
    unsigned long long degraded = atomic_load(&run->degraded);
    const char *checks = "";
    const struct st_check *check;
    for (size_t i = 0; (check = check_at(run, i)); i++)
        checks = st_printf(a, "%s,\"%s\":\"%s\"", checks, check->name, degraded >> i & 1 ? "degraded" : "healthy");
    /* Without the database nothing can be answered; without the bus writes go on and events wait in the log. */
    *ret_status = database ? 200 : 503;
    return st_printf(a,
                     "{\"status\":\"%s\",\"version\":\"" ST_VERSION "\",\"dependencies\":{\"database\":\"%s\","
                     "\"eventBus\":\"%s\"%s}}",
                     !database          ? "unhealthy"
                     : !bus || degraded ? "degraded"
                                        : "healthy",
                     database ? "healthy" : "unhealthy", bus ? "healthy" : "unhealthy", checks);
}

/* Figures that one query gives: rows of two labels' values and a number. What ends in _total is a counter. */
struct gauge {
    const char *name, *help, *label1, *label2, *sql;
};
static const struct gauge gauges[] = {
    {"jobs", "Jobs that wait, wait for others (blocked), run or are dead letters.", "name", "state",
     "select name, state, count(*) from jobs where ended is null or ended = 'dead' group by 1, 2"},
    {"jobs_oldest_seconds", "How long the first job that is due has waited.", "name", "state",
     "select name, 'waiting', extract(epoch from clock_timestamp() - min(run_at)) from jobs "
     "where state = 'waiting' and ended is null and run_at <= clock_timestamp() group by 1"},
    {"parked_events", "Events that wait for another attempt, wait behind such a one, or are dead letters.", "stream",
     "state",
     "select stream, case when state = 'dead' then 'dead' when run_at = 'infinity' then 'behind' else 'waiting' end, "
     "count(*) from parked_events group by 1, 2"},
    {"unarchived_days", "Age of the first event that no archive has; over nine, archiving does not get on.", "table",
     "archive",
     "select 'events', 'none', extract(epoch from clock_timestamp() - recorded_at) / 86400 from events where seq > "
     "(select coalesce(max(last_seq), 0) from archives where state = 'done') order by seq limit 1"},
    {"sagas", "Sagas under way, and those that cannot go on by themselves (parked).", "name", "state",
     "select name, state, count(*) from sagas where state in ('running', 'compensating', 'parked') group by 1, 2"},
    {"provider_calls_total", "Calls to providers outside, by what they came to.", "provider", "outcome",
     "select provider, outcome, calls from provider_totals"},
    {"provider_cost_micros_total", "What they have cost, in millionths of a dollar.", "provider", "outcome",
     "select provider, outcome, price_micros from provider_totals where price_micros > 0"},
    {"provider_breaker", "1 for the state of each provider's breaker.", "provider", "state",
     "select provider, case when open_until is null then 'closed' when open_until > clock_timestamp() then 'open' "
     "else 'half-open' end, 1 from providers"},
};

/* How far each group is behind our log: what is not on the bus yet, and what it has not acknowledged there. */
static void add_lag(struct st_worker *w, struct st_arena *a, struct st_buf *b)
{
    const char *service = w->run->service->name;
    struct st_rows *rows;
    if (st_pg_query(w->pg, a, "select events, oldest_seconds from log_unpublished()", ST_PARAMS(), &rows) == 0)
        st_buf_printf(b,
                      "# HELP storytelling_unpublished_events Events of the log that are not on the bus.\n"
                      "# TYPE storytelling_unpublished_events gauge\n"
                      "storytelling_unpublished_events{service=\"%s\"} %s\n"
                      "# HELP storytelling_unpublished_oldest_seconds How long the first of them has waited.\n"
                      "# TYPE storytelling_unpublished_oldest_seconds gauge\n"
                      "storytelling_unpublished_oldest_seconds{service=\"%s\"} %s\n",
                      service, st_cell(rows, 0, 0), service, st_cell(rows, 0, 1));
    st_buf_str(b, "# HELP storytelling_group_lag_events Events on the bus that a group has not acknowledged.\n"
                  "# TYPE storytelling_group_lag_events gauge\n");
    struct st_bus *bus = st_bus_open();
    struct st_bus_group *groups;
    size_t n;
    for (int p = 0; p < ST_BUS_PARTITIONS && bus->ops->groups(bus, a, service, p, &groups, &n) == 0; p++)
        for (size_t i = 0; i < n; i++)
            if (groups[i].lag >= 0)
                st_buf_printf(b, "storytelling_group_lag_events{service=\"%s\",partition=\"%d\",group=\"%s\"} %lld\n",
                              service, p, groups[i].name, (long long)groups[i].lag);
    st_bus_free(bus);
}

static void add_gauge(struct st_worker *w, struct st_arena *a, const struct gauge *g, struct st_buf *b)
{
    struct st_rows *rows;
    if (st_pg_query(w->pg, a, g->sql, ST_PARAMS(), &rows) < 0)
        return;
    st_buf_printf(b, "# HELP storytelling_%s %s\n# TYPE storytelling_%s %s\n", g->name, g->help, g->name,
                  st_ends(g->name, "_total") ? "counter" : "gauge");
    for (int i = 0; i < st_rows_count(rows); i++)
        st_buf_printf(b, "storytelling_%s{service=\"%s\",%s=\"%s\",%s=\"%s\"} %s\n", g->name, w->run->service->name,
                      g->label1, st_cell(rows, i, 0), g->label2, st_cell(rows, i, 1), st_cell(rows, i, 2));
}

char *st_metrics_text(struct st_worker *w, struct st_arena *a)
{
    const struct st_run *run = w->run;
    static const struct {
        const char *name, *help;
    } names[ST_COUNTERS] = {
        [ST_N_REQUESTS] = {"requests_total", "Requests answered."},
        [ST_N_REQUEST_ERRORS] = {"request_errors_total", "Requests answered with 5xx."},
        [ST_N_EMITTED] = {"events_emitted_total", "Events written to the log."},
        [ST_N_RELAYED] = {"events_relayed_total", "Events published to the bus."},
        [ST_N_REPUBLISHED] = {"events_republished_total", "Events published again after the bus lost them."},
        [ST_N_CONSUMED] = {"events_consumed_total", "Events handled."},
        [ST_N_DUPLICATES] = {"events_duplicate_total", "Events seen before and left alone."},
        [ST_N_RETRIES] = {"event_retries_total", "Events parked for another attempt."},
        [ST_N_DEAD] = {"dead_letters_total", "Events and jobs given up."},
        [ST_N_JOBS_DONE] = {"jobs_done_total", "Jobs completed."},
        [ST_N_JOBS_FAILED] = {"job_failures_total", "Job runs that failed."},
        [ST_N_SAGAS_DONE] = {"sagas_done_total", "Sagas that came to their end."},
        [ST_N_SAGAS_COMPENSATED] = {"sagas_compensated_total", "Sagas that were undone."},
        [ST_N_SAGAS_PARKED] = {"saga_parkings_total", "Times that a saga could not go on by itself."},
    };
    struct st_buf b = ST_BUF(METRICS_MAX);
    for (int i = 0; i < ST_COUNTERS; i++)
        st_buf_printf(&b,
                      "# HELP storytelling_%s %s\n# TYPE storytelling_%s counter\n"
                      "storytelling_%s{service=\"%s\"} %lld\n",
                      names[i].name, names[i].help, names[i].name, names[i].name, run->service->name,
                      (long long)atomic_load(&counters[i]));
    st_buf_printf(&b,
                  "# HELP storytelling_spans_dropped_total Spans that no collector took.\n"
                  "# TYPE storytelling_spans_dropped_total counter\n"
                  "storytelling_spans_dropped_total{service=\"%s\"} %lld\n",
                  run->service->name, (long long)st_trace_dropped());
    for (size_t i = 0; i < ST_COUNT(gauges); i++)
        add_gauge(w, a, &gauges[i], &b);
    add_lag(w, a, &b);
    st_work_metrics(run, &b);
    char *text = st_strndup(a, b.data, b.len);
    st_buf_release(&b);
    return text;
}
