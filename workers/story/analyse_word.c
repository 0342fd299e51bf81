/* Finds where sentences end, and cuts spans into words with the punctuation behind each. */
#include "story/analyse_int.h"

static bool is_abbreviation(const struct an *an, const char *begin, const char *stop)
{
    enum { ABBREVIATION_BYTES = 12 };
    const char *s = stop;
    while (s > begin && stop - s < ABBREVIATION_BYTES && an_is_letter(an_before(begin, s)))
        while (((unsigned char)*--s & 0xC0) == 0x80)
            ;
    if (s == stop)
        return false;
    const char *first = s;
    uint32_t cp = st_utf8_next(&first);
    if (first == stop) /* an initial; but "It was I." */
        return an_is_upper(cp) && cp != 'I';
    char folded[ABBREVIATION_BYTES + 8];
    return an_is(an, an_find(an, folded, an_fold(s, (size_t)(stop - s), folded, sizeof(folded))), AN_C(ABBREV));
}

bool an_sentence_end(const struct an *an, const char *p, const char *begin, const char *end, const char **ret_end)
{
    const char *s = p;
    uint32_t cp = st_utf8_next(&s);
    bool wide = cp >= 0x3000, dots = cp == 0x2026, only_stop = cp == '.';
    while (s < end && an_is_terminator(an_peek(s, end))) {
        cp = st_utf8_next(&s);
        dots = dots || cp == '.' || cp == 0x2026;
        only_stop = false;
    }
    if (cp == '!' || cp == '?')
        dots = false;
    const char *closers = s;
    while (s < end && an_is_closer(an_peek(s, end)))
        st_utf8_next(&s);
    *ret_end = s;
    if (s == end)
        return true;
    uint32_t next = an_peek(s, end);
    if (wide)
        return true;
    if (next != ' ' && !an_is_cjk(next) && !(next == 0x2014 || next == 0x2013)) {
        if (closers == s || an_is_letter(next))
            return false;
    }
    if (dots || (only_stop && is_abbreviation(an, begin, p)))
        return false;
    const char *q = s;
    while (q < end && !an_is_letter(an_peek(q, end)) && q - s < 8)
        st_utf8_next(&q);
    next = an_peek(q, end);
    return !(an_is_letter(next) && next >= 'a' && an_lower(next) == next && next < 0x530 && !an_is_cjk(next) &&
             !(next == 0xAA || next == 0xBA));
}

/* ---- Words ---- */

struct cutter {
    struct an *an;
    uint32_t span;
    const char *begin, *at, *end;
    bool splits_apostrophe; /* l'ours, dell'uomo, dit-il are two words */
    bool first;
};

static bool is_apostrophe(uint32_t cp)
{
    return cp == '\'' || cp == 0x2019 || cp == 0x2BC;
}

static bool is_digit(uint32_t cp)
{
    return cp >= '0' && cp <= '9';
}

/* French -il, -t-elle, -la are words of their own; grand-mère and Jean-Pierre are one. */
static bool splits_hyphen(const struct cutter *c, const char *part)
{
    enum { PART_BYTES = 24 };
    const char *s = part;
    while (s < c->end && s - part < PART_BYTES && an_is_letter(an_peek(s, c->end)))
        st_utf8_next(&s);
    char folded[PART_BYTES + 8];
    uint32_t term = an_find(c->an, folded, an_fold(part, (size_t)(s - part), folded, sizeof(folded)));
    return s - part <= 2 || an_is(c->an, term, AN_C(HE) | AN_C(SHE) | AN_C(ME) | AN_C(THEY) | AN_C(DET) | AN_C(STOP));
}

/* Moves behind the word at s. CJK text, having no spaces, is cut into single characters. */
static const char *word_end(const struct cutter *c, const char *s)
{
    const char *begin = s;
    uint32_t cp = st_utf8_next(&s);
    if (an_is_cjk(cp))
        return s;
    while (s < c->end) {
        const char *here = s;
        cp = st_utf8_next(&s);
        if (an_is_letter(cp) && !an_is_cjk(cp))
            continue;
        if (is_apostrophe(cp) && an_is_letter(an_peek(s, c->end))) {
            if (c->splits_apostrophe && here - begin <= 8)
                return s;
            continue;
        }
        if (cp == '-' && an_is_letter(an_peek(s, c->end)) && !(c->splits_apostrophe && splits_hyphen(c, s)))
            continue;
        if ((cp == '.' || cp == ',') && is_digit(an_before(begin, here)) && is_digit(an_peek(s, c->end)))
            continue;
        return here;
    }
    return s;
}

/* Reads what stands between the word that ends at s and the next one. */
static uint16_t read_after(struct cutter *c, const char *s)
{
    uint16_t after = 0;
    while (s < c->end) {
        const char *here = s, *behind;
        uint32_t cp = st_utf8_next(&s);
        if (an_is_letter(cp)) {
            c->at = here;
            return after;
        }
        if (an_is_terminator(cp)) {
            if (cp != '.' || an_peek(s, c->end) == '.')
                after |= AN_MARK;
            if (an_sentence_end(c->an, here, c->begin, c->end, &behind)) {
                after |= AN_STOP;
                s = behind;
            }
        } else if (cp == ',' || cp == 0xFF0C || cp == 0x3001 || cp == 0x60C) {
            after |= AN_COMMA;
        } else if (cp == ':' || cp == 0xFF1A) {
            after |= AN_COLON;
        } else if (cp == ';' || cp == 0xFF1B || cp == 0x61B) {
            after |= AN_SEMI;
        } else if (cp == 0x2014 || cp == 0x2013 || cp == 0x2015 ||
                   (cp == '-' && (s == c->end || *s == '-' || *s == ' '))) {
            after |= AN_DASH;
        } else if (cp == 0xA1 || cp == 0xBF) {
            after |= AN_MARK;
        } else if (cp != ' ' && cp != '*' && cp != '_' && cp != '-' && !is_apostrophe(cp)) {
            after |= AN_OTHER;
        }
    }
    c->at = c->end;
    return after | AN_END;
}

static void count_case(struct an_term *term, const struct an_word *word)
{
    if (!word->upper)
        term->n_lower++;
    else if (word->caps)
        return;
    else if (word->first)
        term->n_start++;
    else
        term->n_mid++;
}

/* Tom's, Tom'll, Tom'd are Tom. */
static size_t strip_clitic(const struct an *an, const char *folded, size_t n, struct an_word *word)
{
    const char *mark = memrchr(folded, '\'', n);
    uint32_t whole = mark ? an_find(an, folded, n) : AN_NONE;
    if (!mark || mark == folded || (whole != AN_NONE && an->terms[whole].known))
        return n;
    size_t tail = (size_t)(folded + n - mark);
    word->owner = tail == 2 && mark[1] == 's';
    bool verb =
        tail == 3 && (memcmp(mark, "'ll", 3) == 0 || memcmp(mark, "'ve", 3) == 0 || memcmp(mark, "'re", 3) == 0);
    return word->owner || (word->upper && (verb || (tail == 2 && mark[1] == 'd'))) ? n - tail : n;
}

/* A compound is of the kind of its last part: step-mother, cab-driver. */
static uint32_t intern_word(struct an *an, const char *folded, size_t n)
{
    const uint64_t kinds =
        AN_C(PERSON) | AN_C(MALE) | AN_C(FEMALE) | AN_C(CHILD) | AN_C(ADULT) | AN_C(OLD) | AN_C(MUTE) | AN_C(SPEECH);
    uint32_t term = an_find(an, folded, n);
    if (term != AN_NONE)
        return term;
    term = an_intern(an, folded, n);
    const char *hyphen = memrchr(folded, '-', n);
    if (hyphen) {
        uint32_t part = an_find(an, hyphen + 1, (size_t)(folded + n - hyphen - 1));
        an->terms[term].classes = an_is(an, part, kinds);
    }
    return term;
}

static void push_word(struct cutter *c, const char *s, const char *end)
{
    enum { WORD_BYTES = 64 };
    struct an *an = c->an;
    struct an_word word = {.start = (uint32_t)(s - an->text),
                           .end = (uint32_t)(end - an->text),
                           .span = c->span,
                           .first = c->first,
                           .mention = -1};
    uint32_t uppers = 0, letters = 0;
    for (const char *p = s; p < end; letters++)
        uppers += an_is_upper(st_utf8_next(&p));
    const char *letter = s;
    word.upper = an_is_upper(st_utf8_next(&letter));
    word.caps = letters > 1 && uppers == letters;
    char folded[WORD_BYTES];
    size_t n = an_fold(s, (size_t)(end - s), folded, sizeof(folded));
    for (size_t stem = strip_clitic(an, folded, n, &word); n > stem; n--) /* the clitic's letters are ASCII */
        do
            word.end--;
        while (((unsigned char)an->text[word.end] & 0xC0) == 0x80);
    word.term = intern_word(an, folded, n);
    if (end + 1 < c->end && end[-1] == 's' && is_apostrophe(an_peek(end, c->end))) { /* the Dashwoods' house */
        const char *behind = end;
        st_utf8_next(&behind);
        word.owner = word.owner || an_peek(behind, c->end) == ' ';
    }
    if (!an->paras[an->spans[c->span].para].heading)
        count_case(&an->terms[word.term], &word);
    word.after = read_after(c, end);
    c->first = word.after & (AN_STOP | AN_COLON | AN_MARK);
    AN_PUSH(an, words) = word;
}

static bool sentence_goes_on(const struct an *an, uint32_t span)
{
    const struct an_span *s = &an->spans[span];
    if (span == 0 || s->para != an->spans[span - 1].para || s->quoted)
        return false;
    const struct an_span *before = &an->spans[span - 1];
    const char *p = an->text + before->end;
    while (p > an->text + before->start && p[-1] == ' ')
        p--;
    uint32_t last = an_before(an->text + before->start, p);
    return !an_is_terminator(last) && last != 0x2014;
}

void an_find_words(struct an *an)
{
    bool splits = st_streq(an->language, "fr") || st_streq(an->language, "it") || st_streq(an->language, "ca");
    for (uint32_t i = 0; i < an->n_spans; i++) {
        struct an_span *span = &an->spans[i];
        struct cutter c = {.an = an,
                           .span = i,
                           .begin = an->text + span->start,
                           .end = an->text + span->end,
                           .splits_apostrophe = splits,
                           .first = !sentence_goes_on(an, i)};
        span->w0 = span->w1 = an->n_words;
        c.at = c.begin;
        read_after(&c, c.begin);
        while (c.at < c.end) {
            const char *word = c.at;
            push_word(&c, word, word_end(&c, word));
        }
        span->w1 = an->n_words;
    }
}
