/* The table of JSON Schema's keywords, and how each is compiled. */
#include "io/schema_impl.h"

#include <math.h>

/* Fills the operation from the keyword's value. SKIP: no operation. `at` points to the keyword. */
struct keyword_source {
    const json_t *schema, *value;
    const char *name, *at;
};
typedef int compile_fn(struct st_compiler *c, const struct keyword_source *src, struct st_op *op);
enum { SKIP = 1 };

static int compile_sub(struct st_compiler *c, const json_t *json, const char *at, struct st_op *op)
{
    int r = st_compile_schema(c, json, at, &op->subs[op->n_subs]);
    if (!r)
        op->n_subs++;
    return r;
}

/* "a string or null" */
const char *st_type_message(struct st_arena *a, unsigned types)
{
    static const struct {
        unsigned type;
        const char *name;
    } names[] = {{1u << JSON_OBJECT, "an object"},   {1u << JSON_ARRAY, "a list"},
                 {1u << JSON_STRING, "a string"},    {1u << JSON_REAL, "a number"},
                 {1u << JSON_INTEGER, "an integer"}, {1u << JSON_TRUE, "true or false"},
                 {1u << JSON_NULL, "null"}};
    const char *text = NULL;
    if (types & 1u << JSON_REAL)
        types &= ~(1u << JSON_INTEGER);
    for (size_t i = 0; i < ST_COUNT(names); i++)
        if (types & names[i].type)
            text = text ? st_printf(a, "%s or %s", text, names[i].name) : st_printf(a, "must be %s", names[i].name);
    return text ? text : "is not allowed here";
}

static unsigned type_bits(const char *name)
{
    static const struct {
        const char *name;
        unsigned types;
    } types[] = {{"object", 1u << JSON_OBJECT},
                 {"array", 1u << JSON_ARRAY},
                 {"string", 1u << JSON_STRING},
                 {"number", 1u << JSON_INTEGER | 1u << JSON_REAL},
                 {"integer", 1u << JSON_INTEGER | ST_T_INTEGRAL},
                 {"boolean", 1u << JSON_TRUE | 1u << JSON_FALSE},
                 {"null", 1u << JSON_NULL}};
    for (size_t i = 0; name && i < ST_COUNT(types); i++)
        if (strcmp(types[i].name, name) == 0)
            return types[i].types;
    return 0;
}

static int compile_type(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    size_t n = json_is_array(src->value) ? json_array_size(src->value) : 1;
    for (size_t i = 0; i < n; i++) {
        const json_t *name = json_is_array(src->value) ? json_array_get(src->value, i) : src->value;
        unsigned bits = type_bits(json_string_value(name));
        if (!bits)
            return st_compile_fail(c, src->at, "type must be object, array, string, number, integer, boolean or null");
        if ((op->types & bits) == bits)
            return st_compile_fail(c, src->at, "type names %s twice", json_string_value(name));
        op->types |= bits;
    }
    if (!n)
        return st_compile_fail(c, src->at, "type must not be an empty list");
    op->decides = true;
    op->message = st_type_message(c->arena, op->types);
    return 0;
}

static int compile_enum(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    enum { NAMED = 20, LONGEST = 300 };
    size_t i;
    const json_t *value;
    struct st_buf text = ST_BUF(LONGEST);
    if (!json_is_array(src->value))
        return st_compile_fail(c, src->at, "enum must be a list");
    if (!json_array_size(src->value))
        st_buf_str(&text, "is not allowed here");
    json_array_foreach ((json_t *)src->value, i, value) {
        st_buf_str(&text, i ? ", " : "must be one of: ");
        st_buf_str(&text, json_is_string(value) ? json_string_value(value) : st_json_text(c->arena, value));
    }
    bool listed = !text.failed && json_array_size(src->value) <= NAMED;
    op->value = st_value_from_json(c->arena, src->value);
    op->message = listed ? st_strndup(c->arena, text.data, text.len) : "must be one of the allowed values";
    op->decides = true;
    st_buf_release(&text);
    return 0;
}

static int compile_const(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    const char *text = st_json_text(c->arena, src->value);
    op->value = st_value_from_json(c->arena, src->value);
    op->message = strlen(text) <= 200 ? st_printf(c->arena, "must be %s", text) : "must be the one allowed value";
    op->decides = true;
    return 0;
}

static int compile_ref(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    if (!json_is_string(src->value))
        return st_compile_fail(c, src->at, "$ref must be a string");
    op->in_place = true;
    op->subs = st_new(c->arena, const struct st_schema *);
    op->n_subs = 1;
    return st_compile_ref(c, json_string_value(src->value), src->at, &op->subs[0]);
}

static int compile_dynamic_ref(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    if (!json_is_string(src->value))
        return st_compile_fail(c, src->at, "$dynamicRef must be a string");
    op->in_place = true;
    return st_compile_dynamic_ref(c, json_string_value(src->value), src->at, op);
}

/* allOf, anyOf, oneOf */
static int compile_list(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    size_t n = json_array_size(src->value);
    if (!n)
        return st_compile_fail(c, src->at, "%s must be a list of schemas that is not empty", src->name);
    op->in_place = true;
    op->subs = st_new_n(c->arena, const struct st_schema *, n);
    for (size_t i = 0; i < n; i++) {
        int r = compile_sub(c, json_array_get(src->value, i), st_printf(c->arena, "%s/%zu", src->at, i), op);
        if (r < 0)
            return r;
    }
    op->message = st_streq(src->name, "oneOf") ? "must match exactly one of the allowed forms, but matches several"
                                               : st_printf(c->arena, "must match one of the %zu allowed forms", n);
    return 0;
}

static int compile_not(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    op->in_place = true;
    op->subs = st_new(c->arena, const struct st_schema *);
    op->message = "is not an allowed value";
    return compile_sub(c, src->value, src->at, op);
}

/* subs: if, then, else; a branch that is missing is the empty schema. */
static int compile_if(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    static const char *const branches[] = {"if", "then", "else"};
    const char *parent = st_strndup(c->arena, src->at, strlen(src->at) - strlen("/if"));
    op->in_place = true;
    op->subs = st_new_n(c->arena, const struct st_schema *, ST_COUNT(branches));
    for (size_t i = 0; i < ST_COUNT(branches); i++) {
        const json_t *json = json_object_get(src->schema, branches[i]);
        int r = compile_sub(c, json ? json : json_true(), st_json_pointer(c->arena, parent, branches[i]), op);
        if (r < 0)
            return r;
    }
    return 0;
}

/* minContains with contains, then with if: the keyword works only beside its partner, which reads it. */
static int compile_partner(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    (void)op;
    const char *partner = strstr(src->name, "Contains") ? "contains" : "if";
    if (!json_object_get(src->schema, partner))
        return st_compile_fail(c, src->at, "%s needs %s beside it", src->name, partner);
    return SKIP;
}

static int read_count(struct st_compiler *c, const json_t *value, const char *name, const char *at, int64_t *ret)
{
    double d = json_number_value(value);
    if (!json_is_number(value) || d < 0 || d != rint(d) || d > (double)INT32_MAX)
        return st_compile_fail(c, at, "%s must be an integer from 0 to %d", name, INT32_MAX);
    *ret = (int64_t)d;
    return 0;
}

/* minLength … maxProperties */
static int compile_count(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    static const struct {
        const char *unit, *verb, *one, *many;
    } units[] = {{"Length", "be", "character long", "characters long"},
                 {"Items", "have", "item", "items"},
                 {"Properties", "have", "member", "members"}};
    int r = read_count(c, src->value, src->name, src->at, &op->min);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ST_COUNT(units); i++) {
        if (strcmp(src->name + strlen("min"), units[i].unit) == 0)
            op->message = st_printf(c->arena, "must %s at %s %lld %s", units[i].verb,
                                    st_starts(src->name, "min") ? "least" : "most", (long long)op->min,
                                    op->min == 1 ? units[i].one : units[i].many);
    }
    return 0;
}

/* minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf */
static int compile_number(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    static const struct {
        const char *name, *text;
    } texts[] = {{"minimum", "at least"},
                 {"maximum", "at most"},
                 {"exclusiveMinimum", "greater than"},
                 {"exclusiveMaximum", "less than"},
                 {"multipleOf", "a multiple of"}};
    if (!json_is_number(src->value))
        return st_compile_fail(c, src->at, "%s must be a number", src->name);
    op->value = st_value_from_json(c->arena, src->value);
    if (st_streq(src->name, "multipleOf") && json_number_value(src->value) <= 0)
        return st_compile_fail(c, src->at, "multipleOf must be greater than 0");
    for (size_t i = 0; i < ST_COUNT(texts); i++)
        if (strcmp(src->name, texts[i].name) == 0)
            op->message = st_printf(c->arena, "must be %s %s", texts[i].text, st_json_text(c->arena, src->value));
    return 0;
}

static int add_pattern(struct st_compiler *c, const char *text, const char *at, const struct st_pattern **ret)
{
    const char *why;
    if (!text)
        return st_compile_fail(c, at, "must be a string");
    if (st_pattern_compile(c->arena, text, ret, &why) < 0)
        return st_compile_fail(c, at, "%s", why);
    return 0;
}

static int compile_pattern(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    const char *text = json_string_value(src->value);
    const struct st_pattern **pattern = st_new(c->arena, const struct st_pattern *);
    int r = add_pattern(c, text, src->at, pattern);
    if (r < 0)
        return r;
    op->patterns = pattern;
    op->n_patterns = 1;
    /* A pattern says little to people; x-message beside it says what to mend. */
    op->message = st_json_str(src->schema, "x-message", st_printf(c->arena, "must match the pattern %s", text));
    return 0;
}

static int compile_format(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    const char *name = json_string_value(src->value);
    op->format = name ? st_format_find(name) : NULL;
    if (!op->format)
        return st_compile_fail(c, src->at, "the format %s is not supported", name ? name : "must be a string and");
    op->message = st_format_message(op->format);
    op->applies = st_format_applies(op->format);
    return op->applies ? 0 : SKIP;
}

static int compile_unique(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    if (!json_is_boolean(src->value))
        return st_compile_fail(c, src->at, "uniqueItems must be true or false");
    op->message = "must not contain the same item twice";
    return json_is_true(src->value) ? 0 : SKIP;
}

/* subs: prefixItems; rest: items */
static int compile_items(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    const json_t *prefix = json_object_get(src->schema, "prefixItems");
    if (prefix && st_streq(src->name, "items"))
        return SKIP; /* done with prefixItems */
    if (prefix && !json_array_size(prefix))
        return st_compile_fail(c, src->at, "prefixItems must be a list of schemas that is not empty");
    size_t n = json_array_size(prefix);
    op->subs = st_new_n(c->arena, const struct st_schema *, n);
    for (size_t i = 0; i < n; i++) {
        int r = compile_sub(c, json_array_get(prefix, i), st_printf(c->arena, "%s/%zu", src->at, i), op);
        if (r < 0)
            return r;
    }
    const json_t *items = json_object_get(src->schema, "items");
    const char *parent = st_strndup(c->arena, src->at, strlen(src->at) - strlen(src->name) - 1);
    return items ? st_compile_schema(c, items, st_json_pointer(c->arena, parent, "items"), &op->rest) : 0;
}

static int compile_contains(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    const json_t *min = json_object_get(src->schema, "minContains"), *max = json_object_get(src->schema, "maxContains");
    int r = 0;
    op->min = 1;
    op->max = -1;
    if (min)
        r = read_count(c, min, "minContains", src->at, &op->min);
    if (!r && max)
        r = read_count(c, max, "maxContains", src->at, &op->max);
    if (r < 0)
        return r;
    op->message = max ? st_printf(c->arena, "must contain %lld to %lld items of the required kind", (long long)op->min,
                                  (long long)op->max)
                      : st_printf(c->arena, "must contain at least %lld item%s of the required kind",
                                  (long long)op->min, op->min == 1 ? "" : "s");
    op->subs = st_new(c->arena, const struct st_schema *);
    return compile_sub(c, src->value, src->at, op);
}

/* A list of distinct strings. */
static int read_strings(struct st_compiler *c, const json_t *list, const char *at, const char *const **ret, int *ret_n)
{
    size_t n = json_array_size(list);
    const char **strings = st_new_n(c->arena, const char *, n);
    json_t *seen = st_json_keep(c->arena, json_object());
    for (size_t i = 0; i < n; i++) {
        strings[i] = json_string_value(json_array_get(list, i));
        if (!strings[i] || json_object_get(seen, strings[i]))
            return st_compile_fail(c, at, "must be a list of distinct names");
        if (strlen(strings[i]) != json_string_length(json_array_get(list, i)))
            return st_compile_fail(c, at, "names with \\u0000 are not supported");
        json_object_set_new(seen, strings[i], json_true());
    }
    if (!json_is_array(list))
        return st_compile_fail(c, at, "must be a list of names");
    *ret = strings;
    *ret_n = (int)n;
    return 0;
}

static int compile_required(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    int r = read_strings(c, src->value, src->at, &op->strings, &op->n_strings);
    struct st_names *names = st_names_new(c->arena, (size_t)op->n_strings);
    for (int i = 0; i < op->n_strings; i++)
        st_names_add(names, op->strings[i], i);
    op->names = names;
    return r;
}

/* Adds the members of a map of schemas to subs, and their indexes to names (unless NULL). */
static int add_map(struct st_compiler *c, const json_t *map, const char *at, struct st_op *op, struct st_names *names)
{
    const char *name;
    json_t *json;
    if (!json_is_object(map))
        return st_compile_fail(c, at, "must be a map of schemas");
    json_object_foreach ((json_t *)map, name, json) {
        if (names)
            st_names_add(names, name, op->n_subs);
        int r = compile_sub(c, json, st_json_pointer(c->arena, at, name), op);
        if (r < 0)
            return r;
    }
    return 0;
}

static int compile_patterns(struct st_compiler *c, const json_t *map, const char *at, struct st_op *op)
{
    const char *text;
    json_t *json;
    const struct st_pattern **patterns = st_new_n(c->arena, const struct st_pattern *, json_object_size(map));
    json_object_foreach ((json_t *)map, text, json) {
        int r = add_pattern(c, text, st_json_pointer(c->arena, at, text), &patterns[op->n_patterns++]);
        if (r < 0)
            return r;
    }
    op->patterns = patterns;
    return 0;
}

/* properties, patternProperties, additionalProperties: one operation, made by the first of them. */
static int compile_members(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    static const char *const group[] = {"properties", "patternProperties", "additionalProperties"};
    const json_t *part[ST_COUNT(group)];
    const char *at[ST_COUNT(group)];
    const char *parent = st_strndup(c->arena, src->at, strlen(src->at) - strlen(src->name) - 1);
    for (size_t i = 0; i < ST_COUNT(group); i++) {
        part[i] = json_object_get(src->schema, group[i]);
        at[i] = st_json_pointer(c->arena, parent, group[i]);
    }
    if ((part[0] || part[1]) && !st_streq(src->name, part[0] ? group[0] : group[1]))
        return SKIP;
    struct st_names *names = part[0] ? st_names_new(c->arena, json_object_size(part[0])) : NULL;
    op->subs = st_new_n(c->arena, const struct st_schema *, json_object_size(part[0]) + json_object_size(part[1]));
    op->names = names;
    int r = part[0] ? add_map(c, part[0], at[0], op, names) : 0;
    op->n_names = op->n_subs;
    if (!r && part[1])
        r = add_map(c, part[1], at[1], op, NULL); /* patterns are not looked up by name */
    if (!r && part[1])
        r = compile_patterns(c, part[1], at[1], op);
    if (!r && part[2])
        r = st_compile_schema(c, part[2], at[2], &op->rest);
    return r;
}

static int compile_member_names(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    op->subs = st_new(c->arena, const struct st_schema *);
    return compile_sub(c, src->value, src->at, op);
}

static int compile_dependent_schemas(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    op->in_place = true;
    size_t n = json_object_size(src->value);
    const char **names = st_new_n(c->arena, const char *, n), *name;
    json_t *sub;
    json_object_foreach ((json_t *)src->value, name, sub)
        names[op->n_strings++] = name;
    op->strings = names;
    op->subs = st_new_n(c->arena, const struct st_schema *, n);
    return add_map(c, src->value, src->at, op, NULL);
}

static int compile_unevaluated(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    return st_compile_schema(c, src->value, src->at, &op->rest);
}

static int compile_dependent_required(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    const char *name, *const *strings;
    json_t *list;
    int n;
    if (!json_is_object(src->value))
        return st_compile_fail(c, src->at, "must be a map of lists of names");
    op->value = st_value_from_json(c->arena, src->value);
    json_object_foreach ((json_t *)src->value, name, list) {
        int r = read_strings(c, list, st_json_pointer(c->arena, src->at, name), &strings, &n);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Nothing is checked by $defs itself, but a mistake in it is one even where nobody refers to it. */
static int compile_defs(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    op->subs = st_new_n(c->arena, const struct st_schema *, json_object_size(src->value));
    int r = add_map(c, src->value, src->at, op, NULL);
    return r < 0 ? r : SKIP;
}

static int compile_annotation(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    (void)c, (void)src, (void)op;
    return SKIP;
}

/* The draft that a schema names must be the one that is implemented. */
static int compile_dialect(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    static const char *const dialects[] = {ST_META_URI, ST_META_URI "#",
                                           "https://spec.openapis.org/oas/3.1/dialect/base"};
    (void)op;
    for (size_t i = 0; i < ST_COUNT(dialects); i++)
        if (st_streq(json_string_value(src->value), dialects[i]))
            return SKIP;
    return st_compile_fail(c, src->at, "$schema must be " ST_META_URI);
}

/* Vocabularies say what a schema written in this dialect may use; here it is one schema among others. */
static int compile_vocabulary(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    static const char known[] = "https://json-schema.org/draft/2020-12/vocab/";
    const char *uri;
    json_t *required;
    (void)op;
    if (!json_is_object(src->value))
        return st_compile_fail(c, src->at, "$vocabulary must be a map");
    json_object_foreach ((json_t *)src->value, uri, required)
        if (!json_is_false(required) && !st_starts(uri, known))
            return st_compile_fail(c, src->at, "the vocabulary %.200s is not supported", uri);
    return SKIP;
}

static int compile_text(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    (void)op;
    return json_is_string(src->value) ? SKIP : st_compile_fail(c, src->at, "%s must be a string", src->name);
}

static int compile_dependencies(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    (void)op;
    return st_compile_fail(c, src->at,
                           "dependencies is not part of draft 2020-12: write dependentRequired or dependentSchemas");
}

static int compile_nullable(struct st_compiler *c, const struct keyword_source *src, struct st_op *op)
{
    (void)op;
    return st_compile_fail(c, src->at, "nullable is not part of OpenAPI 3.1: write type: [string, 'null']");
}

enum {
    OBJECT = 1 << JSON_OBJECT,
    ARRAY = 1 << JSON_ARRAY,
    STRING = 1 << JSON_STRING,
    NUMBER = 1 << JSON_INTEGER | 1 << JSON_REAL,
    ANY = 0xff,
};

/* In the order of checking: what decides or is cheap comes first. */
static const struct keyword {
    const char *name;
    compile_fn *compile;
    st_op_check *check;
    unsigned applies;
} keywords[] = {
    {"type", compile_type, st_check_type, ANY},
    {"const", compile_const, st_check_const, ANY},
    {"enum", compile_enum, st_check_enum, ANY},
    {"minLength", compile_count, st_check_min_length, STRING},
    {"maxLength", compile_count, st_check_max_length, STRING},
    {"format", compile_format, st_check_format, STRING | NUMBER},
    {"pattern", compile_pattern, st_check_pattern, STRING},
    {"minimum", compile_number, st_check_minimum, NUMBER},
    {"maximum", compile_number, st_check_maximum, NUMBER},
    {"exclusiveMinimum", compile_number, st_check_above, NUMBER},
    {"exclusiveMaximum", compile_number, st_check_below, NUMBER},
    {"multipleOf", compile_number, st_check_multiple, NUMBER},
    {"minProperties", compile_count, st_check_min_members, OBJECT},
    {"maxProperties", compile_count, st_check_max_members, OBJECT},
    {"required", compile_required, st_check_required, OBJECT},
    {"dependentRequired", compile_dependent_required, st_check_dependent_required, OBJECT},
    {"propertyNames", compile_member_names, st_check_member_names, OBJECT},
    {"properties", compile_members, st_check_members, OBJECT},
    {"patternProperties", compile_members, st_check_members, OBJECT},
    {"additionalProperties", compile_members, st_check_members, OBJECT},
    {"minItems", compile_count, st_check_min_items, ARRAY},
    {"maxItems", compile_count, st_check_max_items, ARRAY},
    {"prefixItems", compile_items, st_check_items, ARRAY},
    {"items", compile_items, st_check_items, ARRAY},
    {"uniqueItems", compile_unique, st_check_unique, ARRAY},
    {"contains", compile_contains, st_check_contains, ARRAY},
    {"minContains", compile_partner, NULL, 0},
    {"maxContains", compile_partner, NULL, 0},
    {"$ref", compile_ref, st_check_ref, ANY},
    {"$dynamicRef", compile_dynamic_ref, st_check_dynamic_ref, ANY},
    {"allOf", compile_list, st_check_all, ANY},
    {"anyOf", compile_list, st_check_any, ANY},
    {"oneOf", compile_list, st_check_one, ANY},
    {"not", compile_not, st_check_not, ANY},
    {"if", compile_if, st_check_if, ANY},
    {"then", compile_partner, NULL, 0},
    {"else", compile_partner, NULL, 0},
    {"dependentSchemas", compile_dependent_schemas, st_check_dependent_schemas, OBJECT},
    {"unevaluatedProperties", compile_unevaluated, st_check_unevaluated, OBJECT},
    {"unevaluatedItems", compile_unevaluated, st_check_unevaluated, ARRAY},
    {"$defs", compile_defs, NULL, 0},
    {"$anchor", compile_text, NULL, 0},
    {"$dynamicAnchor", compile_text, NULL, 0},
    {"$id", compile_text, NULL, 0},
    {"$schema", compile_dialect, NULL, 0},
    {"$vocabulary", compile_vocabulary, NULL, 0},
    {"$comment", compile_text, NULL, 0},
    {"contentMediaType", compile_text, NULL, 0},
    {"description", compile_text, NULL, 0},
    {"title", compile_text, NULL, 0},
    {"default", compile_annotation, NULL, 0},
    {"examples", compile_annotation, NULL, 0},
    {"example", compile_annotation, NULL, 0},
    {"deprecated", compile_annotation, NULL, 0},
    {"discriminator", compile_annotation, NULL, 0},
    {"externalDocs", compile_annotation, NULL, 0},
    {"xml", compile_annotation, NULL, 0},
    {"readOnly", compile_annotation, NULL, 0},
    {"writeOnly", compile_annotation, NULL, 0},
    {"contentMediaType", compile_text, NULL, 0},
    {"contentEncoding", compile_text, NULL, 0},
    {"contentSchema", compile_annotation, NULL, 0},
    {"dependencies", compile_dependencies, NULL, 0},
    {"nullable", compile_nullable, NULL, 0},
};

static int refuse_unknown(struct st_compiler *c, const json_t *json, const char *pointer)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)json, name, value) {
        size_t i = 0;
        while (i < ST_COUNT(keywords) && strcmp(keywords[i].name, name) != 0)
            i++;
        if (i == ST_COUNT(keywords) && !st_starts(name, "x-"))
            return st_compile_fail(c, st_json_pointer(c->arena, pointer, name), "%.80s is not a known keyword", name);
    }
    return 0;
}

int st_compile_keywords(struct st_compiler *c, const json_t *json, struct st_schema *s)
{
    int r = refuse_unknown(c, json, s->pointer);
    if (r < 0)
        return r;
    struct st_op *ops = st_new_n(c->arena, struct st_op, json_object_size(json));
    int n = 0;
    for (const struct keyword *k = keywords; k < keywords + ST_COUNT(keywords); k++) {
        const json_t *value = json_object_get(json, k->name);
        if (!value)
            continue;
        if (json_is_string(value) && k->compile != compile_const && k->compile != compile_annotation &&
            strlen(json_string_value(value)) != json_string_length(value))
            return st_compile_fail(c, st_json_pointer(c->arena, s->pointer, k->name), "\\u0000 is not supported here");
        struct keyword_source src = {json, value, k->name, st_json_pointer(c->arena, s->pointer, k->name)};
        struct st_op op = {.check = k->check, .applies = k->applies};
        r = k->compile(c, &src, &op);
        if (r < 0)
            return r;
        if (r != SKIP)
            ops[n++] = op;
        if (k->check == st_check_unevaluated)
            s->collects |= k->applies;
    }
    s->ops = ops; /* only now: while compiling, a recursive reference sees the schema, not its operations */
    s->n_ops = n;
    return 0;
}
