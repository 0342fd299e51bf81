/* What everybody may read without an account: answers that the edge keeps, until a change makes it forget them. */
#include "story/story.h"

#define PUBLIC_ITEMS                                                                                                   \
    "select " STORY_LIST_COLUMNS ", s.published_at::text || '/' || s.story_id as cursor "                              \
    "from stories s " STORY_LIST_JOIN                                                                                  \
    "where s.published_at is not null and s.visibility = 'public' and s.deleted_at is null "                           \
    "and ($1::text is null or (s.published_at, s.story_id) < "                                                         \
    "(split_part($1, '/', 1)::timestamptz, split_part($1, '/', 2)::uuid)) "
#define NEWEST_FIRST "order by s.published_at desc, s.story_id desc limit $2::int"

int story_get_public(struct st_call *call)
{
    json_t *story;
    int r = st_row(call, &story,
                   "select " STORY_COLUMNS ", s.content, " STORY_CONTRIBUTORS
                   ", coalesce(a.display_name, '') as \"authorName\" "
                   "from stories s left join authors a using (author_id) where s.story_id = $1 "
                   "and s.published_at is not null and s.visibility in ('link', 'public') and s.deleted_at is null",
                   st_param(call, "storyId"));
    if (r < 0)
        return r == ST_E_NOT_FOUND ? st_fail(call, r, "There is no such story for everybody.") : r;
    return story_reply(call, 200, story);
}

int story_list_public(struct st_call *call)
{
    return st_page(call, "cursor", PUBLIC_ITEMS "and ($3::text is null or " STORY_LANGUAGE_IS("$3") ") " NEWEST_FIRST,
                   st_param(call, "language"));
}

int story_list_by_author(struct st_call *call)
{
    return st_page(call, "cursor", PUBLIC_ITEMS "and s.author_id = $3 " NEWEST_FIRST, st_param(call, "authorId"));
}

/* --- what the edge keeps --- */

void story_forget_answers(struct st_call *call, const char *story_id, const char *author_id)
{
    st_enqueue(call, "forget_answers", story_id, 0,
               json_pack("{s:[o, o, s]}", "tags", json_sprintf("story/%s", story_id),
                         json_sprintf("author/%s", author_id), "stories"));
}

int story_forget_published(struct st_call *call, const char *story_id, const char *user_id)
{
    json_t *tags, *row, *list;
    size_t i;
    int r = st_list(call, &tags,
                    "select distinct tag from stories s cross join lateral "
                    "(values ('story/' || s.story_id), ('author/' || s.author_id), ('stories')) t (tag) "
                    "where s.published_at is not null and s.deleted_at is null and s.story_id in (select $1::uuid "
                    "union select story_id from stories where author_id = $2 "
                    "union select story_id from story_collaborators where user_id = $2 "
                    "union select story_id from story_contributors where user_id = $2)",
                    story_id, user_id);
    if (r < 0 || json_array_size(tags) == 0)
        return r;
    list = json_array();
    json_array_foreach (tags, i, row)
        json_array_append(list, json_object_get(row, "tag"));
    st_enqueue(call, "forget_answers", NULL, 0, json_pack("{s:o}", "tags", list));
    return 0;
}

int story_drop_answers(struct st_call *call)
{
    json_t *tag;
    size_t i;
    json_array_foreach (json_object_get(call->body, "tags"), i, tag) {
        int r = st_cache_drop(call, json_string_value(tag));
        if (r < 0)
            return r;
    }
    return 0;
}
