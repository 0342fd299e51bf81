#ifndef ST_BASE_STR_H
#define ST_BASE_STR_H
/* Strings: comparison, numbers, UTF-8, hex and base64url. */
#include "base/arena.h"

static inline bool st_streq(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}
static inline bool st_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}
bool st_ends(const char *s, const char *suffix);

/* Of ASCII, whatever the locale; hex in both cases. */
static inline bool st_is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static inline bool st_is_hex(char c)
{
    return st_is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}
static inline bool st_is_alnum(char c)
{
    return st_is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* Same time whatever the contents; for secrets. */
bool st_equal_secret(const void *a, const void *b, size_t len);

/* Decimal integers. The whole string must be the number, in [min, max]; false leaves *ret alone. */
bool st_parse_i64(const char *s, int64_t min, int64_t max, int64_t *ret);
bool st_parse_double(const char *s, double *ret); /* finite, whole string; no program here sets a locale */
char *st_i64(struct st_arena *a, int64_t n);

/*
 * Is s valid UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF)? U+0000 inside counts as invalid:
 * neither PostgreSQL text nor C strings carry it.
 */
bool st_utf8_valid(const char *s, size_t len);
size_t st_utf8_length(const char *s, size_t len); /* code points of valid UTF-8 */
/* Decodes one code point of valid UTF-8 at s, moves *s behind it. */
uint32_t st_utf8_next_wide(const char **s); /* of two bytes or more */
static inline uint32_t st_utf8_next(const char **s)
{
    return (unsigned char)**s < 0x80 ? (unsigned char)*(*s)++ : st_utf8_next_wide(s);
}
/* Writes cp into out (room for 4), gives the number of bytes. */
size_t st_utf8_put(uint32_t cp, char *out);

/* Lower-case hex. st_hex_put writes 2 * len digits and no NUL, and gives the place behind them. */
char *st_hex(struct st_arena *a, const void *data, size_t len);
char *st_hex_put(char *out, const void *data, size_t len);
/* Of len digits of either case: len / 2 bytes, and a NUL behind them. NULL when s is not that. */
char *st_unhex(struct st_arena *a, const char *s, size_t len);

/* base64url without padding (RFC 4648 section 5), strict: no padding, no white space, no stray bits. */
char *st_b64url(struct st_arena *a, const void *data, size_t len);
/* NULL when s is not strict base64url. *ret_len bytes, and a NUL behind them. */
unsigned char *st_b64url_decode(struct st_arena *a, const char *s, size_t len, size_t *ret_len);

/* application/x-www-form-urlencoded or path decoding; NULL for broken escapes, NUL or invalid UTF-8. */
char *st_url_decode(struct st_arena *a, const char *s, size_t len, bool plus_is_space);
char *st_url_encode(struct st_arena *a, const char *s); /* everything but RFC 3986 unreserved */

#endif
