/* Cuts paragraphs into spans: narration, speech in any of the usual quotation marks or after a dash, emphasis. */
#include "story/analyse_int.h"

struct marks {
    uint32_t open;
    uint32_t close[3];
    bool single; /* its closing mark is also an apostrophe */
    bool lone;   /* stands alone, too (Home › News): one that is not closed opens nothing */
};

static const struct marks all_marks[] = {
    {'"', {'"', 0x201D}, false},      {0x201C, {0x201D}, false},       {0x201E, {0x201C, 0x201D, '"'}, false},
    {0x201D, {0x201D}, false},        {0xAB, {0xBB}, false},           {0xBB, {0xAB}, false},
    {0x2039, {0x203A}, false, true},  {0x203A, {0x2039}, false, true}, {0x300C, {0x300D}, false},
    {0x300E, {0x300F}, false},        {0xFE41, {0xFE42}, false},       {0xFF02, {0xFF02}, false},
    {0x2018, {0x2019}, true},         {'\'', {'\'', 0x2019}, true},    {'`', {'\''}, true},
    {0x201A, {0x2018, 0x2019}, true},
};
enum { N_MARKS = ST_COUNT(all_marks) };

/* How this text quotes. */
struct style {
    bool singles;  /* single marks hold speech, too */
    bool inverted; /* »speech« */
    bool dashes;   /* a hyphen at a paragraph's start opens speech */
    bool hyphens;  /* two do */
};

struct scan {
    struct an *an;
    struct style style;
    uint32_t para;
    const char *begin, *at, *end; /* of the paragraph */
    const char *narration;        /* where the narration not yet pushed begins */
    bool none[N_MARKS];           /* no closing mark from here to the paragraph's end */
    bool flat;                    /* quotes in quotes in quotes do not come out even in it */
    int carries;                  /* mark of a quote that goes on without a new mark, or -1 */
    bool letter;                  /* that quote is a letter, which nobody speaks */
    int left_open, leaves_open;   /* mark of a quote that the paragraph before, this one leaves open; or -1 */
};

static bool is_space(uint32_t cp)
{
    return cp == ' ' || cp == '\n';
}

static bool is_dash(uint32_t cp)
{
    return cp == 0x2014 || cp == 0x2013 || cp == 0x2015;
}

static bool is_soft_stop(uint32_t cp)
{
    return cp == ',' || cp == ';' || cp == ':' || cp == '-' || is_dash(cp) || cp == 0xFF0C || cp == 0xFF1A ||
           cp == 0x3001 || cp == 0x60C;
}

static bool ends_speech(uint32_t cp)
{
    return an_is_terminator(cp) || is_soft_stop(cp) || (an_is_closer(cp) && cp != '\'' && cp != 0x2019);
}

static int mark_of(uint32_t cp)
{
    if (cp != '"' && cp != '\'' && cp != '`' && cp < 0xAB)
        return -1;
    for (int i = 0; i < N_MARKS; i++)
        if (all_marks[i].open == cp)
            return i;
    return -1;
}

static bool closes(const struct marks *m, uint32_t cp)
{
    return cp && (cp == m->close[0] || cp == m->close[1] || cp == m->close[2]);
}

/* The term of the word that begins at s, and the class bits asked for. */
static uint64_t word_is(const struct an *an, const char *s, const char *end, uint64_t classes)
{
    enum { WORD_BYTES = 48 };
    const char *stop = s;
    while (stop < end && stop - s < WORD_BYTES && an_is_letter(an_peek(stop, end)))
        st_utf8_next(&stop);
    char folded[WORD_BYTES + 8];
    return an_is(an, an_find(an, folded, an_fold(s, (size_t)(stop - s), folded, sizeof(folded))), classes);
}

static const char *back(const char *begin, const char *s)
{
    while (s > begin && ((unsigned char)*--s & 0xC0) == 0x80)
        ;
    return s;
}

/* The start of the word that ends before s (spaces skipped), or s. */
static const char *word_before(const char *begin, const char *s)
{
    while (s > begin && s[-1] == ' ')
        s--;
    for (int i = 0; i < 24 && an_is_letter(an_before(begin, s)); i++)
        s = back(begin, s);
    return s;
}

/* Straight and single marks: do the neighbours look like those of an opening mark? */
static bool looks_opening(const struct scan *sc, const char *s, int mark)
{
    uint32_t cp = all_marks[mark].open;
    uint32_t prev = an_before(sc->begin, s);
    const char *behind = s;
    st_utf8_next(&behind);
    uint32_t next = an_peek(behind, sc->end);
    bool free_before = prev == 0 || is_space(prev) || prev == '(' || prev == '[' || is_dash(prev) || prev == '-' ||
                       mark_of(prev) >= 0 || an_is_cjk(prev) || prev == 0x3002 || prev == 0xFF1A || prev == 0xFF0C;
    if (next == 0)
        return false;
    if (all_marks[mark].single)
        return free_before && !is_space(next) && next != cp;
    if (cp == 0xBB || cp == 0x203A)
        return sc->style.inverted && free_before;
    if (cp == 0xAB || cp == 0x2039)
        return !sc->style.inverted || (free_before && !is_space(next));
    if (cp == 0x201C || cp == 0x201D)
        return free_before || (!is_space(next) && !an_is_letter(prev) && cp == 0x201C);
    if (cp == '"' || cp == 0xFF02)
        return free_before || (is_soft_stop(prev) && !is_space(next));
    return true;
}

static bool is_elision(const struct scan *sc, const char *s)
{
    uint32_t next = an_peek(s + 1, sc->end);
    return (next >= '0' && next <= '9') || word_is(sc->an, s + 1, sc->end, AN_C(ELISION));
}

/*
 * The mark that closes single quotes opened before s, or NULL. ’ is also the apostrophe: one behind punctuation closes
 * for sure; one behind a letter only if no sure one comes before the next opening mark (the boys’ room).
 */
static const char *find_single_close(const struct scan *sc, const char *s, int mark)
{
    const char *weak = NULL;
    while (s < sc->end) {
        const char *here = s;
        uint32_t cp = st_utf8_next(&s);
        if (weak && cp == all_marks[mark].open && looks_opening(sc, here, mark))
            break;
        if (!closes(&all_marks[mark], cp))
            continue;
        uint32_t next = an_peek(s, sc->end), prev = an_before(sc->begin, here);
        if (an_is_letter(next) || is_space(prev))
            continue;
        if (ends_speech(prev))
            return here;
        if (!weak)
            weak = here;
    }
    return weak;
}

/* Marks inside a double quote: which belong to one in a single one in it ("He said 'I heard "no" from her' to me"). */
struct nesting {
    bool single; /* a single quote is open */
    bool third;  /* and in it another double one */
};

/* Reads the mark at s; does it belong to the third quote? */
static bool nests(struct nesting *in, const struct scan *sc, const char *s, const struct marks *m, bool closing)
{
    const char *behind = s;
    uint32_t cp = st_utf8_next(&behind), prev = an_before(sc->begin, s), next = an_peek(behind, sc->end);
    bool single = cp == '\'' || cp == 0x2018 || cp == 0x2019;
    int mark = mark_of(cp); /* none for what only closes */
    if (single && !in->third)
        in->single = in->single ? !ends_speech(prev) || an_is_letter(next) : mark >= 0 && looks_opening(sc, s, mark);
    if (closing && in->third) {
        in->third = false;
        return true;
    }
    bool opens = cp == m->open && is_space(prev) && an_is_letter(next);
    in->third = in->third || (in->single && opens);
    return in->third && opens;
}

/*
 * The closing mark for a quote that opened before s, or NULL; *ret_behind: where the text goes on. A straight mark that
 * can only open ends the quote before it, too, unless it is one of a third quote: its own closing mark was forgotten.
 */
static const char *find_close(struct scan *sc, const char *s, int mark, const char **ret_behind)
{
    const struct marks *m = &all_marks[mark];
    const char *found = NULL;
    struct nesting in = {0};
    if (sc->none[mark])
        return NULL;
    if (m->single) {
        found = find_single_close(sc, s, mark);
        *ret_behind = found ? found + 1 + 2 * ((unsigned char)*found == 0xE2) : NULL;
    }
    bool whole = m->single;
    for (const char *p = s; p < sc->end && !whole;) {
        const char *here = p;
        uint32_t cp = st_utf8_next(&p);
        bool twin = m->open == 0xBB && cp == 0xBB && !sc->style.inverted, closing = closes(m, cp) || twin;
        bool is_mark = closing || cp == 0x2019 || mark_of(cp) >= 0;
        bool nested = is_mark && !sc->flat && nests(&in, sc, here, m, closing);
        if (!closing || (nested && found))
            continue;
        bool opens =
            cp == '"' && m->open == '"' && is_space(an_before(sc->begin, here)) && an_is_letter(an_peek(p, sc->end));
        found = here;
        *ret_behind = opens ? here : p;
        whole = !nested;
    }
    sc->none[mark] = !found;
    sc->flat = sc->flat || !whole; /* so that no mark is looked for twice */
    return found;
}

static struct an_span *push_span(struct scan *sc, const char *start, const char *end, enum st_segment_kind kind)
{
    struct an *an = sc->an;
    struct an_span *span = &AN_PUSH(an, spans);
    *span = (struct an_span){.start = (uint32_t)(start - an->text),
                             .end = (uint32_t)(end - an->text),
                             .para = sc->para,
                             .kind = (uint8_t)kind,
                             .speaker = -1};
    return span;
}

static void push_narration(struct scan *sc, const char *until)
{
    if (until > sc->narration)
        push_span(sc, sc->narration, until, ST_NARRATION);
    sc->narration = until;
}

/* Letters of CJK verbs of speech: a quote behind one is spoken. */
static bool is_cjk_say(uint32_t cp)
{
    return cp == 0x8BF4 || cp == 0x8AAA || cp == 0x9053 || cp == 0x95EE || cp == 0x554F || cp == 0x558A ||
           cp == 0x53EB || cp == 0x7B54 || cp == 0x66F0 || cp == 0x8A00 || cp == 0xACE0;
}

static const char *skip_spaces(const char *s, const char *end)
{
    while (s < end && *s == ' ')
        s++;
    return s;
}

/* Is one of the words right before s, in its sentence, of these classes? */
static bool word_of(const struct scan *sc, const char *s, int words, uint64_t classes)
{
    while (words-- > 0) {
        const char *word = word_before(sc->begin, s);
        if (word == s || !an_is_letter(an_peek(word, s)))
            return false;
        if (word_is(sc->an, word, s, classes))
            return true;
        s = word;
    }
    return false;
}

/* Is one of the words from s on, up to a mark, a verb of speech? */
static bool say_follows(const struct scan *sc, const char *s, int words)
{
    for (; words > 0 && s < sc->end && an_is_letter(an_peek(s, sc->end)); words--) {
        if (word_is(sc->an, s, sc->end, AN_C(SPEECH)))
            return true;
        while (s < sc->end && an_is_letter(an_peek(s, sc->end)))
            st_utf8_next(&s);
        s = skip_spaces(s, sc->end);
    }
    return false;
}

/* Are all its longer words capital ("Le Voyage de M. Perrichon"), and nothing exclaimed? */
static bool looks_like_title(const char *s, const char *end)
{
    enum { SHORT = 3 };
    while (s < end) {
        const char *word = s;
        bool capital = an_is_upper(an_peek(s, end));
        while (s < end && an_is_letter(an_peek(s, end)))
            st_utf8_next(&s);
        if (!capital && s - word > SHORT)
            return false;
        uint32_t cp = s < end ? st_utf8_next(&s) : 0;
        if (cp == '!' || cp == '?')
            return false;
    }
    return true;
}

/* Was a quote of this sentence left in its middle ("If he" she pointed at Tom "has ...")? */
static bool goes_on(const struct scan *sc, const char *open)
{
    const struct an_span *last = sc->an->n_spans ? &sc->an->spans[sc->an->n_spans - 1] : NULL;
    if (!last || last->para != sc->para || !last->quoted)
        return false;
    const char *begin = sc->an->text + last->start, *end = sc->an->text + last->end;
    for (const char *s = end; s < open;)
        if (an_is_terminator(st_utf8_next(&s)))
            return false;
    while (end > begin && end[-1] == ' ')
        end--;
    return !an_is_terminator(an_before(begin, end));
}

/*
 * A title or a word spoken about, not speech: short, in the middle of a sentence, without punctuation of its own, or
 * but for that of the sentence around it, as Americans put it (the play "Le Voyage," a so-called "expert.").
 */
static bool is_mention(const struct scan *sc, const char *open, const char *s, const char *close, const char *behind)
{
    enum { WORDS_BYTES = 24, MENTION_BYTES = 60, PHRASE_BYTES = 300 };
    uint32_t last = an_before(s, close), first = an_peek(s, close), next = an_peek(behind, sc->end);
    const char *p = open;
    while (p > sc->begin && p[-1] == ' ')
        p--;
    uint32_t prev = an_before(sc->begin, p);
    bool open_end = an_is_letter(last), small = an_is_letter(first) && !an_is_upper(first);
    behind = skip_spaces(behind, sc->end);
    if (prev == 0 && open_end && close - s <= MENTION_BYTES && !an_is_cjk(first)) { /* "Cissie" was its name */
        uint32_t after = an_peek(behind, sc->end);
        const char *second = behind;
        while (second < sc->end && an_is_letter(an_peek(second, sc->end)))
            st_utf8_next(&second);
        second = skip_spaces(second, sc->end);
        bool inverted = an_is_upper(an_peek(second, sc->end)) || word_is(sc->an, second, sc->end, AN_C(HE) | AN_C(SHE));
        bool subject = word_is(sc->an, behind, sc->end, AN_C(HE) | AN_C(SHE) | AN_C(THEY) | AN_C(DET) | AN_C(POSS));
        return an_is_letter(after) && !an_is_upper(after) && !inverted && !subject && !say_follows(sc, behind, 3);
    }
    if (prev == ',' && small && st_streq(sc->an->language, "en")) /* though generally "very particular," */
        return close - s <= WORDS_BYTES && (open_end || last == ',') && an_is_letter(an_peek(behind, sc->end)) &&
               !goes_on(sc, open) && !say_follows(sc, behind, 3) && !word_of(sc, p - 1, 6, AN_C(SPEECH) | AN_C(THINK));
    if (!an_is_letter(prev) || is_cjk_say(prev) || next == 0x3068 || close - s > PHRASE_BYTES)
        return false;
    if (an_is_cjk(first))
        return open_end && next != ',' && close - s <= 18;
    if (word_of(sc, p, 1, AN_C(SPEECH) | AN_C(THINK)))
        return word_of(sc, p, 1, AN_C(NAMING)) && last != '!' && last != '?';
    if (small && st_streq(sc->an->language, "en"))
        return !goes_on(sc, open) && (word_of(sc, p, 1, AN_C(AUX) | AN_C(PREP) | AN_C(DET) | AN_C(POSS)) ||
                                      (!say_follows(sc, behind, 2) && !word_of(sc, p, 3, AN_C(SPEECH) | AN_C(THINK))));
    if (close - s > MENTION_BYTES || say_follows(sc, behind, 1))
        return false;
    if (open_end)
        return next != ',';
    return (last == '.' || last == ',' || last == ';') && looks_like_title(s, close) &&
           !word_of(sc, p, 3, AN_C(SPEECH) | AN_C(THINK));
}

/* Is the word at s a speech verb with its subject behind it (dit Jean, demanda-t-il, s'écria la reine)? */
static bool is_incise(const struct an *an, const char *s, const char *end)
{
    if (s + 3 < end && *s == 's' && (s[1] == '\'' || (unsigned char)s[1] == 0xE2))
        s += s[1] == '\'' ? 2 : 4;
    if (s >= end || !word_is(an, s, end, AN_C(SPEECH)))
        return false;
    while (s < end && an_is_letter(an_peek(s, end)))
        st_utf8_next(&s);
    if (s >= end || *s == '-')
        return s < end;
    while (s < end && *s == ' ')
        s++;
    return an_is_upper(an_peek(s, end)) || (an->lacks_articles && an_is_letter(an_peek(s, end))) ||
           word_is(an, s, end, AN_C(DET) | AN_C(POSS) | AN_C(HE) | AN_C(SHE));
}

/* "Where is he? she whispered": the same with the subject first, where a quote was never closed. */
static bool is_late_clause(const struct an *an, const char *s, const char *end)
{
    if (!an_is_upper(an_peek(s, end)) && !word_is(an, s, end, AN_C(HE) | AN_C(SHE)))
        return false;
    while (s < end && an_is_letter(an_peek(s, end)))
        st_utf8_next(&s);
    while (s < end && *s == ' ')
        s++;
    if (!word_is(an, s, end, AN_C(SPEECH)))
        return false;
    while (s < end && an_is_letter(an_peek(s, end)))
        st_utf8_next(&s);
    return s == end || *s == ',' || *s == '.' || st_streq(an->language, "en");
}

/* French puts the clause inside the quote: « Bonjour, dit Jean, comment ça va ? » Gives where it begins, or NULL. */
static const char *find_incise(const struct an *an, const char *s, const char *end, bool late, const char **ret_end)
{
    while (s < end) {
        uint32_t cp = st_utf8_next(&s);
        if (cp != ',' && !an_is_terminator(cp))
            continue;
        const char *word = s;
        while (word < end && *word == ' ')
            word++;
        if (word == s || !(is_incise(an, word, end) || (late && is_late_clause(an, word, end))))
            continue;
        const char *p = word;
        while (p < end && *p != ',' && *p != ':' && !an_is_terminator(an_peek(p, end)))
            st_utf8_next(&p);
        if (p < end && an_is_terminator(an_peek(p, end)))
            st_utf8_next(&p);
        *ret_end = p;
        return word;
    }
    return NULL;
}

/* marked: closing marks show where speech ends; else a clause inside must be looked for. */
static void push_speech(struct scan *sc, const char *s, const char *end, bool continues, bool marked)
{
    const char *incise_end = NULL, *incise = NULL;
    if (!marked || st_streq(sc->an->language, "fr"))
        incise = find_incise(sc->an, s, end, !marked, &incise_end);
    struct an_span *span = push_span(sc, s, incise ? incise : end, ST_DIALOGUE);
    span->quoted = true;
    span->continues = continues;
    if (incise) {
        push_span(sc, incise, incise_end, ST_NARRATION);
        if (incise_end < end)
            push_span(sc, incise_end, end, ST_DIALOGUE)->quoted = true;
    }
}

/* Does the next paragraph begin with the mark, too? */
static bool opens_next(const struct scan *sc, int mark)
{
    const struct an *an = sc->an;
    return sc->para + 1 < an->n_paras &&
           an_peek(an->text + an->paras[sc->para + 1].start, an->text + an->len) == all_marks[mark].open;
}

/* Is the next mark like this one, in this paragraph's successors, one that closes (verses in quotes)? */
static bool closes_later(const struct scan *sc, int mark)
{
    enum { VERSE_BYTES = 1500 };
    const struct an *an = sc->an;
    const char *begin = sc->end + 1, *limit = an->text + an->len;
    if (limit - begin > VERSE_BYTES)
        limit = begin + VERSE_BYTES;
    if (all_marks[mark].single || begin >= limit)
        return false;
    for (const char *s = begin; s < limit;) {
        const char *here = s;
        uint32_t cp = st_utf8_next(&s);
        if (closes(&all_marks[mark], cp)) {
            uint32_t next = an_peek(s, an->text + an->len), prev = an_before(begin, here);
            return prev && !is_space(prev) && !an_is_letter(next);
        }
        if (cp == all_marks[mark].open)
            return false;
    }
    return false;
}

/* I'm fine," said Tom: the opening mark was forgotten at the paragraph's start. */
static bool lacks_opening(const struct scan *sc, const char *s, const char *behind, int mark)
{
    if (all_marks[mark].single || sc->narration != sc->begin || s == sc->begin || !ends_speech(an_before(sc->begin, s)))
        return false;
    while (behind < sc->end && *behind == ' ')
        behind++;
    return behind < sc->end && (is_incise(sc->an, behind, sc->end) || is_late_clause(sc->an, behind, sc->end));
}

/* "Dear Emma,--" or no more in its paragraph: a letter begins. */
static bool salutes(const struct scan *sc, const char *s)
{
    enum { SALUTATION_BYTES = 60 };
    const char *word = s, *end = sc->end - s > SALUTATION_BYTES ? s + SALUTATION_BYTES : sc->end;
    if (word_is(sc->an, s, sc->end, AN_C(POSS))) {
        while (word < end && an_is_letter(an_peek(word, end)))
            st_utf8_next(&word);
        word = skip_spaces(word, end);
    }
    if (!word_is(sc->an, word, sc->end, AN_C(DEAR)))
        return false;
    while (word < end && *word != ',' && *word != ':' && *word != ';' && *word != '!' && *word != '-')
        word++;
    if (word == sc->end)
        return true;
    if (word == end)
        return false;
    const char *behind = skip_spaces(*word == '-' ? word : word + 1, sc->end);
    return behind == sc->end || is_dash(an_peek(behind, sc->end)) || st_starts(behind, "--");
}

/* The quote that opens at s is a letter, or goes on with one: moves behind it, and leaves it to the narration. */
static bool scan_letter(struct scan *sc, const char *s, const char *inside, int mark)
{
    if (s != sc->begin || !(sc->letter ? sc->left_open == mark : salutes(sc, inside)))
        return false;
    const char *behind, *close = find_close(sc, inside, mark, &behind);
    bool goes_on = !close && opens_next(sc, mark);
    if (!sc->letter && !goes_on)
        return false;
    sc->letter = goes_on;
    sc->leaves_open = goes_on ? mark : -1;
    sc->at = close ? behind : sc->end;
    return true;
}

/* A quote may open at s: pushes it and moves on, or leaves the mark to the narration. */
static void scan_quote(struct scan *sc, const char *s, int mark)
{
    const struct marks *m = &all_marks[mark];
    const char *inside = s;
    st_utf8_next(&inside);
    sc->at = inside;
    if (!looks_opening(sc, s, mark) && lacks_opening(sc, s, inside, mark)) {
        push_speech(sc, sc->begin, s, false, true);
        sc->narration = inside;
        return;
    }
    if (!looks_opening(sc, s, mark) || (m->single && !sc->style.singles && m->open != 0x201A)) /* ‚ is no apostrophe */
        return;
    if (m->single && s != sc->begin && is_elision(sc, s))
        return;
    if (scan_letter(sc, s, inside, mark))
        return;
    const char *behind, *close = find_close(sc, inside, mark, &behind);
    bool continues = s == sc->begin && sc->left_open == mark;
    if (!close) {
        bool goes_on = opens_next(sc, mark);
        if ((m->single || m->lone) && !(goes_on && s == sc->begin))
            return;
        sc->carries = !goes_on && closes_later(sc, mark) ? mark : -1;
        push_narration(sc, s);
        push_speech(sc, inside, sc->end, continues, goes_on || sc->carries >= 0);
        sc->leaves_open = goes_on ? mark : -1;
        sc->at = sc->narration = sc->end;
        return;
    }
    if (is_mention(sc, s, inside, close, behind)) {
        sc->at = behind;
        return;
    }
    push_narration(sc, s);
    push_speech(sc, inside, close, continues, true);
    sc->at = sc->narration = behind;
}

/* *Emphasis* that is a sentence of its own may be a thought; it becomes a span, which the speaker rules judge. */
static void scan_emphasis(struct scan *sc, const char *s)
{
    enum { EMPHASIS_BYTES = 600, MIN_WORDS = 2 };
    char mark = *s;
    const char *inside = s + 1, *p;
    sc->at = inside;
    uint32_t next = an_peek(inside, sc->end);
    if (an_is_letter(an_before(sc->begin, s)) || is_space(next) || next == (uint32_t)mark)
        return;
    int spaces = 0;
    for (p = inside; p < sc->end && *p != mark && p - inside < EMPHASIS_BYTES; p++)
        spaces += *p == ' ';
    if (p >= sc->end || *p != mark || an_is_letter(an_peek(p + 1, sc->end)))
        return;
    const char *q = s;
    while (q > sc->begin && q[-1] == ' ')
        q--;
    uint32_t prev = an_before(sc->begin, q), last = an_before(inside, p), after = an_peek(p + 1, sc->end);
    bool whole = prev == 0 || an_is_terminator(prev) || is_soft_stop(prev) || an_is_closer(prev);
    whole =
        whole && (an_is_terminator(last) || last == ',' || is_dash(last) || an_is_terminator(after) || after == ',');
    if (!whole || spaces + 1 < MIN_WORDS)
        return;
    push_narration(sc, s);
    push_span(sc, inside, p, ST_NARRATION)->emphasis = true;
    sc->at = sc->narration = p + 1;
}

/* The paragraph goes on with a quote that an earlier one opened. */
static void scan_carried(struct scan *sc)
{
    const char *behind = sc->end, *close = find_close(sc, sc->begin, sc->carries, &behind);
    push_speech(sc, sc->begin, close ? close : sc->end, true, true);
    sc->at = sc->narration = close ? behind : sc->end;
    if (close)
        sc->carries = -1;
}

static void scan_quotes(struct scan *sc)
{
    if (sc->carries >= 0)
        scan_carried(sc);
    while (sc->at < sc->end) {
        const char *s = sc->at;
        uint32_t cp = st_utf8_next(&sc->at);
        int mark = mark_of(cp);
        if (mark >= 0)
            scan_quote(sc, s, mark);
        else if (cp == '*' || cp == '_')
            scan_emphasis(sc, s);
    }
    push_narration(sc, sc->end);
}

/* ---- Speech after a dash ---- */

/* Is the dash at s the beginning of an aside of the narrator (- Hello, - said Ivan)? */
static bool begins_aside(const struct scan *sc, const char *s, const char *behind)
{
    const char *p = s;
    while (p > sc->begin && p[-1] == ' ')
        p--;
    if (p == s)
        return false;
    uint32_t prev = an_before(sc->begin, p), next = an_peek(behind, sc->end);
    bool attached = !is_space(next);
    while (behind < sc->end && *behind == ' ')
        behind++;
    next = an_peek(behind, sc->end);
    if (!an_is_letter(next))
        return false;
    if (an_is_terminator(prev) || is_soft_stop(prev))
        return true;
    return word_is(sc->an, behind, sc->end, AN_C(SPEECH)) || (attached && !an_is_upper(next));
}

static const char *next_dash(const char *s, const char *end)
{
    while (s < end) {
        const char *here = s;
        uint32_t cp = st_utf8_next(&s);
        if (is_dash(cp) || (cp == '-' && (s == end || *s == ' ') && here[-1] == ' '))
            return here;
    }
    return end;
}

/*
 * Where the speech of a paragraph with dashes ends: at its end, or where » closes the dialogue that « opened paragraphs
 * before. *ret_behind: where the text goes on.
 */
static const char *dialogue_end(const struct scan *sc, const char **ret_behind)
{
    int open = 0;
    for (const char *s = sc->at; s < sc->end && !sc->style.inverted;) {
        const char *here = s;
        uint32_t cp = st_utf8_next(&s);
        *ret_behind = s;
        if (cp == 0xBB && open-- == 0)
            return here;
        open += cp == 0xAB;
    }
    *ret_behind = sc->end;
    return sc->end;
}

static void scan_dashes(struct scan *sc)
{
    const char *start = sc->at, *s = start, *goes_on, *end = dialogue_end(sc, &goes_on);
    while (start < end) {
        s = next_dash(s, end);
        const char *behind = s;
        if (s < end) {
            st_utf8_next(&behind);
            if (!begins_aside(sc, s, behind)) {
                s = behind;
                continue;
            }
        }
        push_speech(sc, start, s, false, false);
        if (s == end)
            break;
        s = next_dash(behind, end);
        push_span(sc, behind, s, ST_NARRATION);
        if (s < end)
            st_utf8_next(&s);
        start = s;
    }
    sc->at = sc->narration = goes_on;
}

/* --What is it? */
static bool opens_with_hyphens(const char *s, const char *end)
{
    return end - s > 3 && s[0] == '-' && s[1] == '-' && an_is_upper(an_peek(s + 2, end));
}

static bool opens_with_dash(const struct scan *sc, const char **ret_inside)
{
    const char *s = sc->begin;
    uint32_t cp = st_utf8_next(&s);
    if (sc->style.hyphens && opens_with_hyphens(sc->begin, sc->end))
        s++;
    else if (!is_dash(cp) && !(cp == '-' && sc->style.dashes && s < sc->end && *s != '-'))
        return false;
    while (s < sc->end && *s == ' ')
        s++;
    uint32_t next = an_peek(s, sc->end);
    *ret_inside = s;
    return an_is_upper(next) || next == 0xBF || next == 0xA1 || next == '"' || next == 0xAB || next == 0x2026 ||
           (an_is_letter(next) && !st_streq(sc->an->language, "en"));
}

/* ---- The text's own habits ---- */

/* Votes by the first mark of each paragraph: nested marks come later, so the outer ones win. */
static struct style find_style(struct an *an)
{
    static const char hyphen_languages[] = " ru uk be bg es pt fr it pl cs sk ro hu tr el ca gl sr mk hr sl lt lv ";
    enum { HYPHENS_LEAST = 3 }; /* a single one is of a motto's author */
    uint32_t doubles = 0, singles = 0, inverted = 0, upright = 0, hyphens = 0;
    for (uint32_t i = 0; i < an->n_paras; i++) {
        struct scan sc = {.an = an, .begin = an->text + an->paras[i].start, .end = an->text + an->paras[i].end};
        sc.style.inverted = true;
        hyphens += opens_with_hyphens(sc.begin, sc.end);
        bool voted = false, seen_angle = false;
        for (const char *s = sc.begin; s < sc.end && !(voted && seen_angle);) {
            const char *here = s;
            uint32_t cp = st_utf8_next(&s);
            int mark = mark_of(cp);
            if (mark < 0)
                continue;
            uint32_t next = an_peek(s, sc.end);
            bool opens_left = cp == 0xAB || cp == 0x2039;
            bool opens_right = (cp == 0xBB || cp == 0x203A) && next && !is_space(next) && !is_soft_stop(next);
            if ((opens_left || opens_right) && !seen_angle) {
                seen_angle = true;
                inverted += opens_right;
                upright += opens_left;
            }
            if (voted || !looks_opening(&sc, here, mark))
                continue;
            if (!all_marks[mark].single) {
                doubles++;
                voted = true;
            } else if (!sc.none[mark]) {
                const char *close = find_single_close(&sc, s, mark);
                sc.none[mark] = !close;
                voted = close && ends_speech(an_before(sc.begin, close));
                singles += voted;
            }
        }
    }
    char padded[16];
    snprintf(padded, sizeof(padded), " %s ", an->language);
    return (struct style){singles && singles * 3 >= doubles, inverted > upright,
                          strstr(hyphen_languages, padded) != NULL, hyphens >= HYPHENS_LEAST && hyphens > doubles};
}

void an_find_spans(struct an *an)
{
    struct scan sc = {.an = an, .style = find_style(an), .leaves_open = -1, .carries = -1};
    for (uint32_t i = 0; i < an->n_paras; i++) {
        sc.para = i;
        sc.begin = sc.at = sc.narration = an->text + an->paras[i].start;
        sc.end = an->text + an->paras[i].end;
        memset(sc.none, 0, sizeof(sc.none));
        sc.flat = false;
        an->paras[i].s0 = an->n_spans;
        const char *inside;
        sc.left_open = sc.leaves_open;
        sc.leaves_open = -1;
        sc.letter = sc.letter && sc.left_open >= 0;
        bool dash = opens_with_dash(&sc, &inside), title = an->paras[i].title;
        if (title || (dash && sc.carries >= 0 && all_marks[sc.carries].open == 0xAB))
            sc.carries = -1; /* « Who's there? — I. » are two */
        if (title) {
            sc.at = sc.end; /* nobody says it */
        } else if (dash && sc.carries < 0) {
            sc.at = inside;
            scan_dashes(&sc);
        }
        scan_quotes(&sc);
        an->paras[i].s1 = an->n_spans;
    }
}
