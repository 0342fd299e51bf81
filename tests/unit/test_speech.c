/* The speech engine: text made speakable, voices told apart by their measured pitch, and failures. */
#include "../lib/speech.h"

#include "narration/speech_text.h"
#include "narration/voices.h"

static const char SENTENCE[] = "The old keeper carried the letter along the wall.";

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

/* A provider gets sentences together, as many as an utterance takes, in whatever script. */
static void test_a_provider_gets_it_whole(void **state)
{
    (void)state;
    assert_string_equal(planned(ST_TEXT_WHOLE, "He said: “Привет!” Then… nothing. 你好。 Nobody came."),
                        "[He said: Привет! Then, nothing. 你好。 Nobody came.]");
    struct st_utterances u;
    struct st_buf text = ST_BUF(1 << 16);
    size_t all = 0;
    for (int i = 0; i < 100; i++)
        st_buf_printf(&text, "%s%s", i ? " " : "", SENTENCE);
    assert_int_equal(st_text_plan(&arena, text.data, text.len, ST_TEXT_WHOLE, &u), 0);
    assert_int_equal(u.count, (text.len + SPEAK_TEXT_MAX - 1) / SPEAK_TEXT_MAX);
    for (size_t i = 0; i < u.count; i++) {
        assert_true(u.items[i].len <= SPEAK_TEXT_MAX && u.items[i].after == ST_BREAK_SENTENCE);
        assert_int_equal(strncmp(u.items[i].text, SENTENCE, strlen(SENTENCE)), 0);
        all += u.items[i].len + 1;
    }
    assert_int_equal(all, text.len + 1);
    st_buf_release(&text);
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

static void test_a_hanging_engine_is_ended(void **state)
{
    (void)state;
    static const struct st_manner m = {
        .engine = SPEAK_FLITE, .name = "slt", .pitch = 1000, .range = 1000, .rate = 1000};
    const char *path = in_dir("hangs");
    struct st_speech *engine;
    struct st_pcm pcm;
    FILE *f = fopen(path, "w");
    fprintf(f, "#!/bin/sh\nmkdir \"$0.once\" 2>/dev/null && exec '%s'\nexec sleep 300\n", program);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0700), 0);
    assert_int_equal(st_speech_open(path, 2, &engine), 0);
    int64_t began = st_mono();
    assert_int_equal(st_speech_say(engine, &m, "Hello.", 6, NULL, &pcm), ST_E_TIMEOUT);
    assert_in_range(st_mono() - began, 2 * ST_SECOND, 20 * ST_SECOND);
    st_speech_close(engine);
}

static void test_a_missing_program_is_told(void **state)
{
    (void)state;
    struct st_speech *none;
    assert_int_equal(st_speech_open("/nowhere/narration-speak", ST_SPEECH_TIMEOUT_S, &none), ST_E_UNAVAILABLE);
    assert_int_equal(st_speech_open("/bin/true", ST_SPEECH_TIMEOUT_S, &none), ST_E_UNAVAILABLE);
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
        cmocka_unit_test_teardown(test_text_becomes_speakable, speech_release),
        cmocka_unit_test_teardown(test_unreadable_script_is_counted, speech_release),
        cmocka_unit_test_teardown(test_bad_text_is_refused, speech_release),
        cmocka_unit_test_teardown(test_long_text_is_cut, speech_release),
        cmocka_unit_test_teardown(test_a_provider_gets_it_whole, speech_release),
        cmocka_unit_test_teardown(test_languages, speech_release),
        cmocka_unit_test_teardown(test_other_languages_sound, speech_release),
        cmocka_unit_test_teardown(test_bad_requests, speech_release),
        cmocka_unit_test_teardown(test_hostile_text_does_no_harm, speech_release),
        cmocka_unit_test_teardown(test_characters_have_pitches_of_their_own, speech_release),
        cmocka_unit_test_teardown(test_many_voices_stay_apart, speech_release),
        cmocka_unit_test_teardown(test_casting_is_stable, speech_release),
        cmocka_unit_test_teardown(test_emotions_are_heard, speech_release),
        cmocka_unit_test_teardown(test_resampling, speech_release),
        cmocka_unit_test_teardown(test_loudness, speech_release),
        cmocka_unit_test_teardown(test_voices_are_equally_loud, speech_release),
        cmocka_unit_test_teardown(test_trimming, speech_release),
        cmocka_unit_test_teardown(test_a_missing_program_is_told, speech_release),
        cmocka_unit_test_teardown(test_stopping_is_quick, speech_release),
        cmocka_unit_test_teardown(test_a_hanging_engine_is_ended, speech_release),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, speech_start, speech_stop);
}
