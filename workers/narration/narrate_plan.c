/* What is to be said, one after the other, with the pauses between; and what of it is encoded together. */
#include "narration/narrate_int.h"

enum {
    CLAUSE_MS = 150,
    SENTENCE_MS = 320,
    SEGMENT_MS = 380,
    SPEAKER_MS = 460,
    PARAGRAPH_MS = 700,
    HEADING_MS = 1000, /* behind a chapter's title */
    CHAPTER_MS = 1800, /* before it */
    TAIL_MS = 400,

    PIECE_ITEMS = 8, /* from here on a piece ends with its segment */

    FIRST_PART = 1500, /* bytes of text, about a minute and a half */
    PART = 4500,
};

static void add_item(struct narrate_plan *p, size_t segment, const struct st_utterance *u)
{
    if (p->n_items == p->cap) {
        p->cap = p->cap ? 2 * p->cap : 64;
        p->items = realloc(p->items, p->cap * sizeof(*p->items));
        if (!p->items)
            abort();
    }
    p->items[p->n_items++] = (struct narrate_item){.said = *u, .segment = segment};
}

/* known: whether the embedded voices speak the language; those of providers speak every one. */
static int add_segments(struct narrate_plan *p, const struct st_narrate_job *job, int known,
                        struct st_narrate_time *times)
{
    size_t bytes = 0;
    for (size_t i = 0; i < job->n_segments; i++) {
        const struct st_narrate_segment *s = &job->segments[i];
        struct st_utterances u;
        bytes += s->len;
        if (bytes > ST_NARRATE_TEXT_MAX)
            return ST_E_TOO_LARGE;
        if (s->voice >= job->n_voices)
            return ST_E_INVALID;
        bool remote = job->voices[s->voice].engine == SPEAK_REMOTE;
        int r = remote ? 0 : known;
        if (r == 0)
            r = st_text_plan(p->arena, s->text, s->len, remote ? ST_TEXT_WHOLE : p->language, &u);
        if (r < 0)
            return r;
        for (size_t k = 0; k < u.count; k++) {
            add_item(p, i, &u.items[k]);
            p->characters += (int64_t)st_utf8_length(u.items[k].text, u.items[k].len);
        }
        if (u.count == 0)
            add_item(p, i, &(struct st_utterance){.text = ""});
        p->utterances += u.count;
        p->letters += u.letters;
        p->unreadable += u.unreadable;
        if (u.unreadable)
            times[i].error = ST_E_UNPROCESSABLE;
    }
    return 0;
}

static int pause_after(const struct st_narrate_job *job, const struct narrate_plan *p, size_t n)
{
    const struct narrate_item *i = &p->items[n];
    const struct st_narrate_segment *segments = job->segments, *own = &segments[i->segment];
    if (n + 1 == p->n_items)
        return TAIL_MS;
    size_t next = p->items[n + 1].segment;
    if (next == i->segment)
        return i->said.after == ST_BREAK_SENTENCE ? SENTENCE_MS : i->said.after == ST_BREAK_CLAUSE ? CLAUSE_MS : 0;
    if (segments[next].heading)
        return CHAPTER_MS;
    if (own->heading)
        return HEADING_MS;
    if (own->paragraph_ends)
        return PARAGRAPH_MS;
    if (!i->said.len)
        return NARRATE_SILENT_MS;
    return own->voice != segments[next].voice ? SPEAKER_MS : SEGMENT_MS;
}

/* Does the piece that has `count` items end with this one? */
static bool piece_ends(const struct st_narrate_job *job, const struct narrate_plan *p, size_t n, size_t count)
{
    size_t own = p->items[n].segment;
    bool last_of_segment = n + 1 == p->n_items || p->items[n + 1].segment != own;
    return n + 1 == p->n_items || count == NARRATE_PIECE_ITEMS ||
           (last_of_segment && (job->segments[own].paragraph_ends || count >= PIECE_ITEMS));
}

static void cut(struct narrate_plan *p, const struct st_narrate_job *job)
{
    p->pieces = st_new_n(p->arena, struct narrate_piece, p->n_items);
    for (size_t n = 0, first = 0; n < p->n_items; n++) {
        p->items[n].pause_ms = pause_after(job, p, n);
        if (!piece_ends(job, p, n, n + 1 - first))
            continue;
        if (p->items[n].pause_ms < CLAUSE_MS)
            p->items[n].pause_ms = CLAUSE_MS;
        p->pieces[p->n_pieces++] = (struct narrate_piece){first, n + 1 - first, 0};
        first = n + 1;
    }
}

static size_t bytes_of(const struct narrate_plan *p, const struct narrate_piece *piece)
{
    size_t sum = 0;
    for (size_t i = 0; i < piece->count; i++)
        sum += p->items[piece->first + i].said.len;
    return sum;
}

/* The first part is short, so that it can be heard soon. */
static void number_parts(struct narrate_plan *p, const struct st_narrate_job *job)
{
    size_t all = 0, part = 0;
    for (size_t i = 0; i < p->n_pieces; i++)
        all += bytes_of(p, &p->pieces[i]);
    for (size_t i = 0; i < p->n_pieces; i++) {
        size_t most = p->n_parts == 1 ? FIRST_PART : PART + all / (ST_NARRATE_PARTS / 2);
        bool chapter = job->segments[p->items[p->pieces[i].first].segment].heading && part > FIRST_PART / 4;
        if (i == 0 || ((chapter || part >= most) && p->n_parts < ST_NARRATE_PARTS)) {
            p->n_parts++;
            part = 0;
        }
        p->pieces[i].part = p->n_parts;
        part += bytes_of(p, &p->pieces[i]);
    }
}

int narrate_plan_make(struct narrate_plan *p, const struct st_narrate_job *job, struct st_narrate_result *ret)
{
    int known = st_speech_language(job->speech, job->language, p->language),
        r = add_segments(p, job, known, ret->times);
    if (r < 0 && r == known)
        ret->why = "No voice speaks the language of this text";
    if (r == 0 && p->unreadable * 2 > p->letters) {
        ret->why = "No voice reads the script of this text";
        return ST_E_UNPROCESSABLE;
    }
    if (r == 0) {
        cut(p, job);
        number_parts(p, job);
    }
    return r == 0 && p->utterances == 0 ? ST_E_UNPROCESSABLE : r;
}

void narrate_plan_release(struct narrate_plan *p)
{
    free(p->items);
}
