/* /metrics: what was counted, as Prometheus text. */
#include "ngx_http_api.h"

#define PREFIX "api_edge_"

/* A family of numbers is told in one run: its help, its type, and then its lines. */
static void add_help(struct st_buf *b, const char *name, const char *type, const char *help)
{
    st_buf_printf(b, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help, name, type);
}

/* labels: `name="value"` without braces, or "". */
static void add_line(struct st_buf *b, const char *name, const char *labels, uint64_t value)
{
    const char *open = *labels ? "{" : "", *close = *labels ? "}" : "";
    st_buf_printf(b, PREFIX "%s%s%s%s %llu\n", name, open, labels, close, (unsigned long long)value);
}

static void add_gauge(struct st_buf *b, const char *name, const char *help, double value)
{
    add_help(b, name, "gauge", help);
    st_buf_printf(b, PREFIX "%s %.10g\n", name, value);
}

/* --- decisions and state --- */

static const struct {
    const char *name, *labels, *help;
} counter_texts[NGX_HTTP_API_COUNTERS] = {
    [NGX_HTTP_API_N_TOKEN_L1] = {"tokens_total", "result=\"l1\"", "Tokens by where their identity was found."},
    [NGX_HTTP_API_N_TOKEN_L2] = {"tokens_total", "result=\"l2\"", NULL},
    [NGX_HTTP_API_N_TOKEN_VERIFIED] = {"tokens_total", "result=\"verified\"", NULL},
    [NGX_HTTP_API_N_TOKEN_REFUSED] = {"tokens_total", "result=\"refused\"", NULL},
    [NGX_HTTP_API_N_ALLOWED] = {"rbac_total", "decision=\"allow\"", "Requests of users, by whether they may."},
    [NGX_HTTP_API_N_DENIED] = {"rbac_total", "decision=\"deny\"", NULL},
    [NGX_HTTP_API_N_DENIED_DRY_RUN] = {"rbac_total", "decision=\"deny_dry_run\"", NULL},
    [NGX_HTTP_API_N_RESYNCS] = {"redis_resyncs_total", "", "Times that the whole state was read from Redis."},
    [NGX_HTTP_API_N_DELTAS] = {"redis_deltas_total", "", "Changes of the state received from Redis."},
    [NGX_HTTP_API_N_REDIS_UNANSWERED] = {"redis_unanswered_total", "", "Questions that Redis answered late or never."},
    [NGX_HTTP_API_N_RETRIES] = {"retries_total", "", "Attempts that failed and may be made again (x-retry)."},
    [NGX_HTTP_API_N_CACHE_HIT] = {"cache_total", "result=\"hit\"",
                                  "Requests that a cached answer may serve (x-cache)."},
    [NGX_HTTP_API_N_CACHE_MISS] = {"cache_total", "result=\"miss\"", NULL},
    [NGX_HTTP_API_N_CACHE_BYPASS] = {"cache_total", "result=\"bypass\"", NULL},
    [NGX_HTTP_API_N_DROPPED] = {"state_dropped_total", "", "State from Redis that made no sense or found no room."},
};

static void add_counters(struct st_buf *b, const ngx_http_api_state_t *s)
{
    for (int i = 0; i < NGX_HTTP_API_COUNTERS; i++) {
        if (counter_texts[i].help)
            add_help(b, counter_texts[i].name, "counter", counter_texts[i].help);
        add_line(b, counter_texts[i].name, counter_texts[i].labels, ngx_http_api_counted(s->counts, i));
    }
    add_help(b, "refusals_total", "counter", "Requests that the edge refused, by cause.");
    for (int i = NGX_HTTP_API_BY_NONE + 1; i < NGX_HTTP_API_CAUSE_COUNT; i++)
        st_buf_printf(b, PREFIX "refusals_total{cause=\"%s\"} %llu\n", ngx_http_api_cause_names[i],
                      (unsigned long long)ngx_http_api_refused(s->counts, i));
}

static void add_breakers(struct st_buf *b, const ngx_http_api_main_conf_t *amcf)
{
    add_help(b, "breaker_state", "gauge", "Circuit breaker of each service: 0 closed, 1 half-open, 2 open.");
    for (int i = 0; i < amcf->api->n_services; i++)
        st_buf_printf(b, PREFIX "breaker_state{service=\"%s\"} %llu\n", amcf->services[i].name,
                      (unsigned long long)ngx_http_api_breaker_now(amcf->services[i].breaker));
    add_help(b, "breaker_opened_total", "counter", "Times that a breaker has opened.");
    for (int i = 0; i < amcf->api->n_services; i++)
        st_buf_printf(b, PREFIX "breaker_opened_total{service=\"%s\"} %llu\n", amcf->services[i].name,
                      (unsigned long long)amcf->services[i].breaker->opened);
}

static void add_redis(struct st_buf *b, const ngx_http_api_state_t *s)
{
    add_gauge(b, "redis_up", "1 while the edge hears Redis.", (double)s->redis_up);
    add_gauge(b, "redis_heard_age_seconds", "Since the last answer of Redis; -1: never.",
              s->heard ? (double)(ngx_time() - (time_t)s->heard) : -1);
    add_gauge(b, "redis_round_trip_seconds", "From a question to its answer, lately.", (double)s->round_trip_us / 1e6);
    add_gauge(b, "state_age_seconds", "Since the whole state was read from Redis; -1: never.",
              s->synced ? (double)(ngx_time() - (time_t)s->synced) : -1);
    add_gauge(b, "state_ready", "1 when roles and their permissions are known.", (double)s->ready);
}

static void add_process(struct st_buf *b)
{
    const ngx_core_conf_t *ccf = (ngx_core_conf_t *)ngx_get_conf(ngx_cycle->conf_ctx, ngx_core_module);
    add_gauge(b, "workers", "Worker processes that are configured.", (double)ccf->worker_processes);
#if (NGX_STAT_STUB)
    add_help(b, "connections", "gauge", "Client connections, by what they do.");
    add_line(b, "connections", "state=\"active\"", *ngx_stat_active);
    add_line(b, "connections", "state=\"reading\"", *ngx_stat_reading);
    add_line(b, "connections", "state=\"writing\"", *ngx_stat_writing);
    add_line(b, "connections", "state=\"waiting\"", *ngx_stat_waiting);
    add_help(b, "connections_total", "counter", "Client connections, by what became of them.");
    add_line(b, "connections_total", "result=\"accepted\"", *ngx_stat_accepted);
    add_line(b, "connections_total", "result=\"handled\"", *ngx_stat_handled);
#endif
}

/* --- shared memory --- */

static void add_zones(struct st_buf *b, const ngx_http_api_main_conf_t *amcf)
{
    const ngx_http_api_state_t *s = ngx_http_api_state(&amcf->zones[NGX_HTTP_API_ZONE_STATE]);
    add_help(b, "zone_bytes", "gauge", "Shared memory of each zone.");
    for (int i = 0; i < NGX_HTTP_API_ZONES; i++) {
        size_t total, used = ngx_http_api_zone_used(&amcf->zones[i], &total);
        st_buf_printf(b, PREFIX "zone_bytes{zone=\"%s\",kind=\"used\"} %zu\n", ngx_http_api_zone_names[i], used);
        st_buf_printf(b, PREFIX "zone_bytes{zone=\"%s\",kind=\"total\"} %zu\n", ngx_http_api_zone_names[i], total);
    }
    add_help(b, "zone_entries", "gauge", "Entries of each table in shared memory.");
    for (int i = 0; i < NGX_HTTP_API_KINDS; i++)
        st_buf_printf(b, PREFIX "zone_entries{zone=\"state\",table=\"%s\"} %llu\n", ngx_http_api_kind_names[i],
                      (unsigned long long)s->tables[i].count);
    ngx_http_api_zone_use_t tokens, limits;
    ngx_http_api_tokens.use(&amcf->zones[NGX_HTTP_API_ZONE_TOKENS], &tokens);
    ngx_http_api_limits.use(&amcf->zones[NGX_HTTP_API_ZONE_LIMITS], &limits);
    add_line(b, "zone_entries", "zone=\"tokens\",table=\"tokens\"", tokens.entries);
    add_line(b, "zone_entries", "zone=\"limits\",table=\"limits\"", limits.entries);
    add_help(b, "zone_evicted_total", "counter", "Entries that left a full zone before they expired.");
    add_line(b, "zone_evicted_total", "zone=\"tokens\"", tokens.evicted);
    add_line(b, "zone_evicted_total", "zone=\"limits\"", limits.evicted);
}

/* --- operations --- */

static void add_requests(struct st_buf *b, const char *operation, const ngx_http_api_slot_t *slot)
{
    ngx_http_api_cell_t sum;
    ngx_http_api_slot_sum(slot, &sum);
    for (ngx_uint_t i = 0; i < NGX_HTTP_API_STATUSES; i++)
        if (sum.statuses[i])
            st_buf_printf(b, PREFIX "requests_total{operation=\"%s\",status=\"%s\"} %llu\n", operation,
                          ngx_http_api_status_name(i), (unsigned long long)sum.statuses[i]);
}

static void add_histogram(struct st_buf *b, const char *operation, const ngx_http_api_slot_t *slot)
{
    static const char name[] = PREFIX "request_duration_seconds";
    unsigned long long count = 0;
    ngx_http_api_cell_t sum;
    ngx_http_api_slot_sum(slot, &sum);
    for (int i = 0; i < NGX_HTTP_API_BUCKETS; i++) {
        count += sum.buckets[i];
        st_buf_printf(b, "%s_bucket{operation=\"%s\",le=\"%g\"} %llu\n", name, operation,
                      ngx_http_api_bucket_ms[i] / 1000.0, count);
    }
    count += sum.buckets[NGX_HTTP_API_BUCKETS];
    st_buf_printf(b, "%s_bucket{operation=\"%s\",le=\"+Inf\"} %llu\n", name, operation, count);
    st_buf_printf(b, "%s_sum{operation=\"%s\"} %.3f\n", name, operation, (double)sum.duration_ms / 1000);
    st_buf_printf(b, "%s_count{operation=\"%s\"} %llu\n", name, operation, count);
}

static void add_limited(struct st_buf *b, const char *operation, const ngx_http_api_slot_t *slot)
{
    if (slot->limited)
        st_buf_printf(b, PREFIX "limited_total{operation=\"%s\"} %llu\n", operation, (unsigned long long)slot->limited);
}

static void add_operations(struct st_buf *b, const ngx_http_api_main_conf_t *amcf)
{
    static const struct {
        const char *name, *type, *help;
        void (*add)(struct st_buf *b, const char *operation, const ngx_http_api_slot_t *slot);
    } families[] = {
        {"requests_total", "counter", "Requests answered.", add_requests},
        {"request_duration_seconds", "histogram", "Time from the first byte to the last.", add_histogram},
        {"limited_total", "counter", "Requests over a limit (dry run included).", add_limited},
    };
    for (size_t f = 0; f < ST_COUNT(families); f++) {
        add_help(b, families[f].name, families[f].type, families[f].help);
        for (int i = 0; i < amcf->api->n_operations; i++)
            families[f].add(b, amcf->api->operations[i].id, amcf->operations[i].slot);
        families[f].add(b, "", amcf->unmatched);
    }
}

ngx_int_t ngx_http_api_metrics_handler(ngx_http_request_t *r)
{
    const ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_api_core_module);
    const ngx_http_api_state_t *s = ngx_http_api_state(&amcf->zones[NGX_HTTP_API_ZONE_STATE]);
    struct st_buf b = ST_BUF(NGX_HTTP_API_PAGE_MAX);
    ngx_int_t rc = ngx_http_api_only_get(r);
    if (rc != NGX_DECLINED)
        return rc;
    add_operations(&b, amcf);
    add_counters(&b, s);
    add_breakers(&b, amcf);
    add_redis(&b, s);
    ngx_http_api_limit_metrics(amcf, &b);
    add_zones(&b, amcf);
    add_process(&b);
    return ngx_http_api_send_buf(r, NGX_HTTP_OK, "text/plain; version=0.0.4", &b);
}
