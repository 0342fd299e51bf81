/*
 * Hostile paths: one that is called canonical must mean the same to whoever decodes it, and the tree must find what a
 * plain look at all routes finds.
 */
#include "io/openapi.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const paths[] = {
    "/",           "/a",           "/a/{x}",       "/a/b",           "/a/b/c",     "/a/{x}/c",       "/a/{x}/{y}",
    "/b/{x}/f",    "/{x}/{y}/{z}", "/a/{x}/{y}/e", "/{x}/{y}/{z}/e", "/a/b/{y}/e", "/.well-known/f", "/A",
    "/a-b_c~d/..h"};

static const struct st_api *api(void)
{
    static struct st_api *loaded;
    static struct st_arena arena;
    struct st_buf b = ST_BUF(1 << 16);
    char path[64];
    const char *file = path, *why;
    if (loaded)
        return loaded;
    st_buf_str(&b, "openapi: 3.1.0\ninfo: {title: T, version: '1'}\nx-service: s\nsecurity: []\npaths:\n");
    for (size_t i = 0; i < ST_COUNT(paths); i++) {
        st_buf_printf(&b, "  %s:\n    parameters: [", paths[i]);
        for (const char *s = paths[i]; (s = strchr(s, '{')); s++)
            st_buf_printf(&b, "{name: %c, in: path, required: true, schema: {type: string}},", s[1]);
        st_buf_printf(&b, "]\n    get: {operationId: op%zu, responses: {'200': {description: D}}}\n", i);
    }
    int fd = memfd_create("contract", 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (fd < 0 || write(fd, b.data, b.len) < 0 || st_api_load(&arena, &file, 1, &loaded, &why) < 0) {
        fprintf(stderr, "%s\n", why);
        abort();
    }
    close(fd);
    st_buf_release(&b);
    return loaded;
}

/* What no decoding may bring forth. */
static void check_segment(struct st_arena *a, const char *s, size_t len)
{
    const char *text = st_url_decode(a, s, len, false);
    if (!text || !st_utf8_valid(text, strlen(text)) || strpbrk(text, "/\\%;") || st_streq(text, ".") ||
        st_streq(text, ".."))
        abort();
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            abort();
}

static void check_canonical(struct st_arena *a, const char *path, size_t len)
{
    const char *end = path + len, *s = path + 1;
    while (s <= end) {
        const char *slash = memchr(s, '/', (size_t)(end - s)), *stop = slash ? slash : end;
        if (slash == s)
            abort();
        check_segment(a, s, (size_t)(stop - s));
        s = stop + 1;
    }
}

/* Does the template match, and which of its segments are literal (from the left, as bits)? */
static bool fits(const char *template, const char *path, size_t len, unsigned *ret_literal)
{
    const char *end = path + len;
    unsigned bit = 1u << 31;
    *ret_literal = 0;
    if (st_streq(template, "/"))
        return len == 1 && *path == '/';
    for (;; bit >>= 1) {
        if (!*template)
            return path == end;
        if (path == end || *path != '/')
            return false;
        template ++, path++;
        size_t n = strcspn(template, "/");
        const char *slash = memchr(path, '/', (size_t)(end - path));
        size_t m = (size_t)((slash ? slash : end) - path);
        if (*template != '{') {
            if (n != m || memcmp(template, path, n) != 0)
                return false;
            *ret_literal |= bit;
        } else if (!m) {
            return false;
        }
        template += n;
        path += m;
    }
}

static void check_match(const char *path, size_t len)
{
    struct st_api_match m;
    const char *best = NULL;
    unsigned best_literal = 0, literal;
    for (size_t i = 0; len <= 1 << 12 && i < ST_COUNT(paths); i++) {
        if (fits(paths[i], path, len, &literal) && (!best || literal > best_literal)) {
            best = paths[i];
            best_literal = literal;
        }
    }
    st_api_find(api(), ST_GET, path, len, &m);
    if (!st_streq(m.operation ? m.operation->path : NULL, best))
        abort();
    for (int i = 0; m.operation && i < m.operation->n_params; i++)
        if (m.params[i].at < path || m.params[i].at + m.params[i].len > path + len || !m.params[i].len)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct st_arena a = {0};
    const char *path = (const char *)data;
    if (!st_path_fault(path, size))
        check_canonical(&a, path, size);
    check_match(path, size);
    st_arena_release(&a);
    return 0;
}
