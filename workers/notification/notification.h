#ifndef ST_NOTIFICATION_H
#define ST_NOTIFICATION_H
/*
 * Notification: events become messages (notification_event.c), mails are sent (notification_mail.c), the in-app inbox
 * is read (notification_inbox.c). Templates are template.h, mails mail.h.
 */
#include "svc/service.h"

const char *notification_templates(struct st_call *call); /* folder of the templates */

/* notification_event.c */
int notification_on_event(struct st_call *call);

/* notification_mail.c */
int notification_send_mail(struct st_call *call); /* job */
int notification_mail_failed(struct st_call *call);

/* notification_inbox.c */
int notification_list(struct st_call *call);
int notification_mark_read(struct st_call *call);

#endif
