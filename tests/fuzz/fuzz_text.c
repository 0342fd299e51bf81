/*
 * A hostile story on its whole way: analysed, its words replaced by pronunciation rules, planned for a voice, shown as
 * captions, bound as a book, which can be read again. "language NUL word=say LF … NUL text".
 */
#include "io/epub.h"
#include "narration/captions.h"
#include "narration/pronounce.h"
#include "narration/speech_text.h"
#include "story/import.h"
#include "story/story_found.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BOUND_MAX = 2000, CAPTIONS_MAX = 16 << 20 };

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void must_be_text(const char *s, size_t len)
{
    must(st_utf8_valid(s, len));
}

/* Up to `end`, which is dropped; all of it where there is none. */
static char *part(struct st_arena *a, const char **s, const char *limit, char end)
{
    const char *from = *s, *to = memchr(from, end, (size_t)(limit - from));
    *s = to ? to + 1 : limit;
    return st_strndup(a, from, (size_t)((to ? to : limit) - from));
}

/* As the contract has them: whole words in UTF-8, and no more than ST_PRONOUNCE_RULES_MAX. */
static size_t read_rules(struct st_arena *a, char *lines, struct st_pronounce_rule *ret)
{
    size_t n = 0;
    for (char *line = lines, *next; *line && n < ST_PRONOUNCE_RULES_MAX; line = next) {
        size_t len = strcspn(line, "\n");
        next = line + len + (line[len] == '\n');
        char *equals = memchr(line, '=', len);
        if (!equals || equals == line || equals - line > ST_PRONOUNCE_WORD_MAX || !st_utf8_valid(line, len))
            continue;
        ret[n].word = st_strndup(a, line, (size_t)(equals - line));
        ret[n++].say = st_strndup(a, equals + 1, (size_t)(line + len - equals - 1));
    }
    return n;
}

static void check_plan(struct st_arena *a, const char *text, const char *native)
{
    struct st_utterances plan;
    must(st_text_plan(a, text, strlen(text), native, &plan) == 0);
    for (size_t i = 0; i < plan.count; i++) {
        const struct st_utterance *u = &plan.items[i];
        must(u->len && u->len <= SPEAK_TEXT_MAX && strlen(u->text) == u->len);
        must_be_text(u->text, u->len);
        for (size_t k = 0; !*native && !u->language && k < u->len; k++) /* flite reads ASCII */
            must((unsigned char)u->text[k] < 0x80);
    }
    must(plan.unreadable <= plan.letters);
}

static void check_segments(struct st_arena *a, const struct st_analysis *found, const struct st_pronounce_rule *rules,
                           size_t n_rules)
{
    static const char *const natives[] = {"", "fr-fr", "ja", "ar", ST_TEXT_WHOLE};
    int paragraph = 0;
    for (int i = 0; i < found->n_segments; i++) {
        const struct st_segment *s = &found->segments[i];
        size_t len = strlen(s->text), id = strlen(s->id);
        must(len && id >= 16 && id <= 32 && s->index == i && s->paragraph >= paragraph);
        must_be_text(s->text, len);
        must(st_utf8_length(s->text, len) <= ST_SEGMENT_CHARS_MAX);
        must(s->character >= -1 && s->character < found->n_characters);
        must(s->confidence >= 0 && s->confidence <= 1 && s->intensity >= 0 && s->intensity <= 1);
        paragraph = s->paragraph;
        const char *said = st_pronounce(a, rules, n_rules, s->text);
        must_be_text(said, strlen(said));
        check_plan(a, said, natives[i % ST_COUNT(natives)]);
    }
}

/* The same words bound with their captions: what was bound can be read. */
static void check_files(struct st_arena *a, const struct st_analysis *found, const char *language)
{
    size_t n = (size_t)found->n_segments;
    struct st_caption_segment *captions = st_new_n(a, struct st_caption_segment, n + 1);
    struct st_epub_span *spans = st_new_n(a, struct st_epub_span, n + 1);
    for (size_t i = 0; i < n; i++) {
        const struct st_segment *s = &found->segments[i];
        captions[i] = (struct st_caption_segment){.id = s->id,
                                                  .text = s->text,
                                                  .speaker = story_speaker(found, s),
                                                  .start_ms = (int64_t)i * 1000,
                                                  .end_ms = (int64_t)i * 1000 + 700};
        spans[i] = (struct st_epub_span){.text = s->text, .len = strlen(s->text), .id = s->id, .begins = true};
    }
    struct st_buf vtt = ST_BUF(CAPTIONS_MAX);
    st_captions_vtt(captions, n, &vtt);
    must(!vtt.failed);
    must_be_text(vtt.data, vtt.len);
    st_buf_release(&vtt);
    const struct st_epub_chapter chapter = {.title = n ? spans[0].text : NULL, .spans = spans, .n_spans = n};
    const struct st_epub book = {
        .id = "0", .title = "Title", .language = language, .chapters = &chapter, .n_chapters = 1};
    struct import again = {0};
    char *bytes = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&bytes, &len);
    must(out && st_epub_write(&book, out) == 0 && fclose(out) == 0);
    import_epub(&again, bytes, len);
    must(again.content && !again.error);
    st_arena_release(&again.arena);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct st_arena a = {0};
    const char *s = (const char *)data, *end = s + size;
    const char *language = part(&a, &s, end, '\0');
    char *lines = part(&a, &s, end, '\0');
    struct st_pronounce_rule rules[ST_PRONOUNCE_RULES_MAX];
    size_t n_rules = read_rules(&a, lines, rules);
    struct import text = {0};
    struct st_analysis *found;
    const struct st_analyse_hints hints = {.language = *language ? language : NULL};
    import_text(&text, s, (size_t)(end - s));
    if (text.content && *text.content && st_analyse(&a, text.content, strlen(text.content), &hints, &found) == 0) {
        check_segments(&a, found, rules, n_rules);
        const struct story_found all = {.analysis = found, .analyser = "embedded"};
        must(story_segments_text(&a, &all, false) != NULL);
        must(st_json_text(&a, story_characters_json(&a, found)) != NULL);
        if (size < BOUND_MAX)
            check_files(&a, found, hints.language);
    }
    st_arena_release(&text.arena);
    st_arena_release(&a);
    return 0;
}
