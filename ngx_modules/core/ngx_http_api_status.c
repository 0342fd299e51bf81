/*
 * The page for people: how the edge and the services are, and what is going on. Plain HTML that renews itself; its
 * style comes from the same address with "?style", so that it works under a policy that forbids inline styles.
 */
#include "ngx_http_api.h"

enum { REFRESH_S = 5 };

static const char STYLE[] =
    ":root{color-scheme:light dark;--line:#8884;--good:#1a7f37;--bad:#cf222e;--soso:#9a6700}"
    "@media(prefers-color-scheme:dark){:root{--good:#3fb950;--bad:#ff7b72;--soso:#d29922}}"
    "body{font:15px/1.45 system-ui,sans-serif;max-width:76rem;margin:0 auto;padding:1rem}"
    "h1{font-size:1.4rem;margin:0 0 .25rem}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.3rem .7rem .3rem 0;border-bottom:1px solid var(--line);white-space:nowrap}"
    "th{font-weight:600}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}"
    "td.path{white-space:normal;overflow-wrap:anywhere;min-width:11rem}small,.dim{color:#777}"
    ".healthy,.closed,.yes{color:var(--good)}.unhealthy,.open,.no{color:var(--bad);font-weight:600}"
    ".degraded,.half-open{color:var(--soso);font-weight:600}"
    "dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(10rem,1fr));gap:.6rem;margin:.8rem 0}"
    "dl div{border:1px solid var(--line);border-radius:.4rem;padding:.5rem .7rem}dt{color:#777;font-size:.85rem}"
    "dd{margin:0;font-size:1.1rem;font-variant-numeric:tabular-nums}meter{width:8rem;vertical-align:middle}"
    "@media(max-width:40rem){.wide{display:none}body{padding:.7rem}}\n";

static void add_text(struct st_buf *b, const char *s)
{
    for (; *s; s++) {
        switch (*s) {
        case '<': st_buf_str(b, "&lt;"); break;
        case '>': st_buf_str(b, "&gt;"); break;
        case '&': st_buf_str(b, "&amp;"); break;
        case '"': st_buf_str(b, "&quot;"); break;
        default: st_buf_char(b, *s);
        }
    }
}

/* words: of ours, also the name of their class */
static void add_word_cell(struct st_buf *b, const char *word)
{
    st_buf_printf(b, "<td class=\"%s\">%s</td>", word, word);
}

static void add_text_cell(struct st_buf *b, const char *class, const char *s)
{
    st_buf_printf(b, "<td class=\"%s\">", class);
    add_text(b, s);
    st_buf_str(b, "</td>");
}

static void add_number_cell(struct st_buf *b, uint64_t n)
{
    if (n)
        st_buf_printf(b, "<td class=\"n\">%llu</td>", (unsigned long long)n);
    else
        st_buf_str(b, "<td class=\"n dim\">0</td>");
}

static void begin_table(struct st_buf *b, const char *title, const char *head)
{
    st_buf_printf(b, "<h2>%s</h2>\n<div class=\"scroll\"><table>\n<tr>%s</tr>\n", title, head);
}

static void end_table(struct st_buf *b)
{
    st_buf_str(b, "</table></div>\n");
}

/* --- the edge as a whole --- */

static void add_fact(struct st_buf *b, const char *name, const char *class, const char *fmt, ...) ST_PRINTF(4, 5);
static void add_fact(struct st_buf *b, const char *name, const char *class, const char *fmt, ...)
{
    char text[64];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    st_buf_printf(b, "<div><dt>%s</dt><dd class=\"%s\">%s</dd></div>\n", name, class, text);
}

static void add_share(struct st_buf *b, const ngx_http_api_state_t *s)
{
    uint64_t kept = ngx_http_api_counted(s->counts, NGX_HTTP_API_N_TOKEN_L1) +
                    ngx_http_api_counted(s->counts, NGX_HTTP_API_N_TOKEN_L2);
    uint64_t all = kept + ngx_http_api_counted(s->counts, NGX_HTTP_API_N_TOKEN_VERIFIED);
    if (all)
        add_fact(b, "tokens from the caches", "", "%.1f %%", 100.0 * (double)kept / (double)all);
}

static void add_facts(struct st_buf *b, const ngx_http_api_main_conf_t *amcf, enum ngx_http_api_health_e health)
{
    const ngx_http_api_state_t *s = ngx_http_api_state(&amcf->zones[NGX_HTTP_API_ZONE_STATE]);
    const ngx_core_conf_t *ccf = (ngx_core_conf_t *)ngx_get_conf(ngx_cycle->conf_ctx, ngx_core_module);
    st_buf_str(b, "<dl>\n");
    add_fact(b, "health", ngx_http_api_health_names[health], "%s", ngx_http_api_health_names[health]);
    add_fact(b, "permissions", s->ready ? "yes" : "no", "%s", s->ready ? "known" : "not known");
    if (!amcf->redis.len)
        add_fact(b, "Redis", "", "none");
    else
        add_fact(b, "Redis", s->redis_up ? "yes" : "no", "%s", s->redis_up ? "up" : "away");
    if (s->heard) {
        add_fact(b, "last heard", "", "%lld s ago", (long long)(ngx_time() - (time_t)s->heard));
        add_fact(b, "round trip", "", "%.1f ms", (double)s->round_trip_us / 1000);
    }
    if (s->synced)
        add_fact(b, "state read", "", "%lld s ago", (long long)(ngx_time() - (time_t)s->synced));
    add_share(b, s);
    add_fact(b, "workers", "", "%d", (int)ccf->worker_processes);
#if (NGX_STAT_STUB)
    add_fact(b, "connections", "", "%lu", (unsigned long)*ngx_stat_active);
#endif
    st_buf_str(b, "</dl>\n");
}

static void add_services(struct st_buf *b, const ngx_http_api_main_conf_t *amcf,
                         const enum ngx_http_api_health_e *health)
{
    begin_table(b, "Services", "<th>service</th><th>health</th><th>breaker</th><th class=\"n\">opened</th>");
    for (int i = 0; i < amcf->api->n_services; i++) {
        const ngx_http_api_service_t *s = &amcf->services[i];
        st_buf_str(b, "<tr>");
        add_text_cell(b, "", s->name);
        add_word_cell(b, ngx_http_api_health_names[health[i]]);
        if (s->conf->share)
            add_word_cell(b, ngx_http_api_breaker_names[ngx_http_api_breaker_now(s->breaker)]);
        else
            st_buf_str(b, "<td class=\"dim\">off</td>");
        add_number_cell(b, s->breaker->opened);
        st_buf_str(b, "</tr>\n");
    }
    end_table(b);
}

static void add_refusals(struct st_buf *b, const ngx_http_api_state_t *s)
{
    begin_table(b, "Refused", "<th>because of</th><th class=\"n\">requests</th>");
    bool none = true;
    for (int i = NGX_HTTP_API_BY_NONE + 1; i < NGX_HTTP_API_CAUSE_COUNT; i++) {
        uint64_t n = ngx_http_api_refused(s->counts, i);
        if (!n)
            continue;
        none = false;
        st_buf_str(b, "<tr>");
        add_text_cell(b, "", ngx_http_api_cause_names[i]);
        add_number_cell(b, n);
        st_buf_str(b, "</tr>\n");
    }
    if (none)
        st_buf_str(b, "<tr><td class=\"dim\">nobody yet</td><td></td></tr>\n");
    end_table(b);
}

static ngx_http_api_zone_use_t zone_use(const ngx_http_api_main_conf_t *amcf, int zone)
{
    const ngx_http_api_zone_t *z = &amcf->zones[zone];
    ngx_http_api_zone_use_t use = {.entries = 0};
    if (zone == NGX_HTTP_API_ZONE_TOKENS)
        ngx_http_api_tokens.use(z, &use);
    else if (zone == NGX_HTTP_API_ZONE_LIMITS)
        ngx_http_api_limits.use(z, &use);
    else
        for (int i = 0; i < NGX_HTTP_API_KINDS; i++)
            use.entries += ngx_http_api_state(z)->tables[i].count;
    return use;
}

static void add_zones(struct st_buf *b, const ngx_http_api_main_conf_t *amcf)
{
    begin_table(b, "Shared memory",
                "<th>zone</th><th>pages</th><th class=\"n\">KiB</th><th class=\"n\">of</th>"
                "<th class=\"n\">entries</th><th class=\"n\">pushed out</th>");
    for (int i = 0; i < NGX_HTTP_API_ZONES; i++) {
        size_t total, used = ngx_http_api_zone_used(&amcf->zones[i], &total);
        ngx_http_api_zone_use_t use = zone_use(amcf, i);
        st_buf_printf(b, "<tr><td>%s</td><td><meter min=\"0\" max=\"%zu\" value=\"%zu\"></meter></td>",
                      ngx_http_api_zone_names[i], total, used);
        add_number_cell(b, used / 1024);
        add_number_cell(b, total / 1024);
        add_number_cell(b, use.entries);
        add_number_cell(b, use.evicted);
        st_buf_str(b, "</tr>\n");
    }
    end_table(b);
}

/* --- operations --- */

/* The bound below which that share of the requests stayed; 0: more than all bounds. */
static uint32_t quantile_ms(const ngx_http_api_cell_t *sum, uint64_t count, unsigned percent)
{
    uint64_t seen = 0;
    for (int i = 0; i < NGX_HTTP_API_BUCKETS; i++)
        if ((seen += sum->buckets[i]) * 100 >= count * percent)
            return ngx_http_api_bucket_ms[i];
    return 0;
}

static void add_duration_cell(struct st_buf *b, const ngx_http_api_cell_t *sum, uint64_t count, unsigned percent)
{
    uint32_t ms = count ? quantile_ms(sum, count, percent) : 0;
    if (!count)
        st_buf_str(b, "<td class=\"n dim wide\">–</td>");
    else if (ms)
        st_buf_printf(b, "<td class=\"n wide\">≤ %u ms</td>", ms);
    else
        st_buf_printf(b, "<td class=\"n wide\">&gt; %u s</td>",
                      ngx_http_api_bucket_ms[NGX_HTTP_API_BUCKETS - 1] / 1000);
}

static void add_traffic(struct st_buf *b, const ngx_http_api_slot_t *slot)
{
    ngx_http_api_cell_t sum;
    uint64_t classes[6] = {0}, count = 0;
    ngx_http_api_slot_sum(slot, &sum);
    for (ngx_uint_t i = 0; i < NGX_HTTP_API_STATUSES; i++) {
        classes[ngx_http_api_status_class(i)] += sum.statuses[i];
        count += sum.statuses[i];
    }
    add_number_cell(b, classes[2] + classes[3]);
    add_number_cell(b, classes[4]);
    add_number_cell(b, classes[5]);
    st_buf_printf(b, "<td class=\"n wide%s\">%llu</td>", slot->limited ? "" : " dim",
                  (unsigned long long)slot->limited);
    add_duration_cell(b, &sum, count, 50);
    add_duration_cell(b, &sum, count, 99);
}

static void add_limits(struct st_buf *b, const struct st_api_operation *op)
{
    st_buf_str(b, "<td class=\"wide\">");
    for (int i = 0; i < op->n_limits; i++) {
        const struct st_api_rate *rate = &op->limits[i].rates[0];
        st_buf_str(b, i ? ", " : "");
        add_text(b, op->limits[i].name);
        st_buf_printf(b, " <small>%lld / %lld s</small>", (long long)rate->count,
                      (long long)ngx_max(rate->period_us / ST_SECOND, 1));
    }
    st_buf_str(b, "</td>");
}

static void add_operations(struct st_buf *b, const ngx_http_api_main_conf_t *amcf)
{
    begin_table(b, "Operations",
                "<th>operation</th><th class=\"n\">2xx 3xx</th><th class=\"n\">4xx</th><th class=\"n\">5xx</th>"
                "<th class=\"n wide\">limited</th><th class=\"n wide\">median</th><th class=\"n wide\">99 %</th>"
                "<th class=\"wide\">service</th><th class=\"wide\">limits</th>");
    for (int i = 0; i < amcf->api->n_operations; i++) {
        const struct st_api_operation *op = &amcf->api->operations[i];
        st_buf_str(b, "<tr><td class=\"path\">");
        add_text(b, op->id);
        st_buf_printf(b, "<br><small>%s ", st_api_method_names[op->method]);
        add_text(b, op->path);
        st_buf_str(b, "</small></td>");
        add_traffic(b, amcf->operations[i].slot);
        add_text_cell(b, "wide", op->service);
        add_limits(b, op);
        st_buf_str(b, "</tr>\n");
    }
    st_buf_str(b, "<tr><td class=\"path dim\">everything else</td>");
    add_traffic(b, amcf->unmatched);
    st_buf_str(b, "<td class=\"wide\"></td><td class=\"wide\"></td></tr>\n");
    end_table(b);
}

static ngx_int_t send_style(ngx_http_request_t *r)
{
    ngx_str_t style = ngx_http_api_str(STYLE), cache = ngx_string("max-age=3600");
    if (ngx_http_api_add_header(r, "Cache-Control", &cache) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    return ngx_http_api_send(r, NGX_HTTP_OK, "text/css", &style);
}

ngx_int_t ngx_http_api_status_handler(ngx_http_request_t *r)
{
    const ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_api_core_module);
    struct st_buf b = ST_BUF(NGX_HTTP_API_PAGE_MAX), dependencies = ST_BUF(NGX_HTTP_API_PAGE_MAX);
    enum ngx_http_api_health_e services[NGX_HTTP_API_SERVICES];
    char now[ST_TIME_LEN];
    ngx_str_t cache = ngx_string("no-store");
    ngx_int_t rc = ngx_http_api_only_get(r);
    if (rc != NGX_DECLINED)
        return rc;
    if (r->args.len == 5 && ngx_memcmp(r->args.data, "style", 5) == 0)
        return send_style(r);
    if (ngx_http_api_add_header(r, "Cache-Control", &cache) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    enum ngx_http_api_health_e health = ngx_http_api_health(amcf, &dependencies, services);
    st_buf_release(&dependencies);
    st_time_format((int64_t)ngx_time() * ST_SECOND, now);
    now[10] = ' ';
    st_buf_printf(&b,
                  "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                  "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                  "<meta http-equiv=\"refresh\" content=\"%d\"><title>Edge: %s</title>"
                  "<link rel=\"stylesheet\" href=\"?style\"></head><body>\n<h1>The edge</h1>\n"
                  "<div class=\"dim\">%.19s UTC · version " ST_VERSION " · node %.8s</div>\n",
                  REFRESH_S, ngx_http_api_health_names[health], now,
                  ngx_http_api_state(&amcf->zones[NGX_HTTP_API_ZONE_STATE])->node);
    add_facts(&b, amcf, health);
    add_services(&b, amcf, services);
    add_operations(&b, amcf);
    add_refusals(&b, ngx_http_api_state(&amcf->zones[NGX_HTTP_API_ZONE_STATE]));
    add_zones(&b, amcf);
    st_buf_str(&b, "</body></html>\n");
    return ngx_http_api_send_buf(r, NGX_HTTP_OK, "text/html; charset=utf-8", &b);
}
