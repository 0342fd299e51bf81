/* ElevenLabs: voices learnt from samples, found again by their names, forgotten. */
#include "narration/remote.h"

enum {
    ANSWER_MAX = 1 << 20,
    VOICE_LEN = 20, /* of its names; speech has room for these */
    PAGE = 100,     /* all that a search gives at once; of one name there is one, or two */
};

const struct st_provider st_clone_provider = {.name = "elevenlabs_voices",
                                              .url_option = "elevenlabs_url",
                                              .key_option = "elevenlabs_key_file",
                                              .key_header = "xi-api-key: %s",
                                              .concurrency = 2,
                                              .timeout_ms = 240000,
                                              .attempts = 3,
                                              .classify = st_remote_elevenlabs_classify};

static int ask(struct st_call *call, struct st_provider_call *c, struct st_provider_answer *ret, const char **ret_why)
{
    c->answer_max = ANSWER_MAX;
    c->cancelled = st_provider_job_stops;
    c->ctx = call;
    int r = st_provider_do(&st_clone_provider, c, call->arena, ret);
    *ret_why = ret->why;
    return r;
}

/* What it calls a voice goes into paths, and into the names of ours. */
static bool is_voice(const char *s)
{
    size_t len = 0;
    while (s && len <= VOICE_LEN && st_is_alnum(s[len]))
        len++;
    return len && !s[len] && len <= VOICE_LEN;
}

static json_t *parse(struct st_call *call, const struct st_http_answer *answer)
{
    json_t *j;
    const char *why;
    return st_json_parse(call->arena, answer->body, answer->len, ST_JSON_DEPTH, &j, &why) < 0 ? NULL : j;
}

int st_clone_learn(struct st_call *call, const char *name, const char *mp3, const char **ret_voice,
                   const char **ret_why)
{
    const struct st_http_part parts[] = {
        {.name = "name", .data = name, .len = strlen(name)},
        {.name = "remove_background_noise", .data = "false", .len = strlen("false")},
        {.name = "files", .path = mp3, .filename = "sample.mp3", .content_type = "audio/mpeg"},
    };
    struct st_provider_call c = {.path = "/v1/voices/add",
                                 .parts = parts,
                                 .n_parts = ST_COUNT(parts),
                                 .once = true,
                                 .units = 1,
                                 .reference = name};
    struct st_provider_answer answer;
    int r = ask(call, &c, &answer, ret_why);
    if (r < 0)
        return r;
    const json_t *said = parse(call, &answer.http);
    const char *voice = st_str(said, "voice_id");
    if (!is_voice(voice)) {
        *ret_why = "The provider's answer does not name the voice.";
        return ST_E_TIMEOUT;
    }
    if (st_json_bool(said, "requires_verification", false)) {
        r = st_clone_forget(call, voice, ret_why);
        *ret_why = "The provider wants proof of whose voice this is, which cannot be given here.";
        return r < 0 ? ST_E_TIMEOUT : ST_E_UNPROCESSABLE;
    }
    *ret_voice = voice;
    return 0;
}

int st_clone_find(struct st_call *call, const char *name, json_t **ret_voices, const char **ret_why)
{
    struct st_provider_call c = {.method = "GET",
                                 .path = st_printf(call->arena, "/v2/voices?page_size=%d&search=%s", PAGE, name),
                                 .look_up = true};
    struct st_provider_answer answer;
    json_t *list = st_json_keep(call->arena, json_array()), *one;
    size_t i;
    int r = ask(call, &c, &answer, ret_why);
    if (r < 0)
        return r;
    const json_t *voices = json_object_get(parse(call, &answer.http), "voices");
    if (!json_is_array(voices)) {
        *ret_why = "The provider's answer is no list of voices.";
        return ST_E_UNAVAILABLE;
    }
    json_array_foreach (voices, i, one)
        if (st_streq(st_str(one, "name"), name) && is_voice(st_str(one, "voice_id")))
            json_array_append(list, json_object_get(one, "voice_id"));
    *ret_voices = list;
    return 0;
}

int st_clone_forget(struct st_call *call, const char *voice, const char **ret_why)
{
    struct st_provider_call c = {
        .method = "DELETE", .path = st_printf(call->arena, "/v1/voices/%s", voice), .look_up = true};
    struct st_provider_answer answer;
    int r = ask(call, &c, &answer, ret_why);
    bool gone = answer.http.status == 404 || (answer.http.status == 400 && r == ST_E_UNPROCESSABLE);
    return gone ? 0 : r;
}
