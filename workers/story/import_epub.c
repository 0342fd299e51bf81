/* EPUB: the archive by libzip, its documents by libxml2, in the order of the book's spine. */
#include <libxml/HTMLparser.h>
#include <libxml/hash.h>
#include <libxml/parser.h>
#include <zip.h>

#include "story/import.h"

enum {
    ENTRIES_MAX = 10000,
    ENTRY_MAX = 8 << 20,  /* bytes of a document, unpacked */
    TOTAL_MAX = 48 << 20, /* of all that are read */
    PATH_MAX_LEN = 1000,
    DEPTH_MAX = 200,
    TAG_MARKS_MAX = 4000, /* spaces, quotes and "=" of a tag, as more than a thousand attributes have */
    ITEMS_MAX = 5000,
    TEXT_LIMIT = 4 << 20,
    EMPHASIS_MAX = 600, /* bytes of *emphasis* that are read as such (analyse_quote.c) */
};

struct book {
    struct import *to;
    zip_t *zip;
    size_t total;
    char folder[PATH_MAX_LEN + 1]; /* of the package document, with '/' at its end, or "" */
    struct st_buf text;
    size_t emphasis, behind; /* where the last one begins and ends in it, marks included */
};

static const char broken[] = "The file is no EPUB, or is damaged.";

static void *fail(struct book *b, const char *why)
{
    if (!b->to->error)
        b->to->error = why;
    return NULL;
}

/* The library compares each attribute of a tag with all others. */
static bool has_endless_tag(const char *s, size_t len)
{
    bool inside = false;
    int marks = 0;
    for (const char *end = s + len; s < end; s++) {
        if (*s == '<') {
            inside = s[1] != '!' && s[1] != '?'; /* a NUL follows */
            marks = 0;
        } else if (*s == '>') {
            inside = false;
        } else if (inside && *s && strchr(" \t\r\n\f\"'=", *s) && ++marks > TAG_MARKS_MAX) {
            return true;
        }
    }
    return false;
}

/* A document of the archive, NUL behind it. */
static char *unpack(struct book *b, const char *name, size_t *ret_len)
{
    zip_stat_t st;
    zip_int64_t at = zip_name_locate(b->zip, name, 0);
    if (at < 0 || zip_stat_index(b->zip, (zip_uint64_t)at, 0, &st) < 0 || !(st.valid & ZIP_STAT_SIZE))
        return fail(b, broken);
    if (st.size > ENTRY_MAX || b->total + st.size > TOTAL_MAX)
        return fail(b, "The book is larger than a story can be.");
    if ((st.valid & ZIP_STAT_ENCRYPTION_METHOD) && st.encryption_method != ZIP_EM_NONE)
        return fail(b, "The book is encrypted.");
    zip_file_t *f = zip_fopen_index(b->zip, (zip_uint64_t)at, 0);
    char *data = f ? st_alloc(&b->to->arena, st.size + 1) : NULL, more;
    bool whole = f && zip_fread(f, data, st.size) == (zip_int64_t)st.size &&
                 zip_fread(f, &more, 1) == 0; /* at the end, and only there, the checksum is looked at */
    if (f)
        zip_fclose(f);
    if (whole)
        data[st.size] = '\0';
    if (!whole)
        return fail(b, broken);
    b->total += st.size;
    *ret_len = st.size;
    return data;
}

/* The same in UTF-8, whatever it says of itself. */
static const char *read_document(struct book *b, const char *name, size_t *ret_len)
{
    const char *data = unpack(b, name, ret_len), *text = data ? import_document(b->to, data, ret_len) : NULL;
    return text && has_endless_tag(text, *ret_len) ? fail(b, broken) : text;
}

static xmlDoc *parse(struct book *b, const char *name)
{
    size_t len;
    const char *data = read_document(b, name, &len);
    if (!data)
        return NULL;
    /* Entities are not expanded, nothing is fetched, and the library's limits on depth and size hold. */
    xmlDoc *doc = xmlReadMemory(data, (int)len, NULL, "UTF-8",
                                XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_RECOVER |
                                    XML_PARSE_IGNORE_ENC);
    if (doc && xmlDocGetRootElement(doc))
        return doc;
    xmlFreeDoc(doc);
    return fail(b, broken);
}

static bool is(const xmlNode *n, const char *name)
{
    return n->type == XML_ELEMENT_NODE && st_streq((const char *)n->name, name);
}

static const char *attribute(struct book *b, xmlNode *n, const char *name)
{
    xmlChar *value = xmlGetNoNsProp(n, (const xmlChar *)name);
    const char *copy = value ? st_strdup(&b->to->arena, (const char *)value) : NULL;
    xmlFree(value);
    return copy;
}

static xmlNode *child(const xmlNode *parent, const char *name)
{
    for (xmlNode *n = parent ? parent->children : NULL; n; n = n->next)
        if (is(n, name))
            return n;
    return NULL;
}

/* --- paths in the archive --- */

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* Against the package's folder; "..", "%2e%2e" and the like never lead out of the archive. NULL: no such path. */
static const char *resolve(struct book *b, const char *href)
{
    char path[2 * PATH_MAX_LEN + 2], *out;
    size_t n = strlen(b->folder);
    memcpy(path, b->folder, n);
    for (const char *s = href; *s && *s != '#' && *s != '?'; s++) {
        if (n >= 2 * PATH_MAX_LEN)
            return NULL;
        int c = *s;
        if (c == '%' && hex(s[1]) >= 0 && hex(s[2]) >= 0) {
            c = hex(s[1]) << 4 | hex(s[2]);
            s += 2;
        }
        if (c == 0 || c == '\\')
            return NULL;
        path[n++] = (char)c;
    }
    path[n] = '\0';
    out = st_alloc(&b->to->arena, n + 2);
    size_t len = 0;
    for (const char *s = path; *s;) {
        size_t part = strcspn(s, "/");
        if (part == 2 && s[0] == '.' && s[1] == '.') {
            if (!len)
                return NULL;
            while (len && out[--len] != '/')
                ;
        } else if (part && !(part == 1 && *s == '.')) {
            if (len)
                out[len++] = '/';
            memcpy(out + len, s, part);
            len += part;
        }
        s += part + (s[part] == '/');
    }
    out[len] = '\0';
    return len ? out : NULL;
}

/* --- a chapter as text --- */

static bool is_any(const xmlNode *n, const char *const *names)
{
    for (; *names; names++)
        if (strcasecmp((const char *)n->name, *names) == 0)
            return true;
    return false;
}

static void paragraph(struct st_buf *t)
{
    if (t->len)
        st_buf_str(t, "\n\n");
}

/* Is the line that ends here "#" to "######"? With a space behind it would be a heading. */
static bool is_mark(const struct st_buf *t)
{
    size_t n = 0;
    while (n < t->len && t->data[t->len - 1 - n] == '#')
        n++;
    return n && (n == t->len || t->data[t->len - 1 - n] == '\n');
}

static void put_words(struct st_buf *t, const char *s)
{
    for (; *s; s++) {
        bool space = strchr(" \t\r\n", *s) != NULL;
        if (!space)
            st_buf_char(t, *s);
        else if (t->len && !strchr(" \n", t->data[t->len - 1]))
            st_buf_str(t, is_mark(t) ? "\u00a0" : " ");
    }
}

/* --- emphasis: within one line, and where the marks are read as such: not beside a letter --- */

/* By its bytes, for the text may be broken: beyond ASCII all but U+0080 to 00BF, 2000 to 207F, 3000 to 303F. */
static bool is_letter(const char *s)
{
    unsigned char c = (unsigned char)*s, next = c ? (unsigned char)s[1] : 0;
    return c < 0x80 ? st_is_alnum(*s) : c != 0xc2 && !(c == 0xe2 && next <= 0x81) && !(c == 0xe3 && next == 0x80);
}

static bool follows_letter(const struct st_buf *t, size_t at)
{
    while (at && ((unsigned char)t->data[--at] & 0xc0) == 0x80)
        ;
    return t->len && is_letter(t->data + at);
}

/* Without its marks, when something comes directly behind them that takes their meaning. */
static void take_back(struct book *b)
{
    struct st_buf *t = &b->text;
    size_t n = b->behind - b->emphasis - 2;
    memmove(t->data + b->emphasis, t->data + b->emphasis + 1, n);
    t->len = b->emphasis + n;
    t->data[t->len] = '\0';
    b->behind = 0;
}

/* Where emphasis begins: what ends right here goes on. */
static size_t begin_emphasis(struct book *b)
{
    if (!b->behind || b->behind != b->text.len)
        return b->text.len;
    take_back(b);
    return b->emphasis;
}

static void end_emphasis(struct book *b, size_t begin)
{
    struct st_buf *t = &b->text;
    while (begin < t->len && t->data[begin] == ' ')
        begin++;
    size_t n = t->len - begin, tail = 0;
    if (!n || n > EMPHASIS_MAX || memchr(t->data + begin, '\n', n) || memchr(t->data + begin, '*', n) ||
        (begin && follows_letter(t, begin)))
        return;
    while (t->data[t->len - 1 - tail] == ' ')
        tail++;
    n -= tail;
    st_buf_str(t, "**");
    if (t->failed)
        return;
    memmove(t->data + begin + n + 2, t->data + begin + n, tail);
    memmove(t->data + begin + 1, t->data + begin, n);
    t->data[begin] = t->data[begin + n + 1] = '*';
    b->emphasis = begin;
    b->behind = begin + n + 2;
}

static void put_text(struct book *b, const char *s)
{
    if (b->behind && b->behind == b->text.len && is_letter(s))
        take_back(b);
    put_words(&b->text, s);
}

/* A heading is one line, whatever is in it. */
static void walk(struct book *b, const xmlNode *node, int depth, bool in_heading)
{
    static const char *const skipped[] = {
        "head",  "script", "style",  "svg",      "math", "nav", "template", "object",
        "audio", "video",  "iframe", "noscript", "rp",   "rt",  NULL}; /* the last two: how characters are read, beside
                                                                          them */
    static const char *const cells[] = {"td", "th", NULL}, *const emphases[] = {"i", "em", NULL};
    static const char *const blocks[] = {"p",  "div", "section", "article", "blockquote", "li", "ul", "ol", "table",
                                         "tr", "pre", "figure",  "aside",   "header",     "dt", "dd", "hr", NULL};
    for (const xmlNode *n = node; n && depth < DEPTH_MAX && !b->text.failed; n = n->next) {
        if (n->type == XML_TEXT_NODE || n->type == XML_CDATA_SECTION_NODE)
            put_text(b, n->content ? (const char *)n->content : "");
        if (n->type != XML_ELEMENT_NODE || is_any(n, skipped))
            continue;
        char c = (char)(n->name[0] | 32);
        bool heading = c == 'h' && n->name[1] >= '1' && n->name[1] <= '6' && !n->name[2];
        bool block = heading || is_any(n, blocks), line = strcasecmp((const char *)n->name, "br") == 0;
        bool cell = is_any(n, cells) || (in_heading && (block || line));
        bool emphasis = !in_heading && is_any(n, emphases);
        if (block && !in_heading)
            paragraph(&b->text);
        if (heading && !in_heading)
            st_buf_printf(&b->text, "%.*s ", n->name[1] - '0', "######");
        if (b->text.len && !in_heading && strcasecmp((const char *)n->name, "hr") == 0)
            st_buf_str(&b->text, "* * *");
        if (line && !in_heading)
            st_buf_char(&b->text, '\n');
        if (cell)
            put_words(&b->text, " ");
        size_t begin = emphasis ? begin_emphasis(b) : 0;
        walk(b, n->children, depth + 1, in_heading || heading);
        if (emphasis)
            end_emphasis(b, begin);
        if (cell)
            put_words(&b->text, " ");
        if (block && !in_heading)
            paragraph(&b->text);
    }
}

/* By the HTML reader, which takes whatever books have, and knows their entities. */
static void add_chapter(struct book *b, const char *name)
{
    size_t len;
    const char *data = read_document(b, name, &len);
    if (!data)
        return;
    htmlDocPtr doc = htmlReadMemory(data, (int)len, NULL, "UTF-8",
                                    HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING | HTML_PARSE_NONET |
                                        HTML_PARSE_IGNORE_ENC);
    if (!doc)
        return;
    paragraph(&b->text);
    walk(b, xmlDocGetRootElement(doc), 0, false);
    xmlFreeDoc(doc);
    if (b->text.failed || b->text.len > TEXT_LIMIT)
        fail(b, "The text is longer than a story can be.");
}

/* --- the book --- */

static const char *package_path(struct book *b)
{
    xmlDoc *doc = parse(b, "META-INF/container.xml");
    if (!doc)
        return NULL;
    xmlNode *file = child(child(xmlDocGetRootElement(doc), "rootfiles"), "rootfile");
    const char *href = file ? attribute(b, file, "full-path") : NULL;
    const char *path = href ? resolve(b, href) : NULL;
    xmlFreeDoc(doc);
    const char *slash = path ? strrchr(path, '/') : NULL;
    if (slash && slash - path < PATH_MAX_LEN)
        snprintf(b->folder, sizeof(b->folder), "%.*s", (int)(slash - path + 1), path);
    return path ? path : fail(b, broken);
}

/* One line of the metadata, tidied; NULL where there is none, or it is longer than max. */
static const char *line_of(struct book *b, xmlNode *n, size_t max)
{
    xmlChar *content = n ? xmlNodeGetContent(n) : NULL;
    struct st_buf words = ST_BUF(TEXT_LIMIT), tidy = ST_BUF(TEXT_LIMIT);
    put_words(&words, content ? (const char *)content : "");
    bool ok = words.len && st_utf8_valid(words.data, words.len) && import_tidy(&tidy, words.data, words.len) &&
              tidy.len && tidy.len <= max;
    const char *line = ok ? st_strndup(&b->to->arena, tidy.data, tidy.len) : NULL;
    xmlFree(content);
    st_buf_release(&words);
    st_buf_release(&tidy);
    return line;
}

/* The readable documents of the manifest: id -> href, of which the first counts. */
static xmlHashTable *documents_of(struct book *b, const xmlNode *manifest)
{
    xmlHashTable *table = xmlHashCreate(0);
    int n = 0;
    for (xmlNode *item = manifest->children; item && table && n < ITEMS_MAX; item = item->next) {
        if (!is(item, "item") || ++n < 0)
            continue;
        const char *id = attribute(b, item, "id"), *href = attribute(b, item, "href");
        const char *type = attribute(b, item, "media-type");
        if (id && href && type && (strstr(type, "html") || strstr(type, "dtbook")))
            xmlHashAddEntry(table, (const xmlChar *)id, (void *)href);
    }
    return table;
}

static void read_spine(struct book *b, const xmlNode *spine, xmlHashTable *documents)
{
    int n = 0;
    for (xmlNode *item = spine->children; item && n < ITEMS_MAX && !b->to->error; item = item->next) {
        if (!is(item, "itemref") || ++n < 0)
            continue;
        const char *id = attribute(b, item, "idref");
        const char *href = id ? xmlHashLookup(documents, (const xmlChar *)id) : NULL;
        const char *chapter = href ? resolve(b, href) : NULL;
        if (href && !chapter)
            fail(b, broken);
        if (chapter)
            add_chapter(b, chapter);
    }
}

static void read_package(struct book *b, const char *path)
{
    xmlDoc *doc = parse(b, path);
    xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL, *metadata = child(root, "metadata");
    xmlNode *manifest = child(root, "manifest"), *spine = child(root, "spine");
    xmlHashTable *documents = manifest && spine ? documents_of(b, manifest) : NULL;
    if (documents) {
        b->to->title = line_of(b, child(metadata, "title"), 800);
        b->to->language = line_of(b, child(metadata, "language"), 35);
        read_spine(b, spine, documents);
    } else {
        fail(b, broken);
    }
    xmlHashFree(documents, NULL);
    xmlFreeDoc(doc);
}

static void read_book(struct book *b)
{
    struct st_buf tidy = ST_BUF(TEXT_LIMIT + (1 << 20));
    const char *path = package_path(b);
    if (path)
        read_package(b, path);
    if (!b->to->error && b->text.len && !st_utf8_valid(b->text.data, b->text.len))
        fail(b, broken);
    if (!b->to->error && !import_tidy(&tidy, b->text.data ? b->text.data : "", b->text.len))
        fail(b, "The text is longer than a story can be.");
    if (!b->to->error)
        b->to->content = st_strndup(&b->to->arena, tidy.data ? tidy.data : "", tidy.len);
    st_buf_release(&tidy);
}

void import_epub(struct import *to, const char *data, size_t len)
{
    struct book b = {.to = to, .text = ST_BUF(TEXT_LIMIT + (1 << 20))};
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t *source = zip_source_buffer_create(data, len, 0, &error);
    b.zip = source ? zip_open_from_source(source, ZIP_RDONLY, &error) : NULL;
    if (b.zip && zip_get_num_entries(b.zip, 0) <= ENTRIES_MAX)
        read_book(&b);
    else
        fail(&b, broken);
    if (b.zip)
        zip_discard(b.zip);
    else if (source)
        zip_source_free(source);
    zip_error_fini(&error);
    st_buf_release(&b.text);
}
