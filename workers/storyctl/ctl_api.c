/* storyctl api lint: contracts by the reader of the edge and the services; storyctl api diff begins here. */
#include "storyctl/ctl_api.h"

#include <dirent.h>
#include <sys/stat.h>

enum { FILES_MAX = 256 };

struct files {
    const char *list[FILES_MAX];
    int n;
};

static bool is_contract(const char *name)
{
    return st_ends(name, ".yaml") || st_ends(name, ".yml") || st_ends(name, ".json");
}

static int only_contracts(const struct dirent *e)
{
    return e->d_name[0] != '.' && is_contract(e->d_name);
}

static const char *add_folder(struct st_arena *a, const char *path, struct files *files)
{
    struct dirent **entries;
    int n = scandir(path, &entries, only_contracts, alphasort);
    if (n < 0)
        return st_printf(a, "%s: %m", path);
    for (int i = 0; i < n; i++) {
        if (files->n < FILES_MAX)
            files->list[files->n++] = st_printf(a, "%s/%s", path, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return n ? NULL : st_printf(a, "%s: there is no contract in this folder", path);
}

struct st_api *ctl_api_load(struct st_arena *a, char *const *paths, int n, const char **ret_why)
{
    struct files files = {.n = 0};
    struct st_api *api = NULL;
    for (int i = 0; i < n; i++) {
        struct stat st;
        const char *why = NULL;
        if (stat(paths[i], &st) == 0 && S_ISDIR(st.st_mode))
            why = add_folder(a, paths[i], &files);
        else if (files.n < FILES_MAX)
            files.list[files.n++] = paths[i];
        if (why || files.n == FILES_MAX) {
            *ret_why = why ? why : st_printf(a, "%s: more than %d files", paths[i], FILES_MAX - 1);
            return NULL;
        }
    }
    return st_api_load(a, files.list, files.n, &api, ret_why) < 0 ? NULL : api;
}

/* --- lint --- */

/* "file:line: reason" as an object; a reason without a place has neither. */
static json_t *as_json(struct st_arena *a, const char *line, size_t len)
{
    const char *text = st_strndup(a, line, len), *reason = strstr(text, ": ");
    const char *colon = reason ? memrchr(text, ':', (size_t)(reason - text)) : NULL;
    int64_t number;
    json_t *j = json_object();
    if (colon && st_parse_i64(st_strndup(a, colon + 1, (size_t)(reason - colon - 1)), 1, INT32_MAX, &number)) {
        json_object_set_new(j, "file", json_stringn(text, (size_t)(colon - text)));
        json_object_set_new(j, "line", json_integer(number));
        text = reason + 2;
    }
    /* A name that was cut in the middle of a character is no text any more. */
    json_object_set_new(j, "reason", json_string(st_utf8_valid(text, strlen(text)) ? text : "has a long name"));
    return j;
}

static json_t *lines_as_json(struct st_arena *a, const char *lines)
{
    json_t *list = json_array();
    while (lines && *lines) {
        size_t n = strcspn(lines, "\n");
        json_array_append_new(list, as_json(a, lines, n));
        lines += n + (lines[n] == '\n');
    }
    return list;
}

static bool is_limited_by_address(const struct st_api_operation *op)
{
    for (int i = 0; i < op->n_limits; i++)
        if (op->limits[i].by == ST_BY_ADDRESS)
            return true;
    return false;
}

/* What is allowed and still rarely meant. */
static const char *warnings(struct st_arena *a, const struct st_api *api)
{
    struct st_buf b = ST_BUF(1 << 20);
    for (int i = 0; i < api->n_operations; i++) {
        const struct st_api_operation *op = &api->operations[i];
        int64_t sunset;
        if (!op->authenticated && op->method != ST_GET && !is_limited_by_address(op))
            st_buf_printf(
                &b, "%s:%d: warning: anybody may call %s, and as often as they like: it has no limit by address\n",
                op->file, op->line, op->id);
        if (op->sunset && st_time_parse(op->sunset, &sunset) && sunset < st_now())
            st_buf_printf(&b, "%s:%d: warning: the sunset of %s has passed\n", op->file, op->line, op->id);
    }
    const char *text = st_strndup(a, b.len ? b.data : "", b.len);
    st_buf_release(&b);
    return text;
}

static int lint(struct ctl *c)
{
    const char *why = NULL;
    const struct st_api *api = ctl_api_load(c->arena, c->argv, c->argc, &why);
    const char *warned = api ? warnings(c->arena, api) : "";
    if (c->json) {
        ctl_print_json(c, json_pack("{s:b,s:i,s:o,s:o}", "valid", api != NULL, "operations",
                                    api ? api->n_operations : 0, "mistakes", lines_as_json(c->arena, why), "warnings",
                                    lines_as_json(c->arena, warned)));
    } else if (api) {
        printf("%s%d operations of %d services, nothing is wrong\n", warned, api->n_operations, api->n_services);
    } else {
        puts(why);
    }
    return api ? 0 : 1;
}

int ctl_api(struct ctl *c)
{
    const char *verb = c->argc ? c->argv[0] : "";
    if (st_streq(verb, "lint") && c->argc > 1) {
        c->argc--;
        c->argv++;
        return lint(c);
    }
    if (st_streq(verb, "diff") && c->argc == 3)
        return ctl_api_diff(c, c->argv[1], c->argv[2]);
    return ctl_usage("expected: api lint FILE..., or api diff OLD NEW");
}
