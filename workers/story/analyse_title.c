/* Whom a title alone means where several have it, or another who has no name: the doctor, the captain. */
#include "story/analyse_int.h"

/* Titles and the words that stand for them alone. */
static const char *const nouns[][2] = {{"dr", "doctor"}, {"capt", "captain"}, {"prof", "professor"}};

enum { BEARERS_MAX = 32 }; /* of a title: in a text with more doctors the others count for none */

struct bearer {
    int person;
    uint32_t next; /* index into bearers, or AN_NONE */
};

struct titles {
    struct an *an;
    uint32_t *of;    /* by term: its first bearer */
    uint32_t *told;  /* by person: the word that last told of him; AN_NONE: none yet */
    uint32_t *other; /* by term: the word at which "a doctor" came, whoever that is; 0: none yet */
    struct bearer *bearers;
    uint32_t n_bearers;
};

static uint32_t noun_of(const struct an *an, uint32_t title)
{
    for (size_t i = 0; i < ST_COUNT(nouns); i++)
        if (st_streq(an->terms[title].text, nouns[i][0]))
            return an_find(an, nouns[i][1], strlen(nouns[i][1]));
    return title;
}

static bool bears(const struct titles *t, uint32_t noun, int person, int *ret_n)
{
    *ret_n = 0;
    for (uint32_t b = t->of[noun]; b != AN_NONE; b = t->bearers[b].next, ++*ret_n)
        if (t->bearers[b].person == person)
            return true;
    return false;
}

static void add_bearer(struct titles *t, uint32_t title, int person)
{
    int n;
    uint32_t noun = title == AN_NONE ? AN_NONE : noun_of(t->an, title);
    if (noun == AN_NONE || bears(t, noun, person, &n) || n == BEARERS_MAX)
        return;
    t->bearers[t->n_bearers] = (struct bearer){person, t->of[noun]};
    t->of[noun] = t->n_bearers++;
}

/* By a name with it in the text, or in what the caller knows of the characters. */
static void find_bearers(struct titles *t)
{
    struct an *an = t->an;
    uint32_t n = an->n_entities;
    for (int c = 0; c < an->hints->n_cast; c++)
        n += 1 + (uint32_t)an->hints->cast[c].n_aliases;
    t->bearers = st_new_n(an->arena, struct bearer, n + 1);
    for (uint32_t i = 0; i < an->n_entities; i++)
        if (!an->entities[i].description)
            add_bearer(t, an->entities[i].title, an->entities[i].person);
    for (int c = 0; c < an->hints->n_cast; c++)
        for (int i = 0; i <= an->hints->cast[c].n_aliases; i++)
            add_bearer(t, an_cast_title(an, c, i), c);
}

/* A title alone, of the one who is known by it: the captain; not: the old captain, his captain, another captain. */
static bool is_title_alone(const struct an *an, const struct an_mention *m)
{
    const struct an_entity *e = &an->entities[m->entity];
    uint32_t article = an->words[m->word].term;
    return e->description && e->n == 1 && an_is(an, article, AN_C(DET)) &&
           !an_is(an, article, AN_C(INDEF) | AN_C(POSS)) && !st_streq(an->terms[article].text, "another") &&
           !an_is(an, e->term[0], AN_C(VAGUE) | AN_C(KIN));
}

/* The bearer that the story has told of last, or -1: the words are somebody's own. */
static int bearer_at(const struct titles *t, const struct an_mention *m)
{
    const struct an *an = t->an;
    const struct an_entity *e = &an->entities[m->entity];
    uint32_t head = e->term[0];
    int last = -1, n;
    if (!is_title_alone(an, m) || an->persons[e->person].proper || bears(t, head, e->person, &n) ||
        (an_in_cast(an, e->person) && !an->hints->cast_all)) /* an author has him apart */
        return -1;
    for (uint32_t b = t->of[head]; b != AN_NONE; b = t->bearers[b].next) {
        int person = t->bearers[b].person;
        const struct an_person *p = &an->persons[person];
        if (t->told[person] != AN_NONE && t->told[person] >= t->other[head] && an_may_speak(an, person) &&
            (an_in_cast(an, person) || p->subject >= p->place) && /* no King Street */
            (last < 0 || t->told[person] > t->told[last]))
            last = person;
    }
    return last;
}

void an_find_titled(struct an *an)
{
    struct titles t = {.an = an};
    t.of = st_new_n(an->arena, uint32_t, an->n_terms + 1);
    t.told = st_new_n(an->arena, uint32_t, an->n_persons + 1);
    t.other = st_new_n(an->arena, uint32_t, an->n_terms + 1);
    memset(t.of, 0xFF, an->n_terms * sizeof(*t.of));
    memset(t.told, 0xFF, an->n_persons * sizeof(*t.told));
    find_bearers(&t);
    for (uint32_t i = 0; i < an->n_mentions; i++) {
        struct an_mention *m = &an->mentions[i];
        const struct an_entity *e = &an->entities[m->entity];
        if (an->spans[an->words[m->word].span].quoted)
            continue;
        if (e->description)
            m->means = m->titled = bearer_at(&t, m);
        if (e->description && an_is(an, an->words[m->word].term, AN_C(INDEF)))
            t.other[e->term[e->n - 1]] = m->word;
        t.told[m->titled >= 0 ? m->titled : e->person] = m->word;
    }
}
