/* Who follows whom, and what those have published. */
#include "story/story.h"

enum { FOLLOWS_MAX = 5000, TOLD_AT_ONCE = 200 };

/* Following twice is following. */
int story_follow(struct st_call *call)
{
    const char *author_id = st_param(call, "authorId");
    struct st_rows *rows;
    if (st_streq(author_id, call->user_id))
        return st_fail(call, ST_E_UNPROCESSABLE, "Nobody follows themselves.");
    int r = st_rows(call, &rows,
                    "select exists (select from authors where author_id = $1), "
                    "(select count(*) from follows where follower_id = $2 and author_id <> $1)",
                    author_id, call->user_id);
    if (r < 0)
        return r;
    if (!st_streq(st_cell(rows, 0, 0), "t"))
        return st_absent(call, author_id, "There is no such author.");
    if (st_cell_int(rows, 0, 1) >= FOLLOWS_MAX)
        return st_fail(call, ST_E_UNPROCESSABLE, "One follows at most %d authors.", FOLLOWS_MAX);
    r = st_rows(call, &rows, "insert into follows (follower_id, author_id) values ($1, $2) on conflict do nothing",
                call->user_id, author_id);
    if (r == 0 && st_rows_affected(rows))
        st_emit(call, "AuthorFollowed", call->user_id,
                json_pack("{s:s, s:s}", "userId", call->user_id, "authorId", author_id));
    return r < 0 ? r : st_reply(call, 204, NULL);
}

int story_unfollow(struct st_call *call)
{
    const char *author_id = st_param(call, "authorId");
    struct st_rows *rows;
    int r =
        st_rows(call, &rows, "delete from follows where follower_id = $1 and author_id = $2", call->user_id, author_id);
    if (r == 0 && st_rows_affected(rows))
        st_emit(call, "AuthorUnfollowed", call->user_id,
                json_pack("{s:s, s:s}", "userId", call->user_id, "authorId", author_id));
    return r < 0 ? r : st_reply(call, 204, NULL);
}

int story_list_followed(struct st_call *call)
{
    return st_page(call, "authorId",
                   "select f.author_id as \"authorId\", coalesce(a.display_name, '') as \"authorName\", "
                   "f.created_at as \"followedAt\" from follows f left join authors a using (author_id) "
                   "where f.follower_id = $3 and ($1::uuid is null or f.author_id > $1::uuid) "
                   "order by f.author_id limit $2::int",
                   call->user_id);
}

/* Of each author the newest that a page may need, then the newest of those. */
int story_feed(struct st_call *call)
{
    return st_page(call, "cursor",
                   "select " STORY_LIST_COLUMNS ", s.published_at::text || '/' || s.story_id as cursor "
                   "from follows f cross join lateral (select * from stories p where p.author_id = f.author_id "
                   "and p.published_at is not null and p.visibility = 'public' and p.deleted_at is null "
                   "and ($1::text is null or (p.published_at, p.story_id) < "
                   "(split_part($1, '/', 1)::timestamptz, split_part($1, '/', 2)::uuid)) "
                   "order by p.published_at desc, p.story_id desc limit $2::int) s " STORY_LIST_JOIN
                   "where f.follower_id = $3 order by s.published_at desc, s.story_id desc limit $2::int",
                   call->user_id);
}

/* --- who hears of a story --- */

int story_announce(struct st_call *call, const char *story_id)
{
    struct st_rows *rows;
    int r = st_rows(call, &rows,
                    "update stories set announced = true where story_id = $1 and published_at is not null "
                    "and visibility = 'public' and not announced",
                    story_id);
    if (r == 0 && st_rows_affected(rows))
        st_enqueue(call, "tell_followers", NULL, 0, json_pack("{s:s}", "storyId", story_id));
    return r;
}

/* Some of them in each transaction, which leaves a job for those behind; nobody once the story is taken back. */
int story_tell_followers(struct st_call *call)
{
    const char *story_id = st_str(call->body, "storyId"), *last = NULL;
    json_t *followers, *one;
    size_t i;
    int r = st_list(call, &followers,
                    "select f.follower_id, s.author_id, s.title, coalesce(a.display_name, '') as name "
                    "from stories s join follows f using (author_id) left join authors a using (author_id) "
                    "where s.story_id = $1 and s.published_at is not null and s.visibility = 'public' "
                    "and s.deleted_at is null and ($2::uuid is null or f.follower_id > $2::uuid) "
                    "order by f.follower_id limit $3::int",
                    story_id, st_str(call->body, "after"), st_i64(call->arena, TOLD_AT_ONCE));
    if (r < 0)
        return r;
    json_array_foreach (followers, i, one) {
        last = st_str(one, "follower_id");
        st_emit(call, "FollowedAuthorPublished", last,
                json_pack("{s:s, s:O, s:O, s:s, s:O}", "userId", last, "authorId", json_object_get(one, "author_id"),
                          "authorName", json_object_get(one, "name"), "storyId", story_id, "title",
                          json_object_get(one, "title")));
    }
    if (i == TOLD_AT_ONCE)
        st_enqueue(call, "tell_followers", NULL, 0, json_pack("{s:s, s:s}", "storyId", story_id, "after", last));
    return 0;
}
