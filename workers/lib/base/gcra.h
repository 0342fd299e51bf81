#ifndef ST_BASE_GCRA_H
#define ST_BASE_GCRA_H
/*
 * Rate limits for very many keys, in one piece of memory that processes may share: GCRA (the generic cell rate
 * algorithm) remembers one number for each key, its theoretical arrival time (TAT).
 *
 * A known key is charged by compare-and-swap, without a lock. A new key takes a lock of its bucket alone for some tens
 * of nanoseconds; when the holder dies or is stopped, the next one takes the lock over. Keys are told apart by a 64-bit
 * hash under a secret of this memory, so that nobody can look for keys that meet. A full bucket (7 keys) forgets the
 * one that says least: the smallest TAT, which is one that has run out if there is any. About 37 bytes for a key; with
 * half of the places in use about one key in a hundred is forgotten too early.
 *
 * All times are microseconds of one monotonic clock.
 */
#include "base/compiler.h"

struct st_gcra;

struct st_gcra_rate {
    int64_t interval;  /* between two units at the steady rate, at least 1 */
    int64_t tolerance; /* burst * interval */
};

/*
 * Makes the table in memory that is aligned to 64 bytes and zero. NULL: too small. A fork, or a process that maps the
 * memory at the same place, uses the pointer as it is.
 */
struct st_gcra *st_gcra_init(void *memory, size_t size);

/* The hash of a key; `id` keeps limits apart. */
uint64_t st_gcra_hash(const struct st_gcra *g, uint64_t id, const void *key, size_t len);

/* The key will be charged soon: its memory is asked for at once. */
void st_gcra_expect(const struct st_gcra *g, uint64_t hash);

struct st_gcra_verdict {
    int64_t tat;  /* after the charge; when refused as it stands; never before now */
    int64_t wait; /* 0: charged; else how long until the charge would pass */
};

/* Charges `units`, at most the burst, or nothing. A TAT beyond now + tolerance counts as that: the rate was lowered. */
void st_gcra_charge(struct st_gcra *g, uint64_t hash, const struct st_gcra_rate *rate, int64_t units, int64_t now,
                    struct st_gcra_verdict *ret);

/* Gives back what was charged; a key that has been forgotten stays so. */
void st_gcra_refund(struct st_gcra *g, uint64_t hash, const struct st_gcra_rate *rate, int64_t units);

/* The TAT becomes at least this. */
void st_gcra_raise(struct st_gcra *g, uint64_t hash, int64_t tat);

/* The words of a known key, 0 at first, for whoever charges; NULL when it has been forgotten. Use atomic operations. */
enum { ST_GCRA_WORDS = 2 };
uint64_t *st_gcra_words(struct st_gcra *g, uint64_t hash);

/* For metrics: keys there is room for, keys in use now (an estimate in large tables), keys forgotten too early. */
uint64_t st_gcra_room(const struct st_gcra *g);
uint64_t st_gcra_used(const struct st_gcra *g, int64_t now);
uint64_t st_gcra_evicted(const struct st_gcra *g);

/* SipHash-2-4. */
uint64_t st_siphash(const unsigned char key[16], const void *data, size_t len);

#endif
