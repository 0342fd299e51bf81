/* Security: the schemes of a contract, and the alternatives of each operation. */
#include "io/openapi_impl.h"

enum { MAX_PERMISSIONS = 16, NAME_MAX_LEN = 64 };

/* resource:action */
static bool is_permission(struct st_arena *a, const char *s)
{
    static const char characters[] = ST_LOWER ST_DIGITS "_-";
    const char *colon = s ? strchr(s, ':') : NULL;
    return colon && st_contract_is_name(st_strndup(a, s, (size_t)(colon - s)), characters, 64) &&
           st_contract_is_name(colon + 1, characters, 64);
}

/* A key in a header of its own, or a session in a cookie that only this host can set. */
static const char *read_key_scheme(const json_t *json, struct st_api_scheme *s)
{
    static const char name_characters[] = ST_LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ" ST_DIGITS "-_";
    const char *in = st_json_str(json, "in", "");
    s->param = st_json_str(json, "name", "");
    if (st_streq(in, "query"))
        return "a key in the query would end in logs: use a header";
    if (!*s->param || strlen(s->param) > NAME_MAX_LEN || s->param[strspn(s->param, name_characters)])
        return "name must name the header or the cookie";
    if (st_streq(in, "header")) {
        s->kind = ST_SCHEME_KEY;
        return strcasecmp(s->param, "authorization") == 0 || strcasecmp(s->param, "cookie") == 0 ||
                       strchr(s->param, '_')
                   ? "a key needs a header of its own"
                   : NULL;
    }
    s->kind = ST_SCHEME_COOKIE;
    if (!st_streq(in, "cookie"))
        return "in must be header or cookie";
    return st_starts(s->param, "__Host-") ? NULL
                                          : "the cookie's name must begin with __Host-, so that no other host sets it";
}

static struct st_api_scheme *read_scheme(struct st_contract *c, const char *name, const char *where)
{
    const char *at = st_json_pointer(c->r->arena, "/components/securitySchemes", name);
    const json_t *json = st_json_at(c->yaml.root, at);
    const char *type = st_json_str(json, "type", ""), *why = NULL;
    struct st_api_scheme *s = st_new(c->r->arena, struct st_api_scheme);
    *s = (struct st_api_scheme){.name = name, .kind = ST_SCHEME_BEARER, .param = ""};
    if (!json && st_streq(name, "bearer"))
        return s; /* needs no description */
    if (!json)
        why = "there is no such security scheme in the components";
    else if (st_streq(type, "apiKey"))
        why = read_key_scheme(json, s);
    else if (st_streq(type, "http") && strcasecmp(st_json_str(json, "scheme", ""), "bearer") != 0)
        why = "the only supported HTTP scheme is bearer";
    else if (!st_streq(type, "http") && !st_streq(type, "oauth2") && !st_streq(type, "openIdConnect"))
        why = "type must be http, apiKey, oauth2 or openIdConnect";
    if (why)
        st_contract_mistake(c, json ? at : where, "security must name known schemes; %.80s: %s", name, why);
    return s;
}

/* One scheme of that name for all that use it; another file may describe it, but only in the same way. */
static const struct st_api_scheme *find_scheme(struct st_contract *c, const char *name, const char *at)
{
    struct st_api_scheme *s = read_scheme(c, name, at);
    for (struct st_api_scheme *known = c->r->schemes; known; known = known->next) {
        if (!st_streq(known->name, name))
            continue;
        if (known->kind != s->kind || !st_streq(known->param, s->param))
            st_contract_mistake(c, at, "%.80s is another scheme in another file", name);
        return known;
    }
    s->next = c->r->schemes;
    c->r->schemes = s;
    return s;
}

static void add_permissions(struct st_contract *c, const json_t *list, const char *at, struct st_api_alternative *alt)
{
    size_t i;
    json_t *one;
    json_array_foreach ((json_t *)list, i, one) {
        const char *permission = json_string_value(one);
        if (!is_permission(c->r->arena, permission)) {
            st_contract_mistake(c, at, "the permission %.80s must have the form resource:action",
                                permission ? permission : "");
            continue;
        }
        json_object_set_new(c->r->permissions, permission, json_true());
        alt->permissions[alt->n_permissions++] = permission;
    }
}

/* {scheme: [permission, …], …}: all of the schemes, and all of the permissions. */
static void read_alternative(struct st_contract *c, const json_t *json, const char *at, struct st_api_alternative *alt)
{
    const char *name;
    json_t *list;
    size_t n = 0;
    json_object_foreach ((json_t *)json, name, list) {
        n += json_array_size(list);
        if (!json_is_array(list) || n > MAX_PERMISSIONS || alt->n_schemes == ST_API_SCHEMES) {
            st_contract_mistake(c, at, "security must give each scheme a list of permissions, at most %d in all",
                                MAX_PERMISSIONS);
            return;
        }
    }
    alt->permissions = st_new_n(c->r->arena, const char *, n);
    json_object_foreach ((json_t *)json, name, list) {
        const struct st_api_scheme *s = find_scheme(c, name, at);
        for (int i = 0; i < alt->n_schemes; i++)
            if ((alt->schemes[i]->kind == ST_SCHEME_KEY) == (s->kind == ST_SCHEME_KEY))
                st_contract_mistake(c, at, "%.80s and %.80s cannot both be asked for: a token and a key can",
                                    alt->schemes[i]->name, name);
        if (alt->n_schemes < ST_API_SCHEMES)
            alt->schemes[alt->n_schemes++] = s;
        add_permissions(c, list, at, alt);
    }
}

static unsigned kinds_of(const struct st_api_alternative *alt)
{
    unsigned kinds = 0;
    for (int i = 0; i < alt->n_schemes; i++)
        kinds |= 1u << alt->schemes[i]->kind;
    return kinds;
}

/* The credentials that were sent decide which alternative holds, so they must tell them apart. */
static void check_alternatives(struct st_contract *c, const struct st_api_operation *op, const char *at)
{
    const struct st_api_scheme *seen[ST_SCHEME_KINDS] = {NULL};
    bool someone = op->n_alternatives == 0;
    for (int i = 0; i < op->n_alternatives; i++) {
        const struct st_api_alternative *alt = &op->alternatives[i];
        someone = someone || alt->n_schemes;
        for (int k = 0; k < i; k++)
            if (kinds_of(alt) == kinds_of(&op->alternatives[k]))
                st_contract_mistake(c, at, "security must have alternatives of different kinds of credentials");
        for (int k = 0; k < alt->n_schemes; k++) {
            const struct st_api_scheme *s = alt->schemes[k];
            if (seen[s->kind] && !st_streq(seen[s->kind]->param, s->param))
                st_contract_mistake(c, at, "%.80s and %.80s: an operation has one header for keys and one cookie",
                                    seen[s->kind]->name, s->name);
            seen[s->kind] = s;
        }
    }
    if (!someone)
        st_contract_mistake(c, at, "security must be [] for a public operation");
}

void st_contract_read_security(struct st_contract *c, const json_t *json, const char *at, struct st_api_operation *op)
{
    const json_t *security = json_object_get(json, "security");
    at = security ? st_json_pointer(c->r->arena, at, "security") : "/security";
    if (!security)
        security = json_object_get(c->yaml.root, "security");
    size_t n = json_array_size(security);
    if (!json_is_array(security) || n > ST_API_ALTERNATIVES) {
        st_contract_mistake(c, at,
                            "security must be a list of alternatives such as {bearer: [permission, …]}, at most "
                            "%d, or [] for a public operation",
                            ST_API_ALTERNATIVES);
        return;
    }
    struct st_api_alternative *alternatives = st_new_n(c->r->arena, struct st_api_alternative, n);
    op->authenticated = n > 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(security, i);
        if (json_is_object(one))
            read_alternative(c, one, at, &alternatives[i]);
        else
            st_contract_mistake(c, at, "security must be a list of maps of schemes");
        op->authenticated = op->authenticated && alternatives[i].n_schemes;
    }
    op->alternatives = alternatives;
    op->n_alternatives = (int)n;
    check_alternatives(c, op, at);
}
