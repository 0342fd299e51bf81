/* x-operation-of, x-request-transform and x-response-transform: one version of the API served by another's handler. */
#include "io/openapi_impl.h"

enum { MAX_VALUES = 32 };

/* Of HTTP's framing, or the edge's to give: a contract does not touch them. A name may end in "*". */
static const char *const untouchable[] = {
    "host",
    "content-length",
    "transfer-encoding",
    "content-type",
    "content-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "date",
    "authorization",
    "cookie",
    "set-cookie",
    "x-api-*",
    "x-correlation-id",
    "traceparent",
    "x-accel-*",
    "etag",
    "proxy-*",
};

static bool is_untouchable(const char *name)
{
    for (size_t i = 0; i < ST_COUNT(untouchable); i++) {
        size_t n = strcspn(untouchable[i], "*");
        if (strncasecmp(name, untouchable[i], n) == 0 && (untouchable[i][n] || !name[n]))
            return true;
    }
    return false;
}

static bool check_header_name(struct st_contract *c, const char *at, const char *name)
{
    static const char characters[] = ST_LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ" ST_DIGITS "-";
    bool valid = name && *name && strlen(name) <= 64 && strspn(name, characters) == strlen(name);
    if (!valid)
        st_contract_mistake(c, at, "'%.80s' must be a header of letters, digits and -", name ? name : "");
    else if (is_untouchable(name))
        st_contract_mistake(c, at, "the header %s is not a contract's to change", name);
    return valid;
}

/* Text without control characters, so that a header stays one line. */
static const char *constant_text(struct st_arena *a, const json_t *json)
{
    const char *s = json_string_value(json);
    if (!s && (json_is_number(json) || json_is_boolean(json)))
        return st_json_text(a, json);
    for (const char *p = s; p && *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return NULL;
    return s;
}

static const struct st_api_param *find_param(const struct st_api_operation *op, const char *name)
{
    for (int i = 0; i < op->n_params; i++)
        if (st_streq(op->params[i].name, name))
            return &op->params[i];
    return NULL;
}

/* {name: constant or {$param: name}, …} */
static void read_values(struct st_contract *c, const json_t *json, const char *at, const struct st_api_operation *op,
                        struct st_api_values *ret)
{
    const char *name;
    json_t *value;
    if (!json_is_object(json) || json_object_size(json) > MAX_VALUES) {
        st_contract_mistake(c, at, "must be a map of at most %d values", MAX_VALUES);
        return;
    }
    struct st_api_value *list = st_new_n(c->r->arena, struct st_api_value, json_object_size(json));
    json_object_foreach ((json_t *)json, name, value) {
        const char *pointer = st_json_pointer(c->r->arena, at, name);
        struct st_api_value *v = &list[ret->n++];
        v->name = name;
        v->param = json_object_size(value) == 1 ? st_json_str(value, "$param", NULL) : NULL;
        v->text = v->param ? NULL : constant_text(c->r->arena, value);
        if (!v->param && !v->text)
            st_contract_mistake(c, pointer, "must be text, a number, true, false, or {$param: name}");
        else if (v->param && !find_param(op, v->param))
            st_contract_mistake(c, pointer, "the operation has no parameter %.80s", v->param);
    }
    ret->list = list;
}

struct param_check {
    const struct st_api_operation *op;
    const char *missing;
};

static bool is_param(void *ctx, const char *name)
{
    struct param_check *check = ctx;
    if (find_param(check->op, name))
        return true;
    check->missing = name;
    return false;
}

static void read_patch(struct st_contract *c, const json_t *json, const char *at, const struct st_api_operation *op,
                       struct st_api_transform *t)
{
    struct param_check check = {.op = op};
    const char *pointer, *why;
    if (st_patch_compile(c->r->arena, json, &t->patch, &pointer, &why) < 0)
        st_contract_mistake(c, st_printf(c->r->arena, "%s%s", at, pointer), "%s", why);
    else if (!st_patch_each_param(t->patch, is_param, &check))
        st_contract_mistake(c, at, "the operation has no parameter %.80s", check.missing);
}

static void read_removed(struct st_contract *c, const json_t *json, const char *at, struct st_api_transform *t)
{
    size_t i;
    json_t *name;
    if (!json_array_size(json)) {
        st_contract_mistake(c, at, "remove-headers must be a list of names");
        return;
    }
    const char **list = st_new_n(c->r->arena, const char *, json_array_size(json));
    json_array_foreach ((json_t *)json, i, name) {
        list[i] = json_string_value(name);
        (void)check_header_name(c, at, list[i]);
    }
    t->removed = list;
    t->n_removed = (int)i;
}

/* NULL when there is none. */
static const struct st_api_transform *read_transform(struct st_contract *c, const json_t *operation, const char *name,
                                                     const char *pointer, const struct st_api_operation *op,
                                                     bool request)
{
    const json_t *json = json_object_get(operation, name);
    const char *at = st_json_pointer(c->r->arena, pointer, name), *member;
    struct st_api_transform *t = st_new(c->r->arena, struct st_api_transform);
    bool maps = request && json_object_get(operation, "x-operation-of");
    json_t *value;
    if (!json)
        return NULL;
    if (!json_object_size(json))
        st_contract_mistake(c, at, "%s must have a patch or headers", name);
    json_object_foreach ((json_t *)json, member, value) {
        const char *here = st_json_pointer(c->r->arena, at, member);
        for (int i = 0; request && st_streq(member, "patch") && i < op->n_bodies; i++)
            if (op->bodies[i].kind != ST_BODY_JSON)
                st_contract_mistake(c, here, "a patch needs a body that is JSON, not %.80s", op->bodies[i].type);
        if (st_streq(member, "patch"))
            read_patch(c, value, here, op, t);
        else if (st_streq(member, "set-headers"))
            read_values(c, value, here, op, &t->headers);
        else if (st_streq(member, "remove-headers"))
            read_removed(c, value, here, t);
        else if (maps && st_streq(member, "path"))
            read_values(c, value, here, op, &t->path);
        else if (maps && st_streq(member, "query"))
            read_values(c, value, here, op, &t->query);
        else
            st_contract_mistake(c, here, "%.80s is not a known member of %s here", member, name);
        t->maps_query = t->maps_query || st_streq(member, "query");
    }
    for (int i = 0; i < t->headers.n; i++)
        (void)check_header_name(c, st_json_pointer(c->r->arena, at, "set-headers"), t->headers.list[i].name);
    return t;
}

void st_contract_read_transforms(struct st_contract *c, const json_t *json, const char *pointer,
                                 struct st_api_operation *op)
{
    struct st_api_reader *r = c->r;
    const json_t *security = json_object_get(json, "security");
    json_object_set(r->security, op->id, (json_t *)(security ? security : json_object_get(c->yaml.root, "security")));
    op->request = read_transform(c, json, "x-request-transform", pointer, op, true);
    op->response = read_transform(c, json, "x-response-transform", pointer, op, false);
    if (op->request && op->request->patch && op->method == ST_GET)
        st_contract_mistake(c, st_json_pointer(r->arena, pointer, "x-request-transform"), "GET has no body to patch");
    if (json_object_get(json, "x-operation-of")) {
        struct st_api_link *link = st_new(r->arena, struct st_api_link);
        *link = (struct st_api_link){c, st_json_pointer(r->arena, pointer, "x-operation-of"),
                                     st_json_str(json, "x-operation-of", ""), r->n_operations, r->links};
        r->links = link;
    }
}

/* --- x-operation-of, when all operations are known --- */

static const struct st_api_value *find_value(const struct st_api_values *values, const char *name)
{
    for (int i = 0; i < values->n; i++)
        if (st_streq(values->list[i].name, name))
            return &values->list[i];
    return NULL;
}

static const struct st_api_values no_values;

static void check_mapping(const struct st_api_link *link, const struct st_api_operation *op,
                          const struct st_api_operation *of)
{
    const struct st_api_values *path = op->request ? &op->request->path : &no_values;
    const struct st_api_values *query = op->request ? &op->request->query : &no_values;
    for (int i = 0; i < of->n_params; i++)
        if (of->params[i].in == ST_IN_PATH && !find_value(path, of->params[i].name) &&
            !find_param(op, of->params[i].name))
            st_contract_mistake(link->contract, link->pointer, "nothing gives %s its {%s}", of->id, of->params[i].name);
    for (int i = 0; i < path->n; i++) {
        const struct st_api_param *p = find_param(of, path->list[i].name);
        if (!p || p->in != ST_IN_PATH)
            st_contract_mistake(link->contract, link->pointer, "%s has no {%.80s}", of->id, path->list[i].name);
    }
    for (int i = 0; i < query->n; i++) {
        const struct st_api_param *p = find_param(of, query->list[i].name);
        if (!p || p->in != ST_IN_QUERY)
            st_contract_mistake(link->contract, link->pointer, "%s has no query parameter %.80s", of->id,
                                query->list[i].name);
    }
    for (int i = 0; i < op->n_params && !(op->request && op->request->maps_query); i++) {
        const struct st_api_param *p = find_param(of, op->params[i].name);
        if (op->params[i].in == ST_IN_QUERY && (!p || p->in != ST_IN_QUERY))
            st_contract_mistake(link->contract, link->pointer, "%s has no query parameter %.80s: map the query", of->id,
                                op->params[i].name);
    }
}

/* Another version must not be a way around who may, and how often. */
static void check_guards(const struct st_api_link *link, const struct st_api_operation *op,
                         const struct st_api_operation *of)
{
    const struct st_api_reader *r = link->contract->r;
    if (!json_equal(json_object_get(r->security, op->id), json_object_get(r->security, of->id)))
        st_contract_mistake(link->contract, link->pointer, "security must be that of %s", of->id);
    for (int i = 0; i < of->n_limits; i++) {
        bool found = false;
        for (int k = 0; k < op->n_limits; k++)
            found = found || st_streq(op->limits[k].name, of->limits[i].name);
        if (!found)
            st_contract_mistake(link->contract, link->pointer, "the rate limit %s of %s is missing", of->limits[i].name,
                                of->id);
    }
}

void st_contract_link_versions(struct st_api_reader *r)
{
    for (const struct st_api_link *link = r->links; link; link = link->next) {
        struct st_api_operation *op = &r->operations[link->operation];
        for (int i = 0; i < r->n_operations; i++)
            if (st_streq(r->operations[i].id, link->of))
                op->of = &r->operations[i];
        if (!op->of || op->of == op)
            st_contract_mistake(link->contract, link->pointer, "there is no other operation %.80s", link->of);
        else if (op->of->method != op->method || strcmp(op->of->service, op->service) != 0)
            st_contract_mistake(link->contract, link->pointer, "%s must have the same method and service", link->of);
    }
    for (const struct st_api_link *link = r->links; link && !r->mistakes; link = link->next) {
        const struct st_api_operation *op = &r->operations[link->operation];
        if (op->of->of)
            st_contract_mistake(link->contract, link->pointer, "%s is itself an operation of another: name that one",
                                link->of);
        check_guards(link, op, op->of);
        check_mapping(link, op, op->of);
    }
}

/* --- a request --- */

const char *st_api_value_text(const struct st_api_value *value, const json_t *params, struct st_arena *a)
{
    const json_t *json = value->param ? json_object_get(params, value->param) : NULL;
    if (!value->param)
        return value->text;
    if (json_is_string(json))
        return json_string_value(json);
    return json ? st_json_text(a, json) : NULL;
}

static void add_segment(struct st_buf *b, const struct st_api_operation *op, const char *name, const json_t *params,
                        struct st_arena *a)
{
    const struct st_api_value same = {.name = name, .param = name};
    const struct st_api_value *mapped = op->request ? find_value(&op->request->path, name) : NULL;
    const char *text = st_api_value_text(mapped ? mapped : &same, params, a);
    st_buf_str(b, st_url_encode(a, text ? text : ""));
}

static void add_query(struct st_buf *b, const struct st_api_values *query, const json_t *params, struct st_arena *a)
{
    const char *before = "?";
    for (int i = 0; i < query->n; i++) {
        const char *text = st_api_value_text(&query->list[i], params, a);
        if (!text)
            continue;
        st_buf_printf(b, "%s%s=%s", before, st_url_encode(a, query->list[i].name), st_url_encode(a, text));
        before = "&";
    }
}

const char *st_api_target(const struct st_api_operation *op, const json_t *params, const char *query, size_t query_len,
                          struct st_arena *a)
{
    enum { TARGET_MAX = 64 * 1024 };
    struct st_buf b = ST_BUF(TARGET_MAX);
    for (const char *s = op->of->path; *s;) {
        size_t len = strcspn(s, "{}");
        if (s > op->of->path && s[-1] == '{')
            add_segment(&b, op, st_strndup(a, s, len), params, a);
        else
            st_buf_add(&b, s, len);
        s += len + (s[len] != '\0');
    }
    if (op->request && op->request->maps_query)
        add_query(&b, &op->request->query, params, a);
    else if (query_len)
        st_buf_printf(&b, "?%.*s", (int)query_len, query);
    const char *target = b.failed ? NULL : st_strndup(a, b.data, b.len);
    st_buf_release(&b);
    return target;
}
