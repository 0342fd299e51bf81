/* The x- members of an operation: limits, timeout, sizes, idempotency, retries, deprecation. */
#include "io/openapi_impl.h"

static const int64_t MAX_RATE = 1000000;
static const int64_t MAX_PERIOD = 366 * INT64_C(86400) * ST_SECOND;
static const int64_t MAX_TIMEOUT_MS = 3600 * 1000;
static const int64_t MAX_BODY = INT64_C(64) << 30;
static const char NAME_CHARACTERS[] = ST_LOWER ST_DIGITS "._-";

bool st_contract_is_name(const char *s, const char *set, size_t max)
{
    size_t n = s ? strspn(s, set) : 0;
    return n > 0 && n <= max && !s[n] && s[0] >= 'a' && s[0] <= 'z';
}

struct unit {
    const char *name; /* NULL ends the list */
    int64_t factor;
};

/* "30s": a positive integer and a unit. 0 when it is none, or more than max. */
static int64_t parse_unit(struct st_arena *a, const char *s, const struct unit *units, int64_t max)
{
    size_t digits = s ? strspn(s, ST_DIGITS) : 0;
    int64_t n, product;
    if (!digits || !st_parse_i64(st_strndup(a, s, digits), 1, INT64_MAX, &n))
        return 0;
    for (; units->name; units++)
        if (strcmp(units->name, s + digits) == 0)
            return __builtin_mul_overflow(n, units->factor, &product) || product > max ? 0 : product;
    return 0;
}

int64_t st_contract_span(struct st_arena *a, const char *s, int64_t max_us)
{
    static const struct unit units[] = {{"ms", 1000},
                                        {"s", 1000000},
                                        {"m", INT64_C(60) * 1000000},
                                        {"h", INT64_C(3600) * 1000000},
                                        {"d", INT64_C(86400) * 1000000},
                                        {NULL, 0}};
    return parse_unit(a, s, units, max_us);
}

/* "10/1h" */
static bool parse_rate(struct st_arena *a, const char *s, struct st_api_rate *ret)
{
    static const struct unit plain[] = {{"", 1}, {NULL, 0}};
    const char *slash = s ? strchr(s, '/') : NULL;
    if (!slash)
        return false;
    int64_t count = parse_unit(a, st_strndup(a, s, (size_t)(slash - s)), plain, MAX_RATE);
    int64_t period = st_contract_span(a, slash + 1, MAX_PERIOD);
    if (!count || !period)
        return false;
    *ret = (struct st_api_rate){.count = count, .period_us = period, .burst = count};
    return true;
}

static void read_rates(struct st_contract *c, const json_t *json, const char *at, struct st_api_limit *limit)
{
    static const char shape[] = "must be a rate such as 10/1h: at most 1000000 in at most 366d";
    const json_t *tiers = json_object_get(json, "tiers"), *burst = json_object_get(json, "burst");
    const char *tier;
    json_t *rate;
    limit->rates = st_new_n(c->r->arena, struct st_api_rate, 1 + json_object_size(tiers));
    if (!parse_rate(c->r->arena, st_json_str(json, "rate", NULL), &limit->rates[limit->n_rates++]))
        st_contract_mistake(c, at, "rate %s", shape);
    else if (burst && (st_json_int(json, "burst", 0) < 1 || st_json_int(json, "burst", 0) > limit->rates[0].count))
        st_contract_mistake(c, at, "burst must be an integer from 1 to the rate's count");
    else if (burst)
        limit->rates[0].burst = st_json_int(json, "burst", 0);
    if (tiers && !json_object_size(tiers))
        st_contract_mistake(c, at, "tiers must be a map of rates");
    json_object_foreach ((json_t *)tiers, tier, rate) {
        struct st_api_rate *r = &limit->rates[limit->n_rates++];
        if (!parse_rate(c->r->arena, json_string_value(rate), r))
            st_contract_mistake(c, at, "the rate of tier %.40s %s", tier, shape);
        r->tier = tier;
        if (!st_contract_is_name(tier, NAME_CHARACTERS, 64))
            st_contract_mistake(c, at, "the tier %.40s must be a name of a-z, 0-9, '.', '_', '-'", tier);
    }
}

/* What a client may send unproved is no identity, and what is secret is no key. */
static bool is_credential(const char *name)
{
    static const char *const names[] = {"authorization", "proxy-authorization", "cookie", "x-api-key"};
    for (size_t i = 0; i < ST_COUNT(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static void read_header(struct st_contract *c, const char *at, struct st_api_limit *limit)
{
    if (!st_contract_is_name(limit->of, ST_LOWER ST_DIGITS "-", 64))
        st_contract_mistake(c, at, "by: header: wants the header's name in lower case");
    else if (is_credential(limit->of))
        st_contract_mistake(c, at, "by: header:%s would count what nobody has verified; limit by user or key",
                            limit->of);
}

static void read_variable(struct st_contract *c, const char *at, const struct st_api_operation *op,
                          struct st_api_limit *limit)
{
    static const char *const credentials[] = {
        "http_authorization", "http_proxy_authorization", "http_cookie", "http_x_api_key", "remote_user", "cookie_"};
    if (!st_contract_is_name(limit->of, ST_LOWER ST_DIGITS "_", 64)) {
        st_contract_mistake(c, at, "by: variable: wants the name of an nginx variable, without $");
        return;
    }
    for (size_t i = 0; i < ST_COUNT(credentials); i++)
        if (strncmp(limit->of, credentials[i], strlen(credentials[i])) == 0)
            st_contract_mistake(c, at, "by: variable:%s would count what nobody has verified; limit by user or key",
                                limit->of);
    if (strncmp(limit->of, "api_", 4) == 0 && !op->authenticated)
        st_contract_mistake(c, at, "a limit by variable:%s on an operation without security would count nobody",
                            limit->of);
}

static bool takes_keys(const struct st_api_operation *op)
{
    for (int i = 0; i < op->n_alternatives; i++)
        for (int k = 0; k < op->alternatives[i].n_schemes; k++)
            if (op->alternatives[i].schemes[k]->kind == ST_SCHEME_KEY)
                return true;
    return false;
}

static void read_by(struct st_contract *c, const json_t *json, const char *at, const struct st_api_operation *op,
                    struct st_api_limit *limit)
{
    static const char *const names[] = {"user", "address", "key", "tier", "header:", "variable:"};
    const char *by = st_json_str(json, "by", "");
    size_t i = 0;
    while (i < ST_COUNT(names) && (i < ST_BY_HEADER ? strcmp(by, names[i]) : strncmp(by, names[i], strlen(names[i]))))
        i++;
    if (i == ST_COUNT(names)) {
        st_contract_mistake(c, at, "by must be user, address, key, tier, header:<name> or variable:<name>");
        return;
    }
    limit->by = i;
    if (i >= ST_BY_HEADER)
        limit->of = by + strlen(names[i]);
    if (i == ST_BY_HEADER)
        read_header(c, at, limit);
    else if (i == ST_BY_VARIABLE)
        read_variable(c, at, op, limit);
    else if (i != ST_BY_ADDRESS && !op->authenticated)
        st_contract_mistake(c, at, "a limit by %s on an operation without security would count nobody", names[i]);
    else if (i == ST_BY_KEY && !takes_keys(op))
        st_contract_mistake(c, at, "a limit by key on an operation that takes no API key would count nobody");
}

static void read_cost(struct st_contract *c, const json_t *json, const char *at, struct st_api_limit *limit)
{
    const json_t *cost = json_object_get(json, "cost"), *share = json_object_get(json, "share");
    limit->cost = cost ? json_integer_value(cost) : 1;
    limit->share = json_number_value(share);
    if (limit->cost < 1)
        st_contract_mistake(c, at, "cost must be an integer of 1 or more");
    if (share && (!json_is_number(share) || !(limit->share > 0 && limit->share < 1)))
        st_contract_mistake(c, at, "share must be a number between 0 and 1");
    if (share && limit->by != ST_BY_ADDRESS)
        st_contract_mistake(c, at, "share divides the budget of an address: by must be address");
    for (int i = 0; i < limit->n_rates; i++) {
        double most = (double)limit->rates[i].burst * (share ? limit->share : 1);
        if (limit->rates[i].burst && (double)limit->cost > most) {
            st_contract_mistake(c, at, "cost %lld is more than a burst of the limit%s: it would never pass",
                                (long long)limit->cost, share ? ", or one user's share of it," : "");
            return;
        }
    }
}

/* One budget, one rule: everything but the cost. */
static void check_same(struct st_contract *c, json_t *json, const char *at, const char *name)
{
    json_t *rule = json_copy(json);
    json_object_del(rule, "cost");
    const json_t *before = json_object_get(c->r->limits, name);
    if (before && !json_equal(before, rule))
        st_contract_mistake(c, at, "the rate limit %s is defined otherwise elsewhere", name);
    json_object_set_new(c->r->limits, name, rule);
}

static void read_limit(struct st_contract *c, json_t *json, const char *at, const struct st_api_operation *op,
                       struct st_api_limit *limit)
{
    static const char *const known[] = {"name", "rate", "burst", "by", "tiers", "cost", "share"};
    const char *member;
    json_t *value;
    json_object_foreach (json, member, value) {
        bool found = false;
        for (size_t i = 0; i < ST_COUNT(known); i++)
            found = found || strcmp(member, known[i]) == 0;
        if (!found)
            st_contract_mistake(c, at, "%.80s is not a known member of a rate limit", member);
    }
    limit->name = st_json_str(json, "name", NULL);
    if (!st_contract_is_name(limit->name, NAME_CHARACTERS, 64))
        st_contract_mistake(c, at, "a rate limit needs a name of a-z, 0-9, '.', '_', '-'");
    else
        check_same(c, json, at, limit->name);
    read_by(c, json, at, op, limit);
    read_rates(c, json, at, limit);
    read_cost(c, json, at, limit);
}

static void read_limits(struct st_contract *c, const json_t *list, const char *at, struct st_api_operation *op)
{
    if (!list)
        return;
    if (!json_array_size(list)) {
        st_contract_mistake(c, at, "x-rate-limit must be a list of limits");
        return;
    }
    struct st_api_limit *limits = st_new_n(c->r->arena, struct st_api_limit, json_array_size(list));
    size_t i;
    json_t *json;
    json_array_foreach ((json_t *)list, i, json) {
        read_limit(c, json, st_printf(c->r->arena, "%s/%zu", at, i), op, &limits[i]);
        for (size_t k = 0; k < i; k++)
            if (st_streq(limits[k].name, limits[i].name))
                st_contract_mistake(c, at, "the rate limit %s is there twice", limits[i].name);
    }
    op->limits = limits;
    op->n_limits = (int)i;
}

static void read_timeout(struct st_contract *c, const char *text, const char *at, struct st_api_operation *op)
{
    enum { DEFAULT_MS = 10000 };
    int64_t us = text ? st_contract_span(c->r->arena, text, MAX_TIMEOUT_MS * 1000) : DEFAULT_MS * INT64_C(1000);
    if (!us)
        st_contract_mistake(c, at, "x-timeout must be a time such as 500ms or 30s, at most 1h");
    op->timeout_ms = (int)(us / 1000);
}

int64_t st_contract_body_max(struct st_contract *c, const json_t *json, const char *at, int64_t otherwise)
{
    static const struct unit units[] = {{"", 1}, {"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {NULL, 0}};
    int64_t n = otherwise;
    if (json_is_integer(json))
        n = json_integer_value(json);
    else if (json)
        n = parse_unit(c->r->arena, json_string_value(json), units, MAX_BODY);
    if (n < 1 || n > MAX_BODY)
        st_contract_mistake(c, at, "x-body-max must be bytes, or a size such as 64k, 2m or 1g, at most 64g");
    return n;
}

static unsigned retry_bit(const json_t *what)
{
    static const struct {
        const char *name;
        int status;
        unsigned bit;
    } all[] = {{"error", 0, ST_RETRY_ERROR},
               {"timeout", 0, ST_RETRY_TIMEOUT},
               {NULL, 502, ST_RETRY_502},
               {NULL, 503, ST_RETRY_503},
               {NULL, 504, ST_RETRY_504}};
    for (size_t i = 0; i < ST_COUNT(all); i++)
        if (all[i].name ? st_streq(json_string_value(what), all[i].name) : json_integer_value(what) == all[i].status)
            return all[i].bit;
    return 0;
}

/* A second try may find what the first one has done already: only where that is harmless. */
static void read_retry(struct st_contract *c, const json_t *json, const char *at, struct st_api_operation *op)
{
    enum { MAX_ATTEMPTS = 5 };
    const json_t *on = json_object_get(json, "on");
    int64_t attempts = st_json_int(json, "attempts", 0);
    size_t i;
    json_t *what;
    op->attempts = 1;
    if (!json)
        return;
    if (attempts < 2 || attempts > MAX_ATTEMPTS || !json_array_size(on) || json_object_size(json) != 2) {
        st_contract_mistake(c, at, "x-retry must be {attempts: 2 to %d, on: a list}", MAX_ATTEMPTS);
        return;
    }
    json_array_foreach ((json_t *)on, i, what) {
        unsigned bit = retry_bit(what);
        if (!bit || op->retry_on & bit)
            st_contract_mistake(c, at, "x-retry is on error, timeout, 502, 503, 504, each at most once");
        op->retry_on |= bit;
    }
    if ((op->method == ST_POST || op->method == ST_PATCH) && !op->idempotency_required)
        st_contract_mistake(c, at, "x-retry on a %s needs x-idempotency: required", st_api_method_names[op->method]);
    op->attempts = (int)attempts;
}

/* A date alone is its first moment. */
static const char *read_date(struct st_contract *c, const json_t *json, const char *pointer, const char *name)
{
    const char *text = st_json_str(json, name, NULL);
    int64_t us;
    if (text && strlen(text) == strlen("2026-01-31"))
        text = st_printf(c->r->arena, "%sT00:00:00Z", text);
    if (text && !st_time_parse(text, &us))
        st_contract_mistake(c, st_json_pointer(c->r->arena, pointer, name),
                            "%s must be a date such as 2026-01-31, or a date and time of RFC 3339", name);
    return text;
}

void st_contract_read_extensions(struct st_contract *c, const json_t *json, const char *pointer,
                                 struct st_api_operation *op)
{
    struct st_arena *a = c->r->arena;
    const char *idempotency = st_json_str(json, "x-idempotency", NULL);
    read_limits(c, json_object_get(json, "x-rate-limit"), st_json_pointer(a, pointer, "x-rate-limit"), op);
    read_timeout(c, st_json_str(json, "x-timeout", NULL), st_json_pointer(a, pointer, "x-timeout"), op);
    if (idempotency && !st_streq(idempotency, "required"))
        st_contract_mistake(c, st_json_pointer(a, pointer, "x-idempotency"), "x-idempotency must be: required");
    op->idempotency_required = idempotency;
    read_retry(c, json_object_get(json, "x-retry"), st_json_pointer(a, pointer, "x-retry"), op);
    op->deprecated_since = read_date(c, json, pointer, "x-deprecated-since");
    op->sunset = read_date(c, json, pointer, "x-sunset");
}
