/* From an event to messages: who is told, on which channels. */
#include "notification/notification.h"
#include "notification/template.h"

const char *notification_templates(struct st_call *call)
{
    return st_printf(call->arena, "%s/templates", st_option("config_dir"));
}

/* What notification must know of people: their address, name and language. */
static void learn_contact(struct st_call *call)
{
    const char *type = call->event->type, *user_id = st_str(call->body, "userId");
    const char *email = st_str(call->body, "email"), *name = st_str(call->body, "displayName");
    const char *locale = st_str(call->body, "locale");
    if (st_streq(type, "UserRegistered") || st_streq(type, "EmailVerificationRequested"))
        st_exec(
            call,
            "insert into contacts select $1, $2, $3, $4 where not exists (select from erased_users where user_id = $1) "
            "on conflict (user_id) do update set email = $2, "
            "display_name = $3, locale = $4",
            user_id, email, name, locale);
    else if (st_streq(type, "UserProfileUpdated"))
        st_exec(call,
                "update contacts set email = coalesce($2, email), display_name = coalesce($3, display_name), "
                "locale = coalesce($4, locale) where user_id = $1",
                user_id, email, name, locale);
}

/* Whom the event is about, else the author of the story, else the host. */
static const char *user_concerned(struct st_call *call)
{
    static const char *const members[] = {"userId", "authorId", "hostId"};
    for (size_t i = 0; i < ST_COUNT(members); i++)
        if (st_str(call->body, members[i]))
            return st_str(call->body, members[i]);
    return NULL;
}

/*
 * The users whom a message goes to: where the event names participants, all of them and the host, but for who has done
 * it; else the one concerned.
 */
static json_t *recipients(struct st_call *call)
{
    json_t *list = st_json_keep(call->arena, json_array()), *one;
    const json_t *participants = json_object_get(call->body, "participants");
    const char *alone = participants ? st_str(call->body, "hostId") : user_concerned(call);
    size_t i;
    json_array_foreach (participants, i, one)
        if (!st_streq(json_string_value(one), call->event->user_id))
            json_array_append(list, one);
    if (alone && !(participants && st_streq(alone, call->event->user_id)))
        json_array_append_new(list, json_string(alone));
    return list;
}

/* 1: the claim is ours. 0: this (event, recipient, channel) has one already. */
static int claim(struct st_call *call, const char *id, const char *campaign, const char *channel, const char *user_id,
                 const char *recipient)
{
    struct st_rows *rows;
    int r = st_rows(
        call, &rows,
        "insert into notification_deliveries (notification_id, event_id, campaign, channel, user_id, recipient, "
        "inviter_id) values ($1, $2, $3, $4, $5, $6, $7) on conflict (event_id, recipient, channel) do nothing",
        id, call->event->id, campaign, channel, user_id, recipient, user_id ? NULL : st_str(call->body, "inviterId"));
    if (r < 0 || st_rows_affected(rows) == 0)
        return r;
    st_emit(call, "NotificationRequested", id,
            json_pack("{s:s, s:s, s:s, s:s?}", "notificationId", id, "campaign", campaign, "channel", channel, "userId",
                      user_id));
    return 1;
}

static int request_mail(struct st_call *call, const char *campaign, const char *user_id, const char *email,
                        const char *locale, json_t *values)
{
    const char *id = st_new_id(call->arena);
    if (!email || !*email || !st_template_exists(notification_templates(call), campaign, "email"))
        return 0;
    int r = claim(call, id, campaign, "email", user_id, email);
    if (r == 1)
        st_enqueue(call, "send_mail", id, 0,
                   json_pack("{s:s, s:s, s:s?, s:s?, s:s, s:s, s:O}", "notificationId", id, "campaign", campaign,
                             "userId", user_id, "inviterId", st_str(call->body, "inviterId"), "email", email, "locale",
                             locale, "values", values));
    return r < 0 ? r : 0;
}

static int put_into_inbox(struct st_call *call, const char *campaign, const char *user_id, const char *locale,
                          const json_t *values)
{
    struct st_template t;
    const char *why, *id = st_new_id(call->arena), *dir = notification_templates(call);
    if (!user_id || !st_template_exists(dir, campaign, "inbox"))
        return 0;
    int r = claim(call, id, campaign, "inbox", user_id, user_id);
    if (r <= 0)
        return r;
    if ((r = st_template_text(call->arena, dir, campaign, "inbox", locale, values, &t, &why)) < 0)
        return st_fail(call, r, "%s", why);
    size_t end = strlen(t.body);
    while (end && (t.body[end - 1] == '\n' || t.body[end - 1] == ' '))
        end--;
    st_exec(call, "insert into inbox_messages values ($1, $2, $3, $4, nullif($5, ''))", id, user_id, campaign,
            st_strndup(call->arena, t.body, end), t.header);
    st_exec(call, "update notification_deliveries set state = 'sent', finished_at = now() where notification_id = $1",
            id);
    st_emit(call, "NotificationSent", id,
            json_pack("{s:s, s:s, s:s, s:s}", "notificationId", id, "campaign", campaign, "channel", "inbox", "userId",
                      user_id));
    return 0;
}

/* The event's members, but for ids of users, which a message does not need and its job would keep; the recipient's name
 * and the platform's address: what templates may name. */
static json_t *template_values(struct st_call *call, const char *display_name)
{
    static const char *const ids[] = {"userId", "hostId", "participants"};
    json_t *values = st_json_keep(call->arena, json_copy(call->body));
    for (size_t i = 0; i < ST_COUNT(ids); i++)
        json_object_del(values, ids[i]);
    json_object_set_new(values, "publicUrl", json_string(st_option("public_url")));
    if (display_name)
        json_object_set_new(values, "displayName", json_string(display_name));
    return values;
}

/* Events of different services overtake each other: a message for somebody who is still to come is tried again. */
static int without_contact(struct st_call *call, const char *user_id)
{
    struct st_rows *gone;
    int r = st_rows(call, &gone, "select from erased_users where user_id = $1", user_id);
    if (r == 0 && user_id && st_rows_count(gone) == 0)
        return st_fail(call, ST_E_NOT_FOUND, "The recipient is not known here yet.");
    return r;
}

/* Nobody is told; but who waits for an answer gets one. */
static int refuse(struct st_call *call)
{
    const char *saga_id = st_str(call->body, "sagaId"), *id = st_new_id(call->arena);
    if (saga_id && st_template_exists(notification_templates(call), call->event->topic, "email"))
        st_emit(call, "NotificationFailed", id,
                json_pack("{s:s, s:s, s:s, s:n, s:s, s:s}", "notificationId", id, "campaign", call->event->topic,
                          "channel", "email", "userId", "reason", "The account was deleted.", "sagaId", saga_id));
    return 0;
}

static int tell_user(struct st_call *call, const char *campaign, const char *user_id)
{
    json_t *contact;
    int r = st_row(call, &contact, "select email, display_name, locale from contacts where user_id = $1", user_id);
    if (r == ST_E_NOT_FOUND)
        return without_contact(call, user_id);
    if (r < 0)
        return r;
    json_t *values = template_values(call, st_str(contact, "display_name"));
    const char *locale = st_json_str(contact, "locale", "en");
    if ((r = request_mail(call, campaign, user_id, st_str(contact, "email"), locale, values)) < 0)
        return r;
    return put_into_inbox(call, campaign, user_id, locale, values);
}

int notification_on_event(struct st_call *call)
{
    const char *campaign = call->event->topic, *dir = notification_templates(call);
    json_t *one;
    size_t i;
    int r = 0;
    if (call->user_gone)
        return refuse(call);
    learn_contact(call);
    if (!st_template_exists(dir, campaign, "email") && !st_template_exists(dir, campaign, "inbox"))
        return 0;
    const char *guest = st_json_str(call->body, "inviteeEmail", st_str(call->body, "sharedWith"));
    if (guest) /* somebody without an account: the event itself says where to and in which language */
        return request_mail(call, campaign, NULL, guest, st_json_str(call->body, "locale", "en"),
                            template_values(call, NULL));
    json_array_foreach (recipients(call), i, one)
        if (r == 0)
            r = tell_user(call, campaign, json_string_value(one));
    return r;
}
