/*
 * storyctl events diff: may this registry follow that one?
 *
 * Events live long: what was written in an older version of a schema is read by a newer one (from the log, from an
 * archive), and while services are updated one by one a newer event meets an older reader. So within a major version
 * nothing that was said may change, and new members must be optional.
 */
#include "storyctl/ctl_events.h"

enum { DEPTH = 64 };

struct diff {
    struct ctl *c;
    json_t *notes; /* [{type, breaking, where, what}] */
    const char *key;
    bool broken;
};

static void note(struct diff *d, bool breaking, const char *where, const char *what)
{
    json_array_append_new(d->notes, json_pack("{s:s, s:b, s:s, s:s}", "type", d->key, "breaking", breaking, "where",
                                              where, "what", what));
    d->broken |= breaking;
    if (!d->c->json)
        printf("%-8s  %s%s%s: %s\n", breaking ? "BREAKS" : "fits", d->key, *where ? " " : "", where, what);
}

/* May change freely: words for people, and what concerns storage. */
static bool is_remark(const char *name)
{
    static const char *const names[] = {"description", "$comment",    "examples",    "$id",
                                        "x-version",   "x-retention", "x-sensitive", "x-subject"};
    for (size_t i = 0; i < ST_COUNT(names); i++)
        if (st_streq(name, names[i]))
            return true;
    return false;
}

static void compare(struct diff *d, const json_t *before, const json_t *after, const char *where, int depth);

static void compare_members(struct diff *d, const json_t *before, const json_t *after, const char *where, int depth)
{
    const json_t *old = json_object_get(before, "properties"), *new = json_object_get(after, "properties");
    const char *name;
    json_t *member;
    json_object_foreach ((json_t *)old, name, member) {
        const char *at = st_json_pointer(d->c->arena, where, name);
        if (!json_object_get(new, name))
            note(d, true, at, "is gone");
        else
            compare(d, member, json_object_get(new, name), at, depth + 1);
    }
    json_object_foreach ((json_t *)new, name, member)
        if (!json_object_get(old, name))
            note(d, false, st_json_pointer(d->c->arena, where, name), "is new");
}

/* A schema says the same as before but for remarks and members that are new; whether those are required shows in
 * `required`, which is compared as any keyword is. */
static void compare(struct diff *d, const json_t *before, const json_t *after, const char *where, int depth)
{
    const char *name;
    json_t *value;
    if (depth == DEPTH || json_equal(before, after))
        return;
    if (!json_is_object(before) || !json_is_object(after)) {
        note(d, true, where, "has changed");
        return;
    }
    compare_members(d, before, after, where, depth);
    json_object_foreach ((json_t *)before, name, value) {
        const json_t *other = json_object_get(after, name);
        if (is_remark(name) || st_streq(name, "properties") || json_equal(value, other))
            continue;
        if (st_streq(name, "items"))
            compare(d, value, other, st_json_pointer(d->c->arena, where, "items"), depth + 1);
        else
            note(d, true, where,
                 st_printf(d->c->arena, "%s was %s and is %s", name, st_json_text(d->c->arena, value),
                           other ? st_json_text(d->c->arena, other) : "gone"));
    }
    json_object_foreach ((json_t *)after, name, value)
        if (!is_remark(name) && !st_streq(name, "properties") && !json_object_get(before, name))
            note(d, true, where, st_printf(d->c->arena, "%s is new: %s", name, st_json_text(d->c->arena, value)));
}

static const json_t *by_key(const json_t *registry, const char *key)
{
    size_t i;
    json_t *schema;
    json_array_foreach (registry, i, schema)
        if (st_streq(st_json_str(schema, "x-key", ""), key))
            return schema;
    return NULL;
}

int ctl_events_diff(struct ctl *c)
{
    struct diff d = {.c = c};
    size_t i;
    json_t *schema;
    if (c->argc != 3)
        return ctl_usage("expected: events diff OLD NEW");
    json_t *old = ctl_registry(c, c->argv[1]), *new = old ? ctl_registry(c, c->argv[2]) : NULL;
    if (!new)
        return 2;
    d.notes = st_json_keep(c->arena, json_array());
    json_array_foreach (old, i, schema) {
        d.key = st_json_str(schema, "x-key", "");
        if (!by_key(new, d.key))
            note(&d, true, "", "is gone");
        else
            compare(&d, schema, by_key(new, d.key), "", 0);
    }
    json_array_foreach (new, i, schema)
        if (!by_key(old, d.key = st_json_str(schema, "x-key", "")))
            note(&d, false, "", "is new");
    if (c->json)
        ctl_print_json(c, json_incref(d.notes));
    return d.broken ? 1 : 0;
}
