/* Plans the utterances of a text: normalised, split, and given to a language that reads their script. */
#include "narration/speech_text.h"

/* Letters of a script, the language that reads it by default, and all espeak-ng languages that read it natively. */
struct script {
    uint32_t from, to;
    const char *reader;  /* NULL: nobody here reads it */
    const char *natives; /* between spaces; NULL: every language */
};

#define CYRILLIC " ru ru-lv uk be bg sr mk kk ky tt ba cv nog "
#define ARABIC   " ar fa ur sd ug "
#define HAN      "cmn-latn-pinyin", " cmn-latn-pinyin yue "

static const struct script scripts[] = {
    /* sorted; letters in no row are read by nobody */
    {0x0041, 0x036f, "", NULL},
    {0x0370, 0x03ff, "el", " el grc "},
    {0x0400, 0x052f, "ru", CYRILLIC},
    {0x0530, 0x058f, "hy", " hy hyw "},
    {0x0590, 0x05ff, "he", " he "},
    {0x0600, 0x06ff, "ar", ARABIC},
    {0x0750, 0x077f, "ar", ARABIC},
    {0x0900, 0x097f, "hi", " hi mr ne kok "},
    {0x0980, 0x09ff, "bn", " bn as bpy "},
    {0x0a00, 0x0a7f, "pa", " pa "},
    {0x0a80, 0x0aff, "gu", " gu "},
    {0x0b00, 0x0b7f, "or", " or "},
    {0x0b80, 0x0bff, "ta", " ta "},
    {0x0c00, 0x0c7f, "te", " te "},
    {0x0c80, 0x0cff, "kn", " kn "},
    {0x0d00, 0x0d7f, "ml", " ml "},
    {0x0d80, 0x0dff, "si", " si "},
    {0x0e00, 0x0e7f, "th", " th "},
    {0x1000, 0x109f, "my", " my shn "},
    {0x10a0, 0x10ff, "ka", " ka "},
    {0x1100, 0x11ff, "ko", " ko "},
    {0x1200, 0x139f, "am", " am "},
    {0x1e00, 0x1eff, "", NULL},
    {0x1f00, 0x1fff, "el", " el grc "},
    {0x2000, 0x218f, "", NULL},
    {0x2c60, 0x2c7f, "", NULL},
    {0x3005, 0x3007, HAN},
    {0x3040, 0x30ff, "ja", " ja "},
    {0x3130, 0x318f, "ko", " ko "},
    {0x31f0, 0x31ff, "ja", " ja "},
    {0x3400, 0x4dbf, HAN},
    {0x4e00, 0x9fff, HAN},
    {0xac00, 0xd7af, "ko", " ko "},
    {0xf900, 0xfaff, HAN},
    {0xfb00, 0xfb06, "", NULL},
    {0xfb1d, 0xfb4f, "he", " he "},
    {0xfb50, 0xfdff, "ar", ARABIC},
    {0xfe70, 0xfeff, "ar", ARABIC},
    {0xff66, 0xff9d, "ja", " ja "},
    {0x20000, 0x3ffff, HAN},
};

static bool is_letter(uint32_t c)
{
    if (c < 0x80)
        return text_is_ascii_letter(c);
    return c >= 0xaa && c != 0xb0 && c != 0xd7 && c != 0xf7 && !(c >= 0x2000 && c < 0x2c00) && !text_is_mark(c);
}

static const struct script *script_of(uint32_t c)
{
    size_t low = 0, high = ST_COUNT(scripts);
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (c > scripts[mid].to)
            low = mid + 1;
        else
            high = mid;
    }
    return low < ST_COUNT(scripts) && c >= scripts[low].from ? &scripts[low] : NULL;
}

static bool reads(const struct script *s, const char *language)
{
    char name[ST_LANGUAGE_LEN + 2];
    if (!s->natives)
        return true;
    snprintf(name, sizeof(name), " %s ", language);
    return strstr(s->natives, name) != NULL;
}

enum { UNREADABLE, NATIVE, FOREIGN };

/* Who reads a letter in a story of the given language. Japanese needs its own readings of Han, which nobody has. */
static int reader(uint32_t c, const char *native, const char **ret_language)
{
    const struct script *s = script_of(c);
    if (s && reads(s, native))
        return NATIVE;
    if (!s || (st_starts(s->reader, "cmn") && (st_streq(native, "ja") || st_streq(native, "hak"))))
        return UNREADABLE;
    *ret_language = s->reader;
    return FOREIGN;
}

struct planner {
    struct st_arena *arena;
    const char *native;
    struct st_utterances *plan;
    size_t cap;
};

static struct st_utterance *append(struct planner *p)
{
    struct st_utterances *plan = p->plan;
    if (plan->count == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 8;
        struct st_utterance *items = st_new_n(p->arena, struct st_utterance, cap);
        if (plan->count)
            memcpy(items, plan->items, plan->count * sizeof(*items));
        plan->items = items;
        p->cap = cap;
    }
    return &plan->items[plan->count++];
}

static bool has_words(const struct st_buf *ascii)
{
    for (size_t i = 0; i < ascii->len; i++)
        if (text_is_ascii_letter((unsigned char)ascii->data[i]) || text_is_digit((unsigned char)ascii->data[i]))
            return true;
    return false;
}

/* False when nothing of it is left in a form that the engine takes. */
static bool add(struct planner *p, const char *text, size_t len, const char *language)
{
    bool speakable = true;
    struct st_buf ascii = ST_BUF(SPEAK_TEXT_MAX); /* only rows of symbols with long names pass it; they are cut */
    if (!language && !*p->native) {
        text_english(text, len, &ascii);
        text = ascii.data;
        len = ascii.len;
        speakable = has_words(&ascii);
    }
    if (speakable)
        *append(p) = (struct st_utterance){.text = st_strndup(p->arena, text, len), .len = len, .language = language};
    st_buf_release(&ascii);
    return speakable;
}

/* A stretch of one reader; letters: how many letters and digits it has. */
static void add_run(struct planner *p, const char *from, const char *to, int kind, const char *language, size_t letters)
{
    p->plan->letters += letters;
    if (letters && (kind == UNREADABLE || !add(p, from, (size_t)(to - from), kind == FOREIGN ? language : NULL)))
        p->plan->unreadable += letters;
}

/* Digits, marks and spaces go with what stands before them. */
static void add_piece(struct planner *p, const char *text, const char *end)
{
    int kind = NATIVE;
    const char *language = NULL, *from = text;
    size_t letters = 0;
    bool seen = false;
    for (const char *at = text; at < end;) {
        const char *here = at;
        uint32_t c = st_utf8_next(&at);
        if (is_letter(c)) {
            const char *new_language = NULL;
            int new_kind = st_streq(p->native, ST_TEXT_WHOLE) ? NATIVE : reader(c, p->native, &new_language);
            if (seen && (new_kind != kind || !st_streq(new_language, language))) {
                add_run(p, from, here, kind, language, letters);
                from = here;
                letters = 0;
            }
            kind = new_kind;
            language = new_language;
            seen = true;
        }
        letters += is_letter(c) || text_is_digit(c);
    }
    add_run(p, from, end, kind, language, letters);
}

/* A provider is paid by the call: it gets as much at once as an utterance may have, and makes the pauses itself. */
static const char *utterance_end(const char *at, const char *end, const char *native, enum st_break *ret_after)
{
    const char *stop = text_piece_end(at, end, ret_after);
    while (st_streq(native, ST_TEXT_WHOLE) && stop < end) {
        enum st_break after;
        const char *next = text_piece_end(stop, end, &after);
        if (next - at > SPEAK_TEXT_MAX)
            break;
        stop = next;
        *ret_after = after;
    }
    return stop;
}

int st_text_plan(struct st_arena *a, const char *text, size_t len, const char *native, struct st_utterances *ret)
{
    if (len > ST_SPEECH_TEXT_MAX)
        return ST_E_TOO_LARGE;
    if (!st_utf8_valid(text, len))
        return ST_E_INVALID;
    struct st_utterances plan = {0};
    struct planner p = {.arena = a, .native = native, .plan = &plan};
    struct st_buf clean = ST_BUF(3 * len + 16);
    text_normalise(text, len, &clean);
    const char *at = clean.data, *end = clean.data ? clean.data + clean.len : NULL;
    while (at < end) {
        enum st_break after;
        size_t before = plan.count;
        const char *piece_end = utterance_end(at, end, native, &after);
        add_piece(&p, at, piece_end);
        if (plan.count > before)
            plan.items[plan.count - 1].after = after;
        for (at = piece_end; at < end && *at == ' ';)
            at++;
    }
    st_buf_release(&clean);
    *ret = plan;
    return 0;
}
