/* Story: texts, and what the analysis finds in them. */
#include "story/story.h"

static const struct st_option options[] = {
    {"chat_url", "https://api.openai.com/v1"}, {"chat_key_file", ""},        {"chat_model", "gpt-4o-mini"},
    {"chat_tiers", "premium,family"},          {"chat_timeout_ms", "60000"}, {0},
};

static const struct st_operation operations[] = {
    {"createStory", story_create},
    {"listStories", story_list},
    {"getStory", story_get},
    {"updateStory", story_update},
    {"deleteStory", story_delete},
    {"searchStories", story_find},
    {"listDeletedStories", story_list_deleted},
    {"restoreStory", story_restore},
    {"analyseStory", story_analyse_again},
    {"publishStory", story_publish},
    {"unpublishStory", story_unpublish},
    {"getAnalysis", story_get_analysis},
    {"listCorrections", story_list_corrections},
    {"dropCorrections", story_drop_corrections},
    {"correctSegment", story_correct_segment},
    {"dropSegmentCorrection", story_drop_segment_correction},
    {"describeCharacter", story_describe_character},
    {"mergeCharacters", story_merge_characters},
    {"splitCharacter", story_split_character},
    {"listRevisions", story_list_revisions},
    {"getRevision", story_get_revision},
    {"restoreRevision", story_restore_revision},
    {"createShareLink", story_create_link},
    {"listShareLinks", story_list_links},
    {"revokeShareLink", story_revoke_link},
    {"openSharedStory", story_open_link},
    {"followAuthor", story_follow},
    {"unfollowAuthor", story_unfollow},
    {"listFollowedAuthors", story_list_followed},
    {"getFeed", story_feed},
    {"createImport", story_create_import},
    {"getImport", story_get_import},
    {"exportStory", story_export},
    {"getPublicStory", story_get_public},
    {"listPublicStories", story_list_public},
    {"listAuthorStories", story_list_by_author},
    {0},
};

static const struct st_subscription subscriptions[] = {
    {"UserRegistered", story_on_user_named},
    {"UserProfileUpdated", story_on_user_named},
    {"UserDeleted", story_on_user_deleted},
    {"ParticipantJoined", story_on_participant_joined},
    {"ParticipantLeft", story_on_participant_left},
    {"CollaborationCompleted", story_on_collaboration_completed},
    {"CollaborationCancelled", story_on_collaboration_cancelled},
    {"UsageLimitReached", story_on_limit_reached},
    {"UsageLimitLifted", story_on_limit_lifted},
    {"SubscriptionChanged", story_on_subscription_changed},
    {"NarrationProgressed", story_on_narration_progressed},
    {"NarrationGenerated", story_on_narration_done},
    {"NarrationFailed", story_on_narration_done},
    {0},
};

static const struct st_job_kind jobs[] = {
    {.name = "analyse",
     .handler = story_analyse,
     .concurrency = 2,
     .timeout_s = 120,
     .attempts = 5,
     .failed = story_analyse_failed},
    {.name = "ask",
     .handler = story_chat,
     .concurrency = 2, /* beside "analyse": who waits for a provider keeps nobody else waiting */
     .timeout_s = 3600,
     .attempts = 3,
     .failed = story_analyse_failed},
    {.name = "tell_followers", .handler = story_tell_followers, .concurrency = 1, .timeout_s = 60, .attempts = 10},
    {.name = "import",
     .handler = story_import,
     .concurrency = 2,
     .timeout_s = 120,
     .attempts = 3,
     .failed = story_import_failed},
    {.name = "forget_answers", .handler = story_drop_answers, .concurrency = 2, .timeout_s = 30, .attempts = 10},
    {.name = "remove_files", .handler = story_remove_files, .concurrency = 1, .timeout_s = 60, .attempts = 20},
    {0},
};

static const struct st_schedule schedules[] = {
    {.name = "purge", .every_s = 10, .handler = story_purge},
    {0},
};

static const struct st_erasure erasures[] = {
    {"stories", ST_ERASED},             /* by the handler, which says so to those who made something of them */
    {"story_collaborators", ST_ERASED}, /* by the handler, which says how many are left */
    {"story_contributors", ST_ERASED, "delete from story_contributors where user_id = $1"},
    {"story_participations", ST_ERASED, "delete from story_participations where user_id = $1"},
    {"story_list_view", ST_ERASED, "delete from story_list_view where author_id = $1"},
    {"authors", ST_ERASED, "delete from authors where author_id = $1"},
    {"story_imports", ST_ERASED, "delete from story_imports where user_id = $1"},
    {"story_mails", ST_ERASED, "delete from story_mails where author_id = $1"},
    {"follows", ST_ERASED, "delete from follows where follower_id = $1 or author_id = $1"},
    {"blocks", ST_ERASED, "delete from blocks where user_id = $1"},
    {0},
};

static const struct st_projection projections[] = {
    {"StoryCreated", story_project_text},
    {"StoryUpdated", story_project_text},
    {"StoryRestored", story_project_text},
    {"StoryPublished", story_project_touched},
    {"StoryUnpublished", story_project_touched},
    {"CollaboratorsChanged", story_project_collaborators},
    {"StoryDeleted", story_project_deleted},
    {"AuthorNamed", story_project_named},
    {0},
};
static const char *const tables[] = {"story_list_view", "authors", NULL};

static const struct st_objects objects[] = {
    {"story/", "select story_objects($1::jsonb)"},
    {0},
};

static const struct st_service service = {
    .name = "story",
    .options = options,
    .operations = operations,
    .subscriptions = subscriptions,
    .jobs = jobs,
    .schedules = schedules,
    .erasures = erasures,
    .objects = objects,
    .projections = projections,
    .tables = tables,
};

ST_SERVICE_MAIN(service)
