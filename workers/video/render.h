#ifndef ST_VIDEO_RENDER_H
#define ST_VIDEO_RENDER_H
/*
 * The embedded video provider: narration in, a film out. It needs the programs ffmpeg and ffprobe, and no network.
 *
 * The film is MP4 (H.264 yuv420p, AAC mono, a track of captions that say who speaks where that changes), ready for
 * streaming from its first bytes. It opens with a title card. Behind each scene stands a picture of its place in the
 * colours of its mood, over which the camera moves slowly; scenes fade into each other. Captions are burned in if that
 * is wished, of two lines, or four of an upright film, with the speaker's name above them, in step with the sound.
 * Behind the sound comes an end card that names who lent a voice, of up to 4 s, or where they are many of 4 s for each
 * page of names.
 *
 * Everything in a job may be hostile except the paths. Two renderings at one time may not share a work directory; else
 * this is thread-safe. The cost grows with the length of the sound, hardly with the text. ffmpeg takes about 200 MB of
 * memory, the pictures take 10 MB here, the work directory has the film.
 */
#include "base/base.h"

enum {
    ST_VIDEO_MAX_SEGMENTS = 500000,
    ST_VIDEO_MAX_CLIPS = 8,
    ST_VIDEO_MAX_VOICES = 1000,   /* as many as take part in a collaboration */
    ST_VIDEO_MAX_TEXT = 16 << 20, /* bytes of all segments' text and speakers, and of voices, together */
    ST_VIDEO_MAX_MS = 24 * 3600 * 1000,
};

struct st_video_segment {
    const char *text;
    const char *speaker; /* NULL: the narrator, who is not named on screen */
    const char *emotion; /* joy sadness anger fear surprise disgust trust anticipation neutral; others are neutral */
    double intensity;    /* 0..1 */
    int64_t start_ms, end_ms; /* in the sound; what is not spoken (no time of its own) is not shown */
};

/*
 * A film of somebody else's, of the job's size and as long as it is shown: it stands before the drawn pictures, and
 * fades into them, also when it ends before its scene does.
 */
struct st_video_clip {
    const char *path; /* MP4 that we have encoded */
    int64_t start_ms, end_ms;
};

struct st_video_job {
    const char *title;
    const char *language; /* BCP 47, picks fonts; NULL if not known */
    const struct st_video_segment *segments;
    size_t segment_count;
    const struct st_video_clip *clips; /* at most ST_VIDEO_MAX_CLIPS */
    size_t clip_count;
    int width, height;         /* 1280x720, 1920x1080, or upright; 0: 1280x720 */
    bool no_captions;          /* none are burned in */
    const char *const *voices; /* names for the end card, at most ST_VIDEO_MAX_VOICES, NULL-ended; or NULL */
    const char *audio_path;    /* Ogg Opus; this and all paths are absolute */
    const char *work_dir;      /* exists; scratch files in it are removed at the end */
    const char *output_path;   /* MP4 */
    const char *vtt_path;      /* WebVTT captions */
    const char *poster_path;   /* JPEG, the title card */

    /* Both may be NULL; called in the rendering thread. */
    void (*progress)(void *arg, int permille); /* rising, 0..1000 */
    bool (*cancelled)(void *arg);              /* asked some times a second */
    void *arg;
};

struct st_video_info {
    int64_t duration_ms; /* the sound's and the end card's */
    int64_t bytes;
};

/*
 * 0, or: ST_E_INVALID (the job: paths, text that is not UTF-8), ST_E_TOO_LARGE (its limits), ST_E_UNPROCESSABLE (the
 * sound is not Ogg Opus of 1 ms to 24 h), ST_E_UNAVAILABLE (no ffmpeg, or the machine is short of something),
 * ST_E_TIMEOUT, ST_E_CANCELLED, ST_E_INTERNAL (ffmpeg failed, or the film is not what was asked for).
 * On failure the output files are gone and `reason` has been given what there is to say, for the log.
 */
int st_video_render(const struct st_video_job *job, struct st_buf *reason, struct st_video_info *ret_info) ST_MUSTCHECK;

#endif
