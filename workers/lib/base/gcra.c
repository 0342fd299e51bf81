/*
 * Rate limits for very many keys in shared memory.
 *
 * A bucket is four cache lines: the hashes and the lock, then the places, each with the TAT and the owner's words, so
 * that a key mostly takes two lines. What a place holds belongs to its hash. Who gives a place to another key clears
 * the hash first and sets it last, so a reader that finds its hash before and after it has read the TAT has read its
 * own; and a TAT that was changed meanwhile makes its compare-and-swap fail.
 */
#include "base/gcra.h"

#include "base/clock.h"

#include <endian.h>
#include <sched.h>
#include <sys/random.h>

enum {
    WAYS = 7,
    LINE = 64,
    STALE_US = 100000, /* a lock older than this is nobody's */
    SAMPLE = 65536,    /* buckets that are looked at to tell how many keys are in use */
};

struct bucket {
    uint64_t lock; /* when it was taken; 0: free */
    uint64_t hashes[WAYS];
    struct place {
        int64_t tat;
        uint64_t words[ST_GCRA_WORDS];
    } places[WAYS];
} __attribute__((aligned(LINE)));

struct st_gcra {
    unsigned char secret[16];
    uint64_t n_buckets;
    uint64_t evicted;
    struct bucket buckets[];
};

#define LOAD(p)         __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define STORE(p, v)     __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define SWAP(p, old, v) __atomic_compare_exchange_n(p, old, v, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)

/* --- hashing --- */

/* Everything is inlined, so that the state stays in registers. */
#define INLINE static inline __attribute__((always_inline))

struct sip {
    uint64_t a, b, c, d;
};

INLINE uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

INLINE void sip_round(struct sip *v)
{
    v->a += v->b;
    v->c += v->d;
    v->b = rotate(v->b, 13) ^ v->a;
    v->d = rotate(v->d, 16) ^ v->c;
    v->a = rotate(v->a, 32) + v->d;
    v->c += v->b;
    v->d = rotate(v->d, 21) ^ v->a;
    v->b = rotate(v->b, 17) ^ v->c;
    v->c = rotate(v->c, 32);
}

INLINE uint64_t little_endian(const unsigned char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    return le64toh(word);
}

INLINE struct sip sip_begin(const unsigned char key[16])
{
    uint64_t k0 = little_endian(key), k1 = little_endian(key + 8);
    return (struct sip){k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
                        k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573)};
}

INLINE void sip_word(struct sip *v, uint64_t word, int rounds)
{
    v->d ^= word;
    for (int i = 0; i < rounds; i++)
        sip_round(v);
    v->a ^= word;
}

/* `before` bytes have gone in already: a multiple of 8. */
INLINE uint64_t sip_end(struct sip v, const unsigned char *p, size_t len, size_t before, int rounds, int last_rounds)
{
    const unsigned char *end = p + len / 8 * 8;
    uint64_t last = (uint64_t)(before + len) << 56;
    for (; p < end; p += 8)
        sip_word(&v, little_endian(p), rounds);
    for (size_t i = 0; i < len % 8; i++)
        last |= (uint64_t)p[i] << 8 * i;
    sip_word(&v, last, rounds);
    v.c ^= 0xff;
    for (int i = 0; i < last_rounds; i++)
        sip_round(&v);
    return v.a ^ v.b ^ v.c ^ v.d;
}

uint64_t st_siphash(const unsigned char key[16], const void *data, size_t len)
{
    return sip_end(sip_begin(key), data, len, 0, 2, 4);
}

/* SipHash-1-3, which hash tables use whose hashes nobody sees. 0 marks a free place. */
uint64_t st_gcra_hash(const struct st_gcra *g, uint64_t id, const void *key, size_t len)
{
    struct sip v = sip_begin(g->secret);
    sip_word(&v, id, 1);
    uint64_t hash = sip_end(v, key, len, sizeof(id), 1, 3);
    return hash ? hash : 1;
}

/* --- places --- */

struct st_gcra *st_gcra_init(void *memory, size_t size)
{
    struct st_gcra *g = memory;
    if (size < sizeof(*g) + sizeof(struct bucket))
        return NULL;
    if (getrandom(g->secret, sizeof(g->secret), 0) != sizeof(g->secret))
        return NULL;
    g->n_buckets = (size - sizeof(*g)) / sizeof(struct bucket);
    return g;
}

static struct bucket *bucket_of(struct st_gcra *g, uint64_t hash)
{
    return &g->buckets[(unsigned __int128)hash * g->n_buckets >> 64];
}

/* Its lines are asked for together. */
static void fetch(const struct bucket *b)
{
    for (size_t at = 0; at < sizeof(*b); at += LINE)
        __builtin_prefetch((const char *)b + at, 1);
}

void st_gcra_expect(const struct st_gcra *g, uint64_t hash)
{
    fetch(&g->buckets[(unsigned __int128)hash * g->n_buckets >> 64]);
}

static int find(const struct bucket *b, uint64_t hash)
{
    for (int i = 0; i < WAYS; i++)
        if (LOAD(&b->hashes[i]) == hash)
            return i;
    return -1;
}

static void pause_a_moment(int turn)
{
    if (turn % 64 == 63)
        sched_yield();
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void take(struct bucket *b)
{
    for (int turn = 0;; turn++) {
        uint64_t holder = 0, now = (uint64_t)st_mono();
        if (SWAP(&b->lock, &holder, now))
            return;
        if (now > holder + STALE_US && SWAP(&b->lock, &holder, now))
            return;
        pause_a_moment(turn);
    }
}

static int victim(const struct bucket *b)
{
    int least = 0;
    for (int i = 0; i < WAYS; i++) {
        if (!LOAD(&b->hashes[i]))
            return i;
        if (LOAD(&b->places[i].tat) < LOAD(&b->places[least].tat))
            least = i;
    }
    return least;
}

/* Makes a place for the key with this TAT. False: somebody else has made one. */
static bool insert(struct st_gcra *g, struct bucket *b, uint64_t hash, int64_t tat, int64_t now)
{
    take(b);
    bool is_new = find(b, hash) < 0;
    if (is_new) {
        int i = victim(b);
        if (LOAD(&b->hashes[i]) && LOAD(&b->places[i].tat) > now)
            __atomic_fetch_add(&g->evicted, 1, __ATOMIC_RELAXED);
        STORE(&b->hashes[i], 0);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        STORE(&b->places[i].tat, tat);
        for (int w = 0; w < ST_GCRA_WORDS; w++)
            STORE(&b->places[i].words[w], 0);
        STORE(&b->hashes[i], hash);
    }
    STORE(&b->lock, 0);
    return is_new;
}

/* --- limits --- */

static int64_t clamp(int64_t n, int64_t least, int64_t most)
{
    return n < least ? least : n > most ? most : n;
}

void st_gcra_charge(struct st_gcra *g, uint64_t hash, const struct st_gcra_rate *rate, int64_t units, int64_t now,
                    struct st_gcra_verdict *ret)
{
    struct bucket *b = bucket_of(g, hash);
    fetch(b);
    for (;;) {
        int i = find(b, hash);
        int64_t seen = i < 0 ? now : LOAD(&b->places[i].tat);
        if (i >= 0 && LOAD(&b->hashes[i]) != hash)
            continue;
        int64_t from = clamp(seen, now, now + rate->tolerance), to = from + units * rate->interval;
        *ret = (struct st_gcra_verdict){.tat = from, .wait = to - rate->tolerance - now};
        if (ret->wait > 0)
            return;
        if (i < 0 ? insert(g, b, hash, to, now) : SWAP(&b->places[i].tat, &seen, to)) {
            *ret = (struct st_gcra_verdict){.tat = to};
            return;
        }
    }
}

/* The TAT becomes what it was plus `by`, and at least `least`. */
static void change(struct st_gcra *g, uint64_t hash, int64_t by, int64_t least)
{
    struct bucket *b = bucket_of(g, hash);
    int i = find(b, hash);
    if (i < 0)
        return;
    int64_t seen = LOAD(&b->places[i].tat), to;
    do {
        if (LOAD(&b->hashes[i]) != hash)
            return;
        to = seen + by < least ? least : seen + by;
    } while (to != seen && !SWAP(&b->places[i].tat, &seen, to));
}

void st_gcra_refund(struct st_gcra *g, uint64_t hash, const struct st_gcra_rate *rate, int64_t units)
{
    change(g, hash, -units * rate->interval, 0);
}

void st_gcra_raise(struct st_gcra *g, uint64_t hash, int64_t tat)
{
    change(g, hash, 0, tat);
}

uint64_t *st_gcra_words(struct st_gcra *g, uint64_t hash)
{
    struct bucket *b = bucket_of(g, hash);
    int i = find(b, hash);
    return i < 0 ? NULL : b->places[i].words;
}

/* --- metrics --- */

uint64_t st_gcra_room(const struct st_gcra *g)
{
    return g->n_buckets * WAYS;
}

uint64_t st_gcra_used(const struct st_gcra *g, int64_t now)
{
    uint64_t step = g->n_buckets / SAMPLE + 1, looked = 0, used = 0;
    for (uint64_t n = 0; n < g->n_buckets; n += step, looked++)
        for (int i = 0; i < WAYS; i++)
            used += LOAD(&g->buckets[n].hashes[i]) && LOAD(&g->buckets[n].places[i].tat) > now;
    return used * g->n_buckets / looked;
}

uint64_t st_gcra_evicted(const struct st_gcra *g)
{
    return __atomic_load_n(&g->evicted, __ATOMIC_RELAXED);
}
