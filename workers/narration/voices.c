/* Gives every character a voice of their own, and every emotion its manner. */
#include "narration/voices.h"

#include <math.h>
#include <strings.h>

enum { CAST_MAX = 200, REMOTE_APART = 100 }; /* of so many characters before, each new one is kept apart */

/*
 * Of 100 words that a voice of the lists below tells alone, a recogniser hears 74 to 90 (make bench-speech): 80 and
 * more of those made of rms and slt, 74 of awb's, 77 of kal16 as it is here, and 66 to 76 of it otherwise. It
 * drops by ten and more beyond these lengths of the vocal tract: rms below -100, slt below 0, awb away from 0.
 */
struct part {
    const char *name;
    int32_t pitch, range, rate, tract;
};

static const struct part english_narrator = {"rms", 1000, 1100, 1000, -20};

static const struct part english_men[] = {
    {"awb", 920, 1100, 1000, 0},    {"rms", 780, 1200, 1000, 0},    {"slt", 830, 1000, 1000, 90},
    {"rms", 1300, 1100, 1000, -40}, {"rms", 1650, 1100, 1000, -60}, {"slt", 650, 1200, 1000, 110},
    {"awb", 1100, 1200, 1000, -10}, {"kal16", 880, 1000, 950, 0},
};
static const struct part english_women[] = {
    {"slt", 1000, 1100, 1000, 40}, {"rms", 2050, 1000, 1000, -90}, {"slt", 1300, 1100, 1000, 25},
    {"slt", 880, 1100, 1000, 20},  {"rms", 1800, 1100, 1000, -85}, {"slt", 1140, 1200, 1000, 10},
};
static const struct part english_boys[] = {
    {"rms", 2400, 1100, 1050, -70},
    {"slt", 1450, 1200, 1050, 45},
    {"rms", 2850, 1100, 1050, -75},
};
static const struct part english_girls[] = {
    {"slt", 1600, 1200, 1050, 15},
    {"rms", 2600, 1100, 1050, -95},
    {"slt", 1850, 1100, 1050, 30},
};

/* espeak-ng's variants change the timbre; the narrator keeps the language's plain voice. */
static const struct part other_narrator = {"", 1000, 1000, 1000, 0};
static const struct part other_men[] = {
    {"m3", 1250, 1000, 1000, 0}, {"m7", 850, 1000, 1000, 0},  {"m1", 1400, 1000, 1000, 0}, {"m2", 800, 1000, 1000, 0},
    {"m4", 1200, 1000, 1000, 0}, {"m5", 1500, 1000, 1000, 0}, {"m6", 1100, 1000, 1000, 0},
};
static const struct part other_women[] = {
    {"f2", 1000, 1000, 1000, 0}, {"f4", 1300, 1000, 1000, 0}, {"f3", 850, 1000, 1000, 0},
    {"f5", 1150, 1000, 1000, 0}, {"f1", 900, 1000, 1000, 0},
};
static const struct part other_boys[] = {
    {"f5", 1250, 1200, 1050, 0},
    {"f3", 1400, 1200, 1050, 0},
    {"f1", 1500, 1200, 1050, 0},
};
static const struct part other_girls[] = {
    {"f2", 1550, 1200, 1050, 0},
    {"f4", 1680, 1200, 1050, 0},
    {"f3", 1600, 1200, 1050, 0},
};

struct cast_list {
    const struct part *parts;
    size_t count;
};
enum group { MEN, WOMEN, BOYS, GIRLS, GROUPS };
static const char *const group_names[GROUPS] = {[MEN] = "man", [WOMEN] = "woman", [BOYS] = "boy", [GIRLS] = "girl"};
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

/* The pitch in Hz of each voice as it comes; espeak-ng's variants go by their first letter. */
static const struct {
    const char *name;
    double hz;
} bases[] = {{"rms", 98}, {"slt", 172}, {"awb", 132}, {"kal16", 94}, {"m", 100}, {"f", 190}, {"", 100}};

/* When a list as it stands has nobody left who sounds different enough, it is tried again with these changes. */
static const struct {
    double semitones;
    int32_t tract;
} changes[] = {{0, 0}, {2.5, 0}, {-2.5, 0}, {1.2, 12}, {-1.2, -12}, {4, 0}, {-4, 0}, {1.2, -12}, {-1.2, 12}, {5.5, 0}};

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

/* An old voice is the adult's, slower and with more movement in it. */
static void grow_old(struct st_voice *v)
{
    v->rate = v->rate * 88 / 100;
    v->pitch = v->pitch * 93 / 100;
    v->range = v->range * 115 / 100;
}

static double base_hz(const char *name)
{
    for (size_t i = 0; i < ST_COUNT(bases); i++)
        if (st_streq(bases[i].name, name) || (bases[i].name[0] && !bases[i].name[1] && *name == bases[i].name[0]))
            return bases[i].hz;
    return 100;
}

double st_voices_distance(const struct st_voice *a, const struct st_voice *b)
{
    if (a->engine == SPEAK_REMOTE || b->engine == SPEAK_REMOTE)
        return st_streq(a->id, b->id) ? 0 : REMOTE_APART;
    const double other_timbre = 1, tract_of_a_semitone = 10;
    double pitch = 12 * fabs(log2(base_hz(a->name) * a->pitch / (base_hz(b->name) * b->pitch)));
    return pitch + (st_streq(a->name, b->name) ? abs(a->tract - b->tract) / tract_of_a_semitone : other_timbre);
}

static void change(struct st_voice *v, size_t which, enum st_age age)
{
    v->pitch = clamp(v->pitch * exp2(changes[which].semitones / 12), 450, 2900);
    if (v->engine == SPEAK_FLITE)
        v->tract += changes[which].tract;
    if (age == ST_AGE_ELDER)
        grow_old(v);
}

/* A voice and its name. */
static void make(const char *language, enum group group, size_t index, size_t which, bool elder, struct st_voice *ret)
{
    const struct cast_list *list = &(*language ? other : english)[group];
    voice_from(&list->parts[index % list->count], language,
               group == WOMEN || group == GIRLS ? ST_GENDER_FEMALE : ST_GENDER_MALE, ret);
    change(ret, which, elder ? ST_AGE_ELDER : ST_AGE_ADULT);
    int n = snprintf(ret->id, sizeof(ret->id), "%s%s-%zu", elder ? "elder-" : "", group_names[group], index + 1);
    if (which)
        snprintf(ret->id + n, sizeof(ret->id) - (size_t)n, ".%zu", which);
}

void st_voices_narrator(const char *language, struct st_voice *ret_voice)
{
    voice_from(*language ? &other_narrator : &english_narrator, language, ST_GENDER_MALE, ret_voice);
    snprintf(ret_voice->id, sizeof(ret_voice->id), "narrator");
}

/* One or two digits, not 0; NULL when there are none. */
static const char *number(const char *s, size_t *ret)
{
    size_t n = 0, digits = 0;
    for (; st_is_digit(s[digits]) && digits < 2; digits++)
        n = n * 10 + (size_t)(s[digits] - '0');
    if (!n || *s == '0')
        return NULL;
    *ret = n;
    return s + digits;
}

bool st_voice_is_lent(const char *id)
{
    const size_t prefix = strlen(ST_VOICE_LENT), digits = 32;
    return st_starts(id, ST_VOICE_LENT) && strlen(id) == prefix + digits &&
           strspn(id + prefix, "0123456789abcdef") == digits;
}

/* Whether the provider has it, only the provider knows. */
static bool find_remote(const char *id, struct st_voice *ret)
{
    size_t len = strlen(id), provider = strspn(id, "abcdefghijklmnopqrstuvwxyz");
    const struct st_voice remote = {.engine = SPEAK_REMOTE, .pitch = 1000, .range = 1000, .rate = 1000};
    if (st_starts(id, ST_VOICE_LENT)) {
        if (!st_voice_is_lent(id))
            return false;
        *ret = remote;
        memcpy(ret->id, id, len + 1);
        return true;
    }
    if (provider == 0 || id[provider] != ':' || len >= sizeof(ret->id) || len >= sizeof(ret->name) || !id[provider + 1])
        return false;
    for (const char *s = id + provider + 1; *s; s++)
        if (!st_is_alnum(*s) && *s != '_')
            return false;
    *ret = remote;
    memcpy(ret->id, id, len + 1);
    memcpy(ret->name, id, len + 1);
    return true;
}

bool st_voices_find(const char *language, const char *id, struct st_voice *ret_voice)
{
    bool elder = st_starts(id, "elder-");
    if (st_streq(id, "narrator")) {
        st_voices_narrator(language, ret_voice);
        return true;
    }
    if (strchr(id, ':'))
        return find_remote(id, ret_voice);
    id += elder ? strlen("elder-") : 0;
    for (int g = 0; g < (elder ? BOYS : GROUPS); g++) {
        size_t len = strlen(group_names[g]), index, which = 0;
        if (strncmp(id, group_names[g], len) != 0 || id[len] != '-')
            continue;
        const char *end = number(id + len + 1, &index);
        if (end && *end == '.')
            end = number(end + 1, &which);
        if (!end || *end || index > english[g].count || which >= ST_COUNT(changes))
            return false;
        make(language, (enum group)g, index - 1, which, elder, ret_voice);
        return true;
    }
    return false;
}

enum st_age st_voice_age(const char *id)
{
    return st_starts(id, "elder-")                           ? ST_AGE_ELDER
           : st_starts(id, "boy-") || st_starts(id, "girl-") ? ST_AGE_CHILD
                                                             : ST_AGE_ADULT;
}

bool st_voices_nth(const char *language, size_t n, struct st_voice *ret_voice, enum st_age *ret_age)
{
    if (n == 0) {
        *ret_age = ST_AGE_ADULT;
        st_voices_narrator(language, ret_voice);
        return true;
    }
    n--;
    for (int g = 0; g < GROUPS + BOYS; g++) { /* behind all groups the grown-ups once more, as they are when old */
        enum group group = (enum group)(g % GROUPS);
        size_t count = (*language ? other : english)[group].count;
        if (n < count) {
            *ret_age = g >= GROUPS ? ST_AGE_ELDER : group >= BOYS ? ST_AGE_CHILD : ST_AGE_ADULT;
            make(language, group, n, 0, g >= GROUPS, ret_voice);
            return true;
        }
        n -= count;
    }
    return false;
}

/* Those that the next voice is compared with: the narrator, and the last ones. */
struct heard {
    const struct st_voice *narrator, *list[CAST_MAX];
    size_t count;
};

static void hear(struct heard *h, const struct st_voice *v)
{
    h->list[h->count++ % CAST_MAX] = v;
}

static double nearest(const struct st_voice *v, const struct heard *h)
{
    double least = st_voices_distance(v, h->narrator);
    for (size_t i = 0; i < h->count && i < CAST_MAX; i++) {
        double d = st_voices_distance(v, h->list[i]);
        if (d < least)
            least = d;
    }
    return least;
}

/* The first of the list that differs from all before it, else the one that differs most. */
static void choose(const char *language, enum group group, bool elder, const struct heard *heard, struct st_voice *ret)
{
    double best = -1;
    size_t count = (*language ? other : english)[group].count;
    for (size_t k = 0; k < ST_COUNT(changes) && best < ST_VOICES_APART; k++) {
        for (size_t i = 0; i < count && best < ST_VOICES_APART; i++) {
            struct st_voice v;
            make(language, group, i, k, elder, &v);
            double d = nearest(&v, heard);
            if (d > best) {
                best = d;
                *ret = v;
            }
        }
    }
}

void st_voices_cast(const char *language, const struct st_voice *narrator, const struct st_role *roles, size_t count,
                    struct st_voice *ret_voices)
{
    struct heard heard = {.narrator = narrator};
    size_t men = 0, women = 0;
    for (size_t i = 0; i < count; i++) {
        ret_voices[i] = (struct st_voice){0};
        if (roles[i].voice && st_voices_find(language, roles[i].voice, &ret_voices[i]))
            hear(&heard, &ret_voices[i]);
    }
    for (size_t i = 0; i < count; i++) {
        bool kept = *ret_voices[i].id;
        enum st_gender gender = kept ? ret_voices[i].gender : roles[i].gender;
        if (gender == ST_GENDER_UNKNOWN)
            gender = women < men ? ST_GENDER_FEMALE : ST_GENDER_MALE;
        bool female = gender == ST_GENDER_FEMALE, young = roles[i].age == ST_AGE_CHILD;
        men += !female;
        women += female;
        if (kept)
            continue;
        choose(language, (enum group)((female ? WOMEN : MEN) + (young ? BOYS - MEN : 0)), roles[i].age == ST_AGE_ELDER,
               &heard, &ret_voices[i]);
        hear(&heard, &ret_voices[i]);
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

const char *st_emotion_word(enum st_emotion emotion)
{
    return emotions[emotion].name;
}

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
    if (voice->engine == SPEAK_REMOTE) {
        struct st_manner remote = {.engine = SPEAK_REMOTE, .pitch = 1000, .range = 1000};
        snprintf(remote.name, sizeof(remote.name), "%s", voice->name);
        remote.rate = clamp(1000 * towards(emotions[emotion].rate, i), 500, 2000);
        remote.strength = emotion == ST_EMOTION_NEUTRAL ? 0 : (int)lrint(10 * i);
        remote.emotion = remote.strength ? (int)emotion : ST_EMOTION_NEUTRAL;
        *ret_manner = remote;
        *ret_db = emotions[emotion].db * i;
        return;
    }
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
