/* One piece of a narration: its utterances from the cache or the synthesiser, levelled, joined, encoded. */
#include "narration/encode.h"
#include "narration/narrate_int.h"
#include "narration/speech_cache.h"

enum {
    TRIES = 3,        /* of an utterance that does not sound like its text */
    SHORTEST_MS = 12, /* a character, however fast: of English, 33 ms at twice the speed */
    REMOTE_MS = 22,   /* the same at a voice's own speed, from a provider, whose sound may have been cut on its way; */
    STEADY_MS = 40,   /* and of a text that is long enough for that to be steady: of quick speech, 50 ms */
    STEADY_TEXT = 50,
    LONGEST_MS = 900, /* however slow: of Chinese, 350 ms at half the speed */
    SLACK_MS = 3000,
    NARROW_RATE = 16000,
};

static const double LOUDNESS = -20; /* LUFS; leaves the peaks of these voices below the limiter */

#define PIECE_RULES "2" /* changes whenever the same utterances would be encoded otherwise */

struct making {
    const struct st_narrate_job *job;
    const struct narrate_plan *plan;
    const struct narrate_item *items;
    size_t count;
    bool opens; /* the narration begins with it */
    bool wide;  /* something in it has sounds above those of telephones: not flite's voices, at 16 kHz */
    const atomic_bool *stop;
    struct narrate_sound *out;
};

static void manner_of(const struct making *m, const struct narrate_item *i, struct st_manner *ret, double *ret_db)
{
    const struct st_narrate_segment *segment = &m->job->segments[i->segment];
    st_voice_manner(&m->job->voices[segment->voice], m->plan->language, i->said.language, segment->emotion,
                    segment->intensity, ret, ret_db);
    ret->take = segment->take;
    const struct st_narrate_remote *remote = m->job->remote;
    if (ret->engine != SPEAK_REMOTE) {
        ret->maker = st_speech_engines(m->job->speech);
    } else if (remote) {
        snprintf(ret->model, sizeof(ret->model), "%s", remote->model(remote->ctx, ret->name));
        ret->maker = remote->address(remote->ctx, ret->name);
    }
}

/* --- an utterance ------------------------------------------------------------------------------------------------ */

/* Those that take time: marks that stand on others (accents, vowel points) do not. */
static int64_t sounding(const struct st_utterance *u)
{
    static const uint32_t marks[][2] = {{0x300, 0x36f}, {0x591, 0x5c7}, {0x610, 0x61a}, {0x64b, 0x65f}, {0x670, 0x670}};
    int64_t n = 0;
    for (const char *s = u->text, *end = s + u->len; s < end;) {
        uint32_t c = st_utf8_next(&s);
        bool mark = false;
        for (size_t i = 0; i < ST_COUNT(marks); i++)
            mark = mark || (c >= marks[i][0] && c <= marks[i][1]);
        n += !mark;
    }
    return n;
}

/* Can this be what was to be said? pcm is trimmed: what is silent is empty. */
static bool is_complete(const struct st_manner *manner, const struct st_utterance *u, const struct st_pcm *pcm)
{
    int64_t characters = sounding(u);
    int64_t ms = pcm->rate ? (int64_t)pcm->count * 1000 / pcm->rate : 0;
    int64_t remote = characters < STEADY_TEXT ? REMOTE_MS : STEADY_MS;
    int64_t least = manner->engine == SPEAK_REMOTE ? remote * 1000 / manner->rate : SHORTEST_MS;
    return ms > 0 && ms >= characters * least && ms <= characters * LONGEST_MS + SLACK_MS;
}

static bool is_cached(const char *dir, const struct st_speech_key *key, const struct st_manner *manner,
                      const struct st_utterance *u, struct st_pcm *ret_pcm)
{
    if (!dir || !st_speech_cache_get_pcm(dir, key, ret_pcm))
        return false;
    if (is_complete(manner, u, ret_pcm))
        return true;
    st_pcm_release(ret_pcm);
    return false;
}

/* What the same voice says beside an item: step is 1 or -1. */
static const char *beside(const struct making *m, const struct narrate_item *i, int step)
{
    const struct narrate_item *first = m->plan->items, *other = i + step;
    if (other < first || other >= first + m->plan->n_items || !other->said.len)
        return NULL;
    const struct st_narrate_segment *segments = m->job->segments;
    return segments[other->segment].voice == segments[i->segment].voice ? other->said.text : NULL;
}

static int ask(const struct making *m, const struct st_manner *manner, const struct narrate_item *i,
               struct st_pcm *ret_pcm)
{
    const struct st_narrate_remote *remote = m->job->remote;
    const struct st_utterance *u = &i->said;
    if (manner->engine != SPEAK_REMOTE)
        return st_speech_say(m->job->speech, manner, u->text, u->len, m->stop, ret_pcm);
    const struct st_narrate_line line = {u->text, u->len, beside(m, i, -1), beside(m, i, 1)};
    return remote ? remote->say(remote->ctx, manner, &line, m->stop, ret_pcm, m->out->why) : ST_E_UNAVAILABLE;
}

static int synthesise(const struct making *m, const struct st_manner *manner, const struct narrate_item *i,
                      struct st_pcm *ret_pcm)
{
    int r = ST_E_BAD_GATEWAY, alike = 0;
    size_t before = 0;
    for (int n = 0; n < TRIES && r == ST_E_BAD_GATEWAY; n++) {
        r = ask(m, manner, i, ret_pcm);
        if (r < 0 && manner->engine == SPEAK_REMOTE)
            return r; /* it has been tried as often as makes sense */
        if (r < 0)
            continue;
        st_pcm_trim(ret_pcm);
        alike = ret_pcm->count == before ? alike + 1 : 1;
        before = ret_pcm->count;
        /* An engine of ours that says the same each time has said all: nonsense ("a a a a") is sooner said than read.
         */
        bool all = before && alike == TRIES && manner->engine != SPEAK_REMOTE;
        if (!all && !is_complete(manner, &i->said, ret_pcm)) {
            st_pcm_release(ret_pcm);
            r = ST_E_BAD_GATEWAY;
            snprintf(m->out->why, sizeof(m->out->why), "Its sound is silent, or not all of the text.");
        }
    }
    return r;
}

/* As it was spoken. Whoever else wants the same meanwhile waits for it, and finds it in the cache. */
static int say(struct making *m, const struct st_manner *manner, const struct narrate_item *i, struct st_pcm *ret_pcm)
{
    const char *dir = m->job->cache_dir;
    const struct st_utterance *u = &i->said;
    const struct st_speech_key key = st_speech_key_of(manner, u->text, u->len);
    if (is_cached(dir, &key, manner, u, ret_pcm)) {
        m->out->from_cache++;
        return 0;
    }
    int claim = dir ? st_speech_cache_claim(dir, &key, m->stop) : -1, r = 0;
    if (claim >= 0 && is_cached(dir, &key, manner, u, ret_pcm)) {
        m->out->from_cache++;
    } else {
        r = synthesise(m, manner, i, ret_pcm);
        m->out->spoken += r == 0;
        m->out->spoken_characters += r == 0 ? (int64_t)st_utf8_length(u->text, u->len) : 0;
        if (r == 0 && dir) /* when this fails, the job goes on as well */
            st_speech_cache_put_pcm(dir, &key, ret_pcm);
    }
    st_speech_cache_release(claim);
    return r;
}

/* --- the piece --------------------------------------------------------------------------------------------------- */

/* Samples under way; failed memory ends the process, as everywhere. */
static void add_sound(struct st_buf *b, const struct st_pcm *pcm)
{
    st_buf_add(b, pcm->samples, pcm->count * sizeof(*pcm->samples));
}

static void add_silence(struct st_buf *b, size_t samples)
{
    static const int16_t zero[ST_PCM_RATE / 10];
    for (size_t n; samples; samples -= n) {
        n = samples < ST_COUNT(zero) ? samples : ST_COUNT(zero);
        st_buf_add(b, zero, n * sizeof(*zero));
    }
}

static size_t samples_in(const struct st_buf *b)
{
    return b->len / sizeof(int16_t);
}

static size_t samples_of(int ms)
{
    return (size_t)ms * ST_PCM_RATE / 1000;
}

/* There is no piece then. Of a provider's voice that is said; of ours, what it could not say. */
static void fail(struct making *m, const struct narrate_item *i, bool remote, int r)
{
    enum { SHOWN = 150 };
    if (remote && r != ST_E_CANCELLED)
        m->out->lost = &m->job->voices[m->job->segments[i->segment].voice];
    if (!remote) {
        size_t len = i->said.len;
        if (len > SHOWN)
            for (len = SHOWN; len && ((unsigned char)i->said.text[len] & 0xc0) == 0x80;) /* not inside a character */
                len--;
        snprintf(m->out->why, sizeof(m->out->why), "This cannot be spoken: “%.*s%s”", (int)len, i->said.text,
                 len < i->said.len ? "…" : "");
    }
    m->out->error = remote || r == ST_E_CANCELLED || r == ST_E_UNAVAILABLE ? r : ST_E_BAD_GATEWAY;
}

static void add_item(struct making *m, size_t n, struct st_buf *sound, struct narrate_span *ret_span)
{
    const struct narrate_item *i = &m->items[n];
    struct st_manner manner;
    struct st_pcm pcm = {0};
    double db;
    int r = 0;
    *ret_span = (struct narrate_span){(uint32_t)samples_in(sound), (uint32_t)samples_in(sound)};
    if (i->said.len) {
        manner_of(m, i, &manner, &db);
        r = say(m, &manner, i, &pcm);
        m->wide |= r == 0 && pcm.rate > NARROW_RATE;
        if (r == 0 && !st_pcm_resample(&pcm))
            r = ST_E_BAD_GATEWAY;
        if (r < 0)
            fail(m, i, manner.engine == SPEAK_REMOTE, r);
        st_pcm_gain(&pcm, LOUDNESS - st_pcm_loudness(&pcm) + db);
        add_sound(sound, &pcm);
        st_pcm_release(&pcm);
        ret_span->end = (uint32_t)samples_in(sound);
    }
    add_silence(sound, samples_of(i->pause_ms));
}

static int make(struct making *m, struct st_buf *out)
{
    struct st_buf sound = ST_BUF(ST_PIECE_MAX);
    struct narrate_span spans[NARRATE_PIECE_ITEMS];
    if (m->opens)
        add_silence(&sound, samples_of(NARRATE_LEAD_MS));
    for (size_t n = 0; n < m->count && !m->out->error && !atomic_load(m->stop); n++)
        add_item(m, n, &sound, &spans[n]);
    size_t blocks = (samples_in(&sound) + ST_PIECE_BLOCK - 1) / ST_PIECE_BLOCK;
    add_silence(&sound, blocks * ST_PIECE_BLOCK - samples_in(&sound));
    int r = m->out->error ? m->out->error : atomic_load(m->stop) ? ST_E_CANCELLED : sound.failed ? ST_E_TOO_LARGE : 0;
    if (r == 0) {
        st_buf_add(out, spans, m->count * sizeof(*spans));
        r = st_piece_encode((const int16_t *)(const void *)sound.data, blocks, m->wide, out);
    }
    st_buf_release(&sound);
    return r;
}

/* All that decides what the piece sounds like. */
static struct st_speech_key key_of(const struct making *m)
{
    struct st_speech_key ret = {.voices = 0};
    struct st_buf b = ST_BUF(1 << 20);
    st_buf_printf(&b, "piece " PIECE_RULES " %d %.2f\n", m->opens, LOUDNESS);
    for (size_t n = 0; n < m->count; n++) {
        struct st_manner manner;
        double db;
        const struct narrate_item *i = &m->items[n];
        manner_of(m, i, &manner, &db);
        const struct st_speech_key key = st_speech_key_of(&manner, i->said.text, i->said.len);
        st_buf_add(&b, key.digest, i->said.len ? sizeof(key.digest) : 0);
        ret.voices |= key.voices;
        st_buf_printf(&b, " %.3f %d\n", db, i->pause_ms);
    }
    st_sha256(b.data, b.len, ret.digest);
    st_buf_release(&b);
    return ret;
}

static bool take_cached(struct making *m, const struct st_speech_key *key)
{
    struct narrate_sound *s = m->out;
    size_t spans = m->count * sizeof(struct narrate_span);
    if (!m->job->cache_dir || !st_speech_cache_get(m->job->cache_dir, key, &s->data, &s->len))
        return false;
    if (s->len < spans || st_piece_samples((char *)s->data + spans, s->len - spans) < 0) {
        free(ST_TAKE(s->data));
        return false;
    }
    for (size_t n = 0; n < m->count; n++)
        s->from_cache += m->items[n].said.len > 0;
    return true;
}

void narrate_speak(const struct st_narrate_job *job, const struct narrate_plan *p, size_t piece,
                   const atomic_bool *stop, struct narrate_sound *ret)
{
    const struct narrate_piece *which = &p->pieces[piece];
    struct making m = {.job = job,
                       .plan = p,
                       .items = &p->items[which->first],
                       .count = which->count,
                       .opens = piece == 0,
                       .stop = stop,
                       .out = ret};
    *ret = (struct narrate_sound){0};
    const struct st_speech_key key = key_of(&m);
    if (take_cached(&m, &key))
        return;
    struct st_buf out = ST_BUF(ST_PIECE_MAX);
    ret->error = make(&m, &out);
    if (ret->error == 0 && job->cache_dir)
        st_speech_cache_put(job->cache_dir, &key, out.data, out.len);
    if (ret->error == 0) {
        ret->data = out.data; /* handed over */
        ret->len = out.len;
    } else {
        st_buf_release(&out);
    }
}
