#ifndef ST_IO_EPUB_H
#define ST_IO_EPUB_H
/*
 * Writes a book as EPUB 3, which readers of EPUB 2 can open too (toc.ncx); with the sound of its words, if there is
 * any, as media overlays: each span is marked while it is heard. What comes out passes epubcheck. The same book makes
 * the same bytes.
 */
#include "base/base.h"

struct st_epub_span {
    const char *text; /* UTF-8; white space counts as one space, what XML has no characters for is left out */
    size_t len;
    const char *id;           /* letters and digits, its own in the book; NULL: it is never heard */
    int64_t start_ms, end_ms; /* in the sound; equal: it is not heard */
    bool begins;              /* a paragraph, or a heading, begins with it */
    int heading;              /* its level, 1 to 6; 0: text */
};

struct st_epub_chapter {
    const char *title; /* in the contents; NULL or empty: the book's */
    const struct st_epub_span *spans;
    size_t n_spans; /* at least one */
};

struct st_epub {
    const char *id;                        /* UUID */
    const char *title, *author, *language; /* author: may be empty; language: BCP 47, NULL: not known */
    int64_t modified;                      /* us since 1970 */
    const struct st_epub_chapter *chapters;
    size_t n_chapters;    /* at least one */
    const char *mp3_path; /* NULL: it has no sound */
};

/* ST_E_UNAVAILABLE: the sound cannot be read, or `out` not be written; ST_E_TOO_LARGE. */
ST_MUSTCHECK int st_epub_write(const struct st_epub *book, FILE *out);

#endif
