/* Voices of providers outside: what is sent, what is taken as sound, what each refusal stands for. */
#include "../lib/backbone.h"
#include "../lib/stand_in.h"

#include "narration/pcm.h"
#include "narration/remote.h"

#include <math.h>

static struct st_pg *db;
static const struct st_option options[] = {
    {"speech_tiers", "free:embedded premium:embedded,openai"},
    {"openai_url", ""},
    {"openai_key_file", ""},
    {"openai_speech_model", "gpt-4o-mini-tts"},
    {"openai_speech_price", "15"},
    {"elevenlabs_url", ""},
    {"elevenlabs_key_file", ""},
    {"elevenlabs_speech_model", "eleven_multilingual_v2"},
    {"elevenlabs_speech_price", "180"},
    {0},
};
static struct st_pcm pcm;
static char why[ST_NARRATE_WHY_LEN];
static const char *before, *after; /* what the voice says around it */

static int begin(void **state)
{
    (void)state;
    db = stand_in_begin("remote", "openai elevenlabs", "");
    return 0;
}

static int setup(void **state)
{
    (void)state;
    stand_in_setup(db, "remote", options, "openai elevenlabs");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    st_pcm_release(&pcm);
    st_arena_release(&arena);
    return 0;
}

static int end(void **state)
{
    (void)state;
    stand_in_stop();
    db = st_pg_free(db);
    return 0;
}

static int say_with(const char *voice, enum st_emotion emotion, const char *text)
{
    static atomic_bool stop;
    struct st_remote_context context = {.reference = "n-1"};
    struct st_voice v;
    struct st_manner m;
    double db_louder;
    st_pcm_release(&pcm);
    *why = '\0';
    assert_true(st_voices_find("", voice, &v));
    st_voice_manner(&v, "", NULL, emotion, 1, &m, &db_louder);
    snprintf(m.model, sizeof(m.model), "%s", st_remote_model(NULL, m.name));
    return st_remote_say(&context, &m, &(struct st_narrate_line){text, strlen(text), before, after}, &stop, &pcm, why);
}

#define SAMPLES "aabbccddee" /* five of them, none of which is 0 */

static const char *elevenlabs_answer(const char *audio, const char *characters, const char *ends)
{
    return reply("200 OK", "character-cost: 3\r\n",
                 st_printf(&arena,
                           "{\"audio_base64\": \"%s\", \"alignment\": {\"characters\": [%s], "
                           "\"character_start_times_seconds\": [], \"character_end_times_seconds\": [%s]}}",
                           audio, characters, ends));
}

static void test_openai(void **state)
{
    (void)state;
    answers(reply("200 OK", "Content-Type: application/octet-stream\r\n", SAMPLES));
    assert_int_equal(say_with("openai:nova", ST_EMOTION_JOY, "Grüß \"Gott\""), 0);
    assert_int_equal(pcm.count, 5);
    assert_int_equal(pcm.rate, 24000);
    assert_memory_equal(pcm.samples, SAMPLES, 10);
    assert_non_null(strstr(stand_in.last, "POST /audio/speech HTTP/1.1\r\n"));
    assert_non_null(strstr(stand_in.last, "Authorization: Bearer " STAND_IN_KEY "\r\n"));
    assert_non_null(strstr(stand_in.last,
                           "{\"model\":\"gpt-4o-mini-tts\",\"input\":\"Grüß \\\"Gott\\\"\",\"voice\":\"nova\","
                           "\"response_format\":\"pcm\",\"speed\":1.09,\"instructions\":\"Speak with "
                           "strong joy.\"}"));
    assert_string_equal(ask(db, "select concat_ws(' ', provider, reference, units, price_micros) from provider_calls"),
                        "openai_speech n-1 11 165");
    assert_int_equal(say_with("openai:onyx", ST_EMOTION_NEUTRAL, "Hello"), 0);
    assert_null(strstr(stand_in.last, "speed"));
    assert_null(strstr(stand_in.last, "instructions"));
}

static void test_elevenlabs(void **state)
{
    (void)state;
    answers(elevenlabs_answer("YWFiYmNjZGRlZQ==", "\"H\", \"i\"", "0, 0.0002"));
    assert_int_equal(say_with("elevenlabs:21m00Tcm4TlvDq8ikWAM", ST_EMOTION_ANGER, "Hi"), 0);
    assert_int_equal(pcm.count, 5);
    assert_memory_equal(pcm.samples, SAMPLES, 10);
    assert_non_null(strstr(stand_in.last, "POST /v1/text-to-speech/21m00Tcm4TlvDq8ikWAM/with-timestamps?output_format="
                                          "pcm_24000 HTTP/1.1\r\n"));
    assert_non_null(strstr(stand_in.last, "xi-api-key: " STAND_IN_KEY "\r\n"));
    assert_non_null(strstr(stand_in.last, "\"model_id\":\"eleven_multilingual_v2\""));
    assert_null(strstr(stand_in.last, "previous_text"));
    assert_string_equal(ask(db, "select concat_ws(' ', units, price_micros) from provider_calls"), "3 540");
    answers(reply("200 OK", "", "{\"audio_base64\": \"YWFiYg==\", \"alignment\": null}"));
    assert_int_equal(say_with("elevenlabs:21m00Tcm4TlvDq8ikWAM", ST_EMOTION_NEUTRAL, "Hi"), 0);
    assert_int_equal(pcm.count, 2);
    before = "Well.";
    assert_int_equal(say_with("elevenlabs:21m00Tcm4TlvDq8ikWAM", ST_EMOTION_NEUTRAL, "Hi"), 0);
    assert_non_null(strstr(stand_in.last, "\"previous_text\":\"Well.\""));
    assert_null(strstr(stand_in.last, "next_text"));
    before = NULL;
    after = "How are you?";
    assert_int_equal(say_with("elevenlabs:21m00Tcm4TlvDq8ikWAM", ST_EMOTION_NEUTRAL, "Hi"), 0);
    assert_non_null(strstr(stand_in.last, "\"next_text\":\"How are you?\""));
    assert_int_equal(say_with("openai:nova", ST_EMOTION_NEUTRAL, "Hi"), ST_E_BAD_GATEWAY);
    assert_null(strstr(stand_in.last, "How are you?"));
    after = NULL;
}

static void test_what_is_no_sound(void **state)
{
    (void)state;
    static const char *const bodies[] = {"", "a", "odd", "{\"error\": 1}.", "ID3 is a file.", "OggS", "<html></html>."};
    for (size_t i = 0; i < ST_COUNT(bodies); i++) {
        answers(reply("200 OK", "", bodies[i]));
        assert_int_equal(say_with("openai:nova", ST_EMOTION_NEUTRAL, "Hello"), ST_E_BAD_GATEWAY);
        assert_int_equal(atomic_load(&stand_in.requests), 3); /* it is asked for again */
        assert_true(*why);
    }
    answers(reply("200 OK", "", "odd"), reply("200 OK", "", SAMPLES));
    assert_int_equal(say_with("openai:nova", ST_EMOTION_NEUTRAL, "Hello"), 0);
    const char *const wrong[] = {
        reply("200 OK", "", "{}"),
        reply("200 OK", "", "[[[["),
        reply("200 OK", "", "{\"audio_base64\": 7}"),
        reply("200 OK", "", "{\"audio_base64\": \"%%%\"}"),
        elevenlabs_answer("YWFiYg==", "\"H\"", "0.0001"),          /* half of the text */
        elevenlabs_answer("YWFiYg==", "\"H\", \"i\"", "0.1"),      /* fewer times than characters */
        elevenlabs_answer("YWFiYg==", "\"H\", \"i\"", "0.1, 9.0"), /* the sound was cut */
    };
    for (size_t i = 0; i < ST_COUNT(wrong); i++) {
        answers(wrong[i]);
        if (say_with("elevenlabs:abc", ST_EMOTION_NEUTRAL, "Hi") != ST_E_BAD_GATEWAY)
            fail_msg("answer %zu was taken", i);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *voice, *status, *body;
        int error;
        const char *outcome;
    } cases[] = {
        {"openai:nova", "400 Bad",
         "{\"error\": {\"message\": \"Too \\u00fcgly\", \"type\": \"invalid_request_error\"}}", ST_E_UNPROCESSABLE,
         "content"},
        {"openai:nova", "401 No",
         "{\"error\": {\"message\": \"Incorrect API key: sk-sec\", \"code\": \"invalid_api_key\"}}", ST_E_BAD_GATEWAY,
         "permanent"},
        {"openai:nova", "403 No", "{}", ST_E_BAD_GATEWAY, "permanent"},
        {"openai:nova", "404 No", "{\"error\": {\"code\": \"model_not_found\"}}", ST_E_BAD_GATEWAY, "permanent"},
        {"openai:nova", "429 Slow", "{\"error\": {\"type\": \"requests\", \"code\": \"rate_limit_exceeded\"}}",
         ST_E_LIMITED, "limited"},
        {"openai:nova", "429 Slow", "{\"error\": {\"code\": \"insufficient_quota\"}}", ST_E_PAYMENT, "quota"},
        {"openai:nova", "500 Oops", "not JSON", ST_E_UNAVAILABLE, "transient"},
        {"openai:nova", "408 Late", "", ST_E_UNAVAILABLE, "transient"},
        {"elevenlabs:a", "400 Bad", "{\"detail\": {\"code\": \"max_character_limit_exceeded\", \"message\": \"m\"}}",
         ST_E_UNPROCESSABLE, "content"},
        {"elevenlabs:a", "400 Bad", "{\"detail\": {\"status\": \"voice_limit_reached\"}}", ST_E_PAYMENT, "quota"},
        {"elevenlabs:a", "404 No", "{\"detail\": {\"status\": \"voice_not_found\"}}", ST_E_UNPROCESSABLE, "content"},
        {"elevenlabs:a", "401 No", "{\"detail\": {\"status\": \"quota_exceeded\"}}", ST_E_PAYMENT, "quota"},
        {"elevenlabs:a", "401 No", "{\"detail\": {\"code\": \"invalid_api_key\"}}", ST_E_BAD_GATEWAY, "permanent"},
        {"elevenlabs:a", "401 No", "{\"detail\": {\"code\": \"detected_unusual_activity\"}}", ST_E_BAD_GATEWAY,
         "permanent"},
        {"elevenlabs:a", "403 No", "{\"detail\": {\"code\": \"only_for_creator+\"}}", ST_E_UNPROCESSABLE, "content"},
        {"elevenlabs:a", "402 Pay", "{\"detail\": {\"code\": \"paid_plan_required\"}}", ST_E_UNPROCESSABLE, "content"},
        {"elevenlabs:a", "404 No", "{\"detail\": \"Not Found\"}", ST_E_BAD_GATEWAY, "permanent"},
        {"elevenlabs:a", "422 Bad", "{\"detail\": [{\"loc\": [\"body\", \"text\"], \"msg\": \"m\", \"type\": \"t\"}]}",
         ST_E_UNPROCESSABLE, "content"},
        {"elevenlabs:a", "422 Bad", "{\"detail\": \"plain words\"}", ST_E_UNPROCESSABLE, "content"},
        {"elevenlabs:a", "425 Early", "", ST_E_UNAVAILABLE, "transient"},
        {"elevenlabs:a", "429 Slow", "{\"detail\": {\"status\": \"too_many_concurrent_requests\"}}", ST_E_LIMITED,
         "limited"},
        {"elevenlabs:a", "429 Slow", "{\"detail\": {\"status\": \"system_busy\"}}", ST_E_UNAVAILABLE, "transient"},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        change(db, "truncate providers, provider_calls, provider_totals");
        answers(reply(cases[i].status, "retry-after-ms: 0\r\n", cases[i].body));
        int r = say_with(cases[i].voice, ST_EMOTION_NEUTRAL, "Hello");
        if (r != cases[i].error)
            fail_msg("case %zu: %s, %s", i, st_err_code(r), why);
        assert_string_equal(ask(db, "select min(outcome) from provider_calls"), cases[i].outcome);
        assert_true(*why && st_utf8_valid(why, strlen(why)));
        assert_null(strstr(why, "sk-"));
    }
}

/* Who asks for voices that the account lacks does not take those away from others that it has. */
static void test_a_voice_that_is_not_there(void **state)
{
    (void)state;
    static const char *const refusals[][2] = {
        {"404 No", "{\"detail\": {\"status\": \"voice_not_found\"}}"},
        {"404 No", "{\"detail\": {\"type\": \"not_found\", \"code\": \"voice_does_not_exist\"}}"},
        {"403 No", "{\"detail\": {\"code\": \"only_for_creator+\"}}"},
        {"402 Pay", "{\"detail\": {\"code\": \"paid_plan_required\"}}"},
    };
    for (size_t i = 0; i < ST_COUNT(refusals); i++)
        for (int n = 0; n < 5; n++) {
            answers(reply(refusals[i][0], "", refusals[i][1]));
            assert_int_equal(say_with("elevenlabs:missing", ST_EMOTION_NEUTRAL, "Hi"), ST_E_UNPROCESSABLE);
        }
    answers(reply("200 OK", "", "{\"audio_base64\": \"YWFiYg==\", \"alignment\": null}"));
    assert_int_equal(say_with("elevenlabs:there", ST_EMOTION_NEUTRAL, "Hi"), 0);
}

static void test_a_lost_connection(void **state)
{
    (void)state;
    answers(HANG_UP, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\naabb", reply("200 OK", "", SAMPLES));
    assert_int_equal(say_with("openai:nova", ST_EMOTION_NEUTRAL, "Hello"), 0);
    assert_int_equal(pcm.count, 5); /* half a sound is none */
    assert_string_equal(ask(db, "select string_agg(outcome, ' ' order by call_id) from provider_calls"),
                        "unknown unknown ok");
}

/* A provider that notes what it is told: "before<text>after" of each line. */
static int note_line(void *ctx, const struct st_manner *manner, const struct st_narrate_line *line,
                     const atomic_bool *stop, struct st_pcm *ret_pcm, char ret_why[ST_NARRATE_WHY_LEN])
{
    (void)manner, (void)stop, (void)ret_why;
    st_buf_printf(ctx, "%s<%s>%s\n", line->before ? line->before : "", line->text, line->after ? line->after : "");
    size_t count = line->len * ST_PCM_RATE / 16;
    *ret_pcm = (struct st_pcm){.samples = malloc(count * sizeof(int16_t)), .count = count, .rate = ST_PCM_RATE};
    for (size_t i = 0; i < count; i++)
        ret_pcm->samples[i] = (int16_t)(8000 * sin((double)i / 8));
    return 0;
}

static const char *no_model(void *ctx, const char *voice)
{
    (void)ctx, (void)voice;
    return "";
}

static const char *no_address(void *ctx, const char *voice)
{
    return no_model(ctx, voice);
}

static void test_what_stands_around_is_told(void **state)
{
    (void)state;
    struct st_narrate_segment segments[] = {{.text = "It was late. Nobody came."},
                                            {.text = "Who is there?", .voice = 1},
                                            {.text = "There was no answer."},
                                            {.text = "None at all."}};
    struct st_voice voices[2];
    struct st_buf lines = ST_BUF(1000);
    struct st_narrate_result r;
    const struct st_narrate_remote remote = {note_line, no_model, no_address, &lines};
    const struct st_narrate_job job = {
        .language = "en",
        .voices = voices,
        .n_voices = ST_COUNT(voices),
        .segments = segments,
        .n_segments = ST_COUNT(segments),
        .opus_path = st_printf(&arena, "%s/around.opus", getenv("ST_TEST_DIR")),
        .mp3_path = st_printf(&arena, "%s/around.mp3", getenv("ST_TEST_DIR")),
        .parallel = 1,
        .remote = &remote,
    };
    for (size_t i = 0; i < ST_COUNT(segments); i++)
        segments[i].len = strlen(segments[i].text);
    assert_true(st_voices_find("", "openai:nova", &voices[0]) && st_voices_find("", "openai:onyx", &voices[1]));
    assert_int_equal(st_narrate_audio(&arena, &job, &r), 0);
    assert_string_equal(lines.data, "<It was late. Nobody came.>\n<Who is there?>\n"
                                    "<There was no answer.>None at all.\nThere was no answer.<None at all.>\n");
    st_buf_release(&lines);
}

/* Of the first answer half is missing. */
static int cut_line(void *ctx, const struct st_manner *manner, const struct st_narrate_line *line,
                    const atomic_bool *stop, struct st_pcm *ret_pcm, char ret_why[ST_NARRATE_WHY_LEN])
{
    struct st_buf lines = ST_BUF(1000);
    int *asked = ctx, r = note_line(&lines, manner, line, stop, ret_pcm, ret_why);
    ret_pcm->count /= ++*asked == 1 ? 2 : 1;
    st_buf_release(&lines);
    return r;
}

static void test_half_a_sound_is_asked_for_again(void **state)
{
    (void)state;
    struct st_narrate_segment segment = {.text = "Nobody knew where the keeper had gone with the letter that evening."};
    struct st_voice voice;
    struct st_narrate_result r;
    int asked = 0;
    const struct st_narrate_remote remote = {cut_line, no_model, no_address, &asked};
    const struct st_narrate_job job = {
        .language = "en",
        .voices = &voice,
        .n_voices = 1,
        .segments = &segment,
        .n_segments = 1,
        .opus_path = st_printf(&arena, "%s/cut.opus", getenv("ST_TEST_DIR")),
        .mp3_path = st_printf(&arena, "%s/cut.mp3", getenv("ST_TEST_DIR")),
        .remote = &remote,
    };
    segment.len = strlen(segment.text);
    assert_true(st_voices_find("", "openai:nova", &voice));
    assert_int_equal(st_narrate_audio(&arena, &job, &r), 0);
    assert_int_equal(asked, 2);
    assert_true(r.times[0].end_ms - r.times[0].start_ms > (int64_t)segment.len * 60);
}

static void test_who_may_have_them(void **state)
{
    (void)state;
    const char *wrong;
    assert_true(st_remote_allowed("man-1", "free"));
    assert_true(st_remote_allowed("narrator", ""));
    assert_true(st_remote_allowed("openai:nova", "premium"));
    static const char *const not_these[][2] = {{"openai:nova", "free"},  {"openai:nova", "prem"},
                                               {"openai:nova", ""},      {"elevenlabs:a", "premium"},
                                               {"open:nova", "premium"}, {"nobody:x", "premium"}};
    for (size_t i = 0; i < ST_COUNT(not_these); i++)
        assert_false(st_remote_allowed(not_these[i][0], not_these[i][1]));
    setenv("ST_OPENAI_KEY_FILE", "", 1);
    assert_int_equal(st_options_load(options, &wrong), 0);
    assert_false(st_remote_allowed("openai:nova", "premium")); /* without a key nobody */
    static const char *const no_names[] = {":",          "openai:",     ":nova",
                                           "openai:a/b", "openai:../x", "openai:a b",
                                           "openai:a:b", "OPENAI:nova", "openai:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    struct st_voice v;
    for (size_t i = 0; i < ST_COUNT(no_names); i++)
        if (st_voices_find("", no_names[i], &v))
            fail_msg("%s", no_names[i]);
}

int main(int argc, char **argv)
{
    (void)argc;
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_openai),
        TEST(test_elevenlabs),
        TEST(test_what_is_no_sound),
        TEST(test_refusals),
        TEST(test_a_voice_that_is_not_there),
        TEST(test_a_lost_connection),
        TEST(test_what_stands_around_is_told),
        TEST(test_half_a_sound_is_asked_for_again),
        TEST(test_who_may_have_them),
    };
    world_start(argv);
    return cmocka_run_group_tests(tests, begin, end);
}
