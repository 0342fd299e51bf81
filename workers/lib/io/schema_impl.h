#ifndef ST_IO_SCHEMA_IMPL_H
#define ST_IO_SCHEMA_IMPL_H
/*
 * Inside of the JSON Schema reader; only schema_*.c include this.
 *
 * A schema compiles into a list of operations, one for each keyword or group of keywords that work together
 * (properties + patternProperties + additionalProperties). schema_keywords.c holds the table of keywords,
 * schema_compile.c the compiler around it, schema_check.c the operations at work.
 */
#include "io/schema.h"
#include "io/value.h"

struct st_pattern; /* schema_pattern.c */
struct st_format;  /* schema_format.c */

/* Where in the instance: a chain of frames on the stack, made into a pointer only for an error. */
struct st_path {
    const struct st_path *up; /* NULL for the root, which has neither key nor index */
    const char *key;          /* NULL: index */
    size_t len;
    size_t index;
};

struct st_check {
    struct st_arena *arena;
    struct st_schema_errors *errors; /* NULL while probing: only the verdict counts */
    const struct st_value *root;
    struct st_marks *marks; /* members or items of the present instance that were looked at; NULL: nobody asks */
    const struct st_scope *scope;
    int depth;
    uint64_t steps, budget;
    bool budget_extended;
    bool gave_up; /* no verdict; the whole check fails, whatever `not` makes of it */
    struct st_schema_error reason;
};

/* Bits by position: what the keywords beside unevaluatedProperties and unevaluatedItems have evaluated. */
struct st_marks {
    size_t n_words;
    uint64_t *words, few[4];
};

/* The schema resources that are being evaluated, innermost first: $dynamicRef asks the outermost. */
struct st_scope {
    const struct st_scope *up;
    const struct st_resource *resource;
};

struct st_op;
typedef bool st_op_check(struct st_check *c, const struct st_op *op, const struct st_value *v,
                         const struct st_path *at);

/* One assertion. Each check uses the fields that its keyword filled. */
struct st_op {
    st_op_check *check;
    unsigned applies; /* to instances whose 1 << type is in here */
    bool in_place;    /* the subschemas see the same instance */
    bool decides;     /* when it fails, the keywords after it have nothing to add */
    const struct st_value *value;
    const char *message;
    int64_t min, max; /* max -1: none */
    unsigned types;
    const struct st_format *format;
    const struct st_pattern *const *patterns; /* of patternProperties, or the one of pattern */
    int n_patterns;
    const struct st_names *names; /* member name -> index in subs or strings */
    int n_names;
    const char *const *strings; /* required; the names of dependentSchemas; the anchor of $dynamicRef */
    int n_strings;
    const struct st_schema **subs; /* by names, then by patterns; or in the keyword's order */
    int n_subs;
    const struct st_schema *rest; /* additionalProperties, items, unevaluated... */
};

/* A schema with a URI of its own: the document, and each $id in it. */
struct st_resource {
    const char *uri;     /* absolute, without fragment; relative or "" for a document that has no $id */
    const char *pointer; /* in the document */
    const json_t *json;
    json_t *anchors, *dynamic; /* $anchor and $dynamicAnchor; $dynamicAnchor alone: name -> pointer; NULL: none */
};

struct st_schema {
    const char *pointer; /* in the document */
    const struct st_resource *resource;
    bool never;        /* the schema `false` */
    unsigned collects; /* unevaluated... in here: for instances whose 1 << type is in here */
    struct st_op *ops;
    int n_ops;
    int height; /* of the schemas that apply to the same value */
    bool measuring, measured;
};

enum { ST_T_INTEGRAL = 1 << 8 }; /* beside the bits 1 << json_type: a real without a fraction */
const char *st_type_message(struct st_arena *a, unsigned types);

/* What the keywords' compile functions need. */
struct st_compiler {
    struct st_arena *arena;
    const json_t *document;
    struct st_schema **nodes; /* all that were compiled */
    int n_nodes, cap_nodes, n_measured;
    struct st_memo {
        const json_t *json;
        const struct st_resource *resource;
        struct st_schema *schema;
    } * memo; /* open addressing, cap_memo is a power of two */
    size_t n_memo, cap_memo;
    struct st_resource **resources;
    int n_resources, cap_resources;
    struct st_resource *resource; /* of what is being compiled */
    bool scanned;                 /* the document, for all its $id and anchors */
    int depth;
    const char *pointer, *why; /* the mistake */
};

/* `pointer` is the place of the mistake; always gives ST_E_INVALID. */
int st_compile_fail(struct st_compiler *c, const char *pointer, const char *fmt, ...) ST_PRINTF(3, 4);
ST_MUSTCHECK int st_compile_schema(struct st_compiler *c, const json_t *json, const char *pointer,
                                   const struct st_schema **ret);
/* The schema a $ref names. */
ST_MUSTCHECK int st_compile_ref(struct st_compiler *c, const char *ref, const char *at, const struct st_schema **ret);
/* The same for $dynamicRef: what it names, then all that it may come to mean. */
ST_MUSTCHECK int st_compile_dynamic_ref(struct st_compiler *c, const char *ref, const char *at, struct st_op *op);
/* The schema at a pointer into a resource. */
ST_MUSTCHECK int st_compile_at(struct st_compiler *c, struct st_resource *resource, const char *pointer,
                               const struct st_schema **ret);
/* Makes the document the first resource. */
ST_MUSTCHECK int st_resource_begin(struct st_compiler *c);
/* Enters the resource that the schema begins, if it does. The caller sets c->resource back. */
ST_MUSTCHECK int st_resource_enter(struct st_compiler *c, const json_t *json, const char *pointer);
/* The draft's own schema, of which there is one for all. */
#define ST_META_URI "https://json-schema.org/draft/2020-12/schema"
extern const char st_meta_schema[];
/* Compiles all keywords of an object; s->pointer is set. */
ST_MUSTCHECK int st_compile_keywords(struct st_compiler *c, const json_t *json, struct st_schema *s);

/* ECMA-262 patterns by PCRE2, as far as both agree: a search, not anchored, in code points. */
ST_MUSTCHECK int st_pattern_compile(struct st_arena *a, const char *text, const struct st_pattern **ret,
                                    const char **ret_why);
/* Appends to out what PCRE2 takes the pattern for. A NUL stands behind the text. */
bool st_ecma_translate(const char *text, size_t len, struct st_buf *out, size_t *ret_at, const char **ret_why);
/* Is the text a pattern? */
bool st_pattern_valid(const char *text, size_t len);
/* 1 found, 0 not found, ST_E_LIMITED too hard to decide. s is valid UTF-8. */
ST_MUSTCHECK int st_pattern_match(const struct st_pattern *p, const char *s, size_t len);

/* NULL for a format that is not known. */
const struct st_format *st_format_find(const char *name);
bool st_format_check(const struct st_format *f, const struct st_value *v);
unsigned st_format_applies(const struct st_format *f); /* to instances whose 1 << type is in it; 0: none */
const char *st_format_message(const struct st_format *f);

/* Checks, by keyword. */
st_op_check st_check_type, st_check_enum, st_check_const, st_check_ref, st_check_all, st_check_any, st_check_one,
    st_check_not, st_check_if, st_check_minimum, st_check_maximum, st_check_above, st_check_below, st_check_multiple,
    st_check_min_length, st_check_max_length, st_check_pattern, st_check_format, st_check_min_items, st_check_max_items,
    st_check_unique, st_check_items, st_check_contains, st_check_min_members, st_check_max_members, st_check_required,
    st_check_members, st_check_member_names, st_check_dependent_required, st_check_dependent_schemas,
    st_check_unevaluated, st_check_dynamic_ref;

/* For the checks in their several files. */
bool st_check_eval(struct st_check *c, const struct st_schema *s, const struct st_value *v, const struct st_path *at);
bool st_check_probe(struct st_check *c, const struct st_schema *s, const struct st_value *v, const struct st_path *at);
/* As eval, for a member or an item. */
bool st_check_child(struct st_check *c, const struct st_schema *s, const struct st_value *v, const struct st_path *at);
void st_marks_init(struct st_marks *m, struct st_arena *scratch, size_t n);
void st_marks_set(struct st_marks *m, size_t i);
void st_marks_add(struct st_marks *m, const struct st_marks *more); /* of the same size */
/* Reports (unless probing), gives false. */
bool st_check_report(struct st_check *c, const struct st_path *at, const char *message);
/* Is there nothing more to learn from further failures? */
bool st_check_done(const struct st_check *c);
/* Counts work; false when the budget is spent. */
bool st_check_beyond(struct st_check *c, const struct st_path *at);
static inline bool st_check_step(struct st_check *c, const struct st_path *at, uint64_t work)
{
    c->steps += work;
    return c->steps <= c->budget || st_check_beyond(c, at);
}
bool st_check_give_up(struct st_check *c, const struct st_path *at, const char *message);

#endif
