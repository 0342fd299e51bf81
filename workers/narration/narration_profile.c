/*
 * Voices that people have lent: what they consent to, and taking it back. Who learns the voice, narration_clone.c says.
 */
#include "io/crypto.h"
#include "narration/narration.h"
#include "narration/remote.h"

enum { PROFILES_MAX = 3 /* of a user */ };

/* What somebody agrees to. A text is never changed: another one is another version, in front of those before it. */
static const struct consent {
    const char *scope, *version, *statement;
} consents[] = {
    {"own", "2026-11",
     "I am the person who speaks in this sample. I let this platform, and the provider that learns voices for it, make "
     "a "
     "synthetic voice of it, which speaks in my own stories and nowhere else. I can take this back at any time: then "
     "sample and voice are deleted here and at the provider, and what the voice has spoken is spoken anew by another."},
    {"collaborations", "2026-11",
     "I am the person who speaks in this sample. I let this platform, and the provider that learns voices for it, make "
     "a "
     "synthetic voice of it, which speaks in my own stories, and in stories of others that I take part in, as the "
     "characters that I am given there. I can take this back at any time: then sample and voice are deleted here and "
     "at "
     "the provider, and what the voice has spoken is spoken anew by another."},
};

static const struct consent *consent_of(const char *scope)
{
    for (size_t i = 0; i < ST_COUNT(consents); i++)
        if (st_streq(consents[i].scope, scope))
            return &consents[i];
    return NULL;
}

int narration_get_consent(struct st_call *call)
{
    const struct consent *c = consent_of(st_param(call, "scope"));
    return st_reply(call, 200,
                    json_pack("{s:s, s:s, s:s}", "scope", c->scope, "version", c->version, "statement", c->statement));
}

/* --- as they are shown --- */

#define COLUMNS                                                                                                        \
    "p.profile_id, p.sample_id, p.user_id, p.name, p.scope, p.status, p.reason, p.consent_version, p.consented_at, "   \
    "p.withdrawn_at, p.provider_voice, '" ST_VOICE_LENT "' || replace(p.profile_id::text, '-', '') as voice_id"

/* Whoever waits for a provider that is not there is told what becomes of the sample. */
static json_t *shown(const json_t *p)
{
    const char *status = st_json_str(p, "status", ""), *reason = st_str(p, "reason");
    bool open = st_streq(status, "waiting") || st_streq(status, "sent"), ready = st_provider_ready(&st_clone_provider);
    if (open && !ready)
        reason = "No provider that learns voices is set up here. The sample is kept, and nothing is made of it until "
                 "there is one; characters speak with the platform's own voices.";
    json_t *j = json_pack("{s:O, s:O, s:O, s:O, s:s, s:s*, s:{s:O, s:O}}", "profileId",
                          json_object_get(p, "profile_id"), "voiceId", json_object_get(p, "voice_id"), "name",
                          json_object_get(p, "name"), "scope", json_object_get(p, "scope"), "status",
                          !open              ? status
                          : ready && !reason ? "learning"
                                             : "waiting",
                          "reason", reason, "consent", "version", json_object_get(p, "consent_version"), "givenAt",
                          json_object_get(p, "consented_at"));
    if (!json_is_null(json_object_get(p, "sample_id")))
        json_object_set(j, "sampleId", json_object_get(p, "sample_id"));
    if (!json_is_null(json_object_get(p, "withdrawn_at")))
        json_object_set(json_object_get(j, "consent"), "withdrawnAt", json_object_get(p, "withdrawn_at"));
    return j;
}

static int find(struct st_call *call, const char *id, json_t **ret)
{
    int r = st_row(call, ret,
                   "select " COLUMNS " from voice_profiles p where p.profile_id = $1 and p.user_id = $2 for update", id,
                   call->user_id);
    return r == ST_E_NOT_FOUND ? st_fail(call, r, "There is no such voice, or it is not yours.") : r;
}

int narration_get_profile(struct st_call *call)
{
    json_t *p;
    int r = find(call, st_param(call, "profileId"), &p);
    return r < 0 ? r : st_reply(call, 200, shown(p));
}

int narration_list_profiles(struct st_call *call)
{
    json_t *rows, *one, *items = st_json_keep(call->arena, json_array());
    size_t i;
    int r =
        st_list(call, &rows,
                "select " COLUMNS " from voice_profiles p where p.user_id = $1 order by p.profile_id desc limit 100",
                call->user_id);
    json_array_foreach (r < 0 ? NULL : rows, i, one)
        json_array_append_new(items, shown(one));
    return r < 0 ? r : st_reply(call, 200, json_pack("{s:O}", "items", items));
}

/* --- consent --- */

/* Exactly the text that is in force, as they were shown it. */
static int check_consent(struct st_call *call, const struct consent **ret)
{
    const struct consent *c = consent_of(st_str(call->body, "scope"));
    bool current = st_streq(st_str(call->body, "version"), c->version);
    *ret = c;
    if (current && st_streq(st_str(call->body, "statement"), c->statement))
        return 0;
    st_fail_at(call, current ? "/statement" : "/version", "must be that of getVoiceConsent");
    return st_fail(call, ST_E_UNPROCESSABLE, "Consent is given to the text that getVoiceConsent has, and to no other.");
}

static int check_sample(struct st_call *call, const char *sample_id)
{
    json_t *sample;
    int r = st_row(call, &sample,
                   "select s.status, exists (select from voice_profiles p where p.sample_id = s.sample_id) as taken, "
                   "(select count(*) from voice_profiles p where p.user_id = $2 and p.withdrawn_at is null) as many "
                   "from voice_samples s where s.sample_id = $1 and s.user_id = $2 for update",
                   sample_id, call->user_id);
    if (r < 0)
        return r == ST_E_NOT_FOUND ? st_fail(call, r, "There is no such sample, or it is not yours.") : r;
    if (!st_streq(st_str(sample, "status"), "ready"))
        return st_fail(call, ST_E_CONFLICT, "The sample is %s. A voice is learnt from one that is ready.",
                       st_str(sample, "status"));
    if (st_json_bool(sample, "taken", false))
        return st_fail(call, ST_E_CONFLICT, "There is a voice of that sample.");
    if (st_json_int(sample, "many", 0) >= PROFILES_MAX)
        return st_fail(call, ST_E_FORBIDDEN, "You have %d voices, which is all that one may. Delete one first.",
                       PROFILES_MAX);
    return 0;
}

/* Somebody pays for it: they themselves, or the author of a story that they take part in. */
static int check_tier(struct st_call *call)
{
    struct st_rows *rows;
    if (!st_provider_ready(&st_clone_provider) || st_remote_allowed(ST_CLONE_PREFIX ":any", call->tier))
        return 0;
    int r = st_rows(call, &rows,
                    "select distinct t.tier from story_readers r join stories s using (story_id) "
                    "join author_tiers t on t.user_id = s.author_id where r.user_id = $1",
                    call->user_id);
    for (int i = 0; r == 0 && i < st_rows_count(rows); i++)
        if (st_remote_allowed(ST_CLONE_PREFIX ":any", st_cell(rows, i, 0)))
            return 0;
    return r < 0 ? r : st_fail(call, ST_E_PAYMENT, "Neither your tier nor that of somebody you work with has voices.");
}

int narration_create_profile(struct st_call *call)
{
    const char *id = st_new_id(call->arena), *sample_id = st_str(call->body, "sampleId");
    const struct consent *consent;
    json_t *p;
    int r;
    st_exec(call, "select pg_advisory_xact_lock(hashtextextended('samples ' || $1, 0))", call->user_id);
    if ((r = check_consent(call, &consent)) < 0 || (r = check_sample(call, sample_id)) < 0 ||
        (r = check_tier(call)) < 0)
        return r;
    const char *sha256 = st_sha256_hex(call->arena, consent->statement, strlen(consent->statement));
    st_exec(call,
            "insert into voice_profiles (profile_id, user_id, sample_id, name, scope, consent_version, consent_sha256) "
            "values ($1, $2, $3, $4, $5, $6, $7)",
            id, call->user_id, sample_id, st_str(call->body, "name"), consent->scope, consent->version, sha256);
    st_emit(call, "VoiceConsentGiven", id,
            json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "profileId", id, "sampleId", sample_id, "userId", call->user_id,
                      "scope", consent->scope, "version", consent->version, "statementSha256", sha256));
    st_emit(call, "VoiceProfileCreated", id,
            json_pack("{s:s, s:s, s:s}", "profileId", id, "userId", call->user_id, "scope", consent->scope));
    narration_keep_voice_soon(call, id, NULL, 0);
    st_header(call, "Location", st_printf(call->arena, "/v1/voice-profiles/%s", id));
    r = find(call, id, &p);
    return r < 0 ? r : st_reply(call, 201, shown(p));
}

/* --- taking it back --- */

static int drop_previews(struct st_call *call, const char *voice_id)
{
    json_t *gone, *one;
    size_t i;
    int r = st_list(call, &gone, "delete from previews where voice = $1 returning preview_id", voice_id);
    json_array_foreach (r < 0 ? NULL : gone, i, one)
        st_enqueue(call, "remove_files", st_str(one, "preview_id"), 0,
                   json_pack("{s:O}", "narrationId", json_object_get(one, "preview_id")));
    return r;
}

/* Narrations that it is heard in, or would be. */
static int find_heard(struct st_call *call, const char *voice_id, const char *story_id, json_t **ret)
{
    return st_list(
        call, ret,
        "select n.narration_id, n.story_id, n.status, not exists (select from narrations l where l.story_id = "
        "n.story_id "
        "and l.ordinal > n.ordinal) as newest from narrations n where ($2::uuid is null or n.story_id = "
        "$2::uuid) "
        "and (n.voices @> jsonb_build_array(jsonb_build_object('voiceId', $1::text)) or "
        "(n.status = 'pending' and exists (select from casts c where c.story_id = n.story_id "
        "and $1 in (c.voice, c.fallback))))",
        voice_id, story_id);
}

/* The stories that it speaks in, or would, as narration_hold_story. */
static void hold_stories(struct st_call *call, const char *voice_id, const char *story_id)
{
    st_exec(call,
            "select from stories where ($2::uuid is null or story_id = $2::uuid) and (story_id in "
            "(select story_id from casts where $1 in (voice, fallback)) or story_id in (select story_id from "
            "narrations where voices @> jsonb_build_array(jsonb_build_object('voiceId', $1::text)))) "
            "order by story_id for no key update",
            voice_id, story_id);
}

/*
 * The voice is not heard any more: what it has spoken goes, and where it was to speak another does, the one that the
 * author has mapped, or the one that the character would have got. story_id: only there; NULL: everywhere.
 */
static int silence(struct st_call *call, const char *voice_id, const char *story_id)
{
    json_t *heard = NULL, *stories = NULL, *one;
    const char *id;
    size_t i;
    hold_stories(call, voice_id, story_id);
    int r = find_heard(call, voice_id, story_id, &heard);
    json_array_foreach (r < 0 ? NULL : heard, i, one) {
        id = st_str(one, "narration_id");
        st_exec(call,
                "update narrations set status = 'failed', parts = '[]', captions = false, reason = 'A voice that was "
                "lent to it has been taken back.' where narration_id = $1",
                id);
        narration_drop_exports(call, id);
        st_enqueue(call, "remove_files", id, 0, json_pack("{s:s}", "narrationId", id));
        if (st_streq(st_str(one, "status"), "ready"))
            st_emit(call, "NarrationWithdrawn", id,
                    json_pack("{s:s, s:O}", "narrationId", id, "storyId", json_object_get(one, "story_id")));
    }
    st_exec(call, "update casts set fallback = null where fallback = $1 and ($2::uuid is null or story_id = $2::uuid)",
            voice_id, story_id);
    if (r == 0)
        r = st_list(
            call, &stories,
            "with kept as (update casts set voice = fallback, fallback = null where voice = $1 "
            "and fallback is not null and ($3::uuid is null or story_id = $3::uuid) returning story_id), "
            "gone as (delete from casts where voice = $1 and fallback is null "
            "and ($3::uuid is null or story_id = $3::uuid) returning story_id) "
            "update stories set cast_version = cast_version + 1 where story_id in "
            "(select story_id from kept union select story_id from gone union "
            "select (n->>'story_id')::uuid from jsonb_array_elements($2::jsonb) n where (n->>'newest')::boolean) "
            "returning story_id",
            voice_id, st_json_text(call->arena, heard), story_id);
    json_array_foreach (r < 0 ? NULL : stories, i, one)
        if (r == 0)
            r = narration_renew(call, st_str(one, "story_id"), &id);
    return r < 0 ? r : 0;
}

static int withdraw(struct st_call *call, const json_t *p, const char *reason)
{
    const char *id = st_str(p, "profile_id"), *sample_id = st_str(p, "sample_id");
    if (st_streq(st_str(p, "status"), "withdrawn"))
        return 0;
    st_exec(call,
            "update voice_profiles set status = 'withdrawn', withdrawn_at = now(), sample_id = null, name = '', "
            "reason = null where profile_id = $1",
            id);
    if (sample_id)
        narration_remove_sample(call, sample_id);
    st_exec(call, "insert into withdrawn_voices (profile_id, provider_voice) values ($1, $2)", id,
            st_str(p, "provider_voice"));
    st_cancel(call, "keep_voice", id);
    narration_keep_voice_soon(call, id, st_str(p, "provider_voice"), 0);
    st_emit(call, "VoiceConsentWithdrawn", id,
            json_pack("{s:s, s:O, s:s}", "profileId", id, "userId", json_object_get(p, "user_id"), "reason", reason));
    int r = drop_previews(call, st_str(p, "voice_id"));
    return r < 0 ? r : silence(call, st_str(p, "voice_id"), NULL);
}

int narration_delete_profile(struct st_call *call)
{
    json_t *p;
    int r = find(call, st_param(call, "profileId"), &p);
    if (r < 0 || (r = withdraw(call, p, "withdrawn")) < 0)
        return r;
    return st_reply(call, 204, NULL);
}

int narration_withdraw_sample(struct st_call *call, const char *sample_id)
{
    json_t *p;
    int r = st_row(call, &p, "select " COLUMNS " from voice_profiles p where p.sample_id = $1 for update", sample_id);
    return r < 0 ? (r == ST_E_NOT_FOUND ? 0 : r) : withdraw(call, p, "sample_deleted");
}

int narration_drop_profiles(struct st_call *call, const char *user_id)
{
    json_t *all, *one;
    size_t i;
    int r = st_list(call, &all, "select " COLUMNS " from voice_profiles p where p.user_id = $1 for update", user_id);
    json_array_foreach (r < 0 ? NULL : all, i, one)
        if (r == 0)
            r = withdraw(call, one, "account_deleted");
    if (r == 0)
        st_exec(call, "delete from voice_profiles where user_id = $1", user_id);
    return r;
}

int narration_silence_strangers(struct st_call *call, const char *story_id)
{
    json_t *all, *one;
    size_t i;
    int r = st_list(call, &all,
                    "select distinct v.voice from casts c join stories s using (story_id) "
                    "cross join lateral (values (c.voice), (c.fallback)) v (voice) join voice_profiles p "
                    "on v.voice = '" ST_VOICE_LENT "' || replace(p.profile_id::text, '-', '') where c.story_id = $1 "
                    "and p.user_id <> s.author_id and not exists (select from story_readers r "
                    "where r.story_id = c.story_id and r.user_id = p.user_id)",
                    story_id);
    json_array_foreach (r < 0 ? NULL : all, i, one)
        if (r == 0)
            r = silence(call, st_str(one, "voice"), story_id);
    return r;
}

/* --- who speaks with it --- */

int narration_lent_voice(struct st_call *call, struct st_voice *v, const char *user_id, const char *story_id)
{
    struct st_rows *rows;
    if (!st_voice_is_lent(v->id))
        return 0;
    int r = st_rows(call, &rows,
                    "select p.provider || ':' || p.provider_voice from voice_profiles p where p.profile_id = $1::uuid "
                    "and p.status = 'ready' and (p.user_id = $2 or (p.scope = 'collaborations' and exists "
                    "(select from story_readers r where r.story_id = $3::uuid and r.user_id = p.user_id)))",
                    v->id + strlen(ST_VOICE_LENT), user_id, story_id);
    if (r < 0)
        return r;
    if (st_rows_count(rows) == 0)
        return ST_E_NOT_FOUND;
    snprintf(v->name, sizeof(v->name), "%s", st_cell(rows, 0, 0));
    return 0;
}
