/* The analysis of a text: run as a job, kept, told to others, shown. */
#include "story/story.h"
#include "story/story_found.h"
#include "story/story_chat.h"

enum {
    EVENT_TEXT_MAX = 256 * 1024, /* segments larger than this travel as an object, not in the event */
    OBJECT_DAYS = 7,             /* that it is kept when there is a newer one: a narration may still be made of it */
};

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

static const char *object_key(struct st_call *call, const char *story_id, const char *analysis_id)
{
    return st_printf(call->arena, "story/%s/%s.json", story_id, analysis_id);
}

/* Puts the segments into the event, or beside it when they are many. */
static int attach_segments(struct st_call *call, json_t *event, const char *story_id, const char *analysis_id,
                           const struct story_found *found)
{
    const char *text = story_segments_text(call->arena, found, false);
    if (!text)
        return st_fail(call, ST_E_TOO_LARGE, "The analysis is too large.");
    if (strlen(text) <= EVENT_TEXT_MAX) {
        json_object_set_new(event, "segments", json_loads(text, 0, NULL));
        return 0;
    }
    const char *key = object_key(call, story_id, analysis_id);
    json_object_set_new(event, "textRef", json_string(key));
    return st_object_put(call, key, text, strlen(text));
}

/* Before the transaction, for it may go to the object store: all but what may change meanwhile, the title. */
static int make_event(struct st_call *call, const json_t *story, const char *analysis_id,
                      const struct story_found *found, json_t **ret)
{
    const char *story_id = st_str(story, "story_id");
    *ret = st_json_keep(call->arena,
                        json_pack("{s:s, s:s, s:s, s:s}", "storyId", story_id, "authorId", st_str(story, "author_id"),
                                  "analysisId", analysis_id, "language", found->analysis->language));
    return attach_segments(call, *ret, story_id, analysis_id, found);
}

static int tell(struct st_call *call, const char *story_id, json_t *event, json_t *characters)
{
    st_emit(call, "CharactersExtracted", story_id,
            json_pack("{s:s, s:O}", "storyId", story_id, "characters", characters));
    st_emit(call, "StoryAnalyzed", story_id, json_incref(event));
    return 0;
}

/* Against the story's analysis so far, which goes; not against one from before it was deleted: others have forgotten
 * that, and its files are gone. */
static int changes_since(struct st_call *call, const char *story_id, const struct st_analysis *a, json_t **ret)
{
    struct st_rows *rows;
    int r = st_rows(call, &rows,
                    "delete from story_analyses where story_id = $1 returning analysis_id, "
                    "case when content_hash <> '' then segments end",
                    story_id);
    if (r < 0)
        return r;
    const char *before = st_rows_count(rows) ? st_cell(rows, 0, 1) : NULL;
    *ret = before ? story_changes(call->arena, a, st_cell(rows, 0, 0), before) : NULL;
    if (before && strlen(before) > EVENT_TEXT_MAX)
        st_enqueue(call, "remove_files", st_cell(rows, 0, 0), OBJECT_DAYS * INT64_C(86400000),
                   json_pack("{s:s}", "key", object_key(call, story_id, st_cell(rows, 0, 0))));
    return 0;
}

static int store(struct st_call *call, const json_t *story, const struct story_found *found)
{
    const struct st_analysis *a = found->analysis;
    const char *story_id = st_str(story, "story_id"), *hash = st_str(story, "content_hash");
    const char *analysis_id = st_new_id(call->arena), *segments = story_segments_text(call->arena, found, true);
    json_t *characters = story_characters_json(call->arena, a), *changes = NULL, *event, *now;
    if (!segments)
        return st_fail(call, ST_E_TOO_LARGE, "The analysis is too large.");
    int r = make_event(call, story, analysis_id, found, &event);
    if (r < 0)
        return r;
    r = st_row(call, &now,
               "update stories set state = case when state <> 'analyzing' then state "
               "when published_at is null then 'ready' else 'published' end, "
               "language = case when language_given then language else $3 end "
               "where story_id = $1 and content_hash = $2 and deleted_at is null and state <> 'draft' and "
               "case when language_given then language end is not distinct from $4 returning title",
               story_id, hash, a->language, st_str(story, "language"));
    if (r == ST_E_NOT_FOUND)
        return ST_E_CANCELLED; /* edited meanwhile: the edit has left a job of its own */
    if (r < 0 || (r = changes_since(call, story_id, a, &changes)) < 0)
        return r;
    st_exec(call,
            "insert into story_analyses (analysis_id, story_id, content_hash, analyser_version, language, segments, "
            "changes, analyser, fallback, corrections) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            analysis_id, story_id, hash, st_i64(call->arena, ST_ANALYSER_VERSION), a->language, segments,
            changes ? st_json_text(call->arena, changes) : NULL, found->analyser, found->fallback,
            st_i64(call->arena, st_json_int(story, "corrections", 0)));
    st_exec(call,
            "insert into story_characters select $1, t.n, t.c->>'name', t.c->'aliases', (t.c->>'mentions')::int, "
            "t.c->>'gender', t.c->>'age' from jsonb_array_elements($2::jsonb) with ordinality t (c, n)",
            analysis_id, st_json_text(call->arena, characters));
    store_emotions(call, analysis_id, a);
    story_index(call, story_id, st_str(now, "title"), st_str(story, "content"));
    if ((r = story_forget_published(call, story_id, NULL)) < 0)
        return r;
    json_object_set(event, "title", json_object_get(now, "title"));
    if (changes)
        json_object_set(event, "changes", changes);
    return tell(call, story_id, event, characters);
}

/*
 * The author reads it in the analysis; another text, or asking again, begins anew. What is published stays so: readers
 * have it; and what has an analysis of this text keeps it.
 */
int story_analyse_failed(struct st_call *call)
{
    st_exec(call,
            "update stories s set state = case when published_at is not null then 'published' when exists (select from "
            "story_analyses a where a.story_id = s.story_id and a.content_hash = s.content_hash) then 'ready' "
            "else 'draft' end, analysis_error = 'The text cannot be analysed.' where story_id = $1 and "
            "state = 'analyzing' and deleted_at is null",
            st_str(call->body, "storyId"));
    return story_forget_published(call, st_str(call->body, "storyId"), NULL);
}

/* Indexed here, and not where it is posted: a long one takes a second. */
int story_begin(struct st_call *call, json_t **ret_story, json_t **ret_corrections)
{
    const char *id = st_str(call->body, "storyId");
    int r = st_row(call, ret_story,
                   "select story_id, author_id, title, content, content_hash, "
                   "case when language_given then language end as language, corrections, "
                   "(select segments from story_analyses a where a.story_id = s.story_id) as former from stories s "
                   "where story_id = $1 and deleted_at is null for update",
                   id);
    if (r == ST_E_NOT_FOUND)
        return 0; /* deleted meanwhile */
    if (r < 0 || (r = story_corrections(call, id, ret_corrections)) < 0)
        return r;
    story_index(call, id, st_str(*ret_story, "title"), st_str(*ret_story, "content"));
    return (r = st_commit(call)) < 0 ? r : 1;
}

int story_end(struct st_call *call, const json_t *story, const struct story_found *found)
{
    int r = store(call, story, found);
    return r == ST_E_CANCELLED ? 0 : r;
}

/*
 * Of this text, by what analyses it for the tier, and with these corrections: asking again would change nothing, and
 * narrations and films would be made anew for it.
 */
int story_is_analysed(struct st_call *call, const char *story_id, const char *tier)
{
    struct st_rows *rows;
    int r = st_rows(call, &rows,
                    "select from stories s join story_analyses a using (story_id, content_hash, corrections) "
                    "where story_id = $1 and state not in ('draft', 'analyzing') and analyser_version = $2 and "
                    "fallback is null and analyser = $3",
                    story_id, st_i64(call->arena, ST_ANALYSER_VERSION), story_analyser(call->arena, tier));
    return r < 0 ? r : st_rows_count(rows) > 0;
}

/*
 * The whole text each time, as analyse.h says why. What comes out as it was before is told as unchanged, so that those
 * who speak and show it need not begin anew.
 */
int story_analyse(struct st_call *call)
{
    json_t *story, *corrections;
    struct story_found found = {.analyser = STORY_EMBEDDED};
    int r = story_begin(call, &story, &corrections);
    if (r <= 0)
        return r;
    if (story_wants_chat(st_json_str(call->body, "tier", ""))) {
        st_enqueue(call, "ask", st_str(call->body, "storyId"), 0, json_incref(call->body));
        return 0;
    }
    const char *content = st_str(story, "content");
    const struct st_analyse_hints hints = story_hints(call->arena, story, corrections);
    r = st_analyse(call->arena, content, strlen(content), &hints, &found.analysis);
    if (r < 0)
        return st_fail(call, r, "The text cannot be analysed.");
    story_overlay(call->arena, &found, corrections);
    return story_end(call, story, &found);
}

void story_forget_files(struct st_call *call, const char *story_id)
{
    st_enqueue(call, "remove_files", story_id, 0, json_pack("{s:s}", "storyId", story_id));
}

/* A story may have been restored since: then what nothing refers to is collected, and the rest is its own. */
int story_remove_files(struct st_call *call)
{
    const char *key = st_str(call->body, "key"), *id = st_str(call->body, "storyId");
    struct st_rows *rows;
    int r = st_rows(call, &rows, "select from stories where story_id = $1 and deleted_at is null", key ? NULL : id);
    if (r < 0 || st_rows_count(rows) || (r = st_commit(call)) < 0)
        return r;
    return st_object_remove(call, key ? key : st_printf(call->arena, "story/%s/", id));
}

static int without(struct st_call *call, const char *why, const char *state)
{
    const char *status = why ? "failed" : st_streq(state, "draft") ? "none" : "pending";
    return st_reply(call, 200,
                    json_pack("{s:s, s:s*, s:n, s:[], s:[]}", "status", status, "reason", why, "language", "characters",
                              "segments"));
}

/* The document is put together by the database and passed through: a long story has thousands of segments. */
int story_get_analysis(struct st_call *call)
{
    struct st_rows *rows;
    int r = st_rows(
        call, &rows,
        "select a.analysis_id is not null and s.state <> 'analyzing', '{\"status\":\"ready\",\"analysisId\":\"' "
        "|| a.analysis_id || '\",\"analyser\":' || json_strip_nulls(json_build_object('name', a.analyser, "
        "'version', a.analyser_version, 'fallback', case when s.author_id = $2 then a.fallback end)) || "
        "',\"language\":' || to_json(a.language) || ',\"characters\":' || coalesce((select json_agg(json_strip_nulls("
        "json_build_object('name', c.name, 'aliases', c.aliases, 'mentions', c.mentions, 'gender', c.gender, "
        "'age', c.age)) order by c.position) from story_characters c where c.analysis_id = a.analysis_id), "
        "'[]') || ',\"segments\":' || a.segments || coalesce(',\"changes\":' || a.changes, '') || '}', "
        "s.analysis_error, s.state "
        "from stories s left join story_analyses a on a.story_id = s.story_id and "
        "a.content_hash = s.content_hash where " STORY_READABLE,
        st_param(call, "storyId"), call->user_id);
    if (r < 0)
        return r;
    if (st_rows_count(rows) == 0)
        return story_not_found(call, ST_E_NOT_FOUND);
    if (!st_streq(st_cell(rows, 0, 0), "t"))
        return without(call, st_cell(rows, 0, 2), st_cell(rows, 0, 3));
    return st_reply_text(call, 200, "application/json", st_cell(rows, 0, 1));
}
