/* Finds who else a person is that the text never names: the painter is whom the others call Basil. */
#include "story/analyse_int.h"

/* From now on the boy is Tobias. */
void an_merge_persons(struct an *an, int from, int into)
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

bool an_is_unnamed(const struct an *an, int person)
{
    return person >= 0 && person != an->narrator && !an->persons[person].proper && !an->persons[person].merged;
}

/* Votes of a turn for or against two persons being one. */
static const double calls = -3.0;               /* he speaks to the other */
static const double answers = 2.7;              /* the other was called just before */
static const double beside = -2.7;              /* the other speaks before or behind */
static const double present = 0.9;              /* the other is in focus */
static const double was_heard = 0.7;            /* the other, whom the text named, spoke just before he was called */
static const double least = 2.3, clearly = 2.7; /* votes that are enough, and how many times those of the next */

enum { ALTERS = 12 };
struct alter { /* persons that may be the same as one */
    int person[ALTERS];
    float votes[ALTERS];
    int n;
};

static void vote_alter(struct an_talk *t, struct alter *a, int unnamed, int person, double votes)
{
    if (person < 0)
        return;
    person = an_person(t->an, person);
    const struct an_person *p = &t->an->persons[person], *d = &t->an->persons[unnamed];
    char gender = an_gender(&p->votes), other = an_gender(&d->votes);
    if (!p->proper || person == unnamed || person == t->an->narrator || (gender && other && gender != other))
        return;
    int at = 0;
    while (at < a->n && a->person[at] != person)
        at++;
    if (at == ALTERS)
        return;
    if (at == a->n) {
        a->person[a->n++] = person;
        a->votes[at] = 0;
    }
    a->votes[at] += (float)votes;
}

static void vote_turn(struct an_talk *t, struct alter *a, uint32_t i, int unnamed)
{
    const struct an_turn *turn = &t->turns[i];
    bool first = i == 0 || turn[-1].talk != turn->talk, last = i + 1 == t->n_turns || turn[1].talk != turn->talk;
    vote_alter(t, a, unnamed, turn->called, calls);
    if (!first && turn[-1].speaker != turn->speaker)
        vote_alter(t, a, unnamed, turn[-1].called, answers);
    if (!first && turn[-1].fixed)
        vote_alter(t, a, unnamed, turn[-1].speaker, beside);
    if (!last && turn[1].fixed)
        vote_alter(t, a, unnamed, turn[1].speaker, beside);
    for (int k = 0; k < t->focus.n; k++)
        if ((double)t->focus.in[k].weight > 0.2)
            vote_alter(t, a, unnamed, t->focus.in[k].person, present);
}

/* Harry, whom people only call so: Lord Henry, who answers. */
static void vote_called(struct an_talk *t, struct alter *a, uint32_t i, int called)
{
    const struct an_turn *turn = &t->turns[i];
    bool first = i == 0 || turn[-1].talk != turn->talk, last = i + 1 == t->n_turns || turn[1].talk != turn->talk;
    if (turn->fixed)
        vote_alter(t, a, called, turn->speaker, calls);
    if (!first && turn[-1].fixed && turn[-1].speaker != turn->speaker)
        vote_alter(t, a, called, turn[-1].speaker, was_heard);
    if (!last && turn[1].fixed && turn[1].speaker != turn->speaker)
        vote_alter(t, a, called, turn[1].speaker, 1);
}

static struct alter *alter_of(struct an_talk *t, struct alter **of, int person)
{
    if (!of[person])
        of[person] = st_new(t->an->arena, struct alter);
    return of[person];
}

/* Is the person a name that is only called, never told? */
static bool is_only_called(const struct an *an, int person)
{
    if (person < 0 || an_in_cast(an, person) || an->persons[person].merged)
        return false;
    const struct an_person *p = &an->persons[person];
    return p->proper && p->quoted * 20 <= p->mentions && an->entities[p->entity].n == 1;
}

void an_find_alters(struct an_talk *t)
{
    struct an *an = t->an;
    struct alter **of = st_new_n(an->arena, struct alter *, an->n_persons + 1);
    t->focus = (struct an_focus){.an = an};
    for (uint32_t i = 0; i < t->n_turns; i++) {
        const struct an_turn *turn = &t->turns[i];
        if (is_only_called(an, turn->called))
            vote_called(t, alter_of(t, of, turn->called), i, turn->called);
        an_focus_read(&t->focus, turn->said.who == AN_WHO_NONE ? an->spans[turn->s0].w0 : turn->said.word);
        if (!turn->fixed || !an_is_unnamed(an, turn->speaker))
            continue;
        vote_turn(t, alter_of(t, of, turn->speaker), i, turn->speaker);
    }
    for (uint32_t d = 0; d < an->n_persons; d++) {
        const struct alter *a = of[d];
        double top = 0, second = 0;
        int best = -1;
        for (int k = 0; a && k < a->n; k++) {
            if ((double)a->votes[k] > top) {
                second = top;
                top = (double)a->votes[k];
                best = a->person[k];
            } else if ((double)a->votes[k] > second) {
                second = (double)a->votes[k];
            }
        }
        if (best >= 0 && top >= least && top >= clearly * second)
            an_merge_persons(an, (int)d, an_person(an, best));
    }
}
