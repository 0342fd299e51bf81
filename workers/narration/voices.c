/* Gives every character a voice of their own, and every emotion its manner. */
#include "narration/voices.h"

#include <math.h>
#include <strings.h>

/*
 * English voices, measured with a recogniser (share of 370 words found; the voice as it comes, then as it is here).
 * rms 89 → 89, slt 80 → 87..90, awb 81, kal16 81..84. A vocal tract below -80 for rms, below 0 for slt, or away from 0
 * for awb costs more than ten points and is not used.
 */
struct part {
    const char *name;
    int32_t pitch, range, rate, tract;
};

static const struct part english_narrator = {"rms", 1000, 1100, 1000, -20};

static const struct part english_men[] = {
    {"awb", 920, 1100, 1000, 0},    {"slt", 650, 1200, 1000, 110},  {"rms", 1450, 1100, 1000, -60},
    {"kal16", 1150, 1300, 1000, 0}, {"slt", 830, 1000, 1000, 90},   {"awb", 1170, 1200, 1000, -10},
    {"rms", 780, 1200, 1000, 0},    {"kal16", 1500, 1200, 1000, 0},
};
static const struct part english_women[] = {
    {"slt", 1000, 1100, 1000, 40}, {"rms", 1850, 1000, 1000, -80}, {"slt", 1300, 1100, 1000, 25},
    {"slt", 850, 1100, 1000, 65},  {"slt", 1130, 1200, 1000, 10},
};
static const struct part english_boys[] = {
    {"rms", 2300, 1100, 1050, -85},
    {"slt", 1450, 1200, 1050, 40},
    {"rms", 2800, 1100, 1050, -75},
};
static const struct part english_girls[] = {
    {"slt", 1600, 1200, 1050, 15},
    {"rms", 2550, 1100, 1050, -95},
    {"slt", 1850, 1100, 1050, 30},
};

/* espeak-ng's variants change the timbre; the narrator keeps the language's plain voice. */
static const struct part other_narrator = {"", 1000, 1000, 1000, 0};
static const struct part other_men[] = {
    {"m3", 1000, 1000, 1000, 0}, {"m7", 900, 1000, 1000, 0},  {"m1", 1150, 1000, 1000, 0}, {"m2", 850, 1000, 1000, 0},
    {"m4", 1100, 1000, 1000, 0}, {"m5", 1250, 1000, 1000, 0}, {"m6", 800, 1000, 1000, 0},
};
static const struct part other_women[] = {
    {"f2", 1000, 1000, 1000, 0}, {"f4", 1150, 1000, 1000, 0}, {"f3", 900, 1000, 1000, 0},
    {"f5", 1050, 1000, 1000, 0}, {"f1", 1200, 1000, 1000, 0},
};
static const struct part other_boys[] = {
    {"m4", 1750, 1200, 1050, 0},
    {"f5", 1400, 1200, 1050, 0},
    {"m7", 1900, 1200, 1050, 0},
};
static const struct part other_girls[] = {
    {"f2", 1550, 1200, 1050, 0},
    {"f4", 1750, 1200, 1050, 0},
    {"f3", 1400, 1200, 1050, 0},
};

struct cast_list {
    const struct part *parts;
    size_t count;
};
enum group { MEN, WOMEN, BOYS, GIRLS, GROUPS };
static const struct cast_list english[GROUPS] = {
    [MEN] = {english_men, ST_COUNT(english_men)},
    [WOMEN] = {english_women, ST_COUNT(english_women)},
    [BOYS] = {english_boys, ST_COUNT(english_boys)},
    [GIRLS] = {english_girls, ST_COUNT(english_girls)},
};
static const struct cast_list other[GROUPS] = {
    [MEN] = {other_men, ST_COUNT(other_men)},
    [WOMEN] = {other_women, ST_COUNT(other_women)},
    [BOYS] = {other_boys, ST_COUNT(other_boys)},
    [GIRLS] = {other_girls, ST_COUNT(other_girls)},
};

/* When a list is used up it comes round again, changed by these: pitch in semitones, tract in thousandths. */
static const struct {
    double semitones;
    int32_t tract;
} rounds[] = {{0, 0}, {2.6, -8}, {-2.6, 8}, {4.8, -4}, {-4.4, 12}, {1.3, 15}};

struct word {
    const char *text;
    int value;
};

static int find_word(const struct word *words, size_t count, const char *s, int otherwise)
{
    for (size_t i = 0; s && i < count; i++)
        if (strcasecmp(words[i].text, s) == 0)
            return words[i].value;
    return otherwise;
}

enum st_gender st_gender_from(const char *s)
{
    static const struct word words[] = {
        {"male", ST_GENDER_MALE},       {"m", ST_GENDER_MALE},         {"man", ST_GENDER_MALE},
        {"boy", ST_GENDER_MALE},        {"masculine", ST_GENDER_MALE}, {"female", ST_GENDER_FEMALE},
        {"f", ST_GENDER_FEMALE},        {"woman", ST_GENDER_FEMALE},   {"girl", ST_GENDER_FEMALE},
        {"feminine", ST_GENDER_FEMALE},
    };
    return (enum st_gender)find_word(words, ST_COUNT(words), s, ST_GENDER_UNKNOWN);
}

enum st_age st_age_from(const char *s)
{
    static const struct word words[] = {
        {"child", ST_AGE_CHILD}, {"kid", ST_AGE_CHILD},     {"boy", ST_AGE_CHILD},
        {"girl", ST_AGE_CHILD},  {"baby", ST_AGE_CHILD},    {"elder", ST_AGE_ELDER},
        {"old", ST_AGE_ELDER},   {"elderly", ST_AGE_ELDER}, {"senior", ST_AGE_ELDER},
    };
    int64_t years;
    if (s && st_parse_i64(s, 0, 1000, &years))
        return years < 14 ? ST_AGE_CHILD : years >= 65 ? ST_AGE_ELDER : ST_AGE_ADULT;
    return (enum st_age)find_word(words, ST_COUNT(words), s, ST_AGE_ADULT);
}

static enum speak_engine engine_of(const char *language)
{
    return *language ? SPEAK_ESPEAK : SPEAK_FLITE;
}

static int32_t clamp(double n, int32_t min, int32_t max)
{
    return n < min ? min : n > max ? max : (int32_t)lrint(n);
}

static void voice_from(const struct part *p, const char *language, enum st_gender gender, struct st_voice *ret)
{
    *ret = (struct st_voice){
        .engine = engine_of(language),
        .gender = gender,
        .pitch = p->pitch,
        .range = p->range,
        .rate = p->rate,
        .tract = p->tract,
    };
    snprintf(ret->name, sizeof(ret->name), "%s", p->name);
}

void st_voices_narrator(const char *language, struct st_voice *ret_voice)
{
    voice_from(*language ? &other_narrator : &english_narrator, language, ST_GENDER_MALE, ret_voice);
}

/* An old voice is the adult's, slower and with more movement in it. */
static void grow_old(struct st_voice *v)
{
    v->rate = v->rate * 88 / 100;
    v->pitch = v->pitch * 93 / 100;
    v->range = v->range * 115 / 100;
}

void st_voices_cast(const char *language, const struct st_role *roles, size_t count, struct st_voice *ret_voices)
{
    const struct cast_list *lists = *language ? other : english;
    size_t used[GROUPS] = {0};
    for (size_t i = 0; i < count; i++) {
        const struct st_role *role = &roles[i];
        int young = role->age == ST_AGE_CHILD ? BOYS - MEN : 0;
        bool female = role->gender == ST_GENDER_FEMALE ||
                      (role->gender == ST_GENDER_UNKNOWN && used[WOMEN + young] < used[MEN + young]);
        const struct cast_list *list = &lists[(female ? WOMEN : MEN) + young];
        size_t n = used[(female ? WOMEN : MEN) + young]++, round = n / list->count % ST_COUNT(rounds);
        struct st_voice *v = &ret_voices[i];
        voice_from(&list->parts[n % list->count], language, female ? ST_GENDER_FEMALE : ST_GENDER_MALE, v);
        v->pitch = clamp(v->pitch * exp2(rounds[round].semitones / 12), 450, 2900);
        if (v->engine == SPEAK_FLITE)
            v->tract += rounds[round].tract;
        if (role->age == ST_AGE_ELDER)
            grow_old(v);
    }
}

/* At full intensity: factors in thousandths, and dB. */
static const struct {
    const char *name;
    int32_t rate, pitch, range;
    double db;
} emotions[] = {
    [ST_EMOTION_NEUTRAL] = {"neutral", 1000, 1000, 1000, 0},
    [ST_EMOTION_JOY] = {"joy", 1090, 1130, 1500, 1},
    [ST_EMOTION_SADNESS] = {"sadness", 860, 910, 650, -2.5},
    [ST_EMOTION_ANGER] = {"anger", 1070, 1080, 1600, 3},
    [ST_EMOTION_FEAR] = {"fear", 1140, 1190, 1250, -1},
    [ST_EMOTION_SURPRISE] = {"surprise", 1040, 1200, 1700, 1.5},
    [ST_EMOTION_DISGUST] = {"disgust", 910, 930, 1200, 0},
    [ST_EMOTION_TRUST] = {"trust", 960, 970, 900, -0.5},
    [ST_EMOTION_ANTICIPATION] = {"anticipation", 1060, 1060, 1250, 0.5},
};

enum st_emotion st_emotion_from(const char *s)
{
    for (size_t i = 0; s && i < ST_COUNT(emotions); i++)
        if (st_streq(emotions[i].name, s))
            return (enum st_emotion)i;
    return ST_EMOTION_NEUTRAL;
}

static double towards(int32_t factor, double intensity)
{
    return 1 + (factor / 1000.0 - 1) * intensity;
}

void st_voice_manner(const struct st_voice *voice, const char *language, const char *foreign, enum st_emotion emotion,
                     double intensity, struct st_manner *ret_manner, double *ret_db)
{
    double i = intensity > 1 ? 1 : intensity > 0 ? intensity : 0; /* NaN is 0 */
    struct st_manner m = {
        .engine = foreign ? SPEAK_ESPEAK : voice->engine,
        .pitch = clamp(voice->pitch * towards(emotions[emotion].pitch, i), 400, 3000),
        .range = clamp(voice->range * towards(emotions[emotion].range, i), 0, 3000),
        .rate = clamp(voice->rate * towards(emotions[emotion].rate, i), 500, 2000),
        .tract = clamp(voice->tract, -150, 150),
    };
    bool borrowed = m.engine != voice->engine; /* another engine: only the gender and the manner carry over */
    snprintf(m.name, sizeof(m.name), "%s", !borrowed ? voice->name : voice->gender == ST_GENDER_FEMALE ? "f2" : "m3");
    if (borrowed) {
        m.pitch = clamp(1000 * towards(emotions[emotion].pitch, i), 400, 3000);
        m.tract = 0;
    }
    if (m.engine == SPEAK_ESPEAK)
        snprintf(m.language, sizeof(m.language), "%s", foreign ? foreign : language);
    *ret_manner = m;
    *ret_db = emotions[emotion].db * i;
}
