/* Gives every quote its speaker: by the clauses beside it, by resolving pronouns, by the turns of a conversation. */
#include "story/analyse_int.h"

/* Quotes that one being says in one go: the pieces of a split quote, the paragraphs of a long speech. */
struct turn {
    uint32_t s0, s1; /* first and last quote span */
    uint32_t para;
    uint32_t talk; /* number of the conversation */
    int speaker;   /* person or -1 */
    int called;    /* person addressed by name (the last one), or -1 */
    bool calls_many;
    int self; /* who the speaker says to be, or -1 */
    enum an_evidence evidence;
    float confidence;
    struct an_said said; /* the clause that decides */
    bool broken;         /* narration stands between this turn and the one before */
    bool corrected;      /* the caller knows the speaker */
};

struct talker {
    struct an *an;
    struct turn *turns;
    uint32_t n_turns;
};

enum {
    TALK_GAP_BYTES = 700, /* narration that ends a conversation */
    LOOK_BACK = 40,       /* mentions a pronoun may reach back over */
    CANDIDATES = 12,
    LONG_PAUSE = 30, /* words of narration inside a paragraph behind which another may speak */
    RUN_MAX = 12,    /* unattributed turns in a row that turn-taking is trusted with */
};

static struct an_person *person_of(const struct an *an, uint32_t entity)
{
    return &an->persons[an->entities[entity].person];
}

static char gender_wanted(enum an_who who)
{
    return who == AN_WHO_HE ? 'm' : who == AN_WHO_SHE ? 'f' : 0;
}

/* ---- Clauses ---- */

/* Can both clauses mean the same speaker? */
static bool compatible(const struct an *an, const struct an_said *a, const struct an_said *b)
{
    if (a->who == AN_WHO_ENTITY && b->who == AN_WHO_ENTITY)
        return person_of(an, a->entity) == person_of(an, b->entity);
    if (a->who == AN_WHO_ENTITY || b->who == AN_WHO_ENTITY) {
        const struct an_said *name = a->who == AN_WHO_ENTITY ? a : b, *pronoun = name == a ? b : a;
        char gender = an_gender(&person_of(an, name->entity)->votes), wanted = gender_wanted(pronoun->who);
        return pronoun->who == AN_WHO_IT ? !gender : wanted && (!gender || gender == wanted);
    }
    return a->who == b->who;
}

static bool ends_with_question(const struct an *an, const struct an_span *s)
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

/* ---- Who is named inside a quote ---- */

/* "..., Tom." speaks to Tom; "I am Tom" is said by him. */
static void read_names(struct an *an, const struct an_span *span, struct turn *turn, int *ret_self)
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
        }
    }
}

/* ---- Turns ---- */

static const char *last_word(const struct an *an, const struct an_span *s)
{
    return s->w1 > s->w0 ? an->terms[an->words[s->w1 - 1].term].text : "";
}

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
static bool same_turn(struct an *an, const struct turn *t, uint32_t s, const struct an_said *said)
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
        return !(said->reply && said->colon && ends_with_question(an, last)) && words <= LONG_PAUSE;
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

static struct turn *new_turn(struct talker *t, uint32_t s)
{
    struct an *an = t->an;
    struct turn *turn = &t->turns[t->n_turns];
    *turn = (struct turn){.s0 = s, .s1 = s, .para = an->spans[s].para, .speaker = -1, .called = -1, .self = -1};
    if (t->n_turns) {
        const struct turn *last = turn - 1;
        bool ends = scene_between(an, last->para, turn->para) || gap_bytes(an, last->s1, s) > TALK_GAP_BYTES;
        turn->talk = last->talk + ends;
        turn->broken = turn->para > an->spans[last->s1].para + 1;
    }
    t->n_turns++;
    return turn;
}

/* The caller's word; of nobody, when it is -1. */
static void correct(struct turn *turn, int speaker)
{
    turn->corrected = true;
    turn->speaker = speaker;
    turn->evidence = AN_E_CORRECTED;
    turn->confidence = 1;
}

static void find_turns(struct talker *t)
{
    struct an *an = t->an;
    for (uint32_t s = 0; s < an->n_spans; s++) {
        const struct an_span *span = &an->spans[s];
        if (!span->quoted)
            continue;
        struct an_said said = an->said[s];
        struct turn *turn = t->n_turns ? &t->turns[t->n_turns - 1] : NULL;
        bool other = turn && span->corrected && !(turn->corrected && turn->speaker == span->speaker);
        if (!turn || other || !same_turn(an, turn, s, &said))
            turn = new_turn(t, s);
        turn->s1 = s;
        if (span->corrected)
            correct(turn, span->speaker);
        if (said.who != AN_WHO_NONE && (turn->said.who == AN_WHO_NONE || (said.verb && !turn->said.verb)))
            turn->said = said;
        int self = -1;
        read_names(an, span, turn, &self);
        if (self >= 0)
            turn->self = self;
    }
}

/* ---- Pronouns ---- */

struct candidate {
    int person;
    double score;
};

static struct candidate *candidate_for(struct candidate *list, int *n, int person, double base)
{
    for (int i = 0; i < *n; i++)
        if (list[i].person == person)
            return &list[i];
    if (*n == CANDIDATES)
        return NULL;
    list[*n] = (struct candidate){person, base};
    return &list[(*n)++];
}

/* The number of mentions that begin before word w. */
static uint32_t mentions_before(const struct an *an, uint32_t w)
{
    uint32_t low = 0, high = an->n_mentions;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (an->mentions[mid].word < w)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void gather_mentions(const struct an *an, const struct turn *turn, struct candidate *list, int *n)
{
    uint32_t w = turn->said.word, m = mentions_before(an, w), stop = m > LOOK_BACK ? m - LOOK_BACK : 0;
    while (m-- > stop) {
        const struct an_mention *mention = &an->mentions[m];
        const struct an_span *span = &an->spans[an->words[mention->word].span];
        const struct an_person *p = person_of(an, mention->entity);
        bool being = p->named || p->heard || p->votes.male || p->votes.female || p->turns;
        int seen = *n, id = (int)(p - an->persons);
        if (span->quoted || !being || (p->named && !p->sure && p->place >= p->subject) || !an_may_speak(an, id))
            continue;
        struct candidate *c = candidate_for(list, n, id, 1.0 - 0.18 * seen);
        if (!c || *n == seen)
            continue; /* the last mention counts */
        c->score += mention->subject ? 0.1 : mention->object ? -0.35 : 0;
        c->score += span->para == turn->para ? 0.3 : 0;
        bool aside = an_is(an, an->words[mention->word].term, AN_C(INDEF)) && !mention->subject;
        c->score -= aside ? 0.5 : 0; /* a mare in the yard */
        c->score -= an->words[mention->word + mention->n - 1].owner ? 0.1 : 0;
    }
}

static void gather_turns(const struct talker *t, const struct turn *turn, struct candidate *list, int *n)
{
    static const double by_turn[] = {-0.15, 0.15, 0.15, -0.05}; /* turns alternate */
    for (int back = 1; back <= 4 && turn - back >= t->turns; back++) {
        const struct turn *last = turn - back;
        if (last->talk != turn->talk || last->speaker < 0 || last->para == turn->para)
            continue;
        struct candidate *c = candidate_for(list, n, last->speaker, 0.6 - 0.05 * back);
        if (c && !(back == 1 && turn->broken))
            c->score += by_turn[back - 1];
    }
}

/* Whom he or she (wanted: m, f, 0 for it) means in the clause of the turn, or -1. */
static int resolve_pronoun(const struct talker *t, const struct turn *turn, char wanted, float *ret_confidence)
{
    struct candidate list[CANDIDATES];
    int n = 0, best = -1;
    gather_mentions(t->an, turn, list, &n);
    gather_turns(t, turn, list, &n);
    double second = 0;
    for (int i = 0; i < n; i++) {
        char gender = an_gender(&t->an->persons[list[i].person].votes);
        if ((wanted && gender && gender != wanted) || (!wanted && gender) || list[i].person == t->an->narrator)
            continue;
        if (list[i].person == turn->called)
            continue;
        list[i].score += gender ? 0.6 : 0;
        if (best < 0 || list[i].score > list[best].score) {
            second = best < 0 ? 0 : list[best].score;
            best = i;
        } else if (list[i].score > second) {
            second = list[i].score;
        }
    }
    if (best < 0 || list[best].score < 0.4)
        return -1;
    double margin = list[best].score - second;
    *ret_confidence = (float)(margin > 0.5 ? 0.85 : 0.6 + margin * 0.5);
    return list[best].person;
}

static int narrator(struct an *an)
{
    if (an->narrator < 0 && !an->hints->cast_all) {
        an->narrator = (int)an->n_persons;
        AN_PUSH(an, persons) = (struct an_person){.character = -1};
    }
    return an->narrator;
}

/* ---- Turn by turn ---- */

static void set_speaker(struct turn *turn, int person, enum an_evidence evidence, double confidence)
{
    if (person < 0)
        return;
    turn->speaker = person;
    turn->evidence = evidence;
    turn->confidence = (float)confidence;
}

static void resolve_clause(struct talker *t, struct turn *turn)
{
    struct an *an = t->an;
    const struct an_said *said = &turn->said;
    double trust = said->verb ? 1.0 : said->colon ? 0.85 : 0.75;
    float confidence = 0;
    enum an_evidence evidence = said->verb ? AN_E_ATTRIBUTION : AN_E_ACTION;
    char wanted = gender_wanted(said->who);
    const struct an_person *p = said->who == AN_WHO_ENTITY ? person_of(an, said->entity) : NULL;
    bool stranger = p && !an_may_speak(an, (int)(p - an->persons)); /* the girl: one of the cast */
    if (stranger)
        wanted = p->named ? 0 : an_gender(&p->votes);
    if (p && !stranger) {
        bool being = p->sure || !p->named || p->subject > p->place;
        if (!said->verb && (!being || (int)(p - an->persons) == turn->called))
            return;
        set_speaker(turn, (int)(p - an->persons), evidence, 0.95 * trust);
    } else if (said->who == AN_WHO_ME) {
        set_speaker(turn, narrator(an), evidence, 0.95 * trust);
    } else if (wanted || (said->who == AN_WHO_IT && said->verb)) {
        int person = resolve_pronoun(t, turn, wanted, &confidence);
        set_speaker(turn, person, said->verb ? AN_E_PRONOUN : AN_E_ACTION, confidence * trust);
    }
}

/* ---- "What is your name?" - "Tobias." ---- */

static bool asks_name(const struct an *an, const struct turn *turn)
{
    const struct an_span *span = &an->spans[turn->s1];
    bool name = false, your = false;
    for (uint32_t w = span->w0; w < span->w1; w++) {
        const char *text = an->terms[an->words[w].term].text;
        name = name || st_streq(text, "name") || (your && st_streq(text, "called"));
        your = your || st_streq(text, "your") || st_streq(text, "you");
    }
    return (name || st_streq(last_word(an, span), "you")) && ends_with_question(an, span);
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

/* From now on the boy is Tobias. */
static void merge_persons(struct an *an, int from, int into)
{
    enum { MERGES_MAX = 100 };
    struct an_person *a = &an->persons[into], *b = &an->persons[from];
    if (an_in_cast(an, from) || an->n_merged++ >= MERGES_MAX)
        return;
    bool kin =
        b->entity != AN_NONE && an_is(an, an->entities[b->entity].term[0], AN_C(TITLE)) && b->mentions > a->mentions;
    if (kin)
        a->entity = b->entity; /* rather Mum than Carol */
    for (uint32_t i = 0; i < an->n_entities; i++)
        if (an->entities[i].person == from)
            an->entities[i].person = into;
    a->mentions += b->mentions;
    an_add_votes(&a->votes, &b->votes);
    b->merged = into + 1;
}

static bool is_unnamed(const struct an *an, int person)
{
    return person >= 0 && person != an->narrator && !an->persons[person].named && !an->persons[person].merged;
}

/* "Sorry!" cried the boy. - "Jasper, how many times ...": the answer tells a name that was not heard before. */
static void name_listener(struct an *an, const struct turn *last, const struct turn *turn)
{
    if (!is_unnamed(an, last->speaker) || turn->called < 0 || turn->calls_many || turn->talk != last->talk ||
        turn->speaker == last->speaker)
        return;
    const struct an_person *p = &an->persons[turn->called], *unnamed = &an->persons[last->speaker];
    char gender = an_gender(&p->votes), other = an_gender(&unnamed->votes);
    enum { VAGUE = 6 }; /* mentions of "the man" that may well be of several */
    if (unnamed->mentions > VAGUE || !p->named || p->merged || p->first < an->spans[turn->s0].w0 ||
        (gender && other && gender != other))
        return;
    merge_persons(an, last->speaker, turn->called);
}

static void introduce(struct an *an, struct turn *turn)
{
    if (turn->called == turn->self)
        turn->called = -1;
    if (turn->corrected || !an_may_speak(an, turn->self))
        return;
    bool unnamed = is_unnamed(an, turn->speaker);
    if (unnamed && turn->speaker != turn->self)
        merge_persons(an, turn->speaker, turn->self);
    if (turn->speaker < 0 || unnamed || !turn->said.verb)
        set_speaker(turn, turn->self, AN_E_SELF, 0.85);
}

/* The last speaker before turn i of its conversation who is not a; or whom a has just addressed. */
static int partner_before(const struct talker *t, uint32_t i, int a)
{
    for (uint32_t back = 1; back <= 6 && back <= i; back++) {
        const struct turn *turn = &t->turns[i - back];
        if (turn->talk != t->turns[i].talk)
            break;
        if (turn->speaker >= 0 && turn->speaker != a)
            return turn->speaker;
        if (turn->speaker == a && turn->called >= 0 && turn->called != a)
            return turn->called;
    }
    return -1;
}

static int partner_after(const struct talker *t, uint32_t i, int a)
{
    for (uint32_t k = i; k < t->n_turns && k < i + 4; k++) {
        const struct turn *turn = &t->turns[k];
        if (turn->talk != t->turns[i].talk)
            break;
        if (turn->speaker >= 0 && turn->speaker != a)
            return turn->speaker;
    }
    return -1;
}

static void take_turn(struct turn *turn, int person, double confidence, enum an_evidence evidence)
{
    if (turn->called == person || turn->said.who == AN_WHO_NOBODY || turn->corrected)
        return;
    if (turn->broken)
        confidence -= 0.1;
    if (confidence >= 0.5)
        set_speaker(turn, person, evidence, confidence);
}

/* Unknown turns from to to - 1 of one conversation, between a known one (or the start) and a known one (or the end). */
static void fill_run(struct talker *t, uint32_t from, uint32_t to, bool left, bool right)
{
    if (left) {
        uint32_t anchor = from - 1;
        int a = t->turns[anchor].speaker, called = t->turns[anchor].called;
        int b = partner_before(t, from, a);
        enum an_evidence evidence = b >= 0 && b == called ? AN_E_CALLED : AN_E_TURN;
        if (b < 0 && right)
            b = partner_after(t, to, a);
        int next = right ? t->turns[to].speaker : -1;
        bool fits = !right || b < 0 || (next != a && next != b) || next == ((to - anchor) % 2 ? b : a);
        double confidence = (next == a || next == b) && fits ? 0.8 : 0.72;
        for (uint32_t k = from; k < to && k - anchor <= RUN_MAX; k++, confidence *= 0.93) {
            int person = (k - anchor) % 2 ? b : a;
            if (person >= 0 && (fits || (k == from && evidence == AN_E_CALLED)))
                take_turn(&t->turns[k], person, fits ? confidence : 0.6, evidence);
        }
    } else if (right) {
        int a = t->turns[to].speaker, b = partner_after(t, to, a);
        double confidence = 0.65;
        for (uint32_t k = to; k-- > from && to - k <= 3; confidence -= 0.05) {
            int person = (to - k) % 2 ? b : a;
            if (person >= 0)
                take_turn(&t->turns[k], person, confidence, AN_E_TURN);
        }
    }
}

static void fill_turns(struct talker *t)
{
    for (uint32_t i = 0; i < t->n_turns;) {
        if (t->turns[i].speaker >= 0) {
            i++;
            continue;
        }
        uint32_t to = i;
        while (to < t->n_turns && t->turns[to].speaker < 0 && t->turns[to].talk == t->turns[i].talk)
            to++;
        bool left = i > 0 && t->turns[i - 1].talk == t->turns[i].talk;
        bool right = to < t->n_turns && t->turns[to].talk == t->turns[i].talk;
        fill_run(t, i, to, left, right);
        i = to;
    }
}

static void speak_turns(struct talker *t)
{
    struct an *an = t->an;
    for (uint32_t i = 0; i < t->n_turns; i++) {
        const struct turn *turn = &t->turns[i];
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
        }
        if (person >= 0) {
            an->persons[person].turns++;
            an->persons[person].mentions += person == an->narrator;
        }
    }
}

/* ---- Thoughts in *emphasis* ---- */

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

/* Quotes and emphasised sentences that are thought, not spoken. */
void an_read_clauses(struct an *an)
{
    an->said = st_new_n(an->arena, struct an_said, an->n_spans + 1);
    for (uint32_t s = 0; s < an->n_spans; s++) {
        struct an_span *span = &an->spans[s];
        if (!span->quoted && !span->emphasis)
            continue;
        an->said[s] = clause_of(an, s);
        bool thought = span->emphasis ? an->said[s].verb || says_i(an, span) : an->said[s].verb && an->said[s].think;
        span->kind = thought ? ST_THOUGHT : span->kind;
    }
}

static void think(struct an *an, uint32_t s)
{
    struct an_span *span = &an->spans[s];
    struct turn turn = {.speaker = -1, .called = -1, .para = span->para, .said = an->said[s]};
    struct talker alone = {.an = an, .turns = &turn, .n_turns = 1};
    if (span->corrected)
        correct(&turn, span->speaker);
    else
        resolve_clause(&alone, &turn);
    span->speaker = turn.speaker;
    span->evidence = (uint8_t)turn.evidence;
    span->confidence = turn.confidence;
    if (turn.speaker >= 0)
        an->persons[turn.speaker].turns++;
}

void an_find_speakers(struct an *an)
{
    struct talker t = {.an = an, .turns = st_new_n(an->arena, struct turn, an->n_spans + 1)};
    find_turns(&t);
    for (uint32_t i = 0; i < t.n_turns; i++) {
        struct turn *turn = &t.turns[i];
        if (turn->self < 0 && i > 0 && asks_name(an, turn - 1))
            turn->self = named_first(an, &an->spans[turn->s0]);
        if (!turn->corrected)
            resolve_clause(&t, turn);
        if (turn->self >= 0)
            introduce(an, turn);
        else if (i > 0)
            name_listener(an, turn - 1, turn);
        if (turn->speaker >= 0)
            an->persons[turn->speaker].turns++; /* counted anew below; here it marks who speaks at all */
    }
    for (uint32_t i = 0; i < an->n_persons; i++)
        an->persons[i].turns = 0;
    fill_turns(&t);
    speak_turns(&t);
    for (uint32_t s = 0; s < an->n_spans; s++)
        if (an->spans[s].emphasis && an->spans[s].kind == ST_THOUGHT)
            think(an, s);
}
