/* Finds names (Mr. Darcy, old Tom) and descriptions of beings (the old woman), and where they are mentioned. */
#include "story/analyse_int.h"

static const struct an_term *term_of(const struct an *an, uint32_t w)
{
    return &an->terms[an->words[w].term];
}

static uint64_t word_is(const struct an *an, uint32_t w, uint64_t classes)
{
    return term_of(an, w)->classes & classes;
}

static bool ends_with(const struct an_term *t, const char *tail)
{
    size_t n = strlen(tail);
    return t->len > n + 1 && memcmp(t->text + t->len - n, tail, n) == 0;
}

static bool in_language(const struct an *an, const char *language)
{
    return st_streq(an->language, language);
}

bool an_is_adverb(const struct an *an, uint32_t w)
{
    const struct an_term *t = term_of(an, w);
    return ends_with(t, "ly") && !(t->classes & (AN_C(ADJ) | AN_C(FEMALENAME) | AN_C(PERSON))) && in_language(an, "en");
}

/* Lucie s'arrêta, Juan le dijo: pronouns between subject and verb. */
static bool is_clitic(const struct an *an, uint32_t w)
{
    static const char clitics[] = " s' n' m' t' l' se ne me te lui leur y en le la les no lo os nos si mi ti ci ";
    char padded[12];
    if (in_language(an, "en") || in_language(an, "de") || term_of(an, w)->len > 4)
        return false;
    snprintf(padded, sizeof(padded), " %s ", term_of(an, w)->text);
    return strstr(clitics, padded) != NULL;
}

/* Is the word at w (adverbs and auxiliaries skipped) a verb, as far as one can tell? */
bool an_verb_follows(const struct an *an, uint32_t w, uint32_t limit)
{
    for (int skipped = 0; w < limit && skipped < 3; w++, skipped++) {
        const struct an_word *word = &an->words[w];
        if (word->upper)
            return false;
        if (word_is(an, w, AN_C(SPEECH) | AN_C(THINK) | AN_C(VERB) | AN_C(AUX)))
            return true;
        if (in_language(an, "en") && ends_with(term_of(an, w), "ed"))
            return true;
        if (!an_is_adverb(an, w) && !is_clitic(an, w))
            break;
    }
    return w < limit && !in_language(an, "en") && !an->words[w].upper &&
           !word_is(an, w, AN_C(PREP) | AN_C(DET) | AN_C(STOP));
}

/* ---- Names ---- */

/* Müller, Wolf: beings whose words are surnames, too; those of kin, ages and ranks are not. */
static bool may_be_surname(const struct an_term *t)
{
    return t->classes & AN_C(PERSON) &&
           !(t->classes & (AN_C(KIN) | AN_C(VAGUE) | AN_C(CHILD) | AN_C(OLD) | AN_C(TITLE)));
}

/*
 * German writes all nouns with a capital: a name is one that stands without article beside a verb or behind a first
 * name or a title, or a first name.
 */
static bool is_german_name(const struct an *an, uint32_t w)
{
    const struct an_term *t = term_of(an, w);
    if (t->classes & (AN_C(MALENAME) | AN_C(FEMALENAME) | AN_C(TITLE)))
        return true;
    if (t->classes & (AN_C(PERSON) | AN_C(MALE) | AN_C(FEMALE)) && !may_be_surname(t))
        return false;
    bool behind = w > 0 && word_is(an, w - 1, AN_C(SPEECH) | AN_C(THINK)) && !(an->words[w - 1].after & AN_BREAK);
    bool before = w + 1 < an->n_words && word_is(an, w + 1, AN_C(SPEECH) | AN_C(THINK)) &&
                  !(an->words[w].after & AN_BREAK) && an->words[w].first;
    uint64_t leads = AN_C(TITLE) | (may_be_surname(t) ? AN_C(MALENAME) | AN_C(FEMALENAME) : 0);
    bool led = w > 0 && word_is(an, w - 1, leads) && an->words[w - 1].upper && !(an->words[w - 1].after & AN_BREAK);
    return behind || before || led || t->n_name > 0;
}

static bool beside_say(const struct an *an, uint32_t w)
{
    return (w > 0 && word_is(an, w - 1, AN_C(SPEECH)) && !(an->words[w - 1].after & AN_BREAK)) ||
           (w + 1 < an->n_words && word_is(an, w + 1, AN_C(SPEECH)) && !(an->words[w].after & AN_BREAK));
}

/* May the capitalised word at w be (the beginning of) a name here? */
static bool is_name_word(const struct an *an, uint32_t w)
{
    const struct an_word *word = &an->words[w];
    const struct an_term *t = term_of(an, w);
    bool listed = t->classes & (AN_C(MALENAME) | AN_C(FEMALENAME));
    if (!word->upper || t->len < 2 || (t->text[0] >= '0' && t->text[0] <= '9'))
        return false;
    listed = listed || (t->classes & AN_C(AUX) && t->n_mid >= 5); /* May */
    if (t->classes & (AN_C(STOP) | AN_C(ME)) &&                   /* Will said; Will put down; but: Will you? */
        !(listed && (!word->first || (t->n_mid > 0 && an_verb_follows(an, w + 1, an->n_words)))))
        return false;
    if (t->n_name)
        return true;
    if (word->caps && t->n_mid + t->n_start == 0)
        return false;
    if (t->classes & AN_C(NOTNAME)) /* Hall, June: names beside a verb of speech or where a title proved it */
        return beside_say(an, w) || (listed && w + 1 < an->n_words && word_is(an, w + 1, AN_C(AUX) | AN_C(VERB)));
    if (in_language(an, "de"))
        return is_german_name(an, w);
    if (listed && t->n_lower <= 2 * (t->n_mid + 1))
        return !word->first || t->n_mid > 0 || t->n_lower == 0;
    if (!word->first)
        return t->n_lower <= 3 * t->n_mid;
    if (t->n_mid > t->n_lower)
        return true;
    if (t->classes & AN_C(TITLE) && t->classes & AN_C(PERSON)) /* Grandmother put down ...; "Mother, look!" */
        return word->after & (AN_COMMA | AN_MARK) || an_verb_follows(an, w + 1, an->n_words);
    if (t->n_lower > 0 || t->known || an_is_adverb(an, w) || ends_with(t, "ing"))
        return false;
    return !an->lacks_articles && t->n_start > 1 && an_verb_follows(an, w + 1, an->n_words) &&
           !(word->after & AN_BREAK);
}

static bool joins(const struct an *an, uint32_t w, uint32_t limit)
{
    return w + 1 < limit && !(an->words[w].after & AN_BREAK) && an->words[w + 1].span == an->words[w].span &&
           !an->words[w].owner && an->text[an->words[w].end] != '-';
}

/* A later word of a name: capitalised, whatever else it might mean (Wood, March). */
static bool extends_name(const struct an *an, uint32_t w)
{
    const struct an_term *t = term_of(an, w);
    return an->words[w].upper &&
           !(t->classes &
             (AN_C(ME) | AN_C(HE) | AN_C(SHE) | AN_C(DET) | AN_C(POSS) | AN_C(PREP) | AN_C(SUBORD) | AN_C(AUX))) &&
           !(t->classes & AN_C(STOP) && !(t->classes & (AN_C(MALENAME) | AN_C(FEMALENAME))));
}

/* "Joan of Arc", "William the Conqueror", but not "Tom of London", "gave Tom the White Ship". */
static bool links(const struct an *an, uint32_t link, uint32_t limit, const struct an_entity *e)
{
    uint32_t next = link + 1;
    const char *text = term_of(an, link)->text;
    if (st_streq(text, "of") && e->title == AN_NONE && !word_is(an, link - 1, AN_C(TITLE)) &&
        (word_is(an, next, AN_C(TITLE) | AN_C(MALENAME) | AN_C(FEMALENAME)) || !an->words[link - 1].first))
        return false; /* asked Grimwig of Mr. Brownlow */
    if (word_is(an, next, AN_C(PLACE)))
        return e->title != AN_NONE || word_is(an, link - 1, AN_C(TITLE));
    if (!st_streq(term_of(an, link)->text, "the"))
        return true;
    bool goes_on = joins(an, next, limit) && an->words[next + 1].upper;
    return !goes_on && e->n == 1 && !word_is(an, next, AN_C(NOTNAME));
}

/* How many words at w, de or van der, lead to a surname. */
static uint32_t particles(const struct an *an, uint32_t w, uint32_t limit)
{
    uint32_t n = 0;
    while (n < 2 && !an->words[w + n].upper && word_is(an, w + n, AN_C(LINK)) && joins(an, w + n, limit) &&
           !st_streq(term_of(an, w + n)->text, "of") && !(word_is(an, w + n, AN_C(DET)) && in_language(an, "en")))
        n++;
    return n && an->words[w + n].upper ? n : 0;
}

/* Reads the words of a name from w on into entity; gives the word behind it. */
static uint32_t read_name(const struct an *an, uint32_t w, uint32_t limit, struct an_entity *e)
{
    bool german = in_language(an, "de");
    while (e->n < AN_NAME_WORDS) {
        e->term[e->n++] = an->words[w].term;
        if (!joins(an, w, limit))
            return w + 1;
        uint32_t next = w + 1;
        if (word_is(an, next, AN_C(LINK)) && !an->words[next].upper && joins(an, next, limit) &&
            an->words[next + 1].upper && e->n + 1 < AN_NAME_WORDS && !german) {
            if (!links(an, next, limit, e))
                return w + 1;
            e->term[e->n++] = an->words[next].term;
            w = next + 1;
            continue;
        }
        if (particles(an, next, limit) == 2 && e->n + 2 < AN_NAME_WORDS && !german) { /* Henry van der Luyden */
            e->term[e->n++] = an->words[next].term;
            e->term[e->n++] = an->words[next + 1].term;
            w = next + 2;
            continue;
        }
        if (!extends_name(an, next) || (german && !is_german_name(an, next)))
            return w + 1;
        w = next;
    }
    return w + 1;
}

/* ---- Entities ---- */

static uint32_t entity_hash(const struct an_entity *e)
{
    uint32_t h = e->title * 31 + e->description;
    for (int i = 0; i < e->n; i++)
        h = (h ^ e->term[i]) * 2654435761u + (h >> 13);
    return h ^ h >> 16;
}

static void grow_entity_buckets(struct an *an)
{
    an->n_entity_buckets = an->n_entity_buckets ? an->n_entity_buckets * 2 : 1024;
    an->entity_buckets = st_new_n(an->arena, uint32_t, an->n_entity_buckets);
    memset(an->entity_buckets, 0xFF, an->n_entity_buckets * sizeof(uint32_t));
    for (uint32_t i = 0; i < an->n_entities; i++) {
        uint32_t *bucket = &an->entity_buckets[entity_hash(&an->entities[i]) & (an->n_entity_buckets - 1)];
        an->entities[i].next = *bucket;
        *bucket = i;
    }
}

/* An occurrence in small letters, without 's, with the definite article shows better. */
static void show_better(const struct an *an, struct an_entity *o, const struct an_entity *e)
{
    const struct an_word *old = &an->words[o->word], *new = &an->words[e->word];
    bool old_owner = an->words[o->word + o->n_shown - 1].owner, new_owner = an->words[e->word + e->n_shown - 1].owner;
    bool definite = e->description && o->word > 0 && e->word > 0 &&
                    word_is(an, o->word - 1, AN_C(INDEF) | AN_C(POSS)) && word_is(an, e->word - 1, AN_C(DET)) &&
                    !word_is(an, e->word - 1, AN_C(INDEF));
    if (e->n_shown == o->n_shown && !new->caps && (old->caps || (old_owner && !new_owner) || (definite && !new_owner)))
        o->word = e->word;
}

uint32_t an_find_entity(const struct an *an, const struct an_entity *e)
{
    if (an->n_entities == 0)
        return AN_NONE;
    uint32_t i = an->entity_buckets[entity_hash(e) & (an->n_entity_buckets - 1)];
    for (; i != AN_NONE; i = an->entities[i].next) {
        const struct an_entity *o = &an->entities[i];
        if (o->n == e->n && o->title == e->title && o->description == e->description &&
            memcmp(o->term, e->term, e->n * sizeof(e->term[0])) == 0)
            break;
    }
    return i;
}

uint32_t an_entity(struct an *an, struct an_entity *e, bool make)
{
    uint32_t found = an_find_entity(an, e);
    if (found != AN_NONE)
        show_better(an, &an->entities[found], e);
    if (found != AN_NONE || !make)
        return found;
    if (an->n_entities >= an->n_entity_buckets)
        grow_entity_buckets(an);
    uint32_t *bucket = &an->entity_buckets[entity_hash(e) & (an->n_entity_buckets - 1)];
    e->next = *bucket;
    e->person = -1;
    *bucket = an->n_entities;
    AN_PUSH(an, entities) = *e;
    return an->n_entities - 1;
}

static bool is_titled(const struct an *an, uint32_t w, uint32_t limit)
{
    return word_is(an, w, AN_C(TITLE)) && an->words[w].upper && joins(an, w, limit) &&
           (extends_name(an, w + 1) || particles(an, w + 1, limit));
}

/* Queen of Hearts */
static bool is_titled_of(const struct an *an, uint32_t w, uint32_t limit)
{
    return word_is(an, w, AN_C(TITLE)) && an->words[w].upper && joins(an, w, limit) && joins(an, w + 1, limit) &&
           word_is(an, w + 1, AN_C(LINK)) && an->words[w + 2].upper && in_language(an, "en");
}

static uint32_t name_phrase(struct an *an, uint32_t w, uint32_t limit, uint32_t *ret_n)
{
    struct an_entity e = {.title = AN_NONE};
    uint32_t at = w;
    while (at - w < 2 && word_is(an, at, AN_C(MOD)) && joins(an, at, limit) && an->words[at + 1].upper &&
           (!an->words[at].upper || an->words[at].first))
        at++; /* old Tom */
    if (word_is(an, at, AN_C(TITLE)) && !an->words[at].upper && joins(an, at, limit) && is_name_word(an, at + 1))
        at++; /* his brother Edmund */
    e.word = at;
    if (is_titled(an, at, limit)) {
        e.title = an->words[at++].term;
        at += is_titled(an, at, limit); /* Mr. Justice Gray */
        for (uint32_t n = particles(an, at, limit); n > 0; n--)
            e.term[e.n++] = an->words[at++].term; /* Mrs. van der Luyden */
    } else if (!is_titled_of(an, at, limit) && (!is_name_word(an, at) || (at > w && word_is(an, at, AN_C(NOTNAME))))) {
        return AN_NONE;
    }
    uint32_t end = read_name(an, at, limit, &e);
    /* Mother, Grandfather: the same as "her mother" */
    e.description = e.n == 1 && e.title == AN_NONE && word_is(an, at, AN_C(PERSON)) && word_is(an, at, AN_C(TITLE));
    e.n_shown = (uint8_t)(end - e.word);
    *ret_n = end - w;
    return an_entity(an, &e, true);
}

/* ---- Descriptions ---- */

static bool is_romance(const struct an *an)
{
    return in_language(an, "fr") || in_language(an, "es") || in_language(an, "it") || in_language(an, "pt");
}

/* German nouns have capitals; the adjectives of its sisters end in a vowel. */
static bool is_germanic_noun(const struct an *an, uint32_t w)
{
    if (in_language(an, "de"))
        return an->words[w].upper;
    bool adjectives = in_language(an, "nl") || in_language(an, "sv") || in_language(an, "da") || in_language(an, "no");
    return adjectives && !ends_with(term_of(an, w), "e") && !ends_with(term_of(an, w), "a");
}

/* May the word stand inside "the ... fox"? */
static bool fits_description(const struct an *an, uint32_t w)
{
    const struct an_term *t = term_of(an, w);
    if (t->classes & (AN_C(ADJ) | AN_C(PERSON) | AN_C(MOD)))
        return true;
    if (t->classes & (AN_C(STOP) | AN_C(AUX) | AN_C(VERB) | AN_C(SPEECH) | AN_C(THINK)))
        return an->words[w].owner;
    return !an_is_adverb(an, w) && t->len > 1 && !(t->text[0] >= '0' && t->text[0] <= '9');
}

static bool looks_like_verb(const struct an *an, uint32_t w)
{
    const struct an_term *t = term_of(an, w);
    if (t->classes & (AN_C(ADJ) | AN_C(PERSON)) || !in_language(an, "en"))
        return false;
    return ends_with(t, "ed") || ends_with(t, "ing") || t->classes & (AN_C(SPEECH) | AN_C(VERB));
}

/* Does the noun phrase go on from at to the next word? Adjectives may have commas between (a tall, thin boy). */
static bool extends_description(const struct an *an, uint32_t w, uint32_t at, uint32_t limit, bool *commas)
{
    uint32_t next = at + 1;
    if (next >= limit || next - w > AN_NAME_WORDS || an->words[next].span != an->words[w].span)
        return false;
    uint32_t after = at > w ? an->words[at].after & AN_BREAK : 0;
    if (after && (after != AN_COMMA || word_is(an, at, AN_C(PERSON)) || an->words[next].upper))
        return false;
    if (an->words[next].upper && !an->words[at].upper && looks_like_verb(an, at) && at > w + 1)
        return false; /* a clockmaker named Silas; but the horrified Rachel */
    if (!fits_description(an, next))
        return false;
    *commas = *commas || after;
    return true;
}

/* The last word of the noun phrase whose article is at w, or w: none. */
static uint32_t find_head(const struct an *an, uint32_t w, uint32_t limit)
{
    uint32_t at = w, head = w;
    bool commas = false;
    while (extends_description(an, w, at, limit, &commas)) {
        at++;
        bool person = word_is(an, at, AN_C(PERSON) | AN_C(MALE) | AN_C(FEMALE)) && !word_is(an, at, AN_C(MOD));
        if (person && !an->words[at].owner) {
            head = at;
            commas = false;
            if (at + 1 >= limit || !word_is(an, at + 1, AN_C(PERSON)) || an->words[at].after & AN_BREAK)
                return head;
        }
        if ((is_romance(an) && !word_is(an, at, AN_C(MOD))) || is_germanic_noun(an, at))
            return at;
    }
    if (head > w)
        return head;
    if (commas) /* not adjectives, after all: the miller, tired and old */
        for (at = w + 1; !(an->words[at].after & AN_COMMA);)
            at++;
    while (at > w && (looks_like_verb(an, at) || an->words[at].owner))
        at--;
    return at;
}

/* "the wise little Alice" is Alice. */
static uint32_t named_description(struct an *an, uint32_t w, uint32_t head, uint32_t limit, uint32_t *ret_n)
{
    uint32_t n, at = w + 1;
    while (at < head && !an->words[at].upper)
        at++;
    uint32_t entity = name_phrase(an, at, limit, &n);
    *ret_n = entity == AN_NONE ? 0 : at + n - w;
    return entity;
}

/* "a clockmaker named Silas" */
static bool is_called(const struct an *an, uint32_t head, uint32_t limit)
{
    return head + 2 < limit && !(an->words[head].after & AN_BREAK) && an->words[head + 2].upper &&
           (st_streq(term_of(an, head + 1)->text, "named") || st_streq(term_of(an, head + 1)->text, "called"));
}

/* "the horrified Mrs. Lynde", the word behind the adjectives, or w: none. */
static uint32_t praised_title(const struct an *an, uint32_t w, uint32_t limit)
{
    enum { ADJECTIVES = 2 };
    uint32_t at = w + 1;
    while (at + 1 < limit && at - w <= ADJECTIVES && !an->words[at].upper && joins(an, at, limit) &&
           !word_is(an, at, AN_C(PERSON) | AN_C(PREP) | AN_C(AUX) | AN_C(SPEECH)))
        at++;
    return at > w + 1 && is_titled(an, at, limit) ? at : w;
}

static uint32_t description_phrase(struct an *an, uint32_t w, uint32_t limit, bool make, uint32_t *ret_n)
{
    uint32_t titled = praised_title(an, w, limit);
    if (titled > w) {
        uint32_t n, entity = name_phrase(an, titled, limit, &n);
        *ret_n = entity == AN_NONE ? 0 : titled - w + n;
        return entity;
    }
    uint32_t head = find_head(an, w, limit);
    if (head == w)
        return AN_NONE;
    uint64_t kind = term_of(an, head)->classes;
    bool being = kind & AN_C(PERSON);
    bool capital = an->words[head].upper && !in_language(an, "de"); /* the Voice */
    if (kind & AN_C(STOP) || (kind & (AN_C(MUTE) | AN_C(ADJ) | AN_C(MOD)) && !being && !capital))
        return AN_NONE;
    if (kind & AN_C(TITLE) && !being && (capital || an->words[head].after == 0) && kind & (AN_C(MALE) | AN_C(FEMALE)))
        return AN_NONE; /* the Miss Alans */
    if (capital && head > w + 1 && !being && !an->words[w + 1].upper &&
        (kind & (AN_C(MALENAME) | AN_C(FEMALENAME) | AN_C(TITLE)) || term_of(an, head)->n_name))
        return named_description(an, w, head, limit, ret_n);
    struct an_entity e = {.title = AN_NONE, .word = w + 1, .n_shown = (uint8_t)(head - w), .description = true};
    for (uint32_t i = w + 1; i < head; i++)
        if (e.n + 1 < AN_NAME_WORDS && !word_is(an, i, AN_C(MORE)) && !st_streq(term_of(an, i)->text, "poor") &&
            !st_streq(term_of(an, i)->text, "dear"))
            e.term[e.n++] = an->words[i].term;
    e.term[e.n++] = an->words[head].term;
    bool known = kind & (AN_C(PERSON) | AN_C(MALE) | AN_C(FEMALE));
    uint32_t entity = an_entity(an, &e, make || known || is_called(an, head, limit));
    *ret_n = entity == AN_NONE ? 0 : head - w + 1;
    return entity;
}

/* Russian and its like: any noun may be the subject of a verb of speech. */
bool an_lacks_articles(const char *language)
{
    static const char *const languages[] = {"ru", "uk", "pl", "sv", "da", "no"};
    for (size_t i = 0; i < ST_COUNT(languages); i++)
        if (st_streq(language, languages[i]))
            return true;
    return false;
}

static uint32_t bare_noun(struct an *an, uint32_t w, bool make, uint32_t *ret_n)
{
    struct an_term *t = &an->terms[an->words[w].term];
    if (t->classes & (AN_C(STOP) | AN_C(SPEECH) | AN_C(THINK)) || t->len < 4 || !(make || t->n_name))
        return AN_NONE;
    t->n_name++;
    struct an_entity e = {.title = AN_NONE, .word = w, .n = 1, .n_shown = 1, .description = true};
    e.term[0] = an->words[w].term;
    *ret_n = 1;
    return an_entity(an, &e, make);
}

uint32_t an_noun_phrase(struct an *an, uint32_t w, uint32_t limit, bool make, uint32_t *ret_n)
{
    *ret_n = 0;
    if (w >= limit)
        return AN_NONE;
    if (an->lacks_articles && !an->words[w].upper && !word_is(an, w, AN_C(DET) | AN_C(POSS)))
        return bare_noun(an, w, make, ret_n);
    if (word_is(an, w, AN_C(DET) | AN_C(POSS))) {
        if (word_is(an, w, AN_C(FEMALENAME) | AN_C(MALENAME)) && an->words[w].upper && !an->words[w].first)
            return name_phrase(an, w, limit, ret_n);
        if (!joins(an, w, limit))
            return AN_NONE;
        return description_phrase(an, w, limit, make, ret_n);
    }
    return name_phrase(an, w, limit, ret_n);
}

/* "the twins": said together, by no single voice. */
bool an_is_group(const struct an *an, uint32_t entity)
{
    const struct an_entity *e = &an->entities[entity];
    const struct an_term *head = &an->terms[e->term[e->n - 1]];
    if (!e->description || !in_language(an, "en") || !ends_with(head, "s") || head->classes & AN_C(PERSON))
        return false;
    return an_is(an, an_find(an, head->text, head->len - 1), AN_C(PERSON) | AN_C(MALE) | AN_C(FEMALE)) != 0;
}

/* ---- Mentions ---- */

/* Notes how the phrase of n words at w stands in its clause. */
static void add_mention(struct an *an, uint32_t w, uint32_t entity, uint32_t n)
{
    struct an_entity *e = &an->entities[entity];
    struct an_mention *m = &AN_PUSH(an, mentions);
    bool linked = w > 0 && an->words[w - 1].span == an->words[w].span && !(an->words[w - 1].after & AN_BREAK);
    *m = (struct an_mention){.word = w, .entity = entity, .n = (uint8_t)n, .means = -1, .titled = -1};
    bool complement = linked && word_is(an, w - 1, AN_C(AUX)) && word_is(an, w, AN_C(INDEF)); /* he was a big man */
    m->object = linked && (word_is(an, w - 1, AN_C(PREP)) || complement);
    const struct an_word *last = &an->words[w + n - 1];
    bool who = last->after & AN_COMMA && w + n < an->n_words && st_streq(term_of(an, w + n)->text, "who");
    bool verb = !(last->after & AN_BREAK) && an_verb_follows(an, w + n, an->n_words);
    m->subject = !m->object && !last->owner && (who || verb);
    an->words[w].mention = (int32_t)(an->n_mentions - 1);
    e->count++;
    e->told += !an->spans[an->words[w].span].quoted;
    e->subject += m->subject || an->words[w + n - 1].owner;
    e->place += linked && word_is(an, w - 1, AN_C(WHERE));
}

/* "a clockmaker named Silas", "Jasper, the apprentice,", "his granddaughter Clara": both are one being. */
static void link_last(struct an *an, uint32_t before)
{
    const struct an_mention *a = before < an->n_mentions ? &an->mentions[before] : NULL;
    const struct an_mention *b = &an->mentions[an->n_mentions - 1];
    uint32_t span = an->words[b->word].span;
    if (!a || an->words[a->word].span != span || an->spans[span].quoted)
        return;
    const struct an_entity *first = &an->entities[a->entity], *second = &an->entities[b->entity];
    uint32_t end = a->word + a->n, last = b->word + b->n - 1;
    if (first->description == second->description || an->words[end - 1].owner || an->words[last].owner)
        return;
    bool called = first->description && is_called(an, end - 1, an->n_words) && b->word == end + 1;
    bool apposed = second->description && b->word == end && an->words[end - 1].after & AN_COMMA &&
                   an->words[last].after & (AN_COMMA | AN_STOP) && word_is(an, b->word, AN_C(DET));
    bool told = a->word > 0 && word_is(an, a->word - 1, AN_C(SPEECH)); /* told his mother Tom was ill */
    bool joined = first->description && b->word == end && !(an->words[end - 1].after & AN_BREAK) && !told &&
                  word_is(an, a->word, AN_C(DET) | AN_C(POSS)); /* his granddaughter Clara */
    if (called || apposed || joined)
        AN_PUSH(an, links) = (struct an_link){first->description ? a->entity : b->entity,
                                              first->description ? b->entity : a->entity, !joined};
}

static void find_mentions(struct an *an)
{
    for (uint32_t w = 0; w < an->n_words;) {
        const struct an_word *word = &an->words[w];
        const struct an_span *span = &an->spans[word->span];
        bool starts = word->upper || word_is(an, w, AN_C(DET) | AN_C(POSS) | AN_C(TITLE) | AN_C(MOD)) ||
                      (an->lacks_articles && term_of(an, w)->n_name);
        uint32_t n = 0, entity = AN_NONE;
        if (starts && !an->paras[span->para].heading)
            entity = an_noun_phrase(an, w, span->w1, false, &n);
        if (entity != AN_NONE) {
            add_mention(an, w, entity, n);
            link_last(an, an->n_mentions - 2);
        }
        w += n ? n : 1;
    }
}

/* German: words that stood once as a name are names wherever they have no article. */
static void count_german_names(struct an *an)
{
    for (uint32_t w = 0; w < an->n_words; w++) {
        bool article = w > 0 && word_is(an, w - 1, AN_C(DET) | AN_C(POSS) | AN_C(PREP) | AN_C(MOD));
        bool listed = term_of(an, w)->known && !may_be_surname(term_of(an, w));
        if (an->words[w].upper && !article && !listed && is_german_name(an, w))
            an->terms[an->words[w].term].n_name++;
    }
}

/* In some languages the verb tells the speaker's gender, too. */
static void hear(struct an *an, const struct an_said *said)
{
    struct an_entity *e = &an->entities[said->entity];
    e->quotable++;
    e->votes.male += word_is(an, said->verb_word, AN_C(MALE)) ? 4 : 0;
    e->votes.female += word_is(an, said->verb_word, AN_C(FEMALE)) ? 4 : 0;
}

void an_find_names(struct an *an)
{
    if (in_language(an, "de"))
        count_german_names(an);
    an->discovering = true;
    for (uint32_t s = 0; s < an->n_spans; s++) {
        if (!an->spans[s].quoted && !an->spans[s].emphasis)
            continue;
        struct an_said said[2] = {an_clause_after(an, s), an_clause_before(an, s)};
        for (int i = 0; i < 2; i++)
            if (said[i].who == AN_WHO_ENTITY && said[i].verb)
                hear(an, &said[i]);
    }
    an->discovering = false;
    find_mentions(an);
}
