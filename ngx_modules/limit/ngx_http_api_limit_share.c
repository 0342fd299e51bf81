/*
 * Budgets that all nodes share, through Redis.
 *
 * Redis holds the TAT of each (limit, key) that it has heard of. A limit with a small budget is exact: each request
 * asks. A larger one spends a little slack first, which Redis is told later, so that a key that is used rarely never
 * costs a round trip; a fast one leases units ahead, and asks for more before they run out. Redis debits a lease when
 * it grants it, so the nodes together never admit more than the limit and two slacks each: one that
 * Redis is being told, and one that it will be.
 *
 * In this node's table two words stand beside the TAT of a key: the lease and the debt, which is what has been spent
 * and not been told. The TAT follows Redis (less what is leased), so a key that has used up its budget is refused here
 * without asking. While Redis is away the TAT decides alone, and the debt grows.
 */
#include "ngx_http_api_limit.h"

enum {
    LEASE_MS = 1000, /* a lease not used by then is lost */
    ASKED_MS = 500,  /* for a lease: nobody waits */
    REFILL = 4,      /* asked when a quarter of a chunk is left, and again when a quarter has come in */
    REFUND_MS = 50,  /* before Redis is told that something was given back */
    KEY_LEN = 32,    /* hex digits of a key's name in Redis */
    NAME_LEN = 128,  /* of that name */
    ARGS_OF_KEY = 5,
    NUMBER_LEN = 24,
};

enum { LEASE_WORD, DEBT_WORD };

#define UNTIL_BITS 40
#define UNTIL_MASK ((UINT64_C(1) << UNTIL_BITS) - 1)
static const int64_t LEASE_MAX = (1 << 22) - 1;
static const int64_t DEBT_MAX = (1 << 23) - 1;

/*
 * For each key interval, tolerance, what to add to the debt whatever happens (it may be negative), how many units are
 * needed, how many are wanted at most; gives how many are granted, and how far the TAT lies ahead. Nothing is granted
 * unless every key has what it needs. A TAT far beyond the tolerance is one of an older, slower rate.
 */
static ngx_http_api_script_t script = {
    .text =
        "local t = redis.call('TIME')\n"
        "local now, tats, free, ok, out = t[1] * 1000000 + t[2], {}, {}, true, {}\n"
        "for i, key in ipairs(KEYS) do\n"
        "  local a = (i - 1) * 5\n"
        "  local interval, tolerance, adjust = tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3])\n"
        "  local tat = math.min(tonumber(redis.call('GET', key) or 0), now + 2 * tolerance)\n"
        "  tats[i] = math.max(math.max(tat, now) + adjust * interval, now)\n"
        "  free[i] = math.floor((now + tolerance - tats[i]) / interval)\n"
        "  ok = ok and free[i] >= tonumber(ARGV[a + 4])\n"
        "end\n"
        "for i, key in ipairs(KEYS) do\n"
        "  local a = (i - 1) * 5\n"
        "  local grant = ok and math.max(math.min(free[i], tonumber(ARGV[a + 5])), 0) or 0\n"
        "  local tat = tats[i] + grant * tonumber(ARGV[a + 1])\n"
        "  if tat <= now then\n"
        "    redis.call('DEL', key)\n"
        "  elseif grant > 0 or tonumber(ARGV[a + 3]) ~= 0 then\n"
        "    redis.call('SET', key, string.format('%.0f', tat), 'PX', math.ceil((tat - now) / 1000))\n"
        "  end\n"
        "  out[2 * i - 1], out[2 * i] = grant, tat - now\n"
        "end\n"
        "return out\n",
};

/* --- the two words --- */

typedef struct {
    int64_t units, until; /* ms; what is past says nothing */
    bool asked;           /* for more; the answer is under way */
    bool denied;          /* there are none before `until` */
} lease_t;

static lease_t to_lease(uint64_t word, int64_t now_ms)
{
    int64_t until = (int64_t)(word & UNTIL_MASK);
    if (until <= now_ms)
        return (lease_t){0};
    return (lease_t){.units = (int64_t)(word >> UNTIL_BITS) & LEASE_MAX,
                     .until = until,
                     .asked = word >> 63,
                     .denied = word >> 62 & 1};
}

static uint64_t from_lease(lease_t l)
{
    return (uint64_t)ngx_min(l.units, LEASE_MAX) << UNTIL_BITS | ((uint64_t)l.until & UNTIL_MASK) |
           (uint64_t)l.asked << 63 | (uint64_t)l.denied << 62;
}

static bool swap(uint64_t *word, uint64_t *seen, uint64_t to)
{
    return __atomic_compare_exchange_n(word, seen, to, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static uint64_t load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* Units that were spent and not told. Older than it takes the whole budget to come back, they have been made good. */
static int64_t to_debt(uint64_t word, const ngx_http_api_rule_t *rule, int64_t now_ms)
{
    int64_t since = (int64_t)(word & UNTIL_MASK);
    return !word || since + rule->gcra.tolerance / 1000 < now_ms ? 0 : (int64_t)(word >> UNTIL_BITS) - DEBT_MAX;
}

/* Adds to the debt, which may come to at most `most`. False: it would be more. */
static bool add_debt(uint64_t *word, const ngx_http_api_rule_t *rule, int64_t units, int64_t most, int64_t now_ms,
                     int64_t *ret)
{
    uint64_t seen = load(word), to;
    do {
        int64_t debt = to_debt(seen, rule, now_ms), since = debt ? (int64_t)(seen & UNTIL_MASK) : now_ms;
        *ret = debt + units;
        if (*ret > most)
            return false;
        *ret = ngx_max(*ret, -DEBT_MAX);
        to = *ret ? (uint64_t)(*ret + DEBT_MAX) << UNTIL_BITS | (uint64_t)since : 0;
    } while (!swap(word, &seen, to));
    return true;
}

static int64_t take_debt(struct st_gcra *table, uint64_t hash, const ngx_http_api_rule_t *rule, int64_t now_ms)
{
    uint64_t *words = st_gcra_words(table, hash);
    return words ? to_debt(__atomic_exchange_n(&words[DEBT_WORD], 0, __ATOMIC_ACQ_REL), rule, now_ms) : 0;
}

/* Gives what the debt is then; below 0 it is a credit: Redis counts units that were given back here. */
static int64_t owe(const ngx_http_api_limit_conf_t *conf, const ngx_http_api_debit_t *d, int64_t units, int64_t now)
{
    uint64_t *words = st_gcra_words(conf->table, d->hash);
    int64_t debt = 0;
    if (words && units)
        (void)add_debt(&words[DEBT_WORD], d->rule, units, DEBT_MAX, now / 1000, &debt);
    return debt;
}

/* Redis has answered about the key: what was granted, and how far the TAT lay ahead at `asked`. */
static void settle(struct st_gcra *table, uint64_t hash, const ngx_http_api_rule_t *rule, int64_t granted, bool denied,
                   int64_t ahead, int64_t asked, bool was_asked)
{
    uint64_t *words = st_gcra_words(table, hash), *word = words ? &words[LEASE_WORD] : NULL;
    if (!word)
        return;
    int64_t now_ms = st_mono() / 1000;
    uint64_t seen = load(word);
    lease_t l;
    do {
        l = to_lease(seen, now_ms);
        l.asked = l.asked && !was_asked;
        if (granted) {
            l.units += granted;
            l.until = ngx_max(l.until, now_ms + LEASE_MS);
            l.denied = false;
        } else if (denied && !l.units) {
            /* Not one unit at a time: a flood over the limit asks a few times a chunk. */
            int64_t due = ngx_max(rule->chunk / REFILL, 1) * rule->gcra.interval + ahead - rule->gcra.tolerance;
            l.until = now_ms + ngx_max(due, 0) / 1000 + 1;
            l.denied = true;
        }
    } while (!swap(word, &seen, from_lease(l)));
    st_gcra_raise(table, hash, asked + ahead - l.units * rule->gcra.interval);
}

/* --- questions --- */

typedef struct {
    const char *argv[1 + NGX_HTTP_API_LIMITS * (1 + ARGS_OF_KEY)];
    int n_keys, argc;
    char text[NGX_HTTP_API_LIMITS * ARGS_OF_KEY * NUMBER_LEN];
    size_t used;
} question_t;

static const char *number(question_t *q, int64_t n)
{
    char *at = q->text + q->used;
    *ngx_sprintf((u_char *)at, "%L", n) = '\0';
    q->used += strlen(at) + 1;
    return at;
}

/* The name in Redis tells nobody who it is. */
static void name_key(char out[NAME_LEN], const ngx_http_api_limit_conf_t *conf, const ngx_http_api_debit_t *d)
{
    struct st_arena a = {0};
    unsigned char mac[ST_SHA256_LEN];
    size_t len = sizeof(d->rule->id) + d->key.len;
    u_char *both = st_alloc(&a, len);
    ngx_memcpy(ngx_cpymem(both, &d->rule->id, sizeof(d->rule->id)), d->key.data, d->key.len);
    st_hmac_sha256(conf->secret.data, conf->secret.len, both, len, mac);
    snprintf(out, NAME_LEN, "st:limit:%s:%s", d->limit->name, st_hex(&a, mac, KEY_LEN / 2));
    st_arena_release(&a);
}

static void add_key(question_t *q, const char *name)
{
    q->argv[1 + q->n_keys++] = name;
    q->argc = 1 + q->n_keys;
}

static void add_args(question_t *q, const ngx_http_api_rule_t *rule, int64_t debt, int64_t needed, int64_t most)
{
    const int64_t args[ARGS_OF_KEY] = {rule->gcra.interval, rule->gcra.tolerance, debt, needed, most};
    for (int i = 0; i < ARGS_OF_KEY; i++)
        q->argv[q->argc++] = number(q, args[i]);
}

static ngx_int_t ask(question_t *q, ngx_msec_t timeout, ngx_http_api_redis_pt *answer, void *data)
{
    char n[NUMBER_LEN];
    *ngx_sprintf((u_char *)n, "%d", q->n_keys) = '\0';
    q->argv[0] = n;
    return ngx_http_api_redis_eval(timeout, answer, data, &script, q->argc, q->argv, NULL);
}

/*
 * What Redis says of a key, where it can make sense: not more units than it was asked for, and a TAT of which all
 * beyond the tolerance is the same. Redis is no part of what is trusted with numbers.
 */
static void bound(const ngx_http_api_rule_t *rule, int64_t most, int64_t v[2])
{
    v[0] = ngx_max(ngx_min(v[0], most), 0);
    v[1] = ngx_max(ngx_min(v[1], 2 * rule->gcra.tolerance), 0);
}

/* --- while nobody waits --- */

/* It outlives the request, and keeps of the configuration only what it has copied. */
typedef struct {
    ngx_event_t timer;
    struct st_gcra *table;
    ngx_http_api_rule_t rule; /* chunk: what is asked for */
    uint64_t hash;
    int64_t asked;
    char name[NAME_LEN];
} report_t;

static void on_report(void *data, const struct redisReply *reply)
{
    report_t *report = data;
    int64_t v[2] = {0, 0};
    bool told = ngx_http_api_redis_integers(reply, v, 2) == NGX_OK;
    bound(&report->rule, report->rule.chunk, v);
    settle(report->table, report->hash, &report->rule, v[0], told && report->rule.chunk && !v[0], v[1], report->asked,
           true);
    free(report);
}

/* Tells Redis the debt, and asks for a chunk. */
static void send_report(report_t *report)
{
    question_t q = {.n_keys = 0};
    uint64_t *words = st_gcra_words(report->table, report->hash);
    report->asked = st_mono();
    int64_t now_ms = report->asked / 1000, debt = take_debt(report->table, report->hash, &report->rule, now_ms);
    add_key(&q, report->name);
    add_args(&q, &report->rule, debt, 0, report->rule.chunk);
    if ((debt || report->rule.chunk) && ask(&q, ASKED_MS, on_report, report) == NGX_OK)
        return;
    if (words && debt)
        (void)add_debt(&words[DEBT_WORD], &report->rule, debt, DEBT_MAX, now_ms, &debt);
    on_report(report, NULL);
}

static void on_time(ngx_event_t *ev)
{
    send_report(ev->data);
}

static void report(const ngx_http_api_limit_conf_t *conf, const ngx_http_api_debit_t *d, int64_t chunk,
                   ngx_msec_t delay)
{
    report_t *report = calloc(1, sizeof(*report));
    if (!report)
        return;
    report->table = conf->table;
    report->rule = *d->rule;
    report->rule.chunk = chunk;
    report->hash = d->hash;
    name_key(report->name, conf, d);
    ngx_http_api_limit_count(d->limit, NGX_HTTP_API_LIMIT_LEASES);
    if (!delay) {
        send_report(report);
        return;
    }
    report->timer.handler = on_time;
    report->timer.data = report;
    report->timer.log = ngx_cycle->log;
    ngx_add_timer(&report->timer, delay);
}

/* --- paying --- */

/* Out of the lease. NGX_DECLINED: it does not hold enough. */
static ngx_int_t pay_lease(const ngx_http_api_limit_conf_t *conf, ngx_http_api_debit_t *d, uint64_t *word, int64_t now)
{
    uint64_t seen = load(word);
    bool refill;
    lease_t l;
    do {
        l = to_lease(seen, now / 1000);
        if (l.denied) {
            d->wait = l.until * 1000 - now;
            return NGX_BUSY;
        }
        if (l.units < d->limit->limit->cost)
            return NGX_DECLINED;
        l.units -= d->limit->limit->cost;
        refill = !l.asked && l.units <= d->rule->chunk / REFILL;
        l.asked = l.asked || refill;
    } while (!swap(word, &seen, from_lease(l)));
    d->paid = NGX_HTTP_API_PAID_LEASE;
    if (refill)
        report(conf, d, d->rule->chunk, 0);
    return NGX_OK;
}

/* Nobody asks at the same time. */
static bool may_ask(uint64_t *word, int64_t now)
{
    uint64_t seen = load(word);
    lease_t l;
    do {
        l = to_lease(seen, now / 1000);
        if (l.asked)
            return false;
        l.asked = true;
        l.until = ngx_max(l.until, now / 1000 + ASKED_MS);
    } while (!swap(word, &seen, from_lease(l)));
    return true;
}

ngx_int_t ngx_http_api_share_pay(const ngx_http_api_limit_conf_t *conf, ngx_http_api_debit_t *d, int64_t now)
{
    const ngx_http_api_rule_t *rule = d->rule;
    uint64_t *words = st_gcra_words(conf->table, d->hash);
    int64_t debt, cost = d->limit->limit->cost;
    d->paid = NGX_HTTP_API_PAID_HERE;
    if (!words)
        return NGX_OK;
    uint64_t *lease = &words[LEASE_WORD], *owed = &words[DEBT_WORD];
    ngx_int_t rc = rule->chunk ? pay_lease(conf, d, lease, now) : NGX_DECLINED;
    if (rc != NGX_DECLINED)
        return rc;
    if (!ngx_http_api_redis_up()) {
        ngx_http_api_limit_count(d->limit, NGX_HTTP_API_LIMIT_FALLBACK);
        d->paid = NGX_HTTP_API_PAID_SLACK;
        (void)add_debt(owed, rule, cost, DEBT_MAX, now / 1000, &debt);
        return NGX_OK;
    }
    /* Little is left: who is near the end of the budget asks, unless there is a credit. */
    int64_t left = (now + rule->gcra.tolerance - d->tat) / rule->gcra.interval;
    if (add_debt(owed, rule, cost, left >= ngx_max(rule->slack, rule->chunk) ? rule->slack : 0, now / 1000, &debt)) {
        d->paid = NGX_HTTP_API_PAID_SLACK;
        if (debt * 2 > rule->slack && debt > 0 && may_ask(lease, now))
            report(conf, d, rule->chunk, 0);
        return NGX_OK;
    }
    d->paid = NGX_HTTP_API_PAID_ASKING;
    return NGX_AGAIN;
}

static void return_lease(uint64_t *word, int64_t units, int64_t now)
{
    uint64_t seen = load(word);
    lease_t l;
    do {
        l = to_lease(seen, now / 1000);
        l.units += l.until ? units : 0;
    } while (!swap(word, &seen, from_lease(l)));
}

void ngx_http_api_share_refund(const ngx_http_api_limit_conf_t *conf, ngx_http_api_debit_t *d, int64_t now)
{
    uint64_t *words = st_gcra_words(conf->table, d->hash), *word = words ? &words[LEASE_WORD] : NULL;
    int64_t cost = d->limit->limit->cost;
    enum ngx_http_api_paid_e paid = d->paid;
    if (paid == NGX_HTTP_API_UNPAID)
        return;
    d->paid = NGX_HTTP_API_UNPAID;
    d->tat -= ngx_http_api_debit_us(d);
    st_gcra_refund(conf->table, d->hash, &d->rule->gcra, cost);
    if (!word || paid == NGX_HTTP_API_PAID_HERE || paid == NGX_HTTP_API_PAID_ASKING)
        return;
    if (paid == NGX_HTTP_API_PAID_LEASE) {
        return_lease(word, cost, now);
        return;
    }
    /* The other nodes should know, but a flood of what is refused need not tell each time. */
    if (owe(conf, d, -cost, now) < 0 && may_ask(word, now))
        report(conf, d, 0, REFUND_MS);
}

/* --- asking while a request waits --- */

/* The request has been finalised: there is nobody to answer. */
static void on_cleanup(void *data)
{
    ngx_http_api_redis_forget(data);
}

/* All were granted. */
static void grant(const ngx_http_api_bill_t *bill, ngx_http_api_debit_t *d, int64_t granted, int64_t ahead)
{
    d->paid = NGX_HTTP_API_PAID_REDIS;
    settle(bill->conf->table, d->hash, d->rule, granted - d->limit->limit->cost, false, ahead, bill->asked, false);
    d->tat = ngx_max(d->tat, bill->asked + ahead - (granted - d->limit->limit->cost) * d->rule->gcra.interval);
}

/* One of those asked for was not granted: was it this one? Then it is remembered here. */
static bool deny(const ngx_http_api_bill_t *bill, ngx_http_api_debit_t *d, int64_t ahead)
{
    int64_t wait = ngx_http_api_debit_us(d) + ahead - d->rule->gcra.tolerance;
    d->paid = NGX_HTTP_API_UNPAID;
    d->tat -= ngx_http_api_debit_us(d);
    st_gcra_refund(bill->conf->table, d->hash, &d->rule->gcra, d->limit->limit->cost);
    settle(bill->conf->table, d->hash, d->rule, 0, wait > 0 && d->rule->chunk, ahead, bill->asked, false);
    if (wait <= 0)
        return false;
    d->wait = wait;
    d->tat = ngx_max(d->tat, bill->asked + ahead);
    return true;
}

static void on_answer(void *data, const struct redisReply *reply)
{
    ngx_http_api_bill_t *bill = data;
    ngx_http_api_debit_t *asked[NGX_HTTP_API_LIMITS];
    int64_t v[2 * NGX_HTTP_API_LIMITS];
    size_t n = 0;
    for (ngx_uint_t i = 0; i < bill->n; i++)
        if (bill->debits[i].paid == NGX_HTTP_API_PAID_ASKING)
            asked[n++] = &bill->debits[i];
    if (ngx_http_api_redis_integers(reply, v, 2 * n) != NGX_OK) {
        for (size_t i = 0; i < n; i++) {
            asked[i]->paid = NGX_HTTP_API_PAID_HERE; /* Redis may know of it, and may not */
            ngx_http_api_limit_count(asked[i]->limit, NGX_HTTP_API_LIMIT_FALLBACK);
        }
    } else {
        bool granted = true;
        for (size_t i = 0; i < n; i++) {
            int64_t cost = asked[i]->limit->limit->cost;
            bound(asked[i]->rule, ngx_max(cost, asked[i]->rule->chunk), &v[2 * i]);
            granted = granted && v[2 * i] >= cost;
        }
        for (size_t i = 0; i < n; i++) {
            if (granted) {
                grant(bill, asked[i], v[2 * i], v[2 * i + 1]);
            } else if (deny(bill, asked[i], v[2 * i + 1]) && !bill->over) {
                bill->over = asked[i];
            }
        }
    }
    bill->answered = 1;
    ngx_http_api_resume(bill->request);
}

/* Redis is away: it will be told. */
static void decide_here(const ngx_http_api_bill_t *bill, ngx_http_api_debit_t *d, int64_t debt)
{
    ngx_http_api_limit_count(d->limit, NGX_HTTP_API_LIMIT_FALLBACK);
    d->paid = NGX_HTTP_API_PAID_SLACK;
    (void)owe(bill->conf, d, debt + d->limit->limit->cost, bill->asked);
}

ngx_int_t ngx_http_api_share_ask(ngx_http_api_bill_t *bill)
{
    question_t q = {.n_keys = 0};
    ngx_http_api_debit_t *asked[NGX_HTTP_API_LIMITS];
    char names[NGX_HTTP_API_LIMITS][NAME_LEN];
    int64_t debts[NGX_HTTP_API_LIMITS];
    ngx_int_t rc = NGX_OK;
    int n = 0;
    bill->asked = st_mono();
    for (ngx_uint_t i = 0; i < bill->n; i++) {
        if (bill->debits[i].paid != NGX_HTTP_API_PAID_ASKING)
            continue;
        asked[n] = &bill->debits[i];
        name_key(names[n], bill->conf, asked[n]);
        add_key(&q, names[n++]);
    }
    for (int i = 0; i < n; i++) {
        int64_t cost = asked[i]->limit->limit->cost;
        debts[i] = take_debt(bill->conf->table, asked[i]->hash, asked[i]->rule, bill->asked / 1000);
        add_args(&q, asked[i]->rule, debts[i], cost, ngx_max(cost, asked[i]->rule->chunk));
    }
    if (!bill->watched) {
        ngx_http_cleanup_t *cln = ngx_http_cleanup_add(bill->request, 0);
        if (cln) {
            cln->handler = on_cleanup;
            cln->data = bill;
            bill->watched = 1;
        }
    }
    bill->answered = 0;
    if (bill->watched && ask(&q, bill->conf->timeout, on_answer, bill) == NGX_OK) {
        for (int i = 0; i < n; i++)
            ngx_http_api_limit_count(asked[i]->limit, NGX_HTTP_API_LIMIT_EXACT);
        rc = ngx_http_api_suspend(bill->request);
    } else {
        for (int i = 0; i < n; i++)
            decide_here(bill, asked[i], debts[i]);
    }
    return rc;
}
