/* Keeps in view whom the story is about: whom he, she, her father and the young man mean at a point of it. */
#include "story/analyse_int.h"

const struct an_fading an_fading = {.subject = 1,
                                    .object = 0.4f,
                                    .spoken_of = 0.04f,
                                    .sentence = 0.7f,
                                    .paragraph = 0.85f,
                                    .scene = 0.3f,
                                    .least = 0.02f};
static const double owner = 0.6, pronoun = 0.44, his = 0.15;
/* "The girl" means a person of at least this weight, and of so many times the weight of a girl without a name. */
static const double vague_least = 0.16, vague_own = 2.0;

int an_person(const struct an *an, int person)
{
    while (an->persons[person].merged)
        person = an->persons[person].merged - 1;
    return person;
}

static const struct an_term *head_of(const struct an *an, const struct an_entity *e)
{
    return &an->terms[e->term[e->n - 1]];
}

/* Does it act and speak, as far as one can tell? A place, an arm, a thing does not. */
bool an_is_being(const struct an *an, const struct an_entity *e)
{
    const struct an_person *p = &an->persons[an_person(an, e->person)];
    if (!e->description)
        return p->sure || p->subject > p->place;
    return head_of(an, e)->classes & (AN_C(PERSON) | AN_C(MALE) | AN_C(FEMALE)) || p->quoted * 4 >= p->mentions;
}

int an_means(const struct an *an, const struct an_mention *m)
{
    return an_person(an, m->means >= 0 ? m->means : an->entities[m->entity].person);
}

const struct an_mention *an_being_at(const struct an *an, uint32_t w)
{
    const struct an_mention *m = an->words[w].mention >= 0 ? &an->mentions[an->words[w].mention] : NULL;
    return m && an_is_being(an, &an->entities[m->entity]) ? m : NULL;
}

static void fade(struct an_focus *f, float factor)
{
    int n = 0;
    for (int i = 0; i < f->n; i++) {
        f->in[i].weight *= factor;
        if (f->in[i].weight > an_fading.least)
            f->in[n++] = f->in[i];
    }
    f->n = n;
}

static void remember(struct an_focus *f, int person)
{
    char gender = an_gender(&f->an->persons[person].votes);
    int *last = f->last[gender == 'f'];
    if (!gender || last[0] == person + 1)
        return;
    last[1] = last[0];
    last[0] = person + 1;
}

void an_focus_note(struct an_focus *f, int person, double weight)
{
    if (person < 0)
        return;
    person = an_person(f->an, person);
    int at = 0, least = 0;
    for (; at < f->n && f->in[at].person != person; at++)
        if (f->in[at].weight < f->in[least].weight)
            least = at;
    if (at == AN_FOCUS_MAX)
        f->in[at = least] = (struct an_in_focus){.person = person};
    else if (at == f->n)
        f->in[f->n++] = (struct an_in_focus){.person = person};
    f->in[at].weight += (float)weight;
    if ((float)weight >= an_fading.object)
        remember(f, person);
}

/* Does the story know the person: by a name, or as the miller, who speaks and is spoken of? */
bool an_is_known(const struct an *an, int person)
{
    enum { OFTEN = 3 };
    const struct an_person *p = &an->persons[person];
    const struct an_entity *e = p->entity == AN_NONE ? NULL : &an->entities[p->entity];
    return p->named ||
           (e && p->quoted && p->mentions >= OFTEN && !(head_of(an, e)->classes & (AN_C(VAGUE) | AN_C(KIN))));
}

/* How well the person has the age of the description: 1, or less when the text says otherwise. */
double an_age_fits(const struct an *an, uint32_t entity, int person)
{
    const struct an_entity *e = &an->entities[entity];
    const struct an_votes *v = &an->persons[person].votes;
    uint64_t head = head_of(an, e)->classes, all = head;
    for (int i = 0; i + 1 < e->n; i++)
        all |= an->terms[e->term[i]].classes & AN_C(OLD);
    bool young = v->child >= 3 && v->child > 2 * (v->adult + v->old), aged = v->old >= 2 && v->old > v->child;
    bool grown = v->adult + v->old >= 3 && v->adult + v->old > 2 * v->child;
    if (all & AN_C(OLD))
        return young ? 0.05 : aged ? 1 : 0.6;
    if (head & AN_C(CHILD) && !(head & AN_C(ADULT)))
        return aged ? 0.1 : grown ? 0.4 : 1;
    return head & AN_C(ADULT) && head & AN_C(KIN) && !(head & AN_C(CHILD)) && !grown ? 0.4 : 1;
}

/* The foremost person of the gender, or -1; one that the story knows and that fits the description, unless AN_NONE. */
static int foremost(const struct an_focus *f, char gender, int except, uint32_t vague, double *ret_weight)
{
    int best = -1;
    *ret_weight = 0;
    for (int i = 0; i < f->n; i++) {
        int person = an_person(f->an, f->in[i].person);
        const struct an_person *p = &f->an->persons[person];
        char known = an_gender(&p->votes);
        double weight = (double)f->in[i].weight * (known || !gender ? 1 : 0.5);
        if ((gender && known && known != gender) || person == except || person == f->an->narrator ||
            (vague != AN_NONE && !an_is_known(f->an, person)) || !an_may_speak(f->an, person))
            continue;
        weight *= vague == AN_NONE ? 1 : an_age_fits(f->an, vague, person);
        if (weight > *ret_weight) {
            best = person;
            *ret_weight = weight;
        }
    }
    return best;
}

double an_focus_weight(const struct an_focus *f, int person)
{
    for (int i = 0; i < f->n; i++)
        if (f->in[i].person == person)
            return (double)f->in[i].weight;
    return 0;
}

bool an_is_vague(const struct an *an, uint32_t entity, uint32_t article)
{
    const struct an_entity *e = &an->entities[entity];
    const struct an_person *p = &an->persons[an_person(an, e->person)];
    if (an_is(an, article, AN_C(POSS)) && an_is(an, article, AN_C(HIM) | AN_C(HER)) && e->n == 1 && !p->proper &&
        head_of(an, e)->classes & AN_C(KIN))
        return true; /* her mother, though her children call her Mother */
    for (int i = 0; i + 1 < e->n; i++)
        if (!an_is(an, e->term[i], AN_C(MOD) | AN_C(ADJ) | AN_C(OLD) | AN_C(CHILD)) ||
            an_is(an, e->term[i], AN_C(PERSON)))
            return false; /* the farmer's wife */
    return e->description && !p->named && head_of(an, e)->classes & (AN_C(VAGUE) | AN_C(KIN));
}

char an_description_gender(const struct an *an, uint32_t entity)
{
    const struct an_entity *e = &an->entities[entity];
    uint64_t c = head_of(an, e)->classes & (AN_C(MALE) | AN_C(FEMALE));
    return c == AN_C(MALE) ? 'm' : c == AN_C(FEMALE) ? 'f' : an_gender(&an->persons[an_person(an, e->person)].votes);
}

/* Whom "her father", "the girl" means, or -1: a being of its own. */
static int resolve_vague(const struct an_focus *f, const struct an_mention *m)
{
    const struct an *an = f->an;
    const struct an_word *article = &an->words[m->word];
    int own = an_person(an, an->entities[m->entity].person), possessor = -1;
    double weight;
    if (an_is(an, article->term, AN_C(INDEF)) ||
        (an_is(an, article->term, AN_C(POSS)) && !an_is(an, article->term, AN_C(HIM) | AN_C(HER))))
        return -1; /* a girl, my father */
    if (an_is(an, article->term, AN_C(HIM) | AN_C(HER)))
        possessor = foremost(f, an_is(an, article->term, AN_C(HIM)) ? 'm' : 'f', -1, AN_NONE, &weight);
    int person = foremost(f, an_description_gender(an, m->entity), possessor, m->entity, &weight);
    return weight >= vague_least && weight >= an_focus_weight(f, own) * vague_own ? person : -1;
}

static void read_mention(struct an_focus *f, struct an_mention *m)
{
    const struct an *an = f->an;
    const struct an_entity *e = &an->entities[m->entity];
    bool quoted = an->spans[an->words[m->word].span].quoted;
    if (!an_is_being(an, e))
        return;
    if (quoted) {
        if (!e->description)
            an_focus_note(f, e->person, (double)an_fading.spoken_of);
        return;
    }
    if (m->means < 0 && an_is_vague(an, m->entity, an->words[m->word].term))
        m->means = resolve_vague(f, m);
    bool owns = an->words[m->word + m->n - 1].owner;
    double weight = m->subject ? (double)an_fading.subject : owns ? owner : (double)an_fading.object;
    an_focus_note(f, m->means >= 0 ? m->means : e->person, weight);
}

static void read_pronoun(struct an_focus *f, uint64_t classes)
{
    double weight;
    char gender = classes & (AN_C(HE) | AN_C(HIM)) ? 'm' : 'f';
    int person = foremost(f, gender, -1, AN_NONE, &weight);
    an_focus_note(f, person, classes & (AN_C(HE) | AN_C(SHE)) ? pronoun : his);
}

void an_focus_read(struct an_focus *f, uint32_t until)
{
    struct an *an = f->an;
    while (f->word < until) {
        uint32_t w = f->word++;
        const struct an_word *word = &an->words[w];
        const struct an_span *span = &an->spans[word->span];
        if (span->para != f->para) {
            fade(f, an->paras[span->para].scene ? an_fading.scene : an_fading.paragraph);
            f->para = span->para;
        }
        if (word->mention >= 0) {
            struct an_mention *m = &an->mentions[word->mention];
            read_mention(f, m);
            f->word = w + m->n < until ? w + m->n : until;
            word = &an->words[f->word - 1];
        } else if (!span->quoted) {
            uint64_t classes = an_is(an, word->term, AN_C(HE) | AN_C(SHE) | AN_C(HIM) | AN_C(HER));
            if (an->narrator >= 0 && word->upper && an_is(an, word->term, AN_C(ME)))
                an_focus_note(f, an->narrator, pronoun);
            if (classes)
                read_pronoun(f, classes);
        }
        if (word->after & AN_STOP && !span->quoted)
            fade(f, an_fading.sentence);
    }
}
