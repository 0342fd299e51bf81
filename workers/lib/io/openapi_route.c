/* The tree of path segments that finds the operation of a request. */
#include "io/openapi_impl.h"
#include "io/value.h"

struct st_api_node {
    const char *segment; /* literal; NULL for the root and for a template */
    size_t len;
    struct st_api_node **literals; /* hashed by segment, open addressing; cap is 0 or a power of two */
    size_t n_literals, cap;
    struct st_api_node *template;
    const struct st_api_operation *operations[ST_METHODS];
    const char *path; /* of the operations */
    unsigned allow;   /* not 0: a path ends here */
};

/* The slot of a segment: its node, or NULL where it would stand. Contracts are ours: nobody chooses what collides. */
static struct st_api_node **slot(struct st_api_node **literals, size_t cap, const char *s, size_t len)
{
    for (size_t i = st_names_hash(s, len);; i++) {
        struct st_api_node **at = &literals[i & (cap - 1)];
        if (!*at || ((*at)->len == len && memcmp((*at)->segment, s, len) == 0))
            return at;
    }
}

static struct st_api_node *find_literal(const struct st_api_node *node, const char *s, size_t len)
{
    return node->cap ? *slot(node->literals, node->cap, s, len) : NULL;
}

static struct st_api_node *add_literal(struct st_arena *a, struct st_api_node *node, const char *s, size_t len)
{
    struct st_api_node *child = find_literal(node, s, len);
    if (child)
        return child;
    if (2 * node->n_literals >= node->cap) {
        size_t cap = node->cap ? 2 * node->cap : 4;
        struct st_api_node **literals = st_new_n(a, struct st_api_node *, cap);
        for (size_t i = 0; i < node->cap; i++)
            if (node->literals[i])
                *slot(literals, cap, node->literals[i]->segment, node->literals[i]->len) = node->literals[i];
        node->literals = literals;
        node->cap = cap;
    }
    child = st_new(a, struct st_api_node);
    child->segment = s;
    child->len = len;
    *slot(node->literals, node->cap, s, len) = child;
    node->n_literals++;
    return child;
}

/*
 * Two different templates for one path are an error unless one of them is the more literal at every segment where they
 * differ, for then it wins everywhere. path_wins: it is literal where the tree has a template; tree_wins: the reverse.
 */
static const char *clash(const struct st_api_node *node, const char *path, bool path_wins, bool tree_wins)
{
    if (!*path || !path[1])
        return node->allow && path_wins == tree_wins ? node->path : NULL;
    const char *segment = path + 1, *rest = segment + strcspn(segment, "/"), *found = NULL;
    bool literal = *segment != '{';
    if (node->template)
        found = clash(node->template, rest, path_wins || literal, tree_wins);
    if (!found && literal) {
        const struct st_api_node *child = find_literal(node, segment, (size_t)(rest - segment));
        return child ? clash(child, rest, path_wins, tree_wins) : NULL;
    }
    for (size_t i = 0; !found && i < node->cap; i++)
        if (node->literals[i])
            found = clash(node->literals[i], rest, path_wins, true);
    return found;
}

const char *st_api_route_clash(const struct st_api_node *root, const char *path)
{
    return root ? clash(root, path, false, false) : NULL;
}

void st_api_route_add(struct st_arena *a, struct st_api_node **root, const struct st_api_operation *op)
{
    if (!*root)
        *root = st_new(a, struct st_api_node);
    struct st_api_node *node = *root;
    for (const char *s = op->path; *s && op->path[1];) {
        size_t len = strcspn(++s, "/");
        if (*s != '{') {
            node = add_literal(a, node, s, len);
        } else {
            if (!node->template)
                node->template = st_new(a, struct st_api_node);
            node = node->template;
        }
        s += len;
    }
    node->path = op->path;
    node->operations[op->method] = op;
    node->allow |= 1u << op->method;
}

/*
 * The node of the path from s (a slash, or the end) on. A literal is tried first; where the rest does not fit, the
 * template beside it is. A node has one way to it, so none is visited twice.
 */
static const struct st_api_node *walk(const struct st_api_node *node, const char *s, const char *end, int n_params,
                                      struct st_api_match *match)
{
    if (s == end)
        return node->allow ? node : NULL;
    const char *segment = s + 1, *next = memchr(segment, '/', (size_t)(end - segment));
    size_t len = (size_t)((next ? next : end) - segment);
    const struct st_api_node *child = find_literal(node, segment, len), *found = NULL;
    if (child)
        found = walk(child, segment + len, end, n_params, match);
    if (found || !node->template || !len)
        return found;
    match->params[n_params].at = segment;
    match->params[n_params].len = len;
    return walk(node->template, segment + len, end, n_params + 1, match);
}

void st_api_find(const struct st_api *api, int method, const char *path, size_t len, struct st_api_match *ret)
{
    ret->operation = NULL;
    ret->allow = 0;
    if (!len || *path != '/')
        return;
    const struct st_api_node *node = walk(api->root, path, len == 1 ? path : path + len, 0, ret);
    if (!node)
        return;
    ret->allow = node->allow;
    if (method >= 0 && method < ST_METHODS)
        ret->operation = node->operations[method];
}

int st_api_method(const char *name, size_t len)
{
    for (int i = 0; i < ST_METHODS; i++)
        if (strlen(st_api_method_names[i]) == len && memcmp(st_api_method_names[i], name, len) == 0)
            return i;
    return -1;
}
