/* JSON: strict parsing of hostile text, canonical and short texts, pointers, typed members, files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "io/json.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

static struct st_arena arena;

static int teardown(void **state)
{
    (void)state;
    st_arena_release(&arena);
    return 0;
}

static json_t *parse(const char *text)
{
    json_t *j = NULL;
    const char *why = "";
    if (st_json_parse(&arena, text, strlen(text), ST_JSON_DEPTH, &j, &why) < 0)
        fail_msg("%s: %s", text, why);
    return j;
}

static const char *refusal(const char *text, size_t len)
{
    json_t *j = (json_t *)1;
    const char *why = NULL;
    assert_int_equal(st_json_parse(&arena, text, len, ST_JSON_DEPTH, &j, &why), ST_E_INVALID);
    assert_ptr_equal(j, (json_t *)1); /* set only on success */
    assert_non_null(why);
    assert_true(st_utf8_valid(why, strlen(why)));
    return why;
}

static void test_accepts(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "null",        " true ", "\"\\ud83d\\ude00\"", "[1,-0,1.5e3]",        "{}",
        "{\"\":\"\"}", "\n{}\n", "[[],[{}]]",          "\"\\u00e9\xc3\xa9\"", "9223372036854775807"};
    for (size_t i = 0; i < ST_COUNT(texts); i++)
        assert_non_null(parse(texts[i]));
}

static void test_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
    } bad[] = {
#define TEXT(s) {s, sizeof(s) - 1}
        TEXT(""),
        TEXT(" "),
        TEXT("{"),
        TEXT("[1,]"),
        TEXT("{\"a\":1,}"),
        TEXT("{a:1}"),
        TEXT("'a'"),
        TEXT("01"),
        TEXT("+1"),
        TEXT(".5"),
        TEXT("1."),
        TEXT("NaN"),
        TEXT("Infinity"),
        TEXT("nul"),
        TEXT("[1] x"),
        TEXT("{} {}"),
        TEXT("\"\\u0000\""),
        TEXT("\"\\ud800\""),
        TEXT("\"\\udc00\\ud800\""),
        TEXT("\"\\x41\""),
        TEXT("\"\\u00\xc3\xa9\""),
        TEXT("\"a\nb\""),
        TEXT("\"a\0b\""),
        TEXT("[1]\0"),
        TEXT("\"\xff\""),
        TEXT("\"\xc0\x80\""),
        TEXT("\"\xed\xa0\x80\""),
        TEXT("\"\xf4\x90\x80\x80\""),
        TEXT("\"\xe2\x82"),
        TEXT("\xef\xbb\xbf{}"),
        TEXT("9223372036854775808"),
        TEXT("1e999"),
        TEXT("/* */ 1"),
        TEXT("{\"a\":1,\"a\":2}"),
        TEXT("{\"a\":1,\"\\u0061\":2}"),
#undef TEXT
    };
    for (size_t i = 0; i < ST_COUNT(bad); i++)
        refusal(bad[i].text, bad[i].len);
}

static void test_says_where(void **state)
{
    (void)state;
    assert_string_equal(refusal("", 0), "is empty");
    const char *why = refusal("{\n \"a\": x}", 10);
    assert_non_null(strstr(why, "line 2, column"));
    assert_null(strstr(why, "near")); /* the input is not quoted back */
    assert_non_null(strstr(refusal("{\"a\":1,\"a\":2}", 13), "duplicate"));
}

static char *nested(int depth, const char *open, const char *close)
{
    struct st_buf b = ST_BUF(1 << 24);
    for (int i = 0; i < depth; i++)
        st_buf_str(&b, open);
    for (int i = 0; i < depth; i++)
        st_buf_str(&b, close);
    char *text = st_strndup(&arena, b.data, b.len);
    st_buf_release(&b);
    return text;
}

static void test_depth(void **state)
{
    (void)state;
    json_t *j;
    const char *why, *brackets = "[\"[[[[\\\"[[[\"]";
    assert_int_equal(st_json_parse(&arena, "[1]", 3, 1, &j, &why), 0);
    assert_int_equal(st_json_parse(&arena, "1", 1, 0, &j, &why), 0);
    assert_int_equal(st_json_parse(&arena, "[[1]]", 5, 1, &j, &why), ST_E_INVALID);
    assert_non_null(strstr(why, "more than 1 levels"));
    assert_int_equal(st_json_parse(&arena, brackets, strlen(brackets), 1, &j, &why), 0); /* not those in strings */
    parse(nested(ST_JSON_DEPTH, "[", "]"));
    const char *deep = nested(ST_JSON_DEPTH + 1, "[", "]");
    refusal(deep, strlen(deep));
    deep = nested(1000000, "[", "]"); /* no stack is spent on it */
    refusal(deep, strlen(deep));
    deep = nested(1000000, "{\"a\":", "}");
    refusal(deep, strlen(deep));
}

static void test_text(void **state)
{
    (void)state;
    static const char *const same[] = {"{\"b\":1,\"a\":[true,false,null,\"x\"]}",
                                       "0.1",
                                       "0.7",
                                       "-1.5",
                                       "1e+300",
                                       "0.30000000000000004",
                                       "1.0",
                                       "-0.0",
                                       "[]",
                                       "{}",
                                       "\"\\\"\\\\\\n\\u0001é😀\"",
                                       "-9223372036854775808"};
    for (size_t i = 0; i < ST_COUNT(same); i++)
        assert_string_equal(st_json_text(&arena, parse(same[i])), same[i]);
}

static void test_text_reads_back(void **state)
{
    (void)state;
    static const double values[] = {1.0 / 3, 2.0 / 3, 1e22, 123456789.123456789, 4.9e-324, 1.7976931348623157e308, 100};
    for (size_t i = 0; i < ST_COUNT(values); i++) {
        json_t *back = parse(st_json_text(&arena, st_json_keep(&arena, json_real(values[i]))));
        assert_true(json_is_real(back));
        assert_true(json_real_value(back) == values[i]);
    }
}

static void test_canonical(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
    } equal[] = {{"{\"b\":1,\"a\":2}", "{\"a\":2,\"b\":1}"},
                 {"[1.0,-0.0]", "[1,0]"},
                 {"1e3", "1000"},
                 {"{\"aa\":1,\"a\":{\"z\":0,\"y\":0}}", "{\"a\":{\"y\":0,\"z\":0},\"aa\":1}"},
                 {"\"\\u00e9\"", "\"é\""}};
    for (size_t i = 0; i < ST_COUNT(equal); i++)
        assert_string_equal(st_json_canonical(&arena, parse(equal[i].a)), st_json_canonical(&arena, parse(equal[i].b)));
    assert_string_not_equal(st_json_canonical(&arena, parse("1")), st_json_canonical(&arena, parse("\"1\"")));
    assert_string_not_equal(st_json_canonical(&arena, parse("[1,2]")), st_json_canonical(&arena, parse("[2,1]")));
    assert_string_not_equal(st_json_canonical(&arena, parse("0.5")), st_json_canonical(&arena, parse("0")));
    /* int64 and double part at 2^53: both sides must stay apart */
    assert_string_not_equal(st_json_canonical(&arena, parse("9007199254740993")),
                            st_json_canonical(&arena, parse("9007199254740992.0")));
}

static void test_pointer(void **state)
{
    (void)state;
    json_t *j = parse("{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"m~n\":8,\"k\\\"l\":6,\"~1\":9}");
    static const struct {
        const char *pointer, *text; /* NULL: nothing there */
    } cases[] = {{"/foo/0", "\"bar\""}, {"/foo/1", "\"baz\""}, {"/", "0"},
                 {"/a~1b", "1"},        {"/m~0n", "8"},        {"/k\"l", "6"},
                 {"/~01", "9"},         {"/foo/2", NULL},      {"/foo/-", NULL},
                 {"/foo/01", NULL},     {"/foo/-0", NULL},     {"/foo/+1", NULL},
                 {"foo", NULL},         {"/a/b", NULL},        {"/a~2b", NULL},
                 {"/a~", NULL},         {"/nope", NULL},       {"//x", NULL},
                 {"/foo/0/x", NULL},    {"/foo/", NULL},       {"/foo/99999999999999999999", NULL}};
    assert_ptr_equal(st_json_at(j, ""), j);
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        const json_t *found = st_json_at(j, cases[i].pointer);
        if (!cases[i].text != !found)
            fail_msg("%s", cases[i].pointer);
        if (found)
            assert_string_equal(st_json_text(&arena, found), cases[i].text);
    }
    assert_string_equal(st_json_pointer(&arena, "/x", "a/b~c"), "/x/a~1b~0c");
    assert_string_equal(st_json_pointer(&arena, "", ""), "/");
}

static void test_members(void **state)
{
    (void)state;
    json_t *j = parse("{\"s\":\"x\",\"i\":7,\"r\":7.0,\"f\":7.5,\"t\":true,\"n\":null,\"big\":1e30}");
    assert_string_equal(st_json_str(j, "s", "-"), "x");
    assert_string_equal(st_json_str(j, "n", "-"), "-");
    assert_string_equal(st_json_str(j, "i", "-"), "-");
    assert_null(st_json_str(j, "missing", NULL));
    assert_int_equal(st_json_int(j, "i", -1), 7);
    assert_int_equal(st_json_int(j, "r", -1), 7);
    assert_int_equal(st_json_int(j, "f", -1), -1);
    assert_int_equal(st_json_int(j, "big", -1), -1);
    assert_int_equal(st_json_int(j, "s", -1), -1);
    assert_true(st_json_num(j, "f", 0) == 7.5);
    assert_true(st_json_num(j, "i", 0) == 7);
    assert_true(st_json_num(j, "n", 3) == 3);
    assert_true(st_json_bool(j, "t", false));
    assert_true(st_json_bool(j, "i", true));
    assert_int_equal(st_json_int(NULL, "i", 5), 5);
}

static void test_times(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"2026-01-31T09:05:07Z", "2026-01-31T09:05:07.000Z"},
        {"2026-01-31T09:05:07.1234567890123-23:59", "2026-02-01T09:04:07.123Z"},
        {"2026-01-31t09:05:07+23:59", "2026-01-30T09:06:07.000Z"},
        {"0000-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"},
        {"9999-12-31T23:59:59.999-12:00", "9999-12-31T23:59:59.000Z"},
        {"tomorrow", "tomorrow"},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        json_t *j = st_json_keep(&arena, json_pack("{s:s}", "at", cases[i][0]));
        assert_string_equal(st_json_time(&arena, j, "at"), cases[i][1]);
        assert_null(st_json_time(&arena, j, "until"));
    }
}

static void test_keep_releases(void **state)
{
    (void)state;
    struct st_arena a = {0};
    json_t *j = json_incref(json_array());
    assert_ptr_equal(st_json_keep(&a, j), j);
    assert_int_equal(j->refcount, 2);
    st_arena_release(&a);
    assert_int_equal(j->refcount, 1);
    json_decref(j);
}

static void test_files(void **state)
{
    (void)state;
    char dir[] = "/tmp/st-json-XXXXXX";
    json_t *j;
    const char *why;
    assert_non_null(mkdtemp(dir));
    const char *path = st_printf(&arena, "%s/a.json", dir);

    assert_int_equal(st_json_load(&arena, path, &j, &why), ST_E_INVALID);
    assert_non_null(strstr(why, path));
    assert_int_equal(st_json_load(&arena, dir, &j, &why), ST_E_INVALID);
    assert_non_null(strstr(why, "regular"));

    FILE *f = fopen(path, "w");
    fputs("{\"a\": [1]}", f);
    fclose(f);
    assert_int_equal(st_json_load(&arena, path, &j, &why), 0);
    assert_string_equal(st_json_text(&arena, j), "{\"a\":[1]}");

    assert_int_equal(truncate(path, 3), 0);
    assert_int_equal(st_json_load(&arena, path, &j, &why), ST_E_INVALID);
    assert_true(st_starts(why, path));
    assert_non_null(strstr(why, "line 1"));

    assert_int_equal(truncate(path, ST_FILE_MAX + 1), 0);
    assert_int_equal(st_json_load(&arena, path, &j, &why), ST_E_INVALID);
    assert_non_null(strstr(why, "16 MiB"));

    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0); /* nobody writes: must not block */
    assert_int_equal(st_json_load(&arena, path, &j, &why), ST_E_INVALID);
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_accepts, teardown),
        cmocka_unit_test_teardown(test_refuses, teardown),
        cmocka_unit_test_teardown(test_says_where, teardown),
        cmocka_unit_test_teardown(test_depth, teardown),
        cmocka_unit_test_teardown(test_text, teardown),
        cmocka_unit_test_teardown(test_text_reads_back, teardown),
        cmocka_unit_test_teardown(test_canonical, teardown),
        cmocka_unit_test_teardown(test_pointer, teardown),
        cmocka_unit_test_teardown(test_members, teardown),
        cmocka_unit_test_teardown(test_times, teardown),
        cmocka_unit_test_teardown(test_keep_releases, teardown),
        cmocka_unit_test_teardown(test_files, teardown),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
