/* Analyses a story: runs the stages of analyse_int.h in their order. */
#include "story/analyse_int.h"
#include "story/markdown.h"

const char *st_segment_kind_name(enum st_segment_kind kind)
{
    static const char *const names[] = {"narration", "dialogue", "thought"};
    return (size_t)kind < ST_COUNT(names) ? names[kind] : "narration";
}

const char *st_emotion_name(enum st_emotion emotion)
{
    static const char *const names[ST_EMOTIONS_] = {"neutral",  "joy",     "sadness", "anger",       "fear",
                                                    "surprise", "disgust", "trust",   "anticipation"};
    return (size_t)emotion < ST_EMOTIONS_ ? names[emotion] : "neutral";
}

/* The primary subtag of a BCP 47 tag in lower case, or NULL if it is none. */
static const char *primary_subtag(struct st_arena *a, const char *tag)
{
    size_t n = strcspn(tag, "-_");
    if (n < 2 || n > 3)
        return NULL;
    char *subtag = st_strndup(a, tag, n);
    for (size_t i = 0; i < n; i++) {
        subtag[i] = (char)(subtag[i] | 0x20);
        if (subtag[i] < 'a' || subtag[i] > 'z')
            return NULL;
    }
    return subtag;
}

int st_analyse(struct st_arena *a, const char *text, size_t len, const struct st_analyse_hints *hints,
               struct st_analysis **ret)
{
    if (len > ST_ANALYSE_TEXT_MAX)
        return ST_E_TOO_LARGE;
    if (len == 0 || !st_utf8_valid(text, len))
        return ST_E_INVALID;
    struct an *an = st_new(a, struct an);
    an->arena = a;
    text = st_markdown_read(a, text, len, false, &len);
    struct st_analyse_hints *known = st_new(a, struct st_analyse_hints);
    *known = hints ? *hints : *known;
    known->n_cast = known->n_cast < ST_ANALYSE_CHARACTERS_MAX ? known->n_cast : ST_ANALYSE_CHARACTERS_MAX;
    an->hints = known;
    an->language = known->language ? primary_subtag(a, known->language) : st_detect_language(text, len);
    if (!an->language)
        return ST_E_INVALID;
    an->lacks_articles = an_lacks_articles(an->language);
    st_random(&an->seed, sizeof(an->seed));
    an_load_lexicon(an);
    an_clean(an, text, len);
    an_find_spans(an);
    an_find_words(an);
    an_find_feelings(an);
    an_learn_cast(an);
    an_find_names(an);
    an_cluster(an);
    an_find_titled(an);
    an_read_clauses(an);
    an_cut_segments(an);
    an_find_speakers(an);
    struct st_analysis *out = st_new(a, struct st_analysis);
    out->language = an->language;
    an_make_characters(an, out);
    an_make_segments(an, out);
    *ret = out;
    return 0;
}
