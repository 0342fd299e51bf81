#ifndef ST_STORY_FOUND_H
#define ST_STORY_FOUND_H
/* What an analyser has found and its author has corrected, on its way into the database, the event, and answers. */
#include "io/json.h"
#include "story/analyse.h"

enum story_corrected { STORY_SPEAKER_CORRECTED = 1, STORY_EMOTION_CORRECTED = 2 };

#define STORY_EMBEDDED "embedded"

struct story_found {
    struct st_analysis *analysis;
    unsigned char *corrected; /* of each segment, enum story_corrected */
    const char *analyser;     /* STORY_EMBEDDED, or the provider's name and model */
    const char *fallback;     /* why it is not the one that was asked for; or NULL */
};

static inline const char *story_speaker(const struct st_analysis *a, const struct st_segment *s)
{
    return s->character < 0 ? NULL : a->characters[s->character].name;
}

/* Segments as JSON text: for the event, or for clients, who see no index but confidence, evidence, what was corrected.
 * NULL when it passes 16 MiB. */
const char *story_segments_text(struct st_arena *arena, const struct story_found *found, bool for_clients);
json_t *story_characters_json(struct st_arena *arena, const struct st_analysis *a);

/*
 * {since, added, changed, removed}: ids of the segments that are new, told otherwise or by another than before, and
 * gone, against the segments of an earlier analysis (JSON as clients see it, and its id). NULL when there is none, or
 * when more than 2000 have changed: then all is to be looked at.
 */
json_t *story_changes(struct st_arena *arena, const struct st_analysis *a, const char *since, const char *before);

/*
 * Corrections: {cast: [{name, aliases, gender?, age?}], segments: [{segmentId, speakerGiven, speaker, emotion,
 * intensity}]}. The hints by which the analyser heeds cast and speakers, and what it must know of the story: language,
 * if its author gave one, and the segments that it had (former: JSON as clients see it); and what the analyser does not
 * know of, emotions, put over what it has found.
 */
struct st_analyse_hints story_hints(struct st_arena *arena, const json_t *story, const json_t *corrections);
void story_overlay(struct st_arena *arena, struct story_found *found, const json_t *corrections);

bool story_emotion_from_name(const char *name, enum st_emotion *ret);

#endif
