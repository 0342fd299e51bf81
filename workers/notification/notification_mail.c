/* Sending mails: the embedded channel writes .eml files into the outbox. */
#include "notification/mail.h"
#include "notification/notification.h"
#include "notification/template.h"

#include <unistd.h>

/* The file is named after the notification and appears whole or not at all, so that a repeated job sends once. */
static int write_to_outbox(struct st_call *call, const char *id, const char *text)
{
    const char *path = st_printf(call->arena, "%s/%s.eml", st_option("outbox_dir"), id);
    const char *part = st_printf(call->arena, "%s.part", path);
    FILE *f = fopen(part, "we");
    bool bad = !f || fputs(text, f) < 0 || fflush(f) || fsync(fileno(f));
    if ((f && fclose(f)) || bad || rename(part, path))
        return st_fail(call, ST_E_UNAVAILABLE, "The outbox %s cannot be written: %m", st_option("outbox_dir"));
    return 0;
}

static int compose(struct st_call *call, const char **ret)
{
    const json_t *b = call->body, *values = json_object_get(b, "values");
    const char *dir = notification_templates(call), *campaign = st_str(b, "campaign"), *locale = st_str(b, "locale");
    struct st_template t;
    const char *why = "", *html = NULL;
    int r = st_template_text(call->arena, dir, campaign, "email", locale, values, &t, &why);
    if (r == 0)
        r = st_template_html(call->arena, dir, campaign, t.locale, t.header, values, &html, &why);
    if (r < 0)
        return st_fail(call, r, "%s", why);
    const struct st_mail mail = {
        .from = st_option("mail_from"),
        .from_name = st_option("mail_from_name"),
        .to = st_str(b, "email"),
        .to_name = st_str(b, "userId") ? st_json_str(values, "displayName", "") : "",
        .subject = t.header,
        .text = t.body,
        .html = html,
        .id = st_str(b, "notificationId"),
        .campaign = campaign,
        .date = st_now(),
    };
    r = st_mail_write(call->arena, &mail, ret);
    return r < 0 ? st_fail(call, r, "The address cannot be written into a mail.") : 0;
}

static json_t *outcome(struct st_call *call)
{
    const json_t *b = call->body;
    const char *saga_id = st_str(json_object_get(b, "values"), "sagaId"); /* of who waits for it */
    return json_pack("{s:s, s:s, s:s, s:s?, s:s*}", "notificationId", st_str(b, "notificationId"), "campaign",
                     st_str(b, "campaign"), "channel", "email", "userId", st_str(b, "userId"), "sagaId", saga_id);
}

int notification_send_mail(struct st_call *call)
{
    const char *text, *id = st_str(call->body, "notificationId");
    int r;
    if ((r = compose(call, &text)) < 0 || (r = write_to_outbox(call, id, text)) < 0)
        return r;
    st_exec(call, "update notification_deliveries set state = 'sent', finished_at = now() where notification_id = $1",
            id);
    st_emit(call, "NotificationSent", id, outcome(call));
    return 0;
}

int notification_mail_failed(struct st_call *call)
{
    const char *id = st_str(call->body, "notificationId"), *reason = "The mail could not be sent.";
    st_exec(call,
            "update notification_deliveries set state = 'failed', reason = $2, finished_at = now() where "
            "notification_id = $1",
            id, reason);
    json_t *event = outcome(call);
    json_object_set_new(event, "reason", json_string(reason));
    st_emit(call, "NotificationFailed", id, event);
    return 0;
}
