/* CloudEvents 1.0. */
#include "svc/cloud_event.h"

static const char type_prefix[] = "storytelling.", source_prefix[] = "/storytelling/";

/* Members that change their name only, and metadata. */
static const struct {
    const char *here, *there;
} plain[] = {{"eventId", "id"}, {"timestamp", "time"}, {"version", "eventversion"}},
  metadata[] = {{"userId", "userid"},
                {"correlationId", "correlationid"},
                {"causationId", "causationid"},
                {"traceparent", "traceparent"}};

json_t *st_cloud_event(struct st_arena *a, const json_t *envelope, const char *service, const char *schema)
{
    const char *type = st_json_str(envelope, "eventType", NULL);
    const char *aggregate_type = st_json_str(envelope, "aggregateType", NULL);
    const char *aggregate_id = st_json_str(envelope, "aggregateId", NULL);
    json_t *payload = json_object_get(envelope, "payload"), *meta = json_object_get(envelope, "metadata");
    if (!type || !aggregate_type || strchr(aggregate_type, '/') || !aggregate_id || !payload)
        return NULL;
    json_t *ce = st_json_keep(
        a, json_pack("{s:s, s:s, s:s, s:s, s:s}", "specversion", "1.0", "type", st_printf(a, "%s%s", type_prefix, type),
                     "source", st_printf(a, "%s%s", source_prefix, service), "subject",
                     st_printf(a, "%s/%s", aggregate_type, aggregate_id), "datacontenttype", "application/json"));
    for (size_t i = 0; i < ST_COUNT(plain); i++) {
        json_t *value = json_object_get(envelope, plain[i].here);
        if (!json_is_string(value))
            return NULL;
        json_object_set(ce, plain[i].there, value);
    }
    for (size_t i = 0; i < ST_COUNT(metadata); i++)
        if (json_is_string(json_object_get(meta, metadata[i].here)))
            json_object_set(ce, metadata[i].there, json_object_get(meta, metadata[i].here));
    if (schema)
        json_object_set_new(ce, "dataschema", json_string(schema));
    json_object_set(ce, "data", payload);
    return ce;
}

json_t *st_cloud_event_read(struct st_arena *a, const json_t *ce)
{
    const char *type = st_json_str(ce, "type", ""), *subject = st_json_str(ce, "subject", "");
    const char *slash = strchr(subject, '/');
    json_t *data = json_object_get(ce, "data");
    if (!st_streq(st_json_str(ce, "specversion", ""), "1.0") || !st_starts(type, type_prefix) || !slash || !data)
        return NULL;
    json_t *envelope = st_json_keep(a, json_object()), *meta = json_object();
    json_object_set_new(envelope, "metadata", meta);
    for (size_t i = 0; i < ST_COUNT(plain); i++) {
        json_t *value = json_object_get(ce, plain[i].there);
        if (!json_is_string(value))
            return NULL;
        json_object_set(envelope, plain[i].here, value);
    }
    for (size_t i = 0; i < ST_COUNT(metadata); i++)
        if (json_is_string(json_object_get(ce, metadata[i].there)))
            json_object_set(meta, metadata[i].here, json_object_get(ce, metadata[i].there));
    json_object_set_new(envelope, "eventType", json_string(type + sizeof(type_prefix) - 1));
    json_object_set_new(envelope, "aggregateType", json_stringn(subject, (size_t)(slash - subject)));
    json_object_set_new(envelope, "aggregateId", json_string(slash + 1));
    json_object_set(envelope, "payload", data);
    return envelope;
}
