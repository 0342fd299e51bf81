/* Text and Markdown of any encoding that people have. */
#include <errno.h>
#include <iconv.h>

#include "story/import.h"

enum { DECODED_MAX = 3 * IMPORT_FILE_MAX, STRANGE_SHARE = 100, TITLE_CHARS = 100 };

static bool is_dropped(uint32_t c)
{
    return (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c <= 0x9f) || (c & 0xfffe) == 0xfffe ||
           (c >= 0xfdd0 && c <= 0xfdef) || c == 0xfeff;
}

/* No space before it, none at the beginning, at most one empty line. */
static void end_line(struct st_buf *out)
{
    while (out->len && strchr(" \t", out->data[out->len - 1]))
        out->len--;
    bool begins = !out->len;
    bool divided = out->len >= 2 && out->data[out->len - 1] == '\n' && out->data[out->len - 2] == '\n';
    if (!begins && !divided)
        st_buf_char(out, '\n');
}

bool import_tidy(struct st_buf *out, const char *text, size_t len)
{
    for (const char *s = text, *end = text + len; s < end;) {
        const char *from = s;
        uint32_t c = st_utf8_next(&s);
        if (c == '\r' && s < end && *s == '\n')
            continue;
        if (c == '\r' || c == '\n' || c == '\f' || c == 0x2028 || c == 0x2029) /* of every system */
            end_line(out);
        else if (!is_dropped(c))
            st_buf_add(out, from, (size_t)(s - from));
    }
    while (out->len && strchr(" \t\n", out->data[out->len - 1]))
        out->len--;
    return !out->failed && out->len <= IMPORT_TEXT_MAX;
}

/* --- encodings --- */

static void put(struct st_buf *out, uint32_t c)
{
    char bytes[4];
    st_buf_add(out, bytes, st_utf8_put(c, bytes));
}

static void decode_utf16(struct st_buf *out, const unsigned char *s, size_t len, bool big)
{
    for (size_t i = 0; i + 1 < len; i += 2) {
        uint32_t c = big ? (uint32_t)s[i] << 8 | s[i + 1] : (uint32_t)s[i + 1] << 8 | s[i];
        if (c >= 0xd800 && c < 0xdc00 && i + 3 < len) {
            uint32_t low = big ? (uint32_t)s[i + 2] << 8 | s[i + 3] : (uint32_t)s[i + 3] << 8 | s[i + 2];
            if (low >= 0xdc00 && low < 0xe000) {
                c = 0x10000 + ((c - 0xd800) << 10 | (low - 0xdc00));
                i += 2;
            }
        }
        put(out, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
    }
}

/* Windows-1252, which Latin-1 is a part of. */
static void decode_western(struct st_buf *out, const unsigned char *s, size_t len)
{
    static const uint16_t high[32] = {0x20ac, 0,      0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021,
                                      0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0,      0x017d, 0,
                                      0,      0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                                      0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0,      0x017e, 0x0178};
    for (size_t i = 0; i < len; i++)
        put(out, s[i] >= 0x80 && s[i] < 0xa0 ? high[s[i] - 0x80] ? high[s[i] - 0x80] : 0xfffd : s[i]);
}

/* A letter of Windows-1252, or what stands in its place in texts of other charsets. */
static bool is_letter(unsigned char c)
{
    return c < 0x80 ? (c | 32) >= 'a' && (c | 32) <= 'z'
                    : (c >= 0xc0 && c != 0xd7 && c != 0xf7) || (c && strchr("\x83\x8a\x8c\x8e\x9a\x9c\x9e\x9f", c));
}

static unsigned char small(unsigned char c)
{
    return c >= 0xc0 && c < 0xdf ? c + 0x20 : c == 0x8c ? 0x9c : c == 0x9f ? 0xff : c;
}

/*
 * Not every text that is no UTF-8 is Windows-1252: its letters must be those of one language that is written in it, or
 * very few, and no sign stand inside a word. So Polish, Czech, Russian, Japanese of other charsets are not mistaken.
 */
static bool is_western(const unsigned char *s, size_t len)
{
    static const char *const languages[] = {
        "\xe0\xe2\xe6\xe7\xe8\xe9\xea\xeb\xee\xef\xf4\xf9\xfb\xfc\xff\x9c", /* French, Dutch */
        "\xe4\xf6\xfc\xdf\xe9\xe8\xe0",                                     /* German */
        "\xe1\xe9\xed\xf1\xf3\xfa\xfc",                                     /* Spanish, Irish */
        "\xe0\xe7\xe8\xe9\xed\xef\xf2\xf3\xfa\xfc",                         /* Catalan */
        "\xe0\xe1\xe2\xe3\xe7\xe9\xea\xed\xf3\xf4\xf5\xfa\xfc",             /* Portuguese */
        "\xe0\xe8\xe9\xec\xed\xee\xf2\xf3\xf9\xfa",                         /* Italian */
        "\xe5\xe4\xe6\xf8\xf6\xe9\xe8\xfc\xe0",                             /* Danish, Norwegian, Swedish, Finnish */
        "\xe1\xe6\xe9\xed\xf0\xf3\xf6\xfa\xfd\xfe",                         /* Icelandic */
    };
    size_t count[256] = {0}, plain = 0, high = 0;
    for (size_t i = 0; i < len; i++) {
        bool inside = i && i + 1 < len && is_letter(s[i - 1]) && is_letter(s[i + 1]);
        bool sign = s[i] > 0xa0 && s[i] < 0xc0 && s[i] != 0xad && s[i] != 0xb7; /* but those of words */
        if ((sign && inside) || (s[i] && strchr("\x81\x8d\x8f\x90\x9d", s[i])))
            return false;
        high += s[i] >= 0x80 && is_letter(s[i]);
        plain += s[i] < 0x80 && is_letter(s[i]);
        count[small(s[i])]++;
    }
    for (size_t i = 0; high <= plain && i < ST_COUNT(languages); i++) {
        size_t known = 0;
        for (const char *c = languages[i]; *c; c++)
            known += count[(unsigned char)*c];
        if ((high - known) * 20 <= high)
            return true;
    }
    return high * 200 <= plain;
}

bool import_charset(struct import *to, const char *name)
{
    iconv_t open = *name ? iconv_open("UTF-8", name) : NULL;
    if (open == (iconv_t)-1)
        return false;
    to->charset = open;
    return true;
}

/* False for bytes that the charset does not have. */
static bool convert(struct st_buf *out, iconv_t charset, const char *data, size_t len)
{
    char block[16 * 1024], *in = (char *)data;
    for (bool more = true; more;) {
        char *to = block;
        size_t room = sizeof(block);
        more = len > 0; /* behind the last byte once more, for what the charset keeps to the end */
        if (iconv(charset, more ? &in : NULL, &len, &to, &room) == (size_t)-1 && errno != E2BIG)
            return false;
        st_buf_add(out, block, sizeof(block) - room);
    }
    return true;
}

static const char *decode(const struct import *to, struct st_buf *out, const char *data, size_t len)
{
    const unsigned char *s = (const unsigned char *)data;
    bool utf8 = st_utf8_valid(data, len), marked = len >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0;
    if (len >= 2 && s[0] + s[1] == 0xfe + 0xff && s[0] >= 0xfe)
        decode_utf16(out, s + 2, len - 2, s[0] == 0xfe);
    else if (to->charset && !(utf8 && marked))
        return convert(out, to->charset, data, len) ? NULL
                                                    : "The file is not written in the charset that it is said to have.";
    else if (utf8)
        st_buf_add(out, data, len);
    else if (memchr(data, '\0', len))
        return "The file is no text, or UTF-16 that does not say so (text/plain; charset=utf-16le).";
    else if (is_western(s, len))
        decode_western(out, s, len);
    else
        return "It cannot be told which letters the file is written in. Save it as UTF-8, or name its charset: "
               "text/plain; charset=windows-1251.";
    return NULL;
}

/* Pictures, archives, programs: what has NULs, or more than a few characters that text has not. */
static bool is_text(const struct st_buf *b)
{
    size_t strange = 0, all = 0;
    for (const char *s = b->data, *end = s + b->len; s < end; all++) {
        uint32_t c = st_utf8_next(&s);
        if (c == 0)
            return false;
        strange += (c < 0x20 && !strchr("\t\n\r\f", (int)c)) || c == 0x7f || c == 0xfffd;
    }
    return strange * STRANGE_SHARE <= all;
}

/* The first line, when it is a heading or a short one alone. */
static void find_title(struct import *to)
{
    const char *content = to->content;
    size_t n = strcspn(content, "\n"), marks = strspn(content, "#");
    bool heading = marks && marks <= 6 && content[marks] == ' ';
    bool alone = content[n] && content[n + 1] == '\n' && !strchr("#*_-=>![", *content) &&
                 st_utf8_length(content, n) <= TITLE_CHARS;
    if (!heading && !alone)
        return;
    marks += heading;
    to->title = st_strndup(&to->arena, content + (heading ? marks : 0), n - (heading ? marks : 0));
}

void import_text(struct import *to, const char *data, size_t len)
{
    struct st_buf decoded = ST_BUF(DECODED_MAX), tidy = ST_BUF(DECODED_MAX);
    const char *why = decode(to, &decoded, data, len);
    if (why)
        to->error = why;
    else if (!decoded.len)
        to->error = "There is no text in the file.";
    else if (!is_text(&decoded))
        to->error = "The file is no text.";
    else if (!import_tidy(&tidy, decoded.data, decoded.len))
        to->error = "The text is longer than a story can be.";
    else
        to->content = st_strndup(&to->arena, tidy.data ? tidy.data : "", tidy.len);
    if (to->content)
        find_title(to);
    st_buf_release(&decoded);
    st_buf_release(&tidy);
}
