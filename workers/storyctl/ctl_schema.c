/* storyctl schema validate: a document against a schema, by the code that the edge and the services use. */
#include "io/schema.h"
#include "io/yaml.h"
#include "storyctl/storyctl.h"

#include <errno.h>

enum { VALID = 0, INVALID = 1, NO_VERDICT = 2, PIECE = 64 * 1024, DEPTH = 512 };

static int no_verdict(const char *what, const char *why)
{
    ctl_error("%s: %s", what, why);
    return NO_VERDICT;
}

static int read_all(struct ctl *c, const char *path, char **ret, size_t *ret_len, const char **ret_why)
{
    if (!st_streq(path, "-"))
        return st_file_read(c->arena, path, ret, ret_len, ret_why);
    struct st_buf b = ST_BUF(ST_FILE_MAX);
    char *piece = st_alloc(c->arena, PIECE);
    size_t n;
    while (!b.failed && (n = fread(piece, 1, PIECE, stdin)) > 0)
        st_buf_add(&b, piece, n);
    bool ok = !b.failed && !ferror(stdin);
    *ret_why = b.failed ? "standard input: is larger than 16 MiB" : st_printf(c->arena, "standard input: %m");
    *ret = st_strndup(c->arena, b.len ? b.data : "", b.len);
    *ret_len = b.len;
    st_buf_release(&b);
    return ok ? 0 : ST_E_INVALID;
}

/* JSON, or else YAML, whose reader knows less of JSON's escapes. */
static json_t *read_schema(struct ctl *c, const char *path, const char **ret_why)
{
    char *text;
    size_t len;
    struct st_yaml yaml;
    const struct st_value *value;
    const char *why;
    if (st_file_read(c->arena, path, &text, &len, ret_why) < 0)
        return NULL;
    bool is_json = len && (*text == '{' || st_ends(path, ".json"));
    if (st_value_parse(c->arena, text, len, ST_JSON_DEPTH, true, &value, &why) == 0) {
        json_error_t e;
        json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
        if (j && st_value_equal(value, st_value_from_json(c->arena, st_json_keep(c->arena, j))))
            return j;
        is_json = true;
        why = j ? "has a number with more digits than can be told apart"
                : st_printf(c->arena, "has a number that is too big, or a name with \\u0000 (line %d)", e.line);
    }
    if (!is_json && st_yaml_parse(c->arena, path, text, len, &yaml, ret_why) == 0)
        return yaml.root;
    if (is_json)
        *ret_why = st_printf(c->arena, "%s: %s", path, why);
    return NULL;
}

/* Splits SCHEMA#/pointer, and compiles. NULL: *ret_why says where and why not. */
static const struct st_schema *compile(struct ctl *c, const char *name, const char **ret_why)
{
    const char *hash = strchr(name, '#'), *at, *why;
    const char *path = hash ? st_strndup(c->arena, name, (size_t)(hash - name)) : name;
    const char *pointer = hash ? st_url_decode(c->arena, hash + 1, strlen(hash + 1), false) : "";
    const struct st_schema *s;
    const json_t *document = read_schema(c, path, ret_why);
    if (!document)
        return NULL;
    if (!pointer || st_schema_compile(c->arena, document, pointer, &s, &at, &why) < 0) {
        *ret_why = pointer ? st_printf(c->arena, "%s: at #%s: %s", path, at, why) : "the pointer is not readable";
        return NULL;
    }
    return s;
}

static void print_errors(struct ctl *c, const struct st_schema_errors *errors)
{
    json_t *list = json_array();
    for (int i = 0; i < errors->count; i++) {
        const struct st_schema_error *e = &errors->list[i];
        if (c->json)
            json_array_append_new(list, json_pack("{s:s, s:s}", "pointer", e->pointer, "message", e->message));
        else
            printf("%s: %s\n", e->pointer, e->message);
    }
    if (c->json)
        ctl_print_json(c, list);
    else
        json_decref(list);
}

int ctl_schema(struct ctl *c)
{
    struct st_schema_errors errors;
    const struct st_value *instance;
    const char *why;
    char *text;
    size_t len;
    if (c->argc != 3 || !st_streq(c->argv[0], "validate"))
        return ctl_usage("expected: schema validate SCHEMA FILE");
    const char *name = c->argv[1], *path = c->argv[2];
    const struct st_schema *s = compile(c, name, &why);
    if (!s)
        return no_verdict("the schema cannot be used", why);
    if (read_all(c, path, &text, &len, &why) < 0)
        return no_verdict("the document cannot be read", why);
    if (st_value_parse(c->arena, text, len, DEPTH, true, &instance, &why) < 0)
        return no_verdict(path, why);
    int r = st_schema_check_value(s, instance, c->arena, &errors);
    if (errors.undecided)
        return no_verdict(path, st_printf(c->arena, "at #%s: %s", errors.list[0].pointer, errors.list[0].message));
    print_errors(c, &errors);
    return r < 0 ? INVALID : VALID;
}
