#ifndef TESTS_LIB_ANALYSIS_H
#define TESTS_LIB_ANALYSIS_H
/* What the tests of the story analyser share. */
#include "story/analyse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

ST_UNUSED static struct st_analysis *analyse(struct st_arena *a, const char *text)
{
    struct st_analysis *found = NULL;
    assert_int_equal(st_analyse(a, text, strlen(text), NULL, &found), 0);
    return found;
}

ST_UNUSED static const struct st_segment *find_segment(const struct st_analysis *found, const char *begins)
{
    for (int i = 0; i < found->n_segments; i++)
        if (st_starts(found->segments[i].text, begins))
            return &found->segments[i];
    fail_msg("no segment begins with: %s", begins);
    return NULL;
}

ST_UNUSED static const struct st_character *find_character(const struct st_analysis *found, const char *name)
{
    for (int i = 0; i < found->n_characters; i++)
        if (st_streq(found->characters[i].name, name))
            return &found->characters[i];
    return NULL;
}

ST_UNUSED static const char *speaker(const struct st_analysis *found, const struct st_segment *s)
{
    return s->character < 0 ? "" : found->characters[s->character].name;
}

/* What holds for every answer. */
ST_UNUSED static void check_answer(const struct st_analysis *found)
{
    for (int i = 0; i < found->n_segments; i++) {
        const struct st_segment *s = &found->segments[i];
        assert_int_equal(s->index, i);
        assert_true(s->text[0] && s->text[0] != ' ' && s->text[strlen(s->text) - 1] != ' ');
        assert_true(st_utf8_valid(s->text, strlen(s->text)));
        assert_true(st_utf8_length(s->text, strlen(s->text)) <= ST_SEGMENT_CHARS_MAX);
        assert_true(strlen(s->id) >= 16 && strlen(s->id) <= 32);
        assert_int_equal(strspn(s->id, "abcdefghijklmnopqrstuvwxyz0123456789"), strlen(s->id));
        assert_in_range(s->character + 1, 0, found->n_characters);
        assert_true(s->intensity >= 0 && s->intensity <= 1 && s->confidence >= 0 && s->confidence <= 1);
        assert_true(s->character < 0 ? s->confidence == (s->kind == ST_NARRATION) : s->confidence >= 0.2);
        assert_true((s->emotion == ST_NEUTRAL) == (s->intensity == 0));
        assert_true(s->kind != ST_NARRATION || s->character < 0);
        assert_true((s->evidence != NULL) == (s->character >= 0));
        assert_true(!s->evidence || st_utf8_length(s->evidence, strlen(s->evidence)) <= 64);
        assert_true(i == 0 || s->paragraph == s[-1].paragraph || s->paragraph == s[-1].paragraph + 1);
    }
    for (int i = 0; i < found->n_characters; i++) {
        const struct st_character *c = &found->characters[i];
        assert_true(c->name[0] && c->mentions > 0);
        assert_true(c->gender == 'm' || c->gender == 'f' || c->gender == 0);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(c->name, found->characters[k].name);
    }
}

ST_UNUSED static struct st_analysis *analyse_with(struct st_arena *a, const char *text,
                                                  const struct st_analyse_hints *hints)
{
    struct st_analysis *found = NULL;
    assert_int_equal(st_analyse(a, text, strlen(text), hints, &found), 0);
    check_answer(found);
    return found;
}

#endif
