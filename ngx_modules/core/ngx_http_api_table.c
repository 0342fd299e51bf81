/* Keys and values in shared memory. */
#include "ngx_http_api_table.h"

/* Expired entries that each put drops: more than it adds, so the table shrinks by itself. */
enum { EXPIRE_AT_ONCE = 2 };

static ngx_int_t compare(uint32_t hash, const void *key, size_t key_len, const ngx_http_api_entry_t *e)
{
    if (hash != e->node.key)
        return hash < e->node.key ? -1 : 1;
    if (key_len != e->key_len)
        return key_len < e->key_len ? -1 : 1;
    return ngx_memcmp(key, e->data + e->value_len, key_len);
}

static void insert_value(ngx_rbtree_node_t *temp, ngx_rbtree_node_t *node, ngx_rbtree_node_t *sentinel)
{
    const ngx_http_api_entry_t *e = (ngx_http_api_entry_t *)node;
    ngx_rbtree_node_t **p;
    for (;;) {
        p = compare((uint32_t)node->key, e->data + e->value_len, e->key_len, (ngx_http_api_entry_t *)temp) < 0
                ? &temp->left
                : &temp->right;
        if (*p == sentinel)
            break;
        temp = *p;
    }
    *p = node;
    node->parent = temp;
    node->left = sentinel;
    node->right = sentinel;
    ngx_rbt_red(node);
}

void ngx_http_api_table_init(ngx_http_api_table_t *t)
{
    ngx_memzero(t, sizeof(*t));
    ngx_rbtree_init(&t->rbtree, &t->sentinel, insert_value);
    ngx_queue_init(&t->queue);
}

ngx_http_api_entry_t *ngx_http_api_table_find_locked(ngx_http_api_table_t *t, const void *key, size_t key_len)
{
    uint32_t hash = ngx_murmur_hash2((u_char *)key, key_len);
    ngx_rbtree_node_t *node = t->rbtree.root;
    while (node != t->rbtree.sentinel) {
        ngx_http_api_entry_t *e = (ngx_http_api_entry_t *)node;
        ngx_int_t c = compare(hash, key, key_len, e);
        if (c == 0)
            return e;
        node = c < 0 ? node->left : node->right;
    }
    return NULL;
}

static void remove_locked(const ngx_http_api_dict_t *d, ngx_http_api_entry_t *e)
{
    ngx_queue_remove(&e->queue);
    ngx_rbtree_delete(&d->table->rbtree, &e->node);
    d->table->count--;
    ngx_slab_free_locked(d->shpool, e);
}

static ngx_http_api_entry_t *oldest(ngx_http_api_table_t *t)
{
    return ngx_queue_empty(&t->queue) ? NULL : ngx_queue_data(ngx_queue_last(&t->queue), ngx_http_api_entry_t, queue);
}

static ngx_http_api_entry_t *alloc_locked(const ngx_http_api_dict_t *d, size_t size, int64_t now)
{
    ngx_http_api_entry_t *e = ngx_slab_alloc_locked(d->shpool, size);
    if (e)
        return e;
    ngx_http_api_table_sweep_locked(d, now, 0);
    return ngx_slab_alloc_locked(d->shpool, size);
}

ngx_http_api_entry_t *ngx_http_api_table_put_locked(const ngx_http_api_dict_t *d, const ngx_str_t *key,
                                                    const ngx_str_t *value, int64_t expires, int64_t now)
{
    ngx_http_api_table_t *t = d->table;
    ngx_http_api_entry_t *e = ngx_http_api_table_find_locked(t, key->data, key->len), *old;
    uint64_t stamp = 0;
    if (e && e->value_len != value->len) {
        stamp = e->stamp;
        remove_locked(d, e);
        e = NULL;
    }
    if (e) {
        ngx_queue_remove(&e->queue);
        ngx_queue_insert_head(&t->queue, &e->queue);
    } else {
        for (ngx_uint_t i = 0; i < EXPIRE_AT_ONCE && (old = oldest(t)) != NULL && old->expires <= now; i++)
            remove_locked(d, old);
        e = alloc_locked(d, sizeof(*e) + key->len + value->len, now);
        if (!e)
            return NULL;
        ngx_memzero(e, sizeof(*e));
        e->stamp = stamp;
        e->key_len = (uint32_t)key->len;
        e->value_len = (uint32_t)value->len;
        ngx_memcpy(e->data + value->len, key->data, key->len);
        e->node.key = ngx_murmur_hash2(key->data, key->len);
        ngx_rbtree_insert(&t->rbtree, &e->node);
        ngx_queue_insert_head(&t->queue, &e->queue);
        t->count++;
    }
    ngx_memcpy(e->data, value->data, value->len);
    e->expires = expires;
    return e;
}

void ngx_http_api_table_sweep_locked(const ngx_http_api_dict_t *d, int64_t now, uint64_t stamp)
{
    for (ngx_queue_t *q = ngx_queue_head(&d->table->queue), *next; q != ngx_queue_sentinel(&d->table->queue);
         q = next) {
        ngx_http_api_entry_t *e = ngx_queue_data(q, ngx_http_api_entry_t, queue);
        next = ngx_queue_next(q);
        if (e->expires <= now || e->stamp < stamp)
            remove_locked(d, e);
    }
}
