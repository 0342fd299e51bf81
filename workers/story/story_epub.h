#ifndef ST_STORY_EPUB_H
#define ST_STORY_EPUB_H
/* A story as an EPUB 3 book, also for readers of EPUB 2 (toc.ncx). Chapters begin at headings, lines that start with #.
 */
#include "base/base.h"

struct story_book {
    const char *id;                       /* UUID */
    const char *title, *author, *content; /* valid UTF-8; author may be empty */
    const char *language;                 /* BCP 47, or NULL */
    const char *modified;                 /* 2026-01-31T12:00:00Z */
};

enum { STORY_EPUB_MAX = 16 << 20 };

/* The file's bytes in the arena. ST_E_TOO_LARGE beyond STORY_EPUB_MAX. */
ST_MUSTCHECK int story_epub(struct st_arena *arena, const struct story_book *book, const char **ret, size_t *ret_len);

#endif
