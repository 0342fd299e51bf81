/* Strings: comparison, numbers, UTF-8, hex and base64url. */
#include "base/str.h"

#include <errno.h>
#include <math.h>

bool st_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

bool st_equal_secret(const void *a, const void *b, size_t len)
{
    const volatile unsigned char *x = a, *y = b;
    unsigned char diff = 0;
    for (size_t i = 0; i < len; i++)
        diff |= x[i] ^ y[i];
    return diff == 0;
}

bool st_parse_i64(const char *s, int64_t min, int64_t max, int64_t *ret)
{
    if (!s || !(*s == '-' || (*s >= '0' && *s <= '9')))
        return false;
    char *end;
    errno = 0;
    long long n = strtoll(s, &end, 10);
    if (errno || *end || end == s || n < min || n > max)
        return false;
    *ret = n;
    return true;
}

bool st_parse_double(const char *s, double *ret)
{
    if (!s || !(*s == '-' || (*s >= '0' && *s <= '9')))
        return false;
    for (const char *p = s; *p; p++)
        if (!strchr("0123456789+-.eE", *p)) /* strtod also takes hex, inf and nan */
            return false;
    char *end;
    double d = strtod(s, &end);
    if (*end || end == s || !isfinite(d))
        return false;
    *ret = d;
    return true;
}

char *st_i64(struct st_arena *a, int64_t n)
{
    return st_printf(a, "%lld", (long long)n);
}

/* Length of the valid sequence at s, 0 if there is none. */
static size_t utf8_sequence(const unsigned char *s, size_t left)
{
    if (s[0] == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    size_t n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (left < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
        (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

bool st_utf8_valid(const char *str, size_t len)
{
    const unsigned char *s = (const unsigned char *)str;
    for (size_t i = 0; i < len;) {
        size_t n = utf8_sequence(s + i, len - i);
        if (!n)
            return false;
        i += n;
    }
    return true;
}

size_t st_utf8_length(const char *s, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)s[i] & 0xc0) != 0x80;
    return n;
}

uint32_t st_utf8_next_wide(const char **str)
{
    const unsigned char *s = (const unsigned char *)*str;
    size_t n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    uint32_t cp = s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++)
        cp = cp << 6 | (s[i] & 0x3f);
    *str += n;
    return cp;
}

size_t st_utf8_put(uint32_t cp, char *out)
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, cp >>= 6)
        out[i] = (char)(0x80 | (cp & 0x3f));
    out[0] = (char)((0xf00u >> n & 0xf0) | cp);
    return n;
}

#define ROW(digit)                                                                                                     \
    digit "0" digit "1" digit "2" digit "3" digit "4" digit "5" digit "6" digit "7" digit "8" digit "9" digit          \
          "a" digit "b" digit "c" digit "d" digit "e" digit "f"

/* Sixteen bytes at once. */
static char *put_16(char *out, const unsigned char *d)
{
    typedef uint8_t bytes __attribute__((vector_size(16)));
    bytes x, high, low, both;
    memcpy(&x, d, sizeof(x));
    high = x >> 4;
    low = x & 15;
    high += '0' + ((high > 9) & ('a' - '9' - 1));
    low += '0' + ((low > 9) & ('a' - '9' - 1));
    both = __builtin_shufflevector(high, low, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    memcpy(out, &both, sizeof(both));
    both = __builtin_shufflevector(high, low, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    memcpy(out + sizeof(both), &both, sizeof(both));
    return out + 2 * sizeof(both);
}

/* Then by pairs of digits: printf would be a tenth of the edge's work on a request. */
char *st_hex_put(char *out, const void *data, size_t len)
{
    static const char pairs[] = ROW("0") ROW("1") ROW("2") ROW("3") ROW("4") ROW("5") ROW("6") ROW("7") ROW("8")
        ROW("9") ROW("a") ROW("b") ROW("c") ROW("d") ROW("e") ROW("f");
    const unsigned char *d = data, *end = d + len;
    for (; end - d >= 16; d += 16)
        out = put_16(out, d);
    for (; d < end; d++, out += 2)
        memcpy(out, pairs + 2 * *d, 2);
    return out;
}

char *st_hex(struct st_arena *a, const void *data, size_t len)
{
    char *out = st_alloc(a, 2 * len + 1);
    st_hex_put(out, data, len);
    return out;
}

static unsigned digit_of(char c)
{
    return st_is_digit(c) ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a') + 10;
}

char *st_unhex(struct st_arena *a, const char *s, size_t len)
{
    char *out = st_alloc(a, len / 2 + 1);
    for (size_t i = 0; i < len; i++)
        if (!st_is_hex(s[i]))
            return NULL;
    for (size_t i = 0; i + 1 < len; i += 2)
        out[i / 2] = (char)(digit_of(s[i]) << 4 | digit_of(s[i + 1]));
    out[len / 2] = '\0';
    return len % 2 ? NULL : out;
}

static const char b64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

char *st_b64url(struct st_arena *a, const void *data, size_t len)
{
    const unsigned char *d = data;
    char *out = st_alloc(a, len / 3 * 4 + 5), *o = out;
    size_t i = 0;
    for (; i + 2 < len; i += 3) {
        uint32_t v = (uint32_t)d[i] << 16 | (uint32_t)d[i + 1] << 8 | d[i + 2];
        *o++ = b64[v >> 18];
        *o++ = b64[v >> 12 & 63];
        *o++ = b64[v >> 6 & 63];
        *o++ = b64[v & 63];
    }
    if (len - i == 1) {
        *o++ = b64[d[i] >> 2];
        *o++ = b64[(d[i] & 3) << 4];
    } else if (len - i == 2) {
        *o++ = b64[d[i] >> 2];
        *o++ = b64[(d[i] & 3) << 4 | d[i + 1] >> 4];
        *o++ = b64[(d[i + 1] & 15) << 2];
    }
    return out;
}

/* By character: its value and 1; 0 where it has none. */
static const uint8_t b64_values[256] = {
    0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
    0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  63, 0,  0,  53, 54, 55, 56,
    57, 58, 59, 60, 61, 62, 0,  0,  0,  0,  0,  0,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13,
    14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 0,  0,  0,  0,  64, 0,  27, 28, 29, 30, 31, 32, 33,
    34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 0,  0,  0,  0,  0,
};

/* Whole groups of four characters first. */
unsigned char *st_b64url_decode(struct st_arena *a, const char *s, size_t len, size_t *ret_len)
{
    const unsigned char *c = (const unsigned char *)s, *end = c + len;
    if (len % 4 == 1)
        return NULL;
    unsigned char *out = st_alloc(a, len / 4 * 3 + 3), *o = out;
    for (; end - c >= 4; c += 4, o += 3) {
        uint32_t v[] = {b64_values[c[0]], b64_values[c[1]], b64_values[c[2]], b64_values[c[3]]};
        if (!v[0] || !v[1] || !v[2] || !v[3])
            return NULL;
        uint32_t bits = (v[0] - 1) << 18 | (v[1] - 1) << 12 | (v[2] - 1) << 6 | (v[3] - 1);
        o[0] = (unsigned char)(bits >> 16);
        o[1] = (unsigned char)(bits >> 8);
        o[2] = (unsigned char)bits;
    }
    uint32_t bits = 0;
    int have = 0;
    for (; c < end; c++, have += 6) {
        if (!b64_values[*c])
            return NULL;
        bits = bits << 6 | (uint32_t)(b64_values[*c] - 1);
    }
    for (; have >= 8; bits &= (1u << have) - 1)
        *o++ = (unsigned char)(bits >> (have -= 8));
    if (bits) /* stray bits: the same bytes would have two spellings */
        return NULL;
    *o = '\0';
    *ret_len = (size_t)(o - out);
    return out;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

char *st_url_decode(struct st_arena *a, const char *s, size_t len, bool plus_is_space)
{
    char *out = st_alloc(a, len + 1), *o = out;
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '%') {
            int hi = i + 2 < len ? hex_value(s[i + 1]) : -1, lo = i + 2 < len ? hex_value(s[i + 2]) : -1;
            if (hi < 0 || lo < 0 || (hi == 0 && lo == 0))
                return NULL;
            *o++ = (char)(hi << 4 | lo);
            i += 2;
        } else {
            *o++ = s[i] == '+' && plus_is_space ? ' ' : s[i];
        }
    }
    *o = '\0';
    return st_utf8_valid(out, (size_t)(o - out)) ? out : NULL;
}

char *st_url_encode(struct st_arena *a, const char *s)
{
    size_t len = strlen(s);
    char *out = st_alloc(a, 3 * len + 1), *o = out;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._~", c);
        if (plain)
            *o++ = (char)c;
        else
            o += snprintf(o, 4, "%%%02X", c);
    }
    return out;
}
