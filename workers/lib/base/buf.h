#ifndef ST_BASE_BUF_H
#define ST_BASE_BUF_H
/*
 * A growing byte buffer that is born with its limit.
 *
 *   struct st_buf b = ST_BUF(1 << 20);    at most 1 MiB
 *   st_buf_str(&b, "hello");              always NUL-terminated behind len
 *   if (b.failed) ...                     sticky: set once the limit was passed, later appends are ignored
 *   st_buf_release(&b);
 */
#include "base/compiler.h"

struct st_buf {
    char *data; /* NULL while empty */
    size_t len, cap, max;
    bool failed;
};

#define ST_BUF(limit) ((struct st_buf){.max = (limit)})

/* The way of st_buf_add where there is no room yet. */
void st_buf_grow(struct st_buf *b, const void *data, size_t len);

static inline void st_buf_add(struct st_buf *b, const void *data, size_t len)
{
    if (b->failed || b->len > b->max || len > b->max - b->len || len >= b->cap - b->len) {
        st_buf_grow(b, data, len);
        return;
    }
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
}

static inline void st_buf_str(struct st_buf *b, const char *s)
{
    st_buf_add(b, s, strlen(s));
}

static inline void st_buf_char(struct st_buf *b, char c)
{
    st_buf_add(b, &c, 1);
}

void st_buf_printf(struct st_buf *b, const char *fmt, ...) ST_PRINTF(2, 3);

/* Appends s as a JSON string with its quotes. s must be UTF-8; control characters are escaped. */
void st_buf_json(struct st_buf *b, const char *s, size_t len);

/* Room for `more` bytes at once, where what comes is known; the limit holds as ever. */
void st_buf_reserve(struct st_buf *b, size_t more);

/* Empty again, memory kept, failed cleared. */
void st_buf_clear(struct st_buf *b);
void st_buf_release(struct st_buf *b);

#endif
