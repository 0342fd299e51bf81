/*
 * Ids of segments: the hash of the text and, as lines of dialogue repeat, a number among its like. After an edit the
 * segments that are still there keep theirs (P. Heckel, "A technique for isolating differences between files", 1978): a
 * text that occurs once before and once now is the same segment; so is an equal neighbour of the same segment; then
 * equal texts, in their order.
 */
#include "story/analyse_int.h"

/* Segments of one text. */
struct like {
    uint64_t hash;
    uint32_t n_old, n_new, old, new; /* how many, and the last (forward) or the next that is free */
    uint32_t used, number;           /* where its numbers stand in ids.used; the next that may be free */
};

enum { BEGIN, END, BORDERS_ }; /* stand around both texts, once each */

struct ids {
    struct an *an;
    struct like *likes;
    uint32_t n_likes, *buckets, n_buckets;
    uint32_t n_old, *old, *old_number; /* likes; borders at both ends */
    uint32_t n_new, *new;
    uint32_t *same_old, *same_new; /* of each of the others: which it is, or AN_NONE */
    uint32_t *next_old;            /* of the same text */
    bool *used;
};

static uint64_t hash_text(const char *s)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * UINT64_C(1099511628211);
    return h ^ h >> 29;
}

static bool read_id(const char *id, uint64_t *ret_hash, uint32_t *ret_number)
{
    char *end;
    if (strspn(id, "0123456789abcdef") != 16)
        return false;
    *ret_hash = strtoull(id, &end, 16);
    long n = *end == 'n' ? strtol(end + 1, &end, 10) : 1;
    *ret_number = (uint32_t)n;
    return !*end && n >= 1 && n <= INT32_MAX;
}

/* Texts of equal hash only share the numbers, so that ids stay unique. */
static uint32_t like_of(struct ids *d, uint64_t hash)
{
    uint32_t at = (uint32_t)((hash ^ d->an->seed) * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (d->n_buckets - 1);
    while (d->buckets[at] && d->likes[d->buckets[at]].hash != hash)
        at = (at + 1) & (d->n_buckets - 1);
    if (!d->buckets[at]) {
        d->buckets[at] = d->n_likes;
        d->likes[d->n_likes++] = (struct like){.hash = hash, .number = 1};
    }
    return d->buckets[at];
}

static void add_old(struct ids *d, uint32_t like, uint32_t number)
{
    d->old_number[d->n_old] = number;
    d->likes[like].n_old++;
    d->likes[like].old = d->n_old;
    d->old[d->n_old++] = like;
}

static void add_new(struct ids *d, uint32_t like)
{
    d->likes[like].n_new++;
    d->likes[like].new = d->n_new;
    d->new[d->n_new++] = like;
}

static void load(struct ids *d)
{
    struct an *an = d->an;
    uint32_t n_former = (uint32_t)an->hints->n_former, most = n_former + an->n_pieces + BORDERS_;
    for (d->n_buckets = 16; d->n_buckets < most * 2; d->n_buckets *= 2)
        ;
    d->buckets = st_new_n(an->arena, uint32_t, d->n_buckets);
    d->likes = st_new_n(an->arena, struct like, most);
    d->old = st_new_n(an->arena, uint32_t, n_former + BORDERS_);
    d->old_number = st_new_n(an->arena, uint32_t, n_former + BORDERS_);
    d->new = st_new_n(an->arena, uint32_t, an->n_pieces + BORDERS_);
    d->n_likes = BORDERS_;
    add_old(d, BEGIN, 0);
    add_new(d, BEGIN);
    for (uint32_t i = 0; i < n_former; i++) {
        uint64_t hash;
        uint32_t number;
        if (read_id(an->hints->former[i], &hash, &number))
            add_old(d, like_of(d, hash), number);
    }
    for (uint32_t i = 0; i < an->n_pieces; i++)
        add_new(d, like_of(d, hash_text(an->pieces[i].segment.text)));
    add_old(d, END, 0);
    add_new(d, END);
}

static bool match(struct ids *d, uint32_t old, uint32_t new)
{
    if (d->old[old] != d->new[new] || d->same_old[old] != AN_NONE || d->same_new[new] != AN_NONE)
        return false;
    d->same_old[old] = new;
    d->same_new[new] = old;
    return true;
}

static void find_same(struct ids *d)
{
    for (uint32_t i = 0; i < d->n_likes; i++)
        if (d->likes[i].n_old == 1 && d->likes[i].n_new == 1)
            match(d, d->likes[i].old, d->likes[i].new);
    for (uint32_t i = 0; i + 1 < d->n_new; i++)
        if (d->same_new[i] != AN_NONE && d->same_new[i] + 1 < d->n_old)
            match(d, d->same_new[i] + 1, i + 1);
    for (uint32_t i = d->n_new - 1; i > 0; i--)
        if (d->same_new[i] != AN_NONE && d->same_new[i] > 0)
            match(d, d->same_new[i] - 1, i - 1);
    for (uint32_t i = d->n_old; i-- > 0;) { /* those that are left, in a list for each text, the first first */
        struct like *like = &d->likes[d->old[i]];
        d->next_old[i] = like->old != i ? like->old : AN_NONE;
        like->old = i;
    }
    for (uint32_t i = 0; i < d->n_new; i++) {
        struct like *like = &d->likes[d->new[i]];
        while (like->n_old && like->old != AN_NONE && d->same_old[like->old] != AN_NONE)
            like->old = d->next_old[like->old];
        if (like->n_old && like->old != AN_NONE)
            match(d, like->old, i);
    }
}

/* The least number that no segment of the text has or had. */
static uint32_t new_number(struct ids *d, struct like *like)
{
    while (d->used[like->used + like->number])
        like->number++;
    d->used[like->used + like->number] = true;
    return like->number;
}

static void count_used(struct ids *d)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->n_likes; i++) {
        d->likes[i].used = n;
        n += d->likes[i].n_old + d->likes[i].n_new + 1;
    }
    d->used = st_new_n(d->an->arena, bool, n);
    for (uint32_t i = 0; i < d->n_old; i++) {
        const struct like *like = &d->likes[d->old[i]];
        if (d->old_number[i] <= like->n_old + like->n_new) /* up to where new ones may come */
            d->used[like->used + d->old_number[i]] = true;
    }
}

static uint32_t *nothing(struct an *an, uint32_t n)
{
    uint32_t *list = st_new_n(an->arena, uint32_t, n);
    memset(list, 0xff, n * sizeof(*list));
    return list;
}

void an_give_ids(struct an *an)
{
    struct ids d = {.an = an};
    load(&d);
    d.same_old = nothing(an, d.n_old);
    d.next_old = nothing(an, d.n_old);
    d.same_new = nothing(an, d.n_new);
    find_same(&d);
    count_used(&d);
    for (uint32_t i = 0; i < an->n_pieces; i++) {
        struct like *like = &d.likes[d.new[i + 1]];
        uint32_t same = d.same_new[i + 1], n = same == AN_NONE ? new_number(&d, like) : d.old_number[same];
        unsigned long long h = like->hash;
        an->pieces[i].segment.id =
            n == 1 ? st_printf(an->arena, "%016llx", h) : st_printf(an->arena, "%016llxn%u", h, n);
    }
}
