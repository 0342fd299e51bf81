/*
 * The keys that tokens are verified with: of files, read with the configuration, and of URLs, fetched by worker 0 into
 * shared memory, from where each worker learns them when their generation moves.
 */
#include "ngx_http_api_auth.h"

enum { JWKS_INTERVAL_S = 300, JWKS_INTERVAL_MIN_S = 1, JWKS_TIMEOUT_MS = 5000, JWKS_TIMEOUT_MAX_MS = 30000 };

/* --- this worker's keys --- */

/* What a token is verified under: in the key of every cache, so that no other rule's verdict is ever taken. */
static void name_rule(ngx_http_api_auth_conf_t *conf)
{
    struct st_arena *a = &conf->fetched;
    const struct st_token_rule *rule = &conf->rule;
    const char *const parts[] = {rule->issuer,  rule->audience, rule->type, rule->user,
                                 rule->session, rule->roles,    rule->tier};
    const char *text = st_printf(a, "%d", rule->leeway_s);
    unsigned char digest[ST_SHA256_LEN];
    for (size_t i = 0; i < ST_COUNT(parts); i++)
        text = st_printf(a, "%s\n%s", text, parts[i] ? parts[i] : "");
    for (ngx_uint_t i = 0; i < conf->variables.nelts; i++)
        text = st_printf(a, "%s\n%s", text, ((const char **)conf->variables.elts)[i]);
    for (int i = 0; i < rule->n_keys; i++) {
        st_key_digest(rule->keys[i], digest);
        text = st_printf(a, "%s\n%s", text, st_hex(a, digest, sizeof(digest)));
    }
    st_sha256(text, strlen(text), conf->rule_digest);
}

/* Whoever reads a published set could sign with a secret in it: neither those nor private keys are taken. */
static int add_fetched(const ngx_http_api_main_conf_t *amcf, ngx_http_api_auth_conf_t *conf,
                       const ngx_http_api_key_source_t *source, const struct st_key **ret)
{
    const char *why = NULL, *text;
    struct st_keys keys;
    int n = 0;
    text = ngx_http_api_state_keys(&amcf->zones[NGX_HTTP_API_ZONE_STATE], source->source, &conf->fetched);
    if (!*text || st_keys_parse(&conf->fetched, text, strlen(text), source->alg, &keys, &why) < 0)
        return 0;
    for (int i = 0; i < keys.n; i++)
        if (!st_key_is_private(keys.list[i]))
            ret[n++] = keys.list[i];
    return n;
}

void ngx_http_api_auth_learn_keys(const ngx_http_api_main_conf_t *amcf, ngx_http_api_auth_conf_t *conf)
{
    const ngx_http_api_state_t *s = ngx_http_api_state(&amcf->zones[NGX_HTTP_API_ZONE_STATE]);
    if (conf->keys_generation == s->keys_generation)
        return;
    conf->keys_generation = s->keys_generation;
    unsigned char before[ST_SHA256_LEN];
    ngx_memcpy(before, conf->rule_digest, ST_SHA256_LEN);
    st_arena_release(&conf->fetched);
    const struct st_key **all =
        st_new_n(&conf->fetched, const struct st_key *, conf->keys.nelts + conf->sources.nelts * ST_KEYS_MAX + 1);
    ngx_memcpy(all, conf->keys.elts, conf->keys.nelts * sizeof(*all));
    conf->rule.n_keys = (int)conf->keys.nelts;
    for (ngx_uint_t i = 0; i < conf->sources.nelts; i++)
        conf->rule.n_keys +=
            add_fetched(amcf, conf, &((ngx_http_api_key_source_t *)conf->sources.elts)[i], all + conf->rule.n_keys);
    conf->rule.keys = all;
    name_rule(conf);
    if (ngx_memcmp(before, conf->rule_digest, ST_SHA256_LEN) != 0)
        ngx_http_api_auth_l1_clear();
}

ngx_atomic_uint_t ngx_http_api_auth_want_keys(const ngx_http_api_main_conf_t *amcf,
                                              const ngx_http_api_auth_conf_t *conf)
{
    const ngx_http_api_zone_t *z = &amcf->zones[NGX_HTTP_API_ZONE_STATE];
    ngx_http_api_state_t *s = ngx_http_api_state(z);
    bool worth = conf->sources.nelts && s->keys_wanted != s->keys_answered; /* a fetch is under way */
    for (ngx_uint_t i = 0; !worth && i < conf->sources.nelts; i++) {
        const ngx_http_api_key_source_t *source = &((ngx_http_api_key_source_t *)conf->sources.elts)[i];
        worth = ngx_http_api_state_key_set(z, source->source)->forced + source->interval <= ngx_time();
    }
    return worth ? ngx_atomic_fetch_add(&s->keys_wanted, 1) + 1 : 0;
}

bool ngx_http_api_auth_answered(const ngx_http_api_main_conf_t *amcf, ngx_atomic_uint_t ticket)
{
    const ngx_http_api_state_t *s = ngx_http_api_state(&amcf->zones[NGX_HTTP_API_ZONE_STATE]);
    return (ngx_atomic_int_t)(s->keys_answered - ticket) >= 0;
}

/* --- configuration --- */

static char *refuse(ngx_conf_t *cf, const char *why)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", why);
    return NGX_CONF_ERROR;
}

/* The optional algorithm; -2: there is none of that name. */
static int alg_of(const ngx_str_t *value)
{
    int alg = st_alg_find((const char *)value->data);
    return alg < 0 ? -2 : alg;
}

static char *add_keys(ngx_conf_t *cf, ngx_http_api_auth_conf_t *conf, const ngx_str_t *file, const struct st_keys *keys)
{
    if (!keys->n)
        return refuse(cf, st_printf(&conf->arena, "%s: no key can be used: %s", file->data,
                                    *keys->left_out ? keys->left_out : "there is none"));
    if (*keys->left_out)
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0, "%V: left out: %s", file, keys->left_out);
    for (int i = 0; i < keys->n; i++) {
        const struct st_key **slot = ngx_array_push(&conf->keys);
        if (!slot)
            return NGX_CONF_ERROR;
        if (st_key_is_private(keys->list[i]) && !st_key_is_secret(keys->list[i]))
            return refuse(
                cf, st_printf(&conf->arena, "\"%s\" is a private key: the edge only needs the public one", file->data));
        *slot = keys->list[i];
    }
    return NGX_CONF_OK;
}

typedef int load_pt(struct st_arena *a, const char *path, int alg, struct st_keys *ret, const char **ret_why);

/* A file, and perhaps the algorithm of what is in it. */
static char *set_file(ngx_conf_t *cf, ngx_http_api_auth_conf_t *conf, load_pt *load)
{
    ngx_str_t *value = cf->args->elts;
    const char *why = NULL;
    struct st_keys keys;
    int alg = cf->args->nelts > 2 ? alg_of(&value[2]) : -1;
    if (alg == -2)
        return "knows no such algorithm";
    if (ngx_conf_full_name(cf->cycle, &value[1], 1) != NGX_OK)
        return NGX_CONF_ERROR;
    if (load(&conf->arena, (char *)value[1].data, alg, &keys, &why) < 0)
        return refuse(cf, why);
    return add_keys(cf, conf, &value[1], &keys);
}

char *ngx_http_api_auth_set_key_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return set_file(cf, conf, st_keys_load);
}

char *ngx_http_api_auth_set_secret_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return set_file(cf, conf, st_keys_load_secret);
}

/* A URL for the log: without user and password, and without a query, which may be a secret too. */
static const char *without_secrets(struct st_arena *a, const char *url)
{
    const char *colon = strstr(url, "://"), *rest = colon ? colon + 3 : url, *at = strrchr(rest, '@');
    if (at)
        rest = at + 1;
    return st_printf(a, "%.*s%.*s", colon ? (int)(colon + 3 - url) : 0, url, (int)strcspn(rest, "?#"), rest);
}

/* http://host/path, https://host/path, http://unix:/socket:/path */
static const char *read_url(ngx_http_api_auth_conf_t *conf, ngx_http_api_key_source_t *source, const char *url)
{
    static const char unix_prefix[] = "http://unix:";
    unsigned char digest[ST_SHA256_LEN];
    source->shown = without_secrets(&conf->arena, url);
    st_sha256(url, strlen(url), digest);
    *ngx_hex_dump((u_char *)source->source, digest, sizeof(digest)) = '\0';
    source->target = url;
    if (st_starts(url, unix_prefix)) {
        const char *path = url + sizeof(unix_prefix) - 1, *colon = strchr(path, ':');
        if (*path != '/' || !colon || colon[1] != '/')
            return "wants http://unix:/socket:/path";
        source->unix_socket = st_strndup(&conf->arena, path, (size_t)(colon - path));
        source->target = st_printf(&conf->arena, "http://localhost%s", colon + 1);
    } else if (!st_starts(url, "http://") && !st_starts(url, "https://")) {
        return "wants a URL of http or https";
    }
    return NULL;
}

/* name=value behind the URL. */
static const char *read_option(ngx_conf_t *cf, ngx_str_t *option, ngx_http_api_key_source_t *source)
{
    u_char *equals = ngx_strlchr(option->data, option->data + option->len, '=');
    if (!equals)
        return "wants alg=, interval=, timeout= and ca=";
    ngx_str_t name = {(size_t)(equals - option->data), option->data};
    ngx_str_t value = {option->len - name.len - 1, equals + 1};
    if (ngx_strncmp(name.data, "alg=", 4) == 0) {
        source->alg = alg_of(&value);
        if (source->alg == -2 || source->alg >= ST_HS256)
            return "knows no such algorithm of public keys";
    } else if (ngx_strncmp(name.data, "interval=", 9) == 0) {
        source->interval = ngx_parse_time(&value, 1);
        if (source->interval < JWKS_INTERVAL_MIN_S)
            return "wants an interval of a second or more";
    } else if (ngx_strncmp(name.data, "timeout=", 8) == 0) {
        source->timeout = (ngx_msec_t)ngx_parse_time(&value, 0);
        if (source->timeout == 0 || source->timeout > JWKS_TIMEOUT_MAX_MS)
            return "wants a timeout of at most 30s";
    } else if (ngx_strncmp(name.data, "ca=", 3) == 0) {
        if (ngx_conf_full_name(cf->cycle, &value, 1) != NGX_OK)
            return NGX_CONF_ERROR;
        source->ca_file = (const char *)value.data;
    } else {
        return "wants alg=, interval=, timeout= and ca=";
    }
    return NULL;
}

char *ngx_http_api_auth_set_jwks(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    ngx_http_api_auth_conf_t *conf = data;
    ngx_str_t *value = cf->args->elts;
    if (conf->sources.nelts == NGX_HTTP_API_KEY_SETS)
        return "is there too often: 4 sets of keys are possible";
    ngx_http_api_key_source_t *source = ngx_array_push(&conf->sources);
    if (!source)
        return NGX_CONF_ERROR;
    *source = (ngx_http_api_key_source_t){.alg = -1, .interval = JWKS_INTERVAL_S, .timeout = JWKS_TIMEOUT_MS};
    const char *why = read_url(conf, source, (const char *)value[1].data);
    for (ngx_uint_t i = 2; !why && i < cf->args->nelts; i++)
        why = read_option(cf, &value[i], source);
    return why ? (char *)why : NGX_CONF_OK;
}
