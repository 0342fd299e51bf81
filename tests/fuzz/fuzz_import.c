/*
 * Hostile files against the readers of story-import: the kind of file, then the file. 't' text, 'm' Markdown, 'e' an
 * EPUB as it is, 'b' one that is put together here, so that what is inside is reached without a checksum to guess:
 * container, package, and chapters a.xhtml, b.xhtml …, each behind a NUL.
 */
#include "io/json.h"
#include "io/zip.h"
#include "story/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHAPTERS = 8 };

static const char *put_together(struct st_arena *a, const char *data, size_t len, size_t *ret_len)
{
    const char *end = data + len, *stop = data;
    struct st_zip zip;
    char *book = NULL;
    FILE *out = open_memstream(&book, ret_len);
    st_zip_begin(&zip, out);
    for (int n = 0; n < CHAPTERS + 2 && stop; n++, data = stop ? stop + 1 : end) {
        const char *name = n == 0 ? "META-INF/container.xml" : n == 1 ? "OPS/book.opf" : NULL;
        stop = memchr(data, '\0', (size_t)(end - data));
        st_zip_add(&zip, name ? name : st_printf(a, "OPS/%c.xhtml", 'a' + n - 2), data,
                   (size_t)((stop ? stop : end) - data));
    }
    if (st_zip_end(&zip) < 0 || fclose(out) != 0)
        abort();
    st_defer(a, free, book);
    return book;
}

/* Fit for a story, or fit to be told its author: whole UTF-8 without control characters. */
static void check(const char *text, size_t max)
{
    if (!text)
        return;
    size_t len = strlen(text);
    struct st_buf tidy = ST_BUF(len + 1);
    if (len > max || !st_utf8_valid(text, len) || !import_tidy(&tidy, text, len) || tidy.len != len ||
        (len && memcmp(tidy.data, text, len) != 0))
        abort();
    st_buf_release(&tidy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct import opened;
    struct import found = {0};
    struct st_arena a = {0};
    if (!size)
        return 0;
    if (!opened.charsets)
        import_charsets(&opened);
    found.charsets = opened.charsets;
    const char *file = (const char *)data + 1;
    size_t len = size - 1;
    if (*data == 'b')
        file = put_together(&a, file, len, &len);
    if (*data == 'b' || *data == IMPORT_EPUB)
        import_epub(&found, file, len);
    else
        import_text(&found, file, len);
    if (!found.error == !found.content)
        abort();
    check(found.title, IMPORT_TEXT_MAX);
    check(found.language, 35);
    check(found.content, IMPORT_TEXT_MAX);
    st_arena_release(&found.arena);
    st_arena_release(&a);
    return 0;
}
