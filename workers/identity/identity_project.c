/* The table users, as identity's events make it. version is the number of the last of them within the user's. */
#include "identity/identity.h"

/* What each event leaves besides; `event` is the parameter with its id. */
#define SEEN(event) "version = event_version(" event "), updated_at = event_time(" event ") where user_id = $1"

/* Without the address when the user is gone since; then UserDeleted follows, and until then no two are alike. */
int identity_project_registered(struct st_call *call)
{
    st_exec(call,
            "insert into users (user_id, email, display_name, locale, state, roles, version, created_at, updated_at) "
            "values ($1::uuid, coalesce($2, $1::uuid::text), $3, $4, 'active', array[$5], event_version($6), "
            "event_time($6), "
            "event_time($6))",
            call->event->aggregate_id, st_str(call->body, "email"), st_str(call->body, "displayName"),
            st_str(call->body, "locale"), st_str(call->body, "role"), call->event->id);
    return 0;
}

/* Who registers an address again that was not confirmed yet gives a name, too. */
int identity_project_verification_requested(struct st_call *call)
{
    st_exec(call, "update users set display_name = $2, locale = $3, " SEEN("$4"), call->event->aggregate_id,
            st_str(call->body, "displayName"), st_str(call->body, "locale"), call->event->id);
    return 0;
}

int identity_project_verified(struct st_call *call)
{
    st_exec(call, "update users set verified_at = coalesce(verified_at, event_time($2)), " SEEN("$2"),
            call->event->aggregate_id, call->event->id);
    return 0;
}

int identity_project_profile_updated(struct st_call *call)
{
    st_exec(call,
            "update users set display_name = coalesce($2, display_name), locale = coalesce($3, locale), "
            "email = coalesce($4, email), " SEEN("$5"),
            call->event->aggregate_id, st_str(call->body, "displayName"), st_str(call->body, "locale"),
            st_str(call->body, "email"), call->event->id);
    return 0;
}

int identity_project_role_changed(struct st_call *call)
{
    st_exec(call, "update users set roles = array(select jsonb_array_elements_text($2::jsonb)), " SEEN("$3"),
            call->event->aggregate_id, st_json_text(call->arena, json_object_get(call->body, "to")), call->event->id);
    return 0;
}

/* The row stays as a tombstone without personal data, so that nothing that refers to it breaks. */
int identity_project_deleted(struct st_call *call)
{
    st_exec(call, "update users set state = 'deleted', email = '', display_name = '', locale = '', " SEEN("$2"),
            call->event->aggregate_id, call->event->id);
    return 0;
}
