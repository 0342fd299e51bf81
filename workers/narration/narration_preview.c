/* A voice to be heard before it is chosen. */
#include "narration/narration.h"
#include "svc/limit.h"
#include "narration/narration_script.h"
#include "narration/remote.h"

int narration_preview(struct st_call *call)
{
    const char *id = st_new_id(call->arena), *voice = st_param(call, "voiceId");
    const char *used_up = NULL;
    char language[ST_LANGUAGE_LEN];
    struct st_voice v;
    int r = st_voices_find("", voice, &v) ? narration_lent_voice(call, &v, call->user_id, NULL) : ST_E_NOT_FOUND;
    if (r < 0)
        return r == ST_E_NOT_FOUND ? st_fail(call, r, "There is no voice of that name.") : r;
    if (!st_remote_allowed(st_voice_is_lent(voice) ? v.name : voice, call->tier))
        return st_fail(call, ST_E_PAYMENT, "Your tier does not have that voice.");
    if (v.engine == SPEAK_REMOTE && (r = st_limit_used_up(call, call->user_id, NARRATION_LIMIT, &used_up)) < 0)
        return r;
    if (used_up) /* who may not pay a provider for a story does not for previews */
        return st_fail(call, ST_E_PAYMENT, "%s", used_up);
    if (v.engine != SPEAK_REMOTE &&
        st_speech_language(narration_speech, st_str(call->body, "language"), language) < 0) {
        st_fail_at(call, "/language", "No voice speaks that language.");
        return st_fail(call, ST_E_UNPROCESSABLE, "No voice speaks that language.");
    }
    st_exec(
        call,
        "insert into previews (preview_id, user_id, voice, language, text, emotion) values ($1, $2, $3, $4, $5, $6)",
        id, call->user_id, voice, st_json_str(call->body, "language", "en"), st_str(call->body, "text"),
        st_json_str(call->body, "emotion", "neutral"));
    const char *name = st_voice_is_lent(voice) ? v.name : voice, *job = "preview";
    if (v.engine == SPEAK_REMOTE)
        job = st_printf(call->arena, "preview_%.*s", (int)strcspn(name, ":"), name);
    st_enqueue_with(call, &(struct st_enqueue){.job = job, .key = id, .priority = 10},
                    json_pack("{s:s}", "previewId", id));
    return st_reply(call, 202, json_pack("{s:s, s:s, s:n}", "previewId", id, "status", "pending", "audioUrl"));
}

static int find(struct st_call *call, json_t **ret)
{
    int r = st_row(call, ret, "select status, reason from previews where preview_id = $1 and user_id = $2",
                   st_param(call, "previewId"), call->user_id);
    return r == ST_E_NOT_FOUND ? st_fail(call, r, "There is no such preview, or it is not yours.") : r;
}

static const char *key_of(struct st_call *call)
{
    return st_printf(call->arena, "narration/%s/audio.opus", st_param(call, "previewId"));
}

int narration_get_preview(struct st_call *call)
{
    json_t *preview;
    int r = find(call, &preview);
    if (r < 0)
        return r;
    const char *id = st_param(call, "previewId"), *status = st_str(preview, "status"),
               *reason = st_str(preview, "reason");
    const char *url = st_object_link(call, st_printf(call->arena, "/v1/voice-previews/%s/audio", id), key_of(call));
    json_t *answer = json_pack("{s:s, s:s, s:s?}", "previewId", id, "status", status, "audioUrl",
                               st_streq(status, "ready") ? url : NULL);
    if (reason)
        json_object_set_new(answer, "reason", json_string(reason));
    return st_reply(call, 200, answer);
}

int narration_get_preview_audio(struct st_call *call)
{
    json_t *preview;
    int r = st_object_admit(call, key_of(call));
    if (r < 0 || (r = find(call, &preview)) < 0)
        return r;
    if (!st_streq(st_str(preview, "status"), "ready"))
        return st_fail(call, ST_E_NOT_FOUND, "The preview is not ready.");
    return st_reply_object(call, "audio/ogg", key_of(call));
}

static bool is_stopped(void *call)
{
    return st_progress(call, 0, 1) < 0;
}

static void end(struct st_call *call, const char *status, const char *reason)
{
    st_exec(call, "update previews set status = $2, reason = $3 where preview_id = $1", st_str(call->body, "previewId"),
            status, reason);
}

int narration_speak_preview(struct st_call *call)
{
    json_t *p;
    struct st_voice voice;
    char language[ST_LANGUAGE_LEN];
    struct st_pronounce_rule *rules;
    size_t n_rules;
    const char *versions, *id = st_str(call->body, "previewId");
    int r = st_row(call, &p, "select user_id, voice, language, text, emotion from previews where preview_id = $1", id);
    if (r < 0)
        return r == ST_E_NOT_FOUND ? 0 : r;
    r = narration_rules(call, "", st_str(p, "user_id"), &rules, &n_rules, &versions);
    if (r < 0)
        return r;
    if (st_speech_language(narration_speech, st_str(p, "language"), language) < 0)
        *language = '\0'; /* which only voices of providers may speak */
    if (!st_voices_find(language, st_str(p, "voice"), &voice))
        return ST_E_INTERNAL;
    r = narration_lent_voice(call, &voice, st_str(p, "user_id"), NULL);
    if (r == ST_E_NOT_FOUND) {
        end(call, "failed", "The voice was taken back.");
        return 0;
    }
    if (r < 0 || (r = st_commit(call)) < 0)
        return r;
    struct st_narrate_segment segment = {.text = st_pronounce(call->arena, rules, n_rules, st_str(p, "text")),
                                         .emotion = st_emotion_from(st_str(p, "emotion")),
                                         .intensity = 1};
    segment.len = strlen(segment.text);
    struct st_remote_context context = {.reference = id};
    const struct st_narrate_remote remote = {st_remote_say, st_remote_model, st_remote_address, &context};
    const struct st_narrate_job job = {
        .remote = &remote,
        .speech = narration_speech,
        .language = st_str(p, "language"),
        .voices = &voice,
        .n_voices = 1,
        .segments = &segment,
        .n_segments = 1,
        .opus_path = st_printf(call->arena, "%s/a.opus", st_scratch(call)),
        .mp3_path = st_printf(call->arena, "%s/a.mp3", st_scratch(call)),
        .cache_dir = st_cache_dir(call),
        .cancelled = is_stopped,
        .ctx = call,
    };
    struct st_narrate_result result;
    r = st_narrate_audio(call->arena, &job, &result);
    int put =
        r < 0 ? 0 : st_object_put_file(call, st_printf(call->arena, "narration/%s/audio.opus", id), job.opus_path);
    if (put < 0)
        return put;
    bool again = st_remote_passes(r) && call->job->attempt < call->job->max_attempts;
    if (r == ST_E_UNPROCESSABLE || r == ST_E_INVALID || (r < 0 && result.lost && !again))
        end(call, "failed", result.why);
    else if (r == 0)
        end(call, "ready", NULL);
    else
        return st_fail(call, r, "%s", result.why);
    return 0;
}

int narration_speak_preview_failed(struct st_call *call)
{
    end(call, "failed", "The preview could not be made.");
    return 0;
}

int narration_drop_previews(struct st_call *call, const char *user_id)
{
    json_t *gone, *one;
    size_t i;
    int r = st_list(
        call, &gone,
        "delete from previews where user_id = $1 or ($1::uuid is null and created_at < now() - interval '1 day') "
        "returning preview_id",
        user_id);
    if (r < 0)
        return r;
    json_array_foreach (gone, i, one)
        st_enqueue(call, "remove_files", st_str(one, "preview_id"), 0,
                   json_pack("{s:O}", "narrationId", json_object_get(one, "preview_id")));
    return 0;
}
