/* The tree of path segments that finds the operation of a request. */
#include "io/openapi_impl.h"

struct st_api_node {
    const char *segment; /* literal; NULL for the root and for a template */
    size_t len;
    struct st_api_node **literals; /* sorted by length, then bytes */
    int n_literals;
    struct st_api_node *template;
    const struct st_api_operation *operations[ST_METHODS];
    unsigned allow; /* not 0: a path ends here */
};

static int compare(const struct st_api_node *node, const char *s, size_t len)
{
    return node->len != len ? (node->len < len ? -1 : 1) : memcmp(node->segment, s, len);
}

/* Index of the first literal that is not below s. */
static int literal_index(const struct st_api_node *node, const char *s, size_t len)
{
    int low = 0, high = node->n_literals;
    while (low < high) {
        int middle = (low + high) / 2;
        if (compare(node->literals[middle], s, len) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct st_api_node *find_literal(const struct st_api_node *node, const char *s, size_t len)
{
    int i = literal_index(node, s, len);
    return i < node->n_literals && compare(node->literals[i], s, len) == 0 ? node->literals[i] : NULL;
}

static struct st_api_node *add_literal(struct st_arena *a, struct st_api_node *node, const char *s, size_t len)
{
    struct st_api_node *child = find_literal(node, s, len);
    if (child)
        return child;
    int at = literal_index(node, s, len);
    struct st_api_node **literals = st_new_n(a, struct st_api_node *, (size_t)node->n_literals + 1);
    child = st_new(a, struct st_api_node);
    child->segment = s;
    child->len = len;
    for (int i = 0; i < node->n_literals; i++)
        literals[i < at ? i : i + 1] = node->literals[i];
    literals[at] = child;
    node->literals = literals;
    node->n_literals++;
    return child;
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
    *ret = (struct st_api_match){.operation = NULL};
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
