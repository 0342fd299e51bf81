/* ElevenLabs: voices learnt from samples, found again by their names, forgotten. */
#include "narration/remote.h"

enum {
    ANSWER_MAX = 1 << 20,
    VOICE_LEN = 20, /* of its names; speech has room for these */
    PAGE = 100,     /* all that a search gives at once; of one name there is one, or two */
    PAGES = 5,
    NAME_LEN = 100, /* that is shown of what they call a voice */
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
        r = st_clone_forget(call, voice, true, ret_why);
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

/* One of its words, or "unknown". */
static const char *label(const json_t *voice, const char *name, const char *const words[][2], size_t n)
{
    const char *said = st_json_str(json_object_get(voice, "labels"), name, "");
    for (size_t i = 0; i < n; i++)
        if (st_streq(words[i][0], said))
            return words[i][1];
    return "unknown";
}

static void add_voice(struct st_call *call, json_t *list, const json_t *voice)
{
    static const char *const genders[][2] = {{"male", "male"}, {"female", "female"}};
    static const char *const ages[][2] = {{"young", "adult"},
                                          {"middle_aged", "adult"},
                                          {"middle-aged", "adult"},
                                          {"middle aged", "adult"},
                                          {"old", "old"}};
    const char *id = st_str(voice, "voice_id"), *name = st_str(voice, "name");
    if (!is_voice(id) || !name || st_starts(name, ST_CLONE_NAME))
        return;
    size_t len = strlen(name);
    while (len > NAME_LEN || (name[len] & 0xc0) == 0x80) /* not inside a character */
        len--;
    json_array_append_new(list,
                          json_pack("{s:s, s:s%, s:s, s:s}", "voice", st_printf(call->arena, ST_CLONE_PREFIX ":%s", id),
                                    "name", name, len, "gender", label(voice, "gender", genders, ST_COUNT(genders)),
                                    "age", label(voice, "age", ages, ST_COUNT(ages))));
}

int st_clone_list(struct st_call *call, json_t **ret_voices, const char **ret_why)
{
    json_t *list = st_json_keep(call->arena, json_array()), *one;
    const char *next = "";
    for (int page = 0; next && page < PAGES; page++) {
        struct st_provider_answer answer;
        struct st_provider_call c = {.method = "GET",
                                     .path =
                                         st_printf(call->arena, "/v2/voices?page_size=%d%s%s", PAGE,
                                                   *next ? "&next_page_token=" : "", st_url_encode(call->arena, next)),
                                     .look_up = true};
        size_t i;
        int r = ask(call, &c, &answer, ret_why);
        if (r < 0)
            return r;
        const json_t *said = parse(call, &answer.http), *voices = json_object_get(said, "voices");
        if (!json_is_array(voices)) {
            *ret_why = "The provider's answer is no list of voices.";
            return ST_E_UNAVAILABLE;
        }
        json_array_foreach (voices, i, one)
            add_voice(call, list, one);
        next = st_json_bool(said, "has_more", false) ? st_str(said, "next_page_token") : NULL;
    }
    *ret_voices = list;
    return 0;
}

/*
 * A voice that is listed is gone when the answer says so: a request that is refused otherwise, or goes to a wrong
 * address, leaves it where it is. Of one that is not listed any more no special words are needed.
 */
static bool is_gone(struct st_call *call, const struct st_provider_answer *answer, bool listed)
{
    static const char none[] = "voice_not_found";
    int status = answer->http.status;
    if (status != 400 && status != 404)
        return false;
    if (!listed)
        return status == 404 || answer->outcome == ST_OUTCOME_CONTENT;
    const json_t *detail = json_object_get(parse(call, &answer->http), "detail");
    return st_streq(st_str(detail, "code"), none) || st_streq(st_str(detail, "status"), none);
}

int st_clone_forget(struct st_call *call, const char *voice, bool listed, const char **ret_why)
{
    struct st_provider_call c = {
        .method = "DELETE", .path = st_printf(call->arena, "/v1/voices/%s", voice), .look_up = true};
    struct st_provider_answer answer;
    int r = ask(call, &c, &answer, ret_why);
    return r < 0 && is_gone(call, &answer, listed) ? 0 : r;
}
