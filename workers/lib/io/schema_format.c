/* The formats of JSON Schema and of OpenAPI. */
#include "io/idn.h"
#include "io/schema_impl.h"

#include <arpa/inet.h>
#include <strings.h>

/* A NUL stands behind each text, and none in it (but in a JSON pointer). No message: nothing is asserted. */
struct st_format {
    const char *name;
    bool (*check)(const char *s, size_t len);
    const char *message;
    const struct st_value *least, *greatest; /* of an integer; NULL: it is a text */
};

enum { MAX_HOST = 253, MAX_LABEL = 63, MAX_LOCAL = 64, MAX_EMAIL = 254 };

static bool in(char c, const char *set)
{
    return c && strchr(set, c);
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_beyond_ascii(char c)
{
    return c & 0x80;
}

/* Times (RFC 3339). Each reader moves *s, or gives false. */

static bool read_number(const char **s, int n_digits, int max, int *ret)
{
    int n = 0;
    for (int i = 0; i < n_digits; i++, (*s)++) {
        if (!st_is_digit(**s))
            return false;
        n = 10 * n + (**s - '0');
    }
    *ret = n;
    return n <= max;
}

static bool read_char(const char **s, const char *set)
{
    bool ok = in(**s, set);
    *s += ok;
    return ok;
}

static bool read_date(const char **s)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day;
    if (!read_number(s, 4, 9999, &year) || !read_char(s, "-") || !read_number(s, 2, 12, &month) || !read_char(s, "-") ||
        !read_number(s, 2, 31, &day) || !month || !day)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day <= days[month - 1] + (month == 2 && leap);
}

/* Second 60 is there only at the end of a day, of UTC. */
static bool read_time(const char **s)
{
    int hour, minute, second, offset_hour = 0, offset_minute = 0, sign = 0;
    if (!read_number(s, 2, 23, &hour) || !read_char(s, ":") || !read_number(s, 2, 59, &minute) || !read_char(s, ":") ||
        !read_number(s, 2, 60, &second))
        return false;
    if (**s == '.') {
        ++*s;
        if (!st_is_digit(**s))
            return false;
        while (st_is_digit(**s))
            ++*s;
    }
    if (!read_char(s, "Zz")) {
        sign = **s == '-' ? -1 : 1;
        if (!read_char(s, "+-") || !read_number(s, 2, 23, &offset_hour) || !read_char(s, ":") ||
            !read_number(s, 2, 59, &offset_minute))
            return false;
    }
    const int day = 24 * 60;
    int utc = (day + hour * 60 + minute - sign * (offset_hour * 60 + offset_minute)) % day;
    return second < 60 || utc == day - 1;
}

static bool is_date_time(const char *s, size_t len)
{
    const char *end = s + len;
    return read_date(&s) && read_char(&s, "Tt") && read_time(&s) && s == end;
}

static bool is_date(const char *s, size_t len)
{
    const char *end = s + len;
    return read_date(&s) && s == end;
}

static bool is_time(const char *s, size_t len)
{
    const char *end = s + len;
    return read_time(&s) && s == end;
}

/* Numbers with units in their order, none left out between the first and the last. Gives how many; -1: broken. */
static int read_units(const char **s, const char *units)
{
    int n = 0;
    const char *expected = NULL;
    while (st_is_digit(**s)) {
        while (st_is_digit(**s))
            ++*s;
        const char *unit = **s ? strchr(units, **s) : NULL;
        if (!unit || (expected && unit != expected))
            return -1;
        expected = unit + 1;
        ++*s;
        n++;
    }
    return n;
}

/* P3Y6M4DT12H30M5S or P2W (RFC 3339, appendix A) */
static bool is_duration(const char *s, size_t len)
{
    const char *end = s + len, *week = s + 1;
    if (*s++ != 'P')
        return false;
    if (read_units(&week, "W") == 1)
        return week == end;
    int date = read_units(&s, "YMD"), time = 0;
    if (*s == 'T') {
        s++;
        time = read_units(&s, "HMS");
        if (time == 0)
            return false;
    }
    return date >= 0 && time >= 0 && date + time > 0 && s == end;
}

/* Hosts and addresses. */

static bool is_label(const char *s, size_t len)
{
    if (len < 1 || len > MAX_LABEL || s[0] == '-' || s[len - 1] == '-')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!st_is_alnum(s[i]) && s[i] != '-')
            return false;
    return len < 4 || strncasecmp(s, "xn--", 4) != 0 || st_is_alabel(s, len);
}

static bool is_host(const char *s, size_t len)
{
    const char *end = s + len;
    if (len > MAX_HOST)
        return false;
    for (;;) {
        size_t n = strcspn(s, ".");
        if (!is_label(s, n))
            return false;
        s += n;
        if (s == end)
            return true;
        s++;
    }
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

/* The words of a local part, between single dots. */
static bool is_dotted(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool dot = s[i] == '.', word = st_is_alnum(s[i]) || in(s[i], "!#$%&'*+/=?^_`{|}~-");
        if (dot ? i == 0 || i + 1 == len || s[i + 1] == '.' : !word)
            return false;
    }
    return len > 0;
}

/* "any text", with \" and \\ */
static bool is_quoted(const char *s, size_t len)
{
    if (len < 2 || s[0] != '"' || s[len - 1] != '"')
        return false;
    for (size_t i = 1; i < len - 1; i++) {
        if (s[i] == '\\')
            i++;
        else if (s[i] == '"')
            return false;
        if (i >= len - 1 || s[i] < ' ' || s[i] > '~')
            return false;
    }
    return true;
}

/* [192.0.2.1], [IPv6:2001:db8::1] */
static bool is_address_literal(const char *s, size_t len)
{
    char address[INET6_ADDRSTRLEN];
    bool v6 = strncasecmp(s, "[IPv6:", 6) == 0;
    size_t head = v6 ? 6 : 1;
    if (s[0] != '[' || s[len - 1] != ']' || len - head > sizeof(address))
        return false;
    snprintf(address, sizeof(address), "%.*s", (int)(len - head - 1), s + head);
    return v6 ? is_ipv6(address, strlen(address)) : is_ipv4(address, strlen(address));
}

/* local@host (RFC 5321), without comments. */
static bool is_email(const char *s, size_t len)
{
    const char *at = memrchr(s, '@', len), *host = at ? at + 1 : s;
    if (!at || len > MAX_EMAIL || at - s > MAX_LOCAL)
        return false;
    size_t local_len = (size_t)(at - s), host_len = len - local_len - 1;
    if (!is_dotted(s, local_len) && !is_quoted(s, local_len))
        return false;
    return host_len && *host == '[' ? is_address_literal(host, host_len) : is_host(host, host_len);
}

static bool is_uuid(const char *s, size_t len)
{
    return len == 36 && st_is_uuid(s);
}

/* URIs (RFC 3986), IRIs (RFC 3987) where `iri` allows what is beyond ASCII. */

static bool is_escape(const char *s)
{
    return s[0] == '%' && st_is_hex(s[1]) && st_is_hex(s[2]);
}

/* Only characters that URIs are made of (and `also`), with whole percent escapes. */
static bool uri_text(const char *s, size_t len, const char *also, bool iri)
{
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '%') {
            if (len - i < 3 || !is_escape(s + i))
                return false;
            i += 2;
        } else if (!st_is_alnum(s[i]) && !in(s[i], "-._~!$&'()*+,;=") && !in(s[i], also) &&
                   !(iri && is_beyond_ascii(s[i]))) {
            return false;
        }
    }
    return true;
}

/* [v1.fe80::a+en1]: an address of a version to come */
static bool is_future_address(const char *s, size_t len)
{
    size_t i = 1;
    if (len < 4 || !in(s[0], "vV"))
        return false;
    while (i < len && st_is_hex(s[i]))
        i++;
    return i > 1 && i + 1 < len && s[i] == '.' && !memchr(s, '%', len) && uri_text(s + i + 1, len - i - 1, ":", false);
}

/* [userinfo@]host[:port] */
static bool uri_authority(const char *s, size_t len, bool iri)
{
    const char *at = memrchr(s, '@', len), *end = s + len;
    if (at && !uri_text(s, (size_t)(at - s), ":", iri))
        return false;
    if (at)
        s = at + 1;
    if (s < end && *s == '[') {
        const char *close = memchr(s, ']', (size_t)(end - s));
        char address[INET6_ADDRSTRLEN];
        if (!close)
            return false;
        size_t n = (size_t)(close - s - 1);
        snprintf(address, sizeof(address), "%.*s", n < sizeof(address) ? (int)n : 0, s + 1);
        if (!is_ipv6(address, strlen(address)) && !is_future_address(s + 1, n))
            return false;
        s = close + 1;
    } else {
        const char *colon = memchr(s, ':', (size_t)(end - s)), *host_end = colon ? colon : end;
        if (!uri_text(s, (size_t)(host_end - s), "", iri))
            return false;
        s = host_end;
    }
    if (s < end && *s++ != ':')
        return false;
    while (s < end && st_is_digit(*s))
        s++;
    return s == end;
}

/* The text behind "scheme:", or s itself when there is no scheme. */
static const char *behind_scheme(const char *s)
{
    const char *p = s;
    if (!is_alpha(*p))
        return s;
    while (st_is_alnum(*p) || in(*p, "+-."))
        p++;
    return *p == ':' ? p + 1 : s;
}

/* [scheme ":"] ["//" authority] path ["?" query] ["#" fragment] */
static bool uri_reference(const char *s, size_t len, bool needs_scheme, bool iri)
{
    const char *end = s + len, *rest = behind_scheme(s);
    bool has_scheme = rest != s;
    if (needs_scheme && !has_scheme)
        return false;
    s = rest;
    if (s[0] == '/' && s[1] == '/') {
        size_t n = strcspn(s + 2, "/?#");
        if (!uri_authority(s + 2, n, iri))
            return false;
        s += 2 + n;
    } else if (!has_scheme && s[strcspn(s, ":/?#")] == ':') {
        return false; /* what looks like a scheme is none */
    }
    const char *query = s + strcspn(s, "?#"), *fragment = s + strcspn(s, "#");
    return uri_text(s, (size_t)(query - s), ":@/", iri) && uri_text(query, (size_t)(fragment - query), ":@/?", iri) &&
           (fragment == end || uri_text(fragment + 1, (size_t)(end - fragment - 1), ":@/?", iri));
}

static bool is_uri(const char *s, size_t len)
{
    return uri_reference(s, len, true, false);
}

static bool is_uri_reference(const char *s, size_t len)
{
    return uri_reference(s, len, false, false);
}

static bool is_iri(const char *s, size_t len)
{
    return uri_reference(s, len, true, true);
}

static bool is_iri_reference(const char *s, size_t len)
{
    return uri_reference(s, len, false, true);
}

/* name[.name...] with :n or * behind (RFC 6570) */
static bool read_variable(const char **s)
{
    const char *start = *s;
    for (;;) {
        size_t n = is_escape(*s) ? 3 : st_is_alnum(**s) || **s == '_' || (**s == '.' && *s > start && (*s)[-1] != '.');
        if (!n)
            break;
        *s += n;
    }
    if (*s == start || (*s)[-1] == '.')
        return false;
    if (**s == '*')
        ++*s;
    if (**s != ':')
        return true;
    const char *digits = ++*s;
    while (st_is_digit(**s))
        ++*s;
    return *digits != '0' && *s > digits && *s - digits <= 4;
}

/* {+name,name} */
static bool read_expression(const char **s)
{
    ++*s;
    *s += in(**s, "+#./;?&");
    do {
        if (!read_variable(s))
            return false;
    } while (read_char(s, ","));
    return read_char(s, "}");
}

static bool is_uri_template(const char *s, size_t len)
{
    const char *end = s + len;
    while (s < end) {
        if (*s == '{') {
            if (!read_expression(&s))
                return false;
        } else if (is_escape(s)) {
            s += 3;
        } else if ((unsigned char)*s <= ' ' || *s == 0x7f || in(*s, "\"<>\\^`|}%")) {
            return false;
        } else {
            s++;
        }
    }
    return true;
}

static bool is_pointer(const char *s, size_t len)
{
    const char *end = s + len;
    if (s < end && *s != '/')
        return false;
    for (; s < end; s++)
        if (*s == '~' && s[1] != '0' && s[1] != '1')
            return false;
    return true;
}

/* 1/member, 0# */
static bool is_relative_pointer(const char *s, size_t len)
{
    size_t n = strspn(s, "0123456789");
    if (n == 0 || (n > 1 && *s == '0'))
        return false;
    return (len == n + 1 && s[n] == '#') || is_pointer(s + n, len - n);
}

/* RFC 4648 section 4, padded. */
static bool is_base64(const char *s, size_t len)
{
    size_t padding = len && s[len - 1] == '=' ? 1 + (len > 1 && s[len - 2] == '=') : 0;
    for (size_t i = 0; i < len - padding; i++)
        if (!is_alpha(s[i]) && !st_is_digit(s[i]) && s[i] != '+' && s[i] != '/')
            return false;
    return len % 4 == 0;
}

#define INTEGER(n) (&(const struct st_value){.type = JSON_INTEGER, .integer = (n)})

static const struct st_format formats[] = {
    {"date-time", is_date_time, "must be a date and time such as 2026-01-31T09:30:00Z"},
    {"date", is_date, "must be a date such as 2026-01-31"},
    {"time", is_time, "must be a time such as 09:30:00Z"},
    {"duration", is_duration, "must be a duration such as P1DT12H"},
    {"email", is_email, "must be an e-mail address"},
    {"hostname", is_host, "must be a host name"},
    {"ipv4", is_ipv4, "must be an IPv4 address"},
    {"ipv6", is_ipv6, "must be an IPv6 address"},
    {"uri", is_uri, "must be an absolute URI"},
    {"uri-reference", is_uri_reference, "must be a URI or a relative reference"},
    {"iri", is_iri, "must be an absolute IRI"},
    {"iri-reference", is_iri_reference, "must be an IRI or a relative reference"},
    {"uri-template", is_uri_template, "must be a URI template"},
    {"uuid", is_uuid, "must be a UUID"},
    {"json-pointer", is_pointer, "must be a JSON pointer"},
    {"relative-json-pointer", is_relative_pointer, "must be a relative JSON pointer"},
    {"regex", st_pattern_valid, "must be a regular expression"},
    /* OpenAPI's own */
    {"int32", NULL, "must be an integer of 32 bits", INTEGER(INT32_MIN), INTEGER(INT32_MAX)},
    {"int64", NULL, "must be an integer of 64 bits", INTEGER(INT64_MIN), INTEGER(INT64_MAX)},
    {"byte", is_base64, "must be base64"},
    {.name = "float"},
    {.name = "double"},
    {.name = "binary"},
    {.name = "password"},
};

const struct st_format *st_format_find(const char *name)
{
    for (size_t i = 0; i < ST_COUNT(formats); i++)
        if (strcmp(formats[i].name, name) == 0)
            return &formats[i];
    return NULL;
}

bool st_format_check(const struct st_format *f, const struct st_value *v)
{
    if (f->least)
        return st_number_integral(v) && st_number_compare(v, f->least) >= 0 && st_number_compare(v, f->greatest) <= 0;
    return f->check(v->text, v->len) && (f->check == is_pointer || strlen(v->text) == v->len);
}

unsigned st_format_applies(const struct st_format *f)
{
    return f->least ? 1u << JSON_INTEGER | 1u << JSON_REAL : f->check ? 1u << JSON_STRING : 0;
}

const char *st_format_message(const struct st_format *f)
{
    return f->message;
}
