/*
 * Contracts in several files. What a `$ref` names in another file is taken into the components of the file that refers
 * to it, with all that it needs itself; then every reference is one within the document. Files that refer to each
 * other in a circle are nothing special. A file is read once.
 */
#include "io/openapi_impl.h"

#include <limits.h>

enum { FILES = 256, COMPONENTS = 4096 }; /* at most: files of an API, components of others in one of them */

typedef void ref_fn(struct st_contract *into, struct st_contract *from, json_t *holder, const char *pointer);

static bool is_one_of(const char *s, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(s, *list) == 0)
            return true;
    return false;
}

/*
 * Calls fn for every object below json that is a reference. Data are no place for references; names that people have
 * chosen are no keywords.
 */
static void each_ref(struct st_contract *into, struct st_contract *from, json_t *json, const char *pointer, bool names,
                     ref_fn *fn)
{
    static const char *const data[] = {"enum", "const", "default", "example", "examples", NULL};
    static const char *const maps[] = {"properties", "patternProperties", "$defs", "dependentSchemas", "schemas", NULL};
    const char *key;
    json_t *value;
    size_t i;
    if (!names && json_is_string(json_object_get(json, "$ref")))
        fn(into, from, json, pointer);
    json_object_foreach (json, key, value) {
        if ((json_is_object(value) || json_is_array(value)) && (names || !is_one_of(key, data)))
            each_ref(into, from, value, st_json_pointer(into->r->arena, pointer, key), !names && is_one_of(key, maps),
                     fn);
    }
    json_array_foreach (json, i, value)
        if (json_is_object(value) || json_is_array(value))
            each_ref(into, from, value, st_printf(into->r->arena, "%s/%zu", pointer, i), false, fn);
}

/* --- files --- */

static const char *folder_of(struct st_arena *a, const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? st_strndup(a, path, (size_t)(slash - path)) : ".";
}

/* The name by which a file is known, whatever path leads to it. */
static const char *real_name(struct st_arena *a, const char *path)
{
    char real[PATH_MAX];
    return st_strdup(a, realpath(path, real) ? real : path);
}

static struct st_contract *load(struct st_api_reader *r, const char *path, const char *real, const char **ret_why)
{
    struct st_contract *c = st_new(r->arena, struct st_contract);
    c->r = r;
    c->pulled = st_json_keep(r->arena, json_object());
    if (st_yaml_load(r->arena, path, &c->yaml, ret_why) < 0)
        return NULL;
    if (!r->files)
        r->files = st_new_n(r->arena, struct st_contract *, FILES);
    json_object_set_new(r->file_index, real, json_integer(r->n_files));
    r->files[r->n_files++] = c;
    return c;
}

struct st_contract *st_contract_open(struct st_api_reader *r, const char *path, const char **ret_why)
{
    const char *real = real_name(r->arena, path);
    if (r->n_files == FILES || json_object_get(r->file_index, real)) {
        *ret_why = st_printf(r->arena, "%s: %s", path, r->n_files == FILES ? "too many files" : "is there twice");
        return NULL;
    }
    json_object_set_new(r->folders, folder_of(r->arena, real), json_true());
    return load(r, path, real, ret_why);
}

/* Within the folders of the contracts, so that a contract cannot make anybody read other files. */
static bool is_within(struct st_api_reader *r, const char *real)
{
    const char *folder;
    json_t *value;
    json_object_foreach (r->folders, folder, value) {
        size_t n = strlen(folder);
        if (strncmp(real, folder, n) == 0 && real[n] == '/')
            return true;
    }
    return false;
}

/* The file that a reference in `from` names: relative to it. NULL after a mistake. */
static struct st_contract *referred(struct st_contract *from, const char *name, const char *pointer)
{
    struct st_api_reader *r = from->r;
    const char *path = st_printf(r->arena, "%s/%s", folder_of(r->arena, from->yaml.path), name), *why;
    if (!*name || *name == '/' || strpbrk(name, ":%?\\")) {
        st_contract_mistake(from, pointer, "$ref: another file is named by a relative path, not by %.200s", name);
        return NULL;
    }
    const char *real = real_name(r->arena, path);
    const json_t *known = json_object_get(r->file_index, real);
    if (known)
        return r->files[json_integer_value(known)];
    if (!is_within(r, real)) {
        st_contract_mistake(from, pointer, "$ref: %.200s is not within the folders of the contracts", name);
        return NULL;
    }
    struct st_contract *c = r->n_files < FILES ? load(r, path, real, &why) : NULL;
    if (!c)
        st_contract_mistake(from, pointer, "$ref: %s", r->n_files < FILES ? why : "too many files");
    return c;
}

/* --- components --- */

/* "/components/schemas/Story" of "#/components/schemas/Story/properties/id"; NULL: it names no component. */
static const char *component_of(struct st_arena *a, const char *fragment)
{
    static const char components[] = "/components/";
    if (!st_starts(fragment, components))
        return NULL;
    size_t section = strcspn(fragment + strlen(components), "/");
    const char *name = fragment + strlen(components) + section;
    size_t len = *name ? strcspn(name + 1, "/") : 0;
    return section && len ? st_strndup(a, fragment, (size_t)(name + 1 + len - fragment)) : NULL;
}

static void pull(struct st_contract *into, struct st_contract *from, json_t *holder, const char *pointer)
{
    struct st_api_reader *r = into->r;
    const char *ref = st_json_str(holder, "$ref", ""), *hash = strchrnul(ref, '#');
    struct st_contract *target = from;
    r->outside = r->outside || *ref != '#';
    if (*ref != '#' && !(target = referred(from, st_strndup(r->arena, ref, (size_t)(hash - ref)), pointer)))
        return;
    const char *at = *hash ? component_of(r->arena, hash + 1) : NULL;
    if (target == into)
        return; /* what is wrong with it is told where it is used */
    json_t *json = at ? st_json_at(target->yaml.root, at) : NULL;
    if (!at || !json) {
        st_contract_mistake(from, pointer, at ? "$ref: there is no %.200s" : "$ref: %.200s is not #/components/…", ref);
        return;
    }
    const json_t *before = json_object_get(into->pulled, at);
    const json_t *own = st_json_at(into->yaml.root, at);
    if (before ? r->files[json_integer_value(before)] != target : own && !json_equal(own, json))
        st_contract_mistake(from, pointer, "$ref: there is another %s in %s", at, into->yaml.path);
    if (before || own)
        return;
    if (json_object_size(into->pulled) == COMPONENTS) {
        st_contract_mistake(from, pointer, "$ref: more than %d components of other files", COMPONENTS);
        return;
    }
    int i = 0;
    while (r->files[i] != target)
        i++;
    into->queue[json_object_size(into->pulled)] = at;
    json_object_set_new(into->pulled, at, json_integer(i));
}

/* All that a contract needs of others: what it refers to itself, then what that refers to, and so on. */
static void pull_all(struct st_contract *c)
{
    c->queue = st_new_n(c->r->arena, const char *, COMPONENTS);
    each_ref(c, c, c->yaml.root, "", false, pull);
    for (size_t i = 0; i < json_object_size(c->pulled); i++) {
        struct st_contract *from = c->r->files[json_integer_value(json_object_get(c->pulled, c->queue[i]))];
        each_ref(c, from, st_json_at(from->yaml.root, c->queue[i]), c->queue[i], false, pull);
    }
}

static void add_pulled(struct st_contract *c)
{
    const char *at;
    json_t *index;
    json_object_foreach (c->pulled, at, index) {
        const char *section, *name, *rest = st_json_token(c->r->arena, at, &section); /* "components" */
        rest = st_json_token(c->r->arena, rest, &section);
        (void)st_json_token(c->r->arena, rest, &name);
        json_t *entries = st_contract_member_object(st_contract_member_object(c->yaml.root, "components"), section);
        json_object_set(entries, name, st_json_at(c->r->files[json_integer_value(index)]->yaml.root, at));
    }
}

static void make_local(struct st_contract *into, struct st_contract *from, json_t *holder, const char *pointer)
{
    (void)into, (void)from, (void)pointer;
    const char *ref = st_json_str(holder, "$ref", ""), *hash = strchr(ref, '#');
    if (hash && hash > ref)
        json_object_set_new(holder, "$ref", json_string(hash));
}

void st_contract_bundle(struct st_api_reader *r)
{
    int n_contracts = r->n_files;
    for (int i = 0; i < n_contracts; i++)
        pull_all(r->files[i]);
    if (!r->outside || r->mistakes)
        return;
    for (int i = 0; i < n_contracts; i++)
        add_pulled(r->files[i]);
    for (int i = 0; i < r->n_files; i++)
        each_ref(r->files[i], r->files[i], r->files[i]->yaml.root, "", false, make_local);
}

const char *st_contract_place(struct st_contract *c, const char *pointer)
{
    const char *at = component_of(c->r->arena, pointer);
    const json_t *index = at ? json_object_get(c->pulled, at) : NULL;
    if (index)
        c = c->r->files[json_integer_value(index)];
    return st_printf(c->r->arena, "%s:%d", c->yaml.path, st_yaml_line(&c->yaml, pointer));
}
