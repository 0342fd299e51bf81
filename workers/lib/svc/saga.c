/*
 * Sagas: a row that moves along a table of steps, forward to the end or back to the start.
 *
 * The row moves in the transaction of what moved it: the job `saga` runs the next action or compensation; an event that
 * answers, or the job `saga_deadline`, only moves the row and adds the next job. Whoever moves it has locked it and
 * looks first whether it still stands where it is thought to be, so duplicates and what comes too late change nothing.
 */
#include "svc/call.h"

enum {
    ATTEMPTS = 6,
    JOB_TIMEOUT_S = 60,
    DEADLINE_ATTEMPTS = 12,
    CONCURRENCY = 4,
    KEPT_DAYS = 30, /* after the end */
    HOUSE_EVERY_S = 3600
};

static const char at_end[] = "";

/* A row that is locked by this transaction. */
struct row {
    struct st_saga_run pub;
    const struct st_saga *saga; /* NULL when this version of the service does not have it */
    int step;                   /* index; the number of steps at the end forward, -1 at the end backward; -2 unknown */
    int n_steps;
    const char *state;
    bool waiting;
    int64_t left_ms; /* until the deadline; INT64_MAX without one */
    json_t *data, *metadata;
};

static const struct st_saga *find_saga(const struct st_call *call, const char *name)
{
    for (const struct st_saga *s = call->p->worker->run->service->sagas; s && s->name; s++)
        if (st_streq(s->name, name))
            return s;
    return NULL;
}

static const struct st_saga_step *step_of(const struct row *row)
{
    return row->saga && row->step >= 0 && row->step < row->n_steps ? &row->saga->steps[row->step] : NULL;
}

static bool is_open(const struct row *row)
{
    return st_streq(row->state, "running") || st_streq(row->state, "compensating");
}

/* Where the saga stands in the table of this version. */
static void locate(struct row *row)
{
    const struct st_saga_step *steps = row->saga ? row->saga->steps : NULL;
    row->step = -2;
    row->n_steps = 0;
    for (; steps && steps[row->n_steps].name; row->n_steps++)
        if (st_streq(steps[row->n_steps].name, row->pub.step))
            row->step = row->n_steps;
    if (row->saga && !*row->pub.step)
        row->step = row->pub.backward ? -1 : row->n_steps;
}

/* Locks the row. ST_E_NOT_FOUND. */
static int load(struct st_call *call, const char *id, struct row *ret)
{
    json_t *j;
    int r = st_row(call, &j,
                   "select saga_id, name, key, state, step, backward, waiting, error, data, metadata, "
                   "ceil(extract(epoch from deadline - clock_timestamp()) * 1000)::bigint as left_ms "
                   "from sagas where saga_id = $1 for update",
                   id);
    if (r < 0)
        return r;
    const json_t *left = json_object_get(j, "left_ms");
    *ret = (struct row){
        .pub = {.id = st_str(j, "saga_id"),
                .name = st_str(j, "name"),
                .key = st_str(j, "key"),
                .step = st_str(j, "step"),
                .backward = st_json_bool(j, "backward", false),
                .error = st_str(j, "error")},
        .state = st_str(j, "state"),
        .waiting = st_json_bool(j, "waiting", false),
        .left_ms = json_is_integer(left) ? json_integer_value(left) : INT64_MAX,
        .data = json_object_get(j, "data"),
        .metadata = json_object_get(j, "metadata"),
        .saga = find_saga(call, st_str(j, "name")),
    };
    locate(ret);
    return 0;
}

/* --- moves --- */

static json_t *about(const struct row *row)
{
    return json_pack("{s:s, s:s, s:b}", "sagaId", row->pub.id, "step", row->pub.step, "backward", row->pub.backward);
}

static void add_deadline(struct st_call *call, const struct row *row, int64_t ms)
{
    const char *key = st_printf(call->arena, "%s:%s:%c", row->pub.id, row->pub.step, row->pub.backward ? 'b' : 'f');
    st_enqueue(call, "saga_deadline", key, ms, about(row));
}

/* The one mover: to row->state, step, direction and waiting as they are set now; what comes next is added as a job. */
static int move(struct st_call *call, struct row *row, const char *did, const char *did_step, const char *error)
{
    const struct st_saga_step *step = step_of(row);
    bool ends = st_streq(row->state, "done") || st_streq(row->state, "compensated");
    const char *seconds = step && is_open(row) ? st_i64(call->arena, step->deadline_s) : NULL;
    row->pub.step = step ? step->name : row->step == -2 ? row->pub.step : at_end;
    int r =
        st_exec_one(call, ST_E_INTERNAL,
                    "update sagas set state = $2, step = $3, backward = $4, waiting = $5, "
                    "deadline = clock_timestamp() + $6::bigint * interval '1 second', error = coalesce($7, error), "
                    "history = history || saga_did($8, $9, $7), finished_at = case when $10 then clock_timestamp() end "
                    "where saga_id = $1",
                    row->pub.id, row->state, row->pub.step, row->pub.backward ? "t" : "f", row->waiting ? "t" : "f",
                    seconds, error, did_step, did, ends ? "t" : "f");
    if (r < 0 || !is_open(row))
        return r;
    if (row->waiting)
        add_deadline(call, row, (int64_t)step->deadline_s * 1000);
    else
        st_enqueue(call, "saga", row->pub.id, 0, json_pack("{s:s}", "sagaId", row->pub.id));
    return 0;
}

static int forward_to(struct st_call *call, struct row *row, int step, const char *did)
{
    const char *was = row->pub.step;
    row->state = "running";
    row->pub.backward = row->waiting = false;
    row->step = step;
    return move(call, row, did, was, NULL);
}

/* To the compensation of `step`, or of the last one before it that has any; then to the end. */
static int back_to(struct st_call *call, struct row *row, int step, const char *did, const char *error)
{
    const char *was = row->pub.step;
    while (step >= 0 && !row->saga->steps[step].compensation)
        step--;
    row->state = "compensating";
    row->pub.backward = true;
    row->waiting = false;
    row->step = step;
    return move(call, row, did, was, error);
}

static int wait_for_answer(struct st_call *call, struct row *row, const char *did)
{
    row->waiting = true;
    return move(call, row, did, row->pub.step, NULL);
}

/* Said before the commit: when that fails, it comes here again, and is said again. */
static int park(struct st_call *call, struct row *row, const char *error)
{
    row->state = "parked";
    st_log(ST_LOG_ERROR, "Saga is parked", ST_S("saga", row->pub.name), ST_S("sagaId", row->pub.id),
           ST_S("step", row->pub.step), ST_S("direction", row->pub.backward ? "backward" : "forward"),
           ST_S("error", error));
    st_count(ST_N_SAGAS_PARKED, 1);
    return move(call, row, "parked", row->pub.step, error);
}

static bool behind_pivot(const struct row *row)
{
    for (int i = 0; i < row->step; i++)
        if (row->saga->steps[i].pivot)
            return true;
    return false;
}

/* The step can't be done; it is known not to have happened (from: the step before it), or it is not (from: itself). */
static int give_up(struct st_call *call, struct row *row, int from, const char *did, const char *error)
{
    if (row->pub.backward || row->step == row->n_steps || behind_pivot(row))
        return park(call, row, error);
    return back_to(call, row, from, did, error);
}

/* --- running a step --- */

static int end(struct st_call *call, struct row *row)
{
    row->state = row->pub.backward ? "compensated" : "done";
    st_count(row->pub.backward ? ST_N_SAGAS_COMPENSATED : ST_N_SAGAS_DONE, 1);
    return move(call, row, row->state, at_end, NULL);
}

/* Who it works for, and with what, is what it was when the saga began. */
static int run_handler(struct st_call *call, const struct row *row, st_handler *handler)
{
    const struct st_call outer = *call;
    if (!handler)
        return 0;
    call->saga = &row->pub;
    call->body = row->data;
    call->correlation_id = st_json_str(row->metadata, "correlationId", call->correlation_id);
    call->user_id = st_json_str(row->metadata, "userId", "");
    int r = handler(call);
    *call = outer;
    return r < 0 ? r : call->p->error;
}

/* What is due, with the move that follows from it. */
static int run_step(struct st_call *call, struct row *row)
{
    const struct st_saga_step *step = step_of(row);
    st_handler *handler = !step ? row->saga->ended : row->pub.backward ? step->compensation : step->action;
    int r = run_handler(call, row, handler);
    if (r < 0)
        return r;
    if (!step)
        return end(call, row);
    if (row->pub.backward)
        return step->undone ? wait_for_answer(call, row, "compensation asked for")
                            : back_to(call, row, row->step - 1, "compensated", NULL);
    return step->done ? wait_for_answer(call, row, "asked for") : forward_to(call, row, row->step + 1, "done");
}

/* What the operator has sent on: the answer is waited for once more. */
static void wait_again(struct st_call *call, const struct row *row)
{
    const struct st_saga_step *step = step_of(row);
    if (!step || row->left_ms != INT64_MAX)
        return;
    st_exec(call, "update sagas set deadline = clock_timestamp() + $2::bigint * interval '1 second' where saga_id = $1",
            row->pub.id, st_i64(call->arena, step->deadline_s));
    add_deadline(call, row, (int64_t)step->deadline_s * 1000);
}

static bool worth_another_try(const struct st_call *call, const struct row *row, int err)
{
    bool verdict = st_err_status(err) < 500 && err != ST_E_LIMITED && err != ST_E_UNIQUE;
    return !verdict && call->job->attempt < ATTEMPTS && row->left_ms > 0;
}

/* The handler gave an error: what it did is undone; in a transaction of its own the saga turns back, or is parked. */
static int step_failed(struct st_call *call, const struct row *old, int err)
{
    if (err == ST_E_RETRY || err == ST_E_FENCED || err == ST_E_CANCELLED || worth_another_try(call, old, err))
        return err;
    const char *error = st_strdup(call->arena, st_call_error(call, err));
    struct row row;
    st_call_reset(call);
    int r = load(call, old->pub.id, &row);
    if (r < 0 || row.step != old->step || row.pub.backward != old->pub.backward || row.waiting || !is_open(&row))
        return r == ST_E_NOT_FOUND ? 0 : r;
    return give_up(call, &row, row.step - 1, "failed", error);
}

/* The job `saga`. */
static int run_saga(struct st_call *call)
{
    struct row row;
    int r = load(call, st_str(call->body, "sagaId"), &row);
    if (r < 0 || !is_open(&row))
        return r == ST_E_NOT_FOUND ? 0 : r;
    if (row.step == -2)
        return park(call, &row, "this version of the service has no such saga, or no such step of it");
    if (row.waiting) {
        wait_again(call, &row);
        return 0;
    }
    r = run_step(call, &row);
    return r < 0 ? step_failed(call, &row, r) : 0;
}

/* The job is given up: it has crashed the process, or could not even write down that it failed. */
static int run_failed(struct st_call *call)
{
    struct row row;
    int r = load(call, st_str(call->body, "sagaId"), &row);
    if (r < 0 || !is_open(&row) || row.waiting || row.step == -2)
        return r == ST_E_NOT_FOUND ? 0 : r;
    return give_up(call, &row, row.step - 1, "failed", "its job was given up; see the dead letters");
}

/* The job `saga_deadline`. */
static int deadline(struct st_call *call)
{
    struct row row;
    int r = load(call, st_str(call->body, "sagaId"), &row);
    if (r < 0 || !is_open(&row) || !row.waiting || row.left_ms == INT64_MAX || row.step == -2 ||
        !st_streq(row.pub.step, st_str(call->body, "step")) ||
        row.pub.backward != st_json_bool(call->body, "backward", false))
        return r == ST_E_NOT_FOUND ? 0 : r;
    if (row.left_ms > 0) {
        add_deadline(call, &row, row.left_ms);
        return 0;
    }
    const struct st_saga_step *step = step_of(&row);
    const char *error = st_printf(call->arena, "%s: no answer within %d s", step->name, step->deadline_s);
    return step->pivot ? park(call, &row, error) : give_up(call, &row, row.step, "not answered", error);
}

/* --- answers --- */

static int answered(struct st_call *call, struct row *row)
{
    const struct st_saga_step *step = step_of(row);
    const char *type = call->event->type;
    if (!row->waiting || !step)
        return 0;
    if (row->pub.backward)
        return step->undone && st_streq(type, step->undone) ? back_to(call, row, row->step - 1, "compensated", NULL)
                                                            : 0;
    if (step->done && st_streq(type, step->done))
        return forward_to(call, row, row->step + 1, "done");
    if (!step->failed || !st_streq(type, step->failed))
        return 0;
    row->waiting = false;
    return give_up(call, row, row->step - 1, "failed", st_json_str(call->body, "reason", type));
}

static int on_answer(struct st_call *call);

/* The service's own subscription to a type, else that to "*", else NULL. */
static const struct st_subscription *own_subscription(const struct st_service *service, const char *type)
{
    const struct st_subscription *any = NULL;
    for (const struct st_subscription *s = service->subscriptions; s && s->type; s++) {
        if (s->handler != on_answer && st_streq(s->type, type))
            return s;
        if (st_streq(s->type, "*"))
            any = s;
    }
    return any;
}

/* An event that answers, and may answer another service's saga; then the service's own handler of it. */
static int on_answer(struct st_call *call)
{
    struct row row;
    const char *id = st_str(call->body, "sagaId");
    int r = id && st_is_uuid(id) ? load(call, id, &row) : ST_E_NOT_FOUND;
    if (r == 0)
        r = answered(call, &row);
    if (r < 0 && r != ST_E_NOT_FOUND)
        return r;
    const struct st_subscription *own = own_subscription(call->p->worker->run->service, call->event->type);
    return own ? own->handler(call) : 0;
}

int st_saga_settle(struct st_call *call, const char *saga_id, const char *step)
{
    struct row row;
    int r = load(call, saga_id, &row);
    if (r < 0)
        return r == ST_E_NOT_FOUND ? 0 : r;
    if (row.pub.backward)
        return ST_E_CONFLICT;
    return row.waiting && st_streq(row.pub.step, step) ? forward_to(call, &row, row.step + 1, "done") : 0;
}

/* --- start --- */

int st_saga_start(struct st_call *call, const char *name, const char *key, json_t *data, const char **ret_id)
{
    const struct st_saga *saga = find_saga(call, name);
    struct row row = {.saga = saga, .state = "running", .data = st_json_keep(call->arena, data)};
    struct st_rows *rows;
    if (!saga)
        return st_fail(call, ST_E_INTERNAL, "%s is not a saga of %s", name, call->p->worker->run->service->name);
    row.pub = (struct st_saga_run){
        .id = st_new_id(call->arena), .name = saga->name, .key = key, .step = saga->steps[0].name, .asked = call->body};
    row.metadata = st_call_metadata(call);
    locate(&row);
    int r = st_rows(call, &rows,
                    "with n as (insert into sagas (saga_id, name, key, step, data, metadata) values ($1, $2, $3, $4, "
                    "$5, $6) on conflict (name, key) do nothing returning saga_id) "
                    "select saga_id from n union all select saga_id from sagas where name = $2 and key = $3",
                    row.pub.id, name, key, row.pub.step, st_json_text(call->arena, row.data),
                    st_json_text(call->arena, row.metadata));
    if (r < 0)
        return r;
    if (st_rows_count(rows) == 0)
        return ST_E_RETRY; /* another transaction has just started it */
    *ret_id = st_cell(rows, 0, 0);
    return st_streq(*ret_id, row.pub.id) ? run_step(call, &row) : 0;
}

/* --- what makes it live --- */

/* Finished ones are forgotten in time. */
static int forget_sagas(struct st_call *call)
{
    st_exec(call, "delete from sagas where finished_at < now() - $1::int * interval '1 day'",
            st_i64(call->arena, KEPT_DAYS));
    return 0;
}

/* One list behind the other; each ends with an all-zero entry, whose first member is NULL. */
static const void *join(struct st_arena *a, const void *first, const void *second, size_t size)
{
    const void *lists[] = {first, second};
    size_t n[2] = {0, 0};
    for (int i = 0; i < 2; i++)
        while (lists[i] && *(const char *const *)((const char *)lists[i] + n[i] * size))
            n[i]++;
    char *all = st_alloc_array(a, n[0] + n[1] + 1, size);
    memset(all, 0, (n[0] + n[1] + 1) * size);
    for (int i = 0; i < 2; i++)
        if (n[i])
            memcpy(all + (i ? n[0] : 0) * size, lists[i], n[i] * size);
    return all;
}

/* A subscription for each type of event that answers; it passes the event on to the service's own, if there is one. */
static const struct st_subscription *answers(struct st_arena *a, const struct st_service *service)
{
    enum { OF_A_STEP = 3 };
    size_t n = 0;
    for (const struct st_saga *g = service->sagas; g->name; g++)
        for (const struct st_saga_step *s = g->steps; s->name; s++)
            n += OF_A_STEP;
    struct st_subscription *list = st_new_n(a, struct st_subscription, n + 1), *end_of_list = list;
    for (const struct st_saga *g = service->sagas; g->name; g++)
        for (const struct st_saga_step *s = g->steps; s->name; s++) {
            const char *const types[OF_A_STEP] = {s->done, s->failed, s->undone};
            for (int i = 0; i < OF_A_STEP; i++) {
                const struct st_subscription *own = types[i] ? own_subscription(service, types[i]) : NULL;
                if (types[i])
                    *end_of_list++ = (struct st_subscription){
                        .type = types[i], .handler = on_answer, .sensitive = own && own->sensitive};
            }
        }
    return list;
}

const struct st_service *st_sagas_join(struct st_arena *a, const struct st_service *service)
{
    static const struct st_job_kind jobs[] = {
        {.name = "saga",
         .handler = run_saga,
         .concurrency = CONCURRENCY,
         .timeout_s = JOB_TIMEOUT_S,
         .attempts = ATTEMPTS,
         .failed = run_failed},
        {.name = "saga_deadline",
         .handler = deadline,
         .concurrency = 1,
         .timeout_s = JOB_TIMEOUT_S,
         .attempts = DEADLINE_ATTEMPTS,
         .failed = deadline},
        {0},
    };
    static const struct st_schedule schedules[] = {
        {.name = "forget_sagas", .every_s = HOUSE_EVERY_S, .handler = forget_sagas},
        {0},
    };
    if (!service->sagas)
        return service;
    struct st_service *all = st_new(a, struct st_service);
    *all = *service;
    all->jobs = join(a, jobs, service->jobs, sizeof(*jobs));
    all->schedules = join(a, schedules, service->schedules, sizeof(*schedules));
    all->subscriptions = join(a, answers(a, service), service->subscriptions, sizeof(*service->subscriptions));
    return all;
}

/* Does an event of this type answer a step before? Then a second delivery of it could pass for this one's. */
static bool answers_before(const struct st_saga *g, const struct st_saga_step *s, const char *type)
{
    for (const struct st_saga_step *other = g->steps; other != s; other++)
        if (st_streq(other->done, type) || st_streq(other->failed, type) || st_streq(other->undone, type))
            return true;
    return st_streq(type, s->done) && (st_streq(type, s->failed) || st_streq(type, s->undone));
}

static const char *check_step(struct st_run *run, const struct st_saga *g, const struct st_saga_step *s)
{
    const char *const types[] = {s->done, s->failed, s->undone};
    for (const struct st_saga_step *other = g->steps; other != s; other++)
        if (st_streq(other->name, s->name))
            return "there is another step of that name";
    for (size_t i = 0; i < ST_COUNT(types); i++)
        if (types[i] && !st_run_event_type(run, types[i]))
            return st_printf(&run->arena, "%s is not in the registry", types[i]);
    for (size_t i = 0; i < ST_COUNT(types); i++)
        if (types[i] && answers_before(g, s, types[i]))
            return st_printf(&run->arena, "%s is an answer already", types[i]);
    if (!s->action || s->deadline_s <= 0)
        return "a step needs an action and a deadline";
    if ((s->failed || s->pivot) && !s->done)
        return "what waits for no answer can neither fail by one nor be a pivot";
    return s->undone && !s->compensation ? "there is an answer to a compensation, but none" : NULL;
}

int st_sagas_check(struct st_run *run, const char **ret_why)
{
    for (const struct st_saga *g = run->service->sagas; g && g->name; g++)
        for (const struct st_saga_step *s = g->steps; s->name; s++) {
            const char *why = check_step(run, g, s);
            if (why) {
                *ret_why = st_printf(&run->arena, "saga %s, step %s: %s", g->name, s->name, why);
                return ST_E_INVALID;
            }
        }
    return 0;
}
