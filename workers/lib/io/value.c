/* JSON as it is checked: one pass over a copy of the text, in which strings are unescaped where they stand. */
#include "io/value.h"

#include <endian.h>
#include <errno.h>
#include <math.h>

/* Bytes that may be read behind the text; members compared with each other directly; values made at once, at most. */
enum { PAD = 8, FEW = 32, NODES = 32 };
enum { DECIMALS = 300 }; /* a number of fewer characters, without an exponent, fits into a double */

struct parser {
    struct st_arena *arena;
    char *text, *end, *at;
    struct st_value *nodes; /* made and not used yet */
    int n_nodes, made;
    int depth;
    bool any;
    const char *why;
};

static bool fail(struct parser *p, const char *why)
{
    if (!p->why)
        p->why = why;
    return false;
}

/* Names are hashed eight bytes at a time. */
uint32_t st_names_hash(const char *name, size_t len)
{
    const uint64_t mix = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t h = len * mix, word;
    for (; len >= sizeof(word); name += sizeof(word), len -= sizeof(word)) {
        memcpy(&word, name, sizeof(word));
        h = (h ^ word) * mix;
        h ^= h >> 29;
    }
    word = 0;
    memcpy(&word, name, len);
    h = (h ^ word) * mix;
    return (uint32_t)(h >> 32);
}

/* In lots that grow with the text's needs, so that a small one costs little memory. */
static struct st_value *node(struct parser *p)
{
    if (!p->n_nodes) {
        p->n_nodes = p->made = p->made < NODES ? 2 * p->made + 4 : NODES;
        p->nodes = st_new_n(p->arena, struct st_value, (size_t)p->n_nodes);
    }
    p->n_nodes--;
    return p->nodes++;
}

static void skip_space(struct parser *p)
{
    while (*p->at == ' ' || *p->at == '\n' || *p->at == '\r' || *p->at == '\t')
        p->at++;
}

/*
 * How many of eight bytes come before the first that is a quote, a backslash, a control character or beyond ASCII. A
 * borrow only ever reaches bytes behind such a one, so the first bit that is set is right.
 */
static size_t plain_bytes(const char *s)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    uint64_t w;
    memcpy(&w, s, sizeof(w));
    w = le64toh(w);
    uint64_t quote = w ^ ones * '"', slash = w ^ ones * '\\';
    uint64_t found = ((w - ones * 0x20) | (quote - ones) | (slash - ones) | w) & high;
    return found ? (size_t)__builtin_ctzll(found) / 8 : sizeof(w);
}

static int hex4(const char *s)
{
    int n = 0;
    for (int i = 0; i < 4; i++) {
        char c = s[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        n = n << 4 | digit;
    }
    return n;
}

/* \uXXXX at *from (behind the u), a pair of surrogates as one; writes UTF-8 to *to. */
static bool unescape_unicode(struct parser *p, char **from, char **to)
{
    int cp = hex4(*from);
    if (cp < 0)
        return fail(p, "invalid escape");
    *from += 4;
    if (cp >= 0xd800 && cp < 0xdc00 && (*from)[0] == '\\' && (*from)[1] == 'u') {
        int low = hex4(*from + 2);
        if (low < 0xdc00 || low > 0xdfff)
            return fail(p, "invalid Unicode escape");
        cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
        *from += 6;
    }
    if (cp >= 0xd800 && cp <= 0xdfff)
        return fail(p, "invalid Unicode escape");
    if (cp == 0 && !p->any)
        return fail(p, "\\u0000 is not allowed");
    *to += st_utf8_put((uint32_t)cp, *to);
    return true;
}

/* Unescapes [from, end) in place: no escape is shorter than what it stands for. */
static bool unescape(struct parser *p, char *from, char *end, size_t *ret_len)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    char *start = from, *to = from;
    while (from < end) {
        if (*from != '\\') {
            *to++ = *from++;
            continue;
        }
        from++;
        const char *letter = strchr(letters, *from);
        if (*from == 'u') {
            from++;
            if (!unescape_unicode(p, &from, &to))
                return false;
        } else if (letter && *letter) {
            *to++ = meanings[letter - letters];
            from++;
        } else {
            return fail(p, "invalid escape");
        }
    }
    *to = '\0';
    *ret_len = (size_t)(to - start);
    return true;
}

/* At the opening quote. The closing one becomes the NUL. */
static bool parse_string(struct parser *p, const char **ret, size_t *ret_len)
{
    char *start = ++p->at, *s = start;
    bool escaped = false, beyond_ascii = false;
    for (;;) {
        size_t n;
        do
            s += n = plain_bytes(s);
        while (n == PAD);
        if (*s == '"')
            break;
        p->at = s;
        if (s >= p->end)
            return fail(p, "premature end of input");
        if ((unsigned char)*s < 0x20)
            return fail(p, "control character in a string");
        if (*s & 0x80) {
            beyond_ascii = true;
            s++;
        } else {
            escaped = true;
            s += s[1] ? 2 : 1;
        }
    }
    *s = '\0';
    size_t len = (size_t)(s - start);
    if (beyond_ascii && !st_utf8_valid(start, len))
        return fail(p, "invalid UTF-8");
    if (escaped && !unescape(p, start, s, &len))
        return false;
    p->at = s + 1;
    *ret = start;
    *ret_len = len;
    return true;
}

static bool parse_fraction(struct parser *p)
{
    if (*p->at == '.') {
        if (!st_is_digit(*++p->at))
            return fail(p, "invalid number");
        while (st_is_digit(*p->at))
            p->at++;
    }
    if (*p->at == 'e' || *p->at == 'E') {
        p->at++;
        if (*p->at == '+' || *p->at == '-')
            p->at++;
        if (!st_is_digit(*p->at))
            return fail(p, "invalid number");
        while (st_is_digit(*p->at))
            p->at++;
    }
    return true;
}

static bool parse_number(struct parser *p, struct st_value *v)
{
    const char *start = p->at;
    bool negative = *p->at == '-', fits = true;
    int64_t n = 0;
    p->at += negative;
    const char *digits = p->at;
    for (; st_is_digit(*p->at); p->at++) /* downwards, as INT64_MIN has no positive counterpart */
        fits = fits && !__builtin_mul_overflow(n, 10, &n) && !__builtin_sub_overflow(n, *p->at - '0', &n);
    if (p->at == digits || (*digits == '0' && p->at - digits > 1))
        return fail(p, "invalid number");
    bool whole = *p->at != '.' && *p->at != 'e' && *p->at != 'E';
    fits = fits && (negative || n != INT64_MIN);
    if (whole && fits) {
        v->type = JSON_INTEGER;
        v->integer = negative ? n : -n;
        return true;
    }
    if (!whole && !parse_fraction(p))
        return false;
    bool doubtful = whole || p->at - start > DECIMALS || memchr(start, 'e', (size_t)(p->at - start)) ||
                    memchr(start, 'E', (size_t)(p->at - start));
    if (!p->any && doubtful && (whole || isinf(strtod(start, NULL))))
        return fail(p, whole ? "too big integer" : "too big number");
    v->type = JSON_REAL;
    v->text = start;
    v->len = (size_t)(p->at - start);
    return true;
}

static int by_name(const void *x, const void *y)
{
    const struct st_value *a = *(const struct st_value *const *)x, *b = *(const struct st_value *const *)y;
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    if (a->key_len != b->key_len)
        return a->key_len < b->key_len ? -1 : 1;
    return memcmp(a->key, b->key, a->key_len);
}

/* Many members: sorted, so that no choice of names makes it slow. */
static bool has_duplicate(const struct st_value *object)
{
    struct st_arena scratch = {0};
    const struct st_value **list = st_new_n(&scratch, const struct st_value *, object->count);
    size_t n = 0;
    bool found = false;
    for (const struct st_value *m = object->first; m; m = m->next)
        list[n++] = m;
    qsort(list, n, sizeof(*list), by_name);
    for (size_t i = 1; i < n && !found; i++)
        found = by_name(&list[i - 1], &list[i]) == 0;
    st_arena_release(&scratch);
    return found;
}

static bool is_known(const struct st_value *object, const struct st_value *member)
{
    for (const struct st_value *m = object->first; m != member; m = m->next)
        if (by_name(&m, &member) == 0)
            return true;
    return false;
}

static bool parse_value(struct parser *p, struct st_value *v);

static bool parse_name(struct parser *p, struct st_value *member)
{
    size_t len;
    if (*p->at != '"')
        return fail(p, p->at < p->end ? "a member's name is expected" : "premature end of input");
    if (!parse_string(p, &member->key, &len))
        return false;
    member->key_len = (uint32_t)len;
    member->hash = st_names_hash(member->key, len);
    skip_space(p);
    if (*p->at != ':')
        return fail(p, "':' is expected");
    p->at++;
    return true;
}

/* What stands behind a member or an item: is there another? */
static bool parse_more(struct parser *p, char close, bool *ret_more)
{
    skip_space(p);
    *ret_more = *p->at == ',';
    if (*p->at != ',' && *p->at != close)
        return fail(p, p->at < p->end ? "',' or the end of the list is expected" : "premature end of input");
    p->at++;
    skip_space(p);
    return true;
}

static bool parse_object(struct parser *p, struct st_value *v)
{
    uint32_t hashes[FEW];
    uint64_t seen = 0; /* a bit for some of the hash: most members need not be compared */
    struct st_value **link = &v->first;
    p->at++;
    skip_space(p);
    bool more = *p->at != '}';
    p->at += !more;
    while (more) {
        struct st_value *m = node(p);
        if (!parse_name(p, m))
            return false;
        *link = m;
        uint64_t bit = UINT64_C(1) << (m->hash & 63);
        bool doubtful = false;
        for (size_t i = 0; seen & bit && i < v->count && i < FEW; i++)
            doubtful |= hashes[i] == m->hash;
        seen |= bit;
        if (doubtful && v->count < FEW && is_known(v, m))
            return fail(p, "duplicate object key");
        if (v->count < FEW)
            hashes[v->count] = m->hash;
        v->count++;
        if (!parse_value(p, m) || !parse_more(p, '}', &more))
            return false;
        link = &m->next;
    }
    return v->count <= FEW || !has_duplicate(v) || fail(p, "duplicate object key");
}

static bool parse_array(struct parser *p, struct st_value *v)
{
    struct st_value **link = &v->first;
    p->at++;
    skip_space(p);
    bool more = *p->at != ']';
    p->at += !more;
    while (more) {
        struct st_value *item = node(p);
        *link = item;
        v->count++;
        if (!parse_value(p, item) || !parse_more(p, ']', &more))
            return false;
        link = &item->next;
    }
    return true;
}

static bool parse_container(struct parser *p, struct st_value *v)
{
    v->type = *p->at == '{' ? JSON_OBJECT : JSON_ARRAY;
    if (p->depth == 0)
        return fail(p, "");
    p->depth--;
    bool ok = v->type == JSON_OBJECT ? parse_object(p, v) : parse_array(p, v);
    p->depth++;
    return ok;
}

static bool parse_word(struct parser *p, struct st_value *v)
{
    static const struct {
        const char *word;
        json_type type;
    } words[] = {{"true", JSON_TRUE}, {"false", JSON_FALSE}, {"null", JSON_NULL}};
    for (size_t i = 0; i < ST_COUNT(words); i++) {
        size_t n = strlen(words[i].word);
        if (strncmp(p->at, words[i].word, n) == 0) {
            v->type = (uint8_t)words[i].type;
            p->at += n;
            return true;
        }
    }
    return fail(p, p->at < p->end ? "a value is expected" : "premature end of input");
}

static bool parse_value(struct parser *p, struct st_value *v)
{
    skip_space(p);
    switch (*p->at) {
    case '{':
    case '[': return parse_container(p, v);
    case '"': v->type = JSON_STRING; return parse_string(p, &v->text, &v->len);
    case '-':
    case '0' ... '9': return parse_number(p, v);
    default: return parse_word(p, v);
    }
}

static const char *explain(const struct parser *p, size_t len, int depth)
{
    int line = 1;
    const char *start = p->text;
    if (!len)
        return "is empty";
    if (!*p->why)
        return st_printf(p->arena, "is nested more than %d levels deep", depth);
    for (const char *s = p->text; s < p->at; s++)
        if (*s == '\n') {
            line++;
            start = s + 1;
        }
    return st_printf(p->arena, "is not valid JSON (line %d, column %d: %s)", line, (int)(p->at - start) + 1, p->why);
}

int st_value_parse(struct st_arena *a, const char *text, size_t len, int depth, bool any, const struct st_value **ret,
                   const char **ret_why)
{
    char *copy = st_alloc(a, len + PAD);
    memcpy(copy, text, len);
    struct parser p = {.arena = a, .text = copy, .end = copy + len, .at = copy, .depth = depth, .any = any};
    struct st_value *v = node(&p);
    bool ok = parse_value(&p, v);
    if (ok) {
        skip_space(&p);
        ok = p.at == p.end || fail(&p, "end of file expected");
    }
    if (!ok) {
        *ret_why = explain(&p, len, depth);
        return ST_E_INVALID;
    }
    *ret = v;
    return 0;
}

static void convert(struct st_arena *a, const json_t *j, struct st_value *v)
{
    size_t i;
    const json_t *item;
    struct st_value **link = &v->first;
    json_t *object = (json_t *)j;
    v->type = (uint8_t)json_typeof(j);
    switch (v->type) {
    case JSON_OBJECT:
        v->count = json_object_size(j);
        for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it)) {
            struct st_value *m = *link = st_new(a, struct st_value);
            m->key = json_object_iter_key(it);
            m->key_len = (uint32_t)json_object_iter_key_len(it);
            m->hash = st_names_hash(m->key, m->key_len);
            convert(a, json_object_iter_value(it), m);
            link = &m->next;
        }
        break;
    case JSON_ARRAY:
        v->count = json_array_size(j);
        json_array_foreach (object, i, item) {
            struct st_value *m = *link = st_new(a, struct st_value);
            convert(a, item, m);
            link = &m->next;
        }
        break;
    case JSON_STRING:
        v->text = json_string_value(j);
        v->len = json_string_length(j);
        break;
    case JSON_INTEGER: v->integer = json_integer_value(j); break;
    case JSON_REAL:
        v->text = st_json_text(a, j);
        v->len = strlen(v->text);
        break;
    default: break;
    }
}

const struct st_value *st_value_from_json(struct st_arena *a, const json_t *j)
{
    struct st_value *v = st_new(a, struct st_value);
    convert(a, j, v);
    return v;
}

/* Strings were checked when they were read. */
static json_t *json_of(const struct st_value *v)
{
    json_t *j = NULL;
    double d = 0;
    switch (v->type) {
    case JSON_OBJECT:
        j = json_object();
        for (const struct st_value *m = v->first; m; m = m->next)
            if (json_object_setn_new_nocheck(j, m->key, m->key_len, json_of(m)))
                abort();
        break;
    case JSON_ARRAY:
        j = json_array();
        for (const struct st_value *m = v->first; m; m = m->next)
            if (json_array_append_new(j, json_of(m)))
                abort();
        break;
    case JSON_STRING: j = json_stringn_nocheck(v->text, v->len); break;
    case JSON_INTEGER: j = json_integer(v->integer); break;
    case JSON_REAL: /* no NUL behind it, but nothing that a number could go on with */
        d = strtod(v->text, NULL);
        j = isfinite(d) ? json_real(d) : json_null();
        break;
    case JSON_TRUE: j = json_true(); break;
    case JSON_FALSE: j = json_false(); break;
    default: j = json_null(); break;
    }
    if (!j)
        abort();
    return j;
}

json_t *st_value_json(struct st_arena *a, const struct st_value *v)
{
    return st_json_keep(a, json_of(v));
}

const struct st_value *st_value_get(const struct st_value *v, const char *name)
{
    size_t len = strlen(name);
    if (!v || v->type != JSON_OBJECT)
        return NULL;
    for (const struct st_value *m = v->first; m; m = m->next)
        if (m->key_len == len && memcmp(m->key, name, len) == 0)
            return m;
    return NULL;
}

static const struct st_value *item_at(const struct st_value *array, const char *token)
{
    const struct st_value *item = array->first;
    int64_t index;
    if (!st_json_is_index(token) || !st_parse_i64(token, 0, INT32_MAX, &index))
        return NULL;
    while (item && index--)
        item = item->next;
    return item;
}

const struct st_value *st_value_at(const struct st_value *v, const char *pointer)
{
    struct st_arena scratch = {0};
    while (v && *pointer) {
        const char *token;
        pointer = st_json_token(&scratch, pointer, &token);
        if (!pointer)
            v = NULL;
        else
            v = v->type == JSON_ARRAY ? item_at(v, token) : st_value_get(v, token);
        if (!v)
            break;
    }
    st_arena_release(&scratch);
    return v;
}

const char *st_value_string(const struct st_value *v)
{
    return v && v->type == JSON_STRING ? v->text : NULL;
}

/* Of as many on both sides; they are mostly in the same order. */
static bool equal_members(const struct st_value *x, const struct st_value *y)
{
    const struct st_value *expected = y->first;
    for (const struct st_value *m = x->first; m; m = m->next, expected = expected->next) {
        const struct st_value *other = by_name(&m, &expected) == 0 ? expected : y->first;
        while (other && by_name(&m, &other) != 0)
            other = other->next;
        if (!other || !st_value_equal(m, other))
            return false;
    }
    return true;
}

bool st_value_equal(const struct st_value *x, const struct st_value *y)
{
    bool x_number = x->type == JSON_INTEGER || x->type == JSON_REAL;
    if (x_number && (y->type == JSON_INTEGER || y->type == JSON_REAL))
        return st_number_compare(x, y) == 0;
    if (x->type != y->type)
        return false;
    if (x->type == JSON_STRING)
        return x->len == y->len && memcmp(x->text, y->text, x->len) == 0;
    if (x->type != JSON_OBJECT && x->type != JSON_ARRAY)
        return true;
    if (x->count != y->count)
        return false;
    if (x->type == JSON_OBJECT)
        return equal_members(x, y);
    for (const struct st_value *i = x->first, *k = y->first; i; i = i->next, k = k->next)
        if (!st_value_equal(i, k))
            return false;
    return true;
}

struct st_names {
    struct slot {
        const char *name;
        size_t len;
        uint32_t hash;
        int number;
    } * slots;
    size_t mask;
};

struct st_names *st_names_new(struct st_arena *a, size_t n)
{
    struct st_names *names = st_new(a, struct st_names);
    size_t cap = 4;
    while (cap < 2 * n)
        cap *= 2;
    names->slots = st_new_n(a, struct slot, cap);
    names->mask = cap - 1;
    return names;
}

void st_names_add(struct st_names *names, const char *name, int number)
{
    size_t len = strlen(name);
    uint32_t hash = st_names_hash(name, len);
    size_t i = hash & names->mask;
    while (names->slots[i].name)
        i = (i + 1) & names->mask;
    names->slots[i] = (struct slot){name, len, hash, number};
}

int st_names_find(const struct st_names *names, const char *name, size_t len, uint32_t hash)
{
    for (size_t i = hash & names->mask; names->slots[i].name; i = (i + 1) & names->mask) {
        const struct slot *s = &names->slots[i];
        if (s->hash == hash && s->len == len && memcmp(s->name, name, len) == 0)
            return s->number;
    }
    return -1;
}
