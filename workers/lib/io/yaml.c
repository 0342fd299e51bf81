/* YAML by libyaml's events into json_t, with the line of each member and item. */
#include "io/yaml.h"

#include <errno.h>
#include <yaml.h>

enum { MAX_DEPTH = 64, MAX_NODES = 100000, ANCHORS = 256 };

/* Lines of one object's members or one array's items, in their order. */
struct container {
    const json_t *json;
    int *lines;
    size_t n, cap;
};

struct st_yaml_lines {
    struct container **list; /* sorted by json once reading has ended */
    size_t n, cap;
    int root;
};

struct anchor {
    const char *name;
    json_t *value; /* NULL while it is being read */
    int nodes, height;
};

struct reader {
    struct st_arena *arena;
    const char *name;
    yaml_parser_t parser;
    struct st_yaml_lines *lines;
    struct anchor anchors[ANCHORS]; /* a name may come again: the latest counts */
    int n_anchors;
    int nodes;
    const char *why;
};

/* What reading a node tells its parent. */
struct node {
    json_t *json; /* a reference of the caller's */
    int line;
    int height; /* levels of containers in it */
};

static int fail(struct reader *r, const yaml_mark_t *mark, const char *fmt, ...) ST_PRINTF(3, 4);
static int fail(struct reader *r, const yaml_mark_t *mark, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *reason = st_vprintf(r->arena, fmt, ap);
    va_end(ap);
    r->why = st_printf(r->arena, "%s:%d: %s", r->name, (int)mark->line + 1, reason);
    return ST_E_INVALID;
}

static int next_event(struct reader *r, yaml_event_t *ret)
{
    if (yaml_parser_parse(&r->parser, ret))
        return 0;
    if (r->parser.error == YAML_MEMORY_ERROR)
        abort();
    const char *problem = r->parser.problem ? r->parser.problem : "is not valid YAML";
    if (r->parser.error != YAML_READER_ERROR)
        return fail(r, &r->parser.problem_mark, "%s", problem);
    /* The reader knows no lines, only bytes; the parser's mark is at most one buffer behind. */
    return fail(r, &r->parser.mark, "%s (byte %zu)", problem, r->parser.problem_offset);
}

static void add_line(struct reader *r, struct container *c, int line)
{
    if (c->n == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 8;
        int *lines = st_new_n(r->arena, int, cap);
        if (c->n)
            memcpy(lines, c->lines, c->n * sizeof(*lines));
        c->lines = lines;
        c->cap = cap;
    }
    c->lines[c->n++] = line;
}

static struct container *add_container(struct reader *r, const json_t *json)
{
    struct st_yaml_lines *l = r->lines;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        struct container **list = st_new_n(r->arena, struct container *, cap);
        if (l->n)
            memcpy(list, l->list, l->n * sizeof(struct container *));
        l->list = list;
        l->cap = cap;
    }
    struct container *c = st_new(r->arena, struct container);
    c->json = json;
    l->list[l->n++] = c;
    return c;
}

/* Scalars of the core schema. */

static bool one_of(const char *s, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(s, *list) == 0)
            return true;
    return false;
}

static bool looks_decimal(const char *s)
{
    s += *s == '-' || *s == '+';
    return *s && s[strspn(s, "0123456789")] == '\0';
}

static bool looks_real(const char *s)
{
    s += *s == '-' || *s == '+';
    size_t before = strspn(s, "0123456789"), after = 0;
    s += before;
    if (*s == '.') {
        s++;
        after = strspn(s, "0123456789");
        s += after;
    }
    if (before + after == 0)
        return false;
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '-' || *s == '+';
        size_t digits = strspn(s, "0123456789");
        if (!digits)
            return false;
        s += digits;
    }
    return !*s;
}

/* 0o17 and 0xff */
static bool looks_radix(const char *s, int *ret_base)
{
    if (s[0] != '0' || (s[1] != 'o' && s[1] != 'x') || !s[2])
        return false;
    *ret_base = s[1] == 'o' ? 8 : 16;
    return s[2 + strspn(s + 2, s[1] == 'o' ? "01234567" : "0123456789abcdefABCDEF")] == '\0';
}

static int integer(struct reader *r, const yaml_event_t *e, const char *s, int base, json_t **ret)
{
    char *end;
    errno = 0;
    long long n = strtoll(s, &end, base);
    if (errno)
        return fail(r, &e->start_mark, "the integer %.40s does not fit into 64 bits", s);
    *ret = json_integer(n);
    return 0;
}

static int real(struct reader *r, const yaml_event_t *e, const char *s, json_t **ret)
{
    double d;
    s += *s == '+';
    const char *digits = s + (*s == '-');
    const char *text = *digits == '.' ? st_printf(r->arena, "%s0%s", *s == '-' ? "-" : "", digits) : s;
    if (!st_parse_double(text, &d))
        return fail(r, &e->start_mark, "the number %.40s is too large", s);
    *ret = json_real(d);
    return 0;
}

/* NULL with 0: not one of the special forms, so a string. */
static int resolve_plain(struct reader *r, const yaml_event_t *e, const char *s, json_t **ret)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};
    static const char *const unreal[] = {".inf",  ".Inf",  ".INF", "-.inf", "-.Inf", "-.INF", "+.inf",
                                         "+.Inf", "+.INF", ".nan", ".NaN",  ".NAN",  NULL};
    int base;
    *ret = NULL;
    if (one_of(s, nulls))
        *ret = json_null();
    else if (one_of(s, trues))
        *ret = json_true();
    else if (one_of(s, falses))
        *ret = json_false();
    else if (one_of(s, unreal))
        return fail(r, &e->start_mark, "%s has no place in JSON", s);
    else if (looks_decimal(s))
        return integer(r, e, s, 10, ret);
    else if (looks_radix(s, &base))
        return integer(r, e, s + 2, base, ret);
    else if (looks_real(s))
        return real(r, e, s, ret);
    return 0;
}

static bool tag_fits(const char *tag, const json_t *j)
{
    static const struct {
        const char *tag;
        json_type type;
    } tags[] = {{YAML_STR_TAG, JSON_STRING}, {YAML_INT_TAG, JSON_INTEGER},
                {YAML_FLOAT_TAG, JSON_REAL}, {YAML_NULL_TAG, JSON_NULL},
                {YAML_BOOL_TAG, JSON_TRUE},  {YAML_BOOL_TAG, JSON_FALSE},
                {YAML_SEQ_TAG, JSON_ARRAY},  {YAML_MAP_TAG, JSON_OBJECT},
                {"!", JSON_STRING},          {"!", JSON_ARRAY},
                {"!", JSON_OBJECT}};
    for (size_t i = 0; i < ST_COUNT(tags); i++)
        if (strcmp(tag, tags[i].tag) == 0 && json_typeof(j) == tags[i].type)
            return true;
    return false;
}

static int read_scalar(struct reader *r, const yaml_event_t *e, json_t **ret)
{
    const char *s = (const char *)e->data.scalar.value, *tag = (const char *)e->data.scalar.tag;
    size_t len = e->data.scalar.length;
    json_t *j = NULL;
    if (!st_utf8_valid(s, len))
        return fail(r, &e->start_mark, "a string contains NUL or is not UTF-8");
    bool text = tag && (st_streq(tag, YAML_STR_TAG) || st_streq(tag, "!"));
    if (!text && (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE || tag)) {
        int result = resolve_plain(r, e, s, &j);
        if (result < 0)
            return result;
    }
    if (!j)
        j = json_stringn_nocheck(s, len);
    if (!j)
        abort();
    if (tag && !tag_fits(tag, j)) {
        json_decref(j);
        return fail(r, &e->start_mark, "the tag %.60s does not fit here", tag);
    }
    *ret = j;
    return 0;
}

static int read_node(struct reader *r, const yaml_event_t *e, int depth, struct node *ret);

/* The slot is taken before the value is read, so that an alias inside it is seen as what it is. */
static int begin_anchor(struct reader *r, const yaml_event_t *e, const char *name, struct anchor **ret)
{
    *ret = NULL;
    if (!name)
        return 0;
    if (r->n_anchors == ANCHORS)
        return fail(r, &e->start_mark, "more than %d anchors", ANCHORS);
    struct anchor *a = &r->anchors[r->n_anchors++];
    *a = (struct anchor){.name = st_strdup(r->arena, name), .nodes = r->nodes};
    *ret = a;
    return 0;
}

static void end_anchor(struct reader *r, struct anchor *a, const struct node *n)
{
    if (!a)
        return;
    a->value = n->json;
    a->nodes = r->nodes - a->nodes + 1;
    a->height = n->height;
}

static int read_alias(struct reader *r, const yaml_event_t *e, int depth, struct node *ret)
{
    const char *name = (const char *)e->data.alias.anchor;
    for (int i = r->n_anchors - 1; i >= 0; i--) {
        const struct anchor *a = &r->anchors[i];
        if (strcmp(a->name, name) != 0)
            continue;
        if (!a->value)
            return fail(r, &e->start_mark, "the anchor %.40s contains itself", name);
        if (depth + a->height > MAX_DEPTH)
            return fail(r, &e->start_mark, "nested more than %d levels deep", MAX_DEPTH);
        r->nodes += a->nodes - 1;
        if (r->nodes > MAX_NODES)
            return fail(r, &e->start_mark, "more than %d values", MAX_NODES);
        ret->json = json_incref(a->value);
        ret->height = a->height;
        return 0;
    }
    return fail(r, &e->start_mark, "there is no anchor %.40s", name);
}

static int read_sequence(struct reader *r, int depth, struct node *ret)
{
    json_t *array = json_array();
    struct container *c = add_container(r, array);
    int result;
    for (;;) {
        yaml_event_t e;
        result = next_event(r, &e);
        if (result < 0 || e.type == YAML_SEQUENCE_END_EVENT) {
            if (!result)
                yaml_event_delete(&e);
            break;
        }
        struct node item = {0};
        result = read_node(r, &e, depth, &item);
        yaml_event_delete(&e);
        if (result < 0)
            break;
        add_line(r, c, item.line);
        if (json_array_append_new(array, item.json) < 0)
            abort();
        if (item.height > ret->height)
            ret->height = item.height;
    }
    ret->height++;
    ret->json = array;
    return result;
}

static int read_key(struct reader *r, const yaml_event_t *e, const json_t *object, json_t **ret)
{
    json_t *key;
    if (e->type != YAML_SCALAR_EVENT || e->data.scalar.anchor)
        return fail(r, &e->start_mark, "a key must be a plain string");
    int result = read_scalar(r, e, &key);
    if (result < 0)
        return result;
    const char *s = (const char *)e->data.scalar.value;
    if (!json_is_string(key))
        result = fail(r, &e->start_mark, "the key %.40s is not a string: quote it", s);
    else if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && st_streq(s, "<<"))
        result = fail(r, &e->start_mark, "merge keys (<<) are not part of YAML 1.2");
    else if (json_object_get(object, s))
        result = fail(r, &e->start_mark, "the key %.80s is there twice", s);
    if (result < 0)
        json_decref(key);
    else
        *ret = key;
    return result;
}

static int read_member(struct reader *r, const yaml_event_t *key_event, int depth, json_t *object, struct container *c,
                       struct node *parent)
{
    json_t *key = NULL;
    int result = read_key(r, key_event, object, &key);
    if (result < 0)
        return result;
    yaml_event_t e;
    result = next_event(r, &e);
    if (!result) {
        struct node member = {0};
        result = read_node(r, &e, depth, &member);
        yaml_event_delete(&e);
        if (!result && json_object_set_new_nocheck(object, json_string_value(key), member.json) < 0)
            abort();
        if (member.height > parent->height)
            parent->height = member.height;
    }
    if (!result)
        add_line(r, c, (int)key_event->start_mark.line + 1);
    json_decref(key);
    return result;
}

static int read_mapping(struct reader *r, int depth, struct node *ret)
{
    json_t *object = json_object();
    struct container *c = add_container(r, object);
    int result;
    for (;;) {
        yaml_event_t e;
        result = next_event(r, &e);
        if (result < 0)
            break;
        bool end = e.type == YAML_MAPPING_END_EVENT;
        if (!end)
            result = read_member(r, &e, depth, object, c, ret);
        yaml_event_delete(&e);
        if (end || result < 0)
            break;
    }
    ret->height++;
    ret->json = object;
    return result;
}

/* depth: containers around this node */
static int read_container(struct reader *r, const yaml_event_t *e, int depth, struct node *ret)
{
    bool mapping = e->type == YAML_MAPPING_START_EVENT;
    const char *tag = (const char *)(mapping ? e->data.mapping_start.tag : e->data.sequence_start.tag);
    const char *anchor = (const char *)(mapping ? e->data.mapping_start.anchor : e->data.sequence_start.anchor);
    struct anchor *a;
    if (depth >= MAX_DEPTH)
        return fail(r, &e->start_mark, "nested more than %d levels deep", MAX_DEPTH);
    int result = begin_anchor(r, e, anchor, &a);
    if (result < 0)
        return result;
    struct node n = {.line = ret->line};
    result = mapping ? read_mapping(r, depth + 1, &n) : read_sequence(r, depth + 1, &n);
    if (!result && tag && !tag_fits(tag, n.json))
        result = fail(r, &e->start_mark, "the tag %.60s does not fit here", tag);
    if (result < 0) {
        json_decref(n.json);
        return result;
    }
    end_anchor(r, a, &n);
    *ret = n;
    return 0;
}

static int read_node(struct reader *r, const yaml_event_t *e, int depth, struct node *ret)
{
    struct anchor *a;
    ret->line = (int)e->start_mark.line + 1;
    if (++r->nodes > MAX_NODES)
        return fail(r, &e->start_mark, "more than %d values", MAX_NODES);
    if (e->type == YAML_ALIAS_EVENT)
        return read_alias(r, e, depth, ret);
    if (e->type != YAML_SCALAR_EVENT)
        return read_container(r, e, depth, ret);
    int result = begin_anchor(r, e, (const char *)e->data.scalar.anchor, &a);
    if (!result)
        result = read_scalar(r, e, &ret->json);
    if (!result)
        end_anchor(r, a, ret);
    return result;
}

static int by_json(const void *x, const void *y)
{
    const struct container *const *a = x, *const *b = y;
    return ((*a)->json > (*b)->json) - ((*a)->json < (*b)->json);
}

/* Stream start, one document, stream end. */
static int read_stream(struct reader *r, json_t **ret_root)
{
    bool document = false;
    for (;;) {
        yaml_event_t e;
        int result = next_event(r, &e);
        if (result < 0)
            return result;
        yaml_event_type_t type = e.type;
        if (type == YAML_DOCUMENT_START_EVENT && document) {
            result = fail(r, &e.start_mark, "a second document begins");
        } else if (type == YAML_STREAM_END_EVENT && !document) {
            result = fail(r, &e.start_mark, "is empty");
        } else if (type == YAML_DOCUMENT_START_EVENT) {
            document = true;
        } else if (type != YAML_STREAM_START_EVENT && type != YAML_STREAM_END_EVENT &&
                   type != YAML_DOCUMENT_END_EVENT) {
            struct node root = {0};
            result = read_node(r, &e, 0, &root);
            if (!result)
                *ret_root = st_json_keep(r->arena, root.json);
            r->lines->root = root.line;
        }
        yaml_event_delete(&e);
        if (result < 0 || type == YAML_STREAM_END_EVENT)
            return result;
    }
}

int st_yaml_parse(struct st_arena *a, const char *name, const char *text, size_t len, struct st_yaml *ret,
                  const char **ret_why)
{
    struct reader *r = st_new(a, struct reader);
    json_t *root = NULL;
    r->arena = a;
    r->name = name;
    r->lines = st_new(a, struct st_yaml_lines);
    if (!yaml_parser_initialize(&r->parser))
        abort();
    yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)text, len);
    int result = read_stream(r, &root);
    yaml_parser_delete(&r->parser);
    if (result < 0) {
        *ret_why = r->why;
        return result;
    }
    if (r->lines->n)
        qsort(r->lines->list, r->lines->n, sizeof(struct container *), by_json);
    *ret = (struct st_yaml){.path = st_strdup(a, name), .root = root, .lines = r->lines};
    return 0;
}

int st_yaml_load(struct st_arena *a, const char *path, struct st_yaml *ret, const char **ret_why)
{
    char *text;
    size_t len;
    int r = st_file_read(a, path, &text, &len, ret_why);
    return r < 0 ? r : st_yaml_parse(a, path, text, len, ret, ret_why);
}

/* Position of a member or item, in the order of reading. */
static bool position(const json_t *j, const char *token, size_t *ret)
{
    if (json_is_array(j)) {
        int64_t i;
        if (!st_parse_i64(token, 0, INT32_MAX, &i))
            return false;
        *ret = (size_t)i;
        return true;
    }
    size_t i = 0;
    json_t *object = (json_t *)j;
    for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it), i++) {
        if (strcmp(json_object_iter_key(it), token) == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}

int st_yaml_line(const struct st_yaml *y, const char *pointer)
{
    struct st_arena scratch = {0};
    const struct st_yaml_lines *l = y->lines;
    const json_t *j = y->root;
    int line = l->root;
    while (j && l->n && *pointer) {
        struct container key = {.json = j}, *search = &key, **found;
        const char *token;
        size_t i;
        pointer = st_json_token(&scratch, pointer, &token);
        found = bsearch(&search, l->list, l->n, sizeof(struct container *), by_json);
        if (!pointer || !found || !position(j, token, &i) || i >= (*found)->n)
            break;
        line = (*found)->lines[i];
        j = json_is_array(j) ? json_array_get(j, i) : json_object_get(j, token);
    }
    st_arena_release(&scratch);
    return line;
}
