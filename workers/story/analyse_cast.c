/* What the caller knows of the characters: their names are found, and belong to the one that the caller says. */
#include "story/analyse_int.h"

/* A name of the cast, as words of the text. */
struct cast_name {
    uint32_t term[AN_NAME_WORDS];
    int n;
    bool article; /* had one before it */
    bool owner;   /* its first word had 's: Doctor's wife */
};

/*
 * False if the text has nothing of it. Who has a family name that the text lacks is known by the words before it: May
 * Parker of a story that only has May.
 */
static bool read_name(const struct an *an, const char *s, struct cast_name *name)
{
    enum { WORD_BYTES = 64 };
    const char *end = s + strlen(s);
    *name = (struct cast_name){.n = 0};
    while (s < end) {
        size_t len = strcspn(s, " ");
        const char *from = s, *to = s + len;
        s = to + strspn(to, " ");
        while (from < to && !an_is_letter(an_peek(from, to)))
            st_utf8_next(&from);
        while (from < to && !an_is_letter(an_before(from, to)))
            do
                to--;
            while (((unsigned char)*to & 0xC0) == 0x80);
        if (from == to)
            continue;
        char folded[WORD_BYTES];
        size_t n = an_fold(from, (size_t)(to - from), folded, sizeof(folded));
        bool owner = n > 2 && memcmp(folded + n - 2, "'s", 2) == 0; /* which the words of the text have apart */
        n -= owner ? 2 : 0;
        name->owner = name->owner || (owner && name->n == 0);
        uint32_t term = an_find(an, folded, n);
        if (term == AN_NONE)
            return name->n > 0 && !name->article && !*s && !an_is(an, name->term[0], AN_C(TITLE));
        if (name->n == 0 && !name->article && an_is(an, term, AN_C(DET)) && s < end) {
            name->article = true;
            continue;
        }
        if (name->n == AN_NAME_WORDS)
            return false;
        name->term[name->n++] = term;
    }
    return name->n > 0;
}

static const char *name_of(const struct st_character *c, int i)
{
    return i == 0 ? c->name : c->aliases[i - 1];
}

static bool is_titled(const struct an *an, const struct cast_name *name)
{
    return name->n > 1 && !name->article && !name->owner && an_is(an, name->term[0], AN_C(TITLE));
}

/* ---- Before names are looked for ---- */

static void learn_name(struct an *an, const struct cast_name *name, char gender)
{
    enum { CERTAIN = 8 };
    if (name->article) { /* the Caterpillar: a being */
        struct an_term *head = &an->terms[name->term[name->n - 1]];
        head->classes |= head->classes & AN_C(STOP) ? 0 : AN_C(PERSON);
        return;
    }
    for (int i = is_titled(an, name); i < name->n; i++) {
        struct an_term *t = &an->terms[name->term[i]];
        if (t->classes & (AN_C(LINK) | AN_C(DET)))
            continue;
        t->n_name += CERTAIN;
        if (t->classes & AN_C(STOP) && gender) /* Will, Five: what else a first name is */
            t->classes |= gender == 'f' ? AN_C(FEMALENAME) : AN_C(MALENAME);
    }
}

void an_learn_cast(struct an *an)
{
    struct cast_name name;
    for (int m = 0; m < an->hints->n_cast; m++)
        for (int i = 0; i <= an->hints->cast[m].n_aliases; i++)
            if (read_name(an, name_of(&an->hints->cast[m], i), &name))
                learn_name(an, &name, an->hints->cast[m].gender);
}

/* ---- Behind it ---- */

enum { SEVERAL = -1 };

static void claim(const struct an *an, const struct an_entity *e, int *member, int m)
{
    uint32_t found = an_find_entity(an, e);
    if (found != AN_NONE)
        member[found] = member[found] && member[found] != m + 1 ? SEVERAL : m + 1;
}

/* The text may have it as a name, with a title or as a description: Captain Vane; the Captain. */
static void claim_forms(const struct an *an, const struct cast_name *name, int *member, int m)
{
    struct an_entity e = {.title = AN_NONE, .n = (uint8_t)name->n};
    memcpy(e.term, name->term, sizeof(e.term));
    claim(an, &e, member, m);
    e.description = true;
    claim(an, &e, member, m);
    if (!is_titled(an, name))
        return;
    e.description = false;
    e.title = e.term[0];
    e.n--;
    memmove(e.term, e.term + 1, e.n * sizeof(e.term[0]));
    claim(an, &e, member, m);
}

/* Who has a name of a word and others: 1 + the index of the man, of the woman; 0: nobody. */
struct bearers {
    int man, woman;
};

/* By term. Lives in the arena. */
static struct bearers *find_bearers(const struct an *an)
{
    struct bearers *of = st_new_n(an->arena, struct bearers, an->n_terms + 1);
    struct cast_name name;
    for (int m = 0; m < an->hints->n_cast; m++) {
        char gender = an->hints->cast[m].gender;
        for (int i = 0; gender && i <= an->hints->cast[m].n_aliases; i++) {
            bool read = read_name(an, name_of(&an->hints->cast[m], i), &name) && name.n > 1;
            for (int k = 0; read && k < name.n; k++) {
                int *who = gender == 'm' ? &of[name.term[k]].man : &of[name.term[k]].woman;
                *who = *who && *who != m + 1 ? SEVERAL : m + 1;
            }
        }
    }
    return of;
}

/*
 * Whom the names of member m mean, or -1: of several. A list of all that has Small beside Jonathan Small, and does not
 * know Small's gender, has him twice; a family name alone is the man's. Characters that an author has corrected are no
 * such list: who was split in two stays so.
 */
static int meant_by(const struct an *an, const struct bearers *of, int m)
{
    const struct st_character *c = &an->hints->cast[m];
    struct cast_name name, other;
    if (!an->hints->cast_all || c->gender || !read_name(an, c->name, &name) || name.n > 1 || name.article)
        return m;
    for (int i = 1; i <= c->n_aliases; i++)
        if (!read_name(an, name_of(c, i), &other) || other.n > 1 || other.term[0] != name.term[0])
            return m;
    const struct bearers *b = &of[name.term[0]];
    int who = b->man ? b->man : b->woman;
    return who == SEVERAL ? -1 : who ? who - 1 : m;
}

int *an_find_cast(struct an *an)
{
    int *member = st_new_n(an->arena, int, an->n_entities + 1);
    const struct bearers *of = find_bearers(an);
    struct cast_name name;
    for (int m = 0; m < an->hints->n_cast; m++) {
        int who = meant_by(an, of, m);
        for (int i = 0; who >= 0 && i <= an->hints->cast[m].n_aliases; i++)
            if (read_name(an, name_of(&an->hints->cast[m], i), &name))
                claim_forms(an, &name, member, who);
    }
    for (uint32_t i = 0; i < an->n_entities; i++)
        member[i] = member[i] < 0 ? 0 : member[i];
    return member;
}

/* By a name, or only as the Lad, a Man? */
bool an_cast_is_named(const struct an *an, int m)
{
    for (int i = 0; i <= an->hints->cast[m].n_aliases; i++) {
        struct cast_name name;
        if (!read_name(an, name_of(&an->hints->cast[m], i), &name) || !name.article)
            return true;
    }
    return false;
}

uint32_t an_cast_title(const struct an *an, int m, int i)
{
    struct cast_name name;
    bool titled = read_name(an, name_of(&an->hints->cast[m], i), &name) && is_titled(an, &name);
    return titled ? name.term[0] : AN_NONE;
}

int an_cast_narrator(const struct an *an)
{
    for (int m = 0; m < an->hints->n_cast; m++)
        for (int i = 0; i <= an->hints->cast[m].n_aliases; i++)
            if (strcasecmp(name_of(&an->hints->cast[m], i), "Narrator") == 0)
                return m;
    return -1;
}
