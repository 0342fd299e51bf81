/* The operations of JSON Schema on objects and arrays. */
#include "io/schema_impl.h"

enum { FEW_ITEMS = 16 };

static struct st_path member_at(const struct st_path *up, const char *key, size_t len)
{
    return (struct st_path){.up = up, .key = key, .len = len};
}

static struct st_path item_at(const struct st_path *up, size_t index)
{
    return (struct st_path){.up = up, .index = index};
}

bool st_check_min_members(struct st_check *c, const struct st_op *op, const struct st_value *v,
                          const struct st_path *at)
{
    return v->count >= (size_t)op->min || st_check_report(c, at, op->message);
}

bool st_check_max_members(struct st_check *c, const struct st_op *op, const struct st_value *v,
                          const struct st_path *at)
{
    return v->count <= (size_t)op->min || st_check_report(c, at, op->message);
}

/* The names that are missing are found in one pass more. */
static bool report_missing(struct st_check *c, const struct st_op *op, const struct st_value *v,
                           const struct st_path *at)
{
    bool *seen = st_new_n(c->arena, bool, (size_t)op->n_strings);
    for (const struct st_value *m = v->first; m; m = m->next) {
        int i = st_names_find(op->names, m->key, m->key_len, m->hash);
        if (i >= 0)
            seen[i] = true;
    }
    for (int i = 0; i < op->n_strings; i++) {
        struct st_path member = member_at(at, op->strings[i], strlen(op->strings[i]));
        if (!seen[i])
            st_check_report(c, &member, "is required");
    }
    return false;
}

bool st_check_required(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    int found = 0;
    for (const struct st_value *m = v->first; m; m = m->next)
        found += st_names_find(op->names, m->key, m->key_len, m->hash) >= 0;
    return found == op->n_strings || (c->errors && report_missing(c, op, v, at));
}

bool st_check_dependent_required(struct st_check *c, const struct st_op *op, const struct st_value *v,
                                 const struct st_path *at)
{
    bool ok = true;
    for (const struct st_value *list = op->value->first; list; list = list->next) {
        if (!st_check_step(c, at, v->count * (1 + list->count) / 8) || !st_value_get(v, list->key))
            continue;
        for (const struct st_value *needed = list->first; needed; needed = needed->next) {
            struct st_path member = member_at(at, needed->text, needed->len);
            if (!st_value_get(v, needed->text))
                ok = st_check_report(c, &member, st_printf(c->arena, "is required together with %s", list->key));
        }
    }
    return ok;
}

bool st_check_dependent_schemas(struct st_check *c, const struct st_op *op, const struct st_value *v,
                                const struct st_path *at)
{
    bool ok = true;
    for (int i = 0; i < op->n_subs; i++) {
        if (!st_check_step(c, at, v->count / 8))
            return false;
        if (!st_value_get(v, op->strings[i]) || st_check_eval(c, op->subs[i], v, at))
            continue;
        ok = false;
        if (st_check_done(c))
            break;
    }
    return ok;
}

static bool check_member(struct st_check *c, const struct st_op *op, const struct st_value *m, size_t position,
                         const struct st_path *at)
{
    struct st_path member = member_at(at, m->key, m->key_len);
    int index = op->names ? st_names_find(op->names, m->key, m->key_len, m->hash) : -1;
    bool matched = index >= 0, ok = true;
    if (matched)
        ok = st_check_child(c, op->subs[index], m, &member);
    for (int i = 0; i < op->n_patterns && (ok || !st_check_done(c)); i++) {
        int r = st_pattern_match(op->patterns[i], m->key, m->key_len);
        if (r < 0)
            return st_check_give_up(c, &member, "has a name that is too long to be matched");
        if (!r)
            continue;
        matched = true;
        ok = st_check_child(c, op->subs[op->n_names + i], m, &member) && ok;
    }
    if (c->marks && (matched || op->rest))
        st_marks_set(c->marks, position);
    return !matched && op->rest ? st_check_child(c, op->rest, m, &member) : ok;
}

bool st_check_members(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    bool ok = true;
    size_t position = 0;
    if (!st_check_step(c, at, v->count * (size_t)(1 + op->n_patterns)))
        return false;
    for (const struct st_value *m = v->first; m; m = m->next) {
        if (check_member(c, op, m, position++, at))
            continue;
        ok = false;
        if (st_check_done(c))
            break;
    }
    return ok;
}

/* The name is checked as a string; what is wrong with it is told of the member. */
static bool check_name(struct st_check *c, const struct st_op *op, const struct st_value *m,
                       const struct st_path *member)
{
    struct st_value name = {.type = JSON_STRING, .text = m->key, .len = m->key_len};
    bool ok = st_check_probe(c, op->subs[0], &name, member);
    if (!ok && !st_check_done(c)) {
        struct st_schema_errors *errors = c->errors, found = {.count = 0};
        c->errors = &found;
        (void)st_check_child(c, op->subs[0], &name, member);
        c->errors = errors;
        for (int i = 0; i < found.count; i++)
            st_check_report(c, member, st_printf(c->arena, "has a name that %s", found.list[i].message));
    }
    return ok;
}

bool st_check_member_names(struct st_check *c, const struct st_op *op, const struct st_value *v,
                           const struct st_path *at)
{
    bool ok = true;
    for (const struct st_value *m = v->first; m; m = m->next) {
        struct st_path member = member_at(at, m->key, m->key_len);
        if (check_name(c, op, m, &member))
            continue;
        ok = false;
        if (st_check_done(c))
            break;
    }
    return ok;
}

bool st_check_min_items(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    return v->count >= (size_t)op->min || st_check_report(c, at, op->message);
}

bool st_check_max_items(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    return v->count <= (size_t)op->min || st_check_report(c, at, op->message);
}

bool st_check_items(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    bool ok = true;
    size_t i = 0;
    for (const struct st_value *item = v->first; item; item = item->next, i++) {
        const struct st_schema *s = i < (size_t)op->n_subs ? op->subs[i] : op->rest;
        struct st_path place = item_at(at, i);
        if (!s)
            break;
        if (c->marks)
            st_marks_set(c->marks, i);
        if (st_check_child(c, s, item, &place))
            continue;
        ok = false;
        if (st_check_done(c))
            break;
    }
    return ok;
}

bool st_check_contains(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    int64_t found = 0;
    size_t i = 0;
    for (const struct st_value *item = v->first; item; item = item->next, i++) {
        struct st_path place = item_at(at, i);
        bool is_one = st_check_probe(c, op->subs[0], item, &place);
        found += is_one;
        if (is_one && c->marks)
            st_marks_set(c->marks, i);
        if (op->max < 0 ? found >= op->min && !c->marks : found > op->max)
            break;
    }
    bool ok = found >= op->min && (op->max < 0 || found <= op->max);
    return ok || st_check_report(c, at, op->message);
}

struct text {
    const char *at;
    size_t len;
};

static int by_text(const void *x, const void *y)
{
    const struct text *a = x, *b = y;
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    return memcmp(a->at, b->at, a->len);
}

/* Sorting canonical texts: no pair of items is compared without need, and no chosen input makes it slow. */
/* Strings, of which few are compared faster with each other than sorted. */
static bool are_few_strings(const struct st_value *list)
{
    bool strings = list->count <= FEW_ITEMS;
    for (const struct st_value *item = list->first; item && strings; item = item->next)
        strings = item->type == JSON_STRING;
    return strings;
}

static bool all_differ(const struct st_value *list)
{
    for (const struct st_value *item = list->first; item; item = item->next)
        for (const struct st_value *other = item->next; other; other = other->next)
            if (item->len == other->len && memcmp(item->text, other->text, item->len) == 0)
                return false;
    return true;
}

bool st_check_unique(struct st_check *c, const struct st_op *op, const struct st_value *v, const struct st_path *at)
{
    size_t n = 0;
    bool ok = true;
    if (v->count < 2)
        return true;
    if (are_few_strings(v))
        return all_differ(v) || st_check_report(c, at, op->message);
    struct st_arena scratch = {0};
    struct st_buf all = ST_BUF(SIZE_MAX / 4); /* the value was bounded when it was read */
    struct text *texts = st_new_n(&scratch, struct text, v->count);
    for (const struct st_value *item = v->first; item; item = item->next, n++) {
        texts[n].len = all.len;
        st_value_canonical(item, &scratch, &all);
    }
    for (size_t i = 0; i < n; i++) {
        texts[i].at = all.data + texts[i].len;
        texts[i].len = (i + 1 < n ? texts[i + 1].len : all.len) - texts[i].len;
    }
    qsort(texts, n, sizeof(*texts), by_text);
    for (size_t i = 1; i < n && ok; i++)
        ok = by_text(&texts[i - 1], &texts[i]) != 0;
    bool within = st_check_step(c, at, all.len / 16);
    st_buf_release(&all);
    st_arena_release(&scratch);
    return within && (ok || st_check_report(c, at, op->message));
}

/* What the other keywords have evaluated. */

void st_marks_init(struct st_marks *m, struct st_arena *scratch, size_t n)
{
    m->n_words = (n + 63) / 64;
    bool fits = m->n_words <= ST_COUNT(m->few);
    m->words = fits ? memset(m->few, 0, sizeof(m->few)) : st_new_n(scratch, uint64_t, m->n_words);
}

void st_marks_set(struct st_marks *m, size_t i)
{
    m->words[i / 64] |= UINT64_C(1) << i % 64;
}

void st_marks_add(struct st_marks *m, const struct st_marks *more)
{
    for (size_t i = 0; i < m->n_words; i++)
        m->words[i] |= more->words[i];
}

bool st_check_unevaluated(struct st_check *c, const struct st_op *op, const struct st_value *v,
                          const struct st_path *at)
{
    bool ok = true;
    size_t i = 0;
    for (const struct st_value *child = v->first; child; child = child->next, i++) {
        struct st_path place = child->key ? member_at(at, child->key, child->key_len) : item_at(at, i);
        if (c->marks->words[i / 64] >> i % 64 & 1)
            continue;
        st_marks_set(c->marks, i);
        if (st_check_child(c, op->rest, child, &place))
            continue;
        ok = false;
        if (st_check_done(c))
            break;
    }
    return ok;
}
