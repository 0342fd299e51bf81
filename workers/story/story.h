#ifndef ST_STORY_H
#define ST_STORY_H
/*
 * Story: texts (story_text.c) with their past (_revision.c) and end (_trash.c), the states between draft and published
 * (_state.c), who else may read (_link.c, _public.c) and hears of them (_follow.c), finding them (_search.c), their
 * analysis (_analysis.c, by the embedded analyser of analyse.h; _segments.c) and what its author knows better
 * (_correct.c, _overlay.c), events of others (_events.c), the list view
 * (_project.c), files that become stories and stories that become files (_import.c, _export.c).
 */
#include "svc/service.h"

/* A story s as the API shows it, without its content. */
#define STORY_COLUMNS                                                                                                  \
    "s.story_id as \"storyId\", s.author_id as \"authorId\", s.title, s.language, s.visibility, s.state, s.version, "  \
    "s.revision, s.created_at as \"createdAt\", s.updated_at as \"updatedAt\", s.published_at as \"publishedAt\""

/* With it, where the story is shown alone: who has helped to make it, as far as their names are known. */
#define STORY_CONTRIBUTORS                                                                                             \
    "(select coalesce(json_agg(json_build_object('userId', n.author_id, 'displayName', n.display_name) "               \
    "order by n.display_name, n.author_id), '[]') from story_contributors c join authors n on n.author_id = "          \
    "c.user_id "                                                                                                       \
    "where c.story_id = s.story_id and n.display_name <> '') as contributors"

/* And as an item of a list: of the list view l, which events make (story_project.c), with the author a. */
#define STORY_LIST_COLUMNS                                                                                             \
    "s.story_id as \"storyId\", l.title, coalesce(a.display_name, '') as \"authorName\", "                             \
    "l.collaborator_count as \"collaboratorCount\", s.language, s.visibility, s.state, "                               \
    "l.last_updated as \"lastUpdated\""
#define STORY_LIST_JOIN                                                                                                \
    "join story_list_view l on l.story_id = s.story_id left join authors a on a.author_id = s.author_id "

/* Is the story s in a language ("de-AT" is in "de")? */
#define STORY_LANGUAGE_IS(param) "split_part(lower(s.language), '-', 1) = split_part(lower(" param "), '-', 1)"

/*
 * May the caller read the story ($1 story, $2 user)? Authors and collaborators may, and everybody once it is published
 * for all or for those with its address. To stand in a where clause over `stories s`.
 */
#define STORY_READABLE                                                                                                 \
    "s.story_id = $1 and s.deleted_at is null and (s.author_id = $2 or "                                               \
    "(s.published_at is not null and s.visibility in ('link', 'public')) or "                                          \
    "exists (select from story_collaborators c where c.story_id = s.story_id and c.user_id = $2))"

/* story_text.c */
int story_create(struct st_call *call);
int story_list(struct st_call *call);
int story_get(struct st_call *call);
int story_update(struct st_call *call);
int story_delete(struct st_call *call);

/* A new story, as a row, an event, a revision, and its way to the analysis. *ret: STORY_COLUMNS. */
struct story_new {
    const char *author_id, *tier, *title, *content, *language, *visibility; /* language: NULL: is found */
    bool draft;
};
int story_make(struct st_call *call, const struct story_new *new, json_t **ret);
int story_check_limit(struct st_call *call); /* ST_E_PAYMENT when the caller's tier has no story left */
int story_reply(struct st_call *call, int status, json_t *story); /* with its ETag */
int story_not_found(struct st_call *call, int err);               /* err, with a sentence for ST_E_NOT_FOUND */
/* Locks the caller's own story of parameter storyId: version, revision, state, title, content, content_hash, language
 * (as the author has given it), visibility, published_at, analysis_error. ST_E_NOT_FOUND with its sentence. */
int story_own(struct st_call *call, json_t **ret);
/* The same for changes that may be asked for without having read the story: If-Match counts when it is there. */
int story_own_as_read(struct st_call *call, json_t **ret);

/* What a change makes of the caller's own story `old`, and the answer: a revision, where title, text or language are
 * others than before; an analysis, where the latter two are, but for drafts that no analysis has failed on. */
struct story_text {
    const char *title, *content, *language, *visibility;
    const char *restored_from; /* number of the revision that comes back, or NULL */
};
int story_change(struct st_call *call, const json_t *old, const struct story_text *text);

/* story_revision.c */
int story_list_revisions(struct st_call *call);
int story_get_revision(struct st_call *call);
int story_restore_revision(struct st_call *call);

/* story_state.c */
int story_analyse_again(struct st_call *call);
int story_publish(struct st_call *call);
int story_unpublish(struct st_call *call);
/* tier: of its author, for it decides by whom. */
void story_start_analysis(struct st_call *call, const char *story_id, const char *tier);

/* story_trash.c */
int story_list_deleted(struct st_call *call);
int story_restore(struct st_call *call);
int story_purge(struct st_call *call); /* schedule */

/* story_link.c */
int story_create_link(struct st_call *call);
int story_list_links(struct st_call *call);
int story_revoke_link(struct st_call *call);
int story_open_link(struct st_call *call);

/* story_follow.c */
int story_follow(struct st_call *call);
int story_unfollow(struct st_call *call);
int story_list_followed(struct st_call *call);
int story_feed(struct st_call *call);
/* Followers hear of a story that is public for the first time. */
int story_announce(struct st_call *call, const char *story_id);
int story_tell_followers(struct st_call *call); /* job */

/* story_search.c */
int story_find(struct st_call *call);
/* Makes these what is found of a story. What of them has not changed costs little: a hash. */
void story_index(struct st_call *call, const char *story_id, const char *title, const char *content);

/* story_import.c, story_export.c */
int story_create_import(struct st_call *call);
int story_get_import(struct st_call *call);
int story_import(struct st_call *call);        /* job */
int story_import_failed(struct st_call *call); /* its end */
int story_export(struct st_call *call);

/* story_public.c */
int story_get_public(struct st_call *call);
int story_list_public(struct st_call *call);
int story_list_by_author(struct st_call *call);
int story_drop_answers(struct st_call *call); /* job */
/* A change that everybody may see: the edge forgets what it keeps of the story. */
void story_forget_answers(struct st_call *call, const char *story_id, const char *author_id);
/* The same for a story, if it is published, or for all that say something of a user who writes them or has a part in
 * them; the other one is NULL. */
int story_forget_published(struct st_call *call, const char *story_id, const char *user_id);

/* story_project.c */
int story_project_text(struct st_call *call);
int story_project_touched(struct st_call *call);
int story_project_collaborators(struct st_call *call);
int story_project_deleted(struct st_call *call);
int story_project_named(struct st_call *call);

/* story_correct.c */
int story_list_corrections(struct st_call *call);
int story_drop_corrections(struct st_call *call);
int story_correct_segment(struct st_call *call);
int story_drop_segment_correction(struct st_call *call);
int story_describe_character(struct st_call *call);
int story_merge_characters(struct st_call *call);
int story_split_character(struct st_call *call);
int story_corrections(struct st_call *call, const char *story_id, json_t **ret); /* as story_found.h has them */

/* story_analysis.c */
int story_get_analysis(struct st_call *call);
int story_is_analysed(struct st_call *call, const char *story_id, const char *tier); /* 1, or 0 */
int story_analyse(struct st_call *call);                                             /* job */
int story_chat(struct st_call *call);           /* the same for tiers that have a provider for it (story_chat.h) */
int story_analyse_failed(struct st_call *call); /* its end */
int story_remove_files(struct st_call *call);   /* job */
/* What is kept of a deleted story as files goes with it. */
void story_forget_files(struct st_call *call, const char *story_id);

/* story_events.c */
int story_on_user_named(struct st_call *call);
int story_on_user_deleted(struct st_call *call);
int story_on_participant_joined(struct st_call *call);
int story_on_participant_left(struct st_call *call);
int story_on_collaboration_completed(struct st_call *call);
int story_on_collaboration_cancelled(struct st_call *call);
int story_on_limit_reached(struct st_call *call);
int story_on_limit_lifted(struct st_call *call);
int story_on_subscription_changed(struct st_call *call);
int story_on_narration_progressed(struct st_call *call);
int story_on_narration_done(struct st_call *call);

#endif
