/*
 * The consumer: events from the bus into the service's handlers, effects exactly once, each aggregate in order.
 *
 * A partition is read by one process at a time. The lease on the bus says by which; the fence in stream_positions makes
 * it true: whoever attaches raises it, and each transaction that handles events checks it, so that a process that was
 * slow to notice can commit nothing more. After any trouble a partition is attached again: it is then read on from the
 * position that the database holds.
 *
 * What a partition has delivered at once is handled in one transaction: claimed by one statement, then one handler
 * after the other, one commit. So an event that comes alone is handled alone, at once, and a backlog in large batches.
 * When a batch fails it is rolled back and halved, until the event that fails is alone and is set aside.
 *
 * Events are taken for new, as all but few are, and the claim is sent with their work: one trip, unless a handler asks
 * something. When one is not, nothing remains of that, and the claim's answer is waited for before the work begins. So
 * a handler may begin with an event that was handled before; what it does outside of its transaction must not care.
 *
 * Parked events that have not failed yet, of a replay or behind one that was tried again, go by the batch as well; one
 * that has failed is tried alone.
 *
 * A process that ends at once (a crash, kill -9) has not let go of its partitions. Who takes one over sets aside what
 * the other may have had in its hands. Each attempt of a parked event is noted before it begins, and one that was noted
 * and not come back on is tried alone: so an event that ends every process that handles it is a dead letter in the end,
 * too.
 *
 * What cannot be read as an event of the registry is a dead letter at once, also when it is of a type that the registry
 * does not know. Events of a type that the service does not subscribe to are passed over, and not looked at further.
 */
#include "svc/bus.h"
#include "svc/secret.h"

enum {
    DELIVERIES = 16,          /* of each partition at once; twice as many as long as they all come, */
    DELIVERIES_MAX = 500,     /* up to this, */
    POLL_BYTES = 8 << 20,     /* and not more than this in all, about */
    BATCH_US = 250000,        /* a transaction of many shall take, about: it holds locks, and the lease goes on */
    RETRIES = DELIVERIES_MAX, /* parked events at once, */
    RETRY_SLICE_US = 200000,  /* and as long as this before what was delivered comes again */
    ATTEMPTS = 12,            /* then an event is a dead letter; */
    CRASHES = 5,              /* also when so many attempts, half a minute in all, have ended their process */
    LEASE_EVERY_US = 2000000, /* a third of its life */
    SLOW_POLL_US = 5000000,   /* when no doorbell rings */
    ERROR_MAX = 2000,         /* bytes */
    RAW_MAX = 64 * 1024,      /* of an envelope that cannot be read, bytes kept for the operator */
    PATIENCE_MS = 20000,      /* who stops inside a transaction keeps others from its partition for so long */
    ERROR_PAUSE_FIRST_MS = 100,
    ERROR_PAUSE_LAST_MS = 5000,
    NUMBER_LEN = 24
};

struct consumer {
    struct st_run *run;
    struct st_worker w;   /* its arena lasts for a transaction */
    struct st_arena page; /* lasts for what one partition has delivered */
    struct st_arena turn; /* lasts for a turn */
    struct st_arena parts_arena;
    struct st_bus *bus;
    const char *group;
    char holder[ST_UUID_LEN];
    struct st_bus_part *parts;
    const char **streams; /* of each part: its name in the database */
    char (*fences)[NUMBER_LEN];
    size_t *suspects;               /* so many of its next events, */
    struct st_bus_id *suspects_end; /* up to this, may be what ended the one who read it before */
    size_t n_parts;
    int deliveries;                 /* of each partition at once */
    int batch, most;                /* in a transaction: now, and at most */
    bool careful;                   /* what was delivered at once with these was not all new */
    bool busy;                      /* the last poll gave something */
    bool undurable;                 /* something was committed that a crash of the database may still forget */
    int64_t next_lease, next_retry; /* monotonic */
    struct st_pace pace;
    int told; /* the error that was logged last, 0 when all is well */
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
    const struct st_bus_delivery *from;
    const char *position; /* of a parked event, which was not delivered; else NULL */
    int attempts;         /* that it has behind it */
    enum verdict verdict;
};

static void reject(struct incoming *in, const char *why)
{
    in->why = why;
    in->verdict = REJECT;
}

static void check_payload(struct consumer *c, struct incoming *in, const struct st_value *payload)
{
    struct st_schema_errors errors = {.count = 0};
    const struct st_event_type *type = st_run_event_version(c->run, in->event.type, in->event.version);
    if (!type) {
        reject(in, st_run_event_type(c->run, in->event.type) ? "the registry does not know this version"
                                                             : "the registry does not know this event type");
        return;
    }
    in->event.topic = type->topic;
    if (st_schema_check_value(type->sealed ? type->sealed : type->payload, payload, &c->page, &errors) < 0) {
        reject(in, st_printf(&c->page, "the payload does not fit its schema: %s %s", errors.list[0].pointer,
                             errors.list[0].message));
        return;
    }
    in->payload = st_value_json(&c->page, payload);
    in->verdict = HANDLE;
}

static const char *member(const struct st_value *object, const char *name, const char *otherwise)
{
    const char *text = st_value_string(st_value_get(object, name));
    return text ? text : otherwise;
}

/* Read for checking, which is several times faster than reading it for programs; only the payload of what will be
 * handled becomes a json_t. */
static void read_envelope(struct consumer *c, const char *text, size_t len, struct incoming *in)
{
    const struct st_value *v;
    const char *why;
    *in = (struct incoming){.correlation_id = "", .event = {.id = "", .type = "", .aggregate_id = ""}};
    if (!text || st_value_parse(&c->page, text, len, ST_JSON_DEPTH, false, &v, &why) < 0) {
        reject(in, text ? st_printf(&c->page, "the envelope is not JSON: %s", why) : "the entry has no envelope");
        return;
    }
    const struct st_value *metadata = st_value_get(v, "metadata"), *payload = st_value_get(v, "payload");
    in->event = (struct st_event){
        .id = member(v, "eventId", ""),
        .type = member(v, "eventType", ""),
        .aggregate_type = member(v, "aggregateType", NULL),
        .aggregate_id = member(v, "aggregateId", ""),
        .timestamp = member(v, "timestamp", NULL),
        .version = member(v, "version", NULL),
        .user_id = member(metadata, "userId", ""),
    };
    in->correlation_id = member(metadata, "correlationId", "");
    in->traceparent = member(metadata, "traceparent", "");
    if (*in->event.type && !(in->subscription = st_run_subscription(c->run, in->event.type))) {
        if (!st_run_event_type(c->run, in->event.type)) /* it may have to be subscribed to: by a later version, say */
            reject(in, "the registry does not know this event type");
        return; /* SKIP */
    }
    if (!st_is_uuid(in->event.id) || !*in->event.type || !in->event.aggregate_type || !*in->event.aggregate_id ||
        !in->event.timestamp || !in->event.version || !*in->correlation_id || !payload ||
        payload->type != JSON_OBJECT) {
        reject(in, "the envelope is incomplete");
        return;
    }
    in->envelope = text;
    check_payload(c, in, payload);
}

/* What is kept of an entry that cannot be read as an event. */
static const char *raw_envelope(struct st_arena *a, const char *text, size_t len)
{
    const char *raw = text ? st_storable(a, text, len, RAW_MAX) : "";
    return st_json_text(a, st_json_keep(a, json_pack("{s:s}", "raw", raw)));
}

/* --- a transaction --- */

/* Events that share one: of a delivery, or parked ones. */
struct batch {
    struct consumer *c;
    size_t part;
    struct incoming *const *list;
    size_t n;
    bool last;    /* of what was delivered: the database has all on its disk when it says committed */
    bool careful; /* not all of them may be new: what the claim says is waited for */
    bool fenced;  /* what it said */
    size_t duplicates, handled;
    const char *error; /* why it failed (arena of the worker) */
};

enum { CLAIM_PARAMS = 7 };

static void claim_params(struct st_arena *a, const struct batch *b, const char *params[static CLAIM_PARAMS])
{
    const char **ms = st_new_n(a, const char *, b->n), **ns = st_new_n(a, const char *, b->n);
    const char **ids = st_new_n(a, const char *, b->n), **aggregates = st_new_n(a, const char *, b->n);
    for (size_t i = 0; i < b->n; i++) {
        ms[i] = st_i64(a, b->list[i]->from->id.batch);
        ns[i] = st_i64(a, b->list[i]->from->id.n);
        ids[i] = b->list[i]->event.id;
        aggregates[i] = b->list[i]->event.aggregate_id;
    }
    params[0] = b->c->streams[b->part];
    params[1] = b->c->fences[b->part];
    params[2] = st_pg_array(a, ms, b->n);
    params[3] = st_pg_array(a, ns, b->n);
    params[4] = st_pg_array(a, ids, b->n);
    params[5] = st_pg_array(a, aggregates, b->n);
    params[6] = b->last ? "f" : "t";
}

static const char *positions_of(struct st_arena *a, struct incoming *const *list, size_t n)
{
    const char **positions = st_new_n(a, const char *, n);
    for (size_t i = 0; i < n; i++)
        positions[i] = list[i]->position;
    return st_pg_array(a, positions, n);
}

/* A letter for each event, as events_claim and parked_claim give them; NULL: fenced. */
static int claim(struct st_call *call, const struct batch *b, const char **ret_verdicts)
{
    const char *params[CLAIM_PARAMS];
    struct st_rows *rows;
    int r;
    if (b->list[0]->position) {
        r = st_rows(call, &rows, "select parked_claim($1, $2, $3)", b->c->streams[b->part], b->c->fences[b->part],
                    positions_of(call->arena, b->list, b->n));
    } else {
        claim_params(call->arena, b, params);
        r = st_rows_(call, &rows, "select events_claim($1, $2, $3, $4, $5, $6, $7)", CLAIM_PARAMS, params);
    }
    if (r < 0)
        return r;
    const char *said = st_cell(rows, 0, 0);
    if (said && strlen(said) != b->n)
        return ST_E_INTERNAL;
    *ret_verdicts = said;
    return 0;
}

/* The claim goes with the first answer that a handler needs, or with the commit. */
static void claim_new(struct st_call *call, const struct batch *b)
{
    const char *params[CLAIM_PARAMS];
    claim_params(call->arena, b, params);
    st_exec_(call, "select events_claim_new($1, $2, $3, $4, $5, $6, $7)", CLAIM_PARAMS, params);
}

static int handle_one(struct st_call *leader, struct batch *b, const struct incoming *in)
{
    struct st_call call;
    b->handled++;
    if (!in->subscription) /* it was parked, and is of a type that nothing here handles (any more) */
        return 0;
    st_call_init_within(&call, leader, in->event.type);
    call.correlation_id = in->correlation_id;
    call.causation_id = in->event.id;
    st_work_begin(&call, ST_WORK_EVENT, in->traceparent);
    call.body = in->payload;
    call.event = &in->event;
    st_log_context(in->correlation_id, NULL);
    int r = st_secret_open(&call, in->subscription);
    if (r == 0)
        r = st_call_end_within(&call, in->subscription->handler(&call));
    st_work_end(&call, r == ST_E_FENCED ? 0 : r); /* that is no failure: it was not to begin */
    if (r < 0)
        b->error = st_call_error(&call, r);
    return r;
}

static void wait_behind(struct st_call *leader, const struct batch *b, const struct incoming *in)
{
    st_exec(leader,
            "insert into parked_events (event_id, stream, aggregate_id, event_type, correlation_id, envelope, run_at) "
            "values ($1, $2, $3, $4, $5, $6, 'infinity')",
            in->event.id, b->c->streams[b->part], in->event.aggregate_id, in->event.type, in->correlation_id,
            in->envelope);
}

/*
 * The claim puts the wait for the disk off until the last transaction of a delivery, before which nothing is
 * acknowledged, and what a crash forgets is delivered again. Not when others may act at once on what was written.
 */
static int batch_body(struct st_call *leader, void *ctx)
{
    struct batch *b = ctx;
    const char *verdicts = NULL;
    int r;
    b->duplicates = b->handled = 0;
    b->error = NULL;
    if (b->careful) {
        if ((r = claim(leader, b, &verdicts)) < 0)
            return r;
        if ((b->fenced = !verdicts))
            return ST_E_FENCED;
    } else {
        claim_new(leader, b);
        r = 0;
    }
    for (size_t i = 0; r == 0 && i < b->n; i++) {
        char verdict = verdicts ? verdicts[i] : 'n';
        if (i > 0 && atomic_load(&b->c->run->stopping)) /* a stop does not wait for what has not begun */
            r = ST_E_CANCELLED;
        else if (verdict == 'n')
            r = handle_one(leader, b, b->list[i]);
        else if (verdict == 'b')
            wait_behind(leader, b, b->list[i]);
        else if (verdict == 'd')
            b->duplicates++;
    }
    if (r < 0 && !b->careful && st_pg_flush(b->c->w.pg) == ST_E_FENCED) /* it failed at what it should not have begun */
        r = ST_E_FENCED;
    if (r == 0 && !b->last && (st_call_top(leader)->emitted || st_call_top(leader)->enqueued))
        st_exec(leader, "set local synchronous_commit = default");
    return r;
}

/* As many as will be quick, after n have taken so long: at most twice as many as now. */
static int next_size(const struct consumer *c, size_t n, int64_t us)
{
    int64_t quick = us > 0 ? (int64_t)n * BATCH_US / us : c->most;
    int64_t size = n < (size_t)c->batch && quick > c->batch ? c->batch : quick;
    if (size > 2 * c->batch)
        size = 2 * c->batch;
    return (int)(size < 1 ? 1 : size > c->most ? c->most : size);
}

/* Runs the handlers of all. On failure nothing of any remains, and b->error says why; b->fenced: it is not our part. */
static int batch_run(struct batch *b)
{
    struct st_call leader;
    struct consumer *c = b->c;
    st_call_init(&leader, &c->w, "events");
    int64_t from = st_mono();
    int r = st_call_transact(&leader, batch_body, b);
    st_log_context(NULL, NULL);
    if (b->n > 1 || c->batch == 1)
        c->batch = next_size(c, b->n, st_mono() - from);
    if (r < 0) {
        const char *why = b->error ? b->error : st_call_error(&leader, r);
        b->error = st_storable(&c->w.arena, why, strlen(why), ERROR_MAX);
        return r;
    }
    c->undurable = !b->last;
    st_count(ST_N_DUPLICATES, (int64_t)b->duplicates);
    st_count(ST_N_CONSUMED, (int64_t)b->handled);
    return 0;
}

/* --- events that fail --- */

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
static int park(struct consumer *c, size_t part, const struct incoming *in, bool dead, const char *error)
{
    struct st_rows *rows;
    struct st_arena *a = &c->w.arena;
    int64_t delay = dead ? 0 : st_backoff_ms(1);
    int r = st_pg_query(c->w.pg, a, "select event_park($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
                        ST_PARAMS(c->streams[part], c->fences[part], st_i64(a, in->from->id.batch),
                                  st_i64(a, in->from->id.n), in->event.id, in->event.aggregate_id, in->event.type,
                                  in->correlation_id, in->envelope, dead ? "dead" : "waiting", st_i64(a, delay), error),
                        &rows);
    r = parked(c, part, r, rows);
    if (r == 0 && c->parts[part].attached) {
        st_log_context(in->correlation_id, NULL);
        log_failure(in, dead, 1, error);
        st_log_context(NULL, NULL);
        due_in(c, delay);
    }
    return r;
}

static int bury(struct consumer *c, size_t part, struct incoming *in)
{
    if (!in->envelope)
        in->envelope = raw_envelope(&c->page, in->from->text, in->from->len);
    if (!st_is_uuid(in->event.id))
        in->event.id = st_new_id(&c->page);
    return park(c, part, in, true, in->why);
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
    int r = st_pg_query(c->w.pg, &c->turn, "select fence_, ms_, n_, crashed from stream_attach($1, $2)",
                        ST_PARAMS(c->streams[i], *c->fences[i] ? c->fences[i] : NULL), &rows);
    if (r < 0)
        return r;
    snprintf(c->fences[i], NUMBER_LEN, "%s", st_cell(rows, 0, 0));
    if (st_streq(st_cell(rows, 0, 3), "t"))
        c->suspects[i] = DELIVERIES_MAX; /* nobody has more in its hands, */
    if (c->suspects[i]) {                /* nor what came later */
        struct st_bus_id tails[ST_BUS_PARTITIONS];
        if ((r = bus_said(c, c->bus->ops->tails(c->bus, &c->turn, c->parts[i].service, tails))) < 0)
            return r;
        c->suspects_end[i] = tails[c->parts[i].partition];
    }
    struct st_bus_id after = {st_cell_int(rows, 0, 1), st_cell_int(rows, 0, 2)};
    if ((r = bus_said(c, c->bus->ops->attach(c->bus, &c->turn, c->group, &c->parts[i], after))) < 0)
        return r;
    c->parts[i].attached = true;
    c->next_retry = 0;
    return 0;
}

/* As the last thing: what we did not finish, we have not died of. */
static void let_go(struct consumer *c)
{
    struct st_rows *rows;
    struct st_arena *a = &c->turn;
    const char **fences = st_new_n(a, const char *, c->n_parts);
    for (size_t i = 0; i < c->n_parts; i++)
        fences[i] = *c->fences[i] ? c->fences[i] : NULL;
    if (st_pg_query(c->w.pg, a, "select streams_release($1, $2)",
                    ST_PARAMS(st_pg_array(a, c->streams, c->n_parts), st_pg_array(a, fences, c->n_parts)), &rows) < 0)
        st_log(ST_LOG_WARNING, "Who reads on will do so with care", ST_S("database", st_pg_error(c->w.pg)));
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

/* --- parked events --- */

static int parked_failed(struct consumer *c, size_t part, const struct incoming *in, bool dead, const char *error)
{
    struct st_rows *rows;
    int attempts = in->attempts + 1;
    int64_t delay = dead ? 0 : st_backoff_ms(attempts);
    int r = st_pg_query(c->w.pg, &c->w.arena, "select parked_fail($1, $2, $3, $4, $5, $6)",
                        ST_PARAMS(c->streams[part], c->fences[part], in->position, dead ? "dead" : "waiting",
                                  st_i64(&c->w.arena, delay), error),
                        &rows);
    r = parked(c, part, r, rows);
    if (r == 0 && c->parts[part].attached) {
        st_log_context(in->correlation_id, NULL);
        log_failure(in, dead, attempts, error);
        st_log_context(NULL, NULL);
    }
    return r;
}

/*
 * Handles events of one part in one transaction; when that fails, either half by itself, until the one that fails is
 * alone. last: nothing of this delivery comes behind. (Of parked events nothing is acknowledged, and what a crash
 * forgets is still parked.)
 */
static int handle_batch(struct consumer *c, size_t part, struct incoming *const *list, size_t n, bool last)
{
    struct batch b = {.c = c, .part = part, .list = list, .n = n, .last = last};
    if (!c->parts[part].attached || atomic_load(&c->run->stopping))
        return 0;
    b.careful = c->careful || list[0]->position;
    int r = batch_run(&b);
    if (r == ST_E_FENCED && !b.careful) {
        b.careful = c->careful = true;
        r = batch_run(&b);
    }
    if (r < 0 && !b.fenced && n == 1)
        r = list[0]->position ? parked_failed(c, part, list[0], list[0]->attempts + 1 >= ATTEMPTS, b.error)
                              : park(c, part, list[0], false, b.error);
    st_arena_reset(&c->w.arena);
    if (b.fenced) {
        detach(c, part);
        return 0;
    }
    if (r < 0 && n > 1) {
        r = handle_batch(c, part, list, n / 2, false);
        if (r == 0)
            r = handle_batch(c, part, list + n / 2, n - n / 2, last);
    }
    if (r == 0 && st_mono() >= c->next_lease)
        r = renew(c);
    return r;
}

/* Another attempt of parked events, which is noted before it begins, while there is still somebody to do so. */
static int retry(struct consumer *c, size_t part, struct incoming *const *list, size_t n)
{
    struct st_rows *rows;
    if (!c->parts[part].attached || atomic_load(&c->run->stopping))
        return 0;
    int r = st_pg_query(c->w.pg, &c->w.arena, "select parked_begin($1, $2, $3, $4, $5)",
                        ST_PARAMS(c->streams[part], c->fences[part], positions_of(&c->w.arena, list, n), c->holder,
                                  st_i64(&c->w.arena, st_backoff_ms(1))),
                        &rows);
    if (r < 0 || !st_cell(rows, 0, 0))
        return r;
    if (n == 1 && st_cell_int(rows, 0, 0) >= CRASHES)
        return parked_failed(c, part, list[0], true, "each process that handled it has ended at once");
    return handle_batch(c, part, list, n, false);
}

/* What parked_due gave of one stream, in its order: those that may share a transaction, then those that are alone. */
static int retry_stream(struct consumer *c, const struct st_rows *rows, int from, int to)
{
    enum { POSITION, STREAM, ATTEMPTS_BEHIND, ENVELOPE, ALONE };
    struct incoming *all = st_new_n(&c->page, struct incoming, (size_t)(to - from));
    struct incoming **list = st_new_n(&c->page, struct incoming *, (size_t)(to - from));
    size_t part = 0, n = 0, max = (size_t)c->batch;
    int r = 0;
    while (part < c->n_parts && !st_streq(c->streams[part], st_cell(rows, from, STREAM)))
        part++;
    for (int i = from; r == 0 && i < to && part < c->n_parts; i++) {
        struct incoming *in = &all[i - from];
        const char *text = st_cell(rows, i, ENVELOPE);
        bool alone = st_streq(st_cell(rows, i, ALONE), "t");
        read_envelope(c, text, strlen(text), in);
        in->position = st_cell(rows, i, POSITION);
        in->attempts = (int)st_cell_int(rows, i, ATTEMPTS_BEHIND);
        if (n && (alone || in->verdict == REJECT || n >= max)) {
            r = retry(c, part, list, n);
            max = (size_t)c->batch;
            n = 0;
        }
        if (r == 0 && in->verdict == REJECT) {
            r = parked_failed(c, part, in, true, in->why);
        } else {
            list[n++] = in;
            if (r == 0 && alone) {
                r = retry(c, part, list, n);
                n = 0;
            }
        }
        st_arena_reset(&c->w.arena);
    }
    return r == 0 && n ? retry(c, part, list, n) : r;
}

static const char *attached_streams(struct consumer *c)
{
    const char **names = st_new_n(&c->turn, const char *, c->n_parts);
    size_t n = 0;
    for (size_t i = 0; i < c->n_parts; i++)
        if (c->parts[i].attached)
            names[n++] = c->streams[i];
    return st_pg_array(&c->turn, names, n);
}

/* Tries what is due again, and finds out when the next is. */
static int retry_due(struct consumer *c, bool *ret_busy)
{
    struct st_rows *rows;
    const char *streams = attached_streams(c);
    int64_t until = st_mono() + RETRY_SLICE_US;
    int r, n;
    do { /* each that succeeds makes the next of its aggregate due */
        r = st_pg_query(c->w.pg, &c->page, "select * from parked_due($1, $2)",
                        ST_PARAMS(streams, st_i64(&c->page, RETRIES)), &rows);
        n = r == 0 ? st_rows_count(rows) : 0;
        for (int i = 0, end; r == 0 && i < n && !atomic_load(&c->run->stopping); i = end) {
            for (end = i; end < n && st_streq(st_cell(rows, end, 1), st_cell(rows, i, 1)); end++)
                continue;
            *ret_busy = true;
            r = retry_stream(c, rows, i, end);
            st_arena_reset(&c->w.arena);
        }
        st_arena_reset(&c->page);
    } while (r == 0 && n > 0 && st_mono() < until && !atomic_load(&c->run->stopping));
    if (r == 0)
        r = st_pg_query(c->w.pg, &c->turn,
                        "select ceil(extract(epoch from min(run_at) - clock_timestamp()) * 1000)::bigint "
                        "from parked_events where state = 'waiting' and run_at < 'infinity' "
                        "and stream = any ($1::text[])",
                        ST_PARAMS(streams), &rows);
    if (r < 0)
        return r;
    c->next_retry = st_mono() + SLOW_POLL_US;
    if (st_cell(rows, 0, 0))
        due_in(c, st_cell_int(rows, 0, 0));
    return 0;
}

/* --- what was delivered --- */

/* Events of one part go to those that are tried one by one. */
static int set_aside(struct consumer *c, size_t part, struct incoming *const *list, size_t n)
{
    enum { MS, N, ID, AGGREGATE, TYPE, CORRELATION, ENVELOPE, COLUMNS };
    struct st_rows *rows;
    struct st_arena *a = &c->page;
    const char **columns[COLUMNS], *arrays[COLUMNS];
    if (!c->parts[part].attached || atomic_load(&c->run->stopping))
        return 0;
    for (int k = 0; k < COLUMNS; k++)
        columns[k] = st_new_n(a, const char *, n);
    for (size_t i = 0; i < n; i++) {
        columns[MS][i] = st_i64(a, list[i]->from->id.batch);
        columns[N][i] = st_i64(a, list[i]->from->id.n);
        columns[ID][i] = list[i]->event.id;
        columns[AGGREGATE][i] = list[i]->event.aggregate_id;
        columns[TYPE][i] = list[i]->event.type;
        columns[CORRELATION][i] = list[i]->correlation_id;
        columns[ENVELOPE][i] = list[i]->envelope;
    }
    for (int k = 0; k < COLUMNS; k++)
        arrays[k] = st_pg_array(a, columns[k], n);
    int r = st_pg_query(c->w.pg, a, "select events_set_aside($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                        ST_PARAMS(c->streams[part], c->fences[part], arrays[MS], arrays[N], arrays[ID],
                                  arrays[AGGREGATE], arrays[TYPE], arrays[CORRELATION], arrays[ENVELOPE]),
                        &rows);
    c->next_retry = 0;
    return parked(c, part, r, rows);
}

/* Nothing may be acknowledged that a crash could still forget. */
static int make_durable(struct consumer *c)
{
    struct st_rows *rows;
    if (!c->undurable)
        return 0;
    int r =
        st_pg_query(c->w.pg, &c->turn, "select pg_logical_emit_message(true, 'storytelling', '')", ST_PARAMS(), &rows);
    if (r == 0)
        c->undurable = false;
    return r;
}

/* Handles what one part has delivered, and acknowledges it when all of that is done. */
static int handle_part(struct consumer *c, const struct st_bus_delivery *list, size_t n)
{
    size_t part = list->part, n_events = 0;
    if (st_bus_id_cmp(list->id, c->suspects_end[part]) > 0)
        c->suspects[part] = 0;
    struct incoming *all = st_new_n(&c->page, struct incoming, n), **events = st_new_n(&c->page, struct incoming *, n);
    int r = 0;
    c->careful = false;
    for (size_t i = 0; i < n; i++) {
        read_envelope(c, list[i].text, list[i].len, &all[i]);
        all[i].from = &list[i];
        if (all[i].verdict != SKIP)
            events[n_events++] = &all[i];
    }
    for (size_t i = 0, size; r == 0 && i < n_events; i += size) {
        for (size = 0; size < (size_t)c->batch && i + size < n_events && events[i + size]->verdict == HANDLE; size++)
            continue;
        if (size > 0 && c->suspects[part])
            r = set_aside(c, part, events + i, size);
        else if (size > 0)
            r = handle_batch(c, part, events + i, size, i + size == n_events);
        else if (size++, c->parts[part].attached && !atomic_load(&c->run->stopping))
            r = bury(c, part, events[i]);
    }
    bool all_done = r == 0 && c->parts[part].attached && !atomic_load(&c->run->stopping);
    if (all_done)
        r = make_durable(c);
    if (all_done && r == 0)
        r = bus_said(c, c->bus->ops->ack(c->bus, &c->turn, c->group, &c->parts[part], list[n - 1].id, n));
    if (!all_done || r < 0)
        detach(c, part);
    else
        c->suspects[part] -= c->suspects[part] < n ? c->suspects[part] : n;
    st_arena_reset(&c->w.arena);
    st_arena_reset(&c->page);
    return r;
}

static int handle_all(struct consumer *c, const struct st_bus_delivery *list, size_t n)
{
    int r = 0;
    for (size_t start = 0, end; start < n; start = end) {
        for (end = start; end < n && list[end].part == list[start].part; end++)
            continue;
        if (r == 0)
            r = handle_part(c, list + start, end - start);
        else
            detach(c, list[start].part); /* not handled: it must be delivered again */
    }
    return r;
}

/* --- a turn --- */

/* More at once while there is a backlog, as long as it fits. */
static void adapt(struct consumer *c, const struct st_bus_delivery *list, size_t n)
{
    size_t bytes = 0, run = 0, longest = 0;
    for (size_t i = 0; i < n; i++) {
        bytes += list[i].len;
        run = i && list[i].part == list[i - 1].part ? run + 1 : 1;
        longest = run > longest ? run : longest;
    }
    bool behind = longest >= (size_t)c->deliveries;
    st_pace(&c->pace, "consumer", (int64_t)n, behind);
    if (!behind) {
        c->deliveries = DELIVERIES;
        return;
    }
    c->deliveries = c->deliveries * 2 < DELIVERIES_MAX ? c->deliveries * 2 : DELIVERIES_MAX;
    while (c->deliveries > DELIVERIES && bytes / n * (size_t)c->deliveries * c->n_parts > POLL_BYTES)
        c->deliveries /= 2;
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
    r = bus_said(
        c, c->bus->ops->poll(c->bus, &c->turn, c->group, c->holder, c->parts, c->n_parts, c->deliveries, &list, &n));
    if (r < 0)
        return r;
    drop_lost(c);
    *ret_busy = n > 0;
    r = handle_all(c, list, n);
    adapt(c, list, n);
    /* A ring without news may be the operator's, who has made a parked event due. */
    bool rung = n == 0 && !c->busy;
    c->busy = n > 0;
    if (r == 0 && (rung || st_mono() >= c->next_retry))
        r = retry_due(c, ret_busy);
    return r;
}

/* --- the loop --- */

/* All partitions of the services that publish what we subscribe to. */
static void add_parts(struct consumer *c, const char *service)
{
    for (size_t i = 0; i < c->n_parts; i++)
        if (st_streq(c->parts[i].service, service))
            return;
    for (int p = 0; p < ST_BUS_PARTITIONS; p++) {
        c->parts[c->n_parts] = (struct st_bus_part){.service = service, .partition = p};
        c->streams[c->n_parts++] = st_printf(&c->parts_arena, "%s:%d", service, p);
    }
}

static void find_parts(struct consumer *c)
{
    const struct st_run *run = c->run;
    struct st_arena *a = &c->parts_arena;
    size_t max = (size_t)run->n_types * ST_BUS_PARTITIONS;
    for (const char *const *s = run->services; s && *s; s++)
        max += ST_BUS_PARTITIONS;
    for (const struct st_subscription *s = run->service->subscriptions; s && s->type; s++)
        if (!st_streq(s->type, "*") && !st_run_event_type(run, s->type))
            st_log(ST_LOG_ERROR, "Subscription to an event type that is not in the registry", ST_S("type", s->type));
    c->parts = st_new_n(a, struct st_bus_part, max);
    c->streams = st_new_n(a, const char *, max);
    c->fences = st_alloc_array(a, max, sizeof(*c->fences));
    c->suspects = st_new_n(a, size_t, max);
    c->suspects_end = st_new_n(a, struct st_bus_id, max);
    for (int t = 0; t < run->n_types; t++) {
        if (!st_run_subscription(run, run->types[t].type))
            continue;
        if (!st_streq(run->types[t].service, "*"))
            add_parts(c, run->types[t].service);
        else /* any service publishes it */
            for (const char *const *s = run->services; s && *s; s++)
                add_parts(c, *s);
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
        st_pg_set_patience(c.w.pg, PATIENCE_MS);
        c.bus = st_bus_open();
        st_uuid(c.holder);
        int64_t most = st_option_int("event_batch");
        c.most = most < 1 ? 1 : most > DELIVERIES_MAX ? DELIVERIES_MAX : (int)most;
        c.batch = c.most < DELIVERIES ? c.most : DELIVERIES;
        c.deliveries = DELIVERIES;
        consume(&c);
        let_go(&c);
        (void)c.bus->ops->release(c.bus, &c.turn, c.group, c.holder, c.parts, c.n_parts); /* else they expire */
        c.bus = st_bus_free(c.bus);
        st_worker_release(&c.w);
        st_arena_release(&c.page);
        st_arena_release(&c.turn);
    }
    st_arena_release(&c.parts_arena);
    return NULL;
}
