/*
 * The consumer: events from the bus into the service's handlers, effects exactly once, each aggregate in order.
 *
 * A partition is read by one process at a time. The lease on the bus says by which; the fence in stream_positions makes
 * it true: whoever attaches raises it, and each transaction that handles an event checks it, so that a process that was
 * slow to notice can commit nothing more. After any trouble a partition is attached again: it is then read on from the
 * position that the database holds.
 */
#include "svc/bus.h"
#include "svc/secret.h"

enum {
    DELIVERIES = 16,          /* of each partition at once */
    RETRIES = 20,             /* parked events at once */
    ATTEMPTS = 12,            /* then an event is a dead letter */
    LEASE_EVERY_US = 2000000, /* a third of its life */
    SLOW_POLL_US = 5000000,   /* when no doorbell rings */
    ERROR_MAX = 2000,         /* bytes */
    RAW_MAX = 64 * 1024,      /* of an envelope that cannot be read, bytes kept for the operator */
    ERROR_PAUSE_FIRST_MS = 100,
    ERROR_PAUSE_LAST_MS = 5000,
    NUMBER_LEN = 24
};

struct consumer {
    struct st_run *run;
    struct st_worker w;   /* its arena lasts for one event */
    struct st_arena turn; /* lasts for a turn */
    struct st_arena parts_arena;
    struct st_bus *bus;
    const char *group;
    char holder[ST_UUID_LEN];
    struct st_bus_part *parts;
    const char **streams; /* of each part: its name in the database */
    char (*fences)[NUMBER_LEN];
    size_t n_parts;
    int64_t next_lease, next_retry; /* monotonic */
    int told;                       /* the error that was logged last, 0 when all is well */
};

/* --- what an entry says --- */

enum verdict { SKIP, HANDLE, REJECT };

struct incoming {
    struct st_event event;
    const char *correlation_id, *traceparent;
    json_t *payload;
    const struct st_subscription *subscription;
    const char *envelope; /* JSON text */
    const char *why;      /* of REJECT */
};

const struct st_subscription *st_run_subscription(const struct st_run *run, const char *type)
{
    const struct st_subscription *any = NULL;
    for (const struct st_subscription *s = run->service->subscriptions; s && s->type; s++) {
        if (st_streq(s->type, type))
            return s;
        if (st_streq(s->type, "*"))
            any = s;
    }
    return any;
}

static enum verdict reject(struct incoming *in, const char *why)
{
    in->why = why;
    return REJECT;
}

static enum verdict check_payload(struct consumer *c, struct incoming *in)
{
    struct st_schema_errors errors = {.count = 0};
    const struct st_event_type *type = st_run_event_version(c->run, in->event.type, in->event.version);
    if (!type)
        return reject(in, st_run_event_type(c->run, in->event.type) ? "the registry does not know this version"
                                                                    : "the registry does not know this event type");
    in->event.topic = type->topic;
    if (st_schema_check(type->sealed ? type->sealed : type->payload, in->payload, &c->w.arena, &errors) < 0)
        return reject(in, st_printf(&c->w.arena, "the payload does not fit its schema: %s %s", errors.list[0].pointer,
                                    errors.list[0].message));
    return HANDLE;
}

static enum verdict read_envelope(struct consumer *c, const char *text, size_t len, struct incoming *in)
{
    json_t *j;
    const char *why;
    *in = (struct incoming){.correlation_id = "", .event = {.id = "", .type = "", .aggregate_id = ""}};
    if (!text)
        return reject(in, "the entry has no envelope");
    if (st_json_parse(&c->w.arena, text, len, ST_JSON_DEPTH, &j, &why) < 0)
        return reject(in, st_printf(&c->w.arena, "the envelope is not JSON: %s", why));
    const json_t *metadata = json_object_get(j, "metadata");
    in->event = (struct st_event){
        .id = st_json_str(j, "eventId", ""),
        .type = st_json_str(j, "eventType", ""),
        .aggregate_type = st_json_str(j, "aggregateType", NULL),
        .aggregate_id = st_json_str(j, "aggregateId", ""),
        .timestamp = st_json_str(j, "timestamp", NULL),
        .version = st_json_str(j, "version", NULL),
        .user_id = st_json_str(metadata, "userId", ""),
    };
    in->correlation_id = st_json_str(metadata, "correlationId", "");
    in->traceparent = st_json_str(metadata, "traceparent", "");
    in->payload = json_object_get(j, "payload");
    if (*in->event.type && !(in->subscription = st_run_subscription(c->run, in->event.type)))
        return SKIP;
    if (!st_is_uuid(in->event.id) || !*in->event.type || !in->event.aggregate_type || !*in->event.aggregate_id ||
        !in->event.timestamp || !in->event.version || !*in->correlation_id || !json_is_object(in->payload))
        return reject(in, "the envelope is incomplete");
    in->envelope = text;
    return check_payload(c, in);
}

/* What is kept of an entry that cannot be read as an event. */
static const char *raw_envelope(struct st_arena *a, const char *text, size_t len)
{
    const char *raw = text ? st_storable(a, text, len, RAW_MAX) : "";
    return st_json_text(a, st_json_keep(a, json_pack("{s:s}", "raw", raw)));
}

/* --- handling --- */

/* A unit of work in one transaction: claim, then the handler. */
struct attempt {
    const struct incoming *in;
    struct consumer *c;
    size_t part;
    const char *batch, *n;  /* of a delivery, or */
    const char *position;   /* of a parked event */
    bool fenced, duplicate; /* what the claim said */
};

static int claim(struct st_call *call, struct attempt *t, const char **ret_said)
{
    struct st_rows *rows;
    const char *stream = t->c->streams[t->part], *fence = t->c->fences[t->part];
    int r = t->position ? st_rows(call, &rows, "select parked_claim($1, $2, $3)", stream, fence, t->position)
                        : st_rows(call, &rows, "select event_claim($1, $2, $3, $4, $5, $6)", stream, fence, t->batch,
                                  t->n, t->in->event.id, t->in->event.aggregate_id);
    if (r == 0)
        *ret_said = st_cell(rows, 0, 0);
    return r;
}

static int attempt_body(struct st_call *call, void *ctx)
{
    struct attempt *t = ctx;
    const struct incoming *in = t->in;
    const char *said = NULL;
    int r = claim(call, t, &said);
    if (r < 0)
        return r;
    t->fenced = st_streq(said, "fenced");
    t->duplicate = st_streq(said, "duplicate");
    if (st_streq(said, "new") && (r = st_secret_open(call, in->subscription)) == 0)
        return in->subscription->handler(call);
    if (r < 0)
        return r;
    if (st_streq(said, "behind"))
        st_exec(call,
                "insert into parked_events (event_id, stream, aggregate_id, event_type, correlation_id, envelope, "
                "run_at) values ($1, $2, $3, $4, $5, $6, 'infinity')",
                in->event.id, t->c->streams[t->part], in->event.aggregate_id, in->event.type, in->correlation_id,
                in->envelope);
    return t->fenced ? ST_E_FENCED : 0;
}

/* Runs the handler; on failure *ret_error says why (arena of the worker). */
static int attempt_run(struct consumer *c, struct attempt *t, const char **ret_error)
{
    struct st_call call;
    st_call_init(&call, &c->w, t->in->event.type);
    call.correlation_id = t->in->correlation_id;
    call.causation_id = t->in->event.id;
    st_work_begin(&call, ST_WORK_EVENT, t->in->traceparent);
    call.body = t->in->payload;
    call.event = &t->in->event;
    int r = st_call_transact(&call, attempt_body, t);
    st_work_end(&call, r);
    const char *why = r < 0 ? st_call_error(&call, r) : "";
    if (r < 0)
        *ret_error = st_storable(&c->w.arena, why, strlen(why), ERROR_MAX);
    else if (t->duplicate)
        st_count(ST_N_DUPLICATES, 1);
    else
        st_count(ST_N_CONSUMED, 1);
    return r < 0 ? r : 0;
}

/* The next transaction would fail or be fenced: read on from what the database says. */
static void detach(struct consumer *c, size_t part)
{
    c->parts[part].attached = false;
    c->next_lease = 0;
}

static void due_in(struct consumer *c, int64_t ms)
{
    int64_t at = st_mono() + ms * 1000;
    if (at < c->next_retry)
        c->next_retry = at;
}

static void log_failure(const struct incoming *in, bool dead, int attempts, const char *error)
{
    st_count(dead ? ST_N_DEAD : ST_N_RETRIES, 1);
    if (dead)
        st_log(ST_LOG_ERROR, "Event is a dead letter", ST_S("eventType", in->event.type), ST_S("eventId", in->event.id),
               ST_S("aggregateId", in->event.aggregate_id), ST_I("attempts", attempts), ST_S("error", error));
    else
        st_log(ST_LOG_WARNING, "Event failed and will be tried again", ST_S("eventType", in->event.type),
               ST_S("eventId", in->event.id), ST_S("aggregateId", in->event.aggregate_id), ST_I("attempts", attempts),
               ST_S("error", error));
}

/* What event_park or parked_fail answered. */
static int parked(struct consumer *c, size_t part, int r, const struct st_rows *rows)
{
    if (r < 0 || st_streq(st_cell(rows, 0, 0), "fenced"))
        detach(c, part);
    return r;
}

/* Sets a delivered event aside: for another attempt, or for the operator. */
static int park(struct consumer *c, const struct attempt *t, bool dead, const char *error)
{
    struct st_rows *rows;
    const struct incoming *in = t->in;
    int64_t delay = dead ? 0 : st_backoff_ms(1);
    int r = st_pg_query(c->w.pg, &c->w.arena, "select event_park($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
                        ST_PARAMS(c->streams[t->part], c->fences[t->part], t->batch, t->n, in->event.id,
                                  in->event.aggregate_id, in->event.type, in->correlation_id, in->envelope,
                                  dead ? "dead" : "waiting", st_i64(&c->w.arena, delay), error),
                        &rows);
    r = parked(c, t->part, r, rows);
    if (r == 0 && c->parts[t->part].attached) {
        log_failure(in, dead, 1, error);
        due_in(c, delay);
    }
    return r;
}

/* One entry. 0: it may be acknowledged, unless its part is no longer attached. */
static int handle(struct consumer *c, const struct st_bus_delivery *d)
{
    struct incoming in;
    char made_up[ST_UUID_LEN];
    const char *error = NULL;
    enum verdict verdict = read_envelope(c, d->text, d->len, &in);
    if (verdict == SKIP)
        return 0;
    struct attempt t = {.in = &in,
                        .c = c,
                        .part = d->part,
                        .batch = st_i64(&c->w.arena, d->id.batch),
                        .n = st_i64(&c->w.arena, d->id.n)};
    st_log_context(in.correlation_id, NULL);
    int r = 0;
    if (verdict == HANDLE)
        r = attempt_run(c, &t, &error);
    if (t.fenced) {
        detach(c, d->part);
        return 0;
    }
    if (!in.envelope)
        in.envelope = raw_envelope(&c->w.arena, d->text, d->len);
    if (!st_is_uuid(in.event.id))
        in.event.id = st_uuid(made_up);
    if (r < 0 || verdict == REJECT)
        r = park(c, &t, verdict == REJECT, verdict == REJECT ? in.why : error);
    return r;
}

/* --- parked events --- */

static int parked_failed(struct consumer *c, const struct attempt *t, int attempts, bool dead, const char *error)
{
    struct st_rows *rows;
    int64_t delay = dead ? 0 : st_backoff_ms(attempts);
    int r = st_pg_query(c->w.pg, &c->w.arena, "select parked_fail($1, $2, $3, $4, $5, $6)",
                        ST_PARAMS(c->streams[t->part], c->fences[t->part], t->position, dead ? "dead" : "waiting",
                                  st_i64(&c->w.arena, delay), error),
                        &rows);
    r = parked(c, t->part, r, rows);
    if (r == 0 && c->parts[t->part].attached)
        log_failure(t->in, dead, attempts, error);
    return r;
}

/* Columns: position, stream, attempts, envelope, event id. */
static int retry_one(struct consumer *c, const struct st_rows *rows, int i)
{
    struct incoming in;
    const char *text = st_cell(rows, i, 3), *error = NULL;
    struct attempt t = {.in = &in, .c = c, .position = st_cell(rows, i, 0)};
    while (t.part < c->n_parts && !st_streq(c->streams[t.part], st_cell(rows, i, 1)))
        t.part++;
    if (t.part == c->n_parts || !c->parts[t.part].attached)
        return 0;
    int r = 0, attempts = (int)st_cell_int(rows, i, 2) + 1;
    enum verdict verdict = read_envelope(c, text, strlen(text), &in);
    st_log_context(in.correlation_id, NULL);
    if (verdict == HANDLE)
        r = attempt_run(c, &t, &error);
    if (t.fenced) {
        detach(c, t.part);
        return 0;
    }
    if (verdict != HANDLE)
        return parked_failed(c, &t, attempts, true, verdict == SKIP ? "nothing here handles this type" : in.why);
    return r < 0 ? parked_failed(c, &t, attempts, attempts >= ATTEMPTS, error) : 0;
}

static const char *attached_streams(struct consumer *c)
{
    json_t *list = json_array();
    for (size_t i = 0; i < c->n_parts; i++)
        if (c->parts[i].attached)
            json_array_append_new(list, json_string(c->streams[i]));
    return st_json_text(&c->turn, st_json_keep(&c->turn, list));
}

/* Tries what is due again, and finds out when the next is. */
static int retry_due(struct consumer *c, bool *ret_busy)
{
    struct st_rows *rows;
    const char *streams = attached_streams(c);
    int r = st_pg_query(c->w.pg, &c->turn,
                        "select position, stream, attempts, envelope from parked_events where state = 'waiting' "
                        "and run_at <= clock_timestamp() and $1::jsonb ? stream order by run_at, position limit $2",
                        ST_PARAMS(streams, st_i64(&c->turn, RETRIES)), &rows);
    for (int i = 0; r == 0 && i < st_rows_count(rows) && !atomic_load(&c->run->stopping); i++) {
        *ret_busy = true;
        r = retry_one(c, rows, i);
        st_log_context(NULL, NULL);
        st_arena_reset(&c->w.arena);
    }
    if (r == 0)
        r = st_pg_query(c->w.pg, &c->turn,
                        "select ceil(extract(epoch from min(run_at) - clock_timestamp()) * 1000)::bigint "
                        "from parked_events where state = 'waiting' and run_at < 'infinity' and $1::jsonb ? stream",
                        ST_PARAMS(streams), &rows);
    if (r < 0)
        return r;
    c->next_retry = st_mono() + SLOW_POLL_US;
    if (st_cell(rows, 0, 0))
        due_in(c, st_cell_int(rows, 0, 0));
    return 0;
}

/* --- leases --- */

static int bus_said(struct consumer *c, int r)
{
    atomic_store(&c->run->bus_ok, r != ST_E_UNAVAILABLE);
    return r;
}

/* Raises the fence and reads on from the position that goes with it. */
static int attach(struct consumer *c, size_t i)
{
    struct st_rows *rows;
    int r = st_pg_query(c->w.pg, &c->turn,
                        "insert into stream_positions (stream) values ($1) on conflict (stream) do update "
                        "set fence = stream_positions.fence + 1 returning fence, ms, n",
                        ST_PARAMS(c->streams[i]), &rows);
    if (r < 0)
        return r;
    snprintf(c->fences[i], NUMBER_LEN, "%s", st_cell(rows, 0, 0));
    struct st_bus_id after = {st_cell_int(rows, 0, 1), st_cell_int(rows, 0, 2)};
    if ((r = bus_said(c, c->bus->ops->attach(c->bus, &c->turn, c->group, &c->parts[i], after))) < 0)
        return r;
    c->parts[i].attached = true;
    c->next_retry = 0;
    return 0;
}

/* Parts without a lease are not attached. */
static void drop_lost(struct consumer *c)
{
    for (size_t i = 0; i < c->n_parts; i++)
        if (c->parts[i].attached && !c->parts[i].held)
            detach(c, i);
}

static int renew(struct consumer *c)
{
    int r = bus_said(c, c->bus->ops->lease(c->bus, &c->turn, c->group, c->holder, c->parts, c->n_parts));
    if (r < 0)
        return r;
    drop_lost(c);
    c->next_lease = st_mono() + LEASE_EVERY_US;
    return 0;
}

/* --- a turn --- */

/* Acknowledges deliveries [from, to), all of one part. */
static int acknowledge(struct consumer *c, const struct st_bus_delivery *list, size_t from, size_t to)
{
    struct st_bus_id *ids = st_new_n(&c->turn, struct st_bus_id, to - from);
    for (size_t i = from; i < to; i++)
        ids[i - from] = list[i].id;
    if (from == to)
        return 0;
    const struct st_bus_part *part = &c->parts[list[from].part];
    return bus_said(c, c->bus->ops->ack(c->bus, &c->turn, c->group, part, ids, to - from));
}

/* Handles deliveries [start, end), all of one part; what was handled is acknowledged even if a later one fails. */
static int handle_part(struct consumer *c, const struct st_bus_delivery *list, size_t start, size_t end)
{
    size_t part = list[start].part, i = start;
    int r = 0;
    while (r == 0 && i < end && c->parts[part].attached && !atomic_load(&c->run->stopping)) {
        r = handle(c, &list[i]);
        st_log_context(NULL, NULL);
        st_arena_reset(&c->w.arena);
        if (r < 0 || !c->parts[part].attached)
            break;
        i++;
        if (st_mono() >= c->next_lease)
            r = renew(c);
    }
    int e = acknowledge(c, list, start, i);
    if (i < end || e < 0)
        detach(c, part);
    return r < 0 ? r : e;
}

static int handle_all(struct consumer *c, const struct st_bus_delivery *list, size_t n)
{
    int r = 0;
    for (size_t start = 0, end; start < n; start = end) {
        for (end = start; end < n && list[end].part == list[start].part; end++)
            continue;
        if (r == 0)
            r = handle_part(c, list, start, end);
        else
            detach(c, list[start].part); /* not handled: it must be delivered again */
    }
    return r;
}

static int turn(struct consumer *c, bool *ret_busy)
{
    struct st_bus_delivery *list;
    size_t n;
    int r = st_mono() >= c->next_lease ? renew(c) : 0;
    for (size_t i = 0; r == 0 && i < c->n_parts; i++)
        if (c->parts[i].held && !c->parts[i].attached)
            r = attach(c, i);
    if (r < 0)
        return r;
    r = bus_said(c,
                 c->bus->ops->poll(c->bus, &c->turn, c->group, c->holder, c->parts, c->n_parts, DELIVERIES, &list, &n));
    if (r < 0) { /* what the bus has delivered, if anything, did not arrive; or it has lost our group */
        for (size_t i = 0; i < c->n_parts; i++)
            detach(c, i);
        *ret_busy = true;
        return r == ST_E_NOT_FOUND ? 0 : r;
    }
    drop_lost(c);
    *ret_busy = n > 0;
    r = handle_all(c, list, n);
    /* A ring without news may be the operator's, who has made a parked event due. */
    if (r == 0 && (n == 0 || st_mono() >= c->next_retry))
        r = retry_due(c, ret_busy);
    return r;
}

/* --- the loop --- */

/* All partitions of the services that publish what we subscribe to. */
static void find_parts(struct consumer *c)
{
    const struct st_run *run = c->run;
    struct st_arena *a = &c->parts_arena;
    size_t max = (size_t)run->n_types * ST_BUS_PARTITIONS;
    for (const struct st_subscription *s = run->service->subscriptions; s && s->type; s++)
        if (!st_streq(s->type, "*") && !st_run_event_type(run, s->type))
            st_log(ST_LOG_ERROR, "Subscription to an event type that is not in the registry", ST_S("type", s->type));
    c->parts = st_new_n(a, struct st_bus_part, max);
    c->streams = st_new_n(a, const char *, max);
    c->fences = st_alloc_array(a, max, sizeof(*c->fences));
    for (int t = 0; t < run->n_types; t++) {
        /* "*": any service publishes it; its own other events make the service known. */
        bool known = !st_run_subscription(run, run->types[t].type) || st_streq(run->types[t].service, "*");
        for (size_t i = 0; i < c->n_parts && !known; i++)
            known = st_streq(c->parts[i].service, run->types[t].service);
        for (int p = 0; p < ST_BUS_PARTITIONS && !known; p++) {
            c->parts[c->n_parts] = (struct st_bus_part){.service = run->types[t].service, .partition = p};
            c->streams[c->n_parts++] = st_printf(a, "%s:%d", run->types[t].service, p);
        }
    }
}

static void tell(struct consumer *c, int r)
{
    if (r == c->told)
        return;
    c->told = r;
    if (r == 0)
        st_log(ST_LOG_INFO, "The consumer works again");
    else
        st_log(ST_LOG_WARNING, "The consumer waits", ST_S("error", st_err_code(r)),
               ST_S("database", st_pg_error(c->w.pg)), ST_S("bus", c->bus->ops->error(c->bus)));
}

static void rest(struct consumer *c, uint64_t seen)
{
    int64_t next = c->next_lease < c->next_retry ? c->next_lease : c->next_retry;
    int64_t left = next - st_mono();
    if (left > 0)
        st_bell_wait(&c->run->events_bell, seen, (int)(left / 1000 + 1));
}

static void consume(struct consumer *c)
{
    struct st_run *run = c->run;
    int pause_ms = ERROR_PAUSE_FIRST_MS;
    while (!atomic_load(&run->stopping)) {
        uint64_t seen = st_bell_rings(&run->events_bell);
        bool busy = false;
        int r = turn(c, &busy);
        tell(c, r);
        st_arena_reset(&c->w.arena);
        st_arena_reset(&c->turn);
        if (r < 0) {
            st_run_pause(run, pause_ms);
            pause_ms = pause_ms * 2 < ERROR_PAUSE_LAST_MS ? pause_ms * 2 : ERROR_PAUSE_LAST_MS;
            continue;
        }
        pause_ms = ERROR_PAUSE_FIRST_MS;
        if (!busy)
            rest(c, seen);
    }
}

void *st_consume_main(void *ctx)
{
    struct consumer c = {.run = ctx, .group = ((struct st_run *)ctx)->service->name};
    find_parts(&c);
    if (c.n_parts) {
        st_worker_init(&c.w, c.run, "events");
        c.bus = st_bus_redis_new(c.w.redis);
        st_uuid(c.holder);
        consume(&c);
        (void)c.bus->ops->release(c.bus, &c.turn, c.group, c.holder, c.parts, c.n_parts); /* else they expire */
        c.bus = st_bus_free(c.bus);
        st_worker_release(&c.w);
        st_arena_release(&c.turn);
    }
    st_arena_release(&c.parts_arena);
    return NULL;
}
