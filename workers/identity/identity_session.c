/* Sessions: login, refresh with theft detection, logout, and the tokens they give. */
#include "identity/identity.h"
#include "io/crypto.h"
#include "io/password.h"
#include "io/redis.h"
#include "io/token.h"

enum {
    ACCESS_TTL_S = 600, /* an access token lives ten minutes */
    SESSION_DAYS = 30,
    REUSE_INTERVAL_S = 30, /* a client that lost our answer may repeat its last refresh this long */
    REFRESH_KEY_BYTES = 32
};

static struct st_key *signing_key; /* set once by identity_start, before any thread */

int identity_start(struct st_call *call)
{
    static struct st_arena forever;
    const char *why = "";
    int r = st_key_load(&forever, st_option("token_key_file"), &signing_key, &why);
    if (r < 0)
        return st_fail(call, r, "token_key_file: %s", why);
    if (!st_key_is_private(signing_key))
        return st_fail(call, ST_E_INVALID, "token_key_file: %s holds no private key", st_option("token_key_file"));
    if (st_cache_drop(call, "jwks") < 0)
        st_log(ST_LOG_WARNING, "The edge may tell an older key for a minute"); /* for Redis is away */
    return identity_load_masters(call);
}

int identity_get_jwks(struct st_call *call)
{
    return st_reply(call, 200, json_pack("{s:[o]}", "keys", json_loads(st_key_jwk(signing_key), 0, NULL)));
}

static int issue_access_token(struct st_call *call, const json_t *user, const char *session_id, const char **ret)
{
    int64_t now = st_now() / ST_SECOND;
    json_t *claims = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:O, s:s, s:O}", "iss", st_option("token_issuer"), "aud",
        st_option("token_audience"), "sub", st_str(user, "user_id"), "sid", session_id, "jti", st_new_id(call->arena),
        "iat", (json_int_t)now, "nbf", (json_int_t)now, "exp", (json_int_t)(now + ACCESS_TTL_S), "roles",
        json_object_get(user, "roles"), "tier", st_str(user, "tier"), "sv", json_object_get(user, "version"));
    return st_token_issue(signing_key, st_json_keep(call->arena, claims), call->arena, ret);
}

/* <session id>.<counter>.<MAC by the session's key>: nothing but the key needs to be kept. */
static const char *refresh_token(struct st_call *call, const char *session_id, int64_t counter, const char *key)
{
    unsigned char mac[ST_SHA256_LEN];
    const char *text = st_printf(call->arena, "%s.%lld", session_id, (long long)counter);
    st_hmac_sha256(key, strlen(key), text, strlen(text), mac);
    return st_printf(call->arena, "%s.%s", text, st_b64url(call->arena, mac, sizeof(mac)));
}

/* __Host-: only this host sets it, over TLS alone; Lax: other sites' pages do not send it with their changes. */
static void set_cookie(struct st_call *call, const char *token, int lifetime_s)
{
    st_header(call, "Set-Cookie",
              st_printf(call->arena, "__Host-session=%s; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=%d", token,
                        lifetime_s));
}

static int reply_tokens(struct st_call *call, const json_t *user, const char *session_id, int64_t counter,
                        const char *refresh_key)
{
    const char *access;
    int r = issue_access_token(call, user, session_id, &access);
    if (r < 0)
        return r;
    st_header(call, "Cache-Control", "no-store");
    if (st_json_bool(call->body, "cookie", false))
        set_cookie(call, access, ACCESS_TTL_S);
    return st_reply(call, 200,
                    json_pack("{s:s, s:s, s:s, s:i}", "accessToken", access, "refreshToken",
                              refresh_token(call, session_id, counter, refresh_key), "tokenType", "Bearer", "expiresIn",
                              ACCESS_TTL_S));
}

/* Unknown, wrong, unverified and disabled look alike, in words and in time. */
int identity_login(struct st_call *call)
{
    json_t *user = NULL;
    int r = st_row(call, &user,
                   "select user_id, password_hash, to_json(roles) as roles, coalesce(tier, 'free') as tier, version, "
                   "verified_at is not null and state = 'active' as usable "
                   "from users join credentials using (user_id) left join user_tiers using (user_id) "
                   "where lower(email) = lower($1) and state <> 'deleted'",
                   st_str(call->body, "email"));
    if (r < 0 && r != ST_E_NOT_FOUND)
        return r;
    bool ok = false;
    r = st_password_check(user ? st_str(user, "password_hash") : NULL, st_str(call->body, "password"), &ok);
    if (r < 0)
        return r;
    if (!ok || !st_json_bool(user, "usable", false)) {
        const char *hash = st_keyed_hash(call, "email", st_str(call->body, "email"));
        st_emit(call, "LoginFailed", hash, json_pack("{s:s}", "addressHash", hash));
        return st_refuse(call, ST_E_CREDENTIALS,
                         "The address or the password is wrong, or the address is not confirmed.");
    }
    const char *session_id = st_new_id(call->arena), *key = st_secret(call->arena, REFRESH_KEY_BYTES);
    st_exec(call,
            "insert into sessions (session_id, user_id, refresh_key, address, expires_at) "
            "values ($1, $2, $3, $4, now() + make_interval(days => $5))",
            session_id, st_str(user, "user_id"), key, call->address, st_i64(call->arena, SESSION_DAYS));
    st_emit(call, "UserLoggedIn", st_str(user, "user_id"),
            json_pack("{s:s, s:s, s:s, s:s}", "userId", st_str(user, "user_id"), "sessionId", session_id, "method",
                      "password", "ipHash", st_keyed_hash(call, "address", call->address)));
    return reply_tokens(call, user, session_id, 0, key);
}

/* Splits a refresh token; false when it cannot be one. */
static bool parse_refresh(struct st_call *call, const char *token, const char **ret_session, int64_t *ret_counter)
{
    const char *dot = strchr(token, '.'), *dot2 = dot ? strchr(dot + 1, '.') : NULL;
    if (!dot2)
        return false;
    *ret_session = st_strndup(call->arena, token, (size_t)(dot - token));
    return st_is_uuid(*ret_session) &&
           st_parse_i64(st_strndup(call->arena, dot + 1, (size_t)(dot2 - dot - 1)), 0, INT64_MAX, ret_counter);
}

static int refuse_refresh(struct st_call *call)
{
    return st_refuse(call, ST_E_CREDENTIALS, "The refresh token is not valid any more; log in again.");
}

/*
 * The current token rotates. The one before it, repeated soon, hands the current one back: its answer was lost.
 * Anything older was used twice, so somebody has stolen it: the session ends for both.
 */
int identity_refresh(struct st_call *call)
{
    const char *given = st_str(call->body, "refreshToken"), *session_id;
    int64_t counter;
    json_t *s;
    if (!parse_refresh(call, given, &session_id, &counter))
        return refuse_refresh(call);
    int r =
        st_row(call, &s,
               "select s.user_id, s.refresh_key, s.counter, extract(epoch from now() - s.rotated_at)::bigint as age, "
               "to_json(u.roles) as roles, coalesce(t.tier, 'free') as tier, u.version "
               "from sessions s join users u using (user_id) left join user_tiers t using (user_id) where s.session_id "
               "= $1 and s.ended_at is null "
               "and s.expires_at > now() and u.state = 'active' for update of s",
               session_id);
    if (r == ST_E_NOT_FOUND)
        return refuse_refresh(call);
    if (r < 0)
        return r;
    const char *key = st_str(s, "refresh_key"), *expected = refresh_token(call, session_id, counter, key);
    int64_t current = st_json_int(s, "counter", 0);
    if (strlen(given) != strlen(expected) || !st_equal_secret(given, expected, strlen(expected)) || counter > current)
        return refuse_refresh(call);
    if (counter == current) {
        st_exec(call, "update sessions set counter = counter + 1, rotated_at = now() where session_id = $1",
                session_id);
        current++;
    } else if (counter < current - 1 || st_json_int(s, "age", 0) > REUSE_INTERVAL_S) {
        r = identity_end_sessions(call, st_str(s, "user_id"), session_id, "stolen");
        return r < 0 ? r : refuse_refresh(call);
    }
    return reply_tokens(call, s, session_id, current, key);
}

int identity_end_sessions(struct st_call *call, const char *user_id, const char *session_id, const char *reason)
{
    json_t *ended, *one;
    size_t i;
    int r = st_list(call, &ended,
                    "update sessions set ended_at = now(), end_reason = $3 where user_id = $1 and ended_at is null "
                    "and ($2::uuid is null or session_id = $2::uuid) returning session_id",
                    user_id, session_id, reason);
    if (r < 0)
        return r;
    json_array_foreach (ended, i, one) {
        const char *id = st_str(one, "session_id");
        st_emit(call, "SessionRevoked", user_id,
                json_pack("{s:s, s:s, s:s}", "userId", user_id, "sessionId", id, "reason", reason));
        st_enqueue(call, "publish_revocation", id, 0,
                   json_pack("{s:s, s:I}", "sessionId", id, "until",
                             (json_int_t)(st_now() / ST_SECOND + ACCESS_TTL_S + ST_EDGE_TOLERANCE_S)));
    }
    return 0;
}

int identity_logout(struct st_call *call)
{
    int r = identity_end_sessions(call, call->user_id, call->session_id, "logout");
    if (r < 0)
        return r;
    set_cookie(call, "", 0);
    return st_reply(call, 204, NULL);
}

int identity_publish_revocation(struct st_call *call)
{
    struct st_redis *redis = st_call_redis(call);
    struct st_reply reply;
    const char *session_id = st_str(call->body, "sessionId");
    const char *until = st_i64(call->arena, st_json_int(call->body, "until", 0));
    const char *message = st_json_text(
        call->arena, st_json_keep(call->arena, json_pack("{s:s, s:s, s:O}", "kind", "session", "sessionId", session_id,
                                                         "until", json_object_get(call->body, "until"))));
    int r = st_redis_cmd(redis, call->arena, &reply, "ZADD", "st:edge:revoked", until, session_id, NULL);
    if (r == 0)
        r = st_redis_cmd(redis, call->arena, &reply, "PUBLISH", "st:edge", message, NULL);
    if (r == 0)
        r = st_redis_cmd(redis, call->arena, &reply, "ZREMRANGEBYSCORE", "st:edge:revoked", "-inf",
                         st_i64(call->arena, st_now() / ST_SECOND), NULL);
    return r;
}

int identity_sweep(struct st_call *call)
{
    st_exec(call, "delete from email_tokens where expires_at < now()");
    st_exec(call, "delete from sessions where expires_at < now() - interval '30 days'");
    st_exec(call, "delete from api_keys where least(expires_at, revoked_at) < now() - interval '30 days'");
    return 0;
}
