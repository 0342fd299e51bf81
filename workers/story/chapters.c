/* Finds the titles of chapters. */
#include "story/chapters.h"

#include <strings.h>

enum {
    TITLE_MAX = 100,  /* bytes */
    WORDS_BEFORE = 2, /* "Das erste Kapitel", but no sentence that ends with a chapter */
};

/* Alone, or at the beginning or end of the line ("Erstes Kapitel"). */
static const char *const words[] = {"chapter",   "kapitel", "chapitre", "capítulo", "capitulo", "capitolo",
                                    "hoofdstuk", "глава",   "Глава",    "ГЛАВА",    "CAPÍTULO"};
/* Alone, or with a number or title behind a colon. */
static const char *const parts[] = {"prologue", "epilogue", "prolog",      "epilog",   "prólogo", "epílogo",
                                    "prologo",  "épilogue", "epilogo",     "foreword", "preface", "vorwort",
                                    "nachwort", "Пролог",   "Эпилог",      "part",     "teil",    "partie",
                                    "parte",    "book",     "introduction"};

static bool in_word(char c)
{
    return st_is_alnum(c) || (unsigned char)c >= 0x80;
}

static bool is_roman(const char *s, size_t len)
{
    return len > 0 && len <= 8 && strspn(s, "IVXLC") >= len;
}

static bool is_number(const char *s, size_t len)
{
    size_t n = 0;
    while (n < len && st_is_digit(s[n]))
        n++;
    return n > 0 && n <= 4 && n == len;
}

/* What follows one of parts: nothing, or a number or a mark. */
static bool ends_so(const char *s, const char *end)
{
    while (s < end && *s == ' ')
        s++;
    size_t len = 0;
    while (s + len < end && in_word(s[len]))
        len++;
    return s == end || len == 0 || is_roman(s, len) || is_number(s, len) ||
           (len == 3 && (strncasecmp(s, "one", 3) == 0 || strncasecmp(s, "two", 3) == 0));
}

static bool has_word(const char *s, const char *end, const char *word)
{
    size_t len = strlen(word), all = (size_t)(end - s);
    if (all < len)
        return false;
    bool first = strncasecmp(s, word, len) == 0 && (all == len || !in_word(s[len]));
    if (first || strncasecmp(end - len, word, len) != 0)
        return first;
    int before = 0;
    for (const char *at = s; at < end - len; at++)
        before += *at == ' ';
    return before <= WORDS_BEFORE && end[-(ssize_t)len - 1] == ' ';
}

bool st_chapter_title(const char *text, size_t len)
{
    const char *end = text + len;
    while (text < end && ((unsigned char)*text <= ' ' || strchr("*_", *text)))
        text++;
    while (end > text && ((unsigned char)end[-1] <= ' ' || strchr(".:*_", end[-1])))
        end--;
    len = (size_t)(end - text);
    if (len == 0 || len > TITLE_MAX || memchr(text, '\n', len))
        return false;
    size_t marks = strspn(text, "#");
    if (marks && marks < len && text[marks] == ' ')
        return marks <= 2 || st_chapter_title(text + marks, len - marks);
    if (is_roman(text, len))
        return true;
    for (size_t i = 0; i < ST_COUNT(words); i++)
        if (has_word(text, end, words[i]))
            return true;
    for (size_t i = 0; i < ST_COUNT(parts); i++) {
        size_t n = strlen(parts[i]);
        if (len >= n && strncasecmp(text, parts[i], n) == 0 && (len == n || !in_word(text[n])) &&
            ends_so(text + n, end))
            return true;
    }
    return false;
}
