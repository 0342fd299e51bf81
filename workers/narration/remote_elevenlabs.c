/* ElevenLabs: speech with timestamps, which tell whether all of the text was spoken. */
#include "narration/remote.h"

#include "narration/pcm.h"

enum { ANSWER_MAX = 32 << 20 };

/* What their codes stand for; the status says the rest. A used-up account comes as 401. */
static const struct {
    const char *code;
    enum st_outcome outcome;
} codes[] = {
    {"max_character_limit_exceeded", ST_OUTCOME_CONTENT},
    {"invalid_parameters", ST_OUTCOME_CONTENT},
    {"voice_not_found", ST_OUTCOME_CONTENT},
    {"voice_limit_reached", ST_OUTCOME_QUOTA},
    {"quota_exceeded", ST_OUTCOME_QUOTA},
    {"paid_plan_required", ST_OUTCOME_QUOTA},
    {"only_for_creator+", ST_OUTCOME_QUOTA},
    {"can_not_use_instant_voice_cloning", ST_OUTCOME_QUOTA},
    {"invalid_api_key", ST_OUTCOME_PERMANENT},
    {"detected_unusual_activity", ST_OUTCOME_PERMANENT},
    {"too_many_concurrent_requests", ST_OUTCOME_LIMITED},
    {"concurrent_limit_exceeded", ST_OUTCOME_LIMITED},
    {"rate_limit_exceeded", ST_OUTCOME_LIMITED},
    {"system_busy", ST_OUTCOME_TRANSIENT},
};

/* Errors: {"detail": {"code", "status", "message"}}, of older ones without code; {"detail": [{"msg"}]}; or a text. */
enum st_outcome st_remote_elevenlabs_classify(struct st_arena *a, const struct st_http_answer *answer,
                                              const char **ret_why)
{
    enum st_outcome outcome = st_outcome_of_status(answer);
    json_t *j;
    const char *why;
    if (outcome == ST_OUTCOME_OK || st_json_parse(a, answer->body, answer->len, ST_JSON_DEPTH, &j, &why) < 0)
        return outcome;
    const json_t *detail = json_object_get(j, "detail");
    const char *code = st_json_str(detail, "code", ""), *status = st_json_str(detail, "status", "");
    const char *message = json_is_array(detail) ? st_str(json_array_get(detail, 0), "msg") : st_str(detail, "message");
    for (size_t i = 0; i < ST_COUNT(codes); i++)
        if (st_streq(codes[i].code, code) || st_streq(codes[i].code, status))
            outcome = codes[i].outcome;
    if (json_is_string(detail))
        message = json_string_value(detail);
    if (outcome == ST_OUTCOME_CONTENT)
        *ret_why = st_printf(a, "ElevenLabs refuses this: %s.", st_remote_words(a, message));
    return outcome;
}

/*
 * The address names the voice. What is not found, or not part of the plan, is that one (a wrong key comes as 401, a
 * wrong address without details): other voices speak, so it says nothing against the provider.
 */
static enum st_outcome classify(struct st_arena *a, const struct st_http_answer *answer, const char **ret_why)
{
    json_t *j;
    const char *why;
    int s = answer->status;
    if ((s != 402 && s != 403 && s != 404) ||
        st_json_parse(a, answer->body, answer->len, ST_JSON_DEPTH, &j, &why) < 0 ||
        !json_is_object(json_object_get(j, "detail")))
        return st_remote_elevenlabs_classify(a, answer, ret_why);
    *ret_why = st_printf(a, "ElevenLabs refuses this voice: %s.",
                         st_remote_words(a, st_str(json_object_get(j, "detail"), "message")));
    return ST_OUTCOME_CONTENT;
}

/* The answer says what it has cost, in credits. */
static void meter(const struct st_http_answer *answer, int64_t *units, int64_t *micros)
{
    const char *cost = st_http_answer_header(answer, "character-cost");
    int64_t credits;
    if (cost && st_parse_i64(cost, 0, 1000000, &credits))
        *units = credits;
    *micros = *units * st_option_int("elevenlabs_speech_price");
}

static const struct st_provider provider = {.name = "elevenlabs_speech",
                                            .url_option = "elevenlabs_url",
                                            .key_option = "elevenlabs_key_file",
                                            .key_header = "xi-api-key: %s",
                                            .concurrency = 3,
                                            .timeout_ms = 240000,
                                            .attempts = 4,
                                            .classify = classify,
                                            .meter = meter};

static void prepare(struct st_arena *a, const struct st_remote_request *r, struct st_provider_call *ret)
{
    const struct st_manner *m = r->manner;
    double stability = 0.6 - 0.04 * m->strength, style = 0.05 * m->strength; /* stronger feelings move more */
    double speed = m->rate < 700 ? 0.7 : m->rate > 1200 ? 1.2 : m->rate / 1000.0;
    bool around = !st_starts(m->model, "eleven_v3"); /* which refuses to be told */
    ret->path = st_printf(a, "/v1/text-to-speech/%s/with-timestamps?output_format=pcm_24000", r->voice);
    ret->json = st_json_keep(a, json_pack("{s:s%, s:s, s:s*, s:s*, s:{s:f, s:f, s:f, s:f}}", "text", r->text, r->len,
                                          "model_id", m->model, "previous_text", around ? r->before : NULL, "next_text",
                                          around ? r->after : NULL, "voice_settings", "stability", stability,
                                          "similarity_boost", 0.75, "style", style, "speed", speed));
    ret->answer_max = ANSWER_MAX;
}

/* Standard base64 as the strict decoder takes it. */
static void *decode(struct st_arena *a, const char *s, size_t *ret_len)
{
    char *copy = st_strdup(a, s);
    for (char *c = copy; *c; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    size_t len = strlen(copy);
    while (len && copy[len - 1] == '=')
        len--;
    return st_b64url_decode(a, copy, len, ret_len);
}

/* Does the alignment reach the end of the text, and stay inside the sound? */
static bool is_whole(const json_t *alignment, const struct st_remote_request *r, int64_t ms)
{
    if (!json_is_object(alignment))
        return true; /* it may be null; the length is checked by whoever asked */
    const json_t *characters = json_object_get(alignment, "characters");
    const json_t *ends = json_object_get(alignment, "character_end_times_seconds");
    size_t n = json_array_size(characters), wanted = st_utf8_length(r->text, r->len);
    double end = json_number_value(json_array_get(ends, n ? n - 1 : 0));
    return n && json_array_size(ends) == n && n * 10 >= wanted * 9 && end * 1000 <= (double)ms + 500;
}

static int sound(struct st_arena *a, const struct st_remote_request *r, const struct st_http_answer *answer,
                 struct st_pcm *ret)
{
    json_t *j;
    const char *why, *audio;
    size_t len;
    if (st_json_parse(a, answer->body, answer->len, ST_JSON_DEPTH, &j, &why) < 0 ||
        !(audio = st_str(j, "audio_base64")))
        return ST_E_BAD_GATEWAY;
    void *bytes = decode(a, audio, &len);
    if (!bytes || st_remote_pcm(bytes, len, ret) < 0)
        return ST_E_BAD_GATEWAY;
    if (is_whole(json_object_get(j, "alignment"), r, (int64_t)ret->count * 1000 / ST_PCM_RATE))
        return 0;
    st_pcm_release(ret);
    return ST_E_BAD_GATEWAY;
}

const struct st_remote_adapter st_remote_elevenlabs = {&provider, "elevenlabs", "elevenlabs_speech_model",
                                                       NULL,      prepare,      sound};
