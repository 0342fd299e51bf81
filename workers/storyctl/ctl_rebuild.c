/* storyctl rebuild: has a service's daemon make its tables anew from the log, and shows how far it is. */
#include "storyctl/storyctl.h"

#include "base/spawn.h"

#include <unistd.h>

enum { ENV_MAX = 128, TIMEOUT_S = 24 * 3600 };

struct progress {
    struct ctl *c;
    bool terminal;
    json_t *examples;
    json_t *result; /* the last line, when it came */
};

static const char *const phases[][2] = {{"project", "from the log"}, {"swap", "exchanging"}, {"compare", "comparing"}};

static void show(const struct progress *p, const json_t *line)
{
    int64_t done = st_json_int(line, "done", 0), total = st_json_int(line, "total", 0);
    const char *name = "";
    for (size_t i = 0; i < ST_COUNT(phases); i++)
        if (st_streq(phases[i][0], st_json_str(line, "phase", "")))
            name = phases[i][1];
    if (p->terminal)
        ctl_bar(name, done, total);
}

static void on_line(void *arg, const char *text)
{
    struct progress *p = arg;
    const char *why;
    json_t *line;
    if (st_json_parse(p->c->arena, text, strlen(text), ST_JSON_DEPTH, &line, &why) < 0)
        return;
    if (st_streq(st_json_str(line, "result", ""), "example"))
        json_array_append(p->examples, line);
    else if (st_json_str(line, "result", NULL))
        p->result = line;
    else
        show(p, line);
}

/* The lines of the service's env file; false when there is none. */
static bool environment(struct ctl *c, const char *service, const char *ret[ENV_MAX + 1])
{
    char line[4096];
    int n = 0;
    FILE *f = fopen(st_printf(c->arena, "%s/%s.env", c->env_dir, service), "re");
    while (f && n < ENV_MAX && fgets(line, sizeof(line), f)) {
        size_t len = strcspn(line, "=");
        if (!st_starts(line, "ST_") || line[len] != '=')
            continue;
        const char *name = st_strndup(c->arena, line, len);
        ret[n++] = st_printf(c->arena, "%s=%s", name, ctl_env(c, service, name));
    }
    if (f)
        fclose(f);
    ret[n] = NULL;
    return f != NULL;
}

static void print_table(const json_t *table, const json_t *examples)
{
    int64_t extra = st_json_int(table, "onlyInTable", 0), missing = st_json_int(table, "onlyInLog", 0);
    const char *name = st_json_str(table, "table", "");
    json_t *example;
    size_t i;
    printf("  %-24s %10lld rows  ", name, (long long)st_json_int(table, "rows", 0));
    if (extra || missing)
        printf("%lld are not what the log says, which has %lld others\n", (long long)extra, (long long)missing);
    else
        puts("same");
    json_array_foreach (examples, i, example)
        if (st_streq(st_json_str(example, "table", ""), name))
            printf("    in the %-6s %s\n", st_json_str(example, "in", ""), st_json_str(example, "row", ""));
}

static int print(struct ctl *c, const struct progress *p)
{
    bool same = st_json_bool(p->result, "same", false);
    const char *service = st_json_str(p->result, "service", "");
    long long events = (long long)st_json_int(p->result, "events", 0);
    json_t *table;
    size_t i;
    if (c->json) {
        json_object_set(p->result, "examples", p->examples);
        ctl_print_json(c, json_incref(p->result));
        return same ? 0 : 1;
    }
    if (st_streq(st_json_str(p->result, "result", ""), "rebuilt"))
        printf("%s: the tables are as %lld events of its log make them\n", service, events);
    else
        printf("%s: %s what %lld events of its log make of them\n", service,
               same ? "the tables are" : "not all rows are", events);
    json_array_foreach (json_object_get(p->result, "tables"), i, table)
        print_table(table, p->examples);
    return same ? 0 : 1;
}

static int rebuild(struct ctl *c, const char *service, bool check, const char *bin)
{
    const char *env[ENV_MAX + 1], *daemon = st_printf(c->arena, "%s/%sd", bin, service);
    const char *const argv[] = {daemon, "--rebuild", check ? "--check" : NULL, NULL};
    struct progress p = {.c = c, .terminal = isatty(STDERR_FILENO), .examples = st_json_keep(c->arena, json_array())};
    struct st_spawn_result out;
    if (!ctl_env(c, service, "ST_DATABASE") || !environment(c, service, env))
        return ctl_error("there is no service %s in %s", service, c->env_dir);
    int r = st_spawn(
        c->arena,
        &(struct st_spawn){
            .argv = argv, .env = env, .timeout_us = TIMEOUT_S * (int64_t)ST_SECOND, .on_line = on_line, .arg = &p},
        &out);
    if (p.terminal)
        ctl_bar(NULL, 0, 0);
    const char *why = p.result ? st_json_str(p.result, "error", NULL) : NULL;
    if (why || r != 0 || !p.result)
        return ctl_error("%s: %s; the tables are as they were", service, why ? why : r < 0 ? st_err_title(r) : out.err);
    return print(c, &p);
}

int ctl_rebuild(struct ctl *c)
{
    bool check = ctl_flag(c, "--check");
    const char *bin = ctl_option(c, "--bin");
    if (c->argc != 1)
        return ctl_usage("expected: rebuild SERVICE [--check]");
    return rebuild(c, c->argv[0], check, bin ? bin : ctl_daemons(c));
}
