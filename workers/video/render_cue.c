/* Puts the captions into time, and writes them as WebVTT. */
#include "video/render_internal.h"

enum {
    SHORT_MS = 1000,   /* what is spoken faster than this joins the next caption, */
    JOIN_GAP_MS = 500, /* if it follows within this time, */
    JOIN_BYTES = 120,  /* and both together are no longer than this */
    LINGER_MS = 1200,  /* a caption stays at least so long if nothing follows */
    NAME_CHARS = 40,
};

struct plan {
    struct st_arena *arena;
    struct st_cue *cues;
    size_t count, room;
    int64_t duration, at; /* `at`: the end of the last caption */
    const char *speaker;  /* as the job spells it, and clean */
    const char *name;
};

static void add_cue(struct plan *p, struct st_cue cue)
{
    if (cue.end_ms <= cue.start_ms)
        return;
    if (p->count == p->room) {
        struct st_cue *more = st_new_n(p->arena, struct st_cue, p->room = p->room ? p->room * 2 : 256);
        if (p->count)
            memcpy(more, p->cues, p->count * sizeof(*more));
        p->cues = more;
    }
    p->cues[p->count++] = cue;
}

static const char *name_of(struct plan *p, const char *speaker)
{
    if (!speaker || st_streq(speaker, p->speaker))
        return speaker ? p->name : NULL;
    char *name = st_text_clean(p->arena, speaker, NAME_CHARS);
    p->speaker = speaker;
    p->name = *name ? name : NULL;
    return p->name;
}

/* Shares out start..end among the pieces of a text by their weight. */
static void add_text(struct plan *p, const char *text, const char *speaker, int64_t start, int64_t end)
{
    size_t count;
    const struct st_piece *pieces = st_text_split(p->arena, text, &count);
    const char *name = name_of(p, speaker);
    int64_t total = 0, done = 0;
    for (size_t i = 0; i < count; i++)
        total += pieces[i].weight;
    for (size_t i = 0; i < count; i++) {
        int64_t from = start + (end - start) * done / total;
        done += pieces[i].weight;
        add_cue(p, (struct st_cue){from, start + (end - start) * done / total, name, pieces[i]});
    }
    if (count)
        p->at = end;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* A segment's time within the film and behind what was before it, whatever the job says. */
static void time_of(const struct st_video_segment *s, int64_t at, int64_t duration, int64_t *ret_start,
                    int64_t *ret_end)
{
    *ret_start = clamp(s->start_ms, at, duration);
    *ret_end = clamp(s->end_ms, *ret_start, duration);
}

/* Adds segment i, and those after it that would flash by on their own; gives the next one. */
static size_t add_segments(struct plan *p, const struct st_video_job *job, size_t i)
{
    const struct st_video_segment *s = &job->segments[i];
    int64_t start, end;
    time_of(s, p->at, p->duration, &start, &end);
    if (end == start)
        return i + 1;
    struct st_buf text = ST_BUF(SIZE_MAX / 2);
    st_buf_str(&text, s->text);
    for (i++; i < job->segment_count && end - start < SHORT_MS; i++) {
        const struct st_video_segment *next = &job->segments[i];
        int64_t next_start, next_end;
        time_of(next, end, p->duration, &next_start, &next_end);
        if (next_end == next_start)
            continue;
        if (!st_streq(s->speaker, next->speaker) || next_start - end > JOIN_GAP_MS ||
            text.len + strnlen(next->text, JOIN_BYTES) >= JOIN_BYTES)
            break;
        st_buf_char(&text, ' ');
        st_buf_str(&text, next->text);
        end = next_end;
    }
    add_text(p, text.data ? text.data : "", s->speaker, start, end);
    st_buf_release(&text);
    return i;
}

struct st_cue *st_cues_plan(struct st_arena *a, const struct st_video_job *job, int64_t duration_ms, size_t *ret_count)
{
    struct plan p = {.arena = a, .duration = duration_ms};
    for (size_t i = 0; i < job->segment_count;)
        i = add_segments(&p, job, i);
    for (size_t i = 0; i < p.count; i++) {
        int64_t next = i + 1 < p.count ? p.cues[i + 1].start_ms : duration_ms;
        int64_t wish = p.cues[i].start_ms + LINGER_MS;
        if (p.cues[i].end_ms < wish)
            p.cues[i].end_ms = wish < next ? wish : next;
    }
    *ret_count = p.count;
    return p.cues;
}

/* --- WebVTT ------------------------------------------------------------------------------------------------------ */

static void write_time(FILE *f, int64_t ms)
{
    fprintf(f, "%02d:%02d:%02d.%03d", (int)(ms / 3600000), (int)(ms / 60000 % 60), (int)(ms / 1000 % 60),
            (int)(ms % 1000));
}

static void write_escaped(FILE *f, const char *s)
{
    for (; *s; s++)
        switch (*s) {
        case '&': fputs("&amp;", f); break;
        case '<': fputs("&lt;", f); break;
        case '>': fputs("&gt;", f); break;
        default: fputc(*s, f);
        }
}

/* Players do not show who speaks, and MP4 does not even keep it: where the speaker changes, the text says it too. */
static void write_cue(FILE *f, const struct st_cue *c, const char *before)
{
    write_time(f, c->start_ms);
    fputs(" --> ", f);
    write_time(f, c->end_ms);
    fputc('\n', f);
    if (c->speaker) {
        fputs("<v ", f);
        write_escaped(f, c->speaker);
        fputc('>', f);
    }
    if (c->speaker && !st_streq(c->speaker, before)) {
        write_escaped(f, c->speaker);
        fputs(": ", f);
    }
    for (size_t i = 0; i < ST_CAPTION_LINES && c->piece.lines[i]; i++) {
        write_escaped(f, c->piece.lines[i]);
        fputc('\n', f);
    }
    fputc('\n', f);
}

int st_vtt_write(const char *path, const struct st_cue *cues, size_t count)
{
    FILE *f = fopen(path, "we");
    if (!f)
        return ST_E_UNAVAILABLE;
    fputs("WEBVTT\n\n", f);
    for (size_t i = 0; i < count; i++)
        write_cue(f, &cues[i], i ? cues[i - 1].speaker : NULL);
    bool ok = !ferror(f);
    return fclose(f) == 0 && ok ? 0 : ST_E_UNAVAILABLE;
}
