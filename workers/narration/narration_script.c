/* From rows to a script: who says what, with which voice, how it is pronounced. */
#include "narration/narration_script.h"

#include "narration/narration.h"
#include "narration/remote.h"

const json_t *narration_segments(struct st_call *call, const json_t *n)
{
    json_t *segments = json_object_get(n, "segments");
    const char *ref = st_str(n, "text_ref");
    if (json_is_array(segments))
        return segments;
    if (ref && st_object_json(call, ref, &segments) == 0 && json_is_array(segments))
        return segments;
    return NULL;
}

/* Voices that people have lent; who does not have one any more keeps an empty name. */
static int find_lenders(struct st_call *call, const char *author_id, const char *story_id, struct narration_script *s)
{
    int r = 0;
    for (size_t i = 0; i < 2 * s->job.n_voices && (r == 0 || r == ST_E_NOT_FOUND); i++)
        r = narration_lent_voice(call, i % 2 ? &s->fallbacks[i / 2] : &s->voices[i / 2], author_id, story_id);
    return r == ST_E_NOT_FOUND ? 0 : r;
}

/* The one that takes a voice's place; without a name when there is none. */
static void find_fallback(const char *language, const char *id, struct st_voice *ret)
{
    if (!id || !st_voices_find(language, id, ret))
        *ret = (struct st_voice){0};
}

/* {character: {voice, chosen, fallback}} of what was cast before. */
static int load_cast(struct st_call *call, const char *story_id, json_t **ret)
{
    json_t *row;
    int r = st_row(call, &row,
                   "select coalesce(jsonb_object_agg(character, to_jsonb(c)), '{}') as voices from casts c "
                   "where story_id = $1",
                   story_id);
    *ret = r == 0 ? json_object_get(row, "voices") : NULL;
    return r;
}

/* The voice that a character keeps: one that was chosen, or that suits what is known of them now. */
static const char *kept_voice(const json_t *known, const json_t *character)
{
    const char *id = st_str(known, "voice"), *age = st_str(character, "age");
    enum st_gender gender = st_gender_from(st_str(character, "gender"));
    struct st_voice v;
    if (!id || st_json_bool(known, "chosen", false) || !st_voices_find("", id, &v))
        return id;
    bool suits = (gender == ST_GENDER_UNKNOWN || gender == v.gender) && (!age || st_age_from(age) == st_voice_age(id));
    return suits ? id : NULL;
}

/* Voices that were found now, so that they stay. */
static void keep_cast(struct st_call *call, const char *story_id, const struct narration_script *s)
{
    json_t *fresh = json_object(), *one;
    size_t i;
    json_array_foreach (s->characters, i, one)
        json_object_set_new(fresh, st_json_str(one, "name", ""), json_string(s->job.voices[i + 1].id));
    st_exec(call,
            "insert into casts (story_id, character, voice) select $1, key, value from jsonb_each_text($2) "
            "on conflict (story_id, character) do update set voice = excluded.voice where not casts.chosen",
            story_id, st_json_text(call->arena, st_json_keep(call->arena, fresh)));
    st_exec(call,
            "delete from casts where story_id = $1 and not chosen and character <> '' "
            "and not jsonb_exists($2::jsonb, character)",
            story_id, st_json_text(call->arena, fresh));
}

static int cast(struct st_call *call, const struct st_speech *speech, const json_t *narration,
                struct narration_script *s)
{
    const char *story_id = st_str(narration, "story_id");
    char language[ST_LANGUAGE_LEN];
    size_t n = json_array_size(s->characters), i;
    json_t *one, *known = NULL;
    int r = load_cast(call, story_id, &known);
    if (r < 0)
        return r;
    if (st_speech_language(speech, s->job.language, language) < 0)
        *language = '\0'; /* voices of providers may speak it, and no other will: see narrate_plan_make */
    struct st_voice *voices = st_new_n(call->arena, struct st_voice, n + 1);
    struct st_role *roles = st_new_n(call->arena, struct st_role, n + 1);
    s->voice_of = st_json_keep(call->arena, json_object());
    s->fallbacks = st_new_n(call->arena, struct st_voice, n + 1);
    s->instead_of = st_new_n(call->arena, const char *, n + 1);
    s->lost = st_alloc_array(call->arena, n + 1, sizeof(*s->lost));
    find_fallback(language, st_str(json_object_get(known, ""), "fallback"), &s->fallbacks[0]);
    json_array_foreach (s->characters, i, one) {
        const char *name = st_json_str(one, "name", "");
        const json_t *had = json_object_get(known, name);
        roles[i] = (struct st_role){st_gender_from(st_str(one, "gender")), st_age_from(st_str(one, "age")),
                                    kept_voice(had, one)};
        json_object_set_new(s->voice_of, name, json_integer((json_int_t)i + 1));
        find_fallback(language, st_str(had, "fallback"), &s->fallbacks[i + 1]);
    }
    if (!st_voices_find(language, st_json_str(json_object_get(known, ""), "voice", ""), &voices[0]))
        st_voices_narrator(language, &voices[0]);
    st_voices_cast(language, &voices[0], roles, n, &voices[1]);
    s->voices = voices;
    s->job.voices = voices;
    s->job.n_voices = n + 1;
    keep_cast(call, story_id, s);
    return find_lenders(call, st_str(narration, "author_id"), story_id, s);
}

static int add_rules(struct st_call *call, struct st_rows *rows, int row, struct st_pronounce_rule **rules, size_t *n)
{
    json_t *list, *one;
    size_t i;
    const char *why, *text = st_cell(rows, row, 0);
    if (st_json_parse(call->arena, text, strlen(text), ST_JSON_DEPTH, &list, &why) < 0)
        return ST_E_INTERNAL;
    struct st_pronounce_rule *more = st_new_n(call->arena, struct st_pronounce_rule, *n + json_array_size(list));
    if (*n)
        memcpy(more, *rules, *n * sizeof(*more));
    json_array_foreach (list, i, one)
        more[(*n)++] = (struct st_pronounce_rule){st_json_str(one, "word", "?"), st_json_str(one, "say", "")};
    *rules = more;
    return 0;
}

int narration_rules(struct st_call *call, const char *story_id, const char *user_id,
                    struct st_pronounce_rule **ret_rules, size_t *ret_n, const char **ret_versions)
{
    struct st_rows *rows;
    *ret_rules = NULL;
    *ret_n = 0;
    int r = st_rows(call, &rows,
                    "(select rules::text, version, 'story' from story_pronunciations "
                    "where story_id = nullif($1, '')::uuid order by version desc limit 1) union all "
                    "(select rules::text, version, 'user' from user_pronunciations where user_id = $2 "
                    "order by version desc limit 1)",
                    story_id, user_id);
    if (r < 0)
        return r;
    json_t *versions = st_json_keep(call->arena, json_pack("{s:i, s:i}", "story", 0, "user", 0));
    for (int i = 0; i < st_rows_count(rows) && r == 0; i++) {
        json_object_set_new(versions, st_cell(rows, i, 2), json_integer(st_cell_int(rows, i, 1)));
        r = add_rules(call, rows, i, ret_rules, ret_n);
    }
    *ret_versions = st_json_text(call->arena, versions);
    return r;
}

/* What the database says of how it is spoken. */
struct manners {
    struct st_pronounce_rule *rules;
    size_t n_rules;
    json_t *takes;
};

static int load_manners(struct st_call *call, const json_t *n, struct narration_script *s, struct manners *ret)
{
    json_t *row = NULL;
    const char *story_id = st_str(n, "story_id");
    int r = narration_rules(call, story_id, st_str(n, "author_id"), &ret->rules, &ret->n_rules, &s->pronunciations);
    if (r == 0)
        r = st_row(call, &row,
                   "select coalesce(jsonb_object_agg(segment_id, take), '{}') as takes from takes where story_id = $1",
                   story_id);
    if (r == 0)
        ret->takes = json_object_get(row, "takes");
    return r;
}

static void fill_segments(struct st_call *call, const struct manners *m, struct narration_script *s)
{
    size_t count = json_array_size(s->segments), i;
    json_t *one;
    struct st_narrate_segment *list = st_new_n(call->arena, struct st_narrate_segment, count + 1);
    json_array_foreach (s->segments, i, one) {
        const char *text = st_json_str(one, "text", ""), *said = st_pronounce(call->arena, m->rules, m->n_rules, text);
        int64_t paragraph = st_json_int(one, "paragraph", 0);
        int64_t next = st_json_int(json_array_get(s->segments, i + 1), "paragraph", paragraph);
        list[i] = (struct st_narrate_segment){
            .text = said,
            .len = strlen(said),
            .voice = (size_t)st_json_int(s->voice_of, st_json_str(one, "speaker", ""), 0),
            .emotion = st_emotion_from(st_str(one, "emotion")),
            .intensity = st_json_num(one, "intensity", 0),
            .paragraph_ends = next != paragraph,
            .heading = st_json_bool(one, "heading", false),
            .take = (int)st_json_int(m->takes, st_json_str(one, "segmentId", ""), 0),
        };
    }
    s->job.segments = list;
    s->job.n_segments = count;
}

static bool is_forbidden(const struct st_voice *v, const char *tier)
{
    bool lent = st_voice_is_lent(v->id);
    return (lent && !*v->name) || !st_remote_allowed(lent ? v->name : v->id, tier);
}

int narration_script_lose(struct narration_script *s, size_t voice)
{
    struct st_voice *v = &s->voices[voice], next = s->fallbacks[voice];
    s->fallbacks[voice] = (struct st_voice){0}; /* one way down */
    if (!*next.id || is_forbidden(&next, s->tier))
        return ST_E_NOT_FOUND;
    snprintf(s->lost[s->n_lost], sizeof(*s->lost), "%s", v->id);
    s->instead_of[voice] = s->lost[s->n_lost++];
    *v = next;
    return 0;
}

size_t narration_script_forbidden(const struct narration_script *s)
{
    for (size_t i = 0; i < s->job.n_voices; i++)
        if (is_forbidden(&s->voices[i], s->tier))
            return i;
    return SIZE_MAX;
}

int narration_script_load(struct st_call *call, const struct st_speech *speech, const json_t *n,
                          struct narration_script *ret)
{
    struct manners manners = {0};
    *ret = (struct narration_script){.job = {.speech = speech, .language = st_str(n, "language")},
                                     .tier = st_json_str(n, "tier", ""),
                                     .characters = json_object_get(n, "characters")};
    int r = cast(call, speech, n, ret);
    if (r == 0)
        r = load_manners(call, n, ret, &manners);
    if (r < 0 || (r = st_commit(call)) < 0)
        return r;
    ret->segments = narration_segments(call, n);
    if (!ret->segments)
        return st_fail(call, ST_E_UNAVAILABLE, "The text of the story cannot be read.");
    fill_segments(call, &manners, ret);
    return 0;
}
