/* Message templates: a small part of Mustache, with missing values as errors. */
#include "notification/template.h"

#include <unistd.h>

enum { FILE_LIMIT = 256 * 1024, RENDERED_LIMIT = 1024 * 1024, LOCALE_LEN = 36 };

static char *read_file(struct st_arena *a, const char *path)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return NULL;
    char *text = st_alloc(a, FILE_LIMIT + 1);
    size_t n = fread(text, 1, FILE_LIMIT, f);
    fclose(f);
    text[n] = '\0';
    return text;
}

/* A name from an event or a profile that becomes part of a path. */
static bool safe_name(const char *s)
{
    for (const char *p = s; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *p))
            return false;
    return *s && *s != '.' && !strstr(s, "..");
}

bool st_template_exists(const char *dir, const char *campaign, const char *channel)
{
    struct st_arena a = {0};
    bool there = safe_name(campaign) && access(st_printf(&a, "%s/%s/%s.en.txt", dir, campaign, channel), R_OK) == 0;
    st_arena_release(&a);
    return there;
}

/* The file in the nearest locale: de-AT, de, en. */
static const char *find(struct st_arena *a, const char *dir, const char *campaign, const char *channel,
                        const char *locale, const char *extension, const char **ret_locale)
{
    char tag[LOCALE_LEN];
    snprintf(tag, sizeof(tag), "%s", safe_name(locale) ? locale : "en");
    for (;;) {
        const char *path = st_printf(a, "%s/%s/%s.%s.%s", dir, campaign, channel, tag, extension);
        if (access(path, R_OK) == 0) {
            *ret_locale = st_strdup(a, tag);
            return path;
        }
        char *dash = strrchr(tag, '-');
        if (dash)
            *dash = '\0';
        else if (st_streq(tag, "en"))
            return NULL;
        else
            snprintf(tag, sizeof(tag), "en");
    }
}

static void put_escaped(struct st_buf *b, const char *s)
{
    for (; *s; s++) {
        switch (*s) {
        case '&': st_buf_str(b, "&amp;"); break;
        case '<': st_buf_str(b, "&lt;"); break;
        case '>': st_buf_str(b, "&gt;"); break;
        case '"': st_buf_str(b, "&quot;"); break;
        case '\'': st_buf_str(b, "&#39;"); break;
        default: st_buf_char(b, *s);
        }
    }
}

static const char *value_of(struct st_arena *a, const json_t *values, const char *name)
{
    const json_t *v = json_object_get(values, name);
    if (json_is_integer(v))
        return st_i64(a, json_integer_value(v));
    if (json_is_real(v))
        return st_printf(a, "%g", json_real_value(v));
    return json_string_value(v);
}

/* {{name}} escaped when html, {{{name}}} as it is. one_line: a value with a line break is refused. */
static int render(struct st_arena *a, const char *text, const json_t *values, bool html, bool one_line,
                  const char **ret, const char **ret_why)
{
    struct st_buf b = ST_BUF(RENDERED_LIMIT);
    int r = 0;
    while (r == 0 && *text) {
        const char *open = strstr(text, "{{");
        if (!open) {
            st_buf_str(&b, text);
            break;
        }
        st_buf_add(&b, text, (size_t)(open - text));
        bool raw = open[2] == '{';
        const char *name = open + (raw ? 3 : 2), *close = strstr(name, raw ? "}}}" : "}}");
        const char *key = close ? st_strndup(a, name, (size_t)(close - name)) : "";
        const char *value = close ? value_of(a, values, key) : NULL;
        if (!value || (one_line && strpbrk(value, "\r\n"))) {
            *ret_why = value ? st_printf(a, "the value of %s has a line break", key)
                             : st_printf(a, "there is no value for {{%s}}", key);
            r = ST_E_INVALID;
        } else if (html && !raw) {
            put_escaped(&b, value);
        } else {
            st_buf_str(&b, value);
        }
        text = close ? close + (raw ? 3 : 2) : "";
    }
    if (r == 0 && b.failed) {
        *ret_why = "the message is too long";
        r = ST_E_INVALID;
    }
    if (r == 0)
        *ret = st_strndup(a, b.data ? b.data : "", b.len);
    st_buf_release(&b);
    return r;
}

int st_template_text(struct st_arena *a, const char *dir, const char *campaign, const char *channel, const char *locale,
                     const json_t *values, struct st_template *ret, const char **ret_why)
{
    struct st_template t = {0};
    const char *path = safe_name(campaign) ? find(a, dir, campaign, channel, locale, "txt", &t.locale) : NULL;
    char *text = path ? read_file(a, path) : NULL;
    char *body = text ? strstr(text, "\n\n") : NULL, *colon = text ? strchr(text, ':') : NULL;
    if (!body || !colon || colon > body) {
        *ret_why = st_printf(a, "%s/%s/%s: no such template, or it does not start with a header line and an empty one",
                             dir, campaign, channel);
        return ST_E_INVALID;
    }
    *body = '\0';
    const char *header = colon + 1 + strspn(colon + 1, " ");
    int r = render(a, header, values, false, true, &t.header, ret_why);
    if (r == 0)
        r = render(a, body + 2, values, false, false, &t.body, ret_why);
    if (r == 0)
        *ret = t;
    return r;
}

static const char *direction_of(const char *locale)
{
    static const char *const rtl[] = {"ar", "he", "fa", "ur", "ps", "yi", "dv", "ckb"};
    size_t n = strcspn(locale, "-");
    for (size_t i = 0; i < ST_COUNT(rtl); i++)
        if (strlen(rtl[i]) == n && memcmp(locale, rtl[i], n) == 0)
            return "rtl";
    return "ltr";
}

int st_template_html(struct st_arena *a, const char *dir, const char *campaign, const char *locale, const char *subject,
                     const json_t *values, const char **ret, const char **ret_why)
{
    const char *found, *content, *path = find(a, dir, campaign, "email", locale, "html", &found);
    char *text = path ? read_file(a, path) : NULL, *layout = read_file(a, st_printf(a, "%s/layout.html", dir));
    if (!text || !layout) {
        *ret_why = st_printf(a, "%s/%s has no HTML, or layout.html is missing", dir, campaign);
        return ST_E_INVALID;
    }
    int r = render(a, text, values, true, false, &content, ret_why);
    if (r < 0)
        return r;
    const json_t *page = st_json_keep(a, json_pack("{s:s, s:s, s:s, s:s}", "language", found, "direction",
                                                   direction_of(found), "subject", subject, "content", content));
    return render(a, layout, page, true, false, ret, ret_why);
}
