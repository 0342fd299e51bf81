/* Speaks the pieces of a story in parallel, and joins them in order into the files. */
#include "narration/narrate.h"

#include <pthread.h>

#include "narration/encode.h"
#include "narration/narrate_int.h"

enum {
    PARALLEL = 2,
    AHEAD = 3,     /* pieces per child that may wait for their turn: the bound on memory */
    TICK_MS = 200, /* how often cancelled() is asked while nothing comes */
};

enum slot_state { SLOT_EMPTY, SLOT_READY };
struct slot {
    enum slot_state state;
    struct narrate_sound sound;
};

/* The pieces are spoken by whichever thread is free; piece i waits in slots[i % n_slots] until its turn. */
struct work {
    const struct st_narrate_job *job;
    const struct narrate_plan *plan;

    pthread_mutex_t lock;
    pthread_cond_t spoken, taken;
    struct slot *slots;
    size_t n_slots, next, consumed; /* the next to speak; how many have been joined */
    size_t done;                    /* utterances that were joined */
    struct part {
        struct st_encoder *enc; /* NULL: none is open */
        char *opus_path, *mp3_path;
        int64_t start; /* samples before it */
    } part;
    atomic_bool stop;
};

/* --- speaking: the threads --------------------------------------------------------------------------------------- */

static void *speak_all(void *arg)
{
    struct work *w = arg;
    pthread_mutex_lock(&w->lock);
    while (!atomic_load(&w->stop) && w->next < w->plan->n_pieces) {
        if (w->next >= w->consumed + w->n_slots) {
            pthread_cond_wait(&w->taken, &w->lock);
            continue;
        }
        size_t n = w->next++;
        struct slot s = {.state = SLOT_READY};
        pthread_mutex_unlock(&w->lock);
        narrate_speak(w->job, w->plan, n, &w->stop, &s.sound);
        pthread_mutex_lock(&w->lock);
        w->slots[n % w->n_slots] = s;
        pthread_cond_signal(&w->spoken);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static void work_stop(struct work *w)
{
    pthread_mutex_lock(&w->lock);
    atomic_store(&w->stop, true);
    pthread_cond_broadcast(&w->taken);
    pthread_mutex_unlock(&w->lock);
}

static bool is_cancelled(const struct st_narrate_job *job)
{
    return job->cancelled && job->cancelled(job->ctx);
}

/* Waits for piece n and takes it out of its slot. */
static int work_take(struct work *w, size_t n, struct slot *ret_slot)
{
    struct slot *s = &w->slots[n % w->n_slots];
    for (;;) {
        if (is_cancelled(w->job))
            return ST_E_CANCELLED;
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += TICK_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_mutex_lock(&w->lock);
        while (s->state == SLOT_EMPTY && pthread_cond_timedwait(&w->spoken, &w->lock, &until) == 0)
            ;
        bool ready = s->state == SLOT_READY;
        if (ready) {
            *ret_slot = *s;
            *s = (struct slot){0};
            w->consumed = n + 1;
            pthread_cond_broadcast(&w->taken);
        }
        pthread_mutex_unlock(&w->lock);
        if (ready)
            return 0;
    }
}

/* --- joining: the calling thread --------------------------------------------------------------------------------- */

static int64_t to_ms(int64_t samples)
{
    return (samples * 1000 + ST_PCM_RATE / 2) / ST_PCM_RATE;
}

/* When each segment of the piece is heard; base: samples before the piece. */
static int note_times(struct work *w, size_t piece, const struct narrate_sound *sound, int64_t base,
                      struct st_narrate_result *ret)
{
    const struct narrate_piece *p = &w->plan->pieces[piece];
    for (size_t n = 0; n < p->count; n++) {
        const struct narrate_item *i = &w->plan->items[p->first + n];
        struct st_narrate_time *t = &ret->times[i->segment];
        struct narrate_span span;
        memcpy(&span, (const char *)sound->data + n * sizeof(span), sizeof(span));
        if (p->first + n == 0 || i[-1].segment != i->segment)
            t->start_ms = to_ms(base + span.start);
        t->end_ms = to_ms(base + span.end);
        if (!i->said.len)
            continue;
        if (w->job->progress)
            w->job->progress(w->job->ctx, ++w->done, w->plan->utterances);
        if (is_cancelled(w->job))
            return ST_E_CANCELLED;
    }
    return 0;
}

static void part_release(struct part *p)
{
    st_encoder_abort(ST_TAKE(p->enc));
    free(ST_TAKE(p->opus_path));
    free(ST_TAKE(p->mp3_path));
}

/* The part that is open ends at `at` samples, and is handed over. */
static int part_end(struct work *w, int number, int64_t at)
{
    struct part *p = &w->part;
    int r = st_encoder_finish(ST_TAKE(p->enc));
    if (r == 0)
        r = w->job->part(w->job->ctx, number, p->opus_path, p->mp3_path, to_ms(p->start), to_ms(at));
    part_release(p);
    return r;
}

static int part_begin(struct work *w, int64_t at)
{
    struct part *p = &w->part;
    p->start = at;
    if (asprintf(&p->opus_path, "%s.now", w->job->opus_path) < 0 ||
        asprintf(&p->mp3_path, "%s.now", w->job->mp3_path) < 0)
        abort();
    return st_encoder_open(p->opus_path, p->mp3_path, &p->enc);
}

/* The piece also goes into its part. at: samples before it. */
static int part_add(struct work *w, size_t piece, const void *data, size_t len, int64_t at)
{
    const struct narrate_plan *p = w->plan;
    int number = p->pieces[piece].part, r = 0;
    if (!w->job->part || p->n_parts < 2)
        return 0;
    if (piece && p->pieces[piece - 1].part != number)
        r = part_end(w, number - 1, at);
    if (r == 0 && !w->part.enc)
        r = part_begin(w, at);
    if (r == 0)
        r = st_encoder_add(w->part.enc, data, len);
    if (r == 0 && piece + 1 == p->n_pieces)
        r = part_end(w, number, at + st_piece_samples(data, len));
    return r;
}

static void count_spoken(const struct narrate_sound *sound, struct st_narrate_result *ret)
{
    ret->spoken += sound->spoken;
    ret->spoken_characters += sound->spoken_characters;
}

static int join_one(struct work *w, struct st_encoder *enc, size_t piece, const struct narrate_sound *sound,
                    struct st_narrate_result *ret)
{
    size_t spans = w->plan->pieces[piece].count * sizeof(struct narrate_span);
    int64_t base = st_encoder_samples(enc);
    count_spoken(sound, ret);
    if (sound->error < 0) {
        ret->lost = sound->lost;
        if (*sound->why || sound->lost)
            ret->why = st_strdup(w->plan->arena, *sound->why ? sound->why : "The provider of a voice failed.");
        return sound->error;
    }
    const char *data = (const char *)sound->data + spans;
    int r = st_encoder_add(enc, data, sound->len - spans);
    if (r == 0)
        r = part_add(w, piece, data, sound->len - spans, base);
    ret->from_cache += sound->from_cache;
    return r < 0 ? r : note_times(w, piece, sound, base, ret);
}

static int join_all(struct work *w, struct st_encoder *enc, struct st_narrate_result *ret)
{
    int r = 0;
    for (size_t n = 0; n < w->plan->n_pieces && r == 0; n++) {
        struct slot s;
        r = work_take(w, n, &s);
        if (r < 0)
            break;
        r = join_one(w, enc, n, &s.sound, ret);
        free(s.sound.data);
    }
    return r;
}

/* --- all of it --------------------------------------------------------------------------------------------------- */

static void work_init(struct work *w, const struct st_narrate_job *job, const struct narrate_plan *p, size_t threads)
{
    *w = (struct work){.job = job, .plan = p};
    w->n_slots = threads * AHEAD;
    w->slots = calloc(w->n_slots, sizeof(*w->slots));
    if (!w->slots)
        abort();
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->spoken, &monotonic);
    pthread_cond_init(&w->taken, NULL);
    pthread_condattr_destroy(&monotonic);
}

static void work_release(struct work *w)
{
    for (size_t i = 0; i < w->n_slots; i++)
        free(w->slots[i].sound.data);
    free(w->slots);
    part_release(&w->part);
    pthread_cond_destroy(&w->spoken);
    pthread_cond_destroy(&w->taken);
    pthread_mutex_destroy(&w->lock);
}

static int run(struct work *w, size_t threads, struct st_encoder *enc, struct st_narrate_result *ret)
{
    pthread_t ids[ST_NARRATE_PARALLEL_MAX];
    size_t started = 0;
    while (started < threads && pthread_create(&ids[started], NULL, speak_all, w) == 0)
        started++;
    int r = started ? join_all(w, enc, ret) : ST_E_UNAVAILABLE;
    work_stop(w);
    for (size_t i = 0; i < started; i++)
        pthread_join(ids[i], NULL);
    for (size_t i = 0; i < w->n_slots; i++) /* what nobody has waited for */
        count_spoken(&w->slots[i].sound, ret);
    return r;
}

static int make_files(const struct st_narrate_job *job, const struct narrate_plan *p, struct st_narrate_result *ret)
{
    size_t threads = job->parallel > 0 ? (size_t)job->parallel : PARALLEL;
    struct st_encoder *enc;
    struct work w;
    if (threads > ST_NARRATE_PARALLEL_MAX)
        threads = ST_NARRATE_PARALLEL_MAX;
    int r = st_encoder_open(job->opus_path, job->mp3_path, &enc);
    if (r < 0)
        return r;
    work_init(&w, job, p, threads);
    r = run(&w, threads, enc, ret);
    work_release(&w);
    ret->duration_ms = to_ms(st_encoder_samples(enc));
    if (r == 0)
        return st_encoder_finish(enc);
    st_encoder_abort(enc);
    return r;
}

static const char *why(int r)
{
    switch (r) {
    case 0: return NULL;
    case ST_E_UNPROCESSABLE: return "The text has nothing that can be spoken";
    case ST_E_INVALID: return "The text is not valid";
    case ST_E_TOO_LARGE: return "The text is too long to be narrated";
    case ST_E_BAD_GATEWAY: return "The speech synthesiser failed";
    case ST_E_CANCELLED: return "The narration was cancelled";
    }
    return "The sound files cannot be written";
}

int st_narrate_audio(struct st_arena *a, const struct st_narrate_job *job, struct st_narrate_result *ret)
{
    struct narrate_plan p = {.arena = a};
    *ret = (struct st_narrate_result){.times = st_new_n(a, struct st_narrate_time, job->n_segments)};
    int r = narrate_plan_make(&p, job, ret);
    ret->characters = r == 0 ? p.characters : 0;
    if (r == 0)
        r = make_files(job, &p, ret);
    ret->utterances = p.utterances;
    if (!ret->why)
        ret->why = why(r);
    narrate_plan_release(&p);
    return r;
}
