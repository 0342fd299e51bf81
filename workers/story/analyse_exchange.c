/*
 * Decides who speaks each turn of the conversations: the sequence of speakers that is the most likely as a whole, by
 * what each turn tells for itself (its choices) and by how people take turns. Viterbi over the last two speakers.
 */
#include "story/analyse_int.h"

/* Logarithms of likelihoods, as found on half of the annotated novels; broken: narration stands between the turns. */
static const double same = -2.3, same_broken = 0.2;      /* the speaker of the turn before goes on */
static const double returns = 1.0, returns_broken = 0.3; /* the one before that is back */
static const double called = 0.8;                        /* whom the turn before called by name */
static const double third = -0.7;                        /* neither of the two */

enum { N = AN_CHOICES };
static const float never = -1e9f;

/* The best that a sequence gets up to, or from, a turn, by the choices of the turn before it and its own. */
struct lattice {
    float (*to)[N][N], (*from)[N][N];
};

/* How likely the choice c of turn i is behind the choices a and b of the two turns before it. */
static double follow(const struct an_turn *turn, int back, int a, int b, int c)
{
    const struct an_turn *last = turn - 1;
    int who = turn->choices[c].person, before = last->choices[b].person;
    double score = 0;
    if (who < 0)
        return 0;
    if (last->called >= 0 && last->called == who)
        score += called;
    if (who == before)
        return score + (turn->broken ? same_broken : same);
    if (back > 1 && last[-1].choices[a].person == who)
        score += turn->broken ? returns_broken : returns;
    else if (back > 1 && last[-1].choices[a].person >= 0)
        score += third;
    return score;
}

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

static void forward(const struct an_turn *turn, int back, float (*last)[N], float (*to)[N])
{
    int n_b = width(turn, back, 1), n_a = width(turn, back, 2);
    for (int c = 0; c < turn->n_choices; c++) {
        for (int b = 0; b < n_b; b++) {
            float best = back ? never : 0;
            for (int a = 0; back && a < n_a; a++) {
                float score = last[a][b] + (float)follow(turn, back, a, b, c);
                best = score > best ? score : best;
            }
            to[b][c] = best + turn->choices[c].score;
        }
    }
}

/* from[a][b] of the turn before, by from[b][c] of this one. */
static void backward(const struct an_turn *turn, int back, float (*from)[N], float (*last)[N])
{
    int n_b = width(turn, back, 1), n_a = width(turn, back, 2);
    for (int a = 0; a < n_a; a++) {
        for (int b = 0; b < n_b; b++) {
            last[a][b] = never;
            for (int c = 0; c < turn->n_choices; c++) {
                float score = from[b][c] + turn->choices[c].score + (float)follow(turn, back, a, b, c);
                last[a][b] = score > last[a][b] ? score : last[a][b];
            }
        }
    }
}

/* The best sequence in which the turn has each of its choices: takes the best one; by how far it wins tells how sure it
 * is. */
static void choose(struct an_turn *turn, int back, float (*to)[N], float (*from)[N])
{
    float best = never, second = never;
    int chosen = 0;
    for (int c = 0; c < turn->n_choices; c++) {
        float score = never;
        for (int b = 0; b < width(turn, back, 1); b++)
            score = to[b][c] + from[b][c] > score ? to[b][c] + from[b][c] : score;
        if (score > best) {
            second = best;
            best = score;
            chosen = c;
        } else if (score > second) {
            second = score;
        }
    }
    turn->chosen = chosen;
    turn->margin = turn->n_choices > 1 ? best - second : 9;
}

void an_decide_turns(struct an_talk *t)
{
    struct an *an = t->an;
    float(*to)[N][N] = st_alloc_array(an->arena, t->n_turns + 1, sizeof(*to));
    float(*from)[N][N] = st_alloc_array(an->arena, t->n_turns + 1, sizeof(*from));
    for (uint32_t i = 0; i < t->n_turns; i++) {
        int back = turns_behind(&t->turns[i], t->turns);
        forward(&t->turns[i], back, i ? to[i - 1] : NULL, to[i]);
    }
    for (uint32_t i = t->n_turns; i-- > 0;) {
        bool last = i + 1 == t->n_turns || t->turns[i + 1].talk != t->turns[i].talk;
        if (last)
            memset(from[i], 0, sizeof(from[i]));
        else
            backward(&t->turns[i + 1], turns_behind(&t->turns[i + 1], t->turns), from[i + 1], from[i]);
        choose(&t->turns[i], turns_behind(&t->turns[i], t->turns), to[i], from[i]);
    }
}
