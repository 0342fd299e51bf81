#ifndef ST_NARRATION_SAMPLE_H
#define ST_NARRATION_SAMPLE_H
/*
 * A sample of somebody's voice, as they bring it: is it sound, is all of it there, is it fit to learn a voice from?
 * What is kept of it is MP3 (44,100 Hz, mono, 128 kbit/s) made anew of the samples, so nothing else that the file held
 * is left: no names, places, pictures, nor what follows the sound.
 *
 * The file is hostile. Its first bytes choose the one demuxer and the few decoders that may look at it; ffprobe and
 * ffmpeg run as processes of their own, with limits of time, memory and file size, and may open nothing but this file.
 */
#include "base/arena.h"

enum {
    ST_SAMPLE_BYTES_MAX = 32 << 20, /* as x-body-max has it */
    ST_SAMPLE_SECONDS_MIN = 10,     /* clones of less sound like nobody */
    ST_SAMPLE_SECONDS_MAX = 600,    /* no provider learns from more; MP3 of it stays below their 10 MB */
};

/*
 * from: the file as it was brought; to: a path for the MP3; raw: a path for its samples meanwhile, which is for the
 * caller to remove. 0 and its length, else ST_E_UNPROCESSABLE and *ret_why, a sentence for whoever brought it;
 * ST_E_CANCELLED; ST_E_UNAVAILABLE: the programs cannot run now.
 */
ST_MUSTCHECK int st_sample_convert(struct st_arena *a, const char *from, const char *raw, const char *to,
                                   bool (*cancelled)(void *), void *ctx, int64_t *ret_ms, const char **ret_why);

#endif
