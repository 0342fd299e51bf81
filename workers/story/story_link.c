/* Share links: a story for whoever has the token, whatever its visibility, until it expires or is revoked. */
#include "io/crypto.h"
#include "story/story.h"

enum { TOKEN_BYTES = 16, LINKS_MAX = 50, MAILS_A_DAY = 30 };

#define LINK_COLUMNS                                                                                                   \
    "l.link_id as \"linkId\", l.expires_at as \"expiresAt\", l.opened, l.last_opened_at as \"lastOpenedAt\", "         \
    "l.created_at as \"createdAt\""

static int check_mails(struct st_call *call)
{
    struct st_rows *rows;
    int r = st_rows(call, &rows,
                    "select count(*) from story_mails where author_id = $1 and mailed_at > now() - interval '1 day'",
                    call->user_id);
    if (r == 0 && st_cell_int(rows, 0, 0) >= MAILS_A_DAY)
        return st_fail(call, ST_E_UNPROCESSABLE, "At most %d links a day go out by mail.", MAILS_A_DAY);
    return r;
}

/* The address is in this event alone, sealed, and in the mail. */
static int mail_link(struct st_call *call, const char *email, const json_t *link)
{
    const char *id = st_param(call, "storyId");
    json_t *story;
    int r = st_row(call, &story,
                   "select s.title, coalesce(s.language, 'en') as language, coalesce(a.display_name, '') as name "
                   "from stories s left join authors a using (author_id) where s.story_id = $1",
                   id);
    if (r < 0)
        return r;
    st_exec(call, "insert into story_mails (author_id) values ($1)", call->user_id);
    st_emit(call, "StoryShared", id,
            json_pack("{s:s, s:s, s:s, s:O, s:O, s:s, s:O, s:O, s:O}", "storyId", id, "authorId", call->user_id,
                      "inviterId", call->user_id, "title", json_object_get(story, "title"), "authorName",
                      json_object_get(story, "name"), "sharedWith", email, "link", json_object_get(link, "url"),
                      "token", json_object_get(link, "token"), "locale", json_object_get(story, "language")));
    return 0;
}

/* The token is told here, once; what is kept is its hash. */
int story_create_link(struct st_call *call)
{
    const char *token = st_secret(call->arena, TOKEN_BYTES), *id = st_param(call, "storyId");
    const char *email = st_str(call->body, "email");
    json_t *story, *link;
    int r;
    if ((r = story_own(call, &story)) < 0 || (email && (r = check_mails(call)) < 0))
        return r;
    r = st_row(call, &link,
               "insert into story_links as l (link_id, story_id, token_hash, expires_at) select $1, $2, $3, $4 "
               "where ($4::timestamptz is null or $4::timestamptz > now()) "
               "and (select count(*) from story_links where story_id = $2) < $5::int returning " LINK_COLUMNS,
               st_new_id(call->arena), id, st_sha256_hex(call->arena, token, strlen(token)),
               st_json_time(call->arena, call->body, "expiresAt"), st_i64(call->arena, LINKS_MAX));
    if (r == ST_E_NOT_FOUND)
        return st_fail(call, ST_E_UNPROCESSABLE, "A link ends in the future, and a story has at most %d.", LINKS_MAX);
    if (r < 0)
        return r;
    json_object_set_new(link, "token", json_string(token));
    json_object_set_new(link, "url",
                        json_sprintf("%s/shared#%s", st_option("public_url"), token)); /* ui/docs/shared.js */
    if (email && (r = mail_link(call, email, link)) < 0)
        return r;
    st_header(call, "Cache-Control", "no-store");
    return st_reply_keep(call, 201, link);
}

int story_list_links(struct st_call *call)
{
    json_t *story, *links;
    int r;
    if ((r = story_own(call, &story)) < 0 ||
        (r = st_list(call, &links,
                     "select " LINK_COLUMNS " from story_links l where l.story_id = $1 order by l.link_id desc",
                     st_param(call, "storyId"))) < 0)
        return r;
    return st_reply(call, 200, json_pack("{s:O}", "items", links));
}

int story_revoke_link(struct st_call *call)
{
    json_t *story;
    int r = story_own(call, &story);
    if (r < 0)
        return r;
    r = st_exec_one(call, ST_E_NOT_FOUND, "delete from story_links where story_id = $1 and link_id = $2",
                    st_param(call, "storyId"), st_param(call, "linkId"));
    if (r < 0)
        return r == ST_E_NOT_FOUND ? st_fail(call, r, "There is no such link.") : r;
    return st_reply(call, 204, NULL);
}

/* Unknown, expired and revoked tokens look alike. */
int story_open_link(struct st_call *call)
{
    const char *token = st_str(call->body, "token");
    json_t *story;
    int r = st_row(call, &story,
                   "with opened as (update story_links set opened = opened + 1, last_opened_at = now() "
                   "where token_hash = $1 and (expires_at is null or expires_at > now()) returning story_id) "
                   "select " STORY_COLUMNS ", s.content, " STORY_CONTRIBUTORS
                   ", coalesce(a.display_name, '') as \"authorName\" "
                   "from opened join stories s using (story_id) left join authors a using (author_id) "
                   "where s.deleted_at is null",
                   st_sha256_hex(call->arena, token, strlen(token)));
    if (r < 0)
        return r == ST_E_NOT_FOUND ? st_fail(call, r, "The link leads nowhere, or no longer.") : r;
    st_header(call, "Cache-Control", "no-store");
    return st_reply_keep(call, 200, story);
}
