/* The limits of the contracts, made ready for requests when nginx reads its configuration. */
#include "ngx_http_api_limit.h"

enum {
    SLACK_PART = 40, /* of the burst; a burst below it is exact between nodes */
    CHUNK_PART = 10,
    CHUNK_MIN = 4, /* what comes back in a second; below it a lease would be lost more often than used */
};

/* How the nodes share the rate. A lease is what a second brings, at most: what is leased and not used is lost. */
static void share_rule(ngx_http_api_rule_t *rule)
{
    int64_t a_second = ST_SECOND / rule->gcra.interval;
    rule->slack = rule->burst / SLACK_PART;
    if (!rule->slack)
        return;
    rule->chunk = ngx_min(rule->burst / CHUNK_PART, a_second);
    if (rule->chunk < CHUNK_MIN)
        rule->chunk = 0;
}

/* Who changes the tier starts anew, and does not carry a debt into another scale: the tier is part of the id. */
static void make_rules(struct st_arena *a, ngx_http_api_limit_t *l, bool shared)
{
    const struct st_api_limit *limit = l->limit;
    double part = l->fair ? limit->share : 1;
    l->rules = st_new_n(a, ngx_http_api_rule_t, (size_t)limit->n_rates);
    for (int i = 0; i < limit->n_rates; i++) {
        const struct st_api_rate *rate = &limit->rates[i];
        ngx_http_api_rule_t *rule = &l->rules[i];
        unsigned char digest[ST_SHA256_LEN];
        const char *id = st_printf(a, "%s\n%s", l->name, rate->tier ? rate->tier : "");
        st_sha256(id, strlen(id), digest);
        ngx_memcpy(&rule->id, digest, sizeof(rule->id));
        rule->count = ngx_max((int64_t)((double)rate->count * part), 1);
        rule->burst = ngx_max((int64_t)((double)rate->burst * part), 1);
        rule->window_s = rate->period_us / ST_SECOND;
        rule->gcra.interval = ngx_max(rate->period_us / rule->count, 1);
        rule->gcra.tolerance = rule->burst * rule->gcra.interval;
        rule->policy = ngx_http_api_str(
            st_printf(a, "\"%s\";q=%lld;w=%lld", l->name, (long long)rule->count, (long long)rule->window_s));
        if (shared)
            share_rule(rule);
    }
}

/* Names that nginx knows by their beginning, and those that modules and the configuration have made. */
static bool is_variable(ngx_conf_t *cf, const ngx_str_t *name)
{
    static const char *const families[] = {"http_", "sent_http_", "upstream_http_", "cookie_", "arg_"};
    const ngx_http_core_main_conf_t *cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    const ngx_hash_key_t *keys = cmcf->variables_keys->keys.elts;
    for (size_t i = 0; i < ST_COUNT(families); i++)
        if (name->len > strlen(families[i]) && ngx_strncmp(name->data, families[i], strlen(families[i])) == 0)
            return true;
    for (ngx_uint_t i = 0; i < cmcf->variables_keys->keys.nelts; i++)
        if (keys[i].key.len == name->len && ngx_strncmp(keys[i].key.data, name->data, name->len) == 0)
            return true;
    return false;
}

/* A header is the variable $http_<name>. */
static ngx_int_t bind_variable(ngx_conf_t *cf, struct st_arena *a, const struct st_api_operation *op,
                               ngx_http_api_limit_t *l)
{
    const struct st_api_limit *limit = l->limit;
    if (!limit->of)
        return NGX_OK;
    char *text = st_printf(a, "%s%s", limit->by == ST_BY_HEADER ? "http_" : "", limit->of);
    for (char *p = text; *p; p++)
        if (*p == '-')
            *p = '_';
    ngx_str_t name = ngx_http_api_str(text);
    if (!is_variable(cf, &name)) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "%s:%d: %s has a limit by the variable \"%V\", which nobody knows",
                      op->file, op->line, op->id, &name);
        return NGX_ERROR;
    }
    return (l->variable = ngx_http_get_variable_index(cf, &name)) == NGX_ERROR ? NGX_ERROR : NGX_OK;
}

static ngx_int_t add_limit(ngx_conf_t *cf, ngx_http_api_main_conf_t *amcf, const ngx_http_api_limit_conf_t *conf,
                           const struct st_api_operation *op, const struct st_api_limit *limit, bool fair)
{
    struct st_arena *a = &amcf->arena;
    ngx_http_api_limit_list_t *list = &conf->operations[op->index];
    ngx_http_api_limit_t *l = &list->list[list->n++];
    if (list->n > NGX_HTTP_API_LIMITS) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "%s:%d: %s has more than %d limits, shares included", op->file,
                      op->line, op->id, NGX_HTTP_API_LIMITS);
        return NGX_ERROR;
    }
    *l = (ngx_http_api_limit_t){.limit = limit, .fair = fair};
    l->name = fair ? st_printf(a, "%s.share", limit->name) : limit->name;
    l->quoted = ngx_http_api_str(st_printf(a, "\"%s\"", l->name)); /* letters, digits, dots and dashes */
    make_rules(a, l, conf->share);
    return bind_variable(cf, a, op, l);
}

ngx_int_t ngx_http_api_limit_compile(ngx_conf_t *cf, ngx_http_api_main_conf_t *amcf, ngx_http_api_limit_conf_t *conf)
{
    const struct st_api *api = amcf->api;
    struct st_arena *a = &amcf->arena;
    conf->operations = st_new_n(a, ngx_http_api_limit_list_t, (size_t)api->n_operations + 1);
    for (int i = 0; i < api->n_operations; i++) {
        const struct st_api_operation *op = &api->operations[i];
        ngx_http_api_limit_list_t *list = &conf->operations[op->index];
        list->list = st_new_n(a, ngx_http_api_limit_t, NGX_HTTP_API_LIMITS + 1);
        for (int pass = 0; pass < 2; pass++) { /* addresses first */
            for (int k = 0; k < op->n_limits; k++)
                if ((op->limits[k].by != ST_BY_ADDRESS) == pass &&
                    add_limit(cf, amcf, conf, op, &op->limits[k], false) != NGX_OK)
                    return NGX_ERROR;
            if (pass == 0)
                list->n_by_address = list->n;
        }
        for (int k = 0; k < op->n_limits; k++)
            if (op->limits[k].share > 0 && add_limit(cf, amcf, conf, op, &op->limits[k], true) != NGX_OK)
                return NGX_ERROR;
    }
    return NGX_OK;
}
