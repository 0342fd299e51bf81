/* Finding stories by their words, each in the language it is written in, among those that the caller may read. */
#include "story/story.h"

void story_index(struct st_call *call, const char *story_id)
{
    st_exec(call,
            "insert into story_search select story_id, story_config(language), "
            "story_vector(language, title, content) from stories where story_id = $1 "
            "on conflict (story_id) do update set config = excluded.config, words = excluded.words",
            story_id);
}

/*
 * The question is put once in each language that texts are indexed in, for its words end differently in each. Best
 * first; the rank is in the cursor, with the id for equal ones.
 */
int story_find(struct st_call *call)
{
    return st_page(
        call, "cursor",
        "with question as materialized (select config, websearch_to_tsquery(config, story_words($4)) as asked "
        "from (select oid::regconfig as config from pg_ts_config where $5::text is null or oid = story_config($5)) c), "
        "found as (select s.*, q.config, q.asked, to_char(ts_rank_cd(w.words, q.asked, 1)::numeric, 'FM0000.00000000') "
        "|| '/' || s.story_id as cursor "
        "from question q join story_search w on w.config = q.config and w.words @@ q.asked "
        "join stories s using (story_id) where s.deleted_at is null and (s.author_id = $3 "
        "or (s.published_at is not null and s.visibility = 'public') "
        "or exists (select from story_collaborators c where c.story_id = s.story_id and c.user_id = $3))), "
        "page as (select * from found where $1::text is null or cursor collate \"C\" < $1 "
        "order by cursor collate \"C\" desc limit $2::int) "
        "select " STORY_LIST_COLUMNS ", s.cursor, ts_headline(s.config, left(s.content, 16384), s.asked, "
        "'StartSel=\"\",StopSel=\"\",MaxFragments=2,FragmentDelimiter=\" … \",MinWords=5,MaxWords=20') as excerpt "
        "from page s " STORY_LIST_JOIN "order by s.cursor collate \"C\" desc",
        call->user_id, st_param(call, "q"), st_param(call, "language"));
}
