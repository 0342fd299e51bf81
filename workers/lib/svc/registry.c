/* The event registry: a file of config/events for each type and major version. */
#include "svc/run.h"

#include <dirent.h>

enum { TYPES_MAX = 500 };

/* Of one type the newest version first. */
static int by_type(const void *a, const void *b)
{
    const struct st_event_type *x = a, *y = b;
    int order = strcmp(x->type, y->type);
    return order ? order : (y->major > x->major) - (y->major < x->major);
}

/* The first number of a semantic version; -1 when it is none. */
static int major_of(const char *version)
{
    int64_t n;
    size_t digits = strspn(version, "0123456789");
    char text[8];
    if (digits == 0 || digits >= sizeof(text) || version[digits] != '.')
        return -1;
    memcpy(text, version, digits);
    text[digits] = '\0';
    return st_parse_i64(text, 0, INT32_MAX, &n) ? (int)n : -1;
}

/* The text of a schema whose sensitive members may be anything, or missing: sealed, or gone with their key. */
static json_t *sealed_schema(struct st_arena *a, const json_t *file, const char *const *sensitive)
{
    json_t *schema = st_json_keep(a, json_deep_copy(file)), *properties = json_object_get(schema, "properties");
    json_t *required = json_object_get(schema, "required");
    json_object_del(schema, "minProperties");
    for (; *sensitive; sensitive++) {
        json_object_set_new(properties, *sensitive, json_true());
        for (size_t i = json_array_size(required); i-- > 0;)
            if (st_streq(json_string_value(json_array_get(required, i)), *sensitive))
                json_array_remove(required, i);
    }
    if (json_array_size(required) == 0)
        json_object_del(schema, "required");
    return schema;
}

/* x-sensitive and x-subject. */
static int load_sensitive(struct st_arena *a, const json_t *file, struct st_event_type *t, const char **ret_why)
{
    const json_t *names = json_object_get(file, "x-sensitive"), *properties = json_object_get(file, "properties");
    size_t n = json_array_size(names);
    const char *pointer = "", **list = st_new_n(a, const char *, n + 1);
    t->subject = st_json_str(file, "x-subject", NULL);
    for (size_t i = 0; i < n; i++)
        if (!(list[i] = json_string_value(json_array_get(names, i))) || !json_object_get(properties, list[i])) {
            *ret_why = "x-sensitive names what is no member";
            return ST_E_INVALID;
        }
    if (t->subject && !json_object_get(properties, t->subject)) {
        *ret_why = "x-subject names what is no member";
        return ST_E_INVALID;
    }
    if (n == 0)
        return 0;
    t->sensitive = list;
    return st_schema_compile(a, sealed_schema(a, file, list), "", &t->sealed, &pointer, ret_why);
}

static int load_type(struct st_arena *a, const char *path, struct st_event_type *ret, const char **ret_why)
{
    json_t *file;
    const char *pointer = "", *why = NULL;
    int r = st_json_load(a, path, &file, ret_why);
    if (r < 0)
        return r;
    *ret = (struct st_event_type){
        .type = st_json_str(file, "title", NULL),
        .topic = st_json_str(file, "x-topic", NULL),
        .service = st_json_str(file, "x-service", NULL),
        .aggregate_type = st_json_str(file, "x-aggregate", NULL),
        .version = st_json_str(file, "x-version", NULL),
        .audit = st_streq(st_json_str(file, "x-retention", ""), "audit"),
    };
    if (!ret->type || !ret->topic || !ret->service || !ret->aggregate_type || !ret->version) {
        *ret_why = st_printf(a, "%s: title, x-topic, x-service, x-aggregate and x-version are required", path);
        return ST_E_INVALID;
    }
    ret->major = major_of(ret->version);
    if (!st_ends(path, st_printf(a, "/%s.v%d.json", ret->type, ret->major))) {
        *ret_why = st_printf(a, "%s: title %s and x-version %s want the name %s.v%d.json", path, ret->type,
                             ret->version, ret->type, ret->major);
        return ST_E_INVALID;
    }
    r = st_schema_compile(a, file, "", &ret->payload, &pointer, &why);
    if (r == 0)
        r = load_sensitive(a, file, ret, &why);
    if (r < 0)
        *ret_why = st_printf(a, "%s#%s: %s", path, pointer, why);
    return r;
}

int st_registry_load(struct st_arena *a, const char *dir, const struct st_event_type **ret, int *ret_n,
                     const char **ret_why)
{
    struct st_event_type *types = st_new_n(a, struct st_event_type, TYPES_MAX);
    int n = 0, r = 0;
    DIR *d = opendir(dir);
    if (!d) {
        *ret_why = st_printf(a, "cannot open %s: %m", dir);
        return ST_E_INVALID;
    }
    for (struct dirent *e; r == 0 && (e = readdir(d));) {
        if (!st_ends(e->d_name, ".json"))
            continue;
        if (n == TYPES_MAX) {
            *ret_why = st_printf(a, "%s: more than %d event types", dir, TYPES_MAX);
            r = ST_E_INVALID;
            break;
        }
        r = load_type(a, st_printf(a, "%s/%s", dir, e->d_name), &types[n++], ret_why);
    }
    closedir(d);
    if (r < 0)
        return r;
    qsort(types, (size_t)n, sizeof(*types), by_type);
    *ret = types;
    *ret_n = n;
    return 0;
}

/* The first of its type. */
static const struct st_event_type *find(const struct st_run *run, const char *type)
{
    int from = 0, to = run->n_types;
    while (from < to) {
        int middle = from + (to - from) / 2;
        if (strcmp(run->types[middle].type, type) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from < run->n_types && st_streq(run->types[from].type, type) ? &run->types[from] : NULL;
}

const struct st_event_type *st_run_event_type(const struct st_run *run, const char *type)
{
    return find(run, type);
}

const struct st_event_type *st_run_event_version(const struct st_run *run, const char *type, const char *version)
{
    int major = major_of(version);
    for (const struct st_event_type *t = find(run, type); t && t < run->types + run->n_types; t++) {
        if (!st_streq(t->type, type))
            break;
        if (t->major == major)
            return t;
    }
    return NULL;
}
