#ifndef ST_VIDEO_RENDER_INTERNAL_H
#define ST_VIDEO_RENDER_INTERNAL_H
/* What the files of the renderer share; nobody else includes it. */
#include "video/render.h"

enum {
    ST_PICTURE_VARIANTS = 3,
    ST_MOODS = 9,
    ST_CAPTION_LINES = 2,
};

enum st_place {
    ST_PLACE_OPEN, /* hills */
    ST_PLACE_SEA,
    ST_PLACE_FOREST,
    ST_PLACE_MOUNTAIN,
    ST_PLACE_DESERT,
    ST_PLACE_CITY,
    ST_PLACE_ROOM,
    ST_PLACES,
};

/* --- render_picture.c --- */

/* Index of an emotion's look, 0..ST_MOODS - 1; a word that is not known is neutral. */
int st_mood_find(const char *emotion);

/* yuv420p by BT.709, 16..235; the sides are even. */
struct st_picture {
    int w, h;
    unsigned char *plane[3];
};
struct st_picture *st_picture_new(struct st_arena *a, int w, int h);

/* The same seed gives the same bytes. */
void st_picture_draw(struct st_picture *p, int mood, enum st_place place, uint64_t seed);

/* --- render_place.c --- */

/* The place that the words of a text speak of most; `otherwise` when they speak of none. */
enum st_place st_place_find(const char *text, enum st_place otherwise);

/* --- render_scene.c --- */

struct st_scene {
    int64_t start_ms, end_ms;
    int mood, variant; /* variant: 0..ST_PICTURE_VARIANTS - 1 */
    enum st_place place;
};

/*
 * Cuts 0..duration_ms into scenes without gaps. Each takes the mood that lasts longest in it, and the place that its
 * first words speak of, else that of the scene before; none is shorter than some seconds (except in a short film) and
 * their number is bounded, whatever the story.
 */
struct st_scene *st_scenes_plan(struct st_arena *a, const struct st_video_job *job, int64_t duration_ms,
                                size_t *ret_count);

/* --- render_feed.c --- */

/*
 * The moving pictures, frame by frame: each scene's picture under a camera that drifts and comes closer or draws back,
 * and scenes that fade into each other.
 */
struct st_feed {
    const struct st_scene *scenes;
    size_t count;
    const char *title; /* seeds the pictures */
    int w, h, fps;     /* of the frames */
    int64_t film_ms;
    const char *pipe; /* where the frames go: a FIFO that somebody else will read; it is made, and removed */
};
struct st_feeding;

/* A thread writes all frames into the pipe. ST_E_UNAVAILABLE: no pipe, or no thread. */
int st_feed_start(const struct st_feed *feed, struct st_feeding **ret) ST_MUSTCHECK;
/* Ends it, whether it has come to the end or not; the reader has gone. NULL-safe. */
void st_feed_stop(struct st_feeding *f);

/* The frame at a time as a file of raw yuv420p. ST_E_UNAVAILABLE and errno. */
int st_feed_still(const struct st_feed *feed, int64_t ms, const char *path) ST_MUSTCHECK;

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

/* When the title card goes; how long the end card stays behind the sound, with all its pages. */
int64_t st_title_end(int64_t sound_ms);
int64_t st_end_card(const struct st_video_job *job, int64_t sound_ms);

/*
 * Writes the script that is burned in: title card, end card, captions, names. Without cues there are only the cards,
 * and with `still` only the title card. frame_ms: the time of a frame, to round to.
 */
int st_ass_write(const char *path, const struct st_video_job *job, const struct st_cue *cues, size_t count,
                 int64_t sound_ms, int64_t frame_ms, bool still) ST_MUSTCHECK;

/* --- render_language.c --- */

struct st_language {
    const char *tag;     /* BCP 47 prefix */
    const char *iso;     /* ISO 639-2/T, what MP4 names languages by */
    const char *caption; /* font families */
    const char *title;
    const char *the_end, *voices; /* on the end card */
};

/* The longest prefix of the tag that is known; never NULL. */
const struct st_language *st_language_find(const char *tag);

#endif
