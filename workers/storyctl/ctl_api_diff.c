/*
 * storyctl api diff: operation by operation, what is different for those who call, and whether it breaks them. The
 * documents are compared as all contracts of a side make them; operations are known by method and path.
 */
#include "storyctl/ctl_api.h"

static const char *const members[ST_METHODS] = {"get", "post", "put", "patch", "delete"};

void ctl_diff_note(struct ctl_diff *d, bool breaking, const char *rule, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *text = st_vprintf(d->arena, fmt, ap);
    va_end(ap);
    json_array_append_new(
        breaking ? d->breaking : d->compatible,
        json_pack("{s:s,s:s,s:s,s:s}", "operation", d->operation, "rule", rule, "what", text, "at", d->place));
}

const json_t *ctl_diff_deref(const json_t *document, const json_t *json)
{
    enum { REFS = 8 };
    for (int i = 0; i < REFS; i++) {
        const char *ref = st_json_str(json, "$ref", NULL);
        const json_t *target = ref && *ref == '#' ? st_json_at(document, ref + 1) : NULL;
        if (!target)
            break;
        json = target;
    }
    return json;
}

/* --- parameters --- */

/* "query limit" -> the parameter, those of the path included. */
static json_t *params_of(struct ctl_diff *d, const json_t *document, const json_t *item, const json_t *operation)
{
    json_t *all = st_json_keep(d->arena, json_object());
    const json_t *const lists[] = {json_object_get(item, "parameters"), json_object_get(operation, "parameters")};
    for (size_t l = 0; l < ST_COUNT(lists); l++) {
        size_t i;
        json_t *json;
        json_array_foreach ((json_t *)lists[l], i, json) {
            const json_t *p = ctl_diff_deref(document, json);
            const char *in = st_json_str(p, "in", ""), *name = st_json_str(p, "name", "");
            if (!st_streq(in, "path")) /* their names are nobody's business: see the template */
                json_object_set(all, st_printf(d->arena, "%s %s", in, name), (json_t *)p);
        }
    }
    return all;
}

static bool is_required(const json_t *p)
{
    return st_json_bool(p, "required", false);
}

static void compare_param(struct ctl_diff *d, const char *name, const json_t *before, const json_t *after)
{
    static const char *const layout[] = {"style", "explode"};
    const char *where = st_printf(d->arena, "the parameter in %s", name);
    if (is_required(before) != is_required(after))
        ctl_diff_note(d, is_required(after), "parameter-required", "%s is %s", where,
                      is_required(after) ? "required now" : "no longer required");
    for (size_t i = 0; i < ST_COUNT(layout); i++)
        if (!json_equal(json_object_get(before, layout[i]), json_object_get(after, layout[i])) &&
            (json_object_get(before, layout[i]) || json_object_get(after, layout[i])))
            ctl_diff_note(d, true, "parameter-style", "%s has another %s", where, layout[i]);
    if (!json_object_get(before, "content") != !json_object_get(after, "content"))
        ctl_diff_note(d, true, "parameter-style", "%s has become JSON, or is no longer", where);
    else if (json_object_get(before, "content"))
        ctl_diff_schema(d, st_json_at(before, "/content/application~1json/schema"),
                        st_json_at(after, "/content/application~1json/schema"), true, where);
    else
        ctl_diff_schema(d, json_object_get(before, "schema"), json_object_get(after, "schema"), true, where);
}

static void compare_params(struct ctl_diff *d, const json_t *before, const json_t *after)
{
    const char *name;
    json_t *p;
    json_object_foreach ((json_t *)before, name, p) {
        const json_t *other = json_object_get(after, name);
        if (other)
            compare_param(d, name, p, other);
        else /* an unknown query parameter is refused; an unknown header or cookie is not */
            ctl_diff_note(d, st_starts(name, "query "), "parameter-removed", "the parameter in %s is gone", name);
    }
    json_object_foreach ((json_t *)after, name, p)
        if (!json_object_get(before, name))
            ctl_diff_note(d, is_required(p), "parameter-added", "the parameter in %s is new%s", name,
                          is_required(p) ? ", and required" : "");
}

/* --- bodies and answers --- */

static void compare_content(struct ctl_diff *d, const json_t *before, const json_t *after, bool request,
                            const char *where)
{
    const char *type;
    json_t *media;
    json_object_foreach ((json_t *)before, type, media) {
        const json_t *other = json_object_get(after, type);
        if (other)
            ctl_diff_schema(d, json_object_get(media, "schema"), json_object_get(other, "schema"), request, where);
        else
            ctl_diff_note(d, true, "media-type-removed", "%s is no longer %s", where, type);
    }
    json_object_foreach ((json_t *)after, type, media)
        if (!json_object_get(before, type))
            ctl_diff_note(d, false, "media-type-added", "%s may be %s now", where, type);
}

static void compare_body(struct ctl_diff *d, const json_t *before, const json_t *after)
{
    if (!before && !after)
        return;
    if (!before != !after) {
        ctl_diff_note(d, !after || is_required(after), after ? "body-added" : "body-removed", "%s",
                      !after               ? "there is no request body any more"
                      : is_required(after) ? "a request body is required now"
                                           : "there may be a request body now");
        return;
    }
    if (is_required(before) != is_required(after))
        ctl_diff_note(d, is_required(after), "body-required", "the request body is %s",
                      is_required(after) ? "required now" : "no longer required");
    compare_content(d, json_object_get(before, "content"), json_object_get(after, "content"), true, "the body");
}

static void compare_headers(struct ctl_diff *d, const json_t *before, const json_t *after, const char *where)
{
    const char *name;
    json_t *header;
    json_object_foreach ((json_t *)before, name, header)
        if (!json_object_get(after, name))
            ctl_diff_note(d, true, "header-removed", "%s has no header %s any more", where, name);
    json_object_foreach ((json_t *)after, name, header)
        if (!json_object_get(before, name))
            ctl_diff_note(d, false, "header-added", "%s has a header %s now", where, name);
}

static void compare_responses(struct ctl_diff *d, const json_t *before, const json_t *after)
{
    const char *status;
    json_t *json;
    json_object_foreach ((json_t *)before, status, json) {
        const char *where = st_printf(d->arena, "the answer %s", status);
        const json_t *a = ctl_diff_deref(d->before, json);
        const json_t *b = ctl_diff_deref(d->after, json_object_get(after, status));
        if (!b) { /* errors may go; what was asked for may not */
            ctl_diff_note(d, *status == '2' || *status == '3', "answer-removed", "%s is gone", where);
            continue;
        }
        compare_headers(d, json_object_get(a, "headers"), json_object_get(b, "headers"), where);
        compare_content(d, json_object_get(a, "content"), json_object_get(b, "content"), false, where);
    }
    json_object_foreach ((json_t *)after, status, json)
        if (!json_object_get(before, status))
            ctl_diff_note(d, false, "answer-added", "the answer %s is new", status);
}

/* --- security --- */

/* Does whoever satisfies a also satisfy b? Every scheme of b is in a, with no permission more. */
static bool satisfies(const json_t *a, const json_t *b)
{
    const char *scheme;
    json_t *needed, *permission;
    json_object_foreach ((json_t *)b, scheme, needed) {
        const json_t *has = json_object_get(a, scheme);
        size_t i, k;
        if (!has)
            return false;
        json_array_foreach (needed, i, permission) {
            bool found = false;
            for (k = 0; k < json_array_size(has); k++)
                found = found || json_equal(json_array_get(has, k), permission);
            if (!found)
                return false;
        }
    }
    return true;
}

static void compare_security(struct ctl_diff *d, const json_t *before, const json_t *after)
{
    json_t *anybody = st_json_keep(d->arena, json_pack("[{}]"));
    size_t i, k;
    json_t *was, *is;
    if (json_equal(before, after))
        return;
    before = json_array_size(before) ? before : anybody;
    after = json_array_size(after) ? after : anybody;
    bool breaking = false;
    json_array_foreach ((json_t *)before, i, was) {
        bool good = false;
        json_array_foreach ((json_t *)after, k, is)
            good = good || satisfies(was, is);
        breaking = breaking || !good;
    }
    ctl_diff_note(d, breaking, "security", "who may call was %s and is %s", st_json_text(d->arena, before),
                  st_json_text(d->arena, after));
}

/* --- operations --- */

static const json_t *item_of(const json_t *document, const struct st_api_operation *op)
{
    return json_object_get(json_object_get(document, "paths"), op->path);
}

static void compare_operation(struct ctl_diff *d, const struct st_api_operation *before,
                              const struct st_api_operation *after)
{
    const json_t *item = item_of(d->before, before), *other = item_of(d->after, after);
    const json_t *a = json_object_get(item, members[before->method]),
                 *b = json_object_get(other, members[after->method]);
    if (!st_streq(before->id, after->id))
        ctl_diff_note(d, true, "operation-id", "the operationId was %s and is %s", before->id, after->id);
    if (after->idempotency_required && !before->idempotency_required)
        ctl_diff_note(d, true, "idempotency-required", "an Idempotency-Key is required now");
    if (after->n_bodies && after->body_max < before->body_max && before->n_bodies)
        ctl_diff_note(d, true, "body-max", "a body had %lld bytes at most and has %lld", (long long)before->body_max,
                      (long long)after->body_max);
    if (after->deprecated_since && !before->deprecated_since)
        ctl_diff_note(d, false, "deprecated", "it is deprecated");
    compare_security(d, json_object_get(a, "security"), json_object_get(b, "security"));
    compare_params(d, params_of(d, d->before, item, a), params_of(d, d->after, other, b));
    compare_body(d, ctl_diff_deref(d->before, json_object_get(a, "requestBody")),
                 ctl_diff_deref(d->after, json_object_get(b, "requestBody")));
    compare_responses(d, json_object_get(a, "responses"), json_object_get(b, "responses"));
}

/* "POST /v1/stories/{}": the names of templates are not seen from outside. */
static const char *route_of(struct st_arena *a, const struct st_api_operation *op)
{
    struct st_buf b = ST_BUF(4096);
    st_buf_printf(&b, "%s ", st_api_method_names[op->method]);
    for (const char *s = op->path; *s; s++) {
        st_buf_char(&b, *s);
        if (*s == '{') {
            s += strcspn(s, "}");
            st_buf_char(&b, '}');
        }
    }
    const char *route = st_strndup(a, b.data, b.len);
    st_buf_release(&b);
    return route;
}

static json_t *by_route(struct st_arena *a, const struct st_api *api)
{
    json_t *all = st_json_keep(a, json_object());
    for (int i = 0; i < api->n_operations; i++)
        json_object_set_new(all, route_of(a, &api->operations[i]), json_integer(i));
    return all;
}

static void at(struct ctl_diff *d, const struct st_api_operation *op)
{
    d->operation = st_printf(d->arena, "%s %s", st_api_method_names[op->method], op->path);
    d->place = st_printf(d->arena, "%s:%d", op->file, op->line);
}

static void compare_all(struct ctl_diff *d, const struct st_api *before, const struct st_api *after)
{
    json_t *was = by_route(d->arena, before), *is = by_route(d->arena, after), *index;
    const char *route;
    json_object_foreach (was, route, index) {
        const struct st_api_operation *op = &before->operations[json_integer_value(index)];
        const json_t *other = json_object_get(is, route);
        at(d, other ? &after->operations[json_integer_value(other)] : op);
        if (other)
            compare_operation(d, op, &after->operations[json_integer_value(other)]);
        else
            ctl_diff_note(d, true, "operation-removed", "the operation %s is gone", op->id);
    }
    json_object_foreach (is, route, index) {
        if (json_object_get(was, route))
            continue;
        at(d, &after->operations[json_integer_value(index)]);
        ctl_diff_note(d, false, "operation-added", "the operation is new");
    }
}

static void print(const json_t *notes, const char *title)
{
    size_t i;
    json_t *note;
    if (json_array_size(notes))
        printf("%s\n", title);
    json_array_foreach ((json_t *)notes, i, note)
        printf("  %s: %s: %s (%s)\n", st_json_str(note, "at", ""), st_json_str(note, "operation", ""),
               st_json_str(note, "what", ""), st_json_str(note, "rule", ""));
}

int ctl_api_diff(struct ctl *c, const char *before, const char *after)
{
    const char *paths[] = {before, after};
    struct st_api *api[2];
    for (int i = 0; i < 2; i++) {
        char *path = st_strdup(c->arena, paths[i]);
        const char *why = "";
        if (!(api[i] = ctl_api_load(c->arena, &path, 1, &why))) {
            fprintf(stderr, "%s\n", why);
            return 2;
        }
    }
    struct ctl_diff d = {.arena = c->arena, .before = api[0]->document, .after = api[1]->document};
    d.breaking = st_json_keep(c->arena, json_array());
    d.compatible = st_json_keep(c->arena, json_array());
    compare_all(&d, api[0], api[1]);
    if (c->json) {
        ctl_print_json(c, json_pack("{s:O,s:O}", "breaking", d.breaking, "compatible", d.compatible));
    } else {
        print(d.breaking, "breaking:");
        print(d.compatible, "compatible:");
        if (!json_array_size(d.breaking) && !json_array_size(d.compatible))
            puts("nothing is different");
    }
    return json_array_size(d.breaking) ? 1 : 0;
}
