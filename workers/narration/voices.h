#ifndef ST_NARRATION_VOICES_H
#define ST_NARRATION_VOICES_H
/*
 * Casting: which voice the narrator and each character get, and what an emotion does to a voice.
 * Pure functions over tables; thread-safe.
 */
#include "narration/speech.h"

enum st_gender { ST_GENDER_UNKNOWN, ST_GENDER_MALE, ST_GENDER_FEMALE };
enum st_age { ST_AGE_ADULT, ST_AGE_CHILD, ST_AGE_ELDER };

/* "male" "m" "man" "boy" …; anything else, and NULL, is UNKNOWN. Case does not matter. */
enum st_gender st_gender_from(const char *s);
/* "child" "elder" …, or a number of years; anything else, and NULL, is ADULT. */
enum st_age st_age_from(const char *s);

/*
 * Voices have names that last: "narrator", "man-3", "elder-woman-1", "girl-2"; "man-3.2" is man-3 changed a little,
 * for casts that are larger than the lists. One name is the same person in every language, as far as its voices go.
 * "<provider>:<voice>" is a voice of a provider outside, which speaks every language. "voice:<32 hex digits>" is one
 * that a person has lent: which provider speaks it now is not in its name, so struct st_voice.name is empty until
 * somebody who knows fills it in.
 */
enum { ST_VOICE_ID_LEN = 40 };
#define ST_VOICE_LENT "voice:"
bool st_voice_is_lent(const char *id);

struct st_voice {
    char id[ST_VOICE_ID_LEN];
    enum speak_engine engine;
    char name[SPEAK_NAME_LEN]; /* flite: rms slt awb kal16; espeak-ng: a variant such as f3, or empty */
    enum st_gender gender;
    int32_t pitch, range, rate, tract; /* thousandths, as in speak.h */
};

/* Whom a voice is looked for. */
struct st_role {
    enum st_gender gender;
    enum st_age age;
    const char *voice; /* the one that it has already; NULL: to be found */
};

/* The voice of that name in a language; false when nobody is called so. */
bool st_voices_find(const char *language, const char *id, struct st_voice *ret_voice) ST_MUSTCHECK;

/* Of whom the voice is by its name; grown up when that does not say. */
enum st_age st_voice_age(const char *id);

/* All voices of a language that can be chosen, n from 0; false behind the last one. */
bool st_voices_nth(const char *language, size_t n, struct st_voice *ret_voice, enum st_age *ret_age) ST_MUSTCHECK;

/*
 * language: as st_speech_language gives it ("" is English). The narrator gets the voice that a recogniser understands
 * best. Roles get theirs in the order given, so that one that is appended later changes nobody's voice; those that have
 * one keep it. Each other is at
 * least ST_VOICES_APART from the narrator, from those kept and from all before it while the voices last (English:
 * eighteen of a gender, thirty in all, six boys; other languages: eleven, eighteen, eight); behind that, as far as can
 * be.
 */
#define ST_VOICES_APART 2.0
void st_voices_narrator(const char *language, struct st_voice *ret_voice);
void st_voices_cast(const char *language, const struct st_voice *narrator, const struct st_role *roles, size_t count,
                    struct st_voice *ret_voices);

/*
 * How different two voices sound: semitones between their pitches, plus 1 for another timbre, or for the same one the
 * difference of the vocal tracts as a listener would put it in semitones.
 */
double st_voices_distance(const struct st_voice *a, const struct st_voice *b);

enum st_emotion {
    ST_EMOTION_NEUTRAL,
    ST_EMOTION_JOY,
    ST_EMOTION_SADNESS,
    ST_EMOTION_ANGER,
    ST_EMOTION_FEAR,
    ST_EMOTION_SURPRISE,
    ST_EMOTION_DISGUST,
    ST_EMOTION_TRUST,
    ST_EMOTION_ANTICIPATION,
};
const char *st_emotion_word(enum st_emotion emotion);
enum st_emotion st_emotion_from(const char *s); /* the names above in lower case; anything else is NEUTRAL */

/*
 * The manner in which voice speaks with that emotion, intensity 0..1 (clamped), and how much louder than usual (dB).
 * language as above; foreign: espeak-ng's name of another language for this utterance, or NULL.
 */
void st_voice_manner(const struct st_voice *voice, const char *language, const char *foreign, enum st_emotion emotion,
                     double intensity, struct st_manner *ret_manner, double *ret_db);

#endif
