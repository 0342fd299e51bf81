/*
 * Are two schemas the same to those who send, or to those who receive? Every keyword is a row below: its change makes
 * a schema tighter (it accepts less) or looser (it accepts more). Tighter breaks requests, looser breaks answers.
 */
#include "storyctl/ctl_api.h"

enum { DEPTH = 32 };
enum change { TIGHTER, LOOSER, OTHER };

struct side {
    struct ctl_diff *d;
    bool request;
    json_t *seen; /* pairs that were compared */
};

static void compare(const struct side *s, const json_t *before, const json_t *after, const char *where, int depth);

static void changed(const struct side *s, enum change change, const char *where, const char *what)
{
    static const char *const rules[][2] = {[TIGHTER] = {"answer-narrowed", "request-narrowed"},
                                           [LOOSER] = {"answer-widened", "request-widened"},
                                           [OTHER] = {"answer-changed", "request-changed"}};
    bool breaking = change == OTHER || (change == TIGHTER) == s->request;
    ctl_diff_note(s->d, breaking, rules[change][s->request], "%s: %s", where, what);
}

static const char *text_of(const struct side *s, const json_t *j)
{
    return j ? st_json_text(s->d->arena, j) : "none";
}

/* --- numbers --- */

static const struct {
    const char *name;
    bool lower; /* a lower bound: more of it is tighter */
} bounds[] = {{"minLength", true},        {"maxLength", false},        {"minimum", true},     {"maximum", false},
              {"exclusiveMinimum", true}, {"exclusiveMaximum", false}, {"minItems", true},    {"maxItems", false},
              {"minProperties", true},    {"maxProperties", false},    {"minContains", true}, {"maxContains", false}};

static void compare_bounds(const struct side *s, const json_t *before, const json_t *after, const char *where)
{
    for (size_t i = 0; i < ST_COUNT(bounds); i++) {
        const json_t *a = json_object_get(before, bounds[i].name), *b = json_object_get(after, bounds[i].name);
        if (a == b || json_equal(a, b))
            continue;
        bool more = json_number_value(b) > json_number_value(a);
        bool tighter = !a || (b && more == bounds[i].lower);
        changed(s, tighter ? TIGHTER : LOOSER, where,
                st_printf(s->d->arena, "%s was %s and is %s", bounds[i].name, text_of(s, a), text_of(s, b)));
    }
}

/* --- types and values --- */

enum { NULLS = 1, BOOLEANS = 2, OBJECTS = 4, ARRAYS = 8, STRINGS = 16, INTEGERS = 32, FRACTIONS = 64, ALL = 127 };

static unsigned types_of(const json_t *type)
{
    static const struct {
        const char *name;
        unsigned bits;
    } types[] = {{"null", NULLS},
                 {"boolean", BOOLEANS},
                 {"object", OBJECTS},
                 {"array", ARRAYS},
                 {"string", STRINGS},
                 {"integer", INTEGERS},
                 {"number", INTEGERS | FRACTIONS}};
    unsigned bits = 0;
    size_t n = json_is_array(type) ? json_array_size(type) : 1;
    if (!type)
        return ALL;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < ST_COUNT(types); k++)
            if (st_streq(json_string_value(json_is_array(type) ? json_array_get(type, i) : type), types[k].name))
                bits |= types[k].bits;
    return bits;
}

static void compare_types(const struct side *s, const json_t *before, const json_t *after, const char *where)
{
    const json_t *a = json_object_get(before, "type"), *b = json_object_get(after, "type");
    unsigned was = types_of(a), is = types_of(b);
    const char *what = st_printf(s->d->arena, "the type was %s and is %s", text_of(s, a), text_of(s, b));
    if (was & ~is)
        changed(s, TIGHTER, where, what);
    if (is & ~was)
        changed(s, LOOSER, where, what);
}

/* The values of enum or const; NULL: any. */
static json_t *values_of(struct st_arena *a, const json_t *schema)
{
    json_t *constant = json_object_get(schema, "const");
    return constant ? st_json_keep(a, json_pack("[O]", constant)) : json_object_get(schema, "enum");
}

static bool has(const json_t *list, const json_t *value)
{
    size_t i;
    json_t *item;
    json_array_foreach ((json_t *)list, i, item)
        if (json_equal(item, value))
            return true;
    return false;
}

static void compare_values(const struct side *s, const json_t *before, const json_t *after, const char *where)
{
    const json_t *a = values_of(s->d->arena, before), *b = values_of(s->d->arena, after);
    size_t i;
    json_t *value;
    if (!a != !b) {
        changed(s, b ? TIGHTER : LOOSER, where, b ? "only some values are allowed now" : "any value is allowed now");
        return;
    }
    json_array_foreach ((json_t *)a, i, value)
        if (!has(b, value))
            changed(s, TIGHTER, where, st_printf(s->d->arena, "the value %s is gone", text_of(s, value)));
    json_array_foreach ((json_t *)b, i, value)
        if (!has(a, value))
            changed(s, LOOSER, where, st_printf(s->d->arena, "the value %s is new", text_of(s, value)));
}

/* Keywords that can only be there, be gone, or be another: nobody can tell which of two accepts more. */
static void compare_others(const struct side *s, const json_t *before, const json_t *after, const char *where)
{
    static const char *const others[] = {"pattern",
                                         "format",
                                         "multipleOf",
                                         "uniqueItems",
                                         "not",
                                         "if",
                                         "then",
                                         "else",
                                         "contains",
                                         "propertyNames",
                                         "dependentRequired",
                                         "dependentSchemas",
                                         "patternProperties",
                                         "unevaluatedProperties",
                                         "unevaluatedItems"};
    for (size_t i = 0; i < ST_COUNT(others); i++) {
        const json_t *a = json_object_get(before, others[i]), *b = json_object_get(after, others[i]);
        if (a == b || json_equal(a, b))
            continue;
        changed(s,
                !a   ? TIGHTER
                : !b ? LOOSER
                     : OTHER,
                where,
                st_printf(s->d->arena, "%s %s", others[i],
                          !a   ? "is new"
                          : !b ? "is gone"
                               : "has changed"));
    }
}

/* --- members and items --- */

static bool is_closed(const json_t *schema)
{
    return json_is_false(json_object_get(schema, "additionalProperties"));
}

static void compare_required(const struct side *s, const json_t *before, const json_t *after, const char *where)
{
    const json_t *a = json_object_get(before, "required"), *b = json_object_get(after, "required");
    size_t i;
    json_t *name;
    json_array_foreach ((json_t *)b, i, name)
        if (!has(a, name))
            changed(s, TIGHTER, where, st_printf(s->d->arena, "%s is required now", json_string_value(name)));
    json_array_foreach ((json_t *)a, i, name)
        if (!has(b, name))
            changed(s, LOOSER, where, st_printf(s->d->arena, "%s is no longer required", json_string_value(name)));
}

/* New members of answers are no surprise: clients skip what they do not know. */
static void compare_members(const struct side *s, const json_t *before, const json_t *after, const char *where,
                            int depth)
{
    const json_t *a = json_object_get(before, "properties"), *b = json_object_get(after, "properties");
    const char *name;
    json_t *schema;
    json_object_foreach ((json_t *)a, name, schema) {
        const json_t *other = json_object_get(b, name);
        if (other)
            compare(s, schema, other, st_json_pointer(s->d->arena, where, name), depth);
        else
            ctl_diff_note(s->d, s->request ? is_closed(after) : true, "member-removed", "%s: the member %s is gone",
                          where, name);
    }
    json_object_foreach ((json_t *)b, name, schema)
        if (!json_object_get(a, name))
            ctl_diff_note(s->d, false, "member-added", "%s: the member %s is new", where, name);
    const json_t *more = json_object_get(before, "additionalProperties");
    const json_t *still = json_object_get(after, "additionalProperties");
    if (json_is_object(more) && json_is_object(still))
        compare(s, more, still, st_json_pointer(s->d->arena, where, "*"), depth);
    else if (s->request && is_closed(before) != is_closed(after))
        changed(s, is_closed(after) ? TIGHTER : LOOSER, where,
                is_closed(after) ? "other members are no longer allowed" : "other members are allowed now");
}

static void compare_items(const struct side *s, const json_t *before, const json_t *after, const char *where, int depth)
{
    const json_t *a = json_object_get(before, "items"), *b = json_object_get(after, "items");
    if (a && b)
        compare(s, a, b, st_json_pointer(s->d->arena, where, "*"), depth);
    else if (a || b)
        changed(s, b ? TIGHTER : LOOSER, where, b ? "items are described now" : "items are no longer described");
}

/* allOf, anyOf, oneOf, prefixItems: alternatives are compared in their order. */
static void compare_lists(const struct side *s, const json_t *before, const json_t *after, const char *where, int depth)
{
    static const struct {
        const char *name;
        enum change fewer, more;
    } lists[] = {{"allOf", LOOSER, TIGHTER},
                 {"prefixItems", LOOSER, TIGHTER},
                 {"anyOf", TIGHTER, LOOSER},
                 {"oneOf", TIGHTER, LOOSER}};
    for (size_t i = 0; i < ST_COUNT(lists); i++) {
        const json_t *a = json_object_get(before, lists[i].name), *b = json_object_get(after, lists[i].name);
        size_t n = json_array_size(a), m = json_array_size(b);
        for (size_t k = 0; k < n && k < m; k++)
            compare(s, json_array_get(a, k), json_array_get(b, k),
                    st_printf(s->d->arena, "%s/%s/%zu", where, lists[i].name, k), depth);
        if (n == m)
            continue;
        changed(s,
                !n      ? TIGHTER
                : !m    ? LOOSER
                : m < n ? lists[i].fewer
                        : lists[i].more,
                where, st_printf(s->d->arena, "%s had %zu schemas and has %zu", lists[i].name, n, m));
    }
}

/* Schemas may contain themselves: each pair is compared once. */
static bool is_seen(const struct side *s, const json_t *before, const json_t *after)
{
    const char *pair = st_printf(s->d->arena, "%p %p", (const void *)before, (const void *)after);
    return json_object_get(s->seen, pair) || json_object_set_new(s->seen, pair, json_true()) < 0;
}

static void compare(const struct side *s, const json_t *before, const json_t *after, const char *where, int depth)
{
    before = ctl_diff_deref(s->d->before, before);
    after = ctl_diff_deref(s->d->after, after);
    if (json_is_boolean(before) || json_is_boolean(after)) {
        bool tighter = json_is_false(after) || json_is_true(before);
        if (!json_equal(before, after))
            changed(s, tighter ? TIGHTER : LOOSER, where,
                    st_printf(s->d->arena, "the schema was %s and is %s",
                              json_is_boolean(before) ? text_of(s, before) : "an object",
                              json_is_boolean(after) ? text_of(s, after) : "an object"));
        return;
    }
    if (depth == DEPTH || is_seen(s, before, after))
        return;
    compare_types(s, before, after, where);
    compare_values(s, before, after, where);
    compare_bounds(s, before, after, where);
    compare_others(s, before, after, where);
    compare_required(s, before, after, where);
    compare_members(s, before, after, where, depth + 1);
    compare_items(s, before, after, where, depth + 1);
    compare_lists(s, before, after, where, depth + 1);
}

void ctl_diff_schema(struct ctl_diff *d, const json_t *before, const json_t *after, bool request, const char *where)
{
    const struct side s = {d, request, st_json_keep(d->arena, json_object())};
    const json_t *anything = st_json_keep(d->arena, json_object());
    compare(&s, before ? before : anything, after ? after : anything, where, 0);
}
