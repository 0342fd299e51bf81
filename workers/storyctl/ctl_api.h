#ifndef ST_CTL_API_H
#define ST_CTL_API_H
/* storyctl api: what its files share. */
#include "storyctl/storyctl.h"

#include "io/openapi.h"

/* Two APIs that are compared, and what differs, in the order of operations. */
struct ctl_diff {
    struct st_arena *arena;
    const json_t *before, *after; /* the merged documents */
    json_t *breaking, *compatible;
    const char *operation, *place; /* of what is compared now: "POST /v1/stories", "file:line" */
};

/* Notes a difference under the name of its rule. */
void ctl_diff_note(struct ctl_diff *d, bool breaking, const char *rule, const char *fmt, ...) ST_PRINTF(4, 5);
/* The object itself, or what its $ref names in the document. */
const json_t *ctl_diff_deref(const json_t *document, const json_t *json);

/*
 * Compares two schemas. A request that was accepted must still be; what an answer can be must have been possible
 * before. `where` names the place: "the body", "the parameter limit".
 */
void ctl_diff_schema(struct ctl_diff *d, const json_t *before, const json_t *after, bool request, const char *where);

int ctl_api_diff(struct ctl *c, const char *before, const char *after);
/* Loads files, and the contracts in folders. NULL: *ret_why has a line for each mistake. */
struct st_api *ctl_api_load(struct st_arena *a, char *const *paths, int n, const char **ret_why);

#endif
