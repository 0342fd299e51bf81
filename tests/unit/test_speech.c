/* The speech engine: text made speakable, voices told apart by their measured pitch, files, and failures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/spawn.h"
#include "narration/narrate.h"
#include "narration/pcm.h"
#include "narration/speech_text.h"

static struct st_arena arena;
static struct st_speech *speech;
static char program[4096], dir[] = "/tmp/st-speech-XXXXXX";

static const char SENTENCE[] = "The old keeper carried the letter along the wall.";

static const char *in_dir(const char *name)
{
    return st_printf(&arena, "%s/%s", dir, name);
}

/*
 * An engine that hangs, for most of a minute: so it begins before the tests, and is looked at behind them. By a
 * grandchild: children are counted here.
 */
static void hang(void)
{
    static const struct st_manner m = {
        .engine = SPEAK_FLITE, .name = "slt", .pitch = 1000, .range = 1000, .rate = 1000};
    const char *path = in_dir("hangs");
    struct st_speech *engine;
    struct st_pcm pcm = {0};
    int64_t began = st_mono();
    FILE *f = fopen(path, "w");
    fprintf(f, "#!/bin/sh\nmkdir \"$0.once\" 2>/dev/null && exec '%s'\nexec sleep 300\n", program);
    fclose(f);
    int r = chmod(path, 0700) == 0 ? st_speech_open(path, &engine) : -1;
    if (r == 0)
        r = st_speech_say(engine, &m, "Hello.", 6, NULL, &pcm);
    f = fopen(in_dir("hung.part"), "w");
    fprintf(f, "%d %d", r, (int)((st_mono() - began) / ST_SECOND));
    fclose(f);
    rename(in_dir("hung.part"), in_dir("hung"));
}

static void start_hanging(void)
{
    pid_t child = fork();
    if (child == 0) {
        if (fork() == 0)
            hang();
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static int start(void **state)
{
    (void)state;
    ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 32);
    assert_true(n > 0);
    program[n] = '\0';
    *strrchr(program, '/') = '\0'; /* .../tests */
    *strrchr(program, '/') = '\0';
    strncat(program, "/bin/narration-speak", 31);
    assert_non_null(mkdtemp(dir));
    start_hanging();
    return st_speech_open(program, &speech);
}

static int stop(void **state)
{
    (void)state;
    const char *argv[] = {"rm", "-r", dir, NULL};
    struct st_spawn_result r;
    int rc = st_spawn(&arena, &(struct st_spawn){.argv = argv, .timeout_us = 10 * ST_SECOND}, &r);
    st_speech_close(speech);
    st_arena_release(&arena);
    return rc;
}

static int release(void **state)
{
    (void)state;
    st_arena_release(&arena);
    /* No test may leave a child behind, living or dead. */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    return 0;
}

/* --- text -------------------------------------------------------------------------------------------------------- */

/* The utterances of text, each in brackets, those in another language with its name. */
static const char *planned(const char *native, const char *text)
{
    struct st_utterances u;
    struct st_buf out = ST_BUF(1 << 20);
    assert_int_equal(st_text_plan(&arena, text, strlen(text), native, &u), 0);
    st_buf_str(&out, "");
    for (size_t i = 0; i < u.count; i++) {
        assert_int_equal(strlen(u.items[i].text), u.items[i].len);
        st_buf_printf(&out, "[%s%s%s]", u.items[i].language ? u.items[i].language : "", u.items[i].language ? ": " : "",
                      u.items[i].text);
    }
    const char *s = st_strdup(&arena, out.data);
    st_buf_release(&out);
    return s;
}

static void test_text_becomes_speakable(void **state)
{
    (void)state;
    static const struct {
        const char *language, *written, *spoken;
    } cases[] = {
        {"", "“Come—now!” he said… ‘quickly’.", "[Come, now! he said, quickly.]"},
        {"", "It’s 10:30, and 3.14 (or so)?! Yes", "[It's 10:30, and 3.14, or so?][Yes]"},
        {"", "Mr. Smith met J. K. Rowling. They left.", "[Mr. Smith met J. K. Rowling.][They left.]"},
        {"", "\"Stop!\" he said. \"Go!\" She went.", "[Stop! he said.][Go!][She went.]"},
        {"", "HELP ME, NOOOOO! Hmm. Sgt. Miller", "[help me, noo!][hum.][sergeant Miller]"},
        {"", "Café Łódź Nguyễn Straße", "[Cafe Lodz Nguyen Strasse]"},
        {"", "*bold* _it_ # Head", "[bold it Head]"},
        {"", "Chapter One\n\nIt was\nnight.", "[Chapter One.][It was night.]"},
        {"", "a 😀 b\u200b\u202ec", "[a bc]"},
        {"", "a\ab\x7f", "[a b]"},
        {"", "5–7 pages -- or -5", "[5-7 pages, or -5]"},
        {"", "dogs' tails, 'tis", "[dogs tails, tis]"},
        {"", "He said Привет мир to me.", "[He said ][ru: Привет мир ][to me.]"},
        {"", "你好。再见！", "[cmn-latn-pinyin: 你好。][cmn-latn-pinyin: 再见！]"},
        {"de", "Straße – „gut“. Ja", "[Straße, gut.][Ja]"},
        {"ru", "Привет. Мир", "[Привет.][Мир]"},
        {"ja", "マリアはパンをたべた。", "[マリアはパンをたべた。]"},
        {"ar", "مرحبا، كيف حالك؟ جيد", "[مرحبا، كيف حالك؟][جيد]"},
        {"", "\"\"", ""},
        {"", "😀 … -- !?", ""},
        {"", "", ""},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++)
        assert_string_equal(planned(cases[i].language, cases[i].written), cases[i].spoken);
}

static void test_unreadable_script_is_counted(void **state)
{
    (void)state;
    struct st_utterances u;
    const char *tibetan = "བོད", *kanji = "日本 と";
    assert_int_equal(st_text_plan(&arena, tibetan, strlen(tibetan), "", &u), 0);
    assert_int_equal(u.count, 0);
    assert_true(u.letters > 0 && u.unreadable == u.letters);
    assert_int_equal(st_text_plan(&arena, kanji, strlen(kanji), "ja", &u), 0);
    assert_int_equal(u.count, 1);
    assert_int_equal(u.letters, 3);
    assert_int_equal(u.unreadable, 2);
    assert_int_equal(st_text_plan(&arena, "ʔʕ", 4, "", &u), 0); /* Latin letters that no English word has */
    assert_int_equal(u.count, 0);
    assert_int_equal(u.unreadable, 2);
}

static void test_bad_text_is_refused(void **state)
{
    (void)state;
    struct st_utterances u;
    static char large[ST_SPEECH_TEXT_MAX + 1];
    assert_int_equal(st_text_plan(&arena, "a\xff", 2, "", &u), ST_E_INVALID);
    assert_int_equal(st_text_plan(&arena, "a\0b", 3, "", &u), ST_E_INVALID);
    assert_int_equal(st_text_plan(&arena, large, sizeof(large), "", &u), ST_E_TOO_LARGE);
}

/* A megabyte without any sentence: cut into pieces that fit, nothing lost, in linear time. */
static void test_long_text_is_cut(void **state)
{
    (void)state;
    enum { MEGABYTE = 1 << 20 };
    static const char *const patterns[] = {"word, ", "word ", "x", "1", "字", "a.", "ж"};
    char *text = st_alloc(&arena, MEGABYTE + 8);
    for (size_t k = 0; k < ST_COUNT(patterns); k++) {
        struct st_utterances u;
        size_t n = strlen(patterns[k]), letters = 0, len = MEGABYTE / n * n;
        for (size_t i = 0; i < len; i++)
            text[i] = patterns[k][i % n];
        assert_int_equal(st_text_plan(&arena, text, len, "", &u), 0);
        for (size_t i = 0; i < u.count; i++) {
            assert_true(u.items[i].len <= SPEAK_TEXT_MAX);
            for (size_t j = 0; j < u.items[i].len; j++)
                letters += ((unsigned char)u.items[i].text[j] & 0xc0) != 0x80 && !strchr(" ,.", u.items[i].text[j]);
        }
        if (*patterns[k] != 'x' && *patterns[k] != 'a') /* flite's words are tamed: "xxx" becomes "xx" */
            assert_int_equal(letters, u.letters);
    }
}

/* --- languages and requests -------------------------------------------------------------------------------------- */

static void test_languages(void **state)
{
    (void)state;
    static const struct {
        const char *tag, *name;
    } known[] = {
        {NULL, ""},
        {"", ""},
        {"und", ""},
        {"en", ""},
        {"en-GB", ""},
        {"EN_us", ""},
        {"de", "de"},
        {"de-AT", "de"},
        {"fr", "fr-fr"},
        {"pt-BR", "pt-br"},
        {"zh-Hans-CN", "cmn-latn-pinyin"},
        {"zh-HK", "yue"},
        {"no", "nb"},
        {"iw", "he"},
        {"ar-EG", "ar"},
        {"ja", "ja"},
        {"hi", "hi"},
        {"es-PE", "es"},
        {"fa", "fa"},
    };
    static const char *const unknown[] = {
        "bo", "xx", "e", "../de", "de\n", "-", "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq"};
    char name[ST_LANGUAGE_LEN];
    for (size_t i = 0; i < ST_COUNT(known); i++) {
        assert_int_equal(st_speech_language(speech, known[i].tag, name), 0);
        assert_string_equal(name, known[i].name);
    }
    for (size_t i = 0; i < ST_COUNT(unknown); i++)
        assert_int_equal(st_speech_language(speech, unknown[i], name), ST_E_UNPROCESSABLE);
}

static struct st_manner manner(enum speak_engine engine, const char *name, const char *language)
{
    struct st_manner m = {.engine = engine, .pitch = 1000, .range = 1000, .rate = 1000};
    snprintf(m.name, sizeof(m.name), "%s", name);
    snprintf(m.language, sizeof(m.language), "%s", language);
    return m;
}

static int say(const struct st_manner *m, const char *text, struct st_pcm *ret)
{
    return st_speech_say(speech, m, text, strlen(text), NULL, ret);
}

static void test_other_languages_sound(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"ar", "مرحبا بالعالم"}, {"he", "שלום עולם"},    {"ru", "Привет, мир"},
        {"hi", "नमस्ते दुनिया"},    {"ko", "안녕하세요"},   {"cmn-latn-pinyin", "你好，世界"},
        {"ja", "こんにちは"},    {"de", "Guten Morgen"},
    };
    for (size_t i = 0; i < ST_COUNT(texts); i++) {
        struct st_manner m = manner(SPEAK_ESPEAK, "f2", texts[i][0]);
        struct st_pcm pcm = {0};
        assert_int_equal(say(&m, texts[i][1], &pcm), 0);
        assert_int_equal(pcm.rate, 22050);
        assert_in_range(pcm.count, pcm.rate / 3, pcm.rate * 5);
        assert_true(st_pcm_loudness(&pcm) > -40);
        st_pcm_release(&pcm);
    }
}

static void test_bad_requests(void **state)
{
    (void)state;
    struct st_pcm pcm = {0};
    struct st_manner m = manner(SPEAK_FLITE, "nobody", "");
    char *text = st_alloc(&arena, SPEAK_TEXT_MAX + 2);
    assert_int_equal(say(&m, "Hello", &pcm), ST_E_UNPROCESSABLE);
    m = manner(SPEAK_ESPEAK, "", "klingonese");
    assert_int_equal(say(&m, "Hello", &pcm), ST_E_UNPROCESSABLE);
    m = manner(SPEAK_FLITE, "rms", "");
    m.rate = 1;
    assert_int_equal(say(&m, "Hello", &pcm), ST_E_BAD_GATEWAY);
    m = manner(SPEAK_ESPEAK, "", "en-us");
    m.rate = 500;
    for (int i = 0; i < SPEAK_TEXT_MAX; i++)
        text[i] = i % 2 ? ' ' : '7';
    assert_int_equal(say(&m, text, &pcm), ST_E_TOO_LARGE); /* a thousand sevens last longer than four minutes */
    text[SPEAK_TEXT_MAX] = '7';
    assert_int_equal(say(&m, text, &pcm), ST_E_TOO_LARGE);
    assert_null(pcm.samples);
}

static void test_hostile_text_does_no_harm(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "%n%s%x",
        "<speak><audio src='/etc/passwd'/></speak>",
        "[[h@'loU]]",
        "$$$$$$5",
        "1/2/3/4:5:6,7,8",
        "0x41414141 1e999 NaN",
        "IVXLCDMIVXLCDMIVXLCDM",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "99999999999999999999999999999999999999999999999999",
        "a-b-c-d-e-f-g-h",
        "' ' ' '",
        "St. Dr. etc. vs. e.g.",
    };
    struct st_manner flite = manner(SPEAK_FLITE, "kal16", ""), espeak = manner(SPEAK_ESPEAK, "", "fr-fr");
    for (size_t i = 0; i < ST_COUNT(texts); i++) {
        struct st_pcm pcm = {0};
        assert_int_equal(say(&flite, texts[i], &pcm), 0);
        st_pcm_release(&pcm);
        assert_int_equal(say(&espeak, texts[i], &pcm), 0);
        st_pcm_release(&pcm);
    }
}

/* --- voices ------------------------------------------------------------------------------------------------------ */

/* How well the 40 ms at s repeat themselves after lag samples, 0..1. */
static double likeness(const int16_t *s, size_t n, size_t lag)
{
    double cross = 0, a = 1, b = 1;
    for (size_t i = 0; i < n; i++) {
        cross += (double)s[i] * s[i + lag];
        a += (double)s[i] * s[i];
        b += (double)s[i + lag] * s[i + lag];
    }
    return cross / sqrt(a * b);
}

static int by_value(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return a < b ? -1 : a > b;
}

/* The median pitch of the voiced frames, in Hz. The shortest lag that is nearly the best is the period. */
static double pitch_of(const struct st_pcm *pcm)
{
    enum { LOWEST = 55, HIGHEST = 450, FRAMES = 400 };
    static double found[FRAMES];
    double curve[1024];
    size_t n = 0, frame = pcm->rate / 25, from = pcm->rate / HIGHEST, to = pcm->rate / LOWEST;
    for (size_t at = 0; at + frame + to < pcm->count && n < FRAMES; at += frame / 2) {
        double best = 0;
        for (size_t lag = from; lag <= to; lag++)
            best = fmax(best, curve[lag] = likeness(pcm->samples + at, frame, lag));
        for (size_t lag = from + 1; best > 0.8 && lag < to; lag++)
            if (curve[lag] > 0.9 * best && curve[lag] >= curve[lag - 1] && curve[lag] >= curve[lag + 1]) {
                found[n++] = (double)pcm->rate / (double)lag;
                break;
            }
    }
    assert_true(n > 10);
    qsort(found, n, sizeof(*found), by_value);
    return found[n / 2];
}

static struct st_pcm spoken_by(const struct st_voice *v, enum st_emotion emotion, double intensity)
{
    struct st_manner m;
    struct st_pcm pcm = {0};
    double db;
    st_voice_manner(v, "", NULL, emotion, intensity, &m, &db);
    assert_int_equal(say(&m, SENTENCE, &pcm), 0);
    st_pcm_trim(&pcm);
    return pcm;
}

static double semitones(double a, double b)
{
    return 12 * log2(a / b);
}

static void test_characters_have_pitches_of_their_own(void **state)
{
    (void)state;
    static const struct st_role roles[] = {
        {ST_GENDER_MALE, ST_AGE_ADULT}, {ST_GENDER_FEMALE, ST_AGE_ADULT}, {ST_GENDER_MALE, ST_AGE_CHILD},
        {ST_GENDER_MALE, ST_AGE_ADULT}, {ST_GENDER_FEMALE, ST_AGE_ADULT}, {ST_GENDER_FEMALE, ST_AGE_CHILD},
        {ST_GENDER_MALE, ST_AGE_ELDER},
    };
    enum { N = ST_COUNT(roles) + 1 };
    struct st_voice voices[N];
    double pitch[N];
    st_voices_narrator("", &voices[0]);
    st_voices_cast("", &voices[0], roles, N - 1, voices + 1);
    for (size_t i = 0; i < N; i++) {
        struct st_pcm pcm = spoken_by(&voices[i], ST_EMOTION_NEUTRAL, 0);
        pitch[i] = pitch_of(&pcm);
        print_message("# voice %zu: %s, %.0f Hz\n", i, voices[i].name, pitch[i]);
        st_pcm_release(&pcm);
        for (size_t k = 0; k < i; k++)
            assert_true(fabs(semitones(pitch[i], pitch[k])) > 0.7);
    }
    assert_true(pitch[2] > 1.2 * pitch[1] && pitch[3] > 1.2 * pitch[2]); /* man, woman, boy */
    assert_true(pitch[6] > 1.2 * pitch[2]);                              /* girl */
}

static void assert_apart(const char *language, enum st_gender gender, enum st_age age, size_t count)
{
    struct st_role roles[32];
    struct st_voice voices[33];
    for (size_t i = 0; i < count; i++)
        roles[i] = (struct st_role){gender, age};
    st_voices_narrator(language, &voices[0]);
    st_voices_cast(language, &voices[0], roles, count, voices + 1);
    for (size_t i = 0; i <= count; i++)
        for (size_t k = 0; k < i; k++)
            assert_true(st_voices_distance(&voices[i], &voices[k]) >= ST_VOICES_APART);
}

static void test_many_voices_stay_apart(void **state)
{
    (void)state;
    assert_apart("", ST_GENDER_MALE, ST_AGE_ADULT, 18);
    assert_apart("", ST_GENDER_FEMALE, ST_AGE_ADULT, 18);
    assert_apart("", ST_GENDER_MALE, ST_AGE_CHILD, 6);
    assert_apart("", ST_GENDER_UNKNOWN, ST_AGE_ADULT, 28);
    assert_apart("de", ST_GENDER_MALE, ST_AGE_ADULT, 11);
    assert_apart("de", ST_GENDER_FEMALE, ST_AGE_CHILD, 8);
}

static void test_casting_is_stable(void **state)
{
    (void)state;
    enum { MANY = 1000 };
    struct st_role *roles = st_new_n(&arena, struct st_role, MANY);
    struct st_voice narrator;
    st_voices_narrator("", &narrator);
    struct st_voice *few = st_new_n(&arena, struct st_voice, MANY), *all = st_new_n(&arena, struct st_voice, MANY);
    for (size_t i = 0; i < MANY; i++)
        roles[i] = (struct st_role){(enum st_gender)(i % 3), (enum st_age)(i / 3 % 3)};
    st_voices_cast("", &narrator, roles, 10, few);
    st_voices_cast("", &narrator, roles, MANY, all);
    assert_memory_equal(few, all, 10 * sizeof(*few));
    /* who has a voice keeps it, whoever comes before; and the names find the same voices again */
    for (size_t i = 0; i < 10; i++)
        roles[20 + i].voice = few[i].id;
    roles[0].gender = ST_GENDER_FEMALE;
    st_voices_cast("", &narrator, roles, 40, all);
    for (size_t i = 0; i < 10; i++)
        assert_memory_equal(&few[i], &all[20 + i], sizeof(*few));
    for (size_t i = 0; i < 40; i++) {
        struct st_voice again;
        assert_true(st_voices_find("", all[i].id, &again));
        assert_memory_equal(&again, &all[i], sizeof(again));
        assert_true(st_voices_find("de", all[i].id, &again)); /* the same person in another language */
        assert_string_equal(again.id, all[i].id);
    }
    static const char *const nobody[] = {"",
                                         "man",
                                         "man-",
                                         "man-0",
                                         "man-9",
                                         "man-1.",
                                         "man-1.0",
                                         "man-1.99",
                                         "man-01",
                                         "man-1x",
                                         "elder-boy-1",
                                         "elder-",
                                         "MAN-1",
                                         "narrator-1",
                                         "man--1",
                                         "man-1.1.1",
                                         "man-99999999999999999999"};
    for (size_t i = 0; i < ST_COUNT(nobody); i++)
        if (st_voices_find("", nobody[i], &few[0]))
            fail_msg("%s", nobody[i]);
    assert_int_equal(st_gender_from("F"), ST_GENDER_FEMALE);
    assert_int_equal(st_gender_from("dragon"), ST_GENDER_UNKNOWN);
    assert_int_equal(st_gender_from(NULL), ST_GENDER_UNKNOWN);
    assert_int_equal(st_age_from("9"), ST_AGE_CHILD);
    assert_int_equal(st_age_from("old"), ST_AGE_ELDER);
    assert_int_equal(st_age_from("-5"), ST_AGE_ADULT);
}

static void test_emotions_are_heard(void **state)
{
    (void)state;
    static const enum st_emotion which[] = {ST_EMOTION_SADNESS, ST_EMOTION_NEUTRAL, ST_EMOTION_JOY, ST_EMOTION_FEAR};
    struct st_pcm pcm[ST_COUNT(which)];
    struct st_voice narrator;
    st_voices_narrator("", &narrator);
    for (size_t i = 0; i < ST_COUNT(which); i++)
        pcm[i] = spoken_by(&narrator, which[i], 1);
    for (size_t i = 1; i < ST_COUNT(which); i++) { /* sadness is slow and low, fear quick and high */
        assert_true((double)pcm[i].count < 0.97 * (double)pcm[i - 1].count);
        assert_true(pitch_of(&pcm[i]) > 1.03 * pitch_of(&pcm[i - 1]));
    }
    struct st_pcm none = spoken_by(&narrator, ST_EMOTION_FEAR, 0), wrong = spoken_by(&narrator, ST_EMOTION_FEAR, NAN);
    assert_int_equal(none.count, pcm[1].count);
    assert_memory_equal(none.samples, pcm[1].samples, none.count * sizeof(int16_t));
    assert_int_equal(wrong.count, none.count);
    for (size_t i = 0; i < ST_COUNT(which); i++)
        st_pcm_release(&pcm[i]);
    st_pcm_release(&none);
    st_pcm_release(&wrong);
}

/* --- sound ------------------------------------------------------------------------------------------------------- */

static struct st_pcm sine(uint32_t rate, double hz, double amplitude, double seconds)
{
    struct st_pcm pcm = {.count = (size_t)(rate * seconds), .rate = rate};
    pcm.samples = malloc(pcm.count * sizeof(int16_t));
    for (size_t i = 0; i < pcm.count; i++)
        pcm.samples[i] = (int16_t)lrint(32767 * amplitude * sin(2 * M_PI * hz * (double)i / rate));
    return pcm;
}

static void test_resampling(void **state)
{
    (void)state;
    static const uint32_t rates[] = {8000, 16000, 22050, 24000, 44100, 48000};
    for (size_t i = 0; i < ST_COUNT(rates); i++) {
        struct st_pcm pcm = sine(rates[i], 1000, 0.5, 0.5), ideal = sine(ST_PCM_RATE, 1000, 0.5, 0.5);
        double error = 0;
        assert_true(st_pcm_resample(&pcm));
        assert_int_equal(pcm.rate, ST_PCM_RATE);
        assert_in_range(pcm.count, ideal.count - 1, ideal.count);
        for (size_t k = 200; k < pcm.count - 200; k++)
            error = fmax(error, fabs((double)pcm.samples[k] - ideal.samples[k]));
        assert_true(error < 60); /* -49 dB of its amplitude */
        st_pcm_release(&pcm);
        st_pcm_release(&ideal);
    }
    struct st_pcm odd = {.rate = 7};
    assert_false(st_pcm_resample(&odd));
}

static void test_loudness(void **state)
{
    (void)state;
    struct st_pcm full = sine(24000, 997, 1, 2), empty = {.rate = 24000}, brief = sine(24000, 997, 1, 0.05);
    assert_true(fabs(st_pcm_loudness(&full) + 3.01) < 0.1); /* the calibration that BS.1770 gives */
    assert_true(fabs(st_pcm_loudness(&brief) + 3.01) < 0.5);
    assert_true(st_pcm_loudness(&empty) == -70);
    st_pcm_gain(&full, -20);
    assert_true(fabs(st_pcm_loudness(&full) + 23.01) < 0.1);
    st_pcm_gain(&full, 60); /* 40 dB above full scale: bent, not wrapped */
    for (size_t i = 0; i < full.count; i++)
        assert_in_range(full.samples[i] + 40000, 40000 - 29196, 40000 + 29196);
    st_pcm_release(&full);
    st_pcm_release(&brief);
}

static void test_voices_are_equally_loud(void **state)
{
    (void)state;
    struct st_voice v;
    enum st_age age;
    for (size_t n = 0; st_voices_nth("", n, &v, &age); n++) {
        struct st_pcm pcm = spoken_by(&v, ST_EMOTION_NEUTRAL, 0);
        assert_true(st_pcm_resample(&pcm));
        st_pcm_gain(&pcm, -20 - st_pcm_loudness(&pcm));
        double off = st_pcm_loudness(&pcm) + 20;
        if (fabs(off) > 0.5) /* two are then within 1 LU */
            fail_msg("%s: %.2f LU", v.id, off);
        st_pcm_release(&pcm);
    }
}

static void test_trimming(void **state)
{
    (void)state;
    struct st_pcm pcm = sine(16000, 200, 0.5, 1), quiet = sine(16000, 200, 0.002, 1);
    memset(pcm.samples, 0, 4000 * sizeof(int16_t));
    memset(pcm.samples + 12000, 0, 4000 * sizeof(int16_t));
    st_pcm_trim(&pcm);
    assert_in_range(pcm.count, 8000, 8000 + 2 * 240);
    st_pcm_trim(&quiet);
    assert_int_equal(quiet.count, 0);
    st_pcm_release(&pcm);
    st_pcm_release(&quiet);
}

/* --- narration --------------------------------------------------------------------------------------------------- */

struct watcher {
    size_t calls, done, total, cancel_at;
};

static void on_progress(void *ctx, size_t done, size_t total)
{
    struct watcher *w = ctx;
    assert_int_equal(done, w->done + 1);
    w->calls++;
    w->done = done;
    w->total = total;
}

static bool on_cancel(void *ctx)
{
    const struct watcher *w = ctx;
    return w->cancel_at && w->done >= w->cancel_at;
}

static struct st_voice cast[3];

static struct st_narrate_job job_of(struct st_narrate_segment *segments, size_t n, struct watcher *w)
{
    static const struct st_role roles[] = {{ST_GENDER_FEMALE, ST_AGE_ADULT}, {ST_GENDER_MALE, ST_AGE_ADULT}};
    st_voices_narrator("", &cast[0]);
    st_voices_cast("", &cast[0], roles, ST_COUNT(roles), cast + 1);
    unlink(in_dir("a.opus"));
    unlink(in_dir("a.mp3"));
    for (size_t i = 0; i < n; i++)
        segments[i].len = strlen(segments[i].text);
    return (struct st_narrate_job){.speech = speech,
                                   .language = "en",
                                   .voices = cast,
                                   .n_voices = ST_COUNT(cast),
                                   .segments = segments,
                                   .n_segments = n,
                                   .opus_path = in_dir("a.opus"),
                                   .mp3_path = in_dir("a.mp3"),
                                   .progress = on_progress,
                                   .cancelled = on_cancel,
                                   .ctx = w};
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static void assert_no_files(const struct st_narrate_job *job)
{
    assert_false(exists(job->opus_path) || exists(job->mp3_path));
    assert_false(exists(in_dir("a.opus.part")) || exists(in_dir("a.mp3.part")));
}

/* The length of the sound as a decoder finds it. */
static int64_t decoded_ms(const char *path)
{
    const char *argv[] = {"ffmpeg", "-v", "error", "-i", path, "-f", "s16le", "-ar", "8000", "-ac", "1", "-", NULL};
    struct st_spawn_result r;
    struct st_spawn s = {.argv = argv, .timeout_us = 20 * ST_SECOND, .max_out = 4 << 20};
    assert_int_equal(st_spawn(&arena, &s, &r), 0);
    assert_string_equal(r.err, "");
    return (int64_t)r.out_len / 16;
}

static void test_narration(void **state)
{
    (void)state;
    struct st_narrate_segment segments[] = {
        {.text = "The door opened slowly.", .paragraph_ends = true},
        {.text = "Who is there?", .voice = 1, .emotion = ST_EMOTION_FEAR, .intensity = 0.8},
        {.text = "…"},
        {.text = "Only me. I have brought bread.", .voice = 2, .emotion = ST_EMOTION_JOY, .intensity = 0.5},
        {.text = "😀"},
    };
    enum { N = ST_COUNT(segments) };
    struct watcher w = {0};
    struct st_narrate_job job = job_of(segments, N, &w);
    struct st_narrate_result first, again;
    job.cache_dir = in_dir("narrated");
    assert_int_equal(mkdir(job.cache_dir, 0700), 0);
    assert_int_equal(st_narrate_audio(&arena, &job, &first), 0);
    assert_int_equal(first.utterances, 4);
    assert_int_equal(first.from_cache, 0);
    assert_int_equal(w.calls, 4);
    assert_int_equal(w.total, 4);
    for (size_t i = 0; i < N; i++) {
        const struct st_narrate_time *t = &first.times[i];
        bool silent = i == 2 || i == 4;
        assert_int_equal(t->error, 0);
        assert_true(silent ? t->start_ms == t->end_ms : t->end_ms - t->start_ms > 400);
        assert_true(i == 0 || t->start_ms >= first.times[i - 1].end_ms + 200);
    }
    assert_true(first.times[1].start_ms - first.times[0].end_ms > 600); /* a paragraph's pause */
    assert_true(first.duration_ms >= first.times[N - 1].end_ms);
    assert_in_range(decoded_ms(job.opus_path), first.duration_ms - 2, first.duration_ms + 2);
    assert_in_range(decoded_ms(job.mp3_path), first.duration_ms - 2, first.duration_ms + 2);

    w = (struct watcher){0};
    segments[0].text = "The window opened slowly."; /* one changed sentence is one synthesis */
    segments[0].len = strlen(segments[0].text);
    job.parallel = 16;
    assert_int_equal(st_narrate_audio(&arena, &job, &again), 0);
    assert_int_equal(again.from_cache, 3);
    int64_t then = first.times[3].end_ms - first.times[3].start_ms;
    assert_in_range(again.times[3].end_ms - again.times[3].start_ms, then - 1, then + 1); /* rounded */
}

/* Of a stretch of a file, in LUFS, as ffmpeg measures it. */
static double loudness_of(const char *path, const struct st_narrate_time *t)
{
    const char *filter = st_printf(&arena, "atrim=start=%.3f:end=%.3f,aresample=48000,ebur128=framelog=verbose",
                                   (double)t->start_ms / 1000, (double)t->end_ms / 1000);
    const char *argv[] = {"ffmpeg", "-hide_banner", "-nostats", "-i", path, "-af", filter, "-f", "null", "-", NULL};
    struct st_spawn_result r;
    assert_int_equal(st_spawn(&arena, &(struct st_spawn){.argv = argv, .timeout_us = 60 * ST_SECOND}, &r), 0);
    const char *said = strstr(r.err, "Integrated loudness:");
    assert_non_null(said);
    said = strstr(said, "I:");
    assert_non_null(said);
    return strtod(said + 2, NULL);
}

static void test_voices_of_a_file_are_equally_loud(void **state)
{
    (void)state;
    struct st_narrate_segment segments[] = {
        {.text = "The old keeper carried the letter along the wall. Nobody had seen him for three days.", .voice = 0},
        {.text = "I thought that you would never come back. Give it to me before the others see it.", .voice = 1},
        {.text = "It was a long way, and the road is gone. There is nothing left of the bridge at all.", .voice = 2},
    };
    struct watcher w = {0};
    struct st_narrate_job job = job_of(segments, ST_COUNT(segments), &w);
    struct st_narrate_result r;
    assert_int_equal(st_narrate_audio(&arena, &job, &r), 0);
    const char *const files[] = {job.opus_path, job.mp3_path};
    for (size_t f = 0; f < ST_COUNT(files); f++) {
        double least = 0, most = -70;
        for (size_t i = 0; i < ST_COUNT(segments); i++) {
            double lufs = loudness_of(files[f], &r.times[i]);
            print_message("# %s: %.1f LUFS\n", cast[i].id, lufs);
            least = fmin(least, lufs);
            most = fmax(most, lufs);
        }
        assert_true(most - least <= 1 && most < -15 && least > -25);
    }
}

struct parts {
    int count;
    int64_t at, bytes;
};

static int on_part(void *ctx, int number, const char *opus_path, const char *mp3_path, int64_t start_ms, int64_t end_ms)
{
    struct parts *p = ctx;
    assert_int_equal(number, ++p->count);
    assert_int_equal(start_ms, p->at); /* one behind the other */
    assert_in_range(decoded_ms(opus_path), end_ms - start_ms - 2, end_ms - start_ms + 2);
    assert_in_range(decoded_ms(mp3_path), end_ms - start_ms - 2, end_ms - start_ms + 2);
    p->at = end_ms;
    return 0;
}

/* Beside a neutral voice, anger is loud and sadness soft. */
static void test_emotions_have_a_loudness(void **state)
{
    (void)state;
    static const enum st_emotion which[] = {ST_EMOTION_NEUTRAL, ST_EMOTION_ANGER, ST_EMOTION_SADNESS};
    static const double db[] = {0, 3, -2.5};
    struct st_narrate_segment segments[ST_COUNT(which)] = {{0}};
    struct watcher w = {0};
    struct st_narrate_result r;
    for (size_t i = 0; i < ST_COUNT(which); i++)
        segments[i] = (struct st_narrate_segment){.text = SENTENCE, .emotion = which[i], .intensity = 1};
    struct st_narrate_job job = job_of(segments, ST_COUNT(segments), &w);
    assert_int_equal(st_narrate_audio(&arena, &job, &r), 0);
    double neutral = loudness_of(job.opus_path, &r.times[0]);
    for (size_t i = 1; i < ST_COUNT(which); i++) {
        double heard = loudness_of(job.opus_path, &r.times[i]) - neutral;
        if (fabs(heard - db[i]) > 1)
            fail_msg("%s: %.1f dB", st_emotion_word(which[i]), heard);
    }
}

static void test_parts(void **state)
{
    (void)state;
    struct parts parts = {0};
    char *text = st_alloc(&arena, 2000);
    for (size_t i = 0; i < 20; i++)
        snprintf(text + strlen(text), 100, "Number %zu is a sentence of no importance, which is only here to be long. ",
                 i);
    struct st_narrate_segment segments[] = {
        {.text = "Chapter 1", .paragraph_ends = true, .heading = true},
        {.text = text, .paragraph_ends = true},
        {.text = "Chapter 2", .paragraph_ends = true, .heading = true},
        {.text = "The end."},
    };
    struct watcher w = {0};
    struct st_narrate_job job = job_of(segments, ST_COUNT(segments), &w);
    struct st_narrate_result r;
    job.progress = NULL;
    job.cancelled = NULL;
    job.part = on_part;
    job.ctx = &parts;
    assert_int_equal(st_narrate_audio(&arena, &job, &r), 0);
    assert_int_equal(parts.count, 2);
    assert_int_equal(parts.at, r.duration_ms);
    parts = (struct parts){0};
    job.segments = &segments[2];
    job.n_segments = 2; /* short: no parts */
    assert_int_equal(st_narrate_audio(&arena, &job, &r), 0);
    assert_int_equal(parts.count, 0);
}

static void test_narration_that_cannot_be(void **state)
{
    (void)state;
    struct st_narrate_segment segments[] = {{.text = "Hello there."}, {.text = "Good bye."}, {.text = "Once more."}};
    struct watcher w = {0};
    struct st_narrate_job job = job_of(segments, ST_COUNT(segments), &w), bad = job;
    struct st_narrate_result r;
    bad.language = "bo";
    assert_int_equal(st_narrate_audio(&arena, &bad, &r), ST_E_UNPROCESSABLE);
    assert_non_null(r.why);
    bad = job;
    bad.n_voices = 0;
    assert_int_equal(st_narrate_audio(&arena, &bad, &r), ST_E_INVALID);
    bad = job;
    bad.n_segments = 0;
    assert_int_equal(st_narrate_audio(&arena, &bad, &r), ST_E_UNPROCESSABLE);
    bad = job;
    bad.mp3_path = in_dir("none/a.mp3");
    assert_int_equal(st_narrate_audio(&arena, &bad, &r), ST_E_UNAVAILABLE);
    assert_no_files(&job);
    w.cancel_at = 1;
    assert_int_equal(st_narrate_audio(&arena, &job, &r), ST_E_CANCELLED);
    assert_no_files(&job);
    struct st_narrate_segment silent[] = {{.text = "\"\" … 😀"}, {.text = ""}};
    w = (struct watcher){0};
    job = job_of(silent, ST_COUNT(silent), &w);
    assert_int_equal(st_narrate_audio(&arena, &job, &r), ST_E_UNPROCESSABLE);
    struct st_narrate_segment kanji[] = {{.text = "日本語の話"}};
    job = job_of(kanji, 1, &w);
    job.language = "ja";
    assert_int_equal(st_narrate_audio(&arena, &job, &r), ST_E_UNPROCESSABLE);
    assert_no_files(&job);
}

/* A program that dies of the word "crash", talks nonsense of "babble", and else does what narration-speak does. */
static struct st_speech *fragile_speech(void)
{
    const char *path = in_dir("fragile");
    FILE *f = fopen(path, "w");
    fprintf(f,
            "#!/usr/bin/perl\n"
            "binmode STDIN; local $/; my $all = <STDIN>;\n"
            "kill 'SEGV', $$ if $all =~ /crash/;\n"
            "print 'nonsense' and exit if $all =~ /babble/;\n"
            "open my $p, '|-', '%s'; binmode $p; print $p $all; close $p;\n",
            program);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0700), 0);
    struct st_speech *fragile;
    assert_int_equal(st_speech_open(path, &fragile), 0);
    return fragile;
}

static void test_what_cannot_be_spoken_is_told(void **state)
{
    (void)state;
    struct st_narrate_segment segments[] = {{.text = "One."}, {.text = "Now crash."}, {.text = "Three."}};
    struct st_speech *fragile = fragile_speech();
    struct watcher w = {0};
    struct st_narrate_job job = job_of(segments, ST_COUNT(segments), &w);
    struct st_narrate_result r;
    job.speech = fragile;
    assert_int_equal(st_narrate_audio(&arena, &job, &r), ST_E_BAD_GATEWAY);
    assert_string_equal(r.why, "This cannot be spoken: “Now crash.”");
    assert_no_files(&job);
    segments[1].text = "You babble.";
    segments[1].len = strlen(segments[1].text);
    w = (struct watcher){0};
    assert_int_equal(st_narrate_audio(&arena, &job, &r), ST_E_BAD_GATEWAY);
    assert_string_equal(r.why, "This cannot be spoken: “You babble.”");
    assert_no_files(&job);
    segments[1].text = "Two.";
    segments[1].len = strlen(segments[1].text);
    w = (struct watcher){0};
    assert_int_equal(st_narrate_audio(&arena, &job, &r), 0);
    st_speech_close(fragile);
}

/* A program that says nothing to the word "mute", and to "cut" only half, but the third time. */
static void test_incomplete_sound_is_made_again(void **state)
{
    (void)state;
    const char *path = in_dir("hoarse");
    FILE *f = fopen(path, "w");
    fprintf(f,
            "#!/usr/bin/perl\n"
            "use IPC::Open2;\n"
            "binmode $_ for *STDIN, *STDOUT; local $/; my $all = <STDIN>;\n"
            "my $child = open2(my $out, my $in, '%s'); binmode $_ for $in, $out;\n"
            "print $in $all; close $in;\n"
            "my ($head, $sound) = unpack 'a16 a*', scalar <$out>;\n"
            "if ($all =~ /mute/) { $sound = \"\\0\" x length $sound }\n"
            "elsif ($all =~ /cut/ && (mkdir(\"$0.1\") || mkdir(\"$0.2\"))) {\n"
            "    $sound = substr $sound, 0, 400; substr($head, 12, 4) = pack 'L', 200;\n"
            "}\n"
            "print $head, $sound;\n",
            program);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0700), 0);
    struct st_speech *hoarse;
    assert_int_equal(st_speech_open(path, &hoarse), 0);
    struct st_narrate_segment segments[] = {{.text = "This was cut off twice."}, {.text = "And this is heard."}};
    struct watcher w = {0};
    struct st_narrate_job job = job_of(segments, ST_COUNT(segments), &w);
    struct st_narrate_result r;
    job.speech = hoarse;
    assert_int_equal(st_narrate_audio(&arena, &job, &r), 0);
    assert_int_equal(r.times[0].error, 0);
    assert_true(r.times[0].end_ms - r.times[0].start_ms > 800);
    segments[1].text = "This one stays mute.";
    w = (struct watcher){0};
    job = job_of(segments, ST_COUNT(segments), &w);
    job.speech = hoarse;
    assert_int_equal(st_narrate_audio(&arena, &job, &r), ST_E_BAD_GATEWAY);
    assert_string_equal(r.why, "This cannot be spoken: “This one stays mute.”");
    assert_no_files(&job);

    char nonsense[300]; /* quickly said, but always alike */
    for (size_t i = 0; i < sizeof(nonsense); i++)
        nonsense[i] = i % 2 ? ' ' : 'a';
    nonsense[sizeof(nonsense) - 1] = '\0';
    struct st_narrate_segment quick = {.text = nonsense};
    w = (struct watcher){0};
    job = job_of(&quick, 1, &w);
    st_voices_narrator("pt", &cast[0]);
    job.speech = hoarse;
    job.language = "pt";
    assert_int_equal(st_narrate_audio(&arena, &job, &r), 0);
    assert_int_equal(r.times[0].error, 0);
    st_speech_close(hoarse);
}

/* Another version of an engine speaks anew what the one before it has said. */
static void test_another_version_is_another_voice(void **state)
{
    (void)state;
    const char *path = in_dir("newer");
    FILE *f = fopen(path, "w");
    fprintf(f, "#!/bin/sh\n'%s' | LC_ALL=C sed 's/^\\(.*flite \\)[0-9]/\\19/'\n", program);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0700), 0);
    struct st_speech *newer;
    assert_int_equal(st_speech_open(path, &newer), 0);
    assert_true(strstr(st_speech_engines(speech), "flite 2") && strstr(st_speech_engines(speech), "espeak-ng 1"));
    assert_non_null(strstr(st_speech_engines(newer), "flite 9"));
    struct st_narrate_segment segment = {.text = "This was said before."};
    for (size_t i = 0; i < 3; i++) {
        struct watcher w = {0};
        struct st_narrate_job job = job_of(&segment, 1, &w);
        struct st_narrate_result r;
        job.cache_dir = in_dir("versions");
        job.speech = i < 2 ? speech : newer;
        assert_true(i || mkdir(job.cache_dir, 0700) == 0);
        assert_int_equal(st_narrate_audio(&arena, &job, &r), 0);
        assert_int_equal(r.from_cache, i == 1);
        assert_int_equal(r.spoken, i != 1);
        assert_int_equal(r.spoken_characters, i == 1 ? 0 : segment.len);
    }
    st_speech_close(newer);
}

/* --- voices of providers ----------------------------------------------------------------------------------------- */

enum { TONE_HZ = 10000 };
struct provider {
    atomic_int calls;
    const char *address;
};

static int say_tone(void *ctx, const struct st_manner *m, const struct st_narrate_line *line, const atomic_bool *stop,
                    struct st_pcm *ret_pcm, char ret_why[ST_NARRATE_WHY_LEN])
{
    struct provider *p = ctx;
    (void)m, (void)stop, (void)ret_why;
    atomic_fetch_add(&p->calls, 1);
    st_sleep_ms(100);
    *ret_pcm = sine(24000, TONE_HZ, 0.3, 0.06 * (double)line->len);
    return 0;
}

static const char *model_of(void *ctx, const char *voice)
{
    (void)ctx, (void)voice;
    return "m";
}

static const char *address_of(void *ctx, const char *voice)
{
    (void)voice;
    return ((const struct provider *)ctx)->address;
}

struct teller {
    pthread_t thread;
    struct st_arena arena;
    struct st_narrate_job job;
    struct st_narrate_result result;
    int r;
};

static void *tell(void *arg)
{
    struct teller *t = arg;
    t->r = st_narrate_audio(&t->arena, &t->job, &t->result);
    return NULL;
}

/* All at once tell the same. */
static void tell_all(struct teller *tellers, size_t n, struct st_narrate_segment *segments, size_t n_segments,
                     const struct st_narrate_remote *remote, const char *cache)
{
    struct watcher w = {0};
    assert_true(st_voices_find("", "openai:nova", &cast[1]));
    for (size_t i = 0; i < n; i++) {
        struct st_narrate_job job = job_of(segments, n_segments, &w);
        assert_true(st_voices_find("", "openai:nova", &cast[0]));
        job.opus_path = st_printf(&arena, "%s/%zu.opus", dir, i);
        job.mp3_path = st_printf(&arena, "%s/%zu.mp3", dir, i);
        job.cache_dir = cache;
        job.remote = remote;
        job.progress = NULL;
        job.cancelled = NULL;
        tellers[i] = (struct teller){.job = job};
        assert_int_equal(pthread_create(&tellers[i].thread, NULL, tell, &tellers[i]), 0);
    }
    for (size_t i = 0; i < n; i++) {
        pthread_join(tellers[i].thread, NULL);
        assert_int_equal(tellers[i].r, 0);
        st_arena_release(&tellers[i].arena);
    }
}

static void test_the_same_is_paid_once(void **state)
{
    (void)state;
    struct st_narrate_segment segments[] = {{.text = "The wind rose. The sea was dark.", .paragraph_ends = true},
                                            {.text = "Nobody came."}};
    struct teller tellers[4];
    struct provider p = {.address = "https://one.example"};
    const struct st_narrate_remote remote = {say_tone, model_of, address_of, &p};
    const char *cache = in_dir("flights");
    size_t spoken = 0;
    assert_int_equal(mkdir(cache, 0700), 0);
    tell_all(tellers, ST_COUNT(tellers), segments, ST_COUNT(segments), &remote, cache);
    assert_int_equal(atomic_load(&p.calls), ST_COUNT(segments));
    for (size_t i = 0; i < ST_COUNT(tellers); i++)
        spoken += tellers[i].result.spoken;
    assert_int_equal(spoken, ST_COUNT(segments));
    tell_all(tellers, 1, segments, ST_COUNT(segments), &remote, cache);
    assert_int_equal(atomic_load(&p.calls), ST_COUNT(segments));
    p.address = "https://two.example"; /* somebody else speaks there */
    tell_all(tellers, 1, segments, ST_COUNT(segments), &remote, cache);
    assert_int_equal(atomic_load(&p.calls), 2 * ST_COUNT(segments));
}

/* How loud a file is above 9 kHz, in dB of full scale. */
static double treble_of(const char *path)
{
    const char *argv[] = {
        "ffmpeg", "-hide_banner", "-nostats", "-i", path, "-af", "highpass=f=9000,highpass=f=9000,volumedetect",
        "-f",     "null",         "-",        NULL};
    struct st_spawn_result r;
    assert_int_equal(st_spawn(&arena, &(struct st_spawn){.argv = argv, .timeout_us = 60 * ST_SECOND}, &r), 0);
    const char *said = strstr(r.err, "mean_volume:");
    assert_non_null(said);
    return strtod(said + strlen("mean_volume:"), NULL);
}

/* Beside a piece that needs less of it, in one file. */
static void test_opus_has_what_a_voice_has(void **state)
{
    (void)state;
    struct st_narrate_segment segments[] = {{.text = "This is read aloud here.", .voice = 2, .paragraph_ends = true},
                                            {.text = "And this is heard from far away, above all telephones."}};
    struct teller teller;
    struct provider p = {.address = ""};
    const struct st_narrate_remote remote = {say_tone, model_of, address_of, &p};
    tell_all(&teller, 1, segments, ST_COUNT(segments), &remote, NULL);
    const char *whole = teller.job.opus_path;
    assert_true(treble_of(whole) > -35);
    assert_in_range(decoded_ms(whole), teller.result.duration_ms - 2, teller.result.duration_ms + 2);
}

/* Between sentences, paragraphs, and around the title of a chapter; a piece ends at a multiple of 120 ms. */
static void test_pauses(void **state)
{
    (void)state;
    struct st_narrate_segment segments[] = {
        {.text = "He went home.", .paragraph_ends = true},
        {.text = "Chapter Two", .heading = true, .paragraph_ends = true},
        {.text = "Nobody was there."},
    };
    struct watcher w = {0};
    struct st_narrate_job job = job_of(segments, ST_COUNT(segments), &w);
    struct st_narrate_result r, one, two;
    assert_int_equal(st_narrate_audio(&arena, &job, &r), 0);
    assert_in_range(r.times[1].start_ms - r.times[0].end_ms, 1790, 1930);
    assert_in_range(r.times[2].start_ms - r.times[1].end_ms, 990, 1130);
    segments[1].heading = false;
    w = (struct watcher){0};
    job = job_of(segments, ST_COUNT(segments), &w);
    assert_int_equal(st_narrate_audio(&arena, &job, &r), 0);
    assert_in_range(r.times[1].start_ms - r.times[0].end_ms, 690, 830);

    struct st_narrate_segment apart[] = {{.text = "He went home."}, {.text = "He went home."}}, same = {0};
    same.text = "He went home. He went home."; /* the same two sounds, and what is between them */
    w = (struct watcher){0};
    job = job_of(apart, ST_COUNT(apart), &w);
    assert_int_equal(st_narrate_audio(&arena, &job, &one), 0);
    w = (struct watcher){0};
    job = job_of(&same, 1, &w);
    assert_int_equal(st_narrate_audio(&arena, &job, &two), 0);
    int64_t sounds = one.times[0].end_ms - one.times[0].start_ms + one.times[1].end_ms - one.times[1].start_ms;
    assert_in_range(two.times[0].end_ms - two.times[0].start_ms - sounds, 250, 400);
}

static void test_a_hanging_engine_is_ended(void **state)
{
    (void)state;
    char said[32] = "";
    for (int i = 0; i < 900 && !exists(in_dir("hung")); i++)
        st_sleep_ms(100);
    FILE *f = fopen(in_dir("hung"), "r");
    assert_true(f && fgets(said, sizeof(said), f));
    fclose(f);
    char *end;
    assert_int_equal(strtol(said, &end, 10), ST_E_TIMEOUT);
    assert_in_range(strtol(end, NULL, 10), SPEAK_CPU_SECONDS, SPEAK_CPU_SECONDS + 30);
}

static void test_a_missing_program_is_told(void **state)
{
    (void)state;
    struct st_speech *none;
    assert_int_equal(st_speech_open("/nowhere/narration-speak", &none), ST_E_UNAVAILABLE);
    assert_int_equal(st_speech_open("/bin/true", &none), ST_E_UNAVAILABLE);
}

static void test_stopping_is_quick(void **state)
{
    (void)state;
    atomic_bool stopped = true;
    struct st_manner m = manner(SPEAK_FLITE, "slt", "");
    struct st_pcm pcm = {0};
    const char *text = st_printf(&arena, "%s %s %s %s %s", SENTENCE, SENTENCE, SENTENCE, SENTENCE, SENTENCE);
    int r = st_speech_say(speech, &m, text, strlen(text), &stopped, &pcm);
    assert_true(r == ST_E_CANCELLED || r == 0); /* it may have been quicker */
    st_pcm_release(&pcm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_text_becomes_speakable, release),
        cmocka_unit_test_teardown(test_unreadable_script_is_counted, release),
        cmocka_unit_test_teardown(test_bad_text_is_refused, release),
        cmocka_unit_test_teardown(test_long_text_is_cut, release),
        cmocka_unit_test_teardown(test_languages, release),
        cmocka_unit_test_teardown(test_other_languages_sound, release),
        cmocka_unit_test_teardown(test_bad_requests, release),
        cmocka_unit_test_teardown(test_hostile_text_does_no_harm, release),
        cmocka_unit_test_teardown(test_characters_have_pitches_of_their_own, release),
        cmocka_unit_test_teardown(test_many_voices_stay_apart, release),
        cmocka_unit_test_teardown(test_casting_is_stable, release),
        cmocka_unit_test_teardown(test_emotions_are_heard, release),
        cmocka_unit_test_teardown(test_resampling, release),
        cmocka_unit_test_teardown(test_loudness, release),
        cmocka_unit_test_teardown(test_voices_are_equally_loud, release),
        cmocka_unit_test_teardown(test_voices_of_a_file_are_equally_loud, release),
        cmocka_unit_test_teardown(test_emotions_have_a_loudness, release),
        cmocka_unit_test_teardown(test_parts, release),
        cmocka_unit_test_teardown(test_incomplete_sound_is_made_again, release),
        cmocka_unit_test_teardown(test_trimming, release),
        cmocka_unit_test_teardown(test_narration, release),
        cmocka_unit_test_teardown(test_narration_that_cannot_be, release),
        cmocka_unit_test_teardown(test_what_cannot_be_spoken_is_told, release),
        cmocka_unit_test_teardown(test_another_version_is_another_voice, release),
        cmocka_unit_test_teardown(test_the_same_is_paid_once, release),
        cmocka_unit_test_teardown(test_opus_has_what_a_voice_has, release),
        cmocka_unit_test_teardown(test_pauses, release),
        cmocka_unit_test_teardown(test_a_missing_program_is_told, release),
        cmocka_unit_test_teardown(test_stopping_is_quick, release),
        cmocka_unit_test_teardown(test_a_hanging_engine_is_ended, release),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, start, stop);
}
