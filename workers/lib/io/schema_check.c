/* Checks instances against compiled schemas: the walk, the errors, and the operations on any value and on scalars. */
#include "io/schema_impl.h"

#include <float.h>
#include <math.h>

enum {
    MAX_DEPTH = 500,        /* of evaluations into each other */
    BUDGET = 100000,        /* evaluations for any instance … */
    BUDGET_PER_VALUE = 500, /* … and for each value in a large one: only a schema that doubles its work gets there */
    MAX_TOKEN = 200,        /* bytes of a member's name in a reported pointer */
};

static void add_token(struct st_buf *b, const char *key, size_t len)
{
    bool cut = len > MAX_TOKEN;
    if (cut)
        for (len = MAX_TOKEN; ((unsigned char)key[len] & 0xc0) == 0x80;)
            len--;
    for (size_t i = 0; i < len; i++) {
        if (key[i] == '~' || key[i] == '/')
            st_buf_str(b, key[i] == '~' ? "~0" : "~1");
        else
            st_buf_char(b, key[i]);
    }
    if (cut)
        st_buf_str(b, "…");
}

static void add_path(struct st_buf *b, const struct st_path *at)
{
    if (!at->up)
        return;
    add_path(b, at->up);
    st_buf_char(b, '/');
    if (at->key)
        add_token(b, at->key, at->len);
    else
        st_buf_printf(b, "%zu", at->index);
}

static const char *pointer_to(struct st_arena *a, const struct st_path *at)
{
    struct st_buf b = ST_BUF((size_t)MAX_DEPTH * 2 * (MAX_TOKEN + 8));
    add_path(&b, at);
    const char *text = b.len ? st_strndup(a, b.data, b.len) : "";
    st_buf_release(&b);
    return text;
}

bool st_check_done(const struct st_check *c)
{
    return !c->errors || c->gave_up || c->errors->count == ST_SCHEMA_ERRORS;
}

bool st_check_report(struct st_check *c, const struct st_path *at, const char *message)
{
    if (c->errors && c->errors->count < ST_SCHEMA_ERRORS)
        c->errors->list[c->errors->count++] = (struct st_schema_error){pointer_to(c->arena, at), message};
    return false;
}

bool st_check_give_up(struct st_check *c, const struct st_path *at, const char *message)
{
    if (!c->gave_up)
        c->reason = (struct st_schema_error){pointer_to(c->arena, at), message};
    c->gave_up = true;
    return false;
}

static uint64_t count_values(const json_t *j)
{
    uint64_t n = 1;
    size_t i;
    const char *key;
    const json_t *value;
    json_array_foreach ((json_t *)j, i, value)
        n += count_values(value);
    json_object_foreach ((json_t *)j, key, value)
        n += count_values(value);
    return n + json_string_length(j) / 64;
}

bool st_check_step(struct st_check *c, const struct st_path *at, uint64_t work)
{
    c->steps += work;
    if (c->steps <= c->budget)
        return true;
    if (!c->budget_extended) {
        c->budget += BUDGET_PER_VALUE * count_values(c->root);
        c->budget_extended = true;
        return st_check_step(c, at, 0);
    }
    return st_check_give_up(c, at, "is too complex to be checked");
}

bool st_check_eval(struct st_check *c, const struct st_schema *s, const json_t *j, const struct st_path *at)
{
    if (c->gave_up)
        return false;
    if (s->never)
        return st_check_report(c, at, "is not allowed here");
    if (c->depth == MAX_DEPTH)
        return st_check_give_up(c, at, "is nested too deep");
    if (!st_check_step(c, at, 1))
        return false;
    c->depth++;
    unsigned type = 1u << json_typeof(j);
    bool ok = true;
    for (int i = 0; i < s->n_ops; i++) {
        const struct st_op *op = &s->ops[i];
        if (!(op->applies & type) || op->check(c, op, j, at))
            continue;
        ok = false;
        if (op->decides || st_check_done(c))
            break;
    }
    c->depth--;
    return ok && !c->gave_up;
}

bool st_check_probe(struct st_check *c, const struct st_schema *s, const json_t *j, const struct st_path *at)
{
    struct st_schema_errors *errors = c->errors;
    c->errors = NULL;
    bool ok = st_check_eval(c, s, j, at);
    c->errors = errors;
    return ok;
}

int st_schema_check(const struct st_schema *s, const json_t *instance, struct st_arena *a,
                    struct st_schema_errors *ret_errors)
{
    struct st_check c = {.arena = a, .errors = ret_errors, .root = instance, .budget = BUDGET};
    struct st_path root = {0};
    ret_errors->count = 0;
    bool ok = st_check_eval(&c, s, instance, &root);
    if (c.gave_up) {
        ret_errors->list[0] = c.reason;
        ret_errors->count = 1;
    }
    return ok ? 0 : ST_E_INVALID;
}

/* Any value. */

static bool is_integral(const json_t *j)
{
    return json_is_real(j) && json_real_value(j) == rint(json_real_value(j));
}

static bool has_type(const struct st_op *op, const json_t *j)
{
    return op->types & 1u << json_typeof(j) || (op->types & ST_T_INTEGRAL && is_integral(j));
}

bool st_check_type(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    return has_type(op, j) || st_check_report(c, at, op->message);
}

/* Wide enough for every int64 and every double, exactly. */
static long double number_of(const json_t *j)
{
    return json_is_integer(j) ? (long double)json_integer_value(j) : (long double)json_real_value(j);
}

/* As JSON Schema sees it: 1 and 1.0 are the same. Depth is the schema's, which is bounded. */
static bool equal(const json_t *a, const json_t *b)
{
    size_t i;
    const char *key;
    const json_t *value;
    if (json_is_number(a) && json_is_number(b))
        return number_of(a) == number_of(b);
    if (json_typeof(a) != json_typeof(b))
        return false;
    if (json_is_array(a)) {
        if (json_array_size(a) != json_array_size(b))
            return false;
        json_array_foreach ((json_t *)a, i, value)
            if (!equal(value, json_array_get(b, i)))
                return false;
        return true;
    }
    if (json_is_object(a)) {
        if (json_object_size(a) != json_object_size(b))
            return false;
        json_object_foreach ((json_t *)a, key, value) {
            const json_t *other = json_object_get(b, key);
            if (!other || !equal(value, other))
                return false;
        }
        return true;
    }
    return json_equal(a, b);
}

bool st_check_enum(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    size_t i;
    const json_t *value;
    json_array_foreach ((json_t *)op->value, i, value)
        if (equal(value, j))
            return true;
    return st_check_report(c, at, op->message);
}

bool st_check_const(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    return equal(op->value, j) || st_check_report(c, at, op->message);
}

bool st_check_ref(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    return st_check_eval(c, op->subs[0], j, at);
}

bool st_check_all(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    bool ok = true;
    for (int i = 0; i < op->n_subs; i++) {
        if (st_check_eval(c, op->subs[i], j, at))
            continue;
        ok = false;
        if (st_check_done(c))
            break;
    }
    return ok;
}

/* The types that a schema's type keyword leaves, its own or the one behind $ref. */
static unsigned types_of(const struct st_schema *s)
{
    const struct st_op *ref = NULL;
    if (s->never)
        return 0;
    for (int i = 0; i < s->n_ops; i++) {
        if (s->ops[i].check == st_check_type)
            return s->ops[i].types;
        if (s->ops[i].check == st_check_ref)
            ref = &s->ops[i];
    }
    return ref ? types_of(ref->subs[0]) : ~0u;
}

static bool is_fixed(const struct st_schema *s)
{
    for (int i = 0; i < s->n_ops; i++)
        if (s->ops[i].check == st_check_const || s->ops[i].check == st_check_enum)
            return true;
    return false;
}

/* Is this the form that was meant? Right type, and no member that a const or enum of the form rules out. */
static bool is_candidate(struct st_check *c, const struct st_schema *s, const json_t *j, const struct st_path *at)
{
    unsigned types = types_of(s);
    if (!(types & 1u << json_typeof(j)) && !(types & ST_T_INTEGRAL && is_integral(j)))
        return false;
    for (int i = 0; i < s->n_ops; i++) {
        const struct st_op *op = &s->ops[i];
        const char *name;
        const json_t *index;
        if (op->check == st_check_ref && !is_candidate(c, op->subs[0], j, at))
            return false;
        if (op->check != st_check_members || !op->names || !json_is_object(j))
            continue;
        json_object_foreach (op->names, name, index) {
            const struct st_schema *sub = op->subs[json_integer_value(index)];
            const json_t *member = json_object_get(j, name);
            if (member && is_fixed(sub) && !st_check_probe(c, sub, member, at))
                return false;
        }
    }
    return true;
}

/* None of the forms matched. When one of them was meant, its errors say more than "none of them". */
static bool explain(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    const struct st_schema *meant = NULL;
    int candidates = 0;
    unsigned types = 0;
    if (st_check_done(c))
        return false;
    for (int i = 0; i < op->n_subs; i++) {
        types |= types_of(op->subs[i]);
        if (is_candidate(c, op->subs[i], j, at)) {
            candidates++;
            meant = op->subs[i];
        }
    }
    if (candidates == 1)
        return st_check_eval(c, meant, j, at);
    bool wrong_type = !(types & 1u << json_typeof(j));
    const char *message = wrong_type ? st_type_message(c->arena, types)
                                     : st_printf(c->arena, "must match one of the %d allowed forms", op->n_subs);
    return st_check_report(c, at, message);
}

bool st_check_any(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    for (int i = 0; i < op->n_subs; i++)
        if (st_check_probe(c, op->subs[i], j, at))
            return true;
    return explain(c, op, j, at);
}

bool st_check_one(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    int matches = 0;
    for (int i = 0; i < op->n_subs && matches < 2; i++)
        matches += st_check_probe(c, op->subs[i], j, at);
    if (matches == 0)
        return explain(c, op, j, at);
    return matches == 1 || st_check_report(c, at, op->message);
}

bool st_check_not(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    return !st_check_probe(c, op->subs[0], j, at) || st_check_report(c, at, op->message);
}

bool st_check_if(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    bool holds = st_check_probe(c, op->subs[0], j, at);
    return st_check_eval(c, op->subs[holds ? 1 : 2], j, at);
}

/* Numbers. */

bool st_check_minimum(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    return number_of(j) >= op->number || st_check_report(c, at, op->message);
}

bool st_check_maximum(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    return number_of(j) <= op->number || st_check_report(c, at, op->message);
}

bool st_check_above(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    return number_of(j) > op->number || st_check_report(c, at, op->message);
}

bool st_check_below(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    return number_of(j) < op->number || st_check_report(c, at, op->message);
}

/*
 * Integers exactly. Decimal fractions have no exact double: 19.99 counts as a multiple of 0.01 because it misses by
 * less than its own rounding, as long as that is small against the divisor; and so does every integer, however large.
 */
bool st_check_multiple(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    long double value = number_of(j), rest = fabsl(remainderl(value, op->number));
    long double rounding = fabsl(value) * 4 * (long double)DBL_EPSILON;
    bool fraction = op->number != rintl(op->number) || value != rintl(value);
    bool part_of_one = value == rintl(value) && (double)(1 / op->number) == rint((double)(1 / op->number));
    bool ok = rest == 0 || part_of_one || (fraction && rest <= rounding && rounding < op->number / 4);
    return ok || st_check_report(c, at, op->message);
}

/* Strings. */

bool st_check_min_length(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    size_t bytes = json_string_length(j), min = (size_t)op->min; /* a code point has 1 to 4 bytes */
    bool ok = bytes >= 4 * min || (bytes >= min && st_utf8_length(json_string_value(j), bytes) >= min);
    return ok || st_check_report(c, at, op->message);
}

bool st_check_max_length(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    size_t bytes = json_string_length(j), max = (size_t)op->min;
    bool ok = bytes <= max || (bytes <= 4 * max && st_utf8_length(json_string_value(j), bytes) <= max);
    return ok || st_check_report(c, at, op->message);
}

bool st_check_pattern(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    int r = st_pattern_match(op->patterns[0], json_string_value(j), json_string_length(j));
    if (r < 0)
        return st_check_give_up(c, at, "is too long to be matched with its pattern");
    return r || st_check_report(c, at, op->message);
}

bool st_check_format(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    return st_format_check(op->format, json_string_value(j), json_string_length(j)) ||
           st_check_report(c, at, op->message);
}
