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
    CUE_UNSEXED, /* nobody knows which of he and she the person is */
    CUE_MADAM,   /* the turn before or behind says sir, and she is a woman; or madam, and he is a man */
    CUES,
};

/* What the narration in a zone says of a person. */
enum mark {
    MARK_SUBJECT, /* does something there */
    MARK_NAMED,   /* is otherwise named */
    MARK_LAST,    /* is the last to do something */
    MARK_PRONOUN, /* he or she does something: as the person is, and not the other of the two */
    MARK_OTHER,   /* the other, and not as the person is */
    MARKS,
};

/*
 * Logarithms of likelihoods, as learnt from the annotated novels that tests/bench/README.md names: [0] without a verb
 * of speech, [1] with one.
 */
static const struct weights {
    float cue[CUES];
    float zone[AN_ZONES][MARKS];
    float focus, ahead;  /* times the logarithm of the weight in the focus, of how much is told of the person behind */
    float spoke, speaks; /* of how often the person speaks before and behind, the next ones not counted */
    float often;         /* of how often the text says that the person speaks */
    float last, next;    /* of how often the person speaks beside who speaks before, and behind */
    float somebody;      /* somebody else */
} weights[2] = {
    {
        .cue = {[CUE_SPOKE] = -0.61f,
                [CUE_REPLIES] = 0.54f,
                [CUE_ACTS] = 0.24f,
                [CUE_NAMED] = 1.74f,
                [CUE_OTHER] = -1.59f,
                [CUE_LED_TO] = 0.54f,
                [CUE_TOLD] = -2.15f,
                [CUE_ABSENT] = -0.33f,
                [CUE_UNSEXED] = -0.32f,
                [CUE_MADAM] = -1.22f},
        .zone =
            {
                [AN_ZONE_BEFORE] = {-0.02f, 1.05f, 1.18f, 0.57f, 0.46f},
                [AN_ZONE_SINCE] = {-0.18f, 0.38f, 0.15f, 0.45f, 0.34f},
                [AN_ZONE_TAIL] = {0.00f, 0.34f, 0.38f, 0.79f, 0.99f},
                [AN_ZONE_INSIDE] = {0.55f, 0.94f, 0.56f, 1.32f, 0.64f},
                [AN_ZONE_BEHIND] = {0.78f, 0.83f, -0.39f, 0.93f, -0.28f},
                [AN_ZONE_UNTIL] = {-0.58f, -0.03f, -0.06f, -0.21f, -0.13f},
                [AN_ZONE_HEAD] = {-0.79f, -0.25f, -0.39f, 0.03f, 0.39f},
            },
        .focus = 0.37f,
        .ahead = 0.13f,
        .spoke = 0.05f,
        .speaks = 0.11f,
        .often = 0.04f,
        .last = 0.01f,
        .next = 0.03f,
        .somebody = -1.62f,
    },
    {
        .cue = {[CUE_SPOKE] = -0.31f,
                [CUE_REPLIES] = 0.71f,
                [CUE_LEADS] = 0.66f,
                [CUE_LED_TO] = 1.38f,
                [CUE_TOLD] = -1.74f,
                [CUE_ABSENT] = 0.09f,
                [CUE_UNSEXED] = -1.78f,
                [CUE_MADAM] = -0.50f},
        .zone =
            {
                [AN_ZONE_BEFORE] = {0.79f, 1.09f, 0.48f, -0.14f, -0.85f},
                [AN_ZONE_SINCE] = {0.35f, 0.35f, -0.37f, 0.03f, -0.01f},
                [AN_ZONE_TAIL] = {0.16f, 0.29f, 0.32f, 0.21f, 1.03f},
                [AN_ZONE_INSIDE] = {-0.51f, -0.61f, 0.05f, 1.05f, -0.83f},
                [AN_ZONE_BEHIND] = {-0.26f, -0.68f, 0.40f, 1.42f, -0.07f},
                [AN_ZONE_UNTIL] = {-0.08f, -0.01f, -0.27f, 0.17f, 0.29f},
                [AN_ZONE_HEAD] = {-1.03f, 0.01f, 0.27f, -0.03f, 0.40f},
            },
        .focus = 0.49f,
        .ahead = 0.05f,
        .spoke = -0.01f,
        .speaks = 0.13f,
        .often = -0.01f,
        .last = 0.07f,
        .next = 0.11f,
        .somebody = -0.80f,
    },
};
/* The least weight, and number of turns, that such a logarithm is taken of. */
static const float faintest = 0.02f, seldom = 0.05f;
/* A stranger like the one that the text describes, at least. */
static const double own = 0.5, own_least = -1.5;
/* Nobody is said to speak whose probability is below this. */
static const double unlikely = 0.15;

enum {
    CANDIDATES = 64,
    NEAR = 4,    /* turns whose speakers the next ones know of */
    AROUND = 30, /* turns among whose speakers it may be */
    FAR = 60,    /* turns that count for how often one speaks */
    NEXT = 2,    /* but for so many on each side, of which the exchange knows more */
};

struct candidate {
    int person;
    unsigned cues; /* a bit for each */
    float focus, spoke, speaks, last, next;
};

/* How often two persons speak one behind the other. */
struct pair {
    int a, b; /* a < b */
    int n;    /* 0: empty */
};

/* A hash table of them, half of it empty at least. */
struct pairs {
    struct pair *list;
    uint32_t mask;
};

/* What all turns of a round share. */
struct round {
    struct pairs pairs;
    int *at;              /* by person: 1 + the index of the candidate, or 0 */
    float worth[FAR + 1]; /* of a turn, by how many turns away it is */
};

struct gathering {
    const struct an_talk *t;
    uint32_t i; /* index of the turn */
    struct an_turn *turn;
    char wanted; /* by the pronoun or description */
    struct candidate list[CANDIDATES];
    int n;
    struct an_beside beside;
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
    g->list[g->n] = (struct candidate){.person = person, .cues = cues};
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
    unsigned cues = gender ? 0 : 1u << CUE_UNSEXED;
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

/* The marks of a person in a zone, a bit for each. */
static unsigned marks_of(const struct an_beside *b, const struct an_near *near, char gender, int zone)
{
    unsigned bit = 1u << zone, marks = 0;
    bool he = b->he & bit, she = b->she & bit, same = gender == 'm' ? he : she, other = gender == 'm' ? she : he;
    if (near && near->subject & bit)
        marks |= 1u << MARK_SUBJECT;
    if (near && near->mentioned & bit)
        marks |= 1u << MARK_NAMED;
    if (near && b->last[zone] == near->person)
        marks |= 1u << MARK_LAST;
    if (gender && same != other)
        marks |= 1u << (same ? MARK_PRONOUN : MARK_OTHER);
    return marks;
}

static float sum_of(unsigned bits, const float *of)
{
    float sum = 0;
    for (; bits; bits &= bits - 1)
        sum += of[__builtin_ctz(bits)];
    return sum;
}

static float log_of(float n, float least)
{
    return logf(n > least ? n : least);
}

static double score(const struct gathering *g, const struct candidate *c)
{
    const struct an *an = g->t->an;
    const struct weights *w = &weights[g->turn->said.verb];
    const struct an_person *person = &an->persons[c->person];
    const struct an_near *near = NULL;
    for (int i = 0; i < g->beside.n && !near; i++)
        near = g->beside.near[i].person == c->person ? &g->beside.near[i] : NULL;
    float sum = sum_of(c->cues | cues_of(g, c->person), w->cue);
    for (int zone = 0; zone < AN_ZONES; zone++)
        sum += sum_of(marks_of(&g->beside, near, an_gender(&person->votes), zone), w->zone[zone]);
    sum += w->focus * log_of(c->focus, faintest) + w->ahead * log_of(near ? near->ahead : 0, faintest);
    sum += w->spoke * logf(c->spoke + seldom) + w->speaks * logf(c->speaks + seldom);
    sum += w->often * logf(1 + (float)person->quoted);
    sum += w->last * logf(1 + c->last) + w->next * logf(1 + c->next);
    return (double)sum + (g->turn->vague ? log(an_age_fits(an, g->turn->said.entity, c->person)) : 0);
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

static const struct an_turn *turn_at(const struct gathering *g, int on)
{
    int64_t i = (int64_t)g->i + on;
    return i >= 0 && i < g->t->n_turns ? &g->t->turns[i] : NULL;
}

static void gather_talk(struct gathering *g)
{
    const struct an_turn *turn = g->turn, *other;
    for (int back = 1; back <= NEAR && (other = turn_at(g, -back)) && other->talk == turn->talk; back++) {
        note(g, other->speaker, 1u << CUE_SPOKE);
        note(g, other->called, 0);
    }
    other = turn_at(g, 1);
    if (other && other->talk == turn->talk)
        note(g, other->called, 1u << CUE_REPLIES);
    note(g, turn->said.verb ? turn->here : turn->actor, 1u << (turn->said.verb ? CUE_LEADS : CUE_ACTS));
    if (!turn->said.verb && turn->said.who == AN_WHO_ENTITY)
        note(g, turn->actor, 1u << CUE_NAMED);
    note(g, turn->ahead, 1u << CUE_LED_TO);
    for (int i = 0; i < g->beside.n; i++)
        note(g, g->beside.near[i].person, 0);
    for (int on = 1; on <= AROUND; on++) {
        note(g, (other = turn_at(g, -on)) ? other->speaker : -1, 0);
        note(g, (other = turn_at(g, on)) ? other->speaker : -1, 0);
    }
}

/* The pair, or the empty place for it. */
static struct pair *find_pair(const struct pairs *p, int a, int b)
{
    int low = a < b ? a : b, high = a < b ? b : a;
    uint64_t hash = ((uint64_t)(unsigned)low << 32 | (unsigned)high) * UINT64_C(0x9E3779B97F4A7C15);
    uint32_t i = (uint32_t)(hash >> 32) & p->mask;
    while (p->list[i].n && (p->list[i].a != low || p->list[i].b != high))
        i = (i + 1) & p->mask;
    return &p->list[i];
}

static void count_pair(const struct pairs *p, int a, int b)
{
    if (a < 0 || b < 0 || a == b)
        return;
    struct pair *pair = find_pair(p, a, b);
    *pair = (struct pair){a < b ? a : b, a < b ? b : a, pair->n + 1};
}

static int speaker_of(const struct an *an, const struct an_turn *turn)
{
    return turn && turn->speaker >= 0 ? an_person(an, turn->speaker) : -1;
}

static void count_pairs(const struct an_talk *t, struct pairs *p)
{
    p->mask = 15;
    while (p->mask < t->n_turns * 2)
        p->mask = p->mask * 2 + 1;
    p->list = st_new_n(t->an->arena, struct pair, p->mask + 1);
    for (uint32_t i = 1; i < t->n_turns; i++)
        count_pair(p, speaker_of(t->an, &t->turns[i - 1]), speaker_of(t->an, &t->turns[i]));
}

/* How often the person speaks beside the other, but for this turn, whose speaker is in question. */
static float pair_count(const struct gathering *g, const struct pairs *p, int person, int other)
{
    const struct an *an = g->t->an;
    if (other < 0 || other == person)
        return 0;
    int n = find_pair(p, person, other)->n;
    for (int on = -1; on <= 1 && speaker_of(an, g->turn) == person; on += 2)
        n -= speaker_of(an, turn_at(g, on)) == other;
    return n > 0 ? (float)n : 0;
}

/* How often the candidates speak before and behind, and beside their neighbours. */
static void count_turns(struct gathering *g, const struct round *round)
{
    const struct an *an = g->t->an;
    int last = speaker_of(an, turn_at(g, -1)), next = speaker_of(an, turn_at(g, 1));
    for (int i = 0; i < g->n; i++) {
        struct candidate *c = &g->list[i];
        round->at[c->person] = 1 + i;
        c->last = pair_count(g, &round->pairs, c->person, last);
        c->next = pair_count(g, &round->pairs, c->person, next);
    }
    for (int on = NEXT + 1; on <= FAR; on++) {
        int before = speaker_of(an, turn_at(g, -on)), behind = speaker_of(an, turn_at(g, on));
        if (before >= 0 && round->at[before])
            g->list[round->at[before] - 1].spoke += round->worth[on];
        if (behind >= 0 && round->at[behind])
            g->list[round->at[behind] - 1].speaks += round->worth[on];
    }
    for (int i = 0; i < g->n; i++)
        round->at[g->list[i].person] = 0;
}

/* Somebody like the one that the text describes, whom it has not named. */
static void offer_stranger(struct gathering *g)
{
    const struct an *an = g->t->an;
    int stranger = an_person(an, (int)(an_person_of(an, g->turn->said.entity) - an->persons));
    double known = (double)weights[1].focus * log(an_focus_weight(&g->t->focus, stranger) + 0.01) + own;
    if (an_may_speak(an, stranger))
        offer(g->turn, stranger, known > own_least ? known : own_least);
}

static void gather_turn(struct an_talk *t, uint32_t i, const struct round *round)
{
    struct an_turn *turn = &t->turns[i];
    const struct an_said *said = &turn->said;
    turn->n_choices = 0;
    if (turn->fixed || (said->verb && said->who == AN_WHO_NOBODY)) {
        offer(turn, turn->fixed ? turn->speaker : -1, 0);
        return;
    }
    turn->vague = said->verb && said->who == AN_WHO_ENTITY;
    struct gathering g = {.t = t, .i = i, .turn = turn};
    g.wanted = !said->verb ? 0 : turn->vague ? an_description_gender(t->an, said->entity) : an_gender_wanted(said->who);
    for (int k = 0; k < t->focus.n; k++) {
        struct candidate *c = note(&g, t->focus.in[k].person, 0);
        if (c && t->focus.in[k].weight > c->focus)
            c->focus = t->focus.in[k].weight;
    }
    an_look_beside(t, i, &g.beside);
    for (int k = 0; g.wanted && k < 2; k++)
        note(&g, t->focus.last[g.wanted == 'f'][k] - 1, 0);
    gather_talk(&g);
    count_turns(&g, round);
    offer(turn, -1, (double)weights[said->verb].somebody);
    for (int k = 0; k < g.n; k++)
        offer(turn, g.list[k].person, score(&g, &g.list[k]));
    if (turn->vague)
        offer_stranger(&g);
}

/* The last subject of the narration in spans s to end, or -1, also when one of them is a quote. */
static int last_subject(const struct an *an, uint32_t s, uint32_t end)
{
    for (uint32_t i = end; i > s; i--)
        if (an->spans[i - 1].quoted)
            return -1;
    while (end-- > s) {
        for (uint32_t w = an->spans[end].w1; w-- > an->spans[end].w0;) {
            const struct an_mention *m = an_being_at(an, w);
            if (m && m->subject)
                return an_means(an, m);
        }
    }
    return -1;
}

void an_find_choices(struct an_talk *t)
{
    static const float lasts = 15; /* turns by which a turn's worth falls to 1/e */
    struct round round = {.at = st_new_n(t->an->arena, int, t->an->n_persons + 1)};
    for (int on = 0; on <= FAR; on++)
        round.worth[on] = expf((float)-on / lasts);
    count_pairs(t, &round.pairs);
    t->focus = (struct an_focus){.an = t->an};
    for (uint32_t i = 0; i < t->n_turns; i++) {
        struct an_turn *turn = &t->turns[i];
        an_focus_read(&t->focus, turn->said.who == AN_WHO_NONE ? t->an->spans[turn->s0].w0 : turn->said.word);
        const struct an_para *para = &t->an->paras[turn->para];
        turn->here = last_subject(t->an, para->s0, turn->s0);
        turn->ahead =
            turn->s0 == para->s0 && turn->para > 0 && !para->scene ? last_subject(t->an, para[-1].s0, para[-1].s1) : -1;
        gather_turn(t, i, &round);
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
