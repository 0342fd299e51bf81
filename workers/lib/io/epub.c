/* EPUB 3: the documents of a book, in an archive. */
#include "io/epub.h"

#include "io/zip.h"

enum { DOCUMENT_MAX = 64 << 20, NAME_MAX_LEN = 64 };

#define XML "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"

struct writer {
    const struct st_epub *book;
    const char *language;
    struct st_zip zip;
};

/* --- text as XML ------------------------------------------------------------------------------------------------- */

static void put_text(struct st_buf *b, const char *s, size_t len)
{
    bool space = false, any = false;
    for (const char *end = s + len, *from = s; s < end; from = s) {
        uint32_t c = st_utf8_next(&s);
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
            space = any;
            continue;
        }
        if (c < ' ' || c == 0x7f || (c & 0xfffe) == 0xfffe || (c >= 0xfdd0 && c <= 0xfdef))
            continue;
        if (space)
            st_buf_char(b, ' ');
        space = false;
        any = true;
        if (c == '<' || c == '>' || c == '&' || c == '"')
            st_buf_str(b, c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : "&quot;");
        else
            st_buf_add(b, from, (size_t)(s - from));
    }
}

static void put(struct st_buf *b, const char *s)
{
    put_text(b, s, strlen(s));
}

/* A clock value of SMIL: hours, minutes, seconds. */
static void put_clock(struct st_buf *b, int64_t ms)
{
    st_buf_printf(b, "%lld:%02lld:%02lld.%03lld", (long long)(ms / 3600000), (long long)(ms / 60000 % 60),
                  (long long)(ms / 1000 % 60), (long long)(ms % 1000));
}

static void put_title(struct st_buf *b, const struct st_epub *book, size_t chapter)
{
    size_t before = b->len;
    if (book->chapters[chapter].title)
        put(b, book->chapters[chapter].title);
    if (b->len == before) /* there was nothing in it that can be shown */
        put(b, book->title);
}

/* --- chapters ---------------------------------------------------------------------------------------------------- */

static bool is_heard(const struct st_epub_span *s)
{
    return s->id && s->end_ms > s->start_ms;
}

static int64_t heard_ms(const struct writer *w, size_t chapter)
{
    const struct st_epub_chapter *c = &w->book->chapters[chapter];
    int64_t sum = 0;
    for (size_t i = 0; w->book->mp3_path && i < c->n_spans; i++)
        sum += is_heard(&c->spans[i]) ? c->spans[i].end_ms - c->spans[i].start_ms : 0;
    return sum;
}

/* Releases b. */
static void add(struct writer *w, const char *name, struct st_buf *b)
{
    st_zip_add(&w->zip, name, b->data, b->len);
    if (b->failed && w->zip.error == 0)
        w->zip.error = ST_E_TOO_LARGE;
    st_buf_release(b);
}

static void put_head(struct st_buf *b, const struct writer *w)
{
    st_buf_str(b, XML "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" "
                      "xmlns:epub=\"http://www.idpf.org/2007/ops\" xml:lang=\"");
    put(b, w->language);
    st_buf_str(b, "\" lang=\"");
    put(b, w->language);
    st_buf_str(b, "\">\n<head><title>");
}

static void put_span(struct st_buf *b, const struct st_epub_span *s)
{
    if (s->id)
        st_buf_printf(b, "<span id=\"s%s\">", s->id);
    put_text(b, s->text, s->len);
    if (s->id)
        st_buf_str(b, "</span>");
}

static void add_text(struct writer *w, size_t n)
{
    const struct st_epub_chapter *c = &w->book->chapters[n];
    struct st_buf b = ST_BUF(DOCUMENT_MAX);
    char name[NAME_MAX_LEN];
    put_head(&b, w);
    put_title(&b, w->book, n);
    st_buf_str(&b, "</title><link rel=\"stylesheet\" type=\"text/css\" href=\"book.css\"/></head>\n"
                   "<body id=\"body\">\n");
    for (size_t i = 0; i < c->n_spans; i++) {
        char tag[8] = "p";
        if (c->spans[i].heading)
            snprintf(tag, sizeof(tag), "h%u", (unsigned)c->spans[i].heading % 10);
        if (i == 0 || c->spans[i].begins)
            st_buf_printf(&b, "<%s>", tag);
        put_span(&b, &c->spans[i]);
        if (i + 1 == c->n_spans || c->spans[i + 1].begins)
            st_buf_printf(&b, "</%s>\n", tag);
        else
            st_buf_char(&b, ' ');
    }
    st_buf_str(&b, "</body>\n</html>\n");
    snprintf(name, sizeof(name), "book/c%zu.xhtml", n + 1);
    add(w, name, &b);
}

static void add_overlay(struct writer *w, size_t n)
{
    const struct st_epub_chapter *c = &w->book->chapters[n];
    struct st_buf b = ST_BUF(DOCUMENT_MAX);
    char name[NAME_MAX_LEN];
    st_buf_printf(&b,
                  XML "<smil xmlns=\"http://www.w3.org/ns/SMIL\" xmlns:epub=\"http://www.idpf.org/2007/ops\" "
                      "version=\"3.0\">\n<body>\n<seq id=\"all\" epub:textref=\"c%zu.xhtml#body\">\n",
                  n + 1);
    for (size_t i = 0; i < c->n_spans; i++) {
        const struct st_epub_span *s = &c->spans[i];
        if (!is_heard(s))
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
    add(w, name, &b);
}

/* --- what leads to them ------------------------------------------------------------------------------------------ */

static void add_contents(struct writer *w)
{
    struct st_buf nav = ST_BUF(DOCUMENT_MAX), ncx = ST_BUF(DOCUMENT_MAX);
    put_head(&nav, w);
    put(&nav, w->book->title);
    st_buf_str(&nav, "</title></head>\n<body>\n<nav epub:type=\"toc\"><ol>\n");
    st_buf_printf(&ncx,
                  XML "<ncx xmlns=\"http://www.daisy.org/z3986/2005/ncx/\" version=\"2005-1\"><head><meta "
                      "name=\"dtb:uid\" content=\"urn:uuid:%s\"/></head><docTitle><text>",
                  w->book->id);
    put(&ncx, w->book->title);
    st_buf_str(&ncx, "</text></docTitle><navMap>\n");
    for (size_t n = 0; n < w->book->n_chapters; n++) {
        st_buf_printf(&nav, "<li><a href=\"c%zu.xhtml\">", n + 1);
        put_title(&nav, w->book, n);
        st_buf_str(&nav, "</a></li>\n");
        st_buf_printf(&ncx, "<navPoint id=\"n%zu\" playOrder=\"%zu\"><navLabel><text>", n + 1, n + 1);
        put_title(&ncx, w->book, n);
        st_buf_printf(&ncx, "</text></navLabel><content src=\"c%zu.xhtml\"/></navPoint>\n", n + 1);
    }
    st_buf_str(&nav, "</ol></nav>\n</body>\n</html>\n");
    st_buf_str(&ncx, "</navMap></ncx>\n");
    add(w, "book/nav.xhtml", &nav);
    add(w, "book/toc.ncx", &ncx);
}

static void put_durations(struct st_buf *b, const struct writer *w)
{
    int64_t all = 0;
    for (size_t n = 0; n < w->book->n_chapters; n++) {
        int64_t ms = heard_ms(w, n);
        all += ms;
        if (!ms)
            continue;
        st_buf_printf(b, "<meta property=\"media:duration\" refines=\"#o%zu\">", n + 1);
        put_clock(b, ms);
        st_buf_str(b, "</meta>\n");
    }
    if (!all)
        return;
    st_buf_str(b, "<meta property=\"media:duration\">");
    put_clock(b, all);
    st_buf_str(b, "</meta>\n<meta property=\"media:active-class\">heard</meta>\n");
}

static void put_metadata(struct st_buf *b, const struct writer *w)
{
    char time[ST_TIME_LEN];
    st_time_format(w->book->modified, time);
    st_buf_printf(b,
                  XML "<package xmlns=\"http://www.idpf.org/2007/opf\" version=\"3.0\" unique-identifier=\"id\">\n"
                      "<metadata xmlns:dc=\"http://purl.org/dc/elements/1.1/\">\n"
                      "<dc:identifier id=\"id\">urn:uuid:%s</dc:identifier>\n<dc:title>",
                  w->book->id);
    put(b, w->book->title);
    st_buf_str(b, "</dc:title>\n<dc:language>");
    put(b, w->language);
    st_buf_str(b, "</dc:language>\n");
    if (w->book->author && *w->book->author) {
        st_buf_str(b, "<dc:creator>");
        put(b, w->book->author);
        st_buf_str(b, "</dc:creator>\n");
    }
    st_buf_printf(b, "<meta property=\"dcterms:modified\">%.19sZ</meta>\n", time);
    put_durations(b, w);
    st_buf_str(b, "</metadata>\n");
}

static void add_package(struct writer *w)
{
    struct st_buf b = ST_BUF(DOCUMENT_MAX);
    put_metadata(&b, w);
    st_buf_str(&b, "<manifest>\n"
                   "<item id=\"nav\" href=\"nav.xhtml\" media-type=\"application/xhtml+xml\" properties=\"nav\"/>\n"
                   "<item id=\"ncx\" href=\"toc.ncx\" media-type=\"application/x-dtbncx+xml\"/>\n"
                   "<item id=\"css\" href=\"book.css\" media-type=\"text/css\"/>\n");
    if (w->book->mp3_path)
        st_buf_str(&b, "<item id=\"audio\" href=\"audio.mp3\" media-type=\"audio/mpeg\"/>\n");
    for (size_t n = 1; n <= w->book->n_chapters; n++) {
        st_buf_printf(&b, "<item id=\"c%zu\" href=\"c%zu.xhtml\" media-type=\"application/xhtml+xml\"", n, n);
        if (heard_ms(w, n - 1))
            st_buf_printf(&b,
                          " media-overlay=\"o%zu\"/>\n<item id=\"o%zu\" href=\"c%zu.smil\" "
                          "media-type=\"application/smil+xml\"",
                          n, n, n);
        st_buf_str(&b, "/>\n");
    }
    st_buf_str(&b, "</manifest>\n<spine toc=\"ncx\">\n");
    for (size_t n = 1; n <= w->book->n_chapters; n++)
        st_buf_printf(&b, "<itemref idref=\"c%zu\"/>\n", n);
    st_buf_str(&b, "</spine>\n</package>\n");
    add(w, "book/package.opf", &b);
}

static void add_constant(struct writer *w, const char *name, const char *text)
{
    st_zip_add(&w->zip, name, text, strlen(text));
}

int st_epub_write(const struct st_epub *book, FILE *out)
{
    struct writer w = {.book = book, .language = book->language ? book->language : "und"};
    st_zip_begin(&w.zip, out);
    add_constant(&w, "mimetype", "application/epub+zip"); /* must be the first, at a place that readers know */
    add_constant(&w, "META-INF/container.xml",
                 XML "<container version=\"1.0\" xmlns=\"urn:oasis:names:tc:opendocument:xmlns:container\"><rootfiles>"
                     "<rootfile full-path=\"book/package.opf\" media-type=\"application/oebps-package+xml\"/>"
                     "</rootfiles></container>\n");
    add_package(&w);
    add_contents(&w);
    add_constant(&w, "book/book.css", ".heard { background-color: #ffe9a8; }\n");
    for (size_t n = 0; n < book->n_chapters; n++) {
        add_text(&w, n);
        if (heard_ms(&w, n))
            add_overlay(&w, n);
    }
    if (book->mp3_path)
        st_zip_add_file(&w.zip, "book/audio.mp3", book->mp3_path);
    return st_zip_end(&w.zip);
}
