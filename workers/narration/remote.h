#ifndef ST_NARRATION_REMOTE_H
#define ST_NARRATION_REMOTE_H
/*
 * Voices of providers outside: OpenAI speech and ElevenLabs, each with its adapter (remote_openai.c,
 * remote_elevenlabs.c), both by svc/provider.h. Which tiers may have which, the option speech_tiers says:
 * "free:embedded premium:embedded,openai".
 */
#include "narration/narrate.h"
#include "svc/provider.h"

/* Of calls to providers: where the work is counted, which model speaks. */
struct st_remote_context {
    const char *reference; /* the narration's id */
};
int st_remote_say(void *ctx, const struct st_manner *manner, const struct st_narrate_line *line,
                  const atomic_bool *stop, struct st_pcm *ret_pcm, char ret_why[ST_NARRATE_WHY_LEN]);
const char *st_remote_model(void *ctx, const char *voice);

/* Is the voice embedded, or of a provider that has a key and that speech_tiers gives to the tier? */
bool st_remote_allowed(const char *voice, const char *tier);

/* Voices of providers, n from 0; false behind the last one. Only those that are known without asking. */
struct st_remote_voice {
    const char *id, *gender;
};
bool st_remote_nth(size_t n, struct st_remote_voice *ret) ST_MUSTCHECK;

/* --- adapters ---------------------------------------------------------------------------------------------------- */

struct st_remote_request {
    const char *voice; /* without the provider's name */
    const struct st_manner *manner;
    const char *text;
    size_t len;
    const char *before, *after; /* as of st_narrate_line */
};
struct st_remote_adapter {
    const struct st_provider *provider;
    const char *prefix;                   /* of its voices */
    const char *model_option;             /* of the service */
    const struct st_remote_voice *voices; /* ends with an all-zero entry; NULL: none is known without asking */
    /* Fills path, json and answer_max. */
    void (*prepare)(struct st_arena *a, const struct st_remote_request *r, struct st_provider_call *ret);
    /* The sound of a 2xx answer; ST_E_BAD_GATEWAY: it is none, or not all of the text. */
    int (*sound)(struct st_arena *a, const struct st_remote_request *r, const struct st_http_answer *answer,
                 struct st_pcm *ret);
};
extern const struct st_remote_adapter st_remote_openai, st_remote_elevenlabs;

/* What a provider says of its refusal, fit to be shown: short, ASCII, without control characters. */
const char *st_remote_words(struct st_arena *a, const char *message);

/* Raw samples, 16 bits little-endian mono at 24,000 Hz; anything that has a known file's head instead is refused. */
int st_remote_pcm(const void *bytes, size_t len, struct st_pcm *ret) ST_MUSTCHECK;

#endif
