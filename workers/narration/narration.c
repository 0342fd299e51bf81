/* Narration: a story to hear, with a voice for each character. */
#include "narration/narration.h"

static const struct st_option options[] = {
    {"speak_program", ""},
    {"speech_cache_mb", "2048"},
    {"speech_tiers", "free:embedded premium:embedded,openai,elevenlabs family:embedded,openai,elevenlabs"},
    {"openai_url", "https://api.openai.com/v1"},
    {"openai_key_file", ""},
    {"openai_speech_model", "gpt-4o-mini-tts"},
    {"openai_speech_price", "15"},
    {"elevenlabs_url", "https://api.elevenlabs.io"},
    {"elevenlabs_key_file", ""},
    {"elevenlabs_speech_model", "eleven_multilingual_v2"},
    {"elevenlabs_speech_price", "180"},
    {0},
};

static const struct st_operation operations[] = {
    {"getNarration", narration_get},
    {"getNarrationAudio", narration_get_audio},
    {"narrateStory", narration_again},
    {"getNarrationCaptions", narration_get_captions},
    {"exportNarration", narration_export},
    {"getNarrationExport", narration_get_export},
    {"getNarrationExportFile", narration_get_export_file},
    {"listVoices", narration_list_voices},
    {"getCast", narration_get_cast},
    {"changeCast", narration_change_cast},
    {"previewVoice", narration_preview},
    {"getVoicePreview", narration_get_preview},
    {"getVoicePreviewAudio", narration_get_preview_audio},
    {"getStoryPronunciations", narration_get_story_rules},
    {"replaceStoryPronunciations", narration_put_story_rules},
    {"getMyPronunciations", narration_get_user_rules},
    {"replaceMyPronunciations", narration_put_user_rules},
    {"createVoiceSample", narration_create_sample},
    {"listVoiceSamples", narration_list_samples},
    {"getVoiceSample", narration_get_sample},
    {"appendVoiceSample", narration_append_sample, .piece = 1 << 20},
    {"deleteVoiceSample", narration_delete_sample},
    {"getVoiceSampleAudio", narration_get_sample_audio},
    {"getVoiceConsent", narration_get_consent},
    {"createVoiceProfile", narration_create_profile},
    {"listVoiceProfiles", narration_list_profiles},
    {"getVoiceProfile", narration_get_profile},
    {"deleteVoiceProfile", narration_delete_profile},
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
    {"ParticipantLeft", narration_on_participant_left},
    {"CollaborationCancelled", narration_on_collaboration_cancelled},
    {"CollaboratorVoiceReady", narration_on_voice_ready},
    {"SubscriptionChanged", narration_on_subscription_changed},
    {"UsageLimitReached", narration_on_limit_reached},
    {"UsageLimitLifted", narration_on_limit_lifted},
    {"UserDeleted", narration_on_user_deleted},
    {0},
};

/* Who waits for one provider holds up nobody else. */
#define PREVIEW(of, at_once)                                                                                           \
    {                                                                                                                  \
        .name = "preview" of, .handler = narration_speak_preview, .concurrency = at_once, .timeout_s = 120,            \
        .attempts = 3, .failed = narration_speak_preview_failed                                                        \
    }

static const struct st_job_kind jobs[] = {
    {.name = "speak",
     .handler = narration_speak,
     .concurrency = 2,
     .timeout_s = 4 * 3600,
     .attempts = 3, /* what a provider fails in is none, see there */
     .failed = narration_speak_failed},
    {.name = "speak_long", /* those that take hours wait for each other, and nobody else for them */
     .handler = narration_speak,
     .concurrency = 1,
     .timeout_s = 4 * 3600,
     .attempts = 10, /* each goes on where the one before it ended: 40 hours in all */
     .failed = narration_speak_failed},
    PREVIEW("", 1),
    PREVIEW("_openai", 2),
    PREVIEW("_elevenlabs", 2),
    {.name = "export",
     .handler = narration_make_export,
     .concurrency = 1,
     .timeout_s = 3600,
     .attempts = 3,
     .failed = narration_export_failed},
    {.name = "check_sample",
     .handler = narration_check_sample,
     .concurrency = 1,
     .timeout_s = 600,
     .attempts = 3,
     .failed = narration_check_sample_failed},
    {.name = "keep_voice", .handler = narration_keep_voice, .concurrency = 2, .timeout_s = 900, .attempts = 20},
    {.name = "list_voices", .handler = narration_find_voices, .concurrency = 1, .timeout_s = 900, .attempts = 3},
    {.name = "remove_files", .handler = narration_remove_files, .concurrency = 1, .timeout_s = 60, .attempts = 20},
    {.name = "trim_cache", .handler = narration_trim_cache, .concurrency = 1, .timeout_s = 600, .attempts = 1},
    {0},
};

static const struct st_schedule schedules[] = {
    {.name = "trim_cache", .every_s = 3600, .handler = narration_schedule_trim},
    {.name = "expire_samples", .every_s = 600, .handler = narration_expire_samples},
    {.name = "list_voices", .every_s = 3600, .handler = narration_schedule_list},
    {.name = "keep_voices", .every_s = 300, .handler = narration_schedule_voices},
    {0},
};

static const struct st_erasure erasures[] = {
    {"stories", ST_ERASED},         /* by the handler, with the files that were made of them */
    {"deleted_stories", ST_ERASED}, /* the same: whose they were, with what was chosen for them */
    {"previews", ST_ERASED},        /* the same */
    {"voice_samples", ST_ERASED},   /* the same */
    {"voice_profiles", ST_ERASED},  /* the same, at the provider too */
    {"author_tiers", ST_ERASED, "delete from author_tiers where user_id = $1"},
    {"blocks", ST_ERASED, "delete from blocks where user_id = $1"},
    {"user_pronunciations", ST_ERASED, "delete from user_pronunciations where user_id = $1"},
    {"story_readers", ST_ERASED, "delete from story_readers where user_id = $1"},
    {0},
};

static const struct st_objects objects[] = {
    {"narration/",
     "select k from jsonb_array_elements_text($1::jsonb) k "
     "where split_part(k, '/', 2) in (select narration_id::text from narrations where status <> 'failed' union all "
     "select preview_id::text from previews union all "
     "select sample_id::text from voice_samples)"},
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
