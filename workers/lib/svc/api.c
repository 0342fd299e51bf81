/* From a request of the edge to a handler and back. */
#include "svc/api.h"

#include "io/token.h"
#include "svc/secret.h"

enum { BODY_MAX = 10 * 1024 * 1024, DATABASE_PATIENCE_MS = 8000 /* then the client hears 503 */ };

struct st_api_server {
    struct st_run *run;
    struct st_http_server *http;
    struct st_worker *workers; /* one for each thread */
    int n_workers;
    const struct st_operation **handlers; /* by operation index */
};

/* A request on its way through the gates. */
struct gate {
    struct st_api_server *server;
    struct st_http_request *req;
    struct st_api_match match;
    const struct st_operation *handler;
    const char *idempotency_key, *request_hash;
};

static const struct st_operation *find_handler(const struct st_service *service, const char *id)
{
    for (const struct st_operation *o = service->operations; o && o->id; o++)
        if (st_streq(o->id, id))
            return o;
    return NULL;
}

int st_api_bind(struct st_run *run, const char **ret_why)
{
    for (int i = 0; i < run->api->n_operations; i++) {
        const struct st_api_operation *op = &run->api->operations[i];
        if (!op->of && !find_handler(run->service, op->id)) {
            *ret_why = st_printf(&run->arena, "%s:%d: operation %s has no handler", op->file, op->line, op->id);
            return ST_E_INVALID;
        }
    }
    for (const struct st_operation *o = run->service->operations; o && o->id; o++) {
        bool known = false;
        for (int i = 0; i < run->api->n_operations; i++)
            known |= !run->api->operations[i].of && st_streq(run->api->operations[i].id, o->id);
        if (!known) {
            *ret_why = st_printf(&run->arena, "the handler %s is in no contract", o->id);
            return ST_E_INVALID;
        }
    }
    return 0;
}

/* --- the answer --- */

static void reply_problem(struct st_call *call, struct st_http_request *req, struct st_http_response *res, int err)
{
    struct st_call_private *p = call->p;
    bool ours = err == ST_E_INTERNAL || err == ST_E_RETRY || err == ST_E_UNAVAILABLE;
    const char *detail = ours && err != ST_E_UNAVAILABLE ? NULL : p->detail;
    res->status = st_err_status(err);
    json_t *problem = json_pack("{s:s, s:s, s:i, s:s*, s:s, s:s, s:s}", "type", "about:blank", "title",
                                st_err_title(err), "status", res->status, "detail", detail, "instance", req->path,
                                "code", st_err_code(err), "correlationId", call->correlation_id);
    if (p->fields.count) {
        json_t *list = json_array();
        for (int i = 0; i < p->fields.count; i++)
            json_array_append_new(list, json_pack("{s:s, s:s}", "pointer", p->fields.list[i].pointer, "message",
                                                  p->fields.list[i].message));
        json_object_set_new(problem, "errors", list);
    }
    res->body = st_json_text(req->arena, st_json_keep(req->arena, problem));
    res->body_len = strlen(res->body);
    st_http_add(res, "Content-Type", "application/problem+json");
    if (res->status == 503)
        st_http_add(res, "Retry-After", "2");
    if (res->status == 401)
        st_http_add(res, "WWW-Authenticate", "Bearer");
}

static void reply_success(struct st_call *call, struct st_http_request *req, struct st_http_response *res)
{
    struct st_call_private *p = call->p;
    res->status = p->status;
    if (p->reply) {
        res->body = st_json_text(req->arena, p->reply);
        res->body_len = strlen(res->body);
        st_http_add(res, "Content-Type", "application/json");
    } else if (p->text) {
        char *body = st_alloc(req->arena, p->text_len + 1);
        memcpy(body, p->text, p->text_len);
        res->body = body;
        res->body_len = p->text_len;
        st_http_add(res, "Content-Type", p->content_type);
    }
    for (int i = 0; i < p->n_headers; i++)
        st_http_add(res, st_strdup(req->arena, p->headers[i].name), st_strdup(req->arena, p->headers[i].value));
}

/* --- the gates, in order; each returns 0 or the refusal --- */

static const char *header(const struct gate *g, const char *name)
{
    const char *value = st_http_header(g->req, name);
    return value ? value : "";
}

static int authenticate(struct gate *g, struct st_call *call)
{
    const struct st_run *run = g->server->run;
    const struct st_edge_identity id = {
        .method = g->req->method,
        .uri = g->req->uri,
        .operation = header(g, "X-Api-Operation"),
        .user = call->user_id = header(g, "X-Api-User"),
        .session = call->session_id = header(g, "X-Api-Session"),
        .roles = call->roles = header(g, "X-Api-Roles"),
        .tier = call->tier = header(g, "X-Api-Tier"),
        .correlation_id = call->correlation_id = header(g, "X-Api-Correlation-Id"),
        .address = call->address = header(g, "X-Api-Address"),
        .time = header(g, "X-Api-Time"),
    };
    char expected[ST_EDGE_SIGNATURE_LEN];
    const char *given = header(g, "X-Api-Signature");
    int64_t at;
    st_edge_sign(run->edge_key, run->edge_key_len, &id, expected);
    if (strlen(given) != ST_EDGE_SIGNATURE_LEN - 1 || !st_equal_secret(given, expected, ST_EDGE_SIGNATURE_LEN - 1) ||
        !st_parse_i64(id.time, 0, INT64_MAX / ST_SECOND, &at) ||
        llabs(g->req->came_at / ST_SECOND - at) > ST_EDGE_TOLERANCE_S) /* the body may take its time */
        return st_fail(call, ST_E_UNAUTHENTICATED, "Only the edge may call a service.");
    st_work_begin(call, ST_WORK_REQUEST, header(g, "traceparent"));
    return 0;
}

static int route(struct gate *g, struct st_call *call)
{
    int method = st_api_method(g->req->method, strlen(g->req->method));
    st_api_find(g->server->run->api, st_streq(g->req->method, "HEAD") ? ST_GET : method, g->req->path,
                strlen(g->req->path), &g->match);
    if (!g->match.operation)
        return g->match.allow ? ST_E_METHOD : ST_E_NOT_FOUND;
    g->handler = g->server->handlers[g->match.operation->index];
    if (!g->handler) /* another version of an operation: the edge asks for that operation itself */
        return ST_E_NOT_FOUND;
    call->name = g->match.operation->id;
    call->p->autocommit = g->match.operation->method == ST_GET;
    return 0;
}

static const char *request_header(void *ctx, const char *name)
{
    return st_http_header(ctx, name);
}

static int decode(struct gate *g, struct st_call *call)
{
    struct st_http_request *req = g->req;
    int r = st_api_params(&g->match, req->query, strlen(req->query), request_header, req, call->arena, &call->params,
                          &call->p->fields);
    if (r < 0)
        return r;
    call->p->if_match = st_http_header(req, "If-Match");
    const char *type = st_http_header(req, "Content-Type");
    r = st_api_body(g->match.operation, type, req->body, req->body_len, call->arena, &call->body, &call->p->fields);
    if (r == 0 && (req->body_len || g->handler->piece)) {
        struct st_bytes *bytes = st_new(call->arena, struct st_bytes);
        int64_t announced;
        *bytes = (struct st_bytes){
            .data = req->body,
            .len = req->body_len,
            .type = type ? type : "",
            .at = req->body_at,
            .more = req->more,
            .cut = req->cut,
            .announced = st_parse_i64(header(g, "Content-Length"), 0, INT64_MAX, &announced) ? announced : -1};
        call->bytes = bytes;
    }
    return r;
}

/* Only where the contract has the header: the answer of a login must not be kept. */
static int idempotency(struct gate *g, struct st_call *call)
{
    const struct st_api_operation *op = g->match.operation;
    g->idempotency_key =
        op->idempotency_required ? st_http_header(g->req, "Idempotency-Key") : st_param(call, "Idempotency-Key");
    if (!g->idempotency_key || op->method != ST_POST) {
        g->idempotency_key = NULL;
        return op->idempotency_required ? st_fail(call, ST_E_INVALID, "An Idempotency-Key header is required.") : 0;
    }
    if (strlen(g->idempotency_key) > 128)
        return st_fail(call, ST_E_INVALID, "The Idempotency-Key is longer than 128 characters.");
    const char *all = st_printf(call->arena, "%s\n%s", g->req->uri,
                                call->body    ? st_json_canonical(call->arena, call->body)
                                : call->bytes ? st_sha256_hex(call->arena, call->bytes->data, call->bytes->len)
                                              : "");
    g->request_hash = st_sha256_hex(call->arena, all, strlen(all));
    return 0;
}

/* --- the handler inside its transaction --- */

/* Who the key belongs to: the user, or where there is none the client's address. */
static const char *key_owner(const struct st_call *call)
{
    return *call->user_id ? call->user_id : call->address;
}

/*
 * What is kept may hold what is told once (the token of a link), so it is sealed by the platform's key for this key of
 * this owner.
 */
static void answer_key(const struct gate *g, struct st_call *call, unsigned char ret[ST_SEAL_KEY])
{
    const char *of = st_printf(call->arena, "answer\n%s\n%s\n%s", key_owner(call), call->name, g->idempotency_key);
    st_hmac_sha256(g->server->run->edge_key, g->server->run->edge_key_len, of, strlen(of), ret);
}

/* 1: the stored answer is in place. 0: the key is ours now. */
static int claim_key(struct gate *g, struct st_call *call)
{
    struct st_rows *rows;
    const char *lock = st_printf(call->arena, "%s\n%s\n%s", key_owner(call), call->name, g->idempotency_key);
    int r = st_rows(call, &rows, "select pg_try_advisory_xact_lock(hashtextextended($1, 0))", lock);
    if (r < 0)
        return r;
    if (!st_streq(st_cell(rows, 0, 0), "t"))
        return ST_E_IN_PROGRESS;
    json_t *row;
    r = st_row(call, &row,
               "select request_hash, status, headers, body from idempotency_keys "
               "where user_id = $1 and operation = $2 and key = $3",
               key_owner(call), call->name, g->idempotency_key);
    if (r == ST_E_NOT_FOUND)
        return 0;
    if (r < 0)
        return r;
    if (!st_streq(st_json_str(row, "request_hash", ""), g->request_hash))
        return st_fail(call, ST_E_IDEMPOTENCY_REUSE, "This Idempotency-Key was sent before with another request.");
    const char *body = st_json_str(row, "body", NULL), *name;
    unsigned char key[ST_SEAL_KEY];
    size_t len;
    json_t *value;
    answer_key(g, call, key);
    if (body && *body != '{' && *body != '[') /* of before, in clear */
        body = st_unseal(call->arena, key, "", body, strlen(body), &len);
    if (!body && !json_is_null(json_object_get(row, "body")))
        return st_fail(call, ST_E_CONFLICT,
                       "The answer that was kept for this Idempotency-Key cannot be read any more.");
    st_reply_text(call, (int)st_json_int(row, "status", 200), body ? "application/json" : NULL, body);
    json_object_foreach (json_object_get(row, "headers"), name, value)
        st_header(call, name, json_string_value(value));
    st_header(call, "Idempotent-Replayed", "true");
    return 1;
}

static void store_answer(struct gate *g, struct st_call *call)
{
    struct st_call_private *p = call->p;
    json_t *headers = st_json_keep(call->arena, json_object());
    for (int i = 0; i < p->n_headers; i++)
        json_object_set_new(headers, p->headers[i].name, json_string(p->headers[i].value));
    const char *body = p->reply ? st_json_text(call->arena, p->reply) : NULL;
    unsigned char key[ST_SEAL_KEY];
    answer_key(g, call, key);
    if (body)
        body = st_seal(call->arena, key, "", body, strlen(body));
    st_exec(call,
            "insert into idempotency_keys (user_id, operation, key, request_hash, status, headers, body) "
            "values ($1, $2, $3, $4, $5, $6::jsonb, $7)",
            key_owner(call), call->name, g->idempotency_key, g->request_hash, st_i64(call->arena, p->status),
            st_json_text(call->arena, headers), body);
}

static int run_handler(struct st_call *call, void *ctx)
{
    struct gate *g = ctx;
    if (g->idempotency_key) {
        int r = claim_key(g, call);
        if (r != 0)
            return r;
    }
    int r = g->handler->handler(call);
    if (r == 0 && g->idempotency_key && !call->p->refused)
        store_answer(g, call);
    return r;
}

/* The policy of a service, top to bottom. */
static int serve(struct gate *g, struct st_call *call)
{
    int r;
    if ((r = authenticate(g, call)) < 0 || (r = route(g, call)) < 0 || (r = decode(g, call)) < 0 ||
        (r = idempotency(g, call)) < 0)
        return r;
    st_log_context(call->correlation_id, call->user_id);
    r = st_call_transact(call, run_handler, g);
    return r < 0 ? r : call->p->refused;
}

/* Probes of the launcher and of systemd need no edge. */
static bool serve_probe(struct st_worker *w, struct st_http_request *req, struct st_http_response *res)
{
    res->status = 200;
    if (st_streq(req->path, "/health/live"))
        res->body = "{\"status\":\"healthy\"}";
    else if (st_streq(req->path, "/health") || st_streq(req->path, "/health/ready"))
        res->body = st_health_json(w->run, req->arena, &res->status);
    else if (st_streq(req->path, "/metrics"))
        res->body = st_metrics_text(w, req->arena);
    else
        return false;
    res->body_len = strlen(res->body);
    st_http_add(res, "Content-Type",
                st_streq(req->path, "/metrics") ? "text/plain; version=0.0.4" : "application/json");
    return true;
}

static void log_request(struct st_call *call, const struct st_http_request *req, int err, int status, int64_t us)
{
    enum st_log_level level = status >= 500 ? ST_LOG_ERROR : ST_LOG_DEBUG;
    st_log(level, status >= 500 ? "Request failed" : "Request", ST_S("operation", call->name),
           ST_S("method", req->method), ST_S("path", req->path), ST_I("status", status), ST_I("durationUs", us),
           ST_S("error", err < 0 ? st_call_error(call, err) : ""));
}

static void on_http(void *ctx, int thread, struct st_http_request *req, struct st_http_response *res)
{
    struct st_api_server *s = ctx;
    struct st_worker *w = &s->workers[thread % s->n_workers];
    if (serve_probe(w, req, res))
        return;
    if (st_secret_serve(w, req, res)) {
        st_arena_reset(&w->arena);
        return;
    }
    struct st_call call;
    struct gate g = {.server = s, .req = req};
    int64_t from = st_mono();
    st_call_init(&call, w, "");
    int r = serve(&g, &call);
    if (r < 0)
        reply_problem(&call, req, res, r);
    else
        reply_success(&call, req, res);
    st_work_end(&call, res->status >= 500 ? r : 0);
    st_count(ST_N_REQUESTS, !req->more);
    st_count(ST_N_REQUEST_ERRORS, res->status >= 500);
    log_request(&call, req, r, res->status, st_mono() - from);
    st_log_context(NULL, NULL);
    st_arena_reset(&w->arena);
}

/* How the operation wants its body. */
static size_t piece_of(void *ctx, const struct st_http_request *req)
{
    struct st_api_server *s = ctx;
    struct st_api_match match;
    st_api_find(s->run->api, st_api_method(req->method, strlen(req->method)), req->path, strlen(req->path), &match);
    const struct st_operation *handler = match.operation ? s->handlers[match.operation->index] : NULL;
    return handler ? handler->piece : 0;
}

int st_api_start(struct st_run *run, int threads, struct st_api_server **ret)
{
    struct st_api_server *s = st_new(&run->arena, struct st_api_server);
    s->run = run;
    s->n_workers = threads;
    s->workers = st_new_n(&run->arena, struct st_worker, (size_t)threads);
    s->handlers = st_new_n(&run->arena, const struct st_operation *, (size_t)run->api->n_operations + 1);
    for (int i = 0; i < run->api->n_operations; i++)
        s->handlers[i] = find_handler(run->service, run->api->operations[i].id);
    for (int i = 0; i < threads; i++) {
        st_worker_init(&s->workers[i], run, "api");
        st_pg_set_patience(s->workers[i].pg, DATABASE_PATIENCE_MS);
    }
    const struct st_http_options options = {
        .socket_path = st_printf(&run->arena, "%s/%s.sock", st_option("run_dir"), run->service->name),
        .threads = threads,
        .body_max = BODY_MAX,
        .piece = piece_of,
        .handler = on_http,
        .ctx = s,
    };
    int r = st_http_server_start(&options, &s->http);
    if (r == 0)
        *ret = s;
    return r;
}

void st_api_stop(struct st_api_server *s, int deadline_ms)
{
    st_http_server_stop(s->http, deadline_ms);
    for (int i = 0; i < s->n_workers; i++)
        st_worker_release(&s->workers[i]);
}
