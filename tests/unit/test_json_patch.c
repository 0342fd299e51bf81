/* JSON Patch: the examples of RFC 6902, what does not fit, parameters, optional groups, what does not compile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "io/json_patch.h"

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

static const struct st_patch *compile(const char *text)
{
    const struct st_patch *p = NULL;
    const char *at = "", *why = "";
    if (st_patch_compile(&arena, parse(text), &p, &at, &why) < 0)
        fail_msg("%s: %s: %s", text, at, why);
    return p;
}

/* What a document becomes, or why it does not. */
static const char *apply(const char *document, const char *patch, const char *params)
{
    json_t *result = NULL;
    const char *why = NULL;
    int r = st_patch_apply(compile(patch), params ? parse(params) : NULL, &arena, parse(document), &result, &why);
    if (r == 0)
        return st_json_text(&arena, result);
    assert_int_equal(r, ST_E_UNPROCESSABLE);
    assert_null(result);
    return why;
}

static void test_rfc(void **state)
{
    (void)state;
    static const struct {
        const char *document, *patch, *result;
    } examples[] = {
        {"{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz\",\"value\":\"qux\"}]",
         "{\"foo\":\"bar\",\"baz\":\"qux\"}"},
        {"{\"foo\":[\"bar\",\"baz\"]}", "[{\"op\":\"add\",\"path\":\"/foo/1\",\"value\":\"qux\"}]",
         "{\"foo\":[\"bar\",\"qux\",\"baz\"]}"},
        {"{\"baz\":\"qux\",\"foo\":\"bar\"}", "[{\"op\":\"remove\",\"path\":\"/baz\"}]", "{\"foo\":\"bar\"}"},
        {"{\"foo\":[\"bar\",\"qux\",\"baz\"]}", "[{\"op\":\"remove\",\"path\":\"/foo/1\"}]",
         "{\"foo\":[\"bar\",\"baz\"]}"},
        {"{\"baz\":\"qux\",\"foo\":\"bar\"}", "[{\"op\":\"replace\",\"path\":\"/baz\",\"value\":\"boo\"}]",
         "{\"baz\":\"boo\",\"foo\":\"bar\"}"},
        {"{\"foo\":{\"bar\":\"baz\",\"waldo\":\"fred\"},\"qux\":{\"corge\":\"grault\"}}",
         "[{\"op\":\"move\",\"from\":\"/foo/waldo\",\"path\":\"/qux/thud\"}]",
         "{\"foo\":{\"bar\":\"baz\"},\"qux\":{\"corge\":\"grault\",\"thud\":\"fred\"}}"},
        {"{\"foo\":[\"all\",\"grass\",\"cows\",\"eat\"]}",
         "[{\"op\":\"move\",\"from\":\"/foo/1\",\"path\":\"/foo/3\"}]",
         "{\"foo\":[\"all\",\"cows\",\"eat\",\"grass\"]}"},
        {"{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}",
         "[{\"op\":\"test\",\"path\":\"/baz\",\"value\":\"qux\"},{\"op\":\"test\",\"path\":\"/foo/1\",\"value\":2.0}]",
         "{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}"},
        {"{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/child\",\"value\":{\"grandchild\":{}}}]",
         "{\"foo\":\"bar\",\"child\":{\"grandchild\":{}}}"},
        {"{\"/\":9,\"~1\":10}", "[{\"op\":\"test\",\"path\":\"/~01\",\"value\":10}]", "{\"/\":9,\"~1\":10}"},
        {"{\"foo\":[\"bar\"]}", "[{\"op\":\"add\",\"path\":\"/foo/-\",\"value\":[\"abc\",\"def\"]}]",
         "{\"foo\":[\"bar\",[\"abc\",\"def\"]]}"},
        {"{\"foo\":null}", "[{\"op\":\"replace\",\"path\":\"\",\"value\":[1]}]", "[1]"},
        {"{\"a\":{\"b\":1}}",
         "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/c\"},{\"op\":\"remove\",\"path\":\"/a/b\"}]",
         "{\"a\":{},\"c\":{\"b\":1}}"},
        {"{\"a\":{\"b\":1}}", "[{\"op\":\"move\",\"from\":\"/a/b\",\"path\":\"\"}]", "1"},
    };
    for (size_t i = 0; i < ST_COUNT(examples); i++)
        assert_string_equal(apply(examples[i].document, examples[i].patch, NULL), examples[i].result);
}

static void test_no_fit(void **state)
{
    (void)state;
    static const struct {
        const char *document, *patch, *why;
    } examples[] = {
        {"{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz/bat\",\"value\":1}]",
         "add /baz/bat: there is no such value"},
        {"{\"baz\":\"qux\"}", "[{\"op\":\"test\",\"path\":\"/baz\",\"value\":\"bar\"}]",
         "test /baz: the value is another"},
        {"{}", "[{\"op\":\"remove\",\"path\":\"/a\"}]", "remove /a: there is no such value"},
        {"{}", "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":1}]", "replace /a: there is no such value"},
        {"{}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/b\"}]", "move /a: there is no such value"},
        {"[1]", "[{\"op\":\"add\",\"path\":\"/2\",\"value\":1}]", "add /2: there is no such value"},
        {"[1]", "[{\"op\":\"add\",\"path\":\"/01\",\"value\":1}]", "add /01: there is no such value"},
        {"[1]", "[{\"op\":\"replace\",\"path\":\"/-\",\"value\":1}]", "replace /-: there is no such value"},
        {"[1]", "[{\"op\":\"remove\",\"path\":\"/1\"}]", "remove /1: there is no such value"},
        {"[1]", "[{\"op\":\"add\",\"path\":\"/99999999999999999999\",\"value\":1}]",
         "add /99999999999999999999: there is no such value"},
        {"\"text\"", "[{\"op\":\"add\",\"path\":\"/a\",\"value\":1}]", "add /a: there is no such value"},
    };
    for (size_t i = 0; i < ST_COUNT(examples); i++)
        assert_string_equal(apply(examples[i].document, examples[i].patch, NULL), examples[i].why);
}

static void test_params(void **state)
{
    (void)state;
    static const char patch[] = "[{\"op\":\"add\",\"path\":\"/id\",\"value\":{\"$param\":\"storyId\"}},"
                                "{\"op\":\"add\",\"path\":\"/max\",\"value\":{\"$param\":\"limit\"}}]";
    assert_string_equal(apply("{}", patch, "{\"storyId\":\"s-1\",\"limit\":7}"), "{\"id\":\"s-1\",\"max\":7}");
    assert_string_equal(apply("{}", patch, "{\"storyId\":\"s-1\"}"), "{\"id\":\"s-1\"}");
    assert_string_equal(apply("{}", patch, NULL), "{}");
}

static void test_groups(void **state)
{
    (void)state;
    static const char patch[] = "[[{\"op\":\"move\",\"from\":\"/nextCursor\",\"path\":\"/next\"},"
                                "{\"op\":\"add\",\"path\":\"/more\",\"value\":true}],"
                                "{\"op\":\"add\",\"path\":\"/v\",\"value\":2}]";
    assert_string_equal(apply("{\"nextCursor\":\"c\"}", patch, NULL), "{\"next\":\"c\",\"more\":true,\"v\":2}");
    assert_string_equal(apply("{}", patch, NULL), "{\"v\":2}");
    /* A group that fails at its second operation has not done its first. */
    assert_string_equal(
        apply("{\"a\":1}", "[[{\"op\":\"remove\",\"path\":\"/a\"},{\"op\":\"remove\",\"path\":\"/b\"}]]", NULL),
        "{\"a\":1}");
}

/* Values of the patch are not the document's: what changes one document is not seen by the next. */
static void test_constants_stay(void **state)
{
    (void)state;
    const struct st_patch *p = compile("[{\"op\":\"add\",\"path\":\"/a\",\"value\":{}},"
                                       "{\"op\":\"add\",\"path\":\"/a/b\",\"value\":1}]");
    for (int i = 0; i < 2; i++) {
        json_t *result = NULL;
        const char *why = "";
        assert_int_equal(st_patch_apply(p, NULL, &arena, parse("{}"), &result, &why), 0);
        assert_string_equal(st_json_text(&arena, result), "{\"a\":{\"b\":1}}");
    }
}

static void test_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *patch, *at, *why;
    } bad[] = {
        {"{}", "", "a patch must be a list of operations"},
        {"[]", "", "a patch must be a list of operations"},
        {"[[]]", "/0", "a patch must be a list of operations"},
        {"[[[{\"op\":\"remove\",\"path\":\"/a\"}]]]", "/0/0", "op must be add, remove, replace, move, copy or test"},
        {"[7]", "/0", "op must be add, remove, replace, move, copy or test"},
        {"[{\"op\":\"spam\",\"path\":\"/a\"}]", "/0", "op must be add, remove, replace, move, copy or test"},
        {"[{\"op\":\"remove\"}]", "/0/path", "path must be a JSON pointer"},
        {"[{\"op\":\"remove\",\"path\":\"a\"}]", "/0/path", "path must be a JSON pointer, such as /title"},
        {"[{\"op\":\"remove\",\"path\":\"/a~2\"}]", "/0/path", "path must be a JSON pointer, such as /title"},
        {"[{\"op\":\"remove\",\"path\":\"\"}]", "/0", "the whole document cannot be removed"},
        {"[{\"op\":\"add\",\"path\":\"/a\"}]", "/0", "add needs a value"},
        {"[{\"op\":\"add\",\"path\":\"/a\",\"value\":{\"$param\":1}}]", "/0",
         "$param must be the name of a parameter, and stand alone"},
        {"[{\"op\":\"add\",\"path\":\"/a\",\"value\":{\"$param\":\"a\",\"b\":1}}]", "/0",
         "$param must be the name of a parameter, and stand alone"},
        {"[{\"op\":\"move\",\"path\":\"/a\"}]", "/0/from", "from must be a JSON pointer"},
        {"[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a/b\"}]", "/0", "a value cannot be moved into itself"},
        {"[{\"op\":\"remove\",\"path\":\"/a\",\"value\":1}]", "/0/value", "value is not a member of remove"},
    };
    for (size_t i = 0; i < ST_COUNT(bad); i++) {
        const struct st_patch *p = (const struct st_patch *)1;
        const char *at = NULL, *why = NULL;
        assert_int_equal(st_patch_compile(&arena, parse(bad[i].patch), &p, &at, &why), ST_E_INVALID);
        assert_ptr_equal(p, (const struct st_patch *)1);
        assert_string_equal(at, bad[i].at);
        assert_string_equal(why, bad[i].why);
    }
}

static void test_bounds(void **state)
{
    (void)state;
    json_t *list = st_json_keep(&arena, json_array());
    const struct st_patch *p;
    const char *at, *why;
    for (int i = 0; i <= ST_PATCH_OPERATIONS; i++)
        json_array_append_new(list, json_pack("{ss,ss,si}", "op", "add", "path", "/a", "value", i));
    assert_int_equal(st_patch_compile(&arena, list, &p, &at, &why), ST_E_INVALID);
    assert_string_equal(at, "/64");
    json_array_remove(list, 0);
    assert_int_equal(st_patch_compile(&arena, list, &p, &at, &why), 0);
}

static bool count(void *ctx, const char *name)
{
    (*(int *)ctx)++;
    return !st_streq(name, "c");
}

static void test_each_param(void **state)
{
    (void)state;
    int n = 0;
    const struct st_patch *p = compile("[{\"op\":\"add\",\"path\":\"/a\",\"value\":{\"$param\":\"a\"}},"
                                       "[{\"op\":\"add\",\"path\":\"/b\",\"value\":{\"$param\":\"b\"}}],"
                                       "{\"op\":\"test\",\"path\":\"/c\",\"value\":{\"$param\":\"c\"}},"
                                       "{\"op\":\"test\",\"path\":\"/d\",\"value\":{\"$param\":\"d\"}}]");
    assert_false(st_patch_each_param(p, count, &n));
    assert_int_equal(n, 3);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_rfc, teardown),
        cmocka_unit_test_teardown(test_no_fit, teardown),
        cmocka_unit_test_teardown(test_params, teardown),
        cmocka_unit_test_teardown(test_groups, teardown),
        cmocka_unit_test_teardown(test_constants_stay, teardown),
        cmocka_unit_test_teardown(test_refuses, teardown),
        cmocka_unit_test_teardown(test_bounds, teardown),
        cmocka_unit_test_teardown(test_each_param, teardown),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
