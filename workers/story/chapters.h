#ifndef ST_STORY_CHAPTERS_H
#define ST_STORY_CHAPTERS_H
/* Where chapters begin: paragraphs that are nothing but a title. */
#include "base/base.h"

/*
 * Is this paragraph a chapter's title? "CHAPTER IV.", "Chapter Three: The Fen", "# The Fen", "Zweites Kapitel",
 * "Chapitre premier", "Глава третья, в которой …", "Part Two", "Prologue", "III.": a word for it with a number, a title
 * or few words; a Markdown heading of the two highest levels; or a Roman number alone; in one short line. No sentence
 * that begins so ("Chapter three was the best, she said."). English, German, French, Spanish, Italian, Portuguese,
 * Dutch, Russian.
 */
bool st_chapter_title(const char *text, size_t len);

#endif
