/* JSON Patch: a compiled list of operations on JSON values. */
#include "io/json_patch.h"

enum { TOKENS = 32 };

enum op { ADD, REMOVE, REPLACE, MOVE, COPY, TEST, GROUP };

static const struct shape {
    const char *name;
    bool from, value;
} shapes[] = {
    [ADD] = {"add", false, true},   [REMOVE] = {"remove", false, false}, [REPLACE] = {"replace", false, true},
    [MOVE] = {"move", true, false}, [COPY] = {"copy", true, false},      [TEST] = {"test", false, true},
};

struct place {
    const char *pointer;
    const char **tokens;
    int n;
};

struct step {
    enum op op;
    struct place path, from;
    const json_t *value; /* a constant; NULL: the parameter */
    const char *param;
    struct st_patch *group;
};

struct st_patch {
    struct step *steps;
    int n;
};

/* --- compiling --- */

struct compiler {
    struct st_arena *arena;
    int n; /* operations so far */
    const char *pointer, *why;
};

static bool refuse(struct compiler *c, const char *pointer, const char *why)
{
    c->pointer = pointer;
    c->why = why;
    return false;
}

static bool compile_place(struct compiler *c, const json_t *json, const char *at, const char *name, struct place *ret)
{
    const char *rest = ret->pointer = st_json_str(json, name, NULL);
    at = st_json_pointer(c->arena, at, name);
    if (!rest)
        return refuse(c, at, st_printf(c->arena, "%s must be a JSON pointer", name));
    ret->tokens = st_new_n(c->arena, const char *, TOKENS);
    while (*rest) {
        if (ret->n == TOKENS)
            return refuse(c, at, st_printf(c->arena, "%s is more than %d levels deep", name, TOKENS));
        if (*rest != '/' || !(rest = st_json_token(c->arena, rest, &ret->tokens[ret->n++])))
            return refuse(c, at, st_printf(c->arena, "%s must be a JSON pointer, such as /title", name));
    }
    return true;
}

static bool compile_value(struct compiler *c, const json_t *json, const char *at, struct step *s)
{
    s->value = json_object_get(json, "value");
    if (!s->value)
        return refuse(c, at, st_printf(c->arena, "%s needs a value", shapes[s->op].name));
    if (!json_object_get(s->value, "$param"))
        return true;
    s->param = json_string_value(json_object_get(s->value, "$param"));
    s->value = NULL;
    if (!s->param || json_object_size(json_object_get(json, "value")) != 1)
        return refuse(c, at, "$param must be the name of a parameter, and stand alone");
    return true;
}

/* Is a a place within b, or b itself? */
static bool is_within(const struct place *a, const struct place *b)
{
    for (int i = 0; i < b->n; i++)
        if (i >= a->n || strcmp(a->tokens[i], b->tokens[i]) != 0)
            return false;
    return true;
}

static bool compile_members(struct compiler *c, const json_t *json, const char *at, const struct shape *shape)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)json, name, value) {
        bool known = st_streq(name, "op") || st_streq(name, "path") || (shape->from && st_streq(name, "from")) ||
                     (shape->value && st_streq(name, "value"));
        if (!known)
            return refuse(c, st_json_pointer(c->arena, at, name),
                          st_printf(c->arena, "%.80s is not a member of %s", name, shape->name));
    }
    return true;
}

static bool compile_step(struct compiler *c, const json_t *json, const char *at, struct step *s)
{
    const char *op = st_json_str(json, "op", NULL);
    size_t i = 0;
    while (i < ST_COUNT(shapes) && !st_streq(op, shapes[i].name))
        i++;
    if (i == ST_COUNT(shapes))
        return refuse(c, at, "op must be add, remove, replace, move, copy or test");
    if (++c->n > ST_PATCH_OPERATIONS)
        return refuse(c, at, st_printf(c->arena, "more than %d operations", ST_PATCH_OPERATIONS));
    s->op = (enum op)i;
    if (!compile_members(c, json, at, &shapes[i]) || !compile_place(c, json, at, "path", &s->path) ||
        (shapes[i].from && !compile_place(c, json, at, "from", &s->from)) ||
        (shapes[i].value && !compile_value(c, json, at, s)))
        return false;
    if (s->op == REMOVE && !s->path.n)
        return refuse(c, at, "the whole document cannot be removed");
    if (s->op == MOVE && is_within(&s->path, &s->from))
        return refuse(c, at, "a value cannot be moved into itself");
    return true;
}

static struct st_patch *compile_list(struct compiler *c, const json_t *list, const char *at, bool outer)
{
    struct st_patch *p = st_new(c->arena, struct st_patch);
    size_t i;
    json_t *json;
    if (!json_array_size(list)) {
        (void)refuse(c, at, "a patch must be a list of operations");
        return NULL;
    }
    p->steps = st_new_n(c->arena, struct step, json_array_size(list));
    json_array_foreach ((json_t *)list, i, json) {
        struct step *s = &p->steps[p->n++];
        const char *pointer = st_printf(c->arena, "%s/%zu", at, i);
        if (outer && json_is_array(json)) {
            s->op = GROUP;
            if (!(s->group = compile_list(c, json, pointer, false)))
                return NULL;
        } else if (!compile_step(c, json, pointer, s)) {
            return NULL;
        }
    }
    return p;
}

int st_patch_compile(struct st_arena *a, const json_t *patch, const struct st_patch **ret, const char **ret_pointer,
                     const char **ret_why)
{
    struct compiler c = {.arena = a};
    const struct st_patch *p = compile_list(&c, patch, "", true);
    if (!p) {
        *ret_pointer = c.pointer;
        *ret_why = c.why;
        return ST_E_INVALID;
    }
    *ret = p;
    return 0;
}

bool st_patch_each_param(const struct st_patch *p, bool (*fn)(void *ctx, const char *name), void *ctx)
{
    for (int i = 0; i < p->n; i++) {
        const struct step *s = &p->steps[i];
        if ((s->param && !fn(ctx, s->param)) || (s->group && !st_patch_each_param(s->group, fn, ctx)))
            return false;
    }
    return true;
}

/* --- applying --- */

struct applier {
    struct st_arena *arena;
    const json_t *params;
    json_t *root; /* owned */
    const char *why;
};

static int apply_list(struct applier *a, const struct st_patch *p);

static const char NO_SUCH[] = "there is no such value";

/* Index of an array as RFC 6901 writes it. */
static bool parse_index(const char *token, size_t limit, size_t *ret)
{
    int64_t n;
    if ((token[0] == '0' && token[1]) || strspn(token, "0123456789") != strlen(token) ||
        !st_parse_i64(token, 0, (int64_t)limit, &n))
        return false;
    *ret = (size_t)n;
    return true;
}

static json_t *child(json_t *parent, const char *token)
{
    size_t i;
    if (json_is_object(parent))
        return json_object_get(parent, token);
    return json_is_array(parent) && parse_index(token, json_array_size(parent), &i) ? json_array_get(parent, i) : NULL;
}

/* The value `up` levels above a place; NULL when there is none. */
static json_t *walk(const struct applier *a, const struct place *at, int up)
{
    json_t *j = a->root;
    for (int i = 0; j && i < at->n - up; i++)
        j = child(j, at->tokens[i]);
    return j;
}

/* Takes the value over, whatever happens. */
static const char *put(struct applier *a, const struct place *at, json_t *value, bool replace)
{
    size_t i;
    const char *token = at->n ? at->tokens[at->n - 1] : NULL;
    json_t *parent = at->n ? walk(a, at, 1) : NULL;
    int failed = -1;
    if (!value)
        abort(); /* jansson is out of memory */
    if (!at->n) {
        json_decref(a->root);
        a->root = value;
        return NULL;
    }
    if (replace && !child(parent, token))
        parent = NULL;
    if (json_is_object(parent)) {
        if (json_object_set(parent, token, value) < 0)
            abort();
        failed = 0;
    } else if (json_is_array(parent) && replace && parse_index(token, json_array_size(parent), &i)) {
        failed = json_array_set(parent, i, value);
    } else if (json_is_array(parent) && !replace && strcmp(token, "-") == 0) {
        failed = json_array_append(parent, value);
    } else if (json_is_array(parent) && !replace && parse_index(token, json_array_size(parent), &i)) {
        failed = json_array_insert(parent, i, value);
    }
    json_decref(value);
    return failed ? NO_SUCH : NULL;
}

static const char *cut(struct applier *a, const struct place *at)
{
    size_t i;
    const char *token = at->tokens[at->n - 1];
    json_t *parent = walk(a, at, 1);
    bool gone = json_is_object(parent) ? json_object_del(parent, token) == 0
                                       : json_is_array(parent) && parse_index(token, json_array_size(parent), &i) &&
                                             json_array_remove(parent, i) == 0;
    return gone ? NULL : NO_SUCH;
}

static bool equal(struct applier *a, const json_t *x, const json_t *y)
{
    return json_equal(x, y) || st_streq(st_json_canonical(a->arena, x), st_json_canonical(a->arena, y));
}

/* NULL when the step is done, else why it does not fit. */
static const char *apply_step(struct applier *a, const struct step *s)
{
    const json_t *value = s->param ? json_object_get(a->params, s->param) : s->value;
    json_t *there = walk(a, s->op == MOVE || s->op == COPY ? &s->from : &s->path, 0);
    if (s->param && !value)
        return NULL; /* the parameter did not come */
    switch (s->op) {
    case ADD: return put(a, &s->path, json_deep_copy(value), false);
    case REPLACE: return put(a, &s->path, json_deep_copy(value), true);
    case REMOVE: return cut(a, &s->path);
    case TEST: return there && equal(a, there, value) ? NULL : "the value is another";
    case COPY: return there ? put(a, &s->path, json_deep_copy(there), false) : NO_SUCH;
    case MOVE:
        if (!there)
            return NO_SUCH;
        json_incref(there);
        (void)cut(a, &s->from); /* it is there */
        return put(a, &s->path, there, false);
    case GROUP: break;
    }
    return NULL;
}

/* On a copy, which is thrown away when it does not fit. */
static void apply_group(struct applier *a, const struct st_patch *group)
{
    struct applier trial = {.arena = a->arena, .params = a->params, .root = json_deep_copy(a->root)};
    if (!trial.root)
        abort();
    bool fits = apply_list(&trial, group) == 0;
    json_decref(fits ? a->root : trial.root);
    if (fits)
        a->root = trial.root;
}

static int apply_list(struct applier *a, const struct st_patch *p)
{
    for (int i = 0; i < p->n; i++) {
        const struct step *s = &p->steps[i];
        if (s->op == GROUP) {
            apply_group(a, s->group);
            continue;
        }
        const char *why = apply_step(a, s);
        if (why) {
            const char *at = s->op == MOVE || s->op == COPY ? s->from.pointer : s->path.pointer;
            a->why = st_printf(a->arena, "%s %s: %s", shapes[s->op].name, at, why);
            return ST_E_UNPROCESSABLE;
        }
    }
    return 0;
}

int st_patch_apply(const struct st_patch *p, const json_t *params, struct st_arena *a, json_t *document, json_t **ret,
                   const char **ret_why)
{
    struct applier applier = {.arena = a, .params = params, .root = json_incref(document)};
    int r = apply_list(&applier, p);
    st_json_keep(a, applier.root);
    if (r < 0)
        *ret_why = applier.why;
    else
        *ret = applier.root;
    return r;
}
