/* Makes written text speakable: what is not read aloud goes, punctuation becomes a few plain marks. */
#include "narration/speech_text.h"

enum kind {
    LETTER, /* also digits, marks, and symbols that have a spoken name */
    SPACE,
    DROP,  /* invisible: leaves nothing, not even a gap */
    QUOTE, /* becomes a gap */
    APOSTROPHE,
    SOFT, /* a short pause */
    HARD, /* the end of a sentence */
    HYPHEN,
    DASH,
};

static const struct {
    uint32_t from, to;
    enum kind kind;
} kinds[] = {
    /* sorted; what is in no row is a LETTER */
    {0x80, 0xa0, SPACE},          {0xa1, 0xa1, DROP},      {0xa6, 0xa7, SPACE},          {0xa8, 0xa8, SPACE},
    {0xa9, 0xa9, SPACE},          {0xab, 0xac, QUOTE},     {0xad, 0xad, DROP},           {0xae, 0xaf, SPACE},
    {0xb4, 0xb4, APOSTROPHE},     {0xb6, 0xb8, SPACE},     {0xbb, 0xbb, QUOTE},          {0xbf, 0xbf, DROP},
    {0x2bc, 0x2bc, APOSTROPHE},   {0x34f, 0x34f, DROP},    {0x37e, 0x37e, HARD},         {0x589, 0x589, HARD},
    {0x60c, 0x60c, SOFT},         {0x61b, 0x61b, SOFT},    {0x61c, 0x61c, DROP},         {0x61f, 0x61f, HARD},
    {0x640, 0x640, DROP},         {0x6d4, 0x6d4, HARD},    {0x964, 0x965, HARD},         {0x1361, 0x1361, SPACE},
    {0x1362, 0x1362, HARD},       {0x1363, 0x1366, SOFT},  {0x1367, 0x1368, HARD},       {0x1680, 0x1680, SPACE},
    {0x180e, 0x180e, DROP},       {0x2000, 0x200a, SPACE}, {0x200b, 0x200f, DROP},       {0x2010, 0x2011, HYPHEN},
    {0x2012, 0x2015, DASH},       {0x2016, 0x2017, SPACE}, {0x2018, 0x2019, APOSTROPHE}, {0x201a, 0x201a, QUOTE},
    {0x201b, 0x201b, APOSTROPHE}, {0x201c, 0x201f, QUOTE}, {0x2020, 0x2025, SPACE},      {0x2026, 0x2026, SOFT},
    {0x2027, 0x2029, SPACE},      {0x202a, 0x202e, DROP},  {0x202f, 0x202f, SPACE},      {0x2030, 0x2038, SPACE},
    {0x2039, 0x203a, QUOTE},      {0x203b, 0x203b, SPACE}, {0x203c, 0x203d, HARD},       {0x203e, 0x2046, SPACE},
    {0x2047, 0x2049, HARD},       {0x204a, 0x205f, SPACE}, {0x2060, 0x206f, DROP},       {0x20d0, 0x20ff, DROP},
    {0x2190, 0x2bff, SPACE},      {0x2e00, 0x2e7f, SPACE}, {0x3000, 0x3000, SPACE},      {0x3001, 0x3001, SOFT},
    {0x3002, 0x3002, HARD},       {0x3003, 0x3004, SPACE}, {0x3008, 0x3011, QUOTE},      {0x3012, 0x3020, SPACE},
    {0x30fb, 0x30fb, SPACE},      {0xd800, 0xf8ff, SPACE}, {0xfd3e, 0xfd3f, QUOTE},      {0xfe00, 0xfe0f, DROP},
    {0xfe10, 0xfe11, SOFT},       {0xfe30, 0xfe4f, SPACE}, {0xfeff, 0xfeff, DROP},       {0xff01, 0xff01, HARD},
    {0xff08, 0xff09, SOFT},       {0xff0c, 0xff0c, SOFT},  {0xff0e, 0xff0e, HARD},       {0xff1a, 0xff1b, SOFT},
    {0xff1f, 0xff1f, HARD},       {0xff5e, 0xff5e, SPACE}, {0xff61, 0xff61, HARD},       {0xff62, 0xff63, QUOTE},
    {0xff64, 0xff64, SOFT},       {0xfff0, 0xffff, DROP},  {0x1f000, 0x1faff, SPACE},    {0xe0000, 0x10ffff, DROP},
};

static enum kind ascii_kind(uint32_t c)
{
    if (c <= ' ' || c == 0x7f)
        return SPACE;
    if (strchr("#*<>\\^_`{|}~", (int)c))
        return SPACE;
    switch (c) {
    case '"': return QUOTE;
    case '\'': return APOSTROPHE;
    case '-': return HYPHEN;
    case ',':
    case ';':
    case ':':
    case '(':
    case ')':
    case '[':
    case ']': return SOFT;
    case '.':
    case '!':
    case '?': return HARD;
    }
    return LETTER;
}

static enum kind kind_of(uint32_t c)
{
    if (c < 0x80)
        return ascii_kind(c);
    size_t low = 0, high = ST_COUNT(kinds);
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (c > kinds[mid].to)
            low = mid + 1;
        else
            high = mid;
    }
    return low < ST_COUNT(kinds) && c >= kinds[low].from ? kinds[low].kind : LETTER;
}

bool text_is_mark(uint32_t c)
{
    enum kind kind = kind_of(c);
    return kind == SOFT || kind == HARD;
}

struct writer {
    struct st_buf *out;
    enum kind last;  /* what stands at the end of out: LETTER, SOFT or HARD */
    size_t last_len; /* its bytes */
    bool any, gap;
    int newlines; /* since the last character that is not white space */
};

static void put(struct writer *w, uint32_t c, enum kind kind)
{
    char bytes[4];
    if (w->gap && w->any && kind == LETTER)
        st_buf_char(w->out, ' ');
    w->last_len = st_utf8_put(c, bytes);
    st_buf_add(w->out, bytes, w->last_len);
    w->last = kind;
    w->any = true;
    w->gap = kind != LETTER;
}

/* Of several marks in a row the strongest stays, and of two equals the first. */
static void put_mark(struct writer *w, uint32_t c, enum kind kind)
{
    if (!w->any || w->last == HARD || (w->last == SOFT && kind == SOFT)) {
        w->gap = true;
        return;
    }
    if (w->last == SOFT) {
        w->out->len -= w->last_len;
        w->out->data[w->out->len] = '\0';
    }
    put(w, c, kind);
}

static bool is_spoken(uint32_t c)
{
    return c && kind_of(c) == LETTER;
}

/* '.', ',' and ':' inside a number or an abbreviation belong to it: 3.14 U.S.A. 10:30 1,000 */
static bool inside_word(const struct writer *w, uint32_t c, uint32_t prev, uint32_t next)
{
    if (w->gap || !w->any || w->last != LETTER)
        return false;
    if (c == ',' || c == ':')
        return text_is_digit(prev) && text_is_digit(next);
    return c == '.' && (text_is_digit(next) || text_is_ascii_letter(next));
}

static void write_hyphen(struct writer *w, uint32_t prev, uint32_t next)
{
    bool after_letter = w->any && !w->gap && w->last == LETTER && prev != '-';
    if (is_spoken(next) && after_letter)
        put(w, '-', LETTER);
    else if (text_is_digit(next) && w->gap && prev != '-')
        put(w, '-', LETTER); /* a negative number */
    else
        put_mark(w, ',', SOFT);
}

static void write_mark(struct writer *w, uint32_t c, uint32_t prev, uint32_t next)
{
    bool ellipsis = c == '.' && (next == '.' || prev == '.');
    if (inside_word(w, c, prev, next))
        put(w, c, LETTER);
    else if (ellipsis || strchr("()[]", c < 0x80 ? (int)c : 'x') || c == 0x2026)
        put_mark(w, ',', SOFT);
    else
        put_mark(w, c, kind_of(c));
}

/* An empty line ends a sentence even without a mark: a heading. */
static void write_space(struct writer *w, uint32_t c)
{
    w->gap = true;
    w->newlines += c == '\n';
    if (w->newlines == 2)
        put_mark(w, '.', HARD);
}

static void write_char(struct writer *w, uint32_t c, uint32_t prev, uint32_t next)
{
    enum kind kind = kind_of(c);
    if (kind != SPACE)
        w->newlines = 0;
    switch (kind) {
    case LETTER: put(w, c, LETTER); break;
    case SPACE: write_space(w, c); break;
    case QUOTE: w->gap = true; break;
    case DROP: break;
    case APOSTROPHE:
        if (w->any && !w->gap && w->last == LETTER && is_spoken(next))
            put(w, '\'', LETTER);
        break;
    case SOFT:
    case HARD: write_mark(w, c, prev, next); break;
    case HYPHEN: write_hyphen(w, prev, next); break;
    case DASH:
        if (text_is_digit(prev) && text_is_digit(next))
            put(w, '-', LETTER);
        else
            put_mark(w, ',', SOFT);
        break;
    }
}

void text_normalise(const char *text, size_t len, struct st_buf *out)
{
    struct writer w = {.out = out, .gap = true};
    const char *p = text, *end = text + len;
    uint32_t prev = 0, c = p < end ? st_utf8_next(&p) : 0;
    while (c) {
        uint32_t next = p < end ? st_utf8_next(&p) : 0;
        bool wide = c >= 0xff10 && c <= 0xff5a && kind_of(c) == LETTER; /* full-width letters and digits */
        write_char(&w, wide ? c - 0xfee0 : c, prev, next);
        prev = c;
        c = next;
    }
}
