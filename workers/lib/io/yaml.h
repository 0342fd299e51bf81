#ifndef ST_IO_YAML_H
#define ST_IO_YAML_H
/*
 * YAML 1.2 core schema (and so JSON) into json_t, by libyaml, remembering where each value stood.
 *
 * Refused, with the line: several documents, none, duplicate keys, keys that are not strings (quote 200), merge keys,
 * tags outside the core schema, integers beyond int64, .inf and .nan, NUL, anchors that contain themselves, more than
 * 100,000 nodes (aliases counted as often as they are used), nesting beyond 64. What an alias stands for is one value
 * in several places: treat the result as immutable. JSON escapes of surrogate pairs (\ud83d\ude00) are beyond libyaml.
 */
#include "io/json.h"

struct st_yaml {
    const char *path; /* as given */
    json_t *root;     /* kept by the arena */
    struct st_yaml_lines *lines;
};

/* Files of at most 16 MiB. On failure ST_E_INVALID and *ret_why = "path:line: reason". */
ST_MUSTCHECK int st_yaml_load(struct st_arena *a, const char *path, struct st_yaml *ret, const char **ret_why);

/* The same for text in memory; `name` stands for the path. */
ST_MUSTCHECK int st_yaml_parse(struct st_arena *a, const char *name, const char *text, size_t len, struct st_yaml *ret,
                               const char **ret_why);

/* Line (from 1) where the item, or the member with its key, that a JSON pointer names begins; of its nearest parent
 * when there is no such value. */
int st_yaml_line(const struct st_yaml *y, const char *pointer);

#endif
