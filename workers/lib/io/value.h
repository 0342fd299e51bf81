#ifndef ST_IO_VALUE_H
#define ST_IO_VALUE_H
/*
 * JSON as it is checked: read in one pass into a light tree of the arena, with numbers that stay exact.
 *
 * This is what schemas are held against; programs that work with JSON use io/json.h. A text that is only checked is
 * read by st_value_parse, several times faster than into a json_t; a json_t becomes a value by st_value_from_json.
 */
#include "io/json.h"

struct st_value {
    uint8_t type; /* enum json_type. JSON_INTEGER: fits into int64; JSON_REAL: any other number, 1.0 too */
    uint32_t hash, key_len;
    const char *key;       /* a member's name, with a NUL behind it; NULL for what is not a member */
    struct st_value *next; /* member or item of the same parent */
    union {
        int64_t integer;
        struct { /* JSON_STRING: a NUL follows; JSON_REAL: as written */
            const char *text;
            size_t len;
        };
        struct { /* JSON_OBJECT, JSON_ARRAY */
            struct st_value *first;
            size_t count;
        };
    };
};

/*
 * Parses one JSON text as st_json_parse does, with the same refusals and messages of the same form. With `any`, numbers
 * of any size and \u0000 in strings are accepted too.
 */
ST_MUSTCHECK int st_value_parse(struct st_arena *a, const char *text, size_t len, int depth, bool any,
                                const struct st_value **ret, const char **ret_why);

/* The same value; strings are borrowed from j, which must live as long. */
const struct st_value *st_value_from_json(struct st_arena *a, const json_t *j);
/* The same value for programs; the arena keeps it. What was read with `any` may not be told this way. */
json_t *st_value_json(struct st_arena *a, const struct st_value *v);

/* As JSON Schema sees it: 1 and 1.0 are the same, and so are objects whatever the order of members. */
bool st_value_equal(const struct st_value *x, const struct st_value *y);

/* A text that equal values, and only they, have in common: for sorting. */
void st_value_canonical(const struct st_value *v, struct st_arena *scratch, struct st_buf *out);

/* Member of an object; what a JSON pointer names; the text of a string. NULL when there is none, or v is NULL. */
const struct st_value *st_value_get(const struct st_value *v, const char *name);
const struct st_value *st_value_at(const struct st_value *v, const char *pointer);
const char *st_value_string(const struct st_value *v);

/* Numbers, exactly. */
int st_number_compare(const struct st_value *x, const struct st_value *y); /* < 0, 0, > 0 */
bool st_number_integral(const struct st_value *v);
/* divisor > 0, of at most 19 digits. */
bool st_number_multiple(const struct st_value *v, const struct st_value *divisor);

/* A set of names with numbers, found by the hash that a member carries. */
struct st_names;
struct st_names *st_names_new(struct st_arena *a, size_t n);
void st_names_add(struct st_names *names, const char *name, int number);                      /* at most n */
int st_names_find(const struct st_names *names, const char *name, size_t len, uint32_t hash); /* -1: not there */
uint32_t st_names_hash(const char *name, size_t len);

#endif
