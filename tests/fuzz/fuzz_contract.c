/*
 * Hostile contracts: "contract NUL common.yaml". What is refused must say where; what is accepted must be found by its
 * own paths, and the document made of it must be a contract again, of as many operations.
 */
#include "io/openapi.h"

#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[64];

static void remove_folder(void)
{
    char path[128];
    static const char *const names[] = {"contract.yaml", "common.yaml", "merged.json"};
    for (size_t i = 0; i < ST_COUNT(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

static const char *file(struct st_arena *a, const char *name, const void *data, size_t len)
{
    if (!*folder) {
        snprintf(folder, sizeof(folder), "/dev/shm/st-fuzz-%d", (int)getpid());
        if (mkdir(folder, 0700) < 0)
            abort();
        atexit(remove_folder);
    }
    const char *path = st_printf(a, "%s/%s", folder, name);
    FILE *f = fopen(path, "we");
    if (!f || fwrite(data, 1, len, f) != len || fclose(f))
        abort();
    return path;
}

/* Each line of a refusal names a file. */
static void check_why(const char *why)
{
    int lines = 0;
    for (const char *line = why; *line; lines++) {
        size_t n = strcspn(line, "\n");
        if (!st_starts(line, folder) && !st_starts(line, "there is no operation"))
            abort();
        line += n + (line[n] == '\n');
    }
    if (lines < 1 || lines > 20)
        abort();
}

/* A path that an operation must match, or one that is more literal. */
static void check_operation(struct st_arena *a, const struct st_api *api, const struct st_api_operation *op)
{
    struct st_buf b = ST_BUF(1 << 16);
    struct st_api_match m;
    for (const char *s = op->path; *s; s++) {
        if (*s == '{')
            s += strcspn(s, "}");
        st_buf_char(&b, *s == '}' ? 'x' : *s);
    }
    st_api_find(api, op->method, b.data, b.len, &m);
    if (!m.allow || (!strchr(op->path, '{') && m.operation != op))
        abort();
    for (int i = 0; i < op->n_params; i++)
        if (op->params[i].in == ST_IN_PATH && (op->params[i].path_index < 0 || !op->params[i].required))
            abort();
    for (int i = 0; i < op->n_bodies; i++)
        if (op->bodies[i].max > op->body_max || (!op->bodies[i].streamed && !op->bodies[i].schema))
            abort();
    if (!st_utf8_valid(op->id, strlen(op->id)) || st_path_fault(b.data, b.len))
        abort();
    st_buf_release(&b);
    (void)a;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct st_arena a = {0};
    struct st_api *api = NULL, *again = NULL;
    const char *why = NULL;
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t len = nul ? (size_t)(nul - data) : size;
    const char *path = file(&a, "contract.yaml", data, len);
    (void)file(&a, "common.yaml", nul ? nul + 1 : data, nul ? size - len - 1 : 0);
    if (st_api_load(&a, &path, 1, &api, &why) < 0) {
        check_why(why);
    } else {
        for (int i = 0; i < api->n_operations; i++)
            check_operation(&a, api, &api->operations[i]);
        const char *text = st_json_text(&a, api->document);
        path = file(&a, "merged.json", text, strlen(text));
        if (st_api_load(&a, &path, 1, &again, &why) < 0 || again->n_operations != api->n_operations) {
            fprintf(stderr, "%s\n", why ? why : "another number of operations");
            abort();
        }
    }
    st_arena_release(&a);
    return 0;
}
