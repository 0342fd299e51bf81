#ifndef ST_IO_SCHEMA_H
#define ST_IO_SCHEMA_H
/*
 * JSON Schema, draft 2020-12: compiled once, then checked in time linear in the instance.
 *
 * A keyword either works or is refused when compiling; none is silently ignored. Annotations assert nothing, as the
 * draft says: description, title, default, examples, example, deprecated, readOnly, writeOnly, contentMediaType,
 * contentEncoding, contentSchema, discriminator, externalDocs, xml, $comment, and x- members. x-message beside pattern
 * is what a client is told instead of the pattern. then and else without if, minContains and maxContains without
 * contains are refused as mistakes.
 *
 * $ref reaches all of the document: by pointer, $anchor, or the URI of an $id in it, which begins a resource of its
 * own; besides, https://json-schema.org/draft/2020-12/schema is known. Other documents are refused. $dynamicRef works.
 *
 * Formats are asserted: date-time date time duration email hostname ipv4 ipv6 uri uri-reference iri iri-reference
 * uri-template uuid json-pointer relative-json-pointer regex, and OpenAPI's int32 int64 byte; its float double binary
 * password assert nothing; others are refused. Patterns are ECMA-262's, with Unicode
 * meaning, by PCRE2 with limits: a search, in code points; \d \w are ASCII. What PCRE2 cannot do (lookbehind of
 * variable length) or ECMA-262 does not know (\A, (?i), a++) is refused. Numbers are compared as decimals, exactly.
 *
 * A check that would take too long or go too deep (64 schemas for one value, 500 in all) fails as a whole with one
 * error that says so. A compiled schema is immutable: any number of threads may check with it.
 */
#include "io/value.h"

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
    bool undecided; /* the check was given up, for the one reason in the list */
};

/*
 * Compiles the schema at `pointer` ("" for the root) of `document`; `$ref` resolves within the document. The result
 * lives in the arena, and so must the document. On failure ST_E_INVALID; *ret_pointer (arena) names the place in the
 * document, *ret_why the reason.
 */
ST_MUSTCHECK int st_schema_compile(struct st_arena *a, const json_t *document, const char *pointer,
                                   const struct st_schema **ret, const char **ret_pointer, const char **ret_why);

/*
 * The same for many schemas of one document: what several of them refer to is compiled once. After a failure the
 * document is wrong, and schemas that refer to the one that failed may compile and be unfit for use.
 */
struct st_compiler *st_schema_compiler(struct st_arena *a, const json_t *document);
ST_MUSTCHECK int st_schema_compile_with(struct st_compiler *c, const char *pointer, const struct st_schema **ret,
                                        const char **ret_pointer, const char **ret_why);

/* 0 when the instance is valid, else ST_E_INVALID with at least one error (allocated in the arena). */
ST_MUSTCHECK int st_schema_check(const struct st_schema *s, const json_t *instance, struct st_arena *a,
                                 struct st_schema_errors *ret_errors);
/* The same for a value that was read for checking alone, which is faster. */
ST_MUSTCHECK int st_schema_check_value(const struct st_schema *s, const struct st_value *instance, struct st_arena *a,
                                       struct st_schema_errors *ret_errors);

#endif
