/* Finds the ends of sentences, and of clauses where a sentence is too long to be spoken in one breath. */
#include "narration/speech_text.h"

enum { PIECE_MIN = TEXT_PIECE_MAX / 3 }; /* a forced cut does not leave less than this */

/* Full stops behind these do not end a sentence. */
static const char *const abbreviations[] = {
    "mr", "mrs", "ms", "dr", "st", "prof", "sgt", "capt", "col", "lt", "gen", "rev", "mt", "vs", "no", "hr", "mme",
};

static bool is_soft(uint32_t c)
{
    return (c < 0x80 && c && strchr(",;:", (int)c)) || c == 0x60c || c == 0x61b || c == 0x3001 || c == 0xff0c ||
           c == 0xff1a || c == 0xff1b || (c >= 0x1363 && c <= 0x1366);
}

/* These need no space behind them to end a sentence. */
static bool is_hard_wide(uint32_t c)
{
    return c == 0x3002 || c == 0xff01 || c == 0xff0e || c == 0xff1f || c == 0xff61;
}

static bool is_hard(uint32_t c)
{
    return c == '.' || c == '!' || c == '?' || c == 0x37e || c == 0x589 || c == 0x61f || c == 0x6d4 || c == 0x964 ||
           c == 0x965 || c == 0x1362 || c == 0x1367 || c == 0x1368 || (c >= 0x2047 && c <= 0x2049) || c == 0x203c ||
           c == 0x203d || is_hard_wide(c);
}

/* The word before the full stop at dot: an abbreviation, or a single letter such as an initial? */
static bool abbreviated(const char *text, const char *dot)
{
    enum { LONGEST = 4 };
    const char *word = dot;
    while (word > text && text_is_ascii_letter((unsigned char)word[-1]) && dot - word <= LONGEST)
        word--;
    size_t len = (size_t)(dot - word);
    if (len == 1 && *word != 'I' && word > text)
        return true;
    for (size_t i = 0; i < ST_COUNT(abbreviations); i++)
        if (strlen(abbreviations[i]) == len && strncasecmp(word, abbreviations[i], len) == 0)
            return true;
    return false;
}

/* p stands behind the mark c, which stands at mark. */
static bool ends_sentence(const char *text, const char *end, const char *mark, const char *p, uint32_t c)
{
    if (p >= end || is_hard_wide(c))
        return true;
    if (*p != ' ' || p + 1 >= end)
        return false;
    bool goes_on = p[1] >= 'a' && p[1] <= 'z'; /* "Stop!" he said. */
    return !goes_on && !(c == '.' && abbreviated(text, mark));
}

const char *text_piece_end(const char *text, const char *end, enum st_break *ret_after)
{
    const char *p = text, *clause = NULL, *space = NULL;
    for (int n = 1; p < end && n <= TEXT_PIECE_MAX; n++) {
        const char *at = p;
        uint32_t c = st_utf8_next(&p);
        if (is_hard(c) && ends_sentence(text, end, at, p, c)) {
            *ret_after = ST_BREAK_SENTENCE;
            return p;
        }
        if (n >= PIECE_MIN && (is_soft(c) || is_hard(c)) && (p >= end || *p == ' ' || c >= 0x80))
            clause = p;
        if (n >= PIECE_MIN && c == ' ')
            space = p;
    }
    *ret_after = p >= end ? ST_BREAK_SENTENCE : clause ? ST_BREAK_CLAUSE : ST_BREAK_NONE;
    return p >= end ? end : clause ? clause : space ? space : p;
}
