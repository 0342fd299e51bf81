/*
 * Moving from a monolith, operation by operation: what no contract names goes to the legacy upstream (api_fallback),
 * and so does a share of what a contract names (api_migrate), always the same users'. An operation in shadow
 * (api_shadow) is answered by the legacy upstream; its new service is asked besides, and $api_shadow tells where the
 * answers differ.
 *
 * Whatever goes to the legacy upstream has been authenticated, and tells in the same signed headers for whom; it also
 * keeps its Authorization, for a monolith that looks at it itself.
 */
#include "ngx_http_api_shape.h"

enum {
    WHOLE = 100,
    TIMEOUT_MS = 60 * 1000, /* of a legacy answer; proxy_read_timeout where it is less */
    DIFFERENCES = 20,       /* pointers that are told */
    IGNORED = 16,           /* members that are not compared */
};

/* A line of the configuration, by name of an operation or a service. */
typedef struct {
    const char *name;
    ngx_uint_t share; /* per cent that go to the new service */
} move_t;

typedef struct {
    const char *name;
    const char *ignored[IGNORED];
    int n_ignored;
} watch_t;

/* What is decided for an operation. */
typedef struct {
    const move_t *move;
    const watch_t *watch;
} plan_t;

typedef struct {
    ngx_array_t moves, watches;
    plan_t *plans;         /* by index of the operation; NULL: nothing moves */
    ngx_array_t fallbacks; /* const char *: every api_fallback */
} main_conf_t;

/* One of the two answers of a request in shadow. */
typedef struct {
    ngx_uint_t status; /* 0: none came */
    ngx_http_api_held_t held;
    bool json, broken; /* broken: too large, or not in memory */
} answer_t;

struct ngx_http_api_shadow_s {
    const watch_t *watch;
    const ngx_http_request_t *request; /* that asks the new service */
    answer_t legacy, fresh;
    ngx_str_t verdict; /* told once */
};

static ngx_http_output_header_filter_pt next_header_filter;
static ngx_http_output_body_filter_pt next_body_filter;

/* What stands for the operation of a request that no contract names. */
static const struct st_api_operation nameless = {
    .id = "", .path = "", .service = "", .version = "", .timeout_ms = TIMEOUT_MS, .attempts = 1, .file = ""};
/* The same for who sends a token, which must be good then. */
static const struct st_api_scheme token = {.name = "bearer", .kind = ST_SCHEME_BEARER, .param = ""};
static const struct st_api_alternative for_users = {.schemes = {&token}, .n_schemes = 1};
static const struct st_api_operation nameless_for_users = {.id = "",
                                                           .path = "",
                                                           .service = "",
                                                           .version = "",
                                                           .authenticated = true,
                                                           .alternatives = &for_users,
                                                           .n_alternatives = 1,
                                                           .timeout_ms = TIMEOUT_MS,
                                                           .attempts = 1,
                                                           .file = ""};

static const main_conf_t *main_conf(ngx_http_request_t *r)
{
    return ngx_http_get_module_main_conf(r, ngx_http_api_shape_module);
}

static ngx_str_t fallback(const ngx_http_request_t *r)
{
    const ngx_http_api_shape_loc_conf_t *conf = ngx_http_get_module_loc_conf(r, ngx_http_api_shape_module);
    return conf->fallback;
}

static const plan_t *plan_of(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx)
{
    const main_conf_t *conf = main_conf(r);
    const struct st_api_operation *op = ctx->match.operation;
    const plan_t *plan = conf->plans && op && ctx->operation ? &conf->plans[op->index] : NULL;
    return plan && (plan->move || plan->watch) && fallback(r).len ? plan : NULL;
}

/* --- what no contract names --- */

ngx_int_t ngx_http_api_fallback_step(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    ngx_str_t upstream = fallback(r);
    if (!ctx->fallback) {
        bool preflight = ctx->match.allow && r->method == NGX_HTTP_OPTIONS;
        if (ctx->match.operation || !upstream.len || preflight || !r->valid_unparsed_uri)
            return NGX_DECLINED;
        ctx->match.operation = r->headers_in.authorization ? &nameless_for_users : &nameless;
        ctx->upstream = upstream;
        ctx->fallback = 1;
    }
    ngx_int_t rc = ngx_http_api_auth_step(r, ctx);
    return rc == NGX_OK ? ngx_http_api_identity_step(r, ctx) : rc;
}

/* --- what moves --- */

bool ngx_http_api_migrates(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx)
{
    return plan_of(r, ctx) != NULL;
}

/* The same user comes to the same side, whatever the operation of a service that moves as a whole. */
static bool is_chosen(const ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx, const move_t *move)
{
    const ngx_str_t *who = ctx->identity.user.len ? &ctx->identity.user : &r->connection->addr_text;
    struct st_arena *a = ngx_http_api_scratch();
    const char *text = st_printf(a, "%s\n%.*s", move->name, (int)who->len, (const char *)who->data);
    return ngx_murmur_hash2((u_char *)text, strlen(text)) % WHOLE < move->share;
}

ngx_int_t ngx_http_api_migrate_step(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    const plan_t *plan = ctx->placed ? NULL : plan_of(r, ctx);
    if (!plan)
        return NGX_OK;
    ctx->placed = 1;
    if (!plan->watch && is_chosen(r, ctx, plan->move))
        return ngx_http_api_breaker_check(r, ctx);
    ctx->upstream = fallback(r);
    if (!plan->watch || r->method != NGX_HTTP_GET)
        return NGX_OK;
    if (!(ctx->shadow = ngx_pcalloc(r->pool, sizeof(*ctx->shadow))))
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    ctx->shadow->watch = plan->watch;
    return NGX_OK;
}

/* --- the shadow --- */

/* Last of all: the new service gets the request as any service does, in the background. */
ngx_int_t ngx_http_api_shadow_step(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    static const char *const credentials[] = {"authorization"}; /* of the list of `sr` alone */
    ngx_http_request_t *sr;
    if (!ctx->shadow)
        return NGX_OK;
    if (ngx_http_subrequest(r, &r->uri, &r->args, &sr, NULL, NGX_HTTP_SUBREQUEST_BACKGROUND) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    sr->valid_unparsed_uri = 1;
    ctx->shadow->request = sr;
    return ngx_http_api_without_headers(sr, credentials, ST_COUNT(credentials)) == NGX_OK
               ? NGX_OK
               : NGX_HTTP_INTERNAL_SERVER_ERROR;
}

bool ngx_http_api_is_shadow(const ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx)
{
    return ctx->shadow && ctx->shadow->request == r;
}

/* The record of a request whose answer, or whose shadow's, is looked at; NULL: neither. */
static answer_t *answer_of(ngx_http_request_t *r)
{
    ngx_http_api_ctx_t *ctx = ngx_http_api_get_ctx(r);
    if (!ctx || !ctx->shadow || (r != r->main && !ngx_http_api_is_shadow(r, ctx)))
        return NULL;
    return r == r->main ? &ctx->shadow->legacy : &ctx->shadow->fresh;
}

static ngx_int_t header_filter(ngx_http_request_t *r)
{
    answer_t *answer = answer_of(r);
    if (answer) {
        answer->status = r->headers_out.status;
        answer->json = ngx_http_api_is_json(r);
    }
    return answer && r != r->main ? NGX_OK : next_header_filter(r);
}

static ngx_int_t body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    answer_t *answer = answer_of(r);
    if (answer && !answer->broken && ngx_http_api_hold(r, &answer->held, in, NGX_HTTP_API_SHAPE_MAX) != NGX_OK)
        answer->broken = true;
    if (!answer || r == r->main)
        return next_body_filter(r, in);
    for (ngx_chain_t *cl = in; cl; cl = cl->next) {
        cl->buf->pos = cl->buf->last;
        cl->buf->file_pos = cl->buf->file_last;
    }
    return NGX_OK;
}

/* --- the comparison --- */

struct comparison {
    const watch_t *watch;
    struct st_arena *arena;
    struct st_buf out; /* pointers, as members of a JSON array */
    int n;
};

static void differ(struct comparison *c, const char *pointer)
{
    if (c->n++ >= DIFFERENCES)
        return;
    st_buf_str(&c->out, c->n > 1 ? "," : "");
    st_buf_json(&c->out, pointer, strlen(pointer));
}

static bool is_ignored(const struct comparison *c, const char *name)
{
    for (int i = 0; i < c->watch->n_ignored; i++)
        if (st_streq(c->watch->ignored[i], name))
            return true;
    return false;
}

static void compare(struct comparison *c, const json_t *a, const json_t *b, const char *at);

static void compare_objects(struct comparison *c, const json_t *a, const json_t *b, const char *at)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)a, name, value)
        if (!is_ignored(c, name))
            compare(c, value, json_object_get(b, name), st_json_pointer(c->arena, at, name));
    json_object_foreach ((json_t *)b, name, value)
        if (!is_ignored(c, name) && !json_object_get(a, name))
            differ(c, st_json_pointer(c->arena, at, name));
}

/* Depth is bounded by the parser, and what is told by DIFFERENCES. */
static void compare(struct comparison *c, const json_t *a, const json_t *b, const char *at)
{
    if (c->n >= DIFFERENCES)
        return;
    if (json_is_object(a) && json_is_object(b)) {
        compare_objects(c, a, b, at);
    } else if (json_is_array(a) && json_is_array(b) && json_array_size(a) == json_array_size(b)) {
        for (size_t i = 0; i < json_array_size(a); i++)
            compare(c, json_array_get(a, i), json_array_get(b, i), st_printf(c->arena, "%s/%zu", at, i));
    } else if (!a || !b || !st_streq(st_json_canonical(c->arena, a), st_json_canonical(c->arena, b))) {
        differ(c, at);
    }
}

static const json_t *parse(struct st_arena *a, const answer_t *answer)
{
    const char *why;
    json_t *json;
    bool good = answer->json && answer->held.len &&
                st_json_parse(a, (char *)answer->held.data, answer->held.len, ST_JSON_DEPTH, &json, &why) == 0;
    return good ? json : NULL;
}

static bool same_bytes(const answer_t *a, const answer_t *b)
{
    return a->held.len == b->held.len && (!a->held.len || memcmp(a->held.data, b->held.data, a->held.len) == 0);
}

static void compare_answers(struct comparison *c, const struct ngx_http_api_shadow_s *shadow)
{
    const answer_t *a = &shadow->legacy, *b = &shadow->fresh;
    if (a->status != b->status || a->broken || b->broken)
        return;
    const json_t *x = parse(c->arena, a), *y = parse(c->arena, b);
    if (x && y)
        compare(c, x, y, "");
    else if (!same_bytes(a, b))
        differ(c, "");
}

/* {"operation":"getStory","result":"same","status":[200,200],"differ":[]}; nothing of the bodies but their pointers. */
ngx_str_t ngx_http_api_shadow_verdict(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx)
{
    struct ngx_http_api_shadow_s *shadow = ctx->shadow;
    if (!shadow || shadow->verdict.len)
        return shadow ? shadow->verdict : (ngx_str_t)ngx_null_string;
    struct st_arena a = {0};
    struct comparison c = {.watch = shadow->watch, .arena = &a, .out = ST_BUF(64 * 1024)};
    compare_answers(&c, shadow);
    bool status = shadow->legacy.status != shadow->fresh.status, broken = shadow->legacy.broken || shadow->fresh.broken;
    bool both = shadow->legacy.status && shadow->fresh.status;
    const char *result = !both ? "unanswered" : broken ? "too_large" : status ? "status" : c.n ? "differ" : "same";
    const char *text = st_printf(
        &a, "{\"operation\":\"%s\",\"correlationId\":\"%.*s\",\"result\":\"%s\",\"status\":[%d,%d],\"differ\":[%.*s]}",
        ctx->match.operation->id, (int)ctx->correlation_id.len, (const char *)ctx->correlation_id.data, result,
        (int)shadow->legacy.status, (int)shadow->fresh.status, (int)c.out.len, c.out.len ? c.out.data : "");
    ngx_str_t verdict = ngx_http_api_str(text);
    if ((verdict.data = ngx_pstrdup(r->pool, &verdict)) != NULL)
        shadow->verdict = verdict;
    st_buf_release(&c.out);
    st_arena_release(&a);
    return shadow->verdict;
}

/* --- configuration --- */

void *ngx_http_api_migrate_conf(ngx_conf_t *cf)
{
    main_conf_t *conf = ngx_pcalloc(cf->pool, sizeof(*conf));
    if (!conf || ngx_array_init(&conf->fallbacks, cf->pool, 2, sizeof(const char *)) != NGX_OK ||
        ngx_array_init(&conf->moves, cf->pool, 4, sizeof(move_t)) != NGX_OK ||
        ngx_array_init(&conf->watches, cf->pool, 4, sizeof(watch_t)) != NGX_OK)
        return NULL;
    return conf;
}

char *ngx_http_api_set_fallback(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_api_shape_loc_conf_t *slcf = conf;
    main_conf_t *mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_api_shape_module);
    const ngx_str_t *value = cf->args->elts;
    if (slcf->fallback.data)
        return "is duplicate";
    slcf->fallback = value[1];
    if (strcmp((char *)value[1].data, "off") == 0) {
        slcf->fallback.len = 0;
        return NGX_CONF_OK;
    }
    const char **name = ngx_array_push(&mcf->fallbacks);
    if (!name)
        return NGX_CONF_ERROR;
    *name = (const char *)value[1].data;
    return NGX_CONF_OK;
}

/* api_migrate <operation or service> <share>% */
char *ngx_http_api_set_migrate(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    main_conf_t *mcf = conf;
    const ngx_str_t *value = cf->args->elts;
    ngx_int_t share = value[2].len > 1 && value[2].data[value[2].len - 1] == '%'
                          ? ngx_atoi(value[2].data, value[2].len - 1)
                          : NGX_ERROR;
    move_t *move = ngx_array_push(&mcf->moves);
    if (!move)
        return NGX_CONF_ERROR;
    if (share == NGX_ERROR || share > WHOLE)
        return "wants a share from 0% to 100%";
    *move = (move_t){(const char *)value[1].data, (ngx_uint_t)share};
    return NGX_CONF_OK;
}

/* api_shadow <operation> [ignore=<member>,…] */
char *ngx_http_api_set_shadow(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    main_conf_t *mcf = conf;
    const ngx_str_t *value = cf->args->elts;
    watch_t *watch = ngx_array_push(&mcf->watches);
    if (!watch)
        return NGX_CONF_ERROR;
    *watch = (watch_t){.name = (const char *)value[1].data};
    if (cf->args->nelts < 3)
        return NGX_CONF_OK;
    char *rest = (char *)value[2].data;
    if (!st_starts(rest, "ignore="))
        return "wants ignore=<member>,<member>";
    rest += sizeof("ignore=") - 1;
    for (char *name; (name = strsep(&rest, ",")) != NULL;) {
        if (!*name || watch->n_ignored == IGNORED)
            return "wants ignore=<member>,<member>, at most 16";
        watch->ignored[watch->n_ignored++] = name;
    }
    return NGX_CONF_OK;
}

static char *mistake(ngx_conf_t *cf, const char *directive, const char *name, const char *what)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%s %s\": %s", directive, name, what);
    return NGX_CONF_ERROR;
}

/* An operation's own line goes before its service's. */
static char *plan_moves(ngx_conf_t *cf, main_conf_t *conf, const struct st_api *api)
{
    const move_t *moves = conf->moves.elts;
    for (ngx_uint_t k = 0; k < conf->moves.nelts; k++) {
        bool found = false;
        for (int i = 0; i < api->n_operations; i++) {
            const struct st_api_operation *op = &api->operations[i];
            const move_t **move = &conf->plans[i].move;
            bool own = st_streq(op->id, moves[k].name);
            if (!own && !st_streq(op->service, moves[k].name))
                continue;
            if (*move && st_streq((*move)->name, moves[k].name))
                return mistake(cf, "api_migrate", moves[k].name, "is there twice");
            if (own || !*move)
                *move = &moves[k];
            found = true;
        }
        if (!found)
            return mistake(cf, "api_migrate", moves[k].name, "there is no such operation or service");
    }
    return NGX_CONF_OK;
}

static char *plan_watches(ngx_conf_t *cf, main_conf_t *conf, const struct st_api *api)
{
    const watch_t *watches = conf->watches.elts;
    for (ngx_uint_t k = 0; k < conf->watches.nelts; k++) {
        const struct st_api_operation *op = NULL;
        for (int i = 0; i < api->n_operations; i++)
            if (st_streq(api->operations[i].id, watches[k].name))
                op = &api->operations[i];
        if (!op)
            return mistake(cf, "api_shadow", watches[k].name, "there is no such operation");
        if (op->method != ST_GET || op->of || op->request || op->response)
            return mistake(cf, "api_shadow", watches[k].name, "only a GET that is not transformed has a shadow");
        if (conf->plans[op->index].watch)
            return mistake(cf, "api_shadow", watches[k].name, "is there twice");
        conf->plans[op->index].watch = &watches[k];
    }
    return NGX_CONF_OK;
}

char *ngx_http_api_plan(ngx_conf_t *cf, const struct st_api *api)
{
    main_conf_t *conf = ngx_http_conf_get_module_main_conf(cf, ngx_http_api_shape_module);
    const char *const *names = conf->fallbacks.elts;
    for (ngx_uint_t i = 0; i < conf->fallbacks.nelts; i++)
        if (!ngx_http_api_find_upstream(cf, names[i]))
            return mistake(cf, "api_fallback", names[i],
                           st_printf(ngx_http_api_scratch(), "there is no upstream \"%s\"", names[i]));
    if (!conf->moves.nelts && !conf->watches.nelts)
        return NGX_CONF_OK;
    if (!conf->fallbacks.nelts)
        return mistake(cf, conf->moves.nelts ? "api_migrate" : "api_shadow", "…", "needs an api_fallback");
    if (!(conf->plans = ngx_pcalloc(cf->pool, (size_t)api->n_operations * sizeof(plan_t))))
        return NGX_CONF_ERROR;
    return plan_moves(cf, conf, api) == NGX_CONF_OK ? plan_watches(cf, conf, api) : NGX_CONF_ERROR;
}

bool ngx_http_api_shadows(ngx_conf_t *cf)
{
    const main_conf_t *conf = ngx_http_conf_get_module_main_conf(cf, ngx_http_api_shape_module);
    return conf->watches.nelts > 0;
}

void ngx_http_api_shadow_filter(void)
{
    next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = header_filter;
    next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = body_filter;
}
