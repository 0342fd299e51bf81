/* Reads the request body of an operation: its media types, the members of forms, the parts of multipart. */
#include "io/openapi_impl.h"

static const int64_t DEFAULT_MAX = 64 << 10;
static const int64_t MEMORY_MAX = 16 << 20; /* of what is read into memory */
static const char TOKEN[] = ST_LOWER ST_DIGITS "!#$&^_.+-";

/* --- names of media types --- */

/* type/subtype, in lower case and without parameters; or a range. */
static bool is_range(const char *s)
{
    const char *slash = strchr(s, '/');
    if (!slash || !slash[1])
        return false;
    size_t type = strspn(s, TOKEN), subtype = strspn(slash + 1, TOKEN);
    if (st_streq(slash + 1, "*"))
        return s[0] == '*' ? slash == s + 1 : type && s + type == slash;
    return type && s + type == slash && !slash[1 + subtype];
}

static bool is_json(const char *type)
{
    return st_streq(type, "application/json") || st_ends(type, "+json");
}

/* Media types between commas. */
static bool are_ranges(struct st_arena *a, const char *list)
{
    for (const char *s = list;; s++) {
        size_t n = strcspn(s += strspn(s, " "), ", ");
        if (!is_range(st_strndup(a, s, n)))
            return false;
        s += n;
        s += strspn(s, " ");
        if (*s != ',')
            return !*s;
    }
}

/* --- schemas that describe bytes --- */

static const char *const notes[] = {"title", "description", "$comment", "example", "examples", "deprecated", "default"};

/* Notes every member of a schema that is not in the list, or a note to people. */
static void only(struct st_contract *c, const json_t *schema, const char *at, const char *what,
                 const char *const *allowed)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)schema, name, value) {
        bool found = st_starts(name, "x-");
        for (size_t i = 0; i < ST_COUNT(notes); i++)
            found = found || strcmp(name, notes[i]) == 0;
        for (size_t i = 0; allowed[i]; i++)
            found = found || strcmp(name, allowed[i]) == 0;
        if (!found)
            st_contract_mistake(c, st_json_pointer(c->r->arena, at, name), "%.80s has no effect on %s", name, what);
    }
}

/* The schema itself, or what its references end in; the pointer follows. */
static const json_t *resolve(struct st_contract *c, const json_t *schema, const char **at)
{
    enum { REFS = 8 };
    for (int i = 0; i < REFS && json_object_size(schema) == 1; i++) {
        const char *ref = st_json_str(schema, "$ref", NULL);
        if (!ref || *ref != '#')
            break;
        *at = ref + 1;
        schema = st_json_at(c->yaml.root, ref + 1);
    }
    return schema;
}

/* minLength and maxLength are numbers of bytes. */
static void read_bytes(struct st_contract *c, const json_t *schema, const char *at, int64_t *ret_min, int64_t *ret_max)
{
    static const char *const allowed[] = {"type", "contentMediaType", "minLength", "maxLength", NULL};
    schema = resolve(c, schema, &at);
    if (!json_is_object(schema)) /* true */
        return;
    only(c, schema, at, "bytes", allowed);
    if (!st_streq(st_json_str(schema, "type", "string"), "string"))
        st_contract_mistake(c, at, "bytes are of type string, or have no type");
    *ret_min = st_json_int(schema, "minLength", *ret_min);
    int64_t max = st_json_int(schema, "maxLength", *ret_max);
    *ret_max = max < *ret_max ? max : *ret_max;
}

/* --- forms --- */

static void read_form(struct st_contract *c, const json_t *media, const char *at, struct st_api_body *body)
{
    struct st_arena *a = c->r->arena;
    const json_t *schema = json_object_get(media, "schema"), *encodings = json_object_get(media, "encoding");
    const json_t *properties = st_contract_schema_member(c, schema, "properties"), *property;
    const char *name;
    struct st_api_param *fields = st_new_n(a, struct st_api_param, json_object_size(properties));
    json_object_foreach ((json_t *)properties, name, property) {
        const json_t *encoding = json_object_get(encodings, name);
        const char *content = st_json_str(encoding, "contentType", NULL), *pointer = st_json_pointer(a, at, "schema");
        struct st_api_param p = {.name = name, .in = ST_IN_FORM};
        if (content && !is_json(content) && !st_streq(content, "text/plain"))
            st_contract_mistake(c, st_json_pointer(a, at, "encoding"), "a form's member is text/plain or JSON");
        if (content && is_json(content))
            p.type.of = 'j';
        else if (!st_contract_read_type(c, property, &p.type))
            st_contract_mistake(c, pointer,
                                "the member %.80s of a form must be a string, integer, number or boolean, an array or "
                                "object of these, or have the encoding contentType: application/json",
                                name);
        st_contract_read_style(c, encoding, st_json_pointer(a, at, "encoding"), &p);
        fields[body->n_fields++] = p;
    }
    body->fields = fields;
}

/* --- multipart --- */

/* What a part of this schema is: text, JSON or bytes. */
static char part_type(struct st_contract *c, const json_t *schema, const char *content)
{
    struct st_api_type t;
    const char *media = json_string_value(st_contract_schema_member(c, schema, "contentMediaType"));
    bool typed = st_contract_read_type(c, schema, &t) && strchr("sinb", t.of);
    if (content && is_json(content))
        return 'j';
    if (content ? !st_starts(content, "text/") : media && !is_json(media) && !st_starts(media, "text/"))
        return 'x';
    if (typed)
        return t.of;
    return st_contract_schema_member(c, schema, "type") ? 'j' : 'x';
}

static void read_list(struct st_contract *c, const json_t *schema, const char *at, struct st_api_part *part)
{
    static const char *const allowed[] = {"type", "items", "minItems", "maxItems", NULL};
    only(c, schema, at, "a part that may come several times", allowed);
    part->many = true;
    part->min_count = st_json_int(schema, "minItems", 0);
    part->max_count = st_json_int(schema, "maxItems", INT32_MAX);
}

static void read_part(struct st_contract *c, const json_t *schema, const char *at, const json_t *encoding,
                      const char *encoding_at, struct st_api_part *part)
{
    const char *content = st_json_str(encoding, "contentType", NULL);
    schema = resolve(c, schema, &at);
    if (st_streq(json_string_value(json_object_get(schema, "type")), "array") && !(content && is_json(content))) {
        const json_t *items = json_object_get(schema, "items");
        read_list(c, schema, at, part);
        at = st_json_pointer(c->r->arena, at, "items");
        schema = items ? resolve(c, items, &at) : json_true();
    }
    part->type = part_type(c, schema, content);
    part->types = content ? content : st_json_str(schema, "contentMediaType", NULL);
    if (!part->types && part->type != 'x')
        part->types = part->type == 'j' ? "application/json" : "text/plain";
    part->max = part->type == 'x' ? INT64_MAX : ST_API_VALUE_MAX;
    if (part->types && !are_ranges(c->r->arena, part->types))
        st_contract_mistake(c, content ? encoding_at : at, "contentType must be media types in lower case");
    static const char *const layout[] = {"style", "explode", "allowReserved"};
    for (size_t i = 0; i < ST_COUNT(layout); i++)
        if (json_object_get(encoding, layout[i]))
            st_contract_mistake(c, encoding_at, "%s has no effect on a part of multipart/form-data", layout[i]);
    if (part->type == 'x')
        read_bytes(c, schema, at, &part->min, &part->max);
    else
        part->schema = st_contract_compile(c, at);
}

static bool is_listed(const json_t *list, const char *name)
{
    size_t i;
    json_t *item;
    json_array_foreach ((json_t *)list, i, item)
        if (st_streq(json_string_value(item), name))
            return true;
    return false;
}

static void read_multipart(struct st_contract *c, const json_t *media, const char *at, struct st_api_body *body)
{
    static const char *const allowed[] = {"type", "properties", "required", "additionalProperties", NULL};
    struct st_arena *a = c->r->arena;
    const char *pointer = st_json_pointer(a, at, "schema"), *encoding_at = st_json_pointer(a, at, "encoding"), *name;
    const json_t *schema = resolve(c, json_object_get(media, "schema"), &pointer), *property;
    const json_t *properties = json_object_get(schema, "properties"), *required = json_object_get(schema, "required");
    const json_t *more = json_object_get(schema, "additionalProperties");
    only(c, schema, pointer, "multipart/form-data", allowed);
    if (!st_streq(json_string_value(json_object_get(schema, "type")), "object"))
        st_contract_mistake(c, pointer, "the schema of multipart/form-data must be of type object");
    if (more && !json_is_boolean(more))
        st_contract_mistake(c, pointer, "additionalProperties of multipart/form-data must be true or false");
    body->open = !json_is_false(more);
    struct st_api_part *parts = st_new_n(a, struct st_api_part, json_object_size(properties));
    body->parts = parts;
    json_object_foreach ((json_t *)properties, name, property) {
        struct st_api_part *part = &parts[body->n_parts++];
        part->name = name;
        part->required = is_listed(required, name);
        read_part(c, property, st_json_pointer(a, st_json_pointer(a, pointer, "properties"), name),
                  json_object_get(json_object_get(media, "encoding"), name), encoding_at, part);
    }
    size_t i;
    json_t *item;
    json_array_foreach ((json_t *)required, i, item)
        if (!json_object_get(properties, json_string_value(item)))
            st_contract_mistake(c, pointer, "the required part %.80s is not among the properties",
                                json_string_value(item));
}

/* --- the whole --- */

static void refuse_encodings(struct st_contract *c, const json_t *media, const char *at, const struct st_api_body *body)
{
    const json_t *encodings = json_object_get(media, "encoding");
    const json_t *properties = st_contract_schema_member(c, json_object_get(media, "schema"), "properties");
    const char *name;
    json_t *value;
    bool members = body->kind == ST_BODY_FORM || body->kind == ST_BODY_MULTIPART;
    at = st_json_pointer(c->r->arena, at, "encoding");
    if (encodings && !members)
        st_contract_mistake(c, at, "encoding is for forms and multipart/form-data");
    json_object_foreach ((json_t *)encodings, name, value)
        if (members && !json_object_get(properties, name))
            st_contract_mistake(c, st_json_pointer(c->r->arena, at, name), "the schema has no property %.80s", name);
}

static void read_media(struct st_contract *c, const char *type, const json_t *media, const char *at,
                       const struct st_api_operation *op, struct st_api_body *body)
{
    const json_t *max = json_object_get(media, "x-body-max"), *schema = json_object_get(media, "schema");
    body->type = type;
    body->kind = is_json(type)                                         ? ST_BODY_JSON
                 : st_streq(type, "application/x-www-form-urlencoded") ? ST_BODY_FORM
                 : st_streq(type, "multipart/form-data")               ? ST_BODY_MULTIPART
                                                                       : ST_BODY_RAW;
    body->streamed = body->kind == ST_BODY_MULTIPART || body->kind == ST_BODY_RAW;
    const char *max_at = st_json_pointer(c->r->arena, at, "x-body-max");
    body->max = st_contract_body_max(c, max, max_at, op->body_max);
    if (!is_range(type))
        st_contract_mistake(c, at, "'%.80s' must be a media type in lower case, without parameters", type);
    else if (st_starts(type, "multipart/") && body->kind != ST_BODY_MULTIPART)
        st_contract_mistake(c, at, "of multipart, only multipart/form-data is supported");
    if (!body->streamed && body->max > MEMORY_MAX)
        st_contract_mistake(c, max ? max_at : at,
                            "JSON and forms are read into memory: x-body-max is at most 16m for them (it may also "
                            "stand beside the schema, for one media type)");
    if (!schema && body->kind != ST_BODY_RAW)
        st_contract_mistake(c, at, "the request body needs a schema");
    refuse_encodings(c, media, at, body);
    if (!body->streamed)
        body->schema = schema ? st_contract_compile(c, st_json_pointer(c->r->arena, at, "schema")) : NULL;
    if (body->kind == ST_BODY_FORM)
        read_form(c, media, at, body);
    else if (body->kind == ST_BODY_MULTIPART)
        read_multipart(c, media, at, body);
    else if (body->kind == ST_BODY_RAW)
        read_bytes(c, schema, st_json_pointer(c->r->arena, at, "schema"), &body->min, &body->max);
}

void st_contract_read_body(struct st_contract *c, const json_t *json, const char *at, struct st_api_operation *op)
{
    struct st_arena *a = c->r->arena;
    const json_t *request = json_object_get(json, "requestBody");
    op->body_max =
        st_contract_body_max(c, json_object_get(json, "x-body-max"), st_json_pointer(a, at, "x-body-max"), DEFAULT_MAX);
    if (!request)
        return;
    at = st_json_pointer(a, at, "requestBody");
    request = st_contract_deref(c, request, &at);
    const json_t *content = json_object_get(request, "content"), *media;
    if (op->method == ST_GET)
        st_contract_mistake(c, at, "GET has no request body");
    if (!json_object_size(content))
        st_contract_mistake(c, at, "the request body needs a media type");
    struct st_api_body *bodies = st_new_n(a, struct st_api_body, json_object_size(content));
    const char *type;
    int64_t largest = 0;
    op->bodies = bodies;
    op->body_required = st_json_bool(request, "required", false);
    json_object_foreach ((json_t *)content, type, media) {
        struct st_api_body *body = &bodies[op->n_bodies++];
        read_media(c, type, media, st_json_pointer(a, st_json_pointer(a, at, "content"), type), op, body);
        largest = body->max > largest ? body->max : largest;
        if (!body->streamed && body->max > op->body_memory)
            op->body_memory = body->max;
    }
    op->body_max = largest;
}
