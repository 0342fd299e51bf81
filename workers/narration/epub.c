/* An EPUB 3 with media overlays: each segment is highlighted while it is heard. Stored, not compressed: it is sound. */
#include "narration/captions.h"

enum { DOCUMENT_MAX = 64 << 20, BLOCK = 64 << 10, NAME_MAX_LEN = 64 };

/* --- a zip file, by APPNOTE.TXT 4.3: local headers, then the directory ------------------------------------------- */

struct zip {
    FILE *out;
    struct st_buf directory;
    uint32_t files;
    bool failed;
};

static uint32_t crc32_of(uint32_t crc, const unsigned char *s, size_t len)
{
    static uint32_t table[256];
    if (!table[1]) { /* threads that meet here write the same; entry 1 is the last */
        for (uint32_t i = 256; i-- > 0;) {
            uint32_t c = i;
            for (int bit = 0; bit < 8; bit++)
                c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
            __atomic_store_n(&table[i], c, __ATOMIC_RELEASE);
        }
    }
    crc = ~crc;
    for (size_t i = 0; i < len; i++)
        crc = table[(crc ^ s[i]) & 0xff] ^ crc >> 8;
    return ~crc;
}

static void put16(struct st_buf *b, uint32_t n)
{
    const unsigned char bytes[] = {(unsigned char)n, (unsigned char)(n >> 8)};
    st_buf_add(b, bytes, sizeof(bytes));
}

static void put32(struct st_buf *b, uint32_t n)
{
    put16(b, n & 0xffff);
    put16(b, n >> 16);
}

/* What local header and directory have in common. The date is 1980-01-01: a book is a function of its story. */
static void put_entry(struct st_buf *b, uint32_t crc, uint32_t size, const char *name)
{
    put16(b, 20);    /* version needed */
    put16(b, 0x800); /* names are UTF-8 */
    put16(b, 0);     /* stored */
    put16(b, 0);
    put16(b, 1 << 5 | 1);
    put32(b, crc);
    put32(b, size);
    put32(b, size);
    put16(b, (uint32_t)strlen(name));
    put16(b, 0);
}

static void zip_write(struct zip *z, const void *data, size_t len)
{
    z->failed = z->failed || fwrite(data, 1, len, z->out) != len;
}

static void put_local(struct zip *z, uint32_t crc, uint32_t size, const char *name)
{
    struct st_buf b = ST_BUF(1024);
    put32(&b, 0x04034b50);
    put_entry(&b, crc, size, name);
    st_buf_str(&b, name);
    zip_write(z, b.data, b.len);
    st_buf_release(&b);
}

static void put_directory(struct zip *z, uint32_t crc, uint32_t size, const char *name, long at)
{
    put32(&z->directory, 0x02014b50);
    put16(&z->directory, 20); /* made by */
    put_entry(&z->directory, crc, size, name);
    put16(&z->directory, 0);
    put16(&z->directory, 0);
    put16(&z->directory, 0);
    put32(&z->directory, 0);
    put32(&z->directory, (uint32_t)at);
    st_buf_str(&z->directory, name);
    z->files++;
}

static void zip_add(struct zip *z, const char *name, const struct st_buf *data)
{
    uint32_t crc = crc32_of(0, (const unsigned char *)data->data, data->len);
    z->failed = z->failed || data->failed;
    put_directory(z, crc, (uint32_t)data->len, name, ftell(z->out));
    put_local(z, crc, (uint32_t)data->len, name);
    zip_write(z, data->data, data->len);
}

/* A file of any size, whose checksum is known when it has been copied. */
static void zip_add_file(struct zip *z, const char *name, const char *path)
{
    unsigned char block[BLOCK];
    uint32_t crc = 0;
    uint64_t size = 0;
    long at = ftell(z->out);
    FILE *in = fopen(path, "re");
    put_local(z, 0, 0, name);
    for (size_t n; in && (n = fread(block, 1, sizeof(block), in)) > 0; size += n) {
        crc = crc32_of(crc, block, n);
        zip_write(z, block, n);
    }
    z->failed = z->failed || !in || ferror(in) || size > UINT32_MAX - (1 << 20) || fseek(z->out, at, SEEK_SET) < 0;
    put_local(z, crc, (uint32_t)size, name);
    z->failed = z->failed || fseek(z->out, 0, SEEK_END) < 0;
    put_directory(z, crc, (uint32_t)size, name, at);
    if (in)
        fclose(in);
}

static void zip_finish(struct zip *z)
{
    struct st_buf end = ST_BUF(64);
    long at = ftell(z->out);
    put32(&end, 0x06054b50);
    put32(&end, 0);
    put16(&end, z->files);
    put16(&end, z->files);
    put32(&end, (uint32_t)z->directory.len);
    put32(&end, (uint32_t)at);
    put16(&end, 0);
    zip_write(z, z->directory.data, z->directory.len);
    zip_write(z, end.data, end.len);
    z->failed = z->failed || z->directory.failed || z->files > UINT16_MAX;
    st_buf_release(&end);
}

/* --- the book ---------------------------------------------------------------------------------------------------- */

#define XML "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"

/* What XML 1.0 has no characters for becomes a space. */
static void put_xml(struct st_buf *b, const char *s)
{
    while (*s) {
        const char *from = s;
        uint32_t c = st_utf8_next(&s);
        if (c == '<' || c == '>' || c == '&' || c == '"')
            st_buf_str(b, c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : "&quot;");
        else if ((c < ' ' && c != '\t' && c != '\n') || c == 0x7f || (c & 0xfffe) == 0xfffe)
            st_buf_char(b, ' ');
        else
            st_buf_add(b, from, (size_t)(s - from));
    }
}

/* A clock value of SMIL: hours, minutes, seconds. */
static void put_clock(struct st_buf *b, int64_t ms)
{
    st_buf_printf(b, "%lld:%02lld:%02lld.%03lld", (long long)(ms / 3600000), (long long)(ms / 60000 % 60),
                  (long long)(ms / 1000 % 60), (long long)(ms % 1000));
}

struct chapter {
    size_t first, count; /* segments */
    int64_t heard_ms;
};

struct book {
    const struct st_epub *epub;
    struct chapter *chapters;
    size_t n_chapters;
    struct zip zip;
};

static const char *chapter_title(const struct book *book, size_t n)
{
    const struct st_caption_segment *s = &book->epub->segments[book->chapters[n].first];
    const char *text = s->heading ? s->text : book->epub->title;
    return text + strspn(text, "# ");
}

static void find_chapters(struct book *book, struct st_arena *a)
{
    const struct st_epub *e = book->epub;
    book->chapters = st_new_n(a, struct chapter, e->n_segments + 1);
    for (size_t i = 0; i < e->n_segments; i++) {
        const struct st_caption_segment *s = &e->segments[i];
        if (i == 0 || s->heading)
            book->chapters[book->n_chapters++].first = i;
        struct chapter *c = &book->chapters[book->n_chapters - 1];
        c->count++;
        c->heard_ms += s->end_ms - s->start_ms;
    }
}

static void add_text(struct book *book, size_t n)
{
    const struct chapter *c = &book->chapters[n];
    const struct st_caption_segment *s = &book->epub->segments[c->first];
    struct st_buf b = ST_BUF(DOCUMENT_MAX);
    char name[NAME_MAX_LEN];
    st_buf_str(&b, XML "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"");
    put_xml(&b, book->epub->language);
    st_buf_str(&b, "\" lang=\"");
    put_xml(&b, book->epub->language);
    st_buf_str(&b, "\">\n<head><title>");
    put_xml(&b, chapter_title(book, n));
    st_buf_str(&b,
               "</title><link rel=\"stylesheet\" type=\"text/css\" href=\"book.css\"/></head>\n<body id=\"body\">\n");
    for (size_t i = 0; i < c->count; i++) {
        const char *tag = s[i].heading ? "h2" : "p";
        bool begins = i == 0 || s[i].paragraph != s[i - 1].paragraph;
        bool ends = i + 1 == c->count || s[i + 1].paragraph != s[i].paragraph;
        if (begins)
            st_buf_printf(&b, "<%s>", tag);
        st_buf_printf(&b, "<span id=\"s%s\">", s[i].id);
        put_xml(&b, s[i].text + (s[i].heading ? strspn(s[i].text, "# ") : 0));
        st_buf_str(&b, "</span>");
        if (ends)
            st_buf_printf(&b, "</%s>\n", begins ? tag : "p");
        else
            st_buf_char(&b, ' ');
    }
    st_buf_str(&b, "</body>\n</html>\n");
    snprintf(name, sizeof(name), "book/c%zu.xhtml", n + 1);
    zip_add(&book->zip, name, &b);
    st_buf_release(&b);
}

static void add_overlay(struct book *book, size_t n)
{
    const struct chapter *c = &book->chapters[n];
    struct st_buf b = ST_BUF(DOCUMENT_MAX);
    char name[NAME_MAX_LEN];
    st_buf_printf(&b,
                  XML "<smil xmlns=\"http://www.w3.org/ns/SMIL\" xmlns:epub=\"http://www.idpf.org/2007/ops\" "
                      "version=\"3.0\">\n<body>\n<seq id=\"all\" epub:textref=\"c%zu.xhtml#body\">\n",
                  n + 1);
    for (size_t i = 0; i < c->count; i++) {
        const struct st_caption_segment *s = &book->epub->segments[c->first + i];
        if (s->end_ms <= s->start_ms)
            continue;
        st_buf_printf(&b, "<par id=\"p%s\"><text src=\"c%zu.xhtml#s%s\"/><audio src=\"audio.mp3\" clipBegin=\"", s->id,
                      n + 1, s->id);
        put_clock(&b, s->start_ms);
        st_buf_str(&b, "\" clipEnd=\"");
        put_clock(&b, s->end_ms);
        st_buf_str(&b, "\"/></par>\n");
    }
    st_buf_str(&b, "</seq>\n</body>\n</smil>\n");
    snprintf(name, sizeof(name), "book/c%zu.smil", n + 1);
    zip_add(&book->zip, name, &b);
    st_buf_release(&b);
}

static void add_contents(struct book *book)
{
    struct st_buf b = ST_BUF(DOCUMENT_MAX);
    st_buf_str(&b, XML "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" "
                       "xmlns:epub=\"http://www.idpf.org/2007/ops\">\n<head><title>");
    put_xml(&b, book->epub->title);
    st_buf_str(&b, "</title></head>\n<body>\n<nav epub:type=\"toc\"><ol>\n");
    for (size_t n = 0; n < book->n_chapters; n++) {
        st_buf_printf(&b, "<li><a href=\"c%zu.xhtml\">", n + 1);
        put_xml(&b, chapter_title(book, n));
        st_buf_str(&b, "</a></li>\n");
    }
    st_buf_str(&b, "</ol></nav>\n</body>\n</html>\n");
    zip_add(&book->zip, "book/nav.xhtml", &b);
    st_buf_release(&b);
}

static void put_metadata(struct st_buf *b, const struct book *book)
{
    const struct st_epub *e = book->epub;
    char time[ST_TIME_LEN];
    int64_t heard = 0;
    st_time_format(e->modified, time);
    st_buf_printf(b,
                  XML "<package xmlns=\"http://www.idpf.org/2007/opf\" version=\"3.0\" unique-identifier=\"id\">\n"
                      "<metadata xmlns:dc=\"http://purl.org/dc/elements/1.1/\">\n"
                      "<dc:identifier id=\"id\">urn:uuid:%s</dc:identifier>\n<dc:title>",
                  e->id);
    put_xml(b, e->title);
    st_buf_str(b, "</dc:title>\n<dc:language>");
    put_xml(b, e->language);
    st_buf_printf(b, "</dc:language>\n<meta property=\"dcterms:modified\">%.19sZ</meta>\n", time);
    for (size_t n = 0; n < book->n_chapters; n++) {
        heard += book->chapters[n].heard_ms;
        st_buf_printf(b, "<meta property=\"media:duration\" refines=\"#o%zu\">", n + 1);
        put_clock(b, book->chapters[n].heard_ms);
        st_buf_str(b, "</meta>\n");
    }
    st_buf_str(b, "<meta property=\"media:duration\">");
    put_clock(b, heard);
    st_buf_str(b, "</meta>\n<meta property=\"media:active-class\">heard</meta>\n</metadata>\n");
}

static void add_package(struct book *book)
{
    struct st_buf b = ST_BUF(DOCUMENT_MAX);
    put_metadata(&b, book);
    st_buf_str(&b, "<manifest>\n"
                   "<item id=\"nav\" href=\"nav.xhtml\" media-type=\"application/xhtml+xml\" properties=\"nav\"/>\n"
                   "<item id=\"css\" href=\"book.css\" media-type=\"text/css\"/>\n"
                   "<item id=\"audio\" href=\"audio.mp3\" media-type=\"audio/mpeg\"/>\n");
    for (size_t n = 1; n <= book->n_chapters; n++) {
        st_buf_printf(&b, "<item id=\"c%zu\" href=\"c%zu.xhtml\" media-type=\"application/xhtml+xml\"", n, n);
        if (book->chapters[n - 1].heard_ms > 0)
            st_buf_printf(&b,
                          " media-overlay=\"o%zu\"/>\n<item id=\"o%zu\" href=\"c%zu.smil\" "
                          "media-type=\"application/smil+xml\"",
                          n, n, n);
        st_buf_str(&b, "/>\n");
    }
    st_buf_str(&b, "</manifest>\n<spine>\n");
    for (size_t n = 1; n <= book->n_chapters; n++)
        st_buf_printf(&b, "<itemref idref=\"c%zu\"/>\n", n);
    st_buf_str(&b, "</spine>\n</package>\n");
    zip_add(&book->zip, "book/package.opf", &b);
    st_buf_release(&b);
}

static void add_constant(struct zip *z, const char *name, const char *text)
{
    struct st_buf b = ST_BUF(4096);
    st_buf_str(&b, text);
    zip_add(z, name, &b);
    st_buf_release(&b);
}

static void add_all(struct book *book)
{
    struct zip *z = &book->zip;
    add_constant(z, "mimetype", "application/epub+zip"); /* must be the first, at a place that readers know */
    add_constant(z, "META-INF/container.xml",
                 XML "<container version=\"1.0\" xmlns=\"urn:oasis:names:tc:opendocument:xmlns:container\"><rootfiles>"
                     "<rootfile full-path=\"book/package.opf\" media-type=\"application/oebps-package+xml\"/>"
                     "</rootfiles></container>\n");
    add_package(book);
    add_contents(book);
    add_constant(z, "book/book.css", ".heard { background-color: #ffe9a8; }\n");
    for (size_t n = 0; n < book->n_chapters; n++) {
        add_text(book, n);
        if (book->chapters[n].heard_ms > 0)
            add_overlay(book, n);
    }
    zip_add_file(z, "book/audio.mp3", book->epub->mp3_path);
    zip_finish(z);
}

int st_epub_write(const struct st_epub *epub, const char *path)
{
    struct st_arena a = {0};
    struct book book = {.epub = epub, .zip = {.out = fopen(path, "w+e"), .directory = ST_BUF(64 << 20)}};
    if (!book.zip.out)
        return ST_E_UNAVAILABLE;
    find_chapters(&book, &a);
    add_all(&book);
    bool bad = fclose(book.zip.out) != 0 || book.zip.failed;
    st_buf_release(&book.zip.directory);
    st_arena_release(&a);
    if (bad)
        remove(path);
    return bad ? ST_E_UNAVAILABLE : 0;
}
