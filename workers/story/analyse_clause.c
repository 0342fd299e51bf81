/* Reads the clause behind or before a quote ("said the old woman", "Mira turned round.") for who is speaking. */
#include "story/analyse_int.h"

enum {
    CLAUSE_WORDS = 18,   /* of the clause behind a quote that are looked at */
    SENTENCE_WORDS = 60, /* of the sentence before a quote */
    VERB_WINDOW = 16,    /* words between a verb of speech and the quote that it leads into */
};

static uint64_t word_is(const struct an *an, uint32_t w, uint64_t classes)
{
    return an->terms[an->words[w].term].classes & classes;
}

static bool text_is(const struct an *an, uint32_t w, const char *text)
{
    return st_streq(an->terms[an->words[w].term].text, text);
}

/* The pronoun at w as a subject, or AN_WHO_NONE. */
static enum an_who pronoun(const struct an *an, uint32_t w)
{
    uint64_t c = word_is(an, w, AN_C(HE) | AN_C(SHE) | AN_C(IT) | AN_C(ME) | AN_C(THEY));
    if (c & AN_C(ME))
        return an->words[w].upper || !st_streq(an->language, "en") ? AN_WHO_ME : AN_WHO_NONE;
    if (c & AN_C(HE))
        return AN_WHO_HE;
    if (c & AN_C(SHE))
        return AN_WHO_SHE;
    if (c & AN_C(IT))
        return AN_WHO_IT;
    return c ? AN_WHO_NOBODY : AN_WHO_NONE;
}

/* A word that no list knows, standing as the subject of a verb of speech, is a name from now on. */
static void hint_name(struct an *an, uint32_t w)
{
    struct an_term *t = &an->terms[an->words[w].term];
    if (an->discovering && an->words[w].upper && !t->known && t->n_lower == 0 && t->len > 1)
        t->n_name++;
}

static uint32_t noun_phrase(struct an *an, uint32_t w, uint32_t limit, bool make, uint32_t *ret_n)
{
    *ret_n = 0;
    if (w >= limit)
        return AN_NONE;
    if (an->discovering)
        return an_noun_phrase(an, w, limit, make, ret_n);
    int32_t m = an->words[w].mention;
    if (m < 0)
        return AN_NONE;
    *ret_n = an->mentions[m].n;
    return an->mentions[m].entity;
}

/*
 * The subject at w: a pronoun or a noun phrase. "His eyes", "her voice" stand for him, her; *ret_n: its words. make: a
 * verb of speech shows that whatever stands there speaks.
 */
static bool subject_at(struct an *an, uint32_t w, uint32_t limit, bool make, struct an_said *said, uint32_t *ret_n)
{
    *ret_n = 0;
    if (w >= limit)
        return false;
    enum an_who who = pronoun(an, w);
    said->word = w;
    if (who != AN_WHO_NONE) {
        said->who = who;
        *ret_n = 1;
        return true;
    }
    uint32_t entity = noun_phrase(an, w, limit, make, ret_n);
    if (entity != AN_NONE) {
        said->who = AN_WHO_ENTITY;
        said->entity = entity;
        return true;
    }
    if (word_is(an, w, AN_C(POSS)) && word_is(an, w, AN_C(HIM) | AN_C(HER)) && w + 1 < limit &&
        !word_is(an, w + 1, AN_C(STOP))) {
        said->who = word_is(an, w, AN_C(HIM)) ? AN_WHO_HE : AN_WHO_SHE;
        *ret_n = 2;
        return true;
    }
    return false;
}

static bool is_say(const struct an *an, uint32_t w)
{
    if (an->words[w].upper)
        return false;
    if (word_is(an, w, AN_C(SPEECH) | AN_C(THINK)))
        return true;
    return word_is(an, w, AN_C(PARTICLE)) && w + 1 < an->n_words && !(an->words[w].after & AN_BREAK) &&
           (text_is(an, w + 1, "in") || text_is(an, w + 1, "on") || text_is(an, w + 1, "out"));
}

static void take_verb(const struct an *an, uint32_t w, struct an_said *said)
{
    said->verb = true;
    said->verb_word = w;
    said->think = word_is(an, w, AN_C(THINK)) && !word_is(an, w, AN_C(SPEECH));
    said->reply = word_is(an, w, AN_C(REPLY));
    said->resume = word_is(an, w, AN_C(RESUME)) && (!word_is(an, w, AN_C(PARTICLE)) || text_is(an, w + 1, "on"));
}

/* Words that stand between a verb and its subject or the other way round: softly, out, again, -t-. */
static bool is_filler(const struct an *an, uint32_t w)
{
    if (an->words[w].upper && !an->words[w].first)
        return false; /* Will */
    if (an_is_adverb(an, w) || text_is(an, w, "t"))
        return true;
    if (pronoun(an, w) != AN_WHO_NONE || word_is(an, w, AN_C(DET) | AN_C(POSS) | AN_C(SUBORD)))
        return false;
    if (word_is(an, w, AN_C(PREP)))
        return text_is(an, w, "out") || text_is(an, w, "up") || text_is(an, w, "on") ||
               (text_is(an, w, "in") && w > 0 && word_is(an, w - 1, AN_C(PARTICLE)));
    return word_is(an, w, AN_C(AUX) | AN_C(STOP)) && !word_is(an, w, AN_C(NEG)) && !text_is(an, w, "and") &&
           !text_is(an, w, "but");
}

static uint32_t skip_fillers(const struct an *an, uint32_t w, uint32_t limit, int most)
{
    while (w < limit && most-- > 0 && is_filler(an, w) && !(an->words[w].after & (AN_STOP | AN_END)))
        w++;
    return w;
}

/* The first word behind the sentence that begins at w. */
static uint32_t sentence_end(const struct an *an, uint32_t w, uint32_t limit, uint32_t most)
{
    uint32_t end = w;
    while (end < limit && end - w < most)
        if (an->words[end++].after & AN_STOP)
            break;
    return end;
}

/* The first noun phrase or pronoun of the sentence that no preposition governs; behind a leading subordinate clause. */
static bool main_subject(struct an *an, uint32_t w, uint32_t limit, struct an_said *said)
{
    for (int clauses = 0; clauses < 4; clauses++) {
        uint32_t p = w;
        if (p + 1 < limit && (text_is(an, p, "and") || text_is(an, p, "but") || text_is(an, p, "then")))
            p++;
        if (p >= limit || !word_is(an, p, AN_C(SUBORD) | AN_C(PREP)))
            break;
        while (p < limit && !(an->words[p].after & (AN_COMMA | AN_DASH)))
            p++;
        if (p + 1 >= limit)
            break;
        w = p + 1;
    }
    uint32_t n;
    for (; w < limit; w += n ? n : 1) {
        bool governed = w > 0 && word_is(an, w - 1, AN_C(PREP)) && !(an->words[w - 1].after & AN_BREAK);
        if (!subject_at(an, w, limit, false, said, &n) || governed)
            continue;
        if (said->who == AN_WHO_IT)
            continue;
        return true;
    }
    said->who = AN_WHO_NONE;
    return false;
}

/* A noise, a voice, a letter: what follows is perhaps not said by the subject of the sentence. */
static bool is_about_sound(const struct an *an, uint32_t w, uint32_t limit)
{
    for (uint32_t first = w; w < limit; w++) {
        bool own = w > first && (an->words[w - 1].owner || word_is(an, w - 1, AN_C(POSS)) ||
                                 (w > first + 1 && (an->words[w - 2].owner || word_is(an, w - 2, AN_C(POSS)))));
        if (own)
            continue; /* her voice, Tom's calm voice */
        if (text_is(an, w, "voice") || text_is(an, w, "voices") || text_is(an, w, "heard") || text_is(an, w, "read") ||
            text_is(an, w, "letter") || text_is(an, w, "wrote") || text_is(an, w, "written") || text_is(an, w, "sign"))
            return true;
    }
    return false;
}

static uint32_t last_mark(const struct an *an, const struct an_span *span)
{
    const char *begin = an->text + span->start, *end = an->text + span->end;
    while (end > begin && (end[-1] == ' ' || end[-1] == '*' || end[-1] == '_'))
        end--;
    return an_before(begin, end);
}

/* "He heard Katharine say", "and then May's clear voice:": who is heard, not who hears. */
static bool heard_subject(struct an *an, uint32_t w, uint32_t limit, struct an_said *said)
{
    uint32_t n;
    for (; w < limit; w++) {
        bool voice = text_is(an, w, "voice");
        for (uint32_t p = w; voice && p-- > 0 && w - p <= 3 && an->words[p].span == an->words[w].span;) {
            if (an->words[p].owner && subject_at(an, p, limit, false, said, &n) && n == 1) {
                said->verb = true;
                said->verb_word = w;
                return true;
            }
            if (word_is(an, p, AN_C(POSS)) && word_is(an, p, AN_C(HIM) | AN_C(HER)))
                return false;
        }
        bool made = text_is(an, w, "made") || text_is(an, w, "make");
        if (!(made || text_is(an, w, "heard") || text_is(an, w, "hear")) || w + 2 >= limit)
            continue;
        bool found = subject_at(an, w + 1, limit, false, said, &n);
        if (!found && word_is(an, w + 1, AN_C(HIM) | AN_C(HER))) {
            *said = (struct an_said){.who = word_is(an, w + 1, AN_C(HIM)) ? AN_WHO_HE : AN_WHO_SHE, .entity = AN_NONE};
            said->word = w + 1;
            found = true;
            n = 1;
        }
        if (found && w + 1 + n < limit && is_say(an, w + 1 + n)) {
            take_verb(an, w + 1 + n, said);
            return true;
        }
    }
    return false;
}

/* "It was Marilla who spoke": she. */
static bool singled_out(struct an *an, uint32_t w, uint32_t limit, struct an_said *said)
{
    uint32_t n, at = w + 2;
    if (at >= limit)
        return false;
    bool it = text_is(an, w, "it") && text_is(an, w + 1, "was");
    if (!it || !subject_at(an, at, limit, false, said, &n) || at + n + 1 >= limit || !text_is(an, at + n, "who") ||
        !is_say(an, at + n + 1))
        return false;
    take_verb(an, at + n + 1, said);
    return true;
}

/* "was her only reply", "came Tom's answer": whose it is. */
static bool own_saying(struct an *an, uint32_t w, uint32_t limit, struct an_said *said)
{
    enum { WORDS = 4 };
    uint32_t n, v = w;
    if (w + 2 >= limit || an->words[w].upper || !word_is(an, w, AN_C(AUX) | AN_C(VERB)))
        return false;
    for (uint32_t p = w + 2; p < limit && p <= w + WORDS && v == w; p++)
        v = word_is(an, p, AN_C(SAYING)) ? p : w;
    if (v == w)
        return false;
    said->word = w + 1;
    if (word_is(an, w + 1, AN_C(POSS)))
        said->who = word_is(an, w + 1, AN_C(HIM))   ? AN_WHO_HE
                    : word_is(an, w + 1, AN_C(HER)) ? AN_WHO_SHE
                    : text_is(an, w + 1, "my")      ? AN_WHO_ME
                                                    : AN_WHO_NONE;
    else if (!subject_at(an, w + 1, v, false, said, &n) || !an->words[w + n].owner)
        return false;
    said->verb = said->who != AN_WHO_NONE;
    said->verb_word = v;
    return said->verb;
}

/* "everybody", "a small voice" */
static bool is_nobody(const struct an *an, uint32_t w, uint32_t limit)
{
    enum { WORDS = 4 };
    bool article = word_is(an, w, AN_C(DET));
    for (uint32_t at = w; at < limit && at - w < (article ? WORDS : 1); at++) {
        if (word_is(an, at, AN_C(MUTE)) || (at == w && word_is(an, at, AN_C(THEY))))
            return true;
        if (an->words[at].after & AN_BREAK)
            break;
    }
    return false;
}

/* "cried the voice of Tom": Tom. */
static uint32_t skip_voice(const struct an *an, uint32_t w, uint32_t limit)
{
    return w + 3 < limit && word_is(an, w, AN_C(DET)) && text_is(an, w + 1, "voice") && text_is(an, w + 2, "of") ? w + 3
                                                                                                                 : w;
}

/* "said unhappy Matthew": adjectives that lead to a name. */
static uint32_t skip_praise(const struct an *an, uint32_t w, uint32_t limit)
{
    enum { ADJECTIVES = 2 };
    for (uint32_t at = w; at + 1 < limit && at - w < ADJECTIVES; at++) {
        if (an->words[at].upper || an->words[at].after & AN_BREAK ||
            word_is(an, at, AN_C(STOP) | AN_C(DET) | AN_C(POSS)))
            return w;
        if (an->words[at + 1].upper)
            return at + 1;
    }
    return w;
}

/* "interpreted Helen", behind a quote: whatever the verb, it is one of speech. */
static bool must_say(const struct an *an, uint32_t w, uint32_t limit)
{
    const struct an_term *t = &an->terms[an->words[w].term];
    bool past = t->len > 4 && memcmp(t->text + t->len - 2, "ed", 2) == 0;
    return past && st_streq(an->language, "en") && !an->words[w].upper && !(an->words[w].after & AN_BREAK) &&
           w + 1 < limit && an->words[w + 1].upper && !word_is(an, w + 1, AN_C(STOP)) &&
           !word_is(an, w, AN_C(PREP) | AN_C(STOP) | AN_C(ADJ));
}

static bool drops_pronouns(const struct an *an)
{
    return st_streq(an->language, "es") || st_streq(an->language, "it") || st_streq(an->language, "pt");
}

/* "said Mira", "whispered the old king"; "s'écria Jean", "le dijo Juan": a verb, then its subject. */
static bool inverted(struct an *an, uint32_t w, uint32_t limit, struct an_said *said)
{
    bool led = w + 1 < limit && !is_say(an, w) && is_say(an, w + 1) && word_is(an, w, AN_C(STOP)) &&
               (pronoun(an, w) == AN_WHO_NONE || !st_streq(an->language, "en")) && !(an->words[w].after & AN_BREAK);
    w += led;
    if (w >= limit || !(is_say(an, w) || must_say(an, w, limit)))
        return false;
    uint32_t n, at = skip_fillers(an, w + 1, limit, 2);
    bool alone = an->words[w].after & (AN_STOP | AN_END | AN_COMMA | AN_SEMI) || at >= limit;
    if (alone && !led && drops_pronouns(an)) { /* dijo: he or she */
        take_verb(an, w, said);
        said->who = AN_WHO_IT;
        said->word = w;
        return true;
    }
    if (alone)
        return false;
    take_verb(an, w, said);
    hint_name(an, at);
    at = skip_voice(an, at, limit);
    if (subject_at(an, at, limit, true, said, &n) ||
        subject_at(an, skip_praise(an, at, limit), limit, true, said, &n)) {
        if (said->who == AN_WHO_ENTITY && an_is_group(an, said->entity))
            said->who = AN_WHO_NOBODY;
        return true;
    }
    said->verb = !led && (is_nobody(an, at, limit) || !st_streq(an->language, "en"));
    said->who = said->verb ? AN_WHO_NOBODY : AN_WHO_NONE; /* said a voice */
    return said->verb;
}

/* "Mira said", "she quietly asked": the subject, then a verb within a few words. */
static bool upright(struct an *an, uint32_t w, uint32_t limit, bool full_stop, struct an_said *said)
{
    uint32_t n;
    if (w + 1 < limit && is_say(an, w + 1))
        hint_name(an, w);
    bool found = subject_at(an, w, limit, false, said, &n);
    if (!found && an->discovering && word_is(an, w, AN_C(DET) | AN_C(POSS))) {
        /* "the teapot said": the head's class does not tell, the verb does */
        uint32_t v = w + 1;
        while (v < limit && v - w < 6 && !is_say(an, v) && !(an->words[v].after & AN_BREAK))
            v++;
        found = v < limit && is_say(an, v) && subject_at(an, w, v, true, said, &n);
    }
    if (!found)
        return false;
    uint32_t v = w + n;
    if (an->words[v - 1].after & (AN_STOP | AN_END) && v - 1 < limit)
        return true;
    v = skip_fillers(an, v, limit, 3);
    if (v < limit && is_say(an, v) && !(full_stop && !(an->words[v].after & (AN_STOP | AN_END)) && v + 3 < limit)) {
        take_verb(an, v, said);
        return true;
    }
    /* "Mira, who was tired, said"; "she turned and asked" */
    for (uint32_t p = v; !full_stop && p < limit && p - v < 10; p++) {
        if (is_say(an, p) && p > w + n &&
            (text_is(an, p - 1, "and") || an->words[p - 1].after & AN_COMMA || an_is_adverb(an, p - 1))) {
            take_verb(an, p, said);
            break;
        }
    }
    return true;
}

struct an_said an_clause_after(struct an *an, uint32_t s)
{
    struct an_said said = {.who = AN_WHO_NONE, .entity = AN_NONE};
    if (s + 1 >= an->n_spans)
        return said;
    const struct an_span *quote = &an->spans[s], *next = &an->spans[s + 1];
    if (next->para != quote->para || next->kind != ST_NARRATION || next->emphasis || next->w0 == next->w1)
        return said;
    uint32_t mark = last_mark(an, quote);
    bool full_stop = mark == '.' && !(quote->end - quote->start > 2 && an->text[quote->end - 2] == '.');
    uint32_t w = next->w0, limit = sentence_end(an, w, next->w1, CLAUSE_WORDS);
    if (heard_subject(an, w, limit, &said))
        return said;
    said = (struct an_said){.who = AN_WHO_NONE, .entity = AN_NONE};
    said.apart = an->words[w].upper && (an_is_terminator(mark) || mark == 0x2014);
    if (inverted(an, w, limit, &said)) {
        said.apart = false;
        return said;
    }
    if (own_saying(an, w, limit, &said) || singled_out(an, w, limit, &said) || upright(an, w, limit, full_stop, &said))
        return said;
    said = (struct an_said){.who = AN_WHO_NONE, .entity = AN_NONE, .apart = said.apart};
    if (an->words[w].upper && !is_about_sound(an, w, limit))
        main_subject(an, w, limit, &said);
    return said;
}

/* Does the word at w belong with the one before it? */
static bool goes_on(const struct an *an, uint32_t w, uint32_t first)
{
    return w > first && !(an->words[w - 1].after & AN_BREAK);
}

/* "as Mira laughed", "which she thought": the clause whose subject stands at w is no main one. */
static bool is_subordinate(const struct an *an, uint32_t w, uint32_t first)
{
    return goes_on(an, w, first) && word_is(an, w - 1, AN_C(SUBORD) | AN_C(RELATIVE));
}

/* "snubbing George", "saw his anxiety", "vexed with the old man": the phrase at w is an object. */
static bool is_object(const struct an *an, uint32_t w, uint32_t first)
{
    if (!goes_on(an, w, first))
        return false;
    const struct an_term *t = &an->terms[an->words[w - 1].term];
    bool verb = word_is(an, w - 1, AN_C(SPEECH) | AN_C(THINK)) ||
                (word_is(an, w - 1, AN_C(VERB)) && !word_is(an, w - 1, AN_C(AUX))) ||
                (st_streq(an->language, "en") && t->len > 5 && memcmp(t->text + t->len - 3, "ing", 3) == 0);
    if (word_is(an, w - 1, AN_C(DET) | AN_C(POSS)) && goes_on(an, w - 1, first))
        return is_object(an, w - 1, first);
    return verb || word_is(an, w - 1, AN_C(PREP));
}

/* "to Ben, who said": Ben. */
static bool antecedent(struct an *an, uint32_t who, uint32_t first, struct an_said *said)
{
    enum { BACK = 5 };
    uint32_t n;
    for (uint32_t w = who; w > first && who - w < BACK;)
        if (subject_at(an, --w, who, false, said, &n) && w + n == who)
            return said->who == AN_WHO_ENTITY;
    return false;
}

/* The noun phrase that ends right before v, as its subject. */
static bool subject_before(struct an *an, uint32_t v, uint32_t first, struct an_said *said)
{
    enum { BACK = 7 };
    uint32_t at = v, n;
    for (int i = 0; i < 3 && at > first && is_filler(an, at - 1) && !text_is(an, at - 1, "who") &&
                    !(an->words[at - 1].after & AN_BREAK);
         i++)
        at--;
    if (at == first)
        return false;
    if (text_is(an, at - 1, "who") && at - 1 > first)
        return antecedent(an, at - 1, first, said);
    hint_name(an, at - 1);
    uint32_t from = at - first > BACK ? at - BACK : first;
    for (uint32_t w = from; w < at; w++)
        if (subject_at(an, w, at, !(an->words[at - 1].after & AN_BREAK), said, &n) && w + n == at &&
            !(an->words[at - 1].after & AN_STOP))
            return !(w > first && word_is(an, w - 1, AN_C(PREP)) && !(an->words[w - 1].after & AN_BREAK));
    return false;
}

/*
 * The subject of the verb at v: the last noun phrase before it that has a verb or a comma behind it, is no object and
 * in no subordinate clause ("said Mary, and Katharine, having thought, said"; but "Tom kissed Ann and said").
 */
static bool nearest_subject(struct an *an, uint32_t w, uint32_t v, struct an_said *said)
{
    bool found = false;
    struct an_said one;
    uint32_t n;
    for (uint32_t p = w; p < v; p += n ? n : 1) {
        one = *said;
        if (!subject_at(an, p, v, false, &one, &n) || is_object(an, p, w) || is_subordinate(an, p, w) ||
            one.who == AN_WHO_IT || one.who == AN_WHO_NOBODY)
            continue;
        const struct an_word *last = &an->words[p + n - 1];
        bool entity = one.who == AN_WHO_ENTITY;
        if (last->owner || (entity && !(last->after & AN_COMMA) && !an_verb_follows(an, p + n, v + 1)))
            continue;
        found = true;
        said->who = one.who;
        said->entity = one.entity;
        said->word = one.word;
    }
    return found;
}

/* The subject of the verb of speech at v in the sentence that begins at w. */
static bool subject_of(struct an *an, uint32_t w, uint32_t v, uint32_t limit, struct an_said *said)
{
    uint32_t n;
    take_verb(an, v, said);
    if (subject_before(an, v, w, said) || nearest_subject(an, w, v, said) || main_subject(an, w, v, said))
        return true;
    /* "To this the king replied", "Then said the wolf" */
    return subject_at(an, skip_fillers(an, v + 1, limit, 2), limit, true, said, &n);
}

/* The sentence from w to limit leads into a quote with a verb of speech: the last that is in no subordinate clause. */
static bool leading_verb(struct an *an, uint32_t w, uint32_t limit, struct an_said *said)
{
    uint32_t from = limit - w > VERB_WINDOW ? limit - VERB_WINDOW : w;
    struct an_said last = {.who = AN_WHO_NONE};
    for (uint32_t p = limit; p-- > from;) {
        struct an_said one = *said;
        if (!(is_say(an, p) || (p == w && word_is(an, p, AN_C(SPEECH)))) || !subject_of(an, w, p, limit, &one))
            continue;
        if (!is_subordinate(an, one.word, w)) {
            *said = one;
            return true;
        }
        last = last.who == AN_WHO_NONE ? one : last;
    }
    *said = last.who == AN_WHO_NONE ? (struct an_said){.who = AN_WHO_NONE} : last;
    return last.who != AN_WHO_NONE;
}

/* The narration before quote span s: in its paragraph, or at the end of the one before if it leads over. */
static const struct an_span *narration_before(const struct an *an, uint32_t s)
{
    if (s == 0)
        return NULL;
    const struct an_span *quote = &an->spans[s], *before = &an->spans[s - 1];
    if (before->kind != ST_NARRATION || before->w0 == before->w1)
        return NULL;
    if (before->para == quote->para)
        return before;
    uint32_t mark = last_mark(an, before);
    bool open = mark == ':' || mark == ',' || mark == '-' || mark == 0x2014 || an_is_letter(mark);
    bool leads =
        before->para + 1 == quote->para && open && !an->paras[quote->para].scene && !an->paras[before->para].heading;
    return leads ? before : NULL;
}

struct an_said an_clause_before(struct an *an, uint32_t s)
{
    struct an_said said = {.who = AN_WHO_NONE, .entity = AN_NONE};
    const struct an_span *before = narration_before(an, s);
    if (!before)
        return said;
    uint32_t mark = last_mark(an, before), limit = before->w1, w = limit - 1;
    while (w > before->w0 && limit - w < SENTENCE_WORDS && !(an->words[w - 1].after & AN_STOP))
        w--;
    said.apart = w > before->w0 || before->w0 == 0 || an->words[w].upper;
    said.colon = !an_is_terminator(mark);
    struct an_said heard = said;
    if (said.colon && heard_subject(an, w, limit, &heard)) {
        heard.colon = true;
        heard.apart = said.apart;
        return heard;
    }
    if (said.colon && leading_verb(an, w, limit, &said))
        return said;
    bool colon = said.colon, apart = said.apart;
    said = (struct an_said){.who = AN_WHO_NONE, .entity = AN_NONE, .colon = colon, .apart = apart};
    bool sound = is_about_sound(an, w, limit);
    if (sound || main_subject(an, w, limit, &said) || said.colon || w == before->w0)
        return said;
    limit = w; /* "Rose laughed. It was not a happy sound." */
    while (w > before->w0 && limit - w < SENTENCE_WORDS && (w == limit || !(an->words[w - 1].after & AN_STOP)))
        w--;
    if (!is_about_sound(an, w, limit))
        main_subject(an, w, limit, &said);
    return said;
}
