/* JSON as it is checked: what is read and refused, exact numbers, equality, sets of names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "io/value.h"

static struct st_arena arena;

static int teardown(void **state)
{
    (void)state;
    st_arena_release(&arena);
    return 0;
}

static const struct st_value *read_any(const char *text)
{
    const struct st_value *v;
    const char *why;
    if (st_value_parse(&arena, text, strlen(text), ST_JSON_DEPTH, true, &v, &why) < 0)
        fail_msg("%s %s", text, why);
    return v;
}

/* clang-format off */
static const char *const texts[] = {
    "1", "-0", "0", "-1", "01", "-", "1.", ".5", "+1", "1e", "1e+", "1e5", "1E-5", "0.5", "00", "1.5e+3", "0x1",
    "9223372036854775807", "-9223372036854775808", "9223372036854775808", "-9223372036854775809",
    "99999999999999999999", "1e308", "1e309", "-1e309", "NaN", "Infinity", "true", "false", "null", "tru", "nulll",
    "True", "\"\"", "\"a", "\"\\", "\"\\\"", "\"\\u", "\"\\u12\"", "\"\\u00e9\"", "\"\\uD83D\\uDE00\"", "\"\\ud83d\"",
    "\"\\ude00\"", "\"\\ud83d\\u0041\"", "\"\\ud83dx\"", "\"\\u0000\"", "\"\\x\"", "\"\\b\\f\\n\\r\\t\\/\\\\\\\"\"",
    "\"\t\"", "\"\n\"", "\"\x7f\"", "\"é漢😀\"", "\"\xff\"", "\"\xc3\"", "\"\xed\xa0\x80\"", "\"\xc0\x80\"",
    "\"eight by\xc3\xa9te\"", "[]", "[ ]", "[1]", "[1,]", "[,1]", "[1 2]", "[1", "[", "]", "[1]]", "[[],[[]]]", "{}",
    "{ }", "{\"a\":1}", "{\"a\":1,}", "{\"a\" : 1 , \"b\":[{}]}", "{\"a\"}", "{\"a\":}", "{a:1}", "{\"a\":1",
    "{\"a\":1 \"b\":2}", "{1:1}", "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}", "{\"\":1,\"\":1}",
    "{\"\\u0000\":1}", "", " ", "1 1", " 1 ", "\t\n\r 1", "\v1", "\xef\xbb\xbf" "1", "{\"a\":{\"a\":1}}", "// 1",
    "[1]\n", "{\"a\":0.53,\"b\":[1.5e3,-0.0,2.25],\"c\":1e2}",
};
/* clang-format on */

/* Both parsers take the same texts, and understand the same. */
static void test_agrees_with_json(void **state)
{
    (void)state;
    for (size_t i = 0; i < ST_COUNT(texts); i++) {
        const struct st_value *v = NULL;
        json_t *j = NULL;
        const char *why = "", *json_why = "";
        int r = st_value_parse(&arena, texts[i], strlen(texts[i]), ST_JSON_DEPTH, false, &v, &why);
        int json_r = st_json_parse(&arena, texts[i], strlen(texts[i]), ST_JSON_DEPTH, &j, &json_why);
        if (r != json_r)
            fail_msg("%s: %d %s, as JSON %d %s", texts[i], r, why, json_r, json_why);
        if (r == 0 && !json_equal(j, st_value_json(&arena, v)))
            fail_msg("%s becomes another json_t", texts[i]);
        if (r == 0 && !st_value_equal(v, st_value_from_json(&arena, j)))
            fail_msg("%s is understood in two ways", texts[i]);
        if (r < 0 && !st_starts(why, "is "))
            fail_msg("%s: %s", texts[i], why);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "is empty"},
        {"{\n \"a\": tru}", "is not valid JSON (line 2, column 7: a value is expected)"},
        {"[1,\n2", "is not valid JSON (line 2, column 2: premature end of input)"},
        {"{\"a\":1,\"a\":2}", "duplicate object key"},
        {"[[[[]]]]", "is nested more than 3 levels deep"},
        {"99999999999999999999", "too big integer"},
        {"1e999", "too big number"},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        const struct st_value *v;
        const char *why = "";
        assert_int_equal(st_value_parse(&arena, cases[i].text, strlen(cases[i].text), 3, false, &v, &why),
                         ST_E_INVALID);
        if (!strstr(why, cases[i].why))
            fail_msg("%s: %s", cases[i].text, why);
    }
}

static void test_bytes_behind_the_text(void **state)
{
    (void)state;
    const struct st_value *v;
    const char *why;
    assert_int_equal(st_value_parse(&arena, "11\0", 3, 1, true, &v, &why), ST_E_INVALID);
    assert_int_equal(st_value_parse(&arena, "112", 2, 1, true, &v, &why), 0);
    assert_int_equal(v->integer, 11);
}

/* Many members take another way than few. */
static void test_duplicates_among_many(void **state)
{
    (void)state;
    for (int n = 1; n < 100; n += 7)
        for (int twice = 0; twice < 2; twice++) {
            struct st_buf b = ST_BUF(1 << 16);
            const struct st_value *v;
            const char *why;
            for (int i = 0; i < n; i++)
                st_buf_printf(&b, "%s\"name%d\":1", i ? "," : "{", i);
            st_buf_printf(&b, ",\"name%d\":2}", twice ? n / 2 : n);
            int r = st_value_parse(&arena, b.data, b.len, 1, false, &v, &why);
            st_buf_release(&b);
            assert_int_equal(r, twice ? ST_E_INVALID : 0);
        }
}

static void test_compare(void **state)
{
    (void)state;
    static const char *const rising[] = {
        "-1e400",
        "-18446744073709551616",
        "-9223372036854775808",
        "-1.5",
        "-1",
        "-0.1",
        "-1e-400",
        "0",
        "1e-400",
        "0.09",
        "0.1",
        "0.1000000000000000000001",
        "1",
        "1.0000000000000000000001",
        "9.99",
        "10",
        "9223372036854775807",
        "9223372036854775807.5",
        "9223372036854775808",
        "1e19",
        "100000000000000000000000000001",
        "1e400",
        "1e401",
    };
    for (size_t i = 0; i < ST_COUNT(rising); i++)
        for (size_t k = 0; k < ST_COUNT(rising); k++) {
            int c = st_number_compare(read_any(rising[i]), read_any(rising[k]));
            if ((c > 0) - (c < 0) != (i > k) - (i < k))
                fail_msg("%s and %s: %d", rising[i], rising[k], c);
        }
    static const char *const equal[][2] = {{"0", "-0.0"},
                                           {"0", "0e9"},
                                           {"1", "1.0"},
                                           {"100", "1e2"},
                                           {"1.50", "15e-1"},
                                           {"0.001", "1e-3"},
                                           {"12345678901234567890", "1.234567890123456789e19"},
                                           {"10e-1", "1"},
                                           {"0.10", "1e-1"}};
    for (size_t i = 0; i < ST_COUNT(equal); i++)
        assert_int_equal(st_number_compare(read_any(equal[i][0]), read_any(equal[i][1])), 0);
}

static void test_integral_and_multiple(void **state)
{
    (void)state;
    static const struct {
        const char *number;
        bool integral;
    } cases[] = {{"1", true},
                 {"1.0", true},
                 {"1.5", false},
                 {"1e3", true},
                 {"15e-1", false},
                 {"10e-1", true},
                 {"1e400", true},
                 {"1e-400", false},
                 {"0.0", true},
                 {"12345678901234567890.5", false},
                 {"12345678901234567890", true}};
    for (size_t i = 0; i < ST_COUNT(cases); i++)
        if (st_number_integral(read_any(cases[i].number)) != cases[i].integral)
            fail_msg("%s", cases[i].number);
    static const struct {
        const char *number, *divisor;
        bool multiple;
    } pairs[] = {{"19.99", "0.01", true},
                 {"0.075", "0.01", false},
                 {"1e308", "0.5", true},
                 {"1e308", "0.123456789", false},
                 {"12391239123", "1e-8", true},
                 {"123456789123456789123456789", "3", true},
                 {"123456789123456789123456788", "3", false},
                 {"1e1000000", "7", false},
                 {"7e1000000", "7", true},
                 {"0", "0.3", true},
                 {"0.3", "0.1", true},
                 {"9223372036854775808", "2", true},
                 {"9223372036854775809", "2", false},
                 {"-4.5", "1.5", true},
                 {"1", "1e5", false},
                 {"3e5", "1e5", true}};
    for (size_t i = 0; i < ST_COUNT(pairs); i++)
        if (st_number_multiple(read_any(pairs[i].number), read_any(pairs[i].divisor)) != pairs[i].multiple)
            fail_msg("%s and %s", pairs[i].number, pairs[i].divisor);
}

static void test_equality(void **state)
{
    (void)state;
    static const char *const different[] = {
        "null",
        "false",
        "0",
        "\"0\"",
        "\"\"",
        "\"a\"",
        "\"a\\u0000b\"",
        "\"a\\u0000\"",
        "[]",
        "[0]",
        "[[0]]",
        "[0,0]",
        "{}",
        "{\"a\":0}",
        "{\"b\":0}",
        "{\"a\":null}",
        "{\"a\":0,\"b\":1}",
        "{\"a\":1,\"b\":0}",
        "[\"a\",\"b\"]",
        "[\"ab\"]",
        "true",
        "{\"a\":{}}",
        "0.5",
        "5",
    };
    for (size_t i = 0; i < ST_COUNT(different); i++)
        for (size_t k = 0; k < ST_COUNT(different); k++) {
            const struct st_value *x = read_any(different[i]), *y = read_any(different[k]);
            struct st_buf a = ST_BUF(1000), b = ST_BUF(1000);
            st_value_canonical(x, &arena, &a);
            st_value_canonical(y, &arena, &b);
            bool same_text = a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
            st_buf_release(&a);
            st_buf_release(&b);
            if (st_value_equal(x, y) != (i == k) || same_text != (i == k))
                fail_msg("%s and %s", different[i], different[k]);
        }
    assert_true(
        st_value_equal(read_any("{\"a\":[1,{\"x\":1.0}],\"b\":2}"), read_any("{\"b\":2e0,\"a\":[1.0,{\"x\":1}]}")));
}

static void test_names(void **state)
{
    (void)state;
    enum { N = 300 };
    struct st_names *names = st_names_new(&arena, N);
    for (int i = 0; i < N; i++)
        st_names_add(names, st_printf(&arena, "a name, and the number %d", i), i);
    for (int i = -1; i <= N; i++) {
        const char *name = st_printf(&arena, "a name, and the number %d", i);
        int found = st_names_find(names, name, strlen(name), st_names_hash(name, strlen(name)));
        assert_int_equal(found, i < N ? i : -1);
    }
    assert_int_equal(st_names_find(st_names_new(&arena, 0), "", 0, st_names_hash("", 0)), -1);
}

/* Where the json_t of the same text has something, at the same pointer, and nowhere else. */
static void test_pointers(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":[1,{\"b/c\":\"x\",\"~\":null}],\"\":true,\"0\":2}";
    static const char *const pointers[] = {"",        "/a",       "/a/0", "/a/1", "/a/2", "/a/01", "/a/-", "/a/1/b~1c",
                                           "/a/1/~0", "/a/1/b/c", "/",    "/0",   "/x",   "a",     "/~2",  "/a/0/0"};
    const struct st_value *v;
    json_t *j;
    const char *why;
    assert_int_equal(st_value_parse(&arena, text, strlen(text), 8, false, &v, &why), 0);
    assert_int_equal(st_json_parse(&arena, text, strlen(text), 8, &j, &why), 0);
    for (size_t i = 0; i < ST_COUNT(pointers); i++) {
        const json_t *there = st_json_at(j, pointers[i]);
        const struct st_value *found = st_value_at(v, pointers[i]);
        assert_int_equal(found != NULL, there != NULL);
        if (found)
            assert_true(st_value_equal(found, st_value_from_json(&arena, there)));
    }
    assert_string_equal(st_value_string(st_value_at(v, "/a/1/b~1c")), "x");
    assert_null(st_value_string(st_value_at(v, "/0")));
    assert_null(st_value_string(NULL));
    assert_null(st_value_at(NULL, "/a"));
    assert_null(st_value_get(st_value_at(v, "/a/0"), "a"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_agrees_with_json, teardown),
        cmocka_unit_test_teardown(test_refusals, teardown),
        cmocka_unit_test_teardown(test_bytes_behind_the_text, teardown),
        cmocka_unit_test_teardown(test_duplicates_among_many, teardown),
        cmocka_unit_test_teardown(test_compare, teardown),
        cmocka_unit_test_teardown(test_integral_and_multiple, teardown),
        cmocka_unit_test_teardown(test_equality, teardown),
        cmocka_unit_test_teardown(test_names, teardown),
        cmocka_unit_test_teardown(test_pointers, teardown),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
