#ifndef ST_STORY_H
#define ST_STORY_H
/* Story: texts (story_text.c), their analysis (story_analysis.c, by the embedded analyser of analyse.h), events of
 * others. */
#include "svc/service.h"

/* story_text.c */
int story_create(struct st_call *call);
int story_list(struct st_call *call);
int story_get(struct st_call *call);
int story_update(struct st_call *call);
int story_delete(struct st_call *call);
int story_publish(struct st_call *call);

/*
 * May the caller read the story ($1 story, $2 user)? Authors and collaborators may, and everybody once it is published
 * for all or for those with the link. To stand in a where clause over `stories s`.
 */
#define STORY_READABLE                                                                                                 \
    "s.story_id = $1 and (s.author_id = $2 or (s.published_at is not null and s.visibility in ('link', 'public')) or " \
    "exists (select from story_collaborators c where c.story_id = s.story_id and c.user_id = $2))"

/* story_analysis.c */
int story_get_analysis(struct st_call *call);
int story_analyse(struct st_call *call);      /* job */
int story_remove_files(struct st_call *call); /* job */
/* What is kept of a deleted story as files goes with it. */
void story_forget_files(struct st_call *call, const char *story_id);

/* story_events.c */
int story_on_user_registered(struct st_call *call);
int story_on_profile_updated(struct st_call *call);
int story_on_user_deleted(struct st_call *call);
int story_on_participant_joined(struct st_call *call);
int story_on_limit_reached(struct st_call *call);
int story_on_limit_lifted(struct st_call *call);
int story_on_subscription_changed(struct st_call *call);
int story_on_narration_progressed(struct st_call *call);
int story_on_narration_done(struct st_call *call);

#endif
