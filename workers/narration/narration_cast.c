/* Voices, and who has which. */
#include "narration/narration.h"
#include "narration/remote.h"

enum { TITLE_MAX = 200 };

const char *narration_voice_description(struct st_call *call, const struct st_voice *v)
{
    if (v->engine == SPEAK_REMOTE)
        return v->id;
    return st_printf(call->arena, "%s %s, pitch %d %%", v->engine == SPEAK_FLITE ? "flite" : "espeak-ng",
                     *v->name ? v->name : "default", v->pitch / 10);
}

const char *narration_title(struct st_call *call, const char *text)
{
    size_t len = strlen(text);
    if (len > TITLE_MAX)
        for (len = TITLE_MAX; len && ((unsigned char)text[len] & 0xc0) == 0x80;) /* do not cut inside a character */
            len--;
    while (len && (unsigned char)text[len - 1] <= ' ')
        len--;
    return st_strndup(call->arena, text, len);
}

/* Those that the caller has lent, as far as they can be had. */
static int add_own(struct st_call *call, json_t *items)
{
    json_t *own, *one;
    size_t i;
    int r = st_list(call, &own,
                    "select '" ST_VOICE_LENT "' || replace(profile_id::text, '-', '') as voice_id, provider, name "
                    "from voice_profiles where user_id = $1 and status = 'ready' order by profile_id",
                    call->user_id);
    json_array_foreach (r < 0 ? NULL : own, i, one)
        json_array_append_new(items, json_pack("{s:O, s:O, s:s, s:s, s:O}", "voiceId", json_object_get(one, "voice_id"),
                                               "provider", json_object_get(one, "provider"), "gender", "unknown", "age",
                                               "unknown", "description", json_object_get(one, "name")));
    return r;
}

/* Those of providers, as far as the caller's tier has them. */
static int add_remote(struct st_call *call, json_t *items)
{
    struct st_remote_voice remote;
    json_t *listed, *one;
    size_t i;
    for (size_t n = 0; st_remote_nth(n, &remote); n++)
        if (st_remote_allowed(remote.id, call->tier))
            json_array_append_new(items, json_pack("{s:s, s:s%, s:s, s:s, s:s}", "voiceId", remote.id, "provider",
                                                   remote.id, strcspn(remote.id, ":"), "gender", remote.gender, "age",
                                                   "unknown", "description", remote.id));
    int r = st_list(call, &listed,
                    "select voice as \"voiceId\", split_part(voice, ':', 1) as provider, gender, age, "
                    "name as description from provider_voices order by name, voice");
    json_array_foreach (r < 0 ? NULL : listed, i, one)
        if (st_remote_allowed(st_json_str(one, "voiceId", ""), call->tier))
            json_array_append(items, one);
    return r;
}

int narration_list_voices(struct st_call *call)
{
    static const char *const ages[] = {[ST_AGE_ADULT] = "adult", [ST_AGE_CHILD] = "child", [ST_AGE_ELDER] = "old"};
    char language[ST_LANGUAGE_LEN];
    struct st_voice v;
    enum st_age age;
    int r = st_speech_language(narration_speech, st_param(call, "language"), language);
    bool embedded = r == 0;
    json_t *items = st_json_keep(call->arena, json_array());
    for (size_t n = 0; embedded && st_voices_nth(language, n, &v, &age); n++)
        json_array_append_new(items, json_pack("{s:s, s:s, s:s, s:s, s:s}", "voiceId", v.id, "provider", "embedded",
                                               "gender", v.gender == ST_GENDER_FEMALE ? "female" : "male", "age",
                                               ages[age], "description", narration_voice_description(call, &v)));
    if ((r = add_remote(call, items)) < 0 || (r = add_own(call, items)) < 0)
        return r;
    if (json_array_size(items) == 0)
        return st_fail(call, ST_E_UNPROCESSABLE, "No voice speaks that language.");
    return st_reply(call, 200, json_pack("{s:O}", "items", items));
}

/* --- a story's cast --- */

static int find_own(struct st_call *call, json_t **ret)
{
    const char *id = st_param(call, "storyId");
    int r =
        st_row(call, ret,
               "select s.cast_version, coalesce((select jsonb_object_agg(c.character, jsonb_build_object('voiceId', "
               "c.voice, 'chosen', c.chosen, 'fallback', c.fallback)) from casts c where c.story_id = s.story_id), "
               "'{}') as voices, "
               "s.characters from stories s where s.story_id = $1 and s.author_id = $2 for update",
               id, call->user_id);
    return r == ST_E_NOT_FOUND ? st_absent(call, id, "There is no such story, or it is not yours.") : r;
}

static json_t *member(const json_t *voices, const char *character)
{
    const json_t *v = json_object_get(voices, character);
    return json_pack("{s:s?, s:b, s:s?}", "voiceId", st_str(v, "voiceId"), "chosen", st_json_bool(v, "chosen", false),
                     "fallbackVoiceId", st_str(v, "fallback"));
}

static int reply_cast(struct st_call *call)
{
    json_t *story, *one;
    size_t i;
    int r = find_own(call, &story);
    if (r < 0)
        return r;
    const json_t *voices = json_object_get(story, "voices");
    json_t *list = json_array();
    json_array_foreach (json_object_get(story, "characters"), i, one) {
        json_t *m = member(voices, st_json_str(one, "name", ""));
        json_object_set(m, "character", json_object_get(one, "name"));
        json_object_set_new(m, "gender", json_string(st_json_str(one, "gender", "unknown")));
        json_object_set_new(m, "age", json_string(st_json_str(one, "age", "unknown")));
        json_array_append_new(list, m);
    }
    st_etag(call, st_json_int(story, "cast_version", 0));
    return st_reply(call, 200, json_pack("{s:o, s:o}", "narrator", member(voices, ""), "characters", list));
}

int narration_get_cast(struct st_call *call)
{
    return reply_cast(call);
}

static bool is_character(const json_t *characters, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach (characters, i, one)
        if (st_streq(st_str(one, "name"), name))
            return true;
    return false;
}

static int check_voice(struct st_call *call, const char *pointer, const char *voice)
{
    struct st_voice v;
    int r = voice && !st_voices_find("", voice, &v) ? ST_E_NOT_FOUND : 0;
    if (r == 0 && voice)
        r = narration_lent_voice(call, &v, call->user_id, st_param(call, "storyId"));
    if (r == ST_E_NOT_FOUND) {
        st_fail_at(call, pointer, "There is no voice of that name.");
        return st_fail(call, ST_E_UNPROCESSABLE, "There is no voice of that name.");
    }
    if (r < 0)
        return r;
    return voice && !st_remote_allowed(st_voice_is_lent(voice) ? v.name : voice, call->tier)
               ? st_fail(call, ST_E_PAYMENT, "Your tier does not have the voice %s.", voice)
               : 0;
}

/* voice null: found by us again. */
static int assign(struct st_call *call, const char *at, const char *character, const char *voice, const char *fallback)
{
    int r = check_voice(call, at, voice);
    if (r < 0 || (r = check_voice(call, at, fallback)) < 0)
        return r;
    if (!voice)
        st_exec(call, "delete from casts where story_id = $1 and character = $2", st_param(call, "storyId"), character);
    else
        st_exec(call,
                "insert into casts values ($1, $2, $3, true, $4) on conflict (story_id, character) do update "
                "set voice = excluded.voice, chosen = true, fallback = excluded.fallback",
                st_param(call, "storyId"), character, voice, fallback);
    return 0;
}

int narration_change_cast(struct st_call *call)
{
    json_t *story, *one;
    size_t i;
    int r;
    if ((r = find_own(call, &story)) < 0 || (r = st_if_match(call, st_json_int(story, "cast_version", 0))) < 0)
        return r;
    const json_t *narrator = json_object_get(call->body, "narrator");
    if (narrator &&
        (r = assign(call, "/narrator", "", json_string_value(narrator), st_str(call->body, "narratorFallback"))) < 0)
        return r;
    json_array_foreach (json_object_get(call->body, "characters"), i, one) {
        const char *name = st_str(one, "character");
        if (!is_character(json_object_get(story, "characters"), name)) {
            st_fail_at(call, st_printf(call->arena, "/characters/%zu/character", i), "There is no such character.");
            return st_fail(call, ST_E_UNPROCESSABLE, "The story has no such character.");
        }
        r = assign(call, st_printf(call->arena, "/characters/%zu/voiceId", i), name, st_str(one, "voiceId"),
                   st_str(one, "fallbackVoiceId"));
        if (r < 0)
            return r;
    }
    st_exec(call, "update stories set cast_version = cast_version + 1 where story_id = $1", st_param(call, "storyId"));
    return reply_cast(call);
}
