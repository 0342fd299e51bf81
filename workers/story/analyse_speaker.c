/* Gives every quote its speaker: by the clauses beside it, by resolving pronouns, by the turns of a conversation. */
#include "story/analyse_int.h"
#include <math.h>

/* ---- Pronouns ---- */

/* By how much less likely a pronoun means one whose gender is not known. */
static const double unknown_gender = 0.2;

/* Those who speak take turns: how likely a person is to have the one behind these. */
static double by_turn(const struct an_talk *t, const struct an_turn *turn, int person)
{
    const struct an_turn *last = turn - 1;
    if (turn == t->turns || last->talk != turn->talk || last->para == turn->para)
        return 1;
    if (last->speaker == person)
        return turn->gap ? 0.8 : 0.5;
    return last > t->turns && last[-1].talk == turn->talk && last[-1].speaker == person ? 1.4 : 1;
}

/*
 * Whom he or she (wanted: m, f, 0 for it) or a description means in the clause of the turn, or -1. named: nobody
 * without a name.
 */
static int resolve(const struct an_talk *t, const struct an_turn *turn, char wanted, bool named, float *ret_confidence)
{
    const struct an *an = t->an;
    int best = -1;
    double top = 0, second = 0;
    for (int i = 0; i < t->focus.n; i++) {
        int person = an_person(an, t->focus.in[i].person);
        const struct an_person *p = &an->persons[person];
        char gender = an_gender(&p->votes);
        if ((wanted && gender && gender != wanted) || (!wanted && gender && !named) || person == an->narrator ||
            person == turn->called || (named && !an_is_known(an, person)) || !an_may_speak(an, person))
            continue;
        double weight = (double)t->focus.in[i].weight * by_turn(t, turn, person);
        weight *= gender || !wanted ? 1 : unknown_gender;
        weight *= named ? an_age_fits(an, turn->said.entity, person) : 1;
        if (weight > top) {
            second = top;
            top = weight;
            best = person;
        } else if (weight > second) {
            second = weight;
        }
    }
    if (top < 0.15)
        return -1;
    *ret_confidence = (float)(0.4 + 0.5 * (top - second) / top);
    return best;
}

static int narrator(struct an *an)
{
    if (an->narrator < 0 && !an->hints->cast_all) {
        an->narrator = (int)an->n_persons;
        AN_PUSH(an, persons) = (struct an_person){.entity = AN_NONE, .character = -1};
    }
    return an->narrator;
}

/* ---- Turn by turn ---- */

static void set_speaker(struct an_turn *turn, int person, enum an_evidence evidence, double confidence)
{
    if (person < 0)
        return;
    turn->speaker = person;
    turn->evidence = evidence;
    turn->confidence = (float)confidence;
}

/* "Said the girl", "said her father": who is meant, or -1: a being of its own. */
static int resolve_description(struct an_talk *t, const struct an_turn *turn, float *ret_confidence)
{
    struct an *an = t->an;
    const struct an_said *said = &turn->said;
    int own = an_person_of(an, said->entity) - an->persons;
    uint32_t article = an->words[said->word].term;
    if (an_is(an, article, AN_C(INDEF)) ||
        (an_is(an, article, AN_C(POSS)) && !an_is(an, article, AN_C(HIM) | AN_C(HER))))
        return -1;
    int who = resolve(t, turn, an_description_gender(an, said->entity), true, ret_confidence);
    if (who < 0 || an_focus_weight(&t->focus, who) < an_focus_weight(&t->focus, own) * 2.0)
        return -1;
    int32_t m = an->words[said->word].mention;
    if (m >= 0)
        an->mentions[m].means = who;
    return who;
}

static void resolve_clause(struct an_talk *t, struct an_turn *turn)
{
    struct an *an = t->an;
    const struct an_said *said = &turn->said;
    double trust = said->verb ? 1.0 : said->colon ? 0.85 : 0.75;
    float confidence = 0;
    enum an_evidence evidence = said->verb ? AN_E_ATTRIBUTION : AN_E_ACTION;
    int who;
    char wanted = an_gender_wanted(said->who);
    const struct an_person *p = said->who == AN_WHO_ENTITY ? an_subject(an, said) : NULL;
    bool stranger = p && !an_may_speak(an, (int)(p - an->persons)); /* the girl: one of the cast */
    if (stranger)
        wanted = p->named ? 0 : an_gender(&p->votes);
    if (p && !stranger && an_is_vague(an, said->entity, an->words[said->word].term) &&
        (who = resolve_description(t, turn, &confidence)) >= 0) {
        set_speaker(turn, who, evidence, confidence * trust);
    } else if (p && !stranger) {
        bool being = p->sure || !p->named || p->subject > p->place;
        if (!said->verb && (!being || (int)(p - an->persons) == turn->called))
            return;
        set_speaker(turn, (int)(p - an->persons), evidence, (p->proper ? 0.95 : 0.75) * trust);
    } else if (said->who == AN_WHO_ME) {
        set_speaker(turn, narrator(an), evidence, 0.95 * trust);
    } else if (wanted || (said->who == AN_WHO_IT && said->verb)) {
        int person = resolve(t, turn, wanted, stranger, &confidence);
        set_speaker(turn, person, said->verb ? AN_E_PRONOUN : AN_E_ACTION, confidence * trust);
    }
}

/* ---- "What is your name?" - "Tobias." ---- */

static const char *last_word(const struct an *an, const struct an_span *s)
{
    return s->w1 > s->w0 ? an->terms[an->words[s->w1 - 1].term].text : "";
}

static bool asks_name(const struct an *an, const struct an_turn *turn)
{
    const struct an_span *span = &an->spans[turn->s1];
    bool name = false, your = false;
    for (uint32_t w = span->w0; w < span->w1; w++) {
        const char *text = an->terms[an->words[w].term].text;
        name = name || st_streq(text, "name") || (your && st_streq(text, "called"));
        your = your || st_streq(text, "your") || st_streq(text, "you");
    }
    return (name || st_streq(last_word(an, span), "you")) && an_asks(an, span);
}

/* The person whose name is the first sentence of the quote, or -1. */
static int named_first(const struct an *an, const struct an_span *span)
{
    int32_t m = span->w0 < span->w1 ? an->words[span->w0].mention : -1;
    if (m < 0 || an->entities[an->mentions[m].entity].description)
        return -1;
    uint32_t last = span->w0 + an->mentions[m].n - 1;
    return an->words[last].after & (AN_STOP | AN_END) ? an->entities[an->mentions[m].entity].person : -1;
}

/* "Sorry!" cried the boy. - "Jasper, how many times ...": the answer tells a name that was not heard before. */
static void name_listener(struct an *an, const struct an_turn *last, const struct an_turn *turn)
{
    if (!an_is_unnamed(an, last->speaker) || turn->called < 0 || turn->calls_many || turn->talk != last->talk ||
        turn->speaker == last->speaker)
        return;
    const struct an_person *p = &an->persons[turn->called], *unnamed = &an->persons[last->speaker];
    char gender = an_gender(&p->votes), other = an_gender(&unnamed->votes);
    enum { VAGUE = 6 }; /* mentions of "the man" that may well be of several */
    if (unnamed->mentions > VAGUE || !p->named || p->merged || p->first < an->spans[turn->s0].w0 ||
        (gender && other && gender != other))
        return;
    an_merge_persons(an, last->speaker, turn->called);
}

static void introduce(struct an *an, struct an_turn *turn)
{
    if (turn->called == turn->self)
        turn->called = -1;
    if (turn->corrected || !an_may_speak(an, turn->self))
        return;
    bool unnamed = an_is_unnamed(an, turn->speaker);
    if (unnamed && turn->speaker != turn->self)
        an_merge_persons(an, turn->speaker, turn->self);
    if (turn->speaker < 0 || unnamed || !turn->said.verb)
        set_speaker(turn, turn->self, AN_E_SELF, 0.6), turn->fixed = true;
}

/* ---- Why ---- */

/* The words from w0 to w1 as the text has them, shortened. */
static const char *words_text(struct an *an, uint32_t w0, uint32_t w1)
{
    enum { CHARS = 44 };
    const char *s = an->text + an->words[w0].start, *end = an->text + an->words[w1].end, *p = s;
    for (int n = 0; p < end && n < CHARS; n++)
        st_utf8_next(&p);
    return st_printf(an->arena, "%.*s%s", (int)(p - s), s, p < end ? "…" : "");
}

/* The clause with its subject and verb, or of an action the words that it begins with. */
static const char *clause_text(struct an *an, const struct an_said *said)
{
    enum { ACTION_WORDS = 4 };
    int32_t m = an->words[said->word].mention;
    uint32_t last = said->word + (m >= 0 ? an->mentions[m].n - 1u : 0), first = said->word;
    if (said->verb) {
        first = said->verb_word < first ? said->verb_word : first;
        last = said->verb_word > last ? said->verb_word : last;
    } else {
        uint32_t end = an->spans[an->words[last].span].w1;
        for (int n = 0; n < ACTION_WORDS && last + 1 < end && !(an->words[last].after & AN_STOP); n++)
            last++;
    }
    return words_text(an, first, last);
}

/* Which rule told the speaker, and by which words: "attribution: said Mr. Darcy", "turn: answers Jane". */
static const char *explain(struct an_talk *t, uint32_t i, enum an_evidence evidence)
{
    static const char *const rules[] = {NULL,           "attribution", "pronoun", "action",   "introduction",
                                        "continuation", "turn",        "address", "corrected"};
    struct an *an = t->an;
    const struct an_turn *turn = &t->turns[i];
    int before = i > 0 && turn[-1].talk == turn->talk ? turn[-1].speaker : -1;
    const char *name = NULL;
    switch (evidence) {
    case AN_E_ATTRIBUTION:
    case AN_E_PRONOUN:
    case AN_E_ACTION:
    case AN_E_SAME: return st_printf(an->arena, "%s: %s", rules[evidence], clause_text(an, &turn->said));
    case AN_E_SELF:
    case AN_E_CALLED: name = an_name(an, an_person(an, turn->speaker)); break;
    case AN_E_TURN: name = before >= 0 && before != turn->speaker ? an_name(an, an_person(an, before)) : NULL; break;
    default: break;
    }
    if (!name || st_utf8_length(name, strlen(name)) > 40)
        return rules[evidence];
    return st_printf(an->arena, evidence == AN_E_TURN ? "%s: answers %s" : "%s: %s", rules[evidence], name);
}

/* ---- Trust ---- */

/* How often persons speak whose name has the term among others, by gender: unknown, male, female. */
struct namesakes {
    uint32_t turns[3];
};

static int sex(const struct an_person *p)
{
    char gender = an_gender(&p->votes);
    return gender == 'm' ? 1 : gender == 'f' ? 2 : 0;
}

static struct namesakes *find_namesakes(struct an *an)
{
    struct namesakes *of = st_new_n(an->arena, struct namesakes, an->n_terms + 1);
    for (uint32_t i = 0; i < an->n_persons; i++) {
        const struct an_person *p = &an->persons[i];
        const struct an_entity *e = p->entity == AN_NONE ? NULL : &an->entities[p->entity];
        for (int k = 0; e && e->n > 1 && p->proper && k < e->n; k++) {
            uint32_t *most = &of[e->term[k]].turns[sex(p)];
            *most = p->turns > *most ? p->turns : *most;
        }
    }
    return of;
}

/* Mr. Wilcox, where Henry Wilcox speaks, too: he may be him. */
static bool has_namesake(const struct an *an, const struct namesakes *of, const struct an_person *p)
{
    enum { RARER = 10 };
    const struct an_entity *e = p->entity == AN_NONE ? NULL : &an->entities[p->entity];
    for (int k = 0; e && e->n == 1 && k < 3; k++)
        if ((k == 0 || sex(p) == 0 || sex(p) == k) && of[e->term[0]].turns[k] * RARER >= p->turns &&
            of[e->term[0]].turns[k])
            return true;
    return false;
}

/*
 * How often it is whom the text names so, as found on annotated novels: who speaks seldom, or has a namesake, may be
 * somebody else of the story, whom it calls otherwise, too.
 */
static double trust(const struct an *an, const struct namesakes *of, int person, uint32_t turns)
{
    static const double found = 0.88, seldom = 0.02, doubt = 0.4, namesake = 0.75;
    const struct an_person *p = &an->persons[person];
    double share = (double)p->turns / turns;
    if (an_in_cast(an, person))
        return 1;
    return found * (share >= seldom ? 1 : 1 - doubt * (1 - share / seldom)) * (has_namesake(an, of, p) ? namesake : 1);
}

/* How often one goes on speaking behind the clause that names him. */
static const double going_on = 0.85;

static void trust_turns(struct an_talk *t)
{
    const struct namesakes *of = find_namesakes(t->an);
    for (uint32_t i = 0; i < t->n_turns; i++) {
        for (uint32_t s = t->turns[i].s0; s <= t->turns[i].s1; s++) {
            struct an_span *span = &t->an->spans[s];
            if (span->quoted && span->speaker >= 0 && span->evidence != AN_E_CORRECTED)
                span->confidence *=
                    (float)(trust(t->an, of, span->speaker, t->n_turns) * (span->evidence == AN_E_SAME ? going_on : 1));
        }
    }
}

static void speak_turns(struct an_talk *t)
{
    struct an *an = t->an;
    for (uint32_t i = 0; i < t->n_turns; i++) {
        const struct an_turn *turn = &t->turns[i];
        int person = turn->speaker;
        while (person >= 0 && an->persons[person].merged)
            person = an->persons[person].merged - 1;
        for (uint32_t s = turn->s0; s <= turn->s1; s++) {
            struct an_span *span = &an->spans[s];
            if (!span->quoted)
                continue;
            span->speaker = person;
            span->evidence = (uint8_t)(s > turn->s0 && turn->evidence == AN_E_ATTRIBUTION ? AN_E_SAME : turn->evidence);
            span->confidence = turn->speaker < 0 ? 0 : turn->confidence;
            span->why = person < 0 ? NULL : explain(t, i, (enum an_evidence)span->evidence);
        }
        if (person >= 0) {
            an->persons[person].turns++;
            an->persons[person].mentions += person == an->narrator;
        }
    }
}

/* ---- Thoughts in *emphasis* ---- */

static void think(struct an *an, uint32_t s, struct an_focus *focus)
{
    struct an_span *span = &an->spans[s];
    struct an_turn turn = {.speaker = -1, .called = -1, .para = span->para, .said = an->said[s]};
    struct an_talk alone = {.an = an, .turns = &turn, .n_turns = 1};
    an_focus_read(focus, turn.said.who == AN_WHO_NONE ? span->w0 : turn.said.word);
    alone.focus = *focus;
    if (span->corrected)
        an_correct(&turn, span->speaker);
    else
        resolve_clause(&alone, &turn);
    span->speaker = turn.speaker;
    span->evidence = (uint8_t)turn.evidence;
    span->confidence = turn.confidence;
    span->why = turn.speaker < 0 ? NULL : explain(&alone, 0, turn.evidence);
    if (turn.speaker >= 0)
        an->persons[turn.speaker].turns++;
}

/*
 * Who is less likely to speak is not named: on annotated novels one in five of those was right, and a listener would
 * mostly hear a wrong voice. A higher limit loses more whom the text itself names (said her father) than it is worth.
 */
static const double least_likely = 0.2;

static void drop_guesses(struct an *an)
{
    bool named = false;
    for (uint32_t i = 0; i < an->n_persons; i++)
        an->persons[i].turns = 0;
    for (uint32_t s = 0; s < an->n_spans; s++) {
        struct an_span *span = &an->spans[s];
        bool same = span->evidence == AN_E_SAME, likely = (double)span->confidence >= least_likely;
        if (span->speaker < 0)
            continue;
        if (same && named && !likely) /* a split quote is all of one's, or nobody's */
            span->confidence = (float)least_likely;
        likely = likely || span->evidence == AN_E_CORRECTED || (same && named);
        if (span->quoted)
            named = likely;
        if (likely)
            an->persons[span->speaker].turns++;
        else
            span->speaker = -1;
    }
}

/* Is somebody of the story telling it? */
static bool tells_i(const struct an *an)
{
    enum { ONE_IN = 200, LEAST = 8 };
    uint32_t words = 0, n = 0;
    for (uint32_t s = 0; s < an->n_spans; s++) {
        if (an->spans[s].quoted)
            continue;
        words += an->spans[s].w1 - an->spans[s].w0;
        for (uint32_t w = an->spans[s].w0; w < an->spans[s].w1; w++)
            n += an->words[w].upper && an_is(an, an->words[w].term, AN_C(ME));
    }
    return n >= LEAST && n * ONE_IN >= words;
}

void an_find_speakers(struct an *an)
{
    uint32_t max_turns = an->n_spans < AN_TURNS_MAX ? an->n_spans : AN_TURNS_MAX;
    struct an_talk t = {.an = an, .turns = st_new_n(an->arena, struct an_turn, max_turns + 1), .focus.an = an};
    an_find_turns(&t);
    if (tells_i(an))
        narrator(an);
    for (uint32_t i = 0; i < t.n_turns; i++) {
        struct an_turn *turn = &t.turns[i];
        if (turn->self < 0 && i > 0 && asks_name(an, turn - 1))
            turn->self = named_first(an, &an->spans[turn->s0]);
        an_focus_read(&t.focus, turn->said.who == AN_WHO_NONE ? an->spans[turn->s0].w0 : turn->said.word);
        if (!turn->corrected)
            resolve_clause(&t, turn);
        an_focus_turn(&t.focus, turn);
        bool vague =
            turn->said.who == AN_WHO_ENTITY && an_is_vague(an, turn->said.entity, an->words[turn->said.word].term);
        turn->actor = turn->said.verb ? -1 : turn->speaker;
        turn->fixed = turn->corrected || (turn->speaker >= 0 && turn->said.verb &&
                                          ((turn->said.who == AN_WHO_ENTITY && !vague) || turn->said.who == AN_WHO_ME));
        if (turn->fixed && turn->speaker >= 0 && turn->said.who == AN_WHO_ME)
            an->persons[turn->speaker].quoted++;
        if (turn->self >= 0)
            introduce(an, turn);
        else if (i > 0)
            name_listener(an, turn - 1, turn);
        if (turn->speaker >= 0)
            an->persons[turn->speaker].turns++; /* counted anew below; here it marks who speaks at all */
    }
    for (uint32_t i = 0; i < an->n_persons; i++)
        an->persons[i].turns = 0;
    an_find_alters(&t);
    for (int round = 0; round < 3; round++) {
        an_find_choices(&t);
        an_decide_turns(&t);
        an_take_choices(&t);
    }
    speak_turns(&t);
    trust_turns(&t);
    struct an_focus focus = {.an = an};
    for (uint32_t s = 0; s < an->n_spans; s++)
        if (an->spans[s].emphasis && an->spans[s].kind == ST_THOUGHT)
            think(an, s, &focus);
    drop_guesses(an);
}
