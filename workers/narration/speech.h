#ifndef ST_NARRATION_SPEECH_H
#define ST_NARRATION_SPEECH_H
/*
 * Speech from text, by a confined child process per utterance (see speak.h).
 *
 *   struct st_speech *speech;
 *   st_speech_open("/usr/lib/storytelling/narration-speak", ST_SPEECH_TIMEOUT_S, &speech);
 *   struct st_pcm pcm = {0};
 *   st_speech_say(speech, &manner, "Good morning.", 13, NULL, &pcm);
 *   st_pcm_release(&pcm);
 *   st_speech_close(speech);
 *
 * Thread-safe after open: every call starts a child of its own and waits for it. The process must not ignore SIGCHLD.
 */
#include <stdatomic.h>

#include "narration/speak.h"

struct st_pcm {
    int16_t *samples; /* mono; owned */
    size_t count;
    uint32_t rate; /* Hz */
};
void st_pcm_release(struct st_pcm *pcm);

enum { ST_LANGUAGE_LEN = SPEAK_NAME_LEN, ST_MODEL_LEN = 48 };

/* How to speak: what a voice (voices.h) and an emotion make of an utterance. Factors as in speak.h, in thousandths. */
struct st_manner {
    enum speak_engine engine;
    char name[SPEAK_NAME_LEN];      /* flite: rms slt awb kal16; espeak-ng: a variant, or empty */
    char language[ST_LANGUAGE_LEN]; /* espeak-ng's name for it; empty for flite */
    int32_t pitch, range, rate, tract;
    int take; /* counts in the cache only: another take of the same is another sound; */
    const char
        *maker; /* so is another version of an engine, and another address of a provider; NULL: it does not matter */

    /* SPEAK_REMOTE: name is "<provider>:<voice>"; of the factors it knows rate alone */
    char model[ST_MODEL_LEN];
    int emotion, strength; /* enum st_emotion; 0..10 */
};

struct st_speech;

/*
 * program: path of narration-speak; it is asked at once for its languages, which proves that it works.
 * ST_E_UNAVAILABLE when it does not. A child that is not done in timeout_s seconds is killed.
 */
int st_speech_open(const char *program, int timeout_s, struct st_speech **ret_speech) ST_MUSTCHECK;
enum { ST_SPEECH_TIMEOUT_S = SPEAK_CPU_SECONDS + 15 }; /* the child shares its core */
void st_speech_close(struct st_speech *speech);        /* NULL is fine */

/* Both engines with their versions. */
const char *st_speech_engines(const struct st_speech *speech);

/*
 * The engine's name for a BCP 47 tag: "" for English (flite), else espeak-ng's. NULL, "" and "und" count as English.
 * ST_E_UNPROCESSABLE when no voice speaks it.
 */
int st_speech_language(const struct st_speech *speech, const char *tag, char ret_name[ST_LANGUAGE_LEN]) ST_MUSTCHECK;

/*
 * Speaks one utterance: text of at most SPEAK_TEXT_MAX bytes, prepared by st_text_plan (flite: ASCII). stop may be
 * NULL; once *stop is true the child is killed. The caller releases *ret_pcm.
 * ST_E_BAD_GATEWAY the child crashed or answered nonsense, ST_E_TIMEOUT it took too long, ST_E_UNPROCESSABLE no such
 * voice or language, ST_E_TOO_LARGE the text or its sound is too long, ST_E_CANCELLED, ST_E_UNAVAILABLE no child could
 * be started.
 */
int st_speech_say(const struct st_speech *speech, const struct st_manner *manner, const char *text, size_t len,
                  const atomic_bool *stop, struct st_pcm *ret_pcm) ST_MUSTCHECK;

#endif
