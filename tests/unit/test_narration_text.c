/* What narration makes of text besides sound: pronunciation, captions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "narration/captions.h"
#include "narration/pronounce.h"

static struct st_arena arena;

static int release(void **state)
{
    (void)state;
    st_arena_release(&arena);
    return 0;
}

static void test_pronunciation(void **state)
{
    (void)state;
    static const struct st_pronounce_rule rules[] = {
        {"Siobhan", "Shivawn"},   {"St.", "Saint"},      {"Loch Ness", "Lock Ness"},
        {"loch", "lock"},         {"Žofie", "Zhofee"},   {"東京", "Tokyo"},
        {"Äsop", "Esop"},         {"Éloïse", "Eloweez"}, {"Ёж", "yosh"},
        {"Ὀδυσσεύς", "Odysseus"}, {"ⱥb", "ab"}};
    static const char *const cases[][2] = {
        {"Siobhan!", "Shivawn!"},
        {"siobhan and SIOBHAN", "Shivawn and Shivawn"},
        {"Siobhans Siobhanic xSiobhan", "Siobhans Siobhanic xSiobhan"},
        {"St. Loch of Loch Ness", "Saint lock of Lock Ness"},
        {"Žofie, éSiobhan", "Zhofee, éSiobhan"},
        {"St.Ives", "SaintIves"},
        {"“Siobhan, come!” Siobhan’s —Siobhan… ‘Siobhan’", "“Shivawn, come!” Shivawn’s —Shivawn… ‘Shivawn’"},
        {"¿Siobhan? «Siobhan» Siobhané", "¿Shivawn? «Shivawn» Siobhané"},
        {"私は東京へ行く。", "私はTokyoへ行く。"},
        {"ÄSOP äsop Äsops", "Esop Esop Äsops"},
        {"ÉLOÏSE, éloïse", "Eloweez, Eloweez"},
        {"ЁЖ и ёж, ежи", "yosh и yosh, ежи"},
        {"ὈΔΥΣΣΕΎΣ. ὀδυσσεύς!", "Odysseus. Odysseus!"},
        {"ȺB, ⱥbc", "ab, ⱥbc"}, /* of three bytes and of two */
        {"", ""},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++)
        assert_string_equal(st_pronounce(&arena, rules, ST_COUNT(rules), cases[i][0]), cases[i][1]);
    const char *same = "nothing to change";
    assert_ptr_equal(st_pronounce(&arena, rules, ST_COUNT(rules), same), same);
    assert_ptr_equal(st_pronounce(&arena, NULL, 0, same), same);
}

static void test_captions(void **state)
{
    (void)state;
    static const struct st_caption_segment segments[] = {
        {.id = "a", .text = "One --> <two>\n\n& three", .start_ms = 150, .end_ms = 3599999},
        {.id = "b", .text = "not heard", .start_ms = 3600000, .end_ms = 3600000},
        {.id = "c",
         .text =
             "This sentence is here to be long enough. This one follows it, and so it has to become a cue of its own.",
         .speaker = "Mr. <X>",
         .start_ms = 3600000,
         .end_ms = 3610000},
        {.id = "d", .text = "\xe4\xbd\xa0\xe5\xa5\xbd\xe3\x80\x82", .start_ms = 3610000, .end_ms = 3611000},
    };
    struct st_buf b = ST_BUF(1 << 16);
    st_captions_vtt(segments, ST_COUNT(segments), &b);
    assert_string_equal(b.data,
                        "WEBVTT\n"
                        "\n00:00:00.150 --> 00:59:59.999\nOne --&gt; &lt;two&gt; &amp; three\n"
                        "\n01:00:00.000 --> 01:00:03.883\n<v Mr. &lt;X&gt;>This sentence is here to be long "
                        "enough.\n"
                        "\n01:00:03.883 --> 01:00:10.000\n<v Mr. &lt;X&gt;>This one follows it, and so it has to "
                        "become a cue of its own.\n"
                        "\n01:00:10.000 --> 01:00:11.000\n\xe4\xbd\xa0\xe5\xa5\xbd\xe3\x80\x82\n");
    st_buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_pronunciation, release),
        cmocka_unit_test(test_captions),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
