/* EPUB: the documents of a book, and the ZIP file around them (stored, not compressed: a story is small). */
#include "story/story_epub.h"

enum { ENTRIES_MAX = 1100, CHAPTERS_MAX = 1000 };

/* --- ZIP, as APPNOTE.TXT has it; without times, so that the same story is the same file --- */

struct entry {
    const char *name;
    uint32_t crc, size, at;
};
struct zip {
    struct st_buf out;
    struct entry entries[ENTRIES_MAX];
    int n;
};

static uint32_t crc32_of(const char *data, size_t len)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len; i++) {
        crc ^= (unsigned char)data[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (0xedb88320u & -(crc & 1));
    }
    return ~crc;
}

static void put(struct st_buf *b, int bytes, uint32_t value)
{
    for (int i = 0; i < bytes; i++)
        st_buf_char(b, (char)(value >> 8 * i & 0xff));
}

/* What local header and central directory have in common: flags (UTF-8 names), stored, 1 January 1980. */
static void put_entry(struct st_buf *b, const struct entry *e)
{
    put(b, 2, 10);
    put(b, 2, 0x0800);
    put(b, 2, 0);
    put(b, 4, 0x00210000);
    put(b, 4, e->crc);
    put(b, 4, e->size);
    put(b, 4, e->size);
    put(b, 2, (uint32_t)strlen(e->name));
    put(b, 2, 0);
}

static void zip_add(struct zip *z, const char *name, const char *data, size_t len)
{
    struct entry *e = &z->entries[z->n++];
    *e = (struct entry){name, crc32_of(data, len), (uint32_t)len, (uint32_t)z->out.len};
    put(&z->out, 4, 0x04034b50);
    put_entry(&z->out, e);
    st_buf_str(&z->out, name);
    st_buf_add(&z->out, data, len);
}

static void zip_end(struct zip *z)
{
    uint32_t at = (uint32_t)z->out.len;
    for (int i = 0; i < z->n; i++) {
        const struct entry *e = &z->entries[i];
        put(&z->out, 4, 0x02014b50);
        put(&z->out, 2, 10);
        put_entry(&z->out, e);
        for (int k = 0; k < 5; k++) /* comment, disk, attributes */
            put(&z->out, 2, 0);
        put(&z->out, 4, e->at);
        st_buf_str(&z->out, e->name);
    }
    uint32_t size = (uint32_t)z->out.len - at;
    put(&z->out, 4, 0x06054b50);
    put(&z->out, 4, 0);
    put(&z->out, 2, (uint32_t)z->n);
    put(&z->out, 2, (uint32_t)z->n);
    put(&z->out, 4, size);
    put(&z->out, 4, at);
    put(&z->out, 2, 0);
}

/* --- text as XML --- */

/* White space becomes single spaces; what XML 1.0 cannot say is left out. */
static void put_text(struct st_buf *b, const char *s, size_t len)
{
    bool space = false;
    for (const char *end = s + len, *from = s; s < end; from = s) {
        uint32_t c = st_utf8_next(&s);
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
            space = true;
            continue;
        }
        if (c < 0x20 || c == 0x7f || (c & 0xfffe) == 0xfffe || (c >= 0xfdd0 && c <= 0xfdef))
            continue;
        if (space)
            st_buf_char(b, ' ');
        space = false;
        if (c == '&')
            st_buf_str(b, "&amp;");
        else if (c == '<')
            st_buf_str(b, "&lt;");
        else if (c == '>')
            st_buf_str(b, "&gt;");
        else if (c == '"')
            st_buf_str(b, "&quot;");
        else
            st_buf_add(b, from, (size_t)(s - from));
    }
}

static const char *xml(struct st_arena *a, const char *s, size_t len)
{
    struct st_buf b = ST_BUF(STORY_EPUB_MAX);
    put_text(&b, s, len);
    const char *text = st_strndup(a, b.data ? b.data : "", b.len);
    st_buf_release(&b);
    return text;
}

/* --- chapters --- */

struct chapter {
    const char *title; /* as XML; NULL: it has no heading */
    const char *body;
    size_t len;
};

static bool is_heading(const char *line)
{
    size_t n = strspn(line, "#");
    return n && n <= 6 && (line[n] == ' ' || line[n] == '\t');
}

static const char *line_end(const char *line)
{
    const char *end = strchr(line, '\n');
    return end ? end : line + strlen(line);
}

/* At most CHAPTERS_MAX; headings behind these are text of the last one. */
static int find_chapters(struct st_arena *a, const char *content, struct chapter *ret)
{
    int n = 0;
    ret[n++] = (struct chapter){.body = content};
    for (const char *line = content; *line;) {
        const char *end = line_end(line), *next = *end ? end + 1 : end;
        if (is_heading(line) && n < CHAPTERS_MAX) {
            size_t marks = strspn(line, "#");
            ret[n - 1].len = (size_t)(line - ret[n - 1].body);
            ret[n++] = (struct chapter){xml(a, line + marks, (size_t)(end - line) - marks), next, 0};
        }
        line = next;
    }
    ret[n - 1].len = strlen(ret[n - 1].body);
    bool empty = strspn(ret[0].body, " \t\r\n") >= ret[0].len;
    if (empty && n > 1)
        memmove(ret, ret + 1, (size_t)--n * sizeof(*ret));
    return n;
}

static void put_paragraphs(struct st_buf *b, const char *s, size_t len)
{
    const char *stop = s + len, *from = s;
    bool open = false;
    for (const char *line = s; line <= stop; line++) {
        const char *end = line < stop ? memchr(line, '\n', (size_t)(stop - line)) : stop;
        end = end ? end : stop;
        bool blank = line + strspn(line, " \t\r\n") >= end;
        if (blank && open) {
            st_buf_str(b, "<p>");
            put_text(b, from, (size_t)(line - from));
            st_buf_str(b, "</p>\n");
        }
        if (!blank && !open)
            from = line;
        open = !blank;
        line = end;
    }
    if (open) {
        st_buf_str(b, "<p>");
        put_text(b, from, (size_t)(stop - from));
        st_buf_str(b, "</p>\n");
    }
}

/* --- the documents --- */

#define XHTML                                                                                                          \
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" "       \
    "xmlns:epub=\"http://www.idpf.org/2007/ops\" lang=\"%s\" xml:lang=\"%s\">\n<head><title>%s</title></head>\n"

static const char container[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<container version=\"1.0\" "
    "xmlns=\"urn:oasis:names:tc:opendocument:xmlns:container\"><rootfiles>"
    "<rootfile full-path=\"EPUB/package.opf\" media-type=\"application/oebps-package+xml\"/></rootfiles></container>\n";

/* Everything as XML already. */
struct documents {
    struct st_arena *arena;
    struct zip *zip;
    const char *id, *title, *author, *language, *modified;
    const struct chapter *chapters;
    int n;
};

static const char *chapter_title(const struct documents *d, int i)
{
    const char *title = d->chapters[i].title;
    return title && *title ? title : d->title;
}

static void add(const struct documents *d, const char *name, struct st_buf *b)
{
    zip_add(d->zip, name, b->data, b->len);
    d->zip->out.failed |= b->failed;
    st_buf_release(b);
}

static void add_chapter(const struct documents *d, int i)
{
    struct st_buf b = ST_BUF(STORY_EPUB_MAX);
    const char *title = chapter_title(d, i);
    st_buf_printf(&b, XHTML "<body><section epub:type=\"chapter\">\n<h1>%s</h1>\n", d->language, d->language, title,
                  title);
    put_paragraphs(&b, d->chapters[i].body, d->chapters[i].len);
    st_buf_str(&b, "</section></body>\n</html>\n");
    add(d, st_printf(d->arena, "EPUB/chapter-%d.xhtml", i + 1), &b);
}

static void add_contents(const struct documents *d)
{
    struct st_buf nav = ST_BUF(STORY_EPUB_MAX), ncx = ST_BUF(STORY_EPUB_MAX);
    st_buf_printf(&nav, XHTML "<body><nav epub:type=\"toc\"><h1>%s</h1><ol>\n", d->language, d->language, d->title,
                  d->title);
    st_buf_printf(&ncx,
                  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ncx xmlns=\"http://www.daisy.org/z3986/2005/ncx/\" "
                  "version=\"2005-1\"><head><meta name=\"dtb:uid\" content=\"urn:uuid:%s\"/></head>"
                  "<docTitle><text>%s</text></docTitle><navMap>\n",
                  d->id, d->title);
    for (int i = 0; i < d->n; i++) {
        st_buf_printf(&nav, "<li><a href=\"chapter-%d.xhtml\">%s</a></li>\n", i + 1, chapter_title(d, i));
        st_buf_printf(&ncx,
                      "<navPoint id=\"n%d\" playOrder=\"%d\"><navLabel><text>%s</text></navLabel>"
                      "<content src=\"chapter-%d.xhtml\"/></navPoint>\n",
                      i + 1, i + 1, chapter_title(d, i), i + 1);
    }
    st_buf_str(&nav, "</ol></nav></body>\n</html>\n");
    st_buf_str(&ncx, "</navMap></ncx>\n");
    add(d, "EPUB/nav.xhtml", &nav);
    add(d, "EPUB/toc.ncx", &ncx);
}

static void add_package(const struct documents *d)
{
    struct st_buf b = ST_BUF(STORY_EPUB_MAX);
    st_buf_printf(&b,
                  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<package xmlns=\"http://www.idpf.org/2007/opf\" "
                  "version=\"3.0\" unique-identifier=\"id\" xml:lang=\"%s\">\n"
                  "<metadata xmlns:dc=\"http://purl.org/dc/elements/1.1/\">"
                  "<dc:identifier id=\"id\">urn:uuid:%s</dc:identifier><dc:title>%s</dc:title>"
                  "<dc:language>%s</dc:language>",
                  d->language, d->id, d->title, d->language);
    if (*d->author)
        st_buf_printf(&b, "<dc:creator>%s</dc:creator>", d->author);
    st_buf_printf(&b,
                  "<meta property=\"dcterms:modified\">%s</meta></metadata>\n<manifest>\n"
                  "<item id=\"nav\" href=\"nav.xhtml\" media-type=\"application/xhtml+xml\" properties=\"nav\"/>\n"
                  "<item id=\"ncx\" href=\"toc.ncx\" media-type=\"application/x-dtbncx+xml\"/>\n",
                  d->modified);
    for (int i = 1; i <= d->n; i++)
        st_buf_printf(&b, "<item id=\"c%d\" href=\"chapter-%d.xhtml\" media-type=\"application/xhtml+xml\"/>\n", i, i);
    st_buf_str(&b, "</manifest>\n<spine toc=\"ncx\">\n");
    for (int i = 1; i <= d->n; i++)
        st_buf_printf(&b, "<itemref idref=\"c%d\"/>\n", i);
    st_buf_str(&b, "</spine>\n</package>\n");
    add(d, "EPUB/package.opf", &b);
}

int story_epub(struct st_arena *arena, const struct story_book *book, const char **ret, size_t *ret_len)
{
    struct zip *zip = st_new(arena, struct zip);
    struct chapter *chapters = st_new_n(arena, struct chapter, CHAPTERS_MAX + 1);
    const struct documents d = {
        .arena = arena,
        .zip = zip,
        .id = book->id,
        .title = xml(arena, book->title, strlen(book->title)),
        .author = xml(arena, book->author, strlen(book->author)),
        .language = book->language ? book->language : "und",
        .modified = book->modified,
        .chapters = chapters,
        .n = find_chapters(arena, book->content, chapters),
    };
    zip->out = (struct st_buf)ST_BUF(STORY_EPUB_MAX);
    zip_add(zip, "mimetype", "application/epub+zip", strlen("application/epub+zip"));
    zip_add(zip, "META-INF/container.xml", container, strlen(container));
    add_package(&d);
    add_contents(&d);
    for (int i = 0; i < d.n; i++)
        add_chapter(&d, i);
    zip_end(zip);
    int r = zip->out.failed ? ST_E_TOO_LARGE : 0;
    if (r == 0) {
        *ret = memcpy(st_alloc(arena, zip->out.len), zip->out.data, zip->out.len);
        *ret_len = zip->out.len;
    }
    st_buf_release(&zip->out);
    return r;
}
