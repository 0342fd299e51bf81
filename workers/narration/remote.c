/* Voices of providers outside: which adapter speaks, who may have it. */
#include "narration/remote.h"

#include "narration/pcm.h"

enum {
    SOUND_TRIES = 3, /* of what succeeds and yet is no sound */
    WORDS_MAX = 160,
};

static const struct st_remote_adapter *const adapters[ST_REMOTE_PROVIDERS] = {&st_remote_openai, &st_remote_elevenlabs};

/* The provider's adapter, and the voice's name behind the colon. */
static const struct st_remote_adapter *adapter_of(const char *voice, const char **ret_name)
{
    for (size_t i = 0; i < ST_COUNT(adapters); i++) {
        size_t len = strlen(adapters[i]->prefix);
        if (strncmp(voice, adapters[i]->prefix, len) == 0 && voice[len] == ':') {
            *ret_name = voice + len + 1;
            return adapters[i];
        }
    }
    return NULL;
}

const char *st_remote_model(void *ctx, const char *voice)
{
    const char *name;
    const struct st_remote_adapter *adapter = adapter_of(voice, &name);
    (void)ctx;
    return adapter ? st_option(adapter->model_option) : "";
}

const char *st_remote_address(void *ctx, const char *voice)
{
    const char *name;
    const struct st_remote_adapter *adapter = adapter_of(voice, &name);
    (void)ctx;
    return adapter ? st_option(adapter->provider->url_option) : "";
}

/* Is `word` in a list such as "a,b" that ends at a space or at the end? */
static bool listed(const char *list, const char *word, size_t len)
{
    for (const char *at = list; *at && *at != ' ';) {
        size_t n = strcspn(at, ", ");
        if (n == len && memcmp(at, word, len) == 0)
            return true;
        at += n + (at[n] == ',');
    }
    return false;
}

bool st_remote_allowed(const char *voice, const char *tier)
{
    const char *colon = strchr(voice, ':'), *name;
    if (!colon)
        return true;
    const struct st_remote_adapter *adapter = adapter_of(voice, &name);
    if (!adapter || !st_provider_ready(adapter->provider))
        return false;
    size_t len = strlen(tier);
    for (const char *at = st_option("speech_tiers"); *at; at += strcspn(at, " "), at += strspn(at, " "))
        if (strncmp(at, tier, len) == 0 && at[len] == ':')
            return listed(at + len + 1, voice, (size_t)(colon - voice));
    return false;
}

bool st_remote_nth(size_t n, struct st_remote_voice *ret)
{
    for (size_t i = 0; i < ST_COUNT(adapters); i++)
        for (const struct st_remote_voice *v = adapters[i]->voices; v && v->id; v++)
            if (n-- == 0) {
                *ret = *v;
                return true;
            }
    return false;
}

const char *st_remote_words(struct st_arena *a, const char *message)
{
    const char *from = message ? message : "no reason given";
    size_t len = strlen(from);
    char *words = st_strndup(a, from, len < WORDS_MAX ? len : WORDS_MAX);
    for (char *c = words; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    return words;
}

int st_remote_pcm(const void *bytes, size_t len, struct st_pcm *ret)
{
    static const char *const heads[] = {"RIFF", "ID3", "OggS", "fLaC", "{\"", "<!", "<h"};
    for (size_t i = 0; i < ST_COUNT(heads); i++)
        if (len >= strlen(heads[i]) && memcmp(bytes, heads[i], strlen(heads[i])) == 0)
            return ST_E_BAD_GATEWAY;
    if (len < sizeof(int16_t) || len % sizeof(int16_t) || len / sizeof(int16_t) > SPEAK_SAMPLES_MAX)
        return ST_E_BAD_GATEWAY;
    int16_t *samples = malloc(len);
    if (!samples)
        abort();
    memcpy(samples, bytes, len);
    *ret = (struct st_pcm){samples, len / sizeof(int16_t), ST_PCM_RATE};
    return 0;
}

static bool is_stopped(void *stop)
{
    return atomic_load((const atomic_bool *)stop);
}

bool st_remote_passes(int error)
{
    return error == ST_E_UNAVAILABLE || error == ST_E_LIMITED || error == ST_E_TIMEOUT;
}

static size_t index_of(const struct st_remote_adapter *adapter)
{
    size_t i = 0;
    while (adapters[i] != adapter)
        i++;
    return i;
}

static void note_wait(struct st_remote_context *context, const struct st_remote_adapter *adapter, int64_t ms)
{
    _Atomic int64_t *longest = &context->wait_ms[index_of(adapter)];
    int64_t before = atomic_load(longest);
    while (ms > before && !atomic_compare_exchange_weak(longest, &before, ms))
        ;
}

int64_t st_remote_wait_ms(const struct st_remote_context *context, const char *voice)
{
    const char *name;
    const struct st_remote_adapter *adapter = adapter_of(voice, &name);
    return adapter ? atomic_load(&context->wait_ms[index_of(adapter)]) : 0;
}

bool st_remote_has_spoken(const struct st_remote_context *context, const char *voice)
{
    const char *name;
    const struct st_remote_adapter *adapter = adapter_of(voice, &name);
    return adapter && atomic_load(&context->has_spoken[index_of(adapter)]);
}

int st_remote_say(void *ctx, const struct st_manner *manner, const struct st_narrate_line *line,
                  const atomic_bool *stop, struct st_pcm *ret_pcm, char ret_why[ST_NARRATE_WHY_LEN])
{
    struct st_remote_context *context = ctx;
    struct st_remote_request request = {
        .manner = manner, .text = line->text, .len = line->len, .before = line->before, .after = line->after};
    const struct st_remote_adapter *adapter = adapter_of(manner->name, &request.voice);
    struct st_arena a = {0};
    struct st_provider_answer answer = {.why = "Nobody knows the provider of this voice.", .wait_ms = -1};
    int r = ST_E_UNAVAILABLE;
    if (adapter) {
        struct st_provider_call call = {.reference = context->reference,
                                        .units = (int64_t)st_utf8_length(line->text, line->len),
                                        .cancelled = is_stopped,
                                        .ctx = (void *)stop};
        adapter->prepare(&a, &request, &call);
        for (int n = 0; n < SOUND_TRIES; n++) {
            r = st_provider_do(adapter->provider, &call, &a, &answer);
            if (r < 0 || (r = adapter->sound(&a, &request, &answer.http, ret_pcm)) == 0)
                break;
            answer.why = "The provider's answer is not the sound that was asked for.";
        }
        if (r == 0)
            atomic_store(&context->has_spoken[index_of(adapter)], true);
        note_wait(context, adapter, st_remote_passes(r) ? answer.wait_ms : 0);
    }
    if (r < 0)
        snprintf(ret_why, ST_NARRATE_WHY_LEN, "%s", answer.why ? answer.why : "The provider of the voice failed.");
    st_arena_release(&a);
    return r;
}
