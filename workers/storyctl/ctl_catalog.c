/* storyctl events catalog: the registry, and who consumes what, for people and programs. */
#include "storyctl/ctl_events.h"

#include "base/spawn.h"
#include "svc/run.h"

#include <glob.h>

enum { DESCRIBE_S = 10 };

const char *ctl_registry_dir(struct ctl *c)
{
    const char *dir = ctl_option(c, "--dir");
    return dir ? dir : "config/events";
}

json_t *ctl_registry(struct ctl *c, const char *dir)
{
    const struct st_event_type *types;
    const char *why = "";
    int n;
    if (st_registry_load(c->arena, dir, &types, &n, &why) < 0) {
        ctl_error("%s", why);
        return NULL;
    }
    json_t *list = st_json_keep(c->arena, json_array());
    for (int i = 0; i < n; i++) {
        json_t *schema;
        const char *path = st_printf(c->arena, "%s/%s.v%d.json", dir, types[i].type, types[i].major);
        if (st_json_load(c->arena, path, &schema, &why) < 0) {
            ctl_error("%s", why);
            return NULL;
        }
        json_object_set_new(schema, "x-key", json_string(st_printf(c->arena, "%s.v%d", types[i].type, types[i].major)));
        json_array_append(list, schema);
    }
    return list;
}

/* --- who consumes what --- */

/* Once, though it may take the type by its name and with all others. */
static void add_to(json_t *consumers, const char *type, const char *service)
{
    json_t *services = json_object_get(consumers, type);
    if (!services)
        json_object_set_new(consumers, type, services = json_array());
    const json_t *last = json_array_get(services, json_array_size(services) - 1);
    if (!st_streq(json_string_value(last), service))
        json_array_append_new(services, json_string(service));
}

json_t *ctl_describe(struct ctl *c, const char *path)
{
    struct st_spawn_result out;
    const char *const argv[] = {path, "--describe", NULL}, *why = "";
    json_t *said = NULL;
    int r = st_spawn(c->arena, &(struct st_spawn){.argv = argv, .timeout_us = DESCRIBE_S * ST_SECOND}, &out);
    if (r != 0 || st_json_parse(c->arena, out.out, out.out_len, ST_JSON_DEPTH, &said, &why) < 0) {
        ctl_error("%s --describe: %s", path, r < 0 ? st_err_title(r) : r ? out.err : why);
        return NULL;
    }
    return said;
}

/* A daemon says what it subscribes to; "*" is all that it does not publish itself. */
static int ask_daemon(struct ctl *c, const char *path, const json_t *registry, json_t *consumers)
{
    json_t *said = ctl_describe(c, path), *type, *schema;
    size_t i, k;
    if (!said)
        return 1;
    const char *service = st_json_str(said, "service", "?");
    json_array_foreach (json_object_get(said, "subscriptions"), i, type) {
        if (!st_streq(json_string_value(type), "*"))
            add_to(consumers, json_string_value(type), service);
        else
            json_array_foreach (registry, k, schema)
                if (!st_streq(st_json_str(schema, "x-service", ""), service))
                    add_to(consumers, st_json_str(schema, "title", ""), service);
    }
    return 0;
}

static int find_consumers(struct ctl *c, const char *bin, const json_t *registry, json_t *consumers)
{
    glob_t found;
    int code = 0;
    if (glob(st_printf(c->arena, "%s/*d", bin), 0, NULL, &found))
        return ctl_error("there are no daemons in %s; build them, or name their folder with --bin", bin);
    for (size_t i = 0; code == 0 && i < found.gl_pathc; i++)
        code = ask_daemon(c, found.gl_pathv[i], registry, consumers);
    globfree(&found);
    return code;
}

/* --- as AsyncAPI 3 --- */

static json_t *ref(struct ctl *c, const char *folder, const char *name)
{
    return json_pack("{s:s}", "$ref", st_printf(c->arena, "#/%s/%s", folder, name));
}

static json_t *envelope_schema(void)
{
    json_t *text = json_pack("{s:s}", "type", "string");
    json_t *schema = json_pack(
        "{s:s, s:s, s:[s,s,s,s,s,s,s,s], s:{s:{s:s,s:s,s:s}, s:O, s:O, s:O, s:{s:s,s:s,s:s}, s:{s:s,s:s}, s:O, s:O}}",
        "type", "object", "description", "What stands around every payload.", "required", "eventId", "eventType",
        "aggregateId", "aggregateType", "timestamp", "version", "metadata", "payload", "properties", "eventId", "type",
        "string", "format", "uuid", "description", "UUIDv7; what consumers deduplicate on.", "eventType", text,
        "aggregateId", text, "aggregateType", text, "timestamp", "type", "string", "format", "date-time", "description",
        "When it was recorded, UTC.", "version", "type", "string", "description",
        "Semantic version of the payload's schema.", "metadata", text, "payload", text);
    json_object_set_new(json_object_get(schema, "properties"), "metadata",
                        json_pack("{s:s, s:[s], s:{s:O, s:O, s:O, s:O}}", "type", "object", "required", "correlationId",
                                  "properties", "userId", text, "correlationId", text, "causationId", text,
                                  "traceparent", text));
    json_object_set_new(json_object_get(schema, "properties"), "payload", json_pack("{s:s}", "type", "object"));
    json_decref(text);
    return schema;
}

static json_t *message_of(struct ctl *c, const json_t *schema, const json_t *consumers)
{
    const char *type = st_json_str(schema, "title", ""), *key = st_json_str(schema, "x-key", "");
    json_t *message = json_pack("{s:s, s:s, s:s, s:s, s:{s:[o, {s:{s:{s:s}, s:o}}]}}", "name", type, "title", type,
                                "contentType", "application/json", "summary", st_json_str(schema, "description", ""),
                                "payload", "allOf", ref(c, "components/schemas", "Envelope"), "properties", "eventType",
                                "const", type, "payload", ref(c, "components/schemas", key));
    static const char *const extensions[] = {"x-service", "x-aggregate", "x-version", "x-retention", "x-sensitive"};
    for (size_t i = 0; i < ST_COUNT(extensions); i++)
        if (json_object_get(schema, extensions[i]))
            json_object_set(message, extensions[i], json_object_get(schema, extensions[i]));
    if (json_object_get(consumers, type))
        json_object_set(message, "x-consumers", json_object_get(consumers, type));
    return message;
}

/* The payload's schema without what belongs to the message. */
static json_t *payload_schema(const json_t *schema)
{
    json_t *copy = json_object(), *value;
    const char *name;
    json_object_foreach ((json_t *)schema, name, value)
        if (!st_starts(name, "x-") && !st_streq(name, "$schema"))
            json_object_set(copy, name, value);
    return copy;
}

json_t *ctl_catalog_asyncapi(struct ctl *c, const json_t *registry, const json_t *consumers)
{
    json_t *channels = json_object(), *operations = json_object(), *messages = json_object(), *schemas = json_object();
    json_t *schema;
    size_t i;
    json_object_set_new(schemas, "Envelope", envelope_schema());
    json_array_foreach (registry, i, schema) {
        const char *topic = st_json_str(schema, "x-topic", "");
        const char *key = st_json_str(schema, "x-key", "");
        json_object_set_new(schemas, key, payload_schema(schema));
        json_object_set_new(messages, key, message_of(c, schema, consumers));
        json_t *channel = json_object_get(channels, topic);
        if (!channel)
            json_object_set_new(channels, topic, channel = json_pack("{s:s, s:{}}", "address", topic, "messages"));
        json_object_set_new(json_object_get(channel, "messages"), key, ref(c, "components/messages", key));
        if (!json_object_get(operations, topic))
            json_object_set_new(operations, topic,
                                json_pack("{s:s, s:o}", "action", "send", "channel", ref(c, "channels", topic)));
    }
    return st_json_keep(
        c->arena,
        json_pack("{s:s, s:{s:s, s:s, s:s}, s:s, s:o, s:o, s:{s:o, s:o}}", "asyncapi", "3.0.0", "info", "title",
                  "Storytelling events", "version", ST_VERSION, "description",
                  "Every event that the services write to their logs and the relay puts on the bus. One channel for "
                  "each topic; events of one aggregate come in order; who consumes deduplicates on eventId.",
                  "defaultContentType", "application/json", "channels", channels, "operations", operations,
                  "components", "messages", messages, "schemas", schemas));
}

/* --- for people --- */

static char *joined(struct ctl *c, const json_t *names)
{
    char *text = st_strdup(c->arena, "");
    size_t i;
    json_t *name;
    json_array_foreach (names, i, name)
        text = st_printf(c->arena, "%s%s%s", text, i ? ", " : "", json_string_value(name));
    return text;
}

static int print_table(struct ctl *c, const json_t *registry, const json_t *consumers)
{
    size_t i;
    json_t *schema;
    json_array_foreach (registry, i, schema) {
        const char *type = st_json_str(schema, "title", "");
        printf("%-26s %-6s %-36s %-14s -> %s\n", type, st_json_str(schema, "x-version", ""),
               st_json_str(schema, "x-topic", ""), st_json_str(schema, "x-service", ""),
               joined(c, json_object_get(consumers, type)));
    }
    return 0;
}

int ctl_events_catalog(struct ctl *c)
{
    const char *bin = ctl_option(c, "--bin");
    bool page = ctl_flag(c, "--html");
    json_t *registry = ctl_registry(c, ctl_registry_dir(c)), *consumers = st_json_keep(c->arena, json_object());
    if (c->argc != 1)
        return ctl_usage("expected: events catalog");
    if (!registry || find_consumers(c, bin ? bin : "build/bin", registry, consumers))
        return 1;
    if (page)
        ctl_catalog_page(c, registry, consumers);
    else if (c->json)
        ctl_print_json(c, json_incref(ctl_catalog_asyncapi(c, registry, consumers)));
    else
        print_table(c, registry, consumers);
    return 0;
}
