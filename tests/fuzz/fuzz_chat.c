/* Hostile answers of a chat provider: 'c', then the body; or 'd', then the document inside it. */
#include "story/story_chat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static const char scene[] =
    "\"Come in,\" said Ann Lee.\n\n\"No,\" said Ben. \"Ann, *stay*.\"\n\nThe dog barked at Mr. Ben.";

static struct st_analysis *analysis_of(struct st_arena *a, const json_t *found)
{
    const struct st_analyse_hints hints = story_hints(a, st_json_keep(a, json_pack("{s:s}", "language", "en")), found);
    struct st_analysis *ret;
    must(st_analyse(a, scene, strlen(scene), &hints, &ret) == 0);
    return ret;
}

/* What counts of an answer must be of the text, and must not change a word of it. */
static void check_chat(struct st_arena *a, const char *body, size_t len)
{
    struct st_analysis *before = analysis_of(a, NULL);
    struct story_passage passage;
    json_t *answer, *found = st_json_keep(a, json_pack("{s:[], s:[]}", "cast", "segments"));
    const char *why = NULL;
    must(story_passages(a, before, 1, &passage) == 1);
    if (story_chat_read(a, &passage, body, len, &answer, &why) < 0) {
        must(why && *why && st_utf8_valid(why, strlen(why)));
        return;
    }
    story_chat_gather(a, &passage, answer, found);
    const json_t *corrections = st_json_keep(a, json_pack("{s:[], s:[]}", "cast", "segments"));
    const json_t *all = story_chat_merge(a, corrections, found);
    struct st_analysis *after = analysis_of(a, all);
    must(after->n_segments == before->n_segments);
    for (int i = 0; i < after->n_segments; i++) {
        const char *speaker = story_speaker(after, &after->segments[i]);
        must(st_streq(after->segments[i].text, before->segments[i].text));
        must(!speaker || (*speaker && st_utf8_valid(speaker, strlen(speaker))));
    }
}

static void check_document(struct st_arena *a, const char *text, size_t len)
{
    if (!st_utf8_valid(text, len))
        return;
    json_t *body = st_json_keep(
        a, json_pack("{s:[{s:s, s:{s:s%}}]}", "choices", "finish_reason", "stop", "message", "content", text, len));
    const char *whole = st_json_text(a, body);
    check_chat(a, whole, strlen(whole));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct st_arena a = {0};
    if (!size)
        return 0;
    if (*data == 'd')
        check_document(&a, (const char *)data + 1, size - 1);
    else
        check_chat(&a, (const char *)data + 1, size - 1);
    st_arena_release(&a);
    return 0;
}
