#ifndef ST_NARRATION_PRONOUNCE_H
#define ST_NARRATION_PRONOUNCE_H
/*
 * Pronunciation: words that are to be said as other words would be ("Siobhan" as "Shivawn"). It happens before a text
 * is planned, so that a changed rule changes the cache keys of those sentences alone that have the word.
 */
#include "base/base.h"

enum { ST_PRONOUNCE_RULES_MAX = 200, ST_PRONOUNCE_WORD_MAX = 100 };

struct st_pronounce_rule {
    const char *word; /* UTF-8, some words even; matched whole, in capitals or not */
    const char *say;
};

/*
 * The text with the rules applied, in the arena; text itself when none fits. At each place the longest word wins, of
 * equal ones the first; what was put in is not looked at again. Linear in the text, for rules of bounded length.
 */
const char *st_pronounce(struct st_arena *a, const struct st_pronounce_rule *rules, size_t n, const char *text);

#endif
