/* Feeds the story analyser what is meant to break it, or to take it long; what tests/fuzz finds is kept here. */
#include "story/analyse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void refused(void **state)
{
    (void)state;
    struct st_arena a = {0};
    struct st_analysis *found = NULL;
    assert_int_equal(st_analyse(&a, "", 0, NULL, &found), ST_E_INVALID);
    assert_int_equal(st_analyse(&a, "\xFF", 1, NULL, &found), ST_E_INVALID);
    assert_int_equal(st_analyse(&a, "a", ST_ANALYSE_TEXT_MAX + 1, NULL, &found), ST_E_TOO_LARGE);
    assert_null(found);
    st_arena_release(&a);
}

static void nothing_to_say(void **state)
{
    (void)state;
    static const char *const texts[] = {
        " ",           "\n\n\r\n", "\"\" “” '' \"\" !!! ... „“ «»", "***", "“", "—", "\"", "’", "* * *\n\n---\n\n\"",
        "\xE2\x80\x8B"};
    for (size_t i = 0; i < ST_COUNT(texts); i++) {
        struct st_arena a = {0};
        struct st_analysis *found = NULL;
        assert_int_equal(st_analyse(&a, texts[i], strlen(texts[i]), NULL, &found), 0);
        assert_int_equal(found->n_segments, 0);
        assert_int_equal(found->n_characters, 0);
        st_arena_release(&a);
    }
}

/* Nothing behind the text is looked at: no NUL ends it. Found by tests/fuzz. */
static void ends_anywhere(void **state)
{
    (void)state;
    static const char *const texts[] = {"a\n>", "> ", "#",   "# ", "*a",  "_",   "\"", "“",
                                        "’",    "a’", "Mr.", "—",  "« a", "...", "- ", "\"Here,\" I said."};
    for (size_t i = 0; i < ST_COUNT(texts); i++) {
        size_t n = strlen(texts[i]);
        char *text = malloc(n); /* so that memcheck and ASan see one byte too much */
        assert_non_null(text);
        memcpy(text, texts[i], n);
        struct st_arena a = {0};
        struct st_analysis *found = NULL;
        assert_int_equal(st_analyse(&a, text, n, NULL, &found), 0);
        st_arena_release(&a);
        free(text);
    }
}

/* A quarter of a megabyte of each: takes long only if something is quadratic. */
static void large_and_strange(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "a",
        "a ",
        "a\n",
        "\"",
        " \"a",
        " „a",
        " ‘a",
        " 'a' ",
        " ‘a’x",
        " *a b.*",
        "«a ",
        "»a ",
        "Mr. ",
        "Tom's ",
        "the fox ",
        "said ",
        "—a —b\n\n",
        "\"No.\"\n\n",
        "\"Hi,\" said Tom. ",
        "狼来了",
        "「狼」",
        "👨‍👩‍👧",
        "á́́",
        "שלום ",
        "Queen of ",
        "\"I am Tom.\" ",
        "\"What is your name?\"\n\n\"Tom.\"\n\n",
        "\"a\nb\n",
        "> # ",
        ". ",
        "could hardly ",
        "\"‘“«",
        "“a ‘b “c ‘d",
        "\x01\x1b[0m\x7f",
        "\u202eabc\u202c \u2067שלום\u2069 ",
        "aЯωשم字한हไ\U0001F600\U00010400 ",
        "...!?",
        "\"Sir,\" said his mother.\n\n",
    };
    enum { BYTES = 1 << 18 };
    char *text = malloc(BYTES + 64);
    assert_non_null(text);
    for (size_t i = 0; i < ST_COUNT(pieces); i++) {
        size_t n = 0, k = strlen(pieces[i]);
        for (; n + k <= BYTES; n += k)
            memcpy(text + n, pieces[i], k);
        struct st_arena a = {0};
        struct st_analysis *found = NULL;
        assert_int_equal(st_analyse(&a, text, n, NULL, &found), 0);
        assert_true(found->n_segments <= ST_ANALYSE_SEGMENTS_MAX);
        st_arena_release(&a);
    }
    free(text);
}

/* As many names as fit: the list stays bounded, and so does the time. */
static void many_names(void **state)
{
    (void)state;
    enum { BYTES = 1 << 18 };
    char *text = malloc(BYTES + 64);
    assert_non_null(text);
    size_t n = 0;
    for (unsigned i = 0; n < BYTES; i++)
        n += (size_t)snprintf(text + n, 64, "\"Hi,\" said %c%c%c%cx Smith.\n\n", 'A' + i % 26, 'a' + i / 26 % 26,
                              'a' + i / 676 % 26, 'a' + i / 17576 % 26);
    struct st_arena a = {0};
    struct st_analysis *found = NULL;
    assert_int_equal(st_analyse(&a, text, n, &(struct st_analyse_hints){.language = "en"}, &found), 0);
    assert_int_equal(found->n_characters, ST_ANALYSE_CHARACTERS_MAX);
    for (int i = 0; i < found->n_segments; i++)
        assert_in_range(found->segments[i].character + 1, 0, found->n_characters);
    st_arena_release(&a);
    free(text);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused),           cmocka_unit_test(nothing_to_say), cmocka_unit_test(ends_anywhere),
        cmocka_unit_test(large_and_strange), cmocka_unit_test(many_names),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
