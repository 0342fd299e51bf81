/* Sealing and opening sensitive members, and where the keys come from. */
#include "svc/secret.h"

#include "io/crypto.h"
#include "io/http_client.h"
#include "io/token.h"

#include <pthread.h>

#define MARK      "enc:1:"
#define OPERATION "internal" /* what is signed; contracts' operations are not called so */
#define OF_USER   "/internal/user-keys/of/"
#define OF_ID     "/internal/user-keys/"

enum {
    SLOTS = 1024, /* of each table */
    KEEP_US = 300 * 1000000,
    ASK_TIMEOUT_MS = 2000,
    ANSWER_MAX = 1024
};

/* --- keys in memory: one table by user, to seal, and one by key, to open; what collides is asked for again --- */

struct slot {
    struct st_user_key key;
    int64_t until; /* monotonic; 0: empty */
};
static struct slot by_user[SLOTS], by_id[SLOTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct slot *slot_of(struct slot table[SLOTS], const char *id)
{
    uint32_t h = 2166136261u;
    for (; *id; id++)
        h = (h ^ (unsigned char)*id) * 16777619u;
    return &table[h % SLOTS];
}

static bool recall(const char *user_id, const char *key_id, struct st_user_key *ret)
{
    pthread_mutex_lock(&lock);
    const struct slot *s = key_id ? slot_of(by_id, key_id) : slot_of(by_user, user_id);
    bool here = s->until > st_mono() && st_streq(key_id ? s->key.key_id : s->key.user_id, key_id ? key_id : user_id);
    if (here)
        *ret = s->key;
    pthread_mutex_unlock(&lock);
    return here;
}

static void keep(const struct st_user_key *key)
{
    pthread_mutex_lock(&lock);
    const struct slot s = {*key, st_mono() + KEEP_US};
    *slot_of(by_user, key->user_id) = s;
    *slot_of(by_id, key->key_id) = s;
    pthread_mutex_unlock(&lock);
}

static void wipe(struct slot table[SLOTS], const char *user_id, int64_t before)
{
    for (int i = 0; i < SLOTS; i++)
        if (table[i].until && (table[i].until <= before || (user_id && st_streq(table[i].key.user_id, user_id))))
            explicit_bzero(&table[i], sizeof(table[i]));
}

static void wipe_both(const char *user_id, int64_t before)
{
    pthread_mutex_lock(&lock);
    wipe(by_user, user_id, before);
    wipe(by_id, user_id, before);
    pthread_mutex_unlock(&lock);
}

void st_secret_forget(const char *user_id)
{
    wipe_both(user_id, user_id ? 0 : INT64_MAX);
}

void st_secret_sweep(void)
{
    wipe_both(NULL, st_mono());
}

/* --- asking identity --- */

static struct st_http_answer *ask(struct st_worker *w, struct st_call *call, const char *uri, const char **ret_why)
{
    struct st_arena *a = call->arena;
    char sig[ST_EDGE_SIGNATURE_LEN];
    const struct st_edge_identity id = {.method = "GET",
                                        .uri = uri,
                                        .operation = OPERATION,
                                        .user = "",
                                        .session = "",
                                        .roles = "",
                                        .tier = "",
                                        .correlation_id = call->correlation_id,
                                        .address = "",
                                        .time = st_i64(a, st_now() / ST_SECOND)};
    st_edge_sign(w->run->edge_key, w->run->edge_key_len, &id, sig);
    const char *const headers[] = {
        "X-Api-Operation: " OPERATION, st_printf(a, "X-Api-Correlation-Id: %s", id.correlation_id),
        st_printf(a, "X-Api-Time: %s", id.time), st_printf(a, "X-Api-Signature: %s", sig), NULL};
    const struct st_http_call request = {.method = "GET",
                                         .url = st_printf(a, "http://identity%s", uri),
                                         .headers = headers,
                                         .timeout_ms = ASK_TIMEOUT_MS,
                                         .answer_max = ANSWER_MAX};
    struct st_http_answer *answer = st_new(a, struct st_http_answer);
    if (!w->identity)
        w->identity = st_http_client_new(NULL, st_printf(a, "%s/identity.sock", st_option("run_dir")));
    return st_http_client_do(w->identity, &request, a, answer, ret_why) < 0 ? NULL : answer;
}

static bool read_key(struct st_arena *a, const struct st_http_answer *answer, struct st_user_key *ret)
{
    json_t *j;
    const char *why;
    size_t len = 0;
    if (answer->status != 200 || st_json_parse(a, answer->body, answer->len, 2, &j, &why) < 0)
        return false;
    const char *key_id = st_str(j, "keyId"), *user_id = st_str(j, "userId"), *text = st_json_str(j, "key", "");
    const unsigned char *key = st_b64url_decode(a, text, strlen(text), &len);
    if (!key || len != ST_USER_KEY_LEN || !key_id || !st_is_uuid(key_id) || !user_id || !st_is_uuid(user_id))
        return false;
    snprintf(ret->key_id, sizeof(ret->key_id), "%s", key_id);
    snprintf(ret->user_id, sizeof(ret->user_id), "%s", user_id);
    memcpy(ret->key, key, len);
    return true;
}

/* ST_E_GONE, ST_E_UNAVAILABLE. Identity looks into its own database, in the transaction that it is in. */
static int find_key(struct st_call *call, const char *user_id, const char *key_id, struct st_user_key *ret)
{
    struct st_worker *w = call->p->worker;
    const char *why = "its answer is not understood";
    if (w->run->service->user_key)
        return w->run->service->user_key(call, user_id, key_id, ret);
    if (recall(user_id, key_id, ret))
        return 0;
    const struct st_http_answer *answer =
        ask(w, call, st_printf(call->arena, "%s%s", key_id ? OF_ID : OF_USER, key_id ? key_id : user_id), &why);
    if (answer && answer->status == 410)
        return ST_E_GONE;
    if (answer && read_key(call->arena, answer, ret)) {
        keep(ret);
        return 0;
    }
    if (answer && answer->status != 200)
        why = st_printf(call->arena, "it answers %d", answer->status);
    return st_fail(call, ST_E_UNAVAILABLE, "Identity, which keeps the key, is not available: %s.", why);
}

/* --- sealing --- */

/* The user whose key it is: a UUID, or NULL. */
static const char *subject_of(const struct st_call *call, const struct st_event_type *type, const json_t *payload)
{
    const char *const members[] = {type->subject, "userId", "authorId"};
    for (size_t i = 0; i < ST_COUNT(members); i++) {
        const char *id = members[i] ? st_str(payload, members[i]) : NULL;
        if (id)
            return st_is_uuid(id) ? id : NULL;
    }
    return st_is_uuid(call->user_id) ? call->user_id : NULL;
}

static const char *bound_to(struct st_arena *a, const char *event_id, const char *member)
{
    return st_printf(a, "%s\n%s", event_id, member);
}

static json_t *seal(struct st_arena *a, const struct st_user_key *key, const char *event_id, const char *member,
                    const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    if (!text)
        abort();
    const char *sealed = st_seal(a, key->key, bound_to(a, event_id, member), text, strlen(text));
    free(text);
    return json_string(st_printf(a, MARK "%s:%s", key->key_id, sealed));
}

const json_t *st_secret_seal(struct st_call *call, const struct st_event_type *type, const char *event_id,
                             json_t *payload)
{
    struct st_user_key key;
    int r = 1; /* no key was needed yet */
    json_t *out = payload;
    for (const char *const *name = type->sensitive; name && *name; name++) {
        const json_t *value = json_object_get(payload, *name);
        if (!value)
            continue;
        if (r == 1) {
            const char *subject = subject_of(call, type, payload);
            r = subject ? find_key(call, subject, NULL, &key)
                        : st_fail(call, ST_E_INTERNAL, "%s names no user whose key could seal it", type->type);
            if (r < 0 && r != ST_E_GONE) {
                st_call_doom(call, r);
                return NULL;
            }
            out = st_json_keep(call->arena, json_copy(payload));
        }
        if (r == 0)
            json_object_set_new(out, *name, seal(call->arena, &key, event_id, *name, value));
        else
            json_object_del(out, *name);
    }
    explicit_bzero(&key, sizeof(key));
    return out;
}

/* --- opening --- */

/* ST_E_GONE: it cannot be read any more. */
static int open_member(struct st_call *call, const char *event_id, const char *member, const char *text,
                       json_t **ret_value)
{
    struct st_arena *a = call->arena;
    struct st_user_key key;
    const char *id = text + strlen(MARK), *colon = strchr(id, ':');
    const char *key_id = colon ? st_strndup(a, id, (size_t)(colon - id)) : "";
    size_t len;
    if (!st_is_uuid(key_id))
        return st_fail(call, ST_E_INVALID, "%s is sealed in a way that is not known here", member);
    int r = find_key(call, NULL, key_id, &key);
    if (r < 0)
        return r;
    const char *clear = st_unseal(a, key.key, bound_to(a, event_id, member), colon + 1, strlen(colon + 1), &len);
    explicit_bzero(&key, sizeof(key));
    *ret_value = clear ? json_loadb(clear, len, JSON_DECODE_ANY, NULL) : NULL;
    return *ret_value ? 0 : st_fail(call, ST_E_INVALID, "%s was changed after it was sealed", member);
}

static bool is_sealed(const json_t *value)
{
    return json_is_string(value) && st_starts(json_string_value(value), MARK);
}

int st_secret_open_payload(struct st_call *call, const struct st_event_type *type, const char *event_id,
                           json_t *payload)
{
    for (const char *const *name = type->sensitive; name && *name; name++) {
        const json_t *value = json_object_get(payload, *name);
        json_t *opened = NULL;
        if (!is_sealed(value))
            continue;
        int r = open_member(call, event_id, *name, json_string_value(value), &opened);
        if (r == 0)
            json_object_set_new(payload, *name, opened);
        else if (r == ST_E_GONE)
            json_object_del(payload, *name);
        else
            return r;
        call->user_gone |= r == ST_E_GONE;
    }
    return 0;
}

int st_secret_open(struct st_call *call, const struct st_subscription *subscription)
{
    const struct st_event_type *type =
        st_run_event_version(call->p->worker->run, call->event->type, call->event->version);
    if (!type || !type->sensitive)
        return 0;
    if (subscription->sensitive)
        return st_secret_open_payload(call, type, call->event->id, call->body);
    for (const char *const *name = type->sensitive; *name; name++)
        json_object_del(call->body, *name);
    return 0;
}

/* --- answering the other daemons --- */

struct question {
    const char *user_id, *key_id;
    struct st_user_key key;
};

static int look_up(struct st_call *call, void *ctx)
{
    struct question *q = ctx;
    return call->p->worker->run->service->user_key(call, q->user_id, q->key_id, &q->key);
}

/* Whether another daemon asks. */
static bool is_signed(const struct st_run *run, struct st_http_request *req, const char **ret_correlation)
{
    static const char *const names[] = {"X-Api-Operation", "X-Api-Correlation-Id", "X-Api-Time", "X-Api-Signature"};
    const char *given[ST_COUNT(names)];
    int64_t at;
    char expected[ST_EDGE_SIGNATURE_LEN];
    for (size_t i = 0; i < ST_COUNT(names); i++)
        if (!(given[i] = st_http_header(req, names[i])))
            given[i] = "";
    const struct st_edge_identity id = {.method = req->method,
                                        .uri = req->uri,
                                        .operation = given[0],
                                        .user = "",
                                        .session = "",
                                        .roles = "",
                                        .tier = "",
                                        .correlation_id = given[1],
                                        .address = "",
                                        .time = given[2]};
    st_edge_sign(run->edge_key, run->edge_key_len, &id, expected);
    *ret_correlation = given[1];
    return st_streq(given[0], OPERATION) && strlen(given[3]) == ST_EDGE_SIGNATURE_LEN - 1 &&
           st_equal_secret(given[3], expected, ST_EDGE_SIGNATURE_LEN - 1) &&
           st_parse_i64(given[2], 0, INT64_MAX / ST_SECOND, &at) &&
           llabs(st_now() / ST_SECOND - at) <= ST_EDGE_TOLERANCE_S;
}

static int answer(struct st_worker *w, struct st_http_request *req, struct question *q)
{
    struct st_call call;
    const char *correlation_id;
    if (!is_signed(w->run, req, &correlation_id))
        return ST_E_UNAUTHENTICATED;
    if (!st_streq(req->method, "GET") || !st_is_uuid(q->user_id ? q->user_id : q->key_id))
        return ST_E_INVALID;
    st_call_init(&call, w, OPERATION);
    call.correlation_id = correlation_id;
    st_log_context(correlation_id, NULL);
    int r = st_call_transact(&call, look_up, q);
    if (r < 0 && r != ST_E_GONE)
        st_log(ST_LOG_ERROR, "A key could not be given", ST_S("error", st_call_error(&call, r)));
    st_log_context(NULL, NULL);
    return r;
}

bool st_secret_serve(struct st_worker *w, struct st_http_request *req, struct st_http_response *res)
{
    struct question q = {0};
    if (!w->run->service->user_key || !st_starts(req->path, OF_ID))
        return false;
    if (st_starts(req->path, OF_USER))
        q.user_id = req->path + strlen(OF_USER);
    else
        q.key_id = req->path + strlen(OF_ID);
    int r = answer(w, req, &q);
    res->status = r < 0 ? st_err_status(r) : 200;
    if (r == 0)
        res->body = st_printf(req->arena, "{\"keyId\":\"%s\",\"userId\":\"%s\",\"key\":\"%s\"}", q.key.key_id,
                              q.key.user_id, st_b64url(req->arena, q.key.key, sizeof(q.key.key)));
    else
        res->body = st_printf(req->arena, "{\"code\":\"%s\"}", st_err_code(r));
    res->body_len = strlen(res->body);
    st_http_add(res, "Content-Type", "application/json");
    st_http_add(res, "Cache-Control", "no-store");
    explicit_bzero(&q, sizeof(q));
    return true;
}
