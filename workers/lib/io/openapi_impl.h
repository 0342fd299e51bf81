#ifndef ST_IO_OPENAPI_IMPL_H
#define ST_IO_OPENAPI_IMPL_H
/*
 * Inside of the contract reader; only openapi*.c include this.
 *
 * Reading: openapi.c loads, openapi_files.c brings several files together, openapi_shape.c knows which members OpenAPI
 * has, openapi_operation.c reads one operation, openapi_security.c who may call it, openapi_param.c its parameters,
 * openapi_media.c its bodies, openapi_ext.c its x- members, openapi_transform.c those that serve one version of the API
 * by another, openapi_public.c those for caches and pages of other origins, openapi_merge.c makes one document of all.
 * Requests: openapi_path.c and openapi_route.c check the path and find the operation, openapi_values.c makes values of
 * text, openapi_request.c checks parameters and body, openapi_stream.c bodies that pass by.
 */
#include "io/openapi.h"
#include "io/yaml.h"

enum { ST_API_MISTAKES = 20 };

/* What is gathered over all files. */
struct st_api_reader {
    struct st_arena *arena;
    struct st_buf why; /* one line for each mistake */
    json_t *told;      /* the lines, to tell each once */
    int mistakes;
    struct st_contract **files; /* the contracts, then what they refer to */
    int n_files;
    json_t *file_index;             /* real name of a file -> its index */
    json_t *folders;                /* of the contracts */
    bool outside;                   /* there are references into other files */
    json_t *ids;                    /* operationId -> "file:line" */
    json_t *paths;                  /* path -> "file:line" */
    json_t *limits;                 /* name of a limit -> its definition */
    json_t *services, *permissions; /* sets: name -> true */
    struct st_api_scheme *schemes;  /* that operations name */
    json_t *security;               /* operationId -> its security */
    struct st_api_link *links;      /* every x-operation-of */
    struct st_api_operation *operations;
    int n_operations, cap_operations;
    struct st_api_node *root;
};

/* One file while it is read. */
struct st_contract {
    struct st_api_reader *r;
    struct st_yaml yaml;
    struct st_compiler *schemas;
    const char *base; /* path of its servers, before every path of it; "" for none */
    json_t *pulled;   /* pointers of components that are from other files -> index of the file */
    const char **queue;
};

/* An x-operation-of, to be linked when all operations are known. */
struct st_api_link {
    struct st_contract *contract;
    const char *pointer, *of;
    int operation; /* index in the reader's list */
    struct st_api_link *next;
};

/* Notes a mistake at a JSON pointer of the file. */
void st_contract_mistake(struct st_contract *c, const char *pointer, const char *fmt, ...) ST_PRINTF(3, 4);
const char *st_contract_place(struct st_contract *c, const char *pointer); /* "file:line" */

/* A contract's file. NULL: it cannot be read, *ret_why says so. */
struct st_contract *st_contract_open(struct st_api_reader *r, const char *path, const char **ret_why);
/* Makes every reference into another file one within the document. */
void st_contract_bundle(struct st_api_reader *r);

/* Notes every unknown, missing or wrongly typed member, every broken $ref and every schema that does not compile. */
void st_contract_check_shape(struct st_contract *c);

/* The object itself, or what its $ref names; *pointer follows. NULL only for a file that has mistakes. */
const json_t *st_contract_deref(struct st_contract *c, const json_t *json, const char **pointer);

/* The {names} of a path. */
struct st_template {
    const char *names[ST_API_PATH_PARAMS];
    int n;
};

/* A schema of the file, compiled; NULL after a mistake. */
const struct st_schema *st_contract_compile(struct st_contract *c, const char *pointer);
/* A member of a schema, or of the schema that it refers to. */
const json_t *st_contract_schema_member(struct st_contract *c, const json_t *schema, const char *name);
/* False when text cannot become what the schema describes. */
bool st_contract_read_type(struct st_contract *c, const json_t *schema, struct st_api_type *ret);
/* style and explode of a parameter, or of a form's encoding, whose place and type are known. json may be NULL. */
void st_contract_read_style(struct st_contract *c, const json_t *json, const char *at, struct st_api_param *p);

/* security of an operation, or of its file. */
void st_contract_read_security(struct st_contract *c, const json_t *json, const char *at, struct st_api_operation *op);

/* Parameters of the operation at `at` and of its path at `item_at`. */
void st_contract_read_params(struct st_contract *c, const json_t *item, const char *item_at, const json_t *json,
                             const char *at, const struct st_template *t, struct st_api_operation *op);

/* requestBody and x-body-max of the operation. */
void st_contract_read_body(struct st_contract *c, const json_t *json, const char *at, struct st_api_operation *op);

/* Reads all operations of a path of a file whose shape is right; the path with that of the servers. */
void st_contract_read_path(struct st_contract *c, const char *path, const json_t *item, const char *at);

/* Bytes of an x-body-max, `otherwise` when json is NULL. */
int64_t st_contract_body_max(struct st_contract *c, const json_t *json, const char *at, int64_t otherwise);

/* x-rate-limit, x-timeout, x-idempotency, x-retry, x-deprecated-since, x-sunset; security must be read before. */
void st_contract_read_extensions(struct st_contract *c, const json_t *json, const char *pointer,
                                 struct st_api_operation *op);

/* Text on its way to typed values: the parameters of an operation, or the members of a form. */
struct st_values {
    struct st_arena *arena;
    const struct st_api_param *params;
    int n_params;
    json_t **found; /* for each parameter, NULL: not there */
    bool *bad;      /* for each parameter: an error was noted */
    bool open;      /* what is no parameter is kept as a string */
    bool broken;    /* something was not even text */
    json_t *values;
    struct st_schema_errors *errors;
};
void st_values_init(struct st_values *v, struct st_arena *a, const struct st_api_param *params, int n_params,
                    struct st_schema_errors *errors);
/* One parameter's text as it was sent; and name=value pairs of a query, a form (between "&") or cookies. */
void st_values_add(struct st_values *v, int param, const char *s, size_t len);
void st_values_add_pairs(struct st_values *v, enum st_api_in in, const char *s, size_t len);
/* Checks what was found, fills in defaults, notes what is missing; v->values has the result. */
void st_values_finish(struct st_values *v);
/* A scalar of its text; NULL: it is not of the type, *ret_message says so. */
json_t *st_values_scalar(char type, const char *text, const char **ret_message);
void st_values_error(struct st_schema_errors *errors, const char *pointer, const char *message);
/* x-operation-of, x-request-transform, x-response-transform; parameters and limits must be read before. */
void st_contract_read_transforms(struct st_contract *c, const json_t *json, const char *pointer,
                                 struct st_api_operation *op);

/* x-cors and x-cache; after st_contract_read_transforms, which notes the security. */
void st_contract_read_public(struct st_contract *c, const json_t *json, const char *pointer,
                             struct st_api_operation *op);

/* A positive time such as "30s", in microseconds; 0 when it is none, or more than max_us. */
int64_t st_contract_span(struct st_arena *a, const char *s, int64_t max_us);

/* Links every x-operation-of to its operation, when all files were read. */
void st_contract_link_versions(struct st_api_reader *r);

/* Does a media type fall under a range? "audio/mpeg" does under itself, "audio/" and a star, or a star for both. */
bool st_media_matches(const char *range, const char *type);

/* A member that is an object, made where there is none. */
json_t *st_contract_member_object(json_t *parent, const char *name);
/* The document of all contracts. */
json_t *st_contract_merge(struct st_api_reader *r, int n_contracts);
/* The path of a contract's servers; "" for none and after a mistake. And a path of the contract with it. */
const char *st_contract_base(struct st_contract *c);
const char *st_contract_full_path(const struct st_contract *c, const char *path);
/* Is a path segment spelt as a canonical path spells it: nothing that a server or a proxy would rewrite? */
bool st_contract_is_segment(const char *s, size_t len);

/* A path of the tree that also matches what this path matches, and neither is the more literal everywhere; or NULL. */
const char *st_api_route_clash(const struct st_api_node *root, const char *path);
/* Adds an operation to the tree; the path was checked by st_contract_read_path. */
void st_api_route_add(struct st_arena *a, struct st_api_node **root, const struct st_api_operation *op);

/* Is s made of the characters in `set` (as for strspn), 1 … max bytes long, with a letter first? */
bool st_contract_is_name(const char *s, const char *set, size_t max);
#define ST_LOWER  "abcdefghijklmnopqrstuvwxyz"
#define ST_DIGITS "0123456789"

#endif
