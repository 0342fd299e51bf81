/* Makes segments of the spans: pieces of at most ST_SEGMENT_CHARS_MAX characters, cut where sentences end. */
#include "base/gcra.h"
#include "story/analyse_int.h"

enum {
    PIECE_WHOLE = 300,  /* characters that are not cut */
    PIECE_LEAST = 150,  /* the least that a piece has to end where a sentence does */
    PIECE_REST = 80,    /* and to leave behind it */
    PIECE_CLAUSE = 120, /* the least it has to end at a comma */
    LOOKED_AT = 64,     /* bytes before a border */
    SEGMENTS_MANY = ST_ANALYSE_SEGMENTS_MAX - ST_ANALYSE_TEXT_MAX / PIECE_CLAUSE,
};

struct maker {
    struct an *an;
    uint32_t word; /* first word that is in no piece yet */
};

/* ---- Texts ---- */

static bool is_emphasis(const char *begin, const char *s, const char *end)
{
    if (*s != '*' && *s != '_')
        return false;
    uint32_t prev = an_before(begin, s), next = an_peek(s + 1, end);
    return !(an_is_letter(prev) && an_is_letter(next)) && !(prev == ' ' && next == ' ');
}

/* Punctuation that is left over where a quote or an aside ended: ", said Mira" begins with said. */
static const char *skip_leftovers(const char *s, const char *end)
{
    while (s < end) {
        const char *next = s;
        uint32_t cp = st_utf8_next(&next);
        uint32_t after = an_peek(next, end);
        bool dash = cp == '-' || (cp >= 0x2012 && cp <= 0x2015);
        bool stop = cp == ',' || cp == ';' || cp == ':' || cp == '!' || cp == '?' || cp == ')' || cp == ']' ||
                    cp == 0x3001 || cp == 0x3002 || cp == 0xFF0C || cp == 0x60C || cp == 0x61B || cp == 0xFF1A ||
                    cp == 0xFF01 || cp == 0xFF1F || (cp == '.' && after != '.');
        bool quote = an_is_closer(cp) && (after == ' ' || after == 0 || after == ',' || after == '.');
        if (!dash && !stop && !quote && cp != ' ')
            break;
        if (cp == '-' && after >= '0' && after <= '9')
            break;
        s = next;
    }
    return s;
}

/* Copies without emphasis marks and outer white space; NULL if nothing is left to say. */
static char *copy_text(struct an *an, const char *s, const char *end)
{
    s = skip_leftovers(s, end);
    char *copy = st_alloc(an->arena, (size_t)(end - s) + 1);
    size_t n = 0;
    for (const char *p = s; p < end; p++) {
        char c = *p == '\n' ? ' ' : *p;
        if (!is_emphasis(s, p, end) && !(c == ' ' && (n == 0 || copy[n - 1] == ' ')))
            copy[n++] = c;
    }
    while (n > 0 && copy[n - 1] == ' ')
        n--;
    copy[n] = '\0';
    for (const char *p = copy; *p;) {
        uint32_t cp = st_utf8_next(&p);
        if (an_is_letter(cp) || an_is_symbol(cp))
            return copy;
    }
    return NULL;
}

/* ---- Cutting ---- */

static bool is_clause_mark(uint32_t cp)
{
    return cp == ',' || cp == ';' || cp == ':' || cp == 0x2014 || cp == 0x2013 || cp == 0xFF0C || cp == 0x3001 ||
           cp == 0xFF1B || cp == 0x60C || cp == 0x61B;
}

/* Marks and joiners that belong to the character before them. */
static bool is_extension(uint32_t cp)
{
    return (cp >= 0x300 && cp <= 0x36F) || (cp >= 0x591 && cp <= 0x5C7) || (cp >= 0x64B && cp <= 0x65F) ||
           (cp >= 0x93A && cp <= 0x94F) || cp == 0x200D || (cp >= 0xFE00 && cp <= 0xFE0F) ||
           (cp >= 0x1F3FB && cp <= 0x1F3FF) || (cp >= 0x1AB0 && cp <= 0x1AFF) || (cp >= 0x20D0 && cp <= 0x20FF);
}

static int count_chars(const char *s, const char *end, int most)
{
    int n = 0;
    for (; s < end && n < most; n++)
        st_utf8_next(&s);
    return n;
}

static uint64_t hash_before(const char *begin, const char *s)
{
    static const unsigned char key[16];
    size_t n = s - begin < LOOKED_AT ? (size_t)(s - begin) : LOOKED_AT;
    return st_siphash(key, s - n, n);
}

/*
 * Where the piece that begins at s ends: behind that sentence, of those that make a piece of good length, whose words
 * hash least. So borders go by the words around them, and come to stand where they stood soon behind an edit. begin:
 * of the first piece.
 */
static const char *cut(const struct an *an, const char *begin, const char *s, const char *end)
{
    const char *best = NULL, *sentence = NULL, *clause = NULL, *space = NULL, *base = s, *p = s;
    int chars = 0, rest = count_chars(s, end, ST_SEGMENT_CHARS_MAX + PIECE_REST);
    uint64_t least = UINT64_MAX;
    if (rest <= PIECE_WHOLE)
        return end;
    while (p < end && chars < ST_SEGMENT_CHARS_MAX) {
        const char *here = p, *behind;
        uint32_t cp = st_utf8_next(&p);
        chars++;
        if (!is_extension(cp) && an_before(s, here) != 0x200D)
            base = here;
        if (an_is_terminator(cp) && an_sentence_end(an, here, s, end, &behind)) {
            chars += count_chars(p, behind, ST_SEGMENT_CHARS_MAX);
            p = behind > p ? behind : p;
            if (chars > ST_SEGMENT_CHARS_MAX)
                break;
            sentence = p;
            uint64_t hash = hash_before(begin, p);
            if (chars >= PIECE_LEAST && rest - chars >= PIECE_REST && hash < least) {
                least = hash;
                best = p;
            }
        } else if (is_clause_mark(cp) && chars >= PIECE_CLAUSE) {
            clause = p;
        } else if (cp == ' ' || cp == '\n') {
            space = p;
        }
    }
    if (best)
        return best;
    if (rest <= ST_SEGMENT_CHARS_MAX)
        return end;
    if (sentence)
        return sentence;
    return clause ? clause : space ? space : base > s ? base : p;
}

static void add_pieces(struct maker *m, uint32_t span, enum st_segment_kind kind, const char *s, const char *end)
{
    struct an *an = m->an;
    for (const char *begin = s; s < end;) {
        const char *stop = cut(an, begin, s, end);
        char *text = copy_text(an, s, stop);
        s = stop;
        uint32_t w0 = m->word;
        while (m->word < an->n_words && an->text + an->words[m->word].start < stop)
            m->word++;
        if (!text)
            continue;
        AN_PUSH(an, pieces) = (struct an_piece){
            .span = span,
            .w0 = w0,
            .w1 = m->word,
            .segment = {.text = text, .kind = kind, .paragraph = (int)an->spans[span].para},
        };
    }
}

/* Emphasis that is no thought goes on with the narration around it. Gives the first span that did not fit. */
static uint32_t cut_paragraph(struct maker *m, const struct an_para *para)
{
    struct an *an = m->an;
    uint32_t s = para->s0;
    while (s < para->s1 && an->n_pieces < SEGMENTS_MANY) {
        const char *start = an->text + an->spans[s].start;
        uint32_t last = s;
        if (an->spans[s].kind == ST_NARRATION)
            while (last + 1 < para->s1 && an->spans[last + 1].kind == ST_NARRATION)
                last++;
        add_pieces(m, s, (enum st_segment_kind)an->spans[s].kind, start, an->text + an->spans[last].end);
        s = last + 1;
    }
    return s;
}

/* ---- What the caller knows ---- */

static int by_id(const void *va, const void *vb)
{
    const struct an_piece *const *a = va, *const *b = vb;
    return strcmp((*a)->segment.id, (*b)->segment.id);
}

/* Spans whose speaker the caller knows. */
static void take_hints(struct an *an)
{
    const struct st_analyse_hints *hints = an->hints;
    struct an_piece **sorted = st_new_n(an->arena, struct an_piece *, an->n_pieces + 1);
    for (uint32_t i = 0; i < an->n_pieces; i++)
        sorted[i] = &an->pieces[i];
    qsort(sorted, an->n_pieces, sizeof(*sorted), by_id);
    for (int i = 0; i < hints->n_speakers; i++) {
        struct an_piece wanted = {.segment.id = hints->speakers[i].segment}, *key = &wanted;
        struct an_piece **found = bsearch(&key, sorted, an->n_pieces, sizeof(*sorted), by_id);
        int who = hints->speakers[i].character;
        if (!found || (*found)->segment.kind == ST_NARRATION || (who >= 0 && !an_in_cast(an, who)))
            continue;
        struct an_span *span = &an->spans[(*found)->span];
        span->corrected = true;
        span->speaker = who;
    }
}

void an_cut_segments(struct an *an)
{
    struct maker m = {.an = an};
    uint32_t done = 0;
    for (uint32_t i = 0; i < an->n_paras && an->n_pieces < SEGMENTS_MANY; i++)
        done = cut_paragraph(&m, &an->paras[i]);
    if (done < an->n_spans) /* no story: the rest is read out as it comes */
        add_pieces(&m, done, ST_NARRATION, an->text + an->spans[done].start, an->text + an->len);
    an_give_ids(an);
    if (an->hints->n_speakers)
        take_hints(an);
}

/* ---- Moods ---- */

enum { CLAUSE_WORDS = 16 };

/* The words beside a quote that tell how it was said: ", she sobbed" and "He slammed the door." */
static void feel_clauses(const struct an *an, const struct an_piece *piece, struct an_mood *mood)
{
    const struct an_span *span = &an->spans[piece->span];
    const struct an_para *para = &an->paras[span->para];
    if (piece->span + 1 < para->s1 && an->spans[piece->span + 1].kind == ST_NARRATION) {
        const struct an_span *next = &an->spans[piece->span + 1];
        uint32_t end = next->w0;
        while (end < next->w1 && end - next->w0 < CLAUSE_WORDS && !(an->words[end++].after & AN_STOP))
            ;
        an_feel(an, mood, next->w0, end, 1.3, true);
    }
    if (piece->span > para->s0 && an->spans[piece->span - 1].kind == ST_NARRATION) {
        const struct an_span *last = &an->spans[piece->span - 1];
        uint32_t start = last->w1;
        while (start > last->w0 && last->w1 - start < CLAUSE_WORDS &&
               !(start < last->w1 && an->words[start - 1].after & AN_STOP))
            start--;
        an_feel(an, mood, start, last->w1, 1.0, true);
    }
}

static void feel_piece(const struct an *an, struct an_piece *piece)
{
    if (an->paras[piece->segment.paragraph].heading)
        return;
    struct an_mood mood = {.words = piece->w1 - piece->w0};
    const struct an_span *span = &an->spans[piece->span];
    bool beside_quote = span->kind == ST_NARRATION && mood.words <= CLAUSE_WORDS &&
                        ((piece->span > 0 && span[-1].para == span->para && span[-1].quoted) ||
                         (piece->span + 1 < an->n_spans && span[1].para == span->para && span[1].quoted));
    an_feel(an, &mood, piece->w0, piece->w1, 1.0, beside_quote);
    an_feel_text(&mood, piece->segment.text, piece->segment.kind != ST_NARRATION);
    if (piece->segment.kind != ST_NARRATION)
        feel_clauses(an, piece, &mood);
    an_mood_decide(&mood, &piece->segment);
}

/* One speaker keeps the mood from one piece of a split quote to the next. */
static void share_mood(const struct st_segment *from, struct st_segment *to)
{
    if (from->emotion == ST_NEUTRAL || to->emotion != ST_NEUTRAL || from->paragraph != to->paragraph ||
        from->character != to->character || from->intensity < 0.3)
        return;
    to->emotion = from->emotion;
    to->intensity = (int)(70 * from->intensity) / 100.0;
}

static void share_moods(struct st_segment *list, int n)
{
    int last = -1;
    for (int i = 0; i < n; i++) {
        if (list[i].kind == ST_NARRATION)
            continue;
        if (last >= 0) {
            share_mood(&list[last], &list[i]);
            share_mood(&list[i], &list[last]);
        }
        last = i;
    }
}

void an_make_segments(struct an *an, struct st_analysis *out)
{
    out->segments = st_new_n(an->arena, struct st_segment, an->n_pieces);
    out->n_segments = (int)an->n_pieces;
    int paragraph = -1, last = -1;
    for (uint32_t i = 0; i < an->n_pieces; i++) {
        struct an_piece *piece = &an->pieces[i];
        const struct an_span *span = &an->spans[piece->span];
        bool told = piece->segment.kind == ST_NARRATION;
        piece->segment.character = told ? -1 : span->speaker;
        piece->segment.confidence = told ? 1 : span->speaker < 0 ? 0 : (double)span->confidence;
        feel_piece(an, piece);
        piece->segment.heading = piece->segment.paragraph != last && an->paras[piece->segment.paragraph].title;
        paragraph += piece->segment.paragraph != last;
        last = piece->segment.paragraph;
        piece->segment.paragraph = paragraph;
        piece->segment.index = (int)i;
        if (piece->segment.character >= 0)
            piece->segment.evidence = span->why;
        out->segments[i] = piece->segment;
    }
    share_moods(out->segments, out->n_segments);
}
