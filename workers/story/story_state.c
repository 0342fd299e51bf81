/* What a story is on its way from draft to published, and the moves between. */
#include "story/story.h"

/*
 * The moves that authors ask for. Those that come by themselves stand where they are made: from analyzing on in
 * story_analysis.c, to narrating and back in story_events.c.
 */
static const struct {
    const char *from, *to;
} moves[] = {
    {"draft", "analyzing"},     /* analyseStory, and a changed text, if the one before could not be analysed */
    {"ready", "analyzing"},     /* the same, and any changed text */
    {"narrating", "analyzing"}, /* the same */
    {"published", "analyzing"}, /* the same; it stays published meanwhile */
    {"ready", "published"},     /* publishStory */
    {"narrating", "published"}, /* the same */
    {"published", "ready"},     /* unpublishStory */
};

static int check_move(struct st_call *call, const json_t *story, const char *to)
{
    const char *from = st_str(story, "state");
    for (size_t i = 0; i < ST_COUNT(moves); i++)
        if (st_streq(moves[i].from, from) && st_streq(moves[i].to, to))
            return 0;
    return st_fail(call, ST_E_CONFLICT, "A story that is %s cannot become %s.", from, to);
}

void story_start_analysis(struct st_call *call, const char *story_id, const char *tier)
{
    st_cancel(call, "ask", story_id); /* what is asked about an older text */
    st_enqueue(call, "analyse", story_id, 0, json_pack("{s:s, s:s}", "storyId", story_id, "tier", tier));
}

/* The caller's own story as it is then. published: "true", "false", or NULL: as it was. */
static int set(struct st_call *call, const char *state, const char *published, json_t **ret)
{
    return st_row(call, ret,
                  "update stories s set state = $2, analysis_error = null, published_at = case $3::boolean "
                  "when true then coalesce(published_at, now()) when false then null else published_at end, "
                  "version = version + 1, updated_at = now() where story_id = $1 returning " STORY_COLUMNS,
                  st_param(call, "storyId"), state, published);
}

static int move(struct st_call *call, const json_t *old, const char *to, const char *published, json_t **ret)
{
    int r = check_move(call, old, to);
    return r < 0 ? r : set(call, to, published, ret);
}

/* What was asked for is so already. */
static int as_it_is(struct st_call *call, int status)
{
    json_t *story;
    int r = st_row(call, &story, "select " STORY_COLUMNS " from stories s where s.story_id = $1",
                   st_param(call, "storyId"));
    return r < 0 ? r : story_reply(call, status, story);
}

int story_analyse_again(struct st_call *call)
{
    const char *id = st_param(call, "storyId");
    json_t *old, *story;
    int r;
    if ((r = story_own_as_read(call, &old)) < 0 || (r = story_is_analysed(call, id, call->tier)) < 0)
        return r;
    if (r)
        return as_it_is(call, 202);
    if ((r = move(call, old, "analyzing", NULL, &story)) < 0)
        return r;
    story_start_analysis(call, id, call->tier);
    r = story_forget_published(call, id, NULL);
    return r < 0 ? r : story_reply(call, 202, story);
}

int story_publish(struct st_call *call)
{
    const char *id = st_param(call, "storyId");
    json_t *old, *story;
    int r = story_own_as_read(call, &old);
    if (r < 0)
        return r;
    if (st_streq(st_str(old, "state"), "published"))
        return as_it_is(call, 200);
    if ((r = move(call, old, "published", "true", &story)) < 0)
        return r;
    st_emit(call, "StoryPublished", id,
            json_pack("{s:s, s:s, s:s, s:s}", "storyId", id, "authorId", call->user_id, "title", st_str(story, "title"),
                      "audience", st_str(story, "visibility")));
    story_forget_answers(call, id, call->user_id);
    return (r = story_announce(call, id)) < 0 ? r : story_reply(call, 200, story);
}

/*
 * To those who have copies it is a story that only its author and collaborators may see. What is analysed anew is taken
 * back at once, too, and ready when that ends.
 */
int story_unpublish(struct st_call *call)
{
    const char *id = st_param(call, "storyId");
    json_t *old, *story;
    int r;
    if ((r = story_own_as_read(call, &old)) < 0)
        return r;
    bool analysed = st_streq(st_str(old, "state"), "analyzing") && !json_is_null(json_object_get(old, "published_at"));
    if ((r = analysed ? set(call, "analyzing", "false", &story) : move(call, old, "ready", "false", &story)) < 0)
        return r;
    st_emit(call, "StoryUnpublished", id, json_pack("{s:s, s:s}", "storyId", id, "authorId", call->user_id));
    story_forget_answers(call, id, call->user_id);
    return story_reply(call, 200, story);
}
