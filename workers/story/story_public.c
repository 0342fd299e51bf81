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
               json_pack("{s:s, s:s}", "storyId", story_id, "authorId", author_id));
}

int story_drop_answers(struct st_call *call)
{
    const char *tags[] = {
        st_printf(call->arena, "story/%s", st_str(call->body, "storyId")),
        st_printf(call->arena, "author/%s", st_str(call->body, "authorId")),
        "stories",
    };
    for (size_t i = 0; i < ST_COUNT(tags); i++) {
        int r = st_cache_drop(call, tags[i]);
        if (r < 0)
            return r;
    }
    return 0;
}
