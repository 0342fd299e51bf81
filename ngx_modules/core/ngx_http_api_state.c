/* What the edge knows, in shared memory, and the file that keeps it over a restart. */
#include "ngx_http_api_state.h"

#include "io/crypto.h"
#include "io/json.h"

#include <fcntl.h>
#include <unistd.h>

enum { STATE_FILE_MAX = 16 * 1024 * 1024, ROLES_TEXT_MAX = 1024 * 1024 };

const char *const ngx_http_api_zone_names[NGX_HTTP_API_ZONES] = {
    [NGX_HTTP_API_ZONE_STATE] = "state",
    [NGX_HTTP_API_ZONE_TOKENS] = "tokens",
    [NGX_HTTP_API_ZONE_LIMITS] = "limits",
};

const char *const ngx_http_api_kind_names[NGX_HTTP_API_KINDS] = {
    [NGX_HTTP_API_USERS] = "users",
    [NGX_HTTP_API_TIERS] = "tiers",
    [NGX_HTTP_API_REVOKED] = "revoked",
    [NGX_HTTP_API_KEYS] = "keys",
};

static const size_t value_max[NGX_HTTP_API_KINDS] = {
    [NGX_HTTP_API_USERS] = NGX_HTTP_API_ROLES_MAX,
    [NGX_HTTP_API_TIERS] = NGX_HTTP_API_TIER_MAX,
    [NGX_HTTP_API_KEYS] = NGX_HTTP_API_KEY_MAX,
};

size_t ngx_http_api_zone_used(const ngx_http_api_zone_t *z, size_t *ret_total)
{
    size_t pages = (size_t)(z->shpool->last - z->shpool->pages);
    *ret_total = pages * ngx_pagesize;
    return (pages - z->shpool->pfree) * ngx_pagesize;
}

ngx_int_t ngx_http_api_state_init(ngx_http_api_zone_t *z)
{
    ngx_http_api_state_t *s = ngx_slab_calloc(z->shpool, sizeof(*s));
    if (!s)
        return NGX_ERROR;
    s->generation = s->roles_generation = s->keys_generation = 1;
    for (int i = 0; i < NGX_HTTP_API_KINDS; i++)
        ngx_http_api_table_init(&s->tables[i]);
    ngx_queue_init(&s->slots);
    ngx_queue_init(&s->breakers);
    ngx_queue_init(&s->limits);
    u_char id[8];
    st_random(id, sizeof(id));
    (void)ngx_hex_dump((u_char *)s->node, id, sizeof(id));
    z->sh = s;
    return NGX_OK;
}

static ngx_http_api_dict_t dict(const ngx_http_api_zone_t *z, enum ngx_http_api_kind_e kind)
{
    return (ngx_http_api_dict_t){.shpool = z->shpool, .table = &ngx_http_api_state(z)->tables[kind]};
}

/* key NULL: it may concern anybody. */
static void changed_locked(ngx_http_api_state_t *s, const ngx_str_t *key)
{
    s->dirty = 1;
    (void)ngx_atomic_fetch_add(key ? &s->marks[ngx_http_api_mark(key)] : &s->generation, 1);
}

bool ngx_http_api_plain(const u_char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (s[i] <= 0x20 || s[i] >= 0x7f)
            return false;
    return true;
}

/* The entry's value while it holds; its end moves `until` forward. */
static bool valid_locked(ngx_http_api_table_t *t, const ngx_str_t *key, int64_t now, int64_t *until, u_char *buf,
                         ngx_str_t *ret)
{
    ngx_http_api_entry_t *e = ngx_http_api_table_find_locked(t, key->data, key->len);
    if (!e || e->expires <= now)
        return false;
    *until = ngx_min(*until, e->expires);
    ret->len = e->value_len;
    ret->data = buf;
    ngx_memcpy(buf, e->data, e->value_len);
    return true;
}

void ngx_http_api_state_lookup(const ngx_http_api_zone_t *z, const ngx_str_t *session, const ngx_str_t *user,
                               int64_t now, ngx_http_api_override_t *ret)
{
    ngx_http_api_state_t *s = ngx_http_api_state(z);
    ngx_str_t none;
    ret->until = INT64_MAX;
    ngx_shmtx_lock(&z->shpool->mutex);
    ret->marks = ngx_http_api_marks(z, ngx_http_api_mark(user), ngx_http_api_mark(session));
    ret->revoked = valid_locked(&s->tables[NGX_HTTP_API_REVOKED], session, now, &ret->until, ret->tier_buf, &none);
    ret->has_roles = valid_locked(&s->tables[NGX_HTTP_API_USERS], user, now, &ret->until, ret->roles_buf, &ret->roles);
    ret->has_tier = valid_locked(&s->tables[NGX_HTTP_API_TIERS], user, now, &ret->until, ret->tier_buf, &ret->tier);
    ngx_shmtx_unlock(&z->shpool->mutex);
}

bool ngx_http_api_state_api_key(const ngx_http_api_zone_t *z, const ngx_str_t *hash, int64_t now,
                                u_char buf[NGX_HTTP_API_KEY_MAX], ngx_str_t *ret, int64_t *ret_until)
{
    *ret_until = INT64_MAX;
    ngx_shmtx_lock(&z->shpool->mutex);
    bool known = valid_locked(&ngx_http_api_state(z)->tables[NGX_HTTP_API_KEYS], hash, now, ret_until, buf, ret);
    ngx_shmtx_unlock(&z->shpool->mutex);
    return known && ret->len > 1;
}

char *ngx_http_api_state_roles(const ngx_http_api_zone_t *z, size_t *ret_len, ngx_atomic_uint_t *ret_generation)
{
    ngx_http_api_state_t *s = ngx_http_api_state(z);
    char *copy = NULL;
    ngx_shmtx_lock(&z->shpool->mutex);
    *ret_generation = s->roles_generation;
    *ret_len = s->roles_len;
    if (s->roles && (copy = malloc(s->roles_len + 1)) != NULL) {
        ngx_memcpy(copy, s->roles, s->roles_len);
        copy[s->roles_len] = '\0';
    }
    ngx_shmtx_unlock(&z->shpool->mutex);
    return copy;
}

uint64_t ngx_http_api_state_stamp(const ngx_http_api_zone_t *z)
{
    ngx_shmtx_lock(&z->shpool->mutex);
    uint64_t stamp = ++ngx_http_api_state(z)->stamp;
    ngx_shmtx_unlock(&z->shpool->mutex);
    return stamp;
}

ngx_int_t ngx_http_api_state_put(const ngx_http_api_zone_t *z, enum ngx_http_api_kind_e kind, const ngx_str_t *key,
                                 const ngx_str_t *value, int64_t until, uint64_t stamp)
{
    ngx_http_api_state_t *s = ngx_http_api_state(z);
    ngx_http_api_dict_t d = dict(z, kind);
    if (!key->len || key->len > NGX_HTTP_API_ID_MAX || value->len > value_max[kind] ||
        !ngx_http_api_plain(key->data, key->len) || !ngx_http_api_plain(value->data, value->len))
        return NGX_DECLINED;
    int64_t now = ngx_time();
    if (until <= now)
        return NGX_OK;
    ngx_int_t rc = NGX_OK;
    ngx_shmtx_lock(&z->shpool->mutex);
    ngx_http_api_entry_t *e = ngx_http_api_table_find_locked(d.table, key->data, key->len);
    if (!e || !stamp || e->stamp < stamp) {
        bool same =
            e && e->expires == until && e->value_len == value->len && ngx_memcmp(e->data, value->data, value->len) == 0;
        if (!same)
            e = ngx_http_api_table_put_locked(&d, key, value, until, now);
        if (e)
            e->stamp = stamp ? stamp : s->stamp;
        else
            rc = NGX_ERROR;
        if (!same)
            changed_locked(s, key);
    }
    ngx_shmtx_unlock(&z->shpool->mutex);
    return rc;
}

void ngx_http_api_state_sweep(const ngx_http_api_zone_t *z, enum ngx_http_api_kind_e kind, uint64_t stamp)
{
    ngx_http_api_dict_t d = dict(z, kind);
    ngx_shmtx_lock(&z->shpool->mutex);
    ngx_uint_t before = d.table->count;
    ngx_http_api_table_sweep_locked(&d, ngx_time(), stamp);
    if (d.table->count != before)
        changed_locked(ngx_http_api_state(z), NULL);
    ngx_shmtx_unlock(&z->shpool->mutex);
}

/* Replaces a text. NGX_DECLINED: it is the same already. */
static ngx_int_t set_text_locked(const ngx_http_api_zone_t *z, u_char **text, size_t *text_len, const char *to,
                                 size_t len)
{
    if (*text && *text_len == len && ngx_memcmp(*text, to, len) == 0)
        return NGX_DECLINED;
    u_char *copy = ngx_slab_alloc_locked(z->shpool, ngx_max(len, 1));
    if (!copy)
        return NGX_ERROR;
    if (*text)
        ngx_slab_free_locked(z->shpool, *text);
    ngx_memcpy(copy, to, len);
    *text = copy;
    *text_len = len;
    return NGX_OK;
}

ngx_int_t ngx_http_api_state_set_roles(const ngx_http_api_zone_t *z, const char *text, size_t len)
{
    ngx_http_api_state_t *s = ngx_http_api_state(z);
    if (len > ROLES_TEXT_MAX)
        return NGX_ERROR;
    ngx_shmtx_lock(&z->shpool->mutex);
    ngx_int_t rc = set_text_locked(z, &s->roles, &s->roles_len, text, len);
    if (rc == NGX_OK) {
        (void)ngx_atomic_fetch_add(&s->roles_generation, 1);
        changed_locked(s, NULL);
    }
    ngx_shmtx_unlock(&z->shpool->mutex);
    return rc == NGX_ERROR ? NGX_ERROR : NGX_OK;
}

void ngx_http_api_state_set_ready(const ngx_http_api_zone_t *z, bool ready)
{
    ngx_http_api_state_t *s = ngx_http_api_state(z);
    ngx_shmtx_lock(&z->shpool->mutex);
    if ((s->ready != 0) != ready) {
        s->ready = ready;
        changed_locked(s, NULL);
    }
    ngx_shmtx_unlock(&z->shpool->mutex);
}

static ngx_http_api_key_set_t *key_set_locked(const ngx_http_api_zone_t *z, const char *source, bool make)
{
    ngx_http_api_state_t *s = ngx_http_api_state(z);
    ngx_http_api_key_set_t *oldest = s->key_sets;
    for (int i = 0; i < NGX_HTTP_API_KEY_SETS; i++) {
        ngx_http_api_key_set_t *set = &s->key_sets[i];
        if (strcmp(set->source, source) == 0)
            return set;
        if (!*set->source || (*oldest->source && set->fetched < oldest->fetched))
            oldest = set;
    }
    if (!make)
        return NULL;
    if (oldest->text)
        ngx_slab_free_locked(z->shpool, oldest->text);
    ngx_memzero(oldest, sizeof(*oldest));
    ngx_cpystrn((u_char *)oldest->source, (u_char *)source, sizeof(oldest->source));
    return oldest;
}

ngx_http_api_key_set_t *ngx_http_api_state_key_set(const ngx_http_api_zone_t *z, const char *source)
{
    ngx_shmtx_lock(&z->shpool->mutex);
    ngx_http_api_key_set_t *set = key_set_locked(z, source, true);
    ngx_shmtx_unlock(&z->shpool->mutex);
    return set;
}

ngx_int_t ngx_http_api_state_set_keys(const ngx_http_api_zone_t *z, const char *source, const char *text, size_t len)
{
    ngx_http_api_state_t *s = ngx_http_api_state(z);
    ngx_shmtx_lock(&z->shpool->mutex);
    ngx_http_api_key_set_t *set = key_set_locked(z, source, true);
    ngx_int_t rc = set_text_locked(z, &set->text, &set->len, text, len);
    if (rc == NGX_OK) {
        s->dirty = 1;
        (void)ngx_atomic_fetch_add(&s->keys_generation, 1);
    }
    ngx_shmtx_unlock(&z->shpool->mutex);
    return rc;
}

const char *ngx_http_api_state_keys(const ngx_http_api_zone_t *z, const char *source, struct st_arena *a)
{
    ngx_shmtx_lock(&z->shpool->mutex);
    const ngx_http_api_key_set_t *set = key_set_locked(z, source, false);
    const char *copy = set && set->text ? st_strndup(a, (const char *)set->text, set->len) : "";
    ngx_shmtx_unlock(&z->shpool->mutex);
    return copy;
}

void ngx_http_api_state_set_health(const ngx_http_api_zone_t *z, const ngx_http_api_health_t *health)
{
    ngx_http_api_state_t *s = ngx_http_api_state(z);
    ngx_shmtx_lock(&z->shpool->mutex);
    ngx_uint_t i = 0;
    while (i < s->n_health && strcmp(s->health[i].service, health->service) != 0)
        i++;
    if (i < NGX_HTTP_API_SERVICES) {
        s->health[i] = *health;
        s->n_health = ngx_max(s->n_health, i + 1);
    }
    ngx_shmtx_unlock(&z->shpool->mutex);
}

ngx_http_api_slot_t *ngx_http_api_state_slot(const ngx_http_api_zone_t *z, const char *operation, ngx_uint_t n_cells)
{
    ngx_http_api_state_t *s = ngx_http_api_state(z);
    ngx_http_api_slot_t *found = NULL;
    size_t size = sizeof(*found) + n_cells * sizeof(ngx_http_api_cell_t);
    ngx_shmtx_lock(&z->shpool->mutex);
    for (ngx_queue_t *q = ngx_queue_head(&s->slots); q != ngx_queue_sentinel(&s->slots); q = ngx_queue_next(q)) {
        ngx_http_api_slot_t *slot = ngx_queue_data(q, ngx_http_api_slot_t, queue);
        if (strncmp(slot->operation, operation, sizeof(slot->operation) - 1) == 0)
            found = slot;
    }
    if (!found && (found = ngx_slab_calloc_locked(z->shpool, size)) != NULL) {
        found->n_cells = n_cells;
        ngx_cpystrn((u_char *)found->operation, (u_char *)operation, sizeof(found->operation));
        ngx_queue_insert_tail(&s->slots, &found->queue);
    }
    ngx_shmtx_unlock(&z->shpool->mutex);
    return found;
}

ngx_http_api_breaker_t *ngx_http_api_state_breaker(const ngx_http_api_zone_t *z, const char *service,
                                                   ngx_uint_t n_cells)
{
    ngx_http_api_state_t *s = ngx_http_api_state(z);
    ngx_http_api_breaker_t *found = NULL;
    size_t size = sizeof(*found) + n_cells * sizeof(ngx_http_api_window_t);
    ngx_shmtx_lock(&z->shpool->mutex);
    for (ngx_queue_t *q = ngx_queue_head(&s->breakers); q != ngx_queue_sentinel(&s->breakers); q = ngx_queue_next(q)) {
        ngx_http_api_breaker_t *b = ngx_queue_data(q, ngx_http_api_breaker_t, queue);
        if (strncmp(b->service, service, sizeof(b->service) - 1) == 0)
            found = b;
    }
    if (!found && (found = ngx_slab_calloc_locked(z->shpool, size)) != NULL) {
        found->n_cells = n_cells;
        ngx_cpystrn((u_char *)found->service, (u_char *)service, sizeof(found->service));
        ngx_queue_insert_tail(&s->breakers, &found->queue);
    }
    ngx_shmtx_unlock(&z->shpool->mutex);
    return found;
}

static void add_table_locked(struct st_buf *b, ngx_http_api_table_t *t, const char *name)
{
    st_buf_printf(b, ",\n\"%s\":{", name);
    const char *comma = "";
    for (ngx_queue_t *q = ngx_queue_last(&t->queue); q != ngx_queue_sentinel(&t->queue); q = ngx_queue_prev(q)) {
        const ngx_http_api_entry_t *e = ngx_queue_data(q, ngx_http_api_entry_t, queue);
        st_buf_printf(b, "%s\n", comma);
        st_buf_json(b, (const char *)e->data + e->value_len, e->key_len);
        st_buf_str(b, ":{\"value\":");
        st_buf_json(b, (const char *)e->data, e->value_len);
        st_buf_printf(b, ",\"until\":%lld}", (long long)e->expires);
        comma = ",";
    }
    st_buf_char(b, '}');
}

static void add_keys_locked(struct st_buf *b, const ngx_http_api_state_t *s)
{
    const char *comma = "";
    st_buf_str(b, ",\n\"jwks\":{");
    for (int i = 0; i < NGX_HTTP_API_KEY_SETS; i++) {
        const ngx_http_api_key_set_t *set = &s->key_sets[i];
        if (!set->text)
            continue;
        st_buf_printf(b, "%s\n\"%s\":", comma, set->source);
        st_buf_json(b, (const char *)set->text, set->len);
        comma = ",";
    }
    st_buf_char(b, '}');
}

static const char *write_file(const char *path, const struct st_buf *b, struct st_arena *a)
{
    char *temp = st_printf(a, "%s.%d", path, (int)ngx_pid);
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return st_printf(a, "cannot open %s: %m", temp);
    ssize_t n = write(fd, b->data, b->len);
    close(fd);
    if (n != (ssize_t)b->len || rename(temp, path) != 0) {
        unlink(temp);
        return st_printf(a, "cannot write %s: %m", path);
    }
    return NULL;
}

const char *ngx_http_api_state_save(const ngx_http_api_zone_t *z, const char *path, struct st_arena *a)
{
    ngx_http_api_state_t *s = ngx_http_api_state(z);
    struct st_buf b = ST_BUF(STATE_FILE_MAX);
    if (!s->dirty || !s->ready)
        return NULL;
    ngx_shmtx_lock(&z->shpool->mutex);
    s->dirty = 0;
    st_buf_str(&b, "{\"roles\":");
    st_buf_add(&b, s->roles, s->roles_len);
    for (int i = 0; i < NGX_HTTP_API_KINDS; i++)
        add_table_locked(&b, &s->tables[i], ngx_http_api_kind_names[i]);
    add_keys_locked(&b, s);
    ngx_shmtx_unlock(&z->shpool->mutex);
    st_buf_str(&b, "}\n");
    const char *why = b.failed ? "the state is larger than 16 MiB" : write_file(path, &b, a);
    st_buf_release(&b);
    return why;
}

const char *ngx_http_api_state_load(const ngx_http_api_zone_t *z, const char *path, struct st_arena *a)
{
    json_t *doc, *one;
    const char *why = NULL, *name;
    if (st_json_load(a, path, &doc, &why) < 0)
        return why;
    for (int i = 0; i < NGX_HTTP_API_KINDS; i++) {
        json_object_foreach (json_object_get(doc, ngx_http_api_kind_names[i]), name, one) {
            const char *text = st_json_str(one, "value", "");
            ngx_str_t key = {strlen(name), (u_char *)name}, value = {strlen(text), (u_char *)text};
            if (ngx_http_api_state_put(z, i, &key, &value, st_json_int(one, "until", 0), 0) == NGX_ERROR)
                return st_printf(a, "%s: no room for all of %s", path, ngx_http_api_kind_names[i]);
        }
    }
    json_object_foreach (json_object_get(doc, "jwks"), name, one) {
        if (strlen(name) == 2 * ST_SHA256_LEN && json_is_string(one))
            (void)ngx_http_api_state_set_keys(z, name, json_string_value(one), json_string_length(one));
    }
    const json_t *roles = json_object_get(doc, "roles");
    if (!json_is_object(json_object_get(roles, "roles")))
        return st_printf(a, "%s has no roles", path);
    const char *text = st_json_text(a, roles);
    if (ngx_http_api_state_set_roles(z, text, strlen(text)) != NGX_OK)
        return st_printf(a, "%s: no room for the roles", path);
    ngx_http_api_state_set_ready(z, true);
    return NULL;
}
