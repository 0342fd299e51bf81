#ifndef ST_IO_SCHEMA_H
#define ST_IO_SCHEMA_H
/*
 * JSON Schema, draft 2020-12: compiled once, then checked in time linear in the instance.
 *
 * A keyword either works or is refused when compiling; none is silently ignored (annotations, `x-` members and
 * `description`, `title`, `default`, `examples`, `example`, `deprecated`, `readOnly`, `writeOnly`, `$comment`, `$id`,
 * `$schema` assert nothing). `x-message` beside `pattern` is what a client is told instead of the pattern. A compiled
 * schema is immutable: any number of threads may check with it.
 *
 * Refused in particular: unevaluatedProperties, unevaluatedItems, $dynamicRef, references to other documents, $id below
 * the root, formats other than date-time date time email uri uuid hostname ipv4 ipv6 (which are asserted; an email has
 * no quoted local part). Patterns are ECMA-262's as far as PCRE2 agrees: a search, in code points; \d \w \s are ASCII.
 * A check that would take too long or go too deep fails as a whole with one error that says so.
 */
#include "io/json.h"

struct st_schema;

/* One failed assertion: where in the instance, and what to mend, fit for a client. */
struct st_schema_error {
    const char *pointer; /* JSON pointer, "" for the whole instance */
    const char *message; /* "must be at least 3 characters long" */
};
enum { ST_SCHEMA_ERRORS = 20 }; /* at most so many are reported */
struct st_schema_errors {
    struct st_schema_error list[ST_SCHEMA_ERRORS];
    int count;
};

/*
 * Compiles the schema at `pointer` ("" for the root) of `document`; `$ref` resolves within the document. The result
 * lives in the arena, and so must the document. On failure ST_E_INVALID; *ret_pointer (arena) names the place in the
 * document, *ret_why the reason.
 */
ST_MUSTCHECK int st_schema_compile(struct st_arena *a, const json_t *document, const char *pointer,
                                   const struct st_schema **ret, const char **ret_pointer, const char **ret_why);

/* 0 when the instance is valid, else ST_E_INVALID with at least one error (allocated in the arena). */
ST_MUSTCHECK int st_schema_check(const struct st_schema *s, const json_t *instance, struct st_arena *a,
                                 struct st_schema_errors *ret_errors);

#endif
