/* Bump allocation in a list of chunks; what is larger than a chunk gets a chunk of its own. */
#include "base/arena.h"

enum { CHUNK = 16 * 1024, ALIGN = 16 };

struct st_arena_chunk {
    struct st_arena_chunk *next;
    size_t size;
    _Alignas(ALIGN) char data[];
};

struct st_arena_defer {
    struct st_arena_defer *next;
    void (*fn)(void *);
    void *ptr;
};

static struct st_arena_chunk *chunk_new(size_t size)
{
    struct st_arena_chunk *c = malloc(sizeof(*c) + size);
    if (!c)
        abort();
    c->next = NULL;
    c->size = size;
    return c;
}

void *st_alloc(struct st_arena *a, size_t size)
{
    if (size > SIZE_MAX / 2)
        abort();
    size = ((size ? size : 1) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (size > (size_t)(a->end - a->at)) {
        struct st_arena_chunk *c = chunk_new(size > CHUNK / 4 ? size : CHUNK);
        if (size > CHUNK / 4 && a->chunks) {
            /* A large block leaves the current chunk, and the room in it, where they are. */
            c->next = a->chunks->next;
            a->chunks->next = c;
            return memset(c->data, 0, size);
        }
        c->next = a->chunks;
        a->chunks = c;
        a->at = c->data;
        a->end = c->data + c->size;
    }
    void *p = a->at;
    a->at += size;
    return memset(p, 0, size);
}

void *st_alloc_array(struct st_arena *a, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        abort();
    return st_alloc(a, total);
}

char *st_strndup(struct st_arena *a, const char *s, size_t len)
{
    char *p = st_alloc(a, len + 1);
    memcpy(p, s, len);
    return p;
}

char *st_strdup(struct st_arena *a, const char *s)
{
    return s ? st_strndup(a, s, strlen(s)) : NULL;
}

char *st_vprintf(struct st_arena *a, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (n < 0)
        abort();
    char *p = st_alloc(a, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    return p;
}

char *st_printf(struct st_arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *p = st_vprintf(a, fmt, ap);
    va_end(ap);
    return p;
}

void st_defer(struct st_arena *a, void (*fn)(void *), void *ptr)
{
    struct st_arena_defer *d = st_new(a, struct st_arena_defer);
    d->fn = fn;
    d->ptr = ptr;
    d->next = a->defers;
    a->defers = d;
}

static void run_defers(struct st_arena *a)
{
    while (a->defers) {
        struct st_arena_defer *d = a->defers;
        a->defers = d->next;
        d->fn(d->ptr);
    }
}

void st_arena_release(struct st_arena *a)
{
    run_defers(a);
    while (a->chunks) {
        struct st_arena_chunk *c = a->chunks;
        a->chunks = c->next;
        free(c);
    }
    a->at = a->end = NULL;
}

void st_arena_reset(struct st_arena *a)
{
    run_defers(a);
    struct st_arena_chunk *keep = NULL;
    while (a->chunks) {
        struct st_arena_chunk *c = a->chunks;
        a->chunks = c->next;
        if (!keep && c->size == CHUNK)
            keep = c;
        else
            free(c);
    }
    a->at = a->end = NULL;
    if (keep) {
        keep->next = NULL;
        a->chunks = keep;
        a->at = keep->data;
        a->end = keep->data + keep->size;
    }
}
