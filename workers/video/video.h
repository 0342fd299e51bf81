#ifndef ST_VIDEO_H
#define ST_VIDEO_H
/*
 * Video: what is known of stories (video_story.c), passages that providers film (video_plan.c, video_clip.c, by film.h,
 * video_callback.c, video_filming.c), rendering
 * (video_render.c, by render.h), showing (video_api.c).
 */
#include "svc/service.h"

/* video_api.c */
int video_get(struct st_call *call);
int video_get_file(struct st_call *call);
int video_get_captions(struct st_call *call);
int video_get_poster(struct st_call *call);
int video_get_clip_picture(struct st_call *call);
int video_make(struct st_call *call);

/* video_story.c */
int video_on_story_created(struct st_call *call);
int video_on_story_updated(struct st_call *call);
int video_on_story_analyzed(struct st_call *call);
int video_on_story_published(struct st_call *call);
int video_on_story_unpublished(struct st_call *call);
int video_on_story_restored(struct st_call *call);
int video_on_story_deleted(struct st_call *call);
int video_on_user_deleted(struct st_call *call);
int video_on_participant_joined(struct st_call *call);
int video_on_participant_left(struct st_call *call);
int video_on_characters_assigned(struct st_call *call);
int video_on_collaboration_completed(struct st_call *call);
int video_on_collaboration_cancelled(struct st_call *call);
int video_on_author_named(struct st_call *call);
int video_on_narration_generated(struct st_call *call);
int video_on_narration_failed(struct st_call *call);
int video_drop_superseded(struct st_call *call); /* schedule */
int video_on_narration_withdrawn(struct st_call *call);

int video_on_limit_reached(struct st_call *call);
int video_on_limit_lifted(struct st_call *call);
int video_on_subscription_changed(struct st_call *call);

/* The row of the video is there: its making begins. */
void video_begin(struct st_call *call, const char *video_id, const char *story_id, const char *author_id);
/* The same, or it is given up at once, when the author's videos are used up. */
ST_MUSTCHECK int video_begin_if_any_left(struct st_call *call, const char *video_id, const char *story_id,
                                         const char *author_id);

/* video_plan.c */
struct st_video_job;
/* How many passages are to be filmed, of which it makes rows; animated: the provider is shown what we have drawn. */
ST_MUSTCHECK int video_plan_clips(struct st_call *call, const char *video_id, const struct st_video_job *job,
                                  bool animated);

/* video_clip.c */
bool video_can_film(const char *tier, const char *resolution); /* is there a provider that can, and may they have it? */
ST_MUSTCHECK int video_load_clips(struct st_call *call, const char *video_id, struct st_video_job *job);
void video_enqueue_clip(struct st_call *call, const char *clip_id, int64_t delay_ms);
int video_clip(struct st_call *call); /* job */
int video_clip_failed(struct st_call *call);
/* The film will be no more: what providers are at for it is cancelled there. */
ST_MUSTCHECK int video_cancel_clips(struct st_call *call, const char *video_id);
int video_cancel_clip(struct st_call *call); /* job */

/* video_callback.c */
struct film_api;
/* Where a provider tells that it has done something for a clip; sends: which time it was that the clip was sent. */
const char *video_callback_url(struct st_call *call, const char *clip_id, const struct film_api *api, int64_t sends);
/* It will call back: its keys should be here by then. */
ST_MUSTCHECK int video_want_keys(struct st_call *call, const struct film_api *api);
int video_fetch_keys(struct st_call *call); /* job */
int video_clip_progress(struct st_call *call);

/* video_filming.c */
extern const struct st_saga video_sagas[];
/* Reserves; the passages are filmed when it has, and the render job comes when they are. */
ST_MUSTCHECK int video_begin_filming(struct st_call *call, const char *video_id, const char *author_id, int passages);
/* The film is there, or (why) given up: 1 when passages of it were to be filmed. */
ST_MUSTCHECK int video_end_filming(struct st_call *call, const char *video_id, const char *failed);

/* video_render.c */
int video_render(struct st_call *call); /* job */
/* Its row says that it is to be made anew: it is, when nobody waits for another. */
void video_render_again(struct st_call *call, const char *video_id);
/*
 * The names for the end card, NULL-ended, by the call's arena; and whose they are, as the row tells then. Outside a
 * transaction.
 */
ST_MUSTCHECK int video_load_voices(struct st_call *call, const char *video_id, const char *const **ret,
                                   const char **ret_named);
/* It will not be made: the row says so, and an event. */
ST_MUSTCHECK int video_give_up(struct st_call *call, const char *video_id, const char *reason);
int video_render_failed(struct st_call *call);
int video_remove_files(struct st_call *call); /* job */

#endif
