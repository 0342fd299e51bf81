/* Text and Markdown of any encoding that people have, and the encodings of books. */
#include <errno.h>
#include <iconv.h>

#include "story/charsets.h"
#include "story/import.h"

enum {
    DECODED_MAX = 3 * IMPORT_FILE_MAX,
    STRANGE_SHARE = 100,
    TITLE_CHARS = 100,
    HEAD_MAX = 4096, /* bytes of a document, in which it declares its charset */
    LABEL_MAX = 40,
};

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

void import_charsets(struct import *to)
{
    size_t n = 0;
    while (story_charsets[n].label)
        n++;
    to->charsets = st_new_n(&to->arena, void *, n);
    for (size_t i = 0; i < n; i++) {
        iconv_t open = iconv_open("UTF-8", story_charsets[i].name);
        to->charsets[i] = open == (iconv_t)-1 ? NULL : open;
    }
}

/* False for bytes that the charset does not have; but where some may be broken, they are U+FFFD. */
static bool convert(struct st_buf *out, iconv_t charset, const char *data, size_t len, bool some_broken)
{
    char block[16 * 1024], *in = (char *)data;
    (void)iconv(charset, NULL, NULL, NULL, NULL);
    for (bool more = true; more;) {
        char *to = block;
        size_t room = sizeof(block);
        more = len > 0; /* behind the last byte once more, for what the charset keeps to the end */
        bool failed = iconv(charset, more ? &in : NULL, &len, &to, &room) == (size_t)-1 && errno != E2BIG;
        if (failed && !some_broken)
            return false;
        st_buf_add(out, block, sizeof(block) - room);
        if (failed && len) {
            put(out, 0xfffd);
            in++;
            len--;
        }
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
        return convert(out, to->charset, data, len, false)
                   ? NULL
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

/* --- documents of books --- */

/* Behind `key =` before end, or "". */
static const char *value_of(const char *s, const char *end, const char *key)
{
    const char *at = strcasestr(s, key);
    if (!at || at >= end)
        return "";
    at += strlen(key);
    at += strspn(at, " \t\r\n");
    return *at == '=' ? at + 1 + strspn(at + 1, " \t\r\n\"'") : "";
}

/* By its XML declaration or a <meta>: the place of its charset among those that are known, or -1. */
static int declared(const char *data, size_t len)
{
    char head[HEAD_MAX + 1], label[LABEL_MAX + 1];
    const char *value = "", *end;
    len = len < HEAD_MAX ? len : HEAD_MAX;
    memcpy(head, data, len);
    head[len] = '\0';
    if (st_starts(head, "<?xml") && (end = strstr(head, "?>")))
        value = value_of(head, end, "encoding");
    for (const char *tag = head; !*value && (tag = strcasestr(tag, "<meta")); tag++)
        value = value_of(tag, tag + strcspn(tag, ">"), "charset");
    snprintf(label, sizeof(label), "%.*s", (int)strcspn(value, " \t\r\n\"';>?/"), value);
    return story_charset(label);
}

/* What is read of it, about: from its body on, without tags, which all are in Latin letters. */
static void put_body(struct st_buf *out, const char *data, const char *end)
{
    const char *body = strcasestr(data, "<body");
    for (const char *s = body ? body : data, *tag; s < end; s = tag ? tag + 1 : end) {
        tag = memchr(s, '<', (size_t)(end - s));
        st_buf_add(out, s, (size_t)((tag ? tag : end) - s));
        tag = tag ? memchr(tag, '>', (size_t)(end - tag)) : NULL;
    }
}

static bool is_western_document(const char *data, size_t len)
{
    struct st_buf body = ST_BUF(len + 1);
    put_body(&body, data, data + len);
    bool western = body.len && is_western((const unsigned char *)body.data, body.len);
    st_buf_release(&body);
    return western;
}

static bool is_text_document(const struct st_buf *b)
{
    struct st_buf body = ST_BUF(b->len + 1);
    if (b->len)
        put_body(&body, b->data, b->data + b->len);
    bool text = body.len && is_text(&body);
    st_buf_release(&body);
    return text;
}

/* Are more of the characters beyond ASCII whole than broken? */
static bool is_mostly_whole(const struct st_buf *b)
{
    size_t broken = 0, whole = 0;
    for (const char *s = b->data, *end = s + b->len; s < end;) {
        uint32_t c = st_utf8_next(&s);
        broken += c == 0xfffd;
        whole += c >= 0x80 && c != 0xfffd;
    }
    return whole > broken;
}

/*
 * Of one that is no UTF-16, nor all of it UTF-8. Who declares one of these, or nothing, may have broken a few bytes of
 * it, or written Windows-1252.
 */
static void decode_document(const struct import *to, struct st_buf *out, const char *data, size_t len)
{
    int charset = declared(data, len);
    const char *name = charset < 0 ? "UTF-8" : story_charsets[charset].name;
    bool utf8 = st_starts(name, "UTF-") || st_streq(name, "ASCII"), western = st_streq(name, "CP1252");
    void *open = to->charsets ? to->charsets[utf8 ? 0 : charset] : NULL;
    if (open && !western)
        convert(out, open, data, len, true);
    if (utf8 && !is_mostly_whole(out)) {
        western = is_western_document(data, len);
        if (western || !is_text_document(out))
            st_buf_clear(out);
    }
    if (western)
        decode_western(out, (const unsigned char *)data, len);
}

const char *import_document(struct import *to, const char *data, size_t *len)
{
    const unsigned char *s = (const unsigned char *)data;
    bool marked = *len >= 2 && s[0] >= 0xfe && s[0] + s[1] == 0xfe + 0xff;
    bool utf16 = marked || (*len >= 2 && !s[0] != !s[1]);
    struct st_buf out = ST_BUF(DECODED_MAX);
    const char *text = NULL;
    if (!utf16 && st_utf8_valid(data, *len))
        return data;
    if (utf16)
        decode_utf16(&out, s + 2 * marked, *len - 2 * marked, marked ? s[0] == 0xfe : !s[0]);
    else
        decode_document(to, &out, data, *len);
    if (out.failed)
        to->error = "The book is larger than a story can be.";
    else if (!out.len || !is_text(&out))
        to->error = "It cannot be told which letters the book is written in.";
    else
        text = st_strndup(&to->arena, out.data, out.len);
    *len = out.len;
    st_buf_release(&out);
    return text;
}
