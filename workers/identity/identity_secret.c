/*
 * The users' keys: one for each user, which seals what events hold of them, wrapped by a master key. Destroying it
 * makes all of that unreadable at once, wherever it is stored.
 *
 * master_key_file has a master key on each line, as 64 hex digits: the first wraps, all unwrap. To rotate, put a new
 * one before the others and restart: the job `rewrap_keys` wraps all users' keys anew, and logs when an old line may
 * go.
 */
#include "identity/identity.h"
#include "io/crypto.h"

enum { MASTERS_MAX = 8, MASTER_ID = 16 /* hex digits of its SHA-256 */, REWRAP_BATCH = 200 };

static struct master {
    char id[MASTER_ID + 1];
    unsigned char key[ST_SEAL_KEY];
} masters[MASTERS_MAX]; /* set once by identity_load_masters, before any thread */
static int n_masters;

static bool read_master(const char *line, size_t len, struct master *ret)
{
    unsigned digit;
    if (len != 2 * ST_SEAL_KEY)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!st_is_hex(line[i]))
            return false;
        digit = st_is_digit(line[i]) ? (unsigned)(line[i] - '0') : (unsigned)((line[i] | 0x20) - 'a' + 10);
        ret->key[i / 2] = (unsigned char)(i % 2 ? ret->key[i / 2] << 4 | digit : digit);
    }
    unsigned char digest[ST_SHA256_LEN];
    st_sha256(ret->key, sizeof(ret->key), digest);
    *st_hex_put(ret->id, digest, MASTER_ID / 2) = '\0';
    return true;
}

int identity_load_masters(struct st_call *call)
{
    const char *path = st_option("master_key_file"), *why = "";
    char *text;
    size_t len;
    int r = st_file_read(call->arena, path, &text, &len, &why);
    if (r < 0)
        return st_fail(call, r, "master_key_file: %s", why);
    n_masters = 0;
    for (char *line = text; r == 0 && line < text + len;) {
        size_t n = strcspn(line, "\n");
        if (n && (n_masters == MASTERS_MAX || !read_master(line, n, &masters[n_masters++])))
            r = st_fail(call, ST_E_INVALID, "master_key_file: %s: a line is a key of 64 hex digits, of at most %d",
                        path, MASTERS_MAX);
        line += n + 1;
    }
    explicit_bzero(text, len);
    if (r == 0 && n_masters == 0)
        r = st_fail(call, ST_E_INVALID, "master_key_file: %s holds no key", path);
    if (r == 0)
        st_enqueue(call, "rewrap_keys", "all", 0, json_object());
    return r;
}

static const struct master *find_master(const char *id)
{
    for (int i = 0; i < n_masters; i++)
        if (st_streq(masters[i].id, id))
            return &masters[i];
    return NULL;
}

static const char *bound_to(struct st_call *call, const char *user_id, const char *key_id)
{
    return st_printf(call->arena, "%s\n%s", user_id, key_id);
}

static const char *wrap(struct st_call *call, const struct st_user_key *key)
{
    return st_seal(call->arena, masters[0].key, bound_to(call, key->user_id, key->key_id), key->key, sizeof(key->key));
}

/* Columns: key_id, user_id, wrapped_by, wrapped. */
static int unwrap(struct st_call *call, const struct st_rows *rows, int i, struct st_user_key *ret)
{
    const char *key_id = st_cell(rows, i, 0), *user_id = st_cell(rows, i, 1), *wrapped = st_cell(rows, i, 3);
    const struct master *master = find_master(st_cell(rows, i, 2));
    size_t len = 0;
    if (!master)
        return st_fail(call, ST_E_INTERNAL, "A key is wrapped by %s, which master_key_file does not have.",
                       st_cell(rows, i, 2));
    char *key = st_unseal(call->arena, master->key, bound_to(call, user_id, key_id), wrapped, strlen(wrapped), &len);
    if (!key || len != sizeof(ret->key))
        return st_fail(call, ST_E_INTERNAL, "The wrapped key %s is damaged.", key_id);
    memcpy(ret->key, key, len);
    explicit_bzero(key, len);
    snprintf(ret->key_id, sizeof(ret->key_id), "%s", key_id);
    snprintf(ret->user_id, sizeof(ret->user_id), "%s", user_id);
    return 0;
}

/* The lock on the credentials makes deletion and this wait for each other: a deleted user never gets a key again. */
static int make_key(struct st_call *call, const char *user_id)
{
    struct st_rows *rows;
    struct st_user_key key = {0};
    st_uuid(key.key_id);
    snprintf(key.user_id, sizeof(key.user_id), "%s", user_id);
    st_random(key.key, sizeof(key.key));
    int r = st_rows(call, &rows,
                    "insert into user_keys (key_id, user_id, wrapped_by, wrapped) select $1, u.user_id, $3, $4 "
                    "from (select user_id from credentials where user_id = $2 for share) u "
                    "on conflict (user_id) do nothing",
                    key.key_id, user_id, masters[0].id, wrap(call, &key));
    explicit_bzero(&key, sizeof(key));
    return r;
}

int identity_user_key(struct st_call *call, const char *user_id, const char *key_id, struct st_user_key *ret)
{
    static const char by_user[] = "select key_id, user_id, wrapped_by, wrapped from user_keys where user_id = $1";
    struct st_rows *rows;
    int r = key_id ? st_rows(call, &rows,
                             "select key_id, user_id, wrapped_by, wrapped from user_keys where key_id = $1", key_id)
                   : st_rows(call, &rows, by_user, user_id);
    if (r == 0 && st_rows_count(rows) == 0 && user_id && (r = make_key(call, user_id)) == 0)
        r = st_rows(call, &rows, by_user, user_id);
    if (r < 0)
        return r;
    return st_rows_count(rows) ? unwrap(call, rows, 0, ret) : ST_E_GONE;
}

/* Wraps by the first master key what others have wrapped; in batches, each of its own transaction. */
int identity_rewrap_keys(struct st_call *call)
{
    struct st_rows *rows;
    struct st_user_key key;
    int64_t done = 0;
    int r, n;
    do {
        r = st_rows(call, &rows,
                    "select key_id, user_id, wrapped_by, wrapped from user_keys where wrapped_by <> $1 "
                    "order by key_id limit $2 for update",
                    masters[0].id, st_i64(call->arena, REWRAP_BATCH));
        n = r == 0 ? st_rows_count(rows) : 0;
        for (int i = 0; r == 0 && i < n; i++) {
            if ((r = unwrap(call, rows, i, &key)) == 0)
                st_exec(call,
                        "update user_keys set wrapped_by = $2, wrapped = $3, rewrapped_at = now() where key_id = $1",
                        key.key_id, masters[0].id, wrap(call, &key));
            explicit_bzero(&key, sizeof(key));
        }
        done += n;
        if (r == 0 && n && (r = st_commit(call)) == 0)
            r = st_progress(call, done, -1);
    } while (r == 0 && n == REWRAP_BATCH);
    if (r == 0 && done)
        st_log(ST_LOG_INFO, "The users' keys are wrapped by the first master key alone; older ones may go",
               ST_I("keys", done), ST_S("masterKey", masters[0].id));
    return r;
}
