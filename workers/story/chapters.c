/* Finds the titles of chapters. */
#include "story/chapters.h"

#include "story/analyse_int.h"

enum {
    TITLE_MAX = 100, /* bytes */
    WORDS_MAX = 3,   /* beside the word for a chapter: "Das erste Kapitel", and no sentence about one */
};

/* Alone, or at the beginning or end of the line ("Erstes Kapitel"). In small letters, as all that is compared. */
static const char *const words[] = {"chapter",  "kapitel",  "chapitre",  "capítulo",
                                    "capitulo", "capitolo", "hoofdstuk", "глава"};
/* Alone, or with a number or title behind a colon. */
static const char *const parts[] = {"prologue", "epilogue", "prolog",      "epilog",   "prólogo", "epílogo",
                                    "prologo",  "épilogue", "epilogo",     "foreword", "preface", "vorwort",
                                    "nachwort", "пролог",   "эпилог",      "part",     "teil",    "partie",
                                    "parte",    "book",     "introduction"};

static bool in_word(char c)
{
    return st_is_alnum(c) || (unsigned char)c >= 0x80;
}

static bool is_roman(const char *s, size_t len)
{
    return len > 0 && len <= 8 && strspn(s, "IVXLCivxlc") >= len;
}

static bool is_number(const char *s, size_t len)
{
    size_t n = 0;
    while (n < len && st_is_digit(s[n]))
        n++;
    return n > 0 && n <= 4 && n == len;
}

static int count_words(const char *s, const char *end)
{
    int n = 0;
    for (bool inside = false; s < end; inside = in_word(*s++))
        n += in_word(*s) && !inside;
    return n;
}

/* What follows a word of either list, from s on: nothing, a mark, a number. */
static bool ends_so(const char *s, const char *end)
{
    while (s < end && *s == ' ')
        s++;
    size_t len = 0;
    while (s + len < end && in_word(s[len]))
        len++;
    return s == end || len == 0 || is_roman(s, len) || is_number(s, len) ||
           (len == 3 && (memcmp(s, "one", 3) == 0 || memcmp(s, "two", 3) == 0));
}

/* Is it "chapter the first", or "erstes kapitel"? stops: it ends as sentences do. */
static bool has_word(const char *s, const char *end, const char *word, bool stops)
{
    size_t len = strlen(word), all = (size_t)(end - s);
    if (all < len)
        return false;
    int most = stops ? 1 : WORDS_MAX;
    if (memcmp(s, word, len) == 0 && (all == len || !in_word(s[len])))
        return ends_so(s + len, end) || count_words(s + len, end) <= most;
    return memcmp(end - len, word, len) == 0 && end[-(ssize_t)len - 1] == ' ' && count_words(s, end - len) <= most;
}

static bool is_title(const char *text, const char *end, bool stops)
{
    for (size_t i = 0; i < ST_COUNT(words); i++)
        if (has_word(text, end, words[i], stops))
            return true;
    for (size_t i = 0; i < ST_COUNT(parts); i++) {
        size_t n = strlen(parts[i]), len = (size_t)(end - text);
        if (len >= n && memcmp(text, parts[i], n) == 0 && (len == n || !in_word(text[n])) && ends_so(text + n, end))
            return true;
    }
    return false;
}

bool st_chapter_title(const char *text, size_t len)
{
    char small[TITLE_MAX + 4], *to = small;
    const char *end = text + len, *last = end;
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
    if (strspn(text, "IVXLC") >= len && len <= 8)
        return true;
    for (const char *at = text; at < end && to < small + TITLE_MAX;)
        to += st_utf8_put(an_lower(st_utf8_next(&at)), to);
    return is_title(small, to, memchr(end, '.', (size_t)(last - end)) || strchr("!?", end[-1]));
}
