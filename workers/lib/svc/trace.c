/* Spans to a collector: OTLP over HTTP, in JSON. */
#include "svc/call.h"

#include "io/http_client.h"

enum {
    RING = 4096,     /* spans that wait; more are dropped */
    BATCH = 512,     /* of one request */
    EVERY_MS = 1000, /* how long a span waits */
    SEND_MS = 5000,  /* for the collector's answer */
    LAST_MS = 1000,  /* the same while we stop */
    NAME_MAX_LEN = 64,
    BODY_MAX = 1 << 20,
    KIND_SERVER = 2, /* of OTLP */
    KIND_CONSUMER = 5,
    KIND_INTERNAL = 1,
    STATUS_ERROR = 2
};

struct finished {
    char traceparent[ST_TRACEPARENT_LEN], parent[17], name[NAME_MAX_LEN], correlation_id[NAME_MAX_LEN];
    enum st_work kind;
    int64_t from_wall, us;
    int err;
};

static struct {
    pthread_mutex_t lock;
    struct finished *ring; /* NULL: nobody collects */
    size_t first, n;
    struct st_bell bell;
} waiting = {.lock = PTHREAD_MUTEX_INITIALIZER};
static atomic_llong dropped;

int64_t st_trace_dropped(void)
{
    return atomic_load(&dropped);
}

void st_trace_add(const struct st_call *call, const struct st_work_span *span, int64_t us, int err)
{
    const char flags = span->traceparent[54];
    const bool sampled = (flags & 1) != (flags > '9'); /* the lowest bit of a hex digit */
    if (!__atomic_load_n(&waiting.ring, __ATOMIC_ACQUIRE) || !sampled)
        return;
    pthread_mutex_lock(&waiting.lock);
    if (waiting.n == RING) {
        atomic_fetch_add(&dropped, 1);
    } else {
        struct finished *f = &waiting.ring[(waiting.first + waiting.n++) % RING];
        *f = (struct finished){.kind = span->kind, .from_wall = span->from_wall, .us = us, .err = err};
        memcpy(f->traceparent, span->traceparent, sizeof(f->traceparent));
        memcpy(f->parent, span->parent, sizeof(f->parent));
        snprintf(f->name, sizeof(f->name), "%s", call->name);
        snprintf(f->correlation_id, sizeof(f->correlation_id), "%s", call->correlation_id);
    }
    bool many = waiting.n >= BATCH;
    pthread_mutex_unlock(&waiting.lock);
    if (many)
        st_bell_ring(&waiting.bell);
}

/* --- the request --- */

static json_t *attribute(const char *key, const char *value)
{
    return json_pack("{s:s, s:{s:s}}", "key", key, "value", "stringValue", value);
}

static json_t *span_json(struct st_arena *a, const struct finished *f)
{
    static const int kinds[ST_WORK_KINDS] = {KIND_SERVER, KIND_CONSUMER, KIND_CONSUMER, KIND_INTERNAL};
    json_t *j = json_pack("{s:s%, s:s%, s:s, s:i, s:s, s:s, s:[o]}", "traceId", f->traceparent + 3, 32, "spanId",
                          f->traceparent + 36, 16, "name", f->name, "kind", kinds[f->kind], "startTimeUnixNano",
                          st_printf(a, "%lld000", (long long)f->from_wall), "endTimeUnixNano",
                          st_printf(a, "%lld000", (long long)(f->from_wall + f->us)), "attributes",
                          attribute("storytelling.correlation_id", f->correlation_id));
    if (*f->parent)
        json_object_set_new(j, "parentSpanId", json_string(f->parent));
    if (f->err < 0)
        json_object_set_new(j, "status", json_pack("{s:i, s:s}", "code", STATUS_ERROR, "message", st_err_code(f->err)));
    return j;
}

/* The oldest spans that wait, as one request; NULL when there are none. */
static const char *take(const struct st_run *run, struct st_arena *a, size_t *ret_n)
{
    json_t *spans = json_array();
    pthread_mutex_lock(&waiting.lock);
    size_t n = waiting.n < BATCH ? waiting.n : BATCH;
    struct finished *list = st_new_n(a, struct finished, n + 1);
    for (size_t i = 0; i < n; i++)
        list[i] = waiting.ring[(waiting.first + i) % RING];
    waiting.first = (waiting.first + n) % RING;
    waiting.n -= n;
    pthread_mutex_unlock(&waiting.lock);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(spans, span_json(a, &list[i]));
    json_t *resource = json_pack("{s:[o, o]}", "attributes", attribute("service.name", run->service->name),
                                 attribute("service.version", ST_VERSION));
    json_t *body = json_pack("{s:[{s:o, s:[{s:{s:s}, s:o}]}]}", "resourceSpans", "resource", resource, "scopeSpans",
                             "scope", "name", "storytelling", "spans", spans);
    *ret_n = n;
    st_json_keep(a, body);
    return n ? st_json_text(a, body) : NULL;
}

/* Sends what waits; false when the collector did not take it. */
static bool send_spans(const struct st_run *run, struct st_http_client *client, struct st_arena *a, int timeout_ms)
{
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    const char *body, *why = "";
    size_t n;
    while ((body = take(run, a, &n))) {
        struct st_http_answer answer = {0};
        const struct st_http_call call = {.method = "POST",
                                          .url = st_printf(a, "%s/v1/traces", st_option("trace_endpoint")),
                                          .headers = headers,
                                          .body = body,
                                          .body_len = strlen(body),
                                          .timeout_ms = timeout_ms,
                                          .answer_max = BODY_MAX};
        int r = st_http_client_do(client, &call, a, &answer, &why);
        st_arena_reset(a);
        if (r < 0 || answer.status / 100 != 2) {
            atomic_fetch_add(&dropped, (long long)n);
            return false;
        }
    }
    return true;
}

void *st_trace_main(void *ctx)
{
    struct st_run *run = ctx;
    struct st_arena a = {0};
    bool told = false;
    if (!*st_option("trace_endpoint"))
        return NULL;
    st_bell_init(&waiting.bell);
    __atomic_store_n(&waiting.ring, calloc(RING, sizeof(*waiting.ring)), __ATOMIC_RELEASE);
    struct st_http_client *client = st_http_client_new(NULL, NULL);
    while (!atomic_load(&run->stopping)) {
        st_bell_wait(&waiting.bell, st_bell_rings(&waiting.bell), EVERY_MS);
        bool ok = send_spans(run, client, &a, SEND_MS);
        if (!ok && !told)
            st_log(ST_LOG_WARNING, "The collector of traces does not take our spans");
        told = !ok;
        st_arena_reset(&a);
    }
    (void)send_spans(run, client, &a, LAST_MS);
    st_http_client_free(client);
    st_arena_release(&a);
    return NULL; /* the ring stays: other threads may still end their last work */
}
