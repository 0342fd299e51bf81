/* Collaboration: telling a story together. */
#include "collaboration/collaboration.h"

static const struct st_operation operations[] = {
    {"createCollaboration", collaboration_create},
    {"listCollaborations", collaboration_list},
    {"getCollaboration", collaboration_get},
    {"createInvitation", collaboration_invite},
    {"listInvitations", collaboration_list_invitations},
    {"acceptInvitation", collaboration_accept},
    {0},
};

static const struct st_subscription subscriptions[] = {
    {"UserRegistered", collaboration_on_person},
    {"UserProfileUpdated", collaboration_on_person},
    {"SubscriptionChanged", collaboration_on_subscription_changed},
    {"StoryCreated", collaboration_on_story},
    {"StoryUpdated", collaboration_on_story},
    {"StoryRestored", collaboration_on_story},
    {"StoryDeleted", collaboration_on_story_deleted},
    {0},
};

static const struct st_erasure erasures[] = {
    {"collaborations", ST_ANONYMISED,
     "update collaborations set story_title = '', status = case status when 'active' then 'cancelled' else status end "
     "where host_id = $1"},
    {"invitations", ST_ANONYMISED,
     "update invitations set email = '', status = case status when 'accepted' then status else 'cancelled' end "
     "where host_id = $1"},
    {"participants", ST_ERASED, "delete from participants where user_id = $1"},
    {"stories", ST_ERASED, "delete from stories where author_id = $1"},
    {"people", ST_ERASED, "delete from people where user_id = $1"},
    {0},
};

static const struct st_service service = {
    .name = "collaboration",
    .operations = operations,
    .subscriptions = subscriptions,
    .erasures = erasures,
    .sagas = collaboration_sagas,
};

ST_SERVICE_MAIN(service)
