/* Puts quotes together to turns, what one being says in one go, and reads what the text beside them and they say of it.
 */
#include "story/analyse_int.h"

enum {
    TALK_GAP_BYTES = 700, /* narration that ends a conversation */
    LEAD = 3,             /* words before a quote that part it from the one before */
    LONG_PAUSE = 30,      /* words of narration inside a paragraph behind which another may speak */
};

struct an_person *an_person_of(const struct an *an, uint32_t entity)
{
    return &an->persons[an->entities[entity].person];
}

struct an_person *an_subject(const struct an *an, const struct an_said *said)
{
    int32_t m = an->words[said->word].mention;
    int titled = m >= 0 ? an->mentions[m].titled : -1;
    return titled >= 0 ? &an->persons[titled] : an_person_of(an, said->entity);
}

char an_gender_wanted(enum an_who who)
{
    return who == AN_WHO_HE ? 'm' : who == AN_WHO_SHE ? 'f' : 0;
}

/* ---- Clauses ---- */

/* Can both clauses mean the same speaker? */
static bool compatible(const struct an *an, const struct an_said *a, const struct an_said *b)
{
    if (a->who == AN_WHO_ENTITY && b->who == AN_WHO_ENTITY)
        return an_subject(an, a) == an_subject(an, b);
    if (a->who == AN_WHO_ENTITY || b->who == AN_WHO_ENTITY) {
        const struct an_said *name = a->who == AN_WHO_ENTITY ? a : b, *pronoun = name == a ? b : a;
        char gender = an_gender(&an_subject(an, name)->votes), wanted = an_gender_wanted(pronoun->who);
        return pronoun->who == AN_WHO_IT ? !gender : wanted && (!gender || gender == wanted);
    }
    return a->who == b->who;
}

bool an_asks(const struct an *an, const struct an_span *s)
{
    return s->end > s->start && an->text[s->end - 1] == '?';
}

/* Do the words between quotes s and s + 2 only lead into the later one ("A." Then Tom said, "B.")? */
static bool leads_on(struct an *an, uint32_t s, const struct an_said *after)
{
    if (s + 2 >= an->n_spans || !an->spans[s + 2].quoted || an->spans[s + 2].para != an->spans[s].para)
        return false;
    const struct an_span *between = &an->spans[s + 1];
    for (uint32_t w = between->w0; w + 1 < between->w1; w++)
        if (an->words[w].after & AN_STOP)
            return false;
    struct an_said next = an_clause_before(an, s + 2);
    if (!after->apart || !next.verb || !next.colon)
        return false;
    uint32_t first = an->words[between->w0].term;
    return after->reply || !after->verb || an_is(an, first, AN_C(DET) | AN_C(HE) | AN_C(SHE) | AN_C(STOP));
}

/* The clause that tells most about quote s alone. */
static struct an_said clause_of(struct an *an, uint32_t s)
{
    struct an_said before = an_clause_before(an, s), after = an_clause_after(an, s);
    if (before.verb && before.colon && before.who != AN_WHO_NONE)
        return before;
    if (after.who != AN_WHO_NONE && leads_on(an, s, &after))
        after = (struct an_said){.who = AN_WHO_NONE};
    if (after.verb && after.who != AN_WHO_NONE)
        return after;
    bool same_para = s > 0 && an->spans[s - 1].para == an->spans[s].para;
    if (before.who != AN_WHO_NONE && (same_para || before.colon))
        return before;
    return after;
}

static bool says_i(const struct an *an, const struct an_span *span)
{
    for (uint32_t w = span->w0; w < span->w1; w++) {
        const char *text = an->terms[an->words[w].term].text;
        if (an_is(an, an->words[w].term, AN_C(ME)) || st_starts(text, "i'") || st_streq(text, "my") ||
            st_streq(text, "me"))
            return true;
    }
    return false;
}

/* *Who is it?* she asked herself; he thought, *why not?* But: asked Marvel, *sotto voce*. */
static bool is_thought(const struct an *an, const struct an_span *span, const struct an_said *said)
{
    enum { CASED = 0x530 }; /* Latin, Greek, Cyrillic: those behind have no small letters, but for a few */
    const char *s = an->text + span->start, *end = an->text + span->end;
    uint32_t first = 0;
    while (s < end && !an_is_letter(first))
        first = st_utf8_next(&s);
    bool begins = an_is_upper(first) || first >= CASED;
    return (said->verb && (said->think || begins)) || says_i(an, span);
}

/* Quotes and emphasised sentences that are thought, not spoken. */
void an_read_clauses(struct an *an)
{
    an->said = st_new_n(an->arena, struct an_said, an->n_spans + 1);
    for (uint32_t s = 0; s < an->n_spans; s++) {
        struct an_span *span = &an->spans[s];
        if (!span->quoted && !span->emphasis)
            continue;
        an->said[s] = clause_of(an, s);
        const struct an_said *said = &an->said[s];
        bool thought = span->emphasis ? is_thought(an, span, said) : said->verb && said->think;
        span->kind = thought ? ST_THOUGHT : span->kind;
    }
}

/* ---- Who is named inside a quote ---- */

/* "No, sir," "my dear girl": the gender of whom the quote speaks to, or 0. */
static char gender_called(const struct an *an, const struct an_span *span)
{
    for (uint32_t w = span->w0; w < span->w1; w++) {
        uint64_t gender = an_is(an, an->words[w].term, AN_C(MALE) | AN_C(FEMALE));
        uint64_t kind = an_is(an, an->words[w].term, AN_C(TITLE) | AN_C(PERSON));
        if (!gender || gender == (AN_C(MALE) | AN_C(FEMALE)) || !kind || !(an->words[w].after & AN_BREAK))
            continue;
        uint32_t first = w;
        while (first > span->w0 && w - first < 3 && !(an->words[first - 1].after & AN_BREAK) &&
               an_is(an, an->words[first - 1].term, AN_C(MOD) | AN_C(POSS)))
            first--;
        bool starts = first == span->w0 ? w + 1 < span->w1 : an->words[first - 1].after & AN_BREAK;
        if (starts && !an_is(an, an->words[first].term, AN_C(HIM) | AN_C(HER)))
            return gender & AN_C(MALE) ? 'm' : 'f';
    }
    return 0;
}

/* "..., Tom." speaks to Tom; "I am Tom" is said by him. */
static void read_names(struct an *an, const struct an_span *span, struct an_turn *turn, int *ret_self)
{
    for (uint32_t w = span->w0; w < span->w1; w++) {
        if (an->words[w].mention < 0)
            continue;
        const struct an_mention *m = &an->mentions[an->words[w].mention];
        const struct an_entity *e = &an->entities[m->entity];
        uint32_t last = w + m->n - 1;
        bool ends = an->words[last].after & (AN_COMMA | AN_STOP | AN_END | AN_MARK | AN_DASH) && !an->words[last].owner;
        bool article = an_is(an, an->words[w].term, AN_C(DET) | AN_C(POSS));
        const char *before = w > span->w0 ? an->terms[an->words[w - 1].term].text : "";
        bool starts = w == span->w0 || an->words[w - 1].after & (AN_COMMA | AN_STOP | AN_MARK | AN_DASH) ||
                      st_streq(before, "dear") || st_streq(before, "oh") || st_streq(before, "o") ||
                      st_streq(before, "yes") || st_streq(before, "no") || st_streq(before, "my");
        bool am =
            w >= span->w0 + 2 && ((st_streq(before, "am") && an_is(an, an->words[w - 2].term, AN_C(ME))) ||
                                  (st_streq(before, "is") && st_streq(an->terms[an->words[w - 2].term].text, "name")));
        am = am || (w > span->w0 && st_streq(before, "i'm"));
        if (am && ends && !e->description)
            *ret_self = e->person;
        else if (starts && ends && !article) {
            turn->calls_many = turn->calls_many || (turn->called >= 0 && turn->called != e->person);
            turn->called = an_may_speak(an, e->person) ? e->person : turn->called;
        } else if (turn->n_told < AN_TOLD) {
            turn->told[turn->n_told++] = e->person;
        }
    }
}

/* ---- Turns ---- */

static bool ends_sentence(const struct an *an, const struct an_span *s)
{
    return an_is_terminator(an_before(an->text + s->start, an->text + s->end));
}

/* Narration between two quotes of a paragraph: how many words, and whether a sentence ends there. */
static uint32_t between(const struct an *an, uint32_t s, uint32_t next, bool *ret_stop)
{
    uint32_t words = 0;
    *ret_stop = false;
    for (uint32_t i = s + 1; i < next; i++) {
        words += an->spans[i].w1 - an->spans[i].w0;
        for (uint32_t w = an->spans[i].w0; w < an->spans[i].w1; w++)
            *ret_stop = *ret_stop || an->words[w].after & AN_STOP;
    }
    return words;
}

/* Does quote s go on with turn t? Tales may have a whole dialogue in one paragraph. */
static bool same_turn(struct an *an, const struct an_turn *t, uint32_t s, const struct an_said *said)
{
    const struct an_span *last = &an->spans[t->s1], *span = &an->spans[s];
    if (span->continues)
        return true;
    bool stop;
    uint32_t words = between(an, t->s1, s, &stop);
    if (span->para != last->para || words == 0)
        return false;
    if (said->verb && said->who == AN_WHO_NOBODY)
        return false;
    bool own = said->verb && said->who != AN_WHO_NONE;
    if (!own)
        return words <= LONG_PAUSE;
    if (!t->said.verb)
        return !(said->reply && said->colon && an_asks(an, last)) && words <= LONG_PAUSE;
    stop = stop || (said->colon && said->apart && ends_sentence(an, last));
    return !stop && compatible(an, &t->said, said);
}

static uint32_t gap_bytes(const struct an *an, uint32_t s0, uint32_t s1)
{
    uint32_t bytes = 0;
    for (uint32_t s = s0 + 1; s < s1; s++)
        if (!an->spans[s].quoted)
            bytes += an->spans[s].end - an->spans[s].start;
    return bytes;
}

static bool scene_between(const struct an *an, uint32_t p0, uint32_t p1)
{
    for (uint32_t p = p0 + 1; p <= p1 && p - p0 < 8; p++)
        if (an->paras[p].scene)
            return true;
    return p1 - p0 >= 8;
}

static struct an_turn *new_turn(struct an_talk *t, uint32_t s)
{
    struct an *an = t->an;
    struct an_turn *turn = &t->turns[t->n_turns];
    *turn = (struct an_turn){.s0 = s, .s1 = s, .para = an->spans[s].para, .speaker = -1, .called = -1, .self = -1};
    if (t->n_turns) {
        const struct an_turn *last = turn - 1;
        bool scene = scene_between(an, last->para, turn->para), far = gap_bytes(an, last->s1, s) > TALK_GAP_BYTES;
        turn->talk = last->talk + (scene || far);
        uint32_t lead = an->paras[turn->para].s0;
        turn->gap = scene                                                     ? AN_GAP_SCENE
                    : far                                                     ? AN_GAP_LONG
                    : turn->para > an->spans[last->s1].para + 1               ? AN_GAP_PARAGRAPH
                    : lead < s && an->spans[s].w0 > an->spans[lead].w0 + LEAD ? AN_GAP_LEAD
                                                                              : AN_GAP_NONE;
    }
    t->n_turns++;
    return turn;
}

/* The caller's word; of nobody, when it is -1. */
void an_correct(struct an_turn *turn, int speaker)
{
    turn->corrected = true;
    turn->speaker = speaker;
    turn->evidence = AN_E_CORRECTED;
    turn->confidence = 1;
}

void an_find_turns(struct an_talk *t)
{
    struct an *an = t->an;
    for (uint32_t s = 0; s < an->n_spans; s++) {
        const struct an_span *span = &an->spans[s];
        if (!span->quoted)
            continue;
        struct an_said said = an->said[s];
        struct an_turn *turn = t->n_turns ? &t->turns[t->n_turns - 1] : NULL;
        bool other = turn && span->corrected && !(turn->corrected && turn->speaker == span->speaker);
        bool begins = !turn || other || !same_turn(an, turn, s, &said);
        if (begins && t->n_turns == AN_TURNS_MAX)
            break;
        if (begins)
            turn = new_turn(t, s);
        turn->s1 = s;
        turn->asks = an_asks(an, span);
        turn->answers =
            turn->answers || (begins && span->w1 > span->w0 && an_is(an, an->words[span->w0].term, AN_C(ANSWER)));
        if (span->corrected)
            an_correct(turn, span->speaker);
        /* Who tells a tale of several paragraphs says I, too, where the marks inside it are lost. */
        bool tale = span->continues && said.who == AN_WHO_ME;
        if (!tale && said.who != AN_WHO_NONE && (turn->said.who == AN_WHO_NONE || (said.verb && !turn->said.verb))) {
            turn->said = said;
            if (s != turn->s0) /* "By the fire." The clock struck. "It is late," he added: to his own words */
                turn->said.reply = turn->said.resume = false;
        }
        int self = -1;
        turn->calls_gender = turn->calls_gender ? turn->calls_gender : gender_called(an, span);
        read_names(an, span, turn, &self);
        if (self >= 0)
            turn->self = self;
    }
}
