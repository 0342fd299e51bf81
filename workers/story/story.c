/* Story: texts, and what the analysis finds in them. */
#include "story/story.h"

static const struct st_operation operations[] = {
    {"createStory", story_create},
    {"listStories", story_list},
    {"getStory", story_get},
    {"updateStory", story_update},
    {"deleteStory", story_delete},
    {"publishStory", story_publish},
    {"getAnalysis", story_get_analysis},
    {0},
};

static const struct st_subscription subscriptions[] = {
    {"UserRegistered", story_on_user_registered},
    {"UserProfileUpdated", story_on_profile_updated},
    {"UserDeleted", story_on_user_deleted},
    {"ParticipantJoined", story_on_participant_joined},
    {"UsageLimitReached", story_on_limit_reached},
    {"UsageLimitLifted", story_on_limit_lifted},
    {"SubscriptionChanged", story_on_subscription_changed},
    {"NarrationProgressed", story_on_narration_progressed},
    {"NarrationGenerated", story_on_narration_done},
    {"NarrationFailed", story_on_narration_done},
    {0},
};

static const struct st_job_kind jobs[] = {
    {.name = "analyse", .handler = story_analyse, .concurrency = 2, .timeout_s = 120, .attempts = 5},
    {.name = "remove_files", .handler = story_remove_files, .concurrency = 1, .timeout_s = 60, .attempts = 20},
    {0},
};

static const struct st_erasure erasures[] = {
    {"stories", ST_ERASED}, /* by the handler, which says so to those who made something of them */
    {"story_collaborators", ST_ERASED,
     "with gone as (delete from story_collaborators where user_id = $1 returning story_id) "
     "update stories set collaborator_count = collaborator_count - 1 from gone where stories.story_id = gone.story_id"},
    {"authors", ST_ERASED, "delete from authors where author_id = $1"},
    {"blocks", ST_ERASED, "delete from blocks where user_id = $1"},
    {0},
};

static const struct st_service service = {
    .name = "story",
    .operations = operations,
    .subscriptions = subscriptions,
    .jobs = jobs,
    .erasures = erasures,
};

ST_SERVICE_MAIN(service)
