/* Cleans the text into paragraphs of single-spaced words, and tells what a code point is. */
#include "story/analyse_int.h"
#include "story/chapters.h"

void *an_push(struct an *an, void **list, uint32_t *n, uint32_t *cap, size_t size)
{
    if (*n == *cap) {
        uint32_t grown = *cap ? *cap * 2 : 64;
        void *bigger = st_alloc_array(an->arena, grown, size);
        if (*n)
            memcpy(bigger, *list, *n * size);
        *list = bigger;
        *cap = grown;
    }
    return (char *)*list + (*n)++ * size;
}

uint32_t an_peek(const char *s, const char *end)
{
    return s < end ? st_utf8_next(&s) : 0;
}

uint32_t an_before(const char *begin, const char *s)
{
    if (s <= begin)
        return 0;
    do
        s--;
    while (s > begin && ((unsigned char)*s & 0xC0) == 0x80);
    return st_utf8_next(&s);
}

struct range {
    uint32_t first, last;
};

static bool in_ranges(const struct range *r, size_t n, uint32_t cp)
{
    size_t low = 0;
    while (low < n) {
        size_t mid = (low + n) / 2;
        if (cp > r[mid].last)
            low = mid + 1;
        else if (cp < r[mid].first)
            n = mid;
        else
            return true;
    }
    return false;
}

bool an_is_letter(uint32_t cp)
{
    /* Everything above ASCII is a letter but these: punctuation, symbols, spaces, formats, private use. Sorted. */
    static const struct range others[] = {
        {0x80, 0xA9},     {0xAB, 0xB4},     {0xB6, 0xB9},     {0xBB, 0xBF},       {0xD7, 0xD7},        {0xF7, 0xF7},
        {0x37E, 0x37E},   {0x387, 0x387},   {0x55A, 0x55F},   {0x589, 0x58A},     {0x5BE, 0x5BE},      {0x5C0, 0x5C0},
        {0x5C3, 0x5C3},   {0x5F3, 0x5F4},   {0x600, 0x60F},   {0x61B, 0x61F},     {0x66A, 0x66D},      {0x6D4, 0x6D4},
        {0x700, 0x70D},   {0x964, 0x965},   {0x970, 0x970},   {0xE4F, 0xE4F},     {0xE5A, 0xE5B},      {0xF04, 0xF12},
        {0x104A, 0x104F}, {0x10FB, 0x10FB}, {0x1361, 0x1368}, {0x1400, 0x1400},   {0x166E, 0x166E},    {0x17D4, 0x17D6},
        {0x17D8, 0x17DA}, {0x1800, 0x180A}, {0x2000, 0x200B}, {0x200E, 0x2BFF},   {0x2E00, 0x2E7F},    {0x2FF0, 0x3004},
        {0x3008, 0x3020}, {0x3030, 0x3030}, {0x303D, 0x303F}, {0x30A0, 0x30A0},   {0x30FB, 0x30FB},    {0xA4FE, 0xA4FF},
        {0xD800, 0xF8FF}, {0xFD3E, 0xFD3F}, {0xFE00, 0xFE6F}, {0xFEFF, 0xFEFF},   {0xFF00, 0xFF0F},    {0xFF1A, 0xFF20},
        {0xFF3B, 0xFF40}, {0xFF5B, 0xFF65}, {0xFFE0, 0xFFFF}, {0x1F000, 0x1FAFF}, {0xE0000, 0x10FFFF},
    };
    if (cp < 0x80)
        return (cp >= '0' && cp <= '9') || ((cp | 0x20) >= 'a' && (cp | 0x20) <= 'z');
    return !in_ranges(others, ST_COUNT(others), cp);
}

bool an_is_symbol(uint32_t cp)
{
    return (cp >= 0x1F000 && cp <= 0x1FAFF) || (cp >= 0x2190 && cp <= 0x2BFF) || (cp >= 0x20A0 && cp <= 0x214F);
}

bool an_is_cjk(uint32_t cp)
{
    return (cp >= 0x3005 && cp <= 0x9FFF && cp != 0x3007) || (cp >= 0xF900 && cp <= 0xFAFF) ||
           (cp >= 0x20000 && cp <= 0x3FFFF) || (cp >= 0xE01 && cp <= 0xEFF) || (cp >= 0x1000 && cp <= 0x109F) ||
           (cp >= 0x1780 && cp <= 0x17FF);
}

bool an_is_terminator(uint32_t cp)
{
    return cp == '.' || cp == '!' || cp == '?' || cp == 0x2026 || cp == 0x3002 || cp == 0xFF01 || cp == 0xFF1F ||
           cp == 0xFF0E || cp == 0xFF61 || cp == 0x61F || cp == 0x6D4 || cp == 0x964 || cp == 0x965 || cp == 0x203C ||
           cp == 0x203D || (cp >= 0x2047 && cp <= 0x2049) || cp == 0x589 || cp == 0x1362 || cp == 0x104B ||
           cp == 0x17D4;
}

bool an_is_closer(uint32_t cp)
{
    return cp == '"' || cp == '\'' || cp == ')' || cp == ']' || cp == '*' || cp == '_' || cp == 0xBB || cp == 0xAB ||
           cp == 0x2019 || cp == 0x201C || cp == 0x201D || cp == 0x203A || cp == 0x2039 || cp == 0x300D ||
           cp == 0x300F || cp == 0xFF09 || cp == 0x3009 || cp == 0x300B;
}

/* Upper and lower case of the scripts that have two: Latin, Greek, Cyrillic, Armenian. */
uint32_t an_lower(uint32_t cp)
{
    if (cp < 0x80)
        return cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
    if (cp >= 0xC0 && cp <= 0xDE)
        return cp == 0xD7 ? cp : cp + 32;
    if (cp >= 0x100 && cp <= 0x17F) {
        if (cp == 0x130)
            return 'i';
        if (cp == 0x178)
            return 0xFF;
        bool odd_is_upper = (cp >= 0x139 && cp <= 0x148) || (cp >= 0x179 && cp <= 0x17E);
        if (cp == 0x138 || cp == 0x149 || cp == 0x17F)
            return cp;
        return (cp & 1) == odd_is_upper ? cp + 1 : cp;
    }
    if (cp >= 0x1CD && cp <= 0x233)
        return cp <= 0x1DC ? cp + (cp & 1) : cp >= 0x1DE && cp != 0x1F0 && !(cp & 1) ? cp + 1 : cp;
    if (cp >= 0x391 && cp <= 0x3AB && cp != 0x3A2)
        return cp + 32;
    if (cp == 0x386)
        return 0x3AC;
    if (cp >= 0x388 && cp <= 0x38A)
        return cp + 37;
    if (cp == 0x38C)
        return 0x3CC;
    if (cp == 0x38E || cp == 0x38F)
        return cp + 63;
    if (cp >= 0x400 && cp <= 0x40F)
        return cp + 80;
    if (cp >= 0x410 && cp <= 0x42F)
        return cp + 32;
    if (cp >= 0x460 && cp <= 0x52F && !(cp >= 0x482 && cp <= 0x489) && !(cp >= 0x4C0 && cp <= 0x4CF))
        return cp & 1 ? cp : cp + 1;
    if (cp >= 0x531 && cp <= 0x556)
        return cp + 48;
    if (cp >= 0x1E00 && cp <= 0x1EFF && !(cp >= 0x1E96 && cp <= 0x1E9F))
        return cp & 1 ? cp : cp + 1;
    return cp;
}

bool an_is_upper(uint32_t cp)
{
    return an_lower(cp) != cp;
}

size_t an_fold(const char *s, size_t len, char *out, size_t room)
{
    const char *end = s + len;
    size_t n = 0;
    while (s < end) {
        uint32_t cp = st_utf8_next(&s);
        cp = cp == 0x2019 || cp == 0x2BC ? '\'' : an_lower(cp);
        char put[4];
        size_t k = st_utf8_put(cp, put);
        if (n + k >= room)
            break;
        memcpy(out + n, put, k);
        n += k;
    }
    out[n] = '\0';
    return n;
}

/* ---- Cleaning ---- */

struct line {
    uint32_t start, end; /* trimmed */
    uint32_t chars;
    bool indented;
    bool full;  /* the next word had no room */
    bool wraps; /* the next line goes on with the same paragraph */
};

static bool is_space(uint32_t cp)
{
    if (cp < 0x80)
        return cp == ' ' || cp == '\t' || cp == '\r' || cp == '\n';
    return cp == 0xA0 || cp == 0x1680 || cp == 0x202F || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x205F ||
           cp == 0x3000 || cp == 0x85;
}

/* Soft hyphens, byte order marks, zero-width spaces and direction marks: not spoken, and in the way. */
static bool is_ignorable(uint32_t cp)
{
    return cp >= 0xAD && (cp == 0xAD || cp == 0xFEFF || cp == 0x200B || cp == 0x200E || cp == 0x200F || cp == 0x2060 ||
                          (cp >= 0x202A && cp <= 0x202E) || (cp >= 0x2066 && cp <= 0x2069));
}

static bool is_newline(uint32_t cp)
{
    return cp == '\n' || cp == 0x2028 || cp == 0x2029;
}

static uint32_t read_line(const char *text, uint32_t at, uint32_t len, struct line *line)
{
    const char *s = text + at, *end = text + len;
    bool content = false;
    *line = (struct line){.start = at, .end = at};
    while (s < end) {
        const char *here = s;
        uint32_t cp = st_utf8_next(&s);
        if (is_newline(cp))
            break;
        if (is_space(cp) || is_ignorable(cp)) {
            if (!content && is_space(cp) && cp != '\r')
                line->indented = here > text + at || cp == '\t' || cp == 0x3000 || line->indented;
            line->chars += content;
            continue;
        }
        if (!content)
            line->start = (uint32_t)(here - text);
        content = true;
        line->chars++;
        line->end = (uint32_t)(s - text);
    }
    if (!content)
        line->end = line->start;
    return (uint32_t)(s - text);
}

static bool blank(const struct line *l)
{
    return l->start == l->end;
}

static uint32_t first_word_chars(const char *text, const struct line *l)
{
    uint32_t n = 0;
    for (const char *s = text + l->start; s < text + l->end && n < 40; n++)
        if (is_space(st_utf8_next(&s)))
            break;
    return n;
}

/* Lines end in the middle of sentences, and begin again with a small letter, only where an editor broke them. */
static bool breaks_sentence(const char *text, const struct line *l, const struct line *next)
{
    uint32_t last = an_before(text + l->start, text + l->end);
    uint32_t cp = an_peek(text + next->start, text + next->end);
    if (!(an_is_letter(last) || last == ',' || last == ';' || last == '-' || last == 0x2014))
        return false;
    return an_is_letter(cp) && !an_is_upper(cp);
}

enum { WRAP_MIN = 40, WRAP_MAX = 130, WRAP_SLACK = 6 };

/* The column at which the text was hard-wrapped, or 0. */
static uint32_t wrap_column(const char *text, const struct line *lines, size_t n)
{
    uint32_t widths[WRAP_MAX + 1] = {0}, inner = 0, broken = 0, longer = 0;
    for (size_t i = 0; i + 1 < n; i++) {
        if (blank(&lines[i]) || blank(&lines[i + 1]))
            continue;
        inner++;
        broken += breaks_sentence(text, &lines[i], &lines[i + 1]);
        if (lines[i].chars > WRAP_MAX)
            longer++;
        else
            widths[lines[i].chars]++;
    }
    if (inner == 0 || longer * 20 > inner || broken * 4 < inner)
        return 0;
    uint32_t above = longer, column = WRAP_MAX;
    while (column > 0 && (above + widths[column]) * 20 <= inner)
        above += widths[column--];
    return column >= WRAP_MIN ? column : 0;
}

/* Lines to the next blank one. */
static size_t block_lines(const struct line *lines, size_t n)
{
    size_t k = 0;
    while (k < n && !blank(&lines[k]))
        k++;
    return k;
}

/* May the line go on with a stanza? Speech, a dash, an item of a list begin something of their own. */
static bool begins_verse_line(const char *text, const struct line *l)
{
    const char *s = text + l->start, *end = text + l->end;
    uint32_t cp = st_utf8_next(&s), next = an_peek(s, end);
    bool letter = an_is_letter(next) && next >= 'A';
    if (cp == '\'' || cp == 0x2019)
        return letter && !an_is_upper(next); /* 'twas, and no quote */
    if (cp == '(' || cp == '_')
        return letter;
    return an_is_letter(cp) && cp >= 'A' && next != ')' && next != '.';
}

static bool has_small_letter(const char *s, const char *end)
{
    while (s < end) {
        uint32_t cp = st_utf8_next(&s);
        if (an_is_letter(cp) && !an_is_upper(cp) && cp >= 'A')
            return true;
    }
    return false;
}

/*
 * Is the block a stanza: lines that end early, all of them, and not each with its sentence, or with what somebody says?
 * A line alone above another, without a comma, may be a heading.
 */
static bool is_stanza(const char *text, const struct line *lines, size_t n)
{
    size_t ends = 0;
    for (size_t i = 0; i < n; i++) {
        const struct line *l = &lines[i];
        uint32_t last = an_before(text + l->start, text + l->end);
        bool closes = last == '"' || last == 0x201D || last == 0x2019 || last == '\'' || last == 0xBB;
        if (l->full || text[l->start] == '#' || !has_small_letter(text + l->start, text + l->end) ||
            (i > 0 && !begins_verse_line(text, l)) || (closes && i + 1 < n))
            return false;
        ends += i + 1 < n && an_is_terminator(last);
        if (n == 2 && i == 0 && !(last == ',' || last == ';' || lines[1].indented))
            return false;
    }
    return n > 1 && ends + 1 < n;
}

/* A stanza is a paragraph in a text in which, but for them, blank lines stand between paragraphs. */
static void join_stanzas(const char *text, struct line *lines, size_t n)
{
    size_t ends = 0, inside = 0;
    for (size_t i = 0, k; i < n; i += k + 1) {
        k = block_lines(lines + i, n - i);
        bool stanza = is_stanza(text, lines + i, k);
        ends += k > 0;
        for (size_t j = i; !stanza && j + 1 < i + k; j++) {
            ends += !lines[j].wraps;
            inside += !lines[j].wraps;
        }
    }
    for (size_t i = 0, k; inside * 4 < ends && i < n; i += k + 1) {
        k = block_lines(lines + i, n - i);
        bool stanza = is_stanza(text, lines + i, k);
        for (size_t j = i; stanza && j + 1 < i + k; j++)
            lines[j].wraps = true;
    }
}

static void find_wraps(const char *text, struct line *lines, size_t n)
{
    uint32_t column = wrap_column(text, lines, n);
    for (size_t i = 0; i + 1 < n; i++) {
        struct line *l = &lines[i], *next = &lines[i + 1];
        if (blank(l) || blank(next))
            continue;
        l->full = column && l->chars + 1 + first_word_chars(text, next) + WRAP_SLACK > column;
        l->wraps = (l->full && (!next->indented || l->indented)) || breaks_sentence(text, l, next);
    }
    if (column)
        join_stanzas(text, lines, n);
}

/* "***", "---", "* * *": the mark of a new scene. */
static bool is_rule(const char *s, const char *end)
{
    while (s < end) {
        uint32_t cp = st_utf8_next(&s);
        if (an_is_letter(cp) || an_is_symbol(cp) || cp == '"' || cp == 0x201C)
            return false;
    }
    return true;
}

/* Copies one line with single spaces; strips what Markdown puts before it. */
static void copy_line(struct an *an, const char *s, const char *end, struct an_para *p)
{
    bool begins = an->len == p->start;
    while (s < end && *s == '>')
        do
            s++;
        while (s < end && is_space((unsigned char)*s));
    if (begins && s < end && *s == '#') {
        const char *mark = s;
        while (mark < end && *mark == '#')
            mark++;
        if (mark < end && *mark == ' ') {
            p->heading = true;
            p->title = st_chapter_title(s, (size_t)(end - s));
            s = mark;
        }
    }
    bool space = !begins;
    while (s < end) {
        const char *here = s;
        uint32_t cp = st_utf8_next(&s);
        if (is_ignorable(cp))
            continue;
        if (is_space(cp)) {
            space = true;
            continue;
        }
        if (space && an->len > p->start)
            an->text[an->len++] = ' ';
        space = false;
        memcpy(an->text + an->len, here, (size_t)(s - here));
        an->len += (uint32_t)(s - here);
    }
}

/* "CHAPTER IV.", "Chapter 4", "PROLOGUE": short, no small letters beyond the first word. */
static bool looks_like_heading(const struct an *an, const struct an_para *p)
{
    enum { HEADING_BYTES = 80 };
    if (p->end - p->start > HEADING_BYTES)
        return false;
    const char *s = an->text + p->start, *end = an->text + p->end;
    uint32_t upper = 0, lower = 0;
    while (s < end) {
        uint32_t cp = st_utf8_next(&s);
        if (cp == '"' || cp == 0x201C || cp == 0xAB)
            return false;
        upper += an_is_upper(cp);
        lower += an_is_letter(cp) && !an_is_upper(cp) && cp >= 'A';
    }
    bool chapter = p->end - p->start >= 8 && st_starts(an->text + p->start, "Chapter ");
    return (upper >= 2 && lower == 0) || (chapter && p->end - p->start < 40);
}

static void end_paragraph(struct an *an, bool *scene)
{
    struct an_para *p = &an->paras[an->n_paras];
    p->end = an->len;
    if (p->end == p->start)
        return;
    if (is_rule(an->text + p->start, an->text + p->end)) {
        an->len = p->start;
        *scene = true;
        return;
    }
    p->title = p->title || st_chapter_title(an->text + p->start, p->end - p->start);
    p->heading = p->heading || p->title || looks_like_heading(an, p);
    p->scene = *scene || p->heading;
    *scene = false;
    an->text[an->len++] = '\n';
    an->n_paras++;
}

/* Paragraphs of the clean text end in a newline each; inside, single spaces stand where lines were wrapped. */
void an_clean(struct an *an, const char *text, size_t len)
{
    uint32_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += text[i] == '\n' || (unsigned char)text[i] == 0xE2;
    struct line *lines = st_new_n(an->arena, struct line, n + 2);
    n = 0;
    for (uint32_t at = 0; at < len; n++)
        at = read_line(text, at, (uint32_t)len, &lines[n]);
    find_wraps(text, lines, n);
    an->text = st_alloc(an->arena, len + n + 2);
    an->paras = st_new_n(an->arena, struct an_para, n + 1);
    bool scene = true;
    for (uint32_t i = 0; i < n; i++) {
        struct an_para *p = &an->paras[an->n_paras];
        *p = (struct an_para){.start = an->len, .end = an->len};
        if (blank(&lines[i]))
            continue;
        copy_line(an, text + lines[i].start, text + lines[i].end, p);
        while (lines[i].wraps && i + 1 < n) {
            i++;
            copy_line(an, text + lines[i].start, text + lines[i].end, p);
        }
        end_paragraph(an, &scene);
    }
}

/* ---- Terms ---- */

/* Seeded, so that nobody can write a text whose words all fall into one bucket. */
static uint32_t hash_bytes(const struct an *an, const char *s, size_t len)
{
    uint64_t h = an->seed;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)s[i]) * UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)(h >> 32 ^ h >> 17);
}

uint32_t an_find(const struct an *an, const char *word, size_t len)
{
    uint32_t hash = hash_bytes(an, word, len);
    uint32_t t = an->n_term_buckets ? an->term_buckets[hash & (an->n_term_buckets - 1)] : AN_NONE;
    while (t != AN_NONE) {
        const struct an_term *term = &an->terms[t];
        if (term->hash == hash && term->len == len && memcmp(term->text, word, len) == 0)
            return t;
        t = term->next;
    }
    return AN_NONE;
}

static void grow_buckets(struct an *an)
{
    an->n_term_buckets = an->n_term_buckets ? an->n_term_buckets * 2 : 8192;
    an->term_buckets = st_new_n(an->arena, uint32_t, an->n_term_buckets);
    memset(an->term_buckets, 0xFF, an->n_term_buckets * sizeof(uint32_t));
    for (uint32_t t = 0; t < an->n_terms; t++) {
        uint32_t *bucket = &an->term_buckets[an->terms[t].hash & (an->n_term_buckets - 1)];
        an->terms[t].next = *bucket;
        *bucket = t;
    }
}

uint32_t an_intern(struct an *an, const char *word, size_t len)
{
    uint32_t t = an_find(an, word, len);
    if (t != AN_NONE)
        return t;
    if (an->n_terms >= an->n_term_buckets)
        grow_buckets(an);
    t = an->n_terms;
    struct an_term *term = &AN_PUSH(an, terms);
    *term = (struct an_term){.text = st_strndup(an->arena, word, len), .len = (uint32_t)len};
    term->hash = hash_bytes(an, word, len);
    uint32_t *bucket = &an->term_buckets[term->hash & (an->n_term_buckets - 1)];
    term->next = *bucket;
    *bucket = t;
    return t;
}
