/*
 * Decides who speaks each turn of the conversations: the probability of each choice, by what each turn tells for itself
 * and by how people take turns. Forward and backward over the last two speakers.
 */
#include "story/analyse_int.h"
#include <math.h>

/*
 * How many times more likely a speaker is than another, learnt together with the weights of analyse_choice.c (the last
 * two behind them, and by trial); by what stands between the turns, and by whether a verb of speech comes with the
 * turn.
 */
static const struct {
    float same[AN_GAPS][2];    /* the speaker of the turn before goes on */
    float returns[AN_GAPS][2]; /* the one before that is back; by the wider of both gaps */
    float third[AN_GAPS][2];   /* neither of the two */
    float called[AN_GAPS];     /* whom the turn before called by name */
    float asked[2];            /* the turn before ends in a question: [0] its speaker goes on, [1] another */
    float answers[2];          /* the turn begins with yes or no: the same */
    float replies[2];          /* the verb is answered: the same */
    float resumes[2];          /* the verb is continued: the same */
} factors = {
    .same = {{0.24f, 0.48f}, {2.60f, 4.49f}, {7.84f, 3.73f}, {0.77f, 1.04f}, {2.44f, 1.99f}},
    .returns = {{6.43f, 4.32f}, {3.13f, 1.83f}, {3.49f, 2.45f}, {0.72f, 0.69f}, {1.12f, 1.30f}},
    .third = {{0.22f, 0.86f}, {0.57f, 0.65f}, {0.73f, 0.92f}, {0.77f, 0.92f}, {0.67f, 0.70f}},
    .called = {6.97f, 1.19f, 1.05f, 0.61f, 1.20f},
    .asked = {1.35f, 1.64f},
    .answers = {0.91f, 1.36f},
    .replies = {0.30f, 1.10f},
    .resumes = {2.00f, 0.70f},
};

enum { N = AN_CHOICES };

/* How much more likely the choice c of turn i is behind the choices a and b of the two turns before it. */
static float follow(const struct an *an, const struct an_turn *turn, int back, int a, int b, int c)
{
    const struct an_turn *last = turn - 1;
    int who = turn->choices[c].person, before = last->choices[b].person;
    int gap = turn->gap, wider = gap > (int)last->gap ? gap : (int)last->gap, verb = turn->said.verb;
    if (who < 0)
        return 1;
    float factor = last->called >= 0 && an_person(an, last->called) == who ? factors.called[gap] : 1;
    factor *= (last->asks ? factors.asked[who != before] : 1) * (turn->answers ? factors.answers[who != before] : 1);
    factor *= (turn->said.reply ? factors.replies[who != before] : 1);
    factor *= (turn->said.resume ? factors.resumes[who != before] : 1);
    if (who == before)
        return factor * factors.same[gap][verb];
    if (back > 1 && last[-1].choices[a].person == who)
        return factor * factors.returns[wider][verb];
    return factor * (back > 1 && last[-1].choices[a].person >= 0 ? factors.third[wider][verb] : 1);
}

/* Turns behind which it stands, up to two. */
static int turns_behind(const struct an_turn *turn, const struct an_turn *first)
{
    return turn - first < 2 ? (int)(turn - first) : 2;
}

static int width(const struct an_turn *turn, int back, int of)
{
    return of <= back ? turn[-of].n_choices : 1;
}

/* Makes them add up to 1: products over a long conversation would vanish. */
static void normalise(float (*p)[N], int rows, int columns)
{
    float sum = 0;
    for (int b = 0; b < rows; b++)
        for (int c = 0; c < columns; c++)
            sum += p[b][c];
    for (int b = 0; b < rows; b++)
        for (int c = 0; c < columns; c++)
            p[b][c] /= sum;
}

/* to[b][c]: the choice before and the own one, by all turns up to this one. */
static void forward(const struct an *an, const struct an_turn *turn, int back, float (*last)[N], float (*to)[N])
{
    int n_b = width(turn, back, 1), n_a = width(turn, back, 2);
    for (int c = 0; c < turn->n_choices; c++) {
        for (int b = 0; b < n_b; b++) {
            float sum = back ? 0 : 1;
            for (int a = 0; back && a < n_a; a++)
                sum += last[a][b] * follow(an, turn, back, a, b, c);
            to[b][c] = sum * turn->choices[c].score;
        }
    }
    normalise(to, n_b, turn->n_choices);
}

/* last[a][b]: the same of the turn before, by all turns behind it; from[b][c] is that of this turn. */
static void backward(const struct an *an, const struct an_turn *turn, int back, float (*from)[N], float (*last)[N])
{
    int n_b = width(turn, back, 1), n_a = width(turn, back, 2);
    for (int a = 0; a < n_a; a++) {
        for (int b = 0; b < n_b; b++) {
            float sum = 0;
            for (int c = 0; c < turn->n_choices; c++)
                sum += from[b][c] * turn->choices[c].score * follow(an, turn, back, a, b, c);
            last[a][b] = sum;
        }
    }
    normalise(last, n_a, n_b);
}

/* From logarithms to likelihoods, the best being 1. */
static void weigh(struct an_turn *turn)
{
    float best = turn->choices[0].score;
    for (int c = 1; c < turn->n_choices; c++)
        best = turn->choices[c].score > best ? turn->choices[c].score : best;
    for (int c = 0; c < turn->n_choices; c++)
        turn->choices[c].score = expf(turn->choices[c].score - best);
}

static void conclude(struct an_turn *turn, int back, float (*to)[N], float (*from)[N])
{
    float p[1][N] = {{0}};
    for (int c = 0; c < turn->n_choices; c++)
        for (int b = 0; b < width(turn, back, 1); b++)
            p[0][c] += to[b][c] * from[b][c];
    normalise(p, 1, turn->n_choices);
    for (int c = 0; c < turn->n_choices; c++)
        turn->choices[c].score = p[0][c];
}

void an_decide_turns(struct an_talk *t)
{
    struct an *an = t->an;
    float(*to)[N][N] = st_alloc_array(an->arena, t->n_turns + 1, sizeof(*to));
    float(*from)[N][N] = st_alloc_array(an->arena, t->n_turns + 1, sizeof(*from));
    for (uint32_t i = 0; i < t->n_turns; i++) {
        weigh(&t->turns[i]);
        forward(an, &t->turns[i], turns_behind(&t->turns[i], t->turns), i ? to[i - 1] : NULL, to[i]);
    }
    for (uint32_t i = t->n_turns; i-- > 0;) {
        if (i + 1 == t->n_turns)
            for (int b = 0; b < N; b++)
                for (int c = 0; c < N; c++)
                    from[i][b][c] = 1;
        else
            backward(an, &t->turns[i + 1], turns_behind(&t->turns[i + 1], t->turns), from[i + 1], from[i]);
    }
    for (uint32_t i = 0; i < t->n_turns; i++)
        conclude(&t->turns[i], turns_behind(&t->turns[i], t->turns), to[i], from[i]);
}
