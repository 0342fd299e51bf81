/* References of JSON Schema: resources with their base URIs, anchors, and what a $ref or $dynamicRef names. */
#include "io/schema_impl.h"

/* RFC 3986: the parts of a reference; at NULL: not there. */
struct part {
    const char *at;
    size_t len;
};
struct uri {
    struct part scheme, authority, path, query;
};

static struct part part_to(const char **s, const char *stop)
{
    struct part p = {*s, strcspn(*s, stop)};
    *s += p.len;
    return p;
}

static struct uri split(const char *s)
{
    struct uri u = {.scheme = {NULL, 0}};
    const char *end = s + strcspn(s, ":/?#");
    if (*end == ':' && end > s) {
        u.scheme = (struct part){s, (size_t)(end - s)};
        s = end + 1;
    }
    if (st_starts(s, "//")) {
        s += 2;
        u.authority = part_to(&s, "/?#");
    }
    u.path = part_to(&s, "?#");
    if (*s == '?') {
        s++;
        u.query = part_to(&s, "#");
    }
    return u;
}

/* Takes "." and ".." out of a path, in place. */
static void remove_dots(char *path)
{
    char *to = path;
    for (const char *from = path; *from;) {
        size_t n = strcspn(from + 1, "/") + 1;
        bool last = !from[n];
        if (*from == '/' && n == 3 && strncmp(from, "/..", 3) == 0) {
            while (to > path && *--to != '/')
                ;
            if (last)
                *to++ = '/';
        } else if (*from == '/' && n == 2 && from[1] == '.') {
            if (last)
                *to++ = '/';
        } else {
            memmove(to, from, n);
            to += n;
        }
        from += n;
    }
    *to = '\0';
}

/* RFC 3986 section 5.2, without the fragment. */
static const char *resolve(struct st_arena *a, const char *base_text, const char *text)
{
    struct uri base = split(base_text), ref = split(text), u = ref;
    char *path = st_strndup(a, ref.path.at, ref.path.len);
    if (!ref.scheme.at)
        u.scheme = base.scheme;
    if (!ref.scheme.at && !ref.authority.at) {
        u.authority = base.authority;
        if (!ref.path.len) {
            path = st_strndup(a, base.path.at, base.path.len);
            u.query = ref.query.at ? ref.query : base.query;
        } else if (*path != '/') {
            const char *slash = base.path.len ? memrchr(base.path.at, '/', base.path.len) : NULL;
            int keep = slash ? (int)(slash + 1 - base.path.at) : 0;
            const char *root = base.authority.at && !base.path.len ? "/" : "";
            path = st_printf(a, "%.*s%s%s", keep, base.path.at, root, path);
        }
    }
    remove_dots(path);
    return st_printf(a, "%.*s%s%s%.*s%s%s%.*s", (int)u.scheme.len, u.scheme.at ? u.scheme.at : "",
                     u.scheme.at ? ":" : "", u.authority.at ? "//" : "", (int)u.authority.len,
                     u.authority.at ? u.authority.at : "", path, u.query.at ? "?" : "", (int)u.query.len,
                     u.query.at ? u.query.at : "");
}

static struct st_resource *add_resource(struct st_compiler *c, const json_t *json, const char *pointer, const char *uri)
{
    if (c->n_resources == c->cap_resources) {
        int cap = c->cap_resources ? 2 * c->cap_resources : 4;
        struct st_resource **list = st_new_n(c->arena, struct st_resource *, (size_t)cap);
        if (c->n_resources)
            memcpy(list, c->resources, (size_t)c->n_resources * sizeof(struct st_resource *));
        c->resources = list;
        c->cap_resources = cap;
    }
    struct st_resource *r = st_new(c->arena, struct st_resource);
    *r = (struct st_resource){.uri = uri, .pointer = st_strdup(c->arena, pointer), .json = json};
    return c->resources[c->n_resources++] = r;
}

/* An empty one is none. */
static bool has_fragment(const char *uri)
{
    const char *hash = strchr(uri, '#');
    return hash && hash[1];
}

int st_resource_enter(struct st_compiler *c, const json_t *json, const char *pointer)
{
    const json_t *value = json_object_get(json, "$id");
    const char *id = json_string_value(value), *at = st_json_pointer(c->arena, pointer, "$id");
    if (!value || (c->resource->json == json && strcmp(c->resource->pointer, pointer) == 0))
        return 0;
    if (!id || has_fragment(id))
        return st_compile_fail(c, at, "$id must be a URI without a fragment");
    for (int i = 0; i < c->n_resources; i++)
        if (c->resources[i]->json == json && strcmp(c->resources[i]->pointer, pointer) == 0) {
            c->resource = c->resources[i];
            return 0;
        }
    const char *uri = resolve(c->arena, c->resource->uri, id);
    for (int i = 0; i < c->n_resources; i++)
        if (strcmp(c->resources[i]->uri, uri) == 0)
            return st_compile_fail(c, at, "the $id %s is there twice", uri);
    c->resource = add_resource(c, json, pointer, uri);
    return 0;
}

int st_resource_begin(struct st_compiler *c)
{
    c->resource = add_resource(c, c->document, "", "");
    const char *id = json_string_value(json_object_get(c->document, "$id"));
    if (id && has_fragment(id))
        return st_compile_fail(c, "/$id", "$id must be a URI without a fragment");
    if (id)
        c->resource->uri = resolve(c->arena, "", id);
    return 0;
}

static int add_anchor(struct st_compiler *c, const json_t *json, const char *keyword, json_t **names,
                      const char *pointer)
{
    const char *anchor = json_string_value(json_object_get(json, keyword));
    if (!anchor)
        return 0;
    if (!*names)
        *names = st_json_keep(c->arena, json_object());
    if (json_object_get(*names, anchor))
        return st_compile_fail(c, pointer, "the %s %s is there twice", keyword, anchor);
    json_object_set_new(*names, anchor, json_string(pointer));
    return 0;
}

/* How a member of a schema, or of the document around it, holds further schemas. */
static enum { HOLDS_DATA, HOLDS_SCHEMA, HOLDS_MAP } holds(const char *name)
{
    static const char *const data[] = {"enum", "const", "default", "example", "examples"};
    static const char *const maps[] = {"properties", "patternProperties", "$defs",   "dependentSchemas",
                                       "schemas",    "responses",         "headers", "parameters",
                                       "content",    "requestBodies",     "paths",   "pathItems"};
    for (size_t i = 0; i < ST_COUNT(data); i++)
        if (strcmp(name, data[i]) == 0)
            return HOLDS_DATA;
    for (size_t i = 0; i < ST_COUNT(maps); i++)
        if (strcmp(name, maps[i]) == 0)
            return HOLDS_MAP;
    return st_starts(name, "x-") ? HOLDS_DATA : HOLDS_SCHEMA;
}

static int scan(struct st_compiler *c, const json_t *json, const char *pointer, bool map);

static int scan_members(struct st_compiler *c, const json_t *json, const char *pointer, bool map)
{
    const char *key;
    json_t *value;
    int r = 0;
    json_object_foreach ((json_t *)json, key, value) {
        int kind = map ? HOLDS_SCHEMA : (int)holds(key);
        if (kind != HOLDS_DATA && (json_is_object(value) || json_is_array(value)) &&
            (r = scan(c, value, st_json_pointer(c->arena, pointer, key), kind == HOLDS_MAP)) < 0)
            return r;
    }
    return 0;
}

/* Finds every $id and every anchor, but not inside of data. */
static int scan(struct st_compiler *c, const json_t *json, const char *pointer, bool map)
{
    struct st_resource *outer = c->resource;
    size_t i;
    const json_t *value;
    int r = 0;
    json_array_foreach ((json_t *)json, i, value)
        if ((json_is_object(value) || json_is_array(value)) &&
            (r = scan(c, value, st_printf(c->arena, "%s/%zu", pointer, i), false)) < 0)
            return r;
    if (!map && json_is_string(json_object_get(json, "$id")))
        r = st_resource_enter(c, json, pointer);
    if (!map && !r)
        r = add_anchor(c, json, "$anchor", &c->resource->anchors, pointer);
    if (!map && !r)
        r = add_anchor(c, json, "$dynamicAnchor", &c->resource->anchors, pointer);
    if (!map && !r)
        r = add_anchor(c, json, "$dynamicAnchor", &c->resource->dynamic, pointer);
    if (!r)
        r = scan_members(c, json, pointer, map);
    c->resource = outer;
    return r;
}

static int scan_from(struct st_compiler *c, struct st_resource *resource)
{
    struct st_resource *outer = c->resource;
    c->resource = resource;
    int r = scan(c, resource->json, resource->pointer, false);
    c->resource = outer;
    return r;
}

static int scan_document(struct st_compiler *c)
{
    if (c->scanned)
        return 0;
    c->scanned = true;
    return scan_from(c, c->resources[0]);
}

static int find_resource(struct st_compiler *c, const char *uri, struct st_resource **ret)
{
    *ret = NULL;
    for (int i = 0; i < c->n_resources; i++)
        if (strcmp(c->resources[i]->uri, uri) == 0)
            *ret = c->resources[i];
    if (*ret || strcmp(uri, ST_META_URI) != 0)
        return 0;
    json_t *meta = st_json_keep(c->arena, json_loads(st_meta_schema, 0, NULL));
    *ret = add_resource(c, meta, ST_META_URI "#", ST_META_URI);
    return scan_from(c, *ret);
}

int st_compile_at(struct st_compiler *c, struct st_resource *resource, const char *pointer,
                  const struct st_schema **ret)
{
    struct st_resource *outer = c->resource;
    const json_t *json = resource->json;
    const char *token, *place = resource->pointer, *rest = pointer;
    int r = 0;
    c->resource = resource;
    while (!r && json && *rest) {
        if (json_is_string(json_object_get(json, "$id"))) /* else it may be the name of a member */
            r = st_resource_enter(c, json, place);
        const char *next = st_json_token(c->arena, rest, &token);
        const char *step = next ? st_strndup(c->arena, rest, (size_t)(next - rest)) : "";
        place = st_printf(c->arena, "%s%s", place, step);
        json = next ? st_json_at(json, step) : NULL;
        rest = next;
    }
    if (!r)
        r = json ? st_compile_schema(c, json, place, ret)
                 : st_compile_fail(c, st_printf(c->arena, "%s%s", resource->pointer, pointer),
                                   "there is no such schema");
    c->resource = outer;
    return r;
}

struct target {
    struct st_resource *resource;
    const char *pointer; /* in the resource */
    const char *anchor;  /* the name that was given, or NULL */
};

static int no_target(struct st_compiler *c, const char *at, const char *ref)
{
    return st_compile_fail(c, at, "%s: there is no %.200s in the document", strrchr(at, '/') + 1, ref);
}

static int find_target(struct st_compiler *c, const char *ref, const char *at, struct target *ret)
{
    size_t n = strcspn(ref, "#");
    const char *fragment = ref[n] ? st_url_decode(c->arena, ref + n + 1, strlen(ref + n + 1), false) : "";
    int r = 0;
    if (!fragment)
        return no_target(c, at, ref);
    bool anchor = *fragment && *fragment != '/';
    *ret = (struct target){c->resource, fragment, NULL};
    if (n || anchor)
        r = scan_document(c);
    if (!r && n)
        r = find_resource(c, resolve(c->arena, c->resource->uri, st_strndup(c->arena, ref, n)), &ret->resource);
    if (r < 0)
        return r;
    if (!ret->resource)
        return no_target(c, at, ref);
    if (anchor) {
        const char *place = json_string_value(json_object_get(ret->resource->anchors, fragment));
        if (!place)
            return no_target(c, at, ref);
        ret->anchor = fragment;
        ret->pointer = place + strlen(ret->resource->pointer);
    }
    return st_json_at(ret->resource->json, ret->pointer) ? 0 : no_target(c, at, ref);
}

int st_compile_ref(struct st_compiler *c, const char *ref, const char *at, const struct st_schema **ret)
{
    struct target target;
    int r = find_target(c, ref, at, &target);
    return r < 0 ? r : st_compile_at(c, target.resource, target.pointer, ret);
}

/*
 * When the reference leads to a $dynamicAnchor, the same anchor in an outer resource takes its place while checking:
 * subs are what it leads to, then all schemas with that anchor.
 */
int st_compile_dynamic_ref(struct st_compiler *c, const char *ref, const char *at, struct st_op *op)
{
    struct target target;
    int r = scan_document(c);
    if (!r)
        r = find_target(c, ref, at, &target);
    if (r < 0)
        return r;
    op->subs = st_new_n(c->arena, const struct st_schema *, (size_t)c->n_resources + 1);
    r = st_compile_at(c, target.resource, target.pointer, &op->subs[op->n_subs++]);
    bool dynamic = target.anchor && json_object_get(target.resource->dynamic, target.anchor);
    for (int i = 0, n = c->n_resources; !r && dynamic && i < n; i++) {
        struct st_resource *other = c->resources[i];
        const char *place = json_string_value(json_object_get(other->dynamic, target.anchor));
        if (place)
            r = st_compile_at(c, other, place + strlen(other->pointer), &op->subs[op->n_subs++]);
    }
    return r;
}
