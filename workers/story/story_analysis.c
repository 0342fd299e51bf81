/* The analysis of a text: run as a job, kept, told to others, shown. */
#include "story/analyse.h"
#include "story/story.h"

enum {
    EVENT_TEXT_MAX = 256 * 1024, /* segments larger than this travel as an object, not in the event */
    SEGMENTS_LIMIT = 16 * 1024 * 1024
};

static void put_member(struct st_buf *b, const char *name, const char *value)
{
    st_buf_printf(b, "\"%s\":", name);
    if (value)
        st_buf_json(b, value, strlen(value));
    else
        st_buf_str(b, "null");
    st_buf_char(b, ',');
}

/* Segments as JSON text: for the event, and (api) for clients, who see no index but the evidence. */
static const char *segments_text(struct st_call *call, const struct st_analysis *a, bool api)
{
    struct st_buf b = ST_BUF(SEGMENTS_LIMIT);
    st_buf_char(&b, '[');
    for (int i = 0; i < a->n_segments; i++) {
        const struct st_segment *s = &a->segments[i];
        st_buf_str(&b, i ? ",{" : "{");
        if (api)
            st_buf_printf(&b, "\"confidence\":%.2f,", s->confidence);
        else
            st_buf_printf(&b, "\"index\":%d,", s->index);
        if (api && s->evidence)
            put_member(&b, "evidence", s->evidence);
        put_member(&b, "segmentId", s->id);
        put_member(&b, "text", s->text);
        put_member(&b, "kind", st_segment_kind_name(s->kind));
        put_member(&b, "speaker", s->character < 0 ? NULL : a->characters[s->character].name);
        put_member(&b, "emotion", st_emotion_name(s->emotion));
        st_buf_printf(&b, "\"intensity\":%.2f,\"paragraph\":%d}", s->intensity, s->paragraph);
    }
    st_buf_char(&b, ']');
    const char *text = b.failed ? NULL : st_strndup(call->arena, b.data, b.len);
    st_buf_release(&b);
    return text;
}

static json_t *characters_json(struct st_call *call, const struct st_analysis *a)
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
    return st_json_keep(call->arena, list);
}

static void store_emotions(struct st_call *call, const char *analysis_id, const struct st_analysis *a)
{
    int counts[ST_EMOTIONS_] = {0};
    double sums[ST_EMOTIONS_] = {0};
    for (int i = 0; i < a->n_segments; i++) {
        counts[a->segments[i].emotion]++;
        sums[a->segments[i].emotion] += a->segments[i].intensity;
    }
    for (int e = 0; e < ST_EMOTIONS_; e++)
        if (counts[e])
            st_exec(call, "insert into story_emotions values ($1, $2, $3, $4)", analysis_id,
                    st_emotion_name((enum st_emotion)e), st_i64(call->arena, counts[e]),
                    st_printf(call->arena, "%.3f", sums[e] / counts[e]));
}

/* Puts the segments into the event, or beside it when they are many. */
static int attach_segments(struct st_call *call, json_t *event, const char *story_id, const char *analysis_id,
                           const struct st_analysis *a)
{
    const char *text = segments_text(call, a, false);
    if (!text)
        return st_fail(call, ST_E_TOO_LARGE, "The analysis is too large.");
    if (strlen(text) <= EVENT_TEXT_MAX) {
        json_object_set_new(event, "segments", json_loads(text, 0, NULL));
        return 0;
    }
    const char *key = st_printf(call->arena, "story/%s/%s.json", story_id, analysis_id);
    json_object_set_new(event, "textRef", json_string(key));
    return st_object_put(call, key, text, strlen(text));
}

/* Before the transaction: it may go to the object store. */
static int make_event(struct st_call *call, const json_t *story, const char *analysis_id, const struct st_analysis *a,
                      json_t **ret)
{
    const char *story_id = st_str(story, "story_id");
    *ret = st_json_keep(call->arena, json_pack("{s:s, s:s, s:s, s:s, s:s}", "storyId", story_id, "authorId",
                                               st_str(story, "author_id"), "analysisId", analysis_id, "title",
                                               st_str(story, "title"), "language", a->language));
    return attach_segments(call, *ret, story_id, analysis_id, a);
}

static int tell(struct st_call *call, const char *story_id, json_t *event, json_t *characters)
{
    st_emit(call, "CharactersExtracted", story_id,
            json_pack("{s:s, s:O}", "storyId", story_id, "characters", characters));
    st_emit(call, "StoryAnalyzed", story_id, json_incref(event));
    return 0;
}

static int store(struct st_call *call, const json_t *story, const struct st_analysis *a)
{
    const char *story_id = st_str(story, "story_id"), *hash = st_str(story, "content_hash");
    const char *analysis_id = st_new_id(call->arena), *segments = segments_text(call, a, true);
    json_t *characters = characters_json(call, a), *event;
    if (!segments)
        return st_fail(call, ST_E_TOO_LARGE, "The analysis is too large.");
    int r = make_event(call, story, analysis_id, a, &event);
    if (r < 0)
        return r;
    /* Edited meanwhile: the edit has left a job of its own. */
    r = st_exec_one(call, ST_E_CANCELLED,
                    "update stories set state = case when published_at is null then 'ready' else 'published' end, "
                    "language = case when language_given then language else $3 end "
                    "where story_id = $1 and content_hash = $2 and deleted_at is null and "
                    "case when language_given then language end is not distinct from $4",
                    story_id, hash, a->language, st_str(story, "language"));
    if (r < 0)
        return r;
    st_exec(call, "delete from story_analyses where story_id = $1 and content_hash = $2", story_id, hash);
    st_exec(call,
            "insert into story_analyses (analysis_id, story_id, content_hash, analyser_version, language, segments) "
            "values ($1, $2, $3, $4, $5, $6)",
            analysis_id, story_id, hash, st_i64(call->arena, ST_ANALYSER_VERSION), a->language, segments);
    st_exec(call,
            "insert into story_characters select $1, t.n, t.c->>'name', t.c->'aliases', (t.c->>'mentions')::int, "
            "t.c->>'gender', t.c->>'age' from jsonb_array_elements($2::jsonb) with ordinality t (c, n)",
            analysis_id, st_json_text(call->arena, characters));
    store_emotions(call, analysis_id, a);
    story_index(call, story_id);
    return tell(call, story_id, event, characters);
}

/* The author reads it in the analysis; another text, or asking again, begins anew. */
int story_analyse_failed(struct st_call *call)
{
    st_exec(call,
            "update stories set state = 'draft', analysis_error = 'The text cannot be analysed.' "
            "where story_id = $1 and state = 'analyzing' and deleted_at is null",
            st_str(call->body, "storyId"));
    return 0;
}

int story_analyse(struct st_call *call)
{
    json_t *story;
    struct st_analysis *analysis;
    int r = st_row(call, &story,
                   "select story_id, author_id, title, content, content_hash, "
                   "case when language_given then language end as language from stories "
                   "where story_id = $1 and deleted_at is null",
                   st_str(call->body, "storyId"));
    if (r == ST_E_NOT_FOUND)
        return 0; /* deleted meanwhile */
    if (r < 0 || (r = st_commit(call)) < 0)
        return r;
    const char *content = st_str(story, "content");
    struct st_analyse_hints hints = {.language = st_str(story, "language")};
    r = st_analyse(call->arena, content, strlen(content), &hints, &analysis);
    if (r < 0)
        return st_fail(call, r, "The text cannot be analysed.");
    r = store(call, story, analysis);
    if (r != ST_E_CANCELLED)
        return r;
    return 0;
}

void story_forget_files(struct st_call *call, const char *story_id)
{
    st_enqueue(call, "remove_files", story_id, 0, json_pack("{s:s}", "storyId", story_id));
}

int story_remove_files(struct st_call *call)
{
    return st_object_remove(call, st_printf(call->arena, "story/%s/", st_str(call->body, "storyId")));
}

static int without(struct st_call *call, const char *why)
{
    return st_reply(call, 200,
                    json_pack("{s:s, s:s*, s:n, s:[], s:[]}", "status", why ? "failed" : "pending", "reason", why,
                              "language", "characters", "segments"));
}

/* The document is put together by the database and passed through: a long story has thousands of segments. */
int story_get_analysis(struct st_call *call)
{
    struct st_rows *rows;
    int r =
        st_rows(call, &rows,
                "select a.analysis_id is not null and s.state <> 'analyzing', '{\"status\":\"ready\",\"language\":' || "
                "to_json(a.language) || ',\"characters\":' || coalesce((select json_agg(json_strip_nulls("
                "json_build_object('name', c.name, 'aliases', c.aliases, 'mentions', c.mentions, 'gender', c.gender, "
                "'age', c.age)) order by c.position) from story_characters c where c.analysis_id = a.analysis_id), "
                "'[]') || ',\"segments\":' || a.segments || '}', s.analysis_error "
                "from stories s left join story_analyses a on a.story_id = s.story_id and "
                "a.content_hash = s.content_hash where " STORY_READABLE " order by a.analyser_version desc limit 1",
                st_param(call, "storyId"), call->user_id);
    if (r < 0)
        return r;
    if (st_rows_count(rows) == 0)
        return st_fail(call, ST_E_NOT_FOUND, "There is no such story, or it is not yours to see.");
    if (!st_streq(st_cell(rows, 0, 0), "t"))
        return without(call, st_cell(rows, 0, 2));
    return st_reply_text(call, 200, "application/json", st_cell(rows, 0, 1));
}
