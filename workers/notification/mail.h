#ifndef ST_NOTIFICATION_MAIL_H
#define ST_NOTIFICATION_MAIL_H
/* A mail as RFC 5322 text: multipart/alternative, UTF-8, quoted-printable. */
#include "base/base.h"

struct st_mail {
    const char *from;                     /* address */
    const char *from_name, *to, *to_name; /* names may be "" */
    const char *subject;
    const char *text, *html; /* html may be NULL */
    const char *id;          /* what stands before the @ of Message-ID */
    const char *campaign;    /* X-Campaign */
    int64_t date;            /* us since 1970 */
};

/* ST_E_INVALID when an address holds what could break a header. Lines end with CR LF. */
ST_MUSTCHECK int st_mail_write(struct st_arena *a, const struct st_mail *mail, const char **ret);

#endif
