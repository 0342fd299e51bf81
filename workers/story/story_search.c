/* Finding stories by their words, each in the language it is written in, among those that the caller may read. */
#include "base/gcra.h"
#include "story/story.h"

enum { /* bytes */
       PART_MIN = 2048,
       PART_MAX = 4096, /* without what it shares with the next one */
       SHARED = 512,    /* for words side by side that stand across the border */
       WORD_MAX = 80,   /* in two parts a longer one is cut */
       LOOKED_AT = 16,  /* before a border */
};

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Moves an end that lies inside a word or a character before it. */
static size_t whole(const char *s, size_t end)
{
    for (size_t n = end; n > 0 && end - n < WORD_MAX; n--)
        if (is_space(s[n]))
            return n;
    while (end > 0 && (s[end] & 0xC0) == 0x80)
        end--;
    return end;
}

/*
 * Where the next part begins: behind that space whose words before it hash least. So borders go by the words around
 * them, and come to stand where they stood soon behind an edit.
 */
static size_t part_length(const char *s, size_t len)
{
    static const unsigned char key[16];
    uint64_t least = UINT64_MAX;
    size_t best = 0;
    if (len <= PART_MAX)
        return len;
    for (size_t i = PART_MIN; i < PART_MAX; i++) {
        if (!is_space(s[i]))
            continue;
        uint64_t hash = st_siphash(key, s + i - LOOKED_AT, LOOKED_AT);
        if (hash < least) {
            least = hash;
            best = i + 1;
        }
    }
    return best ? best : whole(s, PART_MAX);
}

void story_index(struct st_call *call, const char *story_id, const char *title, const char *content)
{
    json_t *texts = st_json_keep(call->arena, json_pack("[s]", title));
    for (size_t len = strlen(content), n; len; content += n, len -= n) {
        n = part_length(content, len);
        size_t end = n + SHARED < len ? whole(content, n + SHARED) : len;
        json_array_append_new(texts, json_stringn(content, end));
    }
    st_exec(call, "select story_index($1, $2)", story_id, st_json_text(call->arena, texts));
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
        "hit as materialized (select q.clause, q.atom, q.refused, w.config, w.story_id, w.hash, w.part, "
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
                  "place as (select distinct on (story_id) story_id, hash from (select story_id, hash, part, "
                  "count(*) as atoms, sum(rank) as rank from hit where not refused and part > 0 group by 1, 2, 3) p "
                  "order by story_id, atoms desc, rank desc, part), "
                  "shown as (select config, string_agg('(' || asked::text || ')', ' | ')::tsquery as asked from atom "
                  "where not refused group by 1) "
                  "select " STORY_LIST_COLUMNS ", f.cursor, replace(ts_headline(f.config, "
                  "story_words(coalesce(w.text, left(s.content, 4096))), q.asked, "
                  "'StartSel=\"\",StopSel=\"\",MaxFragments=2,FragmentDelimiter=\" … \",MinWords=5,MaxWords=20'), "
                  "U&'\\200B', '') as excerpt "
                  "from page f join shown q using (config) left join place p using (story_id) "
                  "left join story_search w using (story_id, hash) "
                  "join stories s using (story_id) " STORY_LIST_JOIN "order by f.cursor collate \"C\" desc",
        call->user_id, st_param(call, "q"), st_param(call, "language"));
}
