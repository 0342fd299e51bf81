/* An analysis as JSON: for the event, for clients, and what in it is not as it was before. */
#include <math.h>

#include "story/story_found.h"

enum { SEGMENTS_LIMIT = 16 * 1024 * 1024, CHANGES_MAX = 2000 };

static void put_member(struct st_buf *b, const char *name, const char *value)
{
    st_buf_printf(b, "\"%s\":", name);
    if (value)
        st_buf_json(b, value, strlen(value));
    else
        st_buf_str(b, "null");
    st_buf_char(b, ',');
}

static void put_for_clients(struct st_buf *b, const struct st_segment *s, unsigned corrected)
{
    static const char *const what[] = {"", "\"speaker\"", "\"emotion\"", "\"speaker\",\"emotion\""};
    st_buf_printf(b, "\"confidence\":%.2f,", s->confidence);
    if (s->evidence)
        put_member(b, "evidence", s->evidence);
    if (corrected)
        st_buf_printf(b, "\"corrected\":[%s],", what[corrected]);
}

const char *story_segments_text(struct st_arena *arena, const struct story_found *found, bool for_clients)
{
    const struct st_analysis *a = found->analysis;
    struct st_buf b = ST_BUF(SEGMENTS_LIMIT);
    st_buf_char(&b, '[');
    for (int i = 0; i < a->n_segments; i++) {
        const struct st_segment *s = &a->segments[i];
        st_buf_str(&b, i ? ",{" : "{");
        if (for_clients)
            put_for_clients(&b, s, found->corrected[i]);
        else
            st_buf_printf(&b, "\"index\":%d,", s->index);
        put_member(&b, "segmentId", s->id);
        put_member(&b, "text", s->text);
        put_member(&b, "kind", st_segment_kind_name(s->kind));
        put_member(&b, "speaker", story_speaker(a, s));
        put_member(&b, "emotion", st_emotion_name(s->emotion));
        st_buf_printf(&b, "\"intensity\":%.2f,\"paragraph\":%d%s}", s->intensity, s->paragraph,
                      s->heading ? ",\"heading\":true" : "");
    }
    st_buf_char(&b, ']');
    const char *text = b.failed ? NULL : st_strndup(arena, b.data, b.len);
    st_buf_release(&b);
    return text;
}

json_t *story_characters_json(struct st_arena *arena, const struct st_analysis *a)
{
    json_t *list = json_array();
    for (int i = 0; i < a->n_characters; i++) {
        const struct st_character *c = &a->characters[i];
        json_t *aliases = json_array();
        for (int k = 0; k < c->n_aliases; k++)
            json_array_append_new(aliases, json_string(c->aliases[k]));
        const char *gender = c->gender == 'f' ? "female" : c->gender == 'm' ? "male" : NULL;
        json_array_append_new(list, json_pack("{s:s, s:o, s:i, s:s*, s:s*}", "name", c->name, "aliases", aliases,
                                              "mentions", c->mentions, "gender", gender, "age", c->age));
    }
    return st_json_keep(arena, list);
}

/* --- what has changed --- */

static bool is_same(const struct st_analysis *a, const struct st_segment *s, const json_t *before)
{
    char intensity[16];
    snprintf(intensity, sizeof(intensity), "%.2f", s->intensity);
    return st_streq(story_speaker(a, s), st_json_str(before, "speaker", NULL)) &&
           st_streq(st_segment_kind_name(s->kind), st_json_str(before, "kind", NULL)) &&
           st_streq(st_emotion_name(s->emotion), st_json_str(before, "emotion", NULL)) &&
           s->heading == st_json_bool(before, "heading", false) &&
           fabs(strtod(intensity, NULL) - st_json_num(before, "intensity", 0)) < 0.001;
}

json_t *story_changes(struct st_arena *arena, const struct st_analysis *a, const char *since, const char *before)
{
    json_t *list = before ? json_loads(before, 0, NULL) : NULL, *by_id = json_object(), *segment;
    json_t *added = json_array(), *changed = json_array(), *removed = json_array();
    const char *id;
    size_t i;
    json_array_foreach (list, i, segment)
        json_object_set(by_id, st_json_str(segment, "segmentId", ""), segment);
    for (int k = 0; k < a->n_segments; k++) {
        const struct st_segment *s = &a->segments[k];
        const json_t *was = json_object_get(by_id, s->id);
        if (!was || !is_same(a, s, was))
            json_array_append_new(was ? changed : added, json_string(s->id));
        json_object_del(by_id, s->id);
    }
    json_object_foreach (by_id, id, segment)
        json_array_append_new(removed, json_string(id));
    bool told = list && json_array_size(added) + json_array_size(changed) + json_array_size(removed) <= CHANGES_MAX;
    json_decref(by_id);
    json_decref(list);
    json_t *changes = st_json_keep(arena, json_pack("{s:s, s:o, s:o, s:o}", "since", since ? since : "", "added", added,
                                                    "changed", changed, "removed", removed));
    return told ? changes : NULL;
}
