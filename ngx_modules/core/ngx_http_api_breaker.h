#ifndef NGX_HTTP_API_BREAKER_H
#define NGX_HTTP_API_BREAKER_H
/*
 * The circuit breaker of a service, in shared memory.
 *
 *   closed     requests go through; results are counted in a rolling window. When enough of them failed, it opens.
 *   open       requests are answered 503 at once. When its time is over, it is half-open.
 *   half-open  a few requests at a time go through as probes. One that fails opens it again; enough that succeed in a
 *              row close it.
 *
 * A failure is a connection that was not made or broke, an answer that did not come in time or made no sense, and the
 * statuses 502, 503 and 504. A client that hangs up tells nothing. Workers count in cells of their own; only a failure
 * sums them up.
 */
#include "base/base.h"

#include "ngx_http_api_metrics.h"

enum ngx_http_api_breaker_state_e { NGX_HTTP_API_CLOSED, NGX_HTTP_API_HALF_OPEN, NGX_HTTP_API_OPEN };
extern const char *const ngx_http_api_breaker_names[];

enum { NGX_HTTP_API_WINDOW = 10 }; /* parts of the rolling window */

typedef struct {
    struct {
        ngx_atomic_t epoch; /* which part of time this is about */
        ngx_atomic_t total, failed;
    } parts[NGX_HTTP_API_WINDOW];
} __attribute__((aligned(NGX_HTTP_API_LINE))) ngx_http_api_window_t;

typedef struct {
    ngx_queue_t queue;
    char service[64];
    ngx_atomic_t state;   /* of enum ngx_http_api_breaker_state_e; changed under the zone's mutex */
    ngx_atomic_t until;   /* ngx_current_msec: when open ends, when half-open gives up on its probes */
    ngx_atomic_t opened;  /* times */
    ngx_uint_t flying;    /* probes under way */
    ngx_uint_t successes; /* of probes, in a row */
    ngx_uint_t n_cells;
    ngx_http_api_window_t cells[];
} ngx_http_api_breaker_t;

/* The state as it is now: open whose time is over counts as half-open, also when nobody has asked yet. */
static inline enum ngx_http_api_breaker_state_e ngx_http_api_breaker_now(const ngx_http_api_breaker_t *b)
{
    bool over = (ngx_msec_int_t)(b->until - ngx_current_msec) <= 0;
    return b->state == NGX_HTTP_API_OPEN && over ? NGX_HTTP_API_HALF_OPEN : (enum ngx_http_api_breaker_state_e)b->state;
}

/* api_breaker */
typedef struct {
    ngx_uint_t share;        /* percent; 0: off; NGX_CONF_UNSET_UINT: not configured */
    ngx_uint_t min;          /* requests in the window, below which it never opens */
    ngx_uint_t probes;       /* at a time, and successes that close it */
    ngx_msec_t window, open; /* lengths of the window, of being open */
} ngx_http_api_breaker_conf_t;

/* api_breaker off | share=50% min=20 window=10s open=5s probes=3. conf: ngx_http_api_srv_conf_t */
char *ngx_http_api_breaker_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
void ngx_http_api_breaker_default(ngx_http_api_breaker_conf_t *conf);

#endif
