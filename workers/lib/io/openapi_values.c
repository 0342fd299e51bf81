/*
 * Text becomes typed values, by the styles of OpenAPI. Text is cut at its delimiters as it was sent and decoded
 * afterwards, so that an escaped delimiter is data.
 */
#include "io/openapi_impl.h"

#include <strings.h>

static const char NOT_TEXT[] = "is not percent-encoded UTF-8 text";
static const char TWICE[] = "must be given only once";

void st_values_error(struct st_schema_errors *errors, const char *pointer, const char *message)
{
    if (errors->count < ST_SCHEMA_ERRORS)
        errors->list[errors->count++] = (struct st_schema_error){pointer, message};
}

static const char *pointer_of(struct st_arena *a, const struct st_api_param *p)
{
    static const char *const places[] = {[ST_IN_PATH] = "/path",
                                         [ST_IN_QUERY] = "/query",
                                         [ST_IN_HEADER] = "/header",
                                         [ST_IN_COOKIE] = "/cookie",
                                         [ST_IN_FORM] = ""};
    char *pointer = st_json_pointer(a, places[p->in], p->name);
    for (char *s = pointer; p->in == ST_IN_HEADER && *s; s++)
        if (*s >= 'A' && *s <= 'Z')
            *s = (char)(*s - 'A' + 'a');
    return pointer;
}

void st_values_init(struct st_values *v, struct st_arena *a, const struct st_api_param *params, int n_params,
                    struct st_schema_errors *errors)
{
    *v = (struct st_values){.arena = a, .params = params, .n_params = n_params, .errors = errors};
    v->found = st_new_n(a, json_t *, (size_t)n_params);
    v->bad = st_new_n(a, bool, (size_t)n_params);
    v->values = st_json_keep(a, json_object());
}

/* What is wrong already is not checked further. pointer NULL: the parameter as a whole. */
static void complain(struct st_values *v, const struct st_api_param *p, const char *pointer, const char *message)
{
    v->bad[p - v->params] = true;
    if (!pointer)
        pointer = pointer_of(v->arena, p);
    st_values_error(v->errors, pointer, message);
}

/* --- text --- */

/* NULL: it is not text. */
static const char *decode(struct st_values *v, enum st_api_in in, const char *s, size_t len)
{
    const char *text;
    if (in == ST_IN_HEADER)
        text = st_utf8_valid(s, len) ? st_strndup(v->arena, s, len) : NULL;
    else
        text = st_url_decode(v->arena, s, len, in == ST_IN_QUERY || in == ST_IN_FORM);
    v->broken = v->broken || !text;
    return text;
}

json_t *st_values_scalar(char type, const char *text, const char **ret_message)
{
    int64_t i;
    double d;
    switch (type) {
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

/* A scalar of the parameter; null after an error at the pointer (NULL: the parameter's own). */
static json_t *scalar(struct st_values *v, const struct st_api_param *p, char type, const char *s, size_t len,
                      const char *pointer)
{
    const char *message = NOT_TEXT, *text = decode(v, p->in, s, len);
    json_t *value = text ? st_values_scalar(type, text, &message) : NULL;
    if (!value)
        complain(v, p, pointer, message);
    return value ? value : json_null();
}

static json_t *json_value(struct st_values *v, const struct st_api_param *p, const char *s, size_t len)
{
    const char *message = NOT_TEXT, *text = decode(v, p->in, s, len);
    json_t *value;
    if (text && st_json_parse(v->arena, text, strlen(text), ST_JSON_DEPTH, &value, &message) == 0)
        return json_incref(value);
    complain(v, p, NULL, message);
    return json_null();
}

/* --- lists and objects --- */

static void add_item(struct st_values *v, const struct st_api_param *p, json_t *list, const char *s, size_t len)
{
    const char *pointer = st_printf(v->arena, "%s/%zu", pointer_of(v->arena, p), json_array_size(list));
    json_array_append_new(list, scalar(v, p, p->type.items, s, len, pointer));
}

static void add_member(struct st_values *v, const struct st_api_param *p, json_t *object, const char *name,
                       const char *s, size_t len)
{
    const char *pointer = st_json_pointer(v->arena, pointer_of(v->arena, p), name);
    char type = p->type.items;
    for (int i = 0; i < p->type.n_members; i++)
        if (strcmp(p->type.members[i].name, name) == 0)
            type = p->type.members[i].type;
    if (json_object_get(object, name))
        complain(v, p, pointer, TWICE);
    else
        json_object_set_new(object, name, scalar(v, p, type, s, len, pointer));
}

/* The end of the piece that begins at s, and how long the delimiter behind it is. */
static const char *piece_end(const struct st_api_param *p, const char *s, const char *end, size_t *ret_skip)
{
    static const char *const delimiters[][2] = {[ST_SIMPLE] = {",", ","},
                                                [ST_LABEL] = {",", ","},
                                                [ST_FORM] = {",", ","},
                                                [ST_SPACES] = {"%20", "+"},
                                                [ST_PIPES] = {"%7C", "|"}};
    for (; s < end; s++) {
        for (int i = 0; i < 2; i++) {
            const char *d = p->style == ST_LABEL && p->explode ? "." : delimiters[p->style][i];
            size_t n = strlen(d);
            if ((size_t)(end - s) >= n && strncasecmp(s, d, n) == 0) {
                *ret_skip = n;
                return s;
            }
        }
    }
    *ret_skip = 0;
    return end;
}

static void trim(const char **s, const char **end)
{
    while (*s < *end && (**s == ' ' || **s == '\t'))
        ++*s;
    while (*s < *end && ((*end)[-1] == ' ' || (*end)[-1] == '\t'))
        --*end;
}

/* "a,b,c" */
static json_t *split_list(struct st_values *v, const struct st_api_param *p, const char *s, const char *end)
{
    json_t *list = json_array();
    size_t skip;
    do {
        const char *stop = piece_end(p, s, end, &skip), *from = s, *to = stop;
        if (p->in == ST_IN_HEADER)
            trim(&from, &to);
        add_item(v, p, list, from, (size_t)(to - from));
        s = stop + skip;
    } while (skip);
    return list;
}

/* "R,100,G,200", or exploded "R=100,G=200" */
static json_t *split_object(struct st_values *v, const struct st_api_param *p, const char *s, const char *end)
{
    json_t *object = json_object();
    size_t skip;
    do {
        const char *stop = piece_end(p, s, end, &skip), *from = s, *to = stop;
        const char *equals = p->explode ? memchr(s, '=', (size_t)(stop - s)) : skip ? stop : NULL;
        if (!equals) {
            complain(v, p, NULL, "must be names with values");
            break;
        }
        if (!p->explode) {
            from = stop + skip;
            to = stop = piece_end(p, from, end, &skip);
        } else {
            from = equals + 1;
        }
        const char *name_end = equals;
        if (p->in == ST_IN_HEADER) {
            trim(&s, &name_end);
            trim(&from, &to);
        }
        const char *name = decode(v, p->in, s, (size_t)(name_end - s));
        if (!name)
            complain(v, p, NULL, NOT_TEXT);
        else
            add_member(v, p, object, name, from, (size_t)(to - from));
        s = stop + skip;
    } while (skip);
    return object;
}

/* --- parameters --- */

static json_t *whole(struct st_values *v, const struct st_api_param *p, const char *s, size_t len)
{
    if (p->style == ST_LABEL) {
        if (!len || *s != '.') {
            complain(v, p, NULL, "must begin with a dot");
            return json_null();
        }
        s++, len--;
    }
    switch (p->type.of) {
    case 'a': return split_list(v, p, s, s + len);
    case 'o': return split_object(v, p, s, s + len);
    case 'j': return json_value(v, p, s, len);
    default: return scalar(v, p, p->type.of, s, len, NULL);
    }
}

static json_t *found(struct st_values *v, int param, json_t *(*make)(void))
{
    if (!v->found[param])
        v->found[param] = st_json_keep(v->arena, make());
    return v->found[param];
}

/* Is each item or member of it a pair of its own? */
static bool is_spread(const struct st_api_param *p)
{
    bool query = p->in == ST_IN_QUERY || p->in == ST_IN_FORM, many = p->type.of == 'a' || p->type.of == 'o';
    return query && many && (p->style == ST_DEEP || (p->style == ST_FORM && p->explode));
}

void st_values_add(struct st_values *v, int param, const char *s, size_t len)
{
    const struct st_api_param *p = &v->params[param];
    if (is_spread(p)) {
        add_item(v, p, found(v, param, json_array), s, len);
    } else if (v->found[param]) {
        complain(v, p, NULL, TWICE);
    } else {
        v->found[param] = st_json_keep(v->arena, whole(v, p, s, len));
    }
}

static bool has_member(const struct st_api_param *p, const char *name)
{
    for (int i = 0; i < p->type.n_members; i++)
        if (strcmp(p->type.members[i].name, name) == 0)
            return true;
    return false;
}

/* "filter[colour]": the member's name, else NULL. */
static const char *deep_member(struct st_values *v, const struct st_api_param *p, const char *name)
{
    size_t n = strlen(p->name), len = strlen(name);
    bool fits = strncmp(name, p->name, n) == 0 && len > n + 2 && name[n] == '[' && name[len - 1] == ']';
    if (!fits || strcspn(name + n + 1, "[]") != len - n - 2)
        return NULL;
    return st_strndup(v->arena, name + n + 1, len - n - 2);
}

/* False: no parameter has the name. */
static bool add_pair(struct st_values *v, enum st_api_in in, const char *name, const char *s, size_t len)
{
    for (int i = 0; i < v->n_params; i++) {
        const struct st_api_param *p = &v->params[i];
        if (p->in != in)
            continue;
        const char *member = NULL;
        if (p->type.of == 'o' && is_spread(p))
            member = p->style == ST_DEEP ? deep_member(v, p, name) : has_member(p, name) ? name : NULL;
        else if (strcmp(p->name, name) == 0)
            return st_values_add(v, i, s, len), true;
        if (member)
            return add_member(v, p, found(v, i, json_object), member, s, len), true;
    }
    return false;
}

static void add_unknown(struct st_values *v, enum st_api_in in, const char *name, const char *s, size_t len)
{
    const char *pointer = st_json_pointer(v->arena, in == ST_IN_QUERY ? "/query" : "", name);
    if (in == ST_IN_COOKIE)
        return; /* cookies come to all paths of a host: others' are none of our business */
    if (!v->open) {
        st_values_error(v->errors, pointer, "is not allowed here");
    } else if (json_object_get(v->values, name)) {
        st_values_error(v->errors, pointer, TWICE);
    } else {
        const char *text = decode(v, in, s, len);
        if (!text)
            st_values_error(v->errors, pointer, NOT_TEXT);
        json_object_set_new(v->values, name, text ? json_string(text) : json_null());
    }
}

void st_values_add_pairs(struct st_values *v, enum st_api_in in, const char *s, size_t len)
{
    const char *end = s + len, separator = in == ST_IN_COOKIE ? ';' : '&';
    while (s < end && v->errors->count < ST_SCHEMA_ERRORS) {
        const char *next = memchr(s, separator, (size_t)(end - s)), *stop = next ? next : end, *from = s, *to = stop;
        if (in == ST_IN_COOKIE)
            trim(&from, &to);
        const char *equals = memchr(from, '=', (size_t)(to - from)), *name_end = equals ? equals : to;
        const char *value = equals ? equals + 1 : to;
        if (from < to) {
            const char *name = decode(v, in, from, (size_t)(name_end - from));
            if (!name && in != ST_IN_COOKIE)
                st_values_error(v->errors, in == ST_IN_QUERY ? "/query" : "", NOT_TEXT);
            else if (name && !add_pair(v, in, name, value, (size_t)(to - value)))
                add_unknown(v, in, name, value, (size_t)(to - value));
        }
        s = stop + 1;
    }
}

static void check(struct st_values *v, const struct st_api_param *p, json_t *value)
{
    struct st_schema_errors errors;
    if (p->schema && st_schema_check(p->schema, value, v->arena, &errors) < 0)
        for (int i = 0; i < errors.count; i++)
            st_values_error(v->errors, st_printf(v->arena, "%s%s", pointer_of(v->arena, p), errors.list[i].pointer),
                            errors.list[i].message);
    json_object_set(v->values, p->name, value);
}

void st_values_finish(struct st_values *v)
{
    for (int i = 0; i < v->n_params; i++) {
        const struct st_api_param *p = &v->params[i];
        if (v->bad[i])
            continue;
        if (v->found[i])
            check(v, p, v->found[i]);
        else if (p->required)
            st_values_error(v->errors, pointer_of(v->arena, p), "is required");
        else if (p->fallback)
            json_object_set_new(v->values, p->name, json_copy((json_t *)p->fallback));
    }
}
