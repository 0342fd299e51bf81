/* Health in the document's shape, and counters for Prometheus. */
#include "svc/api.h"

#include "svc/call.h"

static atomic_llong counters[ST_COUNTERS];

void st_count(enum st_counter c, int64_t n)
{
    atomic_fetch_add_explicit(&counters[c], n, memory_order_relaxed);
}

char *st_health_json(struct st_run *run, struct st_arena *a, int *ret_status)
{
    bool database = atomic_load(&run->database_ok), bus = atomic_load(&run->bus_ok);
    /* Without the database nothing can be answered; without the bus writes go on and events wait in the log. */
    *ret_status = database ? 200 : 503;
    return st_printf(a,
                     "{\"status\":\"%s\",\"version\":\"" ST_VERSION "\",\"dependencies\":{\"database\":\"%s\","
                     "\"eventBus\":\"%s\"}}",
                     !database ? "unhealthy"
                     : !bus    ? "degraded"
                               : "healthy",
                     database ? "healthy" : "unhealthy", bus ? "healthy" : "unhealthy");
}

char *st_metrics_text(struct st_run *run, struct st_arena *a)
{
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
    };
    struct st_buf b = ST_BUF(64 * 1024);
    for (int i = 0; i < ST_COUNTERS; i++)
        st_buf_printf(&b,
                      "# HELP storytelling_%s %s\n# TYPE storytelling_%s counter\n"
                      "storytelling_%s{service=\"%s\"} %lld\n",
                      names[i].name, names[i].help, names[i].name, names[i].name, run->service->name,
                      (long long)atomic_load(&counters[i]));
    char *text = st_strndup(a, b.data, b.len);
    st_buf_release(&b);
    return text;
}
