/* The object store as services see it, scratch folders, and the collection of what nothing refers to any more. */
#include "svc/object.h"

#include "svc/call.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIR_MODE = 0750, WALK_FDS = 16, COLLECT_PAGE = 500, LINK_S = 300, STEP_S = 3600, GOOD_S = 12 * 3600 };

#define ABANDONED_US (24 * 3600 * ST_SECOND) /* no work lasts as long, so whoever made it is dead */

struct st_store st_store_of_options(void)
{
    return (struct st_store){
        .kind = st_option("store"),
        .dir = st_option("object_dir"),
        .url = st_option("s3_url"),
        .region = st_option("s3_region"),
        .key_id = st_option("s3_key_id"),
        .secret = st_option("s3_secret"),
    };
}

/* --- places on this machine --- */

static const char *folder(struct st_call *call, const char *kind, const char *name)
{
    const char *parent = st_printf(call->arena, "%s/%s", st_option("object_dir"), kind);
    const char *path = st_printf(call->arena, "%s/%s", parent, name);
    (void)mkdir(parent, DIR_MODE); /* they may be there; a real failure shows when a file is made in it */
    (void)mkdir(path, DIR_MODE);
    return path;
}

static int remove_one(const char *path, const struct stat *st ST_UNUSED, int type ST_UNUSED, struct FTW *ftw ST_UNUSED)
{
    return remove(path);
}

static void remove_tree(void *path)
{
    (void)nftw(path, remove_one, WALK_FDS, FTW_DEPTH | FTW_PHYS);
}

const char *st_scratch(struct st_call *call)
{
    if (!call->p->scratch) {
        char *path = st_strdup(call->arena, folder(call, ".scratch", st_new_id(call->arena)));
        st_defer(call->arena, remove_tree, path);
        call->p->scratch = path;
    }
    return call->p->scratch;
}

const char *st_cache_dir(struct st_call *call)
{
    return folder(call, ".cache", call->p->worker->run->service->name);
}

/* --- objects --- */

static int failed(struct st_call *call, int r, const char *key, const char *why)
{
    return st_fail_here(call, r, "The object %s: %s.", key, why);
}

int st_object_put_file(struct st_call *call, const char *key, const char *path)
{
    const struct st_store s = st_store_of_options();
    const char *why;
    int r = st_store_put(&s, call->arena, key, path, &why);
    return r < 0 ? failed(call, r, key, why) : 0;
}

int st_object_put(struct st_call *call, const char *key, const void *data, size_t len)
{
    const char *path = st_printf(call->arena, "%s/%s", st_scratch(call), st_new_id(call->arena));
    FILE *f = fopen(path, "we");
    bool bad = !f || fwrite(data, 1, len, f) != len;
    if ((f && fclose(f)) || bad)
        return failed(call, ST_E_UNAVAILABLE, key, strerror(errno));
    return st_object_put_file(call, key, path);
}

int st_object_get(struct st_call *call, const char *key, const char **ret_path)
{
    const struct st_store s = st_store_of_options();
    const char *why, *name = strrchr(key, '/');
    const char *path =
        st_printf(call->arena, "%s/%s.%s", st_scratch(call), st_new_id(call->arena), name ? name + 1 : key);
    int r = st_store_get(&s, call->arena, key, path, &why);
    if (r < 0)
        return failed(call, r, key, why);
    *ret_path = path;
    return 0;
}

int st_object_json(struct st_call *call, const char *key, json_t **ret)
{
    const char *path, *why;
    int r = st_object_get(call, key, &path);
    if (r == 0 && (r = st_json_load(call->arena, path, ret, &why)) < 0)
        return failed(call, r, key, why);
    return r;
}

static int note_key(void *keys, const struct st_store_entry *e)
{
    json_array_append_new(keys, json_string(e->key));
    return 0;
}

int st_object_remove(struct st_call *call, const char *key)
{
    const struct st_store s = st_store_of_options();
    const char *why = "";
    json_t *keys = st_json_keep(call->arena, json_array()), *one;
    size_t i;
    int r = 0;
    if (st_store_is_prefix(key))
        r = st_store_list(&s, call->arena, key, note_key, keys, &why);
    else
        json_array_append_new(keys, json_string(key));
    json_array_foreach (keys, i, one)
        if (r == 0)
            r = st_store_remove(&s, call->arena, json_string_value(one), &why);
    return r < 0 ? failed(call, r, key, why) : 0;
}

int st_reply_object(struct st_call *call, const char *content_type, const char *key)
{
    const struct st_store s = st_store_of_options();
    const char *link = st_store_link(&s, call->arena, key, content_type, LINK_S);
    if (link)
        st_header(call, "X-Object-Url", link); /* nginx.conf.d/70-server.conf fetches it */
    st_header(call, "X-Accel-Redirect", link ? "/_remote" : st_printf(call->arena, "/_objects/%s", key));
    return st_reply_text(call, 200, content_type, "");
}

/* --- links --- */

static const char *signature(struct st_call *call, const char *key, const char *expires, const char *viewer)
{
    return st_keyed_hash(call, "object", st_printf(call->arena, "%s\n%s\n%s", expires, viewer, key));
}

/* The same for an hour, so that a page that is loaded again finds in the browser what it had. */
const char *st_object_link(struct st_call *call, const char *path, const char *key)
{
    const char *expires = st_i64(call->arena, (st_now() / ST_SECOND / STEP_S + 1) * STEP_S + GOOD_S);
    const char *viewer = call->job ? "" : call->user_id;
    return st_printf(call->arena, "%s%cexpires=%s%s%s&signature=%s", path, strchr(path, '?') ? '&' : '?', expires,
                     *viewer ? "&viewer=" : "", viewer, signature(call, key, expires, viewer));
}

static bool is_linked(struct st_call *call, const char *key, const char *viewer)
{
    const char *given = st_param(call, "signature");
    int64_t expires = st_param_int(call, "expires");
    if (!given || expires <= st_now() / ST_SECOND)
        return false;
    const char *mac = signature(call, key, st_i64(call->arena, expires), viewer);
    return strlen(given) == strlen(mac) && st_equal_secret(given, mac, strlen(mac));
}

int st_object_admit(struct st_call *call, const char *key)
{
    const char *viewer = st_param(call, "viewer");
    if (*call->user_id)
        return 0;
    if (!is_linked(call, key, viewer ? viewer : ""))
        return st_fail(call, ST_E_UNAUTHENTICATED, "A token is needed, or a link that is good.");
    call->user_id = viewer ? viewer : "";
    return 0;
}

/* --- what nothing refers to --- */

struct collection {
    struct st_worker *w;
    const struct st_objects *objects;
    struct st_store store;
    int64_t until; /* what was put later is left alone */
    json_t *keys;  /* a page of candidates */
    int64_t removed;
    const char *why;
};

static int remove_unreferenced(struct collection *c)
{
    struct st_arena a = {0};
    struct st_rows *rows;
    json_t *one;
    size_t i;
    const char *page = st_json_text(&a, c->keys), *why = "";
    int r = st_pg_query(c->w->pg, &a, c->objects->referenced, ST_PARAMS(page), &rows);
    json_t *kept = st_json_keep(&a, json_object());
    for (int row = 0; r == 0 && row < st_rows_count(rows); row++)
        json_object_set_new(kept, st_cell(rows, row, 0), json_true());
    json_array_foreach (c->keys, i, one) {
        if (r == 0 && !json_object_get(kept, json_string_value(one))) {
            r = st_store_remove(&c->store, &a, json_string_value(one), &why);
            c->removed += r == 0;
        }
    }
    if (r < 0)
        c->why = st_strdup(&c->w->arena, why);
    json_array_clear(c->keys);
    st_arena_release(&a);
    return r;
}

static int consider(void *ctx, const struct st_store_entry *e)
{
    struct collection *c = ctx;
    if (atomic_load(&c->w->run->stopping))
        return ST_E_CANCELLED;
    if (e->put_at > c->until)
        return 0;
    json_array_append_new(c->keys, json_string(e->key));
    return json_array_size(c->keys) < COLLECT_PAGE ? 0 : remove_unreferenced(c);
}

/* Folders and files whose names are ids, and whose makers have died. */
static void remove_abandoned(struct st_worker *w, const char *kind)
{
    const char *path = st_printf(&w->arena, "%s/%s", st_option("object_dir"), kind);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        int64_t made = st_uuid_time(e->d_name);
        if (made && made < st_now() - ABANDONED_US)
            remove_tree(st_printf(&w->arena, "%s/%s", path, e->d_name));
    }
    if (d)
        closedir(d);
}

int st_objects_collect(struct st_worker *w)
{
    int r = 0;
    remove_abandoned(w, ".scratch");
    remove_abandoned(w, ".part");
    for (const struct st_objects *o = w->run->service->objects; o && o->prefix && r == 0; o++) {
        struct collection c = {.w = w,
                               .objects = o,
                               .store = st_store_of_options(),
                               .until = st_now() - st_option_int("object_grace_hours") * 3600 * ST_SECOND,
                               .keys = st_json_keep(&w->arena, json_array()),
                               .why = ""};
        r = st_store_list(&c.store, &w->arena, o->prefix, consider, &c, &c.why);
        if (r == 0)
            r = remove_unreferenced(&c);
        if (r < 0 && r != ST_E_CANCELLED)
            st_log(ST_LOG_WARNING, "Objects cannot be collected", ST_S("prefix", o->prefix), ST_S("reason", c.why),
                   ST_S("error", st_err_code(r)));
        if (c.removed)
            st_log(ST_LOG_INFO, "Objects that nothing refers to were removed", ST_S("prefix", o->prefix),
                   ST_I("objects", c.removed));
    }
    return r;
}
