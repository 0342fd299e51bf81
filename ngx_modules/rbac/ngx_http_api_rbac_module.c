/* The rbac module: may they? The operation's permissions against what the caller's roles give. */
#include "../core/ngx_http_api.h"

enum { ROLES_DEPTH = 8, ROLES_COUNT = 1000 };

typedef struct {
    ngx_flag_t dry_run;
} loc_conf_t;

static void *create_loc_conf(ngx_conf_t *cf);
static char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);

static ngx_command_t commands[] = {
    {ngx_string("api_rbac_dry_run"), NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_FLAG,
     ngx_conf_set_flag_slot, NGX_HTTP_LOC_CONF_OFFSET, offsetof(loc_conf_t, dry_run), NULL},
    ngx_null_command,
};

static ngx_http_module_t module_ctx = {NULL, NULL, NULL, NULL, NULL, NULL, create_loc_conf, merge_loc_conf};

ngx_module_t ngx_http_api_rbac_module = {
    NGX_MODULE_V1, &module_ctx, commands, NGX_HTTP_MODULE,       NULL, NULL, NULL, NULL,
    NULL,          NULL,        NULL,     NGX_MODULE_V1_PADDING,
};

/* The first permission that is needed and not given; -1: none. */
static int missing(const ngx_http_api_main_conf_t *amcf, const ngx_http_api_ctx_t *ctx)
{
    const uint64_t *needed = ctx->operation->needed[ctx->alternative], *given = ctx->identity.permissions;
    for (int w = 0; w * 64 < amcf->api->n_permissions; w++)
        if (needed[w] & ~given[w])
            return w * 64 + __builtin_ctzll(needed[w] & ~given[w]);
    return -1;
}

ngx_int_t ngx_http_api_rbac_step(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    const ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_api_core_module);
    const ngx_http_api_zone_t *z = &amcf->zones[NGX_HTTP_API_ZONE_STATE];
    const loc_conf_t *conf = ngx_http_get_module_loc_conf(r, ngx_http_api_rbac_module);
    int bit = missing(amcf, ctx);
    if (ctx->decision || (bit < 0 && !ctx->identity.user.len)) /* decided before; nobody to decide about */
        return NGX_OK;
    ctx->decision = bit < 0 ? "allow" : conf->dry_run ? "deny_dry_run" : "deny";
    ngx_http_api_count(z, bit < 0         ? NGX_HTTP_API_N_ALLOWED
                          : conf->dry_run ? NGX_HTTP_API_N_DENIED_DRY_RUN
                                          : NGX_HTTP_API_N_DENIED);
    if (bit < 0)
        return NGX_OK;
    if (!conf->dry_run) {
        const char *permission = amcf->api->permissions[bit];
        if (ngx_http_api_challenge(r, ctx, "insufficient_scope", "a permission is missing", permission) != NGX_OK)
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        return ngx_http_api_refuse(r, ST_E_FORBIDDEN, NULL, "The permission %s is needed.", permission);
    }
    ngx_log_error(NGX_LOG_WARN, r->connection->log, 0, "api: dry run: %V needs the permission %s", &ctx->identity.user,
                  amcf->api->permissions[bit]);
    return NGX_OK;
}

static void *create_loc_conf(ngx_conf_t *cf)
{
    loc_conf_t *conf = ngx_pcalloc(cf->pool, sizeof(*conf));
    if (conf)
        conf->dry_run = NGX_CONF_UNSET;
    return conf;
}

static char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    const loc_conf_t *prev = parent;
    loc_conf_t *conf = child;
    ngx_conf_merge_value(conf->dry_run, prev->dry_run, 0);
    return NGX_CONF_OK;
}

/* --- roles, as this worker knows them --- */

typedef struct {
    const char *name;
    uint64_t permissions[NGX_HTTP_API_WORDS];
} role_t;

static struct {
    struct st_arena arena;
    role_t *roles;
    int n_roles;
    ngx_atomic_uint_t generation; /* of the shared text that they were made from */
} known;

/* By segment: "story:*" covers "story:create", "*:*" every permission of two segments. */
static bool covers(const char *pattern, const char *permission)
{
    for (;;) {
        size_t p = strcspn(pattern, ":"), n = strcspn(permission, ":");
        bool any = p == 1 && *pattern == '*' && n > 0;
        if (!any && (p != n || memcmp(pattern, permission, n) != 0))
            return false;
        pattern += p;
        permission += n;
        if (!*pattern || !*permission)
            return *pattern == *permission;
        pattern++;
        permission++;
    }
}

static void add_role(const struct st_api *api, const char *name, const json_t *patterns)
{
    role_t *role = &known.roles[known.n_roles++];
    size_t i;
    json_t *one;
    role->name = name;
    json_array_foreach (patterns, i, one)
        for (int bit = 0; json_is_string(one) && bit < api->n_permissions; bit++)
            if (covers(json_string_value(one), api->permissions[bit]))
                role->permissions[bit / 64] |= UINT64_C(1) << (bit % 64);
}

void ngx_http_api_scopes(const ngx_http_api_main_conf_t *amcf, const ngx_str_t *scopes,
                         uint64_t permissions[NGX_HTTP_API_WORDS])
{
    struct st_arena *a = ngx_http_api_scratch();
    char *all = st_strndup(a, (const char *)scopes->data, scopes->len), *rest = all;
    uint64_t within[NGX_HTTP_API_WORDS] = {0};
    for (const char *scope; (scope = strsep(&rest, ",")) != NULL;)
        for (int bit = 0; bit < amcf->api->n_permissions; bit++)
            if (covers(scope, amcf->api->permissions[bit]))
                within[bit / 64] |= UINT64_C(1) << (bit % 64);
    for (int w = 0; w < NGX_HTTP_API_WORDS; w++)
        permissions[w] &= within[w];
}

/* The text was looked at before it was stored; what still makes no sense in it gives no permission. */
static void learn(const ngx_http_api_main_conf_t *amcf)
{
    size_t len;
    char *text = ngx_http_api_state_roles(&amcf->zones[NGX_HTTP_API_ZONE_STATE], &len, &known.generation);
    json_t *doc = NULL, *patterns;
    const char *why, *name;
    st_arena_release(&known.arena);
    known.roles = NULL;
    known.n_roles = 0;
    if (!text || st_json_parse(&known.arena, text, len, ROLES_DEPTH, &doc, &why) < 0)
        doc = NULL;
    free(text);
    json_t *roles = json_object_get(doc, "roles");
    known.roles = st_new_n(&known.arena, role_t, ngx_min(json_object_size(roles), ROLES_COUNT) + 1);
    json_object_foreach (roles, name, patterns)
        if (known.n_roles < ROLES_COUNT)
            add_role(amcf->api, name, patterns);
}

ngx_int_t ngx_http_api_permissions(ngx_http_api_main_conf_t *amcf, const ngx_str_t *roles,
                                   uint64_t ret[NGX_HTTP_API_WORDS])
{
    const ngx_http_api_state_t *s = ngx_http_api_state(&amcf->zones[NGX_HTTP_API_ZONE_STATE]);
    if (!s->ready)
        return NGX_DECLINED;
    if (known.generation != s->roles_generation)
        learn(amcf);
    ngx_memzero(ret, NGX_HTTP_API_WORDS * sizeof(uint64_t));
    const char *at = (const char *)roles->data, *end = at + roles->len;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        size_t len = (size_t)((comma ? comma : end) - at);
        for (int i = 0; i < known.n_roles; i++)
            if (strncmp(known.roles[i].name, at, len) == 0 && !known.roles[i].name[len])
                for (int w = 0; w < NGX_HTTP_API_WORDS; w++)
                    ret[w] |= known.roles[i].permissions[w];
        at += len + 1;
    }
    return NGX_OK;
}
