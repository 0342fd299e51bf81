/* Is a request's path canonical? What a normalisation would change is refused before anybody looks at it. */
#include "io/openapi.h"

/*
 * RFC 3986 pchar without ";", whose parameters some servers cut off. What is unreserved needs no escape; the rest of
 * what may stand raw may also be escaped.
 */
enum { RAW = 1, UNRESERVED = 3 };
static const unsigned char classes[256] = {
    ['A' ... 'Z'] = UNRESERVED,
    ['a' ... 'z'] = UNRESERVED,
    ['0' ... '9'] = UNRESERVED,
    ['-'] = UNRESERVED,
    ['.'] = UNRESERVED,
    ['_'] = UNRESERVED,
    ['~'] = UNRESERVED,
    ['!'] = RAW,
    ['$'] = RAW,
    ['&' ... '+'] = RAW, /* & ' ( ) * + */
    [','] = RAW,
    ['='] = RAW,
    [':'] = RAW,
    ['@'] = RAW,
};

static int hex_digit(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Escapes are for bytes that cannot stand raw; never for what separates or climbs. */
static const char *escape_fault(const char *p, const char *end, unsigned char *ret)
{
    int high = end - p > 2 ? hex_digit((unsigned char)p[1]) : -1,
        low = end - p > 2 ? hex_digit((unsigned char)p[2]) : -1;
    if (high < 0 || low < 0)
        return "has a broken escape";
    *ret = (unsigned char)(high << 4 | low);
    if (classes[*ret] == UNRESERVED)
        return "escapes a character that needs no escape";
    if (*ret < 0x20 || *ret == 0x7f || *ret == '/' || *ret == '\\' || *ret == '%' || *ret == ';')
        return "escapes a character that is not allowed";
    return NULL;
}

static bool is_dots(const char *segment, const char *end)
{
    return end - segment >= 1 && end - segment <= 2 && segment[0] == '.' && end[-1] == '.';
}

const char *st_path_fault(const char *path, size_t len)
{
    char escaped[ST_PATH_MAX]; /* the bytes that escapes stand for, with a dash for what lies between */
    const char *end = path + len, *segment = path + 1, *after = NULL, *fault;
    size_t n = 0;
    if (!len || path[0] != '/')
        return "does not begin with a slash";
    if (len > ST_PATH_MAX)
        return "is too long";
    for (const char *p = path + 1; p < end; p++) {
        unsigned char c = (unsigned char)*p;
        if (classes[c])
            continue;
        if (c == '/') {
            if (p == segment)
                return "has an empty segment";
            if (is_dots(segment, p))
                return "has a dot segment";
            segment = p + 1;
        } else if (c != '%') {
            return "has a character that is not allowed";
        } else {
            unsigned char byte;
            if ((fault = escape_fault(p, end, &byte)) != NULL)
                return fault;
            if (after && p != after)
                escaped[n++] = '-';
            escaped[n++] = (char)byte;
            after = p + 3;
            p += 2;
        }
    }
    if (is_dots(segment, end))
        return "has a dot segment";
    return st_utf8_valid(escaped, n) ? NULL : "is not UTF-8";
}
