/* The texts themselves: post, list, read, change, delete; every change of title, text or language is a revision. */
#include "io/crypto.h"
#include "story/analyse.h"
#include "story/story.h"
#include "svc/limit.h"

enum { REVISIONS_MAX = 100 };

int story_reply(struct st_call *call, int status, json_t *story)
{
    st_etag(call, st_json_int(story, "version", 0));
    return st_reply_keep(call, status, story);
}

int story_not_found(struct st_call *call, int err)
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

int story_check_limit(struct st_call *call)
{
    const char *why;
    int r = st_limit_used_up(call, call->user_id, "stories", &why);
    return r == 0 && why ? st_fail(call, ST_E_PAYMENT, "%s", why) : r;
}

/* The text of the row becomes its newest revision; what is between the first and the latest hundred goes. */
static void keep_revision(struct st_call *call, const char *story_id, const char *restored_from)
{
    st_exec(call,
            "insert into story_revisions (story_id, revision, title, content, content_hash, language, restored_from) "
            "select story_id, revision, title, content, content_hash, case when language_given then language end, $2 "
            "from stories where story_id = $1",
            story_id, restored_from);
    st_exec(call,
            "delete from story_revisions where story_id = $1 and revision > 1 and revision <= "
            "(select revision - $2::int from stories where story_id = $1)",
            story_id, st_i64(call->arena, REVISIONS_MAX));
}

/* As the analysis will find it. At once, for by it a text is searched and listed. */
static const char *find_language(const char *content)
{
    return st_detect_language(content, strlen(content));
}

int story_make(struct st_call *call, const struct story_new *new, json_t **ret)
{
    const char *id = st_new_id(call->arena), *hash = st_sha256_hex(call->arena, new->content, strlen(new->content));
    int r = st_row(call, ret,
                   "insert into stories as s (story_id, author_id, title, content, content_hash, language, "
                   "language_given, visibility, state) values ($1, $2, $3, $4, $5, coalesce($6, $7), "
                   "$6::text is not null, $8, $9) returning " STORY_COLUMNS,
                   id, new->author_id, new->title, new->content, hash, new->language, find_language(new->content),
                   new->visibility, new->draft ? "draft" : "analyzing");
    if (r < 0)
        return r;
    keep_revision(call, id, NULL);
    st_emit(call, "StoryCreated", id,
            json_pack("{s:s, s:s, s:s, s:s, s:s}", "storyId", id, "authorId", new->author_id, "title", new->title,
                      "contentHash", hash, "visibility", new->visibility));
    if (new->draft)
        story_index(call, id, new->title, new->content);
    else
        story_start_analysis(call, id, new->tier);
    return 0;
}

int story_create(struct st_call *call)
{
    const struct story_new new = {
        .author_id = call->user_id,
        .tier = call->tier,
        .title = st_str(call->body, "title"),
        .content = st_str(call->body, "content"),
        .language = st_str(call->body, "language"),
        .visibility = st_json_str(call->body, "visibility", "private"),
        .draft = st_json_bool(call->body, "draft", false),
    };
    json_t *story;
    int r;
    if ((r = check_size(call, new.content)) < 0 || (r = story_check_limit(call)) < 0 ||
        (r = story_make(call, &new, &story)) < 0)
        return r;
    st_header(call, "Location", st_printf(call->arena, "/v1/stories/%s", st_str(story, "storyId")));
    return story_reply(call, 201, story);
}

/* Own stories and those one collaborates on, newest first: ids are made in order of time. */
int story_list(struct st_call *call)
{
    return st_page(call, "storyId",
                   "select " STORY_LIST_COLUMNS " from ("
                   "(select * from stories where author_id = $3 and deleted_at is null "
                   "and ($1::uuid is null or story_id < $1::uuid) order by story_id desc limit $2::int) union all "
                   "(select o.* from story_collaborators c join stories o using (story_id) where c.user_id = $3 and "
                   "o.deleted_at is null and ($1::uuid is null or c.story_id < $1::uuid) "
                   "order by c.story_id desc limit $2::int)) s " STORY_LIST_JOIN
                   "order by s.story_id desc limit $2::int",
                   call->user_id);
}

int story_get(struct st_call *call)
{
    json_t *story;
    int r = st_row(call, &story,
                   "select " STORY_COLUMNS ", s.content, " STORY_CONTRIBUTORS " from stories s where " STORY_READABLE,
                   st_param(call, "storyId"), call->user_id);
    return r < 0 ? story_not_found(call, r) : story_reply(call, 200, story);
}

int story_own(struct st_call *call, json_t **ret)
{
    int r = st_row(
        call, ret,
        "select version, revision, state, title, content, content_hash, visibility, published_at, analysis_error, "
        "case when language_given then language end as language from stories "
        "where story_id = $1 and author_id = $2 and deleted_at is null for update",
        st_param(call, "storyId"), call->user_id);
    return story_not_found(call, r);
}

int story_own_as_read(struct st_call *call, json_t **ret)
{
    int r = story_own(call, ret);
    return r == 0 && st_param(call, "If-Match") ? st_if_match(call, st_json_int(*ret, "version", 0)) : r;
}

static void emit_updated(struct st_call *call, const json_t *story, const char *hash)
{
    const char *id = st_str(story, "storyId");
    st_emit(call, "StoryUpdated", id,
            json_pack("{s:s, s:s, s:s, s:s, s:s, s:O}", "storyId", id, "authorId", call->user_id, "title",
                      st_str(story, "title"), "contentHash", hash, "visibility", st_str(story, "visibility"), "version",
                      json_object_get(story, "version")));
    if (!json_is_null(json_object_get(story, "publishedAt")))
        story_forget_answers(call, id, call->user_id);
}

int story_change(struct st_call *call, const json_t *old, const struct story_text *text)
{
    const char *id = st_param(call, "storyId"), *old_hash = st_str(old, "content_hash");
    const char *hash = st_sha256_hex(call->arena, text->content, strlen(text->content));
    bool again = !st_streq(hash, old_hash) || !st_streq(text->language, st_str(old, "language"));
    bool revised = again || !st_streq(text->title, st_str(old, "title"));
    bool draft = st_streq(st_str(old, "state"), "draft") && !st_str(old, "analysis_error"); /* for later, as asked */
    json_t *story;
    int r = st_row(call, &story,
                   "update stories s set title = $2, content = $3, content_hash = $4, "
                   "language = case when $9::boolean then coalesce($5, $10) else language end, "
                   "language_given = $5::text is not null, "
                   "visibility = $6, revision = revision + $7::int, state = $8, "
                   "analysis_error = case when not $9::boolean then analysis_error end, "
                   "version = version + 1, updated_at = now() where story_id = $1 returning " STORY_COLUMNS,
                   id, text->title, text->content, hash, text->language, text->visibility, revised ? "1" : "0",
                   again && !draft ? "analyzing" : st_str(old, "state"), again ? "true" : "false",
                   find_language(text->content));
    if (r < 0)
        return r;
    if (revised)
        keep_revision(call, id, text->restored_from);
    emit_updated(call, story, hash);
    if (revised) /* at once: what has been taken out is found no more, whatever becomes of the analysis */
        story_index(call, id, text->title, text->content);
    if (again && !draft)
        story_start_analysis(call, id, call->tier);
    return (r = story_announce(call, id)) < 0 ? r : story_reply(call, 200, story);
}

int story_update(struct st_call *call)
{
    json_t *old;
    int r;
    if ((r = check_size(call, st_str(call->body, "content"))) < 0 || (r = story_own(call, &old)) < 0 ||
        (r = st_if_match(call, st_json_int(old, "version", 0))) < 0)
        return r;
    const json_t *language = json_object_get(call->body, "language"); /* null: to be found */
    const struct story_text text = {
        .title = st_json_str(call->body, "title", st_str(old, "title")),
        .content = st_json_str(call->body, "content", st_str(old, "content")),
        .language = language ? json_string_value(language) : st_str(old, "language"),
        .visibility = st_json_str(call->body, "visibility", st_str(old, "visibility")),
    };
    return story_change(call, old, &text);
}

/*
 * The text and its past can be restored for a while (story_trash.c); what others have made of it, and who took part,
 * cannot. The analysis is one of no text any more, kept for its ids: corrections go by them.
 */
int story_delete(struct st_call *call)
{
    const char *id = st_param(call, "storyId");
    json_t *old;
    int r = story_own_as_read(call, &old);
    if (r < 0)
        return r;
    st_exec(call,
            "update stories set deleted_at = now(), published_at = null, version = version + 1, "
            "state = case state when 'draft' then state else 'analyzing' end "
            "where story_id = $1",
            id);
    st_exec(call, "delete from story_collaborators where story_id = $1", id);
    st_exec(call, "delete from story_participations where story_id = $1", id);
    st_exec(call, "delete from story_links where story_id = $1", id);
    st_exec(call, "update story_analyses set content_hash = '' where story_id = $1", id);
    st_cancel(call, "analyse", id);
    st_cancel(call, "ask", id);
    story_forget_files(call, id);
    if (!json_is_null(json_object_get(old, "published_at")))
        story_forget_answers(call, id, call->user_id);
    st_emit(call, "StoryDeleted", id,
            json_pack("{s:s, s:s, s:I}", "storyId", id, "authorId", call->user_id, "version",
                      (json_int_t)st_json_int(old, "version", 0) + 1));
    return st_reply(call, 204, NULL);
}
