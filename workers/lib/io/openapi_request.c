/* Checks a request against its operation: parameters decoded and typed, body parsed, both validated. */
#include "io/openapi_impl.h"

#include <strings.h>

static const char NOT_TEXT[] = "is not percent-encoded UTF-8 text";

struct params {
    struct st_arena *arena;
    struct st_schema_errors *errors;
    json_t *values;
};

static void add_error(struct st_schema_errors *errors, const char *pointer, const char *message)
{
    if (errors->count < ST_SCHEMA_ERRORS)
        errors->list[errors->count++] = (struct st_schema_error){pointer, message};
}

static const char *pointer_of(struct st_arena *a, const struct st_api_param *p)
{
    static const char *const places[] = {[ST_IN_PATH] = "/path", [ST_IN_QUERY] = "/query", [ST_IN_HEADER] = "/header"};
    char *pointer = st_json_pointer(a, places[p->in], p->name);
    for (char *s = pointer; p->in == ST_IN_HEADER && *s; s++)
        if (*s >= 'A' && *s <= 'Z')
            *s = (char)(*s - 'A' + 'a');
    return pointer;
}

/* NULL: the text is not of the type, *ret_message says so. */
static json_t *convert(const struct st_api_param *p, const char *text, const char **ret_message)
{
    int64_t i;
    double d;
    switch (p->type) {
    case 'i':
        *ret_message = "must be an integer";
        return st_parse_i64(text, INT64_MIN, INT64_MAX, &i) ? json_integer(i) : NULL;
    case 'n':
        *ret_message = "must be a number";
        if (st_parse_i64(text, INT64_MIN, INT64_MAX, &i))
            return json_integer(i);
        return st_parse_double(text, &d) ? json_real(d) : NULL;
    case 'b':
        *ret_message = "must be true or false";
        return st_streq(text, "true") ? json_true() : st_streq(text, "false") ? json_false() : NULL;
    default: *ret_message = NOT_TEXT; return json_string(text);
    }
}

/* text: decoded; NULL when that failed. */
static void add_value(struct params *ps, const struct st_api_param *p, const char *text)
{
    const char *message = NOT_TEXT, *pointer = pointer_of(ps->arena, p);
    json_t *value = text ? convert(p, text, &message) : NULL;
    if (!value) {
        add_error(ps->errors, pointer, message);
        return;
    }
    struct st_schema_errors errors;
    if (st_schema_check(p->schema, value, ps->arena, &errors) < 0)
        for (int i = 0; i < errors.count; i++)
            add_error(ps->errors, pointer, errors.list[i].message);
    json_object_set_new(ps->values, p->name, value);
}

static void add_missing(struct params *ps, const struct st_api_param *p)
{
    if (p->required)
        add_error(ps->errors, pointer_of(ps->arena, p), "is required");
    else if (p->fallback)
        json_object_set_new(ps->values, p->name, json_copy((json_t *)p->fallback));
}

/* Index of a query parameter, -1 when the operation has none of that name. */
static int find_query(const struct st_api_operation *op, const char *name)
{
    for (int i = 0; i < op->n_params; i++)
        if (op->params[i].in == ST_IN_QUERY && strcmp(op->params[i].name, name) == 0)
            return i;
    return -1;
}

static void read_pair(struct params *ps, const struct st_api_operation *op, const char *s, size_t len, bool *seen)
{
    const char *equals = memchr(s, '=', len);
    size_t name_len = equals ? (size_t)(equals - s) : len;
    const char *name = st_url_decode(ps->arena, s, name_len, true);
    if (!name) {
        add_error(ps->errors, "/query", NOT_TEXT);
        return;
    }
    int i = find_query(op, name);
    if (i < 0) {
        add_error(ps->errors, st_json_pointer(ps->arena, "/query", name), "is not allowed here");
    } else if (seen[i]) {
        add_error(ps->errors, pointer_of(ps->arena, &op->params[i]), "must be given only once");
    } else {
        seen[i] = true;
        const char *value = equals ? equals + 1 : s + len;
        add_value(ps, &op->params[i], st_url_decode(ps->arena, value, (size_t)(s + len - value), true));
    }
}

static void read_query(struct params *ps, const struct st_api_operation *op, const char *query, size_t len)
{
    bool *seen = st_new_n(ps->arena, bool, (size_t)op->n_params);
    const char *end = query + len;
    while (query < end && ps->errors->count < ST_SCHEMA_ERRORS) {
        const char *and = memchr(query, '&', (size_t)(end - query));
        size_t n = (size_t)((and? and : end) - query);
        if (n)
            read_pair(ps, op, query, n, seen);
        query += n + 1;
    }
    for (int i = 0; i < op->n_params; i++)
        if (op->params[i].in == ST_IN_QUERY && !seen[i])
            add_missing(ps, &op->params[i]);
}

static void read_header(struct params *ps, const struct st_api_param *p, st_api_header_fn *header, void *ctx)
{
    const char *text = header ? header(ctx, p->name) : NULL;
    if (!text)
        add_missing(ps, p);
    else
        add_value(ps, p, st_utf8_valid(text, strlen(text)) ? text : NULL);
}

int st_api_params(const struct st_api_match *m, const char *query, size_t query_len, st_api_header_fn *header,
                  void *ctx, struct st_arena *a, json_t **ret_params, struct st_schema_errors *ret_errors)
{
    struct params ps = {a, ret_errors, st_json_keep(a, json_object())};
    const struct st_api_operation *op = m->operation;
    ret_errors->count = 0;
    for (int i = 0; i < op->n_params; i++) {
        const struct st_api_param *p = &op->params[i];
        if (p->in == ST_IN_PATH)
            add_value(&ps, p, st_url_decode(a, m->params[p->path_index].at, m->params[p->path_index].len, false));
        else if (p->in == ST_IN_HEADER)
            read_header(&ps, p, header, ctx);
    }
    read_query(&ps, op, query, query_len);
    if (ret_errors->count)
        return ST_E_INVALID;
    *ret_params = ps.values;
    return 0;
}

/* application/json, with any parameters but a charset that is not UTF-8. */
static bool is_json_type(const char *s)
{
    static const char type[] = "application/json";
    if (!s || strncasecmp(s, type, strlen(type)) != 0)
        return false;
    s += strlen(type);
    for (s += strspn(s, " \t"); *s == ';'; s += strspn(s, " \t")) {
        s++;
        s += strspn(s, " \t");
        size_t n = strcspn(s, "; \t");
        bool charset = strncasecmp(s, "charset=", 8) == 0;
        if (charset && !(n == 13 && strncasecmp(s + 8, "utf-8", 5) == 0) &&
            !(n == 15 && strncasecmp(s + 8, "\"utf-8\"", 7) == 0))
            return false;
        s += n;
    }
    return !*s;
}

static int refuse(struct st_schema_errors *errors, const char *message)
{
    add_error(errors, "", message);
    return ST_E_INVALID;
}

int st_api_body(const struct st_api_operation *op, const char *content_type, const char *data, size_t len,
                struct st_arena *a, json_t **ret_body, struct st_schema_errors *ret_errors)
{
    json_t *body;
    const char *why;
    ret_errors->count = 0;
    if (len && !op->body)
        return refuse(ret_errors, "this operation takes no request body");
    if (!len && op->body_required)
        return refuse(ret_errors, "a request body is required");
    if (!len) {
        *ret_body = NULL;
        return 0;
    }
    if ((uint64_t)len > (uint64_t)op->body_max)
        return ST_E_TOO_LARGE;
    if (!is_json_type(content_type))
        return ST_E_MEDIA_TYPE;
    if (st_json_parse(a, data, len, ST_JSON_DEPTH, &body, &why) < 0)
        return refuse(ret_errors, why);
    if (st_schema_check(op->body, body, a, ret_errors) < 0)
        return ST_E_UNPROCESSABLE;
    *ret_body = body;
    return 0;
}
