#ifndef ST_NARRATION_H
#define ST_NARRATION_H
/*
 * Narration: what is known of stories (narration_story.c), speaking them (narration_speak.c, by narrate.h), hearing
 * them (narration_api.c).
 */
#include "narration/voices.h"
#include "svc/service.h"

/* May the caller ($2) hear story s? As story itself decides. */
#define NARRATION_READABLE                                                                                             \
    "(s.author_id = $2 or s.audience in ('link', 'public') or "                                                        \
    "exists (select from story_readers r where r.story_id = s.story_id and r.user_id = $2))"

/* narration_api.c */
int narration_get(struct st_call *call);
int narration_get_audio(struct st_call *call);

int narration_again(struct st_call *call);
/* Narrates a story that is held once more, as everything is now; *ret_id is NULL when it was never analysed. */
int narration_renew(struct st_call *call, const char *story_id, const char **ret_id);

/* narration_cast.c */
int narration_list_voices(struct st_call *call);
int narration_get_cast(struct st_call *call);
int narration_change_cast(struct st_call *call);
const char *narration_voice_description(struct st_call *call, const struct st_voice *v);
const char *narration_title(struct st_call *call,
                            const char *text); /* of a chapter: without marks, at most 200 bytes */

/* narration_preview.c */
int narration_preview(struct st_call *call);
int narration_get_preview(struct st_call *call);
int narration_get_preview_audio(struct st_call *call);
int narration_speak_preview(struct st_call *call); /* job */
int narration_speak_preview_failed(struct st_call *call);
int narration_drop_previews(struct st_call *call, const char *user_id); /* all of a user; NULL: those of yesterday */

/* narration_export.c */
int narration_export(struct st_call *call);
int narration_get_export(struct st_call *call);
int narration_get_export_file(struct st_call *call);
int narration_get_captions(struct st_call *call);
int narration_make_export(struct st_call *call); /* job */
int narration_export_failed(struct st_call *call);
void narration_drop_exports(struct st_call *call, const char *narration_id); /* those under way, too; not the files */

/* narration_sample.c: people's voices */
int narration_create_sample(struct st_call *call);
int narration_append_sample(struct st_call *call);
int narration_list_samples(struct st_call *call);
int narration_get_sample(struct st_call *call);
int narration_get_sample_audio(struct st_call *call);
int narration_delete_sample(struct st_call *call);
int narration_check_sample(struct st_call *call); /* job */
int narration_check_sample_failed(struct st_call *call);
int narration_expire_samples(struct st_call *call);                        /* schedule */
void narration_remove_sample(struct st_call *call, const char *sample_id); /* with its file */
int narration_drop_samples(struct st_call *call, const char *user_id);

/* narration_profile.c: voices that people have lent */
int narration_get_consent(struct st_call *call);
int narration_create_profile(struct st_call *call);
int narration_list_profiles(struct st_call *call);
int narration_get_profile(struct st_call *call);
int narration_delete_profile(struct st_call *call);
int narration_withdraw_sample(struct st_call *call, const char *sample_id); /* the voice that was learnt from it */
int narration_drop_profiles(struct st_call *call, const char *user_id);
/* Voices of those who do not take part in a story any more are not heard in it. */
int narration_silence_strangers(struct st_call *call, const char *story_id);
/*
 * Fills in who speaks with a voice that was lent: to the user, or to those who tell the story (NULL: none) with its
 * owner. ST_E_NOT_FOUND: nobody does, or not for them. 0 for all other voices.
 */
int narration_lent_voice(struct st_call *call, struct st_voice *v, const char *user_id, const char *story_id);

/* narration_clone.c: the provider's side of them */
void narration_keep_voice_soon(struct st_call *call, const char *profile_id, const char *voice, int64_t delay_ms);
int narration_keep_voice(struct st_call *call);      /* job */
int narration_schedule_voices(struct st_call *call); /* schedule */
int narration_find_voices(struct st_call *call);     /* job: which voices the account has anyway */
int narration_schedule_list(struct st_call *call);   /* schedule */

/* narration_rules.c: how words are said */
int narration_get_story_rules(struct st_call *call);
int narration_put_story_rules(struct st_call *call);
int narration_get_user_rules(struct st_call *call);
int narration_put_user_rules(struct st_call *call);

/* narration_story.c */
/*
 * Until the transaction ends, nobody else begins a narration of the story or changes its cast; whoever has waited for
 * that sees in its next statement what was done. Before anything else of the story is locked.
 */
void narration_hold_story(struct st_call *call, const char *story_id);
/* The narration of a story that is held was inserted; the others are out of date, and made no further. */
void narration_start_speaking(struct st_call *call, const char *story_id, const char *narration_id, bool is_long);
int narration_drop_superseded(struct st_call *call); /* those that another has taken the place of, a day ago */
/* Voices, takes and rules of deleted stories: of a user's; NULL: of those that cannot be restored any more. */
void narration_drop_choices(struct st_call *call, const char *user_id);

int narration_on_story_created(struct st_call *call);
int narration_on_story_updated(struct st_call *call);
int narration_on_characters(struct st_call *call);
int narration_on_story_analyzed(struct st_call *call);
int narration_on_story_published(struct st_call *call);
int narration_on_story_unpublished(struct st_call *call);
int narration_on_story_restored(struct st_call *call);
int narration_on_story_deleted(struct st_call *call);
int narration_on_user_deleted(struct st_call *call);
int narration_on_participant_joined(struct st_call *call);
int narration_on_participant_left(struct st_call *call);
int narration_on_collaboration_cancelled(struct st_call *call);
int narration_on_voice_ready(struct st_call *call);
int narration_on_subscription_changed(struct st_call *call);
int narration_on_limit_reached(struct st_call *call);
int narration_on_limit_lifted(struct st_call *call);
#define NARRATION_LIMIT "narrated characters" /* to people; svc/limit.h */

/* narration_speak.c */
extern struct st_speech *narration_speech; /* set once by narration_start, before any thread */
int narration_start(struct st_call *call); /* proves that the speech engine works */
int narration_speak(struct st_call *call); /* job */
int narration_speak_failed(struct st_call *call);
int narration_remove_files(struct st_call *call); /* job */
int narration_trim_cache(struct st_call *call);   /* job: keeps the spoken segments below speech_cache_mb */
int narration_schedule_trim(struct st_call *call);

#endif
