/* What the author knows better than the analysis: who speaks, in which mood, and who is who. */
#include "story/story.h"

enum { SEGMENTS_MAX = 5000, CAST_MAX = 150 };

/* $1 story. As story_found.h describes it. */
#define CORRECTIONS                                                                                                    \
    "json_build_object('cast', coalesce((select json_agg(json_strip_nulls(json_build_object('name', k.name, "          \
    "'aliases', k.aliases, 'gender', k.gender, 'age', k.age)) order by k.name) from story_cast k "                     \
    "where k.story_id = $1), '[]'), 'segments', coalesce((select json_agg(json_build_object('segmentId', "             \
    "c.segment_id, 'speakerGiven', c.speaker_given, 'speaker', c.speaker, 'emotion', c.emotion, 'intensity', "         \
    "c.intensity) order by c.segment_id) from story_segment_corrections c where c.story_id = $1), '[]'))"

int story_corrections(struct st_call *call, const char *story_id, json_t **ret)
{
    json_t *row;
    int r = st_row(call, &row, "select " CORRECTIONS " as corrections", story_id);
    if (r == 0)
        *ret = json_object_get(row, "corrections");
    return r;
}

/*
 * Locks the caller's own story, if it has an analysis of its text. Corrections have an entity tag of their own: they
 * change nothing of the text, and the text nothing of them.
 */
static int own_analysis(struct st_call *call)
{
    json_t *story;
    int r = st_row(call, &story,
                   "select s.corrections, s.state <> 'draft' and exists (select from story_analyses a "
                   "where a.story_id = s.story_id and a.content_hash = s.content_hash) as analysed from stories s "
                   "where s.story_id = $1 and s.author_id = $2 and s.deleted_at is null for update",
                   st_param(call, "storyId"), call->user_id);
    if (r < 0)
        return story_not_found(call, r);
    if (!st_json_bool(story, "analysed", false))
        return st_fail(call, ST_E_CONFLICT, "There is no analysis of the text yet that could be corrected.");
    return st_param(call, "If-Match") ? st_if_match(call, st_json_int(story, "corrections", 0) + 1) : 0;
}

static int reply_corrections(struct st_call *call)
{
    json_t *row;
    int r = st_row(call, &row,
                   "select s.corrections + 1 as version, " CORRECTIONS " as corrections "
                   "from stories s where s.story_id = $1 and s.author_id = $2 and s.deleted_at is null",
                   st_param(call, "storyId"), call->user_id);
    if (r < 0)
        return story_not_found(call, r);
    st_etag(call, st_json_int(row, "version", 0));
    json_t *corrections = json_object_get(row, "corrections"), *one;
    json_object_set(corrections, "characters", json_object_get(corrections, "cast"));
    json_object_del(corrections, "cast");
    size_t i;
    json_array_foreach (json_object_get(corrections, "segments"), i, one) {
        if (!st_json_bool(one, "speakerGiven", false))
            json_object_del(one, "speaker");
        json_object_del(one, "speakerGiven");
        if (!st_str(one, "emotion")) {
            json_object_del(one, "emotion");
            json_object_del(one, "intensity");
        }
    }
    return st_reply_keep(call, 200, corrections);
}

/* The analysis is made again, with what is corrected now; until then it is shown as it was. */
static int changed(struct st_call *call)
{
    const char *id = st_param(call, "storyId");
    st_exec(call, "update stories set corrections = corrections + 1 where story_id = $1", id);
    story_start_analysis(call, id, call->tier);
    return reply_corrections(call);
}

int story_list_corrections(struct st_call *call)
{
    return reply_corrections(call);
}

int story_drop_corrections(struct st_call *call)
{
    int r = own_analysis(call);
    if (r < 0)
        return r;
    st_exec(call, "delete from story_cast where story_id = $1", st_param(call, "storyId"));
    st_exec(call, "delete from story_segment_corrections where story_id = $1", st_param(call, "storyId"));
    return changed(call);
}

/* --- segments --- */

/* Everybody of the story ($1), by what is corrected or else found. */
#define EVERYBODY                                                                                                      \
    "(select k.name, k.aliases, k.gender, k.age from story_cast k where k.story_id = $1 union all "                    \
    "select c.name, c.aliases, c.gender, c.age from story_characters c join story_analyses a using (analysis_id) "     \
    "where a.story_id = $1 and not exists (select from story_cast k where k.story_id = $1 "                            \
    "and (k.name = c.name or k.aliases ? c.name)))"

/* Whether the segment $2 of the analysis is narration: what follows its id, up to which no quote stands unescaped. */
#define NARRATION                                                                                                      \
    "split_part(split_part(a.segments, '\"segmentId\":\"' || $2 || '\"', 2), '\",\"kind\":\"', 2) like 'narration\"%'"

static int check_segment(struct st_call *call, const char *speaker)
{
    struct st_rows *rows;
    int r =
        st_rows(call, &rows,
                "select exists (select from story_analyses a where a.story_id = $1 and "
                "a.segments like '%\"segmentId\":\"' || $2 || '\"%'), "
                "$3::text is null or exists (select from " EVERYBODY " e where e.name = $3), "
                "(select count(*) from story_segment_corrections where story_id = $1 and segment_id <> $2) < $4::int, "
                "$3::text is null or exists (select from story_analyses a where a.story_id = $1 and not " NARRATION ")",
                st_param(call, "storyId"), st_param(call, "segmentId"), speaker, st_i64(call->arena, SEGMENTS_MAX));
    if (r < 0)
        return r;
    if (!st_streq(st_cell(rows, 0, 0), "t"))
        return st_fail(call, ST_E_NOT_FOUND, "The analysis has no such segment.");
    if (!st_streq(st_cell(rows, 0, 1), "t")) {
        st_fail_at(call, "/speaker", "must be the name of one of the story's characters, or null");
        return st_fail(call, ST_E_UNPROCESSABLE, "There is no such character in the story.");
    }
    if (!st_streq(st_cell(rows, 0, 2), "t"))
        return st_fail(call, ST_E_UNPROCESSABLE, "At most %d segments of a story are corrected.", SEGMENTS_MAX);
    if (!st_streq(st_cell(rows, 0, 3), "t")) {
        st_fail_at(call, "/speaker", "must not be there: the segment is narration");
        return st_fail(call, ST_E_UNPROCESSABLE, "Nobody speaks narration; put quotation marks around what is spoken.");
    }
    return 0;
}

int story_correct_segment(struct st_call *call)
{
    const json_t *speaker = json_object_get(call->body, "speaker"), *i = json_object_get(call->body, "intensity");
    const char *emotion = st_str(call->body, "emotion");
    int r;
    if (i && !emotion) {
        st_fail_at(call, "/emotion", "must be there when intensity is");
        return st_fail(call, ST_E_UNPROCESSABLE, "An intensity without an emotion says nothing.");
    }
    if ((r = own_analysis(call)) < 0 || (r = check_segment(call, json_string_value(speaker))) < 0)
        return r;
    st_exec(call,
            "insert into story_segment_corrections as c (story_id, segment_id, speaker_given, speaker, emotion, "
            "intensity) values ($1, $2, $3, $4, $5, $6) on conflict (story_id, segment_id) do update set "
            "speaker_given = c.speaker_given or excluded.speaker_given, "
            "speaker = case when excluded.speaker_given then excluded.speaker else c.speaker end, "
            "emotion = coalesce(excluded.emotion, c.emotion), "
            "intensity = case when excluded.emotion is null then c.intensity else excluded.intensity end, "
            "corrected_at = now()",
            st_param(call, "storyId"), st_param(call, "segmentId"), speaker ? "true" : "false",
            json_string_value(speaker), emotion, i ? st_json_text(call->arena, i) : NULL);
    return changed(call);
}

int story_drop_segment_correction(struct st_call *call)
{
    int r = own_analysis(call);
    if (r < 0)
        return r;
    r = st_exec_one(call, ST_E_NOT_FOUND,
                    "delete from story_segment_corrections where story_id = $1 and segment_id = $2",
                    st_param(call, "storyId"), st_param(call, "segmentId"));
    if (r < 0)
        return r == ST_E_NOT_FOUND ? st_fail(call, r, "Nothing of that segment is corrected.") : r;
    return changed(call);
}

/* --- characters --- */

static int put_character(struct st_call *call, const char *name, const char *aliases, const json_t *like)
{
    struct st_rows *rows;
    const char *id = st_param(call, "storyId");
    st_exec(call, "delete from story_cast where story_id = $1 and name = $2", id, name);
    st_exec(call,
            "insert into story_cast (story_id, name, aliases, gender, age) "
            "select $1, $2, coalesce(jsonb_agg(distinct t.alias), '[]'), $4, $5 "
            "from jsonb_array_elements_text($3::jsonb) t (alias) where t.alias <> $2",
            id, name, aliases, st_str(like, "gender"), st_str(like, "age"));
    int r = st_rows(call, &rows, "select count(*) from story_cast where story_id = $1", id);
    if (r == 0 && st_cell_int(rows, 0, 0) > CAST_MAX)
        return st_fail(call, ST_E_UNPROCESSABLE, "At most %d characters of a story are corrected.", CAST_MAX);
    return r;
}

/* A name that is somebody else's, of those not among them, would make two beings one by accident. */
static int check_names(struct st_call *call, const char *pointer, const json_t *names, const json_t *among)
{
    struct st_rows *rows;
    int r = st_rows(call, &rows,
                    "with given as (select array(select jsonb_array_elements_text($2::jsonb)) as names) "
                    "select from given, " EVERYBODY
                    " e where (e.name = any (names) or e.aliases ?| names) and not $3::jsonb ? e.name",
                    st_param(call, "storyId"), st_json_text(call->arena, names), st_json_text(call->arena, among));
    if (r < 0 || st_rows_count(rows) == 0)
        return r;
    st_fail_at(call, pointer, "is the name of another character");
    return st_fail(call, ST_E_UNPROCESSABLE, "Another character of the story has that name.");
}

static json_t *one_name(struct st_call *call, const char *name)
{
    return st_json_keep(call->arena, json_pack("[s]", name));
}

/* One whom the analysis has missed, or what it could not know of one whom it has found. */
int story_describe_character(struct st_call *call)
{
    const char *name = st_str(call->body, "name");
    const json_t *aliases = json_object_get(call->body, "aliases"), *self = one_name(call, name);
    json_t *character;
    int r;
    if ((r = own_analysis(call)) < 0 || (r = check_names(call, "/name", self, self)) < 0 ||
        (r = aliases ? check_names(call, "/aliases", aliases, self) : 0) < 0)
        return r;
    r = st_row(call, &character,
               "select coalesce(e.aliases, '[]') || coalesce(given->'aliases', '[]') as aliases, "
               "case when given ? 'gender' then given->>'gender' else e.gender end as gender, "
               "case when given ? 'age' then given->>'age' else e.age end as age "
               "from (select $3::jsonb as given) t left join " EVERYBODY " e on e.name = $2 limit 1",
               st_param(call, "storyId"), name, st_json_text(call->arena, call->body));
    if (r < 0)
        return r;
    r = put_character(call, name, st_json_text(call->arena, json_object_get(character, "aliases")), character);
    return r < 0 ? r : changed(call);
}

/* One being of several names, or, of one, one that is called otherwise. */
int story_merge_characters(struct st_call *call)
{
    const json_t *names = json_object_get(call->body, "names");
    const char *first = json_string_value(json_array_get(names, 0)), *id = st_param(call, "storyId");
    const char *name = st_json_str(call->body, "name", first), *given = st_json_text(call->arena, names);
    json_t *merged;
    int r = own_analysis(call);
    if (r < 0)
        return r;
    r = st_row(call, &merged,
               "select count(*) = (select count(distinct n) from jsonb_array_elements_text($2::jsonb) t (n)) as all, "
               "coalesce(jsonb_agg(e.name) || coalesce((select jsonb_agg(x) from " EVERYBODY
               " m, jsonb_array_elements(m.aliases) x where $2::jsonb ? m.name), '[]'), '[]') as aliases, "
               "min(e.gender) filter (where e.name = $3) as gender, min(e.age) filter (where e.name = $3) as age "
               "from " EVERYBODY " e where $2::jsonb ? e.name",
               id, given, first);
    if (r < 0)
        return r;
    if (!st_json_bool(merged, "all", false)) {
        st_fail_at(call, "/names", "must be names of the story's characters");
        return st_fail(call, ST_E_UNPROCESSABLE, "There is no such character in the story.");
    }
    if ((r = check_names(call, "/name", one_name(call, name), names)) < 0)
        return r;
    st_exec(call, "delete from story_cast where story_id = $1 and $2::jsonb ? name", id, given);
    r = put_character(call, name, st_json_text(call->arena, json_object_get(merged, "aliases")), merged);
    return r < 0 ? r : changed(call);
}

/* Some names of a character are another's, called by the first of them or as the author says. */
int story_split_character(struct st_call *call)
{
    const json_t *aliases = json_object_get(call->body, "aliases");
    const char *name = st_str(call->body, "name"), *given = st_json_text(call->arena, aliases);
    const char *other = st_json_str(call->body, "newName", json_string_value(json_array_get(aliases, 0)));
    json_t *old;
    int r = own_analysis(call);
    if (r < 0)
        return r;
    r = st_row(call, &old,
               "select e.gender, e.age, coalesce((select jsonb_agg(x) from jsonb_array_elements_text(e.aliases) x "
               "where not $3::jsonb ? x), '[]') as rest, (select bool_and(e.aliases ? x) "
               "from jsonb_array_elements_text($3::jsonb) x) as has, "
               "e.name = $4 or (e.aliases ? $4 and not $3::jsonb ? $4) as kept from " EVERYBODY " e where e.name = $2",
               st_param(call, "storyId"), name, given, other);
    if (r == ST_E_NOT_FOUND) {
        st_fail_at(call, "/name", "must be the name of one of the story's characters");
        return st_fail(call, ST_E_UNPROCESSABLE, "There is no such character in the story.");
    }
    if (r < 0)
        return r;
    if (!st_json_bool(old, "has", false)) {
        st_fail_at(call, "/aliases", "must be aliases of the character");
        return st_fail(call, ST_E_UNPROCESSABLE, "The character has no such alias.");
    }
    if (st_json_bool(old, "kept", false)) {
        st_fail_at(call, "/newName", "must not be a name that the character keeps");
        return st_fail(call, ST_E_UNPROCESSABLE, "The two have different names.");
    }
    if ((r = check_names(call, "/newName", one_name(call, other), one_name(call, name))) < 0 ||
        (r = put_character(call, name, st_json_text(call->arena, json_object_get(old, "rest")), old)) < 0 ||
        (r = put_character(call, other, given, NULL)) < 0)
        return r;
    return changed(call);
}
