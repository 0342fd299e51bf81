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

static struct value {
    const struct st_option *option;
    const char *value;
} values[OPTIONS_MAX];
static int n_values;
static struct st_arena arena;
static const char *log_level; /* as it was read last */

const char *st_option(const char *name)
{
    for (int i = 0; i < n_values; i++)
        if (st_streq(values[i].option->name, name))
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

static const char *from_environment(struct st_arena *a, const char *name)
{
    char *env = st_printf(a, "ST_%s", name);
    for (char *p = env; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    return st_strdup(a, getenv(env));
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
static int read_file(struct st_arena *a, struct value *list, const char *path, const char **ret_why)
{
    char line[1024];
    FILE *f = fopen(path, "re");
    if (!f) {
        *ret_why = st_printf(a, "cannot open %s: %m", path);
        return ST_E_INVALID;
    }
    for (int number = 1; fgets(line, sizeof(line), f); number++) {
        char *s = trim(line), *equals = strchr(s, '=');
        if (*s == '\0' || *s == '#')
            continue;
        if (!equals) {
            *ret_why = st_printf(a, "%s:%d: expected name = value", path, number);
            fclose(f);
            return ST_E_INVALID;
        }
        *equals = '\0';
        const char *name = trim(s), *value = trim(equals + 1);
        for (int i = 0; i < n_values; i++)
            if (st_streq(list[i].option->name, name))
                list[i].value = st_strdup(a, value);
    }
    fclose(f);
    return 0;
}

static void declare(const struct st_option *list)
{
    for (; list && list->name; list++) {
        if (n_values == OPTIONS_MAX)
            abort();
        values[n_values++].option = list;
    }
}

/* Of all options that were declared: the default, else what the file says, else the environment. */
static int read_all(struct st_arena *a, struct value *list, const char **ret_why)
{
    for (int i = 0; i < n_values; i++)
        list[i] = (struct value){values[i].option, values[i].option->fallback};
    const char *dir = from_environment(a, "config_dir");
    int r = read_file(a, list, st_printf(a, "%s/storytelling.conf", dir ? dir : list[0].value), ret_why);
    for (int i = 0; r == 0 && i < n_values; i++) {
        const char *env = from_environment(a, list[i].option->name);
        if (env)
            list[i].value = env;
        if (!list[i].value) {
            *ret_why =
                st_printf(a, "the option %s is not set (file, or ST_… in the environment)", list[i].option->name);
            r = ST_E_INVALID;
        }
    }
    return r;
}

int st_options_load(const struct st_option *service_options, const char **ret_why)
{
    n_values = 0;
    declare(library);
    declare(service_options);
    int r = read_all(&arena, values, ret_why);
    if (r == 0)
        log_level = st_option("log_level");
    return r;
}

int st_options_reload(struct st_arena *a, const char **ret_others, const char **ret_why)
{
    struct value fresh[OPTIONS_MAX];
    int r = read_all(a, fresh, ret_why);
    if (r < 0)
        return r;
    *ret_others = "";
    for (int i = 0; i < n_values; i++) {
        const char *name = fresh[i].option->name, *value = fresh[i].value;
        if (!st_streq(name, "log_level")) {
            if (!st_streq(value, values[i].value))
                *ret_others = st_printf(a, "%s%s%s", *ret_others, **ret_others ? ", " : "", name);
        } else if (!st_streq(value, log_level)) {
            if (!st_log_level(value)) {
                *ret_why =
                    st_printf(a, "the option log_level is \"%s\"; there are: debug, info, warning, error", value);
                return ST_E_INVALID;
            }
            log_level = st_strdup(&arena, value);
        }
    }
    return 0;
}
