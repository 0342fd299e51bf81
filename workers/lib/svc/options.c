/* Options from the file and the environment. */
#include "svc/options.h"

#include <ctype.h>

enum { OPTIONS_MAX = 64 };

static const struct st_option library[] = {
    {"config_dir", "config"},
    {"run_dir", NULL},
    {"database", NULL},
    {"redis", NULL},
    {"bus", "redis"},
    {"edge_key_file", NULL},
    {"store", "local"},
    {"object_dir", NULL},
    {"object_grace_hours", "24"},
    {"s3_url", ""},
    {"s3_region", "us-east-1"},
    {"s3_key_id", ""},
    {"s3_secret", ""},
    {"public_url", "https://localhost:8443"},
    {"user", ""},
    {"roles", "api,events,jobs"},
    {"http_threads", "4"},
    {"log_level", "info"},
    {"drain_seconds", "30"},
    {"bus_retention_hours", "168"},
    {"bus_retention_entries", "50000"},
    {"trace_endpoint", ""},
    {"event_batch", "500"},
    {0},
};

static struct {
    const char *name, *value;
} values[OPTIONS_MAX];
static int n_values;
static struct st_arena arena;

const char *st_option(const char *name)
{
    for (int i = 0; i < n_values; i++)
        if (st_streq(values[i].name, name))
            return values[i].value;
    abort(); /* an option that is in no table is a mistake in the code */
}

int64_t st_option_int(const char *name)
{
    int64_t n;
    if (!st_parse_i64(st_option(name), 0, INT64_MAX, &n))
        abort();
    return n;
}

static const char *from_environment(const char *name)
{
    char *env = st_printf(&arena, "ST_%s", name);
    for (char *p = env; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    return st_strdup(&arena, getenv(env));
}

static char *trim(char *s)
{
    while (isspace((unsigned char)*s))
        s++;
    for (size_t n = strlen(s); n && isspace((unsigned char)s[n - 1]); n--)
        s[n - 1] = '\0';
    return s;
}

/* Values of the file for the options that are known so far; options of other services stand there too. */
static int read_file(const char *path, const char **ret_why)
{
    char line[1024];
    FILE *f = fopen(path, "re");
    if (!f) {
        *ret_why = st_printf(&arena, "cannot open %s: %m", path);
        return ST_E_INVALID;
    }
    for (int number = 1; fgets(line, sizeof(line), f); number++) {
        char *s = trim(line), *equals = strchr(s, '=');
        if (*s == '\0' || *s == '#')
            continue;
        if (!equals) {
            *ret_why = st_printf(&arena, "%s:%d: expected name = value", path, number);
            fclose(f);
            return ST_E_INVALID;
        }
        *equals = '\0';
        const char *name = trim(s), *value = trim(equals + 1);
        for (int i = 0; i < n_values; i++)
            if (st_streq(values[i].name, name))
                values[i].value = st_strdup(&arena, value);
    }
    fclose(f);
    return 0;
}

static void declare(const struct st_option *list)
{
    for (; list && list->name; list++) {
        if (n_values == OPTIONS_MAX)
            abort();
        values[n_values].name = list->name;
        values[n_values++].value = list->fallback;
    }
}

int st_options_load(const struct st_option *service_options, const char **ret_why)
{
    n_values = 0;
    declare(library);
    declare(service_options);
    const char *dir = from_environment("config_dir");
    int r = read_file(st_printf(&arena, "%s/storytelling.conf", dir ? dir : st_option("config_dir")), ret_why);
    if (r < 0)
        return r;
    for (int i = 0; i < n_values; i++) {
        const char *env = from_environment(values[i].name);
        if (env)
            values[i].value = env;
        if (!values[i].value) {
            *ret_why = st_printf(&arena, "the option %s is not set (file, or ST_… in the environment)", values[i].name);
            return ST_E_INVALID;
        }
    }
    return 0;
}
