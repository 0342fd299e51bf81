/* Makes the moving pictures and writes them, frame by frame, into the pipe that ffmpeg reads. */
#include "video/render_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FADE_MS = 900,
    POLL_MS = 200,
    PIPE_BYTES = 1 << 20,
    SPARE_FRAMES = 2, /* behind the last one, for whoever rounds up */
    PIPE_MODE = 0600,
};

/* The picture is so much larger than the frame: room for the camera. */
#define ROOM  1.2f
#define CLOSE 0.86f /* of the picture's width is seen where the camera is closest */

/* A picture that is drawn once and shown for a while. */
struct slot {
    struct st_picture *picture;
    const struct st_scene *scene; /* that it was drawn for, or NULL */
};

struct st_feeding {
    struct st_feed feed;
    struct st_arena arena;
    struct slot slots[2];
    struct st_picture *frame, *other;
    uint16_t *row; /* of a picture, between two rows */
    struct {
        uint32_t at, weight;
    } * column; /* where each column of the frame lies in the picture */
    uint64_t seed;
    pthread_t thread;
    atomic_bool stop;
};

static uint64_t hash_of(const char *text)
{
    uint64_t hash = 14695981039346656037u;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return hash;
}

static uint64_t seed_of(const struct st_feeding *f, const struct st_scene *s)
{
    return f->seed + (uint64_t)((s->mood * ST_PLACES + (int)s->place) * ST_PICTURE_VARIANTS + s->variant) * 7919;
}

static struct st_feeding *feeding_new(const struct st_feed *feed)
{
    struct st_feeding *f = calloc(1, sizeof(*f));
    if (!f)
        abort();
    f->feed = *feed;
    f->seed = hash_of(feed->title);
    int w = (int)((float)feed->w * ROOM) & ~1, h = (int)((float)feed->h * ROOM) & ~1;
    f->slots[0].picture = st_picture_new(&f->arena, w, h);
    f->slots[1].picture = st_picture_new(&f->arena, w, h);
    f->frame = st_picture_new(&f->arena, feed->w, feed->h);
    f->other = st_picture_new(&f->arena, feed->w, feed->h);
    f->row = st_new_n(&f->arena, uint16_t, (size_t)w + 1);
    f->column = st_alloc_array(&f->arena, (size_t)feed->w, sizeof(*f->column));
    return f;
}

static struct st_feeding *feeding_free(struct st_feeding *f)
{
    st_arena_release(&f->arena);
    free(f);
    return NULL;
}

/* --- a frame ----------------------------------------------------------------------------------------------------- */

static const struct st_picture *picture_of(struct st_feeding *f, const struct st_scene *s)
{
    struct slot *slot = &f->slots[(s - f->feed.scenes) & 1];
    if (slot->scene != s)
        st_picture_draw(slot->picture, s->mood, s->place, seed_of(f, s));
    slot->scene = s;
    return slot->picture;
}

/* Between two rows of a picture: a share of 256 of the second. What the compiler makes of it is most of the speed. */
__attribute__((optimize("O3"))) static void blend_rows(uint16_t *restrict out, const unsigned char *restrict a,
                                                       const unsigned char *restrict b, unsigned share, int n)
{
    uint16_t second = (uint16_t)(share < 256 ? share : 256), first = (uint16_t)(256 - second);
    for (int i = 0; i < n; i++)
        out[i] = (uint16_t)(a[i] * first + b[i] * second);
}

/* One plane of the frame: the part of the picture's plane that begins at x, y, each step so long, all in its pixels. */
static void look(struct st_feeding *f, const unsigned char *from, int from_w, int from_h, unsigned char *to, int to_w,
                 int to_h, float x, float y, float step)
{
    for (int i = 0; i < to_w; i++) {
        float at = x + step * (float)i;
        f->column[i].at = (uint32_t)at;
        f->column[i].weight = (uint32_t)((at - floorf(at)) * 256);
    }
    for (int j = 0; j < to_h; j++) {
        float at = y + step * (float)j;
        int row = (int)at < from_h - 1 ? (int)at : from_h - 2;
        const unsigned char *above = from + (size_t)row * (size_t)from_w;
        blend_rows(f->row, above, above + from_w, (unsigned)((at - (float)row) * 256), from_w);
        f->row[from_w] = f->row[from_w - 1];
        unsigned char *out = to + (size_t)j * (size_t)to_w;
        for (int i = 0; i < to_w; i++) {
            const uint16_t *p = f->row + f->column[i].at;
            out[i] = (unsigned char)((p[0] * (256 - f->column[i].weight) + p[1] * f->column[i].weight) >> 16);
        }
    }
}

/* Where the camera of a scene is at a time: it moves evenly, and each scene moves it another way. */
static void show(struct st_feeding *f, const struct st_scene *s, int64_t ms, struct st_picture *frame)
{
    const struct st_picture *p = picture_of(f, s);
    uint64_t way = seed_of(f, s) * 0x9e3779b97f4a7c15u >> 40;
    float from = (float)(s->start_ms - FADE_MS / 2), to = (float)(s->end_ms + FADE_MS / 2);
    float t = ((float)ms - from) / (to - from);
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    float near = way & 1 ? t : 1 - t, drift = (way & 2 ? t : 1 - t) * 0.8f + 0.1f;
    float wide = (float)p->w * (1 + (CLOSE - 1) * near), high = wide * (float)f->feed.h / (float)f->feed.w;
    float x = ((float)p->w - wide) * drift, y = ((float)p->h - high) * (way & 4 ? 0.35f : 0.65f);
    float step = (wide - 1) / (float)f->feed.w;
    look(f, p->plane[0], p->w, p->h, frame->plane[0], frame->w, frame->h, x, y, step);
    for (int i = 1; i < 3; i++)
        look(f, p->plane[i], p->w / 2, p->h / 2, frame->plane[i], frame->w / 2, frame->h / 2, x / 2, y / 2,
             (wide / 2 - 1) / (float)(f->feed.w / 2));
}

static size_t frame_bytes(const struct st_picture *p)
{
    return (size_t)p->w * (size_t)p->h * 3 / 2;
}

__attribute__((optimize("O3"))) static void fade(unsigned char *restrict a, const unsigned char *restrict b,
                                                 unsigned share, size_t n)
{
    uint16_t first = (uint16_t)(256 - share), second = (uint16_t)share;
    for (size_t i = 0; i < n; i++)
        a[i] = (unsigned char)((uint16_t)(a[i] * first + b[i] * second) >> 8);
}

/* scene: where to look for the scene of this time; times only rise. */
static void draw_frame(struct st_feeding *f, int64_t ms, size_t *scene)
{
    const struct st_feed *feed = &f->feed;
    while (*scene + 1 < feed->count && ms >= feed->scenes[*scene].end_ms + FADE_MS / 2)
        ++*scene;
    const struct st_scene *s = &feed->scenes[*scene];
    show(f, s, ms, f->frame);
    int64_t into = ms - (s->end_ms - FADE_MS / 2);
    if (into <= 0 || *scene + 1 == feed->count)
        return;
    show(f, s + 1, ms, f->other);
    fade(f->frame->plane[0], f->other->plane[0], (unsigned)(into * 256 / FADE_MS), frame_bytes(f->frame));
}

/* --- the pipe ---------------------------------------------------------------------------------------------------- */

/* Until somebody reads, or it is to stop. */
static int open_pipe(struct st_feeding *f)
{
    int fd;
    while ((fd = open(f->feed.pipe, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0 && errno == ENXIO && !atomic_load(&f->stop))
        st_sleep_ms(2);
    if (fd >= 0)
        (void)fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES); /* fewer changes between the two processes */
    return fd;
}

static bool write_all(struct st_feeding *f, int fd, const unsigned char *data, size_t len)
{
    for (size_t done = 0; done < len && !atomic_load(&f->stop);) {
        ssize_t n = write(fd, data + done, len - done);
        if (n > 0)
            done += (size_t)n;
        else if (n < 0 && errno != EAGAIN && errno != EINTR)
            return false; /* the reader has all it wants */
        else
            (void)poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, POLL_MS);
    }
    return !atomic_load(&f->stop);
}

static void *run(void *arg)
{
    struct st_feeding *f = arg;
    const struct st_feed *feed = &f->feed;
    int fd = open_pipe(f);
    int64_t frames = feed->film_ms * feed->fps / 1000 + SPARE_FRAMES;
    size_t scene = 0;
    bool more = fd >= 0;
    for (int64_t n = 0; more && n < frames; n++) {
        draw_frame(f, n * 1000 / feed->fps, &scene);
        more = write_all(f, fd, f->frame->plane[0], frame_bytes(f->frame));
    }
    if (fd >= 0)
        close(fd);
    return NULL;
}

int st_feed_start(const struct st_feed *feed, struct st_feeding **ret)
{
    if (mkfifo(feed->pipe, PIPE_MODE) < 0)
        return ST_E_UNAVAILABLE;
    struct st_feeding *f = feeding_new(feed);
    sigset_t pipe, before; /* a reader that has gone is told by write(), in this thread */
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    int failed = pthread_create(&f->thread, NULL, run, f);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        (void)unlink(feed->pipe);
        f = feeding_free(f);
        return ST_E_UNAVAILABLE;
    }
    *ret = f;
    return 0;
}

void st_feed_stop(struct st_feeding *f)
{
    if (!f)
        return;
    atomic_store(&f->stop, true);
    pthread_join(f->thread, NULL);
    (void)unlink(f->feed.pipe);
    feeding_free(f);
}

int st_feed_still(const struct st_feed *feed, int64_t ms, const char *path)
{
    struct st_feeding *f = feeding_new(feed);
    size_t scene = 0;
    draw_frame(f, ms, &scene);
    FILE *out = fopen(path, "wbe");
    bool ok = out && fwrite(f->frame->plane[0], 1, frame_bytes(f->frame), out) == frame_bytes(f->frame);
    if (out && fclose(out))
        ok = false;
    feeding_free(f);
    return ok ? 0 : ST_E_UNAVAILABLE;
}
