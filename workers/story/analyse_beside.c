/* What the narration around a turn tells of the persons in it. */
#include "story/analyse_int.h"

enum { AHEAD_WORDS = 400 };

/* NULL when there is no room for one more. */
static struct an_near *near_person(struct an_beside *b, int person)
{
    for (int i = 0; i < b->n; i++)
        if (b->near[i].person == person)
            return &b->near[i];
    if (b->n == AN_NEAR)
        return NULL;
    b->near[b->n] = (struct an_near){.person = person};
    return &b->near[b->n++];
}

/* The narration of the spans from s to end. */
static void read_zone(const struct an *an, struct an_beside *b, enum an_zone zone, uint32_t s, uint32_t end)
{
    uint8_t bit = (uint8_t)(1u << zone);
    b->last[zone] = -1;
    for (; s < end; s++) {
        for (uint32_t w = an->spans[s].w0; !an->spans[s].quoted && w < an->spans[s].w1; w++) {
            const struct an_mention *m = an_being_at(an, w);
            struct an_near *n = m ? near_person(b, an_means(an, m)) : NULL;
            if (n && m->subject) {
                n->subject |= bit;
                b->last[zone] = n->person;
            } else if (n) {
                n->mentioned |= bit;
            }
            uint64_t pronoun = m ? 0 : an_is(an, an->words[w].term, AN_C(HE) | AN_C(SHE));
            b->he |= pronoun & AN_C(HE) ? bit : 0;
            b->she |= pronoun & AN_C(SHE) ? bit : 0;
        }
    }
}

/* As analyse_focus.c looks back. */
static void look_ahead(const struct an *an, struct an_beside *b, const struct an_span *last)
{
    uint32_t para = last->para, end = last->w1 + AHEAD_WORDS < an->n_words ? last->w1 + AHEAD_WORDS : an->n_words;
    float left = 1;
    for (uint32_t w = last->w1; w < end && left > an_fading.least; w++) {
        const struct an_span *span = &an->spans[an->words[w].span];
        if (span->para != para)
            left *= an->paras[span->para].scene ? an_fading.scene : an_fading.paragraph;
        para = span->para;
        const struct an_mention *m = an_being_at(an, w);
        struct an_near *n = m ? near_person(b, an_means(an, m)) : NULL;
        if (n)
            n->ahead += left * (span->quoted ? an_fading.spoken_of : m->subject ? an_fading.subject : an_fading.object);
        if (an->words[w].after & AN_STOP && !span->quoted)
            left *= an_fading.sentence;
    }
}

void an_look_beside(const struct an_talk *t, uint32_t i, struct an_beside *b)
{
    const struct an *an = t->an;
    const struct an_turn *turn = &t->turns[i];
    const struct an_span *spans = an->spans;
    /* Spans: the end of the turn before, of its paragraph; this turn's paragraph, its end; the paragraph of the next.
     */
    uint32_t end = i ? turn[-1].s1 + 1 : 0, next = i + 1 < t->n_turns ? turn[1].s0 : an->n_spans;
    uint32_t own = an->paras[turn->para].s0, own_end = an->paras[spans[turn->s1].para].s1;
    uint32_t tail = i ? an->paras[spans[turn[-1].s1].para].s1 : 0;
    uint32_t head = i + 1 < t->n_turns ? an->paras[turn[1].para].s0 : next;
    own = own > end ? own : end;
    own_end = own_end < next ? own_end : next;
    tail = tail < own ? tail : own;
    head = head > own_end ? head : own_end;
    b->n = 0;
    b->he = b->she = 0;
    read_zone(an, b, AN_ZONE_INSIDE, turn->s0, turn->s1 + 1);
    read_zone(an, b, AN_ZONE_BEFORE, own, turn->s0);
    read_zone(an, b, AN_ZONE_BEHIND, turn->s1 + 1, own_end);
    read_zone(an, b, AN_ZONE_TAIL, end, tail);
    read_zone(an, b, AN_ZONE_HEAD, head, next);
    look_ahead(an, b, &spans[turn->s1]);
    read_zone(an, b, AN_ZONE_SINCE, tail > end ? tail : end, own);
    read_zone(an, b, AN_ZONE_UNTIL, own_end, head);
}
