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

/*
 * A schema that reaches itself without going down into the instance would never end. Measures how many schemas apply to
 * one value from s on; the depth of this recursion is what is measured.
 */
static int measure(struct st_compiler *c, struct st_schema *s, int depth)
{
    if (s->measured)
        return 0;
    if (s->measuring)
        return st_compile_fail(c, s->pointer, "the schema refers to itself for the same value");
    s->measuring = true;
    for (int i = 0; i < s->n_ops; i++) {
        for (int k = 0; s->ops[i].in_place && k < s->ops[i].n_subs; k++) {
            struct st_schema *sub = (struct st_schema *)s->ops[i].subs[k];
            int r = depth > MAX_CHAIN ? 0 : measure(c, sub, depth + 1);
            if (r < 0)
                return r;
            s->height = sub->height >= s->height ? sub->height + 1 : s->height;
        }
    }
    if (depth > MAX_CHAIN || s->height > MAX_CHAIN)
        return st_compile_fail(c, s->pointer, "more than %d schemas apply to one value", MAX_CHAIN);
    s->measured = true;
    return 0;
}

struct st_compiler *st_schema_compiler(struct st_arena *a, const json_t *document)
{
    struct st_compiler *c = st_new(a, struct st_compiler);
    c->arena = a;
    c->document = document;
    return c;
}

int st_schema_compile_with(struct st_compiler *c, const char *pointer, const struct st_schema **ret,
                           const char **ret_pointer, const char **ret_why)
{
    const struct st_schema *s;
    int r = c->resource ? 0 : st_resource_begin(c);
    if (!r)
        r = st_compile_at(c, c->resource, pointer, &s);
    for (; !r && c->n_measured < c->n_nodes; c->n_measured++)
        r = measure(c, c->nodes[c->n_measured], 0);
    if (r < 0) {
        c->n_measured = c->n_nodes; /* the mistake is told; it is not that of the schemas to come */
        *ret_pointer = c->pointer;
        *ret_why = c->why;
        return r;
    }
    *ret = s;
    return 0;
}

int st_schema_compile(struct st_arena *a, const json_t *document, const char *pointer, const struct st_schema **ret,
                      const char **ret_pointer, const char **ret_why)
{
    return st_schema_compile_with(st_schema_compiler(a, document), pointer, ret, ret_pointer, ret_why);
}
