#ifndef ST_IO_JSON_PATCH_H
#define ST_IO_JSON_PATCH_H
/*
 * JSON Patch (RFC 6902), compiled once and applied to any number of documents: add, remove, replace, move, copy, test.
 *
 * Two things go beyond the RFC, both for patches that are written before the document is known:
 *
 *   - {op: add, path: /storyId, value: {$param: storyId}}     the value is a parameter of the request; the operation is
 *                                                             left out when that parameter did not come
 *   - [{op: move, from: /nextCursor, path: /next}]            a list inside the list: applied as a whole, or, where one
 *                                                             of its operations does not fit, not at all
 *
 * A compiled patch is immutable and may be used by any number of threads.
 */
#include "io/json.h"

enum { ST_PATCH_OPERATIONS = 64 }; /* of one patch, at most */

struct st_patch;

/*
 * Compiles the JSON value of a patch. The result points into it and lives in the arena. On failure ST_E_INVALID;
 * *ret_pointer (arena) names the place in `patch`, *ret_why the reason.
 */
ST_MUSTCHECK int st_patch_compile(struct st_arena *a, const json_t *patch, const struct st_patch **ret,
                                  const char **ret_pointer, const char **ret_why);

/* Gives each parameter that the patch uses; stops at the first false, and gives whether there was none. */
bool st_patch_each_param(const struct st_patch *p, bool (*fn)(void *ctx, const char *name), void *ctx);

/*
 * Applies the patch. `params` is an object by parameter name, or NULL. The document is consumed: it may be changed in
 * place, whatever the result, and must not be shared; *ret belongs to the arena. On failure ST_E_UNPROCESSABLE and
 * *ret_why (arena): the operation and why it does not fit, fit for a client.
 */
ST_MUSTCHECK int st_patch_apply(const struct st_patch *p, const json_t *params, struct st_arena *a, json_t *document,
                                json_t **ret, const char **ret_why);

#endif
