/*
 * Verified tokens that all workers share: sets of slots in shared memory, read without a lock.
 *
 * A slot's version is odd while it is written; who reads copies, looks at the version again, and takes a change for a
 * miss. Who finds a slot being written leaves it alone, so nobody ever waits. A worker killed in that moment costs its
 * slot until nginx is started anew.
 */
#include "base/gcra.h"

#include "ngx_http_api_auth.h"

enum {
    WAYS = 16,
    SET_SIZE = 4096, /* a page: one translation of its address finds tags and slots, and one fault makes both */
    SLOT_SIZE = 248,
    PLACED_BY = 32, /* characters at the token's end, a part of the signature: they tell tokens apart best */
};

typedef struct {
    ngx_atomic_t version;
    int64_t expires; /* unix seconds; 0: never used */
    ngx_atomic_uint_t marks;
    int64_t join_again;
    unsigned char digest[ST_SHA256_LEN];
    uint8_t lens[NGX_HTTP_API_CLAIM_TEXTS];
    u_char text[];
} slot_t;

enum { TEXT_MAX = SLOT_SIZE - offsetof(slot_t, text) };
_Static_assert(TEXT_MAX <= UINT8_MAX, "lens");
_Static_assert(SLOT_SIZE % _Alignof(slot_t) == 0, "slots follow each other");

typedef struct {
    uint32_t tags[WAYS]; /* half of each slot's place: one cache line tells which slot to look at */
    u_char slots[WAYS][SLOT_SIZE];
} __attribute__((aligned(SET_SIZE))) set_t;
_Static_assert(sizeof(set_t) == SET_SIZE, "a page");

typedef struct {
    ngx_uint_t n_sets;
    set_t *sets;
    ngx_atomic_t evicted;
} tokens_t;

static slot_t *slot_of(set_t *set, ngx_uint_t way)
{
    return (slot_t *)set->slots[way];
}

/* The whole zone, but for what the slab allocator itself needs. Fresh shared memory is zero; nothing touches it here.
 */
static ngx_int_t init(ngx_http_api_zone_t *z)
{
    tokens_t *t = ngx_slab_calloc(z->shpool, sizeof(*t));
    size_t room = z->shpool->pfree * ngx_pagesize;
    if (!t || room < sizeof(set_t))
        return NGX_ERROR;
    t->n_sets = room / sizeof(set_t);
    t->sets = ngx_slab_alloc(z->shpool, t->n_sets * sizeof(set_t));
    z->sh = t;
    return t->sets ? NGX_OK : NGX_ERROR;
}

static set_t *set_of(const ngx_http_api_zone_t *z, uint64_t place, uint32_t *ret_tag)
{
    const tokens_t *t = z->sh;
    *ret_tag = (uint32_t)place;
    return &t->sets[(place >> 32) % t->n_sets];
}

/*
 * A place is a keyed hash of the signature's end. It says nothing of whether the token is the one that was verified:
 * that is told by the digest of all of it.
 */
uint64_t ngx_http_api_auth_l2_place(const ngx_http_api_zone_t *z, const ngx_http_api_auth_conf_t *conf,
                                    const ngx_str_t *token)
{
    size_t n = ngx_min(token->len, PLACED_BY);
    uint64_t place = st_siphash(conf->rule_digest, token->data + token->len - n, n);
    uint32_t tag;
    __builtin_prefetch(set_of(z, place, &tag));
    return place;
}

void ngx_http_api_auth_l2_expect(const ngx_http_api_zone_t *z, uint64_t place)
{
    uint32_t tag;
    set_t *set = set_of(z, place, &tag);
    for (ngx_uint_t way = 0; way < WAYS; way++)
        for (size_t at = 0; set->tags[way] == tag && at < SLOT_SIZE; at += NGX_HTTP_API_LINE)
            __builtin_prefetch(set->slots[way] + at);
}

/* A copy of the slot as far as it is used, false when it holds another token, or changed meanwhile. */
static bool read_slot(const slot_t *s, const unsigned char digest[ST_SHA256_LEN], slot_t *out)
{
    ngx_atomic_uint_t version = __atomic_load_n(&s->version, __ATOMIC_ACQUIRE);
    size_t len = 0;
    if (version & 1 || memcmp(s->digest, digest, ST_SHA256_LEN) != 0)
        return false;
    *out = *s;
    for (ngx_uint_t i = 0; i < NGX_HTTP_API_CLAIM_TEXTS; i++)
        len += out->lens[i];
    if (len > TEXT_MAX)
        return false;
    ngx_memcpy(out->text, s->text, len);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&s->version, __ATOMIC_RELAXED) == version;
}

bool ngx_http_api_auth_l2_find(const ngx_http_api_zone_t *z, uint64_t place, const unsigned char digest[ST_SHA256_LEN],
                               struct st_arena *a, ngx_http_api_claims_t *ret, ngx_atomic_uint_t *ret_marks,
                               int64_t *ret_join_again)
{
    uint32_t tag;
    set_t *set = set_of(z, place, &tag);
    slot_t *copy = st_alloc(a, SLOT_SIZE);
    for (ngx_uint_t way = 0; way < WAYS; way++) {
        if (set->tags[way] != tag || !read_slot(slot_of(set, way), digest, copy))
            continue;
        if (copy->expires <= ngx_time())
            return false;
        u_char *p = copy->text;
        for (ngx_uint_t i = 0; i < NGX_HTTP_API_CLAIM_TEXTS; p += copy->lens[i++])
            *ngx_http_api_claim_text(ret, i) = (ngx_str_t){copy->lens[i], p};
        ret->expires = copy->expires;
        *ret_marks = copy->marks;
        *ret_join_again = copy->join_again;
        return true;
    }
    return false;
}

/* Where the token is or may go: its own slot, a free or expired one, the one that expires first. */
static ngx_uint_t victim(set_t *set, uint32_t tag, const unsigned char digest[ST_SHA256_LEN])
{
    ngx_uint_t best = 0;
    for (ngx_uint_t way = 0; way < WAYS; way++) {
        const slot_t *s = slot_of(set, way);
        if (set->tags[way] == tag && memcmp(s->digest, digest, ST_SHA256_LEN) == 0)
            return way;
        if (s->expires < slot_of(set, best)->expires)
            best = way;
    }
    return best;
}

void ngx_http_api_auth_l2_put(const ngx_http_api_zone_t *z, uint64_t place, const unsigned char digest[ST_SHA256_LEN],
                              const ngx_http_api_claims_t *claims, ngx_atomic_uint_t marks, int64_t join_again)
{
    ngx_http_api_claims_t from = *claims;
    size_t total = 0;
    for (ngx_uint_t i = 0; i < NGX_HTTP_API_CLAIM_TEXTS; i++)
        total += ngx_http_api_claim_text(&from, i)->len;
    if (total > TEXT_MAX)
        return;
    uint32_t tag;
    set_t *set = set_of(z, place, &tag);
    ngx_uint_t way = victim(set, tag, digest);
    slot_t *s = slot_of(set, way);
    ngx_atomic_uint_t version = s->version;
    if (version & 1 || !ngx_atomic_cmp_set(&s->version, version, version + 1))
        return;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    if (s->expires > ngx_time() && memcmp(s->digest, digest, ST_SHA256_LEN) != 0)
        (void)ngx_atomic_fetch_add(&((tokens_t *)z->sh)->evicted, 1);
    set->tags[way] = tag;
    ngx_memcpy(s->digest, digest, ST_SHA256_LEN);
    s->expires = claims->expires;
    s->marks = marks;
    s->join_again = join_again;
    u_char *p = s->text;
    for (ngx_uint_t i = 0; i < NGX_HTTP_API_CLAIM_TEXTS; i++) {
        const ngx_str_t *text = ngx_http_api_claim_text(&from, i);
        s->lens[i] = (uint8_t)text->len;
        p = ngx_cpymem(p, text->data, text->len);
    }
    __atomic_store_n(&s->version, version + 2, __ATOMIC_RELEASE);
}

/* Reads every slot: for a page that is asked for seldom. */
static void use(const ngx_http_api_zone_t *z, ngx_http_api_zone_use_t *ret)
{
    const tokens_t *t = z->sh;
    *ret = (ngx_http_api_zone_use_t){.evicted = t->evicted};
    for (ngx_uint_t i = 0; i < t->n_sets * WAYS; i++)
        ret->entries += slot_of(&t->sets[i / WAYS], i % WAYS)->expires > ngx_time();
}

const ngx_http_api_zone_kind_t ngx_http_api_tokens = {init, use};
