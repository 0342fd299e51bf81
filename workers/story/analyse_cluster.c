/* Merges names and descriptions of the same being into persons, and tells their gender and age. */
#include "story/analyse_int.h"

enum title_group { NO_TITLE, TITLE_MR, TITLE_MRS, TITLE_MISS, TITLE_OTHER, N_TITLE_GROUPS };

/* The most frequent entity of a kind and how often the next frequent occurs. */
struct best {
    uint32_t entity, count, second;
};

struct index {                          /* per term */
    struct best first, last;            /* full names that begin, end with it */
    struct best last_male, last_female; /* the same, by the gender of the first name */
    uint32_t titled[N_TITLE_GROUPS];    /* "Mr X" */
    uint32_t alone;                     /* "X" */
    struct best title;                  /* "Captain ...", by the title */
    uint32_t chain;                     /* descriptions with this head */
};

struct merger {
    struct an *an;
    struct index *of;    /* by term */
    uint32_t *parent;    /* union-find over entities */
    int looks;           /* how often all mentions were gone through */
    int *member;         /* of the cast, by root: 1 + its index, or 0 */
    uint32_t *next_head; /* chain of descriptions */
};

static uint32_t find_root(struct merger *m, uint32_t e)
{
    while (m->parent[e] != e)
        e = m->parent[e] = m->parent[m->parent[e]];
    return e;
}

static void merge(struct merger *m, uint32_t a, uint32_t b)
{
    a = find_root(m, a);
    b = find_root(m, b);
    if (a == b || (m->member[a] && m->member[b] && m->member[a] != m->member[b]))
        return;
    uint32_t root = a < b ? a : b, other = a < b ? b : a;
    m->parent[other] = root;
    m->member[root] = m->member[root] ? m->member[root] : m->member[other];
}

static bool same(struct merger *m, uint32_t a, uint32_t b)
{
    return find_root(m, a) == find_root(m, b);
}

static void offer(struct merger *m, struct best *b, uint32_t e)
{
    uint32_t count = m->an->entities[e].count;
    if (b->entity != AN_NONE && same(m, b->entity, e)) {
        b->count += count;
    } else if (b->entity == AN_NONE || count > b->count) {
        b->second = b->entity == AN_NONE ? 0 : b->count;
        b->entity = e;
        b->count = count;
    } else if (count > b->second) {
        b->second = count;
    }
}

/* Without a rival that matters. */
static uint32_t clear(const struct best *b)
{
    return b->entity != AN_NONE && b->second * 4 <= b->count ? b->entity : AN_NONE;
}

static enum title_group group_of(const struct an *an, uint32_t title)
{
    if (title == AN_NONE)
        return NO_TITLE;
    const struct an_term *t = &an->terms[title];
    if (t->classes & AN_C(MALE))
        return TITLE_MR;
    if (t->classes & AN_C(FEMALE))
        return t->classes & AN_C(ADULT) ? TITLE_MRS : TITLE_MISS;
    return TITLE_OTHER;
}

static uint32_t last_term(const struct an_entity *e)
{
    return e->term[e->n - 1];
}

/* 'm', 'f' or 0 by a first name. */
static char name_gender(const struct an *an, uint32_t term)
{
    uint64_t c = an->terms[term].classes & (AN_C(MALENAME) | AN_C(FEMALENAME));
    return c == AN_C(MALENAME) ? 'm' : c == AN_C(FEMALENAME) ? 'f' : 0;
}

/* A description that was said to be one name, and no other. */
static void merge_links(struct merger *m)
{
    struct an *an = m->an;
    uint32_t *name = st_new_n(an->arena, uint32_t, an->n_entities + 1); /* 1 + entity; AN_NONE: several */
    for (uint32_t i = 0; i < an->n_links; i++) {
        const struct an_link *l = &an->links[i];
        if (!l->same)
            continue;
        uint32_t *known = &name[l->description];
        *known = *known == 0 || (*known != AN_NONE && same(m, *known - 1, l->name)) ? l->name + 1 : AN_NONE;
    }
    for (uint32_t i = 0; i < an->n_entities; i++)
        if (name[i] != 0 && name[i] != AN_NONE)
            merge(m, i, name[i] - 1);
}

/* ---- Votes ---- */

static void vote_class(struct an_votes *v, uint64_t classes, int weight)
{
    v->male += classes & AN_C(MALE) ? weight : 0;
    v->female += classes & AN_C(FEMALE) ? weight : 0;
    v->child += classes & AN_C(CHILD) ? weight : 0;
    v->adult += classes & AN_C(ADULT) ? weight : 0;
    v->old += classes & AN_C(OLD) ? weight : 0;
}

/* Unknown names: Elara is rather a woman, Pinocchio a man. The weakest of votes. */
static void vote_ending(const struct an *an, const struct an_term *t, struct an_votes *v)
{
    bool romance = st_streq(an->language, "it") || st_streq(an->language, "es") || st_streq(an->language, "pt");
    v->female += st_ends(t->text, "a") || st_ends(t->text, "а") || st_ends(t->text, "я");
    v->male += romance && st_ends(t->text, "o");
}

/* What the words of a name or description say by themselves; that outweighs the pronouns around it. */
static void vote_words(const struct an *an, struct an_entity *e)
{
    const uint64_t ages = AN_C(OLD) | AN_C(CHILD);
    int weight = 6 + 2 * (int)e->count;
    if (e->title != AN_NONE)
        vote_class(&e->votes, an->terms[e->title].classes, weight);
    if (e->description) {
        for (int i = 0; i + 1 < e->n; i++)
            vote_class(&e->votes, an->terms[e->term[i]].classes & ages, 3);
        vote_class(&e->votes, an->terms[last_term(e)].classes, weight);
        return;
    }
    char gender = e->title == AN_NONE || e->n > 1 ? name_gender(an, e->term[0]) : 0;
    e->votes.male += gender == 'm' ? 4 + (int)e->count / 2 : 0;
    e->votes.female += gender == 'f' ? 4 + (int)e->count / 2 : 0;
    if (!gender && e->title == AN_NONE)
        vote_ending(an, &an->terms[e->term[0]], &e->votes);
    for (int i = 0; i < e->n; i++)
        vote_class(&e->votes, an->terms[e->term[i]].classes & ages, 2);
}

/* "Mira, a girl of nine", "Tom was an old man". */
static void vote_apposition(const struct an *an, uint32_t end, const struct an_span *span, struct an_votes *v)
{
    enum { WORDS = 5 };
    uint32_t at = end;
    bool apposed = an->words[end - 1].after & AN_COMMA;
    if (at < span->w1 && !apposed && an_is(an, an->words[at].term, AN_C(AUX)))
        at++;
    if (at >= span->w1 || !(apposed || at > end) || !an_is(an, an->words[at].term, AN_C(DET)))
        return;
    for (uint32_t i = at + 1; i < span->w1 && i <= at + WORDS && !an->words[i].upper; i++) {
        vote_class(v, an->terms[an->words[i].term].classes, 3);
        if (an->words[i].after & AN_BREAK || an_is(an, an->words[i].term, AN_C(PERSON) | AN_C(PREP)))
            break;
    }
}

/* He and she, his and her, up to the next name or the second sentence's end. */
static void vote_pronouns(const struct an *an, uint32_t end, uint32_t entity, const struct an_span *span,
                          struct an_votes *v)
{
    enum { LOOK = 28 };
    int stops = 0;
    for (uint32_t i = end; i < an->n_words && i < end + LOOK && stops < 2; i++) {
        const struct an_word *word = &an->words[i];
        const struct an_span *here = &an->spans[word->span];
        if (here->quoted)
            continue;
        if (here->para != span->para || (word->mention >= 0 && an->mentions[word->mention].entity != entity))
            return;
        uint64_t c = an->terms[word->term].classes;
        if (c & (AN_C(HE) | AN_C(SHE))) {
            v->male += c & AN_C(HE) ? 2 : 0;
            v->female += c & AN_C(SHE) ? 2 : 0;
            return;
        }
        v->male += c & AN_C(HIM) && c & AN_C(POSS) ? 1 : 0;
        v->female += c & AN_C(HER) && c & AN_C(POSS) ? 1 : 0;
        stops += word->after & AN_STOP ? 1 : 0;
    }
}

static void vote(struct an *an)
{
    for (uint32_t i = 0; i < an->n_entities; i++)
        vote_words(an, &an->entities[i]);
    for (uint32_t i = 0; i < an->n_links; i++) {
        const struct an_entity *d = &an->entities[an->links[i].description];
        for (int k = 0; k < d->n; k++)
            vote_class(&an->entities[an->links[i].name].votes, an->terms[d->term[k]].classes, 6);
    }
    for (uint32_t i = 0; i < an->n_mentions; i++) {
        const struct an_mention *m = &an->mentions[i];
        const struct an_span *span = &an->spans[an->words[m->word].span];
        struct an_entity *e = &an->entities[m->entity];
        uint32_t end = m->word + m->n;
        for (uint32_t w = m->word; w < end && an->words[w].term != e->term[0]; w++)
            vote_class(&e->votes, an->terms[an->words[w].term].classes & (AN_C(OLD) | AN_C(CHILD)), 2);
        vote_apposition(an, end, span, &e->votes);
        if (!span->quoted && !m->object)
            vote_pronouns(an, end, m->entity, span, &e->votes);
    }
}

char an_gender(const struct an_votes *v)
{
    if (v->male > 2 * v->female)
        return 'm';
    return v->female > 2 * v->male ? 'f' : 0;
}

/* Uncle Tom, Sir Walter, Miss Lucy; but Colonel Fitzwilliam, Mr George is a surname. */
static bool takes_first_name(const struct an *an, uint32_t title)
{
    const struct an_term *t = &an->terms[title];
    enum title_group group = group_of(an, title);
    return (t->classes & AN_C(PERSON) && group != TITLE_OTHER) || group == TITLE_MISS || st_streq(t->text, "sir") ||
           st_streq(t->text, "lady") || st_streq(t->text, "lord") || st_streq(t->text, "don") ||
           st_streq(t->text, "cousin") || st_streq(t->text, "doña") || st_streq(t->text, "saint");
}

/* Mrs. Julius Beaufort is not he: titles or a first name tell them apart. */
static bool are_couple(const struct an *an, const struct an_entity *a, const struct an_entity *b)
{
    enum title_group of_a = group_of(an, a->title), of_b = group_of(an, b->title);
    bool wife_a = of_a == TITLE_MRS || of_a == TITLE_MISS, wife_b = of_b == TITLE_MRS || of_b == TITLE_MISS;
    char gender = name_gender(an, a->term[0]);
    return wife_a != wife_b && (of_a == TITLE_MR || of_b == TITLE_MR || gender == 'm');
}

/*
 * Words that only once stood side by side as if they were a name (she told Brenda John was ill, Harvest Thanksgiving.
 * Tony ...) while they are names alone: rare, and the last of them a first name, or the first none.
 */
static bool is_chance(const struct merger *m, const struct an_entity *e)
{
    enum { RARE = 2, OFTEN = 20 };
    const struct an *an = m->an;
    if (e->n < 2 || e->count > RARE)
        return false;
    const struct index *end = &m->of[last_term(e)];
    uint32_t first = m->of[e->term[0]].alone;
    uint32_t firsts = first == AN_NONE ? 0 : an->entities[first].count;
    uint32_t lasts = end->alone == AN_NONE ? 0 : an->entities[end->alone].count;
    if (name_gender(an, last_term(e)) && lasts >= OFTEN)
        return true;
    bool surname = lasts > RARE;
    for (int g = TITLE_MR; g < N_TITLE_GROUPS; g++)
        surname = surname || end->titled[g] != AN_NONE;
    return !name_gender(an, e->term[0]) && firsts >= OFTEN && !surname;
}

/* Full names: those with the same first and last word are one person. */
static void index_names(struct merger *m)
{
    struct an *an = m->an;
    for (uint32_t i = 0; i < an->n_entities; i++) {
        const struct an_entity *e = &an->entities[i];
        if (!e->description && e->n == 1 && e->title == AN_NONE)
            m->of[e->term[0]].alone = i;
    }
    for (uint32_t i = 0; i < an->n_entities; i++) {
        struct an_entity *e = &an->entities[i];
        if (e->description) {
            m->next_head[i] = m->of[last_term(e)].chain;
            m->of[last_term(e)].chain = i;
            continue;
        }
        if (e->n == 1 || is_chance(m, e))
            continue;
        struct index *first = &m->of[e->term[0]], *last = &m->of[last_term(e)];
        uint32_t full = first->first.entity;
        if (full != AN_NONE && last_term(&an->entities[full]) == last_term(e)) {
            if (are_couple(an, &an->entities[full], e))
                continue;
            merge(m, full, i);
        }
        uint32_t alone = first->alone;
        char gender = name_gender(an, e->term[0]);
        gender = gender ? gender : an_gender(alone != AN_NONE ? &an->entities[alone].votes : &e->votes);
        offer(m, &first->first, i);
        if (e->title != AN_NONE && takes_first_name(an, e->title) && group_of(an, e->title) != TITLE_MISS)
            continue; /* Sir Walter Elliot is not Mr Elliot */
        offer(m, &last->last, i);
        if (gender != 'f')
            offer(m, &last->last_male, i);
        if (gender != 'm')
            offer(m, &last->last_female, i);
    }
}

static void index_titled(struct merger *m)
{
    struct an *an = m->an;
    for (uint32_t i = 0; i < an->n_entities; i++) {
        struct an_entity *e = &an->entities[i];
        enum title_group group = group_of(an, e->title);
        if (e->description || group == NO_TITLE || e->n > 1)
            continue;
        struct index *x = &m->of[e->term[0]];
        if (x->titled[group] != AN_NONE)
            merge(m, x->titled[group], i);
        else
            x->titled[group] = i;
    }
}

static bool often_told(const struct merger *m, uint32_t entity)
{
    enum { OFTEN = 4 };
    return entity != AN_NONE && m->an->entities[entity].told >= OFTEN;
}

/* Are both there in the same paragraph, and not only once or by chance? Not so two names of one person. */
static bool meet(struct merger *m, uint32_t a, uint32_t b)
{
    enum { LOOKS_MAX = 64 }; /* each goes through all mentions */
    struct an *an = m->an;
    uint32_t para_a = AN_NONE, para_b = AN_NONE, n_a = 0, n_b = 0, both = 0, last = AN_NONE;
    if (m->looks++ >= LOOKS_MAX)
        return true;
    for (uint32_t i = 0; i < an->n_mentions; i++) {
        uint32_t e = an->mentions[i].entity;
        const struct an_span *span = &an->spans[an->words[an->mentions[i].word].span];
        if ((e != a && e != b) || span->quoted)
            continue;
        n_a += e == a && span->para != para_a;
        n_b += e == b && span->para != para_b;
        para_a = e == a ? span->para : para_a;
        para_b = e == b ? span->para : para_b;
        if (para_a == para_b && last != para_a) {
            both++;
            last = para_a;
        }
    }
    uint32_t fewer = n_a < n_b ? n_a : n_b;
    return both * 12 > fewer;
}

/*
 * Does the story itself, not only its people, often speak of both? Then they are two, as George and old Mr. Emerson;
 * but not when it calls the man by his surname as well: Ralph, Mr. Denham, Denham.
 */
static bool both_told(struct merger *m, const struct an_entity *full, uint32_t titled)
{
    const struct an_entity *e = &m->an->entities[titled];
    uint32_t alone = m->of[e->term[0]].alone;
    static const char noble[] = " countess duchess baroness ";
    char title[32];
    snprintf(title, sizeof(title), " %.28s ", m->an->terms[e->title].text);
    if (strstr(noble, title) ||
        (group_of(m->an, e->title) == TITLE_MR && alone != AN_NONE && m->an->entities[alone].told * 2 >= e->told))
        return false;
    uint32_t first = m->of[full->term[0]].alone;
    bool wife = group_of(m->an, e->title) == TITLE_MRS;
    return often_told(m, first) && often_told(m, titled) && (wife || meet(m, first, titled));
}

/* Mr Darcy, Captain Vane, Aunt Polly. */
static void merge_titled(struct merger *m)
{
    struct an *an = m->an;
    for (uint32_t i = 0; i < an->n_entities; i++) {
        struct an_entity *e = &an->entities[i];
        enum title_group group = group_of(an, e->title);
        if (e->description || group == NO_TITLE || e->n > 1)
            continue;
        struct index *x = &m->of[e->term[0]];
        bool given = name_gender(an, e->term[0]) && takes_first_name(an, e->title);
        uint32_t full = given ? clear(&x->first) : AN_NONE;
        if (full == AN_NONE && !given)
            full = clear(group == TITLE_MR ? &x->last_male : group == TITLE_OTHER ? &x->last : &x->last_female);
        if (full == AN_NONE && !given && x->last.entity == AN_NONE && name_gender(an, e->term[0]))
            full = clear(&x->first); /* Captain Daniel, Mrs. Rachel */
        bool wife = group == TITLE_MRS && (x->titled[TITLE_MISS] != AN_NONE || x->titled[TITLE_MR] != AN_NONE);
        bool apart = full != AN_NONE && group != TITLE_MISS && both_told(m, &an->entities[full], i);
        if (full != AN_NONE && !apart && !wife)
            merge(m, full, i);
        else if (group == TITLE_OTHER && x->titled[TITLE_MR] != AN_NONE && x->titled[TITLE_MRS] == AN_NONE &&
                 x->titled[TITLE_MISS] == AN_NONE)
            merge(m, x->titled[TITLE_MR], i); /* Dr. Kemp, Mr. Kemp */
    }
}

/* The single titled person called so, AN_NONE when there are none or several. */
static uint32_t only_titled(struct merger *m, const struct index *x)
{
    uint32_t found = AN_NONE;
    for (int g = TITLE_MR; g < N_TITLE_GROUPS; g++) {
        if (x->titled[g] == AN_NONE)
            continue;
        if (found != AN_NONE && !same(m, found, x->titled[g]))
            return AN_NONE;
        found = x->titled[g];
    }
    return found;
}

static void merge_alone(struct merger *m)
{
    struct an *an = m->an;
    for (uint32_t i = 0; i < an->n_entities; i++) {
        struct an_entity *e = &an->entities[i];
        if (e->description || e->n > 1 || e->title != AN_NONE)
            continue;
        struct index *x = &m->of[e->term[0]];
        uint32_t full = clear(&x->first);
        uint32_t titled = only_titled(m, x);
        bool many_titled = titled == AN_NONE && (x->titled[TITLE_MR] != AN_NONE || x->titled[TITLE_MRS] != AN_NONE ||
                                                 x->titled[TITLE_MISS] != AN_NONE);
        if (full == AN_NONE && !many_titled)
            full = clear(&x->last);
        if (full == AN_NONE)
            full = titled;
        if (full == AN_NONE && many_titled && x->titled[TITLE_MR] != AN_NONE)
            full = x->titled[TITLE_MR]; /* "Bennet" alone is rather the man */
        if (full != AN_NONE)
            merge(m, full, i);
    }
}

static uint32_t given_name(const struct index *x)
{
    uint32_t full = clear(&x->first);
    return full != AN_NONE ? full : x->alone;
}

/* Dad is the father: of both there is but one in most stories. */
static void merge_kin(struct merger *m, uint32_t a, uint32_t b)
{
    uint32_t found[2] = {AN_NONE, AN_NONE}, terms[2] = {a, b};
    for (int i = 0; i < 2; i++)
        for (uint32_t o = m->of[terms[i]].chain; o != AN_NONE; o = m->next_head[o])
            if (m->an->entities[o].n == 1)
                found[i] = o;
    if (found[0] != AN_NONE && found[1] != AN_NONE)
        merge(m, found[0], found[1]);
}

static void merge_nicknames(struct merger *m)
{
    struct an *an = m->an;
    for (const char *s = an_nicknames; *s;) {
        size_t k = strcspn(s, "="), n = strcspn(s + k + 1, " ");
        uint32_t nick = an_find(an, s, k), formal = an_find(an, s + k + 1, n);
        s += k + 1 + n;
        s += *s == ' ';
        if (nick == AN_NONE || formal == AN_NONE)
            continue;
        if (an->terms[formal].classes & AN_C(PERSON)) {
            merge_kin(m, nick, formal);
            continue;
        }
        uint32_t a = given_name(&m->of[nick]), b = given_name(&m->of[formal]);
        if (a == AN_NONE || b == AN_NONE)
            continue;
        const struct an_entity *ea = &an->entities[a], *eb = &an->entities[b];
        if (eb->title != AN_NONE && takes_first_name(an, eb->title))
            continue; /* Sir Thomas is not Tom */
        if (ea->n > 1 && eb->n > 1 && last_term(ea) != last_term(eb))
            continue;
        merge(m, a, b);
    }
}

/* Are a's words all among b's, and b has more? */
static bool is_part(const struct an_entity *a, const struct an_entity *b)
{
    if (a->n >= b->n)
        return false;
    for (int i = 0, j = 0; i < a->n; i++, j++) {
        while (j < b->n && b->term[j] != a->term[i])
            j++;
        if (j == b->n)
            return false;
    }
    return true;
}

/* When names are merged: a person counts under all of them. */
static void index_ranks(struct merger *m)
{
    for (uint32_t i = 0; i < m->an->n_entities; i++) {
        const struct an_entity *e = &m->an->entities[i];
        if (!e->description && e->title != AN_NONE)
            offer(m, &m->of[e->title].title, i);
    }
}

/* "the woman" is the old woman if she is the only one; "the rabbit" is the White Rabbit. */
static void merge_descriptions(struct merger *m)
{
    enum { CHAIN_MAX = 24, RARER = 8 };
    struct an *an = m->an;
    for (uint32_t i = 0; i < an->n_entities; i++) {
        struct an_entity *e = &an->entities[i];
        if (!e->description)
            continue;
        struct index *x = &m->of[last_term(e)];
        struct best fuller = {.entity = AN_NONE};
        int seen = 0;
        for (uint32_t o = x->chain; o != AN_NONE && seen < CHAIN_MAX; o = m->next_head[o], seen++)
            if (is_part(e, &an->entities[o]) && an->entities[o].count * RARER >= e->count)
                offer(m, &fuller, o);
        uint32_t target = seen < CHAIN_MAX && (fuller.second * 2 <= fuller.count) ? fuller.entity : AN_NONE;
        if (target != AN_NONE)
            merge(m, target, i);
        bool many = !an->words[e->word].upper &&
                    an_is(an, last_term(e), AN_C(VAGUE) | AN_C(KIN)); /* every story has several fathers and girls */
        if (many && target != AN_NONE && !an->entities[target].description)
            target = AN_NONE;
        if (e->n == 1 && !many)
            target = clear(&x->title); /* the captain is Captain Vane */
        if (e->n == 1 && !many && target == AN_NONE)
            target = x->alone != AN_NONE ? x->alone : only_titled(m, x); /* Fox, Mr. Fox; the fox */
        if (e->n == 1 && !many && target == AN_NONE && x->last.entity != AN_NONE && !name_gender(an, last_term(e)) &&
            an->entities[x->last.entity].count * RARER >= e->count)
            target = clear(&x->last); /* Peter Rabbit, the rabbit */
        if (target != AN_NONE)
            merge(m, target, i);
    }
    for (uint32_t i = 0; i < an->n_entities; i++) { /* Invisible Man, "the Invisible Man" */
        struct an_entity twin = an->entities[i];
        twin.description = true;
        twin.title = AN_NONE;
        uint32_t o = an->entities[i].description || twin.n < 2 ? AN_NONE : an_entity(an, &twin, false);
        if (o != AN_NONE)
            merge(m, i, o);
    }
}

static void merge_cast(struct merger *m)
{
    uint32_t *first = st_new_n(m->an->arena, uint32_t, (size_t)m->an->hints->n_cast + 1); /* 1 + entity */
    for (uint32_t i = 0; i < m->an->n_entities; i++) {
        uint32_t *known = &first[m->member[i]];
        if (m->member[i] && *known)
            merge(m, *known - 1, i);
        else
            *known = i + 1;
    }
}

/* ---- Persons ---- */

/* Names before descriptions, full ones before short ones; Dad before "the father". */
static int rank(const struct an *an, const struct an_entity *e)
{
    if (e->description)
        return an->words[e->word].upper && e->word > 0 &&
               !an_is(an, an->words[e->word - 1].term, AN_C(DET) | AN_C(POSS));
    bool titled = e->title != AN_NONE && !(e->n == 1 && takes_first_name(an, e->title) && name_gender(an, e->term[0]));
    return e->n > 1 ? 4 : titled ? 3 : 2;
}

void an_add_votes(struct an_votes *to, const struct an_votes *v)
{
    to->male += v->male;
    to->female += v->female;
    to->child += v->child;
    to->adult += v->adult;
    to->old += v->old;
}

static void make_cast(struct an *an)
{
    enum { KNOWN = 1 << 20 }; /* more than a text has votes */
    for (int i = 0; i < an->hints->n_cast; i++) {
        char gender = an->hints->cast[i].gender;
        bool named = an_cast_is_named(an, i);
        AN_PUSH(an, persons) = (struct an_person){.entity = AN_NONE,
                                                  .character = -1,
                                                  .first = UINT32_MAX,
                                                  .heard = true,
                                                  .named = named,
                                                  .proper = named,
                                                  .sure = true,
                                                  .votes.male = gender == 'm' ? KNOWN : 0,
                                                  .votes.female = gender == 'f' ? KNOWN : 0};
    }
}

static void make_persons(struct merger *m)
{
    enum { FULLER = 4 }; /* "the old woman" names her if it is a quarter as frequent as "the woman" */
    struct an *an = m->an;
    make_cast(an);
    for (uint32_t i = 0; i < an->n_entities; i++) {
        uint32_t top = find_root(m, i);
        struct an_entity *e = &an->entities[i], *root = &an->entities[top];
        if (root->person < 0 && m->member[top]) {
            root->person = m->member[top] - 1;
        } else if (root->person < 0) {
            root->person = (int)an->n_persons;
            AN_PUSH(an, persons) = (struct an_person){.entity = i, .character = -1, .first = UINT32_MAX};
        }
        e->person = root->person;
        struct an_person *p = &an->persons[e->person];
        p->entity = p->entity == AN_NONE ? i : p->entity;
        const struct an_entity *shown = &an->entities[p->entity];
        int better = rank(an, e) - rank(an, shown);
        uint32_t weight = e->count * (e->n > 1 ? FULLER : 1), other = shown->count * (shown->n > 1 ? FULLER : 1);
        if (better > 0 || (better == 0 && weight > other))
            p->entity = i;
        p->mentions += e->count;
        p->subject += e->subject;
        bool place = !e->description && e->title == AN_NONE && an_is(an, last_term(e), AN_C(PLACE));
        p->place += place && !name_gender(an, e->term[0]) ? e->count : e->place; /* New York */
        p->heard = p->heard || e->quotable;
        p->quoted += e->quotable;
        bool capital = an->words[e->word].upper && !st_streq(an->language, "de"); /* the Grandmother */
        p->proper = p->proper || !e->description;
        p->named = p->named || !e->description || capital;
        p->sure = p->sure || (e->title != AN_NONE && !st_streq(an->terms[e->title].text, "st")) ||
                  (!e->description && an_is(an, e->term[0], AN_C(MALENAME) | AN_C(FEMALENAME)));
        an_add_votes(&p->votes, &e->votes);
    }
}

void an_cluster(struct an *an)
{
    struct merger m = {.an = an,
                       .of = st_new_n(an->arena, struct index, an->n_terms),
                       .parent = st_new_n(an->arena, uint32_t, an->n_entities + 1),
                       .member = an_find_cast(an),
                       .next_head = st_new_n(an->arena, uint32_t, an->n_entities + 1)};
    for (uint32_t t = 0; t < an->n_terms; t++) {
        struct best none = {.entity = AN_NONE};
        m.of[t] = (struct index){none,    none, none,   none, {AN_NONE, AN_NONE, AN_NONE, AN_NONE, AN_NONE},
                                 AN_NONE, none, AN_NONE};
    }
    for (uint32_t i = 0; i < an->n_entities; i++)
        m.parent[i] = i;
    vote(an);
    merge_cast(&m);
    index_titled(&m);
    index_names(&m);
    merge_titled(&m);
    merge_alone(&m);
    merge_nicknames(&m);
    index_ranks(&m);
    merge_descriptions(&m);
    merge_links(&m);
    make_persons(&m);
    for (uint32_t i = an->n_mentions; i-- > 0;)
        an->persons[an->entities[an->mentions[i].entity].person].first = an->mentions[i].word;
    an->narrator = an_cast_narrator(an);
}
