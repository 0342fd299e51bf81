/* Users' corrections, as the analyser takes them and as they lie over what it finds. */
#include "story/story_found.h"

bool story_emotion_from_name(const char *name, enum st_emotion *ret)
{
    for (int e = 0; e < ST_EMOTIONS_; e++)
        if (st_streq(name, st_emotion_name((enum st_emotion)e))) {
            *ret = (enum st_emotion)e;
            return true;
        }
    return false;
}

static void read_character(struct st_arena *arena, const json_t *from, struct st_character *c)
{
    const json_t *aliases = json_object_get(from, "aliases");
    const char *gender = st_json_str(from, "gender", NULL);
    const char **names = st_new_n(arena, const char *, json_array_size(aliases) + 1);
    json_t *alias;
    size_t i;
    json_array_foreach ((json_t *)aliases, i, alias)
        if (json_string_value(alias))
            names[c->n_aliases++] = json_string_value(alias);
    c->name = st_json_str(from, "name", "");
    c->aliases = names;
    c->gender = st_streq(gender, "female") ? 'f' : st_streq(gender, "male") ? 'm' : 0;
    c->age = st_json_str(from, "age", NULL);
}

static int find(const struct st_character *cast, int n, const char *name)
{
    for (int i = 0; i < n; i++) {
        if (st_streq(cast[i].name, name))
            return i;
        for (int k = 0; k < cast[i].n_aliases; k++)
            if (st_streq(cast[i].aliases[k], name))
                return i;
    }
    return -1;
}

/* Ids in the JSON text of segments: within a text no quotation mark stands unescaped. */
static const char *const *read_ids(struct st_arena *arena, const char *segments, int *ret_n)
{
    static const char member[] = "\"segmentId\":\"";
    const size_t len = sizeof(member) - 1;
    int n = 0;
    for (const char *s = segments; s && (s = strstr(s, member)); s += len)
        n++;
    const char **ids = st_new_n(arena, const char *, (size_t)n + 1);
    *ret_n = n;
    n = 0;
    for (const char *s = segments; s && (s = strstr(s, member));) {
        s += len;
        ids[n++] = st_strndup(arena, s, strcspn(s, "\""));
    }
    return ids;
}

struct st_analyse_hints story_hints(struct st_arena *arena, const json_t *story, const json_t *corrections)
{
    const json_t *list = json_object_get(corrections, "cast"), *segments = json_object_get(corrections, "segments");
    size_t most = json_array_size(list) + json_array_size(segments), i;
    struct st_character *cast = st_new_n(arena, struct st_character, most + 1);
    struct st_speaker_hint *speakers = st_new_n(arena, struct st_speaker_hint, json_array_size(segments) + 1);
    struct st_analyse_hints hints = {
        .language = st_json_str(story, "language", NULL), .cast = cast, .speakers = speakers};
    json_t *one;
    hints.former = read_ids(arena, st_json_str(story, "former", NULL), &hints.n_former);
    json_array_foreach ((json_t *)list, i, one)
        read_character(arena, one, &cast[hints.n_cast++]);
    json_array_foreach ((json_t *)segments, i, one) {
        const char *speaker = st_json_str(one, "speaker", NULL);
        if (!st_json_bool(one, "speakerGiven", false))
            continue;
        int at = speaker ? find(cast, hints.n_cast, speaker) : -1;
        if (speaker && at < 0) {
            at = hints.n_cast++;
            cast[at].name = speaker;
        }
        speakers[hints.n_speakers++] = (struct st_speaker_hint){st_json_str(one, "segmentId", ""), at};
    }
    return hints;
}

void story_overlay(struct st_arena *arena, struct story_found *found, const json_t *corrections)
{
    struct st_analysis *a = found->analysis;
    json_t *by_id = st_json_keep(arena, json_object()), *one;
    size_t i;
    found->corrected = st_new_n(arena, unsigned char, (size_t)a->n_segments + 1);
    json_array_foreach (json_object_get(corrections, "segments"), i, one)
        json_object_set(by_id, st_json_str(one, "segmentId", ""), one);
    for (int k = 0; k < a->n_segments; k++) {
        struct st_segment *s = &a->segments[k];
        const json_t *c = json_object_get(by_id, s->id);
        if (c && st_json_bool(c, "speakerGiven", false))
            found->corrected[k] |= STORY_SPEAKER_CORRECTED;
        if (!c || !story_emotion_from_name(st_json_str(c, "emotion", NULL), &s->emotion))
            continue;
        s->intensity = s->emotion == ST_NEUTRAL ? 0 : st_json_num(c, "intensity", 0.6);
        found->corrected[k] |= STORY_EMOTION_CORRECTED;
    }
}
