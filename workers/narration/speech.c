/* Asks narration-speak one thing per process, within limits of time and memory. */
#include "narration/speech.h"

#include "base/spawn.h"

enum {
    MEMORY_MAX = 256 << 20,
    FILE_MAX = 1, /* it has nothing to write to files */
    LANGUAGES_MAX = 16 << 10,
    TAG_MAX = 35, /* the length RFC 5646 asks to allow */
};

struct st_speech {
    char *program;
    char *engines;
    char *languages; /* "\naf\nam\n...\n" */
    int timeout_s;
};

void st_pcm_release(struct st_pcm *pcm)
{
    free(pcm->samples);
    *pcm = (struct st_pcm){0};
}

static bool is_stopped(void *arg)
{
    const atomic_bool *stop = arg;
    return stop && atomic_load(stop);
}

static int answer_error(const struct speak_answer *a)
{
    if (a->magic != SPEAK_MAGIC)
        return ST_E_BAD_GATEWAY;
    switch ((enum speak_status)a->status) {
    case SPEAK_DONE: return 0;
    case SPEAK_NO_VOICE: return ST_E_UNPROCESSABLE;
    case SPEAK_TOO_LONG: return ST_E_TOO_LARGE;
    case SPEAK_BAD_REQUEST:
    case SPEAK_FAILED: break;
    }
    return ST_E_BAD_GATEWAY;
}

/* What st_spawn says of a child, in the words of this header. */
static int spawn_error(int r)
{
    if (r == ST_E_TIMEOUT || r == ST_E_CANCELLED || r == ST_E_UNAVAILABLE)
        return r;
    return r == ST_E_NOT_FOUND ? ST_E_UNAVAILABLE : ST_E_BAD_GATEWAY;
}

/* size: bytes of one item of the payload, of which max are taken. The payload lies in the arena. */
static int ask(struct st_arena *a, const char *program, int timeout_s, const struct speak_request *req,
               const char *text, const atomic_bool *stop, size_t size, size_t max, struct speak_answer *ret_answer,
               const char **ret_payload)
{
    const char *const argv[] = {program, NULL};
    struct st_buf input = ST_BUF(sizeof(*req) + SPEAK_TEXT_MAX);
    st_buf_add(&input, req, sizeof(*req));
    st_buf_add(&input, text, req->text_len);
    struct st_spawn s = {
        .argv = argv,
        .input = input.data,
        .input_len = input.len,
        .timeout_us = timeout_s * ST_SECOND,
        .max_file = FILE_MAX,
        .max_cpu_s = SPEAK_CPU_SECONDS,
        .max_out = sizeof(*ret_answer) + max * size,
        .cancelled = is_stopped,
        .arg = (void *)stop,
    };
#ifndef __SANITIZE_ADDRESS__ /* its shadow memory is terabytes of address space */
    s.max_memory = MEMORY_MAX;
#endif
    struct st_spawn_result result;
    int r = st_spawn(a, &s, &result);
    st_buf_release(&input);
    if (r != 0)
        return r < 0 ? spawn_error(r) : ST_E_BAD_GATEWAY;
    struct speak_answer answer;
    if (result.out_len < sizeof(answer))
        return ST_E_BAD_GATEWAY;
    memcpy(&answer, result.out, sizeof(answer));
    r = answer_error(&answer);
    if (r < 0)
        return r;
    if (answer.count > max || result.out_len != sizeof(answer) + answer.count * size)
        return ST_E_BAD_GATEWAY;
    *ret_answer = answer;
    *ret_payload = result.out + sizeof(answer);
    return 0;
}

int st_speech_open(const char *program, int timeout_s, struct st_speech **ret_speech)
{
    struct speak_request req = {.magic = SPEAK_MAGIC, .op = SPEAK_LANGUAGES};
    struct st_arena a = {0};
    struct speak_answer answer;
    const char *list;
    int r = ask(&a, program, timeout_s, &req, "", NULL, 1, LANGUAGES_MAX, &answer, &list);
    if (r == 0) {
        struct st_speech *speech = calloc(1, sizeof(*speech));
        size_t first = strcspn(list, "\n");
        if (!speech || !(speech->program = strdup(program)) || !(speech->engines = strndup(list, first)) ||
            !(speech->languages = strdup(list + first)))
            abort();
        speech->timeout_s = timeout_s;
        *ret_speech = speech;
    }
    st_arena_release(&a);
    return r < 0 ? ST_E_UNAVAILABLE : 0;
}

void st_speech_close(struct st_speech *speech)
{
    if (!speech)
        return;
    free(speech->program);
    free(speech->engines);
    free(speech->languages);
    free(speech);
}

const char *st_speech_engines(const struct st_speech *speech)
{
    return speech->engines;
}

/* Where espeak-ng's name is not the tag's own primary subtag, or its first choice is not the best one. */
static const struct {
    const char *tag, *name;
} aliases[] = {
    {"cmn", "cmn-latn-pinyin"}, /* plain cmn spells each syllable in English letters */
    {"fr", "fr-fr"},
    {"in", "id"},
    {"iw", "he"},
    {"mo", "ro"},
    {"nn", "nb"},
    {"no", "nb"},
    {"sh", "hr"},
    {"zh", "cmn-latn-pinyin"},
    {"zh-hk", "yue"},
    {"zh-mo", "yue"},
    {"zh-yue", "yue"},
};

static const char *alias(const char *tag)
{
    for (size_t i = 0; i < ST_COUNT(aliases); i++)
        if (st_streq(aliases[i].tag, tag))
            return aliases[i].name;
    return tag;
}

static bool listed(const struct st_speech *speech, const char *name)
{
    char line[ST_LANGUAGE_LEN + 2];
    if (!*name || strlen(name) >= ST_LANGUAGE_LEN)
        return false;
    snprintf(line, sizeof(line), "\n%s\n", name);
    return strstr(speech->languages, line) != NULL;
}

/* Lower case, and nothing but what a tag may hold; false for anything else. */
static bool tag_normalise(const char *tag, char out[TAG_MAX + 1])
{
    size_t len = strlen(tag);
    if (len > TAG_MAX)
        return false;
    for (size_t i = 0; i <= len; i++) {
        char c = tag[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (c == '_')
            c = '-';
        if (c && c != '-' && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
            return false;
        out[i] = c;
    }
    return true;
}

int st_speech_language(const struct st_speech *speech, const char *tag, char ret_name[ST_LANGUAGE_LEN])
{
    char t[TAG_MAX + 1];
    if (!tag || !*tag || st_streq(tag, "und"))
        tag = "en";
    if (!tag_normalise(tag, t))
        return ST_E_UNPROCESSABLE;
    if (st_streq(t, "en") || st_starts(t, "en-")) {
        *ret_name = '\0';
        return 0;
    }
    /* RFC 4647 lookup: the whole tag, then shorter and shorter from its end. */
    for (;;) {
        const char *name = alias(t);
        if (listed(speech, name)) {
            snprintf(ret_name, ST_LANGUAGE_LEN, "%s", name);
            return 0;
        }
        char *end = strrchr(t, '-');
        if (!end)
            return ST_E_UNPROCESSABLE;
        *end = '\0';
    }
}

int st_speech_say(const struct st_speech *speech, const struct st_manner *manner, const char *text, size_t len,
                  const atomic_bool *stop, struct st_pcm *ret_pcm)
{
    if (len > SPEAK_TEXT_MAX)
        return ST_E_TOO_LARGE;
    struct speak_request req = {
        .magic = SPEAK_MAGIC,
        .op = SPEAK_SAY,
        .engine = manner->engine,
        .pitch = manner->pitch,
        .range = manner->range,
        .rate = manner->rate,
        .tract = manner->tract,
        .text_len = (uint32_t)len,
    };
    snprintf(req.voice, sizeof(req.voice), "%s", manner->name);
    snprintf(req.language, sizeof(req.language), "%s", manner->language);
    struct st_arena a = {0};
    struct speak_answer answer;
    const char *payload;
    int r = ask(&a, speech->program, speech->timeout_s, &req, text, stop, sizeof(int16_t), SPEAK_SAMPLES_MAX, &answer,
                &payload);
    if (r == 0) {
        size_t size = answer.count * sizeof(int16_t);
        struct st_pcm pcm = {.samples = malloc(size + 1), .count = answer.count, .rate = answer.rate};
        if (!pcm.samples)
            abort();
        memcpy(pcm.samples, payload, size);
        *ret_pcm = pcm;
    }
    st_arena_release(&a);
    return r;
}
