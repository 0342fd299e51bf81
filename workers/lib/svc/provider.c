/* Calls to providers outside, with all that keeps them in bounds: places, pauses, tries, breaker, costs. */
#include "svc/provider.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "svc/call.h"
#include "svc/jobs.h"

enum {
    WAIT_MAX_MS = 60000, /* that a call waits, all its pauses together */
    FIRST_PAUSE_MS = 500,
    LAST_PAUSE_MS = 30000,
    TICK_MS = 100,      /* how often cancelled() is asked while it waits */
    LEASE_MS = 30000,   /* beyond the timeout */
    PLACE_MS = 3600000, /* that a call waits for others of ours to end: narrations queue up */
    KEY_MAX = 4096,
    CLIENTS = 32, /* connections kept for the next call */
};

/* What all threads of the process share. Costs are recorded whatever becomes of the job, so not on its connection. */
static struct {
    pthread_mutex_t lock;
    struct st_pg *pg;
    struct st_http_client *clients[CLIENTS];
    int n_clients;
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const struct {
    const char *name;
    int error;
    const char *why;
} outcomes[] = {
    [ST_OUTCOME_OK] = {"ok", 0, NULL},
    [ST_OUTCOME_CONTENT] = {"content", ST_E_UNPROCESSABLE, "The provider refuses this content."},
    [ST_OUTCOME_QUOTA] = {"quota", ST_E_PAYMENT, "The account with the provider is used up."},
    [ST_OUTCOME_TRANSIENT] = {"transient", ST_E_UNAVAILABLE, "The provider is not available."},
    [ST_OUTCOME_LIMITED] = {"limited", ST_E_LIMITED, "The provider asks to go slower."},
    [ST_OUTCOME_UNKNOWN] = {"unknown", ST_E_TIMEOUT, "The provider gave no answer."},
    [ST_OUTCOME_REQUEST] = {"request", ST_E_BAD_GATEWAY, "The provider cannot do what it was asked for."},
    [ST_OUTCOME_PERMANENT] = {"permanent", ST_E_BAD_GATEWAY, "The provider does not accept our calls."},
    [ST_OUTCOME_CANCELLED] = {"cancelled", ST_E_CANCELLED, "The work was cancelled."},
    [ST_OUTCOME_OURS] = {"cancelled", ST_E_INTERNAL, NULL}, /* by ourselves, and no more is on record */
};

int st_outcome_error(enum st_outcome outcome)
{
    return outcomes[outcome].error;
}

enum st_outcome st_outcome_of_status(const struct st_http_answer *answer)
{
    int s = answer->status;
    if (s / 100 == 2)
        return ST_OUTCOME_OK;
    if (s == 429)
        return ST_OUTCOME_LIMITED;
    if (s == 408 || s == 409 || s == 425 || s / 100 == 5)
        return ST_OUTCOME_TRANSIENT;
    if (s == 402)
        return ST_OUTCOME_QUOTA;
    return s == 400 || s == 413 || s == 422 ? ST_OUTCOME_CONTENT : ST_OUTCOME_PERMANENT;
}

bool st_provider_job_stops(void *ctx)
{
    struct st_call *call = ctx;
    struct st_leased_job *job = call->p->job;
    return job && st_progress(call, atomic_load(&job->done), atomic_load(&job->total)) < 0;
}

/* --- the key ----------------------------------------------------------------------------------------------------- */

bool st_provider_ready(const struct st_provider *p)
{
    return *st_option(p->key_option);
}

/* Read anew each time, so that it can be changed while the daemon runs. */
static const char *key_header(const struct st_provider *p, struct st_arena *a)
{
    char key[KEY_MAX];
    int fd = open(st_option(p->key_option), O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, key, sizeof(key)) : -1;
    if (fd >= 0)
        close(fd);
    while (n > 0 && (unsigned char)key[n - 1] <= ' ')
        n--;
    for (ssize_t i = 0; i < n; i++)
        if ((unsigned char)key[i] <= ' ' || (unsigned char)key[i] >= 0x7f)
            return NULL;
    if (n <= 0 || n == KEY_MAX)
        return NULL;
    const char *at = strstr(p->key_header, "%s");
    return st_printf(a, "%.*s%.*s%s", (int)(at - p->key_header), p->key_header, (int)n, key, at + 2);
}

/* --- the tables -------------------------------------------------------------------------------------------------- */

struct attempt {
    const struct st_provider *provider;
    const struct st_provider_call *call;
    struct st_arena *arena;
    const char *row; /* of provider_calls, as text; NULL for a look-up */
    int64_t waited_ms, placed_ms;
};

static int ask(struct st_arena *a, const char *sql, int n, const char *const *params, struct st_rows **ret)
{
    pthread_mutex_lock(&shared.lock);
    if (!shared.pg)
        shared.pg = st_pg_new(st_option("database"), "providers");
    int r = st_pg_query(shared.pg, a, sql, n, params, ret);
    pthread_mutex_unlock(&shared.lock);
    return r;
}

static const char *note_end(const struct attempt *t, enum st_outcome outcome, const struct st_http_answer *http,
                            int64_t pause_ms)
{
    int64_t units = outcome == ST_OUTCOME_OK ? t->call->units : 0, micros = units * t->provider->price_micros;
    struct st_arena *a = t->arena;
    struct st_rows *rows;
    if (outcome == ST_OUTCOME_OK && t->provider->meter)
        t->provider->meter(http, &units, &micros);
    int r =
        ask(a, "select provider_end($1, $2, $3, $4, $5, $6, $7)",
            ST_PARAMS(t->provider->name, t->row, outcomes[outcome].name, http->status ? st_i64(a, http->status) : NULL,
                      st_i64(a, units), st_i64(a, micros), st_i64(a, pause_ms)),
            &rows);
    return r < 0 ? "The call could not be recorded." : NULL;
}

/* --- waiting ----------------------------------------------------------------------------------------------------- */

static bool is_cancelled(const struct st_provider_call *c)
{
    return c->cancelled && c->cancelled(c->ctx);
}

/* False when the work was cancelled meanwhile. */
static bool wait_ms(const struct st_provider_call *c, int64_t ms)
{
    for (int64_t until = st_mono() + ms * 1000, left; (left = until - st_mono()) > 0;) {
        if (is_cancelled(c))
            return false;
        st_sleep_ms(left < TICK_MS * 1000 ? (int)(left / 1000 + 1) : TICK_MS);
    }
    return !is_cancelled(c);
}

/* A quarter more or less, so that many who wait do not come back at once. */
static int64_t jitter(int64_t ms)
{
    uint16_t chance;
    st_random_id(&chance, sizeof(chance));
    return ms * 3 / 4 + ms / 2 * chance / UINT16_MAX;
}

/* Waits until it may call: ST_OUTCOME_OK, or why not. */
static enum st_outcome begin(struct attempt *t, const char **ret_why, int64_t *ret_wait_ms)
{
    const struct st_provider *p = t->provider;
    struct st_arena *a = t->arena;
    for (;;) {
        struct st_rows *rows;
        if (is_cancelled(t->call))
            return ST_OUTCOME_CANCELLED;
        if (ask(a, "select verdict, wait_ms, call_ from provider_begin($1, $2, $3, $4, $5)",
                ST_PARAMS(p->name, t->call->reference, t->call->look_up ? "t" : "f", st_i64(a, p->concurrency),
                          st_i64(a, p->timeout_ms + LEASE_MS)),
                &rows) < 0) {
            *ret_why = "The table of providers cannot be read.";
            return ST_OUTCOME_TRANSIENT;
        }
        const char *verdict = st_cell(rows, 0, 0);
        int64_t wait = st_cell_int(rows, 0, 1);
        t->row = st_cell(rows, 0, 2);
        if (st_streq(verdict, "go"))
            return ST_OUTCOME_OK;
        bool place = st_streq(verdict, "busy"), open = st_streq(verdict, "open") || st_streq(verdict, "probing");
        if (open || (place ? t->placed_ms >= PLACE_MS : t->waited_ms + wait > WAIT_MAX_MS)) {
            *ret_why = open ? "The provider has failed too often, and is left alone for a while."
                            : st_printf(a, "The provider is %s.", verdict);
            *ret_wait_ms = wait;
            return open || place ? ST_OUTCOME_TRANSIENT : ST_OUTCOME_LIMITED;
        }
        *(place ? &t->placed_ms : &t->waited_ms) += wait;
        if (!wait_ms(t->call, place ? jitter(wait) : wait))
            return ST_OUTCOME_CANCELLED;
    }
}

/* --- one try ----------------------------------------------------------------------------------------------------- */

static struct st_http_client *client_take(void)
{
    pthread_mutex_lock(&shared.lock);
    struct st_http_client *c = shared.n_clients ? shared.clients[--shared.n_clients] : NULL;
    pthread_mutex_unlock(&shared.lock);
    return c ? c : st_http_client_new(NULL, NULL);
}

static void client_give(struct st_http_client *c)
{
    pthread_mutex_lock(&shared.lock);
    bool kept = shared.n_clients < CLIENTS;
    if (kept)
        shared.clients[shared.n_clients++] = c;
    pthread_mutex_unlock(&shared.lock);
    if (!kept)
        st_http_client_free(c);
}

static void add_headers(const char **list, size_t *n, const char *const *more)
{
    for (; more && *more; more++)
        list[(*n)++] = *more;
}

static size_t count(const char *const *list)
{
    size_t n = 0;
    while (list && list[n])
        n++;
    return n;
}

/* What is sent, the same in every try. False: the key cannot be read. */
static bool prepare(const struct st_provider *p, const struct st_provider_call *c, struct st_arena *a,
                    struct st_http_call *ret)
{
    size_t n = 0;
    const char **headers = st_new_n(a, const char *, count(p->headers) + count(c->headers) + 3);
    const char *key = c->url ? NULL : key_header(p, a), *body = c->json ? st_json_text(a, c->json) : NULL;
    if (!c->url && !key)
        return false;
    if (key)
        headers[n++] = key;
    if (body)
        headers[n++] = "Content-Type: application/json";
    add_headers(headers, &n, c->url ? NULL : p->headers);
    add_headers(headers, &n, c->headers);
    *ret = (struct st_http_call){
        .method = c->method ? c->method : "POST",
        .url = c->url ? c->url : st_printf(a, "%s%s", st_option(p->url_option), c->path),
        .headers = headers,
        .body = body,
        .body_len = body ? strlen(body) : 0,
        .parts = c->parts,
        .n_parts = c->n_parts,
        .timeout_ms = p->timeout_ms,
        .answer_max = c->answer_max,
        .public_only = c->public_only,
        .once = c->once,
        .save_to = c->save_to,
        .cancelled = c->cancelled,
        .ctx = c->ctx,
    };
    return true;
}

static enum st_outcome outcome_of_error(int r)
{
    switch (r) {
    case ST_E_CANCELLED: return ST_OUTCOME_CANCELLED;
    case ST_E_TIMEOUT:
    case ST_E_BAD_GATEWAY: return ST_OUTCOME_UNKNOWN;
    case ST_E_TOO_LARGE: return ST_OUTCOME_PERMANENT;
    case ST_E_INTERNAL: return ST_OUTCOME_OURS;
    }
    return ST_OUTCOME_TRANSIENT; /* no connection */
}

static enum st_outcome send(const struct st_provider *p, const struct st_http_call *http, struct st_arena *a,
                            struct st_provider_answer *ret)
{
    struct st_http_client *client = client_take();
    ret->http = (struct st_http_answer){0};
    int r = st_http_client_do(client, http, a, &ret->http, &ret->why);
    client_give(client);
    if (r < 0)
        return outcome_of_error(r);
    return p->classify ? p->classify(a, &ret->http, &ret->why) : st_outcome_of_status(&ret->http);
}

/* What x-should-retry makes of it: a provider knows best. */
static bool is_repeated(const struct st_provider_call *c, const struct st_provider_answer *answer)
{
    const char *says = st_http_answer_header(&answer->http, "x-should-retry");
    enum st_outcome o = answer->outcome;
    if (o == ST_OUTCOME_OK || o == ST_OUTCOME_CANCELLED || o == ST_OUTCOME_QUOTA)
        return false;
    bool unsure = o == ST_OUTCOME_UNKNOWN || (o == ST_OUTCOME_TRANSIENT && answer->http.status / 100 == 5);
    if (c->once && unsure)
        return false;
    if (says)
        return st_streq(says, "true");
    return o == ST_OUTCOME_TRANSIENT || o == ST_OUTCOME_LIMITED || o == ST_OUTCOME_UNKNOWN;
}

/* Before try n + 1, counted from 1. */
static int64_t pause_before(int n, int64_t asked_ms)
{
    int64_t ms = FIRST_PAUSE_MS;
    while (--n > 0 && ms < LAST_PAUSE_MS)
        ms *= 2;
    return asked_ms >= 0 ? asked_ms : jitter(ms < LAST_PAUSE_MS ? ms : LAST_PAUSE_MS);
}

/* Waits, sends, records. */
static void try_once(struct attempt *t, const struct st_http_call *http, struct st_provider_answer *ret)
{
    *ret = (struct st_provider_answer){.wait_ms = -1};
    ret->outcome = begin(t, &ret->why, &ret->wait_ms);
    if (ret->outcome != ST_OUTCOME_OK)
        return;
    ret->outcome = send(t->provider, http, t->arena, ret);
    if (ret->outcome == ST_OUTCOME_TRANSIENT && t->call->once && ret->http.status / 100 == 5)
        ret->outcome = ST_OUTCOME_UNKNOWN; /* it may have begun what it then failed to tell */
    ret->wait_ms = st_http_answer_wait_ms(&ret->http);
    bool slower = ret->outcome == ST_OUTCOME_LIMITED || ret->outcome == ST_OUTCOME_TRANSIENT;
    const char *unrecorded = note_end(t, ret->outcome, &ret->http, slower ? ret->wait_ms : 0);
    if (unrecorded)
        st_log(ST_LOG_ERROR, unrecorded, ST_S("provider", t->provider->name));
}

int st_provider_do(const struct st_provider *p, const struct st_provider_call *call, struct st_arena *a,
                   struct st_provider_answer *ret)
{
    struct attempt t = {.provider = p, .call = call, .arena = a};
    struct st_http_call http;
    *ret = (struct st_provider_answer){.outcome = ST_OUTCOME_PERMANENT, .wait_ms = -1};
    if (!prepare(p, call, a, &http)) {
        ret->why = "The key of the provider cannot be read.";
        return st_outcome_error(ret->outcome);
    }
    for (int n = 1, attempts = call->attempts ? call->attempts : p->attempts;; n++) {
        t.row = NULL;
        try_once(&t, &http, ret);
        bool sent = ret->http.status || t.row || call->look_up;
        if (!sent || n >= attempts || !is_repeated(call, ret))
            break;
        int64_t pause = pause_before(n, ret->wait_ms);
        if (t.waited_ms + pause > WAIT_MAX_MS)
            break;
        t.waited_ms += pause;
        if (!wait_ms(call, pause)) {
            ret->outcome = ST_OUTCOME_CANCELLED;
            break;
        }
    }
    if (ret->outcome != ST_OUTCOME_OK && !ret->why)
        ret->why = outcomes[ret->outcome].why;
    return st_outcome_error(ret->outcome);
}
