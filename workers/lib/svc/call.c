/* One piece of work: its transaction, its statements, its reply. */
#include "svc/call.h"

#include "io/crypto.h"
#include "io/http_client.h"

enum {
    ATTEMPTS = 5,
    RETRY_MS = 10,            /* before the second attempt; twice that before the third, and so on */
    FRESH_US = 3 * ST_SECOND, /* an id younger than this may be known here in a moment, */
    AWAIT_US = ST_SECOND,     /* which is as long as this, */
    AWAIT_MS = 20,            /* looking so often */
    AWAIT_MAX = 2,            /* calls that wait at a time, so that made-up ids cannot keep all threads busy */
    CURSOR_MAC = 20
};

void st_worker_init(struct st_worker *w, struct st_run *run, const char *name)
{
    char full[64];
    snprintf(full, sizeof(full), "%s/%s", run->service->name, name);
    *w = (struct st_worker){
        .run = run,
        .pg = st_pg_new(st_option("database"), full),
        .redis = st_redis_new(st_option("redis"), 2000),
    };
}

void st_worker_release(struct st_worker *w)
{
    w->pg = st_pg_free(w->pg);
    w->redis = st_redis_free(w->redis);
    w->identity = st_http_client_free(w->identity);
    st_arena_release(&w->arena);
}

void st_call_init(struct st_call *call, struct st_worker *w, const char *name)
{
    *call = (struct st_call){
        .arena = &w->arena,
        .name = name,
        .correlation_id = "",
        .causation_id = "",
        .traceparent = "",
        .user_id = "",
        .session_id = "",
        .roles = "",
        .tier = "",
        .address = "",
        .p = st_new(&w->arena, struct st_call_private),
    };
    call->p->worker = w;
    call->p->status = 204;
}

void st_call_init_within(struct st_call *item, struct st_call *leader, const char *name)
{
    st_call_init(item, leader->p->worker, name);
    item->p->leader = leader;
}

int st_call_end_within(const struct st_call *item, int r)
{
    return r < 0 ? r : item->p->error;
}

void st_call_doom(struct st_call *call, int err)
{
    call->p->error = err;
    st_call_top(call)->error = err;
}

static struct st_pg *pg_of(struct st_call *call)
{
    return call->p->worker->pg;
}

void st_call_reset(struct st_call *call)
{
    struct st_call_private *p = call->p;
    if (p->open)
        st_pg_rollback(pg_of(call));
    p->open = p->emitted = p->enqueued = false;
    p->added = NULL;
    st_jobs_added(p, false);
    p->error = p->refused = 0;
    p->lacks = false;
    p->detail = NULL;
    p->fields.count = 0;
    p->status = 204;
    p->reply = NULL;
    p->text = p->content_type = NULL;
    p->n_headers = 0;
}

/* Commits and wakes those who wait for what was written. */
static int commit(struct st_call *call)
{
    struct st_call_private *p = call->p;
    int r = 0;
    st_jobs_add(call);
    if (p->open)
        r = p->error ? p->error : st_pg_commit(pg_of(call));
    else
        r = p->error;
    if (r < 0)
        return r;
    p->open = false;
    st_jobs_added(p, true);
    if (p->emitted)
        st_bell_ring(&p->worker->run->relay_bell);
    if (p->enqueued)
        st_bell_ring(&p->worker->run->jobs_bell);
    p->emitted = p->enqueued = false;
    return 0;
}

static atomic_int awaiting; /* calls in st_call_transact that st_absent has sent round again */

/* Forgets the failed attempt and waits before the next; false when there is to be none. */
static bool try_again(struct st_call *call, int r, int attempt)
{
    bool awaits = call->p->awaits;
    if (r != ST_E_RETRY || (!awaits && attempt >= ATTEMPTS))
        return false;
    st_call_reset(call);
    st_sleep_ms(awaits ? AWAIT_MS : attempt * RETRY_MS);
    return true;
}

int st_call_transact(struct st_call *call, int (*body)(struct st_call *call, void *ctx), void *ctx)
{
    struct st_call_private *p = call->p;
    int r, attempt = 0;
    do {
        p->awaits = false;
        r = body(call, ctx);
        if (r >= 0)
            r = commit(call);
        p->away = r == ST_E_UNAVAILABLE && st_pg_away(pg_of(call));
        if (r < 0 && p->open)
            st_pg_rollback(pg_of(call));
        p->open = false;
        p->added = NULL;
        st_jobs_added(p, false);
    } while (try_again(call, r, ++attempt));
    if (p->await_until)
        atomic_fetch_sub(&awaiting, 1);
    if (p->away || r >= 0)
        atomic_store(&p->worker->run->database_ok, r >= 0);
    return r;
}

int st_commit(struct st_call *call)
{
    if (call->p->leader)
        return st_fail(call, ST_E_INTERNAL, "st_commit inside a batch; such a job needs a transaction of its own");
    int64_t until = 0;
    int r = call->p->open ? st_job_renew(call, &until) : 0;
    if (r == 0)
        r = commit(call);
    return r < 0 ? r : st_job_renewed(call, until);
}

const char *st_call_error(struct st_call *call, int err)
{
    if (call->p->detail)
        return call->p->detail;
    if (err == ST_E_INTERNAL || err == ST_E_UNIQUE || err == ST_E_CONFLICT || err == ST_E_UNAVAILABLE) {
        const char *message = st_pg_error(pg_of(call));
        if (*message)
            return st_strdup(call->arena, message);
    }
    return st_err_title(err);
}

struct st_pg *st_call_open(struct st_call *call)
{
    struct st_call_private *p = st_call_top(call);
    if (!p->open && !p->autocommit) {
        st_pg_begin(pg_of(call));
        p->open = true;
    }
    return pg_of(call);
}

void st_exec_(struct st_call *call, const char *sql, int n, const char *const *params)
{
    st_jobs_add(call);
    st_pg_exec(st_call_open(call), sql, n, params);
}

int st_rows_(struct st_call *call, struct st_rows **ret, const char *sql, int n, const char *const *params)
{
    if (st_call_top(call)->error)
        return st_call_top(call)->error;
    st_jobs_add(call);
    return st_pg_query(st_call_open(call), call->arena, sql, n, params, ret);
}

int st_exec_one_(struct st_call *call, int err, const char *sql, int n, const char *const *params)
{
    struct st_rows *rows;
    int r = st_rows_(call, &rows, sql, n, params);
    if (r < 0)
        return r;
    return st_rows_affected(rows) == 1 ? 0 : err;
}

int st_row_(struct st_call *call, json_t **ret, const char *sql, int n, const char *const *params)
{
    struct st_rows *rows;
    int r = st_rows_(call, &rows, sql, n, params);
    if (r < 0)
        return r;
    if (st_rows_count(rows) == 0)
        return ST_E_NOT_FOUND;
    *ret = st_row_json(rows, 0, call->arena);
    return 0;
}

int st_list_(struct st_call *call, json_t **ret, const char *sql, int n, const char *const *params)
{
    struct st_rows *rows;
    int r = st_rows_(call, &rows, sql, n, params);
    if (r < 0)
        return r;
    *ret = st_rows_json(rows, call->arena);
    return 0;
}

struct st_redis *st_call_redis(struct st_call *call)
{
    return call->p->worker->redis;
}

int st_cache_drop(struct st_call *call, const char *tag)
{
    struct st_reply reply;
    return st_redis_cmd(st_call_redis(call), call->arena, &reply, "UNLINK", st_printf(call->arena, "st:cache:%s", tag),
                        NULL);
}

/* --- what a call was given --- */

const char *st_param(struct st_call *call, const char *name)
{
    const json_t *j = json_object_get(call->params, name);
    if (json_is_integer(j))
        return st_i64(call->arena, json_integer_value(j));
    return json_string_value(j);
}

int64_t st_param_int(struct st_call *call, const char *name)
{
    return json_integer_value(json_object_get(call->params, name));
}

bool st_has_role(const struct st_call *call, const char *role)
{
    size_t n = strlen(role);
    for (const char *s = call->roles; *s;) {
        size_t len = strcspn(s, ",");
        if (len == n && memcmp(s, role, n) == 0)
            return true;
        s += len + (s[len] == ',');
    }
    return false;
}

/* --- answers --- */

int st_reply_keep(struct st_call *call, int status, json_t *body)
{
    call->p->status = status;
    call->p->reply = body;
    return 0;
}

int st_reply(struct st_call *call, int status, json_t *body)
{
    return st_reply_keep(call, status, body ? st_json_keep(call->arena, body) : NULL);
}

int st_reply_bytes(struct st_call *call, int status, const char *content_type, const void *data, size_t len)
{
    call->p->status = status;
    call->p->content_type = content_type;
    call->p->text = data;
    call->p->text_len = len;
    return 0;
}

int st_reply_text(struct st_call *call, int status, const char *content_type, const char *text)
{
    return st_reply_bytes(call, status, content_type, text, text ? strlen(text) : 0);
}

void st_header(struct st_call *call, const char *name, const char *value)
{
    struct st_call_private *p = call->p;
    if (p->n_headers == ST_REPLY_HEADERS)
        abort();
    p->headers[p->n_headers].name = name;
    p->headers[p->n_headers++].value = st_strdup(call->arena, value);
}

int st_fail(struct st_call *call, int err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    call->p->detail = st_vprintf(call->arena, fmt, ap);
    va_end(ap);
    return err;
}

int st_fail_here(struct st_call *call, int err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    call->p->detail = st_vprintf(call->arena, fmt, ap);
    va_end(ap);
    call->p->lacks |= err == ST_E_UNAVAILABLE;
    return err;
}

/* Whether to look again; the first time, whether to wait at all. */
static bool may_await(struct st_call *call, const char *id)
{
    struct st_call_private *p = call->p;
    int64_t age = st_now() - st_uuid_time(id);
    if (p->leader) /* alone, it may */
        return false;
    if (p->await_until)
        return st_mono() < p->await_until;
    if (age < -FRESH_US || age > FRESH_US)
        return false;
    if (atomic_fetch_add(&awaiting, 1) >= AWAIT_MAX) {
        atomic_fetch_sub(&awaiting, 1);
        return false;
    }
    p->await_until = st_mono() + AWAIT_US;
    return true;
}

int st_absent(struct st_call *call, const char *id, const char *fmt, ...)
{
    if (may_await(call, id)) {
        call->p->awaits = true;
        return ST_E_RETRY;
    }
    va_list ap;
    va_start(ap, fmt);
    call->p->detail = st_vprintf(call->arena, fmt, ap);
    va_end(ap);
    return ST_E_NOT_FOUND;
}

int st_refuse(struct st_call *call, int err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    call->p->detail = st_vprintf(call->arena, fmt, ap);
    va_end(ap);
    call->p->refused = err;
    return 0;
}

void st_fail_at(struct st_call *call, const char *pointer, const char *message)
{
    struct st_schema_errors *e = &call->p->fields;
    if (e->count < ST_SCHEMA_ERRORS)
        e->list[e->count++] =
            (struct st_schema_error){st_strdup(call->arena, pointer), st_strdup(call->arena, message)};
}

void st_etag(struct st_call *call, int64_t version)
{
    st_header(call, "ETag", st_printf(call->arena, "\"%lld\"", (long long)version));
}

int st_if_match(struct st_call *call, int64_t version)
{
    const char *given = call->p->if_match;
    if (!given)
        return st_fail(call, ST_E_PRECONDITION_REQUIRED, "Send If-Match with the ETag of what you read.");
    if (st_streq(given, "*") || st_streq(given, st_printf(call->arena, "\"%lld\"", (long long)version)))
        return 0;
    return st_fail(call, ST_E_PRECONDITION, "It is at version %lld now; read it again.", (long long)version);
}

const char *st_keyed_hash(struct st_call *call, const char *purpose, const char *value)
{
    const struct st_run *run = call->p->worker->run;
    const char *text = st_printf(call->arena, "%s\n%s", purpose, value);
    unsigned char mac[ST_SHA256_LEN];
    st_hmac_sha256(run->edge_key, run->edge_key_len, text, strlen(text), mac);
    return st_hex(call->arena, mac, sizeof(mac));
}

/* --- pages --- */

/* Cursors carry a MAC over the operation, the user and the position, so that only our own come back. */
static const char *cursor_mac(struct st_call *call, const char *after)
{
    const char *text = st_printf(call->arena, "%s\n%s\n%s", call->name, call->user_id, after);
    return st_strndup(call->arena, st_keyed_hash(call, "cursor", text), CURSOR_MAC);
}

static int cursor_key(struct st_call *call, const char **ret_after)
{
    const char *cursor = st_param(call, "cursor");
    *ret_after = NULL;
    if (!cursor)
        return 0;
    const char *dot = strchr(cursor, '.');
    size_t len;
    const char *after = dot ? (const char *)st_b64url_decode(call->arena, cursor, (size_t)(dot - cursor), &len) : NULL;
    if (!after || !st_utf8_valid(after, len))
        return st_fail(call, ST_E_INVALID, "The cursor is not one of ours; start again without it.");
    const char *mac = cursor_mac(call, after);
    if (strlen(dot + 1) != strlen(mac) || !st_equal_secret(dot + 1, mac, strlen(mac)))
        return st_fail(call, ST_E_INVALID, "The cursor is not one of ours; start again without it.");
    *ret_after = after;
    return 0;
}

int st_page_(struct st_call *call, const char *member, const char *sql, int n, const char *const *params)
{
    size_t limit = (size_t)st_param_int(call, "limit"), i;
    const char **all = st_new_n(call->arena, const char *, (size_t)n + 2), *key;
    json_t *rows, *row;
    int r = cursor_key(call, &all[0]);
    if (r < 0)
        return r;
    all[1] = st_i64(call->arena, (int64_t)limit + 1);
    memcpy(&all[2], params, (size_t)n * sizeof(*params));
    if ((r = st_list_(call, &rows, sql, n + 2, all)) < 0)
        return r;
    json_t *page = st_json_keep(call->arena, json_pack("{s:O}", "items", rows));
    if (json_array_size(rows) > limit) {
        json_array_remove(rows, limit);
        const json_t *last = json_object_get(json_array_get(rows, limit - 1), member);
        key = json_is_integer(last) ? st_i64(call->arena, json_integer_value(last)) : json_string_value(last);
        if (!key)
            abort();
        key = st_printf(call->arena, "%s.%s", st_b64url(call->arena, key, strlen(key)), cursor_mac(call, key));
        json_object_set_new(page, "nextCursor", json_string(key));
    }
    json_array_foreach (rows, i, row)
        json_object_del(row, "cursor");
    return st_reply_keep(call, 200, page);
}
