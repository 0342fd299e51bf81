/* Checks a request against its operation: parameters decoded and typed, body parsed, both validated. */
#include "io/openapi_impl.h"

#include <strings.h>

int st_api_params(const struct st_api_match *m, const char *query, size_t query_len, st_api_header_fn *header,
                  void *ctx, struct st_arena *a, json_t **ret_params, struct st_schema_errors *ret_errors)
{
    const struct st_api_operation *op = m->operation;
    struct st_values v;
    bool cookies = false;
    ret_errors->count = 0;
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
    *ret_params = v.values;
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
    st_values_error(errors, "", message);
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
