/*
 * /health. Three questions: is this process alive (live), can it decide about requests (ready), and how is the whole,
 * service by service.
 */
#include "ngx_http_api.h"

enum { HEARD_S = 10 /* Redis is away when nothing was heard for so long; it is asked every second */ };

typedef enum ngx_http_api_health_e health_t;

const char *const ngx_http_api_health_names[] = {
    [NGX_HTTP_API_UNHEALTHY] = "unhealthy", [NGX_HTTP_API_DEGRADED] = "degraded", [NGX_HTTP_API_HEALTHY] = "healthy"};

static health_t worse(health_t a, health_t b)
{
    return ngx_min(a, b);
}

static void dependency(struct st_buf *b, const char *name, health_t health)
{
    st_buf_printf(b, "%s\"%s\":\"%s\"", b->len ? "," : "", name, ngx_http_api_health_names[health]);
}

static health_t redis(const ngx_http_api_state_t *s)
{
    bool heard = s->redis_up && ngx_time() - (time_t)s->heard <= HEARD_S;
    return heard ? NGX_HTTP_API_HEALTHY : NGX_HTTP_API_UNHEALTHY;
}

/* What the services have said of themselves, in Redis. Where there is none, nobody says anything. */
typedef struct {
    bool asked;
    ngx_uint_t n;
    ngx_http_api_health_t list[NGX_HTTP_API_SERVICES];
    health_t database, bus; /* the worst that any of them sees */
} reports_t;

static void read_reports(const ngx_http_api_main_conf_t *amcf, reports_t *ret)
{
    const ngx_http_api_zone_t *z = &amcf->zones[NGX_HTTP_API_ZONE_STATE];
    const ngx_http_api_state_t *s = ngx_http_api_state(z);
    ngx_shmtx_lock(&z->shpool->mutex);
    ret->n = s->n_health;
    ngx_memcpy(ret->list, s->health, sizeof(ret->list));
    ngx_shmtx_unlock(&z->shpool->mutex);
    ret->asked = amcf->redis.len > 0;
    ret->database = ret->n ? NGX_HTTP_API_HEALTHY : NGX_HTTP_API_UNHEALTHY;
    ret->bus = redis(s);
}

/* The worse of what a service says, if it is asked to, and of what its answers have been like. */
static health_t health_of(const ngx_http_api_service_t *service, reports_t *reports)
{
    health_t health = reports->asked ? NGX_HTTP_API_UNHEALTHY : NGX_HTTP_API_HEALTHY;
    for (ngx_uint_t k = 0; k < reports->n; k++) {
        if (!st_streq(reports->list[k].service, service->name))
            continue;
        health = reports->list[k].status;
        reports->database = worse(reports->database, reports->list[k].database);
        reports->bus = worse(reports->bus, reports->list[k].bus);
    }
    return ngx_http_api_breaker_now(service->breaker) == NGX_HTTP_API_OPEN ? NGX_HTTP_API_UNHEALTHY : health;
}

/*
 * Unhealthy when it can serve nobody: no service is well enough to answer, or nobody's permissions are known. Degraded
 * when a part of it is not well. A service that should be heard of and is not is unhealthy.
 */
health_t ngx_http_api_health(const ngx_http_api_main_conf_t *amcf, struct st_buf *ret_dependencies,
                             health_t *ret_services)
{
    health_t best = NGX_HTTP_API_UNHEALTHY, worst = NGX_HTTP_API_HEALTHY;
    reports_t reports;
    read_reports(amcf, &reports);
    for (int i = 0; i < amcf->api->n_services; i++) {
        health_t health = health_of(&amcf->services[i], &reports);
        if (ret_services)
            ret_services[i] = health;
        dependency(ret_dependencies, amcf->services[i].name, health);
        best = ngx_max(best, health);
        worst = worse(worst, health);
    }
    if (reports.asked) {
        dependency(ret_dependencies, "database", reports.database);
        dependency(ret_dependencies, "eventBus", reports.bus);
        worst = worse(worst, worse(reports.database, reports.bus));
    }
    if (best == NGX_HTTP_API_UNHEALTHY || !ngx_http_api_state(&amcf->zones[NGX_HTTP_API_ZONE_STATE])->ready)
        return NGX_HTTP_API_UNHEALTHY;
    return worst == NGX_HTTP_API_HEALTHY ? NGX_HTTP_API_HEALTHY : NGX_HTTP_API_DEGRADED;
}

/* What the edge itself needs: who may what. Without Redis it goes on with what it knows. */
static health_t ready(const ngx_http_api_main_conf_t *amcf, struct st_buf *ret_dependencies)
{
    const ngx_http_api_state_t *s = ngx_http_api_state(&amcf->zones[NGX_HTTP_API_ZONE_STATE]);
    health_t state = s->ready ? NGX_HTTP_API_HEALTHY : NGX_HTTP_API_UNHEALTHY;
    dependency(ret_dependencies, "permissions", state);
    if (!amcf->redis.len)
        return state;
    dependency(ret_dependencies, "eventBus", redis(s));
    return worse(state, redis(s) == NGX_HTTP_API_HEALTHY ? NGX_HTTP_API_HEALTHY : NGX_HTTP_API_DEGRADED);
}

ngx_int_t ngx_http_api_health_handler(ngx_http_request_t *r)
{
    const ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_api_core_module);
    const ngx_http_api_loc_conf_t *alcf = ngx_http_get_module_loc_conf(r, ngx_http_api_core_module);
    struct st_buf dependencies = ST_BUF(NGX_HTTP_API_PAGE_MAX), b = ST_BUF(NGX_HTTP_API_PAGE_MAX);
    ngx_str_t cache = ngx_string("no-store");
    ngx_int_t rc = ngx_http_api_only_get(r);
    if (rc != NGX_DECLINED)
        return rc;
    if (ngx_http_api_add_header(r, "Cache-Control", &cache) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    health_t health = alcf->health == NGX_HTTP_API_LIVE    ? NGX_HTTP_API_HEALTHY
                      : alcf->health == NGX_HTTP_API_READY ? ready(amcf, &dependencies)
                                                           : ngx_http_api_health(amcf, &dependencies, NULL);
    if (health == NGX_HTTP_API_UNHEALTHY)
        ngx_http_api_retry_after(r, NGX_HTTP_API_RETRY_AFTER_S);
    st_buf_printf(&b, "{\"status\":\"%s\",\"version\":\"" ST_VERSION "\",\"dependencies\":{%s}}\n",
                  ngx_http_api_health_names[health], dependencies.len ? dependencies.data : "");
    st_buf_release(&dependencies);
    return ngx_http_api_send_buf(r, health == NGX_HTTP_API_UNHEALTHY ? NGX_HTTP_SERVICE_UNAVAILABLE : NGX_HTTP_OK,
                                 "application/json", &b);
}

char *ngx_http_api_health_kind(ngx_conf_t *cf, ngx_http_api_loc_conf_t *alcf)
{
    const ngx_str_t *value = cf->args->elts;
    bool live = ngx_strcmp(value[1].data, "live") == 0;
    if (!live && ngx_strcmp(value[1].data, "ready") != 0)
        return "takes \"live\" or \"ready\"";
    alcf->health = live ? NGX_HTTP_API_LIVE : NGX_HTTP_API_READY;
    return NGX_CONF_OK;
}
