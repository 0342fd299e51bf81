#ifndef NGX_HTTP_API_LIMIT_H
#define NGX_HTTP_API_LIMIT_H
/*
 * What the files of the limit module share: limits made ready for use, what a request has been charged, and the
 * sharing of budgets between nodes.
 */
#include "base/gcra.h"

#include "../core/ngx_http_api_redis.h"

enum ngx_http_api_limit_count_e {
    NGX_HTTP_API_LIMIT_PASSED,
    NGX_HTTP_API_LIMIT_REJECTED,
    NGX_HTTP_API_LIMIT_DRY_RUN,  /* would have been rejected */
    NGX_HTTP_API_LIMIT_EXACT,    /* requests that waited for Redis */
    NGX_HTTP_API_LIMIT_LEASES,   /* asked for, or use reported, while nobody waited */
    NGX_HTTP_API_LIMIT_FALLBACK, /* decided by this node alone, though the budget is shared */
    NGX_HTTP_API_LIMIT_COUNTS
};

/* Counters of a limit, in shared memory. */
typedef struct {
    ngx_queue_t queue;
    char name[80];
    ngx_uint_t n_cells;
    struct {
        ngx_atomic_t n[NGX_HTTP_API_LIMIT_COUNTS];
    } __attribute__((aligned(NGX_HTTP_API_LINE))) cells[];
} ngx_http_api_limit_counts_t;

/* A limit at the rate of one tier. */
typedef struct {
    struct st_gcra_rate gcra;
    uint64_t id; /* of limit and tier; the same on all nodes */
    int64_t count, burst, window_s;
    ngx_str_t policy; /* as RateLimit-Policy tells it */
    /*
     * Shared between nodes: `slack` units are spent before Redis hears of them, and told it later; `chunk` units are
     * leased at a time. Both 0: Redis is asked for each request.
     */
    int64_t slack, chunk;
} ngx_http_api_rule_t;

/* A limit as an operation has it. */
typedef struct {
    const struct st_api_limit *limit;
    const char *name;           /* of a user's share of an address's budget: with ".share" */
    ngx_str_t quoted;           /* the name, as RateLimit tells it */
    ngx_http_api_rule_t *rules; /* by limit->rates */
    ngx_int_t variable;         /* its index, for headers and variables */
    ngx_http_api_limit_counts_t *counts;
    unsigned fair : 1; /* one user's share of an address's budget */
} ngx_http_api_limit_t;

typedef struct {
    ngx_http_api_limit_t *list; /* those by address first, because they are charged first */
    ngx_uint_t n, n_by_address;
} ngx_http_api_limit_list_t;

typedef struct {
    ngx_flag_t share;
    ngx_msec_t timeout;                    /* how long a request waits for Redis */
    ngx_http_api_limit_list_t *operations; /* by index */
    struct st_gcra *table;
    ngx_str_t secret; /* of the names in Redis */
} ngx_http_api_limit_conf_t;

enum ngx_http_api_paid_e {
    NGX_HTTP_API_UNPAID,
    NGX_HTTP_API_PAID_HERE,   /* this node's table alone knows of it */
    NGX_HTTP_API_PAID_SLACK,  /* and Redis will be told */
    NGX_HTTP_API_PAID_LEASE,  /* out of a lease */
    NGX_HTTP_API_PAID_ASKING, /* Redis is being asked */
    NGX_HTTP_API_PAID_REDIS,
};

/* What a request owes one limit. */
typedef struct {
    const ngx_http_api_limit_t *limit;
    const ngx_http_api_rule_t *rule;
    ngx_str_t key;
    uint64_t hash;
    int64_t tat, wait; /* as st_gcra_charge gave them */
    enum ngx_http_api_paid_e paid;
} ngx_http_api_debit_t;

/* What a request has been charged; kept with it because a later refusal gives everything back. */
struct ngx_http_api_bill_s {
    ngx_http_request_t *request;
    const ngx_http_api_limit_conf_t *conf;
    ngx_uint_t n;               /* debits that have been looked at */
    ngx_uint_t n_before;        /* of an earlier phase */
    int64_t asked;              /* when Redis was, us */
    int64_t now;                /* of the last charge, us */
    ngx_msec_t turn;            /* and of nginx's clock then */
    ngx_http_api_debit_t *over; /* which refuses */
    uint64_t expected;          /* the hash of the user's key in the first limit after those by address; 0: not known */
    unsigned watched : 1;       /* the request's cleanup knows of it */
    unsigned waiting : 1;
    unsigned answered : 1;
    ngx_http_api_debit_t debits[];
};

static inline void ngx_http_api_limit_count(const ngx_http_api_limit_t *limit, enum ngx_http_api_limit_count_e what)
{
    (void)ngx_atomic_fetch_add(&limit->counts->cells[ngx_worker % limit->counts->n_cells].n[what], 1);
}

static inline int64_t ngx_http_api_debit_us(const ngx_http_api_debit_t *d)
{
    return d->limit->limit->cost * d->rule->gcra.interval;
}

/*
 * Sharing. A debit that this node's table has passed is paid from what the node holds. NGX_OK: paid. NGX_BUSY: Redis
 * said no a moment ago; d->wait. NGX_AGAIN: Redis must be asked.
 */
ngx_int_t ngx_http_api_share_pay(const ngx_http_api_limit_conf_t *conf, ngx_http_api_debit_t *d, int64_t now);

/*
 * Asks Redis for all debits of the bill that are PAID_ASKING: all are granted or none. NGX_AGAIN: the request is
 * suspended, and resumed with bill->answered (and bill->over, when one is not granted). NGX_OK: Redis is away, and the
 * node has decided.
 */
ngx_int_t ngx_http_api_share_ask(ngx_http_api_bill_t *bill);

/* Gives back what a debit took, here and in Redis. */
void ngx_http_api_share_refund(const ngx_http_api_limit_conf_t *conf, ngx_http_api_debit_t *d, int64_t now);

/* Configuration: makes the limits of all operations ready; refuses what would count nobody. */
ngx_int_t ngx_http_api_limit_compile(ngx_conf_t *cf, ngx_http_api_main_conf_t *amcf, ngx_http_api_limit_conf_t *conf);

#endif
