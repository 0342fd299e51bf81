/* Checks a request against its operation: parameters decoded and typed, body parsed, both validated. */
#include "io/openapi_impl.h"

#include <strings.h>

/* Characters that stand for themselves, a byte each, of the right number. */
static bool has_length(const struct st_api_param *p, const char *s, size_t len)
{
    if ((int64_t)len < p->length_min || (int64_t)len > p->length_max)
        return false;
    for (size_t i = 0; i < len; i++)
        if (s[i] == '%' || (unsigned char)s[i] >= 0x80)
            return false;
    return true;
}

/*
 * Most requests bring strings in their path and nothing else. When they are right nobody asks for more; whatever else
 * it is goes the long way, which also finds the words for what is wrong.
 */
static bool right_at_a_glance(const struct st_api_match *m, struct st_arena *a)
{
    const struct st_api_operation *op = m->operation;
    for (int i = 0; i < op->n_params; i++) {
        const struct st_api_param *p = &op->params[i];
        if (p->in != ST_IN_PATH || p->type.of != 's' || p->style != ST_SIMPLE)
            return false;
        if (has_length(p, m->params[p->path_index].at, m->params[p->path_index].len))
            continue;
        const char *text = st_url_decode(a, m->params[p->path_index].at, m->params[p->path_index].len, false);
        struct st_value value = {.type = JSON_STRING, .text = text, .len = text ? strlen(text) : 0};
        struct st_schema_errors errors;
        if (!text || st_schema_check_value(p->schema, &value, a, &errors) < 0)
            return false;
    }
    return true;
}

int st_api_params(const struct st_api_match *m, const char *query, size_t query_len, st_api_header_fn *header,
                  void *ctx, struct st_arena *a, json_t **ret_params, struct st_schema_errors *ret_errors)
{
    const struct st_api_operation *op = m->operation;
    struct st_values v;
    bool cookies = false;
    ret_errors->count = 0;
    if (!ret_params && !query_len && right_at_a_glance(m, a))
        return 0;
    st_values_init(&v, a, op->params, op->n_params, ret_errors);
    for (int i = 0; i < op->n_params; i++) {
        const struct st_api_param *p = &op->params[i];
        const char *text = p->in == ST_IN_HEADER && header ? header(ctx, p->name) : NULL;
        if (text)
            st_values_add(&v, i, text, strlen(text));
        else if (p->in == ST_IN_PATH)
            st_values_add(&v, i, m->params[p->path_index].at, m->params[p->path_index].len);
        cookies = cookies || p->in == ST_IN_COOKIE;
    }
    const char *cookie = cookies && header ? header(ctx, "cookie") : NULL;
    if (cookie)
        st_values_add_pairs(&v, ST_IN_COOKIE, cookie, strlen(cookie));
    st_values_add_pairs(&v, ST_IN_QUERY, query, query_len);
    st_values_finish(&v);
    if (ret_errors->count)
        return ST_E_INVALID;
    if (ret_params)
        *ret_params = v.values;
    return 0;
}

/* --- media types --- */

static bool is_token(char c)
{
    return c > ' ' && c < 0x7f && !strchr("()<>@,;:\\\"/[]?={}", c);
}

static size_t token_length(const char *s)
{
    size_t n = 0;
    while (is_token(s[n]))
        n++;
    return n;
}

static const char *skip_blanks(const char *s)
{
    return s + strspn(s, " \t");
}

static char *lower(struct st_arena *a, const char *s, size_t len)
{
    char *copy = st_strndup(a, s, len);
    for (char *p = copy; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    return copy;
}

/*
 * A token, or text in quotes. A backslash in there is refused: some take what follows it for data, others for the end.
 * NULL: malformed.
 */
static const char *param_value(struct st_arena *a, const char **s)
{
    const char *from = *s;
    size_t n = token_length(from);
    if (*from != '"') {
        *s = from + n;
        return n ? st_strndup(a, from, n) : NULL;
    }
    n = strcspn(++from, "\"\\");
    if (from[n] != '"' || !st_utf8_valid(from, n))
        return NULL;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)from[i] < ' ' || from[i] == 0x7f)
            return NULL;
    *s = from + n + 1;
    return st_strndup(a, from, n);
}

bool st_media_parse(struct st_arena *a, const char *text, struct st_media *ret)
{
    struct st_media m = {.n_params = 0};
    const char *s = skip_blanks(text), *from = s;
    s += token_length(s);
    if (s == from)
        return false;
    if (*s == '/') {
        size_t n = token_length(s + 1);
        if (!n)
            return false;
        s += 1 + n;
    }
    m.type = lower(a, from, (size_t)(s - from));
    for (s = skip_blanks(s); *s == ';'; s = skip_blanks(s)) {
        size_t n = token_length(s = skip_blanks(s + 1));
        if (!n || s[n] != '=' || m.n_params == ST_COUNT(m.params))
            return false;
        const char *name = lower(a, s, n);
        s += n + 1;
        const char *value = st_media_param(&m, name) ? NULL : param_value(a, &s);
        if (!value)
            return false;
        m.params[m.n_params++] = (struct st_media_param){name, value};
    }
    *ret = m;
    return !*s;
}

const char *st_media_param(const struct st_media *m, const char *name)
{
    for (int i = 0; i < m->n_params; i++)
        if (strcmp(m->params[i].name, name) == 0)
            return m->params[i].value;
    return NULL;
}

bool st_media_matches(const char *range, const char *type)
{
    size_t n = strcspn(range, "*");
    if (!range[n])
        return strcmp(range, type) == 0;
    return strncmp(range, type, n) == 0 && strchr(type, '/') && !strchr(type, '*');
}

/* The exact one before a range, and the narrower range first. */
static const struct st_api_body *find_body(const struct st_api_operation *op, const char *type)
{
    const struct st_api_body *best = NULL;
    for (int i = 0; i < op->n_bodies; i++) {
        const struct st_api_body *b = &op->bodies[i];
        if (st_media_matches(b->type, type) && (!best || strcspn(b->type, "*") > strcspn(best->type, "*")))
            best = b;
    }
    return best;
}

const struct st_api_body *st_api_body_of(const struct st_api_operation *op, const char *content_type)
{
    struct st_arena scratch = {0};
    struct st_media m;
    const struct st_api_body *body = NULL;
    for (int i = 0; content_type && i < op->n_bodies; i++) /* as it mostly comes: without parameters */
        if (st_streq(op->bodies[i].type, content_type) && !strchr(content_type, '*'))
            return &op->bodies[i];
    if (content_type && st_media_parse(&scratch, content_type, &m)) {
        const char *charset = st_media_param(&m, "charset");
        body = find_body(op, m.type);
        if (body && body->kind != ST_BODY_RAW && charset && strcasecmp(charset, "utf-8") != 0)
            body = NULL;
    }
    st_arena_release(&scratch);
    return body;
}

/* --- bodies --- */

static int refuse(struct st_schema_errors *errors, const char *message)
{
    st_values_error(errors, "", message);
    return ST_E_INVALID;
}

static int read_form(const struct st_api_body *b, const char *data, size_t len, struct st_arena *a, json_t **ret,
                     struct st_schema_errors *errors)
{
    struct st_values v;
    st_values_init(&v, a, b->fields, b->n_fields, errors);
    v.open = true; /* the schema says whether other members may be there */
    st_values_add_pairs(&v, ST_IN_FORM, data, len);
    st_values_finish(&v);
    *ret = v.values;
    return !errors->count ? 0 : v.broken ? ST_E_INVALID : ST_E_UNPROCESSABLE;
}

static int check_stream(const struct st_api_body *b, const char *content_type, const char *data, size_t len,
                        struct st_arena *a, struct st_schema_errors *errors)
{
    struct st_api_stream *s;
    int r = st_api_stream_new(a, b, content_type, &s);
    if (r == 0)
        r = st_api_stream_feed(s, data, len, errors);
    return r < 0 ? r : st_api_stream_end(s, errors);
}

/* A verdict alone needs no json_t. */
static int check_json(const struct st_api_body *b, const char *data, size_t len, struct st_arena *a,
                      struct st_schema_errors *errors)
{
    const struct st_value *value;
    const char *why;
    if (st_value_parse(a, data, len, ST_JSON_DEPTH, false, &value, &why) < 0)
        return refuse(errors, why);
    return st_schema_check_value(b->schema, value, a, errors) < 0 ? ST_E_UNPROCESSABLE : 0;
}

int st_api_body(const struct st_api_operation *op, const char *content_type, const char *data, size_t len,
                struct st_arena *a, json_t **ret_body, struct st_schema_errors *ret_errors)
{
    json_t *body = NULL;
    const char *why;
    ret_errors->count = 0;
    if (len && !op->n_bodies)
        return refuse(ret_errors, "this operation takes no request body");
    if (!len && op->body_required)
        return refuse(ret_errors, "a request body is required");
    if (!len) {
        if (ret_body)
            *ret_body = NULL;
        return 0;
    }
    const struct st_api_body *b = st_api_body_of(op, content_type);
    if ((uint64_t)len > (uint64_t)(b ? b->max : op->body_max))
        return ST_E_TOO_LARGE;
    if (!b)
        return ST_E_MEDIA_TYPE;
    int r = 0;
    if (b->streamed)
        r = check_stream(b, content_type, data, len, a, ret_errors);
    else if (b->kind == ST_BODY_FORM)
        r = read_form(b, data, len, a, &body, ret_errors);
    else if (!ret_body)
        r = check_json(b, data, len, a, ret_errors);
    else if (st_json_parse(a, data, len, ST_JSON_DEPTH, &body, &why) < 0)
        r = refuse(ret_errors, why);
    if (!r && body && st_schema_check(b->schema, body, a, ret_errors) < 0)
        r = ST_E_UNPROCESSABLE;
    if (!r && ret_body)
        *ret_body = body;
    return r;
}
