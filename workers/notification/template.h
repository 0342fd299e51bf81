#ifndef ST_NOTIFICATION_TEMPLATE_H
#define ST_NOTIFICATION_TEMPLATE_H
/*
 * Message templates: config/templates/<campaign>/<channel>.<locale>.<txt|html>. The file names, the syntax and the
 * values are explained in config/templates/README.md.
 */
#include "io/json.h"

struct st_template {
    const char *header; /* value of the header line (Subject: or Link:), rendered; NULL in HTML */
    const char *body;   /* rendered */
    const char *locale; /* the locale that was found */
};

/* Is there a folder for the campaign, with a file for the channel in English? */
bool st_template_exists(const char *dir, const char *campaign, const char *channel);

/*
 * Renders the text of a channel in the nearest locale (de-AT, de, en). ST_E_INVALID and *ret_why when the file is
 * missing or broken, or a value is missing, not a string or number, or breaks a header line.
 */
ST_MUSTCHECK int st_template_text(struct st_arena *a, const char *dir, const char *campaign, const char *channel,
                                  const char *locale, const json_t *values, struct st_template *ret,
                                  const char **ret_why);

/* The HTML of a mail inside layout.html, in the locale that the text was found in. */
ST_MUSTCHECK int st_template_html(struct st_arena *a, const char *dir, const char *campaign, const char *locale,
                                  const char *subject, const json_t *values, const char **ret, const char **ret_why);

#endif
