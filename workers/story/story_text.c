/* Texts: write, read, change, delete, publish. */
#include "io/crypto.h"
#include "story/analyse.h"
#include "story/story.h"

/* A story as the API shows it, without its content. */
#define STORY_COLUMNS                                                                                                  \
    "s.story_id as \"storyId\", s.author_id as \"authorId\", s.title, s.language, s.visibility, s.state, s.version, "  \
    "s.created_at as \"createdAt\", s.updated_at as \"updatedAt\", s.published_at as \"publishedAt\""

static int reply_story(struct st_call *call, int status, json_t *story)
{
    st_etag(call, st_json_int(story, "version", 0));
    return st_reply_keep(call, status, story);
}

static int not_found(struct st_call *call, int err)
{
    return err == ST_E_NOT_FOUND ? st_fail(call, err, "There is no such story, or it is not yours to see.") : err;
}

/* The longest text the analyser takes, in bytes; the contract counts characters. */
static int check_size(struct st_call *call, const char *content)
{
    if (content && strlen(content) > ST_ANALYSE_TEXT_MAX)
        return st_fail(call, ST_E_TOO_LARGE, "A story has at most %d bytes.", ST_ANALYSE_TEXT_MAX);
    return 0;
}

static int check_limit(struct st_call *call)
{
    struct st_rows *rows;
    int r = st_rows(call, &rows, "select until from blocks where user_id = $1 and until > now()", call->user_id);
    if (r == 0 && st_rows_count(rows))
        return st_fail(call, ST_E_PAYMENT, "Your tier's number of stories is used up until %s.", st_cell(rows, 0, 0));
    return r;
}

static void start_analysis(struct st_call *call, const char *story_id)
{
    st_enqueue(call, "analyse", story_id, 0, json_pack("{s:s}", "storyId", story_id));
}

int story_create(struct st_call *call)
{
    const char *id = st_new_id(call->arena), *title = st_str(call->body, "title");
    const char *content = st_str(call->body, "content"), *language = st_str(call->body, "language");
    const char *visibility = st_json_str(call->body, "visibility", "private");
    json_t *story;
    int r;
    if ((r = check_size(call, content)) < 0 || (r = check_limit(call)) < 0)
        return r;
    const char *hash = st_sha256_hex(call->arena, content, strlen(content));
    r = st_row(call, &story,
               "insert into stories as s (story_id, author_id, title, content, content_hash, language, language_given, "
               "visibility, state) values ($1, $2, $3, $4, $5, $6, $6::text is not null, $7, 'analyzing') "
               "returning " STORY_COLUMNS,
               id, call->user_id, title, content, hash, language, visibility);
    if (r < 0)
        return r;
    st_emit(call, "StoryCreated", id,
            json_pack("{s:s, s:s, s:s, s:s, s:s}", "storyId", id, "authorId", call->user_id, "title", title,
                      "contentHash", hash, "visibility", visibility));
    start_analysis(call, id);
    st_header(call, "Location", st_printf(call->arena, "/v1/stories/%s", id));
    return reply_story(call, 201, story);
}

/* Own stories and those one collaborates on, newest first: ids are made in order of time. */
int story_list(struct st_call *call)
{
    const char *after;
    json_t *stories;
    int r = st_cursor(call, &after);
    if (r < 0)
        return r;
    r = st_list(call, &stories,
                "select s.story_id as \"storyId\", s.title, coalesce(a.display_name, '') as \"authorName\", "
                "s.collaborator_count as \"collaboratorCount\", s.language, s.visibility, s.state, "
                "s.updated_at as \"lastUpdated\" from ("
                "(select * from stories where author_id = $1 and ($2::uuid is null or story_id < $2::uuid) "
                "order by story_id desc limit $3::int) union all "
                "(select o.* from story_collaborators c join stories o using (story_id) where c.user_id = $1 and "
                "($2::uuid is null or c.story_id < $2::uuid) order by c.story_id desc limit $3::int)) s "
                "left join authors a using (author_id) order by s.story_id desc limit $3::int",
                call->user_id, after, st_limit_plus_one(call));
    return r < 0 ? r : st_reply_page(call, stories, "storyId");
}

int story_get(struct st_call *call)
{
    json_t *story;
    int r = st_row(call, &story, "select " STORY_COLUMNS ", s.content from stories s where " STORY_READABLE,
                   st_param(call, "storyId"), call->user_id);
    return r < 0 ? not_found(call, r) : reply_story(call, 200, story);
}

/* Locks the caller's own story. */
static int own_story(struct st_call *call, json_t **ret)
{
    int r = st_row(call, ret,
                   "select version, state, title, content_hash, visibility, published_at from stories "
                   "where story_id = $1 and author_id = $2 for update",
                   st_param(call, "storyId"), call->user_id);
    return not_found(call, r);
}

/* For changes that may be asked for without having read the story: If-Match counts when it is there. */
static int own_story_as_read(struct st_call *call, json_t **ret)
{
    int r = own_story(call, ret);
    return r == 0 && st_param(call, "If-Match") ? st_if_match(call, st_json_int(*ret, "version", 0)) : r;
}

static void emit_updated(struct st_call *call, const json_t *story, const char *hash)
{
    const char *id = st_str(story, "storyId");
    st_emit(call, "StoryUpdated", id,
            json_pack("{s:s, s:s, s:s, s:s, s:s, s:O}", "storyId", id, "authorId", call->user_id, "title",
                      st_str(story, "title"), "contentHash", hash, "visibility", st_str(story, "visibility"), "version",
                      json_object_get(story, "version")));
}

int story_update(struct st_call *call)
{
    const char *id = st_param(call, "storyId"), *content = st_str(call->body, "content");
    const char *language = st_str(call->body, "language");
    json_t *old, *story;
    int r;
    if ((r = check_size(call, content)) < 0 || (r = own_story(call, &old)) < 0 ||
        (r = st_if_match(call, st_json_int(old, "version", 0))) < 0)
        return r;
    const char *old_hash = st_str(old, "content_hash");
    const char *hash = content ? st_sha256_hex(call->arena, content, strlen(content)) : old_hash;
    bool again = language || !st_streq(hash, old_hash);
    r = st_row(call, &story,
               "update stories s set title = coalesce($2, title), content = coalesce($3, content), content_hash = $4, "
               "language = coalesce($5, language), language_given = language_given or $5 is not null, "
               "visibility = coalesce($6, visibility), state = case when $7::boolean then 'analyzing' else state end, "
               "version = version + 1, updated_at = now() where story_id = $1 returning " STORY_COLUMNS,
               id, st_str(call->body, "title"), content, hash, language, st_str(call->body, "visibility"),
               again ? "true" : "false");
    if (r < 0)
        return r;
    if (language) /* another language is another analysis of the same content */
        st_exec(call, "delete from story_analyses where story_id = $1", id);
    emit_updated(call, story, hash);
    if (again)
        start_analysis(call, id);
    return reply_story(call, 200, story);
}

int story_delete(struct st_call *call)
{
    const char *id = st_param(call, "storyId");
    json_t *old;
    int r = own_story_as_read(call, &old);
    if (r < 0)
        return r;
    st_exec(call, "delete from stories where story_id = $1", id);
    story_forget_files(call, id);
    st_emit(call, "StoryDeleted", id,
            json_pack("{s:s, s:s, s:I}", "storyId", id, "authorId", call->user_id, "version",
                      (json_int_t)st_json_int(old, "version", 0) + 1));
    return st_reply(call, 204, NULL);
}

int story_publish(struct st_call *call)
{
    const char *id = st_param(call, "storyId");
    json_t *old, *story;
    int r = own_story_as_read(call, &old);
    if (r < 0)
        return r;
    const char *state = st_str(old, "state");
    if (st_streq(state, "draft") || st_streq(state, "analyzing"))
        return st_fail(call, ST_E_CONFLICT, "The story is %s; it can be published once it is ready.", state);
    r = st_row(call, &story,
               "update stories s set state = 'published', published_at = coalesce(published_at, now()), "
               "version = version + case when state = 'published' then 0 else 1 end, updated_at = now() "
               "where story_id = $1 returning " STORY_COLUMNS,
               id);
    if (r < 0)
        return r;
    if (!st_streq(state, "published"))
        st_emit(call, "StoryPublished", id,
                json_pack("{s:s, s:s, s:s, s:s}", "storyId", id, "authorId", call->user_id, "title",
                          st_str(story, "title"), "audience", st_str(story, "visibility")));
    return reply_story(call, 200, story);
}
