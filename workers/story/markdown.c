/* Marks of Markdown within lines. */
#include "story/markdown.h"

#include "story/analyse_int.h"

enum { BRACKETS_DEEP = 3, EMPHASIS_BYTES = 1000, EMPHASIS_MARKS = 3 };

struct out {
    char *text;
    size_t len;
    bool emphasis;
};

/* Behind the bracket that closes the one at s; NULL where none does before the line ends. */
static const char *behind_bracket(const char *s, const char *end)
{
    int open = 0;
    for (; s < end && *s != '\n' && open <= BRACKETS_DEEP; s++) {
        open += (*s == '[') - (*s == ']');
        if (open == 0)
            return s + 1;
    }
    return NULL;
}

/* Behind "(address)" or "(address "title")"; an address has no blanks. */
static const char *behind_address(const char *s, const char *end)
{
    int open = 0;
    if (s >= end || *s != '(')
        return NULL;
    for (; s < end && !strchr(" \t\n[", *s); s++) {
        open += (*s == '(') - (*s == ')');
        if (open == 0)
            return s + 1;
    }
    while (s < end && *s == ' ')
        s++;
    if (open != 1 || s >= end || !strchr("\"'", *s))
        return NULL;
    for (char quote = *s++; s + 1 < end && *s != '\n' && *s != '['; s++)
        if (*s == quote && s[1] == ')')
            return s + 2;
    return NULL;
}

/* `Code`, and no quotation: `so,' she said. */
static const char *code_end(const char *s, const char *end)
{
    const char *p = s + 1;
    while (p < end && !strchr("`'\n", *p))
        p++;
    return p < end && *p == '`' && p > s + 1 && s[1] != ' ' && p[-1] != ' ' ? p : NULL;
}

static bool is_blank(const char *s, const char *begin, const char *end)
{
    return s < begin || s >= end || strchr(" \t\r\n", *s);
}

/* The marks that end what those at s begin, in the same paragraph; NULL: these are none. */
static const char *emphasis_end(const char *begin, const char *s, const char *end, size_t marks)
{
    if (marks > EMPHASIS_MARKS || an_is_letter(an_before(begin, s)) || is_blank(s + marks, begin, end))
        return NULL;
    for (const char *p = s + marks; p < end && p - s < EMPHASIS_BYTES; p++) {
        if (*p == '\n' && is_blank(p + 1, begin, end))
            return NULL;
        size_t n = 0;
        while (p + n < end && p[n] == *s)
            n++;
        if (n == marks && !is_blank(p - 1, begin, end) && !an_is_letter(an_peek(p + n, end)))
            return p;
        p += n ? n - 1 : 0;
    }
    return NULL;
}

static void put(struct out *out, const char *s, const char *end, int depth)
{
    const char *begin = s;
    while (s < end) {
        bool picture = *s == '!' && s + 1 < end && s[1] == '[', mark = *s == '*' || *s == '_';
        const char *open = picture ? s + 1 : s, *close = NULL, *behind = NULL;
        size_t n = 0;
        if (*open == '[' && (close = behind_bracket(open, end)) && (behind = behind_address(close, end)) &&
            depth < BRACKETS_DEEP) {
            put(out, open + 1, close - 1, depth + 1);
            s = behind;
            continue;
        }
        while (mark && s + n < end && s[n] == *s)
            n++;
        if (*s == '`' && (close = code_end(s, end))) {
            memcpy(out->text + out->len, s + 1, (size_t)(close - s - 1));
            out->len += (size_t)(close - s - 1);
            s = close + 1;
        } else if (out->emphasis && mark && depth < BRACKETS_DEEP && (close = emphasis_end(begin, s, end, n))) {
            put(out, s + n, close, depth + 1);
            s = close + n;
        } else {
            for (n = n ? n : 1; n; n--)
                out->text[out->len++] = *s++;
        }
    }
}

char *st_markdown_read(struct st_arena *a, const char *text, size_t len, bool emphasis, size_t *ret_len)
{
    struct out out = {.text = st_alloc(a, len + 1), .emphasis = emphasis};
    put(&out, text, text + len, 0);
    out.text[out.len] = '\0';
    *ret_len = out.len;
    return out.text;
}
