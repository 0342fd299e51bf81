/* Gathers who may be speaking each turn, and weighs what hints at each of them. */
#include "story/analyse_int.h"
#include <math.h>

/* What speaking, and being called by name, add to a person's weight in the focus. */
static const double spoke = 0.62, was_called = 0.8;

void an_focus_turn(struct an_focus *f, const struct an_turn *turn)
{
    an_focus_note(f, turn->called, was_called);
    an_focus_note(f, turn->speaker, spoke);
}

/* What hints at, or against, a person. */
enum cue {
    CUE_SPOKE,   /* a few turns before */
    CUE_REPLIES, /* the next turn, another's, calls him by name */
    CUE_ACTS,    /* beside the quote */
    CUE_NAMED,   /* acts there by name, which no pronoun had to be resolved for */
    CUE_OTHER,   /* he or she acts there, and the person is not one */
    CUE_LEADS,   /* the subject of the narration before the quote */
    CUE_LED_TO,  /* of the paragraph before */
    CUE_TOLD,    /* the turn itself speaks of him */
    CUE_ABSENT,  /* the turn before or behind speaks of him */
    CUE_UNSEXED, /* he or she says it, and nobody knows which of them the person is */
    CUE_MADAM,   /* the turn before or behind says sir, and she is a woman; or madam, and he is a man */
    CUES,
};

/* Logarithms of likelihoods, as found on half of the annotated novels: without a verb of speech, and with one. */
static const double cue_weights[2][CUES] = {
    {[CUE_SPOKE] = -0.51,
     [CUE_REPLIES] = 0.80,
     [CUE_ACTS] = 0.42,
     [CUE_NAMED] = 2.82,
     [CUE_OTHER] = -1.86,
     [CUE_LED_TO] = 0.43,
     [CUE_TOLD] = -2.70,
     [CUE_ABSENT] = -0.50,
     [CUE_MADAM] = -1.28},
    {[CUE_SPOKE] = -0.80,
     [CUE_REPLIES] = 0.68,
     [CUE_LEADS] = 2.2,
     [CUE_LED_TO] = 1.30,
     [CUE_TOLD] = -2.50,
     [CUE_UNSEXED] = -1.84,
     [CUE_MADAM] = -0.49},
};
/* So does the weight in the focus, at least this, to a power; and how often the story has the person speak. */
static const double faintest = 0.02, by_weight[2] = {0.39, 0.50}, often[2] = {0.18, 0.14};
/* Somebody else; a stranger like the one that the text describes, at least. */
static const double somebody[2] = {0.62, -0.29}, own = 0.5, own_least = -1.5;
/* Nobody is said to speak whose probability is below this. */
static const double unlikely = 0.15;

enum { CANDIDATES = 40, NEAR = 4 };

struct candidate {
    int person;
    unsigned cues; /* a bit for each */
    double focus;
};

struct gathering {
    const struct an_talk *t;
    struct an_turn *turn;
    char wanted; /* by the pronoun or description */
    struct candidate list[CANDIDATES];
    int n;
};

static bool may_choose(const struct gathering *g, int person)
{
    const struct an *an = g->t->an;
    char gender = an_gender(&an->persons[person].votes);
    if (person == g->turn->called || !an_may_speak(an, person) || (g->wanted && gender && gender != g->wanted))
        return false;
    if (g->turn->vague && !an_is_known(an, person))
        return false;
    return !(g->wanted && person == an->narrator);
}

static struct candidate *note(struct gathering *g, int person, unsigned cues)
{
    if (person < 0)
        return NULL;
    person = an_person(g->t->an, person);
    for (int i = 0; i < g->n; i++) {
        if (g->list[i].person == person) {
            g->list[i].cues |= cues;
            return &g->list[i];
        }
    }
    if (g->n == CANDIDATES || !may_choose(g, person))
        return NULL;
    g->list[g->n] = (struct candidate){person, cues, faintest};
    return &g->list[g->n++];
}

static bool is_among(const struct an *an, const int *persons, int n, int person)
{
    for (int i = 0; i < n; i++)
        if (an_person(an, persons[i]) == person)
            return true;
    return false;
}

/* What tells about a person whoever it is. */
static unsigned cues_of(const struct gathering *g, int person)
{
    const struct an *an = g->t->an;
    const struct an_turn *turn = g->turn;
    char gender = an_gender(&an->persons[person].votes), acts = turn->said.verb ? 0 : an_gender_wanted(turn->said.who);
    unsigned cues = g->wanted && !gender ? 1u << CUE_UNSEXED : 0;
    if (acts && gender && acts != gender)
        cues |= 1u << CUE_OTHER;
    if (is_among(an, turn->told, turn->n_told, person))
        cues |= 1u << CUE_TOLD;
    for (int on = -1; on <= 1; on += 2) {
        const struct an_turn *other = turn + on;
        if (other < g->t->turns || other == g->t->turns + g->t->n_turns || other->talk != turn->talk)
            continue;
        if (is_among(an, other->told, other->n_told, person))
            cues |= 1u << CUE_ABSENT;
        if (other->calls_gender && gender && other->calls_gender != gender)
            cues |= 1u << CUE_MADAM;
    }
    return cues;
}

static double score(const struct gathering *g, const struct candidate *c)
{
    const struct an *an = g->t->an;
    bool verb = g->turn->said.verb;
    double sum = by_weight[verb] * log(c->focus > faintest ? c->focus : faintest);
    unsigned cues = c->cues | cues_of(g, c->person);
    for (int i = 0; i < CUES; i++)
        sum += cues & 1u << i ? cue_weights[verb][i] : 0;
    sum += often[verb] * log(1 + an->persons[c->person].quoted);
    return g->turn->vague ? sum + log(an_age_fits(an, g->turn->said.entity, c->person)) : sum;
}

/* Adds a choice; the least likely gives way. */
static void offer(struct an_turn *turn, int person, double likelihood)
{
    int at = turn->n_choices;
    if (at == AN_CHOICES) {
        at = 0;
        for (int i = 1; i < AN_CHOICES; i++)
            at = turn->choices[i].score < turn->choices[at].score ? i : at;
        if ((double)turn->choices[at].score >= likelihood)
            return;
    } else {
        turn->n_choices++;
    }
    turn->choices[at] = (struct an_choice){person, (float)likelihood};
}

static void gather_near(struct gathering *g, uint32_t i)
{
    const struct an_turn *turn = g->turn;
    for (uint32_t back = 1; back <= NEAR && back <= i && turn[-(int)back].talk == turn->talk; back++) {
        note(g, turn[-(int)back].speaker, 1u << CUE_SPOKE);
        note(g, turn[-(int)back].called, 0);
    }
    for (uint32_t on = 1; on <= NEAR && i + on < g->t->n_turns && turn[on].talk == turn->talk; on++)
        note(g, turn[on].speaker, 0);
    if (i + 1 < g->t->n_turns && turn[1].talk == turn->talk)
        note(g, turn[1].called, 1u << CUE_REPLIES);
    note(g, turn->said.verb ? turn->here : turn->actor, 1u << (turn->said.verb ? CUE_LEADS : CUE_ACTS));
    if (!turn->said.verb && turn->said.who == AN_WHO_ENTITY)
        note(g, turn->actor, 1u << CUE_NAMED);
    note(g, turn->ahead, 1u << CUE_LED_TO);
}

static void gather_turn(struct an_talk *t, uint32_t i)
{
    struct an_turn *turn = &t->turns[i];
    const struct an_said *said = &turn->said;
    turn->n_choices = 0;
    if (turn->fixed || (said->verb && said->who == AN_WHO_NOBODY)) {
        offer(turn, turn->fixed ? turn->speaker : -1, 0);
        return;
    }
    turn->vague = said->verb && said->who == AN_WHO_ENTITY;
    struct gathering g = {.t = t, .turn = turn};
    g.wanted = !said->verb ? 0 : turn->vague ? an_description_gender(t->an, said->entity) : an_gender_wanted(said->who);
    for (int k = 0; k < t->focus.n; k++) {
        struct candidate *c = note(&g, t->focus.in[k].person, 0);
        if (c && (double)t->focus.in[k].weight > c->focus)
            c->focus = (double)t->focus.in[k].weight;
    }
    gather_near(&g, i);
    for (int k = 0; g.wanted && k < 2; k++)
        note(&g, t->focus.last[g.wanted == 'f'][k] - 1, 0);
    offer(turn, -1, somebody[said->verb]);
    for (int k = 0; k < g.n; k++)
        offer(turn, g.list[k].person, score(&g, &g.list[k]));
    if (turn->vague) {
        int stranger = an_person(t->an, (int)(an_person_of(t->an, said->entity) - t->an->persons));
        double known = by_weight[1] * log(an_focus_weight(&t->focus, stranger) + 0.01) + own;
        if (an_may_speak(t->an, stranger))
            offer(turn, stranger, known > own_least ? known : own_least);
    }
}

static int means(const struct an *an, const struct an_mention *m)
{
    return m->means >= 0 ? m->means : an->entities[m->entity].person;
}

static const struct an_mention *being_at(const struct an *an, uint32_t w)
{
    const struct an_mention *m = an->words[w].mention >= 0 ? &an->mentions[an->words[w].mention] : NULL;
    return m && an_is_being(an, &an->entities[m->entity]) ? m : NULL;
}

/* The last subject of the narration in spans s to end, or -1, also when one of them is a quote. */
static int last_subject(const struct an *an, uint32_t s, uint32_t end)
{
    for (uint32_t i = end; i > s; i--)
        if (an->spans[i - 1].quoted)
            return -1;
    while (end-- > s) {
        for (uint32_t w = an->spans[end].w1; w-- > an->spans[end].w0;) {
            const struct an_mention *m = being_at(an, w);
            if (m && m->subject)
                return means(an, m);
        }
    }
    return -1;
}

void an_find_choices(struct an_talk *t)
{
    t->focus = (struct an_focus){.an = t->an};
    for (uint32_t i = 0; i < t->n_turns; i++) {
        struct an_turn *turn = &t->turns[i];
        an_focus_read(&t->focus, turn->said.who == AN_WHO_NONE ? t->an->spans[turn->s0].w0 : turn->said.word);
        const struct an_para *para = &t->an->paras[turn->para];
        turn->here = last_subject(t->an, para->s0, turn->s0);
        turn->ahead =
            turn->s0 == para->s0 && turn->para > 0 && !para->scene ? last_subject(t->an, para[-1].s0, para[-1].s1) : -1;
        gather_turn(t, i);
        an_focus_turn(&t->focus, turn);
    }
}

/* The likeliest person, or somebody else where nobody is likely. */
static const struct an_choice *best_choice(const struct an_turn *turn)
{
    const struct an_choice *best = NULL, *other = &turn->choices[0];
    for (int i = 0; i < turn->n_choices; i++) {
        if (turn->choices[i].person < 0)
            other = &turn->choices[i];
        else if (!best || turn->choices[i].score > best->score)
            best = &turn->choices[i];
    }
    return best && (double)best->score >= unlikely ? best : other;
}

void an_take_choices(struct an_talk *t)
{
    for (uint32_t i = 0; i < t->n_turns; i++) {
        struct an_turn *turn = &t->turns[i];
        if (turn->fixed)
            continue;
        const struct an_choice *chosen = best_choice(turn);
        int person = chosen->person;
        turn->speaker = person;
        bool called = i > 0 && turn[-1].talk == turn->talk && turn[-1].called == person;
        turn->evidence = turn->said.verb         ? turn->said.who == AN_WHO_ENTITY ? AN_E_ATTRIBUTION : AN_E_PRONOUN
                         : turn->actor == person ? AN_E_ACTION
                         : called                ? AN_E_CALLED
                                                 : AN_E_TURN;
        turn->confidence = chosen->score;
    }
}
