/*
 * The credentials of a request: which were sent, what an operation's security makes of them, API keys, the rule against
 * forged requests from other sites, and what a refusal says (RFC 6750).
 */
#include "ngx_http_api_auth.h"

enum { API_KEY_MIN = 16, API_KEY_MAX = 256, CHALLENGE_MAX = 512, KNOWN_KEYS = 256 };

/* --- taking them out of the headers --- */

static bool uses(const struct st_api_operation *op, const struct st_api_scheme *s)
{
    for (int i = 0; op && i < op->n_alternatives; i++)
        for (int k = 0; k < op->alternatives[i].n_schemes; k++)
            if (op->alternatives[i].schemes[k] == s)
                return true;
    return false;
}

/* Underscore and dash are the same to servers that make environment variables of headers. */
static bool is_header(const ngx_table_elt_t *h, const char *name)
{
    size_t i = 0;
    if (!h->key.len || (name[0] != '-' && (h->key.data[0] | 0x20) != (name[0] | 0x20)))
        return false;
    for (; name[i] && i < h->key.len; i++)
        if ((h->key.data[i] == '_' ? '-' : ngx_tolower(h->key.data[i])) != ngx_tolower((u_char)name[i]))
            return false;
    return !name[i] && i == h->key.len;
}

static void take(ngx_http_api_credential_t *to, const ngx_str_t *value)
{
    if (!to->n++)
        to->value = *value;
}

/* Moves the cookie of that name out of a Cookie header, which is shortened where it stands. */
static void take_cookie(ngx_http_request_t *r, ngx_table_elt_t *h, const char *name, ngx_http_api_credential_t *to)
{
    size_t name_len = strlen(name), from = 0, n = 0;
    size_t room = 2 * h->value.len; /* a separator without its space gets one */
    u_char *rest = ngx_pnalloc(r->pool, room + 1);
    if (!rest) { /* better none than one too many */
        h->value.len = 0;
        return;
    }
    while (from < h->value.len) {
        u_char *at = h->value.data + from, *end = memchr(at, ';', h->value.len - from);
        size_t len = end ? (size_t)(end - at) : h->value.len - from;
        from += len + 1;
        while (len && *at == ' ') {
            at++;
            len--;
        }
        if (len > name_len && ngx_memcmp(at, name, name_len) == 0 && at[name_len] == '=') {
            ngx_str_t value = {len - name_len - 1, at + name_len + 1};
            take(to, &value);
        } else if (len) {
            n = (size_t)(ngx_snprintf(rest + n, room - n, "%s%*s", n ? "; " : "", len, at) - rest);
        }
    }
    h->value = (ngx_str_t){n, rest};
    rest[n] = '\0';
}

/* What the operation does not use is thrown away: it is no business of the service, nor of the log. */
static void take_scheme(ngx_http_request_t *r, const struct st_api_scheme *s, ngx_http_api_credential_t *to)
{
    for (ngx_list_part_t *part = &r->headers_in.headers.part; part; part = part->next) {
        ngx_table_elt_t *h = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (s->kind == ST_SCHEME_COOKIE && is_header(&h[i], "cookie")) {
                take_cookie(r, &h[i], s->param, to);
            } else if (s->kind == ST_SCHEME_KEY && is_header(&h[i], s->param)) {
                take(to, &h[i].value);
                h[i].value = (ngx_str_t){0, (u_char *)""};
            }
        }
    }
}

/*
 * nginx keeps pointers to the elements of Cookie headers beside the list, so values are changed where they stand. A
 * header that has become empty goes on as such.
 */
void ngx_http_api_take_credentials(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    const ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_api_core_module);
    for (const struct st_api_scheme *s = amcf->api->schemes; s; s = s->next) {
        ngx_http_api_credential_t unused = {.n = 0};
        ngx_http_api_credential_t *mine = s->kind == ST_SCHEME_COOKIE ? &ctx->cookie : &ctx->key;
        if (s->kind != ST_SCHEME_BEARER)
            take_scheme(r, s, uses(ctx->match.operation, s) ? mine : &unused);
    }
}

/* --- which alternative holds --- */

static bool presented(const ngx_http_api_ctx_t *ctx, const struct st_api_scheme *s)
{
    switch (s->kind) {
    case ST_SCHEME_BEARER: return ctx->bearer.len > 0;
    case ST_SCHEME_COOKIE: return ctx->cookie.n > 0;
    default: return ctx->key.n > 0;
    }
}

const struct st_api_alternative *ngx_http_api_auth_choose(ngx_http_api_ctx_t *ctx)
{
    const struct st_api_operation *op = ctx->match.operation;
    const struct st_api_alternative *anonymous = NULL;
    for (int i = 0; i < op->n_alternatives; i++) {
        const struct st_api_alternative *alt = &op->alternatives[i];
        int k = 0;
        while (k < alt->n_schemes && presented(ctx, alt->schemes[k]))
            k++;
        if (k < alt->n_schemes || (!alt->n_schemes && anonymous))
            continue;
        ctx->alternative = (ngx_uint_t)i;
        if (alt->n_schemes)
            return alt;
        anonymous = alt; /* only when nothing that was sent decides */
    }
    return anonymous;
}

/* --- requests that other sites make the browser send --- */

static const ngx_str_t *only_header(const ngx_http_request_t *r, const char *name, ngx_uint_t *ret_count)
{
    const ngx_str_t *first = NULL;
    *ret_count = 0;
    for (const ngx_list_part_t *part = &r->headers_in.headers.part; part; part = part->next) {
        const ngx_table_elt_t *h = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++)
            if (is_header(&h[i], name) && !(*ret_count)++)
                first = &h[i].value;
    }
    return first;
}

/* Origin: the scheme and the host that the request itself came to. Behind TLS that ends elsewhere both schemes are. */
static bool is_own_origin(const ngx_http_request_t *r, const ngx_str_t *origin)
{
    static const char *const schemes[] = {"https://", "http://"};
    const ngx_table_elt_t *host = r->headers_in.host;
    bool tls = false;
#if (NGX_HTTP_SSL)
    tls = r->connection->ssl != NULL;
#endif
    for (size_t i = 0; host && i < (tls ? 1 : ST_COUNT(schemes)); i++) {
        size_t n = strlen(schemes[i]);
        if (origin->len == n + host->value.len && ngx_strncmp(origin->data, schemes[i], n) == 0 &&
            ngx_strncasecmp(origin->data + n, host->value.data, host->value.len) == 0)
            return true;
    }
    return false;
}

bool ngx_http_api_auth_forged(const ngx_http_request_t *r)
{
    ngx_uint_t n_site, n_origin;
    if (r->method & (NGX_HTTP_GET | NGX_HTTP_HEAD | NGX_HTTP_OPTIONS))
        return false;
    const ngx_str_t *site = only_header(r, "sec-fetch-site", &n_site), *origin = only_header(r, "origin", &n_origin);
    if (n_site > 1 || n_origin > 1)
        return true;
    if (site)
        return !(site->len == 11 && ngx_strncmp(site->data, "same-origin", 11) == 0) &&
               !(site->len == 4 && ngx_strncmp(site->data, "none", 4) == 0);
    return !origin || !is_own_origin(r, origin);
}

/* --- API keys --- */

/*
 * A key that this worker has looked up, joined with what the state says of its owner. It holds while the state's marks
 * of the key and the owner stand where they stood, and until one of what was found ends.
 */
typedef struct {
    const ngx_http_api_main_conf_t *amcf; /* whose permissions these are; NULL: free */
    u_char hash[2 * ST_SHA256_LEN];
    uint16_t key_mark, user_mark;
    ngx_atomic_uint_t marks;
    int64_t until, look_again; /* unix seconds: of the key; and of all */
    ngx_str_t id, user, roles, tier;
    uint64_t permissions[NGX_HTTP_API_WORDS];
    u_char value[NGX_HTTP_API_KEY_MAX];
    ngx_http_api_override_t override;
} known_key_t;

static known_key_t known_keys[KNOWN_KEYS];

static ngx_str_t field(ngx_str_t *rest)
{
    u_char *bar = ngx_strlchr(rest->data, rest->data + rest->len, '|');
    ngx_str_t out = {bar ? (size_t)(bar - rest->data) : rest->len, rest->data};
    rest->data += out.len + (bar != NULL);
    rest->len -= out.len + (bar != NULL);
    return out;
}

static ngx_int_t keep(ngx_http_request_t *r, ngx_str_t *to, const ngx_str_t *from)
{
    u_char *p = ngx_pnalloc(r->pool, from->len + 1);
    if (!p)
        return NGX_ERROR;
    *ngx_cpymem(p, from->data, from->len) = '\0';
    *to = (ngx_str_t){from->len, p};
    return NGX_OK;
}

/* With a token besides, the token says who; both must permit. */
static ngx_int_t identify(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx, const known_key_t *k)
{
    const ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_api_core_module);
    ngx_http_api_identity_t *id = &ctx->identity;
    ngx_str_t none = ngx_string("");
    bool alone = !id->user.len;
    for (ngx_uint_t w = 0; w < amcf->words; w++)
        id->permissions[w] = alone ? k->permissions[w] : id->permissions[w] & k->permissions[w];
    id->expires = alone ? k->until : ngx_min(id->expires, k->until);
    if (keep(r, &id->key, &k->id) != NGX_OK)
        return NGX_ERROR;
    if (alone && (keep(r, &id->user, &k->user) != NGX_OK || keep(r, &id->roles, &k->roles) != NGX_OK ||
                  keep(r, &id->tier, &k->tier) != NGX_OK || keep(r, &id->session, &none) != NGX_OK))
        return NGX_ERROR;
    return NGX_OK;
}

bool ngx_http_api_auth_key_hash(const ngx_http_api_ctx_t *ctx, u_char out[2 * ST_SHA256_LEN])
{
    unsigned char digest[ST_SHA256_LEN];
    const ngx_str_t *value = &ctx->key.value;
    if (value->len < API_KEY_MIN || value->len > API_KEY_MAX || !ngx_http_api_plain(value->data, value->len))
        return false;
    st_sha256(value->data, value->len, digest);
    (void)ngx_hex_dump(out, digest, sizeof(digest));
    return true;
}

/* Asks the state, which takes its lock. Marks are read first: what changes meanwhile is looked up again. */
static ngx_int_t learn_key(ngx_http_api_main_conf_t *amcf, known_key_t *k, const ngx_str_t *hash, const char **ret_why)
{
    const ngx_http_api_zone_t *z = &amcf->zones[NGX_HTTP_API_ZONE_STATE];
    ngx_str_t rest, none = ngx_string(""), fields[5];
    k->amcf = NULL;
    k->key_mark = ngx_http_api_mark(hash);
    ngx_atomic_uint_t before = ngx_http_api_marks(z, k->key_mark, 0);
    if (!ngx_http_api_state_api_key(z, hash, ngx_time(), k->value, &rest, &k->until)) {
        *ret_why = "the key is not known";
        return NGX_DECLINED;
    }
    for (size_t i = 0; i < ST_COUNT(fields); i++)
        fields[i] = field(&rest);
    k->id = fields[0];
    k->user = fields[1];
    k->user_mark = ngx_http_api_mark(&k->user);
    k->marks = ngx_http_api_marks(z, k->key_mark, k->user_mark);
    ngx_http_api_state_lookup(z, &none, &k->user, ngx_time(), &k->override);
    k->roles = k->override.has_roles ? k->override.roles : fields[2];
    k->tier = k->override.has_tier ? k->override.tier : fields[3];
    k->look_again = ngx_min(k->until, k->override.until);
    if (ngx_http_api_permissions(amcf, &k->roles, k->permissions) != NGX_OK)
        return NGX_DECLINED;
    ngx_http_api_scopes(amcf, &fields[4], k->permissions);
    ngx_memcpy(k->hash, hash->data, hash->len);
    if (before == ngx_http_api_marks(z, k->key_mark, 0)) /* else it serves this request alone */
        k->amcf = amcf;
    return NGX_OK;
}

ngx_int_t ngx_http_api_auth_key(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx, const char **ret_why)
{
    ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_api_core_module);
    const ngx_http_api_zone_t *z = &amcf->zones[NGX_HTTP_API_ZONE_STATE];
    u_char text[2 * ST_SHA256_LEN];
    ngx_str_t hash = {sizeof(text), text};
    *ret_why = NULL;
    if (!ngx_http_api_state(z)->ready)
        return NGX_DECLINED;
    if (!ngx_http_api_auth_key_hash(ctx, text)) {
        *ret_why = "the key is not known";
        return NGX_DECLINED;
    }
    known_key_t *k = &known_keys[ngx_http_api_mark(&hash) % KNOWN_KEYS];
    bool known = k->amcf == amcf && ngx_memcmp(k->hash, text, sizeof(text)) == 0 && ngx_time() < k->look_again &&
                 k->marks == ngx_http_api_marks(z, k->key_mark, k->user_mark);
    ngx_int_t rc = known ? NGX_OK : learn_key(amcf, k, &hash, ret_why);
    return rc == NGX_OK ? identify(r, ctx, k) : rc;
}

/* --- what a refusal says --- */

/* A challenge for each kind of credential that the operation takes: the error stands with those that were sent. */
ngx_int_t ngx_http_api_challenge(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx, const char *error,
                                 const char *description, const char *scope)
{
    const ngx_http_api_auth_conf_t *conf = ngx_http_get_module_main_conf(r, ngx_http_api_auth_module);
    const struct st_api_operation *op = ctx->match.operation;
    bool done[2] = {false};
    for (int i = 0; op && i < op->n_alternatives; i++) {
        for (int k = 0; k < op->alternatives[i].n_schemes; k++) {
            const struct st_api_scheme *s = op->alternatives[i].schemes[k];
            bool key = s->kind == ST_SCHEME_KEY, told = error && i == (int)ctx->alternative;
            u_char *p = done[key] ? NULL : ngx_pnalloc(r->pool, CHALLENGE_MAX), *at = p, *end = p + CHALLENGE_MAX;
            if (done[key] || (error && !told))
                continue;
            if (!p)
                return NGX_ERROR;
            done[key] = true;
            at = ngx_slprintf(at, end, "%s realm=\"%V\"", key ? "ApiKey" : "Bearer", &conf->realm);
            if (told)
                at = ngx_slprintf(at, end, ", error=\"%s\", error_description=\"%s\"", error, description);
            if (told && scope)
                at = ngx_slprintf(at, end, ", scope=\"%s\"", scope);
            ngx_str_t value = {(size_t)(at - p), p};
            if (ngx_http_api_add_header(r, "WWW-Authenticate", &value) != NGX_OK)
                return NGX_ERROR;
        }
    }
    return NGX_OK;
}
