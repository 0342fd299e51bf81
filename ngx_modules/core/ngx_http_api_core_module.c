/* The core module: reads the contracts, keeps the shared memory, runs the steps of the ACCESS phase. */
#include "ngx_http_api_redis.h"

#include <glob.h>

enum {
    KEY_MIN = 32,
    KEY_MAX = 128, /* of the signing key's file, in bytes */
    DEFAULT_ZONE = 8 * 1024 * 1024,
    REDIS_PORT = 6379,
};

static void *create_main_conf(ngx_conf_t *cf);
static char *init_main_conf(ngx_conf_t *cf, void *conf);
static void *create_srv_conf(ngx_conf_t *cf);
static void *create_loc_conf(ngx_conf_t *cf);
static char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
static char *set_contracts(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *set_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *set_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *set_state_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *set_signing_key(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static ngx_int_t init_zone(ngx_shm_zone_t *zone, void *data);
static ngx_int_t pre_configuration(ngx_conf_t *cf);
static ngx_int_t post_configuration(ngx_conf_t *cf);
static ngx_int_t access_handler(ngx_http_request_t *r);
static ngx_int_t init_process(ngx_cycle_t *cycle);
static void exit_process(ngx_cycle_t *cycle);

static ngx_str_t zone_names[NGX_HTTP_API_ZONES] = {
    [NGX_HTTP_API_ZONE_STATE] = ngx_string("api_state"),
    [NGX_HTTP_API_ZONE_TOKENS] = ngx_string("api_tokens"),
    [NGX_HTTP_API_ZONE_LIMITS] = ngx_string("api_limits"),
};

static ngx_command_t commands[] = {
    {ngx_string("api"), NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_FLAG,
     ngx_conf_set_flag_slot, NGX_HTTP_LOC_CONF_OFFSET, offsetof(ngx_http_api_loc_conf_t, enable), NULL},
    {ngx_string("api_contracts"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, set_contracts, NGX_HTTP_MAIN_CONF_OFFSET, 0,
     NULL},
    {ngx_string("api_title"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, ngx_conf_set_str_slot, NGX_HTTP_MAIN_CONF_OFFSET,
     offsetof(ngx_http_api_main_conf_t, title), NULL},
    {ngx_string("api_redis"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, set_redis, NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL},
    {ngx_string("api_zone"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE2, set_zone, NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL},
    {ngx_string("api_state_file"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, set_state_file, NGX_HTTP_MAIN_CONF_OFFSET, 0,
     NULL},
    {ngx_string("api_signing_key_file"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, set_signing_key,
     NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL},
    {ngx_string("api_breaker"), NGX_HTTP_MAIN_CONF | NGX_HTTP_UPS_CONF | NGX_CONF_1MORE, ngx_http_api_breaker_set,
     NGX_HTTP_SRV_CONF_OFFSET, 0, NULL},
    {ngx_string("api_pass"), NGX_HTTP_LOC_CONF | NGX_HTTP_LIF_CONF | NGX_CONF_NOARGS, ngx_http_api_set_pass,
     NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},
    {ngx_string("api_health"), NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS | NGX_CONF_TAKE1, ngx_http_api_page,
     NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},
    {ngx_string("api_metrics"), NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS, ngx_http_api_page, NGX_HTTP_LOC_CONF_OFFSET, 0,
     NULL},
    {ngx_string("api_openapi"), NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS, ngx_http_api_page, NGX_HTTP_LOC_CONF_OFFSET, 0,
     NULL},
    {ngx_string("api_status"), NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS, ngx_http_api_page, NGX_HTTP_LOC_CONF_OFFSET, 0,
     NULL},
    {ngx_string("api_problem"), NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS, ngx_http_api_page, NGX_HTTP_LOC_CONF_OFFSET, 0,
     NULL},
    ngx_null_command,
};

static ngx_http_module_t module_ctx = {
    pre_configuration, post_configuration, create_main_conf, init_main_conf, create_srv_conf, NULL,
    create_loc_conf,   merge_loc_conf,
};

ngx_module_t ngx_http_api_core_module = {
    NGX_MODULE_V1, &module_ctx, commands, NGX_HTTP_MODULE, NULL, NULL,
    init_process,  NULL,        NULL,     exit_process,    NULL, NGX_MODULE_V1_PADDING,
};

/* The order in which a request is refused. What is cheap and public comes first. */
static ngx_http_api_step_pt *const steps[] = {
    ngx_http_api_route_step,  ngx_http_api_breaker_step, ngx_http_api_auth_step,
    ngx_http_api_params_step, ngx_http_api_limit_step,   ngx_http_api_rbac_step,
};

/* What is left once all of them have passed, and the body has come. Who is refused here is no probe of the service. */
static ngx_http_api_step_pt *const last_steps[] = {
    ngx_http_api_migrate_step, ngx_http_api_cache_step,    ngx_http_api_body_step,   ngx_http_api_shape_step,
    ngx_http_api_probe_step,   ngx_http_api_identity_step, ngx_http_api_shadow_step,
};

static ngx_int_t run(ngx_http_api_step_pt *const *list, size_t n, ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    ngx_int_t rc = NGX_OK;
    for (size_t i = 0; i < n && rc == NGX_OK; i++)
        rc = list[i](r, ctx);
    return rc;
}

static ngx_int_t access_handler(ngx_http_request_t *r)
{
    const ngx_http_api_loc_conf_t *alcf = ngx_http_get_module_loc_conf(r, ngx_http_api_core_module);
    if (r != r->main || !alcf->enable)
        return NGX_DECLINED;
    ngx_http_api_ctx_t *ctx = ngx_http_api_get_ctx(r);
    if (!ctx)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    if (ctx->admitted)
        return NGX_DECLINED;
    if (!ctx->passed && ctx->operation && !r->valid_unparsed_uri) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "api: the target was rewritten after it was matched");
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ngx_int_t rc = ngx_http_api_fallback_step(r, ctx);
    if (rc == NGX_OK) {
        ctx->admitted = 1;
        return NGX_DECLINED;
    }
    if (rc != NGX_DECLINED)
        return rc;
    rc = ctx->passed ? NGX_OK : run(steps, ST_COUNT(steps), r, ctx);
    if (rc != NGX_OK)
        return rc;
    ctx->passed = 1;
    rc = run(last_steps, ST_COUNT(last_steps), r, ctx);
    if (rc != NGX_OK)
        return rc;
    ctx->admitted = 1;
    if (alcf->passes && !ctx->upstream.len)
        r->loc_conf = alcf->passes[ctx->match.operation->index];
    return NGX_DECLINED;
}

static void release_arena(void *data)
{
    st_arena_release(data);
}

static void *create_main_conf(ngx_conf_t *cf)
{
    ngx_http_api_main_conf_t *amcf = ngx_pcalloc(cf->pool, sizeof(*amcf));
    ngx_pool_cleanup_t *cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (!amcf || !cln || ngx_array_init(&amcf->files, cf->pool, 16, sizeof(const char *)) != NGX_OK ||
        ngx_array_init(&amcf->passes, cf->pool, 4, sizeof(ngx_http_api_pass_t)) != NGX_OK)
        return NULL;
    cln->handler = release_arena;
    cln->data = &amcf->arena;
    amcf->cycle = cf->cycle;
    for (int i = 0; i < NGX_HTTP_API_ZONES; i++)
        amcf->zone_sizes[i] = NGX_CONF_UNSET_SIZE;
    return amcf;
}

static void *create_srv_conf(ngx_conf_t *cf)
{
    ngx_http_api_srv_conf_t *ascf = ngx_pcalloc(cf->pool, sizeof(*ascf));
    if (ascf)
        ascf->breaker.share = NGX_CONF_UNSET_UINT;
    return ascf;
}

static void *create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_api_loc_conf_t *alcf = ngx_pcalloc(cf->pool, sizeof(*alcf));
    if (alcf)
        alcf->enable = NGX_CONF_UNSET;
    return alcf;
}

static char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_api_loc_conf_t *prev = parent, *conf = child;
    ngx_http_api_main_conf_t *amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_api_core_module);
    ngx_http_core_loc_conf_t *clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    ngx_conf_merge_value(conf->enable, prev->enable, 0);
    if (!conf->enable)
        return NGX_CONF_OK;
    if (!amcf->api)
        return "is on but there are no \"api_contracts\"";
    const ngx_http_core_srv_conf_t *cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);
    const ngx_http_api_loc_conf_t *server = cscf->ctx->loc_conf[ngx_http_api_core_module.ctx_index];
    if (server->enable != 1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"api on\" of a location needs it in the server: requests are matched "
                           "before they have a location");
        return NGX_CONF_ERROR;
    }
    if (clcf->satisfy != NGX_HTTP_SATISFY_ALL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"satisfy any\" would let people past \"api on\"");
        return NGX_CONF_ERROR;
    }
    if (conf->pass && ngx_http_api_note_pass(cf, amcf, conf) != NGX_OK)
        return NGX_CONF_ERROR;
    return ngx_http_api_body_check(cf, amcf->api) == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
}

static char *set_contracts(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_api_main_conf_t *amcf = conf;
    ngx_str_t *value = cf->args->elts;
    glob_t found;
    if (ngx_conf_full_name(cf->cycle, &value[1], 1) != NGX_OK)
        return NGX_CONF_ERROR;
    if (glob((char *)value[1].data, 0, NULL, &found) != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "no contract matches \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char **file = ngx_array_push(&amcf->files);
        if (!file) {
            globfree(&found);
            return NGX_CONF_ERROR;
        }
        *file = st_strdup(&amcf->arena, found.gl_pathv[i]);
    }
    globfree(&found);
    return NGX_CONF_OK;
}

static char *set_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_api_main_conf_t *amcf = conf;
    ngx_str_t *value = cf->args->elts;
    if (amcf->redis.data)
        return "is duplicate";
    if (ngx_strncmp(value[1].data, "unix:", 5) == 0) {
        amcf->redis.data = value[1].data + 5;
        amcf->redis.len = value[1].len - 5;
        return amcf->redis.len ? NGX_CONF_OK : "has an empty path";
    }
    ngx_url_t u = {.url = value[1], .default_port = REDIS_PORT};
    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\": %s", &value[1], u.err ? u.err : "is no host and port");
        return NGX_CONF_ERROR;
    }
    /* The first address, found now: nothing is looked up while requests run. */
    amcf->redis.data = ngx_pcalloc(cf->pool, NGX_SOCKADDR_STRLEN + 1);
    if (!amcf->redis.data)
        return NGX_CONF_ERROR;
    amcf->redis.len = ngx_sock_ntop(u.addrs[0].sockaddr, u.addrs[0].socklen, amcf->redis.data, NGX_SOCKADDR_STRLEN, 0);
    amcf->redis_port = u.port;
    return NGX_CONF_OK;
}

static char *set_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_api_main_conf_t *amcf = conf;
    ngx_str_t *value = cf->args->elts;
    ssize_t size = ngx_parse_size(&value[2]);
    for (int i = 0; i < NGX_HTTP_API_ZONES; i++) {
        const char *name = (char *)zone_names[i].data + sizeof("api_") - 1;
        if (strcmp(name, (char *)value[1].data) != 0)
            continue;
        if (amcf->zone_sizes[i] != NGX_CONF_UNSET_SIZE)
            return "is duplicate";
        if (size == NGX_ERROR || size < (ssize_t)(16 * ngx_pagesize))
            return "wants a size of 64k or more";
        amcf->zone_sizes[i] = (size_t)size;
        return NGX_CONF_OK;
    }
    return "knows the zones state, tokens and limits";
}

/* nginx makes the file's directory and gives it to the workers' user, as it does for its temporary paths. */
static char *set_state_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_api_main_conf_t *amcf = conf;
    ngx_str_t *value = cf->args->elts;
    if (amcf->state_file.data)
        return "is duplicate";
    if (ngx_conf_full_name(cf->cycle, &value[1], 0) != NGX_OK)
        return NGX_CONF_ERROR;
    amcf->state_file = value[1];
    char *slash = strrchr((char *)value[1].data, '/');
    ngx_path_t *path = ngx_pcalloc(cf->pool, sizeof(*path));
    if (!path)
        return NGX_CONF_ERROR;
    path->name.len = (size_t)(slash - (char *)value[1].data);
    path->name.data = ngx_pnalloc(cf->pool, path->name.len + 1);
    if (!path->name.data)
        return NGX_CONF_ERROR;
    ngx_cpystrn(path->name.data, value[1].data, path->name.len + 1);
    path->conf_file = cf->conf_file->file.name.data;
    path->line = cf->conf_file->line;
    return ngx_add_path(cf, &path) == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
}

static char *set_signing_key(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_api_main_conf_t *amcf = conf;
    ngx_str_t *value = cf->args->elts;
    if (amcf->signing_key.data)
        return "is duplicate";
    u_char *key = ngx_pnalloc(cf->pool, KEY_MAX + 1);
    if (!key || ngx_conf_full_name(cf->cycle, &value[1], 0) != NGX_OK)
        return NGX_CONF_ERROR;
    FILE *f = fopen((char *)value[1].data, "re");
    if (!f) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno, "cannot open \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }
    size_t n = fread(key, 1, KEY_MAX + 1, f);
    fclose(f);
    if (n && key[n - 1] == '\n')
        n--;
    if (n < KEY_MIN || n > KEY_MAX)
        return "wants a file of 32 to 128 bytes";
    amcf->signing_key.len = n;
    amcf->signing_key.data = key;
    return NGX_CONF_OK;
}

/* RFC 9745 wants "@unix seconds", RFC 8594 an HTTP date. The contract's reader has checked both. */
static void lifetime_headers(ngx_http_api_main_conf_t *amcf, const struct st_api_operation *op,
                             ngx_http_api_operation_t *ret)
{
    int64_t us;
    if (op->deprecated_since && st_time_parse(op->deprecated_since, &us))
        ret->deprecation = ngx_http_api_str(st_printf(&amcf->arena, "@%lld", (long long)(us / ST_SECOND)));
    if (op->sunset && st_time_parse(op->sunset, &us)) {
        ret->sunset.data = st_alloc(&amcf->arena, sizeof("Mon, 28 Sep 1970 06:00:00 GMT"));
        ret->sunset.len = (size_t)(ngx_http_time(ret->sunset.data, us / ST_SECOND) - ret->sunset.data);
    }
}

/* A row for each alternative; one for a public operation. */
static void init_needed(ngx_http_api_main_conf_t *amcf, const struct st_api_operation *op,
                        ngx_http_api_operation_t *ret)
{
    const struct st_api *api = amcf->api;
    ret->needed = st_alloc(&amcf->arena, ((size_t)op->n_alternatives + 1) * sizeof(*ret->needed));
    for (int i = 0; i < op->n_alternatives; i++)
        for (int p = 0; p < op->alternatives[i].n_permissions; p++)
            for (int bit = 0; bit < api->n_permissions; bit++)
                if (st_streq(api->permissions[bit], op->alternatives[i].permissions[p]))
                    ret->needed[i][bit / 64] |= UINT64_C(1) << (bit % 64);
}

static void init_operations(ngx_http_api_main_conf_t *amcf)
{
    const struct st_api *api = amcf->api;
    amcf->operations = st_new_n(&amcf->arena, ngx_http_api_operation_t, (size_t)api->n_operations + 1);
    amcf->services = st_new_n(&amcf->arena, ngx_http_api_service_t, (size_t)api->n_services + 1);
    for (int i = 0; i < api->n_services; i++)
        amcf->services[i].name = api->services[i];
    for (int i = 0; i < api->n_operations; i++) {
        const struct st_api_operation *op = &api->operations[i];
        init_needed(amcf, op, &amcf->operations[i]);
        for (int k = 0; k < api->n_services; k++)
            if (st_streq(api->services[k], op->service))
                amcf->operations[i].service = &amcf->services[k];
        lifetime_headers(amcf, op, &amcf->operations[i]);
    }
}

static char *load_contracts(ngx_conf_t *cf, ngx_http_api_main_conf_t *amcf)
{
    const char *why = NULL;
    if (st_api_load(&amcf->arena, amcf->files.elts, (int)amcf->files.nelts, &amcf->api, &why) < 0) {
        for (const char *line = why, *end; line && *line; line = end) {
            end = strchrnul(line, '\n');
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "%*s", (size_t)(end - line), line);
            end += *end != '\0';
        }
        return NGX_CONF_ERROR;
    }
    if (amcf->api->n_permissions > NGX_HTTP_API_PERMISSIONS || amcf->api->n_services > NGX_HTTP_API_SERVICES) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "the contracts name more than %d permissions or %d services",
                           NGX_HTTP_API_PERMISSIONS, NGX_HTTP_API_SERVICES);
        return NGX_CONF_ERROR;
    }
    amcf->words = ((ngx_uint_t)amcf->api->n_permissions + 63) / 64;
    init_operations(amcf);
    if (amcf->title.len && !st_utf8_valid((char *)amcf->title.data, amcf->title.len)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"api_title\" is not UTF-8");
        return NGX_CONF_ERROR;
    }
    if (amcf->title.len)
        json_object_set_new(json_object_get(amcf->api->document, "info"), "title",
                            json_stringn((char *)amcf->title.data, amcf->title.len));
    char *text = st_json_text(&amcf->arena, amcf->api->document);
    amcf->openapi = ngx_http_api_str(text);
    const char *hash = st_sha256_hex(&amcf->arena, text, strlen(text));
    amcf->openapi_etag = ngx_http_api_str(st_printf(&amcf->arena, "\"%.32s\"", hash));
    return NGX_CONF_OK;
}

static char *init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_api_main_conf_t *amcf = conf;
    if (!amcf->files.nelts)
        return NGX_CONF_OK;
    if (load_contracts(cf, amcf) != NGX_CONF_OK)
        return NGX_CONF_ERROR;
    for (int i = 0; i < NGX_HTTP_API_ZONES; i++) {
        ngx_conf_init_size_value(amcf->zone_sizes[i], DEFAULT_ZONE);
        ngx_shm_zone_t *zone =
            ngx_shared_memory_add(cf, &zone_names[i], amcf->zone_sizes[i], &ngx_http_api_core_module);
        if (!zone)
            return NGX_CONF_ERROR;
        zone->init = init_zone;
        zone->data = amcf;
    }
    return NGX_CONF_OK;
}

/* The state zone has just been made or adopted: its counters are bound to the operations of this configuration. */
static ngx_int_t bind_state(ngx_shm_zone_t *zone, ngx_http_api_main_conf_t *amcf, bool fresh)
{
    ngx_http_api_zone_t *z = &amcf->zones[NGX_HTTP_API_ZONE_STATE];
    const ngx_core_conf_t *ccf = (ngx_core_conf_t *)ngx_get_conf(amcf->cycle->conf_ctx, ngx_core_module);
    ngx_uint_t n_cells = (ngx_uint_t)ngx_max(ngx_min(ccf->worker_processes, NGX_HTTP_API_SHARDS), 1);
    amcf->unmatched = ngx_http_api_state_slot(z, "", n_cells);
    bool full = !amcf->unmatched;
    for (int i = 0; !full && i < amcf->api->n_operations; i++) {
        amcf->operations[i].slot = ngx_http_api_state_slot(z, amcf->api->operations[i].id, n_cells);
        full = !amcf->operations[i].slot;
    }
    for (int i = 0; !full && i < amcf->api->n_services; i++) {
        amcf->services[i].breaker = ngx_http_api_state_breaker(z, amcf->services[i].name, n_cells);
        full = !amcf->services[i].breaker;
    }
    if (full) {
        ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0, "\"api_zone state\" of %uz bytes has no room for %d operations",
                      zone->shm.size, amcf->api->n_operations);
        return NGX_ERROR;
    }
    if (!fresh || !amcf->state_file.len || access((char *)amcf->state_file.data, F_OK) != 0)
        return NGX_OK;
    struct st_arena a = {0};
    const char *why = ngx_http_api_state_load(z, (char *)amcf->state_file.data, &a);
    if (why)
        ngx_log_error(NGX_LOG_WARN, zone->shm.log, 0, "api: the last known state was not read: %s", why);
    st_arena_release(&a);
    return NGX_OK;
}

static ngx_int_t init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_int_t (*const init[NGX_HTTP_API_ZONES])(ngx_http_api_zone_t *) = {
        ngx_http_api_state_init, ngx_http_api_tokens.init, ngx_http_api_limits.init};
    ngx_http_api_main_conf_t *amcf = zone->data, *old = data;
    int i = 0;
    while (zone->shm.name.data != zone_names[i].data && ngx_strcmp(zone->shm.name.data, zone_names[i].data) != 0)
        i++;
    ngx_http_api_zone_t *z = &amcf->zones[i];
    if (old) {
        *z = old->zones[i];
    } else {
        z->shpool = (ngx_slab_pool_t *)zone->shm.addr;
        if (init[i](z) != NGX_OK)
            return NGX_ERROR;
        z->shpool->data = z->sh;
    }
    return i == NGX_HTTP_API_ZONE_STATE ? bind_state(zone, amcf, old == NULL) : NGX_OK;
}

static ngx_int_t pre_configuration(ngx_conf_t *cf)
{
    return ngx_http_api_add_variables(cf);
}

static ngx_int_t post_configuration(ngx_conf_t *cf)
{
    ngx_http_api_main_conf_t *amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_api_core_module);
    ngx_http_core_main_conf_t *cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    if (!amcf->api)
        return NGX_OK;
    ngx_http_handler_pt *access = ngx_array_push(&cmcf->phases[NGX_HTTP_ACCESS_PHASE].handlers);
    ngx_http_handler_pt *log = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (!access || !log)
        return NGX_ERROR;
    ngx_http_api_identity_init();
    *access = access_handler;
    *log = ngx_http_api_log_handler;
    if (ngx_http_api_init_filter(cf) != NGX_OK)
        return NGX_ERROR;
    return ngx_http_api_wrap_upstreams(cf, amcf) == NGX_OK ? ngx_http_api_make_passes(cf, amcf) : NGX_ERROR;
}

static ngx_int_t init_process(ngx_cycle_t *cycle)
{
    if (!cycle->conf_ctx[ngx_http_module.index])
        return NGX_OK;
    ngx_http_api_main_conf_t *amcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_api_core_module);
    bool single = ngx_process == NGX_PROCESS_SINGLE;
    if (!amcf->api || !amcf->redis.len || (!single && ngx_process != NGX_PROCESS_WORKER))
        return NGX_OK;
    if (single || ngx_worker == 0)
        ngx_http_api_sync_start(amcf);
    else
        ngx_http_api_redis_start(amcf, NULL);
    return NGX_OK;
}

static void exit_process(ngx_cycle_t *cycle)
{
    ngx_http_api_sync_stop();
    ngx_http_api_redis_stop();
}

struct st_arena *ngx_http_api_scratch(void)
{
    static struct st_arena scratch;
    st_arena_reset(&scratch);
    return &scratch;
}
