/*
 * Brings the provider in line with what a profile says: a voice that was lent is learnt, one that was taken back is
 * forgotten. One job of one key does both, so they never meet.
 *
 * A voice is sent once. The intent is stored before (status `sent`), its name at the provider is made of the profile's
 * id; when the answer was lost, the voice is looked for by that name, again and again for a while, before it counts as
 * not learnt. What is found twice is one too many and goes.
 */
#include "narration/narration.h"
#include "narration/remote.h"
#include "narration/speech_cache.h"

enum { LOOKS_MAX = 5, LOOK_MS = 2000 };

void narration_keep_voice_soon(struct st_call *call, const char *profile_id, const char *voice, int64_t delay_ms)
{
    st_enqueue(call, "keep_voice", profile_id, delay_ms,
               json_pack("{s:s, s:s*}", "profileId", profile_id, "voice", voice));
}

/*
 * Tries again what the provider had no room for, and what ended with its process; and looks again for what was taken
 * back, until it cannot come any more.
 */
int narration_schedule_voices(struct st_call *call)
{
    json_t *rows, *one;
    size_t i;
    int r =
        st_list(call, &rows,
                "(select profile_id, null as provider_voice from voice_profiles where status in ('waiting', 'sent') "
                "limit 1000) union all "
                "(select profile_id, provider_voice from withdrawn_voices order by withdrawn_at limit 1000)");
    json_array_foreach (r < 0 || !st_provider_ready(&st_clone_provider) ? NULL : rows, i, one)
        narration_keep_voice_soon(call, st_str(one, "profile_id"), st_str(one, "provider_voice"), 0);
    return r;
}

static const char *name_of(struct st_call *call, const char *profile_id)
{
    return st_printf(call->arena, ST_CLONE_NAME "%s", profile_id);
}

/* Waiting, for narration_schedule_voices, or refused. */
static int put_back(struct st_call *call, const char *id, const char *status, const char *reason)
{
    st_exec(call,
            "update voice_profiles set status = $2, reason = $3, looks = 0 where profile_id = $1 and "
            "status = 'sent'",
            id, status, reason);
    return 0;
}

static int learnt(struct st_call *call, const json_t *p, const char *voice)
{
    const char *id = st_str(p, "profile_id");
    struct st_rows *rows;
    int r = st_rows(call, &rows,
                    "update voice_profiles set status = 'ready', reason = null, provider = $2, provider_voice = $3 "
                    "where profile_id = $1 and status = 'sent'",
                    id, ST_CLONE_PREFIX, voice);
    if (r < 0)
        return r;
    if (st_rows_affected(rows) == 0) { /* it was taken back meanwhile */
        narration_keep_voice_soon(call, id, voice, 0);
        return 0;
    }
    st_emit(call, "VoiceCloned", id,
            json_pack("{s:s, s:O, s:O, s:s, s:s}", "profileId", id, "userId", json_object_get(p, "user_id"), "scope",
                      json_object_get(p, "scope"), "provider", ST_CLONE_PREFIX, "providerVoiceId", voice));
    return 0;
}

static int learn(struct st_call *call, const json_t *p)
{
    const char *id = st_str(p, "profile_id"), *mp3, *voice, *why = NULL;
    const char *key = st_printf(call->arena, "narration/%s/sample.mp3", st_str(p, "sample_id"));
    st_exec(call, "update voice_profiles set status = 'sent', reason = null, looks = 0 where profile_id = $1", id);
    int r = st_commit(call);
    if (r < 0 || (r = st_object_get(call, key, &mp3)) < 0)
        return r;
    r = st_clone_learn(call, name_of(call, id), mp3, &voice, &why);
    switch (r) {
    case 0: return learnt(call, p, voice);
    case ST_E_CANCELLED: return r;
    case ST_E_TIMEOUT: narration_keep_voice_soon(call, id, NULL, LOOK_MS); return 0;
    case ST_E_UNPROCESSABLE: return put_back(call, id, "refused", why);
    case ST_E_PAYMENT:
        return put_back(call, id, "waiting", "The provider has no place for another voice now. It is asked again.");
    }
    return put_back(call, id, "waiting", "The provider cannot do it now. It is asked again.");
}

/* One whose fate is not known. */
static int look_for(struct st_call *call, const json_t *p)
{
    const char *id = st_str(p, "profile_id"), *why = NULL;
    int64_t looks = st_json_int(p, "looks", 0) + 1;
    json_t *voices, *one;
    size_t i;
    int r = st_commit(call);
    if (r < 0 || (r = st_clone_find(call, name_of(call, id), &voices, &why)) < 0)
        return why ? st_fail(call, r, "%s", why) : r;
    json_array_foreach (voices, i, one)
        if (i && (r = st_clone_forget(call, json_string_value(one), true, &why)) < 0)
            return st_fail(call, r, "%s", why);
    if (json_array_size(voices))
        return learnt(call, p, json_string_value(json_array_get(voices, 0)));
    st_exec(call,
            "update voice_profiles set looks = $2, status = case when $2 < $3::int then 'sent' else 'waiting' end "
            "where profile_id = $1 and status = 'sent'",
            id, st_i64(call->arena, looks), st_i64(call->arena, LOOKS_MAX));
    narration_keep_voice_soon(call, id, NULL, LOOK_MS << looks);
    return 0;
}

/*
 * All of that name, and the one that we know of; and what it has spoken, also after the first time: somebody may just
 * have been speaking with it. What the provider still lists is not gone, whatever it answers: then it is looked for
 * again (narration_schedule_voices).
 */
static int forget(struct st_call *call, const char *id, const char *known)
{
    const char *why = NULL;
    json_t *voices, *one;
    size_t i;
    int r = st_commit(call);
    if (r == 0 && known)
        r = st_speech_cache_forget(st_cache_dir(call), st_printf(call->arena, ST_CLONE_PREFIX ":%s", known));
    if (r < 0)
        return r;
    if (!st_provider_ready(&st_clone_provider))
        return known ? st_fail(call, ST_E_UNAVAILABLE, "The provider that has the voice is not set up any more.") : 0;
    if ((r = st_clone_find(call, name_of(call, id), &voices, &why)) < 0)
        return why ? st_fail(call, r, "%s", why) : r;
    bool listed = json_array_size(voices);
    json_array_foreach (voices, i, one) {
        if (st_streq(json_string_value(one), known))
            known = NULL; /* is among them */
        if ((r = st_clone_forget(call, json_string_value(one), true, &why)) < 0)
            return st_fail(call, r, "%s", why);
    }
    if (known && (r = st_clone_forget(call, known, false, &why)) < 0)
        return st_fail(call, r, "%s", why);
    if (listed)
        return 0;
    st_exec(call, "update voice_profiles set provider = null, provider_voice = null where profile_id = $1", id);
    /* A request takes minutes at most: what is not there then will not be. */
    st_exec(call, "delete from withdrawn_voices where profile_id = $1 and withdrawn_at < now() - interval '15 minutes'",
            id);
    return 0;
}

int narration_keep_voice(struct st_call *call)
{
    const char *id = st_str(call->body, "profileId"), *voice = st_str(call->body, "voice");
    json_t *p = NULL;
    int r = st_row(call, &p,
                   "select profile_id, user_id, sample_id, scope, status, looks, provider_voice from voice_profiles "
                   "where profile_id = $1",
                   id);
    if (r < 0 && r != ST_E_NOT_FOUND)
        return r;
    const char *status = r == 0 ? st_json_str(p, "status", "") : "withdrawn"; /* with the account it is gone */
    if (!voice)
        voice = st_str(p, "provider_voice");
    if (st_streq(status, "withdrawn"))
        return forget(call, id, voice);
    if (!st_provider_ready(&st_clone_provider))
        return 0;
    if (st_streq(status, "waiting"))
        return learn(call, p);
    return st_streq(status, "sent") ? look_for(call, p) : 0;
}

/* --- voices that the account has anyway --- */

int narration_schedule_list(struct st_call *call)
{
    if (st_provider_ready(&st_clone_provider))
        st_enqueue(call, "list_voices", ST_CLONE_PREFIX, 0, json_object());
    else
        st_exec(call, "delete from provider_voices");
    return 0;
}

int narration_find_voices(struct st_call *call)
{
    const char *why = NULL;
    json_t *voices;
    int r = st_commit(call);
    if (r < 0 || (r = st_clone_list(call, &voices, &why)) < 0)
        return why ? st_fail(call, r, "%s", why) : r;
    st_exec(call, "delete from provider_voices");
    st_exec(call,
            "insert into provider_voices select v.* from jsonb_to_recordset($1) v (voice text, name text, gender text, "
            "age text) on conflict do nothing",
            st_json_text(call->arena, voices));
    return 0;
}
