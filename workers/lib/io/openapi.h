#ifndef ST_IO_OPENAPI_H
#define ST_IO_OPENAPI_H
/*
 * OpenAPI 3.1 contracts, read and compiled once; the edge routes, authorises, limits and validates from them, and each
 * service binds its handlers to their operationIds.
 *
 * Several files make one API: paths must not clash, operationIds are unique. A `$ref` may name a component of another
 * file, `common.yaml#/components/schemas/Story`, relative to its own and within the contracts' folders; that file need
 * not be a contract itself. The path of `servers` is part of every route. What the reader does not support is refused
 * with file, line and reason. A loaded API is immutable and may be shared by threads and forked processes.
 *
 * Stricter than OpenAPI: every operation has `security` (its own or the file's; [] is public), a name may be given to
 * one parameter of an operation only, a parameter's type is said in its schema and is a scalar, a list of scalars, an
 * object of scalars or JSON (`content`), a limit of one name is the same everywhere, a limit by user, key or tier needs
 * security, and response schemas must compile although answers are not checked with them. The style `matrix` is
 * refused, for ";" never passes the edge.
 */
#include "io/json_patch.h"
#include "io/schema.h"

enum st_api_method { ST_GET, ST_POST, ST_PUT, ST_PATCH, ST_DELETE, ST_METHODS };
extern const char *const st_api_method_names[ST_METHODS]; /* "GET" … */
enum { ST_API_PATH_PARAMS = 8 };

enum st_api_in { ST_IN_PATH, ST_IN_QUERY, ST_IN_HEADER, ST_IN_COOKIE, ST_IN_FORM };

/* What text becomes: 's'tring, 'i'nteger, 'n'umber, 'b'oolean; 'a'rray or 'o'bject of these; 'j': it is JSON. */
struct st_api_type {
    char of;
    char items; /* of an array's items, of an object's members that are not named */
    const struct st_api_member {
        const char *name;
        char type;
    } * members;
    int n_members;
};

enum st_api_style { ST_SIMPLE, ST_LABEL, ST_FORM, ST_SPACES, ST_PIPES, ST_DEEP };
struct st_api_param {
    const char *name;
    enum st_api_in in;
    int path_index; /* which {template} of the path, for ST_IN_PATH */
    bool required;
    enum st_api_style style;
    bool explode;
    struct st_api_type type;
    const json_t *fallback;         /* the schema's default, or NULL */
    const struct st_schema *schema; /* checked after conversion to the type; NULL for the members of a form */
    int64_t length_min, length_max; /* characters, of a string of which the schema wants nothing else; max 0: it does */
};

/* One media type of a request body. JSON and forms are read into memory; what is streamed is checked as it passes. */
struct st_api_body {
    const char *type; /* "application/json", or a range: "audio/" and a star */
    enum { ST_BODY_JSON, ST_BODY_FORM, ST_BODY_MULTIPART, ST_BODY_RAW } kind;
    bool streamed;
    int64_t min, max;                  /* bytes; max: x-body-max of the media type, else of the operation */
    const struct st_schema *schema;    /* of the whole: JSON and forms */
    const struct st_api_param *fields; /* of a form */
    int n_fields;
    const struct st_api_part *parts; /* of multipart */
    int n_parts;
    bool open; /* parts with other names may come: bytes of any kind */
};

/* A part of multipart/form-data: a member of its schema. */
struct st_api_part {
    const char *name;
    bool required;
    bool many;                      /* a list: the part may come several times */
    int64_t min_count, max_count;   /* of those */
    const char *types;              /* media types that it may have, between commas; NULL: any */
    char type;                      /* text that becomes 's' 'i' 'n' 'b', 'j'SON, or bytes: 'x' */
    const struct st_schema *schema; /* of each one's value; NULL for bytes */
    int64_t min, max;               /* how many bytes there are to be */
};

/*
 * One entry of x-rate-limit: {name, rate: "10/1h", burst?, by, tiers: {premium: "100/1h"}, cost?, share?}. Operations
 * that name the same limit draw on one budget; only `cost` may differ between them.
 */
struct st_api_limit {
    const char *name;
    /* by: user | address | key | tier | header:<name> | variable:<nginx variable> */
    enum { ST_BY_USER, ST_BY_ADDRESS, ST_BY_KEY, ST_BY_TIER, ST_BY_HEADER, ST_BY_VARIABLE } by;
    const char *of; /* the header (lower case) or the variable; NULL for the others */
    int64_t cost;   /* units that a request takes, 1 … the smallest burst; default 1 */
    double share;   /* by address: of its budget, what one verified user may take; 0: all */
    struct st_api_rate {
        const char *tier; /* NULL for the default, which is first */
        int64_t count;    /* units per period, 1 … 1,000,000 */
        int64_t period_us;
        int64_t burst; /* 1 … count; default count */
    } * rates;
    int n_rates;
};

/* x-retry: {attempts: 2, on: [error, timeout, 502, 503, 504]}: what of an attempt makes another one worth while. */
enum st_api_retry {
    ST_RETRY_ERROR = 1, /* no connection, or one that broke before the answer */
    ST_RETRY_TIMEOUT = 2,
    ST_RETRY_502 = 4,
    ST_RETRY_503 = 8,
    ST_RETRY_504 = 16,
};

/* A value that a transformation sets: a constant, or what a parameter of the request holds. */
struct st_api_value {
    const char *name;
    const char *text;  /* NULL: the parameter */
    const char *param; /* NULL: the constant */
};
struct st_api_values {
    const struct st_api_value *list;
    int n;
};

/*
 * x-request-transform and x-response-transform: {patch: [JSON Patch], set-headers: {Name: value}, remove-headers:
 * [Name]}, and for a request of an x-operation-of also {path: {name: value}, query: {name: value}}. A value is a
 * constant or {$param: name}; one whose parameter did not come is left out.
 */
struct st_api_transform {
    const struct st_patch *patch; /* of the JSON body, or NULL */
    struct st_api_values headers;
    const char *const *removed; /* names of headers, removed before others are set */
    int n_removed;
    struct st_api_values path, query; /* by the other operation's parameters */
    bool maps_query;                  /* false: the query goes on as it came */
};

/* x-cors: {origins: [https://app.example.com], credentials: true}; origins: ['*'] is everybody, without credentials. */
struct st_api_cors {
    const char *const *origins;
    int n_origins;
    bool any, credentials;
};

/* x-cache: {for: 60s, tag: "story/{storyId}", vary: [Accept-Language]}, of a public GET. */
struct st_api_cache {
    int64_t for_s;
    const char *tag; /* what is dropped together; the default is the operationId */
    const char *const *vary;
    int n_vary;
};

/*
 * How people are known: `bearer` (http bearer, oauth2, openIdConnect: an access token in Authorization), a cookie that
 * holds such a token (apiKey in cookie, named __Host-…), a key in a header (apiKey in header).
 */
enum st_api_scheme_kind { ST_SCHEME_BEARER, ST_SCHEME_COOKIE, ST_SCHEME_KEY, ST_SCHEME_KINDS };
struct st_api_scheme {
    const char *name;
    enum st_api_scheme_kind kind;
    const char *param; /* name of the header or cookie, "" for bearer */
    struct st_api_scheme *next;
};

/* All of the schemes together (at most a token and a key), and all of the permissions. No scheme: anybody. */
enum { ST_API_SCHEMES = 2, ST_API_ALTERNATIVES = 8 };
struct st_api_alternative {
    const struct st_api_scheme *schemes[ST_API_SCHEMES];
    int n_schemes;
    const char **permissions;
    int n_permissions;
};

struct st_api_operation {
    int index; /* 0 … n-1 over all contracts */
    const char *id;
    enum st_api_method method;
    const char *path;                              /* template: /v1/stories/{storyId} */
    const char *service;                           /* x-service of the operation, else of the file */
    const char *version;                           /* "v1", from the path, or "" */
    const struct st_api_alternative *alternatives; /* of `security`, in its order; none: public */
    int n_alternatives;
    bool authenticated; /* nobody is admitted without credentials */
    const struct st_api_limit *limits;
    int n_limits;
    const struct st_api_param *params; /* path-level parameters included */
    int n_params;
    const struct st_api_body *bodies; /* by media type; none: it takes no body */
    int n_bodies;
    bool body_required;
    int64_t body_max;                      /* bytes of the largest body; x-body-max, default 64 KiB */
    int64_t body_memory;                   /* bytes of the largest body that is read into memory */
    int timeout_ms;                        /* x-timeout ("30s", "500ms"), default 10 s */
    bool idempotency_required;             /* x-idempotency: required */
    int attempts;                          /* x-retry: tries in all, 1 … 5; 1 without x-retry */
    unsigned retry_on;                     /* x-retry: enum st_api_retry */
    const char *deprecated_since, *sunset; /* x-deprecated-since, x-sunset: RFC 3339 times, or NULL */
    /*
     * x-operation-of: the operation whose handler serves this one, or NULL. It has the same method, service and
     * security, none of its limits is missing here, and it is not itself an operation of another.
     */
    const struct st_api_operation *of;
    const struct st_api_transform *request, *response; /* or NULL */
    const struct st_api_cors *cors;                    /* x-cors, or NULL */
    const struct st_api_cache *cache;                  /* x-cache, or NULL */
    const char *file;
    int line;
};

struct st_api {
    const struct st_api_operation *operations;
    int n_operations;
    const char *const *services; /* distinct x-service names, sorted */
    int n_services;
    const struct st_api_scheme *schemes; /* those that operations name, as a list */
    const char *const *permissions;      /* distinct permissions, sorted */
    int n_permissions;
    json_t *document; /* all contracts merged into one OpenAPI document, for /openapi.json; its owner may add to it */
    struct st_api_node *root;
};

/*
 * Reads the files, in any order. On failure ST_E_INVALID and *ret_why = "file:line: reason" (arena), one line for each
 * mistake, at most 20.
 */
ST_MUSTCHECK int st_api_load(struct st_arena *a, const char *const *files, int n_files, struct st_api **ret,
                             const char **ret_why);

struct st_api_match {
    const struct st_api_operation *operation; /* NULL: no such path, or not with this method */
    unsigned allow; /* methods that the path has, as bits 1 << enum st_api_method; 0: no such path */
    struct {
        const char *at; /* into the path that was matched, still percent-encoded; those that the path has */
        size_t len;
    } params[ST_API_PATH_PARAMS];
};

/*
 * Why the path of a request target is not canonical ("has a dot segment"), or NULL when it is. A canonical path is one
 * that no normalisation would change, so that whoever looks at it, raw or decoded, sees the same route: no empty or dot
 * segments, no ";", no escape that is not needed, none of "/", "\\", "%", ";" or control characters, valid UTF-8, at
 * most ST_PATH_MAX bytes.
 */
const char *st_path_fault(const char *path, size_t len);
enum { ST_PATH_MAX = 2048 };

/*
 * Matches a canonical path (no query). A literal segment wins over a template. HEAD is the caller's affair (ask for
 * GET). Time is linear in the path, nothing is allocated.
 */
void st_api_find(const struct st_api *api, int method, const char *path, size_t len, struct st_api_match *ret);

/* Index in st_api_method_names, -1 for another method. */
int st_api_method(const char *name, size_t len);

/*
 * The path and query to ask the service for in place of those of an operation with `of`, by the parameters that
 * st_api_params gave. NULL when they would be too long; whether the path is canonical is for the caller to check.
 */
const char *st_api_target(const struct st_api_operation *op, const json_t *params, const char *query, size_t query_len,
                          struct st_arena *a);

/* The tag of a match whose operation has a cache: parameters as they stand in the path. */
const char *st_api_cache_tag(const struct st_api_match *m, struct st_arena *a);

/* Is s an origin as browsers send it: scheme://host[:port], http or https, in lower case? */
bool st_api_is_origin(const char *s);

/* The text of a value; NULL when its parameter did not come. */
const char *st_api_value_text(const struct st_api_value *value, const json_t *params, struct st_arena *a);

/* Gives the value of a request header (NULL when absent), for header parameters. */
typedef const char *st_api_header_fn(void *ctx, const char *name);

/*
 * Decodes and checks the parameters of a match: path, query string (without "?"; unknown and repeated query parameters
 * are errors), headers and cookies (unknown ones are not ours). *ret_params is an object by parameter name with typed
 * values, defaults filled in; NULL: they are only checked. On failure ST_E_INVALID with errors whose pointers read
 * "/path/storyId", "/query/limit", "/query/ids/2", "/header/if-match", "/cookie/theme".
 */
ST_MUSTCHECK int st_api_params(const struct st_api_match *m, const char *query, size_t query_len,
                               st_api_header_fn *header, void *ctx, struct st_arena *a, json_t **ret_params,
                               struct st_schema_errors *ret_errors);

/* The media type of the operation that a Content-Type (NULL when absent) names; NULL: there is none. */
const struct st_api_body *st_api_body_of(const struct st_api_operation *op, const char *content_type);

/*
 * Parses and checks a request body. content_type NULL when absent. ST_E_MEDIA_TYPE, ST_E_TOO_LARGE, ST_E_INVALID (not
 * of its media type, or missing: 400) or ST_E_UNPROCESSABLE (not what the schema wants: 422); the errors are filled
 * except for the first two. *ret_body is an object with typed members for a form, and NULL when none came or when the
 * body is of a streamed kind: that one has been checked, and is the caller's to read. With ret_body NULL the body is
 * only checked, which is several times faster for JSON.
 */
ST_MUSTCHECK int st_api_body(const struct st_api_operation *op, const char *content_type, const char *data, size_t len,
                             struct st_arena *a, json_t **ret_body, struct st_schema_errors *ret_errors);

/*
 * A streamed body, checked as it passes: size, and of multipart/form-data every part's name, number, media type and
 * size, and the values of parts that are text or JSON. Memory is bounded by ST_API_VALUE_MAX, whatever the body's
 * size. feed and end give what st_api_body gives; after a failure no more is fed.
 */
enum { ST_API_VALUE_MAX = 1 << 20 }; /* bytes of a part that is text or JSON */
struct st_api_stream;
ST_MUSTCHECK int st_api_stream_new(struct st_arena *a, const struct st_api_body *body, const char *content_type,
                                   struct st_api_stream **ret);
ST_MUSTCHECK int st_api_stream_feed(struct st_api_stream *s, const char *data, size_t len,
                                    struct st_schema_errors *ret_errors);
ST_MUSTCHECK int st_api_stream_end(struct st_api_stream *s, struct st_schema_errors *ret_errors);

/*
 * A Content-Type, or Content-Disposition, in its parts: "type/subtype" in lower case, and the value of a parameter
 * (NULL: absent). False for what is malformed, or has a parameter twice.
 */
struct st_media {
    const char *type;
    struct st_media_param {
        const char *name, *value;
    } params[8];
    int n_params;
};
bool st_media_parse(struct st_arena *a, const char *text, struct st_media *ret);
const char *st_media_param(const struct st_media *m, const char *name);

#endif
