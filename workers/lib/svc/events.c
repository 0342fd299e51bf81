/* Writing events to the log. */
#include "svc/secret.h"

enum { PAYLOAD_MAX = 1024 * 1024 /* what is larger belongs into the object store */ };

json_t *st_call_metadata(struct st_call *call)
{
    json_t *m = json_pack("{s:s}", "correlationId", call->correlation_id);
    if (*call->user_id)
        json_object_set_new(m, "userId", json_string(call->user_id));
    if (*call->causation_id)
        json_object_set_new(m, "causationId", json_string(call->causation_id));
    if (*call->traceparent)
        json_object_set_new(m, "traceparent", json_string(call->traceparent));
    return st_json_keep(call->arena, m);
}

void st_emit(struct st_call *call, const char *type, const char *aggregate_id, json_t *payload)
{
    const struct st_run *run = call->p->worker->run;
    const struct st_event_type *t = st_run_event_type(run, type);
    struct st_schema_errors errors = {.count = 0};
    st_json_keep(call->arena, payload);
    if (call->p->projects) {
        st_call_doom(call, st_fail(call, ST_E_INTERNAL, "a projection emits %s; only handlers may", type));
        return;
    }
    if (!t || (!st_streq(t->service, run->service->name) && !st_streq(t->service, "*"))) {
        st_call_doom(
            call, st_fail(call, ST_E_INTERNAL, "%s is not an event of %s in the registry", type, run->service->name));
        return;
    }
    if (st_schema_check(t->payload, payload, call->arena, &errors) < 0) {
        st_call_doom(call, st_fail(call, ST_E_INTERNAL, "%s is rejected by its schema: %s %s", type,
                                   errors.list[0].pointer, errors.list[0].message));
        return;
    }
    const char *id = st_new_id(call->arena);
    const json_t *sealed = st_secret_seal(call, t, id, payload);
    if (!sealed)
        return;
    const char *text = st_json_text(call->arena, sealed);
    if (strlen(text) > PAYLOAD_MAX) {
        st_call_doom(call, st_fail(call, ST_E_INTERNAL, "%s is larger than %d bytes", type, PAYLOAD_MAX));
        return;
    }
    /* The upsert locks the aggregate before the event draws its seq: see backbone of the relay. */
    st_exec(call,
            "with a as (insert into aggregates (aggregate_type, aggregate_id, version) values ($1, $2, 1) "
            "on conflict (aggregate_type, aggregate_id) do update set version = aggregates.version + 1 "
            "returning version) "
            "insert into events (event_id, event_type, aggregate_type, aggregate_id, aggregate_version, version, "
            "metadata, payload) select $3::uuid, $4, $1, $2, a.version, $5, $6::jsonb, $7::jsonb from a",
            t->aggregate_type, aggregate_id, id, type, t->version, st_json_text(call->arena, st_call_metadata(call)),
            text);
    st_call_top(call)->emitted = true;
    st_count(ST_N_EMITTED, 1);
    const struct st_event event = {.id = id,
                                   .type = type,
                                   .topic = t->topic,
                                   .aggregate_type = t->aggregate_type,
                                   .aggregate_id = aggregate_id,
                                   .timestamp = "",
                                   .version = t->version,
                                   .user_id = call->user_id};
    int r = st_project(call, &event, payload, sealed);
    if (r < 0)
        st_call_doom(call, r);
}
