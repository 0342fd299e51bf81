/* The running instance, as its env files describe it; and small helpers of all commands. */
#include "storyctl/storyctl.h"

#include "io/http_client.h"
#include "io/token.h"
#include "svc/bus.h"

#include <glob.h>
#include <libgen.h>
#include <unistd.h>

int ctl_error(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("storyctl: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return 1;
}

int ctl_usage(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("storyctl: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputs("; see --help\n", stderr);
    va_end(ap);
    return 2;
}

static void take_out(struct ctl *c, int at, int n)
{
    memmove(c->argv + at, c->argv + at + n, (size_t)(c->argc - at - n + 1) * sizeof(*c->argv));
    c->argc -= n;
}

const char *ctl_option(struct ctl *c, const char *name)
{
    for (int i = 0; i + 1 < c->argc; i++)
        if (st_streq(c->argv[i], name)) {
            const char *value = c->argv[i + 1];
            take_out(c, i, 2);
            return value;
        }
    return NULL;
}

bool ctl_flag(struct ctl *c, const char *name)
{
    for (int i = 0; i < c->argc; i++)
        if (st_streq(c->argv[i], name)) {
            take_out(c, i, 1);
            return true;
        }
    return false;
}

void ctl_print_json(struct ctl *c, json_t *value)
{
    puts(st_json_text(c->arena, st_json_keep(c->arena, value)));
}

int ctl_services(struct ctl *c, const char *ret_names[CTL_SERVICES_MAX])
{
    glob_t found;
    int n = 0;
    if (glob(st_printf(c->arena, "%s/*.env", c->env_dir), 0, NULL, &found)) {
        ctl_error("no env files in %s; is the platform set up? (make run)", c->env_dir);
        return -1;
    }
    for (size_t i = 0; i < found.gl_pathc && n < CTL_SERVICES_MAX; i++) {
        const char *base = strrchr(found.gl_pathv[i], '/') + 1;
        const char *name = st_strndup(c->arena, base, strlen(base) - strlen(".env"));
        if (ctl_env(c, name, "ST_DATABASE"))
            ret_names[n++] = name;
    }
    globfree(&found);
    return n;
}

const char *ctl_env(struct ctl *c, const char *service, const char *name)
{
    char line[4096];
    const char *value = NULL;
    FILE *f = fopen(st_printf(c->arena, "%s/%s.env", c->env_dir, service), "re");
    size_t n = strlen(name);
    while (f && !value && fgets(line, sizeof(line), f)) {
        if (strncmp(line, name, n) || line[n] != '=')
            continue;
        char *from = line + n + 1;
        from[strcspn(from, "\r\n")] = '\0';
        size_t len = strlen(from);
        if (len >= 2 && (*from == '"' || *from == '\'') && from[len - 1] == *from)
            from[len - 1] = '\0', from++;
        value = st_strdup(c->arena, from);
    }
    if (f)
        fclose(f);
    return value;
}

static void close_database(void *pg)
{
    st_pg_free(pg);
}

struct st_pg *ctl_database(struct ctl *c, const char *service)
{
    const char *conninfo = ctl_env(c, service, "ST_DATABASE");
    if (!conninfo) {
        ctl_error("there is no service %s in %s", service, c->env_dir);
        return NULL;
    }
    struct st_pg *pg = st_pg_new(conninfo, "storyctl");
    st_defer(c->arena, close_database, pg);
    return pg;
}

struct st_bus *ctl_bus(struct ctl *c, const char *service)
{
    const char *kind = ctl_env(c, service, "ST_BUS"), *address = ctl_env(c, service, "ST_REDIS");
    struct st_bus *bus = address ? st_bus_new(kind ? kind : "redis", address) : NULL;
    if (!bus)
        ctl_error("the env file of %s in %s names no bus", service, c->env_dir);
    return bus;
}

const char *ctl_daemons(struct ctl *c)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    path[n < 0 ? 0 : n] = '\0';
    return n < 0 ? "build/bin" : st_strdup(c->arena, dirname(path));
}

void ctl_bar(const char *name, int64_t done, int64_t total)
{
    enum { BAR = 30 };
    int full = total > done ? (int)(done * BAR / total) : BAR;
    if (!name)
        fputs("\r\033[K", stderr);
    else
        fprintf(stderr, "\r\033[K  %-14s [%.*s%.*s] %lld of %lld events", name, full, "##############################",
                BAR - full, "                              ", (long long)done,
                (long long)(total > done ? total : done));
}

static const char *read_edge_key(struct ctl *c, const char *service)
{
    char key[129] = "";
    const char *path = ctl_env(c, service, "ST_EDGE_KEY_FILE");
    FILE *f = path ? fopen(path, "re") : NULL;
    if (f) {
        size_t n = fread(key, 1, sizeof(key) - 1, f);
        while (n && key[n - 1] == '\n')
            key[--n] = '\0';
        fclose(f);
    }
    return *key ? st_strdup(c->arena, key) : NULL;
}

int ctl_call(struct ctl *c, const char *service, const char *operation, const char *method, const char *uri,
             const json_t *body, int *ret_status, json_t **ret_answer)
{
    const char *run = ctl_env(c, service, "ST_RUN_DIR"), *key = read_edge_key(c, service), *why = "";
    if (!run || !key) {
        ctl_error("cannot read the env file or the edge's key of %s in %s", service, c->env_dir);
        return ST_E_INVALID;
    }
    char sig[ST_EDGE_SIGNATURE_LEN];
    struct st_edge_identity id = {.method = method,
                                  .uri = uri,
                                  .operation = operation,
                                  .user = "",
                                  .session = "",
                                  .roles = "admin",
                                  .tier = "",
                                  .correlation_id = st_new_id(c->arena),
                                  .address = "",
                                  .time = st_i64(c->arena, st_now() / ST_SECOND)};
    st_edge_sign(key, strlen(key), &id, sig);
    const char *headers[] = {"Content-Type: application/json",
                             "X-Api-Roles: admin",
                             st_printf(c->arena, "X-Api-Operation: %s", operation),
                             st_printf(c->arena, "X-Api-Correlation-Id: %s", id.correlation_id),
                             st_printf(c->arena, "X-Api-Time: %s", id.time),
                             st_printf(c->arena, "X-Api-Signature: %s", sig),
                             NULL};
    const char *text = body ? st_json_text(c->arena, body) : NULL;
    struct st_http_call call = {.method = method,
                                .url = st_printf(c->arena, "http://%s%s", service, uri),
                                .headers = headers,
                                .body = text,
                                .body_len = text ? strlen(text) : 0,
                                .timeout_ms = 15000,
                                .answer_max = 1 << 20};
    struct st_http_client *client = st_http_client_new(NULL, st_printf(c->arena, "%s/%s.sock", run, service));
    struct st_http_answer answer = {0};
    int r = st_http_client_do(client, &call, c->arena, &answer, &why);
    st_http_client_free(client);
    if (r < 0) {
        ctl_error("%s does not answer: %s", service, why);
        return r;
    }
    *ret_status = answer.status;
    *ret_answer = NULL;
    if (answer.len && st_json_parse(c->arena, answer.body, answer.len, ST_JSON_DEPTH, ret_answer, &why) < 0)
        *ret_answer = NULL;
    return 0;
}
