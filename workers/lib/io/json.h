#ifndef ST_IO_JSON_H
#define ST_IO_JSON_H
/*
 * JSON by jansson: reading hostile input, and json_t values that live as long as an arena.
 *
 * json_t is the data type for JSON everywhere. A value given to st_json_keep is released with the arena, so callers
 * borrow freely and never decref.
 */
#include "base/base.h"

#include <jansson.h>

/*
 * Parses one JSON text: valid UTF-8, no duplicate names, no bytes behind it, nesting of at most `depth` (1 for a flat
 * array). Kept by the arena. On failure ST_E_INVALID, and *ret_why (arena) says what and where, fit for a client.
 */
ST_MUSTCHECK int st_json_parse(struct st_arena *a, const char *text, size_t len, int depth, json_t **ret,
                               const char **ret_why);
enum { ST_JSON_DEPTH = 64 };

/* Hands the reference to the arena, gives j. NULL (out of memory in jansson, or json_pack misuse) aborts. */
json_t *st_json_keep(struct st_arena *a, json_t *j);

/* Compact text in the arena, members in their order; 0.7 stays 0.7: 17 digits only where fewer would not read back. */
char *st_json_text(struct st_arena *a, const json_t *j);

/* As st_json_text with sorted members, and 1.0 written as 1: equal values give equal texts (for hashing). */
char *st_json_canonical(struct st_arena *a, const json_t *j);

/* Reads a whole regular file of at most ST_FILE_MAX bytes; a NUL follows. *ret_why names the file. */
ST_MUSTCHECK int st_file_read(struct st_arena *a, const char *path, char **ret, size_t *ret_len, const char **ret_why);
enum { ST_FILE_MAX = 16 << 20 };

/* Reads a file as st_file_read does and parses it, nested at most ST_JSON_DEPTH deep. *ret_why names the file. */
ST_MUSTCHECK int st_json_load(struct st_arena *a, const char *path, json_t **ret, const char **ret_why);

/* JSON pointers (RFC 6901). The value at a pointer, NULL when there is none; and base extended by one escaped token. */
json_t *st_json_at(const json_t *j, const char *pointer);
char *st_json_pointer(struct st_arena *a, const char *base, const char *token);

/* Copies one token of a pointer, unescaped, and gives what follows it ("" or "/…"). NULL for a broken pointer. */
const char *st_json_token(struct st_arena *a, const char *pointer, const char **ret_token);
/* May the token name an item of an array? */
bool st_json_is_index(const char *token);

/* Members of an object; the default when absent, null or of another type. 1.0 is an integer too. */
const char *st_json_str(const json_t *object, const char *name, const char *otherwise);
/*
 * A date-time as PostgreSQL takes it (UTC, from 1970 to 9999): RFC 3339 has offsets and a year that it refuses. NULL
 * when there is none; what is no date-time as it is.
 */
const char *st_json_time(struct st_arena *a, const json_t *object, const char *name);
int64_t st_json_int(const json_t *object, const char *name, int64_t otherwise);
double st_json_num(const json_t *object, const char *name, double otherwise);
bool st_json_bool(const json_t *object, const char *name, bool otherwise);

#endif
