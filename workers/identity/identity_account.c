/* Accounts: register, verify, read, change, delete. */
#include "identity/identity.h"
#include "io/crypto.h"
#include "io/password.h"
#include "io/yaml.h"

enum { TOKEN_BYTES = 16 }; /* 128 bits */

static const char *hash_of(struct st_call *call, const char *token)
{
    return st_sha256_hex(call->arena, token, strlen(token));
}

/* A new verification mail; earlier ones stop working. */
static void request_verification(struct st_call *call, const char *user_id, const char *email, const char *name,
                                 const char *locale)
{
    const char *token = st_secret(call->arena, TOKEN_BYTES);
    st_exec(call, "delete from email_tokens where user_id = $1 and purpose = 'verify'", user_id);
    st_exec(call,
            "insert into email_tokens (token_hash, user_id, purpose, expires_at) "
            "values ($1, $2, 'verify', now() + interval '24 hours')",
            hash_of(call, token), user_id);
    st_emit(call, "EmailVerificationRequested", user_id,
            json_pack("{s:s, s:s, s:s, s:s, s:s}", "userId", user_id, "email", email, "displayName", name, "locale",
                      locale, "token", token));
}

/*
 * The address is taken. Its owner is told by mail; the caller learns nothing. An account that was never verified
 * belongs to nobody yet: whoever can read the mailbox gets it, with the password given last, so that registering
 * somebody else's address beforehand gains nothing.
 */
static void register_again(struct st_call *call, const json_t *user, const char *name, const char *locale,
                           const char *password_hash)
{
    const char *id = st_str(user, "user_id");
    if (st_json_bool(user, "verified", true)) {
        st_emit(call, "UserRegistrationRepeated", id,
                json_pack("{s:s, s:s, s:s, s:s}", "userId", id, "email", st_str(user, "email"), "displayName",
                          st_str(user, "display_name"), "locale", st_str(user, "locale")));
        return;
    }
    st_exec(call, "update credentials set password_hash = $2 where user_id = $1", id, password_hash);
    request_verification(call, id, st_str(user, "email"), name, locale);
}

/* The account of an address, ST_E_NOT_FOUND; until the transaction ends nobody else can open one with it. */
static int find_by_email(struct st_call *call, const char *email, json_t **ret)
{
    st_exec(call, "select pg_advisory_xact_lock(hashtextextended('email ' || lower($1), 0))", email);
    return st_row(call, ret,
                  "select user_id, email, display_name, locale, verified_at is not null as verified from users "
                  "where lower(email) = lower($1) and state <> 'deleted' for update",
                  email);
}

/* Credentials first: they are what makes an account that a key can be given to. */
static void open_account(struct st_call *call, const char *id, const char *email, const char *name, const char *locale,
                         const char *role, const char *source, const char *password_hash)
{
    st_exec(call, "insert into credentials (user_id, password_hash) values ($1, $2)", id, password_hash);
    st_emit(call, "UserRegistered", id,
            json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "userId", id, "email", email, "displayName", name, "role", role,
                      "registrationSource", source, "locale", locale));
}

int identity_register(struct st_call *call)
{
    const char *email = st_str(call->body, "email"), *name = st_str(call->body, "displayName");
    const char *locale = st_json_str(call->body, "locale", "en"), *hash;
    int r = st_password_hash(call->arena, st_str(call->body, "password"), &hash);
    if (r < 0)
        return r;
    json_t *user;
    r = find_by_email(call, email, &user);
    if (r < 0 && r != ST_E_NOT_FOUND)
        return r;
    if (r == 0) {
        register_again(call, user, name, locale, hash);
    } else {
        const char *id = st_new_id(call->arena);
        open_account(call, id, email, name, locale, "author", "self", hash);
        request_verification(call, id, email, name, locale);
    }
    return st_reply(call, 202, NULL);
}

int identity_verify_email(struct st_call *call)
{
    json_t *token;
    int r = st_row(call, &token,
                   "delete from email_tokens where token_hash = $1 and purpose = 'verify' and expires_at > now() "
                   "returning user_id",
                   hash_of(call, st_str(call->body, "token")));
    if (r == ST_E_NOT_FOUND)
        return st_fail(call, ST_E_INVALID, "The token is unknown, used or expired; register again for a new one.");
    if (r < 0)
        return r;
    const char *id = st_str(token, "user_id");
    st_emit(call, "EmailVerified", id, json_pack("{s:s}", "userId", id));
    return st_reply(call, 204, NULL);
}

/* The account as its owner sees it, with its ETag. */
static int reply_user(struct st_call *call, int status, const char *user_id)
{
    json_t *user;
    int r = st_row(call, &user,
                   "select user_id as \"userId\", email, verified_at is not null as \"emailVerified\", "
                   "display_name as \"displayName\", locale, to_json(roles) as roles, created_at as \"createdAt\", "
                   "updated_at as \"updatedAt\", version from users where user_id = $1 and state = 'active'",
                   user_id);
    if (r < 0)
        return r;
    st_etag(call, st_json_int(user, "version", 0));
    json_object_del(user, "version");
    return st_reply_keep(call, status, user);
}

/* Roles are authorization's, from roles.yaml; a name that is none is told here, where somebody waits. */
static int require_role(struct st_call *call, const char *role)
{
    struct st_yaml file;
    const char *why = "";
    int r = st_yaml_load(call->arena, st_printf(call->arena, "%s/roles.yaml", st_option("config_dir")), &file, &why);
    if (r < 0)
        return st_fail(call, r, "%s", why);
    if (!json_object_get(json_object_get(file.root, "roles"), role))
        return st_fail(call, ST_E_UNPROCESSABLE, "There is no role %s.", role);
    return 0;
}

/* The operator's way: a verified account, with the roles given; authorization learns the first from the event. */
int identity_create_user(struct st_call *call)
{
    const char *email = st_str(call->body, "email"), *name = st_str(call->body, "displayName");
    const char *locale = st_json_str(call->body, "locale", "en"), *hash;
    const json_t *roles = json_object_get(call->body, "roles");
    const char *role = json_array_size(roles) ? json_string_value(json_array_get(roles, 0)) : "author";
    if (json_array_size(roles) > 1)
        return st_fail(call, ST_E_UNPROCESSABLE, "Create the account with one role and assign the others to it.");
    int r;
    if ((r = require_role(call, role)) < 0 ||
        (r = st_password_hash(call->arena, st_str(call->body, "password"), &hash)) < 0)
        return r;
    json_t *user;
    r = find_by_email(call, email, &user);
    if (r != ST_E_NOT_FOUND)
        return r < 0 ? r : st_fail(call, ST_E_UNIQUE, "There is an account with this address.");
    const char *id = st_new_id(call->arena);
    open_account(call, id, email, name, locale, role, "operator", hash);
    st_emit(call, "EmailVerified", id, json_pack("{s:s}", "userId", id));
    return reply_user(call, 201, id);
}

int identity_get_me(struct st_call *call)
{
    return reply_user(call, 200, call->user_id);
}

int identity_update_me(struct st_call *call)
{
    json_t *me;
    int r = st_row(call, &me, "select version from users where user_id = $1 and state = 'active' for update",
                   call->user_id);
    if (r < 0 || (r = st_if_match(call, st_json_int(me, "version", 0))) < 0)
        return r;
    json_t *changed = json_copy(call->body);
    json_object_set_new(changed, "userId", json_string(call->user_id));
    st_emit(call, "UserProfileUpdated", call->user_id, changed);
    return reply_user(call, 200, call->user_id);
}

/*
 * The row stays as a tombstone without personal data, so that nothing that refers to it breaks. What can wait is done
 * when UserDeleted comes back, as in every service.
 */
int identity_delete_me(struct st_call *call)
{
    int n, r = st_exec_one(call, ST_E_NOT_FOUND, "select from users where user_id = $1 and state = 'active' for update",
                           call->user_id);
    if (r < 0)
        return r;
    st_exec(call, "delete from credentials where user_id = $1", call->user_id);
    st_exec(call, "delete from email_tokens where user_id = $1", call->user_id);
    if ((r = identity_end_sessions(call, call->user_id, NULL, "deleted")) < 0 ||
        (r = identity_revoke_api_keys(call, call->user_id, NULL, &n)) < 0)
        return r;
    st_exec(call, "delete from user_keys where user_id = $1", call->user_id);
    identity_open_erasure(call, call->user_id);
    st_emit(call, "UserDeleted", call->user_id, json_pack("{s:s}", "userId", call->user_id));
    return st_reply(call, 204, NULL);
}
