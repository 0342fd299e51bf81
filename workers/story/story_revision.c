/* What a story was: its revisions, and how one comes back. */
#include "story/story.h"

#define REVISION_COLUMNS                                                                                               \
    "v.revision, v.title, v.language, v.content_hash as \"contentHash\", v.restored_from as \"restoredFrom\", "        \
    "v.created_at as \"createdAt\""

/* The past of a text is its author's alone ($1 story, $2 user). */
#define OWN "exists (select from stories s where s.story_id = $1 and s.author_id = $2 and s.deleted_at is null)"

int story_list_revisions(struct st_call *call)
{
    const char *id = st_param(call, "storyId");
    struct st_rows *own;
    int r = st_rows(call, &own, "select where " OWN, id, call->user_id);
    if (r < 0)
        return r;
    if (st_rows_count(own) == 0)
        return story_not_found(call, ST_E_NOT_FOUND);
    return st_page(call, "revision",
                   "select " REVISION_COLUMNS ", length(v.content) as characters from story_revisions v "
                   "where v.story_id = $3 and ($1::int is null or v.revision < $1::int) "
                   "order by v.revision desc limit $2::int",
                   id);
}

static int find(struct st_call *call, json_t **ret)
{
    int r = st_row(call, ret,
                   "select " REVISION_COLUMNS ", length(v.content) as characters, v.content from story_revisions v "
                   "where v.story_id = $1 and v.revision = $3::int and " OWN,
                   st_param(call, "storyId"), call->user_id, st_i64(call->arena, st_param_int(call, "revision")));
    return r == ST_E_NOT_FOUND ? st_fail(call, r, "There is no such revision, or it is not yours to see.") : r;
}

int story_get_revision(struct st_call *call)
{
    json_t *revision;
    int r = find(call, &revision);
    return r < 0 ? r : st_reply_keep(call, 200, revision);
}

/* The old text becomes the newest revision: nothing of what lies between is lost. */
int story_restore_revision(struct st_call *call)
{
    json_t *old, *revision;
    int r;
    if ((r = story_own(call, &old)) < 0 || (r = st_if_match(call, st_json_int(old, "version", 0))) < 0 ||
        (r = find(call, &revision)) < 0)
        return r;
    const struct story_text text = {
        .title = st_str(revision, "title"),
        .content = st_str(revision, "content"),
        .language = st_str(revision, "language"),
        .visibility = st_str(old, "visibility"),
        .restored_from = st_i64(call->arena, st_json_int(revision, "revision", 0)),
    };
    return story_change(call, old, &text);
}
