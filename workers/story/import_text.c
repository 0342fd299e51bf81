/* Text and Markdown of any encoding that people have. */
#include "story/import.h"

enum { DECODED_MAX = 3 * IMPORT_FILE_MAX, STRANGE_SHARE = 100 };

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

static void decode(struct st_buf *out, const char *data, size_t len)
{
    const unsigned char *s = (const unsigned char *)data;
    if (len >= 2 && s[0] + s[1] == 0xfe + 0xff && s[0] >= 0xfe)
        decode_utf16(out, s + 2, len - 2, s[0] == 0xfe);
    else if (st_utf8_valid(data, len))
        st_buf_add(out, data, len);
    else
        decode_western(out, s, len);
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

/* The first line, when it is a heading. */
static const char *take_title(struct import *to, const char *content)
{
    if (content[0] != '#' || content[1] != ' ')
        return content;
    size_t n = strcspn(content, "\n");
    to->title = st_strndup(&to->arena, content + 2, n - 2);
    return content + n + strspn(content + n, "\n");
}

void import_text(struct import *to, const char *data, size_t len, bool markdown)
{
    struct st_buf decoded = ST_BUF(DECODED_MAX), tidy = ST_BUF(DECODED_MAX);
    decode(&decoded, data, len);
    if (!decoded.len)
        to->error = "There is no text in the file.";
    else if (!is_text(&decoded))
        to->error = "The file is no text.";
    else if (!import_tidy(&tidy, decoded.data, decoded.len))
        to->error = "The text is longer than a story can be.";
    else
        to->content = st_strndup(&to->arena, tidy.data ? tidy.data : "", tidy.len);
    if (to->content && markdown)
        to->content = take_title(to, to->content);
    st_buf_release(&decoded);
    st_buf_release(&tidy);
}
