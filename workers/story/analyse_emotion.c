/* Tells the emotion of words: the lexicon, with negation, intensity and punctuation. */
#include "story/analyse_int.h"

/* ---- Stems: inflected words take the feelings of the form in the lexicon ---- */

struct ending {
    const char *ending, *instead;
};

static const struct ending english[] = {
    {"iness", "y"}, {"ness", ""}, {"ily", "y"}, {"ingly", ""}, {"edly", ""}, {"ly", ""},  {"ies", "y"}, {"ied", "y"},
    {"es", ""},     {"s", ""},    {"ing", ""},  {"ing", "e"},  {"ed", ""},   {"ed", "e"}, {"er", ""},   {"est", ""},
};
static const struct ending others[] = {{"en", ""}, {"er", ""}, {"es", ""}, {"em", ""}, {"e", ""}, {"s", ""}, {"n", ""}};

static bool borrow(struct an *an, struct an_term *t, const char *stem, size_t len)
{
    uint32_t base = len >= 3 ? an_find(an, stem, len) : AN_NONE;
    if (base == AN_NONE || !an->terms[base].known || !an->terms[base].weight[0])
        return false;
    memcpy(t->emotion, an->terms[base].emotion, sizeof(t->emotion));
    memcpy(t->weight, an->terms[base].weight, sizeof(t->weight));
    return true;
}

static void find_feeling(struct an *an, struct an_term *t)
{
    enum { STEM_BYTES = 40 };
    bool is_english = st_streq(an->language, "en");
    const struct ending *list = is_english ? english : others;
    size_t n = is_english ? ST_COUNT(english) : ST_COUNT(others);
    if (t->known || t->len >= STEM_BYTES || t->len < 5)
        return;
    for (size_t i = 0; i < n; i++) {
        size_t k = strlen(list[i].ending);
        if (t->len < k + 3 || memcmp(t->text + t->len - k, list[i].ending, k) != 0)
            continue;
        char stem[STEM_BYTES + 2];
        size_t len = t->len - k;
        memcpy(stem, t->text, len);
        size_t m = strlen(list[i].instead);
        memcpy(stem + len, list[i].instead, m);
        if (borrow(an, t, stem, len + m))
            return;
        bool doubled = is_english && m == 0 && len > 3 && stem[len - 1] == stem[len - 2];
        if (doubled && borrow(an, t, stem, len - 1))
            return;
    }
}

void an_find_feelings(struct an *an)
{
    for (uint32_t i = 0; i < an->n_terms; i++)
        if (!an->terms[i].weight[0])
            find_feeling(an, &an->terms[i]);
}

/* ---- Words ---- */

/* The term of the phrase of up to four words that begins at w; its own word when there is none. */
static const struct an_term *phrase_at(const struct an *an, uint32_t w, uint32_t limit, uint32_t *ret_n)
{
    enum { PHRASE_WORDS = 4, PHRASE_BYTES = 64 };
    const struct an_term *found = &an->terms[an->words[w].term];
    *ret_n = 1;
    if (!found->opens_phrase)
        return found;
    char text[PHRASE_BYTES];
    size_t len = 0;
    for (uint32_t i = w; i < limit && i < w + PHRASE_WORDS; i++) {
        const struct an_term *t = &an->terms[an->words[i].term];
        if (len + t->len + 1 >= sizeof(text))
            break;
        if (len)
            text[len++] = ' ';
        memcpy(text + len, t->text, t->len);
        len += t->len;
        uint32_t phrase = i > w ? an_find(an, text, len) : AN_NONE;
        if (phrase != AN_NONE && an->terms[phrase].weight[0]) {
            found = &an->terms[phrase];
            *ret_n = i - w + 1;
        }
        if (an->words[i].after & AN_BREAK)
            break;
    }
    return found;
}

/* Is what ends with the word at w a phrase that denies what follows it? */
static bool denies(const struct an *an, uint32_t w)
{
    static const char *const phrases[] = {"anything but", "alles andere als", "tout sauf", "todo menos"};
    for (size_t i = 0; i < ST_COUNT(phrases); i++) {
        uint32_t n = (uint32_t)strlen(phrases[i]), end = an->words[w].end;
        if (end >= n && strncasecmp(an->text + end - n, phrases[i], n) == 0)
            return true;
    }
    return false;
}

/* In English a clause may begin with its subject alone: I do not know he was happy. But: never was he happy. */
static bool begins_clause(const struct an *an, uint32_t w, uint32_t first)
{
    return an_is(an, an->words[w].term, AN_C(HE) | AN_C(SHE) | AN_C(ME)) && st_streq(an->language, "en") &&
           !(w > first && an_is(an, an->words[w - 1].term, AN_C(AUX) | AN_C(NEG)));
}

/*
 * Is the word at w negated by one before it (not happy, neither of them was happy)? Few words may stand between the
 * two, besides auxiliaries, pronouns and very.
 */
static bool is_negated(const struct an *an, uint32_t w, uint32_t first)
{
    enum { BETWEEN = 2, WITH_PHRASE = 4 }; /* nothing in the world made her happy */
    const uint64_t light =
        AN_C(AUX) | AN_C(MORE) | AN_C(HE) | AN_C(SHE) | AN_C(IT) | AN_C(ME) | AN_C(THEY) | AN_C(HIM) | AN_C(HER);
    bool so = false, apart = false;
    int between = 0;
    for (uint32_t i = w; i-- > first && between <= WITH_PHRASE;) {
        if (an->words[i].after & AN_BREAK)
            return false;
        if (denies(an, i))
            return true;
        uint64_t c = an->terms[an->words[i].term].classes, next = an->terms[an->words[i + 1].term].classes;
        if (c & AN_C(NEG) && !apart && !(c & AN_C(NEVER) && so) && !(next & AN_C(ONLY) && i + 1 < w))
            return between <= (next & AN_C(PREP) && i + 1 < w ? WITH_PHRASE : BETWEEN);
        if (c & (AN_C(NEG) | AN_C(CLAUSE)))
            return false;
        apart = (apart || begins_clause(an, i, first)) && !(c & AN_C(BELIEVE));
        so = so || c & AN_C(SO);
        between += !(c & light);
    }
    return false;
}

/* In German the negation follows the verb: he laughed not, I hate you not; but: so happy was he never. */
static bool is_negated_behind(const struct an *an, uint32_t w, uint32_t limit)
{
    enum { WORDS = 4 };
    const struct an_word *word = &an->words[w];
    bool joined = w > 0 && !(word[-1].after & AN_BREAK), noun = word->upper && !word->first;
    uint64_t before = joined ? an->terms[word[-1].term].classes : 0;
    bool of_noun = before & (AN_C(DET) | AN_C(POSS) | AN_C(MORE)) && w + 1 < limit && word[1].upper;
    if (!st_streq(an->language, "de") || noun || of_noun) /* the sad king came not */
        return false;
    for (uint32_t i = w + 1; i < limit && i - w <= WORDS && !(an->words[i - 1].after & AN_BREAK); i++) {
        uint64_t c = an->terms[an->words[i].term].classes;
        if (c & AN_C(CLAUSE))
            return false;
        if (c & AN_C(NEG) && !(c & AN_C(PREP)))
            return !(c & AN_C(NEVER) && before & AN_C(SO)) &&
                   !(i + 1 < limit && an_is(an, an->words[i + 1].term, AN_C(ONLY)));
    }
    return false;
}

/* Negated, very is no more than that: not very happy. */
static double degree(const struct an *an, uint32_t w, uint32_t first, bool negated)
{
    if (w == first || an->words[w - 1].after & AN_BREAK)
        return 1;
    uint64_t c = an->terms[an->words[w - 1].term].classes;
    return c & AN_C(MORE) ? (negated ? 1 : 1.4) : c & AN_C(LESS) ? 0.6 : 1;
}

static void feel_term(struct an_mood *mood, const struct an_term *t, double weight, bool negated)
{
    for (int i = 0; i < 2 && t->weight[i]; i++) {
        double score = weight * t->weight[i] / 10.0;
        switch ((enum st_emotion)t->emotion[i] * negated) {
        case ST_NEUTRAL: mood->score[t->emotion[i]] += score; break;
        case ST_JOY: mood->score[ST_SADNESS] += 0.7 * score; break;
        case ST_FEAR: mood->score[ST_TRUST] += 0.4 * score; break;
        case ST_TRUST: mood->score[ST_ANGER] += 0.3 * score; break;
        default: break;
        }
    }
}

static bool is_character(const struct an *an, uint32_t w)
{
    int32_t m = an->words[w].mention;
    return m >= 0 && an->persons[an->entities[an->mentions[m].entity].person].character >= 0;
}

void an_feel(const struct an *an, struct an_mood *mood, uint32_t w0, uint32_t w1, double weight, bool clause)
{
    uint32_t n;
    for (uint32_t w = w0; w < w1; w += n) {
        if (is_character(an, w)) { /* the wolf may be a friend, Joy a name */
            n = an->mentions[an->words[w].mention].n;
            continue;
        }
        const struct an_term *t = phrase_at(an, w, w1, &n);
        if (!t->weight[0])
            continue;
        /* he cried, she called: loud, no more */
        if (clause && (st_streq(t->text, "cried") || st_streq(t->text, "cries")))
            continue;
        bool negated = is_negated(an, w, w0) || is_negated_behind(an, w + n - 1, w1);
        feel_term(mood, t, weight * degree(an, w, w0, negated), negated);
    }
}

/* ---- Punctuation, capitals, emoji ---- */

struct emoji {
    uint32_t first, last;
    enum st_emotion emotion;
};

static const struct emoji emojis[] = {
    {0x1F600, 0x1F60B, ST_JOY},      {0x1F60D, 0x1F60D, ST_TRUST},   {0x1F612, 0x1F616, ST_SADNESS},
    {0x1F618, 0x1F61A, ST_TRUST},    {0x1F61E, 0x1F61F, ST_SADNESS}, {0x1F620, 0x1F621, ST_ANGER},
    {0x1F622, 0x1F625, ST_SADNESS},  {0x1F626, 0x1F628, ST_FEAR},    {0x1F62D, 0x1F62D, ST_SADNESS},
    {0x1F62E, 0x1F62F, ST_SURPRISE}, {0x1F630, 0x1F631, ST_FEAR},    {0x1F632, 0x1F633, ST_SURPRISE},
    {0x1F642, 0x1F642, ST_JOY},      {0x1F970, 0x1F970, ST_TRUST},   {0x1F922, 0x1F922, ST_DISGUST},
    {0x1F92C, 0x1F92C, ST_ANGER},    {0x1F92E, 0x1F92E, ST_DISGUST}, {0x1F389, 0x1F38A, ST_JOY},
    {0x2764, 0x2764, ST_TRUST},      {0x1F494, 0x1F494, ST_SADNESS}, {0x1F44D, 0x1F44D, ST_TRUST},
};

void an_feel_text(struct an_mood *mood, const char *text, bool speech)
{
    int marks = 0, asks = 0, caps = 0, run = 0, lower = 0;
    for (const char *s = text; *s;) {
        uint32_t cp = st_utf8_next(&s);
        marks += cp == '!' || cp == 0xFF01;
        asks += cp == '?' || cp == 0xFF1F;
        run = an_is_upper(cp) ? run + 1 : 0;
        caps += run == 3;
        lower += an_is_letter(cp) && !an_is_upper(cp);
        for (size_t i = 0; cp >= 0x2700 && i < ST_COUNT(emojis); i++)
            if (cp >= emojis[i].first && cp <= emojis[i].last)
                mood->score[emojis[i].emotion] += 0.8;
    }
    mood->loudness = 1 + 0.15 * (marks > 3 ? 3 : marks);
    mood->asks = asks > 0 && marks == 0;
    if (speech && marks && caps && lower < 200)
        mood->score[ST_ANGER] += 0.5;
    if (speech && marks && asks)
        mood->score[ST_SURPRISE] += 0.4;
    if (speech && marks && mood->words <= 3)
        mood->score[ST_SURPRISE] += 0.25;
}

void an_mood_decide(const struct an_mood *mood, struct st_segment *out)
{
    int best = ST_NEUTRAL;
    double top = 0;
    for (int e = ST_JOY; e < ST_EMOTIONS_; e++) {
        double score = mood->score[e];
        if (mood->asks && (e == ST_JOY || e == ST_TRUST || e == ST_ANTICIPATION))
            score *= 0.7; /* "Are you happy?" */
        if (e == ST_TRUST || e == ST_ANTICIPATION)
            score *= 0.9; /* fainter in the voice: the others win ties */
        if (score > top) {
            top = score;
            best = e;
        }
    }
    top *= mood->loudness;
    double least = 0.4 + 0.004 * mood->words; /* one faint word colours a sentence, not a paragraph */
    if (top < least)
        best = ST_NEUTRAL;
    out->emotion = (enum st_emotion)best;
    out->intensity = best == ST_NEUTRAL ? 0 : (int)(100 * top / (top + 0.6)) / 100.0;
}
