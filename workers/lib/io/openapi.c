/* Loads OpenAPI contracts: gathers operations and mistakes over all files, and builds the routes. */
#include "io/openapi_impl.h"

enum { WHY_MAX = 64 * 1024 };

/* Each line once: a component that is wrong is met by every operation that uses it. One line, whatever it quotes. */
static void tell(struct st_api_reader *r, const char *text)
{
    char *line = st_strdup(r->arena, text);
    for (char *p = line; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    if (json_object_get(r->told, line))
        return;
    json_object_set_new(r->told, line, json_true());
    if (++r->mistakes > ST_API_MISTAKES)
        return;
    if (r->why.len)
        st_buf_char(&r->why, '\n');
    st_buf_str(&r->why, line);
}

void st_contract_mistake(struct st_contract *c, const char *pointer, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *reason = st_vprintf(c->r->arena, fmt, ap);
    va_end(ap);
    tell(c->r, st_printf(c->r->arena, "%s: %s", st_contract_place(c, pointer), reason));
}

/* Notes paths that another file, or another line, has too. */
static void claim_path(struct st_contract *c, const char *path, const char *at)
{
    const char *before = st_json_str(c->r->paths, path, NULL);
    if (before)
        st_contract_mistake(c, at, "the path %s is also at %s", path, before);
    else
        json_object_set_new(c->r->paths, path, json_string(st_contract_place(c, at)));
}

static void read_contract(struct st_contract *c)
{
    const char *path;
    json_t *item;
    st_contract_check_shape(c);
    if (c->r->mistakes) /* what follows takes the shape for granted */
        return;
    c->base = st_contract_base(c);
    json_object_foreach (json_object_get(c->yaml.root, "paths"), path, item) {
        const char *at = st_json_pointer(c->r->arena, "/paths", path);
        const char *full = st_contract_full_path(c, path);
        claim_path(c, full, at);
        st_contract_read_path(c, full, item, at);
    }
}

/* Builds the tree of routes; each path is held against those that are in it. */
static void route(struct st_api_reader *r)
{
    const char *last = NULL;
    for (int i = 0; i < r->n_operations; i++) {
        struct st_api_operation *op = &r->operations[i];
        op->index = i;
        const char *clash = st_streq(op->path, last) ? NULL : st_api_route_clash(r->root, op->path);
        if (clash)
            tell(r, st_printf(r->arena, "%s: the path %s also matches what %s at %s matches",
                              st_json_str(r->paths, op->path, ""), op->path, clash, st_json_str(r->paths, clash, "")));
        last = op->path;
        st_api_route_add(r->arena, &r->root, op);
    }
}

static int by_text(const void *x, const void *y)
{
    const char *const *a = x, *const *b = y;
    return strcmp(*a, *b);
}

static const char *const *sorted_names(struct st_arena *a, json_t *set, int *ret_n)
{
    const char **names = st_new_n(a, const char *, json_object_size(set)), *name;
    json_t *value;
    int n = 0;
    json_object_foreach (set, name, value)
        names[n++] = name;
    if (n)
        qsort(names, (size_t)n, sizeof(*names), by_text);
    *ret_n = n;
    return names;
}

static json_t *new_set(struct st_arena *a)
{
    return st_json_keep(a, json_object());
}

static struct st_api *finish(struct st_api_reader *r, json_t *document)
{
    struct st_api *api = st_new(r->arena, struct st_api);
    api->operations = r->operations;
    api->n_operations = r->n_operations;
    api->services = sorted_names(r->arena, r->services, &api->n_services);
    api->schemes = r->schemes;
    api->permissions = sorted_names(r->arena, r->permissions, &api->n_permissions);
    api->document = document;
    api->root = r->root;
    return api;
}

/* NULL after a mistake. */
static json_t *read_files(struct st_api_reader *r, const char *const *files, int n_files)
{
    for (int i = 0; i < n_files; i++) {
        const char *why;
        if (!st_contract_open(r, files[i], &why))
            tell(r, why);
    }
    if (!r->mistakes)
        st_contract_bundle(r);
    for (int i = 0; !r->mistakes && i < n_files; i++)
        read_contract(r->files[i]);
    if (!r->mistakes)
        route(r);
    if (!r->mistakes)
        st_contract_link_versions(r);
    return r->mistakes ? NULL : st_contract_merge(r, n_files);
}

int st_api_load(struct st_arena *a, const char *const *files, int n_files, struct st_api **ret, const char **ret_why)
{
    struct st_api_reader r = {.arena = a, .why = ST_BUF(WHY_MAX)};
    r.told = new_set(a);
    r.file_index = new_set(a);
    r.folders = new_set(a);
    r.ids = new_set(a);
    r.paths = new_set(a);
    r.limits = new_set(a);
    r.security = new_set(a);
    r.services = new_set(a);
    r.permissions = new_set(a);
    /* By name, so that an operation has the same index whatever order the files came in. */
    const char **sorted = st_new_n(a, const char *, (size_t)n_files);
    if (n_files) {
        memcpy(sorted, files, (size_t)n_files * sizeof(*sorted));
        qsort(sorted, (size_t)n_files, sizeof(*sorted), by_text);
    }
    json_t *document = read_files(&r, sorted, n_files);
    if (!r.n_operations && !r.mistakes)
        tell(&r, "there is no operation in any contract");
    if (r.mistakes) {
        *ret_why = st_strndup(a, r.why.data, r.why.len);
        st_buf_release(&r.why);
        return ST_E_INVALID;
    }
    *ret = finish(&r, document);
    return 0;
}
