/* Growing byte buffers with a limit. */
#include "base/buf.h"

static bool reserve(struct st_buf *b, size_t more)
{
    if (b->failed)
        return false;
    if (more > b->max - b->len || b->len > b->max) {
        b->failed = true;
        return false;
    }
    size_t need = b->len + more + 1;
    if (need > b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 256;
        if (cap < need)
            cap = need;
        char *p = realloc(b->data, cap);
        if (!p)
            abort();
        b->data = p;
        b->cap = cap;
    }
    return true;
}

void st_buf_reserve(struct st_buf *b, size_t more)
{
    if (more <= b->max - b->len)
        (void)reserve(b, more);
}

void st_buf_grow(struct st_buf *b, const void *data, size_t len)
{
    if (!reserve(b, len))
        return;
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void st_buf_printf(struct st_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (n < 0)
        abort();
    if (reserve(b, (size_t)n)) {
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
        b->len += (size_t)n;
    }
    va_end(ap);
}

/* Control characters, the quote and the backslash. */
static const bool escaped[256] = {
    [0 ... 0x1f] = true,
    ['"'] = true,
    ['\\'] = true,
    [0x7f] = true,
};

/* Do none of eight bytes need an escape? */
static bool are_plain(const char *s)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    uint64_t w;
    memcpy(&w, s, sizeof(w));
    uint64_t quote = w ^ ones * '"', slash = w ^ ones * '\\', del = w ^ ones * 0x7f;
    uint64_t found = (w - ones * 0x20) & ~w;
    found |= ((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((del - ones) & ~del);
    return !(found & high);
}

void st_buf_json(struct st_buf *b, const char *s, size_t len)
{
    st_buf_char(b, '"');
    size_t from = 0;
    for (size_t i = 0; i < len; i++) {
        for (; len - i >= sizeof(uint64_t) && are_plain(s + i); i += sizeof(uint64_t))
            ;
        if (i == len)
            break;
        unsigned char c = (unsigned char)s[i];
        if (!escaped[c])
            continue;
        st_buf_add(b, s + from, i - from);
        from = i + 1;
        switch (c) {
        case '"': st_buf_str(b, "\\\""); break;
        case '\\': st_buf_str(b, "\\\\"); break;
        case '\n': st_buf_str(b, "\\n"); break;
        case '\t': st_buf_str(b, "\\t"); break;
        case '\r': st_buf_str(b, "\\r"); break;
        default: st_buf_printf(b, "\\u%04x", c);
        }
    }
    st_buf_add(b, s + from, len - from);
    st_buf_char(b, '"');
}

void st_buf_clear(struct st_buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->data)
        b->data[0] = '\0';
}

void st_buf_release(struct st_buf *b)
{
    free(b->data);
    b->data = NULL;
    b->len = b->cap = 0;
    b->failed = false;
}
