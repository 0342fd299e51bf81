/* How words are to be said: rules of a story, and of all stories of an author. Each change makes a version. */
#include "narration/narration.h"

static int own_story(struct st_call *call, const char **ret_id)
{
    struct st_rows *rows;
    const char *id = st_param(call, "storyId");
    int r = st_rows(call, &rows, "select from stories where story_id = $1 and author_id = $2 for update", id,
                    call->user_id);
    if (r < 0)
        return r;
    if (st_rows_count(rows) == 0)
        return st_absent(call, id, "There is no such story, or it is not yours.");
    *ret_id = id;
    return 0;
}

/* row: version, rules; none: version 0 without rules, unless a version was asked for. */
static int reply_rules(struct st_call *call, int r, json_t *row)
{
    if (r < 0 && r != ST_E_NOT_FOUND)
        return r;
    if (r < 0 && st_param(call, "version"))
        return st_fail(call, r, "There is no such version, or it is not kept any more.");
    int64_t version = r < 0 ? 0 : st_json_int(row, "version", 0);
    st_etag(call, version);
    return st_reply(call, 200,
                    json_pack("{s:I, s:o}", "version", (json_int_t)version, "rules",
                              r < 0 ? json_array() : json_incref(json_object_get(row, "rules"))));
}

static int reply_new(struct st_call *call, int64_t version)
{
    st_etag(call, version);
    return st_reply(
        call, 200,
        json_pack("{s:I, s:O}", "version", (json_int_t)version, "rules", json_object_get(call->body, "rules")));
}

static const char *rules_text(struct st_call *call)
{
    return st_json_text(call->arena, json_object_get(call->body, "rules"));
}

#define NEWEST_OF_STORY                                                                                                \
    "select version, rules from story_pronunciations where story_id = $1 order by version desc limit 1"
#define NEWEST_OF_USER "select version, rules from user_pronunciations where user_id = $1 order by version desc limit 1"

int narration_get_story_rules(struct st_call *call)
{
    const char *id;
    json_t *row = NULL;
    int r = own_story(call, &id);
    if (r < 0)
        return r;
    r = st_row(call, &row,
               "select version, rules from story_pronunciations where story_id = $1 "
               "and version = coalesce($2::int, version) order by version desc limit 1",
               id, st_param(call, "version"));
    return reply_rules(call, r, row);
}

int narration_put_story_rules(struct st_call *call)
{
    const char *id;
    json_t *row = NULL;
    int r = own_story(call, &id);
    if (r < 0)
        return r;
    r = st_row(call, &row, NEWEST_OF_STORY, id);
    if (r < 0 && r != ST_E_NOT_FOUND)
        return r;
    int64_t version = r < 0 ? 0 : st_json_int(row, "version", 0);
    if ((r = st_if_match(call, version)) < 0)
        return r;
    st_exec(call, "insert into story_pronunciations values ($1, $2, $3)", id, st_i64(call->arena, version + 1),
            rules_text(call));
    st_exec(call, "delete from story_pronunciations where story_id = $1 and version <= $2::int - 50", id,
            st_i64(call->arena, version + 1));
    return reply_new(call, version + 1);
}

int narration_get_user_rules(struct st_call *call)
{
    json_t *row = NULL;
    int r = st_row(call, &row,
                   "select version, rules from user_pronunciations where user_id = $1 "
                   "and version = coalesce($2::int, version) order by version desc limit 1",
                   call->user_id, st_param(call, "version"));
    return reply_rules(call, r, row);
}

/* Of two at a time, the second meets the version of the first: it has read what is old. */
int narration_put_user_rules(struct st_call *call)
{
    json_t *row = NULL;
    int r = st_row(call, &row, NEWEST_OF_USER, call->user_id);
    if (r < 0 && r != ST_E_NOT_FOUND)
        return r;
    int64_t version = r < 0 ? 0 : st_json_int(row, "version", 0);
    if ((r = st_if_match(call, version)) < 0)
        return r;
    r = st_exec_one(call, ST_E_PRECONDITION,
                    "insert into user_pronunciations values ($1, $2, $3) on conflict do nothing", call->user_id,
                    st_i64(call->arena, version + 1), rules_text(call));
    if (r < 0)
        return r;
    st_exec(call, "delete from user_pronunciations where user_id = $1 and version <= $2::int - 50", call->user_id,
            st_i64(call->arena, version + 1));
    return reply_new(call, version + 1);
}
