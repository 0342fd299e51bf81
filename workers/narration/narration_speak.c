/* Speaking a story, as a job. */
#include "narration/narration.h"
#include "svc/limit.h"
#include "narration/narration_script.h"
#include "narration/remote.h"
#include "narration/speech_cache.h"

#include <unistd.h>

enum { TELL_EVERY_US = 2000000, PATH_LEN = 4096, TIMING_LIMIT = 64 << 20, REMOTE_PARALLEL = 4 };

struct st_speech *narration_speech; /* set once by narration_start, before any thread */

/* The speech engine beside this program, unless an option names another. */
static const char *speak_program(struct st_call *call)
{
    const char *given = st_option("speak_program");
    char self[PATH_LEN];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (*given || n <= 0)
        return given;
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    return st_printf(call->arena, "%s/narration-speak", self);
}

int narration_start(struct st_call *call)
{
    const char *program = speak_program(call);
    int r = st_speech_open(program, ST_SPEECH_TIMEOUT_S, &narration_speech);
    return r < 0 ? st_fail(call, r, "The speech engine %s does not work.", program) : 0;
}

/* --- while it is spoken --- */

struct speaking {
    struct st_call *call;
    const char *narration_id, *story_id;
    int stop; /* why to stop, 0 to go on */
    int64_t next_tell;
    const struct st_narrate_result *result; /* of what is under way */
    int64_t spoken, characters;             /* by what came before it: of other voices, of earlier attempts */
};

/* Not more than all of it: what a voice said that was lost then is not counted besides what its fallback says. */
static int64_t counted(const struct speaking *s)
{
    int64_t n = s->characters + s->result->spoken_characters, all = s->result->characters;
    return all && n > all ? all : n;
}

/*
 * What has been spoken is kept, whatever comes of it: an attempt that finds it in the cache has spoken it all the same.
 * (But for the pieces that a killed daemon had not joined yet.)
 */
static void note_spoken(const struct speaking *s)
{
    st_exec(s->call,
            "update narrations set reason = case when spoken = $2 then reason end, spoken = $2, "
            "spoken_characters = $3 where narration_id = $1",
            s->narration_id, st_i64(s->call->arena, s->spoken + (int64_t)s->result->spoken),
            st_i64(s->call->arena, counted(s)));
}

static void emit_progress(struct st_call *call, const char *narration_id, const char *story_id, size_t done,
                          size_t total)
{
    st_emit(call, "NarrationProgressed", narration_id,
            json_pack("{s:s, s:s, s:I, s:I}", "narrationId", narration_id, "storyId", story_id, "done",
                      (json_int_t)done, "total", (json_int_t)total));
}

static void on_progress(void *ctx, size_t done, size_t total)
{
    struct speaking *s = ctx;
    if (s->stop == 0)
        s->stop = st_progress(s->call, (int64_t)done, (int64_t)total);
    if (s->stop == 0 && st_mono() >= s->next_tell) {
        s->next_tell = st_mono() + TELL_EVERY_US;
        note_spoken(s); /* first: as by who deletes the story, the narration is locked before its events */
        emit_progress(s->call, s->narration_id, s->story_id, done, total);
        s->stop = st_commit(s->call);
    }
}

static bool on_cancel_check(void *ctx)
{
    return ((struct speaking *)ctx)->stop < 0;
}

/* It can be heard at once. */
static int on_part(void *ctx, int number, const char *opus_path, const char *mp3_path, int64_t start_ms, int64_t end_ms)
{
    struct speaking *s = ctx;
    struct st_call *call = s->call;
    const char *key = st_printf(call->arena, "narration/%s/part-%d", s->narration_id, number);
    const char *part = st_printf(call->arena, "[{\"part\": %d, \"startMs\": %lld, \"endMs\": %lld}]", number,
                                 (long long)start_ms, (long long)end_ms);
    struct st_rows *rows;
    int r = st_rows(call, &rows, "select from narrations where narration_id = $1 and parts @> $2::jsonb",
                    s->narration_id, part);
    bool known = r == 0 && st_rows_count(rows); /* by an attempt before, whose sound is in the cache */
    if (r == 0)
        r = s->stop = st_commit(call);
    if (r < 0 || known)
        return r;
    r = st_object_put_file(call, st_printf(call->arena, "%s.opus", key), opus_path);
    if (r == 0)
        r = st_object_put_file(call, st_printf(call->arena, "%s.mp3", key), mp3_path);
    if (r < 0)
        return r;
    st_exec(call,
            "update narrations set parts = (select coalesce(jsonb_agg(p order by number), '[]') from "
            "jsonb_array_elements(parts) with ordinality a (p, number) where number < $2::int) || $3::jsonb "
            "where narration_id = $1",
            s->narration_id, st_i64(call->arena, number), part);
    note_spoken(s);
    return s->stop = st_commit(call);
}

/* --- what came of it --- */

static const char *voices_json(struct st_call *call, const struct narration_script *s)
{
    json_t *list = st_json_keep(call->arena, json_array());
    for (size_t i = 0; i < s->job.n_voices; i++) {
        const struct st_voice *v = &s->job.voices[i];
        const char *character = i ? st_str(json_array_get(s->characters, i - 1), "name") : NULL;
        json_t *one = json_pack("{s:s?, s:s, s:s}", "character", character, "voice",
                                narration_voice_description(call, v), "voiceId", v->id);
        if (s->instead_of[i])
            json_object_set_new(one, "insteadOf", json_string(s->instead_of[i]));
        json_array_append_new(list, one);
    }
    return st_json_text(call->arena, list);
}

static const char *timing_json(struct st_call *call, const struct narration_script *s,
                               const struct st_narrate_result *result)
{
    struct st_buf b = ST_BUF(TIMING_LIMIT);
    st_buf_char(&b, '[');
    for (size_t i = 0; i < s->job.n_segments; i++)
        st_buf_printf(&b, "%s{\"segmentId\":\"%s\",\"startMs\":%lld,\"endMs\":%lld%s}", i ? "," : "",
                      st_json_str(json_array_get(s->segments, i), "segmentId", ""),
                      (long long)result->times[i].start_ms, (long long)result->times[i].end_ms,
                      result->times[i].error < 0 ? ",\"incomplete\":true" : "");
    st_buf_char(&b, ']');
    const char *text = st_strndup(call->arena, b.data, b.len);
    st_buf_release(&b);
    return text;
}

/* From each title to the next; what stands before the first is a chapter too, named by the story. */
static const char *chapters_json(struct st_call *call, const struct narration_script *s,
                                 const struct st_narrate_result *result)
{
    json_t *list = st_json_keep(call->arena, json_array()), *last = NULL;
    for (size_t i = 0; i < s->job.n_segments; i++) {
        if (i && !s->job.segments[i].heading)
            continue;
        int64_t start = i ? result->times[i].start_ms : 0;
        if (last)
            json_object_set_new(last, "endMs", json_integer(start));
        const char *title = st_json_str(json_array_get(s->segments, i), "text", "");
        last = json_pack("{s:s, s:I, s:I}", "title", s->job.segments[i].heading ? narration_title(call, title) : "",
                         "startMs", (json_int_t)start, "endMs", (json_int_t)result->duration_ms);
        json_array_append_new(list, last);
    }
    return st_json_text(call->arena, list);
}

/* Who has spoken: "embedded", "openai", "embedded+openai" … */
static const char *providers(struct st_call *call, const struct narration_script *s)
{
    const char *list = "";
    for (size_t i = 0; i < s->job.n_voices; i++) {
        const struct st_voice *v = &s->voices[i];
        const char *name =
            v->engine == SPEAK_REMOTE ? st_strndup(call->arena, v->name, strcspn(v->name, ":")) : "embedded";
        if (!strstr(list, name))
            list = st_printf(call->arena, "%s%s%s", list, *list ? "+" : "", name);
    }
    return list;
}

/* A lost voice may have said some of it before another did. */
static double cached_share(size_t utterances, int64_t spoken)
{
    return utterances && spoken < (int64_t)utterances ? 1 - (double)spoken / (double)utterances : 0;
}

/* What usage is still to count: spoken for it, and for those before it that were cancelled. */
static json_int_t unpaid(const json_t *n)
{
    return st_json_int(n, "spoken_characters", 0) + st_json_int(n, "unpaid_characters", 0);
}

static int finish(struct st_call *call, const json_t *n, const struct narration_script *s,
                  const struct st_narrate_result *result)
{
    const char *id = st_str(n, "narration_id"), *key = st_printf(call->arena, "narration/%s", id);
    const char *timing = timing_json(call, s, result), *timing_ref = st_printf(call->arena, "%s/timing.json", key);
    double cached = cached_share(result->utterances, st_json_int(n, "spoken", 0));
    int64_t incomplete = 0;
    for (size_t i = 0; i < s->job.n_segments; i++)
        incomplete += result->times[i].error < 0;
    int r = st_object_put_file(call, st_printf(call->arena, "%s/audio.opus", key), s->job.opus_path);
    if (r == 0)
        r = st_object_put_file(call, st_printf(call->arena, "%s/audio.mp3", key), s->job.mp3_path);
    if (r == 0)
        r = st_object_put(call, timing_ref, timing, strlen(timing));
    if (r == 0)
        r = narration_put_captions(call, st_printf(call->arena, "%s/captions.vtt", key), s->segments, result->times);
    if (r < 0)
        return r;
    st_exec(
        call,
        "update narrations set status = 'ready', voices = $2, timing = $3, duration_ms = $4, object_key = $5, "
        "captions = true, chapters = $6, pronunciations = $7, cached_share = $8, incomplete = $9, finished_at = now() "
        "where narration_id = $1",
        id, voices_json(call, s), timing, st_i64(call->arena, result->duration_ms), key, chapters_json(call, s, result),
        s->pronunciations, st_printf(call->arena, "%.6f", cached), st_i64(call->arena, incomplete));
    if (st_json_bool(n, "regenerated", false))
        st_emit(call, "NarrationRegenerated", id,
                json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:f}", "narrationId", id, "storyId", st_str(n, "story_id"),
                          "authorId", st_str(n, "author_id"), "title", st_str(n, "title"), "durationMs",
                          (json_int_t)result->duration_ms, "provider", providers(call, s), "cachedShare", cached));
    st_emit(call, "NarrationGenerated", id,
            json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:s, s:I, s:f, s:I, s:O}", "narrationId",
                      id, "analysisId", st_str(n, "analysis_id"), "storyId", st_str(n, "story_id"), "authorId",
                      st_str(n, "author_id"), "title", st_str(n, "title"), "language", st_str(n, "language"),
                      "audioUrl", st_printf(call->arena, "/v1/narrations/%s/audio?format=opus", id), "audioRef",
                      st_printf(call->arena, "%s/audio.opus", key), "timingRef", timing_ref, "durationMs",
                      (json_int_t)result->duration_ms, "format", "opus", "provider", providers(call, s),
                      "narrationCharacters", unpaid(n), "cachedShare", cached, "incomplete", (json_int_t)incomplete,
                      "ordinal", json_object_get(n, "ordinal")));
    return 0;
}

/* What was spoken is in the cache, and whoever finds it there does not pay: it is counted now. */
static void give_up(struct st_call *call, const json_t *n, const char *reason, bool retryable)
{
    const char *id = st_str(n, "narration_id");
    st_exec(call,
            "update narrations set status = 'failed', reason = $2, finished_at = now(), spoken_characters = 0, "
            "unpaid_characters = 0 where narration_id = $1",
            id, reason);
    st_emit(call, "NarrationFailed", id,
            json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:I, s:O}", "narrationId", id, "storyId", st_str(n, "story_id"),
                      "authorId", st_str(n, "author_id"), "title", st_str(n, "title"), "reason", reason, "retryable",
                      retryable, "narrationCharacters", unpaid(n), "ordinal", json_object_get(n, "ordinal")));
}

enum {
    WAIT_FIRST_MS = 2000,
    WAIT_LAST_MS = 300000,
    PATIENCE_MS = 60000,    /* before another voice takes the place of one that is away */
    AWAY_MAX_MS = 86400000, /* then there is no narration */
    UNANSWERED_MAX = 10,    /* runs that ended with a call which was perhaps carried out, and is charged for then */
};

/*
 * A provider that is away is waited for outside of the job, which would use up its attempts: an equal one comes later,
 * and its payload has what is known of each provider that is away: since when, how often it was waited for, and how
 * many calls it left unanswered. Whoever says something is back: the next time is another one.
 */
struct away {
    json_t *known;
    int64_t asked_ms; /* to be left alone; 0: it has not asked */
};

static const char *provider_of(struct st_call *call, const struct st_voice *v)
{
    return st_strndup(call->arena, v->name, strcspn(v->name, ":"));
}

/* Nothing is known of one that is not away; nor by jobs of before, which knew of one provider only. */
static struct away away_of(struct st_call *call, const struct st_remote_context *context, const struct st_voice *lost)
{
    const json_t *all = json_object_get(call->body, "away");
    return (struct away){json_object_get(all, provider_of(call, lost)), st_remote_wait_ms(context, lost->name)};
}

static void note_away(struct st_call *call, int r, const struct st_voice *lost)
{
    const char *provider = provider_of(call, lost);
    json_t *all = json_object_get(call->body, "away"), *known = json_object_get(all, provider);
    if (!json_is_object(all))
        json_object_set_new(call->body, "away", all = json_object());
    if (!known)
        json_object_set_new(all, provider, known = json_pack("{s:I}", "since", (json_int_t)(st_now() / 1000)));
    if (r == ST_E_TIMEOUT)
        json_object_set_new(known, "unanswered", json_integer(st_json_int(known, "unanswered", 0) + 1));
}

static void note_back(struct st_call *call, const struct st_remote_context *context, const struct narration_script *s)
{
    for (size_t i = 0; i < s->job.n_voices; i++)
        if (st_remote_has_spoken(context, s->voices[i].name))
            json_object_del(json_object_get(call->body, "away"), provider_of(call, &s->voices[i]));
}

static int64_t wait_ms(const struct away *a)
{
    int64_t ms = WAIT_FIRST_MS;
    for (int64_t i = st_json_int(a->known, "waits", 0); i > 0 && ms < WAIT_LAST_MS; i--)
        ms *= 2;
    return a->asked_ms > ms ? a->asked_ms : ms < WAIT_LAST_MS ? ms : WAIT_LAST_MS;
}

/* Will it have been away for longer than that when it is asked again? */
static bool is_away_for(const struct away *a, int64_t ms)
{
    int64_t now = st_now() / 1000;
    return now + wait_ms(a) - st_json_int(a->known, "since", now) > ms;
}

/* Does one of them leave too much unanswered? Also one whose fallback is waited for: it is asked first each time. */
static bool is_unanswered(const struct st_call *call)
{
    const char *provider;
    json_t *known;
    json_object_foreach (json_object_get(call->body, "away"), provider, known)
        if (st_json_int(known, "unanswered", 0) >= UNANSWERED_MAX)
            return true;
    return false;
}

static void speak_later(struct st_call *call, const json_t *n, const char *reason, const struct away *a)
{
    const char *id = st_str(n, "narration_id");
    int64_t ms = wait_ms(a);
    st_exec(call, "update narrations set reason = $2 where narration_id = $1", id, reason);
    json_object_set_new(a->known, "waits", json_integer(st_json_int(a->known, "waits", 0) + 1));
    st_enqueue(call, st_str(n, "text_ref") ? "speak_long" : "speak", id, ms,
               json_pack("{s:s, s:O*}", "narrationId", id, "away", json_object_get(call->body, "away")));
}

/* Is a lost voice to be waited for, rather than replaced? */
static bool is_back_soon(struct st_call *call, const struct st_remote_context *context, int r,
                         const struct st_voice *lost)
{
    const struct away a = away_of(call, context, lost);
    return st_remote_passes(r) && !is_away_for(&a, PATIENCE_MS);
}

/* What was spoken is added to n. */
static int speak(struct st_call *call, json_t *n, struct narration_script *s, struct st_remote_context *context,
                 struct st_narrate_result *ret)
{
    const char *id = st_str(n, "narration_id");
    struct speaking state = {.call = call,
                             .narration_id = id,
                             .story_id = st_str(n, "story_id"),
                             .next_tell = st_mono() + TELL_EVERY_US,
                             .result = ret,
                             .spoken = st_json_int(n, "spoken", 0),
                             .characters = st_json_int(n, "spoken_characters", 0)};
    s->job.opus_path = st_printf(call->arena, "%s/audio.opus", st_scratch(call));
    s->job.mp3_path = st_printf(call->arena, "%s/audio.mp3", st_scratch(call));
    s->job.cache_dir = st_cache_dir(call);
    s->job.part = on_part;
    s->job.progress = on_progress;
    s->job.cancelled = on_cancel_check;
    s->job.ctx = &state;
    const struct st_narrate_remote remote = {st_remote_say, st_remote_model, st_remote_address, context};
    s->job.remote = &remote;
    for (size_t i = 0; i < s->job.n_voices; i++)
        if (s->voices[i].engine == SPEAK_REMOTE)
            s->job.parallel = REMOTE_PARALLEL; /* they wait, and need no processor for it */
    int r;
    do { /* with the voices that the author wants instead; what was spoken by the others is in the cache */
        r = st_narrate_audio(call->arena, &s->job, ret);
        note_back(call, context, s);
        if (ret->lost && st_remote_passes(r))
            note_away(call, r, ret->lost);
        state.spoken += (int64_t)ret->spoken;
        state.characters += ret->spoken_characters;
        ret->spoken = 0;
        ret->spoken_characters = 0;
    } while (r < 0 && state.stop == 0 && ret->lost && !is_back_soon(call, context, r, ret->lost) &&
             narration_script_lose(s, (size_t)(ret->lost - s->voices)) == 0);
    s->job.remote = NULL;
    json_object_set_new(n, "spoken", json_integer(state.spoken));
    json_object_set_new(n, "spoken_characters", json_integer(counted(&state)));
    if (state.stop == 0 || state.stop == ST_E_CANCELLED) { /* the daemon ends: another goes on */
        note_spoken(&state);
        int noted = st_commit(call);
        state.stop = state.stop ? state.stop : noted;
    }
    return state.stop < 0 ? state.stop : r;
}

static int load(struct st_call *call, json_t **ret)
{
    return st_row(
        call, ret,
        "select n.narration_id, n.analysis_id, n.story_id, s.author_id, s.title, n.language, n.characters, n.segments, "
        "n.text_ref, n.ordinal, n.spoken, n.spoken_characters, n.unpaid_characters, coalesce(t.tier, 'free') as tier, "
        "exists (select from narrations o "
        "where o.story_id = n.story_id "
        "and o.ordinal < n.ordinal and o.status = 'ready') as regenerated from narrations n join stories s "
        "using (story_id) "
        "left join author_tiers t on t.user_id = s.author_id where n.narration_id = $1 and n.status <> 'ready' "
        "and not exists (select from narrations l where l.story_id = n.story_id and l.ordinal > n.ordinal "
        "and l.status <> 'failed')",
        st_str(call->body, "narrationId"));
}

/* Voices that the tier does not have any more give way like those that fail. */
static int voices_had(struct st_call *call, struct narration_script *s, struct st_narrate_result *ret)
{
    for (size_t i; (i = narration_script_forbidden(s)) != SIZE_MAX;)
        if (narration_script_lose(s, i) < 0) {
            ret->lost = &s->voices[i];
            ret->why = st_strdup(call->arena, *s->voices[i].name ? "It is not part of your tier."
                                                                 : "It is not lent to this story any more.");
            return ST_E_PAYMENT;
        }
    return 0;
}

/* A voice is not to be had, and the author has said of no other that it may take its place. */
static int lost_voice(struct st_call *call, const json_t *n, const struct narration_script *s, int r,
                      const struct st_remote_context *context, const struct st_narrate_result *result)
{
    const struct away away = away_of(call, context, result->lost);
    size_t i = (size_t)(result->lost - s->voices);
    const char *who =
        i ? narration_title(call, st_json_str(json_array_get(s->characters, i - 1), "name", "")) : "the narrator";
    bool waits = st_remote_passes(r) && !is_away_for(&away, AWAY_MAX_MS) && !is_unanswered(call);
    const char *reason =
        st_printf(call->arena, "The voice %s of %s is not to be had. %s %s", result->lost->id, who, result->why,
                  waits ? "It is asked again by itself." : "Choose another, or a fallback.");
    if (waits) {
        speak_later(call, n, reason, &away);
        return 0;
    }
    if (r == ST_E_CANCELLED || r == ST_E_FENCED)
        return r;
    give_up(call, n, reason, r != ST_E_UNPROCESSABLE);
    return 0;
}

int narration_speak(struct st_call *call)
{
    json_t *n;
    const char *used_up;
    struct st_narrate_result result = {.why = NULL};
    int r = load(call, &n);
    if (r == ST_E_NOT_FOUND)
        return 0; /* the story was deleted or has changed, or the narration is there */
    if (r < 0 || (r = st_limit_used_up(call, st_str(n, "author_id"), NARRATION_LIMIT, &used_up)) < 0)
        return r;
    if (used_up) {
        give_up(call, n, used_up, true);
        return 0;
    }
    struct narration_script s;
    struct st_remote_context context = {.reference = st_str(n, "narration_id")};
    r = narration_script_load(call, narration_speech, n, &s);
    if (r < 0)
        return r;
    emit_progress(call, st_str(n, "narration_id"), st_str(n, "story_id"), 0, json_array_size(s.segments));
    if ((r = st_commit(call)) < 0)
        return r;
    r = voices_had(call, &s, &result);
    if (r == 0)
        r = speak(call, n, &s, &context, &result);
    if (r < 0 && result.lost)
        return lost_voice(call, n, &s, r, &context, &result);
    if (r == 0)
        return finish(call, n, &s, &result);
    bool again = r != ST_E_UNPROCESSABLE && r != ST_E_INVALID && r != ST_E_TOO_LARGE;
    bool counts = r != ST_E_UNAVAILABLE && r != ST_E_CANCELLED && r != ST_E_FENCED;
    if (again && (!counts || call->job->attempt < call->job->max_attempts))
        return result.why ? st_fail_here(call, r, "%s", result.why) : r;
    bool told = result.why && (!again || r == ST_E_BAD_GATEWAY); /* what is wrong with the text, not with us */
    give_up(call, n,
            told    ? result.why
            : again ? "The narration could not be made."
                    : "The text cannot be spoken.",
            again);
    return 0;
}

/* Runs when the attempts are used up. */
int narration_speak_failed(struct st_call *call)
{
    json_t *n;
    int r = load(call, &n);
    if (r < 0)
        return r == ST_E_NOT_FOUND ? 0 : r;
    give_up(call, n, "The narration could not be made.", true);
    return 0;
}

int narration_remove_files(struct st_call *call)
{
    return st_object_remove(call, st_printf(call->arena, "narration/%s/", st_str(call->body, "narrationId")));
}

int narration_trim_cache(struct st_call *call)
{
    int64_t left = st_speech_cache_trim(st_cache_dir(call), st_option_int("speech_cache_mb") * 1024 * 1024);
    return left < 0 ? (int)left : 0;
}

int narration_schedule_trim(struct st_call *call)
{
    st_enqueue(call, "trim_cache", "cache", 0, json_object());
    narration_drop_choices(call, NULL);
    int r = narration_drop_previews(call, NULL);
    return r < 0 ? r : narration_drop_superseded(call);
}
