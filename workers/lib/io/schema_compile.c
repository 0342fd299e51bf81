/* Compiles a JSON Schema: each subschema once, references resolved, and no loop that a check could be caught in. */
#include "io/schema_impl.h"

enum {
    MAX_DEPTH = 200, /* of subschemas and references into each other while compiling */
    MAX_CHAIN = 64,  /* of subschemas that see the same instance: $ref to allOf to $ref … */
};

int st_compile_fail(struct st_compiler *c, const char *pointer, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    c->why = st_vprintf(c->arena, fmt, ap);
    va_end(ap);
    c->pointer = pointer;
    return ST_E_INVALID;
}

static struct st_memo *memo_slot(struct st_memo *memo, size_t cap, const json_t *json,
                                 const struct st_resource *resource)
{
    size_t i = (size_t)((uintptr_t)json * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (cap - 1);
    while (memo[i].json && (memo[i].json != json || memo[i].resource != resource))
        i = (i + 1) & (cap - 1);
    return &memo[i];
}

static void memo_add(struct st_compiler *c, const json_t *json, struct st_schema *s)
{
    if (2 * c->n_memo >= c->cap_memo) {
        size_t cap = c->cap_memo ? 2 * c->cap_memo : 64;
        struct st_memo *memo = st_new_n(c->arena, struct st_memo, cap);
        for (size_t i = 0; i < c->cap_memo; i++)
            if (c->memo[i].json)
                *memo_slot(memo, cap, c->memo[i].json, c->memo[i].resource) = c->memo[i];
        c->memo = memo;
        c->cap_memo = cap;
    }
    *memo_slot(c->memo, c->cap_memo, json, s->resource) = (struct st_memo){json, s->resource, s};
    c->n_memo++;
}

static struct st_schema *new_node(struct st_compiler *c, const char *pointer)
{
    if (c->n_nodes == c->cap_nodes) {
        int cap = c->cap_nodes ? 2 * c->cap_nodes : 32;
        struct st_schema **nodes = st_new_n(c->arena, struct st_schema *, (size_t)cap);
        if (c->n_nodes)
            memcpy(nodes, c->nodes, (size_t)c->n_nodes * sizeof(*nodes));
        c->nodes = nodes;
        c->cap_nodes = cap;
    }
    struct st_schema *s = st_new(c->arena, struct st_schema);
    s->pointer = pointer;
    s->resource = c->resource;
    return c->nodes[c->n_nodes++] = s;
}

static int compile_object(struct st_compiler *c, const json_t *json, const char *pointer, const struct st_schema **ret)
{
    const struct st_memo *known = c->cap_memo ? memo_slot(c->memo, c->cap_memo, json, c->resource) : NULL;
    if (known && known->json) {
        *ret = known->schema;
        return 0;
    }
    if (c->depth == MAX_DEPTH)
        return st_compile_fail(c, pointer, "schemas nest more than %d levels deep", MAX_DEPTH);
    struct st_schema *s = new_node(c, pointer);
    memo_add(c, json, s);
    c->depth++;
    int r = st_compile_keywords(c, json, s);
    c->depth--;
    if (!r)
        *ret = s;
    return r;
}

int st_compile_schema(struct st_compiler *c, const json_t *json, const char *pointer, const struct st_schema **ret)
{
    if (json_is_boolean(json)) { /* jansson has one `true`: no memo */
        struct st_schema *s = new_node(c, pointer);
        s->never = json_is_false(json);
        *ret = s;
        return 0;
    }
    if (!json_is_object(json))
        return st_compile_fail(c, pointer, "a schema must be an object, true or false");
    struct st_resource *outer = c->resource;
    int r = st_resource_enter(c, json, pointer);
    if (!r)
        r = compile_object(c, json, pointer, ret);
    c->resource = outer;
    return r;
}

typedef void visit_fn(struct st_schema *sub, const struct st_schema *s, struct st_schema ***queue_end);

/* Calls fn for each subschema that sees the same instance as s. */
static void each_in_place(const struct st_schema *s, visit_fn *fn, struct st_schema ***queue_end)
{
    for (int i = 0; i < s->n_ops; i++)
        for (int k = 0; s->ops[i].in_place && k < s->ops[i].n_subs; k++)
            fn((struct st_schema *)s->ops[i].subs[k], s, queue_end);
}

static void count_incoming(struct st_schema *sub, const struct st_schema *s, struct st_schema ***queue_end)
{
    (void)s, (void)queue_end;
    sub->incoming++;
}

static void settle(struct st_schema *sub, const struct st_schema *s, struct st_schema ***queue_end)
{
    if (sub->height <= s->height)
        sub->height = s->height + 1;
    if (--sub->incoming == 0)
        *(*queue_end)++ = sub;
}

/*
 * A schema that reaches itself without going down into the instance would never end. Sorts the graph of in-place
 * subschemas topologically: what cannot be sorted is such a loop.
 */
static int refuse_loops(struct st_compiler *c)
{
    struct st_schema **queue = st_new_n(c->arena, struct st_schema *, (size_t)c->n_nodes), **end = queue;
    for (int i = 0; i < c->n_nodes; i++)
        each_in_place(c->nodes[i], count_incoming, NULL);
    for (int i = 0; i < c->n_nodes; i++)
        if (c->nodes[i]->incoming == 0)
            *end++ = c->nodes[i];
    for (struct st_schema **s = queue; s < end; s++) {
        if ((*s)->height > MAX_CHAIN)
            return st_compile_fail(c, (*s)->pointer, "more than %d schemas apply to one value", MAX_CHAIN);
        each_in_place(*s, settle, &end);
    }
    for (int i = 0; i < c->n_nodes; i++)
        if (c->nodes[i]->incoming)
            return st_compile_fail(c, c->nodes[i]->pointer, "the schema refers to itself for the same value");
    return 0;
}

int st_schema_compile(struct st_arena *a, const json_t *document, const char *pointer, const struct st_schema **ret,
                      const char **ret_pointer, const char **ret_why)
{
    struct st_compiler c = {.arena = a, .document = document};
    const struct st_schema *s;
    int r = st_resource_begin(&c);
    if (!r)
        r = st_compile_at(&c, c.resource, pointer, &s);
    if (!r)
        r = refuse_loops(&c);
    if (r < 0) {
        *ret_pointer = c.pointer;
        *ret_why = c.why;
        return r;
    }
    *ret = s;
    return 0;
}
