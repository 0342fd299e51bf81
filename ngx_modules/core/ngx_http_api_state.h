#ifndef NGX_HTTP_API_STATE_H
#define NGX_HTTP_API_STATE_H
/*
 * What the edge knows, in shared memory: roles, overrides of users and tiers, revoked sessions, health of services,
 * counters. One worker writes it (from Redis), all read it; a file keeps it over a restart.
 *
 * Marks grow with each change of what admits people: `generation` when it may concern anybody, one of `marks`, found by
 * a hash of the key, when it concerns one user or session. A worker that remembers an answer with the sum of the marks
 * it was given under may use it without a lock while the sum stands.
 */
#include "ngx_http_api_breaker.h"
#include "ngx_http_api_metrics.h"
#include "ngx_http_api_table.h"

enum ngx_http_api_zone_e {
    NGX_HTTP_API_ZONE_STATE,
    NGX_HTTP_API_ZONE_TOKENS, /* verified tokens: of the auth module */
    NGX_HTTP_API_ZONE_LIMITS, /* struct st_gcra: of the limit module */
    NGX_HTTP_API_ZONES
};

enum ngx_http_api_kind_e {
    NGX_HTTP_API_USERS,   /* user -> roles, comma separated */
    NGX_HTTP_API_TIERS,   /* user -> tier */
    NGX_HTTP_API_REVOKED, /* session -> "" */
    NGX_HTTP_API_KEYS,    /* SHA-256 of an API key, as hex -> keyId|userId|roles|tier|scopes; "-": it is gone */
    NGX_HTTP_API_KINDS
};

enum {
    NGX_HTTP_API_ID_MAX = 128,
    NGX_HTTP_API_ROLES_MAX = 1024,
    NGX_HTTP_API_TIER_MAX = 64,
    NGX_HTTP_API_SERVICES = 64,
    NGX_HTTP_API_MARKS = 1024,
    NGX_HTTP_API_KEY_SETS = 4,
    NGX_HTTP_API_KEY_MAX = 2 * NGX_HTTP_API_ID_MAX + 2 * NGX_HTTP_API_ROLES_MAX + NGX_HTTP_API_TIER_MAX + 4,
};

enum ngx_http_api_health_e { NGX_HTTP_API_UNHEALTHY, NGX_HTTP_API_DEGRADED, NGX_HTTP_API_HEALTHY };

/* What one service said of itself last. */
typedef struct {
    char service[64];
    enum ngx_http_api_health_e status, database, bus;
} ngx_http_api_health_t;

/* Keys that were fetched from a URL. */
typedef struct {
    char source[65]; /* SHA-256 of the URL, as hex; "": free */
    u_char *text;    /* JWKS, as it came; NULL: none yet */
    size_t len;
    time_t fetched, forced; /* the last success, and the last fetch that an unknown key had caused; unix seconds */
} ngx_http_api_key_set_t;

typedef struct {
    ngx_http_api_counts_t counts[NGX_HTTP_API_SHARDS];
    ngx_atomic_t generation, roles_generation;
    ngx_atomic_t marks[NGX_HTTP_API_MARKS];
    ngx_atomic_t ready;                   /* what is known is whole: nobody's token is judged by a part of it */
    ngx_atomic_t redis_up, heard, synced; /* heard, synced: unix seconds of the last answer, the last resync */
    ngx_atomic_t round_trip_us;           /* of Redis, as measured last */
    ngx_http_api_key_set_t key_sets[NGX_HTTP_API_KEY_SETS];
    ngx_atomic_t keys_generation; /* grows when a set of keys changes */
    ngx_atomic_t keys_wanted;     /* grows when a token names a key that nobody knows */
    ngx_atomic_t keys_answered;   /* what of that has been dealt with */
    u_char *roles;                /* the JSON text of st:edge:roles */
    size_t roles_len;
    uint64_t stamp;   /* of the newest resync */
    ngx_uint_t dirty; /* not in the file yet */
    ngx_http_api_table_t tables[NGX_HTTP_API_KINDS];
    ngx_uint_t n_health;
    ngx_http_api_health_t health[NGX_HTTP_API_SERVICES];
    ngx_queue_t slots, breakers;
    ngx_queue_t limits; /* counters of the limit module */
    char node[17];      /* of this node, told to the others */
} ngx_http_api_state_t;

typedef struct {
    ngx_slab_pool_t *shpool;
    void *sh; /* ngx_http_api_state_t, or what the zone's module keeps there */
} ngx_http_api_zone_t;

/* "state" …, and the kinds' names in the state file. */
extern const char *const ngx_http_api_zone_names[NGX_HTTP_API_ZONES];
extern const char *const ngx_http_api_kind_names[NGX_HTTP_API_KINDS];

/* Bytes of the zone that are in use, as pages, and that there are. */
size_t ngx_http_api_zone_used(const ngx_http_api_zone_t *z, size_t *ret_total);

/* What a zone holds is the affair of the module that it is for. */
typedef struct {
    ngx_uint_t entries; /* that have not expired */
    ngx_uint_t evicted; /* that had to go before they expired */
} ngx_http_api_zone_use_t;

typedef struct {
    ngx_int_t (*init)(ngx_http_api_zone_t *z); /* fills a zone that has just been allocated: shpool is set, sh is not */
    void (*use)(const ngx_http_api_zone_t *z, ngx_http_api_zone_use_t *ret); /* NULL: told elsewhere */
} ngx_http_api_zone_kind_t;
extern const ngx_http_api_zone_kind_t ngx_http_api_tokens, ngx_http_api_limits;

ngx_int_t ngx_http_api_state_init(ngx_http_api_zone_t *z);

static inline ngx_http_api_state_t *ngx_http_api_state(const ngx_http_api_zone_t *z)
{
    return z->sh;
}

/* This worker's. */
static inline ngx_http_api_counts_t *ngx_http_api_counts(const ngx_http_api_zone_t *z)
{
    return &ngx_http_api_state(z)->counts[ngx_worker % NGX_HTTP_API_SHARDS];
}

static inline void ngx_http_api_count(const ngx_http_api_zone_t *z, enum ngx_http_api_counter_e c)
{
    (void)ngx_atomic_fetch_add(&ngx_http_api_counts(z)->counters[c], 1);
}

/* The mark of a key, and the sum that tells whether an answer about a user and a session still holds; never 0. */
static inline uint16_t ngx_http_api_mark(const ngx_str_t *key)
{
    return (uint16_t)(ngx_murmur_hash2(key->data, key->len) % NGX_HTTP_API_MARKS);
}

static inline ngx_atomic_uint_t ngx_http_api_marks(const ngx_http_api_zone_t *z, uint16_t user, uint16_t session)
{
    const ngx_http_api_state_t *s = ngx_http_api_state(z);
    return s->generation + s->marks[user] + s->marks[session];
}

/* What is known about a user and a session beyond the token. */
typedef struct {
    ngx_atomic_uint_t marks;
    int64_t until; /* unix seconds; look again then, or when the marks have moved */
    unsigned revoked : 1;
    unsigned has_roles : 1;
    unsigned has_tier : 1;
    ngx_str_t roles, tier; /* in the buffers below */
    u_char roles_buf[NGX_HTTP_API_ROLES_MAX], tier_buf[NGX_HTTP_API_TIER_MAX];
} ngx_http_api_override_t;

void ngx_http_api_state_lookup(const ngx_http_api_zone_t *z, const ngx_str_t *session, const ngx_str_t *user,
                               int64_t now, ngx_http_api_override_t *ret);

/* The value of an API key, in buf, and when it ends; false when nobody has it. */
bool ngx_http_api_state_api_key(const ngx_http_api_zone_t *z, const ngx_str_t *hash, int64_t now,
                                u_char buf[NGX_HTTP_API_KEY_MAX], ngx_str_t *ret, int64_t *ret_until);

/* A copy (malloc) of the roles text, NULL when there is none. */
char *ngx_http_api_state_roles(const ngx_http_api_zone_t *z, size_t *ret_len, ngx_atomic_uint_t *ret_generation);

/*
 * Writing. A resync takes a stamp, puts every entry of the snapshot under it, and ends with a sweep of what the
 * snapshot did not have. A delta (stamp 0) that arrives in between counts as newer than the snapshot.
 * NGX_DECLINED: key or value is not fit (too long, or bytes that no header could carry). NGX_ERROR: no room.
 */
uint64_t ngx_http_api_state_stamp(const ngx_http_api_zone_t *z);
ngx_int_t ngx_http_api_state_put(const ngx_http_api_zone_t *z, enum ngx_http_api_kind_e kind, const ngx_str_t *key,
                                 const ngx_str_t *value, int64_t until, uint64_t stamp);
void ngx_http_api_state_sweep(const ngx_http_api_zone_t *z, enum ngx_http_api_kind_e kind, uint64_t stamp);
ngx_int_t ngx_http_api_state_set_roles(const ngx_http_api_zone_t *z, const char *text, size_t len);
void ngx_http_api_state_set_ready(const ngx_http_api_zone_t *z, bool ready);
void ngx_http_api_state_set_health(const ngx_http_api_zone_t *z, const ngx_http_api_health_t *health);

/*
 * The set of keys of a URL, by the URL's digest: its place, made when there is none, in that of the set that was
 * fetched longest ago. set_keys gives NGX_DECLINED when the text is the same already. keys copies the text of a set, ""
 * when there is none.
 */
ngx_http_api_key_set_t *ngx_http_api_state_key_set(const ngx_http_api_zone_t *z, const char *source);
ngx_int_t ngx_http_api_state_set_keys(const ngx_http_api_zone_t *z, const char *source, const char *text, size_t len);
const char *ngx_http_api_state_keys(const ngx_http_api_zone_t *z, const char *source, struct st_arena *a);

/* Text fit for a header value sent to a service: printable ASCII without spaces. */
bool ngx_http_api_plain(const u_char *s, size_t len);

/* The file. Saving does nothing while nothing has changed. NULL, or why it failed (arena). */
const char *ngx_http_api_state_save(const ngx_http_api_zone_t *z, const char *path, struct st_arena *a);
const char *ngx_http_api_state_load(const ngx_http_api_zone_t *z, const char *path, struct st_arena *a);

/* The counters of an operation, made for n_cells workers when they are not there yet; NULL when the zone is full. */
ngx_http_api_slot_t *ngx_http_api_state_slot(const ngx_http_api_zone_t *z, const char *operation, ngx_uint_t n_cells);
/* The same for the breaker of a service. */
ngx_http_api_breaker_t *ngx_http_api_state_breaker(const ngx_http_api_zone_t *z, const char *service,
                                                   ngx_uint_t n_cells);

#endif
