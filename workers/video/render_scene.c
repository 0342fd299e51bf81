/* Cuts a film into scenes by mood and place. */
#include "video/render_internal.h"

enum {
    MIN_MS = 5000,    /* shorter looks flicker */
    LONG_MS = 24000,  /* then another picture of the mood is shown */
    MAX_SHORT = 1500, /* at most so many scenes for the changes of mood, */
    MAX_LONG = 500,   /* and so many for length */
};

/* Below this an emotion does not colour the picture. */
#define FAINT 0.15

struct plan {
    struct st_scene *scenes;
    size_t count;
    int64_t start, min, longest;
    int64_t time_of[ST_MOODS];      /* how long each mood has lasted in the open scene */
    enum st_place place;            /* of the open scene */
    int shown[ST_MOODS][ST_PLACES]; /* pictures of each so far */
};

static int dominant(const struct plan *p)
{
    int best = 0;
    for (int i = 1; i < ST_MOODS; i++)
        if (p->time_of[i] > p->time_of[best])
            best = i;
    return best;
}

/* Closes the open scene, in several pictures of equal length if it is long. */
static void close_scene(struct plan *p, int64_t end)
{
    int mood = dominant(p);
    int64_t length = end - p->start, parts = (length + p->longest - 1) / p->longest;
    for (int64_t i = 0; i < parts; i++)
        p->scenes[p->count++] = (struct st_scene){.start_ms = p->start + length * i / parts,
                                                  .end_ms = p->start + length * (i + 1) / parts,
                                                  .mood = mood,
                                                  .place = p->place,
                                                  .variant = p->shown[mood][p->place]++ % ST_PICTURE_VARIANTS};
    p->start = end;
    memset(p->time_of, 0, sizeof(p->time_of));
}

static int64_t at_least(int64_t value, int64_t least)
{
    return value < least ? least : value;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

struct st_scene *st_scenes_plan(struct st_arena *a, const struct st_video_job *job, int64_t duration_ms,
                                size_t *ret_count)
{
    struct plan p = {.min = at_least(duration_ms / MAX_SHORT, MIN_MS),
                     .longest = at_least(duration_ms / MAX_LONG, LONG_MS)};
    p.scenes = st_new_n(a, struct st_scene, (size_t)(duration_ms / p.min + duration_ms / p.longest + 2));
    int64_t at = 0;
    for (size_t i = 0; i < job->segment_count; i++) {
        const struct st_video_segment *s = &job->segments[i];
        int mood = s->intensity >= FAINT ? st_mood_find(s->emotion) : 0;
        int64_t start = clamp(s->start_ms, at, duration_ms), end = clamp(s->end_ms, start, duration_ms);
        enum st_place place = st_place_find(s->text, p.place);
        if (start - p.start >= p.min && duration_ms - start >= p.min && (mood != dominant(&p) || place != p.place))
            close_scene(&p, start);
        if (start == p.start || p.start == 0) /* the first words of a scene tell */
            p.place = place;
        p.time_of[mood] += end - start;
        at = end;
    }
    close_scene(&p, duration_ms);
    *ret_count = p.count;
    return p.scenes;
}
