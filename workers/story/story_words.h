#ifndef ST_STORY_WORDS_H
#define ST_STORY_WORDS_H
/*
 * A text as its words: letters, digits and symbols alone, the letters small, one space before the first word and behind
 * each. What two people write with other quotation marks, apostrophes, dashes and capitals is the same, and what is
 * found of one in the other stands between whole words. Scripts without spaces have words of one character.
 */
#include "base/base.h"

void story_words_add(struct st_buf *b, const char *text); /* to words, or to a space */
const char *story_words(struct st_arena *arena, const char *text);

/* What words are in a language, as far as the embedded analyser knows. */
struct an;
const struct an *story_lexicon(struct st_arena *arena, const char *language);

/* May it be somebody's name? No sign but those of names, and more than numbers, articles, pronouns, small verbs. */
bool story_may_name(struct st_arena *arena, const struct an *lexicon, const char *name);

#endif
