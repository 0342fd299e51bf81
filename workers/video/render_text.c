/* Makes text fit for the screen: cleans it, estimates its width, and splits it into lines and captions. */
#include "video/render_internal.h"

#include <locale.h>
#include <pthread.h>
#include <wchar.h>

enum {
    EM = 100,           /* widths are in hundredths of the font's em */
    LINE_MAX_EM = 25,   /* what a caption line holds with room at both sides */
    WORD_MAX = 20 * EM, /* longer "words" (addresses, scripts without spaces) are broken anywhere */
    SPACE_WIDTH = 26,
    LEAST_WIDTH = 20,     /* of anything, so that a line holds a bounded number of things */
    MARKS_MAX = 8,        /* marks on one letter: enough for every script, too few to paint the screen with */
    CLUSTER_MAX = 16,     /* code points that are kept together (an emoji family has up to 11) */
    SENTENCE_PAUSE = 150, /* what a stop adds to the time of a text, as if it were so wide */
    CLAUSE_PAUSE = 70,
};

enum stop { STOP_NONE, STOP_CLAUSE, STOP_SENTENCE };

/* A run of text that stays on one line. Words follow each other in the text, at most one space apart. */
struct word {
    const char *s;
    uint32_t len, width;
    bool space; /* before it */
    uint8_t stop;
};

struct words {
    struct word *at;
    size_t count;
};

struct cluster {
    uint32_t first, last; /* code points */
    uint32_t width;
    bool wide; /* a line may end beside it */
};

/* --- code points ------------------------------------------------------------------------------------------------- */

static locale_t utf8_locale;

static void make_locale(void)
{
    utf8_locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

/* For as long as the result is kept, wcwidth knows Unicode in this thread. */
static locale_t enter_unicode(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_locale);
    return uselocale(utf8_locale);
}

static bool is_in(uint32_t cp, const uint32_t *set)
{
    for (; *set; set++)
        if (*set == cp)
            return true;
    return false;
}

static bool is_space(uint32_t cp)
{
    static const uint32_t spaces[] = {' ',    '\t',   '\n',   '\r',   '\v',   '\f',   0x85,   0xa0,
                                      0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000, 0x200b, 0};
    return is_in(cp, spaces) || (cp >= 0x2000 && cp <= 0x200a);
}

/* Controls, direction overrides and isolates (a split would leave them open), invisible operators, tags, noncharacters.
 */
static bool is_dropped(uint32_t cp)
{
    static const struct {
        uint32_t from, to;
    } ranges[] = {{0, 0x1f},        {0x7f, 0x9f},       {0xad, 0xad},       {0x61c, 0x61c},     {0x180e, 0x180e},
                  {0x202a, 0x202e}, {0x2060, 0x206f},   {0xfdd0, 0xfdef},   {0xfeff, 0xfeff},   {0xfff0, 0xfffb},
                  {0xfffe, 0xffff}, {0x1d173, 0x1d17a}, {0xe0000, 0xe00ff}, {0x1fffe, 0x1ffff}, {0xf0000, 0x10ffff}};
    for (size_t i = 0; i < ST_COUNT(ranges); i++)
        if (cp >= ranges[i].from && cp <= ranges[i].to)
            return true;
    return false;
}

enum { ZWJ = 0x200d };

/* Does it stand on what comes before it? */
static bool is_mark(uint32_t cp)
{
    return wcwidth((wchar_t)cp) == 0 || (cp >= 0x1f3fb && cp <= 0x1f3ff);
}

static bool is_flag_letter(uint32_t cp)
{
    return cp >= 0x1f1e6 && cp <= 0x1f1ff;
}

static uint32_t width_of(uint32_t cp)
{
    if (cp < 0x80) {
        if (strchr("ijlI.,:;'|!()[]ftr-", (int)cp))
            return 34;
        if (strchr("mwMW@%", (int)cp))
            return 92;
        return cp >= 'A' && cp <= 'Z' ? 66 : 57;
    }
    if (is_mark(cp))
        return 0;
    return wcwidth((wchar_t)cp) == 2 ? (cp >= 0x1f000 && cp < 0x20000 ? 125 : 100) : 62;
}

static bool opens(uint32_t cp)
{
    static const uint32_t set[] = {'(',    '[',    '{',    0xab,   0x2018, 0x201c, 0x201e, 0x3008, 0x300a, 0x300c,
                                   0x300e, 0x3010, 0x3014, 0x3016, 0x3018, 0xff08, 0xff3b, 0xff5b, 0};
    return is_in(cp, set);
}

static bool closes(uint32_t cp)
{
    static const uint32_t set[] = {'"',    '\'',   ')',    ']',    '}',    0xbb,   0x2019, 0x201d, 0x3009, 0x300b,
                                   0x300d, 0x300f, 0x3011, 0x3015, 0x3017, 0x3019, 0xff09, 0xff3d, 0xff5d, 0};
    return is_in(cp, set);
}

static bool ends_sentence(uint32_t cp)
{
    static const uint32_t set[] = {'.',   '!',   '?',   0x2026, 0x3002, 0xff01, 0xff0e, 0xff1f, 0xff61,
                                   0x61f, 0x6d4, 0x964, 0x965,  0x589,  0x203c, 0x2049, 0};
    return is_in(cp, set);
}

static bool ends_clause(uint32_t cp)
{
    static const uint32_t set[] = {',',    ';',    ':',    0x2013, 0x2014, 0x60c, 0x61b,
                                   0x3001, 0xff0c, 0xff1a, 0xff1b, 0xff64, 0};
    return is_in(cp, set);
}

/* Signs of a script without spaces that may not begin a line, apart from the stops and closing brackets above. */
static bool clings(uint32_t cp)
{
    static const uint32_t set[] = {0x3005, 0x3041, 0x3043, 0x3045, 0x3047, 0x3049, 0x3063, 0x3083,
                                   0x3085, 0x3087, 0x30a1, 0x30a3, 0x30a5, 0x30a7, 0x30a9, 0x30c3,
                                   0x30e3, 0x30e5, 0x30e7, 0x30fb, 0x30fc, 0xff05, '%',    0};
    return is_in(cp, set);
}

/* --- cleaning ---------------------------------------------------------------------------------------------------- */

static char *clean(struct st_arena *a, const char *s, size_t max_chars)
{
    static const char ellipsis[] = "\xe2\x80\xa6";
    char *out = st_alloc(a, strlen(s) + sizeof(ellipsis)), *o = out, *last = out;
    size_t chars = 0, marks = 0;
    bool space = false;
    while (*s) {
        uint32_t cp = st_utf8_next(&s);
        if (is_space(cp)) {
            space = o != out;
            continue;
        }
        bool mark = !is_dropped(cp) && is_mark(cp);
        if (is_dropped(cp) || (mark && ++marks > MARKS_MAX))
            continue;
        if (chars + space >= max_chars) {
            memcpy(last, ellipsis, sizeof(ellipsis));
            return out;
        }
        if (!mark)
            marks = 0;
        if (space)
            *o++ = ' ';
        chars += 1 + (size_t)space;
        space = false;
        last = o;
        o += st_utf8_put(cp, o);
    }
    *o = '\0';
    return out;
}

char *st_text_clean(struct st_arena *a, const char *s, size_t max_chars)
{
    locale_t old = enter_unicode();
    char *out = clean(a, s, max_chars);
    uselocale(old);
    return out;
}

/* --- words ------------------------------------------------------------------------------------------------------- */

/* Reads what a reader sees as one sign: a letter with its marks, a flag, a joined emoji. */
static struct cluster next_cluster(const char **s)
{
    struct cluster c = {0};
    c.first = c.last = st_utf8_next(s);
    c.width = width_of(c.first);
    /* Korean has wide signs but breaks between words. */
    c.wide = c.width >= EM && !(c.first >= 0xac00 && c.first <= 0xd7a3);
    for (int n = 1; **s && n < CLUSTER_MAX; n++) {
        const char *ahead = *s;
        uint32_t cp = st_utf8_next(&ahead);
        bool flag = n == 1 && is_flag_letter(c.first) && is_flag_letter(cp);
        if (!flag && !is_mark(cp) && !(c.last == ZWJ && cp != ' '))
            break;
        c.last = cp;
        c.width += width_of(cp); /* fonts without the joined sign show its parts side by side */
        *s = ahead;
    }
    if (c.width < LEAST_WIDTH)
        c.width = LEAST_WIDTH;
    return c;
}

static enum stop stop_after(enum stop before, uint32_t cp)
{
    if (ends_sentence(cp))
        return STOP_SENTENCE;
    if (ends_clause(cp))
        return STOP_CLAUSE;
    return closes(cp) ? before : STOP_NONE;
}

/* May a line end between two neighbours? */
static bool may_break(const struct cluster *left, const struct cluster *right)
{
    uint32_t r = right->first;
    if (left->first == 0x2013 || left->first == 0x2014)
        return true;
    if (!left->wide && !right->wide)
        return false;
    return !opens(left->first) && !closes(r) && !ends_sentence(r) && !ends_clause(r) && !clings(r);
}

static struct words split_words(struct st_arena *a, const char *text, uint32_t word_max)
{
    struct words w = {0};
    size_t room = 0;
    struct word *word = NULL;
    struct cluster before = {0};
    bool space = false;
    for (const char *s = text; *s;) {
        const char *from = s;
        if (*s == ' ') {
            s++;
            space = true;
            continue;
        }
        struct cluster c = next_cluster(&s);
        if (!word || space || word->width + c.width > word_max || may_break(&before, &c)) {
            if (w.count == room) {
                struct word *more = st_new_n(a, struct word, room = room ? room * 2 : 32);
                if (w.count)
                    memcpy(more, w.at, w.count * sizeof(*more));
                w.at = more;
            }
            word = &w.at[w.count++];
            *word = (struct word){.s = from, .space = space};
        }
        word->len += (uint32_t)(s - from);
        word->width += c.width;
        word->stop = (uint8_t)stop_after(word->stop, c.first);
        before = c;
        space = false;
    }
    return w;
}

/* --- lines ------------------------------------------------------------------------------------------------------- */

/* The space in front belongs to a word unless the word begins its line. */
static uint32_t width_in_line(const struct word *w, bool first)
{
    return w->width + (w->space && !first ? SPACE_WIDTH : 0);
}

static uint32_t width_of_words(const struct words *w, size_t from, size_t to)
{
    uint32_t sum = 0;
    for (size_t i = from; i < to; i++)
        sum += width_in_line(&w->at[i], i == from);
    return sum;
}

/* Where a line that begins at `from` is full; takes one word at least. */
static size_t fill_line(const struct words *w, size_t from, uint32_t max)
{
    uint32_t sum = 0;
    size_t i = from;
    for (; i < w->count; i++) {
        sum += width_in_line(&w->at[i], i == from);
        if (sum > max && i > from)
            break;
    }
    return i;
}

static const char *join(struct st_arena *a, const struct words *w, size_t from, size_t to)
{
    const struct word *last = &w->at[to - 1];
    return st_strndup(a, w->at[from].s, (size_t)(last->s + last->len - w->at[from].s));
}

/* Where the first piece from `from` on should end. */
static size_t piece_end(const struct words *w, size_t from)
{
    size_t middle = fill_line(w, from, LINE_MAX_EM * EM), full = fill_line(w, middle, LINE_MAX_EM * EM);
    if (middle >= w->count || full >= w->count)
        return w->count;
    uint32_t whole = width_of_words(w, from, full), sum = 0;
    size_t sentence = 0, clause = 0;
    for (size_t i = from; i < full; i++) {
        sum += width_in_line(&w->at[i], i == from);
        if (w->at[i].stop == STOP_SENTENCE && sum >= whole / 4)
            sentence = i + 1;
        else if (w->at[i].stop == STOP_CLAUSE && sum >= whole / 2)
            clause = i + 1;
    }
    if (sentence || clause)
        return sentence ? sentence : clause;
    size_t next = fill_line(w, full, LINE_MAX_EM * EM);
    uint32_t rest = width_of_words(w, full, next);
    if (next < w->count || rest > whole / 2)
        return full;
    /* A few words would be left for the last piece: share evenly instead. */
    sum = 0;
    for (size_t i = from; i < full; i++) {
        sum += width_in_line(&w->at[i], i == from);
        if (sum >= (whole + rest) / 2)
            return i + 1;
    }
    return full;
}

/* The most even break of a piece that needs two lines. */
static size_t line_end(const struct words *w, size_t from, size_t to)
{
    uint32_t whole = width_of_words(w, from, to), sum = 0, best_score = UINT32_MAX;
    size_t best = from + 1;
    for (size_t i = from; i + 1 < to; i++) {
        sum += width_in_line(&w->at[i], i == from);
        uint32_t rest = whole - sum, longer = sum > rest ? sum : rest, score = longer;
        if (longer > LINE_MAX_EM * EM)
            score += whole;
        if (w->at[i].stop)
            score -= score / 8; /* a break at a stop reads better */
        if (score < best_score) {
            best_score = score;
            best = i + 1;
        }
    }
    return best;
}

static struct st_piece make_piece(struct st_arena *a, const struct words *w, size_t from, size_t to)
{
    struct st_piece p = {.weight = width_of_words(w, from, to)};
    for (size_t i = from; i < to; i++)
        p.weight += w->at[i].stop == STOP_SENTENCE ? SENTENCE_PAUSE : w->at[i].stop == STOP_CLAUSE ? CLAUSE_PAUSE : 0;
    if (fill_line(w, from, LINE_MAX_EM * EM) >= to) {
        p.lines[0] = join(a, w, from, to);
        return p;
    }
    size_t middle = line_end(w, from, to);
    p.lines[0] = join(a, w, from, middle);
    p.lines[1] = join(a, w, middle, to);
    return p;
}

struct st_piece *st_text_split(struct st_arena *a, const char *text, size_t *ret_count)
{
    struct st_arena scratch = {0};
    locale_t old = enter_unicode();
    struct words w = split_words(&scratch, clean(&scratch, text, SIZE_MAX), WORD_MAX);
    uselocale(old);
    size_t count = 0;
    for (size_t at = 0; at < w.count; at = piece_end(&w, at))
        count++;
    struct st_piece *pieces = st_new_n(a, struct st_piece, count);
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        size_t end = piece_end(&w, at);
        pieces[i] = make_piece(a, &w, at, end);
        at = end;
    }
    st_arena_release(&scratch);
    *ret_count = count;
    return pieces;
}

static size_t count_lines(const struct words *w, uint32_t max)
{
    size_t lines = 0;
    for (size_t at = 0; at < w->count; at = fill_line(w, at, max))
        lines++;
    return lines;
}

size_t st_text_wrap(struct st_arena *a, const char *text, unsigned ems, size_t max_lines, const char **ret_lines)
{
    struct st_arena scratch = {0};
    locale_t old = enter_unicode();
    struct words w = split_words(&scratch, text, ems * EM);
    uselocale(old);
    uint32_t max = ems * EM, widest = 0;
    size_t needed = count_lines(&w, max), n = 0, at = 0;
    for (size_t i = 0; i < w.count; i++)
        widest = w.at[i].width > widest ? w.at[i].width : widest;
    while (max >= widest + EM / 2 && count_lines(&w, max - EM / 2) == needed)
        max -= EM / 2;
    for (; at < w.count && n < max_lines; n++) {
        size_t end = fill_line(&w, at, max);
        ret_lines[n] = join(a, &w, at, end);
        at = end;
    }
    if (at < w.count)
        ret_lines[n - 1] = st_printf(a, "%s\xe2\x80\xa6", ret_lines[n - 1]);
    st_arena_release(&scratch);
    return n;
}
