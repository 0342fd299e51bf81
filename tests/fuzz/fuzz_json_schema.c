/* Hostile JSON and JSON Schema: "schema NUL instance". What parses must survive writing and reading unchanged. */
#include "io/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(struct st_arena *a, const json_t *j)
{
    const char *text = st_json_text(a, j), *why;
    json_t *back;
    if (!st_utf8_valid(text, strlen(text)) || st_json_parse(a, text, strlen(text), ST_JSON_DEPTH, &back, &why) < 0 ||
        !json_equal(j, back) || strcmp(st_json_canonical(a, j), st_json_canonical(a, back)) != 0)
        abort();
}

static bool has_real(const json_t *j)
{
    size_t i;
    const char *key;
    const json_t *value;
    bool found = json_is_real(j);
    json_array_foreach ((json_t *)j, i, value)
        found = found || has_real(value);
    json_object_foreach ((json_t *)j, key, value)
        found = found || has_real(value);
    return found;
}

/* Both readers take the same texts. (Only ours keeps all digits of a real; only jansson takes a NUL behind the text.)
 */
static void check_readers(struct st_arena *a, const char *text, size_t len)
{
    json_t *j;
    const struct st_value *v, *any;
    const char *why;
    if (memchr(text, 0, len))
        return;
    int r = st_json_parse(a, text, len, ST_JSON_DEPTH, &j, &why);
    if ((r < 0) != (st_value_parse(a, text, len, ST_JSON_DEPTH, false, &v, &why) < 0))
        abort();
    if (r == 0) {
        struct st_buf one = ST_BUF(1 << 24), two = ST_BUF(1 << 24);
        st_value_canonical(v, a, &one);
        st_value_canonical(st_value_from_json(a, st_json_keep(a, json_deep_copy(j))), a, &two);
        if (!st_value_equal(v, v) || (one.len != two.len && !has_real(j)))
            abort();
        st_buf_release(&one);
        st_buf_release(&two);
        if (st_value_parse(a, text, len, ST_JSON_DEPTH, true, &any, &why) < 0 || !st_value_equal(v, any))
            abort();
    }
}

static void check_errors(const struct st_schema_errors *e, int result)
{
    if ((result < 0) != (e->count > 0) || e->count > ST_SCHEMA_ERRORS)
        abort();
    for (int i = 0; i < e->count; i++)
        if (!st_utf8_valid(e->list[i].pointer, strlen(e->list[i].pointer)) || !*e->list[i].message)
            abort();
}

static void check_instance(struct st_arena *a, const struct st_schema *s, const char *text, size_t len)
{
    struct st_schema_errors errors;
    const struct st_value *value;
    json_t *instance;
    const char *why;
    check_readers(a, text, len);
    if (st_value_parse(a, text, len, ST_JSON_DEPTH, true, &value, &why) == 0)
        check_errors(&errors, st_schema_check_value(s, value, a, &errors));
    if (st_json_parse(a, text, len, ST_JSON_DEPTH, &instance, &why) < 0) {
        if (!st_utf8_valid(why, strlen(why)))
            abort();
        return;
    }
    check_round_trip(a, instance);
    check_errors(&errors, st_schema_check(s, instance, a, &errors));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct st_arena a = {0};
    const char *text = (const char *)data, *nul = size ? memchr(text, 0, size) : NULL, *why, *at;
    size_t schema_len = nul ? (size_t)(nul - text) : size;
    json_t *document;
    const struct st_schema *s;
    if (st_json_parse(&a, text, schema_len, ST_JSON_DEPTH, &document, &why) == 0) {
        struct st_schema_errors errors;
        check_round_trip(&a, document);
        if (st_schema_compile(&a, document, "", &s, &at, &why) == 0) {
            if (nul)
                check_instance(&a, s, nul + 1, size - schema_len - 1);
            check_errors(&errors, st_schema_check(s, document, &a, &errors));
        }
    }
    st_arena_release(&a);
    return 0;
}
