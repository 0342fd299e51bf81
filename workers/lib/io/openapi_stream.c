/*
 * Bodies that are checked as they pass: bytes, and multipart/form-data (RFC 7578, RFC 2046). Two parsers must not see
 * two different bodies, so whatever some would skip is refused: text before the first part or behind the last, padding
 * behind a boundary, folded or repeated headers, escapes in names.
 */
#include "io/openapi_impl.h"

#include <strings.h>

enum { BOUNDARY_MAX = 70, HEADERS_MAX = 4096, PARTS_MAX = 256 };

struct st_api_stream {
    struct st_arena *arena;
    const struct st_api_body *body;
    int64_t size;
    /* multipart */
    enum { AT_BOUNDARY, IN_HEADERS, IN_PART, AT_END } state;
    char delimiter[BOUNDARY_MAX + 5]; /* CR LF "--" boundary */
    size_t delimiter_len, matched;
    char behind;        /* the first byte behind a boundary, 0: none yet */
    struct st_buf text; /* headers, or a part's value */
    const struct st_api_part *part;
    const char *name; /* of the part, and of those that have no description */
    int64_t part_size, n_parts;
    int64_t *counts; /* by part of the body */
    struct st_schema_errors *errors;
};

static void release(void *p)
{
    struct st_api_stream *s = p;
    st_buf_release(&s->text);
}

static bool is_boundary(const char *b)
{
    static const char others[] = "'()+_,-./:=? ";
    size_t n = b ? strlen(b) : 0;
    for (size_t i = 0; i < n; i++)
        if (!st_is_alnum(b[i]) && !strchr(others, b[i]))
            return false;
    return n && n <= BOUNDARY_MAX && b[n - 1] != ' ';
}

int st_api_stream_new(struct st_arena *a, const struct st_api_body *body, const char *content_type,
                      struct st_api_stream **ret)
{
    struct st_api_stream *s = st_new(a, struct st_api_stream);
    struct st_media m;
    s->arena = a;
    s->body = body;
    if (!content_type || !st_media_parse(a, content_type, &m))
        return ST_E_MEDIA_TYPE;
    if (body->kind == ST_BODY_MULTIPART) {
        const char *boundary = st_media_param(&m, "boundary");
        if (!is_boundary(boundary))
            return ST_E_MEDIA_TYPE;
        int n = snprintf(s->delimiter, sizeof(s->delimiter), "\r\n--%s", boundary);
        s->delimiter_len = (size_t)n;
        s->matched = 2; /* the first boundary begins the body, without CR LF */
        s->counts = st_new_n(a, int64_t, (size_t)body->n_parts);
        s->text = ST_BUF(ST_API_VALUE_MAX);
        st_defer(a, release, s);
    }
    *ret = s;
    return 0;
}

static int fail(struct st_api_stream *s, int err, const char *message)
{
    const char *pointer = s->name ? st_json_pointer(s->arena, "", s->name) : "";
    st_values_error(s->errors, pointer, message);
    return err;
}

/* --- a part's headers --- */

static int read_disposition(struct st_api_stream *s, const char *value)
{
    struct st_media m;
    if (s->name)
        return fail(s, ST_E_INVALID, "a part has Content-Disposition twice");
    const char *name = st_media_parse(s->arena, value, &m) ? st_media_param(&m, "name") : NULL;
    if (!name || !st_streq(m.type, "form-data") || st_media_param(&m, "filename*"))
        return fail(s, ST_E_INVALID, "a part's Content-Disposition must be form-data with a plain name");
    s->name = name;
    return 0;
}

/* "name: value", the lines between CR LF. */
static int read_part_headers(struct st_api_stream *s, char *text, const char **ret_type)
{
    *ret_type = NULL;
    for (char *line = text, *next; line; line = next) {
        next = strstr(line, "\r\n");
        if (next) {
            *next = '\0';
            next += 2;
        }
        char *colon = strchr(line, ':');
        size_t n = colon ? (size_t)(colon - line) : 0;
        if (!n || strcspn(line, " \t\r\n") < n || strpbrk(colon, "\r\n"))
            return fail(s, ST_E_INVALID, "a part has a malformed header");
        const char *value = colon + 1 + strspn(colon + 1, " \t");
        if (n == 19 && strncasecmp(line, "content-disposition", n) == 0) {
            int r = read_disposition(s, value);
            if (r < 0)
                return r;
        } else if (n == 12 && strncasecmp(line, "content-type", n) == 0) {
            if (*ret_type)
                return fail(s, ST_E_INVALID, "a part has Content-Type twice");
            *ret_type = value;
        } else if (n == 25 && strncasecmp(line, "content-transfer-encoding", n) == 0) {
            return fail(s, ST_E_INVALID, "a part has a Content-Transfer-Encoding, which HTTP has not");
        }
    }
    return s->name ? 0 : fail(s, ST_E_INVALID, "a part has no Content-Disposition");
}

static bool type_fits(struct st_api_stream *s, const struct st_api_part *part, const char *content_type)
{
    struct st_media m;
    if (!content_type)
        return part->type != 'j' && (part->type != 'x' || !part->types); /* text/plain */
    if (!st_media_parse(s->arena, content_type, &m))
        return false;
    const char *charset = st_media_param(&m, "charset");
    if (part->type != 'x' && charset && strcasecmp(charset, "utf-8") != 0)
        return false;
    for (const char *list = part->types; list; list = strchr(list, ',')) {
        size_t n = strcspn(list += strspn(list, ", "), ", ");
        if (st_media_matches(st_strndup(s->arena, list, n), m.type))
            return true;
    }
    return !part->types;
}

static int begin_part(struct st_api_stream *s, char *headers)
{
    const char *type;
    if (++s->n_parts > PARTS_MAX)
        return fail(s, ST_E_INVALID, "there are too many parts");
    s->name = NULL;
    s->part = NULL;
    s->part_size = 0;
    int r = read_part_headers(s, headers, &type);
    if (r < 0)
        return r;
    for (int i = 0; i < s->body->n_parts && !s->part; i++)
        if (strcmp(s->body->parts[i].name, s->name) == 0)
            s->part = &s->body->parts[i];
    if (!s->part)
        return s->body->open ? 0 : fail(s, ST_E_UNPROCESSABLE, "is not allowed here");
    int64_t count = ++s->counts[s->part - s->body->parts];
    if (count > 1 && !s->part->many)
        return fail(s, ST_E_UNPROCESSABLE, "must be given only once");
    if (s->part->many && count > s->part->max_count)
        return fail(s, ST_E_UNPROCESSABLE,
                    st_printf(s->arena, "must come at most %lld times", (long long)s->part->max_count));
    if (!type_fits(s, s->part, type))
        return fail(s, ST_E_UNPROCESSABLE, "has another content type than this operation wants");
    return 0;
}

/* --- a part's value --- */

static int part_data(struct st_api_stream *s, const char *data, size_t len)
{
    if (!s->part || !len)
        return 0;
    s->part_size += (int64_t)len;
    if (s->part_size > s->part->max)
        return fail(s, ST_E_UNPROCESSABLE,
                    st_printf(s->arena, "must have at most %lld bytes", (long long)s->part->max));
    if (s->part->type != 'x')
        st_buf_add(&s->text, data, len);
    return 0;
}

static json_t *part_value(struct st_api_stream *s, struct st_arena *a, const char **ret_why)
{
    const char *text = s->text.len ? s->text.data : "";
    json_t *value = NULL;
    if (s->part->type == 'j')
        return st_json_parse(a, text, s->text.len, ST_JSON_DEPTH, &value, ret_why) < 0 ? NULL : value;
    *ret_why = "is not UTF-8 text";
    if (st_utf8_valid(text, s->text.len) && (value = st_values_scalar(s->part->type, text, ret_why)))
        st_json_keep(a, value);
    return value;
}

static int end_part(struct st_api_stream *s)
{
    struct st_arena a = {0};
    struct st_schema_errors errors = {.count = 0};
    const char *why;
    int r = 0;
    if (s->part && s->part_size < s->part->min)
        return fail(s, ST_E_UNPROCESSABLE,
                    st_printf(s->arena, "must have at least %lld bytes", (long long)s->part->min));
    if (!s->part || s->part->type == 'x')
        return 0;
    json_t *value = part_value(s, &a, &why);
    if (!value)
        r = fail(s, ST_E_UNPROCESSABLE, st_strdup(s->arena, why));
    else if (st_schema_check(s->part->schema, value, &a, &errors) < 0)
        r = ST_E_UNPROCESSABLE;
    const char *pointer = st_json_pointer(s->arena, "", s->name);
    for (int i = 0; i < errors.count; i++)
        st_values_error(s->errors, st_printf(s->arena, "%s%s", pointer, errors.list[i].pointer),
                        st_strdup(s->arena, errors.list[i].message));
    st_buf_clear(&s->text);
    st_arena_release(&a);
    return r;
}

/* --- the stream --- */

/* Data up to the next delimiter, which may be cut anywhere: s->matched bytes of it have come so far. */
static int scan_part(struct st_api_stream *s, const char **data, const char *end)
{
    const char *p = *data, *from = p;
    size_t carried = s->matched;
    int r = 0;
    while (p < end && s->matched < s->delimiter_len) {
        if (*p == s->delimiter[s->matched]) {
            s->matched++;
            p++;
            continue;
        }
        if (carried) { /* those were data of the buffer before */
            r = part_data(s, s->delimiter, carried);
            carried = 0;
        }
        if (r < 0)
            return r;
        if (s->matched) {
            s->matched = 0; /* CR only begins a delimiter, so nothing inside of it can begin another */
        } else {
            p = memchr(p, '\r', (size_t)(end - p));
            p = p ? p : end;
        }
    }
    size_t own = s->matched > carried ? s->matched - carried : 0; /* matched bytes of this buffer */
    r = part_data(s, from, (size_t)(p - from) - own);
    *data = p;
    if (r < 0 || s->matched < s->delimiter_len)
        return r;
    s->state = AT_BOUNDARY;
    r = end_part(s);
    if (r == 0)
        s->name = NULL;
    return r;
}

/* What follows a boundary: CR LF and a part, or "--" and the end. */
static int scan_boundary(struct st_api_stream *s, const char **data, const char *end)
{
    while (s->matched < s->delimiter_len && *data < end) /* the first boundary */
        if (*(*data)++ != s->delimiter[s->matched++])
            return fail(s, ST_E_INVALID, "does not begin with its boundary");
    if (*data == end)
        return 0;
    if (!s->behind) {
        s->behind = *(*data)++;
        return s->behind == '\r' || s->behind == '-' ? 0 : fail(s, ST_E_INVALID, "has something behind a boundary");
    }
    char c = *(*data)++;
    if (c != (s->behind == '\r' ? '\n' : '-'))
        return fail(s, ST_E_INVALID, "has something behind a boundary");
    s->state = s->behind == '\r' ? IN_HEADERS : AT_END;
    s->behind = 0;
    s->matched = 0;
    return 0;
}

static int scan_headers(struct st_api_stream *s, const char **data, const char *end)
{
    while (*data < end) {
        st_buf_char(&s->text, *(*data)++);
        if (s->text.len > HEADERS_MAX)
            return fail(s, ST_E_INVALID, "a part's headers are too large");
        if (s->text.len == 2 && memcmp(s->text.data, "\r\n", 2) == 0)
            return fail(s, ST_E_INVALID, "a part has no Content-Disposition");
        if (s->text.len < 4 || memcmp(s->text.data + s->text.len - 4, "\r\n\r\n", 4) != 0)
            continue;
        s->text.len -= 4;
        s->text.data[s->text.len] = '\0';
        if (!st_utf8_valid(s->text.data, s->text.len))
            return fail(s, ST_E_INVALID, "a part has a malformed header");
        int r = begin_part(s, s->text.data);
        st_buf_clear(&s->text);
        s->state = IN_PART;
        s->matched = 0;
        return r;
    }
    return 0;
}

static int scan_end(struct st_api_stream *s, const char **data, const char *end)
{
    for (; *data < end; ++*data)
        if (s->matched == 2 || **data != "\r\n"[s->matched++])
            return fail(s, ST_E_INVALID, "has something behind its last boundary");
    return 0;
}

int st_api_stream_feed(struct st_api_stream *s, const char *data, size_t len, struct st_schema_errors *ret_errors)
{
    static int (*const scans[])(struct st_api_stream *, const char **, const char *) = {
        [AT_BOUNDARY] = scan_boundary, [IN_HEADERS] = scan_headers, [IN_PART] = scan_part, [AT_END] = scan_end};
    const char *end = data + len;
    int r = 0;
    ret_errors->count = 0;
    s->errors = ret_errors;
    s->size += (int64_t)len;
    if (s->size > s->body->max)
        return ST_E_TOO_LARGE;
    while (s->body->kind == ST_BODY_MULTIPART && data < end && r == 0)
        r = scans[s->state](s, &data, end);
    return r;
}

int st_api_stream_end(struct st_api_stream *s, struct st_schema_errors *ret_errors)
{
    ret_errors->count = 0;
    s->errors = ret_errors;
    s->name = NULL;
    if (s->size < s->body->min)
        return fail(s, ST_E_UNPROCESSABLE,
                    st_printf(s->arena, "must have at least %lld bytes", (long long)s->body->min));
    if (s->body->kind != ST_BODY_MULTIPART)
        return 0;
    if (s->state != AT_END)
        return fail(s, ST_E_INVALID, "ends before its last boundary");
    for (int i = 0; i < s->body->n_parts; i++) {
        const struct st_api_part *p = &s->body->parts[i];
        s->name = p->name;
        if (p->required && !s->counts[i])
            (void)fail(s, ST_E_UNPROCESSABLE, "is required");
        else if (s->counts[i] && s->counts[i] < p->min_count)
            (void)fail(s, ST_E_UNPROCESSABLE,
                       st_printf(s->arena, "must come at least %lld times", (long long)p->min_count));
    }
    return ret_errors->count ? ST_E_UNPROCESSABLE : 0;
}
