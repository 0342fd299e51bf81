#ifndef ST_STORY_CHAPTERS_H
#define ST_STORY_CHAPTERS_H
/* Where chapters begin: paragraphs that are nothing but a title. */
#include "base/base.h"

/*
 * Is this paragraph a chapter's title? "CHAPTER IV.", "Chapter 4: The Fen", "# The Fen", "Zweites Kapitel", "Chapitre
 * premier", "Capítulo 3", "Prologue", "III.": a word for it, a Markdown heading of the two highest levels, or a Roman
 * number alone, in one short line. English, German, French, Spanish, Italian, Portuguese, Dutch, Russian.
 */
bool st_chapter_title(const char *text, size_t len);

#endif
