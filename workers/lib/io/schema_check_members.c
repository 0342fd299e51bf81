/* The operations of JSON Schema on objects and arrays. */
#include "io/schema_impl.h"

static struct st_path member_at(const struct st_path *up, const char *key, size_t len)
{
    return (struct st_path){.up = up, .key = key, .len = len};
}

static struct st_path item_at(const struct st_path *up, size_t index)
{
    return (struct st_path){.up = up, .index = index};
}

bool st_check_min_members(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    return json_object_size(j) >= (size_t)op->min || st_check_report(c, at, op->message);
}

bool st_check_max_members(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    return json_object_size(j) <= (size_t)op->min || st_check_report(c, at, op->message);
}

bool st_check_required(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    bool ok = true;
    for (int i = 0; i < op->n_strings && (ok || !st_check_done(c)); i++) {
        struct st_path member = member_at(at, op->strings[i], strlen(op->strings[i]));
        if (!json_object_get(j, op->strings[i]))
            ok = st_check_report(c, &member, "is required");
    }
    return ok;
}

bool st_check_dependent_required(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    bool ok = true;
    const char *name;
    const json_t *list, *needed;
    size_t i;
    json_object_foreach ((json_t *)op->value, name, list) {
        if (!json_object_get(j, name))
            continue;
        json_array_foreach ((json_t *)list, i, needed) {
            const char *other = json_string_value(needed);
            struct st_path member = member_at(at, other, strlen(other));
            if (!json_object_get(j, other))
                ok = st_check_report(c, &member, st_printf(c->arena, "is required together with %s", name));
        }
    }
    return ok;
}

bool st_check_dependent_schemas(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    bool ok = true;
    const char *name;
    const json_t *index;
    json_object_foreach (op->names, name, index) {
        if (!json_object_get(j, name) || st_check_eval(c, op->subs[json_integer_value(index)], j, at))
            continue;
        ok = false;
        if (st_check_done(c))
            break;
    }
    return ok;
}

static bool check_member(struct st_check *c, const struct st_op *op, const char *key, size_t len, const json_t *value,
                         const struct st_path *at)
{
    struct st_path member = member_at(at, key, len);
    const json_t *index = op->names ? json_object_getn(op->names, key, len) : NULL;
    bool matched = index, ok = true;
    if (index)
        ok = st_check_eval(c, op->subs[json_integer_value(index)], value, &member);
    for (int i = 0; i < op->n_patterns && (ok || !st_check_done(c)); i++) {
        int r = st_pattern_match(op->patterns[i], key, len);
        if (r < 0)
            return st_check_give_up(c, &member, "has a name that is too long to be matched");
        if (!r)
            continue;
        matched = true;
        ok = st_check_eval(c, op->subs[op->n_names + i], value, &member) && ok;
    }
    return !matched && op->rest ? st_check_eval(c, op->rest, value, &member) : ok;
}

bool st_check_members(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    bool ok = true;
    json_t *object = (json_t *)j;
    if (!st_check_step(c, at, json_object_size(j) * (size_t)(1 + op->n_patterns)))
        return false;
    for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it)) {
        if (check_member(c, op, json_object_iter_key(it), json_object_iter_key_len(it), json_object_iter_value(it), at))
            continue;
        ok = false;
        if (st_check_done(c))
            break;
    }
    return ok;
}

/* The name is checked as a string; what is wrong with it is told of the member. */
static bool check_name(struct st_check *c, const struct st_op *op, const char *key, size_t len,
                       const struct st_path *member)
{
    json_t *name = json_stringn_nocheck(key, len);
    if (!name)
        abort();
    bool ok = st_check_probe(c, op->subs[0], name, member);
    if (!ok && !st_check_done(c)) {
        struct st_schema_errors *errors = c->errors, found = {.count = 0};
        c->errors = &found;
        (void)st_check_eval(c, op->subs[0], name, member);
        c->errors = errors;
        for (int i = 0; i < found.count; i++)
            st_check_report(c, member, st_printf(c->arena, "has a name that %s", found.list[i].message));
    }
    json_decref(name);
    return ok;
}

bool st_check_member_names(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    bool ok = true;
    json_t *object = (json_t *)j;
    for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it)) {
        const char *key = json_object_iter_key(it);
        size_t len = json_object_iter_key_len(it);
        struct st_path member = member_at(at, key, len);
        if (check_name(c, op, key, len, &member))
            continue;
        ok = false;
        if (st_check_done(c))
            break;
    }
    return ok;
}

bool st_check_min_items(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    return json_array_size(j) >= (size_t)op->min || st_check_report(c, at, op->message);
}

bool st_check_max_items(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    return json_array_size(j) <= (size_t)op->min || st_check_report(c, at, op->message);
}

bool st_check_items(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    bool ok = true;
    for (size_t i = 0, n = json_array_size(j); i < n; i++) {
        const struct st_schema *s = i < (size_t)op->n_subs ? op->subs[i] : op->rest;
        struct st_path item = item_at(at, i);
        if (!s)
            break;
        if (st_check_eval(c, s, json_array_get(j, i), &item))
            continue;
        ok = false;
        if (st_check_done(c))
            break;
    }
    return ok;
}

bool st_check_contains(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    int64_t found = 0;
    for (size_t i = 0, n = json_array_size(j); i < n && (op->max < 0 || found <= op->max); i++) {
        struct st_path item = item_at(at, i);
        found += st_check_probe(c, op->subs[0], json_array_get(j, i), &item);
        if (op->max < 0 && found >= op->min)
            break;
    }
    bool ok = found >= op->min && (op->max < 0 || found <= op->max);
    return ok || st_check_report(c, at, op->message);
}

static int by_text(const void *x, const void *y)
{
    const char *const *a = x, *const *b = y;
    return strcmp(*a, *b);
}

/* Sorting canonical texts: no pair of items is compared without need, and no chosen input makes it slow. */
bool st_check_unique(struct st_check *c, const struct st_op *op, const json_t *j, const struct st_path *at)
{
    size_t n = json_array_size(j), length = 0;
    bool ok = true;
    if (n < 2)
        return true;
    struct st_arena scratch = {0};
    const char **texts = st_new_n(&scratch, const char *, n);
    for (size_t i = 0; i < n; i++) {
        texts[i] = st_json_canonical(&scratch, json_array_get(j, i));
        length += strlen(texts[i]);
    }
    qsort(texts, n, sizeof(*texts), by_text);
    for (size_t i = 1; i < n && ok; i++)
        ok = strcmp(texts[i - 1], texts[i]) != 0;
    st_arena_release(&scratch);
    if (!st_check_step(c, at, length / 16))
        return false;
    return ok || st_check_report(c, at, op->message);
}
