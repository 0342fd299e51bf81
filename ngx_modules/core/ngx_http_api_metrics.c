/* Counting: what the log phase knows of a request, and the sums. */
#include "ngx_http_api.h"

const uint32_t ngx_http_api_bucket_ms[NGX_HTTP_API_BUCKETS] = {1, 2, 5, 10, 25, 50, 100, 250, 1000, 2500, 5000, 30000};

const char *const ngx_http_api_cause_names[NGX_HTTP_API_CAUSE_COUNT] = {
#define X(name, word) word,
    NGX_HTTP_API_CAUSES(X)
#undef X
};

/* The most frequent ones first: they are looked for one by one. */
static const struct {
    uint16_t code;
    const char *name;
} exact[NGX_HTTP_API_EXACT] = {
    {200, "200"}, {201, "201"}, {204, "204"}, {304, "304"}, {404, "404"}, {401, "401"}, {403, "403"},
    {429, "429"}, {400, "400"}, {422, "422"}, {202, "202"}, {206, "206"}, {301, "301"}, {302, "302"},
    {303, "303"}, {307, "307"}, {308, "308"}, {402, "402"}, {405, "405"}, {408, "408"}, {409, "409"},
    {410, "410"}, {412, "412"}, {413, "413"}, {414, "414"}, {415, "415"}, {416, "416"}, {428, "428"},
    {431, "431"}, {499, "499"}, {500, "500"}, {501, "501"}, {502, "502"}, {503, "503"}, {504, "504"},
};

const char *ngx_http_api_status_name(ngx_uint_t i)
{
    static const char *const classes[] = {"1xx", "2xx", "3xx", "4xx", "5xx"};
    return i < NGX_HTTP_API_EXACT ? exact[i].name : classes[i - NGX_HTTP_API_EXACT];
}

ngx_uint_t ngx_http_api_status_class(ngx_uint_t i)
{
    return (ngx_uint_t)(ngx_http_api_status_name(i)[0] - '0');
}

static ngx_uint_t status_index(ngx_uint_t status)
{
    for (ngx_uint_t i = 0; i < NGX_HTTP_API_EXACT; i++)
        if (exact[i].code == status)
            return i;
    return NGX_HTTP_API_EXACT + ngx_min(ngx_max(status / 100, 1), 5) - 1;
}

uint64_t ngx_http_api_counted(const ngx_http_api_counts_t *all, enum ngx_http_api_counter_e c)
{
    uint64_t sum = 0;
    for (int i = 0; i < NGX_HTTP_API_SHARDS; i++)
        sum += all[i].counters[c];
    return sum;
}

uint64_t ngx_http_api_refused(const ngx_http_api_counts_t *all, enum ngx_http_api_cause_e c)
{
    uint64_t sum = 0;
    for (int i = 0; i < NGX_HTTP_API_SHARDS; i++)
        sum += all[i].causes[c];
    return sum;
}

void ngx_http_api_slot_sum(const ngx_http_api_slot_t *slot, ngx_http_api_cell_t *ret)
{
    ngx_memzero(ret, sizeof(*ret));
    for (ngx_uint_t n = 0; n < slot->n_cells; n++) {
        const ngx_http_api_cell_t *cell = &slot->cells[n];
        for (int i = 0; i < NGX_HTTP_API_STATUSES; i++)
            ret->statuses[i] += cell->statuses[i];
        for (int i = 0; i <= NGX_HTTP_API_BUCKETS; i++)
            ret->buckets[i] += cell->buckets[i];
        ret->duration_ms += cell->duration_ms;
    }
}

enum ngx_http_api_cause_e ngx_http_api_cause_of(int err)
{
    switch (err) {
    case ST_E_UNAUTHENTICATED:
    case ST_E_CREDENTIALS: return NGX_HTTP_API_BY_TOKEN;
    case ST_E_FORBIDDEN: return NGX_HTTP_API_BY_PERMISSION;
    case ST_E_NOT_FOUND: return NGX_HTTP_API_BY_NOT_FOUND;
    case ST_E_METHOD: return NGX_HTTP_API_BY_METHOD;
    case ST_E_INVALID: return NGX_HTTP_API_BY_PARAMETERS;
    case ST_E_TOO_LARGE: return NGX_HTTP_API_BY_BODY_SIZE;
    case ST_E_MEDIA_TYPE: return NGX_HTTP_API_BY_MEDIA_TYPE;
    case ST_E_UNPROCESSABLE: return NGX_HTTP_API_BY_SCHEMA;
    case ST_E_LIMITED: return NGX_HTTP_API_BY_LIMIT;
    case ST_E_UNAVAILABLE: return NGX_HTTP_API_BY_STATE;
    case ST_E_INTERNAL: return NGX_HTTP_API_BY_INTERNAL;
    default: return NGX_HTTP_API_BY_OTHER;
    }
}

enum ngx_http_api_cause_e ngx_http_api_cause_of_status(ngx_uint_t status)
{
    switch (status) {
    case 400:
    case 414:
    case 421:
    case 431:
    case NGX_HTTP_REQUEST_HEADER_TOO_LARGE:
    case NGX_HTTPS_CERT_ERROR:
    case NGX_HTTPS_NO_CERT:
    case NGX_HTTP_TO_HTTPS:
    case 501: return NGX_HTTP_API_BY_MALFORMED;
    case 404: return NGX_HTTP_API_BY_NOT_FOUND;
    case 405: return NGX_HTTP_API_BY_METHOD;
    case 408: return NGX_HTTP_API_BY_SLOW_CLIENT;
    case 413: return NGX_HTTP_API_BY_BODY_SIZE;
    case 429: return NGX_HTTP_API_BY_LIMIT;
    case 500: return NGX_HTTP_API_BY_INTERNAL;
    case 502:
    case 503: return NGX_HTTP_API_BY_UPSTREAM;
    case 504: return NGX_HTTP_API_BY_UPSTREAM_TIMEOUT;
    case NGX_HTTP_CLIENT_CLOSED_REQUEST: return NGX_HTTP_API_BY_NONE;
    default: return status < 400 ? NGX_HTTP_API_BY_NONE : NGX_HTTP_API_BY_OTHER;
    }
}

int64_t ngx_http_api_duration_ms(const ngx_http_request_t *r)
{
    const ngx_time_t *now = ngx_timeofday();
    int64_t ms = (now->sec - r->start_sec) * 1000 + (int64_t)(now->msec - r->start_msec);
    return ngx_max(ms, 0);
}

ngx_int_t ngx_http_api_log_handler(ngx_http_request_t *r)
{
    const ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_api_core_module);
    ngx_http_api_ctx_t *ctx = ngx_http_api_get_ctx(r);
    ngx_http_api_slot_t *slot = ctx && ctx->operation ? ctx->operation->slot : amcf->unmatched;
    ngx_http_api_cell_t *cell = &slot->cells[ngx_worker % slot->n_cells];
    ngx_uint_t status = r->err_status ? r->err_status : r->headers_out.status, i = 0;
    uint32_t ms = (uint32_t)ngx_min(ngx_http_api_duration_ms(r), UINT32_MAX);
    while (i < NGX_HTTP_API_BUCKETS && ms > ngx_http_api_bucket_ms[i])
        i++;
    (void)ngx_atomic_fetch_add(&cell->buckets[i], 1);
    (void)ngx_atomic_fetch_add(&cell->statuses[status_index(status)], 1);
    if (ms)
        (void)ngx_atomic_fetch_add(&cell->duration_ms, (ngx_atomic_int_t)ms);
    if (ctx && ctx->probing)
        ngx_http_api_breaker_result(ctx->operation->service, ctx, NGX_HTTP_API_UNKNOWN);
    enum ngx_http_api_cause_e cause = ctx ? ctx->cause : NGX_HTTP_API_BY_NONE;
    /* 408 comes without an error page: the request just ends. */
    if (!cause)
        cause =
            ngx_http_api_cause_of_status(status == NGX_HTTP_REQUEST_TIME_OUT && !r->upstream ? status : r->err_status);
    if (cause)
        (void)ngx_atomic_fetch_add(&ngx_http_api_counts(&amcf->zones[NGX_HTTP_API_ZONE_STATE])->causes[cause], 1);
    return NGX_OK;
}
