/* What the edge answers itself: /health, /metrics, /openapi.json, and nginx's own errors as problem+json. */
#include "ngx_http_api.h"

enum {
    PAGE_MAX = 4 * 1024 * 1024,
    HEARD_S = 10, /* Redis is away when nothing was heard for so long; it is asked every second */
};

static const char *const health_names[] = {
    [NGX_HTTP_API_UNHEALTHY] = "unhealthy", [NGX_HTTP_API_DEGRADED] = "degraded", [NGX_HTTP_API_HEALTHY] = "healthy"};

/* The buffer's text as the answer; releases the buffer. */
static ngx_int_t send_buf(ngx_http_request_t *r, ngx_uint_t status, const char *type, struct st_buf *b)
{
    ngx_str_t body = {b->len, b->failed ? NULL : ngx_pnalloc(r->pool, b->len)};
    if (body.data)
        ngx_memcpy(body.data, b->data, b->len);
    st_buf_release(b);
    return body.data ? ngx_http_api_send(r, status, type, &body) : NGX_HTTP_INTERNAL_SERVER_ERROR;
}

/* NGX_DECLINED: go on. Else the request has been answered, and this is what the handler returns. */
static ngx_int_t only_get(ngx_http_request_t *r)
{
    ngx_str_t allow = ngx_string("GET, HEAD");
    if (r->method & (NGX_HTTP_GET | NGX_HTTP_HEAD))
        return NGX_DECLINED;
    if (ngx_http_api_add_header(r, "Allow", &allow) != NGX_OK)
        return NGX_ERROR;
    return ngx_http_api_send_problem(r, ST_E_METHOD, NGX_HTTP_NOT_ALLOWED, NULL, NULL);
}

static ngx_int_t openapi_handler(ngx_http_request_t *r)
{
    const ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_api_core_module);
    ngx_str_t cache = ngx_string("no-cache");
    ngx_int_t rc = only_get(r);
    if (rc != NGX_DECLINED)
        return rc;
    ngx_table_elt_t *etag = ngx_list_push(&r->headers_out.headers);
    if (!etag || ngx_http_api_add_header(r, "Cache-Control", &cache) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    etag->hash = 1;
    ngx_str_set(&etag->key, "ETag");
    etag->value = amcf->openapi_etag;
    r->headers_out.etag = etag;
    return ngx_http_api_send(r, NGX_HTTP_OK, "application/json", &amcf->openapi);
}

/* --- health --- */

static enum ngx_http_api_health_e worse(enum ngx_http_api_health_e a, enum ngx_http_api_health_e b)
{
    return ngx_min(a, b);
}

static void dependency(struct st_buf *b, const char *name, enum ngx_http_api_health_e health)
{
    st_buf_printf(b, "%s\"%s\":\"%s\"", b->len ? "," : "", name, health_names[health]);
}

/*
 * The whole is unhealthy when it can serve nobody: no service is well enough to answer, or nobody's permissions are
 * known. It is degraded when a part of it is. A service that has not been heard of is unhealthy.
 */
static enum ngx_http_api_health_e gather(const ngx_http_api_main_conf_t *amcf, struct st_buf *ret_dependencies)
{
    const ngx_http_api_zone_t *z = &amcf->zones[NGX_HTTP_API_ZONE_STATE];
    ngx_http_api_state_t *s = ngx_http_api_state(z);
    ngx_http_api_health_t known[NGX_HTTP_API_SERVICES];
    ngx_shmtx_lock(&z->shpool->mutex);
    ngx_uint_t n_known = s->n_health;
    ngx_memcpy(known, s->health, sizeof(known));
    ngx_shmtx_unlock(&z->shpool->mutex);

    enum ngx_http_api_health_e best = NGX_HTTP_API_UNHEALTHY, worst = NGX_HTTP_API_HEALTHY;
    enum ngx_http_api_health_e database = n_known ? NGX_HTTP_API_HEALTHY : NGX_HTTP_API_UNHEALTHY;
    bool heard = s->redis_up && ngx_time() - (time_t)s->heard <= HEARD_S;
    enum ngx_http_api_health_e bus = heard ? NGX_HTTP_API_HEALTHY : NGX_HTTP_API_UNHEALTHY;
    for (int i = 0; i < amcf->api->n_services; i++) {
        enum ngx_http_api_health_e health = NGX_HTTP_API_UNHEALTHY;
        for (ngx_uint_t k = 0; k < n_known; k++) {
            if (!st_streq(known[k].service, amcf->api->services[i]))
                continue;
            health = known[k].status;
            database = worse(database, known[k].database);
            bus = worse(bus, known[k].bus);
        }
        dependency(ret_dependencies, amcf->api->services[i], health);
        best = ngx_max(best, health);
        worst = worse(worst, health);
    }
    dependency(ret_dependencies, "database", database);
    dependency(ret_dependencies, "eventBus", bus);
    if (best == NGX_HTTP_API_UNHEALTHY || !s->ready)
        return NGX_HTTP_API_UNHEALTHY;
    return worse(worst, worse(database, bus)) == NGX_HTTP_API_HEALTHY ? NGX_HTTP_API_HEALTHY : NGX_HTTP_API_DEGRADED;
}

static ngx_int_t health_handler(ngx_http_request_t *r)
{
    const ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_api_core_module);
    struct st_buf dependencies = ST_BUF(PAGE_MAX), b = ST_BUF(PAGE_MAX);
    ngx_str_t cache = ngx_string("no-store");
    ngx_int_t rc = only_get(r);
    if (rc != NGX_DECLINED)
        return rc;
    if (ngx_http_api_add_header(r, "Cache-Control", &cache) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    enum ngx_http_api_health_e health = gather(amcf, &dependencies);
    if (health == NGX_HTTP_API_UNHEALTHY)
        ngx_http_api_retry_after(r, NGX_HTTP_API_RETRY_AFTER_S);
    st_buf_printf(&b, "{\"status\":\"%s\",\"version\":\"" ST_VERSION "\",\"dependencies\":{%s}}\n",
                  health_names[health], dependencies.data);
    st_buf_release(&dependencies);
    return send_buf(r, health == NGX_HTTP_API_UNHEALTHY ? NGX_HTTP_SERVICE_UNAVAILABLE : NGX_HTTP_OK,
                    "application/json", &b);
}

/* --- metrics --- */

static const struct {
    const char *name, *labels, *help;
} counter_texts[NGX_HTTP_API_COUNTERS] = {
    [NGX_HTTP_API_N_TOKEN_L1] = {"tokens_total", "result=\"l1\"", "Tokens by where their identity was found."},
    [NGX_HTTP_API_N_TOKEN_L2] = {"tokens_total", "result=\"l2\"", NULL},
    [NGX_HTTP_API_N_TOKEN_VERIFIED] = {"tokens_total", "result=\"verified\"", NULL},
    [NGX_HTTP_API_N_TOKEN_REFUSED] = {"tokens_total", "result=\"refused\"", NULL},
    [NGX_HTTP_API_N_REVOKED] = {"revoked_total", "", "Requests of sessions that have ended."},
    [NGX_HTTP_API_N_FORBIDDEN] = {"forbidden_total", "", "Requests without the permission (dry run included)."},
    [NGX_HTTP_API_N_INVALID] = {"invalid_total", "", "Requests whose parameters or body break the contract."},
    [NGX_HTTP_API_N_RESYNCS] = {"redis_resyncs_total", "", "Times that the whole state was read from Redis."},
    [NGX_HTTP_API_N_DELTAS] = {"redis_deltas_total", "", "Changes of the state received from Redis."},
    [NGX_HTTP_API_N_REDIS_UNANSWERED] = {"redis_unanswered_total", "", "Questions that Redis answered late or never."},
    [NGX_HTTP_API_N_DROPPED] = {"state_dropped_total", "", "State from Redis that made no sense or found no room."},
};

static void add_help(struct st_buf *b, const char *name, const char *type, const char *help)
{
    st_buf_printf(b, "# HELP storytelling_edge_%s %s\n# TYPE storytelling_edge_%s %s\n", name, help, name, type);
}

static void add_gauge(struct st_buf *b, const char *name, const char *help, int64_t value)
{
    add_help(b, name, "gauge", help);
    st_buf_printf(b, "storytelling_edge_%s %lld\n", name, (long long)value);
}

static void add_counters(struct st_buf *b, const ngx_http_api_main_conf_t *amcf)
{
    const ngx_http_api_state_t *s = ngx_http_api_state(&amcf->zones[NGX_HTTP_API_ZONE_STATE]);
    static const char *const kinds[] = {"users", "tiers", "revoked"};
    for (int i = 0; i < NGX_HTTP_API_COUNTERS; i++) {
        const char *labels = counter_texts[i].labels;
        if (counter_texts[i].help)
            add_help(b, counter_texts[i].name, "counter", counter_texts[i].help);
        st_buf_printf(b, "storytelling_edge_%s%s%s%s %llu\n", counter_texts[i].name, *labels ? "{" : "", labels,
                      *labels ? "}" : "", (unsigned long long)s->counters[i]);
    }
    add_help(b, "state_entries", "gauge", "Overrides and revocations that are known.");
    for (int i = 0; i < NGX_HTTP_API_KINDS; i++)
        st_buf_printf(b, "storytelling_edge_state_entries{kind=\"%s\"} %llu\n", kinds[i],
                      (unsigned long long)s->tables[i].count);
    add_gauge(b, "redis_up", "1 while the edge hears Redis.", (int64_t)s->redis_up);
    add_gauge(b, "state_age_seconds", "Since the whole state was read from Redis; -1: never.",
              s->synced ? ngx_time() - (int64_t)s->synced : -1);
#if (NGX_STAT_STUB)
    add_gauge(b, "connections", "Client connections that are open.", (int64_t)*ngx_stat_active);
#endif
    static const char *const zones[] = {[NGX_HTTP_API_ZONE_TOKENS] = "tokens", [NGX_HTTP_API_ZONE_LIMITS] = "limits"};
    add_help(b, "zone_evicted_total", "counter", "Entries that left a full zone before they expired.");
    for (int i = NGX_HTTP_API_ZONE_TOKENS; i <= NGX_HTTP_API_ZONE_LIMITS; i++) {
        const ngx_http_api_table_t *t = amcf->zones[i].sh;
        st_buf_printf(b, "storytelling_edge_zone_evicted_total{zone=\"%s\"} %llu\n", zones[i],
                      (unsigned long long)t->evicted);
    }
}

static void add_requests(struct st_buf *b, const char *operation, const ngx_http_api_slot_t *slot)
{
    for (int i = 0; i < 5; i++)
        if (slot->classes[i])
            st_buf_printf(b, "storytelling_edge_requests_total{operation=\"%s\",status=\"%dxx\"} %llu\n", operation,
                          i + 1, (unsigned long long)slot->classes[i]);
}

static void add_histogram(struct st_buf *b, const char *operation, const ngx_http_api_slot_t *slot)
{
    static const char name[] = "storytelling_edge_request_duration_seconds";
    unsigned long long sum = 0;
    for (int i = 0; i < NGX_HTTP_API_BUCKETS; i++) {
        sum += slot->buckets[i];
        st_buf_printf(b, "%s_bucket{operation=\"%s\",le=\"%g\"} %llu\n", name, operation,
                      ngx_http_api_bucket_ms[i] / 1000.0, sum);
    }
    sum += slot->buckets[NGX_HTTP_API_BUCKETS];
    st_buf_printf(b, "%s_bucket{operation=\"%s\",le=\"+Inf\"} %llu\n", name, operation, sum);
    st_buf_printf(b, "%s_sum{operation=\"%s\"} %g\n", name, operation, (double)slot->duration_ms / 1000);
    st_buf_printf(b, "%s_count{operation=\"%s\"} %llu\n", name, operation, sum);
}

static void add_limited(struct st_buf *b, const char *operation, const ngx_http_api_slot_t *slot)
{
    if (slot->limited)
        st_buf_printf(b, "storytelling_edge_limited_total{operation=\"%s\"} %llu\n", operation,
                      (unsigned long long)slot->limited);
}

static ngx_int_t metrics_handler(ngx_http_request_t *r)
{
    static const struct {
        const char *name, *type, *help;
        void (*add)(struct st_buf *b, const char *operation, const ngx_http_api_slot_t *slot);
    } families[] = {
        {"requests_total", "counter", "Requests answered.", add_requests},
        {"request_duration_seconds", "histogram", "Time from the first byte to the last.", add_histogram},
        {"limited_total", "counter", "Requests over a limit (dry run included).", add_limited},
    };
    const ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_api_core_module);
    struct st_buf b = ST_BUF(PAGE_MAX);
    ngx_int_t rc = only_get(r);
    if (rc != NGX_DECLINED)
        return rc;
    for (size_t f = 0; f < ST_COUNT(families); f++) {
        add_help(&b, families[f].name, families[f].type, families[f].help);
        for (int i = 0; i < amcf->api->n_operations; i++)
            families[f].add(&b, amcf->api->operations[i].id, amcf->operations[i].slot);
        families[f].add(&b, "", amcf->unmatched);
    }
    add_counters(&b, amcf);
    return send_buf(r, NGX_HTTP_OK, "text/plain; version=0.0.4", &b);
}

/* --- nginx's own errors --- */

static const struct {
    ngx_uint_t status;
    int err;
    ngx_uint_t sent;
    const char *detail;
} problems[] = {
    {400, ST_E_INVALID, 400, "This is not a well-formed HTTP request, or it came without TLS to an HTTPS port."},
    {403, ST_E_FORBIDDEN, 403, NULL},
    {404, ST_E_NOT_FOUND, 404, NULL},
    {405, ST_E_METHOD, 405, NULL},
    {408, ST_E_INVALID, 408, "The request took too long to arrive."},
    {413, ST_E_TOO_LARGE, 413, "The body is larger than this server accepts."},
    {414, ST_E_TOO_LARGE, 414, "The request line is too long."},
    {416, ST_E_RANGE, 416, NULL},
    {421, ST_E_INVALID, 421, "This host is not served on this connection."},
    {429, ST_E_LIMITED, 429, "There are too many requests from your address."},
    {431, ST_E_TOO_LARGE, 431, "The header is too large."},
    {500, ST_E_INTERNAL, 500, NULL},
    {501, ST_E_INVALID, 501, "The transfer encoding is not supported."},
    {502, ST_E_UNAVAILABLE, 503, "The service behind this operation does not answer."},
    {503, ST_E_UNAVAILABLE, 503, NULL},
    {504, ST_E_UNAVAILABLE, 503, "The service behind this operation took too long."},
};

static ngx_int_t problem_handler(ngx_http_request_t *r)
{
    ngx_uint_t status = r->err_status ? r->err_status : NGX_HTTP_NOT_FOUND;
    size_t i = 0;
    while (i < ST_COUNT(problems) && problems[i].status != status)
        i++;
    if (i == ST_COUNT(problems))
        return ngx_http_api_send_problem(r, st_err_from_status((int)status), status, NULL, NULL);
    if (problems[i].sent == 503 || problems[i].sent == 429)
        ngx_http_api_retry_after(r, NGX_HTTP_API_RETRY_AFTER_S);
    return ngx_http_api_send_problem(r, problems[i].err, problems[i].sent, problems[i].detail, NULL);
}

char *ngx_http_api_page(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    static const struct {
        const char *directive;
        ngx_http_handler_pt handler;
    } pages[] = {
        {"api_health", health_handler},
        {"api_metrics", metrics_handler},
        {"api_openapi", openapi_handler},
        {"api_problem", problem_handler},
    };
    ngx_http_api_main_conf_t *amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_api_core_module);
    ngx_http_core_loc_conf_t *clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    ngx_http_api_loc_conf_t *alcf = conf;
    if (!amcf->files.nelts)
        return "needs \"api_contracts\" before it";
    for (size_t i = 0; i < ST_COUNT(pages); i++)
        if (strcmp((char *)cmd->name.data, pages[i].directive) == 0)
            clcf->handler = pages[i].handler;
    /* These take no body, and the answer to one that is too large must not be refused for its size again. */
    clcf->client_max_body_size = 0;
    alcf->enable = 0;
    return NGX_CONF_OK;
}
