#ifndef ST_VIDEO_FOOTAGE_H
#define ST_VIDEO_FOOTAGE_H
/*
 * Films of somebody else's, which may be anything: what is one is made into a clip of ours, and what is not is refused.
 *
 * Nothing of such a file is read in this process. ffprobe looks first, then ffmpeg decodes; both run with bounds on
 * time, memory and what they write, open nothing but files (that is ffmpeg's -protocol_whitelist, and no namespace),
 * and have no other decoders than those of films. A clip has pictures only, newly encoded: no byte of the file is in
 * it, and no sound, words, chapters or other streams.
 */
#include "base/base.h"

enum {
    ST_FOOTAGE_SIDE_MIN = 64, /* pixels */
    ST_FOOTAGE_SIDE_MAX = 4096,
    ST_FOOTAGE_MIN_MS = 500,
    ST_FOOTAGE_MAX_MS = 120000,
    ST_FOOTAGE_BYTES = 512 << 20, /* of a clip; what comes should be no larger either */
    ST_FOOTAGE_FPS = 24,
};

struct st_footage {
    const char *path; /* MP4, or what is said to be that */
    int width, height;
    int64_t ms;       /* of the clip: a shorter film is slowed, but not so far that it shows */
    const char *clip; /* MP4, H.264 */

    bool (*cancelled)(void *arg); /* asked some times a second; or NULL */
    void *arg;
};

/*
 * 0: the clip is there, *ret_ms long: less than was asked for, where the film is so short that it would have to be
 * slowed more than by half. Else there is none, and *ret_why (arena) says why, for the log:
 *   ST_E_UNPROCESSABLE  that is no film, or none that we take
 *   ST_E_UNAVAILABLE    there is no ffmpeg, no process or no room on the disk
 *   ST_E_TIMEOUT        a program was killed, or not done in time; the film may be to blame, or a machine that is short
 *                       of memory or has too much to do: a few more tries will tell
 *   ST_E_CANCELLED
 */
int st_footage_take(struct st_arena *a, const struct st_footage *f, int64_t *ret_ms, const char **ret_why) ST_MUSTCHECK;

#endif
