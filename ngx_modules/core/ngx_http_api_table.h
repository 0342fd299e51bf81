#ifndef NGX_HTTP_API_TABLE_H
#define NGX_HTTP_API_TABLE_H
/*
 * Keys and values in shared memory, with expiry. A red-black tree, so that keys chosen to collide cost O(log n) and no
 * more; nothing leaves it before it has expired.
 *
 * The caller holds the zone's mutex around every function, and pointers to entries are good only until it lets go.
 * Times (`expires`, `now`) are of one clock and unit for each table, chosen by its owner.
 */
#include <ngx_config.h>
#include <ngx_core.h>

#include "base/base.h"

typedef struct {
    ngx_rbtree_t rbtree;
    ngx_rbtree_node_t sentinel;
    ngx_queue_t queue; /* most recently put first */
    ngx_uint_t count;
} ngx_http_api_table_t;

typedef struct {
    ngx_rbtree_node_t node; /* must be first */
    ngx_queue_t queue;
    int64_t expires;
    uint64_t stamp; /* for the owner; 0 in a new entry */
    uint32_t key_len, value_len;
    u_char data[]; /* value, then key */
} ngx_http_api_entry_t;

typedef struct {
    ngx_slab_pool_t *shpool;
    ngx_http_api_table_t *table;
} ngx_http_api_dict_t;

void ngx_http_api_table_init(ngx_http_api_table_t *t);

/* NULL when absent. An entry that has expired is still found: what that means is the caller's affair. */
ngx_http_api_entry_t *ngx_http_api_table_find_locked(ngx_http_api_table_t *t, const void *key, size_t key_len);

/*
 * Sets the key's value and its expiry. Drops a few entries that have expired. NULL when the zone is full; an older
 * value of the key is then gone too.
 */
ngx_http_api_entry_t *ngx_http_api_table_put_locked(const ngx_http_api_dict_t *d, const ngx_str_t *key,
                                                    const ngx_str_t *value, int64_t expires, int64_t now);

/* Removes what has expired and what has a smaller stamp. */
void ngx_http_api_table_sweep_locked(const ngx_http_api_dict_t *d, int64_t now, uint64_t stamp);

#endif
