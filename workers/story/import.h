#ifndef ST_STORY_IMPORT_H
#define ST_STORY_IMPORT_H
/*
 * What storyd and its child program story-import say to each other, and the child's readers.
 *
 * Files that people bring are hostile, and archives and markup are read by large libraries; so each file is read by a
 * process of its own, which gains no privileges, can open no file and write none, and has little memory and time
 * (story_import.c sets the limits); it dies with its parent. Names inside an archive are looked up in the archive and
 * nowhere else.
 *
 *   stdin:   one byte, enum import_kind; the charset that a text is said to have, or nothing; a line feed; the file
 *   stdout:  {"title": text or absent, "language": tag or absent, "content": text}, or {"error": sentence}; exit 0
 *
 * What comes back is UTF-8 without control characters but line breaks and tabs, paragraphs divided by empty lines; of a
 * book headings marked by as many # as their level, emphasis by *, a new scene by a line "* * *". The title of a text
 * is its first line, when that is a heading or a short one alone; the content has it, too.
 */
#include "base/base.h"

enum import_kind { IMPORT_TEXT = 't', IMPORT_MARKDOWN = 'm', IMPORT_EPUB = 'e' };

enum {
    IMPORT_FILE_MAX = 10 << 20, /* bytes of a file; the contract has the same number */
    IMPORT_TEXT_MAX = 1 << 20,  /* of what comes of it: the longest story */
    IMPORT_ANSWER_MAX = 7 << 20,
    IMPORT_CPU_SECONDS = 10,
};

/* What a reader has found. Each string is NULL where there is none. error: a sentence for its author. */
struct import {
    struct st_arena arena;
    void *charset;   /* of import_charset; NULL: nobody has said it */
    void **charsets; /* of import_charsets */
    const char *title, *language, *content, *error;
};

/*
 * To be called while files can be opened still. Of a text: name: as iconv calls it; "": not said; false when it is
 * unknown. Of a book: all that there are (charsets.h), for each document says its own.
 */
bool import_charset(struct import *to, const char *name);
void import_charsets(struct import *to);

/*
 * Of a text that begins with a byte order mark that is its charset; else the one that was said; else UTF-8 where it is
 * valid, and Windows-1252 where the letters are those of a language that is written in it.
 */
void import_text(struct import *to, const char *data, size_t len);
void import_epub(struct import *to, const char *data, size_t len);

/*
 * A document of a book (XML, HTML) in UTF-8: itself or a copy. It is UTF-16 or UTF-8 where it looks so, also when a few
 * bytes are broken; else written as it declares, or Windows-1252 by its letters. NULL when it is none of these:
 * to->error is set.
 */
const char *import_document(struct import *to, const char *data, size_t *len);

/* Tidies text of any kind into `out`: valid UTF-8 in, see above out. False when it would pass IMPORT_TEXT_MAX. */
bool import_tidy(struct st_buf *out, const char *text, size_t len);

#endif
