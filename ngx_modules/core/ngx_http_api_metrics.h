#ifndef NGX_HTTP_API_METRICS_H
#define NGX_HTTP_API_METRICS_H
/*
 * What is counted, in shared memory. Every worker counts in cells of its own, a cache line or more apart, which are
 * summed when somebody reads them: counting takes no lock and waits for no other worker. Numbers live through reloads.
 */
#include <ngx_config.h>
#include <ngx_core.h>

/* Cells of one number. Workers beyond that share them; nothing is lost, for adding is atomic. */
enum { NGX_HTTP_API_SHARDS = 8, NGX_HTTP_API_LINE = 64 };

enum ngx_http_api_counter_e {
    NGX_HTTP_API_N_TOKEN_L1,
    NGX_HTTP_API_N_TOKEN_L2,
    NGX_HTTP_API_N_TOKEN_VERIFIED,
    NGX_HTTP_API_N_TOKEN_REFUSED,
    NGX_HTTP_API_N_ALLOWED,
    NGX_HTTP_API_N_DENIED,
    NGX_HTTP_API_N_DENIED_DRY_RUN,
    NGX_HTTP_API_N_RESYNCS,
    NGX_HTTP_API_N_DELTAS,
    NGX_HTTP_API_N_DROPPED, /* state that found no room */
    NGX_HTTP_API_N_REDIS_UNANSWERED,
    NGX_HTTP_API_N_RETRIES,
    NGX_HTTP_API_N_CACHE_HIT,
    NGX_HTTP_API_N_CACHE_MISS,
    NGX_HTTP_API_N_CACHE_BYPASS,
    NGX_HTTP_API_COUNTERS
};

/*
 * Why a request was refused: one word for the log ($api_refused) and the metric. Who refuses for a reason finer than
 * its error tells sets `cause` in the record before; the first one stays.
 */
#define NGX_HTTP_API_CAUSES(X)                                                                                         \
    X(NONE, "")                                                                                                        \
    X(MALFORMED, "malformed")               /* not HTTP as nginx takes it, or larger than it takes */                  \
    X(PATH, "path")                         /* not canonical */                                                        \
    X(HEADER, "header")                     /* repeated */                                                             \
    X(NOT_FOUND, "not_found")               /* no operation, no file */                                                \
    X(METHOD, "method")                     /* 405 */                                                                  \
    X(CREDENTIALS, "credentials")           /* none were sent */                                                       \
    X(TOKEN, "token")                       /* not one of ours, or broken */                                           \
    X(EXPIRED, "expired")                   /* a token past its end */                                                 \
    X(REVOKED, "revoked")                   /* the session or key has ended */                                         \
    X(KEY, "key")                           /* an API key that nobody knows */                                         \
    X(CSRF, "csrf")                         /* a cookie without what the rule wants */                                 \
    X(PARAMETERS, "parameters")             /* of path, query or header */                                             \
    X(LIMIT, "limit")                       /* 429 */                                                                  \
    X(PERMISSION, "permission")             /* 403 */                                                                  \
    X(BODY_SIZE, "body_size")               /* 413 */                                                                  \
    X(MEDIA_TYPE, "media_type")             /* 415 */                                                                  \
    X(BODY, "body")                         /* cannot be read */                                                       \
    X(SCHEMA, "schema")                     /* 422 */                                                                  \
    X(SLOW_CLIENT, "slow_client")           /* 408 */                                                                  \
    X(STATE, "state")                       /* nobody's permissions are known */                                       \
    X(BREAKER, "breaker")                   /* the service is being spared */                                          \
    X(UPSTREAM, "upstream")                 /* the service gave no usable answer */                                    \
    X(UPSTREAM_TIMEOUT, "upstream_timeout") /* nor in time */                                                          \
    X(INTERNAL, "internal")                                                                                            \
    X(OTHER, "other")

enum ngx_http_api_cause_e {
#define X(name, word) NGX_HTTP_API_BY_##name,
    NGX_HTTP_API_CAUSES(X)
#undef X
        NGX_HTTP_API_CAUSE_COUNT
};

extern const char *const ngx_http_api_cause_names[NGX_HTTP_API_CAUSE_COUNT];

/* The cause that an ST_E_* error stands for; and a status that nginx answers by itself: NONE when it refuses nobody. */
enum ngx_http_api_cause_e ngx_http_api_cause_of(int err);
enum ngx_http_api_cause_e ngx_http_api_cause_of_status(ngx_uint_t status);

/* Upper bounds of the duration histogram; what takes longer has a bucket of its own. */
enum { NGX_HTTP_API_BUCKETS = 12 };
extern const uint32_t ngx_http_api_bucket_ms[NGX_HTTP_API_BUCKETS];

/* The status codes that are told apart; others count as "1xx" … "5xx", behind them. */
enum { NGX_HTTP_API_EXACT = 35, NGX_HTTP_API_STATUSES = NGX_HTTP_API_EXACT + 5 };
/* The text of a label, such as "404" or "4xx". */
const char *ngx_http_api_status_name(ngx_uint_t i);
/* Its first digit. */
ngx_uint_t ngx_http_api_status_class(ngx_uint_t i);

/* What one worker counts of an operation. */
typedef struct {
    ngx_atomic_t statuses[NGX_HTTP_API_STATUSES];
    ngx_atomic_t buckets[NGX_HTTP_API_BUCKETS + 1]; /* by duration, not cumulative */
    ngx_atomic_t duration_ms;
} __attribute__((aligned(NGX_HTTP_API_LINE))) ngx_http_api_cell_t;

/* Counters of one operation; "" is what was no operation. */
typedef struct {
    ngx_queue_t queue;
    char operation[64];
    ngx_uint_t n_cells;
    ngx_atomic_t limited;
    ngx_http_api_cell_t cells[];
} ngx_http_api_slot_t;

/* What one worker counts besides. */
typedef struct {
    ngx_atomic_t counters[NGX_HTTP_API_COUNTERS];
    ngx_atomic_t causes[NGX_HTTP_API_CAUSE_COUNT];
} __attribute__((aligned(NGX_HTTP_API_LINE))) ngx_http_api_counts_t;

/* Sums over all workers. */
uint64_t ngx_http_api_counted(const ngx_http_api_counts_t *all, enum ngx_http_api_counter_e c);
uint64_t ngx_http_api_refused(const ngx_http_api_counts_t *all, enum ngx_http_api_cause_e c);
void ngx_http_api_slot_sum(const ngx_http_api_slot_t *slot, ngx_http_api_cell_t *ret);

#endif
