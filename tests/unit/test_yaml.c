/* YAML: the core schema's values, lines of members and items, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "io/yaml.h"

static struct st_arena arena;

static int teardown(void **state)
{
    (void)state;
    st_arena_release(&arena);
    return 0;
}

static struct st_yaml parse(const char *text)
{
    struct st_yaml y = {0};
    const char *why = "";
    if (st_yaml_parse(&arena, "t.yaml", text, strlen(text), &y, &why) < 0)
        fail_msg("%s: %s", text, why);
    return y;
}

static const char *refusal(const char *text)
{
    struct st_yaml y;
    const char *why = NULL;
    if (st_yaml_parse(&arena, "t.yaml", text, strlen(text), &y, &why) != ST_E_INVALID)
        fail_msg("accepted: %.200s", text);
    assert_true(st_starts(why, "t.yaml:"));
    return why;
}

static void test_scalars(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *json;
    } cases[] = {
        {"abc", "\"abc\""},
        {"12", "12"},
        {"-12", "-12"},
        {"+12", "12"},
        {"012", "12"},
        {"0o17", "15"},
        {"0xfF", "255"},
        {"0o8", "\"0o8\""},
        {"0x", "\"0x\""},
        {"1.5", "1.5"},
        {".5", "0.5"},
        {"-.5", "-0.5"},
        {"5.", "5.0"},
        {"+1.5e3", "1500.0"},
        {"1e3", "1000.0"},
        {"1e", "\"1e\""},
        {".", "\".\""},
        {"-", "[null]"},
        {"1_000", "\"1_000\""},
        {"true", "true"},
        {"True", "true"},
        {"FALSE", "false"},
        {"yes", "\"yes\""},
        {"on", "\"on\""},
        {"null", "null"},
        {"~", "null"},
        {"--- ", "null"},
        {"\"12\"", "\"12\""},
        {"'true'", "\"true\""},
        {"''", "\"\""},
        {"2026-01-31", "\"2026-01-31\""},
        {"1.2.3", "\"1.2.3\""},
        {"!!str 12", "\"12\""},
        {"! 12", "\"12\""},
        {"!!int '12'", "12"},
        {"!!null ''", "null"},
        {"|\n a\n b\n", "\"a\\nb\\n\""},
        {">-\n a\n b\n", "\"a b\""},
        {"\"\\u00e9\\/\"", "\"é/\""},
        {"-9223372036854775808", "-9223372036854775808"},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        const char *json = st_json_text(&arena, parse(cases[i].yaml).root);
        if (strcmp(json, cases[i].json) != 0)
            fail_msg("%s gave %s, not %s", cases[i].yaml, json, cases[i].json);
    }
}

static void test_json_is_yaml(void **state)
{
    (void)state;
    const char *text = "{\"a\": [1, 2.5, \"x\", {\"b\": null}], \"c\": {}, \"d\": []}";
    assert_string_equal(st_json_text(&arena, parse(text).root), "{\"a\":[1,2.5,\"x\",{\"b\":null}],\"c\":{},\"d\":[]}");
}

static void test_lines(void **state)
{
    (void)state;
    struct st_yaml y = parse("# comment\n"
                             "paths:\n"
                             "  /v1/a~b:\n"
                             "    get:\n"
                             "      tags: [x,\n"
                             "             y]\n"
                             "flag: true\n"
                             "list:\n"
                             "  - one\n"
                             "  -\n"
                             "    two: 2\n");
    static const struct {
        const char *pointer;
        int line;
    } cases[] = {{"", 2},
                 {"/paths", 2},
                 {"/paths/~1v1~1a~0b", 3},
                 {"/paths/~1v1~1a~0b/get", 4},
                 {"/paths/~1v1~1a~0b/get/tags/1", 6},
                 {"/paths/~1v1~1a~0b/get/nope/more", 4},
                 {"/flag", 7},
                 {"/flag/x", 7},
                 {"/list/0", 9},
                 {"/list/1/two", 11},
                 {"/list/7", 8},
                 {"/nope", 2},
                 {"broken", 2}};
    for (size_t i = 0; i < ST_COUNT(cases); i++)
        if (st_yaml_line(&y, cases[i].pointer) != cases[i].line)
            fail_msg("%s: %d", cases[i].pointer, st_yaml_line(&y, cases[i].pointer));
}

static void test_aliases(void **state)
{
    (void)state;
    struct st_yaml y = parse("a: &x {k: [1]}\nb: *x\nc: &x 2\nd: *x\n");
    assert_string_equal(st_json_text(&arena, y.root), "{\"a\":{\"k\":[1]},\"b\":{\"k\":[1]},\"c\":2,\"d\":2}");
    assert_int_equal(st_yaml_line(&y, "/b"), 2);
    assert_int_equal(st_yaml_line(&y, "/b/k"), 1); /* stands where the anchor does */
}

static void test_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *reason;
    } cases[] = {
        {"", "1: is empty"},
        {"# only a comment\n", "is empty"},
        {"a: 1\n---\nb: 2\n", "2: a second document"},
        {"a: 1\nb: 2\na: 3\n", "3: the key a is there twice"},
        {"200: ok\n", "1: the key 200 is not a string: quote it"},
        {"true: ok\n", "is not a string"},
        {"~: ok\n", "is not a string"},
        {"? [a]\n: 1\n", "1: a key must be"},
        {"? &a b\n: 1\n", "1: a key must be"},
        {"a: &x 1\n*x : 2\n", "2: a key must be"},
        {"a: &x [1]\nb:\n  <<: *x\n", "3: merge keys"},
        {"a: &x\n  b: *x\n", "2: the anchor x contains itself"},
        {"a: *x\n", "1: there is no anchor x"},
        {"a: .inf\n", "1: .inf has no place in JSON"},
        {"a: .nan\n", "has no place"},
        {"a: 9223372036854775808\n", "64 bits"},
        {"a: 0xfffffffffffffffff\n", "64 bits"},
        {"a: 1e999\n", "too large"},
        {"a: \"x\\0y\"\n", "1: a string contains NUL"},
        {"a: !!binary aGk=\n", "the tag"},
        {"a: !mine x\n", "the tag"},
        {"a: !!int x\n", "the tag"},
        {"a: !!map [x]\n", "the tag"},
        {"a: [1, 2\nb: 3\n", "t.yaml:"},
        {"a: 'x\n", "t.yaml:"},
        {"\ta: 1\n", "t.yaml:"},
        {"a: b: c\n", "t.yaml:1:"},
        {"a: \xff\n", "t.yaml:1:"},
        {"a: \x01\n", "t.yaml:1:"},
        {"\xff\xfe"
         "a",
         "t.yaml:"}, /* UTF-16 */
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        const char *why = refusal(cases[i].yaml);
        if (!strstr(why, cases[i].reason))
            fail_msg("%s: %s", cases[i].yaml, why);
    }
}

static const char *repeat(const char *open, int n)
{
    struct st_buf b = ST_BUF(1 << 24);
    for (int i = 0; i < n; i++)
        st_buf_str(&b, open);
    char *text = st_strndup(&arena, b.data, b.len);
    st_buf_release(&b);
    return text;
}

static void test_depth(void **state)
{
    (void)state;
    parse(st_printf(&arena, "%s%s", repeat("[", 64), repeat("]", 64)));
    assert_non_null(strstr(refusal(st_printf(&arena, "%s%s", repeat("[", 65), repeat("]", 65))), "64 levels"));
    refusal(repeat("[", 100000));
    refusal(repeat("{a: ", 100000));
    refusal(repeat("- ", 100000));
    /* through an alias: 40 levels below 40 levels */
    const char *text = st_printf(&arena, "a: &x %s%s\nb: %s*x%s\n", repeat("[", 40), repeat("]", 40), repeat("[", 40),
                                 repeat("]", 40));
    assert_non_null(strstr(refusal(text), "2: nested more than 64 levels"));
}

static void test_bombs(void **state)
{
    (void)state;
    struct st_buf b = ST_BUF(1 << 20);
    st_buf_str(&b, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 10; i++) {
        st_buf_printf(&b, "a%d: &a%d [", i, i);
        for (int k = 0; k < 10; k++)
            st_buf_printf(&b, "%s*a%d", k ? ", " : "", i - 1);
        st_buf_str(&b, "]\n");
    }
    assert_non_null(strstr(refusal(b.data), "more than 100000 values"));
    st_buf_release(&b);
    assert_non_null(strstr(refusal(repeat("- 1\n", 100001)), "more than 100000 values"));
    parse(repeat("- 1\n", 99999));
    const char *anchors = repeat("- &a 1\n", 300);
    assert_non_null(strstr(refusal(anchors), "257: more than 256 anchors"));
}

static void test_load(void **state)
{
    (void)state;
    struct st_yaml y;
    const char *why;
    assert_int_equal(st_yaml_load(&arena, "/nonexistent/x.yaml", &y, &why), ST_E_INVALID);
    assert_true(st_starts(why, "/nonexistent/x.yaml: "));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_scalars, teardown), cmocka_unit_test_teardown(test_json_is_yaml, teardown),
        cmocka_unit_test_teardown(test_lines, teardown),   cmocka_unit_test_teardown(test_aliases, teardown),
        cmocka_unit_test_teardown(test_refuses, teardown), cmocka_unit_test_teardown(test_depth, teardown),
        cmocka_unit_test_teardown(test_bombs, teardown),   cmocka_unit_test_teardown(test_load, teardown),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
