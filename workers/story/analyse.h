#ifndef STORY_ANALYSE_H
#define STORY_ANALYSE_H
/*
 * The embedded story analyser: language, segments with speaker and emotion, characters. Rules and word lists only; no
 * database, no network, no state.
 *
 *   struct st_analysis *found;
 *   r = st_analyse(call->arena, text, len, NULL, &found);
 *
 * Thread-safe. Everything returned lives in the arena. Time and memory grow linearly with the text (1 MB of
 * prose: a quarter of a second, some 20 MB of arena; of the worst nonsense: below a second and 150 MB). The same text
 * gives the same answer for one ST_ANALYSER_VERSION.
 *
 * The segments, in order, hold every word of the text once. Quotation marks of speech, emphasis marks (*, _), heading
 * marks (#) and pieces without any letter, digit or symbol are left out; white space is collapsed to single spaces.
 */
#include "base/base.h"

enum {
    ST_ANALYSER_VERSION = 1,
    ST_ANALYSE_TEXT_MAX = 1 << 20,   /* bytes of text; more is ST_E_TOO_LARGE */
    ST_ANALYSE_CHARACTERS_MAX = 200, /* the most mentioned are kept; others speak as unknown */
    ST_ANALYSE_SEGMENTS_MAX = 30000, /* behind these, only nonsense has more, the rest is narration */
    ST_SEGMENT_CHARS_MAX = 400,      /* code points of a segment, at most */
};

enum st_segment_kind { ST_NARRATION, ST_DIALOGUE, ST_THOUGHT };

enum st_emotion {
    ST_NEUTRAL,
    ST_JOY,
    ST_SADNESS,
    ST_ANGER,
    ST_FEAR,
    ST_SURPRISE,
    ST_DISGUST,
    ST_TRUST,
    ST_ANTICIPATION,
    ST_EMOTIONS_,
};

struct st_character {
    const char *name;           /* "Elizabeth Bennet", "The old woman", "Narrator" for the I of the story */
    const char *const *aliases; /* other ways the text names it, without name itself; n_aliases of them */
    int n_aliases;
    int mentions;    /* by name or description, pronouns not counted */
    char gender;     /* 'm', 'f' or 0 where the text does not say */
    const char *age; /* "child", "adult", "old" or NULL */
};

struct st_segment {
    int index;
    const char *id;   /* [a-z0-9], 16 to 32 of them: hash of the text and its occurrence; edits elsewhere keep it */
    const char *text; /* trimmed, never empty */
    enum st_segment_kind kind;
    int character;        /* who speaks or thinks: index into characters; -1 for narration and where unknown */
    double confidence;    /* 0..1 that character is right; 0 for an unknown speaker, 1 for narration */
    const char *evidence; /* what told the speaker: "attribution", "pronoun", "action", "turn", ...; NULL when none */
    enum st_emotion emotion;
    double intensity; /* 0..1, 0 for neutral */
    int paragraph;    /* counted from 0 over paragraphs that have segments */
};

struct st_analysis {
    const char *language; /* BCP 47 primary subtag, "und" where it cannot be told */
    struct st_segment *segments;
    int n_segments;                  /* 0 when the text has nothing to say, as only quotation marks */
    struct st_character *characters; /* most mentioned first */
    int n_characters;
};

/*
 * text: UTF-8 that the caller has checked (st_utf8_valid), 1 byte or more. language: a BCP 47 tag that overrules the
 * detection, or NULL. Gives 0, ST_E_TOO_LARGE, or ST_E_INVALID for broken UTF-8, an empty text or a broken tag.
 */
int st_analyse(struct st_arena *a, const char *text, size_t len, const char *language,
               struct st_analysis **ret) ST_MUSTCHECK;

const char *st_segment_kind_name(enum st_segment_kind kind); /* "narration", "dialogue", "thought" */
const char *st_emotion_name(enum st_emotion emotion);        /* "neutral", "joy", ... */

/* The language of a text alone: a subtag as above. */
const char *st_detect_language(const char *text, size_t len);

#endif
