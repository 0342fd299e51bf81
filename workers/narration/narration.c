/* Narration: a story to hear, with a voice for each character. */
#include "narration/narration.h"

static const struct st_option options[] = {
    {"speak_program", ""},
    {"speech_cache_mb", "2048"},
    {0},
};

static const struct st_operation operations[] = {
    {"getNarration", narration_get},
    {"getNarrationAudio", narration_get_audio},
    {0},
};

static const struct st_subscription subscriptions[] = {
    {"StoryCreated", narration_on_story_created},
    {"StoryUpdated", narration_on_story_updated},
    {"CharactersExtracted", narration_on_characters},
    {"StoryAnalyzed", narration_on_story_analyzed},
    {"StoryPublished", narration_on_story_published},
    {"StoryUnpublished", narration_on_story_unpublished},
    {"StoryDeleted", narration_on_story_deleted},
    {"StoryRestored", narration_on_story_restored},
    {"ParticipantJoined", narration_on_participant_joined},
    {"UserDeleted", narration_on_user_deleted},
    {0},
};

static const struct st_job_kind jobs[] = {
    {.name = "speak",
     .handler = narration_speak,
     .concurrency = 2, /* a long story does not keep the others waiting */
     .timeout_s = 4 * 3600,
     .attempts = 3,
     .failed = narration_speak_failed},
    {.name = "remove_files", .handler = narration_remove_files, .concurrency = 1, .timeout_s = 60, .attempts = 20},
    {.name = "trim_cache", .handler = narration_trim_cache, .concurrency = 1, .timeout_s = 600, .attempts = 1},
    {0},
};

static const struct st_schedule schedules[] = {
    {.name = "trim_cache", .every_s = 3600, .handler = narration_schedule_trim},
    {0},
};

static const struct st_erasure erasures[] = {
    {"stories", ST_ERASED}, /* by the handler, with the files that were made of them */
    {"story_readers", ST_ERASED, "delete from story_readers where user_id = $1"},
    {0},
};

static const struct st_objects objects[] = {
    {"narration/", "select k from jsonb_array_elements_text($1::jsonb) k "
                   "join narrations n on n.narration_id::text = split_part(k, '/', 2)"},
    {0},
};

static const struct st_service service = {
    .name = "narration",
    .options = options,
    .operations = operations,
    .subscriptions = subscriptions,
    .jobs = jobs,
    .erasures = erasures,
    .objects = objects,
    .schedules = schedules,
    .start = narration_start,
};

ST_SERVICE_MAIN(service)
