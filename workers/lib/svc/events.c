/* The event registry, and writing events to the log. */
#include "svc/call.h"

#include <dirent.h>

enum { TYPES_MAX = 500, PAYLOAD_MAX = 1024 * 1024 /* what is larger belongs into the object store */ };

static int by_type(const void *a, const void *b)
{
    return strcmp(((const struct st_event_type *)a)->type, ((const struct st_event_type *)b)->type);
}

static int load_type(struct st_arena *a, const char *path, struct st_event_type *ret, const char **ret_why)
{
    json_t *file;
    const char *pointer = "", *why = NULL;
    int r = st_json_load(a, path, &file, ret_why);
    if (r < 0)
        return r;
    *ret = (struct st_event_type){
        .type = st_json_str(file, "title", NULL),
        .topic = st_json_str(file, "x-topic", NULL),
        .service = st_json_str(file, "x-service", NULL),
        .aggregate_type = st_json_str(file, "x-aggregate", NULL),
        .version = st_json_str(file, "x-version", NULL),
        .audit = st_streq(st_json_str(file, "x-retention", ""), "audit"),
    };
    if (!ret->type || !ret->topic || !ret->service || !ret->aggregate_type || !ret->version) {
        *ret_why = st_printf(a, "%s: title, x-topic, x-service, x-aggregate and x-version are required", path);
        return ST_E_INVALID;
    }
    r = st_schema_compile(a, file, "", &ret->payload, &pointer, &why);
    if (r < 0)
        *ret_why = st_printf(a, "%s#%s: %s", path, pointer, why);
    return r;
}

int st_registry_load(struct st_arena *a, const char *dir, const struct st_event_type **ret, int *ret_n,
                     const char **ret_why)
{
    struct st_event_type *types = st_new_n(a, struct st_event_type, TYPES_MAX);
    int n = 0, r = 0;
    DIR *d = opendir(dir);
    if (!d) {
        *ret_why = st_printf(a, "cannot open %s: %m", dir);
        return ST_E_INVALID;
    }
    for (struct dirent *e; r == 0 && (e = readdir(d));) {
        if (!st_ends(e->d_name, ".json"))
            continue;
        if (n == TYPES_MAX) {
            *ret_why = st_printf(a, "%s: more than %d event types", dir, TYPES_MAX);
            r = ST_E_INVALID;
            break;
        }
        r = load_type(a, st_printf(a, "%s/%s", dir, e->d_name), &types[n++], ret_why);
    }
    closedir(d);
    if (r < 0)
        return r;
    qsort(types, (size_t)n, sizeof(*types), by_type);
    for (int i = 1; i < n; i++)
        if (st_streq(types[i].type, types[i - 1].type)) {
            *ret_why = st_printf(a, "%s: two files are titled %s", dir, types[i].type);
            return ST_E_INVALID;
        }
    *ret = types;
    *ret_n = n;
    return 0;
}

const struct st_event_type *st_run_event_type(const struct st_run *run, const char *type)
{
    const struct st_event_type key = {.type = type};
    return bsearch(&key, run->types, (size_t)run->n_types, sizeof(key), by_type);
}

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
    const char *text = st_json_text(call->arena, payload);
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
            t->aggregate_type, aggregate_id, st_new_id(call->arena), type, t->version,
            st_json_text(call->arena, st_call_metadata(call)), text);
    st_call_top(call)->emitted = true;
    st_count(ST_N_EMITTED, 1);
}
