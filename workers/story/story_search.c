/* Finding stories by their words, each in the language it is written in, among those that the caller may read. */
#include "story/story.h"

void story_index(struct st_call *call, const char *story_id, bool whole)
{
    st_exec(call, "select story_index($1, $2)", story_id, whole ? "true" : "false");
}

/*
 * The question is put once in each language that texts are indexed in, for its words end differently in each, word by
 * word: they may stand in several parts of a text, and those that must not be there in none. Best first; the rank is in
 * the cursor, with the id for equal ones. What is shown of it is the part that has most of what was asked for.
 */
int story_find(struct st_call *call)
{
    return st_page(
        call, "cursor",
        "with atom as materialized (select clause, atom, refused, config, asked from story_asked($4) "
        "cross join (select oid::regconfig as config from pg_ts_config where $5::text is null or oid = "
        "story_config($5)) c cross join lateral phraseto_tsquery(config, story_words(words)) asked "
        "where numnode(asked) > 0), "
        "hit as materialized (select q.clause, q.atom, q.refused, w.config, w.story_id, w.part, "
        "ts_rank_cd(w.words, q.asked) as rank "
        "from (select clause, atom, refused, asked, array_agg(config) as configs from atom group by 1, 2, 3, 4) q "
        "join story_search w on w.words @@ q.asked and w.config = any (q.configs) "
        "join stories s using (story_id) where s.deleted_at is null "
        "and ($5::text is null or " STORY_LANGUAGE_IS(
            "$5") ") and (s.author_id = $3 "
                  "or (s.published_at is not null and s.visibility = 'public') "
                  "or exists (select from story_collaborators c where c.story_id = s.story_id and c.user_id = $3))), "
                  "best as (select clause, atom, refused, config, story_id, max(rank) as rank from hit group by 1, 2, "
                  "3, 4, 5), "
                  "wanted as (select clause, config, count(*) as atoms from atom where not refused group by 1, 2), "
                  "whole as (select story_id, config, sum(rank) as rank from best join wanted using (clause, config) "
                  "group by clause, config, story_id, atoms having not bool_or(refused) and count(*) = atoms), "
                  "found as (select story_id, config, to_char(max(rank)::numeric, 'FM000000.00000000') || '/' || "
                  "story_id "
                  "as cursor from whole group by 1, 2), "
                  "page as (select * from found where $1::text is null or cursor collate \"C\" < $1 "
                  "order by cursor collate \"C\" desc limit $2::int), "
                  "place as (select distinct on (story_id) story_id, part from (select story_id, part, count(*) as "
                  "atoms, "
                  "sum(rank) as rank from hit where not refused and part > 0 group by 1, 2) p "
                  "order by story_id, atoms desc, rank desc, part), "
                  "shown as (select config, string_agg('(' || asked::text || ')', ' | ')::tsquery as asked from atom "
                  "where not refused group by 1) "
                  "select " STORY_LIST_COLUMNS ", f.cursor, replace(ts_headline(f.config, "
                  "story_words(story_part(s.content, coalesce(p.part, 1))), q.asked, "
                  "'StartSel=\"\",StopSel=\"\",MaxFragments=2,FragmentDelimiter=\" … \",MinWords=5,MaxWords=20'), "
                  "U&'\\200B', '') as excerpt "
                  "from page f join shown q using (config) left join place p using (story_id) "
                  "join stories s using (story_id) " STORY_LIST_JOIN "order by f.cursor collate \"C\" desc",
        call->user_id, st_param(call, "q"), st_param(call, "language"));
}
