#ifndef ST_STORY_MARKDOWN_H
#define ST_STORY_MARKDOWN_H
/*
 * What a person reads of Markdown: of a link its words, of a picture what it is said to show, code without its marks.
 * Where `emphasis`, the marks of emphasis go, too. What only looks like it (brackets without an address, one mark
 * alone) stays, and so do lines, headings and lists. A copy, which is never longer than the text.
 */
#include "base/base.h"

char *st_markdown_read(struct st_arena *a, const char *text, size_t len, bool emphasis, size_t *ret_len);

#endif
