/* Loads OpenAPI contracts: gathers operations and mistakes over all files, merges the documents, builds the routes. */
#include "io/openapi_impl.h"

enum { WHY_MAX = 64 * 1024 };

static const char TITLE[] = "Storytelling API";

const char *st_contract_place(struct st_contract *c, const char *pointer)
{
    return st_printf(c->r->arena, "%s:%d", c->yaml.path, st_yaml_line(&c->yaml, pointer));
}

/* Each line once: a component that is wrong is met by every operation that uses it. */
static void tell(struct st_api_reader *r, const char *line)
{
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
static void claim_path(struct st_contract *c, const char *path)
{
    const char *at = st_json_pointer(c->r->arena, "/paths", path);
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
    json_object_foreach (json_object_get(c->yaml.root, "paths"), path, item) {
        claim_path(c, path);
        st_contract_read_path(c, path, item);
    }
}

/*
 * Two different templates for one path: an error unless one of them is the more literal at every segment where they
 * differ, for then it wins everywhere.
 */
static bool are_ambiguous(const char *a, const char *b)
{
    bool a_wins = false, b_wins = false;
    while (*a && *b) {
        size_t n = strcspn(++a, "/"), m = strcspn(++b, "/");
        if (*a != '{' && *b != '{' && (n != m || memcmp(a, b, n) != 0))
            return false;
        a_wins = a_wins || (*a != '{' && *b == '{');
        b_wins = b_wins || (*a == '{' && *b != '{');
        a += n;
        b += m;
    }
    return !*a && !*b && a_wins == b_wins;
}

static void refuse_ambiguity(struct st_api_reader *r)
{
    const char *a, *b;
    json_t *at, *other;
    json_object_foreach (r->paths, a, at) {
        json_object_foreach (r->paths, b, other) {
            if (a == b)
                break; /* each pair once */
            if (are_ambiguous(a, b))
                tell(r, st_printf(r->arena, "%s: the path %s also matches what %s at %s matches", json_string_value(at),
                                  a, b, json_string_value(other)));
        }
    }
}

/* What a file says once for all its operations is written out, so that it holds in the merged document. */
static json_t *explicit_path(const json_t *root, const json_t *item)
{
    static const char *const inherited[] = {"security", "x-service"};
    const json_t *tags = json_object_get(root, "tags"), *tag = json_object_get(json_array_get(tags, 0), "name");
    json_t *copy = json_deep_copy(item), *operation;
    const char *member;
    json_object_foreach (copy, member, operation) {
        if (json_object_get(operation, "operationId") && !json_object_get(operation, "tags") &&
            json_array_size(tags) == 1)
            json_object_set_new(operation, "tags", json_pack("[O]", tag));
        for (size_t i = 0; i < ST_COUNT(inherited); i++)
            if (json_object_get(operation, "operationId") && !json_object_get(operation, inherited[i]) &&
                json_object_get(root, inherited[i]))
                json_object_set(operation, inherited[i], json_object_get(root, inherited[i]));
    }
    return copy;
}

static json_t *member_object(json_t *parent, const char *name)
{
    json_t *object = json_object_get(parent, name);
    if (!object)
        json_object_set_new(parent, name, object = json_object());
    return object;
}

static void merge_components(struct st_contract *c, json_t *document)
{
    const char *section, *name;
    json_t *entries, *entry, *components = member_object(document, "components");
    json_object_foreach (json_object_get(c->yaml.root, "components"), section, entries) {
        json_t *merged = member_object(components, section);
        json_object_foreach (entries, name, entry) {
            const json_t *before = json_object_get(merged, name);
            if (before && !json_equal(before, entry)) {
                const char *at = st_json_pointer(c->r->arena, "/components", section);
                st_contract_mistake(c, st_json_pointer(c->r->arena, at, name), "%s has another meaning in another file",
                                    name);
            }
            json_object_set(merged, name, entry);
        }
    }
}

static void merge_tags(json_t *document, const json_t *tags)
{
    size_t i, k;
    json_t *tag, *known, *all = json_object_get(document, "tags");
    if (!all)
        json_object_set_new(document, "tags", all = json_array());
    json_array_foreach ((json_t *)tags, i, tag) {
        bool found = false;
        json_array_foreach (all, k, known)
            found = found || json_equal(known, tag);
        if (!found)
            json_array_append(all, tag);
    }
}

static void merge(struct st_contract *c, json_t *document)
{
    static const char *const first[] = {"openapi", "info", "servers"};
    const json_t *root = c->yaml.root;
    const char *path;
    json_t *item, *paths;
    for (size_t i = 0; i < ST_COUNT(first); i++)
        if (!json_object_get(document, first[i]) && json_object_get(root, first[i]))
            json_object_set_new(document, first[i], json_deep_copy(json_object_get(root, first[i])));
    json_object_set_new(json_object_get(document, "info"), "title", json_string(TITLE));
    merge_tags(document, json_object_get(root, "tags"));
    paths = member_object(document, "paths");
    merge_components(c, document);
    json_object_foreach (json_object_get(root, "paths"), path, item)
        json_object_set_new(paths, path, explicit_path(root, item));
}

/* The one scheme that security can name, where no file describes it. */
static void describe_bearer(json_t *document)
{
    json_t *schemes = member_object(member_object(document, "components"), "securitySchemes");
    if (!json_object_get(schemes, "bearer"))
        json_object_set_new(schemes, "bearer",
                            json_pack("{ss,ss,ss}", "type", "http", "scheme", "bearer", "bearerFormat", "JWT"));
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

static struct st_api *finish(struct st_api_reader *r, const json_t *document)
{
    struct st_api *api = st_new(r->arena, struct st_api);
    for (int i = 0; i < r->n_operations; i++) {
        r->operations[i].index = i;
        st_api_route_add(r->arena, &r->root, &r->operations[i]);
    }
    api->operations = r->operations;
    api->n_operations = r->n_operations;
    api->services = sorted_names(r->arena, r->services, &api->n_services);
    api->permissions = sorted_names(r->arena, r->permissions, &api->n_permissions);
    api->document = document;
    api->root = r->root;
    return api;
}

static void read_files(struct st_api_reader *r, const char *const *files, int n_files, json_t *document)
{
    struct st_contract *contracts = st_new_n(r->arena, struct st_contract, (size_t)n_files);
    bool readable = true;
    for (int i = 0; i < n_files; i++) {
        const char *why;
        contracts[i].r = r;
        if (st_yaml_load(r->arena, files[i], &contracts[i].yaml, &why) < 0) {
            tell(r, why);
            readable = false;
        }
    }
    for (int i = 0; readable && i < n_files; i++)
        read_contract(&contracts[i]);
    if (!r->mistakes)
        refuse_ambiguity(r);
    if (!r->mistakes)
        st_contract_link_versions(r);
    for (int i = 0; !r->mistakes && i < n_files; i++)
        merge(&contracts[i], document);
    describe_bearer(document);
}

int st_api_load(struct st_arena *a, const char *const *files, int n_files, struct st_api **ret, const char **ret_why)
{
    struct st_api_reader r = {.arena = a, .why = ST_BUF(WHY_MAX)};
    json_t *document = new_set(a);
    r.told = new_set(a);
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
    read_files(&r, sorted, n_files, document);
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
