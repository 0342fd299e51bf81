/* WebVTT from segments and their times. */
#include "narration/captions.h"

enum { CUE_CHARS = 84 }; /* two lines of 42, as subtitlers have it */

static void put_time(struct st_buf *b, int64_t ms)
{
    st_buf_printf(b, "%02lld:%02lld:%02lld.%03lld", (long long)(ms / 3600000), (long long)(ms / 60000 % 60),
                  (long long)(ms / 1000 % 60), (long long)(ms % 1000));
}

/* White space of any length is one space; < > & are escaped: a cue has no empty line and no "-->" in it. */
static void put_text(struct st_buf *b, const char *s, const char *end)
{
    bool space = false, any = false;
    for (; s < end; s++) {
        if ((unsigned char)*s <= ' ') {
            space = any;
            continue;
        }
        if (space)
            st_buf_char(b, ' ');
        space = false;
        any = true;
        if (*s == '<' || *s == '>' || *s == '&')
            st_buf_str(b, *s == '<' ? "&lt;" : *s == '>' ? "&gt;" : "&amp;");
        else
            st_buf_char(b, *s);
    }
}

/* The end of the first cue of a text: behind the last sentence, clause or word that fits. */
static const char *cue_end(const char *s, const char *end)
{
    const char *sentence = NULL, *clause = NULL, *word = NULL, *at = s;
    for (size_t chars = 0; at < end && chars < CUE_CHARS; chars++) {
        uint32_t c = st_utf8_next(&at);
        bool gap = at < end && (unsigned char)*at <= ' ';
        if (gap && (c == '.' || c == '!' || c == '?'))
            sentence = at;
        else if (gap && (c == ',' || c == ';' || c == ':'))
            clause = at;
        else if (c == 0x3002 || c == 0xff01 || c == 0xff1f) /* ideographic stops have no space behind them */
            sentence = at;
        else if (gap)
            word = at;
    }
    if (at >= end)
        return end;
    return sentence ? sentence : clause ? clause : word ? word : at;
}

static void put_segment(struct st_buf *out, const struct st_caption_segment *s)
{
    const char *at = s->text, *end = at + strlen(at);
    int64_t all = (int64_t)st_utf8_length(at, (size_t)(end - at)), done = 0, ms = s->end_ms - s->start_ms;
    while (at < end) {
        const char *to = cue_end(at, end);
        int64_t n = (int64_t)st_utf8_length(at, (size_t)(to - at));
        int64_t from = s->start_ms + ms * done / all, until = s->start_ms + ms * (done + n) / all;
        done += n;
        const char *seen = at;
        while (seen < to && (unsigned char)*seen <= ' ')
            seen++;
        if (until > from && seen < to) {
            st_buf_char(out, '\n');
            put_time(out, from);
            st_buf_str(out, " --> ");
            put_time(out, until);
            st_buf_char(out, '\n');
            if (s->speaker) {
                st_buf_str(out, "<v ");
                put_text(out, s->speaker, s->speaker + strlen(s->speaker));
                st_buf_char(out, '>');
            }
            put_text(out, at, to);
            st_buf_char(out, '\n');
        }
        at = to;
    }
}

void st_captions_vtt(const struct st_caption_segment *segments, size_t n, struct st_buf *out)
{
    st_buf_str(out, "WEBVTT\n");
    for (size_t i = 0; i < n; i++)
        if (segments[i].end_ms > segments[i].start_ms)
            put_segment(out, &segments[i]);
}
