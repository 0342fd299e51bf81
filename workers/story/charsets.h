#ifndef ST_STORY_CHARSETS_H
#define ST_STORY_CHARSETS_H
/* The charsets that files may be written in. */

struct story_charset {
    const char *label; /* as people call it, in small letters */
    const char *name;  /* as iconv does; where the wider one is what is meant in practice, that one */
};

extern const struct story_charset story_charsets[]; /* UTF-8 first; behind the last one stands a label NULL */

int story_charset(const char *label); /* its place among them, or -1 */

#endif
