#ifndef ST_VIDEO_RENDER_INTERNAL_H
#define ST_VIDEO_RENDER_INTERNAL_H
/* What the files of the renderer share; nobody else includes it. */
#include "video/render.h"

enum {
    ST_FRAME_W = 1280,
    ST_FRAME_H = 720,
    ST_PICTURE_W = 1408, /* wider than the frame: the camera drifts sideways over it */
    ST_PICTURE_VARIANTS = 3,
    ST_MOODS = 9,
    ST_CAPTION_LINES = 2,
};

/* --- render_picture.c --- */

/* Index of an emotion's look, 0..ST_MOODS - 1; a word that is not known is neutral. */
int st_mood_find(const char *emotion);

/* Writes the picture of a mood as PPM, ST_PICTURE_W x ST_FRAME_H. The same seed gives the same bytes. */
int st_picture_write(const char *path, int mood, uint64_t seed) ST_MUSTCHECK;

/* --- render_scene.c --- */

struct st_scene {
    int64_t start_ms, end_ms;
    int mood, variant; /* variant: 0..ST_PICTURE_VARIANTS - 1 */
};

/*
 * Cuts 0..duration_ms into scenes without gaps. Each takes the mood that lasts longest in it; none is shorter than
 * some seconds (except in a short film) and their number is bounded, whatever the story.
 */
struct st_scene *st_scenes_plan(struct st_arena *a, const struct st_video_job *job, int64_t duration_ms,
                                size_t *ret_count);

/* --- render_text.c --- */

/* What is on the screen at one time: one or two lines of clean text, not yet escaped for any format. */
struct st_piece {
    const char *lines[ST_CAPTION_LINES]; /* the second is NULL when there is one */
    uint32_t weight;                     /* its share of the time of its text; at least 1 */
};

/*
 * One line of text without what could disturb a screen: white space folded, control characters, direction overrides
 * and piled-up marks dropped; at most max_chars code points, the last an ellipsis when there were more.
 */
char *st_text_clean(struct st_arena *a, const char *s, size_t max_chars);

/* Splits text of any length, language and shape into pieces, at sentence and clause ends where it can. May be none. */
struct st_piece *st_text_split(struct st_arena *a, const char *text, size_t *ret_count);

/*
 * Breaks clean text into at most max_lines lines, as even as they can be, each at most `ems` wide (estimated). What
 * is left over ends in an ellipsis.
 */
size_t st_text_wrap(struct st_arena *a, const char *text, unsigned ems, size_t max_lines, const char **ret_lines);

/* --- render_cue.c --- */

struct st_cue {
    int64_t start_ms, end_ms;
    const char *speaker; /* clean; NULL for the narrator */
    struct st_piece piece;
};

/* The captions in time order, without overlap, all within 0..duration_ms, none empty. */
struct st_cue *st_cues_plan(struct st_arena *a, const struct st_video_job *job, int64_t duration_ms, size_t *ret_count);

int st_vtt_write(const char *path, const struct st_cue *cues, size_t count) ST_MUSTCHECK;

/* --- render_ass.c --- */

/* When the title card goes. */
int64_t st_title_end(int64_t duration_ms);

/* Writes the script that is burned in: title card, captions, names. frame_ms: the time of a frame, to round to. */
int st_ass_write(const char *path, const struct st_video_job *job, const struct st_cue *cues, size_t count,
                 int64_t duration_ms, int64_t frame_ms) ST_MUSTCHECK;

/* --- render_language.c --- */

struct st_language {
    const char *tag;     /* BCP 47 prefix */
    const char *iso;     /* ISO 639-2/T, what MP4 names languages by */
    const char *caption; /* font families */
    const char *title;
};

/* The longest prefix of the tag that is known; never NULL. */
const struct st_language *st_language_find(const char *tag);

#endif
