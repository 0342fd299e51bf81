#ifndef ST_NARRATION_NARRATE_INT_H
#define ST_NARRATION_NARRATE_INT_H
/* What narrate.c and its parts share: the plan (narrate_plan.c), and one piece spoken (narrate_piece.c). */
#include "narration/narrate.h"
#include "narration/speech_text.h"

enum {
    NARRATE_PIECE_ITEMS = 24, /* most of a piece, so that its sound is bounded */
    NARRATE_LEAD_MS = 150,    /* before the first word: some players swallow it */
    NARRATE_SILENT_MS = 250,  /* of a segment with nothing to say */
};

struct narrate_item {
    struct st_utterance said; /* len 0: its segment has nothing to say */
    size_t segment;
    int pause_ms; /* behind it */
};

/* Items that are encoded together; behind the last one it is silent. Pieces end where paragraphs do, or before they
 * get long, so that an edit leaves the others as they are. */
struct narrate_piece {
    size_t first, count;
    int part; /* from 1 */
};

struct narrate_plan {
    struct st_arena *arena;
    char language[ST_LANGUAGE_LEN];
    struct narrate_item *items; /* malloc */
    struct narrate_piece *pieces;
    size_t n_items, cap, n_pieces;
    int n_parts;
    size_t utterances, letters, unreadable;
    int64_t characters; /* of the utterances */
};

int narrate_plan_make(struct narrate_plan *p, const struct st_narrate_job *job, struct st_narrate_result *ret);
void narrate_plan_release(struct narrate_plan *p);

struct narrate_span {
    uint32_t start, end; /* samples from the piece's begin */
};

/* A piece as it was spoken and encoded. */
struct narrate_sound {
    void *data; /* owned: a span for each item, then what st_encoder_add takes */
    size_t len;
    int error; /* nothing of it is kept then */
    size_t from_cache;
    size_t spoken; /* utterances that were not in the cache, and the characters of their text; also after an error */
    int64_t spoken_characters;
    const struct st_voice *lost;
    char why[ST_NARRATE_WHY_LEN]; /* of the error */
};

/* Speaks and encodes a piece. Thread-safe. */
void narrate_speak(const struct st_narrate_job *job, const struct narrate_plan *p, size_t piece,
                   const atomic_bool *stop, struct narrate_sound *ret);

#endif
