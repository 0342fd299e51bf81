/* Numbers of any size, exactly: as decimals, which JSON's numbers are. And the text that equal values share. */
#include "io/value.h"

/* 0.D * 10^exponent, D being the digits in [at, end), first and last not 0; a point may stand among them. */
struct decimal {
    char own[24];
    const char *at, *end;
    int64_t digits; /* 0: the number is zero */
    int64_t exponent;
    bool negative;
};

enum { EXPONENT_MAX = 1 << 30 }; /* beyond that all are the same */

static int64_t read_exponent(const char *s, const char *end)
{
    bool negative = s < end && *s == '-';
    int64_t n = 0;
    for (; s < end; s++)
        if (st_is_digit(*s) && n < EXPONENT_MAX)
            n = 10 * n + (*s - '0');
    return negative ? -n : n;
}

/* Digits that end at `end`; gives where they begin. */
static char *write_integer(int64_t n, char *end)
{
    uint64_t rest = n < 0 ? -(uint64_t)n : (uint64_t)n;
    do
        *--end = (char)('0' + rest % 10);
    while (rest /= 10);
    if (n < 0)
        *--end = '-';
    return end;
}

static void read_decimal(const struct st_value *v, struct decimal *d)
{
    const char *s = v->text, *end;
    int64_t before = 0;
    bool point = false;
    *d = (struct decimal){0};
    if (v->type == JSON_INTEGER) {
        end = d->own + sizeof(d->own);
        s = write_integer(v->integer, d->own + sizeof(d->own));
    } else {
        end = s + v->len;
    }
    d->negative = *s == '-';
    s += d->negative;
    for (; s < end && (st_is_digit(*s) || *s == '.'); s++) {
        if (*s == '.') {
            point = true;
            continue;
        }
        if (*s != '0' && !d->at)
            d->at = s;
        if (*s != '0')
            d->end = s + 1;
        before += d->at ? !point : -(*s == '0' && point);
    }
    for (const char *p = d->at; p < d->end; p++)
        d->digits += *p != '.';
    d->exponent = d->digits ? before + (s < end ? read_exponent(s + 1, end) : 0) : 0;
    d->negative = d->negative && d->digits;
}

static int compare_digits(const struct decimal *x, const struct decimal *y)
{
    const char *a = x->at, *b = y->at;
    while (a < x->end && b < y->end) {
        a += *a == '.';
        b += *b == '.';
        if (*a != *b)
            return *a < *b ? -1 : 1;
        a++;
        b++;
    }
    return (a < x->end) - (b < y->end);
}

enum { SHORT = 15 }; /* digits: two such numbers can be brought to one scale in 128 bits */

/* A number of few digits and without an exponent, as *ret / 10^*ret_scale. */
static bool is_short(const struct st_value *v, int64_t *ret, int *ret_scale)
{
    const int64_t most = INT64_C(1000000000000000); /* 10^SHORT */
    *ret_scale = 0;
    if (v->type == JSON_INTEGER) {
        *ret = v->integer;
        return v->integer > -most && v->integer < most;
    }
    const char *s = v->text, *end = s + v->len;
    bool negative = *s == '-', point = false;
    int64_t n = 0;
    if (v->len > SHORT)
        return false;
    for (s += negative; s < end; s++) {
        if (*s == 'e' || *s == 'E')
            return false;
        if (*s == '.') {
            point = true;
            continue;
        }
        n = 10 * n + (*s - '0');
        *ret_scale += point;
    }
    *ret = negative ? -n : n;
    return true;
}

static __int128 scaled(int64_t n, int by)
{
    __int128 out = n;
    while (by-- > 0)
        out *= 10;
    return out;
}

int st_number_compare(const struct st_value *x, const struct st_value *y)
{
    int64_t n, m;
    int n_scale, m_scale;
    if (x->type == JSON_INTEGER && y->type == JSON_INTEGER)
        return (x->integer > y->integer) - (x->integer < y->integer);
    if (is_short(x, &n, &n_scale) && is_short(y, &m, &m_scale)) {
        __int128 left = scaled(n, m_scale - n_scale), right = scaled(m, n_scale - m_scale);
        return (left > right) - (left < right);
    }
    struct decimal a, b;
    read_decimal(x, &a);
    read_decimal(y, &b);
    int sign_a = !a.digits ? 0 : a.negative ? -1 : 1, sign_b = !b.digits ? 0 : b.negative ? -1 : 1;
    if (sign_a != sign_b || !sign_a)
        return sign_a - sign_b;
    if (a.exponent != b.exponent)
        return a.exponent < b.exponent ? -sign_a : sign_a;
    return sign_a * compare_digits(&a, &b);
}

bool st_number_integral(const struct st_value *v)
{
    struct decimal d;
    if (v->type != JSON_REAL)
        return v->type == JSON_INTEGER;
    read_decimal(v, &d);
    return d.exponent >= d.digits;
}

static uint64_t modulo(const struct decimal *d, uint64_t m)
{
    unsigned __int128 rest = 0;
    for (const char *p = d->at; p < d->end; p++)
        if (*p != '.')
            rest = (rest * 10 + (unsigned)(*p - '0')) % m;
    return (uint64_t)rest;
}

/* 10^n modulo m */
static uint64_t power_of_ten(int64_t n, uint64_t m)
{
    unsigned __int128 result = 1 % m, base = 10 % m;
    for (; n; n >>= 1) {
        if (n & 1)
            result = result * base % m;
        base = base * base % m;
    }
    return (uint64_t)result;
}

/*
 * v = A 10^i, divisor = B 10^k, neither A nor B ending in 0. When i < k, A would have to be a multiple of 10, which it
 * is not; else B must divide A 10^(i-k).
 */
bool st_number_multiple(const struct st_value *v, const struct st_value *divisor)
{
    if (v->type == JSON_INTEGER && divisor->type == JSON_INTEGER)
        return v->integer % divisor->integer == 0;
    struct decimal a, b;
    read_decimal(v, &a);
    read_decimal(divisor, &b);
    int64_t shift = (a.exponent - a.digits) - (b.exponent - b.digits);
    if (!a.digits)
        return true;
    if (shift < 0)
        return false;
    uint64_t m = modulo(&b, UINT64_MAX);
    return (unsigned __int128)modulo(&a, m) * power_of_ten(shift, m) % m == 0;
}

static void add_number(const struct st_value *v, struct st_buf *out)
{
    struct decimal d;
    read_decimal(v, &d);
    st_buf_printf(out, "%s%lld:", d.negative ? "-" : "+", (long long)d.exponent);
    for (const char *p = d.at; p < d.end; p++)
        if (*p != '.')
            st_buf_char(out, *p);
}

static int by_key(const void *x, const void *y)
{
    const struct st_value *a = *(const struct st_value *const *)x, *b = *(const struct st_value *const *)y;
    int c = memcmp(a->key, b->key, a->key_len < b->key_len ? a->key_len : b->key_len);
    return c ? c : (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

static void add_members(const struct st_value *v, struct st_arena *scratch, struct st_buf *out)
{
    const struct st_value **members = st_new_n(scratch, const struct st_value *, v->count);
    size_t n = 0;
    for (const struct st_value *m = v->first; m; m = m->next)
        members[n++] = m;
    qsort(members, n, sizeof(*members), by_key);
    for (size_t i = 0; i < n; i++) {
        st_buf_printf(out, "%u:", members[i]->key_len);
        st_buf_add(out, members[i]->key, members[i]->key_len);
        st_value_canonical(members[i], scratch, out);
    }
}

void st_value_canonical(const struct st_value *v, struct st_arena *scratch, struct st_buf *out)
{
    static const char kinds[] = {
        [JSON_OBJECT] = '{', [JSON_ARRAY] = '[', [JSON_STRING] = 's', [JSON_INTEGER] = 'n',
        [JSON_REAL] = 'n',   [JSON_TRUE] = 't',  [JSON_FALSE] = 'f',  [JSON_NULL] = '0',
    };
    st_buf_char(out, kinds[v->type]);
    if (v->type == JSON_INTEGER || v->type == JSON_REAL)
        add_number(v, out);
    if (v->type == JSON_STRING) {
        st_buf_printf(out, "%zu:", v->len);
        st_buf_add(out, v->text, v->len);
    }
    if (v->type == JSON_OBJECT)
        add_members(v, scratch, out);
    for (const struct st_value *i = v->type == JSON_ARRAY ? v->first : NULL; i; i = i->next)
        st_value_canonical(i, scratch, out);
    st_buf_char(out, '.');
}
