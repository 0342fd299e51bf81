#ifndef ST_NARRATION_NARRATE_H
#define ST_NARRATION_NARRATE_H
/*
 * From a story's segments to two sound files and a timing map: plan, then in pieces of about a paragraph speak, level
 * and encode (several at once), then join in order. Pieces are kept, so that after an edit only what has changed is
 * spoken and encoded.
 */
#include "narration/voices.h"

enum {
    ST_NARRATE_PARALLEL_MAX = 16,
    ST_NARRATE_TEXT_MAX = 4 << 20, /* bytes of all segments together */
    ST_NARRATE_WHY_LEN = 256,
    ST_NARRATE_PARTS = 100,
};

struct st_narrate_segment {
    const char *text; /* UTF-8 */
    size_t len;
    size_t voice; /* index into the job's voices */
    enum st_emotion emotion;
    double intensity;    /* 0..1 */
    bool paragraph_ends; /* a longer pause follows */
    bool heading;        /* of a chapter: longer pauses stand around it */
    int take; /* 0, or counted up when it is to be spoken anew, for synthesisers that never say a thing twice alike */
};

/*
 * What is to be said, and what the same voice says right before and after it (NULL: nothing), for providers that carry
 * their intonation over. That is no part of the cache key: an edit costs one call, not three.
 */
struct st_narrate_line {
    const char *text;
    size_t len;
    const char *before, *after;
};

struct st_narrate_remote {
    int (*say)(void *ctx, const struct st_manner *manner, const struct st_narrate_line *line, const atomic_bool *stop,
               struct st_pcm *ret_pcm, char ret_why[ST_NARRATE_WHY_LEN]);
    /* Which model speaks with the voice, and where: parts of every cache key. What the second gives outlives the job.
     */
    const char *(*model)(void *ctx, const char *voice);
    const char *(*address)(void *ctx, const char *voice);
    void *ctx;
};

struct st_narrate_job {
    const struct st_speech *speech;
    const char *language; /* BCP 47; NULL or "und": English, and other scripts by their own languages */
    const struct st_voice *voices;
    size_t n_voices;
    const struct st_narrate_segment *segments;
    size_t n_segments;
    const char *opus_path, *mp3_path;
    const char *cache_dir; /* must exist; NULL: no cache */
    int parallel;          /* children at once, 1..ST_NARRATE_PARALLEL_MAX; 0: 2 */

    /* For voices of providers outside; NULL: there are none. Called on several threads. why: a sentence for people. */
    const struct st_narrate_remote *remote;

    /*
     * A long story is also given in parts, each as soon as it is whole: they end where chapters do, or after some
     * minutes; at most ST_NARRATE_PARTS. The files are the callee's to take away. Called on the calling thread with
     * ctx; an error ends the narration with it. Not called when there would be one part only. NULL: no parts are
     * wanted.
     */
    int (*part)(void *ctx, int number, const char *opus_path, const char *mp3_path, int64_t start_ms, int64_t end_ms);

    /* Both are called on the calling thread, some times a second, and may be NULL. done and total count utterances. */
    void (*progress)(void *ctx, size_t done, size_t total);
    bool (*cancelled)(void *ctx);
    void *ctx;
};

struct st_narrate_time {
    int64_t start_ms, end_ms; /* of its sound, without the pause behind it; equal when it has none */
    int error;                /* 0, or UNPROCESSABLE: some of it is missing, for no voice reads its script */
};

struct st_narrate_result {
    struct st_narrate_time *times; /* one for each segment; in the arena */
    int64_t duration_ms;
    size_t utterances, from_cache;
    int64_t characters;          /* of all of them */
    size_t spoken;               /* of them, those that a synthesiser has said now; also of one that has failed */
    int64_t spoken_characters;   /* of their text */
    const char *why;             /* for people: why there was an error; NULL without one; in the arena */
    const struct st_voice *lost; /* a provider's voice that was not to be had; the error is what say gave */
};

/*
 * Every utterance is checked, those from the cache too: a sound that is silent, or far too short or long for its text,
 * is made again, three times in all; then there is no narration, rather than one that does not have all of its text.
 * But what an engine of ours says thus each time is all that it has to say.
 *
 * Blocks until done; memory does not grow with the length of the sound. Several jobs may run at once. On any error no
 * file is left at the paths, and ret->why says what to tell the author:
 *   ST_E_UNPROCESSABLE  no voice for the language; nothing in the text can be spoken; most of it is in a script that
 *                       no voice reads
 *   ST_E_INVALID        text that is not UTF-8, or a voice index out of range
 *   ST_E_TOO_LARGE      more text than ST_NARRATE_TEXT_MAX
 *   ST_E_BAD_GATEWAY    an utterance cannot be spoken; why says which
 *   ST_E_UNAVAILABLE    the files cannot be written, or no thread or child can be started
 *   ST_E_CANCELLED      cancelled() said so
 * What was spoken is in the cache in every case. A provider's voice that fails ends the narration at once, with its
 * error: nobody is given another voice here.
 */
int st_narrate_audio(struct st_arena *a, const struct st_narrate_job *job, struct st_narrate_result *ret) ST_MUSTCHECK;

#endif
