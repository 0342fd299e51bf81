/* OpenAI speech: POST /audio/speech, raw samples come back. */
#include "narration/remote.h"

enum { ANSWER_MAX = SPEAK_SAMPLES_MAX * 2 + 1024 };

/* Errors: {"error": {"message", "type", "param", "code"}}. Messages about keys show parts of them. */
static enum st_outcome classify(struct st_arena *a, const struct st_http_answer *answer, const char **ret_why)
{
    enum st_outcome outcome = st_outcome_of_status(answer);
    json_t *j;
    const char *why;
    if (outcome == ST_OUTCOME_OK || st_json_parse(a, answer->body, answer->len, ST_JSON_DEPTH, &j, &why) < 0)
        return outcome;
    const json_t *error = json_object_get(j, "error");
    if (st_streq(st_str(error, "code"), "insufficient_quota") || st_streq(st_str(error, "type"), "insufficient_quota"))
        return ST_OUTCOME_QUOTA;
    if (outcome == ST_OUTCOME_CONTENT)
        *ret_why = st_printf(a, "OpenAI refuses this text: %s", st_remote_words(a, st_str(error, "message")));
    return outcome;
}

static void meter(const struct st_http_answer *answer, int64_t *units, int64_t *micros)
{
    (void)answer;
    *micros = *units * st_option_int("openai_speech_price");
}

static const struct st_provider provider = {.name = "openai_speech",
                                            .url_option = "openai_url",
                                            .key_option = "openai_key_file",
                                            .key_header = "Authorization: Bearer %s",
                                            .concurrency = 4,
                                            .timeout_ms = 120000,
                                            .attempts = 4,
                                            .classify = classify,
                                            .meter = meter};

static const struct st_remote_voice voices[] = {
    {"openai:alloy", "unknown"}, {"openai:ash", "male"},
    {"openai:ballad", "male"},   {"openai:coral", "female"},
    {"openai:echo", "male"},     {"openai:fable", "male"},
    {"openai:onyx", "male"},     {"openai:nova", "female"},
    {"openai:sage", "female"},   {"openai:shimmer", "female"},
    {"openai:verse", "male"},    {"openai:marin", "female"},
    {"openai:cedar", "male"},    {0},
};

static void prepare(struct st_arena *a, const struct st_remote_request *r, struct st_provider_call *ret)
{
    const struct st_manner *m = r->manner;
    json_t *body = json_pack("{s:s, s:s%, s:s, s:s}", "model", m->model, "input", r->text, r->len, "voice", r->voice,
                             "response_format", "pcm");
    if (m->rate != 1000)
        json_object_set_new(body, "speed", json_real(m->rate / 1000.0));
    if (m->strength && !st_starts(m->model, "tts-1")) /* those take no instructions */
        json_object_set_new(body, "instructions",
                            json_string(st_printf(a, "Speak with %s%s.", m->strength >= 7 ? "strong " : "",
                                                  st_emotion_word((enum st_emotion)m->emotion))));
    ret->path = "/audio/speech";
    ret->json = st_json_keep(a, body);
    ret->answer_max = ANSWER_MAX;
}

static int sound(struct st_arena *a, const struct st_remote_request *r, const struct st_http_answer *answer,
                 struct st_pcm *ret)
{
    (void)a, (void)r;
    return st_remote_pcm(answer->body, answer->len, ret);
}

const struct st_remote_adapter st_remote_openai = {&provider, "openai", "openai_speech_model", voices, prepare, sound};
