#ifndef ST_BASE_ARENA_H
#define ST_BASE_ARENA_H
/*
 * Memory by lifetime: everything a call needs comes from its arena and goes at once when the call ends.
 *
 *   struct st_arena a = {0};            all zero is a valid, empty arena
 *   char *s = st_printf(&a, "%d", 7);   never NULL, never freed by hand
 *   st_defer(&a, close_it, thing);      for what is not memory; runs in reverse order
 *   st_arena_release(&a);               runs the deferred calls, frees all; the arena is empty and reusable
 *
 * Not thread-safe: an arena belongs to one thread at a time. Allocation never returns NULL: inputs are bounded where
 * they enter, so running out is a fault of the machine, and the process aborts (every process here may die at any
 * instruction without losing anything).
 */
#include "base/compiler.h"

struct st_arena {
    struct st_arena_chunk *chunks;
    struct st_arena_defer *defers;
    char *at, *end;
};

/* Zeroed, aligned for any type. size 0 gives a valid pointer. */
void *st_alloc(struct st_arena *a, size_t size);
#define st_new(a, T)      ((T *)st_alloc((a), sizeof(T)))
#define st_new_n(a, T, n) ((T *)st_alloc_array((a), (n), sizeof(T)))
void *st_alloc_array(struct st_arena *a, size_t count, size_t size); /* aborts when count * size overflows */

char *st_strdup(struct st_arena *a, const char *s); /* NULL gives NULL */
char *st_strndup(struct st_arena *a, const char *s, size_t len);
char *st_printf(struct st_arena *a, const char *fmt, ...) ST_PRINTF(2, 3);
char *st_vprintf(struct st_arena *a, const char *fmt, va_list ap) ST_PRINTF(2, 0);

/* fn(ptr) runs when the arena is reset or released. */
void st_defer(struct st_arena *a, void (*fn)(void *), void *ptr);

void st_arena_release(struct st_arena *a);

/* As release, but keeps one chunk for the next use. */
void st_arena_reset(struct st_arena *a);

#endif
