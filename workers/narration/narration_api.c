/* Hearing narrations. */
#include "narration/narration.h"
#include "svc/limit.h"

/* part 0: the whole. */
static const char *key_of(struct st_call *call, const char *id, int64_t part, const char *format)
{
    return part ? st_printf(call->arena, "narration/%s/part-%lld.%s", id, (long long)part, format)
                : st_printf(call->arena, "narration/%s/audio.%s", id, format);
}

/* Its addresses, one for each format. */
static json_t *audio(struct st_call *call, const char *id, int64_t part)
{
    static const char *const formats[] = {"opus", "mp3"};
    json_t *list = json_array();
    for (size_t f = 0; f < ST_COUNT(formats); f++) {
        const char *path = st_printf(call->arena, "/v1/narrations/%s/audio?format=%s", id, formats[f]);
        if (part)
            path = st_printf(call->arena, "%s&part=%lld", path, (long long)part);
        json_array_append_new(list, json_pack("{s:s, s:s}", "format", formats[f], "url",
                                              st_object_link(call, path, key_of(call, id, part, formats[f]))));
    }
    return list;
}

/* Those that are there, in their order, each with its addresses. */
static json_t *parts(struct st_call *call, const json_t *n)
{
    json_t *list = json_array(), *one;
    size_t i;
    json_array_foreach (json_object_get(n, "parts"), i, one) {
        json_t *part = json_copy(one);
        json_object_set_new(part, "audio", audio(call, st_str(n, "narration_id"), st_json_int(one, "part", 0)));
        json_array_append_new(list, part);
    }
    return list;
}

/* What can be told of one that cannot be heard, or not yet, besides its id and status. */
static json_t *unheard(struct st_call *call, const json_t *n)
{
    const char *status = st_json_str(n, "status", "pending"), *reason = st_str(n, "reason");
    json_t *ret = json_pack("{s:s, s:O?}", "status", status, "narrationId", json_object_get(n, "narration_id"));
    if (reason)
        json_object_set_new(ret, "reason", json_string(reason));
    if (st_streq(status, "failed"))
        return ret;
    if (st_json_int(n, "progress_total", 0) > 0)
        json_object_set_new(ret, "progress",
                            json_pack("{s:O, s:O}", "done", json_object_get(n, "progress_done"), "total",
                                      json_object_get(n, "progress_total")));
    if (json_array_size(json_object_get(n, "parts")))
        json_object_set_new(ret, "parts", parts(call, n));
    return ret;
}

/* A narration of before the member was kept has none. */
static const char *json_text_or(struct st_call *call, const json_t *n, const char *name, const char *otherwise)
{
    const json_t *value = json_object_get(n, name);
    return json_is_array(value) || json_is_object(value) ? st_json_text(call->arena, value) : otherwise;
}

/* The timing map is passed through as text: a long story has thousands of segments. */
static int reply_ready(struct st_call *call, const json_t *n, const json_t *next)
{
    const char *id = st_str(n, "narration_id");
    const char *link = st_object_link(call, st_printf(call->arena, "/v1/narrations/%s/captions", id),
                                      st_printf(call->arena, "narration/%s/captions.vtt", id));
    const char *captions = st_json_bool(n, "captions", false) ? st_printf(call->arena, "\"%s\"", link) : "null";
    const char *newer = next ? st_json_text(call->arena, st_json_keep(call->arena, unheard(call, next))) : NULL;
    const char *incomplete = "";
    if (json_is_integer(json_object_get(n, "incomplete"))) /* of narrations of before it is not known */
        incomplete = st_printf(call->arena, ",\"incomplete\":%lld", (long long)st_json_int(n, "incomplete", 0));
    const char *text =
        st_printf(call->arena,
                  "{\"status\":\"ready\",\"narrationId\":\"%s\",\"durationMs\":%lld,\"audio\":%s,\"captionsUrl\":%s,"
                  "\"voices\":%s,"
                  "\"chapters\":%s,\"pronunciations\":%s,\"cachedShare\":%.4f%s%s%s,\"segments\":%s}",
                  id, (long long)st_json_int(n, "duration_ms", 0),
                  st_json_text(call->arena, st_json_keep(call->arena, audio(call, id, 0))), captions,
                  st_json_text(call->arena, json_object_get(n, "voices")), json_text_or(call, n, "chapters", "[]"),
                  json_text_or(call, n, "pronunciations", "{}"), st_json_num(n, "cached_share", 0), incomplete,
                  newer ? ",\"next\":" : "", newer ? newer : "", st_json_str(n, "timing", "[]"));
    return st_reply_text(call, 200, "application/json", text);
}

/*
 * The newest that can be heard, and the newest behind it that cannot: it is still made, or has failed. Why, its author
 * alone reads: it tells of tier and voices.
 */
int narration_get(struct st_call *call)
{
    json_t *n;
    int r = st_row(
        call, &n,
        "select h.narration_id, h.duration_ms, h.captions, h.voices, h.timing, h.chapters, h.pronunciations, "
        "h.cached_share, h.incomplete, case when u.narration_id is not null then jsonb_build_object('narration_id', "
        "u.narration_id, 'status', u.status, 'reason', case when s.author_id = $2 then u.reason end, "
        "'parts', u.parts, 'progress_done', "
        "j.progress_done, 'progress_total', j.progress_total) end as next from stories s "
        "left join lateral (select * from narrations where story_id = s.story_id and status = 'ready' "
        "order by ordinal desc limit 1) h on true "
        "left join lateral (select * from narrations where story_id = s.story_id and status <> 'ready' "
        "and (h.narration_id is null or ordinal > h.ordinal) "
        "order by ordinal desc limit 1) u on true "
        "left join jobs j on j.name in ('speak', 'speak_long') and j.unique_key = u.narration_id::text and "
        "j.state = 'running' where s.story_id = $1 and " NARRATION_READABLE,
        st_param(call, "storyId"), call->user_id);
    if (r == ST_E_NOT_FOUND)
        return st_absent(call, st_param(call, "storyId"), "There is no such story, or it is not yours to hear.");
    if (r < 0)
        return r;
    const json_t *next = json_object_get(n, "next");
    if (st_str(n, "narration_id"))
        return reply_ready(call, n, json_is_object(next) ? next : NULL);
    json_t *answer = unheard(call, next);
    json_object_update_new(answer, json_pack("{s:n, s:[], s:[]}", "durationMs", "audio", "segments"));
    return st_reply(call, 200, answer);
}

/* Of the whole, or of a part of one that is still made, or was. Of one that has failed nothing is heard. */
int narration_get_audio(struct st_call *call)
{
    const char *id = st_param(call, "narrationId"), *format = st_param(call, "format");
    int64_t part = st_param_int(call, "part");
    const char *key = key_of(call, id, part, format);
    struct st_rows *rows;
    int r = st_object_admit(call, key);
    if (r < 0)
        return r;
    r = st_rows(call, &rows,
                "select from narrations n join stories s using (story_id) where n.narration_id = $1 and "
                "case $3::int when 0 then n.status = 'ready' "
                "else n.status <> 'failed' and n.parts @> jsonb_build_array(jsonb_build_object('part', $3::int)) end "
                "and " NARRATION_READABLE,
                id, call->user_id, st_i64(call->arena, part));
    if (r == 0 && st_rows_count(rows) == 0)
        return st_fail(call, ST_E_NOT_FOUND, "There is no such sound, or it is not yours to hear.");
    return r < 0 ? r : st_reply_object(call, st_streq(format, "mp3") ? "audio/mpeg" : "audio/ogg", key);
}

/* --- anew -------------------------------------------------------------------------------------------------------- */

#define HEARD                                                                                                          \
    "(select timing::jsonb as timing, chapters from narrations where story_id = $1 and status = 'ready' "              \
    "order by ordinal desc limit 1) n"
#define ANOTHER_TAKE "on conflict (story_id, segment_id) do update set take = takes.take + 1"

/* The segments that begin in one of the chapters. */
static int take_chapters(struct st_call *call, const char *story_id, const json_t *chapters)
{
    struct st_rows *rows;
    int r = st_rows(call, &rows, "select coalesce(jsonb_array_length(chapters), 0) from " HEARD, story_id);
    int64_t n = r == 0 && st_rows_count(rows) ? st_cell_int(rows, 0, 0) : 0;
    json_t *one;
    size_t i;
    json_array_foreach (r < 0 ? NULL : chapters, i, one)
        if (json_integer_value(one) > n) {
            st_fail_at(call, st_printf(call->arena, "/chapters/%zu", i), "There is no such chapter.");
            r = st_fail(call, ST_E_UNPROCESSABLE, "The narration has %lld chapters.", (long long)n);
        }
    if (r == 0)
        st_exec(call,
                "insert into takes (story_id, segment_id) select distinct $1::uuid, t->>'segmentId' from " HEARD
                ", jsonb_array_elements(timing) t, jsonb_array_elements(chapters) with ordinality c (chapter, number) "
                "where $2::jsonb @> to_jsonb(number) and (t->>'startMs')::bigint >= (chapter->>'startMs')::bigint "
                "and (t->>'startMs')::bigint < (chapter->>'endMs')::bigint " ANOTHER_TAKE,
                story_id, st_json_text(call->arena, chapters));
    return r;
}

/* Those of the narration that was just begun. Of a long story they are in a file, and nobody looks: others are spoken
 * by nobody. */
static int take_segments(struct st_call *call, const char *story_id, const char *narration_id, const json_t *segments)
{
    const char *ids = st_json_text(call->arena, segments);
    struct st_rows *unknown;
    int r = st_rows(call, &unknown,
                    "select number - 1 from narrations, jsonb_array_elements_text($2) with ordinality a (id, number) "
                    "where narration_id = $1 and segments is not null and id not in "
                    "(select s->>'segmentId' from jsonb_array_elements(segments) s) order by number limit 1",
                    narration_id, ids);
    if (r == 0 && st_rows_count(unknown)) {
        st_fail_at(call, st_printf(call->arena, "/again/%s", st_cell(unknown, 0, 0)), "There is no such segment.");
        return st_fail(call, ST_E_UNPROCESSABLE, "The narration has no such segment.");
    }
    st_exec(call,
            "insert into takes (story_id, segment_id) select distinct $1::uuid, value "
            "from jsonb_array_elements_text($2) " ANOTHER_TAKE,
            story_id, ids);
    return r;
}

/* What is to be another take: everything, or what is named. */
static int take_again(struct st_call *call, const char *story_id, const char *narration_id)
{
    const json_t *again = json_object_get(call->body, "again"), *chapters = json_object_get(call->body, "chapters");
    if (st_json_bool(call->body, "all", false)) {
        st_exec(call,
                "insert into takes (story_id, segment_id) select distinct $1::uuid, t->>'segmentId' from " HEARD
                ", jsonb_array_elements(timing) t " ANOTHER_TAKE,
                story_id);
        return 0;
    }
    int r = json_array_size(again) ? take_segments(call, story_id, narration_id, again) : 0;
    return r == 0 && json_array_size(chapters) ? take_chapters(call, story_id, chapters) : r;
}

int narration_renew(struct st_call *call, const char *story_id, const char **ret_id)
{
    const char *id = st_new_id(call->arena);
    struct st_rows *rows;
    int r =
        st_rows(call, &rows,
                "insert into narrations (narration_id, story_id, analysis_id, language, characters, segments, "
                "text_ref, requested) select $1, n.story_id, n.analysis_id, n.language, s.characters, n.segments, "
                "n.text_ref, true from stories s join lateral (select * from narrations where story_id = s.story_id "
                "order by ordinal desc limit 1) n on true where s.story_id = $2 returning text_ref is not null",
                id, story_id);
    if (r < 0)
        return r;
    *ret_id = st_rows_affected(rows) ? id : NULL;
    if (*ret_id)
        narration_start_speaking(call, story_id, id, st_streq(st_cell(rows, 0, 0), "t"));
    return 0;
}

/* Anew, with the voices, rules and takes as they are now. */
int narration_again(struct st_call *call)
{
    const char *id = NULL, *story_id = st_param(call, "storyId"), *used_up;
    struct st_rows *rows;
    int r = st_rows(call, &rows,
                    "select from stories where story_id = $1 and author_id = $2 for no key update", /* it is held */
                    story_id, call->user_id);
    if (r == 0 && st_rows_count(rows) == 0)
        return st_absent(call, story_id, "There is no such story, or it is not yours.");
    if (r < 0 || (r = st_limit_used_up(call, call->user_id, NARRATION_LIMIT, &used_up)) < 0)
        return r;
    if (used_up)
        return st_fail(call, ST_E_PAYMENT, "%s", used_up);
    if ((r = narration_renew(call, story_id, &id)) < 0)
        return r;
    if (!id)
        return st_fail(call, ST_E_CONFLICT, "The story is not analysed yet; it is narrated when it is.");
    if ((r = take_again(call, story_id, id)) < 0)
        return r;
    return st_reply(call, 202, json_pack("{s:s, s:s}", "narrationId", id, "status", "pending"));
}
