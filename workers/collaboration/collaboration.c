/* Collaboration: telling a story together. */
#include "collaboration/collaboration.h"

static const struct st_operation operations[] = {
    {"createCollaboration", collaboration_create},
    {"listCollaborations", collaboration_list},
    {"getCollaboration", collaboration_get},
    {"completeCollaboration", collaboration_complete},
    {"cancelCollaboration", collaboration_cancel},
    {"removeParticipant", collaboration_remove_participant},
    {"completeSubmission", collaboration_submit},
    {"assignCharacters", collaboration_assign},
    {"createInvitation", collaboration_invite},
    {"listInvitations", collaboration_list_invitations},
    {"cancelInvitation", collaboration_cancel_invitation},
    {"acceptInvitation", collaboration_accept},
    {"declineInvitation", collaboration_decline},
    {0},
};

static const struct st_subscription subscriptions[] = {
    {"UserRegistered", collaboration_on_person},
    {"UserProfileUpdated", collaboration_on_person},
    {"UserDeleted", collaboration_on_user_deleted},
    {"SubscriptionChanged", collaboration_on_subscription_changed},
    {"StoryCreated", collaboration_on_story},
    {"StoryUpdated", collaboration_on_story},
    {"StoryRestored", collaboration_on_story},
    {"StoryDeleted", collaboration_on_story_deleted},
    {"CharactersExtracted", collaboration_on_characters},
    {"VoiceSampleRecorded", collaboration_on_sample},
    {"VoiceCloned", collaboration_on_voice},
    {"VoiceConsentWithdrawn", collaboration_on_voice_withdrawn},
    {0},
};

static const struct st_job_kind jobs[] = {
    {.name = "expire_invitation", .handler = collaboration_expire, .concurrency = 1, .timeout_s = 60, .attempts = 10},
    {0},
};

static const struct st_erasure erasures[] = {
    {"collaborations", ST_ANONYMISED}, /* the title is the story's; the handler has cancelled them */
    {"invitations", ST_ANONYMISED, "update invitations set email = '', token_hash = null where host_id = $1"},
    {"participants", ST_ERASED, "delete from participants where user_id = $1"},
    {"stories", ST_ERASED, "delete from stories where author_id = $1"},
    {"people", ST_ERASED, "delete from people where user_id = $1"},
    {"voices", ST_ERASED, "delete from voices where user_id = $1"},
    {0},
};

static const struct st_projection projections[] = {
    {"CollaborationCreated", collaboration_project_created},
    {"CollaborationImported", collaboration_project_imported},
    {"CollaborationCompleted", collaboration_project_ended},
    {"CollaborationCancelled", collaboration_project_ended},
    {"CollaborationInvited", collaboration_project_invited, .sensitive = true},
    {"InvitationCreated", collaboration_project_moved},
    {"InvitationSent", collaboration_project_sent, .sensitive = true},
    {"InvitationDispatched", collaboration_project_moved},
    {"InvitationAccepted", collaboration_project_moved},
    {"InvitationDeclined", collaboration_project_moved},
    {"InvitationExpired", collaboration_project_moved},
    {"InvitationCancelled", collaboration_project_moved},
    {"ParticipantJoined", collaboration_project_joined},
    {"ParticipantLeft", collaboration_project_left},
    {"SubmissionCompleted", collaboration_project_submitted},
    {"CharactersAssigned", collaboration_project_assigned},
    {0},
};
static const char *const tables[] = {"collaborations", "invitations", "participants", NULL};

static const struct st_service service = {
    .name = "collaboration",
    .operations = operations,
    .subscriptions = subscriptions,
    .jobs = jobs,
    .erasures = erasures,
    .sagas = collaboration_sagas,
    .projections = projections,
    .tables = tables,
};

ST_SERVICE_MAIN(service)
