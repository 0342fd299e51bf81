#ifndef ST_NARRATION_SCRIPT_H
#define ST_NARRATION_SCRIPT_H
/* What a story's narration is made of: its segments with the cast's voices, the pronunciation rules, the takes. */
#include "narration/narrate.h"
#include "narration/pronounce.h"
#include "svc/service.h"

struct narration_script {
    struct st_narrate_job job; /* voices and segments are filled in */
    struct st_voice *voices;   /* the same as job.voices; the narrator's is the first */
    const json_t *segments, *characters;
    json_t *voice_of;           /* character's name -> index into job.voices; the narrator is 0 */
    struct st_voice *fallbacks; /* for each voice the one to take instead; without an id: there is none */
    const char **instead_of;    /* for each voice the name of the one that was lost, or NULL */
    char (*lost)[ST_VOICE_ID_LEN];
    size_t n_lost;
    const char *tier;           /* the author's */
    const char *pronunciations; /* JSON text: the versions of the rules in force */
};

/*
 * n: a row of narrations with story_id, author_id, tier, language, characters, segments, text_ref. Who has no voice yet
 * gets one; that is committed, for the text is fetched outside of transactions. ST_E_UNAVAILABLE: the text cannot be
 * read.
 */
int narration_script_load(struct st_call *call, const struct st_speech *speech, const json_t *n,
                          struct narration_script *ret) ST_MUSTCHECK;

/*
 * The voice cannot be had: the one that the author has mapped takes its place. ST_E_NOT_FOUND: there is none; nobody is
 * given a voice that they have not chosen.
 */
int narration_script_lose(struct narration_script *s, size_t voice) ST_MUSTCHECK;
/* The first voice that the author's tier has no more, or SIZE_MAX. */
size_t narration_script_forbidden(const struct narration_script *s);

/* Those of a row of narrations with segments, text_ref; NULL: they cannot be read. Not inside a transaction. */
const json_t *narration_segments(struct st_call *call, const json_t *n);

/* The rules of a story ("": of none) and of its author, the story's first; *ret_versions is JSON text. */
int narration_rules(struct st_call *call, const char *story_id, const char *user_id,
                    struct st_pronounce_rule **ret_rules, size_t *ret_n, const char **ret_versions) ST_MUSTCHECK;

/* narration_export.c: segments with their times, in the arena; and the WebVTT of them, as an object. */
struct st_caption_segment *narration_captions(struct st_call *call, const json_t *segments,
                                              const struct st_narrate_time *times);
int narration_put_captions(struct st_call *call, const char *key, const json_t *segments,
                           const struct st_narrate_time *times) ST_MUSTCHECK;

#endif
