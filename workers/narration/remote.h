#ifndef ST_NARRATION_REMOTE_H
#define ST_NARRATION_REMOTE_H
/*
 * Voices of providers outside: OpenAI speech and ElevenLabs, each with its adapter (remote_openai.c,
 * remote_elevenlabs.c), both by svc/provider.h. Which tiers may have which, the option speech_tiers says:
 * "free:embedded premium:embedded,openai".
 */
#include "narration/narrate.h"
#include "svc/provider.h"

enum { ST_REMOTE_PROVIDERS = 2 };
/* Of calls to providers, on all threads of a job. */
struct st_remote_context {
    const char *reference;                        /* the narration's id: where the work is counted */
    _Atomic int64_t wait_ms[ST_REMOTE_PROVIDERS]; /* see st_remote_wait_ms */
    atomic_bool has_spoken[ST_REMOTE_PROVIDERS];
};
/* The longest time that the voice's provider has asked to be left alone for meanwhile; 0 when it has not. */
int64_t st_remote_wait_ms(const struct st_remote_context *context, const char *voice);
/* Has the voice's provider said anything? */
bool st_remote_has_spoken(const struct st_remote_context *context, const char *voice);
/* Does the error go away by itself? */
bool st_remote_passes(int error);
int st_remote_say(void *ctx, const struct st_manner *manner, const struct st_narrate_line *line,
                  const atomic_bool *stop, struct st_pcm *ret_pcm, char ret_why[ST_NARRATE_WHY_LEN]);
const char *st_remote_model(void *ctx, const char *voice);
const char *st_remote_address(void *ctx, const char *voice);

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

/* ElevenLabs' refusals, whatever was asked for. */
enum st_outcome st_remote_elevenlabs_classify(struct st_arena *a, const struct st_http_answer *answer,
                                              const char **ret_why);

/* What a provider says of its refusal, fit to be shown: short, ASCII, without control characters. */
const char *st_remote_words(struct st_arena *a, const char *message);

/* --- voices that are learnt (remote_clone.c) -------------------------------------------------------------------- */

/*
 * ElevenLabs learns a voice from a sample. It takes no idempotency key, so the caller gives each voice a name of its
 * own, which is stored before the first try: by it a voice is found again when an answer was lost, and nobody has
 * another of that name. For jobs, outside a transaction. Errors as of st_provider_do, *ret_why as its why.
 */
#define ST_CLONE_PREFIX "elevenlabs"
extern const struct st_provider st_clone_provider;

/* Sends the MP3 once. ST_E_TIMEOUT: it may have been learnt. The voice is as speech has it, without a prefix. */
ST_MUSTCHECK int st_clone_learn(struct st_call *call, const char *name, const char *mp3, const char **ret_voice,
                                const char **ret_why);
/* Those of that name, an array of texts. */
ST_MUSTCHECK int st_clone_find(struct st_call *call, const char *name, json_t **ret_voices, const char **ret_why);
/*
 * All voices of the account but those that people have lent, whose names begin with ST_CLONE_NAME: an array of {voice,
 * name, gender, age}, voice with its prefix. Of more than some hundred not all.
 */
#define ST_CLONE_NAME "storytelling-"
ST_MUSTCHECK int st_clone_list(struct st_call *call, json_t **ret_voices, const char **ret_why);
/*
 * 0 also when the provider says that there is none; in whatever words, when it does not list the voice (st_clone_find).
 * listed: it does, or has just learnt it.
 */
ST_MUSTCHECK int st_clone_forget(struct st_call *call, const char *voice, bool listed, const char **ret_why);

/* --------------------------------------------------------------------------------------------------------------- */

/* Raw samples, 16 bits little-endian mono at 24,000 Hz; anything that has a known file's head instead is refused. */
int st_remote_pcm(const void *bytes, size_t len, struct st_pcm *ret) ST_MUSTCHECK;

#endif
