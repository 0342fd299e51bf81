#ifndef ST_NARRATION_ENCODE_H
#define ST_NARRATION_ENCODE_H
/*
 * Writes one programme as Ogg Opus and as MP3 at the same time, while it is being made.
 *
 *   struct st_encoder *enc;
 *   st_encoder_open("a.opus", "a.mp3", &enc);
 *   st_encoder_write(enc, samples, count);      16-bit mono at ST_PCM_RATE; any block size
 *   st_encoder_silence(enc, 400);
 *   st_encoder_finish(enc);                     or st_encoder_abort(enc); either frees it
 *
 * The files are written beside their names (".part") and take them only when both are whole and on disk. Both carry
 * their encoder's delay, so that players start at the first sample and end at the last one. Not thread-safe.
 * Errors are ST_E_UNAVAILABLE: no such directory, disk full, no permission; errno says which.
 */
#include "narration/pcm.h"

struct st_encoder;

int st_encoder_open(const char *opus_path, const char *mp3_path, struct st_encoder **ret_encoder) ST_MUSTCHECK;
int st_encoder_write(struct st_encoder *enc, const int16_t *samples, size_t count) ST_MUSTCHECK;
int st_encoder_silence(struct st_encoder *enc, int ms) ST_MUSTCHECK;
int64_t st_encoder_ms(const struct st_encoder *enc); /* how much has been written, rounded to nearest */

int st_encoder_finish(struct st_encoder *enc) ST_MUSTCHECK; /* on an error no file is left */
void st_encoder_abort(struct st_encoder *enc);              /* leaves no file; NULL is fine */

/* What a format implements. out stays open and is closed by the caller. */
struct encode_format {
    void *(*open)(FILE *out); /* NULL: failed */
    bool (*write)(void *self, const int16_t *samples, size_t count);
    bool (*finish)(void *self); /* writes what is left */
    void (*free)(void *self);
};
extern const struct encode_format encode_opus, encode_mp3;

#endif
