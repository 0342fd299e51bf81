/* storyctl events: what its verbs share, and events show. */
#include "storyctl/ctl_events.h"

#include "svc/cloud_event.h"

json_t *ctl_envelope(struct ctl *c, const struct st_rows *rows, int row)
{
    const char *text = st_cell(rows, row, 0), *why;
    json_t *envelope;
    if (st_json_parse(c->arena, text, strlen(text), ST_JSON_DEPTH + 2, &envelope, &why) < 0)
        return st_json_keep(c->arena, json_object());
    return envelope;
}

json_t *ctl_cloud_event(struct ctl *c, const json_t *registry, const char *service, const json_t *envelope)
{
    const char *schema_id = NULL;
    size_t i;
    json_t *schema;
    json_array_foreach (registry, i, schema)
        if (st_streq(st_json_str(schema, "title", ""), st_json_str(envelope, "eventType", "")) && !schema_id)
            schema_id = st_json_str(schema, "$id", NULL);
    json_t *ce = st_cloud_event(c->arena, envelope, service, schema_id);
    return ce ? ce : st_json_keep(c->arena, json_object());
}

/* --- show --- */

/* What the services have done with an event, as far as they know it. */
static int find_readers(struct ctl *c, const char *const *names, int n, const char *id, json_t *readers)
{
    for (int i = 0; i < n; i++) {
        struct st_pg *pg = ctl_database(c, names[i]);
        struct st_rows *rows;
        if (!pg)
            return 1;
        if (st_pg_query(pg, c->arena,
                        "select 'handled' as state, received_at as at, null::int as attempts, null::text as error "
                        "from inbox where event_id = $1 union all select case when state = 'dead' then 'dead letter' "
                        "when run_at = 'infinity' then 'waits behind an earlier event' else 'waits for a retry' end, "
                        "parked_at, attempts, error from parked_events where event_id = $1",
                        ST_PARAMS(id), &rows) < 0)
            return ctl_error("%s: %s", names[i], st_pg_error(pg));
        if (st_rows_count(rows) == 0)
            continue;
        json_t *row = st_row_json(rows, 0, c->arena);
        json_object_set_new(row, "service", json_string(names[i]));
        json_array_append(readers, row);
    }
    return 0;
}

static int find_event(struct ctl *c, const char *const *names, int n, const char *id, const char **ret_service,
                      json_t **ret)
{
    for (int i = 0; i < n && !*ret; i++) {
        struct st_pg *pg = ctl_database(c, names[i]);
        struct st_rows *rows;
        if (!pg)
            return 1;
        if (st_pg_query(pg, c->arena, "select " ST_ENVELOPE_SQL " from events where event_id = $1", ST_PARAMS(id),
                        &rows) < 0)
            return ctl_error("%s: %s", names[i], st_pg_error(pg));
        if (st_rows_count(rows)) {
            *ret_service = names[i];
            *ret = ctl_envelope(c, rows, 0);
        }
    }
    return *ret ? 0 : ctl_error("no log has the event %s; it may be archived", id);
}

static void print_event(const char *service, const json_t *event, const json_t *readers)
{
    size_t i;
    json_t *reader;
    char *text = json_dumps(event, JSON_INDENT(2));
    printf("published by %s\n%s\n", service, text);
    free(text);
    json_array_foreach (readers, i, reader) {
        const char *error = st_json_str(reader, "error", NULL);
        printf("%-14s %s  %s%s%s\n", st_json_str(reader, "service", ""), st_json_str(reader, "at", ""),
               st_json_str(reader, "state", ""), error ? ": " : "", error ? error : "");
    }
    if (json_array_size(readers) == 0)
        puts("no service has handled it");
}

static int show(struct ctl *c)
{
    const char *names[CTL_SERVICES_MAX], *service = "", *dir = ctl_registry_dir(c);
    bool cloud_events = ctl_flag(c, "--cloudevents");
    json_t *event = NULL, *readers = st_json_keep(c->arena, json_array()), *registry = NULL;
    if (c->argc != 2 || !st_is_uuid(c->argv[1]))
        return ctl_usage("expected: events show EVENT-ID, a UUID");
    int n = ctl_services(c, names);
    if (n <= 0 || (cloud_events && !(registry = ctl_registry(c, dir))) ||
        find_event(c, names, n, c->argv[1], &service, &event) || find_readers(c, names, n, c->argv[1], readers))
        return 1;
    if (cloud_events)
        ctl_print_json(c, json_incref(ctl_cloud_event(c, registry, service, event)));
    else if (c->json)
        ctl_print_json(c, json_pack("{s:s, s:O, s:O}", "service", service, "event", event, "handled", readers));
    else
        print_event(service, event, readers);
    return 0;
}

int ctl_events(struct ctl *c)
{
    static const struct {
        const char *verb;
        int (*run)(struct ctl *c);
    } verbs[] = {{"tail", ctl_events_tail},
                 {"show", show},
                 {"replay", ctl_events_replay},
                 {"catalog", ctl_events_catalog},
                 {"diff", ctl_events_diff}};
    for (size_t i = 0; c->argc && i < ST_COUNT(verbs); i++)
        if (st_streq(c->argv[0], verbs[i].verb))
            return verbs[i].run(c);
    return ctl_usage("expected: events tail, show, replay, catalog or diff");
}
