/* Chooses the persons that become characters of the result, and names them. */
#include "story/analyse_int.h"

/* Does it act, rather than being a place or an idea with a capital? */
static bool is_character(const struct an *an, const struct an_person *p)
{
    if (p->merged || !an_may_speak(an, (int)(p - an->persons)))
        return false;
    if (p->turns || an_in_cast(an, (int)(p - an->persons)))
        return p->turns || p->mentions;
    if (!p->named)
        return false;
    if (p->sure)
        return p->place <= p->subject + 2;
    return p->subject > p->place && (p->mentions > 1 || p->place == 0);
}

struct ranked {
    uint32_t person, mentions;
    bool known; /* to the caller */
};

static int by_mentions(const void *va, const void *vb)
{
    const struct ranked *a = va, *b = vb;
    if (a->mentions != b->mentions)
        return a->mentions < b->mentions ? 1 : -1;
    return a->person < b->person ? -1 : 1;
}

static int by_need(const void *va, const void *vb)
{
    const struct ranked *a = va, *b = vb;
    return a->known != b->known ? b->known - a->known : by_mentions(va, vb);
}

static void drop_emphasis(char *s)
{
    size_t n = 0;
    for (const char *p = s; *p; p++)
        if (*p != '_' && *p != '*')
            s[n++] = *p;
    s[n] = '\0';
}

/* A capital first letter; in Cyrillic, too. */
static char *capitalise(struct an *an, char *s)
{
    const char *rest = s;
    uint32_t cp = st_utf8_next(&rest);
    char put[5];
    for (uint32_t upper = cp - 80; upper < cp; upper++) {
        if (an_lower(upper) == cp) {
            put[st_utf8_put(upper, put)] = '\0';
            return st_printf(an->arena, "%s%s", put, rest);
        }
    }
    return s;
}

/* The words of an entity as the text writes them; "the fox" becomes "The fox". */
static char *show(struct an *an, const struct an_entity *e)
{
    const struct an_word *first = &an->words[e->word], *last = &an->words[e->word + e->n_shown - 1];
    char *s = st_strndup(an->arena, an->text + first->start, last->end - first->start);
    drop_emphasis(s);
    if (!e->description)
        return s;
    const struct an_word *article = first > an->words ? first - 1 : first;
    bool capital_noun = first->upper && e->n_shown == 1 && !st_streq(an->language, "de");
    if (capital_noun && !an_is(an, article->term, AN_C(DET) | AN_C(POSS)))
        return s; /* Mother */
    if (st_streq(an->language, "en"))
        return st_printf(an->arena, "The %s", s);
    if (an_is(an, article->term, AN_C(DET) | AN_C(POSS)))
        s = st_strndup(an->arena, an->text + article->start, last->end - article->start);
    return capitalise(an, s);
}

static const char *age_of(const struct an_votes *p)
{
    if (p->old > p->child && p->old >= 2)
        return "old";
    if (p->child > p->adult && p->child >= 2)
        return "child";
    return p->adult >= 2 && p->adult > p->child ? "adult" : NULL;
}

static bool known_alias(const struct st_character *c, const char *alias)
{
    if (strcasecmp(c->name, alias) == 0)
        return true;
    for (int i = 0; i < c->n_aliases; i++)
        if (strcasecmp(c->aliases[i], alias) == 0)
            return true;
    return false;
}

/* False when it is known. */
static bool add_alias(struct st_character *c, const char *alias)
{
    if (known_alias(c, alias))
        return false;
    ((const char **)c->aliases)[c->n_aliases++] = alias;
    return true;
}

enum { ALIASES_MAX = 12 }; /* beside those that the caller gave */

static void add_aliases(struct an *an, struct st_analysis *out)
{
    int *added = st_new_n(an->arena, int, (size_t)out->n_characters + 1);
    for (uint32_t i = 0; i < an->n_entities; i++) {
        const struct an_entity *e = &an->entities[i];
        int c = e->count || e->quotable ? an->persons[e->person].character : -1;
        if (c < 0)
            continue;
        struct st_character *to = &out->characters[c];
        if (added[c] == ALIASES_MAX)
            continue;
        added[c] += add_alias(to, show(an, e));
    }
}

/* The character of that name among the first n, or -1: names tell characters apart. */
static int find_name(const struct st_analysis *out, const char *name)
{
    for (int i = 0; i < out->n_characters; i++)
        if (strcasecmp(out->characters[i].name, name) == 0)
            return i;
    return -1;
}

const char *an_name(struct an *an, int person)
{
    const struct an_person *p = &an->persons[person];
    return an_in_cast(an, person)   ? an->hints->cast[person].name
           : person == an->narrator ? "Narrator"
                                    : show(an, &an->entities[p->entity]);
}

static void add_character(struct an *an, struct an_person *p, struct st_analysis *out)
{
    int id = (int)(p - an->persons);
    const struct st_character *known = an_in_cast(an, id) ? &an->hints->cast[id] : NULL;
    const char *name = an_name(an, id);
    int n_known = known ? known->n_aliases : 0;
    p->character = find_name(out, name);
    if (p->character >= 0) {
        out->characters[p->character].mentions += (int)p->mentions;
        return;
    }
    p->character = out->n_characters++;
    out->characters[p->character] = (struct st_character){
        .name = name,
        .aliases = (const char *const *)st_new_n(an->arena, const char *, (size_t)(n_known + ALIASES_MAX)),
        .mentions = (int)p->mentions,
        .gender = an_gender(&p->votes),
        .age = known && known->age ? known->age : age_of(&p->votes),
    };
    for (int i = 0; i < n_known; i++)
        add_alias(&out->characters[p->character], known->aliases[i]);
}

void an_make_characters(struct an *an, struct st_analysis *out)
{
    struct ranked *list = st_new_n(an->arena, struct ranked, an->n_persons + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < an->n_persons; i++)
        if (is_character(an, &an->persons[i]))
            list[n++] = (struct ranked){i, an->persons[i].mentions, an_in_cast(an, (int)i)};
    if (n > ST_ANALYSE_CHARACTERS_MAX) {
        qsort(list, n, sizeof(*list), by_need);
        n = ST_ANALYSE_CHARACTERS_MAX;
    }
    qsort(list, n, sizeof(*list), by_mentions);
    out->characters = st_new_n(an->arena, struct st_character, n);
    for (uint32_t i = 0; i < n; i++)
        add_character(an, &an->persons[list[i].person], out);
    add_aliases(an, out);
    for (uint32_t s = 0; s < an->n_spans; s++) {
        struct an_span *span = &an->spans[s];
        span->speaker = span->speaker < 0 ? -1 : an->persons[span->speaker].character;
    }
}
