#ifndef ST_NARRATION_SPEAK_H
#define ST_NARRATION_SPEAK_H
/*
 * What narrationd and its child program narration-speak say to each other, and the child's two engines.
 *
 * Synthesisers are large old libraries, not thread-safe, and the text is hostile; so each utterance is spoken by a
 * process of its own (3 ms to start) without privileges to gain, descriptors, files to write, or much memory and time
 * (speech.c sets the limits); it dies with its parent. A fresh process also makes the sound a function of the request
 * alone, which the cache relies on.
 *
 *   stdin:   struct speak_request, then text_len bytes of UTF-8; then end of file
 *   stdout:  struct speak_answer, then its payload; then end of file, exit 0
 *
 * Integers are in the machine's own order: both ends are built together and run on one machine. SPEAK_MAGIC changes
 * with the layout, so that a program of another build is refused.
 */
#include "base/base.h"

#define SPEAK_MAGIC 0x324b5053u /* "SPK2" */

enum {
    SPEAK_TEXT_MAX = 2000,       /* bytes of one utterance */
    SPEAK_SAMPLES_MAX = 5760000, /* of one answer: four minutes at 24 kHz */
    SPEAK_CPU_SECONDS = 30,
    SPEAK_NAME_LEN = 32,
};

enum speak_op {
    SPEAK_SAY = 1,   /* payload: count 16-bit mono samples */
    SPEAK_LANGUAGES, /* payload: count bytes: both engines with their versions, then espeak-ng's language names, each
                        ended by '\n' */
};

enum speak_engine {
    SPEAK_FLITE = 1, /* English; voices rms slt awb kal16; text must be ASCII */
    SPEAK_ESPEAK,    /* voice: a variant such as f3, or empty; language: a name that SPEAK_LANGUAGES lists */
    SPEAK_REMOTE,    /* not the child's: a provider outside speaks */
};

enum speak_status {
    SPEAK_DONE,
    SPEAK_BAD_REQUEST,
    SPEAK_NO_VOICE, /* the engine has no such voice or language */
    SPEAK_TOO_LONG, /* the sound would pass SPEAK_SAMPLES_MAX */
    SPEAK_FAILED,
};

/* Factors are in thousandths: 1000 leaves the voice as it is. */
struct speak_request {
    uint32_t magic;
    uint32_t op;
    uint32_t engine;
    int32_t pitch; /* 400..3000 */
    int32_t range; /* 0..3000: how far the pitch moves */
    int32_t rate;  /* 500..2000: above 1000 is faster */
    int32_t tract; /* -150..150, flite's rms, slt and awb only: the vocal tract's length; above 0 is longer, darker */
    uint32_t text_len;
    char voice[SPEAK_NAME_LEN];
    char language[SPEAK_NAME_LEN];
};

struct speak_answer {
    uint32_t magic;
    uint32_t status;
    uint32_t rate;  /* Hz */
    uint32_t count; /* of samples or bytes */
};

/* The sound that an engine gathers; the child exits without freeing it. */
struct speak_sound {
    int16_t *pcm;
    size_t count, cap;
    uint32_t rate;
};

/* Appends. False once SPEAK_SAMPLES_MAX would be passed. */
bool speak_sound_add(struct speak_sound *s, const int16_t *pcm, size_t count);

/* text is NUL-terminated, req's names too. Once per process. */
enum speak_status speak_flite(const struct speak_request *req, const char *text, struct speak_sound *ret_sound);
enum speak_status speak_espeak(const struct speak_request *req, const char *text, struct speak_sound *ret_sound);
enum speak_status speak_espeak_languages(struct st_buf *out);
extern const char *const speak_flite_version;

#endif
