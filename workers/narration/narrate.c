/* Speaks the utterances of a story in parallel, and joins them in order into the encoders. */
#include "narration/narrate.h"

#include <pthread.h>

#include "narration/encode.h"
#include "narration/speech_cache.h"
#include "narration/speech_text.h"

enum {
    PARALLEL = 2,
    AHEAD = 3,       /* utterances per child that may wait for their turn: the bound on memory */
    FAILED_MAX = 10, /* one in so many may fail */
    TICK_MS = 200,   /* how often cancelled() is asked while nothing comes */

    CLAUSE_MS = 150,
    SENTENCE_MS = 320,
    SEGMENT_MS = 380,
    SPEAKER_MS = 460,
    PARAGRAPH_MS = 700,
    HEADING_MS = 1000, /* behind a chapter's title */
    CHAPTER_MS = 1800, /* before it */
    SILENT_MS = 250,   /* of a segment with nothing to say */
    LEAD_MS = 150,     /* before the first word: some players swallow it */
    TAIL_MS = 400,

    TRIES = 3,        /* of an utterance that does not sound like its text */
    SHORTEST_MS = 12, /* a character, however fast: of English, 33 ms at twice the speed */
    LONGEST_MS = 900, /* the same, however slow: of Chinese, 350 ms at half the speed */
    SLACK_MS = 3000,
};

static const double LOUDNESS = -20; /* LUFS; leaves the peaks of these voices below the limiter */

struct item {
    struct st_utterance said;
    size_t segment;
};

enum slot_state { SLOT_EMPTY, SLOT_READY };
struct slot {
    enum slot_state state;
    struct st_pcm pcm;
    int error;
    bool cached;
};

/* The items are spoken by whichever child is free; item i waits in slots[i % n_slots] until its turn. */
struct work {
    const struct st_narrate_job *job;
    const char *language; /* as the plan has it */
    const struct item *items;
    size_t count;

    pthread_mutex_t lock;
    pthread_cond_t spoken, taken;
    struct slot *slots;
    size_t n_slots, next, consumed; /* the next to speak; how many have been joined */
    bool sounded;                   /* one of them at least was more than silence */
    atomic_bool stop;
};

/* --- the plan ---------------------------------------------------------------------------------------------------- */

struct plan {
    struct st_arena *arena;
    char language[ST_LANGUAGE_LEN];
    struct item *items;
    size_t count, cap, letters, unreadable;
};

static void plan_add(struct plan *p, size_t segment, const struct st_utterance *u)
{
    if (p->count == p->cap) {
        p->cap = p->cap ? 2 * p->cap : 64;
        p->items = realloc(p->items, p->cap * sizeof(*p->items));
        if (!p->items)
            abort();
    }
    p->items[p->count++] = (struct item){.said = *u, .segment = segment};
}

static int plan_segments(struct plan *p, const struct st_narrate_job *job, struct st_narrate_time *times)
{
    size_t bytes = 0;
    for (size_t i = 0; i < job->n_segments; i++) {
        const struct st_narrate_segment *s = &job->segments[i];
        struct st_utterances u;
        bytes += s->len;
        if (bytes > ST_NARRATE_TEXT_MAX)
            return ST_E_TOO_LARGE;
        if (s->voice >= job->n_voices)
            return ST_E_INVALID;
        int r = st_text_plan(p->arena, s->text, s->len, p->language, &u);
        if (r < 0)
            return r;
        for (size_t k = 0; k < u.count; k++)
            plan_add(p, i, &u.items[k]);
        p->letters += u.letters;
        p->unreadable += u.unreadable;
        if (u.unreadable)
            times[i].error = ST_E_UNPROCESSABLE;
    }
    return 0;
}

static int plan_make(struct plan *p, const struct st_narrate_job *job, struct st_narrate_result *ret)
{
    int r = st_speech_language(job->speech, job->language, p->language);
    if (r < 0) {
        ret->why = "No voice speaks the language of this text";
        return r;
    }
    r = plan_segments(p, job, ret->times);
    if (r == 0 && p->unreadable * 2 > p->letters) {
        ret->why = "No voice reads the script of this text";
        return ST_E_UNPROCESSABLE;
    }
    return r == 0 && p->count == 0 ? ST_E_UNPROCESSABLE : r;
}

/* --- speaking: the threads --------------------------------------------------------------------------------------- */

/* Can this be what was to be said? pcm is trimmed: what is silent is empty. */
static bool is_complete(const struct st_utterance *u, const struct st_pcm *pcm)
{
    int64_t characters = (int64_t)st_utf8_length(u->text, u->len);
    int64_t ms = pcm->rate ? (int64_t)pcm->count * 1000 / pcm->rate : 0;
    return ms >= characters * SHORTEST_MS && ms <= characters * LONGEST_MS + SLACK_MS;
}

static int say(struct work *w, const struct st_manner *manner, const struct st_utterance *u, struct slot *s)
{
    const struct st_narrate_job *job = w->job;
    s->cached = job->cache_dir && st_speech_cache_get(job->cache_dir, manner, u->text, u->len, &s->pcm);
    if (s->cached && is_complete(u, &s->pcm))
        return 0;
    st_pcm_release(&s->pcm);
    s->cached = false;
    int r = st_speech_say(job->speech, manner, u->text, u->len, &w->stop, &s->pcm);
    if (r < 0)
        return r;
    st_pcm_trim(&s->pcm);
    if (!is_complete(u, &s->pcm)) {
        st_pcm_release(&s->pcm);
        return ST_E_BAD_GATEWAY;
    }
    if (job->cache_dir) /* when this fails, the job goes on as well */
        st_speech_cache_put(job->cache_dir, manner, u->text, u->len, &s->pcm);
    return 0;
}

static void speak(struct work *w, const struct item *i, struct slot *out)
{
    const struct st_narrate_job *job = w->job;
    const struct st_narrate_segment *segment = &job->segments[i->segment];
    const struct st_utterance *u = &i->said;
    struct st_manner manner;
    double db;
    st_voice_manner(&job->voices[segment->voice], w->language, u->language, segment->emotion, segment->intensity,
                    &manner, &db);
    manner.take = segment->take;
    struct slot s = {.state = SLOT_READY, .error = ST_E_BAD_GATEWAY};
    for (int n = 0; n < TRIES && s.error == ST_E_BAD_GATEWAY; n++)
        s.error = say(w, &manner, u, &s);
    if (s.error == 0 && !st_pcm_resample(&s.pcm))
        s.error = ST_E_BAD_GATEWAY;
    if (s.error == 0)
        st_pcm_gain(&s.pcm, LOUDNESS - st_pcm_loudness(&s.pcm) + db);
    *out = s;
}

static void *speak_all(void *arg)
{
    struct work *w = arg;
    pthread_mutex_lock(&w->lock);
    while (!atomic_load(&w->stop) && w->next < w->count) {
        if (w->next >= w->consumed + w->n_slots) {
            pthread_cond_wait(&w->taken, &w->lock);
            continue;
        }
        size_t n = w->next++;
        struct slot s;
        pthread_mutex_unlock(&w->lock);
        speak(w, &w->items[n], &s);
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

/* Waits for item n and takes it out of its slot. */
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

static int pause_after(const struct work *w, size_t n)
{
    const struct item *i = &w->items[n];
    if (n + 1 == w->count)
        return TAIL_MS;
    size_t next = w->items[n + 1].segment;
    if (next == i->segment)
        return i->said.after == ST_BREAK_SENTENCE ? SENTENCE_MS : i->said.after == ST_BREAK_CLAUSE ? CLAUSE_MS : 0;
    const struct st_narrate_segment *segments = w->job->segments;
    for (size_t k = i->segment + 1; k <= next; k++)
        if (segments[k].heading)
            return CHAPTER_MS;
    if (segments[i->segment].heading)
        return HEADING_MS;
    for (size_t k = i->segment; k < next; k++)
        if (segments[k].paragraph_ends)
            return PARAGRAPH_MS;
    return segments[i->segment].voice != segments[next].voice ? SPEAKER_MS : SEGMENT_MS;
}

/* Segments without sound, between the last one that had some and `to`, stand where the programme is. */
static int join_silent(struct st_encoder *enc, struct st_narrate_time *times, size_t from, size_t to)
{
    for (size_t k = from; k < to; k++) {
        times[k].start_ms = times[k].end_ms = st_encoder_ms(enc);
        int r = st_encoder_silence(enc, SILENT_MS);
        if (r < 0)
            return r;
    }
    return 0;
}

static int join_one(struct work *w, struct st_encoder *enc, size_t n, const struct slot *s,
                    struct st_narrate_result *ret)
{
    const struct item *i = &w->items[n];
    struct st_narrate_time *t = &ret->times[i->segment];
    int64_t start = st_encoder_ms(enc);
    int r = s->error == 0 ? st_encoder_write(enc, s->pcm.samples, s->pcm.count) : st_encoder_silence(enc, SILENT_MS);
    if (n == 0 || w->items[n - 1].segment != i->segment)
        t->start_ms = start;
    t->end_ms = st_encoder_ms(enc);
    if (s->error < 0)
        t->error = s->error;
    ret->failed += s->error < 0;
    ret->from_cache += s->cached;
    w->sounded = w->sounded || s->pcm.count;
    return r < 0 ? r : st_encoder_silence(enc, pause_after(w, n));
}

static int join_all(struct work *w, struct st_encoder *enc, struct st_narrate_result *ret)
{
    size_t silent = 0; /* the first segment that has no time yet */
    int r = st_encoder_silence(enc, LEAD_MS);
    for (size_t n = 0; n < w->count && r == 0; n++) {
        struct slot s;
        r = join_silent(enc, ret->times, silent, w->items[n].segment);
        if (r == 0)
            r = work_take(w, n, &s);
        if (r < 0)
            break;
        r = join_one(w, enc, n, &s, ret);
        st_pcm_release(&s.pcm);
        silent = w->items[n].segment + 1;
        if (w->job->progress)
            w->job->progress(w->job->ctx, n + 1, w->count);
        if (ret->failed > w->count / FAILED_MAX + 1)
            r = ST_E_BAD_GATEWAY;
    }
    if (r == 0 && !w->sounded)
        r = ret->failed ? ST_E_BAD_GATEWAY : ST_E_UNPROCESSABLE;
    return r < 0 ? r : join_silent(enc, ret->times, silent, w->job->n_segments);
}

/* --- all of it --------------------------------------------------------------------------------------------------- */

static void work_init(struct work *w, const struct st_narrate_job *job, const struct plan *p, size_t threads)
{
    *w = (struct work){.job = job, .language = p->language, .items = p->items, .count = p->count};
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
        st_pcm_release(&w->slots[i].pcm);
    free(w->slots);
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
    return r;
}

static int make_files(const struct st_narrate_job *job, const struct plan *p, struct st_narrate_result *ret)
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
    ret->duration_ms = st_encoder_ms(enc);
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
    struct plan p = {.arena = a};
    *ret = (struct st_narrate_result){.times = st_new_n(a, struct st_narrate_time, job->n_segments)};
    int r = plan_make(&p, job, ret);
    if (r == 0)
        r = make_files(job, &p, ret);
    ret->utterances = p.count;
    if (!ret->why)
        ret->why = why(r);
    free(p.items);
    return r;
}
