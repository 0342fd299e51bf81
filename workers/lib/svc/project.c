/* Projections: state tables as a function of the log. */
#include "svc/call.h"

const struct st_projection *st_run_projection(const struct st_run *run, const char *type)
{
    static const struct st_projection erasing = {"UserDataErased", st_erase_project, false};
    if (st_streq(type, erasing.type))
        return run->service->erasures ? &erasing : NULL;
    for (const struct st_projection *p = run->service->projections; p && p->type; p++)
        if (st_streq(p->type, type))
            return p;
    return NULL;
}

int st_projections_check(const struct st_run *run, const char **ret_why)
{
    for (const struct st_projection *p = run->service->projections; p && p->type; p++) {
        const struct st_event_type *t = st_run_event_type(run, p->type);
        if (t && st_streq(t->service, run->service->name) && st_run_projection(run, p->type) == p)
            continue;
        *ret_why = "a projection is of an event that the registry does not have as this service's, or there are two";
        return ST_E_INVALID;
    }
    return 0;
}

/* What the log gives now and will give again: not what it does not have, nor what the projection does not ask for. */
static json_t *as_read(struct st_call *call, const struct st_projection *p, const struct st_event *event,
                       json_t *payload, const json_t *stored)
{
    const struct st_event_type *t = st_run_event_version(call->p->worker->run, event->type, event->version);
    const char *const *names = t ? t->sensitive : NULL;
    if (!names)
        return payload;
    json_t *body = st_json_keep(call->arena, json_copy(payload));
    for (; *names; names++)
        if (!p->sensitive || !json_object_get(stored, *names))
            json_object_del(body, *names);
    return body;
}

int st_project(struct st_call *call, const struct st_event *event, json_t *payload, const json_t *stored)
{
    const struct st_projection *p = st_run_projection(call->p->worker->run, event->type);
    if (!p)
        return 0;
    /* A call of its own, so that it can know nothing but the event; transaction, errors and memory are the caller's. */
    struct st_call projection = {
        .arena = call->arena,
        .name = event->type,
        .correlation_id = call->correlation_id,
        .causation_id = "",
        .traceparent = "",
        .user_id = "",
        .session_id = "",
        .roles = "",
        .tier = "",
        .address = "",
        .body = as_read(call, p, event, payload, stored),
        .event = event,
        .p = call->p,
    };
    struct st_call_private *top = st_call_top(call);
    bool enqueued = top->enqueued;
    top->enqueued = false;
    call->p->projects = true;
    int r = p->handler(&projection);
    call->p->projects = false;
    if (top->enqueued)
        r = st_fail(call, ST_E_INTERNAL, "the projection of %s adds a job; only handlers may", event->type);
    top->enqueued |= enqueued;
    return r;
}
