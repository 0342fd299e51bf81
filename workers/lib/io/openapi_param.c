/* Reads the parameters of an operation: where they are, how their text is laid out, what becomes of it. */
#include "io/openapi_impl.h"

#include <strings.h>

enum { MAX_PARAMS = 32, MAX_REFS = 8 };

const struct st_schema *st_contract_compile(struct st_contract *c, const char *pointer)
{
    const struct st_schema *s = NULL;
    const char *at, *why;
    if (!c->schemas)
        c->schemas = st_schema_compiler(c->r->arena, c->yaml.root);
    if (st_schema_compile_with(c->schemas, pointer, &s, &at, &why) < 0)
        st_contract_mistake(c, at, "%s", why);
    return s;
}

const json_t *st_contract_schema_member(struct st_contract *c, const json_t *schema, const char *name)
{
    for (int i = 0; schema && i < MAX_REFS; i++) {
        const char *ref = st_json_str(schema, "$ref", NULL);
        if (json_object_get(schema, name) || !ref || *ref != '#')
            return json_object_get(schema, name);
        schema = st_json_at(c->yaml.root, ref + 1);
    }
    return NULL;
}

/* --- types --- */

/* 0: none of them */
static char type_of(struct st_contract *c, const json_t *schema)
{
    static const char *const types[] = {"string", "integer", "number", "boolean", "array", "object"};
    const char *type = json_string_value(st_contract_schema_member(c, schema, "type"));
    for (size_t i = 0; i < ST_COUNT(types); i++)
        if (st_streq(type, types[i]))
            return types[i][0];
    return 0;
}

static bool is_scalar(char type)
{
    return type && strchr("sinb", type);
}

static bool read_members(struct st_contract *c, const json_t *schema, struct st_api_type *t)
{
    const json_t *properties = st_contract_schema_member(c, schema, "properties");
    struct st_api_member *members = st_new_n(c->r->arena, struct st_api_member, json_object_size(properties));
    const char *name;
    json_t *value;
    t->members = members;
    json_object_foreach ((json_t *)properties, name, value) {
        members[t->n_members] = (struct st_api_member){name, type_of(c, value)};
        if (!is_scalar(members[t->n_members++].type))
            return false;
    }
    return true;
}

bool st_contract_read_type(struct st_contract *c, const json_t *schema, struct st_api_type *ret)
{
    struct st_api_type t = {.of = type_of(c, schema), .items = 's'};
    const json_t *items = st_contract_schema_member(c, schema, t.of == 'a' ? "items" : "additionalProperties");
    if (!t.of || (t.of == 'o' && !read_members(c, schema, &t)))
        return false;
    if (!is_scalar(t.of) && json_is_object(items) && json_object_size(items))
        t.items = type_of(c, items);
    if (!is_scalar(t.items))
        return false;
    *ret = t;
    return true;
}

/* --- places and styles --- */

static void read_place(struct st_contract *c, const json_t *json, const char *at, const struct st_template *t,
                       struct st_api_param *p)
{
    static const char *const places[] = {
        [ST_IN_PATH] = "path", [ST_IN_QUERY] = "query", [ST_IN_HEADER] = "header", [ST_IN_COOKIE] = "cookie"};
    static const char *const reserved[] = {"accept", "content-type", "authorization", "cookie"};
    const char *in = st_json_str(json, "in", "");
    size_t place = 0;
    while (place < ST_COUNT(places) && strcmp(places[place], in) != 0)
        place++;
    if (place == ST_COUNT(places)) {
        st_contract_mistake(c, at, "in must be path, query, header or cookie");
        return;
    }
    p->in = (enum st_api_in)place;
    for (size_t i = 0; p->in == ST_IN_HEADER && i < ST_COUNT(reserved); i++)
        if (strcasecmp(p->name, reserved[i]) == 0)
            st_contract_mistake(c, at, "the header %s is not a parameter", p->name);
    if (p->in != ST_IN_PATH)
        return;
    p->path_index = -1;
    for (int i = 0; i < t->n; i++)
        if (st_streq(t->names[i], p->name))
            p->path_index = i;
    if (p->path_index < 0)
        st_contract_mistake(c, at, "the path has no {%.80s}", p->name);
    if (!p->required)
        st_contract_mistake(c, at, "a path parameter needs required: true");
}

/* What a style cannot carry; NULL when it can. */
static const char *style_fault(const struct st_api_param *p, bool explode_given)
{
    bool list = p->type.of == 'a', object = p->type.of == 'o';
    switch (p->style) {
    case ST_SPACES:
    case ST_PIPES:
        if (!list)
            return "this style is for lists";
        return p->explode ? "this style goes with explode: false; for repeated parameters write style: form" : NULL;
    case ST_DEEP:
        if (!object)
            return "deepObject is for objects";
        return explode_given && !p->explode ? "deepObject has no explode: false" : NULL;
    case ST_FORM:
        if (p->in == ST_IN_COOKIE && (list || object) && p->explode)
            return "a list or an object in a cookie needs explode: false";
        if (p->in == ST_IN_FORM && object)
            return "an object in a form needs style: deepObject, or contentType: application/json";
        return object && p->explode && !p->type.n_members ? "an exploded object must name its properties" : NULL;
    default: return NULL;
    }
}

void st_contract_read_style(struct st_contract *c, const json_t *json, const char *at, struct st_api_param *p)
{
    static const struct {
        const char *name;
        unsigned in;
    } styles[] = {
        [ST_SIMPLE] = {"simple", 1u << ST_IN_PATH | 1u << ST_IN_HEADER},
        [ST_LABEL] = {"label", 1u << ST_IN_PATH},
        [ST_FORM] = {"form", 1u << ST_IN_QUERY | 1u << ST_IN_COOKIE | 1u << ST_IN_FORM},
        [ST_SPACES] = {"spaceDelimited", 1u << ST_IN_QUERY | 1u << ST_IN_FORM},
        [ST_PIPES] = {"pipeDelimited", 1u << ST_IN_QUERY | 1u << ST_IN_FORM},
        [ST_DEEP] = {"deepObject", 1u << ST_IN_QUERY | 1u << ST_IN_FORM},
    };
    bool simple = p->in == ST_IN_PATH || p->in == ST_IN_HEADER, given = json_object_get(json, "explode");
    const char *name = st_json_str(json, "style", simple ? "simple" : "form"), *fault;
    size_t i = 0;
    while (i < ST_COUNT(styles) && strcmp(styles[i].name, name) != 0)
        i++;
    p->style = (enum st_api_style)i;
    p->explode = st_json_bool(json, "explode", st_streq(name, "form"));
    if (st_streq(name, "matrix"))
        st_contract_mistake(c, at, "the style matrix is not supported: \";\" never passes the edge");
    else if (i == ST_COUNT(styles) || !(styles[i].in & 1u << p->in))
        st_contract_mistake(c, at, "there is no style %.40s here", name);
    else if (p->type.of && p->type.of != 'j' && (fault = style_fault(p, given)) != NULL)
        st_contract_mistake(c, at, "%s", fault);
}

/* --- one parameter --- */

static void read_fallback(struct st_contract *c, const json_t *schema, const char *at, struct st_api_param *p)
{
    struct st_schema_errors errors;
    p->fallback = st_contract_schema_member(c, schema, "default");
    if (!p->fallback)
        return;
    if (p->schema && st_schema_check(p->schema, p->fallback, c->r->arena, &errors) < 0)
        st_contract_mistake(c, at, "the default%s %s", errors.list[0].pointer, errors.list[0].message);
    if (p->required)
        st_contract_mistake(c, at, "a default for a required parameter is never used");
}

/* The value is one JSON text. */
static void read_content(struct st_contract *c, const json_t *content, const char *at, struct st_api_param *p)
{
    const json_t *media = json_object_get(content, "application/json");
    const char *pointer = st_json_pointer(c->r->arena, at, "content");
    p->type.of = 'j';
    if (json_object_size(content) != 1 || !json_object_get(media, "schema"))
        st_contract_mistake(c, pointer, "the content of a parameter must be application/json with a schema");
    else
        p->schema = st_contract_compile(c, st_printf(c->r->arena, "%s/application~1json/schema", pointer));
}

static void refuse_members(struct st_contract *c, const json_t *json, const char *at, const struct st_api_param *p)
{
    static const char *const of_schema[] = {"style", "explode", "allowReserved", "schema"};
    bool content = json_object_get(json, "content");
    for (size_t i = 0; content && i < ST_COUNT(of_schema); i++)
        if (json_object_get(json, of_schema[i]))
            st_contract_mistake(c, at, "%s has no meaning beside content", of_schema[i]);
    if (!content && !json_object_get(json, "schema"))
        st_contract_mistake(c, at, "schema or content is missing in a parameter");
    if (json_object_get(json, "allowReserved") && p->in != ST_IN_QUERY)
        st_contract_mistake(c, at, "allowReserved is for parameters in query");
    if (st_json_bool(json, "allowEmptyValue", false))
        st_contract_mistake(c, at, "allowEmptyValue is not supported: say in the schema that \"\" is allowed");
}

/* Of a string whose length alone matters. */
static void read_length(const json_t *schema, struct st_api_param *p)
{
    static const char *const others[] = {"type",    "minLength", "title",     "description",
                                         "example", "examples",  "deprecated"};
    const json_t *least = json_object_get(schema, "minLength"), *most = json_object_get(schema, "maxLength");
    size_t known = json_is_integer(most);
    for (size_t i = 0; i < ST_COUNT(others); i++)
        known += json_object_get(schema, others[i]) != NULL;
    if (p->type.of != 's' || !json_is_integer(most) || (least && !json_is_integer(least)) ||
        known != json_object_size(schema))
        return;
    p->length_min = json_integer_value(least);
    p->length_max = json_integer_value(most);
}

static struct st_api_param read_param(struct st_contract *c, const json_t *json, const char *at,
                                      const struct st_template *t)
{
    json = st_contract_deref(c, json, &at);
    struct st_api_param p = {.name = st_json_str(json, "name", ""), .required = st_json_bool(json, "required", false)};
    const json_t *schema = json_object_get(json, "schema"), *content = json_object_get(json, "content");
    read_place(c, json, at, t, &p);
    refuse_members(c, json, at, &p);
    if (content) {
        read_content(c, content, at, &p);
    } else if (schema) {
        const char *pointer = st_json_pointer(c->r->arena, at, "schema");
        if (!st_contract_read_type(c, schema, &p.type))
            st_contract_mistake(c, pointer,
                                "the type of a parameter must be string, integer, number or boolean, or array or "
                                "object of these; or it is JSON and has content instead of a schema");
        p.schema = st_contract_compile(c, pointer);
        read_length(schema, &p);
        read_fallback(c, schema, pointer, &p);
    }
    st_contract_read_style(c, content ? NULL : json, at, &p);
    return p;
}

static bool same_name(const struct st_api_param *a, const struct st_api_param *b)
{
    bool headers = a->in == ST_IN_HEADER && b->in == ST_IN_HEADER;
    return (headers ? strcasecmp(a->name, b->name) : strcmp(a->name, b->name)) == 0;
}

/* Of the operation first, so that they win over the path's. Values by name must be unambiguous in the result. */
static void add_params(struct st_contract *c, const json_t *list, const char *at, const struct st_template *t,
                       struct st_api_operation *op, struct st_api_param *params, bool inherited)
{
    size_t i;
    json_t *json;
    json_array_foreach ((json_t *)list, i, json) {
        const char *pointer = st_printf(c->r->arena, "%s/parameters/%zu", at, i);
        struct st_api_param p = read_param(c, json, pointer, t);
        int k = 0;
        while (k < op->n_params && !same_name(&params[k], &p))
            k++;
        if (k == op->n_params && k < MAX_PARAMS)
            params[op->n_params++] = p;
        else if (k == op->n_params)
            st_contract_mistake(c, pointer, "more than %d parameters", MAX_PARAMS);
        else if (!inherited || params[k].in != p.in)
            st_contract_mistake(c, pointer, "the parameter %.80s is there twice", p.name);
    }
}

static bool is_spread(const struct st_api_param *p)
{
    return p->in == ST_IN_QUERY && p->style == ST_FORM && p->explode && p->type.of == 'o';
}

/* The members of an exploded object stand in the query by their own names. */
static void refuse_clashes(struct st_contract *c, const char *at, const struct st_api_operation *op)
{
    for (int i = 0; i < op->n_params; i++) {
        const struct st_api_param *p = &op->params[i];
        for (int m = 0; is_spread(p) && m < p->type.n_members; m++) {
            for (int k = 0; k < op->n_params; k++) {
                const struct st_api_param *other = &op->params[k];
                bool clash = k != i && !is_spread(other) && other->in == ST_IN_QUERY &&
                             strcmp(other->name, p->type.members[m].name) == 0;
                for (int n = 0; k > i && is_spread(other) && n < other->type.n_members; n++)
                    clash = clash || strcmp(other->type.members[n].name, p->type.members[m].name) == 0;
                if (clash)
                    st_contract_mistake(c, at, "the member %.80s of %.80s stands in the query beside %.80s",
                                        p->type.members[m].name, p->name, other->name);
            }
        }
    }
}

void st_contract_read_params(struct st_contract *c, const json_t *item, const char *item_at, const json_t *json,
                             const char *at, const struct st_template *t, struct st_api_operation *op)
{
    struct st_api_param *params = st_new_n(c->r->arena, struct st_api_param, MAX_PARAMS);
    op->params = params;
    add_params(c, json_object_get(json, "parameters"), at, t, op, params, false);
    add_params(c, json_object_get(item, "parameters"), item_at, t, op, params, true);
    refuse_clashes(c, at, op);
    for (int i = 0; i < t->n; i++) {
        bool found = false;
        for (int k = 0; k < op->n_params; k++)
            found = found || (params[k].in == ST_IN_PATH && params[k].path_index == i);
        if (!found)
            st_contract_mistake(c, at, "there is no parameter for {%.80s}", t->names[i]);
    }
}
