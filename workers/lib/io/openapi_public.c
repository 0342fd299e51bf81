/* x-cors and x-cache: what pages of other origins, and caches, may have of an operation. */
#include "io/openapi_impl.h"

enum { MAX_ORIGINS = 32, MAX_VARY = 8, MAX_TAG = 200 };

/* scheme://host[:port], as a browser sends it: lower case, no path. */
bool st_api_is_origin(const char *s)
{
    static const char host[] = ST_LOWER ST_DIGITS "-._";
    size_t scheme = s && st_starts(s, "https://") ? 8 : s && st_starts(s, "http://") ? 7 : 0;
    if (!scheme)
        return false;
    s += scheme;
    size_t n = strspn(s, host);
    if (!n || n > 253)
        return false;
    int64_t port;
    return !s[n] || (s[n] == ':' && st_parse_i64(s + n + 1, 1, 65535, &port) && s[n + 1] != '0');
}

static void read_origins(struct st_contract *c, const json_t *list, const char *at, struct st_api_cors *cors)
{
    size_t i;
    json_t *origin;
    if (!json_array_size(list) || json_array_size(list) > MAX_ORIGINS) {
        st_contract_mistake(c, at, "origins must be a list of at most %d origins", MAX_ORIGINS);
        return;
    }
    const char **origins = st_new_n(c->r->arena, const char *, json_array_size(list));
    json_array_foreach ((json_t *)list, i, origin) {
        origins[i] = json_string_value(origin);
        cors->any = cors->any || st_streq(origins[i], "*");
        if (!st_streq(origins[i], "*") && !st_api_is_origin(origins[i]))
            st_contract_mistake(c, at, "an origin must be such as https://app.example.com, or '*'");
    }
    cors->origins = origins;
    cors->n_origins = (int)i;
}

static bool all_known(struct st_contract *c, const json_t *json, const char *at, const char *name,
                      const char *const *known)
{
    const char *member;
    json_t *value;
    bool good = json_object_size(json) > 0;
    if (!good)
        st_contract_mistake(c, at, "%s must be a map", name);
    json_object_foreach ((json_t *)json, member, value) {
        const char *const *k = known;
        while (*k && strcmp(*k, member) != 0)
            k++;
        if (*k)
            continue;
        st_contract_mistake(c, st_json_pointer(c->r->arena, at, member), "%.80s is not a known member of %s", member,
                            name);
        good = false;
    }
    return good;
}

static void read_cors(struct st_contract *c, const json_t *json, const char *at, struct st_api_operation *op)
{
    static const char *const known[] = {"origins", "credentials", NULL};
    if (!json || !all_known(c, json, at, "x-cors", known))
        return;
    struct st_api_cors *cors = st_new(c->r->arena, struct st_api_cors);
    const json_t *credentials = json_object_get(json, "credentials");
    read_origins(c, json_object_get(json, "origins"), at, cors);
    cors->credentials = json_is_true(credentials);
    if (credentials && !json_is_boolean(credentials))
        st_contract_mistake(c, at, "credentials must be true or false");
    else if (cors->any && (cors->credentials || cors->n_origins > 1))
        st_contract_mistake(c, at, "the origin '*' stands alone, and without credentials");
    op->cors = cors;
}

/* Every {name} is a parameter of the path. */
static bool is_tag(struct st_contract *c, const char *tag, const char *at, const struct st_api_operation *op)
{
    static const char characters[] = ST_LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ" ST_DIGITS "-_./";
    for (const char *s = tag; *s;) {
        if (*s != '{') {
            size_t n = strspn(s, characters);
            if (!n)
                return false;
            s += n;
            continue;
        }
        size_t n = strcspn(++s, "}");
        const char *name = st_strndup(c->r->arena, s, n);
        bool found = false;
        for (int i = 0; i < op->n_params; i++)
            found = found || (op->params[i].in == ST_IN_PATH && st_streq(op->params[i].name, name));
        if (!found || !s[n]) {
            st_contract_mistake(c, at, "the path has no {%.80s}", name);
            return true; /* told already */
        }
        s += n + 1;
    }
    return *tag && strlen(tag) <= MAX_TAG;
}

static void read_vary(struct st_contract *c, const json_t *list, const char *at, struct st_api_cache *cache)
{
    static const char characters[] = ST_LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ" ST_DIGITS "-";
    size_t i;
    json_t *name;
    if (!list)
        return;
    const char **names = st_new_n(c->r->arena, const char *, MAX_VARY);
    if (!json_array_size(list) || json_array_size(list) > MAX_VARY) {
        st_contract_mistake(c, at, "vary must be a list of at most %d request headers", MAX_VARY);
        return;
    }
    json_array_foreach ((json_t *)list, i, name) {
        names[i] = json_string_value(name);
        if (!names[i] || !*names[i] || strspn(names[i], characters) != strlen(names[i]))
            st_contract_mistake(c, at, "vary must be a list of request headers");
        else if (strcasecmp(names[i], "cookie") == 0 || strcasecmp(names[i], "authorization") == 0)
            st_contract_mistake(c, at, "what varies by %s is not public", names[i]);
    }
    cache->vary = names;
    cache->n_vary = (int)i;
}

/*
 * What an operation reads decides about its answer, so the answers are told apart by it; but for conditions, which are
 * for the client's copy.
 */
static void check_varies(struct st_contract *c, const char *at, const struct st_api_cache *cache,
                         const struct st_api_operation *op)
{
    for (int i = 0; i < op->n_params; i++) {
        const struct st_api_param *p = &op->params[i];
        bool found = (p->in != ST_IN_HEADER && p->in != ST_IN_COOKIE) || strncasecmp(p->name, "if-", 3) == 0;
        for (int k = 0; k < cache->n_vary && p->in == ST_IN_HEADER; k++)
            found = found || (cache->vary[k] && strcasecmp(cache->vary[k], p->name) == 0);
        if (!found)
            st_contract_mistake(c, at,
                                p->in == ST_IN_COOKIE ? "what reads the cookie %.80s is not public"
                                                      : "vary must name the header %.80s, which is read",
                                p->name);
    }
}

static void read_cache(struct st_contract *c, const json_t *json, const char *at, struct st_api_operation *op)
{
    static const char *const known[] = {"for", "tag", "vary", NULL};
    const json_t *security = json_object_get(c->r->security, op->id);
    if (!json || !all_known(c, json, at, "x-cache", known))
        return;
    struct st_api_cache *cache = st_new(c->r->arena, struct st_api_cache);
    int64_t us = st_contract_span(c->r->arena, st_json_str(json, "for", NULL), INT64_C(86400) * ST_SECOND);
    cache->for_s = us / ST_SECOND;
    if (!cache->for_s || us % ST_SECOND)
        st_contract_mistake(c, at, "for must be a time in whole seconds such as 60s, at most 1d");
    if (op->method != ST_GET || !json_is_array(security) || json_array_size(security))
        st_contract_mistake(c, at, "only a GET that is public (security: []) can be cached");
    cache->tag = st_json_str(json, "tag", op->id);
    if (!is_tag(c, cache->tag, at, op))
        st_contract_mistake(c, at, "tag must be of letters, digits, '-', '_', '.', '/' and {parameters of the path}");
    read_vary(c, json_object_get(json, "vary"), at, cache);
    check_varies(c, at, cache, op);
    op->cache = cache;
}

void st_contract_read_public(struct st_contract *c, const json_t *json, const char *pointer,
                             struct st_api_operation *op)
{
    struct st_arena *a = c->r->arena;
    read_cors(c, json_object_get(json, "x-cors"), st_json_pointer(a, pointer, "x-cors"), op);
    read_cache(c, json_object_get(json, "x-cache"), st_json_pointer(a, pointer, "x-cache"), op);
}

const char *st_api_cache_tag(const struct st_api_match *m, struct st_arena *a)
{
    struct st_buf b = ST_BUF(16 * 1024);
    for (const char *s = m->operation->cache->tag; *s;) {
        size_t n = strcspn(s, "{");
        st_buf_add(&b, s, n);
        if (!*(s += n))
            break;
        n = strcspn(++s, "}");
        for (int i = 0; i < m->operation->n_params; i++) {
            const struct st_api_param *p = &m->operation->params[i];
            if (p->in == ST_IN_PATH && strlen(p->name) == n && strncmp(p->name, s, n) == 0)
                st_buf_add(&b, m->params[p->path_index].at, m->params[p->path_index].len);
        }
        s += n + 1;
    }
    const char *tag = st_strndup(a, b.data, b.len);
    st_buf_release(&b);
    return tag;
}
