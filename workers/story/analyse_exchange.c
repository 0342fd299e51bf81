/*
 * Decides who speaks each turn of the conversations: the probability of each choice, by what each turn tells for itself
 * and by how people take turns. Forward and backward over the last two speakers.
 */
#include "story/analyse_int.h"
#include <math.h>

/*
 * How many times more likely a speaker is than another, as found on half of the annotated novels; by what stands
 * between the turns: nothing, narration that leads to the quote, paragraphs. (Behind paragraphs novels say 8.2 for who
 * goes on; the short stories of four languages that are in tests/bench/annotated less, and novels hardly care.)
 */
static const double same[AN_GAPS] = {0.53, 4.9, 4.5};    /* the speaker of the turn before goes on */
static const double returns[AN_GAPS] = {13.7, 4.8, 6.0}; /* the one before that is back; by the wider of both gaps */
static const double third[AN_GAPS] = {1.1, 1.3, 1.9};    /* neither of the two */
static const double asked = 0.85, answers = 0.6;         /* goes on, having asked; with yes or no */
static const double called = 2.9;                        /* whom the turn before called by name */

enum { N = AN_CHOICES };

/* How much more likely the choice c of turn i is behind the choices a and b of the two turns before it. */
static double follow(const struct an *an, const struct an_turn *turn, int back, int a, int b, int c)
{
    const struct an_turn *last = turn - 1;
    int who = turn->choices[c].person, before = last->choices[b].person;
    double factor = 1;
    if (who < 0)
        return 1;
    if (last->called >= 0 && an_person(an, last->called) == who)
        factor *= called;
    if (who == before)
        return factor * same[turn->gap] * (last->asks ? asked : 1) * (turn->answers ? answers : 1);
    int gap = turn->gap > last->gap ? turn->gap : last->gap;
    if (back > 1 && last[-1].choices[a].person == who)
        factor *= returns[gap];
    else if (back > 1 && last[-1].choices[a].person >= 0)
        factor *= third[gap];
    return factor;
}

/* Turns of the same conversation behind which it stands, up to two. */
static int turns_behind(const struct an_turn *turn, const struct an_turn *first)
{
    if (turn == first || turn[-1].talk != turn->talk)
        return 0;
    return turn - 1 == first || turn[-2].talk != turn->talk ? 1 : 2;
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
            double sum = back ? 0 : 1;
            for (int a = 0; back && a < n_a; a++)
                sum += (double)last[a][b] * follow(an, turn, back, a, b, c);
            to[b][c] = (float)(sum * (double)turn->choices[c].score);
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
            double sum = 0;
            for (int c = 0; c < turn->n_choices; c++)
                sum += (double)from[b][c] * (double)turn->choices[c].score * follow(an, turn, back, a, b, c);
            last[a][b] = (float)sum;
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
        bool last = i + 1 == t->n_turns || t->turns[i + 1].talk != t->turns[i].talk;
        if (last)
            for (int b = 0; b < N; b++)
                for (int c = 0; c < N; c++)
                    from[i][b][c] = 1;
        else
            backward(an, &t->turns[i + 1], turns_behind(&t->turns[i + 1], t->turns), from[i + 1], from[i]);
    }
    for (uint32_t i = 0; i < t->n_turns; i++)
        conclude(&t->turns[i], turns_behind(&t->turns[i], t->turns), to[i], from[i]);
}
