/* Checks instances against compiled schemas: the walk, the errors, and the operations on any value and on scalars. */
#include "io/schema_impl.h"

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

static uint64_t count_values(const struct st_value *v)
{
    uint64_t n = 1 + (v->type == JSON_STRING ? v->len / 64 : 0);
    if (v->type == JSON_OBJECT || v->type == JSON_ARRAY)
        for (const struct st_value *i = v->first; i; i = i->next)
            n += count_values(i);
    return n;
}

/* The budget is spent; a large instance has more of it. */
bool st_check_beyond(struct st_check *c, const struct st_path *at)
{
    if (!c->budget_extended) {
        c->budget += BUDGET_PER_VALUE * count_values(c->root);
        c->budget_extended = true;
        return st_check_step(c, at, 0);
    }
    return st_check_give_up(c, at, "is too complex to be checked");
}

static bool run(struct st_check *c, const struct st_schema *s, const struct st_value *v, const struct st_path *at)
{
    unsigned type = 1u << v->type;
    bool ok = true;
    for (int i = 0; i < s->n_ops; i++) {
        const struct st_op *op = &s->ops[i];
        /* Once something failed it is not known what is left unevaluated. */
        if (!(op->applies & type) || (!ok && op->check == st_check_unevaluated) || op->check(c, op, v, at))
            continue;
        ok = false;
        if (op->decides || st_check_done(c))
            break;
    }
    return ok;
}

/* For unevaluated...: the keywords mark what they look at. Who asks around this schema gets to know it, too. */
static bool run_marking(struct st_check *c, const struct st_schema *s, const struct st_value *v,
                        const struct st_path *at)
{
    struct st_marks own, *outer = c->marks;
    struct st_arena scratch = {0};
    st_marks_init(&own, &scratch, v->count);
    c->marks = &own;
    bool ok = st_check_step(c, at, own.n_words) && run(c, s, v, at);
    c->marks = outer;
    if (ok && outer)
        st_marks_add(outer, &own);
    st_arena_release(&scratch);
    return ok;
}

bool st_check_eval(struct st_check *c, const struct st_schema *s, const struct st_value *v, const struct st_path *at)
{
    const struct st_scope *outer = c->scope, scope = {outer, s->resource};
    if (c->gave_up)
        return false;
    if (s->never)
        return st_check_report(c, at, "is not allowed here");
    if (c->depth == MAX_DEPTH)
        return st_check_give_up(c, at, "is nested too deep");
    if (!st_check_step(c, at, 1))
        return false;
    if (!outer || outer->resource != s->resource)
        c->scope = &scope;
    c->depth++;
    bool ok = s->collects & 1u << v->type ? run_marking(c, s, v, at) : run(c, s, v, at);
    c->depth--;
    c->scope = outer;
    return ok && !c->gave_up;
}

bool st_check_child(struct st_check *c, const struct st_schema *s, const struct st_value *v, const struct st_path *at)
{
    struct st_marks *marks = c->marks;
    c->marks = NULL; /* of the parent */
    bool ok = st_check_eval(c, s, v, at);
    c->marks = marks;
    return ok;
}

bool st_check_probe(struct st_check *c, const struct st_schema *s, const struct st_value *v, const struct st_path *at)
{
    struct st_schema_errors *errors = c->errors;
    c->errors = NULL;
    bool ok = st_check_child(c, s, v, at);
    c->errors = errors;
    return ok;
}

/* A subschema that may fail without harm: what it marked counts only when it holds. */
static bool try(struct st_check *c, const struct st_schema *s, const struct st_value *v, const struct st_path *at)
{
    struct st_marks own, *outer = c->marks;
    struct st_schema_errors *errors = c->errors;
    struct st_arena scratch = {0};
    if (!outer)
        return st_check_probe(c, s, v, at);
    st_marks_init(&own, &scratch, v->count);
    c->marks = &own;
    c->errors = NULL;
    bool ok = st_check_step(c, at, own.n_words) && st_check_eval(c, s, v, at);
    c->marks = outer;
    c->errors = errors;
    if (ok)
        st_marks_add(outer, &own);
    st_arena_release(&scratch);
    return ok;
}

int st_schema_check_value(const struct st_schema *s, const struct st_value *instance, struct st_arena *a,
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
    ret_errors->undecided = c.gave_up;
    return ok ? 0 : ST_E_INVALID;
}

int st_schema_check(const struct st_schema *s, const json_t *instance, struct st_arena *a,
                    struct st_schema_errors *ret_errors)
{
    return st_schema_check_value(s, st_value_from_json(a, instance), a, ret_errors);
}

/* Any value. */

static bool has_type(unsigned types, const struct st_value *v)
{
    return types & 1u << v->type || (types & ST_T_INTEGRAL && v->type == JSON_REAL && st_number_integral(v));
}

bool st_check_type(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    return has_type(op->types, v) || st_check_report(c, at, op->message);
}

bool st_check_enum(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    for (const struct st_value *value = op->value->first; value; value = value->next)
        if (st_value_equal(value, v))
            return true;
    return st_check_report(c, at, op->message);
}

bool st_check_const(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    return st_value_equal(op->value, v) || st_check_report(c, at, op->message);
}

bool st_check_ref(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    return st_check_eval(c, op->subs[0], v, at);
}

bool st_check_all(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    bool ok = true;
    for (int i = 0; i < op->n_subs; i++) {
        if (st_check_eval(c, op->subs[i], v, at))
            continue;
        ok = false;
        if (st_check_done(c))
            break;
    }
    return ok;
}

bool st_check_dynamic_ref(struct st_check *c, const struct st_op *op, const struct st_value *v,
                          const struct st_path *at)
{
    const struct st_schema *target = op->subs[0];
    for (const struct st_scope *scope = c->scope; scope; scope = scope->up) {
        if (!st_check_step(c, at, 1))
            return false;
        for (int i = 1; i < op->n_subs; i++)
            if (op->subs[i]->resource == scope->resource)
                target = op->subs[i];
    }
    return st_check_eval(c, target, v, at);
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
static bool is_candidate(struct st_check *c, const struct st_schema *s, const struct st_value *v,
                         const struct st_path *at)
{
    if (!has_type(types_of(s), v))
        return false;
    for (int i = 0; i < s->n_ops; i++) {
        const struct st_op *op = &s->ops[i];
        if (op->check == st_check_ref && !is_candidate(c, op->subs[0], v, at))
            return false;
        if (op->check != st_check_members || !op->names || v->type != JSON_OBJECT)
            continue;
        for (const struct st_value *m = v->first; m; m = m->next) {
            int index = st_names_find(op->names, m->key, m->key_len, m->hash);
            if (index >= 0 && is_fixed(op->subs[index]) && !st_check_probe(c, op->subs[index], m, at))
                return false;
        }
    }
    return true;
}

/* None of the forms matched. When one of them was meant, its errors say more than "none of them". */
static bool explain(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    const struct st_schema *meant = NULL;
    int candidates = 0;
    unsigned types = 0;
    if (st_check_done(c))
        return false;
    for (int i = 0; i < op->n_subs; i++) {
        types |= types_of(op->subs[i]);
        if (is_candidate(c, op->subs[i], v, at)) {
            candidates++;
            meant = op->subs[i];
        }
    }
    if (candidates == 1)
        return st_check_eval(c, meant, v, at);
    bool wrong_type = !(types & 1u << v->type);
    const char *message = wrong_type ? st_type_message(c->arena, types)
                                     : st_printf(c->arena, "must match one of the %d allowed forms", op->n_subs);
    return st_check_report(c, at, message);
}

bool st_check_any(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    bool ok = false;
    for (int i = 0; i < op->n_subs && (!ok || c->marks); i++)
        ok = try(c, op->subs[i], v, at) || ok;
    return ok || explain(c, op, v, at);
}

bool st_check_one(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    int matches = 0;
    for (int i = 0; i < op->n_subs && matches < 2; i++)
        matches += try(c, op->subs[i], v, at);
    if (matches == 0)
        return explain(c, op, v, at);
    return matches == 1 || st_check_report(c, at, op->message);
}

bool st_check_not(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    return !st_check_probe(c, op->subs[0], v, at) || st_check_report(c, at, op->message);
}

bool st_check_if(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    bool holds = try(c, op->subs[0], v, at);
    return st_check_eval(c, op->subs[holds ? 1 : 2], v, at);
}

/* Numbers. */

bool st_check_minimum(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    return st_number_compare(v, op->value) >= 0 || st_check_report(c, at, op->message);
}

bool st_check_maximum(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    return st_number_compare(v, op->value) <= 0 || st_check_report(c, at, op->message);
}

bool st_check_above(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    return st_number_compare(v, op->value) > 0 || st_check_report(c, at, op->message);
}

bool st_check_below(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    return st_number_compare(v, op->value) < 0 || st_check_report(c, at, op->message);
}

bool st_check_multiple(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    return st_number_multiple(v, op->value) || st_check_report(c, at, op->message);
}

/* Strings. */

bool st_check_min_length(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    size_t bytes = v->len, min = (size_t)op->min; /* a code point has 1 to 4 bytes */
    bool ok = bytes >= 4 * min || (bytes >= min && st_utf8_length(v->text, bytes) >= min);
    return ok || st_check_report(c, at, op->message);
}

bool st_check_max_length(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    size_t bytes = v->len, max = (size_t)op->min;
    bool ok = bytes <= max || (bytes <= 4 * max && st_utf8_length(v->text, bytes) <= max);
    return ok || st_check_report(c, at, op->message);
}

bool st_check_pattern(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    int r = st_pattern_match(op->patterns[0], v->text, v->len);
    if (r < 0)
        return st_check_give_up(c, at, "takes too long to be matched with its pattern");
    return r || st_check_report(c, at, op->message);
}

bool st_check_format(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    return st_format_check(op->format, v) || st_check_report(c, at, op->message);
}
