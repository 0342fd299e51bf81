/* Writes what is burned into the film, as a script for libass: the title card, the captions, the speakers' names. */
#include "video/render_internal.h"

enum {
    CARD_MS = 4000, /* of the title and of the end, at most */
    TITLE_CHARS = 160,
    TITLE_LINES = 4,
    VOICE_CHARS = 60,
    VOICE_LINES = 4, /* that these may take, in the narrowest column */
    COLUMNS_MAX = 2,
    SIDES = 60,
    NAME_GAP_MS = 300, /* a shorter silence does not take the name away */
};

/* Where things stand on a screen of 720 units on its short side; libass scales it. Font sizes are line heights. */
static const struct layout {
    int w, h;
    int title_size, title_ems, title_y; /* y: the middle of the title */
    int caption_size, caption_y;        /* y: the top, so that the name above it stays where it is */
    int name_size, name_y;              /* y: the bottom */
    int voice_size, columns;            /* of names at the end, when there are many */
} lying = {1280, 720, 88, 15, 285, 54, 556, 34, 537, 26, 2}, upright = {720, 1280, 84, 9, 470, 52, 930, 36, 908, 26, 1};

static const struct layout *layout_of(const struct st_video_job *job)
{
    return job->height > job->width ? &upright : &lying;
}

/* What a hostile text could be long or wild in was cut by st_text_clean; this is what ASS gives a meaning to. */
static void write_escaped(FILE *f, const char *s)
{
    for (; *s; s++)
        switch (*s) {
        case '\\': fputs("\\\xe2\x81\xa0", f); break; /* ASS cannot escape it; U+2060 parts it from what follows */
        case '{': fputs("\\{", f); break;
        case '}': fputs("\\}", f); break;
        default: fputc(*s, f);
        }
}

static void write_time(FILE *f, int64_t ms)
{
    int64_t cs = ms / 10;
    fprintf(f, "%d:%02d:%02d.%02d", (int)(cs / 360000), (int)(cs / 6000 % 60), (int)(cs / 100 % 60), (int)(cs % 100));
}

/* A frame shows what is on at its own time: half a frame earlier makes that the nearest frame, not the next one. */
static void begin_event(FILE *f, int layer, const char *style, int64_t start_ms, int64_t end_ms, int64_t frame_ms)
{
    int64_t early = frame_ms / 2;
    fprintf(f, "Dialogue: %d,", layer);
    write_time(f, start_ms > early ? start_ms - early : 0);
    fputc(',', f);
    write_time(f, end_ms > early ? end_ms - early : 0);
    fprintf(f, ",%s,,0,0,0,,", style);
}

static void write_header(FILE *f, const struct st_language *language, const struct layout *l)
{
    /* BorderStyle 4 is one box around all lines, Shadow its padding; Encoding -1 takes the direction from the text. */
    fprintf(
        f,
        "[Script Info]\n"
        "ScriptType: v4.00+\n"
        "PlayResX: %d\n"
        "PlayResY: %d\n"
        "WrapStyle: 0\n"
        "ScaledBorderAndShadow: yes\n"
        "YCbCr Matrix: None\n"
        "\n"
        "[V4+ Styles]\n"
        "Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, "
        "Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, "
        "MarginR, MarginV, Encoding\n"
        "Style: Caption,%s,%d,&H00FFFFFF,&H00FFFFFF,&H00101010,&H58141010,0,0,0,0,100,100,0,0,4,1,12,8,60,60,20,-1\n"
        "Style: Name,%s,%d,&H00FFFFFF,&H00FFFFFF,&H00000000,&H00604030,1,0,0,0,100,100,0.5,0,4,0,6,2,60,60,20,-1\n"
        "Style: Title,%s,%d,&H00F4FAFF,&H00FFFFFF,&H60000000,&H80000000,1,0,0,0,100,100,0,0,1,1,2,5,60,60,20,-1\n"
        "Style: Voice,%s,%d,&H00E8F0F4,&H00FFFFFF,&H60000000,&H80000000,0,0,0,0,100,100,1,0,1,1,1,5,60,60,20,-1\n"
        "Style: Shape,%s,20,&H00000000,&H00FFFFFF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,1,0,0,7,0,0,0,1\n"
        "\n"
        "[Events]\n"
        "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n",
        l->w, l->h, language->caption, l->caption_size, language->caption, l->name_size, language->title, l->title_size,
        language->caption, l->name_size, language->caption);
}

static void write_rectangle(FILE *f, int x, int y, int width, int height, const char *look)
{
    fprintf(f, "{\\pos(%d,%d)%s\\p1}m 0 0 l %d 0 %d %d 0 %d{\\p0}\n", x, y, look, width, width, height, height);
}

/* Lines of a style around a place, with a line under them; gives how many there were. */
static size_t write_heading(FILE *f, const struct layout *l, const char *text, int64_t start, int64_t end,
                            const char *fade)
{
    struct st_arena a = {0};
    const char *lines[TITLE_LINES];
    size_t n = st_text_wrap(&a, st_text_clean(&a, text, TITLE_CHARS), (unsigned)l->title_ems, TITLE_LINES, lines);
    if (n) {
        begin_event(f, 1, "Title", start, end, 0);
        fprintf(f, "{\\pos(%d,%d)%s}", l->w / 2, l->title_y, fade);
        for (size_t i = 0; i < n; i++) {
            fputs(i ? "\\N" : "", f);
            write_escaped(f, lines[i]);
        }
        fputc('\n', f);
        begin_event(f, 1, "Shape", start, end, 0);
        write_rectangle(f, l->w / 2 - 70, l->title_y + (int)n * l->title_size / 2 + 28, 140, 4,
                        st_printf(&a, "%s\\1c&H8FD0FF&", fade));
    }
    st_arena_release(&a);
    return n;
}

/* A veil over the picture, the title, and a line under it. It is there from the first frame on: players show that one.
 */
static void write_title(FILE *f, const struct layout *l, const char *title, int64_t end_ms)
{
    if (write_heading(f, l, title, 0, end_ms, "\\fad(0,700)")) {
        begin_event(f, 0, "Shape", 0, end_ms, 0);
        write_rectangle(f, 0, 0, l->w, l->h, "\\fad(0,700)\\1c&H1A0F0A&\\1a&H70&");
    }
}

/*
 * Who lent a voice, below the end: lines of a size, in rows of columns, on as many pages as it takes. They stand beside
 * each other first, then below.
 */
struct credits {
    int size, columns, rows, pages;
    struct voice {
        const char *lines[VOICE_LINES];
        size_t n;
    } * voices;
    size_t count;
};

static size_t page_end(const struct credits *c, size_t from)
{
    int used[COLUMNS_MAX] = {0};
    size_t i = from;
    while (i < c->count && (used[(i - from) % (size_t)c->columns] += (int)c->voices[i].n) <= c->rows)
        i++;
    return i;
}

static struct credits credits_in(struct st_arena *a, const struct layout *l, const char *const *names, int size,
                                 int columns)
{
    enum { BOTTOM = 40 };
    struct credits c = {.size = size, .columns = columns};
    int em = size * 9 / 10;                          /* as widths are estimated, with what is between letters */
    int ems = (l->w - 2 * SIDES) / columns / em - 1; /* one is between two columns */
    c.rows = (l->h - BOTTOM - l->title_y - l->title_size) / size - 1; /* below the heading */
    while (names && names[c.count])
        c.count++;
    c.voices = st_new_n(a, struct voice, c.count + 1);
    for (size_t i = 0; i < c.count; i++)
        c.voices[i].n =
            st_text_wrap(a, st_text_clean(a, names[i], VOICE_CHARS), (unsigned)ems, VOICE_LINES, c.voices[i].lines);
    for (size_t at = 0; at < c.count; at = page_end(&c, at))
        c.pages++;
    return c;
}

/* A few stand below each other, as large as a speaker's name. */
static struct credits credits_of(struct st_arena *a, const struct layout *l, const char *const *names)
{
    struct credits c = credits_in(a, l, names, l->name_size, 1);
    return c.pages > 1 ? credits_in(a, l, names, l->voice_size, l->columns) : c;
}

static void write_page(FILE *f, const struct layout *l, const struct credits *c, size_t from, int64_t start,
                       int64_t end)
{
    size_t to = page_end(c, from), columns = to - from < (size_t)c->columns ? to - from : (size_t)c->columns;
    int width = (l->w - 2 * SIDES) / (int)columns, y = l->title_y + l->title_size + c->size;
    for (size_t k = 0; k < columns; k++) {
        begin_event(f, 5, "Voice", start, end, 0);
        fprintf(f, "{\\an8\\pos(%d,%d)\\fad(%d,500)\\fs%d}", SIDES + width * (2 * (int)k + 1) / 2, y, from ? 500 : 1200,
                c->size);
        for (size_t i = from + k; i < to; i += columns)
            for (size_t n = 0; n < c->voices[i].n; n++) {
                fputs(i == from + k && n == 0 ? "" : "\\N", f);
                write_escaped(f, c->voices[i].lines[n]);
            }
        fputc('\n', f);
    }
}

static void write_voices(FILE *f, const struct layout *l, const struct st_video_job *job, int64_t start, int64_t end)
{
    struct st_arena a = {0};
    struct credits c = credits_of(&a, l, job->voices);
    if (c.pages) {
        begin_event(f, 5, "Voice", start, end, 0);
        fprintf(f, "{\\an8\\pos(%d,%d)\\fad(1200,500)\\fs%d\\b1}%s\n", l->w / 2, l->title_y + l->title_size, c.size,
                st_language_find(job->language)->voices);
    }
    size_t at = 0;
    for (int page = 0; page < c.pages; page++, at = page_end(&c, at))
        write_page(f, l, &c, at, start + (end - start) * page / c.pages, start + (end - start) * (page + 1) / c.pages);
    st_arena_release(&a);
}

/* The picture goes dark; the title once more is not needed, whose voices they were is. */
static void write_end(FILE *f, const struct layout *l, const struct st_video_job *job, int64_t start, int64_t end)
{
    bool named = job->voices && job->voices[0];
    begin_event(f, 4, "Shape", start, end, 0);
    write_rectangle(f, 0, 0, l->w, l->h, "\\fad(900,0)\\1c&H120A08&\\1a&H28&");
    begin_event(f, 5, "Title", start, end, 0);
    fprintf(f, "{\\pos(%d,%d)\\fad(900,500)}%s\n", l->w / 2, l->title_y - (named ? 40 : 0),
            st_language_find(job->language)->the_end);
    write_voices(f, l, job, start, end);
}

/* Each speaker has a colour; it needs no memory of who has come before. */
static uint32_t color_of(const char *name)
{
    static const uint32_t colors[] = {0x1f7f80, 0xb24f38, 0x7355b8, 0x4a8437, 0xb5447a, 0x336db8, 0x96690f, 0x5b6a80};
    uint32_t hash = 2166136261u;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return colors[(hash ^ hash >> 16) % ST_COUNT(colors)];
}

/* An upright screen is too narrow for the lines: libass breaks them as evenly. */
static void write_caption(FILE *f, const struct layout *l, const struct st_cue *c, int64_t frame_ms)
{
    begin_event(f, 2, "Caption", c->start_ms, c->end_ms, frame_ms);
    fprintf(f, "{\\pos(%d,%d)}", l->w / 2, l->caption_y);
    for (size_t i = 0; i < ST_CAPTION_LINES && c->piece.lines[i]; i++) {
        fputs(i == 0 ? "" : l == &upright ? " " : "\\N", f);
        write_escaped(f, c->piece.lines[i]);
    }
    fputc('\n', f);
}

/* One name over all captions that follow each other from the same speaker; gives how many those are. */
static size_t write_name(FILE *f, const struct layout *l, const struct st_cue *cues, size_t count, int64_t frame_ms)
{
    size_t n = 1;
    while (n < count && st_streq(cues[n].speaker, cues[0].speaker) &&
           cues[n].start_ms - cues[n - 1].end_ms < NAME_GAP_MS)
        n++;
    if (!cues[0].speaker)
        return n;
    uint32_t rgb = color_of(cues[0].speaker);
    begin_event(f, 3, "Name", cues[0].start_ms, cues[n - 1].end_ms, frame_ms);
    fprintf(f, "{\\pos(%d,%d)\\4c&H%02X%02X%02X&}", l->w / 2, l->name_y, rgb & 255, rgb >> 8 & 255, rgb >> 16);
    write_escaped(f, cues[0].speaker);
    fputc('\n', f);
    return n;
}

int64_t st_title_end(int64_t sound_ms)
{
    return sound_ms * 2 / 5 < CARD_MS ? sound_ms * 2 / 5 : CARD_MS;
}

int64_t st_end_card(const struct st_video_job *job, int64_t sound_ms)
{
    struct st_arena a = {0};
    int pages = credits_of(&a, layout_of(job), job->voices).pages;
    st_arena_release(&a);
    if (pages > 1)
        return (int64_t)CARD_MS * pages;
    return sound_ms / 3 < CARD_MS ? sound_ms / 3 : CARD_MS;
}

int st_ass_write(const char *path, const struct st_video_job *job, const struct st_cue *cues, size_t count,
                 int64_t sound_ms, int64_t frame_ms, bool still)
{
    const struct layout *l = layout_of(job);
    FILE *f = fopen(path, "we");
    if (!f)
        return ST_E_UNAVAILABLE;
    write_header(f, st_language_find(job->language), l);
    write_title(f, l, job->title, still ? INT64_C(3600000) : st_title_end(sound_ms));
    if (!still)
        write_end(f, l, job, sound_ms, sound_ms + st_end_card(job, sound_ms) + frame_ms * 2);
    for (size_t i = 0; i < count; i++)
        write_caption(f, l, &cues[i], frame_ms);
    for (size_t i = 0; i < count;)
        i += write_name(f, l, cues + i, count - i, frame_ms);
    bool ok = !ferror(f);
    return fclose(f) == 0 && ok ? 0 : ST_E_UNAVAILABLE;
}
