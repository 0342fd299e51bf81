/*
 * Answers to public GETs, kept in Redis for all nodes (x-cache): hash st:cache:<tag>, one field for each request,
 * dropped as a whole by whoever knows that the thing has changed (UNLINK), else after its time.
 *
 * An answer is kept when it is a 200 of at most api_cache_answer bytes whose length is known, not encoded, and neither
 * private nor with a cookie. Of requests of one worker for one thing that is not there, the first asks the service; the
 * others wait for its answer. With Redis away all go to the service.
 *
 * Memory is bounded at both ends: what a worker's requests hold of such answers, all together, by api_cache_memory, and
 * what all nodes write into Redis by api_cache_redis a minute. Beyond either, answers pass as if there were no cache.
 */
#include "../core/ngx_http_api_redis.h"
#include "../route/ngx_http_api_route.h"
#include "ngx_http_api_shape.h"

enum {
    ASK_MS = 200,         /* for Redis; then the service is asked */
    FIELDS_MAX = 64,      /* of one tag */
    ENTRY_LINE_MAX = 256, /* bytes of a header of an entry */
    SHA_LEN = 64,
};

static const char MARK[] = "st1\n"; /* the form of an entry: MARK, lines of `line_e`, the body */
enum line_e { STORED, EXPIRES, TYPE, ETAG, MODIFIED, LINES };

enum state_e { NEW, ASKING, WAITING, LEADING, ALONE, HOLDING, DONE };

struct ngx_http_api_cache_s {
    ngx_http_request_t *request;
    enum state_e state;
    const char *verdict; /* HIT, MISS, BYPASS */
    const struct st_api_cache *rule;
    char field[SHA_LEN + 1];
    const char *key;     /* st:cache:<tag> */
    ngx_str_t entry;     /* what was found */
    ngx_queue_t flights; /* of a leader: in `flights`; of a waiter: in its leader's `waiters` */
    ngx_queue_t waiters;
    ngx_event_t wake;
    ngx_http_api_held_t held;
    size_t counted; /* of `in_memory` */
    bool settled;   /* the service is asked */
};
typedef ngx_http_api_cache_t cache_t;

typedef struct {
    ngx_str_t lines[LINES], body;
    time_t stored, expires;
} entry_t;

static ngx_http_output_header_filter_pt next_header_filter;
static ngx_http_output_body_filter_pt next_body_filter;
static ngx_queue_t flights = {&flights, &flights}; /* leaders of this worker */
static size_t in_memory;                           /* bytes that its requests hold of answers */

static const ngx_http_api_shape_loc_conf_t *conf_of(const cache_t *cache)
{
    return ngx_http_get_module_loc_conf(cache->request, ngx_http_api_shape_module);
}

/* Room for so many bytes until the request ends; false: there is none. */
static bool count_in(cache_t *cache, size_t bytes)
{
    size_t most = conf_of(cache)->cache_memory;
    if (bytes > most || in_memory > most - bytes)
        return false;
    in_memory += bytes;
    cache->counted += bytes;
    return true;
}

/* --- entries --- */

static bool parse_time(const ngx_str_t *line, time_t *ret)
{
    *ret = ngx_atotm(line->data, line->len);
    return *ret != NGX_ERROR;
}

static bool is_line(const ngx_str_t *s)
{
    for (size_t i = 0; i < s->len; i++)
        if (s->data[i] < 0x20 || s->data[i] == 0x7f)
            return false;
    return s->len <= ENTRY_LINE_MAX;
}

static bool parse_entry(const ngx_str_t *text, entry_t *ret)
{
    u_char *p = text->data, *end = text->data + text->len;
    if (text->len < sizeof(MARK) - 1 || ngx_strncmp(p, MARK, sizeof(MARK) - 1) != 0)
        return false;
    p += sizeof(MARK) - 1;
    for (int i = 0; i < LINES; i++) {
        u_char *eol = ngx_strlchr(p, end, '\n');
        ret->lines[i] = (ngx_str_t){eol ? (size_t)(eol - p) : 0, p};
        if (!eol || !is_line(&ret->lines[i]))
            return false;
        p = eol + 1;
    }
    ret->body = (ngx_str_t){(size_t)(end - p), p};
    return parse_time(&ret->lines[STORED], &ret->stored) && parse_time(&ret->lines[EXPIRES], &ret->expires);
}

/*
 * Drops the tag's other answers before there are too many: an answer for each query is anybody's to ask for. Nothing is
 * stored when this minute's bytes are spent.
 */
static ngx_http_api_script_t store_script = {
    .text = "local spent = redis.call('INCRBY', KEYS[2], #ARGV[2]) "
            "if spent == #ARGV[2] then redis.call('PEXPIRE', KEYS[2], 60000) end "
            "if spent > tonumber(ARGV[5]) then return 0 end "
            "if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then redis.call('UNLINK', KEYS[1]) end "
            "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) "
            "return redis.call('PEXPIRE', KEYS[1], ARGV[3])",
};

static void ignore(void *data, const struct redisReply *reply)
{
}

static void store(const cache_t *cache)
{
    struct st_arena *a = ngx_http_api_scratch();
    const char *argv[] = {"2",
                          cache->key,
                          "st:cache:spent",
                          cache->field,
                          (const char *)cache->entry.data,
                          st_printf(a, "%lld", (long long)cache->rule->for_s * 1000),
                          st_i64(a, FIELDS_MAX),
                          st_i64(a, (int64_t)conf_of(cache)->cache_redis)};
    const size_t lens[] = {1,
                           strlen(argv[1]),
                           strlen(argv[2]),
                           SHA_LEN,
                           cache->entry.len,
                           strlen(argv[5]),
                           strlen(argv[6]),
                           strlen(argv[7])};
    (void)ngx_http_api_redis_eval(ASK_MS, ignore, NULL, &store_script, ST_COUNT(argv), argv, lens);
}

/* --- one of many asks the service --- */

static void on_wake(ngx_event_t *ev)
{
    cache_t *cache = ev->data;
    ngx_http_api_resume(cache->request);
}

/* The leader's answer, or none, goes to those who wait for it. */
static void land(cache_t *leader)
{
    if (leader->state != LEADING && leader->state != HOLDING)
        return;
    ngx_queue_remove(&leader->flights);
    while (!ngx_queue_empty(&leader->waiters)) {
        ngx_queue_t *q = ngx_queue_head(&leader->waiters);
        cache_t *waiter = ngx_queue_data(q, cache_t, flights);
        ngx_queue_remove(q);
        waiter->state = ALONE;
        if (leader->entry.len && count_in(waiter, leader->entry.len))
            waiter->entry.data = ngx_pstrdup(waiter->request->pool, &leader->entry);
        waiter->entry.len = waiter->entry.data ? leader->entry.len : 0;
        ngx_post_event(&waiter->wake, &ngx_posted_events);
    }
    leader->state = DONE;
}

static void on_cleanup(void *data)
{
    cache_t *cache = data;
    ngx_http_api_redis_forget(cache);
    land(cache);
    in_memory -= cache->counted;
    cache->counted = 0;
    if (cache->state == WAITING) { /* nginx's macros are several statements */
        ngx_queue_remove(&cache->flights);
    }
    if (cache->wake.posted) {
        ngx_delete_posted_event(&cache->wake);
    }
}

/* true: this request waits for another. */
static bool join(cache_t *cache)
{
    for (ngx_queue_t *q = ngx_queue_head(&flights); q != ngx_queue_sentinel(&flights); q = ngx_queue_next(q)) {
        cache_t *leader = ngx_queue_data(q, cache_t, flights);
        if (memcmp(leader->field, cache->field, SHA_LEN) != 0)
            continue;
        ngx_queue_insert_tail(&leader->waiters, &cache->flights);
        cache->state = WAITING;
        return true;
    }
    ngx_queue_insert_tail(&flights, &cache->flights);
    cache->state = LEADING;
    return false;
}

/* --- the step --- */

static void on_answer(void *data, const struct redisReply *reply)
{
    cache_t *cache = data;
    ngx_str_t found;
    cache->state = NEW;
    cache->verdict = reply ? "MISS" : "BYPASS";
    if (ngx_http_api_redis_string(reply, &found) == NGX_OK) {
        if (!count_in(cache, found.len))
            cache->verdict = "BYPASS";
        else if ((cache->entry.data = ngx_pstrdup(cache->request->pool, &found)) != NULL)
            cache->entry.len = found.len;
    }
    ngx_http_api_resume(cache->request);
}

/* What makes two requests one: the contracts, the operation, host and target as they came, the headers that matter. */
static void make_field(ngx_http_request_t *r, const ngx_http_api_ctx_t *ctx, cache_t *cache, struct st_arena *a)
{
    const ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_api_core_module);
    struct st_buf b = ST_BUF(128 * 1024);
    st_buf_add(&b, amcf->openapi_etag.data, amcf->openapi_etag.len);
    st_buf_printf(&b, "\n%s\n", ctx->match.operation->id);
    st_buf_add(&b, r->headers_in.server.data, r->headers_in.server.len);
    st_buf_char(&b, '\n');
    st_buf_add(&b, r->unparsed_uri.data, r->unparsed_uri.len);
    for (int i = 0; i < cache->rule->n_vary; i++) {
        const ngx_str_t *value = ngx_http_api_header(r, cache->rule->vary[i], NULL);
        st_buf_char(&b, '\n');
        if (value)
            st_buf_add(&b, value->data, value->len);
    }
    memcpy(cache->field, st_sha256_hex(a, b.failed ? "" : b.data, b.failed ? 0 : b.len), SHA_LEN + 1);
    st_buf_release(&b);
}

static cache_t *new_cache(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    struct st_arena *a = ngx_http_api_scratch();
    ngx_http_cleanup_t *cln = ngx_http_cleanup_add(r, 0); /* when the request ends, before its pool goes */
    cache_t *cache = ngx_pcalloc(r->pool, sizeof(*cache));
    if (!cln || !cache)
        return NULL;
    ngx_str_t key = ngx_http_api_str(st_printf(a, "st:cache:%s", st_api_cache_tag(&ctx->match, a)));
    u_char *copy = ngx_pnalloc(r->pool, key.len + 1);
    if (!copy)
        return NULL;
    ngx_memcpy(copy, key.data, key.len + 1);
    cache->key = (const char *)copy;
    cache->request = r;
    cache->rule = ctx->match.operation->cache;
    cache->wake.handler = on_wake;
    cache->wake.data = cache;
    cache->wake.log = r->connection->log;
    ngx_queue_init(&cache->waiters);
    make_field(r, ctx, cache, a);
    cln->handler = on_cleanup;
    cln->data = cache;
    return ctx->cache = cache;
}

static ngx_int_t add_line(ngx_http_request_t *r, const char *name, const ngx_str_t *value, ngx_table_elt_t **ret)
{
    if (!value->len)
        return NGX_OK;
    ngx_table_elt_t *h = ngx_list_push(&r->headers_out.headers);
    if (!h)
        return NGX_ERROR;
    *h = (ngx_table_elt_t){.hash = 1, .key = ngx_http_api_str(name), .value = *value};
    *ret = h;
    return NGX_OK;
}

/* What a browser or a CDN may keep, and how old this is. */
static ngx_int_t public_headers(ngx_http_request_t *r, const cache_t *cache, time_t age)
{
    struct st_arena *a = ngx_http_api_scratch();
    long long s = (long long)cache->rule->for_s;
    const char *vary = "";
    for (int i = 0; i < cache->rule->n_vary; i++)
        vary = st_printf(a, "%s%s%s", vary, i ? ", " : "", cache->rule->vary[i]);
    const struct {
        const char *name, *value;
    } all[] = {
        {"Cache-Control", st_printf(a, "public, max-age=%lld, s-maxage=%lld, stale-while-revalidate=%lld", s, s, s)},
        {"Age", age > 0 ? st_i64(a, age) : ""},
        {"Vary", vary},
    };
    for (size_t i = 0; i < ST_COUNT(all); i++) {
        ngx_str_t value = ngx_http_api_str(all[i].value);
        if (!value.len)
            continue;
        if (!(value.data = ngx_pstrdup(r->pool, &value)) || ngx_http_api_add_header(r, all[i].name, &value) != NGX_OK)
            return NGX_ERROR;
    }
    return NGX_OK;
}

static void count(ngx_http_request_t *r, enum ngx_http_api_counter_e what)
{
    const ngx_http_api_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_api_core_module);
    ngx_http_api_count(&amcf->zones[NGX_HTTP_API_ZONE_STATE], what);
}

/* NGX_DECLINED: the entry is none, or too old. */
static ngx_int_t serve(ngx_http_request_t *r, cache_t *cache)
{
    entry_t e;
    if (!parse_entry(&cache->entry, &e) || e.expires <= ngx_time())
        return NGX_DECLINED;
    ngx_table_elt_t *modified = NULL;
    cache->verdict = "HIT";
    cache->state = DONE;
    count(r, NGX_HTTP_API_N_CACHE_HIT);
    if (add_line(r, "ETag", &e.lines[ETAG], &r->headers_out.etag) != NGX_OK ||
        add_line(r, "Last-Modified", &e.lines[MODIFIED], &modified) != NGX_OK ||
        public_headers(r, cache, ngx_time() - e.stored) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    if (modified) {
        r->headers_out.last_modified = modified;
        r->headers_out.last_modified_time = ngx_parse_http_time(modified->value.data, modified->value.len);
    }
    u_char *type = ngx_pnalloc(r->pool, e.lines[TYPE].len + 1);
    if (!type)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    ngx_cpystrn(type, e.lines[TYPE].data, e.lines[TYPE].len + 1);
    ngx_http_finalize_request(r, ngx_http_api_send(r, NGX_HTTP_OK, (const char *)type, &e.body));
    return NGX_DONE;
}

/* What is asked of the service is the whole answer: conditions and ranges are for the client's copy. */
static ngx_int_t ask_for_all(ngx_http_request_t *r)
{
    static const char *const conditions[] = {"if-none-match", "if-modified-since", "if-match", "if-unmodified-since",
                                             "range",         "if-range"};
    return ngx_http_api_without_headers(r, conditions, ST_COUNT(conditions));
}

/* A header that came twice may mean either to the service: such an answer is for nobody else. */
static bool is_ambiguous(const ngx_http_request_t *r, const struct st_api_cache *rule)
{
    ngx_uint_t count = 0;
    for (int i = 0; i < rule->n_vary && count < 2; i++)
        (void)ngx_http_api_header(r, rule->vary[i], &count);
    return count > 1;
}

ngx_int_t ngx_http_api_cache_step(ngx_http_request_t *r, ngx_http_api_ctx_t *ctx)
{
    cache_t *cache = ctx->cache;
    if (!ctx->match.operation->cache || ctx->upstream.len || (cache && cache->settled))
        return NGX_OK;
    if (!cache) {
        if (is_ambiguous(r, ctx->match.operation->cache))
            return NGX_OK;
        if (!(cache = new_cache(r, ctx)))
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        const char *argv[] = {"HGET", cache->key, cache->field};
        cache->verdict = "BYPASS";
        if (ngx_http_api_redis_call(ASK_MS, on_answer, cache, ST_COUNT(argv), argv, NULL) == NGX_OK) {
            cache->state = ASKING;
            return ngx_http_api_suspend(r);
        }
    }
    if (cache->state == ASKING || cache->state == WAITING)
        return NGX_AGAIN; /* woken by something else */
    ngx_int_t rc = cache->state == DONE || !cache->entry.len ? NGX_DECLINED : serve(r, cache);
    if (rc != NGX_DECLINED)
        return rc;
    if (cache->state == NEW && cache->verdict[0] == 'M' && r->method == NGX_HTTP_GET && join(cache))
        return ngx_http_api_suspend(r);
    count(r, cache->verdict[0] == 'M' ? NGX_HTTP_API_N_CACHE_MISS : NGX_HTTP_API_N_CACHE_BYPASS);
    cache->settled = true;
    if (cache->state == LEADING && ask_for_all(r) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    return NGX_OK;
}

ngx_str_t ngx_http_api_cache_verdict(const ngx_http_api_ctx_t *ctx)
{
    return ngx_http_api_str(ctx->cache && ctx->cache->verdict ? ctx->cache->verdict : "");
}

/* --- the service's answer --- */

static bool is_named(const ngx_table_elt_t *h, const char *name)
{
    return h->key.len == strlen(name) && ngx_strncasecmp(h->key.data, (u_char *)name, h->key.len) == 0;
}

/* A header of the answer that is on its way out; several of one name count as the first. */
static const ngx_table_elt_t *find_out(const ngx_http_request_t *r, const char *name)
{
    for (const ngx_list_part_t *part = &r->headers_out.headers.part; part; part = part->next) {
        const ngx_table_elt_t *h = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++)
            if (h[i].hash && is_named(&h[i], name))
                return &h[i];
    }
    return NULL;
}

/* Does the entry's name tell all apart that the service says its answers vary by? Compression is done here. */
static bool is_covered(const struct st_api_cache *rule, const ngx_str_t *vary)
{
    const u_char *at = vary->data, *end = vary->data + vary->len;
    while (at < end) {
        while (at < end && (*at == ' ' || *at == '\t' || *at == ','))
            at++;
        const u_char *name = at;
        while (at < end && *at != ' ' && *at != '\t' && *at != ',')
            at++;
        size_t len = (size_t)(at - name);
        bool known = !len || (len == 15 && ngx_strncasecmp((u_char *)name, (u_char *)"accept-encoding", 15) == 0);
        for (int i = 0; i < rule->n_vary && !known; i++)
            known = strlen(rule->vary[i]) == len && ngx_strncasecmp((u_char *)name, (u_char *)rule->vary[i], len) == 0;
        if (!known)
            return false;
    }
    return true;
}

static bool may_share(const cache_t *cache, const ngx_table_elt_t *h)
{
    static const char *const private[] = {"no-store", "private"};
    bool may = true;
    if (is_named(h, "cache-control"))
        for (size_t i = 0; i < ST_COUNT(private); i++)
            may = may && !ngx_strcasestrn(h->value.data, (char *)private[i], strlen(private[i]) - 1);
    return may && (!is_named(h, "vary") || is_covered(cache->rule, &h->value));
}

/* What an entry cannot hold, and the answer means something else without, is among the headers that forbid it. */
static bool may_be_kept(const ngx_http_request_t *r, const cache_t *cache)
{
    static const char *const telling[] = {"set-cookie", "content-encoding", "content-disposition",
                                          "content-security-policy"};
    if (r->headers_out.status != NGX_HTTP_OK || r->internal || !r->upstream || r->headers_out.content_length_n < 0 ||
        r->headers_out.content_length_n > (off_t)conf_of(cache)->cache_answer)
        return false;
    for (size_t i = 0; i < ST_COUNT(telling); i++)
        if (find_out(r, telling[i]))
            return false;
    for (const ngx_list_part_t *part = &r->headers_out.headers.part; part; part = part->next) {
        const ngx_table_elt_t *h = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++)
            if (h[i].hash && !may_share(cache, &h[i]))
                return false;
    }
    return true;
}

/* For the answer as it comes, and as an entry. */
static bool make_room(ngx_http_request_t *r, cache_t *cache)
{
    size_t len = (size_t)r->headers_out.content_length_n;
    if (!count_in(cache, 2 * len))
        return false;
    cache->held.cap = len;
    return !len || (cache->held.data = ngx_pnalloc(r->pool, len)) != NULL;
}

static ngx_int_t header_filter(ngx_http_request_t *r)
{
    ngx_http_api_ctx_t *ctx = r == r->main ? ngx_http_api_get_ctx(r) : NULL;
    cache_t *cache = ctx ? ctx->cache : NULL;
    if (!cache || cache->state != LEADING)
        return next_header_filter(r);
    if (!may_be_kept(r, cache) || !make_room(r, cache)) {
        land(cache);
        return next_header_filter(r);
    }
    r->upstream->buffering = 0; /* every byte is taken at once: nothing may go to a file meanwhile */
    r->disable_not_modified = 0;
    cache->state = HOLDING;
    return NGX_OK;
}

static ngx_int_t set_etag(ngx_http_request_t *r, const ngx_http_api_held_t *held)
{
    if (r->headers_out.etag)
        return NGX_OK;
    const char *hash = st_sha256_hex(ngx_http_api_scratch(), held->len ? (char *)held->data : "", held->len);
    ngx_str_t value = {34, ngx_pnalloc(r->pool, 34)};
    if (!value.data)
        return NGX_ERROR;
    (void)ngx_sprintf(value.data, "\"%*s\"", (size_t)32, hash);
    return add_line(r, "ETag", &value, &r->headers_out.etag);
}

static void make_entry(ngx_http_request_t *r, cache_t *cache)
{
    const ngx_table_elt_t *modified = find_out(r, "last-modified");
    const ngx_str_t none = ngx_null_string;
    const ngx_str_t type = r->headers_out.content_type, etag = r->headers_out.etag->value;
    const ngx_str_t last = modified ? modified->value : none;
    if (!is_line(&type) || !is_line(&etag) || !is_line(&last))
        return;
    size_t room = sizeof(MARK) + 2 * NGX_TIME_T_LEN + type.len + etag.len + last.len + LINES + cache->held.len;
    u_char *p = ngx_pnalloc(r->pool, room);
    if (!p)
        return;
    cache->entry.data = p;
    p = ngx_sprintf(p, "%s%T\n%T\n%V\n%V\n%V\n", MARK, ngx_time(), ngx_time() + (time_t)cache->rule->for_s, &type,
                    &etag, &last);
    if (cache->held.len)
        p = ngx_cpymem(p, cache->held.data, cache->held.len);
    cache->entry.len = (size_t)(p - cache->entry.data);
}

/* Header and body go on, as they were held. */
static ngx_int_t release(ngx_http_request_t *r, const cache_t *cache, bool last)
{
    ngx_int_t rc = next_header_filter(r);
    ngx_buf_t *b = ngx_calloc_buf(r->pool);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only)
        return rc;
    if (!b)
        return NGX_ERROR;
    b->pos = b->start = cache->held.data;
    b->last = b->end = cache->held.data + cache->held.len;
    b->memory = cache->held.len > 0;
    b->last_buf = last;
    b->last_in_chain = 1;
    b->flush = !last;
    ngx_chain_t out = {.buf = b, .next = NULL};
    return next_body_filter(r, &out);
}

static ngx_int_t finish(ngx_http_request_t *r, cache_t *cache)
{
    for (ngx_table_elt_t *control; (control = (ngx_table_elt_t *)find_out(r, "cache-control")) != NULL;)
        control->hash = 0;
    if (set_etag(r, &cache->held) != NGX_OK || public_headers(r, cache, 0) != NGX_OK)
        return NGX_ERROR;
    make_entry(r, cache);
    if (cache->entry.len)
        store(cache);
    land(cache);
    return release(r, cache, true);
}

static ngx_int_t body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_api_ctx_t *ctx = r == r->main ? ngx_http_api_get_ctx(r) : NULL;
    cache_t *cache = ctx ? ctx->cache : NULL;
    bool last = false;
    if (!cache || cache->state != HOLDING)
        return next_body_filter(r, in);
    if (ngx_http_api_hold(r, &cache->held, in, cache->held.cap) != NGX_OK)
        return NGX_ERROR;
    for (ngx_chain_t *cl = in; cl; cl = cl->next) {
        last = last || cl->buf->last_buf;
        cl->buf->pos = cl->buf->last;
    }
    if (last && (off_t)cache->held.len == r->headers_out.content_length_n)
        return finish(r, cache);
    if (!last && (!r->upstream || r->upstream->peer.connection))
        return NGX_OK;
    land(cache); /* it broke off: the client sees what there is */
    return release(r, cache, last);
}

void ngx_http_api_cache_filter(void)
{
    next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = header_filter;
    next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = body_filter;
}
