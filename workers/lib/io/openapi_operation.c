/* Reads one path of a contract: its template, and each operation. */
#include "io/openapi_impl.h"

enum { MAX_SERVICE = 32 };

const char *const st_api_method_names[ST_METHODS] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

bool st_contract_is_segment(const char *s, size_t len)
{
    static const char characters[] = ST_LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ" ST_DIGITS "-._~";
    return len && strspn(s, characters) >= len && !(s[0] == '.' && (len == 1 || (len == 2 && s[1] == '.')));
}

/* The path of "https://host/path" or "/path"; NULL for what is neither. */
static const char *url_path(const char *url)
{
    const char *scheme = strstr(url, "://");
    if (*url == '/' && url[1] != '/')
        return url;
    return scheme && scheme > url ? strchrnul(scheme + 3, '/') : NULL;
}

static bool is_base(const char *path)
{
    for (const char *s = path; *s;) {
        size_t len = strcspn(++s, "/");
        if (!st_contract_is_segment(s, len))
            return false;
        s += len;
    }
    return true;
}

const char *st_contract_base(struct st_contract *c)
{
    const char *base = NULL;
    size_t i;
    json_t *server;
    json_array_foreach (json_object_get(c->yaml.root, "servers"), i, server) {
        const char *at = st_printf(c->r->arena, "/servers/%zu", i);
        const char *path = url_path(st_json_str(server, "url", ""));
        size_t n = path ? strlen(path) : 0;
        if (n && path[n - 1] == '/')
            path = st_strndup(c->r->arena, path, n - 1);
        if (!path || !is_base(path))
            st_contract_mistake(c, at, "url must be https://host or a path, with segments of letters, digits and -._~");
        else if (base && !st_streq(base, path))
            st_contract_mistake(c, at, "all servers must have the same path, for it is part of every route");
        else
            base = path;
    }
    return base ? base : "";
}

const char *st_contract_full_path(const struct st_contract *c, const char *path)
{
    return *c->base ? st_printf(c->r->arena, "%s%s", c->base, st_streq(path, "/") ? "" : path) : path;
}

static bool read_template(struct st_contract *c, const char *path, const char *at, struct st_template *t)
{
    static const char characters[] = ST_LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ" ST_DIGITS "_";
    if (*path != '/') {
        st_contract_mistake(c, at, "a path must begin with /");
        return false;
    }
    for (const char *s = path; *s && path[1];) {
        size_t len = strcspn(++s, "/");
        const char *segment = st_strndup(c->r->arena, s, len);
        s += len;
        if (*segment != '{') {
            if (st_contract_is_segment(segment, len))
                continue;
            st_contract_mistake(c, at, "the segment '%.80s' must be {name}, or letters, digits and -._~", segment);
            return false;
        }
        const char *name = st_strndup(c->r->arena, segment + 1, len > 2 ? len - 2 : 0);
        if (len < 3 || segment[len - 1] != '}' || strspn(name, characters) != len - 2) {
            st_contract_mistake(c, at, "the segment '%.80s' must be {name} as a whole", segment);
            return false;
        }
        for (int i = 0; i < t->n; i++) {
            if (st_streq(t->names[i], name)) {
                st_contract_mistake(c, at, "{%.80s} is in the path twice", name);
                return false;
            }
        }
        if (t->n == ST_API_PATH_PARAMS) {
            st_contract_mistake(c, at, "more than %d templates in a path", ST_API_PATH_PARAMS);
            return false;
        }
        t->names[t->n++] = name;
    }
    return true;
}

/* "v1" of /v1/stories */
static const char *version_of(struct st_arena *a, const char *path)
{
    size_t n = strspn(path + 1 + (path[1] == 'v'), ST_DIGITS);
    bool version = path[1] == 'v' && n && (path[2 + n] == '/' || !path[2 + n]);
    return version ? st_strndup(a, path + 1, n + 1) : "";
}

static void read_responses(struct st_contract *c, const json_t *json, const char *at)
{
    const json_t *responses = json_object_get(json, "responses");
    const char *status;
    json_t *response;
    at = st_json_pointer(c->r->arena, at, "responses");
    if (!json_object_size(responses))
        st_contract_mistake(c, at, "at least one response must be described");
    json_object_foreach ((json_t *)responses, status, response) {
        bool code = strlen(status) == 3 && status[0] >= '1' && status[0] <= '5' &&
                    (st_streq(status + 1, "XX") || strspn(status + 1, ST_DIGITS) == 2);
        if (!code && !st_streq(status, "default"))
            st_contract_mistake(c, st_json_pointer(c->r->arena, at, status),
                                "'%.40s' must be a status such as '200', '4XX', or default", status);
    }
}

static void read_identity(struct st_contract *c, const json_t *json, const char *at, struct st_api_operation *op)
{
    static const char id_characters[] = ST_LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ" ST_DIGITS "_";
    op->id = st_json_str(json, "operationId", "");
    const char *before = st_json_str(c->r->ids, op->id, NULL);
    if (!st_contract_is_name(op->id, id_characters, 64))
        st_contract_mistake(
            c, at, "the operationId '%.80s' must be a name of letters, digits and _, such as createStory", op->id);
    else if (before)
        st_contract_mistake(c, at, "the operationId %s is taken at %s", op->id, before);
    else
        json_object_set_new(c->r->ids, op->id, json_string(st_contract_place(c, at)));
    op->service = st_json_str(json, "x-service", st_json_str(c->yaml.root, "x-service", NULL));
    if (!st_contract_is_name(op->service, ST_LOWER ST_DIGITS "-", MAX_SERVICE))
        st_contract_mistake(c, at, "x-service must name the service, with a-z, 0-9 and -");
    else
        json_object_set_new(c->r->services, op->service, json_true());
}

static void add_operation(struct st_api_reader *r, const struct st_api_operation *op)
{
    if (r->n_operations == r->cap_operations) {
        int cap = r->cap_operations ? 2 * r->cap_operations : 64;
        struct st_api_operation *operations = st_new_n(r->arena, struct st_api_operation, (size_t)cap);
        if (r->n_operations)
            memcpy(operations, r->operations, (size_t)r->n_operations * sizeof(*operations));
        r->operations = operations;
        r->cap_operations = cap;
    }
    r->operations[r->n_operations++] = *op;
}

void st_contract_read_path(struct st_contract *c, const char *path, const json_t *item, const char *item_at)
{
    static const char *const members[ST_METHODS] = {"get", "post", "put", "patch", "delete"};
    struct st_template t = {.n = 0};
    item = st_contract_deref(c, item, &item_at);
    if (!read_template(c, path, item_at, &t))
        return;
    int found = 0;
    for (int m = 0; m < ST_METHODS; m++) {
        const json_t *json = json_object_get(item, members[m]);
        if (!json)
            continue;
        const char *at = st_json_pointer(c->r->arena, item_at, members[m]);
        struct st_api_operation op = {.method = (enum st_api_method)m,
                                      .path = path,
                                      .version = version_of(c->r->arena, path),
                                      .file = c->yaml.path,
                                      .line = st_yaml_line(&c->yaml, at)};
        read_identity(c, json, at, &op);
        st_contract_read_params(c, item, item_at, json, at, &t, &op);
        st_contract_read_body(c, json, at, &op);
        read_responses(c, json, at);
        st_contract_read_security(c, json, at, &op);
        st_contract_read_extensions(c, json, at, &op);
        st_contract_read_transforms(c, json, at, &op);
        st_contract_read_public(c, json, at, &op);
        add_operation(c->r, &op);
        found++;
    }
    if (!found)
        st_contract_mistake(c, item_at, "the path has no operation");
}
