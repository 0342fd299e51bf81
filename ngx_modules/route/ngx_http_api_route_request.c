/* The request as the client sent it: headers that may not be forged or repeated, trace ids. */
#include "ngx_http_api_route.h"

enum { CORRELATION_MAX = 64, TRACEPARENT_LEN = 55 };

/* --- headers --- */

enum { ONCE = 1, RESERVED = 2, CORRELATION = 4, TRACE = 8 };

/* By first letter. A name may end in "*". RESERVED: only the edge may set it; ONCE: may come once. */
static const struct rule {
    const char *name;
    unsigned what;
} rules[] = {
    {"authorization", ONCE},
    {"content-encoding", ONCE},
    {"content-length", ONCE},
    {"content-type", ONCE},
    {"cookie", ONCE},
    {"forwarded", RESERVED},
    {"host", ONCE},
    {"idempotency-key", ONCE},
    {"if-match", ONCE},
    {"if-none-match", ONCE},
    {"proxy", RESERVED},
    {"proxy-*", RESERVED},
    {"range", ONCE},
    {"traceparent", RESERVED | TRACE},
    {"tracestate", RESERVED},
    {"transfer-encoding", ONCE},
    {"x-accel-*", RESERVED},
    {"x-api-*", RESERVED},
    {"x-correlation-id", RESERVED | CORRELATION},
    {"x-forwarded-*", RESERVED},
    {"x-host", RESERVED},
    {"x-http-method", RESERVED},
    {"x-http-method-override", RESERVED},
    {"x-method-override", RESERVED},
    {"x-original-*", RESERVED},
    {"x-real-ip", RESERVED},
    {"x-remote-*", RESERVED},
    {"x-request-id", RESERVED},
    {"x-rewrite-url", RESERVED},
    {"x-sendfile", RESERVED},
    {"x-user-*", RESERVED},
};

_Static_assert(ST_COUNT(rules) <= 32, "a bit for each in read_headers");

static struct {
    uint8_t from, to;
} by_letter[26]; /* of rules[] */

/* The length of each name without its "*", and whether it has one. */
static struct {
    uint8_t len;
    bool open;
} shapes[ST_COUNT(rules)];

void ngx_http_api_index_headers(void)
{
    for (size_t i = 0; i < ST_COUNT(rules); i++) {
        size_t letter = (size_t)(rules[i].name[0] - 'a');
        if (!by_letter[letter].to)
            by_letter[letter].from = (uint8_t)i;
        by_letter[letter].to = (uint8_t)(i + 1);
        shapes[i].len = (uint8_t)strcspn(rules[i].name, "*");
        shapes[i].open = rules[i].name[shapes[i].len] == '*';
    }
}

/* Underscore and dash are the same to servers that make environment variables of headers. */
static bool same_name(const ngx_str_t *name, const char *pattern)
{
    size_t i = 0;
    for (; pattern[i] && pattern[i] != '*'; i++) {
        if (i >= name->len)
            return false;
        if (name->data[i] != pattern[i] &&
            (name->data[i] == '_' ? '-' : ngx_tolower(name->data[i])) != ngx_tolower(pattern[i]))
            return false;
    }
    return pattern[i] == '*' || i == name->len;
}

/* The next header of a list; start with part = &list->part, i = 0. */
static ngx_table_elt_t *next_header(const ngx_list_part_t **part, ngx_uint_t *i)
{
    while (*part && *i >= (*part)->nelts) {
        *part = (*part)->next;
        *i = 0;
    }
    return *part ? (ngx_table_elt_t *)(*part)->elts + (*i)++ : NULL;
}

const ngx_str_t *ngx_http_api_header(const ngx_http_request_t *r, const char *name, ngx_uint_t *ret_count)
{
    const ngx_list_part_t *part = &r->headers_in.headers.part;
    const ngx_str_t *first = NULL;
    ngx_uint_t i = 0, count = 0;
    size_t len = strlen(name);
    for (const ngx_table_elt_t *h; (h = next_header(&part, &i)) != NULL;)
        if (h->key.len == len && same_name(&h->key, name) && !count++)
            first = &h->value;
    if (ret_count)
        *ret_count = count;
    return first;
}

/* NULL for a header that the edge has no opinion of, as most are. lowcase: the same name, when nginx has it; or NULL.
 */
static const struct rule *rule_of(const ngx_str_t *name, const u_char *lowcase)
{
    u_char letter = name->len ? (u_char)(name->data[0] | 0x20) : 0;
    if (letter < 'a' || letter > 'z')
        return NULL;
    for (size_t i = by_letter[letter - 'a'].from; i < by_letter[letter - 'a'].to; i++)
        if ((name->len == shapes[i].len || (shapes[i].open && name->len > shapes[i].len)) &&
            ((lowcase && memcmp(lowcase, rules[i].name, shapes[i].len) == 0) || same_name(name, rules[i].name)))
            return &rules[i];
    return NULL;
}

void ngx_http_api_read_headers(const ngx_http_request_t *r, ngx_http_api_headers_t *ret)
{
    const ngx_list_part_t *part = &r->headers_in.headers.part;
    uint32_t seen = 0;
    ngx_uint_t i = 0;
    ngx_memzero(ret, sizeof(*ret));
    for (const ngx_table_elt_t *h; (h = next_header(&part, &i)) != NULL;) {
        const struct rule *rule = rule_of(&h->key, h->lowcase_key);
        if (!rule)
            continue;
        uint32_t bit = UINT32_C(1) << (rule - rules);
        bool again = seen & bit;
        seen |= bit;
        if (rule->what & RESERVED)
            ret->reserved++;
        if (rule->what & ONCE && again)
            ret->repeated = rule->name;
        if (rule->what & CORRELATION)
            ret->correlation_id = again ? NULL : &h->value;
        if (rule->what & TRACE)
            ret->traceparent = again ? NULL : &h->value;
    }
}

ngx_int_t ngx_http_api_keep_headers(ngx_http_request_t *r, ngx_http_api_kept_pt *kept, const void *data)
{
    const ngx_list_part_t old = r->headers_in.headers.part, *part = &old;
    ngx_uint_t i = 0;
    if (ngx_list_init(&r->headers_in.headers, r->pool, 20, sizeof(ngx_table_elt_t)) != NGX_OK)
        return NGX_ERROR;
    for (const ngx_table_elt_t *h; (h = next_header(&part, &i)) != NULL;) {
        if (!kept(data, &h->key))
            continue;
        ngx_table_elt_t *copy = ngx_list_push(&r->headers_in.headers);
        if (!copy)
            return NGX_ERROR;
        *copy = *h;
    }
    return NGX_OK;
}

static bool is_free(const void *data, const ngx_str_t *name)
{
    const struct rule *rule = rule_of(name, NULL);
    return !rule || !(rule->what & RESERVED);
}

ngx_int_t ngx_http_api_strip_headers(ngx_http_request_t *r)
{
    return ngx_http_api_keep_headers(r, is_free, NULL);
}

/*
 * Compression on the way out makes a strong entity tag weak, and If-Match compares strongly: what comes back weak was
 * strong when the service gave it.
 */
ngx_int_t ngx_http_api_strengthen(ngx_http_request_t *r)
{
    ngx_table_elt_t *h = r->headers_in.if_match;
    if (!h || !ngx_strnstr(h->value.data, "W/\"", h->value.len))
        return NGX_OK;
    u_char *out = ngx_pnalloc(r->pool, h->value.len + 1), *p = out;
    if (!out)
        return NGX_ERROR;
    for (size_t i = 0; i < h->value.len; i++) {
        const u_char *at = h->value.data + i;
        if (h->value.len - i >= 3 && memcmp(at, "W/\"", 3) == 0 && (i == 0 || at[-1] == ' ' || at[-1] == ','))
            i += 2;
        *p++ = h->value.data[i];
    }
    *p = '\0';
    h->value.data = out;
    h->value.len = (size_t)(p - out);
    return NGX_OK;
}

/* --- correlation and tracing --- */

static bool is_alnum(u_char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static bool is_hex(u_char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool usable_id(const ngx_str_t *id)
{
    if (!id->len || id->len > CORRELATION_MAX)
        return false;
    for (size_t i = 0; i < id->len; i++)
        if (!is_alnum(id->data[i]) && id->data[i] != '-' && id->data[i] != '.' && id->data[i] != '_')
            return false;
    return true;
}

static bool hex_run(const u_char *s, size_t len)
{
    bool nonzero = false;
    for (size_t i = 0; i < len; i++) {
        if (!is_hex(s[i]))
            return false;
        nonzero |= s[i] != '0';
    }
    return nonzero;
}

/* W3C trace context, version 00: 00-<trace id>-<parent id>-<flags>. */
static bool usable_traceparent(const ngx_str_t *t)
{
    const u_char *s = t->data;
    return t->len == TRACEPARENT_LEN && memcmp(s, "00-", 3) == 0 && hex_run(s + 3, 32) && s[35] == '-' &&
           hex_run(s + 36, 16) && s[52] == '-' && is_hex(s[53]) && is_hex(s[54]);
}

/* The digits of a UUID. */
static u_char *without_dashes(u_char *p, const u_char *uuid)
{
    p = ngx_cpymem(p, uuid, 8);
    p = ngx_cpymem(p, uuid + 9, 4);
    p = ngx_cpymem(p, uuid + 14, 4);
    p = ngx_cpymem(p, uuid + 19, 4);
    return ngx_cpymem(p, uuid + 24, 12);
}

/* A trace that begins here has the number of the correlation id `uuid`; NULL: that is the client's, and may be
 * anything.
 */
static ngx_int_t set_traceparent(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx, const ngx_str_t *given,
                                 const u_char *uuid)
{
    u_char random[16], *p = ngx_pnalloc(r->pool, TRACEPARENT_LEN);
    if (!p)
        return NGX_ERROR;
    ctx->traceparent.data = p;
    ctx->traceparent.len = TRACEPARENT_LEN;
    if (given) {
        ngx_memcpy(p, given->data, TRACEPARENT_LEN);
    } else {
        p = ngx_cpymem(p, "00-", 3);
        if (uuid) {
            p = without_dashes(p, uuid);
        } else {
            st_random_id(random, 16);
            p = (u_char *)st_hex_put((char *)p, random, 16);
        }
        ngx_memcpy(p, "-0000000000000000-01", 20);
    }
    st_random_id(random, 8);
    st_hex_put((char *)ctx->traceparent.data + 36, random, 8); /* the edge's span is the service's parent */
    return NGX_OK;
}

ngx_int_t ngx_http_api_trace(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx, const ngx_http_api_headers_t *headers)
{
    const ngx_str_t *id = headers->correlation_id, *trace = headers->traceparent;
    u_char *uuid = NULL;
    if (id && usable_id(id)) {
        ctx->correlation_id = *id;
    } else {
        if (!(uuid = ngx_pnalloc(r->pool, ST_UUID_LEN)))
            return NGX_ERROR;
        st_uuid((char *)uuid);
        ctx->correlation_id = (ngx_str_t){ST_UUID_LEN - 1, uuid};
    }
    return set_traceparent(r, ctx, trace && usable_traceparent(trace) ? trace : NULL, uuid);
}
