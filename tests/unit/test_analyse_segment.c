/* Tests where the story analyser cuts a text into paragraphs and segments, and the ids of these. */
#include "../lib/analysis.h"

static void sentences(void **state)
{
    (void)state;
    struct st_arena a = {0};
    char text[2000] = "";
    size_t n = 0;
    for (int i = 0; i < 8; i++)
        n += (size_t)snprintf(
            text + n, sizeof(text) - n,
            "Dr. J. R. Smith met Mr. Jones at 4.30 p.m. in St. Mary's, paid $3.50... and left at once, "
            "didn't he? Well! Yes. ");
    struct st_analysis *found = analyse(&a, text);
    check_answer(found);
    assert_true(found->n_segments > 2);
    for (int i = 0; i < found->n_segments; i++) {
        const char *s = found->segments[i].text;
        assert_true(st_starts(s, "Dr. J. R.") || st_starts(s, "Well!") || st_starts(s, "Yes."));
        assert_true(st_ends(s, "Yes.") || st_ends(s, "he?") || st_ends(s, "Well!"));
    }
    st_arena_release(&a);
}

static void ids_survive_edits(void **state)
{
    (void)state;
    struct st_arena a = {0};
    struct st_analysis *old = analyse(&a, "The first paragraph.\n\n\"No,\" said Tom.\n\n\"No,\" said Ann.\n\nThe end.");
    struct st_analysis *new = analyse(&a, "Another beginning.\n\nAnd more.\n\n\"No,\" said Tom.\n\n"
                                          "\"No,\" said Ann.\n\nThe end.");
    assert_string_equal(find_segment(old, "The end")->id, find_segment(new, "The end")->id);
    assert_string_equal(find_segment(old, "said Ann")->id, find_segment(new, "said Ann")->id);
    for (int i = 0; i < new->n_segments; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(new->segments[i].id, new->segments[k].id);
    st_arena_release(&a);
}

/* The text after an edit, known what it had before. */
static struct st_analysis *edited(struct st_arena *a, const struct st_analysis *old, const char *text)
{
    const char **ids = st_new_n(a, const char *, (size_t)old->n_segments);
    for (int i = 0; i < old->n_segments; i++)
        ids[i] = old->segments[i].id;
    struct st_analyse_hints hints = {.former = ids, .n_former = old->n_segments};
    struct st_analysis *found;
    assert_int_equal(st_analyse(a, text, strlen(text), &hints, &found), 0);
    for (int i = 0; i < found->n_segments; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(found->segments[i].id, found->segments[k].id);
    return found;
}

/* Whether the segments of `new` are those of `old` that are named, by place; -1: one that was not there. */
static void same_ids(const struct st_analysis *old, const struct st_analysis *new, const int *want, int n)
{
    assert_int_equal(new->n_segments, n);
    for (int i = 0; i < n; i++) {
        int at = -1;
        for (int k = 0; k < old->n_segments; k++)
            if (st_streq(old->segments[k].id, new->segments[i].id))
                at = k;
        if (at != want[i])
            fail_msg("segment %d (%s) was %d, not %d", i, new->segments[i].text, at, want[i]);
    }
}

enum { SENTENCES = 60 };
enum edit { NONE, INSERTED, REMOVED, CHANGED, EDITS_ };

/* A paragraph of 5,000 characters whose sentences all differ, but for an edit of one of them. */
static const char *long_paragraph(struct st_arena *a, int at, enum edit edit)
{
    static const char *const words[] = {"keeper", "boats",   "lay",  "still",  "in",   "the",  "grey", "light",
                                        "of",     "morning", "and",  "nobody", "came", "down", "to",   "water",
                                        "where",  "stones",  "were", "wet",    "with", "rain"};
    const char *text = "";
    uint32_t dice = 1;
    for (int i = 0; i < SENTENCES; i++) {
        const char *sentence = "The";
        for (int k = 0; k < 10 + i % 9; k++, dice = dice * 1664525 + 1013904223)
            sentence = st_printf(a, "%s %s", sentence, words[(dice >> 16) % ST_COUNT(words)]);
        enum edit here = i == at ? edit : NONE;
        const char *added = here == INSERTED  ? "This sentence, which is new, stands before all that was there. "
                            : here == CHANGED ? "That is other now. "
                                              : "";
        text = st_printf(a, "%s%s", text, added);
        if (here != REMOVED && here != CHANGED)
            text = st_printf(a, "%s%s. ", text, sentence);
    }
    return text;
}

/* Borders inside a paragraph stand where they stood soon behind an edit, so that few segments are new. */
static void ids_survive_edits_of_their_paragraph(void **state)
{
    (void)state;
    enum { FEW = 8 };
    int edits = 0, all = 0;
    for (int at = 0; at < SENTENCES; at += 3)
        for (enum edit edit = INSERTED; edit < EDITS_; edit++, edits++) {
            struct st_arena a = {0};
            struct st_analysis *old = analyse(&a, long_paragraph(&a, 0, NONE));
            struct st_analysis *new = analyse(&a, long_paragraph(&a, at, edit));
            int others = new->n_segments;
            for (int i = 0; i < new->n_segments; i++)
                for (int k = 0; k < old->n_segments; k++)
                    others -= st_streq(new->segments[i].id, old->segments[k].id);
            assert_true(old->n_segments >= 15);
            assert_in_range(others, 0, FEW);
            all += others;
            st_arena_release(&a);
        }
    assert_in_range(all, 0, 2 * edits);
}

/* Equal lines are told apart by what stands around them, wherever others come and go. */
static void equal_lines_keep_their_ids(void **state)
{
    (void)state;
    static const char before[] = "A dog.\n\nYes.\n\nA cat.\n\nYes.\n\nYes.\n\nA cow.";
    static const struct {
        const char *text;
        int n, was[8];
    } edits[] = {
        {"Yes.\n\nA dog.\n\nYes.\n\nA cat.\n\nYes.\n\nYes.\n\nA cow.", 7, {-1, 0, 1, 2, 3, 4, 5}},
        {"A dog.\n\nA cat.\n\nYes.\n\nYes.\n\nA cow.", 5, {0, 2, 3, 4, 5}},
        {"A dog.\n\nYes.\n\nA cat.\n\nYes.\n\nA cow.\n\nYes.", 6, {0, 1, 2, 3, 5, 4}},
        {"A cat.\n\nYes.\n\nYes.\n\nA cow.\n\nA dog.\n\nYes.", 6, {2, 3, 4, 5, 0, 1}},
        {"A dog.\n\nYes.\n\nYes.\n\nA pig.\n\nYes.\n\nYes.\n\nA cow.", 7, {0, 1, -1, -1, 3, 4, 5}},
        {"Yes.\n\nYes.\n\nYes.", 3, {1, 3, 4}},
        {"Something else.", 1, {-1}},
    };
    struct st_arena a = {0};
    struct st_analysis *old = analyse(&a, before), *gone, *back;
    for (size_t i = 0; i < ST_COUNT(edits); i++)
        same_ids(old, edited(&a, old, edits[i].text), edits[i].was, edits[i].n);
    gone = edited(&a, old, "A dog.\n\nA cat.\n\nYes.\n\nYes.\n\nA cow.");
    back = edited(&a, gone, before);
    same_ids(old, back, (const int[]){0, 1, 2, 3, 4, 5}, 6); /* what is taken back is as it was */
    static const char *const strange[] = {"",
                                          "Yes.",
                                          "0123456789abcdefn",
                                          "0123456789abcdefn0",
                                          "0123456789abcdefn99999999999",
                                          "0123456789abcdefx",
                                          "xyz456789abcdef0"};
    struct st_analyse_hints hints = {.former = strange, .n_former = ST_COUNT(strange)};
    assert_int_equal(st_analyse(&a, before, strlen(before), &hints, &back), 0);
    same_ids(old, back, (const int[]){0, 1, 2, 3, 4, 5}, 6);
    st_arena_release(&a);
}

static void same_answer_twice(void **state)
{
    (void)state;
    static const char text[] =
        "\"Tom,\" said Ann, \"look!\" Old Tom Brown was afraid. \"What?\" he asked. \"That,\" she said.";
    struct st_arena a = {0};
    struct st_analysis *one = analyse(&a, text), *two = analyse(&a, text);
    assert_int_equal(one->n_segments, two->n_segments);
    assert_int_equal(one->n_characters, two->n_characters);
    for (int i = 0; i < one->n_segments; i++) {
        assert_string_equal(one->segments[i].id, two->segments[i].id);
        assert_string_equal(one->segments[i].text, two->segments[i].text);
        assert_int_equal(one->segments[i].character, two->segments[i].character);
        assert_int_equal(one->segments[i].emotion, two->segments[i].emotion);
    }
    for (int i = 0; i < one->n_characters; i++)
        assert_string_equal(one->characters[i].name, two->characters[i].name);
    st_arena_release(&a);
}

static void paragraphs(void **state)
{
    (void)state;
    struct st_arena a = {0};
    /* Hard-wrapped lines are one paragraph; lines without blank lines between are several. */
    struct st_analysis *wrapped =
        analyse(&a, "It was a dark and stormy night, and the rain fell in torrents, except at\r\n"
                    "occasional intervals, when it was checked by a violent gust of wind that\r\n"
                    "swept up the streets.\r\n\r\nThe end.");
    assert_int_equal(wrapped->n_segments, 2);
    assert_non_null(strstr(wrapped->segments[0].text, "except at occasional"));
    /* So is a stanza in such a text, though its lines end early; a heading above it is not of it. */
    struct st_analysis *verse =
        analyse(&a, "The rain had not stopped when she took the book down from its shelf, and\n"
                    "by the light of the last candle, which was burning low and would not see\n"
                    "another night, she read to the child.\n\n\"Sleep, sleep, little boat,\n"
                    "    Nothing is so light afloat\n  As thy sail\n\n\"Rest, rest, little oar,\n"
                    "    Nothing waits upon the shore.\"\n\nCHAPTER II\n\nThe rain had stopped.\n\n"
                    "He slept.\n\nShe shut the book.\n\nIt was late.\n\nNobody came.\n\nA dog barked.\n\n"
                    "It grew quiet.\n\n\"Is he asleep?\" asked Ann.\n\"Yes,\" said the nurse.\n\n"
                    "CHAPTER 3\nIt was late in the year.\n\nPart One\nHe slept.\n\n"
                    "'Asleep?' said Ann.\n'Yes.'\n'Then hush.'\n\n- Milk\n- Bread\n\nIt rained.\n\nIt snowed.\n\n"
                    "It froze.\n\nIt thawed.\n\nIt rained.\n\nIt snowed.\n\nIt froze.\n\nIt thawed.\n\nIt rained.\n\n"
                    "It snowed.\n\nIt froze.\n\nIt thawed.\n\nThe candle had gone out, and the rain, which had not "
                    "stopped, ran down\n"
                    "the window while she sat there in the dark and listened to the child who\n"
                    "slept.\n");
    assert_int_equal(verse->segments[verse->n_segments - 1].paragraph, 34);
    assert_string_equal(verse->segments[1].text, "Sleep, sleep, little boat, Nothing is so light afloat As thy sail");
    assert_string_equal(verse->segments[2].text, "Rest, rest, little oar, Nothing waits upon the shore.");
    struct st_analysis *lines = analyse(&a, "# Home\n\"Hello,\" said Tom.\n\"Hello,\" said Ann.\n* * *\nThey left.");
    check_answer(lines);
    assert_string_equal(lines->segments[0].text, "Home");
    assert_string_equal(speaker(lines, &lines->segments[3]), "Ann");
    assert_string_equal(lines->segments[lines->n_segments - 1].text, "They left.");
    assert_int_equal(lines->segments[lines->n_segments - 1].paragraph, 3);
    st_arena_release(&a);
}

static void no_word_is_lost(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "\"Hello, said Tom. I am here.\n\n\"How are you?\" asked Mary.\n\nI'm fine,\" said Tom.\n\n“Where? she said.",
        "He said \"no\" and read \"The Raven\" to the so-called \"expert\" — 'twas 'bout time, wasn't it?",
        "« Un, dit Jean, deux. » — trois, quatre. “Five „six“ »seven« «eight» 'nine' `ten'",
        "\"a\nb\nc\" d *e f.* _g_ **h** #i >j k--l m—n (o) [p] q/r 1,000.5 x's y’s",
    };
    for (size_t i = 0; i < ST_COUNT(texts); i++) {
        struct st_arena a = {0};
        struct st_analysis *found = analyse(&a, texts[i]);
        check_answer(found);
        char want[500] = "", got[500] = "";
        size_t n = 0, m = 0;
        for (const char *s = texts[i]; *s; s++)
            if ((*s | 0x20) >= 'a' && (*s | 0x20) <= 'z')
                want[n++] = *s;
        for (int k = 0; k < found->n_segments; k++)
            for (const char *s = found->segments[k].text; *s; s++)
                if ((*s | 0x20) >= 'a' && (*s | 0x20) <= 'z')
                    got[m++] = *s;
        assert_string_equal(got, want);
        st_arena_release(&a);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentences),
        cmocka_unit_test(ids_survive_edits),
        cmocka_unit_test(ids_survive_edits_of_their_paragraph),
        cmocka_unit_test(equal_lines_keep_their_ids),
        cmocka_unit_test(same_answer_twice),
        cmocka_unit_test(paragraphs),
        cmocka_unit_test(no_word_is_lost),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
