#ifndef NGX_HTTP_API_H
#define NGX_HTTP_API_H
/*
 * What the modules of the edge share: the configuration, the record that goes with a request, and the few functions
 * by which one module asks another.
 *
 * A request in phase order: route (SERVER_REWRITE) makes the record; limit (PREACCESS) charges the address; core
 * (ACCESS) runs the steps (steps[] and last_steps[] in ngx_http_api_core_module.c); core (LOG) counts.
 */
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "io/openapi.h"
#include "io/token.h"

#include "ngx_http_api_breaker.h"
#include "ngx_http_api_state.h"

enum {
    NGX_HTTP_API_LIMITS = 8,         /* limits of one operation */
    NGX_HTTP_API_PERMISSIONS = 1024, /* over all contracts */
    NGX_HTTP_API_WORDS = NGX_HTTP_API_PERMISSIONS / 64,
    NGX_HTTP_API_RETRY_AFTER_S = 2, /* what 503 tells: a restarted daemon is back by then */
};

/* A service: an x-service of the contracts, and the upstream of that name. */
typedef struct {
    const char *name;
    ngx_http_api_breaker_t *breaker;
    const ngx_http_api_breaker_conf_t *conf;
} ngx_http_api_service_t;

/* What the edge adds to an operation of the contracts. */
typedef struct {
    uint64_t (*needed)[NGX_HTTP_API_WORDS]; /* permissions of each alternative, as bits over api->permissions */
    ngx_str_t deprecation, sunset;          /* header values, empty when there is none */
    ngx_http_api_slot_t *slot;              /* its counters */
    ngx_http_api_service_t *service;
} ngx_http_api_operation_t;

typedef struct {
    struct st_arena arena; /* lives as long as the cycle */
    ngx_cycle_t *cycle;
    ngx_array_t files;  /* const char *: the contracts */
    ngx_array_t passes; /* ngx_http_api_pass_t: the locations with api_pass */
    struct st_api *api; /* NULL without api_contracts: the modules do nothing then */
    ngx_uint_t words;   /* of permissions that the contracts name, 64 in each */
    ngx_http_api_operation_t *operations;
    ngx_http_api_service_t *services; /* as api->services */
    ngx_http_api_slot_t *unmatched;   /* counters of what is no operation */
    ngx_str_t title;                  /* of the merged contracts */
    ngx_str_t openapi, openapi_etag;

    ngx_str_t redis;      /* path of the unix socket, or the address, NUL-terminated */
    in_port_t redis_port; /* 0: a unix socket */
    ngx_str_t state_file;
    ngx_str_t signing_key; /* len 0: nothing is signed */

    size_t zone_sizes[NGX_HTTP_API_ZONES];
    ngx_http_api_zone_t zones[NGX_HTTP_API_ZONES];
} ngx_http_api_main_conf_t;

typedef struct {
    ngx_http_upstream_init_peer_pt init_peer; /* of an upstream block: its own function, around which ours runs */
    const ngx_http_api_service_t *service;    /* of an upstream block */
    ngx_http_api_breaker_conf_t breaker;
} ngx_http_api_srv_conf_t;

typedef struct {
    ngx_flag_t enable;
    ngx_flag_t pass; /* api_pass */
    void ***passes;  /* with it: the configurations of the location where each operation is passed on */
    enum { NGX_HTTP_API_WHOLE, NGX_HTTP_API_LIVE, NGX_HTTP_API_READY } health; /* what api_health tells there */
} ngx_http_api_loc_conf_t;

/* A location with api_pass. */
typedef struct {
    ngx_http_api_loc_conf_t *alcf;
    ngx_http_conf_ctx_t ctx;
} ngx_http_api_pass_t;

/* Who asks. Strings are "" when there is none; they live in the request's pool, with a NUL behind them. */
typedef struct {
    ngx_str_t user, session, roles, tier;     /* roles: comma separated */
    ngx_str_t key;                            /* id of the API key */
    ngx_str_t values;                         /* of api_jwt_claim's variables, each ended by NUL */
    int64_t expires;                          /* unix seconds; 0: nobody was identified */
    uint64_t permissions[NGX_HTTP_API_WORDS]; /* amcf->words of them are set */
} ngx_http_api_identity_t;

/* A credential that was taken out of the request's headers: the first of its kind, and how many came. */
typedef struct {
    ngx_str_t value;
    ngx_uint_t n;
} ngx_http_api_credential_t;

typedef struct ngx_http_api_stream_s ngx_http_api_stream_t;
typedef struct ngx_http_api_cache_s ngx_http_api_cache_t;
typedef struct ngx_http_api_shadow_s ngx_http_api_shadow_t;

/* What a request has been charged: of the limit module. */
typedef struct ngx_http_api_bill_s ngx_http_api_bill_t;

/* The record that goes with a request; it outlives internal redirects. What is used seldom stands last. */
typedef struct {
    const ngx_http_api_operation_t *operation;
    ngx_str_t method, path;                /* as the client sent them; path without the query */
    ngx_str_t correlation_id, traceparent; /* the former with a NUL behind it */
    ngx_str_t bearer;                      /* the token in Authorization; len 0: none */
    ngx_http_api_bill_t *bill;             /* NULL: no limit has been looked at */
    ngx_str_t limit_status;
    enum ngx_http_api_cause_e cause; /* why it was refused */
    const char *decision;            /* of rbac: allow, deny, deny_dry_run; NULL: not asked */
    const char *breaker;             /* the state of its service's breaker when it was asked, or NULL */
    ngx_str_t upstream;              /* the legacy upstream, of a request that goes there; else empty */
    ngx_http_api_shadow_t *shadow;   /* of an operation in shadow, else NULL */
    ngx_http_api_cache_t *cache;     /* of an operation with x-cache, once it has been looked for */
    ngx_str_t served_path;           /* of an x-operation-of: the path that the service is asked for */
    int64_t body_max;                /* of its media type */
    ngx_http_api_stream_t *stream;   /* of a body that is checked while it passes, else NULL */
    ngx_http_request_t *request;
    ngx_http_api_credential_t cookie, key; /* as the operation's schemes name them */
    ngx_uint_t alternative;                /* of the operation's security, that holds */
    ngx_atomic_uint_t keys_ticket; /* it waits, or has waited, for keys that were asked for with this; 0: it has not */
    unsigned identified : 1;
    unsigned address_charged : 1;
    unsigned identity_charged : 1;
    unsigned passed : 1; /* every step before the body */
    unsigned body_asked : 1;
    unsigned body_read : 1;
    unsigned body_timed : 1; /* body_timer is in use */
    unsigned unusable : 1;   /* what the service sent */
    unsigned probing : 1;    /* lets the breaker see whether the service is well again */
    unsigned fallback : 1;   /* no contract names it, and the legacy upstream answers */
    unsigned placed : 1;     /* it is decided whether it goes to the legacy upstream */
    unsigned admitted : 1;   /* may go to the service; $api_service is empty before */

    struct st_api_match match; /* operation NULL: none */
    ngx_http_api_identity_t identity;
    ngx_event_t body_timer; /* from here on nothing is zero at first */
    ngx_event_t keys_timer;
    ngx_msec_t keys_until;
} ngx_http_api_ctx_t;

extern ngx_module_t ngx_http_api_core_module, ngx_http_api_route_module, ngx_http_api_auth_module,
    ngx_http_api_limit_module, ngx_http_api_rbac_module, ngx_http_api_shape_module;

/* The record of a request: NULL when the route handler has not made one; and the one that makes it. */
ngx_http_api_ctx_t *ngx_http_api_get_ctx(ngx_http_request_t *r);
ngx_http_api_ctx_t *ngx_http_api_new_ctx(ngx_http_request_t *r);

/*
 * Steps of the access handler, in the order in which they run. NGX_OK: go on. Everything else is what the access
 * handler returns; a step that has answered the request returns NGX_DONE.
 */
typedef ngx_int_t ngx_http_api_step_pt(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx);
ngx_http_api_step_pt ngx_http_api_breaker_step, ngx_http_api_probe_step;
ngx_http_api_step_pt ngx_http_api_route_step, ngx_http_api_auth_step, ngx_http_api_params_step, ngx_http_api_limit_step,
    ngx_http_api_rbac_step, ngx_http_api_body_step, ngx_http_api_shape_step, ngx_http_api_cache_step;
ngx_http_api_step_pt ngx_http_api_migrate_step, ngx_http_api_shadow_step;

/* shape: what no contract names, where there is an api_fallback; NGX_DECLINED: a contract names it, or there is none.
 */
ngx_http_api_step_pt ngx_http_api_fallback_step;
/* May the request's operation go to the legacy upstream? Its service's breaker is then looked at when it does not. */
bool ngx_http_api_migrates(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx);
ngx_http_api_step_pt ngx_http_api_breaker_check;
/* Is it the request that asks the new service in the background? */
bool ngx_http_api_is_shadow(const ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx);
/* JSON that says how the answers of a request in shadow compare, when both are there; "" for other requests. */
ngx_str_t ngx_http_api_shadow_verdict(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx);

/* shape: HIT, MISS, BYPASS, or "" where nothing is cached. */
ngx_str_t ngx_http_api_cache_verdict(const ngx_http_api_ctx_t *ctx);

/* shape: adds to the answer to OPTIONS what a browser's preflight wants to know; methods: the value of Allow. */
ngx_int_t ngx_http_api_preflight(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx, const ngx_str_t *methods);

/* The parameters of a request that has an operation, decoded and checked as st_api_params does. */
int ngx_http_api_params(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx, struct st_arena *a, json_t **ret_params,
                        struct st_schema_errors *ret_errors);

/* The operation that the service is asked for: its own, or the one that it is an operation of. NULL: none. */
static inline const struct st_api_operation *ngx_http_api_served(const ngx_http_api_ctx_t *ctx)
{
    const struct st_api_operation *op = ctx->match.operation;
    return op && op->of && !ctx->upstream.len ? op->of : op;
}

/* Breakers. What became of an attempt, or of a request that made none (UNKNOWN): it gives a probe back. */
enum ngx_http_api_result_e { NGX_HTTP_API_SUCCESS, NGX_HTTP_API_FAILURE, NGX_HTTP_API_UNKNOWN };
void ngx_http_api_breaker_result(const ngx_http_api_service_t *service, ngx_http_api_ctx_t *ctx,
                                 enum ngx_http_api_result_e result);
/* Another node has said so; until: unix milliseconds. */
void ngx_http_api_breaker_told(ngx_http_api_main_conf_t *amcf, const char *service, const char *state, int64_t until);
/* Watches the attempts of a request; after the upstream's own init. */
ngx_int_t ngx_http_api_peer_init(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx, const ngx_http_api_service_t *service);

/* Why a streamed body was refused, an ST_E_* error; 0 when it was not. */
int ngx_http_api_stream_refusal(ngx_http_request_t *r, const char **ret_detail,
                                const struct st_schema_errors **ret_errors);
/* Can a location take the bodies of all operations? */
ngx_int_t ngx_http_api_body_check(ngx_conf_t *cf, const struct st_api *api);
/* What a service sent is no answer to be passed on: not HTTP, or a protocol that nobody asked for. */
bool ngx_http_api_unusable_answer(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx);

/* Problems (RFC 9457). */

/*
 * Answers with problem+json for an ST_E_* error and ends the request; gives NGX_DONE, to be returned at once. Headers
 * are added before. errors may be NULL; fmt (printf) is the detail, fit for the client.
 */
ngx_int_t ngx_http_api_refuse(ngx_http_request_t *r, int err, const struct st_schema_errors *errors, const char *fmt,
                              ...) ST_PRINTF(4, 5);
/* The same without ending the request, for content handlers: gives what the output filter gave. */
ngx_int_t ngx_http_api_send_problem(ngx_http_request_t *r, int err, ngx_uint_t status, const char *detail,
                                    const struct st_schema_errors *errors);
/* Content of a whole answer from memory that lives as long as the request. */
ngx_int_t ngx_http_api_send(ngx_http_request_t *r, ngx_uint_t status, const char *type, const ngx_str_t *body);
/* name is a literal. */
ngx_int_t ngx_http_api_add_header(ngx_http_request_t *r, const char *name, const ngx_str_t *value);
void ngx_http_api_retry_after(ngx_http_request_t *r, int64_t seconds);

/*
 * Headers of the request for which kept does not hold are removed. nginx points into the list from elsewhere, so
 * elements stay where they are: what is kept is copied to a new list.
 */
typedef bool ngx_http_api_kept_pt(const void *data, const ngx_str_t *name);
ngx_int_t ngx_http_api_keep_headers(ngx_http_request_t *r, ngx_http_api_kept_pt *kept, const void *data);

/* A string literal, and any C string, as ngx_str_t. */
static inline ngx_str_t ngx_http_api_str(const char *s)
{
    return (ngx_str_t){strlen(s), (u_char *)s};
}

/*
 * The worker's scratch arena: for what one function needs and nobody keeps. Whoever calls this may reset it, so never
 * hold on to its memory across a call into another module.
 */
struct st_arena *ngx_http_api_scratch(void);

/* Since the request's first byte. */
int64_t ngx_http_api_duration_ms(const ngx_http_request_t *r);

/* Puts what a service is told of the request among its headers; the last step. */
void ngx_http_api_identity_init(void); /* once, before requests come */
ngx_http_api_step_pt ngx_http_api_identity_step;

/* n as digits (not negative, at most NGX_INT64_LEN); gives the place behind them. Much faster than a format. */
u_char *ngx_http_api_decimal(u_char *p, int64_t n);

/* Pages (content handlers), variables and the header filter of the core module. */
enum { NGX_HTTP_API_PAGE_MAX = 8 * 1024 * 1024 };
/* NGX_DECLINED: go on. Else the request has been answered, and this is what the handler returns. */
ngx_int_t ngx_http_api_only_get(ngx_http_request_t *r);
/* The buffer's text as the answer; releases the buffer. */
ngx_int_t ngx_http_api_send_buf(ngx_http_request_t *r, ngx_uint_t status, const char *type, struct st_buf *b);
ngx_int_t ngx_http_api_metrics_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_api_status_handler(ngx_http_request_t *r);
extern const char *const ngx_http_api_health_names[];
/* The whole, as members of a JSON object; and service by service, as api->services (may be NULL). */
enum ngx_http_api_health_e ngx_http_api_health(const ngx_http_api_main_conf_t *amcf, struct st_buf *ret_dependencies,
                                               enum ngx_http_api_health_e *ret_services);
ngx_int_t ngx_http_api_health_handler(ngx_http_request_t *r);
char *ngx_http_api_health_kind(ngx_conf_t *cf, ngx_http_api_loc_conf_t *alcf); /* the argument of api_health */
char *ngx_http_api_page(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
ngx_int_t ngx_http_api_add_variables(ngx_conf_t *cf);
ngx_int_t ngx_http_api_init_filter(ngx_conf_t *cf);
ngx_int_t ngx_http_api_log_handler(ngx_http_request_t *r);
ngx_http_upstream_srv_conf_t *ngx_http_api_find_upstream(ngx_conf_t *cf, const char *name); /* NULL: none */
ngx_int_t ngx_http_api_wrap_upstreams(ngx_conf_t *cf, ngx_http_api_main_conf_t *amcf);

/* api_pass. A location that has it is noted when it is merged. */
char *ngx_http_api_set_pass(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
ngx_int_t ngx_http_api_note_pass(ngx_conf_t *cf, ngx_http_api_main_conf_t *amcf, ngx_http_api_loc_conf_t *alcf);
ngx_int_t ngx_http_api_make_passes(ngx_conf_t *cf, ngx_http_api_main_conf_t *amcf);

/*
 * What will be looked at soon is asked for early, because memory that is not in the processor's caches costs more than
 * anything else here. auth: the caches' places of a token in Authorization, once headers are there; limit: of a key,
 * when it is known who asks.
 */
void ngx_http_api_auth_expect(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx);
void ngx_http_api_limit_expect(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx);

/* RateLimit and RateLimit-Policy, when something was charged. */
ngx_int_t ngx_http_api_limit_headers(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx);

/* The counters of all limits, for /metrics. */
void ngx_http_api_limit_metrics(const ngx_http_api_main_conf_t *amcf, struct st_buf *b);

/* rbac: the permissions of comma-separated roles. NGX_DECLINED while no roles are known. */
ngx_int_t ngx_http_api_permissions(ngx_http_api_main_conf_t *amcf, const ngx_str_t *roles,
                                   uint64_t ret[NGX_HTTP_API_WORDS]);
/* Takes away what none of the comma-separated scopes covers; a scope is a permission, or a pattern of them. */
void ngx_http_api_scopes(const ngx_http_api_main_conf_t *amcf, const ngx_str_t *scopes,
                         uint64_t permissions[NGX_HTTP_API_WORDS]);

/*
 * auth: takes keys and session cookies out of the headers, before those go anywhere (after the operation is known); and
 * adds WWW-Authenticate (RFC 6750) to a refusal: error NULL when nothing was sent, scope may be NULL.
 */
void ngx_http_api_take_credentials(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx);
ngx_int_t ngx_http_api_challenge(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx, const char *error,
                                 const char *description, const char *scope);

#endif
