#ifndef ST_NARRATION_H
#define ST_NARRATION_H
/*
 * Narration: what is known of stories (narration_story.c), speaking them (narration_speak.c, by narrate.h), hearing
 * them (narration_api.c).
 */
#include "svc/service.h"

/* narration_api.c */
int narration_get(struct st_call *call);
int narration_get_audio(struct st_call *call);

/* narration_story.c */
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

/* narration_speak.c */
int narration_start(struct st_call *call); /* proves that the speech engine works */
int narration_speak(struct st_call *call); /* job */
int narration_speak_failed(struct st_call *call);
int narration_remove_files(struct st_call *call); /* job */
int narration_trim_cache(struct st_call *call);   /* job: keeps the spoken segments below speech_cache_mb */
int narration_schedule_trim(struct st_call *call);

#endif
