#ifndef ST_STORY_CHAT_H
#define ST_STORY_CHAT_H
/*
 * Analysis by an OpenAI-compatible chat provider (POST /chat/completions with a strict JSON schema).
 *
 * The provider judges, it does not write: segments, their text and their ids are the embedded analyser's. The text goes
 * out in passages; of each comes back who speaks or thinks in it, under which names, and for each quotation its words,
 * speaker and emotion. All of it is checked before it counts: the schema, each name and each quotation must be found in
 * the passage, word by word, and offsets are ours. What stands the check becomes hints for the embedded analyser, as an
 * author's corrections are, and behind these; so rules fill what the provider leaves open.
 */
#include "story/story_found.h"

struct story_passage {
    const char *text; /* segments as prose: quotation marks around speech, empty lines between paragraphs */
    size_t len;
    const struct st_analysis *of;
    const struct an *lexicon; /* of its language */
    int first, n;             /* of its segments */
    const char *words;        /* the text as story_words.h has it */
    size_t words_len;
    const size_t *starts; /* in words, of each segment, and behind the last: of the space before it */
};

/*
 * Cuts what was analysed into passages of some 6 to 12 KiB, between paragraphs; a longer paragraph into pieces of 12 to
 * 18. Where, the segments' ids decide, so that passages elsewhere stay the same after an edit. Gives how many; 0 when
 * there are more than max.
 */
int story_passages(struct st_arena *arena, const struct st_analysis *a, int max, struct story_passage *ret);

/* The request for a passage (story_chat.c sends it), and the schema that its answer must fit. */
json_t *story_chat_request(struct st_arena *arena, const char *model, const struct story_passage *p);

/*
 * The answer's body to {characters, lines}: parsed twice, whole, of the schema, without anything that the passage does
 * not say. A character has a name of the passage; the first alias that is one where the name is none. ST_E_BAD_GATEWAY,
 * and *ret_why says what is wrong.
 */
ST_MUSTCHECK int story_chat_read(struct st_arena *arena, const struct story_passage *p, const char *body, size_t len,
                                 json_t **ret, const char **ret_why);

/* Adds what a passage's answer says to {cast, segments}, as story_found.h describes corrections. */
void story_chat_gather(struct st_arena *arena, const struct story_passage *p, const json_t *answer, json_t *found);

/*
 * Around an analysis, by whomever. What the job is about, which is found by its words from then on: 1; 0 when it has
 * gone meanwhile. And its end: kept, and told to the others, unless the text is another by now.
 */
struct st_call;
int story_begin(struct st_call *call, json_t **ret_story, json_t **ret_corrections);
int story_end(struct st_call *call, const json_t *story, const struct story_found *found);
bool story_wants_chat(const char *tier);
const char *story_analyser(struct st_arena *arena, const char *tier); /* the name of what analyses for the tier */

/* The author's corrections, and what the provider has found where they say nothing; in the cast, of which the analyser
 * takes so many only, the author's first, then those who speak most. */
json_t *story_chat_merge(struct st_arena *arena, const json_t *corrections, const json_t *found);

#endif
