/* API keys: made, listed, revoked, and what the edge must know of them, in Redis. */
#include "identity/identity.h"
#include "io/crypto.h"
#include "io/redis.h"

enum { KEY_BYTES = 32, PREFIX_LEN = 11, KEYS_MAX = 20 };

/* What a key does not have is absent. */
static void drop_nulls(json_t *key)
{
    static const char *const optional[] = {"scopes", "expiresAt"};
    for (size_t i = 0; i < ST_COUNT(optional); i++)
        if (json_is_null(json_object_get(key, optional[i])))
            json_object_del(key, optional[i]);
}

/* The secret is told once, here; the prefix is to recognise it by later. */
int identity_create_api_key(struct st_call *call)
{
    const char *key = st_printf(call->arena, "stk_%s", st_secret(call->arena, KEY_BYTES)), *id = st_new_id(call->arena);
    const json_t *scopes = json_object_get(call->body, "scopes");
    json_t *made, *user;
    int r = st_row(call, &user, "select user_id from users where user_id = $1 and state = 'active' for update",
                   call->user_id); /* so that the keys are counted by one request at a time */
    if (r < 0)
        return r;
    r = st_row(call, &made,
               "insert into api_keys (key_id, user_id, name, prefix, key_hash, scopes, expires_at) "
               "select $1, $2, $3, $4, $5, case when $6::jsonb is not null then "
               "array(select jsonb_array_elements_text($6::jsonb)) end, $7::timestamptz "
               "where (select count(*) from api_keys where user_id = $2 and revoked_at is null "
               "and (expires_at is null or expires_at > now())) < $8::int "
               "and ($7::timestamptz is null or $7::timestamptz > now()) "
               "returning key_id as \"keyId\", name, prefix, to_json(scopes) as scopes, created_at as \"createdAt\", "
               "expires_at as \"expiresAt\"",
               id, call->user_id, st_str(call->body, "name"), st_strndup(call->arena, key, PREFIX_LEN),
               st_sha256_hex(call->arena, key, strlen(key)), scopes ? st_json_text(call->arena, scopes) : NULL,
               st_json_time(call->arena, call->body, "expiresAt"), st_i64(call->arena, KEYS_MAX));
    if (r == ST_E_NOT_FOUND)
        return st_fail(call, ST_E_UNPROCESSABLE, "A key ends in the future, and there are at most %d keys.", KEYS_MAX);
    if (r < 0)
        return r;
    st_emit(call, "ApiKeyCreated", call->user_id, json_pack("{s:s, s:s}", "userId", call->user_id, "keyId", id));
    st_enqueue(call, "publish_key", id, 0, json_pack("{s:s}", "keyId", id));
    drop_nulls(made);
    json_object_set_new(made, "key", json_string(key));
    st_header(call, "Cache-Control", "no-store");
    return st_reply_keep(call, 201, made);
}

int identity_list_api_keys(struct st_call *call)
{
    json_t *items, *one;
    size_t i;
    int r = st_list(call, &items,
                    "select key_id as \"keyId\", name, prefix, to_json(scopes) as scopes, created_at as \"createdAt\", "
                    "expires_at as \"expiresAt\" from api_keys where user_id = $1 and revoked_at is null "
                    "order by key_id desc limit 100",
                    call->user_id);
    if (r < 0)
        return r;
    json_array_foreach (items, i, one)
        drop_nulls(one);
    return st_reply(call, 200, json_pack("{s:O}", "items", items));
}

int identity_revoke_api_keys(struct st_call *call, const char *user_id, const char *key_id, int *ret_n)
{
    json_t *gone, *one;
    size_t i;
    int r = st_list(call, &gone,
                    "update api_keys set revoked_at = now() where user_id = $1 and revoked_at is null "
                    "and ($2::uuid is null or key_id = $2::uuid) returning key_id",
                    user_id, key_id);
    if (r < 0)
        return r;
    json_array_foreach (gone, i, one) {
        const char *id = st_str(one, "key_id");
        st_emit(call, "ApiKeyRevoked", user_id, json_pack("{s:s, s:s}", "userId", user_id, "keyId", id));
        st_enqueue(call, "publish_key", id, 0, json_pack("{s:s}", "keyId", id));
    }
    *ret_n = (int)i;
    return 0;
}

int identity_delete_api_key(struct st_call *call)
{
    int n = 0, r = identity_revoke_api_keys(call, call->user_id, st_param(call, "keyId"), &n);
    if (r < 0)
        return r;
    return n ? st_reply(call, 204, NULL) : st_fail(call, ST_E_NOT_FOUND, "There is no such key.");
}

/* --- what the edge knows --- */

/* Keys that count or have just gone, of one id or (NULL) of all: hash, JSON, and whether it counts. */
static int select_keys(struct st_call *call, const char *key_id, struct st_rows **ret)
{
    return st_rows(call, ret,
                   "select k.key_hash, json_strip_nulls(json_build_object('keyId', k.key_id, 'userId', k.user_id, "
                   "'roles', u.roles, 'tier', coalesce(t.tier, 'free'), 'scopes', k.scopes, "
                   "'until', extract(epoch from k.expires_at)::bigint)), "
                   "k.revoked_at is null and (k.expires_at is null or k.expires_at > now()) and u.state = 'active' "
                   "from api_keys k join users u using (user_id) left join user_tiers t using (user_id) where "
                   "($1::uuid is null or k.key_id = $1::uuid)",
                   key_id);
}

static int publish(struct st_call *call, const struct st_rows *rows, int i, bool tell)
{
    struct st_redis *redis = st_call_redis(call);
    struct st_reply reply;
    const char *hash = st_cell(rows, i, 0), *key = st_cell(rows, i, 1);
    bool counts = st_streq(st_cell(rows, i, 2), "t");
    const char *message = counts ? st_printf(call->arena, "{\"kind\":\"key\",\"hash\":\"%s\",%s", hash, key + 1)
                                 : st_printf(call->arena, "{\"kind\":\"key-gone\",\"hash\":\"%s\"}", hash);
    int r = counts ? st_redis_cmd(redis, call->arena, &reply, "HSET", "st:edge:keys", hash, key, NULL)
                   : st_redis_cmd(redis, call->arena, &reply, "HDEL", "st:edge:keys", hash, NULL);
    if (r == 0 && tell)
        r = st_redis_cmd(redis, call->arena, &reply, "PUBLISH", "st:edge", message, NULL);
    return r;
}

/* Without a key: all of them, which heals Redis after a loss. One at a time, so that no older state comes last. */
int identity_publish_key(struct st_call *call)
{
    struct st_rows *rows;
    const char *key_id = st_str(call->body, "keyId");
    int r = select_keys(call, key_id, &rows);
    if (r < 0 || (r = st_commit(call)) < 0)
        return r;
    for (int i = 0; r == 0 && i < st_rows_count(rows); i++)
        r = publish(call, rows, i, key_id != NULL);
    return r;
}

int identity_publish_keys(struct st_call *call)
{
    st_enqueue(call, "publish_key", "all", 0, json_object());
    return 0;
}
