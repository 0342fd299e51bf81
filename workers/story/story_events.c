/* What story learns from others. */
#include "story/story.h"
#include "svc/limit.h"

/* The author's name, if it is another than before. */
int story_on_user_named(struct st_call *call)
{
    const char *user_id = st_str(call->body, "userId"), *name = st_str(call->body, "displayName");
    struct st_rows *rows;
    int r = st_rows(call, &rows,
                    "select exists (select from erased_users where user_id = $1) or "
                    "exists (select from authors where author_id = $1 and display_name = $2)",
                    user_id, name);
    if (r < 0 || !name || !st_streq(st_cell(rows, 0, 0), "f"))
        return r;
    st_emit(call, "AuthorNamed", user_id, json_pack("{s:s, s:s}", "authorId", user_id, "displayName", name));
    return story_forget_published(call, NULL, user_id);
}

/* Others' tables are not ours to look into, but what of them the list view shows is said by an event of ours. */
static void tell_number(struct st_call *call, const char *story_id, int64_t n)
{
    st_emit(call, "CollaboratorsChanged", story_id,
            json_pack("{s:s, s:I}", "storyId", story_id, "collaborators", (json_int_t)n));
}

/* change: of the story ($1) by the user, or users ($2); nothing is said when it changes nothing. */
static int tell_collaborators(struct st_call *call, const char *story_id, const char *change, const char *who)
{
    struct st_rows *rows;
    int r = st_rows(call, &rows, change, story_id, who);
    if (r < 0 || st_rows_affected(rows) == 0)
        return r;
    if ((r = st_rows(call, &rows, "select count(*) from story_collaborators where story_id = $1", story_id)) == 0)
        tell_number(call, story_id, st_cell_int(rows, 0, 0));
    return r < 0 ? r : story_forget_published(call, story_id, NULL);
}

/* Who has gone lends no voice to others' stories any more. */
static int leave_stories(struct st_call *call, const char *user_id)
{
    json_t *left, *one;
    size_t i;
    int r = st_list(call, &left,
                    "with gone as (delete from story_collaborators where user_id = $1 returning story_id) "
                    "select story_id, (select count(*) from story_collaborators c where c.story_id = gone.story_id "
                    "and c.user_id <> $1) as n from gone",
                    user_id);
    json_array_foreach (r == 0 ? left : NULL, i, one)
        tell_number(call, st_str(one, "story_id"), st_json_int(one, "n", 0));
    return r;
}

/* The stories go with their author; each says so, so that narrations and videos go too. */
int story_on_user_deleted(struct st_call *call)
{
    const char *user_id = st_str(call->body, "userId");
    json_t *deleted, *one;
    size_t i;
    int r = story_forget_published(call, NULL, user_id);
    if (r < 0)
        return r;
    r = st_list(call, &deleted,
                "delete from stories where author_id = $1 returning story_id, version + 1 as version, "
                "deleted_at is not null as known",
                user_id);
    if (r < 0 || (r = leave_stories(call, user_id)) < 0)
        return r;
    json_array_foreach (deleted, i, one) {
        if (st_json_bool(one, "known", false)) /* said when it was deleted */
            continue;
        story_forget_files(call, st_str(one, "story_id"));
        st_emit(call, "StoryDeleted", st_str(one, "story_id"),
                json_pack("{s:s, s:s, s:O}", "storyId", st_str(one, "story_id"), "authorId", user_id, "version",
                          json_object_get(one, "version")));
    }
    return 0;
}

/* Who takes part in several collaborations on a story counts once. */
int story_on_participant_joined(struct st_call *call)
{
    const char *story_id = st_str(call->body, "storyId"), *user_id = st_str(call->body, "userId");
    st_exec(call,
            "insert into story_participations select $1, $2, story_id from stories where story_id = $3 "
            "and deleted_at is null and not exists (select from erased_users where user_id = $2) "
            "on conflict do nothing",
            call->event->aggregate_id, user_id, story_id);
    return tell_collaborators(call, story_id,
                              "insert into story_collaborators select story_id, $2 from stories where story_id = $1 "
                              "and deleted_at is null and not exists (select from erased_users where user_id = $2) "
                              "on conflict do nothing",
                              user_id);
}

int story_on_participant_left(struct st_call *call)
{
    const char *story_id = st_str(call->body, "storyId"), *user_id = st_str(call->body, "userId");
    st_exec(call, "delete from story_participations where collaboration_id = $1 and user_id = $2",
            call->event->aggregate_id, user_id);
    return tell_collaborators(call, story_id,
                              "delete from story_collaborators where story_id = $1 and user_id = $2 and not exists "
                              "(select from story_participations where story_id = $1 and user_id = $2)",
                              user_id);
}

/* Those who have helped are named with the story from now on. */
int story_on_collaboration_completed(struct st_call *call)
{
    const char *story_id = st_str(call->body, "storyId");
    st_exec(call,
            "insert into story_contributors select s.story_id, p.value::uuid from stories s, "
            "jsonb_array_elements_text($2::jsonb) p where s.story_id = $1 "
            "and not exists (select from erased_users e where e.user_id = p.value::uuid) on conflict do nothing",
            story_id, st_json_text(call->arena, json_object_get(call->body, "participants")));
    return story_forget_published(call, story_id, NULL);
}

/* Nobody collaborates by it any more, as if they all had left. */
int story_on_collaboration_cancelled(struct st_call *call)
{
    st_exec(call, "delete from story_participations where collaboration_id = $1", call->event->aggregate_id);
    return tell_collaborators(call, st_str(call->body, "storyId"),
                              "delete from story_collaborators c where story_id = $1 and user_id in "
                              "(select value::uuid from jsonb_array_elements_text($2::jsonb)) and not exists "
                              "(select from story_participations p where p.story_id = $1 and p.user_id = c.user_id)",
                              st_json_text(call->arena, json_object_get(call->body, "participants")));
}

int story_on_limit_reached(struct st_call *call)
{
    return st_limit_reached(call, "stories");
}

int story_on_limit_lifted(struct st_call *call)
{
    return st_limit_lifted(call, "stories");
}

int story_on_subscription_changed(struct st_call *call)
{
    return st_limit_lifted(call, NULL);
}

int story_on_narration_progressed(struct st_call *call)
{
    st_exec(call, "update stories set state = 'narrating' where story_id = $1 and state = 'ready'",
            st_str(call->body, "storyId"));
    return 0;
}

int story_on_narration_done(struct st_call *call)
{
    st_exec(call, "update stories set state = 'ready' where story_id = $1 and state = 'narrating'",
            st_str(call->body, "storyId"));
    return 0;
}
