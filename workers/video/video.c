/* Video: a story to watch, with its narration as the sound track. */
#include "video/video.h"

static const struct st_option options[] = {
    {"film_tiers", "premium,family"},
    {"runway_key_file", ""},
    {"runway_url", "https://api.dev.runwayml.com"},
    {"luma_key_file", ""},
    {"luma_url", "https://api.lumalabs.ai/dream-machine/v1"},
    {"fal_key_file", ""},
    {"fal_url", "https://queue.fal.run"},
    {"fal_keys_url", "https://rest.fal.ai/.well-known/jwks.json"},
    {0},
};

static const struct st_operation operations[] = {
    {"getVideo", video_get},
    {"getVideoFile", video_get_file},
    {"getVideoCaptions", video_get_captions},
    {"getVideoPoster", video_get_poster},
    {"getClipPicture", video_get_clip_picture},
    {"makeVideo", video_make},
    {"clipProgressed", video_clip_progress},
    {0},
};

static const struct st_subscription subscriptions[] = {
    {"StoryCreated", video_on_story_created},
    {"StoryUpdated", video_on_story_updated},
    {"StoryAnalyzed", video_on_story_analyzed},
    {"StoryPublished", video_on_story_published},
    {"StoryDeleted", video_on_story_deleted},
    {"UserDeleted", video_on_user_deleted},
    {"ParticipantJoined", video_on_participant_joined},
    {"ParticipantLeft", video_on_participant_left},
    {"CharactersAssigned", video_on_characters_assigned},
    {"CollaborationCompleted", video_on_collaboration_completed},
    {"CollaborationCancelled", video_on_collaboration_cancelled},
    {"NarrationGenerated", video_on_narration_generated},
    {"NarrationFailed", video_on_narration_failed},
    {"NarrationWithdrawn", video_on_narration_withdrawn},
    {"StoryUnpublished", video_on_story_unpublished},
    {"StoryRestored", video_on_story_restored},
    {"AuthorNamed", video_on_author_named},
    {"UsageLimitReached", video_on_limit_reached},
    {"UsageLimitLifted", video_on_limit_lifted},
    {"SubscriptionChanged", video_on_subscription_changed},
    {0},
};

static const struct st_job_kind jobs[] = {
    {.name = "render",
     .handler = video_render,
     .concurrency = 2, /* a long story does not keep the others waiting */
     .timeout_s = 4 * 3600,
     .attempts = 3,
     .failed = video_render_failed},
    {.name = "clip",
     .handler = video_clip,
     .concurrency = 2, /* it mostly asks how far a provider is, and ends */
     .timeout_s = 900,
     .attempts = 8, /* two minutes, for a machine that has no memory or time to convert what came */
     .failed = video_clip_failed},
    {.name = "cancel_clip", .handler = video_cancel_clip, .concurrency = 1, .timeout_s = 300, .attempts = 10},
    {.name = "film_keys", .handler = video_fetch_keys, .concurrency = 1, .timeout_s = 120, .attempts = 5},
    {.name = "remove_files", .handler = video_remove_files, .concurrency = 1, .timeout_s = 60, .attempts = 20},
    {0},
};

static const struct st_schedule schedules[] = {
    {.name = "drop_superseded", .every_s = 3600, .handler = video_drop_superseded},
    {0},
};

static const struct st_erasure erasures[] = {
    {"stories", ST_ERASED}, /* by the handler, with the files that were made of them */
    {"story_readers", ST_ERASED, "delete from story_readers where user_id = $1"},
    {"people", ST_ERASED, "delete from people where user_id = $1"},
    {"video_jobs", ST_ERASED, "update video_jobs set named = array_remove(named, $1) where named @> array[$1::uuid]"},
    {"blocks", ST_ERASED, "delete from blocks where user_id = $1"},
    {0},
};

static const struct st_objects objects[] = {
    {"video/", "select k from jsonb_array_elements_text($1::jsonb) k "
               "join video_jobs v on v.video_id::text = split_part(k, '/', 2) where case split_part(k, '/', 3) "
               "when 'clips' then exists (select from clips c where c.video_id = v.video_id and (c.picture = k "
               "or (c.state <> 'failed' and c.clip_id || '.mp4' = split_part(k, '/', 4)))) "
               "else v.status <> 'failed' end"},
    {0},
};

static const struct st_service service = {
    .name = "video",
    .options = options,
    .operations = operations,
    .subscriptions = subscriptions,
    .jobs = jobs,
    .schedules = schedules,
    .sagas = video_sagas,
    .erasures = erasures,
    .objects = objects,
};

ST_SERVICE_MAIN(service)
