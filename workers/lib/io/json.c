/* JSON by jansson: strict parsing, values that an arena keeps, text, pointers and typed members. */
#include "io/json.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

/* Deepest nesting of [ and { outside strings. Exact for valid JSON; the parser refuses the rest anyway. */
static int nesting(const char *text, size_t len)
{
    int depth = 0, deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > deepest)
                deepest = depth;
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return deepest;
}

/* jansson quotes the input in its messages, cut at any byte; what is left must be fit for a reply. */
static const char *parse_error(struct st_arena *a, json_error_t *e)
{
    char *quote = strstr(e->text, " near ");
    if (quote)
        *quote = '\0';
    for (unsigned char *p = (unsigned char *)e->text; *p; p++)
        if (*p < 0x20 || *p >= 0x7f)
            *p = '?';
    return st_printf(a, "is not valid JSON (line %d, column %d: %s)", e->line, e->column, e->text);
}

int st_json_parse(struct st_arena *a, const char *text, size_t len, int depth, json_t **ret, const char **ret_why)
{
    if (nesting(text, len) > depth) {
        *ret_why = st_printf(a, "is nested more than %d levels deep", depth);
        return ST_E_INVALID;
    }
    json_error_t e;
    json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (!j && json_error_code(&e) == json_error_out_of_memory)
        abort();
    if (!j) {
        *ret_why = len ? parse_error(a, &e) : "is empty";
        return ST_E_INVALID;
    }
    *ret = st_json_keep(a, j);
    return 0;
}

static void decref(void *j)
{
    json_decref(j);
}

json_t *st_json_keep(struct st_arena *a, json_t *j)
{
    if (!j)
        abort();
    st_defer(a, decref, j);
    return j;
}

struct member {
    const char *key;
    size_t len;
    const json_t *value;
};

static int by_key(const void *x, const void *y)
{
    const struct member *a = x, *b = y;
    int c = memcmp(a->key, b->key, a->len < b->len ? a->len : b->len);
    return c ? c : (a->len > b->len) - (a->len < b->len);
}

struct writer {
    struct st_arena *arena;
    struct st_buf out;
    bool canonical;
};

static void write_value(struct writer *w, const json_t *j);

static void write_object(struct writer *w, const json_t *j)
{
    size_t n = 0;
    struct member *members = st_new_n(w->arena, struct member, json_object_size(j));
    json_t *object = (json_t *)j; /* iteration changes nothing, but jansson's signature has no const */
    for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it))
        members[n++] =
            (struct member){json_object_iter_key(it), json_object_iter_key_len(it), json_object_iter_value(it)};
    if (w->canonical && n > 1)
        qsort(members, n, sizeof(*members), by_key);
    st_buf_char(&w->out, '{');
    for (size_t i = 0; i < n; i++) {
        if (i)
            st_buf_char(&w->out, ',');
        st_buf_json(&w->out, members[i].key, members[i].len);
        st_buf_char(&w->out, ':');
        write_value(w, members[i].value);
    }
    st_buf_char(&w->out, '}');
}

static void write_array(struct writer *w, const json_t *j)
{
    st_buf_char(&w->out, '[');
    for (size_t i = 0, n = json_array_size(j); i < n; i++) {
        if (i)
            st_buf_char(&w->out, ',');
        write_value(w, json_array_get(j, i));
    }
    st_buf_char(&w->out, ']');
}

static void write_real(struct writer *w, double d)
{
    if (w->canonical && d == rint(d) && d >= -0x1p63 && d < 0x1p63) {
        st_buf_printf(&w->out, "%lld", (long long)d);
        return;
    }
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, d);
        if (strtod(text, NULL) == d)
            break;
    }
    size_t n = strspn(text, "-0123456789");
    if (text[n] && text[n] != 'e')
        text[n] = '.'; /* the point of the locale */
    st_buf_str(&w->out, text);
    if (!text[n])
        st_buf_str(&w->out, ".0"); /* reads back as a real */
}

static void write_value(struct writer *w, const json_t *j)
{
    switch (json_typeof(j)) {
    case JSON_OBJECT: write_object(w, j); break;
    case JSON_ARRAY: write_array(w, j); break;
    case JSON_STRING: st_buf_json(&w->out, json_string_value(j), json_string_length(j)); break;
    case JSON_INTEGER: st_buf_printf(&w->out, "%lld", (long long)json_integer_value(j)); break;
    case JSON_REAL: write_real(w, json_real_value(j)); break;
    case JSON_TRUE: st_buf_str(&w->out, "true"); break;
    case JSON_FALSE: st_buf_str(&w->out, "false"); break;
    case JSON_NULL: st_buf_str(&w->out, "null"); break;
    }
}

static char *text_of(struct st_arena *a, const json_t *j, bool canonical)
{
    /* No limit of its own: the value was bounded when it was read. */
    struct writer w = {.arena = a, .out = ST_BUF(SIZE_MAX / 4), .canonical = canonical};
    write_value(&w, j);
    char *text = st_strndup(a, w.out.data, w.out.len);
    st_buf_release(&w.out);
    return text;
}

char *st_json_text(struct st_arena *a, const json_t *j)
{
    return text_of(a, j, false);
}

char *st_json_canonical(struct st_arena *a, const json_t *j)
{
    return text_of(a, j, true);
}

static bool read_all(int fd, char *to, size_t len)
{
    while (len) {
        ssize_t n = read(fd, to, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = EIO; /* it shrank while we read it */
        if (n <= 0)
            return false;
        to += n;
        len -= (size_t)n;
    }
    return true;
}

int st_file_read(struct st_arena *a, const char *path, char **ret, size_t *ret_len, const char **ret_why)
{
    struct stat st;
    char *text = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a FIFO must not hold us up */
    if (fd < 0 || fstat(fd, &st) < 0) {
        *ret_why = st_printf(a, "%s: %m", path);
    } else if (!S_ISREG(st.st_mode)) {
        *ret_why = st_printf(a, "%s: is not a regular file", path);
    } else if (st.st_size > ST_FILE_MAX) {
        *ret_why = st_printf(a, "%s: is larger than %d MiB", path, ST_FILE_MAX >> 20);
    } else {
        text = st_alloc(a, (size_t)st.st_size + 1);
        if (!read_all(fd, text, (size_t)st.st_size)) {
            *ret_why = st_printf(a, "%s: %m", path);
            text = NULL;
        }
    }
    if (fd >= 0)
        close(fd);
    if (!text)
        return ST_E_INVALID;
    *ret = text;
    *ret_len = (size_t)st.st_size;
    return 0;
}

int st_json_load(struct st_arena *a, const char *path, json_t **ret, const char **ret_why)
{
    char *text;
    size_t len;
    int r = st_file_read(a, path, &text, &len, ret_why);
    if (r < 0)
        return r;
    const char *why;
    r = st_json_parse(a, text, len, ST_JSON_DEPTH, ret, &why);
    if (r < 0)
        *ret_why = st_printf(a, "%s: %s", path, why);
    return r;
}

const char *st_json_token(struct st_arena *a, const char *pointer, const char **ret_token)
{
    if (*pointer != '/')
        return NULL;
    size_t len = strcspn(pointer + 1, "/");
    char *token = st_strndup(a, pointer + 1, len), *to = token;
    for (const char *from = token; *from; from++) {
        if (*from == '~') {
            from++;
            if (*from != '0' && *from != '1')
                return NULL;
            *to++ = *from == '0' ? '~' : '/';
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
    *ret_token = token;
    return pointer + 1 + len;
}

bool st_json_is_index(const char *token)
{
    return st_streq(token, "0") || (token[0] >= '1' && token[0] <= '9');
}

json_t *st_json_at(const json_t *j, const char *pointer)
{
    struct st_arena scratch = {0};
    while (j && *pointer) {
        const char *token;
        int64_t index;
        pointer = st_json_token(&scratch, pointer, &token);
        if (!pointer)
            j = NULL;
        else if (json_is_object(j))
            j = json_object_get(j, token);
        else if (json_is_array(j) && st_json_is_index(token) && st_parse_i64(token, 0, INT32_MAX, &index))
            j = json_array_get(j, (size_t)index);
        else
            j = NULL;
        if (!j)
            break;
    }
    st_arena_release(&scratch);
    return (json_t *)j;
}

char *st_json_pointer(struct st_arena *a, const char *base, const char *token)
{
    size_t n = strlen(base), extra = 0;
    for (const char *p = token; *p; p++)
        extra += *p == '~' || *p == '/';
    char *pointer = st_alloc(a, n + 1 + strlen(token) + extra + 1), *to = pointer + n;
    memcpy(pointer, base, n);
    *to++ = '/';
    for (const char *p = token; *p; p++) {
        if (*p == '~' || *p == '/') {
            *to++ = '~';
            *to++ = *p == '~' ? '0' : '1';
        } else {
            *to++ = *p;
        }
    }
    return pointer;
}

const char *st_json_str(const json_t *object, const char *name, const char *otherwise)
{
    const char *s = json_string_value(json_object_get(object, name));
    return s ? s : otherwise;
}

const char *st_json_time(struct st_arena *a, const json_t *object, const char *name)
{
    static const int64_t last = 253402300799 * (int64_t)ST_SECOND; /* 9999-12-31T23:59:59Z */
    const char *text = st_json_str(object, name, NULL);
    int64_t us;
    if (!text || !st_time_parse(text, &us))
        return text;
    return st_time_format(us < 0 ? 0 : us > last ? last : us, st_alloc(a, ST_TIME_LEN));
}

int64_t st_json_int(const json_t *object, const char *name, int64_t otherwise)
{
    const json_t *j = json_object_get(object, name);
    if (json_is_integer(j))
        return json_integer_value(j);
    double d = json_real_value(j);
    return json_is_real(j) && d == rint(d) && d >= -0x1p63 && d < 0x1p63 ? (int64_t)d : otherwise;
}

double st_json_num(const json_t *object, const char *name, double otherwise)
{
    const json_t *j = json_object_get(object, name);
    return json_is_number(j) ? json_number_value(j) : otherwise;
}

bool st_json_bool(const json_t *object, const char *name, bool otherwise)
{
    const json_t *j = json_object_get(object, name);
    return json_is_boolean(j) ? json_is_true(j) : otherwise;
}
