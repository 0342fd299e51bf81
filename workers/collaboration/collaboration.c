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
    {"UserRegistered", collaboration_on_person},      {"UserProfileUpdated", collaboration_on_person},
    {"UserDeleted", collaboration_on_user_deleted},   {"SubscriptionChanged", collaboration_on_subscription_changed},
    {"StoryCreated", collaboration_on_story},         {"StoryUpdated", collaboration_on_story},
    {"StoryDeleted", collaboration_on_story_deleted}, {0},
};

static const struct st_service service = {
    .name = "collaboration",
    .operations = operations,
    .subscriptions = subscriptions,
};

ST_SERVICE_MAIN(service)
