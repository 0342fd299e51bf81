/* Finds the titles of chapters. */
#include "story/chapters.h"

#include "story/analyse_int.h"

enum {
    TITLE_MAX = 100, /* characters */
    WORDS_MAX = 3,   /* beside the word for a chapter: "Das neue Kapitel", and no sentence about one */
    NUMBER_MAX = 6,  /* words of a number: "Chapter One Hundred and Five" */
    WORD_BYTES = 32,
};

/* What follows stands in small letters, as all that is compared. "-" at the end: and what begins so. */

/* With a number before or behind it ("Erstes Kapitel"), a title, or few words. */
static const char *const words[] = {"chapter",  "kapitel",  "chapitre",  "capítulo",
                                    "capitulo", "capitolo", "hoofdstuk", "глава"};
/* Words that mean much else: with a number behind them. */
static const char *const parts[] = {"part", "teil", "partie", "parte", "book", "часть"};
/* Alone, with a number or a title. */
static const char *const others[] = {"prologue", "epilogue", "prolog",  "epilog",      "prólogo", "epílogo",
                                     "prologo",  "épilogue", "epilogo", "foreword",    "preface", "vorwort",
                                     "nachwort", "пролог",   "эпилог",  "introduction"};

/* How many, which, and the last; and not: Russian "семья", a family, which a "глава" is the head of. */
static const char *const numbers[] = {
    /* English */
    "one", "two", "three", "four-", "fort-", "fif-", "five", "six-", "seven-", "eigh-", "nine-", "nint-", "ten",
    "tenth", "eleven-", "twel-", "twen-", "thir-", "first", "second-", "hundred-", "last", "final",
    /* German */
    "eins", "einund-", "zwei-", "zwan-", "zwölf-", "drei-", "dritt-", "vier-", "fünf-", "sech-", "sieb-", "acht-",
    "neun-", "zehn-", "elf-", "erst-", "letzt-", "hundert-",
    /* French, Spanish, Italian, Portuguese */
    "un", "une", "uno", "um", "deux-", "dos", "due", "dois", "trois-", "tres", "tre", "três", "quatr-", "quatt-",
    "cuatr-", "quart-", "cuart-", "cinq-", "cinc-", "quint-", "sei", "seis", "sext-", "sest-", "sept-", "sett-",
    "siete", "sete", "sépt-", "sétim-", "huit-", "ocho", "otto", "oito", "octav-", "ottav-", "oitav-", "neuf", "neuv-",
    "nueve", "nove", "noven-", "nono", "nona", "dix-", "diez", "dieci-", "dez-", "déci-", "decim-", "onz-", "once",
    "undic-", "undéc-", "undec-", "douz-", "doce", "doze", "dodic-", "duodéc-", "treiz-", "trece", "treze", "tredic-",
    "quator-", "catorce", "catorze", "quinz-", "quinc-", "quindic-", "seiz-", "sedic-", "diciass-", "diciott-",
    "diciann-", "vingt-", "veint-", "vent-", "vint-", "vigés-", "trent-", "treint-", "trint-", "quarant-", "cuarent-",
    "quarent-", "cincuent-", "sesent-", "setent-", "sessant-", "soixant-", "ochent-", "ottant-", "novant-", "trigés-",
    "cent", "cien-", "premi-", "prim-", "segund-", "terc-", "terz-", "derni-", "últim-", "ultim-",
    /* Dutch */
    "een", "twee-", "drie-", "vijf-", "zes-", "zeven-", "negen-", "tien-", "twaalf-", "twint-", "dert-", "eerst-",
    "derde", "laatst-",
    /* Russian */
    "один", "одна", "одиннад-", "два", "две", "двад-", "двен-", "три", "трид-", "трин-", "трет-", "четыр-", "четв-",
    "пять", "пятн-", "пятая", "пятид-", "пятьд-", "шест-", "семь", "семид-", "семн-", "семьд-", "седьм-", "восем-",
    "восьм-", "девят-", "девян-", "десят-", "сорок-", "сто", "перв-", "втор-", "последн-"};
/* Between and before the words of a number. */
static const char *const joints[] = {"the", "and", "das", "der", "die", "und", "le", "la", "et",
                                     "el",  "y",   "il",  "e",   "o",   "het", "de", "en"};
/* How a title goes on in small letters that looks like a sentence. */
static const char *const openings[] = {"in which ",   "wherein ",   "containing ",  "in dem ", "in der ",
                                       "in welchem ", "worin ",     "dans lequel ", "où ",     "en el que ",
                                       "en que ",     "que trata ", "donde ",       "in cui ", "nel quale ",
                                       "dove ",       "em que ",    "no qual ",     "waarin ", "в которой "};

static bool is_among(const char *s, size_t len, const char *const *list, size_t n)
{
    char word[WORD_BYTES];
    len = an_fold(s, len, word, sizeof(word));
    for (size_t i = 0; i < n; i++) {
        size_t all = strlen(list[i]);
        bool begins = list[i][all - 1] == '-';
        all -= begins;
        if (*word == *list[i] && (len == all || (begins && len > all)) && memcmp(word, list[i], all) == 0)
            return true;
    }
    return false;
}

/* Of letters and digits, from s on. */
static size_t word_length(const char *s, const char *end)
{
    const char *at = s;
    while (at < end && an_is_letter(an_peek(at, end)))
        st_utf8_next(&at);
    return (size_t)(at - s);
}

static const char *behind_spaces(const char *s, const char *end)
{
    for (uint32_t cp; s < end && ((cp = an_peek(s, end)) == ' ' || cp == '\t' || cp == 0xA0);)
        st_utf8_next(&s);
    return s;
}

static const char *last_character(const char *begin, const char *end)
{
    while (end > begin && ((unsigned char)*--end & 0xC0) == 0x80)
        ;
    return end;
}

static int count_words(const char *s, const char *end)
{
    int n = 0;
    for (size_t len; s < end; s += len) {
        len = word_length(s, end);
        n += len > 0;
        if (!len)
            st_utf8_next(&s);
    }
    return n;
}

/* Up to 399, in capital letters: "il" and "vi" are words, and "IL" is no number. */
static bool is_roman(const char *s, size_t len)
{
    static const struct {
        const char *sign;
        int most;
    } signs[] = {{"C", 3}, {"XC", 1}, {"L", 1}, {"XL", 1}, {"X", 4}, {"IX", 1}, {"V", 1}, {"IV", 1}, {"I", 4}};
    const char *end = s + len;
    for (size_t i = 0; i < ST_COUNT(signs); i++) {
        size_t n = strlen(signs[i].sign);
        for (int k = 0; k < signs[i].most && (size_t)(end - s) >= n && memcmp(s, signs[i].sign, n) == 0; k++)
            s += n;
    }
    return len > 0 && s == end;
}

/* "4", "2nd", "IV". */
static bool is_figure(const char *s, size_t len)
{
    size_t n = 0;
    while (n < len && st_is_digit(s[n]))
        n++;
    return (n > 0 && n <= 4 && len <= n + 4) || is_roman(s, len);
}

/* Where the number ends that s begins with, or NULL. */
static const char *behind_number(const char *s, const char *end)
{
    const char *behind = NULL;
    for (int n = 0; n < NUMBER_MAX; n++) {
        s = behind_spaces(s, end);
        size_t len = word_length(s, end);
        if (!n && is_figure(s, len))
            return s + len;
        if (is_among(s, len, numbers, ST_COUNT(numbers)))
            behind = s + len;
        else if (!is_among(s, len, joints, ST_COUNT(joints)))
            break;
        s += len;
        s += s < end && *s == '-';
    }
    return behind;
}

static bool begins_opening(const char *s, const char *end)
{
    char small[WORD_BYTES];
    an_fold(s, (size_t)(end - s), small, sizeof(small));
    for (size_t i = 0; i < ST_COUNT(openings); i++)
        if (st_starts(small, openings[i]))
            return true;
    return false;
}

/*
 * What follows the word and its number: nothing, or a title behind a mark or a capital letter. A sentence goes on in
 * small letters, and to its end (stops).
 */
static bool ends_so(const char *s, const char *end, bool stops)
{
    s = behind_spaces(s, end);
    uint32_t mark = an_peek(s, end);
    if (mark == ':')
        return true;
    if (mark == '\'' || mark == 0x2019 || mark == '!' || mark == '?')
        return false;
    while (s < end && !an_is_letter(an_peek(s, end)))
        st_utf8_next(&s);
    return s == end || !stops || an_is_upper(an_peek(s, end)) || st_is_digit(*s) || begins_opening(s, end);
}

static bool at_mark(const char *s, const char *end)
{
    s = behind_spaces(s, end);
    return s == end || !an_is_letter(an_peek(s, end));
}

/* "Erstes Kapitel. Der Fremde" */
static bool begins_with_number(const char *text, const char *end, bool stops)
{
    const char *s = behind_number(text, end);
    if (!s)
        return false;
    s = behind_spaces(s + (s < end && *s == '.'), end);
    size_t len = word_length(s, end);
    return is_among(s, len, words, ST_COUNT(words)) && at_mark(s + len, end) && ends_so(s + len, end, stops);
}

static bool is_title(const char *text, const char *end, bool stops)
{
    size_t len = word_length(text, end);
    const char *s = text + len, *last = end;
    bool chapter = is_among(text, len, words, ST_COUNT(words)), part = is_among(text, len, parts, ST_COUNT(parts));
    if (chapter || part || is_among(text, len, others, ST_COUNT(others))) {
        const char *behind = behind_number(s, end);
        if (behind)
            return ends_so(behind, end, stops || (part && !at_mark(behind, end)));
        return at_mark(s, end) ? !part && ends_so(s, end, stops)
                               : chapter && !stops && count_words(s, end) <= WORDS_MAX;
    }
    if (begins_with_number(text, end, stops))
        return true;
    while (an_is_letter(an_before(text, last)))
        last = last_character(text, last);
    return !stops && is_among(last, (size_t)(end - last), words, ST_COUNT(words)) &&
           count_words(text, last) <= WORDS_MAX;
}

static bool ends_sentence(const char *s, const char *end)
{
    while (s < end && (an_is_closer(an_before(s, end)) || an_before(s, end) <= ' '))
        end = last_character(s, end);
    return an_is_terminator(an_before(s, end));
}

bool st_chapter_title(const char *text, size_t len)
{
    const char *end = text + len;
    bool stops = ends_sentence(text, end);
    while (text < end && ((unsigned char)*text <= ' ' || strchr("*_", *text)))
        text++;
    while (end > text && ((unsigned char)end[-1] <= ' ' || strchr(".:*_", end[-1])))
        end--;
    len = (size_t)(end - text);
    if (len == 0 || len > 4 * TITLE_MAX || memchr(text, '\n', len) || st_utf8_length(text, len) > TITLE_MAX)
        return false;
    size_t marks = strspn(text, "#");
    if (marks && marks < len && text[marks] == ' ')
        return marks <= 2 || st_chapter_title(text + marks, len - marks);
    return is_roman(text, len) || is_title(text, end, stops);
}
