#ifndef STORY_ANALYSE_H
#define STORY_ANALYSE_H
/*
 * The embedded story analyser: language, segments with speaker and emotion, characters. Rules and word lists only; no
 * database, no network, no state.
 *
 *   struct st_analysis *found;
 *   r = st_analyse(call->arena, text, len, NULL, &found);      knowing the text alone
 *   r = st_analyse(call->arena, text, len, &hints, &found);    and what users have corrected
 *
 * Thread-safe. Everything returned lives in the arena. Time and memory grow linearly with the text (1 MB of
 * prose: a tenth of a second, some 30 MB of arena; of the worst nonsense: below a second and 150 MB). The same text
 * and hints give the same answer for one ST_ANALYSER_VERSION.
 *
 * After an edit the whole text is read again. A name in the last chapter may tell who speaks in the first, so that what
 * an edit touches can only be found by doing all of it; and of the tenth of a second that this takes, reading what an
 * analysis before has left would take half. Ids tell which segments the edit left alone: those are not narrated
 * again, and a provider is asked about passages that have others only.
 *
 * The segments, in order, hold every word of the text once, as a reader of Markdown has it (markdown.h). Quotation
 * marks of speech, emphasis marks (*, _), heading marks (#) and pieces without any letter, digit or symbol are left
 * out; white space is collapsed to single spaces.
 */
#include "base/base.h"

enum {
    ST_ANALYSER_VERSION = 9,
    ST_ANALYSE_TEXT_MAX = 1 << 20,   /* bytes of text; more is ST_E_TOO_LARGE */
    ST_ANALYSE_CHARACTERS_MAX = 200, /* the cast and the most mentioned are kept; others speak as unknown */
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
    const char *id;   /* [a-z0-9], 16 to 32 of them: hash of the text, and which of its like; see former below */
    const char *text; /* trimmed, never empty */
    enum st_segment_kind kind;
    int character;     /* who speaks or thinks: index into characters; -1 for narration and where unknown */
    double confidence; /* 0.2..1 that character is right; 0 for an unknown speaker, 1 for narration */
    /*
     * What told the speaker, at most 64 code points: the rule, and the words or the person that it went by, as in
     * "attribution: said Mr. Darcy", "pronoun: she asked", "action: Mira frowned", "turn: answers Jane", "address:
     * Tom", "continuation: ...", "introduction: ...", "corrected"; NULL for an unknown one.
     */
    const char *evidence;
    enum st_emotion emotion;
    double intensity; /* 0..1, 0 for neutral */
    int paragraph;    /* counted from 0 over paragraphs that have segments */
    bool heading;     /* a chapter begins with it (chapters.h): the title, or where it begins */
};

struct st_analysis {
    const char *language; /* BCP 47 primary subtag, "und" where it cannot be told */
    struct st_segment *segments;
    int n_segments;                  /* 0 when the text has nothing to say, as only quotation marks */
    struct st_character *characters; /* most mentioned first */
    int n_characters;
};

/* Who says or thinks a segment; what stands beside it goes by it. */
struct st_speaker_hint {
    const char *segment; /* its id; one that the text does not have is passed over */
    int character;       /* index into the cast (where that is passed over, so is this), or -1: none of them */
};

/*
 * What the caller knows beforehand; all of it may be left out. A user's corrections come in so, too: take the
 * characters of an analysis and rename them (the old name stays an alias), give one the aliases of another (merged), or
 * make an alias a character of its own (split); those that nobody corrected need not be given.
 */
struct st_analyse_hints {
    const char *language; /* a BCP 47 tag that overrules the detection */
    /*
     * name, aliases, gender and age are looked at, and hold. Names of one character mean the same being, those of two
     * never do; a name that two have means neither for sure. "Narrator" is the I of the story. The characters of the
     * result that are of the cast have these names; those that the text does not mention are not among them.
     */
    const struct st_character *cast;
    int n_cast;    /* the first ST_ANALYSE_CHARACTERS_MAX; more are passed over */
    bool cast_all; /* nobody else speaks or is a character; one that is but a part of another's name is that one */
    const struct st_speaker_hint *speakers; /* these have confidence 1 and the evidence "corrected" */
    int n_speakers;
    /*
     * Ids, no two the same, of the segments that the text had before it was edited, in order. Those that are still
     * there keep them, also where others of the same words come or go: else these are counted from the beginning.
     */
    const char *const *former;
    int n_former;
};

/*
 * text: UTF-8 that the caller has checked (st_utf8_valid), 1 byte or more. hints: or NULL. Gives 0, ST_E_TOO_LARGE, or
 * ST_E_INVALID for broken UTF-8, an empty text or a broken tag.
 */
int st_analyse(struct st_arena *a, const char *text, size_t len, const struct st_analyse_hints *hints,
               struct st_analysis **ret) ST_MUSTCHECK;

const char *st_segment_kind_name(enum st_segment_kind kind); /* "narration", "dialogue", "thought" */
const char *st_emotion_name(enum st_emotion emotion);        /* "neutral", "joy", ... */

/* The language of a text alone: a subtag as above. */
const char *st_detect_language(const char *text, size_t len);

#endif
