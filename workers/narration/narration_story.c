/* What narration knows of stories, from others' events. */
#include "narration/narration.h"
#include "svc/limit.h"

/*
 * Events of different services overtake each other. 1: the story is known here. 0: it was deleted. ST_E_NOT_FOUND: it
 * is still to come, so that the event is tried again. It is not deleted before the event is done.
 */
static int know_story(struct st_call *call)
{
    struct st_rows *rows;
    int r = st_rows(call, &rows,
                    "with s as (select story_id from stories where story_id = $1 for key share) "
                    "select exists (select from s), exists (select from deleted_stories where story_id = $1)",
                    st_str(call->body, "storyId"));
    if (r < 0)
        return r;
    if (st_streq(st_cell(rows, 0, 0), "t"))
        return 1;
    return st_streq(st_cell(rows, 0, 1), "t") ? 0 : st_fail(call, ST_E_NOT_FOUND, "The story is not known here yet.");
}

void narration_hold_story(struct st_call *call, const char *story_id)
{
    st_exec(call, "select from stories where story_id = $1 for no key update", story_id);
}

static void stop_speaking(struct st_call *call, const char *story_id)
{
    st_exec(call,
            "select jobs_cancel(array(select j.job_id from jobs j join narrations n "
            "on j.unique_key = n.narration_id::text where n.story_id = $1 and j.name in ('speak', 'speak_long') and "
            "j.ended is null), "
            "'the story has changed')",
            story_id);
}

/* What was spoken for those that never were whole. Their rows are locked before the jobs, as by who speaks. */
static void take_over(struct st_call *call, const char *story_id, const char *narration_id)
{
    st_exec(call,
            "with unpaid as (select narration_id, spoken_characters + unpaid_characters as characters from narrations "
            "where story_id = $1 and narration_id <> $2 and object_key is null order by narration_id for update), "
            "moved as (update narrations set spoken_characters = 0, unpaid_characters = 0 "
            "where narration_id in (select narration_id from unpaid)) "
            "update narrations set unpaid_characters = (select coalesce(sum(characters), 0) from unpaid) "
            "where narration_id = $2",
            story_id, narration_id);
}

void narration_start_speaking(struct st_call *call, const char *story_id, const char *narration_id, bool is_long)
{
    take_over(call, story_id, narration_id);
    stop_speaking(call, story_id);
    st_enqueue(call, is_long ? "speak_long" : "speak", narration_id, 0,
               json_pack("{s:s}", "narrationId", narration_id));
}

int narration_on_story_created(struct st_call *call)
{
    st_exec(call,
            "insert into stories (story_id, author_id, title) select $1, $2, $3 "
            "where not exists (select from deleted_stories where story_id = $1) "
            "and not exists (select from erased_users where user_id = $2) on conflict do nothing",
            st_str(call->body, "storyId"), st_str(call->body, "authorId"), st_str(call->body, "title"));
    return 0;
}

int narration_on_story_updated(struct st_call *call)
{
    st_exec(call,
            "update stories set title = $2, audience = case when audience is not null then $3 end where story_id = $1",
            st_str(call->body, "storyId"), st_str(call->body, "title"), st_str(call->body, "visibility"));
    return 0;
}

/*
 * A character that is called otherwise now keeps its voice: who was there before and is no more has become who has that
 * name, or whose name they had, among others. Of several the one whose voice was chosen; nobody who was there before
 * loses a voice that was chosen.
 */
static void follow_names(struct st_call *call, const char *story_id, const char *characters)
{
    st_exec(call,
            "with before as (select e->>'name' as name, jsonb_build_array(e->'name') || coalesce(e->'aliases', '[]') "
            "as names from stories, jsonb_array_elements(characters) e where story_id = $1), "
            "now as (select e->>'name' as name, jsonb_build_array(e->'name') || coalesce(e->'aliases', '[]') as names "
            "from jsonb_array_elements($2::jsonb) e) "
            "insert into casts (story_id, character, voice, chosen, fallback) "
            "select distinct on (n.name) c.story_id, n.name, c.voice, c.chosen, c.fallback "
            "from casts c join before b on b.name = c.character "
            "join now n on jsonb_exists(n.names, b.name) or jsonb_exists(b.names, n.name) "
            "where c.story_id = $1 and not exists (select from now where name = c.character) "
            "and not exists (select from casts d join before on before.name = d.character "
            "where d.story_id = $1 and d.character = n.name and (d.chosen or not c.chosen)) "
            "order by n.name, c.chosen desc, c.character "
            "on conflict (story_id, character) do update set voice = excluded.voice, chosen = excluded.chosen, "
            "fallback = excluded.fallback",
            story_id, characters);
}

/* Comes before StoryAnalyzed. */
int narration_on_characters(struct st_call *call)
{
    const char *story_id = st_str(call->body, "storyId");
    const char *characters = st_json_text(call->arena, json_object_get(call->body, "characters"));
    narration_hold_story(call, story_id);
    follow_names(call, story_id, characters);
    st_exec(call, "update stories set characters = $2 where story_id = $1", story_id, characters);
    return 0;
}

int narration_on_story_analyzed(struct st_call *call)
{
    const json_t *b = call->body, *segments = json_object_get(b, "segments");
    const char *id = st_new_id(call->arena), *story_id = st_str(b, "storyId");
    struct st_rows *rows;
    narration_hold_story(call, story_id);
    int r = st_rows(
        call, &rows,
        "insert into narrations (narration_id, story_id, analysis_id, language, characters, segments, text_ref) "
        "select $1, story_id, $3, $4, characters, $5, $6 from stories where story_id = $2 "
        "on conflict (analysis_id) where not requested do nothing",
        id, story_id, st_str(b, "analysisId"), st_str(b, "language"),
        segments ? st_json_text(call->arena, segments) : NULL, st_str(b, "textRef"));
    if (r < 0 || st_rows_affected(rows) == 0)
        return r;
    narration_start_speaking(call, story_id, id, !segments); /* a long text does not come in the event */
    return 0;
}

int narration_on_story_published(struct st_call *call)
{
    st_exec(call, "update stories set audience = $2 where story_id = $1", st_str(call->body, "storyId"),
            st_str(call->body, "audience"));
    return 0;
}

int narration_on_story_unpublished(struct st_call *call)
{
    st_exec(call, "update stories set audience = null where story_id = $1", st_str(call->body, "storyId"));
    return 0;
}

/*
 * It was deleted, and is its author's alone again: with the voices, takes and rules that it had, but for the voices of
 * those who took part in it.
 */
int narration_on_story_restored(struct st_call *call)
{
    st_exec(call, "delete from deleted_stories where story_id = $1", st_str(call->body, "storyId"));
    int r = narration_on_story_created(call);
    return r < 0 ? r : narration_silence_strangers(call, st_str(call->body, "storyId"));
}

int narration_on_subscription_changed(struct st_call *call)
{
    st_exec(call,
            "insert into author_tiers select $1, $2 where not exists (select from erased_users where user_id = $1) "
            "on conflict (user_id) do update set tier = excluded.tier",
            st_str(call->body, "userId"), st_str(call->body, "toTier"));
    return st_limit_lifted(call, NULL);
}

int narration_on_limit_reached(struct st_call *call)
{
    return st_limit_reached(call, "narrationCharacters");
}

int narration_on_limit_lifted(struct st_call *call)
{
    return st_limit_lifted(call, "narrationCharacters");
}

int narration_on_participant_joined(struct st_call *call)
{
    int r = know_story(call);
    if (r == 1)
        st_exec(call,
                "insert into story_readers select $1, $2, $3 where not exists (select from erased_users where user_id "
                "= $2) "
                "on conflict do nothing",
                st_str(call->body, "storyId"), st_str(call->body, "userId"), call->event->aggregate_id);
    return r < 0 ? r : 0;
}

int narration_on_participant_left(struct st_call *call)
{
    narration_hold_story(call, st_str(call->body, "storyId"));
    st_exec(call,
            "delete from story_readers where story_id = $1 and user_id = $2 and coalesce(collaboration_id, $3) = $3",
            st_str(call->body, "storyId"), st_str(call->body, "userId"), call->event->aggregate_id);
    return narration_silence_strangers(call, st_str(call->body, "storyId"));
}

/* As if all had left. */
int narration_on_collaboration_cancelled(struct st_call *call)
{
    narration_hold_story(call, st_str(call->body, "storyId"));
    st_exec(call,
            "delete from story_readers where story_id = $1 and (collaboration_id = $2 or (collaboration_id is null "
            "and user_id in (select value::uuid from jsonb_array_elements_text($3::jsonb))))",
            st_str(call->body, "storyId"), call->event->aggregate_id,
            st_json_text(call->arena, json_object_get(call->body, "participants")));
    return narration_silence_strangers(call, st_str(call->body, "storyId"));
}

/* A participant speaks a character. The voice that spoke it before does so again when this one is not to be had. */
int narration_on_voice_ready(struct st_call *call)
{
    const char *story_id = st_str(call->body, "storyId"), *id;
    struct st_voice voice = {.engine = SPEAK_REMOTE};
    struct st_rows *rows;
    int r = know_story(call);
    if (r == 1)
        r = st_rows(call, &rows, "select '" ST_VOICE_LENT "' || replace($1, '-', '')", st_str(call->body, "profileId"));
    else
        return r;
    if (r < 0)
        return r;
    snprintf(voice.id, sizeof(voice.id), "%s", st_cell(rows, 0, 0));
    r = narration_lent_voice(call, &voice, NULL, story_id);
    if (r < 0)
        return r == ST_E_NOT_FOUND ? 0 : r; /* it was taken back since */
    narration_hold_story(call, story_id);
    r = st_rows(call, &rows,
                "insert into casts (story_id, character, voice, chosen) values ($1, $2, $3, true) "
                "on conflict (story_id, character) do update set voice = excluded.voice, chosen = true, "
                "fallback = case when casts.voice like '%:%' then casts.fallback else casts.voice end "
                "where casts.voice <> excluded.voice",
                story_id, st_str(call->body, "character"), voice.id);
    if (r < 0 || st_rows_affected(rows) == 0)
        return r;
    st_exec(call, "update stories set cast_version = cast_version + 1 where story_id = $1", story_id);
    return narration_renew(call, story_id, &id);
}

static void remove_files(struct st_call *call, const json_t *narrations)
{
    json_t *one;
    size_t i;
    json_array_foreach (narrations, i, one)
        st_enqueue(call, "remove_files", st_str(one, "narration_id"), 0,
                   json_pack("{s:s}", "narrationId", st_str(one, "narration_id")));
}

/* A day is for those who are still listening, and for the film that is made of it. Pending is what the story changed
 * under. */
int narration_drop_superseded(struct st_call *call)
{
    json_t *gone;
    int r =
        st_list(call, &gone,
                "delete from narrations where narration_id in (select n.narration_id from narrations n "
                "join narrations later on later.story_id = n.story_id and later.ordinal > n.ordinal "
                "where later.status = 'ready' and later.finished_at < now() - interval '1 day' "
                "and (n.status <> 'pending' or not exists (select from jobs j "
                "where j.unique_key = n.narration_id::text and j.ended is null)) limit 1000) returning narration_id");
    if (r == 0)
        remove_files(call, gone);
    return r;
}

/* Of narrations that never were whole: usage counts it all the same. */
static void tell_spoken(struct st_call *call, const char *story_id, const json_t *narrations)
{
    json_t *one;
    size_t i;
    json_array_foreach (narrations, i, one)
        if (st_json_int(one, "unpaid", 0) > 0)
            st_emit(call, "NarrationAbandoned", st_str(one, "narration_id"),
                    json_pack("{s:O, s:s, s:O, s:O}", "narrationId", json_object_get(one, "narration_id"), "storyId",
                              story_id, "authorId", json_object_get(one, "author_id"), "narrationCharacters",
                              json_object_get(one, "unpaid")));
}

/*
 * What was made of a story goes. What its author has chosen for it stays: it may be restored. Rows are locked in the
 * order of those who begin a narration, and who speak; the story by itself, so that one is seen that was begun
 * meanwhile.
 */
static int forget_story(struct st_call *call, const char *story_id)
{
    json_t *narrations;
    st_exec(call, "select from stories where story_id = $1 for update", story_id);
    int r = st_list(call, &narrations,
                    "select n.narration_id, s.author_id, case when n.object_key is null then n.spoken_characters + "
                    "n.unpaid_characters else 0 end as unpaid from stories s join narrations n using (story_id) "
                    "where story_id = $1 order by n.narration_id for update of n",
                    story_id);
    if (r < 0)
        return r;
    tell_spoken(call, story_id, narrations);
    stop_speaking(call, story_id);
    remove_files(call, narrations);
    st_exec(call,
            "with gone as (delete from stories where story_id = $1 returning author_id) "
            "insert into deleted_stories (story_id, author_id) values ($1, (select author_id from gone)) "
            "on conflict do nothing",
            story_id);
    return 0;
}

int narration_on_story_deleted(struct st_call *call)
{
    return forget_story(call, st_str(call->body, "storyId"));
}

void narration_drop_choices(struct st_call *call, const char *user_id)
{
    st_exec(call,
            "with gone as (update deleted_stories set author_id = null where author_id = $1 or ($1::uuid is null "
            "and author_id is not null and deleted_at < now() - interval '32 days') returning story_id), "
            "c as (delete from casts where story_id in (select story_id from gone)), "
            "t as (delete from takes where story_id in (select story_id from gone)) "
            "delete from story_pronunciations where story_id in (select story_id from gone)",
            user_id);
}

int narration_on_user_deleted(struct st_call *call)
{
    json_t *stories, *one;
    size_t i;
    int r = st_list(call, &stories, "select story_id from stories where author_id = $1 order by story_id",
                    st_str(call->body, "userId"));
    if (r < 0)
        return r;
    json_array_foreach (stories, i, one)
        if ((r = forget_story(call, st_str(one, "story_id"))) < 0)
            return r;
    narration_drop_choices(call, st_str(call->body, "userId"));
    if ((r = narration_drop_profiles(call, st_str(call->body, "userId"))) < 0 ||
        (r = narration_drop_samples(call, st_str(call->body, "userId"))) < 0)
        return r;
    return narration_drop_previews(call, st_str(call->body, "userId"));
}
