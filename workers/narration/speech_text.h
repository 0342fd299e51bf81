#ifndef ST_NARRATION_SPEECH_TEXT_H
#define ST_NARRATION_SPEECH_TEXT_H
/*
 * From what a person wrote to what a synthesiser can say: symbols, emoji and control characters go, quotation marks,
 * dashes and ellipses become pauses, the text falls into sentences (long ones into clauses), and a stretch in a script
 * that the story's language does not use becomes an utterance in a language that does.
 */
#include "narration/speech.h"

/* Changes whenever the same text would be spoken differently, also by what a provider is told besides (remote_*.c);
 * part of every cache key. */
#define ST_SPEECH_RULES "2"

enum st_break {
    ST_BREAK_NONE, /* the sentence goes on in another script */
    ST_BREAK_CLAUSE,
    ST_BREAK_SENTENCE,
};

struct st_utterance {
    const char *text; /* at most SPEAK_TEXT_MAX bytes; ASCII when flite is to speak it */
    size_t len;
    const char *language; /* espeak-ng's name of the language to use instead of the story's; NULL: the story's */
    enum st_break after;
};

struct st_utterances {
    struct st_utterance *items; /* in the arena; none when nothing can be spoken */
    size_t count;
    size_t letters;    /* letters and digits in the text */
    size_t unreadable; /* of them, those that no language here reads */
};

/*
 * native: as st_speech_language gives it, "" for English. Linear in len. ST_E_INVALID when text is not UTF-8,
 * ST_E_TOO_LARGE when it has more than ST_SPEECH_TEXT_MAX bytes.
 */
/*
 * Instead of native: a provider speaks, which reads every script and knows what sentences are. It gets the normalised
 * text whole, so far as an utterance takes it: a segment, unless its rules of pronunciation make it very long.
 */
#define ST_TEXT_WHOLE "*"
enum { ST_SPEECH_TEXT_MAX = 4 << 20 };
int st_text_plan(struct st_arena *a, const char *text, size_t len, const char *native,
                 struct st_utterances *ret) ST_MUSTCHECK;

/* Steps of the plan, each in a file of its own (text_normalise.c, text_split.c, text_english.c). */

/* Appends the speakable form of text to out, which must be born with room for 3 * len + 16 bytes. */
void text_normalise(const char *text, size_t len, struct st_buf *out);

/* Is c a mark that normalised text may have: a pause, or the end of a sentence? */
bool text_is_mark(uint32_t c);

/* The end of the first sentence or clause of normalised text, at most TEXT_PIECE_MAX code points away. */
enum { TEXT_PIECE_MAX = 300 };
const char *text_piece_end(const char *text, const char *end, enum st_break *ret_after);

/* Appends text as ASCII that flite reads well. */
void text_english(const char *text, size_t len, struct st_buf *out);

static inline bool text_is_digit(uint32_t c)
{
    return c >= '0' && c <= '9';
}
static inline bool text_is_ascii_letter(uint32_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

#endif
