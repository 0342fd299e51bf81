/* Canonical paths: what is one, and what is refused for which reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "io/openapi.h"

static const struct {
    const char *path, *fault; /* NULL: canonical */
} cases[] = {
    {"/", NULL},
    {"/v1/stories", NULL},
    {"/v1/stories/", NULL},
    {"/a-b._~!$&'()*+,=:@/c", NULL},
    {"/..a/.b/...", NULL},
    {"/%C3%A9", NULL},
    {"/%c3%a9", NULL},
    {"/a%20b/%3F%23%5B%5D%22", NULL},
    {"/%E2%82%AC/%F0%9F%98%80", NULL},
    {"/%21%40", NULL}, /* may stand raw or escaped: the decoded value is the same */
    {"", "does not begin with a slash"},
    {"v1", "does not begin with a slash"},
    {"*", "does not begin with a slash"},
    {"//", "has an empty segment"},
    {"//a", "has an empty segment"},
    {"/a//b", "has an empty segment"},
    {"/a//", "has an empty segment"},
    {"/.", "has a dot segment"},
    {"/./a", "has a dot segment"},
    {"/..", "has a dot segment"},
    {"/a/..", "has a dot segment"},
    {"/a/../b", "has a dot segment"},
    {"/a/.", "has a dot segment"},
    {"/a;b", "has a character that is not allowed"},
    {"/a/..;/b", "has a character that is not allowed"},
    {"/a\\b", "has a character that is not allowed"},
    {"/a?b", "has a character that is not allowed"},
    {"/a#b", "has a character that is not allowed"},
    {"/{a}", "has a character that is not allowed"},
    {"/a b", "has a character that is not allowed"},
    {"/\xc3\xa9", "has a character that is not allowed"},
    {"/\x7f", "has a character that is not allowed"},
    {"/%", "has a broken escape"},
    {"/%4", "has a broken escape"},
    {"/%zz", "has a broken escape"},
    {"/%u002e", "has a broken escape"},
    {"/%%32%65", "has a broken escape"},
    {"/%2e", "escapes a character that needs no escape"},
    {"/%2E%2e/a", "escapes a character that needs no escape"},
    {"/%61", "escapes a character that needs no escape"},
    {"/%7E", "escapes a character that needs no escape"},
    {"/a%2fb", "escapes a character that is not allowed"},
    {"/a%2Fb", "escapes a character that is not allowed"},
    {"/a%5cb", "escapes a character that is not allowed"},
    {"/a%252e", "escapes a character that is not allowed"},
    {"/a%3bb", "escapes a character that is not allowed"},
    {"/a%00", "escapes a character that is not allowed"},
    {"/a%0d%0a", "escapes a character that is not allowed"},
    {"/a%7f", "escapes a character that is not allowed"},
    {"/%c0%af", "is not UTF-8"},
    {"/%c0%ae%c0%ae", "is not UTF-8"},
    {"/%e0%80%af", "is not UTF-8"},
    {"/%ed%a0%80", "is not UTF-8"},
    {"/%f4%90%80%80", "is not UTF-8"},
    {"/%ff", "is not UTF-8"},
    {"/%c3", "is not UTF-8"},
    {"/%c3x%a9", "is not UTF-8"},
    {"/%c3/%a9", "is not UTF-8"},
    {"/%a9%c3", "is not UTF-8"},
};

static void test_path_fault(void **state)
{
    (void)state;
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        const char *fault = st_path_fault(cases[i].path, strlen(cases[i].path));
        if (!st_streq(fault, cases[i].fault))
            fail_msg("%s: %s", cases[i].path, fault ? fault : "canonical");
    }
}

static void test_path_length(void **state)
{
    (void)state;
    char path[ST_PATH_MAX + 2];
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    assert_null(st_path_fault(path, ST_PATH_MAX));
    assert_string_equal(st_path_fault(path, ST_PATH_MAX + 1), "is too long");
    assert_string_equal(st_path_fault("/a\0b", 4), "has a character that is not allowed");
    assert_null(st_path_fault("/ab;", 3)); /* nothing behind its end is looked at */
    assert_string_equal(st_path_fault("/%41", 3), "has a broken escape");
    for (int c = 1; c < 256; c++) { /* what stands raw is what the grammar has */
        const char one[] = {'/', (char)c};
        bool raw =
            c < 0x80 && strchr("/ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~!$&'()*+,=:@", c);
        assert_int_equal(st_path_fault(one, 2) == NULL, raw && c != '/');
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path_fault),
        cmocka_unit_test(test_path_length),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
