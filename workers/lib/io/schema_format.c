/* The formats of JSON Schema that are asserted. */
#include "io/schema_impl.h"

#include <arpa/inet.h>

struct st_format {
    const char *name;
    bool (*check)(const char *s, size_t len);
    const char *message;
};

/* Longest text that any of the fixed formats has a use for. */
enum { MAX_TIME = 64, MAX_HOST = 253, MAX_LOCAL = 64, MAX_EMAIL = 254 };

static bool in(char c, const char *set)
{
    return c && strchr(set, c);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_alnum(char c)
{
    return is_alpha(c) || is_digit(c);
}

static bool is_date_time(const char *s, size_t len)
{
    int64_t us;
    return len > 10 && len < MAX_TIME && in(s[10], "Tt") && st_time_parse(s, &us);
}

static bool is_date(const char *s, size_t len)
{
    char text[MAX_TIME];
    if (len != 10)
        return false;
    snprintf(text, sizeof(text), "%sT00:00:00Z", s);
    return is_date_time(text, strlen(text));
}

static bool is_time(const char *s, size_t len)
{
    char text[2 * MAX_TIME];
    if (len >= MAX_TIME)
        return false;
    snprintf(text, sizeof(text), "2000-01-01T%s", s);
    return is_date_time(text, strlen(text));
}

static bool is_host(const char *s, size_t len)
{
    size_t label = 0;
    if (len < 1 || len > MAX_HOST)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '.') {
            if (label == 0 || s[i - 1] == '-')
                return false;
            label = 0;
        } else if (++label > 63 || !(is_alnum(s[i]) || (s[i] == '-' && label > 1))) {
            return false;
        }
    }
    return label > 0 && s[len - 1] != '-';
}

/* local@host. No quoted local parts, no comments: legal once, and only trouble now. */
static bool is_email(const char *s, size_t len)
{
    const char *at = strchr(s, '@');
    if (!at || len > MAX_EMAIL || at == s || at - s > MAX_LOCAL)
        return false;
    for (const char *p = s; p < at; p++) {
        bool dot = *p == '.';
        if (dot && (p == s || p + 1 == at || p[1] == '.'))
            return false;
        if (!dot && !is_alnum(*p) && !in(*p, "!#$%&'*+/=?^_`{|}~-"))
            return false;
    }
    return is_host(at + 1, len - (size_t)(at + 1 - s));
}

static bool is_uuid(const char *s, size_t len)
{
    return len == 36 && st_is_uuid(s);
}

static bool is_ipv4(const char *s, size_t len)
{
    struct in_addr a;
    return len < INET_ADDRSTRLEN && inet_pton(AF_INET, s, &a) == 1;
}

static bool is_ipv6(const char *s, size_t len)
{
    struct in6_addr a;
    return len < INET6_ADDRSTRLEN && inet_pton(AF_INET6, s, &a) == 1;
}

/* Only characters of RFC 3986 (and `also`), with whole percent escapes. */
static bool uri_text(const char *s, size_t len, const char *also)
{
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '%') {
            if (len - i < 3 || !in(s[i + 1], "0123456789abcdefABCDEF") || !in(s[i + 2], "0123456789abcdefABCDEF"))
                return false;
            i += 2;
        } else if (!is_alnum(s[i]) && !in(s[i], "-._~!$&'()*+,;=") && !in(s[i], also)) {
            return false;
        }
    }
    return true;
}

/* [userinfo@]host[:port] */
static bool uri_authority(const char *s, size_t len)
{
    const char *at = memrchr(s, '@', len);
    if (at) {
        if (!uri_text(s, (size_t)(at - s), ":"))
            return false;
        len -= (size_t)(at + 1 - s);
        s = at + 1;
    }
    const char *end = s + len;
    if (len && *s == '[') {
        const char *close = memchr(s, ']', len);
        char address[INET6_ADDRSTRLEN];
        if (!close || (size_t)(close - s) > sizeof(address))
            return false;
        snprintf(address, sizeof(address), "%.*s", (int)(close - s - 1), s + 1);
        if (!is_ipv6(address, strlen(address)))
            return false;
        s = close + 1;
    } else {
        const char *colon = memchr(s, ':', len);
        const char *host_end = colon ? colon : end;
        if (!uri_text(s, (size_t)(host_end - s), ""))
            return false;
        s = host_end;
    }
    if (s < end && *s++ != ':')
        return false;
    while (s < end && is_digit(*s))
        s++;
    return s == end;
}

/* An absolute URI of RFC 3986: scheme ":" ["//" authority] path ["?" query] ["#" fragment] */
static bool is_uri(const char *s, size_t len)
{
    const char *end = s + len;
    if (!is_alpha(*s))
        return false;
    while (is_alnum(*s) || in(*s, "+-."))
        s++;
    if (*s++ != ':')
        return false;
    if (s[0] == '/' && s[1] == '/') {
        size_t n = strcspn(s + 2, "/?#");
        if (!uri_authority(s + 2, n))
            return false;
        s += 2 + n;
    }
    const char *fragment = strchr(s, '#');
    const char *body_end = fragment ? fragment : end;
    return uri_text(s, (size_t)(body_end - s), ":@/?") &&
           (!fragment || uri_text(fragment + 1, (size_t)(end - fragment - 1), ":@/?"));
}

static const struct st_format formats[] = {
    {"date-time", is_date_time, "must be a date and time such as 2026-01-31T09:30:00Z"},
    {"date", is_date, "must be a date such as 2026-01-31"},
    {"time", is_time, "must be a time such as 09:30:00Z"},
    {"email", is_email, "must be an e-mail address"},
    {"uri", is_uri, "must be an absolute URI"},
    {"uuid", is_uuid, "must be a UUID"},
    {"hostname", is_host, "must be a host name"},
    {"ipv4", is_ipv4, "must be an IPv4 address"},
    {"ipv6", is_ipv6, "must be an IPv6 address"},
};

const struct st_format *st_format_find(const char *name)
{
    for (size_t i = 0; i < ST_COUNT(formats); i++)
        if (strcmp(formats[i].name, name) == 0)
            return &formats[i];
    return NULL;
}

bool st_format_check(const struct st_format *f, const char *s, size_t len)
{
    return f->check(s, len);
}

const char *st_format_message(const struct st_format *f)
{
    return f->message;
}
