/*
 * Hostile stories: "flags text". Whatever is analysed keeps its promises: no word lost or doubled, ids that are unique,
 * the same answer twice, and what was found may be told back as what is known.
 */
#include "story/analyse_int.h"
#include "story/markdown.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte: the language, whether the answer is told back, whether as all there is, whether the text is edited.
 */
enum { LANGUAGE = 7, TELL_BACK = 8, ALL = 16, EDIT = 32 };

#define CHECK(what)                                                                                                    \
    do {                                                                                                               \
        if (!(what))                                                                                                   \
            abort();                                                                                                   \
    } while (0)

/* The next letter at *s, in small; 0 behind the last. */
static uint32_t next_letter(const char **s, const char *end)
{
    while (*s < end) {
        uint32_t cp = st_utf8_next(s);
        if (an_is_letter(cp))
            return cp;
    }
    return 0;
}

/* The letters of the segments are those that are read of the text. */
static void check_words(struct st_arena *a, const struct st_analysis *found, const char *text, size_t len)
{
    text = st_markdown_read(a, text, len, false, &len);
    const char *end = text + len;
    for (int i = 0; i < found->n_segments; i++) {
        const char *s = found->segments[i].text, *stop = s + strlen(s);
        for (uint32_t cp; (cp = next_letter(&s, stop));)
            CHECK(next_letter(&text, end) == cp);
    }
    CHECK(next_letter(&text, end) == 0);
}

static int by_id(const void *a, const void *b)
{
    return strcmp((*(const struct st_segment *const *)a)->id, (*(const struct st_segment *const *)b)->id);
}

static void check_ids(struct st_arena *a, const struct st_analysis *found)
{
    const struct st_segment **sorted = st_new_n(a, const struct st_segment *, (size_t)found->n_segments + 1);
    for (int i = 0; i < found->n_segments; i++) {
        const char *id = found->segments[i].id;
        CHECK(strlen(id) >= 16 && strlen(id) <= 32 && strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789") == strlen(id));
        sorted[i] = &found->segments[i];
    }
    qsort(sorted, (size_t)found->n_segments, sizeof(*sorted), by_id);
    for (int i = 1; i < found->n_segments; i++)
        CHECK(by_id(&sorted[i - 1], &sorted[i]) < 0);
}

static void check_segments(const struct st_analysis *found)
{
    CHECK(found->n_segments >= 0 && found->n_segments <= ST_ANALYSE_SEGMENTS_MAX);
    for (int i = 0; i < found->n_segments; i++) {
        const struct st_segment *s = &found->segments[i];
        size_t n = strlen(s->text);
        CHECK(s->index == i && n && s->text[0] != ' ' && s->text[n - 1] != ' ' && st_utf8_valid(s->text, n));
        CHECK(st_utf8_length(s->text, n) <= ST_SEGMENT_CHARS_MAX);
        CHECK(s->character >= -1 && s->character < found->n_characters);
        CHECK(s->kind != ST_NARRATION || s->character < 0);
        CHECK((s->evidence != NULL) == (s->character >= 0));
        CHECK(!s->evidence || (st_utf8_valid(s->evidence, strlen(s->evidence)) &&
                               st_utf8_length(s->evidence, strlen(s->evidence)) <= 64));
        CHECK(s->confidence >= 0 && s->confidence <= 1 && s->intensity >= 0 && s->intensity <= 1);
        CHECK((s->emotion == ST_NEUTRAL) == (s->intensity == 0));
        CHECK(s->paragraph == (i ? s[-1].paragraph : 0) || s->paragraph == (i ? s[-1].paragraph + 1 : 0));
    }
}

static void check_characters(const struct st_analysis *found)
{
    CHECK(found->n_characters >= 0 && found->n_characters <= ST_ANALYSE_CHARACTERS_MAX);
    for (int i = 0; i < found->n_characters; i++) {
        const struct st_character *c = &found->characters[i];
        CHECK(c->name[0] && st_utf8_valid(c->name, strlen(c->name)) && c->mentions >= 0);
        CHECK(c->gender == 'm' || c->gender == 'f' || c->gender == 0);
        for (int k = 0; k < c->n_aliases; k++)
            CHECK(c->aliases[k][0] && st_utf8_valid(c->aliases[k], strlen(c->aliases[k])));
    }
}

static struct st_analysis *analyse(struct st_arena *a, const char *text, size_t len,
                                   const struct st_analyse_hints *hints)
{
    struct st_analysis *found;
    CHECK(st_analyse(a, text, len, hints, &found) == 0);
    check_words(a, found, text, len);
    check_ids(a, found);
    check_segments(found);
    check_characters(found);
    return found;
}

static void check_same(const struct st_analysis *one, const struct st_analysis *two)
{
    CHECK(one->n_segments == two->n_segments && one->n_characters == two->n_characters);
    for (int i = 0; i < one->n_segments; i++)
        CHECK(st_streq(one->segments[i].id, two->segments[i].id) &&
              one->segments[i].character == two->segments[i].character &&
              st_streq(one->segments[i].evidence, two->segments[i].evidence));
    for (int i = 0; i < one->n_characters; i++)
        CHECK(st_streq(one->characters[i].name, two->characters[i].name));
}

/* As a user would: these are the characters, and who speaks here is right. */
static void tell_back(struct st_arena *a, const char *text, size_t len, const struct st_analysis *found, bool all)
{
    struct st_speaker_hint *speakers = st_new_n(a, struct st_speaker_hint, (size_t)found->n_segments + 1);
    for (int i = 0; i < found->n_segments; i++)
        speakers[i] = (struct st_speaker_hint){found->segments[i].id, found->segments[i].character};
    const struct st_analyse_hints hints = {.language = found->language,
                                           .cast = found->characters,
                                           .n_cast = found->n_characters,
                                           .cast_all = all,
                                           .speakers = speakers,
                                           .n_speakers = found->n_segments};
    const struct st_analysis *again = analyse(a, text, len, &hints);
    for (int i = 0; i < again->n_segments; i++)
        CHECK(again->segments[i].kind == ST_NARRATION || again->segments[i].confidence == 1 ||
              again->segments[i].character < 0);
}

static void remember(struct st_arena *a, const struct st_analysis *found, struct st_analyse_hints *hints)
{
    const char **ids = st_new_n(a, const char *, (size_t)found->n_segments + 1);
    for (int i = 0; i < found->n_segments; i++)
        ids[i] = found->segments[i].id;
    hints->former = ids;
    hints->n_former = found->n_segments;
}

/* Known from before, it is what it was; and a part of it is known from a larger whole, and the whole from that. */
static void edit(struct st_arena *a, const char *text, size_t len, const struct st_analysis *found,
                 struct st_analyse_hints hints)
{
    size_t half = len / 2;
    while (half && !st_utf8_valid(text, half))
        half--;
    remember(a, found, &hints);
    check_same(found, analyse(a, text, len, &hints));
    if (!half)
        return;
    remember(a, analyse(a, text, half, &hints), &hints);
    analyse(a, text, len, &hints);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const languages[] = {NULL, "en", "de", "fr", "es", "ru", "it", "zh"};
    if (size < 1)
        return 0;
    struct st_arena a = {0};
    const char *text = (const char *)data + 1;
    size_t len = size - 1;
    const struct st_analyse_hints hints = {.language = languages[data[0] & LANGUAGE]};
    struct st_analysis *found = NULL;
    if (len == 0 || !st_utf8_valid(text, len)) {
        CHECK(st_analyse(&a, text, len, &hints, &found) == ST_E_INVALID);
        st_arena_release(&a);
        return 0;
    }
    found = analyse(&a, text, len, &hints);
    check_same(found, analyse(&a, text, len, &hints));
    if (data[0] & TELL_BACK)
        tell_back(&a, text, len, found, data[0] & ALL);
    if (data[0] & EDIT)
        edit(&a, text, len, found, hints);
    st_arena_release(&a);
    return 0;
}
